/* posix_process_test.c - locks between processes, and the end of one that is in the way. */
#include "mr_test.h"
#include "port/posix/posix_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_US     (20 * MR_SECOND)
#define HEAVY_BYTES ((size_t)256 << 20)

static void in_dir(char room[600], const char *name)
{
    (void)snprintf(room, 600, "%s/%s", mr_test_dir(), name);
}

static struct mr_disk *make_disk(void)
{
    struct mr_disk *disk = mri_posix_disk_create(NULL, mr_test_heap());

    MR_EXPECT(disk != NULL);
    return disk;
}

static enum mr_status lock(struct mr_disk *disk, const char *path, uint32_t *out_file,
                           struct mr_error *err)
{
    struct mr_disk_request request = {.op = MR_DISK_LOCK, .path = path};
    enum mr_status st = mr_disk_do(disk, &request, err);

    *out_file = st == MR_OK ? request.file : MR_FILE_NONE;
    return st;
}

static void close_file(struct mr_disk *disk, uint32_t file)
{
    struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = file};
    struct mr_error err;

    MR_EXPECT_OK(mr_disk_do(disk, &request, &err), &err);
}

/* A child that holds the lock of `path` (NULL: none) until it is killed; tells its start. */
struct child {
    pid_t pid;
    int64_t started_us;
};

/* The child makes no use of the test's heap and expectations: it has a copy of both. */
static void child_main(const char *path, int tell)
{
    struct mr_port port;
    struct mr_error err;
    int64_t started_us = mr_posix_started_us();
    uint32_t file = MR_FILE_NONE;

    if (mr_posix_port_init(&port, (size_t)1 << 20, 1, &err) != MR_OK) _exit(3);
    if (path != NULL) {
        struct mr_disk *disk = port.disk_create(port.self, port.heap);

        if (disk == NULL || lock(disk, path, &file, &err) != MR_OK) _exit(4);
    }
    /* Memory goes before files do: so the lock is held for a while after the kill. */
    if (path != NULL) {
        void *heavy =
            mmap(NULL, HEAVY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (heavy != MAP_FAILED) memset(heavy, 1, HEAVY_BYTES);
    }
    if (write(tell, &started_us, sizeof started_us) != (ssize_t)sizeof started_us) _exit(5);
    for (;;) (void)pause();
}

static struct child start_child(const char *path)
{
    struct child child;
    int ends[2];

    MR_EXPECT_EQ_INT(pipe(ends), 0);
    child.pid = fork();
    MR_EXPECT(child.pid >= 0);
    if (child.pid == 0) child_main(path, ends[1]);
    MR_EXPECT_EQ_INT(close(ends[1]), 0);
    MR_EXPECT_EQ_INT(read(ends[0], &child.started_us, sizeof child.started_us),
                     (ssize_t)sizeof child.started_us);
    MR_EXPECT_EQ_INT(close(ends[0]), 0);
    return child;
}

static int reap(const struct child *child)
{
    int how = 0;

    MR_EXPECT_EQ_INT(waitpid(child->pid, &how, 0), child->pid);
    return how;
}

static bool is_alive(const struct child *child)
{
    return waitpid(child->pid, NULL, WNOHANG) == 0;
}

MR_TEST(posix_process, a_locked_file_is_refused_until_it_is_closed)
{
    struct mr_disk *first = make_disk();
    struct mr_disk *second = make_disk();
    struct mr_error err;
    uint32_t held, file;
    char path[600];

    in_dir(path, "LOCK");
    MR_EXPECT_OK(lock(first, path, &held, &err), &err);
    MR_EXPECT_STATUS(lock(second, path, &file, &err), MR_E_BUSY);
    MR_EXPECT_CONTAINS(err.text, path);
    MR_EXPECT_STATUS(lock(first, path, &file, &err), MR_E_BUSY); /* nor twice by one */
    close_file(first, held);
    MR_EXPECT_OK(lock(second, path, &file, &err), &err);
    mri_posix_disk_destroy(NULL, second); /* ends the lock as well */
    MR_EXPECT_OK(lock(first, path, &held, &err), &err);
    mri_posix_disk_destroy(NULL, first);
}

MR_TEST(posix_process, the_holder_of_a_lock_can_read_and_write_the_file)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request write = {.op = MR_DISK_WRITE, .size_bytes = 3};
    struct mr_disk_request read = {.op = MR_DISK_READ, .offset = 1, .size_bytes = 8};
    char path[600], text[] = "abc", data[8];
    struct mr_error err;
    uint32_t file;

    in_dir(path, "LOCK");
    MR_EXPECT_OK(lock(disk, path, &file, &err), &err);
    write.file = read.file = file;
    write.data = text;
    read.data = data;
    MR_EXPECT_OK(mr_disk_do(disk, &write, &err), &err);
    MR_EXPECT_OK(mr_disk_do(disk, &read, &err), &err);
    MR_EXPECT_EQ_TEXT(data, read.done_bytes, "bc");
    close_file(disk, file);
    MR_EXPECT_OK(lock(disk, path, &file, &err), &err); /* what is in it stays */
    MR_EXPECT_OK(mr_disk_do(disk, &read, &err), &err);
    MR_EXPECT_EQ_TEXT(data, read.done_bytes, "bc");
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_process, a_lock_that_is_a_link_or_lies_nowhere_is_refused)
{
    struct mr_disk *disk = make_disk();
    char path[600], other[600];
    struct mr_error err;
    uint32_t file;

    in_dir(path, "LOCK");
    in_dir(other, "elsewhere");
    MR_EXPECT_EQ_INT(symlink("elsewhere", path), 0);
    MR_EXPECT(lock(disk, path, &file, &err) != MR_OK);
    MR_EXPECT_CONTAINS(err.text, "cannot lock ");
    MR_EXPECT(access(other, F_OK) != 0);
    MR_EXPECT_STATUS(lock(disk, "/no/such/folder/LOCK", &file, &err), MR_E_NOT_FOUND);
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_process, a_stopped_process_keeps_its_lock_and_a_killed_one_loses_it)
{
    struct mr_disk *disk = make_disk();
    struct mr_error err;
    struct child child;
    char path[600];
    uint32_t file;
    int how;

    in_dir(path, "LOCK");
    child = start_child(path);
    MR_EXPECT_STATUS(lock(disk, path, &file, &err), MR_E_BUSY);
    MR_EXPECT_EQ_INT(kill(child.pid, SIGSTOP), 0);
    MR_EXPECT_EQ_INT(waitpid(child.pid, &how, WUNTRACED), child.pid);
    MR_EXPECT(WIFSTOPPED(how));
    MR_EXPECT_STATUS(lock(disk, path, &file, &err), MR_E_BUSY);
    MR_EXPECT_OK(mr_posix_end_process((uint64_t)child.pid, child.started_us, WAIT_US, &err), &err);
    MR_EXPECT_OK(lock(disk, path, &file, &err), &err); /* at once: the end was waited for */
    how = reap(&child);
    MR_EXPECT(WIFSIGNALED(how) && WTERMSIG(how) == SIGKILL);
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_process, a_later_process_with_the_same_number_is_left_alone)
{
    struct child child = start_child(NULL);
    struct mr_error err;

    MR_EXPECT_OK(
        mr_posix_end_process((uint64_t)child.pid, child.started_us - MR_SECOND, WAIT_US, &err),
        &err);
    MR_EXPECT(is_alive(&child));
    MR_EXPECT_OK(mr_posix_end_process((uint64_t)child.pid, child.started_us, WAIT_US, &err), &err);
    (void)reap(&child);
    /* Its number is free, or somebody else's: not ours to end either way. */
    MR_EXPECT_OK(mr_posix_end_process((uint64_t)child.pid, child.started_us, WAIT_US, &err), &err);
}

MR_TEST(posix_process, a_process_does_not_end_itself_nor_everybody)
{
    struct mr_error err;

    MR_EXPECT_STATUS(mr_posix_end_process(mr_posix_pid(), mr_posix_started_us(), WAIT_US, &err),
                     MR_E_BUSY);
    MR_EXPECT_STATUS(mr_posix_end_process(0, 0, WAIT_US, &err), MR_E_INVALID);
    MR_EXPECT_STATUS(mr_posix_end_process(UINT64_MAX, 0, WAIT_US, &err), MR_E_INVALID);
    MR_EXPECT_STATUS(mr_posix_end_process((UINT64_C(1) << 32) + 1, 0, WAIT_US, &err), MR_E_INVALID);
}

MR_TEST(posix_process, the_start_of_a_process_does_not_change_and_lies_in_the_past)
{
    int64_t first = mr_posix_started_us();
    struct child child = start_child(NULL);
    struct mr_error err;

    MR_EXPECT(first > 0);
    MR_EXPECT_EQ_INT(mr_posix_started_us(), first);
    MR_EXPECT(child.started_us >= first);
    MR_EXPECT_EQ_UINT(mr_posix_pid(), (uint64_t)getpid());
    MR_EXPECT_OK(mr_posix_end_process((uint64_t)child.pid, child.started_us, WAIT_US, &err), &err);
    (void)reap(&child);
}
