/* split_states.h - what one reading instance knows of splits that are not open now.
 *
 * Three kinds: read to the end; begun by an earlier attempt and to be gone on with (RESUME); left
 * before the end because the job is being drained (LEFT). Together with the positions of the open
 * readers this is the snapshot of a source: a split of which nobody says anything has not been begun.
 *
 * After a restart the caller says whose business a split is now, whoever had it before; splits not
 * begun stay in the shared queue.
 *
 * Owns:    copies of positions.
 * Thread:  confined; restore before the workers start.
 * Fails:   MR_E_NOMEM; MR_E_CORRUPT for an entry that is not what was written; MR_E_CHANGED for a split
 *          that was read to its end and is another one now.
 * Cost:    a seal says what is new; a full one says everything.
 *
 * Snapshot: state "splits", one entry per split: key = ordinal (u32), value = kind (u8); then for one
 * begun the position, for one read to the end its size (u64; missing or UINT64_MAX: not known): a job that
 * begins elsewhere with this state must find the same splits in the same order.
 */
#ifndef MR_RUNTIME_SPLIT_STATES_H
#define MR_RUNTIME_SPLIT_STATES_H

#include "runtime/lanes.h"
#include "runtime/split_queue.h"
#include "state/store.h"

enum mr_split_kind { MR_SPLIT_AT, MR_SPLIT_DONE }; /* stored */

struct mr_split_state {
    uint32_t split;
    bool done;
    bool resume; /* to be opened by this instance */
    bool sealed; /* an earlier seal said it */
    char *position;
    size_t position_bytes;
};

struct mr_split_states {
    struct mr_heap *heap;
    struct mr_split_state *items;
    uint32_t count, room;
    uint32_t resume_count; /* items with `resume` */
    uint32_t *index;       /* while restoring: item + 1 of each split */
    uint32_t index_count;
};

void mr_split_states_init(struct mr_split_states *states, struct mr_heap *heap);
void mr_split_states_fini(struct mr_split_states *states); /* a zeroed one is allowed */

enum mr_status mr_split_states_done(struct mr_split_states *states, uint32_t split,
                                    struct mr_error *err) MR_MUST_USE;
enum mr_status mr_split_states_left(struct mr_split_states *states, uint32_t split,
                                    struct mr_bytes position, struct mr_error *err) MR_MUST_USE;

/* Takes an entry of any instance of an earlier attempt and claims the split in the queue. Of several
 * entries for a split the last one holds. */
enum mr_status mr_split_states_restore(struct mr_split_states *states,
                                       struct mr_split_queue *queue, const struct mr_entry *entry,
                                       struct mr_error *err) MR_MUST_USE;
/* Forgets the splits that are not ours. */
void mr_split_states_restored(struct mr_split_states *states, const struct mr_split_list *list,
                              uint32_t lane_count, uint32_t instance, uint32_t instance_count);
/* A split to go on with, the least one; its state moves to the caller, who frees the position
 * (mr_free with its size). With lanes: the least one whose lane is free. False: none. */
bool mr_split_states_resume(struct mr_split_states *states, const struct mr_lanes *lanes,
                            struct mr_split_state *out);
/* Least lower bound of those; MR_TIME_MAX: none. */
int64_t mr_split_states_bound(const struct mr_split_states *states,
                              const struct mr_split_list *list);

/* Yields what was not yet said (all when `full`). */
enum mr_status mr_split_states_seal(struct mr_split_states *states,
                                    const struct mr_split_list *list, bool full, mr_entry_fn yield,
                                    void *self, struct mr_error *err) MR_MUST_USE;
/* Yields where an open reader is. `scratch` is overwritten. */
enum mr_status mr_split_position_seal(uint32_t split, struct mr_bytes position,
                                      struct mr_buffer *scratch, mr_entry_fn yield, void *self,
                                      struct mr_error *err) MR_MUST_USE;

#endif
