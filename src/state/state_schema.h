/* state_schema.h - what keys and values of a snapshot are, as the snapshot itself says it.
 *
 * An operator seals schemas as operator values: "schema:" is its key, "schema:NAME" one of its
 * states (docs/reference/formats.md). Tools collect them on their way through a snapshot; what
 * nobody described stays bytes.
 *
 * Owns:    copies of all it was given.
 * Thread:  confined.
 * Fails:   MR_E_NOMEM. A schema that cannot be read, or of a later version, is as if it were not
 *          there: tools show bytes then.
 * Cost:    a lookup goes through all schemas, but begins at the last one found.
 */
#ifndef MR_STATE_STATE_SCHEMA_H
#define MR_STATE_STATE_SCHEMA_H

#include "base/arena.h"
#include "state/store.h"
#include <millrace/types.h>

#define MRI_SCHEMA_PREFIX       "schema:"
#define MRI_SCHEMA_PREFIX_BYTES (sizeof MRI_SCHEMA_PREFIX - 1)

struct mri_state_schema {
    struct mri_state_schema *next;
    const char *operator_id;
    const char *state_name; /* "": the key of the operator */
    uint32_t kind;          /* enum mr_state_kind; 0: a key */
    uint64_t accumulator_bytes;
    const struct mr_field *keys; /* of the operator, or of the elements of a map or set */
    uint32_t key_count;
    const struct mr_field *fields;
    uint32_t field_count;
};

struct mri_state_schemas {
    struct mr_arena arena;
    struct mri_state_schema *first;
    const struct mri_state_schema *last_found;
};
void mri_state_schemas_init(struct mri_state_schemas *schemas, struct mr_heap *heap);
void mri_state_schemas_fini(struct mri_state_schemas *schemas);
/* Takes the schema that the entry holds; another entry is none of its business. */
enum mr_status mri_state_schemas_take(struct mri_state_schemas *schemas, const char *operator_id,
                                      const struct mr_entry *entry,
                                      struct mr_error *err) MR_MUST_USE;
/* NULL: not described. */
const struct mri_state_schema *mri_state_schema_find(struct mri_state_schemas *schemas,
                                                     const char *operator_id,
                                                     const char *state_name);

/* "origin utf8, day date" into a text of its own; used in lists of states. */
void mri_state_fields_print(const struct mr_field *fields, uint32_t count, struct mr_text *out);

/* What an operator of its own seals as "schema:" for its key columns. */
bool mr_key_schema_encode(struct mr_buffer *out, const struct mr_field *keys,
                          uint32_t key_count) MR_MUST_USE;

#endif
