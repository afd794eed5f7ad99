/* rowcodec.h - rows and keys as bytes.
 *
 * Two forms. *Key form*: order-preserving, so that memcmp of two encoded keys is the order asked
 * for (ascending or descending, nulls low); used to sort, for top N and for keys of state. *Row
 * form*: compact and self-delimiting, decoded back into columns; used by state, seals and spill.
 * Both are formats: deterministic, no padding, no pointers.
 *
 * Key form per column: one byte (0 null, 1 value; inverted for DESC), then integers big-endian
 * with the sign bit flipped, floats by the usual sign trick (NaN one value above +inf, -0 as 0),
 * decimals as 16 bytes, texts with 0x00 escaped as 0x00 0xff and closed by 0x00 0x00. DESC inverts
 * every byte. Nested types have no key form. Row form per column: one byte null flag, fixed widths
 * little-endian (bool one byte), texts with a varint length, lists and maps a varint count and the
 * elements (of a map: key, value), structs their members.
 *
 * Owns:    none; output goes to a caller's buffer that grows over a heap.
 * Thread:  confined.
 * Fails:   encode: MR_E_NOMEM. decode: MR_E_CORRUPT with what and where; never reads past the end.
 * Cost:    linear in the bytes.
 */
#ifndef MR_DATA_ROWCODEC_H
#define MR_DATA_ROWCODEC_H

#include "data/batch.h"
#include "data/builder.h"

/* A growing byte buffer over a heap. */
struct mr_buffer {
    struct mr_heap *heap;
    char *data;
    size_t size_bytes;
    size_t capacity_bytes;
};
void mr_buffer_init(struct mr_buffer *buffer, struct mr_heap *heap);
void mr_buffer_fini(struct mr_buffer *buffer);
void mr_buffer_clear(struct mr_buffer *buffer); /* keeps the memory */
bool mr_buffer_reserve(struct mr_buffer *buffer, size_t more_bytes) MR_MUST_USE;
bool mr_buffer_put(struct mr_buffer *buffer, const void *data, size_t size_bytes) MR_MUST_USE;
bool mr_buffer_put_varint(struct mr_buffer *buffer, uint64_t value) MR_MUST_USE;
bool mr_buffer_put_u32(struct mr_buffer *buffer, uint32_t value) MR_MUST_USE; /* little endian */
bool mr_buffer_put_u64(struct mr_buffer *buffer, uint64_t value) MR_MUST_USE;

/* Reading side: bounds-checked cursor. Each answers false at the end (a varint also when it is
 * longer than 64 bits need) and then leaves the cursor alone. */
struct mr_cursor {
    const char *at;
    const char *end;
};
bool mr_cursor_take(struct mr_cursor *cursor, size_t size_bytes, const char **out) MR_MUST_USE;
bool mr_cursor_varint(struct mr_cursor *cursor, uint64_t *out) MR_MUST_USE;
bool mr_cursor_u32(struct mr_cursor *cursor, uint32_t *out) MR_MUST_USE;
bool mr_cursor_u64(struct mr_cursor *cursor, uint64_t *out) MR_MUST_USE;

/* Appends element `element` of a column (any encoding) in key form. */
bool mr_key_encode(struct mr_buffer *out, const struct mr_column *column, uint32_t element,
                   bool descending) MR_MUST_USE;
/* Key form back into column `column` of the row that `builder` has begun (ascending only).
 * MR_BUILD_* problems come back through *out_build; then the status is MR_OK, the cursor is where
 * it was, and the row has to be abandoned. */
enum mr_status mr_key_decode(struct mr_cursor *in, const struct mr_field *field,
                             struct mr_builder *builder, uint32_t column, enum mr_build *out_build,
                             struct mr_error *err) MR_MUST_USE;

bool mr_row_encode(struct mr_buffer *out, const struct mr_column *column,
                   uint32_t element) MR_MUST_USE;
enum mr_status mr_row_decode(struct mr_cursor *in, const struct mr_field *field,
                             struct mr_builder *builder, uint32_t column, enum mr_build *out_build,
                             struct mr_error *err) MR_MUST_USE;

#endif
