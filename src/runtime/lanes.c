#include "runtime/lanes.h"

#include "base/assert.h"
#include "base/status.h"
#include "base/time.h"

static uint32_t lane_count_of(const struct mr_split_list *list, uint32_t lane_count)
{
    return list->bounded ? lane_count : MR_MAX(list->count, 1u);
}

uint32_t mr_split_owner(const struct mr_split_list *list, uint32_t lane_count, uint32_t split,
                        uint32_t instance_count)
{
    if (lane_count == 0) return split % instance_count;
    return split % lane_count_of(list, lane_count) % instance_count;
}

enum mr_status mr_lanes_init(struct mr_lanes *lanes, struct mr_heap *heap,
                             const struct mr_split_list *list, uint32_t lane_count,
                             uint32_t instance, uint32_t instance_count, struct mr_error *err)
{
    uint32_t count = lane_count_of(list, lane_count);

    *lanes = (struct mr_lanes){.heap = heap,
                               .list = list,
                               .count = count,
                               .instance_count = instance_count,
                               .own_first = instance};
    if (instance >= count) return MR_OK;
    lanes->own_count = (count - instance - 1) / instance_count + 1;
    lanes->own = mr_alloc_zero(heap, lanes->own_count * sizeof *lanes->own);
    if (lanes->own == NULL) return mr_error_nomem(err, "the lanes of a source", lanes->own_count);
    for (uint32_t i = 0; i < lanes->own_count; i++) {
        lanes->own[i].next = instance + i * instance_count;
    }
    return MR_OK;
}

void mr_lanes_fini(struct mr_lanes *lanes)
{
    if (lanes->own == NULL) return;
    mr_free(lanes->heap, lanes->own, lanes->own_count * sizeof *lanes->own);
    lanes->own = NULL;
    lanes->own_count = 0;
}

uint32_t mr_lane_of(const struct mr_lanes *lanes, uint32_t split)
{
    uint32_t lane = split % lanes->count;

    mr_assert(lane % lanes->instance_count == lanes->own_first);
    return (lane - lanes->own_first) / lanes->instance_count;
}

/* Moves a lane over splits that an earlier attempt read. */
static bool has_next(const struct mr_lanes *lanes, struct mr_lane *lane, const bool *claimed)
{
    while (lane->next < lanes->list->count && claimed[lane->next]) lane->next += lanes->count;
    return lane->next < lanes->list->count;
}

void mr_lanes_begun(struct mr_lanes *lanes, uint32_t split)
{
    lanes->own[mr_lane_of(lanes, split)].begun++;
}

bool mr_lanes_free(const struct mr_lanes *lanes, uint32_t split)
{
    return !lanes->own[mr_lane_of(lanes, split)].open;
}

uint32_t mr_lanes_to_open(struct mr_lanes *lanes, const bool *claimed)
{
    for (uint32_t i = 0; i < lanes->own_count; i++) {
        const struct mr_lane *own = &lanes->own[i];

        if (!own->open && own->begun == 0 && has_next(lanes, &lanes->own[i], claimed)) return i;
    }
    return MR_LANE_NONE;
}

void mr_lanes_opened(struct mr_lanes *lanes, uint32_t lane, uint32_t split)
{
    struct mr_lane *own = &lanes->own[lane];

    mr_assert(!own->open);
    own->open = true;
    lanes->bound_known = false;
    if (own->begun > 0) {
        own->begun--;
    } else {
        mr_assert(split == own->next);
        own->next += lanes->count;
    }
}

void mr_lanes_closed(struct mr_lanes *lanes, uint32_t lane)
{
    lanes->own[lane].open = false;
}

int64_t mr_lanes_bound(struct mr_lanes *lanes, const bool *claimed)
{
    int64_t least = MR_TIME_MAX;

    if (lanes->bound_known) return lanes->bound_us;
    for (uint32_t i = 0; i < lanes->own_count; i++) {
        for (uint32_t s = lanes->own[i].next; s < lanes->list->count; s += lanes->count) {
            if (!claimed[s]) least = MR_MIN(least, lanes->list->splits[s].lower_bound_us);
        }
    }
    lanes->bound_us = least;
    lanes->bound_known = true;
    return least;
}

void mr_lanes_begin(struct mr_lanes *lanes, uint64_t batch_rows)
{
    lanes->batch_rows = batch_rows;
    for (uint32_t i = 0; i < lanes->own_count; i++) {
        lanes->own[i].used = 0;
        lanes->own[i].quiet = false;
    }
}

uint32_t mr_lanes_room(const struct mr_lanes *lanes, uint32_t lane, uint32_t wanted)
{
    const struct mr_lane *own = &lanes->own[lane];

    if (own->quiet || own->used >= lanes->batch_rows) return 0;
    return (uint32_t)MR_MIN((uint64_t)wanted, lanes->batch_rows - own->used);
}

void mr_lanes_took(struct mr_lanes *lanes, uint32_t lane, uint32_t rows)
{
    lanes->own[lane].used += rows; /* a source of the user's may give more than it was asked for */
}

void mr_lanes_quiet(struct mr_lanes *lanes, uint32_t lane)
{
    mr_assert(!lanes->list->bounded);
    lanes->own[lane].quiet = true;
}

bool mr_lanes_any_full(const struct mr_lanes *lanes)
{
    for (uint32_t i = 0; i < lanes->own_count; i++) {
        if (lanes->own[i].used >= lanes->batch_rows) return true;
    }
    return false;
}

bool mr_lanes_batch_over(struct mr_lanes *lanes, const bool *claimed)
{
    for (uint32_t i = 0; i < lanes->own_count; i++) {
        struct mr_lane *own = &lanes->own[i];

        if (own->quiet || own->used >= lanes->batch_rows) continue;
        if (own->open || own->begun > 0 || has_next(lanes, own, claimed)) return false; /* (2) */
    }
    return true;
}
