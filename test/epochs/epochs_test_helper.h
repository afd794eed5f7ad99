/* epochs_test_helper.h - for tests: a small job with epochs in a world of its own. What it reads is
 * computed, what it commits lies in a ledger, its log is on a fault disk, one thread plays its
 * workers.
 *
 *     in -- rows              every row as it was read
 *      \--- by key -- counts  per key and window: count and sum of n
 *
 * Row n of a part is (part, n, key, ts): what must be in the ledger at the end is known without the
 * engine. `rig_attempt` runs an attempt until it is over, has failed or is killed; the ledger, the
 * disk and the clock live on.
 *
 * Owns:    the world; memory of it does not come from the heap under test.
 * Thread:  confined.
 * Fails:   fails the test, except that an attempt's own status is returned.
 * Cost:    about a millisecond per attempt.
 */
#ifndef MR_TEST_EPOCHS_TEST_HELPER_H
#define MR_TEST_EPOCHS_TEST_HELPER_H

#include "../../sim/sim.h"
#include "../fault_disk.h"
#include "api/job_internal.h"
#include "base/text.h"
#include "mr_test.h"
#include "runtime/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>

#define RIG_PARTS_MAX   8u
#define RIG_WINDOW_US   10
#define RIG_KEYS        7
#define RIG_WRITERS_MAX 16u
#define RIG_IDS_MAX     512u /* epochs */
#define RIG_DIR         "state"

/* ---- lines ---- */

struct rig_lines {
    char **line;
    size_t count, room;
};

MR_UNUSED static void rig_lines_add(struct rig_lines *lines, const char *text)
{
    if (lines->count == lines->room) {
        lines->room = lines->room == 0 ? 64 : 2 * lines->room;
        lines->line = realloc(lines->line, lines->room * sizeof *lines->line);
    }
    lines->line[lines->count] = malloc(strlen(text) + 1);
    memcpy(lines->line[lines->count++], text, strlen(text) + 1);
}

MR_UNUSED static void rig_lines_clear(struct rig_lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) free(lines->line[i]);
    free(lines->line);
    *lines = (struct rig_lines){.count = 0};
}

MR_UNUSED static int rig_by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

MR_UNUSED static void rig_lines_sort(struct rig_lines *lines)
{
    if (lines->count > 1) qsort(lines->line, lines->count, sizeof *lines->line, rig_by_text);
}

/* ---- the world ---- */

struct rig_sink { /* one of the two; lives on when the job dies, like a database */
    struct rig *rig;
    struct rig_lines committed;
    bool seen[RIG_WRITERS_MAX]
             [RIG_IDS_MAX];              /* by writer and epoch: a commit that comes again counts
                                              * once */
    struct rig_lines batch[RIG_IDS_MAX]; /* what all writers prepared for an epoch, this attempt */
    uint32_t prepared[RIG_IDS_MAX];      /* writers that did */
    struct rig_lines
        before[RIG_IDS_MAX]; /* the same of the first attempt that was seen to the end */
    bool known[RIG_IDS_MAX];
};

struct rig {
    /* Set by the test before an attempt. */
    uint32_t parts;
    int64_t rows; /* per part */
    uint32_t workers;
    uint64_t seed;
    enum mr_sim_cut cut;
    int64_t epoch_us;
    bool ordered;
    bool unbounded;     /* parts pause at random places and end only when `rows` are read */
    uint32_t idle;      /* then: so many reads of 100 give nothing */
    bool same_content;  /* batches of an epoch are compared over attempts (T2) */
    uint64_t kill_at;   /* turn; 0: never */
    uint64_t stop_at;   /* turn at which it is asked to stop; 0: never */
    uint64_t turns_max; /* 0: a bound that no attempt should come near */
    bool slow_commits;  /* sinks answer BLOCKED now and then */
    void (*on_turn)(struct rig *rig); /* NULL: none */
    /* NULL: none. What a request shall be answered with; MR_OK: what the disk says. */
    enum mr_status (*on_request)(struct rig *rig, const struct mr_disk_request *request);
    uint64_t on_request_hits;
    uint64_t segment_bytes;
    uint32_t batch_rows;
    /* The world. */
    struct fault_disk disk;
    void (*submit)(struct mr_disk *disk, struct mr_disk_request *request); /* the disk's own */
    struct mr_heap outside;
    struct rig_sink rows_sink, counts_sink;
    int64_t now_us;
    struct mr_prng chance;
    /* Of the last attempt. */
    struct mr_heap *heap;             /* memory under test; NULL: the outside's */
    struct mr_checkpoint *checkpoint; /* while it runs */
    struct mr_runner *runner;
    struct mr_checkpoint_stats stats;
    uint64_t restored;
    bool opened; /* the checkpoint could be opened */
    bool job_finished;
    bool stopped;
    bool killed;
    uint64_t turns;
    uint64_t waiting_turns; /* in which it said that it waits */
    uint64_t rows_read;
    struct mr_error err;
};

MR_UNUSED static int64_t rig_key(uint32_t part, int64_t n)
{
    return (int64_t)(((uint64_t)n * 2654435761u + part * 40503u) >> 7) % RIG_KEYS;
}

/* ---- the source ---- */

struct rig_reader {
    struct rig *rig;
    uint32_t part;
    int64_t n;
};

MR_UNUSED static enum mr_status rig_open(void *user, uint32_t part, void **out)
{
    struct rig_reader *reader = calloc(1, sizeof *reader);

    *reader = (struct rig_reader){.rig = user, .part = part};
    *out = reader;
    return MR_OK;
}

MR_UNUSED static enum mr_status rig_read(void *self, uint32_t row_limit, struct mr_emitter *out,
                                         enum mr_read_result *out_result)
{
    struct rig_reader *reader = self;
    struct rig *rig = reader->rig;

    *out_result = MR_READ_MORE;
    if (rig->unbounded && mr_prng_below(&rig->chance, 100) < rig->idle) {
        *out_result = MR_READ_IDLE;
        return MR_OK;
    }
    for (uint32_t i = 0; i < row_limit && reader->n < rig->rows; i++) {
        enum mr_status st;

        mr_emit_int64(out, 0, reader->part);
        mr_emit_int64(out, 1, reader->n);
        mr_emit_int64(out, 2, rig_key(reader->part, reader->n));
        mr_emit_int64(out, 3, reader->n);
        st = mr_emit_row(out);
        if (st != MR_OK) return st;
        reader->n++;
        rig->rows_read++;
    }
    if (reader->n == rig->rows) *out_result = MR_READ_END;
    return MR_OK;
}

MR_UNUSED static enum mr_status rig_position(void *self, void *bytes, size_t *out_size_bytes)
{
    const struct rig_reader *reader = self;

    memcpy(bytes, &reader->n, sizeof reader->n);
    *out_size_bytes = sizeof reader->n;
    return MR_OK;
}

MR_UNUSED static enum mr_status rig_resume(void *self, const void *bytes, size_t size_bytes)
{
    struct rig_reader *reader = self;

    MR_EXPECT_EQ_UINT(size_bytes, sizeof reader->n);
    memcpy(&reader->n, bytes, sizeof reader->n);
    return MR_OK;
}

/* ---- the sinks ---- */

struct rig_parcel { /* rows of one writer and epoch; 0: not prepared yet */
    uint64_t epoch;
    struct rig_lines rows;
    struct rig_parcel *next;
};

struct rig_writer {
    struct rig_sink *sink;
    uint32_t instance;
    uint32_t instance_count;
    struct rig_parcel *parcels; /* in order; the last one is being filled */
    bool finished;
};

MR_UNUSED static struct rig_parcel *rig_last(struct rig_writer *writer)
{
    struct rig_parcel *last = writer->parcels;

    while (last->next != NULL) last = last->next;
    return last;
}

MR_UNUSED static enum mr_status rig_sink_open(void *spec, const struct mr_writer_context *context,
                                              void **out, struct mr_error *err)
{
    struct rig_writer *writer = calloc(1, sizeof *writer);

    (void)err;
    MR_EXPECT(context->instance < RIG_WRITERS_MAX);
    MR_EXPECT(context->fence != 0);
    *writer = (struct rig_writer){.sink = spec,
                                  .instance = context->instance,
                                  .instance_count = context->instance_count,
                                  .parcels = calloc(1, sizeof *writer->parcels)};
    *out = writer;
    return MR_OK;
}

MR_UNUSED static bool rig_blocks(struct rig_sink *sink, enum mr_sink_flow *out_flow)
{
    bool blocks = sink->rig->slow_commits && mr_prng_below(&sink->rig->chance, 2) == 0;

    *out_flow = blocks ? MR_SINK_BLOCKED : MR_SINK_READY;
    return blocks;
}

/* Times as microseconds: the oracle does not know how to print them. */
MR_UNUSED static void rig_print(const struct mr_column *column, uint32_t row, struct mr_text *text)
{
    if (column->type == MR_TIMESTAMP_LTZ) {
        if (column->encoding == MR_CONST) row = 0;
        mr_text_add_int(text, ((const int64_t *)column->values)[row]);
    } else {
        mr_value_print(column, row, MR_FORMAT_CSV, text);
    }
}

MR_UNUSED static enum mr_status rig_sink_write(void *self, const struct mr_batch *batch,
                                               enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct rig_writer *writer = self;
    struct rig_parcel *parcel = rig_last(writer);
    struct mr_text text;

    (void)err;
    MR_EXPECT(!writer->finished);
    if (rig_blocks(writer->sink, out_flow)) return MR_OK;
    mr_text_init(&text, &writer->sink->rig->outside, 0);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        mr_text_clear(&text);
        for (uint32_t c = 0; c < batch->column_count; c++) {
            const struct mr_column *column = &batch->columns[c];

            if (c > 0) mr_text_add_char(&text, ',');
            rig_print(column, mr_batch_at(batch, row), &text);
        }
        rig_lines_add(&parcel->rows, mr_text_get(&text));
    }
    mr_text_fini(&text);
    return MR_OK;
}

MR_UNUSED static enum mr_status rig_sink_finish(void *self, enum mr_sink_flow *out_flow,
                                                struct mr_error *err)
{
    struct rig_writer *writer = self;

    (void)err;
    if (rig_blocks(writer->sink, out_flow)) return MR_OK;
    writer->finished = true;
    return MR_OK;
}

MR_UNUSED static void rig_compare_batches(struct rig_sink *sink, uint64_t epoch)
{
    struct rig_lines *now = &sink->batch[epoch];
    struct rig_lines *before = &sink->before[epoch];

    rig_lines_sort(now);
    for (size_t i = 0; sink->known[epoch] && i < MR_MAX(now->count, before->count); i++) {
        const char *is = i < now->count ? now->line[i] : "(no more)";
        const char *was = i < before->count ? before->line[i] : "(no more)";

        if (strcmp(is, was) == 0) continue;
        MR_FAIL("batch %llu has %zu rows, it had %zu; row %zu is %s, was %s (seed %llu)",
                (unsigned long long)epoch, now->count, before->count, i, is, was,
                (unsigned long long)sink->rig->seed);
    }
    if (sink->known[epoch]) return;
    sink->known[epoch] = true;
    for (size_t i = 0; i < now->count; i++) rig_lines_add(before, now->line[i]);
}

/* The state of a writer: every parcel that is prepared and not yet committed. */
MR_UNUSED static enum mr_status rig_sink_prepare(void *self, uint64_t epoch, struct mr_buffer *out,
                                                 enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct rig_writer *writer = self;
    struct rig_sink *sink = writer->sink;
    struct rig_parcel *last = rig_last(writer);
    bool good;

    if (!writer->finished && rig_blocks(sink, out_flow)) return MR_OK;
    *out_flow = MR_SINK_READY;
    MR_EXPECT(epoch < RIG_IDS_MAX);
    good = mr_buffer_put_u32(out, writer->instance);
    last->epoch = epoch;
    last->next = calloc(1, sizeof *last);
    for (size_t i = 0; i < last->rows.count; i++) {
        rig_lines_add(&sink->batch[epoch], last->rows.line[i]);
    }
    if (++sink->prepared[epoch] == writer->instance_count && sink->rig->same_content) {
        rig_compare_batches(sink, epoch);
    }
    for (struct rig_parcel *p = writer->parcels; p != last->next; p = p->next) {
        good = good && mr_buffer_put_u64(out, p->epoch) && mr_buffer_put_u64(out, p->rows.count);
        for (size_t i = 0; i < p->rows.count; i++) {
            good = good && mr_buffer_put(out, p->rows.line[i], strlen(p->rows.line[i]) + 1);
        }
    }
    return good ? MR_OK : mr_error_nomem(err, "a transaction", last->rows.count);
}

MR_UNUSED static bool rig_note(struct rig_sink *sink, uint32_t instance, uint64_t epoch)
{
    bool fresh;

    MR_EXPECT(instance < RIG_WRITERS_MAX && epoch < RIG_IDS_MAX);
    fresh = !sink->seen[instance][epoch];
    sink->seen[instance][epoch] = true;
    return fresh;
}

MR_UNUSED static enum mr_status
rig_sink_commit_epoch(void *self, uint64_t epoch, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct rig_writer *writer = self;

    (void)err;
    if (rig_blocks(writer->sink, out_flow)) return MR_OK;
    while (writer->parcels->epoch != 0 && writer->parcels->epoch <= epoch) {
        struct rig_parcel *first = writer->parcels;

        MR_EXPECT(rig_note(writer->sink, writer->instance, first->epoch));
        for (size_t i = 0; i < first->rows.count; i++) {
            rig_lines_add(&writer->sink->committed, first->rows.line[i]);
        }
        writer->parcels = first->next;
        rig_lines_clear(&first->rows);
        free(first);
    }
    return MR_OK;
}

MR_UNUSED static enum mr_status
rig_sink_recover(void *spec, const struct mr_recover_context *context, struct mr_error *err)
{
    struct rig_sink *sink = spec;

    (void)err;
    for (uint32_t s = 0; s < context->state_count; s++) {
        const struct mr_bytes *state = &context->states[s];
        struct mr_cursor in = {state->data, state->data + state->size_bytes};
        uint32_t instance = 0;
        uint64_t epoch, count;

        MR_EXPECT(mr_cursor_u32(&in, &instance));
        while (mr_cursor_u64(&in, &epoch) && mr_cursor_u64(&in, &count)) {
            bool fresh = rig_note(sink, instance, epoch);

            MR_EXPECT(epoch <= context->epoch);
            for (uint64_t i = 0; i < count; i++, in.at += strlen(in.at) + 1) {
                if (fresh) rig_lines_add(&sink->committed, in.at);
            }
        }
    }
    return MR_OK;
}

MR_UNUSED static enum mr_status rig_sink_commit(void *self, struct mr_error *err)
{
    const struct rig_writer *writer = self;

    (void)err;
    /* Everything has been committed by epochs. */
    MR_EXPECT(writer->parcels->next == NULL && writer->parcels->rows.count == 0);
    return MR_OK;
}

MR_UNUSED static void rig_sink_abort(void *self)
{
    (void)self;
    MR_FAIL("abort of a sink that takes part in epochs");
}

MR_UNUSED static void rig_sink_close(void *self)
{
    struct rig_writer *writer = self;

    while (writer->parcels != NULL) {
        struct rig_parcel *next = writer->parcels->next;

        rig_lines_clear(&writer->parcels->rows);
        free(writer->parcels);
        writer->parcels = next;
    }
    free(writer);
}

MR_UNUSED static void rig_sink_destroy(void *spec)
{
    (void)spec;
}

/* ---- the disk ---- */

MR_UNUSED static void rig_submit(struct mr_disk *interface, struct mr_disk_request *request)
{
    struct fault_disk *disk = MR_CONTAINER(interface, struct fault_disk, disk);
    struct rig *rig = MR_CONTAINER(disk, struct rig, disk);

    if (rig->on_request != NULL) {
        enum mr_status status = rig->on_request(rig, request);

        if (status != MR_OK) {
            rig->on_request_hits++;
            disk->fail_at = disk->requests + 1;
            disk->fail_status = status;
        }
    }
    rig->submit(interface, request);
}

/* ---- life of the world ---- */

MR_UNUSED static void rig_init(struct rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof *rig);
    rig->parts = 3;
    rig->rows = 40;
    rig->workers = 2;
    rig->seed = seed;
    rig->cut = MR_SIM_CUT_RANDOM;
    rig->epoch_us = 100;
    rig->batch_rows = 16;
    rig->idle = 33;
    rig->segment_bytes = 256 * 1024;
    rig->rows_sink.rig = rig->counts_sink.rig = rig;
    fault_disk_init(&rig->disk, seed);
    rig->submit = rig->disk.disk.submit;
    rig->disk.disk.submit = rig_submit;
    mr_heap_init_child(&rig->outside, "outside", SIZE_MAX, mr_test_heap());
    mr_prng_init(&rig->chance, seed, 9);
}

MR_UNUSED static struct rig *rig_new(uint64_t seed)
{
    struct rig *rig = malloc(sizeof *rig);

    rig_init(rig, seed);
    return rig;
}

MR_UNUSED static void rig_forget_batches(struct rig_sink *sink)
{
    for (uint32_t i = 0; i < RIG_IDS_MAX; i++) {
        rig_lines_clear(&sink->before[i]);
        sink->known[i] = false;
    }
}

MR_UNUSED static void rig_sink_clear(struct rig_sink *sink)
{
    rig_lines_clear(&sink->committed);
    for (uint32_t i = 0; i < RIG_IDS_MAX; i++) {
        rig_lines_clear(&sink->batch[i]);
        rig_lines_clear(&sink->before[i]);
    }
}

MR_UNUSED static void rig_free(struct rig *rig)
{
    rig_sink_clear(&rig->rows_sink);
    rig_sink_clear(&rig->counts_sink);
    fault_disk_fini(&rig->disk);
    mr_heap_fini(&rig->outside);
    free(rig);
}

/* ---- one attempt ---- */

MR_UNUSED static struct mr_disk *rig_disk_create(void *self, struct mr_heap *heap)
{
    (void)heap;
    return &((struct rig *)self)->disk.disk;
}

MR_UNUSED static void rig_disk_destroy(void *self, struct mr_disk *disk)
{
    (void)self;
    (void)disk;
}

MR_UNUSED static void rig_add_sink(struct mr_stream *in, const char *id, struct rig_sink *to)
{
    static const struct mr_sink_ops ops = {
        .size = sizeof ops,
        .name = "ledger",
        .open = rig_sink_open,
        .write = rig_sink_write,
        .finish = rig_sink_finish,
        .commit = rig_sink_commit,
        .abort = rig_sink_abort,
        .prepare = rig_sink_prepare,
        .commit_epoch = rig_sink_commit_epoch,
        .recover = rig_sink_recover,
        .close = rig_sink_close,
        .destroy = rig_sink_destroy,
    };
    struct mr_sink sink = {.ops = &ops, .spec = to};

    if (in != NULL) mri_add_sink(in, &sink, id, NULL);
}

MR_UNUSED static struct mr_job *rig_build(struct rig *rig)
{
    static const struct mr_field fields[] = {{.name = "part", .type = MR_INT64},
                                             {.name = "n", .type = MR_INT64},
                                             {.name = "key", .type = MR_INT64},
                                             {.name = "ts", .type = MR_INT64}};
    static const char *const keys[] = {"key"};
    struct mr_job_options options = {.size = sizeof options, .workers = rig->workers};
    struct mr_source_functions functions = {.size = sizeof functions,
                                            .partitions = rig->parts,
                                            .unbounded = rig->unbounded,
                                            .open = rig_open,
                                            .read = rig_read,
                                            .close = free,
                                            .position = rig_position,
                                            .resume = rig_resume};
    struct mr_job *job = mr_job_create("rig", &options);
    struct mr_aggregate aggregates[] = {
        {.name = "count", .function = "count"},
        {.name = "sum", .function = "sum", .argument = mr_col(job, "n")}};
    struct mr_stream *in =
        mr_read_source(job, "in", &functions, rig, fields, MR_COUNT(fields), false);
    struct mr_stream *counts;

    in = mr_assign_event_time(in, mr_col(job, "ts"), 0, 0);
    rig_add_sink(in, "rows", &rig->rows_sink);
    counts = mr_window_tumbling(mr_key_by_columns(in, keys, 1), RIG_WINDOW_US);
    rig_add_sink(mr_aggregate(counts, aggregates, 2), "counts", &rig->counts_sink);
    if (mr_job_status(job) != MR_OK) MR_FAIL("%s", mr_job_error(job));
    return job;
}

MR_UNUSED static void rig_end_run(struct rig *rig, enum mr_status status, const char *what)
{
    struct mr_error err;

    mr_error_set(&err, status, "%s at turn %llu, seed %llu", what, (unsigned long long)rig->turns,
                 (unsigned long long)rig->seed);
    mr_runner_fail(rig->runner, &err);
}

/* Turns of all workers and the coordinator in an order drawn from the seed. */
MR_UNUSED static void rig_drive(struct rig *rig, struct mr_sim *sim)
{
    struct mr_runner *runner = rig->runner;
    uint32_t count = runner->worker_count + 1;
    uint64_t turns_max = rig->turns_max == 0 ? 1000000 : rig->turns_max;
    uint64_t finished = 0;
    uint32_t idle = 0;

    while (finished != (UINT64_C(1) << count) - 1 && !atomic_load(&runner->failed)) {
        uint32_t worker = (uint32_t)mr_prng_below(&sim->workers, count);
        enum mr_progress progress;

        if ((finished >> worker) & 1) continue;
        rig->turns++;
        sim->now_us += 1 + (int64_t)mr_prng_below(&sim->time, 20);
        if (rig->turns == rig->stop_at) mr_checkpoint_stop(rig->checkpoint);
        if (rig->on_turn != NULL) rig->on_turn(rig);
        if (rig->turns == rig->kill_at) {
            rig->killed = true;
            rig->disk.crashed = true;
            rig_end_run(rig, MR_E_IO, "killed");
            break;
        }
        if (rig->turns >= turns_max) {
            rig_end_run(rig, MR_E_LIMIT, "no end");
            break;
        }
        progress = worker < runner->worker_count ? mr_worker_turn(runner, worker)
                                                 : mr_runner_coordinator_turn(runner);
        if (mr_checkpoint_waiting(rig->checkpoint)) rig->waiting_turns++;
        if (progress == MR_PROGRESS_OVER) finished |= UINT64_C(1) << worker;
        idle = progress == MR_PROGRESS_NONE ? idle + 1 : 0;
        if (idle > 4 * count) sim->now_us += MR_MILLISECOND;
    }
    rig->now_us = sim->now_us;
}

MR_UNUSED static enum mr_status rig_run(struct rig *rig, struct mr_sim *sim,
                                        const struct mr_checkpoint_options *how,
                                        struct mr_error *err)
{
    MR_RET(mr_checkpoint_open(rig->runner, how, &rig->checkpoint, err));
    rig->opened = true;
    rig->restored = mr_checkpoint_restored(rig->checkpoint);
    rig->job_finished = mr_checkpoint_job_finished(rig->checkpoint);
    if (rig->restored == 0) { /* the number of lanes is fixed by the first epoch that is complete */
        rig_forget_batches(&rig->rows_sink);
        rig_forget_batches(&rig->counts_sink);
    }
    if (rig->job_finished) return MR_OK;
    rig_drive(rig, sim);
    rig->stats = mr_checkpoint_stats(rig->checkpoint);
    rig->stopped = mr_checkpoint_stopped(rig->checkpoint);
    if (atomic_load(&rig->runner->failed)) {
        *err = rig->runner->error;
        return err->status;
    }
    return rig->stopped ? MR_OK : mr_runner_commit(rig->runner, err);
}

/* Plans the splits, which belong to the arena. */
MR_UNUSED static void rig_plan_input(struct rig *rig, struct mr_job *job, struct mr_arena *arena,
                                     struct mr_input *out)
{
    struct mr_plan_context context = {
        .heap = &rig->outside, .disk = &rig->disk.disk, .streaming = true};
    struct mr_error err;

    *out = (struct mr_input){.node = job->model->nodes[job->source_nodes[0]],
                             .ops = job->sources[0].ops,
                             .spec = job->sources[0].spec,
                             .splits = {.arena = arena}};
    MR_EXPECT_OK(out->ops->plan(out->spec, &context, &out->splits, &err), &err);
}

MR_UNUSED static void rig_begin_attempt(struct rig *rig)
{
    rig->opened = rig->job_finished = rig->stopped = rig->killed = false;
    rig->turns = rig->waiting_turns = rig->rows_read = rig->restored = 0;
    rig->stats = (struct mr_checkpoint_stats){.epochs = 0};
    rig->err = (struct mr_error){.status = MR_OK};
    for (uint32_t i = 0; i < RIG_IDS_MAX; i++) {
        rig_lines_clear(&rig->rows_sink.batch[i]);
        rig_lines_clear(&rig->counts_sink.batch[i]);
        rig->rows_sink.prepared[i] = rig->counts_sink.prepared[i] = 0;
    }
}

/* What a runner is made of; lives as long as it. */
struct rig_parts {
    struct mr_port world;
    struct mr_sim sim;
    struct mr_job *job;
    struct mr_arena arena;
    struct mr_input input;
    struct mr_plan *plan;
};

/* Makes rig->runner, which is NULL on failure. */
MR_UNUSED static enum mr_status rig_make(struct rig *rig, struct rig_parts *parts,
                                         struct mr_error *err)
{
    struct mr_heap *heap = rig->heap != NULL ? rig->heap : &rig->outside;
    struct mr_runner_options options = {
        .streaming = true, .late_by_split = true, .epochs = true, .batch_rows = rig->batch_rows};
    struct mr_plan_options plan_options = {.workers = rig->workers,
                                           .streaming = true,
                                           .late_by_split = true,
                                           .memory_bytes = (size_t)512 << 20};
    struct mr_error plan_err;

    parts->world = (struct mr_port){.heap = &rig->outside,
                                    .disk_create = rig_disk_create,
                                    .disk_destroy = rig_disk_destroy,
                                    .self = rig};
    rig_begin_attempt(rig);
    parts->job = rig_build(rig);
    mr_sim_init(&parts->sim, rig->seed, rig->cut, &parts->world);
    parts->sim.now_us = rig->now_us;
    mr_arena_init(&parts->arena, &rig->outside);
    rig_plan_input(rig, parts->job, &parts->arena, &parts->input);
    MR_EXPECT_OK(
        mr_plan_create(&rig->outside, parts->job->model, &plan_options, &parts->plan, &plan_err),
        &plan_err);
    rig->runner = NULL;
    rig->checkpoint = NULL;
    return mr_runner_create(heap, parts->plan, &parts->sim.port, &parts->input, 1, &options,
                            &rig->runner, err);
}

MR_UNUSED static void rig_unmake(struct rig *rig, struct rig_parts *parts)
{
    rig->checkpoint = NULL; /* ends with the runner */
    mr_runner_destroy(rig->runner);
    rig->runner = NULL;
    mr_plan_destroy(parts->plan);
    mr_arena_fini(&parts->arena);
    mr_job_destroy(parts->job);
}

/* MR_OK: finished, stopped, or there was nothing to do. */
MR_UNUSED static enum mr_status rig_attempt(struct rig *rig)
{
    struct mr_checkpoint_options how = {.dir = RIG_DIR,
                                        .epoch_us = rig->epoch_us,
                                        .ordered = rig->ordered,
                                        .job_hash = 77,
                                        .segment_bytes = rig->segment_bytes};
    struct mr_error err = {.status = MR_OK};
    struct rig_parts parts;
    enum mr_status st = rig_make(rig, &parts, &err);

    if (st == MR_OK) st = rig_run(rig, &parts.sim, &how, &err);
    rig->err = err;
    rig_unmake(rig, &parts);
    if (rig->killed) fault_disk_kill(&rig->disk);
    return st;
}

/* ---- what must be there ---- */

MR_UNUSED static void rig_oracle_counts(const struct rig *rig, struct rig_lines *out)
{
    for (int64_t window = 0; window < rig->rows; window += RIG_WINDOW_US) {
        for (int64_t key = 0; key < RIG_KEYS; key++) {
            int64_t count = 0, sum = 0;
            char line[96];

            for (uint32_t part = 0; part < rig->parts; part++) {
                for (int64_t n = window; n < window + RIG_WINDOW_US && n < rig->rows; n++) {
                    if (rig_key(part, n) != key) continue;
                    count++;
                    sum += n;
                }
            }
            (void)snprintf(line, sizeof line, "%lld,%lld,%lld,%lld,%lld", (long long)window,
                           (long long)(window + RIG_WINDOW_US), (long long)key, (long long)count,
                           (long long)sum);
            if (count > 0) rig_lines_add(out, line);
        }
    }
}

MR_UNUSED static void rig_oracle_rows(const struct rig *rig, struct rig_lines *out)
{
    for (uint32_t part = 0; part < rig->parts; part++) {
        for (int64_t n = 0; n < rig->rows; n++) {
            char line[96];

            (void)snprintf(line, sizeof line, "%u,%lld,%lld,%lld", part, (long long)n,
                           (long long)rig_key(part, n), (long long)n);
            rig_lines_add(out, line);
        }
    }
}

/* Nothing that is not in `all`, nothing twice; `whole`: nothing missing. Both become sorted. */
MR_UNUSED static void rig_compare(const struct rig *rig, const char *what, struct rig_lines *got,
                                  struct rig_lines *all, bool whole)
{
    size_t at = 0;

    rig_lines_sort(got);
    rig_lines_sort(all);
    for (size_t i = 0; i < got->count; i++, at++) {
        while (!whole && at < all->count && strcmp(all->line[at], got->line[i]) < 0) at++;
        if (at < all->count && strcmp(all->line[at], got->line[i]) == 0) continue;
        MR_FAIL("%s: row '%s' came %s; expected was '%s' (seed %llu)", what, got->line[i],
                at > 0 && strcmp(all->line[at - 1], got->line[i]) == 0 ? "twice"
                                                                       : "out of nowhere, or "
                                                                         "one before is missing",
                at < all->count ? all->line[at] : "the end", (unsigned long long)rig->seed);
    }
    if (whole && got->count != all->count) {
        MR_FAIL("%s: %zu rows, expected %zu, missing '%s' (seed %llu)", what, got->count,
                all->count, all->line[got->count], (unsigned long long)rig->seed);
    }
}

MR_UNUSED static void rig_check(struct rig *rig, bool whole)
{
    struct rig_lines rows = {.count = 0}, counts = {.count = 0};

    rig_oracle_rows(rig, &rows);
    rig_oracle_counts(rig, &counts);
    rig_compare(rig, "rows", &rig->rows_sink.committed, &rows, whole);
    rig_compare(rig, "counts", &rig->counts_sink.committed, &counts, whole);
    rig_lines_clear(&rows);
    rig_lines_clear(&counts);
}

/* Attempts without a fault until the job is over, then everything must be there. */
MR_UNUSED static void rig_end_well(struct rig *rig)
{
    rig->kill_at = rig->stop_at = 0;
    rig->on_turn = NULL;
    rig->on_request = NULL;
    rig->heap = NULL;
    rig->disk.fail_at = 0;
    rig->disk.fail_sticky = false;
    rig->disk.space_bytes = SIZE_MAX;
    MR_EXPECT_OK(rig_attempt(rig), &rig->err);
    rig_check(rig, true);
}

#endif
