/* hash.c - see hash.h. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash.h"

#include <string.h>

/* The form in which numbers are hashed is little-endian. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "swap the words before hashing here");

uint64_t mr_hash_bytes(const void *data, size_t size_bytes)
{
    return XXH3_64bits(data, size_bytes);
}

uint64_t mr_hash_int64(int64_t value)
{
    return XXH3_64bits(&value, sizeof value);
}

uint64_t mr_hash_float64(double value)
{
    static const uint64_t one_nan = UINT64_C(0x7ff8000000000000);
    uint64_t bits;

    value = value == 0.0 ? 0.0 : value; /* -0 and 0 are one key */
    memcpy(&bits, &value, sizeof bits);
    if (value != value) bits = one_nan;
    return XXH3_64bits(&bits, sizeof bits);
}

uint64_t mr_hash_int128(mr_i128 value)
{
    return XXH3_64bits(&value, sizeof value);
}

uint64_t mr_hash_combine(uint64_t left, uint64_t right)
{
    uint64_t both[2] = {left, right};

    return XXH3_64bits(both, sizeof both);
}
