#include "cli.h"

#include "api/offline.h"
#include "base/status.h"
#include "state/state_report.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100u

enum verb { VERB_LIST, VERB_SHOW, VERB_DIFF, VERB_EXPORT, VERB_NONE };
static const struct verb_words {
    const char *name;
    int least, most; /* words behind it that are no options */
} verbs[] = {
    [VERB_LIST] = {"list", 1, 1},
    [VERB_SHOW] = {"show", 1, 3},
    [VERB_DIFF] = {"diff", 2, 2},
    [VERB_EXPORT] = {"export", 1, 3},
};

struct arguments {
    enum verb verb;
    const char *words[3];
    int word_count;
    struct mr_report_filter filter;
    bool limited; /* --limit was given */
    uint64_t epoch;
    enum mr_report_format format;
    const char *savepoint;
};

static int usage(const char *format, ...) MR_PRINTF(1, 2);
static int usage(const char *format, ...)
{
    va_list arguments;

    fputs("millrace: state: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputs("\n(millrace help state shows how it is used)\n", stderr);
    return MRI_EXIT_USAGE;
}

/* ---- arguments ---- */

static enum verb find_verb(const char *name)
{
    for (uint32_t i = 0; i < VERB_NONE; i++) {
        if (strcmp(verbs[i].name, name) == 0) return (enum verb)i;
    }
    return VERB_NONE;
}

static bool get_number(const char *text, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9') return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static bool get_format(const char *text, enum mr_report_format *out)
{
    *out = strcmp(text, "csv") == 0 ? MR_REPORT_CSV : MR_REPORT_NDJSON;
    return strcmp(text, "csv") == 0 || strcmp(text, "ndjson") == 0;
}

/* The value of `--name VALUE` or `--name=VALUE`; *at is moved onto it. NULL: another option. */
static const char *value_of(const char *name, int argc, char **argv, int *at)
{
    size_t size = strlen(name);

    if (strncmp(argv[*at], name, size) != 0) return NULL;
    if (argv[*at][size] == '=') return argv[*at] + size + 1;
    if (argv[*at][size] != '\0' || *at + 1 >= argc) return NULL;
    return argv[++*at];
}

static int get_option(struct arguments *arguments, int argc, char **argv, int *at)
{
    const char *option = argv[*at], *value;

    if ((value = value_of("--key", argc, argv, at)) != NULL) {
        arguments->filter.key = value;
    } else if ((value = value_of("--limit", argc, argv, at)) != NULL) {
        arguments->limited = true;
        if (!get_number(value, &arguments->filter.limit)) {
            return usage("--limit takes a number, not '%.80s'", value);
        }
    } else if ((value = value_of("--epoch", argc, argv, at)) != NULL) {
        if (!get_number(value, &arguments->epoch) || arguments->epoch == 0) {
            return usage("--epoch takes the number of an epoch, not '%.80s'", value);
        }
    } else if ((value = value_of("--format", argc, argv, at)) != NULL) {
        if (!get_format(value, &arguments->format)) {
            return usage("--format is csv or ndjson, not '%.80s'", value);
        }
    } else if ((value = value_of("--savepoint", argc, argv, at)) != NULL) {
        arguments->savepoint = value;
    } else {
        return usage("there is no option '%.80s', or its value is missing", option);
    }
    return MRI_EXIT_DONE;
}

static int parse(struct arguments *arguments, int argc, char **argv)
{
    const struct verb_words *verb;

    if (argc < 2) return usage("%s", "list, show, diff or export?");
    arguments->verb = find_verb(argv[1]);
    if (arguments->verb == VERB_NONE) return usage("it cannot '%.80s'", argv[1]);
    verb = &verbs[arguments->verb];
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            int code = get_option(arguments, argc, argv, &i);

            if (code != MRI_EXIT_DONE) return code;
        } else if (arguments->word_count == verb->most) {
            return usage("'%.80s' is one argument too many", argv[i]);
        } else {
            arguments->words[arguments->word_count++] = argv[i];
        }
    }
    if (arguments->word_count < verb->least) {
        return usage("%s needs the path of a state directory or savepoint", verb->name);
    }
    if (arguments->savepoint != NULL &&
        (arguments->verb != VERB_EXPORT || arguments->word_count > 1)) {
        return usage("%s", "--savepoint belongs to export, and takes all of the state");
    }
    return MRI_EXIT_DONE;
}

/* ---- running ---- */

static enum mr_status write_out(void *self, const char *data, size_t size_bytes,
                                struct mr_error *err)
{
    int *failed = self;

    if (fwrite(data, 1, size_bytes, stdout) == size_bytes) return MR_OK;
    *failed = errno;
    return mr_error_set(err, MR_E_CLOSED, "standard output cannot be written: %s",
                        strerror(*failed));
}

static enum mr_status run_verb(const struct mr_report *report, struct arguments *arguments,
                               struct mr_error *err)
{
    const char *const *words = arguments->words;
    uint64_t differences;

    if (!arguments->limited && arguments->verb != VERB_EXPORT) {
        arguments->filter.limit = LIMIT_DEFAULT;
    }
    if (arguments->verb == VERB_SHOW || arguments->verb == VERB_EXPORT) {
        arguments->filter.operator_id = words[1];
        arguments->filter.state_name = words[2];
    }
    switch (arguments->verb) {
    case VERB_LIST: return mr_report_list(report, words[0], err);
    case VERB_SHOW: return mr_report_show(report, words[0], &arguments->filter, err);
    case VERB_DIFF:
        return mr_report_diff(report, words[0], words[1], &arguments->filter, &differences, err);
    case VERB_EXPORT:
        if (arguments->savepoint != NULL) {
            return mr_report_savepoint(report, words[0], arguments->savepoint, err);
        }
        return mr_report_export(report, words[0], &arguments->filter, arguments->format, err);
    case VERB_NONE: break;
    }
    return MR_OK;
}

static int run_state(int argc, char **argv)
{
    struct arguments arguments = {.verb = VERB_NONE, .format = MR_REPORT_CSV};
    struct mri_offline offline;
    struct mr_report report;
    struct mr_error err = {.status = MR_OK};
    int failed = 0, code = parse(&arguments, argc, argv);
    enum mr_status st;

    if (code != MRI_EXIT_DONE) return code;
    st = mri_offline_open(&offline, &err);
    if (st == MR_OK) {
        report = (struct mr_report){.heap = offline.heap,
                                    .disk = offline.disk,
                                    .epoch = arguments.epoch,
                                    .self = &failed,
                                    .write = write_out};
        st = run_verb(&report, &arguments, &err);
        mri_offline_close(&offline);
    }
    if (st == MR_OK) return MRI_EXIT_DONE;
    if (failed == EPIPE) return 128 + SIGPIPE;
    (void)fflush(stdout);
    fprintf(stderr, "millrace: %s\n", err.text);
    return MRI_EXIT_FAILED;
}

const struct mri_cli_command mri_cli_state = {
    .name = "state",
    .arguments = "list|show|diff|export DIR [...]",
    .summary = "reads a state directory or a savepoint, also beside its running job",
    .help =
        "  list DIR                    epochs, attempts, operators, their states and sizes\n"
        "  show DIR [OPERATOR [STATE]] keys and values, positions of sources, skew per key group\n"
        "  diff DIR DIR                what was added, removed and changed\n"
        "  export DIR [OPERATOR [STATE]]  one row per entry, to standard output\n"
        "  --key KEY          only this key, as show prints it; quotes may be left out\n"
        "  --limit N          entries shown (default: 100 in show and diff, all in export; 0: "
        "all)\n"
        "  --epoch N          the state at the end of this epoch (default: the last complete one)\n"
        "  --format csv|ndjson  of export (default: csv); keys and values are JSON\n"
        "  --savepoint OUT    of export: a savepoint in the new directory OUT instead\n"
        "Nothing is written to DIR, and no lock is taken.\n"
        "example:  millrace state show /var/lib/flights counts --limit 10\n"
        "exit:     0 done, 1 it failed, 2 wrong usage\n",
    .words = "list show diff export",
    .run = run_state,
};
