/* port.h - everything from outside: time, chance, disk, threads. Interfaces only.
 *
 * Two families of implementations: port/posix (the only place with system calls) and the simulated
 * ones of the tests, which run the same engine from a seed in virtual time. The engine gets a
 * `struct mr_port` at start and knows nothing else of its surroundings.
 *
 * Owns:    none: an implementation outlives everything that was given a pointer to it.
 * Thread:  clock, entropy, thread: any. disk: one mr_disk per worker, confined to it.
 * Fails:   per verb.
 * Cost:    the clock is read once per worker turn, not per row.
 */
#ifndef MR_PORT_PORT_H
#define MR_PORT_PORT_H

#include "base/heap.h"
#include "base/status.h"
#include "base/time.h"

struct mr_clock {
    void *self;
    struct mr_ptime (*monotonic)(void *self); /* never goes back; unspecified origin */
    struct mr_ptime (*wall)(void *self);      /* since 1970, may jump */
};

struct mr_entropy {
    void *self;
    uint64_t (*next)(void *self);
};

/* Every decision that a task is free to take goes through here: which tasklet next, how many rows
 * to take, where to cut a batch. In production it answers `preferred`; in tests it is seeded, in
 * a replay it reads a log. */
enum mr_choice {
    MR_CHOOSE_WORKER,     /* scheduler: which worker takes the next turn */
    MR_CHOOSE_TASKLET,    /* worker: which tasklet first */
    MR_CHOOSE_INPUT,      /* task: which input next */
    MR_CHOOSE_BATCH_ROWS, /* reader: at most how many rows in this batch */
    MR_CHOOSE_PARTIAL,    /* pre-aggregate: flush now? */
    MR_CHOOSE_SPLIT       /* worker: take another split now? */
};
struct mr_choose {
    void *self;
    /* A number in [0, bound); bound > preferred. */
    uint64_t (*pick)(void *self, enum mr_choice what, uint64_t bound, uint64_t preferred);
};

/* Parking of worker threads. A worker that made no progress parks for at most `us`; anybody who
 * gave it work wakes it. A wake before a park is not lost. */
struct mr_parker {
    void *self;
    void (*park)(void *self, uint32_t worker, int64_t us);
    void (*wake)(void *self, uint32_t worker);
};

struct mr_port {
    struct mr_clock clock;
    struct mr_entropy entropy;
    struct mr_choose choose;
    struct mr_parker parker;
    struct mr_heap *heap; /* the root of all memory */
    struct mr_disk *(*disk_create)(void *self,
                                   struct mr_heap *heap); /* one per worker; NULL: no memory */
    void (*disk_destroy)(void *self, struct mr_disk *disk);
    /* NULL is allowed. Told once, before the disk is used: requests that take long (syncs) are then
     * done by a later poll, and this worker is woken for it. Without it they are done in submit. */
    void (*disk_wakes)(void *self, struct mr_disk *disk, uint32_t worker);
    void *self;
};

#endif
