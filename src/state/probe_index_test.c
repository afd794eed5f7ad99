/* probe_index_test.c - the index against a plain list, with tags that crowd together. */
#include "base/prng.h"
#include "mr_test.h"
#include "state/probe_index.h"

#define NUMBERS 400

/* Tags of few kinds: runs are long, wrap around the end and interleave. */
static uint32_t tag_of(uint32_t number)
{
    static const uint32_t bases[] = {0, 1, 14, 15, 16, 0xffffffff, 0xfffffff0, 0x80000000};

    return number % 3 == 0 ? bases[number % 8] : bases[number % 8] + (number << 8);
}

static bool has(const struct mri_index *index, uint32_t number)
{
    uint32_t at = tag_of(number);
    int found = 0;

    for (;;) {
        uint32_t got = mri_index_at(index, tag_of(number), &at);

        if (got == MRI_INDEX_NONE) break;
        MR_EXPECT_EQ_UINT(tag_of(got), tag_of(number));
        found += got == number;
    }
    MR_EXPECT(found <= 1);
    return found == 1;
}

MR_TEST(probe_index, random_adds_and_removes_agree_with_a_list)
{
    struct mr_heap *heap = mr_test_heap();
    bool present[NUMBERS] = {false};
    struct mri_index index;
    struct mr_prng prng;

    mr_prng_init(&prng, 8, 1);
    mri_index_init(&index);
    MR_EXPECT(!has(&index, 3)); /* an empty index may be asked */
    for (int n = 0; n < 6000; n++) {
        uint32_t number = (uint32_t)mr_prng_below(&prng, NUMBERS);

        if (present[number]) {
            mri_index_remove(&index, tag_of(number), number);
        } else {
            MR_EXPECT(mri_index_reserve(&index, heap));
            mri_index_add(&index, tag_of(number), number);
        }
        present[number] = !present[number];
        if (n % 50 != 0) continue;
        mri_index_check(&index);
        for (uint32_t i = 0; i < NUMBERS; i++) MR_EXPECT_EQ_INT(has(&index, i), present[i]);
    }
    mri_index_fini(&index, heap);
}

MR_TEST(probe_index, when_a_number_is_not_there_then_removing_it_is_a_bug)
{
    struct mr_heap *heap = mr_test_heap();
    struct mri_index index;

    mri_index_init(&index);
    MR_EXPECT_PANIC(mri_index_remove(&index, 7, 7));
    MR_EXPECT(mri_index_reserve(&index, heap));
    mri_index_add(&index, 7, 1);
    MR_EXPECT_PANIC(mri_index_remove(&index, 7, 7));
    mri_index_fini(&index, heap);
}

MR_TEST(probe_index, when_memory_is_short_then_the_index_is_as_before)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mri_index index;
        uint32_t added = 0;

        mri_index_init(&index);
        while (added < 100 && mri_index_reserve(&index, heap)) {
            mri_index_add(&index, tag_of(added), added);
            added++;
        }
        MR_EXPECT(added == 100 || mr_test_refused(heap));
        mri_index_check(&index);
        for (uint32_t i = 0; i < 100; i++) MR_EXPECT_EQ_INT(has(&index, i), i < added);
        mri_index_fini(&index, heap);
    }
}
