/* posix_disk.c - files and streams by system calls; see port/disk.h.
 *
 * A file number is the descriptor. Requests on regular files are finished inside submit. Pipes,
 * terminals and sockets are asked with poll(2) first, so that neither read nor write can block; a
 * request that has to wait stays in a list until `poll` finds it ready. Syncs take as long as the
 * device likes: a thread of the disk waits for them (posix_sync.h), if somebody is to be woken.
 */
#include "base/assert.h"
#include "base/status.h"
#include "port/posix/posix_internal.h"
#include "port/posix/posix_sync.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A pipe that is ready takes this much without blocking (PIPE_BUF), whatever its size. */
#define STREAM_WRITE_BYTES ((size_t)4096)

struct open_file {
    bool known;
    bool stream;
    bool nonblocking; /* the descriptor itself: then any write size is safe */
    int sync_code;    /* of a sync that was given up: errno; no later one can be trusted */
    uint64_t serial;  /* tells files that had the same number one after the other */
    char *path;       /* for messages; NULL: a standard stream */
};

struct posix_disk {
    struct mr_disk disk; /* first: the interface is a pointer to it */
    struct mr_heap *heap;
    struct open_file *files; /* by descriptor */
    uint32_t file_room;
    struct mr_disk_request *pending;
    uint64_t serials;
    bool skip_syncs;
    bool wakes;              /* the next two are known */
    struct mr_parker parker; /* of the worker */
    uint32_t worker;
    struct mri_syncer *syncer; /* from the first sync on; NULL before, or without memory */
};

static struct posix_disk *self_of(struct mr_disk *disk)
{
    return MR_CONTAINER(disk, struct posix_disk, disk);
}

/* ---- messages ---- */

static enum mr_status status_of(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR: return MR_E_NOT_FOUND;
    case EACCES:
    case EPERM:
    case EROFS:
    case EEXIST:
    case EISDIR: return MR_E_ACCESS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return MR_E_NO_SPACE;
    case EPIPE: return MR_E_CLOSED;
    case ENOMEM: return MR_E_NOMEM;
    default: return MR_E_IO;
    }
}

static const char *words_of(int code, char *room, size_t room_bytes)
{
    switch (code) {
    case ENOENT: return "no such file or directory";
    case ENOTDIR: return "a part of the path is not a directory";
    case EACCES:
    case EPERM: return "permission denied";
    case EROFS: return "the file system is read-only";
    case EEXIST: return "it exists already";
    case EISDIR: return "it is a directory";
    case ENOSPC: return "no space left on the device";
    case EDQUOT: return "the disk quota is used up";
    case EFBIG: return "the file would become larger than allowed";
    case EPIPE: return "the reader closed the pipe";
    case EIO: return "the device reported an input or output error";
    case ENXIO: return "no process reads this pipe";
    case EMFILE:
    case ENFILE: return "too many open files";
    default: return strerror_r(code, room, room_bytes);
    }
}

static const char *verb_of(enum mr_disk_op op)
{
    switch (op) {
    case MR_DISK_OPEN_READ: return "open";
    case MR_DISK_CREATE: return "create";
    case MR_DISK_OPEN_OUTPUT: return "open for writing";
    case MR_DISK_INFO: return "look at";
    case MR_DISK_READ: return "read";
    case MR_DISK_WRITE: return "write";
    case MR_DISK_SYNC:
    case MR_DISK_SYNC_DIRECTORY: return "sync";
    case MR_DISK_RENAME: return "rename";
    case MR_DISK_UNLINK: return "remove";
    case MR_DISK_MKDIR: return "make the directory";
    case MR_DISK_LIST: return "list";
    case MR_DISK_CLOSE: return "close";
    case MR_DISK_LOCK: return "lock";
    }
    return "use";
}

static const char *name_of(const struct posix_disk *disk, const struct mr_disk_request *request)
{
    if (request->path != NULL) return request->path;
    if (request->file == MR_FILE_STDIN) return "standard input";
    if (request->file == MR_FILE_STDOUT) return "standard output";
    if (request->file == MR_FILE_STDERR) return "standard error";
    if (request->file < disk->file_room && disk->files[request->file].path != NULL) {
        return disk->files[request->file].path;
    }
    return "a file";
}

static void finish(struct mr_disk_request *request)
{
    request->status = MR_OK;
    request->done = true;
}

static void fail(const struct posix_disk *disk, struct mr_disk_request *request, int code)
{
    char room[128];

    request->status =
        mr_error_set(&request->error, status_of(code), "cannot %s %s: %s", verb_of(request->op),
                     name_of(disk, request), words_of(code, room, sizeof room));
    request->done = true;
}

static void finish_or_fail(const struct posix_disk *disk, struct mr_disk_request *request,
                           int result)
{
    if (result < 0) {
        fail(disk, request, errno);
    } else {
        finish(request);
    }
}

/* ---- the table of files ---- */

static void fill_info(const struct stat *from, int fd, struct mr_file_info *out)
{
    out->link = false;
    out->size_bytes = S_ISREG(from->st_mode) ? (uint64_t)from->st_size : 0;
    out->identity = (uint64_t)from->st_dev * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)from->st_ino;
    out->modified_us = (int64_t)from->st_mtim.tv_sec * MR_SECOND + from->st_mtim.tv_nsec / 1000;
    if (S_ISREG(from->st_mode) || S_ISBLK(from->st_mode)) {
        out->kind = MR_FILE_REGULAR;
    } else if (S_ISDIR(from->st_mode)) {
        out->kind = MR_FILE_DIRECTORY;
    } else if (fd >= 0 && S_ISCHR(from->st_mode) && isatty(fd)) {
        out->kind = MR_FILE_TERMINAL;
    } else {
        out->kind = MR_FILE_STREAM;
    }
}

static bool reserve_file(struct posix_disk *disk, uint32_t fd)
{
    struct open_file *grown;
    uint32_t room = MR_MAX(disk->file_room, 16);

    if (fd < disk->file_room) return true;
    while (room <= fd) room *= 2;
    grown =
        mr_realloc(disk->heap, disk->files, disk->file_room * sizeof *grown, room * sizeof *grown);
    if (grown == NULL) return false;
    memset(grown + disk->file_room, 0, (room - disk->file_room) * sizeof *grown);
    disk->files = grown;
    disk->file_room = room;
    return true;
}

/* Remembers an open descriptor; false without memory. */
static bool note_file(struct posix_disk *disk, int fd, const char *path, enum mr_file_kind kind)
{
    struct open_file *file;
    int flags = fcntl(fd, F_GETFL);

    if (!reserve_file(disk, (uint32_t)fd)) return false;
    file = &disk->files[fd];
    *file = (struct open_file){
        .known = true,
        .stream = kind == MR_FILE_STREAM || kind == MR_FILE_TERMINAL,
        .nonblocking = flags >= 0 && (flags & O_NONBLOCK) != 0,
        .serial = ++disk->serials,
    };
    if (path != NULL) {
        file->path = mr_strdup(disk->heap, path);
        if (file->path == NULL) {
            memset(file, 0, sizeof *file);
            return false;
        }
    }
    return true;
}

static void forget_file(struct posix_disk *disk, uint32_t fd)
{
    if (fd >= disk->file_room) return;
    mr_strfree(disk->heap, disk->files[fd].path);
    memset(&disk->files[fd], 0, sizeof disk->files[fd]);
}

/* The entry of a descriptor; the standard streams are looked at when first used. NULL: failed. */
static struct open_file *file_of(struct posix_disk *disk, struct mr_disk_request *request)
{
    struct mr_file_info info;
    struct stat seen;

    if (request->file < disk->file_room && disk->files[request->file].known) {
        return &disk->files[request->file];
    }
    if (request->file > MR_FILE_STDERR) {
        fail(disk, request, EBADF);
        return NULL;
    }
    if (fstat((int)request->file, &seen) < 0) {
        fail(disk, request, errno);
        return NULL;
    }
    fill_info(&seen, (int)request->file, &info);
    if (!note_file(disk, (int)request->file, NULL, info.kind)) {
        fail(disk, request, ENOMEM);
        return NULL;
    }
    return &disk->files[request->file];
}

/* ---- verbs ---- */

/* A program that was started with a standard stream closed gets its number for the next file, and
 * messages would end up in results. Moves such a file; -1 with errno if that fails. */
static int above_standard_streams(int fd)
{
    int moved, code;

    if (fd < 0 || fd > (int)MR_FILE_STDERR) return fd;
    moved = fcntl(fd, F_DUPFD_CLOEXEC, (int)MR_FILE_STDERR + 1);
    code = errno;
    (void)close(fd);
    errno = code;
    return moved;
}

static void keep_open(struct posix_disk *disk, struct mr_disk_request *request, int fd)
{
    struct stat seen;

    fd = above_standard_streams(fd);
    if (fd < 0 || fstat(fd, &seen) < 0) {
        fail(disk, request, errno);
    } else {
        fill_info(&seen, fd, &request->info);
        if (note_file(disk, fd, request->path, request->info.kind)) {
            request->file = (uint32_t)fd;
            finish(request);
            return;
        }
        fail(disk, request, ENOMEM);
    }
    if (fd >= 0) (void)close(fd);
}

/* Non-blocking, because opening a pipe would wait for its writer; regular files do not care. */
static void do_open_read(struct posix_disk *disk, struct mr_disk_request *request)
{
    int fd = open(request->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    keep_open(disk, request, fd);
    if (request->status == MR_OK && request->info.kind == MR_FILE_REGULAR) {
        (void)posix_fadvise((int)request->file, 0, 0, POSIX_FADV_SEQUENTIAL); /* may fail */
    }
}

static void do_info(struct posix_disk *disk, struct mr_disk_request *request)
{
    struct stat seen;
    int fd = request->path == NULL ? (int)request->file : -1;
    int result = request->path == NULL ? fstat(fd, &seen) : stat(request->path, &seen);

    if (result == 0) fill_info(&seen, fd, &request->info);
    finish_or_fail(disk, request, result);
    if (request->path != NULL && lstat(request->path, &seen) == 0) {
        request->info.link = S_ISLNK(seen.st_mode);
    }
}

static bool is_ready(uint32_t file, short events)
{
    struct pollfd ask = {(int)file, events, 0};

    return poll(&ask, 1, 0) > 0; /* errors and hang-ups count: the verb will say what they are */
}

/* True when the request is over, false when it has to wait. */
static bool try_read(struct posix_disk *disk, struct mr_disk_request *request, bool stream)
{
    ssize_t got;

    if (stream && !is_ready(request->file, POLLIN)) return false;
    do {
        if (stream || request->file <= MR_FILE_STDERR) {
            got = read((int)request->file, request->data, request->size_bytes);
        } else {
            got = pread((int)request->file, request->data, request->size_bytes,
                        (off_t)request->offset);
        }
    } while (got < 0 && errno == EINTR);
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (got >= 0) request->done_bytes = (size_t)got;
    finish_or_fail(disk, request, got < 0 ? -1 : 0);
    return true;
}

/* A write to a pipe without reader must give EPIPE, one beyond the limit of file sizes EFBIG, not a
 * signal, whatever the program says about that: it is held back during the write, and taken away
 * if our write caused it. Offset MR_OFFSET_APPEND: where the file stands. */
static ssize_t write_without_signal(const struct mr_disk_request *request, size_t size_bytes,
                                    uint64_t offset, int number, int cause)
{
    const struct timespec at_once = {0, 0};
    sigset_t held, before, waiting;
    bool was_waiting;
    ssize_t put;
    int code;

    (void)sigemptyset(&held);
    (void)sigaddset(&held, number);
    (void)sigpending(&waiting);
    was_waiting = sigismember(&waiting, number) == 1;
    (void)pthread_sigmask(SIG_BLOCK, &held, &before);
    if (offset == MR_OFFSET_APPEND) {
        put = write((int)request->file, request->data, size_bytes);
    } else {
        put = pwrite((int)request->file, request->data, size_bytes, (off_t)offset);
    }
    code = errno;
    if (put < 0 && code == cause && !was_waiting) (void)sigtimedwait(&held, NULL, &at_once);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = code;
    return put;
}

static bool try_write(struct posix_disk *disk, struct mr_disk_request *request,
                      const struct open_file *file)
{
    size_t size = request->size_bytes;
    ssize_t put;

    if (file->stream) {
        if (!is_ready(request->file, POLLOUT)) return false;
        if (!file->nonblocking) size = MR_MIN(size, STREAM_WRITE_BYTES);
    }
    do {
        if (file->stream) {
            put = write_without_signal(request, size, MR_OFFSET_APPEND, SIGPIPE, EPIPE);
        } else if (request->file <= MR_FILE_STDERR) {
            put = write_without_signal(request, size, MR_OFFSET_APPEND, SIGXFSZ, EFBIG);
        } else {
            put = write_without_signal(request, size, request->offset, SIGXFSZ, EFBIG);
        }
    } while (put < 0 && errno == EINTR);
    if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (put >= 0) request->done_bytes = (size_t)put;
    finish_or_fail(disk, request, put < 0 ? -1 : 0);
    return true;
}

static bool try_transfer(struct posix_disk *disk, struct mr_disk_request *request)
{
    struct open_file *file = file_of(disk, request);

    if (file == NULL) return true;
    if (request->op == MR_DISK_READ) return try_read(disk, request, file->stream);
    return try_write(disk, request, file);
}

static void do_mkdir(struct posix_disk *disk, struct mr_disk_request *request)
{
    struct stat seen;
    int result = mkdir(request->path, 0777);

    if (result < 0 && errno == EEXIST && stat(request->path, &seen) == 0) {
        if (S_ISDIR(seen.st_mode)) {
            result = 0;
        } else {
            errno = ENOTDIR;
        }
    }
    finish_or_fail(disk, request, result);
}

/* The lock belongs to the open file: it goes with the descriptor, and so with the process. */
static void do_lock(struct posix_disk *disk, struct mr_disk_request *request)
{
    int fd = open(request->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0666);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        bool busy = errno == EWOULDBLOCK;

        if (!busy) fail(disk, request, errno);
        (void)close(fd);
        if (!busy) return;
        request->status = mr_error_set(&request->error, MR_E_BUSY,
                                       "cannot lock %s: another process holds it", request->path);
        request->done = true;
        return;
    }
    keep_open(disk, request, fd);
}

static void do_close(struct posix_disk *disk, struct mr_disk_request *request)
{
    int result;

    forget_file(disk, request->file);
    if (request->file <= MR_FILE_STDERR) { /* not ours to close */
        finish(request);
        return;
    }
    result = close((int)request->file);
    if (result < 0 && errno == EINTR) result = 0; /* on Linux it is closed all the same */
    finish_or_fail(disk, request, result);
}

/* ---- syncs ---- */

static void finish_sync(struct posix_disk *disk, struct mr_disk_request *request, int code)
{
    if (code != 0) {
        fail(disk, request, code);
    } else {
        finish(request);
    }
}

/* Syncs and closes `fd`: by the thread if somebody is woken then, else here. */
static void start_sync(struct posix_disk *disk, struct mr_disk_request *request, int fd,
                       const struct open_file *file)
{
    struct mri_sync sync = {.request = request, .fd = fd, .directory = file == NULL};

    if (file != NULL) {
        sync.file = request->file;
        sync.serial = file->serial;
    }
    if (disk->wakes && disk->syncer == NULL) {
        disk->syncer = mri_syncer_create(disk->heap, &disk->parker, disk->worker);
    }
    if (disk->syncer != NULL && mri_syncer_put(disk->syncer, &sync)) return;
    finish_sync(disk, request, mri_sync_now(fd, sync.directory));
    (void)close(fd);
}

/* The thread gets a descriptor of its own for the same open file: ours may be closed meanwhile, and
 * its number given to another file. */
static void do_sync(struct posix_disk *disk, struct mr_disk_request *request)
{
    struct open_file *file = file_of(disk, request);
    int fd;

    if (file == NULL) return;
    if (disk->skip_syncs || file->sync_code != 0) {
        finish_sync(disk, request, disk->skip_syncs ? 0 : file->sync_code);
        return;
    }
    fd = disk->wakes && !file->stream
             ? fcntl((int)request->file, F_DUPFD_CLOEXEC, (int)MR_FILE_STDERR + 1)
             : -1;
    if (fd < 0) {
        finish_sync(disk, request, mri_sync_now((int)request->file, false));
        return;
    }
    start_sync(disk, request, fd, file);
}

static void do_sync_directory(struct posix_disk *disk, struct mr_disk_request *request)
{
    int fd =
        open(request->path[0] != '\0' ? request->path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        fail(disk, request, errno);
    } else if (disk->skip_syncs) {
        finish(request);
        (void)close(fd);
    } else {
        start_sync(disk, request, fd, NULL);
    }
}

/* What a sync that nobody waits for any more has to tell is kept for the next one of its file. */
static void keep_failure(struct posix_disk *disk, const struct mri_sync *sync)
{
    struct open_file *file = sync->file < disk->file_room ? &disk->files[sync->file] : NULL;

    if (file == NULL || !file->known || file->serial != sync->serial) return;
    if (file->sync_code == 0) file->sync_code = sync->code;
}

/* In the order in which they were asked for: a failure that was kept reaches those behind it. */
static uint32_t take_syncs(struct posix_disk *disk)
{
    struct mri_sync sync;
    uint32_t finished = 0;

    while (disk->syncer != NULL && mri_syncer_take(disk->syncer, &sync)) {
        const struct open_file *file = sync.file < disk->file_room ? &disk->files[sync.file] : NULL;

        if (sync.request == NULL) {
            keep_failure(disk, &sync);
            continue;
        }
        if (sync.code == 0 && file != NULL && file->known && file->serial == sync.serial) {
            sync.code = file->sync_code;
        }
        finish_sync(disk, sync.request, sync.code);
        finished++;
    }
    return finished;
}

/* ---- listing ---- */

static void free_names(struct posix_disk *disk, char **names, uint32_t count, uint32_t room)
{
    for (uint32_t i = 0; i < count; i++) mr_strfree(disk->heap, names[i]);
    mr_free(disk->heap, names, room * sizeof *names);
}

static bool add_name(struct posix_disk *disk, char ***names, uint32_t *count, uint32_t *room,
                     const char *name)
{
    if (*count == *room) {
        uint32_t more = *room == 0 ? 64 : *room * 2;
        char **grown = mr_realloc(disk->heap, *names, *room * sizeof *grown, more * sizeof *grown);

        if (grown == NULL) return false;
        *names = grown;
        *room = more;
    }
    (*names)[*count] = mr_strdup(disk->heap, name);
    if ((*names)[*count] == NULL) return false;
    ++*count;
    return true;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void do_list(struct posix_disk *disk, struct mr_disk_request *request)
{
    DIR *directory = opendir(request->path[0] != '\0' ? request->path : ".");
    char **names = NULL;
    uint32_t count = 0, room = 0;
    char **exact;
    int code = 0;

    if (directory == NULL) {
        fail(disk, request, errno);
        return;
    }
    for (;;) {
        struct dirent *entry;

        errno = 0;
        entry = readdir(directory);
        if (entry == NULL) {
            code = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (!add_name(disk, &names, &count, &room, entry->d_name)) {
            code = ENOMEM;
            break;
        }
    }
    (void)closedir(directory);
    /* One size for names_free to give back: the array is cut to its entries. */
    exact = code == 0 ? mr_alloc(disk->heap, count * sizeof *exact) : NULL;
    if (exact == NULL) {
        free_names(disk, names, count, room);
        fail(disk, request, code != 0 ? code : ENOMEM);
        return;
    }
    if (count > 0) {
        memcpy(exact, names, count * sizeof *exact);
        qsort(exact, count, sizeof *exact, compare_names);
    }
    mr_free(disk->heap, names, room * sizeof *names);
    request->names = exact;
    request->name_count = count;
    finish(request);
}

static void disk_names_free(struct mr_disk *disk, struct mr_disk_request *request)
{
    if (request->names == NULL) return;
    free_names(self_of(disk), request->names, request->name_count, request->name_count);
    request->names = NULL;
    request->name_count = 0;
}

/* ---- the interface ---- */

static void disk_submit(struct mr_disk *interface, struct mr_disk_request *request)
{
    struct posix_disk *disk = self_of(interface);

    request->done = false;
    request->status = MR_OK;
    request->done_bytes = 0;
    request->next = NULL;
    switch (request->op) {
    case MR_DISK_OPEN_READ: do_open_read(disk, request); break;
    case MR_DISK_CREATE:
        keep_open(disk, request,
                  open(request->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
        break;
    case MR_DISK_OPEN_OUTPUT:
        keep_open(disk, request, open(request->path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
        break;
    case MR_DISK_INFO: do_info(disk, request); break;
    case MR_DISK_READ:
    case MR_DISK_WRITE:
        if (!try_transfer(disk, request)) {
            request->next = disk->pending;
            disk->pending = request;
        }
        break;
    case MR_DISK_SYNC: do_sync(disk, request); break;
    case MR_DISK_SYNC_DIRECTORY: do_sync_directory(disk, request); break;
    case MR_DISK_RENAME:
        finish_or_fail(disk, request, rename(request->path, request->path_to));
        break;
    case MR_DISK_UNLINK: finish_or_fail(disk, request, unlink(request->path)); break;
    case MR_DISK_MKDIR: do_mkdir(disk, request); break;
    case MR_DISK_LIST: do_list(disk, request); break;
    case MR_DISK_CLOSE: do_close(disk, request); break;
    case MR_DISK_LOCK: do_lock(disk, request); break;
    }
}

static uint32_t disk_poll(struct mr_disk *interface)
{
    struct posix_disk *disk = self_of(interface);
    struct mr_disk_request **at = &disk->pending;
    uint32_t finished = take_syncs(disk);

    while (*at != NULL) {
        struct mr_disk_request *request = *at;

        if (try_transfer(disk, request)) {
            *at = request->next;
            request->next = NULL;
            finished++;
        } else {
            at = &request->next;
        }
    }
    return finished;
}

static void disk_cancel(struct mr_disk *interface, struct mr_disk_request *request)
{
    struct posix_disk *disk = self_of(interface);

    if (disk->syncer != NULL && mri_syncer_cancel(disk->syncer, request)) return;
    for (struct mr_disk_request **at = &disk->pending; *at != NULL; at = &(*at)->next) {
        if (*at != request) continue;
        *at = request->next;
        request->next = NULL;
        return;
    }
}

struct mr_disk *mri_posix_disk_create(void *self, struct mr_heap *heap)
{
    struct posix_disk *disk = mr_alloc_zero(heap, sizeof *disk);

    (void)self;
    if (disk == NULL) return NULL;
    disk->heap = heap;
    disk->disk = (struct mr_disk){disk_submit, disk_poll, disk_names_free, disk_cancel};
    return &disk->disk;
}

void mri_posix_disk_wakes(struct mr_disk *interface, const struct mr_parker *parker,
                          uint32_t worker)
{
    struct posix_disk *disk = self_of(interface);

    mr_assert(disk->syncer == NULL);
    disk->parker = *parker;
    disk->worker = worker;
    disk->wakes = true;
}

void mri_posix_disk_skip_syncs(struct mr_disk *interface)
{
    self_of(interface)->skip_syncs = true;
}

void mri_posix_disk_destroy(void *self, struct mr_disk *interface)
{
    struct posix_disk *disk;

    (void)self;
    if (interface == NULL) return;
    disk = self_of(interface);
    mr_assert(disk->pending == NULL);
    mri_syncer_destroy(disk->syncer);
    for (uint32_t fd = 0; fd < disk->file_room; fd++) {
        bool ours = disk->files[fd].known && fd > MR_FILE_STDERR;

        forget_file(disk, fd);
        if (ours) (void)close((int)fd);
    }
    mr_free(disk->heap, disk->files, disk->file_room * sizeof *disk->files);
    mr_free(disk->heap, disk, sizeof *disk);
}
