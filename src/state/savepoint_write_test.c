/* savepoint_write_test.c - the same state is the same bytes, and half a savepoint is none: on a disk that
 * loses power, and fails, at every request. */
#include "savepoint_rig.h"

MR_TEST(savepoint_write, the_same_state_gives_the_same_bytes_however_it_came_about)
{
    uint32_t parts = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct mr_error err;

        live(seed);
        MR_EXPECT_OK(copy_log(&rig.disk.disk, "one", &err), &err);
        MR_EXPECT_OK(copy_seals(&rig.disk.disk, "two", &err), &err);
        expect_state(&rig.disk.disk, "two");
        MR_EXPECT_EQ_UINT(files_in(&rig.disk, "one"), files_in(&rig.disk, "two"));
        for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
            const struct fault_inode *one = rig.disk.names[i].now, *two;
            char name[160];

            if (one == NULL || strncmp(rig.disk.names[i].name, "one/", 4) != 0) continue;
            (void)snprintf(name, sizeof name, "two/%s", rig.disk.names[i].name + 4);
            two = fault_disk_find(&rig.disk, name);
            MR_EXPECT(two != NULL && two->size_bytes == one->size_bytes);
            MR_EXPECT(memcmp(one->data, two->data, one->size_bytes) == 0);
            parts++;
        }
        rig_fini(&rig);
    }
    MR_EXPECT(parts > 60);
}

MR_TEST(savepoint_write, when_writing_it_is_cut_short_then_it_is_refused_as_unfinished)
{
    uint32_t whole = 0, refused = 0;

    for (uint64_t at = 1;; at++) {
        static struct fault_disk disk;
        struct rig_state found;
        struct mr_error err;
        enum mr_status st, wrote;

        live(3);
        fault_disk_init(&disk, at);
        disk.crash_at = at;
        disk.garbage = at % 2 == 0;
        wrote = copy_seals(&disk.disk, "out", &err);
        if (at % 3 == 0)
            fault_disk_kill(&disk);
        else
            fault_disk_crash(&disk, at * 7);
        disk.crash_at = 0;
        disk.crashed = false;
        st = read_back(&disk.disk, "out", &found, &err);
        if (st == MR_OK) {
            MR_EXPECT(memcmp(&found, &rig.state, sizeof found) == 0);
            whole++;
        } else {
            MR_EXPECT(st == MR_E_CORRUPT || st == MR_E_NOT_FOUND);
            MR_EXPECT_CONTAINS(err.text, st == MR_E_CORRUPT ? "unfinished" : "no savepoint");
            MR_EXPECT(wrote != MR_OK);
            refused++;
        }
        fault_disk_fini(&disk);
        rig_fini(&rig);
        if (wrote == MR_OK) break;
    }
    MR_EXPECT(whole > 0 && refused > 15);
}

MR_TEST(savepoint_write, when_a_request_fails_then_that_is_said_and_the_files_are_removed)
{
    enum mr_status st = MR_E_IO;

    for (uint64_t at = 1; st != MR_OK; at++) {
        static struct fault_disk disk;
        struct mr_error err;

        live(3);
        fault_disk_init(&disk, at);
        disk.fail_at = at;
        disk.fail_status = at % 2 == 0 ? MR_E_NO_SPACE : MR_E_IO;
        st = copy_seals(&disk.disk, "out", &err);
        if (disk.requests < at) MR_EXPECT_EQ_INT(st, MR_OK);
        if (st != MR_OK) MR_EXPECT_EQ_UINT(files_in(&disk, "out"), 0);
        fault_disk_fini(&disk);
        rig_fini(&rig);
    }
}

MR_TEST(savepoint_write, a_directory_with_anything_in_it_is_refused_and_left_alone)
{
    struct mr_error err;

    live(2);
    fault_disk_put(&rig.disk, "out/letter.txt", "dear", 4);
    MR_EXPECT_STATUS(copy_log(&rig.disk.disk, "out", &err), MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "letter.txt");
    MR_EXPECT_EQ_UINT(files_in(&rig.disk, "out"), 1);
    MR_EXPECT_OK(copy_log(&rig.disk.disk, "new", &err), &err);
    MR_EXPECT_STATUS(copy_log(&rig.disk.disk, "new", &err), MR_E_INVALID);
    expect_state(&rig.disk.disk, "new");
    rig_fini(&rig);
}

MR_TEST(savepoint_write, sorted_entries_that_are_not_sorted_are_refused)
{
    struct mr_savepoint_options options;
    struct mr_savepoint_writer *writer;
    struct mr_entry entry;
    char key_bytes[8];
    struct mr_error err;

    rig_init(&rig, 1);
    options = options_of(&rig.disk.disk, "out", true);
    MR_EXPECT_OK(mr_savepoint_begin(mr_test_heap(), &options, &writer, &err), &err);
    rig_entry(&entry, MR_ENTRY_PUT, 5, key_bytes, 0);
    MR_EXPECT_OK(mr_savepoint_add(writer, "op", &entry, &err), &err);
    MR_EXPECT_STATUS(mr_savepoint_add(writer, "op", &entry, &err), MR_E_INVALID);
    entry.kind = MR_ENTRY_REMOVE;
    MR_EXPECT_STATUS(mr_savepoint_add(writer, "oz", &entry, &err), MR_E_INVALID);
    mr_savepoint_end(writer);
    rig_fini(&rig);
}

MR_TEST(savepoint_write, drops_remove_what_came_before_them_and_nothing_else)
{
    struct mr_savepoint_options options;
    struct mr_savepoint_writer *writer;
    struct rig_state found, expected = {0};
    struct mr_entry entry;
    char key_bytes[8], value[256];
    struct mr_error err;

    rig_init(&rig, 1);
    options = options_of(&rig.disk.disk, "out", false);
    MR_EXPECT_OK(mr_savepoint_begin(mr_test_heap(), &options, &writer, &err), &err);
    for (uint32_t key = 0; key < RIG_KEYS; key++) {
        rig_entry(&entry, MR_ENTRY_PUT, key, key_bytes, rig_ns(1));
        entry.value = (struct mr_bytes){value, rig_value(key + 1, value)};
        MR_EXPECT_OK(mr_savepoint_add(writer, "count", &entry, &err), &err);
        if (rig_instance(key) == 1) expected.cells[0][1][key] = key + 1;
    }
    rig_entry(&entry, MR_ENTRY_DROP, 0, key_bytes, rig_ns(1));
    entry.key = (struct mr_bytes){NULL, 0};
    MR_EXPECT_OK(mr_savepoint_add(writer, "count", &entry, &err), &err);
    rig_entry(&entry, MR_ENTRY_PUT, 2, key_bytes, rig_ns(1));
    entry.value = (struct mr_bytes){value, rig_value(9, value)};
    expected.cells[0][1][2] = 9;
    MR_EXPECT_OK(mr_savepoint_add(writer, "count", &entry, &err), &err);
    MR_EXPECT_OK(mr_savepoint_finish(writer, &err), &err);
    mr_savepoint_end(writer);
    MR_EXPECT_OK(read_back(&rig.disk.disk, "out", &found, &err), &err);
    MR_EXPECT(memcmp(&found, &expected, sizeof found) == 0);
    rig_fini(&rig);
}

MR_TEST(savepoint_write, an_empty_state_is_a_savepoint_too)
{
    struct rig_state found, none = {0};
    struct mr_error err;

    rig_init(&rig, 1);
    MR_EXPECT_OK(copy_seals(&rig.disk.disk, "out", &err), &err);
    MR_EXPECT_OK(read_back(&rig.disk.disk, "out", &found, &err), &err);
    MR_EXPECT(memcmp(&found, &none, sizeof found) == 0);
    rig_fini(&rig);
}
