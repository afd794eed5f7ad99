#include "options.h"

#include "base/assert.h"
#include "base/time.h"
#include "job_internal.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define HELP_COLUMN 27
#define HELP_WIDTH  80

const struct mri_option mri_common_options[MRI_COMMON_COUNT] = {
    [MRI_OPTION_INPUT] =
        {.spec = {"input", MR_OPTION_TEXT, "PATH",
                  "what to read: a file, a glob in quotes, a directory, or - for standard input; "
                  "gzip and zstd are recognised",
                  NULL},
         .shown_default = "none, required",
         .when = MRI_WITH_INPUT},
    [MRI_OPTION_RATE] = {.spec = {"rate", MR_OPTION_NUMBER, "N", "read at most N rows per second",
                                  NULL},
                         .shown_default = "as fast as possible",
                         .when = MRI_WITH_INPUT},
    [MRI_OPTION_OUTPUT] =
        {.spec =
             {"output", MR_OPTION_TEXT, "PATH",
              "where results go: a file (written beside and renamed when complete), PATH/ for a "
              "directory of parts, or - for standard output",
              "-"}},
    [MRI_OPTION_OUTPUT_FORMAT] = {.spec = {"output-format", MR_OPTION_CHOICE, "table|csv|ndjson",
                                           "how results are written", NULL},
                                  .shown_default = "table on a terminal, else csv"},
    [MRI_OPTION_MODE] =
        {.spec = {"mode", MR_OPTION_CHOICE, "auto|batch|streaming",
                  "batch: results at the end of the input; streaming: each as soon as it is "
                  "complete; auto: batch if all input ends by itself",
                  "auto"}},
    [MRI_OPTION_WORKERS] = {.spec = {"workers", MR_OPTION_NUMBER, "N", "engine threads, 1 to 1024",
                                     NULL},
                            .shown_default = "one per core"},
    [MRI_OPTION_MEMORY] = {.spec = {"memory", MR_OPTION_BYTES, "SIZE",
                                    "the most memory that the job may use, such as 64MiB or 2GiB",
                                    NULL},
                           .shown_default = "half of the machine's or the control group's"},
    [MRI_OPTION_ON_ERROR] =
        {.spec = {"on-error", MR_OPTION_TEXT, "fail|skip|dead-letter=PATH",
                  "what to do with a bad record: end the job and name its place, leave it out and "
                  "count it, or write it to PATH with place and reason",
                  "fail"}},
    [MRI_OPTION_WATERMARK_DELAY] =
        {.spec = {"watermark-delay", MR_OPTION_DURATION, "DURATION",
                  "how far out of order in event time the input may be, such as 30s, 10m or 24h; "
                  "rows further behind may come too late for their window",
                  NULL},
         .when = MRI_WITH_WATERMARK},
    [MRI_OPTION_LATE] =
        {.spec = {"late", MR_OPTION_CHOICE, "drop|by-split",
                  "how late rows are told: by the watermark of the operator, or of the row's own "
                  "input split, which gives the same rows in every run; both count them",
                  "drop"}},
    [MRI_OPTION_STATE_DIR] =
        {.spec = {"state-dir", MR_OPTION_TEXT, "DIR",
                  "keep progress and state there, epoch by epoch: after a failure or Ctrl-C the "
                  "same command goes on where the last complete epoch ended",
                  NULL},
         .shown_default = "none: nothing survives"},
    [MRI_OPTION_GUARANTEE] =
        {.spec = {"guarantee", MR_OPTION_CHOICE, "exactly-once|at-least-once|at-most-once",
                  "what a failure may do to results: nothing, repeat rows, or lose rows", NULL},
         .shown_default = "exactly-once with --state-dir"},
    [MRI_OPTION_TRACK] = {.spec = {"track", MR_OPTION_FLAG, NULL,
                                   "at least once without --state-dir: every row is followed until all "
                                   "that was made from it has left, else it is sent again",
                                   NULL}},
    [MRI_OPTION_EPOCH] =
        {.spec = {"epoch", MR_OPTION_DURATION, "DURATION",
                  "least time between two commits of output and state, such as 10ms or 1s", "100ms"}},
    [MRI_OPTION_COMMIT] =
        {.spec = {"commit", MR_OPTION_CHOICE, "continuous|micro-batch",
                  "micro-batch: the input of an epoch is read when the epoch before is visible",
                  "continuous"}},
    [MRI_OPTION_DURABILITY] =
        {.spec = {"durability", MR_OPTION_CHOICE, "machine|process",
                  "the failure that a complete epoch survives: of the machine, or of the process "
                  "only, which is faster",
                  "machine"}},
    [MRI_OPTION_ROLL] = {.spec = {"roll", MR_OPTION_TEXT, "SIZE|DURATION[,...]",
                                  "with --state-dir and --output DIR/: when a part is complete and "
                                  "gets its name, such as 128MiB, 60s, or both",
                                  "128MiB,60s"}},
    [MRI_OPTION_RESTARTS] = {.spec = {"restarts", MR_OPTION_NUMBER, "N",
                                      "begin again from the last complete epoch, at most so often, "
                                      "when the job fails",
                                      "0"}},
    [MRI_OPTION_FRESH] = {.spec = {"fresh", MR_OPTION_FLAG, NULL,
                                   "start anew: forget what --state-dir holds; refused where output "
                                   "was committed",
                                   NULL}},
    [MRI_OPTION_TAKEOVER] = {.spec = {"takeover", MR_OPTION_FLAG, NULL,
                                      "end the process that holds --state-dir, then start", NULL}},
    [MRI_OPTION_FROM] = {.spec = {"from", MR_OPTION_TEXT, "SAVEPOINT",
                                  "where --state-dir holds no epoch yet: begin with the state of this "
                                  "savepoint",
                                  NULL},
                         .shown_default = "none"},
    [MRI_OPTION_DROPPED_STATE] = {.spec = {"allow-dropped-state", MR_OPTION_FLAG, NULL,
                                           "go on although operators whose state is stored are "
                                           "gone: their state is left out",
                                           NULL}},
    [MRI_OPTION_EXPLAIN] = {.spec = {"explain", MR_OPTION_FLAG_OR_CHOICE, "dot",
                                     "print the plan instead of running it; dot: as a graph for "
                                     "Graphviz",
                                     NULL}},
    [MRI_OPTION_METRICS_JSON] = {.spec = {"metrics-json", MR_OPTION_TEXT, "FILE",
                                          "write the counters of every task there at the end",
                                          NULL}},
    [MRI_OPTION_QUIET] = {.spec = {"quiet", MR_OPTION_FLAG, NULL,
                                   "no progress line, no summary: only errors", NULL}},
    [MRI_OPTION_HELP] = {.spec = {"help", MR_OPTION_FLAG, NULL, "this text", NULL}},
};

/* ---- rows of a command ---- */

static uint32_t option_count(const struct mr_command *command)
{
    return MRI_COMMON_COUNT + command->option_count;
}

static const struct mr_command_option *option_at(const struct mr_command *command, uint32_t index)
{
    if (index < MRI_COMMON_COUNT) return &mri_common_options[index].spec;
    return &command->options[index - MRI_COMMON_COUNT];
}

static bool option_applies(const struct mr_command *command, uint32_t index)
{
    if (index >= MRI_COMMON_COUNT) return true;
    switch (mri_common_options[index].when) {
    case MRI_ALWAYS: return true;
    case MRI_WITH_INPUT: return command->needs_input;
    case MRI_WITH_WATERMARK: return command->watermark_delay != NULL;
    }
    return true;
}

static const char *default_at(const struct mr_command *command, uint32_t index)
{
    if (index == MRI_OPTION_WATERMARK_DELAY) return command->watermark_delay;
    return option_at(command, index)->default_text;
}

static bool find_option(const struct mr_command *command, const char *name, size_t size,
                        uint32_t *out)
{
    for (uint32_t i = 0; i < option_count(command); i++) {
        const char *candidate = option_at(command, i)->name;
        if (!option_applies(command, i)) continue;
        if (strlen(candidate) == size && memcmp(candidate, name, size) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

/* ---- suggestions ---- */

#define SUGGEST_BYTES 32u

/* Edits from a to b: insert, delete, replace, swap neighbours. */
static uint32_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    uint32_t table[SUGGEST_BYTES + 1][SUGGEST_BYTES + 1];

    for (uint32_t i = 0; i <= a_size; i++) table[i][0] = i;
    for (uint32_t j = 0; j <= b_size; j++) table[0][j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        for (size_t j = 1; j <= b_size; j++) {
            uint32_t best = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            best = MR_MIN(best, table[i - 1][j] + 1);
            best = MR_MIN(best, table[i][j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = MR_MIN(best, table[i - 2][j - 2] + 1);
            }
            table[i][j] = best;
        }
    }
    return table[a_size][b_size];
}

const char *mri_suggest(const char *typed, const char *(*name_at)(const void *self, uint32_t index),
                        const void *self, uint32_t count)
{
    size_t size = strcspn(typed, "=");
    uint32_t limit = (uint32_t)(size + 2) / 3;
    uint32_t best = limit + 1;
    const char *found = NULL;

    if (size == 0 || size > SUGGEST_BYTES) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        const char *name = name_at(self, i);
        uint32_t edits;
        if (name == NULL || strlen(name) > SUGGEST_BYTES) continue;
        edits = distance(typed, size, name, strlen(name));
        /* An abbreviation is one edit, however much it leaves out. */
        if (size >= 3 && strncmp(name, typed, size) == 0) edits = 1;
        /* Mistyped words mostly begin right. */
        if (edits < best || (edits == best && found != NULL && name[0] == typed[0] &&
                             found[0] != typed[0])) {
            best = edits;
            found = name;
        }
    }
    return found;
}

static const char *applicable_name(const void *self, uint32_t index)
{
    const struct mr_command *command = self;

    return option_applies(command, index) ? option_at(command, index)->name : NULL;
}

/* ---- values ---- */

bool mri_parse_number(const char *text, int64_t *out)
{
    char *end;
    long long value;

    if (text[0] != '-' && (text[0] < '0' || text[0] > '9')) return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0') return false;
    *out = value;
    return true;
}

bool mri_parse_bytes(const char *text, int64_t *out)
{
    static const struct {
        const char *suffix;
        int64_t factor;
    } units[] = {
        {"", 1},
        {"B", 1},
        {"KiB", INT64_C(1) << 10},
        {"MiB", INT64_C(1) << 20},
        {"GiB", INT64_C(1) << 30},
        {"TiB", INT64_C(1) << 40},
        {"KB", INT64_C(1000)},
        {"MB", INT64_C(1000000)},
        {"GB", INT64_C(1000000000)},
        {"TB", INT64_C(1000000000000)},
    };
    char *end;
    long long value;

    if (text[0] < '0' || text[0] > '9') return false;
    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno != 0) return false;
    for (size_t i = 0; i < MR_COUNT(units); i++) {
        if (strcmp(end, units[i].suffix) != 0) continue;
        return !__builtin_mul_overflow((int64_t)value, units[i].factor, out);
    }
    return false;
}

/* `a|b|c` has a member equal to text. */
static bool is_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);

    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        if (*at == '|') at++;
        if (strcspn(at, "|") == size && memcmp(at, text, size) == 0) return true;
    }
    return false;
}

static bool parse_value(const struct mr_command_option *option, const char *text, int64_t *out,
                        const char **out_wanted)
{
    switch (option->kind) {
    case MR_OPTION_FLAG: return true;
    case MR_OPTION_TEXT: return true;
    case MR_OPTION_NUMBER: *out_wanted = "a whole number"; return mri_parse_number(text, out);
    case MR_OPTION_DURATION:
        *out_wanted = "a duration such as 500ms, 10s, 1h30m or 2d";
        return mr_parse_duration(text, out);
    case MR_OPTION_BYTES:
        *out_wanted = "a size such as 65536, 64MiB or 2GiB";
        return mri_parse_bytes(text, out);
    case MR_OPTION_CHOICE:
    case MR_OPTION_FLAG_OR_CHOICE:
        *out_wanted = option->argument;
        return is_choice(option->argument, text);
    }
    return false;
}

static bool fail(struct mr_arguments *out, const char *format, ...) MR_PRINTF(2, 3);
static bool fail(struct mr_arguments *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(out->error, sizeof out->error, format, arguments);
    va_end(arguments);
    return false;
}

static bool set_value(struct mr_arguments *out, uint32_t index, const char *text)
{
    const struct mr_command_option *option = option_at(out->command, index);
    const char *wanted = "";

    if (!parse_value(option, text, &out->numbers[index], &wanted)) {
        return fail(out, "--%s: '%.80s' is not %s%s", option->name, text,
                    option->kind == MR_OPTION_CHOICE ? "one of " : "", wanted);
    }
    out->given[index] = text;
    return true;
}

/* ---- the command line ---- */

static bool unknown_option(struct mr_arguments *out, const char *typed)
{
    const struct mr_command *command = out->command;
    const char *near = mri_suggest(typed, applicable_name, command, option_count(command));

    if (near == NULL) return fail(out, "there is no option --%.80s", typed);
    return fail(out, "there is no option --%.*s; did you mean --%s?",
                (int)MR_MIN(strcspn(typed, "="), (size_t)80), typed, near);
}

/* argv[*at] begins with "--"; moves *at over a value of its own. */
static bool parse_option(struct mr_arguments *out, int argc, char **argv, int *at)
{
    const char *name = argv[*at] + 2;
    size_t size = strcspn(name, "=");
    const char *value = name[size] == '=' ? name + size + 1 : NULL;
    const struct mr_command_option *option;
    uint32_t index;

    if (!find_option(out->command, name, size, &index)) return unknown_option(out, name);
    option = option_at(out->command, index);
    if (option->kind == MR_OPTION_FLAG) {
        if (value != NULL) return fail(out, "--%s takes no value", option->name);
        return set_value(out, index, "");
    }
    if (option->kind == MR_OPTION_FLAG_OR_CHOICE && value == NULL) {
        out->given[index] = "";
        return true;
    }
    if (value == NULL && *at + 1 < argc) value = argv[++*at];
    if (value == NULL || value[0] == '\0') {
        return fail(out, "--%s needs a value: --%s %s", option->name, option->name,
                    option->argument);
    }
    return set_value(out, index, value);
}

static bool fill_defaults(struct mr_arguments *out)
{
    for (uint32_t i = 0; i < option_count(out->command); i++) {
        const char *text = default_at(out->command, i);
        const char *wanted = "";
        if (text == NULL || out->given[i] != NULL || !option_applies(out->command, i)) continue;
        if (!parse_value(option_at(out->command, i), text, &out->numbers[i], &wanted)) {
            return fail(out, "the default of --%s, '%.80s', is not %s",
                        option_at(out->command, i)->name, text, wanted);
        }
    }
    return true;
}

bool mri_parse_roll(const char *text, uint64_t *out_bytes, int64_t *out_us)
{
    *out_bytes = 0;
    *out_us = 0;
    for (const char *at = text; at != NULL; at = strchr(at, ',')) {
        char part[32];
        int64_t number;
        size_t size;

        if (*at == ',') at++;
        size = strcspn(at, ",");
        if (size == 0 || size >= sizeof part) return false;
        memcpy(part, at, size);
        part[size] = '\0';
        if (mr_parse_duration(part, &number) && number > 0 && *out_us == 0) {
            *out_us = number;
        } else if (mri_parse_bytes(part, &number) && number > 0 && *out_bytes == 0) {
            *out_bytes = (uint64_t)number;
        } else {
            return false;
        }
    }
    return true;
}

static bool check_durable(struct mr_arguments *out)
{
    static const enum mri_common need_directory[] = {
        MRI_OPTION_EPOCH,    MRI_OPTION_COMMIT, MRI_OPTION_DURABILITY, MRI_OPTION_ROLL,
        MRI_OPTION_RESTARTS, MRI_OPTION_FRESH,  MRI_OPTION_TAKEOVER,   MRI_OPTION_FROM,
        MRI_OPTION_DROPPED_STATE};
    const char *roll = mri_argument_common(out, MRI_OPTION_ROLL);
    int64_t restarts = out->numbers[MRI_OPTION_RESTARTS];
    uint64_t bytes;
    int64_t us;

    for (size_t i = 0; i < MR_COUNT(need_directory) && out->given[MRI_OPTION_STATE_DIR] == NULL;
         i++) {
        if (out->given[need_directory[i]] == NULL) continue;
        return fail(out, "--%s has no effect without --state-dir DIR",
                    mri_common_options[need_directory[i]].spec.name);
    }
    if (!mri_parse_roll(roll, &bytes, &us)) {
        return fail(out, "--roll: '%.80s' is not a size such as 128MiB, a duration such as 60s, or "
                         "both with a comma", roll);
    }
    if (restarts < 0 || restarts > UINT32_MAX) {
        return fail(out, "--restarts: %lld is not within 0 and %u", (long long)restarts, UINT32_MAX);
    }
    return true;
}

/* The metrics would overwrite what the job reads or writes. */
static bool check_metrics_path(struct mr_arguments *out)
{
    const char *metrics = mri_argument_common(out, MRI_OPTION_METRICS_JSON);
    const char *policy = mri_argument_common(out, MRI_OPTION_ON_ERROR);
    const char *others[] = {mri_argument_common(out, MRI_OPTION_INPUT),
                            mri_argument_common(out, MRI_OPTION_OUTPUT),
                            strncmp(policy, "dead-letter=", 12) == 0 ? policy + 12 : NULL};

    for (size_t i = 0; metrics != NULL && i < MR_COUNT(others); i++) {
        if (others[i] == NULL || strcmp(metrics, others[i]) != 0) continue;
        return fail(out, "--metrics-json: '%.80s' is read or written by the job itself", metrics);
    }
    return true;
}

static bool check_ranges(struct mr_arguments *out)
{
    int64_t workers = out->numbers[MRI_OPTION_WORKERS];
    int64_t rate = out->numbers[MRI_OPTION_RATE];
    const char *policy = mri_argument_common(out, MRI_OPTION_ON_ERROR);

    if (out->given[MRI_OPTION_WORKERS] != NULL && (workers < 1 || workers > 1024)) {
        return fail(out, "--workers: %lld is not within 1 and 1024", (long long)workers);
    }
    if (out->given[MRI_OPTION_RATE] != NULL && (rate < 1 || rate > UINT32_MAX)) {
        return fail(out, "--rate: %lld is not within 1 and %u", (long long)rate, UINT32_MAX);
    }
    if (out->given[MRI_OPTION_MEMORY] != NULL && out->numbers[MRI_OPTION_MEMORY] == 0) {
        return fail(out, "--memory: a job needs some, such as 64MiB");
    }
    if (strcmp(policy, "fail") != 0 && strcmp(policy, "skip") != 0 &&
        (strncmp(policy, "dead-letter=", 12) != 0 || policy[12] == '\0')) {
        return fail(out, "--on-error: '%.80s' is not fail, skip or dead-letter=PATH", policy);
    }
    return check_durable(out) && check_metrics_path(out);
}

bool mri_arguments_parse(const struct mr_command *command, int argc, char **argv,
                         struct mr_arguments *out)
{
    *out = (struct mr_arguments){.command = command};
    if (command->option_count > MRI_EXTRA_OPTIONS_MAX) {
        return fail(out, "a command has at most %u options of its own", MRI_EXTRA_OPTIONS_MAX);
    }
    for (int at = 1; at < argc; at++) {
        if (strcmp(argv[at], "-h") == 0) {
            out->given[MRI_OPTION_HELP] = "";
        } else if (strncmp(argv[at], "--", 2) == 0 && argv[at][2] != '\0') {
            if (!parse_option(out, argc, argv, &at)) return false;
        } else if (command->needs_input && out->given[MRI_OPTION_INPUT] == NULL) {
            return fail(out, "'%.80s' is no option; did you mean --input %.80s?", argv[at],
                        argv[at]);
        } else {
            return fail(out, "'%.80s' is no option", argv[at]);
        }
    }
    if (!fill_defaults(out) || !check_ranges(out)) return false;
    if (out->given[MRI_OPTION_HELP] != NULL) return true;
    if (command->needs_input && out->given[MRI_OPTION_INPUT] == NULL) {
        return fail(out, "--input is missing: say what to read, such as --input FILE, or "
                         "--input - for standard input");
    }
    return true;
}

/* ---- asking ---- */

const char *mri_argument_common(const struct mr_arguments *arguments, enum mri_common option)
{
    const char *given = arguments->given[option];

    return given != NULL ? given : default_at(arguments->command, option);
}

/* Asking for an option that was not declared is a mistake of the job's author. */
static bool look_up(const struct mr_arguments *arguments, const char *name, uint32_t *out)
{
    if (arguments == NULL || name == NULL) return false;
    if (find_option(arguments->command, name, strlen(name), out)) return true;
    if (arguments->job != NULL) {
        mri_job_invalid(arguments->job,
                        "the job asks for the option --%s, which it did not declare", name);
    }
    return false;
}

const char *mr_argument(const struct mr_arguments *arguments, const char *name)
{
    uint32_t index;

    if (!look_up(arguments, name, &index)) return NULL;
    if (arguments->given[index] != NULL) return arguments->given[index];
    return default_at(arguments->command, index);
}

int64_t mr_argument_number(const struct mr_arguments *arguments, const char *name)
{
    uint32_t index;

    return look_up(arguments, name, &index) ? arguments->numbers[index] : 0;
}

bool mr_argument_flag(const struct mr_arguments *arguments, const char *name)
{
    uint32_t index;

    return look_up(arguments, name, &index) && arguments->given[index] != NULL;
}

/* ---- help ---- */

/* Words of `text`, wrapped; the first line has `used` columns already. */
static void print_wrapped(FILE *out, const char *text, size_t indent, size_t used)
{
    while (*text != '\0') {
        size_t size = strcspn(text, " ");
        if (used > indent && used + 1 + size > HELP_WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            used = indent;
        } else if (used > indent) {
            fputc(' ', out);
            used++;
        }
        fprintf(out, "%.*s", (int)size, text);
        used += size;
        text += size;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* "--name ARGUMENT" as it is typed. */
static void option_head(const struct mr_command_option *option, char *out, size_t room)
{
    if (option->kind == MR_OPTION_FLAG) {
        (void)snprintf(out, room, "--%s", option->name);
    } else if (option->kind == MR_OPTION_FLAG_OR_CHOICE) {
        (void)snprintf(out, room, "--%s[=%s]", option->name, option->argument);
    } else {
        (void)snprintf(out, room, "--%s %s", option->name, option->argument);
    }
}

static void print_option(const struct mr_command *command, uint32_t index, FILE *out)
{
    const struct mr_command_option *option = option_at(command, index);
    const char *shown = default_at(command, index);
    char head[96];
    char text[512];
    size_t used;

    if (shown == NULL && index < MRI_COMMON_COUNT) shown = mri_common_options[index].shown_default;
    option_head(option, head, sizeof head);
    fprintf(out, "  %s", head);
    used = strlen(head) + 2;
    if (used + 2 > HELP_COLUMN) {
        fputc('\n', out);
        used = 0;
    }
    fprintf(out, "%*s", (int)(HELP_COLUMN - used), "");
    if (shown == NULL) {
        (void)snprintf(text, sizeof text, "%s", option->help);
    } else {
        (void)snprintf(text, sizeof text, "%s (default: %s)", option->help, shown);
    }
    print_wrapped(out, text, HELP_COLUMN, HELP_COLUMN);
}

void mri_print_help(const struct mr_command *command, FILE *out)
{
    fprintf(out, "usage: %s%s [options]\n", command->name,
            command->needs_input ? " --input PATH" : "");
    print_wrapped(out, command->summary, 0, 0);
    for (uint32_t i = MRI_COMMON_COUNT; i < option_count(command); i++) {
        print_option(command, i, out);
    }
    for (uint32_t i = 0; i < MRI_COMMON_COUNT; i++) {
        if (option_applies(command, i)) print_option(command, i, out);
    }
    if (command->example != NULL) fprintf(out, "example:  %s\n", command->example);
    fputs("exit:     0 done, 1 the job failed, 2 wrong usage, 130 interrupted,\n"
          "          143 terminated, 141 the reader of the output went away\n",
          out);
}

/* Table cells: `|` stands for itself only behind a backslash. */
static void print_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|') fputc('\\', out);
        fputc(*text, out);
    }
}

void mri_print_reference(FILE *out)
{
    fputs("| option | meaning | default |\n|---|---|---|\n", out);
    for (uint32_t i = 0; i < MRI_COMMON_COUNT; i++) {
        const struct mri_option *row = &mri_common_options[i];
        const char *shown = row->spec.default_text;
        char head[96];

        option_head(&row->spec, head, sizeof head);
        fputs("| `", out);
        print_cell(out, head);
        fprintf(out, "` | %s%s | ", row->spec.help,
                row->when == MRI_WITH_INPUT       ? " (jobs that read files)"
                : row->when == MRI_WITH_WATERMARK ? " (jobs with windows)"
                                                  : "");
        if (shown == NULL) shown = row->shown_default;
        if (i == MRI_OPTION_WATERMARK_DELAY) shown = "the job's, see its `--help`";
        print_cell(out, shown == NULL ? "" : shown);
        fputs(" |\n", out);
    }
}
