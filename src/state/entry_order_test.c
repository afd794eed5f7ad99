/* entry_order_test.c - sort keys put entries into the documented order; the sort sorts. */
#include "base/prng.h"
#include "mr_test.h"
#include "state/entry_order.h"

static int compare(const struct mr_entry *left, const struct mr_entry *right)
{
    struct mr_buffer a, b;
    int order;

    mr_buffer_init(&a, mr_test_heap());
    mr_buffer_init(&b, mr_test_heap());
    MR_EXPECT(mri_sort_key_put(&a, "op", left) && mri_sort_key_put(&b, "op", right));
    order = mri_sort_key_compare(a.data, a.size_bytes, b.data, b.size_bytes);
    mr_buffer_fini(&a);
    mr_buffer_fini(&b);
    return (order > 0) - (order < 0);
}

MR_TEST(entry_order, class_then_group_then_namespace_then_key_decide)
{
    struct mr_entry a = {.kind = MR_ENTRY_PUT, .state_name = "s", .key = {"a", 1}};
    struct mr_entry b = a;

    b.key = (struct mr_bytes){"ab", 2};
    MR_EXPECT_EQ_INT(compare(&a, &b), -1);
    a.ns = 1;
    MR_EXPECT_EQ_INT(compare(&a, &b), 1);
    b.ns = -1;
    a.ns = INT64_MIN;
    MR_EXPECT_EQ_INT(compare(&a, &b), -1);
    a.key_group = 256;
    b.key_group = 255;
    MR_EXPECT_EQ_INT(compare(&a, &b), 1);
    b.kind = MR_ENTRY_TIMER_SET;
    MR_EXPECT_EQ_INT(compare(&a, &b), -1);
    a.kind = MR_ENTRY_VALUE;
    MR_EXPECT_EQ_INT(compare(&a, &b), 1);
    a.state_name = "r";
    MR_EXPECT_EQ_INT(compare(&a, &b), -1);
}

MR_TEST(entry_order, a_removal_is_about_the_same_thing_as_the_put)
{
    struct mr_entry put = {.kind = MR_ENTRY_PUT, .state_name = "s", .key = {"a", 1}};
    struct mr_entry other = put;

    other.kind = MR_ENTRY_REMOVE;
    other.group_end = 7;
    MR_EXPECT_EQ_INT(compare(&put, &other), 0);
    put.kind = other.kind = MR_ENTRY_VALUE; /* every instance has its own */
    MR_EXPECT(compare(&put, &other) != 0);
}

static bool before(const void *left, const void *right)
{
    return *(const uint32_t *)left < *(const uint32_t *)right;
}

MR_TEST(entry_order, the_sort_sorts_any_number_of_things)
{
    uint32_t numbers[100];
    struct mr_prng prng;

    mr_prng_init(&prng, 3, 0);
    for (uint32_t count = 0; count <= 100; count++) {
        uint64_t sum = 0;

        for (uint32_t i = 0; i < count; i++) sum += numbers[i] = (uint32_t)mr_prng_below(&prng, 50);
        mri_sort(numbers, count, sizeof *numbers, before);
        for (uint32_t i = 0; i < count; i++) {
            MR_EXPECT(i == 0 || numbers[i - 1] <= numbers[i]);
            sum -= numbers[i];
        }
        MR_EXPECT_EQ_UINT(sum, 0);
    }
}
