/* emission.c - see emission.h. */
#include "exec/aggregate/emission.h"
#include "base/assert.h"
#include "base/status.h"
#include "exec/exec_internal.h"

#define STORY_BYTES 400u
#define KEY_TEXT_BYTES 60u

static enum mr_status make_emitter(struct mri_emission *emission, uint32_t index,
                                   struct mr_error *err)
{
    const struct mr_operator *op = emission->op;
    struct mr_emitter_options options = {.operator_id = op->plan->node->id,
                                         .heap = op->task->heap,
                                         .output_count = 1,
                                         .schemas = &emission->schemas[index],
                                         .batch_rows = 1};

    MR_RET(mr_schema_create(op->task->heap, &op->plan->aggregates[index].result, 1,
                            &emission->schemas[index], err));
    return mr_emitter_create(&options, &emission->emitters[index], err);
}

enum mr_status mri_emission_init(struct mri_emission *emission, struct mr_operator *op,
                                 const struct mri_accs *accs, struct mr_error *err)
{
    enum mr_status st;

    *emission = (struct mri_emission){.op = op, .accs = accs};
    MR_GOTO(mr_builder_create(op->task->heap, op->plan->outputs[0], op->plan->output_hidden,
                              MR_MAX(op->task->batch_rows, 1u), op->task->quota,
                              &emission->builder, err));
    if (!accs->has_user) goto done;
    emission->emitters = mr_alloc_array(op->task->heap, accs->count, sizeof(struct mr_emitter *));
    emission->schemas = mr_alloc_array(op->task->heap, accs->count, sizeof(struct mr_schema *));
    if (emission->emitters == NULL || emission->schemas == NULL) {
        MR_GOTO(mr_error_nomem(err, op->plan->node->id, accs->count * sizeof(void *)));
    }
    for (uint32_t i = 0; i < accs->count; i++) {
        if (accs->accs[i].form == MRI_ACC_USER) MR_GOTO(make_emitter(emission, i, err));
    }
done:
    if (st != MR_OK) mri_emission_fini(emission);
    return st;
}

void mri_emission_fini(struct mri_emission *emission)
{
    uint32_t count;
    struct mr_heap *heap;

    if (emission->op == NULL) return;
    count = emission->accs->count;
    heap = emission->op->task->heap;
    for (uint32_t i = 0; emission->emitters != NULL && i < count; i++) {
        mr_emitter_destroy(emission->emitters[i]);
    }
    for (uint32_t i = 0; emission->schemas != NULL && i < count; i++) {
        mr_schema_release(emission->schemas[i]);
    }
    mr_free(heap, emission->emitters, count * sizeof(struct mr_emitter *));
    mr_free(heap, emission->schemas, count * sizeof(struct mr_schema *));
    if (emission->builder != NULL) mr_builder_destroy(emission->builder);
    *emission = (struct mri_emission){.op = NULL};
}

/* ---- rows that fail ---- */

static void print_text(struct mr_bytes bytes, struct mr_text *out)
{
    size_t shown = MR_MIN(bytes.size_bytes, (size_t)KEY_TEXT_BYTES);

    for (size_t i = 0; i < shown; i++) {
        unsigned char c = (unsigned char)bytes.data[i];

        mr_text_add_char(out, c < 0x20 || c == 0x7f ? '?' : (char)c);
    }
    if (shown < bytes.size_bytes) mr_text_add(out, "...");
}

static void print_time(int64_t us, bool instant, struct mr_text *out)
{
    char text[MR_TIME_TEXT_BYTES];

    mr_text_add_bytes(out, text, mr_format_timestamp(text, us, instant));
}

static void print_value(const struct mr_column *column, struct mr_text *out)
{
    enum mr_type type = (enum mr_type)column->type;

    if (!mr_column_valid(column, 0)) {
        mr_text_add(out, "NULL");
    } else if (mr_type_is_text(type)) {
        print_text(mr_column_bytes(column, 0), out);
    } else if (mr_type_is_time(type)) {
        print_time(mr_column_int64(column, 0), type == MR_TIMESTAMP_LTZ, out);
    } else if (mr_type_is_float(type)) {
        mr_text_format(out, "%.17g", mr_column_float64(column, 0));
    } else if (type == MR_DECIMAL) {
        mr_text_format(out, "%.17ge-%u", (double)mr_column_int128(column, 0), column->scale);
    } else {
        mr_text_add_int(out, mr_column_int64(column, 0));
    }
}

/* Gives the failure its place: "key origin=EWR, window [..., ...): sum 'x' overflows int64". */
static enum mr_status report(struct mri_emission *emission, const struct mri_result_row *row,
                             const struct mr_error *why, struct mr_error *err)
{
    struct mr_operator *op = emission->op;
    struct mr_column keys[MR_KEY_COLUMNS_MAX];
    uint32_t key_count = row->table != NULL ? op->plan->key_count : 0;
    struct mr_batch one;
    struct mr_error story;
    struct mr_text text;

    memset(&one, 0, sizeof one);
    memset(keys, 0, sizeof keys);
    if (key_count > 0) mr_table_key_columns(row->table, row->slot, keys);
    one.row_count = 1;
    one.column_count = key_count;
    one.columns = keys;
    mr_text_init(&text, op->task->heap, STORY_BYTES);
    for (uint32_t i = 0; i < key_count; i++) {
        mr_text_format(&text, i == 0 ? "key %s=" : ", %s=", op->plan->key_fields[i].name);
        print_value(&keys[i], &text);
    }
    if (op->plan->window.kind != MR_WINDOW_GLOBAL) {
        mr_text_add(&text, key_count > 0 ? ", window [" : "window [");
        print_time(row->start_us, true, &text);
        mr_text_add(&text, ", ");
        print_time(row->end_us, true, &text);
        mr_text_add(&text, ")");
    }
    mr_error_set(&story, why->status, "%s%s%s", mr_text_get(&text),
                 text.size_bytes > 0 ? ": " : "", why->text);
    mr_text_fini(&text);
    return op->task->bad_row(op->task->bad_row_self, op, &one, 0, &story, err);
}

/* ---- rows ---- */

/* *out_fatal: not by policy. */
static enum mr_status user_result(struct mri_emission *emission, uint32_t index, const void *accs,
                                  uint32_t column, enum mr_build *out_build, bool *out_fatal,
                                  struct mr_error *err)
{
    const struct mri_acc *acc = &emission->accs->accs[index];
    const struct mr_aggregate_spec *spec = acc->plan->spec;
    struct mr_emitter *emitter = emission->emitters[index];
    enum mr_status answer;

    mr_emitter_begin(emitter, NULL, MR_EMITTER_NO_ROW);
    answer = spec->functions->result(spec->user, (const char *)accs + acc->offset, emitter);
    *out_build = mr_emitter_cell_to_row(emitter, 0, emission->builder, column);
    answer = mr_emitter_judge(emitter, answer, out_fatal, err);
    if (answer != MR_OK) mr_error_context(err, "aggregate '%s'", spec->name);
    return answer;
}

static enum mr_status put_results(struct mri_emission *emission, const struct mri_result_row *row,
                                  uint32_t column, enum mr_build *out_build, bool *out_fatal,
                                  struct mr_error *err)
{
    for (uint32_t i = 0; i < emission->accs->count; i++, column++) {
        if (emission->accs->accs[i].form == MRI_ACC_USER) {
            MR_RET(user_result(emission, i, row->accs, column, out_build, out_fatal, err));
        } else {
            MR_RET(mri_accs_result(emission->accs, i, row->accs, emission->builder, column,
                                   out_build, err));
        }
        if (*out_build != MR_BUILD_OK) return MR_OK;
    }
    return MR_OK;
}

static void put_hidden(struct mri_emission *emission, const struct mri_result_row *row)
{
    uint32_t mask = emission->op->plan->output_hidden;

    if (mask >> MR_HIDDEN_EVENT_TIME & 1) {
        mr_builder_set_hidden(emission->builder, MR_HIDDEN_EVENT_TIME, row->end_us - 1);
    }
    if (mask >> MR_HIDDEN_WINDOW_START & 1) {
        mr_builder_set_hidden(emission->builder, MR_HIDDEN_WINDOW_START, row->start_us);
    }
    if (mask >> MR_HIDDEN_WINDOW_END & 1) {
        mr_builder_set_hidden(emission->builder, MR_HIDDEN_WINDOW_END, row->end_us);
    }
}

static enum mr_status put_columns(struct mri_emission *emission, const struct mri_result_row *row,
                                  enum mr_build *out_build, bool *out_fatal, struct mr_error *err)
{
    const struct mr_plan_op *plan = emission->op->plan;
    uint32_t column = 0;

    if (plan->emit_window) {
        mr_builder_set_int64(emission->builder, column++, row->start_us);
        mr_builder_set_int64(emission->builder, column++, row->end_us);
    }
    if (row->table != NULL) {
        *out_build = mr_table_key_to_row(row->table, row->slot, emission->builder, column);
        if (*out_build != MR_BUILD_OK) return MR_OK;
    }
    put_hidden(emission, row);
    return put_results(emission, row, column + plan->key_count, out_build, out_fatal, err);
}

static enum mr_status too_large(const struct mri_emission *emission, struct mr_error *err)
{
    return mr_error_set(err, MR_E_LIMIT,
                        "operator '%s': a result row does not fit a batch: its texts take more "
                        "than %zu bytes",
                        emission->op->plan->node->id, (size_t)MR_TEXT_BYTES_MAX);
}

enum mr_status mri_emission_put(struct mri_emission *emission, const struct mri_result_row *row,
                                enum mr_build *out_build, struct mr_error *err)
{
    struct mr_error why;
    bool fatal = false;
    enum mr_status st;

    *out_build = mr_builder_begin_row(emission->builder);
    if (*out_build == MR_BUILD_TOO_LARGE) return too_large(emission, err);
    if (*out_build != MR_BUILD_OK) return MR_OK;
    mr_error_clear(&why);
    st = put_columns(emission, row, out_build, &fatal, &why);
    if (st == MR_OK && *out_build == MR_BUILD_OK) {
        mr_builder_commit_row(emission->builder);
        return MR_OK;
    }
    mr_builder_abandon_row(emission->builder);
    if (st == MR_OK) return *out_build == MR_BUILD_TOO_LARGE ? too_large(emission, err) : MR_OK;
    *out_build = MR_BUILD_OK;
    if (!fatal && st != MR_E_NOMEM) return report(emission, row, &why, err);
    if (err != NULL) *err = why;
    return st;
}

bool mri_emission_take(struct mri_emission *emission, struct mr_item *out)
{
    struct mr_batch *batch;

    if (mr_builder_rows(emission->builder) == 0) return false;
    batch = mr_builder_take(emission->builder);
    mr_assert(batch != NULL);
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .batch = batch};
    return true;
}

enum mr_status mri_state_nomem(const struct mr_operator *op, const struct mr_store *store,
                               struct mr_error *err)
{
    const struct mr_heap *heap = op->task->heap;

    return mr_error_set(err, MR_E_NOMEM,
                        "operator '%s' has used up its memory: it holds %llu keys in %llu bytes, "
                        "of %zu that are allowed; raise --memory, or use shorter windows or "
                        "coarser keys",
                        op->plan->node->id, (unsigned long long)mr_store_key_count(store),
                        (unsigned long long)mr_store_bytes(store), heap->limit_bytes);
}
