/* segment.c - see segment.h. */
#include "state/segment.h"

#include "base/assert.h"
#include "base/crc.h"

#include <string.h>

#define MAGIC 0x314c524du /* "MRL1" */

_Static_assert(sizeof(struct mri_segment_head) == 6 * 8, "words without gaps");
_Static_assert(sizeof(struct mri_begin) == 5 * 8, "words without gaps");
_Static_assert(sizeof(struct mri_complete) == 6 * 8, "words without gaps");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are stored as they are");

/* The header as it is stored. */
struct head {
    uint32_t magic;
    uint32_t crc; /* of all bytes from `version` to the end of the payload */
    uint16_t version;
    uint8_t kind;
    uint8_t zero;
    uint32_t length;
    uint64_t file_id;
    uint64_t offset;
};
_Static_assert(sizeof(struct head) == MRI_RECORD_HEADER_BYTES, "the header is a format");
#define CRC_FROM 8u

bool mri_record_put(struct mr_buffer *out, enum mri_record_kind kind, uint64_t file_id,
                    uint64_t offset, struct mr_bytes payload, uint32_t *out_crc)
{
    struct head head = {.magic = MAGIC,
                        .version = MRI_FORMAT_VERSION,
                        .kind = (uint8_t)kind,
                        .length = (uint32_t)payload.size_bytes,
                        .file_id = file_id,
                        .offset = offset};

    mr_assert(payload.size_bytes <= MRI_PAYLOAD_BYTES_MAX);
    head.crc = mr_crc32c(0, (const char *)&head + CRC_FROM, sizeof head - CRC_FROM);
    head.crc = mr_crc32c(head.crc, payload.data, payload.size_bytes);
    if (!mr_buffer_reserve(out, sizeof head + payload.size_bytes)) return false;
    if (!mr_buffer_put(out, &head, sizeof head)) return false;
    if (payload.size_bytes > 0 && !mr_buffer_put(out, payload.data, payload.size_bytes)) {
        return false;
    }
    if (out_crc != NULL) *out_crc = head.crc;
    return true;
}

enum mri_parse mri_record_parse(struct mr_bytes data, uint64_t file_id, uint64_t offset,
                                struct mri_record *out, size_t *out_need)
{
    struct head head;
    size_t size;

    *out_need = sizeof head;
    if (data.size_bytes < sizeof head) return MRI_PARSE_SHORT;
    memcpy(&head, data.data, sizeof head);
    if (head.magic != MAGIC || head.file_id != file_id || head.offset != offset) {
        return MRI_PARSE_BAD;
    }
    if (head.length > MRI_PAYLOAD_BYTES_MAX) return MRI_PARSE_BAD;
    size = sizeof head + head.length;
    *out_need = size;
    if (data.size_bytes < size) return MRI_PARSE_SHORT;
    if (head.crc != mr_crc32c(0, data.data + CRC_FROM, size - CRC_FROM)) return MRI_PARSE_BAD;
    if (head.version > MRI_FORMAT_VERSION) return MRI_PARSE_NEWER;
    if (head.version == 0 || head.zero != 0 || head.kind < MRI_SEGMENT ||
        head.kind > MRI_SAVEPOINT) {
        return MRI_PARSE_BAD;
    }
    *out = (struct mri_record){.kind = (enum mri_record_kind)head.kind,
                               .crc = head.crc,
                               .offset = offset,
                               .payload = {data.data + sizeof head, head.length},
                               .size_bytes = size};
    return MRI_PARSE_OK;
}

bool mri_words_put(struct mr_buffer *out, enum mri_record_kind kind, uint64_t file_id,
                   uint64_t offset, const void *words, size_t count, uint32_t *out_crc)
{
    return mri_record_put(out, kind, file_id, offset,
                          (struct mr_bytes){(const char *)words, count * 8}, out_crc);
}

bool mri_words_get(const struct mri_record *record, void *words, size_t count)
{
    if (record->payload.size_bytes != count * 8) return false;
    memcpy(words, record->payload.data, count * 8);
    return true;
}

/* ---- entries ---- */

/* First byte of an item: 1 + the kind of an entry, or this. */
#define ITEM_CONTEXT 0x40u

static uint64_t zigzag(int64_t from, int64_t to)
{
    uint64_t delta = (uint64_t)to - (uint64_t)from;

    return delta << 1 ^ (delta >> 63 ? UINT64_MAX : 0);
}

static int64_t zigzag_back(int64_t from, uint64_t coded)
{
    return (int64_t)((uint64_t)from + (coded >> 1 ^ (coded & 1 ? UINT64_MAX : 0)));
}

static char *write_varint(char *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (char)(value | 0x80);
        value >>= 7;
    }
    *at++ = (char)value;
    return at;
}

static char *write_bytes(char *at, const void *data, size_t size_bytes)
{
    at = write_varint(at, size_bytes);
    if (size_bytes > 0) memcpy(at, data, size_bytes);
    return at + size_bytes;
}

static bool same_context(const struct mr_entry_writer *writer, const char *operator_id,
                         const struct mr_entry *entry)
{
    if (!writer->begun || writer->group_first != entry->group_first ||
        writer->group_end != entry->group_end) {
        return false;
    }
    if (writer->operator_at == operator_id && writer->state_at == entry->state_name) return true;
    return strcmp(writer->operator_id, operator_id) == 0 &&
           strcmp(writer->state_name, entry->state_name) == 0;
}

/* Names go with their terminators, so that a reader can borrow them. */
static char *write_context(struct mr_entry_writer *writer, char *at, const char *operator_id,
                           const struct mr_entry *entry)
{
    size_t operator_bytes = strlen(operator_id) + 1;
    size_t state_bytes = strlen(entry->state_name) + 1;

    mr_assert(operator_bytes <= sizeof writer->operator_id);
    mr_assert(state_bytes <= sizeof writer->state_name);
    memcpy(writer->operator_id, operator_id, operator_bytes);
    memcpy(writer->state_name, entry->state_name, state_bytes);
    writer->operator_at = operator_id;
    writer->state_at = entry->state_name;
    writer->group_first = entry->group_first;
    writer->group_end = entry->group_end;
    writer->ns = 0;
    writer->begun = true;
    *at++ = (char)ITEM_CONTEXT;
    at = write_bytes(at, operator_id, operator_bytes);
    at = write_bytes(at, entry->state_name, state_bytes);
    at = write_varint(at, entry->group_first);
    return write_varint(at, entry->group_end);
}

char *mr_entry_write(struct mr_entry_writer *writer, char *at, const char *operator_id,
                     const struct mr_entry *entry)
{
    if (!same_context(writer, operator_id, entry)) {
        at = write_context(writer, at, operator_id, entry);
    }
    *at++ = (char)((uint32_t)entry->kind + 1);
    at = write_varint(at, entry->key_group);
    at = write_varint(at, zigzag(writer->ns, entry->ns));
    writer->ns = entry->ns;
    at = write_bytes(at, entry->key.data, entry->key.size_bytes);
    return write_bytes(at, entry->value.data, entry->value.size_bytes);
}

bool mri_entry_put(struct mr_entry_writer *writer, struct mr_buffer *out, const char *operator_id,
                   const struct mr_entry *entry)
{
    if (!mr_buffer_reserve(out, mr_entry_bytes_max(entry))) return false;
    writer->operator_at = NULL; /* names may lie where others lay before: compare them whole */
    out->size_bytes =
        (size_t)(mr_entry_write(writer, out->data + out->size_bytes, operator_id, entry) -
                 out->data);
    return true;
}

void mri_entry_reader_init(struct mri_entry_reader *reader, struct mr_bytes payload)
{
    *reader = (struct mri_entry_reader){.in = {payload.data, payload.data + payload.size_bytes}};
}

static bool get_u32(struct mr_cursor *in, uint32_t *out)
{
    uint64_t value;

    if (!mr_cursor_varint(in, &value) || value > UINT32_MAX) return false;
    *out = (uint32_t)value;
    return true;
}

bool mri_name_put(struct mr_buffer *out, const char *name)
{
    size_t size = strlen(name) + 1;

    mr_assert(size <= MR_ENTRY_NAME_BYTES_MAX + 1);
    return mr_buffer_put_varint(out, size) && mr_buffer_put(out, name, size);
}

bool mri_name_get(struct mr_cursor *in, const char **out)
{
    uint64_t size;

    if (!mr_cursor_varint(in, &size) || size == 0 || size > MR_ENTRY_NAME_BYTES_MAX + 1)
        return false;
    if (!mr_cursor_take(in, (size_t)size, out)) return false;
    return memchr(*out, 0, (size_t)size) == *out + size - 1;
}

static bool get_context(struct mri_entry_reader *reader)
{
    reader->ns = 0;
    return mri_name_get(&reader->in, &reader->operator_id) &&
           mri_name_get(&reader->in, &reader->state_name) &&
           get_u32(&reader->in, &reader->group_first) && get_u32(&reader->in, &reader->group_end);
}

static bool get_bytes(struct mr_cursor *in, struct mr_bytes *out)
{
    uint64_t size;

    if (!mr_cursor_varint(in, &size) || size > (uint64_t)(in->end - in->at)) return false;
    out->size_bytes = (size_t)size;
    return mr_cursor_take(in, (size_t)size, &out->data);
}

enum mri_entry_next mri_entry_next(struct mri_entry_reader *reader, struct mr_entry *out)
{
    struct mr_cursor *in = &reader->in;
    uint64_t ns;
    uint8_t tag;

    if (in->at == in->end) return MRI_ENTRY_END;
    tag = (uint8_t)*in->at++;
    if (tag == ITEM_CONTEXT) {
        if (!get_context(reader) || in->at == in->end) return MRI_ENTRY_BAD;
        tag = (uint8_t)*in->at++;
    }
    if (tag == 0 || tag > MR_ENTRY_VALUE + 1 || reader->operator_id == NULL) return MRI_ENTRY_BAD;
    *out = (struct mr_entry){.kind = (enum mr_entry_kind)(tag - 1),
                             .state_name = reader->state_name,
                             .group_first = reader->group_first,
                             .group_end = reader->group_end};
    if (!get_u32(in, &out->key_group) || !mr_cursor_varint(in, &ns) || !get_bytes(in, &out->key) ||
        !get_bytes(in, &out->value)) {
        return MRI_ENTRY_BAD;
    }
    out->ns = reader->ns = zigzag_back(reader->ns, ns);
    return MRI_ENTRY_GOT;
}
