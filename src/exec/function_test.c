/* function_test.c - functions of the user per row, per batch and as filters. */
#include "exec/exec_test_helper.h"

#define TIME_MASK (1u << MR_HIDDEN_EVENT_TIME)

static void open_function(struct xt *t, enum mr_function_kind kind, const char *input,
                          const char *output)
{
    xt_open(t, MR_PLAN_FUNCTION, input, output);
    t->node.u.function.kind = kind;
}

static void add_output(struct xt *t, const char *schema)
{
    t->plan.outputs[t->plan.output_count++] = mr_data_schema(schema);
}

static uint32_t lines_of(const char *text)
{
    uint32_t lines = 0;

    for (; *text != '\0'; text++) lines += *text == '\n';
    return lines;
}

/* ---- row functions ---- */

/* Column 0 is a number n: emits n rows (text, i), on the side output one row of n. */
static enum mr_status repeat(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    int64_t n = mr_row_int64(row, 0);
    struct mr_bytes text = mr_row_bytes(row, 1);

    ++*(int *)user;
    if (n < 0) return mr_emitter_fail(out, "%lld is negative", (long long)n);
    for (int64_t i = 0; i < n; i++) {
        enum mr_status st;

        if (!mr_row_is_null(row, 1)) mr_emit_bytes(out, 0, text.data, text.size_bytes);
        mr_emit_int64(out, 1, i);
        st = mr_emit_row(out);
        if (st != MR_OK) return st;
    }
    return MR_OK;
}

static void open_repeat(struct xt *t, int *calls)
{
    *calls = 0;
    open_function(t, MR_FUNCTION_ROW, "n int64, a utf8", "a utf8, i int64");
    t->node.u.function.row = repeat;
    t->node.u.function.user = calls;
}

MR_TEST(function, a_row_function_emits_none_one_or_many_rows)
{
    struct xt t;
    int calls;

    open_repeat(&t, &calls);
    xt_begin(&t);
    xt_rows(&t, "2|x\n0|y\n1|a text that lies outside of its view\nNULL|z\n1|NULL\n");
    xt_control(&t, MR_ITEM_WATERMARK, 5);
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_STR(xt_text(&t), "x|0\nx|1\na text that lies outside of its view|0\nNULL|0\n"
                                  "watermark 5\nend\n");
    MR_EXPECT_EQ_INT(calls, 5);
    MR_EXPECT(t.done);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(function, a_failing_row_is_told_with_the_words_of_the_function_and_others_go_on)
{
    struct xt t;
    int calls;

    open_repeat(&t, &calls);
    xt_begin(&t);
    xt_rows_of(&t, 0, 7, "1|x\n-3|y\n1|z\n");
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_STR(xt_text(&t), "x|0\nz|0\n");
    MR_EXPECT_EQ_STR(xt_bad(&t), "8: MR_E_USER_FUNCTION: the function failed: -3 is negative\n");
    xt_end(&t);
    t.fail_bad = true;
    xt_begin(&t);
    xt_rows(&t, "1|x\n-3|y\n1|z\n");
    MR_EXPECT_EQ_INT(t.status, MR_E_USER_FUNCTION);
    xt_end(&t);
    xt_close(&t);
}

static enum mr_status only_says_so(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    (void)user;
    if (mr_row_int64(row, 0) == 2) {
        (void)mr_emitter_fail(out, "two is no number");
        return MR_OK;
    }
    mr_emit_int64(out, 0, mr_row_int64(row, 0));
    return mr_emit_row(out);
}

MR_TEST(function, a_row_function_that_says_why_it_fails_and_returns_ok_has_failed)
{
    struct xt t;

    open_function(&t, MR_FUNCTION_ROW, "n int64", "n int64");
    t.node.u.function.row = only_says_so;
    xt_begin(&t);
    xt_rows_of(&t, 0, 0, "1\n2\n3\n");
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_STR(xt_text(&t), "1\n3\n");
    MR_EXPECT_EQ_STR(xt_bad(&t), "1: MR_E_USER_FUNCTION: the function failed: two is no number\n");
    xt_end(&t);
    xt_close(&t);
}

/* An error behind a function must still find its line in the file. */
MR_TEST(function, emitted_rows_keep_time_split_watermark_and_the_place_of_their_row)
{
    struct xt t;
    struct mr_batch *batch;
    int calls;

    open_repeat(&t, &calls);
    t.plan.output_hidden = TIME_MASK | 1u << MR_HIDDEN_SPLIT_WATERMARK;
    t.print_hidden = t.plan.output_hidden;
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "9|x\n2|x\n1|z\n");
    batch->origin = (struct mr_origin){.known = true, .split = 3, .first_row = 50};
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, (int64_t[]){10, 20, 30});
    mr_data_hide(batch, MR_HIDDEN_SPLIT_WATERMARK, (int64_t[]){1, 2, 3});
    xt_batch(&t, xt_select(&t, batch, (uint32_t[]){1, 2}, 2));
    MR_EXPECT_EQ_STR(xt_text(&t), "x|0|20|2\nx|1|20|2\nz|0|30|3\n");
    MR_EXPECT_EQ_UINT(t.held_count, 1);
    MR_EXPECT(t.held[0]->origin.known);
    MR_EXPECT_EQ_UINT(t.held[0]->origin.split, 3);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(t.held[0], 0), 51);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(t.held[0], 1), 51);
    MR_EXPECT_EQ_UINT(mr_batch_source_row(t.held[0], 2), 52);
    xt_end(&t);
    xt_close(&t);
}

static enum mr_status shift_time(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    (void)user;
    mr_emit_int64(out, 0, mr_row_int64(row, 0));
    if (mr_row_int64(row, 0) != 2) mr_emit_time(out, mr_row_time(row) + 100);
    return mr_emit_row(out);
}

MR_TEST(function, a_time_that_is_set_holds_for_one_row)
{
    struct xt t;
    struct mr_batch *batch;

    open_function(&t, MR_FUNCTION_ROW, "n int64", "n int64");
    t.node.u.function.row = shift_time;
    t.plan.output_hidden = t.print_hidden = TIME_MASK;
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "1\n2\n3\n");
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, (int64_t[]){10, 20, 30});
    xt_batch(&t, batch);
    MR_EXPECT_EQ_STR(xt_text(&t), "1|110\n2|20\n3|130\n");
    xt_end(&t);
    xt_close(&t);
}

static enum mr_status split_by_sign(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    int64_t n = mr_row_int64(row, 0);
    struct mr_emitter *to = n < 0 ? mr_emitter_side(out, 1) : out;

    (void)user;
    mr_emit_int64(to, 0, n);
    return mr_emit_row(to);
}

MR_TEST(function, side_outputs_come_out_under_their_number)
{
    struct xt t;

    open_function(&t, MR_FUNCTION_ROW, "n int64", "n int64");
    add_output(&t, "n int64");
    t.node.u.function.row = split_by_sign;
    xt_begin(&t);
    xt_rows(&t, "1\n-2\n3\n-4\n");
    MR_EXPECT_EQ_STR(xt_text(&t), "1\n3\n1> -2\n1> -4\n");
    xt_end(&t);
    xt_close(&t);
}

/* A row function must not run on while its output waits: memory would not be bounded. */
MR_TEST(function, when_an_output_batch_is_full_then_it_leaves_before_the_next_row)
{
    struct xt t;
    struct mr_item item = {.tag = MR_ITEM_BATCH};
    enum mr_flow flow;
    int calls;

    open_repeat(&t, &calls);
    t.task.batch_rows = 2;
    xt_begin(&t);
    item.batch = mr_data_batch(&t.data.quota, t.plan.input, "1|a\n1|b\n1|c\n5|d\n1|e\n");
    MR_EXPECT_OK(t.op->ops->put(t.op, &item, &t.err), &t.err);
    MR_EXPECT_OK(t.op->ops->next(t.op, &item, &flow, &t.err), &t.err);
    MR_EXPECT_EQ_INT(flow, MR_FLOW_HAVE_OUTPUT);
    MR_EXPECT_EQ_INT(calls, 2);
    MR_EXPECT_EQ_STR(mr_data_print(item.batch), "a|0\nb|0\n");
    mr_batch_release(item.batch);
    xt_drain(&t);
    MR_EXPECT_EQ_STR(xt_text(&t), "c|0\nd|0\nd|1\nd|2\nd|3\nd|4\ne|0\n");
    MR_EXPECT_EQ_INT(calls, 5);
    xt_end(&t);
    xt_close(&t);
}

/* A function cannot stop in the middle: what does not fit the quota waits in overflow memory. */
MR_TEST(function, when_memory_is_short_then_nothing_is_lost_doubled_or_out_of_order)
{
    static const char rows[] = "3|a\n-1|bad\n900|a text that lies outside of its view\n0|c\n2|d\n";
    struct xt t;
    char *whole;
    int calls;

    open_repeat(&t, &calls);
    xt_begin(&t);
    xt_rows_of(&t, 0, 0, rows);
    whole = strdup(xt_text(&t));
    MR_EXPECT_EQ_UINT(lines_of(whole), 905);
    MR_EXPECT_EQ_UINT(t.blocked_count, 0);
    xt_end(&t);
    for (uint32_t batch_rows = 1; batch_rows <= 64; batch_rows *= 4) {
        t.quota_bytes = 4 * MR_BLOCK_BYTES_MIN;
        t.task.batch_rows = batch_rows;
        calls = 0;
        xt_begin(&t);
        xt_rows_of(&t, 0, 0, rows);
        MR_EXPECT_OK(t.status, &t.err);
        MR_EXPECT(t.blocked_count > 0);
        MR_EXPECT_EQ_STR(xt_text(&t), whole);
        MR_EXPECT_EQ_INT(calls, 5);
        MR_EXPECT_EQ_UINT(lines_of(xt_bad(&t)), 1);
        MR_EXPECT_EQ_UINT(mr_batch_source_row(t.held[0], 0), t.held_count > 1 ? 2 : 4);
        xt_end(&t);
    }
    free(whole);
    xt_close(&t);
}

static enum mr_status to_both(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    (void)user;
    for (uint32_t output = 0; output < 2; output++) {
        struct mr_emitter *to = mr_emitter_side(out, output);

        for (int64_t i = 0; i < 20; i++) {
            mr_emit_int64(to, 0, mr_row_int64(row, 0) * 100 + i);
            if (mr_emit_row(to) != MR_OK) return MR_E_USER_FUNCTION;
        }
    }
    return MR_OK;
}

/* Two outputs must not wait for each other's share of one small quota. */
MR_TEST(function, when_memory_is_short_then_outputs_do_not_starve_each_other)
{
    struct xt t;

    open_function(&t, MR_FUNCTION_ROW, "n int64", "n int64");
    add_output(&t, "n int64");
    t.node.u.function.row = to_both;
    for (uint32_t blocks = 1; blocks <= 3; blocks++) {
        int64_t next[2] = {0, 0};

        t.quota_bytes = blocks * MR_BLOCK_BYTES_MIN;
        t.task.batch_rows = 7;
        xt_begin(&t);
        xt_rows(&t, "0\n1\n2\n3\n4\n");
        MR_EXPECT_OK(t.status, &t.err);
        for (const char *at = xt_text(&t); *at != '\0'; at = strchr(at, '\n') + 1) {
            uint32_t output = strncmp(at, "1> ", 3) == 0;
            int64_t expected = next[output] / 20 * 100 + next[output] % 20;

            MR_EXPECT_EQ_INT(strtoll(at + 3 * output, NULL, 10), expected);
            next[output]++;
        }
        MR_EXPECT_EQ_INT(next[0], 100);
        MR_EXPECT_EQ_INT(next[1], 100);
        xt_end(&t);
    }
    xt_close(&t);
}

/* ---- filters ---- */

static enum mr_status is_even(void *user, const struct mr_row *row, bool *out_keep)
{
    int64_t n = mr_row_int64(row, 0);

    ++*(int *)user;
    *out_keep = n % 2 == 0;
    return n == 13 ? MR_E_USER_FUNCTION : MR_OK;
}

MR_TEST(function, a_filter_function_keeps_rows_and_is_called_once_per_row)
{
    struct xt t;
    int calls = 0;

    open_function(&t, MR_FUNCTION_FILTER, "n int64", "n int64");
    t.node.u.function.keep = is_even;
    t.node.u.function.user = &calls;
    t.quota_bytes = 2 * MR_BLOCK_BYTES_MIN;
    xt_begin(&t);
    for (int i = 0; i < 6; i++) xt_rows(&t, "1\n2\n13\n4\n");
    xt_rows(&t, "2\n4\n");
    xt_rows(&t, "1\n");
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_STR(xt_text(&t), "2\n4\n2\n4\n2\n4\n2\n4\n2\n4\n2\n4\n2\n4\nend\n");
    MR_EXPECT(t.blocked_count > 0);
    MR_EXPECT_EQ_INT(calls, 27);
    MR_EXPECT_EQ_UINT(lines_of(xt_bad(&t)), 6);
    xt_end(&t);
    xt_close(&t);
}

/* ---- batch functions ---- */

/* Splits texts at spaces, as a word count would. */
static enum mr_status words(void *user, const struct mr_batch *batch, struct mr_emitter *out)
{
    struct mr_texts texts = mr_batch_texts(batch, 1);
    const uint64_t *validity = mr_batch_validity(batch, 1);
    const int64_t *times = mr_batch_times(batch);

    ++*(int *)user;
    for (uint32_t i = 0; i < mr_batch_rows(batch); i++) {
        const struct mr_view *line = &texts.views[i];
        const char *data = mr_text_data(&texts, line);
        uint32_t at = 0;

        if (validity != NULL && !mr_bit_get(validity, i)) continue;
        while (at < line->size_bytes) {
            uint32_t room;
            enum mr_status st = mr_emit_open(out, 3, &room);
            struct mr_view *views;
            int64_t *numbers, *out_times;
            uint32_t rows = 0;

            if (st != MR_OK) return st;
            views = mr_emit_texts_of(out, 0, batch, 1);
            numbers = mr_emit_int64s(out, 1);
            out_times = times != NULL ? mr_emit_times(out) : NULL;
            for (; rows < room && at < line->size_bytes; rows++) {
                uint32_t start = at;

                while (at < line->size_bytes && data[at] != ' ') at++;
                views[rows] = mr_view_make(data + start, at - start, line->u.far.buffer,
                                           line->u.far.offset + start);
                numbers[rows] = start;
                if (out_times != NULL) out_times[rows] = times[i];
                at++;
            }
            st = mr_emit_close(out, rows);
            if (st != MR_OK) return st;
        }
    }
    return MR_OK;
}

static void open_words(struct xt *t, int *calls)
{
    *calls = 0;
    open_function(t, MR_FUNCTION_BATCH, "n int64, line utf8", "word utf8, at int64");
    t->node.u.function.batch = words;
    t->node.u.function.user = calls;
}

static const char lines_text[] = "1|to be or not to be\n2|NULL\n3|whether tis nobler in the mind\n"
                                 "4|floccinaucinihilipilification donaudampfschifffahrt\n";
static const char words_text[] =
    "to|0\nbe|3\nor|6\nnot|9\nto|13\nbe|16\nwhether|0\ntis|8\nnobler|12\nin|19\nthe|22\nmind|26\n"
    "floccinaucinihilipilification|0\ndonaudampfschifffahrt|30\n";

MR_TEST(function, a_batch_function_writes_arrays_and_texts_of_its_input_without_a_copy)
{
    struct xt t;
    struct mr_batch *batch;
    const char *const *buffers;
    int calls;

    open_words(&t, &calls);
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, lines_text);
    buffers = batch->columns[1].buffers;
    xt_batch(&t, batch);
    xt_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_INT(strncmp(xt_text(&t), words_text, strlen(words_text)), 0);
    MR_EXPECT_EQ_STR(xt_text(&t) + strlen(words_text), "end\n");
    MR_EXPECT_EQ_UINT(t.held_count, 1);
    MR_EXPECT(t.held[0]->columns[0].buffers == buffers);
    MR_EXPECT_EQ_INT(calls, 1);
    xt_end(&t);
    xt_close(&t);
}

/* Watermarks are per split: what a batch function emits counts for the split of its input. */
MR_TEST(function, rows_of_a_batch_function_keep_the_split_of_their_batch)
{
    struct xt t;
    int calls;

    open_words(&t, &calls);
    xt_begin(&t);
    for (uint32_t split = 5; split > 3; split--) {
        struct mr_batch *batch = mr_data_batch(&t.data.quota, t.plan.input, lines_text);

        batch->origin = (struct mr_origin){.known = true, .split = split};
        xt_batch(&t, batch);
    }
    MR_EXPECT_EQ_UINT(t.held_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        MR_EXPECT(!t.held[i]->origin.known); /* which row of it, nobody knows */
        MR_EXPECT_EQ_UINT(t.held[i]->origin.split, 5 - i);
    }
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(function, batch_functions_see_plain_arrays_whatever_the_batch_was)
{
    struct xt t;
    struct mr_batch *batch;
    struct mr_column constant;
    int calls;

    open_words(&t, &calls);
    t.plan.output_hidden = t.print_hidden = TIME_MASK;
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "1|a b\n2|c\n3|d e f\n");
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, (int64_t[]){10, 20, 30});
    xt_batch(&t, xt_select(&t, batch, (uint32_t[]){0, 2}, 2));
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_STR(xt_text(&t), "a|0|10\nb|2|10\nd|0|30\ne|2|30\nf|4|30\n");
    xt_clear(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "1|a b\n2|c\n3|d e f\n");
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, (int64_t[]){10, 20, 30});
    constant = batch->columns[1];
    constant.encoding = MR_CONST;
    batch->columns[1] = constant;
    xt_batch(&t, batch);
    MR_EXPECT_EQ_STR(xt_text(&t), "a|0|10\nb|2|10\na|0|20\nb|2|20\na|0|30\nb|2|30\n");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(function, one_row_batches_and_short_memory_give_the_same_words)
{
    struct xt t;
    int calls;

    open_words(&t, &calls);
    for (uint32_t batch_rows = 1; batch_rows <= 16; batch_rows *= 4) {
        t.task.batch_rows = batch_rows;
        t.quota_bytes = 2 * MR_BLOCK_BYTES_MIN;
        xt_begin(&t);
        xt_rows_cut(&t, lines_text, batch_rows);
        MR_EXPECT_OK(t.status, &t.err);
        MR_EXPECT_EQ_STR(xt_text(&t), words_text);
        MR_EXPECT(t.blocked_count > 0 || batch_rows == 16);
        xt_end(&t);
    }
    xt_close(&t);
}

static enum mr_status row_form(void *user, const struct mr_batch *batch, struct mr_emitter *out)
{
    (void)user;
    for (uint32_t i = 0; i < mr_batch_rows(batch); i++) {
        mr_emit_int64(out, 0, mr_batch_int64s(batch, 0)[i]);
        if (mr_emit_row(out) != MR_OK) return MR_OK; /* hides it */
    }
    return MR_OK;
}

/* Such rows were put into a window before all others, and nobody was told. */
MR_TEST(function, when_a_batch_function_emits_rows_without_a_time_then_the_job_ends)
{
    struct xt t;
    struct mr_batch *batch;

    open_function(&t, MR_FUNCTION_BATCH, "n int64", "n int64");
    t.node.u.function.batch = row_form;
    xt_begin(&t);
    xt_rows(&t, "1\n");
    MR_EXPECT_EQ_STR(xt_text(&t), "1\n"); /* nobody needs a time */
    xt_end(&t);
    t.plan.output_hidden = TIME_MASK;
    xt_begin(&t);
    batch = mr_data_batch(&t.data.quota, t.plan.input, "1\n");
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, (int64_t[]){10});
    xt_batch(&t, batch);
    MR_EXPECT_EQ_INT(t.status, MR_E_INVALID);
    MR_EXPECT_EQ_STR(t.err.text, "operator 'it': the stream has event times: call mr_emit_time "
                                 "before mr_emit_row");
    xt_end(&t);
    xt_close(&t);
}

/* Emits each row 50 times, with everything that a slice of a batch could get wrong. */
static enum mr_status fifty(void *user, const struct mr_batch *batch, struct mr_emitter *out)
{
    struct mr_row row = {.batch = batch, .index = 0};

    ++*(int *)user;
    for (; row.index < mr_batch_rows(batch); row.index++) {
        for (int i = 0; i < 50; i++) {
            struct mr_bytes text = mr_row_bytes(&row, 1);

            mr_emit_int64(out, 0, mr_row_int64(&row, 0));
            if (!mr_row_is_null(&row, 1)) mr_emit_bytes(out, 1, text.data, text.size_bytes);
            mr_emit_int64(out, 2, mr_row_int64(&row, 2));
            mr_emit_time(out, mr_batch_times(batch)[row.index]);
            if (mr_emit_row(out) != MR_OK) return MR_E_USER_FUNCTION;
        }
    }
    return MR_OK;
}

/* A function that multiplies rows must not fill memory with one batch: it gets pieces. */
MR_TEST(function, a_batch_function_that_emits_much_is_given_pieces_of_later_batches)
{
    enum { ROWS = 3000 };
    struct xt t;
    struct mr_data_printer rows = {NULL, 0, 0};
    struct mr_data_printer expected = {NULL, 0, 0};
    int64_t times[ROWS];
    int calls = 0;

    open_function(&t, MR_FUNCTION_BATCH, "n int64, a utf8, b bool", "n int64, a utf8, b bool");
    t.node.u.function.batch = fifty;
    t.node.u.function.user = &calls;
    t.plan.output_hidden = t.print_hidden = TIME_MASK;
    for (int i = 0; i < ROWS; i++) {
        char line[96];
        int size =
            snprintf(line, sizeof line, "%d|%s|%s", i, i % 3 == 0 ? "NULL" : "some longer text",
                     i % 7 == 0 ? "true" : "false");

        times[i] = 5 * i;
        mr_data_put(&rows, line, (size_t)size);
        mr_data_put(&rows, "\n", 1);
        for (int k = 0; k < 50; k++) {
            char end[32];
            int end_size = snprintf(end, sizeof end, "|%d\n", 5 * i);

            mr_data_put(&expected, line, (size_t)size);
            mr_data_put(&expected, end, (size_t)end_size);
        }
    }
    xt_begin(&t);
    for (int round = 0; round < 2; round++) {
        struct mr_batch *batch = mr_data_batch(&t.data.quota, t.plan.input, rows.data);

        mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, times);
        xt_clear(&t);
        xt_batch(&t, batch);
        MR_EXPECT_OK(t.status, &t.err);
        MR_EXPECT_EQ_STR(xt_text(&t), expected.data);
    }
    MR_EXPECT_EQ_INT(calls, 1 + (ROWS + 511) / 512); /* the first time nobody can know */
    free(rows.data);
    free(expected.data);
    xt_end(&t);
    xt_close(&t);
}

static enum mr_status fail_batch(void *user, const struct mr_batch *batch, struct mr_emitter *out)
{
    (void)user;
    return mr_emitter_fail(out, "%u rows are too many", mr_batch_rows(batch));
}

MR_TEST(function, a_batch_function_that_fails_ends_the_job_with_its_words)
{
    struct xt t;

    open_function(&t, MR_FUNCTION_BATCH, "n int64", "n int64");
    t.node.u.function.batch = fail_batch;
    xt_begin(&t);
    xt_rows(&t, "1\n2\n");
    MR_EXPECT_EQ_INT(t.status, MR_E_USER_FUNCTION);
    MR_EXPECT_EQ_STR(t.err.text, "operator 'it': the function failed: 2 rows are too many");
    xt_end(&t);
    xt_close(&t);
}

/* ---- misuse ---- */

struct misuse {
    int what;
};

static enum mr_status misuse_row(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    (void)row;
    switch (((struct misuse *)user)->what) {
    case 0: mr_emit_int64(out, 2, 1); break;
    case 1: mr_emit_int64(out, 0, 1); break;
    case 2: mr_emit_bytes(out, 1, "x", 1); break;
    case 3: mr_emit_float64(out, 1, 1.0); break;
    case 4: (void)mr_emitter_side(out, 1); break;
    default: break;
    }
    if (mr_emit_row(out) != MR_OK) return MR_OK; /* hides it */
    return MR_OK;
}

static enum mr_status misuse_batch(void *user, const struct mr_batch *batch, struct mr_emitter *out)
{
    uint32_t room = 0;
    enum mr_status st = MR_OK;
    int what = ((struct misuse *)user)->what;

    if (what == 10) {
        mr_emit_int64s(out, 1)[0] = 1;
        return MR_OK;
    }
    if (what == 11) return mr_emit_close(out, 0);
    st = mr_emit_open(out, what == 12 ? 0 : 4, &room);
    if (st != MR_OK) return MR_OK; /* hides it */
    for (uint32_t i = 0; i < room && what == 13; i++) mr_emit_int64s(out, 0)[i] = 1;
    for (uint32_t i = 0; i < room && what == 14; i++) mr_emit_float64s(out, 1)[i] = 1;
    for (uint32_t i = 0; i < room && what == 15; i++) {
        mr_emit_texts_of(out, 0, batch, 0)[i] = mr_view_make("", 0, 0, 0);
    }
    if (what == 16) return MR_OK; /* never closed */
    if (what == 17) {
        mr_emit_int64s(out, 1)[0] = 1;
        st = mr_emit_close(out, 1); /* column 0 was not written */
    } else if (what == 18) {
        st = mr_emit_close(out, room + 1);
    } else if (what == 19) {
        st = mr_emit_open(out, 1, &room);
    } else {
        st = mr_emit_close(out, room);
    }
    (void)st;
    return MR_OK;
}

/* Misuse must end the job by name, whatever the function answers, and write nowhere. */
MR_TEST(function, misuse_of_an_emitter_ends_the_job_and_names_operator_and_column)
{
    static const struct {
        int what;
        const char *text;
    } cases[] = {
        {0, "operator 'it': there is no column number 2: the output has 2, counted from 0"},
        {1, "operator 'it': column 0 ('a') is utf8: mr_emit_int64 cannot set it"},
        {2, "operator 'it': column 1 ('i') is int64: mr_emit_bytes cannot set it"},
        {3, "operator 'it': column 1 ('i') is int64: mr_emit_float64 cannot set it"},
        {4, "operator 'it': there is no output number 1: the operator has 1, counted from 0"},
        {10, "operator 'it': mr_emit_int64s without mr_emit_open"},
        {11, "operator 'it': mr_emit_close without mr_emit_open"},
        {12, "operator 'it': mr_emit_open for 0 rows"},
        {13, "operator 'it': column 0 ('a') is utf8: mr_emit_int64s cannot write it"},
        {14, "operator 'it': column 1 ('i') is int64: mr_emit_float64s cannot write it"},
        {15,
         "operator 'it': mr_emit_texts_of for column 0 ('a'): input column 0 is no array of texts"},
        {16, "operator 'it': mr_emit_open without mr_emit_close"},
        {17, "operator 'it': column 0 ('a') was not written before mr_emit_close"},
        {18, "operator 'it': mr_emit_close with 5 rows, 4 were open"},
        {19, "operator 'it': mr_emit_open twice without mr_emit_close"},
    };

    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        struct misuse misuse = {cases[i].what};
        struct xt t;

        open_function(&t, cases[i].what < 10 ? MR_FUNCTION_ROW : MR_FUNCTION_BATCH, "n int64",
                      "a utf8, i int64");
        t.node.u.function.user = &misuse;
        if (cases[i].what < 10)
            t.node.u.function.row = misuse_row;
        else
            t.node.u.function.batch = misuse_batch;
        xt_begin(&t);
        xt_rows(&t, "1\n2\n");
        MR_EXPECT_EQ_INT(t.status, MR_E_INVALID);
        MR_EXPECT_EQ_STR(t.err.text, cases[i].text);
        xt_end(&t);
        xt_close(&t);
    }
}

static enum mr_status unfit(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_bytes text = mr_row_bytes(row, 1);

    (void)user;
    mr_emit_int64(out, 0, mr_row_int64(row, 0));
    mr_emit_bytes(out, 1, text.data, text.size_bytes);
    return mr_emit_row(out);
}

/* What the data brings about is a bad record, not a wrong program. */
MR_TEST(function, values_that_do_not_fit_their_column_are_bad_rows)
{
    struct xt t;

    open_function(&t, MR_FUNCTION_ROW, "n int64, a binary", "n int8, a utf8");
    t.node.u.function.row = unfit;
    xt_begin(&t);
    xt_rows(&t, "127|a\n128|b\n-128|\\xc3\\xa4\n-129|c\n1|\\xc3\n");
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT_EQ_STR(xt_text(&t), "127|a\n-128|\xc3\xa4\n");
    MR_EXPECT_EQ_STR(xt_bad(&t),
                     "-1: MR_E_OVERFLOW: column 0 ('n') is int8: 128 does not fit\n"
                     "-1: MR_E_OVERFLOW: column 0 ('n') is int8: -129 does not fit\n"
                     "-1: MR_E_RECORD: column 1 ('a') is utf8, the bytes given are not; declare "
                     "it binary\n");
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(function, reading_a_column_that_is_not_there_gives_null_and_nothing)
{
    struct xt t;
    struct mr_batch *batch;
    struct mr_row row;

    open_function(&t, MR_FUNCTION_ROW, "n int32, f float32, d decimal(10,2), b bool, a utf8",
                  "n int64");
    batch = mr_data_batch(&t.data.quota, t.plan.input,
                          "-7|0.5|-1.25|true|xyz\nNULL|NULL|NULL|NULL|NULL\n");
    row = (struct mr_row){.batch = batch, .index = 0};
    MR_EXPECT_EQ_INT(mr_row_int64(&row, 0), -7);
    MR_EXPECT_EQ_DOUBLE(mr_row_float64(&row, 1), 0.5);
    MR_EXPECT_EQ_INT((int64_t)mr_row_decimal(&row, 2).low, -125);
    MR_EXPECT_EQ_INT(mr_row_decimal(&row, 2).high, -1);
    MR_EXPECT_EQ_INT(mr_row_int64(&row, 3), 1);
    MR_EXPECT_EQ_UINT(mr_row_bytes(&row, 4).size_bytes, 3);
    MR_EXPECT_EQ_INT(mr_row_int64(&row, 4), 0);
    MR_EXPECT(mr_row_is_null(&row, 5) && mr_row_int64(&row, 5) == 0);
    MR_EXPECT_EQ_INT(mr_row_time(&row), MR_TIME_MIN);
    row.index = 1;
    for (uint32_t c = 0; c < 5; c++) MR_EXPECT(mr_row_is_null(&row, c));
    MR_EXPECT_EQ_INT(mr_row_int64(&row, 0), 0);
    MR_EXPECT(mr_batch_int32s(batch, 0) != NULL && mr_batch_int64s(batch, 0) == NULL);
    MR_EXPECT(mr_batch_float64s(batch, 1) == NULL && mr_batch_texts(batch, 9).views == NULL);
    MR_EXPECT(mr_batch_times(batch) == NULL);
    mr_batch_release(batch);
    xt_close(&t);
}

/* ---- memory ---- */

static void torture(struct xt *t, const char *rows, const char *expected)
{
    MR_TORTURE(&t->heap) {
        xt_begin(t);
        if (t->status == MR_OK) xt_rows_of(t, 0, 0, rows);
        if (t->status == MR_OK) {
            MR_EXPECT_EQ_STR(xt_text(t), expected);
        } else {
            MR_EXPECT(mr_test_refused(&t->heap));
            MR_EXPECT_EQ_INT(t->status, MR_E_NOMEM);
        }
        xt_end(t);
    }
    xt_close(t);
}

MR_TEST(function, survives_every_failing_allocation)
{
    struct xt t;
    int calls;

    open_repeat(&t, &calls);
    t.task.batch_rows = 2;
    torture(&t, "2|x\n-1|y\n3|z\n", "x|0\nx|1\nz|0\nz|1\nz|2\n");
    open_words(&t, &calls);
    torture(&t, lines_text, words_text);
    open_words(&t, &calls); /* and with everything going through overflow memory */
    t.quota_bytes = 2 * MR_BLOCK_BYTES_MIN;
    t.task.batch_rows = 4;
    torture(&t, lines_text, words_text);
}
