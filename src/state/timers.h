/* timers.h - what a task must do at a time: one timer per (domain, namespace, tag, key).
 *
 * Setting again replaces, clearing removes. Timers fire in time order; equal times in the order of
 * (namespace, key group, key bytes, tag), so that the order depends on the input alone. Behind it
 * are 4-ary heaps over numbered entries (by time in each domain, by hold) and a hash index from
 * identity to entry; both are rebuilt on restore.
 *
 * Owns:    its entries and key bytes, charged to the store's heap.
 * Thread:  confined.
 * Fails:   set: false at the memory limit; nothing has changed then.
 * Cost:    O(log timers) per set, clear and take; next and hold are O(1).
 *
 * Invariants:
 *  (1) Every living timer is in the heap of its domain, and in the heap of holds iff it has one.
 *  (2) An entry knows its place in each heap. (3) A heap's parent is never after its children.
 */
#ifndef MR_STATE_TIMERS_H
#define MR_STATE_TIMERS_H

#include "base/heap.h"

enum mr_time_domain { MR_EVENT_TIME, MR_PROCESSING_TIME };

struct mr_timers;

struct mr_timer {
    enum mr_time_domain domain;
    int64_t time_us; /* fires when the clock of its domain is >= this */
    int64_t hold_us; /* output time that holds the watermark; MR_TIME_MAX: none */
    int64_t ns;
    uint32_t tag;
    uint32_t key_group;  /* of the key: not part of the identity */
    struct mr_bytes key; /* key form; empty for timers of a whole namespace */
};

bool mr_timers_set(struct mr_timers *timers, const struct mr_timer *timer) MR_MUST_USE;
/* By domain, ns, tag and key; the rest of *timer is not looked at. Unknown ones are ignored. */
void mr_timers_clear(struct mr_timers *timers, const struct mr_timer *timer);
/* Earliest time in a domain, MR_TIME_MAX when there is none. */
int64_t mr_timers_next(const struct mr_timers *timers, enum mr_time_domain domain);
/* Earliest hold, MR_TIME_MAX when there is none. */
int64_t mr_timers_hold(const struct mr_timers *timers);
/* Takes the first timer that is due at `now_us`; false: none. *out borrows until the next call (it
 * may be the argument of that call: to set the timer anew). */
bool mr_timers_take(struct mr_timers *timers, enum mr_time_domain domain, int64_t now_us,
                    struct mr_timer *out);
uint64_t mr_timers_count(const struct mr_timers *timers);

/* Asserts the invariants; for tests, linear in the timers. */
void mr_timers_check(const struct mr_timers *timers);

#endif
