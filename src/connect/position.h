/* position.h - the envelope of what a source remembers about a split.
 *
 * What `position` of a source writes lies in snapshots and is read by later attempts, maybe of a
 * later version. So every kind of source puts the same envelope around it: a version, whose bytes
 * they are, and a checksum over all of it.
 *
 *     u8  version     1; bytes of a higher one are refused
 *     u8  kind        enum mri_position_kind
 *     u16 flags       the source's own
 *     ... body        the source's own
 *     u32 crc32c      of all before
 *
 * All numbers are little-endian.
 *
 * Owns:    none; bytes go to a caller's buffer.
 * Thread:  any.
 * Fails:   MR_E_NOMEM; MR_E_CORRUPT for bytes that nobody wrote; MR_E_UNSUPPORTED for those of a
 *          newer version. Texts begin with the name of the split.
 * Cost:    a checksum over some hundred bytes.
 */
#ifndef MR_CONNECT_POSITION_H
#define MR_CONNECT_POSITION_H

#include "data/rowcodec.h"

enum mri_position_kind { /* a format: never renumber */
                         MRI_POSITION_TEXT = 1,
                         MRI_POSITION_CSV = 2,
                         MRI_POSITION_GENERATOR = 3,
                         MRI_POSITION_USER = 4,
                         MRI_POSITION_LOG = 5
};

/* The body goes between the two; `start` is the size of `out` before begin. */
bool mri_position_begin(struct mr_buffer *out, enum mri_position_kind kind,
                        uint16_t flags) MR_MUST_USE;
bool mri_position_end(struct mr_buffer *out, size_t start) MR_MUST_USE;
/* Checks the envelope. *out_body: what lies between head and checksum. */
enum mr_status mri_position_open(struct mr_bytes bytes, enum mri_position_kind kind,
                                 const char *name, uint16_t *out_flags, struct mr_cursor *out_body,
                                 struct mr_error *err) MR_MUST_USE;
/* The text of MR_E_CORRUPT, for bodies that make no sense. */
enum mr_status mri_position_corrupt(const char *name, const char *what, struct mr_error *err);

#endif
