/* decode.h - streaming decompression: gzip (any number of members) and zstd (any number of frames).
 *
 * Owns:    the state of the library, taken from the heap.
 * Thread:  confined.
 * Fails:   MR_E_RECORD for damaged or shortened data, MR_E_NOMEM; texts without the file's name.
 * Cost:    about 0.5-1 GB/s of output.
 */
#ifndef MR_CONNECT_FILE_DECODE_H
#define MR_CONNECT_FILE_DECODE_H

#include "connect/file/files.h"

struct mri_decoder;

enum mr_status mri_decoder_create(struct mr_heap *heap, enum mri_compression compression,
                                  struct mri_decoder **out, struct mr_error *err) MR_MUST_USE;
void mri_decoder_destroy(struct mri_decoder *decoder); /* NULL allowed */
/* Takes bytes from *in and puts bytes to *out, moving both on; goes on until either is used up.
 * With `last` no bytes follow *in: an end in mid-member is an error, and when *in is used up and
 * nothing was put out, the data is over. */
enum mr_status mri_decoder_run(struct mri_decoder *decoder, struct mr_bytes *in, bool last,
                               char **out, size_t *room_bytes, struct mr_error *err) MR_MUST_USE;

#endif
