/* utf8_check.h - is it UTF-8? (RFC 3629: no surrogates, nothing overlong, nothing above U+10FFFF.)
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none.
 * Cost:    16 bytes per cycle or so for ASCII, about 1 ns per other character.
 */
#ifndef MR_CONNECT_FILE_UTF8_CHECK_H
#define MR_CONNECT_FILE_UTF8_CHECK_H

#include "base/compiler.h"

/* The number of bytes at the beginning that are whole, well-formed characters. */
size_t mri_utf8_prefix(const char *data, size_t size_bytes);
MR_INLINE bool mri_utf8_valid(const char *data, size_t size_bytes)
{
    return mri_utf8_prefix(data, size_bytes) == size_bytes;
}

#endif
