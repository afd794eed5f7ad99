/* aggregate_input.c - see aggregate_input.h. */
#include "base/fault.h"
#include "exec/aggregate/aggregate_input.h"
#include "base/hash.h"

enum mr_status mri_aggregate_input_init(struct mri_input *input, struct mr_operator *op,
                              uint32_t column_count, struct mr_error *err)
{
    const struct mr_window_spec *window = &op->plan->window;
    struct mr_heap *heap = op->task->heap;

    input->op = op;
    input->column_count = column_count;
    input->sliced = window->kind == MR_WINDOW_TUMBLING || window->kind == MR_WINDOW_HOPPING;
    if (input->sliced) mr_slicer_init(&input->slicer, window);
    input->columns = mr_alloc_array(heap, MR_MAX(column_count, 1u), sizeof *input->columns);
    if (input->columns == NULL) {
        return mr_error_nomem(err, op->plan->node->id, column_count * sizeof *input->columns);
    }
    MR_RET(mri_rows_init(&input->rows, op, err));
    MR_RET(mr_pool_create(heap, SIZE_MAX, &input->pool, err));
    mr_quota_init(&input->quota, input->pool, "aggregate", SIZE_MAX / 2);
    return MR_OK;
}

static void free_arrays(struct mri_input *input)
{
    struct mr_heap *heap = input->op->task->heap;

    mr_free(heap, input->hash_room, input->room * sizeof *input->hash_room);
    mr_free(heap, input->time_room, input->room * sizeof *input->time_room);
    mr_free(heap, input->split_room, input->room * sizeof *input->split_room);
    mr_free(heap, input->slice_room, input->room * sizeof *input->slice_room);
    mr_free(heap, input->kept_room, input->room * sizeof *input->kept_room);
    mr_free(heap, input->late, input->room * sizeof *input->late);
    input->hash_room = NULL;
    input->time_room = input->split_room = input->slice_room = NULL;
    input->kept_room = input->late = NULL;
    input->room = 0;
}

void mri_aggregate_input_fini(struct mri_input *input)
{
    if (input->op == NULL) return;
    mri_aggregate_input_close(input);
    free_arrays(input);
    mri_rows_fini(&input->rows);
    if (input->pool != NULL) mr_pool_destroy(input->pool);
    mr_free(input->op->task->heap, input->columns,
            MR_MAX(input->column_count, 1u) * sizeof *input->columns);
    input->op = NULL;
}

static enum mr_status make_room(struct mri_input *input, uint32_t count, struct mr_error *err)
{
    struct mr_heap *heap = input->op->task->heap;

    if (count <= input->room) return MR_OK;
    free_arrays(input);
    input->room = count;
    input->hash_room = mr_alloc(heap, count * sizeof *input->hash_room);
    input->time_room = mr_alloc(heap, count * sizeof *input->time_room);
    input->split_room = mr_alloc(heap, count * sizeof *input->split_room);
    input->slice_room = mr_alloc(heap, count * sizeof *input->slice_room);
    input->kept_room = mr_alloc(heap, count * sizeof *input->kept_room);
    input->late = mr_alloc(heap, count * sizeof *input->late);
    if (input->hash_room == NULL || input->time_room == NULL || input->split_room == NULL ||
        input->slice_room == NULL || input->kept_room == NULL || input->late == NULL) {
        return mr_error_nomem(err, input->op->plan->node->id, count * sizeof *input->hash_room);
    }
    return MR_OK;
}

void mri_aggregate_input_close(struct mri_input *input)
{
    mr_batch_release(input->target);
    mr_batch_release(input->batch);
    input->target = input->batch = NULL;
}

/* ---- columns ---- */

static enum mr_status no_scratch(const struct mri_input *input, struct mr_error *err)
{
    return mr_error_set(err, MR_E_NOMEM,
                        "operator '%s': no memory to prepare a batch of %u rows; raise --memory",
                        input->op->plan->node->id, input->count);
}

static enum mr_status open_target(struct mri_input *input, struct mr_error *err)
{
    if (input->target != NULL) return MR_OK;
    input->target = mr_batch_new(&input->quota, 0, 0);
    return input->target != NULL ? MR_OK : no_scratch(input, err);
}

/* A column of the batch as a dense FLAT or CONST one. The batch outlives it. */
static enum mr_status pass_column(struct mri_input *input, const struct mr_column *column,
                                  struct mr_column *out, struct mr_error *err)
{
    const struct mr_batch *batch = input->batch;
    bool done;

    if (column->encoding == MR_CONST || (column->encoding == MR_FLAT && !batch->selection)) {
        *out = *column;
        return MR_OK;
    }
    MR_RET(open_target(input, err));
    done = batch->selection != NULL
               ? mr_column_gather(input->target, column, batch->selection, input->count, out)
               : mr_column_flatten(input->target, column, input->count, out);
    return done ? MR_OK : no_scratch(input, err);
}

static enum mr_status evaluate(struct mri_input *input, const struct mr_bound *program,
                               struct mr_column *out, struct mr_error *err)
{
    uint32_t index;
    bool blocked = false;

    if (mr_bound_is_column(program, &index)) {
        return pass_column(input, &input->batch->columns[index], out, err);
    }
    MR_RET(open_target(input, err));
    MR_RET(mr_eval_run(input->rows.eval, program, input->batch, input->target, out,
                       &input->rows.failures, &blocked, err));
    return blocked ? no_scratch(input, err) : MR_OK;
}

/* A hidden column as an array with one element per logical row; NULL: there is none. */
static const int64_t *hidden_array(const struct mri_input *input, enum mr_hidden tag,
                                   int64_t *room)
{
    const struct mr_batch *batch = input->batch;
    const struct mr_column *column = batch->hidden[tag];

    if (column == NULL) return NULL;
    if (column->encoding == MR_FLAT && batch->selection == NULL) return column->values;
    for (uint32_t i = 0; i < input->count; i++) {
        room[i] = mr_column_int64(column, mr_batch_at(batch, i));
    }
    return room;
}

static void hash_keys(struct mri_input *input)
{
    uint32_t key_count = input->op->plan->key_count;

    input->hashes = input->hash_room;
    if (key_count == 0) {
        memset(input->hash_room, 0, input->count * sizeof *input->hash_room);
        return;
    }
    mr_column_hash(&input->columns[0], NULL, input->count, input->hash_room);
    for (uint32_t i = 1; i < key_count; i++) {
        mr_column_hash_combine(&input->columns[i], NULL, input->count, input->hash_room);
    }
}

static enum mr_status begin(struct mri_input *input, struct mr_batch *batch, struct mr_error *err)
{
    mr_assert(input->batch == NULL);
    input->batch = batch;
    input->count = batch->row_count;
    input->kept = NULL;
    input->kept_count = input->count;
    input->late_count = 0;
    input->slices = NULL;
    return make_room(input, input->count, err);
}

static void leave_out_bad_rows(struct mri_input *input)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < input->count; i++) {
        input->kept_room[kept] = i;
        kept += !mr_bit_get(input->rows.bits, i);
    }
    input->kept = input->kept_room;
    input->kept_count = kept;
}

enum mr_status mri_aggregate_input_open_rows(struct mri_input *input, struct mr_batch *batch,
                                   struct mr_error *err)
{
    const struct mr_plan_op *plan = input->op->plan;

    MR_RET(begin(input, batch, err));
    MR_RET(mri_rows_begin(&input->rows, input->count, err));
    for (uint32_t i = 0; i < plan->expr_count; i++) {
        MR_RET(evaluate(input, plan->exprs[i], &input->columns[i], err));
    }
    if (input->rows.failures.count > 0) {
        MR_RET(mri_rows_report(&input->rows, batch, plan->exprs, plan->expr_count, err));
        leave_out_bad_rows(input);
    }
    hash_keys(input);
    input->times = hidden_array(input, MR_HIDDEN_EVENT_TIME, input->time_room);
    input->split_watermarks = NULL;
    if (plan->late_by_split) {
        input->split_watermarks =
            hidden_array(input, MR_HIDDEN_SPLIT_WATERMARK, input->split_room);
    }
    if (input->sliced) {
        mr_assert(input->times != NULL); /* the plan: windows need event time */
        mr_slice_starts(&input->slicer, input->times, input->count, input->slice_room);
        input->slices = input->slice_room;
    }
    return MR_OK;
}

enum mr_status mri_aggregate_input_open_partials(struct mri_input *input, struct mr_batch *batch,
                                       struct mr_error *err)
{
    MR_RET(begin(input, batch, err));
    mr_assert(batch->column_count >= input->column_count);
    for (uint32_t i = 0; i < input->column_count; i++) {
        MR_RET(pass_column(input, &batch->columns[i], &input->columns[i], err));
    }
    /* The hidden hash is that of these keys only behind a partial: rows may carry an older one. */
    input->hashes = (const uint64_t *)(const void *)hidden_array(
        input, MR_HIDDEN_KEY_HASH, (int64_t *)(void *)input->hash_room);
    if (input->hashes == NULL || input->op->plan->key_count == 0) hash_keys(input);
    input->times = input->split_watermarks = NULL;
    if (input->sliced) {
        input->slices = hidden_array(input, MR_HIDDEN_WINDOW_START, input->slice_room);
        mr_assert(input->slices != NULL);
    }
    return MR_OK;
}

/* ---- lateness ---- */

/* The expiry of a slice, remembering the last one: rows of one slice come together. */
struct expiry {
    const struct mr_slicer *slicer;
    int64_t lateness_us;
    int64_t slice_us;
    int64_t expiry_us;
    bool known;
};

static int64_t expiry_of(struct expiry *expiry, int64_t slice_us)
{
    if (!expiry->known || slice_us != expiry->slice_us) {
        expiry->slice_us = slice_us;
        expiry->expiry_us = mr_slice_expiry(expiry->slicer, slice_us, expiry->lateness_us);
        expiry->known = true;
    }
    return expiry->expiry_us;
}

/* Usually nothing is late: then one pass over the slices shows it. Slices of later times do not
 * expire earlier. */
static bool all_in_time(struct mri_input *input, struct expiry *expiry, int64_t watermark_us)
{
    int64_t least = INT64_MAX;

    if (input->split_watermarks != NULL || input->group_watermarks != NULL) return false;
    if (input->slicer.gaps) return false;
    for (uint32_t i = 0; i < input->count; i++) least = MR_MIN(least, input->slices[i]);
    return input->count == 0 || expiry_of(expiry, least) > watermark_us;
}

/* The watermark that decides about a row. */
static int64_t watermark_of(const struct mri_input *input, uint32_t row, int64_t watermark_us)
{
    const struct mr_task_context *task = input->op->task;
    int64_t now_us = watermark_us;

    if (input->split_watermarks != NULL) now_us = MR_MAX(now_us, input->split_watermarks[row]);
    if (input->group_watermarks != NULL) {
        uint32_t group = mr_key_group(input->hashes[row], task->key_group_count);

        now_us = MR_MAX(now_us, input->group_watermarks[group - task->group_first]);
    }
    return now_us;
}

static uint64_t rows_of(const struct mr_column *partial_rows, uint32_t row)
{
    if (partial_rows == NULL) return 1;
    return (uint64_t)mr_column_int64(partial_rows, row);
}

void mri_aggregate_input_judge(struct mri_input *input, int64_t watermark_us,
                     const struct mr_column *partial_rows)
{
    struct expiry expiry = {.slicer = &input->slicer,
                            .lateness_us = input->op->plan->window.allowed_lateness_us};
    uint64_t late = 0;
    uint64_t no_window = 0;
    uint32_t kept = 0;

    if (!input->sliced || all_in_time(input, &expiry, watermark_us)) return;
    for (uint32_t i = 0; i < input->kept_count; i++) {
        uint32_t row = input->kept != NULL ? input->kept[i] : i;
        int64_t end_us = expiry_of(&expiry, input->slices[row]);
        int64_t now_us = watermark_of(input, row, watermark_us);

        if (MR_UNLIKELY(end_us == MR_TIME_MIN)) { /* in a gap: never late */
            no_window += rows_of(partial_rows, row);
        } else if (MR_UNLIKELY(now_us >= end_us)) {
            late += rows_of(partial_rows, row);
            if (!MR_PLANT("museum-27")) input->late[input->late_count++] = row;
        } else {
            input->kept_room[kept++] = row; /* kept_room may be `kept`: kept <= i */
        }
    }
    if (late > 0) mr_counter_add(input->op->task->counters, MR_COUNTER_ROWS_LATE, late);
    if (no_window > 0) {
        mr_counter_add(input->op->task->counters, MR_COUNTER_ROWS_NO_WINDOW, no_window);
    }
    if (kept == input->count) return;
    input->kept = input->kept_room;
    input->kept_count = kept;
}
