/* accumulator.h - the accumulators of one aggregate operator, side by side in a slot.
 *
 * A slot holds one accumulator per aggregate at fixed offsets. Zeroed memory is the accumulator of
 * nothing, except that user-defined ones are created. Work is done a batch and an aggregate at a
 * time: a loop over (slot, element) pairs, made for the memory layout of the argument, without an
 * indirect call per row.
 *
 *   form          slot                                  partial columns
 *   COUNT         count                                 int64
 *   SUM_INT       128-bit sum, count                    decimal(38,0) sum, int64 count
 *   SUM_DECIMAL   192-bit sum, count                    decimal(38,s) sum, int64 count
 *   SUM_FLOAT     exact sum (exact_sum.h), count        binary sum, int64 count
 *   BEST          min, max: value, has                  the type
 *   EDGE          first, last: value, has, time         the type, int64 event time
 *   USER          state bytes                           binary
 *
 * BEST and EDGE keep what is *least* by an order: max and last turn the order round by flipping all
 * bits. Floats are compared as integers (total order: -0 below 0, one NaN above all), so the result
 * does not depend on the order of rows.
 *
 * Owns:    its table; slots and their blobs belong to the store or local table that they are in.
 * Thread:  confined.
 * Fails:   MR_E_NOMEM for blobs, MR_E_CORRUPT for partials that are none, MR_E_OVERFLOW for sums
 *          that do not fit when emitted, whatever a user's function answers.
 * Cost:    1-5 ns per row and aggregate when slots are in cache.
 */
#ifndef MR_EXEC_AGGREGATE_ACCUMULATOR_H
#define MR_EXEC_AGGREGATE_ACCUMULATOR_H

#include "base/text.h"
#include "exec/aggregate/blobs.h"
#include "exec/aggregate/exact_sum.h"
#include "plan/plan.h"

#define MRI_USER_STATE_MAX 1024u
#define MRI_SLOT_BYTES_MAX 4096u

enum mri_acc_form {
    MRI_ACC_COUNT,
    MRI_ACC_SUM_INT,
    MRI_ACC_SUM_DECIMAL,
    MRI_ACC_SUM_FLOAT,
    MRI_ACC_BEST,
    MRI_ACC_EDGE,
    MRI_ACC_USER
};

struct mri_acc {
    enum mri_acc_form form;
    enum mr_layout layout;   /* of the argument */
    bool every_row;          /* count(*): nulls count too */
    bool reversed;           /* BEST, EDGE: greatest instead of least */
    uint32_t offset;         /* in the slot */
    const struct mr_plan_aggregate *plan;
};

struct mri_accs {
    struct mr_heap *heap;
    struct mri_blobs blobs;
    uint32_t count;
    struct mri_acc *accs;
    uint32_t slot_bytes; /* a multiple of 8; of 16 with user-defined states */
    bool needs_init;     /* zero is not the initial value */
    bool has_blobs;
    bool has_user;
    bool has_decimal_sum;
    bool as_bytes;       /* stored as its bytes lie in the slot */
    char *trash;         /* a slot for rows that a user's function refused */
};

/* `blobs` may be set later, before the first use. */
enum mr_status mri_accs_init(struct mri_accs *accs, struct mr_heap *heap,
                             const struct mr_plan_op *plan, struct mr_error *err) MR_MUST_USE;
void mri_accs_fini(struct mri_accs *accs); /* zeroed: allowed; the trash must be empty */
void mri_accs_empty_trash(const struct mri_accs *accs); /* while the blobs' owner lives */

void mri_accs_create(const struct mri_accs *accs, void *slot);  /* zeroed memory -> initial value */
void mri_accs_release(const struct mri_accs *accs, void *slot); /* gives blobs back */

/* A row that a user's function refused: MR_OK when it is to be left out. */
typedef enum mr_status (*mri_refused_fn)(void *self, uint32_t element, const struct mr_error *why,
                                         struct mr_error *err);

/* Rows and the slots that they go to. Entry i is element rows[i] (NULL: i) of the columns. */
struct mri_feed {
    char **slots; /* of refused rows: turned to the trash */
    const uint32_t *rows;
    uint32_t count;
    uint32_t column_rows;             /* elements in the columns */
    const struct mr_column *columns;  /* prepared columns, or those of the partial; FLAT or CONST */
    const int64_t *times;             /* event time per element; NULL: none */
    mri_refused_fn refused;           /* user-defined aggregates only */
    void *refused_self;
};
enum mr_status mri_accs_update(const struct mri_accs *accs, const struct mri_feed *in,
                               struct mr_error *err) MR_MUST_USE;
/* The same with the columns that mri_accs_write_partial wrote. */
enum mr_status mri_accs_merge_columns(const struct mri_accs *accs, const struct mri_feed *in,
                                      struct mr_error *err) MR_MUST_USE;
enum mr_status mri_accs_merge_slot(const struct mri_accs *accs, void *into, const void *from,
                                   struct mr_error *err) MR_MUST_USE;


/* Writes the accumulators of `count` slots into columns partial_column.. of `batch`. False: no
 * room.
 * Sums of decimals that exceed 128 bits leave a rest: see mri_accs_carry. */
bool mri_accs_write_partial(const struct mri_accs *accs, char *const *slots, uint32_t count,
                            struct mr_batch *batch) MR_MUST_USE;
/* Takes what was written out of the slot's decimal sums; true if something is left. Then call
 * mri_accs_release and mri_accs_keep_sums, and write the slot once more. */
bool mri_accs_carry(const struct mri_accs *accs, void *slot);
void mri_accs_keep_sums(const struct mri_accs *accs, void *slot); /* the others begin anew */

/* Sets `column` of the row that `builder` has begun to the result of aggregate `index`, which is
 * not user-defined. MR_E_OVERFLOW with why; *out_build other than OK: no room. */
enum mr_status mri_accs_result(const struct mri_accs *accs, uint32_t index, const void *slot,
                               struct mr_builder *builder, uint32_t column,
                               enum mr_build *out_build, struct mr_error *err) MR_MUST_USE;

/* For mr_slot_ops. */
bool mri_accs_encode(const struct mri_accs *accs, const void *slot,
                     struct mr_buffer *out) MR_MUST_USE;
/* Into a slot that is initial. */
enum mr_status mri_accs_decode(const struct mri_accs *accs, void *slot, struct mr_cursor *in,
                               struct mr_error *err) MR_MUST_USE;

#endif
