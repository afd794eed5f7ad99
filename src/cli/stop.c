/* stop.c - millrace stop: ends a job that has a state directory, at an epoch. */
#include "cli.h"

#include "api/offline.h"
#include "base/status.h"
#include "base/time.h"
#include "state/holder.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_US (20 * MR_MILLISECOND)

struct wish {
    const char *dir;
    bool drain;
    const char *savepoint; /* NULL: none */
    int64_t wait_us;
};

static int usage(const char *what)
{
    fprintf(stderr, "millrace: stop: %s\n(millrace help stop shows how it is used)\n", what);
    return MRI_EXIT_USAGE;
}

static int failed(const char *text)
{
    fprintf(stderr, "millrace: stop: %s\n", text);
    return MRI_EXIT_FAILED;
}

static bool value_of(const char *name, int argc, char **argv, int *at, const char **out)
{
    size_t size = strlen(name);

    if (strncmp(argv[*at], name, size) != 0) return false;
    if (argv[*at][size] == '=') {
        *out = argv[*at] + size + 1;
        return true;
    }
    if (argv[*at][size] != '\0' || *at + 1 >= argc) return false;
    *out = argv[++*at];
    return true;
}

static const char *parse(int argc, char **argv, struct wish *out)
{
    const char *timeout = NULL;

    *out = (struct wish){.wait_us = 60 * MR_SECOND};
    for (int at = 1; at < argc; at++) {
        if (strcmp(argv[at], "--drain") == 0) {
            out->drain = true;
        } else if (value_of("--savepoint", argc, argv, &at, &out->savepoint) ||
                   value_of("--timeout", argc, argv, &at, &timeout)) {
            continue;
        } else if (argv[at][0] == '-') {
            return "there is no such option";
        } else if (out->dir != NULL) {
            return "one state directory at a time";
        } else {
            out->dir = argv[at];
        }
    }
    if (out->dir == NULL) return "which state directory?";
    if (timeout != NULL && (!mr_parse_duration(timeout, &out->wait_us) || out->wait_us <= 0)) {
        return "--timeout wants a duration such as 30s";
    }
    return NULL;
}

/* The job looks for this file while it runs, and removes it. */
static bool ask(const struct wish *wish)
{
    const char *word = wish->drain ? "drain\n" : "stop\n";
    char path[4096];
    int size = snprintf(path, sizeof path, "%s/STOP", wish->dir);
    int file;
    bool good;

    if (size < 0 || (size_t)size >= sizeof path) return false;
    file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (file < 0) return false;
    good = write(file, word, strlen(word)) == (ssize_t)strlen(word);
    return close(file) == 0 && good;
}

/* Takes the lock as soon as nobody has it; *out_ran: somebody had it at first. */
static enum mr_status wait_for_end(const struct wish *wish, struct mri_offline *offline,
                                   struct mr_holder *holder, bool *out_ran, struct mr_error *err)
{
    const struct mr_process_id self = mri_offline_self();
    const struct timespec pause = {0, LOOK_US * 1000};
    struct mr_process_id other;
    enum mr_status st = MR_E_BUSY;

    *out_ran = false;
    for (int64_t waited_us = 0; waited_us < wish->wait_us; waited_us += LOOK_US) {
        st = mr_holder_take(holder, offline->heap, offline->disk, wish->dir, &self, &other, err);
        if (st != MR_E_BUSY) return st;
        if (!*out_ran && !ask(wish)) {
            return mr_error_set(err, MR_E_ACCESS, "%s: the job cannot be asked to stop: %s", wish->dir,
                                strerror(errno));
        }
        *out_ran = true;
        (void)nanosleep(&pause, NULL);
    }
    return st;
}

/* `millrace state export DIR --savepoint OUT`, while nobody works on the directory. */
static int make_savepoint(const struct wish *wish)
{
    char *words[] = {(char *)(uintptr_t) "state", (char *)(uintptr_t) "export",
                     (char *)(uintptr_t)wish->dir, (char *)(uintptr_t) "--savepoint",
                     (char *)(uintptr_t)wish->savepoint, NULL};

    return mri_cli_state.run(5, words);
}

static int stop(const struct wish *wish, struct mri_offline *offline)
{
    struct mr_holder holder = {.file = MR_FILE_NONE};
    struct mr_error err;
    bool ran;
    int code = MRI_EXIT_DONE;

    if (wait_for_end(wish, offline, &holder, &ran, &err) != MR_OK) return failed(err.text);
    if (!ran) fprintf(stderr, "millrace: stop: no job works on %s\n", wish->dir);
    if (wish->savepoint != NULL) code = make_savepoint(wish);
    mr_holder_release(&holder);
    return code;
}

static int run_stop(int argc, char **argv)
{
    struct mri_offline offline;
    struct mr_error err;
    struct wish wish;
    const char *wrong = parse(argc, argv, &wish);
    int code;

    if (wrong != NULL) return usage(wrong);
    if (access(wish.dir, F_OK) != 0) return failed("there is no such directory");
    if (mri_offline_open(&offline, &err) != MR_OK) return failed(err.text);
    code = stop(&wish, &offline);
    mri_offline_close(&offline);
    return code;
}

const struct mri_cli_command mri_cli_stop = {
    .name = "stop",
    .arguments = "DIR [--drain] [--savepoint OUT] [--timeout DURATION]",
    .summary = "ends the job of a state directory at an epoch, with a savepoint if asked for",
    .help = "DIR:          the job's --state-dir; the job completes an epoch and ends with code 3\n"
            "--drain       as if its input ended here: windows fire, all output is committed, code 0\n"
            "--savepoint   afterwards writes the state to OUT, a new directory that is yours: start\n"
            "              from it with --from OUT and another --state-dir\n"
            "--timeout     how long to wait for the job's end (60s)\n"
            "example:      millrace stop hours.state --savepoint hours.savepoint\n"
            "exit:         0 done, 1 it did not end or could not be asked, 2 wrong usage\n",
    .words = "",
    .run = run_stop,
};
