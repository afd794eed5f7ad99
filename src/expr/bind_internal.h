/* bind_internal.h - what the files of binding share: the binder, types, casts, folding.
 *
 * Owns:    nothing beyond the program that is being made.
 * Thread:  confined.
 * Fails:   MR_E_NOMEM, MR_E_SCHEMA (names and types), MR_E_INVALID (the shape of the tree).
 * Cost:    linear in the tree.
 */
#ifndef MR_EXPR_BIND_INTERNAL_H
#define MR_EXPR_BIND_INTERNAL_H

#include "expr/expr_internal.h"

struct mri_binder {
    struct mr_heap *heap;
    struct mr_arena *arena; /* of the program */
    const struct mr_schema *schema;
    struct mr_bound *bound;
    uint32_t *slots; /* by column: slot + 1, 0: not read so far */
    struct mr_error *err;
};

struct mri_type {
    uint8_t type;
    uint8_t precision;
    uint8_t scale;
};

MR_INLINE struct mri_type mri_type_of(const struct mr_expr *node)
{
    return (struct mri_type){node->type, node->precision, node->scale};
}

enum mr_status mri_bind_nomem(struct mri_binder *binder);
/* "a + 1 (int64)", for messages; lives in the program's arena. */
const char *mri_label(struct mri_binder *binder, const struct mr_expr *node);
/* The text of a node in at most MRI_STORY_BYTES bytes; NULL: out of memory. */
const char *mri_story(struct mri_binder *binder, const struct mr_expr *node, bool implicit);

/* Gives a call with bound arguments its type; puts casts around arguments. */
enum mr_status mri_resolve_call(struct mri_binder *binder, struct mr_expr *node) MR_MUST_USE;
/* Makes all args[0], args[step], ... one type and says which. */
enum mr_status mri_unify(struct mri_binder *binder, const struct mr_expr *node,
                         struct mr_expr **args, uint32_t count, uint32_t step,
                         struct mri_type *out) MR_MUST_USE;
/* The node itself, a literal, or a cast around it. */
enum mr_status mri_coerce(struct mri_binder *binder, struct mr_expr **node,
                          struct mri_type type) MR_MUST_USE;
/* Whether a cast exists, and whether it can fail for a value. */
bool mri_cast_allowed(struct mri_type from, struct mri_type to);
bool mri_cast_can_fail(struct mri_type from, struct mri_type to);
/* Decimal of p digits, s behind the point, made to fit 38 by giving up scale down to 6. */
struct mri_type mri_decimal_type(int32_t precision, int32_t scale);

/* Replaces the node by what is known of it without input. */
enum mr_status mri_fold(struct mri_binder *binder, struct mr_expr **node) MR_MUST_USE;
/* Prepares node->constant of a literal. */
enum mr_status mri_make_constant(struct mri_binder *binder, struct mr_expr *node) MR_MUST_USE;

#endif
