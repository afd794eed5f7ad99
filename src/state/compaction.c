/* compaction.c - base files and epochs become new base files, in bounded memory; see epoch_log.h.
 *
 *   READ   the epochs up to the last one complete now; sorted pieces of them are written as runs
 *   FOLD   when there are many runs, they become one
 *   MERGE  base files and runs, newest of each key wins; new base files
 *   NAME   a new manifest, then META: from here on the new files count
 *   DROP   what nothing names any more is removed, or kept for reuse
 *
 * The order of entries, and what drops remove: entry_order.h. Drops are kept in memory, each with
 * the moment it happened. Base files hold only what lives, so they have no tombstones. */
#include "state/entry_order.h"
#include "state/epoch_log_internal.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/fault.h"
#include "base/crc.h"
#include "base/status.h"

#include <string.h>

#define RUN_RECORD_BYTES  (16u << 10)
#define RUN_WINDOW_BYTES  (32u << 10)
#define BASE_RECORD_BYTES (32u << 10)
#define STEP_ENTRIES      2000u      /* merged per step */
#define QUEUED_BYTES_MAX  (1u << 20) /* waiting for the disk */
#define WRITE_BYTES       (256u << 10)

enum stage {
    STAGE_READ,
    STAGE_SPILL,
    STAGE_FOLD,
    STAGE_MERGE,
    STAGE_MANIFEST,
    STAGE_META,
    STAGE_DROP,
    STAGE_DONE,
    STAGE_FAILED
};

/* One entry in memory while a run is collected. */
struct item {
    struct item *next;
    uint64_t moment; /* counts entries in the order of the log */
    const char *sort_key;
    size_t sort_key_bytes;
    const char *operator_id;
    struct mr_entry entry;
};

/* A file being written: a run or a base file. */
struct output {
    enum mri_file_type type;
    struct mri_file *file;
    struct mri_base_file about;
    struct mr_buffer payload;
    struct mr_buffer block;
    uint64_t block_offset;
    struct mr_entry_writer writer;
    bool open;
};

/* A sorted sequence that takes part in the merge. */
struct input {
    struct mri_base_walk walk;
    uint64_t moment; /* of its last entry; base files: 0 */
    struct mri_entry_reader reader;
    bool in_record;
    struct mr_entry entry;
    struct mr_buffer sort_key;
};

struct mr_compaction {
    struct mr_epoch_log *log;
    struct mr_heap *heap;
    enum stage stage;
    struct mri_queue queue;
    uint64_t epoch;         /* merged up to its end */
    struct mri_place place; /* behind it */
    struct mri_walk walk;
    bool walk_over;
    uint64_t full_epoch;   /* at the start: what came before is forgotten; 0: none */
    uint64_t replay_bytes; /* merged */
    struct mri_entry_reader reader;
    uint64_t moment;

    struct mr_arena items; /* of the run being collected */
    struct item *first;
    struct item **sorted;
    uint32_t item_count;
    struct mri_drops drops; /* of all that was read */

    struct mri_base_file *runs;
    uint64_t *run_moments;
    uint32_t run_count;
    struct output out;
    struct mri_file out_file;

    struct input *inputs;
    uint32_t input_count;
    uint32_t *heap_of; /* indices of inputs, smallest first */
    uint32_t heap_count, heap_room;
    uint32_t to_advance; /* index of an input, or UINT32_MAX */
    uint32_t to_start;
    struct mr_buffer last_key; /* sort key that was decided last */
    bool have_last;

    struct mri_manifest fresh;
    struct mri_meta after;
    struct mri_switch change;
    bool changing;
};

static enum mr_status nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "compacting the epoch log", 4096);
}

/* ---- writing runs and base files ---- */

static void output_fini(struct output *out)
{
    if (out->payload.heap != NULL) mr_buffer_fini(&out->payload);
    if (out->block.heap != NULL) mr_buffer_fini(&out->block);
    *out = (struct output){0};
}

static bool put_block(struct mr_compaction *c)
{
    struct output *out = &c->out;
    struct mri_op op = {
        .kind = MRI_OP_WRITE, .file = out->file, .offset = out->block_offset, .data = out->block};

    if (out->block.size_bytes == 0) return true;
    out->block_offset += out->block.size_bytes;
    mr_buffer_init(&out->block, c->heap);
    return mri_queue_put(&c->queue, &op);
}

static bool output_record(struct mr_compaction *c, enum mri_record_kind kind, const void *data,
                          size_t size)
{
    struct output *out = &c->out;
    size_t before = out->block.size_bytes;
    uint32_t crc;

    if (!mri_record_put(&out->block, kind, mri_file_id(out->about.fence, out->about.number),
                        out->about.size_bytes, (struct mr_bytes){data, size}, &crc)) {
        return false;
    }
    if (kind != MRI_FOOTER) out->about.crc = mr_crc32c((uint32_t)out->about.crc, &crc, sizeof crc);
    out->about.size_bytes += out->block.size_bytes - before;
    return out->block.size_bytes < WRITE_BYTES || put_block(c);
}

static bool output_begin(struct mr_compaction *c, enum mri_file_type type)
{
    struct mri_op remove = {.kind = MRI_OP_UNLINK, .may_fail = true};
    struct mri_op create = {.kind = MRI_OP_CREATE, .file = &c->out_file};
    struct mri_base_head head = {.job_hash = c->log->options.job_hash,
                                 .epoch = type == MRI_FILE_BASE ? c->epoch : 0};
    uint64_t number = c->log->next_number[type]++;

    mr_assert(!c->out.open && !c->out_file.open);
    c->out = (struct output){.type = type,
                             .file = &c->out_file,
                             .about = {.fence = c->log->meta.fence, .number = number},
                             .open = true};
    mr_buffer_init(&c->out.payload, c->heap);
    mr_buffer_init(&c->out.block, c->heap);
    remove.path = mri_log_path(c->log, type, c->log->meta.fence, number);
    create.path = mri_log_path(c->log, type, c->log->meta.fence, number);
    if (!mri_queue_put(&c->queue, &remove)) {
        mr_strfree(c->heap, create.path);
        return false;
    }
    return mri_queue_put(&c->queue, &create) && output_record(c, MRI_BASE, &head, sizeof head);
}

static bool output_flush(struct mr_compaction *c)
{
    struct output *out = &c->out;

    if (out->payload.size_bytes == 0) return true;
    if (!output_record(c, MRI_ENTRIES, out->payload.data, out->payload.size_bytes)) return false;
    mr_buffer_clear(&out->payload);
    out->writer.begun = false;
    return true;
}

static bool output_entry(struct mr_compaction *c, const char *operator_id,
                         const struct mr_entry *entry)
{
    struct output *out = &c->out;
    size_t limit = out->type == MRI_FILE_RUN ? RUN_RECORD_BYTES : BASE_RECORD_BYTES;

    if (!mri_entry_put(&out->writer, &out->payload, operator_id, entry)) return false;
    out->about.entry_count++;
    return out->payload.size_bytes < limit || output_flush(c);
}

/* Footer, sync (runs need none: they do not outlive the process), close. */
static bool output_end(struct mr_compaction *c, struct mri_base_file *about)
{
    struct mri_op sync = {.kind = MRI_OP_SYNC, .file = &c->out_file};
    struct mri_op close = {.kind = MRI_OP_CLOSE, .file = &c->out_file};
    struct mri_footer footer;

    if (!output_flush(c)) return false;
    footer = (struct mri_footer){c->out.about.entry_count, c->out.about.crc};
    if (!output_record(c, MRI_FOOTER, &footer, sizeof footer) || !put_block(c)) return false;
    *about = c->out.about;
    if (c->out.type == MRI_FILE_BASE && !mri_queue_put(&c->queue, &sync)) return false;
    if (!mri_queue_put(&c->queue, &close)) return false;
    output_fini(&c->out);
    return true;
}

/* ---- READ: entries into memory ---- */

static bool keep_bytes(struct mr_compaction *c, struct mr_bytes *bytes)
{
    char *copy;

    if (bytes->size_bytes == 0) return true;
    copy = mr_arena_alloc(&c->items, bytes->size_bytes);
    if (copy == NULL) return false;
    memcpy(copy, bytes->data, bytes->size_bytes);
    bytes->data = copy;
    return true;
}

static bool same_text(const char *left, const char *right)
{
    return strcmp(left, right) == 0;
}

static bool keep_names(struct mr_compaction *c, struct item *item, const char *operator_id)
{
    const struct item *last = c->first;

    if (last != NULL && same_text(last->operator_id, operator_id) &&
        same_text(last->entry.state_name, item->entry.state_name)) {
        item->operator_id = last->operator_id;
        item->entry.state_name = last->entry.state_name;
        return true;
    }
    item->operator_id = mr_arena_strdup(&c->items, operator_id);
    item->entry.state_name = mr_arena_strdup(&c->items, item->entry.state_name);
    return item->operator_id != NULL && item->entry.state_name != NULL;
}

static bool keep_entry(struct mr_compaction *c, const char *operator_id,
                       const struct mr_entry *entry)
{
    struct item *item;
    struct mr_buffer key;
    bool ok;

    c->moment++;
    if (entry->kind == MR_ENTRY_DROP) {
        return mri_drops_add(&c->drops, operator_id, entry, c->moment);
    }
    item = mr_arena_zero(&c->items, sizeof *item);
    if (item == NULL) return false;
    item->entry = *entry;
    item->moment = c->moment;
    mr_buffer_init(&key, c->heap);
    ok = mri_sort_key_put(&key, operator_id, entry);
    if (ok) {
        struct mr_bytes bytes = {key.data, key.size_bytes};

        ok = keep_bytes(c, &bytes);
        item->sort_key = bytes.data;
        item->sort_key_bytes = bytes.size_bytes;
    }
    mr_buffer_fini(&key);
    if (!ok || !keep_names(c, item, operator_id) || !keep_bytes(c, &item->entry.key) ||
        !keep_bytes(c, &item->entry.value)) {
        return false;
    }
    item->next = c->first;
    c->first = item;
    c->item_count++;
    return true;
}

/* One piece: a record, or what is left of one. WAIT, MORE; the walk's end is c->walk_over. */
static enum mr_compaction_state read_some(struct mr_compaction *c, struct mr_error *err)
{
    struct mri_record record;
    struct mr_entry entry;
    enum mri_entry_next got;

    switch (mri_walk_next(&c->walk, &record, err)) {
    case MRI_WALK_WAIT: return MR_COMPACTION_WAIT;
    case MRI_WALK_TAIL: MR_UNREACHABLE(); /* the walk stops before it */
    case MRI_WALK_FAILED: return MR_COMPACTION_FAILED;
    case MRI_WALK_END: c->walk_over = true; return MR_COMPACTION_MORE;
    case MRI_WALK_BEGIN:
    case MRI_WALK_COMPLETE: return MR_COMPACTION_MORE;
    case MRI_WALK_ENTRIES: break;
    }
    if (c->walk.begin.epoch < c->full_epoch) return MR_COMPACTION_MORE;
    mri_entry_reader_init(&c->reader, record.payload);
    while ((got = mri_entry_next(&c->reader, &entry)) == MRI_ENTRY_GOT) {
        if (!keep_entry(c, c->reader.operator_id, &entry)) {
            err->status = nomem(err);
            return MR_COMPACTION_FAILED;
        }
    }
    mr_assert(got ==
              MRI_ENTRY_END); /* it was read when the directory was opened, or written by us */
    return MR_COMPACTION_MORE;
}

/* ---- SPILL: a sorted run ---- */

static bool item_before(const void *left, const void *right)
{
    const struct item *a = *(struct item *const *)left, *b = *(struct item *const *)right;
    int order =
        mri_sort_key_compare(a->sort_key, a->sort_key_bytes, b->sort_key, b->sort_key_bytes);

    return order != 0 ? order < 0 : a->moment > b->moment; /* the newest first */
}

static bool begin_spill(struct mr_compaction *c)
{
    uint32_t at = 0;

    c->sorted = mr_alloc_array(c->heap, c->item_count, sizeof(struct item *));
    if (c->sorted == NULL) return false;
    for (struct item *item = c->first; item != NULL; item = item->next) c->sorted[at++] = item;
    mri_sort(c->sorted, c->item_count, sizeof *c->sorted, item_before);
    mri_drops_sort(&c->drops);
    return output_begin(c, MRI_FILE_RUN);
}

static bool note_run(struct mr_compaction *c, const struct mri_base_file *about)
{
    uint32_t count = c->run_count;
    struct mri_base_file *runs =
        mr_realloc(c->heap, c->runs, count * sizeof *runs, (count + 1) * sizeof *runs);
    uint64_t *moments;

    if (runs == NULL) return false;
    c->runs = runs;
    moments =
        mr_realloc(c->heap, c->run_moments, count * sizeof *moments, (count + 1) * sizeof *moments);
    if (moments == NULL) { /* keeps both of one length */
        c->runs = mr_realloc(c->heap, runs, (count + 1) * sizeof *runs, count * sizeof *runs);
        mr_assert(c->runs != NULL);
        return false;
    }
    c->run_moments = moments;
    c->runs[count] = *about;
    c->run_moments[count] = c->moment;
    c->run_count++;
    return true;
}

/* Forgets the first `count` runs. */
static bool keep_runs_from(struct mr_compaction *c, uint32_t count)
{
    uint32_t rest = c->run_count - count;
    struct mri_base_file *runs = mr_alloc_array(c->heap, rest, sizeof *runs);
    uint64_t *moments = mr_alloc_array(c->heap, rest, sizeof *moments);

    if (runs == NULL || moments == NULL) {
        mr_free(c->heap, runs, rest * sizeof *runs);
        mr_free(c->heap, moments, rest * sizeof *moments);
        return false;
    }
    if (rest > 0) memcpy(runs, c->runs + count, rest * sizeof *runs);
    if (rest > 0) memcpy(moments, c->run_moments + count, rest * sizeof *moments);
    mr_free(c->heap, c->runs, c->run_count * sizeof *runs);
    mr_free(c->heap, c->run_moments, c->run_count * sizeof *moments);
    c->runs = runs;
    c->run_moments = moments;
    c->run_count = rest;
    return true;
}

static void forget_items(struct mr_compaction *c)
{
    mr_free(c->heap, c->sorted, c->item_count * sizeof(struct item *));
    c->sorted = NULL;
    c->first = NULL;
    c->item_count = 0;
    mr_arena_reset(&c->items);
}

static bool spill(struct mr_compaction *c)
{
    const struct item *last = NULL;
    struct mri_base_file about;

    if (!begin_spill(c)) return false;
    for (uint32_t i = 0; i < c->item_count; i++) {
        const struct item *item = c->sorted[i];

        if (last != NULL && mri_sort_key_compare(last->sort_key, last->sort_key_bytes,
                                                 item->sort_key, item->sort_key_bytes) == 0) {
            continue;
        }
        last = item;
        /* What was dropped later is a removal: older runs and the base may still have the key, but
         * the drop removes it there as well. */
        if (mri_drops_cover(&c->drops, item->operator_id, &item->entry, item->moment)) continue;
        if (!output_entry(c, item->operator_id, &item->entry)) return false;
    }
    if (!output_end(c, &about) || !note_run(c, &about)) return false;
    forget_items(c);
    return true;
}

/* ---- MERGE ---- */

static bool input_before(const struct mr_compaction *c, uint32_t left, uint32_t right)
{
    const struct mr_buffer *a = &c->inputs[left].sort_key, *b = &c->inputs[right].sort_key;
    int order = mri_sort_key_compare(a->data, a->size_bytes, b->data, b->size_bytes);

    return order != 0 ? order < 0 : left > right; /* later inputs are newer */
}

static void heap_put(struct mr_compaction *c, uint32_t input)
{
    uint32_t at = c->heap_count++;

    while (at > 0 && input_before(c, input, c->heap_of[(at - 1) / 2])) {
        c->heap_of[at] = c->heap_of[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    c->heap_of[at] = input;
}

static uint32_t heap_take(struct mr_compaction *c)
{
    uint32_t first = c->heap_of[0], moved = c->heap_of[--c->heap_count], at = 0;

    for (uint32_t child; (child = 2 * at + 1) < c->heap_count; at = child) {
        if (child + 1 < c->heap_count &&
            input_before(c, c->heap_of[child + 1], c->heap_of[child])) {
            child++;
        }
        if (!input_before(c, c->heap_of[child], moved)) break;
        c->heap_of[at] = c->heap_of[child];
    }
    c->heap_of[at] = moved;
    return first;
}

/* A fold has no use for the base files: input 0 is empty then. */
static bool begin_merge(struct mr_compaction *c)
{
    struct mr_epoch_log *log = c->log;
    uint32_t count = c->run_count + 1;

    c->to_start = 0;
    c->heap_count = 0;
    c->have_last = false;

    c->inputs = mr_alloc_array(c->heap, count, sizeof *c->inputs);
    c->heap_of = mr_alloc_array(c->heap, count, sizeof *c->heap_of);
    c->input_count = c->inputs != NULL ? count : 0;
    c->heap_room = c->heap_of != NULL ? count : 0;
    if (c->inputs == NULL || c->heap_of == NULL) return false;
    for (uint32_t i = 0; i < count; i++) {
        struct input *input = &c->inputs[i];

        mr_buffer_init(&input->sort_key, c->heap);
        input->walk = (struct mri_base_walk){
            .heap = c->heap, .disk = log->disk, .dir = log->dir, .window_bytes = RUN_WINDOW_BYTES};
        if (i > 0) {
            input->moment = c->run_moments[i - 1];
            input->walk.type = MRI_FILE_RUN;
            input->walk.files = &c->runs[i - 1];
            input->walk.file_count = 1;
        } else if (c->full_epoch == 0 && c->stage == STAGE_MERGE) {
            input->walk.type = MRI_FILE_BASE;
            input->walk.files = log->manifest.bases;
            input->walk.file_count = log->manifest.base_count;
            input->walk.epoch = log->manifest.base_epoch;
        }
    }
    mri_drops_sort(&c->drops);
    return true;
}

static void end_merge(struct mr_compaction *c)
{
    for (uint32_t i = 0; i < c->input_count; i++) {
        mri_base_walk_fini(&c->inputs[i].walk);
        mr_buffer_fini(&c->inputs[i].sort_key);
    }
    mr_free(c->heap, c->inputs, c->input_count * sizeof *c->inputs);
    mr_free(c->heap, c->heap_of, c->heap_room * sizeof *c->heap_of);
    c->inputs = NULL;
    c->heap_of = NULL;
    c->input_count = c->heap_room = 0;
}

/* The next entry of an input goes into the heap. END: there is none. */
static enum mri_read advance(struct mr_compaction *c, uint32_t index, struct mr_error *err)
{
    struct input *input = &c->inputs[index];

    for (;;) {
        struct mri_record record;
        enum mri_read got;

        if (input->in_record) {
            enum mri_entry_next next = mri_entry_next(&input->reader, &input->entry);

            mr_buffer_clear(&input->sort_key);
            if (next == MRI_ENTRY_GOT) {
                if (!mri_sort_key_put(&input->sort_key, input->reader.operator_id, &input->entry)) {
                    err->status = nomem(err);
                    return MRI_READ_FAILED;
                }
                heap_put(c, index);
                return MRI_READ_RECORD;
            }
            if (next == MRI_ENTRY_BAD) {
                err->status = mr_error_set(err, MR_E_CORRUPT,
                                           "%s: a base file holds a malformed "
                                           "entry",
                                           c->log->dir);
                return MRI_READ_FAILED;
            }
            input->in_record = false;
        }
        got = mri_base_walk_next(&input->walk, &record, err);
        if (got != MRI_READ_RECORD) return got;
        mri_entry_reader_init(&input->reader, record.payload);
        input->in_record = true;
    }
}

static bool next_base_file(struct mr_compaction *c)
{
    struct mri_base_file about;

    return output_end(c, &about) && mri_manifest_add_base(&c->fresh, &about);
}

/* Writes what the smallest entry of the heap says, unless a newer one said otherwise. */
static bool merge_one(struct mr_compaction *c, const struct input *input)
{
    bool known =
        c->have_last && mri_sort_key_compare(c->last_key.data, c->last_key.size_bytes,
                                             input->sort_key.data, input->sort_key.size_bytes) == 0;
    enum mr_entry_kind kind = input->entry.kind;

    bool folds = c->stage == STAGE_FOLD; /* removals still matter to what is older */

    if (known) return true;
    mr_buffer_clear(&c->last_key);
    if (!mr_buffer_put(&c->last_key, input->sort_key.data, input->sort_key.size_bytes))
        return false;
    c->have_last = true;
    if (!folds && (kind == MR_ENTRY_REMOVE || kind == MR_ENTRY_TIMER_CLEAR)) return true;
    if (mri_drops_cover(&c->drops, input->reader.operator_id, &input->entry, input->moment))
        return true;
    if (!c->out.open && !output_begin(c, folds ? MRI_FILE_RUN : MRI_FILE_BASE)) return false;
    if (!output_entry(c, input->reader.operator_id, &input->entry)) return false;
    return folds ||
           c->out.about.size_bytes + c->out.payload.size_bytes < c->log->options.base_bytes ||
           next_base_file(c);
}

static enum mr_compaction_state merge_failed(struct mr_error *err)
{
    err->status = nomem(err);
    return MR_COMPACTION_FAILED;
}

/* DONE: everything is merged. */
static enum mr_compaction_state merge_some(struct mr_compaction *c, struct mr_error *err)
{
    for (uint32_t i = 0; i < STEP_ENTRIES; i++) {
        if (c->to_advance == UINT32_MAX && c->to_start < c->input_count) {
            c->to_advance = c->to_start++;
        }
        if (c->to_advance != UINT32_MAX) {
            enum mri_read got = advance(c, c->to_advance, err);

            if (got == MRI_READ_WAIT) return MR_COMPACTION_WAIT;
            if (got == MRI_READ_FAILED) return MR_COMPACTION_FAILED;
            c->to_advance = UINT32_MAX;
            continue;
        }
        if (c->heap_count == 0) return MR_COMPACTION_DONE;
        c->to_advance = heap_take(c);
        if (!merge_one(c, &c->inputs[c->to_advance])) return merge_failed(err);
        if (!c->out.open && mri_queue_head(&c->queue) != NULL) return MR_COMPACTION_MORE;
    }
    return MR_COMPACTION_MORE;
}

/* ---- NAME and DROP ---- */

static bool put_manifest(struct mr_compaction *c)
{
    struct mr_epoch_log *log = c->log;
    const struct mri_chain *open = &log->manifest.chains[log->manifest.chain_count - 1];
    struct mri_chain chain = {
        .fence = open->fence, .first = c->place.segment, .first_offset = c->place.offset};
    struct mr_buffer data;
    bool ok;

    c->fresh.fence = log->meta.fence;
    c->fresh.number = log->next_number[MRI_FILE_MANIFEST]++;
    c->fresh.job_hash = log->options.job_hash;
    c->fresh.base_epoch = c->epoch;
    c->after = log->meta;
    c->after.manifest_number = c->fresh.number;
    mr_buffer_init(&data, c->heap);
    ok = mri_manifest_add_chain(&c->fresh, &chain) && mri_manifest_encode(&data, &c->fresh) &&
         mri_put_file(&c->queue, &c->out_file, log->dir,
                      mri_log_path(log, MRI_FILE_MANIFEST, c->fresh.fence, c->fresh.number), &data);
    mr_buffer_fini(&data);
    return ok;
}

static void put_unlink(struct mr_compaction *c, enum mri_file_type type, uint64_t fence,
                       uint64_t number)
{
    struct mri_op op = {
        .kind = MRI_OP_UNLINK, .path = mri_log_path(c->log, type, fence, number), .may_fail = true};

    (void)!mri_queue_put(&c->queue, &op); /* without memory it is left to the next opening */
}

/* A segment of this attempt is kept for reuse; those of others may still be open in a process that
 * was thought dead, and are never written to. */
static void retire_segment(struct mr_compaction *c, uint64_t fence, uint64_t number)
{
    struct mr_epoch_log *log = c->log;

    for (uint32_t i = 0; i < MR_COUNT(log->reuse) && fence == log->meta.fence; i++) {
        if (log->reuse[i] != 0) continue;
        log->reuse[i] = number;
        return;
    }
    put_unlink(c, MRI_FILE_SEGMENT, fence, number);
}

static void put_drops(struct mr_compaction *c, const struct mri_manifest *old)
{
    for (uint32_t i = 0; i < old->base_count; i++) {
        put_unlink(c, MRI_FILE_BASE, old->bases[i].fence, old->bases[i].number);
    }
    for (uint32_t i = 0; i < old->chain_count; i++) {
        const struct mri_chain *chain = &old->chains[i];
        uint64_t end = chain->last_epoch == 0 ? c->place.segment : chain->last + 1;

        for (uint64_t n = chain->first; n < end; n++) retire_segment(c, chain->fence, n);
    }
    MR_CRASH("C34");
    put_unlink(c, MRI_FILE_MANIFEST, old->fence, old->number);
    for (uint32_t i = 0; i < c->run_count; i++) {
        put_unlink(c, MRI_FILE_RUN, c->runs[i].fence, c->runs[i].number);
    }
}

static void adopt(struct mr_compaction *c)
{
    struct mr_epoch_log *log = c->log;
    struct mri_manifest old = log->manifest;

    MR_CRASH("C33");
    log->manifest = c->fresh;
    c->fresh = (struct mri_manifest){.heap = c->heap};
    log->meta = c->after;
    if (log->full_epoch <= c->epoch) log->full_epoch = 0;
    log->replay_bytes -= c->replay_bytes;
    if (log->cut.epoch <= c->epoch) {
        log->cut.epoch = 0;
    } else {
        log->cut.replay_bytes -= c->replay_bytes;
    }
    put_drops(c, &old);
    mri_manifest_fini(&old);
}

/* ---- steps ---- */

static enum mr_compaction_state fail(struct mr_compaction *c, struct mr_error *err)
{
    /* Whether META names the new files or the old ones is not known: none may be touched. */
    if (c->changing && c->change.touched) mri_log_break(c->log, err);
    mri_queue_clear(&c->queue);
    c->stage = STAGE_FAILED;
    return MR_COMPACTION_FAILED;
}

static enum mr_compaction_state enough_memory(struct mr_compaction *c, bool ok,
                                              struct mr_error *err)
{
    if (ok) return MR_COMPACTION_MORE;
    err->status = nomem(err);
    return fail(c, err);
}

static enum mr_compaction_state step_read(struct mr_compaction *c, struct mr_error *err)
{
    enum mr_compaction_state state = c->walk_over ? MR_COMPACTION_MORE : read_some(c, err);

    if (state == MR_COMPACTION_FAILED) return fail(c, err);
    if (c->items.used_bytes >= c->log->options.sort_bytes || (c->walk_over && c->item_count > 0)) {
        c->stage = STAGE_SPILL;
    } else if (c->walk_over) {
        c->stage = STAGE_MERGE;
    }
    return state;
}

static enum stage after_runs(const struct mr_compaction *c)
{
    return c->walk_over ? STAGE_MERGE : STAGE_READ;
}

static enum mr_compaction_state step_spill(struct mr_compaction *c, struct mr_error *err)
{
    if (!spill(c)) return enough_memory(c, false, err);
    c->stage = c->run_count >= c->log->options.merge_files ? STAGE_FOLD : after_runs(c);
    return MR_COMPACTION_MORE;
}

/* The runs become one. It may be empty: then there is none. */
static bool end_fold(struct mr_compaction *c)
{
    struct mri_base_file about;
    uint32_t runs = c->run_count;

    end_merge(c);
    if (c->out.open) {
        if (!output_end(c, &about) || !note_run(c, &about)) return false;
    }
    for (uint32_t i = 0; i < runs; i++) {
        put_unlink(c, MRI_FILE_RUN, c->runs[i].fence, c->runs[i].number);
    }
    return keep_runs_from(c, runs);
}

static enum mr_compaction_state step_fold(struct mr_compaction *c, struct mr_error *err)
{
    enum mr_compaction_state state;

    if (c->inputs == NULL && !begin_merge(c)) return enough_memory(c, false, err);
    state = merge_some(c, err);
    if (state == MR_COMPACTION_FAILED) return fail(c, err);
    if (state != MR_COMPACTION_DONE) return state;
    if (!end_fold(c)) return enough_memory(c, false, err);
    c->stage = after_runs(c);
    return MR_COMPACTION_MORE;
}

static enum mr_compaction_state step_merge(struct mr_compaction *c, struct mr_error *err)
{
    enum mr_compaction_state state;

    if (c->inputs == NULL && !begin_merge(c)) return enough_memory(c, false, err);
    state = merge_some(c, err);
    if (state == MR_COMPACTION_FAILED) return fail(c, err);
    if (state != MR_COMPACTION_DONE) return state;
    if (c->out.open && !next_base_file(c)) return enough_memory(c, false, err);
    c->stage = STAGE_MANIFEST;
    return MR_COMPACTION_MORE;
}

static enum mr_compaction_state step_meta(struct mr_compaction *c, struct mr_error *err)
{
    if (!c->changing) {
        mri_switch_init(&c->change, &c->queue, c->log->dir, &c->log->meta, &c->after);
        c->changing = true;
    }
    switch (mri_switch_step(&c->change, err)) {
    case MRI_QUEUE_WAIT: return MR_COMPACTION_WAIT;
    case MRI_QUEUE_FAILED:
        if (err->status == MR_E_FENCED) c->change.touched = true; /* another process owns it all */
        return fail(c, err);
    case MRI_QUEUE_IDLE: break;
    }
    adopt(c);
    c->stage = STAGE_DROP;
    return MR_COMPACTION_MORE;
}

static enum mr_compaction_state step_stage(struct mr_compaction *c, struct mr_error *err)
{
    switch (c->stage) {
    case STAGE_READ: return step_read(c, err);
    case STAGE_SPILL: return step_spill(c, err);
    case STAGE_FOLD: return step_fold(c, err);
    case STAGE_MERGE: return step_merge(c, err);
    case STAGE_MANIFEST: c->stage = STAGE_META; return enough_memory(c, put_manifest(c), err);
    case STAGE_META: return step_meta(c, err);
    case STAGE_DROP: c->stage = STAGE_DONE; return MR_COMPACTION_DONE;
    case STAGE_DONE: return MR_COMPACTION_DONE;
    case STAGE_FAILED: break;
    }
    MR_UNREACHABLE(); /* a failed compaction is not stepped again */
}

/* Must everything written so far be on disk before this stage goes on? */
static bool waits_for_queue(const struct mr_compaction *c)
{
    if (c->stage == STAGE_META) return !c->changing;
    /* One file is written at a time, and runs are complete before they are read. */
    return c->stage == STAGE_SPILL || c->stage == STAGE_MANIFEST || c->stage == STAGE_DROP ||
           ((c->stage == STAGE_MERGE || c->stage == STAGE_FOLD) &&
            (c->inputs == NULL || !c->out.open)) ||
           c->queue.queued_bytes > QUEUED_BYTES_MAX;
}

enum mr_compaction_state mr_compaction_step(struct mr_compaction *c, struct mr_error *err)
{
    struct mr_error local;

    if (err == NULL) err = &local;
    if (c->log->phase == MRI_LOG_BROKEN) {
        *err = c->log->broken;
        return MR_COMPACTION_FAILED;
    }
    if (!(c->stage == STAGE_META && c->changing)) { /* the switch steps the queue itself */
        enum mri_queue_state state = mri_queue_step(&c->queue);

        if (state == MRI_QUEUE_FAILED) {
            *err = c->queue.error;
            err->status = c->queue.status;
            return fail(c, err);
        }
        if (state == MRI_QUEUE_WAIT && waits_for_queue(c)) return MR_COMPACTION_WAIT;
    }
    return step_stage(c, err);
}

/* The state at the end of the epoch before the one that stands alone is never asked for: the new
 * manifest has no base files, and its chain begins there. */
static void cut_only(struct mr_compaction *c)
{
    c->epoch = c->log->cut.epoch;
    c->place = c->log->cut.place;
    c->replay_bytes = c->log->cut.replay_bytes;
    c->walk_over = true;
    c->stage = STAGE_MANIFEST;
}

enum mr_status mr_compaction_create(struct mr_epoch_log *log, struct mr_compaction **out,
                                    struct mr_error *err)
{
    struct mr_compaction *c;

    if (log->phase == MRI_LOG_BROKEN) {
        if (err != NULL) *err = log->broken;
        return log->broken.status;
    }
    mr_assert(!log->compacting);
    c = mr_alloc_zero(log->heap, sizeof *c);
    if (c == NULL) return nomem(err);
    c->log = log;
    c->heap = log->heap;
    c->epoch = log->last_epoch;
    c->place = log->end;
    c->full_epoch = log->full_epoch;
    c->replay_bytes = log->replay_bytes;
    c->to_advance = UINT32_MAX;
    c->fresh.heap = log->heap;
    mri_queue_init(&c->queue, log->heap, log->disk);
    mr_arena_init(&c->items, log->heap);
    mri_drops_init(&c->drops, log->heap);
    mr_buffer_init(&c->last_key, log->heap);
    mri_walk_init(&c->walk, log->heap, log->disk, log->dir, &log->manifest, c->epoch);
    c->walk_over = c->epoch == log->manifest.base_epoch;
    if (mr_epoch_log_can_cut(log)) cut_only(c);
    log->compacting = true;
    *out = c;
    return MR_OK;
}

static void remove_leftovers(struct mr_compaction *c)
{
    struct mr_error ignored;

    if (c->stage == STAGE_DONE || (c->changing && c->change.touched)) return;
    for (uint32_t i = 0; i < c->run_count; i++) {
        put_unlink(c, MRI_FILE_RUN, c->runs[i].fence, c->runs[i].number);
    }
    (void)!mri_queue_drive(&c->queue, &ignored);
}

void mr_compaction_destroy(struct mr_compaction *c)
{
    if (c == NULL) return;
    /* Files that nothing names yet are removed when the directory is opened next. */
    mri_queue_clear(&c->queue);
    if (c->out_file.open) {
        struct mri_op close = {.kind = MRI_OP_CLOSE, .file = &c->out_file, .may_fail = true};

        (void)!mri_queue_put(&c->queue, &close);
    }
    if (c->changing && c->change.file.open) {
        struct mri_op close = {.kind = MRI_OP_CLOSE, .file = &c->change.file, .may_fail = true};

        (void)!mri_queue_put(&c->queue, &close);
    }
    remove_leftovers(c);
    (void)!mri_queue_drive(&c->queue, NULL);
    mri_queue_fini(&c->queue);
    if (c->changing) mri_switch_fini(&c->change);
    mri_walk_fini(&c->walk);
    end_merge(c);
    mr_free(c->heap, c->runs, c->run_count * sizeof *c->runs);
    mr_free(c->heap, c->run_moments, c->run_count * sizeof *c->run_moments);
    mri_drops_fini(&c->drops);
    mr_free(c->heap, c->sorted, c->item_count * sizeof(struct item *));
    output_fini(&c->out);
    mr_buffer_fini(&c->last_key);
    mr_arena_fini(&c->items);
    mri_manifest_fini(&c->fresh);
    c->log->compacting = false;
    mr_free(c->heap, c, sizeof *c);
}

bool mr_epoch_log_can_cut(const struct mr_epoch_log *log)
{
    return !log->compacting && log->cut.epoch > log->manifest.base_epoch;
}

bool mr_epoch_log_wants_compaction(const struct mr_epoch_log *log, uint32_t ratio)
{
    uint64_t live = log->options.segment_bytes; /* below one segment it is not worth it */

    if (log->compacting || log->last_epoch == log->manifest.base_epoch) return false;
    if (MR_BUGGIFY()) return true;
    for (uint32_t i = 0; i < log->manifest.base_count; i++) {
        live += log->manifest.bases[i].size_bytes;
    }
    if (log->full_epoch > log->manifest.base_epoch) live = log->options.segment_bytes + log->full_bytes;
    return log->replay_bytes / MR_MAX(ratio, 1) > live || log->manifest.chain_count > 16;
}
