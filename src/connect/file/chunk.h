/* chunk.h - a window over an input in one block, so that views can point at records without a copy.
 *
 * The chunk holds the bytes [begin, end) that were read and not yet used up. When they do not hold
 * a whole record more is read behind them; where there is no room the unused tail moves to the
 * front, or, if batches still hold the block, into a new one. Bytes that a batch points at are
 * never written again. The reader may have to append behind them in a block that batches hold: they
 * see none of it.
 *
 *     data ... begin ........ end ...... room
 *              unused bytes   |          64 readable bytes more, zero behind `end`
 *
 * Owns:    one reference to its block.
 * Thread:  confined.
 * Fails:   as input.h.
 * Cost:    one read per 256 KiB; a record is copied at most once more.
 */
#ifndef MR_CONNECT_FILE_CHUNK_H
#define MR_CONNECT_FILE_CHUNK_H

#include "connect/file/input.h"
#include "connect/file/sum.h"
#include "data/block.h"

#define MRI_CHUNK_PAD ((uint32_t)64) /* before and behind */
/* Records up to this size are sure to fit a chunk, with their end of line. */
#define MRI_RECORD_BYTES_MAX ((uint32_t)(MR_BLOCK_BYTES_MAX - 256))

struct mri_chunk {
    struct mr_block *block;
    char *data; /* in the block; MRI_CHUNK_PAD readable bytes lie before it */
    uint32_t begin;
    uint32_t end;
    uint32_t room;
    uint64_t base; /* offset in the (decompressed) input of data[0] */
    bool reading;  /* a read into data + end is pending: nothing may move */
    bool input_end;
    bool terminated; /* the last byte is mri_chunk_terminate's */
    bool summing;    /* `sum` is wanted: of all bytes used up, [.., summed) of the input */
    uint64_t summed;
    struct mri_sum sum;
};

enum mri_fill {
    MRI_FILL_MORE,    /* end grew, or input_end was found */
    MRI_FILL_BLOCKED, /* waiting for input or for memory */
    MRI_FILL_FULL     /* the whole room is one record */
};

/* The first byte to read is at `offset` of the input. */
void mri_chunk_init(struct mri_chunk *chunk, uint64_t offset);
void mri_chunk_fini(struct mri_chunk *chunk); /* the input must be ended first */
/* Gives the block back and forgets the bytes in it; nothing may be pending. Reading goes on
 * behind; the sum ends at `begin`. */
void mri_chunk_drop(struct mri_chunk *chunk);
/* Reads on; at most `want_bytes` (> 0). Moves data, begin and end. */
enum mr_status mri_chunk_fill(struct mri_chunk *chunk, struct mri_input *input,
                              struct mr_quota *quota, size_t want_bytes, enum mri_fill *out,
                              struct mr_error *err) MR_MUST_USE;
/* Puts one byte behind the end (there is always room for it) and counts it in. */
void mri_chunk_terminate(struct mri_chunk *chunk, char c);
/* From now on sums up what is used up, bytes from `offset` on; `sum` is that of the bytes before
 * (NULL: none). */
void mri_chunk_sum_from(struct mri_chunk *chunk, uint64_t offset, const struct mri_sum *sum);
/* Brings `sum` up to `begin`. */
void mri_chunk_sum(struct mri_chunk *chunk);
MR_INLINE uint64_t mri_chunk_offset(const struct mri_chunk *chunk, uint32_t at)
{
    return chunk->base + at;
}

#endif
