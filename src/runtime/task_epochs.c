#include "runtime/task_epochs.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "runtime/sink_operator.h"

static void wake_coordinator(const struct mr_task_epochs *epochs)
{
    epochs->parker->wake(epochs->parker->self, epochs->coordinator);
}

static enum mr_status take_entry(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    struct mr_task_epochs *epochs = self;

    return mr_seal_add(&epochs->seal, epochs->ops[epochs->op]->plan->node->id, entry, err);
}

/* What was sealed before goes only when it is on disk for good (2). */
static void begin_seal(struct mr_task_epochs *epochs, uint64_t epoch)
{
    mr_assert(epoch > epochs->sealed); /* (1) */
    epochs->sealing = epoch;
    epochs->full |= mr_signal(&epochs->signals->full) == epoch;
    if (mr_signal(&epochs->signals->complete) >= epochs->sealed) mr_seal_clear(&epochs->seal);
}

enum mr_status mr_task_seal_operator(void *self, uint32_t op, uint64_t epoch,
                                     struct mr_error *err)
{
    struct mr_task_epochs *epochs = self;
    struct mr_operator *at = epochs->ops[op];

    if (epochs->sealing != epoch) begin_seal(epochs, epoch);
    if (at->ops->seal == NULL) return MR_OK;
    at->task->epoch = epoch;
    epochs->op = op;
    return at->ops->seal(at, epochs->full, take_entry, epochs, err);
}

void mr_task_publish_seal(struct mr_task_epochs *epochs, uint64_t epoch, bool over)
{
    mr_assert(epochs->sealing == epoch);
    MR_CRASH("C9");
    epochs->sealed = epoch;
    epochs->full = false;
    MR_CRASH("C15");
    atomic_store_explicit(&epochs->out.sealed, epoch << 1 | (over ? 1 : 0), memory_order_release);
    MR_CRASH("C16");
    wake_coordinator(epochs);
}

void mr_task_say_over(struct mr_task_epochs *epochs)
{
    atomic_store_explicit(&epochs->out.over, true, memory_order_release);
    wake_coordinator(epochs);
}

static enum mr_status commit(struct mr_task_epochs *epochs, uint64_t epoch, bool *out_any,
                             struct mr_error *err)
{
    for (uint32_t i = 0; i < epochs->op_count && epochs->has_sinks; i++) {
        bool blocked;

        if (!mr_is_sink_operator(epochs->ops[i])) continue;
        MR_CRASH("C27");
        MR_RET(mr_sink_operator_commit_epoch(epochs->ops[i], epoch, &blocked, err));
        if (blocked) return MR_OK;
        MR_CRASH("C29");
    }
    epochs->committed = epoch;
    *out_any = true;
    atomic_store_explicit(&epochs->out.committed, epoch, memory_order_release);
    MR_CRASH("C30");
    wake_coordinator(epochs);
    return MR_OK;
}

enum mr_status mr_task_serve_epochs(struct mr_task_epochs *epochs, bool over, bool *out_any,
                                    struct mr_error *err)
{
    uint64_t asked = mr_signal(&epochs->signals->commit);

    if (asked > epochs->committed) MR_RET(commit(epochs, asked, out_any, err));
    if (!over) return MR_OK;
    asked = mr_signal(&epochs->signals->inject);
    if (asked <= epochs->sealed) return MR_OK;
    if (epochs->sealing != asked) begin_seal(epochs, asked);
    for (uint32_t i = 0; i < epochs->op_count; i++) {
        MR_RET(mr_task_seal_operator(epochs, i, asked, err));
    }
    mr_task_publish_seal(epochs, asked, true);
    *out_any = true;
    return MR_OK;
}
