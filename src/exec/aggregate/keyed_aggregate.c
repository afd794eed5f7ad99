/* keyed_aggregate.c - see keyed_aggregate.h. */
#include "exec/aggregate/keyed_aggregate.h"

#include "base/assert.h"
#include "base/status.h"
#include "state/state_schema.h"

#define WATERMARK_NAME "watermark"

/* ---- slots ---- */

static void slot_init(void *self, void *slot)
{
    mri_accs_create(self, slot);
}

static bool slot_encode(void *self, const void *slot, struct mr_buffer *out)
{
    return mri_accs_encode(self, slot, out);
}

static enum mr_status slot_decode(void *self, struct mr_store *store, void *slot,
                                  struct mr_cursor *in, struct mr_error *err)
{
    (void)store; /* the accumulators know it */
    return mri_accs_decode(self, slot, in, err);
}

static void slot_release(void *self, struct mr_store *store, void *slot)
{
    (void)store;
    mri_accs_release(self, slot);
}

struct mr_slot_ops mri_acc_slot_ops(struct mri_accs *accs)
{
    return (struct mr_slot_ops){.slot_bytes = accs->slot_bytes,
                                .self = accs,
                                .init = accs->needs_init ? slot_init : NULL,
                                .encode = slot_encode,
                                .decode = slot_decode,
                                .release = accs->has_blobs ? slot_release : NULL};
}

/* ---- life ---- */

/* So that tools can read the keys of a snapshot. */
static enum mr_status describe_keys(struct mri_keyed *keyed, struct mr_error *err)
{
    const struct mr_plan_op *plan = keyed->op.plan;
    struct mr_buffer schema;
    enum mr_status st;

    mr_buffer_init(&schema, keyed->op.task->heap);
    if (mr_key_schema_encode(&schema, plan->key_fields, plan->key_count)) {
        st = mr_store_value_set(keyed->store, "schema:", schema.data, schema.size_bytes, err);
    } else {
        st = mr_error_nomem(err, "describing keys", 256);
    }
    mr_buffer_fini(&schema);
    return st;
}

static enum mr_status make_store(struct mri_keyed *keyed, struct mr_error *err)
{
    const struct mr_task_context *task = keyed->op.task;
    struct mr_store_options options = {.operator_id = keyed->op.plan->node->id,
                                       .key_group_count = task->key_group_count,
                                       .keys = keyed->op.plan->key_fields,
                                       .key_count = keyed->op.plan->key_count,
                                       .group_first = task->group_first,
                                       .group_end = task->group_end,
                                       .track_changes = task->track_changes};

    MR_RET(mr_store_create(task->heap, &options, &keyed->store, err));
    return task->track_changes ? describe_keys(keyed, err) : MR_OK;
}

enum mr_status mri_keyed_init(struct mri_keyed *keyed, struct mr_task_context *task,
                              const struct mr_plan_op *plan, const struct mr_operator_ops *ops,
                              bool partials, const char *state_name,
                              const struct mr_slot_ops *slot_ops, struct mr_error *err)
{
    uint32_t columns = plan->expr_count;
    struct mr_slot_ops accumulators;

    keyed->op = (struct mr_operator){.ops = ops, .plan = plan, .task = task};
    keyed->partials = partials;
    keyed->watermark_us = MR_TIME_MIN;
    if (partials) columns = plan->input->column_count;
    MR_RET(mri_accs_init(&keyed->accs, task->heap, plan, err));
    MR_RET(make_store(keyed, err));
    keyed->accs.blobs = mri_blobs_of_store(keyed->store);
    accumulators = mri_acc_slot_ops(&keyed->accs);
    MR_RET(mr_store_declare(keyed->store, 0, state_name,
                            slot_ops != NULL ? slot_ops : &accumulators, err));
    MR_RET(mri_aggregate_input_init(&keyed->input, &keyed->op, columns, err));
    return mri_emission_init(&keyed->emission, &keyed->op, &keyed->accs, err);
}

void mri_keyed_fini(struct mri_keyed *keyed)
{
    struct mr_task_context *task = keyed->op.task;
    uint32_t groups = task->group_end - task->group_first;

    mr_batch_release(keyed->held.batch);
    mri_emission_fini(&keyed->emission);
    mri_aggregate_input_fini(&keyed->input);
    if (keyed->store != NULL) {
        mri_accs_empty_trash(&keyed->accs);
        mr_store_destroy(keyed->store);
    }
    mri_accs_fini(&keyed->accs);
    mr_free(task->heap, keyed->group_watermarks, groups * sizeof *keyed->group_watermarks);
    mr_free(task->heap, keyed->slots, keyed->room * sizeof *keyed->slots);
    mr_free(task->heap, keyed->pointers, keyed->room * sizeof *keyed->pointers);
}

/* ---- batches ---- */

static enum mr_status make_room(struct mri_keyed *keyed, struct mr_error *err)
{
    struct mr_heap *heap = keyed->op.task->heap;
    uint32_t wanted = keyed->input.count;

    if (wanted <= keyed->room) return MR_OK;
    mr_free(heap, keyed->slots, keyed->room * sizeof *keyed->slots);
    mr_free(heap, keyed->pointers, keyed->room * sizeof *keyed->pointers);
    keyed->room = wanted;
    keyed->slots = mr_alloc(heap, wanted * sizeof *keyed->slots);
    keyed->pointers = mr_alloc(heap, wanted * sizeof *keyed->pointers);
    if (keyed->slots != NULL && keyed->pointers != NULL) return MR_OK;
    return mri_state_nomem(&keyed->op, keyed->store, err);
}

/* For how many rows each partial stands; NULL: rows stand for themselves. */
static const struct mr_column *partial_rows(const struct mri_keyed *keyed)
{
    uint32_t column = keyed->op.plan->rows_column;

    if (!keyed->partials || column == MR_COLUMN_NONE) return NULL;
    return &keyed->input.columns[column];
}

enum mr_status mri_keyed_open(struct mri_keyed *keyed, struct mr_batch *batch,
                              struct mr_error *err)
{
    struct mri_input *input = &keyed->input;

    if (keyed->partials) {
        MR_RET(mri_aggregate_input_open_partials(input, batch, err));
    } else {
        MR_RET(mri_aggregate_input_open_rows(input, batch, err));
    }
    input->group_watermarks = keyed->group_watermarks;
    mri_aggregate_input_judge(input, keyed->watermark_us, partial_rows(keyed));
    return make_room(keyed, err);
}

void mri_keyed_gauge(struct mri_keyed *keyed)
{
    uint64_t keys = mr_store_key_count(keyed->store);

    /* Several operators of a task share the gauge: each adds its difference. */
    mr_counter_add(keyed->op.task->counters, MR_COUNTER_STATE_KEYS, keys - keyed->reported_keys);
    keyed->reported_keys = keys;
}

void mri_keyed_absorbed(struct mri_keyed *keyed)
{
    keyed->late_waits = keyed->input.late_count > 0 && keyed->op.plan->output_count > 1;
    if (!keyed->late_waits) mri_aggregate_input_close(&keyed->input);
    mri_keyed_gauge(keyed);
}

enum mr_status mri_keyed_prepare(struct mri_keyed *keyed, struct mr_table *table,
                                 const uint32_t *rows, uint32_t count, struct mr_error *err)
{
    struct mr_keys keys = {.columns = keyed->input.columns,
                           .hashes = keyed->input.hashes,
                           .count = keyed->input.count};
    uint32_t done = 0;
    enum mr_prepare answer = mr_table_prepare(table, &keys, rows, count, keyed->slots, &done);

    mr_assert(answer != MR_PREPARE_PENDING); /* all slots are in memory */
    if (answer == MR_PREPARE_NOMEM) return mri_state_nomem(&keyed->op, keyed->store, err);
    return MR_OK;
}

enum mr_status mri_keyed_refused(void *self, uint32_t element, const struct mr_error *why,
                                 struct mr_error *err)
{
    struct mri_keyed *keyed = self;
    struct mr_task_context *task = keyed->op.task;

    return task->bad_row(task->bad_row_self, &keyed->op, keyed->input.batch, element, why, err);
}

void mri_keyed_advance(struct mri_keyed *keyed, int64_t watermark_us)
{
    struct mr_task_context *task = keyed->op.task;
    uint32_t groups = task->group_end - task->group_first;

    mr_assert(watermark_us >= keyed->watermark_us);
    keyed->watermark_us = watermark_us;
    if (keyed->group_watermarks == NULL || watermark_us < keyed->group_most_us) return;
    mr_free(task->heap, keyed->group_watermarks, groups * sizeof *keyed->group_watermarks);
    keyed->group_watermarks = NULL;
}

/* ---- output ---- */

enum mr_status mri_keyed_put_late(struct mri_keyed *keyed, struct mr_item *out,
                                  enum mr_flow *out_flow, struct mr_error *err)
{
    struct mri_input *input = &keyed->input;
    uint32_t first = keyed->op.plan->late_first_column;
    struct mr_batch *late = mr_batch_select(keyed->op.task->quota, input->batch, input->late,
                                            input->late_count);

    if (late == NULL) {
        return mri_wait_or_fail(&keyed->op, input->batch, input->late_count * sizeof(uint32_t),
                           out_flow, err);
    }
    /* The prepared columns in front are not the user's. */
    mr_assert(first <= late->column_count);
    late->columns += first;
    late->column_count -= first;
    late->hidden[MR_HIDDEN_KEY_HASH] = NULL; /* of this aggregate's key: it ends here */
    keyed->late_waits = false;
    mri_aggregate_input_close(input);
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .input = 1, .batch = late};
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

enum mr_status mri_keyed_no_room(struct mri_keyed *keyed, enum mr_build build, struct mr_item *out,
                                 enum mr_flow *out_flow, struct mr_error *err)
{
    if (build == MR_BUILD_FULL) {
        bool taken = mri_emission_take(&keyed->emission, out);

        mr_assert(taken);
        *out_flow = MR_FLOW_HAVE_OUTPUT;
        return MR_OK;
    }
    mr_assert(build == MR_BUILD_BLOCKED);
    return mri_wait_or_fail(&keyed->op, NULL, MR_BLOCK_BYTES_MAX, out_flow, err);
}

void mri_keyed_pass_on(struct mri_keyed *keyed, struct mr_item *out, enum mr_flow *out_flow)
{
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    if (mri_emission_take(&keyed->emission, out)) return;
    if (keyed->held.tag != 0) {
        mr_item_forward(out, &keyed->held);
        keyed->over = keyed->held.tag == MR_ITEM_END;
        keyed->held = (struct mr_item){.batch = NULL};
        return;
    }
    *out_flow = keyed->over ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
}

/* ---- snapshot ---- */

/* A range of key groups with one watermark. */
static bool put_range(struct mr_buffer *out, uint32_t first, uint32_t end, int64_t watermark_us)
{
    return mr_buffer_put_u32(out, first) && mr_buffer_put_u32(out, end) &&
           mr_buffer_put_u64(out, (uint64_t)watermark_us);
}

static bool put_watermarks(struct mri_keyed *keyed, struct mr_buffer *out)
{
    const struct mr_task_context *task = keyed->op.task;
    uint32_t first = task->group_first;

    if (keyed->group_watermarks == NULL) {
        return put_range(out, first, task->group_end, keyed->watermark_us);
    }
    for (uint32_t group = first; group < task->group_end; group++) {
        int64_t t = MR_MAX(keyed->watermark_us, keyed->group_watermarks[group - first]);

        if (!put_range(out, group, group + 1, t)) return false;
    }
    return true;
}

enum mr_status mri_keyed_seal(struct mr_operator *op, bool full, mr_entry_fn yield, void *self,
                              struct mr_error *err)
{
    struct mri_keyed *keyed = (struct mri_keyed *)op;
    struct mr_entry entry = {.kind = MR_ENTRY_VALUE,
                             .state_name = "",
                             .key = {WATERMARK_NAME, sizeof WATERMARK_NAME - 1},
                             .group_first = op->task->group_first,
                             .group_end = op->task->group_end};
    struct mr_buffer value;
    enum mr_status st;

    MR_RET(mr_store_seal(keyed->store, full, yield, self, err));
    mr_buffer_init(&value, op->task->heap);
    if (put_watermarks(keyed, &value)) {
        entry.value = (struct mr_bytes){value.data, value.size_bytes};
        st = yield(self, &entry, err);
    } else {
        st = mri_state_nomem(op, keyed->store, err);
    }
    mr_buffer_fini(&value);
    return st;
}

static enum mr_status corrupt_watermark(const struct mri_keyed *keyed, struct mr_error *err)
{
    return mr_error_set(err, MR_E_CORRUPT,
                        "operator '%s': the watermark in the snapshot is not what was written",
                        keyed->op.plan->node->id);
}

static enum mr_status make_group_watermarks(struct mri_keyed *keyed, struct mr_error *err)
{
    const struct mr_task_context *task = keyed->op.task;
    uint32_t groups = task->group_end - task->group_first;

    if (keyed->group_watermarks != NULL) return MR_OK;
    keyed->group_watermarks = mr_alloc_array(task->heap, groups, sizeof(int64_t));
    if (keyed->group_watermarks == NULL) return mri_state_nomem(&keyed->op, keyed->store, err);
    for (uint32_t i = 0; i < groups; i++) keyed->group_watermarks[i] = MR_TIME_MIN;
    return MR_OK;
}

/* One range of the value; of several seals the last one holds. */
static bool take_range(struct mri_keyed *keyed, struct mr_cursor *in)
{
    const struct mr_task_context *task = keyed->op.task;
    uint32_t first;
    uint32_t end;
    uint64_t bits;
    int64_t watermark;

    if (!mr_cursor_u32(in, &first) || !mr_cursor_u32(in, &end) || !mr_cursor_u64(in, &bits)) {
        return false;
    }
    watermark = (int64_t)bits;
    if (end > task->key_group_count || watermark < MR_TIME_MIN || watermark > MR_TIME_MAX) {
        return false;
    }
    for (uint32_t group = MR_MAX(first, task->group_first);
         group < MR_MIN(end, task->group_end); group++) {
        keyed->group_watermarks[group - task->group_first] = watermark;
    }
    return true;
}

static enum mr_status restore_watermark(struct mri_keyed *keyed, const struct mr_entry *entry,
                                        struct mr_error *err)
{
    struct mr_cursor in = {entry->value.data, entry->value.data + entry->value.size_bytes};

    MR_RET(make_group_watermarks(keyed, err));
    while (in.at < in.end) {
        if (!take_range(keyed, &in)) return corrupt_watermark(keyed, err);
    }
    return MR_OK;
}

enum mr_status mri_keyed_restore(struct mr_operator *op, const struct mr_entry *entry,
                                 struct mr_error *err)
{
    struct mri_keyed *keyed = (struct mri_keyed *)op;

    if (entry->kind == MR_ENTRY_VALUE && entry->key.size_bytes == sizeof WATERMARK_NAME - 1 &&
        memcmp(entry->key.data, WATERMARK_NAME, entry->key.size_bytes) == 0) {
        return restore_watermark(keyed, entry, err);
    }
    return mr_store_restore(keyed->store, entry, op->task->group_first, op->task->group_end, err);
}

void mri_keyed_restored(struct mri_keyed *keyed)
{
    const struct mr_task_context *task = keyed->op.task;
    int64_t least = MR_TIME_MAX;

    mri_keyed_gauge(keyed);
    if (keyed->group_watermarks == NULL) return;
    keyed->group_most_us = MR_TIME_MIN;
    for (uint32_t i = 0; i < task->group_end - task->group_first; i++) {
        least = MR_MIN(least, keyed->group_watermarks[i]);
        keyed->group_most_us = MR_MAX(keyed->group_most_us, keyed->group_watermarks[i]);
    }
    mri_keyed_advance(keyed, least); /* forgets the array if all are equal */
}
