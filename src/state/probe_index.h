/* probe_index.h - from hash to number: open addressing with linear probing. Internal to state.
 *
 * An entry is one word: the low half of the hash (its tag) above number + 1; 0 is empty. Because
 * the tag alone decides the place, growing and removing never look at keys. The high half of the
 * hash decides the key group and would be alike for all keys of an instance, so it is not used.
 * Callers walk the entries themselves (mri_index_at) and compare keys where tags agree.
 *
 * Owns:    its words.
 * Thread:  confined.
 * Fails:   reserve answers false at the heap's limit; the index is as before.
 * Cost:    at most half full, small ones a quarter: 1.5 words are looked at per hit, 2.5 per miss.
 *
 * Invariants: (1) count <= room / 2. (2) From an entry's home to its place no word is empty.
 */
#ifndef MR_STATE_PROBE_INDEX_H
#define MR_STATE_PROBE_INDEX_H

#include "base/heap.h"

struct mri_index {
    uint64_t *words; /* mask + 1 of them; one shared empty word before the first reserve */
    uint32_t mask;
    uint32_t count;
};

#define MRI_INDEX_NONE UINT32_MAX

void mri_index_init(struct mri_index *index);
void mri_index_fini(struct mri_index *index, struct mr_heap *heap);
/* Room for one more entry; call it before each add. */
bool mri_index_reserve(struct mri_index *index, struct mr_heap *heap) MR_MUST_USE;
void mri_index_add(struct mri_index *index, uint32_t tag, uint32_t number);
void mri_index_remove(struct mri_index *index, uint32_t tag, uint32_t number);
void mri_index_check(const struct mri_index *index);

/* The next number with this tag at or behind *position (start with the tag), or MRI_INDEX_NONE. */
MR_INLINE uint32_t mri_index_at(const struct mri_index *index, uint32_t tag, uint32_t *position)
{
    for (uint32_t at = *position & index->mask;; at = (at + 1) & index->mask) {
        uint64_t word = index->words[at];

        if (MR_UNLIKELY(word == 0)) return MRI_INDEX_NONE;
        if (MR_LIKELY((uint32_t)(word >> 32) == tag)) {
            *position = at + 1;
            return (uint32_t)word - 1;
        }
    }
}

#endif
