/* topic_writer.c - see topic_writer.h. */
#include "connect/log/topic_writer.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "connect/log/topic_internal.h"

#include <string.h>

#define ROWS_BYTES ((size_t)64 * 1024)   /* a record is ended when it has this many */
#define PUSH_BYTES ((size_t)256 * 1024)  /* ... and handed on when all have this many */
#define BLOCK_BYTES ((uint64_t)4096)     /* what a device writes as one, or a multiple of that */
#define ZERO_BYTES ((uint64_t)1 << 20)   /* at a time */

enum retire_phase { RETIRE_NONE, RETIRE_LIST, RETIRE_NEWEST, RETIRE_OLDEST, RETIRE_UNLINK };

void mri_topic_writer_init(struct mri_topic_writer *writer, struct mr_heap *heap,
                           struct mr_disk *disk, const struct mri_topic *topic, uint32_t partition,
                           const struct mri_topic_index *index)
{
    *writer = (struct mri_topic_writer){.heap = heap,
                                        .disk = disk,
                                        .topic = topic,
                                        .partition = partition,
                                        .generation = index->generation,
                                        .fence = index->fence};
    writer->row = writer->row_first = writer->committed = index->parts[partition].next_row;
    mr_buffer_init(&writer->fill, heap);
    mri_topic_queue_init(&writer->queue, heap, disk);
}

static void retire_end(struct mri_topic_writer *writer)
{
    if (writer->retire_busy && !writer->retire.done) {
        writer->disk->cancel(writer->disk, &writer->retire);
    } else if (writer->retire_busy && writer->retire.op == MR_DISK_LIST) {
        writer->disk->names_free(writer->disk, &writer->retire);
    }
    mr_free(writer->heap, writer->retire_list, writer->retire_count * sizeof *writer->retire_list);
    mr_strfree(writer->heap, writer->retire_path);
    writer->retire_list = NULL;
    writer->retire_path = NULL;
    writer->retire_count = writer->retire_at = 0;
    writer->retire_busy = false;
    writer->retire_phase = RETIRE_NONE;
}

void mri_topic_writer_fini(struct mri_topic_writer *writer)
{
    if (writer->heap == NULL) return;
    retire_end(writer);
    mri_topic_queue_fini(&writer->queue);
    mr_buffer_fini(&writer->fill);
    *writer = (struct mri_topic_writer){.heap = NULL};
}

static uint64_t segment_id(const struct mri_topic_writer *writer)
{
    return mri_topic_segment_id(writer->generation, writer->partition, (uint32_t)writer->segment);
}

static uint64_t here(const struct mri_topic_writer *writer)
{
    return writer->fill_at + writer->fill.size_bytes;
}

bool mri_topic_writer_full(const struct mri_topic_writer *writer)
{
    return writer->queue.queued_bytes > MRI_TOPIC_QUEUE_BYTES;
}

/* ---- segments ---- */

static bool push(struct mri_topic_writer *writer)
{
    uint64_t end = here(writer);

    if (writer->fill.size_bytes == 0) return true;
    if (!mri_topic_queue_write(&writer->queue, writer->fill_at, &writer->fill, 0)) return false;
    writer->fill_at = end;
    return true;
}

/* The name is durable, and zeros are where the first rows will be, before any row is written. */
static bool open_segment(struct mri_topic_writer *writer)
{
    const struct mri_topic_head head = {.schema_hash = writer->topic->schema_hash,
                                        .partition = writer->partition,
                                        .generation = writer->generation,
                                        .segment = writer->segment,
                                        .fence = writer->fence,
                                        .first_row = writer->row};
    struct mri_topic_queue *queue = &writer->queue;

    if (writer->segment_open) return true;
    writer->fill_at = 0;
    writer->zeroed = MR_MIN(ZERO_BYTES, writer->topic->options.segment_bytes);
    if (!mri_topic_queue_put(queue, MRI_TODO_CREATE,
                             mri_topic_segment_path(writer->topic, writer->partition,
                                                    writer->generation, writer->segment)) ||
        !mri_topic_put(&writer->fill, MRI_TOPIC_HEAD, segment_id(writer), 0,
                       (const uint64_t *)&head, MRI_TOPIC_WORDS(head)) ||
        !push(writer) ||
        !mri_topic_queue_write(queue, writer->fill_at, NULL, writer->zeroed - writer->fill_at) ||
        !mri_topic_queue_put(queue, MRI_TODO_SYNC, NULL) ||
        !mri_topic_queue_put(queue, MRI_TODO_SYNC_NAMES,
                             mri_topic_path(writer->heap, writer->topic->path, "p%u",
                                            writer->partition))) {
        return false;
    }
    writer->segment_open = true;
    return true;
}

static bool roll(struct mri_topic_writer *writer)
{
    uint64_t next = writer->segment + 1;

    if (!mri_topic_put(&writer->fill, MRI_TOPIC_NEXT, segment_id(writer), here(writer), &next, 1) ||
        !push(writer) || !mri_topic_queue_put(&writer->queue, MRI_TODO_SYNC, NULL) ||
        !mri_topic_queue_put(&writer->queue, MRI_TODO_CLOSE, NULL)) {
        return false;
    }
    writer->dirty = false; /* the sync just asked for covers all */
    writer->sync_mark = writer->queue.put_count - 1;
    writer->segment_open = false;
    writer->segment = next;
    if ((writer->topic->options.retain_bytes > 0 || writer->topic->options.retain_us > 0) &&
        writer->retire_phase == RETIRE_NONE) {
        writer->retire_phase = RETIRE_LIST;
    }
    return true;
}

/* ---- rows ---- */

static bool begin_rows(struct mri_topic_writer *writer, bool timed)
{
    if (!open_segment(writer) || !mri_topic_begin(&writer->fill, &writer->rows_start)) return false;
    if (!mr_buffer_put_u64(&writer->fill, writer->row) || !mr_buffer_put_u64(&writer->fill, 0) ||
        !mr_buffer_put_u64(&writer->fill, timed ? MRI_TOPIC_ROWS_TIMES : 0)) {
        return false;
    }
    writer->in_rows = true;
    writer->rows_timed = timed;
    writer->rows_count = 0;
    return true;
}

static bool end_rows(struct mri_topic_writer *writer)
{
    char *count;

    if (!writer->in_rows) return true;
    writer->in_rows = false;
    if (writer->rows_count == 0) {
        writer->fill.size_bytes = writer->rows_start;
        return true;
    }
    count = writer->fill.data + writer->rows_start + MRI_TOPIC_HEADER_BYTES + 8;
    for (uint32_t i = 0; i < 8; i++) count[i] = (char)(writer->rows_count >> (8 * i) & 0xff);
    mri_topic_end(&writer->fill, writer->rows_start, MRI_TOPIC_ROWS, segment_id(writer),
                  writer->fill_at + writer->rows_start);
    writer->dirty = true;
    writer->rows_segment = writer->segment;
    if (here(writer) >= writer->topic->options.segment_bytes) return roll(writer);
    return writer->fill.size_bytes < PUSH_BYTES || push(writer);
}

static bool put_row(struct mri_topic_writer *writer, const struct mr_batch *batch, uint32_t row)
{
    uint32_t element = mr_batch_at(batch, row);

    if (writer->rows_timed) {
        uint64_t time = (uint64_t)mr_batch_event_time(batch, row);

        if (!mr_buffer_put_u64(&writer->fill, time)) return false;
    }
    for (uint32_t c = 0; c < batch->column_count; c++) {
        if (!mr_row_encode(&writer->fill, &batch->columns[c], element)) return false;
    }
    return true;
}

enum mr_status mri_topic_writer_append(struct mri_topic_writer *writer,
                                       const struct mr_batch *batch, struct mr_error *err)
{
    bool timed = batch->hidden[MR_HIDDEN_EVENT_TIME] != NULL;

    for (uint32_t row = 0; row < batch->row_count; row++) {
        size_t before;

        if (writer->in_rows && (writer->rows_timed != timed ||
                                writer->fill.size_bytes - writer->rows_start >= ROWS_BYTES) &&
            !end_rows(writer)) {
            return mri_topic_nomem(err);
        }
        if (!writer->in_rows && !begin_rows(writer, timed)) return mri_topic_nomem(err);
        before = writer->fill.size_bytes;
        if (!put_row(writer, batch, row)) return mri_topic_nomem(err);
        if (writer->fill.size_bytes - before > MRI_TOPIC_ROW_MAX) {
            return mr_error_set(err, MR_E_LIMIT,
                                "topic %s: row %llu of partition %u has %zu bytes, more than the %u "
                                "that a row of a topic may have",
                                writer->topic->path, (unsigned long long)writer->row,
                                writer->partition, writer->fill.size_bytes - before,
                                MRI_TOPIC_ROW_MAX);
        }
        writer->rows_count++;
        writer->row++;
    }
    return MR_OK;
}

/* ---- sync and commit ---- */

/* A device that loses power may spoil the block that it was writing: what was synced must not lie in
 * a block that is written once more. */
static bool pad(struct mri_topic_writer *writer)
{
    uint64_t gap = (BLOCK_BYTES - here(writer) % BLOCK_BYTES) % BLOCK_BYTES;
    size_t start = 0;

    if (gap == 0) return true;
    if (gap < MRI_TOPIC_HEADER_BYTES) gap += BLOCK_BYTES;
    if (!mr_buffer_reserve(&writer->fill, (size_t)gap)) return false;
    if (!mri_topic_begin(&writer->fill, &start)) return false;
    memset(writer->fill.data + writer->fill.size_bytes, 0, (size_t)gap - MRI_TOPIC_HEADER_BYTES);
    writer->fill.size_bytes += (size_t)gap - MRI_TOPIC_HEADER_BYTES;
    mri_topic_end(&writer->fill, start, MRI_TOPIC_PAD, segment_id(writer),
                  writer->fill_at + start);
    return true;
}

enum mr_status mri_topic_writer_sync_all(struct mri_topic_writer *writer, struct mr_error *err)
{
    if (!end_rows(writer)) return mri_topic_nomem(err);
    if (!writer->segment_open) return MR_OK; /* rolling has synced the one before */
    if (!pad(writer) || !push(writer)) return mri_topic_nomem(err);
    if (!mri_topic_queue_put(&writer->queue, MRI_TODO_SYNC, NULL)) return mri_topic_nomem(err);
    writer->dirty = false;
    writer->sync_mark = writer->queue.put_count;
    return MR_OK;
}

enum mr_status mri_topic_writer_sync(struct mri_topic_writer *writer, struct mr_error *err)
{
    if (!end_rows(writer)) return mri_topic_nomem(err);
    return writer->dirty ? mri_topic_writer_sync_all(writer, err) : MR_OK;
}

bool mri_topic_writer_synced(const struct mri_topic_writer *writer)
{
    if (MR_PLANT("museum-3")) return true; /* says so before the disk has answered */
    return !writer->dirty && writer->queue.done_count >= writer->sync_mark;
}

/* The file grows while nobody waits, and is synced so that the next rows need not wait for it. */
static bool zero_ahead(struct mri_topic_writer *writer)
{
    uint64_t most = writer->topic->options.segment_bytes;
    uint64_t more;

    if (writer->fill_at + ZERO_BYTES / 2 < writer->zeroed || writer->zeroed >= most) return true;
    if (writer->zeroed < writer->fill_at) writer->zeroed = writer->fill_at;
    more = MR_MIN(ZERO_BYTES, most > writer->zeroed ? most - writer->zeroed : 0);
    if (more == 0) return true;
    writer->zeroed += more;
    return mri_topic_queue_write(&writer->queue, writer->zeroed - more, NULL, more) &&
           mri_topic_queue_put(&writer->queue, MRI_TODO_SYNC, NULL);
}

enum mr_status mri_topic_writer_commit(struct mri_topic_writer *writer, uint64_t epoch,
                                       uint64_t row_end, uint64_t segment, struct mr_error *err)
{
    const struct mri_topic_commit commit = {.epoch = epoch, .row_end = row_end};

    mr_assert(row_end <= writer->row);
    if (row_end <= writer->committed) return MR_OK;
    if (!end_rows(writer) || !open_segment(writer) ||
        !mri_topic_put(&writer->fill, MRI_TOPIC_COMMIT, segment_id(writer), here(writer),
                       (const uint64_t *)&commit, MRI_TOPIC_WORDS(commit)) ||
        !push(writer)) {
        return mri_topic_nomem(err);
    }
    writer->commit_mark = writer->queue.put_count;
    if (!zero_ahead(writer)) return mri_topic_nomem(err);
    writer->committed = row_end;
    writer->committed_segment = segment;
    return MR_OK;
}

bool mri_topic_writer_commit_done(const struct mri_topic_writer *writer)
{
    return writer->queue.done_count >= writer->commit_mark;
}

/* ---- removing old segments ---- */

/* May the oldest of the list go? Never one with rows that are not committed yet. */
static bool is_old(const struct mri_topic_writer *writer)
{
    const struct mri_topic_segment *oldest = &writer->retire_list[writer->retire_at];

    return writer->retire_at + 1 < writer->retire_count &&
           (oldest->generation < writer->generation ||
            oldest->segment < writer->committed_segment);
}

static bool by_bytes(const struct mri_topic_writer *writer)
{
    uint64_t others = writer->retire_count - writer->retire_at - 1;

    return writer->topic->options.retain_bytes > 0 &&
           others * writer->topic->options.segment_bytes >= writer->topic->options.retain_bytes;
}

static bool take_list(struct mri_topic_writer *writer)
{
    struct mr_disk_request *list = &writer->retire;
    struct mri_topic_segment one;
    uint32_t at = 0, count = 0;

    for (uint32_t i = 0; i < list->name_count; i++) {
        count += mri_topic_segment_name(list->names[i], &one.generation, &one.segment);
    }
    writer->retire_list = mr_alloc_array(writer->heap, count, sizeof one);
    if (writer->retire_list != NULL) {
        writer->retire_count = count;
        for (uint32_t i = 0; i < list->name_count; i++) {
            if (!mri_topic_segment_name(list->names[i], &one.generation, &one.segment)) continue;
            writer->retire_list[at++] = one;
        }
        mri_topic_sort_segments(writer->retire_list, count);
    }
    writer->disk->names_free(writer->disk, list);
    return writer->retire_count > 0;
}

static bool retire_submit(struct mri_topic_writer *writer, enum mr_disk_op op, const char *what,
                          uint32_t index)
{
    const struct mri_topic_segment *segment = &writer->retire_list[index];

    mr_strfree(writer->heap, writer->retire_path);
    if (what != NULL) {
        writer->retire_path = mri_topic_path(writer->heap, writer->topic->path, "p%u",
                                             writer->partition);
    } else {
        writer->retire_path = mri_topic_segment_path(writer->topic, writer->partition,
                                                     segment->generation, segment->segment);
    }
    if (writer->retire_path == NULL) return false;
    writer->retire = (struct mr_disk_request){
        .op = op, .file = MR_FILE_NONE, .path = writer->retire_path};
    writer->retire_busy = true;
    writer->disk->submit(writer->disk, &writer->retire);
    return true;
}

/* What the answer means for the next step. False: that was all. */
static bool retire_answer(struct mri_topic_writer *writer)
{
    bool timed = writer->topic->options.retain_us > 0;
    bool good = writer->retire.status == MR_OK;

    writer->retire_busy = false;
    switch ((enum retire_phase)writer->retire_phase) {
    case RETIRE_LIST:
        if (!good || !take_list(writer)) return false;
        writer->retire_phase = timed ? RETIRE_NEWEST : RETIRE_OLDEST;
        break;
    case RETIRE_NEWEST:
        writer->retire_newest_us = good ? writer->retire.info.modified_us : INT64_MIN;
        writer->retire_phase = RETIRE_OLDEST;
        break;
    case RETIRE_OLDEST:
        if (!good || writer->retire_newest_us == INT64_MIN ||
            writer->retire_newest_us - writer->retire.info.modified_us <=
                (int64_t)writer->topic->options.retain_us) {
            return false;
        }
        writer->retire_phase = RETIRE_UNLINK;
        break;
    case RETIRE_UNLINK:
        writer->retire_at++;
        writer->retire_phase = RETIRE_OLDEST;
        break;
    case RETIRE_NONE: break;
    }
    if (writer->retire_phase != RETIRE_OLDEST) return true;
    if (!is_old(writer)) return false;
    if (by_bytes(writer)) writer->retire_phase = RETIRE_UNLINK;
    return writer->retire_phase == RETIRE_UNLINK || timed;
}

static bool retire_ask(struct mri_topic_writer *writer)
{
    switch ((enum retire_phase)writer->retire_phase) {
    case RETIRE_LIST: return retire_submit(writer, MR_DISK_LIST, "p", 0);
    case RETIRE_NEWEST: return retire_submit(writer, MR_DISK_INFO, NULL, writer->retire_count - 1);
    case RETIRE_OLDEST: return retire_submit(writer, MR_DISK_INFO, NULL, writer->retire_at);
    case RETIRE_UNLINK: return retire_submit(writer, MR_DISK_UNLINK, NULL, writer->retire_at);
    case RETIRE_NONE: break;
    }
    return false;
}

/* One request at a time, beside the others; what fails is tried when the next segment is full. */
static void retire_step(struct mri_topic_writer *writer)
{
    while (writer->retire_phase != RETIRE_NONE) {
        bool more = true;

        if (!writer->retire_busy) more = retire_ask(writer);
        if (more && !writer->retire.done) return;
        if (!more || !retire_answer(writer)) retire_end(writer);
    }
}

enum mr_status mri_topic_writer_step(struct mri_topic_writer *writer, bool *out_idle,
                                     struct mr_error *err)
{
    enum mri_topic_progress progress = mri_topic_queue_step(&writer->queue);

    retire_step(writer);
    *out_idle = progress == MRI_TOPIC_IDLE;
    if (progress != MRI_TOPIC_FAILED) return MR_OK;
    if (err != NULL) {
        *err = writer->queue.error;
        mr_error_context(err, "topic %s, partition %u", writer->topic->path, writer->partition);
    }
    return writer->queue.error.status;
}
