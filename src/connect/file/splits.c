/* splits.c - see splits.h. */
#include "connect/file/splits.h"

#include "base/assert.h"
#include "base/status.h"
#include "connect/file/scan.h"

#include <string.h>

#define BUFFER_BYTES ((size_t)64 * 1024)

/* ---- cutting ---- */

static uint64_t pieces_of(const struct mri_file *file, uint64_t split_bytes, bool streaming)
{
    if (streaming || file->stream || file->compression != MRI_PLAIN) return 1;
    if (file->size_bytes <= split_bytes) return 1;
    return (file->size_bytes + split_bytes - 1) / split_bytes;
}

static void fill_splits(const struct mri_file *file, uint32_t index, uint64_t pieces,
                        uint64_t split_bytes, struct mr_split_list *out)
{
    for (uint64_t i = 0; i < pieces; i++) {
        uint64_t offset = i * split_bytes;
        uint64_t left = file->size_bytes - offset;
        struct mr_split *split = &out->splits[out->count];

        *split = (struct mr_split){
            .ordinal = out->count,
            .name = file->path,
            .offset_bytes = offset,
            .size_bytes = pieces == 1 ? file->size_bytes : MR_MIN(left, split_bytes),
            .lower_bound_us = MR_TIME_MIN,
            .detail = index,
            .once = file->stream,
        };
        out->count++;
    }
}

enum mr_status mri_splits_make(const struct mri_files *files, uint64_t split_bytes, bool streaming,
                               struct mr_split_list *out, struct mr_error *err)
{
    uint64_t total = 0;

    mr_assert(split_bytes > 0);
    out->bounded = true;
    out->total_bytes = 0;
    for (uint32_t i = 0; i < files->count; i++) {
        const struct mri_file *file = &files->files[i];

        total += pieces_of(file, split_bytes, streaming);
        if (file->stream) {
            out->bounded = false;
            out->total_bytes = UINT64_MAX;
        } else if (out->total_bytes != UINT64_MAX) {
            out->total_bytes += file->size_bytes;
        }
    }
    if (total >= UINT32_MAX / 2)
        return mr_error_set(err, MR_E_LIMIT, "the input has too many splits");
    out->splits =
        mr_arena_alloc(out->arena, MR_MAX((size_t)total, (size_t)1) * sizeof *out->splits);
    if (out->splits == NULL) return mr_error_nomem(err, "the list of splits", (size_t)total);
    out->count = 0;
    for (uint32_t i = 0; i < files->count; i++) {
        fill_splits(&files->files[i], i, pieces_of(&files->files[i], split_bytes, streaming),
                    split_bytes, out);
    }
    return MR_OK;
}

/* ---- known places ---- */

enum mr_status mri_places_init(struct mri_places *places, struct mr_heap *heap,
                               uint32_t split_count, struct mr_error *err)
{
    places->heap = heap;
    places->known = mr_alloc(heap, split_count * sizeof *places->known);
    if (places->known == NULL) return mr_error_nomem(err, "the list of splits", split_count);
    places->count = split_count;
    atomic_init(&places->taken, false);
    for (uint32_t i = 0; i < split_count; i++) {
        places->known[i] = (struct mri_known_place){0, UINT64_MAX};
    }
    return MR_OK;
}

void mri_places_fini(struct mri_places *places)
{
    if (places->heap == NULL) return;
    mr_free(places->heap, places->known, places->count * sizeof *places->known);
    memset(places, 0, sizeof *places);
}

static bool try_lock(struct mri_places *places)
{
    return !atomic_exchange_explicit(&places->taken, true, memory_order_acquire);
}

static void unlock(struct mri_places *places)
{
    atomic_store_explicit(&places->taken, false, memory_order_release);
}

/* The nearest known place at or before `offset`, in the splits file_split..split. */
static struct mri_known_place nearest(struct mri_places *places, uint32_t file_split,
                                      uint32_t split, uint64_t offset)
{
    struct mri_known_place best = {0, 0};

    if (!try_lock(places)) return best;
    mr_assert(split < places->count);
    for (uint32_t i = split + 1; i-- > file_split && best.offset == 0;) {
        const struct mri_known_place *known = &places->known[i];

        if (known->newlines != UINT64_MAX && known->offset <= offset) best = *known;
    }
    unlock(places);
    return best;
}

static void remember(struct mri_places *places, uint32_t split, struct mri_known_place place)
{
    if (!try_lock(places)) return; /* it is a cache: the next one counts again */
    places->known[split] = place;
    unlock(places);
}

/* ---- reading on from a place ---- */

static enum mr_status refill(struct mri_place *place, struct mr_error *err)
{
    enum mri_flow flow;
    size_t got;

    do {
        MR_RET(mri_input_read(&place->input, place->buffer, BUFFER_BYTES, &got, &flow, err));
    } while (flow == MRI_BLOCKED);
    place->end = flow == MRI_DONE;
    place->rest = (struct mr_bytes){place->buffer, got};
    return MR_OK;
}

static enum mr_status skip_to(struct mri_place *place, uint64_t offset_bytes, struct mr_error *err)
{
    while (place->offset < offset_bytes && !place->end) {
        size_t step;

        if (place->rest.size_bytes == 0) MR_RET(refill(place, err));
        step = (size_t)MR_MIN((uint64_t)place->rest.size_bytes, offset_bytes - place->offset);
        place->line += mri_count_newlines(place->rest.data, step);
        place->offset += step;
        place->rest.data += step;
        place->rest.size_bytes -= step;
    }
    return MR_OK;
}

enum mr_status mri_place_open(struct mri_place *place, struct mri_places *places,
                              const struct mri_file *file, const struct mr_plan_context *context,
                              const struct mr_split *split, uint32_t file_split,
                              uint64_t offset_bytes, struct mr_error *err)
{
    struct mri_known_place from = {0, 0};
    bool plain = !file->stream && file->compression == MRI_PLAIN;

    memset(place, 0, sizeof *place);
    if (file->stream) {
        return mr_error_set(err, MR_E_UNSUPPORTED, "%s cannot be read again to find a line",
                            file->path);
    }
    mri_input_init(&place->input, context->heap, context->disk, file);
    place->buffer = mr_alloc(context->heap, BUFFER_BYTES);
    if (place->buffer == NULL) return mr_error_nomem(err, file->path, BUFFER_BYTES);
    if (plain) {
        from = nearest(places, file_split, split->ordinal, offset_bytes);
        mri_input_seek(&place->input, from.offset);
    }
    place->offset = from.offset;
    place->line = from.newlines + 1;
    MR_RET(skip_to(place, offset_bytes, err));
    if (plain && !place->end) {
        remember(places, split->ordinal, (struct mri_known_place){place->offset, place->line - 1});
    }
    return MR_OK;
}

enum mr_status mri_place_byte(struct mri_place *place, int *out, struct mr_error *err)
{
    *out = -1;
    if (place->rest.size_bytes == 0 && !place->end) MR_RET(refill(place, err));
    if (place->rest.size_bytes == 0) return MR_OK;
    *out = (unsigned char)*place->rest.data++;
    place->rest.size_bytes--;
    place->offset++;
    place->line += *out == '\n';
    return MR_OK;
}

void mri_place_close(struct mri_place *place)
{
    struct mr_heap *heap = place->input.heap;

    mri_input_fini(&place->input);
    if (heap != NULL) mr_free(heap, place->buffer, BUFFER_BYTES);
    memset(place, 0, sizeof *place);
}
