/* model_internal.h - what the files of the model share.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   as model.h.
 * Cost:    cold.
 */
#ifndef MR_MODEL_MODEL_INTERNAL_H
#define MR_MODEL_MODEL_INTERNAL_H

#include "model/model.h"

/* "row function", "aggregate": the kind in texts for people. */
enum mr_status mri_model_nomem(struct mr_error *err);

/* Binds only to see whether it fits, and which type comes out (name NULL, no children kept: nested
 * types are refused unless `nested`). */
enum mr_status mri_model_type(struct mr_heap *heap, const struct mr_expr *expr,
                              const struct mr_schema *schema, struct mr_field *out,
                              struct mr_error *err) MR_MUST_USE;
bool mri_type_nested(enum mr_type type);
/* Refuses event_time() and windows where rows have none. */
enum mr_status mri_model_hidden(const struct mr_expr *expr, const struct mr_node *input,
                                struct mr_error *err) MR_MUST_USE;

/* Checks keys, window and aggregates against the input and computes output_count and outputs. */
enum mr_status mri_aggregate_build(struct mr_model *model, struct mr_node *node,
                                   const struct mr_node *input, const struct mr_schema *schema,
                                   struct mr_error *err) MR_MUST_USE;
/* (5) and (7): what of it must hold for any graph. */
enum mr_status mri_aggregate_check(const struct mr_model *model, const struct mr_node *node,
                                   const struct mr_node *input, const struct mr_schema *schema,
                                   struct mr_error *err) MR_MUST_USE;
enum mr_status mri_union_check(const struct mr_model *model, const struct mr_node *node,
                               struct mr_error *err) MR_MUST_USE;

#endif
