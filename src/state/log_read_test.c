/* log_read_test.c - a state directory read from outside: the state that its job had at the end of
 * the epoch that is named, in order, also while that job goes on writing; nothing is written. */
#include "base/crc.h"
#include "log_rig.h"
#include "state/entry_set.h"
#include "state/log_read.h"

static struct rig rig;

/* ---- reading ---- */

static enum mr_status open_reader(struct mr_disk *disk, uint64_t epoch, struct mr_log_reader **out,
                                  struct mr_error *err)
{
    const struct mr_log_read_options options = {
        .disk = disk, .dir = "run/state", .epoch = epoch, .tidy_bytes = 2048};

    return mr_log_reader_open(mr_test_heap(), &options, out, err);
}

/* All that comes: in order, once, and only what lives. */
static enum mr_status read_rest(struct mr_log_reader *reader, struct rig_state *out,
                                struct mr_error *err)
{
    struct mr_buffer key, last;
    enum mr_status st;

    memset(out, 0, sizeof *out);
    mr_buffer_init(&key, mr_test_heap());
    mr_buffer_init(&last, mr_test_heap());
    for (;;) {
        const char *operator_id;
        struct mr_entry entry;
        struct mr_buffer swap = last;

        MR_GOTO(mr_log_reader_next(reader, &operator_id, &entry, err));
        if (operator_id == NULL) break;
        MR_EXPECT(entry.kind == MR_ENTRY_PUT || entry.kind == MR_ENTRY_TIMER_SET ||
                  entry.kind == MR_ENTRY_VALUE);
        MR_EXPECT(entry.kind == MR_ENTRY_VALUE || entry.group_end == 0);
        last = key;
        key = swap;
        mr_buffer_clear(&key);
        if (!mri_sort_key_put(&key, operator_id, &entry)) {
            st = MR_E_NOMEM;
            goto done;
        }
        MR_EXPECT(last.size_bytes == 0 ||
                  mri_sort_key_compare(last.data, last.size_bytes, key.data, key.size_bytes) < 0);
        MR_GOTO(rig_visit(out, operator_id, &entry, err));
    }
done:
    mr_buffer_fini(&key);
    mr_buffer_fini(&last);
    return st;
}

static void expect_state(struct mr_disk *disk, uint64_t epoch, uint64_t expected)
{
    struct mr_log_reader *reader;
    struct rig_state found;
    struct mr_error err;

    MR_EXPECT_OK(open_reader(disk, epoch, &reader, &err), &err);
    MR_EXPECT_EQ_UINT(mr_log_reader_info(reader)->epoch, expected);
    MR_EXPECT_OK(read_rest(reader, &found, &err), &err);
    if (memcmp(&found, &rig.at_end[expected], sizeof found) != 0) {
        MR_FAIL("not the state at the end of epoch %llu", (unsigned long long)expected);
    }
    mr_log_reader_close(reader);
}

static bool writes(enum mr_disk_op op)
{
    return op != MR_DISK_OPEN_READ && op != MR_DISK_INFO && op != MR_DISK_READ &&
           op != MR_DISK_LIST && op != MR_DISK_CLOSE;
}

/* A disk in front of the rig's: refuses what writes, and lets the job work between two requests. */
struct beside {
    struct mr_disk disk;
    uint64_t every; /* requests between two pieces of the job's work; 0: it rests */
    uint64_t requests;
    uint64_t end; /* the job's last epoch */
    uint64_t worked;
};
static struct beside beside;

static void beside_submit(struct mr_disk *disk, struct mr_disk_request *request)
{
    struct beside *self = (struct beside *)(void *)disk;

    MR_EXPECT(!writes(request->op));
    self->requests++;
    if (self->every != 0 && self->requests % self->every == 0 &&
        mr_epoch_log_last(rig.log) < self->end) {
        MR_EXPECT_OK(rig_epoch(&rig, mr_epoch_log_last(rig.log) + 1), &rig.err);
        if (rig.compacts) MR_EXPECT_OK(rig_compact(&rig, 20), &rig.err);
        self->worked++;
    }
    rig.disk.disk.submit(&rig.disk.disk, request);
}

static uint32_t beside_poll(struct mr_disk *disk)
{
    (void)disk;
    return rig.disk.disk.poll(&rig.disk.disk);
}

static void beside_names_free(struct mr_disk *disk, struct mr_disk_request *request)
{
    (void)disk;
    rig.disk.disk.names_free(&rig.disk.disk, request);
}

static void beside_cancel(struct mr_disk *disk, struct mr_disk_request *request)
{
    (void)disk;
    rig.disk.disk.cancel(&rig.disk.disk, request);
}

static struct mr_disk *beside_of(uint64_t every, uint64_t end)
{
    beside = (struct beside){
        .disk = {beside_submit, beside_poll, beside_names_free, beside_cancel},
        .every = every,
        .end = end,
    };
    return &beside.disk;
}

/* ---- tests ---- */

MR_TEST(log_read, what_is_read_is_the_state_at_the_end_of_the_last_complete_epoch)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        rig_init(&rig, seed);
        rig.compacts = seed % 4 != 0;
        rig.disk.late = seed % 3 == 0;
        rig.disk.short_transfers = seed % 5 == 0;
        for (uint64_t epoch = 2; epoch <= 24; epoch += 1 + seed % 3) {
            MR_EXPECT_OK(rig_run(&rig, epoch), &rig.err);
            expect_state(beside_of(0, 0), 0, rig.reported);
        }
        rig_stop(&rig);
        expect_state(beside_of(0, 0), 0, rig.reported);
        rig_fini(&rig);
    }
}

MR_TEST(log_read, earlier_epochs_can_be_read_back_to_the_last_compaction)
{
    uint64_t read = 0;

    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct mr_log_reader *reader;
        struct mr_log_info info;
        uint64_t in_attempts = 0;
        struct mr_error err;

        rig_init(&rig, seed);
        rig.compacts = true;
        MR_EXPECT_OK(rig_run(&rig, 20), &rig.err);
        MR_EXPECT_OK(open_reader(&rig.disk.disk, 0, &reader, &err), &err);
        info = *mr_log_reader_info(reader);
        for (uint32_t i = 0; i < info.attempt_count; i++) {
            const struct mr_log_attempt *attempt = &info.attempts[i];

            in_attempts += attempt->epoch_count;
            for (uint64_t e = attempt->first_epoch; e != 0 && e <= attempt->last_epoch; e++) {
                struct mr_log_reader *other;

                if (open_reader(&rig.disk.disk, e, &other, &err) != MR_OK) { /* it was aborted */
                    MR_EXPECT_EQ_INT(err.status, MR_E_NOT_FOUND);
                    continue;
                }
                mr_log_reader_close(other);
                expect_state(&rig.disk.disk, e, e);
                read++;
            }
        }
        MR_EXPECT_EQ_UINT(info.last_epoch, rig.reported);
        MR_EXPECT(in_attempts <= rig.reported - info.base_epoch);
        mr_log_reader_close(reader);
        MR_EXPECT_STATUS(open_reader(&rig.disk.disk, 99, &reader, &err), MR_E_NOT_FOUND);
        MR_EXPECT_CONTAINS(err.text, "epoch 99");
        rig_fini(&rig);
    }
    MR_EXPECT(read > 50);
}

/* Epochs, compactions and reused segments at every request of the reader. */
MR_TEST(log_read, while_a_job_goes_on_writing_a_whole_epoch_is_read)
{
    uint64_t read = 0, worked = 0;

    for (uint64_t seed = 1; seed <= 120; seed++) {
        struct mr_log_reader *reader;
        struct rig_state found;
        struct mr_error err;
        uint64_t before, epoch;
        enum mr_status st;

        rig_init(&rig, seed);
        rig.compacts = seed % 3 != 0;
        MR_EXPECT_OK(rig_run(&rig, 6 + seed % 10), &rig.err);
        before = rig.reported;
        st = open_reader(beside_of(1 + seed % 7, RIG_EPOCHS - 1), 0, &reader, &err);
        if (st == MR_OK) {
            epoch = mr_log_reader_info(reader)->epoch;
            MR_EXPECT(epoch >= before && epoch <= rig.reported);
            MR_EXPECT_OK(read_rest(reader, &found, &err), &err);
            MR_EXPECT(memcmp(&found, &rig.at_end[epoch], sizeof found) == 0);
            mr_log_reader_close(reader);
            read++;
        } else {
            MR_EXPECT_EQ_INT(st, MR_E_BUSY);
        }
        worked += beside.worked;
        rig_fini(&rig);
    }
    MR_EXPECT_EQ_UINT(read, 120);
    MR_EXPECT(worked > 1000);
}

MR_TEST(log_read, after_a_loss_of_power_what_is_read_is_what_a_job_would_start_from)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct mr_log_reader *reader;
        struct rig_state found;
        struct mr_error err;
        uint64_t epoch;

        rig_init(&rig, seed);
        rig.compacts = true;
        rig.disk.garbage = seed % 2 == 0;
        MR_EXPECT_OK(rig_run(&rig, 3), &rig.err);
        rig.disk.crash_at = rig.disk.requests + seed * 3;
        (void)!rig_run(&rig, RIG_EPOCHS - 1);
        rig_stop(&rig);
        fault_disk_crash(&rig.disk, seed);
        MR_EXPECT_OK(open_reader(beside_of(0, 0), 0, &reader, &err), &err);
        epoch = mr_log_reader_info(reader)->epoch;
        MR_EXPECT(epoch == rig.reported || epoch == rig.attempted);
        MR_EXPECT_OK(read_rest(reader, &found, &err), &err);
        MR_EXPECT(memcmp(&found, &rig.at_end[epoch], sizeof found) == 0);
        mr_log_reader_close(reader);
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        MR_EXPECT_EQ_UINT(rig.reported, epoch);
        rig_fini(&rig);
    }
}

static uint32_t names_with(const char *part)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        count += rig.disk.names[i].now != NULL && strstr(rig.disk.names[i].name, part) != NULL;
    }
    return count;
}

/* A life with everything in it: base files, several chains, a tail. */
static void live(void)
{
    for (uint64_t seed = 5;; seed++) {
        rig_init(&rig, seed);
        rig.compacts = true;
        rig.small = true;
        MR_EXPECT_OK(rig_run(&rig, 14), &rig.err);
        rig_stop(&rig);
        if (rig.compacted > 0 && names_with("/base-") > 0 && names_with("/seg-") > 2) break;
        rig_fini(&rig);
    }
}

MR_TEST(log_read, a_flipped_byte_is_refused_with_the_file_or_makes_no_difference)
{
    uint32_t refused = 0, same = 0;

    live();
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_inode *inode = rig.disk.names[i].now;

        for (size_t at = 0; inode != NULL && at < inode->size_bytes; at += 1 + at % 13) {
            struct mr_log_reader *reader;
            struct rig_state found = {0};
            struct mr_error err = {.status = MR_OK};
            enum mr_status st;

            inode->data[at] ^= 0x20;
            st = open_reader(&rig.disk.disk, 0, &reader, &err);
            if (st == MR_OK) {
                MR_EXPECT_EQ_UINT(mr_log_reader_info(reader)->epoch, rig.reported);
                st = read_rest(reader, &found, &err);
                mr_log_reader_close(reader);
            }
            inode->data[at] ^= 0x20;
            if (st == MR_OK) {
                MR_EXPECT(memcmp(&found, &rig.at_end[rig.reported], sizeof found) == 0);
                same++;
                continue;
            }
            MR_EXPECT(st == MR_E_CORRUPT);
            MR_EXPECT_CONTAINS(err.text, "run/state/");
            refused++;
        }
    }
    MR_EXPECT(refused > 100 && same > 100);
    rig_fini(&rig);
}

static void expect_refused(enum mr_status status, const char *part)
{
    struct mr_log_reader *reader;
    struct mr_error err;

    MR_EXPECT_STATUS(open_reader(&rig.disk.disk, 0, &reader, &err), status);
    MR_EXPECT_CONTAINS(err.text, part);
    rig_fini(&rig);
}

MR_TEST(log_read, what_is_no_state_directory_is_refused_by_name)
{
    rig_init(&rig, 1);
    expect_refused(MR_E_NOT_FOUND, "run/state: no state directory");
    rig_init(&rig, 1);
    fault_disk_put(&rig.disk, "run/state/META", "#!/bin/sh\n", 10);
    expect_refused(MR_E_CORRUPT, "run/state/META: offset 0");
}

MR_TEST(log_read, missing_and_newer_files_are_refused_by_name)
{
    struct fault_inode *meta;
    uint32_t crc;

    live();
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        if (strstr(rig.disk.names[i].name, "/base-") == NULL) continue;
        if (rig.disk.names[i].now != NULL) fault_disk_remove(&rig.disk, rig.disk.names[i].name);
    }
    expect_refused(MR_E_CORRUPT, "it is missing");
    live();
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        if (strstr(rig.disk.names[i].name, "/manifest-") == NULL) continue;
        if (rig.disk.names[i].now != NULL) fault_disk_remove(&rig.disk, rig.disk.names[i].name);
    }
    expect_refused(MR_E_CORRUPT, "META names it");
    live();
    meta = fault_disk_find(&rig.disk, "run/state/META");
    meta->data[8] = 2;
    crc = mr_crc32c(0, meta->data + 8, meta->size_bytes - 8);
    memcpy(meta->data + 4, &crc, sizeof crc);
    expect_refused(MR_E_UNSUPPORTED, "newer version");
}

MR_TEST(log_read, when_memory_runs_out_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();

    live();
    MR_TORTURE(heap) {
        struct mr_log_reader *reader = NULL;
        struct rig_state found;
        struct mr_error err;
        enum mr_status st = open_reader(&rig.disk.disk, 0, &reader, &err);

        if (st == MR_OK) st = read_rest(reader, &found, &err);
        mr_log_reader_close(reader);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
    }
    rig_fini(&rig);
}
