/* view.h - making views of bytes that lie in a chunk.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none.
 * Cost:    a few cycles, no loop.
 */
#ifndef MR_CONNECT_FILE_VIEW_H
#define MR_CONNECT_FILE_VIEW_H

#include "base/bitset.h"
#include "data/column.h"

/* The same view as mr_view_make(buffer + offset, ...), but reads 12 bytes whatever the size:
 * they must be readable. Little-endian. */
MR_INLINE void mri_view_put(struct mr_view *out, const char *buffer_data, uint32_t offset,
                            uint32_t size_bytes, uint32_t buffer)
{
    const char *data = buffer_data + offset;

    out->size_bytes = size_bytes;
    if (size_bytes <= MR_VIEW_INLINE) {
        uint64_t low, high = 0;

        memcpy(&low, data, 8);
        memcpy(&high, data + 8, 4);
        low &= mr_bits_low(size_bytes >= 8 ? 64 : size_bytes * 8);
        high &= mr_bits_low(size_bytes <= 8 ? 0 : (size_bytes - 8) * 8);
        memcpy(out->u.inlined, &low, 8);
        memcpy(out->u.inlined + 8, &high, 4);
    } else {
        memcpy(out->u.far.prefix, data, 4);
        out->u.far.buffer = buffer;
        out->u.far.offset = offset;
    }
}

#endif
