#include "user_connectors.h"

#include "base/assert.h"
#include "base/status.h"
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
    uint64_t rows; /* handed on so far */
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
                                           .lower_bound_us = MR_TIME_MIN};
        if (out->splits[i].name == NULL) return mr_error_nomem(err, "partitions", strlen(name));
    }
    out->count = count;
    out->bounded = !source->functions.unbounded;
    out->total_bytes = UINT64_MAX;
    return MR_OK;
}

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
    st = source->functions.open(source->user, split->ordinal, &reader->reader);
    if (st != MR_OK) {
        mr_free(context->heap, reader, sizeof *reader);
        return mr_error_set(err, st, "source '%s': open of partition %u failed: %s", source->id,
                            split->ordinal, mr_status_text(st));
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

/* The next batch that the emitter has ready. */
static enum mr_status take(struct user_reader *reader, enum mr_source_flow *out_flow,
                           struct mr_batch **out, struct mr_error *err)
{
    enum mr_flow flow;
    uint32_t output;

    MR_RET(mr_emitter_take(reader->emitter, &output, out, &flow, err));
    *out_flow = flow == MR_FLOW_BLOCKED ? MR_SOURCE_BLOCKED : MR_SOURCE_MORE;
    if (*out == NULL) return MR_OK;
    (*out)->origin = (struct mr_origin){.known = false,
                                        .split = reader->split->ordinal,
                                        .first_row = reader->rows};
    reader->rows += (*out)->row_count;
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
    if (mr_emitter_pending(reader->emitter)) return take(reader, out_flow, out, err);
    if (reader->ended) {
        *out_flow = MR_SOURCE_DONE;
        return MR_OK;
    }
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
    if (mr_emitter_pending(reader->emitter)) return take(reader, out_flow, out, err);
    *out_flow = reader->ended              ? MR_SOURCE_DONE
                : result == MR_READ_IDLE ? MR_SOURCE_BLOCKED
                                           : MR_SOURCE_MORE;
    return MR_OK;
}

static void source_close(void *self)
{
    struct user_reader *reader = self;

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
    .close = source_close,
    .describe = source_describe,
    .destroy = source_destroy,
};

enum mr_status mri_user_source(struct mr_heap *heap, const char *id,
                               const struct mr_source_functions *functions, void *user,
                               const struct mr_field *fields, uint32_t field_count,
                               bool with_event_time, struct mr_source *out, struct mr_error *err)
{
    struct user_source *source;
    enum mr_status st;

    if (functions == NULL || functions->open == NULL || functions->read == NULL ||
        functions->partitions == 0 ||
        (functions->size != 0 && functions->size < sizeof *functions)) {
        return mr_error_set(err, MR_E_INVALID,
                            "source '%s': partitions, open and read must be set, and size to 0 or "
                            "sizeof the struct",
                            id == NULL ? "" : id);
    }
    source = mr_alloc_zero(heap, sizeof *source);
    if (source == NULL) return mr_error_nomem(err, "a source", sizeof *source);
    source->heap = heap;
    source->functions = *functions;
    source->user = user;
    source->with_event_time = with_event_time;
    source->id = mr_strdup(heap, id == NULL ? "source" : id);
    st = source->id == NULL ? mr_error_nomem(err, "a source", 0)
                            : mr_schema_create(heap, fields, field_count, &source->schema, err);
    if (st != MR_OK) {
        source_destroy(source);
        return st;
    }
    *out = (struct mr_source){
        .ops = &user_source_ops, .spec = source, .schema = mr_schema_ref(source->schema)};
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
    .close = sink_close,
    .describe = sink_describe,
    .destroy = sink_destroy,
};

enum mr_status mri_user_sink(struct mr_heap *heap, const char *id,
                             const struct mr_sink_functions *functions, void *user,
                             struct mr_sink *out, struct mr_error *err)
{
    struct user_sink *sink;

    if (functions == NULL || functions->open == NULL || functions->write == NULL ||
        (functions->size != 0 && functions->size < sizeof *functions)) {
        return mr_error_set(err, MR_E_INVALID,
                            "sink '%s': open and write must be set, and size to 0 or sizeof the "
                            "struct",
                            id == NULL ? "" : id);
    }
    sink = mr_alloc_zero(heap, sizeof *sink);
    if (sink == NULL) return mr_error_nomem(err, "a sink", sizeof *sink);
    sink->heap = heap;
    sink->functions = *functions;
    sink->user = user;
    sink->ops = user_sink_ops;
    sink->ops.one_writer = functions->one_instance;
    sink->id = mr_strdup(heap, id == NULL ? "sink" : id);
    if (sink->id == NULL) {
        sink_destroy(sink);
        return mr_error_nomem(err, "a sink", 0);
    }
    *out = (struct mr_sink){.ops = &sink->ops, .spec = sink};
    return MR_OK;
}
