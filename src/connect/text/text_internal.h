/* text_internal.h - a door for tests.
 *
 * Owns:    none.
 * Thread:  before plan.
 * Fails:   none.
 * Cost:    none.
 */
#ifndef MR_CONNECT_TEXT_TEXT_INTERNAL_H
#define MR_CONNECT_TEXT_TEXT_INTERNAL_H

#include "connect/connect.h"

/* Files are cut every so many bytes (default: MR_SPLIT_BYTES). */
void mri_text_source_split_bytes(struct mr_source *source, uint64_t split_bytes);

#endif
