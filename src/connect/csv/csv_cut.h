/* csv_cut.h - where CSV fields and records end: one automaton, in three speeds.
 *
 * The automaton reads one byte at a time. A quote opens a quoted field only at the beginning of a
 * field; elsewhere it is a plain byte of a bad field, whose record is rejected, so that a stray
 * quote never swallows the rest of a file.
 *
 *     state      '"'      delimiter  newline  other
 *     RECORD     QUOTED   FIELD      RECORD   PLAIN     a record begins here
 *     FIELD      QUOTED   FIELD      RECORD   PLAIN     a field begins here
 *     PLAIN      PLAIN    FIELD      RECORD   PLAIN     unquoted, or behind a quoted one
 *     QUOTED     QUOTE    QUOTED     QUOTED   QUOTED
 *     QUOTE      QUOTED   FIELD      RECORD   PLAIN     closed, or the first half of ""
 *
 * The index runs it over 64 bytes at once: where every quote stands at a sensible place, being
 * inside is the parity of the quotes before. Where one does not, that block goes byte by byte. The
 * transfer function of a piece of a file says for every state before it the state behind it; so
 * pieces can be looked at in any order and still be cut as if the file had been read in one go.
 *
 * Owns:    the position arrays of an index.
 * Thread:  confined.
 * Fails:   init with the heap.
 * Cost:    index: 5-20 cycles per 64 bytes without quotes, 20-40 with.
 *
 * Invariants:
 *  (1) positions[at - 1] + 1 is the first byte of the next record.
 *  (2) ends are those of positions[at..count) that are newlines, in order.
 */
#ifndef MR_CONNECT_CSV_CSV_CUT_H
#define MR_CONNECT_CSV_CSV_CUT_H

#include "base/heap.h"
#include "connect/file/scan.h"

enum mri_csv_state {
    MRI_CSV_RECORD,
    MRI_CSV_FIELD,
    MRI_CSV_PLAIN,
    MRI_CSV_QUOTED,
    MRI_CSV_QUOTE,
    MRI_CSV_STATES
};

MR_INLINE enum mri_csv_state mri_csv_step(enum mri_csv_state state, char c, char delimiter)
{
    if (state == MRI_CSV_QUOTED) return c == '"' ? MRI_CSV_QUOTE : MRI_CSV_QUOTED;
    if (c == '"') return state == MRI_CSV_PLAIN ? MRI_CSV_PLAIN : MRI_CSV_QUOTED;
    if (c == delimiter) return MRI_CSV_FIELD;
    return c == '\n' ? MRI_CSV_RECORD : MRI_CSV_PLAIN;
}

/* ---- positions of separators ---- */

struct mri_csv_index {
    struct mr_heap *heap;
    const struct mri_scan_ops *ops;
    char delimiter;
    enum mri_csv_state state; /* before `scanned` */
    bool quotes;              /* of what positions[at..] cover: there are quotes, */
    bool suspect;             /* and some of them may stand at wrong places; */
    bool high;                /* there are bytes above 0x7f */
    uint32_t scanned;
    uint32_t at; /* first separator of the next record */
    uint32_t count;
    uint32_t end_at;
    uint32_t end_count;
    uint32_t dropped; /* separators of the next record that there was no room for */
    uint32_t enough;  /* stop scanning with so many positions */
    size_t room;
    uint32_t *positions; /* positions[-1] exists */
    uint32_t *ends;
};

/* `fields`: how many a record has. */
enum mr_status mri_csv_index_init(struct mri_csv_index *index, struct mr_heap *heap, char delimiter,
                                  uint32_t fields, struct mr_error *err) MR_MUST_USE;
void mri_csv_index_fini(struct mri_csv_index *index); /* a zeroed one is allowed */
/* Starts anew: a record, or something in `state`, begins at `begin`. */
void mri_csv_index_reset(struct mri_csv_index *index, uint32_t begin, enum mri_csv_state state);
/* Scans data up to `end` (MRI_SCAN_PAD zero bytes follow) or until there are enough positions. */
void mri_csv_index_run(struct mri_csv_index *index, const char *data, uint32_t end);
/* Forgets what lies before `at` and moves the rest to the front. `begin`: of the next record. */
void mri_csv_index_compact(struct mri_csv_index *index, const char *data, uint32_t begin);
/* All data moved down by `distance`. */
void mri_csv_index_shift(struct mri_csv_index *index, uint32_t distance);

/* ---- transfer functions ---- */

struct mri_csv_transfer {
    uint8_t behind[MRI_CSV_STATES]; /* state before -> state behind */
};

void mri_csv_transfer_init(struct mri_csv_transfer *transfer); /* of no bytes: identity */
/* Appends bytes; MRI_SCAN_PAD zero bytes must follow them. */
void mri_csv_transfer_run(struct mri_csv_transfer *transfer, const struct mri_scan_ops *ops,
                          char delimiter, const char *data, size_t size_bytes);

#endif
