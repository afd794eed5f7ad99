/* source.h - what a source is: splits that are planned once and readers that turn them into
 * batches.
 *
 * A source is a table of functions over a spec that it made itself. The coordinator calls `plan`
 * once; any worker opens a reader for a split and calls `read` until DONE. The engine adds what all
 * sources share: event time, watermarks per split, rate limits, the policy for bad records,
 * progress.
 *
 * Split borders depend on the input alone, never on the number of workers.
 *
 * Owns:    a spec belongs to the job (destroyed with it); a reader belongs to its task.
 * Thread:  plan and destroy: one thread. Readers: confined, several at a time over one spec, whose
 *          shared parts are immutable or atomic.
 * Fails:   statuses with texts that name file, line and column; bad records go through
 *          mr_reject_fn, which decides (fail, skip, dead letter).
 * Cost:    one call per batch.
 */
#ifndef MR_CONNECT_SOURCE_H
#define MR_CONNECT_SOURCE_H

#include "data/batch.h"
#include "data/rowcodec.h"
#include "data/schema.h"
#include "port/disk.h"

#define MR_SPLIT_BYTES ((uint64_t)8 * 1024 * 1024)

struct mr_split {
    uint32_t ordinal;       /* position in the list; order of reading in streaming mode */
    const char *name;       /* path or other name for people */
    uint64_t offset_bytes;  /* where it starts */
    uint64_t size_bytes;    /* UINT64_MAX: unknown (stream) */
    int64_t lower_bound_us; /* no row has an earlier event time; MR_TIME_MIN: unknown */
    uint64_t detail;        /* the source's own (index of the file, ...) */
    bool once;              /* cannot be read again: `position` answers MR_E_UNSUPPORTED */
};

struct mr_split_list {
    struct mr_arena *arena; /* names and array live here */
    struct mr_split *splits;
    uint32_t count;
    bool bounded;         /* all splits end by themselves */
    uint64_t total_bytes; /* for progress; UINT64_MAX: unknown */
};

struct mr_plan_context {
    struct mr_heap *heap;
    struct mr_disk *disk;
    bool streaming; /* one split per file, in order */
};

/* A record that cannot be used. `line` and `column` 0: unknown (the engine asks `locate`). */
struct mr_reject {
    const struct mr_split *split;
    uint64_t offset_bytes; /* of the record, in the decompressed input */
    uint64_t line;         /* from 1 */
    uint32_t column;       /* from 1: ordinal of the field */
    const char *column_name;
    struct mr_bytes raw; /* the record's bytes */
    const char *reason;  /* "'12x' is not an int64" */
};
/* MR_OK: leave the record out and go on. Otherwise return that status; err is filled. */
typedef enum mr_status (*mr_reject_fn)(void *self, const struct mr_reject *reject,
                                       struct mr_error *err);

struct mr_reader_context {
    struct mr_heap *heap;
    struct mr_disk *disk;
    mr_reject_fn reject;
    void *reject_self;
    const uint64_t
        *projection;      /* bit per column of the source's schema that is needed; NULL: all */
    uint32_t hidden_mask; /* hidden columns wanted beside what the engine itself makes */
    bool positions;       /* `position` will be asked: keep what it needs */
    struct mr_bytes resume; /* what `position` said in an earlier attempt; NULL data: the start */
};

enum mr_source_flow {
    MR_SOURCE_MORE,    /* call again; *out may or may not hold a batch */
    MR_SOURCE_BLOCKED, /* nothing now: waiting for input or quota; *out NULL */
    MR_SOURCE_DONE     /* the split is over; *out NULL */
};

struct mr_source_ops {
    uint32_t size; /* of this struct */
    const char *name;
    enum mr_status (*plan)(void *spec, const struct mr_plan_context *context,
                           struct mr_split_list *out, struct mr_error *err);
    enum mr_status (*open)(void *spec, const struct mr_split *split,
                           const struct mr_reader_context *context, void **out_reader,
                           struct mr_error *err);
    /* At most row_limit rows and a bounded amount of work. A batch has the columns of the schema;
     * those outside the projection are CONST NULL. Its origin is filled (split, offset, row). */
    enum mr_status (*read)(void *reader, struct mr_quota *quota, uint32_t row_limit,
                           enum mr_source_flow *out_flow, struct mr_batch **out,
                           struct mr_error *err);
    /* Bytes of the split consumed so far (compressed bytes for compressed files). */
    uint64_t (*progress_bytes)(const void *reader);
    /* Appends to `out`, between two reads, where the first row lies that read has not given yet (I8),
     * and what tells that the input is still the same: `open` with these bytes as `resume` goes on
     * there, or answers MR_E_CHANGED with the name. The bytes carry a version. NULL entry: the
     * source cannot be replayed. Cost: microseconds, once per epoch. */
    enum mr_status (*position)(void *reader, struct mr_buffer *out, struct mr_error *err);
    /* Watermark of user sources (NULL entry: none; the engine computes it). */
    int64_t (*watermark)(const void *reader);
    void (*close)(void *reader);
    /* Names the place of source row `row` after `offset_bytes` of a split by reading again: fills
     * line, raw text and so on, in *out (raw lies in `arena`). NULL entry: not possible. */
    enum mr_status (*locate)(void *spec, const struct mr_plan_context *context,
                             const struct mr_split *split, uint64_t offset_bytes, uint64_t row,
                             struct mr_arena *arena, struct mr_reject *out, struct mr_error *err);
    /* Describes itself in explain: "csv flights.csv, 19 columns". */
    void (*describe)(const void *spec, struct mr_text *out);
    void (*destroy)(void *spec);
    /* Record tracking (runtime/tracker.h). All three or none; none: the engine keeps the rows and sends
     * failed ones again itself. `ids` names the rows of the batch that was just read. `completed` and
     * `failed` come between two reads, once for each row; after `failed` the reader gives the row
     * again, and is asked for it even if it said DONE before. It is not closed before. */
    enum mr_status (*ids)(void *reader, const struct mr_batch *batch, uint64_t *out_ids,
                          struct mr_error *err);
    void (*completed)(void *reader, uint64_t id);
    void (*failed)(void *reader, uint64_t id, enum mr_status why);
};

#endif
