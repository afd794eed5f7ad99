/* byte_pool.c - see byte_pool.h. */
#include "state/byte_pool.h"
#include "base/assert.h"

#include <string.h>

/* Lies in the freed piece itself: no class is smaller. */
struct mri_free_piece {
    struct mri_free_piece *next;
    uint32_t chunk;
    uint32_t offset;
};
_Static_assert(sizeof(struct mri_free_piece) <= 16, "must fit the least class");

#define CHUNK_NONE UINT32_MAX

/* Class of a size up to MRI_PIECE_BYTES_MAX, and the size of a class. */
static uint32_t class_of(size_t size_bytes)
{
    uint32_t last = size_bytes == 0 ? 0 : (uint32_t)size_bytes - 1;
    uint32_t power;

    if (last < 128) return last / 16;
    power = 31 - (uint32_t)__builtin_clz(last);
    return 8 + (power - 7) * 4 + ((last - (UINT32_C(1) << power)) >> (power - 2));
}

static uint32_t class_bytes(uint32_t class)
{
    uint32_t power;

    if (class < 8) return (class + 1) * 16;
    power = 7 + (class - 8) / 4;
    return (UINT32_C(1) << power) + ((class - 8) % 4 + 1) * (UINT32_C(1) << (power - 2));
}

size_t mri_piece_bytes(size_t size_bytes)
{
    if (size_bytes > MRI_PIECE_BYTES_MAX) return (size_bytes + 15) / 16 * 16;
    return class_bytes(class_of(size_bytes));
}

void mri_pool_init(struct mri_pool *pool, struct mr_heap *heap)
{
    *pool = (struct mri_pool){.heap = heap, .free_chunk = CHUNK_NONE, .bump_chunk = CHUNK_NONE};
}

void mri_pool_fini(struct mri_pool *pool)
{
    for (uint32_t i = 0; i < pool->chunk_count; i++) {
        if (pool->chunks[i] != NULL) mr_free(pool->heap, pool->chunks[i], pool->chunk_bytes[i]);
    }
    mr_free(pool->heap, pool->chunks, pool->chunk_room * sizeof *pool->chunks);
    mr_free(pool->heap, pool->chunk_bytes, pool->chunk_room * sizeof *pool->chunk_bytes);
    mri_pool_init(pool, pool->heap);
}

static bool grow_numbers(struct mri_pool *pool)
{
    uint32_t room = pool->chunk_room == 0 ? 4 : pool->chunk_room * 2;
    char **chunks = mr_alloc_array(pool->heap, room, sizeof *chunks);
    size_t *bytes = mr_alloc_array(pool->heap, room, sizeof *bytes);

    if (chunks == NULL || bytes == NULL) {
        mr_free(pool->heap, chunks, room * sizeof *chunks);
        mr_free(pool->heap, bytes, room * sizeof *bytes);
        return false;
    }
    if (pool->chunk_count > 0) {
        memcpy(chunks, pool->chunks, pool->chunk_count * sizeof *chunks);
        memcpy(bytes, pool->chunk_bytes, pool->chunk_count * sizeof *bytes);
    }
    mr_free(pool->heap, pool->chunks, pool->chunk_room * sizeof *chunks);
    mr_free(pool->heap, pool->chunk_bytes, pool->chunk_room * sizeof *bytes);
    pool->chunks = chunks;
    pool->chunk_bytes = bytes;
    pool->chunk_room = room;
    return true;
}

/* A new chunk under the first free number; CHUNK_NONE at the limit. */
static uint32_t add_chunk(struct mri_pool *pool, size_t size_bytes)
{
    uint32_t number = pool->free_chunk;
    char *data;

    if (number == CHUNK_NONE && pool->chunk_count == pool->chunk_room && !grow_numbers(pool)) {
        return CHUNK_NONE;
    }
    data = mr_alloc(pool->heap, size_bytes);
    if (data == NULL) return CHUNK_NONE;
    if (number != CHUNK_NONE) {
        pool->free_chunk = (uint32_t)pool->chunk_bytes[number];
    } else {
        number = pool->chunk_count++;
    }
    pool->chunks[number] = data;
    pool->chunk_bytes[number] = size_bytes;
    return number;
}

static void remove_chunk(struct mri_pool *pool, uint32_t number)
{
    mr_assert(number < pool->chunk_count && pool->chunks[number] != NULL);
    mr_free(pool->heap, pool->chunks[number], pool->chunk_bytes[number]);
    pool->chunks[number] = NULL;
    pool->chunk_bytes[number] = pool->free_chunk;
    pool->free_chunk = number;
}

static struct mri_piece piece_at(const struct mri_pool *pool, uint32_t chunk, uint32_t offset)
{
    return (struct mri_piece){pool->chunks[chunk] + offset, chunk, offset};
}

/* Opens a chunk with room for a piece of the class: each as large as all before it together. */
static bool open_bump(struct mri_pool *pool, uint32_t need)
{
    size_t size = MRI_CHUNK_BYTES_FIRST;
    uint32_t number;

    if (pool->bump_chunk != CHUNK_NONE) size = pool->chunk_bytes[pool->bump_chunk] * 2;
    while (size < need) size *= 2;
    if (size > MRI_CHUNK_BYTES_MAX) size = MRI_CHUNK_BYTES_MAX;
    number = add_chunk(pool, size);
    if (number == CHUNK_NONE) return false;
    pool->bump_chunk = number;
    pool->bump_at = 0;
    return true;
}

static bool take_large(struct mri_pool *pool, size_t size_bytes, struct mri_piece *out)
{
    uint32_t number = add_chunk(pool, mri_piece_bytes(size_bytes));

    if (number == CHUNK_NONE) return false;
    *out = piece_at(pool, number, 0);
    return true;
}

bool mri_pool_take(struct mri_pool *pool, size_t size_bytes, struct mri_piece *out)
{
    uint32_t class;
    uint32_t need;

    if (size_bytes > MRI_PIECE_BYTES_MAX) return take_large(pool, size_bytes, out);
    class = class_of(size_bytes);
    need = class_bytes(class);
    if (pool->free[class] != NULL) {
        struct mri_free_piece *piece = pool->free[class];

        pool->free[class] = piece->next;
        *out = (struct mri_piece){(char *)piece, piece->chunk, piece->offset};
        return true;
    }
    if (pool->bump_chunk == CHUNK_NONE ||
        pool->bump_at + need > pool->chunk_bytes[pool->bump_chunk]) {
        if (!open_bump(pool, need)) return false;
    }
    *out = piece_at(pool, pool->bump_chunk, pool->bump_at);
    pool->bump_at += need;
    return true;
}

void mri_pool_give(struct mri_pool *pool, struct mri_piece piece, size_t size_bytes)
{
    struct mri_free_piece *freed = (struct mri_free_piece *)(void *)piece.data;
    uint32_t class;

    mr_assert(piece.data != NULL);
    if (size_bytes > MRI_PIECE_BYTES_MAX) {
        remove_chunk(pool, piece.chunk);
        return;
    }
    class = class_of(size_bytes);
    *freed = (struct mri_free_piece){pool->free[class], piece.chunk, piece.offset};
    pool->free[class] = freed;
}
