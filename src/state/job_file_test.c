/* job_file_test.c - whose state it is: accepted, refused with reasons, whole after failures. */
#include "base/crc.h"
#include "fault_disk.h"
#include "mr_test.h"
#include "state/job_file.h"

#include <stdio.h>

#define LINES                                                        \
    MR_JOB_FILE_HEAD "name flights\ngroups 1024\n"                   \
                     "operator read source\n"                        \
                     "operator count aggregate count(*) by origin\n" \
                     "input read 0+100 a.csv\ninput read 0+200 b.csv\n"

static struct fault_disk disk;

static enum mr_status check(const char *lines, bool *out_new, struct mr_error *err)
{
    const struct mr_job_file_options options = {.dir = "d", .lines = lines};

    return mr_job_file_check(mr_test_heap(), &disk.disk, &options, out_new, err);
}

static enum mr_status write_lines(const char *lines, struct mr_error *err)
{
    const struct mr_job_file_options options = {.dir = "d", .lines = lines};

    return mr_job_file_write(mr_test_heap(), &disk.disk, &options, err);
}

/* A disk with a JOB of LINES. */
static void start(void)
{
    struct mr_error err;

    fault_disk_init(&disk, 1);
    MR_EXPECT_OK(write_lines(LINES, &err), &err);
}

static void expect_refused(const char *lines, const char *part)
{
    struct mr_error err;
    bool fresh = true;

    MR_EXPECT_STATUS(check(lines, &fresh, &err), MR_E_CHANGED);
    MR_EXPECT(!fresh);
    MR_EXPECT_CONTAINS(err.text, "d/JOB: ");
    MR_EXPECT_CONTAINS(err.text, part);
}

MR_TEST(job_file, what_was_written_is_accepted_again)
{
    struct mr_error err;
    bool fresh;

    fault_disk_init(&disk, 1);
    MR_EXPECT_OK(check(LINES, &fresh, &err), &err);
    MR_EXPECT(fresh);
    MR_EXPECT_OK(write_lines(LINES, &err), &err);
    MR_EXPECT_OK(check(LINES, &fresh, &err), &err);
    MR_EXPECT(!fresh);
    MR_EXPECT(fault_disk_find(&disk, "d/JOB.new") == NULL);
    fault_disk_fini(&disk);
}

MR_TEST(job_file, another_pipeline_is_refused_with_both_lists_of_operators)
{
    const char *other = MR_JOB_FILE_HEAD "name flights\ngroups 1024\n"
                                         "operator read source\n"
                                         "operator sum aggregate sum(delay) by origin\n"
                                         "input read 0+100 a.csv\ninput read 0+200 b.csv\n";

    start();
    expect_refused(other, "\n  stored:\n");
    expect_refused(other, "! count aggregate count(*) by origin\n");
    expect_refused(other, "\n  this pipeline:\n");
    expect_refused(other, "! sum aggregate sum(delay) by origin");
    fault_disk_fini(&disk);
}

MR_TEST(job_file, of_many_operators_both_sides_show_what_differs)
{
    char stored[4000] = MR_JOB_FILE_HEAD "groups 4\n", now[4000] = MR_JOB_FILE_HEAD "groups 4\n";
    struct mr_error err;

    for (int i = 0; i < 30; i++) {
        const char *by = i == 29 ? "destination" : "carrier";
        size_t left = sizeof stored - strlen(stored);

        (void)snprintf(stored + strlen(stored), left, "operator sum-%d aggregate sum(delay) by carrier\n", i);
        (void)snprintf(now + strlen(now), left, "operator sum-%d aggregate sum(delay) by %s\n", i, by);
    }
    fault_disk_init(&disk, 1);
    MR_EXPECT_OK(write_lines(stored, &err), &err);
    expect_refused(now, "! sum-29 aggregate sum(delay) by carrier\n");
    expect_refused(now, "! sum-29 aggregate sum(delay) by destination\n");
    fault_disk_fini(&disk);
}

MR_TEST(job_file, operators_may_differ_only_where_that_was_allowed)
{
    struct mr_job_file_options options = {.dir = "d", .allow_dropped = true};
    struct mr_error err;
    bool fresh;

    start();
    options.lines = MR_JOB_FILE_HEAD "name flights\ngroups 1024\noperator read source\n"
                                     "input read 0+100 a.csv\ninput read 0+200 b.csv\n";
    expect_refused(options.lines, "another pipeline");
    MR_EXPECT_OK(mr_job_file_check(mr_test_heap(), &disk.disk, &options, &fresh, &err), &err);
    options.lines = MR_JOB_FILE_HEAD "name flights\ngroups 1024\noperator read source\n"
                                     "input read 0+100 a.csv\n";
    MR_EXPECT_STATUS(mr_job_file_check(mr_test_heap(), &disk.disk, &options, &fresh, &err),
                     MR_E_CHANGED); /* inputs not */
    fault_disk_fini(&disk);
}

MR_TEST(job_file, the_name_of_the_job_may_change_and_its_key_groups_not)
{
    struct mr_error err;
    bool fresh;

    start();
    MR_EXPECT_OK(check(MR_JOB_FILE_HEAD "name other\ngroups 1024\noperator read source\n"
                                        "operator count aggregate count(*) by origin\n"
                                        "input read 0+100 a.csv\ninput read 0+200 b.csv\n",
                       &fresh, &err),
                 &err);
    expect_refused(MR_JOB_FILE_HEAD "name flights\ngroups 128\noperator read source\n"
                                    "operator count aggregate count(*) by origin\n"
                                    "input read 0+100 a.csv\ninput read 0+200 b.csv\n",
                   "key groups");
    fault_disk_fini(&disk);
}

MR_TEST(job_file, an_input_that_is_missing_new_or_of_another_size_is_refused_by_name)
{
    const char *head = MR_JOB_FILE_HEAD "name flights\ngroups 1024\noperator read source\n"
                                        "operator count aggregate count(*) by origin\n";
    char lines[512];

    start();
    (void)snprintf(lines, sizeof lines, "%sinput read 0+100 a.csv\n", head);
    expect_refused(lines, "b.csv is missing");
    (void)snprintf(lines, sizeof lines, "%sinput read 0+100 a.csv\ninput read 0+201 b.csv\n", head);
    expect_refused(lines, "0+200 b.csv");
    (void)snprintf(lines, sizeof lines,
                   "%sinput read 0+100 a.csv\ninput read 0+200 b.csv\ninput read 0+1 c.csv\n",
                   head);
    expect_refused(lines, "c.csv is new");
    fault_disk_fini(&disk);
}

/* A file that is not whole says nothing about the state beside it, neither yes nor no. */
MR_TEST(job_file, any_changed_byte_and_any_cut_is_refused)
{
    struct fault_inode *inode;
    struct mr_error err;
    size_t size;
    bool fresh;

    start();
    inode = fault_disk_find(&disk, "d/JOB");
    size = inode->size_bytes;
    for (size_t i = 0; i < size; i++) {
        for (uint32_t bit = 0; bit < 8; bit++) {
            inode->data[i] = (char)(inode->data[i] ^ (char)(1u << bit));
            MR_EXPECT_STATUS(check(LINES, &fresh, &err), MR_E_CORRUPT);
            MR_EXPECT_CONTAINS(err.text, "d/JOB: ");
            inode->data[i] = (char)(inode->data[i] ^ (char)(1u << bit));
        }
    }
    for (size_t cut = 0; cut < size; cut++) {
        inode->size_bytes = cut;
        MR_EXPECT_STATUS(check(LINES, &fresh, &err), MR_E_CORRUPT);
        MR_EXPECT(!fresh);
    }
    inode->size_bytes = size;
    MR_EXPECT_OK(check(LINES, &fresh, &err), &err);
    fault_disk_fini(&disk);
}

MR_TEST(job_file, a_newer_version_is_told_from_a_damaged_file)
{
    const char *lines = "millrace job 2\nname flights\nwhatever comes then\n";
    struct mr_error err;
    char text[128];
    bool fresh;

    fault_disk_init(&disk, 1);
    (void)snprintf(text, sizeof text, "%send %08x\n", lines, mr_crc32c(0, lines, strlen(lines)));
    fault_disk_put(&disk, "d/JOB", text, strlen(text));
    MR_EXPECT_STATUS(check(LINES, &fresh, &err), MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(err.text, "newer");
    fault_disk_fini(&disk);
}

/* Whatever stops the write, there is no JOB or a whole one, and the next run can go on. */
static void stop_write_at(uint64_t request, uint64_t seed, bool power, bool *out_crashed)
{
    struct mr_error err;
    enum mr_status st;
    bool fresh;

    fault_disk_init(&disk, seed);
    disk.torn = disk.garbage = power;
    disk.short_transfers = true;
    disk.crash_at = request;
    st = write_lines(LINES, &err);
    *out_crashed = disk.crashed;
    MR_EXPECT(disk.crashed || st == MR_OK);
    disk.crash_at = 0;
    if (power) {
        fault_disk_crash(&disk, seed);
    } else {
        fault_disk_kill(&disk);
    }
    MR_EXPECT_OK(check(LINES, &fresh, &err), &err);
    MR_EXPECT(*out_crashed || !fresh);
    if (fresh) MR_EXPECT_OK(write_lines(LINES, &err), &err);
    MR_EXPECT_OK(check(LINES, &fresh, &err), &err);
    MR_EXPECT(!fresh);
    fault_disk_fini(&disk);
}

MR_TEST(job_file, after_a_crash_at_any_request_it_is_whole_or_not_there)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        for (uint32_t power = 0; power < 2; power++) {
            bool crashed = true;

            for (uint64_t at = 1; crashed; at++) {
                MR_EXPECT(at < 1000);
                stop_write_at(at, seed, power == 1, &crashed);
            }
        }
    }
}

MR_TEST(job_file, when_any_request_fails_then_that_is_told_and_the_next_try_succeeds)
{
    bool failed = true;

    for (uint64_t at = 1; failed; at++) {
        struct mr_error err;
        enum mr_status st;
        bool fresh;

        MR_EXPECT(at < 100);
        fault_disk_init(&disk, 1);
        disk.fail_at = at;
        disk.fail_status = MR_E_IO;
        st = write_lines(LINES, &err);
        failed = disk.requests >= at;
        disk.fail_at = 0;
        /* the first request clears the way, closing tells nothing new */
        MR_EXPECT(st == MR_OK || st == MR_E_IO);
        if (st == MR_OK) MR_EXPECT_OK(check(LINES, &fresh, &err), &err);
        MR_EXPECT_OK(write_lines(LINES, &err), &err);
        MR_EXPECT_OK(check(LINES, &fresh, &err), &err);
        MR_EXPECT(!fresh);
        fault_disk_fini(&disk);
    }
}

MR_TEST(job_file, when_any_allocation_fails_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_error err;
        enum mr_status st;
        bool fresh = false;

        fault_disk_init(&disk, 1);
        st = write_lines(LINES, &err);
        if (st == MR_OK) st = check(LINES, &fresh, &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        MR_EXPECT(!fresh);
        fault_disk_fini(&disk);
    }
}
