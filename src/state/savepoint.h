/* savepoint.h - state in a form that its user owns: sorted, canonical, complete in one directory.
 *
 * A savepoint holds what a state directory holds at the end of one epoch, and nothing of how it came
 * there: the same state gives the same bytes, whatever the number of workers and the table layout.
 * It is a directory of part files (base files of fence 0) and of SAVEPOINT, which names them, says
 * which operators and states they hold, and carries the description of the job. SAVEPOINT is written
 * last: without it a directory is an unfinished savepoint, and is refused.
 *
 *     MR_RET(mr_savepoint_begin(heap, &options, &writer, err));
 *     ... MR_GOTO(mr_savepoint_add(writer, operator_id, &entry, err)); ...
 *     MR_GOTO(mr_savepoint_finish(writer, err));
 *   done: mr_savepoint_end(writer);
 *
 * A running job makes one by completing an epoch and copying its own state directory, which
 * mr_log_reader reads beside it; or from full seals (options.sorted false).
 *
 * Owns:    writer: its files until the end; reader: its file and what mr_savepoint_info points to.
 * Thread:  confined. Blocks.
 * Fails:   writing: MR_E_INVALID (the directory is not empty; entries not in order), what the disk
 *          says. Reading: MR_E_NOT_FOUND, MR_E_CORRUPT, MR_E_UNSUPPORTED with file and offset.
 * Cost:    one pass. Sorted: a block of memory; unsorted: all entries in memory.
 */
#ifndef MR_STATE_SAVEPOINT_H
#define MR_STATE_SAVEPOINT_H

#include "state/epoch_log.h"

struct mr_savepoint_options {
    struct mr_disk *disk;
    const char *dir; /* made if missing; must be empty; copied */
    uint64_t job_hash;
    uint64_t epoch;
    uint32_t key_group_count; /* 0: not known */
    struct mr_bytes job;      /* description of the job, as JOB of a state directory has it; may be
                               * empty; copied */
    uint64_t part_bytes;      /* a part is at most about this long; 0: 256 MiB */
    bool sorted; /* entries come as mr_log_reader gives them; else in the order of their
                               * seals, any kind, and wait in memory */
};

struct mr_savepoint_writer;
enum mr_status mr_savepoint_begin(struct mr_heap *heap, const struct mr_savepoint_options *options,
                                  struct mr_savepoint_writer **out,
                                  struct mr_error *err) MR_MUST_USE;
/* Also an mr_log_entry_fn. */
enum mr_status mr_savepoint_add(void *writer, const char *operator_id, const struct mr_entry *entry,
                                struct mr_error *err) MR_MUST_USE;
/* Writes the rest, then SAVEPOINT; all of it is durable afterwards. Not after a failure. */
enum mr_status mr_savepoint_finish(struct mr_savepoint_writer *writer,
                                   struct mr_error *err) MR_MUST_USE;
/* Without a finish that went well the files are removed. NULL is allowed. */
void mr_savepoint_end(struct mr_savepoint_writer *writer);

/* ---- reading ---- */

/* One state of one operator. */
struct mr_savepoint_state {
    const char *operator_id;
    const char *state_name; /* "": timers and operator values */
    uint64_t keys;
    uint64_t timers;
    uint64_t values;
    uint64_t key_bytes; /* of all three */
    uint64_t value_bytes;
};

struct mr_savepoint_info {
    uint64_t job_hash;
    uint64_t epoch;
    uint32_t key_group_count;
    uint32_t part_count;
    uint64_t entry_count;
    uint64_t bytes; /* of the parts */
    uint32_t state_count;
    const struct mr_savepoint_state *states; /* in order */
    struct mr_bytes job;
};

struct mr_savepoint_reader;
enum mr_status mr_savepoint_open(struct mr_heap *heap, struct mr_disk *disk, const char *dir,
                                 struct mr_savepoint_reader **out,
                                 struct mr_error *err) MR_MUST_USE;
void mr_savepoint_close(struct mr_savepoint_reader *reader); /* NULL is allowed */
const struct mr_savepoint_info *mr_savepoint_info(const struct mr_savepoint_reader *reader);
/* *out_operator NULL: that was all, and it was what was written. Valid until the next call. */
enum mr_status mr_savepoint_next(struct mr_savepoint_reader *reader, const char **out_operator,
                                 struct mr_entry *out, struct mr_error *err) MR_MUST_USE;
/* All of them. What `visit` was given is to be forgotten when this fails. */
enum mr_status mr_savepoint_visit(struct mr_savepoint_reader *reader, mr_log_entry_fn visit,
                                  void *self, struct mr_error *err) MR_MUST_USE;

#endif
