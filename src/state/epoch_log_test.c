/* epoch_log_test.c - after any crash exactly the epochs that were reported are there, or one more
 * whose outcome nobody knew; never a part of one. The rig compares with plain arrays. */
#include "log_rig.h"

static struct rig rig; /* large */

/* The way it is used, without faults. */
MR_TEST(epoch_log, what_was_committed_is_found_by_the_next_attempt)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        rig_init(&rig, seed);
        rig.disk.short_transfers = seed % 2 == 0;
        rig.disk.late = seed % 3 == 0;
        rig.compacts = seed % 4 == 0;
        MR_EXPECT_OK(rig_run(&rig, 40), &rig.err);
        rig_stop(&rig);
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        MR_EXPECT(rig.reported >= 30);
        rig_fini(&rig);
    }
}

/* ---- crashes ---- */

enum loss { POWER, POWER_AND_GARBAGE, PROCESS };

/* Runs a life until request `step`, where it ends; true: it came to its end before. */
static bool crash_once(uint64_t seed, uint64_t step, enum loss loss)
{
    enum mr_status st;

    rig_init(&rig, seed);
    rig.compacts = true;
    rig.disk.garbage = loss == POWER_AND_GARBAGE;
    rig.disk.crash_at = step;
    st = rig_run(&rig, 14);
    rig_stop(&rig);
    if (st == MR_OK) return true;
    if (!rig.disk.crashed) MR_FAIL("step %llu: %s", (unsigned long long)step, rig.err.text);
    if (loss == PROCESS) {
        fault_disk_kill(&rig.disk);
    } else {
        fault_disk_crash(&rig.disk, step * 31 + seed);
    }
    return false;
}

static void crash_everywhere(uint64_t seed, enum loss loss)
{
    for (uint64_t step = 1;; step++) {
        bool over = crash_once(seed, step, loss);

        if (!over) {
            enum mr_status st = rig_start(&rig);

            if (st != MR_OK) {
                MR_FAIL("seed %llu step %llu: %s", (unsigned long long)seed,
                        (unsigned long long)step, rig.err.text);
            }
            /* It goes on, and a second crash finds that. */
            MR_EXPECT_OK(rig_run(&rig, rig.reported + 3), &rig.err);
            rig_stop(&rig);
            fault_disk_crash(&rig.disk, step);
            MR_EXPECT_OK(rig_start(&rig), &rig.err);
        }
        rig_fini(&rig);
        if (over) return;
    }
}

/* Lost and reordered writes, torn at sectors. */
MR_TEST(epoch_log, when_the_power_is_lost_at_any_request_then_reported_epochs_are_there)
{
    for (uint64_t seed = 1; seed <= 4; seed++) crash_everywhere(seed, POWER);
}

/* Sectors under a write that was not synced may hold anything. */
MR_TEST(epoch_log, when_sectors_under_way_become_garbage_then_reported_epochs_are_there)
{
    for (uint64_t seed = 11; seed <= 12; seed++) crash_everywhere(seed, POWER_AND_GARBAGE);
}

MR_TEST(epoch_log, when_the_process_is_killed_at_any_request_then_reported_epochs_are_there)
{
    for (uint64_t seed = 21; seed <= 22; seed++) crash_everywhere(seed, PROCESS);
}

/* A process is killed after its last epoch reached the page cache; the next one reports it, and
 * then the power goes. */
MR_TEST(epoch_log, when_the_next_attempt_reports_an_epoch_then_it_is_durable)
{
    for (uint64_t step = 1;; step++) {
        bool over = crash_once(31, step, PROCESS);

        if (!over) {
            MR_EXPECT_OK(rig_start(&rig), &rig.err);
            rig_stop(&rig);
            fault_disk_crash(&rig.disk, step);
            MR_EXPECT_OK(rig_start(&rig), &rig.err);
        }
        rig_fini(&rig);
        if (over) return;
    }
}

/* ---- failures that do not end the process ---- */

static bool fail_once(uint64_t seed, uint64_t step, enum mr_status status, bool sticky, bool power)
{
    enum mr_status st;

    rig_init(&rig, seed);
    rig.compacts = true;
    rig.disk.fail_at = step;
    rig.disk.fail_status = status;
    rig.disk.fail_sticky = sticky;
    st = rig_run(&rig, 10);
    rig_stop(&rig);
    if (rig.disk.requests < step) return true;
    if (st != MR_OK && st != status)
        MR_FAIL("step %llu: %s", (unsigned long long)step, rig.err.text);
    if (power) {
        fault_disk_crash(&rig.disk, step);
    } else {
        fault_disk_kill(&rig.disk);
    }
    return false;
}

static void fail_everywhere(uint64_t seed, enum mr_status status, bool sticky, bool power)
{
    for (uint64_t step = 1;; step++) {
        bool over = fail_once(seed, step, status, sticky, power);

        if (!over) MR_EXPECT_OK(rig_start(&rig), &rig.err);
        if (!over) MR_EXPECT_OK(rig_run(&rig, rig.reported + 2), &rig.err);
        rig_fini(&rig);
        if (over) return;
    }
}

MR_TEST(epoch_log, when_any_request_fails_then_nothing_reported_is_lost)
{
    fail_everywhere(41, MR_E_IO, false, false);
    fail_everywhere(42, MR_E_NO_SPACE, false, false);
    fail_everywhere(43, MR_E_IO, true, false);
}

/* After a failed sync the page cache shows bytes that the disk never gets. */
MR_TEST(epoch_log, when_any_request_fails_and_then_the_power_goes_then_nothing_reported_is_lost)
{
    fail_everywhere(44, MR_E_IO, false, true);
    fail_everywhere(45, MR_E_IO, true, true);
}

/* The same, with an attempt in between that sees the page cache only. */
MR_TEST(epoch_log, when_a_sync_failed_then_what_the_next_attempt_reports_survives_the_power)
{
    for (uint64_t step = 1;; step++) {
        bool over = fail_once(46, step, MR_E_IO, false, false);

        if (!over) {
            MR_EXPECT_OK(rig_start(&rig), &rig.err);
            rig_stop(&rig);
            fault_disk_crash(&rig.disk, step);
            MR_EXPECT_OK(rig_start(&rig), &rig.err);
        }
        rig_fini(&rig);
        if (over) return;
    }
}

/* ---- leftovers of an aborted epoch ---- */

/* The same shape whatever `first` is, modulo 97. */
static void fill_segments(uint64_t epoch, uint64_t first)
{
    MR_EXPECT_OK(mr_epoch_log_begin(rig.log, epoch, false, &rig.err), &rig.err);
    for (uint32_t i = 0; i < 220; i++) {
        MR_EXPECT_OK(rig_put(&rig, i % 2, 0, i % RIG_KEYS, first + i), &rig.err);
    }
}

/* All segments but one reach the disk by themselves. */
static void write_back(uint64_t but)
{
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_inode *inode = rig.disk.names[i].now;
        uint64_t fence, number;

        if (inode == NULL) continue;
        if (mri_file_parse(rig.disk.names[i].name + strlen("run/state/"), &fence, &number) ==
                MRI_FILE_SEGMENT &&
            number == but) {
            continue;
        }
        memcpy(inode->durable, inode->data, inode->size_bytes);
        inode->durable_bytes = inode->size_bytes;
    }
}

/* And nothing else does. */
static void power_is_lost(void)
{
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_inode *inode = rig.disk.names[i].now;

        if (inode == NULL) continue;
        memset(inode->dirty, 0, inode->room_bytes / FAULT_SECTOR_BYTES);
        memcpy(inode->data, inode->durable, inode->durable_bytes);
        inode->size_bytes = inode->durable_bytes;
    }
    fault_disk_kill(&rig.disk);
}

/* Its records are good ones, in the right file and place; only the sum of the epoch tells. */
MR_TEST(epoch_log, when_an_aborted_epoch_left_records_then_they_do_not_complete_a_torn_one)
{
    uint64_t segments = 3;

    for (uint64_t lost = 1; lost <= segments + 1; lost++) {
        rig_init(&rig, lost);
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        fill_segments(1, 1000);
        MR_EXPECT_EQ_INT(mr_epoch_log_poll(rig.log, &rig.err), MR_LOG_IDLE);
        write_back(UINT64_MAX); /* the kernel may do so at any time */
        MR_EXPECT(mr_epoch_log_abort(rig.log));
        memset(&rig.state, 0, sizeof rig.state);
        fill_segments(2, 1000 + 97);
        rig.attempted = 2;
        rig.at_end[2] = rig.state;
        MR_EXPECT_OK(mr_epoch_log_commit(rig.log, &rig.err), &rig.err);
        segments = rig.log->current->number;
        MR_EXPECT(segments >= 3);
        rig_stop(&rig); /* before the syncs */
        write_back(lost);
        power_is_lost();
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        MR_EXPECT_EQ_UINT(mr_epoch_log_last(rig.log), lost <= segments ? 0 : 2);
        rig_fini(&rig);
    }
}

/* ---- a full disk ---- */

/* Fills more than one segment. */
static void begin_large(uint64_t epoch)
{
    MR_EXPECT_OK(mr_epoch_log_begin(rig.log, epoch, false, &rig.err), &rig.err);
    for (uint32_t i = 0; i < 300; i++) {
        MR_EXPECT_OK(rig_put(&rig, 0, 0, i % RIG_KEYS, 1 + i), &rig.err);
    }
    rig.attempted = epoch;
    rig.at_end[epoch] = rig.state;
    MR_EXPECT_OK(mr_epoch_log_commit(rig.log, &rig.err), &rig.err);
}

static void start_full_disk(void)
{
    rig_init(&rig, 5);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    rig.disk.space_bytes = 10000; /* the first segment is there */
    begin_large(1);
    MR_EXPECT_EQ_INT(rig_wait(&rig), MR_E_NO_SPACE);
    MR_EXPECT_EQ_INT(mr_epoch_log_poll(rig.log, &rig.err), MR_LOG_STALLED);
    MR_EXPECT_CONTAINS(rig.err.text, "no space");
}

MR_TEST(epoch_log, when_the_disk_is_full_then_the_epoch_waits_and_goes_on_after_a_retry)
{
    start_full_disk();
    mr_epoch_log_retry(rig.log);
    MR_EXPECT_EQ_INT(rig_wait(&rig), MR_E_NO_SPACE);
    rig.disk.space_bytes = SIZE_MAX;
    mr_epoch_log_retry(rig.log);
    MR_EXPECT_OK(rig_wait(&rig), &rig.err);
    MR_EXPECT_EQ_UINT(mr_epoch_log_last(rig.log), 1);
    rig.reported = 1;
    rig_stop(&rig);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    rig_fini(&rig);
}

MR_TEST(epoch_log, when_the_disk_is_full_then_the_epoch_can_be_aborted_and_small_ones_go_on)
{
    start_full_disk();
    MR_EXPECT(mr_epoch_log_abort(rig.log));
    rig.attempted = 0;
    memset(&rig.state, 0, sizeof rig.state);
    MR_EXPECT_OK(mr_epoch_log_begin(rig.log, 2, false, &rig.err), &rig.err);
    MR_EXPECT_OK(rig_put(&rig, 1, 1, 1, 99), &rig.err);
    rig.at_end[2] = rig.state;
    MR_EXPECT_OK(mr_epoch_log_commit(rig.log, &rig.err), &rig.err);
    MR_EXPECT_OK(rig_wait(&rig), &rig.err);
    MR_EXPECT_EQ_UINT(mr_epoch_log_last(rig.log), 2);
    rig.reported = rig.attempted = 2;
    rig_stop(&rig);
    rig.disk.space_bytes = SIZE_MAX;
    fault_disk_crash(&rig.disk, 3);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    rig_fini(&rig);
}

/* The decision is the trailer: after it was handed over, only the disk knows. */
MR_TEST(epoch_log, when_the_sync_fails_then_the_log_is_broken_and_cannot_abort)
{
    rig_init(&rig, 6);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    MR_EXPECT_OK(mr_epoch_log_begin(rig.log, 1, false, &rig.err), &rig.err);
    MR_EXPECT_OK(rig_put(&rig, 0, 0, 0, 7), &rig.err);
    rig.attempted = 1;
    rig.at_end[1] = rig.state;
    MR_EXPECT_OK(mr_epoch_log_commit(rig.log, &rig.err), &rig.err);
    rig.disk.fail_at = rig.disk.requests; /* the write has begun: the sync is next */
    rig.disk.fail_sticky = true;
    rig.disk.fail_status = MR_E_IO;
    MR_EXPECT_EQ_INT(mr_epoch_log_poll(rig.log, &rig.err), MR_LOG_BROKEN);
    MR_EXPECT_CONTAINS(rig.err.text, "opened again");
    MR_EXPECT(!mr_epoch_log_abort(rig.log));
    MR_EXPECT_STATUS(mr_epoch_log_begin(rig.log, 2, false, NULL), MR_E_IO);
    rig_stop(&rig);
    fault_disk_kill(&rig.disk);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    rig_fini(&rig);
}

/* ---- limits and memory ---- */

MR_TEST(epoch_log, when_an_entry_or_a_name_is_too_long_then_it_is_refused_with_the_limit)
{
    static char large[8192];
    struct mr_entry entry = {.kind = MR_ENTRY_PUT, .state_name = "s", .value = {large, 3000}};

    rig_init(&rig, 7);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    MR_EXPECT_OK(mr_epoch_log_begin(rig.log, 1, false, &rig.err), &rig.err);
    MR_EXPECT_STATUS(mr_epoch_log_add(rig.log, "op", &entry, &rig.err), MR_E_LIMIT);
    MR_EXPECT_CONTAINS(rig.err.text, "3000 bytes");
    MR_EXPECT_STATUS(mr_epoch_log_commit(rig.log, &rig.err), MR_E_NOMEM); /* only an abort helps */
    MR_EXPECT(mr_epoch_log_abort(rig.log));
    memset(large, 'x', 300);
    entry.value.size_bytes = 1;
    MR_EXPECT_OK(mr_epoch_log_begin(rig.log, 1, false, &rig.err), &rig.err);
    MR_EXPECT_STATUS(mr_epoch_log_add(rig.log, large, &entry, &rig.err), MR_E_LIMIT);
    rig_fini(&rig);
}

MR_TEST(epoch_log, when_memory_runs_out_anywhere_then_nothing_reported_is_lost)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        enum mr_status st;

        rig_init(&rig, 51);
        rig.compacts = true;
        st = rig_run(&rig, 5);
        rig_stop(&rig);
        if (st != MR_OK) MR_EXPECT_EQ_INT(st, MR_E_NOMEM);
        if (!mr_test_refused(heap)) MR_EXPECT_OK(st, &rig.err);
        fault_disk_kill(&rig.disk);
        heap->fail_at = 0;
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        rig_fini(&rig);
    }
}
