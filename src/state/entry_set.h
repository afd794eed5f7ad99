/* entry_set.h - entries in memory, in order, the newest of each thing only.
 *
 * Entries go in as they come out of seals or of the log; sorted, they come out in the order of
 * entry_order.h. Removals stay, because they are about what lies outside as well; drops are kept
 * apart and remove what came before them, also outside (mri_drops_cover).
 *
 * Owns:    copies of what goes in.
 * Thread:  confined.
 * Fails:   false: out of memory.
 * Cost:    one copy per entry. Memory is bounded by twice what differs (and tidy_bytes): when that
 *          much has come together, what newer entries replaced is thrown out.
 */
#ifndef MR_STATE_ENTRY_SET_H
#define MR_STATE_ENTRY_SET_H

#include "state/entry_order.h"

struct mri_item {
    struct mri_item *next;
    uint64_t moment; /* counts entries in the order of their coming, from 1 */
    size_t sort_key_bytes;
    struct mr_entry entry; /* its bytes lie behind */
    char sort_key[];       /* begins with the operator's name */
};

struct mri_entry_set {
    struct mr_heap *heap;
    struct mr_arena items;
    struct mri_item *first; /* sorted after mri_entry_set_sort */
    struct mri_item **end;
    uint64_t moment;
    size_t tidy_bytes; /* from here on it is tidied */
    size_t tidy_at;
    struct mri_drops drops;
    struct mr_buffer scratch;
};

/* tidy_bytes 0: 64 MiB. */
void mri_entry_set_init(struct mri_entry_set *set, struct mr_heap *heap, size_t tidy_bytes);
void mri_entry_set_fini(struct mri_entry_set *set); /* a zeroed one is allowed */
void mri_entry_set_clear(struct mri_entry_set *set);
bool mri_entry_set_add(struct mri_entry_set *set, const char *operator_id,
                       const struct mr_entry *entry) MR_MUST_USE;
/* Afterwards `first` leads through one item per sort key. Adding may go on. */
void mri_entry_set_sort(struct mri_entry_set *set);

#endif
