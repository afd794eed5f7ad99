/* signals.h - what coordinator and tasks say to each other about epochs: words, no queues.
 *
 * One epoch goes through at a time, so a number each way is enough: the newest one that sources
 * shall end, the newest complete one, the newest whose output shall become visible; and back from
 * each task, the newest one it sealed and committed.
 *
 * Owns:    none.
 * Thread:  lock-free: `struct mr_epoch_signals` is written by the coordinator, but for `waited` and
 *          `filled` (by sources, before they seal), `struct mr_task_signals` by its task; stores
 *          release what they announce (the seal), loads acquire.
 * Fails:   none.
 * Cost:    a load of a line that rarely changes, per turn.
 */
#ifndef MR_RUNTIME_SIGNALS_H
#define MR_RUNTIME_SIGNALS_H

#include "base/compiler.h"
#include <stdatomic.h>

struct mr_epoch_signals {
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint64_t inject; /* sources send the barrier of this epoch */
    _Atomic uint64_t complete;                         /* for good */
    _Atomic uint64_t commit;                           /* sinks make it visible; <= complete */
    _Atomic uint64_t full;       /* the seal of this epoch stands alone; 0: none is asked for */
    _Atomic uint64_t gate;       /* micro-batch: rows of this epoch may be read */
    _Atomic uint64_t batch_rows; /* ... so many of each lane; stored before gate */
    _Atomic uint64_t waited;     /* by sources: a lane gave all its rows of the batch with this gate
                                  * before the barrier was asked for */
    _Atomic uint64_t filled;     /* ... or by the time the barrier was sent */
    _Atomic bool finished;       /* nothing more will be asked */
};

struct mr_task_signals {
    /* epoch << 1 | 1 if nothing more comes from the task; its seal may be read now */
    MR_ALIGNED(MR_CACHE_LINE) _Atomic uint64_t sealed;
    _Atomic uint64_t committed;
    _Atomic bool over; /* after END went out */
};

MR_INLINE uint64_t mr_signal(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

#endif
