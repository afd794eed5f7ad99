/* status.h - filling and passing on errors.
 *
 * A call that can fail returns enum mr_status and takes a caller-owned struct mr_error (NULL
 * allowed) as its last argument. The first text wins where a failure is reported at several levels:
 * outer levels add context with mr_error_context.
 *
 * Owns:    none.
 * Thread:  any; an error belongs to one thread at a time.
 * Fails:   none; long texts are cut, never overrun.
 * Cost:    cold paths only.
 */
#ifndef MR_BASE_STATUS_H
#define MR_BASE_STATUS_H

#include "base/compiler.h"

/* Sets status and text, and returns the status, so that `return mr_error_set(...)` reads well. */
enum mr_status mr_error_set(struct mr_error *err, enum mr_status status, const char *format, ...)
    MR_PRINTF(3, 4);
/* Puts "context: " before the text that is already there. */
void mr_error_context(struct mr_error *err, const char *format, ...) MR_PRINTF(2, 3);
void mr_error_clear(struct mr_error *err);

/* "the operator 'x' ran out of memory" and what to do about it. */
enum mr_status mr_error_nomem(struct mr_error *err, const char *what, size_t wanted_bytes);

enum mr_status_class mr_status_class(enum mr_status status);
const char *mr_status_name(enum mr_status status);
const char *mr_status_text(enum mr_status status);

/* For functions with nothing to release. */
#define MR_RET(expression)                                 \
    do {                                                   \
        enum mr_status mr_ret_status = (expression);       \
        if (MR_UNLIKELY(mr_ret_status)) return mr_ret_status; \
    } while (0)

/* For functions with one `done:` label and a local `enum mr_status st`. */
#define MR_GOTO(expression)              \
    do {                                 \
        st = (expression);               \
        if (MR_UNLIKELY(st)) goto done;  \
    } while (0)

#endif
