/* segment.h - the bytes of the epoch log: framed records, and entries inside them.
 *
 * Every durable file of a state directory is a sequence of records. A record begins with a header
 * of 32 bytes: magic, CRC-32C of all that follows, version, kind, length, the file it belongs to
 * and its offset there. So a record that was torn, flipped, written to the wrong place, left over
 * from the earlier life of a recycled file or made by a newer program is told apart from a good one
 * by looking at it alone. docs/reference/formats.md describes every byte.
 *
 * Owns:    none; output goes to a caller's buffer, parsed records borrow from their input.
 * Thread:  confined.
 * Fails:   put: false, out of memory. parse: an outcome, never a read behind the end.
 * Cost:    linear in the bytes; one CRC over each.
 */
#ifndef MR_STATE_SEGMENT_H
#define MR_STATE_SEGMENT_H

#include "data/rowcodec.h"
#include "state/entry_run.h"

#define MRI_RECORD_HEADER_BYTES 32u
#define MRI_FORMAT_VERSION      1u
#define MRI_PAYLOAD_BYTES_MAX   (256u << 20)

enum mri_record_kind {
    MRI_SEGMENT = 1,  /* first record of a segment */
    MRI_BEGIN = 2,    /* an epoch begins; all before it is complete */
    MRI_ENTRIES = 3,  /* what changed */
    MRI_LINK = 4,     /* goes on in the next segment */
    MRI_COMPLETE = 5, /* trailer of an epoch: the decision */
    MRI_KNOWN = 6,    /* the epoch before was reported as complete */
    MRI_BASE = 7,     /* first record of a base file or a run */
    MRI_FOOTER = 8,   /* last record of a base file or a run */
    MRI_META = 9,
    MRI_MANIFEST = 10,
    MRI_LOCK = 11,
    MRI_SAVEPOINT = 12
};

struct mri_record {
    enum mri_record_kind kind;
    uint32_t crc;
    uint64_t offset;
    struct mr_bytes payload;
    size_t size_bytes; /* with its header */
};

enum mri_parse {
    MRI_PARSE_OK,
    MRI_PARSE_SHORT, /* *out_need bytes are needed to say more */
    MRI_PARSE_BAD,   /* not a record of this file at this offset */
    MRI_PARSE_NEWER  /* a good record of a later version */
};

/* File numbers: fence and number in one word. */
MR_INLINE uint64_t mri_file_id(uint64_t fence, uint64_t number)
{
    return fence << 32 | (number & UINT32_MAX);
}
#define MRI_NUMBER_MAX   UINT64_C(0xfffffff0)
#define MRI_ID_META      UINT64_MAX
#define MRI_ID_LOCK      (UINT64_MAX - 1)
#define MRI_ID_SAVEPOINT (UINT64_MAX - 2)

bool mri_record_put(struct mr_buffer *out, enum mri_record_kind kind, uint64_t file_id,
                    uint64_t offset, struct mr_bytes payload, uint32_t *out_crc) MR_MUST_USE;
enum mri_parse mri_record_parse(struct mr_bytes data, uint64_t file_id, uint64_t offset,
                                struct mri_record *out, size_t *out_need) MR_MUST_USE;

/* ---- records of fixed form ---- */

struct mri_segment_head {
    uint64_t job_hash;
    uint64_t fence;
    uint64_t number;
    uint64_t attempt;
    uint64_t capacity_bytes;
    uint64_t align_bytes; /* epochs begin at multiples of this */
};
#define MRI_EPOCH_FULL UINT64_C(1) /* the epoch stands alone: all state before it is forgotten */
struct mri_begin {
    uint64_t epoch;
    uint64_t known; /* the epoch before: complete, and so reported */
    uint64_t fence;
    uint64_t attempt;
    uint64_t flags;
};
struct mri_complete {
    uint64_t epoch;
    uint64_t fence;
    uint64_t attempt;
    uint64_t entry_count;
    uint64_t byte_count; /* of all records from BEGIN up to here, headers included */
    uint64_t crc;        /* CRC-32C over the CRC fields of these records, in order */
};
struct mri_link {
    uint64_t number; /* of the next segment: always this one's + 1 */
    uint64_t known;  /* as in mri_begin */
};
struct mri_base_head {
    uint64_t job_hash;
    uint64_t epoch; /* holds the state at the end of this one (0 in a run) */
};
struct mri_footer {
    uint64_t entry_count;
    uint64_t crc; /* over the CRC fields of all records before this one */
};

/* All of these are sequences of uint64, little endian. */
#define MRI_WORDS(structure) (sizeof(structure) / 8)
bool mri_words_put(struct mr_buffer *out, enum mri_record_kind kind, uint64_t file_id,
                   uint64_t offset, const void *words, size_t count, uint32_t *out_crc) MR_MUST_USE;
bool mri_words_get(const struct mri_record *record, void *words, size_t count) MR_MUST_USE;

/* ---- entries ---- */

/* With its terminator, so that a reader can borrow it. */
bool mri_name_put(struct mr_buffer *out, const char *name) MR_MUST_USE;
bool mri_name_get(struct mr_cursor *in, const char **out) MR_MUST_USE;

/* See state/entry_run.h. */
bool mri_entry_put(struct mr_entry_writer *writer, struct mr_buffer *out, const char *operator_id,
                   const struct mr_entry *entry) MR_MUST_USE;

struct mri_entry_reader {
    struct mr_cursor in;
    const char *operator_id; /* these borrow from the record */
    const char *state_name;
    uint32_t group_first;
    uint32_t group_end;
    int64_t ns;
};
enum mri_entry_next { MRI_ENTRY_GOT, MRI_ENTRY_END, MRI_ENTRY_BAD };
void mri_entry_reader_init(struct mri_entry_reader *reader, struct mr_bytes payload);
enum mri_entry_next mri_entry_next(struct mri_entry_reader *reader, struct mr_entry *out);

#endif
