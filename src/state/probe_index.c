/* probe_index.c - see probe_index.h. */
#include "state/probe_index.h"
#include "base/assert.h"

#define ROOM_FIRST 16u
/* Small indexes lie in the second cache whatever their load: the emptier, the fewer branches that
 * nobody can predict. Large ones cost a cache line per word: there the load is up to a half. */
#define ROOM_SMALL 65536u

/* What an index looks at before it has memory: never written, because reserve comes before add. */
static uint64_t no_words[1];

void mri_index_init(struct mri_index *index)
{
    *index = (struct mri_index){.words = no_words};
}

void mri_index_fini(struct mri_index *index, struct mr_heap *heap)
{
    if (index->words != no_words) {
        mr_free(heap, index->words, ((size_t)index->mask + 1) * sizeof *index->words);
    }
    mri_index_init(index);
}

static size_t entries_max(size_t room)
{
    return room <= ROOM_SMALL ? room / 4 : room / 2;
}

static void place(uint64_t *words, uint32_t mask, uint64_t word)
{
    uint32_t at = (uint32_t)(word >> 32) & mask;

    while (words[at] != 0) at = (at + 1) & mask;
    words[at] = word;
}

bool mri_index_reserve(struct mri_index *index, struct mr_heap *heap)
{
    size_t old_room = (size_t)index->mask + 1;
    size_t room = index->words == no_words ? ROOM_FIRST : old_room * 2;
    struct mri_index grown = {.count = index->count};

    if (index->words != no_words && index->count < entries_max(old_room)) return true;
    if (room > (size_t)UINT32_MAX + 1) return false;
    grown.words = mr_alloc_array(heap, room, sizeof *grown.words);
    if (grown.words == NULL) return false;
    grown.mask = (uint32_t)(room - 1);
    /* In order of the old places: both sides are walked front to back. */
    for (size_t i = 0; i < old_room; i++) {
        if (index->words[i] != 0) place(grown.words, grown.mask, index->words[i]);
    }
    mri_index_fini(index, heap);
    *index = grown;
    return true;
}

void mri_index_add(struct mri_index *index, uint32_t tag, uint32_t number)
{
    mr_assert(index->words != no_words);
    mr_assert(index->count <= index->mask / 2); /* (1) */
    place(index->words, index->mask, (uint64_t)tag << 32 | (number + UINT64_C(1)));
    index->count++;
}

/* Closes the gap by moving later entries of the same run forward, as far as their homes allow: no
 * marks of the dead remain. */
static void close_gap(struct mri_index *index, uint32_t gap)
{
    uint64_t *words = index->words;
    uint32_t mask = index->mask;

    for (uint32_t at = (gap + 1) & mask; words[at] != 0; at = (at + 1) & mask) {
        uint32_t home = (uint32_t)(words[at] >> 32) & mask;

        if (((at - home) & mask) >= ((at - gap) & mask)) {
            words[gap] = words[at];
            gap = at;
        }
    }
    words[gap] = 0;
}

void mri_index_remove(struct mri_index *index, uint32_t tag, uint32_t number)
{
    uint64_t word = (uint64_t)tag << 32 | (number + UINT64_C(1));
    uint32_t at = tag & index->mask;

    while (index->words[at] != word) {
        mr_assert(index->words[at] != 0);
        at = (at + 1) & index->mask;
    }
    close_gap(index, at);
    index->count--;
}

void mri_index_check(const struct mri_index *index)
{
    uint32_t count = 0;

    for (size_t i = 0; i <= index->mask; i++) {
        if (index->words[i] == 0) continue;
        count++;
        for (uint32_t at = (uint32_t)(index->words[i] >> 32) & index->mask; at != i;
             at = (at + 1) & index->mask) {
            mr_assert(index->words[at] != 0); /* (2) */
        }
    }
    mr_assert(count == index->count);
    mr_assert(index->words == no_words || count <= index->mask / 2 + 1); /* (1) */
}
