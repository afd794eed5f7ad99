/* text_writer.h - copies texts into the memory of a batch that is being built, column by column.
 *
 * Owns:    none: the bytes are the batch's.
 * Thread:  confined.
 * Fails:   false: the batch's quota has no room; the caller gives the batch up.
 * Cost:    short texts (12 bytes) are a copy of 16 bytes; pieces that double up to 128 KiB for
 *          others.
 */
#ifndef MR_EXEC_AGGREGATE_TEXT_WRITER_H
#define MR_EXEC_AGGREGATE_TEXT_WRITER_H

#include "data/batch.h"

#define MRI_TEXT_PIECES_MAX 24u

struct mri_text_writer {
    struct mr_batch *batch;
    const char **pieces; /* in the batch; NULL: no long text so far */
    uint32_t piece_count;
    uint32_t piece_bytes; /* of the next piece */
    char *piece;          /* the last one */
    uint32_t used_bytes;
    uint32_t room_bytes;
};

/* `rows`: how many texts are expected; small batches get small pieces. */
void mri_text_writer_init(struct mri_text_writer *writer, struct mr_batch *batch, uint32_t rows);
bool mri_text_writer_long(struct mri_text_writer *writer, const char *data, uint32_t size_bytes,
                          struct mr_view *out) MR_MUST_USE;
/* Hands the pieces over to the column. */
void mri_text_writer_close(const struct mri_text_writer *writer, struct mr_column *column);

MR_INLINE bool mri_text_writer_put(struct mri_text_writer *writer, const char *data,
                                   uint32_t size_bytes, struct mr_view *out)
{
    if (size_bytes > MR_VIEW_INLINE) return mri_text_writer_long(writer, data, size_bytes, out);
    *out = mr_view_make(data, size_bytes, 0, 0);
    return true;
}

#endif
