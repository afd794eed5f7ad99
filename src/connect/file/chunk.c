/* chunk.c - see chunk.h. */
#include "connect/file/chunk.h"

#include "base/assert.h"
#include "base/status.h"

#include <string.h>

/* A block with less room than this left gets no further read when it cannot be moved. */
#define STREAM_BYTES   ((size_t)64 * 1024)
#define READ_BYTES_MIN ((uint32_t)16 * 1024)
/* One byte of the room is kept for mri_chunk_terminate. */
#define OVERHEAD_BYTES (2 * MRI_CHUNK_PAD + 1)

_Static_assert(MRI_RECORD_BYTES_MAX + 2 + OVERHEAD_BYTES + 64 <= MR_BLOCK_BYTES_MAX,
               "a record of the largest size, its end of line and the paddings fit a block");

void mri_chunk_init(struct mri_chunk *chunk, uint64_t offset)
{
    memset(chunk, 0, sizeof *chunk);
    chunk->base = offset;
}

void mri_chunk_fini(struct mri_chunk *chunk)
{
    mr_block_release(chunk->block);
    memset(chunk, 0, sizeof *chunk);
}

void mri_chunk_drop(struct mri_chunk *chunk)
{
    uint64_t offset = mri_chunk_offset(chunk, chunk->end);
    struct mri_chunk kept;

    mr_assert(!chunk->reading);
    mri_chunk_sum(chunk);
    kept = *chunk;
    mri_chunk_fini(chunk);
    mri_chunk_init(chunk, offset);
    chunk->summing = kept.summing;
    chunk->summed = kept.summed;
    chunk->sum = kept.sum;
}

void mri_chunk_sum_from(struct mri_chunk *chunk, uint64_t offset, const struct mri_sum *sum)
{
    chunk->summing = true;
    chunk->summed = offset;
    chunk->sum = sum != NULL ? *sum : (struct mri_sum){{0}};
}

void mri_chunk_sum(struct mri_chunk *chunk)
{
    uint32_t end = MR_MIN(chunk->begin, chunk->end - chunk->terminated);
    uint64_t target = mri_chunk_offset(chunk, end);
    size_t bytes;

    if (!chunk->summing || chunk->block == NULL) return;
    /* A chunk may stand before what is summed up: looking for the state at a split's border. */
    if (target <= chunk->summed) return;
    bytes = (size_t)(target - chunk->summed);
    mr_assert(bytes <= end); /* no byte was left out */
    mri_sum_add(&chunk->sum, chunk->summed, chunk->data + end - bytes, bytes);
    chunk->summed = target;
}

static void pad(struct mri_chunk *chunk)
{
    memset(chunk->data + chunk->end, 0, MRI_CHUNK_PAD);
}

void mri_chunk_terminate(struct mri_chunk *chunk, char c)
{
    chunk->data[chunk->end++] = c;
    chunk->terminated = true;
    pad(chunk);
}

/* A quota that is smaller than a few large blocks gets smaller chunks, so that a reader and the
 * batches that it makes fit into it. Streams give little at a time, and there may be many. */
static size_t usual_bytes(const struct mr_quota *quota, bool stream)
{
    size_t bytes = stream ? STREAM_BYTES : MR_BLOCK_BYTES_MAX;

    while (bytes > MR_BLOCK_BYTES_MIN * 2 && bytes > quota->limit_bytes / 4) bytes /= 2;
    return bytes - sizeof(struct mr_block);
}

static size_t wanted_bytes(const struct mri_chunk *chunk, const struct mr_quota *quota, bool stream)
{
    uint32_t kept = chunk->end - chunk->begin;
    size_t bytes = usual_bytes(quota, stream);

    /* A record that fills three quarters of a usual block gets a large one. */
    if (kept + kept / 4 + OVERHEAD_BYTES > bytes) {
        bytes = MR_BLOCK_BYTES_MAX - sizeof(struct mr_block);
    }
    return bytes;
}

static void move_to(struct mri_chunk *chunk, struct mr_block *block)
{
    char *data = block->data + MRI_CHUNK_PAD;
    uint32_t kept = chunk->end - chunk->begin;

    mri_chunk_sum(chunk); /* what lies before `begin` is lost */
    if (kept > 0) memmove(data, chunk->data + chunk->begin, kept);
    if (block != chunk->block) {
        memset(block->data, 0, MRI_CHUNK_PAD);
        mr_block_release(chunk->block);
    }
    chunk->block = block;
    chunk->data = data;
    chunk->base += chunk->begin;
    chunk->begin = 0;
    chunk->end = kept;
    chunk->room = block->capacity_bytes - OVERHEAD_BYTES;
}

static bool is_shared(const struct mri_chunk *chunk)
{
    /* acquire: with the last reader's release, so that its reads come before our writes */
    return atomic_load_explicit(&chunk->block->references, memory_order_acquire) > 1;
}

static bool is_largest(const struct mri_chunk *chunk)
{
    return chunk->block->capacity_bytes + sizeof(struct mr_block) >= MR_BLOCK_BYTES_MAX;
}

/* Room behind `end` in the block that is there. MRI_FILL_BLOCKED: it takes another block. */
static enum mri_fill room_in_place(struct mri_chunk *chunk)
{
    if (chunk->block == NULL) return MRI_FILL_BLOCKED;
    if (is_shared(chunk)) {
        bool enough = chunk->room - chunk->end >= READ_BYTES_MIN;

        return enough ? MRI_FILL_MORE : MRI_FILL_BLOCKED;
    }
    if (chunk->begin > 0) move_to(chunk, chunk->block);
    if (chunk->end < chunk->room) return MRI_FILL_MORE;
    return is_largest(chunk) ? MRI_FILL_FULL : MRI_FILL_BLOCKED;
}

/* Makes room behind `end`. */
static enum mr_status make_room(struct mri_chunk *chunk, struct mr_quota *quota, bool stream,
                                enum mri_fill *out, struct mr_error *err)
{
    size_t bytes, own;
    struct mr_block *block;

    *out = room_in_place(chunk);
    if (*out != MRI_FILL_BLOCKED) return MR_OK;
    bytes = wanted_bytes(chunk, quota, stream);
    own = chunk->block != NULL ? mr_block_class_bytes(chunk->block->size_class) : 0;
    block = mr_block_new(quota, bytes);
    if (block != NULL) {
        move_to(chunk, block);
        *out = MRI_FILL_MORE;
    } else if (own + bytes > quota->limit_bytes) { /* waiting would not help */
        return mr_error_set(
            err, MR_E_LIMIT,
            "a record of more than %u bytes does not fit the %zu bytes of memory of "
            "its reader; give the job more --memory",
            chunk->end - chunk->begin, quota->limit_bytes);
    }
    return MR_OK;
}

enum mr_status mri_chunk_fill(struct mri_chunk *chunk, struct mri_input *input,
                              struct mr_quota *quota, size_t want_bytes, enum mri_fill *out,
                              struct mr_error *err)
{
    enum mri_flow flow;
    size_t got;
    size_t room;

    mr_assert(want_bytes > 0);
    if (!chunk->reading) {
        MR_RET(make_room(chunk, quota, input->file->stream, out, err));
        if (*out != MRI_FILL_MORE) return MR_OK;
    }
    *out = MRI_FILL_BLOCKED;
    room = MR_MIN((size_t)(chunk->room - chunk->end), want_bytes);
    MR_RET(mri_input_read(input, chunk->data + chunk->end, room, &got, &flow, err));
    chunk->reading = flow == MRI_BLOCKED;
    if (chunk->reading) return MR_OK;
    chunk->end += (uint32_t)got;
    chunk->input_end = flow == MRI_DONE;
    pad(chunk);
    *out = MRI_FILL_MORE;
    return MR_OK;
}
