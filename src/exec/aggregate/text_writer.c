/* text_writer.c - see text_writer.h. */
#include "exec/aggregate/text_writer.h"

#define PIECE_BYTES_FIRST 4000u
#define TEXT_BYTES 32u /* a guess */
#define PIECE_BYTES_LAST 130000u

void mri_text_writer_init(struct mri_text_writer *writer, struct mr_batch *batch, uint32_t rows)
{
    uint32_t bytes = MR_MIN(rows, PIECE_BYTES_FIRST / TEXT_BYTES) * TEXT_BYTES;

    *writer = (struct mri_text_writer){.batch = batch, .piece_bytes = bytes};
}

static bool open_piece(struct mri_text_writer *writer, uint32_t size_bytes)
{
    uint32_t bytes = MR_MAX(writer->piece_bytes, size_bytes);

    if (writer->pieces == NULL) {
        writer->pieces = mr_batch_memory(writer->batch, MRI_TEXT_PIECES_MAX * sizeof(char *));
        if (writer->pieces == NULL) return false;
    }
    if (writer->piece_count == MRI_TEXT_PIECES_MAX) return false;
    writer->piece = mr_batch_memory(writer->batch, bytes);
    if (writer->piece == NULL) return false;
    writer->pieces[writer->piece_count++] = writer->piece;
    writer->used_bytes = 0;
    writer->room_bytes = bytes;
    writer->piece_bytes = MR_MIN(writer->piece_bytes * 2, PIECE_BYTES_LAST);
    return true;
}

bool mri_text_writer_long(struct mri_text_writer *writer, const char *data, uint32_t size_bytes,
                          struct mr_view *out)
{
    if (writer->piece == NULL || writer->room_bytes - writer->used_bytes < size_bytes) {
        if (!open_piece(writer, size_bytes)) return false;
    }
    memcpy(writer->piece + writer->used_bytes, data, size_bytes);
    *out = mr_view_make(data, size_bytes, writer->piece_count - 1, writer->used_bytes);
    writer->used_bytes += size_bytes;
    return true;
}

void mri_text_writer_close(const struct mri_text_writer *writer, struct mr_column *column)
{
    column->buffers = writer->pieces;
    column->buffer_count = writer->piece_count;
}
