/* savepoint_test.c - what was put into a savepoint comes back, whole, or it is refused; and which jobs
 * can start from it. */
#include "savepoint_rig.h"

MR_TEST(savepoint, what_a_state_directory_holds_comes_back)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct mr_savepoint_reader *reader;
        const struct mr_savepoint_info *info;
        struct mr_error err;
        uint64_t keys = 0, expected = 0;

        live(seed);
        rig.disk.late = seed % 2 == 0;
        rig.disk.short_transfers = seed % 3 == 0;
        MR_EXPECT_OK(copy_log(&rig.disk.disk, "out", &err), &err);
        expect_state(&rig.disk.disk, "out");
        MR_EXPECT_OK(mr_savepoint_open(mr_test_heap(), &rig.disk.disk, "out", &reader, &err), &err);
        info = mr_savepoint_info(reader);
        MR_EXPECT_EQ_UINT(info->epoch, rig.reported);
        MR_EXPECT_EQ_UINT(info->job_hash, 77);
        MR_EXPECT_EQ_UINT(info->key_group_count, RIG_GROUPS);
        MR_EXPECT_EQ_TEXT(info->job.data, info->job.size_bytes, JOB_TEXT);
        for (uint32_t i = 0; i < info->state_count; i++) keys += info->states[i].keys;
        for (uint32_t i = 0; i < RIG_OPERATORS * RIG_SPACES * RIG_KEYS; i++) {
            expected += rig.state.cells[i % RIG_OPERATORS][i / RIG_OPERATORS % RIG_SPACES]
                                       [i / (RIG_OPERATORS * RIG_SPACES)] != 0;
        }
        MR_EXPECT_EQ_UINT(keys, expected);
        mr_savepoint_close(reader);
        rig_fini(&rig);
    }
}

MR_TEST(savepoint, a_flipped_or_missing_byte_is_refused_by_file)
{
    uint32_t refused = 0;
    struct mr_error err;

    live(2);
    MR_EXPECT_OK(copy_log(&rig.disk.disk, "out", &err), &err);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_inode *inode = rig.disk.names[i].now;
        size_t size = inode != NULL ? inode->size_bytes : 0;
        struct rig_state found;

        if (strncmp(rig.disk.names[i].name, "out/", 4) != 0) continue;
        for (size_t at = 0; at < size; at += 1 + at % 5) {
            inode->data[at] ^= 0x04;
            MR_EXPECT_STATUS(read_back(&rig.disk.disk, "out", &found, &err), MR_E_CORRUPT);
            MR_EXPECT_CONTAINS(err.text, rig.disk.names[i].name);
            inode->data[at] ^= 0x04;
            inode->size_bytes = at;
            MR_EXPECT_STATUS(read_back(&rig.disk.disk, "out", &found, &err), MR_E_CORRUPT);
            MR_EXPECT_CONTAINS(err.text, rig.disk.names[i].name);
            inode->size_bytes = size;
            refused++;
        }
    }
    MR_EXPECT(refused > 200);
    expect_state(&rig.disk.disk, "out");
    rig_fini(&rig);
}

MR_TEST(savepoint, when_memory_runs_out_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();

    live(4);
    MR_TORTURE(heap) {
        struct rig_state found;
        struct mr_error err;
        enum mr_status st = copy_log(&rig.disk.disk, "out", &err);

        if (st == MR_OK) st = copy_seals(&rig.disk.disk, "out2", &err);
        if (st == MR_OK) st = read_back(&rig.disk.disk, "out2", &found, &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
            if (strncmp(rig.disk.names[i].name, "out", 3) != 0) continue;
            if (rig.disk.names[i].now != NULL) fault_disk_remove(&rig.disk, rig.disk.names[i].name);
        }
    }
    rig_fini(&rig);
}
