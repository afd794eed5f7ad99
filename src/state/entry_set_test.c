/* entry_set_test.c - entries in any order come out sorted, the newest of each, against an array. */
#include "base/prng.h"
#include "mr_test.h"
#include "state/entry_set.h"

#include <stdio.h>

#define KEYS 40u

static struct mr_entry put_of(uint32_t key, char key_bytes[8], uint64_t *value)
{
    (void)snprintf(key_bytes, 8, "%u", key);
    return (struct mr_entry){.kind = MR_ENTRY_PUT,
                             .state_name = key % 3 == 0 ? "a" : "ab",
                             .key_group = key % 7,
                             .ns = (int64_t)(key % 5) - 2,
                             .key = {key_bytes, strlen(key_bytes)},
                             .value = {(const char *)value, sizeof *value}};
}

MR_TEST(entry_set, of_each_thing_the_newest_comes_out_in_order)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        uint64_t newest[KEYS] = {0}, moments[KEYS] = {0};
        struct mri_entry_set set;
        struct mr_prng prng;
        uint32_t count = 0;

        mr_prng_init(&prng, seed, 0);
        mri_entry_set_init(&set, mr_test_heap(), seed % 2 == 0 ? 1024 : 0);
        for (uint64_t i = 1; i <= 20 * seed; i++) {
            uint32_t key = (uint32_t)mr_prng_below(&prng, KEYS);
            char key_bytes[8];
            struct mr_entry entry = put_of(key, key_bytes, &i);

            newest[key] = moments[key] = i;
            MR_EXPECT(mri_entry_set_add(&set, key % 2 == 0 ? "op" : "op2", &entry));
            if (i % 50 == 0) mri_entry_set_sort(&set);
        }
        mri_entry_set_sort(&set);
        for (const struct mri_item *item = set.first, *last = NULL; item != NULL;
             last = item, item = item->next) {
            uint32_t key = 0;
            uint64_t value;

            for (size_t i = 0; i < item->entry.key.size_bytes; i++) {
                key = key * 10 + (uint32_t)(item->entry.key.data[i] - '0');
            }
            memcpy(&value, item->entry.value.data, sizeof value);
            MR_EXPECT_EQ_STR(item->sort_key, key % 2 == 0 ? "op" : "op2");
            MR_EXPECT_EQ_STR(item->entry.state_name, key % 3 == 0 ? "a" : "ab");
            MR_EXPECT_EQ_UINT(value, newest[key]);
            MR_EXPECT_EQ_UINT(item->moment, moments[key]);
            MR_EXPECT(last == NULL ||
                      mri_sort_key_compare(last->sort_key, last->sort_key_bytes, item->sort_key,
                                           item->sort_key_bytes) < 0);
            newest[key] = 0;
            count++;
        }
        for (uint32_t key = 0; key < KEYS; key++) MR_EXPECT_EQ_UINT(newest[key], 0);
        MR_EXPECT(count > 0);
        mri_entry_set_fini(&set);
    }
}

MR_TEST(entry_set, a_drop_covers_what_came_before_it_in_its_groups)
{
    struct mri_entry_set set;
    struct mr_entry drop = {
        .kind = MR_ENTRY_DROP, .state_name = "a", .ns = 1, .group_first = 0, .group_end = 4};
    struct mr_entry entry = {.kind = MR_ENTRY_PUT, .state_name = "a", .ns = 1, .key_group = 3};

    mri_entry_set_init(&set, mr_test_heap(), 0);
    MR_EXPECT(mri_entry_set_add(&set, "op", &entry)); /* moment 1 */
    MR_EXPECT(mri_entry_set_add(&set, "op", &drop));  /* moment 2 */
    mri_entry_set_sort(&set);
    MR_EXPECT(mri_drops_cover(&set.drops, "op", &entry, 0));
    MR_EXPECT(mri_drops_cover(&set.drops, "op", &entry, 1));
    MR_EXPECT(!mri_drops_cover(&set.drops, "op", &entry, 3));
    MR_EXPECT(!mri_drops_cover(&set.drops, "other", &entry, 1));
    entry.key_group = 4;
    MR_EXPECT(!mri_drops_cover(&set.drops, "op", &entry, 1));
    entry.key_group = 3;
    entry.ns = 2;
    MR_EXPECT(!mri_drops_cover(&set.drops, "op", &entry, 1));
    mri_entry_set_fini(&set);
}

MR_TEST(entry_set, when_memory_runs_out_then_add_says_so)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mri_entry_set set;
        bool ok = true;

        mri_entry_set_init(&set, heap, 512);
        for (uint64_t i = 0; i < 100 && ok; i++) {
            char key_bytes[8];
            struct mr_entry entry = put_of((uint32_t)(i % KEYS), key_bytes, &i);

            if (i % 9 == 0) entry.kind = MR_ENTRY_DROP;
            ok = mri_entry_set_add(&set, "op", &entry);
        }
        MR_EXPECT(ok == !mr_test_refused(heap));
        mri_entry_set_fini(&set);
    }
}
