/* topic_format.c - see topic_format.h. */
#include "connect/log/topic_format.h"

#include "base/arena.h"
#include "base/assert.h"
#include "base/crc.h"
#include "base/hash.h"
#include "base/status.h"
#include "data/type.h"

#include <string.h>

#define MAGIC   0x3154524du /* "MRT1" */
#define VERSION 1u

/* ---- records ---- */

static void put32(char *at, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++) at[i] = (char)(value >> (8 * i) & 0xff);
}

static uint64_t get_bytes(const char *at, uint32_t count)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < count; i++) value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

bool mri_topic_begin(struct mr_buffer *out, size_t *out_start)
{
    if (!mr_buffer_reserve(out, MRI_TOPIC_HEADER_BYTES)) return false;
    *out_start = out->size_bytes;
    memset(out->data + out->size_bytes, 0, MRI_TOPIC_HEADER_BYTES);
    out->size_bytes += MRI_TOPIC_HEADER_BYTES;
    return true;
}

void mri_topic_end(struct mr_buffer *out, size_t start, enum mri_topic_kind kind, uint64_t file_id,
                   uint64_t offset)
{
    char *header = out->data + start;
    size_t size = out->size_bytes - start;

    mr_assert(size <= MRI_TOPIC_HEADER_BYTES + MRI_TOPIC_PAYLOAD_MAX);
    put32(header, MAGIC);
    put32(header + 8, VERSION | (uint32_t)kind << 16);
    put32(header + 12, (uint32_t)(size - MRI_TOPIC_HEADER_BYTES));
    put32(header + 16, (uint32_t)(file_id & UINT32_MAX));
    put32(header + 20, (uint32_t)(file_id >> 32));
    put32(header + 24, (uint32_t)(offset & UINT32_MAX));
    put32(header + 28, (uint32_t)(offset >> 32));
    put32(header + 4, mr_crc32c(0, header + 8, size - 8));
}

bool mri_topic_put(struct mr_buffer *out, enum mri_topic_kind kind, uint64_t file_id,
                   uint64_t offset, const uint64_t *words, size_t count)
{
    size_t start = out->size_bytes;

    if (!mr_buffer_reserve(out, MRI_TOPIC_HEADER_BYTES + count * 8)) return false;
    if (!mri_topic_begin(out, &start)) return false;
    for (size_t i = 0; i < count; i++) {
        if (!mr_buffer_put_u64(out, words[i])) {
            out->size_bytes = start;
            return false;
        }
    }
    mri_topic_end(out, start, kind, file_id, offset);
    return true;
}

static bool all_zero(const char *data, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++) {
        if (data[i] != 0) return false;
    }
    return true;
}

enum mri_topic_parse mri_topic_peek(const char *header, uint64_t file_id, uint64_t offset,
                                    struct mri_topic_record *out)
{
    uint64_t length = get_bytes(header + 12, 4);

    if (all_zero(header, MRI_TOPIC_HEADER_BYTES)) return MRI_TOPIC_EMPTY;
    if (get_bytes(header, 4) != MAGIC || get_bytes(header + 16, 8) != file_id ||
        get_bytes(header + 24, 8) != offset || length > MRI_TOPIC_PAYLOAD_MAX) {
        return MRI_TOPIC_BAD;
    }
    out->kind = (enum mri_topic_kind)get_bytes(header + 10, 1);
    out->size_bytes = MRI_TOPIC_HEADER_BYTES + (uint32_t)length;
    out->payload = (struct mr_bytes){NULL, (size_t)length};
    return MRI_TOPIC_GOOD;
}

enum mri_topic_parse mri_topic_parse(struct mr_bytes data, uint64_t file_id, uint64_t offset,
                                     struct mri_topic_record *out)
{
    enum mri_topic_parse outcome;

    if (data.size_bytes < MRI_TOPIC_HEADER_BYTES) return MRI_TOPIC_BAD;
    outcome = mri_topic_peek(data.data, file_id, offset, out);
    if (outcome != MRI_TOPIC_GOOD) return outcome;
    if (data.size_bytes < out->size_bytes ||
        get_bytes(data.data + 4, 4) != mr_crc32c(0, data.data + 8, out->size_bytes - 8)) {
        return MRI_TOPIC_BAD;
    }
    if (get_bytes(data.data + 8, 2) > VERSION) return MRI_TOPIC_NEWER;
    out->payload.data = data.data + MRI_TOPIC_HEADER_BYTES;
    return MRI_TOPIC_GOOD;
}

bool mri_topic_words(const struct mri_topic_record *record, uint64_t *words, size_t count)
{
    if (record->payload.size_bytes != count * 8) return false;
    for (size_t i = 0; i < count; i++) words[i] = get_bytes(record->payload.data + i * 8, 8);
    return true;
}

/* ---- schema ---- */

static bool put_field(struct mr_buffer *out, const struct mr_field *field)
{
    size_t size = field->name == NULL ? 0 : strlen(field->name);
    const char facts[4] = {(char)field->type, field->not_null ? 1 : 0, (char)field->precision,
                           (char)field->scale};

    if (!mr_buffer_put(out, facts, sizeof facts) || !mr_buffer_put_varint(out, size) ||
        !mr_buffer_put(out, field->name, size) || !mr_buffer_put_varint(out, field->child_count)) {
        return false;
    }
    for (uint32_t i = 0; i < field->child_count; i++) {
        if (!put_field(out, &field->children[i])) return false;
    }
    return true;
}

bool mri_topic_put_schema(struct mr_buffer *out, const struct mr_schema *schema)
{
    if (!mr_buffer_put_varint(out, schema->column_count)) return false;
    for (uint32_t i = 0; i < schema->column_count; i++) {
        if (!put_field(out, &schema->fields[i])) return false;
    }
    return true;
}

uint64_t mri_topic_schema_hash(struct mr_heap *heap, const struct mr_schema *schema)
{
    struct mr_buffer bytes;
    uint64_t hash = 0;

    mr_buffer_init(&bytes, heap);
    if (mri_topic_put_schema(&bytes, schema)) hash = mr_hash_bytes(bytes.data, bytes.size_bytes) | 1;
    mr_buffer_fini(&bytes);
    return hash;
}

struct schema_reader {
    struct mr_cursor in;
    struct mr_arena arena;
    uint32_t left; /* fields that may still come */
};

static enum mr_status get_fields(struct schema_reader *reader, uint32_t depth, uint64_t count,
                                 struct mr_field **out, struct mr_error *err);

/* MR_E_CORRUPT without a text: the caller knows the file. */
static enum mr_status get_field(struct schema_reader *reader, uint32_t depth, struct mr_field *out,
                                struct mr_error *err)
{
    const char *facts, *name;
    uint64_t size, children;
    struct mr_field *fields = NULL;
    char *copy;

    if (!mr_cursor_take(&reader->in, 4, &facts) || !mr_cursor_varint(&reader->in, &size) ||
        size > 65536 || !mr_cursor_take(&reader->in, (size_t)size, &name) ||
        !mr_cursor_varint(&reader->in, &children)) {
        return MR_E_CORRUPT;
    }
    copy = mr_arena_alloc(&reader->arena, (size_t)size + 1);
    if (copy == NULL) return mr_error_nomem(err, "the schema of a topic", (size_t)size);
    if (size > 0) memcpy(copy, name, (size_t)size);
    copy[size] = '\0';
    if (children > 0) MR_RET(get_fields(reader, depth + 1, children, &fields, err));
    *out = (struct mr_field){.name = copy,
                             .type = (enum mr_type)(unsigned char)facts[0],
                             .not_null = facts[1] != 0,
                             .precision = (uint8_t)facts[2],
                             .scale = (uint8_t)facts[3],
                             .child_count = (uint32_t)children,
                             .children = fields};
    return MR_OK;
}

static enum mr_status get_fields(struct schema_reader *reader, uint32_t depth, uint64_t count,
                                 struct mr_field **out, struct mr_error *err)
{
    struct mr_field *fields;

    if (depth > MR_NESTING_MAX || count == 0 || count > reader->left) return MR_E_CORRUPT;
    reader->left -= (uint32_t)count;
    fields = mr_arena_alloc(&reader->arena, (size_t)count * sizeof *fields);
    if (fields == NULL) return mr_error_nomem(err, "the schema of a topic", (size_t)count);
    for (uint64_t i = 0; i < count; i++) MR_RET(get_field(reader, depth, &fields[i], err));
    *out = fields;
    return MR_OK;
}

enum mr_status mri_topic_get_schema(struct mr_cursor *in, struct mr_heap *heap, const char *name,
                                    struct mr_schema **out, struct mr_error *err)
{
    struct schema_reader reader = {.in = *in, .left = MR_COLUMNS_MAX};
    struct mr_error why = {.status = MR_OK};
    struct mr_field *fields = NULL;
    uint64_t count = 0;
    enum mr_status st = MR_E_CORRUPT;

    mr_arena_init(&reader.arena, heap);
    if (mr_cursor_varint(&reader.in, &count)) st = get_fields(&reader, 0, count, &fields, err);
    if (st == MR_OK) {
        st = mr_schema_create(heap, fields, (uint32_t)count, out, &why);
        if (st == MR_E_NOMEM && err != NULL) *err = why;
    }
    mr_arena_fini(&reader.arena);
    if (st != MR_OK && st != MR_E_NOMEM) {
        return mr_error_set(err, MR_E_CORRUPT, "%s: the schema in it is damaged", name);
    }
    if (st == MR_OK) *in = reader.in;
    return st;
}

/* ---- values ---- */

static bool skip_list(struct mr_cursor *in, const struct mr_field *field)
{
    uint64_t count;

    if (!mr_cursor_varint(in, &count) || count > (uint64_t)(in->end - in->at)) return false;
    for (uint64_t i = 0; i < count; i++) {
        for (uint32_t k = 0; k < field->child_count; k++) {
            if (!mri_topic_skip_value(in, &field->children[k])) return false;
        }
    }
    return true;
}

bool mri_topic_skip_value(struct mr_cursor *in, const struct mr_field *field)
{
    enum mr_layout layout = mr_type_layout(field->type);
    const char *ignored;
    uint64_t size;

    if (!mr_cursor_take(in, 1, &ignored)) return false;
    if (*ignored == 0) return true;
    switch (layout) {
    case MR_LAYOUT_BIT: return mr_cursor_take(in, 1, &ignored);
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_I128: return mr_cursor_take(in, mr_layout_bytes(layout), &ignored);
    case MR_LAYOUT_VIEW:
        return mr_cursor_varint(in, &size) && size <= (uint64_t)(in->end - in->at) &&
               mr_cursor_take(in, (size_t)size, &ignored);
    case MR_LAYOUT_LIST: return skip_list(in, field);
    case MR_LAYOUT_STRUCT:
        for (uint32_t k = 0; k < field->child_count; k++) {
            if (!mri_topic_skip_value(in, &field->children[k])) return false;
        }
        return true;
    case MR_LAYOUT_NONE: break;
    }
    return false;
}
