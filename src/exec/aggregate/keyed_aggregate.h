/* keyed_aggregate.h - what the aggregates behind an exchange have in common: state, input, output,
 * watermark, snapshot.
 *
 * Embedded in the operators for aligned and for session windows. Both absorb a batch in put; in
 * next they first put out late rows, then fire what is due, then pass on the control item that
 * they hold.
 *
 * The watermark is kept per range of key groups in a snapshot. When ranges with different
 * watermarks come together after a change of parallelism, each group keeps its own until the
 * operator's watermark has passed them all.
 *
 * Owns:    accumulators, store, input, emission, the held item.
 * Thread:  confined.
 * Fails:   MR_E_NOMEM with the number of keys and what to do; MR_E_CORRUPT on restore.
 * Cost:    none per row.
 */
#ifndef MR_EXEC_AGGREGATE_KEYED_H
#define MR_EXEC_AGGREGATE_KEYED_H

#include "exec/aggregate/aggregate_input.h"
#include "exec/aggregate/emission.h"

struct mri_keyed {
    struct mr_operator op; /* first */
    bool partials;         /* input comes from a partial aggregate */
    struct mri_accs accs;
    struct mr_store *store;
    struct mri_input input;
    struct mri_emission emission;
    struct mr_item held;   /* a control item to be passed on; tag 0: none */
    bool late_waits;       /* rows of input.late have not been put out */
    bool over;             /* END has come out */
    int64_t watermark_us;
    int64_t *group_watermarks; /* per own key group, while they differ; NULL: the operator's */
    int64_t group_most_us;
    uint64_t reported_keys;
    /* per batch: room for as many rows as it has */
    uint32_t *slots;
    char **pointers;
    uint32_t room;
};

/* `slot_ops` NULL: slots are accumulators. The state gets number 0. */
enum mr_status mri_keyed_init(struct mri_keyed *keyed, struct mr_task_context *task,
                              const struct mr_plan_op *plan, const struct mr_operator_ops *ops,
                              bool partials, const char *state_name,
                              const struct mr_slot_ops *slot_ops, struct mr_error *err) MR_MUST_USE;
void mri_keyed_fini(struct mri_keyed *keyed);
/* Slot operations of plain accumulators. */
struct mr_slot_ops mri_acc_slot_ops(struct mri_accs *accs);

/* Opens the batch and judges lateness of aligned windows. */
enum mr_status mri_keyed_open(struct mri_keyed *keyed, struct mr_batch *batch,
                              struct mr_error *err) MR_MUST_USE;
/* All rows are in the state: closes the batch unless late rows wait; updates the gauge. */
void mri_keyed_absorbed(struct mri_keyed *keyed);
/* Resolves rows (NULL: all) of the open batch in a table: keyed->slots. */
enum mr_status mri_keyed_prepare(struct mri_keyed *keyed, struct mr_table *table,
                                 const uint32_t *rows, uint32_t count,
                                 struct mr_error *err) MR_MUST_USE;
void mri_keyed_gauge(struct mri_keyed *keyed);
/* For mri_feed.refused. */
enum mr_status mri_keyed_refused(void *self, uint32_t element, const struct mr_error *why,
                                 struct mr_error *err);
/* The watermark that a key of this hash has seen. */
MR_INLINE int64_t mri_keyed_watermark(const struct mri_keyed *keyed, uint64_t hash)
{
    const struct mr_task_context *task = keyed->op.task;

    if (MR_LIKELY(keyed->group_watermarks == NULL)) return keyed->watermark_us;
    return MR_MAX(keyed->watermark_us,
                  keyed->group_watermarks[mr_key_group(hash, task->key_group_count) -
                                          task->group_first]);
}
/* The operator's watermark is now t; forgets those of groups when all are behind it. */
void mri_keyed_advance(struct mri_keyed *keyed, int64_t watermark_us);

enum mr_status mri_keyed_put_late(struct mri_keyed *keyed, struct mr_item *out,
                                  enum mr_flow *out_flow, struct mr_error *err) MR_MUST_USE;
/* A full builder is taken, a blocked one waits. Sets *out_flow to HAVE_OUTPUT or BLOCKED. */
enum mr_status mri_keyed_no_room(struct mri_keyed *keyed, enum mr_build build, struct mr_item *out,
                                 enum mr_flow *out_flow, struct mr_error *err) MR_MUST_USE;
/* Passes on rows, then the held item, then says NEED_INPUT or DONE. */
void mri_keyed_pass_on(struct mri_keyed *keyed, struct mr_item *out, enum mr_flow *out_flow);

enum mr_status mri_keyed_seal(struct mr_operator *op, bool full, mr_entry_fn yield, void *self,
                              struct mr_error *err);
enum mr_status mri_keyed_restore(struct mr_operator *op, const struct mr_entry *entry,
                                 struct mr_error *err);
/* Settles the watermark after the last entry. */
void mri_keyed_restored(struct mri_keyed *keyed);

/* The two operators with whole input; mr_aggregate_create chooses by window. */
enum mr_status mri_aligned_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                  bool partials, struct mr_operator **out,
                                  struct mr_error *err) MR_MUST_USE;
enum mr_status mri_session_create(struct mr_task_context *task, const struct mr_plan_op *plan,
                                  struct mr_operator **out, struct mr_error *err) MR_MUST_USE;

#endif
