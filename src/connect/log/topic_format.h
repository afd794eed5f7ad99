/* topic_format.h - the bytes of a topic: framed records; docs/reference/formats.md has every one.
 *
 * A record begins with 32 bytes: magic, CRC-32C of what follows, version, kind, length, the file it
 * belongs to and its offset there. So one that was torn, flipped, written to the wrong place or
 * made by a newer program is told from a good one by looking at it alone.
 *
 * Owns:    none; output goes to a caller's buffer, parsed records borrow from their input.
 * Thread:  confined.
 * Fails:   put: false, out of memory. peek and parse: an outcome, never a read behind the end.
 * Cost:    linear in the bytes; one CRC over each.
 */
#ifndef MR_CONNECT_LOG_TOPIC_FORMAT_H
#define MR_CONNECT_LOG_TOPIC_FORMAT_H

#include "data/rowcodec.h"

#define MRI_TOPIC_HEADER_BYTES  32u
#define MRI_TOPIC_PAYLOAD_MAX   (64u << 20)
#define MRI_TOPIC_ROW_MAX       (16u << 20)
#define MRI_TOPIC_PARTITIONS    256u /* at most */
#define MRI_TOPIC_SEGMENTS_MAX  (1u << 22)
#define MRI_TOPIC_ROWS_BYTES    24u /* of a ROWS payload, before its rows */

enum mri_topic_kind { /* a format: never renumber */
                      MRI_TOPIC_TOPIC = 1,   /* the file `topic`: what all partitions share */
                      MRI_TOPIC_ATTEMPT = 2, /* the file `attempt-G`: which rows count */
                      MRI_TOPIC_CLOSED = 3,  /* the file `closed-G-P`: nothing more comes */
                      MRI_TOPIC_HEAD = 4,    /* first record of a segment */
                      MRI_TOPIC_ROWS = 5,
                      MRI_TOPIC_COMMIT = 6, /* all rows up to a number are committed */
                      MRI_TOPIC_NEXT = 7,   /* goes on in the next segment */
                      MRI_TOPIC_PAD = 8     /* zeros up to the next block */
};

struct mri_topic_record {
    enum mri_topic_kind kind;
    struct mr_bytes payload;
    uint32_t size_bytes; /* with its header */
};

enum mri_topic_parse {
    MRI_TOPIC_GOOD,
    MRI_TOPIC_EMPTY, /* zeros: nothing was written here yet */
    MRI_TOPIC_BAD,   /* not a record of this file at this offset, or more bytes are needed */
    MRI_TOPIC_NEWER
};

/* File numbers. Generations begin with 1 and fit 32 bits. */
MR_INLINE uint64_t mri_topic_segment_id(uint64_t generation, uint32_t partition, uint32_t segment)
{
    return generation << 32 | (uint64_t)partition << 22 | segment;
}
#define MRI_TOPIC_ID_TOPIC               UINT64_C(0)
#define MRI_TOPIC_ID_ATTEMPT(generation) ((generation) << 32 | UINT32_MAX)
#define MRI_TOPIC_ID_CLOSED(generation, partition) \
    ((generation) << 32 | 0xc0000000u | (partition))

/* Begin, payload, end; `start` is what begin gave. */
bool mri_topic_begin(struct mr_buffer *out, size_t *out_start) MR_MUST_USE;
void mri_topic_end(struct mr_buffer *out, size_t start, enum mri_topic_kind kind, uint64_t file_id,
                   uint64_t offset);
/* A record of words. */
bool mri_topic_put(struct mr_buffer *out, enum mri_topic_kind kind, uint64_t file_id,
                   uint64_t offset, const uint64_t *words, size_t count) MR_MUST_USE;
/* Looks at the header alone (32 bytes): kind and size_bytes, without the CRC. */
enum mri_topic_parse mri_topic_peek(const char *header, uint64_t file_id, uint64_t offset,
                                    struct mri_topic_record *out);
/* The whole record, which lies at the start of `data`. */
enum mri_topic_parse mri_topic_parse(struct mr_bytes data, uint64_t file_id, uint64_t offset,
                                     struct mri_topic_record *out);
/* Exactly `count` words. */
bool mri_topic_words(const struct mri_topic_record *record, uint64_t *words,
                     size_t count) MR_MUST_USE;

/* ---- payloads ---- */

struct mri_topic_head { /* as words, in this order */
    uint64_t schema_hash;
    uint64_t partition;
    uint64_t generation;
    uint64_t segment;
    uint64_t fence;
    uint64_t first_row; /* number of the first row in this segment, if it holds any */
};
struct mri_topic_commit {
    uint64_t epoch;
    uint64_t row_end; /* rows below it are committed */
};
#define MRI_TOPIC_WORDS(structure) (sizeof(structure) / 8)
#define MRI_TOPIC_ROWS_TIMES UINT64_C(1) /* flag: each row begins with its event time, 8 bytes */

/* ---- schema ---- */

bool mri_topic_put_schema(struct mr_buffer *out, const struct mr_schema *schema) MR_MUST_USE;
/* `name`: of the file, for messages. */
enum mr_status mri_topic_get_schema(struct mr_cursor *in, struct mr_heap *heap, const char *name,
                                    struct mr_schema **out, struct mr_error *err) MR_MUST_USE;
/* Over the bytes of put_schema. 0: no memory. */
uint64_t mri_topic_schema_hash(struct mr_heap *heap, const struct mr_schema *schema);

/* Steps over a value in row form. False: the bytes are no such value. */
bool mri_topic_skip_value(struct mr_cursor *in, const struct mr_field *field) MR_MUST_USE;

#endif
