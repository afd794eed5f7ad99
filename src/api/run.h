/* run.h - a job from its model to its end: plan, threads, waiting, commit.
 *
 * Owns:    what lives only while a job runs: split lists, plan, runner, dead letters, threads.
 * Thread:  the caller of mr_job_run.
 * Fails:   the first error is in job->error.
 * Cost:    one thread per worker; the caller looks up ten times a second.
 */
#ifndef MR_API_RUN_H
#define MR_API_RUN_H

#include "job_internal.h"

void mri_run(struct mr_job *job, struct mr_summary *out);
enum mr_status mri_explain(struct mr_job *job, bool as_dot, struct mr_text *out);

#endif
