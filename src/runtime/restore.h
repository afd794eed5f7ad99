/* restore.h - entries of a snapshot find the operators that they belong to.
 *
 * State is named by operator id, never by task: an entry goes to the instance that has its key
 * group now, a value of an instance to all of them, the state of a sink's writer to the sink itself.
 * Entries come in the order in which they were sealed; of several for one key the last one holds.
 *
 * Owns:    copies of what sinks' writers left.
 * Thread:  one thread, before the workers start.
 * Fails:   MR_E_CHANGED for an operator that the pipeline does not have; what operators report.
 * Cost:    per entry: one comparison of the operator's id with that of the entry before.
 */
#ifndef MR_RUNTIME_RESTORE_H
#define MR_RUNTIME_RESTORE_H

#include "runtime/runner.h"

struct mr_restore;

/* What the job itself keeps beside its operators: entries of this operator id. */
#define MR_JOB_STATE ":job"

struct mr_restore_options {
    bool allow_dropped_state; /* entries of operators that are gone are counted, not refused */
};
enum mr_status mr_restore_begin(struct mr_runner *runner, const struct mr_restore_options *options,
                                struct mr_restore **out, struct mr_error *err) MR_MUST_USE;
void mr_restore_end(struct mr_restore *restore); /* NULL allowed */
/* mr_log_entry_fn; self: struct mr_restore. */
enum mr_status mr_restore_entry(void *self, const char *operator_id, const struct mr_entry *entry,
                                struct mr_error *err);
/* All entries have come: sinks recover and open, operators rebuild what they need. */
enum mr_status mr_restore_finish(struct mr_restore *restore, uint64_t epoch,
                                 struct mr_error *err) MR_MUST_USE;

/* What a job keeps for itself, in every epoch. */
struct mr_job_state {
    uint64_t fence;      /* of the attempt that sealed */
    uint64_t layout;     /* mr_runner_layout of whoever sealed; 0: nothing was restored */
    uint64_t batch_rows; /* micro-batches: rows per lane of the next one (T4); 0: none */
    uint32_t lane_count;
    bool finished;       /* all input was read, and everything it released is in this epoch */
};
/* Is this the job's own entry? Then what it says. */
bool mr_job_state_read(const char *operator_id, const struct mr_entry *entry,
                       struct mr_job_state *out);
/* Valid after the last entry. */
struct mr_job_state mr_restore_job(const struct mr_restore *restore);
/* Entries of operators that are gone, and the ids of these ("'a', 'b', ..."); 0 and "": none. */
uint64_t mr_restore_dropped(const struct mr_restore *restore, const char **out_names);

/* How operators are spread over instances; another number means that the next seal must be full. */
uint64_t mr_runner_layout(const struct mr_runner *runner);
enum mr_status mr_job_state_yield(const struct mr_job_state *state, mr_entry_fn yield, void *self,
                                  struct mr_error *err) MR_MUST_USE;

#endif
