#include "job_internal.h"

#include "base/assert.h"
#include "options.h"
#include "progress.h"
#include "summary.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXIT_DONE   0
#define EXIT_FAILED 1
#define EXIT_USAGE  2
#define EXIT_STOPPED 3
#define EXIT_SIGNAL 128 /* plus the number of the signal */

/* ---- interruption ---- */

/* What the handler sees: the job that runs, and the first signal that came. */
static _Atomic(struct mr_job *) running_job;
static volatile sig_atomic_t first_signal;

static const int ending_signals[] = {SIGINT, SIGTERM, SIGHUP};

/* The first signal asks the job to end; a second one does not wait for that. */
static void on_signal(int number)
{
    if (first_signal != 0) _exit(EXIT_SIGNAL + number);
    first_signal = number;
    mr_job_cancel(atomic_load(&running_job));
}

struct handlers {
    struct sigaction before[MR_COUNT(ending_signals)];
};

/* A signal that our parent told us to ignore (nohup, background jobs of a shell) stays ignored. */
static void handlers_set(struct handlers *handlers, struct mr_job *job)
{
    struct sigaction action;

    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    first_signal = 0;
    atomic_store(&running_job, job);
    for (size_t i = 0; i < MR_COUNT(ending_signals); i++) {
        sigaction(ending_signals[i], NULL, &handlers->before[i]);
        if (handlers->before[i].sa_handler == SIG_IGN) continue;
        sigaction(ending_signals[i], &action, NULL);
    }
}

static void handlers_restore(const struct handlers *handlers)
{
    for (size_t i = 0; i < MR_COUNT(ending_signals); i++) {
        sigaction(ending_signals[i], &handlers->before[i], NULL);
    }
    atomic_store(&running_job, NULL);
}

/* ---- the terminal ---- */

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value != NULL && value[0] != '\0';
}

static bool smart_terminal(int file)
{
    const char *term = getenv("TERM");

    return isatty(file) != 0 && (term == NULL || strcmp(term, "dumb") != 0);
}

static bool colour_wanted(void)
{
    return smart_terminal(STDERR_FILENO) && !is_set("NO_COLOR");
}

/* ---- options to a job ---- */

static const char *common(const struct mr_arguments *arguments, enum mri_common option)
{
    return mri_argument_common(arguments, option);
}

static bool quiet(const struct mr_arguments *arguments)
{
    return common(arguments, MRI_OPTION_QUIET) != NULL;
}

static void durable_options(const struct mr_arguments *arguments, struct mr_job_options *out)
{
    const char *guarantee = common(arguments, MRI_OPTION_GUARANTEE);

    out->state_dir = common(arguments, MRI_OPTION_STATE_DIR);
    if (guarantee != NULL && strcmp(guarantee, "exactly-once") == 0) {
        out->guarantee = MR_EXACTLY_ONCE;
    } else if (guarantee != NULL) {
        bool least = strcmp(guarantee, "at-least-once") == 0;
        out->guarantee = least ? MR_AT_LEAST_ONCE : MR_AT_MOST_ONCE;
    }
    out->epoch_us = arguments->numbers[MRI_OPTION_EPOCH];
    if (strcmp(common(arguments, MRI_OPTION_COMMIT), "micro-batch") == 0) {
        out->commit = MR_COMMIT_MICRO_BATCH;
    }
    if (strcmp(common(arguments, MRI_OPTION_DURABILITY), "process") == 0) {
        out->durability = MR_DURABILITY_PROCESS;
    }
    (void)mri_parse_roll(common(arguments, MRI_OPTION_ROLL), &out->roll_bytes, &out->roll_us);
    out->restarts = (uint32_t)arguments->numbers[MRI_OPTION_RESTARTS];
    out->track = common(arguments, MRI_OPTION_TRACK) != NULL;
    out->fresh = common(arguments, MRI_OPTION_FRESH) != NULL;
    out->takeover = common(arguments, MRI_OPTION_TAKEOVER) != NULL;
    out->from = common(arguments, MRI_OPTION_FROM);
    out->allow_dropped_state = common(arguments, MRI_OPTION_DROPPED_STATE) != NULL;
}

static struct mr_job_options job_options(const struct mr_arguments *arguments)
{
    const char *mode = common(arguments, MRI_OPTION_MODE);
    const char *on_error = common(arguments, MRI_OPTION_ON_ERROR);
    struct mr_job_options options = {.size = sizeof options};

    options.workers = (uint32_t)arguments->numbers[MRI_OPTION_WORKERS];
    options.memory_bytes = (size_t)arguments->numbers[MRI_OPTION_MEMORY];
    if (strcmp(mode, "batch") == 0) options.mode = MR_MODE_BATCH;
    if (strcmp(mode, "streaming") == 0) options.mode = MR_MODE_STREAMING;
    if (strcmp(on_error, "skip") == 0) options.on_error = MR_ON_ERROR_SKIP;
    if (strncmp(on_error, "dead-letter=", 12) == 0) {
        options.on_error = MR_ON_ERROR_DEAD_LETTER;
        options.dead_letter_path = on_error + 12;
    }
    if (strcmp(common(arguments, MRI_OPTION_LATE), "by-split") == 0) {
        options.late = MR_LATE_BY_SPLIT;
    }
    durable_options(arguments, &options);
    return options;
}

const char *mr_input_path(const struct mr_arguments *arguments)
{
    return mr_argument(arguments, "input");
}

uint32_t mr_input_rate(const struct mr_arguments *arguments)
{
    return (uint32_t)mr_argument_number(arguments, "rate");
}

static enum mr_format output_format(const struct mr_arguments *arguments)
{
    const char *format = common(arguments, MRI_OPTION_OUTPUT_FORMAT);

    if (format == NULL) return MR_OUTPUT_AUTO;
    if (strcmp(format, "table") == 0) return MR_OUTPUT_TABLE;
    return strcmp(format, "csv") == 0 ? MR_OUTPUT_CSV : MR_OUTPUT_NDJSON;
}

void mr_write_output(struct mr_stream *in, const struct mr_arguments *arguments)
{
    struct mr_write_options options = {.size = sizeof options};

    if (arguments != NULL) {
        options.path = common(arguments, MRI_OPTION_OUTPUT);
        options.format = output_format(arguments);
    }
    mr_write(in, &options);
}

static bool results_on_terminal(const struct mr_arguments *arguments)
{
    return strcmp(common(arguments, MRI_OPTION_OUTPUT), "-") == 0 && isatty(STDOUT_FILENO) != 0;
}

/* ---- the end of a run ---- */

static void say(const struct mr_arguments *arguments, const char *text)
{
    fprintf(stderr, "%s: %s\n", arguments->command->name, text);
}

/* True if a new file may take the place of what is there: nothing, or a regular file. */
static bool replaceable(const char *path)
{
    struct stat status;

    return lstat(path, &status) != 0 ? errno == ENOENT : S_ISREG(status.st_mode);
}

static bool write_whole(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    bool good;

    if (file == NULL) return false;
    good = fputs(text, file) >= 0;
    return fclose(file) == 0 && good;
}

/* Beside and renamed, like every other output; devices and pipes are written to directly. */
static bool write_file(const char *path, const char *text)
{
    char beside[4096];
    int size;

    if (!replaceable(path)) return write_whole(path, text);
    size = snprintf(beside, sizeof beside, "%s.tmp-%ld", path, (long)getpid());
    if (size < 0 || (size_t)size >= sizeof beside) {
        errno = ENAMETOOLONG;
        return false;
    }
    if (write_whole(beside, text) && rename(beside, path) == 0) return true;
    (void)unlink(beside);
    return false;
}

static int write_metrics(const struct mr_arguments *arguments, struct mr_job *job)
{
    const char *path = common(arguments, MRI_OPTION_METRICS_JSON);
    char *text = path == NULL ? NULL : mr_job_metrics_json(job);
    bool good = text == NULL || write_file(path, text);

    if (!good) {
        fprintf(stderr, "%s: --metrics-json: %s cannot be written: %s\n", arguments->command->name,
                path, strerror(errno));
    }
    free(text);
    return good ? EXIT_DONE : EXIT_FAILED;
}

static int exit_code(enum mr_status status, const struct mr_summary *summary)
{
    if (status == MR_OK) return EXIT_DONE;
    if (summary->stopped) return EXIT_STOPPED;
    if (status == MR_E_CLOSED) return EXIT_SIGNAL + SIGPIPE;
    if (status == MR_E_CANCELLED) {
        return EXIT_SIGNAL + (first_signal != 0 ? (int)first_signal : SIGINT);
    }
    return EXIT_FAILED;
}

static void report(const struct mr_arguments *arguments, const struct mr_job *job,
                   enum mr_status status, const struct mr_summary *summary)
{
    bool ran = status == MR_OK || summary->cancelled || summary->rows_in > 0;

    if (status == MR_E_CLOSED) { /* `| head`: no failure of ours and no noise */
        if (!quiet(arguments)) say(arguments, "stopped: the reader of the output went away");
        return;
    }
    if (summary->was_finished) {
        if (!quiet(arguments)) {
            say(arguments, "this job is finished: its input was read to the end, or as far as it was "
                           "drained, and its output is in place; nothing was done (--fresh starts "
                           "anew)");
        }
        return;
    }
    if (ran && !quiet(arguments)) mri_print_summary(arguments, summary, colour_wanted(), stderr);
    if (status != MR_OK && status != MR_E_CANCELLED) say(arguments, mr_job_error(job));
}

static void on_notice(void *self, const char *text)
{
    say(self, text);
}

static int run(struct mr_arguments *arguments, struct mr_job *job)
{
    struct mr_summary summary;
    struct handlers handlers;
    struct mri_progress progress = {
        .name = arguments->command->name,
        .file = STDERR_FILENO,
        .results_there = results_on_terminal(arguments),
        .colour = colour_wanted(),
    };
    enum mr_status status;
    int code;
    int metrics_code;

    if (!quiet(arguments) && smart_terminal(STDERR_FILENO)) {
        mri_progress_attach(&progress, job);
    }
    job->listen = quiet(arguments) ? NULL : on_notice;
    job->listen_self = arguments;
    handlers_set(&handlers, job);
    status = mr_job_run(job, &summary);
    mri_progress_end(&progress, status == MR_OK || summary.rows_out > 0);
    code = exit_code(status, &summary);
    report(arguments, job, status, &summary);
    metrics_code = write_metrics(arguments, job);
    handlers_restore(&handlers);
    return code != EXIT_DONE ? code : metrics_code;
}

/* ---- the command ---- */

/* What was printed on stdout has left the process; a reader that went away is no failure. */
static int flush_stdout(const char *name)
{
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return EXIT_DONE;
    if (errno == EPIPE) return EXIT_SIGNAL + SIGPIPE;
    fprintf(stderr, "%s: standard output cannot be written: %s\n", name, strerror(errno));
    return EXIT_FAILED;
}

static int explain(const struct mr_arguments *arguments, struct mr_job *job)
{
    bool as_dot = strcmp(common(arguments, MRI_OPTION_EXPLAIN), "dot") == 0;
    char *text = mr_job_explain(job, as_dot);

    if (text == NULL) {
        say(arguments, mr_job_error(job));
        return EXIT_FAILED;
    }
    fputs(text, stdout);
    free(text);
    return flush_stdout(arguments->command->name);
}

static int build_and_run(struct mr_arguments *arguments, mr_build_fn build)
{
    struct mr_job_options options = job_options(arguments);
    struct mr_job *job = mr_job_create(arguments->command->name, &options);
    int code = EXIT_FAILED;

    arguments->job = job;
    if (job != NULL) job->is_command = true;
    if (job != NULL && mr_job_status(job) == MR_OK) build(job, arguments);
    if (mr_job_status(job) != MR_OK) {
        say(arguments, mr_job_error(job));
    } else if (common(arguments, MRI_OPTION_EXPLAIN) != NULL) {
        code = explain(arguments, job);
    } else {
        code = run(arguments, job);
    }
    mr_job_destroy(job);
    return code;
}

int mr_command_run(const struct mr_command *command, mr_build_fn build, int argc, char **argv)
{
    struct mr_arguments arguments;
    struct sigaction ignore;
    struct sigaction before;
    int code;

    if (command == NULL || (command->size != 0 && command->size < sizeof *command) ||
        build == NULL || command->name == NULL) {
        fputs("mr_command_run: needs a command with size and name, and a function that builds\n",
              stderr);
        return EXIT_USAGE;
    }
    /* A closed pipe is a status of the write that meets it, not the end of the process. */
    memset(&ignore, 0, sizeof ignore);
    ignore.sa_handler = SIG_IGN;
    sigemptyset(&ignore.sa_mask);
    sigaction(SIGPIPE, &ignore, &before);
    if (!mri_arguments_parse(command, argc, argv, &arguments)) {
        fprintf(stderr, "%s: %s\n(%s --help shows all options)\n", command->name, arguments.error,
                command->name);
        code = EXIT_USAGE;
    } else if (arguments.given[MRI_OPTION_HELP] != NULL) {
        mri_print_help(command, stdout);
        code = flush_stdout(command->name);
    } else {
        code = build_and_run(&arguments, build);
    }
    sigaction(SIGPIPE, &before, NULL);
    return code;
}
