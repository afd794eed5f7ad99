/* entry_order.h - the order in which state lies in base files and savepoints, and what drops remove.
 *
 * A sort key is operator, state, class (0 keys, 1 timers, 2 operator values), key group, namespace,
 * what else makes the identity, key; all in bytes that memcmp orders. Two entries with one sort key
 * are about one thing, and the newer one is right. Every sort key begins with the names of operator
 * and state, each with its terminator, and ends with the key.
 *
 * A DROP is about many things: drops are kept apart, each with the moment at which it happened.
 *
 * Owns:    drops own their list and copies of names; a sort key goes to a caller's buffer.
 * Thread:  confined.
 * Fails:   false: out of memory.
 * Cost:    a sort key: linear in its bytes. Sorting: in place, no recursion. Covers: one binary
 *          search, and a step per drop of the same namespace.
 */
#ifndef MR_STATE_ENTRY_ORDER_H
#define MR_STATE_ENTRY_ORDER_H

#include "base/arena.h"
#include "state/store.h"

bool mri_sort_key_put(struct mr_buffer *out, const char *operator_id,
                      const struct mr_entry *entry) MR_MUST_USE;
int mri_sort_key_compare(const char *left, size_t left_size, const char *right, size_t right_size);
bool mri_entry_is_timer(const struct mr_entry *entry);
/* Values, and timers without a key: every instance has its own, told apart by its key groups. */
bool mri_entry_is_of_instance(const struct mr_entry *entry);

/* Heap sort. */
void mri_sort(void *array, size_t count, size_t size_bytes,
              bool (*before)(const void *left, const void *right));

struct mri_drop {
    const char *operator_id; /* in `names` */
    const char *state_name;
    int64_t ns;
    uint32_t group_first;
    uint32_t group_end;
    uint64_t moment;
};
struct mri_drops {
    struct mr_heap *heap;
    struct mr_arena names;
    struct mri_drop *items;
    uint32_t count, room, sorted;
};
void mri_drops_init(struct mri_drops *drops, struct mr_heap *heap);
void mri_drops_fini(struct mri_drops *drops);
void mri_drops_clear(struct mri_drops *drops);
bool mri_drops_add(struct mri_drops *drops, const char *operator_id, const struct mr_entry *entry,
                   uint64_t moment) MR_MUST_USE;
void mri_drops_sort(struct mri_drops *drops); /* before asking, after adding */
/* Was the entry, which happened at `moment`, dropped after that? */
bool mri_drops_cover(const struct mri_drops *drops, const char *operator_id,
                     const struct mr_entry *entry, uint64_t moment);

#endif
