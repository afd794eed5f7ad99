/* log_read.c - see log_read.h. */
#include "state/log_read.h"

#include "base/assert.h"
#include "base/status.h"
#include "state/entry_set.h"
#include "state/log_walk.h"

#include <string.h>

#define LOOKS_MAX 100u /* how often a writer may change META under our eyes */

struct mr_log_reader {
    struct mr_heap *heap;
    struct mr_disk *disk;
    char *dir;
    uint64_t wanted; /* epoch; 0: the last one */
    struct mri_meta meta;
    struct mri_manifest manifest;
    struct mr_log_info info;
    struct mr_log_attempt *attempts; /* one per chain */
    uint32_t attempt_room;
    struct mri_base_walk *bases; /* one per base file, each with its file open */
    uint32_t base_count;
    bool forgets_bases; /* an epoch that stands alone came later */
    struct mri_entry_set set;
    /* the merge */
    const struct mri_item *item;
    uint32_t base; /* index; base_count: all were read */
    struct mri_entry_reader in_record;
    bool have_record;
    bool have_entry;
    struct mr_entry base_entry;
    struct mr_buffer base_key;
    struct mr_buffer last_key;
};

static enum mr_status nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "reading a state directory", 1024);
}

/* ---- META and the manifest ---- */

static char *path_of(const struct mr_log_reader *reader, enum mri_file_type type, uint64_t fence,
                     uint64_t number)
{
    return mri_file_path(reader->heap, reader->dir, type, fence, number);
}

static enum mr_status read_meta(const struct mr_log_reader *reader, struct mri_meta *out,
                                struct mr_error *err)
{
    char *path = path_of(reader, MRI_FILE_META, 0, 0);
    struct mr_buffer data;
    enum mr_status st;

    mr_buffer_init(&data, reader->heap);
    if (path == NULL) return nomem(err);
    st = mri_file_read_all(reader->heap, reader->disk, mr_strdup(reader->heap, path), &data, err);
    if (st == MR_E_NOT_FOUND) {
        st = mr_error_set(err, MR_E_NOT_FOUND,
                          "%s: no state directory: it has no META. Name the directory that the job "
                          "was given with --state-dir, or a savepoint",
                          reader->dir);
    }
    if (st != MR_OK) goto done;
    st = mri_meta_decode((struct mr_bytes){data.data, data.size_bytes}, path, out, err);
done:
    mr_buffer_fini(&data);
    mr_strfree(reader->heap, path);
    return st;
}

static enum mr_status read_manifest(struct mr_log_reader *reader, struct mr_error *err)
{
    const struct mri_meta *meta = &reader->meta;
    char *path = path_of(reader, MRI_FILE_MANIFEST, meta->manifest_fence, meta->manifest_number);
    struct mr_buffer data;
    enum mr_status st;

    mr_buffer_init(&data, reader->heap);
    if (path == NULL) return nomem(err);
    st = mri_file_read_all(reader->heap, reader->disk, mr_strdup(reader->heap, path), &data, err);
    if (st == MR_E_NOT_FOUND) {
        st = mr_error_set(
            err, MR_E_CORRUPT,
            "%s: META names it, but it is missing. Bring back a copy of the directory", path);
    }
    if (st != MR_OK) goto done;
    MR_GOTO(mri_manifest_decode(reader->heap, (struct mr_bytes){data.data, data.size_bytes}, path,
                                meta->manifest_fence, meta->manifest_number, &reader->manifest,
                                err));
    if (reader->manifest.job_hash != meta->job_hash) {
        st = mr_error_set(err, MR_E_CORRUPT, "%s: it belongs to another job than META", path);
    }
done:
    mr_buffer_fini(&data);
    mr_strfree(reader->heap, path);
    return st;
}

/* ---- base files ---- */

static void close_bases(struct mr_log_reader *reader)
{
    for (uint32_t i = 0; i < reader->base_count; i++) mri_base_walk_fini(&reader->bases[i]);
    mr_free(reader->heap, reader->bases, reader->base_count * sizeof *reader->bases);
    reader->bases = NULL;
    reader->base_count = 0;
}

/* All of them before anything is read: a compaction may remove their names at any time. */
static enum mr_status open_bases(struct mr_log_reader *reader, struct mr_error *err)
{
    const struct mri_manifest *manifest = &reader->manifest;

    reader->bases = mr_alloc_array(reader->heap, manifest->base_count, sizeof *reader->bases);
    if (reader->bases == NULL) return nomem(err);
    reader->base_count = manifest->base_count;
    for (uint32_t i = 0; i < manifest->base_count; i++) {
        const struct mri_base_file *file = &manifest->bases[i];

        reader->bases[i] = (struct mri_base_walk){.heap = reader->heap,
                                                  .disk = reader->disk,
                                                  .dir = reader->dir,
                                                  .type = MRI_FILE_BASE,
                                                  .files = file,
                                                  .file_count = 1,
                                                  .epoch = manifest->base_epoch,
                                                  .window_bytes = MRI_WINDOW_BYTES};
        MR_RET(mri_base_walk_open(&reader->bases[i], err));
        reader->info.base_bytes += file->size_bytes;
        reader->info.base_entries += file->entry_count;
    }
    reader->info.base_files = manifest->base_count;
    return MR_OK;
}

/* ---- epochs ---- */

struct found {
    uint64_t last;
    bool wanted; /* the epoch asked for is there */
};

static void note_epoch(struct mr_log_reader *reader, const struct mri_walk *walk,
                       struct found *found)
{
    struct mr_log_attempt *attempt = &reader->attempts[walk->start_chain];

    found->last = walk->known;
    found->wanted |= walk->known == reader->wanted;
    if (attempt->epoch_count++ == 0) attempt->first_epoch = walk->known;
    attempt->last_epoch = walk->known;
    attempt->bytes += walk->byte_count;
}

static enum mr_status begin_attempts(struct mr_log_reader *reader, struct mr_error *err)
{
    const struct mri_manifest *manifest = &reader->manifest;

    if (reader->attempts == NULL) {
        reader->attempts =
            mr_alloc_array(reader->heap, manifest->chain_count, sizeof *reader->attempts);
        if (reader->attempts == NULL) return nomem(err);
        reader->attempt_room = manifest->chain_count;
    }
    for (uint32_t i = 0; i < manifest->chain_count; i++) {
        reader->attempts[i] = (struct mr_log_attempt){.fence = manifest->chains[i].fence};
    }
    return MR_OK;
}

/* One pass. `check`: refuses if something behind the last epoch proves that there were more. */
static enum mr_status find_last(struct mr_log_reader *reader, bool check, struct found *found,
                                struct mr_error *err)
{
    struct mri_record record;
    enum mri_walk_event event;
    struct mri_walk walk;
    enum mr_status st = MR_OK;

    *found = (struct found){.last = reader->manifest.base_epoch};
    /* Without base files it is the epoch before one that stands alone, and nobody kept it. */
    found->wanted =
        reader->wanted == 0 || (reader->wanted == found->last && reader->manifest.base_count > 0);
    MR_RET(begin_attempts(reader, err));
    mri_walk_init(&walk, reader->heap, reader->disk, reader->dir, &reader->manifest, 0);
    walk.count_entries = true;
    do {
        event = mri_walk_wait(&walk, &record, err);
        if (event == MRI_WALK_COMPLETE) note_epoch(reader, &walk, found);
    } while (event != MRI_WALK_TAIL && event != MRI_WALK_FAILED);
    if (event == MRI_WALK_FAILED) st = err->status;
    if (event == MRI_WALK_TAIL && check) st = mri_walk_check_tail(&walk, err);
    mri_walk_fini(&walk);
    return st;
}

/* What proves that more epochs were complete is damage only if these cannot be read: a job that is
 * running has written them since we went past. */
static enum mr_status find_epochs(struct mr_log_reader *reader, struct mr_error *err)
{
    struct found found, again;
    enum mr_status st = find_last(reader, true, &found, err);

    if (st == MR_E_CORRUPT) {
        struct mr_error ignored = {.status = MR_OK};

        MR_RET(find_last(reader, false, &again, &ignored) == MR_OK ? MR_OK : st);
        if (again.last <= found.last) return st;
        mr_error_clear(err);
        found = again;
        st = MR_OK;
    }
    MR_RET(st);
    if (!found.wanted) {
        return mr_error_set(
            err, MR_E_NOT_FOUND, "%s: epoch %llu is not there: epochs %llu to %llu can be read",
            reader->dir, (unsigned long long)reader->wanted,
            (unsigned long long)reader->manifest.base_epoch, (unsigned long long)found.last);
    }
    reader->info.last_epoch = found.last;
    reader->info.epoch = reader->wanted != 0 ? reader->wanted : found.last;
    return MR_OK;
}

static enum mr_status collect_record(struct mr_log_reader *reader, struct mr_bytes payload,
                                     struct mr_error *err)
{
    struct mri_entry_reader entries;
    enum mri_entry_next got;
    struct mr_entry entry;

    mri_entry_reader_init(&entries, payload);
    while ((got = mri_entry_next(&entries, &entry)) == MRI_ENTRY_GOT) {
        if (!mri_entry_set_add(&reader->set, entries.operator_id, &entry)) return nomem(err);
    }
    if (got == MRI_ENTRY_END) return MR_OK;
    return mr_error_set(err, MR_E_CORRUPT, "%s: an entry is malformed", reader->dir);
}

static enum mr_status collect_epochs(struct mr_log_reader *reader, struct mr_error *err)
{
    struct mri_record record;
    enum mri_walk_event event;
    struct mri_walk walk;
    enum mr_status st = MR_OK;

    if (reader->info.epoch == reader->manifest.base_epoch) return MR_OK;
    mri_walk_init(&walk, reader->heap, reader->disk, reader->dir, &reader->manifest,
                  reader->info.epoch);
    do {
        event = mri_walk_wait(&walk, &record, err);
        if (event == MRI_WALK_FAILED) st = err->status;
        if (event == MRI_WALK_BEGIN && (walk.begin.flags & MRI_EPOCH_FULL) != 0) {
            mri_entry_set_clear(&reader->set);
            reader->forgets_bases = true;
        }
        if (event == MRI_WALK_ENTRIES) st = collect_record(reader, record.payload, err);
    } while (st == MR_OK && event != MRI_WALK_END);
    mri_walk_fini(&walk);
    return st;
}

/* ---- opening ---- */

static void forget(struct mr_log_reader *reader)
{
    close_bases(reader);
    mri_manifest_fini(&reader->manifest);
    mr_free(reader->heap, reader->attempts, reader->attempt_room * sizeof *reader->attempts);
    reader->attempts = NULL;
    reader->attempt_room = 0;
    reader->forgets_bases = false;
    mri_entry_set_clear(&reader->set);
    reader->info = (struct mr_log_info){0};
}

static void fill_info(struct mr_log_reader *reader)
{
    reader->info.job_hash = reader->meta.job_hash;
    reader->info.fence = reader->meta.fence;
    reader->info.attempt = reader->meta.attempt;
    reader->info.base_epoch = reader->manifest.base_epoch;
    reader->info.attempt_count = reader->manifest.chain_count;
    reader->info.attempts = reader->attempts;
}

/* One look. What it found holds if META is afterwards what it was before. */
static enum mr_status look(struct mr_log_reader *reader, struct mr_error *err)
{
    if (reader->meta.manifest_fence == 0) { /* opened for the first time, and not to the end */
        if (reader->wanted == 0) return MR_OK;
        return mr_error_set(err, MR_E_NOT_FOUND, "%s: no epoch is complete yet", reader->dir);
    }
    MR_RET(read_manifest(reader, err));
    MR_RET(open_bases(reader, err));
    MR_RET(find_epochs(reader, err));
    MR_RET(collect_epochs(reader, err));
    mri_entry_set_sort(&reader->set);
    return MR_OK;
}

static bool same_meta(const struct mri_meta *left, const struct mri_meta *right)
{
    return memcmp(left, right, sizeof *left) == 0;
}

/* Again and again while META changes: then what looks like damage, or like the end, may be neither. */
static enum mr_status look_until_quiet(struct mr_log_reader *reader, struct mr_error *err)
{
    for (uint32_t i = 0; i < LOOKS_MAX; i++) {
        struct mri_meta after;
        struct mr_error problem = {.status = MR_OK};
        enum mr_status st;

        MR_RET(read_meta(reader, &reader->meta, err));
        st = look(reader, &problem);
        if (st == MR_E_NOMEM) return *err = problem, st;
        MR_RET(read_meta(reader, &after, err));
        if (same_meta(&reader->meta, &after)) {
            if (st != MR_OK && err != NULL) *err = problem;
            return st;
        }
        forget(reader);
    }
    return mr_error_set(err, MR_E_BUSY,
                        "%s: the job that writes here changed it %u times while it was read; try "
                        "again",
                        reader->dir, LOOKS_MAX);
}

enum mr_status mr_log_reader_open(struct mr_heap *heap, const struct mr_log_read_options *options,
                                  struct mr_log_reader **out, struct mr_error *err)
{
    struct mr_log_reader *reader = mr_alloc_zero(heap, sizeof *reader);
    struct mr_error local;
    enum mr_status st;

    if (err == NULL) err = &local;
    if (reader == NULL) return nomem(err);
    reader->heap = heap;
    reader->disk = options->disk;
    reader->wanted = options->epoch;
    mri_entry_set_init(&reader->set, heap, options->tidy_bytes);
    mr_buffer_init(&reader->base_key, heap);
    mr_buffer_init(&reader->last_key, heap);
    reader->dir = mr_strdup(heap, options->dir);
    st = reader->dir != NULL ? look_until_quiet(reader, err) : nomem(err);
    if (st != MR_OK) {
        mr_log_reader_close(reader);
        return st;
    }
    fill_info(reader);
    reader->item = reader->set.first;
    if (reader->forgets_bases) reader->base = reader->base_count;
    *out = reader;
    return MR_OK;
}

void mr_log_reader_close(struct mr_log_reader *reader)
{
    if (reader == NULL) return;
    forget(reader);
    mri_entry_set_fini(&reader->set);
    mr_buffer_fini(&reader->base_key);
    mr_buffer_fini(&reader->last_key);
    mr_strfree(reader->heap, reader->dir);
    mr_free(reader->heap, reader, sizeof *reader);
}

const struct mr_log_info *mr_log_reader_info(const struct mr_log_reader *reader)
{
    return &reader->info;
}

/* ---- the merge ---- */

static enum mr_status base_damaged(const struct mr_log_reader *reader, const char *what,
                                   struct mr_error *err)
{
    const struct mri_base_file *file = &reader->manifest.bases[reader->base];

    return mr_error_set(
        err, MR_E_CORRUPT, "%s/base-%llu-%llu: offset %llu: %s. Bring back a copy of the directory",
        reader->dir, (unsigned long long)file->fence, (unsigned long long)file->number,
        (unsigned long long)reader->bases[reader->base].reader.offset, what);
}

/* The next record of base files, or base == base_count. */
static enum mr_status next_record(struct mr_log_reader *reader, struct mr_error *err)
{
    struct mri_record record;

    while (reader->base < reader->base_count) {
        switch (mri_base_walk_next(&reader->bases[reader->base], &record, err)) {
        case MRI_READ_WAIT: reader->disk->poll(reader->disk); break;
        case MRI_READ_BAD:
        case MRI_READ_FAILED: return err->status;
        case MRI_READ_END: reader->base++; break;
        case MRI_READ_RECORD:
            mri_entry_reader_init(&reader->in_record, record.payload);
            reader->have_record = true;
            return MR_OK;
        }
    }
    return MR_OK;
}

static enum mr_status check_order(struct mr_log_reader *reader, struct mr_error *err)
{
    struct mr_buffer swap = reader->last_key;

    reader->last_key = reader->base_key;
    reader->base_key = swap;
    mr_buffer_clear(&reader->base_key);
    if (!mri_sort_key_put(&reader->base_key, reader->in_record.operator_id, &reader->base_entry)) {
        return nomem(err);
    }
    if (reader->last_key.size_bytes > 0 &&
        mri_sort_key_compare(reader->last_key.data, reader->last_key.size_bytes,
                             reader->base_key.data, reader->base_key.size_bytes) >= 0) {
        return base_damaged(reader, "its entries are not in order", err);
    }
    return MR_OK;
}

/* Makes base_entry the next one of the base files, if there is one. */
static enum mr_status fill_base(struct mr_log_reader *reader, struct mr_error *err)
{
    while (!reader->have_entry && reader->base < reader->base_count) {
        if (!reader->have_record) {
            MR_RET(next_record(reader, err));
            continue;
        }
        switch (mri_entry_next(&reader->in_record, &reader->base_entry)) {
        case MRI_ENTRY_END: reader->have_record = false; break;
        case MRI_ENTRY_BAD: return base_damaged(reader, "an entry is malformed", err);
        case MRI_ENTRY_GOT:
            MR_RET(check_order(reader, err));
            reader->have_entry = true;
            break;
        }
    }
    return MR_OK;
}

static int compare_heads(const struct mr_log_reader *reader)
{
    const struct mri_item *item = reader->item;

    if (!reader->have_entry) return 1;
    if (item == NULL) return -1;
    return mri_sort_key_compare(reader->base_key.data, reader->base_key.size_bytes, item->sort_key,
                                item->sort_key_bytes);
}

/* False: it removes, or was removed. */
static bool lives(const struct mr_log_reader *reader, const char *operator_id,
                  const struct mr_entry *entry, uint64_t moment)
{
    if (entry->kind == MR_ENTRY_REMOVE || entry->kind == MR_ENTRY_TIMER_CLEAR) return false;
    return !mri_drops_cover(&reader->set.drops, operator_id, entry, moment);
}

static void give(const char *operator_id, const struct mr_entry *entry, const char **out_operator,
                 struct mr_entry *out)
{
    *out_operator = operator_id;
    *out = *entry;
    if (!mri_entry_is_of_instance(entry)) out->group_first = out->group_end = 0;
}

enum mr_status mr_log_reader_next(struct mr_log_reader *reader, const char **out_operator,
                                  struct mr_entry *out, struct mr_error *err)
{
    struct mr_error local;

    if (err == NULL) err = &local;
    for (*out_operator = NULL; *out_operator == NULL;) {
        const struct mri_item *item = reader->item;
        int order;

        MR_RET(fill_base(reader, err));
        if (!reader->have_entry && item == NULL) break;
        order = compare_heads(reader);
        if (order <= 0) {
            reader->have_entry = false;
            if (order < 0 && lives(reader, reader->in_record.operator_id, &reader->base_entry, 0)) {
                give(reader->in_record.operator_id, &reader->base_entry, out_operator, out);
            }
        } else {
            reader->item = item->next;
            if (lives(reader, item->sort_key, &item->entry, item->moment)) {
                give(item->sort_key, &item->entry, out_operator, out);
            }
        }
    }
    return MR_OK;
}

/* ---- other files ---- */

enum mr_status mr_state_file_read(struct mr_heap *heap, struct mr_disk *disk, const char *dir,
                                  const char *name, struct mr_bytes *out, struct mr_error *err)
{
    char *path = mri_path_join(heap, dir, name), *exact;
    struct mr_buffer data;
    enum mr_status st;

    *out = (struct mr_bytes){NULL, 0};
    if (path == NULL) return nomem(err);
    mr_buffer_init(&data, heap);
    st = mri_file_read_all(heap, disk, path, &data, err);
    if (st == MR_E_NOT_FOUND) {
        mr_error_clear(err);
        st = MR_OK;
    } else if (st == MR_OK && data.size_bytes > 0) {
        exact = mr_alloc(heap, data.size_bytes);
        if (exact == NULL) st = nomem(err);
        if (exact != NULL)
            *out = (struct mr_bytes){memcpy(exact, data.data, data.size_bytes), data.size_bytes};
    }
    mr_buffer_fini(&data);
    return st;
}
