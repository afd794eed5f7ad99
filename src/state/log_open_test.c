/* log_open_test.c - what must not be opened: other jobs, other files, other versions; and what a
 * refusal leaves behind, which is everything as it was. */
#include "base/crc.h"
#include "log_rig.h"

static struct rig rig;

static void live(void)
{
    rig_init(&rig, 1);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        MR_EXPECT_OK(mr_epoch_log_begin(rig.log, epoch, false, &rig.err), &rig.err);
        for (uint32_t k = 0; k < RIG_KEYS; k++) {
            MR_EXPECT_OK(rig_put(&rig, 0, 1, k, epoch * 100 + k), &rig.err);
        }
        rig.at_end[epoch] = rig.state;
        MR_EXPECT_OK(mr_epoch_log_commit(rig.log, &rig.err), &rig.err);
        MR_EXPECT_OK(rig_wait(&rig), &rig.err);
        rig.reported = rig.attempted = epoch;
    }
    rig_stop(&rig);
}

/* Refused with `status` and a text that has `part` in it; no file changed. */
static void expect_refused(enum mr_status status, const char *part)
{
    static struct fault_disk before;

    fault_disk_copy(&before, &rig.disk);
    MR_EXPECT_STATUS(rig_start(&rig), status);
    MR_EXPECT_CONTAINS(rig.err.text, part);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        const struct fault_inode *now = rig.disk.names[i].now;
        const struct fault_inode *old =
            now != NULL ? fault_disk_find(&before, rig.disk.names[i].name) : NULL;

        if (now == NULL) continue;
        MR_EXPECT(old != NULL && old->size_bytes == now->size_bytes);
        MR_EXPECT(memcmp(old->data, now->data, now->size_bytes) == 0);
    }
    fault_disk_fini(&before);
    rig_fini(&rig);
}

MR_TEST(log_open, when_the_directory_belongs_to_another_pipeline_then_it_is_refused)
{
    live();
    rig.options.job_hash = 78;
    expect_refused(MR_E_CHANGED, "another pipeline");
}

MR_TEST(log_open, when_the_directory_has_other_files_and_no_meta_then_it_is_refused)
{
    rig_init(&rig, 1);
    fault_disk_put(&rig.disk, "run/state/letter.txt", "dear", 4);
    expect_refused(MR_E_CORRUPT, "letter.txt");
}

MR_TEST(log_open, when_meta_got_lost_then_it_is_not_a_fresh_start)
{
    live();
    fault_disk_remove(&rig.disk, "run/state/META");
    expect_refused(MR_E_CORRUPT, "has no META");
}

MR_TEST(log_open, when_meta_is_a_foreign_file_then_it_is_refused)
{
    live();
    fault_disk_put(&rig.disk, "run/state/META", "#!/bin/sh\n", 10);
    expect_refused(MR_E_CORRUPT, "run/state/META: offset 0");
}

/* A later version keeps the header and its sum, and changes what it likes behind them. */
static void make_newer(const char *name, size_t offset)
{
    struct fault_inode *inode = fault_disk_find(&rig.disk, name);
    char *record = inode->data + offset;
    uint32_t length, crc;

    memcpy(&length, record + 12, sizeof length);
    record[8] = 2;
    crc = mr_crc32c(0, record + 8, 24 + length);
    memcpy(record + 4, &crc, sizeof crc);
}

MR_TEST(log_open, when_a_newer_version_wrote_it_then_that_is_said)
{
    live();
    make_newer("run/state/META", 0);
    expect_refused(MR_E_UNSUPPORTED, "newer version");
    live();
    make_newer("run/state/manifest-1-1", 0);
    expect_refused(MR_E_UNSUPPORTED, "newer version");
    live();
    make_newer("run/state/seg-1-1.log", 512); /* also where a torn write would be forgiven */
    expect_refused(MR_E_UNSUPPORTED, "newer version");
}

static enum mr_status refuse(void *self, const char *operator_id, const struct mr_entry *entry,
                             struct mr_error *err)
{
    (void)self;
    (void)entry;
    return mr_error_set(err, MR_E_SCHEMA, "operator '%s' has other columns now", operator_id);
}

MR_TEST(log_open, when_the_visitor_refuses_or_options_are_wrong_then_so_does_opening)
{
    live();
    MR_EXPECT_STATUS(
        mr_epoch_log_open(mr_test_heap(), &rig.options, refuse, NULL, &rig.log, &rig.err),
        MR_E_SCHEMA);
    rig.options.segment_bytes = 100;
    MR_EXPECT_STATUS(rig_start(&rig), MR_E_INVALID);
    rig_fini(&rig);
}

MR_TEST(log_open, foreign_names_beside_meta_are_left_alone_and_leftovers_are_removed)
{
    live();
    fault_disk_put(&rig.disk, "run/state/notes", "mine", 4);
    fault_disk_put(&rig.disk, "run/state/run-1-9", "old", 3);
    fault_disk_put(&rig.disk, "run/state/seg-1-77.log", "old", 3);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    MR_EXPECT(fault_disk_find(&rig.disk, "run/state/notes") != NULL);
    MR_EXPECT(fault_disk_find(&rig.disk, "run/state/run-1-9") == NULL);
    MR_EXPECT(fault_disk_find(&rig.disk, "run/state/seg-1-77.log") == NULL);
    rig_fini(&rig);
}

/* After an unknown outcome: what was the last epoch? */
MR_TEST(log_open, without_a_visitor_only_the_last_epoch_is_told)
{
    live();
    MR_EXPECT_OK(mr_epoch_log_open(mr_test_heap(), &rig.options, NULL, NULL, &rig.log, &rig.err),
                 &rig.err);
    MR_EXPECT_EQ_UINT(mr_epoch_log_last(rig.log), rig.reported);
    MR_EXPECT(mr_epoch_log_attempt(rig.log) >= 2);
    rig_fini(&rig);
}

MR_TEST(log_open, when_memory_runs_out_then_opening_fails_and_the_directory_stays_good)
{
    struct mr_heap *heap = mr_test_heap();

    live();
    MR_TORTURE(heap) {
        enum mr_status st = rig_start(&rig);

        MR_EXPECT(st == MR_OK || (st == MR_E_NOMEM && mr_test_refused(heap)));
        rig_stop(&rig);
    }
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    rig_fini(&rig);
}
