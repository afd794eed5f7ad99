#include "runtime/runner.h"

#include "base/assert.h"
#include "base/status.h"
#include "runtime/checkpoint.h"
#include "runtime/scan_operator.h"
#include "runtime/sink_operator.h"
#include "runtime/tracker.h"

/* Memory for batches that the operators of one task make: a reader's chunks, a few batches. All
 * tasks together take at most a quarter of the job's memory, but each at least the minimum. */
#define TASK_QUOTA_BYTES ((size_t)4 * 1024 * 1024)
/* Turns without progress before a worker parks, and for how long. */
#define SPIN_TURNS 64u
#define PARK_US MR_MILLISECOND

/* ---- making ---- */

static uint32_t channel_pairs(const struct mr_plan *plan, const struct mr_plan_edge *edge)
{
    uint32_t from = plan->stages[edge->from_stage].parallelism;
    uint32_t to = plan->stages[edge->to_stage].parallelism;

    return edge->exchange == MR_EXCHANGE_FORWARD ? from : from * to;
}

static uint32_t worker_of(const struct mr_runner *runner, uint32_t stage, uint32_t instance)
{
    uint32_t workers = runner->plan->options.workers;

    /* Stages of one instance are spread, so that they do not all sit on the first worker. */
    if (runner->plan->stages[stage].parallelism == 1) return stage % workers;
    return instance % workers;
}

static enum mr_status make_workers(struct mr_runner *runner, struct mr_error *err)
{
    uint32_t count = runner->plan->options.workers;
    const struct mr_port *port = runner->port;

    runner->workers = mr_arena_zero(&runner->arena, count * sizeof *runner->workers);
    if (runner->workers == NULL) return mr_error_nomem(err, "workers", count * sizeof(void *));
    for (; runner->worker_count < count; runner->worker_count++) {
        struct mr_worker *worker = &runner->workers[runner->worker_count];

        worker->runner = runner;
        worker->ordinal = runner->worker_count;
        worker->wakeup.parker = &port->parker;
        worker->wakeup.worker = runner->worker_count;
        worker->now = runner->started;
        worker->tasks = mr_arena_zero(&runner->arena, runner->task_limit * sizeof *worker->tasks);
        worker->disk = port->disk_create(port->self, runner->heap);
        if (worker->tasks == NULL || worker->disk == NULL) {
            if (worker->disk != NULL) port->disk_destroy(port->self, worker->disk);
            return mr_error_nomem(err, "a worker", sizeof *worker);
        }
        if (port->disk_wakes != NULL) port->disk_wakes(port->self, worker->disk, worker->ordinal);
    }
    return MR_OK;
}

static enum mr_status make_channels(struct mr_runner *runner, struct mr_error *err)
{
    const struct mr_plan *plan = runner->plan;
    uint32_t total = 0;

    runner->edge_channels =
        mr_arena_zero(&runner->arena, (plan->edge_count + 1) * sizeof *runner->edge_channels);
    if (runner->edge_channels == NULL) return mr_error_nomem(err, "channels", plan->edge_count);
    for (uint32_t e = 0; e < plan->edge_count; e++) {
        runner->edge_channels[e] = total;
        total += channel_pairs(plan, &plan->edges[e]);
    }
    runner->edge_channels[plan->edge_count] = total;
    /* Channels hold cache-line aligned rings: the arena gives 16 bytes only. */
    char *memory = mr_arena_zero(&runner->arena, (total + 1) * sizeof *runner->channels + 64);
    if (memory == NULL) return mr_error_nomem(err, "channels", total * sizeof *runner->channels);
    memory += (64 - ((uintptr_t)memory & 63)) & 63;
    runner->channels = (struct mr_channel *)(void *)memory;
    for (uint32_t e = 0; e < plan->edge_count; e++) {
        const struct mr_plan_edge *edge = &plan->edges[e];
        uint32_t pairs = channel_pairs(plan, edge);
        uint32_t to_count = plan->stages[edge->to_stage].parallelism;

        for (uint32_t p = 0; p < pairs; p++, runner->channel_count++) {
            uint32_t to = p % to_count;
            uint32_t worker = worker_of(runner, edge->to_stage, to);
            MR_RET(mr_channel_init(&runner->channels[runner->channel_count], runner->heap,
                                   runner->pool, plan->stages[edge->to_stage].ops[0].node->id,
                                   edge->ring_slots, edge->quota_bytes,
                                   &runner->workers[worker].wakeup, err));
        }
    }
    return MR_OK;
}

static struct mr_input *input_of(struct mr_runner *runner, const struct mr_node *node,
                                 struct mr_split_queue **out_queue)
{
    for (uint32_t i = 0; i < runner->policy.input_count; i++) {
        if (runner->policy.inputs[i].node == node) {
            *out_queue = &runner->queues[i];
            return &runner->policy.inputs[i];
        }
    }
    MR_UNREACHABLE();
}

/* A row that its function wants to see again goes back to its source; others go to the policy. */
static enum mr_status tracked_bad_row(void *self, struct mr_operator *op,
                                      const struct mr_batch *batch, uint32_t row,
                                      const struct mr_error *why, struct mr_error *err)
{
    struct mr_task *task = self;

    if (why->status == MR_E_AGAIN || why->status == MR_E_TIMED_OUT) {
        return mr_track_fail(task->context.track, batch, row, why->status, err);
    }
    return mr_policy_bad_row(task->policy, op, batch, row, why, err);
}

/* A kept row has been sent often enough. */
static enum mr_status give_up(void *self, const struct mr_batch *batch, uint32_t row,
                              enum mr_status status, struct mr_error *err)
{
    struct mr_task *task = self;
    struct mr_error why;

    (void)mr_error_set(&why, status, "the row was sent %u times and not processed: %s",
                       MR_TRACK_TRIES_DEFAULT, mr_status_text(status));
    return mr_policy_bad_row(task->policy, task->ops[0], batch, row, &why, err);
}

/* Rows wait in a channel: what nothing is heard of is slow, not lost. */
static bool rows_wait(void *self)
{
    const struct mr_runner *runner = self;

    for (uint32_t i = 0; i < runner->channel_count; i++) {
        if (!mr_channel_empty(&runner->channels[i])) return true;
    }
    return false;
}

static enum mr_status make_tracker(struct mr_runner *runner, struct mr_error *err)
{
    const struct mr_entropy *entropy = &runner->port->entropy;
    uint32_t *sources = mr_arena_zero(&runner->arena, runner->task_limit * sizeof *sources);
    struct mr_wakeup **wakeups =
        mr_arena_zero(&runner->arena, runner->task_limit * sizeof *wakeups);
    struct mr_tracker_options options = {.task_count = runner->task_limit,
                                         .sources = sources,
                                         .pending_rows = runner->options.track_pending,
                                         .timeout_us = runner->options.track_timeout_us,
                                         .attempt = 1,
                                         .now = runner->started,
                                         .stopped = rows_wait,
                                         .stopped_self = runner,
                                         .wakeups = wakeups};
    uint32_t ordinal = 0;

    if (!runner->options.track) return MR_OK;
    if (sources == NULL || wakeups == NULL) {
        return mr_error_nomem(err, "tracking", runner->task_limit * sizeof *wakeups);
    }
    MR_RET(mr_tracker_check_plan(runner->plan, err));
    for (uint32_t s = 0; s < runner->plan->stage_count; s++) {
        const struct mr_plan_stage *stage = &runner->plan->stages[s];

        for (uint32_t i = 0; i < stage->parallelism; i++, ordinal++) {
            if (stage->ops[0].kind != MR_PLAN_SCAN) continue;
            wakeups[options.source_count] = &runner->workers[worker_of(runner, s, i)].wakeup;
            sources[options.source_count++] = ordinal;
        }
    }
    for (uint32_t i = 0; i < 4; i++) options.key[i] = entropy->next(entropy->self);
    return mr_tracker_create(runner->heap, &options, &runner->tracker, err);
}

static void tell_completed(void *self, void *reader, uint64_t id)
{
    const struct mr_task *task = self;

    task->source->completed(reader, id);
}

static void tell_failed(void *self, void *reader, uint64_t id, enum mr_status why)
{
    const struct mr_task *task = self;

    task->source->failed(reader, id, why);
}

/* The task's part of tracking. Writers that buffer hold acknowledgements until they flush. */
static void track_task(struct mr_runner *runner, struct mr_task *task)
{
    struct mr_track_calls calls = {.self = task, .give_up = give_up};
    struct mr_split_queue *queue;
    const struct mr_plan_op *last = &task->stage->ops[task->stage->op_count - 1];
    const struct mr_sink_ops *sink = last->kind == MR_PLAN_SINK ? last->node->u.sink.ops : NULL;

    if (runner->tracker == NULL) return;
    task->policy = &runner->policy;
    task->context.track = mr_tracker_task(runner->tracker, task->ordinal);
    task->context.bad_row = tracked_bad_row;
    task->context.bad_row_self = task;
    if (task->stage->ops[0].kind == MR_PLAN_SCAN) {
        task->source = input_of(runner, task->stage->ops[0].node, &queue)->ops;
        if (task->source->completed != NULL) {
            calls.completed = tell_completed;
            calls.failed = tell_failed;
        }
        mr_track_calls(task->context.track, &calls);
    }
    if (sink != NULL && sink->flush != NULL) mr_track_holds(task->context.track);
}

static enum mr_status make_operator(struct mr_runner *runner, struct mr_task *task,
                                    struct mr_worker *worker, const struct mr_plan_op *plan,
                                    struct mr_operator **out, struct mr_error *err)
{
    if (plan->kind == MR_PLAN_SCAN) {
        struct mr_scan_options options = {.policy = &runner->policy,
                                          .disk = worker->disk,
                                          .now = &worker->now,
                                          .stopping = &runner->stopping,
                                          .signals = runner->signals,
                                          .lane_count = &runner->lane_count,
                                          .poison = &runner->poison};
        options.input = input_of(runner, plan->node, &options.queue);
        return mr_scan_create(&task->context, plan, &options, out, err);
    }
    if (plan->kind == MR_PLAN_SINK) {
        struct mr_sink_options options = {.ops = plan->node->u.sink.ops,
                                          .spec = plan->node->u.sink.spec,
                                          .disk = worker->disk,
                                          .now = &worker->now,
                                          .first_result_us = &runner->first_result_us,
                                          .epochs = runner->signals != NULL,
                                          .fence = &runner->fence};
        if (task->epochs != NULL) task->epochs->has_sinks = true;
        return mr_sink_operator_create(&task->context, plan, &options, out, err);
    }
    return mr_operator_create(&task->context, plan, out, err);
}

static enum mr_status make_chain(struct mr_runner *runner, struct mr_task *task,
                                 struct mr_worker *worker, struct mr_error *err)
{
    const struct mr_plan_stage *stage = task->stage;

    task->ops = mr_arena_zero(&task->arena, stage->op_count * sizeof *task->ops);
    if (task->ops == NULL) return mr_error_nomem(err, "a task", stage->op_count * sizeof(void *));
    for (; task->op_count < stage->op_count; task->op_count++) {
        MR_RET(make_operator(runner, task, worker, &stage->ops[task->op_count],
                             &task->ops[task->op_count], err));
    }
    MR_RET(mr_chain_create(&task->heap, task->ops, task->op_count, &task->chain, err));
    if (task->epochs == NULL) return MR_OK;
    task->epochs->ops = task->ops;
    task->epochs->op_count = task->op_count;
    mr_chain_on_barrier(task->chain, mr_task_seal_operator, task->epochs);
    return MR_OK;
}

static enum mr_status make_receiver(struct mr_runner *runner, struct mr_task *task,
                                    struct mr_error *err)
{
    const struct mr_plan_stage *stage = task->stage;
    const struct mr_plan *plan = runner->plan;
    uint32_t count = 0;
    uint32_t at = 0;

    for (uint32_t i = 0; i < stage->input_count; i++) {
        const struct mr_plan_edge *edge = stage->inputs[i];
        bool forward = edge->exchange == MR_EXCHANGE_FORWARD;
        count += forward ? 1 : plan->stages[edge->from_stage].parallelism;
    }
    MR_RET(mr_receiver_init(&task->receiver, &task->arena, count, 0, &runner->port->choose, err));
    for (uint32_t i = 0; i < stage->input_count; i++) {
        const struct mr_plan_edge *edge = stage->inputs[i];
        struct mr_channel *first = &runner->channels[runner->edge_channels[edge->ordinal]];
        uint32_t from_count = plan->stages[edge->from_stage].parallelism;

        if (edge->exchange == MR_EXCHANGE_FORWARD) {
            task->receiver.channels[at] = &first[task->context.instance];
            task->receiver.inputs[at++] = edge->to_input;
            continue;
        }
        for (uint32_t f = 0; f < from_count; f++) {
            task->receiver.channels[at] = &first[f * stage->parallelism + task->context.instance];
            task->receiver.inputs[at++] = edge->to_input;
        }
    }
    return MR_OK;
}

static enum mr_status make_senders(struct mr_runner *runner, struct mr_task *task,
                                   struct mr_error *err)
{
    const struct mr_plan_stage *stage = task->stage;

    task->senders = mr_arena_zero(&task->arena, (stage->output_count + 1) * sizeof *task->senders);
    if (task->senders == NULL) return mr_error_nomem(err, "a task", stage->output_count);
    for (; task->sender_count < stage->output_count; task->sender_count++) {
        const struct mr_plan_edge *edge = stage->outputs[task->sender_count];
        struct mr_channel *first = &runner->channels[runner->edge_channels[edge->ordinal]];
        bool forward = edge->exchange == MR_EXCHANGE_FORWARD;
        uint32_t count = forward ? 1 : runner->plan->stages[edge->to_stage].parallelism;
        struct mr_channel **channels = mr_arena_zero(&task->arena, count * sizeof *channels);
        struct mr_sender_options options = {
            .edge = edge,
            .channels = channels,
            .channel_count = count,
            .key_group_count = task->context.key_group_count,
            .batch_rows = task->context.batch_rows,
            .counters = task->counters,
        };

        if (channels == NULL) return mr_error_nomem(err, "a task", count * sizeof *channels);
        for (uint32_t t = 0; t < count; t++) channels[t] = &first[task->context.instance * count + t];
        MR_RET(mr_sender_create(&task->heap, &options, &task->senders[task->sender_count], err));
    }
    return MR_OK;
}

/* Memory at a multiple of a cache line: the arena gives 16 bytes only. */
static void *arena_lines(struct mr_arena *arena, size_t size_bytes)
{
    char *memory = mr_arena_zero(arena, size_bytes + MR_CACHE_LINE);

    if (memory == NULL) return NULL;
    return memory + ((MR_CACHE_LINE - ((uintptr_t)memory & (MR_CACHE_LINE - 1))) &
                     (MR_CACHE_LINE - 1));
}

static enum mr_status make_task_epochs(struct mr_runner *runner, struct mr_task *task,
                                       struct mr_error *err)
{
    if (runner->signals == NULL) return MR_OK;
    task->epochs = arena_lines(&runner->arena, sizeof *task->epochs);
    if (task->epochs == NULL) return mr_error_nomem(err, "a task", sizeof *task->epochs);
    task->epochs->signals = runner->signals;
    task->epochs->parker = &runner->port->parker;
    task->epochs->coordinator = runner->worker_count;
    mr_seal_init(&task->epochs->seal, &task->heap);
    return MR_OK;
}

static enum mr_status make_signals(struct mr_runner *runner, struct mr_error *err)
{
    if (!runner->options.epochs) return MR_OK;
    runner->signals = arena_lines(&runner->arena, sizeof *runner->signals);
    if (runner->signals == NULL) return mr_error_nomem(err, "a job", sizeof *runner->signals);
    return MR_OK;
}

/* The first group of instance i: the least group that mr_group_instance gives to it. */
static uint32_t first_group(uint32_t instance, uint32_t instances, uint32_t groups)
{
    return (uint32_t)(((uint64_t)instance * groups + instances - 1) / instances);
}

static void fill_context(struct mr_runner *runner, struct mr_task *task, uint32_t instance)
{
    uint32_t groups = runner->plan->options.key_group_count;
    uint32_t instances = task->stage->parallelism;
    uint32_t rows = runner->options.batch_rows;

    task->context = (struct mr_task_context){
        .heap = &task->heap,
        .quota = &task->quota,
        .pool = runner->pool,
        .port = runner->port,
        .counters = task->counters,
        .instance = instance,
        .instance_count = instances,
        .key_group_count = groups,
        .group_first = first_group(instance, instances, groups),
        .group_end = first_group(instance + 1, instances, groups),
        .streaming = runner->options.streaming,
        .late_by_split = runner->options.late_by_split,
        .track_changes = runner->options.epochs,
        .batch_rows = rows == 0 ? MR_BATCH_ROWS : rows,
        .bad_row = mr_policy_bad_row,
        .bad_row_self = &runner->policy,
    };
}

static size_t task_quota(const struct mr_runner *runner)
{
    size_t memory = runner->plan->options.memory_bytes;
    size_t quota = runner->options.task_quota_bytes;

    if (quota != 0) return quota;
    quota = memory == 0 ? TASK_QUOTA_BYTES : memory / 4 / runner->task_limit;
    return MR_MAX(MR_MIN(quota, TASK_QUOTA_BYTES), MR_TASK_QUOTA_BYTES_MIN);
}

/* Operators' own memory is what channels and tasks in flight leave over: state must not starve
 * what has to move. */
static enum mr_status make_operator_heap(struct mr_runner *runner, struct mr_error *err)
{
    size_t memory = runner->plan->options.memory_bytes;
    size_t moving = runner->plan->channel_bytes + runner->task_limit * task_quota(runner);

    if (memory != 0 && memory <= moving) {
        return mr_error_set(err, MR_E_NOMEM,
                            "this pipeline has %u tasks and needs about %zu MiB of memory for "
                            "rows on the move, but may use %zu MiB: allow more (--memory %zuMiB), "
                            "or use fewer workers (--workers, now %u)",
                            runner->task_limit, mr_plan_memory_least(runner->plan) >> 20,
                            memory >> 20, mr_plan_memory_least(runner->plan) >> 20,
                            runner->plan->options.workers);
    }
    mr_heap_init_child(&runner->operators, "operators", memory == 0 ? SIZE_MAX : memory - moving,
                       runner->heap);
    runner->operators_ready = true;
    return MR_OK;
}

static enum mr_status make_task(struct mr_runner *runner, uint32_t stage, uint32_t instance,
                                struct mr_error *err)
{
    struct mr_task *task = &runner->tasks[runner->task_count];
    struct mr_worker *worker = &runner->workers[worker_of(runner, stage, instance)];
    struct mr_counters *counters = arena_lines(&runner->arena, sizeof *counters);

    if (counters == NULL) return mr_error_nomem(err, "counters", sizeof *counters);
    task->ordinal = runner->task_count++;
    task->stage = &runner->plan->stages[stage];
    task->counters = counters;
    atomic_store_explicit(&task->counters->watermark_us, MR_TIME_MIN, memory_order_relaxed);
    mr_heap_init_child(&task->heap, task->stage->ops[0].node->id, runner->operators.limit_bytes,
                       &runner->operators);
    mr_arena_init(&task->arena, &task->heap);
    mr_quota_init(&task->quota, runner->pool, task->stage->ops[0].node->id, task_quota(runner));
    task->now = &worker->now;
    task->trace = runner->options.trace ? &runner->trace : NULL;
    fill_context(runner, task, instance);
    track_task(runner, task);
    worker->tasks[worker->task_count++] = task;
    worker->live_count++;
    MR_RET(make_task_epochs(runner, task, err));
    MR_RET(make_chain(runner, task, worker, err));
    MR_RET(make_receiver(runner, task, err));
    return make_senders(runner, task, err);
}

static enum mr_status make_tasks(struct mr_runner *runner, struct mr_error *err)
{
    const struct mr_plan *plan = runner->plan;

    runner->tasks = mr_arena_zero(&runner->arena, runner->task_limit * sizeof *runner->tasks);
    runner->stage_tasks =
        mr_arena_zero(&runner->arena, plan->stage_count * sizeof *runner->stage_tasks);
    if (runner->tasks == NULL || runner->stage_tasks == NULL) {
        return mr_error_nomem(err, "tasks", runner->task_limit * sizeof *runner->tasks);
    }
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        runner->stage_tasks[s] = runner->task_count;
        for (uint32_t i = 0; i < plan->stages[s].parallelism; i++) {
            MR_RET(make_task(runner, s, i, err));
        }
    }
    return MR_OK;
}

static enum mr_status make_queues(struct mr_runner *runner, struct mr_error *err)
{
    uint32_t count = runner->policy.input_count;

    runner->queues = mr_arena_zero(&runner->arena, (count + 1) * sizeof *runner->queues);
    if (runner->queues == NULL) return mr_error_nomem(err, "split queues", count);
    for (; runner->queue_count < count; runner->queue_count++) {
        MR_RET(mr_split_queue_init(&runner->queues[runner->queue_count], runner->heap,
                                   &runner->policy.inputs[runner->queue_count].splits, err));
    }
    return MR_OK;
}

enum mr_status mr_runner_create(struct mr_heap *heap, const struct mr_plan *plan,
                                const struct mr_port *port, struct mr_input *inputs,
                                uint32_t input_count, const struct mr_runner_options *options,
                                struct mr_runner **out, struct mr_error *err)
{
    enum mr_status st;
    struct mr_runner *runner = mr_alloc_zero(heap, sizeof *runner);

    if (runner == NULL) return mr_error_nomem(err, "the job", sizeof *runner);
    runner->heap = heap;
    runner->plan = plan;
    runner->port = port;
    runner->options = *options;
    runner->policy = (struct mr_policy){.on_error = options->on_error,
                                        .letters = options->letters,
                                        .inputs = inputs,
                                        .input_count = input_count,
                                        .heap = heap,
                                        .port = port};
    runner->started = port->clock.monotonic(port->clock.self);
    atomic_init(&runner->first_result_us, INT64_MAX);
    mr_arena_init(&runner->arena, heap);
    for (uint32_t s = 0; s < plan->stage_count; s++) {
        runner->task_limit += plan->stages[s].parallelism;
    }
    MR_GOTO(make_signals(runner, err));
    MR_GOTO(mr_pool_create(heap, plan->options.memory_bytes, &runner->pool, err));
    MR_GOTO(make_workers(runner, err));
    MR_GOTO(make_channels(runner, err));
    MR_GOTO(make_queues(runner, err));
    MR_GOTO(make_operator_heap(runner, err));
    MR_GOTO(make_tracker(runner, err));
    MR_GOTO(make_tasks(runner, err));
    *out = runner;
    runner = NULL;
done:
    mr_runner_destroy(runner);
    return st;
}

/* ---- unmaking ---- */

/* Operators first: what they hold may lie in blocks of any quota. */
static void end_task(struct mr_task *task)
{
    mr_chain_destroy(task->chain);
    for (uint32_t i = task->op_count; i-- > 0;) mr_operator_close(task->ops[i]);
    for (uint32_t i = 0; i < task->sender_count; i++) mr_sender_destroy(task->senders[i]);
    if (task->item.tag == MR_ITEM_BATCH) mr_batch_release(task->item.batch);
    if (task->untracked.tag == MR_ITEM_BATCH) mr_batch_release(task->untracked.batch);
    if (task->epochs != NULL) mr_seal_fini(&task->epochs->seal);
}

void mr_runner_destroy(struct mr_runner *runner)
{
    if (runner == NULL) return;
    mr_checkpoint_close(runner->checkpoint);
    for (uint32_t i = 0; i < runner->task_count; i++) end_task(&runner->tasks[i]);
    for (uint32_t i = 0; i < runner->channel_count; i++) mr_channel_fini(&runner->channels[i]);
    mr_tracker_destroy(runner->tracker); /* it keeps batches of the tasks' quotas */
    for (uint32_t i = 0; i < runner->task_count; i++) {
        mr_arena_fini(&runner->tasks[i].arena);
        mr_heap_fini(&runner->tasks[i].heap);
    }
    if (runner->operators_ready) mr_heap_fini(&runner->operators);
    for (uint32_t i = 0; i < runner->queue_count; i++) mr_split_queue_fini(&runner->queues[i]);
    for (uint32_t i = 0; i < runner->worker_count; i++) {
        runner->port->disk_destroy(runner->port->self, runner->workers[i].disk);
    }
    if (runner->pool != NULL) mr_pool_destroy(runner->pool); /* (3) */
    mr_arena_fini(&runner->arena);
    mr_free(runner->heap, runner, sizeof *runner);
}

/* ---- running ---- */

void mr_runner_fail(struct mr_runner *runner, const struct mr_error *error)
{
    int unclaimed = 0;

    if (!atomic_compare_exchange_strong(&runner->error_claim, &unclaimed, 1)) return;
    runner->error = *error;
    atomic_store_explicit(&runner->failed, true, memory_order_release);
    mr_runner_wake(runner);
    if (runner->signals != NULL) {
        runner->port->parker.wake(runner->port->parker.self, runner->worker_count);
    }
}

void mr_runner_wake(struct mr_runner *runner)
{
    for (uint32_t i = 0; i < runner->worker_count; i++) {
        runner->port->parker.wake(runner->port->parker.self, i);
    }
}

static bool failed(const struct mr_runner *runner)
{
    return atomic_load_explicit(&runner->failed, memory_order_acquire);
}

static bool finished(const struct mr_runner *runner)
{
    return runner->signals != NULL &&
           atomic_load_explicit(&runner->signals->finished, memory_order_acquire);
}

enum mr_progress mr_runner_coordinator_turn(struct mr_runner *runner)
{
    if (runner->checkpoint == NULL) return MR_PROGRESS_OVER;
    return mr_checkpoint_turn(runner->checkpoint);
}

enum mr_progress mr_worker_turn(struct mr_runner *runner, uint32_t ordinal)
{
    struct mr_worker *worker = &runner->workers[ordinal];
    const struct mr_choose *choose = &runner->port->choose;
    bool any = false;
    uint32_t first;

    if (failed(runner) || finished(runner) || worker->live_count == 0) return MR_PROGRESS_OVER;
    worker->now = runner->port->clock.monotonic(runner->port->clock.self);
    any |= worker->disk->poll(worker->disk) > 0;
    first = (uint32_t)choose->pick(choose->self, MR_CHOOSE_TASKLET, worker->task_count, 0);
    for (uint32_t i = 0; i < worker->task_count; i++) {
        /* Consumers before producers: what is under way gets finished first. */
        uint32_t at = (first + worker->task_count - 1 - i) % worker->task_count;
        struct mr_task *task = worker->tasks[at];
        enum mr_progress progress = MR_PROGRESS_NONE;
        struct mr_error err = {.status = MR_OK};

        if (task->left) continue;
        if (mr_task_step(task, &progress, &err) != MR_OK) {
            mr_runner_fail(runner, &err);
            return MR_PROGRESS_OVER;
        }
        if (progress == MR_PROGRESS_OVER) worker->live_count--;
        any |= progress != MR_PROGRESS_NONE;
    }
    if (worker->live_count == 0) return MR_PROGRESS_OVER;
    return any ? MR_PROGRESS_MADE : MR_PROGRESS_NONE;
}

static bool has_input(const struct mr_worker *worker)
{
    for (uint32_t i = 0; i < worker->task_count; i++) {
        const struct mr_task *task = worker->tasks[i];
        if (task->over) continue;
        if (task->context.track != NULL && mr_track_called(task->context.track)) return true;
        for (uint32_t c = 0; c < task->receiver.channel_count; c++) {
            if (!mr_channel_empty(task->receiver.channels[c])) return true;
        }
    }
    return false;
}

static void park(struct mr_runner *runner, struct mr_worker *worker)
{
    const struct mr_parker *parker = &runner->port->parker;

    atomic_store_explicit(&worker->wakeup.parked, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* pairs with mr_channel_put */
    if (!has_input(worker) && !failed(runner) && !finished(runner)) {
        parker->park(parker->self, worker->ordinal, PARK_US);
    }
    atomic_store_explicit(&worker->wakeup.parked, false, memory_order_relaxed);
}

void mr_worker_run(struct mr_runner *runner, uint32_t ordinal)
{
    uint32_t idle_turns = 0;

    for (;;) {
        enum mr_progress progress = mr_worker_turn(runner, ordinal);

        if (progress == MR_PROGRESS_OVER) return;
        idle_turns = progress == MR_PROGRESS_NONE ? idle_turns + 1 : 0;
        if (idle_turns >= SPIN_TURNS) park(runner, &runner->workers[ordinal]);
    }
}

/* ---- the end ---- */

enum mr_status mr_runner_commit(struct mr_runner *runner, struct mr_error *err)
{
    mr_assert(!failed(runner));
    for (uint32_t t = 0; t < runner->task_count; t++) mr_assert(runner->tasks[t].over); /* (2) */
    for (uint32_t t = 0; t < runner->task_count; t++) {
        struct mr_task *task = &runner->tasks[t];
        for (uint32_t i = 0; i < task->op_count; i++) {
            if (!mr_is_sink_operator(task->ops[i])) continue;
            MR_RET(mr_sink_operator_commit(task->ops[i], err));
        }
    }
    return MR_OK;
}

uint64_t mr_runner_counter(const struct mr_runner *runner, enum mr_counter counter)
{
    uint64_t sum = 0;

    for (uint32_t t = 0; t < runner->task_count; t++) {
        sum += atomic_load_explicit(&runner->tasks[t].counters->value[counter],
                                    memory_order_relaxed);
    }
    return sum;
}

int64_t mr_runner_watermark(const struct mr_runner *runner)
{
    int64_t least = MR_TIME_MAX;

    for (uint32_t t = 0; t < runner->task_count; t++) {
        const struct mr_task *task = &runner->tasks[t];
        if (task->stage->ops[0].kind != MR_PLAN_SCAN) continue;
        int64_t mine =
            atomic_load_explicit(&task->counters->watermark_us, memory_order_relaxed);
        least = MR_MIN(least, mine);
    }
    return least;
}
