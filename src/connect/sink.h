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
#include "data/rowcodec.h"
#include "data/schema.h"
#include "port/disk.h"

struct mr_writer_context {
    struct mr_heap *heap;
    struct mr_disk *disk;
    uint32_t instance;
    uint32_t instance_count;
    const struct mr_schema *schema;
    /* Not 0: the job has epochs, and `prepare` and `commit_epoch` will be called if the sink has them.
     * Every file that the writer makes carries this number: a later attempt has a higher one. */
    uint64_t fence;
    const struct mr_ptime *now; /* the worker's clock of this turn; NULL: none */
};

/* What earlier attempts left, offered once before any writer of this one is opened. */
struct mr_recover_context {
    struct mr_heap *heap;
    struct mr_disk *disk; /* may be waited for */
    const struct mr_schema *schema;
    uint32_t instance_count; /* of this attempt */
    uint64_t fence;          /* of this attempt */
    uint64_t epoch;          /* the last complete one; 0: none */
    bool finished;           /* that epoch held all of the input: nothing will be written again */
    const struct mr_bytes *states; /* what `prepare` of that epoch gave, one per writer it had */
    uint32_t state_count;
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
    /* Idempotent: rename into place. Called on a planner thread after all writers finished (with
     * epochs: after commit_epoch of the last one, for whatever marks the whole as done). */
    enum mr_status (*commit)(void *writer, struct mr_error *err);
    void (*abort)(void *writer); /* before or after finish, never after commit; not called with epochs */
    /* False: this spec writes to a place that cannot take anything back (standard output, a pipe),
     * and prepare is not called. NULL: true if there is `prepare`. */
    bool (*transactional)(const void *spec);
    /* ---- epochs: two-phase commit (docs/concepts/guarantees.md). All three or none: without them
     * rows become visible as they are written, and may come twice after a failure. ---- */

    /* The barrier of `epoch` has come: all rows before it have been written. Makes them safe on the
     * device, not visible; then appends to `out` what is needed to commit them later or to go on behind
     * them after a restart. Repeated while BLOCKED (then nothing was appended). After `finish` it
     * never blocks. */
    enum mr_status (*prepare)(void *writer, uint64_t epoch, struct mr_buffer *out,
                              enum mr_sink_flow *out_flow, struct mr_error *err);
    /* Epoch is complete for good: what was prepared up to it becomes visible, as far as the sink's own
     * rules have it visible now. Idempotent; cumulative: some epochs may be left out. Rows of later
     * epochs may have been written, and one later epoch prepared, before it comes. */
    enum mr_status (*commit_epoch)(void *writer, uint64_t epoch, enum mr_sink_flow *out_flow,
                                   struct mr_error *err);
    /* Commits all that `states` name ("already done" is success; missing is MR_E_LOST, loud), removes
     * what earlier attempts wrote beyond it, and keeps in the spec what writers need to go on.
     * Files of other attempts may still be open in a process that only seems dead: what is kept of
     * them is copied, never appended to. Called in every attempt with epochs, also the first. */
    enum mr_status (*recover)(void *spec, const struct mr_recover_context *context,
                              struct mr_error *err);

    uint64_t (*bytes)(const void *writer);
    void (*close)(void *writer); /* after commit or abort */
    void (*describe)(const void *spec, struct mr_text *out);
    void (*destroy)(void *spec);
};

#endif
