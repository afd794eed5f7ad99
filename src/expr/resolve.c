/* resolve.c - the types of calls: common types, implicit casts, what each operator accepts. */
#include "expr/bind_internal.h"

#define BIT(type) (UINT32_C(1) << (type))
#define INTEGERS (BIT(MR_INT8) | BIT(MR_INT16) | BIT(MR_INT32) | BIT(MR_INT64))
#define NUMBERS (INTEGERS | BIT(MR_FLOAT32) | BIT(MR_FLOAT64) | BIT(MR_DECIMAL))
#define TEXTS (BIT(MR_UTF8) | BIT(MR_BINARY))
#define INSTANTS (BIT(MR_TIMESTAMP) | BIT(MR_TIMESTAMP_LTZ))

static const struct mri_type bool_type = {MR_BOOL, 0, 0};
static const struct mri_type int64_type = {MR_INT64, 0, 0};
static const struct mri_type float64_type = {MR_FLOAT64, 0, 0};

static void set_type(struct mr_expr *node, struct mri_type type)
{
    node->type = type.type;
    node->precision = type.precision;
    node->scale = type.scale;
}

static bool same_type(struct mri_type left, struct mri_type right)
{
    return left.type == right.type &&
           (left.type != MR_DECIMAL ||
            (left.precision == right.precision && left.scale == right.scale));
}

static bool is_a(const struct mr_expr *node, uint32_t mask)
{
    return (BIT(node->type) & mask) != 0;
}

static bool is_integer(uint8_t type)
{
    return (BIT(type) & INTEGERS) != 0;
}

static bool is_untyped(const struct mr_expr *node)
{
    return node->type == MR_TYPE_NONE;
}

struct mri_type mri_decimal_type(int32_t precision, int32_t scale)
{
    if (precision > (int32_t)MRI_DECIMAL_DIGITS) {
        int32_t whole = precision - scale;
        int32_t least = MR_MIN(scale, 6);

        scale = MR_MAX((int32_t)MRI_DECIMAL_DIGITS - whole, least);
        precision = (int32_t)MRI_DECIMAL_DIGITS;
    }
    return (struct mri_type){MR_DECIMAL, (uint8_t)MR_MAX(precision, 1), (uint8_t)scale};
}

/* An integer as the decimal that holds all its values. */
static struct mri_type as_decimal(struct mri_type type)
{
    switch (type.type) {
    case MR_INT8: return mri_decimal_type(3, 0);
    case MR_INT16: return mri_decimal_type(5, 0);
    case MR_INT32: return mri_decimal_type(10, 0);
    case MR_INT64: return mri_decimal_type(19, 0);
    default: return type;
    }
}

static bool common_number(struct mri_type left, struct mri_type right, struct mri_type *out)
{
    if (is_integer(left.type) && is_integer(right.type)) {
        *out = left.type > right.type ? left : right;
    } else if (left.type == MR_FLOAT32 && right.type == MR_FLOAT32) {
        *out = left;
    } else if (mr_type_is_float((enum mr_type)left.type) ||
               mr_type_is_float((enum mr_type)right.type)) {
        *out = float64_type;
    } else {
        struct mri_type a = as_decimal(left), b = as_decimal(right);
        int32_t scale = MR_MAX(a.scale, b.scale);

        *out = mri_decimal_type(MR_MAX(a.precision - a.scale, b.precision - b.scale) + scale,
                                scale);
    }
    return true;
}

static bool common_type(struct mri_type left, struct mri_type right, struct mri_type *out)
{
    bool texts = (BIT(left.type) & TEXTS) != 0 && (BIT(right.type) & TEXTS) != 0;
    uint32_t both = BIT(left.type) | BIT(right.type);

    *out = left;
    if (same_type(left, right)) return left.type <= MR_INTERVAL;
    if (left.type == MR_TYPE_NONE) {
        *out = right;
        return true;
    }
    if (right.type == MR_TYPE_NONE) return true;
    if ((both & ~NUMBERS) == 0) return common_number(left, right, out);
    if (texts) {
        *out = (struct mri_type){MR_BINARY, 0, 0};
        return true;
    }
    if (both == (BIT(MR_DATE) | BIT(MR_TIMESTAMP))) {
        *out = (struct mri_type){MR_TIMESTAMP, 0, 0};
        return true;
    }
    return false;
}

static enum mr_status mismatch(struct mri_binder *binder, const struct mr_expr *node,
                               const struct mr_expr *left, const struct mr_expr *right)
{
    const char *hint = "use CAST to say how to compare or combine them";

    if (is_a(left, INSTANTS) && is_a(right, INSTANTS)) {
        hint = "one is wall clock time and the other an instant; CAST one of them (taken as UTC)";
    } else if (left->type > MR_INTERVAL || right->type > MR_INTERVAL) {
        hint = "nested values cannot be used here";
    }
    return mr_error_set(binder->err, MR_E_SCHEMA, "%s does not fit %s with %s: %s",
                        node->kind == MRI_CASE ? "CASE" : mri_op_text((enum mr_op)node->op),
                        mri_label(binder, left), mri_label(binder, right), hint);
}

/* ---- implicit casts ---- */

static bool integer_fits(mr_i128 value, uint8_t type)
{
    switch (type) {
    case MR_INT8: return value == (int8_t)value;
    case MR_INT16: return value == (int16_t)value;
    case MR_INT32: return value == (int32_t)value;
    default: return value == (int64_t)value;
    }
}

/* An integer literal takes the type of a narrower partner, so that the column is not widened. */
static bool literal_follows(const struct mr_expr *literal, struct mri_type type)
{
    return literal->kind == MRI_LITERAL && !literal->is_null && is_integer(literal->type) &&
           is_integer(type.type) && integer_fits(literal->number, type.type);
}

enum mr_status mri_coerce(struct mri_binder *binder, struct mr_expr **inout, struct mri_type type)
{
    struct mr_expr *node = *inout;
    struct mr_expr *cast;

    if (same_type(mri_type_of(node), type)) return MR_OK;
    if (mri_is_null_literal(node) || literal_follows(node, type)) {
        set_type(node, type);
        return mri_make_constant(binder, node);
    }
    cast = mr_arena_zero(binder->arena, sizeof *cast);
    if (cast == NULL) return mri_bind_nomem(binder);
    cast->args = mr_arena_alloc(binder->arena, sizeof *cast->args);
    if (cast->args == NULL) return mri_bind_nomem(binder);
    cast->kind = MRI_CAST;
    cast->implicit = true;
    cast->args[0] = node;
    cast->count = 1;
    set_type(cast, type);
    cast->not_null = node->not_null;
    cast->costly = node->costly;
    cast->can_fail = node->can_fail;
    if (mri_cast_can_fail(mri_type_of(node), type)) {
        cast->can_fail = true;
        cast->story = mri_story(binder, cast, true);
        if (cast->story == NULL) return mri_bind_nomem(binder);
    }
    *inout = cast;
    return mri_fold(binder, inout);
}

enum mr_status mri_unify(struct mri_binder *binder, const struct mr_expr *node,
                         struct mr_expr **args, uint32_t count, uint32_t step,
                         struct mri_type *out)
{
    struct mri_type type = {MR_TYPE_NONE, 0, 0};
    const struct mr_expr *leader = args[0];

    for (uint32_t i = 0; i < count; i++) {
        struct mri_type own = mri_type_of(args[i * step]);
        struct mri_type wider;

        if (!common_type(type, own, &wider) || own.type > MR_INTERVAL) {
            return mismatch(binder, node, leader, args[i * step]);
        }
        if (!same_type(type, wider)) leader = args[i * step];
        type = wider;
    }
    for (uint32_t i = 0; i < count; i++) MR_RET(mri_coerce(binder, &args[i * step], type));
    *out = type;
    return MR_OK;
}

/* Operands of a comparison: one type, except that decimals keep their scales. */
static enum mr_status comparable(struct mri_binder *binder, struct mr_expr *node)
{
    struct mri_type type;

    for (uint32_t i = 1; i < node->count; i++) {
        if (node->count == 2 && literal_follows(node->args[0], mri_type_of(node->args[1]))) {
            MR_RET(mri_coerce(binder, &node->args[0], mri_type_of(node->args[1])));
        }
        if (literal_follows(node->args[i], mri_type_of(node->args[0]))) {
            MR_RET(mri_coerce(binder, &node->args[i], mri_type_of(node->args[0])));
        }
    }
    if (node->count == 2 && node->args[0]->type == MR_DECIMAL &&
        node->args[1]->type == MR_DECIMAL && node->op <= MR_OP_GE) {
        return MR_OK;
    }
    MR_RET(mri_unify(binder, node, node->args, node->count, 1, &type));
    if (type.type == MR_TYPE_NONE) {
        for (uint32_t i = 0; i < node->count; i++) {
            MR_RET(mri_coerce(binder, &node->args[i], bool_type));
        }
    }
    return MR_OK;
}

/* ---- arithmetic ---- */

static enum mr_status refuse(struct mri_binder *binder, const struct mr_expr *node,
                             const struct mr_expr *arg, const char *needs)
{
    return mr_error_set(binder->err, MR_E_SCHEMA, "%s needs %s, but has %s",
                        mri_op_text((enum mr_op)node->op), needs, mri_label(binder, arg));
}

static struct mri_type decimal_result(uint8_t op, struct mri_type a, struct mri_type b)
{
    int32_t scale = MR_MAX(a.scale, b.scale);
    int32_t whole_a = a.precision - a.scale;
    int32_t whole_b = b.precision - b.scale;

    switch (op) {
    case MR_OP_MULTIPLY: return mri_decimal_type(a.precision + b.precision + 1, a.scale + b.scale);
    case MR_OP_DIVIDE:
        scale = MR_MAX(6, a.scale + b.precision + 1);
        return mri_decimal_type(whole_a + b.scale + scale, scale);
    case MR_OP_MODULO: return mri_decimal_type(MR_MIN(whole_a, whole_b) + scale, scale);
    default: return mri_decimal_type(MR_MAX(whole_a, whole_b) + scale + 1, scale);
    }
}

static enum mr_status number_arith(struct mri_binder *binder, struct mr_expr *node)
{
    struct mri_type a = mri_type_of(node->args[0]), b = mri_type_of(node->args[1]), type;

    (void)common_number(a, b, &type);
    if (type.type == MR_DECIMAL) {
        a = as_decimal(a);
        b = as_decimal(b);
        MR_RET(mri_coerce(binder, &node->args[0], a));
        MR_RET(mri_coerce(binder, &node->args[1], b));
        set_type(node, decimal_result(node->op, a, b));
    } else {
        MR_RET(mri_coerce(binder, &node->args[0], type));
        MR_RET(mri_coerce(binder, &node->args[1], type));
        set_type(node, type);
    }
    node->can_fail = !mr_type_is_float((enum mr_type)node->type);
    return MR_OK;
}

/* What time arithmetic there is: left, operator, right, result. */
static const struct {
    uint8_t left, op, right, result;
} time_rules[] = {
    {MR_TIMESTAMP, MR_OP_ADD, MR_INTERVAL, MR_TIMESTAMP},
    {MR_TIMESTAMP, MR_OP_SUBTRACT, MR_INTERVAL, MR_TIMESTAMP},
    {MR_TIMESTAMP, MR_OP_SUBTRACT, MR_TIMESTAMP, MR_INTERVAL},
    {MR_TIMESTAMP_LTZ, MR_OP_ADD, MR_INTERVAL, MR_TIMESTAMP_LTZ},
    {MR_TIMESTAMP_LTZ, MR_OP_SUBTRACT, MR_INTERVAL, MR_TIMESTAMP_LTZ},
    {MR_TIMESTAMP_LTZ, MR_OP_SUBTRACT, MR_TIMESTAMP_LTZ, MR_INTERVAL},
    {MR_TIME, MR_OP_ADD, MR_INTERVAL, MR_TIME},
    {MR_TIME, MR_OP_SUBTRACT, MR_INTERVAL, MR_TIME},
    {MR_TIME, MR_OP_SUBTRACT, MR_TIME, MR_INTERVAL},
    {MR_INTERVAL, MR_OP_ADD, MR_INTERVAL, MR_INTERVAL},
    {MR_INTERVAL, MR_OP_SUBTRACT, MR_INTERVAL, MR_INTERVAL},
    {MR_INTERVAL, MR_OP_ADD, MR_TIMESTAMP, MR_TIMESTAMP},
    {MR_INTERVAL, MR_OP_ADD, MR_TIMESTAMP_LTZ, MR_TIMESTAMP_LTZ},
    {MR_INTERVAL, MR_OP_ADD, MR_TIME, MR_TIME},
    {MR_INTERVAL, MR_OP_MULTIPLY, MR_INT64, MR_INTERVAL},
    {MR_INT64, MR_OP_MULTIPLY, MR_INTERVAL, MR_INTERVAL},
    {MR_INTERVAL, MR_OP_DIVIDE, MR_INT64, MR_INTERVAL},
};

/* Dates count as timestamps at midnight, integers as int64; an untyped NULL as an interval. */
static enum mr_status widen_time(struct mri_binder *binder, struct mr_expr **arg)
{
    if ((*arg)->type == MR_DATE) {
        return mri_coerce(binder, arg, (struct mri_type){MR_TIMESTAMP, 0, 0});
    }
    if (is_integer((*arg)->type)) return mri_coerce(binder, arg, int64_type);
    if (is_untyped(*arg)) return mri_coerce(binder, arg, (struct mri_type){MR_INTERVAL, 0, 0});
    return MR_OK;
}

static enum mr_status resolve_arith(struct mri_binder *binder, struct mr_expr *node)
{
    struct mr_expr **args = node->args;

    if (is_untyped(args[0]) && is_untyped(args[1])) {
        return refuse(binder, node, args[0], "at least one operand with a type");
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (is_untyped(args[i]) && is_a(args[1 - i], NUMBERS)) {
            MR_RET(mri_coerce(binder, &args[i], mri_type_of(args[1 - i])));
        }
    }
    if (is_a(args[0], NUMBERS) && is_a(args[1], NUMBERS)) return number_arith(binder, node);
    if (!is_a(args[0], TEXTS | BIT(MR_BOOL)) && !is_a(args[1], TEXTS | BIT(MR_BOOL))) {
        MR_RET(widen_time(binder, &args[0]));
        MR_RET(widen_time(binder, &args[1]));
    }
    for (size_t i = 0; i < MR_COUNT(time_rules); i++) {
        if (time_rules[i].left == args[0]->type && time_rules[i].op == node->op &&
            time_rules[i].right == args[1]->type) {
            set_type(node, (struct mri_type){time_rules[i].result, 0, 0});
            node->can_fail = true;
            return MR_OK;
        }
    }
    return mismatch(binder, node, args[0], args[1]);
}

static enum mr_status resolve_sign(struct mri_binder *binder, struct mr_expr *node)
{
    struct mr_expr *arg = node->args[0];

    if (!is_a(arg, NUMBERS | BIT(MR_INTERVAL))) {
        return refuse(binder, node, arg, "a number or an interval");
    }
    set_type(node, mri_type_of(arg));
    node->can_fail = !is_a(arg, BIT(MR_FLOAT32) | BIT(MR_FLOAT64) | BIT(MR_DECIMAL));
    return MR_OK;
}

/* ROUND(x, n) of a decimal: n decides the type, so it must be known. */
static enum mr_status resolve_round(struct mri_binder *binder, struct mr_expr *node)
{
    struct mr_expr *arg = node->args[0];
    int32_t whole = arg->precision - arg->scale;
    int32_t scale = 0;

    if (node->count == 2) {
        if (!is_a(node->args[1], INTEGERS) && !is_untyped(node->args[1])) {
            return refuse(binder, node, node->args[1], "a whole number of digits");
        }
        MR_RET(mri_coerce(binder, &node->args[1], int64_type));
        if (arg->type == MR_DECIMAL) {
            if (node->args[1]->kind != MRI_LITERAL) {
                return refuse(binder, node, node->args[1], "a constant number of digits");
            }
            scale = (int32_t)MR_MAX(0, MR_MIN(node->args[1]->number, (mr_i128)arg->scale));
        }
    }
    if (arg->type == MR_DECIMAL) {
        set_type(node, mri_decimal_type(whole + scale + 1, scale));
        node->can_fail = true;
    }
    return MR_OK;
}

static enum mr_status resolve_math(struct mri_binder *binder, struct mr_expr *node)
{
    for (uint32_t i = 0; i < node->count; i++) {
        if (is_untyped(node->args[i])) MR_RET(mri_coerce(binder, &node->args[i], float64_type));
        if (!is_a(node->args[i], NUMBERS)) return refuse(binder, node, node->args[i], "a number");
    }
    set_type(node, mri_type_of(node->args[0]));
    if (node->op == MR_OP_SQRT || node->op == MR_OP_POWER) {
        for (uint32_t i = 0; i < node->count; i++) {
            MR_RET(mri_coerce(binder, &node->args[i], float64_type));
        }
        set_type(node, float64_type);
        return MR_OK;
    }
    if (node->op == MR_OP_ROUND) {
        node->can_fail = is_a(node->args[0], INTEGERS);
        return resolve_round(binder, node);
    }
    if (node->type == MR_DECIMAL) {
        set_type(node, mri_decimal_type(node->precision - node->scale + 1, 0));
        node->can_fail = true;
    }
    return MR_OK;
}

/* ---- functions with fixed arguments ---- */

struct signature {
    uint32_t accepts[3];
    const char *needs[3];
    uint8_t result; /* NONE: type of the first argument */
    bool can_fail;
    bool costly;
};

static const char text_word[] = "a text";
static const char texts_word[] = "a text or binary value";
static const char time_word[] = "a date or timestamp";
static const char clock_word[] = "a time or timestamp";

static const struct signature signatures[MR_OP_COUNT] = {
    [MR_OP_LENGTH] = {{BIT(MR_UTF8)}, {text_word}, MR_INT64, false, false},
    [MR_OP_BYTE_LENGTH] = {{TEXTS}, {texts_word}, MR_INT64, false, false},
    [MR_OP_UPPER] = {{BIT(MR_UTF8)}, {text_word}, MR_TYPE_NONE, false, false},
    [MR_OP_LOWER] = {{BIT(MR_UTF8)}, {text_word}, MR_TYPE_NONE, false, false},
    [MR_OP_TRIM] = {{BIT(MR_UTF8)}, {text_word}, MR_TYPE_NONE, false, false},
    [MR_OP_SUBSTRING] = {{TEXTS, INTEGERS, INTEGERS},
                         {texts_word, "a whole number (start)", "a whole number (length)"},
                         MR_TYPE_NONE, false, false},
    [MR_OP_STARTS_WITH] = {{TEXTS, TEXTS}, {texts_word, texts_word}, MR_BOOL, false, false},
    [MR_OP_ENDS_WITH] = {{TEXTS, TEXTS}, {texts_word, texts_word}, MR_BOOL, false, false},
    [MR_OP_CONTAINS] = {{TEXTS, TEXTS}, {texts_word, texts_word}, MR_BOOL, false, true},
    [MR_OP_LIKE] = {{BIT(MR_UTF8), BIT(MR_UTF8)}, {text_word, text_word}, MR_BOOL, false, true},
    [MR_OP_REPLACE] = {{TEXTS, TEXTS, TEXTS}, {texts_word, texts_word, texts_word}, MR_TYPE_NONE,
                       true, true},
    [MR_OP_YEAR] = {{INSTANTS | BIT(MR_DATE)}, {time_word}, MR_INT64, false, false},
    [MR_OP_MONTH] = {{INSTANTS | BIT(MR_DATE)}, {time_word}, MR_INT64, false, false},
    [MR_OP_DAY] = {{INSTANTS | BIT(MR_DATE)}, {time_word}, MR_INT64, false, false},
    [MR_OP_DAY_OF_WEEK] = {{INSTANTS | BIT(MR_DATE)}, {time_word}, MR_INT64, false, false},
    [MR_OP_HOUR] = {{INSTANTS | BIT(MR_TIME)}, {clock_word}, MR_INT64, false, false},
    [MR_OP_MINUTE] = {{INSTANTS | BIT(MR_TIME)}, {clock_word}, MR_INT64, false, false},
    [MR_OP_SECOND] = {{INSTANTS | BIT(MR_TIME)}, {clock_word}, MR_INT64, false, false},
    [MR_OP_FLOOR_TIME] = {{INSTANTS | BIT(MR_DATE) | BIT(MR_TIME), BIT(MR_INTERVAL)},
                          {"a date, time or timestamp", "an interval"}, MR_TYPE_NONE, true, false},
    [MR_OP_TO_DATE] = {{INSTANTS | BIT(MR_DATE)}, {time_word}, MR_DATE, false, false},
    [MR_OP_EPOCH_MILLIS] = {{INSTANTS}, {"a timestamp"}, MR_INT64, false, false},
    [MR_OP_FROM_MILLIS] = {{INTEGERS}, {"a whole number"}, MR_TIMESTAMP_LTZ, true, false},
};

static struct mri_type first_of(uint32_t mask)
{
    struct mri_type type = {0, 0, 0};

    while ((BIT(type.type) & mask) == 0) type.type++;
    return type;
}

static enum mr_status resolve_function(struct mri_binder *binder, struct mr_expr *node)
{
    const struct signature *signature = &signatures[node->op];
    struct mri_type type;

    for (uint32_t i = 0; i < node->count; i++) {
        if (is_untyped(node->args[i])) {
            MR_RET(mri_coerce(binder, &node->args[i], first_of(signature->accepts[i])));
        }
        if (!is_a(node->args[i], signature->accepts[i])) {
            return refuse(binder, node, node->args[i], signature->needs[i]);
        }
        if (is_a(node->args[i], INTEGERS)) MR_RET(mri_coerce(binder, &node->args[i], int64_type));
    }
    if (node->count >= 2 && (signature->accepts[1] & TEXTS) != 0) {
        MR_RET(mri_unify(binder, node, node->args, node->count, 1, &type));
    }
    if (is_a(node->args[0], BIT(MR_DATE)) && node->op == MR_OP_FLOOR_TIME) {
        MR_RET(mri_coerce(binder, &node->args[0], (struct mri_type){MR_TIMESTAMP, 0, 0}));
    }
    set_type(node, mri_type_of(node->args[0]));
    if (signature->result != MR_TYPE_NONE) {
        set_type(node, (struct mri_type){signature->result, 0, 0});
    }
    node->can_fail = signature->can_fail;
    node->costly |= signature->costly;
    if (node->op == MR_OP_SUBSTRING) node->not_null = node->not_null && node->count == 2;
    return MR_OK;
}

/* ---- the rest ---- */

static enum mr_status resolve_logic(struct mri_binder *binder, struct mr_expr *node)
{
    for (uint32_t i = 0; i < node->count; i++) {
        MR_RET(is_untyped(node->args[i]) ? mri_coerce(binder, &node->args[i], bool_type) : MR_OK);
        if (node->args[i]->type != MR_BOOL) {
            return refuse(binder, node, node->args[i], "conditions (bool)");
        }
    }
    set_type(node, bool_type);
    return MR_OK;
}

static enum mr_status resolve_concat(struct mri_binder *binder, struct mr_expr *node)
{
    struct mri_type type;

    for (uint32_t i = 0; i < node->count; i++) {
        if (!is_a(node->args[i], TEXTS | BIT(MR_TYPE_NONE))) {
            return refuse(binder, node, node->args[i], "texts (CAST the value to utf8)");
        }
    }
    MR_RET(mri_unify(binder, node, node->args, node->count, 1, &type));
    if (type.type == MR_TYPE_NONE) type.type = MR_UTF8;
    for (uint32_t i = 0; i < node->count; i++) MR_RET(mri_coerce(binder, &node->args[i], type));
    set_type(node, type);
    node->can_fail = true;
    return MR_OK;
}

static enum mr_status resolve_alike(struct mri_binder *binder, struct mr_expr *node)
{
    struct mri_type type;

    if (node->op == MR_OP_NULLIF) {
        MR_RET(comparable(binder, node));
        set_type(node, mri_type_of(node->args[0]));
        node->not_null = false;
        return MR_OK;
    }
    MR_RET(mri_unify(binder, node, node->args, node->count, 1, &type));
    set_type(node, type);
    if (node->op == MR_OP_COALESCE) {
        node->not_null = false;
        for (uint32_t i = 0; i < node->count; i++) {
            node->not_null = node->not_null || node->args[i]->not_null;
        }
    }
    return MR_OK;
}

static enum mr_status resolve_by_group(struct mri_binder *binder, struct mr_expr *node)
{
    switch ((enum mr_op)node->op) {
    case MR_OP_ADD:
    case MR_OP_SUBTRACT:
    case MR_OP_MULTIPLY:
    case MR_OP_DIVIDE:
    case MR_OP_MODULO: return resolve_arith(binder, node);
    case MR_OP_NEGATE:
    case MR_OP_ABS: return resolve_sign(binder, node);
    case MR_OP_AND:
    case MR_OP_OR:
    case MR_OP_NOT: return resolve_logic(binder, node);
    case MR_OP_EQ:
    case MR_OP_NE:
    case MR_OP_LT:
    case MR_OP_LE:
    case MR_OP_GT:
    case MR_OP_GE:
    case MR_OP_IN: set_type(node, bool_type); return comparable(binder, node);
    case MR_OP_IS_DISTINCT:
        set_type(node, bool_type);
        node->not_null = true;
        return comparable(binder, node);
    case MR_OP_IS_NULL:
    case MR_OP_IS_NOT_NULL:
        set_type(node, bool_type);
        node->not_null = true;
        return is_untyped(node->args[0]) ? mri_coerce(binder, &node->args[0], bool_type) : MR_OK;
    case MR_OP_COALESCE:
    case MR_OP_NULLIF:
    case MR_OP_LEAST:
    case MR_OP_GREATEST: return resolve_alike(binder, node);
    case MR_OP_FLOOR:
    case MR_OP_CEIL:
    case MR_OP_ROUND:
    case MR_OP_SQRT:
    case MR_OP_POWER: return resolve_math(binder, node);
    case MR_OP_CONCAT: return resolve_concat(binder, node);
    case MR_OP_HASH:
        set_type(node, int64_type);
        node->not_null = true;
        for (uint32_t i = 0; i < node->count; i++) {
            if (is_untyped(node->args[i])) MR_RET(mri_coerce(binder, &node->args[i], bool_type));
        }
        return MR_OK;
    case MR_OP_LENGTH:
    case MR_OP_BYTE_LENGTH:
    case MR_OP_UPPER:
    case MR_OP_LOWER:
    case MR_OP_TRIM:
    case MR_OP_SUBSTRING:
    case MR_OP_STARTS_WITH:
    case MR_OP_ENDS_WITH:
    case MR_OP_CONTAINS:
    case MR_OP_LIKE:
    case MR_OP_REPLACE:
    case MR_OP_YEAR:
    case MR_OP_MONTH:
    case MR_OP_DAY:
    case MR_OP_HOUR:
    case MR_OP_MINUTE:
    case MR_OP_SECOND:
    case MR_OP_DAY_OF_WEEK:
    case MR_OP_FLOOR_TIME:
    case MR_OP_TO_DATE:
    case MR_OP_EPOCH_MILLIS:
    case MR_OP_FROM_MILLIS: return resolve_function(binder, node);
    case MR_OP_COUNT: break;
    }
    return mr_error_set(binder->err, MR_E_INVALID, "unknown operator number %u", node->op);
}

enum mr_status mri_resolve_call(struct mri_binder *binder, struct mr_expr *node)
{
    static const uint8_t least[] = {
#define OP_LEAST(id, text, from, to) from,
        MR_OP_MAP(OP_LEAST)
#undef OP_LEAST
    };
    static const uint8_t most[] = {
#define OP_MOST(id, text, from, to) to,
        MR_OP_MAP(OP_MOST)
#undef OP_MOST
    };

    if (node->op < MR_OP_COUNT && (node->count < least[node->op] || node->count > most[node->op])) {
        return mr_error_set(binder->err, MR_E_INVALID,
                            "%s takes %u to %u arguments, but has %u",
                            mri_op_text((enum mr_op)node->op), least[node->op], most[node->op],
                            node->count);
    }
    node->not_null = true;
    for (uint32_t i = 0; i < node->count; i++) {
        node->not_null = node->not_null && node->args[i]->not_null;
    }
    return resolve_by_group(binder, node);
}
