/* csv_cut.c - see csv_cut.h. */
#include "connect/csv/csv_cut.h"

#include "base/assert.h"
#include "base/bitset.h"
#include "base/status.h"

#include <string.h>

#ifdef MR_TEST_SMALL
#define ENOUGH_POSITIONS 64u
#else
#define ENOUGH_POSITIONS 8192u /* 32 KiB: the positions of a window stay in the first-level cache */
#endif
#define GROUP_BYTES (MRI_SCAN_WORDS * MRI_SCAN_BYTES)

/* ---- 64 bytes at once ---- */

/* Bit i of the result is the parity of bits 0..i. */
static uint64_t prefix_parity(uint64_t bits)
{
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^= bits << 32;
    return bits;
}

struct block {
    const char *data;
    uint32_t size; /* 1..64; masks have no bits behind it */
    uint64_t separators;
    uint64_t newlines;
    uint64_t quotes;
};

static uint64_t cut_bytewise(const struct block *block, char delimiter, enum mri_csv_state *state)
{
    uint64_t separators = 0;

    for (uint32_t i = 0; i < block->size; i++) {
        *state = mri_csv_step(*state, block->data[i], delimiter);
        separators |= (uint64_t)(*state <= MRI_CSV_FIELD) << i;
    }
    return separators;
}

/* Behind a closing quote only a separator, another quote or the end of a line with \r is right. */
static bool odd_after_quote(const struct block *block, uint64_t after, uint64_t right)
{
    for (uint64_t odd = after & ~right & mr_bits_low(block->size); odd != 0; odd &= odd - 1) {
        const char *at = block->data + __builtin_ctzll(odd);

        if (at[0] != '\r' || at[1] != '\n') return true;
    }
    return false;
}

static enum mri_csv_state state_behind(const struct block *block, uint64_t separators,
                                       uint64_t inside, uint64_t closing)
{
    uint64_t last = UINT64_C(1) << (block->size - 1);

    if (inside & last) return MRI_CSV_QUOTED;
    if (closing & last) return MRI_CSV_QUOTE;
    if (!(separators & last)) return MRI_CSV_PLAIN;
    return block->newlines & last ? MRI_CSV_RECORD : MRI_CSV_FIELD;
}

/* The separators that count, and the state behind the block. */
static uint64_t cut_block(const struct block *block, char delimiter, enum mri_csv_state *state,
                          bool *suspect)
{
    uint64_t field_before = *state <= MRI_CSV_FIELD;
    uint64_t close_before = *state == MRI_CSV_QUOTE;
    uint64_t inside = prefix_parity(block->quotes) ^ (*state == MRI_CSV_QUOTED ? UINT64_MAX : 0);
    uint64_t opening = block->quotes & inside;
    uint64_t closing = block->quotes & ~inside;
    uint64_t separators = block->separators & ~inside;
    uint64_t after_field = separators << 1 | field_before;
    uint64_t after_close = closing << 1 | close_before;

    /* Parity is right exactly when every opening quote stands where the automaton opens. */
    if (MR_UNLIKELY((opening & ~(after_field | after_close)) != 0)) {
        *suspect = true;
        return cut_bytewise(block, delimiter, state);
    }
    *suspect |= odd_after_quote(block, after_close, separators | opening);
    *state = state_behind(block, separators, inside, closing);
    return separators;
}

static enum mri_csv_state state_of_last(char c, char delimiter)
{
    if (c == '\n') return MRI_CSV_RECORD;
    return c == delimiter ? MRI_CSV_FIELD : MRI_CSV_PLAIN;
}

/* ---- index ---- */

enum mr_status mri_csv_index_init(struct mri_csv_index *index, struct mr_heap *heap, char delimiter,
                                  uint32_t fields, struct mr_error *err)
{
    size_t enough = MR_MAX((size_t)ENOUGH_POSITIONS, (size_t)fields * 2);
    size_t room = enough + GROUP_BYTES + MRI_SCAN_PAD;

    memset(index, 0, sizeof *index);
    /* One array for both: [-1] and positions, then ends. */
    uint32_t *memory = mr_alloc(heap, (1 + 2 * room) * sizeof *memory);

    if (memory == NULL)
        return mr_error_nomem(err, "a reader of CSV", (1 + 2 * room) * sizeof *memory);
    index->heap = heap;
    index->ops = mri_scan_ops();
    index->delimiter = delimiter;
    index->enough = (uint32_t)enough;
    index->room = room;
    index->positions = memory + 1;
    index->ends = memory + 1 + room;
    mri_csv_index_reset(index, 0, MRI_CSV_RECORD);
    return MR_OK;
}

void mri_csv_index_fini(struct mri_csv_index *index)
{
    if (index->heap == NULL) return;
    mr_free(index->heap, index->positions - 1, (1 + 2 * index->room) * sizeof(uint32_t));
    memset(index, 0, sizeof *index);
}

void mri_csv_index_reset(struct mri_csv_index *index, uint32_t begin, enum mri_csv_state state)
{
    index->state = state;
    index->quotes = index->suspect = index->high = false;
    index->scanned = begin;
    index->at = index->count = 0;
    index->end_at = index->end_count = 0;
    index->dropped = 0;
    index->positions[-1] = begin - 1; /* wraps at 0, and wraps back where 1 is added */
}

/* With quotes in sight: leaves in `masks` what counts. */
static void resolve_quotes(struct mri_csv_index *index, const char *data, uint32_t size_bytes,
                           struct mri_masks *masks)
{
    index->quotes = true;
    for (uint32_t w = 0; w * 64 < size_bytes; w++) {
        struct block block = {.data = data + w * 64,
                              .size = MR_MIN(size_bytes - w * 64, 64u),
                              .separators = masks->separators[w],
                              .newlines = masks->newlines[w],
                              .quotes = masks->quotes[w]};

        masks->separators[w] = cut_block(&block, index->delimiter, &index->state, &index->suspect);
        masks->newlines[w] &= masks->separators[w];
    }
}

/* A record with more separators than there is room for has the wrong number of fields whatever else
 * it has: count them and forget where they are. */
static void drop_positions(struct mri_csv_index *index)
{
    index->dropped += index->count - index->at;
    index->count = index->at;
}

void mri_csv_index_run(struct mri_csv_index *index, const char *data, uint32_t end)
{
    struct mri_masks masks;

    while (index->scanned < end) {
        uint32_t size = (uint32_t)MR_MIN((size_t)(end - index->scanned), GROUP_BYTES);
        uint32_t words = (size + 63) / 64;
        const char *at = data + index->scanned;

        if (index->count >= index->enough) {
            if (index->end_at < index->end_count) return;
            drop_positions(index);
        }
        if (index->end_count >= index->enough) return;
        index->ops->masks(at, words, index->delimiter, &masks);
        if (masks.any_quote != 0 || index->state >= MRI_CSV_QUOTED) {
            resolve_quotes(index, at, size, &masks);
        } else {
            index->state = state_of_last(at[size - 1], index->delimiter);
        }
        index->high |= masks.high != 0;
        index->count += (uint32_t)index->ops->flatten(masks.separators, words, index->scanned,
                                                      index->positions + index->count);
        index->end_count += (uint32_t)index->ops->flatten(masks.newlines, words, index->scanned,
                                                          index->ends + index->end_count);
        index->scanned += size;
    }
}

static bool any_high(const char *data, size_t size_bytes)
{
    unsigned char all = 0;

    for (size_t i = 0; i < size_bytes; i++) all |= (unsigned char)data[i];
    return all >= 0x80;
}

void mri_csv_index_compact(struct mri_csv_index *index, const char *data, uint32_t begin)
{
    uint32_t left = index->count - index->at;
    uint32_t left_ends = index->end_count - index->end_at;
    uint32_t left_bytes = index->scanned > begin ? index->scanned - begin : 0;

    memmove(index->positions, index->positions + index->at, left * sizeof(uint32_t));
    memmove(index->ends, index->ends + index->end_at, left_ends * sizeof(uint32_t));
    index->at = 0;
    index->count = left;
    index->end_at = 0;
    index->end_count = left_ends;
    index->positions[-1] = begin - 1;
    if (index->quotes) index->quotes = memchr(data + begin, '"', left_bytes) != NULL;
    index->suspect = index->suspect && index->quotes;
    if (index->high) index->high = any_high(data + begin, left_bytes);
}

void mri_csv_index_shift(struct mri_csv_index *index, uint32_t distance)
{
    if (distance == 0) return;
    index->scanned -= distance;
    for (uint32_t i = index->at; i < index->count; i++) index->positions[i] -= distance;
    for (uint32_t i = index->end_at; i < index->end_count; i++) index->ends[i] -= distance;
    if (index->at == 0) {
        index->positions[-1] -= distance;
    } else {
        index->positions[index->at - 1] -= distance;
    }
}

/* ---- transfer functions ---- */

void mri_csv_transfer_init(struct mri_csv_transfer *transfer)
{
    for (uint8_t s = 0; s < MRI_CSV_STATES; s++) transfer->behind[s] = s;
}

/* Runs one block from every state that is still different from the others. In files that quote,
 * all states soon are one: the wrong ones meet the right one at the first separator. */
static void transfer_block(struct mri_csv_transfer *transfer, const struct block *block,
                           char delimiter)
{
    uint8_t next[MRI_CSV_STATES];
    bool known[MRI_CSV_STATES] = {false};

    for (int s = 0; s < MRI_CSV_STATES; s++) {
        uint8_t now = transfer->behind[s];

        if (!known[now]) {
            enum mri_csv_state state = (enum mri_csv_state)now;
            bool suspect = false;

            (void)cut_block(block, delimiter, &state, &suspect);
            next[now] = (uint8_t)state;
            known[now] = true;
        }
        transfer->behind[s] = next[now];
    }
}

/* Without a quote the last byte says it all, unless one was inside before. */
static void transfer_without_quotes(struct mri_csv_transfer *transfer, char last, char delimiter)
{
    for (int s = 0; s < MRI_CSV_STATES; s++) {
        if (transfer->behind[s] == MRI_CSV_QUOTED) continue;
        transfer->behind[s] = (uint8_t)state_of_last(last, delimiter);
    }
}

void mri_csv_transfer_run(struct mri_csv_transfer *transfer, const struct mri_scan_ops *ops,
                          char delimiter, const char *data, size_t size_bytes)
{
    struct mri_masks masks;

    for (size_t at = 0; at < size_bytes; at += GROUP_BYTES) {
        size_t size = MR_MIN(size_bytes - at, GROUP_BYTES);
        size_t words = (size + 63) / 64;

        ops->masks(data + at, words, delimiter, &masks);
        if (masks.any_quote == 0) {
            transfer_without_quotes(transfer, data[at + size - 1], delimiter);
            continue;
        }
        for (size_t w = 0; w < words; w++) {
            struct block block = {.data = data + at + w * 64,
                                  .size = (uint32_t)MR_MIN(size - w * 64, (size_t)64),
                                  .separators = masks.separators[w],
                                  .newlines = masks.newlines[w],
                                  .quotes = masks.quotes[w]};

            transfer_block(transfer, &block, delimiter);
        }
    }
}
