/* job_file.h - whose state a directory holds: the file JOB, lines of text for people and programs.
 *
 * Written once, when the directory is new; every later run compares. A line is a word that says what it
 * is about, an id, and the rest:
 *
 *     millrace job 1
 *     name flights
 *     groups 1024
 *     operator aggregate-1 aggregate count(*) by origin ...
 *     input source-1 0+2481495 flights.csv
 *     end 6a31c9f0                       (CRC-32C of what stands before this line)
 *
 * Owns:    nothing.
 * Thread:  confined to the disk.
 * Fails:   MR_E_CHANGED with what differs: both lists of operators, or the input by name;
 *          MR_E_CORRUPT for a damaged file.
 * Cost:    cold; linear in the lines.
 */
#ifndef MR_STATE_JOB_FILE_H
#define MR_STATE_JOB_FILE_H

#include "base/text.h"
#include "port/disk.h"

#define MR_JOB_FILE_HEAD "millrace job 1\n"

struct mr_job_file_options {
    const char *dir;
    const char *lines; /* everything but `end`, with MR_JOB_FILE_HEAD in front */
    bool allow_dropped; /* operators that are gone, or new, are no difference */
};
/* Compares with the file if there is one; *out_new: there was none. */
enum mr_status mr_job_file_check(struct mr_heap *heap, struct mr_disk *disk,
                                 const struct mr_job_file_options *options, bool *out_new,
                                 struct mr_error *err) MR_MUST_USE;
/* Writes it beside, syncs and renames. */
enum mr_status mr_job_file_write(struct mr_heap *heap, struct mr_disk *disk,
                                 const struct mr_job_file_options *options,
                                 struct mr_error *err) MR_MUST_USE;

#endif
