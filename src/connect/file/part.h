/* part.h - the files of an output with epochs: names, and what a snapshot remembers of them.
 *
 * A part is written as `.NAME.mr-<fence>-<sink>-<instance>` beside its final place NAME. The fence
 * tells the attempts of a job apart: nobody ever writes to a file of another fence. A writer's
 * state in a snapshot lists the parts that are complete and wait for their name (*rolled*), and the
 * one it was writing (*current*) with the size and sum of what belongs to the snapshot.
 *
 *     u8  version 1   u8 'F'   u16 format
 *     u32 instance    u64 next number of a part    u64 layout
 *     u32 count, then per rolled part, then u32 0 or 1 and the current part:
 *         u64 fence   u32 instance   u64 size   u32[4] sum   u32 size of name   name
 *     u32 crc32c      of all before
 *
 * All numbers are little-endian; `layout` is a hash of the columns.
 *
 * Owns:    a state owns its parts, and they their names.
 * Thread:  any.
 * Fails:   MR_E_NOMEM; MR_E_CORRUPT for bytes that nobody wrote, MR_E_UNSUPPORTED for newer ones.
 * Cost:    a checksum over some hundred bytes.
 */
#ifndef MR_CONNECT_FILE_PART_H
#define MR_CONNECT_FILE_PART_H

#include "base/text.h"
#include "connect/file/sum.h"
#include "data/rowcodec.h"

struct mri_part {
    char *name;        /* the final one, without directory; NULL: no part */
    uint64_t fence;    /* of the attempt that made the file, and */
    uint32_t instance; /* its writer: the temporary name */
    uint64_t size_bytes;
    struct mri_sum sum;
    /* Of the running writer, not in the state: */
    uint64_t epoch;    /* whose completion a rolled part waits for; 0: not prepared yet */
    uint64_t identity; /* of the file */
    bool renamed;      /* has its final name, which may not be safe yet */
};

struct mri_part_list {
    struct mr_heap *heap;
    struct mri_part *parts;
    uint32_t count;
    uint32_t room;
};

struct mri_writer_state {
    uint32_t instance;
    uint32_t format; /* enum mr_text_format, never AUTO */
    uint64_t layout;
    uint64_t next_number;
    struct mri_part_list rolled;
    struct mri_part current;
};

void mri_part_list_init(struct mri_part_list *list, struct mr_heap *heap);
void mri_part_list_fini(struct mri_part_list *list); /* zeroed is allowed */
/* Copies `part`, its name too. */
bool mri_part_list_add(struct mri_part_list *list, const struct mri_part *part) MR_MUST_USE;
void mri_part_list_remove(struct mri_part_list *list, uint32_t at);

/* "dir/" + ".NAME.mr-7-1-0" */
void mri_part_temporary(struct mr_text *out, const char *directory, const char *name,
                        uint64_t fence, uint32_t sink, uint32_t instance);
/* Takes such a name (without directory) apart; false: it is none, or another sink's.
 * *out_name_bytes: the size of NAME, which begins behind the dot. */
bool mri_part_parse(const char *temporary, uint32_t sink, size_t *out_name_bytes,
                    uint64_t *out_fence, uint32_t *out_instance);

bool mri_writer_state_put(struct mr_buffer *out, const struct mri_writer_state *state) MR_MUST_USE;
/* `name`: of the output, for errors. Ends with fini, on failure too. */
enum mr_status mri_writer_state_take(struct mr_bytes bytes, struct mr_heap *heap, const char *name,
                                     struct mri_writer_state *out,
                                     struct mr_error *err) MR_MUST_USE;
void mri_writer_state_fini(struct mri_writer_state *state);

#endif
