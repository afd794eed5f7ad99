/* topic_rig.c - see topic_rig.h. */
#include "connect/log/topic_rig.h"

#include <stdio.h>
#include <stdlib.h>

#define TURNS_MAX 100000u

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

void log_rig_init(struct log_rig *rig, uint64_t seed)
{
    static const struct mr_field fields[] = {{.name = "n", .type = MR_INT64, .not_null = true},
                                             {.name = "name", .type = MR_UTF8}};

    memset(rig, 0, sizeof *rig);
    fault_disk_init(&rig->disk, seed);
    mr_heap_init(&rig->heap, "job", SIZE_MAX, raw_alloc, raw_free, NULL);
    mr_heap_init(&rig->outer, "outer", SIZE_MAX, raw_alloc, raw_free, NULL);
    MR_EXPECT_OK(mr_pool_create(&rig->outer, (size_t)64 << 20, &rig->pool, &rig->err), &rig->err);
    mr_quota_init(&rig->quota, rig->pool, "test", (size_t)16 << 20);
    MR_EXPECT_OK(mr_schema_create(&rig->outer, fields, 2, &rig->schema, &rig->err), &rig->err);
    rig->url = "log://d/topic?partitions=3&segment=4096";
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) {
        mr_buffer_init(&rig->states[p], &rig->outer);
        mr_buffer_init(&rig->followers[p].position, &rig->outer);
    }
    mr_arena_init(&rig->arena, &rig->outer);
}

static void close_followers(struct log_rig *rig)
{
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) {
        if (rig->followers[p].reader != NULL) rig->source.ops->close(rig->followers[p].reader);
        rig->followers[p].reader = NULL;
    }
    if (rig->source.ops != NULL) {
        rig->source.ops->destroy(rig->source.spec);
        mr_schema_release(rig->source.schema);
    }
    rig->source.ops = NULL;
    mr_arena_reset(&rig->arena);
}

static void close_sink(struct log_rig *rig)
{
    for (uint32_t w = 0; w < RIG_PARTITIONS; w++) {
        if (rig->writers[w] != NULL) rig->sink.ops->close(rig->writers[w]);
        rig->writers[w] = NULL;
    }
    if (rig->sink.ops != NULL) rig->sink.ops->destroy(rig->sink.spec);
    rig->sink.ops = NULL;
}

void log_rig_stop(struct log_rig *rig)
{
    close_sink(rig);
    close_followers(rig);
}

void log_rig_fini(struct log_rig *rig)
{
    log_rig_stop(rig);
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) {
        mr_buffer_fini(&rig->states[p]);
        mr_buffer_fini(&rig->followers[p].position);
    }
    mr_arena_fini(&rig->arena);
    mr_schema_release(rig->schema);
    mr_pool_destroy(rig->pool);
    mr_heap_fini(&rig->heap);
    mr_heap_fini(&rig->outer);
    fault_disk_fini(&rig->disk);
}

/* ---- the job ---- */

enum mr_status log_rig_start(struct log_rig *rig, uint32_t writers)
{
    const struct mr_log_sink_options options = {.path = rig->url};
    struct mr_bytes states[RIG_PARTITIONS];
    struct mr_recover_context recover = {.heap = &rig->heap,
                                         .disk = &rig->disk.disk,
                                         .schema = rig->schema,
                                         .instance_count = writers,
                                         .fence = ++rig->fence,
                                         .epoch = rig->epoch,
                                         .finished = rig->finished,
                                         .states = states,
                                         .state_count = rig->state_count};

    close_sink(rig);
    rig->writer_count = writers;
    rig->next = rig->complete;
    for (uint32_t i = 0; i < rig->state_count; i++) {
        states[i] = (struct mr_bytes){rig->states[i].data, rig->states[i].size_bytes};
    }
    MR_RET(mr_log_sink(&rig->heap, &options, &rig->sink, &rig->err));
    MR_RET(rig->sink.ops->recover(rig->sink.spec, &recover, &rig->err));
    for (uint32_t w = 0; w < writers && !rig->finished; w++) {
        const struct mr_writer_context context = {.heap = &rig->heap,
                                                  .disk = &rig->disk.disk,
                                                  .instance = w,
                                                  .instance_count = writers,
                                                  .schema = rig->schema,
                                                  .fence = rig->fence,
                                                  .now = &rig->now};

        MR_RET(rig->sink.ops->open(rig->sink.spec, &context, &rig->writers[w], &rig->err));
    }
    return MR_OK;
}

static struct mr_batch *make_batch(struct log_rig *rig, uint64_t first, uint32_t rows,
                                   uint32_t writer)
{
    struct mr_builder *builder;
    struct mr_batch *batch;

    MR_EXPECT_OK(mr_builder_create(&rig->outer, rig->schema, 1u << MR_HIDDEN_EVENT_TIME, rows,
                                   &rig->quota, &builder, &rig->err),
                 &rig->err);
    for (uint64_t r = first; r < first + rows; r++) {
        char name[64];
        size_t size = (size_t)snprintf(name, sizeof name, "row %llu%s", (unsigned long long)r,
                                       r % 3 == 0 ? " with a name that is not short" : "");

        if (r % rig->writer_count != writer) continue;
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        mr_builder_set_int64(builder, 0, (int64_t)r);
        if (r % 5 != 0) MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 1, name, size), MR_BUILD_OK);
        mr_builder_set_hidden(builder, MR_HIDDEN_EVENT_TIME, (int64_t)r * 10);
        mr_builder_commit_row(builder);
    }
    batch = mr_builder_take(builder);
    mr_builder_destroy(builder);
    return batch;
}

static enum mr_status write_batch(struct log_rig *rig, uint32_t writer, struct mr_batch *batch)
{
    enum mr_sink_flow flow = MR_SINK_BLOCKED;

    for (uint32_t turn = 0; flow == MR_SINK_BLOCKED; turn++) {
        MR_EXPECT(turn < TURNS_MAX);
        MR_RET(rig->sink.ops->write(rig->writers[writer], batch, &flow, &rig->err));
        (void)rig->disk.disk.poll(&rig->disk.disk);
    }
    return MR_OK;
}

enum mr_status log_rig_write(struct log_rig *rig, uint32_t rows)
{
    for (uint32_t w = 0; w < rig->writer_count; w++) {
        struct mr_batch *batch = make_batch(rig, rig->next, rows, w);
        enum mr_status st = batch == NULL ? MR_OK : write_batch(rig, w, batch);

        mr_batch_release(batch);
        MR_RET(st);
    }
    rig->next += rows;
    return MR_OK;
}

enum mr_status log_rig_prepare(struct log_rig *rig, uint64_t epoch,
                               struct mr_buffer states[RIG_PARTITIONS])
{
    for (uint32_t w = 0; w < rig->writer_count; w++) {
        enum mr_sink_flow flow = MR_SINK_BLOCKED;

        for (uint32_t turn = 0; flow == MR_SINK_BLOCKED; turn++) {
            MR_EXPECT(turn < TURNS_MAX);
            mr_buffer_clear(&states[w]);
            MR_RET(rig->sink.ops->prepare(rig->writers[w], epoch, &states[w], &flow, &rig->err));
            if (flow == MR_SINK_BLOCKED) MR_EXPECT_EQ_UINT(states[w].size_bytes, 0);
            (void)rig->disk.disk.poll(&rig->disk.disk);
        }
    }
    return MR_OK;
}

enum mr_status log_rig_commit(struct log_rig *rig, uint64_t epoch)
{
    for (uint32_t w = 0; w < rig->writer_count; w++) {
        enum mr_sink_flow flow = MR_SINK_BLOCKED;

        for (uint32_t turn = 0; flow == MR_SINK_BLOCKED; turn++) {
            MR_EXPECT(turn < TURNS_MAX);
            MR_RET(rig->sink.ops->commit_epoch(rig->writers[w], epoch, &flow, &rig->err));
            (void)rig->disk.disk.poll(&rig->disk.disk);
        }
    }
    return MR_OK;
}

/* COMPLETE: from now on these rows are promised. */
static void decide(struct log_rig *rig, uint64_t epoch, struct mr_buffer states[RIG_PARTITIONS])
{
    for (; rig->complete < rig->next; rig->complete++) {
        uint32_t p = (uint32_t)(rig->complete % rig->writer_count);

        MR_EXPECT(rig->expected_count[p] < RIG_ROWS_MAX);
        rig->expected[p][rig->expected_count[p]++] = (uint32_t)rig->complete;
    }
    for (uint32_t w = 0; w < rig->writer_count; w++) {
        struct mr_buffer old = rig->states[w];

        rig->states[w] = states[w];
        states[w] = old;
    }
    rig->state_count = rig->writer_count;
    rig->epoch = epoch;
}

static enum mr_status complete_epoch(struct log_rig *rig, bool last)
{
    struct mr_buffer states[RIG_PARTITIONS];
    enum mr_status st;

    for (uint32_t w = 0; w < RIG_PARTITIONS; w++) mr_buffer_init(&states[w], &rig->outer);
    st = log_rig_prepare(rig, rig->epoch + 1, states);
    if (st == MR_OK) {
        decide(rig, rig->epoch + 1, states);
        rig->finished = last;
        log_rig_follow(rig);
        st = log_rig_commit(rig, rig->epoch);
    }
    for (uint32_t w = 0; w < RIG_PARTITIONS; w++) mr_buffer_fini(&states[w]);
    log_rig_follow(rig);
    return st;
}

enum mr_status log_rig_epoch(struct log_rig *rig, uint32_t rows)
{
    MR_RET(log_rig_write(rig, rows / 2));
    log_rig_follow(rig);
    MR_RET(log_rig_write(rig, rows - rows / 2));
    return complete_epoch(rig, false);
}

enum mr_status log_rig_finish(struct log_rig *rig)
{
    for (uint32_t w = 0; w < rig->writer_count; w++) {
        enum mr_sink_flow flow = MR_SINK_BLOCKED;

        for (uint32_t turn = 0; flow == MR_SINK_BLOCKED; turn++) {
            MR_EXPECT(turn < TURNS_MAX);
            MR_RET(rig->sink.ops->finish(rig->writers[w], &flow, &rig->err));
            (void)rig->disk.disk.poll(&rig->disk.disk);
        }
    }
    MR_RET(complete_epoch(rig, true));
    for (uint32_t w = 0; w < rig->writer_count; w++) {
        MR_RET(rig->sink.ops->commit(rig->writers[w], &rig->err));
    }
    return MR_OK;
}

/* ---- readers ---- */

static enum mr_status plan(struct log_rig *rig, bool follow, struct mr_source *out,
                           struct mr_split_list *splits, struct mr_arena *arena)
{
    const struct mr_log_source_options options = {
        .path = "d/topic", .follow = follow, .event_time = true};
    const struct mr_plan_context context = {&rig->outer, &rig->disk.disk, true};

    MR_RET(mr_log_source(&rig->outer, &rig->disk.disk, &options, out, &rig->err));
    *splits = (struct mr_split_list){.arena = arena};
    return out->ops->plan(out->spec, &context, splits, &rig->err);
}

static enum mr_status open_reader(struct log_rig *rig, const struct mr_source *source,
                                  const struct mr_split_list *splits, uint32_t p,
                                  struct mr_bytes resume, void **out)
{
    const struct mr_reader_context context = {
        .heap = &rig->outer, .disk = &rig->disk.disk, .positions = true, .resume = resume};

    return source->ops->open(source->spec, &splits->splits[p], &context, out, &rig->err);
}

static void check_row(struct log_rig *rig, uint32_t p, uint32_t seen, const struct mr_batch *batch,
                      uint32_t row)
{
    int64_t n = mr_column_int64(&batch->columns[0], row);
    char name[64];

    if (seen >= rig->expected_count[p]) {
        MR_FAIL("partition %u: row %u is %lld, but only %u are promised", p, seen, (long long)n,
                rig->expected_count[p]);
    }
    if (n != (int64_t)rig->expected[p][seen]) {
        MR_FAIL("partition %u: row %u is %lld, not %u", p, seen, (long long)n,
                rig->expected[p][seen]);
    }
    MR_EXPECT_EQ_INT(mr_batch_event_time(batch, row), n * 10);
    MR_EXPECT_EQ_INT(mr_column_valid(&batch->columns[1], row), n % 5 != 0);
    if (n % 5 == 0) return;
    (void)snprintf(name, sizeof name, "row %lld%s", (long long)n,
                   n % 3 == 0 ? " with a name that is not short" : "");
    struct mr_bytes text = mr_column_bytes(&batch->columns[1], row);
    MR_EXPECT_EQ_TEXT(text.data, text.size_bytes, name);
}

/* *out_flow as the last read gave it. */
static enum mr_status read_some(struct log_rig *rig, const struct mr_source *source, void *reader,
                                uint32_t p, uint32_t limit, uint32_t *seen,
                                enum mr_source_flow *out_flow)
{
    struct mr_batch *batch = NULL;

    MR_RET(source->ops->read(reader, &rig->quota, limit, out_flow, &batch, &rig->err));
    if (batch == NULL) return MR_OK;
    MR_EXPECT_EQ_UINT(batch->origin.first_row, *seen);
    for (uint32_t row = 0; row < batch->row_count; row++) check_row(rig, p, (*seen)++, batch, row);
    mr_batch_release(batch);
    return MR_OK;
}

static enum mr_status follow_partition(struct log_rig *rig, uint32_t p)
{
    struct log_rig_follower *follower = &rig->followers[p];
    uint32_t idle = 0;

    if (follower->reader == NULL) {
        struct mr_bytes resume = {follower->position.data, follower->position.size_bytes};

        if (resume.size_bytes == 0) resume.data = NULL;
        MR_RET(open_reader(rig, &rig->source, &rig->splits, p, resume, &follower->reader));
        follower->seen = follower->position_seen;
    }
    while (idle < 18) {
        enum mr_source_flow flow;
        uint32_t before = follower->seen;

        MR_RET(read_some(rig, &rig->source, follower->reader, p, 1 + before % 7, &follower->seen,
                         &flow));
        MR_EXPECT(flow != MR_SOURCE_DONE);
        idle = follower->seen == before ? idle + 1 : 0;
        (void)rig->disk.disk.poll(&rig->disk.disk);
    }
    mr_buffer_clear(&follower->position);
    follower->position_seen = follower->seen;
    return rig->source.ops->position(follower->reader, &follower->position, &rig->err);
}

void log_rig_follow(struct log_rig *rig)
{
    if (rig->no_follow) return;
    if (rig->disk.crashed || fault_disk_find(&rig->disk, "d/topic/topic") == NULL) return;
    if (rig->source.ops == NULL &&
        plan(rig, true, &rig->source, &rig->splits, &rig->arena) != MR_OK) {
        if (rig->disk.crashed) return;
        MR_FAIL("a follower cannot begin: %s", rig->err.text);
    }
    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) {
        enum mr_status st = follow_partition(rig, p);

        if (rig->disk.crashed) return;
        if (st != MR_OK) MR_FAIL("partition %u, row %u: %s", p, rig->followers[p].seen, rig->err.text);
    }
}

struct bounded {
    struct mr_source source;
    struct mr_split_list splits;
    struct mr_arena arena;
    void *reader;
    struct mr_buffer position;
};

/* Closes the reader and opens another where it was. */
static enum mr_status reopen(struct log_rig *rig, struct mr_heap *heap, struct bounded *run,
                             uint32_t p)
{
    struct mr_reader_context context = {
        .heap = heap, .disk = &rig->disk.disk, .positions = true};

    if (run->reader != NULL) {
        mr_buffer_clear(&run->position);
        MR_RET(run->source.ops->position(run->reader, &run->position, &rig->err));
        context.resume = (struct mr_bytes){run->position.data, run->position.size_bytes};
        run->source.ops->close(run->reader);
        run->reader = NULL;
    }
    return run->source.ops->open(run->source.spec, &run->splits.splits[p], &context, &run->reader,
                                 &rig->err);
}

static enum mr_status read_partition(struct log_rig *rig, struct mr_heap *heap,
                                     struct bounded *run, uint32_t p, uint32_t cut, uint32_t *seen)
{
    enum mr_source_flow flow = MR_SOURCE_MORE;
    uint32_t batches = 0;

    MR_RET(reopen(rig, heap, run, p));
    for (uint32_t turn = 0; flow != MR_SOURCE_DONE; turn++) {
        uint32_t before = *seen;

        MR_EXPECT(turn < TURNS_MAX);
        MR_RET(read_some(rig, &run->source, run->reader, p, cut == 0 ? 100 : 1 + turn % 5, seen,
                         &flow));
        (void)rig->disk.disk.poll(&rig->disk.disk);
        batches += *seen > before;
        if (cut > 0 && *seen > before && batches % cut == 0) MR_RET(reopen(rig, heap, run, p));
    }
    return MR_OK;
}

enum mr_status log_rig_read(struct log_rig *rig, struct mr_heap *heap, uint32_t cut,
                            uint32_t *out_seen)
{
    const struct mr_log_source_options options = {.path = "log://d/topic", .event_time = true};
    const struct mr_plan_context context = {heap, &rig->disk.disk, true};
    struct bounded run = {.reader = NULL};
    enum mr_status st;

    *out_seen = 0;
    mr_arena_init(&run.arena, heap);
    mr_buffer_init(&run.position, &rig->outer);
    run.splits.arena = &run.arena;
    st = mr_log_source(heap, &rig->disk.disk, &options, &run.source, &rig->err);
    if (st == MR_OK) {
        st = run.source.ops->plan(run.source.spec, &context, &run.splits, &rig->err);
        for (uint32_t p = 0; p < RIG_PARTITIONS && st == MR_OK; p++) {
            uint32_t seen = 0;

            st = read_partition(rig, heap, &run, p, cut, &seen);
            *out_seen += seen;
            if (run.reader != NULL) run.source.ops->close(run.reader);
            run.reader = NULL;
        }
        run.source.ops->destroy(run.source.spec);
        mr_schema_release(run.source.schema);
    }
    mr_buffer_fini(&run.position);
    mr_arena_fini(&run.arena);
    return st;
}

void log_rig_check(struct log_rig *rig)
{
    uint32_t seen, promised = 0;

    for (uint32_t p = 0; p < RIG_PARTITIONS; p++) promised += rig->expected_count[p];
    MR_EXPECT_OK(log_rig_read(rig, &rig->outer, 0, &seen), &rig->err);
    MR_EXPECT_EQ_UINT(seen, promised);
}
