/* top.c - the first rows in an order: top N, and the whole input sorted.
 *
 * Every row becomes an entry: its sort key in order-preserving form (data/rowcodec.h), followed by
 * the row itself. Entries are compared by the first 8 bytes of the key, then the whole key, then
 * the bytes of the row, so that the result does not depend on the order of arrival.
 *
 * Top N keeps the best `limit` entries in a binary heap whose root is the worst one. At the end the
 * heap is turned round (root: the best) and emptied from the root. Sort collects entries in runs of
 * RUN_ROWS, sorts each run when it is full, and merges them at the end through a heap of runs. In
 * both cases one call of next does a bounded amount of work, whatever the number of rows.
 *
 * Entries lie in chunks of memory. Entries that lost their place leave garbage behind, which is
 * swept by copying when it is more than what lives.
 *
 * Seal: one entry per row that came since the last seal, key = stamp, sort key and row. A row that
 * was sealed and lost its place later needs no removal: put back, it loses again. Stamps (instance
 * and number) tell a row that is offered twice from two equal rows.
 */
#include "base/hash.h"
#include "data/rowcodec.h"
#include "exec/exec_internal.h"

#ifdef MR_TEST_SMALL
#define RUN_ROWS    4u
#define CHUNK_BYTES ((size_t)512)
#else
#define RUN_ROWS    8192u
#define CHUNK_BYTES ((size_t)256 * 1024)
#endif
#define STAMP_INSTANCE_SHIFT 48u
#define STAMP_NUMBER_MASK    ((UINT64_C(1) << STAMP_INSTANCE_SHIFT) - 1)
#define NO_LIMIT             UINT64_MAX

struct entry { /* in a chunk, 8-byte aligned */
    uint64_t stamp;
    uint32_t key_bytes;
    uint32_t row_bytes;
    char bytes[]; /* key, row */
};

struct ref {
    uint64_t prefix; /* first 8 bytes of the key, as a big-endian number */
    const struct entry *entry;
};

struct chunk {
    struct chunk *next;
    size_t room_bytes; /* of bytes[] */
    size_t used_bytes;
    MR_ALIGNED(8) char bytes[];
};

struct run {
    uint32_t count;
    uint32_t at; /* next one to be merged */
    struct ref refs[RUN_ROWS];
};

enum phase { TOP_COLLECT, TOP_EMIT, TOP_OVER };

struct top {
    struct mr_operator op;
    struct mri_rows rows;
    struct mr_column *keys;   /* order keys of the batch at hand */
    struct mr_buffer scratch; /* one entry's key and row */
    struct mr_builder *builder;
    struct mr_item item; /* tag 0: none */
    enum phase phase;

    struct chunk *chunks; /* newest first */
    size_t live_bytes;    /* of entries that are referred to */
    size_t used_bytes;    /* of all entries in the chunks */

    struct ref *heap; /* top N: root is the worst (TOP_COLLECT) or the best (TOP_EMIT) */
    uint64_t heap_count, heap_room;
    struct run **runs; /* sort: in order of arrival; from TOP_EMIT on a heap by next entry */
    uint32_t run_count, run_room;

    uint64_t next_stamp;             /* number of the next row of this instance */
    uint64_t sealed_stamp;           /* rows with lower numbers are sealed already */
    const struct entry *undelivered; /* popped, but the batch had no room for it */
};

/* ---- order ---- */

static uint64_t prefix_of(const char *key, size_t key_bytes)
{
    uint64_t prefix = 0;

    for (size_t i = 0; i < 8; i++) {
        prefix = prefix << 8 | (i < key_bytes ? (unsigned char)key[i] : 0);
    }
    return prefix;
}

static int compare_bytes(const char *left, size_t left_bytes, const char *right, size_t right_bytes)
{
    int order = memcmp(left, right, MR_MIN(left_bytes, right_bytes));

    if (order != 0) return order;
    return (left_bytes > right_bytes) - (left_bytes < right_bytes);
}

static int compare(const struct ref *left, const struct ref *right)
{
    const struct entry *l = left->entry;
    const struct entry *r = right->entry;
    int order;

    if (left->prefix != right->prefix) return left->prefix < right->prefix ? -1 : 1;
    order = compare_bytes(l->bytes, l->key_bytes, r->bytes, r->key_bytes);
    if (order != 0) return order;
    order =
        compare_bytes(l->bytes + l->key_bytes, l->row_bytes, r->bytes + r->key_bytes, r->row_bytes);
    if (order != 0) return order;
    return (l->stamp > r->stamp) - (l->stamp < r->stamp); /* equal rows: no difference to see */
}

/* Heap order: true if `left` belongs nearer to the root. */
static bool nearer(const struct top *top, const struct ref *left, const struct ref *right)
{
    int order = compare(left, right);

    return top->phase == TOP_COLLECT ? order > 0 : order < 0;
}

static void sift_down(const struct top *top, struct ref *heap, uint64_t count, uint64_t at)
{
    struct ref moving = heap[at];

    for (uint64_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && nearer(top, &heap[child + 1], &heap[child])) child++;
        if (!nearer(top, &heap[child], &moving)) break;
        heap[at] = heap[child];
    }
    heap[at] = moving;
}

static void sift_up(const struct top *top, struct ref *heap, uint64_t at)
{
    struct ref moving = heap[at];

    while (at > 0 && nearer(top, &moving, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moving;
}

/* ---- sorting a run: quicksort, insertion sort for short pieces, heap sort in the bad case ---- */

static void sort_by_insertion(struct ref *refs, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct ref moving = refs[i];
        uint32_t at = i;

        for (; at > 0 && compare(&moving, &refs[at - 1]) < 0; at--) refs[at] = refs[at - 1];
        refs[at] = moving;
    }
}

static void sink_worst(struct ref *refs, uint32_t count, uint32_t at)
{
    struct ref moving = refs[at];

    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && compare(&refs[child + 1], &refs[child]) > 0) child++;
        if (compare(&refs[child], &moving) <= 0) break;
        refs[at] = refs[child];
    }
    refs[at] = moving;
}

static void sort_by_heap(struct ref *refs, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;) sink_worst(refs, count, i);
    for (uint32_t end = count; end-- > 1;) {
        struct ref last = refs[end];

        refs[end] = refs[0];
        refs[0] = last;
        sink_worst(refs, end, 0);
    }
}

static const struct ref *middle_of(const struct ref *a, const struct ref *b, const struct ref *c)
{
    if (compare(a, b) > 0) {
        const struct ref *swapped = a;

        a = b;
        b = swapped;
    }
    if (compare(b, c) <= 0) return b;
    return compare(a, c) > 0 ? a : c;
}

/* Hoare's partition around the middle of three: refs[0..*] <= pivot <= the rest, both not empty,
 * because the pivot is never the only greatest one. */
static uint32_t partition(struct ref *refs, uint32_t count)
{
    struct ref pivot = *middle_of(&refs[0], &refs[count / 2], &refs[count - 1]);
    uint32_t low = 0;
    uint32_t high = count - 1;

    for (;; low++, high--) {
        while (compare(&refs[low], &pivot) < 0) low++;
        while (compare(&pivot, &refs[high]) < 0) high--;
        if (low >= high) return high + 1;
        struct ref swapped = refs[low];
        refs[low] = refs[high];
        refs[high] = swapped;
    }
}

static void sort_refs(struct ref *refs, uint32_t count, uint32_t depth_left)
{
    while (count > 16) {
        if (depth_left-- == 0) {
            sort_by_heap(refs, count);
            return;
        }
        uint32_t left = partition(refs, count);
        if (left < count - left) { /* the shorter part by recursion: the stack stays small */
            sort_refs(refs, left, depth_left);
            refs += left;
            count -= left;
        } else {
            sort_refs(refs + left, count - left, depth_left);
            count = left;
        }
    }
    sort_by_insertion(refs, count);
}

/* ---- memory of entries ---- */

static enum mr_status too_much(const struct top *top, size_t wanted_bytes, struct mr_error *err)
{
    const struct mr_plan_op *plan = top->op.plan;

    if (plan->limit == NO_LIMIT) {
        return mr_error_set(err, MR_E_NOMEM,
                            "operator '%s': sorting needs more memory than there is: it holds %zu "
                            "bytes of rows and wants %zu more; raise --memory, sort fewer rows, or "
                            "ask for the first rows only",
                            plan->node->id, top->used_bytes, wanted_bytes);
    }
    return mr_error_set(err, MR_E_NOMEM,
                        "operator '%s': the first %llu rows need more memory than there is: it "
                        "holds %zu bytes of rows and wants %zu more; raise --memory or lower the "
                        "limit",
                        plan->node->id, (unsigned long long)plan->limit, top->used_bytes,
                        wanted_bytes);
}

static size_t entry_bytes(size_t key_bytes, size_t row_bytes)
{
    return (sizeof(struct entry) + key_bytes + row_bytes + 7) & ~(size_t)7;
}

/* Copies key and row into a chunk. NULL: no memory. */
static struct entry *entry_new(struct top *top, uint64_t stamp, const char *bytes,
                               uint32_t key_bytes, uint32_t row_bytes)
{
    size_t size_bytes = entry_bytes(key_bytes, row_bytes);
    struct chunk *chunk = top->chunks;
    struct entry *entry;

    if (chunk == NULL || size_bytes > chunk->room_bytes - chunk->used_bytes) {
        size_t room = MR_MAX(CHUNK_BYTES - sizeof *chunk, size_bytes);

        chunk = mr_alloc(top->op.task->heap, sizeof *chunk + room);
        if (chunk == NULL) return NULL;
        *chunk = (struct chunk){.next = top->chunks, .room_bytes = room};
        top->chunks = chunk;
    }
    entry = (struct entry *)(void *)(chunk->bytes + chunk->used_bytes);
    entry->stamp = stamp;
    entry->key_bytes = key_bytes;
    entry->row_bytes = row_bytes;
    memcpy(entry->bytes, bytes, (size_t)key_bytes + row_bytes);
    chunk->used_bytes += size_bytes;
    top->used_bytes += size_bytes;
    top->live_bytes += size_bytes;
    return entry;
}

static void free_chunks(struct top *top, struct chunk *chunk)
{
    while (chunk != NULL) {
        struct chunk *next = chunk->next;

        mr_free(top->op.task->heap, chunk, sizeof *chunk + chunk->room_bytes);
        chunk = next;
    }
}

/* Copies what lives into fresh chunks when that frees more than half. */
static enum mr_status sweep(struct top *top, struct mr_error *err)
{
    struct chunk *old = top->chunks;
    size_t live_bytes = top->live_bytes;

    if (top->used_bytes <= 2 * live_bytes + CHUNK_BYTES) return MR_OK;
    top->chunks = NULL;
    top->used_bytes = top->live_bytes = 0;
    for (uint64_t i = 0; i < top->heap_count; i++) {
        const struct entry *from = top->heap[i].entry;
        struct entry *to =
            entry_new(top, from->stamp, from->bytes, from->key_bytes, from->row_bytes);

        if (to == NULL) { /* the operator is only closed after this: keep all in one list */
            struct chunk *last = top->chunks;

            if (last == NULL) {
                top->chunks = old;
            } else {
                while (last->next != NULL) last = last->next;
                last->next = old;
            }
            return too_much(top, live_bytes, err);
        }
        top->heap[i].entry = to;
    }
    free_chunks(top, old);
    return MR_OK;
}

/* ---- collecting ---- */

static enum mr_status grow(struct top *top, void **array, size_t old_bytes, size_t new_bytes,
                           struct mr_error *err)
{
    void *fresh = mr_realloc(top->op.task->heap, *array, old_bytes, new_bytes);

    if (fresh == NULL) return too_much(top, new_bytes, err);
    *array = fresh;
    return MR_OK;
}

static enum mr_status heap_room(struct top *top, struct mr_error *err)
{
    uint64_t room = top->heap_room == 0 ? 64 : 2 * top->heap_room;
    void *heap = top->heap;

    if (top->heap_count < top->heap_room) return MR_OK;
    room = MR_MIN(room, top->op.plan->limit);
    MR_RET(grow(top, &heap, top->heap_room * sizeof *top->heap, room * sizeof *top->heap, err));
    top->heap = heap;
    top->heap_room = room;
    return MR_OK;
}

static enum mr_status run_new(struct top *top, struct run **out, struct mr_error *err)
{
    struct run *run;
    void *runs = top->runs;

    if (top->run_count == top->run_room) {
        uint32_t room = top->run_room == 0 ? 16 : 2 * top->run_room;

        MR_RET(grow(top, &runs, top->run_room * sizeof *top->runs, room * sizeof *top->runs, err));
        top->runs = runs;
        top->run_room = room;
    }
    run = mr_alloc(top->op.task->heap, sizeof *run);
    if (run == NULL) return too_much(top, sizeof *run, err);
    run->count = 0;
    run->at = 0;
    top->runs[top->run_count++] = run;
    *out = run;
    return MR_OK;
}

/* Sorts a run that is full; the depth allows twice that of an even partition. */
static void run_finish(struct run *run)
{
    sort_refs(run->refs, run->count, 2 * 32);
    run->at = 0;
}

static enum mr_status run_add(struct top *top, const struct ref *ref, struct mr_error *err)
{
    struct run *run = top->run_count > 0 ? top->runs[top->run_count - 1] : NULL;

    if (run == NULL || run->count == RUN_ROWS) MR_RET(run_new(top, &run, err));
    run->refs[run->count++] = *ref;
    if (run->count == RUN_ROWS) run_finish(run);
    return MR_OK;
}

/* Keeps an entry if it is among the best; what falls out becomes garbage. */
static enum mr_status heap_add(struct top *top, const struct ref *ref, struct mr_error *err)
{
    const struct entry *fallen;

    if (top->heap_count < top->op.plan->limit) {
        MR_RET(heap_room(top, err));
        top->heap[top->heap_count] = *ref;
        sift_up(top, top->heap, top->heap_count++);
        return MR_OK;
    }
    fallen = ref->entry;
    if (top->heap_count > 0 && compare(ref, &top->heap[0]) < 0) {
        fallen = top->heap[0].entry;
        top->heap[0] = *ref;
        sift_down(top, top->heap, top->heap_count, 0);
    }
    top->live_bytes -= entry_bytes(fallen->key_bytes, fallen->row_bytes);
    return sweep(top, err);
}

static enum mr_status add_entry(struct top *top, const struct entry *entry, struct mr_error *err)
{
    struct ref ref = {.prefix = prefix_of(entry->bytes, entry->key_bytes), .entry = entry};

    return top->op.plan->limit == NO_LIMIT ? run_add(top, &ref, err) : heap_add(top, &ref, err);
}

/* True if a row with this key cannot be among the best, whatever the rest of it. */
static bool hopeless(const struct top *top, const char *key, size_t key_bytes)
{
    const struct entry *worst;

    if (top->op.plan->limit == 0) return true;
    if (top->op.plan->limit == NO_LIMIT || top->heap_count < top->op.plan->limit) return false;
    worst = top->heap[0].entry;
    return compare_bytes(key, key_bytes, worst->bytes, worst->key_bytes) > 0;
}

/* Hidden columns that rows of the output carry, as 8 bytes each behind the columns of a row. */
static uint32_t carried(const struct top *top)
{
    return top->op.plan->output_hidden & ~(1u << MR_HIDDEN_TRACKING);
}

static bool encode_row(struct top *top, const struct mr_batch *batch, uint32_t row)
{
    uint32_t element = mr_batch_at(batch, row);

    for (uint32_t c = 0; c < batch->column_count; c++) {
        if (!mr_row_encode(&top->scratch, &batch->columns[c], element)) return false;
    }
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        if ((carried(top) >> tag & 1) == 0) continue;
        int64_t value = mri_hidden_value(batch, (enum mr_hidden)tag, row);
        if (!mr_buffer_put_u64(&top->scratch, (uint64_t)value)) return false;
    }
    return true;
}

static bool encode_key(struct top *top, const struct mr_batch *batch, uint32_t row)
{
    const struct mr_plan_op *plan = top->op.plan;

    for (uint32_t k = 0; k < plan->expr_count; k++) {
        uint32_t column;
        bool plain = mr_bound_is_column(plan->exprs[k], &column);
        uint32_t element = plain ? mr_batch_at(batch, row) : row;
        bool descending = plan->descending != NULL && plan->descending[k];

        if (!mr_key_encode(&top->scratch, &top->keys[k], element, descending)) return false;
    }
    return true;
}

static enum mr_status add_row(struct top *top, const struct mr_batch *batch, uint32_t row,
                              struct mr_error *err)
{
    struct mr_buffer *scratch = &top->scratch;
    uint64_t stamp = (uint64_t)top->op.task->instance << STAMP_INSTANCE_SHIFT | top->next_stamp++;
    size_t key_bytes;
    const struct entry *entry;

    scratch->size_bytes = 0;
    if (!encode_key(top, batch, row)) return too_much(top, scratch->size_bytes, err);
    key_bytes = scratch->size_bytes;
    if (hopeless(top, scratch->data, key_bytes)) return MR_OK;
    if (!encode_row(top, batch, row)) return too_much(top, scratch->size_bytes, err);
    entry = entry_new(top, stamp, scratch->data, (uint32_t)key_bytes,
                      (uint32_t)(scratch->size_bytes - key_bytes));
    if (entry == NULL) return too_much(top, scratch->size_bytes, err);
    return add_entry(top, entry, err);
}

/* The order keys of a batch: its own columns, or computed ones in *out_target. */
static enum mr_status evaluate_keys(struct top *top, struct mr_batch *batch,
                                    struct mr_batch **out_target, bool *out_blocked,
                                    struct mr_error *err)
{
    const struct mr_plan_op *plan = top->op.plan;

    for (uint32_t k = 0; k < plan->expr_count && !*out_blocked; k++) {
        uint32_t column;

        if (mr_bound_is_column(plan->exprs[k], &column)) {
            top->keys[k] = batch->columns[column];
            continue;
        }
        if (*out_target == NULL) *out_target = mr_batch_new(top->op.task->quota, 0, 0);
        *out_blocked = *out_target == NULL;
        if (*out_blocked) return MR_OK;
        MR_RET(mr_eval_run(top->rows.eval, plan->exprs[k], batch, *out_target, &top->keys[k],
                           &top->rows.failures, out_blocked, err));
    }
    return MR_OK;
}

static enum mr_status absorb_rows(struct top *top, struct mr_batch *batch, struct mr_error *err)
{
    const struct mr_plan_op *plan = top->op.plan;

    if (mri_rows_any_bad(&top->rows, batch->row_count)) {
        MR_RET(mri_rows_report(&top->rows, batch, plan->exprs, plan->expr_count, err));
    }
    for (uint32_t row = 0; row < batch->row_count; row++) {
        if (!mr_bit_get(top->rows.bits, row)) MR_RET(add_row(top, batch, row, err));
    }
    return MR_OK;
}

static enum mr_status absorb(struct top *top, enum mr_flow *out_flow, struct mr_error *err)
{
    struct mr_batch *batch = top->item.batch;
    struct mr_batch *target = NULL;
    bool blocked = false;
    size_t wanted = (size_t)top->op.plan->expr_count * batch->row_count * sizeof(struct mr_view);
    enum mr_status st;

    MR_GOTO(mri_rows_begin(&top->rows, batch->row_count, err));
    MR_GOTO(evaluate_keys(top, batch, &target, &blocked, err));
    if (blocked) {
        mr_batch_release(target);
        return mri_wait_or_fail(&top->op, batch, wanted, out_flow, err);
    }
    MR_GOTO(absorb_rows(top, batch, err));
    mr_batch_release(batch);
    top->item = (struct mr_item){.batch = NULL};
    *out_flow = MR_FLOW_NEED_INPUT;
done:
    mr_batch_release(target);
    return st;
}

/* ---- emitting ---- */

static bool run_nearer(const struct run *left, const struct run *right)
{
    return compare(&left->refs[left->at], &right->refs[right->at]) < 0;
}

static void sift_run_down(struct run **runs, uint32_t count, uint32_t at)
{
    struct run *moving = runs[at];

    for (uint32_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && run_nearer(runs[child + 1], runs[child])) child++;
        if (!run_nearer(runs[child], moving)) break;
        runs[at] = runs[child];
    }
    runs[at] = moving;
}

/* From collecting to emitting: best first. */
static void turn(struct top *top)
{
    struct run *last = top->run_count > 0 ? top->runs[top->run_count - 1] : NULL;

    top->phase = TOP_EMIT;
    for (uint64_t i = top->heap_count / 2; i-- > 0;) {
        sift_down(top, top->heap, top->heap_count, i);
    }
    if (last != NULL && last->count < RUN_ROWS) run_finish(last);
    for (uint32_t i = top->run_count / 2; i-- > 0;) sift_run_down(top->runs, top->run_count, i);
}

static const struct entry *pop_heap(struct top *top)
{
    const struct entry *best = top->heap[0].entry;

    top->heap[0] = top->heap[--top->heap_count];
    if (top->heap_count > 0) sift_down(top, top->heap, top->heap_count, 0);
    return best;
}

static const struct entry *pop_run(struct top *top)
{
    struct run *run = top->runs[0];
    const struct entry *best = run->refs[run->at++].entry;

    if (run->at == run->count) {
        top->runs[0] = top->runs[--top->run_count];
        mr_free(top->op.task->heap, run, sizeof *run);
    }
    if (top->run_count > 0) sift_run_down(top->runs, top->run_count, 0);
    return best;
}

/* The best entry that has not been popped yet, or NULL. */
static const struct entry *pop(struct top *top)
{
    if (top->run_count > 0) return pop_run(top);
    return top->heap_count > 0 ? pop_heap(top) : NULL;
}

static enum mr_status decode_hidden(struct top *top, struct mr_cursor *in, struct mr_error *err)
{
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        uint64_t value;

        if ((carried(top) >> tag & 1) == 0) continue;
        if (!mr_cursor_u64(in, &value)) {
            return mr_error_set(err, MR_E_CORRUPT, "operator '%s': a stored row ends too early",
                                top->op.plan->node->id);
        }
        mr_builder_set_hidden(top->builder, (enum mr_hidden)tag, (int64_t)value);
    }
    return MR_OK;
}

static enum mr_status append(struct top *top, const struct entry *entry, enum mr_build *out_build,
                             struct mr_error *err)
{
    const struct mr_schema *schema = top->op.plan->outputs[0];
    struct mr_cursor in = {entry->bytes + entry->key_bytes,
                           entry->bytes + entry->key_bytes + entry->row_bytes};

    *out_build = mr_builder_begin_row(top->builder);
    for (uint32_t c = 0; c < schema->column_count && *out_build == MR_BUILD_OK; c++) {
        MR_RET(mr_row_decode(&in, &schema->fields[c], top->builder, c, out_build, err));
        if (*out_build != MR_BUILD_OK) mr_builder_abandon_row(top->builder);
    }
    if (*out_build != MR_BUILD_OK) return MR_OK;
    MR_RET(decode_hidden(top, &in, err));
    mr_builder_commit_row(top->builder);
    return MR_OK;
}

/* Fills a batch from the best entries that are left. */
static enum mr_status emit(struct top *top, struct mr_item *out, enum mr_flow *out_flow,
                           struct mr_error *err)
{
    enum mr_build build = MR_BUILD_OK;

    while (build == MR_BUILD_OK && mr_builder_rows(top->builder) < top->op.task->batch_rows) {
        const struct entry *entry = top->undelivered != NULL ? top->undelivered : pop(top);

        if (entry == NULL) break;
        top->undelivered = entry;
        MR_RET(append(top, entry, &build, err));
        if (build == MR_BUILD_OK) top->undelivered = NULL;
    }
    if (build == MR_BUILD_TOO_LARGE) {
        return mr_error_set(err, MR_E_LIMIT, "operator '%s': a row is too large for a batch",
                            top->op.plan->node->id);
    }
    if (build == MR_BUILD_BLOCKED) {
        return mri_wait_or_fail(&top->op, NULL, top->undelivered->row_bytes, out_flow, err);
    }
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    *out = (struct mr_item){.tag = MR_ITEM_BATCH, .batch = mr_builder_take(top->builder)};
    if (out->batch == NULL) {
        *out = (struct mr_item){.tag = MR_ITEM_END, .time_us = MR_TIME_MAX};
        top->phase = TOP_OVER;
    }
    return MR_OK;
}

/* ---- items ---- */

static enum mr_status top_put(struct mr_operator *op, const struct mr_item *item,
                              struct mr_error *err)
{
    (void)err;
    ((struct top *)op)->item = *item;
    return MR_OK;
}

/* Rows leave at the end only: a watermark passed on earlier would make them late. END says it. */
static enum mr_status control(struct top *top, struct mr_item *out, enum mr_flow *out_flow)
{
    struct mr_item item = top->item;

    top->item = (struct mr_item){.batch = NULL};
    *out_flow = MR_FLOW_NEED_INPUT;
    if (item.tag != MR_ITEM_BARRIER && item.tag != MR_ITEM_TICK) return MR_OK;
    mr_item_forward(out, &item);
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

static enum mr_status top_next(struct mr_operator *op, struct mr_item *out, enum mr_flow *out_flow,
                               struct mr_error *err)
{
    struct top *top = (struct top *)op;

    *out_flow = MR_FLOW_NEED_INPUT;
    switch (top->phase) {
    case TOP_COLLECT:
        if (top->item.tag == 0) return MR_OK;
        if (top->item.tag == MR_ITEM_BATCH) return absorb(top, out_flow, err);
        if (top->item.tag != MR_ITEM_END) return control(top, out, out_flow);
        top->item = (struct mr_item){.batch = NULL};
        turn(top);
        return emit(top, out, out_flow, err);
    case TOP_EMIT: return emit(top, out, out_flow, err);
    case TOP_OVER: break;
    }
    *out_flow = MR_FLOW_DONE;
    return MR_OK;
}

/* ---- seal and restore ---- */

static const char state_name[] = "rows";

static bool is_sealed(const struct top *top, const struct entry *entry)
{
    if (entry->stamp >> STAMP_INSTANCE_SHIFT != top->op.task->instance) return true;
    return (entry->stamp & STAMP_NUMBER_MASK) < top->sealed_stamp;
}

static enum mr_status seal_entry(struct top *top, const struct entry *entry, mr_entry_fn yield,
                                 void *self, struct mr_error *err)
{
    struct mr_buffer *key = &top->scratch;
    struct mr_entry sealed = {.kind = MR_ENTRY_PUT, .state_name = state_name};
    uint64_t hash = mr_hash_bytes(entry->bytes, entry->key_bytes);

    key->size_bytes = 0;
    if (!mr_buffer_put_u64(key, entry->stamp) || !mr_buffer_put_u32(key, entry->key_bytes) ||
        !mr_buffer_put(key, entry->bytes, (size_t)entry->key_bytes + entry->row_bytes)) {
        return too_much(top, key->size_bytes, err);
    }
    sealed.key_group = mr_key_group(hash, top->op.task->key_group_count);
    sealed.key = (struct mr_bytes){key->data, key->size_bytes};
    return yield(self, &sealed, err);
}

static enum mr_status top_seal(struct mr_operator *op, bool full, mr_entry_fn yield, void *self,
                               struct mr_error *err)
{
    struct top *top = (struct top *)op;

    if (top->phase == TOP_OVER) return MR_OK;
    mr_assert(top->phase == TOP_COLLECT && top->item.tag == 0);
    for (uint64_t i = 0; i < top->heap_count; i++) {
        const struct entry *entry = top->heap[i].entry;

        if (full || !is_sealed(top, entry)) MR_RET(seal_entry(top, entry, yield, self, err));
    }
    for (uint32_t r = 0; r < top->run_count; r++) {
        for (uint32_t i = 0; i < top->runs[r]->count; i++) {
            const struct entry *entry = top->runs[r]->refs[i].entry;

            if (full || !is_sealed(top, entry)) MR_RET(seal_entry(top, entry, yield, self, err));
        }
    }
    top->sealed_stamp = top->next_stamp;
    return MR_OK;
}

/* Entries wait in runs: only when all are there can those that came twice be told apart. */
static enum mr_status top_restore(struct mr_operator *op, const struct mr_entry *stored,
                                  struct mr_error *err)
{
    struct top *top = (struct top *)op;
    struct mr_cursor in = {stored->key.data, stored->key.data + stored->key.size_bytes};
    struct ref ref;
    uint64_t stamp = 0;
    uint32_t key_bytes = 0;
    bool fits = stored->kind == MR_ENTRY_PUT && strcmp(stored->state_name, state_name) == 0 &&
                mr_cursor_u64(&in, &stamp) && mr_cursor_u32(&in, &key_bytes) &&
                key_bytes <= (size_t)(in.end - in.at);

    if (!fits) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "operator '%s': the stored state '%s' is not what was written",
                            op->plan->node->id, stored->state_name);
    }
    if (stamp >> STAMP_INSTANCE_SHIFT == op->task->instance) {
        top->next_stamp = MR_MAX(top->next_stamp, (stamp & STAMP_NUMBER_MASK) + 1);
        top->sealed_stamp = top->next_stamp;
    }
    if (stored->key_group < op->task->group_first || stored->key_group >= op->task->group_end) {
        return MR_OK;
    }
    ref.entry = entry_new(top, stamp, in.at, key_bytes, (uint32_t)(in.end - in.at) - key_bytes);
    if (ref.entry == NULL) return too_much(top, stored->key.size_bytes, err);
    ref.prefix = prefix_of(ref.entry->bytes, key_bytes);
    return run_add(top, &ref, err);
}

static void free_runs(struct top *top)
{
    for (uint32_t i = 0; i < top->run_count; i++) {
        mr_free(top->op.task->heap, top->runs[i], sizeof *top->runs[i]);
    }
    mr_free(top->op.task->heap, top->runs, top->run_room * sizeof *top->runs);
    top->runs = NULL;
    top->run_count = top->run_room = 0;
}

static bool same_row(const struct entry *left, const struct entry *right)
{
    size_t bytes = (size_t)left->key_bytes + left->row_bytes;

    return left->stamp == right->stamp && left->key_bytes == right->key_bytes &&
           left->row_bytes == right->row_bytes && memcmp(left->bytes, right->bytes, bytes) == 0;
}

/* Takes what was put back through the order and adds each entry once. `old` has the runs. */
static enum mr_status readd(struct top *top, struct top *old, struct mr_error *err)
{
    const struct entry *last = NULL;
    const struct entry *entry;

    while ((entry = pop(old)) != NULL) {
        if (last != NULL && same_row(last, entry)) continue;
        last = entry;
        struct entry *copy =
            entry_new(top, entry->stamp, entry->bytes, entry->key_bytes, entry->row_bytes);
        if (copy == NULL) return too_much(top, entry->row_bytes, err);
        MR_RET(add_entry(top, copy, err));
    }
    return MR_OK;
}

static enum mr_status top_restored(struct mr_operator *op, struct mr_error *err)
{
    struct top *top = (struct top *)op;
    struct top old = {.op = top->op,
                      .chunks = top->chunks,
                      .runs = top->runs,
                      .run_count = top->run_count,
                      .run_room = top->run_room};
    enum mr_status st;

    top->chunks = NULL;
    top->used_bytes = top->live_bytes = 0;
    top->runs = NULL;
    top->run_count = top->run_room = 0;
    turn(&old);
    st = readd(top, &old, err);
    free_runs(&old);
    free_chunks(&old, old.chunks);
    return st;
}

/* ---- life ---- */

static void top_close(struct mr_operator *op)
{
    struct top *top = (struct top *)op;
    struct mr_heap *heap = op->task->heap;

    mr_batch_release(top->item.batch);
    if (top->builder != NULL) mr_builder_destroy(top->builder);
    free_runs(top);
    mr_free(heap, top->heap, top->heap_room * sizeof *top->heap);
    free_chunks(top, top->chunks);
    mr_buffer_fini(&top->scratch);
    mr_free(heap, top->keys, op->plan->expr_count * sizeof *top->keys);
    mri_rows_fini(&top->rows);
    mr_free(heap, top, sizeof *top);
}

static const struct mr_operator_ops top_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "top",
    .put = top_put,
    .next = top_next,
    .seal = top_seal,
    .restore = top_restore,
    .restored = top_restored,
    .close = top_close,
};

enum mr_status mr_top_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                             struct mr_operator **out, struct mr_error *err)
{
    enum mr_status st;
    struct top *top = mr_alloc_zero(task->heap, sizeof *top);

    if (top == NULL) return mr_error_nomem(err, plan->node->id, sizeof *top);
    top->op = (struct mr_operator){.ops = &top_ops, .plan = plan, .task = task};
    mr_buffer_init(&top->scratch, task->heap);
    top->keys = mr_alloc_array(task->heap, plan->expr_count, sizeof *top->keys);
    if (top->keys == NULL) {
        st = mr_error_nomem(err, plan->node->id, plan->expr_count * sizeof *top->keys);
        goto done;
    }
    MR_GOTO(mri_rows_init(&top->rows, &top->op, err));
    MR_GOTO(mr_builder_create(task->heap, plan->outputs[0], carried(top), task->batch_rows,
                              task->quota, &top->builder, err));
    *out = &top->op;
    top = NULL;
done:
    if (top != NULL) top_close(&top->op);
    return st;
}
