/* split_queue.h - who reads which split: a shared queue that idle readers take from.
 *
 * Splits are handed out in list order. A reader that asks when none is left is told so; until then the
 * least lower bound of what is left holds every reader's watermark, for any reader may get it.
 *
 * Owns:    the suffix table of lower bounds, the marks.
 * Thread:  any: one atomic counter; init, claim, fini: one thread, while nobody reads.
 * Fails:   init: MR_E_NOMEM.
 * Cost:    one atomic addition per split.
 */
#ifndef MR_RUNTIME_SPLIT_QUEUE_H
#define MR_RUNTIME_SPLIT_QUEUE_H

#include "connect/source.h"
#include <stdatomic.h>

struct mr_split_queue {
    const struct mr_split_list *list; /* borrowed */
    struct mr_heap *heap;
    int64_t *bound_from; /* [i]: least lower bound of splits i.. that are not claimed */
    bool *claimed;       /* [i]: has been read before, or in part, and is not handed out */
    _Atomic uint32_t next;
    /* For a rate limit over all readers: when the first one began (INT64_MIN: none yet), and how many
     * rows have been read or are reserved. */
    _Atomic int64_t rate_start_us;
    _Atomic uint64_t rate_rows;
};

enum mr_status mr_split_queue_init(struct mr_split_queue *queue, struct mr_heap *heap,
                                   const struct mr_split_list *list,
                                   struct mr_error *err) MR_MUST_USE;
/* Takes a split out before reading starts: an earlier attempt read it, or began to. Idempotent;
 * after the last one call mr_split_queue_claims_end. */
void mr_split_queue_claim(struct mr_split_queue *queue, uint32_t split);
void mr_split_queue_claims_end(struct mr_split_queue *queue);
void mr_split_queue_fini(struct mr_split_queue *queue); /* zeroed allowed */
/* NULL: none left. */
const struct mr_split *mr_split_queue_take(struct mr_split_queue *queue);
/* Reserves up to `wanted` rows under a limit of `rate` rows per second since the first reader
 * began; 0: wait. Afterwards say how many were read. */
uint32_t mr_split_queue_reserve(struct mr_split_queue *queue, uint64_t rate, int64_t now_us,
                                uint32_t wanted);
void mr_split_queue_settle(struct mr_split_queue *queue, uint32_t reserved, uint32_t used);
/* Least lower bound of the splits not yet taken; MR_TIME_MAX: none left. */
int64_t mr_split_queue_pending(const struct mr_split_queue *queue);

#endif
