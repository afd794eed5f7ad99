/* sim_process.h - an attempt of a job as a process that can be stopped anywhere, and killed for good.
 *
 * A process has a stack of its own and a region of memory. It runs until it has nothing to do or
 * something else is due, then switches back to the world. Killing it means not to switch to it again:
 * its stack and its region are dropped whole, no cleanup of the engine runs, and nothing leaks.
 * A stopped process keeps both and may go on later, long after another one took its place.
 *
 * Owns:    stack, region, disks; what it left in the machine and in the ledger is theirs.
 * Thread:  confined: all processes share the thread of the world.
 * Fails:   status and text when it ended by itself.
 * Cost:    a switch is about 0.3 us.
 *
 * Invariants: (1) at most one process runs. (2) memory of the engine comes from the region only.
 */
#ifndef MR_SIM_PROCESS_H
#define MR_SIM_PROCESS_H

#include "api/job_internal.h"
#include "sim_machine.h"

struct sim_world;
struct sim_switch; /* registers and stack of whoever does not run */
struct sim_region_block;

enum sim_process_state { SIM_READY, SIM_STOPPED, SIM_ENDED };

struct sim_process {
    struct sim_world *world;
    struct sim_owner owner;
    enum sim_process_state state;
    uint32_t number;   /* attempt, from 1 */
    uint32_t workers;
    int64_t wake_us;   /* nothing to do before */
    int64_t resume_us; /* STOPPED: when it goes on */
    int64_t started_us;
    struct mr_port port;
    struct mr_heap heap;
    struct sim_region_block *region;
    size_t region_bytes;
    struct mr_prng entropy, choices, turns;
    struct sim_switch *here; /* its side of the switch */
    struct mr_job *job;
    struct mr_runner *runner; /* while it is driven */
    uint64_t turns_taken;
    bool asked_to_stop;
    const struct sim_process *intrudes; /* begun while this one holds the directory; NULL: not so */
    bool finished_clean;   /* its heap was empty in the end */
    /* Valid when ENDED: */
    enum mr_status status;
    struct mr_summary summary;
    char text[1024];
};

/* Runs `main_of(process)` from its beginning when it is first switched to. */
struct sim_process *sim_process_create(struct sim_world *world, uint32_t number, uint64_t seed);
/* Kills it, or forgets one that ended. */
void sim_process_destroy(struct sim_process *process);
/* Lets it run until it yields or ends. */
void sim_process_run(struct sim_process *process);
/* From inside: back to the world. Returns when the world lets it go on, or never. */
void sim_process_yield(struct sim_process *process);

/* A job whose memory and world are the process's; see mr_job_create. */
struct mr_job *sim_job_create(struct sim_process *process, const char *name,
                              const struct mr_job_options *options,
                              struct mri_job_hooks *hooks);
void sim_job_destroy(struct mr_job *job);

#endif
