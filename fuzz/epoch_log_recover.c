/* epoch_log_recover.c - opening a state directory whose files hold anything: never a crash, never a
 * read behind an end, and after a refusal nothing is open or lost.
 *
 * An input is a sequence of files: type (1 byte: segment, base, run, manifest, META, META.new,
 * LOCK), fence (1), number (1), size (2, little endian), bytes. If the first byte of the input is
 * odd, the sums of records are made right, so that what lies behind them is reached.
 *
 * Built for libFuzzer with -DMR_FUZZER=1, as one of the tests with -DMR_FUZZ_TEST=1. The plain program runs the files named as arguments;
 * without arguments it makes a directory, damages copies of it, and runs those:
 *     epoch_log_recover [-n ROUNDS] [-s SEED] [FILE...] */
#include "base/crc.h"
#include "base/prng.h"
#include "fault_disk.h"
#include "state/epoch_log.h"
#include "state/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef MR_FUZZ_TEST
#include "mr_test.h"
#endif

#define DIR "d"
#define JOB 77u

static void *raw_alloc(void *self, size_t size_bytes)
{
    (void)self;
    return malloc(size_bytes == 0 ? 1 : size_bytes);
}

static void raw_free(void *self, void *memory, size_t size_bytes)
{
    (void)self;
    (void)size_bytes;
    free(memory);
}

/* ---- one input ---- */

static uint32_t touched;

/* Looks at every byte that it is shown. */
static enum mr_status visit(void *self, const char *operator_id, const struct mr_entry *entry,
                            struct mr_error *err)
{
    uint32_t sum = (uint32_t)(strlen(operator_id) + strlen(entry->state_name));

    (void)self;
    (void)err;
    sum = mr_crc32c(sum, entry->key.data, entry->key.size_bytes);
    touched += mr_crc32c(sum, entry->value.data, entry->value.size_bytes);
    return MR_OK;
}

static void open_once(struct fault_disk *disk)
{
    const struct mr_epoch_log_options options = {.disk = &disk->disk,
                                                 .dir = DIR,
                                                 .job_hash = JOB,
                                                 .segment_bytes = 4096,
                                                 .align_bytes = 512,
                                                 .sort_bytes = 2048,
                                                 .merge_files = 2};
    struct mr_compaction *compaction = NULL;
    struct mr_epoch_log *log = NULL;
    struct mr_error err;
    struct mr_heap heap;

    mr_heap_init(&heap, "fuzz", 64u << 20, raw_alloc, raw_free, NULL);
    if (mr_epoch_log_open(&heap, &options, visit, NULL, &log, &err) == MR_OK &&
        mr_compaction_create(log, &compaction, &err) == MR_OK) {
        enum mr_compaction_state state;

        do state = mr_compaction_step(compaction, &err);
        while (state == MR_COMPACTION_MORE || state == MR_COMPACTION_WAIT);
    }
    mr_compaction_destroy(compaction);
    mr_epoch_log_close(log);
    mr_heap_fini(&heap); /* asserts that everything came back */
}

/* Gives every record that fits its right place and sum. */
static void repair(char *data, size_t size, uint64_t file_id)
{
    for (size_t at = 0; at + MRI_RECORD_HEADER_BYTES <= size;) {
        uint64_t offset = at;
        uint32_t length, crc;

        memcpy(&length, data + at + 12, sizeof length);
        if (memcmp(data + at, "MRL1", 4) != 0 || length > size - at - MRI_RECORD_HEADER_BYTES) {
            at += 64;
            continue;
        }
        memcpy(data + at + 16, &file_id, sizeof file_id);
        memcpy(data + at + 24, &offset, sizeof offset);
        crc = mr_crc32c(0, data + at + 8, MRI_RECORD_HEADER_BYTES - 8 + length);
        memcpy(data + at + 4, &crc, sizeof crc);
        at += MRI_RECORD_HEADER_BYTES + length;
        if (data[at - MRI_RECORD_HEADER_BYTES - length + 10] == MRI_COMPLETE) {
            at = (at + 511) / 512 * 512;
        }
    }
}

static void put_file(struct fault_disk *disk, const uint8_t *head, const uint8_t *bytes,
                     size_t size, bool repairs)
{
    enum mri_file_type type = (enum mri_file_type)(head[0] % MRI_FILE_OTHER);
    uint64_t id = mri_file_id(head[1], head[2]);
    char *copy = malloc(size + 1);
    struct mr_heap heap;
    char *path;

    if (copy == NULL) abort();
    if (type == MRI_FILE_META || type == MRI_FILE_META_NEW) id = MRI_ID_META;
    memcpy(copy, bytes, size);
    if (repairs) repair(copy, size, id);
    mr_heap_init(&heap, "names", SIZE_MAX, raw_alloc, raw_free, NULL);
    path = mri_file_path(&heap, DIR, type, head[1], head[2]);
    if (path != NULL) fault_disk_put(disk, path, copy, size);
    mr_strfree(&heap, path);
    mr_heap_fini(&heap);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fault_disk disk;
    bool repairs = size > 0 && (data[0] & 1) != 0;
    size_t at = 1;

    fault_disk_init(&disk, 1);
    for (uint32_t files = 0; files < 32 && at + 5 <= size; files++) {
        size_t wanted = data[at + 3] | (size_t)data[at + 4] << 8;
        size_t got = MR_MIN(wanted, size - at - 5);

        put_file(&disk, data + at, data + at + 5, got, repairs);
        at += 5 + got;
    }
    open_once(&disk);
    open_once(&disk); /* what the first left behind */
    fault_disk_fini(&disk);
    return 0;
}

/* ---- the plain program ---- */

#ifndef MR_FUZZER

static uint8_t input[1u << 20];

static size_t pack(const struct fault_disk *disk, bool repairs)
{
    size_t at = 0;

    input[at++] = repairs;
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        const struct fault_inode *inode = disk->names[i].now;
        uint64_t fence, number;
        enum mri_file_type type;

        if (inode == NULL) continue;
        type = mri_file_parse(disk->names[i].name + strlen(DIR) + 1, &fence, &number);
        input[at++] = (uint8_t)type;
        input[at++] = (uint8_t)fence;
        input[at++] = (uint8_t)number;
        input[at++] = (uint8_t)inode->size_bytes;
        input[at++] = (uint8_t)(inode->size_bytes >> 8);
        memcpy(input + at, inode->data, inode->size_bytes);
        at += inode->size_bytes;
    }
    return at;
}

static void add_epoch(struct mr_epoch_log *log, uint64_t epoch)
{
    struct mr_error err;
    char value[50] = {0};

    if (mr_epoch_log_begin(log, epoch, epoch % 4 == 0, &err) != MR_OK) abort();
    for (uint32_t i = 0; i < 20 + epoch * 7 % 60; i++) {
        struct mr_entry entry = {.kind = (enum mr_entry_kind)(i % 6),
                                 .state_name = i % 6 < 3 ? "agg" : "",
                                 .key_group = i,
                                 .ns = (int64_t)(i % 3) * 1000,
                                 .key = {value, 1 + i % 5},
                                 .value = {value, 21 + i % 20},
                                 .group_end = 1024};

        value[0] = (char)i;
        if (mr_epoch_log_add(log, "op", &entry, &err) != MR_OK) abort();
    }
    if (mr_epoch_log_commit(log, &err) != MR_OK) abort();
    while (mr_epoch_log_poll(log, &err) == MR_LOG_BUSY) {
    }
    if (mr_epoch_log_last(log) != epoch) abort();
}

static void live(struct fault_disk *disk)
{
    const struct mr_epoch_log_options options = {.disk = &disk->disk,
                                                 .dir = DIR,
                                                 .job_hash = JOB,
                                                 .segment_bytes = 4096,
                                                 .align_bytes = 512};
    struct mr_heap heap;
    struct mr_error err;

    mr_heap_init(&heap, "live", SIZE_MAX, raw_alloc, raw_free, NULL);
    for (uint64_t attempt = 0; attempt < 3; attempt++) {
        struct mr_compaction *compaction = NULL;
        struct mr_epoch_log *log = NULL;

        if (mr_epoch_log_open(&heap, &options, visit, NULL, &log, &err) != MR_OK) abort();
        add_epoch(log, attempt * 2 + 1);
        if (attempt == 1) {
            if (mr_compaction_create(log, &compaction, &err) != MR_OK) abort();
            while (mr_compaction_step(compaction, &err) != MR_COMPACTION_DONE) {
            }
            mr_compaction_destroy(compaction);
        }
        add_epoch(log, attempt * 2 + 2);
        mr_epoch_log_close(log);
    }
    mr_heap_fini(&heap);
}

static void run_random(uint64_t seed, uint64_t rounds)
{
    static uint8_t damaged[sizeof input];
    struct fault_disk disk;
    struct mr_prng prng;
    size_t size;

    fault_disk_init(&disk, seed);
    live(&disk);
    size = pack(&disk, true);
    fault_disk_fini(&disk);
    mr_prng_init(&prng, seed, 1);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t hits = 1 + mr_prng_below(&prng, 6);

        memcpy(damaged, input, size);
        damaged[0] = (uint8_t)(round % 4 != 0);
        for (uint64_t i = 0; i < hits; i++) {
            size_t at = 1 + (size_t)mr_prng_below(&prng, size - 1);

            damaged[at] = (uint8_t)(mr_prng_below(&prng, 2) ? mr_prng_next(&prng) : 255);
        }
        (void)LLVMFuzzerTestOneInput(damaged, size);
    }
    printf("%llu damaged directories opened (seed %llu)\n", (unsigned long long)rounds,
           (unsigned long long)seed);
}

#ifdef MR_FUZZ_TEST

MR_TEST(epoch_log_recover_fuzz, damaged_directories_are_opened_or_refused_without_harm)
{
    run_random(1, 3000);
}

#else

#include "fuzz_driver.h"

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 3000, input, sizeof input, LLVMFuzzerTestOneInput, run_random);
}

#endif
#endif
