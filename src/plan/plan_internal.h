/* plan_internal.h - what the files of planning share: needs, streams, and the plan in the making.
 *
 * Planning goes through the nodes twice. Backwards it finds out what is needed (plan_need.c): which
 * columns and hidden columns of each stream somebody reads. Forwards it turns each node into
 * operators of stages (plan_lower.c, plan_aggregate.c) with a small set of moves (plan_build.c):
 * put an operator behind a stream, in the same stage if it may be fused, else behind an exchange.
 *
 * Owns:    the scratch arena lives as long as mr_plan_create runs.
 * Thread:  confined.
 * Fails:   MR_E_NOMEM, and what mr_bind fails for (nothing that mr_model_add let pass).
 * Cost:    cold: linear in nodes times columns.
 */
#ifndef MR_PLAN_PLAN_INTERNAL_H
#define MR_PLAN_PLAN_INTERNAL_H

#include "plan/plan.h"

/* One schema or program that the plan releases at its end. */
struct mri_plan_owned {
    struct mri_plan_owned *next;
    struct mr_schema *schema;
    struct mr_bound *bound;
};

/* What is read of one output of a node. */
struct mri_need {
    uint64_t *columns;  /* bit per column of the model's schema */
    uint32_t hidden;    /* bit per enum mr_hidden */
    uint32_t consumers; /* inputs that read it */
};

/* Where a stream comes out of the stages made so far. Moves change it. */
struct mri_stream {
    uint32_t stage;
    uint32_t op;
    uint32_t output;
    uint32_t consumers;            /* 1: the next operator may be fused */
    struct mr_schema *schema;      /* physical: some columns of `logical`, in order */
    const struct mr_schema *logical; /* NULL: a stream between the parts of one node */
    const uint64_t *need;          /* columns of `logical` that are read; NULL: all */
    uint32_t need_hidden;
    uint32_t hidden;               /* which hidden columns there are */
    bool gathered; /* one instance, by nature and not by wish: what follows stays there, in order */
};

struct mri_planner {
    struct mr_plan *plan;
    const struct mr_model *model;
    struct mr_arena scratch;
    struct mr_error *err;
    struct mri_need (*needs)[MR_OUTPUTS_MAX];     /* by node */
    struct mri_stream (*streams)[MR_OUTPUTS_MAX]; /* by node; made when the node has been lowered */
    bool *times_below; /* by node: output 0 leads to an event-time through one chain */
};

enum mr_status mri_plan_nomem(struct mri_planner *planner);

/* ---- plan_need.c ---- */
enum mr_status mri_plan_needs(struct mri_planner *planner) MR_MUST_USE;
bool mri_late_used(const struct mri_planner *planner, const struct mr_node *node);
/* Rows are judged by their split's watermark. */
bool mri_by_split(const struct mri_planner *planner, const struct mr_node *node);

/* ---- plan_build.c: the moves ---- */
void *mri_plan_array(struct mri_planner *planner, size_t count, size_t size_bytes) MR_MUST_USE;
enum mr_status mri_schema_new(struct mri_planner *planner, const struct mr_field *fields,
                              uint32_t count, struct mr_schema **out) MR_MUST_USE;
enum mr_status mri_plan_bind(struct mri_planner *planner, const struct mr_expr *expr,
                             const struct mr_schema *schema, struct mr_bound **out) MR_MUST_USE;
enum mr_status mri_plan_bind_column(struct mri_planner *planner, const char *name,
                                    const struct mr_schema *schema,
                                    struct mr_bound **out) MR_MUST_USE;
struct mri_stream mri_input(const struct mri_planner *planner, const struct mr_node *node,
                            uint32_t input);
uint32_t mri_parallelism_of(const struct mri_planner *planner, const struct mri_stream *at);
/* Makes a stage; its operator 0 is added with mri_op_add. */
enum mr_status mri_stage_add(struct mri_planner *planner, uint32_t parallelism,
                             uint32_t *out_stage) MR_MUST_USE;
/* *out is valid until the next operator is added to the stage. Outputs are the caller's to fill. */
enum mr_status mri_op_add(struct mri_planner *planner, uint32_t stage, enum mr_plan_op_kind kind,
                          const struct mr_node *node, struct mr_schema *input,
                          struct mr_plan_op **out) MR_MUST_USE;
/* Joins a stream to a stage as its next input. */
enum mr_status mri_edge_add(struct mri_planner *planner, const struct mri_stream *at,
                            uint32_t to_stage, enum mr_exchange exchange,
                            uint32_t key_count) MR_MUST_USE;
enum mr_exchange mri_exchange_between(uint32_t from, uint32_t to);
/* Adds an operator behind a stream, with `parallelism` instances: fused into the same stage, or in
 * a stage of its own. */
enum mr_status mri_append(struct mri_planner *planner, struct mri_stream *at,
                          enum mr_plan_op_kind kind, const struct mr_node *node,
                          uint32_t parallelism, struct mr_plan_op **out) MR_MUST_USE;
/* Adds an operator behind an exchange that always is one. */
enum mr_status mri_append_exchanged(struct mri_planner *planner, struct mri_stream *at,
                                    enum mr_exchange exchange, uint32_t key_count,
                                    enum mr_plan_op_kind kind, const struct mr_node *node,
                                    uint32_t parallelism, struct mr_plan_op **out) MR_MUST_USE;
/* Moves the stream on to output 0 of the operator that was added last. */
void mri_advance(struct mri_stream *at, const struct mr_plan_op *op);
/* True if the stream carries columns that nobody reads. */
bool mri_has_excess(const struct mri_stream *at);
/* Puts a PROJECT behind the stream that leaves only columns that are read; none when all are. */
enum mr_status mri_prune(struct mri_planner *planner, struct mri_stream *at,
                         const struct mr_node *node) MR_MUST_USE;

/* ---- plan_lower.c, plan_aggregate.c, plan_process.c ---- */
enum mr_status mri_lower(struct mri_planner *planner) MR_MUST_USE;
enum mr_status mri_lower_aggregate(struct mri_planner *planner,
                                   const struct mr_node *node) MR_MUST_USE;
enum mr_status mri_lower_process(struct mri_planner *planner,
                                 const struct mr_node *node) MR_MUST_USE;
/* Names column `at` of those being made: `name`, or with a number when a column has that name. */
enum mr_status mri_name_column(struct mri_planner *planner, struct mr_field *fields,
                               uint32_t count, uint32_t at, const char *name,
                               const char *suffix) MR_MUST_USE;
/* Says where output `output` of a node comes out. */
void mri_set_stream(struct mri_planner *planner, const struct mr_node *node, uint32_t output,
                    const struct mri_stream *at);

/* ---- plan_memory.c ---- */
enum mr_status mri_plan_memory(struct mri_planner *planner) MR_MUST_USE;
uint64_t mri_edge_channels(const struct mr_plan *plan, const struct mr_plan_edge *edge);

/* ---- plan_check.c: asserts the invariants of plan.h ---- */
void mri_plan_check(const struct mr_plan *plan);

#endif
