/* log_io_test.c - operations happen in order, wholly, and stop at a failure; a reader yields what
 * was written whatever pieces the disk gives. */
#include "fault_disk.h"
#include "mr_test.h"
#include "state/log_io.h"

static struct fault_disk disk;
static struct mri_queue queue;
static struct mri_file file;

static void begin(uint64_t seed)
{
    fault_disk_init(&disk, seed);
    mri_queue_init(&queue, mr_test_heap(), &disk.disk);
    file = (struct mri_file){0};
}

static void end(void)
{
    mri_queue_fini(&queue);
    fault_disk_fini(&disk);
}

static bool put_create(const char *path)
{
    struct mri_op op = {
        .kind = MRI_OP_CREATE, .file = &file, .path = mr_strdup(mr_test_heap(), path)};

    return mri_queue_put(&queue, &op);
}

static bool put_write(uint64_t offset, const char *text, uint64_t zeros,
                      const struct mri_file *wait)
{
    struct mri_op op = {.kind = MRI_OP_WRITE,
                        .file = &file,
                        .wait_for = wait,
                        .offset = offset,
                        .zero_bytes = zeros};

    mr_buffer_init(&op.data, mr_test_heap());
    if (!mr_buffer_put(&op.data, text, strlen(text))) {
        mr_buffer_fini(&op.data);
        return false;
    }
    return mri_queue_put(&queue, &op);
}

static bool put(enum mri_op_kind kind)
{
    struct mri_op op = {.kind = kind, .file = &file};

    return mri_queue_put(&queue, &op);
}

/* A short write is never taken for a whole one. */
MR_TEST(log_io, when_writes_are_short_and_late_then_all_bytes_arrive_in_order)
{
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct fault_inode *inode;

        begin(seed);
        disk.short_transfers = disk.late = true;
        MR_EXPECT(put_create("d/f") && put_write(0, "first", 200000, NULL) &&
                  put_write(2, "XY", 0, NULL) && put(MRI_OP_SYNC) && put(MRI_OP_CLOSE));
        MR_EXPECT_OK(mri_queue_drive(&queue, NULL), NULL);
        inode = fault_disk_find(&disk, "d/f");
        MR_EXPECT_EQ_UINT(inode->size_bytes, 200005);
        MR_EXPECT_EQ_TEXT(inode->data, 5, "fiXYt");
        for (size_t i = 5; i < 200005; i++) MR_EXPECT(inode->data[i] == 0);
        MR_EXPECT(memcmp(inode->data, inode->durable, 200005) == 0);
        MR_EXPECT(!file.open);
        MR_EXPECT_EQ_UINT(queue.queued_bytes, 0);
        end();
    }
}

MR_TEST(log_io, when_one_fails_then_later_ones_wait_for_the_retry)
{
    begin(1);
    MR_EXPECT(put_create("d/f") && put_write(0, "abc", 0, NULL) && put(MRI_OP_CLOSE));
    disk.fail_at = 2;
    disk.fail_status = MR_E_NO_SPACE;
    MR_EXPECT_EQ_INT(mri_queue_step(&queue), MRI_QUEUE_FAILED);
    MR_EXPECT_EQ_INT(mri_queue_step(&queue), MRI_QUEUE_FAILED);
    MR_EXPECT_EQ_INT(queue.status, MR_E_NO_SPACE);
    MR_EXPECT_EQ_INT(mri_queue_head(&queue)->kind, MRI_OP_WRITE);
    mri_queue_retry(&queue);
    MR_EXPECT_EQ_INT(mri_queue_step(&queue), MRI_QUEUE_IDLE);
    MR_EXPECT_EQ_TEXT(fault_disk_find(&disk, "d/f")->data, 3, "abc");
    end();
}

MR_TEST(log_io, when_a_file_is_not_ready_then_writing_to_it_waits)
{
    struct mri_file other = {0};
    struct mri_op ready = {.kind = MRI_OP_READY, .file = &other};

    begin(1);
    MR_EXPECT(put_create("d/f") && put_write(0, "abc", 0, &other));
    MR_EXPECT_EQ_INT(mri_queue_step(&queue), MRI_QUEUE_WAIT);
    MR_EXPECT_EQ_UINT(fault_disk_find(&disk, "d/f")->size_bytes, 0);
    other.ready = true;
    MR_EXPECT(mri_queue_put(&queue, &ready) && put(MRI_OP_CLOSE));
    MR_EXPECT_EQ_INT(mri_queue_step(&queue), MRI_QUEUE_IDLE);
    MR_EXPECT_EQ_UINT(fault_disk_find(&disk, "d/f")->size_bytes, 3);
    end();
}

/* Reading a file that may be missing must not read from whatever has number 0. */
MR_TEST(log_io, when_a_file_may_be_missing_then_reading_it_gives_nothing)
{
    struct mr_buffer into;
    struct mri_op open = {.kind = MRI_OP_OPEN_READ, .file = &file, .may_fail = true};
    struct mri_op read = {.kind = MRI_OP_READ_ALL, .file = &file, .into = &into};

    begin(1);
    mr_buffer_init(&into, mr_test_heap());
    open.path = mr_strdup(mr_test_heap(), "d/none");
    MR_EXPECT(mri_queue_put(&queue, &open) && mri_queue_put(&queue, &read) && put(MRI_OP_CLOSE));
    MR_EXPECT_EQ_INT(mri_queue_step(&queue), MRI_QUEUE_IDLE);
    MR_EXPECT_EQ_UINT(into.size_bytes, 0);
    mr_buffer_fini(&into);
    end();
}

/* ---- reading ---- */

static void write_records(uint32_t count)
{
    static char payload[20000];
    struct mr_buffer out;

    mr_buffer_init(&out, mr_test_heap());
    for (uint32_t i = 0; i < count; i++) {
        memset(payload, (int)('a' + i % 26), sizeof payload);
        MR_EXPECT(mri_record_put(&out, MRI_ENTRIES, 5, out.size_bytes,
                                 (struct mr_bytes){payload, i * 977 % sizeof payload}, NULL));
    }
    fault_disk_put(&disk, "d/r", out.data, out.size_bytes);
    mr_buffer_fini(&out);
}

MR_TEST(log_io, records_come_back_whatever_pieces_the_disk_gives)
{
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct mri_reader reader;
        struct mri_record record;
        struct mr_error err;

        begin(seed);
        disk.short_transfers = seed > 1;
        disk.late = seed > 2;
        write_records(60);
        mri_reader_init(&reader, mr_test_heap(), &disk.disk, mr_strdup(mr_test_heap(), "d/r"), 5,
                        100);
        for (uint32_t i = 0; i < 60; i++) {
            MR_EXPECT_EQ_INT(mri_reader_wait(&reader, &record, &err), MRI_READ_RECORD);
            MR_EXPECT_EQ_UINT(record.payload.size_bytes, i * 977 % 20000);
            if (record.payload.size_bytes == 0) continue;
            MR_EXPECT_EQ_INT(record.payload.data[record.payload.size_bytes - 1], 'a' + i % 26);
        }
        MR_EXPECT_EQ_INT(mri_reader_wait(&reader, &record, &err), MRI_READ_END);
        mri_reader_seek(&reader, 0);
        MR_EXPECT_EQ_INT(mri_reader_wait(&reader, &record, &err), MRI_READ_RECORD);
        mri_reader_seek(&reader, 7);
        MR_EXPECT_EQ_INT(mri_reader_wait(&reader, &record, &err), MRI_READ_BAD);
        mri_reader_fini(&reader);
        end();
    }
}

/* A length of 200 MiB in a damaged header must not take that memory. */
MR_TEST(log_io, when_a_length_is_damaged_then_memory_is_bounded_by_the_file)
{
    struct mri_reader reader;
    struct mri_record record;
    struct mr_error err;
    uint32_t length = 200u << 20;

    begin(1);
    write_records(3);
    memcpy(fault_disk_find(&disk, "d/r")->data + 12, &length, sizeof length);
    mri_reader_init(&reader, mr_test_heap(), &disk.disk, mr_strdup(mr_test_heap(), "d/r"), 5, 64);
    MR_EXPECT_EQ_INT(mri_reader_wait(&reader, &record, &err), MRI_READ_BAD);
    MR_EXPECT(reader.room_bytes < 20000);
    mri_reader_fini(&reader);
    end();
}

MR_TEST(log_io, when_memory_runs_out_then_it_is_said_and_nothing_leaks)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mri_reader reader;
        struct mri_record record;
        struct mr_error err;
        enum mri_read got;
        bool ok;

        begin(1);
        ok = put_create("d/f") && put_write(0, "abc", 10, NULL) && put(MRI_OP_CLOSE);
        if (ok) MR_EXPECT_OK(mri_queue_drive(&queue, NULL), NULL);
        mri_reader_init(&reader, heap, &disk.disk, mr_strdup(heap, "d/f"), 5, 64);
        got = ok ? mri_reader_wait(&reader, &record, &err) : MRI_READ_FAILED;
        MR_EXPECT_EQ_INT(got, mr_test_refused(heap) ? MRI_READ_FAILED : MRI_READ_BAD);
        if (ok && got == MRI_READ_FAILED) MR_EXPECT_EQ_INT(err.status, MR_E_NOMEM);
        mri_reader_fini(&reader);
        end();
    }
}
