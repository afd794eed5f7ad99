/* event_time_test.c - times for rows, watermarks for streams. */
#include "exec/exec_test_helper.h"

#define TIME_MASK (1u << MR_HIDDEN_EVENT_TIME)
#define BOTH_MASK (TIME_MASK | 1u << MR_HIDDEN_SPLIT_WATERMARK)

static void open_plain(struct xt *t)
{
    xt_open(t, MR_PLAN_EVENT_TIME, "t int64, a utf8", "t int64, a utf8");
    xt_expr(t, xt_column(t, "t"));
    t->node.u.event_time.delay_us = 10;
    t->print_hidden = TIME_MASK;
}

MR_TEST(event_time, rows_get_their_time_and_the_watermark_follows_by_the_delay)
{
    struct xt t;

    open_plain(&t);
    xt_begin(&t);
    xt_rows(&t, "100|a\n120|b\n105|c\n");
    xt_rows(&t, "119|d\n");
    xt_rows(&t, "130|e\n");
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "100|a|100\n120|b|120\n105|c|105\nwatermark 110\n119|d|119\n"
                                  "130|e|130\nwatermark 120\nend\n");
    MR_EXPECT(t.done);
    xt_end(&t);
    xt_close(&t);
}

/* In batch mode no row is late: nothing is said before the end. */
MR_TEST(event_time, in_batch_mode_there_is_no_watermark_before_the_end)
{
    struct xt t;

    open_plain(&t);
    t.task.streaming = false;
    xt_begin(&t);
    xt_rows(&t, "100|a\n");
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "100|a|100\nend\n");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(event_time, the_time_may_be_computed_and_of_any_time_type)
{
    struct xt t;

    xt_open(&t, MR_PLAN_EVENT_TIME, "ms int64, ts timestamp", "ms int64, ts timestamp");
    xt_expr(&t, mr_expr_call(&t.arena, MR_OP_FROM_MILLIS, (struct mr_expr *[]){xt_column(&t, "ms")},
                             1));
    t.print_hidden = TIME_MASK;
    xt_begin(&t);
    xt_rows(&t, "1|7\n2|8\n");
    MR_EXPECT_EQ_STR(xt_text(&t), "1|7|1000\n2|8|2000\nwatermark 2000\n");
    xt_end(&t);
    xt_close(&t);
    xt_open(&t, MR_PLAN_EVENT_TIME, "ms int64, ts timestamp", "ms int64, ts timestamp");
    xt_expr(&t, xt_column(&t, "ts"));
    t.print_hidden = TIME_MASK;
    xt_begin(&t);
    xt_rows(&t, "1|7\n2|-8\n");
    MR_EXPECT_EQ_STR(xt_text(&t), "1|7|7\n2|-8|-8\nwatermark 7\n");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(event_time, rows_without_a_usable_time_are_bad_and_do_not_move_the_watermark)
{
    struct xt t;

    open_plain(&t);
    xt_begin(&t);
    /* INT64_MAX, MR_TIME_MIN and MR_TIME_MAX themselves are out of range; one inside is not */
    xt_rows_of(&t, 0, 40,
               "100|a\nNULL|b\n9223372036854775807|c\n-4611686018427387904|d\n"
               "4611686018427387903|e\n-4611686018427387903|f\n110|g\n");
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_STR(xt_text(&t), "100|a|100\n-4611686018427387903|f|-4611686018427387903\n"
                                  "110|g|110\nwatermark 100\n");
    MR_EXPECT_CONTAINS(xt_bad(&t), "41: MR_E_RECORD: the event time t is null\n"
                                   "42: MR_E_RECORD: the event time t is out of range: "
                                   "9223372036854775807 microseconds since 1970\n43: ");
    MR_EXPECT_CONTAINS(xt_bad(&t), "\n44: ");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(event_time, a_time_that_cannot_be_computed_is_told_with_its_reason)
{
    struct xt t;

    xt_open(&t, MR_PLAN_EVENT_TIME, "t int64", "t int64");
    xt_expr(&t, xt_call(&t, MR_OP_DIVIDE, xt_int(&t, 1000), xt_column(&t, "t")));
    t.print_hidden = TIME_MASK;
    xt_begin(&t);
    xt_rows(&t, "0\n10\n");
    MR_EXPECT_EQ_STR(xt_text(&t), "10|100\nwatermark 100\n");
    MR_EXPECT_CONTAINS(xt_bad(&t), "division by zero");
    xt_end(&t);
    t.fail_bad = true;
    xt_begin(&t);
    xt_rows(&t, "0\n10\n");
    MR_EXPECT_EQ_INT(t.status, MR_E_EVALUATE);
    xt_end(&t);
    xt_close(&t);
}

/* Interleaving splits must not make rows late: the slowest split decides. */
MR_TEST(event_time, the_watermark_is_the_least_over_open_and_pending_splits)
{
    struct xt t;

    open_plain(&t);
    t.print_hidden = 0;
    xt_begin(&t);
    xt_split(&t, MR_ITEM_SPLIT_OPEN, 0, MR_TIME_MIN);
    xt_split(&t, MR_ITEM_SPLITS_PENDING, 0, 50);
    xt_rows_of(&t, 0, 0, "200|a\n"); /* 190, but a split not opened yet may begin at 50 */
    xt_split(&t, MR_ITEM_SPLIT_OPEN, 1, 50);
    xt_split(&t, MR_ITEM_SPLITS_PENDING, 0, MR_TIME_MAX);
    xt_rows_of(&t, 1, 0, "100|b\n");
    xt_rows_of(&t, 0, 0, "300|c\n");
    xt_split(&t, MR_ITEM_SPLIT_CLOSE, 1, 0);
    xt_split(&t, MR_ITEM_SPLIT_CLOSE, 0, 0);
    MR_EXPECT_EQ_STR(xt_text(&t),
                     "open\npending\n200|a\nwatermark 50\nopen\npending\n100|b\nwatermark 90\n"
                     "300|c\nclose\nwatermark 290\nclose\nwatermark max\n");
    xt_end(&t);
    xt_close(&t);
}

/* What late=by-split judges by: the split's own watermark, as it was before each row. */
MR_TEST(event_time, each_row_carries_the_watermark_of_its_own_split_before_it)
{
    struct xt t;
    static const int64_t min = MR_TIME_MIN;
    char expected[256];

    for (int streaming = 0; streaming < 2; streaming++) {
        open_plain(&t);
        t.plan.late_by_split = true;
        t.task.streaming = streaming != 0;
        t.print_hidden = BOTH_MASK;
        xt_begin(&t);
        xt_split(&t, MR_ITEM_SPLIT_OPEN, 0, MR_TIME_MIN);
        xt_split(&t, MR_ITEM_SPLIT_OPEN, 1, MR_TIME_MIN);
        xt_clear(&t);
        xt_rows_of(&t, 0, 0, "200|a\nNULL|x\n100|b\n300|c\n");
        xt_rows_of(&t, 1, 0, "50|d\n60|e\n");
        xt_rows_of(&t, 0, 0, "10|f\n");
        (void)snprintf(expected, sizeof expected,
                       "200|a|200|%lld\n100|b|100|190\n300|c|300|190\n50|d|50|%lld\n60|e|60|40\n%s"
                       "10|f|10|290\n",
                       (long long)min, (long long)min, streaming ? "watermark 50\n" : "");
        MR_EXPECT_EQ_STR(xt_text(&t), expected);
        xt_end(&t);
        xt_close(&t);
    }
}

MR_TEST(event_time, when_no_rows_come_for_long_enough_then_it_is_idle_until_they_do)
{
    struct xt t;

    open_plain(&t);
    t.print_hidden = 0;
    t.node.u.event_time.idle_us = 1000;
    xt_begin(&t);
    xt_control(&t, MR_ITEM_TICK, 5000);
    xt_rows(&t, "100|a\n");
    xt_control(&t, MR_ITEM_TICK, 6500); /* rows since the last tick */
    xt_control(&t, MR_ITEM_TICK, 7499);
    xt_control(&t, MR_ITEM_TICK, 7500);
    xt_control(&t, MR_ITEM_TICK, 9500); /* said once */
    xt_rows(&t, "95|b\n"); /* back: the old word first, so that it holds others again */
    xt_rows(&t, "110|c\n");
    MR_EXPECT_EQ_STR(xt_text(&t), "tick\n100|a\nwatermark 90\ntick\ntick\nidle\ntick\ntick\n"
                                  "watermark 90\n95|b\n110|c\nwatermark 100\n");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(event_time, watermarks_that_come_in_are_replaced)
{
    struct xt t;

    open_plain(&t);
    t.print_hidden = 0;
    xt_begin(&t);
    xt_control(&t, MR_ITEM_WATERMARK, 5000);
    xt_rows(&t, "100|a\n");
    xt_control(&t, MR_ITEM_IDLE, 0);
    xt_control(&t, MR_ITEM_BARRIER, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "100|a\nwatermark 90\nidle\nbarrier\n");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(event_time, works_through_selections_and_when_memory_is_short)
{
    struct xt t;

    open_plain(&t);
    t.plan.late_by_split = true;
    t.quota_bytes = 4 * MR_BLOCK_BYTES_MIN;
    xt_begin(&t);
    for (int i = 0; i < 8; i++) {
        xt_batch(
            &t, xt_select(&t, mr_data_batch(&t.data.quota, t.plan.input, "1|a\n2|b\nNULL|c\n3|d\n"),
                          (uint32_t[]){1, 2, 3}, 3));
    }
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT(t.blocked_count > 0);
    const char *at = xt_text(&t);
    for (int i = 0; i < 8; i++) {
        MR_EXPECT(strncmp(at, "2|b|2\n3|d|3\n", 12) == 0);
        at += 12;
        if (i == 0) {
            MR_EXPECT(strncmp(at, "watermark -7\n", 13) == 0);
            at += 13;
        }
    }
    MR_EXPECT_EQ_STR(at, "");
    uint32_t lines = 0;
    for (const char *c = xt_bad(&t); *c != '\0'; c++) lines += *c == '\n';
    MR_EXPECT_EQ_UINT(lines, 8); /* once per row, not once per attempt */
    xt_end(&t);
    xt_close(&t);
}

static void feed_first(struct xt *t)
{
    xt_split(t, MR_ITEM_SPLIT_OPEN, 0, MR_TIME_MIN);
    xt_split(t, MR_ITEM_SPLIT_OPEN, 1, MR_TIME_MIN);
    xt_split(t, MR_ITEM_SPLITS_PENDING, 0, MR_TIME_MAX);
    xt_rows_of(t, 0, 0, "200|a\n");
    xt_rows_of(t, 1, 0, "100|b\n");
}

static void feed_second(struct xt *t, uint32_t only)
{
    for (uint32_t split = 0; split < 2; split++) {
        if (only <= 1 && only != split) continue;
        xt_split(t, MR_ITEM_SPLIT_OPEN, split, MR_TIME_MIN);
    }
    xt_clear(t);
    xt_split(t, MR_ITEM_SPLITS_PENDING, 0, MR_TIME_MAX);
    if (only != 1) xt_rows_of(t, 0, 1, "150|c\n"); /* 190 before it, also after the restore */
    if (only != 0) xt_rows_of(t, 1, 1, "300|d\n");
}

/* The watermark never goes back, also across a restart, and is said once more to receivers that
 * begin anew; a split goes on where it was, whoever reads it now. */
MR_TEST(event_time, when_sealed_and_restored_then_splits_go_on_where_they_were)
{
    struct xt t;
    struct xt_seal seal = {NULL, 0};

    for (uint32_t only = 0; only < 3; only++) { /* 0, 1: one split each in an instance of its own */
        open_plain(&t);
        t.plan.late_by_split = true;
        t.print_hidden = BOTH_MASK;
        xt_begin(&t);
        feed_first(&t);
        xt_seal(&t, false, &seal);
        xt_end(&t);
        xt_begin(&t);
        xt_restore(&t, &seal);
        feed_second(&t, only);
        if (only == 0) MR_EXPECT_EQ_STR(xt_text(&t), "pending\nwatermark 190\n150|c|150|190\n");
        if (only == 1) MR_EXPECT_EQ_STR(xt_text(&t), "pending\nwatermark 90\n300|d|300|90\nwatermark 290\n");
        if (only == 2) {
            MR_EXPECT_EQ_STR(xt_text(&t), "pending\nwatermark 90\n150|c|150|190\n300|d|300|90\n"
                                          "watermark 190\n");
        }
        xt_end(&t);
        xt_seal_free(&seal);
        xt_close(&t);
    }
}

MR_TEST(event_time, malformed_state_is_refused)
{
    struct xt t;
    struct xt_seal seal = {NULL, 0};

    open_plain(&t);
    xt_begin(&t);
    feed_first(&t);
    xt_seal(&t, false, &seal);
    xt_end(&t);
    MR_EXPECT_EQ_UINT(seal.count, 1);
    size_t whole = seal.entries[0].entry.value.size_bytes;
    for (size_t size = 0; size < whole; size++) {
        xt_begin(&t);
        seal.entries[0].entry.value.size_bytes = size;
        xt_restore(&t, &seal);
        MR_EXPECT_EQ_INT(t.status, MR_E_CORRUPT);
        MR_EXPECT_CONTAINS(t.err.text, "operator 'it'");
        xt_end(&t);
    }
    xt_seal_free(&seal);
    xt_close(&t);
}

MR_TEST(event_time, survives_every_failing_allocation)
{
    struct xt t;
    struct xt_seal seal = {NULL, 0};

    open_plain(&t);
    t.plan.late_by_split = true;
    xt_begin(&t);
    feed_first(&t);
    xt_seal(&t, false, &seal);
    xt_end(&t);
    MR_TORTURE(&t.heap) {
        xt_begin(&t);
        if (t.status == MR_OK) xt_restore(&t, &seal);
        if (t.status == MR_OK) xt_rows(&t, "100|a\nNULL|b\n110|c\n");
        if (t.status == MR_OK) {
            MR_EXPECT_EQ_STR(xt_text(&t), "100|a|100\n110|c|110\nwatermark 190\n");
        } else {
            MR_EXPECT(mr_test_refused(&t.heap));
            MR_EXPECT_EQ_INT(t.status, MR_E_NOMEM);
        }
        xt_end(&t);
    }
    xt_seal_free(&seal);
    xt_close(&t);
}
