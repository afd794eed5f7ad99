/* snapshot_test.c - a path leads to a state directory, a savepoint, or is refused with a reason. */
#include "savepoint_rig.h"
#include "state/snapshot.h"

static enum mr_status read_all(const char *dir, uint64_t epoch, struct rig_state *out,
                               struct mr_snapshot_info *out_info, struct mr_error *err)
{
    struct mr_snapshot *snapshot = NULL;
    enum mr_status st;

    memset(out, 0, sizeof *out);
    MR_GOTO(mr_snapshot_open(mr_test_heap(), &rig.disk.disk, dir, epoch, &snapshot, err));
    *out_info = *mr_snapshot_info(snapshot);
    for (;;) {
        const char *operator_id;
        struct mr_entry entry;

        MR_GOTO(mr_snapshot_next(snapshot, &operator_id, &entry, err));
        if (operator_id == NULL) break;
        MR_GOTO(rig_visit(out, operator_id, &entry, err));
    }
done:
    mr_snapshot_close(snapshot);
    return st;
}

MR_TEST(snapshot, both_kinds_give_the_same_state)
{
    static const char job[] = "millrace job 1\nname x\ngroups 24\nend 0\n";
    struct mr_snapshot_info info;
    struct rig_state found;
    struct mr_error err;

    live(6);
    fault_disk_put(&rig.disk, "run/state/JOB", job, strlen(job));
    MR_EXPECT_OK(copy_log(&rig.disk.disk, "out", &err), &err);
    MR_EXPECT_OK(read_all("run/state", 0, &found, &info, &err), &err);
    MR_EXPECT(memcmp(&found, &rig.state, sizeof found) == 0);
    MR_EXPECT(info.log != NULL && info.savepoint == NULL);
    MR_EXPECT_EQ_UINT(info.key_group_count, 24);
    MR_EXPECT_OK(read_all("out", 0, &found, &info, &err), &err);
    MR_EXPECT(memcmp(&found, &rig.state, sizeof found) == 0);
    MR_EXPECT(info.log == NULL && info.savepoint != NULL);
    MR_EXPECT_EQ_UINT(info.epoch, rig.reported);
    MR_EXPECT_EQ_UINT(info.key_group_count, RIG_GROUPS);
    MR_EXPECT_OK(read_all("out", rig.reported, &found, &info, &err), &err);
    MR_EXPECT_STATUS(read_all("out", rig.reported + 1, &found, &info, &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "a savepoint of epoch");
    rig_fini(&rig);
}

MR_TEST(snapshot, a_job_file_without_groups_or_with_a_wild_number_tells_none)
{
    static const char *const jobs[] = {"", "groups 5\n", "a\ngroups ", "a\ngroups x\n",
                                       "a\ngroups 99999999999999\n"};
    struct mr_snapshot_info info;
    struct rig_state found;
    struct mr_error err;

    live(6);
    for (size_t i = 0; i < MR_COUNT(jobs); i++) {
        fault_disk_put(&rig.disk, "run/state/JOB", jobs[i], strlen(jobs[i]));
        MR_EXPECT_OK(read_all("run/state", 0, &found, &info, &err), &err);
        MR_EXPECT_EQ_UINT(info.key_group_count, 0);
    }
    rig_fini(&rig);
}

MR_TEST(snapshot, what_is_neither_or_half_of_one_is_refused)
{
    struct mr_snapshot_info info;
    struct rig_state found;
    struct mr_error err;

    live(6);
    MR_EXPECT_OK(copy_log(&rig.disk.disk, "out", &err), &err);
    MR_EXPECT_STATUS(read_all("nowhere", 0, &found, &info, &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "or a savepoint");
    fault_disk_remove(&rig.disk, "out/SAVEPOINT");
    MR_EXPECT_STATUS(read_all("out", 0, &found, &info, &err), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(err.text, "unfinished");
    rig_fini(&rig);
}
