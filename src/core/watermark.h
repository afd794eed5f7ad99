/* watermark.h - merges the watermarks of several inputs: the three-state rule.
 *
 * Each input is WAITING (has said nothing), ACTIVE, IDLE or FINISHED. out = min over ACTIVE; if
 * none is ACTIVE and some are IDLE: max over the last values of the IDLE, and the output is idle;
 * if all are FINISHED: MR_TIME_MAX. A WAITING input holds the output at MR_TIME_MIN. An idle input
 * that speaks again may be behind: the output does not go back.
 *
 * Owns:    the input array, in memory of the arena given at init.
 * Thread:  confined.
 * Fails:   init: MR_E_NOMEM. Steps never fail.
 * Cost:    O(inputs) when the minimum's holder moves, else O(1).
 *
 * Invariants:
 *  (1) The output never goes back.
 *  (2) While any input WAITS, the output stands where it began (MR_TIME_MIN, or the restored one).
 *  (3) FINISHED is final. All inputs FINISHED: the machine is too, and its output MR_TIME_MAX.
 *  (4) An input's value never goes back while it is ACTIVE (an older one is ignored).
 *  (5) The output is idle iff some input is IDLE and all others are FINISHED.
 *  (6) When none WAITS and some are ACTIVE, the output is at or above the least value of these.
 */
#ifndef MR_CORE_WATERMARK_H
#define MR_CORE_WATERMARK_H

#include "base/arena.h"
#include "base/time.h"

enum mr_input_state { MR_INPUT_WAITING, MR_INPUT_ACTIVE, MR_INPUT_IDLE, MR_INPUT_FINISHED };
#define MR_INPUT_STATES 4

enum mr_watermark_event_kind { MR_WM_ADVANCE, MR_WM_IDLE, MR_WM_FINISH };
struct mr_watermark_event {
    enum mr_watermark_event_kind kind;
    uint32_t input;
    struct mr_etime time; /* ADVANCE */
};
/* To be performed in this order. */
struct mr_watermark_action {
    bool became_active; /* the output was idle and speaks again */
    bool advanced;      /* the output moved to `time` */
    bool became_idle;
    bool finished;        /* all inputs are FINISHED: said once */
    struct mr_etime time; /* the output, moved or not */
};

struct mr_watermark_input {
    enum mr_input_state state;
    int64_t time_us;
};
struct mr_watermark {
    struct mr_watermark_input *inputs;
    uint32_t input_count;
    uint32_t state_counts[MR_INPUT_STATES]; /* inputs in each state */
    int64_t start_us;                       /* where the output began */
    int64_t output_us;
    bool idle;
    bool finished;
};

enum mr_status mr_watermark_init(struct mr_watermark *wm, struct mr_arena *arena,
                                 uint32_t input_count, struct mr_error *err) MR_MUST_USE;
/* Before the first step: the output of the snapshot that is restored. It does not go back. */
void mr_watermark_restore(struct mr_watermark *wm, int64_t output_us);
void mr_watermark_step(struct mr_watermark *wm, const struct mr_watermark_event *event,
                       struct mr_watermark_action *out);
void mr_watermark_check(const struct mr_watermark *wm);

/* The watermark of one reader over its splits: unopened splits hold it at their declared lower
 * bound, open ones at max(lower bound, greatest event time seen - delay), closed ones do not count.
 * An open split that is silent for long is idle and does not count either; when all open ones are
 * and none is pending, the greatest of them decides (the three-state rule, within one reader).
 * Splits speak by number; open ones are few (at most MR_OPEN_SPLITS_MAX). */
#define MR_OPEN_SPLITS_MAX 64u
struct mr_split_clock_entry {
    uint32_t split;
    int64_t max_seen_us; /* MR_TIME_MIN: no row yet */
    int64_t lower_bound_us;
    struct mr_ptime active; /* processing time of the last tick with rows, or of the first tick */
    bool ticked;            /* active is valid */
    bool rows_since_tick;
    bool idle;
};
struct mr_split_clock {
    struct mr_split_clock_entry open[MR_OPEN_SPLITS_MAX];
    uint32_t open_count;
    int64_t pending_bound_us; /* min lower bound over unopened splits; MR_TIME_MAX: none pending */
    int64_t delay_us;
    int64_t output_us; /* never goes back */
};
/* Nothing is pending at first; say what is before the first mr_split_clock_now. delay_us >= 0. */
void mr_split_clock_init(struct mr_split_clock *clock, int64_t delay_us);
void mr_split_clock_pending(struct mr_split_clock *clock, int64_t bound_us);
void mr_split_clock_open(struct mr_split_clock *clock, uint32_t split, int64_t lower_bound_us);
void mr_split_clock_close(struct mr_split_clock *clock, uint32_t split);
/* Walks event times of rows of one open split: keeps the running maximum, and, when out_watermarks
 * is not NULL, writes the split's own watermark as it was *before* each row (from the rows before
 * it alone). Times of null rows must have been removed before. */
void mr_split_clock_rows(struct mr_split_clock *clock, uint32_t split, const int64_t *times_us,
                         uint32_t count, int64_t *out_watermarks);
/* Time passes: rows since the last tick make a split active, silence for idle_us makes it idle.
 * idle_us 0: never. */
void mr_split_clock_tick(struct mr_split_clock *clock, struct mr_ptime now, int64_t idle_us);
/* True if splits are open, all of them idle, and none is pending. */
bool mr_split_clock_idle(const struct mr_split_clock *clock);
/* min over pending and open, never back; MR_TIME_MAX when there is nothing left. */
int64_t mr_split_clock_now(struct mr_split_clock *clock);

#endif
