/* model.h - the logical pipeline: what is computed, before any thought of how.
 *
 * A model is a graph of nodes. Each node has an id, inputs (node, output), and one or more outputs
 * with a schema. Nodes are added bottom-up, so a graph built through this interface has no cycle;
 * mr_model_check proves it for any graph all the same. Every front end (the C API first) builds
 * this model; plan turns it into stages.
 *
 * Adding a node binds and checks its expressions at once, so that an error names the place where
 * the mistake was made. Schemas of outputs are known as soon as the node is added.
 *
 * Owns:    its arena: nodes, expressions, names. Sources' and sinks' specs are owned by whoever
 *          made them (api) and outlive the model.
 * Thread:  confined while built; immutable afterwards.
 * Fails:   MR_E_PIPELINE, MR_E_SCHEMA, MR_E_INVALID, MR_E_LIMIT with node id and what to do;
 *          MR_E_NOMEM. A failed add changes nothing.
 * Cost:    cold.
 *
 * Invariants (mr_model_check):
 *  (1) Ids are unique and not empty. (2) Every input names an existing output of an earlier node.
 *  (3) No cycle. (4) Inputs of a union have equal schemas. (5) Aggregates' keys and arguments
 *  exist. (6) Every node reaches a sink (else: "stream 'x' is not used"). (7) Windows other than
 *  global need event time.
 */
#ifndef MR_MODEL_MODEL_H
#define MR_MODEL_MODEL_H

#include "core/window.h"
#include "expr/expr.h"
#include <millrace/function.h>
#include <millrace/process.h>

#define MR_NODES_MAX 1024u
#define MR_OUTPUTS_MAX 8u
#define MR_INPUTS_MAX 64u

enum mr_node_kind {
    MR_NODE_SOURCE,     /* 0 inputs */
    MR_NODE_EVENT_TIME, /* sets event times from an expression, makes watermarks */
    MR_NODE_FILTER,     /* condition */
    MR_NODE_PROJECT,    /* named expressions; the output has exactly these columns */
    MR_NODE_FUNCTION,   /* row, batch or filter function; side outputs */
    MR_NODE_UNION,      /* n inputs */
    MR_NODE_AGGREGATE,  /* keys x window -> aggregates; output 1: late rows (input schema) */
    MR_NODE_TOP,        /* first `limit` rows in an order, of bounded input; UINT64_MAX: sort */
    MR_NODE_SINK,
    MR_NODE_PROCESS     /* keys -> function with state; 2 inputs: the second goes to all instances */
};

enum mr_aggregate_kind {
    MR_AGG_COUNT_ALL,
    MR_AGG_COUNT,
    MR_AGG_SUM,   /* integers: int64, judged when emitted (128 bits inside); decimal; float64 */
    MR_AGG_MIN,
    MR_AGG_MAX,
    MR_AGG_AVG,   /* float64 */
    MR_AGG_FIRST, /* by event time; equal times: least value. Nulls are skipped */
    MR_AGG_LAST,  /* by event time; equal times: greatest value. Nulls are skipped */
    MR_AGG_USER
};

struct mr_aggregate_spec {
    enum mr_aggregate_kind kind;
    const char *name; /* output column */
    struct mr_expr *arguments[4];
    uint32_t argument_count;
    const struct mr_aggregate_functions *functions; /* USER */
    void *user;
    struct mr_field result; /* USER: declared; others: computed when added */
};

enum mr_function_kind { MR_FUNCTION_ROW, MR_FUNCTION_BATCH, MR_FUNCTION_FILTER };

struct mr_order { /* one sort key */
    struct mr_expr *expr;
    bool descending; /* nulls are low: first ascending, last descending */
};

struct mr_stream_ref {
    uint32_t node;
    uint32_t output;
};

struct mr_node {
    uint32_t ordinal;
    enum mr_node_kind kind;
    const char *id;
    bool id_given; /* by the user; else made from kind and count: "filter-2" */
    uint32_t parallelism; /* 0: default (one instance per worker) */
    uint32_t input_count;
    struct mr_stream_ref *inputs;
    uint32_t output_count;
    struct mr_schema *outputs[MR_OUTPUTS_MAX];
    bool has_event_time; /* of all outputs */
    bool has_window;     /* rows carry their window (hidden): behind aggregates with windows */
    bool bounded;        /* no source above it is known to be without end */
    union {
        struct {
            const void *ops; /* const struct mr_source_ops *; opaque here */
            void *spec;
            bool bounded_hint; /* false: known to be unbounded */
            bool makes_event_time; /* the source sets the hidden event time itself */
            uint32_t rate_rows_per_s; /* 0: unlimited */
        } source;
        struct {
            struct mr_expr *time; /* timestamp_ltz, timestamp or int64 microseconds */
            int64_t delay_us;
            int64_t idle_us; /* a silent input is IDLE after this processing time; 0: never */
        } event_time;
        struct {
            struct mr_expr *condition;
        } filter;
        struct {
            uint32_t count;
            struct mr_expr **exprs;
            const char **names;
        } project;
        struct {
            enum mr_function_kind kind;
            mr_row_fn row;
            mr_batch_fn batch;
            mr_row_filter_fn keep;
            void *user;
        } function;
        struct {
            uint32_t key_count;
            struct mr_expr **keys;
            const char **key_names;
            struct mr_window_spec window;
            bool emit_window; /* output begins with window_start, window_end (timestamp_ltz);
                                 cleared for the global window, which has none to show */
            uint32_t aggregate_count;
            struct mr_aggregate_spec *aggregates;
        } aggregate;
        struct {
            mr_process_row_fn row;     /* one of the two */
            mr_process_batch_fn batch;
            mr_process_timer_fn timer; /* NULL: sets none */
            mr_process_row_fn broadcast; /* iff there are two inputs */
            void *user;
            uint32_t key_count; /* at least 1 */
            struct mr_expr **keys;
            const char **key_names;
            uint32_t state_count;
            const struct mr_state *states; /* copied when added */
        } process;
        struct {
            uint32_t order_count;
            struct mr_order *orders;
            uint64_t limit;
        } top;
        struct {
            const void *ops; /* const struct mr_sink_ops *; opaque here */
            void *spec;
            bool one_writer;
        } sink;
    } u;
};

struct mr_model {
    struct mr_heap *heap;
    struct mr_arena arena; /* lifetime: job */
    uint32_t node_count;
    struct mr_node *nodes[MR_NODES_MAX];
};

enum mr_status mr_model_create(struct mr_heap *heap, struct mr_model **out,
                               struct mr_error *err) MR_MUST_USE;
void mr_model_destroy(struct mr_model *model);

/* Adds a node that is a copy of `node` (kind, u, inputs, id or NULL, parallelism); computes the
 * rest. FUNCTION and SOURCE nodes come with outputs[] and output_count filled (references are
 * taken); others have theirs computed. Arrays and names in `u` are copied; expressions must be in
 * the arena. */
enum mr_status mr_model_add(struct mr_model *model, const struct mr_node *node,
                            uint32_t *out_ordinal, struct mr_error *err) MR_MUST_USE;
/* Renames a node before planning. */
enum mr_status mr_model_set_id(struct mr_model *model, uint32_t node, const char *id,
                               struct mr_error *err) MR_MUST_USE;
enum mr_status mr_model_check(const struct mr_model *model, struct mr_error *err) MR_MUST_USE;

const struct mr_schema *mr_model_schema(const struct mr_model *model, struct mr_stream_ref ref);
const char *mr_node_kind_name(enum mr_node_kind kind);
const char *mr_aggregate_name(enum mr_aggregate_kind kind); /* "count", "sum", ... */
/* The result field of an aggregate over an argument type; refuses types by name. */
enum mr_status mr_aggregate_result(const struct mr_aggregate_spec *spec,
                                   const struct mr_schema *input, struct mr_heap *heap,
                                   struct mr_field *out, struct mr_error *err) MR_MUST_USE;
/* One line per node: "aggregate by-hour: key origin; tumbling 1h; count(*) as flights, ...". */
void mr_model_print(const struct mr_model *model, struct mr_text *out);
/* What one node does, without its id. */
void mr_node_print(const struct mr_node *node, struct mr_text *out);

#endif
