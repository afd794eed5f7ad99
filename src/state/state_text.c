/* state_text.c - see state_text.h. */
#include "state/state_text.h"

#include "base/time.h"
#include "data/type.h"
#include "state/entry_order.h"
#include <millrace/process.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPLITS_NAME    "splits"
#define WRITER_NAME    "writer"
#define WATERMARK_NAME "watermark"
#define JOB_ID         ":job"

/* ---- values ---- */

void mri_bytes_text(struct mr_bytes bytes, struct mr_text *out)
{
    static const char digits[] = "0123456789abcdef";

    mr_text_add(out, "\"0x");
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];

        mr_text_add_char(out, digits[byte >> 4]);
        mr_text_add_char(out, digits[byte & 15]);
    }
    mr_text_add_char(out, '"');
}

static void add_time(struct mr_text *out, const char *data, size_t size)
{
    mr_text_add_char(out, '"');
    mr_text_add_bytes(out, data, size);
    mr_text_add_char(out, '"');
}

static void instant_text(int64_t us, struct mr_text *out)
{
    char buffer[MR_TIME_TEXT_BYTES];

    if (us <= MR_TIME_MIN)
        mr_text_add(out, "\"begin of time\"");
    else if (us >= MR_TIME_MAX)
        mr_text_add(out, "\"end of time\"");
    else
        add_time(out, buffer, mr_format_timestamp(buffer, us, true));
}

static void int_text(const struct mr_field *field, int64_t value, struct mr_text *out)
{
    char buffer[MR_TIME_TEXT_BYTES];

    switch (field->type) {
    case MR_BOOL: mr_text_add(out, value != 0 ? "true" : "false"); return;
    case MR_DATE: add_time(out, buffer, mr_format_date(buffer, (int32_t)value)); return;
    case MR_TIME: add_time(out, buffer, mr_format_time(buffer, value)); return;
    case MR_TIMESTAMP: add_time(out, buffer, mr_format_timestamp(buffer, value, false)); return;
    case MR_TIMESTAMP_LTZ: instant_text(value, out); return;
    case MR_TYPE_NONE:
    case MR_INT8:
    case MR_INT16:
    case MR_INT32:
    case MR_INT64:
    case MR_FLOAT32:
    case MR_FLOAT64:
    case MR_DECIMAL:
    case MR_UTF8:
    case MR_BINARY:
    case MR_INTERVAL:
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: break;
    }
    mr_text_add_int(out, value);
}

/* The fewest digits that give the value back. */
static void shortest_text(double value, bool single, struct mr_text *out)
{
    int digits = single ? 6 : 15, most = single ? 9 : 17;
    char buffer[40];

    for (; digits <= most; digits++) {
        double back;

        (void)snprintf(buffer, sizeof buffer, "%.*g", digits, value);
        back = strtod(buffer, NULL);
        if (single ? (float)back == (float)value : back == value) break;
    }
    mr_text_add(out, buffer);
}

static void float_text(double value, bool single, struct mr_text *out)
{
    if (isnan(value))
        mr_text_add(out, "\"NaN\"");
    else if (isinf(value))
        mr_text_add(out, value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else
        shortest_text(value, single, out);
}

/* In quotes: JSON numbers are read as floats by most. */
static void decimal_text(mr_i128 value, uint8_t scale, struct mr_text *out)
{
    mr_u128 rest = value < 0 ? -(mr_u128)value : (mr_u128)value;
    char digits[48];
    uint32_t at = sizeof digits;

    for (uint32_t i = 0; i <= scale || rest != 0; i++) {
        if (i == scale && scale > 0) digits[--at] = '.';
        digits[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    }
    mr_text_add(out, value < 0 ? "\"-" : "\"");
    mr_text_add_bytes(out, digits + at, sizeof digits - at);
    mr_text_add_char(out, '"');
}

static void text_text(const struct mr_field *field, struct mr_bytes text, struct mr_text *out)
{
    if (field->type == MR_UTF8)
        mr_text_add_quoted(out, text.data, text.size_bytes);
    else
        mri_bytes_text(text, out);
}

/* ---- keys ---- */

static double float_of_key(uint64_t key, bool single)
{
    uint64_t sign = UINT64_C(1) << (single ? 31 : 63);
    uint64_t bits = (key & sign) != 0 ? key & ~sign : ~key & (sign | (sign - 1));
    uint32_t narrow_bits = (uint32_t)bits;
    float narrow;
    double value;

    memcpy(&narrow, &narrow_bits, sizeof narrow);
    memcpy(&value, &bits, sizeof value);
    return single ? (double)narrow : value;
}

static bool fixed_key_text(struct mr_cursor *in, const struct mr_field *field, struct mr_text *out)
{
    enum mr_layout layout = mr_type_layout(field->type);
    uint32_t width = layout == MR_LAYOUT_BIT ? 1 : mr_layout_bytes(layout);
    mr_u128 key = 0, number;
    const char *bytes;

    if (!mr_cursor_take(in, width, &bytes)) return false;
    for (uint32_t i = 0; i < width; i++) key = key << 8 | (unsigned char)bytes[i];
    number = key ^ (mr_u128)1 << (8 * width - 1);
    if (layout == MR_LAYOUT_F32 || layout == MR_LAYOUT_F64) {
        float_text(float_of_key((uint64_t)key, layout == MR_LAYOUT_F32), layout == MR_LAYOUT_F32,
                   out);
    } else if (layout == MR_LAYOUT_I128) {
        decimal_text((mr_i128)number, field->scale, out);
    } else if (layout == MR_LAYOUT_BIT) {
        int_text(field, key != 0, out);
    } else { /* sign extended from its width */
        uint32_t shift = 64 - 8 * width;

        int_text(field, (int64_t)((uint64_t)number << shift) >> shift, out);
    }
    return true;
}

static bool text_key_text(struct mr_cursor *in, const struct mr_field *field, struct mr_text *out)
{
    struct mr_text plain;
    bool whole = false;

    mr_text_init(&plain, out->heap, 0);
    while (!whole && in->end - in->at >= 2) {
        char c = *in->at++;

        if (c == 0) {
            char next = *in->at++;

            whole = next == 0;
            if (!whole && next != '\xff') break;
            if (whole) break;
        }
        mr_text_add_char(&plain, c);
    }
    if (whole) text_text(field, (struct mr_bytes){mr_text_get(&plain), plain.size_bytes}, out);
    if (mr_text_status(&plain) != MR_OK) out->status = mr_text_status(&plain);
    mr_text_fini(&plain);
    return whole;
}

static bool key_text(struct mr_cursor *in, const struct mr_field *field, struct mr_text *out)
{
    const char *flag;

    if (!mr_cursor_take(in, 1, &flag) || (unsigned char)*flag > 1) return false;
    if (*flag == 0) {
        mr_text_add(out, "null");
        return true;
    }
    if (mr_type_is_text(field->type)) return text_key_text(in, field, out);
    return fixed_key_text(in, field, out);
}

struct key_fields {
    struct mr_field fields[3 * MR_KEY_COLUMNS_MAX];
    uint32_t count;
};

static void add_fields(struct key_fields *out, const struct mr_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count && out->count < MR_COUNT(out->fields); i++) {
        out->fields[out->count++] = fields[i];
    }
}

/* Which columns the keys of a state have: those of the operator, then what tells elements apart. */
static bool find_key_fields(struct mri_state_schemas *schemas, const char *operator_id,
                            const struct mr_entry *entry, struct key_fields *out)
{
    static const struct mr_field numbers[2] = {{.name = "#", .type = MR_INT64},
                                               {.name = "#", .type = MR_INT64}};
    static const struct mr_field timed[2] = {{.name = "time", .type = MR_TIMESTAMP_LTZ},
                                             {.name = "#", .type = MR_INT64}};
    const struct mri_state_schema *own = mri_state_schema_find(schemas, operator_id, "");
    const struct mri_state_schema *state =
        entry->state_name[0] != 0 ? mri_state_schema_find(schemas, operator_id, entry->state_name)
                                  : NULL;
    uint32_t kind = state != NULL ? state->kind : 0;

    out->count = 0;
    if (kind != MR_STATE_OPERATOR_LIST && kind != MR_STATE_BROADCAST) {
        if (own == NULL) return false;
        add_fields(out, own->keys, own->key_count);
    }
    if (kind == MR_STATE_LIST) add_fields(out, numbers, 1);
    if (kind == MR_STATE_OPERATOR_LIST) add_fields(out, numbers, 2);
    if (kind == MR_STATE_ORDERED_LIST) add_fields(out, timed, 2);
    if (kind == MR_STATE_MAP || kind == MR_STATE_SET || kind == MR_STATE_BROADCAST) {
        add_fields(out, state->keys, state->key_count);
    }
    return true;
}

/* Cuts what was added since `from`: it was the wrong way to read the bytes. */
static void take_back(struct mr_text *out, size_t from)
{
    if (out->size_bytes > from) {
        out->size_bytes = from;
        out->data[from] = 0;
    }
}

static bool described_key(struct mri_state_schemas *schemas, const char *operator_id,
                          const struct mr_entry *entry, struct mr_text *out)
{
    struct mr_cursor in = {entry->key.data, entry->key.data};
    size_t from = out->size_bytes;
    struct key_fields keys;

    if (!find_key_fields(schemas, operator_id, entry, &keys)) return false;
    if (entry->key.size_bytes > 0) in.end += entry->key.size_bytes;
    if (keys.count != 1) mr_text_add_char(out, '[');
    for (uint32_t i = 0; i < keys.count; i++) {
        if (i > 0) mr_text_add_char(out, ',');
        if (!key_text(&in, &keys.fields[i], out)) {
            take_back(out, from);
            return false;
        }
    }
    if (keys.count != 1) mr_text_add_char(out, ']');
    if (in.at == in.end) return true;
    take_back(out, from);
    return false;
}

static bool is_name(struct mr_bytes bytes)
{
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        if (bytes.data[i] < 0x20 || bytes.data[i] > 0x7e) return false;
    }
    return bytes.size_bytes > 0;
}

const char *mri_state_entry_word(const char *operator_id, const struct mr_entry *entry)
{
    (void)operator_id;
    if (mri_entry_is_timer(entry)) return "timer";
    if (entry->kind == MR_ENTRY_VALUE) return "value";
    if (strcmp(entry->state_name, SPLITS_NAME) == 0 && entry->key.size_bytes == 4) return "split";
    if (strcmp(entry->state_name, WRITER_NAME) == 0 && entry->key.size_bytes == 4) return "writer";
    return "key";
}

static bool is_numbered(const char *operator_id, const struct mr_entry *entry)
{
    const char *word = mri_state_entry_word(operator_id, entry);

    return strcmp(word, "split") == 0 || strcmp(word, "writer") == 0 ||
           (entry->kind == MR_ENTRY_VALUE && entry->key.size_bytes == 4 && !is_name(entry->key));
}

void mri_state_key_text(struct mri_state_schemas *schemas, const char *operator_id,
                        const struct mr_entry *entry, struct mr_text *out)
{
    struct mr_cursor in = {entry->key.data, entry->key.data};
    uint32_t number;

    if (entry->key.size_bytes > 0) in.end += entry->key.size_bytes;
    if (is_numbered(operator_id, entry) && mr_cursor_u32(&in, &number)) {
        mr_text_add_uint(out, number);
    } else if (entry->kind == MR_ENTRY_VALUE && entry->state_name[0] == 0 && is_name(entry->key)) {
        mr_text_add_quoted(out, entry->key.data, entry->key.size_bytes);
    } else if (mri_entry_is_timer(entry) && entry->key.size_bytes == 0) {
        mr_text_add(out, "null");
    } else if (!described_key(schemas, operator_id, entry, out)) {
        mri_bytes_text(entry->key, out);
    }
}

void mri_state_namespace_text(int64_t ns, struct mr_text *out)
{
    char buffer[MR_TIME_TEXT_BYTES];

    if (ns < 100000 * MR_SECOND || ns >= INT64_C(253402300800) * MR_SECOND) { /* year 10000 */
        mr_text_add_int(out, ns);
    } else {
        mr_text_add_bytes(out, buffer, mr_format_timestamp(buffer, ns, true));
    }
}

/* ---- values of described states ---- */

#define FLAG_PROCESSING 1u
#define FLAG_EVENT      2u
#define FLAG_SEQ        4u
#define FLAG_UNSET      8u

static bool cell_text(struct mr_cursor *in, const struct mr_field *field, struct mr_text *out)
{
    enum mr_layout layout = mr_type_layout(field->type);
    mr_i128 wide;
    int64_t number;
    double real;
    uint64_t size;
    const char *data;

    if (layout == MR_LAYOUT_VIEW) {
        if (!mr_cursor_varint(in, &size) || size > SIZE_MAX / 2 ||
            !mr_cursor_take(in, (size_t)size, &data)) {
            return false;
        }
        text_text(field, (struct mr_bytes){data, (size_t)size}, out);
        return true;
    }
    if (!mr_cursor_take(in, layout == MR_LAYOUT_I128 ? 16 : 8, &data)) return false;
    if (layout == MR_LAYOUT_I128) {
        memcpy(&wide, data, sizeof wide);
        decimal_text(wide, field->scale, out);
    } else if (layout == MR_LAYOUT_F32 || layout == MR_LAYOUT_F64) {
        memcpy(&real, data, sizeof real);
        float_text(real, layout == MR_LAYOUT_F32, out);
    } else {
        memcpy(&number, data, sizeof number);
        int_text(field, number, out);
    }
    return true;
}

static bool take_byte(struct mr_cursor *in, uint32_t *out)
{
    const char *data;

    if (!mr_cursor_take(in, 1, &data)) return false;
    *out = (unsigned char)*data;
    return true;
}

static bool record_fields(struct mr_cursor *in, const struct mri_state_schema *schema,
                          struct mr_text *out)
{
    uint32_t count, byte;
    uint64_t bits = 0;

    if (!take_byte(in, &count) || count > schema->field_count) return false;
    for (uint32_t i = 0; i < count; i += 8) {
        if (!take_byte(in, &byte)) return false;
        bits |= (uint64_t)byte << i;
    }
    mr_text_add_char(out, '{');
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct mr_field *field = &schema->fields[i];

        if (i > 0) mr_text_add_char(out, ',');
        mr_text_add_quoted(out, field->name, strlen(field->name));
        mr_text_add_char(out, ':');
        if (i >= count || (bits >> i & 1) == 0)
            mr_text_add(out, "null");
        else if (!cell_text(in, field, out))
            return false;
    }
    mr_text_add_char(out, '}');
    return true;
}

/* What a time to live and the order of adding put before the record. */
static bool take_front(struct mr_cursor *in)
{
    uint64_t stamp, seq;
    uint32_t flags;

    if (!take_byte(in, &flags) || flags > 15) return false;
    if ((flags & (FLAG_PROCESSING | FLAG_EVENT)) != 0 && !mr_cursor_u64(in, &stamp)) return false;
    return (flags & FLAG_SEQ) == 0 || mr_cursor_varint(in, &seq);
}

static bool described_value(struct mri_state_schemas *schemas, const char *operator_id,
                            const struct mr_entry *entry, struct mr_cursor *in, struct mr_text *out)
{
    const struct mri_state_schema *schema =
        mri_state_schema_find(schemas, operator_id, entry->state_name);
    const char *data;
    uint32_t there = 1;
    uint64_t size;

    if (schema == NULL || entry->state_name[0] == 0) return false;
    if (schema->kind == MR_STATE_BROADCAST) {
        if (!take_byte(in, &there) || there > 1) return false;
        if (there == 0) mr_text_add(out, "\"removed\"");
        if (there == 0) return in->at == in->end;
    }
    if (!take_front(in)) return false;
    if (schema->kind != MR_STATE_AGGREGATING) {
        return record_fields(in, schema, out) && in->at == in->end;
    }
    if (!mr_cursor_varint(in, &size) || size > SIZE_MAX / 2 ||
        !mr_cursor_take(in, (size_t)size, &data) || in->at != in->end) {
        return false;
    }
    mri_bytes_text((struct mr_bytes){data, (size_t)size}, out);
    return true;
}

/* ---- what the engine itself keeps ---- */

static bool timer_text(struct mr_cursor *in, struct mr_text *out)
{
    uint64_t time, hold;
    uint32_t domain, tag;

    if (!take_byte(in, &domain) || domain > 1 || !mr_cursor_u32(in, &tag) ||
        !mr_cursor_u64(in, &time) || !mr_cursor_u64(in, &hold) || in->at != in->end) {
        return false;
    }
    mr_text_format(
        out, "{\"domain\":\"%s\",\"tag\":%u,\"time\":", domain == 0 ? "event" : "processing", tag);
    instant_text((int64_t)time, out);
    if ((int64_t)hold < MR_TIME_MAX) {
        mr_text_add(out, ",\"hold\":");
        instant_text((int64_t)hold, out);
    }
    mr_text_add_char(out, '}');
    return true;
}

static bool watermark_text(struct mr_cursor *in, struct mr_text *out)
{
    bool more = false;

    if (in->at == in->end) return false;
    for (mr_text_add_char(out, '['); in->at != in->end; more = true) {
        uint32_t first, end;
        uint64_t us;

        if (!mr_cursor_u32(in, &first) || !mr_cursor_u32(in, &end) || !mr_cursor_u64(in, &us)) {
            return false;
        }
        mr_text_format(out, "%s{\"groups\":\"%u-%u\",\"at\":", more ? "," : "", first,
                       end > first ? end - 1 : end);
        instant_text((int64_t)us, out);
        mr_text_add_char(out, '}');
    }
    mr_text_add_char(out, ']');
    return true;
}

/* What assigns event time keeps per instance: its watermark, and the latest time of each split. */
static bool event_time_text(struct mr_cursor *in, struct mr_text *out)
{
    uint64_t us;
    uint32_t count, split;

    if (!mr_cursor_u64(in, &us) || !mr_cursor_u32(in, &count)) return false;
    mr_text_add(out, "{\"watermark\":");
    instant_text((int64_t)us, out);
    mr_text_add(out, ",\"splits\":{");
    for (uint32_t i = 0; i < count; i++) {
        if (!mr_cursor_u32(in, &split) || !mr_cursor_u64(in, &us)) return false;
        mr_text_format(out, "%s\"%u\":", i > 0 ? "," : "", split);
        instant_text((int64_t)us, out);
    }
    mr_text_add(out, "}}");
    return in->at == in->end;
}

static bool job_text(struct mr_cursor *in, struct mr_text *out)
{
    uint64_t fence, layout, batch_rows;
    uint32_t lanes, finished;

    if (!mr_cursor_u64(in, &fence) || !mr_cursor_u64(in, &layout) ||
        !mr_cursor_u64(in, &batch_rows) || !mr_cursor_u32(in, &lanes) ||
        !mr_cursor_u32(in, &finished) || in->at != in->end) {
        return false;
    }
    mr_text_format(out,
                   "{\"fence\":%llu,\"layout\":\"%016llx\",\"batch_rows\":%llu,\"lanes\":%u,"
                   "\"finished\":%s}",
                   (unsigned long long)fence, (unsigned long long)layout,
                   (unsigned long long)batch_rows, lanes, finished != 0 ? "true" : "false");
    return true;
}

/* Text and CSV; see "Position of a source" in docs/reference/formats.md. */
static bool file_position(struct mr_cursor *in, const char *kind, uint32_t flags, uint32_t over,
                          struct mr_text *out)
{
    uint64_t words[8];

    for (size_t i = 0; i < MR_COUNT(words); i++) {
        if (!mr_cursor_u64(in, &words[i])) return false;
    }
    mr_text_format(out, "{\"source\":\"%s\",\"offset\":%llu", kind, (unsigned long long)words[2]);
    if (words[2] <= words[1]) { /* else it is compressed, and the offset is in what comes out */
        mr_text_format(out, ",\"of\":%llu", (unsigned long long)words[1]);
    }
    mr_text_format(out, ",\"row\":%llu", (unsigned long long)words[3]);
    if (words[4] != 0) mr_text_format(out, ",\"line\":%llu", (unsigned long long)words[4]);
    mr_text_format(out, "%s}", (flags & over) != 0 ? ",\"over\":true" : "");
    return true;
}

static bool generator_position(struct mr_cursor *in, struct mr_text *out)
{
    uint64_t words[8];

    for (size_t i = 0; i < MR_COUNT(words); i++) {
        if (!mr_cursor_u64(in, &words[i])) return false;
    }
    mr_text_format(out, "{\"source\":\"generator\",\"row\":%llu,\"end\":%llu}",
                   (unsigned long long)words[7], (unsigned long long)words[6]);
    return true;
}

static bool position_text(struct mr_cursor *in, struct mr_text *out)
{
    struct mr_cursor all = *in;
    uint32_t version, kind, low, high, flags;

    if (in->end - in->at < 8 || !take_byte(in, &version) || version != 1) return false;
    if (!take_byte(in, &kind) || !take_byte(in, &low) || !take_byte(in, &high)) return false;
    flags = low | high << 8;
    switch (kind) {
    case 1: return file_position(in, "text", flags, 4, out);
    case 2: return file_position(in, "csv", flags, 4, out);
    case 3: return generator_position(in, out);
    default: break;
    }
    mr_text_format(out, "{\"source\":%u,\"position\":", kind);
    mri_bytes_text((struct mr_bytes){all.at, (size_t)(all.end - all.at)}, out);
    mr_text_add_char(out, '}');
    return true;
}

static bool split_text(struct mr_cursor *in, struct mr_text *out)
{
    uint32_t done;

    if (!take_byte(in, &done) || done > 1) return false;
    if (done == 0) return position_text(in, out);
    mr_text_add(out, "\"done\"");
    return true;
}

/* A schema as people write it. */
static bool schema_text(struct mri_state_schemas *schemas, const char *operator_id,
                        const struct mr_entry *entry, struct mr_text *out)
{
    const size_t prefix = MRI_SCHEMA_PREFIX_BYTES;
    const struct mri_state_schema *schema;
    struct mr_text text;
    char name[256];

    if (entry->key.size_bytes < prefix || entry->key.size_bytes - prefix >= sizeof name ||
        memcmp(entry->key.data, MRI_SCHEMA_PREFIX, prefix) != 0) {
        return false;
    }
    memcpy(name, entry->key.data + prefix, entry->key.size_bytes - prefix);
    name[entry->key.size_bytes - prefix] = 0;
    schema = mri_state_schema_find(schemas, operator_id, name);
    if (schema == NULL) return false;
    mr_text_init(&text, out->heap, 0);
    if (schema->key_count > 0) mr_text_add(&text, "by ");
    mri_state_fields_print(schema->keys, schema->key_count, &text);
    if (schema->field_count > 0) mr_text_add(&text, schema->key_count > 0 ? " of " : "of ");
    mri_state_fields_print(schema->fields, schema->field_count, &text);
    mr_text_add_quoted(out, mr_text_get(&text), text.size_bytes);
    if (mr_text_status(&text) != MR_OK) out->status = mr_text_status(&text);
    mr_text_fini(&text);
    return true;
}

static bool own_value(const char *operator_id, const struct mr_entry *entry, struct mr_cursor *in,
                      struct mr_text *out)
{
    bool named = entry->kind == MR_ENTRY_VALUE && entry->state_name[0] == 0;

    if (mri_entry_is_timer(entry)) return timer_text(in, out);
    if (strcmp(mri_state_entry_word(operator_id, entry), "split") == 0) return split_text(in, out);
    if (entry->kind == MR_ENTRY_VALUE && strcmp(entry->state_name, SPLITS_NAME) == 0) {
        return event_time_text(in, out);
    }
    if (named && strcmp(operator_id, JOB_ID) == 0) return job_text(in, out);
    if (named && entry->key.size_bytes == sizeof WATERMARK_NAME - 1 &&
        memcmp(entry->key.data, WATERMARK_NAME, entry->key.size_bytes) == 0) {
        return watermark_text(in, out);
    }
    return false;
}

void mri_state_value_text(struct mri_state_schemas *schemas, const char *operator_id,
                          const struct mr_entry *entry, struct mr_text *out)
{
    struct mr_cursor in = {entry->value.data, entry->value.data};
    size_t from = out->size_bytes;

    if (entry->value.size_bytes > 0) in.end += entry->value.size_bytes;
    if (own_value(operator_id, entry, &in, out)) return;
    take_back(out, from);
    if (entry->kind == MR_ENTRY_VALUE && entry->state_name[0] == 0 &&
        schema_text(schemas, operator_id, entry, out)) {
        return;
    }
    in.at = entry->value.data;
    if (described_value(schemas, operator_id, entry, &in, out)) return;
    take_back(out, from);
    mri_bytes_text(entry->value, out);
}
