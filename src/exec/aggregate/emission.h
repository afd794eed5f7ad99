/* emission.h - result rows of aggregates: window, keys, results, hidden columns; one at a time.
 *
 * Sums that do not fit their type and results that a user's function refuses go to the policy for
 * bad records: the row is left out or the job ends with operator, key and window in the message.
 *
 * Owns:    a builder, and an emitter per user-defined aggregate.
 * Thread:  confined.
 * Fails:   MR_E_OVERFLOW, MR_E_USER_FUNCTION by policy; MR_E_LIMIT for a row that fits no batch;
 *          MR_E_NOMEM.
 * Cost:    one builder call per column and row.
 */
#ifndef MR_EXEC_AGGREGATE_EMISSION_H
#define MR_EXEC_AGGREGATE_EMISSION_H

#include "exec/aggregate/accumulator.h"
#include "exec/emitter.h"
#include "exec/operator.h"

struct mri_emission {
    struct mr_operator *op;
    const struct mri_accs *accs;
    struct mr_builder *builder;
    struct mr_emitter **emitters; /* per aggregate; NULL where not user-defined */
    struct mr_schema **schemas;   /* of the emitters */
};

enum mr_status mri_emission_init(struct mri_emission *emission, struct mr_operator *op,
                                 const struct mri_accs *accs, struct mr_error *err) MR_MUST_USE;
void mri_emission_fini(struct mri_emission *emission); /* zeroed: allowed */

/* A result row to be. */
struct mri_result_row {
    const struct mr_table *table; /* of the key; NULL: there is none */
    uint32_t slot;
    const void *accs; /* the accumulators, in that slot or elsewhere */
    int64_t start_us;
    int64_t end_us;
};
/* *out_build FULL: take the batch and come again. BLOCKED: come again later. OK: the row is in, or
 * left out by the policy. */
enum mr_status mri_emission_put(struct mri_emission *emission, const struct mri_result_row *row,
                                enum mr_build *out_build, struct mr_error *err) MR_MUST_USE;
/* The rows so far; false: there are none. */
bool mri_emission_take(struct mri_emission *emission, struct mr_item *out);

/* "operator 'x' holds 12 keys in 4096 bytes ... raise --memory". */
enum mr_status mri_state_nomem(const struct mr_operator *op, const struct mr_store *store,
                               struct mr_error *err);

#endif
