/* expr_test_helper.h - for tests: trees in few words, and results as text in every encoding.
 *
 *     struct et t;
 *     et_open(&t, "a int64, b int64", "1|2\n3|NULL\n");
 *     et_check(&t, X(ADD, C("a"), C("b")), "3\nNULL\n");
 *     et_close(&t);
 *
 * A row that failed prints as FAIL. et_check evaluates the rows as they are, through a selection,
 * one by one as constants and through dictionaries; all must agree with the text.
 *
 * Owns:    the arena of the trees, the rows as text.
 * Thread:  confined.
 * Fails:   fails the test.
 * Cost:    none that matters.
 */
#ifndef MR_EXPR_TEST_HELPER_H
#define MR_EXPR_TEST_HELPER_H

#include "data/data_test_helper.h"
#include "expr/expr.h"

struct et {
    struct mr_data_test data;
    struct mr_schema *schema;
    const char *rows;
    struct mr_batch *batch;
    struct mr_eval *eval;
    struct mr_error last; /* story of the first failing row of the last dense run */
};

static struct mr_arena et_arena; /* of the running test's trees */

#define C(name) mr_expr_column(&et_arena, name)
#define I(value) mr_expr_int64(&et_arena, value)
#define F(value) mr_expr_float64(&et_arena, value)
#define B(value) mr_expr_bool(&et_arena, value)
#define S(text) mr_expr_utf8(&et_arena, text, sizeof(text) - 1)
#define D(value, p, s) mr_expr_decimal(&et_arena, value, p, s)
#define T(type, value) mr_expr_time(&et_arena, type, value)
#define NUL(type) mr_expr_null(&et_arena, type)
#define X(op, ...)                                                                     \
    mr_expr_call(&et_arena, MR_OP_##op, (struct mr_expr *[]){__VA_ARGS__},             \
                 sizeof((struct mr_expr *[]){__VA_ARGS__}) / sizeof(struct mr_expr *))
#define CAST(arg, type) mr_expr_cast(&et_arena, arg, type, 0, 0, false)
#define TRY(arg, type) mr_expr_cast(&et_arena, arg, type, 0, 0, true)
#define DECIMAL(arg, p, s) mr_expr_cast(&et_arena, arg, MR_DECIMAL, p, s, false)
#define WHEN(when, then, otherwise)                                                    \
    mr_expr_case(&et_arena, (struct mr_expr *[]){when}, (struct mr_expr *[]){then}, 1, otherwise)

MR_UNUSED static void et_open(struct et *t, const char *schema, const char *rows)
{
    struct mr_error err;

    memset(t, 0, sizeof *t);
    mr_data_test_open(&t->data);
    mr_arena_init(&et_arena, mr_test_heap());
    t->schema = mr_data_schema(schema);
    t->rows = rows;
    t->batch = mr_data_batch(&t->data.quota, t->schema, rows);
    MR_EXPECT_OK(mr_eval_create(mr_test_heap(), &t->eval, &err), &err);
}

MR_UNUSED static void et_close(struct et *t)
{
    mr_eval_destroy(t->eval);
    mr_batch_release(t->batch);
    mr_schema_release(t->schema);
    mr_arena_fini(&et_arena);
    mr_data_test_close(&t->data);
}

struct et_text {
    char *data;
    size_t size;
    size_t room;
};

MR_UNUSED static void et_put(struct et_text *p, const char *text, size_t size)
{
    if (p->size + size + 1 > p->room) {
        p->room = (p->size + size + 1) * 2;
        p->data = realloc(p->data, p->room);
        if (p->data == NULL) MR_FAIL("no memory");
    }
    memcpy(p->data + p->size, text, size);
    p->size += size;
    p->data[p->size] = '\0';
}

MR_UNUSED static void et_put_float(struct et_text *p, double value, bool narrow)
{
    char text[64];

    for (int digits = 1; digits <= 17; digits++) { /* the shortest that reads back equal */
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (narrow ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value) break;
    }
    if (value != value) memcpy(text, "nan", 4);
    et_put(p, text, strlen(text));
}

MR_UNUSED static void et_put_decimal(struct et_text *p, mr_i128 value, uint32_t scale)
{
    char text[64];
    size_t at = sizeof text;
    mr_u128 rest = value < 0 ? -(mr_u128)value : (mr_u128)value;

    for (uint32_t digits = 0; rest > 0 || digits <= scale; digits++) {
        if (digits == scale && scale > 0) text[--at] = '.';
        text[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    }
    if (value < 0) text[--at] = '-';
    et_put(p, text + at, sizeof text - at);
}

MR_UNUSED static void et_put_value(struct et_text *p, const struct mr_column *column, uint32_t row)
{
    char number[32];

    if (!mr_column_valid(column, row)) {
        et_put(p, "NULL", 4);
    } else if (column->type == MR_BOOL) {
        et_put(p, mr_column_bool(column, row) ? "true" : "false",
               mr_column_bool(column, row) ? 4 : 5);
    } else if (mr_type_is_float((enum mr_type)column->type)) {
        et_put_float(p, mr_column_float64(column, row), column->type == MR_FLOAT32);
    } else if (column->type == MR_DECIMAL) {
        et_put_decimal(p, mr_column_int128(column, row), column->scale);
    } else if (mr_type_is_text((enum mr_type)column->type)) {
        struct mr_bytes text = mr_column_bytes(column, row);

        et_put(p, text.data, text.size_bytes);
    } else if (column->type > MR_INTERVAL) {
        et_put(p, "(nested)", 8);
    } else {
        (void)snprintf(number, sizeof number, "%lld", (long long)mr_column_int64(column, row));
        et_put(p, number, strlen(number));
    }
}

MR_UNUSED static struct mr_bound *et_bind(struct et *t, struct mr_expr *expr)
{
    struct mr_bound *bound = NULL;
    struct mr_error err = {0};

    MR_EXPECT_OK(mr_bind(mr_test_heap(), expr, t->schema, &bound, &err), &err);
    return bound;
}

/* Rows of a bool result by way of the filter: must be those that print as true. */
MR_UNUSED static void et_filter(struct et *t, const struct mr_bound *bound, struct mr_batch *batch,
                                const struct mr_column *column)
{
    uint64_t failed[MR_BATCH_ROWS_MAX / 64] = {0};
    struct mr_eval_failures failures = {.rows = failed};
    uint32_t *rows = malloc(sizeof(uint32_t) * (batch->row_count + 1));
    uint32_t count = 0, expected = 0;
    struct mr_error err;

    MR_EXPECT_OK(mr_eval_filter(t->eval, bound, batch, rows, &count, &failures, &err), &err);
    for (uint32_t i = 0; i < batch->row_count; i++) {
        if (!mr_column_valid(column, i) || !mr_column_bool(column, i)) continue;
        if (expected >= count || rows[expected] != i) MR_FAIL("filter lost row %u", i);
        expected++;
    }
    MR_EXPECT_EQ_UINT(count, expected);
    free(rows);
}

/* Evaluates over a batch and appends the result to `p`, from row `first` on in steps. */
MR_UNUSED static void et_run(struct et *t, const struct mr_bound *bound, struct mr_batch *batch,
                             uint32_t first, uint32_t step, struct et_text *p)
{
    struct mr_batch *target = mr_batch_new(&t->data.quota, 1, 0);
    uint64_t failed[MR_BATCH_ROWS_MAX / 64] = {0};
    struct mr_eval_failures failures = {.rows = failed};
    struct mr_column column;
    struct mr_error err = {0};
    uint32_t marked = 0;
    bool blocked;

    MR_EXPECT_OK(mr_eval_run(t->eval, bound, batch, target, &column, &failures, &blocked, &err),
                 &err);
    MR_EXPECT(!blocked);
    MR_EXPECT_EQ_INT(column.type, mr_bound_field(bound)->type);
    MR_EXPECT(column.encoding != MR_DICT);
    if (column.type == MR_BOOL) et_filter(t, bound, batch, &column);
    for (uint32_t i = 0; i < batch->row_count; i++) marked += mr_bit_get(failed, i);
    MR_EXPECT_EQ_UINT(failures.count, marked);
    if (marked > 0) MR_EXPECT(mr_bit_get(failed, failures.first_row));
    for (uint32_t i = first; i < batch->row_count; i += step) {
        if (mr_bit_get(failed, i)) {
            MR_EXPECT(!mr_column_valid(&column, i));
            et_put(p, "FAIL", 4);
        } else {
            et_put_value(p, &column, i);
        }
        et_put(p, "\n", 1);
    }
    t->last = failures.error;
    mr_batch_release(target);
}

MR_UNUSED static void et_same(const char *way, struct et_text *p, const char *expected)
{
    const char *got = p->data == NULL ? "" : p->data;

    if (strcmp(got, expected) != 0) {
        const char *line = expected;
        uint32_t row = 0;

        for (size_t i = 0; expected[i] != '\0' && got[i] == expected[i]; i++) {
            row += expected[i] == '\n';
            if (expected[i] == '\n') line = expected + i + 1;
        }
        MR_FAIL("%s, row %u: got\n%.200sexpected\n%.200s", way, row, got + (line - expected), line);
    }
    p->size = 0;
    if (p->data != NULL) p->data[0] = '\0';
}

/* A batch over the same columns, each behind a dictionary that holds them backwards. */
MR_UNUSED static struct mr_batch *et_dictionaries(struct et *t)
{
    struct mr_batch *from = t->batch;
    uint32_t n = from->row_count;
    uint32_t *backwards = malloc(sizeof *backwards * n);
    struct mr_batch *batch = mr_batch_new(&t->data.quota, from->column_count, 0);

    for (uint32_t i = 0; i < n; i++) backwards[i] = n - 1 - i;
    MR_EXPECT(mr_batch_borrow(batch, from));
    for (uint32_t c = 0; c < from->column_count; c++) {
        struct mr_column *dictionary = mr_batch_memory(batch, sizeof *dictionary);
        uint32_t *indices = mr_batch_values(batch, MR_LAYOUT_I32, n);

        MR_EXPECT(mr_column_gather(batch, &from->columns[c], backwards, n, dictionary));
        dictionary->validity = NULL;
        memcpy(indices, backwards, sizeof *indices * n);
        batch->columns[c] = *dictionary;
        batch->columns[c].encoding = MR_DICT;
        batch->columns[c].validity = from->columns[c].validity;
        batch->columns[c].values = indices;
        batch->columns[c].children = dictionary;
        batch->columns[c].child_count = 1;
        batch->columns[c].child_rows = n;
    }
    batch->row_count = n;
    free(backwards);
    return batch;
}

/* Every row on its own, as constants of a batch of three rows. */
MR_UNUSED static void et_run_constants(struct et *t, const struct mr_bound *bound,
                                       struct et_text *p)
{
    for (uint32_t i = 0; i < t->batch->row_count; i++) {
        struct mr_batch *batch = mr_batch_new(&t->data.quota, t->batch->column_count, 0);

        MR_EXPECT(mr_batch_borrow(batch, t->batch));
        for (uint32_t c = 0; c < t->batch->column_count; c++) {
            MR_EXPECT(mr_column_gather(batch, &t->batch->columns[c], &i, 1, &batch->columns[c]));
            batch->columns[c].encoding = MR_CONST;
        }
        batch->row_count = 3;
        et_run(t, bound, batch, i % 3, 3, p);
        mr_batch_release(batch);
    }
}

MR_UNUSED static void et_check(struct et *t, struct mr_expr *expr, const char *expected)
{
    struct mr_bound *bound = et_bind(t, expr);
    struct et_text p = {NULL, 0, 0};
    uint32_t n = t->batch->row_count;
    uint32_t *odd = malloc(sizeof *odd * n);
    struct mr_batch *twice, *batch;
    struct mr_error last;
    char *doubled = malloc(2 * strlen(t->rows) + 1);

    et_run(t, bound, t->batch, 0, 1, &p);
    last = t->last;
    et_same("dense", &p, expected);
    strcpy(doubled, t->rows);
    strcat(doubled, t->rows);
    for (uint32_t i = 0; i < n; i++) odd[i] = i < n / 2 ? i : n + i; /* some of each copy */
    twice = mr_data_batch(&t->data.quota, t->schema, doubled);
    batch = mr_batch_select(&t->data.quota, twice, odd, n);
    et_run(t, bound, batch, 0, 1, &p);
    et_same("selection", &p, expected);
    mr_batch_release(batch);
    mr_batch_release(twice);
    et_run_constants(t, bound, &p);
    et_same("constants", &p, expected);
    batch = et_dictionaries(t);
    et_run(t, bound, batch, 0, 1, &p);
    et_same("dictionaries", &p, expected);
    mr_batch_release(batch);
    mr_bound_destroy(bound);
    free(p.data);
    free(odd);
    free(doubled);
    t->last = last;
}

/* The text of binding's refusal. */
MR_UNUSED static const char *et_refused(struct et *t, struct mr_expr *expr, enum mr_status status)
{
    static struct mr_error err;
    struct mr_bound *bound = NULL;

    memset(&err, 0, sizeof err);
    MR_EXPECT_EQ_INT(mr_bind(mr_test_heap(), expr, t->schema, &bound, &err), status);
    MR_EXPECT(bound == NULL);
    return err.text;
}

/* What a tree prints as once it is bound. */
MR_UNUSED static void et_expect_bound(struct et *t, struct mr_expr *expr, const char *expected)
{
    struct mr_bound *bound = et_bind(t, expr);
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 0);
    mr_bound_print(bound, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), expected);
    mr_text_fini(&text);
    mr_bound_destroy(bound);
}

#endif
