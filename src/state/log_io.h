/* log_io.h - disk requests in a row, and files read record by record: both without blocking.
 *
 * A queue takes operations and performs them one after the other; a failed one stops it until it is
 * retried or the queue is cleared. "Persist before send" is therefore order of enqueueing. A reader
 * yields the records of one file in order and keeps no more of the file than one record and a
 * window.
 *
 * Owns:    a queue owns its operations and their buffers; a reader its buffer and its open file.
 * Thread:  confined to the worker of the disk.
 * Fails:   enqueueing: false, out of memory (nothing is enqueued then); steps: status and text.
 * Cost:    one allocation per operation; a step ends at the first request that is not done at once.
 */
#ifndef MR_STATE_LOG_IO_H
#define MR_STATE_LOG_IO_H

#include "port/disk.h"
#include "state/segment.h"

/* A file that operations of a queue open, use and close. Lives longer than they do. */
struct mri_file {
    uint32_t number;
    bool open;
    bool ready; /* set by MRI_OP_READY: others may write to it */
};

enum mri_op_kind {
    MRI_OP_CREATE, /* path -> file */
    MRI_OP_OPEN_OUTPUT,
    MRI_OP_OPEN_READ,
    MRI_OP_READ_ALL, /* file -> into, to its end */
    MRI_OP_WRITE,    /* file, offset, data, then `zero_bytes` zeros */
    MRI_OP_SYNC,
    MRI_OP_SYNC_DIRECTORY,
    MRI_OP_RENAME,
    MRI_OP_UNLINK,
    MRI_OP_CLOSE,
    MRI_OP_READY
};

struct mri_op {
    enum mri_op_kind kind;
    struct mri_file *file;
    const struct mri_file *wait_for; /* starts when this is ready; NULL: at once */
    char *path;                      /* the queue frees both */
    char *path_to;
    uint64_t offset;
    struct mr_buffer data; /* moved into the queue */
    uint64_t zero_bytes;
    struct mr_buffer *into;
    bool may_fail; /* what it wanted may be so already */
    bool decides;  /* WRITE: holds a trailer; when it fails nobody knows */
    struct mri_op *next;
    uint64_t at; /* bytes done */
};

enum mri_queue_state { MRI_QUEUE_IDLE, MRI_QUEUE_WAIT, MRI_QUEUE_FAILED };

struct mri_queue {
    struct mr_heap *heap;
    struct mr_disk *disk;
    struct mri_op *head;
    struct mri_op *tail;
    struct mr_disk_request request;
    bool in_flight;
    enum mr_status status;
    struct mr_error error;
    uint64_t queued_bytes; /* data of writes not yet done */
    uint64_t written_bytes;
};

void mri_queue_init(struct mri_queue *queue, struct mr_heap *heap, struct mr_disk *disk);
void mri_queue_fini(struct mri_queue *queue);
/* Takes paths and data over in any case; false: no memory (or a path is NULL). */
bool mri_queue_put(struct mri_queue *queue, struct mri_op *op) MR_MUST_USE;
/* Goes on; the caller polls the disk. */
enum mri_queue_state mri_queue_step(struct mri_queue *queue);
void mri_queue_retry(struct mri_queue *queue); /* the failed operation once more */
void mri_queue_clear(struct mri_queue *queue); /* forgets all that was not done */
/* The failed one, or the one that is next. */
const struct mri_op *mri_queue_head(const struct mri_queue *queue);
/* Until idle or failed, polling: for opening and tests, never inside a worker turn. */
enum mr_status mri_queue_drive(struct mri_queue *queue, struct mr_error *err) MR_MUST_USE;
/* A whole file behind what is in `out`. Takes `path` over (NULL: no memory). Blocks. */
enum mr_status mri_file_read_all(struct mr_heap *heap, struct mr_disk *disk, char *path,
                                 struct mr_buffer *out, struct mr_error *err) MR_MUST_USE;

/* ---- reading ---- */

enum mri_read { MRI_READ_RECORD, MRI_READ_WAIT, MRI_READ_END, MRI_READ_BAD, MRI_READ_FAILED };

struct mri_reader {
    struct mr_heap *heap;
    struct mr_disk *disk;
    char *path;
    uint64_t file_id;
    uint64_t offset; /* of the next record */
    uint32_t file;
    bool open;
    bool busy;
    bool ended; /* the last read met the end of the file */
    char *data; /* the file from data_offset on */
    size_t size_bytes;
    size_t room_bytes;
    uint64_t data_offset;
    size_t window_bytes;
    struct mr_disk_request request;
};

/* Takes over `path` (NULL: no memory, said by the first next). */
void mri_reader_init(struct mri_reader *reader, struct mr_heap *heap, struct mr_disk *disk,
                     char *path, uint64_t file_id, size_t window_bytes);
void mri_reader_fini(struct mri_reader *reader); /* a zeroed one is allowed; drops a pending read */
/* The next record, which borrows until the next call. END: the file ends exactly here. BAD: what
 * lies here is no record of this file (a newer version: FAILED). WAIT: call again after a poll.
 * FAILED: status in err->status. */
enum mri_read mri_reader_next(struct mri_reader *reader, struct mri_record *out,
                              struct mr_error *err);
void mri_reader_seek(struct mri_reader *reader, uint64_t offset);
/* The same, polling until there is an answer. */
enum mri_read mri_reader_wait(struct mri_reader *reader, struct mri_record *out,
                              struct mr_error *err);

#endif
