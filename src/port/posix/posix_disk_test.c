/* posix_disk_test.c - files, pipes and directories of this machine through the disk interface. */
#include "mr_test.h"
#include "port/posix/posix_internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char path_room[4][600];

/* A path in the test's folder; valid until four calls later. */
static const char *in_dir(const char *name)
{
    static uint32_t next;
    char *room = path_room[next++ % 4];

    (void)snprintf(room, sizeof path_room[0], "%s/%s", mr_test_dir(), name);
    return room;
}

static void make_file(const char *name, const char *text)
{
    FILE *file = fopen(in_dir(name), "w");

    MR_EXPECT(file != NULL);
    MR_EXPECT(fputs(text, file) >= 0);
    MR_EXPECT_EQ_INT(fclose(file), 0);
}

static int open_file(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC);
}

static struct mr_disk *make_disk(void)
{
    struct mr_disk *disk = mri_posix_disk_create(NULL, mr_test_heap());

    MR_EXPECT(disk != NULL);
    return disk;
}

static struct mr_disk_request done(struct mr_disk *disk, struct mr_disk_request request)
{
    struct mr_error err;

    MR_EXPECT_OK(mr_disk_do(disk, &request, &err), &err);
    return request;
}

MR_TEST(posix_disk, files_are_read_at_positions_and_end_with_zero_bytes)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request open, read;
    char data[10];

    make_file("x", "hello");
    open = done(disk, (struct mr_disk_request){.op = MR_DISK_OPEN_READ, .path = in_dir("x")});
    MR_EXPECT_EQ_INT(open.info.kind, MR_FILE_REGULAR);
    MR_EXPECT_EQ_UINT(open.info.size_bytes, 5);
    read = done(disk, (struct mr_disk_request){.op = MR_DISK_READ,
                                               .file = open.file,
                                               .offset = 3,
                                               .data = data,
                                               .size_bytes = sizeof data});
    MR_EXPECT_EQ_TEXT(data, read.done_bytes, "lo");
    read = done(disk, (struct mr_disk_request){.op = MR_DISK_READ,
                                               .file = open.file,
                                               .offset = 5,
                                               .data = data,
                                               .size_bytes = sizeof data});
    MR_EXPECT_EQ_UINT(read.done_bytes, 0);
    (void)done(disk, (struct mr_disk_request){.op = MR_DISK_CLOSE, .file = open.file});
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_disk, a_file_is_created_once_written_synced_renamed_and_removed)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request create, again, info;
    struct mr_error err;
    const char *from = in_dir("new");
    const char *to = in_dir("final");

    create = done(disk, (struct mr_disk_request){.op = MR_DISK_CREATE, .path = from});
    again = (struct mr_disk_request){.op = MR_DISK_CREATE, .path = from};
    MR_EXPECT_STATUS(mr_disk_do(disk, &again, &err), MR_E_ACCESS);
    MR_EXPECT_CONTAINS(err.text, "it exists already");
    for (int i = 0; i < 2; i++) {
        char text[] = "abc";

        (void)done(disk, (struct mr_disk_request){.op = MR_DISK_WRITE,
                                                  .file = create.file,
                                                  .offset = MR_OFFSET_APPEND,
                                                  .data = text,
                                                  .size_bytes = 3});
    }
    (void)done(disk, (struct mr_disk_request){.op = MR_DISK_SYNC, .file = create.file});
    (void)done(disk, (struct mr_disk_request){.op = MR_DISK_CLOSE, .file = create.file});
    (void)done(disk, (struct mr_disk_request){.op = MR_DISK_RENAME, .path = from, .path_to = to});
    (void)done(disk, (struct mr_disk_request){.op = MR_DISK_SYNC_DIRECTORY, .path = mr_test_dir()});
    info = done(disk, (struct mr_disk_request){.op = MR_DISK_INFO, .path = to});
    MR_EXPECT_EQ_UINT(info.info.size_bytes, 6);
    (void)done(disk, (struct mr_disk_request){.op = MR_DISK_UNLINK, .path = to});
    info = (struct mr_disk_request){.op = MR_DISK_INFO, .path = to};
    MR_EXPECT_STATUS(mr_disk_do(disk, &info, &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "final: no such file or directory");
    mri_posix_disk_destroy(NULL, disk);
}

/* A program that was started with `2>&-` must not get a file in the place of standard error. */
MR_TEST(posix_disk, files_do_not_take_the_place_of_a_closed_standard_stream)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request open, create;
    int kept = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10);

    MR_EXPECT(kept >= 0);
    make_file("x", "hello");
    MR_EXPECT_EQ_INT(close(STDIN_FILENO), 0);
    open = done(disk, (struct mr_disk_request){.op = MR_DISK_OPEN_READ, .path = in_dir("x")});
    create = done(disk, (struct mr_disk_request){.op = MR_DISK_CREATE, .path = in_dir("y")});
    MR_EXPECT(open.file > MR_FILE_STDERR);
    MR_EXPECT(create.file > MR_FILE_STDERR);
    MR_EXPECT((fcntl((int)open.file, F_GETFD) & FD_CLOEXEC) != 0);
    mri_posix_disk_destroy(NULL, disk);
    MR_EXPECT_EQ_INT(dup2(kept, STDIN_FILENO), STDIN_FILENO);
    MR_EXPECT_EQ_INT(close(kept), 0);
}

MR_TEST(posix_disk, a_file_beyond_the_size_limit_is_an_error_and_no_signal)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request create, write;
    struct mr_error err;
    struct rlimit before, small;
    char text[] = "abcd";

    create = done(disk, (struct mr_disk_request){.op = MR_DISK_CREATE, .path = in_dir("big")});
    MR_EXPECT_EQ_INT(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){0, before.rlim_max};
    MR_EXPECT_EQ_INT(setrlimit(RLIMIT_FSIZE, &small), 0);
    write = (struct mr_disk_request){.op = MR_DISK_WRITE,
                                     .file = create.file,
                                     .offset = MR_OFFSET_APPEND,
                                     .data = text,
                                     .size_bytes = 4};
    MR_EXPECT_STATUS(mr_disk_do(disk, &write, &err), MR_E_NO_SPACE);
    MR_EXPECT_EQ_INT(setrlimit(RLIMIT_FSIZE, &before), 0);
    MR_EXPECT_CONTAINS(err.text, "the file would become larger than allowed");
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_disk, a_symbolic_link_is_told_from_what_it_leads_to)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request info;
    struct mr_error err;

    make_file("target", "hello");
    MR_EXPECT_EQ_INT(symlink("target", in_dir("link")), 0);
    MR_EXPECT_EQ_INT(symlink("nowhere", in_dir("dangling")), 0);
    info = done(disk, (struct mr_disk_request){.op = MR_DISK_INFO, .path = in_dir("target")});
    MR_EXPECT(!info.info.link);
    info = done(disk, (struct mr_disk_request){.op = MR_DISK_INFO, .path = in_dir("link")});
    MR_EXPECT(info.info.link);
    MR_EXPECT_EQ_UINT(info.info.size_bytes, 5);
    info = (struct mr_disk_request){.op = MR_DISK_INFO, .path = in_dir("dangling")};
    MR_EXPECT_STATUS(mr_disk_do(disk, &info, &err), MR_E_NOT_FOUND);
    MR_EXPECT(info.info.link);
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_disk, directories_are_made_and_listed_in_order)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request list;

    (void)done(disk, (struct mr_disk_request){.op = MR_DISK_MKDIR, .path = in_dir("d")});
    (void)done(disk, (struct mr_disk_request){.op = MR_DISK_MKDIR, .path = in_dir("d")});
    make_file("d/b", "");
    make_file("d/a", "");
    make_file("d/.c", "");
    list = done(disk, (struct mr_disk_request){.op = MR_DISK_LIST, .path = in_dir("d")});
    MR_EXPECT_EQ_UINT(list.name_count, 3);
    MR_EXPECT_EQ_STR(list.names[0], ".c");
    MR_EXPECT_EQ_STR(list.names[1], "a");
    MR_EXPECT_EQ_STR(list.names[2], "b");
    disk->names_free(disk, &list);
    mri_posix_disk_destroy(NULL, disk);
}

/* A reader of a pipe must not block its worker while the writer thinks. */
MR_TEST(posix_disk, an_empty_pipe_is_pending_until_bytes_come)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request open, read;
    char data[10];
    int writer;

    MR_EXPECT_EQ_INT(mkfifo(in_dir("pipe"), 0600), 0);
    open = done(disk, (struct mr_disk_request){.op = MR_DISK_OPEN_READ, .path = in_dir("pipe")});
    MR_EXPECT_EQ_INT(open.info.kind, MR_FILE_STREAM);
    read = (struct mr_disk_request){
        .op = MR_DISK_READ, .file = open.file, .data = data, .size_bytes = sizeof data};
    disk->submit(disk, &read);
    MR_EXPECT(!read.done);
    MR_EXPECT_EQ_UINT(disk->poll(disk), 0); /* no writer yet: not the end */
    writer = open_file(in_dir("pipe"), O_WRONLY);
    MR_EXPECT(writer >= 0);
    MR_EXPECT_EQ_UINT(disk->poll(disk), 0);
    MR_EXPECT_EQ_INT(write(writer, "xy", 2), 2);
    MR_EXPECT_EQ_UINT(disk->poll(disk), 1);
    MR_EXPECT(read.done);
    MR_EXPECT_EQ_TEXT(data, read.done_bytes, "xy");
    disk->submit(disk, &read);
    MR_EXPECT(!read.done);
    MR_EXPECT_EQ_INT(close(writer), 0);
    MR_EXPECT_EQ_UINT(disk->poll(disk), 1);
    MR_EXPECT_EQ_UINT(read.done_bytes, 0); /* now it is */
    disk->submit(disk, &read);
    disk->cancel(disk, &read);
    mri_posix_disk_destroy(NULL, disk);
}

static int make_full_pipe(struct mr_disk *disk, struct mr_disk_request *open, const char *path)
{
    int reader;

    MR_EXPECT_EQ_INT(mkfifo(path, 0600), 0);
    reader = open_file(path, O_RDONLY | O_NONBLOCK);
    MR_EXPECT(reader >= 0);
    *open = done(disk, (struct mr_disk_request){.op = MR_DISK_OPEN_OUTPUT, .path = path});
    return reader;
}

MR_TEST(posix_disk, a_full_pipe_is_pending_and_a_closed_one_is_told_without_a_signal)
{
    struct mr_disk *disk = make_disk();
    static char data[100000];
    struct mr_disk_request open, write;
    struct mr_error err;
    int reader = make_full_pipe(disk, &open, in_dir("pipe"));
    size_t written = 0;

    do {
        write = (struct mr_disk_request){.op = MR_DISK_WRITE,
                                         .file = open.file,
                                         .offset = MR_OFFSET_APPEND,
                                         .data = data,
                                         .size_bytes = sizeof data};
        disk->submit(disk, &write);
        if (write.done) written += write.done_bytes;
    } while (write.done && write.status == MR_OK);
    MR_EXPECT(!write.done);
    MR_EXPECT(written > 4096);
    MR_EXPECT_EQ_INT(read(reader, data, sizeof data), (ssize_t)MR_MIN(written, sizeof data));
    MR_EXPECT_EQ_UINT(disk->poll(disk), 1);
    MR_EXPECT_EQ_INT(write.status, MR_OK);
    MR_EXPECT_EQ_INT(close(reader), 0);
    MR_EXPECT_STATUS(mr_disk_do(disk, &write, &err), MR_E_CLOSED); /* and we are still here */
    MR_EXPECT_CONTAINS(err.text, "the reader closed the pipe");
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_disk, failures_name_path_and_cause_in_words)
{
    struct mr_disk *disk = make_disk();
    struct mr_error err;
    struct mr_disk_request request = {.op = MR_DISK_OPEN_READ, .path = "/no/such/file"};

    MR_EXPECT_STATUS(mr_disk_do(disk, &request, &err), MR_E_NOT_FOUND);
    MR_EXPECT_EQ_STR(err.text, "cannot open /no/such/file: no such file or directory");
    request = (struct mr_disk_request){.op = MR_DISK_MKDIR, .path = "/no/such/folder"};
    MR_EXPECT_STATUS(mr_disk_do(disk, &request, &err), MR_E_NOT_FOUND);
    request = (struct mr_disk_request){.op = MR_DISK_CLOSE, .file = 4000};
    MR_EXPECT_STATUS(mr_disk_do(disk, &request, &err), MR_E_IO);
    if (access("/dev/full", W_OK) == 0) {
        struct mr_disk_request open =
            done(disk, (struct mr_disk_request){.op = MR_DISK_OPEN_OUTPUT, .path = "/dev/full"});
        char byte = 'x';

        request = (struct mr_disk_request){.op = MR_DISK_WRITE,
                                           .file = open.file,
                                           .offset = MR_OFFSET_APPEND,
                                           .data = &byte,
                                           .size_bytes = 1};
        MR_EXPECT_STATUS(mr_disk_do(disk, &request, &err), MR_E_NO_SPACE);
        MR_EXPECT_EQ_STR(err.text, "cannot write /dev/full: no space left on the device");
    }
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_disk, a_replaced_file_has_another_identity)
{
    struct mr_disk *disk = make_disk();
    struct mr_disk_request first, second;

    make_file("x", "1");
    first = done(disk, (struct mr_disk_request){.op = MR_DISK_INFO, .path = in_dir("x")});
    make_file("y", "2");
    MR_EXPECT_EQ_INT(rename(in_dir("y"), in_dir("x")), 0);
    second = done(disk, (struct mr_disk_request){.op = MR_DISK_INFO, .path = in_dir("x")});
    MR_EXPECT(first.info.identity != second.info.identity);
    mri_posix_disk_destroy(NULL, disk);
}

MR_TEST(posix_disk, when_any_allocation_fails_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();

    make_file("x", "1");
    MR_TORTURE(heap) {
        struct mr_disk *disk = mri_posix_disk_create(NULL, heap);
        struct mr_error err;

        if (disk == NULL) {
            MR_EXPECT(mr_test_refused(heap));
        } else {
            struct mr_disk_request open = {.op = MR_DISK_OPEN_READ, .path = in_dir("x")};
            struct mr_disk_request list = {.op = MR_DISK_LIST, .path = mr_test_dir()};
            enum mr_status st = mr_disk_do(disk, &open, &err);

            if (st == MR_OK) st = mr_disk_do(disk, &list, &err);
            MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
            if (list.names != NULL) disk->names_free(disk, &list);
            mri_posix_disk_destroy(NULL, disk);
        }
    }
}
