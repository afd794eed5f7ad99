/* tracker.c - see tracker.h: what every task does. Sources are in track_source.c. */
#include "runtime/tracker_internal.h"

#include <string.h>

/* ---- life ---- */

bool mri_grow(struct mr_heap *heap, void **memory, uint32_t *room, uint32_t wanted, size_t size)
{
    uint32_t fresh = *room;
    void *moved;

    if (wanted <= *room) return true;
    while (fresh < wanted) fresh = MR_MAX(2 * fresh, 64u);
    moved = mr_realloc(heap, *memory, *room * size, fresh * size);
    if (moved == NULL) return false;
    *memory = moved;
    *room = fresh;
    return true;
}

bool mri_acks_reserve(struct mr_heap *heap, struct mri_acks *acks, uint32_t more)
{
    void *items = acks->items;
    bool grown = mri_grow(heap, &items, &acks->room, acks->count + more, sizeof *acks->items);

    acks->items = items;
    return grown;
}

void mri_acks_free(struct mr_heap *heap, struct mri_acks *acks)
{
    mr_free(heap, acks->items, acks->room * sizeof *acks->items);
    *acks = (struct mri_acks){.items = NULL};
}

static enum mr_status no_memory(const struct mr_track_task *task, size_t bytes,
                                struct mr_error *err)
{
    (void)task;
    return mr_error_nomem(err, "the tracking of rows", bytes);
}

static enum mr_status make_rings(struct mr_tracker *tracker, struct mr_error *err)
{
    uint32_t count = tracker->options.task_count * tracker->options.source_count;
    size_t slots = MRI_RINGS_BYTES / sizeof(struct mri_track_message) / count;
    uintptr_t at;

    slots = MR_MAX(MR_MIN(slots, MRI_MESSAGE_SLOTS_MAX), MRI_MESSAGE_SLOTS_MIN);
    tracker->ring_bytes = count * sizeof *tracker->rings + MR_CACHE_LINE;
    tracker->ring_memory = mr_alloc_zero(tracker->heap, tracker->ring_bytes);
    if (tracker->ring_memory == NULL) return mr_error_nomem(err, "tracking", tracker->ring_bytes);
    at = (uintptr_t)tracker->ring_memory & (MR_CACHE_LINE - 1);
    tracker->rings = (struct mr_ring *)(void *)(tracker->ring_memory + (MR_CACHE_LINE - at));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t task = i / tracker->options.source_count;
        uint32_t source = i % tracker->options.source_count;

        tracker->rings_made = i + 1;
        if (tracker->tasks[task].source == &tracker->sources[source]) continue; /* itself */
        if (mr_ring_init(&tracker->rings[i], tracker->heap, (uint32_t)slots,
                         sizeof(struct mri_track_message)) != MR_OK) {
            return mr_error_nomem(err, "tracking", slots * sizeof(struct mri_track_message));
        }
    }
    return MR_OK;
}

static enum mr_status make_tasks(struct mr_tracker *tracker, struct mr_error *err)
{
    const struct mr_tracker_options *options = &tracker->options;
    struct mr_heap *heap = tracker->heap;

    tracker->tasks = mr_alloc_array(heap, options->task_count, sizeof *tracker->tasks);
    if (tracker->tasks == NULL) {
        return mr_error_nomem(err, "tracking", options->task_count * sizeof *tracker->tasks);
    }
    for (uint32_t i = 0; i < options->task_count; i++) {
        struct mr_track_task *task = &tracker->tasks[i];

        task->tracker = tracker;
        task->ordinal = i;
        mr_edge_ids_init(&task->ids, options->key, i);
        task->open = mr_alloc_array(heap, options->source_count, sizeof *task->open);
        task->sequences = mr_alloc_array(heap, options->source_count, sizeof *task->sequences);
        if (task->open == NULL || task->sequences == NULL) {
            return mr_error_nomem(err, "tracking", options->source_count * sizeof *task->open);
        }
    }
    return MR_OK;
}

static enum mr_status make_sources(struct mr_tracker *tracker, struct mr_error *err)
{
    const struct mr_tracker_options *options = &tracker->options;

    tracker->sources =
        mr_alloc_array(tracker->heap, options->source_count, sizeof *tracker->sources);
    if (tracker->sources == NULL) {
        return mr_error_nomem(err, "tracking", options->source_count * sizeof *tracker->sources);
    }
    for (uint32_t i = 0; i < options->source_count; i++) {
        mr_assert(options->sources[i] < options->task_count);
        MR_RET(mri_source_init(tracker, &tracker->sources[i], i, err));
        tracker->tasks[options->sources[i]].source = &tracker->sources[i];
        if (options->wakeups != NULL) tracker->sources[i].wakeup = options->wakeups[i];
    }
    return MR_OK;
}

enum mr_status mr_tracker_create(struct mr_heap *heap, const struct mr_tracker_options *options,
                                 struct mr_tracker **out, struct mr_error *err)
{
    enum mr_status st = MR_OK;
    struct mr_tracker *tracker = mr_alloc_zero(heap, sizeof *tracker);

    mr_assert(options->task_count > 0 && options->source_count > 0);
    if (tracker == NULL) return mr_error_nomem(err, "tracking", sizeof *tracker);
    tracker->heap = heap;
    tracker->options = *options;
    if (options->pending_rows == 0) tracker->options.pending_rows = MR_TRACK_PENDING_DEFAULT;
    if (options->timeout_us == 0) tracker->options.timeout_us = MR_TRACK_TIMEOUT_DEFAULT_US;
    if (options->tries == 0) tracker->options.tries = MR_TRACK_TRIES_DEFAULT;
    tracker->options.tries = MR_MIN(tracker->options.tries, MRI_TRIES_MAX);
    if (options->source_count > MR_ACKER_OWNERS_MAX) {
        st = mr_error_set(err, MR_E_LIMIT, "tracking: %u instances of sources, at most %u",
                          options->source_count, MR_ACKER_OWNERS_MAX);
        goto done;
    }
    MR_GOTO(make_tasks(tracker, err));
    MR_GOTO(make_sources(tracker, err));
    MR_GOTO(make_rings(tracker, err));
    tracker->options.sources = NULL; /* the caller's */
    tracker->options.wakeups = NULL;
    *out = tracker;
    tracker = NULL;
done:
    mr_tracker_destroy(tracker);
    return st;
}

static void fini_task(struct mr_tracker *tracker, struct mr_track_task *task)
{
    struct mr_heap *heap = tracker->heap;
    uint32_t sources = tracker->options.source_count;

    mri_acks_free(heap, &task->entries);
    mri_acks_free(heap, &task->held);
    mri_acks_free(heap, &task->due);
    mr_free(heap, task->failed, task->failed_room * sizeof *task->failed);
    mr_free(heap, task->first, task->first_room * sizeof *task->first);
    mr_free(heap, task->origin_rows, task->origin_room * sizeof *task->origin_rows);
    mr_free(heap, task->open, sources * sizeof *task->open);
    mr_free(heap, task->sequences, sources * sizeof *task->sequences);
}

void mr_tracker_destroy(struct mr_tracker *tracker)
{
    struct mr_heap *heap;

    if (tracker == NULL) return;
    heap = tracker->heap;
    for (uint32_t i = 0; i < tracker->rings_made; i++) mr_ring_fini(&tracker->rings[i]);
    mr_free(heap, tracker->ring_memory, tracker->ring_bytes);
    for (uint32_t i = 0; tracker->sources != NULL && i < tracker->options.source_count; i++) {
        mri_source_fini(tracker, &tracker->sources[i]);
    }
    mr_free(heap, tracker->sources, tracker->options.source_count * sizeof *tracker->sources);
    for (uint32_t i = 0; tracker->tasks != NULL && i < tracker->options.task_count; i++) {
        fini_task(tracker, &tracker->tasks[i]);
    }
    mr_free(heap, tracker->tasks, tracker->options.task_count * sizeof *tracker->tasks);
    mr_free(heap, tracker, sizeof *tracker);
}

struct mr_track_task *mr_tracker_task(struct mr_tracker *tracker, uint32_t ordinal)
{
    mr_assert(ordinal < tracker->options.task_count);
    return &tracker->tasks[ordinal];
}

/* ---- what can be tracked ---- */

static enum mr_status check_op(const struct mr_plan_op *op, struct mr_error *err)
{
    const char *what = NULL;

    switch (op->kind) {
    case MR_PLAN_AGGREGATE:
    case MR_PLAN_AGGREGATE_PARTIAL:
    case MR_PLAN_AGGREGATE_FINAL: what = "an aggregate"; break;
    case MR_PLAN_TOP_PARTIAL:
    case MR_PLAN_TOP: what = "a sort"; break;
    case MR_PLAN_SCAN:
    case MR_PLAN_EVENT_TIME:
    case MR_PLAN_FILTER:
    case MR_PLAN_PROJECT:
    case MR_PLAN_FUNCTION:
    case MR_PLAN_PROCESS:
    case MR_PLAN_MERGE:
    case MR_PLAN_SINK: return MR_OK;
    }
    return mr_error_set(
        err, MR_E_UNSUPPORTED,
        "operator '%s': with record tracking a row counts as done when everything made "
        "from it has left the job, but %s keeps rows; use --state-dir in place of "
        "--track, or a function with state",
        op->node->id, what);
}

/* Does the operator say which row each of its results was made from? */
static bool tells_rows(const struct mr_plan_op *op)
{
    if (op->kind == MR_PLAN_PROCESS) return false;
    return op->kind != MR_PLAN_FUNCTION || op->node->u.function.kind != MR_FUNCTION_BATCH;
}

static enum mr_status check_edge(const struct mr_plan *plan, const struct mr_plan_edge *edge,
                                 struct mr_error *err)
{
    const struct mr_plan_stage *stage = &plan->stages[edge->from_stage];

    for (uint32_t i = 0; i <= edge->from_op; i++) {
        if (tells_rows(&stage->ops[i])) continue;
        return mr_error_set(
            err, MR_E_UNSUPPORTED,
            "operator '%s': its function does not say which row each result is made "
            "from, and its results go to another task, so record tracking would lose "
            "them; use a row function, write its results right behind it, or use "
            "--state-dir in place of --track",
            stage->ops[i].node->id);
    }
    if (edge->exchange != MR_EXCHANGE_BROADCAST || plan->stages[edge->to_stage].parallelism == 1) {
        return MR_OK;
    }
    return mr_error_set(
        err, MR_E_UNSUPPORTED,
        "operator '%s': a broadcast input cannot be tracked; use --state-dir in place "
        "of --track",
        plan->stages[edge->to_stage].ops[0].node->id);
}

enum mr_status mr_tracker_check_plan(const struct mr_plan *plan, struct mr_error *err)
{
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        for (uint32_t i = 0; i < plan->stages[s].op_count; i++) {
            MR_RET(check_op(&plan->stages[s].ops[i], err));
        }
    }
    for (uint32_t e = 0; e < plan->edge_count; e++) MR_RET(check_edge(plan, &plan->edges[e], err));
    return MR_OK;
}

/* ---- the input at hand ---- */

void mr_track_holds(struct mr_track_task *task)
{
    task->holds = true;
}

static enum mr_status copy_origin_rows(struct mr_track_task *task, const struct mr_batch *batch,
                                       struct mr_error *err)
{
    void *rows = task->origin_rows;
    size_t bytes = batch->row_count * sizeof *task->origin_rows;

    task->renumbered = batch->origin_rows != NULL;
    if (!task->renumbered) return MR_OK;
    if (!mri_grow(task->tracker->heap, &rows, &task->origin_room, batch->row_count,
                  sizeof *task->origin_rows)) {
        return no_memory(task, bytes, err);
    }
    task->origin_rows = rows;
    memcpy(task->origin_rows, batch->origin_rows, bytes);
    return MR_OK;
}

enum mr_status mri_track_take(struct mr_track_task *task, const struct mr_batch *batch,
                              uint32_t entry_count, struct mr_error *err)
{
    mr_assert(!task->at_hand); /* (1) */
    task->entries.count = 0;
    if (!mri_acks_reserve(task->tracker->heap, &task->entries, entry_count)) {
        return no_memory(task, entry_count * sizeof(struct mr_ack), err);
    }
    MR_RET(copy_origin_rows(task, batch, err));
    task->entries.count = entry_count;
    task->row_count = batch->row_count;
    task->single = true;
    task->at_hand = true;
    return MR_OK;
}

/* The same rows under numbers of their own: operators pass them on with the origin. */
static struct mr_batch *renumber(struct mr_quota *quota, struct mr_batch *batch)
{
    struct mr_batch *out = mr_batch_new(quota, batch->column_count, 0);

    if (out == NULL) return NULL;
    if (!mr_batch_borrow(out, batch)) MR_UNREACHABLE(); /* it is the first one */
    memcpy(out->columns, batch->columns, batch->column_count * sizeof *out->columns);
    memcpy(out->hidden, batch->hidden, sizeof out->hidden);
    out->hidden[MR_HIDDEN_TRACKING] = NULL;
    out->row_count = batch->row_count;
    out->selection = batch->selection;
    /* No source has this number: messages about a row do not name a place in a file. */
    out->origin =
        (struct mr_origin){.known = true, .split = batch->origin.split, .source_id = UINT32_MAX};
    return out;
}

/* Pairs (root, edge) of the rows, as many as the column says. */
static enum mr_status load_entries(struct mr_track_task *task, const struct mr_batch *batch,
                                   struct mr_error *err)
{
    const struct mr_column *tracking = batch->hidden[MR_HIDDEN_TRACKING];
    const uint32_t *offsets = tracking == NULL ? NULL : tracking->values;
    const int64_t *pairs = tracking == NULL ? NULL : tracking->children[0].values;
    void *first = task->first;
    uint32_t entries = 0;

    mr_assert(tracking == NULL || tracking->encoding == MR_FLAT);
    if (!mri_grow(task->tracker->heap, &first, &task->first_room, batch->row_count + 1,
                  sizeof *task->first)) {
        return no_memory(task, batch->row_count * sizeof *task->first, err);
    }
    task->first = first;
    for (uint32_t i = 0; i < batch->row_count; i++) {
        uint32_t at = mr_batch_at(batch, i);

        task->first[i] = entries;
        if (offsets != NULL) entries += (offsets[at + 1] - offsets[at]) / 2;
    }
    task->first[batch->row_count] = entries;
    MR_RET(mri_track_take(task, batch, entries, err));
    task->single = false;
    for (uint32_t i = 0; i < batch->row_count; i++) {
        const int64_t *pair = offsets == NULL ? NULL : pairs + offsets[mr_batch_at(batch, i)];

        for (uint32_t k = task->first[i]; k < task->first[i + 1]; k++, pair += 2) {
            task->entries.items[k] = (struct mr_ack){(uint64_t)pair[0], (uint64_t)pair[1]};
        }
    }
    return MR_OK;
}

enum mr_status mr_track_begin(struct mr_track_task *task, struct mr_quota *quota,
                              struct mr_batch *batch, struct mr_batch **out, struct mr_error *err)
{
    struct mr_batch *made = renumber(quota, batch);
    enum mr_status st;

    *out = NULL;
    if (made == NULL) return MR_OK;
    st = load_entries(task, batch, err);
    if (st != MR_OK) {
        mr_batch_release(made);
        return st;
    }
    task->renumbered = false;
    *out = made;
    return MR_OK;
}

/* The row of the input that is known by `number`; row_count: none. */
static uint32_t row_known_by(const struct mr_track_task *task, uint32_t number)
{
    uint32_t low = 0, high = task->row_count;

    if (!task->renumbered) return MR_MIN(number, task->row_count);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (task->origin_rows[middle] < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < task->row_count && task->origin_rows[low] == number ? low : task->row_count;
}

/* The entries of the row that a row of the chain was made from. */
static bool entries_of(const struct mr_track_task *task, const struct mr_batch *batch, uint32_t row,
                       uint32_t *out_first, uint32_t *out_end)
{
    uint32_t number = batch->origin_rows != NULL ? batch->origin_rows[row] : row;
    uint32_t from;

    if (!batch->origin.known) return false;
    from = row_known_by(task, number);
    if (from == task->row_count) return false;
    *out_first = task->single ? from : task->first[from];
    *out_end = task->single ? from + 1 : task->first[from + 1];
    return true;
}

/* ---- rows that leave ---- */

static enum mr_status unknown_row(struct mr_error *err)
{
    return mr_error_set(err, MR_E_UNSUPPORTED,
                        "record tracking: a row that goes to another task is made from no row that "
                        "is known; use a row function, or --state-dir in place of --track");
}

/* How many pairs the rows carry; also checks that every row is made from a known one. */
static enum mr_status count_pairs(const struct mr_track_task *task, const struct mr_batch *batch,
                                  uint32_t *out_pairs, struct mr_error *err)
{
    uint32_t pairs = 0;

    for (uint32_t i = 0; i < batch->row_count; i++) {
        uint32_t first, end;

        if (!entries_of(task, batch, i, &first, &end)) return unknown_row(err);
        pairs += end - first;
    }
    *out_pairs = pairs;
    if (2 * (uint64_t)pairs <= MR_BATCH_ROWS_MAX) return MR_OK;
    return mr_error_set(err, MR_E_LIMIT,
                        "record tracking: %u rows of a batch have %u anchors, at most %u fit; use "
                        "smaller batches",
                        batch->row_count, pairs, MR_BATCH_ROWS_MAX / 2);
}

struct leaving {
    struct mr_batch *batch;
    struct mr_column *tracking, *child;
    uint32_t *offsets;
    int64_t *pairs;
};

/* The same rows with room for the tracking column; false: no memory. */
static bool make_leaving(struct mr_quota *quota, struct mr_batch *batch, uint32_t elements,
                         uint32_t pairs, struct leaving *out)
{
    size_t bytes = (elements + 1) * sizeof *out->offsets + pairs * 2 * sizeof *out->pairs + 512;
    struct mr_batch *made = mr_batch_new(quota, batch->column_count, bytes);

    if (made == NULL) return false;
    if (!mr_batch_borrow(made, batch)) MR_UNREACHABLE(); /* it is the first one */
    memcpy(made->columns, batch->columns, batch->column_count * sizeof *made->columns);
    memcpy(made->hidden, batch->hidden, sizeof made->hidden);
    made->row_count = batch->row_count;
    made->selection = batch->selection;
    made->origin.split = batch->origin.split;
    out->batch = made;
    out->tracking = mr_batch_memory(made, sizeof *out->tracking);
    out->child = mr_batch_memory(made, sizeof *out->child);
    out->offsets = mr_batch_values(made, MR_LAYOUT_LIST, elements);
    out->pairs = mr_batch_values(made, MR_LAYOUT_I64, MR_MAX(2 * pairs, 1u));
    if (out->tracking != NULL && out->child != NULL && out->offsets != NULL && out->pairs != NULL) {
        return true;
    }
    mr_batch_release(made);
    return false;
}

/* A fresh edge for each row; what it is made from has it among its edges from now on. */
static void fill_leaving(struct mr_track_task *task, const struct mr_batch *batch,
                         uint32_t elements, const struct leaving *leaving)
{
    uint32_t element = 0, at = 0;

    for (uint32_t i = 0; i < batch->row_count; i++) {
        uint64_t edge = mr_edge_ids_next(&task->ids);
        uint32_t first = 0, end = 0;

        (void)entries_of(task, batch, i, &first, &end);
        while (element <= mr_batch_at(batch, i)) leaving->offsets[element++] = at;
        for (uint32_t k = first; k < end; k++) {
            task->entries.items[k].edges ^= edge;
            leaving->pairs[at++] = (int64_t)task->entries.items[k].root;
            leaving->pairs[at++] = (int64_t)edge;
        }
    }
    while (element <= elements) leaving->offsets[element++] = at;
    *leaving->child = (struct mr_column){.type = MR_INT64, .values = leaving->pairs};
    *leaving->tracking = (struct mr_column){.type = MR_LIST,
                                            .child_count = 1,
                                            .child_rows = at,
                                            .values = leaving->offsets,
                                            .children = leaving->child};
    leaving->batch->hidden[MR_HIDDEN_TRACKING] = leaving->tracking;
}

enum mr_status mr_track_leave(struct mr_track_task *task, struct mr_quota *quota,
                              struct mr_batch *batch, struct mr_batch **out, struct mr_error *err)
{
    struct leaving leaving;
    uint32_t pairs = 0;
    uint32_t elements;

    *out = NULL;
    if (!task->at_hand && batch->row_count > 0) return unknown_row(err); /* a timer's, say */
    elements = batch->row_count == 0 ? 0 : mr_batch_at(batch, batch->row_count - 1) + 1;
    MR_RET(count_pairs(task, batch, &pairs, err));
    if (!make_leaving(quota, batch, elements, pairs, &leaving)) return MR_OK;
    fill_leaving(task, batch, elements, &leaving);
    *out = leaving.batch;
    return MR_OK;
}

/* ---- the end of an input ---- */

enum mr_status mr_track_fail(struct mr_track_task *task, const struct mr_batch *batch, uint32_t row,
                             enum mr_status why, struct mr_error *err)
{
    uint32_t first, end;
    void *failed = task->failed;

    mr_assert(why != MR_OK);
    if (!task->at_hand || !entries_of(task, batch, row, &first, &end)) return unknown_row(err);
    if (!mri_grow(task->tracker->heap, &failed, &task->failed_room,
                  task->failed_count + (end - first), sizeof *task->failed)) {
        return no_memory(task, (end - first) * sizeof *task->failed, err);
    }
    task->failed = failed;
    for (uint32_t k = first; k < end; k++) {
        task->failed[task->failed_count++] =
            (struct mri_track_failed){task->entries.items[k].root, why};
    }
    return MR_OK;
}

enum mr_status mr_track_end(struct mr_track_task *task, struct mr_error *err)
{
    struct mri_acks *to = task->holds ? &task->held : &task->due;

    if (!task->at_hand) return MR_OK;
    if (!mri_acks_reserve(task->tracker->heap, to, task->entries.count)) {
        return no_memory(task, task->entries.count * sizeof *to->items, err);
    }
    memcpy(to->items + to->count, task->entries.items, task->entries.count * sizeof *to->items);
    to->count += task->entries.count;
    task->at_hand = false;
    (void)mr_track_ready(task);
    return MR_OK;
}

enum mr_status mr_track_flushed(struct mr_track_task *task, struct mr_error *err)
{
    struct mri_acks *held = &task->held;

    if (held->count == 0) return MR_OK;
    if (task->due.count == 0) {
        struct mri_acks empty = task->due;

        task->due = *held;
        *held = empty;
    } else {
        if (!mri_acks_reserve(task->tracker->heap, &task->due, held->count)) {
            return no_memory(task, held->count * sizeof *held->items, err);
        }
        memcpy(task->due.items + task->due.count, held->items, held->count * sizeof *held->items);
        task->due.count += held->count;
    }
    held->count = 0;
    (void)mr_track_ready(task);
    return MR_OK;
}

/* ---- messages ---- */

/* A source that waits for room may sleep until it is told. */
static void wake(const struct mri_track_source *source)
{
    const struct mr_wakeup *wakeup = source->wakeup;

    if (wakeup == NULL) return;
    atomic_thread_fence(memory_order_seq_cst); /* as in mr_channel_put */
    if (!atomic_load_explicit(&wakeup->parked, memory_order_relaxed)) return;
    wakeup->parker->wake(wakeup->parker->self, wakeup->worker);
}

/* Sends what is written to a source; false: there is no room for it. */
static bool send(struct mr_track_task *task, uint32_t source)
{
    struct mr_tracker *tracker = task->tracker;
    struct mri_track_message *message = &task->open[source];

    if (message->count == 0) return true;
    message->sequence = task->sequences[source] + 1;
    if (task->source == &tracker->sources[source]) {
        mri_source_hear(tracker, task->source, task->ordinal, message);
    } else {
        uint32_t ring = task->ordinal * tracker->options.source_count + source;

        if (!mr_ring_put(&tracker->rings[ring], message)) return false;
        wake(&tracker->sources[source]);
    }
    task->sequences[source]++;
    message->count = 0;
    return true;
}

/* Writes down a word about a root; false: its source has no room for the words before. */
static bool write_word(struct mr_track_task *task, const struct mr_ack *ack, enum mr_status status)
{
    uint32_t source = mr_acker_owner(ack->root);
    struct mri_track_message *message = &task->open[source];

    mr_assert(source < task->tracker->options.source_count);
    if (message->count == MRI_MESSAGE_ACKS || (message->count > 0 && message->status != status)) {
        if (!send(task, source)) return false;
    }
    message->status = status;
    message->acks[message->count++] = *ack;
    return true;
}

/* Failures go first: an acknowledgement of the same row may not complete its root before. */
static bool write_words(struct mr_track_task *task)
{
    struct mri_acks *due = &task->due;

    for (; task->failed_at < task->failed_count; task->failed_at++) {
        const struct mri_track_failed *failed = &task->failed[task->failed_at];
        struct mr_ack ack = {failed->root, 0};

        if (!write_word(task, &ack, failed->why)) return false;
    }
    task->failed_at = task->failed_count = 0;
    for (; due->at < due->count; due->at++) {
        if (!write_word(task, &due->items[due->at], MR_OK)) return false;
    }
    due->at = due->count = 0;
    return true;
}

bool mr_track_ready(struct mr_track_task *task)
{
    bool all = write_words(task);

    for (uint32_t i = 0; i < task->tracker->options.source_count; i++) all &= send(task, i);
    return all && !task->at_hand;
}

bool mr_track_idle(const struct mr_track_task *task)
{
    if (task->at_hand || task->held.count > 0 || task->due.count > 0) return false;
    if (task->failed_count > 0) return false;
    for (uint32_t i = 0; i < task->tracker->options.source_count; i++) {
        if (task->open[i].count > 0) return false;
    }
    return true;
}
