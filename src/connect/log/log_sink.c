/* log_sink.c - rows to a topic, in two phases; see connect.h and topic.h.
 *
 * prepare: the rows of the epoch are in synced segments. The state names the last of them.
 * commit:  a COMMIT record. If it is lost, the attempt file of the next attempt says the same.
 * recover: takes the next generation; its attempt file lists what the states name, and with that
 *          everything else that earlier attempts wrote is out for ever.
 */
#include "base/assert.h"
#include "base/crc.h"
#include "base/fault.h"
#include "base/status.h"
#include "base/text.h"
#include "connect/connect.h"
#include "connect/log/topic_internal.h"
#include "connect/log/topic_writer.h"

#include <pthread.h>
#include <string.h>

#define STATE_VERSION 1u
#define EPOCHS_KEPT   8u /* prepared ones that nobody committed or gave up yet */

struct log_spec {
    struct mr_heap *heap;
    struct mri_topic_url url;
    pthread_mutex_t lock; /* guards `begun` for writers without epochs; rank: leaf */
    bool begun;
    bool done; /* the job was finished in an earlier attempt */
    struct mri_topic topic; /* immutable once begun */
    struct mri_topic_index index;
};

struct prepared {
    uint64_t epoch;
    uint64_t row_end;
    uint64_t segment;
};

enum commit_phase { COMMIT_NONE, COMMIT_CHECK, COMMIT_WRITE };

struct log_writer {
    struct log_spec *spec;
    struct mr_heap *heap;
    struct mr_disk *disk;
    uint64_t fence;
    struct mri_topic_writer writer;
    struct prepared prepared[EPOCHS_KEPT]; /* ascending */
    uint32_t prepared_count;
    bool finishing;
    bool finished;
    enum commit_phase commit_phase;
    struct mr_disk_request list; /* of the topic's directory: is there a newer attempt? */
    bool list_busy;
};

/* ---- what a writer leaves behind ---- */

struct log_state {
    uint64_t schema_hash;
    uint64_t owner;
    uint64_t generation;
    uint64_t partition;
    uint64_t segment_last;
    uint64_t row_first; /* of its generation */
    uint64_t row_end;
};
#define STATE_BYTES (4 + sizeof(struct log_state) + 4)

static enum mr_status put_state(struct mr_buffer *out, const struct log_state *state,
                                struct mr_error *err)
{
    const uint64_t *words = (const uint64_t *)state;
    size_t start = out->size_bytes;
    bool ok = mr_buffer_put_u32(out, STATE_VERSION);

    for (size_t i = 0; i < MRI_TOPIC_WORDS(*state) && ok; i++) ok = mr_buffer_put_u64(out, words[i]);
    if (ok && mr_buffer_put_u32(out, mr_crc32c(0, out->data + start, out->size_bytes - start))) {
        return MR_OK;
    }
    out->size_bytes = start;
    return mri_topic_nomem(err);
}

static enum mr_status get_state(const struct log_spec *spec, struct mr_bytes bytes,
                                struct log_state *out, struct mr_error *err)
{
    struct mr_cursor in = {bytes.data, bytes.data + bytes.size_bytes};
    uint64_t *words = (uint64_t *)out;
    uint32_t version = 0, sum = 0;
    bool ok = bytes.size_bytes >= 8 && mr_cursor_u32(&in, &version);

    if (ok && version > STATE_VERSION) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "topic %s: the state of its writer has version %u, this program reads up "
                            "to %u; use the program that wrote it or a newer one",
                            spec->topic.path, version, STATE_VERSION);
    }
    ok = ok && bytes.size_bytes == STATE_BYTES;
    for (size_t i = 0; i < MRI_TOPIC_WORDS(*out) && ok; i++) ok = mr_cursor_u64(&in, &words[i]);
    ok = ok && mr_cursor_u32(&in, &sum) &&
         sum == mr_crc32c(0, bytes.data, bytes.size_bytes - 4) && version == STATE_VERSION &&
         out->generation > 0 && out->owner <= out->generation && out->row_first <= out->row_end &&
         out->segment_last < MRI_TOPIC_SEGMENTS_MAX;
    if (ok) return MR_OK;
    return mr_error_set(err, MR_E_CORRUPT,
                        "topic %s: the state of its writer is damaged, so the job cannot go on; start "
                        "from a savepoint, or anew with --fresh and another topic",
                        spec->topic.path);
}

/* ---- beginning a generation ---- */

struct begin {
    struct log_spec *spec;
    struct mr_disk *disk;
    const struct mr_recover_context *context; /* NULL: without epochs */
    struct mri_topic_index before;            /* in force until now */
    struct mri_topic_index after;
    struct log_state states[MRI_TOPIC_PARTITIONS];
    bool has_state[MRI_TOPIC_PARTITIONS];
    uint32_t state_count;
    uint64_t generation; /* that wrote them */
    uint64_t owner;
};

static enum mr_status busy(const struct begin *begin, struct mr_error *err)
{
    return mr_error_set(err, MR_E_BUSY,
                        "topic %s belongs to another job that has not ended (its attempt %llu with "
                        "fence %llu): run that job to its end, or write to another topic",
                        begin->spec->topic.path, (unsigned long long)begin->before.generation,
                        (unsigned long long)begin->before.fence);
}

static enum mr_status take_states(struct begin *begin, struct mr_error *err)
{
    const struct mr_recover_context *context = begin->context;

    for (uint32_t i = 0; context != NULL && i < context->state_count; i++) {
        struct log_state state;

        MR_RET(get_state(begin->spec, context->states[i], &state, err));
        if (state.schema_hash != begin->spec->topic.schema_hash ||
            state.partition >= begin->spec->topic.options.partitions ||
            begin->has_state[state.partition] ||
            (i > 0 && (state.generation != begin->generation || state.owner != begin->owner))) {
            return mr_error_set(err, MR_E_CHANGED,
                                "topic %s is not the one that the job has written to before (its "
                                "state speaks of another schema, or of other partitions)",
                                begin->spec->topic.path);
        }
        begin->generation = state.generation;
        begin->owner = state.owner;
        begin->states[state.partition] = state;
        begin->has_state[state.partition] = true;
        begin->state_count++;
    }
    return MR_OK;
}

/* Runs whose files retention has removed need not be kept in mind. */
static enum mr_status copy_runs(struct begin *begin, uint32_t p, struct mr_error *err)
{
    const struct mri_topic_part *part = &begin->before.parts[p];
    struct mri_topic_segment *segments = NULL;
    uint32_t count = 0;
    uint64_t first = 0;
    enum mr_status st = MR_OK;

    begin->after.parts[p].next_row = part->next_row;
    MR_RET(mri_topic_segments(&begin->spec->topic, begin->disk, p, &segments, &count, err));
    while (first < part->run_count &&
           (count == 0 || segments[0].generation > part->runs[first].generation)) {
        first++;
    }
    if (first < part->run_count) begin->after.parts[p].next_row = part->runs[first].row_first;
    for (uint64_t i = first; i < part->run_count && st == MR_OK; i++) {
        if (!mri_topic_add_run(&begin->after, p, &part->runs[i])) st = mri_topic_nomem(err);
    }
    mr_free(begin->spec->topic.heap, segments, count * sizeof *segments);
    return st;
}

/* The rows that the job's own last epoch has in a partition. */
static enum mr_status add_state(struct begin *begin, uint32_t p, struct mr_error *err)
{
    const struct log_state *state = &begin->states[p];
    const struct mri_topic_run *known = mri_topic_find_run(&begin->before.parts[p],
                                                           state->generation);
    struct mri_topic_run run = {.generation = state->generation,
                                .segment_last = state->segment_last,
                                .row_first = state->row_first,
                                .row_end = state->row_end};

    if (state->row_end == state->row_first) return MR_OK; /* none */
    if (known != NULL && known->row_end == state->row_end) return MR_OK; /* said before */
    if (known == NULL && begin->before.generation == state->generation &&
        begin->before.parts[p].next_row == state->row_first) {
        MR_RET(mri_topic_verify(&begin->spec->topic, begin->disk, p, &run, err));
        return mri_topic_add_run(&begin->after, p, &run) ? MR_OK : mri_topic_nomem(err);
    }
    return mr_error_set(err, MR_E_LOST,
                        "topic %s, partition %u: rows %llu to %llu of a complete epoch do not count any "
                        "more, because another attempt (%llu, with fence %llu) has written without "
                        "them; output that was promised is lost: restore the topic from a copy, or "
                        "start anew with --fresh and another topic",
                        begin->spec->topic.path, p, (unsigned long long)state->row_first,
                        (unsigned long long)state->row_end,
                        (unsigned long long)begin->before.generation,
                        (unsigned long long)begin->before.fence);
}

/* All that our last epoch named counts; nothing else of later attempts of this job does. */
static enum mr_status follow_own(struct begin *begin, bool closed, struct mr_error *err)
{
    if (begin->before.generation < begin->generation) {
        return mr_error_set(err, MR_E_LOST,
                            "topic %s: attempt %llu, which wrote a complete epoch, is not there any "
                            "more; output that was promised is lost: restore the topic from a copy, "
                            "or start anew with --fresh and another topic",
                            begin->spec->topic.path, (unsigned long long)begin->generation);
    }
    for (uint32_t p = 0; p < begin->after.part_count; p++) {
        if (begin->has_state[p]) {
            MR_RET(add_state(begin, p, err));
        } else if (begin->before.generation == begin->generation &&
                   p < begin->before.instance_count) {
            return mr_error_set(err, MR_E_LOST,
                                "topic %s: the state of the job names no rows of partition %u, which "
                                "its last attempt has written; start from a savepoint, or anew with "
                                "--fresh and another topic",
                                begin->spec->topic.path, p);
        }
    }
    if (begin->before.owner != begin->owner && !closed) return busy(begin, err);
    return MR_OK;
}

/* What another job, or one without epochs, has committed stays. */
static enum mr_status follow_other(struct begin *begin, bool closed, struct mr_error *err)
{
    const struct mri_topic_index *before = &begin->before;
    bool own = before->owner != MRI_TOPIC_NO_OWNER && !closed;

    /* A job of epochs that has committed something goes on itself, or nobody does. */
    if (own && before->owner != before->generation) return busy(begin, err);
    for (uint32_t p = 0; p < before->part_count && before->generation > 0; p++) {
        struct mri_topic_run run;
        bool any;

        MR_RET(mri_topic_scan(&begin->spec->topic, begin->disk, p, before->generation,
                              before->parts[p].next_row, &run, &any, err));
        if (!any) continue;
        if (own) return busy(begin, err);
        if (!mri_topic_add_run(&begin->after, p, &run)) return mri_topic_nomem(err);
    }
    return MR_OK;
}

static enum mr_status make_after(struct begin *begin, uint32_t instances, struct mr_error *err)
{
    struct mri_topic_index *after = &begin->after;

    *after = (struct mri_topic_index){.heap = begin->spec->heap,
                                      .fence = begin->context == NULL ? 0 : begin->context->fence,
                                      .owner = begin->owner,
                                      .instance_count = instances};
    after->parts = mr_alloc_array(after->heap, begin->before.part_count, sizeof *after->parts);
    if (after->parts == NULL) return mri_topic_nomem(err);
    after->part_count = begin->before.part_count;
    for (uint32_t p = 0; p < after->part_count; p++) MR_RET(copy_runs(begin, p, err));
    return MR_OK;
}

/* True when an earlier attempt has already seen to the end of this job. */
static bool all_said(const struct begin *begin, bool closed)
{
    if (begin->context == NULL || !begin->context->finished || begin->state_count == 0) return false;
    return closed || begin->before.owner != begin->owner; /* another could begin: we had ended */
}

static enum mr_status close_all(struct begin *begin, struct mr_error *err)
{
    const struct log_spec *spec = begin->spec;

    for (uint32_t p = 0; p < spec->index.part_count && p < spec->index.instance_count; p++) {
        MR_RET(mri_topic_close(&spec->topic, begin->disk, spec->index.generation, p, NULL, err));
        MR_CRASH("C31");
    }
    return MR_OK;
}

static enum mr_status begin_generation(struct begin *begin, uint32_t instances,
                                       struct mr_error *err)
{
    struct log_spec *spec = begin->spec;
    bool closed = false;

    MR_RET(mri_topic_index_load(&spec->topic, begin->disk, &begin->before, err));
    MR_RET(take_states(begin, err));
    MR_RET(mri_topic_is_closed(&spec->topic, begin->disk, &begin->before, &closed, err));
    MR_RET(make_after(begin, instances, err));
    if (begin->state_count > 0) {
        MR_RET(follow_own(begin, closed, err));
    } else {
        MR_RET(follow_other(begin, closed, err));
    }
    spec->done = all_said(begin, closed);
    if (spec->done) { /* writers may be opened, but have nothing to do */
        mri_topic_index_fini(&spec->index);
        spec->index = begin->before;
        begin->before = (struct mri_topic_index){.heap = NULL};
        return MR_OK;
    }
    MR_RET(mri_topic_publish(&spec->topic, begin->disk, &begin->after,
                             begin->context != NULL && begin->state_count == 0, err));
    MR_CRASH("C31");
    mri_topic_index_fini(&spec->index);
    spec->index = begin->after;
    begin->after = (struct mri_topic_index){.heap = NULL};
    mri_topic_clean(&spec->topic, begin->disk, &spec->index);
    if (begin->context != NULL && begin->context->finished) return close_all(begin, err);
    return MR_OK;
}

static enum mr_status check_instances(const struct log_spec *spec, uint32_t instances,
                                      struct mr_error *err)
{
    if (instances <= spec->topic.options.partitions) return MR_OK;
    return mr_error_set(err, MR_E_LIMIT,
                        "topic %s has %llu partitions, but the job writes with %u instances, each to a "
                        "partition of its own; use --workers %llu, or another topic with more: "
                        "log://DIR/topic?partitions=%u",
                        spec->topic.path, (unsigned long long)spec->topic.options.partitions,
                        instances, (unsigned long long)spec->topic.options.partitions, instances);
}

static enum mr_status begin_topic(struct log_spec *spec, struct mr_disk *disk,
                                  const struct mr_schema *schema, uint32_t instances,
                                  const struct mr_recover_context *context, struct mr_error *err)
{
    struct begin *begin = mr_alloc_zero(spec->heap, sizeof *begin);
    enum mr_status st;

    if (begin == NULL) return mri_topic_nomem(err);
    begin->spec = spec;
    begin->disk = disk;
    begin->context = context;
    if (spec->topic.heap == NULL) {
        MR_GOTO(mri_topic_create(spec->heap, disk, spec->url.path, schema, &spec->url.options,
                                 instances, &spec->topic, err));
    }
    MR_GOTO(check_instances(spec, instances, err));
    MR_GOTO(begin_generation(begin, instances, err));
    spec->begun = true;
done:
    mri_topic_index_fini(&begin->before);
    mri_topic_index_fini(&begin->after);
    mr_free(spec->heap, begin, sizeof *begin);
    return st;
}

static enum mr_status log_recover(void *self, const struct mr_recover_context *context,
                                  struct mr_error *err)
{
    return begin_topic(self, context->disk, context->schema, MR_MAX(context->instance_count, 1u),
                       context, err);
}

/* ---- writing ---- */

static void log_close(void *self)
{
    struct log_writer *writer = self;

    if (writer == NULL) return;
    if (writer->list_busy && !writer->list.done) {
        writer->disk->cancel(writer->disk, &writer->list);
    } else if (writer->list_busy) {
        writer->disk->names_free(writer->disk, &writer->list);
    }
    mri_topic_writer_fini(&writer->writer);
    mr_free(writer->heap, writer, sizeof *writer);
}

/* Without epochs nobody recovers: the first writer begins for all. */
static enum mr_status begin_once(struct log_spec *spec, const struct mr_writer_context *context,
                                 struct mr_error *err)
{
    enum mr_status st = MR_OK;

    (void)pthread_mutex_lock(&spec->lock);
    if (!spec->begun) {
        st = begin_topic(spec, context->disk, context->schema, context->instance_count, NULL, err);
    }
    (void)pthread_mutex_unlock(&spec->lock);
    return st;
}

static enum mr_status log_open(void *self, const struct mr_writer_context *context, void **out,
                               struct mr_error *err)
{
    struct log_spec *spec = self;
    struct log_writer *writer;

    if (context->fence == 0) MR_RET(begin_once(spec, context, err));
    mr_assert(spec->begun);
    mr_assert(context->instance < spec->index.part_count);
    writer = mr_alloc_zero(context->heap, sizeof *writer);
    if (writer == NULL) return mri_topic_nomem(err);
    writer->spec = spec;
    writer->heap = context->heap;
    writer->disk = context->disk;
    writer->fence = context->fence;
    mri_topic_writer_init(&writer->writer, spec->heap, context->disk, &spec->topic,
                          context->instance, &spec->index);
    MR_CRASH("C24");
    *out = writer;
    return MR_OK;
}

static enum mr_status step(struct log_writer *writer, enum mr_sink_flow *out_flow,
                           struct mr_error *err)
{
    bool idle;

    MR_RET(mri_topic_writer_step(&writer->writer, &idle, err));
    *out_flow = idle ? MR_SINK_READY : MR_SINK_BLOCKED;
    return MR_OK;
}

static enum mr_status log_write(void *self, const struct mr_batch *batch,
                                enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct log_writer *writer = self;

    mr_assert(!writer->spec->done);
    MR_RET(step(writer, out_flow, err));
    if (mri_topic_writer_full(&writer->writer)) return MR_OK;
    *out_flow = MR_SINK_READY;
    return mri_topic_writer_append(&writer->writer, batch, err);
}

/* Without epochs what was written is visible at once. */
static enum mr_status commit_all(struct log_writer *writer, struct mr_error *err)
{
    struct mri_topic_writer *inner = &writer->writer;

    return mri_topic_writer_commit(inner, 0, inner->row, inner->rows_segment, err);
}

static enum mr_status log_flush(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct log_writer *writer = self;

    if (writer->fence == 0 && !writer->finished) MR_RET(commit_all(writer, err));
    MR_RET(step(writer, out_flow, err));
    if (writer->fence != 0) *out_flow = MR_SINK_READY; /* nobody waits for it */
    return MR_OK;
}

static enum mr_status log_finish(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct log_writer *writer = self;

    if (!writer->finishing) MR_RET(mri_topic_writer_sync(&writer->writer, err));
    writer->finishing = true;
    MR_RET(step(writer, out_flow, err));
    if (mri_topic_writer_synced(&writer->writer)) *out_flow = MR_SINK_READY;
    writer->finished = *out_flow == MR_SINK_READY;
    return MR_OK;
}

static void note_prepared(struct log_writer *writer, uint64_t epoch)
{
    struct mri_topic_writer *inner = &writer->writer;
    const struct prepared now = {epoch, inner->row, inner->rows_segment};

    if (writer->prepared_count == EPOCHS_KEPT) {
        /* Nobody asked for the oldest so long: a later one says the same. */
        memmove(writer->prepared, writer->prepared + 1,
                (EPOCHS_KEPT - 1) * sizeof writer->prepared[0]);
        writer->prepared_count--;
    }
    writer->prepared[writer->prepared_count++] = now;
}

static enum mr_status log_prepare(void *self, uint64_t epoch, struct mr_buffer *out,
                                  enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct log_writer *writer = self;
    struct mri_topic_writer *inner = &writer->writer;
    struct log_state state;

    MR_RET(mri_topic_writer_sync(inner, err)); /* nothing if it was asked for before */
    MR_CRASH("C10");
    MR_RET(step(writer, out_flow, err));
    if (!mri_topic_writer_synced(inner)) return MR_OK;
    MR_CRASH("C25");
    *out_flow = MR_SINK_READY;
    state = (struct log_state){.schema_hash = writer->spec->topic.schema_hash,
                               .owner = writer->spec->index.owner,
                               .generation = inner->generation,
                               .partition = inner->partition,
                               .segment_last = inner->rows_segment,
                               .row_first = inner->row_first,
                               .row_end = inner->row};
    MR_RET(put_state(out, &state, err));
    note_prepared(writer, epoch);
    MR_CRASH("C26");
    return MR_OK;
}

/* A newer attempt has taken a number: whatever we wrote from now on would count for nothing. */
static enum mr_status judge_list(struct log_writer *writer, struct mr_error *err)
{
    struct mr_disk_request *list = &writer->list;
    uint64_t newest = 0;

    writer->list_busy = false;
    if (list->status != MR_OK) {
        if (err != NULL) *err = list->error;
        return list->status;
    }
    for (uint32_t i = 0; i < list->name_count; i++) {
        bool published;

        newest = MR_MAX(newest, mri_topic_attempt_name(list->names[i], &published));
    }
    writer->disk->names_free(writer->disk, list);
    if (newest <= writer->writer.generation || MR_PLANT("museum-6")) return MR_OK;
    return mr_error_set(err, MR_E_FENCED,
                        "topic %s: attempt %llu has taken over from this one (%llu)",
                        writer->spec->topic.path, (unsigned long long)newest,
                        (unsigned long long)writer->writer.generation);
}

/* Something of up to `epoch` that is not committed yet; NULL: nothing. */
static const struct prepared *to_commit(const struct log_writer *writer, uint64_t epoch)
{
    const struct prepared *found = NULL;

    for (uint32_t i = 0; i < writer->prepared_count; i++) {
        const struct prepared *at = &writer->prepared[i];

        if (at->epoch <= epoch && at->row_end > writer->writer.committed) found = at;
    }
    return found;
}

static void forget_prepared(struct log_writer *writer, uint64_t epoch)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < writer->prepared_count; i++) {
        if (writer->prepared[i].epoch > epoch) writer->prepared[kept++] = writer->prepared[i];
    }
    writer->prepared_count = kept;
}

static enum mr_status log_commit_epoch(void *self, uint64_t epoch, enum mr_sink_flow *out_flow,
                                       struct mr_error *err)
{
    struct log_writer *writer = self;
    const struct prepared *found = to_commit(writer, epoch);

    if (writer->commit_phase == COMMIT_NONE && found != NULL) {
        MR_CRASH("C27");
        writer->list = (struct mr_disk_request){.op = MR_DISK_LIST,
                                                .path = writer->spec->topic.path};
        writer->list_busy = true;
        writer->disk->submit(writer->disk, &writer->list);
        writer->commit_phase = COMMIT_CHECK;
    }
    if (writer->commit_phase == COMMIT_CHECK) {
        *out_flow = MR_SINK_BLOCKED;
        if (!writer->list.done) (void)writer->disk->poll(writer->disk);
        if (!writer->list.done) return MR_OK;
        writer->commit_phase = COMMIT_NONE;
        MR_RET(judge_list(writer, err));
        MR_CRASH("C32");
        if (found != NULL) {
            MR_RET(mri_topic_writer_commit(&writer->writer, epoch, found->row_end, found->segment,
                                           err));
        }
        writer->commit_phase = COMMIT_WRITE;
    }
    MR_RET(step(writer, out_flow, err));
    if (!mri_topic_writer_commit_done(&writer->writer)) return MR_OK;
    MR_CRASH("C28");
    *out_flow = MR_SINK_READY;
    writer->commit_phase = COMMIT_NONE;
    if (to_commit(writer, epoch) != NULL) { /* asked for more while this was under way */
        *out_flow = MR_SINK_BLOCKED;
    } else {
        forget_prepared(writer, epoch);
    }
    return MR_OK;
}

/* ---- end ---- */

static enum mr_status settle(struct log_writer *writer, struct mr_error *err)
{
    bool idle = false;

    while (!idle) {
        MR_RET(mri_topic_writer_step(&writer->writer, &idle, err));
        if (!idle) (void)writer->disk->poll(writer->disk);
    }
    return MR_OK;
}

static enum mr_status log_commit(void *self, struct mr_error *err)
{
    struct log_writer *writer = self;
    struct mri_topic_writer *inner = &writer->writer;
    struct mri_topic_run run;

    if (writer->fence == 0) MR_RET(commit_all(writer, err));
    run = (struct mri_topic_run){.generation = inner->generation,
                                 .segment_last = inner->committed_segment,
                                 .row_first = inner->row_first,
                                 .row_end = inner->committed};
    MR_RET(mri_topic_writer_sync_all(inner, err));
    MR_RET(settle(writer, err));
    MR_CRASH("C30");
    return mri_topic_close(&writer->spec->topic, writer->disk, inner->generation, inner->partition,
                           run.row_end > run.row_first ? &run : NULL, err);
}

static void log_abort(void *self)
{
    (void)self; /* what was not committed is seen by nobody */
}

static uint64_t log_bytes(const void *self)
{
    const struct log_writer *writer = self;

    return writer->writer.queue.written_bytes;
}

static void log_describe(const void *self, struct mr_text *out)
{
    const struct log_spec *spec = self;

    mr_text_format(out, "log to %s", spec->url.path);
}

static void log_destroy(void *self)
{
    struct log_spec *spec = self;

    if (spec == NULL) return;
    mri_topic_index_fini(&spec->index);
    mri_topic_fini(&spec->topic);
    mr_strfree(spec->heap, spec->url.path);
    (void)pthread_mutex_destroy(&spec->lock);
    mr_free(spec->heap, spec, sizeof *spec);
}

static const struct mr_sink_ops log_ops = {
    .size = sizeof(struct mr_sink_ops),
    .name = "log",
    .open = log_open,
    .write = log_write,
    .flush = log_flush,
    .finish = log_finish,
    .commit = log_commit,
    .abort = log_abort,
    .prepare = log_prepare,
    .commit_epoch = log_commit_epoch,
    .recover = log_recover,
    .bytes = log_bytes,
    .close = log_close,
    .describe = log_describe,
    .destroy = log_destroy,
};

bool mr_log_is_url(const char *path)
{
    return path != NULL && strncmp(path, "log://", 6) == 0;
}

enum mr_status mr_log_sink(struct mr_heap *heap, const struct mr_log_sink_options *options,
                           struct mr_sink *out, struct mr_error *err)
{
    struct log_spec *spec = mr_alloc_zero(heap, sizeof *spec);
    enum mr_status st;

    if (spec == NULL) return mri_topic_nomem(err);
    spec->heap = heap;
    if (pthread_mutex_init(&spec->lock, NULL) != 0) {
        mr_free(heap, spec, sizeof *spec);
        return mri_topic_nomem(err);
    }
    st = mri_topic_url_parse(heap, options->path, &spec->url, err);
    if (st == MR_OK && spec->url.follow) {
        st = mr_error_set(err, MR_E_INVALID, "%s: 'follow' is for reading", options->path);
    }
    if (st != MR_OK) {
        log_destroy(spec);
        return st;
    }
    *out = (struct mr_sink){&log_ops, spec};
    return MR_OK;
}
