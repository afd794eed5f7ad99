/* entry_order.c - see entry_order.h. */
#include "state/entry_order.h"

#include "base/assert.h"

#include <string.h>

/* ---- sort keys ---- */

static bool put_be32(struct mr_buffer *out, uint32_t value)
{
    return mr_buffer_put_u32(out, __builtin_bswap32(value));
}

static bool put_be64(struct mr_buffer *out, uint64_t value)
{
    return mr_buffer_put_u64(out, __builtin_bswap64(value));
}

bool mri_entry_is_timer(const struct mr_entry *entry)
{
    return entry->kind == MR_ENTRY_TIMER_SET || entry->kind == MR_ENTRY_TIMER_CLEAR;
}

bool mri_entry_is_of_instance(const struct mr_entry *entry)
{
    if (mri_entry_is_timer(entry)) return entry->key.size_bytes == 0;
    return entry->kind == MR_ENTRY_VALUE;
}

static bool put_identity(struct mr_buffer *out, const struct mr_entry *entry)
{
    if (mri_entry_is_timer(entry)) { /* domain and tag lead the value */
        size_t size = MR_MIN(entry->value.size_bytes, 5);

        if (size > 0 && !mr_buffer_put(out, entry->value.data, size)) return false;
    }
    if (!mri_entry_is_of_instance(entry)) return true;
    return put_be32(out, entry->group_first) && put_be32(out, entry->group_end);
}

bool mri_sort_key_put(struct mr_buffer *out, const char *operator_id, const struct mr_entry *entry)
{
    uint8_t class = entry->kind == MR_ENTRY_VALUE ? 2 : mri_entry_is_timer(entry) ? 1 : 0;

    return mr_buffer_put(out, operator_id, strlen(operator_id) + 1) &&
           mr_buffer_put(out, entry->state_name, strlen(entry->state_name) + 1) &&
           mr_buffer_put(out, &class, 1) && put_be32(out, entry->key_group) &&
           put_be64(out, (uint64_t)entry->ns ^ UINT64_C(1) << 63) && put_identity(out, entry) &&
           (entry->key.size_bytes == 0 ||
            mr_buffer_put(out, entry->key.data, entry->key.size_bytes));
}

int mri_sort_key_compare(const char *left, size_t left_size, const char *right, size_t right_size)
{
    int order = memcmp(left, right, MR_MIN(left_size, right_size));

    if (order != 0) return order;
    return (left_size > right_size) - (left_size < right_size);
}

/* ---- sorting ---- */

static void swap_bytes(char *left, char *right, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = left[i];

        left[i] = right[i];
        right[i] = c;
    }
}

static void sift(char *base, size_t from, size_t count, size_t size,
                 bool (*before)(const void *, const void *))
{
    for (size_t child; (child = 2 * from + 1) < count; from = child) {
        if (child + 1 < count && before(base + child * size, base + (child + 1) * size)) child++;
        if (!before(base + from * size, base + child * size)) return;
        swap_bytes(base + from * size, base + child * size, size);
    }
}

void mri_sort(void *array, size_t count, size_t size_bytes,
              bool (*before)(const void *left, const void *right))
{
    char *base = array;

    for (size_t i = count / 2; i-- > 0;) sift(base, i, count, size_bytes, before);
    for (size_t end = count; end > 1; end--) {
        swap_bytes(base, base + (end - 1) * size_bytes, size_bytes);
        sift(base, 0, end - 1, size_bytes, before);
    }
}

/* ---- drops ---- */

void mri_drops_init(struct mri_drops *drops, struct mr_heap *heap)
{
    *drops = (struct mri_drops){.heap = heap};
    mr_arena_init(&drops->names, heap);
}

void mri_drops_fini(struct mri_drops *drops)
{
    if (drops->heap == NULL) return;
    mr_free(drops->heap, drops->items, drops->room * sizeof *drops->items);
    mr_arena_fini(&drops->names);
    *drops = (struct mri_drops){0};
}

void mri_drops_clear(struct mri_drops *drops)
{
    drops->count = drops->sorted = 0;
    mr_arena_reset(&drops->names);
}

static int compare_drop(const struct mri_drop *drop, const char *operator_id,
                        const char *state_name, int64_t ns)
{
    int order = strcmp(drop->operator_id, operator_id);

    if (order == 0) order = strcmp(drop->state_name, state_name);
    if (order != 0) return order;
    return (drop->ns > ns) - (drop->ns < ns);
}

static bool drop_before(const void *left, const void *right)
{
    const struct mri_drop *a = left, *b = right;
    int order = compare_drop(a, b->operator_id, b->state_name, b->ns);

    return order != 0 ? order < 0 : a->moment < b->moment;
}

static bool make_room(struct mri_drops *drops)
{
    uint32_t room = MR_MAX(64, drops->room * 2);
    struct mri_drop *grown;

    if (drops->count < drops->room) return true;
    grown =
        mr_realloc(drops->heap, drops->items, drops->room * sizeof *grown, room * sizeof *grown);
    if (grown == NULL) return false;
    drops->items = grown;
    drops->room = room;
    return true;
}

bool mri_drops_add(struct mri_drops *drops, const char *operator_id, const struct mr_entry *entry,
                   uint64_t moment)
{
    struct mri_drop drop = {.ns = entry->ns,
                            .group_first = entry->group_first,
                            .group_end = entry->group_end != 0 ? entry->group_end : UINT32_MAX,
                            .moment = moment};
    const struct mri_drop *last;

    if (!make_room(drops)) return false;
    last = drops->count > 0 ? &drops->items[drops->count - 1] : NULL;
    if (last != NULL && strcmp(last->operator_id, operator_id) == 0 &&
        strcmp(last->state_name, entry->state_name) == 0) {
        drop.operator_id = last->operator_id;
        drop.state_name = last->state_name;
    } else {
        drop.operator_id = mr_arena_strdup(&drops->names, operator_id);
        drop.state_name = mr_arena_strdup(&drops->names, entry->state_name);
    }
    if (drop.operator_id == NULL || drop.state_name == NULL) return false;
    drops->items[drops->count++] = drop;
    return true;
}

void mri_drops_sort(struct mri_drops *drops)
{
    if (drops->sorted == drops->count) return;
    mri_sort(drops->items, drops->count, sizeof *drops->items, drop_before);
    drops->sorted = drops->count;
}

bool mri_drops_cover(const struct mri_drops *drops, const char *operator_id,
                     const struct mr_entry *entry, uint64_t moment)
{
    uint32_t low = 0, high = drops->count;

    mr_assert(drops->sorted == drops->count);
    if (entry->kind != MR_ENTRY_PUT && entry->kind != MR_ENTRY_REMOVE) return false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare_drop(&drops->items[middle], operator_id, entry->state_name, entry->ns) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < drops->count; low++) {
        const struct mri_drop *drop = &drops->items[low];

        if (compare_drop(drop, operator_id, entry->state_name, entry->ns) != 0) return false;
        if (drop->moment > moment && entry->key_group >= drop->group_first &&
            entry->key_group < drop->group_end) {
            return true;
        }
    }
    return false;
}
