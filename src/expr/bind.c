/* bind.c - from a tree without types to a program: names, casts, folding. See expr.h. */
#include "expr/bind_internal.h"

enum mr_status mri_bind_nomem(struct mri_binder *binder)
{
    return mr_error_nomem(binder->err, "an expression", sizeof(struct mr_expr));
}

const char *mri_story(struct mri_binder *binder, const struct mr_expr *node, bool implicit)
{
    struct mr_text text;
    const char *story;

    mr_text_init(&text, binder->heap, MRI_STORY_BYTES);
    mri_print(node, implicit, &text);
    if (mr_text_status(&text) == MR_E_LIMIT) {
        struct mr_text cut;

        mr_text_init(&cut, binder->heap, 0);
        mr_text_add(&cut, mr_text_get(&text));
        mr_text_add(&cut, "...");
        mr_text_fini(&text);
        text = cut;
    }
    story = mr_text_status(&text) == MR_OK ? mr_arena_strdup(binder->arena, mr_text_get(&text))
                                           : NULL;
    mr_text_fini(&text);
    return story;
}

const char *mri_label(struct mri_binder *binder, const struct mr_expr *node)
{
    struct mr_text text;
    const char *story = mri_story(binder, node, false);
    const char *label;

    if (story == NULL) return "(out of memory)";
    mr_text_init(&text, binder->heap, 0);
    mr_text_format(&text, "%s (", story);
    if (node->type == MR_TYPE_NONE) mr_text_add(&text, "untyped");
    else mri_type_print(node->type, node->precision, node->scale, &text);
    mr_text_add_char(&text, ')');
    label = mr_arena_strdup(binder->arena, mr_text_get(&text));
    mr_text_fini(&text);
    return label == NULL ? story : label;
}

/* ---- leaves ---- */

static enum mr_status unknown_column(struct mri_binder *binder, const char *name)
{
    const char *near = mr_schema_suggest(binder->schema, name);
    struct mr_text text;
    const char *names;

    if (near != NULL) {
        return mr_error_set(binder->err, MR_E_SCHEMA, "no column '%s': did you mean '%s'?", name,
                            near);
    }
    mr_text_init(&text, binder->heap, 300);
    mr_schema_print(binder->schema, &text);
    names = mr_text_get(&text);
    (void)mr_error_set(binder->err, MR_E_SCHEMA, "no column '%s'; there are: %s%s", name, names,
                       mr_text_status(&text) == MR_OK ? "" : ", ...");
    mr_text_fini(&text);
    return MR_E_SCHEMA;
}

static enum mr_status bind_column(struct mri_binder *binder, struct mr_expr *node)
{
    uint32_t index = mr_schema_find(binder->schema, node->name);
    const struct mr_field *field;

    if (index == MR_COLUMN_NONE) return unknown_column(binder, node->name);
    field = &binder->schema->fields[index];
    if (binder->slots[index] == 0) binder->slots[index] = ++binder->bound->slot_count;
    node->slot = binder->slots[index] - 1;
    node->index = index;
    node->type = (uint8_t)field->type;
    node->precision = field->precision;
    node->scale = field->scale;
    node->not_null = field->not_null;
    node->name = mr_arena_strdup(binder->arena, node->name);
    return node->name == NULL ? mri_bind_nomem(binder) : MR_OK;
}

static bool literal_in_range(const struct mr_expr *node)
{
    switch (node->type) {
    case MR_BOOL: return node->number == 0 || node->number == 1;
    case MR_DATE: return node->number == (int32_t)node->number;
    case MR_TIME: return node->number >= 0 && node->number < MR_DAY;
    case MR_TIMESTAMP:
    case MR_TIMESTAMP_LTZ: return node->number > MR_TIME_MIN && node->number < MR_TIME_MAX;
    case MR_DECIMAL: return mri_decimal_fits(node->number, node->precision);
    default: return true;
    }
}

/* Every utf8 value is UTF-8: readers check theirs, and so a literal has to be. */
static enum mr_status check_text(struct mri_binder *binder, const struct mr_expr *node)
{
    size_t valid;

    if (node->size_bytes > MR_TEXT_BYTES_MAX) {
        return mr_error_set(binder->err, MR_E_LIMIT, "a text of %zu bytes: the limit is %zu",
                            node->size_bytes, (size_t)MR_TEXT_BYTES_MAX);
    }
    if (node->type != MR_UTF8) return MR_OK;
    valid = mri_utf8_valid_bytes(node->text, node->size_bytes);
    if (valid == node->size_bytes) return MR_OK;
    return mr_error_set(binder->err, MR_E_INVALID,
                        "the text %s is not UTF-8: byte %zu is 0x%02x; convert it before",
                        mri_label(binder, node), valid + 1, (unsigned char)node->text[valid]);
}

static enum mr_status bind_literal(struct mri_binder *binder, struct mr_expr *node)
{
    if (node->type > MR_INTERVAL) {
        return mr_error_set(binder->err, MR_E_INVALID, "there are no literals of type %s",
                            mr_type_name((enum mr_type)node->type));
    }
    if (node->type == MR_DECIMAL && (node->precision < 1 || node->scale > node->precision ||
                                     node->precision > MRI_DECIMAL_DIGITS)) {
        return mr_error_set(binder->err, MR_E_INVALID,
                            "decimal(%u,%u): precision is 1 to 38, scale 0 to precision",
                            node->precision, node->scale);
    }
    node->not_null = !node->is_null;
    if (!node->is_null && !literal_in_range(node)) {
        return mr_error_set(binder->err, MR_E_OVERFLOW, "literal out of the range of its type: %s",
                            mri_label(binder, node));
    }
    if (node->text != NULL && !node->is_null) {
        char *copy = mr_arena_alloc(binder->arena, node->size_bytes + 1);

        MR_RET(check_text(binder, node));
        if (copy == NULL) return mri_bind_nomem(binder);
        memcpy(copy, node->text, node->size_bytes + 1);
        node->text = copy;
    }
    return mri_make_constant(binder, node);
}

static uint8_t *align64(uint8_t *at)
{
    return at + (64 - (uintptr_t)at % 64) % 64;
}

static void store_literal(const struct mr_expr *node, void *memory)
{
    int64_t number = (int64_t)node->number;

    switch (mr_type_layout((enum mr_type)node->type)) {
    case MR_LAYOUT_BIT: *(uint64_t *)memory = (uint64_t)(number != 0); break;
    case MR_LAYOUT_I8: *(int8_t *)memory = (int8_t)number; break;
    case MR_LAYOUT_I16: *(int16_t *)memory = (int16_t)number; break;
    case MR_LAYOUT_I32: *(int32_t *)memory = (int32_t)number; break;
    case MR_LAYOUT_I64: *(int64_t *)memory = number; break;
    case MR_LAYOUT_F32: *(float *)memory = (float)node->real; break;
    case MR_LAYOUT_F64: *(double *)memory = node->real; break;
    case MR_LAYOUT_I128: *(mr_i128 *)memory = node->number; break;
    case MR_LAYOUT_VIEW:
        *(struct mr_view *)memory = mr_view_make(node->text, (uint32_t)node->size_bytes, 0, 0);
        break;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
}

enum mr_status mri_make_constant(struct mri_binder *binder, struct mr_expr *node)
{
    uint8_t *memory = mr_arena_zero(binder->arena, 4 * 64);
    const char **buffers;
    uint64_t *validity;

    if (memory == NULL) return mri_bind_nomem(binder);
    memory = align64(memory);
    validity = (uint64_t *)(void *)(memory + 64);
    buffers = (const char **)(void *)(memory + 128);
    if (!node->is_null) store_literal(node, memory);
    node->constant = (struct mr_column){.type = node->type,
                                        .encoding = MR_CONST,
                                        .precision = node->precision,
                                        .scale = node->scale,
                                        .values = memory};
    if (node->is_null) node->constant.validity = validity; /* one bit: 0 */
    if (!node->is_null && mr_type_is_text((enum mr_type)node->type)) {
        buffers[0] = node->text;
        node->constant.buffers = buffers;
        node->constant.buffer_count = node->size_bytes > MR_VIEW_INLINE;
    }
    return MR_OK;
}

/* ---- casts and branches ---- */

static enum mr_status resolve_cast(struct mri_binder *binder, struct mr_expr *node)
{
    struct mr_expr *arg = node->args[0];
    struct mri_type from = mri_type_of(arg);
    struct mri_type to = mri_type_of(node);

    if (to.type == MR_TYPE_NONE || to.type > MR_INTERVAL) {
        return mr_error_set(binder->err, MR_E_UNSUPPORTED, "cannot cast %s to %s",
                            mri_label(binder, arg), mr_type_name((enum mr_type)to.type));
    }
    if (to.type == MR_DECIMAL &&
        (to.precision < 1 || to.precision > MRI_DECIMAL_DIGITS || to.scale > to.precision)) {
        return mr_error_set(binder->err, MR_E_INVALID,
                            "decimal(%u,%u): precision is 1 to 38, scale 0 to precision",
                            to.precision, to.scale);
    }
    if (to.type != MR_DECIMAL) node->precision = node->scale = 0;
    if (mri_is_null_literal(arg)) return MR_OK;
    if (!mri_cast_allowed(from, to)) {
        return mr_error_set(binder->err, MR_E_SCHEMA, "cannot cast %s to %s%s",
                            mri_label(binder, arg), mr_type_name((enum mr_type)to.type),
                            mr_type_is_time((enum mr_type)from.type) ||
                                    mr_type_is_time((enum mr_type)to.type)
                                ? "; see epoch_millis and from_millis"
                                : "");
    }
    node->not_null = arg->not_null && !node->try_cast;
    node->can_fail |= !node->try_cast && mri_cast_can_fail(from, to);
    node->costly |= mr_type_is_text((enum mr_type)from.type) ||
                    mr_type_is_text((enum mr_type)to.type) || from.type == MR_DECIMAL;
    return MR_OK;
}

static enum mr_status resolve_case(struct mri_binder *binder, struct mr_expr *node)
{
    struct mri_type type;
    uint32_t branches = node->count / 2;
    struct mr_expr *otherwise = node->args[node->count - 1];

    for (uint32_t i = 0; i < branches; i++) {
        struct mr_expr *when = node->args[2 * i];

        if (when->type != MR_BOOL && !mri_is_null_literal(when)) {
            return mr_error_set(binder->err, MR_E_SCHEMA,
                                "WHEN needs a condition (bool), but has %s",
                                mri_label(binder, when));
        }
        MR_RET(mri_coerce(binder, &node->args[2 * i], (struct mri_type){MR_BOOL, 0, 0}));
    }
    /* The result is one type over then, then, ..., otherwise: move the last beside the others. */
    if (branches == 0) return mr_error_set(binder->err, MR_E_INVALID, "CASE without WHEN");
    {
        struct mr_expr **results =
            mr_arena_alloc(binder->arena, (branches + 1) * sizeof(struct mr_expr *));

        if (results == NULL) return mri_bind_nomem(binder);
        for (uint32_t i = 0; i < branches; i++) results[i] = node->args[2 * i + 1];
        results[branches] = otherwise;
        MR_RET(mri_unify(binder, node, results, branches + 1, 1, &type));
        node->not_null = true;
        for (uint32_t i = 0; i <= branches; i++) {
            node->args[i < branches ? 2 * i + 1 : 2 * i] = results[i];
            node->not_null = node->not_null && results[i]->not_null;
        }
    }
    node->type = type.type;
    node->precision = type.precision;
    node->scale = type.scale;
    return MR_OK;
}

/* ---- the walk ---- */

static enum mr_status bind_node(struct mri_binder *binder, const struct mr_expr *expr,
                                struct mr_expr **out);

static enum mr_status bind_args(struct mri_binder *binder, const struct mr_expr *expr,
                                struct mr_expr *node)
{
    node->args = mr_arena_zero(binder->arena, (size_t)expr->count * sizeof *node->args);
    if (node->args == NULL) return mri_bind_nomem(binder);
    for (uint32_t i = 0; i < expr->count; i++) {
        MR_RET(bind_node(binder, expr->args[i], &node->args[i]));
        node->can_fail |= node->args[i]->can_fail;
        node->costly |= node->args[i]->costly;
    }
    return MR_OK;
}

static enum mr_status bind_inner(struct mri_binder *binder, const struct mr_expr *expr,
                                 struct mr_expr *node)
{
    bool below;

    MR_RET(bind_args(binder, expr, node));
    below = node->can_fail;
    node->can_fail = false;
    if (node->kind == MRI_CALL) MR_RET(mri_resolve_call(binder, node));
    else if (node->kind == MRI_CASE) MR_RET(resolve_case(binder, node));
    else MR_RET(resolve_cast(binder, node));
    if (node->can_fail) {
        node->story = mri_story(binder, node, false);
        if (node->story == NULL) return mri_bind_nomem(binder);
    }
    for (uint32_t i = 0; i < node->count; i++) below |= node->args[i]->can_fail; /* new casts */
    node->can_fail |= below;
    return MR_OK;
}

static enum mr_status bind_node(struct mri_binder *binder, const struct mr_expr *expr,
                                struct mr_expr **out)
{
    struct mr_expr *node = mr_arena_alloc(binder->arena, sizeof *node);

    if (node == NULL) return mri_bind_nomem(binder);
    *node = *expr;
    *out = node;
    switch ((enum mri_kind)expr->kind) {
    case MRI_COLUMN: return bind_column(binder, node);
    case MRI_LITERAL: return bind_literal(binder, node);
    case MRI_HIDDEN: node->type = MR_TIMESTAMP_LTZ; return MR_OK;
    case MRI_CALL:
    case MRI_CASE:
    case MRI_CAST: break;
    case MRI_TOO_LARGE:
        return mr_error_set(binder->err, MR_E_LIMIT,
                            "the expression is nested more than %u levels deep or has more than %u "
                            "parts; split it over two steps",
                            MRI_DEPTH_MAX, MRI_NODES_MAX);
    }
    MR_RET(bind_inner(binder, expr, node));
    return mri_fold(binder, out);
}

/* Nested types keep their children; the schema may go before the program does. */
static enum mr_status copy_children(struct mri_binder *binder, const struct mr_field *from,
                                    struct mr_field *to)
{
    struct mr_field *children;

    if (from->child_count == 0) return MR_OK;
    children = mr_arena_zero(binder->arena, from->child_count * sizeof *children);
    if (children == NULL) return mri_bind_nomem(binder);
    for (uint32_t i = 0; i < from->child_count; i++) {
        children[i] = from->children[i];
        children[i].children = NULL;
        if (from->children[i].name != NULL) {
            children[i].name = mr_arena_strdup(binder->arena, from->children[i].name);
            if (children[i].name == NULL) return mri_bind_nomem(binder);
        }
        MR_RET(copy_children(binder, &from->children[i], &children[i]));
    }
    to->child_count = from->child_count;
    to->children = children;
    return MR_OK;
}

static enum mr_status bind_root(struct mri_binder *binder, const struct mr_expr *expr)
{
    struct mr_bound *bound = binder->bound;
    struct mr_expr *root;

    binder->slots = mr_arena_zero(binder->arena,
                                  (binder->schema->column_count + 1) * sizeof(uint32_t));
    if (binder->slots == NULL) return mri_bind_nomem(binder);
    MR_RET(bind_node(binder, expr, &root));
    if (root->type == MR_TYPE_NONE) {
        return mr_error_set(binder->err, MR_E_SCHEMA,
                            "the type of NULL is not known here; write CAST(NULL AS ...)");
    }
    bound->root = root;
    bound->field = (struct mr_field){.type = (enum mr_type)root->type,
                                     .not_null = root->not_null,
                                     .precision = root->precision,
                                     .scale = root->scale};
    if (root->kind != MRI_COLUMN) return MR_OK;
    return copy_children(binder, &binder->schema->fields[root->index], &bound->field);
}

static void name_expression(struct mri_binder *binder, const struct mr_expr *expr)
{
    const char *story;

    if (expr->kind == MRI_COLUMN || expr->kind == MRI_LITERAL) return;
    story = mri_story(binder, expr, true);
    if (story != NULL) mr_error_context(binder->err, "in %s", story);
}

enum mr_status mr_bind(struct mr_heap *heap, const struct mr_expr *expr,
                       const struct mr_schema *schema, struct mr_bound **out, struct mr_error *err)
{
    struct mr_bound *bound;
    struct mri_binder binder;
    enum mr_status st;

    if (expr == NULL) return mr_error_nomem(err, "an expression", sizeof(struct mr_expr));
    bound = mr_alloc_zero(heap, sizeof *bound);
    if (bound == NULL) return mr_error_nomem(err, "an expression", sizeof *bound);
    bound->heap = heap;
    mr_arena_init(&bound->arena, heap);
    binder = (struct mri_binder){
        .heap = heap, .arena = &bound->arena, .schema = schema, .bound = bound, .err = err};
    st = bind_root(&binder, expr);
    if (st != MR_OK) {
        if (st != MR_E_NOMEM && err != NULL) name_expression(&binder, expr);
        mr_bound_destroy(bound);
        return st;
    }
    *out = bound;
    return MR_OK;
}

void mr_bound_destroy(struct mr_bound *bound)
{
    if (bound == NULL) return;
    mr_arena_fini(&bound->arena);
    mr_free(bound->heap, bound, sizeof *bound);
}

const struct mr_field *mr_bound_field(const struct mr_bound *bound)
{
    return &bound->field;
}

bool mr_bound_is_column(const struct mr_bound *bound, uint32_t *out_index)
{
    if (bound->root->kind != MRI_COLUMN) return false;
    *out_index = bound->root->index;
    return true;
}

bool mr_bound_is_constant(const struct mr_bound *bound)
{
    return bound->root->kind == MRI_LITERAL;
}
