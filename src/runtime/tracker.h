/* tracker.h - record tracking: every row that a source hands on is worked on to the end, or sent
 * again. The driver of core/acker.h in a job of one process.
 *
 * Each instance of a source has an acker. A task takes a batch (begin), works on it until nothing
 * of it is under way (end), and sends what comes out of its edges (leave). Inside a task nothing is
 * written down per row: the origin of a batch, which operators pass on, says which row of the input
 * a row was made from. Rows that leave a task get a fresh edge each, in the hidden column TRACKING:
 * (root, edge) for each of their roots. When the input is done, one message per source says, for
 * each of its rows, the edge that is used up and those that were made of it, XORed (A1): so a chain
 * of filters and functions costs one acknowledgement per row, however long it is.
 *
 * In a task that writes, acknowledgements wait until the writer has passed on what it was given
 * (flushed). A row that its function gives back with MR_E_AGAIN is failed at once.
 *
 * A source may keep its rows itself: it gives them ids, and is told which are completed and which
 * failed. For all others the tracker keeps the batches until all their rows are completed, sends
 * the failed rows again under new roots, and gives a row up that failed too often.
 *
 * Refused, when the job is built: operators whose results are made of rows that came long before
 * (aggregates, top and sort), because they cannot hold the anchors of all these rows.
 *
 * Owns:    the ackers, one ring of messages per pair of task and source, the batches it keeps.
 * Thread:  create, destroy: one, while no worker runs. A struct mr_track_task: confined to its
 *          task. Rings are lock-free between the two tasks.
 * Fails:   MR_E_NOMEM; MR_E_UNSUPPORTED for rows that leave a task and are made of no known row.
 * Cost:    per row and task two random numbers and a few stores; 20 bytes per row that leaves a
 *          task.
 *
 * Invariants: (1) an input begins when the one before has ended and all that it said is on its way.
 *  (2) A row that leaves is made from one whose edge stays open until the acker is told of both,
 *  in one message: no tree looks complete before it is. (3) Every root ends once: completed, or
 *  failed and begun anew or given up. (4) Rings are emptied whatever else is full: ackers never
 *  wait for rows.
 */
#ifndef MR_RUNTIME_TRACKER_H
#define MR_RUNTIME_TRACKER_H

#include "core/acker.h"
#include "data/batch.h"
#include "plan/plan.h"
#include "runtime/channel.h"

#define MR_TRACK_PENDING_DEFAULT    65536u
#define MR_TRACK_TIMEOUT_DEFAULT_US ((int64_t)30 * 1000 * 1000)
#define MR_TRACK_TRIES_DEFAULT      3u

struct mr_tracker;
struct mr_track_task;

struct mr_tracker_options {
    uint32_t task_count;
    const uint32_t *sources; /* ordinals of the tasks that begin with a source, ascending */
    uint32_t source_count;
    uint32_t pending_rows; /* per instance of a source, at most; 0: default */
    int64_t timeout_us;    /* 0: default */
    uint32_t tries;        /* of a kept row, then it is given up; 0: default */
    uint64_t attempt;
    uint64_t key[4]; /* from the port's entropy; never the same in two attempts (A4) */
    struct mr_ptime now;
    /* Do rows wait for room anywhere in the job? Asked a few times a second, by any source's
     * worker.
     * NULL: never. */
    bool (*stopped)(void *self);
    void *stopped_self;
    struct mr_wakeup *const *wakeups; /* per source: its worker; NULL: none sleeps */
};
enum mr_status mr_tracker_create(struct mr_heap *heap, const struct mr_tracker_options *options,
                                 struct mr_tracker **out, struct mr_error *err) MR_MUST_USE;
void mr_tracker_destroy(struct mr_tracker *tracker); /* NULL allowed */
struct mr_track_task *mr_tracker_task(struct mr_tracker *tracker, uint32_t ordinal);
/* Refuses what cannot be tracked, by the operator's name and with what to do. */
enum mr_status mr_tracker_check_plan(const struct mr_plan *plan, struct mr_error *err) MR_MUST_USE;

/* ---- every task ---- */

/* The task writes: acknowledgements wait for mr_track_flushed. */
void mr_track_holds(struct mr_track_task *task);
/* Everything said so far is on its way; true: the next input may begin. */
bool mr_track_ready(struct mr_track_task *task);
/* An input from a channel; only when ready. *out: the batch to work on in its place (a new
 * reference), NULL without memory in the quota: try again. */
enum mr_status mr_track_begin(struct mr_track_task *task, struct mr_quota *quota,
                              struct mr_batch *batch, struct mr_batch **out,
                              struct mr_error *err) MR_MUST_USE;
/* Rows that leave by one edge of the stage; again for each edge. *out as above. */
enum mr_status mr_track_leave(struct mr_track_task *task, struct mr_quota *quota,
                              struct mr_batch *batch, struct mr_batch **out,
                              struct mr_error *err) MR_MUST_USE;
/* Gives a row up, of the input or made from it: its roots are sent again. */
enum mr_status mr_track_fail(struct mr_track_task *task, const struct mr_batch *batch, uint32_t row,
                             enum mr_status why, struct mr_error *err) MR_MUST_USE;
/* Nothing of the input is under way in this task. Without an input: nothing happens. */
enum mr_status mr_track_end(struct mr_track_task *task, struct mr_error *err) MR_MUST_USE;
/* What the writer was given before has left. */
enum mr_status mr_track_flushed(struct mr_track_task *task, struct mr_error *err) MR_MUST_USE;
/* Nothing at hand, held, or to be said. */
bool mr_track_idle(const struct mr_track_task *task);

/* ---- tasks that begin with a source ---- */

struct mr_track_calls {
    void *self;
    /* Both or none. None: the tracker keeps the rows. `reader` and `id` are those of mr_track_read.
     * Called on the worker of the task, between two reads. */
    void (*completed)(void *self, void *reader, uint64_t id);
    void (*failed)(void *self, void *reader, uint64_t id, enum mr_status why);
    /* A kept row has failed too often: the policy for bad records; not MR_OK ends the job. */
    enum mr_status (*give_up)(void *self, const struct mr_batch *batch, uint32_t row,
                              enum mr_status why, struct mr_error *err);
};
void mr_track_calls(struct mr_track_task *task, const struct mr_track_calls *calls);
/* How many rows may be read now. `quota_bytes`: of the quota that batches are read into; a part
 * of it may be kept. */
uint32_t mr_track_room(const struct mr_track_task *task, size_t quota_bytes);
/* A batch was read, of at most so many rows, and is the input now. `ids`: one per row (copied),
 * and the reader that is to be told of them; or NULL if the tracker keeps the rows. */
enum mr_status mr_track_read(struct mr_track_task *task, struct mr_batch *batch,
                             const uint64_t *ids, void *reader, struct mr_error *err) MR_MUST_USE;
/* Does the reader wait to be told of rows? Then it must not be closed. */
bool mr_track_awaits(const struct mr_track_task *task, const void *reader);
/* Kept rows that are to be sent again: a batch that is the input now, or NULL (none, or no memory).
 * To be asked before every read, when ready. */
enum mr_status mr_track_again(struct mr_track_task *task, struct mr_quota *quota,
                              struct mr_batch **out, struct mr_error *err) MR_MUST_USE;
/* Hears what other tasks say and tells the source; every step of the task. *out_moved: something
 * was heard. Tasks without a source: nothing happens. */
enum mr_status mr_track_turn(struct mr_track_task *task, struct mr_ptime now, bool *out_moved,
                             struct mr_error *err) MR_MUST_USE;
/* Something was said that mr_track_turn has not heard: a worker must not sleep. */
bool mr_track_called(const struct mr_track_task *task);
/* Rows that are not completed; the source must not end before this is 0. */
uint32_t mr_track_pending(const struct mr_track_task *task);

struct mr_track_stats {
    uint64_t begun, completed, failed, timed_out, given_up;
    uint32_t pending;
};
struct mr_track_stats mr_track_stats(const struct mr_track_task *task);

#endif
