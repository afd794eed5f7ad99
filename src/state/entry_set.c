/* entry_set.c - see entry_set.h. */
#include "state/entry_set.h"

#include "base/assert.h"

#include <string.h>

#define TIDY_BYTES ((size_t)64 << 20)

void mri_entry_set_init(struct mri_entry_set *set, struct mr_heap *heap, size_t tidy_bytes)
{
    *set = (struct mri_entry_set){.heap = heap, .tidy_bytes = tidy_bytes};
    if (tidy_bytes == 0) set->tidy_bytes = TIDY_BYTES;
    set->tidy_at = set->tidy_bytes;
    set->end = &set->first;
    mr_arena_init(&set->items, heap);
    mri_drops_init(&set->drops, heap);
    mr_buffer_init(&set->scratch, heap);
}

void mri_entry_set_fini(struct mri_entry_set *set)
{
    if (set->heap == NULL) return;
    mr_arena_fini(&set->items);
    mri_drops_fini(&set->drops);
    mr_buffer_fini(&set->scratch);
    *set = (struct mri_entry_set){0};
}

void mri_entry_set_clear(struct mri_entry_set *set)
{
    mr_arena_reset(&set->items);
    mri_drops_clear(&set->drops);
    set->first = NULL;
    set->end = &set->first;
    set->tidy_at = set->tidy_bytes;
}

/* ---- sorting ---- */

static int compare_items(const struct mri_item *left, const struct mri_item *right)
{
    return mri_sort_key_compare(left->sort_key, left->sort_key_bytes, right->sort_key,
                                right->sort_key_bytes);
}

/* Merges the lists of up to `run` items at *left and behind; returns where the rest begins. */
static struct mri_item *merge_pair(struct mri_item *left, uint64_t run, struct mri_item ***end)
{
    struct mri_item *right = left;
    uint64_t left_count = 0, right_count = run;

    for (; left_count < run && right != NULL; left_count++) right = right->next;
    while (left_count > 0 || (right_count > 0 && right != NULL)) {
        bool from_left = left_count > 0 &&
                         (right_count == 0 || right == NULL || compare_items(left, right) <= 0);
        struct mri_item **from = from_left ? &left : &right;

        **end = *from;
        *end = &(*from)->next;
        *from = (*from)->next;
        if (from_left)
            left_count--;
        else
            right_count--;
    }
    return right;
}

/* Merge sort from the bottom: stable, so that of equal ones the newest is the last. */
static void sort_items(struct mri_entry_set *set)
{
    uint64_t merged = 2;

    for (uint64_t run = 1; merged > 1; run *= 2) {
        struct mri_item *rest = set->first, *first = NULL, **end = &first;

        for (merged = 0; rest != NULL; merged++) rest = merge_pair(rest, run, &end);
        *end = NULL;
        set->first = first;
    }
}

/* Keeps the last of those with one sort key. Their drops are not asked: whoever reads does that. */
static void keep_newest(struct mri_entry_set *set)
{
    struct mri_item **at = &set->first;

    while (*at != NULL) {
        struct mri_item *item = *at;

        if (item->next != NULL && compare_items(item, item->next) == 0) {
            *at = item->next;
        } else {
            at = &item->next;
        }
    }
    set->end = at;
}

void mri_entry_set_sort(struct mri_entry_set *set)
{
    sort_items(set);
    keep_newest(set);
    mri_drops_sort(&set->drops);
}

/* ---- adding ---- */

static struct mri_item *copy_item(struct mr_arena *arena, struct mr_bytes sort_key,
                                  const char *operator_id, const struct mr_entry *entry)
{
    size_t key_bytes = entry->key.size_bytes, value_bytes = entry->value.size_bytes;
    struct mri_item *item = mr_arena_alloc(arena, sizeof *item + sort_key.size_bytes + value_bytes);
    char *value;

    if (item == NULL) return NULL;
    *item = (struct mri_item){.sort_key_bytes = sort_key.size_bytes, .entry = *entry};
    memcpy(item->sort_key, sort_key.data, sort_key.size_bytes);
    value = item->sort_key + sort_key.size_bytes;
    if (value_bytes > 0) memcpy(value, entry->value.data, value_bytes);
    item->entry.state_name = item->sort_key + strlen(operator_id) + 1;
    item->entry.key = (struct mr_bytes){value - key_bytes, key_bytes};
    item->entry.value = (struct mr_bytes){value, value_bytes};
    return item;
}

static bool tidy(struct mri_entry_set *set)
{
    struct mri_item *first = NULL, **end = &first;
    struct mr_arena fresh;

    mri_entry_set_sort(set);
    mr_arena_init(&fresh, set->heap);
    for (const struct mri_item *item = set->first; item != NULL; item = item->next) {
        struct mr_bytes sort_key = {item->sort_key, item->sort_key_bytes};
        struct mri_item *copy = copy_item(&fresh, sort_key, item->sort_key, &item->entry);

        if (copy == NULL) {
            mr_arena_fini(&fresh);
            return false;
        }
        copy->moment = item->moment;
        *end = copy;
        end = &copy->next;
    }
    mr_arena_fini(&set->items);
    set->items = fresh;
    set->first = first;
    set->end = first != NULL ? end : &set->first;
    set->tidy_at = MR_MAX(set->tidy_bytes, 2 * fresh.used_bytes);
    return true;
}

bool mri_entry_set_add(struct mri_entry_set *set, const char *operator_id,
                       const struct mr_entry *entry)
{
    struct mr_bytes sort_key;
    struct mri_item *item;

    set->moment++;
    if (entry->kind == MR_ENTRY_DROP) {
        return mri_drops_add(&set->drops, operator_id, entry, set->moment);
    }
    if (set->items.used_bytes >= set->tidy_at && !tidy(set)) return false;
    mr_buffer_clear(&set->scratch);
    if (!mri_sort_key_put(&set->scratch, operator_id, entry)) return false;
    sort_key = (struct mr_bytes){set->scratch.data, set->scratch.size_bytes};
    item = copy_item(&set->items, sort_key, operator_id, entry);
    if (item == NULL) return false;
    item->moment = set->moment;
    *set->end = item;
    set->end = &item->next;
    return true;
}
