/* epoch.c - see epoch.h. */
#include "core/epoch.h"
#include "base/assert.h"
#include "base/bitset.h"
#include "base/status.h"

/* ---- life ---- */

static enum mr_status config_check(const struct mr_epoch_config *config, struct mr_error *err)
{
    if (config->task_count == 0) return mr_error_set(err, MR_E_INVALID, "a job without tasks");
    if (config->epoch_us < 0) {
        return mr_error_set(err, MR_E_INVALID, "the length of an epoch is negative: %lld us",
                            (long long)config->epoch_us);
    }
    if (config->backoff_min_us < 1 || config->backoff_max_us < config->backoff_min_us) {
        return mr_error_set(err, MR_E_INVALID,
                            "the pause after a failed epoch must be at least 1 us and at most its "
                            "own limit: %lld us, limit %lld us",
                            (long long)config->backoff_min_us, (long long)config->backoff_max_us);
    }
    return MR_OK;
}

/* delay_us >= 0. Saturates one below the end of time, which stands for "nothing to wait for". */
static int64_t later(int64_t time_us, int64_t delay_us)
{
    if (time_us > MR_TIME_MAX - 1 - delay_us) return MR_TIME_MAX - 1;
    return time_us + delay_us;
}

enum mr_status mr_epochs_init(struct mr_epochs *epochs, struct mr_arena *arena,
                              const struct mr_epoch_config *config, struct mr_error *err)
{
    size_t words = mr_bits_words(config->task_count);
    size_t bits_bytes = 2 * words * sizeof(uint64_t);
    size_t seals_bytes = config->task_count * sizeof(struct mr_epoch_seal);
    uint64_t *bits;
    struct mr_epoch_seal *seals;

    MR_RET(config_check(config, err));
    bits = mr_arena_zero(arena, bits_bytes);
    seals = bits == NULL ? NULL : mr_arena_zero(arena, seals_bytes);
    if (seals == NULL) return mr_error_nomem(err, "the coordinator", bits_bytes + seals_bytes);
    *epochs = (struct mr_epochs){
        .config = *config,
        .sealed = bits,
        .ended = bits + words,
        .seals = seals,
        .state = MR_EPOCH_READY,
        .epoch = config->last_epoch,
        .complete = config->last_epoch,
        .asked = config->last_epoch,
        .committed = config->last_epoch,
        .now_us = config->start.us,
        .floor_us = later(config->start.us, config->epoch_us),
        .wake_us = MR_TIME_MAX,
    };
    return MR_OK;
}

/* ---- small pieces ---- */

static void push(struct mr_epoch_actions *out, struct mr_epoch_action action)
{
    mr_assert(out->count < MR_EPOCH_ACTIONS_MAX);
    out->items[out->count++] = action;
}

#define TO(state) (1u << (state))
/* From which state which may follow. The same table stands in README.md. */
static const uint32_t next_states[MR_EPOCH_STATES] = {
    [MR_EPOCH_READY] = TO(MR_EPOCH_SEALING) | TO(MR_EPOCH_CLOSING),
    [MR_EPOCH_SEALING] = TO(MR_EPOCH_APPENDING) | TO(MR_EPOCH_READY) | TO(MR_EPOCH_CLOSING),
    [MR_EPOCH_APPENDING] = TO(MR_EPOCH_READING) | TO(MR_EPOCH_READY) | TO(MR_EPOCH_CLOSING),
    [MR_EPOCH_READING] = TO(MR_EPOCH_READY) | TO(MR_EPOCH_CLOSING),
    [MR_EPOCH_CLOSING] = TO(MR_EPOCH_OVER),
    [MR_EPOCH_OVER] = 0,
};

static void move_to(struct mr_epochs *epochs, enum mr_epoch_state state)
{
    mr_assert((next_states[epochs->state] & TO(state)) != 0);
    epochs->state = state;
}

static bool failing(const struct mr_epochs *epochs)
{
    return epochs->failure != MR_OK;
}

static bool retryable(enum mr_status status)
{
    return status == MR_E_NO_SPACE || mr_status_class(status) == MR_CLASS_RETRY;
}

/* Doubles with each failure in a row; half of it is chance, so that many do not come back at once. */
static int64_t backoff_us(const struct mr_epochs *epochs, uint32_t failures, uint64_t random)
{
    int64_t limit_us = epochs->config.backoff_max_us;
    int64_t delay_us = epochs->config.backoff_min_us;

    for (uint32_t i = 1; i < failures && delay_us < limit_us; i++) {
        delay_us = delay_us > limit_us / 2 ? limit_us : delay_us * 2;
    }
    return delay_us - (int64_t)(random % ((uint64_t)delay_us / 2 + 1));
}

static bool from_here(const struct mr_epochs *epochs, const struct mr_epoch_event *event)
{
    return event->attempt == epochs->config.attempt && event->fence == epochs->config.fence;
}

/* ---- how an epoch ends ---- */

/* The attempt is over. An open append is waited for: until its answer nobody may say "aborted". */
static void fail(struct mr_epochs *epochs, enum mr_status status, struct mr_epoch_actions *out)
{
    mr_assert(status != MR_OK);
    if (failing(epochs)) return; /* the first reason is the one to tell */
    epochs->failure = status;
    if (epochs->state == MR_EPOCH_SEALING) {
        push(out, (struct mr_epoch_action){
                      .kind = MR_EPOCH_DO_ABORT_EPOCH, .epoch = epochs->epoch, .status = status});
    }
    if (epochs->state == MR_EPOCH_SEALING || epochs->state == MR_EPOCH_READY) {
        move_to(epochs, MR_EPOCH_CLOSING);
    }
}

/* The epoch in flight is surely not in the log. Another one is tried, unless nobody wants it. */
static void abort_epoch(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                        enum mr_status status, struct mr_epoch_actions *out)
{
    mr_assert(epochs->epoch > epochs->complete); /* (3) */
    push(out, (struct mr_epoch_action){
                  .kind = MR_EPOCH_DO_ABORT_EPOCH, .epoch = epochs->epoch, .status = status});
    if (!failing(epochs) && retryable(status) && !epochs->stopping) {
        int64_t delay_us;

        epochs->epoch_failures++;
        delay_us = backoff_us(epochs, epochs->epoch_failures, event->random);
        epochs->retry_us = later(epochs->now_us, delay_us);
        move_to(epochs, MR_EPOCH_READY);
        return;
    }
    if (!failing(epochs)) epochs->failure = status;
    move_to(epochs, MR_EPOCH_CLOSING);
}

/* The one decision: from here on the epoch is never taken back. */
static void complete_epoch(struct mr_epochs *epochs)
{
    mr_assert(epochs->epoch > epochs->complete);                  /* (3) */
    mr_assert(epochs->sealed_count == epochs->config.task_count); /* (2) */
    epochs->complete = epochs->epoch;
    epochs->epoch_failures = 0;
    epochs->drained = epochs->covered_count == epochs->config.task_count;
    if (failing(epochs) || epochs->stopping || epochs->drained) {
        move_to(epochs, MR_EPOCH_CLOSING);
    } else {
        move_to(epochs, MR_EPOCH_READY);
    }
}

/* ---- events ---- */

static void on_sealed(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                      struct mr_epoch_actions *out)
{
    struct mr_epoch_seal *seal;

    mr_assert(event->task < epochs->config.task_count);
    mr_assert(event->epoch <= epochs->epoch); /* sealed before it began: a bug */
    seal = &epochs->seals[event->task];
    if (epochs->state != MR_EPOCH_SEALING || event->epoch != epochs->epoch) {
        epochs->discarded++;
        return;
    }
    if (mr_bit_get(epochs->sealed, event->task)) {
        /* (2) said twice is one seal, and the same one */
        mr_assert(seal->bytes == event->bytes && seal->crc == event->crc);
        epochs->discarded++;
        return;
    }
    mr_assert(event->bytes <= UINT64_MAX - epochs->sealed_bytes);
    mr_bit_set(epochs->sealed, event->task);
    *seal = (struct mr_epoch_seal){event->bytes, event->crc};
    epochs->sealed_bytes += event->bytes;
    epochs->sealed_count++;
    if (mr_bit_get(epochs->ended, event->task)) epochs->covered_count++;
    if (epochs->sealed_count < epochs->config.task_count) return;
    move_to(epochs, MR_EPOCH_APPENDING);
    push(out, (struct mr_epoch_action){.kind = MR_EPOCH_DO_APPEND,
                                       .epoch = epochs->epoch,
                                       .bytes = epochs->sealed_bytes});
}

static void on_task_ended(struct mr_epochs *epochs, const struct mr_epoch_event *event)
{
    mr_assert(event->task < epochs->config.task_count);
    if (mr_bit_get(epochs->ended, event->task)) {
        epochs->discarded++;
        return;
    }
    mr_bit_set(epochs->ended, event->task);
    epochs->ended_count++;
}

static void on_appended(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                        struct mr_epoch_actions *out)
{
    enum mr_status status = event->status;

    mr_assert(event->epoch <= epochs->epoch);
    if (epochs->state != MR_EPOCH_APPENDING || event->epoch != epochs->epoch) {
        epochs->discarded++;
    } else if (status == MR_OK) {
        complete_epoch(epochs);
    } else if (retryable(status) || status == MR_E_FENCED) {
        abort_epoch(epochs, event, status, out);
    } else if (failing(epochs)) {
        move_to(epochs, MR_EPOCH_CLOSING); /* undecided: the next attempt reads the log anyway */
    } else {
        epochs->uncertain = status;
        move_to(epochs, MR_EPOCH_READING);
        push(out, (struct mr_epoch_action){.kind = MR_EPOCH_DO_READ_BACK, .epoch = epochs->epoch});
    }
}

static void on_read(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                    struct mr_epoch_actions *out)
{
    mr_assert(event->epoch <= epochs->epoch);
    if (epochs->state != MR_EPOCH_READING || event->epoch != epochs->epoch) {
        epochs->discarded++;
    } else if (event->status == MR_OK) {
        complete_epoch(epochs);
    } else if (event->status == MR_E_NOT_FOUND) {
        abort_epoch(epochs, event, epochs->uncertain, out);
    } else {
        if (!failing(epochs)) epochs->failure = event->status;
        move_to(epochs, MR_EPOCH_CLOSING); /* undecided, so neither complete nor aborted */
    }
}

static void on_committed(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                         struct mr_epoch_actions *out)
{
    mr_assert(event->epoch <= epochs->asked); /* a commit nobody asked for: a bug */
    if (epochs->commit != MR_COMMIT_OPEN || event->epoch != epochs->asked) {
        epochs->discarded++;
        return;
    }
    epochs->commit = MR_COMMIT_NONE;
    if (event->status == MR_OK) {
        epochs->committed = epochs->asked;
        epochs->commit_failures = 0;
    } else if (retryable(event->status) && !epochs->stopping && !failing(epochs)) {
        int64_t delay_us;

        epochs->commit_failures++;
        delay_us = backoff_us(epochs, epochs->commit_failures, event->random);
        epochs->commit = MR_COMMIT_PAUSED;
        epochs->commit_us = later(epochs->now_us, delay_us);
    } else {
        fail(epochs, event->status, out);
    }
}

static void on_abort(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                     struct mr_epoch_actions *out)
{
    bool declined = event->epoch > 0 && retryable(event->status);

    mr_assert(event->status != MR_OK);
    mr_assert(event->epoch <= epochs->epoch);
    if (!declined) {
        fail(epochs, event->status, out);
    } else if (epochs->state == MR_EPOCH_SEALING && event->epoch == epochs->epoch) {
        abort_epoch(epochs, event, event->status, out);
    } else {
        epochs->discarded++; /* that epoch is over, or sealed by all and so not its business */
    }
}

static void dispatch(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                     struct mr_epoch_actions *out)
{
    switch (event->kind) {
    case MR_EPOCH_ON_TICK: break; /* its time is all that it brings */
    case MR_EPOCH_ON_SEALED: on_sealed(epochs, event, out); break;
    case MR_EPOCH_ON_TASK_ENDED: on_task_ended(epochs, event); break;
    case MR_EPOCH_ON_APPENDED: on_appended(epochs, event, out); break;
    case MR_EPOCH_ON_READ: on_read(epochs, event, out); break;
    case MR_EPOCH_ON_SINKS_COMMITTED: on_committed(epochs, event, out); break;
    case MR_EPOCH_ON_STOP: epochs->stopping = true; break;
    case MR_EPOCH_ON_ABORT: on_abort(epochs, event, out); break;
    }
}

/* ---- what follows ---- */

static void start_commit(struct mr_epochs *epochs, struct mr_epoch_actions *out)
{
    mr_assert(epochs->complete > epochs->committed); /* (4) */
    epochs->commit = MR_COMMIT_OPEN;
    epochs->asked = epochs->complete; /* cumulative: one answer for all up to here */
    push(out, (struct mr_epoch_action){.kind = MR_EPOCH_DO_COMMIT_SINKS, .epoch = epochs->asked});
}

static void drive_commit(struct mr_epochs *epochs, struct mr_epoch_actions *out)
{
    if (failing(epochs)) { /* the next attempt commits what is complete */
        if (epochs->commit == MR_COMMIT_PAUSED) epochs->commit = MR_COMMIT_NONE;
        return;
    }
    if (epochs->commit == MR_COMMIT_OPEN || epochs->complete == epochs->committed) return;
    if (epochs->commit == MR_COMMIT_PAUSED && epochs->now_us < epochs->commit_us &&
        !epochs->stopping) {
        return;
    }
    start_commit(epochs, out);
}

/* Commits may lag by one epoch, or not at all: what waits to be committed stays bounded. */
static bool commits_allow_next(const struct mr_epochs *epochs)
{
    if (epochs->config.ordered) return epochs->committed == epochs->complete;
    return epochs->asked == epochs->complete;
}

/* When the next barrier is due, as far as time decides. */
static int64_t due_us(const struct mr_epochs *epochs)
{
    bool all_ended = epochs->ended_count == epochs->config.task_count;
    int64_t due = all_ended ? MR_TIME_MIN : epochs->floor_us;

    if (epochs->stopping) return MR_TIME_MIN;
    return epochs->epoch_failures > 0 ? MR_MAX(due, epochs->retry_us) : due;
}

static void inject(struct mr_epochs *epochs, struct mr_epoch_actions *out)
{
    mr_assert(epochs->epoch < UINT64_MAX);
    move_to(epochs, MR_EPOCH_SEALING);
    epochs->epoch++;
    epochs->floor_us = later(epochs->now_us, epochs->config.epoch_us);
    mr_bits_fill(epochs->sealed, epochs->config.task_count, false);
    epochs->sealed_count = 0;
    epochs->covered_count = 0;
    epochs->sealed_bytes = 0;
    push(out, (struct mr_epoch_action){.kind = MR_EPOCH_DO_INJECT, .epoch = epochs->epoch});
}

static void drive_epoch(struct mr_epochs *epochs, struct mr_epoch_actions *out)
{
    if (epochs->state != MR_EPOCH_READY || !commits_allow_next(epochs)) return;
    if (epochs->now_us < due_us(epochs)) return; /* (5) */
    inject(epochs, out);
}

static void close_down(struct mr_epochs *epochs, struct mr_epoch_actions *out)
{
    struct mr_epoch_action action = {.kind = MR_EPOCH_DO_FINISHED, .epoch = epochs->complete};

    if (epochs->state != MR_EPOCH_CLOSING || epochs->commit != MR_COMMIT_NONE) return;
    if (failing(epochs)) {
        action.kind = MR_EPOCH_DO_FAILED;
        action.status = epochs->failure;
    } else {
        mr_assert(epochs->committed == epochs->complete); /* (6) */
        action.status = epochs->drained ? MR_OK : MR_E_CANCELLED;
    }
    move_to(epochs, MR_EPOCH_OVER);
    push(out, action);
}

/* Said when it changed, and again to whoever came too early. */
static void drive_clock(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                        struct mr_epoch_actions *out)
{
    int64_t wake_us = MR_TIME_MAX;

    if (epochs->state == MR_EPOCH_READY && commits_allow_next(epochs)) wake_us = due_us(epochs);
    if (epochs->commit == MR_COMMIT_PAUSED) wake_us = MR_MIN(wake_us, epochs->commit_us);
    if (wake_us == epochs->wake_us && event->kind != MR_EPOCH_ON_TICK) return;
    epochs->wake_us = wake_us;
    if (wake_us == MR_TIME_MAX) return;
    mr_assert(wake_us > epochs->now_us); /* what is due was done */
    push(out, (struct mr_epoch_action){.kind = MR_EPOCH_DO_WAIT_UNTIL, .time = {wake_us}});
}

/* The same events always give the same actions. */
void mr_epochs_step(struct mr_epochs *epochs, const struct mr_epoch_event *event,
                    struct mr_epoch_actions *out)
{
    bool from_tasks = event->kind == MR_EPOCH_ON_SEALED || event->kind == MR_EPOCH_ON_TASK_ENDED ||
                      event->kind == MR_EPOCH_ON_ABORT;
    uint64_t complete = epochs->complete;
    uint64_t committed = epochs->committed;

    out->count = 0;
    epochs->now_us = MR_MAX(epochs->now_us, event->now.us);
    if (epochs->state == MR_EPOCH_OVER || (from_tasks && !from_here(epochs, event))) {
        epochs->discarded++; /* (2), (6) */
        return;
    }
    dispatch(epochs, event, out);
    drive_commit(epochs, out);
    drive_epoch(epochs, out);
    close_down(epochs, out);
    drive_clock(epochs, event, out);
    mr_assert(epochs->complete >= complete);   /* (3) */
    mr_assert(epochs->committed >= committed); /* (4) */
    mr_epochs_check(epochs);
}

struct mr_epoch_seal mr_epochs_seal_of(const struct mr_epochs *epochs, uint32_t task)
{
    mr_assert(task < epochs->config.task_count);
    mr_assert(epochs->state == MR_EPOCH_APPENDING || epochs->state == MR_EPOCH_READING);
    return epochs->seals[task];
}

/* True between any two steps; (3) and (5) are about two moments and asserted where they happen. */
void mr_epochs_check(const struct mr_epochs *epochs)
{
    bool writing = epochs->state == MR_EPOCH_APPENDING || epochs->state == MR_EPOCH_READING;
    bool in_flight = writing || epochs->state == MR_EPOCH_SEALING;
    uint32_t tasks = epochs->config.task_count;

    mr_assert(epochs->epoch >= epochs->complete);                                     /* (1) */
    mr_assert(!in_flight || epochs->epoch > epochs->complete);                        /* (1) */
    mr_assert(!writing || epochs->sealed_count == tasks);                             /* (2) */
    mr_assert(epochs->state != MR_EPOCH_SEALING || epochs->sealed_count < tasks);     /* (2) */
    mr_assert(epochs->covered_count <= epochs->sealed_count);                         /* (2) */
    mr_assert(epochs->covered_count <= epochs->ended_count);                          /* (2) */
    mr_assert(epochs->committed <= epochs->asked);                                    /* (4) */
    mr_assert(epochs->asked <= epochs->complete);                                     /* (4) */
    mr_assert(epochs->commit == MR_COMMIT_NONE || epochs->committed < epochs->asked); /* (4) */
    mr_assert(epochs->state != MR_EPOCH_OVER || epochs->commit == MR_COMMIT_NONE);    /* (6) */
    mr_assert(epochs->state != MR_EPOCH_CLOSING || epochs->commit != MR_COMMIT_NONE); /* (7) */
    mr_assert(epochs->state != MR_EPOCH_READY || epochs->commit == MR_COMMIT_OPEN ||
              epochs->wake_us != MR_TIME_MAX); /* (7) */
    mr_assert_slow(mr_bits_count(epochs->sealed, tasks) == epochs->sealed_count);
    mr_assert_slow(mr_bits_count(epochs->ended, tasks) == epochs->ended_count);
}
