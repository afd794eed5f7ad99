/* align.h - barrier alignment: when may a task take its snapshot of an epoch?
 *
 * When every input that is still open has delivered the barrier of that epoch. An input that did is
 * not read until the others did (BLOCK), so that the state at SNAPSHOT is a function of exactly the
 * records before the barrier. An input that ended counts as having delivered every later barrier.
 * A task whose inputs all ended, or that has none (a source), gets no barriers: there the
 * coordinator's word (EPOCH) takes their place. A newer barrier overtakes an older alignment; a
 * cancelled epoch is never aligned, whether the cancel comes before, after or without its barriers.
 *
 * The driver performs the actions in order. SNAPSHOT is: seal the state, send the barrier on every
 * output that has not ended, tell the coordinator; only then comes UNBLOCK. Epochs count from 1.
 *
 * Owns:    two bit sets over the inputs, in memory of the arena given at init.
 * Thread:  confined.
 * Fails:   init: MR_E_NOMEM. Steps never fail. An event of a closed or blocked input is a bug.
 * Cost:    a step is O(inputs / 64).
 *
 * Invariants:
 *  (1) Only open inputs are blocked.
 *  (2) Some input is blocked iff an epoch is being aligned, and that epoch is newer than `done`.
 *  (3) A full alignment never rests: while aligning, some open input is not blocked.
 *  (4) `done` never goes back. Each epoch gets at most one of SNAPSHOT and ABORTED; the epochs of
 *      all SNAPSHOTs strictly increase.
 *  (5) Without an open input no announced epoch is left waiting.
 */
#ifndef MR_CORE_ALIGN_H
#define MR_CORE_ALIGN_H

#include "base/arena.h"

enum mr_align_event_kind {
    MR_ALIGN_BARRIER, /* input, epoch: the barrier was taken from this input */
    MR_ALIGN_CLOSED,  /* input: its end was taken */
    MR_ALIGN_CANCEL,  /* epoch: it will not become complete; may come twice, late or early */
    MR_ALIGN_EPOCH    /* epoch: the coordinator began it; may come twice, late or early */
};
#define MR_ALIGN_EVENTS 4
struct mr_align_event {
    enum mr_align_event_kind kind;
    uint32_t input;
    uint64_t epoch;
};

enum mr_align_action_kind {
    MR_ALIGN_BLOCK,    /* input, epoch: do not read it until UNBLOCK */
    MR_ALIGN_UNBLOCK,  /* epoch: read all inputs again */
    MR_ALIGN_SNAPSHOT, /* epoch: seal, pass the barrier on */
    MR_ALIGN_ABORTED   /* epoch: this task will not take a snapshot of it */
};
struct mr_align_action {
    enum mr_align_action_kind kind;
    uint32_t input;
    uint64_t epoch;
};
/* Three is the most: BLOCK SNAPSHOT UNBLOCK when the barrier was the last one, ABORTED UNBLOCK BLOCK
 * when it overtakes (then another input is open and lacks it: the new alignment is not full),
 * ABORTED UNBLOCK ABORTED when a cancel is newer than the alignment. */
#define MR_ALIGN_ACTIONS_MAX 3u
struct mr_align_actions {
    uint32_t count;
    struct mr_align_action items[MR_ALIGN_ACTIONS_MAX];
};

struct mr_align {
    uint64_t *open;    /* bit per input: has not ended */
    uint64_t *blocked; /* bit per input: delivered the barrier of `epoch` */
    uint32_t input_count;
    uint32_t open_count;
    uint32_t blocked_count;
    uint64_t epoch;     /* being aligned; 0: none */
    uint64_t done;      /* all up to here are over for this task: sealed, overtaken or cancelled */
    uint64_t announced; /* the newest EPOCH heard; matters once no input is open */
};

/* last_epoch: the epoch that was restored, 0 for a fresh start. input_count 0 is a source. */
enum mr_status mr_align_init(struct mr_align *align, struct mr_arena *arena, uint32_t input_count,
                             uint64_t last_epoch, struct mr_error *err) MR_MUST_USE;
void mr_align_step(struct mr_align *align, const struct mr_align_event *event,
                   struct mr_align_actions *out);
/* True: the driver must not read this input. The same fact as the BLOCK actions. */
bool mr_align_blocked(const struct mr_align *align, uint32_t input);
void mr_align_check(const struct mr_align *align);

#endif
