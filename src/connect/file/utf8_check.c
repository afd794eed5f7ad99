/* utf8_check.c - see utf8_check.h. */
#include "connect/file/utf8_check.h"

#include <string.h>

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* Bytes of the character at `at`, 0 when it is not well formed (the table 3-7 of Unicode). */
static size_t character(const unsigned char *at, size_t left)
{
    unsigned char c = at[0];

    if (c < 0x80) return 1;
    if (c < 0xc2) return 0;
    if (c < 0xe0) return left >= 2 && is_tail(at[1]) ? 2 : 0;
    if (c < 0xf0) {
        if (left < 3 || !is_tail(at[1]) || !is_tail(at[2])) return 0;
        if (c == 0xe0 && at[1] < 0xa0) return 0;
        return c == 0xed && at[1] > 0x9f ? 0 : 3;
    }
    if (c > 0xf4 || left < 4 || !is_tail(at[1]) || !is_tail(at[2]) || !is_tail(at[3])) return 0;
    if (c == 0xf0 && at[1] < 0x90) return 0;
    return c == 0xf4 && at[1] > 0x8f ? 0 : 4;
}

size_t mri_utf8_prefix(const char *data, size_t size_bytes)
{
    const unsigned char *bytes = (const unsigned char *)data;
    size_t at = 0;

    while (at < size_bytes) {
        size_t width;

        while (size_bytes - at >= 8) {
            uint64_t word;

            memcpy(&word, bytes + at, 8);
            if ((word & UINT64_C(0x8080808080808080)) != 0) break;
            at += 8;
        }
        if (at == size_bytes) break;
        width = character(bytes + at, size_bytes - at);
        if (width == 0) break;
        at += width;
    }
    return at;
}
