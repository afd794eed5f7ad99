/* decode.c - see decode.h. gzip by ISA-L, zstd by libzstd. */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_customMem: its memory comes from our heap too */
#include "connect/file/decode.h"

#include "base/status.h"

#include <isa-l/igzip_lib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

struct mri_decoder {
    struct mr_heap *heap;
    enum mri_compression compression;
    bool inside; /* of a member or frame: ending here is an error */
    struct inflate_state *inflate;
    ZSTD_DCtx *zstd;
};

/* ---- memory for zstd: it frees without a size, so the size is kept before the memory ---- */

#define SIZE_HEAD_BYTES ((size_t)16)

static void *zstd_alloc(void *heap, size_t size_bytes)
{
    char *memory = mr_alloc(heap, size_bytes + SIZE_HEAD_BYTES);

    if (memory == NULL) return NULL;
    memcpy(memory, &size_bytes, sizeof size_bytes);
    return memory + SIZE_HEAD_BYTES;
}

static void zstd_free(void *heap, void *memory)
{
    size_t size_bytes;

    if (memory == NULL) return;
    memory = (char *)memory - SIZE_HEAD_BYTES;
    memcpy(&size_bytes, memory, sizeof size_bytes);
    mr_free(heap, memory, size_bytes + SIZE_HEAD_BYTES);
}

/* ---- life ---- */

static bool make_state(struct mri_decoder *decoder)
{
    if (decoder->compression == MRI_ZSTD) {
        decoder->zstd =
            ZSTD_createDCtx_advanced((ZSTD_customMem){zstd_alloc, zstd_free, decoder->heap});
        return decoder->zstd != NULL;
    }
    decoder->inflate = mr_alloc_zero(decoder->heap, sizeof *decoder->inflate);
    if (decoder->inflate == NULL) return false;
    isal_inflate_init(decoder->inflate);
    decoder->inflate->crc_flag = ISAL_GZIP;
    return true;
}

enum mr_status mri_decoder_create(struct mr_heap *heap, enum mri_compression compression,
                                  struct mri_decoder **out, struct mr_error *err)
{
    struct mri_decoder *decoder = mr_alloc_zero(heap, sizeof *decoder);

    if (decoder == NULL) return mr_error_nomem(err, "decompression", sizeof *decoder);
    decoder->heap = heap;
    decoder->compression = compression;
    if (!make_state(decoder)) {
        mri_decoder_destroy(decoder);
        return mr_error_nomem(err, "decompression", sizeof *decoder->inflate);
    }
    *out = decoder;
    return MR_OK;
}

void mri_decoder_destroy(struct mri_decoder *decoder)
{
    if (decoder == NULL) return;
    if (decoder->zstd != NULL) (void)ZSTD_freeDCtx(decoder->zstd);
    mr_free(decoder->heap, decoder->inflate, sizeof *decoder->inflate);
    mr_free(decoder->heap, decoder, sizeof *decoder);
}

static enum mr_status ends_early(struct mr_error *err)
{
    return mr_error_set(err, MR_E_RECORD,
                        "the compressed data ends early: the file was not completely written or "
                        "copied");
}

/* ---- gzip ---- */

static const char *inflate_words(int code)
{
    switch (code) {
    case ISAL_INVALID_WRAPPER: return "the header of a gzip member is damaged";
    case ISAL_INCORRECT_CHECKSUM: return "the checksum does not match";
    case ISAL_UNSUPPORTED_METHOD: return "the compression method is not deflate";
    default: return "the compressed data is damaged";
    }
}

/* Between two members: zeros (padding of tapes and blocks) end the data, another member goes on. */
static enum mr_status gzip_between(struct mri_decoder *decoder, struct mr_bytes *in,
                                   struct mr_error *err)
{
    if (in->data[0] == '\0') {
        while (in->size_bytes > 0 && in->data[0] == '\0') {
            in->data++;
            in->size_bytes--;
        }
        if (in->size_bytes == 0) return MR_OK;
    }
    if ((unsigned char)in->data[0] != 0x1f) {
        return mr_error_set(err, MR_E_RECORD,
                            "behind the end of the gzip data are bytes that are no gzip data");
    }
    isal_inflate_reset(decoder->inflate);
    decoder->inflate->crc_flag = ISAL_GZIP;
    decoder->inside = true;
    return MR_OK;
}

static enum mr_status run_gzip(struct mri_decoder *decoder, struct mr_bytes *in, char **out,
                               size_t *room_bytes, struct mr_error *err)
{
    struct inflate_state *state = decoder->inflate;
    int code;

    if (!decoder->inside) {
        MR_RET(gzip_between(decoder, in, err));
        if (in->size_bytes == 0) return MR_OK;
    }
    /* ISA-L does not write through next_in; it is only declared without const. */
    state->next_in = (uint8_t *)(uintptr_t)in->data;
    state->avail_in = (uint32_t)in->size_bytes;
    state->next_out = (uint8_t *)*out;
    state->avail_out = (uint32_t)*room_bytes;
    code = isal_inflate(state);
    if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT) {
        return mr_error_set(err, MR_E_RECORD, "%s", inflate_words(code));
    }
    in->data = (const char *)state->next_in;
    in->size_bytes = state->avail_in;
    *out = (char *)state->next_out;
    *room_bytes = state->avail_out;
    if (state->block_state == ISAL_BLOCK_FINISH) decoder->inside = false;
    return MR_OK;
}

/* ---- zstd ---- */

static enum mr_status run_zstd(struct mri_decoder *decoder, struct mr_bytes *in, char **out,
                               size_t *room_bytes, struct mr_error *err)
{
    ZSTD_inBuffer from = {in->data, in->size_bytes, 0};
    ZSTD_outBuffer to = {*out, *room_bytes, 0};
    size_t result = ZSTD_decompressStream(decoder->zstd, &to, &from);

    if (ZSTD_isError(result)) {
        if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation) {
            return mr_error_nomem(err, "zstd decompression", 0);
        }
        return mr_error_set(err, MR_E_RECORD, "the zstd data is damaged: %s",
                            ZSTD_getErrorName(result));
    }
    decoder->inside = result != 0;
    in->data += from.pos;
    in->size_bytes -= from.pos;
    *out += to.pos;
    *room_bytes -= to.pos;
    return MR_OK;
}

enum mr_status mri_decoder_run(struct mri_decoder *decoder, struct mr_bytes *in, bool last,
                               char **out, size_t *room_bytes, struct mr_error *err)
{
    for (;;) {
        size_t room_before = *room_bytes;
        size_t in_before = in->size_bytes;

        if (*room_bytes == 0) return MR_OK;
        if (in->size_bytes == 0 && !decoder->inside) return MR_OK;
        if (decoder->compression == MRI_ZSTD) {
            MR_RET(run_zstd(decoder, in, out, room_bytes, err));
        } else {
            MR_RET(run_gzip(decoder, in, out, room_bytes, err));
        }
        /* No input was taken and no output given: only more input can help. */
        if (*room_bytes != room_before || in->size_bytes != in_before) continue;
        if (last && decoder->inside) return ends_early(err);
        return MR_OK;
    }
}
