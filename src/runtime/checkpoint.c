#include "runtime/checkpoint.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "base/text.h"
#include "core/epoch.h"
#include "runtime/restore.h"
#include "state/snapshot.h"
#include <string.h>

#define BACKOFF_MIN_US (100 * MR_MILLISECOND)
#define BACKOFF_MAX_US (10 * MR_SECOND)
/* How much of an append is done in one turn. */
#define RUNS_PER_TURN 64u
/* Rows per lane of the first micro-batch; later ones follow the time that batches take. */
#define BATCH_ROWS_FIRST 64u
#define BATCH_ROWS_MAX   (UINT64_C(1) << 24)
/* A search for a record that ends the process: batches of this many rows at most, twice as many after
 * so many that went well. */
#define CAREFUL_ROWS_MAX 65536u
#define CAREFUL_BATCHES  3u
/* Base files are written anew when replay would read this many times as much. */
#define COMPACTION_RATIO 2u
#define COMPACTION_PAUSE_US MR_SECOND /* after one that failed */
/* State in so much memory is rather sealed whole now and then than merged on disk. */
#define WHOLE_BYTES ((size_t)128 * 1024 * 1024)
#define WHOLE_RATIO 4u

enum append_phase { APPEND_NONE, APPEND_ENTRIES, APPEND_SYNC };

struct mr_checkpoint {
    struct mr_runner *runner;
    struct mr_epoch_signals *signals;
    struct mr_checkpoint_options options;
    struct mr_arena arena;
    struct mr_disk *disk;
    struct mr_epoch_log *log;
    struct mr_compaction *compaction;
    int64_t compact_us; /* none is begun before: one failed */
    struct mr_epochs epochs;
    uint64_t restored;
    bool job_finished; /* by an earlier attempt */
    uint64_t dropped;  /* entries of operators that are gone */
    const char *dropped_names; /* in the arena */
    struct mr_job_state job; /* sealed with every epoch */
    uint64_t careful_rows; /* rows let in at a time while a record is looked for; 0: no search */
    uint32_t careful_good; /* batches of this size that went well */
    int64_t batch_us;  /* micro-batch: when its rows were let in */
    bool full;         /* the epoch that is appended next stands alone */
    bool over;
    bool started;
    struct mr_ptime now;
    struct mr_ptime wake;
    uint64_t *sealed;  /* per task: newest seal told to the machine */
    bool *ended;       /* per task: told */
    enum append_phase phase;
    uint64_t epoch;    /* being appended */
    uint32_t task;     /* whose seal is being read */
    const struct mr_seal_run *run; /* last one handed to the log; NULL: none of this task */
    bool begun;                    /* the log has the beginning of the epoch */
    int64_t retry_us;  /* STALLED: when to try again; 0: not stalled */
    int64_t pause_us;
    uint64_t read_epoch; /* to be read back; 0: none */
    uint64_t committing; /* epoch asked of the sinks; 0: none */
    struct mr_error error; /* of the log, for the end of the attempt */
    _Atomic bool stop_asked;
    bool stop_told;
    _Atomic bool stopped;
    _Atomic bool waiting;
    _Atomic uint64_t stat_epochs, stat_last, stat_changed, stat_written;
};

/* ---- opening ---- */

static struct mr_epoch_log_options log_options(const struct mr_checkpoint *cp)
{
    return (struct mr_epoch_log_options){.disk = cp->disk,
                                         .dir = cp->options.dir,
                                         .job_hash = cp->options.job_hash,
                                         .segment_bytes = cp->options.segment_bytes};
}

/* Micro-batches: the rows of the next epoch may be read now. Their number was stored with the epoch
 * before, or is the first, which is a constant: a replay reads the same. */
static void open_gate(struct mr_checkpoint *cp)
{
    uint64_t rows = cp->careful_rows != 0 ? cp->careful_rows : cp->job.batch_rows;

    if (cp->runner->lane_count == 0) return;
    if (cp->careful_rows != 0) cp->options.note(cp->options.note_self, rows);
    cp->batch_us = cp->now.us;
    atomic_store(&cp->signals->batch_rows, rows);
    atomic_store_explicit(&cp->signals->gate, mr_signal(&cp->signals->complete) + 1,
                          memory_order_release);
}

/* A batch went well. The record is in one of the next two of this size, or there is none. */
static void count_careful(struct mr_checkpoint *cp)
{
    if (cp->careful_rows == 0 || ++cp->careful_good < CAREFUL_BATCHES) return;
    cp->careful_good = 0;
    cp->careful_rows = MR_MIN(2 * cp->careful_rows, (uint64_t)CAREFUL_ROWS_MAX);
}

/* The next batch shall take about the time of an epoch. Sources that waited for its end were through
 * with theirs before; where none had so many rows, nothing is known about the time they would take. */
static uint64_t next_batch_rows(const struct mr_checkpoint *cp)
{
    uint64_t rows = cp->job.batch_rows;
    int64_t took_us = MR_MAX(cp->now.us - cp->batch_us, INT64_C(1));
    int64_t want_us = MR_MAX(cp->options.epoch_us, MR_MILLISECOND);
    uint64_t gate = mr_signal(&cp->signals->gate);
    bool waited = mr_signal(&cp->signals->waited) == gate;
    bool filled = waited || mr_signal(&cp->signals->filled) == gate;

    if (took_us > 2 * want_us) {
        rows /= 2;
    } else if (waited || (filled && took_us < want_us / 2)) {
        rows *= 2;
    } else if (filled) {
        rows = (uint64_t)((mr_u128)rows * (uint64_t)want_us / (uint64_t)took_us);
    }
    return MR_MIN(MR_MAX(rows, UINT64_C(1)), BATCH_ROWS_MAX);
}

static void log_to_start(struct mr_checkpoint *cp)
{
    struct mr_runner *runner = cp->runner;
    uint64_t epoch = cp->restored;

    atomic_store(&cp->signals->inject, epoch);
    atomic_store(&cp->signals->complete, epoch);
    atomic_store(&cp->signals->commit, epoch);
    open_gate(cp);
    for (uint32_t t = 0; t < runner->task_count; t++) {
        struct mr_task_epochs *part = runner->tasks[t].epochs;

        part->sealed = part->committed = part->sealing = epoch;
        part->full = cp->full;
        atomic_store(&part->out.sealed, epoch << 1);
        atomic_store(&part->out.committed, epoch);
        cp->sealed[t] = epoch;
    }
    atomic_store(&cp->stat_last, epoch);
}

/* A micro-batch of input that ends is over when its rows are read: their number keeps to the length of
 * an epoch, and nobody would gain by waiting for it. */
static int64_t floor_us(const struct mr_checkpoint *cp)
{
    const struct mr_policy *policy = &cp->runner->policy;
    bool bounded = true;

    for (uint32_t i = 0; i < policy->input_count; i++) bounded &= policy->inputs[i].splits.bounded;
    if (cp->careful_rows != 0 || (cp->options.ordered && bounded)) return 0;
    return cp->options.epoch_us;
}

static enum mr_status start_machine(struct mr_checkpoint *cp, struct mr_error *err)
{
    const struct mr_clock *clock = &cp->runner->port->clock;
    struct mr_epoch_config config = {
        .task_count = cp->runner->task_count,
        .fence = mr_epoch_log_fence(cp->log),
        .attempt = mr_epoch_log_attempt(cp->log),
        .last_epoch = cp->restored,
        .start = clock->monotonic(clock->self),
        .epoch_us = floor_us(cp),
        .backoff_min_us = BACKOFF_MIN_US,
        .backoff_max_us = BACKOFF_MAX_US,
        .ordered = cp->runner->lane_count != 0,
    };

    cp->now = cp->wake = config.start;
    return mr_epochs_init(&cp->epochs, &cp->arena, &config, err);
}

static bool is_small(const struct mr_checkpoint *cp)
{
    if (MR_BUGGIFY()) return false; /* or the merging of files is never seen */
    return atomic_load_explicit(&cp->runner->operators.used_bytes, memory_order_relaxed) <=
           WHOLE_BYTES;
}

static void take_job_state(struct mr_checkpoint *cp, struct mr_job_state job)
{
    uint64_t layout = mr_runner_layout(cp->runner);

    cp->job_finished = job.finished;
    /* Small state is sealed whole at once: what earlier attempts wrote can go. */
    cp->full = job.layout != layout || is_small(cp);
    job.layout = layout;
    job.fence = cp->runner->fence;
    if (job.lane_count == 0) job.lane_count = cp->runner->plan->options.workers;
    if (job.batch_rows == 0) job.batch_rows = BATCH_ROWS_FIRST;
    cp->job = job;
    if (cp->options.ordered) cp->runner->lane_count = job.lane_count;
    cp->careful_rows = cp->options.careful_rows;
    if (cp->careful_rows != 0) {
        cp->runner->lane_count = 1;
        cp->runner->poison = cp->options.poison;
    }
}

/* What was left out must not come back: the next epoch stands alone. */
static enum mr_status take_dropped(struct mr_checkpoint *cp, const struct mr_restore *restore,
                                   struct mr_error *err)
{
    const char *names;

    cp->dropped = mr_restore_dropped(restore, &names);
    if (cp->dropped == 0) return MR_OK;
    cp->full = true;
    cp->dropped_names = mr_arena_strdup(&cp->arena, names);
    return cp->dropped_names != NULL ? MR_OK : mr_error_nomem(err, "checkpoints", strlen(names));
}

/* ---- beginning with the state of a savepoint ---- */

static enum mr_status visit_snapshot(struct mr_snapshot *snapshot, struct mr_restore *restore,
                                     struct mr_error *err)
{
    for (;;) {
        const char *operator_id;
        struct mr_entry entry;

        MR_RET(mr_snapshot_next(snapshot, &operator_id, &entry, err));
        if (operator_id == NULL) return MR_OK;
        MR_RET(mr_restore_entry(restore, operator_id, &entry, err));
    }
}

static enum mr_status restore_from(struct mr_checkpoint *cp, struct mr_restore *restore,
                                   struct mr_error *err)
{
    uint32_t groups = cp->runner->plan->options.key_group_count;
    struct mr_snapshot *snapshot;
    const struct mr_snapshot_info *info;
    enum mr_status st = MR_OK;

    MR_RET(mr_snapshot_open(cp->runner->heap, cp->disk, cp->options.from, 0, &snapshot, err));
    info = mr_snapshot_info(snapshot);
    if (info->key_group_count != 0 && info->key_group_count != groups) {
        st = mr_error_set(err, MR_E_CHANGED,
                          "%s: its state is in %u key groups, this job has %u; their number is fixed "
                          "for the life of the state",
                          cp->options.from, info->key_group_count, groups);
    }
    if (st == MR_OK) st = visit_snapshot(snapshot, restore, err);
    cp->restored = info->epoch; /* numbers go on: an id never comes twice for the same state (T6) */
    mr_snapshot_close(snapshot);
    return st;
}

/* The directory has been opened before: what it began with is in it, or will be read again under the
 * fence that was chosen then. */
static bool was_begun(struct mr_checkpoint *cp)
{
    struct mr_disk_request request = {.op = MR_DISK_INFO};
    struct mr_error ignored;
    struct mr_text path;
    bool begun;

    mr_text_init(&path, cp->runner->heap, 0);
    mr_text_format(&path, "%s/META", cp->options.dir);
    request.path = mr_text_get(&path);
    begun = mr_text_status(&path) == MR_OK && mr_disk_do(cp->disk, &request, &ignored) == MR_OK;
    mr_text_fini(&path);
    return begun;
}

/* The fence under which that state was written: files that it names carry it. */
static enum mr_status fence_of_source(struct mr_checkpoint *cp, uint64_t *out, struct mr_error *err)
{
    struct mr_job_state job = {.fence = 0};
    struct mr_snapshot *snapshot;
    const char *operator_id;
    struct mr_entry entry;
    enum mr_status st;

    *out = 0;
    if (cp->options.from == NULL || was_begun(cp)) return MR_OK;
    MR_RET(mr_snapshot_open(cp->runner->heap, cp->disk, cp->options.from, 0, &snapshot, err));
    do { /* in order of the ids: the job's own comes early */
        st = mr_snapshot_next(snapshot, &operator_id, &entry, err);
    } while (st == MR_OK && operator_id != NULL && !mr_job_state_read(operator_id, &entry, &job) &&
             strcmp(operator_id, MR_JOB_STATE) <= 0);
    mr_snapshot_close(snapshot);
    *out = job.fence + 1;
    return st;
}

static enum mr_status restore(struct mr_checkpoint *cp, struct mr_error *err)
{
    struct mr_restore_options how = {.allow_dropped_state = cp->options.allow_dropped_state};
    struct mr_epoch_log_options options = log_options(cp);
    struct mr_restore *restore = NULL;
    enum mr_status st;

    MR_CRASH("C41");
    MR_GOTO(mr_restore_begin(cp->runner, &how, &restore, err));
    MR_GOTO(fence_of_source(cp, &options.least_fence, err));
    MR_GOTO(mr_epoch_log_open(cp->runner->heap, &options, mr_restore_entry, restore, &cp->log, err));
    cp->restored = mr_epoch_log_last(cp->log);
    cp->runner->fence = mr_epoch_log_fence(cp->log);
    if (cp->restored == 0 && cp->options.from != NULL) MR_GOTO(restore_from(cp, restore, err));
    take_job_state(cp, mr_restore_job(restore));
    MR_GOTO(take_dropped(cp, restore, err));
    if (mr_epoch_log_last(cp->log) == 0) cp->full = true;
    MR_CRASH("C42");
    log_to_start(cp);
    MR_GOTO(mr_restore_finish(restore, cp->restored, err));
    MR_CRASH("C39");
done:
    mr_restore_end(restore);
    return st;
}

enum mr_status mr_checkpoint_open(struct mr_runner *runner,
                                  const struct mr_checkpoint_options *options,
                                  struct mr_checkpoint **out, struct mr_error *err)
{
    struct mr_checkpoint *cp = mr_alloc_zero(runner->heap, sizeof *cp);
    enum mr_status st;

    mr_assert(runner->signals != NULL);
    if (cp == NULL) return mr_error_nomem(err, "checkpoints", sizeof *cp);
    cp->runner = runner;
    cp->signals = runner->signals;
    cp->options = *options;
    cp->now = runner->port->clock.monotonic(runner->port->clock.self);
    mr_arena_init(&cp->arena, runner->heap);
    cp->disk = runner->port->disk_create(runner->port->self, runner->heap);
    cp->sealed = mr_arena_zero(&cp->arena, (runner->task_count + 1) * sizeof *cp->sealed);
    cp->ended = mr_arena_zero(&cp->arena, (runner->task_count + 1) * sizeof *cp->ended);
    st = MR_OK;
    if (cp->disk == NULL || cp->sealed == NULL || cp->ended == NULL) {
        st = mr_error_nomem(err, "checkpoints", runner->task_count * sizeof(uint64_t));
    }
    if (st == MR_OK) st = restore(cp, err);
    if (st == MR_OK) st = start_machine(cp, err);
    if (st != MR_OK) {
        mr_checkpoint_close(cp);
        return st;
    }
    runner->checkpoint = cp;
    *out = cp;
    return MR_OK;
}

void mr_checkpoint_close(struct mr_checkpoint *cp)
{
    struct mr_runner *runner;

    if (cp == NULL) return;
    runner = cp->runner;
    mr_compaction_destroy(cp->compaction);
    mr_epoch_log_close(cp->log);
    if (cp->disk != NULL) runner->port->disk_destroy(runner->port->self, cp->disk);
    mr_arena_fini(&cp->arena);
    mr_free(runner->heap, cp, sizeof *cp);
}

/* ---- the machine's actions ---- */

static void begin_append(struct mr_checkpoint *cp, uint64_t epoch)
{
    mr_assert(cp->phase == APPEND_NONE);
    cp->phase = APPEND_ENTRIES;
    cp->epoch = epoch;
    cp->task = 0;
    cp->run = NULL;
    cp->begun = false;
    MR_CRASH("C19");
}

static void finish(struct mr_checkpoint *cp, enum mr_status status)
{
    cp->over = true;
    atomic_store(&cp->stopped, status != MR_OK);
    atomic_store_explicit(&cp->signals->finished, true, memory_order_release);
    mr_runner_wake(cp->runner);
}

static void fail_attempt(struct mr_checkpoint *cp, enum mr_status status)
{
    if (cp->error.status == MR_OK) {
        mr_error_set(&cp->error, status, "an epoch could not be completed: %s",
                     mr_status_text(status));
    }
    cp->over = true;
    mr_runner_fail(cp->runner, &cp->error);
}

static void perform(struct mr_checkpoint *cp, const struct mr_epoch_action *action)
{
    switch (action->kind) {
    case MR_EPOCH_DO_INJECT:
        MR_CRASH("C1");
        atomic_store_explicit(&cp->signals->inject, action->epoch, memory_order_release);
        MR_CRASH("C2");
        mr_runner_wake(cp->runner);
        break;
    case MR_EPOCH_DO_APPEND: begin_append(cp, action->epoch); break;
    case MR_EPOCH_DO_READ_BACK: cp->read_epoch = action->epoch; break;
    case MR_EPOCH_DO_COMMIT_SINKS:
        MR_CRASH("C22");
        cp->committing = action->epoch;
        mr_assert(action->epoch <= mr_signal(&cp->signals->complete)); /* (2) */
        atomic_store_explicit(&cp->signals->commit, action->epoch, memory_order_release);
        MR_CRASH("C23");
        mr_runner_wake(cp->runner);
        break;
    case MR_EPOCH_DO_ABORT_EPOCH: break; /* every task had sealed: the seals wait for the next one */
    case MR_EPOCH_DO_FINISHED: finish(cp, action->status); break;
    case MR_EPOCH_DO_FAILED: fail_attempt(cp, action->status); break;
    case MR_EPOCH_DO_WAIT_UNTIL: break; /* the machine remembers */
    }
}

static void tell(struct mr_checkpoint *cp, struct mr_epoch_event event)
{
    const struct mr_entropy *entropy = &cp->runner->port->entropy;
    struct mr_epoch_actions actions;

    if (cp->over) return;
    event.now = cp->now;
    event.random = entropy->next(entropy->self);
    event.attempt = cp->epochs.config.attempt;
    event.fence = cp->epochs.config.fence;
    mr_epochs_step(&cp->epochs, &event, &actions);
    cp->wake.us = cp->epochs.wake_us;
    for (uint32_t i = 0; i < actions.count; i++) perform(cp, &actions.items[i]);
}

/* ---- what the tasks say ---- */

static void tell_ended(struct mr_checkpoint *cp, uint32_t task)
{
    if (cp->ended[task]) return;
    cp->ended[task] = true;
    tell(cp, (struct mr_epoch_event){.kind = MR_EPOCH_ON_TASK_ENDED, .task = task});
}

/* A seal made before the end must be told before it, one made after it behind. */
static bool hear_task(struct mr_checkpoint *cp, uint32_t task)
{
    struct mr_task_epochs *part = cp->runner->tasks[task].epochs;
    uint64_t word = mr_signal(&part->out.sealed);
    bool news = false;

    if (word >> 1 != cp->sealed[task]) {
        MR_CRASH("C17");
        cp->sealed[task] = word >> 1;
        if ((word & 1) != 0) tell_ended(cp, task);
        tell(cp, (struct mr_epoch_event){.kind = MR_EPOCH_ON_SEALED,
                                         .task = task,
                                         .epoch = word >> 1,
                                         .bytes = part->seal.bytes});
        news = true;
    }
    if (!cp->ended[task] && atomic_load_explicit(&part->out.over, memory_order_acquire)) {
        /* It may have sealed once more between the two loads: that comes next time. */
        if (mr_signal(&part->out.sealed) >> 1 != cp->sealed[task]) return true;
        tell_ended(cp, task);
        news = true;
    }
    return news;
}

static bool hear_commits(struct mr_checkpoint *cp)
{
    struct mr_epoch_event event = {.kind = MR_EPOCH_ON_SINKS_COMMITTED, .epoch = cp->committing};

    if (cp->committing == 0) return false;
    for (uint32_t t = 0; t < cp->runner->task_count; t++) {
        if (mr_signal(&cp->runner->tasks[t].epochs->out.committed) < cp->committing) return false;
    }
    cp->committing = 0;
    count_careful(cp);
    open_gate(cp);
    tell(cp, event);
    return true;
}

/* The log has the epoch for good. If it was to stand alone, it does: the next one does not. */
static void note_complete(struct mr_checkpoint *cp, uint64_t epoch)
{
    cp->full = false;
    cp->retry_us = cp->pause_us = 0;
    cp->error = (struct mr_error){.status = MR_OK}; /* of tries before */
    atomic_store(&cp->waiting, false);
    atomic_fetch_add(&cp->stat_epochs, 1);
    atomic_store(&cp->stat_last, epoch);
    atomic_store(&cp->stat_written, mr_epoch_log_written_bytes(cp->log));
    atomic_store_explicit(&cp->signals->complete, epoch, memory_order_release); /* (2) */
}

/* The disk is full or the like: what was to be done is tried again after a pause that doubles. */
static void pause_for_space(struct mr_checkpoint *cp)
{
    MR_PROBE("log stalled");
    atomic_store(&cp->waiting, true);
    cp->pause_us = cp->pause_us == 0 ? BACKOFF_MIN_US : MR_MIN(2 * cp->pause_us, BACKOFF_MAX_US);
    cp->retry_us = cp->now.us + cp->pause_us;
}

static bool may_pass(enum mr_status status)
{
    return mr_status_class(status) == MR_CLASS_RETRY || status == MR_E_NO_SPACE;
}

/* ---- reading back ---- */

/* What the log holds after an outcome that nobody knows: it is closed and opened again, under a higher
 * fence, which decides. Blocks; happens after a failed sync only. */
static bool read_back(struct mr_checkpoint *cp)
{
    uint64_t epoch = cp->read_epoch;
    struct mr_epoch_log_options options = log_options(cp);
    struct mr_epoch_event event = {.kind = MR_EPOCH_ON_READ, .epoch = epoch};
    struct mr_error err = {.status = MR_OK};

    if (epoch == 0 || cp->now.us < cp->retry_us) return false;
    MR_PROBE("read back");
    mr_compaction_destroy(cp->compaction);
    cp->compaction = NULL;
    mr_epoch_log_close(cp->log);
    cp->log = NULL;
    event.status = mr_epoch_log_open(cp->runner->heap, &options, NULL, NULL, &cp->log, &err);
    if (may_pass(event.status)) { /* a full disk tells nothing about the epoch */
        pause_for_space(cp);
        return true;
    }
    cp->read_epoch = 0;
    if (event.status != MR_OK) cp->error = err; /* otherwise why it had to be read back */
    if (event.status == MR_OK && mr_epoch_log_last(cp->log) < epoch) {
        event.status = MR_E_NOT_FOUND;
    } else if (event.status == MR_E_NOT_FOUND) {
        event.status = MR_E_IO; /* the directory is gone: that is not what NOT_FOUND means here */
    }
    if (event.status == MR_OK) note_complete(cp, epoch);
    tell(cp, event);
    return true;
}

/* ---- appending ---- */

/* The trailer was not handed to the disk: the epoch is surely not there. */
static void append_failed(struct mr_checkpoint *cp, enum mr_status status)
{
    cp->phase = APPEND_NONE;
    if (!mr_epoch_log_abort(cp->log)) { /* it broke before: META was not what it should be */
        fail_attempt(cp, status);
        return;
    }
    if (may_pass(status)) {
        tell(cp, (struct mr_epoch_event){
                     .kind = MR_EPOCH_ON_APPENDED, .epoch = cp->epoch, .status = status});
        return;
    }
    fail_attempt(cp, status);
}

/* All input was read and everything it released is in this epoch. */
static bool is_last_epoch(const struct mr_checkpoint *cp)
{
    for (uint32_t t = 0; t < cp->runner->task_count; t++) {
        uint64_t word = mr_signal(&cp->runner->tasks[t].epochs->out.sealed);

        if (word != (cp->epoch << 1 | 1)) return false;
    }
    return true;
}

static enum mr_status add_job_entry(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    struct mr_checkpoint *cp = self;

    return mr_epoch_log_add(cp->log, MR_JOB_STATE, entry, err);
}

/* Hands runs of the seals to the log, some per turn; *out_all: those were the last. */
static enum mr_status add_runs(struct mr_checkpoint *cp, bool *out_all, struct mr_error *err)
{
    struct mr_runner *runner = cp->runner;
    uint32_t left = RUNS_PER_TURN;

    *out_all = false;
    while (cp->task < runner->task_count) {
        const struct mr_seal *seal = &runner->tasks[cp->task].epochs->seal; /* (1) */
        uint64_t entry_count;

        if (left-- == 0) return MR_OK;
        cp->run = mr_seal_next(seal, cp->run);
        if (cp->run == NULL) {
            atomic_fetch_add_explicit(&cp->stat_changed, seal->bytes, memory_order_relaxed);
            cp->task++;
            continue;
        }
        struct mr_bytes bytes = mr_seal_run_bytes(cp->run, &entry_count);
        MR_RET(mr_epoch_log_add_run(cp->log, bytes, entry_count, err));
    }
    *out_all = true;
    return MR_OK;
}

static enum mr_status append_some(struct mr_checkpoint *cp, struct mr_error *err)
{
    bool all;

    if (!cp->begun) {
        cp->begun = true;
        MR_RET(mr_epoch_log_begin(cp->log, cp->epoch, cp->full, err));
        cp->job.finished = is_last_epoch(cp);
        if (cp->options.ordered && cp->careful_rows == 0) cp->job.batch_rows = next_batch_rows(cp);
        MR_RET(mr_job_state_yield(&cp->job, add_job_entry, cp, err));
    }
    MR_CRASH("C10");
    MR_RET(add_runs(cp, &all, err));
    if (!all) return MR_OK;
    MR_CRASH("C11");
    cp->phase = APPEND_SYNC;
    return mr_epoch_log_commit(cp->log, err);
}

/* Small state: instead of merging files, the next epoch is sealed whole and stands alone. Nothing of
 * that epoch has begun: it goes in after the one before was reported as complete. */
static void ask_for_whole(struct mr_checkpoint *cp)
{
    if (cp->full || cp->compaction != NULL || !is_small(cp)) return;
    if (mr_epoch_log_can_cut(cp->log)) return; /* is about to be done */
    if (!mr_epoch_log_wants_compaction(cp->log, WHOLE_RATIO)) return;
    cp->full = true;
    atomic_store_explicit(&cp->signals->full, cp->epoch + 1, memory_order_release);
}

static void appended(struct mr_checkpoint *cp)
{
    mr_assert(mr_epoch_log_last(cp->log) == cp->epoch);
    MR_CRASH("C21");
    cp->phase = APPEND_NONE;
    note_complete(cp, cp->epoch);
    ask_for_whole(cp);
    tell(cp, (struct mr_epoch_event){
                 .kind = MR_EPOCH_ON_APPENDED, .epoch = cp->epoch, .status = MR_OK});
}

/* The disk is full: nothing is decided, and the same append is tried again after a pause. */
static bool wait_for_space(struct mr_checkpoint *cp)
{
    if (cp->retry_us == 0) {
        pause_for_space(cp);
        return false;
    }
    if (cp->now.us < cp->retry_us) return false;
    cp->retry_us = 0;
    cp->error = (struct mr_error){.status = MR_OK};
    mr_epoch_log_retry(cp->log);
    return true;
}

/* True if anything moved. */
static bool drive_append(struct mr_checkpoint *cp)
{
    struct mr_error err = {.status = MR_OK};
    enum mr_log_state state;

    if (cp->phase == APPEND_ENTRIES) {
        enum mr_status st = append_some(cp, &err);

        if (st != MR_OK) {
            cp->error = err;
            append_failed(cp, st);
        }
        return true;
    }
    if (cp->phase != APPEND_SYNC) return false;
    state = mr_epoch_log_poll(cp->log, &cp->error);
    switch (state) {
    case MR_LOG_BUSY: return false;
    case MR_LOG_IDLE: appended(cp); return true;
    case MR_LOG_STALLED: return wait_for_space(cp);
    case MR_LOG_BROKEN:
        cp->phase = APPEND_NONE;
        tell(cp, (struct mr_epoch_event){
                     .kind = MR_EPOCH_ON_APPENDED, .epoch = cp->epoch, .status = MR_E_IO});
        return true;
    }
    MR_UNREACHABLE();
}

/* ---- compaction ---- */

static void end_compaction(struct mr_checkpoint *cp)
{
    mr_compaction_destroy(cp->compaction);
    cp->compaction = NULL;
}

/* A bounded piece of work beside the epochs; a failed one is tried again later, the log goes on. */
static bool compact_some(struct mr_checkpoint *cp)
{
    struct mr_error err = {.status = MR_OK};

    if (cp->log == NULL || cp->phase != APPEND_NONE) return false;
    if (cp->compaction == NULL && cp->now.us < cp->compact_us) return false;
    if (cp->compaction == NULL) {
        if (!mr_epoch_log_can_cut(cp->log) &&
            (is_small(cp) || !mr_epoch_log_wants_compaction(cp->log, COMPACTION_RATIO))) {
            return false;
        }
        if (mr_compaction_create(cp->log, &cp->compaction, &err) != MR_OK) {
            cp->compact_us = cp->now.us + COMPACTION_PAUSE_US;
            return false;
        }
    }
    switch (mr_compaction_step(cp->compaction, &err)) {
    case MR_COMPACTION_MORE: return true;
    case MR_COMPACTION_WAIT: return false;
    case MR_COMPACTION_FAILED:
        end_compaction(cp);
        cp->compact_us = cp->now.us + COMPACTION_PAUSE_US;
        return true;
    case MR_COMPACTION_DONE: end_compaction(cp); return true;
    }
    return false;
}

/* ---- the turn ---- */

static bool tick(struct mr_checkpoint *cp)
{
    if (cp->started && cp->now.us < cp->wake.us) return false;
    cp->started = true;
    tell(cp, (struct mr_epoch_event){.kind = MR_EPOCH_ON_TICK});
    return true;
}

static bool stop_if_asked(struct mr_checkpoint *cp)
{
    if (cp->stop_told || !atomic_load(&cp->stop_asked)) return false;
    MR_CRASH("C46");
    cp->stop_told = true;
    tell(cp, (struct mr_epoch_event){.kind = MR_EPOCH_ON_STOP});
    return true;
}

enum mr_progress mr_checkpoint_turn(struct mr_checkpoint *cp)
{
    const struct mr_clock *clock = &cp->runner->port->clock;
    bool any;

    if (cp->over || atomic_load(&cp->runner->failed)) return MR_PROGRESS_OVER;
    cp->now = MR_PLANT("museum-23") ? clock->wall(clock->self) : clock->monotonic(clock->self);
    any = cp->disk->poll(cp->disk) > 0;
    any |= tick(cp);
    any |= stop_if_asked(cp);
    for (uint32_t t = 0; t < cp->runner->task_count; t++) any |= hear_task(cp, t);
    any |= drive_append(cp);
    any |= read_back(cp);
    any |= hear_commits(cp);
    any |= !cp->over && compact_some(cp);
    if (cp->over) return MR_PROGRESS_OVER;
    return any ? MR_PROGRESS_MADE : MR_PROGRESS_NONE;
}

struct mr_ptime mr_checkpoint_wake(const struct mr_checkpoint *cp)
{
    struct mr_ptime wake = cp->wake;

    if (cp->retry_us != 0) wake.us = MR_MIN(wake.us, cp->retry_us);
    return wake;
}

/* ---- asked from outside ---- */

bool mr_checkpoint_job_finished(const struct mr_checkpoint *cp)
{
    return cp->job_finished;
}

uint64_t mr_checkpoint_dropped(const struct mr_checkpoint *cp, const char **out_names)
{
    *out_names = cp->dropped_names;
    return cp->dropped;
}

uint64_t mr_checkpoint_restored(const struct mr_checkpoint *cp)
{
    return cp->restored;
}

void mr_checkpoint_stop(struct mr_checkpoint *cp)
{
    atomic_store(&cp->stop_asked, true);
}

bool mr_checkpoint_stopped(const struct mr_checkpoint *cp)
{
    return atomic_load(&cp->stopped);
}

struct mr_checkpoint_stats mr_checkpoint_stats(const struct mr_checkpoint *cp)
{
    return (struct mr_checkpoint_stats){.epochs = atomic_load(&cp->stat_epochs),
                                        .last_epoch = atomic_load(&cp->stat_last),
                                        .changed_bytes = atomic_load(&cp->stat_changed),
                                        .written_bytes = atomic_load(&cp->stat_written)};
}

bool mr_checkpoint_waiting(const struct mr_checkpoint *cp)
{
    return atomic_load(&cp->waiting);
}
