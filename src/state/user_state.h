/* user_state.h - the state of a process function: declared states over keyed stores.
 *
 * VALUE and AGGREGATING states are tables of the main store, which has the timers too. A collection
 * has a store of its own whose key is the key at hand and what tells its elements apart: a number
 * (lists), time and number (ordered lists), the keys of the map or set. So an element is one entry
 * of a seal, and adding one rewrites nothing. The elements of a key are chained in order; where its
 * chain begins stands in a store that is never sealed and is built anew from the elements after a
 * restore.
 *
 * Everything is about the *key at hand*: that of a row of the batch, or of a timer. What goes wrong
 * inside a call of a user's function is remembered and asked for when it returns.
 *
 * Owns:    its stores, charged to its heap; the declarations (struct mr_state) must outlive it.
 * Thread:  confined to the task.
 * Fails:   mr_user_states_failure: MR_E_NOMEM, MR_E_INVALID (wrong use), MR_E_LIMIT. Restore:
 *          MR_E_SCHEMA with both schemas, MR_E_CORRUPT.
 * Cost:    one probe per look, one more for the chain of a collection. Prepare: as
 *          mr_table_prepare.
 *          Reclaiming expired state is bounded by what the caller allows.
 *
 * Invariants (mr_user_states_check, for tests):
 *  (1) Every element is in the chain of its key, once, in the order of its kind. (2) A chain that
 *  has no elements does not exist. (3) Outside of a call every value record is set.
 */
#ifndef MR_STATE_USER_STATE_H
#define MR_STATE_USER_STATE_H

#include "data/state_spec.h"
#include "state/store.h"
#include "state/timers.h"
#include <millrace/process.h>

struct mr_user_states;

struct mr_user_states_options {
    const char *operator_id; /* copied by the stores */
    uint32_t key_group_count;
    uint32_t group_first, group_end; /* of this instance */
    const struct mr_field *keys;     /* at least one; outlive it */
    uint32_t key_count;
    const struct mr_state *states; /* checked by mr_state_check; outlive it */
    uint32_t state_count;
    bool track_changes;
    int64_t (*now)(void *self); /* processing time, asked when first needed in a call */
    void *now_self;
};
enum mr_status mr_user_states_create(struct mr_heap *heap,
                                     const struct mr_user_states_options *options,
                                     struct mr_user_states **out, struct mr_error *err) MR_MUST_USE;
void mr_user_states_destroy(struct mr_user_states *states); /* NULL allowed */

/* ---- the key at hand ---- */

/* Rows whose keys are dense FLAT or CONST columns; borrowed until the next call. */
void mr_user_states_batch(struct mr_user_states *states, const struct mr_keys *keys);
void mr_user_states_at_row(struct mr_user_states *states, uint32_t row);
/* The timer's key is copied. */
enum mr_status mr_user_states_at_timer(struct mr_user_states *states, const struct mr_timer *timer,
                                       struct mr_error *err) MR_MUST_USE;
void mr_user_states_at_none(struct mr_user_states *states);
bool mr_user_states_has_key(const struct mr_user_states *states);
/* As CONST columns; valid until the key changes. */
void mr_user_states_key(struct mr_user_states *states, struct mr_column *out);
uint32_t mr_user_states_group(struct mr_user_states *states); /* key group of the key at hand */
void mr_user_states_set_namespace(struct mr_user_states *states, int64_t ns);
/* What a write in event time counts for, and what the time is there: the watermark, or that of the
 * timer at hand. */
void mr_user_states_set_event_time(struct mr_user_states *states, int64_t row_us, int64_t now_us);
int64_t mr_user_states_now(struct mr_user_states *states);
void mr_user_states_new_call(struct mr_user_states *states); /* the clock is to be read anew */
/* Broadcast state may be written only while this is on. */
void mr_user_states_allow_broadcast(struct mr_user_states *states, bool allowed);

/* What went wrong since the last question; MR_OK: nothing. */
enum mr_status mr_user_states_failure(struct mr_user_states *states, struct mr_error *err);
void mr_user_states_misuse(struct mr_user_states *states, const char *format, ...) MR_PRINTF(2, 3);

/* ---- what <millrace/process.h> says; records come without their context ---- */

void mr_user_clear(struct mr_user_states *states, uint32_t state);
uint64_t mr_user_count(struct mr_user_states *states, uint32_t state);
struct mr_record mr_user_value(struct mr_user_states *states, uint32_t state, bool make);
struct mr_record mr_user_append(struct mr_user_states *states, uint32_t state);
struct mr_record mr_user_add_at(struct mr_user_states *states, uint32_t state, int64_t time_us);
uint64_t mr_user_remove_range(struct mr_user_states *states, uint32_t state, int64_t first_us,
                              int64_t end_us);
enum mr_user_entry { MR_USER_FIND, MR_USER_MAKE };
/* `set`: of a set, not a map; *out_new: it was not there. */
struct mr_record mr_user_element(struct mr_user_states *states, uint32_t state, bool set,
                                 const struct mr_datum *key, enum mr_user_entry what,
                                 bool *out_new);
bool mr_user_remove(struct mr_user_states *states, uint32_t state, bool set,
                    const struct mr_datum *key);
struct mr_iterator mr_user_iterate(struct mr_user_states *states, uint32_t state);
struct mr_iterator mr_user_iterate_range(struct mr_user_states *states, uint32_t state,
                                         int64_t first_us, int64_t end_us);
bool mr_user_next(struct mr_user_states *states, struct mr_iterator *it, struct mr_record *out);
void mr_user_iterator_remove(struct mr_user_states *states, struct mr_iterator *it);
/* The accumulator of an AGGREGATING state; NULL: there is none. */
void *mr_user_accumulator(struct mr_user_states *states, uint32_t state, bool make);

bool mr_user_is_null(const struct mr_user_states *states, const struct mr_record *record,
                     uint32_t field);
struct mr_datum mr_user_get(const struct mr_user_states *states, const struct mr_record *record,
                            uint32_t field);
void mr_user_set(struct mr_user_states *states, struct mr_record *record, uint32_t field,
                 const struct mr_datum *value);
struct mr_datum mr_user_key(const struct mr_user_states *states, const struct mr_record *record,
                            uint32_t key);
int64_t mr_user_time(const struct mr_user_states *states, const struct mr_record *record);

/* All rows of the batch at once. `times`: event times of its rows; NULL: they have none. */
bool mr_user_prepare(struct mr_user_states *states, uint32_t state, const int64_t *times,
                     struct mr_state_array *out);
/* The function has returned: records that were made and not written are forgotten. */
void mr_user_prepared_over(struct mr_user_states *states);

/* Of the key at hand. `hold_us` MR_TIME_MAX: none. */
void mr_user_timer_set(struct mr_user_states *states, enum mr_time_domain domain, int64_t time_us,
                       uint32_t tag, int64_t hold_us);
void mr_user_timer_clear(struct mr_user_states *states, enum mr_time_domain domain, uint32_t tag);
struct mr_timers *mr_user_states_timers(struct mr_user_states *states);

/* Removes expired state, looking at no more than `slots` slots of each state. */
void mr_user_states_reclaim(struct mr_user_states *states, uint32_t slots);
uint64_t mr_user_states_key_count(const struct mr_user_states *states); /* records and elements */

/* ---- snapshots ---- */

enum mr_status mr_user_states_seal(struct mr_user_states *states, bool full, mr_entry_fn yield,
                                   void *self, struct mr_error *err) MR_MUST_USE;
enum mr_status mr_user_states_restore(struct mr_user_states *states, const struct mr_entry *entry,
                                      struct mr_error *err) MR_MUST_USE;
/* After the last entry: chains are built. */
enum mr_status mr_user_states_restored(struct mr_user_states *states,
                                       struct mr_error *err) MR_MUST_USE;

void mr_user_states_check(struct mr_user_states *states);

#endif
