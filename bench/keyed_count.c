/* keyed_count.c - rows out of nothing, counted and summed per key: what epochs cost is measured on it. */
#include <millrace/millrace.h>

static void build(struct mr_job *job, const struct mr_arguments *arguments)
{
    const struct mr_generate_options generate = {
        .size = sizeof generate,
        .rows = (uint64_t)mr_argument_number(arguments, "rows"),
        .keys = (uint64_t)mr_argument_number(arguments, "keys"),
        .step_us = 1,
    };
    const struct mr_aggregate aggregates[] = {
        {.name = "count", .function = "count"},
        {.name = "sum", .function = "sum", .argument = mr_col(job, "value")},
    };
    const char *const keys[] = {"key"};

    mr_discard(mr_aggregate(mr_key_by_columns(mr_generate(job, &generate), keys, 1), aggregates, 2));
}

int main(int argc, char **argv)
{
    static const struct mr_command_option options[] = {
        {.name = "rows", .kind = MR_OPTION_NUMBER, .argument = "N", .help = "how many rows",
         .default_text = "40000000"},
        {.name = "keys", .kind = MR_OPTION_NUMBER, .argument = "N", .help = "how many keys",
         .default_text = "10000"},
    };
    const struct mr_command command = {
        .size = sizeof command,
        .name = "keyed_count",
        .summary = "Counts and sums made-up rows per key.",
        .example = "keyed_count --keys 1000000 --state-dir state --epoch 100ms",
        .options = options,
        .option_count = 2,
    };

    return mr_command_run(&command, build, argc, argv);
}
