/* ring_test.c */
#include "base/ring.h"
#include "mr_test.h"

#include <pthread.h>
#include <sched.h>

static void open_ring(struct mr_ring *ring, uint32_t capacity)
{
    MR_EXPECT_OK(mr_ring_init(ring, mr_test_heap(), capacity, sizeof(uint64_t)), NULL);
}

MR_TEST(ring, when_full_then_put_answers_false_and_nothing_is_lost)
{
    struct mr_ring ring;
    uint64_t value;

    open_ring(&ring, 3); /* rounded up to 4 */
    MR_EXPECT(mr_ring_empty(&ring));
    MR_EXPECT_EQ_UINT(mr_ring_room(&ring), 4);
    for (uint64_t i = 0; i < 4; i++) MR_EXPECT(mr_ring_put(&ring, &i));
    MR_EXPECT(!mr_ring_put(&ring, &(uint64_t){99}));
    MR_EXPECT_EQ_UINT(mr_ring_room(&ring), 0);
    for (uint64_t i = 0; i < 4; i++) {
        MR_EXPECT(!mr_ring_empty(&ring));
        MR_EXPECT(mr_ring_get(&ring, &value));
        MR_EXPECT_EQ_UINT(value, i);
    }
    MR_EXPECT(!mr_ring_get(&ring, &value));
    MR_EXPECT(mr_ring_empty(&ring));
    mr_ring_fini(&ring);
}

/* The smallest ring is what the tests for deadlocks use. */
MR_TEST(ring, a_ring_of_one_slot_alternates)
{
    struct mr_ring ring;
    uint64_t value;

    open_ring(&ring, 1);
    for (uint64_t i = 0; i < 1000; i++) {
        MR_EXPECT(mr_ring_put(&ring, &i));
        MR_EXPECT(!mr_ring_put(&ring, &i));
        MR_EXPECT(mr_ring_get(&ring, &value));
        MR_EXPECT(!mr_ring_get(&ring, &value));
        MR_EXPECT_EQ_UINT(value, i);
    }
    mr_ring_fini(&ring);
}

MR_TEST(ring, a_slot_of_any_size_is_copied_whole)
{
    struct mr_ring ring;
    char in[37];
    char out[37] = {0};

    MR_EXPECT_OK(mr_ring_init(&ring, mr_test_heap(), 2, sizeof in), NULL);
    for (int round = 0; round < 9; round++) {
        memset(in, 'a' + round, sizeof in);
        MR_EXPECT(mr_ring_put(&ring, in));
        MR_EXPECT(mr_ring_get(&ring, out));
        MR_EXPECT_EQ_BYTES(out, in, sizeof in);
    }
    mr_ring_fini(&ring);
}

MR_TEST(ring, without_memory_there_is_no_ring)
{
    MR_TORTURE(mr_test_heap()) {
        struct mr_ring ring = {0};
        enum mr_status st = mr_ring_init(&ring, mr_test_heap(), 8, 8);

        MR_EXPECT_EQ_INT(st, mr_test_refused(mr_test_heap()) ? MR_E_NOMEM : MR_OK);
        mr_ring_fini(&ring);
    }
}

#define TRANSFERS 200000

static void *produce(void *arg)
{
    struct mr_ring *ring = arg;

    for (uint64_t i = 0; i < TRANSFERS;) {
        uint64_t slot[3] = {i, ~i, i * 3};

        if (mr_ring_put(ring, slot))
            i++;
        else
            (void)sched_yield();
    }
    return NULL;
}

static void pass_everything(uint32_t capacity)
{
    struct mr_ring ring;
    pthread_t thread;

    MR_EXPECT_OK(mr_ring_init(&ring, mr_test_heap(), capacity, 3 * sizeof(uint64_t)), NULL);
    MR_EXPECT_EQ_INT(pthread_create(&thread, NULL, produce, &ring), 0);
    for (uint64_t i = 0; i < TRANSFERS;) {
        uint64_t slot[3];

        if (!mr_ring_get(&ring, slot)) {
            (void)sched_yield();
            continue;
        }
        MR_EXPECT_EQ_UINT(slot[0], i);
        MR_EXPECT_EQ_UINT(slot[1], ~i);
        MR_EXPECT_EQ_UINT(slot[2], i * 3);
        i++;
    }
    (void)pthread_join(thread, NULL);
    MR_EXPECT(mr_ring_empty(&ring));
    mr_ring_fini(&ring);
}

MR_TEST(ring, two_threads_pass_every_slot_whole_and_in_order)
{
    pass_everything(64);
}

MR_TEST(ring, two_threads_get_through_a_ring_of_one_slot)
{
    pass_everything(1);
}
