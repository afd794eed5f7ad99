/* log_open.c - what a directory holds, and the first steps of a new attempt; see epoch_log.h.
 *
 * First everything is read and checked; nothing is written until all of it is known to be good.
 * Then the new attempt prepares its own files, and one switch of META puts them in force. A crash
 * at any point leaves either the old attempt's directory or the new one's. */
#include "state/epoch_log_internal.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"

#include <string.h>

#define SEGMENT_BYTES (16u << 20)
#define ALIGN_BYTES   4096u
#define BASE_BYTES    (256u << 20)
#define SORT_BYTES    (4u << 20)
#define MERGE_FILES   256u
#define FENCE_MAX     UINT64_C(0xfffffff0)

struct opening {
    struct mr_epoch_log *log;
    mr_log_entry_fn visit;
    void *self;
    struct mri_meta before;
    struct mri_manifest old; /* no chains: none yet */
    uint64_t last_epoch;
    uint64_t full_epoch;
    struct mri_begin last;       /* of the last complete epoch */
    struct mri_chain last_place; /* as a chain of its own, open */
    uint32_t last_chain;
    uint64_t segment_before; /* where the epoch before the last one ended */
};

static enum mr_status nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "opening the epoch log", 1024);
}

/* ---- the directory ---- */

static enum mr_status do_path(struct mr_epoch_log *log, enum mr_disk_op op, const char *path,
                              struct mr_error *err)
{
    struct mr_disk_request request = {.op = op, .path = path};

    return mr_disk_do(log->disk, &request, err);
}

static enum mr_status sync_parent(struct mr_epoch_log *log, struct mr_error *err)
{
    char *parent = mr_strdup(log->heap, log->dir);
    size_t size = strlen(log->dir) + 1;
    enum mr_status st;
    char *slash;

    if (parent == NULL) return nomem(err);
    slash = strrchr(parent, '/');
    if (slash == NULL) {
        st = do_path(log, MR_DISK_SYNC_DIRECTORY, ".", err);
    } else {
        slash[slash == parent ? 1 : 0] = 0;
        st = do_path(log, MR_DISK_SYNC_DIRECTORY, parent, err);
    }
    mr_free(log->heap, parent, size);
    return st;
}

/* What a run may leave before there is an epoch log. */
static bool comes_before_meta(const char *name)
{
    static const char *const names[] = {"JOB", "JOB.new", "CRASH", "STOP"};

    for (size_t i = 0; i < MR_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) return true;
    }
    return false;
}

/* Without META the directory must be new: a META that got lost must not look like a fresh start. */
static enum mr_status check_names(struct mr_epoch_log *log, bool *out_have_meta,
                                  struct mr_error *err)
{
    struct mr_disk_request request = {.op = MR_DISK_LIST, .path = log->dir};
    const char *stranger = NULL;
    uint64_t fence, number;
    enum mr_status st;

    *out_have_meta = false;
    MR_RET(mr_disk_do(log->disk, &request, err));
    for (uint32_t i = 0; i < request.name_count; i++) {
        enum mri_file_type type = mri_file_parse(request.names[i], &fence, &number);

        if (type == MRI_FILE_META) *out_have_meta = true;
        if (type != MRI_FILE_META && type != MRI_FILE_META_NEW && type != MRI_FILE_LOCK &&
            !comes_before_meta(request.names[i])) {
            stranger = request.names[i];
        }
    }
    st = MR_OK;
    if (!*out_have_meta && stranger != NULL) {
        st = mr_error_set(err, MR_E_CORRUPT,
                          "%s/%s: the directory is not empty, but has no META: it is not a state "
                          "directory, or META got lost. Nothing was changed; name an empty one",
                          log->dir, stranger);
    }
    log->disk->names_free(log->disk, &request);
    return st;
}

static enum mr_status read_file(struct mr_epoch_log *log, char *path, struct mr_buffer *out,
                                struct mr_error *err)
{
    struct mri_file file = {0};
    struct mri_op open = {.kind = MRI_OP_OPEN_READ, .file = &file, .path = path};
    struct mri_op read = {.kind = MRI_OP_READ_ALL, .file = &file, .into = out};
    struct mri_op close = {.kind = MRI_OP_CLOSE, .file = &file};
    enum mr_status st;

    if (!mri_queue_put(&log->append, &open) || !mri_queue_put(&log->append, &read) ||
        !mri_queue_put(&log->append, &close)) {
        st = nomem(err);
    } else {
        st = mri_queue_drive(&log->append, err);
    }
    mri_queue_clear(&log->append);
    if (st != MR_OK && file.open && mri_queue_put(&log->append, &close)) {
        (void)!mri_queue_drive(&log->append, NULL);
        mri_queue_clear(&log->append);
    }
    return st;
}

static enum mr_status do_switch(struct mr_epoch_log *log, const struct mri_meta *before,
                                const struct mri_meta *after, struct mr_error *err)
{
    enum mri_queue_state state;
    struct mri_switch change;
    enum mr_status st = MR_OK;

    mri_switch_init(&change, &log->append, log->dir, before, after);
    while ((state = mri_switch_step(&change, err)) == MRI_QUEUE_WAIT) log->disk->poll(log->disk);
    if (state == MRI_QUEUE_FAILED) st = err->status;
    mri_queue_clear(&log->append);
    mri_switch_fini(&change);
    return st;
}

/* META comes first of all files, so that its absence means something. */
static enum mr_status make_meta(struct opening *opening, struct mr_error *err)
{
    const struct mri_meta none = {0};
    const struct mri_meta fresh = {.job_hash = opening->log->options.job_hash};

    MR_RET(do_switch(opening->log, &none, &fresh, err));
    opening->before = fresh;
    return MR_OK;
}

static enum mr_status check_meta(const struct opening *opening, struct mr_error *err)
{
    const struct mri_meta *meta = &opening->before;
    const char *dir = opening->log->dir;

    if (meta->job_hash != opening->log->options.job_hash) {
        return mr_error_set(err, MR_E_CHANGED,
                            "%s/META: the directory belongs to another pipeline (%016llx, this one "
                            "is %016llx); nothing was changed. Name another directory",
                            dir, (unsigned long long)meta->job_hash,
                            (unsigned long long)opening->log->options.job_hash);
    }
    if (meta->fence >= FENCE_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "%s/META: the directory was opened too often", dir);
    }
    return MR_OK;
}

static enum mr_status read_meta(struct opening *opening, struct mr_error *err)
{
    struct mr_epoch_log *log = opening->log;
    struct mr_buffer data;
    enum mr_status st;
    char *path = mri_log_path(log, MRI_FILE_META, 0, 0);

    mr_buffer_init(&data, log->heap);
    if (path == NULL) return nomem(err);
    MR_GOTO(read_file(log, mr_strdup(log->heap, path), &data, err));
    MR_GOTO(mri_meta_decode((struct mr_bytes){data.data, data.size_bytes}, path, &opening->before,
                            err));
    MR_GOTO(check_meta(opening, err));
done:
    mr_buffer_fini(&data);
    mr_strfree(log->heap, path);
    return st;
}

static enum mr_status read_manifest(struct opening *opening, struct mr_error *err)
{
    const struct mri_meta *meta = &opening->before;
    struct mr_epoch_log *log = opening->log;
    struct mr_buffer data;
    enum mr_status st;
    char *path = mri_log_path(log, MRI_FILE_MANIFEST, meta->manifest_fence, meta->manifest_number);

    mr_buffer_init(&data, log->heap);
    if (path == NULL) return nomem(err);
    st = read_file(log, mr_strdup(log->heap, path), &data, err);
    if (st == MR_E_NOT_FOUND) {
        st = mr_error_set(err, MR_E_CORRUPT,
                          "%s: META names it, but it is missing; nothing was "
                          "changed. Bring back a copy of the directory",
                          path);
    }
    if (st != MR_OK) goto done;
    MR_GOTO(mri_manifest_decode(log->heap, (struct mr_bytes){data.data, data.size_bytes}, path,
                                meta->manifest_fence, meta->manifest_number, &opening->old, err));
    if (opening->old.job_hash != meta->job_hash) {
        st = mr_error_set(err, MR_E_CORRUPT, "%s: it belongs to another job than META", path);
    }
done:
    mr_buffer_fini(&data);
    mr_strfree(log->heap, path);
    return st;
}

/* ---- finding the last epoch ---- */

static void note_complete(struct opening *opening, const struct mri_walk *walk,
                          uint64_t segment_before)
{
    opening->last = walk->begin;
    opening->last_epoch = walk->known;
    if (walk->begin.flags & MRI_EPOCH_FULL) opening->full_epoch = walk->known;
    opening->last_chain = walk->start_chain;
    opening->last_place = (struct mri_chain){.fence = walk->begin.fence,
                                             .first = walk->start.segment,
                                             .first_offset = walk->start.offset};
    opening->segment_before = segment_before;
    opening->log->replay_bytes += walk->byte_count;
}

static enum mr_status find_last(struct opening *opening, struct mr_error *err)
{
    struct mr_epoch_log *log = opening->log;
    struct mri_walk walk;
    struct mri_record record;
    enum mri_walk_event event;
    uint64_t segment = opening->old.chains[0].first;
    enum mr_status st = MR_OK;

    opening->last_epoch = opening->old.base_epoch;
    mri_walk_init(&walk, log->heap, log->disk, log->dir, &opening->old, 0);
    walk.count_entries = true;
    do {
        event = mri_walk_wait(&walk, &record, err);
        if (event == MRI_WALK_COMPLETE) {
            note_complete(opening, &walk, segment);
            segment = walk.end.segment;
        }
    } while (event != MRI_WALK_TAIL && event != MRI_WALK_FAILED);
    st = event == MRI_WALK_FAILED ? err->status : mri_walk_check_tail(&walk, err);
    mri_walk_fini(&walk);
    return st;
}

/* ---- the state ---- */

static enum mr_status visit_entries(struct opening *opening, struct mr_bytes payload,
                                    struct mr_error *err)
{
    struct mri_entry_reader reader;
    enum mri_entry_next got;
    struct mr_entry entry;

    mri_entry_reader_init(&reader, payload);
    while ((got = mri_entry_next(&reader, &entry)) == MRI_ENTRY_GOT) {
        MR_RET(opening->visit(opening->self, reader.operator_id, &entry, err));
    }
    if (got == MRI_ENTRY_END) return MR_OK;
    return mr_error_set(err, MR_E_CORRUPT, "%s: an entry is malformed", opening->log->dir);
}

static enum mr_status visit_bases(struct opening *opening, struct mr_error *err)
{
    struct mr_epoch_log *log = opening->log;
    struct mri_base_walk walk = {.heap = log->heap,
                                 .disk = log->disk,
                                 .dir = log->dir,
                                 .type = MRI_FILE_BASE,
                                 .files = opening->old.bases,
                                 .file_count = opening->old.base_count,
                                 .epoch = opening->old.base_epoch,
                                 .window_bytes = MRI_WINDOW_BYTES};
    struct mri_record record;
    enum mr_status st = MR_OK;
    enum mri_read got;

    do {
        got = mri_base_walk_next(&walk, &record, err);
        if (got == MRI_READ_WAIT) log->disk->poll(log->disk);
        if (got == MRI_READ_FAILED) st = err->status;
        if (got == MRI_READ_RECORD) st = visit_entries(opening, record.payload, err);
    } while (st == MR_OK && got != MRI_READ_END);
    mri_base_walk_fini(&walk);
    return st;
}

static enum mr_status visit_epochs(struct opening *opening, struct mr_error *err)
{
    struct mr_epoch_log *log = opening->log;
    struct mri_walk walk;
    struct mri_record record;
    enum mri_walk_event event;
    enum mr_status st = MR_OK;

    mri_walk_init(&walk, log->heap, log->disk, log->dir, &opening->old, opening->last_epoch);
    do {
        event = mri_walk_wait(&walk, &record, err);
        if (event == MRI_WALK_FAILED) st = err->status;
        if (event == MRI_WALK_ENTRIES && walk.begin.epoch >= opening->full_epoch) {
            st = visit_entries(opening, record.payload, err);
        }
    } while (st == MR_OK && event != MRI_WALK_END);
    mri_walk_fini(&walk);
    return st;
}

static enum mr_status visit_all(struct opening *opening, struct mr_error *err)
{
    if (opening->visit == NULL || opening->last_epoch == 0) return MR_OK;
    if (opening->full_epoch == 0) MR_RET(visit_bases(opening, err));
    if (opening->last_epoch == opening->old.base_epoch) return MR_OK;
    return visit_epochs(opening, err);
}

/* ---- the new attempt ---- */

/* The old chains are closed, without the last epoch if it has to be written anew, and without
 * chains that hold no epoch. */
static enum mr_status inherit(struct opening *opening, bool copies, struct mr_error *err)
{
    struct mri_manifest *fresh = &opening->log->manifest;
    const struct mri_manifest *old = &opening->old;
    uint64_t before = old->base_epoch;

    for (uint32_t i = 0; i < old->base_count; i++) {
        if (!mri_manifest_add_base(fresh, &old->bases[i])) return nomem(err);
    }
    for (uint32_t i = 0; i < old->chain_count; i++) {
        struct mri_chain chain = old->chains[i];

        if (chain.last_epoch == 0 && copies) {
            chain.last_epoch = opening->last.known;
            chain.last = opening->segment_before;
        }
        if (chain.last_epoch <= before) continue;
        before = chain.last_epoch;
        if (!mri_manifest_add_chain(fresh, &chain)) return nomem(err);
    }
    return MR_OK;
}

static enum mr_status copy_records(struct opening *opening, struct mri_walk *walk,
                                   struct mr_error *err)
{
    struct mri_record record;
    enum mri_walk_event event;

    do {
        uint64_t before = walk->entry_count;

        event = mri_walk_wait(walk, &record, err);
        if (event == MRI_WALK_FAILED) return err->status;
        if (event == MRI_WALK_ENTRIES) {
            MR_RET(
                mri_log_add_record(opening->log, record.payload, walk->entry_count - before, err));
        }
    } while (event != MRI_WALK_END);
    return MR_OK;
}

/* Appends until the disk has it; opening has no use for STALLED. */
static enum mr_status commit_now(struct mr_epoch_log *log, struct mr_error *err)
{
    enum mr_log_state state;

    MR_RET(mr_epoch_log_commit(log, err));
    while ((state = mr_epoch_log_poll(log, err)) == MR_LOG_BUSY) {
    }
    return state == MR_LOG_IDLE ? MR_OK : err->status;
}

/* Nobody knows whether the sync of the last epoch succeeded: the process may have died before, or
 * because it failed, and then the page cache shows what the disk does not have. */
static enum mr_status copy_last(struct opening *opening, struct mr_error *err)
{
    struct mr_epoch_log *log = opening->log;
    struct mri_manifest part = {.job_hash = opening->old.job_hash,
                                .base_epoch = opening->last.known,
                                .chains = &opening->last_place,
                                .chain_count = 1};
    uint64_t replay_bytes = log->replay_bytes;
    struct mri_walk walk;
    enum mr_status st;

    log->last_epoch = opening->last.known;
    mri_walk_init(&walk, log->heap, log->disk, log->dir, &part, opening->last_epoch);
    walk.count_entries = true;
    MR_GOTO(mr_epoch_log_begin(log, opening->last_epoch,
                               (opening->last.flags & MRI_EPOCH_FULL) != 0, err));
    MR_GOTO(copy_records(opening, &walk, err));
    MR_GOTO(commit_now(log, err));
done:
    log->replay_bytes = replay_bytes;
    mri_walk_fini(&walk);
    return st;
}

static enum mr_status write_manifest(struct mr_epoch_log *log, struct mr_error *err)
{
    struct mri_file file = {0};
    struct mr_buffer data;
    enum mr_status st;

    mr_buffer_init(&data, log->heap);
    if (!mri_manifest_encode(&data, &log->manifest) ||
        !mri_put_file(
            &log->append, &file, log->dir,
            mri_log_path(log, MRI_FILE_MANIFEST, log->manifest.fence, log->manifest.number),
            &data)) {
        st = nomem(err);
    } else {
        st = mri_queue_drive(&log->append, err);
    }
    mri_queue_clear(&log->append);
    mr_buffer_fini(&data);
    return st;
}

static bool is_named(const struct mr_epoch_log *log, enum mri_file_type type, uint64_t fence,
                     uint64_t number)
{
    const struct mri_manifest *manifest = &log->manifest;

    switch (type) {
    case MRI_FILE_SEGMENT:
        if (MR_PLANT("museum-15") && fence != log->meta.fence) return false;
        for (uint32_t i = 0; i < manifest->chain_count; i++) {
            const struct mri_chain *chain = &manifest->chains[i];

            if (chain->fence != fence || number < chain->first) continue;
            if (chain->last_epoch == 0 || number <= chain->last) return true;
        }
        return false;
    case MRI_FILE_BASE:
        for (uint32_t i = 0; i < manifest->base_count; i++) {
            if (manifest->bases[i].fence == fence && manifest->bases[i].number == number)
                return true;
        }
        return false;
    case MRI_FILE_MANIFEST: return manifest->fence == fence && manifest->number == number;
    case MRI_FILE_RUN:
    case MRI_FILE_META_NEW: return false;
    case MRI_FILE_META:
    case MRI_FILE_LOCK:
    case MRI_FILE_OTHER: return true; /* not ours to remove */
    }
    MR_UNREACHABLE();
}

/* Files that nothing names are left over from attempts that ended; a file that cannot be removed
 * now is removed by the next attempt. */
static void remove_unnamed(struct mr_epoch_log *log)
{
    struct mr_disk_request request = {.op = MR_DISK_LIST, .path = log->dir};
    struct mr_error ignored;
    uint64_t fence, number;

    if (mr_disk_do(log->disk, &request, &ignored) != MR_OK) return;
    for (uint32_t i = 0; i < request.name_count; i++) {
        enum mri_file_type type = mri_file_parse(request.names[i], &fence, &number);
        char *path;

        if (is_named(log, type, fence, number)) continue;
        path = mri_log_path(log, type, fence, number);
        if (path == NULL) break;
        (void)!do_path(log, MR_DISK_UNLINK, path, &ignored);
        mr_strfree(log->heap, path);
    }
    log->disk->names_free(log->disk, &request);
}

static enum mr_status start_attempt(struct opening *opening, struct mr_error *err)
{
    struct mr_epoch_log *log = opening->log;
    uint32_t chains = opening->old.chain_count;
    bool copies = opening->last.epoch != 0 && opening->last_chain + 1 == chains;
    struct mri_chain chain = {.first = 1, .first_offset = log->options.align_bytes};

    if (chains + 1 >= MRI_CHAINS_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "%s: %u attempts without a compaction", log->dir,
                            chains);
    }
    log->meta = opening->before;
    log->meta.fence = MR_MAX(log->meta.fence + 1, log->options.least_fence);
    log->meta.attempt++;
    log->meta.manifest_fence = chain.fence = log->meta.fence;
    log->meta.manifest_number = 1;
    log->manifest = (struct mri_manifest){.heap = log->heap,
                                          .fence = log->meta.fence,
                                          .number = 1,
                                          .job_hash = log->options.job_hash,
                                          .base_epoch = opening->old.base_epoch};
    log->next_number[MRI_FILE_MANIFEST] = 2;
    log->next_number[MRI_FILE_BASE] = log->next_number[MRI_FILE_RUN] = 1;
    MR_RET(inherit(opening, copies, err));
    if (!mri_manifest_add_chain(&log->manifest, &chain)) return nomem(err);
    MR_RET(mri_log_first_segment(log, err));
    if (copies) MR_RET(copy_last(opening, err));
    mr_assert(!copies || log->last_epoch == opening->last_epoch);
    log->last_epoch = opening->last_epoch;
    log->full_epoch = opening->full_epoch;
    MR_RET(write_manifest(log, err));
    MR_RET(do_switch(log, &opening->before, &log->meta, err));
    remove_unnamed(log);
    return MR_OK;
}

/* ---- open ---- */

static enum mr_status check_options(const struct mr_epoch_log_options *options,
                                    struct mr_error *err)
{
    uint64_t align = options->align_bytes;

    if (align < 64 || align > (1u << 20) || (align & (align - 1)) != 0 ||
        options->segment_bytes % align != 0 || options->segment_bytes < 4 * align ||
        options->segment_bytes < 2048 || options->dir[0] == 0) {
        return mr_error_set(err, MR_E_INVALID,
                            "epoch log: a block is a power of two of 64 bytes to 1 MiB, a segment "
                            "at least four of them and 2 KiB");
    }
    return MR_OK;
}

static enum mr_status log_create(struct mr_heap *heap, const struct mr_epoch_log_options *options,
                                 struct mr_epoch_log **out, struct mr_error *err)
{
    struct mr_epoch_log *log = mr_alloc_zero(heap, sizeof *log);

    if (log == NULL) return nomem(err);
    log->heap = heap;
    log->disk = options->disk;
    log->options = *options;
    if (log->options.segment_bytes == 0) log->options.segment_bytes = SEGMENT_BYTES;
    if (log->options.align_bytes == 0) log->options.align_bytes = ALIGN_BYTES;
    if (log->options.base_bytes == 0) log->options.base_bytes = BASE_BYTES;
    if (log->options.sort_bytes == 0) log->options.sort_bytes = SORT_BYTES;
    if (log->options.merge_files == 0) log->options.merge_files = MERGE_FILES;
    mri_queue_init(&log->append, heap, log->disk);
    mri_queue_init(&log->prepare, heap, log->disk);
    mr_buffer_init(&log->block, heap);
    mr_buffer_init(&log->payload, heap);
    log->dir = mr_strdup(heap, options->dir);
    *out = log;
    return log->dir != NULL ? MR_OK : nomem(err);
}

static enum mr_status read_directory(struct opening *opening, struct mr_error *err)
{
    struct mr_epoch_log *log = opening->log;
    bool have_meta;

    MR_RET(do_path(log, MR_DISK_MKDIR, log->dir, err));
    MR_RET(sync_parent(log, err));
    MR_RET(check_names(log, &have_meta, err));
    if (!have_meta) return make_meta(opening, err);
    MR_RET(read_meta(opening, err));
    if (opening->before.manifest_fence == 0) return MR_OK;
    MR_RET(read_manifest(opening, err));
    MR_RET(find_last(opening, err));
    return visit_all(opening, err);
}

enum mr_status mr_epoch_log_open(struct mr_heap *heap, const struct mr_epoch_log_options *options,
                                 mr_log_entry_fn visit, void *self, struct mr_epoch_log **out,
                                 struct mr_error *err)
{
    struct opening opening = {.visit = visit, .self = self};
    struct mr_error local;
    enum mr_status st;

    if (err == NULL) err = &local;
    mr_error_clear(err);
    MR_GOTO(log_create(heap, options, &opening.log, err));
    MR_GOTO(check_options(&opening.log->options, err));
    MR_GOTO(read_directory(&opening, err));
    MR_GOTO(start_attempt(&opening, err));
    mr_epoch_log_check(opening.log);
    *out = opening.log;
    opening.log = NULL;
done:
    mri_manifest_fini(&opening.old);
    mr_epoch_log_close(opening.log);
    return st;
}
