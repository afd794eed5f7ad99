/* log_io.c - see log_io.h. */
#include "state/log_io.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"

#include <string.h>

#define ZEROS_BYTES    (64u << 10)
#define READ_ALL_BYTES (64u << 10)

static const char zeros[ZEROS_BYTES];

void mri_queue_init(struct mri_queue *queue, struct mr_heap *heap, struct mr_disk *disk)
{
    *queue = (struct mri_queue){.heap = heap, .disk = disk};
}

static void op_free(struct mri_queue *queue, struct mri_op *op)
{
    mr_strfree(queue->heap, op->path);
    mr_strfree(queue->heap, op->path_to);
    if (op->data.heap != NULL) mr_buffer_fini(&op->data);
    mr_free(queue->heap, op, sizeof *op);
}

static void pop(struct mri_queue *queue)
{
    struct mri_op *op = queue->head;

    queue->head = op->next;
    if (queue->head == NULL) queue->tail = NULL;
    queue->queued_bytes -= op->data.size_bytes;
    op_free(queue, op);
}

void mri_queue_clear(struct mri_queue *queue)
{
    if (queue->in_flight && !queue->request.done) {
        queue->disk->cancel(queue->disk, &queue->request);
    }
    queue->in_flight = false;
    while (queue->head != NULL) pop(queue);
    queue->status = MR_OK;
}

void mri_queue_fini(struct mri_queue *queue)
{
    if (queue->heap != NULL) mri_queue_clear(queue);
}

static bool needs_path(enum mri_op_kind kind)
{
    return kind == MRI_OP_CREATE || kind == MRI_OP_OPEN_OUTPUT || kind == MRI_OP_OPEN_READ ||
           kind == MRI_OP_SYNC_DIRECTORY || kind == MRI_OP_RENAME || kind == MRI_OP_UNLINK;
}

bool mri_queue_put(struct mri_queue *queue, struct mri_op *op)
{
    bool bad = (needs_path(op->kind) && op->path == NULL) ||
               (op->kind == MRI_OP_RENAME && op->path_to == NULL);
    struct mri_op *copy = bad ? NULL : mr_alloc(queue->heap, sizeof *copy);

    if (copy == NULL) {
        mr_strfree(queue->heap, op->path);
        mr_strfree(queue->heap, op->path_to);
        if (op->data.heap != NULL) mr_buffer_fini(&op->data);
        return false;
    }
    *copy = *op;
    copy->next = NULL;
    copy->at = 0;
    if (queue->tail != NULL) {
        queue->tail->next = copy;
    } else {
        queue->head = copy;
    }
    queue->tail = copy;
    queue->queued_bytes += copy->data.size_bytes;
    return true;
}

/* ---- performing ---- */

static const enum mr_disk_op verbs[] = {
    [MRI_OP_CREATE] = MR_DISK_CREATE,
    [MRI_OP_OPEN_OUTPUT] = MR_DISK_OPEN_OUTPUT,
    [MRI_OP_OPEN_READ] = MR_DISK_OPEN_READ,
    [MRI_OP_READ_ALL] = MR_DISK_READ,
    [MRI_OP_WRITE] = MR_DISK_WRITE,
    [MRI_OP_SYNC] = MR_DISK_SYNC,
    [MRI_OP_SYNC_DIRECTORY] = MR_DISK_SYNC_DIRECTORY,
    [MRI_OP_RENAME] = MR_DISK_RENAME,
    [MRI_OP_UNLINK] = MR_DISK_UNLINK,
    [MRI_OP_CLOSE] = MR_DISK_CLOSE,
};

/* Bytes are not const in a request, though WRITE only reads them. */
static void *unconst(const char *data)
{
    return (void *)(uintptr_t)data;
}

static bool fill_read(struct mri_queue *queue, struct mri_op *op)
{
    struct mr_disk_request *request = &queue->request;

    if (!mr_buffer_reserve(op->into, READ_ALL_BYTES)) return false;
    request->data = op->into->data + op->into->size_bytes;
    request->size_bytes = READ_ALL_BYTES;
    request->offset = op->at;
    return true;
}

static void fill_write(struct mri_queue *queue, struct mri_op *op)
{
    struct mr_disk_request *request = &queue->request;
    uint64_t zeros_at;

    request->offset = op->offset + op->at;
    if (op->at < op->data.size_bytes) {
        request->data = op->data.data + op->at;
        request->size_bytes = op->data.size_bytes - (size_t)op->at;
        return;
    }
    zeros_at = op->at - op->data.size_bytes;
    request->data = unconst(zeros);
    request->size_bytes = (size_t)MR_MIN(op->zero_bytes - zeros_at, ZEROS_BYTES);
}

static bool fill_request(struct mri_queue *queue, struct mri_op *op)
{
    queue->request =
        (struct mr_disk_request){.op = verbs[op->kind],
                                 .file = op->file != NULL ? op->file->number : MR_FILE_NONE,
                                 .path = op->path,
                                 .path_to = op->path_to};
    if (op->kind == MRI_OP_READ_ALL) return fill_read(queue, op);
    if (op->kind == MRI_OP_WRITE) fill_write(queue, op);
    return true;
}

static bool is_over(const struct mri_op *op)
{
    return op->kind == MRI_OP_READY ||
           ((op->kind == MRI_OP_CLOSE || op->kind == MRI_OP_READ_ALL) &&
            !op->file->open) || /* opening it failed, and was allowed to */
           (op->kind == MRI_OP_WRITE && op->at == op->data.size_bytes + op->zero_bytes);
}

/* What a request that is done means for its operation; true: the operation is over. */
static bool take_result(struct mri_queue *queue, struct mri_op *op)
{
    const struct mr_disk_request *request = &queue->request;

    switch (op->kind) {
    case MRI_OP_CREATE:
    case MRI_OP_OPEN_OUTPUT:
    case MRI_OP_OPEN_READ:
        op->file->number = request->file;
        op->file->open = true;
        return true;
    case MRI_OP_READ_ALL:
        op->into->size_bytes += request->done_bytes;
        op->at += request->done_bytes;
        return request->done_bytes == 0;
    case MRI_OP_WRITE:
        op->at += MR_PLANT("museum-19") ? request->size_bytes : request->done_bytes;
        queue->written_bytes += request->done_bytes;
        return is_over(op);
    case MRI_OP_CLOSE: op->file->open = false; return true;
    case MRI_OP_SYNC:
    case MRI_OP_SYNC_DIRECTORY:
    case MRI_OP_RENAME:
    case MRI_OP_UNLINK:
    case MRI_OP_READY: return true;
    }
    MR_UNREACHABLE();
}

static enum mri_queue_state fail_queue(struct mri_queue *queue, enum mr_status status)
{
    queue->status = status;
    return MRI_QUEUE_FAILED;
}

static enum mri_queue_state finish_request(struct mri_queue *queue)
{
    struct mri_op *op = queue->head;
    struct mr_disk_request *request = &queue->request;

    queue->in_flight = false;
    if (request->status == MR_OK && op->kind == MRI_OP_WRITE && request->done_bytes == 0) {
        request->status = mr_error_set(&request->error, MR_E_IO, "a write of nothing was reported");
    }
    if (op->kind == MRI_OP_CLOSE) op->file->open = false; /* also when that reports a failure */
    if (request->status != MR_OK && !op->may_fail) {
        queue->error = request->error;
        return fail_queue(queue, request->status);
    }
    if (request->status != MR_OK || take_result(queue, op)) pop(queue);
    return MRI_QUEUE_IDLE;
}

enum mri_queue_state mri_queue_step(struct mri_queue *queue)
{
    for (;;) {
        struct mri_op *op = queue->head;

        if (queue->status != MR_OK) return MRI_QUEUE_FAILED;
        if (queue->in_flight) {
            if (!queue->request.done) return MRI_QUEUE_WAIT;
            if (finish_request(queue) == MRI_QUEUE_FAILED) return MRI_QUEUE_FAILED;
            continue;
        }
        if (op == NULL) return MRI_QUEUE_IDLE;
        if (op->wait_for != NULL && !op->wait_for->ready) return MRI_QUEUE_WAIT;
        if (is_over(op)) {
            if (op->kind == MRI_OP_READY) op->file->ready = true;
            pop(queue);
            continue;
        }
        if (!fill_request(queue, op)) {
            return fail_queue(queue, mr_error_nomem(&queue->error, "reading", READ_ALL_BYTES));
        }
        queue->in_flight = true;
        queue->disk->submit(queue->disk, &queue->request);
    }
}

void mri_queue_retry(struct mri_queue *queue)
{
    mr_assert(!queue->in_flight);
    queue->status = MR_OK;
}

const struct mri_op *mri_queue_head(const struct mri_queue *queue)
{
    return queue->head;
}

enum mr_status mri_queue_drive(struct mri_queue *queue, struct mr_error *err)
{
    enum mri_queue_state state;

    while ((state = mri_queue_step(queue)) == MRI_QUEUE_WAIT) {
        mr_assert(queue->in_flight); /* nobody else would make it ready */
        queue->disk->poll(queue->disk);
    }
    if (state == MRI_QUEUE_IDLE) return MR_OK;
    if (err != NULL) *err = queue->error;
    return queue->status;
}

enum mr_status mri_file_read_all(struct mr_heap *heap, struct mr_disk *disk, char *path,
                                 struct mr_buffer *out, struct mr_error *err)
{
    struct mri_file file = {0};
    struct mri_op open = {.kind = MRI_OP_OPEN_READ, .file = &file, .path = path};
    struct mri_op read = {.kind = MRI_OP_READ_ALL, .file = &file, .into = out};
    struct mri_op close = {.kind = MRI_OP_CLOSE, .file = &file};
    struct mri_queue queue;
    enum mr_status st;

    mri_queue_init(&queue, heap, disk);
    st = MR_OK;
    if (!mri_queue_put(&queue, &open) || !mri_queue_put(&queue, &read) ||
        !mri_queue_put(&queue, &close)) {
        st = mr_error_nomem(err, "reading a file", 1024);
    } else {
        st = mri_queue_drive(&queue, err);
    }
    mri_queue_clear(&queue);
    if (file.open) {
        struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = file.number};

        (void)!mr_disk_do(disk, &request, NULL); /* it was only read from */
    }
    mri_queue_fini(&queue);
    return st;
}

/* ---- reading ---- */

void mri_reader_init(struct mri_reader *reader, struct mr_heap *heap, struct mr_disk *disk,
                     char *path, uint64_t file_id, size_t window_bytes)
{
    *reader = (struct mri_reader){
        .heap = heap, .disk = disk, .path = path, .file_id = file_id, .window_bytes = window_bytes};
}

/* Closing a regular file answers at once in every implementation that has descriptors; where it
 * does not, it is waited for. */
static void close_now(struct mri_reader *reader)
{
    struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = reader->file};

    reader->disk->submit(reader->disk, &request);
    while (!request.done) reader->disk->poll(reader->disk);
    reader->open = false; /* whatever it said: the file was only read from */
}

void mri_reader_fini(struct mri_reader *reader)
{
    if (reader->heap == NULL) return;
    if (reader->busy && !reader->request.done) {
        if (reader->request.op == MR_DISK_OPEN_READ) {
            while (!reader->request.done) reader->disk->poll(reader->disk);
        } else {
            reader->disk->cancel(reader->disk, &reader->request);
        }
    }
    if (reader->busy && reader->request.done && reader->request.op == MR_DISK_OPEN_READ &&
        reader->request.status == MR_OK) {
        reader->file = reader->request.file;
        reader->open = true;
    }
    if (reader->open) close_now(reader);
    mr_strfree(reader->heap, reader->path);
    mr_free(reader->heap, reader->data, reader->room_bytes);
    *reader = (struct mri_reader){0};
}

void mri_reader_seek(struct mri_reader *reader, uint64_t offset)
{
    mr_assert(!reader->busy);
    reader->offset = offset;
    if (offset < reader->data_offset || offset > reader->data_offset + reader->size_bytes) {
        reader->data_offset = offset;
        reader->size_bytes = 0;
    }
    reader->ended = false;
}

/* Room for `need` bytes from the next record on, with these at the front. */
static bool make_room(struct mri_reader *reader, size_t need)
{
    size_t behind = (size_t)(reader->offset - reader->data_offset);
    size_t room;
    char *grown;

    if (behind > 0) {
        memmove(reader->data, reader->data + behind, reader->size_bytes - behind);
        reader->size_bytes -= behind;
        reader->data_offset = reader->offset;
    }
    /* A damaged length must not take memory: room grows only with what the file really has. */
    room = MR_MAX(reader->window_bytes, MR_MIN(need, reader->size_bytes * 2));
    if (room <= reader->room_bytes) return true;
    grown = mr_realloc(reader->heap, reader->data, reader->room_bytes, room);
    if (grown == NULL) return false;
    reader->data = grown;
    reader->room_bytes = room;
    return true;
}

/* Starts the request that brings more; false: no memory. */
static bool ask(struct mri_reader *reader, size_t need)
{
    reader->request = (struct mr_disk_request){.op = MR_DISK_OPEN_READ, .path = reader->path};
    if (reader->open) {
        if (!make_room(reader, need)) return false;
        reader->request.op = MR_DISK_READ;
        reader->request.file = reader->file;
        reader->request.path = NULL;
        reader->request.offset = reader->data_offset + reader->size_bytes;
        reader->request.data = reader->data + reader->size_bytes;
        reader->request.size_bytes = reader->room_bytes - reader->size_bytes;
    }
    reader->busy = true;
    reader->disk->submit(reader->disk, &reader->request);
    return true;
}

static enum mr_status take_read(struct mri_reader *reader, struct mr_error *err)
{
    const struct mr_disk_request *request = &reader->request;

    reader->busy = false;
    if (request->status != MR_OK) {
        if (err != NULL) *err = request->error;
        return request->status;
    }
    if (request->op == MR_DISK_OPEN_READ) {
        reader->file = request->file;
        reader->open = true;
        return MR_OK;
    }
    reader->size_bytes += request->done_bytes;
    reader->ended = request->done_bytes == 0;
    return MR_OK;
}

static enum mri_read read_failed(struct mr_error *err, enum mr_status status)
{
    if (err != NULL) err->status = status;
    return MRI_READ_FAILED;
}

static enum mri_read newer(const struct mri_reader *reader, struct mr_error *err)
{
    return read_failed(err, mr_error_set(err, MR_E_UNSUPPORTED,
                                         "%s: offset %llu: written by a newer version of the "
                                         "program; start that version",
                                         reader->path, (unsigned long long)reader->offset));
}

enum mri_read mri_reader_next(struct mri_reader *reader, struct mri_record *out,
                              struct mr_error *err)
{
    size_t need = MRI_RECORD_HEADER_BYTES;

    if (reader->path == NULL) return read_failed(err, mr_error_nomem(err, "a file name", 64));
    for (;;) {
        size_t behind = (size_t)(reader->offset - reader->data_offset);

        if (reader->busy) {
            enum mr_status st;

            if (!reader->request.done) return MRI_READ_WAIT;
            st = take_read(reader, err);
            if (st != MR_OK) return read_failed(err, st);
            continue;
        }
        if (reader->open) {
            struct mr_bytes data = {reader->data + behind, reader->size_bytes - behind};

            if (reader->data == NULL) data = (struct mr_bytes){NULL, 0};
            switch (mri_record_parse(data, reader->file_id, reader->offset, out, &need)) {
            case MRI_PARSE_OK: reader->offset += out->size_bytes; return MRI_READ_RECORD;
            case MRI_PARSE_BAD: return MRI_READ_BAD;
            case MRI_PARSE_NEWER: return newer(reader, err);
            case MRI_PARSE_SHORT:
                if (reader->ended) return data.size_bytes == 0 ? MRI_READ_END : MRI_READ_BAD;
                break;
            }
        }
        if (!ask(reader, need)) return read_failed(err, mr_error_nomem(err, "a record", need));
    }
}

enum mri_read mri_reader_wait(struct mri_reader *reader, struct mri_record *out,
                              struct mr_error *err)
{
    enum mri_read got;

    while ((got = mri_reader_next(reader, out, err)) == MRI_READ_WAIT) {
        reader->disk->poll(reader->disk);
    }
    return got;
}
