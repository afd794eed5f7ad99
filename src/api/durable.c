#include "durable.h"

#include "base/status.h"
#include "runtime/sink_operator.h"
#include "state/job_file.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MIN_US (100 * MR_MILLISECOND)
#define PAUSE_MAX_US (10 * MR_SECOND)
#define TAKEOVER_TRIES    50u
#define TAKEOVER_PAUSE_US (20 * MR_MILLISECOND)
#define TAKEOVER_WAIT_US  (10 * MR_SECOND)

/* ---- promises ---- */

static enum mr_status check_sources(const struct mr_job *job, struct mr_error *err)
{
    for (uint32_t i = 0; i < job->source_count; i++) {
        const struct mr_source_ops *ops = job->sources[i].ops;

        if (ops->position != NULL) continue;
        return mr_error_set(err, MR_E_PIPELINE,
                            "source '%s' (%s) cannot be read again from a position, so that no "
                            "failure can be survived; run without --state-dir",
                            job->model->nodes[job->source_nodes[i]]->id, ops->name);
    }
    return MR_OK;
}

enum mr_status mri_guarantee_check_input(const struct mr_job *job, const struct mr_input *input,
                                         struct mr_error *err)
{
    for (uint32_t i = 0; i < input->splits.count && job->options.state_dir != NULL; i++) {
        if (!input->splits.splits[i].once) continue;
        return mr_error_set(err, MR_E_PIPELINE,
                            "source '%s': %s cannot be read a second time, so that no failure can be "
                            "survived; read from files or a log, or run without --state-dir",
                            input->node->id, input->splits.splits[i].name);
    }
    return MR_OK;
}

/* Output that cannot be taken back is refused where exactly once was asked for, and announced where
 * it is only the default. */
static enum mr_status check_sinks(struct mr_job *job, struct mr_error *err)
{
    for (uint32_t i = 0; i < job->sink_count; i++) {
        const struct mr_sink *sink = &job->sinks[i];
        const char *id = job->model->nodes[job->sink_nodes[i]]->id;

        if (mr_sink_has_epochs(sink->ops, sink->spec)) continue;
        if (job->options.guarantee == MR_EXACTLY_ONCE) {
            return mr_error_set(err, MR_E_PIPELINE,
                                "sink '%s' (%s) writes to a place that takes nothing back: rows may "
                                "come twice after a failure, which --guarantee exactly-once rules "
                                "out; write to a file, a directory or a log, or ask for "
                                "--guarantee at-least-once",
                                id, sink->ops->name);
        }
        if (job->options.guarantee == MR_GUARANTEE_DEFAULT) {
            mri_notify(job,
                       "output '%s' (%s) cannot be taken back: it is at-least-once, rows may come "
                       "twice there after a failure",
                       id, sink->ops->name);
        }
    }
    return MR_OK;
}

static enum mr_status check_tracking(struct mr_job *job, struct mr_error *err)
{
    const struct mr_job_options *options = &job->options;
    const char *why = NULL;

    if (options->state_dir != NULL) {
        why = "--track follows single rows and --state-dir whole epochs: use one of them";
    } else if (options->guarantee != MR_GUARANTEE_DEFAULT &&
               options->guarantee != MR_AT_LEAST_ONCE) {
        why = "--track gives --guarantee at-least-once, and no other";
    } else if (options->mode == MR_MODE_BATCH) {
        why = "--track needs --mode streaming";
    }
    if (why != NULL) return mr_error_set(err, MR_E_PIPELINE, "%s", why);
    mri_notify(job, "rows are tracked one by one: at-least-once; keyed state of functions is not "
                    "durable, and a row that is sent again changes it again");
    return MR_OK;
}

enum mr_status mri_guarantee_check(struct mr_job *job, struct mr_error *err)
{
    const struct mr_job_options *options = &job->options;
    bool asked = options->guarantee == MR_EXACTLY_ONCE || options->guarantee == MR_AT_LEAST_ONCE;

    if (options->track) return check_tracking(job, err);
    if (options->state_dir == NULL && asked) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "--guarantee exactly-once and at-least-once need a directory that "
                            "keeps progress and state, --state-dir DIR (at-least-once: or "
                            "--track)");
    }
    if (options->state_dir == NULL) return MR_OK;
    if (options->guarantee == MR_AT_MOST_ONCE) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "--guarantee at-most-once keeps nothing, so --state-dir has no use");
    }
    if (options->mode == MR_MODE_BATCH) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "--mode batch has no epochs: a failed job is run again from the start; "
                            "leave --state-dir out, or use --mode streaming");
    }
    if (options->on_error == MR_ON_ERROR_DEAD_LETTER) {
        mri_notify(job, "dead letters are not part of epochs: after a failure some may come twice, "
                        "and those of an attempt that was killed are lost");
    }
    MR_RET(check_sources(job, err));
    return check_sinks(job, err);
}

static void wait_us(const struct mr_job *job, int64_t us)
{
    const struct timespec piece = {0, 10000000};

    for (int64_t waited = 0; waited < us && !atomic_load(&job->cancelled);
         waited += piece.tv_nsec / 1000) {
        (void)nanosleep(&piece, NULL);
    }
}

/* ---- the directory ---- */

/* One row at a time comes in: the one that is rejected is the one that crashed. */
static bool reads_one_by_one(const struct mr_input *inputs, uint32_t input_count)
{
    return input_count == 1 && (inputs->splits.bounded || inputs->splits.count <= 1);
}

/* A simulated process crashes in the simulator's way. */
static void open_crash_note(struct mri_durable *durable, const struct mr_input *inputs,
                            uint32_t input_count)
{
    struct mr_job *job = durable->job;

    if (job->hooks != NULL && job->hooks->drive != NULL) return;
    mri_crash_note_open(&durable->crash, job->options.state_dir);
    durable->crash.poison &= reads_one_by_one(inputs, input_count);
    if (durable->crash.rows == 0) return;
    mri_notify(job, "the process crashed in an earlier run: reading at most %llu rows at a time to "
                    "find the record that does it",
               (unsigned long long)durable->crash.rows);
}

/* Takes the lock; with --takeover from a process that has it. */
static enum mr_status take_lock(struct mri_durable *durable, struct mr_error *err)
{
    struct mr_job *job = durable->job;
    const struct mr_process_id self = {.pid = mr_posix_pid(), .started_us = mr_posix_started_us()};
    struct mr_process_id other, ended = {.pid = 0};
    enum mr_status st = MR_E_BUSY;

    for (uint32_t try = 0; try < TAKEOVER_TRIES && st == MR_E_BUSY; try++) {
        st = mr_holder_take(&durable->holder, job->heap, durable->disk, job->options.state_dir, &self,
                            &other, err);
        if (st != MR_E_BUSY || !job->options.takeover) return st;
        if (other.pid == 0) { /* it has the lock, but has not written who it is */
            wait_us(job, TAKEOVER_PAUSE_US);
            continue;
        }
        if (other.pid == ended.pid && other.started_us == ended.started_us) {
            wait_us(job, TAKEOVER_PAUSE_US); /* the next holder has not written yet, or a child of it */
            continue;
        }
        mri_notify(job, "ending process %llu, which holds %s", (unsigned long long)other.pid,
                   job->options.state_dir);
        MR_RET(mr_posix_end_process(other.pid, other.started_us, TAKEOVER_WAIT_US, err));
        ended = other;
    }
    return st;
}

/* --fresh. Output that an earlier run committed would stand beside that of the new one, or be replaced
 * by it: that is for the user to decide. */
static enum mr_status forget(struct mri_durable *durable, struct mr_error *err)
{
    struct mr_job *job = durable->job;

    for (uint32_t i = 0; i < job->sink_count; i++) {
        const char *path = job->sink_files[i];

        if (path == NULL || access(path, F_OK) != 0) continue;
        return mr_error_set(err, MR_E_PIPELINE,
                            "--fresh: %s exists, and may hold what an earlier run committed; move or "
                            "remove it first",
                            path);
    }
    return mr_holder_clear(&durable->holder, job->heap, job->options.state_dir, err);
}

/* A text may hold anything but must not begin a new line. */
static void add_one_line(struct mr_text *out, const char *text)
{
    for (; *text != '\0'; text++) mr_text_add_char(out, *text == '\n' ? ' ' : *text);
    mr_text_add_char(out, '\n');
}

/* What the state depends on: the lines of JOB. A line cut short by lack of memory would be another
 * pipeline. */
static enum mr_status describe_operator(const struct mr_node *node, struct mr_text *out)
{
    struct mr_text about;
    enum mr_status st;

    mr_text_format(out, "operator %s %s", node->id, mr_node_kind_name(node->kind));
    mr_text_init(&about, out->heap, 0);
    if (node->kind == MR_NODE_SINK) {
        mri_describe(NULL, node, &about);
    } else if (node->kind == MR_NODE_AGGREGATE || node->kind == MR_NODE_TOP) {
        mr_node_print(node, &about);
    }
    st = mr_text_status(&about);
    if (*mr_text_get(&about) != '\0') mr_text_add_char(out, ' ');
    add_one_line(out, mr_text_get(&about));
    mr_text_fini(&about);
    return st;
}

static enum mr_status describe_job(const struct mr_job *job, const struct mr_plan *plan,
                         const struct mr_input *inputs, uint32_t input_count, struct mr_text *out)
{
    mr_text_format(out, MR_JOB_FILE_HEAD "name %s\ngroups %u\n", job->name,
                   plan->options.key_group_count);
    for (uint32_t i = 0; i < job->model->node_count; i++) {
        MR_RET(describe_operator(job->model->nodes[i], out));
    }
    for (uint32_t i = 0; i < input_count; i++) {
        for (uint32_t s = 0; s < inputs[i].splits.count; s++) {
            const struct mr_split *split = &inputs[i].splits.splits[s];

            mr_text_format(out, "input %s %llu+%llu ", inputs[i].node->id,
                           (unsigned long long)split->offset_bytes,
                           (unsigned long long)split->size_bytes);
            add_one_line(out, split->name);
        }
    }
    return mr_text_status(out);
}

/* JOB is written before anything else: state without it was not left by a job. */
static enum mr_status refuse_lost_job(const struct mr_job *job, struct mr_error *err)
{
    char path[4096];

    (void)snprintf(path, sizeof path, "%s/META", job->options.state_dir);
    if (access(path, F_OK) != 0) return MR_OK;
    return mr_error_set(err, MR_E_CORRUPT,
                        "%s: the file JOB is missing, so that nobody can tell whose state this is; "
                        "bring it back, or name an empty directory",
                        job->options.state_dir);
}

static enum mr_status check_job(struct mri_durable *durable, const struct mr_plan *plan,
                                const struct mr_input *inputs, uint32_t input_count,
                                struct mr_error *err)
{
    struct mr_job *job = durable->job;
    struct mr_job_file_options options = {.dir = job->options.state_dir,
                                          .allow_dropped = job->options.allow_dropped_state};
    struct mr_text lines;
    enum mr_status st;
    bool fresh;

    mr_text_init(&lines, job->heap, 0);
    st = describe_job(job, plan, inputs, input_count, &lines);
    if (st != MR_OK) {
        st = mr_error_nomem(err, "the description of a job", 4096);
    } else {
        options.lines = mr_text_get(&lines);
        st = mr_job_file_check(job->heap, durable->disk, &options, &fresh, err);
        if (st == MR_OK && fresh) st = refuse_lost_job(job, err);
        if (st == MR_OK && (fresh || options.allow_dropped)) {
            st = mr_job_file_write(job->heap, durable->disk, &options, err);
        }
    }
    mr_text_fini(&lines);
    return st;
}

static enum mri_stop read_stop(const struct mri_durable *durable)
{
    char path[4096];
    char word[8] = "";
    ssize_t size;
    int file;

    (void)snprintf(path, sizeof path, "%s/STOP", durable->job->options.state_dir);
    file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) return MRI_STOP_NOT;
    size = read(file, word, sizeof word - 1);
    (void)close(file);
    if (size <= 0 || strchr(word, '\n') == NULL) return MRI_STOP_NOT; /* is being written */
    (void)unlink(path);
    return strncmp(word, "drain", 5) == 0 ? MRI_STOP_DRAIN : MRI_STOP_AT_EPOCH;
}

enum mr_status mri_durable_open(struct mri_durable *durable, struct mr_job *job,
                                struct mr_disk *disk, const struct mr_plan *plan,
                                const struct mr_input *inputs, uint32_t input_count,
                                struct mr_error *err)
{
    *durable = (struct mri_durable){.crash = {.file = -1}, .holder = {.file = MR_FILE_NONE}};
    if (job->options.state_dir == NULL) return MR_OK;
    durable->job = job;
    durable->disk = disk;
    MR_RET(take_lock(durable, err));
    if (job->options.fresh) MR_RET(forget(durable, err));
    MR_RET(check_job(durable, plan, inputs, input_count, err));
    (void)read_stop(durable); /* one that came too late for the run before */
    open_crash_note(durable, inputs, input_count);
    return MR_OK;
}

void mri_durable_close(struct mri_durable *durable, bool failed)
{
    if (durable->job != NULL) mri_crash_note_close(&durable->crash, failed);
    if (durable->job != NULL) mr_holder_release(&durable->holder);
    *durable = (struct mri_durable){.job = NULL};
}

/* Kept: the attempt that heard it may fail, and the next one would not hear it. */
enum mri_stop mri_durable_stop_asked(struct mri_durable *durable)
{
    enum mri_stop stop;

    if (durable->job == NULL) return MRI_STOP_NOT;
    stop = read_stop(durable);
    if (stop != MRI_STOP_NOT) durable->stop = stop;
    return durable->stop;
}

/* ---- again? ---- */

static bool worth_another(enum mr_status status)
{
    switch (mr_status_class(status)) {
    case MR_CLASS_RETRY:
    case MR_CLASS_ABORT: return true;
    case MR_CLASS_FATAL: return status == MR_E_IO;
    case MR_CLASS_USER: return status == MR_E_USER_FUNCTION;
    case MR_CLASS_NONE: break;
    }
    return false;
}

/* A full disk is nobody's fault and mostly ends: the job waits for it, however long. */
static void wait_for_space(const struct mr_job *job, int64_t pause_us, const struct mr_error *err)
{
    mri_notify(job, "%s; waiting for space, then going on from the last complete epoch", err->text);
    wait_us(job, MR_MIN(pause_us, PAUSE_MAX_US));
}

bool mri_durable_again(struct mri_durable *durable, enum mr_status status, uint32_t attempts,
                       const struct mr_error *err)
{
    struct mr_job *job = durable->job;
    uint32_t shift = MR_MIN(attempts - 1, 10u);

    if (job == NULL) return false;
    if (status == MR_E_NO_SPACE) {
        wait_for_space(job, PAUSE_MIN_US << shift, err);
        return true;
    }
    if (!worth_another(status) || durable->restart_count >= job->options.restarts) return false;
    durable->restart_count++;
    mri_notify(job, "attempt %u failed: %s", attempts, err->text);
    mri_notify(job, "beginning again from the last complete epoch (%u of %u restarts)",
               durable->restart_count, job->options.restarts);
    wait_us(job, MR_MIN(PAUSE_MIN_US << shift, PAUSE_MAX_US));
    return true;
}
