#include "durable.h"

#include "base/status.h"
#include "runtime/sink_operator.h"
#include <string.h>
#include <time.h>

#define PAUSE_MIN_US (100 * MR_MILLISECOND)
#define PAUSE_MAX_US (10 * MR_SECOND)

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

enum mr_status mri_guarantee_check(struct mr_job *job, struct mr_error *err)
{
    const struct mr_job_options *options = &job->options;
    bool asked = options->guarantee == MR_EXACTLY_ONCE || options->guarantee == MR_AT_LEAST_ONCE;

    if (options->state_dir == NULL && asked) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "--guarantee exactly-once and at-least-once need a directory that "
                            "keeps progress and state: --state-dir DIR");
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

/* ---- the directory ---- */

enum mr_status mri_durable_open(struct mri_durable *durable, struct mr_job *job,
                                struct mr_disk *disk, const struct mr_plan *plan,
                                const struct mr_input *inputs, uint32_t input_count,
                                struct mr_error *err)
{
    (void)plan;
    (void)inputs;
    (void)input_count;
    (void)err;
    *durable = (struct mri_durable){.job = NULL};
    if (job->options.state_dir == NULL) return MR_OK;
    durable->job = job;
    durable->disk = disk;
    return MR_OK;
}

void mri_durable_close(struct mri_durable *durable)
{
    *durable = (struct mri_durable){.job = NULL};
}

/* ---- again? ---- */

static bool worth_another(enum mr_status status)
{
    switch (mr_status_class(status)) {
    case MR_CLASS_RETRY:
    case MR_CLASS_ABORT: return true;
    case MR_CLASS_FATAL: return status == MR_E_IO || status == MR_E_NO_SPACE;
    case MR_CLASS_USER: return status == MR_E_USER_FUNCTION;
    case MR_CLASS_NONE: break;
    }
    return false;
}

static void wait_us(const struct mr_job *job, int64_t us)
{
    const struct timespec piece = {0, 10000000};

    for (int64_t waited = 0; waited < us && !atomic_load(&job->cancelled);
         waited += piece.tv_nsec / 1000) {
        (void)nanosleep(&piece, NULL);
    }
}

bool mri_durable_again(struct mri_durable *durable, enum mr_status status, uint32_t attempts,
                       const struct mr_error *err)
{
    struct mr_job *job = durable->job;
    uint32_t shift = MR_MIN(attempts - 1, 10u);

    if (job == NULL || !worth_another(status) || attempts > job->options.restarts) return false;
    mri_notify(job, "attempt %u failed: %s", attempts, err->text);
    mri_notify(job, "beginning again from the last complete epoch (%u of %u restarts)", attempts,
               job->options.restarts);
    wait_us(job, MR_MIN(PAUSE_MIN_US << shift, PAUSE_MAX_US));
    return !atomic_load(&job->cancelled);
}
