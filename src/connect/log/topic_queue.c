/* topic_queue.c - see topic_queue.h. */
#include "connect/log/topic_queue.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"

#include <string.h>

#define ZEROS_BYTES ((size_t)64 * 1024)

static const char zeros[ZEROS_BYTES];

struct mri_topic_todo {
    enum mri_topic_op kind;
    char *path;
    uint64_t offset;
    struct mr_buffer data;
    uint64_t zero_bytes;
    uint64_t at; /* bytes done */
    struct mri_topic_todo *next;
};

void mri_topic_queue_init(struct mri_topic_queue *queue, struct mr_heap *heap, struct mr_disk *disk)
{
    *queue = (struct mri_topic_queue){.heap = heap, .disk = disk, .file = MR_FILE_NONE};
}

static void todo_free(struct mri_topic_queue *queue, struct mri_topic_todo *todo)
{
    mr_strfree(queue->heap, todo->path);
    if (todo->data.heap != NULL) mr_buffer_fini(&todo->data);
    mr_free(queue->heap, todo, sizeof *todo);
}

static void pop(struct mri_topic_queue *queue)
{
    struct mri_topic_todo *todo = queue->head;

    queue->head = todo->next;
    if (queue->head == NULL) queue->tail = NULL;
    queue->queued_bytes -= todo->data.size_bytes;
    todo_free(queue, todo);
}

void mri_topic_queue_fini(struct mri_topic_queue *queue)
{
    if (queue->heap == NULL) return;
    if (queue->in_flight && !queue->request.done) {
        queue->disk->cancel(queue->disk, &queue->request);
    }
    while (queue->head != NULL) pop(queue);
    if (queue->file != MR_FILE_NONE) {
        struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = queue->file};
        enum mr_status ignored = mr_disk_do(queue->disk, &request, NULL);

        (void)ignored;
    }
    *queue = (struct mri_topic_queue){.heap = NULL};
}

static void append(struct mri_topic_queue *queue, struct mri_topic_todo *todo)
{
    if (queue->tail != NULL) {
        queue->tail->next = todo;
    } else {
        queue->head = todo;
    }
    queue->tail = todo;
    queue->put_count++;
    queue->queued_bytes += todo->data.size_bytes;
}

bool mri_topic_queue_put(struct mri_topic_queue *queue, enum mri_topic_op kind, char *path)
{
    bool named = kind == MRI_TODO_CREATE || kind == MRI_TODO_SYNC_NAMES;
    struct mri_topic_todo *todo = NULL;

    if (!named || path != NULL) todo = mr_alloc_zero(queue->heap, sizeof *todo);
    if (todo == NULL) {
        mr_strfree(queue->heap, path);
        return false;
    }
    todo->kind = kind;
    todo->path = path;
    append(queue, todo);
    return true;
}

bool mri_topic_queue_write(struct mri_topic_queue *queue, uint64_t offset, struct mr_buffer *data,
                           uint64_t zero_bytes)
{
    struct mri_topic_todo *todo = mr_alloc_zero(queue->heap, sizeof *todo);

    if (todo == NULL) return false;
    todo->kind = MRI_TODO_WRITE;
    todo->offset = offset;
    todo->zero_bytes = zero_bytes;
    if (data != NULL) {
        todo->data = *data;
        mr_buffer_init(data, queue->heap);
    }
    append(queue, todo);
    return true;
}

/* ---- performing ---- */

static void fill_write(struct mri_topic_queue *queue, struct mri_topic_todo *todo)
{
    struct mr_disk_request *request = &queue->request;
    uint64_t total = todo->data.size_bytes + todo->zero_bytes;

    request->op = MR_DISK_WRITE;
    request->offset = todo->offset + todo->at;
    if (todo->at < todo->data.size_bytes) {
        request->data = todo->data.data + todo->at;
        request->size_bytes = todo->data.size_bytes - (size_t)todo->at;
    } else {
        request->data = (char *)(uintptr_t)zeros; /* only read */
        request->size_bytes = (size_t)MR_MIN((uint64_t)ZEROS_BYTES, total - todo->at);
    }
}

static void submit(struct mri_topic_queue *queue, struct mri_topic_todo *todo)
{
    queue->request = (struct mr_disk_request){.file = queue->file, .path = todo->path};
    switch (todo->kind) {
    case MRI_TODO_CREATE: queue->request.op = MR_DISK_CREATE; break;
    case MRI_TODO_WRITE: fill_write(queue, todo); break;
    case MRI_TODO_SYNC: queue->request.op = MR_DISK_SYNC; break;
    case MRI_TODO_SYNC_NAMES: queue->request.op = MR_DISK_SYNC_DIRECTORY; break;
    case MRI_TODO_CLOSE: queue->request.op = MR_DISK_CLOSE; break;
    }
    queue->in_flight = true;
    queue->disk->submit(queue->disk, &queue->request);
}

/* True when the operation is over. */
static bool account(struct mri_topic_queue *queue, struct mri_topic_todo *todo)
{
    const struct mr_disk_request *request = &queue->request;

    switch (todo->kind) {
    case MRI_TODO_CREATE: queue->file = request->file; return true;
    case MRI_TODO_CLOSE: queue->file = MR_FILE_NONE; return true;
    case MRI_TODO_WRITE:
        todo->at += request->done_bytes;
        queue->written_bytes += request->done_bytes;
        if (MR_PLANT("museum-19")) return true; /* takes a short write for a whole one */
        return todo->at >= todo->data.size_bytes + todo->zero_bytes;
    case MRI_TODO_SYNC:
    case MRI_TODO_SYNC_NAMES: break;
    }
    return true;
}

static enum mri_topic_progress failed(struct mri_topic_queue *queue,
                                      const struct mri_topic_todo *todo)
{
    if (queue->request.status == MR_OK) { /* a write of no bytes */
        (void)mr_error_set(&queue->request.error, MR_E_IO,
                           "a segment of a topic takes no more bytes");
        queue->request.status = MR_E_IO;
    }
    queue->error = queue->request.error;
    if (queue->request.status == MR_E_NO_SPACE && todo->kind == MRI_TODO_WRITE) {
        return MRI_TOPIC_FAILED; /* for now */
    }
    if (MR_PLANT("museum-18") && todo->kind == MRI_TODO_SYNC) {
        return MRI_TOPIC_FAILED; /* and tries the sync again, which then succeeds */
    }
    queue->status = queue->request.status;
    return MRI_TOPIC_FAILED;
}

enum mri_topic_progress mri_topic_queue_step(struct mri_topic_queue *queue)
{
    if (queue->status != MR_OK) return MRI_TOPIC_FAILED;
    while (queue->head != NULL) {
        struct mri_topic_todo *todo = queue->head;
        bool empty = todo->kind == MRI_TODO_WRITE &&
                     todo->data.size_bytes + todo->zero_bytes == 0;

        if (!empty) {
            if (!queue->in_flight) submit(queue, todo);
            if (!queue->request.done) (void)queue->disk->poll(queue->disk);
            if (!queue->request.done) return MRI_TOPIC_WAIT;
            queue->in_flight = false;
            if (queue->request.status != MR_OK ||
                (todo->kind == MRI_TODO_WRITE && queue->request.done_bytes == 0)) {
                return failed(queue, todo);
            }
            if (!account(queue, todo)) continue;
        }
        queue->done_count++;
        pop(queue);
    }
    return MRI_TOPIC_IDLE;
}
