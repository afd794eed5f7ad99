/* topic_file.c - see topic_file.h. */
#include "connect/log/topic_file.h"

#include "base/assert.h"
#include "base/status.h"

#include <string.h>

void mri_topic_file_init(struct mri_topic_file *file, struct mr_heap *heap, struct mr_disk *disk,
                         size_t window)
{
    *file = (struct mri_topic_file){.heap = heap, .disk = disk, .window = window};
}

static void close_file(struct mri_topic_file *file)
{
    struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = file->file};
    enum mr_status ignored;

    if (file->busy) file->disk->cancel(file->disk, &file->request);
    file->busy = false;
    if (file->open) {
        ignored = mr_disk_do(file->disk, &request, NULL);
        (void)ignored;
    }
    file->open = false;
    mr_strfree(file->heap, file->path);
    file->path = NULL;
    mri_topic_file_forget(file);
}

void mri_topic_file_fini(struct mri_topic_file *file)
{
    if (file->heap == NULL) return;
    close_file(file);
    mr_free(file->heap, file->data, file->room_bytes);
    *file = (struct mri_topic_file){.heap = NULL};
}

bool mri_topic_file_set(struct mri_topic_file *file, char *path, uint64_t file_id)
{
    close_file(file);
    file->path = path;
    file->file_id = file_id;
    return path != NULL;
}

void mri_topic_file_forget(struct mri_topic_file *file)
{
    if (file->busy && file->open) { /* it reads into what is forgotten */
        file->disk->cancel(file->disk, &file->request);
        file->busy = false;
    }
    file->size_bytes = 0;
    file->ended = false;
}

/* ---- bytes ---- */

/* True once the request is over. */
static bool request_over(struct mri_topic_file *file)
{
    if (!file->busy) {
        file->busy = true;
        file->request.done = false;
        file->disk->submit(file->disk, &file->request);
    }
    if (!file->request.done) return false;
    file->busy = false;
    return true;
}

static enum mri_topic_see failed(struct mri_topic_file *file, struct mr_error *err)
{
    if (err != NULL) {
        *err = file->request.error;
        mr_error_context(err, "%s", file->path);
    }
    return MRI_SEE_FAILED;
}

static enum mri_topic_see open_file(struct mri_topic_file *file, struct mr_error *err)
{
    if (file->open) return MRI_SEE_RECORD;
    if (!file->busy) {
        file->request = (struct mr_disk_request){.op = MR_DISK_OPEN_READ, .path = file->path};
    }
    if (!request_over(file)) return MRI_SEE_WAIT;
    if (file->request.status == MR_E_NOT_FOUND) return MRI_SEE_MISSING;
    if (file->request.status != MR_OK) return failed(file, err);
    file->file = file->request.file;
    file->open = true;
    return MRI_SEE_RECORD;
}

/* Room for `size` bytes from `offset` on, with what is there already. */
static bool make_room(struct mri_topic_file *file, uint64_t offset, size_t size)
{
    size_t skip, room = MR_MAX(size, file->window);
    char *data;

    if (offset < file->data_offset || offset > file->data_offset + file->size_bytes) {
        file->data_offset = offset;
        file->size_bytes = 0;
        file->ended = false;
    }
    skip = (size_t)(offset - file->data_offset);
    if (skip > 0) {
        memmove(file->data, file->data + skip, file->size_bytes - skip);
        file->size_bytes -= skip;
        file->data_offset = offset;
    }
    if (room <= file->room_bytes) return true;
    data = mr_realloc(file->heap, file->data, file->room_bytes, room);
    if (data == NULL) return false;
    file->data = data;
    file->room_bytes = room;
    return true;
}

/* RECORD: the bytes are there. END: the file is shorter. */
static enum mri_topic_see need(struct mri_topic_file *file, uint64_t offset, size_t size,
                               const char **out, struct mr_error *err)
{
    enum mri_topic_see see = open_file(file, err);

    if (see != MRI_SEE_RECORD) return see;
    for (;;) {
        bool inside = offset >= file->data_offset &&
                      offset + size <= file->data_offset + file->size_bytes;

        if (inside && !file->busy) {
            *out = file->data + (offset - file->data_offset);
            return MRI_SEE_RECORD;
        }
        if (!file->busy) {
            if (!make_room(file, offset, size)) {
                (void)mr_error_nomem(err, "reading a topic", size);
                return MRI_SEE_FAILED;
            }
            if (file->ended) return MRI_SEE_END;
            file->request = (struct mr_disk_request){
                .op = MR_DISK_READ,
                .file = file->file,
                .offset = file->data_offset + file->size_bytes,
                .data = file->data + file->size_bytes,
                .size_bytes = MR_MAX(size, file->window) - file->size_bytes};
        }
        if (!request_over(file)) return MRI_SEE_WAIT;
        if (file->request.status != MR_OK) return failed(file, err);
        file->size_bytes += file->request.done_bytes;
        file->ended = file->request.done_bytes == 0;
    }
}

/* ---- records ---- */

enum mri_topic_see mri_topic_file_peek(struct mri_topic_file *file, uint64_t offset,
                                       struct mri_topic_record *out, struct mr_error *err)
{
    const char *header = NULL;
    enum mri_topic_see see = need(file, offset, MRI_TOPIC_HEADER_BYTES, &header, err);

    if (see != MRI_SEE_RECORD) return see;
    switch (mri_topic_peek(header, file->file_id, offset, out)) {
    case MRI_TOPIC_GOOD: return MRI_SEE_RECORD;
    case MRI_TOPIC_EMPTY: return MRI_SEE_END;
    case MRI_TOPIC_BAD:
    case MRI_TOPIC_NEWER: break;
    }
    return MRI_SEE_BAD;
}

enum mri_topic_see mri_topic_file_get(struct mri_topic_file *file, uint64_t offset,
                                      struct mri_topic_record *out, struct mr_error *err)
{
    enum mri_topic_see see = mri_topic_file_peek(file, offset, out, err);
    const char *data = NULL;

    if (see != MRI_SEE_RECORD) return see;
    see = need(file, offset, out->size_bytes, &data, err);
    if (see == MRI_SEE_END) return MRI_SEE_BAD; /* cut in the middle */
    if (see != MRI_SEE_RECORD) return see;
    switch (mri_topic_parse((struct mr_bytes){data, out->size_bytes}, file->file_id, offset, out)) {
    case MRI_TOPIC_GOOD: return MRI_SEE_RECORD;
    case MRI_TOPIC_NEWER:
        (void)mr_error_set(err, MR_E_UNSUPPORTED,
                           "%s: at byte %llu is a record of a newer version of Millrace; read it "
                           "with that version",
                           file->path, (unsigned long long)offset);
        return MRI_SEE_FAILED;
    case MRI_TOPIC_EMPTY:
    case MRI_TOPIC_BAD: break;
    }
    return MRI_SEE_BAD;
}

enum mri_topic_see mri_topic_file_wait(struct mri_topic_file *file, uint64_t offset,
                                       struct mri_topic_record *out, struct mr_error *err)
{
    enum mri_topic_see see;

    while ((see = mri_topic_file_get(file, offset, out, err)) == MRI_SEE_WAIT) {
        (void)file->disk->poll(file->disk);
    }
    return see;
}

enum mri_topic_see mri_topic_file_probe(struct mri_topic_file *file, uint64_t offset, uint64_t row,
                                        struct mr_error *err)
{
    const size_t size = MRI_TOPIC_HEADER_BYTES + sizeof(struct mri_topic_commit);
    enum mri_topic_see see = MRI_SEE_RECORD;

    for (; see != MRI_SEE_END && see != MRI_SEE_FAILED && see != MRI_SEE_MISSING; offset++) {
        struct mri_topic_record record;
        struct mri_topic_commit commit;
        const char *data = NULL;

        while ((see = need(file, offset, size, &data, err)) == MRI_SEE_WAIT) {
            (void)file->disk->poll(file->disk);
        }
        if (see != MRI_SEE_RECORD || data[0] != 'M') continue;
        if (mri_topic_parse((struct mr_bytes){data, size}, file->file_id, offset, &record) !=
            MRI_TOPIC_GOOD) {
            continue;
        }
        if (record.kind == MRI_TOPIC_COMMIT &&
            mri_topic_words(&record, (uint64_t *)&commit, MRI_TOPIC_WORDS(commit)) &&
            commit.row_end > row) {
            return MRI_SEE_RECORD;
        }
    }
    return see;
}
