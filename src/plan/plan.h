/* plan.h - how a pipeline runs: stages of fused operators, joined by exchanges. Immutable.
 *
 * Planning validates the model, then: prunes columns (each source reads, each operator passes only
 * what somebody needs), splits aggregates in two (partial before the exchange, final behind it),
 * fuses chains of operators without an exchange into stages, chooses the exchanges, and sums the
 * memory that channels need.
 *
 * A stage is a chain of operators run by one tasklet per instance. Operator 0 of a stage takes the
 * stage's inputs; operator i takes output 0 of operator i - 1. Outputs leave the stage through
 * edges: output 0 of the last operator (unless it is a sink), other outputs of any operator. Rows
 * of an output without an edge are dropped: nobody asked for them.
 *
 * A schema here holds the columns that the stream has physically: some of those of the model, by
 * the same names in the same order, at least all that somebody reads. Functions, sinks, sort and
 * top read all. Expressions are bound to these schemas.
 *
 * Owns:    everything in its arena; refers to nodes of the model, which must outlive it.
 * Thread:  immutable after mr_plan_create; shared by all workers.
 * Fails:   what mr_model_check fails for; a plan that needs more channel memory than allowed says
 *          how much and what to do; MR_E_NOMEM.
 * Cost:    cold: linear in nodes times columns.
 *
 * Invariants: (1) stages are in topological order. (2) every edge's schema equals what its producer
 *  gives and its consumer expects. (3) an operator that needs all rows of a key sits behind a KEY
 *  exchange on that key (or in a stage of one instance). (4) ids of stateful operators are the
 *  model's, independent of fusion and two-stage splitting. (5) key columns of a KEY edge are its
 *  columns 0..key_count-1. (6) the sum over all channels is channel_bytes.
 */
#ifndef MR_PLAN_PLAN_H
#define MR_PLAN_PLAN_H

#include "model/model.h"

enum mr_exchange {
    MR_EXCHANGE_FORWARD,     /* instance i to instance i; equal parallelism */
    MR_EXCHANGE_KEY,         /* by key group of the hidden KEY_HASH; the sender makes it */
    MR_EXCHANGE_ROUND_ROBIN, /* batches in turn */
    MR_EXCHANGE_BROADCAST,   /* to all */
    MR_EXCHANGE_ONE          /* all to instance 0 */
};

enum mr_plan_op_kind {
    MR_PLAN_SCAN,
    MR_PLAN_EVENT_TIME,
    MR_PLAN_FILTER,
    MR_PLAN_PROJECT,
    MR_PLAN_FUNCTION,
    MR_PLAN_PROCESS,           /* function with state; behind an exchange by key */
    MR_PLAN_MERGE,             /* passes its inputs on: head of a union or of a gathered stage */
    MR_PLAN_AGGREGATE,         /* whole, in one step (input already exchanged by key) */
    MR_PLAN_AGGREGATE_PARTIAL, /* rows -> partial accumulators per key and slice */
    MR_PLAN_AGGREGATE_FINAL,   /* partial accumulators -> results */
    MR_PLAN_TOP_PARTIAL,       /* the same limit per instance */
    MR_PLAN_TOP,
    MR_PLAN_SINK
};

struct mr_plan_aggregate {
    enum mr_aggregate_kind kind;
    const struct mr_aggregate_spec *spec;
    /* Whole and partial: argument columns of the operator's *prepared* input (see below). */
    uint32_t argument_columns[4];
    /* Final: first of the partial's columns; partial: first output column it writes. */
    uint32_t partial_column;
    uint32_t partial_columns;
    struct mr_field argument; /* type of the first argument; type NONE for count(*) */
    struct mr_field result;
};

struct mr_plan_op {
    uint32_t ordinal; /* in its stage */
    enum mr_plan_op_kind kind;
    const struct mr_node *node;
    bool inserted; /* PROJECT: put in front of an exchange for `node`, which is behind it */
    struct mr_schema *input;   /* NULL for scans */
    uint32_t output_count;
    struct mr_schema *outputs[MR_OUTPUTS_MAX]; /* NULL for sinks */
    uint32_t output_hidden;    /* mask of hidden columns on output 0 */
    /* SCAN */
    uint64_t *projection;      /* bit per source column */
    /* EVENT_TIME, FILTER: exprs[0]. PROJECT: one per output column. TOP: order keys.
     * AGGREGATE, PARTIAL: keys then arguments, in the order of key and aggregate lists:
     * evaluating them gives the *prepared* columns 0..key_count-1 (keys), then arguments. */
    uint32_t expr_count;
    struct mr_bound **exprs;
    const bool *descending;    /* TOP */
    uint64_t limit;            /* TOP */
    /* aggregates */
    uint32_t key_count;
    struct mr_field *key_fields;
    struct mr_window_spec window;
    bool emit_window;
    uint32_t aggregate_count;
    struct mr_plan_aggregate *aggregates;
    bool late_by_split; /* rows are judged by their split's watermark; not for the global window */
    /* PROCESS: key_count columns of the physical input are the key; input column i of the function
     * is physical column column_map[i]. Input 1 of the stage, if there is one, has this schema. */
    const uint32_t *column_map;
    uint32_t function_columns; /* entries of column_map */
    struct mr_schema *broadcast; /* NULL: one input */
    /* PARTIAL: the output column, FINAL: the input column that says how many rows a partial stands
     * for (int64, not null, the last one). Aligned windows: the hidden WINDOW_START of a partial is
     * the start of its slice. Others: MR_COLUMN_NONE. */
    uint32_t rows_column;
    /* AGGREGATE with a late output: outputs[1] is the input's columns from here to the last one.
     * (A PARTIAL's outputs[1] has the columns of its input.) Others: MR_COLUMN_NONE. */
    uint32_t late_first_column;
};

struct mr_plan_edge {
    uint32_t ordinal;
    uint32_t from_stage;
    uint32_t from_op;
    uint32_t from_output;
    uint32_t to_stage;
    uint32_t to_input; /* ordinal among the inputs of the stage */
    enum mr_exchange exchange;
    struct mr_schema *schema;
    uint32_t hidden_mask;
    uint32_t key_count; /* KEY: columns 0..key_count-1 of the schema are the key; 1 or more */
    size_t quota_bytes; /* per channel (pair of instances) */
    uint32_t ring_slots;
};

struct mr_plan_stage {
    uint32_t ordinal;
    uint32_t parallelism; /* instances; resolved against the number of workers */
    uint32_t op_count;
    struct mr_plan_op *ops;
    uint32_t input_count;
    const struct mr_plan_edge **inputs;
    uint32_t output_count;
    const struct mr_plan_edge **outputs;
};

struct mr_plan_options {
    uint32_t workers;
    bool streaming;
    bool late_by_split;
    bool tracked;      /* rows carry their anchors over every edge: MR_HIDDEN_TRACKING */
    bool no_two_stage; /* tests and explain */
    bool no_fusion;    /* tests: every operator a stage of its own */
    bool no_pruning;   /* tests */
    uint32_t key_group_count; /* 0: MR_KEY_GROUPS_DEFAULT */
    size_t memory_bytes;      /* the job's budget; 0: no limit */
    size_t quota_bytes;       /* per channel; 0: default; tests: minimum */
    uint32_t ring_slots;      /* 0: default (8); tests: 1 */
};

struct mr_plan {
    struct mr_heap *heap;
    struct mr_arena arena;
    const struct mr_model *model;
    struct mr_plan_options options;
    uint32_t stage_count;
    struct mr_plan_stage *stages;
    uint32_t edge_count;
    struct mr_plan_edge *edges;
    size_t channel_bytes; /* sum over all channels */
    size_t operator_bytes; /* what is left for operators */
    struct mri_plan_owned *owned; /* schemas and programs, to be released */
};

/* Partial accumulators of an aggregate as columns of the exchange: how many and of which types.
 * COUNT: int64. SUM, AVG: sum and int64 count, the sum of integers decimal(38,0), of decimals
 * decimal(38,s), of floats binary (exact). MIN, MAX: the type. FIRST, LAST: the type, int64 event
 * time. USER: binary. Null where there was no value. Names are static suffixes ("sum", "count",
 * "value", "time", "state"). */
uint32_t mr_partial_fields(const struct mr_plan_aggregate *aggregate, struct mr_field out[3]);

enum mr_status mr_plan_create(struct mr_heap *heap, const struct mr_model *model,
                              const struct mr_plan_options *options, struct mr_plan **out,
                              struct mr_error *err) MR_MUST_USE;
void mr_plan_destroy(struct mr_plan *plan);

#define MR_TASK_QUOTA_BYTES_MIN (4 * MR_BLOCK_BYTES_MAX) /* least of one instance of a stage */
/* About the least --memory with which this pipeline runs, state not counted: for messages. */
size_t mr_plan_memory_least(const struct mr_plan *plan);

/* What a source or a sink is, which only its connector knows ("csv flights.csv, 19 columns"). */
typedef void (*mr_describe_fn)(void *self, const struct mr_node *node, struct mr_text *out);

/* `--explain`: logical plan, then physical plan, with notes ("an append-only sink receives updated
 * totals as further rows", ...). `describe` is called for sources and sinks; NULL: by
 * mr_node_print. */
void mr_plan_print(const struct mr_plan *plan, mr_describe_fn describe, void *self,
                   struct mr_text *out);
void mr_plan_print_dot(const struct mr_plan *plan, mr_describe_fn describe, void *self,
                       struct mr_text *out);
const char *mr_plan_op_name(enum mr_plan_op_kind kind);
const char *mr_exchange_name(enum mr_exchange exchange);

#endif
