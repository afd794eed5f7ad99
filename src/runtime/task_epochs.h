/* task_epochs.h - a task's part in epochs: seal at the barrier, commit when told.
 *
 * Each operator is sealed as the barrier leaves it (exec/chain.h); when the barrier leaves the chain
 * the whole is published for the coordinator. A task that is over gets no barriers: it seals when
 * the coordinator asks, until the last epoch is complete.
 *
 * Owns:    the seal.
 * Thread:  confined to the task, except `out` and, between publishing and completion, `seal`.
 * Fails:   what an operator's seal or a sink's commit reports.
 * Cost:    two loads per step; a seal costs what changed.
 *
 * Invariants: (1) epochs are sealed in order, each once. (2) what an epoch that did not become
 *  complete sealed stays in front of what the next one seals.
 */
#ifndef MR_RUNTIME_TASK_EPOCHS_H
#define MR_RUNTIME_TASK_EPOCHS_H

#include "exec/chain.h"
#include "runtime/seal.h"
#include "runtime/signals.h"

struct mr_task_epochs {
    const struct mr_epoch_signals *signals;
    struct mr_task_signals out;
    struct mr_seal seal;
    struct mr_operator **ops;
    uint32_t op_count;
    uint32_t op;          /* being sealed */
    uint64_t sealing;     /* epoch that the seal was begun for */
    uint64_t sealed;      /* last one published */
    uint64_t committed;
    bool full;            /* the next seal stands alone */
    bool has_sinks;
    const struct mr_parker *parker;
    uint32_t coordinator; /* its parking place */
};

/* mr_chain_seal_fn; self: struct mr_task_epochs. */
enum mr_status mr_task_seal_operator(void *self, uint32_t op, uint64_t epoch,
                                     struct mr_error *err) MR_MUST_USE;
/* Every operator of `epoch` has been sealed; `over`: nothing more comes from this task. */
void mr_task_publish_seal(struct mr_task_epochs *epochs, uint64_t epoch, bool over);
/* Says that END went out on all edges. */
void mr_task_say_over(struct mr_task_epochs *epochs);
/* Once per step: commits, and seals if the task is over. *out_any: something was done. */
enum mr_status mr_task_serve_epochs(struct mr_task_epochs *epochs, bool over, bool *out_any,
                                    struct mr_error *err) MR_MUST_USE;

#endif
