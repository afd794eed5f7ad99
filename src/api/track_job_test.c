/* track_job_test.c - jobs with record tracking from end to end: every row arrives, whatever fails on
 * the way, and the source hears of each. */
#include "mr_test.h"
#include <millrace/millrace.h>

#include <stdatomic.h>
#include <stdlib.h>

#define ROWS  20000
#define PARTS 2

/* Shared by all instances of source, function and sink. */
static _Atomic uint32_t tries[ROWS];
static _Atomic uint32_t seen[ROWS];
static _Atomic uint32_t told[ROWS];
static _Atomic uint32_t early; /* completed before they were written */

struct reader {
    int64_t next, end;
    int64_t again[ROWS];
    uint32_t again_count;
};

static enum mr_status open_reader(void *user, uint32_t partition, void **out)
{
    struct reader *reader = calloc(1, sizeof *reader);

    (void)user;
    if (reader == NULL) return MR_E_NOMEM;
    reader->next = ROWS / PARTS * (int64_t)partition;
    reader->end = reader->next + ROWS / PARTS;
    *out = reader;
    return MR_OK;
}

static enum mr_status read_rows(void *self, uint32_t limit, struct mr_emitter *out,
                                enum mr_read_result *out_result)
{
    struct reader *reader = self;

    for (uint32_t i = 0; i < limit && i < 500; i++) {
        if (reader->again_count > 0) {
            mr_emit_int64(out, 0, reader->again[--reader->again_count]);
        } else if (reader->next < reader->end) {
            mr_emit_int64(out, 0, reader->next++);
        } else {
            *out_result = MR_READ_END;
            return MR_OK;
        }
        if (mr_emit_row(out) != MR_OK) return MR_E_NOMEM;
    }
    return MR_OK;
}

static void close_reader(void *self)
{
    free(self);
}

static void completed(void *self, int64_t id)
{
    (void)self;
    if (atomic_load(&seen[id]) == 0) atomic_fetch_add(&early, 1);
    atomic_fetch_add(&told[id], 1);
}

static void failed(void *self, int64_t id)
{
    struct reader *reader = self;

    reader->again[reader->again_count++] = id;
}

/* Every 50th row fails the first time; every 7th becomes two. */
static enum mr_status unsteady(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    int64_t id = mr_row_int64(row, 0);

    (void)user;
    if (atomic_fetch_add(&tries[id], 1) == 0 && id % 50 == 3) return MR_E_AGAIN;
    for (int i = 0; i < (id % 7 == 0 ? 2 : 1); i++) {
        mr_emit_int64(out, 0, id);
        if (mr_emit_row(out) != MR_OK) return MR_E_NOMEM;
    }
    return MR_OK;
}

static enum mr_status open_writer(void *user, uint32_t instance, void **out)
{
    (void)instance;
    *out = user;
    return MR_OK;
}

static enum mr_status write_rows(void *writer, const struct mr_batch *batch)
{
    const int64_t *ids = mr_batch_int64s(batch, 0);

    (void)writer;
    for (uint32_t i = 0; i < mr_batch_rows(batch); i++) atomic_fetch_add(&seen[ids[i]], 1);
    return MR_OK;
}

static const struct mr_field id_field = {.name = "id", .type = MR_INT64, .not_null = true};

static struct mr_stream *read_source(struct mr_job *job, bool listens)
{
    struct mr_source_functions functions = {.size = sizeof functions,
                                            .partitions = PARTS,
                                            .open = open_reader,
                                            .read = read_rows,
                                            .close = close_reader};

    if (listens) {
        functions.completed = completed;
        functions.failed = failed;
    }
    return mr_read_source(job, "rows", &functions, NULL, &id_field, 1, false);
}

static struct mr_job *new_job(uint32_t workers, bool no_fusion)
{
    struct mr_job_options options = {.size = sizeof options,
                                     .workers = workers,
                                     .memory_bytes = (size_t)256 << 20,
                                     .no_fusion = no_fusion,
                                     .track = true,
                                     .track_pending = 2048};
    struct mr_job *job = mr_job_create("tracked", &options);

    for (uint32_t i = 0; i < ROWS; i++) {
        atomic_store(&tries[i], 0);
        atomic_store(&seen[i], 0);
        atomic_store(&told[i], 0);
    }
    atomic_store(&early, 0);
    MR_EXPECT(job != NULL);
    return job;
}

static void run_through(uint32_t workers, bool no_fusion, bool one_writer, bool listens)
{
    struct mr_job *job = new_job(workers, no_fusion);
    struct mr_sink_functions sink = {.size = sizeof sink,
                                     .one_instance = one_writer,
                                     .open = open_writer,
                                     .write = write_rows};
    struct mr_summary summary = {0};

    mr_write_sink(mr_map_rows(read_source(job, listens), unsteady, NULL, NULL), "out", &sink, job);
    if (mr_job_run(job, &summary) != MR_OK) MR_FAIL("%s", mr_job_error(job));
    for (uint32_t i = 0; i < ROWS; i++) {
        MR_EXPECT_EQ_UINT(atomic_load(&seen[i]), i % 7 == 0 ? 2 : 1);
        MR_EXPECT_EQ_UINT(atomic_load(&tries[i]), i % 50 == 3 ? 2 : 1);
        if (listens) MR_EXPECT_EQ_UINT(atomic_load(&told[i]), 1);
    }
    MR_EXPECT_EQ_UINT(atomic_load(&early), 0);
    mr_job_destroy(job);
}

MR_TEST(track_job, rows_that_fail_are_read_again_by_a_source_that_keeps_them)
{
    run_through(1, false, false, true);
    run_through(2, false, false, true);
    run_through(2, true, true, true);
}

MR_TEST(track_job, rows_that_fail_are_sent_again_for_a_source_that_does_not_keep_them)
{
    run_through(1, false, false, false);
    run_through(2, true, false, false);
    run_through(2, true, true, false);
}

/* Poison ends the job by the usual policy, with the row in the message. */
static enum mr_status poison(void *user, const struct mr_row *row, struct mr_emitter *out)
{
    (void)user;
    if (mr_row_int64(row, 0) == 77) return MR_E_AGAIN;
    mr_emit_int64(out, 0, mr_row_int64(row, 0));
    return mr_emit_row(out);
}

MR_TEST(track_job, a_row_that_always_fails_goes_to_the_policy_for_bad_records)
{
    struct mr_job *job = new_job(2, false);
    struct mr_summary summary = {0};

    mr_discard(mr_map_rows(read_source(job, false), poison, NULL, NULL));
    MR_EXPECT_EQ_INT(mr_job_run(job, &summary), MR_E_AGAIN);
    MR_EXPECT_CONTAINS(mr_job_error(job), "row: 77");
    mr_job_destroy(job);
}

MR_TEST(track_job, an_aggregate_cannot_be_tracked_and_the_text_says_what_can)
{
    struct mr_job *job = new_job(2, false);
    const char *keys[] = {"id"};
    const struct mr_aggregate count = {.name = "n", .function = "count"};
    struct mr_summary summary = {0};

    mr_discard(mr_set_id(mr_aggregate(mr_key_by_columns(read_source(job, false), keys, 1), &count, 1), "per-id"));
    MR_EXPECT_EQ_INT(mr_job_run(job, &summary), MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(mr_job_error(job), "per-id");
    MR_EXPECT_CONTAINS(mr_job_error(job), "--state-dir");
    mr_job_destroy(job);
}
