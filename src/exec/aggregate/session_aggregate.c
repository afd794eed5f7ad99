/* session_aggregate.c - windows that grow: rows of a key closer than the gap share one.
 *
 * State "sessions" has one slot per key: a list of sessions in order of time, each with its
 * accumulators. A row opens [t, t + gap); what it meets becomes one session, accumulators merged.
 *
 * Each key is in a heap of due times at most once with its current time: the end of its first
 * session that has not fired, or, with allowed lateness, when its first fired one is to be
 * forgotten. Entries of the heap that no longer say the truth are passed over (the slot knows its
 * own time). The heap is not sealed; it is made anew on restore.
 *
 * Late: a row whose session, after merging, is over (watermark >= end + allowed lateness). By split
 * (late=by-split) a row is judged by what it alone opens, against its split's watermark, so that
 * the answer does not depend on other rows. A late row within the allowed lateness makes its
 * session fire again if that had fired, once per batch.
 *
 * Order of results: by end, then slot.
 */
#include "exec/aggregate/keyed_aggregate.h"

#define NEVER INT64_MAX

struct sessions { /* a slot */
    struct mr_blob list; /* count records */
    int64_t due_us;      /* of its entry in the heap; NEVER: it has none */
    uint32_t count;
    uint32_t padding;
};

struct record { /* followed by the accumulators; 32 bytes keep them aligned */
    int64_t start_us;
    int64_t end_us;
    uint64_t fired;
    uint64_t padding;
};

struct due {
    int64_t time_us;
    uint32_t slot;
};

struct session {
    struct mri_keyed k; /* first */
    struct mr_table *table;
    uint32_t record_bytes;

    struct due *heap;
    uint32_t heap_count, heap_room;

    bool firing;
    int64_t target_us;
    uint32_t slot;  /* being put out; MR_SLOT_NONE: take the next from the heap */
    int64_t due_us; /* its time: later sessions of the key wait for theirs */
};

static struct record *record_at(const struct session *s, const struct sessions *list,
                                uint32_t index)
{
    return (struct record *)(void *)(list->list.data + (size_t)index * s->record_bytes);
}

static void *accs_of(struct record *record)
{
    return record + 1;
}

static int64_t add_times(int64_t time_us, int64_t span_us)
{
    return MR_MIN(time_us + MR_MIN(span_us, MR_TIME_MAX), MR_TIME_MAX);
}

/* ---- slots ---- */

static void slot_init(void *self, void *slot)
{
    (void)self;
    ((struct sessions *)slot)->due_us = NEVER;
}

static void slot_release(void *self, struct mr_store *store, void *slot)
{
    struct session *s = self;
    struct sessions *list = slot;

    for (uint32_t i = 0; i < list->count; i++) {
        mri_accs_release(&s->k.accs, accs_of(record_at(s, list, i)));
    }
    list->count = 0;
    mr_store_blob_free(store, &list->list);
}

static bool slot_encode(void *self, const void *slot, struct mr_buffer *out)
{
    const struct session *s = self;
    const struct sessions *list = slot;

    if (!mr_buffer_put_varint(out, list->count)) return false;
    for (uint32_t i = 0; i < list->count; i++) {
        struct record *record = record_at(s, list, i);

        if (!mr_buffer_put_u64(out, (uint64_t)record->start_us) ||
            !mr_buffer_put_u64(out, (uint64_t)record->end_us) ||
            !mr_buffer_put_varint(out, record->fired) ||
            !mri_accs_encode(&s->k.accs, accs_of(record), out)) {
            return false;
        }
    }
    return true;
}

/* Room for one more record at `index`, initial. */
static bool insert_record(struct session *s, struct sessions *list, uint32_t index)
{
    uint64_t bytes = ((uint64_t)list->count + 1) * s->record_bytes;
    struct record *record;

    if (bytes > UINT32_MAX) return false;
    if (!mr_store_blob_resize(s->k.store, &list->list, (uint32_t)bytes)) return false;
    record = record_at(s, list, index);
    memmove((char *)record + s->record_bytes, record,
            (size_t)(list->count - index) * s->record_bytes);
    memset(record, 0, s->record_bytes);
    mri_accs_create(&s->k.accs, accs_of(record));
    list->count++;
    return true;
}

static enum mr_status corrupt(const struct session *s, struct mr_error *err)
{
    return mr_error_set(err, MR_E_CORRUPT,
                        "operator '%s': the sessions in the snapshot are not what was written",
                        s->k.op.plan->node->id);
}

static enum mr_status slot_decode(void *self, struct mr_store *store, void *slot,
                                  struct mr_cursor *in, struct mr_error *err)
{
    struct session *s = self;
    struct sessions *list = slot;
    int64_t before_us = INT64_MIN;
    uint64_t count;

    (void)store;
    if (!mr_cursor_varint(in, &count) || count == 0) return corrupt(s, err);
    for (uint64_t i = 0; i < count; i++) {
        struct record *record;
        uint64_t start;
        uint64_t end;
        uint64_t fired;

        if (!mr_cursor_u64(in, &start) || !mr_cursor_u64(in, &end) ||
            !mr_cursor_varint(in, &fired)) {
            return corrupt(s, err);
        }
        if ((int64_t)start < before_us || (int64_t)end < (int64_t)start || fired > 1) {
            return corrupt(s, err);
        }
        if (!insert_record(s, list, list->count)) return mri_state_nomem(&s->k.op, s->k.store, err);
        record = record_at(s, list, list->count - 1);
        record->start_us = (int64_t)start;
        record->end_us = before_us = (int64_t)end;
        record->fired = fired;
        MR_RET(mri_accs_decode(&s->k.accs, accs_of(record), in, err));
    }
    return MR_OK;
}

static void remove_records(struct session *s, struct sessions *list, uint32_t first, uint32_t end)
{
    for (uint32_t i = first; i < end; i++) {
        mri_accs_release(&s->k.accs, accs_of(record_at(s, list, i)));
    }
    if (first == end) return;
    memmove(record_at(s, list, first), record_at(s, list, end),
            (size_t)(list->count - end) * s->record_bytes);
    list->count -= end - first;
}

/* ---- due times ---- */

static bool due_before(const struct due *left, const struct due *right)
{
    if (left->time_us != right->time_us) return left->time_us < right->time_us;
    return left->slot < right->slot;
}

static void sift_down(struct session *s)
{
    struct due *heap = s->heap;
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;
        struct due moved = heap[at];

        if (child >= s->heap_count) return;
        if (child + 1 < s->heap_count && due_before(&heap[child + 1], &heap[child])) child++;
        if (!due_before(&heap[child], &heap[at])) return;
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static bool push_due(struct session *s, struct due due)
{
    uint32_t at = s->heap_count;

    if (at == s->heap_room) {
        uint32_t room = s->heap_room == 0 ? 64 : s->heap_room * 2;
        struct due *heap = mr_realloc(s->k.op.task->heap, s->heap, s->heap_room * sizeof *heap,
                                      room * sizeof *heap);

        if (heap == NULL) return false;
        s->heap = heap;
        s->heap_room = room;
    }
    s->heap_count++;
    s->heap[at] = due;
    while (at > 0 && due_before(&due, &s->heap[(at - 1) / 2])) {
        s->heap[at] = s->heap[(at - 1) / 2];
        at = (at - 1) / 2;
        s->heap[at] = due;
    }
    return true;
}

static void pop_due(struct session *s)
{
    s->heap[0] = s->heap[--s->heap_count];
    sift_down(s);
}

/* When there is next something to do for a key. */
static int64_t due_of(const struct session *s, const struct sessions *list)
{
    int64_t lateness_us = s->k.op.plan->window.allowed_lateness_us;
    int64_t due_us = NEVER;

    for (uint32_t i = 0; i < list->count; i++) {
        const struct record *record = record_at(s, list, i);
        int64_t time_us = record->end_us;

        if (record->fired) time_us = add_times(time_us, lateness_us);
        due_us = MR_MIN(due_us, time_us);
    }
    return due_us;
}

/* Puts the key's time into the heap, unless an entry that comes no later is there. */
static enum mr_status schedule(struct session *s, struct sessions *list, uint32_t slot,
                               struct mr_error *err)
{
    int64_t due_us = due_of(s, list);

    if (due_us >= list->due_us) return MR_OK;
    list->due_us = due_us;
    if (push_due(s, (struct due){due_us, slot})) return MR_OK;
    return mri_state_nomem(&s->k.op, s->k.store, err);
}

/* ---- rows ---- */

/* The sessions [*out_first, *out_end) that a new one meets; none: where it belongs. */
static void find_meeting(const struct session *s, const struct sessions *list,
                         const struct mr_session *opened, uint32_t *out_first, uint32_t *out_end)
{
    bool touching = s->k.op.plan->window.touching_sessions_merge;
    uint32_t first = list->count; /* from the end: new rows mostly meet the last session */
    uint32_t end = list->count;

    while (first > 0) {
        const struct record *record = record_at(s, list, first - 1);
        struct mr_session session = {record->start_us, record->end_us};

        if (mr_session_meets(&session, opened, touching)) {
            first--;
        } else if (session.start_us > opened->start_us) {
            end = --first;
        } else {
            break;
        }
    }
    *out_first = first;
    *out_end = end;
}

static bool is_late(const struct session *s, const struct sessions *list,
                    const struct mr_session *opened, uint32_t first, uint32_t end, uint32_t row)
{
    const struct mri_input *in = &s->k.input;
    int64_t lateness_us = s->k.op.plan->window.allowed_lateness_us;
    int64_t now_us = mri_keyed_watermark(&s->k, in->hashes[row]);
    int64_t end_us = opened->end_us;

    if (in->split_watermarks != NULL &&
        mr_window_late(in->split_watermarks[row], end_us, lateness_us)) {
        return true;
    }
    for (uint32_t i = first; i < end; i++) end_us = MR_MAX(end_us, record_at(s, list, i)->end_us);
    return mr_window_late(now_us, end_us, lateness_us);
}

/* Makes one session of those that meet and the new one; its index is `first`. */
static enum mr_status join(struct session *s, struct sessions *list,
                           const struct mr_session *opened, uint32_t first, uint32_t end,
                           struct mr_error *err)
{
    struct record *record;

    if (first == end) {
        if (!insert_record(s, list, first)) return mri_state_nomem(&s->k.op, s->k.store, err);
        record = record_at(s, list, first);
        record->start_us = opened->start_us;
        record->end_us = opened->end_us;
        return MR_OK;
    }
    record = record_at(s, list, first);
    record->start_us = MR_MIN(record->start_us, opened->start_us);
    record->end_us = MR_MAX(record->end_us, opened->end_us);
    record->fired = 0; /* it has one more row: it fires, or fires again */
    for (uint32_t i = first + 1; i < end; i++) {
        struct record *other = record_at(s, list, i);

        record->end_us = MR_MAX(record->end_us, other->end_us);
        MR_RET(mri_accs_merge_slot(&s->k.accs, accs_of(record), accs_of(other), err));
    }
    remove_records(s, list, first + 1, end);
    return MR_OK;
}

static enum mr_status absorb_row(struct session *s, struct sessions *list, uint32_t slot,
                                 uint32_t row, struct mr_error *err)
{
    struct mri_input *in = &s->k.input;
    struct mr_session opened;
    struct mri_feed feed = {.rows = &row,
                            .count = 1,
                            .column_rows = in->count,
                            .columns = in->columns,
                            .times = in->times,
                            .refused = mri_keyed_refused,
                            .refused_self = &s->k};
    char *accs;
    uint32_t first;
    uint32_t end;

    opened.start_us = MR_MIN(MR_MAX(in->times[row], MR_TIME_MIN), MR_TIME_MAX);
    opened.end_us = add_times(opened.start_us, s->k.op.plan->window.size_us);
    find_meeting(s, list, &opened, &first, &end);
    if (is_late(s, list, &opened, first, end, row)) {
        in->late[in->late_count++] = row;
        return MR_OK;
    }
    MR_RET(join(s, list, &opened, first, end, err));
    accs = accs_of(record_at(s, list, first));
    feed.slots = &accs;
    MR_RET(mri_accs_update(&s->k.accs, &feed, err));
    return schedule(s, list, slot, err);
}

static enum mr_status absorb(struct session *s, struct mr_batch *batch, struct mr_error *err)
{
    struct mri_keyed *k = &s->k;
    struct mri_input *in = &k->input;
    struct mr_table_pages pages;

    MR_RET(mri_keyed_open(k, batch, err));
    mr_assert(in->times != NULL || in->count == 0); /* the plan: sessions need event time */
    MR_RET(mri_keyed_prepare(k, s->table, in->kept, in->kept_count, err));
    pages = mr_table_pages(s->table);
    for (uint32_t i = 0; i < in->kept_count; i++) {
        uint32_t row = in->kept != NULL ? in->kept[i] : i;

        MR_RET(absorb_row(s, mr_pages_slot(&pages, k->slots[i]), k->slots[i], row, err));
    }
    for (uint32_t i = 0; in->late_count > 0 && i < in->kept_count; i++) {
        const struct sessions *list;

        if (!mr_table_live(s->table, k->slots[i])) continue;
        list = mr_table_slot(s->table, k->slots[i]);
        if (list->count == 0) mr_table_remove(s->table, k->slots[i]); /* it had late rows only */
    }
    mr_counter_add(k->op.task->counters, MR_COUNTER_ROWS_LATE, in->late_count);
    mri_keyed_absorbed(k);
    s->target_us = k->watermark_us;
    s->firing = true; /* sessions that had fired and got late rows */
    return MR_OK;
}

/* ---- firing ---- */

/* The next key that is due; false: none. */
static bool take_due(struct session *s)
{
    while (s->heap_count > 0 && s->heap[0].time_us <= s->target_us) {
        struct due due = s->heap[0];
        struct sessions *list;

        pop_due(s);
        if (due.slot >= mr_table_end(s->table) || !mr_table_live(s->table, due.slot)) continue;
        list = mr_table_slot(s->table, due.slot);
        if (list->due_us != due.time_us) continue; /* an older entry */
        list->due_us = NEVER;
        s->slot = due.slot;
        s->due_us = due.time_us;
        return true;
    }
    return false;
}

/* Puts out the sessions of the current key that are over, then forgets those nobody can change. */
static enum mr_status fire_key(struct session *s, enum mr_build *out_build, struct mr_error *err)
{
    struct sessions *list = mr_table_slot(s->table, s->slot);
    int64_t lateness_us = s->k.op.plan->window.allowed_lateness_us;
    uint32_t expired = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        struct record *record = record_at(s, list, i);
        struct mri_result_row row = {s->table, s->slot, accs_of(record), record->start_us,
                                     record->end_us};

        if (record->end_us > s->due_us) break; /* ends are in order */
        if (record->fired) continue;
        MR_RET(mri_emission_put(&s->k.emission, &row, out_build, err));
        if (*out_build != MR_BUILD_OK) return MR_OK;
        record->fired = 1;
        mr_table_touch(s->table, s->slot);
    }
    while (expired < list->count && record_at(s, list, expired)->fired &&
           mr_window_late(s->target_us, record_at(s, list, expired)->end_us, lateness_us)) {
        expired++;
    }
    if (expired > 0) mr_table_touch(s->table, s->slot);
    remove_records(s, list, 0, expired);
    if (list->count == 0) {
        mr_table_remove(s->table, s->slot);
    } else {
        MR_RET(schedule(s, list, s->slot, err));
    }
    s->slot = MR_SLOT_NONE;
    return MR_OK;
}

static enum mr_status fire(struct session *s, struct mr_item *out, enum mr_flow *out_flow,
                           struct mr_error *err)
{
    enum mr_build build = MR_BUILD_OK;

    while (s->slot != MR_SLOT_NONE || take_due(s)) {
        MR_RET(fire_key(s, &build, err));
        if (build != MR_BUILD_OK) return mri_keyed_no_room(&s->k, build, out, out_flow, err);
    }
    s->firing = false;
    mri_keyed_advance(&s->k, s->target_us);
    mri_keyed_gauge(&s->k);
    *out_flow = MR_FLOW_NEED_INPUT;
    return MR_OK;
}

/* ---- items ---- */

static enum mr_status session_put(struct mr_operator *op, const struct mr_item *item,
                                  struct mr_error *err)
{
    struct session *s = (struct session *)op;

    if (item->tag == MR_ITEM_BATCH) return absorb(s, item->batch, err);
    s->k.held = *item;
    if (item->tag == MR_ITEM_WATERMARK) {
        s->target_us = MR_MIN(MR_MAX(item->time_us, s->k.watermark_us), MR_TIME_MAX);
        s->k.held.time_us = s->target_us; /* it does not go back */
        s->firing = true;
    } else if (item->tag == MR_ITEM_END) {
        s->target_us = MR_TIME_MAX;
        s->firing = true;
    }
    return MR_OK;
}

static enum mr_status session_next(struct mr_operator *op, struct mr_item *out,
                                   enum mr_flow *out_flow, struct mr_error *err)
{
    struct session *s = (struct session *)op;

    if (s->k.late_waits) return mri_keyed_put_late(&s->k, out, out_flow, err);
    if (s->firing) {
        MR_RET(fire(s, out, out_flow, err));
        if (*out_flow != MR_FLOW_NEED_INPUT) return MR_OK;
    }
    mri_keyed_pass_on(&s->k, out, out_flow);
    return MR_OK;
}

static enum mr_status session_restored(struct mr_operator *op, struct mr_error *err)
{
    struct session *s = (struct session *)op;

    for (uint32_t slot = 0; slot < mr_table_end(s->table); slot++) {
        if (!mr_table_live(s->table, slot)) continue;
        MR_RET(schedule(s, mr_table_slot(s->table, slot), slot, err));
    }
    mri_keyed_restored(&s->k);
    return MR_OK;
}

/* ---- life ---- */

static void session_close(struct mr_operator *op)
{
    struct session *s = (struct session *)op;
    struct mr_heap *heap = op->task->heap;

    mr_free(heap, s->heap, s->heap_room * sizeof *s->heap);
    mri_keyed_fini(&s->k);
    mr_free(heap, s, sizeof *s);
}

static const struct mr_operator_ops session_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "aggregate-session",
    .put = session_put,
    .next = session_next,
    .seal = mri_keyed_seal,
    .restore = mri_keyed_restore,
    .restored = session_restored,
    .close = session_close,
};

static enum mr_status session_init(struct session *s, struct mr_task_context *task,
                                   const struct mr_plan_op *plan, struct mr_error *err)
{
    struct mr_slot_ops slots = {.slot_bytes = sizeof(struct sessions),
                                .self = s,
                                .init = slot_init,
                                .encode = slot_encode,
                                .decode = slot_decode,
                                .release = slot_release};

    s->slot = MR_SLOT_NONE;
    MR_RET(mri_keyed_init(&s->k, task, plan, &session_ops, false, "sessions", &slots, err));
    s->record_bytes = (uint32_t)sizeof(struct record) + (s->k.accs.slot_bytes + 15u) / 16u * 16u;
    s->table = mr_store_table(s->k.store, 0, 0);
    if (s->table == NULL) return mri_state_nomem(&s->k.op, s->k.store, err);
    return MR_OK;
}

enum mr_status mri_session_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                  struct mr_operator **out, struct mr_error *err)
{
    struct session *s = mr_alloc_zero(task->heap, sizeof *s);
    enum mr_status st;

    if (s == NULL) return mr_error_nomem(err, plan->node->id, sizeof *s);
    s->k.op = (struct mr_operator){.ops = &session_ops, .plan = plan, .task = task};
    st = session_init(s, task, plan, err);
    if (st != MR_OK) {
        session_close(&s->k.op);
        return st;
    }
    *out = &s->k.op;
    return MR_OK;
}
