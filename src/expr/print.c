/* print.c - the text of trees, unbound and bound: as it would be written in SQL. See expr.h. */
#include "expr/expr_internal.h"
#include "base/time.h"

static const char *const op_texts[] = {
#define OP_TEXT(id, text, least, most) text,
    MR_OP_MAP(OP_TEXT)
#undef OP_TEXT
};

const char *mri_op_text(enum mr_op op)
{
    return (size_t)op < MR_COUNT(op_texts) ? op_texts[op] : "unknown operator";
}

void mri_type_print(uint8_t type, uint8_t precision, uint8_t scale, struct mr_text *out)
{
    mr_text_add(out, mr_type_name((enum mr_type)type));
    if (type == MR_DECIMAL) mr_text_format(out, "(%u,%u)", precision, scale);
}

/* How tightly a node binds; brackets go around an argument that binds less than its place asks. */
enum { BIND_OR, BIND_AND, BIND_NOT, BIND_COMPARE, BIND_ADD, BIND_MULTIPLY, BIND_SIGN, BIND_CALL };

static int op_binding(uint8_t op)
{
    if (op == MR_OP_OR) return BIND_OR;
    if (op == MR_OP_AND) return BIND_AND;
    if (op == MR_OP_NOT) return BIND_NOT;
    if (op >= MR_OP_EQ && op <= MR_OP_GE) return BIND_COMPARE;
    if (op >= MR_OP_IS_NULL && op <= MR_OP_IN) return BIND_COMPARE;
    if (op == MR_OP_LIKE) return BIND_COMPARE;
    if (op == MR_OP_ADD || op == MR_OP_SUBTRACT) return BIND_ADD;
    if (op == MR_OP_MULTIPLY || op == MR_OP_DIVIDE || op == MR_OP_MODULO) return BIND_MULTIPLY;
    if (op == MR_OP_NEGATE) return BIND_SIGN;
    return BIND_CALL;
}

static int binding_of(const struct mr_expr *expr, bool show_implicit)
{
    while (expr->kind == MRI_CAST && expr->implicit && !show_implicit) expr = expr->args[0];
    return expr->kind == MRI_CALL ? op_binding(expr->op) : BIND_CALL;
}

static void print_operand(const struct mr_expr *expr, int least, bool show, struct mr_text *out)
{
    bool brackets = binding_of(expr, show) < least;

    if (brackets) mr_text_add_char(out, '(');
    mri_print(expr, show, out);
    if (brackets) mr_text_add_char(out, ')');
}

static void print_name(const char *name, struct mr_text *out)
{
    bool plain = name[0] != '\0' && !(name[0] >= '0' && name[0] <= '9');

    for (const char *at = name; *at != '\0' && plain; at++) {
        plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || *at == '_' ||
                *at == '.' || (*at >= '0' && *at <= '9') || (*at & 0x80) != 0;
    }
    if (!plain) mr_text_add_char(out, '`');
    mr_text_add(out, name);
    if (!plain) mr_text_add_char(out, '`');
}

static void print_string(const char *data, size_t size_bytes, struct mr_text *out)
{
    mr_text_add_char(out, '\'');
    for (size_t i = 0, valid = 0; i < size_bytes; i++) {
        if (i == valid) valid += mri_utf8_valid_bytes(data + i, size_bytes - i);
        if (data[i] == '\'') mr_text_add_char(out, '\'');
        /* Messages are UTF-8 even about what is not. */
        mr_text_add_char(out, data[i] == '\0' || i == valid ? '?' : data[i]);
        valid = MR_MAX(valid, i + 1);
    }
    mr_text_add_char(out, '\'');
}

static void print_time(const struct mr_expr *expr, struct mr_text *out)
{
    char buffer[MR_TIME_TEXT_BYTES];
    int64_t value = (int64_t)expr->number;
    size_t size = 0;

    switch (expr->type) {
    case MR_DATE:
        mr_text_add(out, "DATE '");
        size = mr_format_date(buffer, (int32_t)value);
        break;
    case MR_TIME:
        mr_text_add(out, "TIME '");
        size = mr_format_time(buffer, value);
        break;
    case MR_INTERVAL:
        mr_text_add(out, value < 0 ? "INTERVAL '-" : "INTERVAL '");
        size = mr_format_duration(buffer, value == INT64_MIN ? INT64_MAX
                                          : value < 0        ? -value
                                                             : value);
        break;
    default:
        mr_text_add(out, expr->type == MR_TIMESTAMP ? "TIMESTAMP '" : "TIMESTAMP_LTZ '");
        size = mr_format_timestamp(buffer, value, expr->type == MR_TIMESTAMP_LTZ);
        break;
    }
    mr_text_add_bytes(out, buffer, size);
    mr_text_add_char(out, '\'');
}

/* 1.0, not 1: an integer would have another type. */
static void print_float(const struct mr_expr *expr, struct mr_text *out)
{
    char buffer[MR_NUM_TEXT_BYTES];
    size_t size = expr->type == MR_FLOAT32 ? mr_num_format_float32(buffer, (float)expr->real)
                                           : mr_num_format_float64(buffer, expr->real);
    bool whole = true;

    mr_text_add_bytes(out, buffer, size);
    for (size_t i = 0; i < size && whole; i++) {
        whole = buffer[i] == '-' || (buffer[i] >= '0' && buffer[i] <= '9');
    }
    if (whole) mr_text_add(out, ".0");
}

static void print_literal(const struct mr_expr *expr, struct mr_text *out)
{
    char buffer[MR_NUM_TEXT_BYTES];

    if (expr->is_null) {
        mr_text_add(out, "NULL");
    } else if (expr->type == MR_BOOL) {
        mr_text_add(out, expr->number != 0 ? "TRUE" : "FALSE");
    } else if (mr_type_is_integer((enum mr_type)expr->type)) {
        mr_text_add_int(out, (int64_t)expr->number);
    } else if (mr_type_is_float((enum mr_type)expr->type)) {
        print_float(expr, out);
    } else if (expr->type == MR_DECIMAL) {
        struct mr_int128 value = {(uint64_t)expr->number, (int64_t)(expr->number >> 64)};

        mr_text_add_bytes(out, buffer, mr_num_format_decimal(buffer, value, expr->scale));
    } else if (mr_type_is_text((enum mr_type)expr->type)) {
        print_string(expr->text, expr->size_bytes, out);
    } else {
        print_time(expr, out);
    }
}

static void print_list(const struct mr_expr *expr, uint32_t first, bool show, struct mr_text *out)
{
    mr_text_add_char(out, '(');
    for (uint32_t i = first; i < expr->count; i++) {
        if (i > first) mr_text_add(out, ", ");
        mri_print(expr->args[i], show, out);
    }
    mr_text_add_char(out, ')');
}

/* a op b op c; the arguments behind the first need brackets at the same level: a - (b - c). */
static void print_infix(const struct mr_expr *expr, const char *text, bool show,
                        struct mr_text *out)
{
    int level = op_binding(expr->op);
    int first = level == BIND_COMPARE ? level + 1 : level;

    for (uint32_t i = 0; i < expr->count; i++) {
        if (i > 0) mr_text_format(out, " %s ", text);
        print_operand(expr->args[i], i == 0 ? first : level + 1, show, out);
    }
}

static void print_call(const struct mr_expr *expr, bool show, struct mr_text *out)
{
    const char *text = mri_op_text((enum mr_op)expr->op);
    uint8_t op = expr->op;
    int level = op_binding(op);

    if (op == MR_OP_AND || op == MR_OP_OR) {
        print_infix(expr, op == MR_OP_AND ? "AND" : "OR", show, out);
    } else if (op == MR_OP_LIKE) {
        print_infix(expr, "LIKE", show, out);
    } else if (op == MR_OP_IS_DISTINCT) {
        print_infix(expr, "IS DISTINCT FROM", show, out);
    } else if (op == MR_OP_IN && expr->count > 0) {
        print_operand(expr->args[0], level + 1, show, out);
        mr_text_add(out, " IN ");
        print_list(expr, 1, show, out);
    } else if (op == MR_OP_NOT && expr->count == 1) {
        mr_text_add(out, "NOT ");
        print_operand(expr->args[0], level, show, out);
    } else if (op == MR_OP_NEGATE && expr->count == 1) {
        mr_text_add_char(out, '-');
        print_operand(expr->args[0], level + 1, show, out);
    } else if ((op == MR_OP_IS_NULL || op == MR_OP_IS_NOT_NULL) && expr->count == 1) {
        print_operand(expr->args[0], level + 1, show, out);
        mr_text_add(out, op == MR_OP_IS_NULL ? " IS NULL" : " IS NOT NULL");
    } else if (level < BIND_CALL && expr->count > 1) {
        print_infix(expr, text, show, out);
    } else {
        mr_text_add(out, text);
        print_list(expr, 0, show, out);
    }
}

static void print_case(const struct mr_expr *expr, bool show, struct mr_text *out)
{
    const struct mr_expr *otherwise = expr->args[expr->count - 1];

    mr_text_add(out, "CASE");
    for (uint32_t i = 0; i + 1 < expr->count; i += 2) {
        mr_text_add(out, " WHEN ");
        mri_print(expr->args[i], show, out);
        mr_text_add(out, " THEN ");
        mri_print(expr->args[i + 1], show, out);
    }
    if (!mri_is_null_literal(otherwise)) {
        mr_text_add(out, " ELSE ");
        mri_print(otherwise, show, out);
    }
    mr_text_add(out, " END");
}

static void print_cast(const struct mr_expr *expr, bool show, struct mr_text *out)
{
    mr_text_add(out, expr->try_cast ? "TRY_CAST(" : "CAST(");
    mri_print(expr->args[0], show, out);
    mr_text_add(out, " AS ");
    mri_type_print(expr->type, expr->precision, expr->scale, out);
    mr_text_add_char(out, ')');
}

static const char *hidden_name(uint32_t index)
{
    if (index == MR_HIDDEN_EVENT_TIME) return "event_time()";
    return index == MR_HIDDEN_WINDOW_START ? "window_start()" : "window_end()";
}

void mri_print(const struct mr_expr *expr, bool show_implicit, struct mr_text *out)
{
    while (expr->kind == MRI_CAST && expr->implicit && !show_implicit) expr = expr->args[0];
    switch ((enum mri_kind)expr->kind) {
    case MRI_COLUMN: print_name(expr->name, out); break;
    case MRI_HIDDEN: mr_text_add(out, hidden_name(expr->index)); break;
    case MRI_LITERAL: print_literal(expr, out); break;
    case MRI_CALL: print_call(expr, show_implicit, out); break;
    case MRI_CASE: print_case(expr, show_implicit, out); break;
    case MRI_CAST: print_cast(expr, show_implicit, out); break;
    case MRI_TOO_LARGE: mr_text_add(out, "..."); break;
    }
}

void mr_expr_print(const struct mr_expr *expr, struct mr_text *out)
{
    if (expr == NULL) {
        mr_text_add(out, "(out of memory)");
        return;
    }
    mri_print(expr, true, out);
}

void mr_bound_print(const struct mr_bound *bound, struct mr_text *out)
{
    mri_print(bound->root, true, out);
}
