/* disk.h - files and streams: submit and poll, no verb that blocks.
 *
 * A request is owned by its caller and lives until it is done. `submit` starts it, `poll` moves
 * things on; when request->done is true, status, error and results are valid. The plain posix
 * implementation finishes requests on regular files inside submit (the page cache answers in
 * microseconds) and those on pipes, terminals and sockets when they are ready; syncs of a disk that
 * wakes its worker (port.h) by its thread. The file of a sync under way may be written to, and closed
 * after cancel.
 *
 * Reads and writes may be short: done_bytes says how many; 0 bytes read is the end of the file.
 * Regular files are read with positions, never mapped, so that a file that shrinks gives a short
 * read and no signal.
 *
 * Owns:    open files until closed; never the caller's buffers.
 * Thread:  confined to the worker that created it. File numbers are valid for that disk only,
 *          except MR_FILE_STDIN and MR_FILE_STDOUT.
 * Fails:   status: NOT_FOUND, ACCESS, NO_SPACE, CLOSED (EPIPE), IO; error text names path and cause
 *          in words.
 * Cost:    one system call per request.
 */
#ifndef MR_PORT_DISK_H
#define MR_PORT_DISK_H

#include "port/port.h"

enum mr_disk_op {
    MR_DISK_OPEN_READ,      /* path -> file, info */
    MR_DISK_CREATE,         /* path, exclusively: fails if it exists -> file */
    MR_DISK_OPEN_OUTPUT,    /* an existing pipe or device, to write -> file */
    MR_DISK_INFO,           /* path or file -> info */
    MR_DISK_READ,           /* file, offset (ignored by streams), data, size_bytes -> done_bytes */
    MR_DISK_WRITE,          /* file, offset or MR_OFFSET_APPEND, data, size_bytes -> done_bytes */
    MR_DISK_SYNC,           /* file: data and size reach the device */
    MR_DISK_SYNC_DIRECTORY, /* path of a directory */
    MR_DISK_RENAME,         /* path, path_to */
    MR_DISK_UNLINK,         /* path */
    MR_DISK_MKDIR,          /* path; existing is fine */
    MR_DISK_LIST,           /* path -> list of names, sorted by bytes */
    MR_DISK_CLOSE,          /* file */
    MR_DISK_LOCK            /* path -> file: opened to read and write, made if missing, and ours alone
                             * until it is closed or this process ends; MR_E_BUSY: another has it */
};

#define MR_FILE_STDIN    0u
#define MR_FILE_STDOUT   1u
#define MR_FILE_STDERR   2u
#define MR_FILE_NONE     UINT32_MAX
#define MR_OFFSET_APPEND UINT64_MAX

enum mr_file_kind { MR_FILE_REGULAR, MR_FILE_DIRECTORY, MR_FILE_STREAM, MR_FILE_TERMINAL };

struct mr_file_info {
    enum mr_file_kind kind; /* of what a link leads to */
    bool link;              /* INFO of a path, also if it leads nowhere: a symbolic link */
    uint64_t size_bytes;
    uint64_t identity; /* device and inode folded: the same file has the same number */
    int64_t modified_us;
};

struct mr_disk_request {
    enum mr_disk_op op;
    uint32_t file;
    const char *path;
    const char *path_to;
    uint64_t offset;
    void *data; /* for WRITE the bytes are only read */
    size_t size_bytes;

    bool done;
    enum mr_status status;
    struct mr_error error;
    size_t done_bytes;
    struct mr_file_info info;
    char **names; /* LIST: name_count entries, freed by mr_disk_names_free */
    uint32_t name_count;
    struct mr_disk_request *next; /* the disk's, while pending */
};

struct mr_disk {
    void (*submit)(struct mr_disk *disk, struct mr_disk_request *request);
    /* Moves pending requests on; returns how many finished. */
    uint32_t (*poll)(struct mr_disk *disk);
    void (*names_free)(struct mr_disk *disk, struct mr_disk_request *request);
    /* Forgets a pending request (a reader is closed early). */
    void (*cancel)(struct mr_disk *disk, struct mr_disk_request *request);
};

/* Submit and poll until done: for planning, closing and tests, never inside a worker turn. */
enum mr_status mr_disk_do(struct mr_disk *disk, struct mr_disk_request *request,
                          struct mr_error *err) MR_MUST_USE;

#endif
