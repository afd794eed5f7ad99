/* schema.c - see schema.h. A schema is one allocation: header, fields level by level, names. */
#include "data/schema.h"
#include "base/assert.h"
#include "base/status.h"
#include "data/type.h"

#include <string.h>

/* ---- checking what a caller gives ---- */

static bool has_children(enum mr_type type)
{
    return type == MR_LIST || type == MR_STRUCT || type == MR_MAP;
}

/* Names of the children of lists and maps cannot be asked for, so they need not be there. */
static bool needs_names(enum mr_type type)
{
    return type == MR_STRUCT;
}

static enum mr_status check_names(const struct mr_field *fields, uint32_t count,
                                  struct mr_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fields[i].name == NULL || fields[i].name[0] == '\0') {
            return mr_error_set(err, MR_E_SCHEMA, "column %u has no name: every column needs one",
                                i + 1);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(fields[i].name, fields[k].name) != 0) continue;
            return mr_error_set(err, MR_E_SCHEMA,
                                "columns %u and %u are both named '%s': rename one of them", k + 1,
                                i + 1, fields[i].name);
        }
    }
    return MR_OK;
}

static enum mr_status check_shape(const struct mr_field *field, const char *name,
                                  struct mr_error *err)
{
    if (mr_type_layout(field->type) == MR_LAYOUT_NONE) {
        return mr_error_set(err, MR_E_SCHEMA, "column '%s' has the unknown type %d", name,
                            (int)field->type);
    }
    if (field->type == MR_DECIMAL &&
        (field->precision < 1 || field->precision > 38 || field->scale > field->precision)) {
        return mr_error_set(err, MR_E_SCHEMA,
                            "column '%s' is decimal(%u,%u): the precision must be 1 to 38 and the "
                            "scale 0 to the precision",
                            name, field->precision, field->scale);
    }
    if (field->child_count > 0 && field->children == NULL) {
        return mr_error_set(err, MR_E_SCHEMA, "column '%s' says it has %u children but has none",
                            name, field->child_count);
    }
    if ((field->type == MR_LIST && field->child_count != 1) ||
        (field->type == MR_MAP && field->child_count != 2) ||
        (field->type == MR_STRUCT && field->child_count == 0) ||
        (!has_children(field->type) && field->child_count != 0)) {
        return mr_error_set(err, MR_E_SCHEMA,
                            "column '%s' is a %s with %u children: a list has one, a map two (key "
                            "and value), a struct at least one, other types have none",
                            name, mr_type_name(field->type), field->child_count);
    }
    return MR_OK;
}

/* What the copies need; grows as the fields are checked. */
struct totals {
    size_t field_count;
    size_t name_bytes;
};

static enum mr_status check_fields(const struct mr_field *fields, uint32_t count, uint32_t level,
                                   const char *parent, struct totals *totals, struct mr_error *err)
{
    if (count > 0 && level > MR_NESTING_MAX) {
        return mr_error_set(err, MR_E_SCHEMA, "column '%s' nests deeper than %u levels", parent,
                            MR_NESTING_MAX);
    }
    totals->field_count += count;
    if (totals->field_count > MR_COLUMNS_MAX) {
        return mr_error_set(err, MR_E_SCHEMA, "more than %u columns, nested ones included",
                            MR_COLUMNS_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        const char *name = fields[i].name != NULL ? fields[i].name : "";
        const char *shown = name[0] != '\0' ? name : parent;

        totals->name_bytes += strlen(name) + 1;
        MR_RET(check_shape(&fields[i], shown, err));
        if (needs_names(fields[i].type)) {
            enum mr_status st = check_names(fields[i].children, fields[i].child_count, err);

            if (st != MR_OK) {
                mr_error_context(err, "in column '%s'", shown);
                return st;
            }
        }
        MR_RET(
            check_fields(fields[i].children, fields[i].child_count, level + 1, shown, totals, err));
    }
    return MR_OK;
}

/* ---- making ---- */

struct copier {
    struct mr_field *next_field;
    char *next_name;
};

static const struct mr_field *copy_fields(struct copier *copier, const struct mr_field *fields,
                                          uint32_t count)
{
    struct mr_field *copies = copier->next_field;

    if (count == 0) return NULL;
    copier->next_field += count;
    for (uint32_t i = 0; i < count; i++) {
        const char *name = fields[i].name != NULL ? fields[i].name : "";
        size_t name_bytes = strlen(name) + 1;

        copies[i] = fields[i];
        if (fields[i].type != MR_DECIMAL) copies[i].precision = copies[i].scale = 0;
        copies[i].name = memcpy(copier->next_name, name, name_bytes);
        copier->next_name += name_bytes;
        copies[i].children = copy_fields(copier, fields[i].children, fields[i].child_count);
    }
    return copies;
}

/* The size must be known again when the schema goes: it is computed from the copies. */
static size_t schema_bytes(const struct totals *totals)
{
    return sizeof(struct mr_schema) + totals->field_count * sizeof(struct mr_field) +
           totals->name_bytes;
}

static void count_fields(const struct mr_field *fields, uint32_t count, struct totals *totals)
{
    totals->field_count += count;
    for (uint32_t i = 0; i < count; i++) {
        totals->name_bytes += strlen(fields[i].name) + 1;
        count_fields(fields[i].children, fields[i].child_count, totals);
    }
}

enum mr_status mr_schema_create(struct mr_heap *heap, const struct mr_field *fields, uint32_t count,
                                struct mr_schema **out, struct mr_error *err)
{
    struct totals totals = {0, 0};
    struct copier copier;
    struct mr_schema *schema;

    if (count > MR_COLUMNS_MAX) {
        return mr_error_set(err, MR_E_SCHEMA, "%u columns: at most %u are possible", count,
                            MR_COLUMNS_MAX);
    }
    MR_RET(check_names(fields, count, err));
    MR_RET(check_fields(fields, count, 1, "", &totals, err));
    schema = mr_alloc(heap, schema_bytes(&totals));
    if (schema == NULL) return mr_error_nomem(err, "schema", schema_bytes(&totals));

    copier.next_field = (struct mr_field *)(void *)(schema + 1);
    copier.next_name = (char *)(copier.next_field + totals.field_count);
    *schema = (struct mr_schema){.heap = heap, .column_count = count};
    atomic_init(&schema->references, 1);
    schema->fields = copy_fields(&copier, fields, count);
    *out = schema;
    return MR_OK;
}

struct mr_schema *mr_schema_ref(struct mr_schema *schema)
{
    /* Relaxed: whoever refs already holds a reference. */
    uint32_t before = atomic_fetch_add_explicit(&schema->references, 1, memory_order_relaxed);

    mr_assert(before > 0 && before < UINT32_MAX);
    return schema;
}

void mr_schema_release(struct mr_schema *schema)
{
    struct totals totals = {0, 0};
    uint32_t before;

    if (schema == NULL) return;
    /* Release what this thread did with it, acquire what the others did, before it is freed. */
    before = atomic_fetch_sub_explicit(&schema->references, 1, memory_order_acq_rel);
    mr_assert(before > 0);
    if (before > 1) return;
    count_fields(schema->fields, schema->column_count, &totals);
    mr_free(schema->heap, schema, schema_bytes(&totals));
}

/* ---- asking ---- */

uint32_t mr_schema_find(const struct mr_schema *schema, const char *name)
{
    for (uint32_t i = 0; i < schema->column_count; i++) {
        if (strcmp(schema->fields[i].name, name) == 0) return i;
    }
    return MR_COLUMN_NONE;
}

bool mr_field_type_equal(const struct mr_field *left, const struct mr_field *right)
{
    if (left->type != right->type || left->child_count != right->child_count) return false;
    if (left->type == MR_DECIMAL &&
        (left->precision != right->precision || left->scale != right->scale)) {
        return false;
    }
    for (uint32_t i = 0; i < left->child_count; i++) {
        const struct mr_field *l = &left->children[i];
        const struct mr_field *r = &right->children[i];

        if (needs_names(left->type) && strcmp(l->name, r->name) != 0) return false;
        if (!mr_field_type_equal(l, r)) return false;
    }
    return true;
}

bool mr_schema_equal(const struct mr_schema *left, const struct mr_schema *right)
{
    if (left->column_count != right->column_count) return false;
    for (uint32_t i = 0; i < left->column_count; i++) {
        if (strcmp(left->fields[i].name, right->fields[i].name) != 0) return false;
        if (!mr_field_type_equal(&left->fields[i], &right->fields[i])) return false;
    }
    return true;
}

static void print_fields(const struct mr_field *fields, uint32_t count, bool names,
                         struct mr_text *out)
{
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0) mr_text_add(out, ", ");
        if (names) {
            mr_text_add(out, fields[i].name);
            mr_text_add_char(out, ' ');
        }
        mr_field_type_print(&fields[i], out);
        if (fields[i].not_null) mr_text_add(out, " not null");
    }
}

void mr_field_type_print(const struct mr_field *field, struct mr_text *out)
{
    mr_text_add(out, mr_type_name(field->type));
    if (field->type == MR_DECIMAL) {
        mr_text_format(out, "(%u,%u)", field->precision, field->scale);
    } else if (has_children(field->type)) {
        mr_text_add_char(out, '<');
        print_fields(field->children, field->child_count, needs_names(field->type), out);
        mr_text_add_char(out, '>');
    }
}

void mr_schema_print(const struct mr_schema *schema, struct mr_text *out)
{
    print_fields(schema->fields, schema->column_count, true, out);
}

/* ---- suggesting ---- */

#define SUGGEST_BYTES_MAX 64u

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Edits (insert, remove, replace, swap of neighbours) between two short names; case is free. */
static uint32_t distance(const char *left, uint32_t left_bytes, const char *right,
                         uint32_t right_bytes)
{
    uint32_t rows[3][SUGGEST_BYTES_MAX + 1];
    uint32_t *before = rows[0], *above = rows[1], *here = rows[2];

    for (uint32_t k = 0; k <= right_bytes; k++) above[k] = k;
    memset(before, 0, sizeof rows[0]);
    for (uint32_t i = 1; i <= left_bytes; i++) {
        uint32_t *spare = before;

        here[0] = i;
        for (uint32_t k = 1; k <= right_bytes; k++) {
            char l = lower(left[i - 1]), r = lower(right[k - 1]);
            uint32_t best = MR_MIN(above[k], here[k - 1]) + 1;

            best = MR_MIN(best, above[k - 1] + (l != r));
            if (i > 1 && k > 1 && l == lower(right[k - 2]) && lower(left[i - 2]) == r) {
                best = MR_MIN(best, before[k - 2] + 1);
            }
            here[k] = best;
        }
        before = above;
        above = here;
        here = spare;
    }
    return above[right_bytes];
}

const char *mr_schema_suggest(const struct mr_schema *schema, const char *name)
{
    size_t name_bytes = strlen(name);
    uint32_t best = (uint32_t)MR_MIN(name_bytes / 3 + 1, 3) + 1; /* near: fewer edits than this */
    const char *found = NULL;

    if (name_bytes > SUGGEST_BYTES_MAX) return NULL;
    for (uint32_t i = 0; i < schema->column_count; i++) {
        const char *other = schema->fields[i].name;
        size_t other_bytes = strlen(other);
        uint32_t edits;

        if (other_bytes > SUGGEST_BYTES_MAX) continue;
        edits = distance(name, (uint32_t)name_bytes, other, (uint32_t)other_bytes);
        /* Everything replaced is not near. */
        if (edits >= best || edits >= MR_MAX(name_bytes, other_bytes)) continue;
        best = edits;
        found = other;
    }
    return found;
}
