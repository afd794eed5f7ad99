/* build_test.c - what is refused while a pipeline is described, and in which words. */
#include "job_internal.h"

#include "mr_test.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct mr_field fields[] = {{.name = "a", .type = MR_INT64},
                                         {.name = "b", .type = MR_UTF8}};
static const struct mr_aggregate count_rows = {.name = "n", .function = "count"};

static struct mr_stream *read_rows(struct mr_job *job)
{
    return mr_read_csv(job, &(struct mr_read_csv_options){
                                .size = sizeof(struct mr_read_csv_options),
                                .path = "x.csv",
                                .fields = fields,
                                .field_count = 2});
}

static struct mr_stream *keyed(struct mr_stream *in)
{
    return mr_key_by_columns(in, (const char *[]){"a"}, 1);
}

static struct mr_stream *timed(struct mr_job *job, struct mr_stream *in)
{
    return mr_assign_event_time(in, mr_col(job, "a"), 0, 0);
}

static void write_to(struct mr_stream *in, const char *path)
{
    mr_write(in, &(struct mr_write_options){.size = sizeof(struct mr_write_options), .path = path});
}

/* Ends a job whose building must have failed with exactly this text. */
static void expect_text(struct mr_job *job, const char *text)
{
    MR_EXPECT_EQ_STR(mr_job_error(job), text);
    MR_EXPECT(mr_job_run(job, NULL) != MR_OK);
    mr_job_destroy(job);
}

static void expect_part(struct mr_job *job, const char *part)
{
    MR_EXPECT_CONTAINS(mr_job_error(job), part);
    MR_EXPECT(mr_job_run(job, NULL) != MR_OK);
    mr_job_destroy(job);
}

static void expect_good(struct mr_job *job)
{
    MR_EXPECT_EQ_STR(mr_job_error(job), "");
    mr_job_destroy(job);
}

static struct mr_job *new_job(void)
{
    return mr_job_create("test", NULL);
}

/* ---- files of sinks ---- */

static void expect_one_place(const char *first, const char *second)
{
    struct mr_job *job = new_job();
    struct mr_stream *in = read_rows(job);
    char text[600];

    write_to(in, first);
    MR_EXPECT_EQ_STR(mr_job_error(job), "");
    write_to(in, second);
    snprintf(text, sizeof text,
             "'%s' is already written by 'sink-1': every sink needs a path of its own", second);
    expect_text(job, text);
}

MR_TEST(build, two_sinks_with_one_path_are_refused_whatever_it_is_called)
{
    char here[4096], whole[4200];

    MR_EXPECT(getcwd(here, sizeof here) != NULL);
    snprintf(whole, sizeof whole, "%s//./same.csv", here);
    expect_one_place("same.csv", "same.csv");
    expect_one_place("same.csv", "./same.csv");
    expect_one_place("d/./same.csv", "d//same.csv");
    expect_one_place("parts/", "parts");
    expect_one_place("same.csv", whole);
}

MR_TEST(build, sinks_with_paths_of_their_own_are_fine)
{
    struct mr_job *job = new_job();
    struct mr_stream *in = read_rows(job);

    write_to(in, "one.csv");
    write_to(in, "d/one.csv");
    write_to(in, "one.csv.gz");
    write_to(in, ".one.csv");
    write_to(in, NULL);
    write_to(in, "-");
    write_to(in, "/dev/null");
    write_to(in, "/dev/null");
    mr_discard(in);
    mr_discard(in);
    expect_good(job);
}

MR_TEST(build, a_sink_does_not_write_over_the_dead_letters)
{
    const struct mr_job_options options = {.size = sizeof options,
                                           .on_error = MR_ON_ERROR_DEAD_LETTER,
                                           .dead_letter_path = "bad.ndjson"};
    struct mr_job *job = mr_job_create("test", &options);

    write_to(read_rows(job), "./bad.ndjson");
    expect_part(job, "'./bad.ndjson' is already written by the dead letters");
}

/* ---- expressions ---- */

/* Each use of an expression, with one that is not there and with one of another job. */
static void use(struct mr_job *job, int place, struct mr_expr *expr)
{
    struct mr_stream *in = read_rows(job);
    struct mr_expr *yes = mr_bool(job, true);
    const struct mr_aggregate sum = {.name = "s", .function = "sum", .argument = expr};

    switch (place) {
    case 0: mr_filter(in, expr); break;
    case 1: mr_assign_event_time(in, expr, 0, 0); break;
    case 2: mr_project(in, &(struct mr_named){"x", expr}, 1); break;
    case 3: mr_key_by(in, &(struct mr_named){"x", expr}, 1); break;
    case 4: mr_top(in, &(struct mr_sort_key){expr, false}, 1, 5); break;
    case 5: mr_call2(job, "=", yes, expr); break;
    case 6: mr_case(job, &expr, &yes, 1, NULL); break;
    case 7: mr_case(job, &yes, &expr, 1, NULL); break;
    case 8: mr_cast(job, expr, MR_UTF8); break;
    default: mr_aggregate(in, &sum, 1); break;
    }
}

MR_TEST(build, expressions_that_are_missing_or_of_another_job_are_refused_where_they_are_used)
{
    static const char *const places[] = {
        "mr_filter",           "mr_assign_event_time", "mr_project: column 'x'",
        "mr_key_by: column 'x'", "mr_sort, mr_top: key 1", "argument 2 of '='",
        "mr_case: WHEN 1",     "mr_case: THEN 1",      "mr_cast",
        "mr_aggregate: column 's'"};
    char text[300];

    for (int place = 0; place < 10; place++) {
        struct mr_job *other = new_job();
        struct mr_job *job = new_job();

        use(job, place, mr_call2(other, "=", mr_col(other, "a"), mr_int(other, 1)));
        snprintf(text, sizeof text,
                 "%s: the expression a = 1 belongs to another job; make it with this one",
                 places[place]);
        expect_text(job, text);
        job = new_job();
        use(job, place, NULL);
        if (place == 9) {
            expect_text(job, "mr_aggregate: column 's': 'sum' needs an argument");
        } else {
            snprintf(text, sizeof text, "%s: the expression is NULL", places[place]);
            expect_text(job, text);
        }
        mr_job_destroy(other);
    }
}

MR_TEST(build, an_argument_of_a_user_aggregate_may_not_be_of_another_job)
{
    static const struct mr_aggregate_functions functions = {.size = sizeof functions,
                                                            .state_bytes = 8};
    struct mr_job *job = new_job(), *other = new_job();
    struct mr_expr *argument = mr_col(other, "a");

    mr_aggregate(read_rows(job), &(struct mr_aggregate){.name = "u",
                                                        .user_functions = &functions,
                                                        .user_arguments = &argument,
                                                        .user_argument_count = 1}, 1);
    expect_part(job, "argument 1 of 'u': the expression a belongs to another job");
    mr_job_destroy(other);
}

MR_TEST(build, texts_and_names_that_are_not_utf8_are_refused)
{
    struct mr_job *job = new_job();

    mr_filter(read_rows(job), mr_call2(job, "=", mr_col(job, "b"), mr_text(job, "\xff")));
    expect_part(job, "is not UTF-8");
    job = new_job();
    mr_project(read_rows(job), &(struct mr_named){"\xff", mr_col(job, "a")}, 1);
    expect_text(job, "project 'project-1': the name of column 1 is not UTF-8: give it another");
}

MR_TEST(build, wrong_calls_say_what_would_be_right)
{
    struct mr_job *job = new_job();

    mr_call1(job, "starts_with", mr_col(job, "b"));
    expect_text(job, "mr_call: 'starts_with' takes 2 arguments, not 1");
    job = new_job();
    mr_cast(job, mr_col(job, "a"), MR_DECIMAL);
    expect_part(job, "use mr_cast_decimal or mr_try_cast_decimal");
    job = new_job();
    mr_time_literal(job, MR_INT64, "5");
    expect_part(job, "int64 is no type of a time");
    job = new_job();
    mr_read_csv(job, &(struct mr_read_csv_options){
                         .path = "x", .fields = &(struct mr_field){.name = "a"}, .field_count = 1});
    expect_text(job, "mr_read_csv: column 'a' has no type; set .type, to MR_INT64 for instance");
}

MR_TEST(build, a_decimal_that_does_not_fit_can_be_null)
{
    struct mr_job *job = new_job();
    struct mr_stream *out = mr_project(
        read_rows(job),
        &(struct mr_named){"d", mr_try_cast_decimal(job, mr_col(job, "b"), 12, 2)}, 1);
    const struct mr_schema *schema;

    MR_EXPECT(out != NULL);
    schema = mr_model_schema(job->model, out->ref);
    MR_EXPECT_EQ_INT(schema->fields[0].type, MR_DECIMAL);
    MR_EXPECT_EQ_UINT(schema->fields[0].precision, 12);
    MR_EXPECT_EQ_UINT(schema->fields[0].scale, 2);
    MR_EXPECT(!schema->fields[0].not_null);
    expect_good(job);
}

/* ---- streams ---- */

MR_TEST(build, a_union_names_the_input_that_is_missing)
{
    struct mr_job *job = new_job();
    struct mr_stream *in = read_rows(job);

    MR_EXPECT(mr_union((struct mr_stream *[]){in, NULL}, 2) == NULL);
    expect_text(job, "mr_union: input 2 is NULL");
    job = new_job();
    mr_union((struct mr_stream *[]){NULL, read_rows(job)}, 2);
    expect_text(job, "mr_union: input 1 is NULL");
}

static enum mr_status no_rows(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    (void)user;
    (void)row;
    (void)out;
    return MR_OK;
}

static enum mr_status keep_all(void *user, const struct mr_row *row, bool *out_keep)
{
    (void)user;
    (void)row;
    *out_keep = true;
    return MR_OK;
}

static void follow(struct mr_job *job, struct mr_stream *in, int what)
{
    const struct mr_named columns = {"a", mr_col(job, "a")};
    const struct mr_function_options options = {.size = sizeof options, .id = "mine"};

    switch (what) {
    case 0: mr_project(in, &columns, 1); break;
    case 1: mr_map_rows(in, no_rows, NULL, &options); break;
    case 2: mr_sort(in, &(struct mr_sort_key){columns.expr, false}, 1); break;
    case 3: mr_union(&in, 1); break;
    case 4: mr_write(in, NULL); break;
    default: mr_discard(in); break;
    }
}

MR_TEST(build, keys_and_windows_that_no_aggregate_uses_are_refused)
{
    static const char *const ids[] = {"project-1", "mine", "top-1", "union-1", "sink-1", "sink-1"};
    char part[100];

    for (int what = 0; what < 6; what++) {
        struct mr_job *job = new_job();

        follow(job, keyed(read_rows(job)), what);
        snprintf(part, sizeof part, "mr_key_by before '%s' has no effect: ", ids[what]);
        expect_part(job, part);
        job = new_job();
        follow(job, mr_window_tumbling(timed(job, read_rows(job)), MR_HOUR), what);
        snprintf(part, sizeof part, "the window before '%s' has no effect: ", ids[what]);
        expect_part(job, part);
    }
}

MR_TEST(build, keys_and_windows_pass_filters_and_event_times)
{
    struct mr_job *job = new_job();
    struct mr_stream *in = mr_window_tumbling(keyed(read_rows(job)), MR_HOUR);

    in = mr_filter(timed(job, in), mr_bool(job, true));
    in = mr_set_parallelism(mr_set_id(mr_filter_rows(in, keep_all, NULL), "kept"), 2);
    in = mr_allowed_lateness(mr_window_offset(in, MR_MINUTE), MR_MINUTE);
    in = mr_aggregate(in, &count_rows, 1);
    mr_write(mr_project(in, &(struct mr_named){"n", mr_col(job, "n")}, 1), NULL);
    expect_good(job);
}

MR_TEST(build, offset_and_lateness_need_a_window_before_them)
{
    struct mr_job *job = new_job();

    mr_aggregate(mr_window_offset(read_rows(job), 5), &count_rows, 1);
    expect_part(job, "mr_window_offset: there is no window before it");
    job = new_job();
    mr_aggregate(mr_allowed_lateness(read_rows(job), 5), &count_rows, 1);
    expect_part(job, "mr_allowed_lateness: there is no window before it");
}

MR_TEST(build, a_second_window_begins_anew)
{
    struct mr_job *job = new_job();
    struct mr_stream *in = mr_window_tumbling(timed(job, read_rows(job)), MR_HOUR);

    in = mr_window_tumbling(mr_allowed_lateness(in, MR_MINUTE), MR_DAY);
    MR_EXPECT_EQ_INT(in->window.allowed_lateness_us, 0);
    expect_good(job);
}

MR_TEST(build, an_aggregate_is_built_in_or_a_users_and_not_half_of_each)
{
    static const struct mr_aggregate_functions functions = {.size = sizeof functions,
                                                            .state_bytes = 8};
    struct mr_job *job = new_job();

    mr_aggregate(read_rows(job), &(struct mr_aggregate){.name = "x",
                                                        .function = "count",
                                                        .user_functions = &functions}, 1);
    expect_part(job, "'x' has both function and user_functions");
    job = new_job();
    mr_aggregate(read_rows(job), &(struct mr_aggregate){.name = "x",
                                                        .user_functions = &functions,
                                                        .argument = mr_col(job, "a")}, 1);
    expect_part(job, "'x' has user_functions, which take user_arguments, but argument is set");
    job = new_job();
    mr_aggregate(read_rows(job), &(struct mr_aggregate){.name = "x",
                                                        .user_functions = &functions,
                                                        .user_argument_count = 1}, 1);
    expect_part(job, "1 user_arguments, which are NULL");
    job = new_job();
    mr_aggregate(read_rows(job), &(struct mr_aggregate){.name = "x"}, 1);
    expect_text(job, "mr_aggregate: 'x' has neither function nor user_functions");
}

/* ---- options ---- */

static void expect_options_refused(struct mr_job_options options, const char *part)
{
    options.size = sizeof options;
    expect_part(mr_job_create("test", &options), part);
}

MR_TEST(build, options_of_a_job_out_of_range_are_refused)
{
    expect_options_refused((struct mr_job_options){.mode = (enum mr_mode)77}, "no mode 77");
    expect_options_refused((struct mr_job_options){.on_error = (enum mr_on_error)99},
                           "no on_error 99");
    expect_options_refused((struct mr_job_options){.late = (enum mr_late)-1}, "no late -1");
    expect_options_refused((struct mr_job_options){.on_error = MR_ON_ERROR_DEAD_LETTER},
                           "needs a dead_letter_path");
    expect_options_refused((struct mr_job_options){.dead_letter_path = "bad.ndjson"},
                           "dead_letter_path has no effect without");
}

MR_TEST(build, structs_smaller_than_their_first_version_are_refused)
{
    struct mr_job *job = mr_job_create("test", &(struct mr_job_options){.size = 4});

    expect_text(job, "options.size is 4: set it to sizeof(struct mr_job_options)");
    job = new_job();
    mr_read_text(job, &(struct mr_read_text_options){.size = 12, .path = "x"});
    expect_part(job, "sizeof(struct mr_read_text_options)");
    job = new_job();
    mr_read_csv(job, &(struct mr_read_csv_options){
                         .size = 16, .path = "x", .fields = fields, .field_count = 2});
    expect_part(job, "sizeof(struct mr_read_csv_options)");
    job = new_job();
    mr_generate(job, &(struct mr_generate_options){.size = 16, .rows = 1});
    expect_part(job, "sizeof(struct mr_generate_options)");
    job = new_job();
    mr_write(read_rows(job), &(struct mr_write_options){.size = 16, .path = "x"});
    expect_part(job, "sizeof(struct mr_write_options)");
    job = new_job();
    mr_map_rows(read_rows(job), no_rows, NULL, &(struct mr_function_options){.size = 1});
    expect_part(job, "sizeof(struct mr_function_options)");
    job = new_job();
    mr_write(read_rows(job), &(struct mr_write_options){.size = SIZE_MAX});
    expect_part(job, "sizeof(struct mr_write_options)");
}

MR_TEST(build, size_zero_stands_for_the_fields_of_the_first_version)
{
    struct mr_job *job = mr_job_create("test", &(struct mr_job_options){.workers = 3});
    struct mr_stream *in = mr_read_text(job, &(struct mr_read_text_options){.path = "x"});

    MR_EXPECT_EQ_UINT(job->options.workers, 3);
    mr_write(in, &(struct mr_write_options){.path = "y", .format = MR_OUTPUT_NDJSON});
    mr_discard(mr_generate(job, &(struct mr_generate_options){.rows = 5}));
    in = mr_map_rows(in, no_rows, NULL, &(struct mr_function_options){.id = "named"});
    MR_EXPECT_EQ_STR(job->model->nodes[in->ref.node]->id, "named");
    mr_discard(in);
    expect_good(job);
}

/* What grows: callers of each version against a library of each version. */
struct version_1 {
    size_t size;
    const char *path;
};
struct version_2 {
    size_t size;
    const char *path;
    uint64_t level;
};

MR_TEST(build, what_a_caller_does_not_know_is_zero_and_what_the_library_does_not_know_is_left)
{
    const struct version_1 before = {sizeof before, "before"};
    const struct version_2 after = {sizeof after, "after", 7};
    const struct version_2 unsaid = {0, "unsaid", 7}; /* no size: the first version */
    const size_t first = MRI_END_OF(struct version_1, path);
    struct mr_job *job = new_job();
    struct version_1 small;
    struct version_2 large;

    memset(&large, 0xff, sizeof large);
    MR_EXPECT(mri_options_copy(job, "x", &before, first, &large, sizeof large));
    MR_EXPECT_EQ_STR(large.path, "before");
    MR_EXPECT_EQ_UINT(large.level, 0);
    MR_EXPECT(mri_options_copy(job, "x", &after, first, &large, sizeof large));
    MR_EXPECT_EQ_UINT(large.level, 7);
    MR_EXPECT(mri_options_copy(job, "x", &unsaid, first, &large, sizeof large));
    MR_EXPECT_EQ_STR(large.path, "unsaid");
    MR_EXPECT_EQ_UINT(large.level, 0);
    MR_EXPECT(mri_options_copy(job, "x", &after, first, &small, sizeof small));
    MR_EXPECT_EQ_STR(small.path, "after");
    MR_EXPECT(mri_options_copy(job, "x", NULL, first, &large, sizeof large));
    MR_EXPECT(large.path == NULL);
    expect_good(job);
}

/* ---- who is told how ---- */

static struct mr_job *failed_with(const char *text, bool command)
{
    struct mr_job *job = new_job();

    job->is_command = command;
    mri_job_invalid(job, "%s", text);
    return job;
}

MR_TEST(build, texts_about_options_name_the_fields_to_programs_only)
{
    expect_text(failed_with("raise --memory, or lower --workers", false),
                "raise --memory, or lower --workers\n  (in struct mr_job_options: --workers is "
                ".workers, --memory is .memory_bytes)");
    expect_text(failed_with("raise --memory, or lower --workers", true),
                "raise --memory, or lower --workers");
    expect_text(failed_with("bad\n  to go on: --on-error skip, or --on-error dead-letter=PATH",
                            false),
                "bad\n  to go on: --on-error skip, or --on-error dead-letter=PATH\n  (in struct "
                "mr_job_options: --on-error is .on_error and .dead_letter_path)");
    expect_text(failed_with("nothing of --modern kind", false), "nothing of --modern kind");
    expect_text(failed_with("x:1: bad\n  record: --mode\n  so be it", false),
                "x:1: bad\n  record: --mode\n  so be it");
}
