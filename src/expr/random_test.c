/* random_test.c - random trees over random rows, against an interpreter that knows no columns.
 *
 * The interpreter below evaluates one row at a time over plain C values, lazily, straight from the
 * rules on the page; it shares nothing with the kernels but the shape of the tree.
 */
#include "expr/expr_internal.h"
#include "expr/expr_test_helper.h"

#include <math.h>

enum { ROWS = 200, TREES = 400 };

static const char schema_text[] = "a int64, b int64, x float64, p bool, q bool, s utf8, u utf8";

struct cell { /* a value of the interpreter */
    bool null;
    bool failed;
    int64_t i; /* also bool */
    double x;
    char s[160];
};

static const struct cell *row_cells; /* of the current row */
static bool row_failed;

/* ---- the interpreter ---- */

static struct cell look(const struct mr_expr *e);

static struct cell fail_cell(void)
{
    row_failed = true;
    return (struct cell){.null = true};
}

static int type_of(const struct mr_expr *e) /* 'i' 'x' 'p' 's' */
{
    static const char columns[] = "abxpqsu", types[] = "iixppss";

    if (e->kind == MRI_COLUMN) return types[strchr(columns, e->name[0]) - columns];
    if (e->kind == MRI_LITERAL) {
        if (e->type == MR_INT64) return 'i';
        return e->type == MR_FLOAT64 ? 'x' : e->type == MR_BOOL ? 'p' : 's';
    }
    if (e->kind == MRI_CASE) return type_of(e->args[1]);
    if (e->kind == MRI_CAST) return e->type == MR_INT64 ? 'i' : e->type == MR_FLOAT64 ? 'x' : 's';
    switch (e->op) {
    case MR_OP_ADD:
    case MR_OP_SUBTRACT:
    case MR_OP_MULTIPLY:
    case MR_OP_DIVIDE:
    case MR_OP_MODULO:
    case MR_OP_NEGATE:
    case MR_OP_ABS:
    case MR_OP_COALESCE:
    case MR_OP_NULLIF:
    case MR_OP_LEAST:
    case MR_OP_GREATEST:
    case MR_OP_UPPER:
    case MR_OP_CONCAT: return type_of(e->args[0]);
    case MR_OP_LENGTH: return 'i';
    default: return 'p';
    }
}

static struct cell integer_math(int op, int64_t a, int64_t b)
{
    mr_i128 wide = 0;

    if ((op == MR_OP_DIVIDE || op == MR_OP_MODULO) && b == 0) return fail_cell();
    switch (op) {
    case MR_OP_ADD: wide = (mr_i128)a + b; break;
    case MR_OP_SUBTRACT: wide = (mr_i128)a - b; break;
    case MR_OP_MULTIPLY: wide = (mr_i128)a * b; break;
    case MR_OP_DIVIDE: wide = (mr_i128)a / b; break;
    default: wide = (mr_i128)a % b; break;
    }
    if (wide != (int64_t)wide) return fail_cell();
    return (struct cell){.i = (int64_t)wide};
}

static struct cell float_math(int op, double a, double b)
{
    switch (op) {
    case MR_OP_ADD: return (struct cell){.x = a + b};
    case MR_OP_SUBTRACT: return (struct cell){.x = a - b};
    case MR_OP_MULTIPLY: return (struct cell){.x = a * b};
    case MR_OP_DIVIDE: return (struct cell){.x = a / b};
    default: return (struct cell){.x = fmod(a, b)};
    }
}

/* -2: not comparable (NaN). */
static int order(int type, const struct cell *a, const struct cell *b)
{
    int c;

    if (type == 's') {
        c = strcmp(a->s, b->s);
        return c < 0 ? -1 : c > 0;
    }
    if (type == 'x') {
        if (isnan(a->x) || isnan(b->x)) return -2;
        return a->x < b->x ? -1 : a->x > b->x;
    }
    return a->i < b->i ? -1 : a->i > b->i;
}

static struct cell truth(bool value)
{
    return (struct cell){.i = value};
}

static struct cell compare_cells(int op, int type, const struct cell *a, const struct cell *b)
{
    int c = order(type, a, b);

    switch (op) {
    case MR_OP_EQ: return truth(c == 0);
    case MR_OP_NE: return truth(c != 0);
    case MR_OP_LT: return truth(c == -1);
    case MR_OP_LE: return truth(c == -1 || c == 0);
    case MR_OP_GT: return truth(c == 1);
    default: return truth(c == 1 || c == 0);
    }
}

static struct cell look_logic(const struct mr_expr *e)
{
    bool unknown = false;
    int64_t decides = e->op == MR_OP_OR;

    for (uint32_t i = 0; i < e->count; i++) {
        struct cell c = look(e->args[i]);

        if (c.null) unknown = true;
        else if (c.i == decides) return truth(decides);
    }
    return unknown ? (struct cell){.null = true} : truth(!decides);
}

static struct cell look_lazy(const struct mr_expr *e, bool *out_done)
{
    struct cell c, d;

    *out_done = true;
    switch (e->op) {
    case MR_OP_AND:
    case MR_OP_OR: return look_logic(e);
    case MR_OP_IS_NULL: return truth(look(e->args[0]).null);
    case MR_OP_IS_NOT_NULL: return truth(!look(e->args[0]).null);
    case MR_OP_COALESCE:
        for (uint32_t i = 0; i < e->count; i++) {
            c = look(e->args[i]);
            if (!c.null) return c;
        }
        return (struct cell){.null = true};
    case MR_OP_NULLIF:
        c = look(e->args[0]);
        d = look(e->args[1]);
        if (!c.null && !d.null && order(type_of(e->args[0]), &c, &d) == 0) c.null = true;
        return c;
    case MR_OP_IS_DISTINCT:
        c = look(e->args[0]);
        d = look(e->args[1]);
        if (c.null || d.null) return truth(c.null != d.null);
        return truth(order(type_of(e->args[0]), &c, &d) != 0);
    case MR_OP_IN: {
        bool found = false, unknown = false;

        c = look(e->args[0]);
        for (uint32_t i = 1; i < e->count; i++) {
            d = look(e->args[i]);
            if (d.null) unknown = true;
            else if (!c.null) found = found || order(type_of(e->args[0]), &c, &d) == 0;
        }
        if (c.null || (!found && unknown)) return (struct cell){.null = true};
        return truth(found);
    }
    default: *out_done = false; return (struct cell){.null = true};
    }
}

static bool is_better(int op, int type, const struct cell *new, const struct cell *old)
{
    int c = order(type, new, old);

    if (c == -2) c = isnan(new->x) ? (isnan(old->x) ? 0 : 1) : -1;
    return op == MR_OP_LEAST ? c == -1 : c == 1;
}

static struct cell look_strict(const struct mr_expr *e)
{
    struct cell c[4] = {{0}};
    struct cell best;
    int type = type_of(e->args[0]);
    bool null = false;

    for (uint32_t i = 0; i < e->count; i++) {
        c[i] = look(e->args[i]);
        null = null || c[i].null;
    }
    if (null) return (struct cell){.null = true};
    if (e->op <= MR_OP_MODULO) {
        if (type == 'i') return integer_math(e->op, c[0].i, c[1].i);
        return float_math(e->op, c[0].x, c[1].x);
    }
    if (e->op >= MR_OP_EQ && e->op <= MR_OP_GE) return compare_cells(e->op, type, &c[0], &c[1]);
    switch (e->op) {
    case MR_OP_NEGATE:
        return type == 'i' ? integer_math(MR_OP_SUBTRACT, 0, c[0].i) : (struct cell){.x = -c[0].x};
    case MR_OP_ABS:
        if (type == 'x') return (struct cell){.x = fabs(c[0].x)};
        return c[0].i < 0 ? integer_math(MR_OP_SUBTRACT, 0, c[0].i) : c[0];
    case MR_OP_NOT: return truth(!c[0].i);
    case MR_OP_LEAST:
    case MR_OP_GREATEST:
        best = c[0];
        for (uint32_t i = 1; i < e->count; i++) {
            if (is_better(e->op, type, &c[i], &best)) best = c[i];
        }
        return best;
    case MR_OP_UPPER:
        for (char *at = c[0].s; *at != '\0'; at++) {
            if (*at >= 'a' && *at <= 'z') *at = (char)(*at - 32);
        }
        return c[0];
    case MR_OP_CONCAT:
        best = c[0];
        for (uint32_t i = 1; i < e->count; i++) {
            if (strlen(best.s) + strlen(c[i].s) >= sizeof best.s) MR_FAIL("text too long");
            strcat(best.s, c[i].s);
        }
        return best;
    case MR_OP_LENGTH: return (struct cell){.i = (int64_t)strlen(c[0].s)};
    case MR_OP_STARTS_WITH: return truth(strncmp(c[0].s, c[1].s, strlen(c[1].s)) == 0);
    case MR_OP_CONTAINS: return truth(strstr(c[0].s, c[1].s) != NULL);
    default: MR_FAIL("operator %d", e->op);
    }
}

static struct cell look_cast(const struct mr_expr *e)
{
    struct cell c = look(e->args[0]);

    if (c.null) return c;
    if (e->type == MR_FLOAT64) return (struct cell){.x = (double)c.i};
    c.x = trunc(c.x);
    if (c.x >= -9223372036854775808.0 && c.x < 9223372036854775808.0) {
        return (struct cell){.i = (int64_t)c.x};
    }
    return e->try_cast ? (struct cell){.null = true} : fail_cell();
}

static struct cell look(const struct mr_expr *e)
{
    struct cell c = {0};
    bool done;

    if (e->kind == MRI_COLUMN) return row_cells[strchr("abxpqsu", e->name[0]) - "abxpqsu"];
    if (e->kind == MRI_LITERAL) {
        c = (struct cell){.null = e->is_null, .i = (int64_t)e->number, .x = e->real};
        if (e->text != NULL) memcpy(c.s, e->text, e->size_bytes);
        return c;
    }
    if (e->kind == MRI_CAST) return look_cast(e);
    if (e->kind == MRI_CASE) {
        for (uint32_t i = 0; i + 1 < e->count; i += 2) {
            c = look(e->args[i]);
            if (!c.null && c.i) return look(e->args[i + 1]);
        }
        return look(e->args[e->count - 1]);
    }
    c = look_lazy(e, &done);
    return done ? c : look_strict(e);
}

/* ---- random trees and rows ---- */

static struct mr_prng prng;

static uint32_t below(uint32_t bound)
{
    return (uint32_t)mr_prng_below(&prng, bound);
}

static struct mr_expr *grow(int type, int depth);

static struct mr_expr *call(enum mr_op op, int type, uint32_t count, int depth)
{
    struct mr_expr *args[4];

    for (uint32_t i = 0; i < count; i++) args[i] = grow(type, depth - 1);
    return mr_expr_call(&et_arena, op, args, count);
}

static const int64_t integers[] = {0, 1, -1, 2, 3, 10, INT64_MAX, INT64_MIN, 1000000007};
static const double floats[] = {0.0, 1.0, -1.5, 2.25, 1e300, -1e19, 0.5, 1e-5, 3.0};
static const char *const texts[] = {"", "a", "b", "abc", "twelve bytes", "thirteen bytes",
                                    "thirteen byteS", "ab", "B"};

static struct mr_expr *leaf(int type)
{
    uint32_t pick = below(9);

    switch (type) {
    case 'i':
        if (pick == 8 && below(3) == 0) return mr_expr_null(&et_arena, MR_INT64);
        return pick < 6 ? C(below(2) ? "a" : "b") : I(integers[below(9)]);
    case 'x': return pick < 6 ? C("x") : F(floats[below(9)]);
    case 'p': return pick < 8 ? C(below(2) ? "p" : "q") : B(below(2));
    default:
        if (pick < 7) return C(below(2) ? "s" : "u");
        return mr_expr_utf8(&et_arena, texts[pick], strlen(texts[pick]));
    }
}

static struct mr_expr *grow_condition(int depth)
{
    static const char types[] = "ixs";
    int type = types[below(3)];

    switch (below(10)) {
    case 0: return call(MR_OP_AND, 'p', 2 + below(3), depth);
    case 1: return call(MR_OP_OR, 'p', 2 + below(3), depth);
    case 2: return call(MR_OP_NOT, 'p', 1, depth);
    case 3: return call(below(2) ? MR_OP_IS_NULL : MR_OP_IS_NOT_NULL, type, 1, depth);
    case 4: return call(MR_OP_IS_DISTINCT, type, 2, depth);
    case 5: return call(MR_OP_IN, type, 2 + below(3), depth);
    case 6: return call(below(2) ? MR_OP_CONTAINS : MR_OP_STARTS_WITH, 's', 2, depth);
    default: return call((enum mr_op)(MR_OP_EQ + below(6)), type, 2, depth);
    }
}

static struct mr_expr *grow_case(int type, int depth)
{
    struct mr_expr *when[2] = {grow('p', depth - 1), grow('p', depth - 1)};
    struct mr_expr *then[2] = {grow(type, depth - 1), grow(type, depth - 1)};

    return mr_expr_case(&et_arena, when, then, 1 + below(2), grow(type, depth - 1));
}

static struct mr_expr *grow(int type, int depth)
{
    uint32_t pick = below(12);

    if (depth <= 0 || pick == 0) return leaf(type);
    if (type == 'p') return pick == 1 ? grow_case('p', depth) : grow_condition(depth);
    switch (pick) {
    case 1: return grow_case(type, depth);
    case 2: return call(MR_OP_COALESCE, type, 1 + below(3), depth);
    case 3: return call(MR_OP_NULLIF, type, 2, depth);
    case 4: return call(below(2) ? MR_OP_LEAST : MR_OP_GREATEST, type, 1 + below(3), depth);
    default: break;
    }
    if (type == 's') {
        return pick < 8 ? mr_expr_call(&et_arena, MR_OP_CONCAT,
                                       (struct mr_expr *[]){leaf('s'), leaf('s'), leaf('s')}, 3)
                        : call(MR_OP_UPPER, 's', 1, depth);
    }
    if (pick == 5) return call(below(2) ? MR_OP_NEGATE : MR_OP_ABS, type, 1, depth);
    if (pick == 6) {
        return mr_expr_cast(&et_arena, grow(type == 'i' ? 'x' : 'i', depth - 1),
                            type == 'i' ? MR_INT64 : MR_FLOAT64, 0, 0, below(2));
    }
    if (pick == 7 && type == 'i') return call(MR_OP_LENGTH, 's', 1, depth);
    return call((enum mr_op)(MR_OP_ADD + below(5)), type, 2, depth);
}

static void random_row(struct cell *cells, struct et_text *p)
{
    for (int c = 0; c < 7; c++) {
        char text[64];
        bool null = below(5) == 0;
        uint32_t pick = below(9);

        cells[c] = (struct cell){.null = null, .i = integers[pick], .x = floats[pick]};
        if (c < 2) (void)snprintf(text, sizeof text, "%lld", (long long)integers[pick]);
        else if (c == 2) (void)snprintf(text, sizeof text, "%.17g", floats[pick]);
        else if (c < 5) (void)snprintf(text, sizeof text, "%s", pick & 1 ? "true" : "false");
        else (void)snprintf(text, sizeof text, "%s", texts[pick]);
        if (c == 3 || c == 4) cells[c].i = pick & 1;
        if (c >= 5) memcpy(cells[c].s, text, strlen(text) + 1);
        et_put(p, null ? "NULL" : text, strlen(null ? "NULL" : text));
        et_put(p, c < 6 ? "|" : "\n", 1);
    }
}

static void put_cell(struct et_text *p, int type, const struct cell *cell)
{
    char text[32];

    if (row_failed) {
        et_put(p, "FAIL", 4);
    } else if (cell->null) {
        et_put(p, "NULL", 4);
    } else if (type == 'x') {
        et_put_float(p, cell->x, false);
    } else if (type == 's') {
        et_put(p, cell->s, strlen(cell->s));
    } else {
        if (type == 'p') (void)snprintf(text, sizeof text, "%s", cell->i ? "true" : "false");
        else (void)snprintf(text, sizeof text, "%lld", (long long)cell->i);
        et_put(p, text, strlen(text));
    }
    et_put(p, "\n", 1);
}

/* The interpreter stops at AND's first FALSE; a failure further left has marked the row by then. */
static void expect_tree(struct et *t, const struct cell (*cells)[7], int type)
{
    struct mr_expr *e = grow(type, 4);
    struct et_text want = {NULL, 0, 0};

    for (uint32_t i = 0; i < ROWS; i++) {
        struct cell c;

        row_cells = cells[i];
        row_failed = false;
        c = look(e);
        put_cell(&want, type, &c);
    }
    et_check(t, e, want.data);
    free(want.data);
}

MR_TEST(random, trees_agree_with_an_interpreter_of_rows)
{
    static struct cell cells[ROWS][7];
    struct et_text rows = {NULL, 0, 0};
    struct et t;

    mr_prng_init(&prng, 20130101, 7);
    for (uint32_t i = 0; i < ROWS; i++) random_row(cells[i], &rows);
    et_open(&t, schema_text, rows.data);
    for (int i = 0; i < TREES; i++) {
        expect_tree(&t, (const struct cell(*)[7])cells, "ixps"[i % 4]);
        mr_arena_reset(&et_arena);
    }
    et_close(&t);
    free(rows.data);
}
