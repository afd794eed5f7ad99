/* sim_knobs.h - what a seed draws.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   none.
 * Cost:    none that matters.
 */
#ifndef MR_SIM_KNOBS_H
#define MR_SIM_KNOBS_H

#include "base/compiler.h"

struct sim_world;

/* Fills knobs, rows and random streams from world->seed. `calm`: sizes and times, but no fault. */
void sim_draw(struct sim_world *world, bool calm);

#endif
