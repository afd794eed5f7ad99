/* export.c - the result of an evaluation as a column of the target batch.
 *
 * Fixed-width results are computed in place. Columns of the input are shared. Everything else
 * (bits, validity, texts) is copied from scratch, texts into few pieces of the target.
 */
#include "expr/expr_internal.h"

#define PIECE_BYTES_MAX (MR_BLOCK_BYTES_MAX - 128) /* what mr_batch_memory gives in one piece */

static enum mr_status too_large(struct mri_export *export, size_t size_bytes)
{
    return mr_error_set(export->run->err, MR_E_LIMIT,
                        "the result of an expression over a batch of %u rows takes %zu bytes, more "
                        "than the operator may have; use smaller batches or shorter texts",
                        export->run->batch->row_count, size_bytes);
}

/* No memory came: by the quota (try again later), or by the heap? Another thread may give back in
 * between, so look again before the heap is blamed. */
static enum mr_status refused(struct mri_export *export, size_t size_bytes)
{
    if (size_bytes > export->target->quota->limit_bytes) return too_large(export, size_bytes);
    *export->out_blocked = true;
    return MR_OK;
}

static enum mr_status take(struct mri_export *export, size_t size_bytes, void **out)
{
    struct mr_quota *quota = export->target->quota;

    *out = NULL;
    if (size_bytes > PIECE_BYTES_MAX) return too_large(export, size_bytes);
    for (int attempt = 0; attempt < 3; attempt++) {
        *out = mr_batch_memory(export->target, MR_MAX(size_bytes, (size_t)64));
        if (*out != NULL) return MR_OK;
        if (!mr_quota_has(quota, size_bytes)) return refused(export, size_bytes);
    }
    return mri_nomem(export->run, size_bytes);
}

static enum mr_status borrow(struct mri_export *export)
{
    struct mr_batch *target = export->target;
    struct mr_batch *batch = export->run->batch;

    if (target == batch) return MR_OK;
    for (uint32_t i = 0; i < target->base_count; i++) {
        if (target->bases[i] == batch) return MR_OK;
    }
    if (mr_batch_borrow(target, batch)) return MR_OK;
    return mr_error_set(export->run->err, MR_E_LIMIT,
                        "a batch may share the memory of %zu others, and has them already",
                        MR_COUNT(target->bases));
}

enum mr_status mri_export_reserve(struct mri_export *export, const struct mr_expr *root,
                                  uint32_t count, void **out)
{
    *out = NULL;
    if (root->kind == MRI_LITERAL || root->kind == MRI_HIDDEN || root->type == MR_BOOL ||
        mr_type_is_text((enum mr_type)root->type)) {
        return MR_OK;
    }
    return take(export, mri_value_bytes(root->type, count), out);
}

enum mr_status mri_export_column(struct mri_export *export, uint32_t index, struct mr_column *out)
{
    struct mr_batch *batch = export->run->batch;
    const struct mr_column *column = &batch->columns[index];
    uint32_t count = batch->row_count;
    size_t size = mri_value_bytes(column->type, count);
    bool whole = batch->selection == NULL && column->encoding == MR_FLAT;
    bool shares = mr_type_is_text((enum mr_type)column->type) || column->type > MR_INTERVAL;
    bool done;

    mr_assert(index < batch->column_count);
    if (whole || column->encoding == MR_CONST || count == 0) {
        MR_RET(borrow(export));
        *out = *column;
        if (column->encoding == MR_DICT) *out = column->children[0]; /* of no rows */
        return MR_OK;
    }
    if (shares) MR_RET(borrow(export));
    if (size > PIECE_BYTES_MAX) return too_large(export, size);
    for (int attempt = 0; attempt < 3; attempt++) {
        done = batch->selection != NULL
                   ? mr_column_gather(export->target, column, batch->selection, count, out)
                   : mr_column_flatten(export->target, column, count, out);
        if (done) return MR_OK;
        if (!mr_quota_has(export->target->quota, size)) return refused(export, size);
    }
    return mri_nomem(export->run, size);
}

/* ---- texts ---- */

struct packer {
    struct mri_export *export;
    const char **buffers;
    uint32_t buffer_count;
    char *start;
    char *at;
    char *end;
    size_t left_bytes; /* of texts that are not copied yet */
};

static enum mr_status next_piece(struct packer *packer)
{
    size_t size = MR_MIN(packer->left_bytes, PIECE_BYTES_MAX);
    void *memory;

    MR_RET(take(packer->export, size, &memory));
    if (memory == NULL) return MR_OK;
    packer->start = packer->at = memory;
    packer->end = packer->start + size;
    packer->buffers[packer->buffer_count++] = packer->start;
    return MR_OK;
}

/* Far texts in scratch or in the program: the bytes go along. */
static enum mr_status pack_texts(struct packer *packer, const struct mr_column *column,
                                 struct mr_view *views, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t size = views[i].size_bytes;
        const char *data;

        if (size <= MR_VIEW_INLINE) continue;
        data = mr_view_data(column, &views[i]);
        if ((size_t)(packer->end - packer->at) < size) {
            MR_RET(next_piece(packer));
            if (*packer->export->out_blocked) return MR_OK;
        }
        memcpy(packer->at, data, size);
        views[i] = mr_view_make(packer->at, (uint32_t)size, packer->buffer_count - 1,
                                (uint32_t)(packer->at - packer->start));
        packer->at += size;
        packer->left_bytes -= size;
    }
    return MR_OK;
}

static enum mr_status export_texts(struct mri_export *export, const struct mri_value *value,
                                   uint32_t count, struct mr_view *views, struct mr_column *out)
{
    struct packer packer = {.export = export};
    const struct mr_column *column = &value->column;
    size_t total = 0;
    void *memory;

    for (uint32_t i = 0; i < count; i++) {
        if (!mr_column_valid(column, i)) views[i] = (struct mr_view){0};
        if (views[i].size_bytes > MR_VIEW_INLINE) total += views[i].size_bytes;
    }
    if (value->texts_borrowed && total > 0) return borrow(export);
    out->buffers = NULL;
    out->buffer_count = 0;
    if (total == 0) return MR_OK;
    if (total > export->target->quota->limit_bytes) return too_large(export, total);
    packer.left_bytes = total;
    /* Two pieces in a row hold more than one piece's size, else there would be one. */
    MR_RET(take(export, (2 * (total / PIECE_BYTES_MAX) + 2) * sizeof(char *), &memory));
    if (memory == NULL) return MR_OK;
    packer.buffers = memory;
    MR_RET(pack_texts(&packer, column, views, count));
    out->buffers = packer.buffers;
    out->buffer_count = packer.buffer_count;
    return MR_OK;
}

/* ---- values ---- */

static enum mr_status export_validity(struct mri_export *export, const struct mr_column *column,
                                      uint32_t count, struct mr_column *out)
{
    size_t size = mr_bits_words(count) * 8;
    void *memory;

    out->validity = NULL;
    if (column->validity == NULL || mr_bits_all(column->validity, count)) return MR_OK;
    MR_RET(take(export, size, &memory));
    if (memory == NULL) return MR_OK;
    memcpy(memory, column->validity, size);
    ((uint64_t *)memory)[mr_bits_words(count) - 1] &= mr_bits_low((count - 1) % 64 + 1);
    out->validity = memory;
    return MR_OK;
}

enum mr_status mri_export_value(struct mri_export *export, const struct mri_value *value,
                                uint32_t count, const void *dest, struct mr_column *out)
{
    const struct mr_column *column = &value->column;
    uint32_t elements = column->encoding == MR_CONST ? 1 : count;
    size_t size = mri_value_bytes(column->type, elements);
    void *memory = NULL;

    *out = *column;
    if (count == 0) elements = column->encoding == MR_CONST;
    if (value->borrowed) return borrow(export);
    if (column->values != dest || dest == NULL) {
        MR_RET(take(export, size, &memory));
        if (memory == NULL) return MR_OK;
        memcpy(memory, column->values, size);
        out->values = memory;
    }
    if (elements == 0) {
        out->validity = NULL;
        return MR_OK;
    }
    MR_RET(export_validity(export, column, elements, out));
    if (*export->out_blocked || !mr_type_is_text((enum mr_type)column->type)) return MR_OK;
    return export_texts(export, value, elements, memory, out);
}
