/* log_walk.c - see log_walk.h. */
#include "state/log_walk.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/crc.h"
#include "base/status.h"

#define ADVICE                                                                            \
    "nothing was changed. Bring back a copy of the directory, or start from a savepoint " \
    "in a new one"

void mri_walk_init(struct mri_walk *walk, struct mr_heap *heap, struct mr_disk *disk,
                   const char *dir, const struct mri_manifest *manifest, uint64_t stop_epoch)
{
    mr_assert(manifest->chain_count > 0);
    *walk = (struct mri_walk){.heap = heap,
                              .disk = disk,
                              .dir = dir,
                              .manifest = manifest,
                              .stop_epoch = stop_epoch,
                              .segment = manifest->chains[0].first,
                              .known = manifest->base_epoch,
                              .end = {manifest->chains[0].first, manifest->chains[0].first_offset}};
}

static void leave_segment(struct mri_walk *walk)
{
    if (walk->reading) mri_reader_fini(&walk->reader);
    walk->reading = walk->have_head = false;
}

void mri_walk_fini(struct mri_walk *walk)
{
    leave_segment(walk);
}

static const struct mri_chain *chain_of(const struct mri_walk *walk)
{
    return &walk->manifest->chains[walk->chain];
}

static bool is_open(const struct mri_walk *walk)
{
    return chain_of(walk)->last_epoch == 0;
}

static enum mri_walk_event failed(struct mr_error *err, enum mr_status status)
{
    err->status = status;
    return MRI_WALK_FAILED;
}

static enum mri_walk_event damaged(const struct mri_walk *walk, uint64_t offset, const char *what,
                                   struct mr_error *err)
{
    if (MR_PLANT("museum-35")) return MRI_WALK_TAIL;
    return failed(err, mr_error_set(err, MR_E_CORRUPT,
                                    "%s/seg-%llu-%llu.log: offset %llu: %s; epoch %llu is the last "
                                    "one before it. " ADVICE,
                                    walk->dir, (unsigned long long)chain_of(walk)->fence,
                                    (unsigned long long)walk->segment, (unsigned long long)offset,
                                    what, (unsigned long long)walk->known));
}

/* What does not belong here: behind the end of an open chain a tail, anywhere else damage. */
static enum mri_walk_event stray(const struct mri_walk *walk, uint64_t offset, struct mr_error *err)
{
    if (is_open(walk) && walk->stop_epoch == 0) return MRI_WALK_TAIL;
    return damaged(walk, offset, "the log is damaged or cut short", err);
}

/* ---- segments ---- */

static void enter_segment(struct mri_walk *walk)
{
    uint64_t fence = chain_of(walk)->fence;

    mri_reader_init(&walk->reader, walk->heap, walk->disk,
                    mri_file_path(walk->heap, walk->dir, MRI_FILE_SEGMENT, fence, walk->segment),
                    mri_file_id(fence, walk->segment), MRI_WINDOW_BYTES);
    walk->reading = true;
}

static bool head_fits(const struct mri_walk *walk, const struct mri_segment_head *head)
{
    return head->fence == chain_of(walk)->fence && head->number == walk->segment &&
           head->job_hash == walk->manifest->job_hash && head->align_bytes >= 64 &&
           head->align_bytes <= (1u << 20) && (head->align_bytes & (head->align_bytes - 1)) == 0;
}

/* A segment is named by a manifest or a link only after its head is durable. */
static enum mri_walk_event read_head(struct mri_walk *walk, struct mr_error *err)
{
    struct mri_segment_head head;
    struct mri_record record;
    uint64_t from = chain_of(walk)->first_offset;

    switch (mri_reader_next(&walk->reader, &record, err)) {
    case MRI_READ_WAIT: return MRI_WALK_WAIT;
    case MRI_READ_FAILED:
        if (err->status == MR_E_NOT_FOUND) return damaged(walk, 0, "the file is missing", err);
        return MRI_WALK_FAILED;
    case MRI_READ_RECORD:
        if (record.kind == MRI_SEGMENT && mri_words_get(&record, &head, MRI_WORDS(head)) &&
            head_fits(walk, &head)) {
            break;
        }
        return damaged(walk, 0, "the segment of another job", err);
    case MRI_READ_END:
    case MRI_READ_BAD: return damaged(walk, 0, "this is no segment of this log", err);
    }
    walk->have_head = true;
    walk->align_bytes = head.align_bytes;
    walk->capacity_bytes = head.capacity_bytes;
    if (walk->segment != chain_of(walk)->first) from = head.align_bytes;
    if (from < head.align_bytes || from % head.align_bytes != 0) {
        return damaged(walk, from, "the manifest names a wrong place", err);
    }
    mri_reader_seek(&walk->reader, from);
    return MRI_WALK_BEGIN; /* any but WAIT and FAILED: go on */
}

static void next_segment(struct mri_walk *walk)
{
    leave_segment(walk);
    walk->segment++;
}

/* ---- records ---- */

static enum mri_walk_event on_begin(struct mri_walk *walk, const struct mri_record *record,
                                    struct mr_error *err)
{
    struct mri_begin begin;

    if (walk->in_epoch || record->offset % walk->align_bytes != 0 ||
        !mri_words_get(record, &begin, MRI_WORDS(begin)) || begin.known != walk->known ||
        begin.epoch <= walk->known || begin.fence != chain_of(walk)->fence) {
        return stray(walk, record->offset, err);
    }
    walk->begin = begin;
    walk->in_epoch = true;
    walk->start = (struct mri_place){walk->segment, record->offset};
    walk->start_chain = walk->chain;
    walk->entry_count = 0;
    walk->byte_count = record->size_bytes;
    walk->crc = mr_crc32c(0, &record->crc, sizeof record->crc);
    return MRI_WALK_BEGIN;
}

static bool count_entries(struct mri_walk *walk, const struct mri_record *record)
{
    struct mri_entry_reader reader;
    struct mr_entry entry;
    enum mri_entry_next got;

    mri_entry_reader_init(&reader, record->payload);
    while ((got = mri_entry_next(&reader, &entry)) == MRI_ENTRY_GOT) walk->entry_count++;
    return got == MRI_ENTRY_END;
}

static void sum(struct mri_walk *walk, const struct mri_record *record)
{
    walk->byte_count += record->size_bytes;
    walk->crc = mr_crc32c(walk->crc, &record->crc, sizeof record->crc);
}

static enum mri_walk_event on_entries(struct mri_walk *walk, const struct mri_record *record,
                                      struct mr_error *err)
{
    if (!walk->in_epoch) return stray(walk, record->offset, err);
    if (walk->count_entries && !count_entries(walk, record)) {
        return damaged(walk, record->offset, "an entry is malformed", err);
    }
    sum(walk, record);
    return MRI_WALK_ENTRIES;
}

static bool link_fits(const struct mri_walk *walk, const struct mri_record *record)
{
    struct mri_link link;

    return mri_words_get(record, &link, MRI_WORDS(link)) && link.number == walk->segment + 1 &&
           link.known == walk->known;
}

static enum mri_walk_event on_complete(struct mri_walk *walk, const struct mri_record *record,
                                       struct mr_error *err)
{
    struct mri_complete complete;
    uint64_t behind = record->offset + record->size_bytes;

    if (!walk->in_epoch || !mri_words_get(record, &complete, MRI_WORDS(complete)) ||
        complete.epoch != walk->begin.epoch || complete.fence != walk->begin.fence ||
        complete.attempt != walk->begin.attempt || complete.byte_count != walk->byte_count ||
        complete.crc != walk->crc ||
        (walk->count_entries && complete.entry_count != walk->entry_count)) {
        return stray(walk, record->offset, err);
    }
    walk->in_epoch = false;
    walk->known = complete.epoch;
    behind = (behind + walk->align_bytes - 1) / walk->align_bytes * walk->align_bytes;
    walk->end = (struct mri_place){walk->segment, behind};
    mri_reader_seek(&walk->reader, behind);
    return MRI_WALK_COMPLETE;
}

/* Ends, chain ends and segment changes; false: there is a record to read. */
static bool between(struct mri_walk *walk, enum mri_walk_event *out, struct mr_error *err)
{
    const struct mri_chain *chain = chain_of(walk);

    if (walk->in_epoch) return false;
    if (walk->stop_epoch != 0 && walk->known == walk->stop_epoch) {
        *out = MRI_WALK_END;
        return true;
    }
    if (is_open(walk) || walk->known < chain->last_epoch) return false;
    if (walk->known > chain->last_epoch || walk->segment != chain->last) {
        *out = damaged(walk, walk->end.offset, "a closed part of the log ends elsewhere", err);
        return true;
    }
    leave_segment(walk);
    walk->chain++; /* a manifest ends with an open chain */
    walk->segment = chain_of(walk)->first;
    walk->end = (struct mri_place){walk->segment, chain_of(walk)->first_offset};
    return false;
}

/* One record; false: it was a link, go on. */
static bool take(struct mri_walk *walk, struct mri_record *record, enum mri_walk_event *out,
                 struct mr_error *err)
{
    switch (record->kind) {
    case MRI_BEGIN: *out = on_begin(walk, record, err); return true;
    case MRI_ENTRIES: *out = on_entries(walk, record, err); return true;
    case MRI_COMPLETE: *out = on_complete(walk, record, err); return true;
    case MRI_LINK:
        if (!link_fits(walk, record)) break;
        if (walk->in_epoch) sum(walk, record);
        next_segment(walk);
        return false;
    case MRI_SEGMENT:
    case MRI_KNOWN: /* the end of what was written */
    case MRI_BASE:
    case MRI_FOOTER:
    case MRI_META:
    case MRI_MANIFEST:
    case MRI_LOCK:
    case MRI_SAVEPOINT: break;
    }
    *out = stray(walk, record->offset, err);
    return true;
}

enum mri_walk_event mri_walk_next(struct mri_walk *walk, struct mri_record *out,
                                  struct mr_error *err)
{
    enum mri_walk_event event;

    for (;;) {
        if (between(walk, &event, err)) return event;
        if (!walk->reading) enter_segment(walk);
        if (!walk->have_head) {
            event = read_head(walk, err);
            if (event == MRI_WALK_WAIT || event == MRI_WALK_FAILED) return event;
        }
        switch (mri_reader_next(&walk->reader, out, err)) {
        case MRI_READ_WAIT: return MRI_WALK_WAIT;
        case MRI_READ_FAILED: return MRI_WALK_FAILED;
        case MRI_READ_END:
        case MRI_READ_BAD: return stray(walk, walk->reader.offset, err);
        case MRI_READ_RECORD: break;
        }
        if (take(walk, out, &event, err)) return event;
    }
}

enum mri_walk_event mri_walk_wait(struct mri_walk *walk, struct mri_record *out,
                                  struct mr_error *err)
{
    enum mri_walk_event event;

    while ((event = mri_walk_next(walk, out, err)) == MRI_WALK_WAIT) walk->disk->poll(walk->disk);
    return event;
}

/* ---- the tail ---- */

/* The epoch that a record says was complete before it was written; 0: it does not say. */
static uint64_t known_by(const struct mri_record *record)
{
    struct mri_begin begin;
    struct mri_link link;
    uint64_t known;

    if (record->kind == MRI_BEGIN && mri_words_get(record, &begin, MRI_WORDS(begin))) {
        return begin.known;
    }
    if (record->kind == MRI_LINK && mri_words_get(record, &link, MRI_WORDS(link))) {
        return link.known;
    }
    if (record->kind == MRI_KNOWN && mri_words_get(record, &known, 1)) return known;
    return 0;
}

/* Looks at every place of a segment where an epoch could begin. *out_more: the file exists. */
static enum mr_status check_rest(struct mri_walk *walk, uint64_t offset, bool linked,
                                 bool *out_more, struct mr_error *err)
{
    struct mri_record record;
    enum mri_read got;

    enter_segment(walk);
    do {
        mri_reader_seek(&walk->reader, offset);
        got = mri_reader_wait(&walk->reader, &record, err);
        if (got == MRI_READ_RECORD && known_by(&record) > walk->known) {
            (void)damaged(walk, walk->end.offset,
                          "an epoch that was complete is damaged (a later record names it)", err);
            return err->status;
        }
        offset += walk->align_bytes;
    } while (got == MRI_READ_RECORD || got == MRI_READ_BAD);
    *out_more = got == MRI_READ_END;
    if (got == MRI_READ_END && linked && walk->reader.offset < walk->capacity_bytes) {
        (void)damaged(walk, walk->reader.offset, "the file is shorter than it was made", err);
        return err->status;
    }
    if (got == MRI_READ_FAILED && err->status != MR_E_NOT_FOUND) return err->status;
    return MR_OK;
}

enum mr_status mri_walk_check_tail(struct mri_walk *walk, struct mr_error *err)
{
    uint64_t offset = walk->end.offset;
    uint64_t last = walk->segment; /* whole before it was linked to */
    bool more = true;

    for (walk->segment = walk->end.segment; more; walk->segment++) {
        leave_segment(walk);
        MR_RET(check_rest(walk, offset, walk->segment <= last, &more, err));
        offset = walk->align_bytes;
    }
    leave_segment(walk);
    mr_error_clear(err);
    return MR_OK;
}

/* ---- base files and runs ---- */

void mri_base_walk_fini(struct mri_base_walk *walk)
{
    if (walk->reading) mri_reader_fini(&walk->reader);
    walk->reading = false;
}

static enum mri_read base_damaged(const struct mri_base_walk *walk, const char *what,
                                  struct mr_error *err)
{
    const struct mri_base_file *file = &walk->files[walk->file];

    err->status = mr_error_set(err, MR_E_CORRUPT, "%s/%s-%llu-%llu: offset %llu: %s. " ADVICE,
                               walk->dir, walk->type == MRI_FILE_BASE ? "base" : "run",
                               (unsigned long long)file->fence, (unsigned long long)file->number,
                               (unsigned long long)(walk->reading ? walk->reader.offset : 0), what);
    return MRI_READ_FAILED;
}

static void enter_base(struct mri_base_walk *walk)
{
    const struct mri_base_file *file = &walk->files[walk->file];

    mri_reader_init(&walk->reader, walk->heap, walk->disk,
                    mri_file_path(walk->heap, walk->dir, walk->type, file->fence, file->number),
                    mri_file_id(file->fence, file->number), walk->window_bytes);
    walk->reading = true;
    walk->have_head = walk->have_footer = false;
    walk->crc = 0;
}

enum mr_status mri_base_walk_open(struct mri_base_walk *walk, struct mr_error *err)
{
    struct mr_disk_request request = {.op = MR_DISK_OPEN_READ};
    enum mr_status st;

    mr_assert(walk->file == 0 && walk->file_count > 0 && !walk->reading);
    enter_base(walk);
    if (walk->reader.path == NULL) return mr_error_nomem(err, "a file name", 64);
    request.path = walk->reader.path;
    st = mr_disk_do(walk->disk, &request, err);
    if (st == MR_E_NOT_FOUND) (void)base_damaged(walk, "it is missing", err);
    if (st != MR_OK) return st == MR_E_NOT_FOUND ? MR_E_CORRUPT : st;
    walk->reader.file = request.file;
    walk->reader.open = true;
    return MR_OK;
}

static bool base_head_fits(const struct mri_base_walk *walk, const struct mri_record *record)
{
    struct mri_base_head head;

    return record->kind == MRI_BASE && mri_words_get(record, &head, MRI_WORDS(head)) &&
           head.epoch == walk->epoch;
}

static bool footer_fits(const struct mri_base_walk *walk, const struct mri_record *record)
{
    const struct mri_base_file *file = &walk->files[walk->file];
    struct mri_footer footer;

    return record->kind == MRI_FOOTER && mri_words_get(record, &footer, MRI_WORDS(footer)) &&
           footer.crc == walk->crc && footer.crc == file->crc &&
           footer.entry_count == file->entry_count && walk->reader.offset == file->size_bytes;
}

/* What a record means for the file; true: it holds entries. */
static bool take_base(struct mri_base_walk *walk, const struct mri_record *record, bool *out_bad)
{
    uint32_t crc = walk->crc;

    walk->crc = mr_crc32c(crc, &record->crc, sizeof record->crc);
    *out_bad = walk->have_footer;
    if (!walk->have_head) {
        walk->have_head = base_head_fits(walk, record);
        *out_bad |= !walk->have_head;
        return false;
    }
    if (record->kind == MRI_ENTRIES) return !*out_bad;
    walk->crc = crc;
    walk->have_footer = footer_fits(walk, record);
    *out_bad |= !walk->have_footer;
    return false;
}

enum mri_read mri_base_walk_next(struct mri_base_walk *walk, struct mri_record *out,
                                 struct mr_error *err)
{
    while (walk->file < walk->file_count) {
        enum mri_read got;
        bool bad;

        if (!walk->reading) enter_base(walk);
        got = mri_reader_next(&walk->reader, out, err);
        switch (got) {
        case MRI_READ_WAIT: return got;
        case MRI_READ_FAILED:
            if (err->status == MR_E_NOT_FOUND) return base_damaged(walk, "it is missing", err);
            return got;
        case MRI_READ_BAD: return base_damaged(walk, "it is damaged or cut short", err);
        case MRI_READ_END:
            if (!walk->have_footer) return base_damaged(walk, "it is cut short", err);
            mri_base_walk_fini(walk);
            walk->file++;
            break;
        case MRI_READ_RECORD:
            if (take_base(walk, out, &bad)) return got;
            if (bad) return base_damaged(walk, "its records do not fit together", err);
            break;
        }
    }
    return MRI_READ_END;
}
