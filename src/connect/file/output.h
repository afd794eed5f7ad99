/* output.h - bytes to one place: a file that appears whole or not at all, or a stream.
 *
 * A file is written under the name `.NAME.mr-tmp-<sink>-<instance>` beside its final place.
 * `finish` writes and syncs all of it, `commit` renames it (which replaces what had that name),
 * `abort` removes it. The name is the same in every run, so that what a killed job left behind
 * goes with the next one. Standard output, pipes and devices are written to directly.
 *
 * With epochs (parts.h) the caller chooses the temporary name, `sync` makes safe what there is so
 * far, and the file stays when the output is closed: the next attempt decides about it.
 *
 * The caller appends to `fill` and then calls push; bytes are handed to the disk 64 KiB or more at
 * a time while the next ones are being made.
 *
 * Owns:    both buffers, the file, the temporary file until commit.
 * Thread:  confined.
 * Fails:   MR_E_CLOSED, MR_E_NO_SPACE, ... with the final path and the bytes written so far.
 * Cost:    one copy, one system call per 64 KiB.
 */
#ifndef MR_CONNECT_FILE_OUTPUT_H
#define MR_CONNECT_FILE_OUTPUT_H

#include "connect/file/sum.h"
#include "data/rowcodec.h"
#include "port/disk.h"

#define MRI_OUTPUT_BYTES ((size_t)64 * 1024)

struct mri_output {
    struct mr_heap *heap;
    struct mr_disk *disk;
    char *path;            /* NULL: standard output */
    char *temporary;       /* NULL: written directly */
    uint32_t number;       /* MR_FILE_NONE: not open */
    struct mr_buffer fill; /* the caller's */
    struct mr_buffer busy; /* being written */
    size_t busy_done;
    struct mr_disk_request request;
    bool pending;
    bool synced;
    bool committed;
    bool kept;              /* closing leaves the file; writes say where they go */
    uint64_t written_bytes; /* where the next byte goes */
    uint64_t synced_bytes;  /* kept: safe on the device */
    struct mri_sum sum;     /* kept: over all that was written */
};

#define MRI_OUTPUT_LETTERS 0u /* the number of the dead letters; sinks count from 1 */

/* `path` NULL: standard output. `sink`: its number in the job. Ends with mri_output_close, on
 * failure too. */
enum mr_status mri_output_open(struct mri_output *output, struct mr_heap *heap,
                               struct mr_disk *disk, const char *path, uint32_t sink,
                               uint32_t instance, struct mr_error *err) MR_MUST_USE;
/* For a file that the caller opens itself (`number` of it is given later) and that stays when the
 * output is closed. `path` is for errors. */
enum mr_status mri_output_init_kept(struct mri_output *output, struct mr_heap *heap,
                                    struct mr_disk *disk, const char *path,
                                    struct mr_error *err) MR_MUST_USE;
/* Kept files: pushes all and syncs. Repeat while blocked. */
enum mr_status mri_output_sync(struct mri_output *output, bool *out_blocked,
                               struct mr_error *err) MR_MUST_USE;
/* True while an earlier push waits for the disk: do not append more. */
bool mri_output_blocked(struct mri_output *output);
/* Hands bytes on; with `all` even a few. *out_blocked: some wait for the disk. */
enum mr_status mri_output_push(struct mri_output *output, bool all, bool *out_blocked,
                               struct mr_error *err) MR_MUST_USE;
/* Pushes all and syncs. Repeat while blocked. */
enum mr_status mri_output_finish(struct mri_output *output, bool *out_blocked,
                                 struct mr_error *err) MR_MUST_USE;
enum mr_status mri_output_commit(struct mri_output *output, struct mr_error *err) MR_MUST_USE;
/* Without commit the temporary file is removed. A zeroed output is allowed. */
void mri_output_close(struct mri_output *output);

#endif
