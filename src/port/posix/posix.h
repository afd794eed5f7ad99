/* posix.h - the ports of a real process: the only place with system calls.
 *
 * A program makes one port at start and hands it to the runtime; everything above knows only the
 * interfaces of port.h. The root heap lies over malloc: blocks of 4 KiB and more are aligned to 64
 * bytes, smaller ones to 16.
 *
 * Owns:    the root heap, the parking places, the disks until they are destroyed.
 * Thread:  init and fini: one thread; what is in between as port.h says.
 * Fails:   init: MR_E_NOMEM.
 * Cost:    init: microseconds.
 */
#ifndef MR_PORT_POSIX_POSIX_H
#define MR_PORT_POSIX_POSIX_H

#include "port/disk.h"

/* memory_limit 0: mr_posix_memory_default(). `workers` parking places. */
enum mr_status mr_posix_port_init(struct mr_port *port, size_t memory_limit, uint32_t workers,
                                  struct mr_error *err) MR_MUST_USE;
/* Asserts that all memory came back. A zeroed port is allowed. */
void mr_posix_port_fini(struct mr_port *port);

/* Syncs of disks that are made from now on answer at once: what was written survives the end of this
 * process, however it comes, but not that of the machine. */
void mr_posix_port_skip_syncs(struct mr_port *port);

/* Half of the smaller of RAM and the limit of the control group (v1 or v2). */
size_t mr_posix_memory_default(void);
/* The largest resident set of this process so far, in bytes. */
size_t mr_posix_peak_rss(void);
/* How many processors this process may use: affinity and the quota of the control group. At
 * least 1. */
uint32_t mr_posix_cores(void);

/* This process, for a record of who holds what: its number, and its start since that of the machine. */
uint64_t mr_posix_pid(void);
int64_t mr_posix_started_us(void);
/* Kills the process that has this number and start, and waits for its end; one that has ended is
 * success. MR_E_ACCESS: not permitted; MR_E_BUSY: not ended after wait_us, or it is this process;
 * MR_E_INVALID: no number of a process. */
enum mr_status mr_posix_end_process(uint64_t pid, int64_t since_us, int64_t wait_us,
                                    struct mr_error *err) MR_MUST_USE;

#endif
