/* csv_threads_test.c - several threads read splits of one file, each in an order that makes it
 * look at what the others have not read yet. */
#include "connect/csv/csv_internal.h"
#include "connect/source_test_helper.h"
#include "port/posix/posix.h"

#include <pthread.h>

#define THREADS 4u
#define RECORDS 20000u

static struct mr_port port;
static struct mr_source source;
static struct mr_split_list list;
static struct mr_pool *pool;
static _Atomic uint32_t taken;
static _Atomic uint64_t rows_seen;
static _Atomic uint64_t sum_seen;
static _Atomic uint64_t rejects_seen;
static _Atomic uint32_t failures;

static enum mr_status count_reject(void *self, const struct mr_reject *reject, struct mr_error *err)
{
    (void)self;
    (void)reject;
    (void)err;
    atomic_fetch_add(&rejects_seen, 1);
    return MR_OK;
}

static enum mr_status read_split(const struct mr_split *split, struct mr_disk *disk,
                                 struct mr_quota *quota, struct mr_error *err)
{
    const struct mr_reader_context context = {
        .heap = mr_test_heap(), .disk = disk, .reject = count_reject};
    enum mr_source_flow flow = MR_SOURCE_MORE;
    enum mr_status st;
    void *reader;

    MR_RET(source.ops->open(source.spec, split, &context, &reader, err));
    do {
        struct mr_batch *batch = NULL;

        st = source.ops->read(reader, quota, 100, &flow, &batch, err);
        if (batch == NULL) continue;
        atomic_fetch_add(&rows_seen, batch->row_count);
        for (uint32_t row = 0; row < batch->row_count; row++) {
            atomic_fetch_add(&sum_seen, (uint64_t)mr_column_int64(&batch->columns[1], row));
        }
        mr_batch_release(batch);
    } while (st == MR_OK && flow != MR_SOURCE_DONE);
    source.ops->close(reader);
    return st;
}

static void *read_some(void *self)
{
    struct mr_disk *disk = port.disk_create(port.self, mr_test_heap());
    struct mr_quota *quota = self;
    struct mr_error err;
    uint32_t n;

    while ((n = atomic_fetch_add(&taken, 1)) < list.count) {
        if (read_split(&list.splits[list.count - 1 - n], disk, quota, &err) != MR_OK) {
            atomic_fetch_add(&failures, 1);
        }
    }
    port.disk_destroy(port.self, disk);
    return NULL;
}

static void write_file(const char *path)
{
    FILE *file = fopen(path, "w");

    MR_EXPECT(file != NULL);
    (void)fputs("a,n,b\n", file);
    for (uint32_t i = 0; i < RECORDS; i++) {
        if (i % 100 == 50) (void)fputs("bad\"quote,1,x\n", file);
        (void)fprintf(file, "\"line %u\nand \"\"more\"\", or not\",%u,\"\"\n", i, i);
    }
    MR_EXPECT_EQ_INT(fclose(file), 0);
}

MR_TEST(csv_threads, readers_of_one_file_agree_about_its_records)
{
    static const struct mr_field fields[] = {{.name = "a", .type = MR_UTF8},
                                             {.name = "n", .type = MR_INT64},
                                             {.name = "b", .type = MR_UTF8}};
    char path[600];
    const struct mr_csv_options options = {.path = path, .fields = fields, .field_count = 3};
    struct mr_arena arena;
    struct mr_plan_context plan = {.heap = mr_test_heap()};
    struct mr_quota quotas[THREADS];
    pthread_t threads[THREADS];
    struct mr_error err;

    (void)snprintf(path, sizeof path, "%s/in.csv", mr_test_dir());
    write_file(path);
    MR_EXPECT_OK(mr_posix_port_init(&port, 0, 1, &err), &err);
    plan.disk = port.disk_create(port.self, mr_test_heap());
    MR_EXPECT_OK(mr_csv_source(mr_test_heap(), &options, &source, &err), &err);
    mri_csv_source_split_bytes(&source, 5000);
    mr_arena_init(&arena, mr_test_heap());
    list = (struct mr_split_list){.arena = &arena};
    MR_EXPECT_OK(source.ops->plan(source.spec, &plan, &list, &err), &err);
    MR_EXPECT(list.count > 50);
    MR_EXPECT_OK(mr_pool_create(mr_test_heap(), (size_t)64 << 20, &pool, &err), &err);
    for (uint32_t i = 0; i < THREADS; i++) {
        mr_quota_init(&quotas[i], pool, "test", (size_t)1 << 20);
        MR_EXPECT_EQ_INT(pthread_create(&threads[i], NULL, read_some, &quotas[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) MR_EXPECT_EQ_INT(pthread_join(threads[i], NULL), 0);
    MR_EXPECT_EQ_UINT(failures, 0);
    MR_EXPECT_EQ_UINT(rows_seen, RECORDS);
    MR_EXPECT_EQ_UINT(rejects_seen, RECORDS / 100);
    MR_EXPECT_EQ_UINT(sum_seen, (uint64_t)RECORDS * (RECORDS - 1) / 2);
    mr_pool_destroy(pool);
    mr_arena_fini(&arena);
    end_source(&source);
    port.disk_destroy(port.self, plan.disk);
    mr_posix_port_fini(&port);
}
