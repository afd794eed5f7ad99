/* policy.h - what happens to a bad record: one place for the decision and for its message.
 *
 * Bad records come from readers (text that is no number) and from operators (a row whose
 * expression fails). Up to the first exchange their place in the input is known: the source is asked
 * to read again and name line and text. Behind an exchange the message names operator and values.
 *
 * Owns:    the dead-letter file.
 * Thread:  any; counting is per task, the dead-letter file locks inside.
 * Fails:   FAIL: the status that ends the job, with the whole story. SKIP, DEAD LETTER: MR_OK, counted.
 * Cost:    cold; locating a record reads its file again.
 */
#ifndef MR_RUNTIME_POLICY_H
#define MR_RUNTIME_POLICY_H

#include "connect/connect.h"
#include "exec/operator.h"
#include <millrace/millrace.h>

/* A source as the runtime sees it, found again by node ordinal. */
struct mr_input {
    const struct mr_node *node;
    const struct mr_source_ops *ops;
    void *spec;
    struct mr_split_list splits;
};

struct mr_policy {
    enum mr_on_error on_error;
    struct mr_dead_letter *letters;
    struct mr_input *inputs;
    uint32_t input_count;
    struct mr_heap *heap;
    const struct mr_port *port;
};

/* A record that a reader refused; self of the reader context is a struct mr_policy_reader. */
struct mr_policy_reader {
    struct mr_policy *policy;
    struct mr_input *input;
    struct mr_counters *counters;
};
enum mr_status mr_policy_reject(void *self, const struct mr_reject *reject, struct mr_error *err);

/* A row that an operator could not compute (mr_bad_row_fn); self is the struct mr_policy. */
enum mr_status mr_policy_bad_row(void *self, struct mr_operator *op, const struct mr_batch *batch,
                                 uint32_t row, const struct mr_error *why, struct mr_error *err);

#endif
