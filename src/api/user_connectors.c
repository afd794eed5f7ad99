#include "user_connectors.h"

#include "base/assert.h"
#include "base/status.h"
#include "connect/position.h"
#include "exec/emitter.h"
#include <stdio.h>
#include <string.h>

/* ---- sources ---- */

struct user_source {
    struct mr_heap *heap;
    char *id;
    struct mr_source_functions functions;
    void *user;
    struct mr_schema *schema;
    bool with_event_time;
};

struct user_reader {
    const struct user_source *source;
    struct mr_heap *heap;
    void *reader;
    struct mr_emitter *emitter; /* made with the first read, when the quota is known */
    const struct mr_split *split;
    bool ended;
    bool positions; /* `position` will be asked */
    uint64_t rows;  /* handed on so far, in earlier attempts too */
    /* A read emits rows that leave in several batches; in between the position is the one before
     * that read, and how many rows to drop behind it. */
    uint64_t given;         /* rows that left since `before` */
    uint64_t skip;          /* rows to drop first: an earlier attempt handed them on */
    struct mr_batch *held;  /* waits for memory to be freed of rows to drop */
    size_t before_bytes;
    char before[MR_POSITION_BYTES_MAX];
};

static enum mr_status source_plan(void *spec, const struct mr_plan_context *context,
                                  struct mr_split_list *out, struct mr_error *err)
{
    const struct user_source *source = spec;
    uint32_t count = source->functions.partitions;

    (void)context;
    out->splits = mr_arena_zero(out->arena, count * sizeof *out->splits);
    if (out->splits == NULL) return mr_error_nomem(err, "partitions", count * sizeof *out->splits);
    for (uint32_t i = 0; i < count; i++) {
        char name[160];

        snprintf(name, sizeof name, "%s[%u]", source->id, i);
        out->splits[i] = (struct mr_split){.ordinal = i,
                                           .name = mr_arena_strdup(out->arena, name),
                                           .size_bytes = UINT64_MAX,
                                           .lower_bound_us = MR_TIME_MIN,
                                           .once = source->functions.position == NULL};
        if (out->splits[i].name == NULL) return mr_error_nomem(err, "partitions", strlen(name));
    }
    out->count = count;
    out->bounded = !source->functions.unbounded;
    out->total_bytes = UINT64_MAX;
    return MR_OK;
}

/* ---- positions ---- */

static enum mr_status source_failed(const struct user_reader *reader, const char *what,
                                    enum mr_status st, struct mr_error *err)
{
    if (st == MR_OK) return MR_OK;
    return mr_error_set(err, st, "source '%s': %s of partition %u failed: %s", reader->source->id,
                        what, reader->split->ordinal, mr_status_text(st));
}

/* Where the source itself stands. */
static enum mr_status ask_position(struct user_reader *reader, struct mr_error *err)
{
    const struct user_source *source = reader->source;
    size_t size = 0;

    MR_RET(source_failed(reader, "position",
                         source->functions.position(reader->reader, reader->before, &size), err));
    if (size > MR_POSITION_BYTES_MAX) {
        return mr_error_set(err, MR_E_INVALID,
                            "source '%s': position of partition %u wrote %zu bytes, at most %zu are "
                            "allowed",
                            source->id, reader->split->ordinal, size, MR_POSITION_BYTES_MAX);
    }
    reader->before_bytes = size;
    reader->given = 0;
    return MR_OK;
}

static bool is_pending(const struct user_reader *reader)
{
    return reader->held != NULL ||
           (reader->emitter != NULL && mr_emitter_pending(reader->emitter));
}

enum { USER_ENDED = 1 };

static enum mr_status source_position(void *self, struct mr_buffer *out, struct mr_error *err)
{
    struct user_reader *reader = self;
    size_t start = out->size_bytes;
    bool ended = reader->ended && !is_pending(reader);

    if (reader->source->functions.position == NULL) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "source '%s' has no position and resume and cannot be read again after a "
                            "failure; set both, or use --guarantee at-most-once",
                            reader->source->id);
    }
    mr_assert(reader->positions || !is_pending(reader));
    if (!is_pending(reader) && !ended) MR_RET(ask_position(reader, err));
    if (mri_position_begin(out, MRI_POSITION_USER, ended ? USER_ENDED : 0) &&
        mr_buffer_put_u64(out, reader->rows) &&
        mr_buffer_put_u64(out, ended ? 0 : reader->given + reader->skip) &&
        mr_buffer_put(out, reader->before, ended ? 0 : reader->before_bytes) &&
        mri_position_end(out, start)) {
        return MR_OK;
    }
    out->size_bytes = start;
    return mr_error_nomem(err, "the position of a source", reader->before_bytes);
}

/* A fresh reader goes on where an earlier attempt was. */
static enum mr_status take_position(struct user_reader *reader, struct mr_bytes bytes,
                                    struct mr_error *err)
{
    const struct user_source *source = reader->source;
    const char *name = reader->split->name;
    struct mr_cursor body;
    uint16_t flags;

    MR_RET(mri_position_open(bytes, MRI_POSITION_USER, name, &flags, &body, err));
    if (!mr_cursor_u64(&body, &reader->rows) || !mr_cursor_u64(&body, &reader->skip) ||
        flags > USER_ENDED || (size_t)(body.end - body.at) > MR_POSITION_BYTES_MAX) {
        return mri_position_corrupt(name, "it has another size", err);
    }
    reader->ended = flags == USER_ENDED;
    if (reader->ended) return MR_OK;
    if (source->functions.resume == NULL) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "source '%s' has no resume and cannot go on where the job stopped",
                            source->id);
    }
    return source_failed(reader, "resume",
                         source->functions.resume(reader->reader, body.at,
                                                  (size_t)(body.end - body.at)),
                         err);
}

static void source_close(void *self);

static enum mr_status source_open(void *spec, const struct mr_split *split,
                                  const struct mr_reader_context *context, void **out_reader,
                                  struct mr_error *err)
{
    struct user_source *source = spec;
    struct user_reader *reader = mr_alloc_zero(context->heap, sizeof *reader);
    enum mr_status st;

    if (reader == NULL) return mr_error_nomem(err, "a source", sizeof *reader);
    reader->source = source;
    reader->heap = context->heap;
    reader->split = split;
    reader->positions = context->positions && source->functions.position != NULL;
    st = source->functions.open(source->user, split->ordinal, &reader->reader);
    if (st != MR_OK) {
        mr_free(context->heap, reader, sizeof *reader);
        return mr_error_set(err, st, "source '%s': open of partition %u failed: %s", source->id,
                            split->ordinal, mr_status_text(st));
    }
    if (context->resume.data != NULL) st = take_position(reader, context->resume, err);
    if (st != MR_OK) {
        source_close(reader);
        return st;
    }
    *out_reader = reader;
    return MR_OK;
}

static enum mr_status make_emitter(struct user_reader *reader, struct mr_quota *quota,
                                   uint32_t row_limit, struct mr_error *err)
{
    const struct user_source *source = reader->source;
    struct mr_schema *schemas[1] = {source->schema};
    struct mr_emitter_options options = {
        .operator_id = source->id,
        .heap = reader->heap,
        .quota = quota,
        .output_count = 1,
        .schemas = schemas,
        .hidden_mask = source->with_event_time ? 1u << MR_HIDDEN_EVENT_TIME : 0,
        .batch_rows = MR_MIN(row_limit, MR_BATCH_ROWS_MAX),
        .of_source = true,
        .partition = reader->split->ordinal,
    };

    if (reader->emitter != NULL) return MR_OK;
    return mr_emitter_create(&options, &reader->emitter, err);
}

/* The rows from `first` on, in memory of their own. NULL: no memory now. */
static struct mr_batch *tail_of(struct user_reader *reader, struct mr_quota *quota,
                                struct mr_batch *batch, uint32_t first)
{
    uint32_t count = batch->row_count - first;
    uint32_t *rows = mr_alloc_array(reader->heap, count, sizeof *rows);
    struct mr_batch *selected, *dense;

    if (rows == NULL) return NULL;
    for (uint32_t i = 0; i < count; i++) rows[i] = first + i;
    selected = mr_batch_select(quota, batch, rows, count);
    mr_free(reader->heap, rows, count * sizeof *rows);
    if (selected == NULL) return NULL;
    dense = mr_batch_dense(quota, selected);
    mr_batch_release(selected);
    return dense;
}

/* Takes rows that an earlier attempt handed on out of `held`. */
static void drop_rows(struct user_reader *reader, struct mr_quota *quota,
                      enum mr_source_flow *out_flow, struct mr_batch **out)
{
    struct mr_batch *batch = reader->held;

    if (reader->skip >= batch->row_count) {
        reader->skip -= batch->row_count;
        reader->given += batch->row_count;
    } else if (reader->skip == 0) {
        *out = mr_batch_ref(batch);
    } else {
        *out = tail_of(reader, quota, batch, (uint32_t)reader->skip);
        if (*out == NULL) {
            *out_flow = MR_SOURCE_BLOCKED;
            return;
        }
        reader->given += reader->skip;
        reader->skip = 0;
    }
    mr_batch_release(batch);
    reader->held = NULL;
}

/* The next batch that the emitter has ready. */
static enum mr_status take(struct user_reader *reader, struct mr_quota *quota,
                           enum mr_source_flow *out_flow, struct mr_batch **out,
                           struct mr_error *err)
{
    enum mr_flow flow = MR_FLOW_HAVE_OUTPUT;
    uint32_t output;

    if (reader->held == NULL) {
        MR_RET(mr_emitter_take(reader->emitter, &output, &reader->held, &flow, err));
    }
    *out_flow = flow == MR_FLOW_BLOCKED ? MR_SOURCE_BLOCKED : MR_SOURCE_MORE;
    if (reader->held == NULL) return MR_OK;
    drop_rows(reader, quota, out_flow, out);
    if (*out == NULL) return MR_OK;
    (*out)->origin = (struct mr_origin){.known = false,
                                        .split = reader->split->ordinal,
                                        .first_row = reader->rows};
    (*out)->origin_rows = NULL;
    reader->rows += (*out)->row_count;
    reader->given += (*out)->row_count;
    return MR_OK;
}

static enum mr_status source_read(void *self, struct mr_quota *quota, uint32_t row_limit,
                                  enum mr_source_flow *out_flow, struct mr_batch **out,
                                  struct mr_error *err)
{
    struct user_reader *reader = self;
    const struct user_source *source = reader->source;
    enum mr_read_result result = MR_READ_MORE;
    enum mr_status answer;
    bool fatal;

    *out = NULL;
    MR_RET(make_emitter(reader, quota, row_limit, err));
    if (is_pending(reader)) return take(reader, quota, out_flow, out, err);
    if (reader->ended) {
        *out_flow = MR_SOURCE_DONE;
        return MR_OK;
    }
    if (reader->positions) MR_RET(ask_position(reader, err));
    mr_emitter_begin(reader->emitter, NULL, MR_EMITTER_NO_ROW);
    answer = source->functions.read(reader->reader, row_limit, reader->emitter, &result);
    MR_RET(mr_emitter_judge(reader->emitter, answer, &fatal, err));
    if ((uint32_t)result > MR_READ_END) {
        return mr_error_set(err, MR_E_INVALID,
                            "source '%s': read of partition %u set out_result to %u, which is no "
                            "enum mr_read_result",
                            source->id, reader->split->ordinal, (uint32_t)result);
    }
    MR_RET(mr_emitter_flush(reader->emitter, err));
    reader->ended = result == MR_READ_END;
    if (is_pending(reader)) return take(reader, quota, out_flow, out, err);
    *out_flow = reader->ended              ? MR_SOURCE_DONE
                : result == MR_READ_IDLE ? MR_SOURCE_BLOCKED
                                           : MR_SOURCE_MORE;
    return MR_OK;
}

static void source_close(void *self)
{
    struct user_reader *reader = self;

    mr_batch_release(reader->held);
    mr_emitter_destroy(reader->emitter);
    if (reader->source->functions.close != NULL) reader->source->functions.close(reader->reader);
    mr_free(reader->heap, reader, sizeof *reader);
}

static void source_describe(const void *spec, struct mr_text *out)
{
    const struct user_source *source = spec;

    mr_text_format(out, "own source, %u partitions%s", source->functions.partitions,
                   source->functions.unbounded ? ", without end" : "");
}

static void source_destroy(void *spec)
{
    struct user_source *source = spec;
    struct mr_heap *heap = source->heap;

    mr_schema_release(source->schema);
    mr_strfree(heap, source->id);
    mr_free(heap, source, sizeof *source);
}

static const struct mr_source_ops user_source_ops = {
    .size = sizeof(struct mr_source_ops),
    .name = "own source",
    .plan = source_plan,
    .open = source_open,
    .read = source_read,
    .position = source_position,
    .close = source_close,
    .describe = source_describe,
    .destroy = source_destroy,
};

/* ---- sources that keep their rows until they are completed ---- */

static enum mr_status source_ids(void *self, const struct mr_batch *batch, uint64_t *out_ids,
                                 struct mr_error *err)
{
    const struct user_reader *reader = self;
    const struct mr_column *column = &batch->columns[reader->source->functions.id_column];

    (void)err;
    for (uint32_t i = 0; i < batch->row_count; i++) {
        out_ids[i] = (uint64_t)mr_column_int64(column, mr_batch_at(batch, i));
    }
    return MR_OK;
}

static void source_completed(void *self, uint64_t id)
{
    struct user_reader *reader = self;

    reader->source->functions.completed(reader->reader, (int64_t)id);
}

static void source_row_failed(void *self, uint64_t id, enum mr_status why)
{
    struct user_reader *reader = self;

    (void)why;
    reader->ended = false; /* it has more to give */
    reader->source->functions.failed(reader->reader, (int64_t)id);
}

static const struct mr_source_ops listening_source_ops = {
    .size = sizeof(struct mr_source_ops),
    .name = "own source",
    .plan = source_plan,
    .open = source_open,
    .read = source_read,
    .position = source_position,
    .close = source_close,
    .describe = source_describe,
    .destroy = source_destroy,
    .ids = source_ids,
    .completed = source_completed,
    .failed = source_row_failed,
};

/* Both functions, and a column that can hold an id. */
static enum mr_status check_listening(const struct user_source *source, struct mr_error *err)
{
    const struct mr_source_functions *functions = &source->functions;

    if (functions->completed == NULL && functions->failed == NULL) return MR_OK;
    if (functions->completed == NULL || functions->failed == NULL) {
        return mr_error_set(err, MR_E_INVALID,
                            "source '%s': completed and failed belong together: set both or none",
                            source->id);
    }
    if (functions->id_column < source->schema->column_count &&
        source->schema->fields[functions->id_column].type == MR_INT64) {
        return MR_OK;
    }
    return mr_error_set(err, MR_E_INVALID,
                        "source '%s': id_column is %u, which is no int64 column of the source",
                        source->id, functions->id_column);
}

enum mr_status mri_user_source(struct mr_heap *heap, const char *id,
                               const struct mr_source_functions *functions, void *user,
                               const struct mr_field *fields, uint32_t field_count,
                               bool with_event_time, struct mr_source *out, struct mr_error *err)
{
    struct user_source *source;
    size_t size;
    enum mr_status st;

    if (functions == NULL || functions->open == NULL || functions->read == NULL ||
        functions->partitions == 0 ||
        (functions->size != 0 &&
         functions->size < offsetof(struct mr_source_functions, position))) {
        return mr_error_set(err, MR_E_INVALID,
                            "source '%s': partitions, open and read must be set, and size to 0 or "
                            "sizeof the struct",
                            id == NULL ? "" : id);
    }
    source = mr_alloc_zero(heap, sizeof *source);
    if (source == NULL) return mr_error_nomem(err, "a source", sizeof *source);
    source->heap = heap;
    /* Callers of an older header have a struct that ends before position. */
    size = functions->size != 0 ? MR_MIN(functions->size, sizeof *functions) : sizeof *functions;
    memcpy(&source->functions, functions, size);
    source->user = user;
    source->with_event_time = with_event_time;
    source->id = mr_strdup(heap, id == NULL ? "source" : id);
    if ((source->functions.position == NULL) != (source->functions.resume == NULL)) {
        source_destroy(source);
        return mr_error_set(err, MR_E_INVALID,
                            "source '%s': position and resume belong together: set both or none",
                            id == NULL ? "" : id);
    }
    st = source->id == NULL ? mr_error_nomem(err, "a source", 0)
                            : mr_schema_create(heap, fields, field_count, &source->schema, err);
    if (st == MR_OK) st = check_listening(source, err);
    if (st != MR_OK) {
        source_destroy(source);
        return st;
    }
    *out = (struct mr_source){
        .ops = source->functions.completed == NULL ? &user_source_ops : &listening_source_ops,
        .spec = source, .schema = mr_schema_ref(source->schema)};
    return MR_OK;
}

/* ---- sinks ---- */

struct user_sink {
    struct mr_sink_ops ops; /* a copy: one_writer is the user's choice */
    struct mr_heap *heap;
    char *id;
    struct mr_sink_functions functions;
    void *user;
};

struct user_writer {
    const struct user_sink *sink;
    struct mr_heap *heap;
    void *writer;
    struct mr_pool *pool; /* for batches that must be made flat first */
    struct mr_quota quota;
};

static enum mr_status sink_failed(const struct user_sink *sink, const char *what,
                                  enum mr_status st, struct mr_error *err)
{
    if (st == MR_OK) return MR_OK;
    return mr_error_set(err, st, "sink '%s': %s failed: %s", sink->id, what, mr_status_text(st));
}

static enum mr_status sink_open(void *spec, const struct mr_writer_context *context,
                                void **out_writer, struct mr_error *err)
{
    struct user_sink *sink = spec;
    struct user_writer *writer = mr_alloc_zero(context->heap, sizeof *writer);
    enum mr_status st;

    if (writer == NULL) return mr_error_nomem(err, "a sink", sizeof *writer);
    writer->sink = sink;
    writer->heap = context->heap;
    st = mr_pool_create(context->heap, SIZE_MAX, &writer->pool, err);
    if (st == MR_OK) {
        mr_quota_init(&writer->quota, writer->pool, sink->id, SIZE_MAX);
        st = sink_failed(sink, "open", sink->functions.open(sink->user, context->instance,
                                                            &writer->writer), err);
    }
    if (st != MR_OK) {
        if (writer->pool != NULL) mr_pool_destroy(writer->pool);
        mr_free(context->heap, writer, sizeof *writer);
        return st;
    }
    *out_writer = writer;
    return MR_OK;
}

static enum mr_status sink_write(void *self, const struct mr_batch *batch,
                                 enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct user_writer *writer = self;
    struct mr_batch *flat = mr_batch_compact(&writer->quota, (struct mr_batch *)(uintptr_t)batch);
    enum mr_status st;

    *out_flow = MR_SINK_READY;
    if (flat == NULL) return mr_error_nomem(err, "a batch for a sink", MR_BLOCK_BYTES_MAX);
    st = writer->sink->functions.write(writer->writer, flat);
    mr_batch_release(flat);
    return sink_failed(writer->sink, "write", st, err);
}

static enum mr_status sink_finish(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct user_writer *writer = self;

    (void)err;
    (void)writer;
    *out_flow = MR_SINK_READY;
    return MR_OK;
}

/* The user's finish makes output visible, so it waits for the end of the whole job. */
static enum mr_status sink_commit(void *self, struct mr_error *err)
{
    struct user_writer *writer = self;
    const struct user_sink *sink = writer->sink;

    if (sink->functions.finish == NULL) return MR_OK;
    return sink_failed(sink, "finish", sink->functions.finish(writer->writer), err);
}

static void sink_abort(void *self)
{
    (void)self;
}

/* ---- epochs of own sinks ---- */

static bool sink_transactional(const void *spec)
{
    const struct user_sink *sink = spec;

    return sink->functions.prepare != NULL;
}

static enum mr_status sink_prepare(void *self, uint64_t epoch, struct mr_buffer *out,
                                   enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct user_writer *writer = self;
    const struct user_sink *sink = writer->sink;
    char bytes[MR_TRANSACTION_BYTES_MAX];
    size_t size = 0;

    *out_flow = MR_SINK_READY;
    MR_RET(sink_failed(sink, "prepare",
                       sink->functions.prepare(writer->writer, epoch, bytes, &size), err));
    if (size > sizeof bytes) {
        return mr_error_set(err, MR_E_INVALID,
                            "sink '%s': prepare wrote %zu bytes, at most %zu are allowed", sink->id,
                            size, sizeof bytes);
    }
    if (!mr_buffer_put(out, bytes, size)) return mr_error_nomem(err, "a sink", size);
    return MR_OK;
}

static enum mr_status sink_commit_epoch(void *self, uint64_t epoch, enum mr_sink_flow *out_flow,
                                        struct mr_error *err)
{
    struct user_writer *writer = self;
    const struct user_sink *sink = writer->sink;

    *out_flow = MR_SINK_READY;
    return sink_failed(sink, "commit", sink->functions.commit(writer->writer, epoch), err);
}

static enum mr_status sink_recover(void *spec, const struct mr_recover_context *context,
                                   struct mr_error *err)
{
    const struct user_sink *sink = spec;
    struct mr_transaction *states =
        mr_alloc_array(context->heap, context->state_count + (size_t)1, sizeof *states);
    struct mr_sink_recovery recovery = {.size = sizeof recovery,
                                        .epoch = context->epoch,
                                        .fence = context->fence,
                                        .instances = context->instance_count,
                                        .finished = context->finished,
                                        .states = states,
                                        .state_count = context->state_count};
    enum mr_status st;

    if (states == NULL) return mr_error_nomem(err, "a sink", context->state_count);
    for (uint32_t i = 0; i < context->state_count; i++) {
        states[i] =
            (struct mr_transaction){context->states[i].data, context->states[i].size_bytes};
    }
    st = sink_failed(sink, "recover", sink->functions.recover(sink->user, &recovery), err);
    mr_free(context->heap, states, (context->state_count + (size_t)1) * sizeof *states);
    return st;
}

static void sink_close(void *self)
{
    struct user_writer *writer = self;

    if (writer->sink->functions.close != NULL) writer->sink->functions.close(writer->writer);
    mr_pool_destroy(writer->pool);
    mr_free(writer->heap, writer, sizeof *writer);
}

static void sink_describe(const void *spec, struct mr_text *out)
{
    const struct user_sink *sink = spec;

    mr_text_format(out, "own sink '%s'", sink->id);
}

static void sink_destroy(void *spec)
{
    struct user_sink *sink = spec;
    struct mr_heap *heap = sink->heap;

    mr_strfree(heap, sink->id);
    mr_free(heap, sink, sizeof *sink);
}

static const struct mr_sink_ops user_sink_ops = {
    .size = sizeof(struct mr_sink_ops),
    .name = "own sink",
    .open = sink_open,
    .write = sink_write,
    .finish = sink_finish,
    .commit = sink_commit,
    .abort = sink_abort,
    .transactional = sink_transactional,
    .prepare = sink_prepare,
    .commit_epoch = sink_commit_epoch,
    .recover = sink_recover,
    .close = sink_close,
    .describe = sink_describe,
    .destroy = sink_destroy,
};

enum mr_status mri_user_sink(struct mr_heap *heap, const char *id,
                             const struct mr_sink_functions *functions, void *user,
                             struct mr_sink *out, struct mr_error *err)
{
    struct user_sink *sink;
    size_t size;

    if (functions == NULL || functions->open == NULL || functions->write == NULL ||
        (functions->size != 0 &&
         functions->size < offsetof(struct mr_sink_functions, prepare))) {
        return mr_error_set(err, MR_E_INVALID,
                            "sink '%s': open and write must be set, and size to 0 or sizeof the "
                            "struct",
                            id == NULL ? "" : id);
    }
    sink = mr_alloc_zero(heap, sizeof *sink);
    if (sink == NULL) return mr_error_nomem(err, "a sink", sizeof *sink);
    sink->heap = heap;
    /* Callers of an older header have a struct that ends before prepare. */
    size = functions->size != 0 ? MR_MIN(functions->size, sizeof *functions) : sizeof *functions;
    memcpy(&sink->functions, functions, size);
    sink->user = user;
    sink->ops = user_sink_ops;
    sink->ops.one_writer = functions->one_instance;
    sink->id = mr_strdup(heap, id == NULL ? "sink" : id);
    if (sink->id == NULL) {
        sink_destroy(sink);
        return mr_error_nomem(err, "a sink", 0);
    }
    if ((sink->functions.prepare == NULL) != (sink->functions.commit == NULL) ||
        (sink->functions.prepare == NULL) != (sink->functions.recover == NULL)) {
        sink_destroy(sink);
        return mr_error_set(err, MR_E_INVALID,
                            "sink '%s': prepare, commit and recover belong together: set all or none",
                            id == NULL ? "" : id);
    }
    *out = (struct mr_sink){.ops = &sink->ops, .spec = sink};
    return MR_OK;
}
