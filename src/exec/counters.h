/* counters.h - what a task counts: one cache line group with a single writer, from one table.
 *
 * Owns:    none.
 * Thread:  lock-free: the task writes (relaxed), anybody reads (relaxed).
 * Fails:   none.
 * Cost:    one relaxed store per counter and batch.
 */
#ifndef MR_EXEC_COUNTERS_H
#define MR_EXEC_COUNTERS_H

#include "base/compiler.h"
#include <stdatomic.h>

/* id, name in --metrics-json, meaning */
#define MR_COUNTER_MAP(X)                                                              \
    X(ROWS_IN, "rows_in", "rows read by sources")                                      \
    X(ROWS_OUT, "rows_out", "rows handed to sinks")                                    \
    X(ROWS_REJECTED, "rows_rejected", "bad records left out")                          \
    X(ROWS_LATE, "rows_late", "rows that came after their window was over")            \
    X(ROWS_NO_WINDOW, "rows_no_window", "rows between hopping windows")                \
    X(ROWS_DROPPED, "rows_dropped", "rows left out because a value could not be computed") \
    X(BYTES_IN, "bytes_in", "bytes read by sources")                                   \
    X(BYTES_OUT, "bytes_out", "bytes written by sinks")                                \
    X(BATCHES_SENT, "batches_sent", "batches sent over exchanges")                     \
    X(ROWS_SENT, "rows_sent", "rows sent over exchanges")                              \
    X(STEPS, "steps", "tasklet steps")                                                 \
    X(BLOCKED, "blocked", "steps that had to wait for room")                           \
    X(SPLITS, "splits", "input splits read")                                           \
    X(STATE_KEYS, "state_keys", "keys in state (a gauge)")

enum mr_counter {
#define MR_COUNTER_ENUM(id, name, meaning) MR_COUNTER_##id,
    MR_COUNTER_MAP(MR_COUNTER_ENUM)
#undef MR_COUNTER_ENUM
    MR_COUNTER_COUNT
};

struct mr_counters {
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint64_t value[MR_COUNTER_COUNT];
    _Atomic int64_t watermark_us; /* last one sent */
};

MR_INLINE void mr_counter_add(struct mr_counters *counters, enum mr_counter counter, uint64_t n)
{
    uint64_t now = atomic_load_explicit(&counters->value[counter], memory_order_relaxed);

    atomic_store_explicit(&counters->value[counter], now + n, memory_order_relaxed);
}

#endif
