/* posix_port_test.c - parking, clocks, memory and what the machine allows. */
#include "mr_test.h"
#include "port/posix/posix.h"

#include <pthread.h>

static struct mr_port port;

static void make_port(void)
{
    struct mr_error err;

    MR_EXPECT_OK(mr_posix_port_init(&port, (size_t)64 << 20, 4, &err), &err);
}

MR_TEST(posix_port, a_wake_before_a_park_is_not_lost)
{
    struct mr_ptime before;

    make_port();
    before = port.clock.monotonic(port.clock.self);
    port.parker.wake(port.parker.self, 2);
    port.parker.wake(port.parker.self, 2);
    port.parker.park(port.parker.self, 2, 20 * MR_SECOND);
    MR_EXPECT(port.clock.monotonic(port.clock.self).us - before.us < 10 * MR_SECOND);
    mr_posix_port_fini(&port);
}

MR_TEST(posix_port, a_park_ends_by_itself)
{
    struct mr_ptime before;
    int64_t waited;

    make_port();
    before = port.clock.monotonic(port.clock.self);
    port.parker.park(port.parker.self, 0, 20 * MR_MILLISECOND);
    waited = port.clock.monotonic(port.clock.self).us - before.us;
    MR_EXPECT(waited >= 19 * MR_MILLISECOND);
    port.parker.park(port.parker.self, 0, 0); /* at once */
    mr_posix_port_fini(&port);
}

#define ROUNDS 2000u
static _Atomic uint32_t turn;

static void *ping(void *self)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        while (atomic_load(&turn) != 2 * i + 1) {
            port.parker.park(port.parker.self, 1, 20 * MR_SECOND);
        }
        atomic_store(&turn, 2 * i + 2);
        port.parker.wake(port.parker.self, 0);
    }
    return self;
}

/* If one wake were lost, a thread would wait 20 seconds and the test would be stopped. */
MR_TEST(posix_port, two_threads_wake_each_other_without_end)
{
    pthread_t thread;

    make_port();
    atomic_store(&turn, 0);
    MR_EXPECT_EQ_INT(pthread_create(&thread, NULL, ping, NULL), 0);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        atomic_store(&turn, 2 * i + 1);
        port.parker.wake(port.parker.self, 1);
        while (atomic_load(&turn) != 2 * i + 2) {
            port.parker.park(port.parker.self, 0, 20 * MR_SECOND);
        }
    }
    MR_EXPECT_EQ_INT(pthread_join(thread, NULL), 0);
    mr_posix_port_fini(&port);
}

MR_TEST(posix_port, large_blocks_are_aligned_and_the_limit_holds)
{
    void *large, *small;

    make_port();
    large = mr_alloc(port.heap, 5000);
    small = mr_alloc(port.heap, 50);
    MR_EXPECT(large != NULL && (uintptr_t)large % 64 == 0);
    MR_EXPECT(small != NULL && (uintptr_t)small % 16 == 0);
    MR_EXPECT(mr_alloc(port.heap, (size_t)65 << 20) == NULL);
    mr_free(port.heap, large, 5000);
    mr_free(port.heap, small, 50);
    mr_posix_port_fini(&port);
}

MR_TEST(posix_port, the_wall_clock_chance_and_choice_are_plausible)
{
    make_port();
    MR_EXPECT(port.clock.wall(port.clock.self).us > INT64_C(1600000000) * MR_SECOND);
    MR_EXPECT(port.entropy.next(port.entropy.self) != port.entropy.next(port.entropy.self));
    MR_EXPECT_EQ_UINT(port.choose.pick(port.choose.self, MR_CHOOSE_SPLIT, 7, 3), 3);
    mr_posix_port_fini(&port);
}

MR_TEST(posix_port, the_machine_allows_something)
{
    MR_EXPECT(mr_posix_cores() >= 1);
    MR_EXPECT(mr_posix_memory_default() >= (size_t)1 << 20);
    MR_EXPECT(mr_posix_peak_rss() >= (size_t)1 << 16);
}
