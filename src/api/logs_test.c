/* logs_test.c - jobs that write topics and jobs that read them, as users write them. */
#include "mr_test.h"

#include <millrace/millrace.h>
#include <stdio.h>
#include <string.h>

#define ROWS 5000u

static char topic[600];
static char state[600];

static const char *url(const char *options)
{
    static char text[700];

    snprintf(topic, sizeof topic, "%s/logs/numbers", mr_test_dir());
    snprintf(state, sizeof state, "%s/state", mr_test_dir());
    snprintf(text, sizeof text, "log://%s%s", topic, options);
    return text;
}

static struct mr_job *begin(bool durable)
{
    const struct mr_job_options options = {.size = sizeof options,
                                           .workers = 2,
                                           .mode = MR_MODE_STREAMING,
                                           .memory_bytes = (size_t)256 << 20,
                                           .state_dir = durable ? state : NULL,
                                           .epoch_us = 5 * MR_MILLISECOND};

    return mr_job_create("numbers", &options);
}

static void expect_run(struct mr_job *job)
{
    MR_EXPECT_OK(mr_job_run(job, NULL), NULL);
    MR_EXPECT_EQ_STR(mr_job_error(job), "");
    mr_job_destroy(job);
}

static void write_numbers(const char *to, bool durable)
{
    struct mr_job *job = begin(durable);
    struct mr_stream *in =
        mr_generate(job, &(struct mr_generate_options){.size = sizeof(struct mr_generate_options),
                                                       .rows = ROWS,
                                                       .keys = 10});

    mr_write(in, &(struct mr_write_options){.size = sizeof(struct mr_write_options), .path = to});
    expect_run(job);
}

struct tally {
    uint64_t rows;
    uint64_t sum;
    uint64_t times;
};
static _Atomic uint64_t seen_rows, seen_sum, seen_times; /* by both workers */

static enum mr_status count_row(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    (void)user;
    (void)out;
    seen_rows++;
    seen_sum += (uint64_t)mr_row_int64(row, 0);
    seen_times += (uint64_t)mr_row_time(row);
    return MR_OK;
}

static const struct mr_field number = {.name = "n", .type = MR_INT64};

static struct tally read_numbers(struct mr_job *job, struct mr_stream *in)
{
    const struct mr_function_options options = {
        .size = sizeof options, .id = "count", .fields = &number, .field_count = 1};

    seen_rows = seen_sum = seen_times = 0;
    mr_discard(mr_map_rows(in, count_row, NULL, &options));
    expect_run(job);
    return (struct tally){seen_rows, seen_sum, seen_times};
}

static void expect_numbers(struct tally tally)
{
    MR_EXPECT_EQ_UINT(tally.rows, ROWS);
    MR_EXPECT_EQ_UINT(tally.sum, (uint64_t)ROWS * (ROWS - 1) / 2);
}

MR_TEST(logs, when_a_job_with_epochs_has_written_then_another_reads_each_row_once)
{
    struct mr_job *job;

    write_numbers(url("?partitions=4"), true);
    job = begin(false);
    expect_numbers(read_numbers(
        job, mr_read_log(job, &(struct mr_read_log_options){
                                  .size = sizeof(struct mr_read_log_options), .path = topic})));
}

MR_TEST(logs, when_a_job_without_epochs_has_written_then_event_times_come_along)
{
    struct tally tally;
    struct mr_job *job;

    write_numbers(url(""), false);
    job = begin(false);
    tally = read_numbers(job, mr_read_log(job, &(struct mr_read_log_options){
                                                   .size = sizeof(struct mr_read_log_options),
                                                   .path = topic,
                                                   .event_time = true}));
    expect_numbers(tally);
    MR_EXPECT_EQ_UINT(tally.times, tally.sum * 1000); /* a millisecond per row */
}

MR_TEST(logs, when_a_topic_is_given_as_csv_then_its_columns_are_found_by_name)
{
    static const struct mr_field fields[] = {{.name = "n", .type = MR_INT64},
                                             {.name = "key", .type = MR_INT64}};
    struct mr_job *job;

    write_numbers(url(""), false);
    job = begin(false);
    expect_numbers(read_numbers(
        job, mr_read_csv(job, &(struct mr_read_csv_options){.size = sizeof(struct mr_read_csv_options),
                                                            .path = url(""),
                                                            .fields = fields,
                                                            .field_count = 2})));
}

static void expect_refused(const struct mr_field *field, const char *part)
{
    struct mr_job *job = begin(false);

    mr_read_csv(job, &(struct mr_read_csv_options){.size = sizeof(struct mr_read_csv_options),
                                                   .path = url(""),
                                                   .fields = field,
                                                   .field_count = 1});
    MR_EXPECT_CONTAINS(mr_job_error(job), part);
    mr_job_destroy(job);
}

MR_TEST(logs, when_columns_are_missing_or_of_another_type_then_they_are_named)
{
    expect_refused(&number, "there is no topic");
    write_numbers(url(""), false);
    expect_refused(&(struct mr_field){.name = "kee", .type = MR_INT64}, "did you mean 'key'");
    expect_refused(&(struct mr_field){.name = "key", .type = MR_UTF8}, "'key'");
}

MR_TEST(logs, when_options_of_a_path_are_wrong_then_they_are_named)
{
    struct mr_job *job = begin(false);

    mr_write(mr_generate(job, NULL), &(struct mr_write_options){.size = sizeof(struct mr_write_options),
                                                                .path = "log://x/y?partitons=3"});
    MR_EXPECT_CONTAINS(mr_job_error(job), "'partitons=3' is not understood");
    mr_job_destroy(job);
}
