/* topic_file.h - one segment read record by record, without blocking and without believing it.
 *
 * A segment may be growing while it is read, may have been cut by a crash, and may go away. So
 * every look has one of six answers, and only RECORD is more than a guess about what comes.
 *
 * Owns:    the open file and a window of it.
 * Thread:  confined to the disk's.
 * Fails:   FAILED with a text; all else is an answer.
 * Cost:    a system call per window.
 */
#ifndef MR_CONNECT_LOG_TOPIC_FILE_H
#define MR_CONNECT_LOG_TOPIC_FILE_H

#include "connect/log/topic_format.h"
#include "port/disk.h"

enum mri_topic_see {
    MRI_SEE_RECORD,
    MRI_SEE_WAIT,    /* the disk is busy: call again after a poll */
    MRI_SEE_END,     /* nothing was written here yet: zeros, or the end of the file */
    MRI_SEE_BAD,     /* something else: damage, or a write that is going on or was torn */
    MRI_SEE_MISSING, /* there is no such file */
    MRI_SEE_FAILED
};

struct mri_topic_file {
    struct mr_heap *heap;
    struct mr_disk *disk;
    char *path;
    uint64_t file_id;
    uint32_t file;
    bool open;
    bool busy;
    bool ended;    /* the last read met the end of the file */
    size_t window; /* bytes asked for at a time */
    char *data;    /* the file from data_offset on */
    size_t size_bytes;
    size_t room_bytes;
    uint64_t data_offset;
    struct mr_disk_request request;
};

void mri_topic_file_init(struct mri_topic_file *file, struct mr_heap *heap, struct mr_disk *disk,
                         size_t window);
void mri_topic_file_fini(struct mri_topic_file *file); /* a zeroed one is allowed */
/* Another file. Takes `path` over; NULL: false, no memory. */
bool mri_topic_file_set(struct mri_topic_file *file, char *path, uint64_t file_id) MR_MUST_USE;
/* Header only: kind and size; no CRC. */
enum mri_topic_see mri_topic_file_peek(struct mri_topic_file *file, uint64_t offset,
                                       struct mri_topic_record *out, struct mr_error *err);
/* The whole record, which borrows until the next call. */
enum mri_topic_see mri_topic_file_get(struct mri_topic_file *file, uint64_t offset,
                                      struct mri_topic_record *out, struct mr_error *err);
/* What was read may be old by now: read again. */
void mri_topic_file_forget(struct mri_topic_file *file);
/* get, polling until there is an answer: for planning and recovery. */
enum mri_topic_see mri_topic_file_wait(struct mri_topic_file *file, uint64_t offset,
                                       struct mri_topic_record *out, struct mr_error *err);
/* The offset of the first good COMMIT at or behind `offset`, with rows beyond `row`: proof that what
 * lies before it was complete once. Polls. */
enum mri_topic_see mri_topic_file_probe(struct mri_topic_file *file, uint64_t offset, uint64_t row,
                                        struct mr_error *err);

#endif
