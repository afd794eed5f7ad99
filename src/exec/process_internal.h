/* process_internal.h - what the files of the process operator share.
 *
 * Owns:    see process.c.
 * Thread:  confined to the task.
 * Fails:   per function.
 * Cost:    none.
 */
#ifndef MR_EXEC_PROCESS_INTERNAL_H
#define MR_EXEC_PROCESS_INTERNAL_H

#include "exec/emitter.h"
#include "exec/exec_internal.h"
#include "state/user_state.h"

/* The watermark of the operator and, after a change of parallelism, those of its key groups until
 * the operator's has passed them all. */
struct mri_group_watermarks {
    const struct mr_task_context *task;
    int64_t now_us;
    int64_t *groups; /* NULL: all have the operator's */
    int64_t most_us;
};
void mri_watermarks_init(struct mri_group_watermarks *marks, const struct mr_task_context *task);
void mri_watermarks_fini(struct mri_group_watermarks *marks);
void mri_watermarks_advance(struct mri_group_watermarks *marks, int64_t watermark_us);
int64_t mri_watermarks_of(const struct mri_group_watermarks *marks, uint32_t group);
enum mr_status mri_watermarks_seal(const struct mri_group_watermarks *marks, mr_entry_fn yield,
                                   void *self, struct mr_error *err) MR_MUST_USE;
bool mri_watermarks_entry(const struct mr_entry *entry); /* is it one of theirs? */
enum mr_status mri_watermarks_restore(struct mri_group_watermarks *marks, const char *operator_id,
                                      const struct mr_entry *entry,
                                      struct mr_error *err) MR_MUST_USE;
void mri_watermarks_restored(struct mri_group_watermarks *marks);

/* What a function sees of its surroundings. */
struct mr_process_context {
    struct mr_user_states *states;
    struct mr_emitter *emitter;
    const struct mr_plan_op *plan;
    struct mr_task_context *task;
    struct mri_group_watermarks watermarks;
    const struct mr_batch *rows; /* a batch function is at work on these; else NULL */
    bool over;                   /* the input has ended */
    bool key_known;              /* key_columns are those of the key at hand */
    struct mr_column key_columns[MR_KEY_COLUMNS_MAX];
    struct mr_batch key_batch;
    struct mr_row key_row;
    struct mr_emitter *results[MR_PROCESS_STATES_MAX]; /* of AGGREGATING states */
    struct mr_schema *result_schemas[MR_PROCESS_STATES_MAX];
};

enum mr_status mri_context_init(struct mr_process_context *context, struct mr_task_context *task,
                                const struct mr_plan_op *plan, struct mr_error *err) MR_MUST_USE;
void mri_context_fini(struct mr_process_context *context); /* zeroed allowed */
/* Before each call of a function: the key at hand has been set. */
void mri_context_begin(struct mr_process_context *context);

#endif
