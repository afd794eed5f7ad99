/* posix_sync_test.c - syncs that do not hold a worker up, and what is known of them later. */
#include "mr_test.h"
#include "port/posix/posix_internal.h"
#include "port/posix/posix_sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORKER  3u
#define WAIT_US (10 * MR_SECOND)

/* The device of these tests, in the place of the system's: it can be slow, and fail. */
static _Atomic bool gate_shut;
static _Atomic uint32_t begun;
static _Atomic int fail_code; /* of the next sync */

int fdatasync(int fd)
{
    int code;

    (void)atomic_fetch_add(&begun, 1);
    while (atomic_load(&gate_shut)) (void)usleep(500);
    code = atomic_exchange(&fail_code, 0);
    if (code == 0) return (int)syscall(SYS_fdatasync, fd);
    errno = code;
    return -1;
}

/* A parker that counts, over a real one. */
struct bell {
    struct mr_port port;
    struct mr_parker parker;
    _Atomic uint32_t rung;
    _Atomic uint32_t wrong;
};

static void bell_wake(void *self, uint32_t worker)
{
    struct bell *bell = self;

    if (worker != WORKER) (void)atomic_fetch_add(&bell->wrong, 1);
    (void)atomic_fetch_add(&bell->rung, 1);
    bell->port.parker.wake(bell->port.parker.self, worker);
}

static void bell_init(struct bell *bell)
{
    struct mr_error err;

    memset(bell, 0, sizeof *bell);
    MR_EXPECT_OK(mr_posix_port_init(&bell->port, (size_t)64 << 20, WORKER + 1, &err), &err);
    bell->parker = (struct mr_parker){.self = bell, .wake = bell_wake};
}

static void bell_fini(struct bell *bell)
{
    MR_EXPECT_EQ_UINT(atomic_load(&bell->wrong), 0);
    mr_posix_port_fini(&bell->port);
}

static void in_dir(char room[600], const char *name)
{
    (void)snprintf(room, 600, "%s/%s", mr_test_dir(), name);
}

static struct mr_disk *make_disk(const struct bell *bell)
{
    struct mr_disk *disk = mri_posix_disk_create(NULL, mr_test_heap());

    MR_EXPECT(disk != NULL);
    if (bell != NULL) mri_posix_disk_wakes(disk, &bell->parker, WORKER);
    return disk;
}

static uint32_t make_file(struct mr_disk *disk, const char *name)
{
    char path[600], text[] = "some bytes";
    struct mr_disk_request create = {.op = MR_DISK_CREATE, .path = path};
    struct mr_disk_request write = {.op = MR_DISK_WRITE, .data = text, .size_bytes = 10};
    struct mr_error err;

    in_dir(path, name);
    MR_EXPECT_OK(mr_disk_do(disk, &create, &err), &err);
    write.file = create.file;
    MR_EXPECT_OK(mr_disk_do(disk, &write, &err), &err);
    return create.file;
}

/* Polls when woken only, as a worker that has nothing else to do. */
static void wait_for(const struct bell *bell, struct mr_disk *disk, struct mr_disk_request *request)
{
    int64_t until_us = mri_posix_monotonic(NULL).us + WAIT_US;

    while (!request->done) {
        MR_EXPECT(mri_posix_monotonic(NULL).us < until_us);
        bell->port.parker.park(bell->port.parker.self, WORKER, WAIT_US);
        (void)disk->poll(disk);
    }
}

MR_TEST(posix_sync, the_worker_goes_on_during_a_sync_and_is_woken_after_it)
{
    struct bell bell;
    struct mr_disk *disk;
    struct mr_disk_request sync = {.op = MR_DISK_SYNC};
    struct mr_disk_request dir = {.op = MR_DISK_SYNC_DIRECTORY};

    bell_init(&bell);
    disk = make_disk(&bell);
    sync.file = make_file(disk, "x");
    dir.path = mr_test_dir();
    disk->submit(disk, &sync);
    MR_EXPECT(!sync.done); /* only a poll ends it, however fast the device is */
    disk->submit(disk, &dir);
    MR_EXPECT(!dir.done);
    wait_for(&bell, disk, &dir);
    MR_EXPECT(sync.done); /* in order */
    MR_EXPECT_EQ_INT(sync.status, MR_OK);
    MR_EXPECT_EQ_INT(dir.status, MR_OK);
    MR_EXPECT_EQ_UINT(atomic_load(&bell.rung), 2);
    MR_EXPECT_EQ_UINT(disk->poll(disk), 0);
    mri_posix_disk_destroy(NULL, disk);
    bell_fini(&bell);
}

MR_TEST(posix_sync, without_somebody_to_wake_a_sync_is_done_at_once)
{
    struct mr_disk *disk = make_disk(NULL);
    struct mr_disk_request sync = {.op = MR_DISK_SYNC, .file = make_file(disk, "x")};
    struct mr_disk_request dir = {.op = MR_DISK_SYNC_DIRECTORY, .path = mr_test_dir()};

    disk->submit(disk, &sync);
    MR_EXPECT(sync.done && sync.status == MR_OK);
    disk->submit(disk, &dir);
    MR_EXPECT(dir.done && dir.status == MR_OK);
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_sync, many_syncs_of_many_files_are_each_done_once)
{
    enum { FILES = 8, ROUNDS = 12 };
    struct bell bell;
    struct mr_disk *disk;
    struct mr_disk_request syncs[FILES];
    uint32_t files[FILES], finished = 0;
    int64_t until_us = mri_posix_monotonic(NULL).us + 6 * WAIT_US;

    bell_init(&bell);
    disk = make_disk(&bell);
    for (uint32_t i = 0; i < FILES; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "f%u", i);
        files[i] = make_file(disk, name);
    }
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < FILES; i++) {
            syncs[i] = (struct mr_disk_request){.op = MR_DISK_SYNC, .file = files[i]};
            disk->submit(disk, &syncs[i]);
        }
        while (finished < (round + 1) * FILES) {
            MR_EXPECT(mri_posix_monotonic(NULL).us < until_us);
            bell.port.parker.park(bell.port.parker.self, WORKER, WAIT_US);
            finished += disk->poll(disk);
        }
        for (uint32_t i = 0; i < FILES; i++) {
            MR_EXPECT(syncs[i].done);
            MR_EXPECT_EQ_INT(syncs[i].status, MR_OK);
        }
    }
    MR_EXPECT_EQ_UINT(finished, FILES * ROUNDS);
    mri_posix_disk_destroy(NULL, disk);
    bell_fini(&bell);
}

/* What is written, closed and opened meanwhile must not be mistaken for the file of the sync. */
MR_TEST(posix_sync, a_sync_that_was_given_up_is_not_answered_and_its_file_may_be_closed)
{
    struct bell bell;
    struct mr_disk *disk;
    struct mr_error err;

    bell_init(&bell);
    disk = make_disk(&bell);
    for (uint32_t i = 0; i < 20; i++) {
        struct mr_disk_request sync = {.op = MR_DISK_SYNC};
        struct mr_disk_request close = {.op = MR_DISK_CLOSE};
        char name[16];

        (void)snprintf(name, sizeof name, "f%u", i);
        sync.file = close.file = make_file(disk, name);
        disk->submit(disk, &sync);
        disk->cancel(disk, &sync);
        MR_EXPECT_OK(mr_disk_do(disk, &close, &err), &err);
        (void)disk->poll(disk);
        MR_EXPECT(!sync.done);
    }
    mri_posix_disk_destroy(NULL, disk); /* also with syncs under way: checked by the heap */
    bell_fini(&bell);
}

static void close_file(struct mr_disk *disk, uint32_t file)
{
    struct mr_disk_request close = {.op = MR_DISK_CLOSE, .file = file};
    struct mr_error err;

    MR_EXPECT_OK(mr_disk_do(disk, &close, &err), &err);
}

MR_TEST(posix_sync, while_the_device_is_slow_the_file_can_be_written_to)
{
    struct bell bell;
    struct mr_disk *disk;
    struct mr_disk_request sync = {.op = MR_DISK_SYNC};
    struct mr_disk_request write = {.op = MR_DISK_WRITE, .offset = 10, .size_bytes = 3};
    struct mr_error err;
    char text[] = "abc";

    bell_init(&bell);
    disk = make_disk(&bell);
    atomic_store(&begun, 0);
    atomic_store(&gate_shut, true);
    sync.file = write.file = make_file(disk, "x");
    write.data = text;
    disk->submit(disk, &sync);
    while (atomic_load(&begun) == 0) (void)usleep(500);
    MR_EXPECT_OK(mr_disk_do(disk, &write, &err), &err); /* polls too */
    MR_EXPECT_EQ_UINT(disk->poll(disk), 0);
    MR_EXPECT(!sync.done);
    atomic_store(&gate_shut, false);
    wait_for(&bell, disk, &sync);
    MR_EXPECT_EQ_INT(sync.status, MR_OK);
    mri_posix_disk_destroy(NULL, disk);
    bell_fini(&bell);
}

MR_TEST(posix_sync, a_failure_names_the_file)
{
    struct bell bell;
    struct mr_disk *disk;
    struct mr_disk_request sync = {.op = MR_DISK_SYNC};

    bell_init(&bell);
    disk = make_disk(&bell);
    sync.file = make_file(disk, "broken");
    atomic_store(&fail_code, EIO);
    disk->submit(disk, &sync);
    wait_for(&bell, disk, &sync);
    MR_EXPECT_EQ_INT(sync.status, MR_E_IO);
    MR_EXPECT_CONTAINS(sync.error.text, "cannot sync ");
    MR_EXPECT_CONTAINS(sync.error.text, "broken: the device reported");
    mri_posix_disk_destroy(NULL, disk);
    bell_fini(&bell);
}

/* The system reports a lost write once. If that was to a sync that was given up, the next one of
 * the same file must not look good; others have nothing to do with it. */
MR_TEST(posix_sync, the_failure_of_a_sync_that_was_given_up_reaches_the_next_of_its_file_only)
{
    struct bell bell;
    struct mr_disk *disk;
    struct mr_disk_request lost = {.op = MR_DISK_SYNC}, same = lost, other = lost, later = lost;
    uint32_t reused;

    bell_init(&bell);
    disk = make_disk(&bell);
    lost.file = same.file = later.file = make_file(disk, "x");
    other.file = make_file(disk, "y");
    atomic_store(&begun, 0);
    atomic_store(&gate_shut, true);
    atomic_store(&fail_code, EIO);
    disk->submit(disk, &lost);
    disk->submit(disk, &same); /* behind it */
    disk->submit(disk, &other);
    disk->cancel(disk, &lost);
    atomic_store(&gate_shut, false);
    wait_for(&bell, disk, &other);
    MR_EXPECT(!lost.done);
    MR_EXPECT(same.done);
    MR_EXPECT_EQ_INT(same.status, MR_E_IO);
    MR_EXPECT_EQ_INT(other.status, MR_OK);
    disk->submit(disk, &later);
    MR_EXPECT(later.done);
    MR_EXPECT_EQ_INT(later.status, MR_E_IO);

    close_file(disk, lost.file);
    reused = make_file(disk, "z");
    MR_EXPECT_EQ_UINT(reused, lost.file);
    later.file = reused;
    disk->submit(disk, &later);
    wait_for(&bell, disk, &later);
    MR_EXPECT_EQ_INT(later.status, MR_OK);
    mri_posix_disk_destroy(NULL, disk);
    bell_fini(&bell);
}

MR_TEST(posix_sync, the_failure_of_a_closed_file_is_not_that_of_the_next_one_with_its_number)
{
    struct bell bell;
    struct mr_disk *disk;
    struct mr_disk_request lost = {.op = MR_DISK_SYNC}, next = lost;

    bell_init(&bell);
    disk = make_disk(&bell);
    lost.file = make_file(disk, "x");
    atomic_store(&begun, 0);
    atomic_store(&gate_shut, true);
    atomic_store(&fail_code, EIO);
    disk->submit(disk, &lost);
    disk->cancel(disk, &lost);
    while (atomic_load(&begun) == 0) (void)usleep(500);
    close_file(disk, lost.file);
    next.file = make_file(disk, "y");
    MR_EXPECT_EQ_UINT(next.file, lost.file);
    disk->submit(disk, &next);
    atomic_store(&gate_shut, false);
    wait_for(&bell, disk, &next);
    MR_EXPECT_EQ_INT(next.status, MR_OK);
    mri_posix_disk_destroy(NULL, disk);
    bell_fini(&bell);
}

MR_TEST(posix_sync, what_is_not_there_is_told_at_once)
{
    struct bell bell;
    struct mr_disk *disk;
    struct mr_disk_request request = {.op = MR_DISK_SYNC, .file = 4000};
    struct mr_error err;

    bell_init(&bell);
    disk = make_disk(&bell);
    MR_EXPECT_STATUS(mr_disk_do(disk, &request, &err), MR_E_IO);
    request = (struct mr_disk_request){.op = MR_DISK_SYNC_DIRECTORY, .path = "/no/such/folder"};
    MR_EXPECT_STATUS(mr_disk_do(disk, &request, &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "cannot sync /no/such/folder");
    mri_posix_disk_destroy(NULL, disk);
    bell_fini(&bell);
}

MR_TEST(posix_sync, a_pipe_has_nothing_to_sync)
{
    struct bell bell;
    struct mr_disk *disk;
    char path[600];
    struct mr_disk_request output = {.op = MR_DISK_OPEN_OUTPUT, .path = path};
    struct mr_disk_request sync = {.op = MR_DISK_SYNC};
    struct mr_error err;
    int reader;

    bell_init(&bell);
    disk = make_disk(&bell);
    in_dir(path, "pipe");
    MR_EXPECT_EQ_INT(mkfifo(path, 0600), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    MR_EXPECT(reader >= 0);
    MR_EXPECT_OK(mr_disk_do(disk, &output, &err), &err);
    sync.file = output.file;
    disk->submit(disk, &sync);
    MR_EXPECT(sync.done && sync.status == MR_OK);
    MR_EXPECT_EQ_INT(close(reader), 0);
    mri_posix_disk_destroy(NULL, disk);
    bell_fini(&bell);
}

/* The thread works on descriptors: a closed one fails with EBADF, as a device would with EIO. */
MR_TEST(posix_sync, a_failure_comes_back_with_what_was_asked)
{
    struct bell bell;
    struct mri_syncer *syncer;
    struct mr_disk_request asked = {.op = MR_DISK_SYNC}, other = asked;
    struct mri_sync sync = {.request = &asked, .fd = 4000, .file = 7, .serial = 9};
    struct mri_sync given_up = {.request = &other, .fd = 4001, .file = 8, .serial = 10};

    bell_init(&bell);
    syncer = mri_syncer_create(mr_test_heap(), &bell.parker, WORKER);
    MR_EXPECT(syncer != NULL);
    MR_EXPECT(mri_syncer_put(syncer, &sync));
    MR_EXPECT(mri_syncer_put(syncer, &given_up));
    MR_EXPECT(mri_syncer_cancel(syncer, given_up.request));
    MR_EXPECT(!mri_syncer_cancel(syncer, given_up.request));
    while (atomic_load(&bell.rung) < 2) {
        bell.port.parker.park(bell.port.parker.self, WORKER, MR_SECOND);
    }
    MR_EXPECT(mri_syncer_take(syncer, &sync));
    MR_EXPECT(sync.request == &asked && sync.file == 7 && sync.serial == 9);
    MR_EXPECT_EQ_INT(sync.code, EBADF);
    MR_EXPECT(mri_syncer_take(syncer, &sync));
    MR_EXPECT(sync.request == NULL && sync.file == 8 && sync.serial == 10);
    MR_EXPECT_EQ_INT(sync.code, EBADF);
    MR_EXPECT(!mri_syncer_take(syncer, &sync));
    mri_syncer_destroy(syncer);
    bell_fini(&bell);
}

MR_TEST(posix_sync, where_only_the_process_may_fail_syncs_answer_at_once)
{
    struct bell bell;
    struct mr_port *port;
    struct mr_disk *disk;
    struct mr_disk_request sync = {.op = MR_DISK_SYNC};
    struct mr_disk_request dir = {.op = MR_DISK_SYNC_DIRECTORY, .path = "/no/such/folder"};
    struct mr_error err;

    bell_init(&bell);
    port = &bell.port;
    mr_posix_port_skip_syncs(port);
    disk = port->disk_create(port->self, port->heap);
    MR_EXPECT(disk != NULL);
    port->disk_wakes(port->self, disk, WORKER);
    sync.file = make_file(disk, "x");
    disk->submit(disk, &sync);
    MR_EXPECT(sync.done && sync.status == MR_OK);
    MR_EXPECT_STATUS(mr_disk_do(disk, &dir, &err), MR_E_NOT_FOUND);
    dir.path = mr_test_dir();
    MR_EXPECT_OK(mr_disk_do(disk, &dir, &err), &err);
    port->disk_destroy(port->self, disk);
    bell_fini(&bell);
}

/* Without memory for the thread's part a sync is done where it was asked for. */
MR_TEST(posix_sync, when_any_allocation_fails_then_the_sync_is_done_all_the_same)
{
    struct mr_heap *heap = mr_test_heap();
    struct bell bell;
    uint32_t round = 0;

    bell_init(&bell);
    MR_TORTURE(heap) {
        struct mr_disk *disk = mri_posix_disk_create(NULL, heap);
        char path[600], name[16];
        struct mr_disk_request create = {.op = MR_DISK_CREATE, .path = path};
        struct mr_disk_request sync = {.op = MR_DISK_SYNC};
        struct mr_error err;

        (void)snprintf(name, sizeof name, "r%u", round++);
        in_dir(path, name);
        if (disk != NULL) {
            mri_posix_disk_wakes(disk, &bell.parker, WORKER);
            if (mr_disk_do(disk, &create, &err) == MR_OK) {
                sync.file = create.file;
                MR_EXPECT_OK(mr_disk_do(disk, &sync, &err), &err);
            }
            mri_posix_disk_destroy(NULL, disk);
        }
    }
    bell_fini(&bell);
}
