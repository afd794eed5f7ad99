/* input.h - the bytes of one file in order: opened, checked against the plan, decompressed.
 *
 * Reading never blocks: where the disk is not ready the answer is BLOCKED, and the same call with
 * the same memory is to be made again.
 *
 * Owns:    the open file, the decompression state and its buffer.
 * Thread:  confined.
 * Fails:   MR_E_CHANGED when the file is not the planned one or became shorter; MR_E_RECORD for
 *          damaged compression; what the disk says. Texts begin with the path.
 * Cost:    one system call per read.
 */
#ifndef MR_CONNECT_FILE_INPUT_H
#define MR_CONNECT_FILE_INPUT_H

#include "connect/file/decode.h"

enum mri_flow { MRI_MORE, MRI_BLOCKED, MRI_DONE };

struct mri_input {
    struct mr_heap *heap;
    struct mr_disk *disk;
    const struct mri_file *file;
    struct mr_disk_request request;
    bool pending;         /* the request was submitted and not yet seen to be done */
    uint32_t number;      /* MR_FILE_NONE: not open yet */
    uint64_t next_offset; /* of the next read, in the file */
    bool end;             /* no bytes follow in the file */
    enum mri_compression compression;
    struct mri_decoder *decoder;
    char *raw;            /* compressed bytes, or the first ones of a stream */
    struct mr_bytes rest; /* of raw: not used yet */
};

void mri_input_init(struct mri_input *input, struct mr_heap *heap, struct mr_disk *disk,
                    const struct mri_file *file);
void mri_input_fini(struct mri_input *input); /* cancels what is pending; a zeroed one is allowed */
/* The next read starts at `offset`; plain regular files only, with nothing pending. */
void mri_input_seek(struct mri_input *input, uint64_t offset);
/* Up to room_bytes (> 0) bytes; DONE: the end, no bytes. BLOCKED: call again with the same
 * memory. */
enum mr_status mri_input_read(struct mri_input *input, char *into, size_t room_bytes,
                              size_t *out_bytes, enum mri_flow *out_flow,
                              struct mr_error *err) MR_MUST_USE;
/* Bytes taken from the file so far. */
uint64_t mri_input_raw_bytes(const struct mri_input *input);

#endif
