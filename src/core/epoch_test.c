/* epoch_test.c - the coordinator by trace, its bounds, and against a naive oracle. */
#include "base/prng.h"
#include "core/epoch.h"
#include "mr_test.h"

#include <stdio.h>

enum { FENCE = 9, ATTEMPT = 3, FLOOR = 100, PAUSE = 10, PAUSE_MAX = 80 };

struct rig {
    struct mr_arena arena;
    struct mr_epochs epochs;
    int64_t now;
    uint64_t random;
    uint32_t most; /* actions of one step */
    char trace[4096];
    size_t at;
};

static struct mr_epoch_config config_of(uint32_t tasks)
{
    return (struct mr_epoch_config){.task_count = tasks,
                                    .fence = FENCE,
                                    .attempt = ATTEMPT,
                                    .epoch_us = FLOOR,
                                    .backoff_min_us = PAUSE,
                                    .backoff_max_us = PAUSE_MAX};
}

static void rig_init(struct rig *rig, const struct mr_epoch_config *config)
{
    *rig = (struct rig){.now = config->start.us};
    mr_arena_init(&rig->arena, mr_test_heap());
    MR_EXPECT_OK(mr_epochs_init(&rig->epochs, &rig->arena, config, NULL), NULL);
}

static void rig_fini(struct rig *rig)
{
    mr_arena_fini(&rig->arena);
}

/* One action as text, the way the tests below read. */
static void action_text(const struct mr_epoch_action *action, char *text, size_t room)
{
    unsigned long long epoch = action->epoch;
    const char *why = mr_status_name(action->status);

    switch (action->kind) {
    case MR_EPOCH_DO_INJECT: (void)snprintf(text, room, "inject %llu; ", epoch); break;
    case MR_EPOCH_DO_APPEND:
        (void)snprintf(text, room, "append %llu (%llu); ", epoch,
                       (unsigned long long)action->bytes);
        break;
    case MR_EPOCH_DO_READ_BACK: (void)snprintf(text, room, "read %llu; ", epoch); break;
    case MR_EPOCH_DO_COMMIT_SINKS: (void)snprintf(text, room, "commit %llu; ", epoch); break;
    case MR_EPOCH_DO_ABORT_EPOCH: (void)snprintf(text, room, "abort %llu %s; ", epoch, why); break;
    case MR_EPOCH_DO_FINISHED: (void)snprintf(text, room, "finished %llu %s; ", epoch, why); break;
    case MR_EPOCH_DO_FAILED: (void)snprintf(text, room, "failed %llu %s; ", epoch, why); break;
    case MR_EPOCH_DO_WAIT_UNTIL:
        (void)snprintf(text, room, "wait %lld; ", (long long)action->time.us);
        break;
    }
}

static void step(struct rig *rig, struct mr_epoch_event event)
{
    struct mr_epoch_actions out;

    event.now.us = rig->now;
    event.random = rig->random;
    mr_epochs_step(&rig->epochs, &event, &out);
    rig->most = MR_MAX(rig->most, out.count);
    for (uint32_t i = 0; i < out.count; i++) {
        MR_EXPECT(rig->at + 100 < sizeof rig->trace);
        action_text(&out.items[i], rig->trace + rig->at, sizeof rig->trace - rig->at);
        rig->at += strlen(rig->trace + rig->at);
    }
}

static void expect_trace(struct rig *rig, const char *trace)
{
    MR_EXPECT_EQ_STR(rig->trace, trace);
    rig->trace[0] = '\0';
    rig->at = 0;
}

static void forget_trace(struct rig *rig)
{
    rig->trace[0] = '\0';
    rig->at = 0;
}

static void tick(struct rig *rig, int64_t now)
{
    rig->now = now;
    step(rig, (struct mr_epoch_event){.kind = MR_EPOCH_ON_TICK});
}

static struct mr_epoch_event sealed_event(uint32_t task, uint64_t epoch)
{
    return (struct mr_epoch_event){.kind = MR_EPOCH_ON_SEALED,
                                   .task = task,
                                   .epoch = epoch,
                                   .attempt = ATTEMPT,
                                   .fence = FENCE,
                                   .bytes = 10 * (task + 1),
                                   .crc = task + 77};
}

static void sealed(struct rig *rig, uint32_t task, uint64_t epoch)
{
    step(rig, sealed_event(task, epoch));
}

static void sealed_by_all(struct rig *rig, uint64_t epoch)
{
    for (uint32_t i = 0; i < rig->epochs.config.task_count; i++) sealed(rig, i, epoch);
}

static void ended(struct rig *rig, uint32_t task)
{
    step(rig,
         (struct mr_epoch_event){
             .kind = MR_EPOCH_ON_TASK_ENDED, .task = task, .attempt = ATTEMPT, .fence = FENCE});
}

static void answer(struct rig *rig, enum mr_epoch_event_kind kind, uint64_t epoch,
                   enum mr_status status)
{
    step(rig,
         (struct mr_epoch_event){
             .kind = kind, .epoch = epoch, .attempt = ATTEMPT, .fence = FENCE, .status = status});
}

#define APPENDED(rig, epoch, status)  answer(rig, MR_EPOCH_ON_APPENDED, epoch, status)
#define READ(rig, epoch, status)      answer(rig, MR_EPOCH_ON_READ, epoch, status)
#define COMMITTED(rig, epoch, status) answer(rig, MR_EPOCH_ON_SINKS_COMMITTED, epoch, status)
#define ABORT(rig, epoch, status)     answer(rig, MR_EPOCH_ON_ABORT, epoch, status)
#define STOP(rig)                     answer(rig, MR_EPOCH_ON_STOP, 0, MR_OK)

/* A coordinator of two tasks whose first epoch is being appended. */
static void rig_appending(struct rig *rig)
{
    struct mr_epoch_config config = config_of(2);

    rig_init(rig, &config);
    tick(rig, 100);
    sealed_by_all(rig, 1);
    forget_trace(rig);
}

/* ---- the path of an epoch ---- */

MR_TEST(epoch, when_all_tasks_sealed_then_append_then_commit_and_the_next_one_waits_for_the_floor)
{
    struct mr_epoch_config config = config_of(2);
    struct rig rig;

    rig_init(&rig, &config);
    tick(&rig, 0);
    tick(&rig, 60); /* early: told again */
    expect_trace(&rig, "wait 100; wait 100; ");
    tick(&rig, 105);
    expect_trace(&rig, "inject 1; ");
    sealed(&rig, 1, 1);
    expect_trace(&rig, "");
    sealed(&rig, 0, 1);
    expect_trace(&rig, "append 1 (30); ");
    MR_EXPECT_EQ_UINT(mr_epochs_seal_of(&rig.epochs, 1).bytes, 20);
    MR_EXPECT_EQ_UINT(mr_epochs_seal_of(&rig.epochs, 1).crc, 78);
    rig.now = 150;
    APPENDED(&rig, 1, MR_OK);
    expect_trace(&rig, "commit 1; wait 205; ");
    tick(&rig, 205);
    expect_trace(&rig, "inject 2; ");
    rig_fini(&rig);
}

/* A floor, not a rhythm: an epoch that took longer is followed at once, and never overlapped. */
MR_TEST(epoch, when_an_epoch_takes_longer_than_the_floor_then_the_next_follows_at_once)
{
    struct rig rig;

    rig_appending(&rig);
    tick(&rig, 500);
    expect_trace(&rig, ""); /* one in flight */
    APPENDED(&rig, 1, MR_OK);
    expect_trace(&rig, "commit 1; inject 2; ");
    rig_fini(&rig);
}

/* Sinks that lag must not pile up what waits to be committed. */
MR_TEST(epoch, when_a_commit_is_slow_then_one_more_epoch_completes_and_the_next_waits)
{
    struct rig rig;

    rig_appending(&rig);
    tick(&rig, 500);
    APPENDED(&rig, 1, MR_OK);
    sealed_by_all(&rig, 2);
    APPENDED(&rig, 2, MR_OK);
    expect_trace(&rig, "commit 1; inject 2; append 2 (30); ");
    tick(&rig, 900);
    expect_trace(&rig, "");
    COMMITTED(&rig, 1, MR_OK);
    expect_trace(&rig, "commit 2; inject 3; ");
    COMMITTED(&rig, 1, MR_OK); /* a late repetition */
    expect_trace(&rig, "");
    MR_EXPECT_EQ_UINT(rig.epochs.committed, 1);
    rig_fini(&rig);
}

MR_TEST(epoch, when_ordered_then_the_next_epoch_begins_after_the_commit)
{
    struct mr_epoch_config config = config_of(1);
    struct rig rig;

    config.ordered = true;
    rig_init(&rig, &config);
    tick(&rig, 500);
    sealed(&rig, 0, 1);
    rig.now = 900;
    APPENDED(&rig, 1, MR_OK);
    tick(&rig, 901);
    expect_trace(&rig, "inject 1; append 1 (10); commit 1; ");
    COMMITTED(&rig, 1, MR_OK);
    expect_trace(&rig, "inject 2; ");
    rig_fini(&rig);
}

/* ---- acknowledgements that do not count ---- */

/* An older attempt may still be writing: its word must not complete our epoch (museum 6). */
MR_TEST(epoch, when_an_ack_is_of_another_attempt_or_fence_or_epoch_then_it_is_discarded)
{
    struct mr_epoch_config config = config_of(1);
    struct mr_epoch_event event;
    struct rig rig;

    config.last_epoch = 4;
    rig_init(&rig, &config);
    tick(&rig, 100);
    expect_trace(&rig, "inject 5; ");
    event = sealed_event(0, 5);
    event.attempt--;
    step(&rig, event);
    event = sealed_event(0, 5);
    event.fence++;
    step(&rig, event);
    event.task = 1000; /* another attempt may have had more tasks */
    step(&rig, event);
    sealed(&rig, 0, 4);
    expect_trace(&rig, "");
    MR_EXPECT_EQ_UINT(rig.epochs.discarded, 4);
    sealed(&rig, 0, 5);
    expect_trace(&rig, "append 5 (10); ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_a_task_of_another_attempt_ends_or_fails_then_this_attempt_does_not_care)
{
    struct mr_epoch_config config = config_of(1);
    struct mr_epoch_event event = {.kind = MR_EPOCH_ON_TASK_ENDED, .attempt = 1, .fence = 1};
    struct rig rig;

    rig_init(&rig, &config);
    step(&rig, event);
    event.kind = MR_EPOCH_ON_ABORT;
    event.status = MR_E_IO;
    step(&rig, event);
    MR_EXPECT_EQ_UINT(rig.epochs.ended_count, 0);
    tick(&rig, 0);
    expect_trace(&rig, "wait 100; ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_a_task_seals_twice_then_it_counts_once_and_must_say_the_same)
{
    struct mr_epoch_config config = config_of(2);
    struct mr_epoch_event event = sealed_event(0, 1);
    struct rig rig;

    rig_init(&rig, &config);
    tick(&rig, 100);
    sealed(&rig, 0, 1);
    sealed(&rig, 0, 1);
    expect_trace(&rig, "inject 1; ");
    event.crc++;
    MR_EXPECT_PANIC(step(&rig, event));
    event = sealed_event(0, 2); /* not begun yet */
    MR_EXPECT_PANIC(step(&rig, event));
    event = sealed_event(2, 1); /* no such task */
    MR_EXPECT_PANIC(step(&rig, event));
    sealed(&rig, 1, 1);
    expect_trace(&rig, "append 1 (30); ");
    rig_fini(&rig);
}

/* ---- disk full, and other reasons to try again ---- */

MR_TEST(epoch, when_the_disk_is_full_then_the_epoch_aborts_and_the_next_number_tries_after_a_pause)
{
    struct rig rig;

    rig_appending(&rig);
    rig.now = 300;
    rig.random = 0; /* no jitter */
    APPENDED(&rig, 1, MR_E_NO_SPACE);
    expect_trace(&rig, "abort 1 MR_E_NO_SPACE; wait 310; ");
    sealed(&rig, 0, 1); /* late */
    APPENDED(&rig, 1, MR_OK);
    expect_trace(&rig, ""); /* decided is decided */
    tick(&rig, 310);
    sealed_by_all(&rig, 2);
    APPENDED(&rig, 2, MR_OK);
    expect_trace(&rig, "inject 2; append 2 (30); commit 2; wait 410; ");
    MR_EXPECT_EQ_UINT(rig.epochs.complete, 2);
    rig_fini(&rig);
}

/* The pause doubles up to its limit, and a success makes it short again. */
MR_TEST(epoch, pauses_double_up_to_the_limit_and_start_anew_after_a_success)
{
    static const int64_t pauses[] = {10, 20, 40, 80, 80};
    struct mr_epoch_config config = config_of(1);
    struct rig rig;

    config.epoch_us = 0;
    rig_init(&rig, &config);
    tick(&rig, 0);
    for (uint64_t n = 1; n <= MR_COUNT(pauses); n++) {
        sealed(&rig, 0, n);
        APPENDED(&rig, n, MR_E_NO_SPACE);
        MR_EXPECT_EQ_INT(rig.epochs.wake_us, rig.now + pauses[n - 1]);
        forget_trace(&rig);
        tick(&rig, rig.epochs.wake_us);
    }
    sealed(&rig, 0, 6);
    APPENDED(&rig, 6, MR_OK);
    sealed(&rig, 0, 7);
    APPENDED(&rig, 7, MR_E_NO_SPACE);
    MR_EXPECT_EQ_INT(rig.epochs.wake_us, rig.now + 10);
    rig_fini(&rig);
}

/* Half of the pause is chance, never less than half, never more than the whole. */
MR_TEST(epoch, pauses_are_jittered_by_the_random_bits_of_the_event)
{
    bool seen[PAUSE + 1] = {false};

    for (uint64_t random = 0; random < 100; random++) {
        struct rig rig;
        int64_t pause;

        rig_appending(&rig);
        rig.random = random;
        rig.now = 1000;
        APPENDED(&rig, 1, MR_E_NO_SPACE);
        pause = rig.epochs.wake_us - rig.now;
        MR_EXPECT(pause >= PAUSE / 2 && pause <= PAUSE);
        seen[pause] = true;
        rig_fini(&rig);
    }
    for (int pause = PAUSE / 2; pause <= PAUSE; pause++) MR_EXPECT(seen[pause]);
}

MR_TEST(epoch, when_a_task_cannot_seal_for_lack_of_room_then_the_epoch_is_tried_again)
{
    struct mr_epoch_config config = config_of(2);
    struct rig rig;

    rig_init(&rig, &config);
    tick(&rig, 100);
    sealed(&rig, 0, 1);
    ABORT(&rig, 1, MR_E_NO_SPACE);
    ABORT(&rig, 1, MR_E_NO_SPACE); /* the other task says so too */
    expect_trace(&rig, "inject 1; abort 1 MR_E_NO_SPACE; wait 200; ");
    tick(&rig, 200);
    sealed(&rig, 1, 2); /* the seal of epoch 1 does not count for epoch 2 */
    expect_trace(&rig, "inject 2; ");
    sealed(&rig, 0, 2);
    expect_trace(&rig, "append 2 (30); ");
    rig_fini(&rig);
}

/* ---- unknown outcomes (museum 16) ---- */

MR_TEST(epoch, when_the_outcome_is_unknown_and_the_epoch_is_found_then_it_is_complete)
{
    struct rig rig;

    rig_appending(&rig);
    APPENDED(&rig, 1, MR_E_IO);
    expect_trace(&rig, "read 1; ");
    tick(&rig, 1000);
    expect_trace(&rig, ""); /* nothing is decided before */
    READ(&rig, 1, MR_OK);
    expect_trace(&rig, "commit 1; inject 2; ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_the_outcome_is_unknown_and_the_epoch_is_not_there_then_the_attempt_fails)
{
    struct rig rig;

    rig_appending(&rig);
    APPENDED(&rig, 1, MR_E_IO);
    READ(&rig, 1, MR_E_NOT_FOUND);
    expect_trace(&rig, "read 1; abort 1 MR_E_IO; failed 0 MR_E_IO; ");
    rig_fini(&rig);
}

/* Neither complete nor aborted: the next attempt will see what the log holds. */
MR_TEST(epoch, when_the_log_cannot_be_read_back_then_the_attempt_fails_and_decides_nothing)
{
    struct rig rig;

    rig_appending(&rig);
    APPENDED(&rig, 1, MR_E_IO);
    READ(&rig, 1, MR_E_CORRUPT);
    expect_trace(&rig, "read 1; failed 0 MR_E_CORRUPT; ");
    MR_EXPECT_EQ_UINT(rig.epochs.complete, 0);
    rig_fini(&rig);
}

MR_TEST(epoch, when_a_newer_attempt_owns_the_log_then_this_one_ends)
{
    struct rig rig;

    rig_appending(&rig);
    APPENDED(&rig, 1, MR_E_FENCED);
    expect_trace(&rig, "abort 1 MR_E_FENCED; failed 0 MR_E_FENCED; ");
    rig_fini(&rig);
}

/* ---- the attempt fails ---- */

MR_TEST(epoch, when_the_attempt_fails_while_sealing_then_the_epoch_is_aborted)
{
    struct mr_epoch_config config = config_of(2);
    struct rig rig;

    rig_init(&rig, &config);
    tick(&rig, 100);
    ABORT(&rig, 0, MR_E_USER_FUNCTION);
    expect_trace(&rig, "inject 1; abort 1 MR_E_USER_FUNCTION; failed 0 MR_E_USER_FUNCTION; ");
    tick(&rig, 900);
    sealed_by_all(&rig, 1);
    STOP(&rig);
    ABORT(&rig, 0, MR_E_IO);
    expect_trace(&rig, ""); /* over is over */
    rig_fini(&rig);
}

/* The epoch may already be on the disk: who says "aborted" now says too much (I5). */
MR_TEST(epoch, when_the_attempt_fails_during_the_append_then_its_outcome_is_awaited)
{
    static const struct {
        enum mr_status status;
        const char *trace;
    } rows[] = {
        {MR_OK, "failed 1 MR_E_USER_FUNCTION; "}, /* complete; the next attempt commits it */
        {MR_E_NO_SPACE, "abort 1 MR_E_NO_SPACE; failed 0 MR_E_USER_FUNCTION; "},
        {MR_E_IO, "failed 0 MR_E_USER_FUNCTION; "}, /* unknown */
    };

    for (size_t i = 0; i < MR_COUNT(rows); i++) {
        struct rig rig;

        rig_appending(&rig);
        ABORT(&rig, 0, MR_E_USER_FUNCTION);
        expect_trace(&rig, "");
        APPENDED(&rig, 1, rows[i].status);
        expect_trace(&rig, rows[i].trace);
        rig_fini(&rig);
    }
}

MR_TEST(epoch, when_the_attempt_fails_during_a_commit_then_the_commit_is_awaited)
{
    struct rig rig;

    rig_appending(&rig);
    APPENDED(&rig, 1, MR_OK);
    expect_trace(&rig, "commit 1; wait 200; ");
    ABORT(&rig, 0, MR_E_RECORD);
    expect_trace(&rig, "");
    COMMITTED(&rig, 1, MR_OK);
    expect_trace(&rig, "failed 1 MR_E_RECORD; ");
    rig_fini(&rig);
}

/* ---- sinks ---- */

/* A commit is asked for until it succeeds, and then for all that is complete (S3, I9). */
MR_TEST(epoch, when_a_commit_fails_for_now_then_it_is_asked_again_for_all_that_is_complete)
{
    struct rig rig;

    rig_appending(&rig);
    rig.now = 250;
    APPENDED(&rig, 1, MR_OK);
    expect_trace(&rig, "commit 1; inject 2; ");
    COMMITTED(&rig, 1, MR_E_NO_SPACE);
    expect_trace(&rig, "wait 260; ");
    sealed_by_all(&rig, 2);
    APPENDED(&rig, 2, MR_OK);
    expect_trace(&rig, "append 2 (30); ");
    tick(&rig, 260);
    expect_trace(&rig, "commit 2; wait 350; ");
    COMMITTED(&rig, 2, MR_OK);
    MR_EXPECT_EQ_UINT(rig.epochs.committed, 2);
    rig_fini(&rig);
}

MR_TEST(epoch, when_a_commit_fails_for_good_then_the_attempt_fails_and_the_epoch_stays_complete)
{
    struct rig rig;

    rig_appending(&rig);
    rig.now = 250;
    APPENDED(&rig, 1, MR_OK);
    COMMITTED(&rig, 1, MR_E_CORRUPT);
    expect_trace(&rig, "commit 1; inject 2; abort 2 MR_E_CORRUPT; failed 1 MR_E_CORRUPT; ");
    MR_EXPECT_EQ_UINT(rig.epochs.complete, 1);
    rig_fini(&rig);
}

/* The longest list of actions: an abort, a commit whose pause is over, and the next wake-up. */
MR_TEST(epoch, when_an_abort_meets_a_due_commit_then_three_actions_are_the_bound)
{
    struct rig rig;

    rig_appending(&rig);
    rig.now = 250;
    APPENDED(&rig, 1, MR_OK);
    COMMITTED(&rig, 1, MR_E_NO_SPACE);
    rig.now = 400;
    forget_trace(&rig);
    ABORT(&rig, 2, MR_E_NOMEM);
    expect_trace(&rig, "abort 2 MR_E_NOMEM; commit 1; wait 410; ");
    MR_EXPECT_EQ_UINT(rig.most, MR_EPOCH_ACTIONS_MAX);
    rig_fini(&rig);
}

/* ---- the end ---- */

/* A short job must not wait for a long epoch to commit its result. */
MR_TEST(epoch, when_all_tasks_ended_then_one_epoch_follows_at_once_and_is_the_last)
{
    struct mr_epoch_config config = config_of(2);
    struct rig rig;

    rig_init(&rig, &config);
    tick(&rig, 0);
    ended(&rig, 0);
    ended(&rig, 0); /* twice */
    expect_trace(&rig, "wait 100; ");
    ended(&rig, 1);
    expect_trace(&rig, "inject 1; ");
    sealed_by_all(&rig, 1);
    APPENDED(&rig, 1, MR_OK);
    expect_trace(&rig, "append 1 (30); commit 1; ");
    COMMITTED(&rig, 1, MR_OK);
    expect_trace(&rig, "finished 1 MR_OK; ");
    rig_fini(&rig);
}

/* What a task emits after its seal belongs to the next epoch: that one must still run. */
MR_TEST(epoch, when_a_task_ends_after_its_seal_then_one_more_epoch_is_needed)
{
    struct mr_epoch_config config = config_of(2);
    struct rig rig;

    rig_init(&rig, &config);
    tick(&rig, 100);
    ended(&rig, 0);
    sealed(&rig, 0, 1);
    sealed(&rig, 1, 1);
    ended(&rig, 1);
    APPENDED(&rig, 1, MR_OK);
    expect_trace(&rig, "inject 1; append 1 (30); commit 1; inject 2; ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_every_task_ended_before_its_seal_then_that_epoch_is_the_last)
{
    struct mr_epoch_config config = config_of(2);
    struct rig rig;

    rig_init(&rig, &config);
    tick(&rig, 100);
    for (uint32_t task = 0; task < 2; task++) {
        ended(&rig, task);
        sealed(&rig, task, 1);
    }
    APPENDED(&rig, 1, MR_OK);
    COMMITTED(&rig, 1, MR_OK);
    expect_trace(&rig, "inject 1; append 1 (30); commit 1; finished 1 MR_OK; ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_the_last_epoch_meets_a_full_disk_then_it_is_tried_again_too)
{
    struct mr_epoch_config config = config_of(1);
    struct rig rig;

    rig_init(&rig, &config);
    ended(&rig, 0);
    sealed(&rig, 0, 1);
    APPENDED(&rig, 1, MR_E_NO_SPACE);
    tick(&rig, 10);
    sealed(&rig, 0, 2);
    APPENDED(&rig, 2, MR_OK);
    COMMITTED(&rig, 2, MR_OK);
    expect_trace(&rig, "inject 1; append 1 (10); abort 1 MR_E_NO_SPACE; wait 10; inject 2; "
                       "append 2 (10); commit 2; finished 2 MR_OK; ");
    rig_fini(&rig);
}

/* ---- stop ---- */

MR_TEST(epoch, when_stopped_between_epochs_then_one_epoch_runs_at_once_and_is_the_last)
{
    struct mr_epoch_config config = config_of(1);
    struct rig rig;

    rig_init(&rig, &config);
    STOP(&rig);
    sealed(&rig, 0, 1);
    APPENDED(&rig, 1, MR_OK);
    STOP(&rig); /* twice */
    COMMITTED(&rig, 1, MR_OK);
    expect_trace(&rig, "inject 1; append 1 (10); commit 1; finished 1 MR_E_CANCELLED; ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_stopped_during_an_epoch_then_that_one_is_the_last)
{
    struct rig rig;

    rig_appending(&rig);
    STOP(&rig);
    tick(&rig, 1000);
    APPENDED(&rig, 1, MR_OK);
    COMMITTED(&rig, 1, MR_OK);
    expect_trace(&rig, "commit 1; finished 1 MR_E_CANCELLED; ");
    rig_fini(&rig);
}

/* Who stops a job whose disk is full wants it to end, not to wait for room. */
MR_TEST(epoch, when_stopped_with_a_full_disk_then_one_try_is_made_and_no_more)
{
    struct rig rig;

    rig_appending(&rig);
    APPENDED(&rig, 1, MR_E_NO_SPACE);
    forget_trace(&rig);
    STOP(&rig);
    sealed_by_all(&rig, 2);
    APPENDED(&rig, 2, MR_E_NO_SPACE);
    expect_trace(&rig, "inject 2; append 2 (30); abort 2 MR_E_NO_SPACE; failed 0 MR_E_NO_SPACE; ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_stopped_while_a_commit_pauses_then_it_is_asked_once_more)
{
    struct rig rig;

    rig_appending(&rig);
    APPENDED(&rig, 1, MR_OK);
    COMMITTED(&rig, 1, MR_E_NO_SPACE);
    forget_trace(&rig);
    STOP(&rig);
    expect_trace(&rig, "commit 1; inject 2; ");
    COMMITTED(&rig, 1, MR_E_NO_SPACE);
    expect_trace(&rig, "abort 2 MR_E_NO_SPACE; failed 1 MR_E_NO_SPACE; ");
    rig_fini(&rig);
}

/* ---- clocks, configurations, memory ---- */

MR_TEST(epoch, when_the_clock_goes_back_then_time_stands_still)
{
    struct mr_epoch_config config = config_of(1);
    struct rig rig;

    rig_init(&rig, &config);
    tick(&rig, 90);
    tick(&rig, 20);
    MR_EXPECT_EQ_INT(rig.epochs.now_us, 90);
    expect_trace(&rig, "wait 100; wait 100; ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_the_floor_is_beyond_the_end_of_time_then_only_the_end_or_stop_begins_an_epoch)
{
    struct mr_epoch_config config = config_of(1);
    struct rig rig;

    config.epoch_us = INT64_MAX;
    config.start.us = 1000;
    rig_init(&rig, &config);
    tick(&rig, 1000000);
    MR_EXPECT_EQ_INT(rig.epochs.wake_us, MR_TIME_MAX - 1);
    forget_trace(&rig);
    ended(&rig, 0);
    expect_trace(&rig, "inject 1; ");
    rig_fini(&rig);
}

MR_TEST(epoch, when_the_configuration_makes_no_sense_then_init_refuses)
{
    struct mr_epoch_config good = config_of(1);
    struct mr_epoch_config bad[4] = {good, good, good, good};
    struct mr_arena arena;
    struct mr_epochs epochs;
    struct mr_error err;

    bad[0].task_count = 0;
    bad[1].epoch_us = -1;
    bad[2].backoff_min_us = 0;
    bad[3].backoff_max_us = PAUSE - 1;
    mr_arena_init(&arena, mr_test_heap());
    for (size_t i = 0; i < MR_COUNT(bad); i++) {
        MR_EXPECT_STATUS(mr_epochs_init(&epochs, &arena, &bad[i], &err), MR_E_INVALID);
    }
    MR_EXPECT_CONTAINS(err.text, "pause");
    mr_arena_fini(&arena);
}

MR_TEST(epoch, when_memory_is_short_then_init_says_so)
{
    struct mr_heap *heap = mr_test_heap();
    struct mr_epoch_config config = config_of(5000);

    MR_TORTURE(heap) {
        struct mr_arena arena;
        struct mr_epochs epochs;
        enum mr_status st;

        mr_arena_init(&arena, heap);
        st = mr_epochs_init(&epochs, &arena, &config, NULL);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_arena_fini(&arena);
    }
}

/* ---- random events against a naive oracle ---- */

/* The oracle keeps a history: the fate of every epoch ever begun, every commit ever asked for, who
 * sealed and ended at which event. Everything else is asked of that history after each event. */
enum { EPOCHS = 400, TASKS = 5 };
enum fate { NEVER, SEALING, WRITING, UNKNOWN, COMPLETE, ABORTED, UNDECIDED };
struct past_epoch {
    enum fate fate;
    int64_t begun;
    int64_t retry; /* ABORTED: not before */
    int sealed_at[TASKS];
    enum mr_status write_status;
};
struct past_commit {
    int epoch;
    bool answered;
    enum mr_status status;
    int64_t retry;
};
struct oracle {
    struct mr_epoch_config config;
    int64_t now;
    int event;
    struct past_epoch epochs[EPOCHS];
    struct past_commit commits[EPOCHS];
    int ended_at[TASKS];
    int stopped_at; /* event numbers; 0: never */
    int newest, commit_count;
    enum mr_status why; /* the attempt failed */
    bool over;
    int64_t wake;
    char trace[512];
};

static void oracle_say(struct oracle *oracle, struct mr_epoch_action action)
{
    size_t at = strlen(oracle->trace);

    action_text(&action, oracle->trace + at, sizeof oracle->trace - at);
}

static bool again(enum mr_status status)
{
    return status == MR_E_NO_SPACE || status == MR_E_NOMEM;
}

static int last_complete(const struct oracle *oracle)
{
    int n = oracle->newest;

    while (n > 0 && oracle->epochs[n].fate != COMPLETE) n--;
    return n;
}

static int last_committed(const struct oracle *oracle)
{
    for (int i = oracle->commit_count - 1; i >= 0; i--) {
        if (oracle->commits[i].answered && oracle->commits[i].status == MR_OK) {
            return oracle->commits[i].epoch;
        }
    }
    return 0;
}

static bool holds_every_end(const struct oracle *oracle, int n)
{
    for (uint32_t i = 0; i < oracle->config.task_count; i++) {
        if (oracle->ended_at[i] == 0 || oracle->ended_at[i] > oracle->epochs[n].sealed_at[i]) {
            return false;
        }
    }
    return n > 0;
}

static int64_t pause(const struct oracle *oracle, int failures, uint64_t random)
{
    double whole = (double)oracle->config.backoff_min_us;

    while (--failures > 0) whole *= 2;
    if (whole > (double)oracle->config.backoff_max_us) {
        whole = (double)oracle->config.backoff_max_us;
    }
    return (int64_t)whole - (int64_t)(random % ((uint64_t)whole / 2 + 1));
}

static void oracle_fail(struct oracle *oracle, enum mr_status status)
{
    struct past_epoch *past = &oracle->epochs[oracle->newest];

    if (oracle->why != MR_OK) return;
    oracle->why = status;
    if (oracle->newest > 0 && past->fate == SEALING) {
        oracle_say(oracle, (struct mr_epoch_action){
                               MR_EPOCH_DO_ABORT_EPOCH, status, (uint64_t)oracle->newest, 0, {0}});
        past->fate = ABORTED;
    }
}

static void oracle_abort(struct oracle *oracle, enum mr_status status, uint64_t random)
{
    int failures = oracle->newest - last_complete(oracle);
    struct past_epoch *past = &oracle->epochs[oracle->newest];

    oracle_say(oracle, (struct mr_epoch_action){
                           MR_EPOCH_DO_ABORT_EPOCH, status, (uint64_t)oracle->newest, 0, {0}});
    past->fate = ABORTED;
    past->retry = oracle->now + pause(oracle, failures, random);
    if (oracle->why == MR_OK && (!again(status) || oracle->stopped_at != 0)) oracle->why = status;
}

static void oracle_sealed(struct oracle *oracle, const struct mr_epoch_event *event)
{
    struct past_epoch *past = &oracle->epochs[event->epoch];
    uint64_t bytes = 0;

    if (past->fate != SEALING || past->sealed_at[event->task] != 0) return;
    past->sealed_at[event->task] = oracle->event;
    for (uint32_t i = 0; i < oracle->config.task_count; i++) {
        if (past->sealed_at[i] == 0) return;
        bytes += 10 * (i + 1);
    }
    past->fate = WRITING;
    oracle_say(oracle,
               (struct mr_epoch_action){MR_EPOCH_DO_APPEND, MR_OK, event->epoch, bytes, {0}});
}

static void oracle_written(struct oracle *oracle, const struct mr_epoch_event *event)
{
    struct past_epoch *past = &oracle->epochs[event->epoch];

    if (past->fate != WRITING) return;
    if (event->status == MR_OK) {
        past->fate = COMPLETE;
    } else if (again(event->status) || event->status == MR_E_FENCED) {
        oracle_abort(oracle, event->status, event->random);
    } else if (oracle->why != MR_OK) {
        past->fate = UNDECIDED;
    } else {
        past->fate = UNKNOWN;
        past->write_status = event->status;
        oracle_say(oracle,
                   (struct mr_epoch_action){MR_EPOCH_DO_READ_BACK, MR_OK, event->epoch, 0, {0}});
    }
}

static void oracle_read(struct oracle *oracle, const struct mr_epoch_event *event)
{
    struct past_epoch *past = &oracle->epochs[event->epoch];

    if (past->fate != UNKNOWN) return;
    if (event->status == MR_OK) {
        past->fate = COMPLETE;
    } else if (event->status == MR_E_NOT_FOUND) {
        oracle_abort(oracle, past->write_status, event->random);
    } else {
        past->fate = UNDECIDED;
        if (oracle->why == MR_OK) oracle->why = event->status;
    }
}

static void oracle_committed(struct oracle *oracle, const struct mr_epoch_event *event)
{
    struct past_commit *past = &oracle->commits[MR_MAX(oracle->commit_count - 1, 0)];
    int failures = 0;

    if (oracle->commit_count == 0 || past->answered || past->epoch != (int)event->epoch) return;
    past->answered = true;
    past->status = event->status;
    if (event->status == MR_OK) return;
    if (!again(event->status) || oracle->stopped_at != 0) {
        oracle_fail(oracle, event->status);
        return;
    }
    for (int i = oracle->commit_count - 1; i >= 0 && oracle->commits[i].status != MR_OK; i--) {
        failures++;
    }
    past->retry = oracle->now + pause(oracle, failures, event->random);
}

static void oracle_follow(struct oracle *oracle, bool is_tick)
{
    int complete = last_complete(oracle);
    struct past_commit *commit =
        oracle->commit_count > 0 ? &oracle->commits[oracle->commit_count - 1] : NULL;
    struct past_epoch *newest = &oracle->epochs[oracle->newest];
    bool open = commit != NULL && !commit->answered;
    bool paused =
        commit != NULL && commit->answered && commit->status != MR_OK && oracle->why == MR_OK;
    bool busy = newest->fate == SEALING || newest->fate == WRITING || newest->fate == UNKNOWN;
    bool last = oracle->why != MR_OK || newest->fate == UNDECIDED ||
                (newest->fate == COMPLETE &&
                 (holds_every_end(oracle, complete) || oracle->epochs[complete].retry == -1));
    bool all_ended = true;
    int64_t wake = MR_TIME_MAX;

    if (!open && oracle->why == MR_OK && complete > last_committed(oracle) &&
        (!paused || commit->retry <= oracle->now || oracle->stopped_at != 0)) {
        oracle->commits[oracle->commit_count++] = (struct past_commit){.epoch = complete};
        commit = &oracle->commits[oracle->commit_count - 1];
        oracle_say(oracle, (struct mr_epoch_action){
                               MR_EPOCH_DO_COMMIT_SINKS, MR_OK, (uint64_t)complete, 0, {0}});
        open = true;
        paused = false;
    }
    for (uint32_t i = 0; i < oracle->config.task_count; i++) {
        all_ended = all_ended && oracle->ended_at[i] != 0;
    }
    if (!busy && !last) {
        bool allowed = oracle->config.ordered ? last_committed(oracle) == complete
                                              : complete == 0 || commit->epoch == complete;
        int64_t due = oracle->config.start.us + oracle->config.epoch_us;

        if (oracle->newest > 0) due = newest->begun + oracle->config.epoch_us;
        if (all_ended) due = 0;
        if (newest->fate == ABORTED && newest->retry > due) due = newest->retry;
        if (oracle->stopped_at != 0) due = 0;
        if (allowed && due <= oracle->now) {
            oracle->newest++;
            oracle->epochs[oracle->newest].fate = SEALING;
            oracle->epochs[oracle->newest].begun = oracle->now;
            oracle_say(oracle, (struct mr_epoch_action){
                                   MR_EPOCH_DO_INJECT, MR_OK, (uint64_t)oracle->newest, 0, {0}});
        } else if (allowed) {
            wake = due;
        }
    }
    if (last && !busy && !open && !paused) {
        bool all_in = holds_every_end(oracle, complete);
        struct mr_epoch_action action = {
            MR_EPOCH_DO_FINISHED, all_in ? MR_OK : MR_E_CANCELLED, (uint64_t)complete, 0, {0}};

        if (oracle->why != MR_OK) {
            action.kind = MR_EPOCH_DO_FAILED;
            action.status = oracle->why;
        }
        oracle_say(oracle, action);
        oracle->over = true;
    }
    if (paused && commit->retry < wake) wake = commit->retry;
    if (wake != MR_TIME_MAX && (is_tick || wake != oracle->wake)) {
        oracle_say(oracle, (struct mr_epoch_action){MR_EPOCH_DO_WAIT_UNTIL, MR_OK, 0, 0, {wake}});
    }
    oracle->wake = wake;
}

static void oracle_event(struct oracle *oracle, const struct mr_epoch_event *event)
{
    bool ours = event->attempt == ATTEMPT && event->fence == FENCE;
    int was_complete = last_complete(oracle);

    oracle->trace[0] = '\0';
    oracle->event++;
    oracle->now = MR_MAX(oracle->now, event->now.us);
    if (oracle->over) return;
    if (!ours && (event->kind == MR_EPOCH_ON_SEALED || event->kind == MR_EPOCH_ON_TASK_ENDED ||
                  event->kind == MR_EPOCH_ON_ABORT)) {
        return;
    }
    if (event->kind == MR_EPOCH_ON_SEALED) oracle_sealed(oracle, event);
    if (event->kind == MR_EPOCH_ON_APPENDED) oracle_written(oracle, event);
    if (event->kind == MR_EPOCH_ON_READ) oracle_read(oracle, event);
    if (event->kind == MR_EPOCH_ON_SINKS_COMMITTED) oracle_committed(oracle, event);
    if (event->kind == MR_EPOCH_ON_STOP && oracle->stopped_at == 0) {
        oracle->stopped_at = oracle->event;
    }
    if (event->kind == MR_EPOCH_ON_TASK_ENDED && oracle->ended_at[event->task] == 0) {
        oracle->ended_at[event->task] = oracle->event;
    }
    if (event->kind == MR_EPOCH_ON_ABORT) {
        if (event->epoch == 0 || !again(event->status)) {
            oracle_fail(oracle, event->status);
        } else if (oracle->epochs[event->epoch].fate == SEALING) {
            oracle_abort(oracle, event->status, event->random);
        }
    }
    /* -1 marks the complete epoch that a stop made the last one. */
    if (last_complete(oracle) != was_complete && oracle->stopped_at != 0) {
        oracle->epochs[last_complete(oracle)].retry = -1;
    }
    oracle_follow(oracle, event->kind == MR_EPOCH_ON_TICK);
}

static uint64_t draw_epoch(struct mr_prng *prng, uint64_t newest)
{
    if (newest == 0 || mr_prng_below(prng, 10) > 0) return newest;
    return newest - mr_prng_below(prng, MR_MIN(newest, 3));
}

/* Half of the runs see only what can be tried again: they live longer. `good` is odd then. */
static enum mr_status draw_status(struct mr_prng *prng, uint64_t good)
{
    static const enum mr_status bad[] = {MR_E_NO_SPACE,  MR_E_NO_SPACE, MR_E_NO_SPACE,
                                         MR_E_NOMEM,     MR_E_IO,       MR_E_FENCED,
                                         MR_E_NOT_FOUND, MR_E_CORRUPT};

    if (mr_prng_below(prng, 100) < good) return MR_OK;
    return bad[mr_prng_below(prng, good % 2 == 1 ? 4 : MR_COUNT(bad))];
}

/* Mostly what a driver would say next, sometimes what comes late, twice, or from elsewhere. */
static struct mr_epoch_event draw_event(struct mr_prng *prng, const struct oracle *oracle,
                                        uint64_t good)
{
    struct mr_epoch_event event =
        sealed_event((uint32_t)mr_prng_below(prng, oracle->config.task_count),
                     draw_epoch(prng, (uint64_t)oracle->newest));
    uint64_t dice = mr_prng_below(prng, 1000);

    if (dice < 250) event.kind = MR_EPOCH_ON_TICK;
    if (dice >= 550) event.kind = MR_EPOCH_ON_APPENDED;
    if (dice >= 700) event.kind = MR_EPOCH_ON_READ;
    if (dice >= 800) event.kind = MR_EPOCH_ON_SINKS_COMMITTED;
    if (dice >= 982) event.kind = MR_EPOCH_ON_TASK_ENDED;
    if (dice >= 985) event.kind = MR_EPOCH_ON_ABORT;
    if (dice >= 999) event.kind = MR_EPOCH_ON_STOP;
    event.status = draw_status(prng, good);
    if (event.kind == MR_EPOCH_ON_ABORT) {
        event.status = good % 2 == 1 || mr_prng_below(prng, 8) > 0 ? MR_E_NO_SPACE : MR_E_RECORD;
        if (mr_prng_below(prng, 20) == 0 && good % 2 == 0) event.epoch = 0;
    }
    if (event.kind == MR_EPOCH_ON_SINKS_COMMITTED) {
        event.epoch = 0;
        if (oracle->commit_count > 0) {
            event.epoch =
                draw_epoch(prng, (uint64_t)oracle->commits[oracle->commit_count - 1].epoch);
        }
    }
    if (mr_prng_below(prng, 12) == 0) event.attempt--;
    if (mr_prng_below(prng, 12) == 0) event.fence++;
    event.random = mr_prng_next(prng);
    return event;
}

struct tally {
    uint32_t most, finished, failed, cancelled, epochs, unknown;
};

static void random_run(uint64_t seed, struct tally *tally)
{
    static struct oracle oracle;
    struct mr_epoch_config config;
    struct mr_prng prng;
    struct rig rig;
    uint64_t good;

    mr_prng_init(&prng, seed, 1);
    config = config_of(1 + (uint32_t)mr_prng_below(&prng, TASKS));
    config.ordered = mr_prng_below(&prng, 2) == 0;
    config.epoch_us = (int64_t)mr_prng_below(&prng, 3) * 50;
    good = 40 + mr_prng_below(&prng, 60);
    memset(&oracle, 0, sizeof oracle);
    oracle.config = config;
    oracle.wake = MR_TIME_MAX;
    rig_init(&rig, &config);
    for (int n = 0; n < 1000 && oracle.newest < EPOCHS - 2 && oracle.commit_count < EPOCHS - 2;
         n++) {
        struct mr_epoch_event event = draw_event(&prng, &oracle, good);

        rig.now += (int64_t)mr_prng_below(&prng, 30) - 3;
        rig.random = event.random;
        event.now.us = rig.now;
        oracle_event(&oracle, &event);
        step(&rig, event);
        if (strcmp(rig.trace, oracle.trace) != 0) {
            MR_FAIL("seed %llu event %d (kind %d task %u epoch %llu %s at %lld): \"%s\", expected "
                    "\"%s\"",
                    (unsigned long long)seed, n, (int)event.kind, event.task,
                    (unsigned long long)event.epoch, mr_status_name(event.status),
                    (long long)rig.now, rig.trace, oracle.trace);
        }
        if (strstr(rig.trace, "finished") != NULL) tally->finished++;
        if (strstr(rig.trace, "CANCELLED") != NULL) tally->cancelled++;
        if (strstr(rig.trace, "failed") != NULL) tally->failed++;
        if (strstr(rig.trace, "read") != NULL) tally->unknown++;
        forget_trace(&rig);
    }
    tally->epochs += (uint32_t)last_complete(&oracle);
    tally->most = MR_MAX(tally->most, rig.most);
    rig_fini(&rig);
}

MR_TEST(epoch, random_events_give_what_the_naive_rule_gives)
{
    struct tally tally = {0};

    for (uint64_t seed = 1; seed <= 2000; seed++) random_run(seed, &tally);
    /* The runs went everywhere, and the bound is the right one. */
    MR_EXPECT_EQ_UINT(tally.most, MR_EPOCH_ACTIONS_MAX);
    MR_EXPECT(tally.finished > 20);
    MR_EXPECT(tally.cancelled > 20);
    MR_EXPECT(tally.failed > 200);
    MR_EXPECT(tally.unknown > 200);
    MR_EXPECT(tally.epochs > 2000);
}
