/* track_source.c - see tracker.h: the ackers, and the rows that may have to be sent again. */
#include "runtime/tracker_internal.h"

#include <string.h>

#define TURN_MESSAGES 64u  /* per ring and turn */
#define AGAIN_ROWS    512u /* sent again in one batch */
#define KEPT_SHARE    4u   /* this part of a quota may lie in kept batches */

/* Roots carry what names their row: for kept ones the place of the batch and the row in it. */
#define KEPT_ROW_BITS 16u
_Static_assert(MR_BATCH_ROWS_MAX <= 1u << KEPT_ROW_BITS, "a row of a kept batch has 16 bits");

/* ---- life ---- */

enum mr_status mri_source_init(struct mr_tracker *tracker, struct mri_track_source *source,
                               uint32_t ordinal, struct mr_error *err)
{
    const struct mr_tracker_options *options = &tracker->options;
    struct mr_acker_config config = {
        .root_count = options->pending_rows,
        .sender_count = options->task_count,
        .owner = ordinal,
        .attempt = options->attempt,
        .salt = options->key[ordinal % 4] + ordinal,
        .timeout_us = options->timeout_us,
        .start = options->now,
    };

    source->ordinal = ordinal;
    source->ticked = options->now;
    mr_error_clear(&source->error);
    mr_arena_init(&source->arena, tracker->heap);
    source->kept = mr_arena_zero(&source->arena, MRI_KEPT_MAX * sizeof *source->kept);
    if (source->kept == NULL) {
        return mr_error_nomem(err, "tracking", MRI_KEPT_MAX * sizeof *source->kept);
    }
    return mr_acker_init(&source->acker, &source->arena, &config, err);
}

static void drop_kept(struct mr_tracker *tracker, struct mri_track_source *source, uint32_t place)
{
    struct mri_kept *kept = &source->kept[place];

    mr_free(tracker->heap, kept->tries, kept->rows);
    mr_free(tracker->heap, kept->ids, kept->rows * sizeof *kept->ids);
    mr_batch_release(kept->batch);
    source->kept_bytes -= kept->bytes;
    source->kept_failed -= kept->failed;
    source->kept_count--;
    *kept = (struct mri_kept){.open = 0};
}

void mri_source_fini(struct mr_tracker *tracker, struct mri_track_source *source)
{
    for (uint32_t i = 0; source->kept != NULL && i < MRI_KEPT_MAX; i++) {
        if (source->kept[i].open > 0) drop_kept(tracker, source, i);
    }
    mr_arena_fini(&source->arena);
}

void mr_track_calls(struct mr_track_task *task, const struct mr_track_calls *calls)
{
    mr_assert((calls->completed == NULL) == (calls->failed == NULL));
    task->source->calls = *calls;
}

/* ---- what becomes of a row ---- */

static bool keeps(const struct mri_track_source *source)
{
    return source->calls.completed == NULL;
}

static void row_is_over(struct mr_tracker *tracker, struct mri_track_source *source, uint32_t place)
{
    struct mri_kept *kept = &source->kept[place];

    mr_assert(kept->open > 0);
    if (--kept->open == 0) drop_kept(tracker, source, place);
}

/* A kept row has failed: it goes out again, or is given up. */
static void fail_kept(struct mr_tracker *tracker, struct mri_track_source *source, uint32_t place,
                      uint32_t row, enum mr_status why)
{
    struct mri_kept *kept = &source->kept[place];
    struct mr_error *err = &source->error;

    mr_assert(kept->batch != NULL && row < kept->rows);
    if (kept->tries == NULL) kept->tries = mr_alloc_zero(tracker->heap, kept->rows);
    if (kept->tries == NULL) {
        if (err->status == MR_OK) (void)mr_error_nomem(err, "tracking", kept->rows);
        return;
    }
    mr_assert((kept->tries[row] & MRI_AGAIN) == 0); /* (3): one root at a time */
    if (++kept->tries[row] < tracker->options.tries) {
        kept->tries[row] |= MRI_AGAIN;
        kept->failed++;
        source->kept_failed++;
        return;
    }
    source->given_up++;
    if (source->calls.give_up != NULL && err->status == MR_OK) {
        (void)source->calls.give_up(source->calls.self, kept->batch, row, why, err);
    }
    row_is_over(tracker, source, place);
}

/* A row of a source that keeps its rows itself. */
static void tell(struct mri_track_source *source, const struct mri_kept *kept, uint32_t row,
                 const struct mr_acker_action *action)
{
    const struct mr_track_calls *calls = &source->calls;

    mr_assert(row < kept->rows);
    if (action->kind == MR_ACKER_COMPLETED) {
        calls->completed(calls->self, kept->reader, kept->ids[row]);
    } else {
        calls->failed(calls->self, kept->reader, kept->ids[row], action->status);
    }
}

static void act(struct mr_tracker *tracker, struct mri_track_source *source,
                const struct mr_acker_action *action)
{
    uint32_t place = (uint32_t)(action->row >> KEPT_ROW_BITS);
    uint32_t row = (uint32_t)(action->row & ((1u << KEPT_ROW_BITS) - 1));

    if (keeps(source) && action->kind != MR_ACKER_COMPLETED) {
        fail_kept(tracker, source, place, row, action->status);
        return;
    }
    if (!keeps(source)) tell(source, &source->kept[place], row, action);
    row_is_over(tracker, source, place);
}

static void step(struct mr_tracker *tracker, struct mri_track_source *source,
                 const struct mr_acker_event *event)
{
    mr_acker_step(&source->acker, event, &source->actions);
    for (uint32_t i = 0; i < source->actions.count; i++) {
        act(tracker, source, &source->actions.items[i]);
    }
}

void mri_source_hear(struct mr_tracker *tracker, struct mri_track_source *source, uint32_t sender,
                     const struct mri_track_message *message)
{
    struct mr_acker_event event = {
        .kind = message->status == MR_OK ? MR_ACKER_ON_ACKS : MR_ACKER_ON_FAILS,
        .sender = sender,
        .attempt = tracker->options.attempt,
        .sequence = message->sequence,
        .acks = message->acks,
        .count = message->count,
        .status = message->status,
    };

    step(tracker, source, &event);
}

enum mr_status mr_track_turn(struct mr_track_task *task, struct mr_ptime now, bool *out_moved,
                             struct mr_error *err)
{
    struct mr_tracker *tracker = task->tracker;
    struct mri_track_source *source = task->source;
    uint32_t sources = tracker->options.source_count;

    *out_moved = false;
    if (source == NULL) return MR_OK;
    for (uint32_t i = 0; i < tracker->options.task_count; i++) {
        struct mri_track_message message;

        if (&tracker->tasks[i] == task) continue; /* heard when it was said */
        for (uint32_t k = 0; k < TURN_MESSAGES; k++) {
            if (!mr_ring_get(&tracker->rings[i * sources + source->ordinal], &message)) break;
            mri_source_hear(tracker, source, i, &message);
            *out_moved = true;
        }
    }
    if (now.us - source->ticked.us >= MR_ACKER_BEAT_US) {
        struct mr_acker_event tick = {.kind = MR_ACKER_ON_TICK, .now = now};

        if (tracker->options.stopped != NULL) {
            tick.stopped = tracker->options.stopped(tracker->options.stopped_self);
        }
        source->ticked = now;
        step(tracker, source, &tick);
    }
    if (source->error.status == MR_OK) return MR_OK;
    return mr_error_set(err, source->error.status, "%s", source->error.text);
}

bool mr_track_called(const struct mr_track_task *task)
{
    const struct mr_tracker *tracker = task->tracker;
    uint32_t sources = tracker->options.source_count;

    if (task->source == NULL) return false;
    for (uint32_t i = 0; i < tracker->options.task_count; i++) {
        const struct mr_ring *ring = &tracker->rings[i * sources + task->source->ordinal];

        if (&tracker->tasks[i] != task && !mr_ring_empty(ring)) return true;
    }
    return false;
}

/* ---- rows that begin ---- */

uint32_t mr_track_room(const struct mr_track_task *task, size_t quota_bytes)
{
    const struct mri_track_source *source = task->source;
    uint32_t room = mr_acker_room(&source->acker);
    /* A few rows at a time would make many small batches: wait for more. */
    uint32_t worth_it = MR_MIN(source->acker.root_count / 8, AGAIN_ROWS);

    if (room < worth_it) return 0;
    if (source->kept_count == MRI_KEPT_MAX) return 0;
    if (keeps(source) && source->kept_bytes > quota_bytes / KEPT_SHARE) return 0;
    return MR_MIN(room, MR_BATCH_ROWS_MAX / 2);
}

/* Writes down a batch, or the ids of its rows; answers its place in *out. There is one free: the
 * caller asked for room. */
static enum mr_status keep(struct mr_track_task *task, struct mr_batch *batch, const uint64_t *ids,
                           void *reader, uint32_t *out, struct mr_error *err)
{
    struct mri_track_source *source = task->source;
    struct mri_kept kept = {.reader = reader, .rows = batch->row_count, .open = batch->row_count};
    uint32_t place = source->kept_next;

    mr_assert(source->kept_count < MRI_KEPT_MAX);
    if (ids == NULL) {
        kept.batch = mr_batch_ref(batch);
        kept.bytes = mr_batch_own_bytes(batch);
    } else {
        kept.ids = mr_alloc(task->tracker->heap, kept.rows * sizeof *ids);
        if (kept.ids == NULL) return mr_error_nomem(err, "tracking", kept.rows * sizeof *ids);
        memcpy(kept.ids, ids, kept.rows * sizeof *ids);
    }
    while (source->kept[place].open > 0) place = (place + 1) % MRI_KEPT_MAX;
    source->kept[place] = kept;
    source->kept_bytes += kept.bytes;
    source->kept_count++;
    source->kept_next = (place + 1) % MRI_KEPT_MAX;
    *out = place;
    return MR_OK;
}

/* A root for row `row` of the input at hand. */
static void begin_row(struct mr_track_task *task, uint32_t row, uint64_t name)
{
    uint64_t edge = mr_edge_ids_next(&task->ids);

    task->entries.items[row] =
        (struct mr_ack){mr_acker_begin(&task->source->acker, name, edge), edge};
}

enum mr_status mr_track_read(struct mr_track_task *task, struct mr_batch *batch,
                             const uint64_t *ids, void *reader, struct mr_error *err)
{
    struct mri_track_source *source = task->source;
    uint32_t place = 0;

    mr_assert((ids == NULL) == keeps(source));
    mr_assert(batch->row_count <= mr_acker_room(&source->acker));
    MR_RET(mri_track_take(task, batch, batch->row_count, err));
    if (batch->row_count == 0) return MR_OK;
    MR_RET(keep(task, batch, ids, reader, &place, err));
    for (uint32_t i = 0; i < batch->row_count; i++) {
        begin_row(task, i, ((uint64_t)place << KEPT_ROW_BITS) + i);
    }
    return MR_OK;
}

bool mr_track_awaits(const struct mr_track_task *task, const void *reader)
{
    const struct mri_track_source *source = task->source;

    for (uint32_t i = 0; i < MRI_KEPT_MAX && !keeps(source); i++) {
        if (source->kept[i].open > 0 && source->kept[i].reader == reader) return true;
    }
    return false;
}

/* The failed rows of a kept batch, at most `limit`. */
static uint32_t failed_rows(const struct mri_kept *kept, uint32_t limit, uint32_t *out_rows)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < kept->rows && count < limit; i++) {
        if ((kept->tries[i] & MRI_AGAIN) != 0) out_rows[count++] = i;
    }
    return count;
}

static uint32_t kept_with_failed(const struct mri_track_source *source)
{
    uint32_t place = 0;

    while (source->kept[place].failed == 0) place++;
    return place;
}

enum mr_status mr_track_again(struct mr_track_task *task, struct mr_quota *quota,
                              struct mr_batch **out, struct mr_error *err)
{
    struct mri_track_source *source = task->source;
    uint32_t limit = MR_MIN(mr_acker_room(&source->acker), AGAIN_ROWS);
    uint32_t rows[AGAIN_ROWS];
    uint32_t place, count;
    struct mri_kept *kept;
    struct mr_batch *batch;
    enum mr_status st;

    *out = NULL;
    if (source->kept_failed == 0 || limit == 0) return MR_OK;
    place = kept_with_failed(source);
    kept = &source->kept[place];
    count = failed_rows(kept, limit, rows);
    batch = mr_batch_select(quota, kept->batch, rows, count);
    if (batch == NULL) return MR_OK;
    st = mri_track_take(task, batch, count, err);
    if (st != MR_OK) {
        mr_batch_release(batch);
        return st;
    }
    for (uint32_t i = 0; i < count; i++) {
        kept->tries[rows[i]] &= (uint8_t)~MRI_AGAIN;
        begin_row(task, i, ((uint64_t)place << KEPT_ROW_BITS) + rows[i]);
    }
    kept->failed -= count;
    source->kept_failed -= count;
    *out = batch;
    return MR_OK;
}

/* ---- numbers ---- */

uint32_t mr_track_pending(const struct mr_track_task *task)
{
    const struct mri_track_source *source = task->source;

    return source->acker.root_count - mr_acker_room(&source->acker) + source->kept_failed;
}

struct mr_track_stats mr_track_stats(const struct mr_track_task *task)
{
    const struct mr_acker *acker = &task->source->acker;

    return (struct mr_track_stats){.begun = acker->begun,
                                   .completed = acker->completed,
                                   .failed = acker->failed,
                                   .timed_out = acker->timed_out,
                                   .given_up = task->source->given_up,
                                   .pending = mr_track_pending(task)};
}
