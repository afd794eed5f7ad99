/* checkpoint_test.c - a job with epochs over a disk that fails: nothing lost, nothing twice. */
#include "epochs_test_helper.h"

#include "base/status.h"

/* ---- undisturbed ---- */

static void expect_undisturbed(bool ordered, bool unbounded, uint64_t seed)
{
    struct rig *rig = rig_new(seed);

    rig->ordered = ordered;
    rig->unbounded = unbounded;
    rig->workers = 1 + (uint32_t)(seed % 3);
    rig->parts = 1 + (uint32_t)(seed % 5);
    rig->slow_commits = seed % 2 == 0;
    MR_EXPECT_OK(rig_attempt(rig), &rig->err);
    rig_check(rig, true);
    MR_EXPECT_EQ_UINT(rig->stats.epochs, rig->stats.last_epoch);
    MR_EXPECT(rig->stats.epochs >= 1);
    MR_EXPECT_OK(rig_attempt(rig), &rig->err); /* again: it says that it has finished */
    MR_EXPECT(rig->job_finished);
    rig_check(rig, true);
    rig_free(rig);
}

MR_TEST(checkpoint, without_faults_every_row_is_committed_once_and_the_job_says_so_when_run_again)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        expect_undisturbed(false, false, seed);
        expect_undisturbed(true, false, seed);
        expect_undisturbed(false, true, seed);
        expect_undisturbed(true, true, seed);
    }
}

/* ---- the process dies ---- */

/* Attempts die at random turns, each with another number of workers, until one comes through. */
static void expect_dying(bool ordered, bool unbounded, uint64_t seed)
{
    struct rig *rig = rig_new(seed);
    struct mr_prng chance;
    uint32_t attempts = 0;

    mr_prng_init(&chance, seed, 3);
    rig->ordered = ordered;
    rig->unbounded = unbounded;
    rig->same_content = ordered && !unbounded; /* T2; a source that does not end is opaque */
    rig->slow_commits = seed % 4 == 0;
    rig->parts = 1 + (uint32_t)mr_prng_below(&chance, 5);
    rig->epoch_us = 20 << mr_prng_below(&chance, 4);
    if (ordered) { /* several batches */
        rig->rows = 2000 + (int64_t)mr_prng_below(&chance, 2000);
        rig->batch_rows = 200;
        rig->parts = 1 + (uint32_t)mr_prng_below(&chance, 3);
    }
    do {
        rig->seed = seed * 100 + attempts;
        rig->workers = 1 + (uint32_t)mr_prng_below(&chance, 4);
        rig->kill_at =
            ++attempts > 8 ? 0 : 1 + mr_prng_below(&chance, UINT64_C(1) << (5 + attempts));
        enum mr_status st = rig_attempt(rig);
        if (!rig->killed) MR_EXPECT_OK(st, &rig->err);
        rig_check(rig, false);
    } while (rig->killed);
    rig_check(rig, true);
    rig_free(rig);
}

MR_TEST(checkpoint, killed_at_random_turns_nothing_is_lost_and_nothing_comes_twice)
{
    for (uint64_t seed = 1; seed <= 100; seed++) {
        expect_dying(false, false, seed);
        expect_dying(false, true, seed);
    }
}

/* T2: an epoch that is replayed has the rows that it had, also with other workers. */
MR_TEST(checkpoint, in_micro_batch_mode_a_batch_that_is_replayed_has_the_same_rows)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        expect_dying(true, false, seed);
        if (seed % 4 == 0) expect_dying(true, true, seed);
    }
}

/* ---- requests that fail ---- */

static uint64_t requests_of_a_run(bool ordered, uint64_t seed)
{
    struct rig *rig = rig_new(seed);
    uint64_t requests;

    rig->ordered = ordered;
    MR_EXPECT_OK(rig_attempt(rig), &rig->err);
    requests = rig->disk.requests;
    rig_free(rig);
    return requests;
}

/* The n-th request of the first attempt fails. Either the attempt gets over it, or the next one
 * does. */
static void expect_failing_request(bool ordered, enum mr_status status, uint64_t n, bool crash,
                                   uint64_t seed)
{
    struct rig *rig = rig_new(seed);
    enum mr_status st;

    rig->ordered = ordered;
    rig->disk.fail_at = n;
    rig->disk.fail_status = status;
    st = rig_attempt(rig);
    rig_check(rig, st == MR_OK);
    if (st != MR_OK) MR_EXPECT(rig->err.text[0] != '\0');
    if (st == MR_OK && !crash) MR_EXPECT(rig->stats.last_epoch >= rig->stats.epochs);
    if (crash) fault_disk_crash(&rig->disk, n + seed);
    rig_end_well(rig);
    rig_free(rig);
}

static void expect_failing_requests(bool ordered, enum mr_status status, bool crash)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        uint64_t requests = requests_of_a_run(ordered, seed);

        for (uint64_t n = 1; n <= requests; n++) {
            expect_failing_request(ordered, status, n, crash, seed);
        }
    }
}

MR_TEST(checkpoint, each_request_of_the_log_may_fail_once_with_an_io_error)
{
    expect_failing_requests(false, MR_E_IO, false);
    expect_failing_requests(true, MR_E_IO, false);
}

MR_TEST(checkpoint, each_request_of_the_log_may_find_the_disk_full_once)
{
    expect_failing_requests(false, MR_E_NO_SPACE, false);
    expect_failing_requests(true, MR_E_NO_SPACE, false);
}

/* What a failed sync left behind is gone when the power is. */
MR_TEST(checkpoint, each_request_may_fail_and_the_power_may_be_lost_afterwards)
{
    expect_failing_requests(false, MR_E_IO, true);
    expect_failing_requests(true, MR_E_IO, true);
}

/* A request fails, the attempt goes on, and dies later: what it did about the failure must hold for
 * whoever reads the log then. Alternately a kill and a loss of power. */
static void expect_failing_and_dying(bool ordered, enum mr_status status, uint64_t n, uint64_t seed)
{
    struct rig *rig = rig_new(seed);
    uint64_t turns;

    rig->ordered = ordered;
    rig->disk.fail_at = n;
    rig->disk.fail_status = status;
    (void)rig_attempt(rig);
    turns = rig->turns;
    rig_free(rig);
    rig = rig_new(seed); /* the same once more, but with an end */
    rig->ordered = ordered;
    rig->disk.fail_at = n;
    rig->disk.fail_status = status;
    rig->kill_at = turns * (2 + seed % 7) / 8;
    if (rig->kill_at > 0) (void)rig_attempt(rig);
    rig_check(rig, false);
    if (seed % 2 == 0) fault_disk_crash(&rig->disk, n * seed);
    rig_end_well(rig);
    rig_free(rig);
}

MR_TEST(checkpoint, after_a_failing_request_the_attempt_may_die_and_the_next_one_has_the_right_rows)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t requests = requests_of_a_run(seed % 3 == 0, seed);

        for (uint64_t n = 1; n <= requests; n++) {
            expect_failing_and_dying(seed % 3 == 0, MR_E_IO, n, seed);
            expect_failing_and_dying(seed % 3 == 0, MR_E_NO_SPACE, n, seed);
        }
    }
}

/* Many epochs, so that small state is sealed whole in between and what lies before it is cut off;
 * any request of that fails, and the attempt dies some time later. */
static void expect_long_run(uint64_t seed)
{
    struct rig *rig = rig_new(seed);
    struct mr_prng chance;

    mr_prng_init(&chance, seed, 5);
    rig->ordered = false;
    rig->rows = 600;
    rig->epoch_us = 5;
    rig->disk.late = rig->disk.late_names = seed % 2 == 0;
    for (uint32_t attempt = 0; attempt < 3; attempt++) {
        rig->seed = 10 * seed + attempt;
        rig->workers = 1 + (uint32_t)mr_prng_below(&chance, 3);
        rig->disk.fail_at = rig->disk.requests + 1 + mr_prng_below(&chance, 500);
        rig->disk.fail_status = seed % 3 == 0 ? MR_E_NO_SPACE : MR_E_IO;
        rig->kill_at = 1 + mr_prng_below(&chance, 1000);
        (void)rig_attempt(rig);
        rig_check(rig, false);
        if (seed % 4 == 0) fault_disk_crash(&rig->disk, rig->seed);
    }
    rig_end_well(rig);
    rig_free(rig);
}

MR_TEST(checkpoint, in_long_runs_requests_fail_and_processes_die_and_no_row_is_lost_or_doubled)
{
    for (uint64_t seed = 1; seed <= 100; seed++) expect_long_run(seed);
}

/* ---- power ---- */

/* Power is lost at a request drawn at random, again and again, until an attempt comes through. */
static void expect_power_losses(uint64_t seed)
{
    struct rig *rig = rig_new(seed);
    struct mr_prng chance;
    enum mr_status st;
    uint32_t attempts = 0;
    uint64_t requests = 60;

    mr_prng_init(&chance, seed, 4);
    rig->ordered = seed % 3 == 0;
    rig->same_content = rig->ordered;
    rig->disk.late = seed % 2 == 0;
    rig->disk.late_names = seed % 5 == 0;
    rig->disk.short_transfers = seed % 7 == 0;
    rig->disk.torn = seed % 4 == 1;
    rig->disk.garbage = seed % 4 == 3;
    if (seed % 6 == 0) { /* many epochs: what is old is cut off now and then */
        rig->rows = 400;
        rig->epoch_us = 10;
        requests = 400;
    }
    do {
        rig->seed = seed * 100 + attempts;
        rig->workers = 1 + (uint32_t)mr_prng_below(&chance, 3);
        rig->disk.crash_at =
            ++attempts > 6 ? 0 : rig->disk.requests + 1 + mr_prng_below(&chance, requests);
        st = rig_attempt(rig);
        if (!rig->disk.crashed) MR_EXPECT_OK(st, &rig->err);
        rig_check(rig, false);
        if (rig->disk.crashed || mr_prng_below(&chance, 2) == 0) {
            fault_disk_crash(&rig->disk, rig->seed);
        }
        rig->disk.crash_at = 0;
    } while (st != MR_OK);
    rig_end_well(rig);
    MR_EXPECT(rig->job_finished);
    rig_free(rig);
}

MR_TEST(checkpoint, when_power_is_lost_at_random_requests_then_no_row_is_lost_or_doubled)
{
    for (uint64_t seed = 1; seed <= 200; seed++) expect_power_losses(seed);
}

/* ---- a full disk ---- */

/* From turn `full_from` to `full_until`. */
static struct {
    uint64_t from, until;
    uint64_t last; /* complete when it began */
    uint64_t hits; /* runs that it hit */
} full;

static bool is_full(const struct rig *rig)
{
    return rig->turns >= full.from && rig->turns < full.until;
}

/* A file system that has no room for more, but for what is there already. */
static enum mr_status growing_finds_no_space(struct rig *rig, const struct mr_disk_request *request)
{
    bool grows = request->op == MR_DISK_CREATE;

    if (request->op == MR_DISK_WRITE) {
        grows = request->offset + request->size_bytes > rig->disk.open[request->file]->size_bytes;
    }
    return is_full(rig) && grows ? MR_E_NO_SPACE : MR_OK;
}

/* One that copies on write: nothing can be written at all. */
static enum mr_status writing_finds_no_space(struct rig *rig, const struct mr_disk_request *request)
{
    bool takes = request->op == MR_DISK_WRITE || request->op == MR_DISK_CREATE;

    return is_full(rig) && takes ? MR_E_NO_SPACE : MR_OK;
}

static enum mr_status anything_finds_no_space(struct rig *rig,
                                              const struct mr_disk_request *request)
{
    bool takes = request->op == MR_DISK_WRITE || request->op == MR_DISK_CREATE ||
                 request->op == MR_DISK_SYNC;

    return is_full(rig) && takes ? MR_E_NO_SPACE : MR_OK;
}

/* While nothing can be written no epoch becomes complete, except one on its way. */
static void watch_full_disk(struct rig *rig)
{
    uint64_t last = mr_checkpoint_stats(rig->checkpoint).last_epoch;

    if (rig->turns == full.from) full.last = last;
    if (is_full(rig) && rig->on_request != growing_finds_no_space) {
        MR_EXPECT(last <= full.last + 1);
    }
    if (rig->turns == full.until && rig->on_request != growing_finds_no_space) {
        MR_EXPECT(rig->on_request_hits == 0 || rig->waiting_turns > 0); /* it says so */
    }
    if (rig->turns > full.until && last > full.last + 1 &&
        rig->on_request != growing_finds_no_space) {
        MR_EXPECT(!mr_checkpoint_waiting(rig->checkpoint)); /* and that it is over */
    }
}

static struct rig *run_on_full_disk(bool ordered, uint64_t seed,
                                    enum mr_status (*request)(struct rig *,
                                                              const struct mr_disk_request *))
{
    struct rig *rig = rig_new(seed);

    rig->ordered = ordered;
    rig->rows = ordered ? 3000 : 900; /* several batches */
    rig->batch_rows = ordered ? 256 : 16;
    rig->epoch_us = 10;
    rig->segment_bytes = ordered ? 1024 * 1024 : 128 * 1024;
    full.from = 1 + seed * 31 % (request == growing_finds_no_space ? 600 : 200);
    full.until = full.from + 3000;
    full.last = 0;
    rig->on_request = request;
    rig->on_turn = watch_full_disk;
    (void)rig_attempt(rig);
    full.hits += rig->on_request_hits > 0;
    return rig;
}

MR_TEST(checkpoint, when_the_log_cannot_grow_the_job_waits_says_so_and_goes_on_when_there_is_space)
{
    uint64_t waited = 0;

    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig *rig = run_on_full_disk(seed % 3 == 0, seed, growing_finds_no_space);

        MR_EXPECT_OK(rig->err.status, &rig->err);
        rig_check(rig, true);
        waited += rig->waiting_turns > 0;
        rig_end_well(rig);
        rig_free(rig);
    }
    MR_EXPECT(waited >= 10);
}

/* Whether the attempt gets over it or not: what is there is right, and the next one goes on. */
static void expect_nothing_lost(enum mr_status (*request)(struct rig *,
                                                          const struct mr_disk_request *))
{
    full.hits = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig *rig = run_on_full_disk(seed % 3 == 0, seed, request);

        rig_check(rig, rig->err.status == MR_OK);
        if (seed % 2 == 0) fault_disk_crash(&rig->disk, seed);
        rig_end_well(rig);
        rig_free(rig);
    }
    MR_EXPECT(full.hits >= 30); /* the fault did hit */
}

MR_TEST(checkpoint, when_nothing_can_be_written_for_a_while_nothing_is_lost)
{
    expect_nothing_lost(writing_finds_no_space);
}

MR_TEST(checkpoint, when_also_syncs_find_no_space_nothing_is_lost)
{
    expect_nothing_lost(anything_finds_no_space);
}

/* ---- syncs that fail ---- */

static uint64_t sync_seen, sync_fails;

/* Linux drops what a failed sync should have written; the next one succeeds. */
static enum mr_status one_sync_fails(struct rig *rig, const struct mr_disk_request *request)
{
    if (rig->turns == 0 || request->op != MR_DISK_SYNC)
        return MR_OK; /* opening is another matter */
    return ++sync_seen == sync_fails ? MR_E_IO : MR_OK;
}

/* `crash`: power is lost afterwards, which shows what is really on the device. */
static bool expect_failing_sync(uint64_t n, uint64_t seed, bool crash)
{
    struct rig *rig = rig_new(seed);
    bool went_on;

    rig->ordered = seed % 4 == 0;
    rig->rows = 100;
    sync_seen = 0;
    sync_fails = n;
    rig->on_request = one_sync_fails;
    (void)rig_attempt(rig);
    went_on = rig->on_request_hits > 0 && rig->err.status == MR_OK;
    if (rig->err.status != MR_OK) {
        MR_EXPECT(strstr(rig->err.text, "asked to fail") != NULL); /* it says what happened */
    }
    rig_check(rig, rig->err.status == MR_OK);
    if (went_on) MR_EXPECT_EQ_UINT(rig->stats.epochs, rig->stats.last_epoch); /* each one counts */
    if (crash) fault_disk_crash(&rig->disk, seed);
    rig_end_well(rig);
    rig_free(rig);
    return went_on;
}

MR_TEST(checkpoint, when_a_sync_fails_the_log_is_read_back_and_the_job_goes_on_or_starts_again)
{
    uint32_t went_on = 0;

    for (uint64_t seed = 1; seed <= 30; seed++) {
        for (uint64_t n = 1; n <= 4; n++) {
            went_on += expect_failing_sync(n, seed, false);
            went_on += expect_failing_sync(n, seed, true);
        }
    }
    MR_EXPECT(went_on >= 50); /* mostly it need not start again */
}

/* ---- Ctrl-C ---- */

MR_TEST(checkpoint, a_stop_completes_an_epoch_and_the_next_attempt_goes_on_behind_it)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rig *rig = rig_new(seed);
        uint32_t attempts = 0;

        rig->ordered = seed % 3 == 0;
        rig->unbounded = seed % 2 == 0;
        rig->epoch_us = seed % 5 == 0 ? 10 * MR_SECOND : 100; /* nobody waits for a long one */
        do {
            uint64_t restored;

            rig->seed = seed * 10 + attempts;
            rig->stop_at = ++attempts > 4 ? 0 : 1 + seed % 40 * attempts;
            MR_EXPECT_OK(rig_attempt(rig), &rig->err);
            restored = rig->restored;
            if (rig->stopped) MR_EXPECT(rig->stats.last_epoch > restored);
            rig_check(rig, !rig->stopped);
        } while (rig->stopped);
        rig_free(rig);
    }
}

/* ---- memory ---- */

/* Every allocation of an attempt fails once. What it left is what the next one goes on with. */
static void torture(bool ordered, uint64_t seed, bool again, uint64_t dies_at)
{
    struct mr_heap inside;
    bool refused = true;

    mr_heap_init_child(&inside, "inside", SIZE_MAX, mr_test_heap());
    for (uint64_t n = 1; refused; n++) {
        struct rig *rig = rig_new(seed);
        enum mr_status st;

        rig->ordered = ordered;
        rig->rows = 25;
        rig->parts = 2;
        rig->kill_at = again ? 40 : 0; /* then there is something to restore */
        if (again) (void)rig_attempt(rig);
        rig->kill_at = dies_at;
        rig->unbounded = dies_at > 0; /* rows keep coming while an epoch is given up */
        rig->idle = dies_at > 0 ? 97 : 0;
        rig->heap = &inside;
        inside.failed_count = 0;
        inside.fail_at = inside.alloc_count + n;
        st = rig_attempt(rig);
        refused = inside.failed_count > 0;
        inside.fail_at = 0;
        if (!rig->killed && (!refused || st != MR_E_NOMEM)) { /* some can be done without */
            MR_EXPECT_OK(st, &rig->err);
        }
        MR_EXPECT_EQ_UINT(inside.used_bytes, 0);
        rig_check(rig, st == MR_OK);
        rig_end_well(rig);
        rig_free(rig);
        MR_EXPECT(n < 20000);
    }
    mr_heap_fini(&inside);
}

MR_TEST(checkpoint, each_allocation_of_a_run_may_fail_and_nothing_leaks_or_is_lost)
{
    torture(false, 1, false, 0);
    torture(false, 2, true, 0);
}

MR_TEST(checkpoint, each_allocation_of_a_run_in_micro_batches_may_fail)
{
    torture(true, 1, false, 0);
    torture(true, 2, true, 0);
}

/* An epoch that could not be written for lack of memory is given up; what it sealed comes with the
 * next one, which is all that there is when the process dies then. */
MR_TEST(checkpoint, when_memory_failed_an_epoch_what_it_sealed_is_in_the_next)
{
    torture(false, 3, false, 500);
    torture(true, 5, false, 500);
}
