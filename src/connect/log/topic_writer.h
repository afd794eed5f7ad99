/* topic_writer.h - rows into one partition of a topic, visible when told.
 *
 * Rows are gathered into ROWS records of about 64 KiB and handed to the disk as they come. `sync`
 * makes all of them safe; `commit` appends a COMMIT record, without a sync: what is lost of it in a
 * crash is said again by the next attempt, which knows it from its state. A segment is filled with
 * zeros ahead of the rows, so that a sync has to move data only.
 *
 * Owns:    the segments of its generation in its partition.
 * Thread:  confined to the worker of the disk.
 * Fails:   statuses with the path; once a sync has failed all further calls fail.
 * Cost:    one pass over each row, one copy.
 */
#ifndef MR_CONNECT_LOG_TOPIC_WRITER_H
#define MR_CONNECT_LOG_TOPIC_WRITER_H

#include "connect/log/topic.h"
#include "connect/log/topic_queue.h"

struct mri_topic_writer {
    struct mr_heap *heap;
    struct mr_disk *disk;
    const struct mri_topic *topic;
    uint32_t partition;
    uint64_t generation;
    uint64_t fence;
    uint64_t row_first; /* of this generation */
    uint64_t row;       /* number of the next row */
    uint64_t committed; /* rows below are */
    uint64_t segment;   /* the current one, or the next if none is open */
    bool segment_open;
    uint64_t rows_segment;      /* where the last row lies */
    uint64_t committed_segment; /* ... that is committed */
    uint64_t fill_at;           /* offset of `fill` in the segment */
    uint64_t zeroed;            /* the segment has bytes up to here */
    struct mr_buffer fill;
    bool in_rows; /* a ROWS record is open, from rows_start on */
    bool rows_timed;
    size_t rows_start;
    uint64_t rows_count;
    bool dirty; /* rows were handed on since the last sync was */
    uint64_t sync_mark;
    uint64_t commit_mark;
    struct mri_topic_queue queue;
    /* removing old segments */
    uint32_t retire_phase;
    struct mr_disk_request retire;
    bool retire_busy;
    struct mri_topic_segment *retire_list;
    uint32_t retire_count;
    uint32_t retire_at;
    int64_t retire_newest_us;
    char *retire_path;
};

#define MRI_TOPIC_QUEUE_BYTES ((uint64_t)4 << 20) /* more than this waits for the disk */

/* `heap` is the one of the topic. */
void mri_topic_writer_init(struct mri_topic_writer *writer, struct mr_heap *heap,
                           struct mr_disk *disk, const struct mri_topic *topic, uint32_t partition,
                           const struct mri_topic_index *index);
void mri_topic_writer_fini(struct mri_topic_writer *writer); /* a zeroed one is allowed */
/* True while much waits for the disk: do not append. */
bool mri_topic_writer_full(const struct mri_topic_writer *writer);
enum mr_status mri_topic_writer_append(struct mri_topic_writer *writer,
                                       const struct mr_batch *batch,
                                       struct mr_error *err) MR_MUST_USE;
/* Hands on what was gathered, and a sync if rows were handed on since the last one. */
enum mr_status mri_topic_writer_sync(struct mri_topic_writer *writer,
                                     struct mr_error *err) MR_MUST_USE;
/* All rows appended before the last sync are safe. */
bool mri_topic_writer_synced(const struct mri_topic_writer *writer);
/* Appends that rows below `row_end` are committed (`segment`: where the last of them lies). */
enum mr_status mri_topic_writer_commit(struct mri_topic_writer *writer, uint64_t epoch,
                                       uint64_t row_end, uint64_t segment,
                                       struct mr_error *err) MR_MUST_USE;
/* The last COMMIT was written. */
bool mri_topic_writer_commit_done(const struct mri_topic_writer *writer);
/* Also when no row was added, so that a COMMIT reaches the device. */
enum mr_status mri_topic_writer_sync_all(struct mri_topic_writer *writer,
                                         struct mr_error *err) MR_MUST_USE;
/* Moves the disk on. *out_idle: all that was asked for is done. */
enum mr_status mri_topic_writer_step(struct mri_topic_writer *writer, bool *out_idle,
                                     struct mr_error *err) MR_MUST_USE;

#endif
