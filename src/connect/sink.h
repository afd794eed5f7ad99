/* sink.h - what a sink is: writers that take batches and make them visible when told.
 *
 * The engine opens one writer per instance, hands it batches, and at the end of the input calls
 * `finish` on all of them; only when every writer has finished `commit` makes the output visible
 * under its final name. A job that fails or is cancelled calls `abort`, which leaves no
 * half-written output behind under a final name.
 *
 * Owns:    a spec belongs to the job; a writer to its task.
 * Thread:  writers confined.
 * Fails:   statuses with texts; MR_E_CLOSED when the reader of a pipe went away, MR_E_NO_SPACE.
 * Cost:    one call per batch.
 */
#ifndef MR_CONNECT_SINK_H
#define MR_CONNECT_SINK_H

#include "data/batch.h"
#include "data/schema.h"
#include "port/disk.h"

struct mr_writer_context {
    struct mr_heap *heap;
    struct mr_disk *disk;
    uint32_t instance;
    uint32_t instance_count;
    const struct mr_schema *schema;
};

enum mr_sink_flow { MR_SINK_READY, MR_SINK_BLOCKED };

struct mr_sink_ops {
    uint32_t size;
    const char *name;
    bool one_writer; /* output is one stream: the engine gathers to one instance */
    enum mr_status (*open)(void *spec, const struct mr_writer_context *context, void **out_writer,
                           struct mr_error *err);
    /* Takes the rows of a borrowed batch (any encoding and selection). BLOCKED: nothing was taken,
     * offer the same batch again later. */
    enum mr_status (*write)(void *writer, const struct mr_batch *batch, enum mr_sink_flow *out_flow,
                            struct mr_error *err);
    /* Pushes buffered bytes on; called when the job is idle and after each watermark. */
    enum mr_status (*flush)(void *writer, enum mr_sink_flow *out_flow, struct mr_error *err);
    /* Everything is written and safe under a temporary name. Repeated while BLOCKED. */
    enum mr_status (*finish)(void *writer, enum mr_sink_flow *out_flow, struct mr_error *err);
    /* Idempotent: rename into place. Called on a planner thread after all writers finished. */
    enum mr_status (*commit)(void *writer, struct mr_error *err);
    void (*abort)(void *writer); /* before or after finish, never after commit */
    uint64_t (*bytes)(const void *writer);
    void (*close)(void *writer); /* after commit or abort */
    void (*describe)(const void *spec, struct mr_text *out);
    void (*destroy)(void *spec);
};

#endif
