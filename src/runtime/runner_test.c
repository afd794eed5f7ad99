/* Real threads, through the public API: what only shows when several workers run at once. Waiting
 * is for events; where a test would wait for ever if the engine were wrong, the source gives up
 * after PATIENCE_S and the test says so. */
#include "mr_test.h"

#include <millrace/millrace.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 20
#define PARTS_MAX 128
#define COLUMNS 3
#define SECOND_US 1000000

static const struct mr_field fields[COLUMNS] = {{.name = "part", .type = MR_INT64},
                                                {.name = "n", .type = MR_INT64},
                                                {.name = "ts", .type = MR_INT64}};

/* ---- a sink that counts ---- */

struct outlet {
    _Atomic long rows, opened, finished, closed, disordered;
    _Atomic long last[PARTS_MAX]; /* greatest n seen per partition, plus one */
    useconds_t delay_us;          /* per batch: a slow branch */
    long fail_after;              /* 0: never */
    bool ordered;                 /* columns part and n are there, and n ascends per part */
};

static enum mr_status outlet_open(void *user, uint32_t instance, void **out)
{
    struct outlet *outlet = user;

    (void)instance;
    outlet->opened++;
    *out = outlet;
    return MR_OK;
}

static enum mr_status outlet_write(void *writer, const struct mr_batch *batch)
{
    struct outlet *outlet = writer;
    uint32_t rows = mr_batch_rows(batch);

    if (outlet->delay_us > 0) usleep(outlet->delay_us);
    for (uint32_t i = 0; i < rows && outlet->ordered; i++) {
        int64_t part = mr_batch_int64s(batch, 0)[i];
        long n = (long)mr_batch_int64s(batch, 1)[i];
        if (n < outlet->last[part]) outlet->disordered++;
        outlet->last[part] = n + 1;
    }
    outlet->rows += (long)rows;
    return outlet->fail_after > 0 && outlet->rows > outlet->fail_after ? MR_E_USER_FUNCTION : MR_OK;
}

static enum mr_status outlet_finish(void *writer)
{
    ((struct outlet *)writer)->finished++;
    return MR_OK;
}

static void outlet_close(void *writer)
{
    ((struct outlet *)writer)->closed++;
}

static const struct mr_sink_functions outlet_functions = {.size = sizeof outlet_functions,
                                                          .open = outlet_open,
                                                          .write = outlet_write,
                                                          .finish = outlet_finish,
                                                          .close = outlet_close};

/* Rows that were wanted or not, every writer is closed, and finished only after a good end. */
static void expect_clean(const struct outlet *outlet, enum mr_status st)
{
    MR_EXPECT_EQ_INT(outlet->closed, outlet->opened);
    MR_EXPECT_EQ_INT(outlet->finished, st == MR_OK ? outlet->opened : 0);
    MR_EXPECT_EQ_INT(outlet->disordered, 0);
}

/* ---- a source under control ---- */

struct inlet {
    uint32_t parts;
    int64_t rows;                 /* per partition */
    int64_t step_us;              /* between event times */
    int64_t first_us[PARTS_MAX];  /* first event time */
    int silent;                   /* a partition that says nothing; -1: none */
    uint32_t at_a_time;           /* rows per read; 0: what is asked for */
    const struct outlet *until;   /* after its rows: idle until so many rows have come out there */
    long until_rows;
    time_t started;
    _Atomic long open, opened, given_up;
    pthread_t thread[PARTS_MAX];
};

struct tap {
    struct inlet *inlet;
    uint32_t part;
    int64_t n;
};

static enum mr_status inlet_open(void *user, uint32_t part, void **out)
{
    struct inlet *inlet = user;
    struct tap *tap = calloc(1, sizeof *tap);

    if (tap == NULL) return MR_E_NOMEM;
    *tap = (struct tap){.inlet = inlet, .part = part};
    inlet->thread[part] = pthread_self();
    inlet->open++;
    inlet->opened++;
    *out = tap;
    return MR_OK;
}

static enum mr_read_result at_the_end(struct inlet *inlet)
{
    if (inlet->until == NULL || inlet->until->rows >= inlet->until_rows) return MR_READ_END;
    if (time(NULL) - inlet->started < PATIENCE_S) return MR_READ_IDLE;
    inlet->given_up++;
    return MR_READ_END;
}

static enum mr_status inlet_read(void *reader, uint32_t row_limit, struct mr_emitter *out,
                                 enum mr_read_result *out_result)
{
    struct tap *tap = reader;
    struct inlet *inlet = tap->inlet;
    uint32_t limit = inlet->at_a_time > 0 && inlet->at_a_time < row_limit ? inlet->at_a_time
                                                                          : row_limit;

    if ((int)tap->part == inlet->silent) tap->n = inlet->rows;
    for (uint32_t i = 0; i < limit && tap->n < inlet->rows; i++, tap->n++) {
        mr_emit_int64(out, 0, tap->part);
        mr_emit_int64(out, 1, tap->n);
        mr_emit_int64(out, 2, inlet->first_us[tap->part] + tap->n * inlet->step_us);
        enum mr_status st = mr_emit_row(out);
        if (st != MR_OK) return st;
    }
    *out_result = tap->n < inlet->rows ? MR_READ_MORE : at_the_end(inlet);
    return MR_OK;
}

static void inlet_close(void *reader)
{
    struct tap *tap = reader;

    tap->inlet->open--;
    free(tap);
}

static struct mr_stream *read_inlet(struct mr_job *job, const char *id, struct inlet *inlet,
                                    bool unbounded)
{
    struct mr_source_functions functions = {.size = sizeof functions,
                                            .partitions = inlet->parts,
                                            .unbounded = unbounded,
                                            .open = inlet_open,
                                            .read = inlet_read,
                                            .close = inlet_close};

    inlet->started = time(NULL);
    return mr_read_source(job, id, &functions, inlet, fields, COLUMNS, false);
}

/* ---- pieces of pipelines ---- */

static struct mr_job *new_job(uint32_t workers)
{
    struct mr_job_options options = {.size = sizeof options, .workers = workers};

    return mr_job_create("test", &options);
}

static struct mr_stream *count_per_second(struct mr_stream *in)
{
    static const char *const keys[] = {"part"};
    struct mr_aggregate count = {.name = "count", .function = "count"};

    return mr_aggregate(mr_window_tumbling(mr_key_by_columns(in, keys, 1), SECOND_US), &count, 1);
}

static enum mr_status every_third_aside(void *user, const struct mr_row *row,
                                        struct mr_emitter *out)
{
    struct mr_emitter *to = mr_row_int64(row, 1) % 3 == 0 ? mr_emitter_side(out, 1) : out;

    (void)user;
    for (uint32_t c = 0; c < COLUMNS; c++) mr_emit_int64(to, c, mr_row_int64(row, c));
    return mr_emit_row(to);
}

static struct mr_stream *split_aside(struct mr_stream *in)
{
    const struct mr_field *side_fields[] = {fields};
    uint32_t side_counts[] = {COLUMNS};
    struct mr_function_options options = {.size = sizeof options,
                                          .id = "split",
                                          .fields = fields,
                                          .field_count = COLUMNS,
                                          .side_fields = side_fields,
                                          .side_field_counts = side_counts,
                                          .side_count = 1};

    return mr_map_rows(in, every_third_aside, NULL, &options);
}

static enum mr_status run(struct mr_job *job)
{
    enum mr_status st = mr_job_run(job, NULL);

    if (st != MR_OK && st != MR_E_CANCELLED) fprintf(stderr, "%s\n", mr_job_error(job));
    return st;
}

/* Cancels after a time, or when rows have come out (or patience has). */
struct cancel {
    struct mr_job *job;
    useconds_t after_us;
    const struct outlet *when;
    long rows;
};

static void *cancel_later(void *argument)
{
    const struct cancel *cancel = argument;
    time_t started = time(NULL);

    usleep(cancel->after_us);
    while (cancel->when != NULL && cancel->when->rows < cancel->rows) {
        usleep(1000);
        if (time(NULL) - started >= PATIENCE_S) break;
    }
    mr_job_cancel(cancel->job);
    return NULL;
}

/* ---- event time over splits ---- */

static void expect_windows_while_running(uint32_t parts, uint32_t workers)
{
    struct outlet outlet = {.rows = 0};
    struct inlet inlet = {.parts = parts,
                          .rows = 1001, /* the last row opens window 10 and closes the ten before */
                          .step_us = SECOND_US / 100,
                          .silent = -1,
                          .until = &outlet,
                          .until_rows = 10 * (long)parts};
    struct mr_job *job = new_job(workers);
    struct mr_stream *rows = read_inlet(job, "in", &inlet, true);

    rows = mr_assign_event_time(rows, mr_col(job, "ts"), 0, 0);
    mr_write_sink(count_per_second(rows), "out", &outlet_functions, &outlet);
    MR_EXPECT_EQ_INT(run(job), MR_OK);
    MR_EXPECT_EQ_INT(inlet.given_up, 0);
    MR_EXPECT_EQ_INT(outlet.rows, 11 * (long)parts);
    expect_clean(&outlet, MR_OK);
    mr_job_destroy(job);
}

/* Each split has a watermark of its own: rows that count for another hold it back for ever. */
MR_TEST(runner, when_a_source_without_end_has_several_partitions_then_windows_fire_while_it_runs)
{
    expect_windows_while_running(1, 1);
    expect_windows_while_running(3, 1);
    expect_windows_while_running(4, 2);
    expect_windows_while_running(2, 5);
}

/* By-split lateness must not depend on who reads what: here one instance reads a late partition
 * after an early one. */
MR_TEST(runner, when_lateness_is_by_split_then_partitions_do_not_judge_each_other)
{
    for (uint32_t workers = 1; workers <= 4; workers += 3) {
        struct outlet outlet = {.rows = 0};
        struct inlet inlet = {.parts = 4, .rows = 500, .step_us = SECOND_US / 10, .silent = -1};
        struct mr_job_options options = {
            .size = sizeof options, .workers = workers, .mode = MR_MODE_STREAMING,
            .late = MR_LATE_BY_SPLIT};
        struct mr_job *job = mr_job_create("test", &options);
        struct mr_summary summary;
        struct mr_stream *rows;

        for (uint32_t p = 0; p < 4; p++) inlet.first_us[p] = (4 - p) * (int64_t)1000 * SECOND_US;
        rows = mr_assign_event_time(read_inlet(job, "in", &inlet, false), mr_col(job, "ts"), 0, 0);
        mr_write_sink(count_per_second(rows), "out", &outlet_functions, &outlet);
        MR_EXPECT_EQ_INT(mr_job_run(job, &summary), MR_OK);
        MR_EXPECT_EQ_UINT(summary.rows_late, 0);
        MR_EXPECT_EQ_INT(outlet.rows, 200);
        mr_job_destroy(job);
    }
}

MR_TEST(runner, when_partitions_do_not_end_then_all_instances_read_some)
{
    struct outlet outlet = {.rows = 0};
    struct inlet inlet = {
        .parts = 4, .rows = 10, .silent = -1, .until = &outlet, .until_rows = 40};
    struct mr_job *job = new_job(4);

    mr_write_sink(read_inlet(job, "in", &inlet, true), "out", &outlet_functions, &outlet);
    MR_EXPECT_EQ_INT(run(job), MR_OK);
    MR_EXPECT_EQ_INT(inlet.given_up, 0);
    for (uint32_t a = 0; a < 4; a++) {
        for (uint32_t b = a + 1; b < 4; b++) {
            MR_EXPECT(!pthread_equal(inlet.thread[a], inlet.thread[b]));
        }
    }
    mr_job_destroy(job);
}

MR_TEST(runner, when_there_are_more_partitions_than_can_be_read_then_that_is_said)
{
    struct outlet outlet = {.rows = 0};
    struct inlet inlet = {.parts = 100, .rows = 1, .silent = -1};
    struct mr_job *job = new_job(1);

    mr_write_sink(read_inlet(job, "in", &inlet, true), "out", &outlet_functions, &outlet);
    MR_EXPECT_EQ_INT(mr_job_run(job, NULL), MR_E_LIMIT);
    MR_EXPECT_CONTAINS(mr_job_error(job), "100 partitions");
    expect_clean(&outlet, MR_E_LIMIT);
    mr_job_destroy(job);
}

/* The idle one has said nothing at all; the other's windows must come all the same. */
MR_TEST(runner, when_one_input_of_a_union_is_idle_then_the_other_goes_on)
{
    for (uint32_t workers = 1; workers <= 3; workers += 2) {
        struct outlet outlet = {.rows = 0};
        struct inlet active = {.parts = 1,
                               .rows = 1001,
                               .step_us = SECOND_US / 100,
                               .silent = -1,
                               .until = &outlet,
                               .until_rows = 10};
        struct inlet idle = {.parts = 1,
                             .rows = 1,
                             .silent = 0,
                             .until = &outlet,
                             .until_rows = 10};
        struct mr_job *job = new_job(workers);
        struct mr_stream *inputs[2];

        inputs[0] = mr_assign_event_time(read_inlet(job, "active", &active, true),
                                         mr_col(job, "ts"), 0, 20000);
        inputs[1] = mr_assign_event_time(read_inlet(job, "idle", &idle, true), mr_col(job, "ts"),
                                         0, 20000);
        mr_write_sink(count_per_second(mr_union(inputs, 2)), "out", &outlet_functions, &outlet);
        MR_EXPECT_EQ_INT(run(job), MR_OK);
        MR_EXPECT_EQ_INT(active.given_up + idle.given_up, 0);
        MR_EXPECT_EQ_INT(outlet.rows, 11);
        mr_job_destroy(job);
    }
}

static enum mr_status drop(void *user, const struct mr_row *row, bool *out_keep)
{
    (void)user;
    (void)row;
    *out_keep = false;
    return MR_OK;
}

/* Its reader is never idle, but nothing of it gets to where the times are given. */
MR_TEST(runner, when_all_rows_of_an_input_are_filtered_away_then_it_is_idle)
{
    struct outlet outlet = {.rows = 0};
    struct inlet active = {.parts = 1,
                           .rows = 1001,
                           .step_us = SECOND_US / 100,
                           .silent = -1,
                           .until = &outlet,
                           .until_rows = 10};
    struct inlet dropped = {.parts = 1, .rows = INT64_MAX / 4, .silent = -1, .at_a_time = 10};
    struct mr_job *job = new_job(2);
    struct cancel cancel = {.job = job, .when = &outlet, .rows = 10};
    struct mr_stream *inputs[2];
    pthread_t thread;

    inputs[0] = mr_assign_event_time(read_inlet(job, "active", &active, true), mr_col(job, "ts"),
                                     0, 20000);
    inputs[1] = mr_filter_rows(read_inlet(job, "dropped", &dropped, true), drop, NULL);
    inputs[1] = mr_assign_event_time(inputs[1], mr_col(job, "ts"), 0, 20000);
    mr_write_sink(count_per_second(mr_union(inputs, 2)), "out", &outlet_functions, &outlet);
    MR_EXPECT_EQ_INT(pthread_create(&thread, NULL, cancel_later, &cancel), 0);
    MR_EXPECT_EQ_INT(run(job), MR_E_CANCELLED);
    MR_EXPECT_EQ_INT(pthread_join(thread, NULL), 0);
    MR_EXPECT(outlet.rows >= 10);
    mr_job_destroy(job);
}

/* ---- branches, sizes ---- */

/* Two branches and an aggregate, one of them slow; instances and workers do not match. */
static void expect_all_arrives(uint32_t workers, uint32_t split_instances,
                               uint32_t aggregate_instances, enum mr_mode mode)
{
    struct outlet all = {.ordered = true, .delay_us = 1000};
    struct outlet main_rows = {.ordered = true};
    struct outlet side = {.ordered = true};
    struct outlet counts = {.rows = 0};
    struct inlet inlet = {
        .parts = 5, .rows = 3000, .step_us = 10000, .silent = -1, .at_a_time = 100};
    struct mr_job_options options = {.size = sizeof options, .workers = workers, .mode = mode};
    struct mr_job *job = mr_job_create("test", &options);
    struct mr_stream *rows = read_inlet(job, "in", &inlet, false);
    struct mr_stream *split, *counted;

    mr_write_sink(rows, "all", &outlet_functions, &all);
    split = mr_set_parallelism(split_aside(rows), split_instances);
    mr_write_sink(split, "main", &outlet_functions, &main_rows);
    mr_write_sink(mr_side_output(split, 1), "side", &outlet_functions, &side);
    rows = mr_assign_event_time(rows, mr_col(job, "ts"), 3600 * (int64_t)SECOND_US, 0);
    counted = mr_set_parallelism(count_per_second(rows), aggregate_instances);
    mr_write_sink(counted, "counts", &outlet_functions, &counts);
    /* Rows that go round between instances have no order. */
    main_rows.ordered = side.ordered = split_instances == workers;
    MR_EXPECT_EQ_INT(run(job), MR_OK);
    MR_EXPECT_EQ_INT(all.rows, 15000);
    MR_EXPECT_EQ_INT(main_rows.rows, 10000);
    MR_EXPECT_EQ_INT(side.rows, 5000);
    MR_EXPECT_EQ_INT(counts.rows, 150);
    MR_EXPECT_EQ_INT(inlet.open, 0);
    expect_clean(&all, MR_OK);
    expect_clean(&main_rows, MR_OK);
    expect_clean(&side, MR_OK);
    expect_clean(&counts, MR_OK);
    mr_job_destroy(job);
}

MR_TEST(runner, when_branches_differ_in_speed_then_every_row_arrives_once_and_in_order)
{
    expect_all_arrives(1, 1, 1, MR_MODE_AUTO);
    expect_all_arrives(4, 4, 4, MR_MODE_AUTO);
    expect_all_arrives(3, 3, 3, MR_MODE_STREAMING);
}

MR_TEST(runner, when_instances_and_workers_differ_in_number_then_every_row_arrives_once)
{
    expect_all_arrives(2, 5, 3, MR_MODE_AUTO);
    expect_all_arrives(5, 2, 1, MR_MODE_STREAMING);
    expect_all_arrives(1, 7, 4, MR_MODE_STREAMING);
}

/* ---- cancelling and failing ---- */

/* Otherwise a job that is quicker than the first look would make its output visible. */
MR_TEST(runner, when_a_job_was_cancelled_before_it_runs_then_nothing_is_visible)
{
    for (int i = 0; i < 50; i++) {
        struct outlet outlet = {.rows = 0};
        struct inlet inlet = {.parts = 1, .rows = 3, .silent = -1};
        struct mr_job *job = new_job(2);

        mr_write_sink(read_inlet(job, "in", &inlet, false), "out", &outlet_functions, &outlet);
        mr_job_cancel(job);
        MR_EXPECT_EQ_INT(mr_job_run(job, NULL), MR_E_CANCELLED);
        expect_clean(&outlet, MR_E_CANCELLED);
        mr_job_destroy(job);
    }
}

/* Wherever rows are at that moment, their memory comes back: destroy would stop the process. */
MR_TEST(runner, when_another_thread_cancels_at_any_moment_then_nothing_is_left_or_visible)
{
    for (uint32_t i = 0; i < 12; i++) {
        struct outlet slow = {.delay_us = 500}, counts = {.rows = 0};
        struct inlet inlet = {
            .parts = 3, .rows = INT64_MAX / 4, .step_us = 1000, .silent = -1, .at_a_time = 500};
        struct mr_job *job = new_job(1 + i % 4);
        struct cancel cancel = {.job = job, .after_us = i * i * 700};
        struct mr_stream *rows = read_inlet(job, "in", &inlet, true);
        pthread_t thread;

        mr_write_sink(rows, "slow", &outlet_functions, &slow);
        rows = mr_assign_event_time(rows, mr_col(job, "ts"), 0, 0);
        mr_write_sink(count_per_second(rows), "counts", &outlet_functions, &counts);
        MR_EXPECT_EQ_INT(pthread_create(&thread, NULL, cancel_later, &cancel), 0);
        MR_EXPECT_EQ_INT(run(job), MR_E_CANCELLED);
        MR_EXPECT_EQ_INT(pthread_join(thread, NULL), 0);
        MR_EXPECT_EQ_INT(inlet.open, 0);
        expect_clean(&slow, MR_E_CANCELLED);
        expect_clean(&counts, MR_E_CANCELLED);
        mr_job_destroy(job);
    }
}

static struct mr_job *signalled_job;

static void cancel_on_signal(int number)
{
    (void)number;
    mr_job_cancel(signalled_job);
}

MR_TEST(runner, when_a_signal_handler_cancels_a_silent_job_then_it_ends)
{
    struct outlet outlet = {.rows = 0};
    struct inlet inlet = {.parts = 2, .rows = 1, .silent = -1, .until = &outlet, .until_rows = 9};
    struct itimerval timer = {.it_value = {.tv_usec = 30000}};
    struct sigaction action = {.sa_handler = cancel_on_signal};
    struct sigaction before;

    signalled_job = new_job(2);
    mr_write_sink(read_inlet(signalled_job, "in", &inlet, true), "out", &outlet_functions, &outlet);
    MR_EXPECT_EQ_INT(sigaction(SIGALRM, &action, &before), 0);
    MR_EXPECT_EQ_INT(setitimer(ITIMER_REAL, &timer, NULL), 0);
    MR_EXPECT_EQ_INT(run(signalled_job), MR_E_CANCELLED);
    MR_EXPECT_EQ_INT(sigaction(SIGALRM, &before, NULL), 0);
    MR_EXPECT_EQ_INT(inlet.given_up, 0);
    expect_clean(&outlet, MR_E_CANCELLED);
    mr_job_destroy(signalled_job);
}

MR_TEST(runner, when_a_sink_fails_then_the_others_show_nothing)
{
    struct outlet good = {.rows = 0}, bad = {.fail_after = 5000};
    struct inlet inlet = {.parts = 4, .rows = 5000, .silent = -1, .at_a_time = 200};
    struct mr_job *job = new_job(3);
    struct mr_stream *rows = read_inlet(job, "in", &inlet, false);

    mr_write_sink(rows, "good", &outlet_functions, &good);
    mr_write_sink(rows, "bad", &outlet_functions, &bad);
    MR_EXPECT_EQ_INT(mr_job_run(job, NULL), MR_E_USER_FUNCTION);
    MR_EXPECT_CONTAINS(mr_job_error(job), "bad");
    MR_EXPECT_EQ_INT(inlet.open, 0);
    expect_clean(&good, MR_E_USER_FUNCTION);
    expect_clean(&bad, MR_E_USER_FUNCTION);
    mr_job_destroy(job);
}

/* ---- memory ---- */

/* A text of up to 3000 bytes per row: state grows until the memory is gone. */
static enum mr_status long_text(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    static const char zeros[3000];
    int64_t n = mr_row_int64(row, 0);
    char text[3000];

    (void)user;
    memcpy(text, zeros, sizeof text);
    memcpy(text, &n, sizeof n);
    mr_emit_bytes(out, 0, text, (size_t)(20 + n * 7919 % 2900));
    return mr_emit_row(out);
}

/* Whoever finds the memory gone, the job must end: an exchange waits for room, and when state has
 * taken all there is, nobody makes any. */
MR_TEST(runner, when_memory_is_used_up_then_the_job_ends_and_says_so)
{
    static const char *const keys[] = {"text"};
    struct mr_field text = {.name = "text", .type = MR_BINARY};
    struct mr_function_options function = {
        .size = sizeof function, .id = "long", .fields = &text, .field_count = 1};
    struct mr_generate_options generate = {.size = sizeof generate, .rows = 100000};
    struct mr_aggregate count = {.name = "count", .function = "count"};

    for (size_t mib = 5; mib <= 10; mib++) {
        struct mr_job_options options = {
            .size = sizeof options, .workers = 4, .memory_bytes = mib * 1024 * 1024};
        struct mr_job *job = mr_job_create("test", &options);
        struct mr_stream *rows = mr_map_rows(mr_generate(job, &generate), long_text, NULL,
                                             &function);
        struct itimerval timer = {.it_value = {.tv_sec = PATIENCE_S}};
        struct itimerval off = {.it_value = {.tv_sec = 0}};
        struct sigaction action = {.sa_handler = cancel_on_signal};
        struct sigaction before;

        signalled_job = job;
        MR_EXPECT_EQ_INT(sigaction(SIGALRM, &action, &before), 0);
        MR_EXPECT_EQ_INT(setitimer(ITIMER_REAL, &timer, NULL), 0);
        mr_discard(mr_aggregate(mr_key_by_columns(rows, keys, 1), &count, 1));
        MR_EXPECT_EQ_INT(mr_job_run(job, NULL), MR_E_NOMEM);
        MR_EXPECT_CONTAINS(mr_job_error(job), "memory");
        MR_EXPECT_EQ_INT(setitimer(ITIMER_REAL, &off, NULL), 0);
        MR_EXPECT_EQ_INT(sigaction(SIGALRM, &before, NULL), 0);
        mr_job_destroy(job);
    }
}
