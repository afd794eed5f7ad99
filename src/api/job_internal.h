/* job_internal.h - what the handles of the public interface stand for.
 *
 * Owns:    a job owns its model (and with it expressions and stream handles), its sources and sinks.
 * Thread:  confined, except `cancelled` and `runner` (written under the lock of running).
 * Fails:   the first error is kept; later calls see job->error.status != MR_OK and do nothing.
 * Cost:    cold.
 */
#ifndef MR_API_JOB_INTERNAL_H
#define MR_API_JOB_INTERNAL_H

#include "connect/connect.h"
#include "model/model.h"
#include "plan/plan.h"
#include "port/posix/posix.h"
#include "runtime/runner.h"
#include <millrace/millrace.h>

#define MR_JOB_SOURCES_MAX 256u
#define MR_JOB_SINKS_MAX 256u

/* Seams for tests: another world and other sizes for the same job. NULL in a real process. */
struct mri_job_hooks {
    const struct mr_port *port; /* instead of the process's; NULL: keep it */
    /* Drives the runner to its end instead of threads; NULL: threads. */
    void (*drive)(void *self, struct mr_runner *runner);
    void *self;
    size_t quota_bytes;      /* per channel; 0: default */
    size_t task_quota_bytes;
    uint32_t ring_slots;
    uint32_t batch_rows;
    uint64_t segment_bytes; /* of the epoch log; 0: default */
    bool no_pruning;
    bool trace;
    uint64_t trace_hash; /* out */
};

struct mr_job {
    struct mr_heap *heap; /* the process's, bounded by --memory */
    struct mr_port port;
    bool port_ready;
    char *name;
    struct mr_job_options options;
    char *dead_letter_path;
    char *state_dir;
    char *from;
    struct mr_error error;
    struct mr_model *model;
    uint32_t source_count;
    struct mr_source sources[MR_JOB_SOURCES_MAX];
    uint32_t source_nodes[MR_JOB_SOURCES_MAX];
    uint32_t sink_count;
    struct mr_sink sinks[MR_JOB_SINKS_MAX];
    uint32_t sink_nodes[MR_JOB_SINKS_MAX];
    const char *sink_files[MR_JOB_SINKS_MAX]; /* as mri_file_key gives it; NULL: no file */
    bool ran;
    bool is_command; /* whoever reads the errors knows options, not fields of structs */
    struct mri_job_hooks *hooks;
    _Atomic bool cancelled;
    _Atomic(struct mr_runner *) runner; /* while running; for cancel and progress */
    char *metrics; /* JSON, after a run */
    size_t metrics_bytes;
    /* Called about ten times a second while the job runs; NULL: nobody looks. */
    void (*watch)(void *self, struct mr_job *job, const struct mr_runner *runner,
                  uint64_t total_bytes, bool bounded);
    void *watch_self;
    /* A line for whoever started the job, before or while it runs; NULL: nobody listens. */
    void (*listen)(void *self, const char *text);
    void *listen_self;
};

struct mr_stream {
    struct mr_job *job;
    struct mr_stream_ref ref;
    uint32_t key_count;
    struct mr_expr **keys;
    const char **key_names;
    struct mr_window_spec window;
    bool windowed;
};

/* True if the job can go on being built. */
bool mri_job_ok(const struct mr_job *job);
void mri_notify(const struct mr_job *job, const char *format, ...) MR_PRINTF(2, 3);
/* Keeps the first error. */
enum mr_status mri_job_fail(struct mr_job *job, const struct mr_error *err);
enum mr_status mri_job_invalid(struct mr_job *job, const char *format, ...) MR_PRINTF(2, 3);
struct mr_stream *mri_stream_new(struct mr_job *job, uint32_t node, uint32_t output);
/* Adds a node and gives a stream of its output 0; NULL after an error. */
struct mr_stream *mri_add(struct mr_job *job, const struct mr_node *node);
/* Takes the source over, even on failure. */
struct mr_stream *mri_add_source(struct mr_job *job, struct mr_source *source, const char *id,
                                 bool event_time, uint32_t rate);
/* `path`: the file that the sink writes, or NULL. */
void mri_add_sink(struct mr_stream *in, struct mr_sink *sink, const char *id, const char *path);
/* Refuses a stream whose keys or window would be lost in `node`, which is no aggregate. */
bool mri_grouping_used(const struct mr_stream *in, uint32_t node);
/* True if the expression can be used in this job; otherwise the error says `where` it is not. */
bool mri_expr_ok(struct mr_job *job, const struct mr_expr *expr, const char *where, ...)
    MR_PRINTF(3, 4);
bool mri_fields_ok(struct mr_job *job, const char *where, const struct mr_field *fields,
                   uint32_t count);
/* Structs of options begin with their size and grow at their end. Copies what the caller knows of
 * `from` (NULL: nothing) into `out`; the rest is zero. `first_bytes`: the fields of version 0.1,
 * for size 0 and as the least. A new field must not lie in the padding at the end of the last. */
bool mri_options_copy(struct mr_job *job, const char *type, const void *from, size_t first_bytes,
                      void *out, size_t out_bytes);
#define MRI_END_OF(type, field) (offsetof(type, field) + sizeof ((type *)0)->field)
void mri_describe(void *self, const struct mr_node *node, struct mr_text *out);
bool mri_schema(struct mr_job *job, const struct mr_field *fields, uint32_t count,
                struct mr_schema **out);

#endif
