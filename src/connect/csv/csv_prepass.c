/* csv_prepass.c - the state of the automaton at the beginning of a split.
 *
 * The state at the first byte of a file is known. Every split before the wanted one has to say what
 * it makes of a state; whoever needs that first claims the split and looks at its bytes (quotes
 * only, no fields). Readers that have come to the end of a split tell the state there, so that
 * reading in order needs no pre-pass at all.
 */
#include "connect/csv/csv_internal.h"

#include "base/assert.h"

#define STEP_BYTES ((uint64_t)1024 * 1024)
#define NONE       UINT32_MAX

/* 3 bits per state, and one that says that it is known. */
static uint32_t pack(const struct mri_csv_transfer *transfer)
{
    uint32_t packed = UINT32_C(1) << 31;

    for (int s = 0; s < MRI_CSV_STATES; s++) packed |= (uint32_t)transfer->behind[s] << (s * 3);
    return packed;
}

static enum mri_csv_state apply(uint32_t packed, enum mri_csv_state state)
{
    return (enum mri_csv_state)(packed >> ((uint32_t)state * 3) & 7);
}

void mri_csv_prepass_init(struct mri_csv_prepass *prepass, struct mri_csv_spec *spec,
                          const struct mr_split *split)
{
    *prepass = (struct mri_csv_prepass){
        .spec = spec,
        .split = split,
        .first = mri_csv_first_split(spec, split),
        .current = NONE,
    };
}

void mri_csv_prepass_fini(struct mri_csv_prepass *prepass)
{
    if (prepass->spec == NULL || prepass->current == NONE) return;
    atomic_store_explicit(&prepass->spec->cuts[prepass->current].transfer, 0, memory_order_relaxed);
    prepass->current = NONE;
}

/* Relaxed: each value stands for itself, no other memory hangs on it. */
static void set_entry(struct mri_csv_spec *spec, uint32_t ordinal, enum mri_csv_state state)
{
    atomic_store_explicit(&spec->cuts[ordinal].entry, 1 + (uint32_t)state, memory_order_relaxed);
}

void mri_csv_note_entry(struct mri_csv_spec *spec, const struct mr_split *split,
                        enum mri_csv_state state)
{
    if (split->ordinal + 1 < spec->cut_count) set_entry(spec, split->ordinal + 1, state);
}

/* Goes on from the last known entry as far as transfer functions are known. True: arrived. */
static bool resolve(struct mri_csv_prepass *prepass, enum mri_csv_state *out_state)
{
    struct mri_csv_cut *cuts = prepass->spec->cuts;
    uint32_t wanted = prepass->split->ordinal;
    uint32_t at = wanted;
    uint32_t entry;
    enum mri_csv_state state = MRI_CSV_RECORD;

    for (; at > prepass->first; at--) {
        entry = atomic_load_explicit(&cuts[at].entry, memory_order_relaxed);
        if (entry == 0) continue;
        state = (enum mri_csv_state)(entry - 1);
        break;
    }
    for (; at < wanted; at++) {
        uint32_t packed = atomic_load_explicit(&cuts[at].transfer, memory_order_relaxed);

        if (packed <= MRI_CSV_CLAIMED) return false;
        state = apply(packed, state);
        set_entry(prepass->spec, at + 1, state);
    }
    *out_state = state;
    return true;
}

/* The nearest split behind which nothing is known and that nobody looks at. */
static bool claim(struct mri_csv_prepass *prepass)
{
    struct mri_csv_cut *cuts = prepass->spec->cuts;

    for (uint32_t i = prepass->split->ordinal; i-- > prepass->first;) {
        uint32_t unknown = 0;

        if (atomic_compare_exchange_strong_explicit(&cuts[i].transfer, &unknown, MRI_CSV_CLAIMED,
                                                    memory_order_relaxed, memory_order_relaxed)) {
            prepass->current = i;
            mri_csv_transfer_init(&prepass->transfer);
            return true;
        }
        if (atomic_load_explicit(&cuts[i].entry, memory_order_relaxed) != 0) return false;
    }
    return false;
}

/* What is new in the chunk, without a byte order mark, which is no field. False: too few bytes
 * to tell. */
static bool part_of(const struct mri_chunk *chunk, struct mr_bytes *out)
{
    const char *data = chunk->data + chunk->begin;
    size_t size = chunk->end - chunk->begin;
    uint32_t bom = 0;

    if (mri_chunk_offset(chunk, chunk->begin) == 0) bom = mri_csv_bom(data, size, chunk->input_end);
    if (bom == UINT32_MAX) return false;
    *out = (struct mr_bytes){data + bom, size - bom};
    return true;
}

static void finish_split(struct mri_csv_prepass *prepass)
{
    atomic_store_explicit(&prepass->spec->cuts[prepass->current].transfer, pack(&prepass->transfer),
                          memory_order_relaxed);
    prepass->current = NONE;
}

/* One read of the current split. */
static enum mr_status look(struct mri_csv_prepass *prepass, struct mri_input *input,
                           struct mri_chunk *chunk, struct mr_quota *quota, enum mri_fill *out_fill,
                           struct mr_error *err)
{
    uint64_t end = (uint64_t)(prepass->current - prepass->first + 1) * prepass->spec->split_bytes;
    uint64_t want = end - mri_chunk_offset(chunk, chunk->end);
    struct mr_bytes part;

    MR_RET(mri_chunk_fill(chunk, input, quota, (size_t)want, out_fill, err));
    if (*out_fill != MRI_FILL_MORE || !part_of(chunk, &part)) return MR_OK;
    mri_csv_transfer_run(&prepass->transfer, mri_scan_ops(), prepass->spec->delimiter, part.data,
                         part.size_bytes);
    chunk->begin = chunk->end;
    if (mri_chunk_offset(chunk, chunk->end) == end || chunk->input_end) finish_split(prepass);
    return MR_OK;
}

static void go_to(struct mri_input *input, struct mri_chunk *chunk, uint64_t offset)
{
    mri_input_seek(input, offset);
    chunk->begin = chunk->end = 0;
    chunk->base = offset;
    chunk->input_end = false;
}

enum mr_status mri_csv_prepass_step(struct mri_csv_prepass *prepass, struct mri_input *input,
                                    struct mri_chunk *chunk, struct mr_quota *quota,
                                    bool *out_known, enum mri_csv_state *out_state,
                                    enum mr_source_flow *out_flow, struct mr_error *err)
{
    *out_known = false;
    *out_flow = MR_SOURCE_MORE;
    for (uint64_t done = 0; done < STEP_BYTES; done += MR_BLOCK_BYTES_MAX) {
        enum mri_fill fill;

        if (prepass->current == NONE) {
            *out_known = resolve(prepass, out_state);
            if (*out_known) {
                go_to(input, chunk, prepass->split->offset_bytes);
                return MR_OK;
            }
            if (!claim(prepass)) { /* others are at it: ask again, and hold no memory meanwhile */
                mri_chunk_drop(chunk);
                return MR_OK;
            }
            go_to(input, chunk,
                  (uint64_t)(prepass->current - prepass->first) * prepass->spec->split_bytes);
        }
        MR_RET(look(prepass, input, chunk, quota, &fill, err));
        mr_assert(fill != MRI_FILL_FULL); /* nothing is kept in the chunk */
        if (fill == MRI_FILL_BLOCKED) {
            *out_flow = MR_SOURCE_BLOCKED;
            return MR_OK;
        }
    }
    return MR_OK;
}
