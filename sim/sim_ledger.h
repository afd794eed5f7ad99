/* sim_ledger.h - a store with transactions outside of the process, and the sink that writes to it.
 *
 * The store survives everything. It keeps transactions named by (sink, fence, instance, epoch), prepared
 * until they are committed or aborted, and remembers the highest fence per sink: calls of a lower
 * one are refused. Calls take time, may be lost on the way there (then nothing happened) or on the way back
 * (then it did); the sink repeats them. What is committed is read by checkers in the order of commits.
 *
 * Owns:    its records, from malloc.
 * Thread:  confined.
 * Fails:   MR_E_FENCED for a writer of a lower fence, MR_E_LOST for a transaction that is not there.
 * Cost:    a copy per row.
 *
 * Invariants: (1) committed records never go away. (2) a transaction is prepared once, with one content.
 */
#ifndef MR_SIM_LEDGER_H
#define MR_SIM_LEDGER_H

#include "connect/connect.h"

#define SIM_SINKS_MAX  4u
#define SIM_VALUES_MAX 6u

struct sim_world;

struct sim_record {
    uint32_t sink;
    uint32_t count;
    int64_t v[SIM_VALUES_MAX];
};

enum sim_txn_state { SIM_TXN_PREPARED, SIM_TXN_COMMITTED, SIM_TXN_ABORTED };

struct sim_txn_name {
    uint32_t sink, instance;
    uint64_t fence, epoch;
};

struct sim_txn {
    struct sim_txn_name name;
    enum sim_txn_state state;
    struct sim_record *records;
    uint32_t count;
    uint64_t hash;
};

struct sim_ledger {
    struct sim_txn *txns;
    uint32_t txn_count, txn_room;
    struct sim_record *committed;
    uint64_t committed_count, committed_room;
    uint64_t fence[SIM_SINKS_MAX];
    uint64_t refused; /* calls of lower fences */
    uint64_t aborted;
};

void sim_ledger_fini(struct sim_ledger *ledger);
/* Transactions that are neither committed nor aborted. */
uint32_t sim_ledger_open(const struct sim_ledger *ledger);

/* Columns of any integer type become values. `sink`: which one of the world's. */
enum mr_status sim_ledger_sink(struct mr_heap *heap, struct sim_world *world, uint32_t sink,
                               struct mr_sink *out, struct mr_error *err) MR_MUST_USE;

#endif
