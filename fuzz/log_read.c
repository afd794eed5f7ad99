/* log_read.c - a topic whose files hold anything: reading, following, looking and going on behind it
 * never crash, never read behind an end, and leave nothing open or lost.
 *
 * An input is a sequence of files: type (1 byte: topic, attempt, closed, segment, position of a
 * reader), generation (1), segment (1), size (2, little endian), bytes. If the first byte of the
 * input is odd, the sums of records are made right, so that what lies behind them is reached.
 *
 * Built for libFuzzer with -DMR_FUZZER=1, as one of the tests with -DMR_FUZZ_TEST=1. The plain program
 * runs the files named as arguments; without arguments it makes a topic, damages copies of it, and
 * runs those:
 *     log_read [-n ROUNDS] [-s SEED] [FILE...] */
#include "base/arena.h"
#include "base/crc.h"
#include "base/prng.h"
#include "connect/connect.h"
#include "connect/log/topic.h"
#include "data/builder.h"
#include "fault_disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef MR_FUZZ_TEST
#include "mr_test.h"
#endif

#define TOPIC     "d/t"
#define TURNS_MAX 20000u

enum type { TYPE_TOPIC, TYPE_ATTEMPT, TYPE_CLOSED, TYPE_SEGMENT, TYPE_POSITION, TYPE_COUNT };

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

static void name_of(enum type type, uint32_t generation, uint32_t segment, char out[64])
{
    switch (type) {
    case TYPE_TOPIC: (void)snprintf(out, 64, TOPIC "/topic"); break;
    case TYPE_ATTEMPT: (void)snprintf(out, 64, TOPIC "/attempt-%u", generation); break;
    case TYPE_CLOSED: (void)snprintf(out, 64, TOPIC "/closed-%u-0", generation); break;
    case TYPE_SEGMENT:
        (void)snprintf(out, 64, TOPIC "/p0/seg-%u-%u.log", generation, segment);
        break;
    case TYPE_POSITION:
    case TYPE_COUNT: (void)snprintf(out, 64, "position"); break;
    }
}

/* ---- one input ---- */

static uint64_t touched;

static void look_at(const struct mr_batch *batch)
{
    for (uint32_t row = 0; row < batch->row_count; row++) {
        struct mr_bytes text = {NULL, 0};

        touched += (uint64_t)mr_column_int64(&batch->columns[0], row);
        if (batch->column_count < 2 || batch->columns[1].type != MR_UTF8) continue;
        if (mr_column_valid(&batch->columns[1], row)) text = mr_column_bytes(&batch->columns[1], row);
        touched += mr_crc32c(0, text.data, text.size_bytes);
    }
}

static void read_split(struct mr_heap *heap, struct mr_disk *disk, struct mr_quota *quota,
                       const struct mr_source *source, const struct mr_split *split,
                       struct mr_bytes resume, bool follow)
{
    const struct mr_reader_context context = {.heap = heap, .disk = disk, .resume = resume};
    enum mr_source_flow flow = MR_SOURCE_MORE;
    struct mr_error err;
    void *reader = NULL;

    if (source->ops->open(source->spec, split, &context, &reader, &err) != MR_OK) return;
    for (uint32_t turn = 0; flow != MR_SOURCE_DONE; turn++) {
        struct mr_batch *batch = NULL;

        if (turn == TURNS_MAX) abort(); /* it never ends */
        if (follow && turn > 200) break;
        if (source->ops->read(reader, quota, 1000, &flow, &batch, &err) != MR_OK) break;
        if (batch != NULL) look_at(batch);
        mr_batch_release(batch);
    }
    source->ops->close(reader);
}

static void read_topic(struct fault_disk *disk, struct mr_heap *heap, struct mr_bytes position,
                       bool follow)
{
    const struct mr_log_source_options options = {.path = TOPIC, .follow = follow};
    const struct mr_plan_context context = {heap, &disk->disk, true};
    struct mr_split_list splits = {.count = 0};
    struct mr_arena arena;
    struct mr_source source;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_error err;

    if (mr_log_source(heap, &disk->disk, &options, &source, &err) != MR_OK) return;
    if (mr_pool_create(heap, 32u << 20, &pool, &err) != MR_OK) abort();
    mr_quota_init(&quota, pool, "fuzz", 8u << 20);
    mr_arena_init(&arena, heap);
    splits.arena = &arena;
    if (source.ops->plan(source.spec, &context, &splits, &err) == MR_OK) {
        for (uint32_t i = 0; i < splits.count && i < 2; i++) {
            read_split(heap, &disk->disk, &quota, &source, &splits.splits[i],
                       (struct mr_bytes){NULL, 0}, follow);
            if (position.size_bytes == 0) continue;
            read_split(heap, &disk->disk, &quota, &source, &splits.splits[i], position, follow);
        }
    }
    mr_arena_fini(&arena);
    mr_pool_destroy(pool);
    source.ops->destroy(source.spec);
    mr_schema_release(source.schema);
}

static const struct mr_field fields[] = {{.name = "n", .type = MR_INT64, .not_null = true},
                                         {.name = "name", .type = MR_UTF8}};

/* A job that comes after. */
static void go_on(struct fault_disk *disk, struct mr_heap *heap)
{
    const struct mr_log_sink_options options = {.path = "log://" TOPIC};
    struct mr_recover_context context = {
        .heap = heap, .disk = &disk->disk, .instance_count = 1, .fence = 9};
    struct mr_schema *schema;
    struct mr_sink sink;
    struct mr_error err;

    if (mr_schema_create(heap, fields, 2, &schema, &err) != MR_OK) abort();
    context.schema = schema;
    if (mr_log_sink(heap, &options, &sink, &err) != MR_OK) abort();
    (void)sink.ops->recover(sink.spec, &context, &err);
    sink.ops->destroy(sink.spec);
    mr_schema_release(schema);
}

static void exercise(struct fault_disk *disk)
{
    const struct fault_inode *inode = fault_disk_find(disk, "position");
    struct mr_bytes position = {NULL, 0};
    struct mr_text text;
    struct mr_error err;
    struct mr_heap heap;

    if (inode != NULL) position = (struct mr_bytes){inode->data, inode->size_bytes};
    mr_heap_init(&heap, "fuzz", 256u << 20, raw_alloc, raw_free, NULL);
    read_topic(disk, &heap, position, false);
    read_topic(disk, &heap, position, true);
    mr_text_init(&text, &heap, 65536);
    touched += (uint64_t)mr_log_info(&heap, &disk->disk, TOPIC, &text, &err);
    mr_text_fini(&text);
    go_on(disk, &heap);
    read_topic(disk, &heap, position, false);
    mr_heap_fini(&heap);
    for (uint32_t i = 3; i < MR_COUNT(disk->open); i++) {
        if (disk->open[i] != NULL) abort(); /* a file was left open */
    }
}

static uint64_t get(const char *at, uint32_t count)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < count; i++) value |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return value;
}

static void put32(char *at, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++) at[i] = (char)(value >> (8 * i) & 0xff);
}

static void repair(char *data, size_t size, enum type type)
{
    if (type == TYPE_POSITION) {
        if (size >= 8) put32(data + size - 4, mr_crc32c(0, data, size - 4));
        return;
    }
    for (size_t at = 0; size - at >= 32 && get(data + at, 4) == 0x3154524du;) {
        uint64_t length = get(data + at + 12, 4);

        if (length > size - at - 32) return;
        put32(data + at + 4, mr_crc32c(0, data + at + 8, (size_t)length + 24));
        at += 32 + (size_t)length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct fault_disk *disk = calloc(1, sizeof *disk);
    bool repairs = size_bytes > 0 && (data[0] & 1) != 0;

    if (disk == NULL) abort();
    fault_disk_init(disk, 1);
    for (size_t at = 1, files = 0; size_bytes >= at + 5 && files < 40; files++) {
        enum type type = (enum type)(data[at] % TYPE_COUNT);
        size_t size = MR_MIN((size_t)data[at + 3] | (size_t)data[at + 4] << 8, size_bytes - at - 5);
        char name[64];
        char *copy = malloc(size + 1);

        if (copy == NULL) abort();
        memcpy(copy, data + at + 5, size);
        if (repairs) repair(copy, size, type);
        name_of(type, data[at + 1], data[at + 2], name);
        fault_disk_remove(disk, name);
        fault_disk_put(disk, name, copy, size);
        free(copy);
        at += 5 + size;
    }
    exercise(disk);
    fault_disk_fini(disk);
    free(disk);
    return 0;
}

/* ---- made-up inputs ---- */

#ifndef MR_FUZZER

static uint8_t input[1u << 20];

static size_t add_file(size_t at, enum type type, uint32_t generation, uint32_t segment,
                       const char *data, size_t size)
{
    input[at++] = (uint8_t)type;
    input[at++] = (uint8_t)generation;
    input[at++] = (uint8_t)segment;
    input[at++] = (uint8_t)size;
    input[at++] = (uint8_t)(size >> 8);
    memcpy(input + at, data, size);
    return at + size;
}

static size_t pack(struct fault_disk *disk, const struct mr_buffer *position)
{
    size_t at = 1;

    for (uint32_t generation = 0; generation < 4; generation++) {
        for (uint32_t type = 0; type < TYPE_POSITION; type++) {
            for (uint32_t segment = 0; segment < 6; segment++) {
                struct fault_inode *inode;
                char name[64];

                if (segment > 0 && type != TYPE_SEGMENT) break;
                if (generation > 0 && type == TYPE_TOPIC) break;
                name_of((enum type)type, generation, segment, name);
                inode = fault_disk_find(disk, name);
                if (inode == NULL) continue;
                at = add_file(at, (enum type)type, generation, segment, inode->data,
                              MR_MIN(inode->size_bytes, (size_t)65535));
            }
        }
    }
    return add_file(at, TYPE_POSITION, 0, 0, position->data, position->size_bytes);
}

static struct mr_batch *some_rows(struct mr_heap *heap, struct mr_schema *schema,
                                  struct mr_quota *quota)
{
    struct mr_builder *builder;
    struct mr_batch *batch;
    struct mr_error err;

    if (mr_builder_create(heap, schema, 0, 50, quota, &builder, &err) != MR_OK) abort();
    for (int64_t i = 0; i < 50; i++) {
        if (mr_builder_begin_row(builder) != MR_BUILD_OK) abort();
        mr_builder_set_int64(builder, 0, i);
        if (mr_builder_set_bytes(builder, 1, "some name or other", (size_t)(i % 18)) != MR_BUILD_OK) {
            abort();
        }
        mr_builder_commit_row(builder);
    }
    batch = mr_builder_take(builder);
    mr_builder_destroy(builder);
    return batch;
}

/* Two attempts, the second one open. */
static void write_attempt(struct fault_disk *disk, struct mr_heap *heap, struct mr_schema *schema,
                          struct mr_quota *quota, uint64_t fence, struct mr_buffer *state)
{
    const struct mr_log_sink_options options = {.path = "log://" TOPIC "?segment=4KiB"};
    struct mr_bytes bytes = {state->data, state->size_bytes};
    const struct mr_recover_context recover = {.heap = heap,
                                               .disk = &disk->disk,
                                               .schema = schema,
                                               .instance_count = 1,
                                               .fence = fence,
                                               .states = &bytes,
                                               .state_count = state->size_bytes > 0};
    const struct mr_writer_context context = {.heap = heap,
                                              .disk = &disk->disk,
                                              .instance_count = 1,
                                              .schema = schema,
                                              .fence = fence};
    struct mr_error err;
    struct mr_sink sink;
    void *writer;
    bool good;

    good = mr_log_sink(heap, &options, &sink, &err) == MR_OK &&
           sink.ops->recover(sink.spec, &recover, &err) == MR_OK &&
           sink.ops->open(sink.spec, &context, &writer, &err) == MR_OK;
    for (uint64_t epoch = 1; epoch <= 3 && good; epoch++) {
        struct mr_batch *batch = some_rows(heap, schema, quota);
        enum mr_sink_flow flow;

        mr_buffer_clear(state);
        good = sink.ops->write(writer, batch, &flow, &err) == MR_OK &&
               sink.ops->prepare(writer, epoch, state, &flow, &err) == MR_OK &&
               sink.ops->commit_epoch(writer, epoch, &flow, &err) == MR_OK;
        mr_batch_release(batch);
    }
    if (!good) { fprintf(stderr, "%s\n", err.text); abort(); }
    sink.ops->close(writer);
    sink.ops->destroy(sink.spec);
}

static void take_position(struct fault_disk *disk, struct mr_heap *heap, struct mr_quota *quota,
                          struct mr_buffer *out)
{
    const struct mr_log_source_options options = {.path = TOPIC};
    const struct mr_reader_context context = {.heap = heap, .disk = &disk->disk};
    const struct mr_split split = {.name = TOPIC, .detail = 200};
    enum mr_source_flow flow;
    struct mr_batch *batch = NULL;
    struct mr_source source;
    struct mr_error err;
    void *reader;

    if (mr_log_source(heap, &disk->disk, &options, &source, &err) != MR_OK ||
        source.ops->open(source.spec, &split, &context, &reader, &err) != MR_OK ||
        source.ops->read(reader, quota, 70, &flow, &batch, &err) != MR_OK ||
        source.ops->position(reader, out, &err) != MR_OK) {
        abort();
    }
    mr_batch_release(batch);
    source.ops->close(reader);
    source.ops->destroy(source.spec);
    mr_schema_release(source.schema);
}

static size_t make_input(void)
{
    struct fault_disk *disk = calloc(1, sizeof *disk);
    struct mr_buffer state, position;
    struct mr_schema *schema;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_error err;
    struct mr_heap heap;
    size_t size;

    if (disk == NULL) abort();
    fault_disk_init(disk, 1);
    mr_heap_init(&heap, "made", SIZE_MAX, raw_alloc, raw_free, NULL);
    mr_buffer_init(&state, &heap);
    mr_buffer_init(&position, &heap);
    if (mr_pool_create(&heap, 32u << 20, &pool, &err) != MR_OK ||
        mr_schema_create(&heap, fields, 2, &schema, &err) != MR_OK) {
        abort();
    }
    mr_quota_init(&quota, pool, "made", 8u << 20);
    write_attempt(disk, &heap, schema, &quota, 1, &state);
    write_attempt(disk, &heap, schema, &quota, 2, &state);
    take_position(disk, &heap, &quota, &position);
    size = pack(disk, &position);
    mr_buffer_fini(&state);
    mr_buffer_fini(&position);
    mr_schema_release(schema);
    mr_pool_destroy(pool);
    mr_heap_fini(&heap);
    fault_disk_fini(disk);
    free(disk);
    return size;
}

/* A few bytes become others, mostly near the start of a record. */
static void damage(struct mr_prng *prng, size_t size)
{
    uint32_t times = 1 + (uint32_t)mr_prng_below(prng, 6);

    input[0] = (uint8_t)mr_prng_below(prng, 4);
    for (uint32_t i = 0; i < times; i++) {
        size_t at = (size_t)mr_prng_below(prng, size - 1) + 1;

        for (uint32_t tries = 0; tries < 3 && input[at] == 0; tries++) {
            at = (size_t)mr_prng_below(prng, size - 1) + 1;
        }
        switch (mr_prng_below(prng, 4)) {
        case 0: input[at] = (uint8_t)mr_prng_below(prng, 256); break;
        case 1: input[at] ^= (uint8_t)(1u << mr_prng_below(prng, 8)); break;
        case 2: input[at] = 0xff; break;
        default: input[at] = (uint8_t)(input[at] + 1); break;
        }
    }
}

static void run_random(uint64_t seed, uint64_t rounds)
{
    size_t size = make_input();
    uint8_t *whole = malloc(size);
    struct mr_prng prng;

    if (whole == NULL) abort();
    memcpy(whole, input, size);
    touched = 0;
    input[0] = 0;
    (void)LLVMFuzzerTestOneInput(input, size);
    if (touched == 0) abort(); /* the undamaged topic must be readable, or nothing is tried */
    mr_prng_init(&prng, seed, 1);
    for (uint64_t i = 0; i < rounds; i++) {
        memcpy(input, whole, size);
        damage(&prng, size);
        (void)LLVMFuzzerTestOneInput(input, mr_prng_below(&prng, 8) == 0
                                                ? (size_t)mr_prng_below(&prng, size)
                                                : size);
    }
    free(whole);
}

#ifdef MR_FUZZ_TEST

MR_TEST(log_read_fuzz, damaged_topics_are_read_or_refused_without_harm)
{
    run_random(1, 1000);
}

#else

#include "fuzz_driver.h"

int main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 1000, input, sizeof input, LLVMFuzzerTestOneInput, run_random);
}

#endif
#endif
