/* compiler.h - every compiler extension that the code uses, behind one name each.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none.
 * Cost:    none.
 */
#ifndef MR_BASE_COMPILER_H
#define MR_BASE_COMPILER_H

#include <millrace/types.h>

#define MR_LIKELY(x) __builtin_expect(!!(x), 1)
#define MR_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define MR_INLINE static inline __attribute__((always_inline))
#define MR_NOINLINE __attribute__((noinline))
#define MR_COLD __attribute__((cold, noinline))
#define MR_NORETURN __attribute__((noreturn))
#define MR_UNUSED __attribute__((unused))
#define MR_CACHE_LINE 64
#define MR_ALIGNED(n) __attribute__((aligned(n)))
#define MR_VECTOR(bytes) __attribute__((vector_size(bytes))) /* arithmetic on all lanes */
#define MR_PREFETCH(address) __builtin_prefetch((address), 1, 3)
#define MR_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MR_CONTAINER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))
#define MR_MIN(a, b) ((a) < (b) ? (a) : (b))
#define MR_MAX(a, b) ((a) > (b) ? (a) : (b))

__extension__ typedef __int128 mr_i128;
__extension__ typedef unsigned __int128 mr_u128;

#endif
