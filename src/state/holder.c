#include "state/holder.h"

#include "base/status.h"
#include "state/manifest.h"

#include <string.h>

#define LOCK_BYTES_MAX 256u

static enum mr_status make_directory(struct mr_disk *disk, const char *dir, struct mr_error *err)
{
    struct mr_disk_request request = {.op = MR_DISK_MKDIR, .path = dir};

    return mr_disk_do(disk, &request, err);
}

static void close_file(struct mr_disk *disk, uint32_t file)
{
    struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = file};
    struct mr_error ignored;

    (void)!mr_disk_do(disk, &request, &ignored);
}

/* Who wrote the record; 0 when it cannot be read, or was not written yet. */
static struct mr_process_id read_holder(struct mr_disk *disk, const char *path)
{
    char data[LOCK_BYTES_MAX];
    struct mr_disk_request request = {.op = MR_DISK_OPEN_READ, .path = path};
    struct mr_process_id id = {.pid = 0};
    struct mri_lock lock;
    struct mr_error ignored;
    uint32_t file;

    if (mr_disk_do(disk, &request, &ignored) != MR_OK) return id;
    file = request.file;
    request = (struct mr_disk_request){
        .op = MR_DISK_READ, .file = file, .data = data, .size_bytes = sizeof data};
    if (mr_disk_do(disk, &request, &ignored) == MR_OK &&
        mri_lock_decode((struct mr_bytes){data, request.done_bytes}, path, &lock, &ignored) ==
            MR_OK) {
        id = (struct mr_process_id){.pid = lock.pid, .started_us = (int64_t)lock.started_us};
    }
    close_file(disk, file);
    return id;
}

static enum mr_status busy(const char *dir, const struct mr_process_id *other,
                           struct mr_error *err)
{
    if (other->pid == 0) {
        return mr_error_set(err, MR_E_BUSY,
                            "%s: another process works on this state directory; wait for it to end",
                            dir);
    }
    return mr_error_set(err, MR_E_BUSY,
                        "%s: process %llu works on this state directory (also if it is stopped); "
                        "wait for it to end, or take its place with --takeover, which kills it",
                        dir, (unsigned long long)other->pid);
}

static enum mr_status write_holder(struct mr_holder *holder, struct mr_heap *heap,
                                   const struct mr_process_id *self, struct mr_error *err)
{
    const struct mri_lock lock = {.pid = self->pid, .started_us = (uint64_t)self->started_us};
    struct mr_buffer data;
    enum mr_status st = MR_OK;

    mr_buffer_init(&data, heap);
    if (!mri_lock_encode(&data, &lock)) {
        st = mr_error_nomem(err, "the lock of a state directory", LOCK_BYTES_MAX);
    }
    for (size_t done = 0; st == MR_OK && done < data.size_bytes;) {
        struct mr_disk_request request = {.op = MR_DISK_WRITE,
                                          .file = holder->file,
                                          .offset = done,
                                          .data = data.data + done,
                                          .size_bytes = data.size_bytes - done};

        st = mr_disk_do(holder->disk, &request, err);
        done += request.done_bytes;
    }
    mr_buffer_fini(&data);
    return st;
}

static enum mr_status take(struct mr_holder *holder, struct mr_heap *heap, const char *path,
                           const char *dir, const struct mr_process_id *self,
                           struct mr_process_id *out_other, struct mr_error *err)
{
    struct mr_disk_request request = {.op = MR_DISK_LOCK, .path = path};
    enum mr_status st = mr_disk_do(holder->disk, &request, err);

    if (st == MR_E_BUSY) {
        *out_other = read_holder(holder->disk, path);
        return busy(dir, out_other, err);
    }
    if (st != MR_OK) return st;
    holder->file = request.file;
    st = write_holder(holder, heap, self, err);
    if (st != MR_OK) mr_holder_release(holder);
    return st;
}

enum mr_status mr_holder_take(struct mr_holder *holder, struct mr_heap *heap, struct mr_disk *disk,
                              const char *dir, const struct mr_process_id *self,
                              struct mr_process_id *out_other, struct mr_error *err)
{
    char *path;
    enum mr_status st;

    *holder = (struct mr_holder){.disk = disk, .file = MR_FILE_NONE};
    *out_other = (struct mr_process_id){.pid = 0};
    MR_RET(make_directory(disk, dir, err));
    path = mri_file_path(heap, dir, MRI_FILE_LOCK, 0, 0);
    if (path == NULL) return mr_error_nomem(err, "the lock of a state directory", strlen(dir));
    st = take(holder, heap, path, dir, self, out_other, err);
    mr_strfree(heap, path);
    return st;
}

static enum mr_status remove_name(struct mr_disk *disk, struct mr_heap *heap, const char *dir,
                                  const char *name, struct mr_error *err)
{
    struct mr_disk_request request = {.op = MR_DISK_UNLINK};
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = mr_alloc(heap, size);
    enum mr_status st;

    if (path == NULL) return mr_error_nomem(err, "a path", size);
    memcpy(path, dir, strlen(dir));
    path[strlen(dir)] = '/';
    memcpy(path + strlen(dir) + 1, name, strlen(name) + 1);
    request.path = path;
    st = mr_disk_do(disk, &request, err);
    mr_free(heap, path, size);
    return st == MR_E_NOT_FOUND ? MR_OK : st;
}

static bool is_kept_by_job(const char *name)
{
    uint64_t fence, number;
    enum mri_file_type type = mri_file_parse(name, &fence, &number);

    if (type == MRI_FILE_LOCK) return false;
    return type != MRI_FILE_OTHER || strcmp(name, "JOB") == 0 || strcmp(name, "JOB.new") == 0 ||
           strcmp(name, "CRASH") == 0 || strcmp(name, "STOP") == 0;
}

enum mr_status mr_holder_clear(struct mr_holder *holder, struct mr_heap *heap, const char *dir,
                               struct mr_error *err)
{
    struct mr_disk_request list = {.op = MR_DISK_LIST, .path = dir};
    struct mr_disk_request sync = {.op = MR_DISK_SYNC_DIRECTORY, .path = dir};
    enum mr_status st;

    MR_RET(remove_name(holder->disk, heap, dir, "META", err));
    MR_RET(mr_disk_do(holder->disk, &sync, err));
    MR_RET(mr_disk_do(holder->disk, &list, err));
    st = MR_OK;
    for (uint32_t i = 0; i < list.name_count && st == MR_OK; i++) {
        if (is_kept_by_job(list.names[i])) {
            st = remove_name(holder->disk, heap, dir, list.names[i], err);
        }
    }
    holder->disk->names_free(holder->disk, &list);
    return st;
}

void mr_holder_release(struct mr_holder *holder)
{
    if (holder->disk == NULL || holder->file == MR_FILE_NONE) return;
    close_file(holder->disk, holder->file);
    holder->file = MR_FILE_NONE;
}
