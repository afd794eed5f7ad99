/* watermark_test.c - the three-state rule, by table, by trace and against a naive oracle. */
#include "base/prng.h"
#include "core/watermark.h"
#include "mr_test.h"

#include <stdio.h>

struct rig {
    struct mr_arena arena;
    struct mr_watermark wm;
    char trace[2048];
    size_t at;
};

static void rig_init(struct rig *rig, uint32_t inputs)
{
    mr_arena_init(&rig->arena, mr_test_heap());
    MR_EXPECT_OK(mr_watermark_init(&rig->wm, &rig->arena, inputs, NULL), NULL);
    rig->trace[0] = '\0';
    rig->at = 0;
}

static void rig_fini(struct rig *rig)
{
    mr_arena_fini(&rig->arena);
}

static void say(struct rig *rig, const char *what)
{
    rig->at += (size_t)snprintf(rig->trace + rig->at, sizeof rig->trace - rig->at, "%s;", what);
}

/* One line of trace: what the driver would do, in order. */
static void step(struct rig *rig, enum mr_watermark_event_kind kind, uint32_t input, int64_t time)
{
    struct mr_watermark_event event = {kind, input, {time}};
    struct mr_watermark_action out;
    char text[64];

    mr_watermark_step(&rig->wm, &event, &out);
    MR_EXPECT_EQ_INT(out.time.us, rig->wm.output_us);
    if (out.became_active) say(rig, "active");
    if (out.advanced) {
        if (out.time.us == MR_TIME_MAX) {
            say(rig, "max");
        } else {
            (void)snprintf(text, sizeof text, "%lld", (long long)out.time.us);
            say(rig, text);
        }
    }
    if (out.became_idle) say(rig, "idle");
    if (out.finished) say(rig, "finished");
}

static void expect_trace(struct rig *rig, const char *trace)
{
    MR_EXPECT_EQ_STR(rig->trace, trace);
    rig->trace[0] = '\0';
    rig->at = 0;
}

#define ADVANCE(rig, input, time) step(rig, MR_WM_ADVANCE, input, time)
#define IDLE(rig, input)          step(rig, MR_WM_IDLE, input, 0)
#define FINISH(rig, input)        step(rig, MR_WM_FINISH, input, 0)

/* An input that has not spoken may still bring any time: nothing may fire before it has. */
MR_TEST(watermark, when_one_input_waits_then_the_output_stays_at_min)
{
    struct rig rig;

    rig_init(&rig, 2);
    ADVANCE(&rig, 0, 100);
    ADVANCE(&rig, 0, 200);
    expect_trace(&rig, "");
    MR_EXPECT_EQ_INT(rig.wm.output_us, MR_TIME_MIN);
    ADVANCE(&rig, 1, 50);
    expect_trace(&rig, "50;");
    rig_fini(&rig);
}

MR_TEST(watermark, when_the_slowest_input_moves_then_the_output_follows_to_the_next_slowest)
{
    struct rig rig;

    rig_init(&rig, 3);
    ADVANCE(&rig, 0, 10);
    ADVANCE(&rig, 1, 20);
    ADVANCE(&rig, 2, 30);
    ADVANCE(&rig, 2, 90);
    expect_trace(&rig, "10;");
    ADVANCE(&rig, 0, 50);
    expect_trace(&rig, "20;");
    ADVANCE(&rig, 1, 60);
    expect_trace(&rig, "50;");
    rig_fini(&rig);
}

/* Each of the two inputs in each state, with value 10 and 20: the whole rule in one table. */
MR_TEST(watermark, two_inputs_in_every_pair_of_states_follow_the_table)
{
    static const struct {
        enum mr_input_state first, second;
        int64_t output;
        bool idle, finished;
    } rows[] = {
        {MR_INPUT_WAITING, MR_INPUT_WAITING, MR_TIME_MIN, false, false},
        {MR_INPUT_WAITING, MR_INPUT_ACTIVE, MR_TIME_MIN, false, false},
        {MR_INPUT_WAITING, MR_INPUT_IDLE, MR_TIME_MIN, false, false},
        {MR_INPUT_WAITING, MR_INPUT_FINISHED, MR_TIME_MIN, false, false},
        {MR_INPUT_ACTIVE, MR_INPUT_WAITING, MR_TIME_MIN, false, false},
        {MR_INPUT_ACTIVE, MR_INPUT_ACTIVE, 10, false, false},
        {MR_INPUT_ACTIVE, MR_INPUT_IDLE, 10, false, false},
        {MR_INPUT_ACTIVE, MR_INPUT_FINISHED, 10, false, false},
        {MR_INPUT_IDLE, MR_INPUT_WAITING, MR_TIME_MIN, false, false},
        {MR_INPUT_IDLE, MR_INPUT_ACTIVE, 20, false, false},
        {MR_INPUT_IDLE, MR_INPUT_IDLE, 20, true, false},
        {MR_INPUT_IDLE, MR_INPUT_FINISHED, 10, true, false},
        {MR_INPUT_FINISHED, MR_INPUT_WAITING, MR_TIME_MIN, false, false},
        {MR_INPUT_FINISHED, MR_INPUT_ACTIVE, 20, false, false},
        {MR_INPUT_FINISHED, MR_INPUT_IDLE, 20, true, false},
        {MR_INPUT_FINISHED, MR_INPUT_FINISHED, MR_TIME_MAX, false, true},
    };

    for (size_t i = 0; i < MR_COUNT(rows); i++) {
        /* Both orders of bringing the inputs there must end alike, up to the rule that the output
         * does not go back: the second input first, then the first. */
        struct rig rig;
        enum mr_input_state want[2] = {rows[i].first, rows[i].second};

        rig_init(&rig, 2);
        for (uint32_t n = 2; n-- > 0;) {
            if (want[n] == MR_INPUT_ACTIVE || want[n] == MR_INPUT_IDLE) {
                ADVANCE(&rig, n, n == 0 ? 10 : 20);
            }
            if (want[n] == MR_INPUT_IDLE) IDLE(&rig, n);
            if (want[n] == MR_INPUT_FINISHED) FINISH(&rig, n);
        }
        if (rig.wm.output_us != rows[i].output || rig.wm.idle != rows[i].idle ||
            rig.wm.finished != rows[i].finished) {
            MR_FAIL("row %zu: output %lld idle %d finished %d", i, (long long)rig.wm.output_us,
                    rig.wm.idle, rig.wm.finished);
        }
        rig_fini(&rig);
    }
}

/* A silent input must not stop the others, and its late comeback must not take back a promise. */
MR_TEST(watermark, when_an_idle_input_comes_back_behind_then_the_output_does_not_go_back)
{
    struct rig rig;

    rig_init(&rig, 2);
    ADVANCE(&rig, 0, 10);
    ADVANCE(&rig, 1, 10);
    IDLE(&rig, 1);
    ADVANCE(&rig, 0, 100);
    expect_trace(&rig, "10;100;");
    ADVANCE(&rig, 1, 40); /* behind: 40 < 100 */
    ADVANCE(&rig, 0, 200);
    expect_trace(&rig, ""); /* it holds again */
    ADVANCE(&rig, 1, 150);
    expect_trace(&rig, "150;");
    MR_EXPECT_EQ_INT(rig.wm.inputs[1].time_us, 150);
    rig_fini(&rig);
}

MR_TEST(watermark, when_all_are_idle_then_the_greatest_last_value_goes_out_before_idle)
{
    struct rig rig;

    rig_init(&rig, 2);
    ADVANCE(&rig, 0, 10);
    ADVANCE(&rig, 1, 70);
    IDLE(&rig, 1);
    expect_trace(&rig, "10;");
    IDLE(&rig, 0);
    expect_trace(&rig, "70;idle;");
    IDLE(&rig, 0); /* again: nothing new */
    expect_trace(&rig, "");
    ADVANCE(&rig, 0, 80);
    expect_trace(&rig, "active;80;");
    rig_fini(&rig);
}

MR_TEST(watermark, when_inputs_go_idle_without_a_word_then_the_output_is_idle_at_min)
{
    struct rig rig;

    rig_init(&rig, 2);
    IDLE(&rig, 0);
    expect_trace(&rig, "");
    IDLE(&rig, 1);
    expect_trace(&rig, "idle;");
    MR_EXPECT_EQ_INT(rig.wm.output_us, MR_TIME_MIN);
    ADVANCE(&rig, 1, 5);
    expect_trace(&rig, "active;5;");
    rig_fini(&rig);
}

/* A finished input says MAX, and must not let idle ones be overtaken (they may come back). */
MR_TEST(watermark, when_one_input_finishes_then_idle_ones_are_not_overtaken)
{
    struct rig rig;

    rig_init(&rig, 2);
    ADVANCE(&rig, 0, 10);
    ADVANCE(&rig, 1, 20);
    IDLE(&rig, 0);
    expect_trace(&rig, "10;20;");
    FINISH(&rig, 1);
    expect_trace(&rig, "idle;");
    FINISH(&rig, 0);
    expect_trace(&rig, "max;finished;");
    rig_fini(&rig);
}

MR_TEST(watermark, when_the_watermark_is_max_before_the_end_then_the_end_is_said_once)
{
    struct rig rig;

    rig_init(&rig, 1);
    ADVANCE(&rig, 0, MR_TIME_MAX);
    expect_trace(&rig, "max;");
    FINISH(&rig, 0);
    expect_trace(&rig, "finished;");
    rig_fini(&rig);
}

MR_TEST(watermark, when_a_finished_input_speaks_then_it_is_a_bug)
{
    struct rig rig;

    rig_init(&rig, 2);
    FINISH(&rig, 0);
    MR_EXPECT_PANIC(ADVANCE(&rig, 0, 5));
    MR_EXPECT_PANIC(IDLE(&rig, 0));
    MR_EXPECT_PANIC(FINISH(&rig, 0));
    rig_fini(&rig);
}

MR_TEST(watermark, when_restored_then_the_output_begins_there_and_does_not_go_back)
{
    struct rig rig;

    rig_init(&rig, 2);
    mr_watermark_restore(&rig.wm, 500);
    ADVANCE(&rig, 0, 400);
    ADVANCE(&rig, 1, 450);
    expect_trace(&rig, "");
    MR_EXPECT_EQ_INT(rig.wm.output_us, 500);
    ADVANCE(&rig, 0, 600);
    ADVANCE(&rig, 1, 550);
    expect_trace(&rig, "550;");
    rig_fini(&rig);
}

MR_TEST(watermark, when_memory_is_short_then_init_says_so)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_arena arena;
        struct mr_watermark wm;
        enum mr_status st;

        mr_arena_init(&arena, heap);
        st = mr_watermark_init(&wm, &arena, 5, NULL);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_arena_fini(&arena);
    }
}

/* The oracle keeps plain lists and computes the rule of semantics anew after every event. */
struct oracle {
    enum mr_input_state state[8];
    int64_t time[8];
    int64_t output;
};

static int64_t oracle_allowed(const struct oracle *oracle, uint32_t count, bool *idle, bool *done)
{
    int64_t least = INT64_MAX;
    int64_t greatest = INT64_MIN;
    uint32_t waiting = 0, active = 0, idles = 0;

    for (uint32_t i = 0; i < count; i++) {
        waiting += oracle->state[i] == MR_INPUT_WAITING;
        if (oracle->state[i] == MR_INPUT_ACTIVE) {
            active++;
            if (oracle->time[i] < least) least = oracle->time[i];
        }
        if (oracle->state[i] == MR_INPUT_IDLE) {
            idles++;
            if (oracle->time[i] > greatest) greatest = oracle->time[i];
        }
    }
    *idle = waiting == 0 && active == 0 && idles > 0;
    *done = waiting == 0 && active == 0 && idles == 0;
    if (waiting > 0) return MR_TIME_MIN;
    if (active > 0) return least;
    return idles > 0 ? greatest : MR_TIME_MAX;
}

static void oracle_event(struct oracle *oracle, const struct mr_watermark_event *event)
{
    uint32_t i = event->input;

    if (event->kind == MR_WM_IDLE) {
        oracle->state[i] = MR_INPUT_IDLE;
    } else if (event->kind == MR_WM_FINISH) {
        oracle->state[i] = MR_INPUT_FINISHED;
    } else {
        bool keep = oracle->state[i] == MR_INPUT_ACTIVE && oracle->time[i] > event->time.us;

        oracle->state[i] = MR_INPUT_ACTIVE;
        if (!keep) oracle->time[i] = event->time.us;
    }
}

static void random_run(uint64_t seed)
{
    struct mr_prng prng;
    struct rig rig;
    struct oracle oracle = {.output = MR_TIME_MIN};
    bool was_idle = false;
    bool was_done = false;
    uint32_t count;

    mr_prng_init(&prng, seed, 1);
    count = 1 + (uint32_t)mr_prng_below(&prng, 8);
    rig_init(&rig, count);
    for (uint32_t i = 0; i < count; i++) oracle.time[i] = MR_TIME_MIN;
    for (int n = 0; n < 300; n++) {
        struct mr_watermark_event event = {.input = (uint32_t)mr_prng_below(&prng, count)};
        struct mr_watermark_action out;
        uint64_t dice = mr_prng_below(&prng, 100);
        int64_t allowed;
        bool idle, done;

        if (oracle.state[event.input] == MR_INPUT_FINISHED) continue;
        event.kind = dice < 80 ? MR_WM_ADVANCE : dice < 98 ? MR_WM_IDLE : MR_WM_FINISH;
        event.time.us = (int64_t)mr_prng_below(&prng, 400) - 100 + n;
        oracle_event(&oracle, &event);
        allowed = oracle_allowed(&oracle, count, &idle, &done);
        mr_watermark_step(&rig.wm, &event, &out);
        MR_EXPECT_EQ_INT(out.advanced, allowed > oracle.output);
        if (allowed > oracle.output) oracle.output = allowed;
        MR_EXPECT_EQ_INT(out.time.us, oracle.output);
        MR_EXPECT_EQ_INT(out.became_idle, idle && !was_idle);
        MR_EXPECT_EQ_INT(out.became_active, was_idle && !idle && !done);
        MR_EXPECT_EQ_INT(out.finished, done && !was_done);
        was_idle = idle;
        was_done = done;
    }
    rig_fini(&rig);
}

MR_TEST(watermark, random_events_give_what_the_naive_rule_gives)
{
    for (uint64_t seed = 1; seed <= 300; seed++) random_run(seed);
}

/* ---- splits ---- */

MR_TEST(split_clock, when_splits_are_pending_then_they_hold_the_output_at_their_bound)
{
    struct mr_split_clock clock;
    int64_t time = 1000;

    mr_split_clock_init(&clock, 10);
    mr_split_clock_pending(&clock, MR_TIME_MIN);
    mr_split_clock_open(&clock, 0, MR_TIME_MIN);
    mr_split_clock_rows(&clock, 0, &time, 1, NULL);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), MR_TIME_MIN);
    mr_split_clock_pending(&clock, 700);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 700);
    mr_split_clock_pending(&clock, MR_TIME_MAX);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 990);
    mr_split_clock_close(&clock, 0);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), MR_TIME_MAX);
}

MR_TEST(split_clock, when_two_splits_are_open_then_the_slower_decides)
{
    struct mr_split_clock clock;
    int64_t fast[] = {500, 900};
    int64_t slow[] = {100, 50, 200};

    mr_split_clock_init(&clock, 0);
    mr_split_clock_open(&clock, 7, MR_TIME_MIN);
    mr_split_clock_open(&clock, 9, 60);
    mr_split_clock_rows(&clock, 7, fast, 2, NULL);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 60);
    mr_split_clock_rows(&clock, 9, slow, 3, NULL);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 200);
    mr_split_clock_close(&clock, 7);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 200);
    mr_split_clock_open(&clock, 11, MR_TIME_MIN); /* behind: the output stays */
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 200);
}

/* Lateness per split must not depend on how rows are cut into batches: row by row = all at once. */
/* One silent partition must not hold back the others of the same reader. */
MR_TEST(split_clock, when_one_split_is_silent_then_the_others_decide)
{
    struct mr_split_clock clock;
    const int64_t fast[] = {500, 900};
    const int64_t slow[] = {100};

    mr_split_clock_init(&clock, 0);
    mr_split_clock_open(&clock, 1, MR_TIME_MIN);
    mr_split_clock_open(&clock, 2, MR_TIME_MIN);
    mr_split_clock_open(&clock, 3, MR_TIME_MIN); /* never says anything */
    mr_split_clock_rows(&clock, 1, fast, 1, NULL);
    mr_split_clock_rows(&clock, 2, slow, 1, NULL);
    mr_split_clock_tick(&clock, (struct mr_ptime){1000}, 50);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), MR_TIME_MIN);
    mr_split_clock_rows(&clock, 1, fast + 1, 1, NULL);
    mr_split_clock_tick(&clock, (struct mr_ptime){1050}, 50);
    MR_EXPECT(!mr_split_clock_idle(&clock));
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 900); /* 2 and 3 are idle */
    mr_split_clock_tick(&clock, (struct mr_ptime){1100}, 50);
    MR_EXPECT(mr_split_clock_idle(&clock));
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 900); /* the greatest, not the end of time */
    mr_split_clock_rows(&clock, 2, slow, 1, NULL);     /* back, and behind: the output stays */
    MR_EXPECT(!mr_split_clock_idle(&clock));
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 900);
}

/* A split that nobody has opened yet is not silent. */
MR_TEST(split_clock, when_all_open_splits_are_silent_then_a_pending_one_still_holds)
{
    struct mr_split_clock clock;
    const int64_t time = 500;

    mr_split_clock_init(&clock, 0);
    mr_split_clock_pending(&clock, 70);
    mr_split_clock_open(&clock, 1, MR_TIME_MIN);
    mr_split_clock_rows(&clock, 1, &time, 1, NULL);
    mr_split_clock_tick(&clock, (struct mr_ptime){10}, 5);
    mr_split_clock_tick(&clock, (struct mr_ptime){15}, 5);
    MR_EXPECT(!mr_split_clock_idle(&clock));
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), 70);
}

MR_TEST(split_clock, watermarks_before_each_row_do_not_depend_on_the_cut)
{
    enum { N = 500 };
    static int64_t times[N], whole[N], pieces[N];
    struct mr_split_clock left, right;
    struct mr_prng prng;
    uint32_t at = 0;

    mr_prng_init(&prng, 3, 1);
    for (int i = 0; i < N; i++) times[i] = (int64_t)mr_prng_below(&prng, 1000) - 300 + i;
    mr_split_clock_init(&left, 37);
    mr_split_clock_init(&right, 37);
    mr_split_clock_open(&left, 0, -200);
    mr_split_clock_open(&right, 0, -200);
    mr_split_clock_rows(&left, 0, times, N, whole);
    while (at < N) {
        uint32_t n = (uint32_t)mr_prng_below(&prng, 9);

        if (n > (uint32_t)N - at) n = (uint32_t)N - at;
        mr_split_clock_rows(&right, 0, times + at, n, pieces + at);
        at += n;
    }
    for (int i = 0; i < N; i++) {
        int64_t expected = -200;

        for (int k = 0; k < i; k++) expected = MR_MAX(expected, times[k] - 37);
        MR_EXPECT_EQ_INT(whole[i], expected);
        MR_EXPECT_EQ_INT(pieces[i], expected);
    }
    MR_EXPECT_EQ_INT(mr_split_clock_now(&left), mr_split_clock_now(&right));
}

MR_TEST(split_clock, at_the_ends_of_time_the_delay_saturates)
{
    struct mr_split_clock clock;
    int64_t low = MR_TIME_MIN + 5;
    int64_t beyond[] = {INT64_MIN, INT64_MAX};

    mr_split_clock_init(&clock, INT64_MAX);
    mr_split_clock_open(&clock, 0, MR_TIME_MIN);
    mr_split_clock_rows(&clock, 0, &low, 1, NULL);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), MR_TIME_MIN);
    mr_split_clock_init(&clock, 10);
    mr_split_clock_open(&clock, 0, MR_TIME_MIN);
    mr_split_clock_rows(&clock, 0, beyond, 1, NULL);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), MR_TIME_MIN);
    mr_split_clock_rows(&clock, 0, beyond, 2, NULL);
    MR_EXPECT_EQ_INT(mr_split_clock_now(&clock), MR_TIME_MAX - 10);
}

MR_TEST(split_clock, when_a_split_is_opened_twice_or_closed_unopened_then_it_is_a_bug)
{
    struct mr_split_clock clock;

    mr_split_clock_init(&clock, 0);
    mr_split_clock_open(&clock, 1, 0);
    MR_EXPECT_PANIC(mr_split_clock_open(&clock, 1, 0));
    MR_EXPECT_PANIC(mr_split_clock_close(&clock, 2));
}
