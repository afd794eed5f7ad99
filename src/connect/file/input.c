/* input.c - see input.h. */
#include "connect/file/input.h"

#include "base/assert.h"
#include "base/status.h"

#include <string.h>

#define RAW_BYTES ((size_t)64 * 1024)

void mri_input_init(struct mri_input *input, struct mr_heap *heap, struct mr_disk *disk,
                    const struct mri_file *file)
{
    *input = (struct mri_input){
        .heap = heap,
        .disk = disk,
        .file = file,
        .number = MR_FILE_NONE,
        .compression = file->compression,
    };
    if (file->standard_input) input->number = MR_FILE_STDIN;
}

void mri_input_fini(struct mri_input *input)
{
    if (input->heap == NULL) return;
    if (input->pending) {
        input->disk->cancel(input->disk, &input->request);
        if (input->request.done && input->request.op == MR_DISK_OPEN_READ &&
            input->request.status == MR_OK) {
            input->number = input->request.file;
        }
    }
    if (input->number != MR_FILE_NONE && !input->file->standard_input) {
        mri_close_quietly(input->disk, input->number);
    }
    mri_decoder_destroy(input->decoder);
    mr_free(input->heap, input->raw, RAW_BYTES);
    memset(input, 0, sizeof *input);
}

void mri_input_seek(struct mri_input *input, uint64_t offset)
{
    mr_assert(!input->pending);
    mr_assert(!input->file->stream && input->compression == MRI_PLAIN);
    input->next_offset = offset;
    input->end = false;
}

uint64_t mri_input_raw_bytes(const struct mri_input *input)
{
    return input->next_offset - input->rest.size_bytes;
}

/* ---- requests ---- */

/* Starts a request, or looks at the one that was started. *out_ready: it is over and was
 * successful. */
static enum mr_status drive(struct mri_input *input, bool *out_ready, struct mr_error *err)
{
    if (!input->pending) {
        input->pending = true;
        input->disk->submit(input->disk, &input->request);
    } else if (!input->request.done) {
        (void)input->disk->poll(input->disk);
    }
    *out_ready = input->request.done;
    if (!input->request.done) return MR_OK;
    input->pending = false;
    if (input->request.status == MR_OK) return MR_OK;
    if (err != NULL) *err = input->request.error;
    return input->request.status;
}

static enum mr_status changed(const struct mri_input *input, const char *how, struct mr_error *err)
{
    return mr_error_set(
        err, MR_E_CHANGED,
        "%s %s after the job was planned; run the job again when the file is at rest",
        input->file->path, how);
}

/* Appending to a log is no change of what was planned: only the planned bytes are read. */
static enum mr_status check_identity(const struct mri_input *input, const struct mr_file_info *info,
                                     struct mr_error *err)
{
    const struct mri_file *file = input->file;

    if (file->stream) return MR_OK;
    if (info->identity != file->identity)
        return changed(input, "was replaced by another file", err);
    if (info->size_bytes < file->size_bytes) return changed(input, "became shorter", err);
    if (info->size_bytes == file->size_bytes && info->modified_us != file->modified_us) {
        return changed(input, "was changed", err);
    }
    return MR_OK;
}

static enum mr_status open_file(struct mri_input *input, bool *out_ready, struct mr_error *err)
{
    if (!input->pending) {
        input->request =
            (struct mr_disk_request){.op = MR_DISK_OPEN_READ, .path = input->file->path};
    }
    MR_RET(drive(input, out_ready, err));
    if (!*out_ready) return MR_OK;
    input->number = input->request.file;
    return check_identity(input, &input->request.info, err);
}

/* Reads file bytes into `into`. *out_bytes 0 with *out_ready: the end. */
static enum mr_status read_file(struct mri_input *input, char *into, size_t room_bytes,
                                size_t *out_bytes, bool *out_ready, struct mr_error *err)
{
    const struct mri_file *file = input->file;

    *out_bytes = 0;
    if (!input->pending) {
        uint64_t left = file->stream ? UINT64_MAX : file->size_bytes - input->next_offset;

        if (left == 0 || input->end) {
            input->end = true;
            *out_ready = true;
            return MR_OK;
        }
        input->request = (struct mr_disk_request){
            .op = MR_DISK_READ,
            .file = input->number,
            .path = file->path,
            .offset = input->next_offset,
            .data = into,
            .size_bytes = (size_t)MR_MIN((uint64_t)room_bytes, left),
        };
    }
    mr_assert(input->request.data == into);
    MR_RET(drive(input, out_ready, err));
    if (!*out_ready) return MR_OK;
    *out_bytes = input->request.done_bytes;
    input->next_offset += *out_bytes;
    if (*out_bytes > 0) return MR_OK;
    input->end = true;
    return file->stream ? MR_OK : changed(input, "became shorter", err);
}

/* ---- from raw bytes ---- */

/* One read into the raw buffer, behind what is left in it. */
static enum mr_status read_raw(struct mri_input *input, bool *out_ready, struct mr_error *err)
{
    size_t kept = input->rest.size_bytes;
    size_t got;

    if (input->raw == NULL) {
        input->raw = mr_alloc(input->heap, RAW_BYTES);
        if (input->raw == NULL) return mr_error_nomem(err, input->file->path, RAW_BYTES);
    }
    if (!input->pending && kept > 0) memmove(input->raw, input->rest.data, kept);
    input->rest.data = input->raw;
    MR_RET(read_file(input, input->raw + kept, RAW_BYTES - kept, &got, out_ready, err));
    input->rest.size_bytes += got;
    return MR_OK;
}

/* Streams: read until the first bytes tell what they are. */
static enum mr_status find_compression(struct mri_input *input, bool *out_ready,
                                       struct mr_error *err)
{
    const char *binary;

    while (input->compression == MRI_UNKNOWN) {
        input->compression = mri_sniff(input->rest.data, input->rest.size_bytes, input->end);
        if (input->compression != MRI_UNKNOWN) break;
        MR_RET(read_raw(input, out_ready, err));
        if (!*out_ready) return MR_OK;
    }
    *out_ready = true;
    binary = mri_sniff_binary(input->rest.data, input->rest.size_bytes, NULL);
    if (binary == NULL) return MR_OK;
    return mr_error_set(err, MR_E_UNSUPPORTED, "%s is %s", input->file->path, binary);
}

static enum mr_status read_plain(struct mri_input *input, char *into, size_t room_bytes,
                                 size_t *out_bytes, bool *out_ready, struct mr_error *err)
{
    if (input->rest.size_bytes == 0 || input->pending) {
        return read_file(input, into, room_bytes, out_bytes, out_ready, err);
    }
    *out_bytes = MR_MIN(room_bytes, input->rest.size_bytes);
    memcpy(into, input->rest.data, *out_bytes);
    input->rest.data += *out_bytes;
    input->rest.size_bytes -= *out_bytes;
    *out_ready = true;
    return MR_OK;
}

static enum mr_status read_compressed(struct mri_input *input, char *into, size_t room_bytes,
                                      size_t *out_bytes, bool *out_ready, struct mr_error *err)
{
    char *out = into;
    size_t room = room_bytes;
    enum mr_status st;

    if (input->decoder == NULL) {
        MR_RET(mri_decoder_create(input->heap, input->compression, &input->decoder, err));
    }
    for (;;) {
        st = input->pending
                 ? MR_OK
                 : mri_decoder_run(input->decoder, &input->rest, input->end, &out, &room, err);
        if (st != MR_OK) {
            mr_error_context(err, "%s", input->file->path);
            return st;
        }
        *out_bytes = room_bytes - room;
        *out_ready = true;
        /* Files fill the room; from a stream whatever is there goes on at once. */
        if (room == 0 || input->end || (*out_bytes > 0 && input->file->stream)) return MR_OK;
        MR_RET(read_raw(input, out_ready, err));
        if (!*out_ready) {
            *out_ready = *out_bytes > 0; /* the read is looked after in the next call */
            return MR_OK;
        }
    }
}

enum mr_status mri_input_read(struct mri_input *input, char *into, size_t room_bytes,
                              size_t *out_bytes, enum mri_flow *out_flow, struct mr_error *err)
{
    bool ready = true;

    mr_assert(room_bytes > 0);
    *out_bytes = 0;
    *out_flow = MRI_BLOCKED;
    if (input->number == MR_FILE_NONE) MR_RET(open_file(input, &ready, err));
    if (ready && input->compression == MRI_UNKNOWN) MR_RET(find_compression(input, &ready, err));
    if (!ready) return MR_OK;
    if (input->compression == MRI_PLAIN) {
        MR_RET(read_plain(input, into, room_bytes, out_bytes, &ready, err));
    } else {
        MR_RET(read_compressed(input, into, room_bytes, out_bytes, &ready, err));
    }
    if (ready) *out_flow = *out_bytes > 0 ? MRI_MORE : MRI_DONE;
    return MR_OK;
}
