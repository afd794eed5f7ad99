/* memory_disk.c - see memory_disk.h. */
#include "memory_disk.h"

#include "base/assert.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

static struct memory_disk *self_of(struct mr_disk *disk)
{
    return MR_CONTAINER(disk, struct memory_disk, disk);
}

/* The double's own memory is not what is tested: it must not fail when the heap does. */
static void *get(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes == 0 ? 1 : size_bytes);

    mr_assert(memory != NULL);
    return memory;
}

struct memory_file *memory_disk_find(struct memory_disk *disk, const char *name)
{
    for (struct memory_file *file = disk->files; file != NULL; file = file->next) {
        if (strcmp(file->name, name) == 0) return file;
    }
    return NULL;
}

static void rename_file(struct memory_file *file, const char *name)
{
    free(file->name);
    file->name = get(strlen(name) + 1);
    memcpy(file->name, name, strlen(name) + 1);
}

static struct memory_file *add(struct memory_disk *disk, const char *name)
{
    struct memory_file *file = get(sizeof *file);

    rename_file(file, name);
    file->identity = ++disk->identities;
    file->next = disk->files;
    disk->files = file;
    return file;
}

static void append(struct memory_file *file, const void *data, size_t size_bytes)
{
    if (file->size_bytes + size_bytes > file->room_bytes) {
        size_t room = MR_MAX(file->room_bytes * 2, file->size_bytes + size_bytes);
        char *grown = get(room);

        if (file->size_bytes > 0) memcpy(grown, file->data, file->size_bytes);
        free(file->data);
        file->data = grown;
        file->room_bytes = room;
    }
    if (size_bytes > 0) memcpy(file->data + file->size_bytes, data, size_bytes);
    file->size_bytes += size_bytes;
}

struct memory_file *memory_disk_put(struct memory_disk *disk, const char *name, const void *data,
                                    size_t size_bytes)
{
    struct memory_file *file = memory_disk_find(disk, name);

    if (file == NULL) file = add(disk, name);
    file->size_bytes = 0;
    append(file, data, size_bytes);
    return file;
}

static void drop(struct memory_disk *disk, struct memory_file *file)
{
    for (struct memory_file **at = &disk->files; *at != NULL; at = &(*at)->next) {
        if (*at != file) continue;
        *at = file->next;
        break;
    }
    for (size_t i = 0; i < MR_COUNT(disk->open); i++) {
        if (disk->open[i] == file) disk->open[i] = NULL;
    }
    free(file->name);
    free(file->data);
    free(file);
}

/* ---- requests ---- */

static void finish(struct mr_disk_request *request)
{
    request->status = MR_OK;
    request->done = true;
}

static void fail(struct mr_disk_request *request, enum mr_status status, const char *why)
{
    request->status = mr_error_set(&request->error, status, "%s: %s",
                                   request->path != NULL ? request->path : "a file", why);
    request->done = true;
}

static bool is_below(const char *name, const char *directory)
{
    size_t size = strlen(directory);

    if (strcmp(directory, ".") == 0) return strchr(name, '/') == NULL;
    while (size > 0 && directory[size - 1] == '/') size--;
    return strncmp(name, directory, size) == 0 && name[size] == '/';
}

/* "name/" is the directory "name". */
static struct memory_file *find_directory(struct memory_disk *disk, const char *path)
{
    size_t size = strlen(path);

    while (size > 0 && path[size - 1] == '/') size--;
    for (struct memory_file *file = disk->files; file != NULL; file = file->next) {
        if (strlen(file->name) == size && memcmp(file->name, path, size) == 0) return file;
    }
    return NULL;
}

static bool is_directory(struct memory_disk *disk, const char *path)
{
    struct memory_file *file = find_directory(disk, path);

    if (file != NULL) return file->directory;
    if (strcmp(path, ".") == 0) return true;
    for (file = disk->files; file != NULL; file = file->next) {
        if (is_below(file->name, path)) return true;
    }
    return false;
}

static void fill_info(const struct memory_file *file, struct mr_file_info *out)
{
    *out = (struct mr_file_info){.kind = file->stream ? MR_FILE_STREAM : MR_FILE_REGULAR,
                                 .size_bytes = file->stream ? 0 : file->size_bytes,
                                 .identity = file->identity,
                                 .modified_us = file->modified_us};
    if (file->directory) out->kind = MR_FILE_DIRECTORY;
}

static void do_info(struct memory_disk *disk, struct mr_disk_request *request)
{
    struct memory_file *file =
        request->path == NULL ? disk->open[request->file] : memory_disk_find(disk, request->path);

    if (file != NULL) {
        fill_info(file, &request->info);
    } else if (request->path != NULL && is_directory(disk, request->path)) {
        request->info.kind = MR_FILE_DIRECTORY;
    } else if (request->path == NULL && request->file <= MR_FILE_STDERR) {
        request->info.kind = MR_FILE_STREAM;
    } else {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
        return;
    }
    finish(request);
}

static void do_open(struct memory_disk *disk, struct mr_disk_request *request, bool create)
{
    struct memory_file *file = memory_disk_find(disk, request->path);

    if (create && file != NULL) {
        fail(request, MR_E_ACCESS, "it exists already");
        return;
    }
    if (!create && file == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
        return;
    }
    if (create) file = add(disk, request->path);
    for (uint32_t i = 3; i < MR_COUNT(disk->open); i++) {
        if (disk->open[i] != NULL) continue;
        disk->open[i] = file;
        request->file = i;
        fill_info(file, &request->info);
        finish(request);
        return;
    }
    fail(request, MR_E_IO, "too many open files");
}

static struct memory_file *transfer_file(struct memory_disk *disk, struct mr_disk_request *request)
{
    if (request->file == MR_FILE_STDIN) return memory_disk_find(disk, "stdin");
    if (request->file == MR_FILE_STDOUT) {
        struct memory_file *file = memory_disk_find(disk, "stdout");

        return file != NULL ? file : add(disk, "stdout");
    }
    return disk->open[request->file];
}

static void do_read(struct memory_disk *disk, struct mr_disk_request *request,
                    struct memory_file *file)
{
    bool stream = file->stream || request->file == MR_FILE_STDIN;
    uint64_t offset = stream ? file->stream_at : request->offset;
    size_t size = offset < file->size_bytes ? file->size_bytes - (size_t)offset : 0;

    size = MR_MIN(size, request->size_bytes);
    if (disk->read_bytes_max > 0) size = MR_MIN(size, disk->read_bytes_max);
    if (stream && disk->stream_pause > 0) {
        size = MR_MIN(size, disk->stream_pause - (size_t)offset % disk->stream_pause);
    }
    if (size > 0) memcpy(request->data, file->data + offset, size);
    if (stream) file->stream_at += size;
    request->done_bytes = size;
    finish(request);
}

static void do_write(struct memory_disk *disk, struct mr_disk_request *request,
                     struct memory_file *file)
{
    size_t size = request->size_bytes;

    if (disk->write_bytes_max > 0) size = MR_MIN(size, disk->write_bytes_max);
    size = MR_MIN(size, disk->space_bytes - disk->written_bytes);
    if (disk->closed_reader) {
        fail(request, MR_E_CLOSED, "the reader closed the pipe");
        return;
    }
    if (size == 0 && request->size_bytes > 0) {
        fail(request, MR_E_NO_SPACE, "no space left on the device");
        return;
    }
    if (request->offset < file->size_bytes && !file->stream) { /* MR_OFFSET_APPEND is beyond */
        size = MR_MIN(size, file->size_bytes - (size_t)request->offset);
        if (size > 0) memcpy(file->data + request->offset, request->data, size);
    } else {
        append(file, request->data, size);
    }
    disk->written_bytes += size;
    request->done_bytes = size;
    finish(request);
}

static void transfer(struct memory_disk *disk, struct mr_disk_request *request)
{
    struct memory_file *file = transfer_file(disk, request);

    if (file == NULL) {
        fail(request, MR_E_IO, "it is not open");
    } else if (request->op == MR_DISK_READ) {
        do_read(disk, request, file);
    } else {
        do_write(disk, request, file);
    }
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void add_name(struct mr_disk_request *request, const char *name, size_t size_bytes)
{
    char *copy;

    for (uint32_t i = 0; i < request->name_count; i++) {
        if (strlen(request->names[i]) == size_bytes &&
            memcmp(request->names[i], name, size_bytes) == 0) {
            return; /* a directory with several files below */
        }
    }
    copy = get(size_bytes + 1);
    memcpy(copy, name, size_bytes);
    request->names = realloc(request->names, (request->name_count + 1) * sizeof *request->names);
    mr_assert(request->names != NULL);
    request->names[request->name_count++] = copy;
}

static void do_list(struct memory_disk *disk, struct mr_disk_request *request)
{
    size_t size = strlen(request->path);

    request->names = NULL;
    request->name_count = 0;
    if (!is_directory(disk, request->path)) {
        fail(request, MR_E_NOT_FOUND, "no such directory");
        return;
    }
    while (size > 0 && request->path[size - 1] == '/') size--;
    for (struct memory_file *file = disk->files; file != NULL; file = file->next) {
        const char *name = file->name;
        const char *slash;

        if (strcmp(request->path, ".") != 0) {
            if (!is_below(name, request->path)) continue;
            name += size + 1;
        }
        slash = strchr(name, '/');
        add_name(request, name, slash != NULL ? (size_t)(slash - name) : strlen(name));
    }
    if (request->name_count > 1) {
        qsort(request->names, request->name_count, sizeof *request->names, compare_names);
    }
    finish(request);
}

static void names_free(struct mr_disk *interface, struct mr_disk_request *request)
{
    (void)interface;
    for (uint32_t i = 0; i < request->name_count; i++) free(request->names[i]);
    free(request->names);
    request->names = NULL;
    request->name_count = 0;
}

static void do_rename(struct memory_disk *disk, struct mr_disk_request *request)
{
    struct memory_file *from = memory_disk_find(disk, request->path);
    struct memory_file *to = memory_disk_find(disk, request->path_to);

    if (from == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
        return;
    }
    if (to != NULL && to != from) drop(disk, to);
    rename_file(from, request->path_to);
    finish(request);
}

static void do_unlink(struct memory_disk *disk, struct mr_disk_request *request)
{
    struct memory_file *file = memory_disk_find(disk, request->path);

    if (file == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
        return;
    }
    drop(disk, file);
    finish(request);
}

static void submit(struct mr_disk *interface, struct mr_disk_request *request)
{
    struct memory_disk *disk = self_of(interface);

    request->done = false;
    request->status = MR_OK;
    request->done_bytes = 0;
    switch (request->op) {
    case MR_DISK_OPEN_READ: do_open(disk, request, false); break;
    case MR_DISK_OPEN_OUTPUT: do_open(disk, request, false); break;
    case MR_DISK_CREATE: do_open(disk, request, true); break;
    case MR_DISK_LOCK: do_open(disk, request, memory_disk_find(disk, request->path) == NULL); break;
    case MR_DISK_INFO: do_info(disk, request); break;
    case MR_DISK_READ:
    case MR_DISK_WRITE:
        if (disk->late_every > 0 && ++disk->transfers % disk->late_every == 0) {
            request->next = disk->pending;
            disk->pending = request;
        } else {
            transfer(disk, request);
        }
        break;
    case MR_DISK_SYNC:
    case MR_DISK_SYNC_DIRECTORY:
        disk->synced++;
        finish(request);
        break;
    case MR_DISK_RENAME: do_rename(disk, request); break;
    case MR_DISK_UNLINK: do_unlink(disk, request); break;
    case MR_DISK_MKDIR:
        if (!is_directory(disk, request->path)) {
            struct memory_file *made = add(disk, request->path);

            made->directory = true;
            while (strlen(made->name) > 1 && made->name[strlen(made->name) - 1] == '/') {
                made->name[strlen(made->name) - 1] = '\0';
            }
        }
        finish(request);
        break;
    case MR_DISK_LIST: do_list(disk, request); break;
    case MR_DISK_CLOSE:
        disk->open[request->file] = NULL;
        finish(request);
        break;
    }
}

static uint32_t poll_all(struct mr_disk *interface)
{
    struct memory_disk *disk = self_of(interface);
    uint32_t count = 0;

    while (disk->pending != NULL) {
        struct mr_disk_request *request = disk->pending;

        disk->pending = request->next;
        transfer(disk, request);
        count++;
    }
    return count;
}

static void cancel(struct mr_disk *interface, struct mr_disk_request *request)
{
    struct memory_disk *disk = self_of(interface);

    for (struct mr_disk_request **at = &disk->pending; *at != NULL; at = &(*at)->next) {
        if (*at != request) continue;
        *at = request->next;
        return;
    }
}

void memory_disk_init(struct memory_disk *disk, struct mr_heap *heap)
{
    memset(disk, 0, sizeof *disk);
    disk->disk = (struct mr_disk){submit, poll_all, names_free, cancel};
    disk->heap = heap;
    disk->space_bytes = SIZE_MAX;
}

void memory_disk_fini(struct memory_disk *disk)
{
    mr_assert(disk->pending == NULL);
    while (disk->files != NULL) drop(disk, disk->files);
}
