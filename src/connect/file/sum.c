/* sum.c - see sum.h. */
#include "connect/file/sum.h"

#include "base/crc.h"

#define PIECE_BYTES ((size_t)256)

void mri_sum_add(struct mri_sum *sum, uint64_t offset, const char *data, size_t size_bytes)
{
    while (size_bytes > 0) {
        size_t piece = PIECE_BYTES - (size_t)(offset % PIECE_BYTES);
        uint32_t *lane = &sum->lanes[offset / PIECE_BYTES % MRI_SUM_LANES];

        if (piece > size_bytes) piece = size_bytes;
        *lane = mr_crc32c(*lane, data, piece);
        offset += piece;
        data += piece;
        size_bytes -= piece;
    }
}
