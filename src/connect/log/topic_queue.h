/* topic_queue.h - what a writer wants of its disk, one request after the other, without blocking.
 *
 * Order is the promise: a COMMIT is written after the sync of its rows because it was put behind it.
 * There is one open file at a time: a CREATE makes it, a CLOSE ends it.
 *
 * A write that finds no space stays and is tried again by the next step. Any other failure is for
 * good: after a failed sync nobody knows what the device has, and no second sync can tell.
 *
 * Owns:    its operations, their bytes, the open file.
 * Thread:  confined to the worker of the disk.
 * Fails:   put: false, no memory. step: FAILED, with status and error.
 * Cost:    one allocation per operation.
 */
#ifndef MR_CONNECT_LOG_TOPIC_QUEUE_H
#define MR_CONNECT_LOG_TOPIC_QUEUE_H

#include "data/rowcodec.h"
#include "port/disk.h"

enum mri_topic_op {
    MRI_TODO_CREATE,
    MRI_TODO_WRITE,
    MRI_TODO_SYNC,
    MRI_TODO_SYNC_NAMES, /* of a directory */
    MRI_TODO_CLOSE
};
enum mri_topic_progress { MRI_TOPIC_IDLE, MRI_TOPIC_WAIT, MRI_TOPIC_FAILED };

struct mri_topic_todo;
struct mri_topic_queue {
    struct mr_heap *heap;
    struct mr_disk *disk;
    struct mri_topic_todo *head;
    struct mri_topic_todo *tail;
    struct mr_disk_request request;
    bool in_flight;
    uint32_t file; /* MR_FILE_NONE: none */
    enum mr_status status;
    struct mr_error error;
    uint64_t put_count; /* operations so far */
    uint64_t done_count;
    uint64_t queued_bytes;
    uint64_t written_bytes;
};

void mri_topic_queue_init(struct mri_topic_queue *queue, struct mr_heap *heap,
                          struct mr_disk *disk);
void mri_topic_queue_fini(struct mri_topic_queue *queue); /* a zeroed one is allowed */
/* Takes `path` over in any case (NULL where one is needed: false). */
bool mri_topic_queue_put(struct mri_topic_queue *queue, enum mri_topic_op kind,
                         char *path) MR_MUST_USE;
/* Bytes at an offset, then zeros. Moves the bytes out of `data` (NULL: none) on success. */
bool mri_topic_queue_write(struct mri_topic_queue *queue, uint64_t offset, struct mr_buffer *data,
                           uint64_t zero_bytes) MR_MUST_USE;
enum mri_topic_progress mri_topic_queue_step(struct mri_topic_queue *queue);

#endif
