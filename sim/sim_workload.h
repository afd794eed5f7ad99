/* sim_workload.h - the jobs that run in the simulator, each with the oracle of its output.
 *
 * A workload builds its job through the public interface. Its oracle reads the same rows and says what has
 * to come out, by the shortest way that is plainly right: lists, sorting and loops over all windows.
 * Lateness is judged by the watermark of the row's own split, which makes the late rows a function of
 * the input.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   errors of building stay in the job.
 * Cost:    an oracle is a few ms per seed.
 */
#ifndef MR_SIM_WORKLOAD_H
#define MR_SIM_WORKLOAD_H

#include "sim_check.h"
#include "sim_process.h"

struct sim_workload {
    const char *name;
    bool ordered; /* records keep the order of their split */
    bool in_time; /* no row may be late: what happens then depends on timing */
    bool folder; /* the folder of output exists already */
    bool (*there)(void); /* the product has what it needs */
    void (*build)(struct sim_world *world, struct mr_job *job);
    void (*expect)(const struct sim_world *world, struct sim_check *check);
};

extern const struct sim_workload sim_workloads[];
extern const uint32_t sim_workload_count;

#endif
