/* source_test_helper.h - reads a whole source and writes down what it gave, for the tests of
 * sources.
 *
 * Rows become lines `a|b|NULL`, rejected records lines `line:column: reason [raw]`, both in the
 * order of the splits, however the readers were interleaved. What a batch says about its origin is
 * checked on the way.
 *
 * Owns:    a result owns its texts (malloc, not the heap under test).
 * Thread:  confined.
 * Fails:   the status of the first call that failed.
 * Cost:    none that matters.
 */
#ifndef MR_CONNECT_SOURCE_TEST_HELPER_H
#define MR_CONNECT_SOURCE_TEST_HELPER_H

#include "base/arena.h"
#include "connect/connect.h"
#include "mr_test.h"

#include <stdio.h>
#include <stdlib.h>

struct source_run {
    uint32_t row_limit; /* per read; 0: 4096 */
    size_t quota_bytes; /* 0: 8 MiB */
    bool streaming;
    bool interleaved; /* all readers open at once, one read each in turn */
    bool fail_on_reject;
    const uint64_t *projection;
    uint32_t keep_batches; /* so many batches are held before the oldest is released */
};

struct source_result {
    enum mr_status status;
    struct mr_error err;
    char *rows;
    char *rejects;
    uint32_t splits;
    uint32_t batches;
    uint64_t row_count;
    bool bounded;
};

struct source_part { /* one split */
    void *reader;
    bool done;
    char *rows;
    size_t rows_size;
    FILE *rows_file;
    char *rejects;
    size_t rejects_size;
    FILE *rejects_file;
    uint64_t next_row;
    bool fail;
    struct mr_quota quota; /* every reader has its own */
};

static enum mr_status helper_reject(void *self, const struct mr_reject *reject,
                                    struct mr_error *err)
{
    struct source_part *part = self;

    (void)fprintf(part->rejects_file, "%llu:%u: %s [%.*s]\n", (unsigned long long)reject->line,
                  reject->column, reject->reason, (int)MR_MIN(reject->raw.size_bytes, (size_t)60),
                  reject->raw.data);
    if (part->fail) return mr_error_set(err, MR_E_RECORD, "%s", reject->reason);
    return MR_OK;
}

static void helper_print(FILE *out, const struct mr_column *column, uint32_t row)
{
    struct mr_bytes bytes;

    if (!mr_column_valid(column, row)) {
        (void)fputs("NULL", out);
        return;
    }
    switch ((enum mr_type)column->type) {
    case MR_UTF8:
    case MR_BINARY:
        bytes = mr_column_bytes(column, row);
        (void)fwrite(bytes.data, 1, bytes.size_bytes, out);
        break;
    case MR_FLOAT32:
    case MR_FLOAT64: (void)fprintf(out, "%.17g", mr_column_float64(column, row)); break;
    case MR_DECIMAL: {
        mr_i128 value = mr_column_int128(column, row);

        (void)fprintf(out, "%lld*%u", (long long)value, column->scale);
        break;
    }
    case MR_TYPE_NONE:
    case MR_BOOL:
    case MR_INT8:
    case MR_INT16:
    case MR_INT32:
    case MR_INT64:
    case MR_DATE:
    case MR_TIME:
    case MR_TIMESTAMP:
    case MR_TIMESTAMP_LTZ:
    case MR_INTERVAL:
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: (void)fprintf(out, "%lld", (long long)mr_column_int64(column, row)); break;
    }
}

static void helper_take(struct source_part *part, uint32_t split, const struct mr_batch *batch)
{
    MR_EXPECT(batch->row_count > 0);
    MR_EXPECT(batch->origin.known);
    MR_EXPECT_EQ_UINT(batch->origin.split, split);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        uint64_t source_row = mr_batch_source_row(batch, row);

        MR_EXPECT(source_row >= part->next_row); /* in order, gaps only where rows were rejected */
        part->next_row = source_row + 1;
        for (uint32_t c = 0; c < batch->column_count; c++) {
            if (c > 0) (void)fputc('|', part->rows_file);
            helper_print(part->rows_file, &batch->columns[c], row);
        }
        (void)fputc('\n', part->rows_file);
    }
}

static enum mr_status helper_step(struct mr_source *source, struct source_part *part,
                                  const struct mr_split *split, const struct source_run *run,
                                  struct mr_batch **kept, struct source_result *out)
{
    enum mr_source_flow flow;
    struct mr_batch *batch = NULL;
    uint32_t limit = run->row_limit > 0 ? run->row_limit : 4096;

    MR_RET(source->ops->read(part->reader, &part->quota, limit, &flow, &batch, &out->err));
    part->done = flow == MR_SOURCE_DONE;
    if (flow != MR_SOURCE_MORE) MR_EXPECT(batch == NULL);
    if (flow == MR_SOURCE_BLOCKED && run->keep_batches > 0) { /* give memory back */
        for (uint32_t i = 0; i < run->keep_batches; i++) {
            mr_batch_release(kept[i]);
            kept[i] = NULL;
        }
    }
    if (batch == NULL) return MR_OK;
    MR_EXPECT(batch->row_count <= limit);
    helper_take(part, split->ordinal, batch);
    out->batches++;
    out->row_count += batch->row_count;
    if (run->keep_batches == 0) {
        mr_batch_release(batch);
    } else {
        struct mr_batch **slot = &kept[out->batches % run->keep_batches];

        mr_batch_release(*slot);
        *slot = batch;
    }
    return MR_OK;
}

static enum mr_status helper_open(struct mr_source *source, struct source_part *part,
                                  const struct mr_split *split, struct mr_heap *heap,
                                  struct mr_disk *disk, const struct source_run *run,
                                  struct mr_error *err)
{
    const struct mr_reader_context context = {.heap = heap,
                                              .disk = disk,
                                              .reject = helper_reject,
                                              .reject_self = part,
                                              .projection = run->projection};

    part->fail = run->fail_on_reject;
    return source->ops->open(source->spec, split, &context, &part->reader, err);
}

static enum mr_status helper_read(struct mr_source *source, const struct mr_split_list *list,
                                  struct source_part *parts, struct mr_heap *heap,
                                  struct mr_disk *disk, const struct source_run *run,
                                  struct mr_batch **kept, struct source_result *out)
{
    uint32_t left = list->count;

    for (uint32_t i = 0; i < list->count && run->interleaved; i++) {
        MR_RET(helper_open(source, &parts[i], &list->splits[i], heap, disk, run, &out->err));
    }
    while (left > 0) {
        for (uint32_t n = 0; n < list->count; n++) {
            /* The last split first, so that nobody has read what is before it. */
            uint32_t i = run->interleaved ? list->count - 1 - n : n;

            if (parts[i].done) continue;
            if (parts[i].reader == NULL) {
                MR_RET(
                    helper_open(source, &parts[i], &list->splits[i], heap, disk, run, &out->err));
            }
            do {
                MR_RET(helper_step(source, &parts[i], &list->splits[i], run, kept, out));
            } while (!parts[i].done && !run->interleaved);
            left -= parts[i].done;
            if (parts[i].done && !run->interleaved) {
                source->ops->close(parts[i].reader);
                parts[i].reader = NULL;
            }
        }
    }
    return MR_OK;
}

static char *helper_join(struct source_part *parts, uint32_t count, bool rejects)
{
    char *joined = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&joined, &size);

    MR_EXPECT(out != NULL);
    for (uint32_t i = 0; i < count; i++) {
        (void)fwrite(rejects ? parts[i].rejects : parts[i].rows, 1,
                     rejects ? parts[i].rejects_size : parts[i].rows_size, out);
    }
    (void)fclose(out);
    return joined;
}

/* Runs a source (it may be run again). free_result afterwards. */
static MR_UNUSED struct source_result run_source(struct mr_source *source, struct mr_heap *heap,
                                                 struct mr_disk *disk, struct source_run run)
{
    struct source_result result = {.status = MR_OK};
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    const struct mr_plan_context plan = {heap, disk, run.streaming};
    struct mr_pool *pool = NULL;
    struct source_part *parts = NULL;
    struct mr_batch *kept[16] = {NULL};

    mr_arena_init(&arena, heap);
    result.status = source->ops->plan(source->spec, &plan, &list, &result.err);
    if (result.status == MR_OK) {
        result.status = mr_pool_create(heap, (size_t)1 << 30, &pool, &result.err);
    }
    if (result.status == MR_OK) {
        parts = calloc(list.count, sizeof *parts);
        MR_EXPECT(parts != NULL);
        for (uint32_t i = 0; i < list.count; i++) {
            mr_quota_init(&parts[i].quota, pool, "test",
                          run.quota_bytes > 0 ? run.quota_bytes : (size_t)8 << 20);
            parts[i].rows_file = open_memstream(&parts[i].rows, &parts[i].rows_size);
            parts[i].rejects_file = open_memstream(&parts[i].rejects, &parts[i].rejects_size);
        }
        result.status = helper_read(source, &list, parts, heap, disk, &run, kept, &result);
        for (uint32_t i = 0; i < list.count; i++) {
            (void)fclose(parts[i].rows_file);
            (void)fclose(parts[i].rejects_file);
            if (parts[i].reader != NULL) source->ops->close(parts[i].reader);
        }
        result.rows = helper_join(parts, list.count, false);
        result.rejects = helper_join(parts, list.count, true);
        result.splits = list.count;
        result.bounded = list.bounded;
    }
    for (uint32_t i = 0; i < MR_COUNT(kept); i++) mr_batch_release(kept[i]);
    for (uint32_t i = 0; parts != NULL && i < list.count; i++) {
        free(parts[i].rows);
        free(parts[i].rejects);
    }
    if (pool != NULL) mr_pool_destroy(pool); /* no block of any quota is left */
    free(parts);
    mr_arena_fini(&arena);
    return result;
}

static MR_UNUSED void free_result(struct source_result *result)
{
    free(result->rows);
    free(result->rejects);
    memset(result, 0, sizeof *result);
}

static MR_UNUSED void end_source(struct mr_source *source)
{
    source->ops->destroy(source->spec);
    mr_schema_release(source->schema);
}

#endif
