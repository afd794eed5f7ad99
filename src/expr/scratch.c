/* scratch.c - the memory of one evaluator, texts in it, and bitmaps to row numbers. */
#include "expr/expr_internal.h"

#define CHUNK_MIN_BYTES ((size_t)16 * 1024)
#define CHUNK_MAX_BYTES ((size_t)256 * 1024) /* larger requests get a chunk of their own */
#define KEEP_BYTES ((size_t)4 * 1024 * 1024) /* more than this is given back between batches */
#define TEXT_CHUNK_BYTES ((size_t)4096)

struct mri_chunk {
    struct mri_chunk *next;
    size_t size_bytes; /* of the data, which begins at the next multiple of 64 */
};

static size_t chunk_bytes(size_t size_bytes)
{
    return sizeof(struct mri_chunk) + 63 + size_bytes;
}

static char *chunk_data(struct mri_chunk *chunk)
{
    char *at = (char *)(chunk + 1);

    return at + (64 - (uintptr_t)at % 64) % 64;
}

/* A chunk behind the current one, which may have later ones that are too small. */
static struct mri_chunk *add_chunk(struct mri_stack *stack, size_t need)
{
    size_t size = MR_MIN(MR_MAX(CHUNK_MIN_BYTES, stack->total_bytes), CHUNK_MAX_BYTES);
    struct mri_chunk *chunk;

    size = MR_MAX(size, need);
    chunk = mr_alloc(stack->heap, chunk_bytes(size));
    if (chunk == NULL) return NULL;
    *chunk = (struct mri_chunk){.size_bytes = size};
    if (stack->current == NULL) {
        stack->first = chunk;
    } else {
        chunk->next = stack->current->next;
        stack->current->next = chunk;
    }
    stack->total_bytes += size;
    return chunk;
}

void *mri_stack_alloc(struct mri_stack *stack, size_t size_bytes)
{
    size_t need = (MR_MAX(size_bytes, (size_t)1) + 63) & ~(size_t)63;
    struct mri_chunk *chunk = stack->current;
    void *memory;

    if (chunk == NULL || chunk->size_bytes - stack->used_bytes < need) {
        chunk = chunk == NULL ? NULL : chunk->next;
        if (chunk == NULL || chunk->size_bytes < need) chunk = add_chunk(stack, need);
        if (chunk == NULL) return NULL;
        stack->current = chunk;
        stack->used_bytes = 0;
    }
    memory = chunk_data(chunk) + stack->used_bytes;
    stack->used_bytes += need;
    return memory;
}

struct mri_mark mri_stack_mark(const struct mri_stack *stack)
{
    return (struct mri_mark){stack->current, stack->used_bytes};
}

void mri_stack_release(struct mri_stack *stack, struct mri_mark mark)
{
    stack->current = mark.chunk == NULL ? stack->first : mark.chunk;
    stack->used_bytes = mark.chunk == NULL ? 0 : mark.used_bytes;
}

void mri_stack_reset(struct mri_stack *stack)
{
    if (stack->total_bytes > KEEP_BYTES) mri_stack_fini(stack);
    stack->current = stack->first;
    stack->used_bytes = 0;
}

void mri_stack_fini(struct mri_stack *stack)
{
    for (struct mri_chunk *chunk = stack->first; chunk != NULL;) {
        struct mri_chunk *next = chunk->next;

        mr_free(stack->heap, chunk, chunk_bytes(chunk->size_bytes));
        chunk = next;
    }
    *stack = (struct mri_stack){.heap = stack->heap};
}

/* ---- texts ---- */

void mri_writer_init(struct mri_writer *writer, struct mri_run *run)
{
    *writer = (struct mri_writer){.stack = &run->eval->held};
}

static bool add_buffer(struct mri_writer *writer, size_t size_bytes)
{
    size_t size = MR_MAX(size_bytes, TEXT_CHUNK_BYTES << MR_MIN(writer->buffer_count, 4u));

    if (writer->buffer_count == writer->buffer_room) {
        uint32_t room = MR_MAX(8u, 2 * writer->buffer_room);
        const char **buffers = mri_stack_alloc(writer->stack, room * sizeof *buffers);

        if (buffers == NULL) return false;
        if (writer->buffer_count > 0) {
            memcpy(buffers, writer->buffers, writer->buffer_count * sizeof *buffers);
        }
        writer->buffers = buffers;
        writer->buffer_room = room;
    }
    writer->start = mri_stack_alloc(writer->stack, size);
    if (writer->start == NULL) return false;
    writer->at = writer->start;
    writer->end = writer->start + size;
    writer->buffers[writer->buffer_count++] = writer->start;
    return true;
}

char *mri_writer_room(struct mri_writer *writer, size_t size_bytes)
{
    if (writer->failed) return NULL;
    if (writer->at == NULL || (size_t)(writer->end - writer->at) < size_bytes) {
        writer->failed = !add_buffer(writer, size_bytes);
    }
    return writer->failed ? NULL : writer->at;
}

struct mr_view mri_writer_take(struct mri_writer *writer, size_t size_bytes)
{
    struct mr_view view = mr_view_make(writer->at, (uint32_t)size_bytes, writer->buffer_count - 1,
                                       (uint32_t)(writer->at - writer->start));

    mr_assert(size_bytes <= (size_t)(writer->end - writer->at));
    if (size_bytes > MR_VIEW_INLINE) writer->at += size_bytes;
    return view;
}

struct mr_view mri_writer_copy(struct mri_writer *writer, const char *data, size_t size_bytes)
{
    char *room;

    if (size_bytes <= MR_VIEW_INLINE) return mr_view_make(data, (uint32_t)size_bytes, 0, 0);
    room = mri_writer_room(writer, size_bytes);
    if (room == NULL) return (struct mr_view){0};
    memcpy(room, data, size_bytes);
    return mri_writer_take(writer, size_bytes);
}

/* ---- bits ---- */

/* Sparse words: a jump per set bit. Dense ones: every place is written and the end moves by the
 * bit, so that a random pattern costs no mispredicted branch. */
static uint32_t expand_sparse(uint64_t word, uint32_t base, uint32_t *out)
{
    uint32_t ones = 0;

    for (; word != 0; word &= word - 1) out[ones++] = base + (uint32_t)__builtin_ctzll(word);
    return ones;
}

static uint32_t expand_dense(uint64_t word, uint32_t base, uint32_t *out)
{
    uint32_t ones = 0;

    for (uint32_t shift = 0; shift < 64; shift += 8) {
        uint32_t byte = (uint32_t)(word >> shift) & 255;
        uint32_t at = ones;

        for (uint32_t bit = 0; bit < 8; bit++) {
            out[at] = base + shift + bit;
            at += (byte >> bit) & 1;
        }
        ones = at;
    }
    return ones;
}

uint32_t mri_bits_expand(const uint64_t *words, uint32_t count, uint32_t *out)
{
    uint32_t ones = 0;

    for (uint32_t base = 0; base < count; base += 64) {
        uint64_t word = words[base / 64];
        uint32_t limit = MR_MIN(count - base, 64u);

        if (word == UINT64_MAX && limit == 64) {
            for (uint32_t bit = 0; bit < 64; bit++) out[ones + bit] = base + bit;
            ones += 64;
        } else if (limit == 64 && mr_bits_count_word(word) > 12) {
            ones += expand_dense(word, base, out + ones);
        } else if (word != 0) {
            ones += expand_sparse(word & mr_bits_low(limit), base, out + ones);
        }
    }
    return ones;
}
