/* resume.c - see resume.h. The body of a position, all u64 but for the sum:
 *
 *     begin, size of the split, offset, row, line, size of the file, identity, modified_us,
 *     u32 x 4 sum
 */
#include "connect/file/resume.h"

#include "base/assert.h"
#include "base/status.h"

#define STEP_BYTES ((uint64_t)1024 * 1024)
#define NUMBERS    8u

/* ---- bytes ---- */

static bool put_body(const struct mri_resume *resume, const struct mri_position *position,
                     struct mr_buffer *out)
{
    const uint64_t numbers[NUMBERS] = {
        position->begin,    resume->split->size_bytes,
        position->offset,   position->row,
        position->line,     resume->file->size_bytes,
        position->identity, (uint64_t)position->modified_us,
    };

    for (uint32_t i = 0; i < NUMBERS; i++) {
        if (!mr_buffer_put_u64(out, numbers[i])) return false;
    }
    for (uint32_t i = 0; i < MRI_SUM_LANES; i++) {
        if (!mr_buffer_put_u32(out, position->sum.lanes[i])) return false;
    }
    return true;
}

static enum mr_status put(const struct mri_resume *resume, const struct mri_position *position,
                          struct mr_buffer *out, struct mr_error *err)
{
    size_t start = out->size_bytes;

    if (mri_position_begin(out, resume->kind, position->flags) && put_body(resume, position, out) &&
        mri_position_end(out, start)) {
        return MR_OK;
    }
    out->size_bytes = start;
    return mr_error_nomem(err, "the position of a reader", NUMBERS * sizeof(uint64_t));
}

static bool get_body(struct mr_cursor *in, struct mri_position *position, uint64_t *out_split_size,
                     uint64_t *out_file_size)
{
    uint64_t numbers[NUMBERS];

    for (uint32_t i = 0; i < NUMBERS; i++) {
        if (!mr_cursor_u64(in, &numbers[i])) return false;
    }
    for (uint32_t i = 0; i < MRI_SUM_LANES; i++) {
        if (!mr_cursor_u32(in, &position->sum.lanes[i])) return false;
    }
    position->begin = numbers[0];
    *out_split_size = numbers[1];
    position->offset = numbers[2];
    position->row = numbers[3];
    position->line = numbers[4];
    *out_file_size = numbers[5];
    position->identity = numbers[6];
    position->modified_us = (int64_t)numbers[7];
    return in->at == in->end;
}

/* ---- is it the same file? ---- */

static enum mr_status changed(const struct mri_resume *resume, struct mr_error *err,
                              const char *how)
{
    return mr_error_set(
        err, MR_E_CHANGED,
        "%s %s since the job read it; bring the old file back to go on where the job "
        "stopped, or start anew with --fresh",
        resume->file->path, how);
}

static enum mr_status check_size(const struct mri_resume *resume, uint64_t size,
                                 struct mr_error *err)
{
    uint64_t now = resume->file->size_bytes;

    if (now == size) return MR_OK;
    return mr_error_set(
        err, MR_E_CHANGED,
        "%s had %llu bytes when the job read it and has %llu now; bring the old file "
        "back to go on where the job stopped, or start anew with --fresh",
        resume->file->path, (unsigned long long)size, (unsigned long long)now);
}

/* *out_doubt: the bytes that were read have to be compared. */
static enum mr_status check_file(const struct mri_resume *resume, bool *out_doubt,
                                 struct mr_error *err)
{
    const struct mri_file *file = resume->file;
    bool identity = file->identity == resume->from.identity;
    bool modified = file->modified_us == resume->from.modified_us;

    if (!identity && !modified) return changed(resume, err, "was replaced by another file");
    *out_doubt = !identity || !modified;
    return MR_OK;
}

static enum mr_status get(struct mri_resume *resume, struct mr_bytes bytes, bool *out_doubt,
                          struct mr_error *err)
{
    const struct mri_file *file = resume->file;
    struct mri_position *from = &resume->from;
    uint64_t split_size, file_size;
    struct mr_cursor body;

    MR_RET(mri_position_open(bytes, resume->kind, file->path, &from->flags, &body, err));
    if (!get_body(&body, from, &split_size, &file_size)) {
        return mri_position_corrupt(file->path, "it has another size", err);
    }
    MR_RET(check_size(resume, file_size, err));
    if (from->begin != resume->begin || split_size != resume->split->size_bytes) {
        return changed(resume, err, "is cut into other pieces than it was");
    }
    if (from->offset < from->begin ||
        (file->compression == MRI_PLAIN && from->offset > file->size_bytes)) {
        return mri_position_corrupt(file->path, "it lies outside of the file", err);
    }
    return check_file(resume, out_doubt, err);
}

/* ---- going on ---- */

enum mr_status mri_resume_init(struct mri_resume *resume, enum mri_position_kind kind,
                               const struct mri_file *file, const struct mr_split *split,
                               uint64_t begin, const struct mr_reader_context *context,
                               struct mri_input *input, struct mri_chunk *chunk,
                               struct mr_error *err)
{
    bool plain = !file->stream && file->compression == MRI_PLAIN;
    bool doubt = false;
    uint64_t at = begin;

    *resume = (struct mri_resume){.kind = kind, .file = file, .split = split, .begin = begin};
    if (context->resume.data == NULL) {
        if (begin > 0) mri_input_seek(input, begin);
        mri_chunk_init(chunk, begin);
        if (context->positions) mri_chunk_sum_from(chunk, begin, &resume->from.sum);
        return MR_OK;
    }
    if (file->stream) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "%s cannot be read again from where an earlier attempt stopped",
                            file->path);
    }
    MR_RET(get(resume, context->resume, &doubt, err));
    resume->active = resume->from.offset > begin && (doubt || !plain);
    if (!resume->active) at = resume->from.offset;
    if (at > 0) mri_input_seek(input, at);
    mri_chunk_init(chunk, at);
    if (resume->active) {
        mri_chunk_sum_from(chunk, at, NULL);
    } else if (context->positions) {
        mri_chunk_sum_from(chunk, at, &resume->from.sum);
    }
    return MR_OK;
}

/* All that was read before is summed up. */
static enum mr_status arrive(struct mri_resume *resume, struct mri_chunk *chunk,
                             struct mr_error *err)
{
    mri_chunk_drop(chunk);
    if (!mri_sum_equal(&chunk->sum, &resume->from.sum)) {
        return changed(resume, err, "was changed in the part that was read");
    }
    resume->active = false;
    return MR_OK;
}

enum mr_status mri_resume_step(struct mri_resume *resume, struct mri_input *input,
                               struct mri_chunk *chunk, struct mr_quota *quota,
                               enum mr_source_flow *out_flow, struct mr_error *err)
{
    uint64_t first = mri_chunk_offset(chunk, chunk->end);
    uint64_t at = first;

    *out_flow = MR_SOURCE_MORE;
    while (at < resume->from.offset && at - first < STEP_BYTES) {
        uint64_t want = MR_MIN(resume->from.offset - at, (uint64_t)MR_BLOCK_BYTES_MAX);
        enum mri_fill fill;

        MR_RET(mri_chunk_fill(chunk, input, quota, (size_t)want, &fill, err));
        mr_assert(fill != MRI_FILL_FULL); /* nothing is kept in the chunk */
        if (fill == MRI_FILL_BLOCKED) {
            *out_flow = MR_SOURCE_BLOCKED;
            return MR_OK;
        }
        chunk->begin = chunk->end;
        at = mri_chunk_offset(chunk, chunk->end);
        if (chunk->input_end && at < resume->from.offset) {
            return changed(resume, err, "holds fewer bytes than it did");
        }
    }
    return at == resume->from.offset ? arrive(resume, chunk, err) : MR_OK;
}

enum mr_status mri_resume_put(const struct mri_resume *resume, struct mri_chunk *chunk, bool fresh,
                              uint16_t flags, uint64_t row, uint64_t line, struct mr_buffer *out,
                              struct mr_error *err)
{
    struct mri_position position = {
        .flags = flags,
        .begin = resume->begin,
        .offset = resume->begin,
        .row = row,
        .line = line,
        .identity = resume->file->identity,
        .modified_us = resume->file->modified_us,
    };

    if (resume->file->stream) {
        return mr_error_set(
            err, MR_E_UNSUPPORTED,
            "%s cannot be read again after a failure; use --guarantee at-most-once, "
            "or write the input to a file first",
            resume->file->path);
    }
    /* Until the bytes before were compared nothing else is known than what was written then. */
    if (resume->active) return put(resume, &resume->from, out, err);
    if (!fresh) {
        mri_chunk_sum(chunk);
        position.offset = chunk->summed;
        position.sum = chunk->sum;
    }
    return put(resume, &position, out, err);
}
