/* user_connectors.h - sources and sinks whose functions a user wrote, behind the engine's seams.
 *
 * Owns:    a spec copies the functions and the id.
 * Thread:  as connect/source.h and connect/sink.h.
 * Fails:   MR_E_INVALID for missing functions; what the user's functions answer, with the id in the text.
 * Cost:    one call of the user's function per batch.
 */
#ifndef MR_API_USER_CONNECTORS_H
#define MR_API_USER_CONNECTORS_H

#include "connect/connect.h"
#include <millrace/function.h>

enum mr_status mri_user_source(struct mr_heap *heap, const char *id,
                               const struct mr_source_functions *functions, void *user,
                               const struct mr_field *fields, uint32_t field_count,
                               bool with_event_time, struct mr_source *out,
                               struct mr_error *err) MR_MUST_USE;
enum mr_status mri_user_sink(struct mr_heap *heap, const char *id,
                             const struct mr_sink_functions *functions, void *user,
                             struct mr_sink *out, struct mr_error *err) MR_MUST_USE;

#endif
