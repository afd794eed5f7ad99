/* log_test.c - a topic written by a job that dies everywhere, and read meanwhile. */
#include "connect/log/topic_rig.h"

#include "base/crc.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- without faults ---- */

MR_TEST(log, when_a_job_ends_then_a_reader_finds_its_rows_in_order)
{
    struct log_rig rig;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    for (uint32_t i = 0; i < 20; i++) MR_EXPECT_OK(log_rig_epoch(&rig, 25), &rig.err);
    MR_EXPECT_OK(log_rig_finish(&rig), &rig.err);
    log_rig_check(&rig);
    log_rig_follow(&rig);
    for (uint32_t p = 0; p < 2; p++) {
        MR_EXPECT_EQ_UINT(rig.followers[p].seen, rig.expected_count[p]);
        MR_EXPECT_EQ_UINT(rig.expected_count[p], 250);
    }
    log_rig_fini(&rig);
}

MR_TEST(log, when_an_epoch_is_prepared_then_nobody_sees_it_before_its_commit)
{
    struct log_rig rig;
    struct mr_buffer states[RIG_PARTITIONS];

    log_rig_init(&rig, 1);
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++) mr_buffer_init(&states[i], &rig.outer);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 10), &rig.err);
    MR_EXPECT_OK(log_rig_prepare(&rig, 1, states), &rig.err);
    log_rig_follow(&rig);
    MR_EXPECT_EQ_UINT(rig.followers[0].seen, 0);
    log_rig_check(&rig); /* promises nothing yet, and finds nothing */
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++) mr_buffer_fini(&states[i]);
    log_rig_fini(&rig);
}

/* Rows of the next epoch lie before the COMMIT of this one. */
MR_TEST(log, when_the_next_epoch_is_written_before_a_commit_then_only_this_one_is_seen)
{
    struct log_rig rig;
    struct mr_buffer states[RIG_PARTITIONS];

    log_rig_init(&rig, 1);
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++) mr_buffer_init(&states[i], &rig.outer);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 10), &rig.err);
    MR_EXPECT_OK(log_rig_prepare(&rig, 1, states), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 10), &rig.err);
    MR_EXPECT_OK(log_rig_prepare(&rig, 2, states), &rig.err);
    for (uint32_t i = 0; i < 10; i++) rig.expected[0][i] = i;
    rig.expected_count[0] = 10;
    MR_EXPECT_OK(log_rig_commit(&rig, 1), &rig.err);
    log_rig_follow(&rig);
    MR_EXPECT_EQ_UINT(rig.followers[0].seen, 10);
    log_rig_check(&rig);
    for (uint32_t i = 10; i < 20; i++) rig.expected[0][i] = i;
    rig.expected_count[0] = 20;
    MR_EXPECT_OK(log_rig_commit(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_commit(&rig, 2), &rig.err); /* again is fine */
    log_rig_follow(&rig);
    MR_EXPECT_EQ_UINT(rig.followers[0].seen, 20);
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++) mr_buffer_fini(&states[i]);
    log_rig_fini(&rig);
}

MR_TEST(log, when_a_finished_job_is_run_again_then_nothing_changes)
{
    struct log_rig rig;
    uint64_t requests;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 10), &rig.err);
    MR_EXPECT_OK(log_rig_finish(&rig), &rig.err);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT(fault_disk_find(&rig.disk, "d/topic/attempt-1") != NULL);
    MR_EXPECT(fault_disk_find(&rig.disk, "d/topic/attempt-2") == NULL);
    requests = rig.disk.requests;
    MR_EXPECT(requests > 0);
    log_rig_check(&rig);
    log_rig_fini(&rig);
}

/* The end was decided, but the process died before it could say so. */
MR_TEST(log, when_a_finished_job_died_before_its_commit_then_recovery_ends_it)
{
    struct log_rig rig;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 10), &rig.err);
    rig.finished = true;
    log_rig_stop(&rig);
    fault_disk_kill(&rig.disk);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT(fault_disk_find(&rig.disk, "d/topic/closed-2-1") != NULL);
    log_rig_check(&rig);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT(fault_disk_find(&rig.disk, "d/topic/attempt-3") == NULL);
    log_rig_check(&rig);
    log_rig_fini(&rig);
}

/* Rows, COMMITs and the ends of segments come in all orders. */
MR_TEST(log, when_the_job_is_begun_again_after_any_number_of_epochs_then_it_goes_on)
{
    struct log_rig rig;

    log_rig_init(&rig, 1);
    for (uint32_t epochs = 0; epochs < 9; epochs++) {
        MR_EXPECT_OK(log_rig_start(&rig, 1 + epochs % 3), &rig.err);
        for (uint32_t i = 0; i < epochs; i++) {
            MR_EXPECT_OK(log_rig_epoch(&rig, 1 + (i * 37 + epochs * 11) % 90), &rig.err);
        }
        MR_EXPECT_OK(log_rig_write(&rig, 5), &rig.err);
        log_rig_check(&rig);
    }
    log_rig_fini(&rig);
}

/* ---- death at every request ---- */

struct fault_plan {
    bool power;
    bool garbage;
    bool torn;
    bool rough; /* short and late transfers */
    uint32_t stall;
};

static enum mr_status run_phase(struct log_rig *rig, uint32_t phase)
{
    static const uint32_t writers[] = {1, 2, 1, 3};

    MR_RET(log_rig_start(rig, writers[phase]));
    log_rig_follow(rig);
    MR_RET(log_rig_epoch(rig, 9));
    MR_RET(log_rig_epoch(rig, 40));
    for (uint32_t i = 0; i < 4 && phase == 1; i++) MR_RET(log_rig_epoch(rig, 30));
    if (phase + 1 < MR_COUNT(writers)) return log_rig_write(rig, 5); /* lost with the process */
    return log_rig_finish(rig);
}

static void die(struct log_rig *rig, const struct fault_plan *plan, uint64_t seed)
{
    bool crashed = rig->disk.crashed;

    log_rig_stop(rig);
    if (crashed && plan->power) {
        fault_disk_crash(&rig->disk, seed);
    } else {
        fault_disk_kill(&rig->disk);
    }
}

/* False: the run was over before the crash. */
static bool run_with_crash(uint64_t crash_at, const struct fault_plan *plan)
{
    struct log_rig *rig = calloc(1, sizeof *rig);
    bool hit = false;

    MR_EXPECT(rig != NULL);
    log_rig_init(rig, crash_at);
    rig->disk.crash_at = crash_at;
    rig->disk.garbage = plan->garbage;
    rig->disk.torn = plan->torn;
    rig->disk.short_transfers = rig->disk.late = plan->rough;
    rig->disk.stall = plan->stall;
    for (uint32_t phase = 0; phase < 4 && !rig->finished; phase++) {
        enum mr_status st = run_phase(rig, phase);

        if (st != MR_OK) {
            if (!rig->disk.crashed) MR_FAIL("crash at %llu: %s", (unsigned long long)crash_at, rig->err.text);
            hit = true;
        }
        hit = hit || rig->disk.crashed;
        if (phase < 3 || st != MR_OK) die(rig, plan, crash_at);
        if (st != MR_OK) phase--; /* this phase again */
    }
    if (rig->finished) {
        hit = hit || rig->disk.crashed;
        die(rig, plan, crash_at);
        MR_EXPECT_OK(log_rig_start(rig, 2), &rig->err);
    }
    log_rig_follow(rig);
    log_rig_check(rig);
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) {
        MR_EXPECT_EQ_UINT(rig->followers[p].seen, rig->expected_count[p]);
    }
    log_rig_fini(rig);
    free(rig);
    return hit;
}

static void crash_everywhere(const struct fault_plan *plan)
{
    uint64_t at = 1;

    while (run_with_crash(at, plan)) at++;
    MR_EXPECT(at > 150); /* there was something to crash */
}

MR_TEST(log, when_the_process_dies_at_any_request_then_each_row_is_there_once)
{
    crash_everywhere(&(struct fault_plan){.power = false});
}

MR_TEST(log, when_power_is_lost_at_any_request_then_each_row_is_there_once)
{
    crash_everywhere(&(struct fault_plan){.power = true});
}

MR_TEST(log, when_power_is_lost_and_sectors_are_garbage_then_each_row_is_there_once)
{
    crash_everywhere(&(struct fault_plan){.power = true, .garbage = true});
}

MR_TEST(log, when_power_is_lost_and_sectors_are_torn_then_each_row_is_there_once)
{
    crash_everywhere(&(struct fault_plan){.power = true, .torn = true});
}

MR_TEST(log, when_transfers_are_short_and_late_and_power_is_lost_then_each_row_is_there_once)
{
    crash_everywhere(&(struct fault_plan){.power = true, .garbage = true, .rough = true, .stall = 2});
}

/* ---- other writers ---- */

static uint32_t promised(const struct log_rig *rig)
{
    uint32_t sum = 0;

    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) sum += rig->expected_count[p];
    return sum;
}

struct old_attempt {
    struct mr_sink sink;
    void *writers[RIG_PARTITIONS];
};

/* The process is stopped, another takes over. */
static void set_aside(struct log_rig *rig, struct old_attempt *old)
{
    old->sink = rig->sink;
    memcpy(old->writers, rig->writers, sizeof old->writers);
    rig->sink.ops = NULL;
    memset(rig->writers, 0, sizeof rig->writers);
}

static void bring_back(struct log_rig *rig, struct old_attempt *old)
{
    struct old_attempt now;

    set_aside(rig, &now);
    rig->sink = old->sink;
    memcpy(rig->writers, old->writers, sizeof old->writers);
    *old = now;
}

static void end_old(struct old_attempt *old)
{
    for (uint32_t w = 0; w < RIG_PARTITIONS; w++) {
        if (old->writers[w] != NULL) old->sink.ops->close(old->writers[w]);
    }
    old->sink.ops->destroy(old->sink.spec);
}

static void copy_states(struct mr_buffer *out, struct mr_heap *heap)
{
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++) mr_buffer_init(&out[i], heap);
}

static void free_states(struct mr_buffer *states)
{
    for (uint32_t i = 0; i < RIG_PARTITIONS; i++) mr_buffer_fini(&states[i]);
}

MR_TEST(log, when_a_stopped_writer_wakes_up_then_its_commit_is_refused_and_nothing_changes)
{
    struct log_rig rig;
    struct old_attempt old;
    struct mr_buffer states[RIG_PARTITIONS];
    uint64_t next;

    log_rig_init(&rig, 1);
    copy_states(states, &rig.outer);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 20), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 20), &rig.err);
    MR_EXPECT_OK(log_rig_prepare(&rig, 2, states), &rig.err);
    set_aside(&rig, &old);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 6), &rig.err);
    next = rig.next;
    bring_back(&rig, &old);
    MR_EXPECT_STATUS(log_rig_commit(&rig, 2), MR_E_FENCED);
    MR_EXPECT_CONTAINS(rig.err.text, "attempt 2 has taken over");
    bring_back(&rig, &old);
    rig.next = next;
    log_rig_follow(&rig);
    log_rig_check(&rig);
    MR_EXPECT_OK(log_rig_epoch(&rig, 6), &rig.err);
    log_rig_check(&rig);
    end_old(&old);
    free_states(states);
    log_rig_fini(&rig);
}

/* It looked before the other one began, and writes its COMMIT afterwards. */
MR_TEST(log, when_a_stopped_writer_gets_past_the_check_then_its_commit_counts_for_nothing)
{
    struct log_rig rig;
    struct old_attempt old;
    struct mr_buffer states[RIG_PARTITIONS];
    struct fault_inode *attempt;
    char *copy;
    size_t size;

    log_rig_init(&rig, 1);
    copy_states(states, &rig.outer);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 20), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 20), &rig.err);
    MR_EXPECT_OK(log_rig_prepare(&rig, 2, states), &rig.err);
    set_aside(&rig, &old);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    attempt = fault_disk_find(&rig.disk, "d/topic/attempt-2");
    MR_EXPECT(attempt != NULL);
    size = attempt->size_bytes;
    copy = malloc(size);
    MR_EXPECT(copy != NULL);
    memcpy(copy, attempt->data, size);
    fault_disk_remove(&rig.disk, "d/topic/attempt-2");
    bring_back(&rig, &old);
    MR_EXPECT_OK(log_rig_commit(&rig, 2), &rig.err);
    fault_disk_put(&rig.disk, "d/topic/attempt-2", copy, size);
    free(copy);
    bring_back(&rig, &old);
    rig.next = rig.complete;
    log_rig_follow(&rig);
    MR_EXPECT_EQ_UINT(rig.followers[0].seen, 10);
    log_rig_check(&rig);
    MR_EXPECT_OK(log_rig_epoch(&rig, 6), &rig.err);
    MR_EXPECT_EQ_UINT(rig.followers[0].seen, 13);
    log_rig_check(&rig);
    end_old(&old);
    free_states(states);
    log_rig_fini(&rig);
}

/* Another job: it knows nothing of the first one's state. */
static void forget_job(struct log_rig *rig)
{
    log_rig_stop(rig);
    rig->state_count = 0;
    rig->epoch = 0;
    rig->finished = false;
    rig->fence = 0;
}

MR_TEST(log, when_another_job_has_not_ended_then_a_second_one_is_refused)
{
    struct log_rig rig;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 20), &rig.err);
    forget_job(&rig);
    MR_EXPECT_STATUS(log_rig_start(&rig, 2), MR_E_BUSY);
    MR_EXPECT_CONTAINS(rig.err.text, "d/topic");
    log_rig_check(&rig);
    log_rig_fini(&rig);
}

MR_TEST(log, when_a_job_has_ended_then_another_one_goes_on_behind_it)
{
    struct log_rig rig;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 20), &rig.err);
    MR_EXPECT_OK(log_rig_finish(&rig), &rig.err);
    forget_job(&rig);
    MR_EXPECT_OK(log_rig_start(&rig, 3), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 20), &rig.err);
    MR_EXPECT_OK(log_rig_finish(&rig), &rig.err);
    log_rig_check(&rig);
    log_rig_follow(&rig);
    MR_EXPECT_EQ_UINT(promised(&rig), 40);
    log_rig_fini(&rig);
}

MR_TEST(log, when_a_job_began_but_committed_nothing_then_another_one_may_begin)
{
    struct log_rig rig;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 20), &rig.err);
    forget_job(&rig);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 20), &rig.err);
    log_rig_check(&rig);
    log_rig_fini(&rig);
}

/* Two jobs with state of their own: the one that was overtaken must not lose rows in silence. */
MR_TEST(log, when_a_complete_epoch_does_not_count_any_more_then_recovery_says_so)
{
    struct log_rig rig;
    struct mr_buffer states[RIG_PARTITIONS];

    log_rig_init(&rig, 1);
    copy_states(states, &rig.outer);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 20), &rig.err);
    MR_EXPECT_OK(log_rig_prepare(&rig, 1, states), &rig.err); /* complete, but not yet committed */
    forget_job(&rig);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    log_rig_stop(&rig);
    rig.states[0] = states[0];
    mr_buffer_init(&states[0], &rig.outer);
    rig.state_count = 1;
    rig.epoch = 1;
    MR_EXPECT_STATUS(log_rig_start(&rig, 1), MR_E_LOST);
    MR_EXPECT_CONTAINS(rig.err.text, "partition 0");
    free_states(states);
    log_rig_fini(&rig);
}

MR_TEST(log, when_there_are_more_instances_than_partitions_then_the_job_is_refused)
{
    struct log_rig rig;

    log_rig_init(&rig, 1);
    rig.url = "log://d/topic?partitions=2";
    MR_EXPECT_STATUS(log_rig_start(&rig, 3), MR_E_LIMIT);
    MR_EXPECT_CONTAINS(rig.err.text, "--workers 2");
    log_rig_fini(&rig);
}

/* ---- without epochs ---- */

MR_TEST(log, when_a_job_has_no_epochs_then_rows_are_seen_when_flushed)
{
    const struct mr_log_sink_options options = {.path = "log://d/topic?partitions=3"};
    struct log_rig rig;
    enum mr_sink_flow flow;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(mr_log_sink(&rig.heap, &options, &rig.sink, &rig.err), &rig.err);
    rig.writer_count = 2;
    for (uint32_t w = 0; w < 2; w++) {
        const struct mr_writer_context context = {.heap = &rig.heap,
                                                  .disk = &rig.disk.disk,
                                                  .instance = w,
                                                  .instance_count = 2,
                                                  .schema = rig.schema};

        MR_EXPECT_OK(rig.sink.ops->open(rig.sink.spec, &context, &rig.writers[w], &rig.err),
                     &rig.err);
    }
    MR_EXPECT_OK(log_rig_write(&rig, 10), &rig.err);
    log_rig_check(&rig); /* nothing yet */
    for (uint32_t n = 0; n < 10; n++) rig.expected[n % 2][rig.expected_count[n % 2]++] = n;
    for (uint32_t w = 0; w < 2; w++) {
        MR_EXPECT_OK(rig.sink.ops->flush(rig.writers[w], &flow, &rig.err), &rig.err);
        MR_EXPECT_EQ_INT(flow, MR_SINK_READY);
    }
    log_rig_check(&rig);
    MR_EXPECT_OK(log_rig_write(&rig, 10), &rig.err);
    for (uint32_t n = 10; n < 20; n++) rig.expected[n % 2][rig.expected_count[n % 2]++] = n;
    for (uint32_t w = 0; w < 2; w++) {
        MR_EXPECT_OK(rig.sink.ops->finish(rig.writers[w], &flow, &rig.err), &rig.err);
        MR_EXPECT_EQ_INT(flow, MR_SINK_READY);
        MR_EXPECT_OK(rig.sink.ops->commit(rig.writers[w], &rig.err), &rig.err);
    }
    log_rig_check(&rig);
    log_rig_follow(&rig);
    log_rig_fini(&rig);
}

/* ---- a disk that fails, is slow or full ---- */

MR_TEST(log, when_any_request_fails_then_the_next_attempt_has_each_row_once)
{
    for (uint64_t at = 1;; at++) {
        struct log_rig *rig = calloc(1, sizeof *rig);
        enum mr_status st;
        bool over;

        MR_EXPECT(rig != NULL);
        log_rig_init(rig, at);
        rig->disk.fail_at = at;
        rig->disk.fail_status = at % 2 == 0 ? MR_E_IO : MR_E_NO_SPACE;
        st = log_rig_start(rig, 2);
        if (st == MR_OK) st = log_rig_write(rig, 50);
        over = rig->disk.requests < at;
        rig->disk.fail_at = 0;
        if (st == MR_OK) st = log_rig_epoch(rig, 10);
        log_rig_stop(rig);
        fault_disk_crash(&rig->disk, at);
        MR_EXPECT_OK(log_rig_start(rig, 2), &rig->err);
        MR_EXPECT_OK(log_rig_epoch(rig, 10), &rig->err);
        MR_EXPECT_OK(log_rig_finish(rig), &rig->err);
        log_rig_check(rig);
        log_rig_fini(rig);
        free(rig);
        if (over) break;
    }
}

/* After a sync that failed nobody knows what the device has: a second one must not say it is well. */
MR_TEST(log, when_a_sync_fails_then_the_writer_fails_for_good)
{
    struct log_rig rig;
    struct mr_buffer states[RIG_PARTITIONS];
    uint64_t syncs = 0;

    log_rig_init(&rig, 1);
    copy_states(states, &rig.outer);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 10), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 10), &rig.err);
    syncs = rig.disk.requests;
    rig.disk.fail_at = syncs + 2; /* the write, then the sync */
    rig.disk.fail_status = MR_E_IO;
    MR_EXPECT_STATUS(log_rig_prepare(&rig, 2, states), MR_E_IO);
    MR_EXPECT_STATUS(log_rig_prepare(&rig, 2, states), MR_E_IO);
    log_rig_stop(&rig);
    fault_disk_crash(&rig.disk, 7);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 10), &rig.err);
    log_rig_check(&rig);
    free_states(states);
    log_rig_fini(&rig);
}

MR_TEST(log, when_the_disk_is_full_for_a_while_then_the_same_writer_goes_on)
{
    struct log_rig rig;
    struct mr_buffer states[RIG_PARTITIONS];

    log_rig_init(&rig, 1);
    rig.url = "log://d/topic?partitions=3&segment=1MiB";
    copy_states(states, &rig.outer);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_write(&rig, 10), &rig.err);
    rig.disk.space_bytes = 2000;
    MR_EXPECT_STATUS(log_rig_prepare(&rig, 1, states), MR_E_NO_SPACE);
    MR_EXPECT_STATUS(log_rig_prepare(&rig, 1, states), MR_E_NO_SPACE);
    rig.disk.space_bytes = SIZE_MAX;
    MR_EXPECT_OK(log_rig_epoch(&rig, 10), &rig.err);
    log_rig_check(&rig);
    free_states(states);
    log_rig_fini(&rig);
}

MR_TEST(log, when_syncs_are_slow_then_prepare_is_blocked_and_gives_nothing_before)
{
    struct log_rig rig;
    struct mr_buffer state;
    enum mr_sink_flow flow = MR_SINK_BLOCKED;
    uint32_t turns = 0;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 10), &rig.err);
    rig.disk.stall = 5;
    mr_buffer_init(&state, &rig.outer);
    MR_EXPECT_OK(log_rig_write(&rig, 10), &rig.err);
    while (flow == MR_SINK_BLOCKED) {
        MR_EXPECT_OK(rig.sink.ops->prepare(rig.writers[0], 2, &state, &flow, &rig.err), &rig.err);
        turns++;
        MR_EXPECT_EQ_INT(state.size_bytes > 0, flow == MR_SINK_READY);
    }
    MR_EXPECT(turns > 3);
    mr_buffer_fini(&state);
    log_rig_fini(&rig);
}

/* ---- memory ---- */

MR_TEST(log, when_any_allocation_of_the_sink_fails_then_it_says_so_and_leaks_nothing)
{
    for (uint64_t n = 1;; n++) {
        struct log_rig rig;
        enum mr_status st;
        bool untouched;

        log_rig_init(&rig, 1);
        rig.heap.fail_at = n;
        st = log_rig_start(&rig, 2);
        if (st == MR_OK) st = log_rig_epoch(&rig, 30);
        if (st == MR_OK) st = log_rig_finish(&rig);
        untouched = rig.heap.failed_count == 0;
        if (st != MR_OK) MR_EXPECT_EQ_INT(st, MR_E_NOMEM);
        rig.heap.fail_at = 0;
        MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
        if (!rig.finished) MR_EXPECT_OK(log_rig_epoch(&rig, 30), &rig.err);
        log_rig_check(&rig);
        log_rig_fini(&rig);
        if (untouched) break;
    }
}

MR_TEST(log, when_any_allocation_of_a_reader_fails_then_it_says_so_and_leaks_nothing)
{
    struct log_rig rig;
    uint32_t seen;

    log_rig_init(&rig, 1);
    MR_EXPECT_OK(log_rig_start(&rig, 2), &rig.err);
    for (uint32_t i = 0; i < 4; i++) MR_EXPECT_OK(log_rig_epoch(&rig, 30), &rig.err);
    log_rig_stop(&rig);
    for (uint64_t n = 1;; n++) {
        enum mr_status st;
        uint64_t failed = rig.heap.failed_count;

        rig.heap.fail_at = rig.heap.alloc_count + n;
        st = log_rig_read(&rig, &rig.heap, 2, &seen);
        MR_EXPECT_EQ_UINT(rig.heap.used_bytes, 0);
        if (st != MR_OK) MR_EXPECT_EQ_INT(st, MR_E_NOMEM);
        if (rig.heap.failed_count > failed) continue;
        MR_EXPECT_OK(st, &rig.err);
        MR_EXPECT_EQ_UINT(seen, promised(&rig));
        break;
    }
    log_rig_fini(&rig);
}

/* ---- positions ---- */

MR_TEST(log, when_reading_is_cut_anywhere_then_rows_go_on_without_gap_or_repeat)
{
    struct log_rig rig;
    uint32_t seen;

    log_rig_init(&rig, 3);
    for (uint32_t i = 0; i < 3; i++) {
        MR_EXPECT_OK(log_rig_start(&rig, 1 + i), &rig.err);
        MR_EXPECT_OK(log_rig_epoch(&rig, 60), &rig.err);
        MR_EXPECT_OK(log_rig_epoch(&rig, 7), &rig.err);
    }
    rig.disk.short_transfers = rig.disk.late = true;
    for (uint32_t cut = 1; cut < 12; cut++) {
        MR_EXPECT_OK(log_rig_read(&rig, &rig.outer, cut, &seen), &rig.err);
        MR_EXPECT_EQ_UINT(seen, promised(&rig));
    }
    log_rig_fini(&rig);
}

/* A position with a right checksum, but senseless numbers, must not do harm either. */
MR_TEST(log, when_the_bytes_of_a_position_are_changed_then_they_are_refused)
{
    struct log_rig rig;
    struct mr_buffer *position;

    log_rig_init(&rig, 3);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 60), &rig.err);
    position = &rig.followers[0].position;
    MR_EXPECT(position->size_bytes > 0);
    for (size_t i = 0; i < position->size_bytes; i++) {
        const struct mr_reader_context context = {
            .heap = &rig.outer,
            .disk = &rig.disk.disk,
            .resume = {position->data, position->size_bytes}};
        void *reader = NULL;
        enum mr_status st;

        position->data[i] = (char)(position->data[i] ^ 0x21);
        st = rig.source.ops->open(rig.source.spec, &rig.splits.splits[0], &context, &reader,
                                  &rig.err);
        MR_EXPECT(st == MR_E_CORRUPT || (i == 0 && st == MR_E_UNSUPPORTED));
        position->data[i] = (char)(position->data[i] ^ 0x21);
    }
    log_rig_fini(&rig);
}

/* ---- damage ---- */

static void flip_everywhere(struct log_rig *rig, const char *name, size_t step, uint32_t *out_refused)
{
    struct fault_inode *file = fault_disk_find(&rig->disk, name);

    MR_EXPECT(file != NULL);
    for (size_t i = 0; i < file->size_bytes; i += step) {
        uint32_t seen = 0;
        enum mr_status st;

        file->data[i] = (char)(file->data[i] ^ 0x10);
        st = log_rig_read(rig, &rig->outer, 0, &seen);
        if (st != MR_OK) {
            MR_EXPECT(st == MR_E_CORRUPT || st == MR_E_UNSUPPORTED);
            MR_EXPECT_CONTAINS(rig->err.text, name);
            MR_EXPECT_CONTAINS(rig->err.text, "byte");
            (*out_refused)++;
        } else {
            MR_EXPECT_EQ_UINT(seen, promised(rig));
        }
        file->data[i] = (char)(file->data[i] ^ 0x10);
    }
}

MR_TEST(log, when_any_byte_of_a_topic_is_changed_then_no_wrong_row_is_given)
{
    struct log_rig rig;
    uint32_t refused = 0;

    log_rig_init(&rig, 3);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 40), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 60), &rig.err);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 40), &rig.err);
    flip_everywhere(&rig, "d/topic/topic", 1, &refused);
    flip_everywhere(&rig, "d/topic/attempt-2", 1, &refused);
    MR_EXPECT(refused > 200);
    refused = 0;
    flip_everywhere(&rig, "d/topic/p0/seg-1-0.log", 13, &refused);
    MR_EXPECT(refused > 50);
    log_rig_fini(&rig);
}

MR_TEST(log, when_a_segment_is_cut_then_the_missing_rows_are_named)
{
    struct log_rig rig;
    struct fault_inode *file;
    uint32_t seen;

    log_rig_init(&rig, 3);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 40), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 30), &rig.err);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    file = fault_disk_find(&rig.disk, "d/topic/p0/seg-1-0.log");
    MR_EXPECT(file != NULL);
    file->size_bytes = 1000;
    MR_EXPECT_STATUS(log_rig_read(&rig, &rig.outer, 0, &seen), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(rig.err.text, "seg-1-0.log is damaged at byte");
    log_rig_fini(&rig);
}

MR_TEST(log, when_prepared_rows_are_gone_then_recovery_says_what_was_lost)
{
    struct log_rig rig;

    log_rig_init(&rig, 3);
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 20), &rig.err);
    log_rig_stop(&rig);
    fault_disk_remove(&rig.disk, "d/topic/p0/seg-1-0.log");
    MR_EXPECT_STATUS(log_rig_start(&rig, 1), MR_E_LOST);
    MR_EXPECT_CONTAINS(rig.err.text, "d/topic/p0");
    log_rig_fini(&rig);
}

MR_TEST(log, when_a_file_is_of_a_newer_version_then_it_is_refused_as_that)
{
    static const char newer[] = {'M', 'R', 'T', '1', 0, 0, 0, 0, 9, 0, 1};
    char record[64] = {0};
    struct log_rig rig;
    uint32_t sum, seen;

    log_rig_init(&rig, 3);
    memcpy(record, newer, sizeof newer);
    sum = mr_crc32c(0, record + 8, 24);
    for (uint32_t i = 0; i < 4; i++) record[4 + i] = (char)(sum >> (8 * i) & 0xff);
    fault_disk_put(&rig.disk, "d/topic/topic", record, 32);
    MR_EXPECT_STATUS(log_rig_read(&rig, &rig.outer, 0, &seen), MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(rig.err.text, "d/topic/topic");
    MR_EXPECT_STATUS(log_rig_start(&rig, 1), MR_E_UNSUPPORTED); /* and is not written over */
    log_rig_fini(&rig);
}

/* ---- keeping less ---- */

/* Opens a follower of partition 0 at the position it had, and reads. */
static enum mr_status wake_follower(struct log_rig *rig)
{
    const struct mr_buffer *position = &rig->followers[0].position;
    struct mr_reader_context context = {.heap = &rig->outer,
                                        .disk = &rig->disk.disk,
                                        .resume = {position->data, position->size_bytes}};
    struct mr_source source;
    struct mr_split split = {.name = "d/topic/p0", .detail = UINT64_MAX};
    const struct mr_log_source_options options = {.path = "d/topic", .follow = true};
    enum mr_source_flow flow;
    struct mr_batch *batch = NULL;
    void *reader = NULL;
    enum mr_status st;

    if (position->size_bytes == 0) context.resume.data = NULL;
    MR_EXPECT_OK(mr_log_source(&rig->outer, &rig->disk.disk, &options, &source, &rig->err),
                 &rig->err);
    st = source.ops->open(source.spec, &split, &context, &reader, &rig->err);
    for (uint32_t turn = 0; turn < 20 && st == MR_OK && batch == NULL; turn++) {
        st = source.ops->read(reader, &rig->quota, 10, &flow, &batch, &rig->err);
    }
    if (reader != NULL) source.ops->close(reader);
    mr_batch_release(batch);
    source.ops->destroy(source.spec);
    mr_schema_release(source.schema);
    return st;
}

MR_TEST(log, when_a_topic_keeps_a_limited_amount_then_the_oldest_segments_go)
{
    struct log_rig rig;
    uint32_t count = 0;

    log_rig_init(&rig, 3);
    rig.url = "log://d/topic?partitions=3&segment=4096&retain=12KiB";
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    MR_EXPECT_OK(log_rig_epoch(&rig, 10), &rig.err);
    log_rig_stop(&rig);
    rig.no_follow = true;
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    for (uint32_t i = 0; i < 40; i++) MR_EXPECT_OK(log_rig_epoch(&rig, 50), &rig.err);
    MR_EXPECT(fault_disk_find(&rig.disk, "d/topic/p0/seg-1-0.log") == NULL);
    MR_EXPECT(fault_disk_find(&rig.disk, "d/topic/p0/seg-2-0.log") == NULL);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        count += rig.disk.names[i].now != NULL && strstr(rig.disk.names[i].name, "/seg-") != NULL;
    }
    MR_EXPECT(count >= 3 && count <= 6);
    MR_EXPECT_STATUS(wake_follower(&rig), MR_E_LOST);
    MR_EXPECT_CONTAINS(rig.err.text, "was removed");
    /* The next attempt begins where files are, and so does a new reader. */
    MR_EXPECT_OK(log_rig_start(&rig, 1), &rig.err);
    mr_buffer_clear(&rig.followers[0].position);
    MR_EXPECT_OK(wake_follower(&rig), &rig.err);
    log_rig_fini(&rig);
}
