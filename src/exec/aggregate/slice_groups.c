/* slice_groups.c - see slice_groups.h. */
#include "exec/aggregate/slice_groups.h"

#include <string.h>

static void free_arrays(struct mri_slice_groups *groups)
{
    mr_free(groups->heap, groups->places, groups->place_count * sizeof *groups->places);
    mr_free(groups->heap, groups->slices, groups->room * sizeof *groups->slices);
    mr_free(groups->heap, groups->ends, groups->room * sizeof *groups->ends);
    mr_free(groups->heap, groups->numbers, groups->room * sizeof *groups->numbers);
    mr_free(groups->heap, groups->rows, groups->room * sizeof *groups->rows);
}

void mri_slice_groups_fini(struct mri_slice_groups *groups)
{
    if (groups->heap == NULL) return;
    free_arrays(groups);
    *groups = (struct mri_slice_groups){.heap = NULL};
}

static bool make_room(struct mri_slice_groups *groups, uint32_t count)
{
    if (count <= groups->room) return true;
    free_arrays(groups);
    groups->place_count = 64;
    while (groups->place_count < 2 * count) groups->place_count *= 2;
    groups->room = count;
    groups->places = mr_alloc(groups->heap, groups->place_count * sizeof *groups->places);
    groups->slices = mr_alloc(groups->heap, count * sizeof *groups->slices);
    groups->ends = mr_alloc(groups->heap, count * sizeof *groups->ends);
    groups->numbers = mr_alloc(groups->heap, count * sizeof *groups->numbers);
    groups->rows = mr_alloc(groups->heap, count * sizeof *groups->rows);
    return groups->places != NULL && groups->slices != NULL && groups->ends != NULL &&
           groups->numbers != NULL && groups->rows != NULL;
}

static uint32_t number_of(struct mri_slice_groups *groups, int64_t slice_us)
{
    uint32_t mask = groups->place_count - 1;
    uint64_t hash = (uint64_t)slice_us * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t at = (uint32_t)(hash >> 40) & mask;

    for (; groups->places[at] != 0; at = (at + 1) & mask) {
        if (groups->slices[groups->places[at] - 1] == slice_us) return groups->places[at] - 1;
    }
    groups->slices[groups->count] = slice_us;
    groups->ends[groups->count] = 0;
    groups->places[at] = ++groups->count;
    return groups->count - 1;
}

bool mri_slice_groups_make(struct mri_slice_groups *groups, const int64_t *slices,
                           const uint32_t *rows, uint32_t count)
{
    uint32_t last = 0;
    uint32_t sum = 0;

    if (!make_room(groups, count)) return false;
    groups->count = 0;
    memset(groups->places, 0, groups->place_count * sizeof *groups->places);
    for (uint32_t i = 0; i < count; i++) {
        int64_t slice_us = slices[rows != NULL ? rows[i] : i];

        if (i == 0 || groups->slices[last] != slice_us) last = number_of(groups, slice_us);
        groups->numbers[i] = last;
        groups->ends[last]++;
    }
    for (uint32_t g = 0; g < groups->count; g++) { /* counts -> starts */
        uint32_t size = groups->ends[g];

        groups->ends[g] = sum;
        sum += size;
    }
    for (uint32_t i = 0; i < count; i++) { /* starts -> ends */
        groups->rows[groups->ends[groups->numbers[i]]++] = rows != NULL ? rows[i] : i;
    }
    return true;
}

bool mri_slices_equal(const int64_t *slices, const uint32_t *rows, uint32_t count)
{
    int64_t different = 0;

    if (slices == NULL || count == 0) return true;
    if (rows == NULL) {
        for (uint32_t i = 1; i < count; i++) different |= slices[i] ^ slices[0];
    } else {
        for (uint32_t i = 1; i < count; i++) different |= slices[rows[i]] ^ slices[rows[0]];
    }
    return different == 0;
}
