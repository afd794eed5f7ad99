/* resume.h - where the reader of a file stands, and going on there in a later attempt.
 *
 * A position names the first record not yet given by its offset in the decompressed input, and
 * carries what tells that the file is still the same: size, identity, time of the last change, and
 * a sum over all bytes of the split before the offset.
 *
 *     identity and time as before          the bytes before are not read again
 *     one of them another                  they are read again and must give the same sum: the file
 *                                          was touched, or its disk got another number
 *     both another, or another size        the file was replaced or changed: refused
 *
 * Of compressed files all before the offset is decompressed again anyway, so the sum is always
 * compared. What goes unnoticed: a change of bytes that were read before, if identity, size and
 * time stay as they were (a program that sets the time back); and a change of bytes that were not
 * read yet, in place and of the same size - they are read as they are now.
 *
 * Owns:    none.
 * Thread:  confined to the reader.
 * Fails:   MR_E_CHANGED with the path and what is another; MR_E_CORRUPT, MR_E_UNSUPPORTED as
 *          position.h; MR_E_UNSUPPORTED for streams.
 * Cost:    put: summing up what was taken from the chunk since the last read, 15 us at most. Going
 *          on: nothing, or reading what was read before once more.
 */
#ifndef MR_CONNECT_FILE_RESUME_H
#define MR_CONNECT_FILE_RESUME_H

#include "connect/file/chunk.h"
#include "connect/position.h"
#include "connect/source.h"

struct mri_position {
    uint16_t flags;     /* the reader's own */
    uint64_t begin;     /* the reader's first byte: the sum begins here */
    uint64_t offset;    /* decompressed: of the first record not yet given */
    uint64_t row;       /* its number in the split */
    uint64_t line;      /* its line; 0: not known */
    struct mri_sum sum; /* over [begin, offset) */
    uint64_t identity;
    int64_t modified_us;
};

struct mri_resume {
    enum mri_position_kind kind;
    const struct mri_file *file;
    const struct mr_split *split;
    uint64_t begin;
    bool active;              /* bytes before `from.offset` are being read again */
    struct mri_position from; /* where it goes on */
};

/* Prepares reading: input and chunk are initialised; `begin` is the offset of the reader's first
 * byte without a position. With one the position is in resume->from, and chunk and input stand
 * there, or resume->active says that mri_resume_step has to come first. */
enum mr_status mri_resume_init(struct mri_resume *resume, enum mri_position_kind kind,
                               const struct mri_file *file, const struct mr_split *split,
                               uint64_t begin, const struct mr_reader_context *context,
                               struct mri_input *input, struct mri_chunk *chunk,
                               struct mr_error *err) MR_MUST_USE;
/* A bounded amount of reading; afterwards resume->active tells whether more is needed. When it is
 * over the chunk is empty and stands at from.offset. */
enum mr_status mri_resume_step(struct mri_resume *resume, struct mri_input *input,
                               struct mri_chunk *chunk, struct mr_quota *quota,
                               enum mr_source_flow *out_flow, struct mr_error *err) MR_MUST_USE;
/* Appends a position: the one that reading goes on from while resume->active; else flags, row and
 * line as given and, unless `fresh`, offset and sum of what was taken from the chunk. `fresh`: not
 * a record was looked at yet, reading will begin at the reader's first byte. */
enum mr_status mri_resume_put(const struct mri_resume *resume, struct mri_chunk *chunk, bool fresh,
                              uint16_t flags, uint64_t row, uint64_t line, struct mr_buffer *out,
                              struct mr_error *err) MR_MUST_USE;

#endif
