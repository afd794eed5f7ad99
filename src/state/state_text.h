/* state_text.h - entries of a snapshot as JSON, for people and their tools.
 *
 * Keys become the values of their columns: one alone, several as a list. Values of described states
 * become objects; positions of sources, timers, watermarks and what the job keeps for itself are
 * known here. Everything else is "0x...": bytes are never guessed at.
 *
 * Owns:    nothing.
 * Thread:  confined.
 * Fails:   the text remembers (base/text.h). Bytes that do not fit their schema are shown as bytes.
 * Cost:    linear.
 */
#ifndef MR_STATE_STATE_TEXT_H
#define MR_STATE_STATE_TEXT_H

#include "base/text.h"
#include "state/state_schema.h"

void mri_state_key_text(struct mri_state_schemas *schemas, const char *operator_id,
                        const struct mr_entry *entry, struct mr_text *out);
void mri_state_value_text(struct mri_state_schemas *schemas, const char *operator_id,
                          const struct mr_entry *entry, struct mr_text *out);
/* What the entry is: "key", "timer", "value", "split" (of a source), "writer" (of a sink). */
const char *mri_state_entry_word(const char *operator_id, const struct mr_entry *entry);
/* A namespace: an instant when it looks like one (windows begin there), else the number. */
void mri_state_namespace_text(int64_t ns, struct mr_text *out);
void mri_bytes_text(struct mr_bytes bytes, struct mr_text *out); /* "0x..." with quotes */

#endif
