/* sim_files.h - a reader that watches a folder of output files all the time.
 *
 * Whenever a name that does not begin with a dot appears below SIM_OUTPUT_DIR, the file is read whole: it must
 * be whole lines of whole rows, each of them expected. When a name goes away or the run ends, the
 * file must still be what it was. Only a loss of power may take a name back.
 *
 * Owns:    what it remembers of files.
 * Thread:  confined.
 * Fails:   through sim_world_fail.
 * Cost:    every file is read twice.
 */
#ifndef MR_SIM_FILES_H
#define MR_SIM_FILES_H

#include "base/compiler.h"

#define SIM_OUTPUT_DIR "/out"

struct sim_files;
struct sim_inode;
struct sim_world;

struct sim_files *sim_files_create(void);
void sim_files_destroy(struct sim_files *files);
void sim_files_shown(struct sim_files *files, struct sim_world *world, const char *path,
                     const struct sim_inode *inode);
void sim_files_gone(struct sim_files *files, struct sim_world *world, const char *path,
                    const struct sim_inode *inode);
/* The job is over. */
void sim_files_end(const struct sim_files *files, struct sim_world *world);

#endif
