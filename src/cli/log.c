#include "cli.h"

#include "api/logs.h"
#include "api/offline.h"
#include "base/status.h"
#include "base/text.h"
#include <millrace/millrace.h>
#include <stdarg.h>
#include <string.h>

#define TAIL_ROWS 10u

enum verb { VERB_CAT, VERB_TAIL, VERB_INFO, VERB_NONE };
static const char *const verbs[] = {
    [VERB_CAT] = "cat", [VERB_TAIL] = "tail", [VERB_INFO] = "info"};

struct arguments {
    enum verb verb;
    const char *path;
    bool one_partition;
    uint64_t partition;
    bool from_given;
    uint64_t from;
    uint64_t rows;
    bool rows_given;
    enum mr_format format;
    bool format_given;
};

static int usage(const char *format, ...) MR_PRINTF(1, 2);
static int usage(const char *format, ...)
{
    va_list arguments;

    fputs("millrace: log: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\n(millrace help log shows how it is used)\n", stderr);
    return MRI_EXIT_USAGE;
}

/* ---- arguments ---- */

static bool get_number(const char *text, uint64_t most, uint64_t *out)
{
    *out = 0;
    if (text[0] == '\0') return false;
    for (; *text >= '0' && *text <= '9' && *out <= most; text++) {
        *out = *out * 10 + (uint64_t)(*text - '0');
    }
    return *text == '\0' && *out <= most;
}

static int set_option(struct arguments *out, const char *name, const char *value)
{
    bool good;

    if (strcmp(name, "--partition") == 0) {
        out->one_partition = true;
        good = get_number(value, UINT32_MAX, &out->partition);
    } else if (strcmp(name, "--from") == 0) {
        out->from_given = true;
        good = get_number(value, UINT64_MAX / 16, &out->from);
    } else if (strcmp(name, "--rows") == 0) {
        out->rows_given = true;
        good = get_number(value, UINT64_MAX / 16, &out->rows) && out->rows > 0;
    } else if (strcmp(name, "--format") == 0) {
        out->format_given = true;
        out->format = strcmp(value, "csv") == 0 ? MR_OUTPUT_CSV : MR_OUTPUT_NDJSON;
        good = strcmp(value, "csv") == 0 || strcmp(value, "ndjson") == 0;
    } else {
        return usage("there is no option '%.80s'", name);
    }
    if (!good) return usage("%s: '%.80s' is not understood", name, value);
    return MRI_EXIT_DONE;
}

static int take_option(struct arguments *out, int argc, char **argv, int *at)
{
    char name[32];
    const char *equals = strchr(argv[*at], '=');
    size_t size = equals == NULL ? strlen(argv[*at]) : (size_t)(equals - argv[*at]);

    if (size >= sizeof name) return usage("there is no option '%.80s'", argv[*at]);
    memcpy(name, argv[*at], size);
    name[size] = '\0';
    if (equals != NULL) return set_option(out, name, equals + 1);
    if (*at + 1 == argc) return usage("%s needs a value, or does not exist", name);
    return set_option(out, name, argv[++*at]);
}

static int check(const struct arguments *out)
{
    bool reads = out->one_partition || out->from_given || out->rows_given || out->format_given;

    if (out->path == NULL) return usage("%s of which topic? DIR/topic", verbs[out->verb]);
    if (out->verb == VERB_INFO && reads) return usage("info takes no options");
    if (out->verb == VERB_CAT && out->rows_given) return usage("--rows is for tail");
    if (out->rows_given && out->from_given) return usage("either --rows or --from");
    return MRI_EXIT_DONE;
}

static int parse(int argc, char **argv, struct arguments *out)
{
    memset(out, 0, sizeof *out);
    out->verb = VERB_NONE;
    out->rows = TAIL_ROWS;
    out->format = MR_OUTPUT_CSV;
    for (uint32_t i = 0; i < VERB_NONE && argc > 1; i++) {
        if (strcmp(verbs[i], argv[1]) == 0) out->verb = (enum verb)i;
    }
    if (argc < 2) return usage("cat, tail or info?");
    if (out->verb == VERB_NONE) return usage("there is no 'log %.80s'", argv[1]);
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            int code = take_option(out, argc, argv, &i);

            if (code != MRI_EXIT_DONE) return code;
        } else if (out->path == NULL) {
            out->path = argv[i];
        } else {
            return usage("one topic at a time: '%.80s' is too much", argv[i]);
        }
    }
    return check(out);
}

/* ---- commands ---- */

static int print_info(const struct arguments *arguments)
{
    struct mri_offline offline;
    struct mr_error err = {.status = MR_OK};
    struct mr_text text;
    enum mr_status st = mri_offline_open(&offline, &err);

    if (st == MR_OK) {
        mr_text_init(&text, offline.heap, 0);
        st = mr_log_info(offline.heap, offline.disk, arguments->path, &text, &err);
        if (st == MR_OK) fputs(mr_text_get(&text), stdout);
        mr_text_fini(&text);
        mri_offline_close(&offline);
    }
    if (st == MR_OK) return MRI_EXIT_DONE;
    fprintf(stderr, "millrace: log: %s\n", err.text);
    return MRI_EXIT_FAILED;
}

/* A job like any other: the topic in, standard output out. */
static int print_rows(const struct arguments *arguments)
{
    const struct mr_job_options job_options = {
        .size = sizeof job_options, .workers = 1, .mode = MR_MODE_STREAMING};
    const struct mr_read_log_options read = {
        .size = sizeof read,
        .path = arguments->path,
        .follow = arguments->verb == VERB_TAIL,
        .one_partition = arguments->one_partition,
        .partition = (uint32_t)arguments->partition,
        .from_row = arguments->from,
        .last_rows = arguments->verb == VERB_TAIL && !arguments->from_given ? arguments->rows : 0};
    const struct mr_write_options write = {.size = sizeof write, .format = arguments->format};
    struct mr_job *job = mr_job_create("log", &job_options);
    struct mr_summary summary;
    enum mr_status st;
    int code = MRI_EXIT_DONE;

    if (job != NULL) job->is_command = true;
    mr_write(mr_read_log(job, &read), &write);
    st = mr_job_status(job);
    if (st == MR_OK) st = mr_job_run(job, &summary);
    if (st != MR_OK && st != MR_E_CLOSED) { /* `| head` is no failure */
        fprintf(stderr, "millrace: log: %s\n", mr_job_error(job));
        code = MRI_EXIT_FAILED;
    }
    mr_job_destroy(job);
    return code;
}

static int run_log(int argc, char **argv)
{
    struct arguments arguments;
    int code = parse(argc, argv, &arguments);

    if (code != MRI_EXIT_DONE) return code;
    return arguments.verb == VERB_INFO ? print_info(&arguments) : print_rows(&arguments);
}

const struct mri_cli_command mri_cli_log = {
    .name = "log",
    .arguments = "cat|tail|info DIR/TOPIC [options]",
    .summary = "prints the committed rows of a topic, or what is in it",
    .help = "  cat               all rows that are committed now, one partition after the other\n"
            "  tail              the last rows of each partition, then all that come, until Ctrl-C\n"
            "  info              columns, partitions, rows, segments\n"
            "  --partition <n>   only this one (default: all)\n"
            "  --from <row>      begin at the row with this number (default: the oldest)\n"
            "  --rows <n>        tail: begin so many rows before the end (default: 10)\n"
            "  --format <f>      csv or ndjson (default: csv)\n"
            "example:  millrace log cat /var/lib/flights/hourly --format ndjson\n"
            "exit:     0 done, 1 the topic cannot be read, 2 wrong usage\n",
    .words = "cat tail info",
    .run = run_log,
};
