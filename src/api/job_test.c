/* job_test.c - the public interface: wrong use is refused in words, no allocation is taken for granted. */
#include "job_internal.h"

#include "mr_test.h"
#include "../../sim/sim.h"
#include <stdio.h>
#include <stdlib.h>



static const struct mr_field event_fields[] = {
    {.name = "ts", .type = MR_TIMESTAMP_LTZ},
    {.name = "key", .type = MR_UTF8},
    {.name = "value", .type = MR_INT64},
};

/* A file of a few events in the test's folder. */
static const char *events_file(void)
{
    static char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/events.csv", mr_test_dir());
    file = fopen(path, "w");
    fputs("ts,key,value\n", file);
    for (int i = 0; i < 60; i++) {
        fprintf(file, "2020-01-01T00:00:%02dZ,key number %d of some length,%d\n", i, i % 7, i * i);
    }
    fclose(file);
    return path;
}

static struct mr_stream *read_events(struct mr_job *job, const char *path)
{
    return mr_read_csv(job, &(struct mr_read_csv_options){.size = sizeof(struct mr_read_csv_options),
                                                          .path = path,
                                                          .fields = event_fields,
                                                          .field_count = 3});
}

/* Ends a job that must have failed while it was built. */
static void expect_refused(struct mr_job *job, enum mr_status status, const char *part)
{
    MR_EXPECT_EQ_INT(mr_job_run(job, NULL), status);
    MR_EXPECT_CONTAINS(mr_job_error(job), part);
    mr_job_destroy(job);
}

MR_TEST(job, when_a_column_is_mistyped_then_the_near_one_is_named)
{
    struct mr_job *job = mr_job_create("test", NULL);
    struct mr_stream *in = read_events(job, "x.csv");

    in = mr_filter(in, mr_call2(job, ">", mr_col(job, "valeu"), mr_int(job, 1)));
    MR_EXPECT(in == NULL);
    mr_write(in, NULL);
    MR_EXPECT_CONTAINS(mr_job_error(job), "valeu");
    expect_refused(job, MR_E_SCHEMA, "value");
}

MR_TEST(job, when_a_function_does_not_exist_then_it_is_named)
{
    struct mr_job *job = mr_job_create("test", NULL);

    MR_EXPECT(mr_call1(job, "sqroot", mr_int(job, 1)) == NULL);
    expect_refused(job, MR_E_INVALID, "sqroot");
}

MR_TEST(job, when_two_operators_share_an_id_then_the_job_is_refused)
{
    struct mr_job *job = mr_job_create("test", NULL);
    struct mr_stream *in = read_events(job, "x.csv");
    struct mr_expr *yes = mr_bool(job, true);

    in = mr_set_id(mr_filter(in, yes), "same");
    in = mr_set_id(mr_filter(in, yes), "same");
    mr_discard(in);
    expect_refused(job, MR_E_PIPELINE, "same");
}

MR_TEST(job, when_union_inputs_differ_then_both_schemas_are_shown)
{
    struct mr_job *job = mr_job_create("test", NULL);
    struct mr_stream *in = read_events(job, "x.csv");
    struct mr_stream *parts[] = {
        in, mr_project(in, (struct mr_named[]){{"value", mr_col(job, "value")}}, 1)};

    mr_discard(mr_union(parts, 2));
    expect_refused(job, MR_E_SCHEMA, "key");
}

MR_TEST(job, when_a_stream_leads_nowhere_then_it_is_named)
{
    struct mr_job *job = mr_job_create("test", NULL);
    struct mr_stream *in = read_events(job, "x.csv");

    mr_discard(in);
    mr_set_id(mr_filter(in, mr_bool(job, true)), "forgotten");
    expect_refused(job, MR_E_PIPELINE, "forgotten");
}

MR_TEST(job, when_windows_have_no_event_time_then_the_way_out_is_named)
{
    struct mr_job *job = mr_job_create("test", NULL);
    struct mr_stream *in = mr_window_tumbling(read_events(job, "x.csv"), MR_HOUR);

    mr_discard(mr_aggregate(in, &(struct mr_aggregate){.name = "n", .function = "count"}, 1));
    expect_refused(job, MR_E_PIPELINE, "event time");
}

MR_TEST(job, when_a_file_is_missing_then_it_is_named)
{
    struct mr_job *job = mr_job_create("test", NULL);

    mr_discard(read_events(job, "/does/not/exist.csv"));
    expect_refused(job, MR_E_NOT_FOUND, "/does/not/exist.csv");
}

MR_TEST(job, when_a_job_has_run_then_it_does_not_run_again)
{
    struct mr_job *job = mr_job_create("test", NULL);

    mr_discard(read_events(job, events_file()));
    MR_EXPECT_OK(mr_job_run(job, NULL), NULL);
    expect_refused(job, MR_E_INVALID, "once");
}

MR_TEST(job, when_a_job_is_cancelled_before_it_runs_then_it_ends_at_once)
{
    struct mr_job *job = mr_job_create("test", NULL);
    struct mr_summary summary;

    mr_discard(mr_generate(job, NULL)); /* without end */
    mr_job_cancel(job);
    MR_EXPECT_EQ_INT(mr_job_run(job, &summary), MR_E_CANCELLED);
    MR_EXPECT(summary.cancelled);
    mr_job_destroy(job);
}

MR_TEST(job, when_input_never_ends_then_batch_mode_and_sorting_are_refused)
{
    struct mr_job_options options = {.size = sizeof options, .mode = MR_MODE_BATCH};
    struct mr_job *job = mr_job_create("test", &options);

    mr_discard(mr_generate(job, NULL));
    expect_refused(job, MR_E_PIPELINE, "batch");
    job = mr_job_create("test", NULL);
    mr_discard(mr_sort(mr_generate(job, NULL), &(struct mr_sort_key){mr_col(job, "n"), false}, 1));
    expect_refused(job, MR_E_PIPELINE, "does not end");
}

MR_TEST(job, when_the_memory_limit_is_too_small_then_the_message_says_what_to_do)
{
    struct mr_job_options options = {.size = sizeof options, .memory_bytes = 24 << 20, .workers = 2};
    struct mr_job *job = mr_job_create("test", &options);
    struct mr_stream *in = mr_generate(
        job, &(struct mr_generate_options){.size = sizeof(struct mr_generate_options),
                                           .rows = 3000000,
                                           .keys = 3000000});

    in = mr_key_by_columns(in, (const char *[]){"n"}, 1);
    mr_discard(mr_aggregate(in, &(struct mr_aggregate){.name = "n_rows", .function = "count"}, 1));
    MR_EXPECT_EQ_INT(mr_job_run(job, NULL), MR_E_NOMEM);
    MR_EXPECT_CONTAINS(mr_job_error(job), "(in struct mr_job_options: ");
    MR_EXPECT_CONTAINS(mr_job_error(job), "--memory is .memory_bytes");
    expect_refused(job, MR_E_NOMEM, "--memory");
}

MR_TEST(job, when_memory_is_far_too_small_then_the_first_message_says_what_is_enough)
{
    struct mr_job_options options = {.size = sizeof options, .memory_bytes = 1 << 20, .workers = 4};

    for (int run = 0; run < 2; run++) {
        struct mr_job *job = mr_job_create("test", &options);
        struct mr_stream *in = read_events(job, events_file());
        const char *least;

        in = mr_aggregate(mr_key_by_columns(in, (const char *[]){"key"}, 1),
                          &(struct mr_aggregate){.name = "rows", .function = "count"}, 1);
        mr_discard(in);
        if (run == 1) {
            MR_EXPECT_OK(mr_job_run(job, NULL), &job->error);
        } else {
            MR_EXPECT_EQ_INT(mr_job_run(job, NULL), MR_E_NOMEM);
            least = strstr(mr_job_error(job), "--memory ");
            MR_EXPECT(least != NULL);
            options.memory_bytes = strtoul(least + 9, NULL, 10) << 20;
            MR_EXPECT(options.memory_bytes > 0);
        }
        mr_job_destroy(job);
    }
}

/* ---- every allocation may fail ---- */

static enum mr_status keep_even(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    (void)user;
    if (mr_row_int64(row, 2) % 2 != 0) return MR_OK;
    struct mr_bytes key = mr_row_bytes(row, 1);
    mr_emit_int64(out, 0, mr_row_int64(row, 0));
    mr_emit_bytes(out, 1, key.data, key.size_bytes);
    mr_emit_int64(out, 2, mr_row_int64(row, 2));
    return mr_emit_row(out);
}

/* One of everything: files, functions, windows, sessions, sort, two sinks. */
static void build_all(struct mr_job *job, const char *input, const char *output)
{
    struct mr_stream *in = read_events(job, input);
    struct mr_stream *even;
    struct mr_stream *hourly;
    struct mr_stream *sessions;
    struct mr_expr *value = mr_col(job, "value");
    struct mr_aggregate aggregates[] = {
        {.name = "rows", .function = "count"},
        {.name = "sum", .function = "sum", .argument = value},
        {.name = "last_key", .function = "max", .argument = mr_col(job, "key")},
    };

    in = mr_assign_event_time(in, mr_col(job, "ts"), 0, 0);
    in = mr_filter(in, mr_call2(job, ">=", value, mr_int(job, 0)));
    even = mr_map_rows(in, keep_even, NULL, NULL);
    hourly = mr_key_by_columns(even, (const char *[]){"key"}, 1);
    hourly = mr_aggregate(mr_window_tumbling(hourly, 20 * MR_SECOND), aggregates, 3);
    mr_write(mr_sort(hourly, &(struct mr_sort_key){mr_col(job, "rows"), true}, 1),
             &(struct mr_write_options){.size = sizeof(struct mr_write_options), .path = output});
    sessions = mr_key_by_columns(in, (const char *[]){"key"}, 1);
    mr_discard(mr_aggregate(mr_window_session(sessions, 2 * MR_SECOND, true), aggregates, 2));
}

static uint64_t count_lines(const char *path)
{
    FILE *file = fopen(path, "r");
    uint64_t lines = 0;
    int c;

    if (file == NULL) return 0;
    while ((c = getc(file)) != EOF) lines += c == '\n';
    fclose(file);
    return lines;
}

/* Runs the job with its n-th allocation failing. True: it got through untouched. */
static bool run_with_failure(const char *input, const char *output, enum mr_mode mode, uint64_t nth)
{
    struct mr_job_options options = {
        .size = sizeof options, .mode = mode, .workers = 2, .memory_bytes = (size_t)256 << 20};
    struct mr_job *job = mr_job_create("torture", &options);
    struct mri_job_hooks hooks = {.drive = mr_sim_drive};
    struct mr_sim sim;
    struct mr_heap *heap = job->heap;
    bool untouched;

    mr_sim_init(&sim, 5, MR_SIM_CUT_FULL, &job->port);
    hooks.port = &sim.port;
    hooks.self = &sim;
    job->hooks = &hooks;
    heap->fail_at = heap->alloc_count + nth;
    build_all(job, input, output);
    mr_job_run(job, NULL);
    heap->fail_at = 0;
    untouched = heap->failed_count == 0;
    if (untouched) {
        MR_EXPECT_EQ_STR(mr_job_error(job), "");
        MR_EXPECT_EQ_UINT(count_lines(output), 1 + 21);
    } else if (mr_job_status(job) != MR_OK) {
        if (mr_job_status(job) != MR_E_NOMEM) {
            MR_FAIL("allocation %llu failed, the job says: %s", (unsigned long long)nth,
                    mr_job_error(job));
        }
        MR_EXPECT_EQ_UINT(count_lines(output), 0); /* nothing half-written is visible */
    } else {
        MR_EXPECT_EQ_UINT(count_lines(output), 1 + 21); /* it could do without */
    }
    remove(output);
    mr_job_destroy(job); /* asserts that all memory came back */
    return untouched;
}

static void torture(enum mr_mode mode)
{
    const char *input = events_file();
    char output[600];
    uint64_t nth = 1;

    snprintf(output, sizeof output, "%s/out.csv", mr_test_dir());
    while (!run_with_failure(input, output, mode, nth)) nth++;
    MR_EXPECT(nth > 200); /* or the failing did not reach the library */
}

MR_TEST(job, when_any_allocation_of_a_batch_job_fails_then_it_ends_cleanly)
{
    torture(MR_MODE_BATCH);
}

MR_TEST(job, when_any_allocation_of_a_streaming_job_fails_then_it_ends_cleanly)
{
    torture(MR_MODE_STREAMING);
}
