/* output.c - see output.h. */
#include "connect/file/output.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "base/text.h"
#include "connect/file/files.h"

#include <string.h>

static const char *name_of(const struct mri_output *output)
{
    return output->path != NULL ? output->path : "standard output";
}

/* ---- open ---- */

/* "dir/name" -> "dir/.name.mr-tmp-1-3" */
static char *temporary_name(struct mr_heap *heap, const char *path, uint32_t sink,
                            uint32_t instance)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    struct mr_text text;
    char *copy = NULL;

    mr_text_init(&text, heap, 0);
    mr_text_add_bytes(&text, path, (size_t)(name - path));
    mr_text_format(&text, ".%s.mr-tmp-%u-%u", name, sink, instance);
    if (mr_text_status(&text) == MR_OK) copy = mr_strdup(heap, mr_text_get(&text));
    mr_text_fini(&text);
    return copy;
}

static enum mr_status open_file(struct mri_output *output, enum mr_disk_op op, const char *path,
                                struct mr_error *err)
{
    struct mr_disk_request request = {.op = op, .path = path};

    MR_RET(mr_disk_do(output->disk, &request, err));
    output->number = request.file;
    return MR_OK;
}

static void unlink_quietly(struct mr_disk *disk, const char *path)
{
    struct mr_disk_request request = {.op = MR_DISK_UNLINK, .path = path};
    enum mr_status ignored = mr_disk_do(disk, &request, NULL);

    (void)ignored;
}

static enum mr_status open_temporary(struct mri_output *output, uint32_t sink, uint32_t instance,
                                     struct mr_error *err)
{
    enum mr_status st;

    output->temporary = temporary_name(output->heap, output->path, sink, instance);
    if (output->temporary == NULL) return mr_error_nomem(err, output->path, strlen(output->path));
    /* One that a killed job left behind is of no use to anybody. */
    unlink_quietly(output->disk, output->temporary);
    st = open_file(output, MR_DISK_CREATE, output->temporary, err);
    if (st != MR_OK) mr_error_context(err, "%s", output->path);
    return st;
}

static enum mr_status open_path(struct mri_output *output, uint32_t sink, uint32_t instance,
                                struct mr_error *err)
{
    struct mr_disk_request info = {.op = MR_DISK_INFO, .path = output->path};
    struct mr_error ignored;
    bool there = mr_disk_do(output->disk, &info, &ignored) == MR_OK;

    /* The rename would put the file in the place of the link: of /dev/stdout, say. */
    if (info.info.link && (!there || info.info.kind == MR_FILE_REGULAR)) {
        return mr_error_set(err, MR_E_INVALID,
                            "%s is a symbolic link; write the path that it leads to (or - for "
                            "standard output)",
                            output->path);
    }
    if (!there) return open_temporary(output, sink, instance, err);
    switch (info.info.kind) {
    case MR_FILE_REGULAR: return open_temporary(output, sink, instance, err);
    case MR_FILE_DIRECTORY:
        return mr_error_set(err, MR_E_INVALID,
                            "%s is a directory; write `%s/` to put a file per instance into it",
                            output->path, output->path);
    case MR_FILE_STREAM:
    case MR_FILE_TERMINAL: break;
    }
    return open_file(output, MR_DISK_OPEN_OUTPUT, output->path, err);
}

enum mr_status mri_output_open(struct mri_output *output, struct mr_heap *heap,
                               struct mr_disk *disk, const char *path, uint32_t sink,
                               uint32_t instance, struct mr_error *err)
{
    memset(output, 0, sizeof *output);
    output->heap = heap;
    output->disk = disk;
    output->number = MR_FILE_NONE;
    mr_buffer_init(&output->fill, heap);
    mr_buffer_init(&output->busy, heap);
    if (path == NULL) {
        output->number = MR_FILE_STDOUT;
        return MR_OK;
    }
    output->path = mr_strdup(heap, path);
    if (output->path == NULL) return mr_error_nomem(err, path, strlen(path));
    return open_path(output, sink, instance, err);
}

enum mr_status mri_output_init_kept(struct mri_output *output, struct mr_heap *heap,
                                    struct mr_disk *disk, const char *path, struct mr_error *err)
{
    memset(output, 0, sizeof *output);
    output->heap = heap;
    output->disk = disk;
    output->number = MR_FILE_NONE;
    output->kept = true;
    mr_buffer_init(&output->fill, heap);
    mr_buffer_init(&output->busy, heap);
    output->path = mr_strdup(heap, path);
    return output->path != NULL ? MR_OK : mr_error_nomem(err, path, strlen(path));
}

/* ---- writing ---- */

/* Starts the request or looks after it. *out_done: it is over and was successful. */
static enum mr_status drive(struct mri_output *output, bool *out_done, struct mr_error *err)
{
    struct mr_disk_request *request = &output->request;

    if (!output->pending) {
        output->pending = true;
        output->disk->submit(output->disk, request);
    } else if (!request->done) {
        (void)output->disk->poll(output->disk);
    }
    *out_done = request->done;
    if (!request->done) return MR_OK;
    output->pending = false;
    if (request->status == MR_OK) return MR_OK;
    if (err != NULL) *err = request->error;
    if (output->path != NULL) {
        mr_error_context(err, "%s, after %llu bytes", output->path,
                         (unsigned long long)output->written_bytes);
    }
    return request->status;
}

static void swap(struct mri_output *output)
{
    struct mr_buffer full = output->fill;

    output->fill = output->busy;
    output->fill.size_bytes = 0;
    output->busy = full;
    output->busy_done = 0;
}

static void note_written(struct mri_output *output, size_t size_bytes)
{
    if (MR_PLANT("museum-19")) size_bytes = output->busy.size_bytes - output->busy_done;
    if (output->kept) {
        mri_sum_add(&output->sum, output->written_bytes, output->busy.data + output->busy_done,
                    size_bytes);
    }
    output->busy_done += size_bytes;
    output->written_bytes += size_bytes;
}

bool mri_output_blocked(struct mri_output *output)
{
    return output->pending;
}

enum mr_status mri_output_push(struct mri_output *output, bool all, bool *out_blocked,
                               struct mr_error *err)
{
    for (;;) {
        bool done = false;

        *out_blocked = false;
        if (output->busy_done == output->busy.size_bytes) {
            size_t size = output->fill.size_bytes;

            if (size == 0 || (!all && size < MRI_OUTPUT_BYTES)) return MR_OK;
            swap(output);
        }
        if (!output->pending) {
            output->request = (struct mr_disk_request){
                .op = MR_DISK_WRITE,
                .file = output->number,
                .path = output->temporary != NULL || output->kept ? NULL : output->path,
                .offset = output->kept ? output->written_bytes : MR_OFFSET_APPEND,
                .data = output->busy.data + output->busy_done,
                .size_bytes = output->busy.size_bytes - output->busy_done,
            };
        }
        MR_RET(drive(output, &done, err));
        *out_blocked = !done;
        if (!done) return MR_OK;
        if (output->request.done_bytes == 0) {
            return mr_error_set(err, MR_E_IO, "%s takes no more bytes (after %llu)",
                                name_of(output), (unsigned long long)output->written_bytes);
        }
        note_written(output, output->request.done_bytes);
    }
}

enum mr_status mri_output_finish(struct mri_output *output, bool *out_blocked, struct mr_error *err)
{
    bool done = false;

    *out_blocked = false;
    if (output->synced) return MR_OK;
    if (!output->pending || output->request.op == MR_DISK_WRITE) {
        MR_RET(mri_output_push(output, true, out_blocked, err));
        if (*out_blocked) return MR_OK;
    }
    if (output->temporary == NULL) {
        output->synced = true;
        return MR_OK;
    }
    if (!output->pending) {
        output->request = (struct mr_disk_request){.op = MR_DISK_SYNC, .file = output->number};
    }
    MR_RET(drive(output, &done, err));
    *out_blocked = !done;
    output->synced = done;
    return MR_OK;
}

enum mr_status mri_output_sync(struct mri_output *output, bool *out_blocked, struct mr_error *err)
{
    enum mr_status st;
    bool done = false;

    mr_assert(output->kept);
    *out_blocked = false;
    if (!output->pending || output->request.op == MR_DISK_WRITE) {
        MR_RET(mri_output_push(output, true, out_blocked, err));
        if (*out_blocked || output->synced_bytes == output->written_bytes) return MR_OK;
        if (MR_PLANT("museum-3")) return MR_OK; /* before the disk has answered */
        MR_CRASH("C11");
        output->request = (struct mr_disk_request){.op = MR_DISK_SYNC, .file = output->number};
    }
    st = drive(output, &done, err);
    if (st != MR_OK && !MR_PLANT("museum-18")) return st;
    *out_blocked = !done;
    if (done) output->synced_bytes = output->written_bytes;
    return MR_OK;
}

/* ---- end ---- */

static enum mr_status sync_directory(struct mri_output *output, struct mr_error *err)
{
    enum mr_status st;
    char *slash = strrchr(output->temporary, '/'); /* of no other use after the rename */
    struct mr_disk_request sync = {.op = MR_DISK_SYNC_DIRECTORY, .path = "."};

    if (slash == output->temporary) {
        sync.path = "/";
    } else if (slash != NULL) {
        *slash = '\0';
        sync.path = output->temporary;
    }
    st = mr_disk_do(output->disk, &sync, err);
    if (slash != NULL) *slash = '/'; /* its length is needed to free it */
    return st;
}

/* Another job that writes the same path has removed our temporary file and may have made its own
 * under that name: renaming it would present its unfinished output as ours. */
static bool still_ours(struct mri_output *output)
{
    struct mr_disk_request open = {.op = MR_DISK_INFO, .file = output->number};
    struct mr_disk_request named = {
        .op = MR_DISK_INFO, .file = MR_FILE_NONE, .path = output->temporary};
    struct mr_error ignored;

    return mr_disk_do(output->disk, &open, &ignored) == MR_OK &&
           mr_disk_do(output->disk, &named, &ignored) == MR_OK &&
           open.info.identity == named.info.identity;
}

enum mr_status mri_output_commit(struct mri_output *output, struct mr_error *err)
{
    struct mr_disk_request close = {.op = MR_DISK_CLOSE, .file = output->number};
    struct mr_disk_request rename = {
        .op = MR_DISK_RENAME, .path = output->temporary, .path_to = output->path};

    if (output->committed) return MR_OK;
    mr_assert(output->synced);
    if (output->temporary != NULL) {
        if (output->number != MR_FILE_NONE) {
            if (!still_ours(output)) {
                mr_strfree(output->heap, output->temporary);
                output->temporary = NULL;
                return mr_error_set(err, MR_E_CHANGED,
                                    "%s: another job writes the same file; nothing of this one "
                                    "was put in place",
                                    output->path);
            }
            output->number = MR_FILE_NONE;
            MR_RET(mr_disk_do(output->disk, &close, err)); /* some file systems fail only here */
        }
        MR_RET(mr_disk_do(output->disk, &rename, err));
        MR_RET(sync_directory(output, err));
    }
    output->committed = true;
    return MR_OK;
}

void mri_output_close(struct mri_output *output)
{
    if (output->heap == NULL) return;
    if (output->pending) output->disk->cancel(output->disk, &output->request);
    if (output->number != MR_FILE_NONE && output->path != NULL) {
        mri_close_quietly(output->disk, output->number);
    }
    if (output->temporary != NULL && !output->committed && !output->kept) {
        unlink_quietly(output->disk, output->temporary);
    }
    mr_buffer_fini(&output->fill);
    mr_buffer_fini(&output->busy);
    mr_strfree(output->heap, output->temporary);
    mr_strfree(output->heap, output->path);
    memset(output, 0, sizeof *output);
}
