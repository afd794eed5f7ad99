/* emitter_test.c - the emitter by itself, as sources and aggregates use it. */
#include "exec/emitter.h"
#include "exec/emitter_internal.h"
#include "exec/exec_test_helper.h"

struct fixture {
    struct mr_data_test data;
    struct mr_schema *schema;
    struct mr_emitter *emitter;
    struct mr_data_printer out;
    uint32_t batches;
};

static void open_emitter(struct fixture *f, const char *schema, uint32_t hidden_mask,
                         uint32_t batch_rows, bool with_quota)
{
    struct mr_error err;

    memset(f, 0, sizeof *f);
    mr_data_test_open(&f->data);
    f->schema = mr_data_schema(schema);
    struct mr_emitter_options options = {.operator_id = "it",
                                         .heap = mr_test_heap(),
                                         .quota = with_quota ? &f->data.quota : NULL,
                                         .output_count = 1,
                                         .schemas = &f->schema,
                                         .hidden_mask = hidden_mask,
                                         .batch_rows = batch_rows};
    MR_EXPECT_OK(mr_emitter_create(&options, &f->emitter, &err), &err);
    mr_data_put(&f->out, "", 0);
}

static void close_emitter(struct fixture *f)
{
    mr_emitter_destroy(f->emitter);
    mr_schema_release(f->schema);
    mr_data_test_close(&f->data);
    free(f->out.data);
}

static void take_all(struct fixture *f)
{
    struct mr_error err;
    struct mr_batch *batch;
    enum mr_flow flow;
    uint32_t output;

    MR_EXPECT_OK(mr_emitter_flush(f->emitter, &err), &err);
    for (;;) {
        MR_EXPECT_OK(mr_emitter_take(f->emitter, &output, &batch, &flow, &err), &err);
        if (flow != MR_FLOW_HAVE_OUTPUT) return;
        const char *text = mr_data_print_hidden(batch, f->emitter->group->options.hidden_mask);
        mr_data_put(&f->out, text, strlen(text));
        mr_batch_release(batch);
        f->batches++;
    }
}

/* A source has no input: times are its own. */
MR_TEST(emitter, without_an_input_rows_have_the_time_they_are_given)
{
    struct fixture f;

    open_emitter(&f, "n int64, x float64, d decimal(5,1), b bool", 1u << MR_HIDDEN_EVENT_TIME, 100,
                 true);
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    mr_emit_int64(f.emitter, 0, 7);
    mr_emit_float64(f.emitter, 1, 0.5);
    mr_emit_decimal(f.emitter, 2, (struct mr_int128){.low = (uint64_t)-15, .high = -1});
    mr_emit_int64(f.emitter, 3, 1);
    mr_emit_time(f.emitter, 99);
    MR_EXPECT_OK(mr_emit_row(f.emitter), NULL);
    mr_emit_int64(f.emitter, 0, 8);
    mr_emit_null(f.emitter, 0);
    mr_emit_time(f.emitter, 98);
    MR_EXPECT_OK(mr_emit_row(f.emitter), NULL);
    take_all(&f);
    MR_EXPECT_EQ_STR(f.out.data, "7|0.5|-1.5|true|99\nNULL|NULL|NULL|NULL|98\n");
    close_emitter(&f);
}

/* The emitter's own word about the last call, after which it begins anew. */
static void expect_judged(struct fixture *f, enum mr_status status, bool fatal, const char *text)
{
    struct mr_error err;
    bool is_fatal;

    mr_error_clear(&err);
    MR_EXPECT_STATUS(mr_emitter_judge(f->emitter, MR_OK, &is_fatal, &err), status);
    MR_EXPECT_EQ_INT(is_fatal, fatal);
    MR_EXPECT_EQ_STR(err.text, text);
}

/* A row without a time would fall into a window before all others. */
MR_TEST(emitter, when_no_row_is_worked_on_then_a_row_without_a_time_is_refused)
{
    struct fixture f;
    struct mr_batch *input;

    open_emitter(&f, "n int64", 1u << MR_HIDDEN_EVENT_TIME, 100, true);
    input = mr_data_batch(&f.data.quota, f.schema, "1\n");
    for (int round = 0; round < 2; round++) {
        mr_emitter_begin(f.emitter, round == 0 ? NULL : input, MR_EMITTER_NO_ROW);
        mr_emit_time(f.emitter, 5);
        mr_emit_int64(f.emitter, 0, 1);
        MR_EXPECT_OK(mr_emit_row(f.emitter), NULL);
        mr_emit_int64(f.emitter, 0, 2);
        MR_EXPECT_STATUS(mr_emit_row(f.emitter), MR_E_INVALID);
        expect_judged(&f, MR_E_INVALID, true,
                      "operator 'it': the stream has event times: call mr_emit_time before "
                      "mr_emit_row");
        take_all(&f);
    }
    MR_EXPECT_EQ_STR(f.out.data, "1|5\n1|5\n");
    mr_batch_release(input);
    close_emitter(&f);
}

static bool fits(struct fixture *f, mr_i128 value)
{
    struct mr_int128 given = {.low = (uint64_t)(mr_u128)value,
                              .high = (int64_t)(uint64_t)((mr_u128)value >> 64)};
    struct mr_error err;
    bool fatal;

    mr_emit_decimal(f->emitter, 0, given);
    return mr_emitter_judge(f->emitter, MR_OK, &fatal, &err) == MR_OK;
}

MR_TEST(emitter, a_decimal_with_more_digits_than_its_column_is_a_bad_value)
{
    mr_i128 nines = 0;
    struct fixture f;

    for (unsigned digits = 1; digits <= 38; digits++) {
        char schema[40];

        nines = 10 * nines + 9;
        sprintf(schema, "d decimal(%u,1)", digits);
        open_emitter(&f, schema, 0, 100, true);
        mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
        MR_EXPECT(fits(&f, 0) && fits(&f, nines) && fits(&f, -nines));
        MR_EXPECT(!fits(&f, nines + 1) && !fits(&f, -nines - 1));
        MR_EXPECT(!fits(&f, (mr_i128)((mr_u128)1 << 127)));
        close_emitter(&f);
    }
    open_emitter(&f, "n int64, d decimal(20,2)", 0, 100, true);
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    mr_emit_decimal(f.emitter, 1, (struct mr_int128){.high = INT64_C(1) << 60});
    MR_EXPECT_STATUS(mr_emit_row(f.emitter), MR_E_OVERFLOW);
    expect_judged(&f, MR_E_OVERFLOW, false,
                  "column 1 ('d') is decimal(20,2): the value has more than 20 digits");
    close_emitter(&f);
}

/* Who only reads `failed: ...` must know which of many readers it was. */
MR_TEST(emitter, messages_of_a_source_name_it_and_its_partition)
{
    struct fixture f;
    struct mr_error err;
    bool fatal;

    open_emitter(&f, "n int8", 0, 100, true);
    f.emitter->group->options.of_source = true;
    f.emitter->group->options.partition = 3;
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    mr_emit_int64(f.emitter, 1, 1);
    expect_judged(&f, MR_E_INVALID, true,
                  "source 'it', partition 3: there is no column number 1: the output has 1, "
                  "counted from 0");
    mr_emit_int64(f.emitter, 0, 128);
    expect_judged(&f, MR_E_OVERFLOW, false,
                  "source 'it', partition 3: column 0 ('n') is int8: 128 does not fit");
    (void)mr_emitter_fail(f.emitter, "device %d is gone", 5);
    MR_EXPECT_STATUS(mr_emitter_judge(f.emitter, MR_E_IO, &fatal, &err), MR_E_IO);
    MR_EXPECT_EQ_STR(err.text, "source 'it': read of partition 3 failed: device 5 is gone");
    close_emitter(&f);
}

/* Forgetting to return what mr_emitter_fail answers must not make a failure a success. */
MR_TEST(emitter, a_function_that_says_it_failed_has_failed_whatever_it_returns)
{
    struct fixture f;
    uint32_t room;

    open_emitter(&f, "n int64", 0, 100, true);
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    (void)mr_emitter_fail(f.emitter, "no number %d", 7);
    expect_judged(&f, MR_E_USER_FUNCTION, false, "the function failed: no number 7");
    expect_judged(&f, MR_OK, false, "");
    MR_EXPECT_OK(mr_emit_open(f.emitter, 1, &room), NULL);
    (void)mr_emitter_fail(f.emitter, "%s", "");
    expect_judged(&f, MR_E_USER_FUNCTION, false,
                  "the function failed: a user function reported failure");
    close_emitter(&f);
}

/* (1): whoever mixes the forms still gets his rows in the order he emitted them. */
MR_TEST(emitter, rows_and_arrays_may_alternate_and_keep_their_order)
{
    struct fixture f;
    char expected[2048];
    char *at = expected;
    int64_t next = 0;

    open_emitter(&f, "n int64", 0, 5, true);
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    for (int round = 0; round < 20; round++) {
        uint32_t room;

        for (int i = 0; i < round % 4; i++) {
            mr_emit_int64(f.emitter, 0, next++);
            MR_EXPECT_OK(mr_emit_row(f.emitter), NULL);
        }
        MR_EXPECT_OK(mr_emit_open(f.emitter, 7, &room), NULL);
        MR_EXPECT(room >= 1 && room <= 5);
        int64_t *values = mr_emit_int64s(f.emitter, 0);
        for (uint32_t i = 0; i < room; i++) values[i] = next++;
        MR_EXPECT_OK(mr_emit_close(f.emitter, room), NULL);
    }
    for (int64_t i = 0; i < next; i++) at += sprintf(at, "%lld\n", (long long)i);
    take_all(&f);
    MR_EXPECT_EQ_STR(f.out.data, expected);
    close_emitter(&f);
}

/* Small emissions must not take a batch each, and large ones not many small batches. */
MR_TEST(emitter, arrays_of_many_small_emissions_share_batches)
{
    struct fixture f;

    open_emitter(&f, "n int64", 0, 4096, true);
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    for (int64_t i = 0; i < 20000; i++) {
        uint32_t room;

        MR_EXPECT_OK(mr_emit_open(f.emitter, 1, &room), NULL);
        mr_emit_int64s(f.emitter, 0)[0] = i;
        MR_EXPECT_OK(mr_emit_close(f.emitter, 1), NULL);
    }
    take_all(&f);
    MR_EXPECT(f.batches <= 8);
    MR_EXPECT_CONTAINS(f.out.data, "\n19999\n");
    close_emitter(&f);
}

static void emit_text_of(struct mr_emitter *emitter, const struct mr_batch *input, uint32_t column,
                         uint32_t row)
{
    uint32_t room;

    MR_EXPECT_OK(mr_emit_open(emitter, 1, &room), NULL);
    mr_emit_texts_of(emitter, 0, input, column)[0] = mr_batch_texts(input, column).views[row];
    MR_EXPECT_OK(mr_emit_close(emitter, 1), NULL);
}

MR_TEST(emitter, texts_may_come_from_several_columns_of_the_input)
{
    struct fixture f;
    struct mr_schema *input_schema = mr_data_schema("a utf8, b utf8, c utf8, d utf8, e utf8");
    struct mr_batch *input;
    uint32_t room;
    struct mr_error err;
    bool fatal;

    open_emitter(&f, "t utf8", 0, 100, true);
    input = mr_data_batch(&f.data.quota, input_schema,
                          "first text that is long|second text that is long|short|"
                          "fourth text that is long|fifth text that is long\n");
    mr_emitter_begin(f.emitter, input, MR_EMITTER_NO_ROW);
    for (uint32_t i = 0; i < 8; i++) emit_text_of(f.emitter, input, i % 4, 0);
    take_all(&f);
    MR_EXPECT_EQ_UINT(f.batches, 1);
    MR_EXPECT_EQ_STR(f.out.data, "first text that is long\nsecond text that is long\nshort\n"
                                 "fourth text that is long\nfirst text that is long\n"
                                 "second text that is long\nshort\nfourth text that is long\n");
    mr_emitter_begin(f.emitter, input, MR_EMITTER_NO_ROW);
    for (uint32_t i = 0; i < 4; i++) emit_text_of(f.emitter, input, i, 0);
    MR_EXPECT_OK(mr_emit_open(f.emitter, 1, &room), NULL);
    (void)mr_emit_texts_of(f.emitter, 0, input, 4);
    MR_EXPECT_STATUS(mr_emit_close(f.emitter, 1), MR_E_INVALID);
    MR_EXPECT_STATUS(mr_emitter_judge(f.emitter, MR_OK, &fatal, &err), MR_E_INVALID);
    MR_EXPECT(fatal);
    MR_EXPECT_EQ_STR(err.text, "operator 'it': column 0 takes texts of more than 4 input columns");
    mr_batch_release(input);
    mr_schema_release(input_schema);
    close_emitter(&f);
}

/* ---- views ---- */

static bool view_is_good(const struct mr_view *view, uint32_t buffers)
{
    if (view->size_bytes > 261888) return false;
    if (view->size_bytes > 12) return view->u.far.buffer < buffers;
    for (uint32_t i = view->size_bytes; i < 12; i++) {
        if (view->u.inlined[i] != 0) return false;
    }
    return true;
}

static struct mr_view random_view(uint32_t *random, bool tame)
{
    static const uint32_t sizes[] = {12,  13,  14,   15,    16,     127,    128,        129,
                                     255, 256, 0x10c, 261888, 261889, 0x7fffffff, UINT32_MAX};
    uint32_t pick = *random = *random * 1664525u + 1013904223u;
    uint32_t size = pick >> 8 & 1 ? sizes[(pick >> 12) % (tame ? 12 : 15)] : (pick >> 12) % 13;
    struct mr_view view = mr_view_make("xyzxyzxyzxyz", MR_MIN(size, 12u), 0, 0);

    if (size > 12) {
        memset(&view.u, (int)(pick >> 24 | 1), sizeof view.u);
        view.u.far.buffer = tame ? pick >> 28 & 1 : pick >> 28;
    } else if (!tame && size < 12 && (pick >> 28 & 3) == 0) {
        view.u.inlined[size + (pick >> 20) % (12 - size)] = (char)(1u << (pick >> 9) % 8);
    }
    view.size_bytes = size;
    return view;
}

/* Eight at a time or one by one: the first bad view is found, wherever it stands. */
MR_TEST(emitter, the_first_bad_view_of_an_array_is_found)
{
    enum { MOST = 40 };
    struct mr_view views[MOST];
    uint32_t random = 1;
    uint32_t kinds[2] = {0, 0};

    for (int round = 0; round < 20000; round++) {
        uint32_t count = (uint32_t)round % (MOST + 1);
        uint32_t wild = (uint32_t)round / 41 % MOST;
        uint32_t expected = 0;

        for (uint32_t i = 0; i < count; i++) {
            views[i] = random_view(&random, i != wild && round % 3 != 0);
            if (round % 3 == 1 && i != wild) views[i] = mr_view_make("abc", (uint32_t)i % 4, 0, 0);
        }
        while (expected < count && view_is_good(&views[expected], 2)) expected++;
        MR_EXPECT_EQ_UINT(mri_views_check(views, count, 2), expected);
        kinds[expected < count]++;
    }
    MR_EXPECT(kinds[0] > 1000 && kinds[1] > 1000);
}

MR_TEST(emitter, every_byte_behind_an_inline_text_must_be_zero)
{
    for (uint32_t size = 0; size <= 12; size++) {
        for (uint32_t at = 0; at < 12; at++) {
            struct mr_view views[16];

            for (uint32_t i = 0; i < 16; i++) views[i] = mr_view_make("abcdefghijkl", 12, 0, 0);
            views[5] = mr_view_make("abcdefghijkl", size, 0, 0);
            views[5].u.inlined[at] = (char)0x80;
            MR_EXPECT_EQ_UINT(mri_views_check(views, 16, 0), at < size ? 16 : 5);
        }
    }
}

static void write_view(struct fixture *f, const struct mr_batch *input, struct mr_view view,
                       enum mr_status status)
{
    struct mr_view *views;
    uint32_t room;

    mr_emitter_begin(f->emitter, (struct mr_batch *)(uintptr_t)input, MR_EMITTER_NO_ROW);
    MR_EXPECT_OK(mr_emit_open(f->emitter, 3, &room), NULL);
    views = mr_emit_texts_of(f->emitter, 0, input, 0);
    views[2] = view;
    MR_EXPECT_STATUS(mr_emit_close(f->emitter, 3), status);
}

/* A view that points nowhere must end the job by name, and one that was not written is empty. */
MR_TEST(emitter, views_are_checked_when_an_array_is_closed)
{
    struct fixture f;
    struct mr_schema *input_schema = mr_data_schema("a utf8, b utf8");
    struct mr_view view = {.size_bytes = 1000, .u = {.far = {.buffer = 77, .offset = 5000000}}};
    struct mr_batch *input;
    uint32_t room;

    open_emitter(&f, "t utf8", 0, 100, true);
    input = mr_data_batch(&f.data.quota, input_schema,
                          "a text that is long|another text that is long\n");
    MR_EXPECT_EQ_UINT(input->columns[0].buffer_count, 1);
    write_view(&f, input, view, MR_E_INVALID);
    expect_judged(&f, MR_E_INVALID, true,
                  "operator 'it': column 0 ('t'): view 2 is in buffer 77, the input column has 1");
    view.u.far.buffer = 0;
    view.size_bytes = 261889;
    write_view(&f, input, view, MR_E_INVALID);
    expect_judged(&f, MR_E_INVALID, true,
                  "operator 'it': column 0 ('t'): view 2 has 261889 bytes, a text has at most "
                  "261888");
    view.size_bytes = 2;
    write_view(&f, input, view, MR_E_INVALID);
    expect_judged(&f, MR_E_INVALID, true,
                  "operator 'it': column 0 ('t'): view 2 has bytes other than 0 behind its text; "
                  "make views with mr_view_make");
    write_view(&f, input, mr_batch_texts(input, 0).views[0], MR_OK);
    MR_EXPECT_OK(mr_emit_open(f.emitter, 1, &room), NULL);
    (void)mr_emit_texts_of(f.emitter, 0, input, 0);
    (void)mr_emit_texts_of(f.emitter, 0, input, 1);
    MR_EXPECT_STATUS(mr_emit_close(f.emitter, 1), MR_E_INVALID);
    expect_judged(&f, MR_E_INVALID, true,
                  "operator 'it': column 0 takes texts of two input columns between mr_emit_open "
                  "and mr_emit_close");
    take_all(&f);
    MR_EXPECT_EQ_STR(f.out.data, "\n\na text that is long\n");
    mr_batch_release(input);
    mr_schema_release(input_schema);
    close_emitter(&f);
}

/* Arrays are lent out again and again: what one call left in them is not the next one's. */
MR_TEST(emitter, views_that_are_not_written_are_empty_texts)
{
    struct fixture f;
    struct mr_batch *input;
    char expected[2048];
    char *at = expected;
    uint32_t room;

    open_emitter(&f, "t utf8", 0, 50, true);
    input = mr_data_batch(&f.data.quota, f.schema, "a text that is long\n");
    for (int round = 0; round < 30; round++) {
        struct mr_view *views;
        uint32_t rows;

        mr_emitter_begin(f.emitter, input, MR_EMITTER_NO_ROW);
        MR_EXPECT_OK(mr_emit_open(f.emitter, 5, &room), NULL);
        views = mr_emit_texts_of(f.emitter, 0, input, 0);
        rows = MR_MIN(room, 2u);
        views[rows - 1] = mr_batch_texts(input, 0).views[0];
        views = mr_emit_texts_of(f.emitter, 0, input, 0); /* the same ones */
        MR_EXPECT_OK(mr_emit_close(f.emitter, rows), NULL);
        at += sprintf(at, "%sa text that is long\n", rows == 2 ? "\n" : "");
    }
    take_all(&f);
    MR_EXPECT_EQ_STR(f.out.data, expected);
    mr_batch_release(input);
    close_emitter(&f);
}

/* Aggregates ask for one value and make the row themselves. */
MR_TEST(emitter, a_cell_can_be_taken_without_emitting_a_row)
{
    struct fixture f;
    struct mr_builder *builder;
    struct mr_batch *batch;
    struct mr_error err;
    bool fatal;

    open_emitter(&f, "v utf8", 0, 1, false);
    MR_EXPECT_OK(mr_builder_create(mr_test_heap(), f.schema, 0, 10, &f.data.quota, &builder, &err),
                 &err);
    for (int i = 0; i < 3; i++) {
        if (i != 1) mr_emit_bytes(f.emitter, 0, "a text that is longer than a view", 33);
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        MR_EXPECT_EQ_INT(mr_emitter_cell_to_row(f.emitter, 0, builder, 0), MR_BUILD_OK);
        mr_builder_commit_row(builder);
        MR_EXPECT_OK(mr_emitter_judge(f.emitter, MR_OK, &fatal, &err), &err);
    }
    MR_EXPECT_STATUS(mr_emit_row(f.emitter), MR_E_INVALID);
    MR_EXPECT_STATUS(mr_emitter_judge(f.emitter, MR_OK, &fatal, &err), MR_E_INVALID);
    batch = mr_builder_take(builder);
    MR_EXPECT_EQ_STR(mr_data_print(batch), "a text that is longer than a view\nNULL\n"
                                           "a text that is longer than a view\n");
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    close_emitter(&f);
}

MR_TEST(emitter, a_value_longer_than_a_batch_is_refused)
{
    struct fixture f;
    struct mr_error err;
    char *text = calloc(1, MR_TEXT_BYTES_MAX + 1);
    bool fatal;

    open_emitter(&f, "t binary", 0, 10, true);
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    mr_emit_bytes(f.emitter, 0, text, MR_TEXT_BYTES_MAX + 1);
    MR_EXPECT_STATUS(mr_emit_row(f.emitter), MR_E_LIMIT);
    MR_EXPECT_STATUS(mr_emitter_judge(f.emitter, MR_OK, &fatal, &err), MR_E_LIMIT);
    MR_EXPECT(!fatal);
    MR_EXPECT_EQ_STR(err.text, "column 0 ('t'): a value of 261889 bytes is too long: 261888 bytes "
                               "is the most");
    mr_emit_bytes(f.emitter, 0, text, MR_TEXT_BYTES_MAX);
    MR_EXPECT_OK(mr_emit_row(f.emitter), NULL);
    free(text);
    take_all(&f);
    MR_EXPECT_EQ_UINT(f.batches, 1);
    close_emitter(&f);
}

MR_TEST(emitter, a_column_that_is_declared_not_null_must_be_set)
{
    struct fixture f;
    struct mr_error err;
    bool fatal;

    open_emitter(&f, "a int64 not null, b int64", 0, 10, true);
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    mr_emit_int64(f.emitter, 1, 1);
    MR_EXPECT_STATUS(mr_emit_row(f.emitter), MR_E_INVALID);
    MR_EXPECT_STATUS(mr_emitter_judge(f.emitter, MR_OK, &fatal, &err), MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "column 0 ('a') is declared not null and was not set");
    close_emitter(&f);
}

/* Types without an array form are refused by name and not written to. */
MR_TEST(emitter, a_schema_without_array_form_is_refused_when_opened)
{
    struct fixture f;
    struct mr_error err;
    uint32_t room;
    bool fatal;

    open_emitter(&f, "a int64, b bool", 0, 10, true);
    mr_emitter_begin(f.emitter, NULL, MR_EMITTER_NO_ROW);
    MR_EXPECT_STATUS(mr_emit_open(f.emitter, 1, &room), MR_E_INVALID);
    MR_EXPECT_EQ_UINT(room, 0);
    MR_EXPECT_STATUS(mr_emitter_judge(f.emitter, MR_OK, &fatal, &err), MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "column 1 ('b') is bool, which has no array form");
    close_emitter(&f);
}

/* Table of RFC 3629, section 4: the first and last of each form, and their neighbours. */
MR_TEST(emitter, utf8_is_told_from_other_bytes)
{
    static const char *const good[] = {"",
                                       "plain ascii text of some length",
                                       "\xc2\x80",
                                       "\xdf\xbf",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xee\x80\x80",
                                       "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "12345678\xc3\xa4",
                                       "1234567\xc3\xa4"};
    static const char *const wrong[] = {"\x80",
                                        "\xc0\x80",
                                        "\xc1\xbf",
                                        "\xc2",
                                        "\xc2\x41",
                                        "\xe0\x9f\xbf",
                                        "\xed\xa0\x80",
                                        "\xe2\x82",
                                        "\xf0\x8f\xbf\xbf",
                                        "\xf4\x90\x80\x80",
                                        "\xf5\x80\x80\x80",
                                        "\xff",
                                        "12345678\xc3",
                                        "1234567\xc3"};

    for (size_t i = 0; i < MR_COUNT(good); i++) MR_EXPECT(mri_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < MR_COUNT(wrong); i++) {
        MR_EXPECT(!mri_is_utf8(wrong[i], strlen(wrong[i])));
    }
}
