/* state_spec.h - facts about the states that process functions declare.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   check: MR_E_INVALID, MR_E_SCHEMA, MR_E_LIMIT, MR_E_PIPELINE, MR_E_UNSUPPORTED;
 *          texts name the state.
 * Cost:    cold.
 */
#ifndef MR_DATA_STATE_SPEC_H
#define MR_DATA_STATE_SPEC_H

#include "base/compiler.h"
#include <millrace/process.h>

#define MR_STATE_KEYS_MAX 30u /* key columns of the stream, and those of a map or set, together */

const char *mr_state_kind_name(enum mr_state_kind kind); /* "ordered list" */
/* Is the declaration possible behind `stream_keys` key columns? */
enum mr_status mr_state_check(const struct mr_state *state, uint32_t stream_keys,
                              bool has_event_time, struct mr_error *err) MR_MUST_USE;

#endif
