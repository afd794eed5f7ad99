/* bind_test.c - names, types, folding and the texts of what is refused. */
#include "expr/expr_test_helper.h"

#define SCHEMA                                                                                 \
    "origin utf8, flights int64 not null, delay int32, price decimal(12,2), at timestamp, "    \
    "seen timestamp_ltz, day date, ok bool, tags list<utf8>, raw binary, ratio float32"
#define ROW "JFK|1|2|3.00|4|5|6|true|[]|x|0.5\n"

MR_TEST(bind, a_mistyped_column_is_refused_with_the_nearest_name)
{
    struct et t;

    et_open(&t, SCHEMA, ROW);
    MR_EXPECT_EQ_STR(et_refused(&t, X(ADD, C("flihgts"), I(1)), MR_E_SCHEMA),
                     "in flihgts + 1: no column 'flihgts': did you mean 'flights'?");
    MR_EXPECT_CONTAINS(et_refused(&t, C("zzzzzzzzzzzz"), MR_E_SCHEMA),
                       "no column 'zzzzzzzzzzzz'; there are: origin utf8");
    et_close(&t);
}

MR_TEST(bind, operands_that_do_not_fit_are_named_with_their_types)
{
    struct et t;

    et_open(&t, SCHEMA, ROW);
    MR_EXPECT_CONTAINS(et_refused(&t, X(ADD, C("origin"), C("flights")), MR_E_SCHEMA),
                       "+ does not fit origin (utf8) with flights (int64)");
    MR_EXPECT_CONTAINS(et_refused(&t, X(LT, C("at"), C("seen")), MR_E_SCHEMA),
                       "one is wall clock time and the other an instant");
    MR_EXPECT_CONTAINS(et_refused(&t, X(EQ, C("at"), S("2013-01-01")), MR_E_SCHEMA), "use CAST");
    MR_EXPECT_CONTAINS(et_refused(&t, X(AND, C("ok"), C("flights")), MR_E_SCHEMA),
                       "and needs conditions (bool), but has flights (int64)");
    MR_EXPECT_CONTAINS(et_refused(&t, X(UPPER, C("raw")), MR_E_SCHEMA),
                       "upper needs a text, but has raw (binary)");
    MR_EXPECT_CONTAINS(et_refused(&t, X(EQ, C("tags"), C("tags")), MR_E_SCHEMA), "nested values");
    MR_EXPECT_CONTAINS(et_refused(&t, X(COALESCE, C("tags"), C("tags")), MR_E_SCHEMA),
                       "nested values");
    MR_EXPECT_CONTAINS(et_refused(&t, WHEN(C("flights"), I(1), I(2)), MR_E_SCHEMA),
                       "WHEN needs a condition (bool), but has flights (int64)");
    MR_EXPECT_CONTAINS(et_refused(&t, CAST(C("day"), MR_INT64), MR_E_SCHEMA),
                       "cannot cast day (date) to int64");
    MR_EXPECT_CONTAINS(et_refused(&t, CAST(C("tags"), MR_UTF8), MR_E_SCHEMA), "cannot cast tags");
    MR_EXPECT_CONTAINS(et_refused(&t, X(ROUND, C("price"), C("flights")), MR_E_SCHEMA),
                       "a constant number of digits");
    MR_EXPECT_CONTAINS(et_refused(&t, X(ADD, C("flights")), MR_E_INVALID),
                       "+ takes 2 to 2 arguments, but has 1");
    MR_EXPECT_CONTAINS(et_refused(&t, NUL(MR_TYPE_NONE), MR_E_SCHEMA), "the type of NULL");
    MR_EXPECT_CONTAINS(et_refused(&t, D(12345, 4, 2), MR_E_OVERFLOW), "out of the range");
    MR_EXPECT_CONTAINS(et_refused(&t, DECIMAL(C("price"), 39, 2), MR_E_INVALID), "decimal(39,2)");
    et_close(&t);
}

MR_TEST(bind, a_text_that_is_not_utf8_is_refused_in_utf8)
{
    struct et t;

    et_open(&t, SCHEMA, ROW);
    MR_EXPECT_EQ_STR(et_refused(&t, X(EQ, C("origin"), S("ab\xff\xc3\xa9")), MR_E_INVALID),
                     "in origin = 'ab?\xc3\xa9': the text 'ab?\xc3\xa9' (utf8) is not UTF-8: byte 3 "
                     "is 0xff; convert it before");
    MR_EXPECT_CONTAINS(et_refused(&t, S("\xe2\x82"), MR_E_INVALID), "'?" "?'");
    et_close(&t);
}

MR_TEST(bind, a_tree_knows_the_arena_of_its_root)
{
    struct et t;
    struct mr_arena other;

    et_open(&t, SCHEMA, ROW);
    mr_arena_init(&other, mr_test_heap());
    MR_EXPECT(mr_expr_made_in(X(ADD, C("flights"), I(1)), &et_arena));
    MR_EXPECT(!mr_expr_made_in(mr_expr_bool(&other, true), &et_arena));
    MR_EXPECT(mr_expr_made_in(mr_expr_cast(&other, I(1), MR_UTF8, 0, 0, false), &other));
    mr_arena_fini(&other);
    et_close(&t);
}

/* Who runs out of memory while building passes NULL on and hears of it once. */
MR_TEST(bind, null_for_lack_of_memory_travels_up_to_bind)
{
    struct et t;
    struct mr_bound *bound;
    struct mr_error err;
    struct mr_expr *lost = NULL;

    et_open(&t, SCHEMA, ROW);
    MR_EXPECT(X(ADD, C("flights"), lost) == NULL);
    MR_EXPECT(CAST(lost, MR_INT64) == NULL);
    MR_EXPECT(WHEN(C("ok"), lost, I(1)) == NULL);
    MR_EXPECT_EQ_INT(mr_bind(mr_test_heap(), NULL, t.schema, &bound, &err), MR_E_NOMEM);
    et_close(&t);
}

MR_TEST(bind, a_tree_that_is_too_deep_is_refused_and_does_not_overflow_the_stack)
{
    struct et t;
    struct mr_expr *e;
    struct mr_text text;
    uint64_t mask = 0;

    et_open(&t, SCHEMA, ROW);
    e = C("flights");
    for (int i = 0; i < 100000; i++) e = X(NEGATE, e);
    mr_text_init(&text, mr_test_heap(), 0);
    mr_expr_print(e, &text);
    mr_text_fini(&text);
    mr_expr_columns(e, t.schema, &mask);
    MR_EXPECT_CONTAINS(et_refused(&t, e, MR_E_LIMIT), "nested more than 256 levels");
    e = C("flights"); /* a shared part counts wherever it stands */
    for (int i = 0; i < 64; i++) e = X(ADD, e, e);
    MR_EXPECT_CONTAINS(et_refused(&t, e, MR_E_LIMIT), "more than 100000 parts");
    e = C("flights");
    for (int i = 0; i < 255; i++) e = X(NEGATE, e);
    et_check(&t, e, "-1\n");
    et_close(&t);
}

MR_TEST(bind, result_types_follow_the_widening_order)
{
    static const struct {
        const char *left, *right;
        enum mr_type result;
    } cases[] = {
        {"a", "b", MR_INT16},   {"b", "c", MR_INT32},   {"c", "d", MR_INT64},
        {"a", "a", MR_INT8},    {"d", "p", MR_DECIMAL}, {"p", "y", MR_FLOAT64},
        {"x", "x", MR_FLOAT32}, {"x", "a", MR_FLOAT64}, {"x", "p", MR_FLOAT64},
        {"x", "y", MR_FLOAT64}, {"d", "y", MR_FLOAT64}, {"p", "p", MR_DECIMAL},
    };
    struct et t;

    et_open(&t, "a int8, b int16, c int32, d int64, p decimal(10,2), x float32, y float64",
            "1|2|3|4|5|6|7\n");
    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        for (int turn = 0; turn < 2; turn++) {
            struct mr_expr *l = C(turn ? cases[i].right : cases[i].left);
            struct mr_expr *r = C(turn ? cases[i].left : cases[i].right);
            struct mr_bound *bound = et_bind(&t, X(ADD, l, r));

            MR_EXPECT_EQ_INT(mr_bound_field(bound)->type, cases[i].result);
            mr_bound_destroy(bound);
        }
    }
    et_close(&t);
}

MR_TEST(bind, nullability_follows_the_operands)
{
    struct et t;
    struct {
        struct mr_expr *expr;
        bool not_null;
    } cases[8];

    et_open(&t, SCHEMA, ROW);
    cases[0].expr = C("flights"), cases[0].not_null = true;
    cases[1].expr = X(ADD, C("flights"), I(1)), cases[1].not_null = true;
    cases[2].expr = X(ADD, C("flights"), C("delay")), cases[2].not_null = false;
    cases[3].expr = X(COALESCE, C("delay"), C("flights")), cases[3].not_null = true;
    cases[4].expr = X(IS_NULL, C("delay")), cases[4].not_null = true;
    cases[5].expr = X(NULLIF, C("flights"), I(1)), cases[5].not_null = false;
    cases[6].expr = WHEN(C("ok"), I(1), NULL), cases[6].not_null = false;
    cases[7].expr = TRY(C("flights"), MR_INT8), cases[7].not_null = false;
    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        struct mr_bound *bound = et_bind(&t, cases[i].expr);

        if (mr_bound_field(bound)->not_null != cases[i].not_null) MR_FAIL("case %zu", i);
        mr_bound_destroy(bound);
    }
    et_close(&t);
}

MR_TEST(fold, what_needs_no_input_is_computed_once)
{
    struct et t;
    struct mr_bound *bound;
    uint32_t index = 99;

    et_open(&t, SCHEMA, ROW);
    et_expect_bound(&t, X(ADD, I(2), X(MULTIPLY, I(3), I(4))), "14");
    et_expect_bound(&t, X(UPPER, X(CONCAT, S("a long text "), S("it's"))), "'A LONG TEXT IT''S'");
    et_expect_bound(&t, X(ADD, C("flights"), X(SUBTRACT, I(2), I(1))), "flights + 1");
    et_expect_bound(&t, X(AND, B(true), C("ok")), "ok");
    et_expect_bound(&t, X(AND, B(false), X(EQ, X(DIVIDE, I(1), I(0)), I(1))), "FALSE");
    et_expect_bound(&t, X(OR, B(true), C("ok")), "TRUE");
    et_expect_bound(&t, WHEN(B(true), C("flights"), I(0)), "flights");
    et_expect_bound(&t, WHEN(B(false), C("delay"), I(7)), "7");
    et_expect_bound(&t, CAST(S("2013-01-01"), MR_DATE), "DATE '2013-01-01'");
    et_expect_bound(&t, X(ADD, I(1), NUL(MR_TYPE_NONE)), "NULL");
    et_expect_bound(&t, X(LT, C("delay"), I(5)), "delay < 5");
    et_expect_bound(&t, X(LT, C("delay"), I(INT64_MAX)),
                    "CAST(delay AS int64) < 9223372036854775807");
    et_expect_bound(&t, X(DIVIDE, I(1), I(0)), "1 / 0");
    bound = et_bind(&t, X(ADD, I(2), I(3)));
    MR_EXPECT(mr_bound_is_constant(bound));
    mr_bound_destroy(bound);
    bound = et_bind(&t, X(DIVIDE, I(2), I(0)));
    MR_EXPECT(!mr_bound_is_constant(bound));
    mr_bound_destroy(bound);
    bound = et_bind(&t, C("delay"));
    MR_EXPECT(mr_bound_is_column(bound, &index));
    MR_EXPECT_EQ_UINT(index, 2);
    mr_bound_destroy(bound);
    et_check(&t, X(DIVIDE, I(1), I(0)), "FAIL\n");
    et_close(&t);
}

MR_TEST(print, trees_read_as_they_would_be_written)
{
    struct et t;
    struct mr_text text;

    et_open(&t, SCHEMA, ROW);
    {
        const struct {
            struct mr_expr *expr;
            const char *text;
        } cases[] = {
            {X(MULTIPLY, X(ADD, C("a"), I(1)), C("b")), "(a + 1) * b"},
            {X(SUBTRACT, C("a"), X(SUBTRACT, C("b"), C("c"))), "a - (b - c)"},
            {X(SUBTRACT, X(SUBTRACT, C("a"), C("b")), C("c")), "a - b - c"},
            {X(AND, X(OR, C("p"), C("q")), X(NOT, X(EQ, C("a"), I(-1)))),
             "(p OR q) AND NOT a = -1"},
            {X(NEGATE, X(ADD, C("a"), C("b"))), "-(a + b)"},
            {X(IN, C("odd name"), S("it's"), NUL(MR_UTF8)), "`odd name` IN ('it''s', NULL)"},
            {X(IS_NOT_NULL, X(LIKE, C("s"), S("%x"))), "(s LIKE '%x') IS NOT NULL"},
            {WHEN(C("p"), I(1), NULL), "CASE WHEN p THEN 1 END"},
            {mr_expr_cast(&et_arena, F(1.5), MR_DECIMAL, 5, 2, true),
             "TRY_CAST(1.5 AS decimal(5,2))"},
            {X(ADD, mr_expr_event_time(&et_arena), T(MR_INTERVAL, -MR_HOUR)),
             "event_time() + INTERVAL '-1h'"},
            {X(SUBSTRING, C("s"), I(1), I(2)), "substring(s, 1, 2)"},
            {D(-1234, 5, 2), "-12.34"},
            {F(-3.0), "-3.0"},
            {T(MR_TIMESTAMP_LTZ, 0), "TIMESTAMP_LTZ '1970-01-01T00:00:00Z'"},
        };

        for (size_t i = 0; i < MR_COUNT(cases); i++) {
            mr_text_init(&text, mr_test_heap(), 0);
            mr_expr_print(cases[i].expr, &text);
            MR_EXPECT_EQ_STR(mr_text_get(&text), cases[i].text);
            mr_text_fini(&text);
        }
    }
    et_close(&t);
}

MR_TEST(tree, says_which_columns_it_reads)
{
    struct et t;
    uint64_t mask = 0;
    const char *name = NULL;

    et_open(&t, SCHEMA, ROW);
    mr_expr_columns(WHEN(C("ok"), X(ADD, C("delay"), C("nowhere")), C("flights")), t.schema, &mask);
    MR_EXPECT_EQ_UINT(mask, 1u << 1 | 1u << 2 | 1u << 7);
    MR_EXPECT(mr_expr_is_column(C("delay"), &name));
    MR_EXPECT_EQ_STR(name, "delay");
    MR_EXPECT(!mr_expr_is_column(I(1), &name));
    et_close(&t);
}
