#include "run.h"

#include "base/assert.h"
#include "base/status.h"
#include "durable.h"
#include "runtime/checkpoint.h"
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* How often the waiting thread looks: soon at first, so that short jobs end at once. */
#define WATCH_US (50 * MR_MILLISECOND)

/* What lives from planning to the end of the run. */
struct run {
    struct mr_job *job;
    struct mr_arena arena; /* split lists */
    struct mr_disk *disk;  /* for planning and dead letters' opening */
    struct mr_disk *letters_disk;
    struct mr_input inputs[MR_JOB_SOURCES_MAX];
    uint32_t input_count;
    bool streaming;
    bool bounded;
    uint64_t total_bytes;
    struct mr_plan *plan;
    struct mr_dead_letter *letters;
    struct mri_durable durable; /* the state directory, if there is one */
    struct mr_runner *runner;         /* of this attempt */
    struct mr_checkpoint *checkpoint; /* the runner's; NULL: no epochs */
    bool told_waiting;                /* that an epoch waits for the disk */
    pthread_mutex_t mutex; /* guards live_threads; leaf lock */
    pthread_cond_t ended;
    uint32_t live_threads;
};

struct worker_thread {
    struct run *run;
    uint32_t ordinal;
    pthread_t thread;
};

/* What hooks say, or that there are none. */
static struct mri_job_hooks hooks_of(const struct mr_job *job)
{
    return job->hooks != NULL ? *job->hooks : (struct mri_job_hooks){.port = NULL};
}

static const struct mr_port *port_of(const struct mr_job *job)
{
    return job->hooks != NULL && job->hooks->port != NULL ? job->hooks->port : &job->port;
}

static struct mr_disk *new_disk(const struct mr_job *job)
{
    const struct mr_port *port = port_of(job);

    return port->disk_create(port->self, job->heap);
}

static void end_disk(const struct mr_job *job, struct mr_disk *disk)
{
    const struct mr_port *port = port_of(job);

    if (disk != NULL) port->disk_destroy(port->self, disk);
}

/* ---- planning ---- */

static enum mr_status plan_inputs(struct run *run, bool streaming, struct mr_error *err)
{
    struct mr_job *job = run->job;

    run->bounded = true;
    run->total_bytes = 0;
    run->input_count = 0;
    for (uint32_t i = 0; i < job->source_count; i++) {
        struct mr_input *input = &run->inputs[i];
        struct mr_plan_context context = {
            .heap = job->heap, .disk = run->disk, .streaming = streaming};

        *input = (struct mr_input){.node = job->model->nodes[job->source_nodes[i]],
                                   .ops = job->sources[i].ops,
                                   .spec = job->sources[i].spec,
                                   .splits = {.arena = &run->arena}};
        MR_RET(input->ops->plan(input->spec, &context, &input->splits, err));
        MR_RET(mri_guarantee_check_input(job, input, err));
        run->input_count++;
        run->bounded &= input->splits.bounded;
        if (input->splits.total_bytes == UINT64_MAX || run->total_bytes == UINT64_MAX) {
            run->total_bytes = UINT64_MAX;
        } else {
            run->total_bytes += input->splits.total_bytes;
        }
    }
    return MR_OK;
}

static enum mr_status check_unbounded(const struct run *run, struct mr_error *err)
{
    const struct mr_model *model = run->job->model;

    if (run->bounded) return MR_OK;
    if (run->job->options.mode == MR_MODE_BATCH) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "--mode batch needs input that ends, but a source of this job does "
                            "not (a pipe, or a generator without an end); use --mode streaming");
    }
    for (uint32_t i = 0; i < model->node_count; i++) {
        if (model->nodes[i]->kind != MR_NODE_TOP) continue;
        return mr_error_set(err, MR_E_PIPELINE,
                            "'%s' sorts the whole input, but a source of this job does not end; "
                            "aggregate by window first, or read from files",
                            model->nodes[i]->id);
    }
    return MR_OK;
}

static enum mr_status make_plan(struct run *run, struct mr_error *err)
{
    struct mr_job *job = run->job;
    struct mr_plan_options options = {
        .workers = job->options.workers,
        .no_two_stage = job->options.no_two_stage,
        .no_fusion = job->options.no_fusion,
        .no_pruning = hooks_of(job).no_pruning,
        .memory_bytes = job->options.memory_bytes,
        .quota_bytes = hooks_of(job).quota_bytes,
        .ring_slots = hooks_of(job).ring_slots,
    };
    bool streaming = job->options.mode == MR_MODE_STREAMING ||
                     job->options.state_dir != NULL || job->options.track;

    MR_RET(mr_model_check(job->model, err));
    MR_RET(mri_guarantee_check(job, err));
    run->disk = new_disk(job);
    if (run->disk == NULL) return mr_error_nomem(err, "a disk", sizeof(struct mr_disk));
    MR_RET(plan_inputs(run, streaming, err));
    if (!run->bounded && !streaming) {
        streaming = true;
        MR_RET(plan_inputs(run, streaming, err));
    }
    MR_RET(check_unbounded(run, err));
    run->streaming = streaming;
    options.streaming = streaming;
    options.tracked = job->options.track;
    /* In batch mode the watermark jumps to the end: no row is late. */
    options.late_by_split = streaming && job->options.late == MR_LATE_BY_SPLIT;
    return mr_plan_create(job->heap, job->model, &options, &run->plan, err);
}

static void run_init(struct run *run, struct mr_job *job)
{
    *run = (struct run){.job = job};
    mr_arena_init(&run->arena, job->heap);
}

static void run_fini(struct run *run)
{
    struct mr_job *job = run->job;

    mr_runner_destroy(run->runner);
    mri_durable_close(&run->durable, job->error.status != MR_OK);
    mr_plan_destroy(run->plan);
    mr_dead_letter_close(run->letters);
    end_disk(job, run->letters_disk);
    end_disk(job, run->disk);
    mr_arena_fini(&run->arena);
}

enum mr_status mri_explain(struct mr_job *job, bool as_dot, struct mr_text *out)
{
    struct mr_error err = {.status = MR_OK};
    struct run *run = mr_alloc(job->heap, sizeof *run);
    enum mr_status st;

    if (run == NULL) {
        mr_error_nomem(&err, "a plan", sizeof *run);
        return mri_job_fail(job, &err);
    }
    run_init(run, job);
    st = make_plan(run, &err);
    if (st == MR_OK && as_dot) mr_plan_print_dot(run->plan, mri_describe, NULL, out);
    if (st == MR_OK && !as_dot) mr_plan_print(run->plan, mri_describe, NULL, out);
    if (st != MR_OK) mri_job_fail(job, &err);
    run_fini(run);
    mr_free(job->heap, run, sizeof *run);
    return st;
}

/* ---- threads ---- */

static void *worker_main(void *argument)
{
    struct worker_thread *self = argument;
    struct run *run = self->run;

    mr_worker_run(run->runner, self->ordinal);
    pthread_mutex_lock(&run->mutex);
    run->live_threads--;
    pthread_cond_signal(&run->ended);
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

static void fail_run(struct run *run, enum mr_status status, const char *text)
{
    struct mr_error err;

    mr_error_set(&err, status, "%s", text);
    mr_runner_fail(run->runner, &err);
}

/* With epochs the job ends at the next one, unless the disk is full: that may take for ever. */
static void end_early(struct run *run)
{
    if (run->checkpoint == NULL) {
        fail_run(run, MR_E_CANCELLED, "the job was cancelled");
    } else if (mr_checkpoint_waiting(run->checkpoint)) {
        fail_run(run, MR_E_CANCELLED, "the job was cancelled while an epoch waited for the disk");
    } else {
        mr_checkpoint_stop(run->checkpoint);
    }
}

/* `millrace stop`. Draining: input ends as if it were over. */
static void hear_stop(struct run *run)
{
    if (run->checkpoint == NULL) return;
    switch (mri_durable_stop_asked(&run->durable)) {
    case MRI_STOP_NOT: break;
    case MRI_STOP_AT_EPOCH: mr_checkpoint_stop(run->checkpoint); break;
    case MRI_STOP_DRAIN: atomic_store(&run->runner->stopping, true); break;
    }
}

/* A full disk is no failure, but somebody has to make room. */
static void tell_waiting(struct run *run)
{
    bool waiting = run->checkpoint != NULL && mr_checkpoint_waiting(run->checkpoint);

    if (waiting == run->told_waiting) return;
    run->told_waiting = waiting;
    if (waiting) {
        mri_notify(run->job, "%s: no space left for an epoch; the job waits until there is some",
                   run->job->options.state_dir);
    } else {
        mri_notify(run->job, "%s: there is space again", run->job->options.state_dir);
    }
}

static void look(struct run *run)
{
    struct mr_job *job = run->job;

    hear_stop(run);
    tell_waiting(run);
    if (atomic_load(&job->cancelled)) end_early(run);
    if (job->watch != NULL) {
        job->watch(job->watch_self, job, run->runner, run->total_bytes, run->bounded);
    }
}

/* Waits until every thread has left its loop, looking up from time to time. */
static void wait_for_threads(struct run *run)
{
    pthread_mutex_lock(&run->mutex);
    while (run->live_threads > 0) {
        struct timespec until;

        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += WATCH_US * 1000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&run->ended, &run->mutex, &until);
        pthread_mutex_unlock(&run->mutex);
        look(run);
        pthread_mutex_lock(&run->mutex);
    }
    pthread_mutex_unlock(&run->mutex);
}

/* This thread is the coordinator until there are no more epochs. */
static void coordinate(struct run *run)
{
    const struct mr_port *port = port_of(run->job);
    struct mr_ptime looked = port->clock.monotonic(port->clock.self);

    for (;;) {
        enum mr_progress progress = mr_runner_coordinator_turn(run->runner);
        struct mr_ptime now = port->clock.monotonic(port->clock.self);
        int64_t pause_us = mr_checkpoint_wake(run->checkpoint).us - now.us;

        if (progress == MR_PROGRESS_OVER) return;
        if (now.us - looked.us >= WATCH_US) {
            looked = now;
            look(run);
        }
        if (progress == MR_PROGRESS_MADE || pause_us <= 0) continue;
        port->parker.park(port->parker.self, run->runner->worker_count,
                          MR_MIN(pause_us, WATCH_US));
    }
}

static void run_threads(struct run *run, struct worker_thread *threads, uint32_t count)
{
    uint32_t started = 0;
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&run->ended, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&run->mutex, NULL);
    run->live_threads = count;
    for (; started < count; started++) {
        struct worker_thread *thread = &threads[started];

        *thread = (struct worker_thread){.run = run, .ordinal = started};
        if (pthread_create(&thread->thread, NULL, worker_main, thread) != 0) {
            fail_run(run, MR_E_LIMIT,
                     "the system gives no more threads; use fewer with --workers");
            pthread_mutex_lock(&run->mutex);
            run->live_threads -= count - started;
            pthread_mutex_unlock(&run->mutex);
            break;
        }
    }
    if (run->checkpoint != NULL) coordinate(run);
    wait_for_threads(run);
    for (uint32_t i = 0; i < started; i++) pthread_join(threads[i].thread, NULL);
    pthread_mutex_destroy(&run->mutex);
    pthread_cond_destroy(&run->ended);
}

/* ---- the run ---- */

static enum mr_status open_letters(struct run *run, struct mr_error *err)
{
    struct mr_job *job = run->job;

    if (job->options.on_error != MR_ON_ERROR_DEAD_LETTER) return MR_OK;
    run->letters_disk = new_disk(job);
    if (run->letters_disk == NULL) return mr_error_nomem(err, "a disk", sizeof(struct mr_disk));
    return mr_dead_letter_open(job->heap, run->letters_disk, job->dead_letter_path, &run->letters,
                               err);
}

static enum mr_status make_runner(struct run *run, struct mr_error *err)
{
    struct mr_job *job = run->job;
    struct mr_runner_options options = {
        .streaming = run->streaming,
        .late_by_split = run->plan->options.late_by_split,
        .epochs = job->options.state_dir != NULL,
        .track = job->options.track,
        .track_pending = job->options.track_pending,
        .track_timeout_us = job->options.track_timeout_us,
        .on_error = job->options.on_error,
        .letters = run->letters,
        .trace = hooks_of(job).trace,
        .batch_rows = hooks_of(job).batch_rows,
        .task_quota_bytes = hooks_of(job).task_quota_bytes,
    };

    return mr_runner_create(job->heap, run->plan, port_of(job), run->inputs, run->input_count,
                            &options, &run->runner, err);
}

/* Restores what the state directory holds; *out_nothing: an earlier run has read all the input. */
static enum mr_status open_checkpoint(struct run *run, bool *out_nothing, struct mr_summary *out,
                                      struct mr_error *err)
{
    const struct mr_job_options *options = &run->job->options;
    struct mr_checkpoint_options how = {
        .dir = options->state_dir,
        .from = options->from,
        .epoch_us = options->epoch_us == 0 ? MRI_EPOCH_US : options->epoch_us,
        .ordered = options->commit == MR_COMMIT_MICRO_BATCH,
        .allow_dropped_state = options->allow_dropped_state,
        .segment_bytes = hooks_of(run->job).segment_bytes,
        .careful_rows = run->durable.crash.rows,
        .poison = run->durable.crash.poison && out->attempts == 1, /* else it may be behind us */
        .note = mri_crash_note_batch,
        .note_self = &run->durable.crash,
    };
    const char *names;

    *out_nothing = false;
    if (options->state_dir == NULL) return MR_OK;
    MR_RET(mr_checkpoint_open(run->runner, &how, &run->checkpoint, err));
    *out_nothing = mr_checkpoint_job_finished(run->checkpoint);
    out->resumed |= mr_checkpoint_restored(run->checkpoint) > 0;
    out->was_finished = *out_nothing && out->attempts == 1;
    if (mr_checkpoint_dropped(run->checkpoint, &names) > 0) {
        mri_notify(run->job, "the state of %s is left out (%llu entries): this pipeline does not have "
                             "these operators",
                   names, (unsigned long long)mr_checkpoint_dropped(run->checkpoint, &names));
    }
    return MR_OK;
}

static void metrics(struct run *run, const struct mr_summary *summary);

static void summarise(const struct run *run, int64_t elapsed_us, struct mr_summary *out)
{
    const struct mr_runner *runner = run->runner;
    int64_t first = atomic_load(&runner->first_result_us);

    out->rows_in = mr_runner_counter(runner, MR_COUNTER_ROWS_IN);
    out->rows_out = mr_runner_counter(runner, MR_COUNTER_ROWS_OUT);
    out->rows_late = mr_runner_counter(runner, MR_COUNTER_ROWS_LATE);
    out->rows_rejected = mr_runner_counter(runner, MR_COUNTER_ROWS_REJECTED) +
                         mr_runner_counter(runner, MR_COUNTER_ROWS_DROPPED);
    out->rows_no_window = mr_runner_counter(runner, MR_COUNTER_ROWS_NO_WINDOW);
    out->bytes_in = mr_runner_counter(runner, MR_COUNTER_BYTES_IN);
    out->bytes_out = mr_runner_counter(runner, MR_COUNTER_BYTES_OUT);
    out->elapsed_us = elapsed_us;
    out->first_result_us = first == INT64_MAX ? -1 : first - runner->started.us;
}

static enum mr_status run_workers(struct run *run, struct mr_error *err)
{
    struct mr_job *job = run->job;
    uint32_t count = job->options.workers;
    struct worker_thread *threads;

    if (job->hooks != NULL && job->hooks->drive != NULL) {
        job->hooks->drive(job->hooks->self, run->runner);
        job->hooks->trace_hash = run->runner->trace;
        return MR_OK;
    }
    threads = mr_alloc_array(job->heap, count, sizeof *threads);
    if (threads == NULL) return mr_error_nomem(err, "threads", count * sizeof *threads);
    run_threads(run, threads, count);
    mr_free(job->heap, threads, count * sizeof *threads);
    /* The threads may have ended before anybody looked, but not the job: nothing is visible yet. */
    if (atomic_load(&job->cancelled) && run->checkpoint == NULL) {
        fail_run(run, MR_E_CANCELLED, "the job was cancelled");
    }
    return MR_OK;
}

/* A pipe's reader may take its time over the dead letters; whoever cancels need not wait for it. */
static enum mr_status commit_letters(struct run *run, struct mr_error *err)
{
    const struct timespec pause = {0, 1000000};
    bool blocked = true;

    for (;;) {
        MR_RET(mr_dead_letter_commit(run->letters, &blocked, err));
        if (!blocked) return MR_OK;
        if (atomic_load(&run->job->cancelled)) {
            return mr_error_set(err, MR_E_CANCELLED, "the job was cancelled");
        }
        (void)nanosleep(&pause, NULL);
    }
}

static void summarise_epochs(const struct run *run, struct mr_summary *out)
{
    struct mr_checkpoint_stats stats;

    if (run->checkpoint == NULL) return;
    stats = mr_checkpoint_stats(run->checkpoint);
    out->epochs += stats.epochs;
    out->last_epoch = stats.last_epoch;
    out->changed_bytes += stats.changed_bytes;
    out->written_bytes += stats.written_bytes;
    out->stopped = mr_checkpoint_stopped(run->checkpoint);
}

static enum mr_status commit(struct run *run, struct mr_summary *out, struct mr_error *err)
{
    /* What may still fail comes before the output is visible. */
    MR_RET(commit_letters(run, err));
    if (!out->stopped) return mr_runner_commit(run->runner, err);
    return mr_error_set(err, MR_E_CANCELLED, "stopped at epoch %llu; the same job goes on from there",
                        (unsigned long long)out->last_epoch);
}

static enum mr_status execute(struct run *run, struct mr_summary *out, struct mr_error *err)
{
    const struct mr_clock *clock = &port_of(run->job)->clock;
    enum mr_status st;

    MR_RET(run_workers(run, err));
    summarise_epochs(run, out);
    if (atomic_load(&run->runner->failed)) {
        *err = run->runner->error;
        st = err->status;
    } else {
        st = commit(run, out, err);
    }
    summarise(run, clock->monotonic(clock->self).us - run->runner->started.us, out);
    out->cancelled = st == MR_E_CANCELLED;
    metrics(run, out);
    return st;
}

/* One attempt: everything that a failure throws away is made anew. */
static enum mr_status attempt(struct run *run, struct mr_summary *out, struct mr_error *err)
{
    bool nothing;

    out->attempts++;
    MR_RET(make_runner(run, err));
    MR_RET(open_checkpoint(run, &nothing, out, err));
    if (nothing) return MR_OK;
    return execute(run, out, err);
}

static void end_attempt(struct run *run)
{
    mr_runner_destroy(run->runner);
    run->runner = NULL;
    run->checkpoint = NULL;
}

/* Attempts until one ends well or nothing is gained by another. */
static enum mr_status run_attempts(struct run *run, struct mr_summary *out, struct mr_error *err)
{
    enum mr_status st;

    for (;;) {
        st = attempt(run, out, err);
        if (st == MR_OK || !mri_durable_again(&run->durable, st, out->attempts, err)) return st;
        end_attempt(run);
        mr_error_clear(err);
        if (!atomic_load(&run->job->cancelled)) continue;
        out->stopped = out->cancelled = true;
        return mr_error_set(err, MR_E_CANCELLED,
                            "stopped before another attempt; the same job goes on from the last epoch");
    }
}

void mri_run(struct mr_job *job, struct mr_summary *out)
{
    struct mr_error err = {.status = MR_OK};
    struct run *run = mr_alloc(job->heap, sizeof *run);
    enum mr_status st;

    if (run == NULL) {
        mr_error_nomem(&err, "a run", sizeof *run);
        mri_job_fail(job, &err);
        return;
    }
    run_init(run, job);
    MR_GOTO(make_plan(run, &err));
    MR_GOTO(mri_durable_open(&run->durable, job, run->disk, run->plan, run->inputs,
                             run->input_count, &err));
    MR_GOTO(open_letters(run, &err));
    MR_GOTO(run_attempts(run, out, &err));
done:
    if (st != MR_OK) mri_job_fail(job, &err);
    run_fini(run);
    mr_free(job->heap, run, sizeof *run);
}

/* ---- metrics ---- */

static const char *const counter_names[MR_COUNTER_COUNT] = {
#define COUNTER_NAME(id, name, meaning) name,
    MR_COUNTER_MAP(COUNTER_NAME)
#undef COUNTER_NAME
};

static void task_json(const struct mr_task *task, struct mr_text *out)
{
    mr_text_format(out, "{\"stage\":%u,\"instance\":%u,\"operators\":[", task->stage->ordinal,
                   task->context.instance);
    for (uint32_t i = 0; i < task->stage->op_count; i++) {
        const struct mr_plan_op *op = &task->stage->ops[i];
        if (i > 0) mr_text_add_char(out, ',');
        mr_text_add(out, "{\"id\":");
        mr_text_add_quoted(out, op->node->id, strlen(op->node->id));
        mr_text_format(out, ",\"kind\":\"%s\"}", mr_plan_op_name(op->kind));
    }
    mr_text_add_char(out, ']');
    for (uint32_t c = 0; c < MR_COUNTER_COUNT; c++) {
        uint64_t value = atomic_load_explicit(&task->counters->value[c], memory_order_relaxed);
        mr_text_format(out, ",\"%s\":%llu", counter_names[c], (unsigned long long)value);
    }
    mr_text_add_char(out, '}');
}

/* Kept in the job as one string; no memory for it means no metrics, not a failed job. */
static void metrics(struct run *run, const struct mr_summary *summary)
{
    struct mr_job *job = run->job;
    struct mr_text text;

    mr_text_init(&text, job->heap, 0);
    mr_text_add(&text, "{\"job\":");
    mr_text_add_quoted(&text, job->name, strlen(job->name));
    mr_text_format(&text, ",\"version\":\"%s\",\"mode\":\"%s\",\"workers\":%u,\"elapsed_us\":%lld",
                   mr_version(), run->streaming ? "streaming" : "batch", job->options.workers,
                   (long long)summary->elapsed_us);
    mr_text_format(&text, ",\"first_result_us\":%lld,\"peak_memory_bytes\":%zu",
                   (long long)summary->first_result_us, mr_posix_peak_rss());
    for (uint32_t c = 0; c < MR_COUNTER_COUNT; c++) {
        mr_text_format(&text, ",\"%s\":%llu", counter_names[c],
                       (unsigned long long)mr_runner_counter(run->runner, (enum mr_counter)c));
    }
    mr_text_add(&text, ",\"tasks\":[");
    for (uint32_t t = 0; t < run->runner->task_count; t++) {
        if (t > 0) mr_text_add_char(&text, ',');
        task_json(&run->runner->tasks[t], &text);
    }
    mr_text_add(&text, "]}\n");
    if (mr_text_status(&text) == MR_OK) {
        mr_free(job->heap, job->metrics, job->metrics_bytes); /* of an earlier attempt */
        job->metrics_bytes = strlen(mr_text_get(&text)) + 1;
        job->metrics = mr_strdup(job->heap, mr_text_get(&text));
    }
    mr_text_fini(&text);
}
