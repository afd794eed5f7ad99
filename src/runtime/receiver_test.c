#include "runtime/receiver.h"

#include "runtime_test_helper.h"

struct receiver_test {
    struct runtime_test base;
    struct mr_arena arena;
    struct mr_receiver receiver;
    char trace[512];
};

static void start(struct receiver_test *t, uint32_t channels)
{
    struct mr_error err;

    *t = (struct receiver_test){.trace = ""};
    runtime_test_open(&t->base, 8, 65536);
    mr_arena_init(&t->arena, mr_test_heap());
    MR_EXPECT_OK(mr_receiver_init(&t->receiver, &t->arena, channels, 0, &choose_preferred, &err), &err);
    for (uint32_t i = 0; i < channels; i++) {
        t->receiver.channels[i] = &t->base.channels[i];
        t->receiver.inputs[i] = i;
    }
}

static void stop(struct receiver_test *t)
{
    mr_arena_fini(&t->arena);
    runtime_test_close(&t->base);
}

/* Everything that comes out now, as text. */
static const char *drain(struct receiver_test *t)
{
    struct mr_item item;
    struct mr_error err;
    bool found;
    size_t at = 0;

    t->trace[0] = '\0';
    for (;;) {
        MR_EXPECT_OK(mr_receiver_next(&t->receiver, &item, &found, &err), &err);
        if (!found) return t->trace;
        char *out = t->trace + at;
        size_t room = sizeof t->trace - at;
        switch ((int)item.tag) {
        case MR_ITEM_BATCH:
            at += (size_t)snprintf(out, room, "batch %u; ", item.input);
            mr_batch_release(item.batch);
            break;
        case MR_ITEM_WATERMARK:
            at += (size_t)snprintf(out, room, "wm %lld; ", (long long)item.time_us);
            break;
        case MR_ITEM_IDLE: at += (size_t)snprintf(out, room, "idle; "); break;
        case MR_ITEM_END: at += (size_t)snprintf(out, room, "end; "); break;
        case MR_ITEM_BARRIER:
            at += (size_t)snprintf(out, room, "barrier %llu; ", (unsigned long long)item.epoch);
            break;
        default: MR_FAIL("tag %d", (int)item.tag);
        }
    }
}

/* A watermark is a promise of all inputs: the slowest decides. */
MR_TEST(receiver, when_one_input_lags_then_its_watermark_counts)
{
    struct receiver_test t;

    start(&t, 2);
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 100);
    MR_EXPECT_EQ_STR(drain(&t), "");
    put_time(&t.base.channels[1], MR_ITEM_WATERMARK, 40);
    MR_EXPECT_EQ_STR(drain(&t), "wm 40; ");
    put_time(&t.base.channels[1], MR_ITEM_WATERMARK, 70);
    MR_EXPECT_EQ_STR(drain(&t), "wm 70; ");
    put_time(&t.base.channels[1], MR_ITEM_WATERMARK, 200);
    MR_EXPECT_EQ_STR(drain(&t), "wm 100; ");
    stop(&t);
}

/* A silent input must not hold the others for ever. */
MR_TEST(receiver, when_one_input_is_idle_then_the_others_decide)
{
    struct receiver_test t;

    start(&t, 2);
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 100);
    put_time(&t.base.channels[1], MR_ITEM_IDLE, 0);
    MR_EXPECT_EQ_STR(drain(&t), "wm 100; ");
    put_time(&t.base.channels[0], MR_ITEM_IDLE, 0);
    MR_EXPECT_EQ_STR(drain(&t), "idle; ");
    stop(&t);
}

/* The next stage has been told that we are idle: without a word it would go on without us. */
MR_TEST(receiver, when_an_idle_input_speaks_again_then_its_rows_come_behind_a_watermark)
{
    struct receiver_test t;
    struct mr_schema *schema = mr_data_schema("n int64");
    struct mr_item item = {.tag = MR_ITEM_BATCH};

    start(&t, 1);
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 100);
    put_time(&t.base.channels[0], MR_ITEM_IDLE, 0);
    MR_EXPECT_EQ_STR(drain(&t), "wm 100; idle; ");
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 100);
    item.batch = mr_data_batch(&t.base.data.quota, schema, "1\n");
    MR_EXPECT(mr_channel_put(&t.base.channels[0], &item));
    MR_EXPECT_EQ_STR(drain(&t), "wm 100; batch 0; ");
    put_time(&t.base.channels[0], MR_ITEM_IDLE, 0);
    MR_EXPECT_EQ_STR(drain(&t), "idle; ");
    mr_schema_release(schema);
    stop(&t);
}

/* It may be behind what has been promised: the promise stands. */
MR_TEST(receiver, when_an_idle_input_comes_back_behind_then_the_watermark_stays)
{
    struct receiver_test t;

    start(&t, 2);
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 50);
    put_time(&t.base.channels[0], MR_ITEM_IDLE, 0);
    put_time(&t.base.channels[1], MR_ITEM_WATERMARK, 200);
    put_time(&t.base.channels[1], MR_ITEM_IDLE, 0);
    MR_EXPECT_EQ_STR(drain(&t), "wm 200; idle; ");
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 50);
    MR_EXPECT_EQ_STR(drain(&t), "wm 200; ");
    put_time(&t.base.channels[1], MR_ITEM_WATERMARK, 300);
    MR_EXPECT_EQ_STR(drain(&t), "");
    stop(&t);
}

MR_TEST(receiver, when_all_inputs_have_ended_then_it_ends_once)
{
    struct receiver_test t;

    start(&t, 3);
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 10);
    put_time(&t.base.channels[0], MR_ITEM_END, 0);
    put_time(&t.base.channels[2], MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(drain(&t), "");
    put_time(&t.base.channels[1], MR_ITEM_WATERMARK, 30);
    MR_EXPECT_EQ_STR(drain(&t), "wm 30; ");
    put_time(&t.base.channels[1], MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(drain(&t), "end; ");
    MR_EXPECT_EQ_STR(drain(&t), "");
    stop(&t);
}

/* A later version may send what this one does not know: guessing would lose it. */
MR_TEST(receiver, when_a_tag_is_unknown_then_it_is_refused)
{
    struct receiver_test t;
    struct mr_item item;
    struct mr_error err;
    bool found;

    start(&t, 1);
    put_time(&t.base.channels[0], (enum mr_item_tag)9, 0);
    MR_EXPECT_STATUS(mr_receiver_next(&t.receiver, &item, &found, &err), MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(err.text, "tag 9");
    stop(&t);
}

MR_TEST(receiver, when_inputs_have_batches_then_all_get_their_turn)
{
    struct receiver_test t;
    struct mr_schema *schema = mr_data_schema("n int64");

    start(&t, 2);
    for (int i = 0; i < 3; i++) {
        for (int c = 0; c < 2; c++) {
            struct mr_item item = {.tag = MR_ITEM_BATCH,
                                   .batch = mr_data_batch(&t.base.data.quota, schema, "1\n")};
            MR_EXPECT(mr_channel_put(&t.base.channels[c], &item));
        }
    }
    MR_EXPECT_EQ_STR(drain(&t), "batch 0; batch 1; batch 0; batch 1; batch 0; batch 1; ");
    mr_schema_release(schema);
    stop(&t);
}
static void put_barrier(struct mr_channel *channel, uint64_t epoch)
{
    struct mr_item item = {.tag = MR_ITEM_BARRIER, .epoch = epoch};

    MR_EXPECT(mr_channel_put(channel, &item));
}

/* What lies behind a barrier belongs to the next epoch, whatever the other input does. */
MR_TEST(receiver, when_one_input_has_its_barrier_then_it_waits_for_the_other)
{
    struct receiver_test t;

    start(&t, 2);
    put_barrier(&t.base.channels[0], 1);
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 100);
    put_time(&t.base.channels[1], MR_ITEM_WATERMARK, 40);
    MR_EXPECT_EQ_STR(drain(&t), "");
    put_time(&t.base.channels[1], MR_ITEM_IDLE, 0);
    MR_EXPECT_EQ_STR(drain(&t), "");
    put_barrier(&t.base.channels[1], 1);
    MR_EXPECT_EQ_STR(drain(&t), "barrier 1; wm 100; ");
    stop(&t);
}

/* An input that ended has delivered every later barrier, also one that the others wait for. */
MR_TEST(receiver, when_an_input_ends_instead_of_its_barrier_then_the_barrier_comes_first)
{
    struct receiver_test t;

    start(&t, 2);
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 100);
    put_time(&t.base.channels[1], MR_ITEM_WATERMARK, 40);
    MR_EXPECT_EQ_STR(drain(&t), "wm 40; ");
    put_barrier(&t.base.channels[0], 3);
    put_time(&t.base.channels[0], MR_ITEM_WATERMARK, 120);
    put_time(&t.base.channels[1], MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(drain(&t), "barrier 3; wm 100; wm 120; ");
    put_barrier(&t.base.channels[0], 4);
    put_time(&t.base.channels[0], MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(drain(&t), "barrier 4; end; ");
    stop(&t);
}

/* An epoch that was given up is overtaken: the newer barrier counts, the older one is forgotten. */
MR_TEST(receiver, when_a_newer_barrier_overtakes_then_the_older_one_never_comes)
{
    struct receiver_test t;

    start(&t, 2);
    put_barrier(&t.base.channels[0], 1);
    MR_EXPECT_EQ_STR(drain(&t), "");
    put_barrier(&t.base.channels[1], 2);
    MR_EXPECT_EQ_STR(drain(&t), "");
    put_barrier(&t.base.channels[0], 2);
    MR_EXPECT_EQ_STR(drain(&t), "barrier 2; ");
    stop(&t);
}

