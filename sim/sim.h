/* sim.h - a world from a seed: virtual time, seeded choices, one thread that plays all workers.
 *
 * The same engine objects that run on threads run here one turn at a time. Which worker takes the
 * next turn, which tasklet and input come first, how many rows a reader takes: every choice is drawn
 * from the seed, so the same seed gives the same trace hash, and another seed another interleaving.
 *
 * Owns:    its random streams and clock.
 * Thread:  confined.
 * Fails:   a run that makes no progress for MR_SIM_IDLE_TURNS turns is a hang: it fails the run.
 * Cost:    a turn is what it is in production, plus a draw per choice.
 * Units:   virtual time advances by a few microseconds per turn, and jumps when all workers are idle.
 */
#ifndef MR_SIM_SIM_H
#define MR_SIM_SIM_H

#include "base/prng.h"
#include "runtime/runner.h"

#define MR_SIM_IDLE_TURNS 100000u

enum mr_sim_cut {
    MR_SIM_CUT_FULL,   /* batches as large as in production */
    MR_SIM_CUT_ONE,    /* one row each */
    MR_SIM_CUT_RANDOM  /* any size */
};

struct mr_sim {
    struct mr_port port; /* give this to the job; disks are `world`'s */
    const struct mr_port *world;
    uint64_t seed;
    enum mr_sim_cut cut;
    struct mr_prng choices; /* one stream per purpose: a draw added in one place moves no other */
    struct mr_prng workers;
    struct mr_prng entropy;
    struct mr_prng time;
    int64_t now_us;
    uint64_t turns;
    uint64_t kill_at; /* the process dies at this turn: nothing is ended or put in order; 0: never */
    bool killed;
};

/* `world` lends its heap and disks. */
void mr_sim_init(struct mr_sim *sim, uint64_t seed, enum mr_sim_cut cut,
                 const struct mr_port *world);
/* Plays all workers, and the coordinator of epochs if there is one, until the runner is over or has
 * failed. self: struct mr_sim. */
void mr_sim_drive(void *self, struct mr_runner *runner);

#endif
