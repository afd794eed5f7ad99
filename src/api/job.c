#include "job_internal.h"

#include "base/assert.h"
#include "base/status.h"
#include "run.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *mr_version(void)
{
    return MR_VERSION_TEXT;
}

/* ---- errors ---- */

bool mri_job_ok(const struct mr_job *job)
{
    return job != NULL && job->error.status == MR_OK;
}

/* True if the option is spoken of in the text, outside of a record that is quoted there. */
static bool mentions(const char *text, const char *option)
{
    static const char record[] = "\n  record: ";
    const char *quoted = strstr(text, record);
    const char *behind = quoted == NULL ? NULL : strchr(quoted + sizeof record - 1, '\n');
    size_t size = strlen(option);

    for (const char *at = strstr(text, option); at != NULL; at = strstr(at + size, option)) {
        if (at[size] == '-' || (at[size] >= 'a' && at[size] <= 'z')) continue;
        if (quoted == NULL || at < quoted || (behind != NULL && at > behind)) return true;
    }
    return false;
}

/* Texts everywhere speak of the options of a command line. Who calls the library sets fields: which
 * ones is said here, once for all. */
static void add_fields(struct mr_error *err)
{
    static const struct {
        const char *option, *field;
    } known[] = {{"--mode", "mode"},         {"--workers", "workers"}, {"--memory", "memory_bytes"},
                 {"--on-error", "on_error"}, {"--late", "late"}};
    const char *text = err->text;
    char note[256];
    size_t size = 0, used = strlen(text);

    for (size_t i = 0; i < MR_COUNT(known); i++) {
        if (!mentions(text, known[i].option)) continue;
        size += (size_t)snprintf(note + size, sizeof note - size, "%s%s is .%s",
                                 size == 0 ? "" : ", ", known[i].option, known[i].field);
    }
    if (size == 0 || size >= sizeof note) return;
    if (strstr(text, "dead-letter=PATH") != NULL) {
        size += (size_t)snprintf(note + size, sizeof note - size, " and .dead_letter_path");
    }
    if (used + size + 64 > sizeof err->text) return; /* half a hint is none */
    snprintf(err->text + used, sizeof err->text - used, "\n  (in struct mr_job_options: %s)", note);
}

enum mr_status mri_job_fail(struct mr_job *job, const struct mr_error *err)
{
    if (job->error.status == MR_OK) {
        job->error = *err;
        if (!job->is_command) add_fields(&job->error);
    }
    return job->error.status;
}

enum mr_status mri_job_invalid(struct mr_job *job, const char *format, ...)
{
    struct mr_error err = {.status = MR_E_INVALID};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(err.text, sizeof err.text, format, arguments);
    va_end(arguments);
    return mri_job_fail(job, &err);
}

const char *mr_job_error(const struct mr_job *job)
{
    return job == NULL ? "there is no job (out of memory)" : job->error.text;
}

enum mr_status mr_job_status(const struct mr_job *job)
{
    return job == NULL ? MR_E_NOMEM : job->error.status;
}

/* ---- life ---- */

bool mri_options_copy(struct mr_job *job, const char *type, const void *from, size_t first_bytes,
                      void *out, size_t out_bytes)
{
    size_t size = 0;

    memset(out, 0, out_bytes);
    if (from == NULL) return true;
    memcpy(&size, from, sizeof size);
    if (size == 0) size = first_bytes;
    if (size < first_bytes || size > 4096) {
        mri_job_invalid(job, "options.size is %zu: set it to sizeof(struct %s)", size, type);
        return false;
    }
    memcpy(out, from, MR_MIN(size, out_bytes));
    return true;
}

void mri_notify(const struct mr_job *job, const char *format, ...)
{
    char text[MR_ERROR_TEXT_BYTES + 128];
    va_list arguments;

    if (job->listen == NULL) return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    job->listen(job->listen_self, text);
}

static void check_options(struct mr_job *job)
{
    const struct mr_job_options *options = &job->options;
    bool letters = options->on_error == MR_ON_ERROR_DEAD_LETTER;

    if (options->workers > 1024) {
        mri_job_invalid(job, "%u workers; at most 1024", options->workers);
    } else if ((unsigned)options->mode > MR_MODE_STREAMING) {
        mri_job_invalid(job, "mr_job_create: there is no mode %d", (int)options->mode);
    } else if ((unsigned)options->on_error > MR_ON_ERROR_DEAD_LETTER) {
        mri_job_invalid(job, "mr_job_create: there is no on_error %d", (int)options->on_error);
    } else if ((unsigned)options->late > MR_LATE_BY_SPLIT) {
        mri_job_invalid(job, "mr_job_create: there is no late %d", (int)options->late);
    } else if ((unsigned)options->guarantee > MR_EXACTLY_ONCE ||
               (unsigned)options->commit > MR_COMMIT_MICRO_BATCH ||
               (unsigned)options->durability > MR_DURABILITY_PROCESS) {
        mri_job_invalid(job, "mr_job_create: guarantee, commit or durability has a value that does "
                             "not exist");
    } else if (options->epoch_us < 0 || options->roll_us < 0) {
        mri_job_invalid(job, "mr_job_create: epoch_us and roll_us must not be negative");
    } else if (options->state_dir != NULL && *options->state_dir == '\0') {
        mri_job_invalid(job, "mr_job_create: state_dir is empty");
    } else if (letters && (options->dead_letter_path == NULL || *options->dead_letter_path == 0)) {
        mri_job_invalid(job, "mr_job_create: MR_ON_ERROR_DEAD_LETTER needs a dead_letter_path");
    } else if (!letters && options->dead_letter_path != NULL) {
        mri_job_invalid(job, "mr_job_create: dead_letter_path has no effect without "
                             "on_error = MR_ON_ERROR_DEAD_LETTER");
    }
}

static void start_job(struct mr_job *job, const char *name)
{
    struct mr_error err = {.status = MR_OK};
    uint32_t workers = job->options.workers;
    bool lacks_memory = false;

    if (workers == 0) workers = mr_posix_cores();
    job->options.workers = MR_MIN(workers, 1024u);
    /* One parking place more: for the coordinator of epochs. */
    if (mr_posix_port_init(&job->port, job->options.memory_bytes, job->options.workers + 1,
                           &err) != MR_OK) {
        mri_job_fail(job, &err);
        return;
    }
    job->port_ready = true;
    if (job->options.durability == MR_DURABILITY_PROCESS) mr_posix_port_skip_syncs(&job->port);
    job->heap = job->port.heap;
    job->options.memory_bytes = job->heap->limit_bytes;
    job->name = mr_strdup(job->heap, name == NULL ? "job" : name);
    if (job->options.dead_letter_path != NULL) {
        job->dead_letter_path = mr_strdup(job->heap, job->options.dead_letter_path);
    }
    if (job->options.state_dir != NULL) {
        job->state_dir = mr_strdup(job->heap, job->options.state_dir);
        lacks_memory |= job->state_dir == NULL;
        job->options.state_dir = job->state_dir;
    }
    if (job->options.from != NULL) {
        job->from = mr_strdup(job->heap, job->options.from);
        lacks_memory |= job->from == NULL;
        job->options.from = job->from;
    }
    if (job->name == NULL || lacks_memory ||
        (job->dead_letter_path == NULL && job->options.dead_letter_path != NULL)) {
        mr_error_nomem(&err, "a job", sizeof *job);
        mri_job_fail(job, &err);
        return;
    }
    if (mr_model_create(job->heap, &job->model, &err) != MR_OK) mri_job_fail(job, &err);
}

struct mr_job *mr_job_create(const char *name, const struct mr_job_options *options)
{
    /* The one allocation outside the job's heap: the heap lives in it. */
    struct mr_job *job = calloc(1, sizeof *job);

    if (job == NULL) return NULL;
    if (mri_options_copy(job, "mr_job_options", options,
                         MRI_END_OF(struct mr_job_options, no_fusion), &job->options,
                         sizeof job->options)) {
        check_options(job);
    }
    start_job(job, name);
    return job;
}

void mr_job_destroy(struct mr_job *job)
{
    if (job == NULL) return;
    mr_model_destroy(job->model);
    for (uint32_t i = 0; i < job->source_count; i++) {
        job->sources[i].ops->destroy(job->sources[i].spec);
        mr_schema_release(job->sources[i].schema);
    }
    for (uint32_t i = 0; i < job->sink_count; i++) job->sinks[i].ops->destroy(job->sinks[i].spec);
    if (job->port_ready) {
        mr_strfree(job->heap, job->name);
        mr_strfree(job->heap, job->dead_letter_path);
        mr_strfree(job->heap, job->state_dir);
        mr_strfree(job->heap, job->from);
        mr_free(job->heap, job->metrics, job->metrics_bytes);
        mr_posix_port_fini(&job->port);
    }
    free(job);
}

/* ---- building blocks ---- */

struct mr_stream *mri_stream_new(struct mr_job *job, uint32_t node, uint32_t output)
{
    struct mr_stream *stream = mr_arena_zero(&job->model->arena, sizeof *stream);
    struct mr_error err;

    if (stream == NULL) {
        mr_error_nomem(&err, "a stream", sizeof *stream);
        mri_job_fail(job, &err);
        return NULL;
    }
    stream->job = job;
    stream->ref = (struct mr_stream_ref){node, output};
    return stream;
}

struct mr_stream *mri_add(struct mr_job *job, const struct mr_node *node)
{
    struct mr_error err = {.status = MR_OK};
    uint32_t ordinal;

    if (mr_model_add(job->model, node, &ordinal, &err) != MR_OK) {
        mri_job_fail(job, &err);
        return NULL;
    }
    return mri_stream_new(job, ordinal, 0);
}

struct mr_stream *mri_add_source(struct mr_job *job, struct mr_source *source, const char *id,
                                 bool event_time, uint32_t rate)
{
    struct mr_node node = {.kind = MR_NODE_SOURCE, .id = id, .output_count = 1};
    struct mr_stream *stream;

    if (job->source_count == MR_JOB_SOURCES_MAX) {
        source->ops->destroy(source->spec);
        mr_schema_release(source->schema);
        mri_job_invalid(job, "a job has at most %u sources", MR_JOB_SOURCES_MAX);
        return NULL;
    }
    job->sources[job->source_count++] = *source;
    node.outputs[0] = source->schema;
    node.u.source.ops = source->ops;
    node.u.source.spec = source->spec;
    node.u.source.bounded_hint = true;
    node.u.source.makes_event_time = event_time;
    node.u.source.rate_rows_per_s = rate;
    stream = mri_add(job, &node);
    if (stream != NULL) job->source_nodes[job->source_count - 1] = stream->ref.node;
    return stream;
}

bool mri_grouping_used(const struct mr_stream *in, uint32_t node)
{
    const struct mr_node *next = in->job->model->nodes[node];

    if (in->key_count == 0 && !in->windowed) return true;
    mri_job_invalid(in->job,
                    "%s before '%s' has no effect: keys and windows say how the next mr_aggregate "
                    "groups, and only filters and event times may stand between; aggregate first, "
                    "or leave %s out",
                    in->key_count == 0 ? "the window" : in->windowed ? "mr_key_by and the window"
                                                                     : "mr_key_by",
                    next->id, in->key_count != 0 && in->windowed ? "them" : "it");
    return false;
}

/* ---- files that sinks write ---- */

/* The path from the root, without empty parts and dots, so that names of one file compare equal; in
 * the arena. Not looked up: a link is another name. *out NULL: no file of its own. */
static bool file_key(struct mr_job *job, const char *path, const char **out)
{
    char folder[4096] = "";
    struct mr_error err;
    char *end;
    size_t size = 0;

    *out = NULL;
    if (path == NULL || strcmp(path, "-") == 0 || strncmp(path, "/dev/", 5) == 0) return true;
    if (path[0] != '/' && getcwd(folder, sizeof folder) == NULL) folder[0] = '\0';
    size = strlen(folder);
    end = mr_arena_alloc(&job->model->arena, size + strlen(path) + 2);
    if (end == NULL) {
        mr_error_nomem(&err, "a sink", size + strlen(path) + 2);
        mri_job_fail(job, &err);
        return false;
    }
    *out = end;
    memcpy(end, folder, size);
    end += size;
    *end++ = '/';
    for (; *path != '\0'; path += size) {
        path += strspn(path, "/");
        size = strcspn(path, "/");
        if (size == 0 || (size == 1 && path[0] == '.')) continue;
        memcpy(end, path, size);
        end += size;
        *end++ = '/';
    }
    end[-1] = '\0'; /* a folder of parts and a file of its name are one place */
    return true;
}

/* Two sinks with one file would each replace what the other has written. */
static bool file_free(struct mr_job *job, const char *path, const char **out_key)
{
    const char *letters, *key;

    if (!file_key(job, path, &key) || !file_key(job, job->dead_letter_path, &letters)) return false;
    *out_key = key;
    if (key == NULL) return true;
    if (letters != NULL && strcmp(letters, key) == 0) {
        mri_job_invalid(job, "'%s' is already written by the dead letters: every sink needs a path "
                             "of its own",
                        path);
        return false;
    }
    for (uint32_t i = 0; i < job->sink_count; i++) {
        if (job->sink_files[i] == NULL || strcmp(job->sink_files[i], key) != 0) continue;
        mri_job_invalid(job, "'%s' is already written by '%s': every sink needs a path of its own",
                        path, job->model->nodes[job->sink_nodes[i]]->id);
        return false;
    }
    return true;
}

void mri_add_sink(struct mr_stream *in, struct mr_sink *sink, const char *id, const char *path)
{
    struct mr_stream_ref ref = in->ref;
    struct mr_node node = {.kind = MR_NODE_SINK, .id = id, .input_count = 1, .inputs = &ref};
    struct mr_job *job = in->job;
    struct mr_stream *added;
    const char *key;

    if (job->sink_count == MR_JOB_SINKS_MAX) {
        sink->ops->destroy(sink->spec);
        mri_job_invalid(job, "a job has at most %u sinks", MR_JOB_SINKS_MAX);
        return;
    }
    if (!file_free(job, path, &key)) {
        sink->ops->destroy(sink->spec);
        return;
    }
    job->sink_files[job->sink_count] = key;
    job->sinks[job->sink_count++] = *sink;
    node.u.sink.ops = sink->ops;
    node.u.sink.spec = sink->spec;
    node.u.sink.one_writer = sink->ops->one_writer;
    added = mri_add(job, &node);
    if (added == NULL) return;
    job->sink_nodes[job->sink_count - 1] = added->ref.node;
    (void)mri_grouping_used(in, added->ref.node);
}

/* ---- what is given ---- */

bool mri_expr_ok(struct mr_job *job, const struct mr_expr *expr, const char *where, ...)
{
    char place[256];
    struct mr_text text;
    va_list arguments;

    if (expr != NULL && mr_expr_made_in(expr, &job->model->arena)) return true;
    va_start(arguments, where);
    vsnprintf(place, sizeof place, where, arguments);
    va_end(arguments);
    if (expr == NULL) {
        mri_job_invalid(job, "%s: the expression is NULL", place);
        return false;
    }
    mr_text_init(&text, job->heap, 200);
    mr_expr_print(expr, &text);
    mri_job_invalid(job, "%s: the expression %s belongs to another job; make it with this one",
                    place, mr_text_get(&text));
    mr_text_fini(&text);
    return false;
}

bool mri_fields_ok(struct mr_job *job, const char *where, const struct mr_field *fields,
                   uint32_t count)
{
    if (fields == NULL && count > 0) {
        mri_job_invalid(job, "%s: there are %u columns, but fields is NULL", where, count);
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (fields[i].type != MR_TYPE_NONE || fields[i].name == NULL) continue;
        mri_job_invalid(job, "%s: column '%s' has no type; set .type, to MR_INT64 for instance",
                        where, fields[i].name);
        return false;
    }
    return true;
}

bool mri_schema(struct mr_job *job, const struct mr_field *fields, uint32_t count,
                struct mr_schema **out)
{
    struct mr_error err = {.status = MR_OK};

    if (!mri_fields_ok(job, "a function's output", fields, count)) return false;
    if (mr_schema_create(job->heap, fields, count, out, &err) == MR_OK) return true;
    mri_job_fail(job, &err);
    return false;
}

void mri_describe(void *self, const struct mr_node *node, struct mr_text *out)
{
    (void)self;
    if (node->kind == MR_NODE_SOURCE) {
        const struct mr_source_ops *ops = node->u.source.ops;
        if (ops->describe != NULL) ops->describe(node->u.source.spec, out);
    } else if (node->kind == MR_NODE_SINK) {
        const struct mr_sink_ops *ops = node->u.sink.ops;
        if (ops->describe != NULL) ops->describe(node->u.sink.spec, out);
    }
}

/* ---- running ---- */

void mr_job_cancel(struct mr_job *job)
{
    /* Seen by the thread in mr_job_run within its next look: no lock here, for signal handlers. */
    if (job != NULL) atomic_store(&job->cancelled, true);
}

enum mr_status mr_job_run(struct mr_job *job, struct mr_summary *out)
{
    struct mr_summary summary = {.first_result_us = -1};

    if (job == NULL) return MR_E_NOMEM;
    if (out != NULL) *out = summary;
    if (!mri_job_ok(job)) return job->error.status;
    if (job->ran) return mri_job_invalid(job, "mr_job_run: a job runs once; create another one");
    job->ran = true;
    mri_run(job, &summary);
    summary.peak_memory_bytes = mr_posix_peak_rss();
    if (out != NULL) *out = summary;
    return job->error.status;
}

/* A copy that the caller can free(). */
static char *own_copy(const char *text)
{
    return text == NULL ? NULL : strdup(text);
}

char *mr_job_explain(struct mr_job *job, bool as_dot)
{
    struct mr_text text;
    char *copy = NULL;

    if (!mri_job_ok(job)) return NULL;
    mr_text_init(&text, job->heap, 0);
    if (mri_explain(job, as_dot, &text) == MR_OK) copy = own_copy(mr_text_get(&text));
    mr_text_fini(&text);
    return copy;
}

char *mr_job_metrics_json(struct mr_job *job)
{
    return job == NULL ? NULL : own_copy(job->metrics);
}
