/* user_state_schema.c - what a state looked like when it was stored, and whether it still fits.
 *
 * A schema is stored as: version, kind, size of the accumulator, keys, fields; a field as type,
 * precision, scale, whether it is never null, name. Integers of all widths and both floats are
 * stored alike, so a wider type needs no conversion; fields that came later are null.
 */
#include "base/assert.h"
#include "base/status.h"
#include "base/text.h"
#include "state/user_state_internal.h"

#include <string.h>

#define VERSION        1u
#define NAME_BYTES_MAX 4096u
#define FIELDS_MAX     64u

struct part { /* one list of fields */
    const struct mr_field *fields;
    uint32_t count;
};

struct schema {
    uint32_t kind;
    uint64_t accumulator_bytes;
    struct part keys;
    struct part fields;
};

static struct schema declared_of(const struct mr_user_states *states,
                                 const struct mri_user_state *state)
{
    const struct mr_state *spec;

    if (state == NULL) {
        return (struct schema){.keys = {states->options.keys, states->options.key_count}};
    }
    spec = state->spec;
    return (struct schema){.kind = (uint32_t)spec->kind,
                           .accumulator_bytes =
                               spec->aggregate != NULL ? spec->aggregate->state_bytes : 0,
                           .keys = {spec->keys, spec->key_count},
                           .fields = {spec->fields, spec->field_count}};
}

static bool put_fields(struct mr_buffer *out, const struct part *part)
{
    if (!mr_buffer_put_varint(out, part->count)) return false;
    for (uint32_t i = 0; i < part->count; i++) {
        const struct mr_field *field = &part->fields[i];
        const char facts[4] = {(char)field->type, (char)field->precision, (char)field->scale,
                               field->not_null ? 1 : 0};
        size_t size = strlen(field->name);

        if (!mr_buffer_put(out, facts, sizeof facts) || !mr_buffer_put_varint(out, size) ||
            !mr_buffer_put(out, field->name, size)) {
            return false;
        }
    }
    return true;
}

bool mri_schema_encode(const struct mr_user_states *states, const struct mri_user_state *state,
                       struct mr_buffer *out)
{
    struct schema schema = declared_of(states, state);

    return mr_buffer_put_varint(out, VERSION) && mr_buffer_put_varint(out, schema.kind) &&
           mr_buffer_put_varint(out, schema.accumulator_bytes) && put_fields(out, &schema.keys) &&
           put_fields(out, &schema.fields);
}

/* ---- reading ---- */

struct reader {
    struct mr_cursor in;
    struct mr_field fields[2][FIELDS_MAX];
    char names[2 * FIELDS_MAX][64]; /* enough to compare and to show */
};

static bool take_field(struct reader *reader, struct mr_field *out, char *name, size_t room)
{
    const char *facts, *text;
    uint64_t size;

    if (!mr_cursor_take(&reader->in, 4, &facts) || !mr_cursor_varint(&reader->in, &size) ||
        size > NAME_BYTES_MAX || !mr_cursor_take(&reader->in, (size_t)size, &text)) {
        return false;
    }
    memset(name, 0, room);
    memcpy(name, text, MR_MIN((size_t)size, room - 1));
    *out = (struct mr_field){.name = name,
                             .type = (enum mr_type)(unsigned char)facts[0],
                             .precision = (uint8_t)facts[1],
                             .scale = (uint8_t)facts[2],
                             .not_null = facts[3] != 0};
    return mr_type_layout(out->type) != MR_LAYOUT_NONE;
}

static bool take_fields(struct reader *reader, uint32_t list, struct part *out)
{
    uint64_t count;

    if (!mr_cursor_varint(&reader->in, &count) || count > FIELDS_MAX) return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!take_field(reader, &reader->fields[list][i], reader->names[list * FIELDS_MAX + i],
                        sizeof reader->names[0])) {
            return false;
        }
    }
    *out = (struct part){reader->fields[list], (uint32_t)count};
    return true;
}

static bool take_schema(struct reader *reader, struct schema *out, uint64_t *out_version)
{
    uint64_t kind;

    if (!mr_cursor_varint(&reader->in, out_version)) return false;
    if (*out_version != VERSION) return true;
    if (!mr_cursor_varint(&reader->in, &kind) || kind > MR_STATE_BROADCAST ||
        !mr_cursor_varint(&reader->in, &out->accumulator_bytes) ||
        !take_fields(reader, 0, &out->keys) || !take_fields(reader, 1, &out->fields)) {
        return false;
    }
    out->kind = (uint32_t)kind;
    return reader->in.at == reader->in.end;
}

/* ---- comparing ---- */

static bool same_name(const struct mr_field *stored, const struct mr_field *declared)
{
    size_t size = MR_MIN(strlen(declared->name), (size_t)63);

    return strlen(stored->name) == size && memcmp(stored->name, declared->name, size) == 0;
}

static bool same_type(const struct mr_field *left, const struct mr_field *right)
{
    if (left->type != right->type) return false;
    return left->type != MR_DECIMAL ||
           (left->precision == right->precision && left->scale == right->scale);
}

/* May a value of the one type become one of the other? */
static bool widens(const struct mr_field *stored, const struct mr_field *declared)
{
    if (same_type(stored, declared)) return true;
    if (mr_type_is_integer(stored->type) && mr_type_is_integer(declared->type)) {
        return mr_layout_bytes(mr_type_layout(stored->type)) <
               mr_layout_bytes(mr_type_layout(declared->type));
    }
    if (stored->type == MR_FLOAT32 && declared->type == MR_FLOAT64) return true;
    return stored->type == MR_DECIMAL && declared->type == MR_DECIMAL &&
           stored->scale == declared->scale && stored->precision < declared->precision;
}

static bool fields_fit(const struct part *stored, const struct part *declared)
{
    if (stored->count > declared->count) return false;
    for (uint32_t i = 0; i < declared->count; i++) {
        const struct mr_field *field = &declared->fields[i];

        if (i >= stored->count) {
            if (field->not_null) return false;
        } else if (!same_name(&stored->fields[i], field) || !widens(&stored->fields[i], field) ||
                   (field->not_null && !stored->fields[i].not_null)) {
            return false;
        }
    }
    return true;
}

/* The key's bytes decide where state lies: nothing may change but names. */
static bool keys_fit(const struct part *stored, const struct part *declared)
{
    if (stored->count != declared->count) return false;
    for (uint32_t i = 0; i < declared->count; i++) {
        if (!same_type(&stored->fields[i], &declared->fields[i])) return false;
    }
    return true;
}

static void print_part(const char *name, const struct part *part, struct mr_text *out)
{
    if (part->count == 0) return;
    mr_text_format(out, "%s(", name);
    for (uint32_t i = 0; i < part->count; i++) {
        mr_text_format(out, "%s%s ", i == 0 ? "" : ", ", part->fields[i].name);
        mr_field_type_print(&part->fields[i], out);
        if (part->fields[i].not_null) mr_text_add(out, " not null");
    }
    mr_text_add(out, ")");
}

static void print_schema(const struct schema *schema, struct mr_text *out)
{
    if (schema->kind != 0) {
        mr_text_format(out, "%s ", mr_state_kind_name((enum mr_state_kind)schema->kind));
    }
    print_part(schema->kind == 0 ? "" : "by ", &schema->keys, out);
    print_part(schema->keys.count == 0 ? "" : " ", &schema->fields, out);
    if (schema->accumulator_bytes != 0) {
        mr_text_format(out, ", accumulator of %llu bytes",
                       (unsigned long long)schema->accumulator_bytes);
    }
}

static enum mr_status refuse(const struct mr_user_states *states,
                             const struct mri_user_state *state, const struct schema *stored,
                             const struct schema *declared, struct mr_error *err)
{
    struct mr_text old, new;

    mr_text_init(&old, states->heap, 240);
    mr_text_init(&new, states->heap, 240);
    print_schema(stored, &old);
    print_schema(declared, &new);
    (void)mr_error_set(err, MR_E_SCHEMA,
                       "operator '%s': %s%s%s does not fit what is stored\n  stored:   %s\n"
                       "  declared: %s\n%s",
                       states->options.operator_id, state != NULL ? "state '" : "the key",
                       state != NULL ? state->spec->name : "", state != NULL ? "'" : "",
                       mr_text_get(&old), mr_text_get(&new),
                       state != NULL ? "nullable fields may be added at the end and numbers may "
                                       "become wider; for anything else give the state a new name"
                                     : "declare the same key, or give the operator a new id");
    mr_text_fini(&old);
    mr_text_fini(&new);
    return MR_E_SCHEMA;
}

static enum mr_status compare(const struct mr_user_states *states,
                              const struct mri_user_state *state, struct reader *reader,
                              struct mr_error *err)
{
    struct schema declared = declared_of(states, state);
    struct schema stored = {.kind = 0};
    uint64_t version = 0;

    if (!take_schema(reader, &stored, &version)) {
        return mr_error_set(err, MR_E_CORRUPT, "operator '%s': the schema of %s%s is malformed",
                            states->options.operator_id, state != NULL ? "state " : "the key",
                            state != NULL ? state->spec->name : "");
    }
    if (version != VERSION) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "operator '%s': a schema of version %llu; this program knows %u",
                            states->options.operator_id, (unsigned long long)version, VERSION);
    }
    if (stored.kind == declared.kind && stored.accumulator_bytes == declared.accumulator_bytes &&
        keys_fit(&stored.keys, &declared.keys) && fields_fit(&stored.fields, &declared.fields)) {
        return MR_OK;
    }
    return refuse(states, state, &stored, &declared, err);
}

enum mr_status mri_schema_compare(const struct mr_user_states *states,
                                  const struct mri_user_state *state, struct mr_bytes stored,
                                  struct mr_error *err)
{
    struct reader *reader = mr_alloc_zero(states->heap, sizeof *reader);
    enum mr_status st;

    if (reader == NULL) return mr_error_nomem(err, "a schema", sizeof *reader);
    reader->in = (struct mr_cursor){stored.data, stored.data + stored.size_bytes};
    st = compare(states, state, reader, err);
    mr_free(states->heap, reader, sizeof *reader);
    return st;
}
