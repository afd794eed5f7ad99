/* position.c - see position.h. */
#include "connect/position.h"

#include "base/crc.h"
#include "base/status.h"

#define VERSION    1u
#define HEAD_BYTES ((size_t)4)
#define SUM_BYTES  ((size_t)4)

bool mri_position_begin(struct mr_buffer *out, enum mri_position_kind kind, uint16_t flags)
{
    return mr_buffer_put_u32(out, VERSION | (uint32_t)kind << 8 | (uint32_t)flags << 16);
}

bool mri_position_end(struct mr_buffer *out, size_t start)
{
    return mr_buffer_put_u32(out, mr_crc32c(0, out->data + start, out->size_bytes - start));
}

enum mr_status mri_position_corrupt(const char *name, const char *what, struct mr_error *err)
{
    return mr_error_set(
        err, MR_E_CORRUPT,
        "%s: the saved position of its reader is damaged (%s), so the job cannot go "
        "on; start from a savepoint, or anew with --fresh",
        name, what);
}

enum mr_status mri_position_open(struct mr_bytes bytes, enum mri_position_kind kind,
                                 const char *name, uint16_t *out_flags, struct mr_cursor *out_body,
                                 struct mr_error *err)
{
    struct mr_cursor all = {bytes.data, bytes.data + bytes.size_bytes};
    uint32_t head, sum;
    const char *body;

    if (bytes.size_bytes < HEAD_BYTES + SUM_BYTES || !mr_cursor_u32(&all, &head)) {
        return mri_position_corrupt(name, "too short", err);
    }
    if ((head & 0xff) > VERSION) {
        return mr_error_set(
            err, MR_E_UNSUPPORTED,
            "%s: the saved position of its reader has version %u, this program reads "
            "up to version %u; use the program that wrote it or a newer one",
            name, head & 0xff, VERSION);
    }
    if (!mr_cursor_take(&all, bytes.size_bytes - HEAD_BYTES - SUM_BYTES, &body) ||
        !mr_cursor_u32(&all, &sum) ||
        sum != mr_crc32c(0, bytes.data, bytes.size_bytes - SUM_BYTES)) {
        return mri_position_corrupt(name, "its checksum does not match", err);
    }
    if ((head & 0xff) != VERSION || (head >> 8 & 0xff) != (uint32_t)kind) {
        return mri_position_corrupt(name, "it is that of another kind of source", err);
    }
    *out_flags = (uint16_t)(head >> 16);
    *out_body = (struct mr_cursor){body, bytes.data + bytes.size_bytes - SUM_BYTES};
    return MR_OK;
}
