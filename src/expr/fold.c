/* fold.c - what is known without input is computed once, when binding.
 *
 * A constant that fails (1 / 0) stays as it is: it fails rows when it is evaluated, so that a
 * branch that no row takes never does. Otherwise: calls over literals, AND and OR with literals in
 * the lead, and branches of CASE that are always or never taken.
 */
#include "expr/bind_internal.h"

/* Makes a literal of the one element of a value. */
static enum mr_status literal_of(struct mri_binder *binder, const struct mr_column *column,
                                 struct mr_expr *node)
{
    enum mr_type type = (enum mr_type)node->type;

    node->kind = MRI_LITERAL;
    node->count = 0;
    node->args = NULL;
    node->can_fail = false;
    node->costly = false;
    node->is_null = !mr_column_valid(column, 0);
    node->not_null = !node->is_null;
    if (node->is_null) return mri_make_constant(binder, node);
    if (mr_type_is_text(type)) {
        struct mr_bytes bytes = mr_column_bytes(column, 0);
        char *copy = mr_arena_zero(binder->arena, bytes.size_bytes + 1);

        if (copy == NULL) return mri_bind_nomem(binder);
        if (bytes.size_bytes > 0) memcpy(copy, bytes.data, bytes.size_bytes);
        node->text = copy;
        node->size_bytes = bytes.size_bytes;
    } else if (mr_type_is_float(type)) {
        node->real = mr_column_float64(column, 0);
    } else if (type == MR_DECIMAL) {
        node->number = mr_column_int128(column, 0);
    } else if (type == MR_BOOL) {
        node->number = mr_column_bool(column, 0);
    } else {
        node->number = mr_column_int64(column, 0);
    }
    return mri_make_constant(binder, node);
}

static enum mr_status fold_constant(struct mri_binder *binder, struct mr_expr *node)
{
    struct mr_eval eval = {.heap = binder->heap,
                           .work = {.heap = binder->heap},
                           .held = {.heap = binder->heap}};
    uint64_t failed_rows = 0;
    struct mr_eval_failures failures = {.rows = &failed_rows};
    struct mri_frame frame = {.count = 1};
    struct mri_run run = {
        .eval = &eval, .bound = binder->bound, .failures = &failures, .err = binder->err};
    struct mri_value value;
    enum mr_status st;

    MR_GOTO(mri_eval(&run, node, &frame, NULL, &value));
    if (failures.count == 0) MR_GOTO(literal_of(binder, &value.column, node));
done:
    mri_stack_fini(&eval.work);
    mri_stack_fini(&eval.held);
    return st;
}

static bool is_bool_literal(const struct mr_expr *node, bool value)
{
    return node->kind == MRI_LITERAL && !node->is_null && (node->number != 0) == value;
}

/* Leading literals only: what stands behind a condition that may fail must not hide the failure. */
static void fold_connective(struct mr_expr **inout)
{
    struct mr_expr *node = *inout;
    bool neutral = node->op == MR_OP_AND;
    uint32_t kept = 0;

    if (is_bool_literal(node->args[0], !neutral)) {
        *inout = node->args[0];
        return;
    }
    for (uint32_t i = 0; i < node->count; i++) {
        if (!is_bool_literal(node->args[i], neutral)) node->args[kept++] = node->args[i];
    }
    mr_assert(kept > 0); /* all literals: folded as a constant */
    if (kept == 1) *inout = node->args[0];
    node->count = kept;
}

static void fold_case(struct mr_expr **inout)
{
    struct mr_expr *node = *inout;
    struct mr_expr *otherwise = node->args[node->count - 1];
    uint32_t kept = 0;

    for (uint32_t i = 0; i + 1 < node->count; i += 2) {
        struct mr_expr *when = node->args[i];

        if (is_bool_literal(when, true)) {
            otherwise = node->args[i + 1];
            break;
        }
        if (when->kind == MRI_LITERAL) continue; /* FALSE or NULL: never */
        node->args[kept++] = when;
        node->args[kept++] = node->args[i + 1];
    }
    node->args[kept] = otherwise;
    node->count = kept + 1;
    if (kept == 0) *inout = otherwise;
}

enum mr_status mri_fold(struct mri_binder *binder, struct mr_expr **inout)
{
    struct mr_expr *node = *inout;
    bool constant = node->type != MR_TYPE_NONE;

    for (uint32_t i = 0; i < node->count; i++) {
        constant = constant && node->args[i]->kind == MRI_LITERAL;
    }
    if (constant) return fold_constant(binder, node);
    if (node->kind == MRI_CASE) fold_case(inout);
    if (node->kind == MRI_CALL && (node->op == MR_OP_AND || node->op == MR_OP_OR)) {
        fold_connective(inout);
    }
    return MR_OK;
}
