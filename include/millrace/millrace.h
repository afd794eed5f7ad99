/* millrace.h - Millrace for C programmers: build a pipeline, run it, read what it did.
 *
 * A job is built from streams: sources make them, transforms turn one into another, sinks end them.
 * Nothing runs while a job is built. mr_job_run runs it to its end on threads of this process.
 *
 *     struct mr_job *job = mr_job_create("words", NULL);
 *     struct mr_stream *lines = mr_read_text(job, &(struct mr_read_text_options){.path = "in.txt"});
 *     struct mr_stream *words = mr_map_rows(lines, split_words, NULL, &word_options);
 *     struct mr_stream *keyed = mr_key_by_columns(words, (const char *[]){"word"}, 1);
 *     struct mr_aggregate count = {.name = "count", .function = "count"};
 *     mr_write(mr_aggregate(keyed, &count, 1), NULL);
 *     if (mr_job_run(job, NULL) != MR_OK) fprintf(stderr, "%s\n", mr_job_error(job));
 *     mr_job_destroy(job);
 *
 * Errors while building need not be checked call by call: the first one is kept in the job, every
 * later call on it does nothing, streams may be NULL, and mr_job_run reports it. mr_job_error has the
 * text: what went wrong, where, and what to do.
 *
 * Owns:    a job owns its streams and expressions; mr_job_destroy ends them all.
 * Thread:  a job is confined to one thread, except mr_job_cancel: any thread, any time before destroy
 *          (and from signal handlers).
 * Fails:   see enum mr_status in types.h.
 * Cost:    building: microseconds per call.
 */
#ifndef MILLRACE_MILLRACE_H
#define MILLRACE_MILLRACE_H

#include <millrace/function.h>
#include <millrace/process.h>
#include <millrace/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MR_VERSION_MAJOR 0
#define MR_VERSION_MINOR 1
#define MR_VERSION_PATCH 0

MR_API const char *mr_version(void); /* "0.1.0" */
MR_API const char *mr_status_name(enum mr_status status); /* "MR_E_RECORD" */
MR_API const char *mr_status_text(enum mr_status status); /* "a record of the input is malformed" */

struct mr_job;
struct mr_stream;
struct mr_expr;

/* ---- jobs ---- */

enum mr_mode { MR_MODE_AUTO, MR_MODE_BATCH, MR_MODE_STREAMING };
enum mr_on_error { MR_ON_ERROR_FAIL, MR_ON_ERROR_SKIP, MR_ON_ERROR_DEAD_LETTER };
enum mr_late { MR_LATE_DROP, MR_LATE_BY_SPLIT };
/* What a failure may do to results; see docs/concepts/guarantees.md. DEFAULT: exactly once with a
 * state directory, at most once without. */
enum mr_guarantee {
    MR_GUARANTEE_DEFAULT,
    MR_AT_MOST_ONCE,
    MR_AT_LEAST_ONCE,
    MR_EXACTLY_ONCE
};
/* CONTINUOUS: rows of the next epoch are read while the last one becomes visible. MICRO_BATCH: an
 * epoch begins when the one before it is visible, and epochs become visible in order. */
enum mr_commit_mode { MR_COMMIT_CONTINUOUS, MR_COMMIT_MICRO_BATCH };
/* The failure that a complete epoch survives: of the machine (its data has reached the device), or
 * of the process only. */
enum mr_durability { MR_DURABILITY_MACHINE, MR_DURABILITY_PROCESS };

/* Zero means the default everywhere. In this and all other structs with a `size`: set it to sizeof the
 * struct, so that it may grow in later versions; 0 stands for the fields of version 0.1, and less
 * than those is an error. */
struct mr_job_options {
    size_t size; /* sizeof(struct mr_job_options) */
    uint32_t workers;          /* engine threads; 0: one per core */
    enum mr_mode mode;         /* AUTO: batch if all input is bounded */
    size_t memory_bytes;       /* 0: half of the smaller of RAM and the cgroup's limit */
    enum mr_on_error on_error; /* what happens to bad records */
    const char *dead_letter_path; /* with MR_ON_ERROR_DEAD_LETTER, and only then */
    enum mr_late late;         /* by which watermark lateness is judged */
    bool no_two_stage;         /* planner switches, for experiments and tests */
    bool no_fusion;
    /* ---- with a state directory the job survives: the same job on it goes on where it was ---- */
    const char *state_dir; /* made if missing; NULL: nothing survives */
    enum mr_guarantee guarantee;
    enum mr_commit_mode commit;
    int64_t epoch_us; /* least time between two commits; 0: 100 ms */
    enum mr_durability durability;
    uint32_t restarts; /* how often an attempt that failed is begun again in this process */
    bool fresh;        /* forget what the directory holds; refused where output was committed */
    bool takeover;     /* end the process that holds the directory */
    const char *from; /* where there is no epoch yet: begin with the state of this savepoint */
    bool allow_dropped_state; /* stored state of operators that are gone is left out */
    uint64_t roll_bytes; /* a part of a directory of output is complete at this size (0: 128 MiB) */
    int64_t roll_us;     /* or age (0: 60 s) */
    /* ---- without a state directory: at least once, row by row ---- */
    bool track; /* a row that is not processed to the end is sent again; state is not durable */
    uint32_t track_pending;   /* rows under way per instance of a source; 0: 65,536 */
    int64_t track_timeout_us; /* a row of which nothing is heard is sent again; 0: 30 s */
};

/* NULL only when there is no memory at all. `options` NULL: defaults. */
MR_API struct mr_job *mr_job_create(const char *name, const struct mr_job_options *options);
MR_API void mr_job_destroy(struct mr_job *job); /* NULL allowed */

struct mr_summary {
    uint64_t rows_in;
    uint64_t rows_out;       /* handed to sinks: all of them, those of late and side outputs too */
    uint64_t rows_late;
    uint64_t rows_rejected;  /* bad records and rows that could not be computed */
    uint64_t rows_no_window; /* between hopping windows */
    uint64_t bytes_in;
    uint64_t bytes_out;
    int64_t elapsed_us;
    int64_t first_result_us; /* from the start of the run to the first row at a sink; -1: none */
    size_t peak_memory_bytes; /* resident set of the process */
    bool cancelled;
    /* with a state directory: */
    bool resumed;            /* state of an earlier run was found */
    bool was_finished;       /* and it had read all its input: nothing was done */
    bool stopped;            /* ended early with an epoch complete: the same job goes on from there */
    uint32_t attempts;       /* of this run: 1 and a restart each */
    uint64_t epochs;         /* completed in this run */
    uint64_t last_epoch;
    uint64_t changed_bytes;  /* keys and values sealed */
    uint64_t written_bytes;  /* to the state directory */
};

/* Checks, plans and runs. Returns when the input has ended, the job failed or was cancelled
 * (MR_E_CANCELLED). A job runs once. `out` may be NULL; it is filled on failure too. */
MR_API enum mr_status mr_job_run(struct mr_job *job, struct mr_summary *out);
/* Asks a running job (or one that will run) to end: files do not appear, temporary ones are
 * removed; what stdout and pipes were given is out. With a state directory it completes an epoch
 * first, and the same job goes on from there. Safe in signal handlers. */
MR_API void mr_job_cancel(struct mr_job *job);
/* The first error of building or running, "" if none. Valid until destroy. */
MR_API const char *mr_job_error(const struct mr_job *job);
MR_API enum mr_status mr_job_status(const struct mr_job *job);
/* Checks and plans without running; the text is the caller's to free() and NULL on failure. */
MR_API char *mr_job_explain(struct mr_job *job, bool as_dot);
/* Counters of every task as one JSON object, after mr_job_run (NULL before). The caller's to
 * free(). */
MR_API char *mr_job_metrics_json(struct mr_job *job);

/* ---- expressions: made in a job, used in any number of its transforms, and of no other job's ----
 */

MR_API struct mr_expr *mr_col(struct mr_job *job, const char *name);
MR_API struct mr_expr *mr_int(struct mr_job *job, int64_t value);
MR_API struct mr_expr *mr_float(struct mr_job *job, double value);
MR_API struct mr_expr *mr_text(struct mr_job *job, const char *value); /* UTF-8; NULL: null */
MR_API struct mr_expr *mr_bool(struct mr_job *job, bool value);
MR_API struct mr_expr *mr_null(struct mr_job *job, enum mr_type type);
MR_API struct mr_expr *mr_interval(struct mr_job *job, int64_t us);
/* DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ from text: "2013-01-01T10:00:00Z". */
MR_API struct mr_expr *mr_time_literal(struct mr_job *job, enum mr_type type, const char *text);
MR_API struct mr_expr *mr_event_time(struct mr_job *job);
MR_API struct mr_expr *mr_window_start(struct mr_job *job); /* of a windowed row */
MR_API struct mr_expr *mr_window_end(struct mr_job *job);

/* Calls an operator or function by its name in docs/reference/expressions.md: "+", "<=", "and",
 * "is null", "coalesce", "substring", ... */
MR_API struct mr_expr *mr_call_array(struct mr_job *job, const char *name,
                                     struct mr_expr *const *arguments, uint32_t count);
MR_API struct mr_expr *mr_call1(struct mr_job *job, const char *name, struct mr_expr *a);
MR_API struct mr_expr *mr_call2(struct mr_job *job, const char *name, struct mr_expr *a,
                                struct mr_expr *b);
MR_API struct mr_expr *mr_call3(struct mr_job *job, const char *name, struct mr_expr *a,
                                struct mr_expr *b, struct mr_expr *c);
/* CASE WHEN when[0] THEN then[0] ... ELSE otherwise END; otherwise NULL: null. */
MR_API struct mr_expr *mr_case(struct mr_job *job, struct mr_expr *const *when,
                               struct mr_expr *const *then, uint32_t count,
                               struct mr_expr *otherwise);
/* To any type but decimal, which has calls of its own. A value that does not fit: mr_cast fails the
 * row, mr_try_cast gives null. */
MR_API struct mr_expr *mr_cast(struct mr_job *job, struct mr_expr *a, enum mr_type type);
MR_API struct mr_expr *mr_cast_decimal(struct mr_job *job, struct mr_expr *a, uint8_t precision,
                                       uint8_t scale);
MR_API struct mr_expr *mr_try_cast(struct mr_job *job, struct mr_expr *a, enum mr_type type);
MR_API struct mr_expr *mr_try_cast_decimal(struct mr_job *job, struct mr_expr *a,
                                           uint8_t precision, uint8_t scale);

/* ---- sources ---- */

/* Lines of text files: one column `line`. Paths may be globs, directories or "-" (stdin); gzip and
 * zstd are recognised by content. */
struct mr_read_text_options {
    size_t size;
    const char *path;
    bool binary; /* any bytes: `line` is binary; otherwise it is utf8 and checked */
    uint32_t rate; /* rows per second; 0: as fast as possible */
    /* A line of more than 261,888 bytes is a bad record; with `pieces` it comes as several rows, cut at
     * white space: for whoever looks for words, not lines. */
    bool pieces;
};
MR_API struct mr_stream *mr_read_text(struct mr_job *job,
                                      const struct mr_read_text_options *options);

struct mr_read_csv_options {
    size_t size;
    const char *path;
    const struct mr_field *fields; /* columns to read; found by name when there is a header */
    uint32_t field_count;
    char delimiter; /* 0: ',' */
    bool no_header;
    const char *const *null_literals; /* besides the empty field, such as "NA" */
    uint32_t null_literal_count;
    uint32_t rate;
};
MR_API struct mr_stream *mr_read_csv(struct mr_job *job, const struct mr_read_csv_options *options);

/* Committed rows of a topic, a log on this machine that a job writes (mr_write to "log://DIR/topic") and
 * others read; columns are those of the topic. The path: "log://DIR/topic" or "DIR/topic". Reads what is
 * committed when the job starts, or with `follow` (or "?follow" in the path) also all that comes. Each
 * partition is in the order in which it was written. mr_read_csv and mr_read_text read topics too, by
 * the names of the columns. */
struct mr_read_log_options {
    size_t size;
    const char *path;
    bool follow;
    bool event_time; /* rows have the event time they were written with; the watermark is the largest
                      * one of the partition minus delay_us */
    int64_t delay_us;
    int64_t idle_us; /* as in mr_assign_event_time */
    uint32_t rate;
    bool one_partition; /* only `partition` */
    uint32_t partition;
    uint64_t from_row;  /* number of the first row; 0: the oldest that is kept */
    uint64_t last_rows; /* not 0: begin so many rows before the end of each partition */
};
MR_API struct mr_stream *mr_read_log(struct mr_job *job, const struct mr_read_log_options *options);

/* Rows out of nothing: columns n (int64), ts (timestamp_ltz), key and value (int64), none of them
 * null. The event time is ts; nothing is late. */
struct mr_generate_options {
    size_t size;
    uint64_t rows; /* 0: without end */
    int64_t start_us;
    int64_t step_us; /* 0: one millisecond */
    uint64_t keys;   /* 0: 1000 */
    uint64_t seed;
    uint32_t rate;
};
MR_API struct mr_stream *mr_generate(struct mr_job *job, const struct mr_generate_options *options);

/* An own source. `with_event_time`: every row is given its time by mr_emit_time, in ascending order
 * within a partition: the watermark follows without delay, so in streaming mode a row that goes
 * back may be late. For times out of order say by how much:
 * mr_assign_event_time(stream, mr_event_time(job), delay_us, 0), or emit them as a column. */
MR_API struct mr_stream *mr_read_source(struct mr_job *job, const char *id,
                                        const struct mr_source_functions *functions, void *user,
                                        const struct mr_field *fields, uint32_t field_count,
                                        bool with_event_time);

/* ---- transforms ---- */

/* Gives the operator that made this stream a stable id, unique in the job; needed where state is to survive a
 * change of the program. Returns its argument. */
MR_API struct mr_stream *mr_set_id(struct mr_stream *stream, const char *id);
/* Instances of the operator that made this stream; default: one per worker. */
MR_API struct mr_stream *mr_set_parallelism(struct mr_stream *stream, uint32_t instances);

/* Event times from an expression (timestamp, timestamp_ltz, or int64 microseconds), and watermarks:
 * the largest time seen in a split minus `delay_us`. idle_us: an input silent for so long does not
 * hold others back (0: it always does). */
MR_API struct mr_stream *mr_assign_event_time(struct mr_stream *in, struct mr_expr *time,
                                              int64_t delay_us, int64_t idle_us);
MR_API struct mr_stream *mr_filter(struct mr_stream *in, struct mr_expr *condition);
/* The output has exactly these columns. */
struct mr_named {
    const char *name;
    struct mr_expr *expr;
};
MR_API struct mr_stream *mr_project(struct mr_stream *in, const struct mr_named *columns,
                                    uint32_t count);
/* Functions in C; `fields` describe what they emit (NULL: the input's columns). */
struct mr_function_options {
    size_t size;
    const char *id;
    const struct mr_field *fields;
    uint32_t field_count;
    /* side outputs 1..side_count, see mr_side_output */
    const struct mr_field *const *side_fields;
    const uint32_t *side_field_counts;
    uint32_t side_count;
};
MR_API struct mr_stream *mr_map_rows(struct mr_stream *in, mr_row_fn function, void *user,
                                     const struct mr_function_options *options);
MR_API struct mr_stream *mr_map_batches(struct mr_stream *in, mr_batch_fn function, void *user,
                                        const struct mr_function_options *options);
MR_API struct mr_stream *mr_filter_rows(struct mr_stream *in, mr_row_filter_fn function, void *user);
/* Rows of all inputs, whose columns must be equal. */
MR_API struct mr_stream *mr_union(struct mr_stream *const *inputs, uint32_t count);

/* Keys and windows say how the next aggregate groups (a process function, see process.h, takes keys
 * too); they compute nothing themselves. Between them and it only filters and event times may
 * stand: before a project, a function, a union, a sort or a sink they have no effect, which is an
 * error. A second key or window replaces the first. Key columns of the output are named as given. */
MR_API struct mr_stream *mr_key_by(struct mr_stream *in, const struct mr_named *keys,
                                   uint32_t count);
MR_API struct mr_stream *mr_key_by_columns(struct mr_stream *in, const char *const *names,
                                           uint32_t count);
MR_API struct mr_stream *mr_window_tumbling(struct mr_stream *in, int64_t size_us);
MR_API struct mr_stream *mr_window_hopping(struct mr_stream *in, int64_t size_us,
                                           int64_t slide_us);
/* Rows less than gap_us apart (or exactly, when `touching_merge`) belong together. */
MR_API struct mr_stream *mr_window_session(struct mr_stream *in, int64_t gap_us,
                                           bool touching_merge);
/* These two belong to the window that was said before them, and need one. */
MR_API struct mr_stream *mr_window_offset(struct mr_stream *in, int64_t offset_us);
MR_API struct mr_stream *mr_allowed_lateness(struct mr_stream *in, int64_t lateness_us);

/* In C++ write `struct mr_aggregate`: there is a function of that name too. */
struct mr_aggregate {
    const char *name; /* output column */
    const char *function; /* "count", "sum", "min", "max", "avg", "first", "last"; NULL: user-defined */
    struct mr_expr *argument; /* needed, but for "count": NULL counts rows */
    /* user-defined (without `function` and `argument`); the table must live as long as the job: */
    const struct mr_aggregate_functions *user_functions;
    void *user;
    struct mr_field user_result; /* its type; the name is the one above */
    struct mr_expr *const *user_arguments; /* up to 4 */
    uint32_t user_argument_count;
};
/* Output: window_start and window_end (when windowed), the keys, the aggregates. No aggregates: the
 * distinct keys. */
MR_API struct mr_stream *mr_aggregate(struct mr_stream *in, const struct mr_aggregate *aggregates,
                                      uint32_t count);
/* Rows that came too late for every window of the aggregate that made this stream; same columns as
 * its input. They are counted whether or not this is used. */
MR_API struct mr_stream *mr_late_output(struct mr_stream *aggregated);
/* Side output 1, 2, ... of a function. */
MR_API struct mr_stream *mr_side_output(struct mr_stream *mapped, uint32_t output);

struct mr_sort_key {
    struct mr_expr *expr;
    bool descending; /* nulls are low: first, or last when descending */
};
/* The whole (bounded) input in order, or its first `limit` rows. */
MR_API struct mr_stream *mr_sort(struct mr_stream *in, const struct mr_sort_key *keys,
                                 uint32_t count);
MR_API struct mr_stream *mr_top(struct mr_stream *in, const struct mr_sort_key *keys,
                                uint32_t count, uint64_t limit);

/* ---- sinks ---- */

enum mr_format { MR_OUTPUT_AUTO, MR_OUTPUT_TABLE, MR_OUTPUT_CSV, MR_OUTPUT_NDJSON };
/* path NULL or "-": stdout. A name: that file, complete or not at all. A name ending in '/': a
 * directory of parts, new or empty. Every sink needs a path of its own, and so do the dead letters;
 * stdout and what lies in /dev may be shared, rows come there as they are ready. AUTO: a table on
 * a terminal, else csv. "log://DIR/topic[?partitions=N&segment=SIZE&retain=SIZE&retain-time=TIME]": a
 * topic, which is made when it is not there; each instance writes a partition. */
struct mr_write_options {
    size_t size;
    const char *path;
    enum mr_format format;
};
MR_API void mr_write(struct mr_stream *in, const struct mr_write_options *options);
MR_API void mr_discard(struct mr_stream *in); /* counts rows, keeps nothing */
MR_API void mr_write_sink(struct mr_stream *in, const char *id,
                          const struct mr_sink_functions *functions, void *user);

/* ---- jobs as commands ---- */

/* The options that every job's command line has: --workers, --memory, --mode, --output,
 * --output-format, --on-error, --late, --quiet, --explain, --metrics-json, --help; with
 * `needs_input` --input and --rate, with `watermark_delay` --watermark-delay; and those of
 * `options`. Names and help texts are static. */
enum mr_option_kind {
    MR_OPTION_FLAG,          /* no value */
    MR_OPTION_TEXT,
    MR_OPTION_NUMBER,        /* a whole number */
    MR_OPTION_DURATION,      /* 500ms, 10s, 1h30m, 2d: microseconds */
    MR_OPTION_BYTES,         /* 65536, 64MiB, 2GiB */
    MR_OPTION_CHOICE,        /* one of those in `argument`: "a|b|c" */
    MR_OPTION_FLAG_OR_CHOICE /* alone, or with one of them: --name, --name=a */
};
struct mr_command_option {
    const char *name; /* without the dashes */
    enum mr_option_kind kind;
    const char *argument; /* shown in the help: "FILE"; or the choices */
    const char *help;
    const char *default_text; /* parsed like a given value; NULL: none */
};
struct mr_command {
    size_t size;
    const char *name;    /* "flights" */
    const char *summary; /* one sentence */
    const char *example; /* a command line that works */
    bool needs_input;    /* --input is required; --rate is there too */
    const char *watermark_delay; /* default of --watermark-delay; NULL: it has no event time */
    const struct mr_command_option *options; /* besides the common ones */
    uint32_t option_count;
};
struct mr_arguments; /* parsed command line */
/* Any option by its name, "input" or an own one: the value given, else the default, else NULL. A
 * name that the command does not have is an error of the job. */
MR_API const char *mr_argument(const struct mr_arguments *arguments, const char *name);
/* Numbers, bytes, and durations in microseconds; 0 without value and default. */
MR_API int64_t mr_argument_number(const struct mr_arguments *arguments, const char *name);
/* True if the option was given. */
MR_API bool mr_argument_flag(const struct mr_arguments *arguments, const char *name);
/* Builds the pipeline; errors stay in the job. */
typedef void (*mr_build_fn)(struct mr_job *job, const struct mr_arguments *arguments);
/* A whole main(): parses options, builds, explains or runs, draws progress and the summary on stderr,
 * handles Ctrl-C, and returns the exit code (see docs/reference/exit-codes.md). */
MR_API int mr_command_run(const struct mr_command *command, mr_build_fn build, int argc,
                          char **argv);
/* Writes to the place that --output and --output-format name. */
MR_API void mr_write_output(struct mr_stream *in, const struct mr_arguments *arguments);
/* The file reading options of the command line: --input, --rate (0: as fast as possible). */
MR_API const char *mr_input_path(const struct mr_arguments *arguments);
MR_API uint32_t mr_input_rate(const struct mr_arguments *arguments);

#ifdef __cplusplus
}
#endif
#endif
