/* parts.h - output files with epochs: two-phase commit by names.
 *
 * A writer appends to one file at a time under its temporary name (part.h). `prepare`, at a
 * barrier, makes safe on the device what there is, and remembers size and sum. There, and only
 * there, a part is complete when it is large or old enough or the input has ended: it is closed,
 * and gets its final name when the epoch of that barrier is complete. A single file is complete at
 * the end only.
 *
 * `recover`, before the writers of an attempt are opened, gives the names that are still due, and
 * copies what the last complete epoch has of unfinished files into files of its own fence, where
 * the writers go on; what no writer of this attempt goes on with is a part as it is, which the
 * first writer commits with its next epoch. Nothing is ever
 * appended to a file of another attempt, whose process may only be asleep. Then it removes the
 * files of earlier fences.
 *
 * Owns:    a place its names and what recover found; a writer its file and list.
 * Thread:  the place: one thread until writers are opened, then read only. Writers confined.
 * Fails:   MR_E_LOST, naming the file, when committed bytes are gone; MR_E_CHANGED when a final
 *          name is taken by somebody else; MR_E_INVALID for a first attempt whose output exists.
 *          After a failed write or sync every call fails: the pages may be marked clean (never
 *          tried again).
 * Cost:    an fsync per epoch with rows; a rename and a sync of the directory per part; recover
 *          copies what is unfinished: up to roll_bytes per writer, a single file whole.
 *
 * Invariants:
 *  (1) a final name appears whole, by rename, and is never written to or replaced.
 *  (2) bytes under final names belong to complete epochs, and each row is in one file.
 *  (3) a file of a lower fence is never written to; it is renamed only when it was complete and
 *      closed.
 *  (4) a part leaves the state when its name is safe on the device.
 */
#ifndef MR_CONNECT_FILE_PARTS_H
#define MR_CONNECT_FILE_PARTS_H

#include "base/time.h"
#include "connect/file/output.h"
#include "connect/file/part.h"
#include "connect/sink.h"

struct mri_place {
    struct mr_heap *heap;
    char *directory; /* with its slash; "": the working directory */
    char *file;      /* final name of a single file; NULL: parts */
    const char *extension;
    uint32_t sink;
    uint32_t format;
    uint64_t roll_bytes;
    int64_t roll_us;
    /* From recover: */
    uint64_t layout;
    uint64_t first_number;   /* no part of an earlier attempt has this number or a higher one */
    struct mri_part *resume; /* per writer: its copied file; name NULL: none */
    uint32_t resume_count;
    struct mri_part_list
        adopted; /* parts that no writer goes on with: the first one commits them */
};

/* `path` ending in a slash: a directory of parts. The rest is the caller's to fill. */
enum mr_status mri_place_init(struct mri_place *place, struct mr_heap *heap, const char *path,
                              struct mr_error *err) MR_MUST_USE;
void mri_place_fini(struct mri_place *place); /* zeroed is allowed */
/* As sink_ops.recover. `layout`: a hash of the columns. */
enum mr_status mri_place_recover(struct mri_place *place, const struct mr_recover_context *context,
                                 uint64_t layout, struct mr_error *err) MR_MUST_USE;

struct mri_step {
    struct mr_disk_request request;
    bool pending;
};

enum mri_parts_open { MRI_PARTS_CLOSED, MRI_PARTS_REMOVING, MRI_PARTS_OPENING, MRI_PARTS_OPEN };
enum mri_parts_settle { MRI_SETTLE_NO, MRI_SETTLE_BYTES, MRI_SETTLE_NAME, MRI_SETTLE_CLOSE };
enum mri_parts_commit {
    MRI_COMMIT_NO,
    MRI_COMMIT_OURS,
    MRI_COMMIT_FREE,
    MRI_COMMIT_RENAME,
    MRI_COMMIT_DIRECTORY
};

struct mri_parts {
    const struct mri_place *place;
    struct mr_heap *heap;
    struct mr_disk *disk;
    const struct mr_ptime *now;
    uint64_t fence;
    uint32_t instance;

    struct mri_output output; /* of the current part; its buffer `fill` is there always */
    struct mri_part current;  /* name NULL: none */
    struct mr_text temporary; /* name of the current part's file */
    struct mr_text directory; /* without its slash */
    enum mri_parts_open open;
    bool resumed;          /* the current part was begun by an earlier attempt */
    uint64_t copied_bytes; /* of the current part: written by that one */
    bool name_unsafe;      /* the directory has not been synced since the file was made */
    int64_t started_us;    /* of the current part */
    uint64_t next_number;
    uint64_t earlier_bytes; /* written to parts that are complete */
    bool ended;

    enum mri_parts_settle settle;
    bool rolling; /* decided for the settling under way */
    struct mri_step step;

    struct mri_part_list rolled;

    enum mri_parts_commit commit;
    struct mri_step commit_step;
    struct mr_text commit_from;
    struct mr_text commit_to;

    enum mr_status failed; /* sticky */
};

/* Opens no file yet. Ends with close, on failure too. */
enum mr_status mri_parts_init(struct mri_parts *parts, const struct mri_place *place,
                              const struct mr_writer_context *context,
                              struct mr_error *err) MR_MUST_USE;
/* Before rows are appended to output.fill: opens a file if there is none. Repeat while blocked.
 * *out_head: it is a new one, which wants a head. */
enum mr_status mri_parts_ready(struct mri_parts *parts, bool *out_blocked, bool *out_head,
                               struct mr_error *err) MR_MUST_USE;
enum mr_status mri_parts_push(struct mri_parts *parts, bool all, bool *out_blocked,
                              struct mr_error *err) MR_MUST_USE;
/* No rows come any more: the current part is complete. Repeat while blocked. */
enum mr_status mri_parts_finish(struct mri_parts *parts, bool *out_blocked,
                                struct mr_error *err) MR_MUST_USE;
/* True when this writer must make a file even without rows, so that there is one. */
bool mri_parts_needs_file(const struct mri_parts *parts);
/* As sink_ops: prepare, commit_epoch, commit, bytes, close. */
enum mr_status mri_parts_prepare(struct mri_parts *parts, uint64_t epoch, struct mr_buffer *out,
                                 bool *out_blocked, struct mr_error *err) MR_MUST_USE;
enum mr_status mri_parts_commit_epoch(struct mri_parts *parts, uint64_t epoch, bool *out_blocked,
                                      struct mr_error *err) MR_MUST_USE;
enum mr_status mri_parts_commit(struct mri_parts *parts, struct mr_error *err) MR_MUST_USE;
uint64_t mri_parts_bytes(const struct mri_parts *parts);
void mri_parts_close(struct mri_parts *parts); /* zeroed is allowed */

/* ---- shared with parts_recover.c ---- */

/* What an earlier recover has found. */
void mri_place_forget(struct mri_place *place);
/* "dir/" -> "dir", "" -> "." */
void mri_place_directory(const struct mri_place *place, struct mr_text *out);
/* Makes the empty file that says: this output is all there will be. */
enum mr_status mri_place_success(const struct mri_place *place, struct mr_disk *disk,
                                 struct mr_error *err) MR_MUST_USE;

#endif
