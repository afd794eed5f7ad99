/* byte_pool.h - many small pieces of bytes out of few chunks. Internal to the state module.
 *
 * Sizes are rounded up to classes (multiples of 16 up to 128, then four steps per doubling); pieces
 * that are given back wait in a list per class. A piece can be named by pointer or by (chunk,
 * offset): the second form is what far views of keys need. Pieces above MRI_PIECE_BYTES_MAX are
 * chunks of their own.
 *
 * Owns:    its chunks, all given back by fini.
 * Thread:  confined.
 * Fails:   take answers false at the heap's limit; nothing has changed then.
 * Cost:    O(1); a chunk is taken from the heap once per 1 to 64 KiB.
 */
#ifndef MR_STATE_BYTE_POOL_H
#define MR_STATE_BYTE_POOL_H

#include "base/heap.h"

#define MRI_PIECE_CLASSES     36
#define MRI_PIECE_BYTES_MAX   16384u
#define MRI_CHUNK_BYTES_FIRST 1024u
#define MRI_CHUNK_BYTES_MAX   65536u

struct mri_piece {
    char *data; /* 16-byte aligned */
    uint32_t chunk;
    uint32_t offset;
};

struct mri_free_piece;

struct mri_pool {
    struct mr_heap *heap;
    char **chunks;       /* NULL: a number that is free */
    size_t *chunk_bytes; /* of a free number: the next free one */
    uint32_t chunk_count;
    uint32_t chunk_room;
    uint32_t free_chunk; /* first free number, UINT32_MAX: none */
    uint32_t bump_chunk; /* small pieces are cut from here, UINT32_MAX: no chunk yet */
    uint32_t bump_at;
    struct mri_free_piece *free[MRI_PIECE_CLASSES];
};

void mri_pool_init(struct mri_pool *pool, struct mr_heap *heap);
void mri_pool_fini(struct mri_pool *pool); /* with all pieces */
bool mri_pool_take(struct mri_pool *pool, size_t size_bytes, struct mri_piece *out) MR_MUST_USE;
/* The size must be one of the same class as it was taken with. Pieces up to MRI_PIECE_BYTES_MAX of
 * a pool whose user never looks at chunk and offset may be given back with both 0. */
void mri_pool_give(struct mri_pool *pool, struct mri_piece piece, size_t size_bytes);
/* The usable size of a piece that is taken with `size_bytes`. */
size_t mri_piece_bytes(size_t size_bytes);

#endif
