/* sim_check.h - what the output may be, and whether it is.
 *
 * An oracle adds every record that a run without failures gives. Each record that becomes visible is taken
 * out again at that moment: one that is not there is wrong or comes a second time. In the end nothing
 * may be left. Records of a workload that keeps the order of its input also come in that order.
 *
 * Owns:    its table.
 * Thread:  confined.
 * Fails:   through sim_world_fail, at once.
 * Cost:    a hash look-up per record.
 */
#ifndef MR_SIM_CHECK_H
#define MR_SIM_CHECK_H

#include "sim_ledger.h"

struct sim_check;
struct sim_world;

struct sim_check *sim_check_create(bool ordered);
void sim_check_destroy(struct sim_check *check);
void sim_check_expect(struct sim_check *check, const struct sim_record *record);
/* A record became visible. */
void sim_check_seen(struct sim_check *check, struct sim_world *world, const struct sim_record *record);
/* A record that was visible is not any more: a loss of power undid it. */
void sim_check_unseen(struct sim_check *check, const struct sim_record *record);
/* Everything was to come. */
void sim_check_end(const struct sim_check *check, struct sim_world *world);
uint64_t sim_check_left(const struct sim_check *check);

#endif
