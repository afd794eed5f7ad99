/* pipelines.c - the registered pipelines; what each must give is in golden/. */
#include "pipelines.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))
#define COLUMNS(stream, ...)                                                       \
    mr_project((stream), (const struct mr_named[]){__VA_ARGS__},                   \
               COUNT(((const struct mr_named[]){__VA_ARGS__})))
#define AGGREGATE(stream, ...)                                                     \
    mr_aggregate((stream), (const struct mr_aggregate[]){__VA_ARGS__},             \
                 COUNT(((const struct mr_aggregate[]){__VA_ARGS__})))
#define KEYS(stream, ...)                                                          \
    mr_key_by_columns((stream), (const char *const[]){__VA_ARGS__},                \
                      COUNT(((const char *const[]){__VA_ARGS__})))

/* ---- inputs ---- */

static struct mr_stream *read_flights(struct mr_job *job)
{
    static const struct mr_field fields[] = {
        {.name = "time_hour", .type = MR_TIMESTAMP_LTZ}, {.name = "origin", .type = MR_UTF8},
        {.name = "tailnum", .type = MR_UTF8},            {.name = "dep_time", .type = MR_INT32},
        {.name = "dep_delay", .type = MR_INT64},         {.name = "distance", .type = MR_INT64},
        {.name = "carrier", .type = MR_UTF8},
    };
    static const char *const nulls[] = {"NA"};

    return mr_read_csv(job, &(struct mr_read_csv_options){.size = sizeof(struct mr_read_csv_options),
                                                          .path = pipeline_data("flights.csv"),
                                                          .fields = fields,
                                                          .field_count = COUNT(fields),
                                                          .null_literals = nulls,
                                                          .null_literal_count = 1});
}

static struct mr_stream *read_events_delayed(struct mr_job *job, int64_t delay_us)
{
    static const struct mr_field fields[] = {
        {.name = "n", .type = MR_INT64},
        {.name = "ts", .type = MR_TIMESTAMP_LTZ},
        {.name = "key", .type = MR_UTF8},
        {.name = "value", .type = MR_INT32},
        {.name = "price", .type = MR_DECIMAL, .precision = 12, .scale = 2},
        {.name = "ratio", .type = MR_FLOAT64},
    };
    struct mr_stream *rows = mr_read_csv(
        job, &(struct mr_read_csv_options){.size = sizeof(struct mr_read_csv_options),
                                           .path = pipeline_data("events.csv"),
                                           .fields = fields,
                                           .field_count = COUNT(fields)});

    return mr_assign_event_time(rows, mr_col(job, "ts"), delay_us, 0);
}

/* Events are at most 3 s out of order: with 4 s nothing is late. */
static struct mr_stream *read_events(struct mr_job *job)
{
    return read_events_delayed(job, 4 * MR_SECOND);
}

/* ---- functions in C ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static enum mr_status split_words(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_bytes line = mr_row_bytes(row, 0);
    size_t at = 0;

    (void)user;
    while (at < line.size_bytes) {
        size_t first;

        while (at < line.size_bytes && is_space(line.data[at])) at++;
        first = at;
        while (at < line.size_bytes && !is_space(line.data[at])) at++;
        if (at == first) break;
        mr_emit_bytes(out, 0, line.data + first, at - first);
        enum mr_status st = mr_emit_row(out);
        if (st != MR_OK) return st;
    }
    return MR_OK;
}

static enum mr_status is_ewr(void *user, const struct mr_row *row, bool *out_keep)
{
    struct mr_bytes origin = mr_row_bytes(row, 1);

    (void)user;
    *out_keep = origin.size_bytes == 3 && memcmp(origin.data, "EWR", 3) == 0;
    return MR_OK;
}

/* Main output: every row's parity. Side output 1: two rows for every tenth. */
static enum mr_status parities(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    int64_t n = mr_row_int64(row, 0);
    struct mr_emitter *tenths = mr_emitter_side(out, 1);

    (void)user;
    for (int i = 0; n % 10 == 0 && i < 2; i++) {
        mr_emit_bytes(tenths, 0, "tenth", 5);
        enum mr_status st = mr_emit_row(tenths);
        if (st != MR_OK) return st;
    }
    mr_emit_bytes(out, 0, n % 2 != 0 ? "odd" : "even", n % 2 != 0 ? 3 : 4);
    return mr_emit_row(out);
}

static void mix_create(void *user, void *state)
{
    (void)user;
    memset(state, 0, 8);
}

static enum mr_status mix_add(void *user, void *state, const struct mr_row *row)
{
    int64_t mix;

    (void)user;
    memcpy(&mix, state, sizeof mix);
    mix ^= mr_row_int64(row, 0) * 2654435761;
    memcpy(state, &mix, sizeof mix);
    return MR_OK;
}

static enum mr_status mix_merge(void *user, void *state, const void *other)
{
    int64_t mix, theirs;

    (void)user;
    memcpy(&mix, state, sizeof mix);
    memcpy(&theirs, other, sizeof theirs);
    mix ^= theirs;
    memcpy(state, &mix, sizeof mix);
    return MR_OK;
}

static enum mr_status mix_result(void *user, const void *state, struct mr_emitter *out)
{
    int64_t mix;

    (void)user;
    memcpy(&mix, state, sizeof mix);
    mr_emit_int64(out, 0, mix);
    return MR_OK;
}

static const struct mr_aggregate_functions mix = {.size = sizeof mix,
                                                  .state_bytes = 8,
                                                  .create = mix_create,
                                                  .add = mix_add,
                                                  .merge = mix_merge,
                                                  .result = mix_result};

/* ---- pipelines ---- */

static void words(struct mr_job *job)
{
    static const struct mr_field word[] = {{.name = "word", .type = MR_UTF8}};
    struct mr_stream *lines = mr_read_text(
        job, &(struct mr_read_text_options){.size = sizeof(struct mr_read_text_options),
                                            .path = pipeline_data("words.txt")});
    struct mr_stream *each = mr_map_rows(
        lines, split_words, NULL,
        &(struct mr_function_options){
            .size = sizeof(struct mr_function_options), .id = "split", .fields = word, .field_count = 1});

    collect(AGGREGATE(KEYS(each, "word"), {.name = "count", .function = "count"}));
}

static void flights_hourly(struct mr_job *job)
{
    struct mr_stream *in = read_flights(job);
    struct mr_expr *gone = mr_call1(job, "is null", mr_col(job, "dep_time"));
    struct mr_expr *cancelled =
        mr_case(job, &gone, (struct mr_expr *[]){mr_int(job, 1)}, 1, mr_int(job, 0));

    in = mr_assign_event_time(in, mr_col(job, "time_hour"), 24 * MR_HOUR, 0);
    in = mr_window_tumbling(KEYS(in, "origin"), MR_HOUR);
    collect(AGGREGATE(in, {.name = "flights", .function = "count"},
                      {.name = "cancelled", .function = "sum", .argument = cancelled},
                      {.name = "mean", .function = "avg", .argument = mr_col(job, "dep_delay")},
                      {.name = "max", .function = "max", .argument = mr_col(job, "dep_delay")}));
}

static void filter_project(struct mr_job *job)
{
    struct mr_stream *in = read_flights(job);
    struct mr_expr *delay = mr_col(job, "dep_delay");
    struct mr_expr *late = mr_call2(job, ">", delay, mr_int(job, 30));

    in = mr_filter(in, mr_call2(job, "and",
                                mr_call2(job, ">", mr_col(job, "distance"), mr_int(job, 700)),
                                mr_call2(job, "<>", mr_col(job, "carrier"), mr_text(job, "UA"))));
    in = mr_filter(in, mr_call2(job, "or", mr_call1(job, "is null", delay),
                                mr_call2(job, "<", mr_call2(job, "*", delay, mr_int(job, 2)),
                                         mr_int(job, 100))));
    collect(COLUMNS(
        in, {"tailnum", mr_col(job, "tailnum")},
        {"km", mr_call2(job, "/", mr_call2(job, "*", mr_col(job, "distance"), mr_int(job, 1609)),
                        mr_int(job, 1000))},
        {"class", mr_case(job,
                          (struct mr_expr *[]){mr_call1(job, "is null", delay),
                                               mr_call2(job, "<", delay, mr_int(job, 0)), late},
                          (struct mr_expr *[]){mr_text(job, "none"), mr_text(job, "early"),
                                               mr_text(job, "late")},
                          3, mr_text(job, "fine"))},
        {"late", late}));
}

static void union_counts(struct mr_job *job)
{
    struct mr_stream *flights = read_flights(job);
    struct mr_stream *parts[] = {
        mr_filter_rows(flights, is_ewr, NULL),
        mr_filter(flights, mr_call2(job, ">", mr_col(job, "distance"), mr_int(job, 1000))),
    };

    collect(AGGREGATE(KEYS(mr_union(parts, 2), "origin"), {.name = "rows", .function = "count"}));
}

static void hopping(struct mr_job *job)
{
    struct mr_expr *value = mr_col(job, "value");
    struct mr_stream *in = mr_window_hopping(KEYS(read_events(job), "key"), 10 * MR_SECOND,
                                             4 * MR_SECOND);

    collect(AGGREGATE(in, {.name = "rows", .function = "count"},
                      {.name = "values", .function = "count", .argument = value},
                      {.name = "sum", .function = "sum", .argument = value},
                      {.name = "min", .function = "min", .argument = value},
                      {.name = "max", .function = "max", .argument = value},
                      {.name = "avg", .function = "avg", .argument = value}));
}

static void hopping_gaps(struct mr_job *job)
{
    struct mr_stream *in = mr_window_hopping(read_events(job), 4 * MR_SECOND, 9 * MR_SECOND);

    collect(AGGREGATE(in, {.name = "rows", .function = "count"}));
}

static void sessions(struct mr_job *job)
{
    struct mr_stream *in =
        mr_window_session(KEYS(read_events(job), "key"), 3 * MR_SECOND / 4, false);

    collect(AGGREGATE(in, {.name = "rows", .function = "count"},
                      {.name = "sum", .function = "sum", .argument = mr_col(job, "value")}));
}

static struct mr_stream *totals(struct mr_job *job, struct mr_stream *in)
{
    struct mr_expr *value = mr_col(job, "value");

    return AGGREGATE(in, {.name = "rows", .function = "count"},
                     {.name = "sum", .function = "sum", .argument = value},
                     {.name = "avg", .function = "avg", .argument = value},
                     {.name = "least", .function = "min", .argument = mr_col(job, "key")});
}

static void global_all(struct mr_job *job)
{
    struct mr_expr *value = mr_col(job, "value");

    collect(AGGREGATE(read_events(job), {.name = "rows", .function = "count"},
                      {.name = "sum", .function = "sum", .argument = value},
                      {.name = "avg", .function = "avg", .argument = value},
                      {.name = "least", .function = "min", .argument = mr_col(job, "key")},
                      {.name = "greatest", .function = "max", .argument = mr_col(job, "key")},
                      {.name = "ratio", .function = "sum", .argument = mr_col(job, "ratio")}));
}

static void global_empty(struct mr_job *job)
{
    struct mr_expr *never = mr_call2(job, "<", mr_col(job, "n"), mr_int(job, 0));

    collect(totals(job, mr_filter(read_events(job), never)));
}

static void top(struct mr_job *job)
{
    struct mr_stream *in = mr_filter(read_events(job),
                                     mr_call1(job, "is not null", mr_col(job, "value")));

    in = COLUMNS(in, {"value", mr_col(job, "value")}, {"n", mr_col(job, "n")});
    collect(mr_top(in,
                   (struct mr_sort_key[]){{mr_col(job, "value"), true}, {mr_col(job, "n"), false}},
                   2, 25));
}

static void sort_nulls(struct mr_job *job)
{
    struct mr_stream *in = COLUMNS(read_flights(job), {"dep_delay", mr_col(job, "dep_delay")},
                                   {"tailnum", mr_col(job, "tailnum")},
                                   {"distance", mr_col(job, "distance")});

    collect(mr_sort(in,
                    (struct mr_sort_key[]){{mr_col(job, "dep_delay"), false},
                                           {mr_col(job, "tailnum"), true},
                                           {mr_col(job, "distance"), false}},
                    3));
}

static void side_outputs(struct mr_job *job)
{
    static const struct mr_field kind[] = {{.name = "kind", .type = MR_UTF8}};
    const struct mr_field *sides[] = {kind};
    struct mr_stream *main_output = mr_map_rows(
        read_events(job), parities, NULL,
        &(struct mr_function_options){.size = sizeof(struct mr_function_options),
                                      .id = "parities",
                                      .fields = kind,
                                      .field_count = 1,
                                      .side_fields = sides,
                                      .side_field_counts = (uint32_t[]){1},
                                      .side_count = 1});
    struct mr_stream *both[] = {main_output, mr_side_output(main_output, 1)};

    collect(AGGREGATE(KEYS(mr_union(both, 2), "kind"), {.name = "rows", .function = "count"}));
}

static void user_aggregate(struct mr_job *job)
{
    struct mr_expr *value =
        mr_call2(job, "coalesce", mr_cast(job, mr_col(job, "value"), MR_INT64), mr_int(job, 0));
    struct mr_expr *arguments[] = {mr_col(job, "n")};

    collect(AGGREGATE(KEYS(read_events(job), "key"),
                      {.name = "mix",
                       .user_functions = &mix,
                       .user_result = {.name = "mix", .type = MR_INT64},
                       .user_arguments = arguments,
                       .user_argument_count = 1},
                      {.name = "squares",
                       .function = "sum",
                       .argument = mr_call2(job, "*", value, value)}));
}

static void first_last(struct mr_job *job)
{
    struct mr_expr *value = mr_col(job, "value");

    collect(AGGREGATE(KEYS(read_events(job), "key"),
                      {.name = "first", .function = "first", .argument = value},
                      {.name = "last", .function = "last", .argument = value}));
}

static void decimals(struct mr_job *job)
{
    struct mr_expr *price = mr_col(job, "price");
    struct mr_expr *doubled = mr_call2(job, "+", price, price);

    collect(AGGREGATE(KEYS(read_events(job), "key"),
                      {.name = "sum", .function = "sum", .argument = price},
                      {.name = "least", .function = "min", .argument = price},
                      {.name = "greatest", .function = "max", .argument = price},
                      {.name = "doubled", .function = "sum", .argument = doubled}));
}

static void float_sums(struct mr_job *job)
{
    struct mr_expr *ratio = mr_col(job, "ratio");

    collect(AGGREGATE(KEYS(read_events(job), "key"),
                      {.name = "sum", .function = "sum", .argument = ratio},
                      {.name = "least", .function = "min", .argument = ratio}));
}

static void bad_rows(struct mr_job *job)
{
    static const struct mr_field fields[] = {{.name = "a", .type = MR_INT64},
                                             {.name = "b", .type = MR_INT64}};
    struct mr_stream *in = mr_read_csv(
        job, &(struct mr_read_csv_options){.size = sizeof(struct mr_read_csv_options),
                                           .path = pipeline_data("bad.csv"),
                                           .fields = fields,
                                           .field_count = 2});

    collect(COLUMNS(in, {"a", mr_col(job, "a")}, {"b", mr_col(job, "b")},
                    {"quotient", mr_call2(job, "/", mr_col(job, "a"), mr_col(job, "b"))}));
}

static struct mr_stream *late_windows(struct mr_job *job)
{
    struct mr_stream *in = read_events_delayed(job, MR_SECOND);

    in = mr_window_tumbling(KEYS(in, "key"), 2 * MR_SECOND);
    return AGGREGATE(in, {.name = "rows", .function = "count"});
}

static void late_by_split(struct mr_job *job)
{
    collect(late_windows(job));
}

static void late_output(struct mr_job *job)
{
    struct mr_stream *in_time = late_windows(job);
    struct mr_stream *late = mr_late_output(in_time);

    mr_discard(in_time);
    collect(COLUMNS(late, {"n", mr_col(job, "n")}, {"key", mr_col(job, "key")}));
}

const struct pipeline pipelines[] = {
    {.name = "words", .build = words},
    {.name = "flights_hourly", .build = flights_hourly},
    {.name = "filter_project", .build = filter_project},
    {.name = "union_counts", .build = union_counts},
    {.name = "hopping", .build = hopping},
    {.name = "hopping_gaps", .build = hopping_gaps},
    {.name = "sessions", .build = sessions},
    {.name = "global_all", .build = global_all},
    {.name = "global_empty", .build = global_empty},
    {.name = "top", .build = top, .ordered = true},
    {.name = "sort_nulls", .build = sort_nulls, .ordered = true},
    {.name = "side_outputs", .build = side_outputs},
    {.name = "user_aggregate", .build = user_aggregate},
    {.name = "first_last", .build = first_last},
    {.name = "decimals", .build = decimals},
    {.name = "float_sums", .build = float_sums},
    {.name = "bad_rows", .build = bad_rows, .on_error = MR_ON_ERROR_SKIP, .rows_rejected = 133},
    {.name = "late_by_split", .build = late_by_split, .streaming_only = true, .rows_late = 204},
    {.name = "late_output", .build = late_output, .streaming_only = true, .rows_late = 204},
};
const unsigned pipeline_count = sizeof pipelines / sizeof pipelines[0];
