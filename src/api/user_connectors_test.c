/* user_connectors_test.c - own sources: what goes wrong in them is told by name. */
#include "base/arena.h"
#include "base/prng.h"
#include "mr_test.h"
#include "user_connectors.h"
#include <millrace/millrace.h>
#include <stdio.h>

enum fault { FAIL_WITH_WORDS, FAIL_WITH_STATUS, NO_RESULT, NO_TIME, NO_SUCH_COLUMN, NOT_UTF8 };

static enum mr_status open_reader(void *user, uint32_t partition, void **out_reader)
{
    (void)partition;
    *out_reader = user;
    return MR_OK;
}

static enum mr_status read_rows(void *reader, uint32_t row_limit, struct mr_emitter *out,
                                enum mr_read_result *out_result)
{
    (void)row_limit;
    *out_result = MR_READ_END;
    switch (*(enum fault *)reader) {
    case FAIL_WITH_WORDS: return mr_emitter_fail(out, "device %d is gone", 5);
    case FAIL_WITH_STATUS: return MR_E_IO;
    case NO_RESULT: *out_result = (enum mr_read_result)99; return MR_OK;
    case NO_TIME: mr_emit_int64(out, 0, 1); break;
    case NO_SUCH_COLUMN: mr_emit_int64(out, 7, 1); break;
    case NOT_UTF8: mr_emit_bytes(out, 1, "\xff", 1); break;
    }
    return mr_emit_row(out);
}

static void expect_told(enum fault fault, bool with_event_time, enum mr_status status,
                        const char *text)
{
    static const struct mr_field fields[] = {{.name = "n", .type = MR_INT64},
                                             {.name = "a", .type = MR_UTF8}};
    struct mr_source_functions functions = {
        .size = sizeof functions, .partitions = 1, .open = open_reader, .read = read_rows};
    struct mr_job *job = mr_job_create("test", NULL);

    mr_discard(mr_read_source(job, "dev", &functions, &fault, fields, 2, with_event_time));
    MR_EXPECT_EQ_INT(mr_job_run(job, NULL), status);
    MR_EXPECT_CONTAINS(mr_job_error(job), text);
    mr_job_destroy(job);
}

MR_TEST(user_connectors, when_an_own_source_fails_then_it_and_its_partition_are_named)
{
    expect_told(FAIL_WITH_WORDS, false, MR_E_USER_FUNCTION,
                "source 'dev': read of partition 0 failed: device 5 is gone");
    expect_told(FAIL_WITH_STATUS, false, MR_E_IO, "source 'dev': read of partition 0 failed: ");
    expect_told(NOT_UTF8, false, MR_E_RECORD, "source 'dev', partition 0: column 1 ('a') is utf8");
}

MR_TEST(user_connectors, when_an_own_source_is_wrong_then_it_is_told_what_to_do)
{
    expect_told(NO_RESULT, false, MR_E_INVALID,
                "source 'dev': read of partition 0 set out_result to 99, which is no enum "
                "mr_read_result");
    expect_told(NO_TIME, true, MR_E_INVALID,
                "source 'dev', partition 0: the stream has event times: call mr_emit_time before "
                "mr_emit_row");
    expect_told(NO_SUCH_COLUMN, false, MR_E_INVALID,
                "source 'dev', partition 0: there is no column number 7");
}

/* ---- going on in a later attempt ---- */

/* Counts from 0 to `rows` - 1, in reads of different sizes, some of many batches. */
struct counter {
    int64_t rows;
    int64_t next;
    struct mr_prng prng;
    uint64_t bursts; /* so many rows a read at most */
    bool shrank;
};

static enum mr_status open_counter(void *user, uint32_t partition, void **out_reader)
{
    struct counter *counter = user;

    (void)partition;
    counter->next = 0;
    *out_reader = counter;
    return MR_OK;
}

static enum mr_status read_counter(void *reader, uint32_t row_limit, struct mr_emitter *out,
                                   enum mr_read_result *out_result)
{
    struct counter *counter = reader;
    uint64_t count = mr_prng_below(&counter->prng, counter->bursts);

    (void)row_limit;
    for (; count > 0 && counter->next < counter->rows; count--) {
        char text[32];

        (void)snprintf(text, sizeof text, "row number %lld", (long long)counter->next);
        mr_emit_int64(out, 0, counter->next);
        mr_emit_bytes(out, 1, text, strlen(text));
        mr_emit_time(out, counter->next * 10);
        if (mr_emit_row(out) != MR_OK) return MR_E_INVALID;
        counter->next++;
    }
    *out_result = counter->next == counter->rows ? MR_READ_END : count % 2 ? MR_READ_IDLE : MR_READ_MORE;
    return MR_OK;
}

static enum mr_status position_counter(void *reader, void *bytes, size_t *out_size_bytes)
{
    struct counter *counter = reader;

    memcpy(bytes, &counter->next, sizeof counter->next);
    *out_size_bytes = sizeof counter->next;
    return MR_OK;
}

static enum mr_status resume_counter(void *reader, const void *bytes, size_t size_bytes)
{
    struct counter *counter = reader;

    if (counter->shrank) return MR_E_CHANGED;
    if (size_bytes != sizeof counter->next) return MR_E_CORRUPT;
    memcpy(&counter->next, bytes, sizeof counter->next);
    return MR_OK;
}

static const struct mr_source_functions counter_functions = {
    .size = sizeof counter_functions,
    .partitions = 1,
    .open = open_counter,
    .read = read_counter,
    .position = position_counter,
    .resume = resume_counter,
};

struct user_attempt {
    struct mr_source source;
    struct mr_arena arena;
    struct mr_split_list list;
    struct mr_pool *pool;
    struct mr_quota quota;
    void *reader;
    struct mr_error err;
};

static enum mr_status begin_attempt(struct user_attempt *attempt, struct counter *counter,
                                    const struct mr_source_functions *functions,
                                    struct mr_bytes resume)
{
    static const struct mr_field fields[] = {{.name = "n", .type = MR_INT64},
                                             {.name = "a", .type = MR_UTF8}};
    struct mr_heap *heap = mr_test_heap();
    const struct mr_plan_context plan = {.heap = heap};
    const struct mr_reader_context context = {.heap = heap, .positions = true, .resume = resume};

    memset(attempt, 0, sizeof *attempt);
    MR_EXPECT_OK(mri_user_source(heap, "dev", functions, counter, fields, 2, true,
                                 &attempt->source, &attempt->err),
                 &attempt->err);
    mr_arena_init(&attempt->arena, heap);
    attempt->list.arena = &attempt->arena;
    MR_EXPECT_OK(attempt->source.ops->plan(attempt->source.spec, &plan, &attempt->list,
                                           &attempt->err),
                 &attempt->err);
    MR_EXPECT_OK(mr_pool_create(heap, SIZE_MAX, &attempt->pool, &attempt->err), &attempt->err);
    mr_quota_init(&attempt->quota, attempt->pool, "test", (size_t)1 << 20);
    return attempt->source.ops->open(attempt->source.spec, &attempt->list.splits[0], &context,
                                     &attempt->reader, &attempt->err);
}

static void end_attempt(struct user_attempt *attempt)
{
    if (attempt->reader != NULL) attempt->source.ops->close(attempt->reader);
    mr_pool_destroy(attempt->pool);
    mr_arena_fini(&attempt->arena);
    attempt->source.ops->destroy(attempt->source.spec);
    mr_schema_release(attempt->source.schema);
}

/* Every row is the next one, also in its text, its time and its number. */
static void expect_next(const struct mr_batch *batch, int64_t *next)
{
    for (uint32_t row = 0; row < batch->row_count; row++, ++*next) {
        struct mr_bytes bytes = mr_column_bytes(&batch->columns[1], mr_batch_at(batch, row));
        char text[32];

        MR_EXPECT_EQ_INT(mr_column_int64(&batch->columns[0], mr_batch_at(batch, row)), *next);
        (void)snprintf(text, sizeof text, "row number %lld", (long long)*next);
        MR_EXPECT_EQ_TEXT(bytes.data, bytes.size_bytes, text);
        MR_EXPECT_EQ_INT(mr_batch_event_time(batch, row), *next * 10);
        MR_EXPECT_EQ_INT((int64_t)mr_batch_source_row(batch, row), *next);
    }
}

static bool read_some(struct user_attempt *attempt, uint64_t reads, uint32_t row_limit,
                      int64_t *next)
{
    enum mr_source_flow flow = MR_SOURCE_MORE;

    for (; reads > 0 && flow != MR_SOURCE_DONE; reads--) {
        struct mr_batch *batch = NULL;

        MR_EXPECT_OK(attempt->source.ops->read(attempt->reader, &attempt->quota, row_limit, &flow,
                                               &batch, &attempt->err),
                     &attempt->err);
        if (batch != NULL) expect_next(batch, next);
        mr_batch_release(batch);
    }
    return flow == MR_SOURCE_DONE;
}

MR_TEST(user_connectors, an_own_source_gives_every_row_once_wherever_reading_is_cut)
{
    struct counter counter = {.rows = 3000, .bursts = 700};
    struct mr_prng prng;

    mr_prng_init(&prng, 51, 1);
    mr_prng_init(&counter.prng, 51, 2);
    for (uint32_t round = 0; round < 60; round++) {
        struct mr_bytes resume = {NULL, 0};
        struct mr_buffer position;
        int64_t next = 0;
        bool done = false;

        mr_buffer_init(&position, mr_test_heap());
        while (!done) {
            struct user_attempt attempt;

            MR_EXPECT_OK(begin_attempt(&attempt, &counter, &counter_functions, resume),
                         &attempt.err);
            done = read_some(&attempt, mr_prng_below(&prng, 12),
                             1 + (uint32_t)mr_prng_below(&prng, 300), &next);
            mr_buffer_clear(&position);
            MR_EXPECT_OK(attempt.source.ops->position(attempt.reader, &position, &attempt.err),
                         &attempt.err);
            resume = (struct mr_bytes){position.data, position.size_bytes};
            end_attempt(&attempt);
        }
        MR_EXPECT_EQ_INT(next, counter.rows);
        mr_buffer_fini(&position);
    }
}

static void expect_resume(struct counter *counter, const struct mr_source_functions *functions,
                          struct mr_bytes resume, enum mr_status status, const char *text)
{
    struct user_attempt attempt;

    MR_EXPECT_STATUS(begin_attempt(&attempt, counter, functions, resume), status);
    MR_EXPECT_CONTAINS(attempt.err.text, text);
    end_attempt(&attempt);
}

MR_TEST(user_connectors, when_an_own_source_cannot_go_on_then_it_is_told_by_name)
{
    struct counter counter = {.rows = 10, .bursts = 5};
    struct mr_source_functions once = counter_functions;
    struct user_attempt attempt;
    struct mr_buffer position;
    struct mr_bytes bytes;

    mr_prng_init(&counter.prng, 52, 1);
    mr_buffer_init(&position, mr_test_heap());
    MR_EXPECT_OK(begin_attempt(&attempt, &counter, &counter_functions, (struct mr_bytes){NULL, 0}),
                 &attempt.err);
    MR_EXPECT_OK(attempt.source.ops->position(attempt.reader, &position, &attempt.err),
                 &attempt.err);
    MR_EXPECT(!attempt.list.splits[0].once);
    end_attempt(&attempt);

    bytes = (struct mr_bytes){position.data, position.size_bytes};
    counter.shrank = true;
    expect_resume(&counter, &counter_functions, bytes, MR_E_CHANGED,
                  "source 'dev': resume of partition 0 failed");
    once.position = NULL;
    once.resume = NULL;
    expect_resume(&counter, &once, bytes, MR_E_UNSUPPORTED, "source 'dev' has no resume");
    position.data[9] = (char)(position.data[9] ^ 1);
    expect_resume(&counter, &counter_functions, bytes, MR_E_CORRUPT, "dev[0]: the saved position");

    MR_EXPECT_OK(begin_attempt(&attempt, &counter, &once, (struct mr_bytes){NULL, 0}), &attempt.err);
    MR_EXPECT(attempt.list.splits[0].once);
    MR_EXPECT_STATUS(attempt.source.ops->position(attempt.reader, &position, &attempt.err),
                     MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(attempt.err.text, "set both, or use --guarantee at-most-once");
    end_attempt(&attempt);
    mr_buffer_fini(&position);
}

MR_TEST(user_connectors, position_without_resume_is_refused_and_an_older_struct_is_not)
{
    static const struct mr_field field = {.name = "n", .type = MR_INT64};
    struct mr_source_functions functions = counter_functions;
    struct mr_source source;
    struct mr_error err;

    functions.resume = NULL;
    MR_EXPECT_STATUS(mri_user_source(mr_test_heap(), "dev", &functions, NULL, &field, 1, false,
                                     &source, &err),
                     MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "position and resume belong together");
    functions.size = offsetof(struct mr_source_functions, position); /* and nothing behind it */
    MR_EXPECT_OK(mri_user_source(mr_test_heap(), "dev", &functions, NULL, &field, 1, false, &source,
                                 &err),
                 &err);
    source.ops->destroy(source.spec);
    mr_schema_release(source.schema);
}

/* ---- own sinks with transactions ---- */

/* A store outside of the engine: rows are visible when their epoch is committed. */
struct ledger {
    uint64_t fence;
    uint32_t recovered; /* calls */
    uint64_t epoch;     /* told by the last one */
    uint32_t state_count;
    bool finished;
    int64_t written; /* sums of a column of ones */
    int64_t prepared;
    int64_t visible;
    uint64_t prepared_epoch;
    uint32_t commits;
    uint32_t opened;
    enum mr_status answer; /* of prepare */
};

static enum mr_status open_ledger(void *user, uint32_t instance, void **out_writer)
{
    struct ledger *ledger = user;

    (void)instance;
    MR_EXPECT(ledger->recovered > ledger->opened); /* in every attempt before any open */
    ledger->opened++;
    ledger->written = ledger->prepared = 0;
    *out_writer = ledger;
    return MR_OK;
}

static enum mr_status write_ledger(void *writer, const struct mr_batch *batch)
{
    struct ledger *ledger = writer;

    ledger->written += batch->row_count;
    return MR_OK;
}

static enum mr_status prepare_ledger(void *writer, uint64_t epoch, void *bytes,
                                     size_t *out_size_bytes)
{
    struct ledger *ledger = writer;

    MR_EXPECT(epoch > ledger->prepared_epoch);
    ledger->prepared_epoch = epoch;
    ledger->prepared += ledger->written;
    ledger->written = 0;
    memcpy(bytes, &ledger->prepared, sizeof ledger->prepared);
    *out_size_bytes = sizeof ledger->prepared;
    return ledger->answer;
}

static enum mr_status commit_ledger(void *writer, uint64_t epoch)
{
    struct ledger *ledger = writer;

    MR_EXPECT(epoch <= ledger->prepared_epoch);
    ledger->visible += ledger->prepared;
    ledger->prepared = 0;
    ledger->commits++;
    return MR_OK;
}

static enum mr_status recover_ledger(void *user, const struct mr_sink_recovery *recovery)
{
    struct ledger *ledger = user;

    MR_EXPECT_EQ_UINT(recovery->size, sizeof *recovery);
    MR_EXPECT(recovery->fence > ledger->fence);
    ledger->fence = recovery->fence;
    ledger->epoch = recovery->epoch;
    ledger->finished = recovery->finished;
    ledger->state_count = recovery->state_count;
    for (uint32_t i = 0; i < recovery->state_count; i++) {
        MR_EXPECT_EQ_UINT(recovery->states[i].size_bytes, sizeof ledger->prepared);
    }
    ledger->recovered++;
    return MR_OK;
}

static const struct mr_sink_functions ledger_functions = {
    .size = sizeof ledger_functions,
    .one_instance = true,
    .open = open_ledger,
    .write = write_ledger,
    .prepare = prepare_ledger,
    .commit = commit_ledger,
    .recover = recover_ledger,
};

static enum mr_status run_ledger(struct ledger *ledger, const struct mr_sink_functions *functions,
                                 char *error, size_t error_bytes)
{
    static const struct mr_field fields[] = {{.name = "n", .type = MR_INT64},
                                             {.name = "a", .type = MR_UTF8}};
    struct mr_job_options options = {.size = sizeof options,
                                     .mode = MR_MODE_STREAMING,
                                     .state_dir = mr_test_dir(),
                                     .guarantee = MR_EXACTLY_ONCE};
    struct counter counter = {.rows = 5000, .bursts = 300};
    struct mr_job *job = mr_job_create("test", &options);
    enum mr_status st;

    mr_prng_init(&counter.prng, 1, 1);
    mr_write_sink(mr_read_source(job, "count", &counter_functions, &counter, fields, 2, true),
                  "ledger", functions, ledger);
    st = mr_job_run(job, NULL);
    (void)snprintf(error, error_bytes, "%s", st == MR_OK ? "" : mr_job_error(job));
    mr_job_destroy(job);
    return st;
}

MR_TEST(user_connectors, an_own_sink_with_transactions_shows_rows_of_complete_epochs)
{
    struct ledger ledger = {.answer = MR_OK};
    char error[512];

    if (run_ledger(&ledger, &ledger_functions, error, sizeof error) != MR_OK) MR_FAIL("%s", error);
    MR_EXPECT_EQ_INT(ledger.visible, 5000);
    MR_EXPECT_EQ_UINT(ledger.recovered, 1);
    MR_EXPECT_EQ_UINT(ledger.epoch, 0);
    MR_EXPECT_EQ_UINT(ledger.state_count, 0);
    MR_EXPECT(ledger.commits > 0);
    /* Once more: the job is finished, and only what is left to commit is done. */
    if (run_ledger(&ledger, &ledger_functions, error, sizeof error) != MR_OK) MR_FAIL("%s", error);
    MR_EXPECT_EQ_INT(ledger.visible, 5000);
    MR_EXPECT_EQ_UINT(ledger.recovered, 2);
    MR_EXPECT(ledger.finished);
    MR_EXPECT_EQ_UINT(ledger.state_count, 1);
    MR_EXPECT(ledger.epoch >= ledger.prepared_epoch);
}

MR_TEST(user_connectors, when_prepare_of_an_own_sink_fails_then_it_is_named)
{
    struct ledger ledger = {.answer = MR_E_IO};
    char error[512];

    MR_EXPECT_EQ_INT(run_ledger(&ledger, &ledger_functions, error, sizeof error), MR_E_IO);
    MR_EXPECT_CONTAINS(error, "sink 'ledger': prepare failed: ");
    MR_EXPECT_EQ_INT(ledger.visible, 0);
}

MR_TEST(user_connectors, an_own_sink_has_all_of_its_transactions_or_none)
{
    struct mr_sink_functions functions = ledger_functions;
    struct mr_sink sink;
    struct mr_error err;

    functions.recover = NULL;
    MR_EXPECT_STATUS(mri_user_sink(mr_test_heap(), "half", &functions, NULL, &sink, &err),
                     MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "sink 'half': prepare, commit and recover belong together");
    functions = ledger_functions;
    functions.size = offsetof(struct mr_sink_functions, prepare); /* of an older header */
    MR_EXPECT_OK(mri_user_sink(mr_test_heap(), "old", &functions, NULL, &sink, &err), &err);
    MR_EXPECT(!sink.ops->transactional(sink.spec));
    sink.ops->destroy(sink.spec);
    MR_EXPECT_OK(mri_user_sink(mr_test_heap(), "new", &ledger_functions, NULL, &sink, &err), &err);
    MR_EXPECT(sink.ops->transactional(sink.spec));
    sink.ops->destroy(sink.spec);
}
