/* connect.h - the built-in sources and sinks: constructors of specs.
 *
 * Each constructor copies its options, checks them, and gives {ops, spec}. Destroy the spec through
 * ops->destroy.
 *
 * Owns:    as source.h and sink.h say.
 * Thread:  constructors: one thread.
 * Fails:   MR_E_INVALID with the option's name; MR_E_NOMEM. Files are looked at in `plan`, not
 *          here.
 * Cost:    cold.
 */
#ifndef MR_CONNECT_CONNECT_H
#define MR_CONNECT_CONNECT_H

#include "connect/sink.h"
#include "connect/source.h"

struct mr_source {
    const struct mr_source_ops *ops; /* NULL: none */
    void *spec;
    struct mr_schema *schema; /* one reference */
};
struct mr_sink {
    const struct mr_sink_ops *ops;
    void *spec;
};

/* Lines of text. `path`: a file, a glob (* ? [..] in the last or any part), a directory (its
 * files in name order, hidden ones left out), or `-` for stdin. Compression by content (gzip and
 * zstd magic), not by name.
 * Schema: one column `line` (utf8, or binary when `binary`). A line ends at \n; a \r before it goes
 * with it; a last line without \n counts. utf8: malformed UTF-8 rejects the row. Lines longer than
 * MR_TEXT_BYTES_MAX reject the row. */
struct mr_text_options {
    const char *path;
    bool binary;
    bool pieces; /* a longer line is cut at white space (which is dropped) instead of rejected */
};
enum mr_status mr_text_source(struct mr_heap *heap, const struct mr_text_options *options,
                              struct mr_source *out, struct mr_error *err) MR_MUST_USE;

/* CSV by RFC 4180. With a header columns are found by name (a missing one is an error that names
 * file and columns; surplus ones are ignored); without, by position. */
struct mr_csv_options {
    const char *path;
    const struct mr_field *fields;
    uint32_t field_count;
    char delimiter; /* 0: ',' */
    bool no_header;
    const char *const *null_literals; /* besides the empty unquoted field; NULL: none */
    uint32_t null_literal_count;
};
enum mr_status mr_csv_source(struct mr_heap *heap, const struct mr_csv_options *options,
                             struct mr_source *out, struct mr_error *err) MR_MUST_USE;

/* Rows made from numbers, for tests and demos: `n` int64 0..rows-1 (UINT64_MAX: no end), `ts`
 * timestamp_ltz = start + n * step, `key` int64 in [0, keys) and `value` int64 in [0, 1000), both
 * from one 64-bit mix of (seed, n). Splits are ranges of n. */
struct mr_generator_options {
    uint64_t rows;
    int64_t start_us;
    int64_t step_us;
    uint64_t keys;
    uint64_t seed;
};
enum mr_status mr_generator_source(struct mr_heap *heap, const struct mr_generator_options *options,
                                   struct mr_source *out, struct mr_error *err) MR_MUST_USE;

enum mr_text_format { MR_FORMAT_AUTO, MR_FORMAT_TABLE, MR_FORMAT_CSV, MR_FORMAT_NDJSON };

/* Rows as text. `path` NULL or "-": stdout; a name: one file, written beside as a dot name and
 * renamed by commit; a name ending in '/': a directory of parts `part-00000.csv`, one per instance.
 * AUTO: table on a terminal, else csv. TABLE columns are sized from the first 1000 rows.
 *
 * With epochs (a writer's fence is not 0): the file appears when its last epoch is complete, parts
 * are `part-<instance>-<number>.csv` and appear one after the other, `_SUCCESS` at last
 * (connect/file/parts.h). Standard output, what lies in /dev and `stream` take nothing back: they
 * have no epochs. A table as a file is refused then. */
struct mr_format_options {
    const char *path;
    enum mr_text_format format;
    uint32_t number; /* of the job's sink, from 1: no two of a job share a temporary file */
    bool stream;     /* the path is known to be a pipe or device */
    uint64_t roll_bytes; /* with epochs a part is complete at this size (0: 128 MiB) */
    int64_t roll_us;     /* or age (0: 60 s) */
};
enum mr_status mr_format_sink(struct mr_heap *heap, const struct mr_format_options *options,
                              struct mr_sink *out, struct mr_error *err) MR_MUST_USE;
enum mr_status mr_blackhole_sink(struct mr_heap *heap, struct mr_sink *out,
                                 struct mr_error *err) MR_MUST_USE;

/* ---- topics: logs on this machine, written by one job and read by others (connect/log) ---- */

/* True for "log://...". */
bool mr_log_is_url(const char *path);
/* `path`: "log://DIR/topic" with options behind a `?`, as in docs/reference/formats.md. Each instance
 * writes a partition of its own. With epochs rows are visible when theirs is complete, without when
 * they are flushed. */
struct mr_log_sink_options {
    const char *path;
};
enum mr_status mr_log_sink(struct mr_heap *heap, const struct mr_log_sink_options *options,
                           struct mr_sink *out, struct mr_error *err) MR_MUST_USE;

/* Committed rows of a topic, a split per partition, in the order in which they were written there.
 * Ends with what is committed when the job is planned, or (`follow`) never. The topic must be there:
 * its schema is read through `disk`, which is not kept. */
struct mr_log_source_options {
    const char *path;
    bool follow;
    bool event_time;    /* rows come with the event time that they were written with */
    bool one_partition; /* only `partition` */
    uint32_t partition;
    uint64_t from_row;  /* number of the first row in each partition; 0: the oldest there is */
    uint64_t last_rows; /* or so many before the end of each partition, as it is when planned */
};
enum mr_status mr_log_source(struct mr_heap *heap, struct mr_disk *disk,
                             const struct mr_log_source_options *options, struct mr_source *out,
                             struct mr_error *err) MR_MUST_USE;
/* What is in a topic, for people. */
enum mr_status mr_log_info(struct mr_heap *heap, struct mr_disk *disk, const char *path,
                           struct mr_text *out, struct mr_error *err) MR_MUST_USE;

/* One value as the text sinks print it (null: empty for csv, `null` for ndjson, NULL for table). */
void mr_value_print(const struct mr_column *column, uint32_t element, enum mr_text_format format,
                    struct mr_text *out);

/* Where bad records go with --on-error dead-letter=PATH: NDJSON lines {file, line, column,
 * offset, reason, raw} (raw as text when valid UTF-8, else raw_base64). Locked inside: any
 * thread may add; `disk` must serve nothing else meanwhile. */
struct mr_dead_letter;
enum mr_status mr_dead_letter_open(struct mr_heap *heap, struct mr_disk *disk, const char *path,
                                   struct mr_dead_letter **out, struct mr_error *err) MR_MUST_USE;
enum mr_status mr_dead_letter_add(struct mr_dead_letter *letters, const struct mr_reject *reject,
                                  struct mr_error *err) MR_MUST_USE;
/* Syncs and renames into place; NULL allowed. *out_blocked: the reader of a pipe is slow, call again
 * later. Without it close removes the temporary file. */
enum mr_status mr_dead_letter_commit(struct mr_dead_letter *letters, bool *out_blocked,
                                     struct mr_error *err) MR_MUST_USE;
void mr_dead_letter_close(struct mr_dead_letter *letters);

#endif
