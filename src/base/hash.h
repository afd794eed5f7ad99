/* hash.h - the one hash of the house, and the key group it decides.
 *
 * XXH3-64 over the canonical form of a key. It is part of the format: state, exchange and files
 * agree on it. Integers are hashed as 8 little-endian bytes, -0 as 0, every NaN as one NaN,
 * decimals as 16 bytes at the key's scale, text as its bytes, NULL as a fixed word, composites as
 * the hash of their members' hashes (members folded left to right).
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none.
 * Cost:    about 2 ns for 8 bytes.
 */
#ifndef MR_BASE_HASH_H
#define MR_BASE_HASH_H

#include "base/compiler.h"

#define MR_HASH_NULL UINT64_C(0x9ae16a3b2f90404f)
#define MR_KEY_GROUPS_DEFAULT 1024u

uint64_t mr_hash_bytes(const void *data, size_t size_bytes);
uint64_t mr_hash_int64(int64_t value);
uint64_t mr_hash_float64(double value);
uint64_t mr_hash_int128(mr_i128 value);
uint64_t mr_hash_combine(uint64_t left, uint64_t right); /* order matters */

/* group = (hash x count) >> 64 */
MR_INLINE uint32_t mr_key_group(uint64_t hash, uint32_t group_count)
{
    return (uint32_t)(((mr_u128)hash * group_count) >> 64);
}

/* Which of `instance_count` instances owns a key group: equal ranges in group order. */
MR_INLINE uint32_t mr_group_instance(uint32_t group, uint32_t group_count, uint32_t instance_count)
{
    return (uint32_t)((uint64_t)group * instance_count / group_count);
}

#endif
