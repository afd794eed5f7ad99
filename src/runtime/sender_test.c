#include "runtime/sender.h"

#include "runtime_test_helper.h"

struct sender_test {
    struct runtime_test base;
    struct mr_schema *schema;
    struct mr_plan_edge edge;
    struct mr_channel *channels[TEST_CHANNELS];
    struct mr_sender *sender;
};

static void start(struct sender_test *t, enum mr_exchange exchange, uint32_t channels,
                  uint32_t slots, size_t quota_bytes)
{
    struct mr_sender_options options = {.channel_count = channels,
                                        .key_group_count = MR_KEY_GROUPS_DEFAULT,
                                        .batch_rows = 64};
    struct mr_error err;

    *t = (struct sender_test){.sender = NULL};
    runtime_test_open(&t->base, slots, quota_bytes);
    t->schema = mr_data_schema("k utf8, n int64");
    t->edge = (struct mr_plan_edge){.exchange = exchange, .schema = t->schema, .key_count = 1};
    for (int i = 0; i < TEST_CHANNELS; i++) t->channels[i] = &t->base.channels[i];
    options.edge = &t->edge;
    options.channels = t->channels;
    options.counters = &t->base.counters;
    MR_EXPECT_OK(mr_sender_create(mr_test_heap(), &options, &t->sender, &err), &err);
}

static void stop(struct sender_test *t)
{
    mr_sender_destroy(t->sender);
    mr_schema_release(t->schema);
    runtime_test_close(&t->base);
}

static struct mr_batch *numbers(struct sender_test *t, uint32_t first, uint32_t count)
{
    char *text = malloc(count * 40 + 1);
    size_t at = 0;
    struct mr_batch *batch;

    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        at += (size_t)sprintf(text + at, "key %u of the test|%u\n", (first + i) % 50, first + i);
    }
    batch = mr_data_batch(&t->base.data.quota, t->schema, text);
    free(text);
    return batch;
}

/* Takes all items of a channel; counts rows and remembers which number came where. */
static uint32_t take_all(struct mr_channel *channel, uint8_t *owner, uint8_t me, int64_t *last)
{
    struct mr_item item;
    uint32_t rows = 0;

    while (mr_channel_get(channel, &item)) {
        if (item.tag != MR_ITEM_BATCH) continue;
        for (uint32_t i = 0; i < item.batch->row_count; i++) {
            int64_t n = mr_column_int64(&item.batch->columns[1], mr_batch_at(item.batch, i));
            MR_EXPECT_EQ_INT(owner[n], 0); /* nowhere before */
            owner[n] = me;
            if (last != NULL) MR_EXPECT(n > *last); /* order is kept per channel */
            if (last != NULL) *last = n;
            rows++;
        }
        mr_batch_release(item.batch);
    }
    return rows;
}

static bool push(struct sender_test *t)
{
    struct mr_error err;
    bool ready;

    MR_EXPECT_OK(mr_sender_push(t->sender, &ready, &err), &err);
    return ready;
}

static void put(struct sender_test *t, const struct mr_item *item)
{
    struct mr_error err;

    MR_EXPECT_OK(mr_sender_put(t->sender, item, &err), &err);
}

/* Small rings and quotas, a receiver that takes only now and then: nothing lost, nothing twice,
 * equal keys at one place. */
MR_TEST(sender, when_rows_are_scattered_by_key_then_each_goes_to_one_owner_in_order)
{
    struct sender_test t;
    static uint8_t owner[10000];
    int64_t last[3] = {-1, -1, -1};
    uint32_t rows = 0;

    memset(owner, 0, sizeof owner);
    start(&t, MR_EXCHANGE_KEY, 3, 1, 2 * MR_BLOCK_BYTES_MAX);
    for (uint32_t first = 0; first < 10000; first += 1000) {
        struct mr_item item = {.tag = MR_ITEM_BATCH, .batch = numbers(&t, first, 1000)};

        put(&t, &item);
        mr_batch_release(item.batch);
        for (uint32_t turn = 0; !push(&t); turn++) {
            uint32_t c = turn % 3;
            rows += take_all(t.channels[c], owner, (uint8_t)(c + 1), &last[c]);
        }
    }
    while (mr_sender_flush(t.sender) || rows < 10000) {
        for (uint32_t c = 0; c < 3; c++) {
            rows += take_all(t.channels[c], owner, (uint8_t)(c + 1), &last[c]);
        }
    }
    MR_EXPECT_EQ_UINT(rows, 10000);
    for (uint32_t n = 50; n < 10000; n++) MR_EXPECT_EQ_INT(owner[n], owner[n % 50]);
    stop(&t);
}

/* A barrier or watermark behind rows must not overtake them. */
MR_TEST(sender, when_a_control_item_comes_then_waiting_rows_leave_first)
{
    struct sender_test t;
    struct mr_item item = {.tag = MR_ITEM_BATCH};
    struct mr_item got;
    uint32_t rows = 0;

    start(&t, MR_EXCHANGE_KEY, 2, 4, 2 * MR_BLOCK_BYTES_MAX);
    item.batch = numbers(&t, 0, 10);
    put(&t, &item);
    mr_batch_release(item.batch);
    MR_EXPECT(push(&t));
    MR_EXPECT(mr_channel_empty(t.channels[0]) && mr_channel_empty(t.channels[1]));
    put(&t, &(struct mr_item){.tag = MR_ITEM_WATERMARK, .time_us = 5});
    MR_EXPECT(push(&t));
    for (int c = 0; c < 2; c++) {
        bool saw_watermark = false;
        while (mr_channel_get(t.channels[c], &got)) {
            if (got.tag == MR_ITEM_WATERMARK) {
                saw_watermark = true;
                continue;
            }
            MR_EXPECT(!saw_watermark);
            rows += got.batch->row_count;
            mr_batch_release(got.batch);
        }
        MR_EXPECT(saw_watermark);
    }
    MR_EXPECT_EQ_UINT(rows, 10);
    stop(&t);
}

MR_TEST(sender, when_rows_wait_then_they_leave_after_some_turns)
{
    struct sender_test t;
    struct mr_item item = {.tag = MR_ITEM_BATCH};
    uint32_t turns = 0;

    start(&t, MR_EXCHANGE_KEY, 2, 4, 2 * MR_BLOCK_BYTES_MAX);
    item.batch = numbers(&t, 0, 3);
    put(&t, &item);
    mr_batch_release(item.batch);
    MR_EXPECT(push(&t));
    while (!mr_sender_turn(t.sender)) turns++;
    MR_EXPECT_EQ_UINT(turns, MR_FLUSH_TURNS - 1);
    stop(&t);
}

/* One slow receiver of a broadcast must not make the others see a batch twice. */
MR_TEST(sender, when_a_broadcast_is_held_up_then_nobody_gets_it_twice)
{
    struct sender_test t;
    struct mr_item item = {.tag = MR_ITEM_BATCH};
    struct mr_item got;

    start(&t, MR_EXCHANGE_BROADCAST, 3, 1, 65536);
    put_time(t.channels[1], MR_ITEM_IDLE, 0); /* fills the ring of one slot (rounded up: two) */
    while (mr_ring_room(&t.channels[1]->ring) > 0) put_time(t.channels[1], MR_ITEM_IDLE, 0);
    item.batch = numbers(&t, 0, 5);
    put(&t, &item);
    mr_batch_release(item.batch);
    MR_EXPECT(!push(&t));
    MR_EXPECT(!push(&t));
    while (mr_channel_get(t.channels[1], &got)) MR_EXPECT_EQ_INT(got.tag, MR_ITEM_IDLE);
    MR_EXPECT(push(&t));
    for (int c = 0; c < 3; c++) {
        MR_EXPECT(mr_channel_get(t.channels[c], &got));
        MR_EXPECT_EQ_UINT(got.batch->row_count, 5);
        mr_batch_release(got.batch);
        MR_EXPECT(!mr_channel_get(t.channels[c], &got));
    }
    stop(&t);
}

MR_TEST(sender, when_batches_go_round_then_each_receiver_gets_its_share)
{
    struct sender_test t;
    static uint8_t owner[400];

    memset(owner, 0, sizeof owner);
    start(&t, MR_EXCHANGE_ROUND_ROBIN, 4, 8, 65536);
    for (uint32_t i = 0; i < 4; i++) {
        struct mr_item item = {.tag = MR_ITEM_BATCH, .batch = numbers(&t, 100 * i, 100)};
        put(&t, &item);
        mr_batch_release(item.batch);
        MR_EXPECT(push(&t));
    }
    for (uint32_t c = 0; c < 4; c++) {
        MR_EXPECT_EQ_UINT(take_all(t.channels[c], owner, (uint8_t)(c + 1), NULL), 100);
    }
    stop(&t);
}

MR_TEST(sender, when_memory_fails_then_create_leaves_nothing_behind)
{
    struct runtime_test base;
    struct mr_schema *schema = mr_data_schema("k utf8, n int64");
    struct mr_plan_edge edge = {.exchange = MR_EXCHANGE_KEY, .schema = schema, .key_count = 1};
    struct mr_channel *channels[2];
    struct mr_sender_options options = {.edge = &edge,
                                        .channels = channels,
                                        .channel_count = 2,
                                        .key_group_count = MR_KEY_GROUPS_DEFAULT,
                                        .batch_rows = 64};
    struct mr_error err;

    runtime_test_open(&base, 2, 65536);
    channels[0] = &base.channels[0];
    channels[1] = &base.channels[1];
    options.counters = &base.counters;
    MR_TORTURE(mr_test_heap())
    {
        struct mr_sender *sender = NULL;
        enum mr_status st = mr_sender_create(mr_test_heap(), &options, &sender, &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(mr_test_heap()) ? MR_E_NOMEM : MR_OK);
        if (st == MR_OK) mr_sender_destroy(sender);
    }
    mr_schema_release(schema);
    runtime_test_close(&base);
}
