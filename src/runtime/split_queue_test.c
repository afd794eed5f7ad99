#include "runtime/split_queue.h"

#include "base/prng.h"
#include "base/status.h"
#include "base/time.h"
#include "mr_test.h"

#define SPLITS_MAX 40u

struct queue_test {
    struct mr_split splits[SPLITS_MAX];
    struct mr_split_list list;
    struct mr_split_queue queue;
};

static void start(struct queue_test *t, uint32_t count)
{
    struct mr_error err;

    *t = (struct queue_test){.list = {.count = count, .bounded = true}};
    t->list.splits = t->splits;
    for (uint32_t i = 0; i < count; i++) {
        t->splits[i].ordinal = i;
        t->splits[i].lower_bound_us = 1000 + 10 * (int64_t)i;
    }
    MR_EXPECT_OK(mr_split_queue_init(&t->queue, mr_test_heap(), &t->list, &err), &err);
}

static void expect_take(struct queue_test *t, uint32_t ordinal)
{
    const struct mr_split *split = mr_split_queue_take(&t->queue);

    MR_EXPECT(split != NULL);
    MR_EXPECT_EQ_UINT(split->ordinal, ordinal);
}

MR_TEST(split_queue, splits_are_handed_out_in_list_order_and_then_none)
{
    struct queue_test t;

    start(&t, 3);
    for (uint32_t i = 0; i < 3; i++) expect_take(&t, i);
    for (uint32_t i = 0; i < 3; i++) MR_EXPECT(mr_split_queue_take(&t.queue) == NULL);
    mr_split_queue_fini(&t.queue);
}

MR_TEST(split_queue, an_empty_list_has_nothing_to_take_and_holds_no_watermark)
{
    struct queue_test t;

    start(&t, 0);
    MR_EXPECT_EQ_INT(mr_split_queue_pending(&t.queue), MR_TIME_MAX);
    MR_EXPECT(mr_split_queue_take(&t.queue) == NULL);
    mr_split_queue_claims_end(&t.queue);
    MR_EXPECT_EQ_INT(mr_split_queue_pending(&t.queue), MR_TIME_MAX);
    mr_split_queue_fini(&t.queue);
    t.queue = (struct mr_split_queue){.list = NULL};
    mr_split_queue_fini(&t.queue); /* zeroed allowed */
}

MR_TEST(split_queue, a_claimed_split_is_not_handed_out)
{
    struct queue_test t;

    start(&t, 5);
    mr_split_queue_claim(&t.queue, 0);
    mr_split_queue_claim(&t.queue, 3);
    mr_split_queue_claim(&t.queue, 3); /* idempotent */
    mr_split_queue_claims_end(&t.queue);
    expect_take(&t, 1);
    expect_take(&t, 2);
    expect_take(&t, 4);
    MR_EXPECT(mr_split_queue_take(&t.queue) == NULL);
    mr_split_queue_fini(&t.queue);
}

MR_TEST(split_queue, when_all_are_claimed_there_is_nothing_to_take_and_nothing_pending)
{
    struct queue_test t;

    start(&t, 4);
    for (uint32_t i = 0; i < 4; i++) mr_split_queue_claim(&t.queue, i);
    mr_split_queue_claims_end(&t.queue);
    MR_EXPECT_EQ_INT(mr_split_queue_pending(&t.queue), MR_TIME_MAX);
    MR_EXPECT(mr_split_queue_take(&t.queue) == NULL);
    mr_split_queue_fini(&t.queue);
}

MR_TEST(split_queue, claiming_a_split_that_is_not_there_is_a_bug)
{
    struct queue_test t;

    start(&t, 4);
    MR_EXPECT_PANIC(mr_split_queue_claim(&t.queue, 4));
    mr_split_queue_fini(&t.queue);
}

/* Least bound of what is neither claimed nor taken, by looking at all. */
static int64_t least_pending(const struct queue_test *t, const bool *gone)
{
    int64_t least = MR_TIME_MAX;

    for (uint32_t i = 0; i < t->list.count; i++) {
        if (!gone[i]) least = MR_MIN(least, t->splits[i].lower_bound_us);
    }
    return least;
}

MR_TEST(split_queue, pending_is_the_least_bound_of_what_may_still_be_read)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 5, 1);
    for (uint32_t round = 0; round < 300; round++) {
        struct queue_test t;
        bool gone[SPLITS_MAX] = {false};
        const struct mr_split *split;
        uint32_t last = 0;

        start(&t, 1 + (uint32_t)mr_prng_below(&prng, SPLITS_MAX));
        for (uint32_t i = 0; i < t.list.count; i++) {
            t.splits[i].lower_bound_us = (int64_t)mr_prng_below(&prng, 50);
            if (mr_prng_below(&prng, 10) == 0) t.splits[i].lower_bound_us = MR_TIME_MIN;
        }
        for (uint32_t i = 0; i < t.list.count; i++) {
            gone[i] = mr_prng_below(&prng, 3) == 0;
            if (gone[i]) mr_split_queue_claim(&t.queue, i);
        }
        mr_split_queue_claims_end(&t.queue);
        MR_EXPECT_EQ_INT(mr_split_queue_pending(&t.queue), least_pending(&t, gone));
        while ((split = mr_split_queue_take(&t.queue)) != NULL) {
            MR_EXPECT(!gone[split->ordinal]); /* once each, and none that was claimed */
            MR_EXPECT(split->ordinal >= last);
            last = split->ordinal;
            gone[last] = true;
            MR_EXPECT_EQ_INT(mr_split_queue_pending(&t.queue), least_pending(&t, gone));
        }
        for (uint32_t i = 0; i < t.list.count; i++) MR_EXPECT(gone[i]);
        mr_split_queue_fini(&t.queue);
    }
}

MR_TEST(split_queue, a_rate_limit_lets_in_so_many_rows_per_second_and_takes_back_what_was_not_used)
{
    struct queue_test t;
    int64_t start_us = 7 * MR_SECOND;

    start(&t, 1);
    MR_EXPECT_EQ_UINT(mr_split_queue_reserve(&t.queue, 1000, start_us, 100), 0);
    MR_EXPECT_EQ_UINT(mr_split_queue_reserve(&t.queue, 1000, start_us + 10000, 100), 10);
    MR_EXPECT_EQ_UINT(mr_split_queue_reserve(&t.queue, 1000, start_us + 10000, 100), 0);
    mr_split_queue_settle(&t.queue, 10, 4);
    MR_EXPECT_EQ_UINT(mr_split_queue_reserve(&t.queue, 1000, start_us + 10000, 100), 6);
    mr_split_queue_settle(&t.queue, 6, 16); /* gave more than it was asked for: they count */
    MR_EXPECT_EQ_UINT(mr_split_queue_reserve(&t.queue, 1000, start_us + 20000, 100), 0);
    MR_EXPECT_EQ_UINT(mr_split_queue_reserve(&t.queue, 1000, start_us + MR_SECOND, 100), 100);
    MR_EXPECT_EQ_UINT(mr_split_queue_reserve(&t.queue, 1000, start_us - 5, 100), 0);
    mr_split_queue_fini(&t.queue);
}

MR_TEST(split_queue, init_without_memory_leaves_nothing_behind)
{
    struct mr_split_list list = {.count = 0};
    struct mr_split_queue queue;
    struct mr_error err;

    MR_TORTURE(mr_test_heap()) {
        enum mr_status st = mr_split_queue_init(&queue, mr_test_heap(), &list, &err);

        MR_EXPECT_EQ_INT(st, mr_test_refused(mr_test_heap()) ? MR_E_NOMEM : MR_OK);
        if (st == MR_OK) mr_split_queue_fini(&queue);
    }
}
