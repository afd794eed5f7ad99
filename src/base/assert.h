/* assert.h - what only a bug can break stops the process, in release too.
 *
 * mr_assert is for facts that cost next to nothing to check and is always on. mr_assert_slow is on
 * in debug builds only. What a user, a disk or a network can break is a status, never an assertion.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   mr_panic does not return; its definition belongs to the program's edge (port/posix).
 * Cost:    one predictable branch.
 */
#ifndef MR_BASE_ASSERT_H
#define MR_BASE_ASSERT_H

#include "base/compiler.h"

MR_NORETURN void mr_panic(const char *file, int line, const char *what);

#define mr_assert(condition) \
    ((void)(MR_LIKELY(condition) ? (void)0 : mr_panic(__FILE__, __LINE__, #condition)))

#ifdef NDEBUG
#define mr_assert_slow(condition) ((void)sizeof((condition) ? 1 : 0))
#else
#define mr_assert_slow(condition) mr_assert(condition)
#endif

#define MR_UNREACHABLE() mr_panic(__FILE__, __LINE__, "this line cannot be reached")

#endif
