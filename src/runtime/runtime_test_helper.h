/* runtime_test_helper.h - for tests of this folder: channels and a port without an outside.
 *
 * Owns:    its pool and channels.
 * Thread:  confined.
 * Fails:   fails the test.
 * Cost:    none that matters.
 */
#ifndef MR_RUNTIME_TEST_HELPER_H
#define MR_RUNTIME_TEST_HELPER_H

#include "data/data_test_helper.h"
#include "runtime/channel.h"

#define TEST_CHANNELS 4

static uint64_t pick_preferred(void *self, enum mr_choice what, uint64_t bound, uint64_t preferred)
{
    (void)self;
    (void)what;
    (void)bound;
    return preferred;
}

static const struct mr_choose choose_preferred = {.pick = pick_preferred};

struct runtime_test {
    struct mr_data_test data;
    struct mr_wakeup wakeup;
    struct mr_channel *channels; /* cache-line aligned */
    char *memory;
    struct mr_counters counters;
};

MR_UNUSED static void runtime_test_open(struct runtime_test *t, uint32_t slots, size_t quota_bytes)
{
    struct mr_error err;

    *t = (struct runtime_test){.memory = NULL};
    mr_data_test_open(&t->data);
    t->memory = mr_alloc_zero(mr_test_heap(), TEST_CHANNELS * sizeof *t->channels + 64);
    t->channels = (struct mr_channel *)(void *)(t->memory + ((64 - ((uintptr_t)t->memory & 63)) & 63));
    for (int i = 0; i < TEST_CHANNELS; i++) {
        MR_EXPECT_OK(mr_channel_init(&t->channels[i], mr_test_heap(), t->data.pool, "test", slots,
                                     quota_bytes, &t->wakeup, &err),
                     &err);
    }
}

MR_UNUSED static void runtime_test_close(struct runtime_test *t)
{
    for (int i = 0; i < TEST_CHANNELS; i++) mr_channel_fini(&t->channels[i]);
    mr_free(mr_test_heap(), t->memory, TEST_CHANNELS * sizeof *t->channels + 64);
    mr_data_test_close(&t->data);
}

MR_UNUSED static void put_time(struct mr_channel *channel, enum mr_item_tag tag, int64_t time_us)
{
    struct mr_item item = {.tag = tag, .time_us = time_us};

    MR_EXPECT(mr_channel_put(channel, &item));
}

#endif
