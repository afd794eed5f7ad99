/* logs.h - topics as input and output of jobs: what stands behind "log://".
 *
 * Owns:    none.
 * Thread:  confined, as a job that is built.
 * Fails:   the job's error.
 * Cost:    reading opens the topic when the job is built: its schema is there.
 */
#ifndef MR_API_LOGS_H
#define MR_API_LOGS_H

#include "job_internal.h"

/* The topic's columns of these names and types, in this order; NULL after an error. */
struct mr_stream *mri_read_log_columns(struct mr_job *job, const char *caller, const char *url,
                                       const struct mr_field *fields, uint32_t count,
                                       uint32_t rate);
void mri_write_log(struct mr_stream *in, const char *url);

#endif
