/* top_test.c - rows in order. The oracle sorts the lines of text by its own comparison. */
#include "exec/exec_test_helper.h"

static void open_top(struct xt *t, uint64_t limit)
{
    xt_open(t, MR_PLAN_TOP, "a int64, b utf8", "a int64, b utf8");
    xt_expr(t, xt_column(t, "a"));
    t->plan.limit = limit;
}

MR_TEST(top, the_first_rows_come_out_in_order_at_the_end)
{
    struct xt t;

    open_top(&t, 3);
    xt_begin(&t);
    xt_rows(&t, "5|e\n1|a\n4|d\n");
    xt_control(&t, MR_ITEM_WATERMARK, 99); /* would make the rows late that are still inside */
    xt_rows(&t, "NULL|n\n2|b\n3|c\n");
    MR_EXPECT_EQ_STR(xt_text(&t), "");
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "NULL|n\n1|a\n2|b\nend\n");
    MR_EXPECT(t.done);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(top, without_a_limit_it_sorts_and_descending_keys_put_nulls_last)
{
    struct xt t;

    open_top(&t, UINT64_MAX);
    t.descending[0] = true;
    xt_expr(&t, xt_column(&t, "b"));
    xt_begin(&t);
    xt_rows(&t, "5|y\n5|x\nNULL|n\n7|z\n");
    xt_rows(&t, "5|xx\n");
    xt_control(&t, MR_ITEM_BARRIER, 0);
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "barrier\n7|z\n5|x\n5|xx\n5|y\nNULL|n\nend\n");
    xt_end(&t);
    xt_close(&t);
}

/* Which of several equal keys stay must not depend on who came first. */
MR_TEST(top, when_keys_are_equal_then_the_rest_of_the_row_decides_whatever_the_order_of_arrival)
{
    struct xt t;
    char *first;

    open_top(&t, 2);
    xt_begin(&t);
    xt_rows(&t, "1|q\n1|p\n1|r\n1|p\n");
    xt_control(&t, MR_ITEM_END, 0);
    first = strdup(xt_text(&t));
    xt_end(&t);
    xt_begin(&t);
    xt_rows_cut(&t, "1|p\n1|r\n1|p\n1|q\n", 1);
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), first);
    free(first);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(top, orders_by_computed_keys_through_selections_and_keeps_hidden_columns)
{
    struct xt t;
    struct mr_batch *batch;

    xt_open(&t, MR_PLAN_TOP, "a int64", "a int64");
    xt_expr(&t, xt_call(&t, MR_OP_DIVIDE, xt_int(&t, 100), xt_column(&t, "a")));
    t.plan.limit = 2;
    t.plan.output_hidden = 1u << MR_HIDDEN_EVENT_TIME;
    t.print_hidden = t.plan.output_hidden;
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "99\n5\n0\n10\n20\n");
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, (int64_t[]){1, 2, 3, 4, 5});
    xt_batch(&t, xt_select(&t, batch, (uint32_t[]){1, 2, 3, 4}, 4));
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_STR(xt_text(&t), "20|5\n10|4\nend\n");
    MR_EXPECT_CONTAINS(xt_bad(&t), "division by zero");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(top, of_no_rows_only_the_end_comes_out)
{
    static const uint64_t limits[] = {0, 1, UINT64_MAX};
    struct xt t;

    for (size_t i = 0; i < MR_COUNT(limits); i++) {
        open_top(&t, limits[i]);
        xt_begin(&t);
        if (limits[i] == 0) xt_rows(&t, "1|a\n");
        xt_control(&t, MR_ITEM_END, 0);
        MR_EXPECT_EQ_STR(xt_text(&t), "end\n");
        xt_end(&t);
        xt_close(&t);
    }
}

/* ---- against an oracle ---- */

struct line {
    long long a;
    char b[24];
};

static int compare_lines(const void *left, const void *right)
{
    const struct line *l = left;
    const struct line *r = right;

    if (l->a != r->a) return l->a < r->a ? -1 : 1;
    return strcmp(l->b, r->b);
}

static void random_lines(struct mr_prng *prng, struct line *lines, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t range = mr_prng_below(prng, 2) == 0 ? 10 : 1000000;
        int letters = (int)mr_prng_below(prng, 20);

        lines[i].a = (long long)mr_prng_below(prng, range) - 5;
        (void)snprintf(lines[i].b, sizeof lines[i].b, "%.*s", letters + 1,
                       &"qwertyuiopasdfghjklzxcv"[mr_prng_below(prng, 3)]);
    }
}

static char *text_of(const struct line *lines, uint32_t count, const char *end)
{
    char *text = malloc(count * 48 + 16);
    char *at = text;

    for (uint32_t i = 0; i < count; i++) at += sprintf(at, "%lld|%s\n", lines[i].a, lines[i].b);
    (void)strcpy(at, end);
    return text;
}

static void open_sorter(struct xt *t, uint64_t limit)
{
    open_top(t, limit);
    xt_expr(t, xt_column(t, "b"));
}

static char *sorted_text(struct line *lines, uint32_t count, uint64_t limit)
{
    qsort(lines, count, sizeof *lines, compare_lines);
    return text_of(lines, (uint32_t)MR_MIN((uint64_t)count, limit), "end\n");
}

MR_TEST(top, agrees_with_a_sorted_list_for_any_rows_limits_and_cuts)
{
    static const uint64_t limits[] = {1, 7, 100, 5000, UINT64_MAX};
    static const uint32_t cuts[] = {1, 100, 100000};
    struct mr_prng prng;
    struct line *lines = malloc(30000 * sizeof *lines);

    mr_prng_init(&prng, 5, 0);
    for (size_t i = 0; i < MR_COUNT(limits) * MR_COUNT(cuts); i++) {
        uint32_t cut = cuts[i % MR_COUNT(cuts)];
        uint64_t limit = limits[i / MR_COUNT(cuts)];
        uint32_t count = cut == 1 ? 300 : 1 + (uint32_t)mr_prng_below(&prng, 16000);
        struct xt t;

        random_lines(&prng, lines, count);
        char *rows = text_of(lines, count, "");
        char *expected = sorted_text(lines, count, limit);
        open_sorter(&t, limit);
        t.task.batch_rows = cut == 1 ? 1 : 1000;
        xt_begin(&t);
        xt_rows_cut(&t, rows, cut);
        xt_control(&t, MR_ITEM_END, 0);
        MR_EXPECT_OK(t.status, &t.err);
        MR_EXPECT_EQ_STR(xt_text(&t), expected);
        free(rows);
        free(expected);
        xt_end(&t);
        xt_close(&t);
    }
    free(lines);
}

/* More rows than one run holds, and orders that make a careless quicksort quadratic or wrong. */
MR_TEST(top, sorts_many_rows_that_come_sorted_backwards_or_all_equal)
{
    uint32_t count = 40000;
    struct line *lines = malloc(count * sizeof *lines);

    for (int shape = 0; shape < 4; shape++) {
        struct xt t;

        for (uint32_t i = 0; i < count; i++) {
            uint32_t at[] = {i, count - i, 7, i < count / 2 ? i : count - i};

            lines[i] = (struct line){.a = at[shape], .b = "x"};
        }
        char *rows = text_of(lines, count, "");
        char *expected = sorted_text(lines, count, UINT64_MAX);
        open_sorter(&t, UINT64_MAX);
        xt_begin(&t);
        xt_rows_cut(&t, rows, 10000);
        xt_control(&t, MR_ITEM_END, 0);
        MR_EXPECT_EQ_STR(xt_text(&t), expected);
        free(rows);
        free(expected);
        xt_end(&t);
        xt_close(&t);
    }
    free(lines);
}

/* Top N over rows that get better and better: what falls out must not pile up. */
MR_TEST(top, memory_is_bounded_by_the_limit_and_not_by_the_number_of_rows)
{
    struct xt t;
    char row[64];

    open_top(&t, 10);
    t.descending[0] = true;
    xt_begin(&t);
    for (int i = 0; i < 30; i++) {
        char *rows = malloc(10000 * 48);
        char *at = rows;

        for (int k = 0; k < 10000; k++)
            at += sprintf(at, "%d|some text of some length\n", i * 10000 + k);
        xt_rows(&t, rows);
        free(rows);
    }
    MR_EXPECT(t.heap.peak_bytes < 4u * 1024 * 1024);
    xt_control(&t, MR_ITEM_END, 0);
    (void)snprintf(row, sizeof row, "%d|some text of some length\n", 299999);
    MR_EXPECT(strncmp(xt_text(&t), row, strlen(row)) == 0);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(top, when_rows_do_not_fit_memory_then_the_message_says_what_to_do)
{
    struct xt t;

    open_top(&t, UINT64_MAX);
    t.heap.limit_bytes = 1024 * 1024;
    xt_begin(&t);
    for (int i = 0; i < 100 && t.status == MR_OK; i++) {
        char *rows = malloc(10000 * 48);
        char *at = rows;

        for (int k = 0; k < 1000; k++) at += sprintf(at, "%d|some text of some length\n", k);
        xt_rows(&t, rows);
        free(rows);
    }
    MR_EXPECT_EQ_INT(t.status, MR_E_NOMEM);
    MR_EXPECT_CONTAINS(t.err.text, "operator 'it': sorting needs more memory");
    MR_EXPECT_CONTAINS(t.err.text, "--memory");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(top, when_output_memory_is_short_then_it_waits_and_loses_nothing)
{
    struct xt t;

    open_top(&t, UINT64_MAX);
    t.quota_bytes = 4 * MR_BLOCK_BYTES_MIN;
    t.task.batch_rows = 2;
    xt_begin(&t);
    xt_rows(&t, "9|a text that lies outside of its view\n8|b\n7|c\n6|d\n5|e\n4|f\n3|g\n2|h\n1|i\n");
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT(t.blocked_count > 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "1|i\n2|h\n3|g\n4|f\n5|e\n6|d\n7|c\n8|b\n"
                                  "9|a text that lies outside of its view\nend\n");
    xt_end(&t);
    xt_close(&t);
}

/* ---- seal and restore ---- */

/* Runs the first half, seals (twice: the second seal holds only what is new, unless `full`),
 * destroys, restores into `instances` tasks, and lets each of them take a part of the rest. The
 * merged results of the instances (one more top) must be those of an uninterrupted run. */
static void seal_in_the_middle(uint64_t limit, uint32_t instances, bool full, uint64_t seed)
{
    enum { COUNT = 600 };
    struct line lines[COUNT];
    struct mr_prng prng;
    struct xt_seal seal = {NULL, 0};
    struct xt t;
    char *parts[3] = {NULL, NULL, NULL};

    mr_prng_init(&prng, seed, 0);
    random_lines(&prng, lines, COUNT);
    open_sorter(&t, limit);
    t.task.track_changes = true;
    xt_begin(&t);
    for (uint32_t part = 0; part < 2; part++) {
        char *rows = text_of(lines + part * 200, 200, "");

        xt_rows_cut(&t, rows, 90);
        free(rows);
        xt_seal(&t, full, &seal);
    }
    xt_end(&t);
    for (uint32_t i = 0; i < instances; i++) {
        uint32_t from = 400 + 200 * i / instances;
        uint32_t to = 400 + 200 * (i + 1) / instances;
        char *rows = text_of(lines + from, to - from, "");

        t.task.instance = i;
        t.task.group_first = 1024 * i / instances;
        t.task.group_end = 1024 * (i + 1) / instances;
        xt_begin(&t);
        xt_restore(&t, &seal);
        MR_EXPECT_OK(t.status, &t.err);
        xt_rows_cut(&t, rows, 90);
        xt_control(&t, MR_ITEM_END, 0);
        parts[i] = strdup(xt_text(&t));
        *strstr(parts[i], "end\n") = '\0';
        free(rows);
        xt_end(&t);
    }
    t.task.instance = 0;
    t.task.group_first = 0;
    t.task.group_end = 1024;
    xt_begin(&t);
    for (uint32_t i = 0; i < instances; i++) {
        if (*parts[i] != '\0') xt_rows_cut(&t, parts[i], 5000);
        free(parts[i]);
    }
    xt_control(&t, MR_ITEM_END, 0);
    char *expected = sorted_text(lines, COUNT, limit);
    MR_EXPECT_EQ_STR(xt_text(&t), expected);
    free(expected);
    xt_end(&t);
    xt_seal_free(&seal);
    xt_close(&t);
}

MR_TEST(top, when_sealed_destroyed_and_restored_in_the_middle_then_the_result_is_the_same)
{
    static const uint64_t limits[] = {1, 50, UINT64_MAX};

    for (size_t i = 0; i < MR_COUNT(limits); i++) {
        for (uint32_t instances = 1; instances <= 3; instances++) {
            seal_in_the_middle(limits[i], instances, false, 1 + i);
            seal_in_the_middle(limits[i], instances, true, 11 + i); /* rows come twice */
        }
    }
}

MR_TEST(top, a_seal_after_a_restore_holds_only_what_is_new)
{
    struct xt t;
    struct xt_seal first = {NULL, 0};
    struct xt_seal second = {NULL, 0};

    open_top(&t, 3);
    xt_begin(&t);
    xt_rows(&t, "1|a\n2|b\n");
    xt_seal(&t, false, &first);
    xt_end(&t);
    xt_begin(&t);
    xt_restore(&t, &first);
    xt_rows(&t, "0|c\n");
    xt_seal(&t, false, &second);
    MR_EXPECT_EQ_UINT(first.count, 2);
    MR_EXPECT_EQ_UINT(second.count, 1);
    xt_end(&t);
    xt_seal_free(&first);
    xt_seal_free(&second);
    xt_close(&t);
}

MR_TEST(top, malformed_state_is_refused)
{
    struct xt t;
    struct xt_seal seal = {NULL, 0};

    open_top(&t, 3);
    xt_begin(&t);
    xt_rows(&t, "1|a\n");
    xt_seal(&t, false, &seal);
    xt_end(&t);
    size_t whole = seal.entries[0].entry.key.size_bytes;
    for (size_t size = 0; size < whole; size++) { /* cut in the key, or in the row */
        xt_begin(&t);
        seal.entries[0].entry.key.size_bytes = size;
        xt_restore(&t, &seal);
        xt_control(&t, MR_ITEM_END, 0);
        MR_EXPECT_EQ_INT(t.status, MR_E_CORRUPT);
        xt_end(&t);
    }
    xt_seal_free(&seal);
    xt_close(&t);
}

static void torture(uint64_t limit, const char *expected)
{
    struct xt t;
    struct xt_seal seal = {NULL, 0};

    xt_open(&t, MR_PLAN_TOP, "a int64, b utf8", "a int64, b utf8");
    xt_expr(&t, xt_call(&t, MR_OP_DIVIDE, xt_int(&t, 100), xt_column(&t, "a")));
    t.plan.limit = limit;
    xt_begin(&t);
    xt_rows(&t, "50|x\n");
    xt_seal(&t, false, &seal);
    xt_end(&t);
    MR_TORTURE(&t.heap) {
        xt_begin(&t);
        if (t.status == MR_OK) xt_restore(&t, &seal);
        if (t.status == MR_OK)
            xt_rows(&t, "1|a\n20|b\n0|bad\n10|a text that lies outside of its view\n");
        if (t.status == MR_OK) xt_control(&t, MR_ITEM_END, 0);
        if (t.status == MR_OK) {
            MR_EXPECT_EQ_STR(xt_text(&t), expected);
        } else {
            MR_EXPECT(mr_test_refused(&t.heap));
            MR_EXPECT_EQ_INT(t.status, MR_E_NOMEM);
        }
        xt_end(&t);
    }
    xt_seal_free(&seal);
    xt_close(&t);
}

MR_TEST(top, survives_every_failing_allocation)
{
    torture(2, "50|x\n20|b\nend\n");
    torture(UINT64_MAX, "50|x\n20|b\n10|a text that lies outside of its view\n1|a\nend\n");
}
