/* epoch_log.c - appending; see epoch_log.h. Opening is in log_open.c, merging in compaction.c. */
#include "state/epoch_log_internal.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/crc.h"
#include "base/status.h"

#include <string.h>

#define RECORD_BYTES (32u << 10)  /* an ENTRIES record is closed when it is longer */
#define BLOCK_BYTES  (256u << 10) /* handed to the disk when longer */
#define LINK_BYTES   (MRI_RECORD_HEADER_BYTES + sizeof(struct mri_link))
#define KNOWN_BYTES  (MRI_RECORD_HEADER_BYTES + 8u)

char *mri_log_path(const struct mr_epoch_log *log, enum mri_file_type type, uint64_t fence,
                   uint64_t number)
{
    return mri_file_path(log->heap, log->dir, type, fence, number);
}

void mr_epoch_log_check(const struct mr_epoch_log *log)
{
    mr_assert(log->first == NULL || log->first->number == log->end.segment); /* (1) */
    for (const struct mri_segment_file *s = log->first; s != NULL && s->next != NULL; s = s->next) {
        mr_assert(s->next->number == s->number + 1); /* (1) */
    }
    mr_assert(log->end.offset % log->options.align_bytes == 0);          /* (2) */
    mr_assert(log->current != log->first || log->at >= log->end.offset); /* (2) */
    mr_assert(log->at <= log->options.segment_bytes);
    mr_assert(log->phase != MRI_LOG_FILLING || log->begin.epoch > log->last_epoch);
}

void mri_log_break(struct mr_epoch_log *log, const struct mr_error *why)
{
    if (log->phase == MRI_LOG_BROKEN) return;
    log->phase = MRI_LOG_BROKEN;
    log->broken = *why;
    mr_error_context(&log->broken,
                     "%s: it is not known whether the last write is durable; the "
                     "directory has to be opened again",
                     log->dir);
}

static enum mr_status nomem(const struct mr_epoch_log *log, struct mr_error *err)
{
    (void)log;
    return mr_error_nomem(err, "the epoch log", BLOCK_BYTES);
}

/* ---- preparing segments ---- */

static bool put_new_segment(struct mr_epoch_log *log, struct mri_segment_file *segment)
{
    struct mri_op create = {.kind = MRI_OP_CREATE, .file = &segment->file};
    struct mri_op remove = {.kind = MRI_OP_UNLINK, .may_fail = true};

    /* Left over from an attempt that did not get as far as META. */
    remove.path = mri_log_path(log, MRI_FILE_SEGMENT, log->meta.fence, segment->number);
    create.path = mri_log_path(log, MRI_FILE_SEGMENT, log->meta.fence, segment->number);
    if (!mri_queue_put(&log->prepare, &remove)) {
        mr_strfree(log->heap, create.path);
        return false;
    }
    return mri_queue_put(&log->prepare, &create);
}

/* The old name goes: nothing in force names it. The old bytes carry the old number. */
static bool put_reused_segment(struct mr_epoch_log *log, struct mri_segment_file *segment,
                               uint64_t old)
{
    struct mri_op rename = {.kind = MRI_OP_RENAME};
    struct mri_op open = {.kind = MRI_OP_OPEN_OUTPUT, .file = &segment->file};

    rename.path = mri_log_path(log, MRI_FILE_SEGMENT, log->meta.fence, old);
    rename.path_to = mri_log_path(log, MRI_FILE_SEGMENT, log->meta.fence, segment->number);
    open.path = mri_log_path(log, MRI_FILE_SEGMENT, log->meta.fence, segment->number);
    if (!mri_queue_put(&log->prepare, &rename)) {
        mr_strfree(log->heap, open.path);
        return false;
    }
    return mri_queue_put(&log->prepare, &open);
}

static bool put_head(struct mr_epoch_log *log, struct mri_segment_file *segment, bool fresh)
{
    const struct mri_segment_head head = {.job_hash = log->options.job_hash,
                                          .fence = log->meta.fence,
                                          .number = segment->number,
                                          .attempt = log->meta.attempt,
                                          .capacity_bytes = log->options.segment_bytes,
                                          .align_bytes = log->options.align_bytes};
    struct mri_op write = {.kind = MRI_OP_WRITE, .file = &segment->file};

    mr_buffer_init(&write.data, log->heap);
    if (!mri_words_put(&write.data, MRI_SEGMENT, mri_file_id(head.fence, head.number), 0, &head,
                       MRI_WORDS(head), NULL)) {
        mr_buffer_fini(&write.data);
        return false;
    }
    if (fresh) write.zero_bytes = log->options.segment_bytes - write.data.size_bytes;
    return mri_queue_put(&log->prepare, &write);
}

static bool put_preparation(struct mr_epoch_log *log, struct mri_segment_file *segment,
                            uint64_t reuse)
{
    struct mri_op sync = {.kind = MRI_OP_SYNC, .file = &segment->file};
    struct mri_op sync_dir = {.kind = MRI_OP_SYNC_DIRECTORY};
    struct mri_op ready = {.kind = MRI_OP_READY, .file = &segment->file};

    if (reuse != 0 ? !put_reused_segment(log, segment, reuse) : !put_new_segment(log, segment)) {
        return false;
    }
    if (!put_head(log, segment, reuse == 0) || !mri_queue_put(&log->prepare, &sync)) return false;
    sync_dir.path = mr_strdup(log->heap, log->dir);
    return mri_queue_put(&log->prepare, &sync_dir) && mri_queue_put(&log->prepare, &ready);
}

static uint64_t take_reusable(struct mr_epoch_log *log)
{
    uint64_t number = log->reuse[0];

    memmove(log->reuse, log->reuse + 1, sizeof log->reuse - sizeof log->reuse[0]);
    log->reuse[MRI_REUSE_MAX - 1] = 0;
    return number;
}

static struct mri_segment_file *last_segment(const struct mr_epoch_log *log)
{
    struct mri_segment_file *segment = log->first;

    while (segment != NULL && segment->next != NULL) segment = segment->next;
    return segment;
}

/* Makes the next segment and queues its preparation. */
static struct mri_segment_file *add_segment(struct mr_epoch_log *log)
{
    struct mri_segment_file *last = last_segment(log);
    struct mri_segment_file *segment;

    segment = mr_alloc_zero(log->heap, sizeof *segment);
    if (segment == NULL) return NULL;
    segment->number = last != NULL ? last->number + 1 : 1;
    mr_assert(segment->number < MRI_NUMBER_MAX);
    if (!put_preparation(log, segment, take_reusable(log))) {
        mri_queue_clear(&log->prepare); /* others in it are queued again by the next step */
        mr_free(log->heap, segment, sizeof *segment);
        return NULL;
    }
    if (last != NULL) {
        last->next = segment;
    } else {
        log->first = log->current = segment;
    }
    return segment;
}

enum mr_status mri_log_first_segment(struct mr_epoch_log *log, struct mr_error *err)
{
    mr_assert(log->first == NULL);
    log->end = (struct mri_place){1, log->options.align_bytes};
    log->at = log->options.align_bytes;
    if (add_segment(log) == NULL) return nomem(log, err);
    return mri_queue_drive(&log->prepare, err);
}

static bool put_close(struct mri_queue *queue, struct mri_file *file)
{
    struct mri_op op = {.kind = MRI_OP_CLOSE, .file = file, .may_fail = true};

    return mri_queue_put(queue, &op);
}

static struct mri_segment_file *first_unready(const struct mr_epoch_log *log)
{
    struct mri_segment_file *segment = log->first;

    while (segment != NULL && segment->file.ready) segment = segment->next;
    return segment;
}

/* Preparations that failed begin anew with other files under their names: a file whose sync failed
 * is never used. Without memory the queue stays empty, and the next step tries again. */
static void prepare_again(struct mr_epoch_log *log)
{
    bool ok = true;

    mri_queue_clear(&log->prepare);
    for (struct mri_segment_file *s = first_unready(log); ok && s != NULL; s = s->next) {
        ok = put_close(&log->prepare, &s->file) && put_preparation(log, s, 0);
    }
    if (!ok) mri_queue_clear(&log->prepare);
}

static void step_preparation(struct mr_epoch_log *log)
{
    if (mri_queue_step(&log->prepare) != MRI_QUEUE_IDLE || first_unready(log) == NULL) return;
    prepare_again(log);
    (void)mri_queue_step(&log->prepare); /* a failure stays in the queue and is seen by poll */
}

/* ---- blocks and records ---- */

static enum mr_status flush_block(struct mr_epoch_log *log, const struct mri_file *wait_for,
                                  bool decides, struct mr_error *err)
{
    struct mri_op op = {.kind = MRI_OP_WRITE,
                        .file = &log->current->file,
                        .wait_for = wait_for != NULL ? wait_for : &log->current->file,
                        .offset = log->block_offset,
                        .data = log->block,
                        .decides = decides};

    if (log->block.size_bytes == 0) return MR_OK;
    mr_buffer_init(&log->block, log->heap);
    if (!mri_queue_put(&log->append, &op)) return nomem(log, err);
    /* Starts at once, so that a large epoch does not pile up; failures are seen by poll. */
    if (!log->current->file.ready || (wait_for != NULL && !wait_for->ready)) step_preparation(log);
    (void)mri_queue_step(&log->append);
    return MR_OK;
}

static enum mr_status put_record(struct mr_epoch_log *log, enum mri_record_kind kind,
                                 struct mr_bytes payload, struct mr_error *err)
{
    size_t before = log->block.size_bytes;
    uint32_t crc;

    if (before == 0) log->block_offset = log->at;
    if (!mri_record_put(&log->block, kind, mri_file_id(log->meta.fence, log->current->number),
                        log->at, payload, &crc)) {
        return nomem(log, err);
    }
    log->at += log->block.size_bytes - before;
    if (kind == MRI_BEGIN) {
        log->in_epoch = true;
        log->crc = 0;
        log->byte_count = 0;
    }
    if (log->in_epoch && kind != MRI_COMPLETE) {
        log->crc = mr_crc32c(log->crc, &crc, sizeof crc);
        log->byte_count += log->block.size_bytes - before;
    }
    return MR_OK;
}

/* Says where it goes on, and goes there. The link is written when the next segment is durable. */
static enum mr_status next_segment(struct mr_epoch_log *log, struct mr_error *err)
{
    struct mri_link link = {.number = log->current->number + 1, .known = log->last_epoch};
    struct mri_segment_file *next = log->current->next;

    if (next == NULL) next = add_segment(log);
    if (next == NULL) return nomem(log, err);
    MR_RET(put_record(log, MRI_LINK, (struct mr_bytes){(const char *)&link, sizeof link}, err));
    MR_RET(flush_block(log, &next->file, false, err));
    log->current = next;
    log->at = log->options.align_bytes;
    return MR_OK;
}

/* A record goes into this segment if it leaves room for a link, else into the next. */
static enum mr_status place(struct mr_epoch_log *log, enum mri_record_kind kind,
                            struct mr_bytes payload, struct mr_error *err)
{
    uint64_t need = MRI_RECORD_HEADER_BYTES + payload.size_bytes + LINK_BYTES;

    if (log->at + need > mri_segment_usable(log)) {
        MR_RET(next_segment(log, err));
        mr_assert(log->at + need <= mri_segment_usable(log));
    }
    MR_RET(put_record(log, kind, payload, err));
    if (log->block.size_bytes >= BLOCK_BYTES) MR_RET(flush_block(log, NULL, false, err));
    return MR_OK;
}

static enum mr_status flush_entries(struct mr_epoch_log *log, struct mr_error *err)
{
    struct mr_bytes payload = {log->payload.data, log->payload.size_bytes};

    if (payload.size_bytes == 0) return MR_OK;
    MR_RET(place(log, MRI_ENTRIES, payload, err));
    mr_buffer_clear(&log->payload);
    log->writer.begun = false;
    return MR_OK;
}

/* ---- epochs ---- */

enum mr_status mr_epoch_log_begin(struct mr_epoch_log *log, uint64_t epoch, bool full,
                                  struct mr_error *err)
{
    if (log->phase == MRI_LOG_BROKEN) {
        if (err != NULL) *err = log->broken;
        return log->broken.status;
    }
    mr_assert(log->phase == MRI_LOG_REST && epoch > log->last_epoch);
    log->begin = (struct mri_begin){.epoch = epoch,
                                    .known = log->last_epoch,
                                    .fence = log->meta.fence,
                                    .attempt = log->meta.attempt,
                                    .flags = full ? MRI_EPOCH_FULL : 0};
    log->phase = MRI_LOG_FILLING;
    log->entry_count = 0;
    log->spoiled = true;
    MR_RET(place(log, MRI_BEGIN, (struct mr_bytes){(const char *)&log->begin, sizeof log->begin},
                 err));
    log->spoiled = false;
    mr_epoch_log_check(log);
    return MR_OK;
}

static enum mr_status fits(const struct mr_epoch_log *log, const char *operator_id,
                           const struct mr_entry *entry, struct mr_error *err)
{
    uint64_t size = entry->key.size_bytes + entry->value.size_bytes;
    uint64_t limit = MR_MIN(log->options.segment_bytes / 4, MRI_PAYLOAD_BYTES_MAX / 2);

    if (strlen(operator_id) > MR_ENTRY_NAME_BYTES_MAX ||
        strlen(entry->state_name) > MR_ENTRY_NAME_BYTES_MAX) {
        return mr_error_set(err, MR_E_LIMIT,
                            "operator '%.40s...': names of operators and states "
                            "are at most 255 bytes long",
                            operator_id);
    }
    if (size <= limit) return MR_OK;
    return mr_error_set(err, MR_E_LIMIT,
                        "operator '%s', state '%s': one key has %llu bytes of state, more than the "
                        "%llu that a log segment takes; keep less per key or use larger segments",
                        operator_id, entry->state_name, (unsigned long long)size,
                        (unsigned long long)limit);
}

enum mr_status mr_epoch_log_add(struct mr_epoch_log *log, const char *operator_id,
                                const struct mr_entry *entry, struct mr_error *err)
{
    bool spoiled = log->spoiled;
    size_t size = entry->key.size_bytes + entry->value.size_bytes;

    mr_assert(log->phase == MRI_LOG_FILLING);
    log->spoiled = true;
    if (spoiled) return nomem(log, err);
    MR_RET(fits(log, operator_id, entry, err));
    if (log->payload.size_bytes + size > log->options.segment_bytes / 3) {
        MR_RET(flush_entries(log, err));
    }
    if (!mri_entry_put(&log->writer, &log->payload, operator_id, entry)) return nomem(log, err);
    log->entry_count++;
    if (log->payload.size_bytes >= MR_MIN(RECORD_BYTES, log->options.segment_bytes / 8)) {
        MR_RET(flush_entries(log, err));
    }
    log->spoiled = false;
    return MR_OK;
}

/* A run that is too long has one entry only: its name is wanted. */
static enum mr_status run_fits(const struct mr_epoch_log *log, struct mr_bytes run,
                               struct mr_error *err)
{
    struct mri_entry_reader reader;
    struct mr_entry entry;

    if (run.size_bytes <= log->options.segment_bytes / 4) return MR_OK;
    mri_entry_reader_init(&reader, run);
    while (mri_entry_next(&reader, &entry) == MRI_ENTRY_GOT) {
        MR_RET(fits(log, reader.operator_id, &entry, err));
    }
    return MR_OK;
}

enum mr_status mr_epoch_log_add_run(struct mr_epoch_log *log, struct mr_bytes run,
                                    uint64_t entry_count, struct mr_error *err)
{
    bool spoiled = log->spoiled;

    mr_assert(log->phase == MRI_LOG_FILLING);
    log->spoiled = true;
    if (spoiled) return nomem(log, err);
    MR_RET(run_fits(log, run, err));
    MR_RET(flush_entries(log, err));
    MR_RET(mri_log_add_record(log, run, entry_count, err));
    log->spoiled = false;
    return MR_OK;
}

enum mr_status mri_log_add_record(struct mr_epoch_log *log, struct mr_bytes payload,
                                  uint64_t entry_count, struct mr_error *err)
{
    mr_assert(log->phase == MRI_LOG_FILLING && log->payload.size_bytes == 0);
    if (MRI_RECORD_HEADER_BYTES + payload.size_bytes + LINK_BYTES + log->options.align_bytes >
        mri_segment_usable(log)) {
        return mr_error_set(
            err, MR_E_LIMIT,
            "%s: segments of %llu bytes are too small for what an earlier run wrote; "
            "use the size of that run",
            log->dir, (unsigned long long)log->options.segment_bytes);
    }
    log->entry_count += entry_count;
    return place(log, MRI_ENTRIES, payload, err);
}

/* Ends the block at a border, so that the next epoch does not share one with this. */
static bool pad_block(struct mr_epoch_log *log)
{
    uint64_t align = log->options.align_bytes;
    size_t more = (size_t)((align - log->at % align) % align);

    if (!mr_buffer_reserve(&log->block, more)) return false;
    if (more > 0) memset(log->block.data + log->block.size_bytes, 0, more);
    log->block.size_bytes += more;
    log->at += more;
    return true;
}

static enum mr_status put_syncs(struct mr_epoch_log *log, struct mr_error *err)
{
    for (struct mri_segment_file *s = log->first;; s = s->next) {
        struct mri_op op = {.kind = MRI_OP_SYNC, .file = &s->file};

        if (!mri_queue_put(&log->append, &op)) return nomem(log, err);
        if (s == log->current) return MR_OK;
    }
}

enum mr_status mr_epoch_log_commit(struct mr_epoch_log *log, struct mr_error *err)
{
    struct mri_complete complete;

    mr_assert(log->phase == MRI_LOG_FILLING);
    if (log->spoiled) return nomem(log, err);
    log->spoiled = true;
    MR_RET(flush_entries(log, err));
    /* A link would have to be summed before the trailer is made. */
    if (log->at + MRI_RECORD_HEADER_BYTES + sizeof complete + LINK_BYTES >
        mri_segment_usable(log)) {
        MR_RET(next_segment(log, err));
    }
    complete = (struct mri_complete){.epoch = log->begin.epoch,
                                     .fence = log->begin.fence,
                                     .attempt = log->begin.attempt,
                                     .entry_count = log->entry_count,
                                     .byte_count = log->byte_count,
                                     .crc = log->crc};
    MR_RET(put_record(log, MRI_COMPLETE,
                      (struct mr_bytes){(const char *)&complete, sizeof complete}, err));
    if (!pad_block(log)) return nomem(log, err);
    MR_RET(flush_block(log, NULL, true, err));
    MR_RET(put_syncs(log, err));
    log->spoiled = false;
    log->in_epoch = false;
    log->phase = MRI_LOG_COMMITTING;
    mr_epoch_log_check(log);
    return MR_OK;
}

/* True once the trailer may have reached the disk. */
static bool is_decided(const struct mr_epoch_log *log)
{
    const struct mri_op *head = mri_queue_head(&log->append);

    if (log->phase != MRI_LOG_COMMITTING) return false;
    for (const struct mri_op *op = head; op != NULL; op = op->next) {
        if (op->decides)
            return op == head &&
                   (log->append.in_flight || op->at > 0 || log->append.status != MR_OK);
    }
    return true;
}

bool mr_epoch_log_abort(struct mr_epoch_log *log)
{
    if (log->phase == MRI_LOG_BROKEN) return false;
    if (log->phase == MRI_LOG_REST) return true;
    if (is_decided(log)) return false;
    mri_queue_clear(&log->append);
    mr_buffer_clear(&log->block);
    mr_buffer_clear(&log->payload);
    log->writer.begun = false;
    log->in_epoch = false;
    log->current = log->first;
    log->at = log->end.offset;
    log->phase = MRI_LOG_REST;
    mr_epoch_log_check(log);
    return true;
}

/* ---- polling ---- */

/* Tells a reader that what comes before was reported: without it, damage to the last epoch would
 * look like an append that never finished. Not synced: it matters long after, not at once. It lies
 * where the next epoch begins, which says the same. */
static void put_marker(struct mr_epoch_log *log)
{
    struct mri_op op = {
        .kind = MRI_OP_WRITE, .file = &log->current->file, .offset = log->at, .may_fail = true};

    mr_buffer_init(&op.data, log->heap);
    if (log->at + KNOWN_BYTES > log->options.segment_bytes ||
        !mri_words_put(&op.data, MRI_KNOWN, mri_file_id(log->meta.fence, log->current->number),
                       log->at, &log->last_epoch, 1, NULL)) {
        mr_buffer_fini(&op.data);
        return;
    }
    if (!mri_queue_put(&log->append, &op)) return; /* a marker less: no harm */
    (void)mri_queue_step(&log->append);
}

static void close_segment(struct mr_epoch_log *log, struct mri_segment_file *segment)
{
    struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = segment->file.number};
    struct mr_error ignored;

    /* Synced or worthless: nothing can be lost. A close is answered at once. */
    if (segment->file.open) (void)!mr_disk_do(log->disk, &request, &ignored);
    mr_free(log->heap, segment, sizeof *segment);
}

static void forget_segments(struct mr_epoch_log *log)
{
    while (log->first != log->current) {
        struct mri_segment_file *segment = log->first;

        log->first = segment->next;
        close_segment(log, segment);
    }
}

static void epoch_is_complete(struct mr_epoch_log *log)
{
    MR_CRASH("C20");
    if (log->begin.flags & MRI_EPOCH_FULL) {
        log->cut = (struct mri_cut){
            .epoch = log->last_epoch, .place = log->end, .replay_bytes = log->replay_bytes};
        log->full_epoch = log->begin.epoch;
        log->full_bytes = log->byte_count;
    }
    log->last_epoch = log->begin.epoch;
    log->end = (struct mri_place){log->current->number, log->at};
    log->replay_bytes += log->byte_count;
    log->phase = MRI_LOG_REST;
    forget_segments(log);
    put_marker(log);
    mr_epoch_log_check(log);
}

/* The next segment is made when the current one is half full. */
static void think_ahead(struct mr_epoch_log *log)
{
    if (log->phase != MRI_LOG_REST || log->current->next != NULL) return;
    if (log->at < log->options.segment_bytes / 2) return;
    (void)add_segment(log); /* no memory: it is asked for again when needed */
}

static enum mr_log_state on_append_failure(struct mr_epoch_log *log, struct mr_error *err)
{
    const struct mri_op *head = mri_queue_head(&log->append);

    /* A write that found no room did not get as far as the trailer, its last bytes. */
    if ((head->kind == MRI_OP_SYNC && !MR_PLANT("museum-18")) ||
        (head->decides && log->append.status != MR_E_NO_SPACE)) {
        mri_log_break(log, &log->append.error);
        *err = log->broken;
        return MR_LOG_BROKEN;
    }
    *err = log->append.error;
    return MR_LOG_STALLED;
}

enum mr_log_state mr_epoch_log_poll(struct mr_epoch_log *log, struct mr_error *err)
{
    struct mr_error local;
    enum mri_queue_state state;

    if (err == NULL) err = &local;
    if (log->phase == MRI_LOG_BROKEN) {
        *err = log->broken;
        return MR_LOG_BROKEN;
    }
    log->disk->poll(log->disk);
    step_preparation(log);
    state = mri_queue_step(&log->append);
    if (state == MRI_QUEUE_FAILED) return on_append_failure(log, err);
    if (state == MRI_QUEUE_IDLE && log->phase == MRI_LOG_COMMITTING) epoch_is_complete(log);
    think_ahead(log);
    mr_epoch_log_check(log);
    if (log->phase != MRI_LOG_COMMITTING) return MR_LOG_IDLE;
    if (log->prepare.status != MR_OK) { /* the append waits for a segment that cannot be made */
        *err = log->prepare.error;
        return MR_LOG_STALLED;
    }
    return MR_LOG_BUSY;
}

void mr_epoch_log_retry(struct mr_epoch_log *log)
{
    if (log->phase == MRI_LOG_BROKEN) return;
    if (log->append.status != MR_OK) mri_queue_retry(&log->append);
    if (log->prepare.status != MR_OK) prepare_again(log);
}

/* ---- facts ---- */

uint64_t mr_epoch_log_last(const struct mr_epoch_log *log)
{
    return log->last_epoch;
}

uint64_t mr_epoch_log_fence(const struct mr_epoch_log *log)
{
    return log->meta.fence;
}

uint64_t mr_epoch_log_attempt(const struct mr_epoch_log *log)
{
    return log->meta.attempt;
}

uint64_t mr_epoch_log_written_bytes(const struct mr_epoch_log *log)
{
    return log->append.written_bytes + log->prepare.written_bytes;
}

void mr_epoch_log_close(struct mr_epoch_log *log)
{
    if (log == NULL) return;
    mr_assert(!log->compacting);
    mri_queue_fini(&log->append);
    mri_queue_fini(&log->prepare);
    while (log->first != NULL) {
        struct mri_segment_file *segment = log->first;

        log->first = segment->next;
        close_segment(log, segment);
    }
    mr_buffer_fini(&log->block);
    mr_buffer_fini(&log->payload);
    mri_manifest_fini(&log->manifest);
    mr_strfree(log->heap, log->dir);
    mr_free(log->heap, log, sizeof *log);
}
