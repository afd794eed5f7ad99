/* chain.h - drives the operators of one stage: items go in at the head, items come out for edges.
 *
 * Output 0 of operator i is put into operator i + 1. Batches of other outputs, and everything from
 * output 0 of the last operator, come out to the caller with the number of the operator. The
 * operator nearest to the end that has something to do goes first: what is under way leaves before
 * anything new comes in.
 *
 * Control items travel through output 0 to the end of the chain; when one comes out there, all rows
 * that any output of the stage had to say before it have come out already, so it holds for every
 * edge of the stage. Items of the inside of a chain (splits, ticks) end at its last operator.
 *
 * Owns:    nothing but items on their way; the operators belong to the caller, who closes them
 *          after mr_chain_destroy.
 * Thread:  confined to the task.
 * Fails:   with the status of the operator that failed; only mr_chain_destroy may follow.
 * Cost:    one virtual call per item and operator.
 *
 * Invariants: (1) an operator is put to only after it said NEED_INPUT (or at the start). (2)
 *  Watermarks of an output never go back. (3) Nothing follows END on an output. (4) One call of
 *  mr_chain_next asks operators at most MR_CHAIN_MOVES times, each at most a batch of work.
 */
#ifndef MR_EXEC_CHAIN_H
#define MR_EXEC_CHAIN_H

#include "exec/operator.h"

#define MR_CHAIN_MOVES 16u

struct mr_chain; /* opaque */

/* The operators in the order of the stage; the array is copied. A SCAN at the head has work from
 * the start and takes no items. */
enum mr_status mr_chain_create(struct mr_heap *heap, struct mr_operator *const *operators,
                               uint32_t count, struct mr_chain **out,
                               struct mr_error *err) MR_MUST_USE;
void mr_chain_destroy(struct mr_chain *chain); /* NULL allowed */

/* Calls `seal` for every operator as a barrier leaves it by output 0: its state is then that of the
 * rows before the barrier, and nothing of it is under way. Set before the first item. */
typedef enum mr_status (*mr_chain_seal_fn)(void *self, uint32_t op, uint64_t epoch,
                                           struct mr_error *err);
void mr_chain_on_barrier(struct mr_chain *chain, mr_chain_seal_fn seal, void *self);

/* True when the head waits for an item and nothing is under way: mr_chain_next would answer
 * NEED_INPUT. */
bool mr_chain_ready(const struct mr_chain *chain);
/* Puts an item into the head; only when ready. Takes the batch reference, on failure too. */
enum mr_status mr_chain_put(struct mr_chain *chain, const struct mr_item *item,
                            struct mr_error *err) MR_MUST_USE;
/* Tells the operators (behind the scan, if there is one) the processing time. False: something is
 * under way there, or all is over, and nothing was told. Call mr_chain_next afterwards. */
enum mr_status mr_chain_tick(struct mr_chain *chain, int64_t now_us, bool *out_told,
                             struct mr_error *err) MR_MUST_USE;
/* HAVE_OUTPUT: *out belongs to the caller and is for output out->input of operator *out_op; its tag
 * may be 0: work was done and there is more, but nothing came out yet. NEED_INPUT: put the next
 * item. BLOCKED: call again when something outside has moved. DONE: all operators are done. */
enum mr_status mr_chain_next(struct mr_chain *chain, struct mr_item *out, uint32_t *out_op,
                             enum mr_flow *out_flow, struct mr_error *err) MR_MUST_USE;

#endif
