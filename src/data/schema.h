/* schema.h - the names and types of the columns of a stream. Immutable once made.
 *
 * Owns:    copies of all names and fields, in one allocation each from the heap it was made with.
 * Thread:  immutable; shared by reference count (atomic).
 * Fails:   create refuses empty or repeated names, unknown types, decimals out of range, more than
 *          MR_COLUMNS_MAX columns or MR_NESTING_MAX levels, each with the name in the message.
 * Cost:    lookup by name is linear in the number of columns; use it when plans are built only.
 */
#ifndef MR_DATA_SCHEMA_H
#define MR_DATA_SCHEMA_H

#include "base/heap.h"
#include "base/text.h"

#define MR_COLUMNS_MAX 4096u
#define MR_NESTING_MAX 32u
#define MR_COLUMN_NONE UINT32_MAX

struct mr_schema {
    struct mr_heap *heap;
    _Atomic uint32_t references;
    uint32_t column_count;
    const struct mr_field *fields; /* column_count; deep copies */
};

enum mr_status mr_schema_create(struct mr_heap *heap, const struct mr_field *fields, uint32_t count,
                                struct mr_schema **out, struct mr_error *err) MR_MUST_USE;
struct mr_schema *mr_schema_ref(struct mr_schema *schema);
void mr_schema_release(struct mr_schema *schema); /* NULL allowed */

uint32_t mr_schema_find(const struct mr_schema *schema, const char *name); /* or MR_COLUMN_NONE */
/* Same names, types, precision, scale and children in the same order; nullability is ignored. */
bool mr_schema_equal(const struct mr_schema *left, const struct mr_schema *right);
bool mr_field_type_equal(const struct mr_field *left, const struct mr_field *right);
/* "origin utf8, flights int64 not null, price decimal(12,2)" */
void mr_schema_print(const struct mr_schema *schema, struct mr_text *out);
void mr_field_type_print(const struct mr_field *field, struct mr_text *out);
/* The name in the schema that is nearest to a mistyped one, or NULL when none is near. */
const char *mr_schema_suggest(const struct mr_schema *schema, const char *name);

#endif
