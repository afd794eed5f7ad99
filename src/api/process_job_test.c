/* process_job_test.c - process functions in whole jobs: results against built-in windows,
 * broadcast, side outputs; and what is refused while the pipeline is described. */
#include "job_internal.h"

#include "mr_test.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- a sink that keeps rows of numbers as text ---- */

struct rows {
    pthread_mutex_t lock;
    char *text[20000];
    uint32_t count;
};

static enum mr_status open_rows(void *user, uint32_t instance, void **out_writer)
{
    (void)instance;
    *out_writer = user;
    return MR_OK;
}

static enum mr_status keep_rows(void *writer, const struct mr_batch *batch)
{
    struct rows *rows = writer;

    pthread_mutex_lock(&rows->lock);
    for (uint32_t i = 0; i < mr_batch_rows(batch); i++) {
        struct mr_row row = {batch, i};
        char line[200];
        int size = 0;

        for (uint32_t c = 0; c < 3; c++) {
            size += sprintf(line + size, "%lld ", (long long)mr_row_int64(&row, c));
        }
        if (rows->count < 20000) rows->text[rows->count++] = strdup(line);
    }
    pthread_mutex_unlock(&rows->lock);
    return MR_OK;
}

static const struct mr_sink_functions keeper = {
    .size = sizeof keeper, .open = open_rows, .write = keep_rows};

static int compare(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void forget(struct rows *rows)
{
    for (uint32_t i = 0; i < rows->count; i++) free(rows->text[i]);
    free(rows);
}

static struct rows *new_rows(void)
{
    struct rows *rows = calloc(1, sizeof *rows);

    pthread_mutex_init(&rows->lock, NULL);
    return rows;
}

static void run(struct mr_job *job, struct rows *rows)
{
    enum mr_status st = mr_job_run(job, NULL);

    if (st != MR_OK) MR_FAIL("%s", mr_job_error(job));
    mr_job_destroy(job);
    qsort(rows->text, rows->count, sizeof rows->text[0], compare);
}

static void expect_same(const struct rows *actual, const struct rows *expected)
{
    MR_EXPECT(expected->count > 0);
    MR_EXPECT_EQ_UINT(actual->count, expected->count);
    for (uint32_t i = 0; i < expected->count; i++) {
        MR_EXPECT_EQ_STR(actual->text[i], expected->text[i]);
    }
}

static struct mr_job *new_job(uint32_t workers, enum mr_mode mode)
{
    return mr_job_create("test", &(struct mr_job_options){.size = sizeof(struct mr_job_options),
                                                          .workers = workers,
                                                          .mode = mode});
}

/* n, ts, key, value */
static struct mr_stream *generate(struct mr_job *job)
{
    return mr_generate(
        job, &(struct mr_generate_options){
                 .size = sizeof(struct mr_generate_options), .rows = 20000, .keys = 60, .seed = 3});
}

enum { N, TS, KEY, GENERATED_VALUE };

/* ---- sessions, by hand and built in ---- */

#define GAP (60 * MR_MILLISECOND)

static const struct mr_field two[] = {{.name = "rows", .type = MR_INT64},
                                      {.name = "sum", .type = MR_INT64},
                                      {.name = "end", .type = MR_TIMESTAMP_LTZ}};
static const struct mr_state session_state[] = {
    {.name = "session", .kind = MR_STATE_VALUE, .fields = two, .field_count = 3}};
static const struct mr_field session_columns[] = {{.name = "key", .type = MR_INT64},
                                                  {.name = "rows", .type = MR_INT64},
                                                  {.name = "sum", .type = MR_INT64}};

static enum mr_status end_session(struct mr_process_context *context, struct mr_emitter *out)
{
    struct mr_record session = mr_value_find(context, 0);

    mr_emit_int64(out, 0, mr_row_int64(mr_context_key(context), 0));
    mr_emit_int64(out, 1, mr_record_int64(&session, 0));
    mr_emit_int64(out, 2, mr_record_int64(&session, 1));
    mr_state_clear(context, 0);
    return mr_emit_row(out);
}

/* In batch mode timers fire when all rows have come: the row itself must end what is before it. */
static enum mr_status session_row(void *user, struct mr_process_context *context,
                                  const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_record session = mr_value_find(context, 0);
    int64_t time = mr_row_time(row);

    (void)user;
    if (mr_record_exists(&session) && mr_record_int64(&session, 2) <= time) {
        enum mr_status st = end_session(context, out);

        if (st != MR_OK) return st;
    }
    session = mr_value_make(context, 0);
    mr_record_set_int64(&session, 0, mr_record_int64(&session, 0) + 1);
    mr_record_set_int64(&session, 1,
                        mr_record_int64(&session, 1) + mr_row_int64(row, GENERATED_VALUE));
    mr_record_set_int64(&session, 2, time + GAP);
    mr_timer_set(context, MR_TIMER_EVENT_TIME, time + GAP, 0);
    if (mr_row_int64(row, N) % 1000 != 0) return MR_OK;
    out = mr_emitter_side(out, 1);
    mr_emit_int64(out, 0, mr_row_int64(row, N));
    return mr_emit_row(out);
}

static enum mr_status session_over(void *user, struct mr_process_context *context,
                                   const struct mr_fired_timer *timer, struct mr_emitter *out)
{
    (void)user, (void)timer;
    return end_session(context, out);
}

static const struct mr_field *const side_fields[] = {two};
static const uint32_t side_counts[] = {1};
static const struct mr_process_options session_options = {.size = sizeof session_options,
                                                          .id = "sessions",
                                                          .fields = session_columns,
                                                          .field_count = 3,
                                                          .side_fields = side_fields,
                                                          .side_field_counts = side_counts,
                                                          .side_count = 1,
                                                          .states = session_state,
                                                          .state_count = 1,
                                                          .on_timer = session_over};

static struct rows *by_hand(uint32_t workers, enum mr_mode mode, struct rows *side)
{
    struct mr_job *job = new_job(workers, mode);
    struct rows *rows = new_rows();
    struct mr_stream *in = mr_key_by_columns(generate(job), (const char *[]){"key"}, 1);
    struct mr_stream *out = mr_process_rows(in, session_row, NULL, &session_options);

    mr_write_sink(out, "rows", &keeper, rows);
    mr_write_sink(mr_side_output(out, 1), "side", &keeper, side);
    run(job, rows);
    return rows;
}

static struct rows *built_in(void)
{
    struct mr_job *job = new_job(1, MR_MODE_BATCH);
    struct rows *rows = new_rows();
    struct mr_stream *in = mr_key_by_columns(generate(job), (const char *[]){"key"}, 1);
    const struct mr_aggregate aggregates[] = {
        {.name = "rows", .function = "count"},
        {.name = "sum", .function = "sum", .argument = mr_col(job, "value")}};
    struct mr_stream *out = mr_aggregate(mr_window_session(in, GAP, false), aggregates, 2);
    const struct mr_named columns[] = {
        {"key", mr_col(job, "key")}, {"rows", mr_col(job, "rows")}, {"sum", mr_col(job, "sum")}};

    mr_write_sink(mr_project(out, columns, 3), "rows", &keeper, rows);
    run(job, rows);
    return rows;
}

MR_TEST(process_job, sessions_by_hand_equal_the_session_windows_with_any_workers_in_both_modes)
{
    struct rows *expected = built_in();

    MR_EXPECT(expected->count > 60);
    for (uint32_t workers = 1; workers <= 3; workers++) {
        for (uint32_t streaming = 0; streaming < 2; streaming++) {
            struct rows *side = new_rows();
            struct rows *actual =
                by_hand(workers, streaming ? MR_MODE_STREAMING : MR_MODE_BATCH, side);

            expect_same(actual, expected);
            MR_EXPECT_EQ_UINT(side->count, 20);
            forget(side);
            forget(actual);
        }
    }
    forget(expected);
}

/* ---- a key that is no column, in a batch function ---- */

static enum mr_status sum_batch(void *user, struct mr_process_context *context,
                                const struct mr_batch *batch, struct mr_emitter *out)
{
    const int64_t *values = mr_batch_int64s(batch, GENERATED_VALUE);
    struct mr_state_array array;
    enum mr_status st = mr_state_prepare(context, 0, &array);

    (void)user, (void)out;
    if (st != MR_OK) return st;
    for (uint32_t i = 0; i < mr_batch_rows(batch); i++) {
        bool known = mr_array_exists(&array, i);

        *mr_array_int64(&array, i, 0) += 1;
        *mr_array_int64(&array, i, 1) += values[i];
        if (known) continue;
        mr_context_at(context, i);
        mr_timer_set(context, MR_TIMER_EVENT_TIME, MR_TIME_MAX - MR_DAY, 0);
    }
    return MR_OK;
}

static struct rows *sums_by_hand(uint32_t workers)
{
    struct mr_process_options options = session_options;
    struct mr_job *job = new_job(workers, MR_MODE_STREAMING);
    struct rows *rows = new_rows();
    struct mr_stream *in = generate(job);
    const struct mr_named key = {"bucket", mr_call2(job, "%", mr_col(job, "key"), mr_int(job, 7))};

    options.side_count = 0;
    in = mr_process_batches(mr_key_by(in, &key, 1), sum_batch, NULL, &options);
    mr_write_sink(in, "rows", &keeper, rows);
    run(job, rows);
    return rows;
}

static struct rows *sums_built_in(void)
{
    struct mr_job *job = new_job(1, MR_MODE_BATCH);
    struct rows *rows = new_rows();
    const struct mr_named key = {"bucket", mr_call2(job, "%", mr_col(job, "key"), mr_int(job, 7))};
    const struct mr_aggregate aggregates[] = {
        {.name = "rows", .function = "count"},
        {.name = "sum", .function = "sum", .argument = mr_col(job, "value")}};

    mr_write_sink(mr_aggregate(mr_key_by(generate(job), &key, 1), aggregates, 2), "rows", &keeper,
                  rows);
    run(job, rows);
    return rows;
}

MR_TEST(process_job, a_batch_function_sums_by_a_computed_key_like_the_aggregate)
{
    struct rows *expected = sums_built_in();

    for (uint32_t workers = 1; workers <= 3; workers++) {
        struct rows *actual = sums_by_hand(workers);

        expect_same(actual, expected);
        forget(actual);
    }
    forget(expected);
}

/* ---- broadcast ---- */

static const struct mr_field rule_key[] = {{.name = "rule", .type = MR_INT64}};
static const struct mr_state rule_states[] = {{.name = "rules",
                                               .kind = MR_STATE_BROADCAST,
                                               .fields = two,
                                               .field_count = 1,
                                               .keys = rule_key,
                                               .key_count = 1}};

static enum mr_status wait_for_end(void *user, struct mr_process_context *context,
                                   const struct mr_row *row, struct mr_emitter *out)
{
    (void)user, (void)row, (void)out;
    mr_timer_set(context, MR_TIMER_EVENT_TIME, MR_TIME_MAX - MR_DAY, 0);
    return MR_OK;
}

static enum mr_status take_rule(void *user, struct mr_process_context *context,
                                const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_datum key = mr_datum_int64(mr_row_int64(row, KEY));
    struct mr_record rule = mr_map_make(context, 0, &key);

    (void)user, (void)out;
    mr_record_set_int64(&rule, 0, mr_record_int64(&rule, 0) + 1);
    return MR_OK;
}

static enum mr_status tell_rules(void *user, struct mr_process_context *context,
                                 const struct mr_fired_timer *timer, struct mr_emitter *out)
{
    struct mr_iterator it = mr_state_iterate(context, 0);
    int64_t sum = 0;

    (void)user, (void)timer;
    for (struct mr_record rule; mr_iterator_next(&it, &rule);) {
        sum += mr_record_int64(&rule, 0) * (mr_record_key(&rule, 0).u.int64 + 1);
    }
    mr_emit_int64(out, 0, mr_row_int64(mr_context_key(context), 0));
    mr_emit_int64(out, 1, (int64_t)mr_state_count(context, 0));
    mr_emit_int64(out, 2, sum);
    return mr_emit_row(out);
}

static struct rows *broadcast_job(uint32_t workers)
{
    struct mr_job *job = new_job(workers, MR_MODE_STREAMING);
    struct rows *rows = new_rows();
    struct mr_process_options options = {.size = sizeof options,
                                         .fields = session_columns,
                                         .field_count = 3,
                                         .states = rule_states,
                                         .state_count = 1,
                                         .on_timer = tell_rules,
                                         .broadcast = generate(job),
                                         .on_broadcast = take_rule};
    struct mr_stream *in = mr_key_by_columns(generate(job), (const char *[]){"key"}, 1);

    mr_write_sink(mr_process_rows(in, wait_for_end, NULL, &options), "rows", &keeper, rows);
    run(job, rows);
    return rows;
}

MR_TEST(process_job, every_instance_gets_every_broadcast_row)
{
    struct rows *expected = broadcast_job(1);

    MR_EXPECT_EQ_UINT(expected->count, 60);
    MR_EXPECT_CONTAINS(expected->text[0], " 60 ");
    for (uint32_t workers = 2; workers <= 3; workers++) {
        struct rows *actual = broadcast_job(workers);

        expect_same(actual, expected);
        forget(actual);
    }
    forget(expected);
}

/* ---- what is refused ---- */

static void expect_text(struct mr_job *job, const char *text)
{
    MR_EXPECT_CONTAINS(mr_job_error(job), text);
    MR_EXPECT(mr_job_run(job, NULL) != MR_OK);
    mr_job_destroy(job);
}

static struct mr_stream *keyed(struct mr_job *job)
{
    return mr_key_by_columns(generate(job), (const char *[]){"key"}, 1);
}

MR_TEST(process_job, without_keys_with_windows_or_with_an_id_twice_it_is_refused)
{
    struct mr_job *job = new_job(1, MR_MODE_BATCH);

    (void)mr_process_rows(generate(job), session_row, NULL, &session_options);
    expect_text(job, "a process function needs mr_key_by before it");
    job = new_job(1, MR_MODE_BATCH);
    (void)mr_process_rows(mr_window_tumbling(keyed(job), MR_SECOND), session_row, NULL,
                          &session_options);
    expect_text(job, "a process function has no windows");
    job = new_job(1, MR_MODE_BATCH);
    (void)mr_process_rows(keyed(job), session_row, NULL, &session_options);
    (void)mr_process_rows(keyed(job), session_row, NULL, &session_options);
    expect_text(job, "two operators have the id 'sessions'");
    job = new_job(1, MR_MODE_BATCH);
    (void)mr_process_rows(keyed(job), NULL, NULL, &session_options);
    expect_text(job, "there is no function: it is NULL");
}

static void expect_state(struct mr_state state, const char *text)
{
    struct mr_process_options options = session_options;
    struct mr_job *job = new_job(1, MR_MODE_BATCH);

    options.states = &state;
    (void)mr_process_rows(keyed(job), session_row, NULL, &options);
    expect_text(job, text);
}

MR_TEST(process_job, a_declaration_that_cannot_be_is_refused_with_the_name_of_the_state)
{
    static const struct mr_field list = {.name = "l", .type = MR_LIST};
    static const struct mr_field real = {.name = "x", .type = MR_FLOAT64};

    expect_state((struct mr_state){.name = "s", .kind = MR_STATE_VALUE}, "state 's' has no fields");
    expect_state((struct mr_state){.name = "", .kind = MR_STATE_VALUE}, "a state needs a name");
    expect_state(
        (struct mr_state){.name = "s", .kind = MR_STATE_VALUE, .fields = &list, .field_count = 1},
        "state 's', field 'l': a list cannot be kept");
    expect_state(
        (struct mr_state){.name = "s", .kind = MR_STATE_SET, .keys = &real, .key_count = 1},
        "state 's', key 'x': a float64 cannot be a key");
    expect_state(
        (struct mr_state){.name = "s", .kind = MR_STATE_MAP, .fields = two, .field_count = 2},
        "state 's': a map needs keys");
    expect_state(
        (struct mr_state){
            .name = "s", .kind = MR_STATE_AGGREGATING, .fields = two, .field_count = 1},
        "needs the functions create, add and result");
    expect_state((struct mr_state){.name = "s",
                                   .kind = MR_STATE_VALUE,
                                   .fields = two,
                                   .field_count = 2,
                                   .ttl = MR_TTL_EVENT_TIME},
                 "state 's': a time to live of 0 us");
    expect_state(
        (struct mr_state){
            .name = "s", .kind = (enum mr_state_kind)99, .fields = two, .field_count = 2},
        "unknown kind 99");
}
