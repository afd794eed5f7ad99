/* log_read.h - reads a state directory as it is: for tools, never for a job.
 *
 * Takes no lock, raises no fence, writes nothing. It gives the state at the end of the last complete
 * epoch (or of an earlier one that is still there) as a sequence of entries: PUT, TIMER_SET and VALUE
 * in the order of entry_order.h, each thing once. Keyed entries come without the range of the
 * instance that sealed them: what is read does not depend on how many instances there were.
 *
 * A job may be writing all the while. Base files are opened before anything is read, so that they
 * can be read after a compaction removed their names; the epochs since then are read into memory,
 * and if META changed meanwhile everything is looked at again. What looks like damage behind an
 * epoch is taken for a writer at work when a second look gets farther.
 *
 *     MR_RET(mr_log_reader_open(heap, &options, &reader, err));
 *     for (;;) {
 *         MR_GOTO(mr_log_reader_next(reader, &operator_id, &entry, err));
 *         if (operator_id == NULL) break;
 *         ...
 *     }
 *
 * Owns:    its open files; what was written since the last compaction, in memory.
 * Thread:  confined. Blocks.
 * Fails:   MR_E_NOT_FOUND (no state directory; no such epoch), MR_E_CORRUPT, MR_E_UNSUPPORTED with
 *          file, offset and what to do; MR_E_BUSY when a writer was faster a hundred times.
 * Cost:    one pass over the base files, two over what came since.
 */
#ifndef MR_STATE_LOG_READ_H
#define MR_STATE_LOG_READ_H

#include "port/disk.h"
#include "state/store.h"

struct mr_log_read_options {
    struct mr_disk *disk;
    const char *dir;
    uint64_t epoch;    /* the state at the end of this one; 0: of the last complete one */
    size_t tidy_bytes; /* see entry_set.h; 0: 64 MiB */
};

/* What one attempt wrote since the last compaction. */
struct mr_log_attempt {
    uint64_t fence;
    uint64_t first_epoch; /* 0: it has completed none */
    uint64_t last_epoch;
    uint64_t epoch_count;
    uint64_t bytes; /* of its complete epochs */
};

struct mr_log_info {
    uint64_t job_hash;
    uint64_t fence;      /* of the last attempt that opened the directory */
    uint64_t attempt;    /* its number */
    uint64_t epoch;      /* what is read is the state at its end; 0: there is none yet */
    uint64_t last_epoch; /* the last complete one */
    uint64_t base_epoch; /* base files are the state at the end of this one; 0: none */
    uint64_t base_bytes;
    uint64_t base_entries;
    uint32_t base_files;
    uint32_t attempt_count;
    const struct mr_log_attempt *attempts; /* the reader's */
};

struct mr_log_reader;
enum mr_status mr_log_reader_open(struct mr_heap *heap, const struct mr_log_read_options *options,
                                  struct mr_log_reader **out, struct mr_error *err) MR_MUST_USE;
void mr_log_reader_close(struct mr_log_reader *reader); /* NULL is allowed */
const struct mr_log_info *mr_log_reader_info(const struct mr_log_reader *reader);
/* *out_operator NULL: that was all. What comes is valid until the next call. */
enum mr_status mr_log_reader_next(struct mr_log_reader *reader, const char **out_operator,
                                  struct mr_entry *out, struct mr_error *err) MR_MUST_USE;

/* A file of the directory that tools know by its name, such as JOB. *out is the heap's: freed with
 * its size (out->size_bytes); no such file: empty. */
enum mr_status mr_state_file_read(struct mr_heap *heap, struct mr_disk *disk, const char *dir,
                                  const char *name, struct mr_bytes *out,
                                  struct mr_error *err) MR_MUST_USE;

#endif
