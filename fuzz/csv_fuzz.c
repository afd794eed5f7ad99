/* csv_fuzz.c - any bytes through the CSV source: never a crash, and the same rows for any cutting.
 *
 * The first bytes choose options, the rest is the file. It is read in one go and again with tiny
 * splits and one-row batches; both must give the same number of rows and rejected records and the
 * same sum over all values.
 */
#include "base/arena.h"
#include "base/assert.h"
#include "connect/connect.h"
#include "connect/csv/csv_internal.h"
#include "memory_disk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

struct tally {
    uint64_t rows;
    uint64_t rejects;
    uint64_t sum;
};

static void *raw_alloc(void *self, size_t size_bytes)
{
    (void)self;
    return malloc(size_bytes);
}

static void raw_free(void *self, void *memory, size_t size_bytes)
{
    (void)self;
    (void)size_bytes;
    free(memory);
}

static enum mr_status count_reject(void *self, const struct mr_reject *reject, struct mr_error *err)
{
    struct tally *tally = self;

    (void)err;
    mr_assert(reject->reason != NULL);
    tally->rejects++;
    return MR_OK;
}

static void add_value(struct tally *tally, const struct mr_column *column, uint32_t row)
{
    struct mr_bytes bytes;

    if (!mr_column_valid(column, row)) {
        tally->sum += 0x9e3779b9;
    } else if (column->type == MR_UTF8) {
        bytes = mr_column_bytes(column, row);
        for (size_t i = 0; i < bytes.size_bytes; i++) {
            tally->sum = tally->sum * 31 + (unsigned char)bytes.data[i];
        }
    } else if (column->type == MR_FLOAT64) {
        tally->sum += mr_column_float64(column, row) > 0;
    } else {
        tally->sum += (uint64_t)mr_column_int64(column, row);
    }
}

static void read_split(struct mr_source *source, const struct mr_split *split, struct mr_heap *heap,
                       struct mr_disk *disk, struct mr_quota *quota, uint32_t row_limit,
                       struct tally *out)
{
    const struct mr_reader_context context = {
        .heap = heap, .disk = disk, .reject = count_reject, .reject_self = out};
    enum mr_source_flow flow = MR_SOURCE_MORE;
    struct mr_error err;
    void *reader;

    if (source->ops->open(source->spec, split, &context, &reader, &err) != MR_OK) return;
    while (flow != MR_SOURCE_DONE) {
        struct mr_batch *batch;

        if (source->ops->read(reader, quota, row_limit, &flow, &batch, &err) != MR_OK) break;
        if (batch == NULL) continue;
        for (uint32_t row = 0; row < batch->row_count; row++) {
            for (uint32_t c = 0; c < batch->column_count; c++)
                add_value(out, &batch->columns[c], row);
        }
        out->rows += batch->row_count;
        mr_batch_release(batch);
    }
    source->ops->close(reader);
}

static struct tally read_all(const struct mr_csv_options *options, uint64_t split_bytes,
                             uint32_t row_limit, struct mr_heap *heap, struct mr_disk *disk)
{
    struct tally tally = {0, 0, 0};
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    struct mr_plan_context plan = {heap, disk, false};
    struct mr_source source;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_error err;

    mr_arena_init(&arena, heap);
    if (mr_csv_source(heap, options, &source, &err) != MR_OK) return tally;
    if (mr_pool_create(heap, (size_t)8 << 20, &pool, &err) != MR_OK) abort();
    mr_quota_init(&quota, pool, "fuzz", (size_t)4 << 20);
    mri_csv_source_split_bytes(&source, split_bytes);
    if (source.ops->plan(source.spec, &plan, &list, &err) == MR_OK) {
        for (uint32_t i = 0; i < list.count; i++) {
            read_split(&source, &list.splits[i], heap, disk, &quota, row_limit, &tally);
        }
    }
    source.ops->destroy(source.spec);
    mr_schema_release(source.schema);
    mr_pool_destroy(pool);
    mr_arena_fini(&arena);
    return tally;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static const struct mr_field fields[] = {{.name = "a", .type = MR_UTF8},
                                             {.name = "n", .type = MR_INT64},
                                             {.name = "t", .type = MR_TIMESTAMP_LTZ},
                                             {.name = "x", .type = MR_FLOAT64}};
    static const char *const nulls[] = {"NA", "x"};
    struct mr_csv_options options = {.path = "in.csv", .fields = fields};
    struct mr_heap heap;
    struct memory_disk disk;
    struct tally whole, cut;

    if (size_bytes < 2) return 0;
    mr_heap_init(&heap, "fuzz", SIZE_MAX, raw_alloc, raw_free, NULL);
    memory_disk_init(&disk, &heap);
    memory_disk_put(&disk, "in.csv", data + 2, size_bytes - 2);
    options.field_count = 1 + data[0] % 4;
    options.no_header = data[0] & 4;
    options.delimiter = data[0] & 8 ? ';' : ',';
    options.null_literals = nulls;
    options.null_literal_count = data[0] >> 6 & 1;
    whole = read_all(&options, UINT64_C(1) << 40, 4096, &heap, &disk.disk);
    cut = read_all(&options, 4 + data[1] % 60, 1 + data[1] / 64, &heap, &disk.disk);
    if (whole.rows != cut.rows || whole.rejects != cut.rejects || whole.sum != cut.sum) abort();
    memory_disk_fini(&disk);
    mr_heap_fini(&heap);
    return 0;
}
