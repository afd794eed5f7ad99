/* savepoint_read.c - a savepoint whose files hold anything: read or refused, never a read behind an
 * end, nothing lost. What can be read whole can be written again, and reads the same.
 *
 * An input is a sequence of files: number (1 byte; 0: SAVEPOINT, else of the part), size (2, little
 * endian), bytes. If the first byte of the input is odd, the sums of records are made right, so that
 * what lies behind them is reached.
 *
 * Built for libFuzzer with -DMR_FUZZER=1, as one of the tests with -DMR_FUZZ_TEST=1. The plain program
 * runs the files named as arguments; without arguments it makes a savepoint, damages copies of it,
 * and runs those:
 *     savepoint_read [-n ROUNDS] [-s SEED] [FILE...] */
#include "base/crc.h"
#include "base/prng.h"
#include "base/status.h"
#include "fault_disk.h"
#include "state/manifest.h"
#include "state/savepoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef MR_FUZZ_TEST
#include "mr_test.h"
#endif

#define DIR         "d"
#define INPUT_BYTES 65536u

static uint8_t input[INPUT_BYTES];

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

/* A sum over all that was shown, in order. */
static enum mr_status sum_entry(void *self, const char *operator_id, const struct mr_entry *entry,
                                struct mr_error *err)
{
    uint32_t *sum = self;
    const int64_t facts[] = {(int64_t)entry->kind, entry->key_group, entry->ns};

    (void)err;
    *sum = mr_crc32c(*sum, operator_id, strlen(operator_id) + 1);
    *sum = mr_crc32c(*sum, entry->state_name, strlen(entry->state_name) + 1);
    *sum = mr_crc32c(*sum, facts, sizeof facts);
    *sum = mr_crc32c(*sum, entry->key.data, entry->key.size_bytes);
    *sum = mr_crc32c(*sum, entry->value.data, entry->value.size_bytes);
    return MR_OK;
}

static enum mr_status read_sum(struct mr_heap *heap, struct fault_disk *disk, const char *dir,
                               uint32_t *out)
{
    struct mr_savepoint_reader *reader = NULL;
    struct mr_error err;
    enum mr_status st = mr_savepoint_open(heap, &disk->disk, dir, &reader, &err);

    *out = 0;
    if (st == MR_OK) st = mr_savepoint_visit(reader, sum_entry, out, &err);
    mr_savepoint_close(reader);
    return st;
}

static enum mr_status copy(struct mr_heap *heap, struct fault_disk *disk)
{
    struct mr_savepoint_options options = {.disk = &disk->disk, .dir = "copy", .sorted = true};
    struct mr_savepoint_reader *reader = NULL;
    struct mr_savepoint_writer *writer = NULL;
    struct mr_error err;
    enum mr_status st;

    MR_GOTO(mr_savepoint_open(heap, &disk->disk, DIR, &reader, &err));
    options.job = mr_savepoint_info(reader)->job;
    MR_GOTO(mr_savepoint_begin(heap, &options, &writer, &err));
    MR_GOTO(mr_savepoint_visit(reader, mr_savepoint_add, writer, &err));
    MR_GOTO(mr_savepoint_finish(writer, &err));
done:
    mr_savepoint_end(writer);
    mr_savepoint_close(reader);
    return st;
}

/* Gives every record that fits its right place and sum. */
static void repair(char *data, size_t size, uint64_t file_id)
{
    for (size_t at = 0; at + MRI_RECORD_HEADER_BYTES <= size;) {
        uint64_t offset = at;
        uint32_t length, crc;

        memcpy(&length, data + at + 12, sizeof length);
        if (memcmp(data + at, "MRL1", 4) != 0 || length > size - at - MRI_RECORD_HEADER_BYTES)
            return;
        memcpy(data + at + 16, &file_id, sizeof file_id);
        memcpy(data + at + 24, &offset, sizeof offset);
        crc = mr_crc32c(0, data + at + 8, MRI_RECORD_HEADER_BYTES - 8 + length);
        memcpy(data + at + 4, &crc, sizeof crc);
        at += MRI_RECORD_HEADER_BYTES + length;
    }
}

static void put_file(struct fault_disk *disk, uint8_t number, const uint8_t *bytes, size_t size,
                     bool repairs)
{
    char *data = malloc(size + 1);
    char path[64];

    if (data == NULL) abort();
    memcpy(data, bytes, size);
    if (repairs) repair(data, size, number == 0 ? MRI_ID_SAVEPOINT : mri_file_id(0, number));
    if (number == 0)
        (void)snprintf(path, sizeof path, DIR "/SAVEPOINT");
    else
        (void)snprintf(path, sizeof path, DIR "/base-0-%u", number);
    fault_disk_put(disk, path, data, size);
    free(data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fault_disk disk;
    bool repairs = size > 0 && (data[0] & 1) != 0;
    uint32_t sum, again;
    struct mr_heap heap;
    size_t at = 1;

    fault_disk_init(&disk, 1);
    mr_heap_init(&heap, "fuzz", 64u << 20, raw_alloc, raw_free, NULL);
    for (uint32_t files = 0; files < 32 && at + 3 <= size; files++) {
        size_t wanted = data[at + 1] | (size_t)data[at + 2] << 8;
        size_t got = MR_MIN(wanted, size - at - 3);

        put_file(&disk, data[at], data + at + 3, got, repairs);
        at += 3 + got;
    }
    if (read_sum(&heap, &disk, DIR, &sum) == MR_OK &&
        (copy(&heap, &disk) != MR_OK || read_sum(&heap, &disk, "copy", &again) != MR_OK ||
         sum != again)) {
        fprintf(stderr, "what was read cannot be written and read again\n");
        abort();
    }
    mr_heap_fini(&heap); /* asserts that everything came back */
    fault_disk_fini(&disk);
    return 0;
}

#ifndef MR_FUZZER

/* ---- without a fuzzer ---- */

static void fill(struct mr_savepoint_writer *writer)
{
    for (uint32_t i = 0; i < 60; i++) {
        char key[8];
        struct mr_entry entry = {.kind = MR_ENTRY_PUT,
                                 .state_name = i % 7 == 0 ? "" : "agg",
                                 .key_group = i % 5,
                                 .ns = (int64_t)(i % 3) - 1,
                                 .key = {key, (size_t)snprintf(key, sizeof key, "%u", i)},
                                 .value = {"a value of some bytes", i % 20}};

        if (i % 7 == 0) entry.kind = i % 2 == 0 ? MR_ENTRY_VALUE : MR_ENTRY_TIMER_SET;
        if (mr_savepoint_add(writer, i % 2 == 0 ? "count" : "other", &entry, NULL) != MR_OK)
            abort();
    }
}

/* The files of a good savepoint as an input; returns its size. */
static size_t make(void)
{
    const struct mr_savepoint_options options = {
        .dir = DIR, .epoch = 7, .key_group_count = 8, .job = {"job\n", 4}, .part_bytes = 900};
    struct mr_savepoint_options mine = options;
    struct mr_savepoint_writer *writer;
    struct fault_disk disk;
    struct mr_heap heap;
    size_t at = 1;

    fault_disk_init(&disk, 1);
    mine.disk = &disk.disk;
    mr_heap_init(&heap, "fuzz", SIZE_MAX, raw_alloc, raw_free, NULL);
    if (mr_savepoint_begin(&heap, &mine, &writer, NULL) != MR_OK) abort();
    fill(writer);
    if (mr_savepoint_finish(writer, NULL) != MR_OK) abort();
    mr_savepoint_end(writer);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        const struct fault_inode *inode = disk.names[i].now;
        const char *number = strrchr(disk.names[i].name, '-');

        if (inode == NULL || at + 3 + inode->size_bytes > sizeof input) continue;
        input[at] = number == NULL ? 0 : (uint8_t)atoi(number + 1);
        input[at + 1] = (uint8_t)(inode->size_bytes & 255);
        input[at + 2] = (uint8_t)(inode->size_bytes >> 8);
        memcpy(input + at + 3, inode->data, inode->size_bytes);
        at += 3 + inode->size_bytes;
    }
    mr_heap_fini(&heap);
    fault_disk_fini(&disk);
    return at;
}

static void run_random(uint64_t seed, uint64_t rounds)
{
    static uint8_t damaged[sizeof input];
    struct mr_prng prng;
    size_t size = make();

    mr_prng_init(&prng, seed, 1);
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t hits = mr_prng_below(&prng, 6);

        memcpy(damaged, input, size);
        damaged[0] = (uint8_t)(round % 4 != 0);
        for (uint64_t i = 0; i < hits; i++) {
            size_t at = 1 + (size_t)mr_prng_below(&prng, size - 1);

            damaged[at] = (uint8_t)(mr_prng_below(&prng, 2) ? mr_prng_next(&prng) : 255);
        }
        (void)LLVMFuzzerTestOneInput(damaged, size);
    }
    printf("%llu damaged savepoints read (seed %llu)\n", (unsigned long long)rounds,
           (unsigned long long)seed);
}

#ifdef MR_FUZZ_TEST

MR_TEST(savepoint_read_fuzz, damaged_savepoints_are_read_or_refused_without_harm)
{
    run_random(1, 4000);
}

#else

#include "fuzz_driver.h"

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 4000, input, sizeof input, LLVMFuzzerTestOneInput, run_random);
}

#endif
#endif
