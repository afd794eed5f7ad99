#include "runtime/sink_operator.h"

#include "base/assert.h"
#include "base/status.h"
#include "runtime/tracker.h"

/* OPEN -> FINISHING (END came in) -> FINISHED (END went out). */
enum sink_phase { SINK_OPEN, SINK_FINISHING, SINK_FINISHED };

struct sink_operator {
    struct mr_operator op;
    struct mr_sink_options options;
    void *writer;
    enum sink_phase phase;
    struct mr_batch *pending;
    struct mr_item control; /* came in, has not gone out; tag 0: none */
    bool committed;
    uint64_t bytes_counted;
    bool transactional;          /* prepare and commit_epoch are called */
    uint64_t prepared;           /* epoch that `transaction` is of */
    struct mr_buffer transaction; /* what `prepare` gave */
};

static void count_bytes(struct sink_operator *sink)
{
    uint64_t now = sink->options.ops->bytes == NULL ? 0 : sink->options.ops->bytes(sink->writer);

    mr_counter_add(sink->op.task->counters, MR_COUNTER_BYTES_OUT, now - sink->bytes_counted);
    sink->bytes_counted = now;
}

static enum mr_status sink_put(struct mr_operator *op, const struct mr_item *item,
                               struct mr_error *err)
{
    struct sink_operator *sink = (struct sink_operator *)op;

    (void)err;
    mr_assert(sink->pending == NULL && sink->control.tag == 0);
    mr_assert(sink->phase == SINK_OPEN);
    if (item->tag == MR_ITEM_BATCH) {
        sink->pending = item->batch;
    } else {
        mr_item_forward(&sink->control, item);
    }
    if (item->tag == MR_ITEM_END) sink->phase = SINK_FINISHING;
    return MR_OK;
}

static void note_first_result(struct sink_operator *sink)
{
    int64_t none = INT64_MAX;

    if (atomic_load_explicit(sink->options.first_result_us, memory_order_relaxed) != none) return;
    atomic_compare_exchange_strong_explicit(sink->options.first_result_us, &none,
                                            sink->options.now->us, memory_order_relaxed,
                                            memory_order_relaxed);
}

static enum mr_status write_pending(struct sink_operator *sink, enum mr_sink_flow *out_flow,
                                    struct mr_error *err)
{
    MR_RET(sink->options.ops->write(sink->writer, sink->pending, out_flow, err));
    if (*out_flow == MR_SINK_BLOCKED) return MR_OK;
    mr_counter_add(sink->op.task->counters, MR_COUNTER_ROWS_OUT, sink->pending->row_count);
    if (sink->pending->row_count > 0) note_first_result(sink);
    mr_batch_release(sink->pending);
    sink->pending = NULL;
    return MR_OK;
}

static enum mr_status prepare(struct sink_operator *sink, uint64_t epoch,
                              enum mr_sink_flow *out_flow, struct mr_error *err)
{
    mr_buffer_clear(&sink->transaction);
    MR_RET(sink->options.ops->prepare(sink->writer, epoch, &sink->transaction, out_flow, err));
    if (*out_flow == MR_SINK_READY) sink->prepared = epoch;
    return MR_OK;
}

/* What the writer has to do before a control item goes on: side outputs of the chain need it. */
static enum mr_status write_control(struct sink_operator *sink, enum mr_sink_flow *out_flow,
                                    struct mr_error *err)
{
    const struct mr_sink_ops *ops = sink->options.ops;

    if (sink->control.tag == MR_ITEM_BARRIER && sink->transactional) {
        return prepare(sink, sink->control.epoch, out_flow, err);
    }
    if (sink->phase == SINK_FINISHING) return ops->finish(sink->writer, out_flow, err);
    if (ops->flush != NULL) return ops->flush(sink->writer, out_flow, err);
    return MR_OK;
}

static enum mr_status sink_next(struct mr_operator *op, struct mr_item *out,
                                enum mr_flow *out_flow, struct mr_error *err)
{
    struct sink_operator *sink = (struct sink_operator *)op;
    enum mr_sink_flow flow = MR_SINK_READY;

    *out_flow = sink->phase == SINK_FINISHED ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
    if (sink->pending != NULL) {
        MR_RET(write_pending(sink, &flow, err));
    } else if (sink->control.tag != 0) {
        MR_RET(write_control(sink, &flow, err));
        if (flow == MR_SINK_READY && sink->op.task->track != NULL) {
            MR_RET(mr_track_flushed(sink->op.task->track, err));
        }
        if (flow == MR_SINK_READY) {
            *out = sink->control;
            sink->control.tag = (enum mr_item_tag)0;
            *out_flow = MR_FLOW_HAVE_OUTPUT;
            if (out->tag == MR_ITEM_END) sink->phase = SINK_FINISHED;
        }
    }
    count_bytes(sink);
    if (flow == MR_SINK_BLOCKED) *out_flow = MR_FLOW_BLOCKED;
    return MR_OK;
}

static void sink_close(struct mr_operator *op)
{
    struct sink_operator *sink = (struct sink_operator *)op;

    mr_batch_release(sink->pending);
    if (sink->writer != NULL) {
        /* With epochs what was prepared belongs to the snapshot: the next attempt sees to it. */
        if (!sink->committed && !sink->transactional) sink->options.ops->abort(sink->writer);
        sink->options.ops->close(sink->writer);
    }
    mr_buffer_fini(&sink->transaction);
    mr_free(op->task->heap, sink, sizeof *sink);
}

#define STATE_NAME "writer"

/* The state of one writer, under the number of its instance. */
static enum mr_status sink_seal(struct mr_operator *op, bool full, mr_entry_fn yield, void *self,
                                struct mr_error *err)
{
    struct sink_operator *sink = (struct sink_operator *)op;
    enum mr_sink_flow flow = MR_SINK_READY;
    char key[4];
    struct mr_entry entry = {
        .kind = MR_ENTRY_PUT, .state_name = STATE_NAME, .key = {key, sizeof key}};

    (void)full;
    if (!sink->transactional) return MR_OK;
    if (sink->prepared < op->task->epoch) { /* the barrier did not come through the chain */
        mr_assert(sink->phase == SINK_FINISHED);
        MR_RET(prepare(sink, op->task->epoch, &flow, err));
        mr_assert(flow == MR_SINK_READY);
    }
    for (uint32_t i = 0; i < 4; i++) key[i] = (char)(op->task->instance >> (8 * i) & 0xff);
    entry.value = (struct mr_bytes){sink->transaction.data, sink->transaction.size_bytes};
    return yield(self, &entry, err);
}

static enum mr_status open_writer(struct sink_operator *sink, struct mr_error *err)
{
    struct mr_writer_context context = {
        .heap = sink->op.task->heap,
        .disk = sink->options.disk,
        .instance = sink->op.task->instance,
        .instance_count = sink->op.task->instance_count,
        .schema = sink->op.plan->input,
        .now = sink->options.now,
        .fence = sink->transactional ? *sink->options.fence : 0,
    };

    return sink->options.ops->open(sink->options.spec, &context, &sink->writer, err);
}

static enum mr_status sink_restored(struct mr_operator *op, struct mr_error *err)
{
    struct sink_operator *sink = (struct sink_operator *)op;

    return sink->writer != NULL ? MR_OK : open_writer(sink, err);
}

static const struct mr_operator_ops sink_ops = {
    .size = sizeof(struct mr_operator_ops),
    .name = "sink",
    .put = sink_put,
    .next = sink_next,
    .seal = sink_seal,
    .restored = sink_restored,
    .close = sink_close,
};

bool mr_is_sink_operator(const struct mr_operator *op)
{
    return op->ops == &sink_ops;
}

bool mr_sink_has_epochs(const struct mr_sink_ops *ops, const void *spec)
{
    if (ops->prepare == NULL) return false;
    return ops->transactional == NULL || ops->transactional(spec);
}

enum mr_status mr_sink_operator_create(struct mr_task_context *task,
                                       const struct mr_plan_op *plan,
                                       const struct mr_sink_options *options,
                                       struct mr_operator **out, struct mr_error *err)
{
    struct sink_operator *sink = mr_alloc_zero(task->heap, sizeof *sink);
    enum mr_status st = MR_OK;

    if (sink == NULL) return mr_error_nomem(err, "a sink", sizeof *sink);
    sink->op = (struct mr_operator){.ops = &sink_ops, .plan = plan, .task = task};
    sink->options = *options;
    sink->transactional = options->epochs && mr_sink_has_epochs(options->ops, options->spec);
    mr_buffer_init(&sink->transaction, task->heap);
    if (!options->epochs) st = open_writer(sink, err);
    if (st != MR_OK) {
        mr_free(task->heap, sink, sizeof *sink);
        return st;
    }
    *out = &sink->op;
    return MR_OK;
}

enum mr_status mr_sink_operator_commit_epoch(struct mr_operator *op, uint64_t epoch,
                                             bool *out_blocked, struct mr_error *err)
{
    struct sink_operator *sink = (struct sink_operator *)op;
    enum mr_sink_flow flow = MR_SINK_READY;

    *out_blocked = false;
    if (!sink->transactional) return MR_OK;
    MR_RET(sink->options.ops->commit_epoch(sink->writer, epoch, &flow, err));
    *out_blocked = flow == MR_SINK_BLOCKED;
    return MR_OK;
}

enum mr_status mr_sink_operator_commit(struct mr_operator *op, struct mr_error *err)
{
    struct sink_operator *sink = (struct sink_operator *)op;

    mr_assert(sink->phase == SINK_FINISHED);
    MR_RET(sink->options.ops->commit(sink->writer, err));
    sink->committed = true;
    return MR_OK;
}
