/* holder_test.c - one process at a time in a state directory, and what is said to the second. */
#include "fault_disk.h"
#include "mr_test.h"
#include "port/posix/posix_internal.h"
#include "state/holder.h"
#include "state/manifest.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct mr_process_id me = {.pid = 4711, .started_us = 42 * MR_SECOND};
static const struct mr_process_id you = {.pid = 815, .started_us = 43 * MR_SECOND};

static void in_dir(char room[600], const char *name)
{
    (void)snprintf(room, 600, "%s/%s", mr_test_dir(), name);
}

static void put_file(const char *name, const char *text)
{
    char path[600];
    FILE *file;

    in_dir(path, name);
    file = fopen(path, "w");
    MR_EXPECT(file != NULL);
    MR_EXPECT(fputs(text, file) >= 0);
    MR_EXPECT_EQ_INT(fclose(file), 0);
}

static bool is_there(const char *name)
{
    char path[600];

    in_dir(path, name);
    return access(path, F_OK) == 0;
}

static struct mr_disk *make_disk(void)
{
    struct mr_disk *disk = mri_posix_disk_create(NULL, mr_test_heap());

    MR_EXPECT(disk != NULL);
    return disk;
}

static enum mr_status take(struct mr_holder *holder, struct mr_disk *disk, const char *dir,
                           const struct mr_process_id *self, struct mr_process_id *out_other,
                           struct mr_error *err)
{
    return mr_holder_take(holder, mr_test_heap(), disk, dir, self, out_other, err);
}

MR_TEST(holder, the_second_one_is_told_who_has_the_directory)
{
    struct mr_disk *first = make_disk(), *second = make_disk();
    struct mr_holder mine, yours;
    struct mr_process_id other;
    struct mr_error err;
    char dir[600];

    in_dir(dir, "state"); /* made */
    MR_EXPECT_OK(take(&mine, first, dir, &me, &other, &err), &err);
    MR_EXPECT_EQ_UINT(other.pid, 0);
    MR_EXPECT_STATUS(take(&yours, second, dir, &you, &other, &err), MR_E_BUSY);
    MR_EXPECT_EQ_UINT(other.pid, me.pid);
    MR_EXPECT_EQ_INT(other.started_us, me.started_us);
    MR_EXPECT_CONTAINS(err.text, "process 4711 ");
    MR_EXPECT_CONTAINS(err.text, "--takeover");
    MR_EXPECT_EQ_UINT(yours.file, MR_FILE_NONE);
    mr_holder_release(&yours); /* nothing */
    mr_holder_release(&mine);
    MR_EXPECT_OK(take(&yours, second, dir, &you, &other, &err), &err);
    MR_EXPECT_STATUS(take(&mine, first, dir, &me, &other, &err), MR_E_BUSY);
    MR_EXPECT_EQ_UINT(other.pid, you.pid); /* written over what was there */
    mr_holder_release(&yours);
    mri_posix_disk_destroy(NULL, second);
    mri_posix_disk_destroy(NULL, first);
}

MR_TEST(holder, a_holder_that_did_not_write_yet_is_not_known)
{
    struct mr_disk *first = make_disk(), *second = make_disk();
    struct mr_disk_request lock = {.op = MR_DISK_LOCK};
    struct mr_holder holder;
    struct mr_process_id other = you;
    struct mr_error err;
    char path[600];

    in_dir(path, "LOCK");
    lock.path = path;
    MR_EXPECT_OK(mr_disk_do(first, &lock, &err), &err);
    MR_EXPECT_STATUS(take(&holder, second, mr_test_dir(), &me, &other, &err), MR_E_BUSY);
    MR_EXPECT_EQ_UINT(other.pid, 0);
    MR_EXPECT_CONTAINS(err.text, "another process");
    put_file("LOCK", "not one of ours, but locked: what it says is not believed");
    MR_EXPECT_STATUS(take(&holder, second, mr_test_dir(), &me, &other, &err), MR_E_BUSY);
    MR_EXPECT_EQ_UINT(other.pid, 0);
    mri_posix_disk_destroy(NULL, second);
    mri_posix_disk_destroy(NULL, first);
}

MR_TEST(holder, a_directory_that_cannot_be_made_is_told)
{
    struct mr_disk *disk = make_disk();
    struct mr_holder holder;
    struct mr_process_id other;
    struct mr_error err;
    char dir[600];

    put_file("file", "");
    in_dir(dir, "file");
    MR_EXPECT(take(&holder, disk, dir, &me, &other, &err) != MR_OK);
    MR_EXPECT_CONTAINS(err.text, dir);
    MR_EXPECT_EQ_UINT(holder.file, MR_FILE_NONE);
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(holder, clearing_removes_what_a_job_keeps_and_nothing_else)
{
    static const char *const gone[] = {"JOB",      "JOB.new",  "META",       "META.new", "CRASH",
                                       "base-1-1", "run-2-33", "manifest-1-1", "seg-1-1.log"};
    static const char *const kept[] = {"LOCK", "notes.txt", "seg-1-1.log.bak", "base-01-1"};
    struct mr_disk *disk = make_disk();
    struct mr_holder holder;
    struct mr_process_id other;
    struct mr_error err;

    MR_EXPECT_OK(take(&holder, disk, mr_test_dir(), &me, &other, &err), &err);
    for (size_t i = 0; i < MR_COUNT(gone); i++) put_file(gone[i], "x");
    for (size_t i = 1; i < MR_COUNT(kept); i++) put_file(kept[i], "x");
    MR_EXPECT_OK(mr_holder_clear(&holder, mr_test_heap(), mr_test_dir(), &err), &err);
    for (size_t i = 0; i < MR_COUNT(gone); i++) MR_EXPECT(!is_there(gone[i]));
    for (size_t i = 0; i < MR_COUNT(kept); i++) MR_EXPECT(is_there(kept[i]));
    MR_EXPECT_OK(mr_holder_clear(&holder, mr_test_heap(), mr_test_dir(), &err), &err); /* again */
    mr_holder_release(&holder);
    mri_posix_disk_destroy(NULL, disk);
}

/* What is left of a directory that is being cleared must not look like a state that goes on. */
MR_TEST(holder, a_crash_while_clearing_never_leaves_the_state_without_its_job)
{
    static struct fault_disk disk;

    for (uint64_t seed = 0; seed < 20; seed++) { /* 0: the process dies, else the machine */
        bool crashed = true;

        for (uint64_t at = 1; crashed; at++) {
            struct mr_holder holder = {.disk = &disk.disk, .file = MR_FILE_NONE};
            struct mr_error err;

            fault_disk_init(&disk, seed + 1);
            fault_disk_put(&disk, "d/JOB", "x", 1);
            fault_disk_put(&disk, "d/META", "x", 1);
            fault_disk_put(&disk, "d/seg-1-1.log", "x", 1);
            disk.crash_at = at;
            (void)!mr_holder_clear(&holder, mr_test_heap(), "d", &err);
            crashed = disk.crashed;
            if (seed == 0) fault_disk_kill(&disk);
            if (seed != 0) fault_disk_crash(&disk, seed);
            if (fault_disk_find(&disk, "d/META") != NULL) {
                MR_EXPECT(fault_disk_find(&disk, "d/JOB") != NULL);
                MR_EXPECT(fault_disk_find(&disk, "d/seg-1-1.log") != NULL);
            }
            fault_disk_fini(&disk);
        }
    }
}

MR_TEST(holder, when_any_allocation_fails_then_the_directory_is_not_held)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_disk *disk = mri_posix_disk_create(NULL, heap);
        struct mr_holder holder;
        struct mr_process_id other;
        struct mr_error err;

        if (disk == NULL) {
            MR_EXPECT(mr_test_refused(heap));
        } else {
            enum mr_status st = take(&holder, disk, mr_test_dir(), &me, &other, &err);

            MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
            if (st != MR_OK) MR_EXPECT_EQ_UINT(holder.file, MR_FILE_NONE);
            mr_holder_release(&holder);
            mri_posix_disk_destroy(NULL, disk);
        }
    }
}
