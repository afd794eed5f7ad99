/* arena.c - see arena.h. */
#include "base/arena.h"
#include "base/assert.h"

#include <string.h>

#define ALIGN_BYTES     ((size_t)16)
#define CHUNK_MIN_BYTES ((size_t)1024)
#define CHUNK_MAX_BYTES ((size_t)64 * 1024) /* larger requests get a chunk of their own */

/* The data follows at the next multiple of 16. */
struct mr_arena_chunk {
    struct mr_arena_chunk *below;
    size_t size_bytes; /* of the data */
    size_t used_bytes;
    size_t pad;
};

_Static_assert(sizeof(struct mr_arena_chunk) % 16 == 0, "the data behind it must be aligned");

void mr_arena_init(struct mr_arena *arena, struct mr_heap *heap)
{
    *arena = (struct mr_arena){.heap = heap};
}

static char *data_of(struct mr_arena_chunk *chunk)
{
    return (char *)(chunk + 1);
}

static void free_chunk(struct mr_arena *arena, struct mr_arena_chunk *chunk)
{
    mr_free(arena->heap, chunk, sizeof *chunk + chunk->size_bytes);
}

/* Chunks double, so that small arenas stay small and large ones make few calls. */
static bool grow(struct mr_arena *arena, size_t need)
{
    size_t size = arena->top == NULL ? CHUNK_MIN_BYTES - sizeof *arena->top
                                     : 2 * (arena->top->size_bytes + sizeof *arena->top);
    struct mr_arena_chunk *chunk;

    size = MR_MIN(size, CHUNK_MAX_BYTES - sizeof *chunk);
    size = MR_MAX(size, need);
    chunk = mr_alloc(arena->heap, sizeof *chunk + size);
    if (chunk == NULL) return false;
    *chunk = (struct mr_arena_chunk){.below = arena->top, .size_bytes = size};
    arena->top = chunk;
    return true;
}

void *mr_arena_alloc(struct mr_arena *arena, size_t size_bytes)
{
    size_t need;
    void *memory;

    mr_assert(arena->heap != NULL);
    if (size_bytes > SIZE_MAX / 4) return NULL; /* before any arithmetic can overflow */
    need = MR_MAX(size_bytes + (ALIGN_BYTES - 1), ALIGN_BYTES) & ~(ALIGN_BYTES - 1);
    if (arena->top == NULL || arena->top->size_bytes - arena->top->used_bytes < need) {
        if (!grow(arena, need)) return NULL;
    }
    memory = data_of(arena->top) + arena->top->used_bytes;
    arena->top->used_bytes += need;
    arena->used_bytes += need;
    return memory;
}

void *mr_arena_zero(struct mr_arena *arena, size_t size_bytes)
{
    void *memory = mr_arena_alloc(arena, size_bytes);

    if (memory != NULL) memset(memory, 0, size_bytes);
    return memory;
}

char *mr_arena_strdup(struct mr_arena *arena, const char *text)
{
    size_t size_bytes = strlen(text) + 1;
    char *copy = mr_arena_alloc(arena, size_bytes);

    if (copy != NULL) memcpy(copy, text, size_bytes);
    return copy;
}

/* The top chunk is the largest, unless one request was larger than all others. */
void mr_arena_reset(struct mr_arena *arena)
{
    if (arena->top == NULL) return;
    for (struct mr_arena_chunk *chunk = arena->top->below; chunk != NULL;) {
        struct mr_arena_chunk *below = chunk->below;

        free_chunk(arena, chunk);
        chunk = below;
    }
    arena->top->below = NULL;
    arena->top->used_bytes = 0;
    arena->used_bytes = 0;
}

void mr_arena_fini(struct mr_arena *arena)
{
    mr_arena_reset(arena);
    if (arena->top != NULL) free_chunk(arena, arena->top);
    arena->top = NULL;
}
