/* lanes.h - micro-batches: which rows belong to a batch, whoever reads them.
 *
 * A batch must have the same content when it is replayed (T2 of delivery: same id, same content), also
 * when other workers read it. So in this mode splits are not handed out to whoever is free: they
 * belong to *lanes*, split s to lane s modulo the number of lanes, which is fixed for the life of the
 * job; a lane reads its splits in order. A batch is the next N rows of every lane. N is written down
 * with the epoch before (T4), so that a replay takes the same rows. A partition that does not end is a
 * lane of its own, and may end its part of a batch early when it has nothing to give: such a source is
 * opaque, not transactional.
 *
 * Lane l is read by instance l modulo the number of instances.
 *
 * Owns:    a table of its lanes.
 * Thread:  confined to the reading task.
 * Fails:   init: MR_E_NOMEM.
 * Cost:    a few instructions per batch of rows.
 *
 * Invariants: (1) no lane is asked for more than N rows for a batch. (2) the batch is over for an instance when
 *  each of its lanes gave N rows, has no more, or (opaque) has none now.
 */
#ifndef MR_RUNTIME_LANES_H
#define MR_RUNTIME_LANES_H

#include "connect/source.h"

#define MR_LANE_NONE UINT32_MAX

struct mr_lane {
    uint32_t next;  /* split that is opened next; the list's count: none */
    uint64_t used;  /* rows of the batch under way */
    bool open;      /* a reader is open */
    bool quiet;     /* opaque: has nothing for this batch any more */
    uint32_t begun; /* splits that an earlier attempt began, not yet opened again */
};

struct mr_lanes {
    struct mr_heap *heap;
    const struct mr_split_list *list;
    uint32_t count; /* of the source */
    uint32_t instance_count;
    struct mr_lane *own;
    uint32_t own_first; /* number of the first; the next one is instance_count further */
    uint32_t own_count;
    uint64_t batch_rows; /* N of the batch under way; 0: none is */
    int64_t bound_us;    /* see mr_lanes_bound; valid until the next opening */
    bool bound_known;
};

/* `lane_count`: of the job. */
enum mr_status mr_lanes_init(struct mr_lanes *lanes, struct mr_heap *heap,
                             const struct mr_split_list *list, uint32_t lane_count,
                             uint32_t instance, uint32_t instance_count,
                             struct mr_error *err) MR_MUST_USE;
void mr_lanes_fini(struct mr_lanes *lanes); /* a zeroed one is allowed */
/* The instance that reads a split; lane_count 0: no lanes, splits are dealt out one by one. */
uint32_t mr_split_owner(const struct mr_split_list *list, uint32_t lane_count, uint32_t split,
                        uint32_t instance_count);

/* A split that an earlier attempt began: it is among the next rows of its lane, before the others. */
void mr_lanes_begun(struct mr_lanes *lanes, uint32_t split);
/* Nothing of the split's lane is open: it may be. */
bool mr_lanes_free(const struct mr_lanes *lanes, uint32_t split);
/* A lane (number among its own) that has a split to open, MR_LANE_NONE: none; the split is then
 * own[lane].next. `claimed`: splits not to be opened from the start. */
uint32_t mr_lanes_to_open(struct mr_lanes *lanes, const bool *claimed);
void mr_lanes_opened(struct mr_lanes *lanes, uint32_t lane, uint32_t split);
void mr_lanes_closed(struct mr_lanes *lanes, uint32_t lane); /* read to its end */
uint32_t mr_lane_of(const struct mr_lanes *lanes, uint32_t split);

/* Least lower bound of the splits of its lanes that were not opened yet; MR_TIME_MAX: none. */
int64_t mr_lanes_bound(struct mr_lanes *lanes, const bool *claimed);

void mr_lanes_begin(struct mr_lanes *lanes, uint64_t batch_rows);
/* How many of `wanted` rows the lane may give now. */
uint32_t mr_lanes_room(const struct mr_lanes *lanes, uint32_t lane, uint32_t wanted);
void mr_lanes_took(struct mr_lanes *lanes, uint32_t lane, uint32_t rows);
/* The lane has nothing now; only a source that does not end may say so. */
void mr_lanes_quiet(struct mr_lanes *lanes, uint32_t lane);
bool mr_lanes_any_full(const struct mr_lanes *lanes); /* one gave all its rows of the batch */
bool mr_lanes_batch_over(struct mr_lanes *lanes, const bool *claimed);

#endif
