/* aligned_aggregate.c - tumbling, hopping and global windows behind the exchange: `final` over
 * partial accumulators, `whole` over rows. They differ in how a batch gets into the slots only.
 *
 * State "agg" has a table per slice (the global window: one table). A window fires when the
 * watermark reaches its end. If it is one slice, the rows of its table are the result; else its
 * slices are merged into a scratch table first. A slice is dropped when no window needs it any
 * more.
 *
 * Late within the allowed lateness: a batch that changes keys of windows that have fired makes
 * these keys of these windows fire again, once per batch, with the new total.
 *
 * By split (late=by-split) a row may be late for some of its hopping windows and not for others.
 * Such a row cannot go into a slice: it goes into tables of the other windows, state "window",
 * which are merged like one more slice.
 *
 * Order of results: windows by end, keys in slot order. The end of input fires everything.
 */
#include "exec/aggregate/keyed_aggregate.h"
#include "exec/aggregate/slice_groups.h"

#define STATE_SLICES 0u
#define STATE_WINDOWS 1u /* rows that are late for other windows; hopping and by split only */
#define STATE_SCRATCH 2u /* a window being put out; empty between items, so never sealed */

/* A key of a window that has fired and got more rows. */
struct update {
    int64_t window_us;
    struct mr_table *table;
    uint32_t slot;
    uint32_t order; /* of the table among those of the batch: pointers have no order */
};

struct aligned {
    struct mri_keyed k; /* first */
    bool global;
    bool merges;              /* a window is more than one table */
    char *empty;              /* accumulators of nothing: the global row of an empty input */

    struct mri_slice_groups groups; /* the rows of a batch by slice */

    struct update *updates;
    uint32_t update_count, update_room;
    uint32_t table_order;

    /* firing: windows in (k.watermark_us, target_us], or updates */
    bool firing;
    int64_t target_us;
    int64_t low_us;          /* windows that start below are done */
    struct mr_table *table;  /* being put out; NULL: choose the next */
    bool global_row;         /* the row of an empty input is being put out */
    int64_t window_us;
    uint32_t slot;
    uint32_t update_at, update_end; /* updates that are being put out */
};

/* ---- windows that have fired ---- */

static enum mr_status add_update(struct aligned *a, int64_t window_us, struct mr_table *table,
                                 uint32_t slot, struct mr_error *err)
{
    if (a->update_count == a->update_room) {
        uint32_t room = a->update_room == 0 ? 64 : a->update_room * 2;
        struct update *updates =
            mr_realloc(a->k.op.task->heap, a->updates, a->update_room * sizeof *updates,
                       room * sizeof *updates);

        if (updates == NULL) return mri_state_nomem(&a->k.op, a->k.store, err);
        a->updates = updates;
        a->update_room = room;
    }
    a->updates[a->update_count++] = (struct update){window_us, table, slot, a->table_order};
    return MR_OK;
}

/* Remembers rows[0..count), whose slots are in k.slots, for those of the slice's windows that have
 * fired for them. */
static enum mr_status note_updates(struct aligned *a, struct mr_table *table, int64_t first_us,
                                   int64_t last_us, const uint32_t *rows, uint32_t count,
                                   struct mr_error *err)
{
    const struct mr_slicer *slicer = &a->k.input.slicer;
    int64_t lateness_us = a->k.op.plan->window.allowed_lateness_us;
    int64_t most_us = a->k.watermark_us;

    if (a->k.group_watermarks != NULL) most_us = MR_MAX(most_us, a->k.group_most_us);
    for (int64_t w = first_us; w <= last_us; w += slicer->slide_us) {
        int64_t end_us = mr_window_end_at(slicer, w);

        if (end_us > most_us) break; /* it will fire in its time, and so will later ones */
        for (uint32_t i = 0; i < count; i++) {
            uint32_t row = rows != NULL ? rows[i] : i;
            int64_t now_us = mri_keyed_watermark(&a->k, a->k.input.hashes[row]);

            if (end_us > now_us || mr_window_late(now_us, end_us, lateness_us)) continue;
            MR_RET(add_update(a, w, table, a->k.slots[i], err));
        }
    }
    a->table_order++;
    return MR_OK;
}

static int compare_updates(const struct update *left, const struct update *right)
{
    if (left->window_us != right->window_us) return left->window_us < right->window_us ? -1 : 1;
    if (left->order != right->order) return left->order < right->order ? -1 : 1;
    return (left->slot > right->slot) - (left->slot < right->slot);
}

static void sift_down(struct update *updates, uint32_t at, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        struct update moved = updates[at];

        if (child >= count) return;
        if (child + 1 < count && compare_updates(&updates[child], &updates[child + 1]) < 0) child++;
        if (compare_updates(&updates[at], &updates[child]) >= 0) return;
        updates[at] = updates[child];
        updates[child] = moved;
        at = child;
    }
}

/* By window, table and slot, each once. (qsort may allocate.) */
static void sort_updates(struct aligned *a)
{
    struct update *updates = a->updates;
    uint32_t count = a->update_count;
    uint32_t kept = 0;

    for (uint32_t i = count / 2; i-- > 0;) sift_down(updates, i, count);
    for (uint32_t end = count; end-- > 1;) {
        struct update greatest = updates[0];

        updates[0] = updates[end];
        updates[end] = greatest;
        sift_down(updates, 0, end);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && compare_updates(&updates[kept - 1], &updates[i]) == 0) continue;
        updates[kept++] = updates[i];
    }
    a->update_count = kept;
}

/* ---- absorbing ---- */

/* rows[0..count), all of one table. */
static enum mr_status absorb_rows(struct aligned *a, struct mr_table *table, const uint32_t *rows,
                                  uint32_t count, struct mr_error *err)
{
    struct mri_keyed *k = &a->k;
    struct mr_table_pages pages;
    struct mri_feed feed = {.slots = k->pointers,
                            .rows = rows,
                            .count = count,
                            .column_rows = k->input.count,
                            .columns = k->input.columns,
                            .times = k->input.times,
                            .refused = mri_keyed_refused,
                            .refused_self = k};

    if (table == NULL) return mri_state_nomem(&k->op, k->store, err);
    MR_RET(mri_keyed_prepare(k, table, rows, count, err));
    pages = mr_table_pages(table);
    for (uint32_t i = 0; i < count; i++) k->pointers[i] = mr_pages_slot(&pages, k->slots[i]);
    if (k->partials) return mri_accs_merge_columns(&k->accs, &feed, err);
    return mri_accs_update(&k->accs, &feed, err);
}

static enum mr_status absorb_slice(struct aligned *a, int64_t slice_us, const uint32_t *rows,
                                   uint32_t count, struct mr_error *err)
{
    struct mr_table *table = mr_store_table(a->k.store, STATE_SLICES, slice_us);
    int64_t first_us;
    int64_t last_us;

    MR_RET(absorb_rows(a, table, rows, count, err));
    if (a->global) return MR_OK;
    if (!mr_slice_windows(&a->k.input.slicer, slice_us, &first_us, &last_us)) {
        mr_assert(false); /* rows in gaps have been left out */
    }
    return note_updates(a, table, first_us, last_us, rows, count, err);
}

/* Rows that are late for some of their windows go into the others one by one, and out of `kept`. */
static enum mr_status absorb_half_late(struct aligned *a, struct mr_error *err)
{
    struct mri_input *in = &a->k.input;
    int64_t lateness_us = a->k.op.plan->window.allowed_lateness_us;
    uint32_t kept = 0;

    if (!a->merges || in->split_watermarks == NULL) return MR_OK;
    for (uint32_t i = 0; i < in->kept_count; i++) {
        uint32_t row = in->kept != NULL ? in->kept[i] : i;
        int64_t now_us = in->split_watermarks[row];
        int64_t first_us = 0;
        int64_t last_us = 0;
        bool in_window = mr_slice_windows(&in->slicer, in->slices[row], &first_us, &last_us);

        mr_assert(in_window);
        if (!mr_window_late(now_us, mr_window_end_at(&in->slicer, first_us), lateness_us)) {
            in->kept_room[kept++] = row;
            continue;
        }
        for (int64_t w = first_us; w <= last_us; w += in->slicer.slide_us) {
            struct mr_table *table;

            if (mr_window_late(now_us, mr_window_end_at(&in->slicer, w), lateness_us)) continue;
            table = mr_store_table(a->k.store, STATE_WINDOWS, w);
            MR_RET(absorb_rows(a, table, &row, 1, err));
            MR_RET(note_updates(a, table, w, w, &row, 1, err));
        }
    }
    if (kept < in->kept_count) {
        in->kept = in->kept_room;
        in->kept_count = kept;
    }
    return MR_OK;
}

static enum mr_status absorb(struct aligned *a, struct mr_batch *batch, struct mr_error *err)
{
    struct mri_input *in = &a->k.input;
    uint32_t first = 0;

    MR_RET(mri_keyed_open(&a->k, batch, err));
    MR_RET(absorb_half_late(a, err));
    if (in->kept_count > 0 && mri_slices_equal(in->slices, in->kept, in->kept_count)) {
        uint32_t row = in->kept != NULL ? in->kept[0] : 0;

        MR_RET(absorb_slice(a, a->global ? 0 : in->slices[row], in->kept, in->kept_count, err));
    } else if (in->kept_count > 0) {
        const struct mri_slice_groups *groups = &a->groups;

        if (!mri_slice_groups_make(&a->groups, in->slices, in->kept, in->kept_count)) {
            return mri_state_nomem(&a->k.op, a->k.store, err);
        }
        for (uint32_t g = 0; g < groups->count; first = groups->ends[g], g++) {
            MR_RET(absorb_slice(a, groups->slices[g], groups->rows + first,
                                groups->ends[g] - first, err));
        }
    }
    mri_keyed_absorbed(&a->k);
    sort_updates(a);
    return MR_OK;
}

/* ---- windows of several tables ---- */

static enum mr_status merge_slot(struct aligned *a, struct mr_table *into, struct mr_table *from,
                                 uint32_t slot, struct mr_error *err)
{
    uint32_t own = mr_table_adopt_key(into, from, slot);

    if (own == MR_SLOT_NONE) return mri_state_nomem(&a->k.op, a->k.store, err);
    return mri_accs_merge_slot(&a->k.accs, mr_table_slot(into, own),
                               mr_table_slot(from, slot), err);
}

static enum mr_status merge_table(struct aligned *a, struct mr_table *into, struct mr_table *from,
                                  struct mr_error *err)
{
    for (uint32_t slot = 0; slot < mr_table_end(from); slot++) {
        if (mr_table_live(from, slot)) MR_RET(merge_slot(a, into, from, slot, err));
    }
    return MR_OK;
}

/* The same for keys that `into` has already. */
static enum mr_status merge_known(struct aligned *a, struct mr_table *into, struct mr_table *from,
                                  struct mr_error *err)
{
    for (uint32_t slot = 0; slot < mr_table_end(into); slot++) {
        struct mr_column columns[MR_KEY_COLUMNS_MAX];
        uint64_t hash = mr_table_hash(into, slot);
        struct mr_keys keys = {columns, &hash, 1};
        uint32_t other;

        memset(columns, 0, sizeof columns);
        mr_table_key_columns(into, slot, columns);
        mr_table_lookup(from, &keys, NULL, 1, &other);
        if (other == MR_SLOT_NONE) continue;
        MR_RET(mri_accs_merge_slot(&a->k.accs, mr_table_slot(into, slot),
                                   mr_table_slot(from, other), err));
    }
    return MR_OK;
}

/* Merges what belongs to a window into the scratch table. `known`: only for keys that it has. */
static enum mr_status merge_window(struct aligned *a, int64_t window_us, bool known,
                                   struct mr_table *into, struct mr_error *err)
{
    int64_t end_us = window_us + a->k.input.slicer.size_us;
    struct mr_table *extra = mr_store_find(a->k.store, STATE_WINDOWS, window_us);
    struct mr_table *from = mr_store_next(a->k.store, STATE_SLICES, window_us);

    while (from != NULL && mr_table_namespace(from) < end_us) {
        MR_RET(known ? merge_known(a, into, from, err) : merge_table(a, into, from, err));
        from = mr_store_next(a->k.store, STATE_SLICES, mr_table_namespace(from) + 1);
    }
    if (extra == NULL) return MR_OK;
    return known ? merge_known(a, into, extra, err) : merge_table(a, into, extra, err);
}

static enum mr_status open_scratch(struct aligned *a, struct mr_table **out, struct mr_error *err)
{
    mr_assert(mr_store_next(a->k.store, STATE_SCRATCH, INT64_MIN) == NULL);
    *out = mr_store_table(a->k.store, STATE_SCRATCH, 0);
    return *out != NULL ? MR_OK : mri_state_nomem(&a->k.op, a->k.store, err);
}

/* ---- choosing what fires ---- */

/* The first window that starts at or after low_us and has something in it; false: none. */
static bool next_window(const struct aligned *a, int64_t low_us, int64_t *out_us)
{
    const struct mr_slicer *slicer = &a->k.input.slicer;
    struct mr_table *table = mr_store_next(a->k.store, STATE_SLICES, low_us);
    struct mr_table *extra = NULL;
    bool found = false;

    if (a->merges) extra = mr_store_next(a->k.store, STATE_WINDOWS, low_us);
    for (; table != NULL && !found;
         table = mr_store_next(a->k.store, STATE_SLICES, mr_table_namespace(table) + 1)) {
        int64_t first_us = 0;
        int64_t last_us = -1;

        if (!mr_slice_windows(slicer, mr_table_namespace(table), &first_us, &last_us)) continue;
        if (first_us < low_us) {
            int64_t steps = (low_us - first_us + slicer->slide_us - 1) / slicer->slide_us;
            first_us += steps * slicer->slide_us;
        }
        found = first_us <= last_us;
        *out_us = first_us;
    }
    if (extra != NULL && (!found || mr_table_namespace(extra) < *out_us)) {
        *out_us = mr_table_namespace(extra);
        found = true;
    }
    return found;
}

/* Windows that end at or before t start below this. */
static int64_t first_start_after(const struct aligned *a, int64_t t_us)
{
    if (t_us <= MR_TIME_MIN) return INT64_MIN / 2 - 2 * MR_WINDOW_SPAN_MAX;
    return mr_next_window_end(&a->k.input.slicer, t_us) - a->k.input.slicer.size_us;
}

static enum mr_status open_window(struct aligned *a, int64_t window_us, struct mr_error *err)
{
    a->window_us = window_us;
    a->slot = 0;
    if (!a->merges) {
        a->table = mr_store_find(a->k.store, STATE_SLICES, window_us);
        mr_assert(a->table != NULL);
        return MR_OK;
    }
    MR_RET(open_scratch(a, &a->table, err));
    return merge_window(a, window_us, false, a->table, err);
}

/* Opens the next window that is due; *out_more false: there is none. */
static enum mr_status open_next(struct aligned *a, bool *out_more, struct mr_error *err)
{
    int64_t window_us;

    *out_more = false;
    if (a->global) {
        a->table = a->low_us == INT64_MIN ? mr_store_find(a->k.store, STATE_SLICES, 0) : NULL;
        a->low_us = 0;
        a->slot = 0;
        *out_more = a->table != NULL;
        return MR_OK;
    }
    if (!next_window(a, a->low_us, &window_us)) return MR_OK;
    if (mr_window_end_at(&a->k.input.slicer, window_us) > a->target_us) return MR_OK;
    a->low_us = window_us + 1;
    *out_more = true;
    return open_window(a, window_us, err);
}

/* Opens the next window with updates. */
static enum mr_status open_update(struct aligned *a, bool *out_more, struct mr_error *err)
{
    uint32_t first = a->update_end;
    uint32_t end = first;

    *out_more = first < a->update_count;
    if (!*out_more) return MR_OK;
    a->window_us = a->updates[first].window_us;
    while (end < a->update_count && a->updates[end].window_us == a->window_us) end++;
    a->update_at = first;
    a->update_end = end;
    a->slot = 0;
    a->table = a->updates[first].table;
    if (!a->merges) return MR_OK;
    MR_RET(open_scratch(a, &a->table, err));
    for (uint32_t i = first; i < end; i++) {
        if (mr_table_adopt_key(a->table, a->updates[i].table, a->updates[i].slot) ==
            MR_SLOT_NONE) {
            return mri_state_nomem(&a->k.op, a->k.store, err);
        }
    }
    return merge_window(a, a->window_us, true, a->table, err);
}

/* ---- putting out ---- */

static enum mr_status put_row(struct aligned *a, uint32_t slot, enum mr_build *out_build,
                              struct mr_error *err)
{
    struct mri_result_row row = {.table = a->table, .slot = slot};

    row.accs = mr_table_slot(a->table, slot);
    row.start_us = a->global ? MR_TIME_MIN : a->window_us;
    row.end_us = a->global ? MR_GLOBAL_WINDOW_END
                           : mr_window_end_at(&a->k.input.slicer, a->window_us);
    return mri_emission_put(&a->k.emission, &row, out_build, err);
}

/* A key whose group has fired this window before the last change of parallelism. */
static bool has_fired(const struct aligned *a, uint32_t slot)
{
    if (a->k.group_watermarks == NULL || a->global) return false;
    return mri_keyed_watermark(&a->k, mr_table_hash(a->table, slot)) >=
           mr_window_end_at(&a->k.input.slicer, a->window_us);
}

/* The rest of the open window. *out_build other than OK: stopped. */
static enum mr_status put_window(struct aligned *a, enum mr_build *out_build, struct mr_error *err)
{
    *out_build = MR_BUILD_OK;
    for (; a->slot < mr_table_end(a->table); a->slot++) {
        if (!mr_table_live(a->table, a->slot) || has_fired(a, a->slot)) continue;
        MR_RET(put_row(a, a->slot, out_build, err));
        if (*out_build != MR_BUILD_OK) return MR_OK;
    }
    if (a->merges) mr_store_drop(a->k.store, a->table);
    a->table = NULL;
    return MR_OK;
}

static enum mr_status put_updates(struct aligned *a, enum mr_build *out_build,
                                  struct mr_error *err)
{
    *out_build = MR_BUILD_OK;
    for (; !a->merges && a->update_at < a->update_end; a->update_at++) {
        MR_RET(put_row(a, a->updates[a->update_at].slot, out_build, err));
        if (*out_build != MR_BUILD_OK) return MR_OK;
    }
    for (; a->merges && a->slot < mr_table_end(a->table); a->slot++) {
        MR_RET(put_row(a, a->slot, out_build, err));
        if (*out_build != MR_BUILD_OK) return MR_OK;
    }
    if (a->merges) mr_store_drop(a->k.store, a->table);
    a->table = NULL;
    return MR_OK;
}

/* count(*) of nothing is one row, if the input has an end, and nobody has put it out before. */
static bool wants_global_row(const struct aligned *a)
{
    return a->global && a->k.op.plan->key_count == 0 && a->k.op.task->instance == 0 &&
           a->target_us >= MR_GLOBAL_WINDOW_END && a->k.watermark_us < MR_GLOBAL_WINDOW_END &&
           mr_store_find(a->k.store, STATE_SLICES, 0) == NULL;
}

static enum mr_status put_global_row(struct aligned *a, enum mr_build *out_build,
                                     struct mr_error *err)
{
    struct mri_result_row row = {.accs = a->empty,
                                 .start_us = MR_TIME_MIN,
                                 .end_us = MR_GLOBAL_WINDOW_END};

    MR_RET(mri_emission_put(&a->k.emission, &row, out_build, err));
    if (*out_build == MR_BUILD_OK) a->global_row = false;
    return MR_OK;
}

/* Drops what no window needs any more. */
static void expire(struct aligned *a)
{
    const struct mr_slicer *slicer = &a->k.input.slicer;
    int64_t lateness_us = a->k.op.plan->window.allowed_lateness_us;
    struct mr_table *table;

    if (a->global) {
        table = mr_store_find(a->k.store, STATE_SLICES, 0);
        if (table != NULL) mr_store_drop(a->k.store, table);
        return;
    }
    while ((table = mr_store_next(a->k.store, STATE_SLICES, INT64_MIN)) != NULL) {
        if (mr_slice_expiry(slicer, mr_table_namespace(table), lateness_us) > a->target_us) break;
        mr_store_drop(a->k.store, table);
    }
    if (!a->merges) return;
    while ((table = mr_store_next(a->k.store, STATE_WINDOWS, INT64_MIN)) != NULL) {
        int64_t end_us = mr_window_end_at(slicer, mr_table_namespace(table));

        if (!mr_window_late(a->target_us, end_us, lateness_us)) break;
        mr_store_drop(a->k.store, table);
    }
}

static void end_firing(struct aligned *a)
{
    expire(a);
    mri_keyed_advance(&a->k, a->target_us);
    mri_keyed_gauge(&a->k);
    a->firing = false;
}

/* Puts out what is due until it is done (*out_flow NEED_INPUT) or has to stop. */
static enum mr_status fire(struct aligned *a, struct mr_item *out, enum mr_flow *out_flow,
                           struct mr_error *err)
{
    enum mr_build build = MR_BUILD_OK;
    bool more = true;

    *out_flow = MR_FLOW_NEED_INPUT;
    while (more) {
        if (a->global_row) {
            MR_RET(put_global_row(a, &build, err));
        } else if (a->table != NULL) {
            MR_RET(a->firing ? put_window(a, &build, err) : put_updates(a, &build, err));
        } else {
            MR_RET(a->firing ? open_next(a, &more, err) : open_update(a, &more, err));
        }
        if (build != MR_BUILD_OK) return mri_keyed_no_room(&a->k, build, out, out_flow, err);
    }
    if (a->firing) end_firing(a);
    a->update_count = a->update_end = a->table_order = 0;
    return MR_OK;
}

/* ---- items ---- */

static void start_firing(struct aligned *a, int64_t target_us)
{
    a->firing = true;
    a->target_us = target_us;
    if (!a->global) {
        a->low_us = first_start_after(a, a->k.watermark_us);
        return;
    }
    a->global_row = wants_global_row(a);
    a->low_us = target_us >= MR_GLOBAL_WINDOW_END ? INT64_MIN : 0;
    a->firing = target_us >= MR_GLOBAL_WINDOW_END;
    if (!a->firing) mri_keyed_advance(&a->k, target_us);
}

static enum mr_status aligned_put(struct mr_operator *op, const struct mr_item *item,
                                  struct mr_error *err)
{
    struct aligned *a = (struct aligned *)op;

    if (item->tag == MR_ITEM_BATCH) return absorb(a, item->batch, err);
    a->k.held = *item;
    if (item->tag == MR_ITEM_WATERMARK && item->time_us > a->k.watermark_us) {
        start_firing(a, MR_MIN(item->time_us, MR_TIME_MAX));
    } else if (item->tag == MR_ITEM_WATERMARK) {
        a->k.held.time_us = a->k.watermark_us; /* it does not go back */
    } else if (item->tag == MR_ITEM_END) {
        start_firing(a, MR_TIME_MAX);
    }
    return MR_OK;
}

static enum mr_status aligned_next(struct mr_operator *op, struct mr_item *out,
                                   enum mr_flow *out_flow, struct mr_error *err)
{
    struct aligned *a = (struct aligned *)op;

    if (a->k.late_waits) return mri_keyed_put_late(&a->k, out, out_flow, err);
    if (a->firing || a->update_count > 0) {
        MR_RET(fire(a, out, out_flow, err));
        if (*out_flow != MR_FLOW_NEED_INPUT) return MR_OK;
    }
    mri_keyed_pass_on(&a->k, out, out_flow);
    return MR_OK;
}

static enum mr_status aligned_restored(struct mr_operator *op, struct mr_error *err)
{
    (void)err;
    mri_keyed_restored(&((struct aligned *)op)->k);
    return MR_OK;
}

/* ---- life ---- */

static void aligned_close(struct mr_operator *op)
{
    struct aligned *a = (struct aligned *)op;
    struct mr_heap *heap = op->task->heap;

    mri_slice_groups_fini(&a->groups);
    mr_free(heap, a->updates, a->update_room * sizeof *a->updates);
    mr_free(heap, a->empty, a->k.accs.slot_bytes);
    mri_keyed_fini(&a->k);
    mr_free(heap, a, sizeof *a);
}

static const struct mr_operator_ops aligned_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "aggregate",
    .put = aligned_put,
    .next = aligned_next,
    .seal = mri_keyed_seal,
    .restore = mri_keyed_restore,
    .restored = aligned_restored,
    .close = aligned_close,
};

/* Tables for rows that are late for other windows, and one to merge windows in. */
static enum mr_status init_merging(struct aligned *a, struct mr_error *err)
{
    struct mr_slot_ops slots = mri_acc_slot_ops(&a->k.accs);

    MR_RET(mr_store_declare(a->k.store, STATE_WINDOWS, "window", &slots, err));
    return mr_store_declare(a->k.store, STATE_SCRATCH, "scratch", &slots, err);
}

static enum mr_status aligned_init(struct aligned *a, struct mr_task_context *task,
                                   const struct mr_plan_op *plan, bool partials,
                                   struct mr_error *err)
{
    MR_RET(mri_keyed_init(&a->k, task, plan, &aligned_ops, partials, "agg", NULL, err));
    a->groups.heap = task->heap;
    a->global = plan->window.kind == MR_WINDOW_GLOBAL;
    a->merges = !a->global && a->k.input.slicer.slices_per_window > 1;
    if (a->merges) MR_RET(init_merging(a, err));
    a->empty = mr_alloc_zero(task->heap, a->k.accs.slot_bytes);
    if (a->empty == NULL) return mr_error_nomem(err, plan->node->id, a->k.accs.slot_bytes);
    mri_accs_create(&a->k.accs, a->empty);
    return MR_OK;
}

enum mr_status mri_aligned_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                  bool partials, struct mr_operator **out, struct mr_error *err)
{
    struct aligned *a = mr_alloc_zero(task->heap, sizeof *a);
    enum mr_status st;

    if (a == NULL) return mr_error_nomem(err, plan->node->id, sizeof *a);
    a->k.op = (struct mr_operator){.ops = &aligned_ops, .plan = plan, .task = task};
    st = aligned_init(a, task, plan, partials, err);
    if (st != MR_OK) {
        aligned_close(&a->k.op);
        return st;
    }
    *out = &a->k.op;
    return MR_OK;
}

enum mr_status mr_final_aggregate_create(struct mr_task_context *task,
                                         const struct mr_plan_op *plan, struct mr_operator **out,
                                         struct mr_error *err)
{
    mr_assert(plan->window.kind != MR_WINDOW_SESSION);
    return mri_aligned_create(task, plan, true, out, err);
}

enum mr_status mr_aggregate_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                   struct mr_operator **out, struct mr_error *err)
{
    if (plan->window.kind == MR_WINDOW_SESSION) return mri_session_create(task, plan, out, err);
    return mri_aligned_create(task, plan, false, out, err);
}
