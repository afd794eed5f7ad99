/* memory_disk.h - a disk in memory for tests: files by name, reads as short and as late as one
 * likes.
 *
 * Directories exist by having files below them, or by MKDIR. File number 0 is a stream that gives
 * the bytes of `stdin`, 1 takes those of `stdout`.
 *
 * Owns:    its files and names, from the heap given.
 * Thread:  confined.
 * Fails:   as port/disk.h, and where a test asks for it.
 * Cost:    none that matters.
 */
#ifndef MR_MEMORY_DISK_H
#define MR_MEMORY_DISK_H

#include "port/disk.h"

struct memory_file {
    char *name;
    char *data;
    size_t size_bytes;
    size_t room_bytes;
    bool stream; /* reported as a pipe: reads are in order */
    bool directory;
    size_t stream_at;
    uint64_t identity;
    int64_t modified_us;
    struct memory_file *next;
};

struct memory_disk {
    struct mr_disk disk;
    struct mr_heap *heap;
    struct memory_file *files;
    struct memory_file *open[4096]; /* by number; 0 to 2 are the standard streams */
    size_t read_bytes_max;          /* per request; 0: no limit */
    size_t write_bytes_max;
    uint32_t late_every; /* every n-th read or write is done by a poll only; 0: none */
    size_t space_bytes;  /* writes beyond this many bytes in all give NO_SPACE */
    bool closed_reader;  /* writes give CLOSED */
    size_t stream_pause; /* streams: a read ends at every multiple of this many bytes; 0: never */
    uint32_t transfers;
    size_t written_bytes;
    uint64_t identities;
    struct mr_disk_request *pending;
    uint32_t synced; /* SYNC and SYNC_DIRECTORY requests */
};

void memory_disk_init(struct memory_disk *disk, struct mr_heap *heap);
void memory_disk_fini(struct memory_disk *disk);
/* Makes or replaces a file. */
struct memory_file *memory_disk_put(struct memory_disk *disk, const char *name, const void *data,
                                    size_t size_bytes);
struct memory_file *memory_disk_find(struct memory_disk *disk, const char *name); /* or NULL */

#endif
