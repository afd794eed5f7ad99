/* text.h - a text that grows: for explain, error lists, JSON of counters. Not for data.
 *
 * Appending never fails visibly: when memory runs out or the limit is reached, the builder keeps
 * what fits and remembers it. Callers append freely and ask once, at the end.
 *
 * Owns:    its buffer, taken from a heap.
 * Thread:  confined.
 * Fails:   mr_text_status answers MR_E_NOMEM (heap) or MR_E_LIMIT (limit_bytes) once text was lost.
 * Cost:    amortised constant per byte.
 */
#ifndef MR_BASE_TEXT_H
#define MR_BASE_TEXT_H

#include "base/heap.h"

struct mr_text {
    struct mr_heap *heap;
    char *data; /* NULL until the first byte; use mr_text_get */
    size_t size_bytes;
    size_t room_bytes;
    size_t limit_bytes;
    enum mr_status status;
};

/* limit_bytes 0: no limit but the heap's. */
void mr_text_init(struct mr_text *text, struct mr_heap *heap, size_t limit_bytes);
void mr_text_fini(struct mr_text *text);  /* a zeroed text is allowed */
void mr_text_clear(struct mr_text *text); /* keeps the buffer, forgets a failure */

void mr_text_add(struct mr_text *text, const char *string);
void mr_text_add_bytes(struct mr_text *text, const void *data, size_t size_bytes);
void mr_text_add_char(struct mr_text *text, char c);
void mr_text_add_repeat(struct mr_text *text, char c, size_t count); /* indentation */
void mr_text_add_int(struct mr_text *text, int64_t value);
void mr_text_add_uint(struct mr_text *text, uint64_t value);
void mr_text_format(struct mr_text *text, const char *format, ...) MR_PRINTF(2, 3);
/* With quotes, escapes for quotes, backslash and control characters: valid JSON for valid UTF-8. */
void mr_text_add_quoted(struct mr_text *text, const char *string, size_t size_bytes);

/* Terminated; valid until the next call that appends. Never NULL. */
const char *mr_text_get(const struct mr_text *text);
enum mr_status mr_text_status(const struct mr_text *text) MR_MUST_USE;

#endif
