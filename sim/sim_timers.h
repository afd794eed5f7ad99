/* sim_timers.h - the process function of the workload `timers`.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   errors of building stay in the job.
 * Cost:    as process functions.
 */
#ifndef MR_SIM_TIMERS_H
#define MR_SIM_TIMERS_H

struct mr_stream;
struct sim_world;

/* Per key and bucket of window_us: start, key, rows, sum of values, distinct values. */
struct mr_stream *sim_timers(struct sim_world *world, struct mr_stream *keyed);

#endif
