/* options_test.c - a command line is typed by people: every mistake has to get a useful answer. */
#include "mr_test.h"
#include "options.h"

#include <stdlib.h>

static const struct mr_command_option extras[] = {
    {"gap", MR_OPTION_DURATION, "DURATION", "a pause", "12h"},
    {"top", MR_OPTION_NUMBER, "N", "how many", "-3"},
    {"room", MR_OPTION_BYTES, "SIZE", "how much", NULL},
    {"fast", MR_OPTION_FLAG, NULL, "hurry", NULL},
    {"colour", MR_OPTION_CHOICE, "red|green", "which", "green"},
};
static const struct mr_command command = {
    .size = sizeof command,
    .name = "job",
    .summary = "Does it.",
    .example = "job --input x",
    .needs_input = true,
    .watermark_delay = "24h",
    .options = extras,
    .option_count = MR_COUNT(extras),
};

/* Parses up to eight words behind the program's name. */
static bool parse(struct mr_arguments *out, const char *const *words)
{
    char *argv[10];
    int argc = 1;

    argv[0] = (char *)(uintptr_t) "job";
    for (; words[argc - 1] != NULL; argc++) argv[argc] = (char *)(uintptr_t)words[argc - 1];
    return mri_arguments_parse(&command, argc, argv, out);
}
#define PARSE(out, ...) parse((out), (const char *const[]){__VA_ARGS__, NULL})

MR_TEST(options, both_spellings_give_the_same_value)
{
    struct mr_arguments arguments;

    MR_EXPECT(PARSE(&arguments, "--input", "a=b", "--workers=3", "--gap", "90m"));
    MR_EXPECT_EQ_STR(mr_argument(&arguments, "input"), "a=b");
    MR_EXPECT_EQ_INT(mr_argument_number(&arguments, "workers"), 3);
    MR_EXPECT_EQ_INT(mr_argument_number(&arguments, "gap"), 90 * MR_MINUTE);
    MR_EXPECT(PARSE(&arguments, "--input=a=b", "--gap=1h30m"));
    MR_EXPECT_EQ_STR(mr_argument(&arguments, "input"), "a=b");
    MR_EXPECT_EQ_INT(mr_argument_number(&arguments, "gap"), 90 * MR_MINUTE);
}

MR_TEST(options, defaults_are_parsed_like_given_values)
{
    struct mr_arguments arguments;

    MR_EXPECT(PARSE(&arguments, "--input", "x"));
    MR_EXPECT_EQ_INT(mr_argument_number(&arguments, "watermark-delay"), 24 * MR_HOUR);
    MR_EXPECT_EQ_INT(mr_argument_number(&arguments, "gap"), 12 * MR_HOUR);
    MR_EXPECT_EQ_INT(mr_argument_number(&arguments, "top"), -3);
    MR_EXPECT_EQ_STR(mr_argument(&arguments, "colour"), "green");
    MR_EXPECT_EQ_STR(mr_argument(&arguments, "mode"), "auto");
    MR_EXPECT(mr_argument(&arguments, "room") == NULL);
    MR_EXPECT(!mr_argument_flag(&arguments, "fast"));
    MR_EXPECT(!mr_argument_flag(&arguments, "colour"));
}

MR_TEST(options, the_last_of_two_counts)
{
    struct mr_arguments arguments;

    MR_EXPECT(PARSE(&arguments, "--input", "x", "--top=1", "--top", "-2", "--fast"));
    MR_EXPECT_EQ_INT(mr_argument_number(&arguments, "top"), -2);
    MR_EXPECT(mr_argument_flag(&arguments, "fast"));
}

MR_TEST(options, explain_may_stand_alone_and_takes_nothing_from_behind_it)
{
    struct mr_arguments arguments;

    MR_EXPECT(PARSE(&arguments, "--input", "x", "--explain", "--fast"));
    MR_EXPECT_EQ_STR(mr_argument(&arguments, "explain"), "");
    MR_EXPECT(mr_argument_flag(&arguments, "fast"));
    MR_EXPECT(PARSE(&arguments, "--input", "x", "--explain=dot"));
    MR_EXPECT_EQ_STR(mr_argument(&arguments, "explain"), "dot");
    MR_EXPECT(!PARSE(&arguments, "--input", "x", "--explain=png"));
}

MR_TEST(options, mistakes_are_answered_with_what_would_be_right)
{
    static const struct {
        const char *words[3];
        const char *says;
    } cases[] = {
        {{"--inptu", "x", NULL}, "no option --inptu; did you mean --input?"},
        {{"--ouput=x", NULL, NULL}, "did you mean --output?"},
        {{"--colr", NULL, NULL}, "did you mean --colour?"},
        {{"--water", NULL, NULL}, "did you mean --watermark-delay?"},
        {{"--zzzzzz", NULL, NULL}, "there is no option --zzzzzz"},
        {{"--input", NULL, NULL}, "--input needs a value: --input PATH"},
        {{"--top", "", NULL}, "--top needs a value"},
        {{"--fast=1", NULL, NULL}, "--fast takes no value"},
        {{"--top=1e3", NULL, NULL}, "'1e3' is not a whole number"},
        {{"--gap", "soon", NULL}, "'soon' is not a duration"},
        {{"--room=1mb", NULL, NULL}, "'1mb' is not a size"},
        {{"--colour=blue", NULL, NULL}, "'blue' is not one of red|green"},
        {{"--workers=0", NULL, NULL}, "0 is not within 1 and 1024"},
        {{"--on-error=dead-letter=", NULL, NULL}, "dead-letter=PATH"},
        {{"file.csv", NULL, NULL}, "did you mean --input file.csv?"},
        {{"--top=1", NULL, NULL}, "--input is missing"},
        {{"--", NULL, NULL}, "'--' is no option"},
    };

    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        struct mr_arguments arguments;
        MR_EXPECT(!parse(&arguments, cases[i].words));
        MR_EXPECT_CONTAINS(arguments.error, cases[i].says);
    }
}

MR_TEST(options, with_help_nothing_is_required)
{
    struct mr_arguments arguments;

    MR_EXPECT(PARSE(&arguments, "--help"));
    MR_EXPECT(mr_argument_flag(&arguments, "help"));
    MR_EXPECT(PARSE(&arguments, "-h"));
}

MR_TEST(options, sizes_have_binary_and_decimal_units)
{
    static const struct {
        const char *text;
        int64_t bytes; /* -1: refused */
    } cases[] = {
        {"0", 0},
        {"65536", 65536},
        {"1B", 1},
        {"64KiB", 65536},
        {"64MiB", 67108864},
        {"2GiB", INT64_C(2147483648)},
        {"1TiB", INT64_C(1099511627776)},
        {"5KB", 5000},
        {"5MB", 5000000},
        {"5GB", INT64_C(5000000000)},
        {"5TB", INT64_C(5000000000000)},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", -1},
        {"8388608TiB", -1},
        {"", -1},
        {"MiB", -1},
        {"-1", -1},
        {"+1", -1},
        {" 1", -1},
        {"1 MiB", -1},
        {"1.5GiB", -1},
        {"1M", -1},
        {"0x10", -1},
    };

    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        int64_t bytes = -1;
        bool good = mri_parse_bytes(cases[i].text, &bytes);
        MR_EXPECT_EQ_INT(good ? bytes : -1, cases[i].bytes);
    }
}

MR_TEST(options, numbers_are_whole_and_fit)
{
    int64_t value = 0;

    MR_EXPECT(mri_parse_number("-9223372036854775808", &value) && value == INT64_MIN);
    MR_EXPECT(mri_parse_number("9223372036854775807", &value) && value == INT64_MAX);
    MR_EXPECT(!mri_parse_number("9223372036854775808", &value));
    MR_EXPECT(!mri_parse_number("", &value));
    MR_EXPECT(!mri_parse_number("-", &value));
    MR_EXPECT(!mri_parse_number("+1", &value));
    MR_EXPECT(!mri_parse_number(" 1", &value));
    MR_EXPECT(!mri_parse_number("1 ", &value));
}

MR_TEST(options, every_row_is_complete_and_no_name_comes_twice)
{
    for (uint32_t i = 0; i < MRI_COMMON_COUNT; i++) {
        const struct mr_command_option *row = &mri_common_options[i].spec;
        MR_EXPECT(row->name != NULL && row->help != NULL);
        MR_EXPECT(row->kind == MR_OPTION_FLAG || row->argument != NULL);
        for (uint32_t j = 0; j < i; j++) {
            MR_EXPECT(strcmp(row->name, mri_common_options[j].spec.name) != 0);
        }
    }
}

MR_TEST(options, help_keeps_to_eighty_columns)
{
    char *text = NULL;
    size_t size = 0;
    size_t column = 0;
    FILE *file = open_memstream(&text, &size);

    MR_EXPECT(file != NULL);
    mri_print_help(&command, file);
    MR_EXPECT_EQ_INT(fclose(file), 0);
    for (size_t i = 0; i < size; i++) {
        column = text[i] == '\n' ? 0 : column + 1;
        MR_EXPECT(column <= 80);
    }
    MR_EXPECT_CONTAINS(text, "--gap DURATION");
    MR_EXPECT_CONTAINS(text, "(default: 12h)");
    MR_EXPECT_CONTAINS(text, "example:  job --input x");
    free(text);
}
