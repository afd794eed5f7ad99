/* state_schema.c - see state_schema.h. The bytes are written by user_state_schema.c too. */
#include "state/state_schema.h"

#include "base/status.h"
#include "data/schema.h"
#include "data/type.h"

#include <string.h>

#define VERSION        1u
#define NAME_BYTES_MAX 4096u
#define FIELDS_MAX     64u
#define KINDS_MAX      64u

void mri_state_schemas_init(struct mri_state_schemas *schemas, struct mr_heap *heap)
{
    *schemas = (struct mri_state_schemas){.first = NULL};
    mr_arena_init(&schemas->arena, heap);
}

void mri_state_schemas_fini(struct mri_state_schemas *schemas)
{
    mr_arena_fini(&schemas->arena);
    *schemas = (struct mri_state_schemas){.first = NULL};
}

/* ---- writing ---- */

bool mr_key_schema_encode(struct mr_buffer *out, const struct mr_field *keys, uint32_t key_count)
{
    const uint32_t head[] = {VERSION, 0 /* kind */, 0 /* accumulator */, key_count};

    for (size_t i = 0; i < MR_COUNT(head); i++) {
        if (!mr_buffer_put_varint(out, head[i])) return false;
    }
    for (uint32_t i = 0; i < key_count; i++) {
        const struct mr_field *field = &keys[i];
        const char facts[4] = {(char)field->type, (char)field->precision, (char)field->scale,
                               field->not_null ? 1 : 0};
        const char *name = field->name != NULL ? field->name : "";
        size_t size = strlen(name);

        if (!mr_buffer_put(out, facts, sizeof facts) || !mr_buffer_put_varint(out, size) ||
            (size > 0 && !mr_buffer_put(out, name, size))) {
            return false;
        }
    }
    return mr_buffer_put_varint(out, 0); /* fields */
}

/* ---- reading ---- */

enum taken { TAKEN, MALFORMED, NO_MEMORY };

static enum taken take_field(struct mr_arena *arena, struct mr_cursor *in, struct mr_field *out)
{
    const char *facts, *text;
    uint64_t size;
    char *name;

    if (!mr_cursor_take(in, 4, &facts) || !mr_cursor_varint(in, &size) || size > NAME_BYTES_MAX ||
        !mr_cursor_take(in, (size_t)size, &text)) {
        return MALFORMED;
    }
    if ((unsigned char)facts[0] > MR_MAP) return MALFORMED;
    name = mr_arena_zero(arena, (size_t)size + 1);
    if (name == NULL) return NO_MEMORY;
    if (size > 0) memcpy(name, text, (size_t)size);
    *out = (struct mr_field){.name = name,
                             .type = (enum mr_type)(unsigned char)facts[0],
                             .precision = (uint8_t)facts[1],
                             .scale = (uint8_t)facts[2],
                             .not_null = facts[3] != 0};
    switch (mr_type_layout(out->type)) {
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: return MALFORMED; /* no keys, and no fields of records */
    case MR_LAYOUT_BIT:
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_I128:
    case MR_LAYOUT_VIEW: break;
    }
    return TAKEN;
}

static enum taken take_fields(struct mr_arena *arena, struct mr_cursor *in,
                              const struct mr_field **out, uint32_t *out_count)
{
    struct mr_field *fields;
    uint64_t count;

    if (!mr_cursor_varint(in, &count) || count > FIELDS_MAX) return MALFORMED;
    fields = mr_arena_zero(arena, (size_t)count * sizeof *fields);
    if (fields == NULL) return NO_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        enum taken taken = take_field(arena, in, &fields[i]);

        if (taken != TAKEN) return taken;
    }
    *out = fields;
    *out_count = (uint32_t)count;
    return TAKEN;
}

static enum taken take_schema(struct mr_arena *arena, struct mr_cursor *in,
                              struct mri_state_schema *out)
{
    uint64_t version, kind;
    enum taken taken;

    if (!mr_cursor_varint(in, &version) || version != VERSION || !mr_cursor_varint(in, &kind) ||
        kind > KINDS_MAX || !mr_cursor_varint(in, &out->accumulator_bytes)) {
        return MALFORMED;
    }
    out->kind = (uint32_t)kind;
    taken = take_fields(arena, in, &out->keys, &out->key_count);
    if (taken != TAKEN) return taken;
    taken = take_fields(arena, in, &out->fields, &out->field_count);
    if (taken != TAKEN) return taken;
    return in->at == in->end ? TAKEN : MALFORMED;
}

static bool is_schema(const struct mr_entry *entry)
{
    return entry->kind == MR_ENTRY_VALUE && entry->state_name[0] == 0 &&
           entry->key.size_bytes >= MRI_SCHEMA_PREFIX_BYTES &&
           memcmp(entry->key.data, MRI_SCHEMA_PREFIX, MRI_SCHEMA_PREFIX_BYTES) == 0;
}

/* A copy with a terminator; NULL: out of memory. */
static const char *keep(struct mr_arena *arena, const char *data, size_t size)
{
    char *copy = mr_arena_zero(arena, size + 1);

    if (copy != NULL && size > 0) memcpy(copy, data, size);
    return copy;
}

enum mr_status mri_state_schemas_take(struct mri_state_schemas *schemas, const char *operator_id,
                                      const struct mr_entry *entry, struct mr_error *err)
{
    struct mr_cursor in = {entry->value.data, entry->value.data};
    struct mr_arena *arena = &schemas->arena;
    struct mri_state_schema *schema;
    enum taken taken;

    if (!is_schema(entry)) return MR_OK;
    if (entry->value.size_bytes > 0) in.end += entry->value.size_bytes;
    schema = mr_arena_zero(arena, sizeof *schema);
    if (schema == NULL) return mr_error_nomem(err, "the schemas of a snapshot", 256);
    taken = take_schema(arena, &in, schema);
    if (taken == MALFORMED) return MR_OK;
    schema->operator_id = keep(arena, operator_id, strlen(operator_id));
    schema->state_name = keep(arena, entry->key.data + MRI_SCHEMA_PREFIX_BYTES,
                              entry->key.size_bytes - MRI_SCHEMA_PREFIX_BYTES);
    if (taken == NO_MEMORY || schema->operator_id == NULL || schema->state_name == NULL) {
        return mr_error_nomem(err, "the schemas of a snapshot", 256);
    }
    schema->next = schemas->first;
    schemas->first = schema;
    return MR_OK;
}

static bool is_of(const struct mri_state_schema *schema, const char *operator_id,
                  const char *state_name)
{
    return strcmp(schema->operator_id, operator_id) == 0 &&
           strcmp(schema->state_name, state_name) == 0;
}

const struct mri_state_schema *mri_state_schema_find(struct mri_state_schemas *schemas,
                                                     const char *operator_id,
                                                     const char *state_name)
{
    const struct mri_state_schema *at = schemas->last_found;

    if (at != NULL && is_of(at, operator_id, state_name)) return at;
    for (at = schemas->first; at != NULL; at = at->next) {
        if (!is_of(at, operator_id, state_name)) continue;
        schemas->last_found = at;
        return at;
    }
    return NULL;
}

void mri_state_fields_print(const struct mr_field *fields, uint32_t count, struct mr_text *out)
{
    for (uint32_t i = 0; i < count; i++) {
        mr_text_format(out, "%s%s ", i == 0 ? "" : ", ", fields[i].name);
        mr_field_type_print(&fields[i], out);
        if (fields[i].not_null) mr_text_add(out, " not null");
    }
}
