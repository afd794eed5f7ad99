/* tree.c - building unbound trees, and questions about them. See expr.h. */
#include "expr/expr_internal.h"

static struct mr_expr *new_node(struct mr_arena *arena, enum mri_kind kind)
{
    struct mr_expr *node = mr_arena_zero(arena, sizeof *node);

    if (node == NULL) return NULL;
    node->kind = (uint8_t)kind;
    node->arena = arena;
    return node;
}

static struct mr_expr *new_literal(struct mr_arena *arena, enum mr_type type)
{
    struct mr_expr *node = new_node(arena, MRI_LITERAL);

    if (node != NULL) node->type = (uint8_t)type;
    return node;
}

static char *copy_bytes(struct mr_arena *arena, const char *data, size_t size_bytes)
{
    char *copy = mr_arena_alloc(arena, size_bytes + 1);

    if (copy == NULL) return NULL;
    if (size_bytes > 0) memcpy(copy, data, size_bytes);
    copy[size_bytes] = '\0';
    return copy;
}

struct mr_expr *mr_expr_column(struct mr_arena *arena, const char *name)
{
    struct mr_expr *node = new_node(arena, MRI_COLUMN);

    if (node == NULL) return NULL;
    node->name = mr_arena_strdup(arena, name);
    return node->name == NULL ? NULL : node;
}

static struct mr_expr *new_hidden(struct mr_arena *arena, enum mr_hidden which)
{
    struct mr_expr *node = new_node(arena, MRI_HIDDEN);

    if (node != NULL) node->index = (uint32_t)which;
    return node;
}

struct mr_expr *mr_expr_event_time(struct mr_arena *arena)
{
    return new_hidden(arena, MR_HIDDEN_EVENT_TIME);
}

struct mr_expr *mr_expr_window_start(struct mr_arena *arena)
{
    return new_hidden(arena, MR_HIDDEN_WINDOW_START);
}

struct mr_expr *mr_expr_window_end(struct mr_arena *arena)
{
    return new_hidden(arena, MR_HIDDEN_WINDOW_END);
}

struct mr_expr *mr_expr_null(struct mr_arena *arena, enum mr_type type)
{
    struct mr_expr *node = new_literal(arena, type);

    if (node == NULL) return NULL;
    node->is_null = true;
    if (type == MR_DECIMAL) {
        node->precision = MRI_DECIMAL_DIGITS;
        node->scale = 18;
    }
    return node;
}

struct mr_expr *mr_expr_bool(struct mr_arena *arena, bool value)
{
    struct mr_expr *node = new_literal(arena, MR_BOOL);

    if (node != NULL) node->number = value;
    return node;
}

struct mr_expr *mr_expr_int64(struct mr_arena *arena, int64_t value)
{
    struct mr_expr *node = new_literal(arena, MR_INT64);

    if (node != NULL) node->number = value;
    return node;
}

struct mr_expr *mr_expr_float64(struct mr_arena *arena, double value)
{
    struct mr_expr *node = new_literal(arena, MR_FLOAT64);

    if (node != NULL) node->real = value;
    return node;
}

struct mr_expr *mr_expr_utf8(struct mr_arena *arena, const char *data, size_t size_bytes)
{
    struct mr_expr *node = new_literal(arena, MR_UTF8);

    if (node == NULL) return NULL;
    node->text = copy_bytes(arena, data, size_bytes);
    node->size_bytes = size_bytes;
    return node->text == NULL ? NULL : node;
}

struct mr_expr *mr_expr_decimal(struct mr_arena *arena, mr_i128 value, uint8_t precision,
                                uint8_t scale)
{
    struct mr_expr *node = new_literal(arena, MR_DECIMAL);

    if (node == NULL) return NULL;
    node->number = value;
    node->precision = precision;
    node->scale = scale;
    return node;
}

struct mr_expr *mr_expr_time(struct mr_arena *arena, enum mr_type type, int64_t value)
{
    struct mr_expr *node = new_literal(arena, type);

    if (node != NULL) node->number = value;
    return node;
}

/* Takes the arguments over. A tree that is too deep or too large is cut here, so that nothing ever
 * recurses further than MRI_DEPTH_MAX, and a + a + ... over shared parts stays finite; binding
 * reports it. */
static struct mr_expr *with_args(struct mr_expr *node, struct mr_expr **args, uint32_t count)
{
    node->args = args;
    node->count = count;
    node->depth = 1;
    node->nodes = 1;
    for (uint32_t i = 0; i < count; i++) {
        node->depth = MR_MAX(node->depth, args[i]->depth + 1);
        node->nodes += MR_MIN(MR_MAX(args[i]->nodes, 1u), MRI_NODES_MAX);
        if (node->nodes > MRI_NODES_MAX) break;
    }
    if (node->depth > MRI_DEPTH_MAX || node->nodes > MRI_NODES_MAX) {
        node->kind = MRI_TOO_LARGE;
        node->depth = 1;
        node->nodes = 1;
        node->count = 0;
    }
    return node;
}

struct mr_expr *mr_expr_call(struct mr_arena *arena, enum mr_op op,
                             struct mr_expr *const *arguments, uint32_t count)
{
    struct mr_expr *node = new_node(arena, MRI_CALL);
    struct mr_expr **args = mr_arena_zero(arena, (size_t)count * sizeof *args);

    if (node == NULL || args == NULL) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (arguments[i] == NULL) return NULL;
        args[i] = arguments[i];
    }
    node->op = (uint8_t)op;
    return with_args(node, args, count);
}

struct mr_expr *mr_expr_case(struct mr_arena *arena, struct mr_expr *const *when,
                             struct mr_expr *const *then, uint32_t count,
                             struct mr_expr *otherwise)
{
    struct mr_expr *node = new_node(arena, MRI_CASE);
    struct mr_expr **args = mr_arena_zero(arena, (2 * (size_t)count + 1) * sizeof *args);

    if (otherwise == NULL) otherwise = mr_expr_null(arena, MR_TYPE_NONE);
    if (node == NULL || args == NULL || otherwise == NULL) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (when[i] == NULL || then[i] == NULL) return NULL;
        args[2 * i] = when[i];
        args[2 * i + 1] = then[i];
    }
    args[2 * count] = otherwise;
    return with_args(node, args, 2 * count + 1);
}

struct mr_expr *mr_expr_cast(struct mr_arena *arena, struct mr_expr *argument, enum mr_type type,
                             uint8_t precision, uint8_t scale, bool try_cast)
{
    struct mr_expr *node = new_node(arena, MRI_CAST);
    struct mr_expr **args = mr_arena_zero(arena, sizeof *args);

    if (node == NULL || args == NULL || argument == NULL) return NULL;
    args[0] = argument;
    node->type = (uint8_t)type;
    node->precision = precision;
    node->scale = scale;
    node->try_cast = try_cast;
    return with_args(node, args, 1);
}

bool mr_expr_made_in(const struct mr_expr *expr, const struct mr_arena *arena)
{
    return expr->arena == arena;
}

bool mr_expr_is_utf8(const char *data, size_t size_bytes)
{
    return mri_utf8_valid_bytes(data, size_bytes) == size_bytes;
}

bool mr_expr_is_column(const struct mr_expr *expr, const char **out_name)
{
    if (expr == NULL || expr->kind != MRI_COLUMN) return false;
    *out_name = expr->name;
    return true;
}

void mr_expr_columns(const struct mr_expr *expr, const struct mr_schema *schema, uint64_t *mask)
{
    if (expr == NULL) return;
    if (expr->kind == MRI_COLUMN) {
        uint32_t index = mr_schema_find(schema, expr->name);

        if (index != MR_COLUMN_NONE) mr_bit_set(mask, index);
    }
    for (uint32_t i = 0; i < expr->count; i++) mr_expr_columns(expr->args[i], schema, mask);
}

uint32_t mr_expr_hidden_mask(const struct mr_expr *expr)
{
    uint32_t mask = 0;

    if (expr == NULL) return 0;
    if (expr->kind == MRI_HIDDEN) mask = UINT32_C(1) << expr->index;
    for (uint32_t i = 0; i < expr->count; i++) mask |= mr_expr_hidden_mask(expr->args[i]);
    return mask;
}
