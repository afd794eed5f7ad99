#include "runtime/restore.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/status.h"
#include "runtime/sink_operator.h"
#include <string.h>

#define NAMES_BYTES 256u

struct target { /* an operator that has state */
    const char *id;
    const struct mr_plan_op *plan;
    uint32_t stage;
    uint32_t op; /* in the stage */
};

struct writer_state { /* of one writer of one sink */
    const struct target *sink;
    uint32_t instance;
    char *data;
    size_t size_bytes;
};

struct mr_restore {
    struct mr_runner *runner;
    struct mr_restore_options options;
    struct target *targets;
    uint32_t target_count;
    uint32_t target_room;
    const struct target *last; /* of the entry before */
    struct writer_state *writers;
    uint32_t writer_count, writer_room;
    struct mr_job_state job;
    uint64_t dropped;
    char dropped_names[NAMES_BYTES];
};

/* ---- targets ---- */

static bool has_state(const struct mr_operator *op)
{
    return op->ops->restore != NULL || mr_is_sink_operator(op);
}

static void add_target(struct mr_restore *restore, uint32_t stage, uint32_t op)
{
    const struct mr_runner *runner = restore->runner;
    const struct mr_plan_op *plan = &runner->plan->stages[stage].ops[op];

    if (!has_state(runner->tasks[runner->stage_tasks[stage]].ops[op])) return;
    mr_assert(restore->target_count < restore->target_room);
    restore->targets[restore->target_count++] =
        (struct target){.id = plan->node->id, .plan = plan, .stage = stage, .op = op};
}

enum mr_status mr_restore_begin(struct mr_runner *runner, const struct mr_restore_options *options,
                                struct mr_restore **out, struct mr_error *err)
{
    struct mr_restore *restore = mr_alloc_zero(runner->heap, sizeof *restore);

    if (restore == NULL) return mr_error_nomem(err, "a restore", sizeof *restore);
    restore->runner = runner;
    restore->options = *options;
    for (uint32_t s = 0; s < runner->plan->stage_count; s++) {
        restore->target_room += runner->plan->stages[s].op_count;
    }
    restore->targets =
        mr_alloc_array(runner->heap, restore->target_room, sizeof *restore->targets);
    if (restore->targets == NULL) {
        mr_error_nomem(err, "a restore", restore->target_room * sizeof(struct target));
        mr_free(runner->heap, restore, sizeof *restore);
        return MR_E_NOMEM;
    }
    for (uint32_t s = 0; s < runner->plan->stage_count; s++) {
        for (uint32_t i = 0; i < runner->plan->stages[s].op_count; i++) add_target(restore, s, i);
    }
    *out = restore;
    return MR_OK;
}

void mr_restore_end(struct mr_restore *restore)
{
    struct mr_heap *heap;

    if (restore == NULL) return;
    heap = restore->runner->heap;
    for (uint32_t i = 0; i < restore->writer_count; i++) {
        mr_free(heap, restore->writers[i].data, restore->writers[i].size_bytes);
    }
    mr_free(heap, restore->writers, restore->writer_room * sizeof *restore->writers);
    mr_free(heap, restore->targets, restore->target_room * sizeof *restore->targets);
    mr_free(heap, restore, sizeof *restore);
}

static const struct target *find_target(struct mr_restore *restore, const char *id)
{
    if (restore->last != NULL && strcmp(restore->last->id, id) == 0) return restore->last;
    for (uint32_t i = 0; i < restore->target_count; i++) {
        if (strcmp(restore->targets[i].id, id) != 0) continue;
        restore->last = &restore->targets[i];
        return restore->last;
    }
    return NULL;
}

/* ---- entries ---- */

static enum mr_status corrupt(const struct target *target, struct mr_error *err)
{
    return mr_error_set(err, MR_E_CORRUPT, "the stored state of '%s' is not what was written",
                        target->id);
}

static struct writer_state *find_writer(struct mr_restore *restore, const struct target *sink,
                                        uint32_t instance, struct mr_error *err)
{
    struct mr_heap *heap = restore->runner->heap;
    uint32_t room = restore->writer_room == 0 ? 8 : 2 * restore->writer_room;
    struct writer_state *grown;

    for (uint32_t i = 0; i < restore->writer_count; i++) {
        struct writer_state *at = &restore->writers[i];
        if (at->sink == sink && at->instance == instance) return at;
    }
    if (restore->writer_count == restore->writer_room) {
        grown = mr_realloc(heap, restore->writers, restore->writer_room * sizeof *grown,
                           room * sizeof *grown);
        if (grown == NULL) {
            mr_error_nomem(err, "the state of a sink", room * sizeof *grown);
            return NULL;
        }
        restore->writers = grown;
        restore->writer_room = room;
    }
    grown = &restore->writers[restore->writer_count++];
    *grown = (struct writer_state){.sink = sink, .instance = instance};
    return grown;
}

static enum mr_status keep_writer(struct mr_restore *restore, const struct target *sink,
                                  const struct mr_entry *entry, struct mr_error *err)
{
    struct mr_heap *heap = restore->runner->heap;
    struct mr_cursor key = {entry->key.data, entry->key.data + entry->key.size_bytes};
    struct writer_state *writer;
    uint32_t instance;

    if (entry->kind != MR_ENTRY_PUT || !mr_cursor_u32(&key, &instance) || key.at != key.end) {
        return corrupt(sink, err);
    }
    writer = find_writer(restore, sink, instance, err);
    if (writer == NULL) return MR_E_NOMEM;
    mr_free(heap, writer->data, writer->size_bytes);
    writer->size_bytes = entry->value.size_bytes;
    writer->data = mr_alloc(heap, writer->size_bytes + 1);
    if (writer->data == NULL) {
        writer->size_bytes = 0;
        return mr_error_nomem(err, "the state of a sink", entry->value.size_bytes);
    }
    writer->size_bytes++; /* what was allocated: an empty state is a state */
    if (entry->value.size_bytes > 0) memcpy(writer->data, entry->value.data, entry->value.size_bytes);
    return MR_OK;
}

bool mr_job_state_read(const char *operator_id, const struct mr_entry *entry,
                       struct mr_job_state *out)
{
    struct mr_cursor in = {entry->value.data, entry->value.data + entry->value.size_bytes};
    struct mr_job_state job;
    uint32_t finished;

    if (strcmp(operator_id, MR_JOB_STATE) != 0 || !mr_cursor_u64(&in, &job.fence) ||
        !mr_cursor_u64(&in, &job.layout) || !mr_cursor_u64(&in, &job.batch_rows) ||
        !mr_cursor_u32(&in, &job.lane_count) || !mr_cursor_u32(&in, &finished)) {
        return false;
    }
    job.finished = finished != 0;
    *out = job;
    return true;
}

static enum mr_status keep_job(struct mr_restore *restore, const struct mr_entry *entry,
                               struct mr_error *err)
{
    if (mr_job_state_read(MR_JOB_STATE, entry, &restore->job)) return MR_OK;
    return mr_error_set(err, MR_E_CORRUPT, "the stored state of the job is not what was written");
}

/* The entry concerns one instance, by its key group, or all. */
static bool has_group(const struct mr_entry *entry)
{
    switch (entry->kind) {
    case MR_ENTRY_PUT:
    case MR_ENTRY_REMOVE: return true;
    case MR_ENTRY_TIMER_SET:
    case MR_ENTRY_TIMER_CLEAR: return entry->key.size_bytes > 0;
    case MR_ENTRY_DROP:
    case MR_ENTRY_VALUE: return false;
    }
    return false;
}

static enum mr_status offer(struct mr_restore *restore, const struct target *target,
                            const struct mr_entry *entry, struct mr_error *err)
{
    const struct mr_runner *runner = restore->runner;
    const struct mr_task *first = &runner->tasks[runner->stage_tasks[target->stage]];
    uint32_t instances = first->context.instance_count;
    uint32_t groups = first->context.key_group_count;
    bool one = has_group(entry) && target->plan->kind != MR_PLAN_SCAN;

    if (one && entry->key_group >= groups) return corrupt(target, err);
    if (one) {
        first += MR_PLANT("museum-12") ? entry->key_group % instances
                                       : mr_group_instance(entry->key_group, groups, instances);
        return first->ops[target->op]->ops->restore(first->ops[target->op], entry, err);
    }
    if (MR_PLANT("museum-10")) instances = 1;
    for (uint32_t i = 0; i < instances; i++) {
        MR_RET(first[i].ops[target->op]->ops->restore(first[i].ops[target->op], entry, err));
    }
    return MR_OK;
}

/* Adds the id to the list, once; what does not fit is "...". */
static void note_dropped(struct mr_restore *restore, const char *operator_id)
{
    char *names = restore->dropped_names;
    size_t at = strlen(names);
    size_t size = strlen(operator_id);
    char quoted[NAMES_BYTES];

    restore->dropped++;
    if (at >= 3 && strcmp(names + at - 3, "...") == 0) return;
    if (at + size + 10 > NAMES_BYTES) { /* separator, quotes, and room for the dots */
        memcpy(names + at, at == 0 ? "..." : ", ...", at == 0 ? 4 : 6);
        return;
    }
    quoted[0] = quoted[size + 1] = '\'';
    memcpy(quoted + 1, operator_id, size);
    quoted[size + 2] = '\0';
    if (strstr(names, quoted) != NULL) return;
    if (at > 0) memcpy(names + at, ", ", 2);
    memcpy(names + at + (at > 0 ? 2 : 0), quoted, size + 3);
}

enum mr_status mr_restore_entry(void *self, const char *operator_id, const struct mr_entry *entry,
                                struct mr_error *err)
{
    struct mr_restore *restore = self;
    const struct target *target;

    if (strcmp(operator_id, MR_JOB_STATE) == 0) return keep_job(restore, entry, err);
    target = find_target(restore, operator_id);
    if (target == NULL && restore->options.allow_dropped_state) {
        note_dropped(restore, operator_id);
        return MR_OK;
    }
    if (target == NULL) {
        return mr_error_set(err, MR_E_CHANGED,
                            "the stored state holds operator '%s', which this pipeline does not "
                            "have; give it that id again, or start with --allow-dropped-state",
                            operator_id);
    }
    if (target->plan->kind == MR_PLAN_SINK) return keep_writer(restore, target, entry, err);
    return offer(restore, target, entry, err);
}

/* ---- the end ---- */

/* A sink that took part in epochs, and has output that waits to be committed, cannot become one that
 * does not. */
static enum mr_status refuse_writers(const struct mr_restore *restore, const struct target *sink,
                                     struct mr_error *err)
{
    for (uint32_t i = 0; i < restore->writer_count; i++) {
        if (restore->writers[i].sink != sink) continue;
        return mr_error_set(err, MR_E_CHANGED,
                            "sink '%s' has output in the state that waits to be committed, but writes "
                            "now to a place that takes nothing back; give it the output that it had",
                            sink->id);
    }
    return MR_OK;
}

static enum mr_status recover_sink(struct mr_restore *restore, const struct target *sink,
                                   uint64_t epoch, struct mr_error *err)
{
    struct mr_runner *runner = restore->runner;
    const struct mr_sink_ops *ops = sink->plan->node->u.sink.ops;
    void *spec = sink->plan->node->u.sink.spec;
    struct mr_bytes *states;
    struct mr_recover_context context = {
        .heap = runner->heap,
        .disk = runner->workers[0].disk,
        .schema = sink->plan->input,
        .instance_count = runner->plan->stages[sink->stage].parallelism,
        .fence = runner->fence,
        .epoch = epoch,
        .finished = restore->job.finished,
    };
    enum mr_status st;

    if (!mr_sink_has_epochs(ops, spec)) return refuse_writers(restore, sink, err);
    states = mr_alloc_array(runner->heap, restore->writer_count + (size_t)1, sizeof *states);
    if (states == NULL) return mr_error_nomem(err, "the state of a sink", restore->writer_count);
    for (uint32_t i = 0; i < restore->writer_count; i++) {
        const struct writer_state *writer = &restore->writers[i];
        if (writer->sink != sink) continue;
        states[context.state_count++] = (struct mr_bytes){writer->data, writer->size_bytes - 1};
    }
    context.states = states;
    MR_CRASH("C31");
    st = ops->recover(spec, &context, err);
    mr_free(runner->heap, states, (restore->writer_count + (size_t)1) * sizeof *states);
    return st;
}

enum mr_status mr_restore_finish(struct mr_restore *restore, uint64_t epoch, struct mr_error *err)
{
    struct mr_runner *runner = restore->runner;

    MR_CRASH("C40");
    MR_CRASH("C38");
    for (uint32_t i = 0; i < restore->target_count; i++) {
        if (restore->targets[i].plan->kind != MR_PLAN_SINK) continue;
        MR_RET(recover_sink(restore, &restore->targets[i], epoch, err));
    }
    for (uint32_t t = 0; t < runner->task_count; t++) {
        struct mr_task *task = &runner->tasks[t];

        for (uint32_t i = 0; i < task->op_count; i++) {
            struct mr_operator *op = task->ops[i];
            if (op->ops->restored != NULL) MR_RET(op->ops->restored(op, err));
        }
    }
    return MR_OK;
}

struct mr_job_state mr_restore_job(const struct mr_restore *restore)
{
    return restore->job;
}

uint64_t mr_restore_dropped(const struct mr_restore *restore, const char **out_names)
{
    *out_names = restore->dropped_names;
    return restore->dropped;
}

/* ---- the job's own state ---- */

uint64_t mr_runner_layout(const struct mr_runner *runner)
{
    uint64_t layout = 1;

    for (uint32_t s = 0; s < runner->plan->stage_count; s++) {
        const struct mr_plan_stage *stage = &runner->plan->stages[s];

        for (uint32_t i = 0; i < stage->op_count; i++) {
            const char *id = stage->ops[i].node->id;
            /* A sum: where an operator stands in the plan may change. */
            layout += mr_hash_combine(mr_hash_bytes(id, strlen(id)), stage->parallelism);
        }
    }
    return layout == 0 ? 1 : layout;
}

static void put_number(char *out, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) out[i] = (char)(value >> (8 * i) & 0xff);
}

enum mr_status mr_job_state_yield(const struct mr_job_state *state, mr_entry_fn yield, void *self,
                                  struct mr_error *err)
{
    char value[32];
    struct mr_entry entry = {.kind = MR_ENTRY_VALUE,
                             .state_name = "",
                             .key = {"job", 3},
                             .value = {value, sizeof value}};

    put_number(value, state->fence, 8);
    put_number(value + 8, state->layout, 8);
    put_number(value + 16, state->batch_rows, 8);
    put_number(value + 24, state->lane_count, 4);
    put_number(value + 28, state->finished ? 1 : 0, 4);
    return yield(self, &entry, err);
}
