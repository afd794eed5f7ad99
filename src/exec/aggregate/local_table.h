/* local_table.h - the partial aggregate's table: (key, slice) -> accumulators, for a while.
 *
 * Not the keyed store: nothing here is sealed or removed; the table fills up, is written out as
 * columns, and emptied. An entry is one piece of memory - hash, nulls, rows, slice, key, slot - so
 * that a row costs one cache line in the index and one or two in the entries; both are fetched
 * ahead for a block of rows. The index has 4 bytes per place: 8 bits of hash, 24 of entry number.
 *
 * In *append* mode the index is not used: every row makes an entry. That is how rows pass through
 * when keys repeat too rarely for a table to pay.
 *
 * Owns:    entries, index, long texts, blobs of slots.
 * Thread:  confined.
 * Fails:   a full table is no failure: resolve stops and says where. A table that cannot grow for
 *          lack of memory is full; MR_E_NOMEM only when it is empty.
 * Cost:    about 10 ns per row for tables within L2, no allocation per row.
 *
 * Invariants: (1) count <= limit. (2) The index holds every entry once, or none in append mode; it
 *  is at most half full. (3) Entries are in order of insertion.
 */
#ifndef MR_EXEC_AGGREGATE_LOCAL_TABLE_H
#define MR_EXEC_AGGREGATE_LOCAL_TABLE_H

#include "exec/aggregate/accumulator.h"

#define MRI_LOCAL_ENTRIES_MAX (1u << 23) /* entry numbers have 24 bits, 0 is free */

struct mri_local_header { /* first in every entry */
    uint64_t hash;  /* canonical, of the key */
    uint32_t nulls; /* bit per key column */
    uint32_t rows;  /* input rows in the slot */
};

struct mri_local_cell { /* where a key column lies in an entry */
    uint32_t offset;
    enum mr_layout layout;
};

struct mri_local_piece; /* of long texts */

struct mri_local {
    struct mr_heap *heap;
    struct mri_accs *accs;
    struct mri_blob_heap blobs;
    uint32_t key_count;
    const struct mr_field *keys;
    struct mri_local_cell *cells;
    bool sliced;
    bool append;
    uint32_t slice_offset, slot_offset, entry_bytes;
    uint32_t limit; /* entries */
    size_t text_limit_bytes;

    char *entries;
    uint32_t count, capacity;
    uint32_t *index;
    uint32_t index_size; /* a power of two */

    struct mri_local_piece *pieces; /* newest first */
    size_t text_bytes;
};

/* `budget_bytes`: what entries and index, and again long texts, may take. The accumulators' blobs
 * are the table's from now on. */
enum mr_status mri_local_init(struct mri_local *local, struct mr_heap *heap,
                              const struct mr_plan_op *plan, struct mri_accs *accs, bool sliced,
                              size_t budget_bytes, struct mr_error *err) MR_MUST_USE;
void mri_local_fini(struct mri_local *local); /* zeroed: allowed */

struct mri_local_rows {
    const struct mr_column *keys; /* FLAT or CONST */
    const uint64_t *hashes;       /* per element */
    const int64_t *slices;        /* per element; sliced only */
    const uint32_t *rows;         /* NULL: 0..count-1 */
    uint32_t count;
};
/* Finds or makes the entries of rows [first, count); stops where the table is full. *out_end: the
 * first row that was not resolved. out_entries[i] for row number i of the list. */
enum mr_status mri_local_resolve(struct mri_local *local, const struct mri_local_rows *in,
                                 uint32_t first, uint32_t *out_entries, uint32_t *out_end,
                                 struct mr_error *err) MR_MUST_USE;
bool mri_local_full(const struct mri_local *local);
void mri_local_clear(struct mri_local *local);

MR_INLINE char *mri_local_entry(const struct mri_local *local, uint32_t entry)
{
    return local->entries + (size_t)entry * local->entry_bytes;
}
MR_INLINE struct mri_local_header *mri_local_head(const struct mri_local *local, uint32_t entry)
{
    return (struct mri_local_header *)(void *)mri_local_entry(local, entry);
}
MR_INLINE char *mri_local_slot(const struct mri_local *local, uint32_t entry)
{
    return mri_local_entry(local, entry) + local->slot_offset;
}

/* Writes the keys of entries into columns 0..key_count-1 of `batch` and hidden columns for hash and
 * slice into hidden[0..1] (room of the caller's in the batch). False: no room in the quota. */
bool mri_local_write_keys(const struct mri_local *local, const uint32_t *entries, uint32_t count,
                          struct mr_batch *batch, struct mr_column *out_hash,
                          struct mr_column *out_slice) MR_MUST_USE;

#endif
