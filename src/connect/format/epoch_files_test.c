/* epoch_files_test.c - whatever the disk and the process do, each row of a complete epoch is in one
 * file, whole, and nothing that a reader has seen changes. */
#include "base/fault.h"
#include "base/status.h"
#include "connect/format/epoch_files_rig.h"

#include <stdio.h>
#include <string.h>

static struct rig rig; /* large */

static void expect_fine(uint64_t seed, uint64_t step)
{
    if (rig.complaint[0] == '\0') return;
    MR_FAIL("seed %llu step %llu: %s", (unsigned long long)seed, (unsigned long long)step,
            rig.complaint);
}

/* The next attempt, to the end. */
static void check_end(void)
{
    struct mr_error err = {.status = MR_OK};

    if (rig_live(&rig, 2, false, &err) != MR_OK) rig_complain(&rig, "%.200s", err.text);
    rig_check_end(&rig);
}

MR_TEST(epoch_files, parts_appear_one_after_the_other_and_success_at_last)
{
    struct rig_attempt attempt;

    rig_init(&rig, "out/", 1);
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
    MR_EXPECT_OK(rig_write(&attempt, 1), &attempt.err);
    MR_EXPECT_OK(rig_prepare(&attempt, 1), &attempt.err);
    MR_EXPECT(fault_disk_find(&rig.disk, "out/.part-00000-00000.csv.mr-1-1-0") != NULL);
    MR_EXPECT(fault_disk_find(&rig.disk, "out/part-00000-00000.csv") == NULL);
    rig_complete(&attempt, 1);
    MR_EXPECT_OK(rig_commit_epoch(&attempt, 1), &attempt.err);
    MR_EXPECT(fault_disk_find(&rig.disk, "out/part-00000-00000.csv") != NULL);
    MR_EXPECT_OK(rig_run(&attempt, false), &attempt.err);
    MR_EXPECT(fault_disk_find(&rig.disk, "out/part-00000-00001.csv") != NULL);
    rig_end(&attempt);
    rig_check_end(&rig);
    expect_fine(1, 0);
    rig_fini(&rig);
}

MR_TEST(epoch_files, a_part_is_complete_by_age_too_but_at_a_barrier_only)
{
    struct rig_attempt attempt;

    rig_init(&rig, "out/", 1);
    rig.roll_bytes = 1 << 20;
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
    for (uint64_t epoch = 1; epoch <= 2; epoch++) {
        MR_EXPECT_OK(rig_write(&attempt, epoch), &attempt.err);
        attempt.now.us += 999;
        MR_EXPECT_OK(rig_prepare(&attempt, epoch), &attempt.err);
        rig_complete(&attempt, epoch);
        MR_EXPECT_OK(rig_commit_epoch(&attempt, epoch), &attempt.err);
        MR_EXPECT_EQ_INT(fault_disk_find(&rig.disk, "out/part-00000-00000.csv") != NULL,
                         epoch == 2);
    }
    MR_EXPECT_OK(rig_run(&attempt, false), &attempt.err);
    rig_end(&attempt);
    rig_check_end(&rig);
    expect_fine(1, 0);
    rig_fini(&rig);
}

MR_TEST(epoch_files, a_single_file_appears_when_its_last_epoch_is_complete)
{
    struct rig_attempt attempt;

    rig_init(&rig, "out/all.csv", 1);
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
    for (uint64_t epoch = 1; epoch <= RIG_EPOCHS; epoch++) {
        MR_EXPECT_OK(rig_write(&attempt, epoch), &attempt.err);
        MR_EXPECT_OK(rig_prepare(&attempt, epoch), &attempt.err);
        rig_complete(&attempt, epoch);
        MR_EXPECT_OK(rig_commit_epoch(&attempt, epoch), &attempt.err);
        MR_EXPECT(fault_disk_find(&rig.disk, "out/all.csv") == NULL);
    }
    MR_EXPECT(fault_disk_find(&rig.disk, "out/.all.csv.mr-1-1-0") != NULL);
    MR_EXPECT_OK(rig_run(&attempt, false), &attempt.err);
    rig_end(&attempt);
    rig_check_end(&rig);
    expect_fine(1, 0);
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err); /* a finished job: nothing to do */
    rig_end(&attempt);
    rig_check_end(&rig);
    expect_fine(1, 1);
    rig_fini(&rig);
}

/* ---- crashes ---- */

enum loss { PROCESS, POWER, LOSSES };

/* Attempts die at request `step`, the next ones at a random one, with a changing number of writers,
 * until one comes to the end. True: the first did. */
static bool crash_once(const char *path, uint64_t seed, uint64_t step, enum loss loss)
{
    static const uint32_t writers[] = {1, 2, 1, 3, 2};
    struct mr_prng prng;
    bool over = false;

    rig_init(&rig, path, seed);
    mr_prng_init(&prng, seed * 1000 + step, 7);
    rig.disk.short_transfers = seed % 2 == 0;
    rig.disk.late = rig.disk.late_names = seed % 3 == 0;
    rig.disk.torn = seed % 4 == 1;
    for (uint32_t attempt = 0; attempt < 4; attempt++) {
        struct mr_error err = {.status = MR_OK};
        enum mr_status st;

        rig.disk.crash_at =
            rig.disk.requests + (attempt == 0 ? step : 1 + mr_prng_below(&prng, 40));
        st = rig_live(&rig, writers[(seed + attempt) % MR_COUNT(writers)], seed % 5 == 0, &err);
        over = st == MR_OK && attempt == 0;
        if (st == MR_OK) break;
        if (!rig.disk.crashed) rig_complain(&rig, "%.200s", err.text);
        if (loss == PROCESS) {
            fault_disk_kill(&rig.disk);
        } else {
            fault_disk_crash(&rig.disk, step * 31 + seed + attempt);
        }
        rig_look(&rig);
    }
    rig.disk.crash_at = 0;
    check_end();
    rig_fini(&rig);
    return over;
}

static void crash_everywhere(const char *path, uint64_t seeds)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        for (int loss = PROCESS; loss < LOSSES; loss++) {
            uint64_t step = 1;

            while (!crash_once(path, seed, step, (enum loss)loss)) expect_fine(seed, step++);
            expect_fine(seed, step);
            MR_EXPECT(step > 10);
        }
    }
}

MR_TEST(epoch_files, parts_survive_death_and_power_loss_at_every_request)
{
    crash_everywhere("out/", 15);
}

MR_TEST(epoch_files, a_single_file_survives_death_and_power_loss_at_every_request)
{
    crash_everywhere("out/all.csv", 10);
}

/* A request that fails ends the attempt; the next one puts it right. */
static bool fail_once(const char *path, uint64_t step, enum mr_status status)
{
    struct mr_error err = {.status = MR_OK};
    enum mr_status st;
    bool over;

    rig_init(&rig, path, step);
    rig.disk.fail_at = step;
    rig.disk.fail_status = status;
    st = rig_live(&rig, 2, false, &err);
    over = st == MR_OK && rig.disk.requests < step;
    if (st != MR_OK && (err.status != st || err.text[0] == '\0')) {
        rig_complain(&rig, "a failure without words");
    }
    fault_disk_crash(&rig.disk, step); /* so that a sync that was not done shows */
    rig.disk.fail_at = 0;
    check_end();
    rig_fini(&rig);
    return over;
}

MR_TEST(epoch_files, a_request_that_fails_costs_an_attempt_and_no_row)
{
    static const enum mr_status faults[] = {MR_E_IO, MR_E_NO_SPACE};

    for (size_t i = 0; i < MR_COUNT(faults); i++) {
        uint64_t step = 1;

        while (!fail_once("out/", step, faults[i])) expect_fine(i, step++);
        step = 1;
        while (!fail_once("out/all.csv", step, faults[i])) expect_fine(i, step++);
    }
}

/* The second try of a sync may succeed without the bytes: it must not come to that. */
MR_TEST(epoch_files, a_failed_sync_is_never_tried_again)
{
    struct rig_attempt attempt;
    enum mr_sink_flow flow;
    struct mr_buffer out;

    rig_init(&rig, "out/", 1);
    mr_buffer_init(&out, rig.heap);
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
    MR_EXPECT_OK(rig_write(&attempt, 1), &attempt.err);
    rig.disk.fail_at = rig.disk.requests + 2; /* a write, then the sync */
    rig.disk.fail_status = MR_E_IO;
    MR_EXPECT_STATUS(rig_prepare(&attempt, 1), MR_E_IO);
    MR_EXPECT_CONTAINS(attempt.err.text, "part-00000-00000.csv");
    for (int i = 0; i < 2; i++) {
        uint64_t requests = rig.disk.requests;

        MR_EXPECT_STATUS(
            attempt.sink.ops->prepare(attempt.writers[0], 1, &out, &flow, &attempt.err), MR_E_IO);
        MR_EXPECT_CONTAINS(attempt.err.text, "an earlier write or sync has failed");
        MR_EXPECT_EQ_UINT(rig.disk.requests, requests);
    }
    mr_buffer_fini(&out);
    rig_end(&attempt);
    rig_fini(&rig);
}

/* ---- slow disks, sleepers ---- */

MR_TEST(epoch_files, a_slow_disk_blocks_and_gives_the_same)
{
    struct rig_attempt attempt;
    struct mr_buffer out;
    enum mr_sink_flow flow = MR_SINK_READY;
    uint32_t blocked = 0;

    rig_init(&rig, "out/", 3);
    mr_buffer_init(&out, rig.heap);
    rig.disk.stall = 5;
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
    MR_EXPECT_OK(rig_write(&attempt, 1), &attempt.err);
    do {
        MR_EXPECT_OK(attempt.sink.ops->prepare(attempt.writers[0], 1, &out, &flow, &attempt.err),
                     &attempt.err);
        if (flow == MR_SINK_BLOCKED) MR_EXPECT_EQ_UINT(out.size_bytes, 0);
        blocked += flow == MR_SINK_BLOCKED;
    } while (flow == MR_SINK_BLOCKED);
    MR_EXPECT(blocked >= 5);
    MR_EXPECT(out.size_bytes > 0);
    memcpy(attempt.prepared[0].bytes, out.data, out.size_bytes);
    attempt.prepared[0].size_bytes = out.size_bytes;
    mr_buffer_fini(&out);
    rig_complete(&attempt, 1);
    rig.disk.late_names = true;
    MR_EXPECT_OK(rig_run(&attempt, true), &attempt.err);
    rig_end(&attempt);
    rig_check_end(&rig);
    expect_fine(3, 0);
    rig_fini(&rig);
}

/* What a process that only slept does when it wakes up: it goes on with what it was about to do.
 * Its log is fenced, so no epoch of it becomes complete. */
static void haunt(struct rig_attempt *ghost, uint32_t turn)
{
    switch (turn % 4) {
    case 0: (void)!rig_write(ghost, 6); break;
    case 1: (void)!rig_prepare(ghost, 3 + turn); break;
    case 2: (void)!rig_commit_epoch(ghost, 2); break;
    default: (void)!rig_write(ghost, 4); break;
    }
}

static void want(enum mr_status st, const struct rig_attempt *attempt)
{
    if (st != MR_OK) rig_complain(&rig, "%.200s", attempt->err.text);
}

/* Leaves what was wrong in rig.complaint. */
static void run_haunted(const char *path, bool commits_late, uint32_t writers, uint64_t seed)
{
    struct rig_attempt ghost, next;

    rig_init(&rig, path, seed);
    rig.roll_bytes = seed % 2 == 0 ? 100 : 400;
    want(rig_begin(&rig, &ghost, 2), &ghost);
    for (uint64_t epoch = 1; epoch <= 2; epoch++) {
        want(rig_write(&ghost, epoch), &ghost);
        want(rig_prepare(&ghost, epoch), &ghost);
        rig_complete(&ghost, epoch);
        if (!commits_late) want(rig_commit_epoch(&ghost, epoch), &ghost);
    }
    want(rig_write(&ghost, 6), &ghost);
    want(rig_begin(&rig, &next, writers), &next);
    for (uint32_t turn = 0; rig.complete < RIG_EPOCHS && rig.complaint[0] == '\0'; turn++) {
        uint64_t epoch = rig.complete + 1;

        haunt(&ghost, turn);
        want(rig_write(&next, epoch), &next);
        haunt(&ghost, turn + 1);
        want(rig_prepare(&next, epoch), &next);
        haunt(&ghost, turn + 2);
        rig_complete(&next, epoch);
        want(rig_commit_epoch(&next, epoch), &next);
        rig_look(&rig);
    }
    if (rig.complaint[0] == '\0') want(rig_run(&next, false), &next);
    haunt(&ghost, 1);
    haunt(&ghost, 2);
    rig_end(&ghost);
    rig_end(&next);
    want(rig_begin(&rig, &next, writers), &next); /* removes what the ghost left */
    rig_end(&next);
    rig_check_end(&rig);
    rig_fini(&rig);
}

MR_TEST(epoch_files, a_writer_that_wakes_up_late_changes_nothing_that_is_visible)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        for (uint32_t writers = 1; writers <= 3; writers++) {
            run_haunted("out/", seed % 2 == 0, writers, seed);
            expect_fine(seed, writers);
            run_haunted("out/", seed % 2 == 1, writers, seed);
            expect_fine(seed, writers);
        }
        run_haunted("out/all.csv", seed % 2 == 0, 1, seed);
        expect_fine(seed, 0);
    }
}

/* ---- refusals ---- */

static void expect_refused(const char *path, enum mr_status status, const char *words)
{
    struct rig_attempt attempt;

    rig.path = path;
    MR_EXPECT_STATUS(rig_begin(&rig, &attempt, 2), status);
    MR_EXPECT_CONTAINS(attempt.err.text, words);
    rig_end(&attempt);
}

MR_TEST(epoch_files, output_that_is_there_already_is_refused_before_anything_is_written)
{
    rig_init(&rig, "out/", 1);
    rig.disk.watch = NULL;
    fault_disk_put(&rig.disk, "out/mine.txt", "x", 1);
    fault_disk_put(&rig.disk, "all.csv", "x", 1);
    expect_refused("out/", MR_E_INVALID, "out/ has files already (such as mine.txt)");
    expect_refused("all.csv", MR_E_INVALID, "all.csv exists already");
    expect_refused("out", MR_E_INVALID, "out is a directory; write `out/`");
    rig.format = MR_FORMAT_TABLE;
    expect_refused("new/", MR_E_UNSUPPORTED, "choose the output format csv or ndjson");
    rig_fini(&rig);
}

/* Runs two epochs of large parts, so that one is in progress. */
static void run_two(const char *path)
{
    struct rig_attempt attempt;

    rig_init(&rig, path, 1);
    rig.roll_bytes = 1 << 20;
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
    for (uint64_t epoch = 1; epoch <= 2; epoch++) {
        MR_EXPECT_OK(rig_write(&attempt, epoch), &attempt.err);
        MR_EXPECT_OK(rig_prepare(&attempt, epoch), &attempt.err);
        rig_complete(&attempt, epoch);
        MR_EXPECT_OK(rig_commit_epoch(&attempt, epoch), &attempt.err);
    }
    rig_end(&attempt);
}

MR_TEST(epoch_files, committed_bytes_that_are_gone_are_named_loudly)
{
    run_two("out/");
    fault_disk_remove(&rig.disk, "out/.part-00000-00000.csv.mr-1-1-0");
    expect_refused("out/", MR_E_LOST, "out/part-00000-00000.csv: 332 bytes of committed output");
    rig_fini(&rig);
    run_two("out/");
    fault_disk_find(&rig.disk, "out/.part-00000-00000.csv.mr-1-1-0")->data[20] ^= 1;
    expect_refused("out/", MR_E_LOST, ".part-00000-00000.csv.mr-1-1-0");
    rig_fini(&rig);
    run_two("out/");
    rig.disk.watch = NULL;
    fault_disk_put(&rig.disk, "out/part-00000-00000.csv", "mine", 4);
    expect_refused("out/", MR_E_CHANGED, "out/part-00000-00000.csv is not what this job has");
    rig_fini(&rig);
    run_two("out/");
    rig.states[0].bytes[30] ^= 1;
    expect_refused("out/", MR_E_CORRUPT, "its checksum does not match");
    rig_fini(&rig);
}

MR_TEST(epoch_files, another_file_or_format_is_refused_by_name)
{
    run_two("out/all.csv");
    expect_refused("out/other.csv", MR_E_CHANGED, "writes to all.csv since it began");
    rig.format = MR_FORMAT_NDJSON;
    expect_refused("out/all.csv", MR_E_CHANGED, "in another format");
    rig_fini(&rig);
}

MR_TEST(epoch_files, a_name_that_somebody_took_meanwhile_is_left_alone)
{
    struct rig_attempt attempt;

    rig_init(&rig, "out/", 1);
    rig.disk.watch = NULL;
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
    MR_EXPECT_OK(rig_write(&attempt, 1), &attempt.err);
    MR_EXPECT_OK(rig_prepare(&attempt, 1), &attempt.err);
    rig_complete(&attempt, 1);
    fault_disk_put(&rig.disk, "out/part-00000-00000.csv", "mine", 4);
    MR_EXPECT_STATUS(rig_commit_epoch(&attempt, 1), MR_E_CHANGED);
    MR_EXPECT_CONTAINS(attempt.err.text, "was made by somebody else");
    MR_EXPECT_EQ_UINT(fault_disk_find(&rig.disk, "out/part-00000-00000.csv")->size_bytes, 4);
    rig_end(&attempt);
    rig_fini(&rig);
}

MR_TEST(epoch_files, streams_have_no_epochs)
{
    static const char *const streams[] = {NULL, "-", "/dev/null", "fifo"};

    for (size_t i = 0; i < MR_COUNT(streams); i++) {
        const struct mr_format_options options = {
            .path = streams[i], .number = 1, .stream = i == 3};
        struct mr_sink sink;
        struct mr_error err;

        MR_EXPECT_OK(mr_format_sink(mr_test_heap(), &options, &sink, &err), &err);
        MR_EXPECT(!sink.ops->transactional(sink.spec));
        sink.ops->destroy(sink.spec);
    }
}

MR_TEST(epoch_files, a_job_without_rows_makes_one_file_with_a_head)
{
    static const char *const paths[] = {"out/", "out/all.csv"};
    static const char *const files[] = {"out/part-00000-00000.csv", "out/all.csv"};

    for (size_t i = 0; i < MR_COUNT(paths); i++) {
        struct rig_attempt attempt;

        rig_init(&rig, paths[i], 1);
        MR_EXPECT_OK(rig_begin(&rig, &attempt, 3), &attempt.err);
        MR_EXPECT_OK(rig_finish(&attempt), &attempt.err);
        MR_EXPECT_OK(rig_prepare(&attempt, 1), &attempt.err);
        rig_complete(&attempt, 1);
        rig.finished = true;
        MR_EXPECT_OK(rig_commit_epoch(&attempt, 1), &attempt.err);
        MR_EXPECT_OK(rig_commit(&attempt), &attempt.err);
        MR_EXPECT(fault_disk_find(&rig.disk, files[i]) != NULL);
        MR_EXPECT_EQ_UINT(rig.seen_count, i == 0 ? 2 : 1);
        rig_end(&attempt);
        expect_fine(1, i);
        rig_fini(&rig);
    }
}

/* A sink whose input has ended goes on living while others work: a restart must not begin again. */
MR_TEST(epoch_files, a_file_that_was_complete_before_a_restart_is_not_begun_again)
{
    static const char *const paths[] = {"out/", "out/all.csv"};

    for (size_t i = 0; i < MR_COUNT(paths); i++) {
        struct rig_attempt attempt;

        rig_init(&rig, paths[i], 1);
        for (uint64_t epoch = 1; epoch <= 3; epoch++) {
            MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
            if (epoch == 1) MR_EXPECT_OK(rig_write(&attempt, 1), &attempt.err);
            MR_EXPECT_OK(rig_finish(&attempt), &attempt.err);
            MR_EXPECT_OK(rig_prepare(&attempt, epoch), &attempt.err);
            rig_complete(&attempt, epoch);
            MR_EXPECT_OK(rig_commit_epoch(&attempt, epoch), &attempt.err);
            MR_EXPECT_EQ_UINT(rig.seen_count, 1);
            rig_end(&attempt);
        }
        expect_fine(1, i);
        rig_fini(&rig);
    }
}

/* ---- memory ---- */

MR_TEST(epoch_files, when_any_allocation_fails_then_the_next_attempt_has_all)
{
    static struct fault_disk before;
    static struct rig_state states[RIG_WRITERS_MAX];

    run_two("out/");
    fault_disk_kill(&rig.disk);
    fault_disk_copy(&before, &rig.disk);
    memcpy(states, rig.states, sizeof states);
    MR_TORTURE(rig.heap) {
        struct rig_attempt attempt;
        enum mr_status st;

        fault_disk_fini(&rig.disk);
        fault_disk_copy(&rig.disk, &before);
        st = rig_begin(&rig, &attempt, 1);
        MR_EXPECT_EQ_INT(st, mr_test_refused(rig.heap) ? MR_E_NOMEM : MR_OK);
        rig_end(&attempt);
        MR_EXPECT_EQ_BYTES(rig.states, states, sizeof states);
    }
    check_end();
    expect_fine(0, 0);
    fault_disk_fini(&before);
    rig_fini(&rig);
}

/* ---- can these tests fail? ---- */

#ifdef MR_FAULTS

static bool is_planted(void *self, const char *id)
{
    return strcmp(self, id) == 0;
}

static bool crashes_find(enum loss loss)
{
    for (uint64_t seed = 1; seed <= 15; seed++) {
        for (uint64_t step = 1; !crash_once("out/", seed, step, loss); step++) {
            if (rig.complaint[0] != '\0') return true;
        }
    }
    return false;
}

static bool failures_find(void)
{
    for (uint64_t step = 1; !fail_once("out/", step, MR_E_IO); step++) {
        if (rig.complaint[0] != '\0') return true;
    }
    return false;
}

static bool ghosts_find(void)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_haunted("out/", seed % 2 == 0, 2, seed);
        if (rig.complaint[0] != '\0') return true;
    }
    return false;
}

static bool losses_find(void)
{
    struct rig_attempt attempt;
    enum mr_status st;

    rig_init(&rig, "out/", 1);
    MR_EXPECT_OK(rig_begin(&rig, &attempt, 1), &attempt.err);
    MR_EXPECT_OK(rig_write(&attempt, 1), &attempt.err);
    MR_EXPECT_OK(rig_prepare(&attempt, 1), &attempt.err);
    rig_complete(&attempt, 1);
    rig_end(&attempt);
    fault_disk_remove(&rig.disk, "out/.part-00000-00000.csv.mr-1-1-0");
    st = rig_begin(&rig, &attempt, 1);
    rig_end(&attempt);
    rig_fini(&rig);
    return st != MR_E_LOST;
}

MR_TEST(epoch_files, planted_bugs_are_found)
{
    static char ids[][16] = {"museum-1",  "museum-3",  "museum-4", "museum-6",
                             "museum-17", "museum-18", "museum-19"};

    for (size_t i = 0; i < MR_COUNT(ids); i++) {
        const struct mr_faults faults = {.self = ids[i], .plant = is_planted};
        bool found;

        mr_faults = &faults;
        found = i == 0 ? losses_find() : i == 5 ? failures_find() : false;
        if (i == 2 || i == 3) found = ghosts_find();
        if (i == 1 || i == 4 || i == 6) found = crashes_find(POWER);
        mr_faults = NULL;
        if (!found) MR_FAIL("%s is not found", ids[i]);
    }
}

#endif
