/* crash_note.h - a record that ends the process, found by halving the batch it is in.
 *
 * The file CRASH of a state directory says how many rows were let in last, and a signal handler marks it
 * when the process dies of its own doing (SIGSEGV, SIGABRT, ...). A process that was killed from outside
 * leaves no mark: nothing is concluded from that. After a marked death the next run lets in a limited
 * batch at a time, half as many after each further one, until one row is left: then the policy for bad
 * records applies to it, and that decision is part of the next epoch.
 *
 * Owns:    the open file; the handlers while it is open.
 * Thread:  open and close: one; note: the coordinator's; the handler: any.
 * Fails:   never: without the file the job runs, and a record that kills it is not found.
 * Cost:    one small write per batch while the search goes on, none else.
 */
#ifndef MR_API_CRASH_NOTE_H
#define MR_API_CRASH_NOTE_H

#include "base/compiler.h"

struct mri_crash_note {
    int file;      /* -1: not open */
    uint64_t rows; /* this run lets in so many at a time; 0: no limit, nothing happened */
    bool poison;   /* the next row has ended the process when it was alone */
    bool begun;    /* a batch was let in */
};

void mri_crash_note_open(struct mri_crash_note *note, const char *dir);
/* Before a batch: how many rows it has at most. self: the note. With the second one the first is
 * complete, and the record that was found is not the next one any more. */
void mri_crash_note_batch(void *self, uint64_t rows);
/* An ended run; a note that is not open is allowed. `failed`: a record that was found and ended the job by
 * the policy is still there in the next run. */
void mri_crash_note_close(struct mri_crash_note *note, bool failed);

#endif
