/* edge_ids.h - the random numbers of record tracking (A4): ChaCha with 8 rounds over a secret key.
 *
 * Tracking is sound because no set of edge ids XORs to 0 by chance. Generators that are linear over
 * bits do not have that property, and two tasks with the same seed would cancel each other's
 * edges: every task has a stream of its own under one key per attempt. The key comes from the
 * port's entropy (in a simulation: from the seed). A process that forks must key its ids anew.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   none.
 * Cost:    2 to 4 ns per id, made 32 at a time.
 */
#ifndef MR_CORE_EDGE_IDS_H
#define MR_CORE_EDGE_IDS_H

#include "base/compiler.h"

#define MR_EDGE_IDS_LANES 4u
#define MR_EDGE_IDS_READY (8u * MR_EDGE_IDS_LANES)

struct mr_edge_ids {
    uint32_t key[8];
    uint64_t stream;
    uint64_t block; /* of the next refill */
    uint32_t at;    /* next one of `ready` */
    uint64_t ready[MR_EDGE_IDS_READY];
};

/* The same key and stream give the same ids. `key` holds 256 bits. */
void mr_edge_ids_init(struct mr_edge_ids *ids, const uint64_t key[4], uint64_t stream);
void mr_edge_ids_refill(struct mr_edge_ids *ids);

/* Never 0: 0 means that nothing is outstanding. */
MR_INLINE uint64_t mr_edge_ids_next(struct mr_edge_ids *ids)
{
    uint64_t id;

    do {
        if (ids->at == MR_EDGE_IDS_READY) mr_edge_ids_refill(ids);
        id = ids->ready[ids->at++];
    } while (MR_UNLIKELY(id == 0));
    return id;
}

#endif
