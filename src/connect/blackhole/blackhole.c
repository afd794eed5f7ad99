/* blackhole.c - a sink that keeps nothing; see connect.h. */
#include "base/status.h"
#include "base/text.h"
#include "connect/connect.h"

static enum mr_status blackhole_open(void *spec, const struct mr_writer_context *context,
                                     void **out, struct mr_error *err)
{
    (void)context;
    (void)err;
    *out = spec; /* there is nothing to remember */
    return MR_OK;
}

static enum mr_status blackhole_write(void *writer, const struct mr_batch *batch,
                                      enum mr_sink_flow *out_flow, struct mr_error *err)
{
    (void)writer;
    (void)batch;
    (void)err;
    *out_flow = MR_SINK_READY;
    return MR_OK;
}

static enum mr_status blackhole_flush(void *writer, enum mr_sink_flow *out_flow,
                                      struct mr_error *err)
{
    (void)writer;
    (void)err;
    *out_flow = MR_SINK_READY;
    return MR_OK;
}

static enum mr_status blackhole_commit(void *writer, struct mr_error *err)
{
    (void)writer;
    (void)err;
    return MR_OK;
}

static void blackhole_abort(void *writer)
{
    (void)writer;
}

/* Nothing is kept, so nothing comes twice. */
static enum mr_status blackhole_prepare(void *writer, uint64_t epoch, struct mr_buffer *out,
                                        enum mr_sink_flow *out_flow, struct mr_error *err)
{
    (void)epoch;
    (void)out;
    return blackhole_flush(writer, out_flow, err);
}

static enum mr_status blackhole_commit_epoch(void *writer, uint64_t epoch,
                                             enum mr_sink_flow *out_flow, struct mr_error *err)
{
    (void)epoch;
    return blackhole_flush(writer, out_flow, err);
}

static enum mr_status blackhole_recover(void *spec, const struct mr_recover_context *context,
                                        struct mr_error *err)
{
    (void)spec;
    (void)context;
    (void)err;
    return MR_OK;
}

static uint64_t blackhole_bytes(const void *writer)
{
    (void)writer;
    return 0;
}

static void blackhole_describe(const void *spec, struct mr_text *out)
{
    (void)spec;
    mr_text_add(out, "discard");
}

struct blackhole {
    struct mr_heap *heap;
};

static void blackhole_destroy(void *self)
{
    struct blackhole *spec = self;

    if (spec != NULL) mr_free(spec->heap, spec, sizeof *spec);
}

static const struct mr_sink_ops blackhole_ops = {
    .size = sizeof(struct mr_sink_ops),
    .name = "discard",
    .one_writer = false,
    .open = blackhole_open,
    .write = blackhole_write,
    .flush = blackhole_flush,
    .finish = blackhole_flush,
    .commit = blackhole_commit,
    .abort = blackhole_abort,
    .prepare = blackhole_prepare,
    .commit_epoch = blackhole_commit_epoch,
    .recover = blackhole_recover,
    .bytes = blackhole_bytes,
    .close = blackhole_abort,
    .describe = blackhole_describe,
    .destroy = blackhole_destroy,
};

enum mr_status mr_blackhole_sink(struct mr_heap *heap, struct mr_sink *out, struct mr_error *err)
{
    struct blackhole *spec = mr_alloc(heap, sizeof *spec); /* so that specs are never NULL */

    if (spec == NULL) return mr_error_nomem(err, "a sink", sizeof *spec);
    spec->heap = heap;
    *out = (struct mr_sink){&blackhole_ops, spec};
    return MR_OK;
}
