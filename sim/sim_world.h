/* sim_world.h - one machine, one store, virtual time, and the attempts of one job in it, from a seed.
 *
 * A world draws its knobs, its workload and its faults from the seed. It runs the attempt that is alive (and
 * now and then one that only seemed dead) turn by turn, moves the clock, and kills, stops, starves or
 * cuts the power when a fault is due or a crash point is hit that it has armed. After `heal_us` no
 * fault comes any more: then the job has to end within a bound.
 *
 * Owns:    processes, machine, ledger, what the checkers know.
 * Thread:  one; `world->running` is the process that has it.
 * Fails:   the first broken promise is kept as text: sim_world_fail.
 * Cost:    about 50 virtual seconds per second.
 * Units:   virtual microseconds.
 *
 * Invariants: (1) nothing here reads a real clock or a random device. (2) same seed: same trace.
 */
#ifndef MR_SIM_WORLD_H
#define MR_SIM_WORLD_H

#include "base/fault.h"
#include "sim_ledger.h"
#include "sim_machine.h"
#include "sim_process.h"
#include "sim_rows.h"

enum sim_cut { SIM_CUT_FULL, SIM_CUT_ONE, SIM_CUT_RANDOM };

/* Faults that connectors ask for. */
enum sim_fault { SIM_FAULT_SOURCE, SIM_FAULT_SINK_BUSY, SIM_FAULT_SINK_CALL, SIM_FAULT_COUNT };

/* Faults that come by themselves. */
enum sim_event {
    SIM_EVENT_KILL,       /* the process, at a turn */
    SIM_EVENT_KILL_AT,    /* the process, at one of its next crash points or disk requests */
    SIM_EVENT_POWER,      /* the machine */
    SIM_EVENT_POWER_AT,
    SIM_EVENT_STOP,       /* SIGSTOP for a while */
    SIM_EVENT_STOP_AT,
    SIM_EVENT_ZOMBIE,     /* it is stopped, another attempt takes over, it goes on */
    SIM_EVENT_MEMORY,     /* an allocation fails */
    SIM_EVENT_DISK_FULL,  /* for a while */
    SIM_EVENT_CLOCK,      /* the wall clock jumps */
    SIM_EVENT_INTERRUPT,  /* Ctrl-C: stop with a complete epoch */
    SIM_EVENT_COUNT
};

struct sim_knobs {
    uint32_t workload;
    uint32_t workers_max;
    bool rescale;            /* each attempt has another number of workers */
    bool micro_batch;
    bool no_fusion, no_two_stage; /* drawn per attempt if `replan` */
    bool replan;
    int64_t epoch_us;
    int64_t window_us, slide_us; /* slide: of hopping windows; window: the gap of sessions */
    uint64_t segment_bytes;  /* of the epoch log; 0: default */
    uint64_t roll_bytes;     /* of a folder of output files */
    int64_t roll_us;
    uint32_t ring_slots;     /* 0: default */
    uint32_t batch_rows;
    size_t quota_bytes;
    enum sim_cut cut;
    size_t memory_bytes;
    int64_t turn_us;         /* mean */
    int64_t sink_us;         /* mean time of a call of the store */
    uint32_t fault_ppm[SIM_FAULT_COUNT];
    uint32_t buggify_ppm;
    uint32_t event_weight[SIM_EVENT_COUNT];
    int64_t event_us;        /* mean time between faults */
    int64_t heal_us;         /* no faults behind */
    bool unrecoverable;      /* bits rot: the job may refuse to go on, but never be wrong */
};

#define SIM_IDS_MAX 96u

struct sim_id_count { /* crash points and probes */
    char id[24];
    uint64_t seen;   /* passed */
    uint64_t struck; /* died there */
};

struct sim_stats {
    struct sim_id_count ids[SIM_IDS_MAX];
    uint32_t id_count;
    uint64_t events[SIM_EVENT_COUNT];
    uint64_t faults[SIM_FAULT_COUNT];
    uint64_t attempts, refused_attempts, epochs, rows, turns, zombies, intruders;
    int64_t process_us; /* time in which an attempt was alive */
};

struct sim_check;
struct sim_files;
struct sim_workload;

struct sim_world {
    uint64_t seed;
    struct sim_knobs knobs;
    struct sim_rows rows;
    const char *planted; /* NULL: nothing; a name of MR_PLANT or one of sim's canaries */
    bool verbose;
    int64_t now_us;
    int64_t wall_offset_us;
    struct mr_prng faults, events, draws, plans;
    struct sim_machine machine;
    struct sim_ledger ledger;
    struct sim_process *alive;  /* the attempt in charge */
    struct sim_process *zombie; /* one that was given up, but is not dead */
    struct sim_process *running;
    uint32_t attempts;
    uint32_t recovered;       /* the last attempt whose sinks took over */
    uint64_t complete;        /* greatest epoch that any attempt said to be complete */
    uint32_t refused_in_a_row;
    int64_t next_start_us; /* of the next attempt */
    int64_t next_event_us;
    int64_t full_until_us; /* the disk is full; 0: it is not */
    /* An armed event: it strikes when `armed_count` more places to die were passed. */
    enum sim_event armed_event;
    uint64_t armed_count; /* 0: none */
    char armed_id[24];    /* at this crash point only; "": at any place */
    bool struck;          /* the running process met its event, which is this one: */
    enum sim_event struck_event;
    bool over;
    bool job_done;
    bool healed;
    uint64_t trace;
    struct sim_stats stats;
    struct mr_faults hooks;
    struct sim_check *check;
    struct sim_files *files; /* what readers of the output folder see */
    const struct sim_workload *workload;
    char failure[2048]; /* "": all is well */
};

/* ---- a whole run ---- */

struct sim_options {
    uint64_t seed;
    const char *workload; /* NULL: drawn */
    const char *planted;
    bool calm;            /* no faults: the same job undisturbed */
    bool verbose;
};
struct sim_result {
    uint64_t trace;
    struct sim_stats stats;
    struct sim_fault_counts disk;
    int64_t virtual_us;
    uint64_t refused; /* calls of zombies that the store refused */
    const char *workload;
    char failure[2048]; /* "": every promise was kept */
};
void sim_run(const struct sim_options *options, struct sim_result *out);

/* ---- for processes, connectors and the machine ---- */

void sim_world_process_main(struct sim_process *process);
/* A broken promise: the run ends and fails. The first one counts. */
void sim_world_fail(struct sim_world *world, const char *format, ...) MR_PRINTF(2, 3);
bool sim_world_planted(const struct sim_world *world, const char *id);
bool sim_world_fault(struct sim_world *world, enum sim_fault fault);
bool sim_world_coin(struct sim_world *world);
int64_t sim_world_draw_us(struct sim_world *world, int64_t mean_us);
/* The running process has something to do at that time. */
void sim_world_wake_at(struct sim_world *world, int64_t at_us);
void sim_world_committed(struct sim_world *world, const struct sim_record *record, uint64_t fence);

#endif
