/* kernels_test.c - what every operator gives for chosen values, in every encoding. */
#include "expr/expr_test_helper.h"

#define NUMBERS "a int64, b int64"

/* The whole table of three-valued logic, by Kleene. */
MR_TEST(logic, and_or_and_not_follow_the_tables_of_three_valued_logic)
{
    struct et t;

    et_open(&t, "p bool, q bool",
            "true|true\ntrue|false\ntrue|NULL\nfalse|true\nfalse|false\nfalse|NULL\n"
            "NULL|true\nNULL|false\nNULL|NULL\n");
    et_check(&t, X(AND, C("p"), C("q")),
             "true\nfalse\nNULL\nfalse\nfalse\nfalse\nNULL\nfalse\nNULL\n");
    et_check(&t, X(OR, C("p"), C("q")), "true\ntrue\ntrue\ntrue\nfalse\nNULL\ntrue\nNULL\nNULL\n");
    et_check(&t, X(NOT, C("p")), "false\nfalse\nfalse\ntrue\ntrue\ntrue\nNULL\nNULL\nNULL\n");
    et_check(&t, X(AND, C("p"), C("q"), NUL(MR_BOOL)),
             "NULL\nfalse\nNULL\nfalse\nfalse\nfalse\nNULL\nfalse\nNULL\n");
    et_check(&t, X(IS_NULL, C("q")),
             "false\nfalse\ntrue\nfalse\nfalse\ntrue\nfalse\nfalse\ntrue\n");
    et_check(&t, X(IS_DISTINCT, C("p"), C("q")),
             "false\ntrue\ntrue\ntrue\nfalse\ntrue\ntrue\ntrue\nfalse\n");
    et_check(&t, X(LT, C("p"), C("q")),
             "false\nfalse\nNULL\ntrue\nfalse\nNULL\nNULL\nNULL\nNULL\n");
    et_close(&t);
}

MR_TEST(arith, integers_of_every_width_fail_at_their_bounds_and_not_before)
{
    struct et t;

    et_open(&t, "a int8, b int16, c int32, d int64, x int8, y int16, z int32, w int64",
            "126|32766|2147483646|9223372036854775806|1|1|1|1\n"
            "127|32767|2147483647|9223372036854775807|1|1|1|1\n"
            "-128|-32768|-2147483648|-9223372036854775808|-1|-1|-1|-1\n"
            "NULL|NULL|NULL|NULL|1|1|1|1\n"
            "5|5|5|5|0|0|0|0\n");
    et_check(&t, X(ADD, C("a"), C("x")), "127\nFAIL\nFAIL\nNULL\n5\n");
    et_check(&t, X(ADD, C("b"), C("y")), "32767\nFAIL\nFAIL\nNULL\n5\n");
    et_check(&t, X(ADD, C("c"), C("z")), "2147483647\nFAIL\nFAIL\nNULL\n5\n");
    et_check(&t, X(ADD, C("d"), C("w")), "9223372036854775807\nFAIL\nFAIL\nNULL\n5\n");
    et_check(&t, X(SUBTRACT, C("a"), C("x")), "125\n126\n-127\nNULL\n5\n");
    et_check(&t, X(SUBTRACT, X(NEGATE, C("d")), I(2)),
             "-9223372036854775808\nFAIL\nFAIL\nNULL\n-7\n");
    et_check(&t, X(MULTIPLY, C("a"), C("x")), "126\n127\nFAIL\nNULL\n0\n");
    et_check(&t, X(MULTIPLY, C("b"), C("y")), "32766\n32767\nFAIL\nNULL\n0\n");
    et_check(&t, X(MULTIPLY, C("c"), C("z")), "2147483646\n2147483647\nFAIL\nNULL\n0\n");
    et_check(&t, X(MULTIPLY, C("d"), C("w")),
             "9223372036854775806\n9223372036854775807\nFAIL\nNULL\n0\n");
    et_check(&t, X(DIVIDE, C("a"), C("x")), "126\n127\nFAIL\nNULL\nFAIL\n");
    et_check(&t, X(DIVIDE, C("d"), C("w")),
             "9223372036854775806\n9223372036854775807\nFAIL\nNULL\nFAIL\n");
    et_check(&t, X(MODULO, C("d"), C("w")), "0\n0\n0\nNULL\nFAIL\n");
    et_check(&t, X(NEGATE, C("a")), "-126\n-127\nFAIL\nNULL\n-5\n");
    et_check(&t, X(ABS, C("b")), "32766\n32767\nFAIL\nNULL\n5\n");
    et_check(&t, X(ADD, C("a"), C("z")), "127\n128\n-129\nNULL\n5\n");
    et_check(&t, X(ADD, C("a"), C("d")),
             "FAIL\nFAIL\nFAIL\nNULL\n10\n");
    et_close(&t);
}

MR_TEST(arith, division_cuts_toward_zero_and_says_what_it_divided)
{
    struct et t;

    et_open(&t, NUMBERS, "7|2\n-7|2\n7|-2\n1|0\nNULL|0\n5000000000|5000000000\n");
    et_check(&t, X(DIVIDE, C("a"), C("b")), "3\n-3\n-3\nFAIL\nNULL\n1\n");
    MR_EXPECT_EQ_STR(t.last.text, "division by zero in a / b: 1 / 0");
    et_check(&t, X(MODULO, C("a"), C("b")), "1\n-1\n1\nFAIL\nNULL\n0\n");
    et_check(&t, X(MULTIPLY, C("a"), C("b")), "14\n-14\n-14\n0\nNULL\nFAIL\n");
    MR_EXPECT_EQ_STR(t.last.text, "integer overflow in a * b: 5000000000 * 5000000000");
    et_check(&t, X(DIVIDE, I(10), C("b")), "5\n5\n-5\nFAIL\nFAIL\n0\n");
    et_close(&t);
}

MR_TEST(arith, floats_give_infinity_and_nan_and_never_fail)
{
    struct et t;

    et_open(&t, "x float64, y float64, f float32", "1|0|0.5\n0|0|2\n-7.5|2|-1.5\nNULL|1|NULL\n");
    et_check(&t, X(DIVIDE, C("x"), C("y")), "inf\nnan\n-3.75\nNULL\n");
    et_check(&t, X(MODULO, C("x"), C("y")), "nan\nnan\n-1.5\nNULL\n");
    et_check(&t, X(ADD, C("f"), C("f")), "1\n4\n-3\nNULL\n");
    et_check(&t, X(MULTIPLY, C("f"), I(3)), "1.5\n6\n-4.5\nNULL\n");
    et_check(&t, X(NEGATE, C("f")), "-0.5\n-2\n1.5\nNULL\n");
    et_check(&t, X(ABS, C("x")), "1\n0\n7.5\nNULL\n");
    et_check(&t, X(EQ, X(DIVIDE, C("x"), C("y")), X(DIVIDE, C("x"), C("y"))),
             "true\nfalse\ntrue\nNULL\n");
    et_check(&t, X(FLOOR, C("x")), "1\n0\n-8\nNULL\n");
    et_check(&t, X(CEIL, C("f")), "1\n2\n-1\nNULL\n");
    et_check(&t, X(SQRT, C("y")), "0\n0\n1.4142135623730951\n1\n");
    et_check(&t, X(POWER, C("y"), I(3)), "0\n0\n8\n1\n");
    et_check(&t, X(GREATEST, C("x"), X(DIVIDE, F(0.0), C("y"))), "nan\nnan\n0\nNULL\n");
    et_check(&t, X(LEAST, X(DIVIDE, F(0.0), C("y")), C("x")), "1\n0\n-7.5\nNULL\n");
    et_close(&t);
}

MR_TEST(arith, round_goes_half_away_from_zero_as_the_number_is_read)
{
    struct et t;

    et_open(&t, "x float64, n int64, d decimal(10,3), k int64",
            "1.005|15|1.005|2\n-2.5|-15|-2.500|0\n2.675|25|9999999.995|2\n"
            "1e300|9223372036854775807|0.004|2\nNULL|NULL|NULL|0\n");
    et_check(&t, X(ROUND, C("x"), C("k")), "1.01\n-3\n2.68\n1e+300\nNULL\n");
    et_check(&t, X(ROUND, C("x")), "1\n-3\n3\n1e+300\nNULL\n");
    et_check(&t, X(ROUND, C("n"), I(-1)), "20\n-20\n30\nFAIL\nNULL\n");
    et_check(&t, X(ROUND, C("d"), I(2)), "1.01\n-2.50\n10000000.00\n0.00\nNULL\n");
    et_check(&t, X(ROUND, C("d"), I(-2)), "0\n0\n10000000\n0\nNULL\n");
    et_check(&t, X(FLOOR, C("d")), "1\n-3\n9999999\n0\nNULL\n");
    et_check(&t, X(CEIL, C("d")), "2\n-2\n10000000\n1\nNULL\n");
    et_check(&t, X(FLOOR, C("n")), "15\n-15\n25\n9223372036854775807\nNULL\n");
    et_close(&t);
}

/* Precision and scale by the rules; the values were worked out by hand. */
MR_TEST(arith, decimals_are_exact_and_have_the_types_of_the_rules)
{
    struct et t;
    struct mr_bound *bound;

    et_open(&t, "a decimal(10,2), b decimal(6,3), w decimal(38,0), n int32",
            "12345678.90|1.500|99999999999999999999999999999999999999|3\n"
            "-0.01|0.000|1|0\nNULL|1.000|5|1\n100.00|-3.000|2|7\n");
    et_check(&t, X(ADD, C("a"), C("b")), "12345680.400\n-0.010\nNULL\n97.000\n");
    et_check(&t, X(SUBTRACT, C("a"), C("n")), "12345675.90\n-0.01\nNULL\n93.00\n");
    et_check(&t, X(MULTIPLY, C("a"), C("b")), "18518518.35000\n0.00000\nNULL\n-300.00000\n");
    et_check(&t, X(DIVIDE, C("a"), C("b")), "8230452.600000000\nFAIL\nNULL\n-33.333333333\n");
    MR_EXPECT_EQ_STR(t.last.text, "division by zero in a / b: -0.01 / 0.000");
    et_check(&t, X(MODULO, C("a"), C("b")), "0.900\nFAIL\nNULL\n1.000\n");
    et_check(&t, X(ADD, C("w"), C("w")), "FAIL\n2\n10\n4\n");
    et_check(&t, X(MULTIPLY, C("w"), C("n")), "FAIL\n0\n5\n14\n");
    et_check(&t, X(LT, C("a"), C("w")), "true\ntrue\nNULL\nfalse\n");
    et_check(&t, X(GT, C("a"), C("b")), "true\nfalse\nNULL\ntrue\n");
    et_check(&t, X(EQ, C("b"), C("n")), "false\ntrue\ntrue\nfalse\n");
    et_check(&t, X(DIVIDE, C("w"), C("a")),
             "8100000073710000670761006103925.155546\n-100.000000\nNULL\n0.020000\n");
    bound = et_bind(&t, X(MULTIPLY, C("a"), C("b")));
    MR_EXPECT_EQ_INT(mr_bound_field(bound)->precision, 17);
    MR_EXPECT_EQ_INT(mr_bound_field(bound)->scale, 5);
    mr_bound_destroy(bound);
    bound = et_bind(&t, X(DIVIDE, C("w"), C("b")));
    MR_EXPECT_EQ_INT(mr_bound_field(bound)->precision, 38);
    MR_EXPECT_EQ_INT(mr_bound_field(bound)->scale, 6);
    mr_bound_destroy(bound);
    et_close(&t);
}

MR_TEST(choice, decimals_of_different_scales_meet_at_the_larger_one)
{
    struct et t;

    et_open(&t, "a decimal(5,1), b decimal(6,3), n int16",
            "1.5|1.500|1\n-2.0|7.125|NULL\nNULL|3.000|3\n");
    et_check(&t, X(COALESCE, C("a"), C("b")), "1.500\n-2.000\n3.000\n");
    et_check(&t, X(LEAST, C("a"), C("b")), "1.500\n-2.000\nNULL\n");
    et_check(&t, X(NULLIF, C("a"), C("b")), "NULL\n-2.000\nNULL\n");
    et_check(&t, X(IN, C("b"), C("a"), C("n")), "true\nNULL\ntrue\n");
    et_check(&t, X(IN, C("b"), C("n"), D(7125, 4, 3)), "false\ntrue\ntrue\n");
    et_check(&t, X(IS_DISTINCT, C("a"), C("b")), "false\ntrue\ntrue\n");
    et_check(&t, WHEN(X(IS_NULL, C("n")), C("a"), C("n")), "1.0\n-2.0\n3.0\n");
    et_check(&t, X(GREATEST, C("a"), F(0.5)), "1.5\n0.5\nNULL\n");
    et_check(&t, X(NEGATE, C("b")), "-1.500\n-7.125\n-3.000\n");
    et_check(&t, X(ABS, C("a")), "1.5\n2.0\nNULL\n");
    et_close(&t);
}

MR_TEST(compare, numbers_of_different_widths_compare_by_value)
{
    struct et t;

    et_open(&t, "a int8, b int64, x float64", "1|1|1\n-1|1000|0.5\nNULL|0|0\n5|4|NULL\n");
    et_check(&t, X(EQ, C("a"), C("b")), "true\nfalse\nNULL\nfalse\n");
    et_check(&t, X(NE, C("a"), C("b")), "false\ntrue\nNULL\ntrue\n");
    et_check(&t, X(LT, C("a"), C("b")), "false\ntrue\nNULL\nfalse\n");
    et_check(&t, X(LE, C("a"), C("x")), "true\ntrue\nNULL\nNULL\n");
    et_check(&t, X(GT, C("a"), I(0)), "true\nfalse\nNULL\ntrue\n");
    et_check(&t, X(GE, I(1000), C("a")), "true\ntrue\nNULL\ntrue\n");
    et_check(&t, X(GE, C("b"), C("x")), "true\ntrue\ntrue\nNULL\n");
    et_check(&t, X(IN, C("a"), I(5), I(1)), "true\nfalse\nNULL\ntrue\n");
    et_check(&t, X(IN, C("a"), I(5), NUL(MR_INT64)), "NULL\nNULL\nNULL\ntrue\n");
    et_check(&t, X(NULLIF, C("a"), C("b")), "NULL\n-1\nNULL\n5\n");
    et_check(&t, X(LEAST, C("a"), C("b")), "1\n-1\nNULL\n4\n");
    et_check(&t, X(GREATEST, C("a"), C("b"), I(3)), "3\n1000\nNULL\n5\n");
    et_check(&t, X(IS_DISTINCT, C("a"), C("b")), "false\ntrue\ntrue\ntrue\n");
    et_close(&t);
}

/* Two constants that folding does not see: the second one has a single element to read. */
MR_TEST(compare, in_over_constants_of_the_batch_reads_one_element)
{
    struct et t;

    et_open(&t, "x float64, y float64", "0|2\n2|2\nNULL|1\n");
    et_check(&t, X(IN, C("x"), F(0.5), C("y")), "false\ntrue\nNULL\n");
    et_check(&t, X(IS_DISTINCT, C("x"), C("y")), "true\nfalse\ntrue\n");
    et_close(&t);
}

MR_TEST(compare, texts_compare_by_bytes_short_and_long)
{
    struct et t;

    et_open(&t, "s utf8, u utf8",
            "abc|abd\nabc|abc\nlonger than twelve|longer than twelvf\n"
            "longer than twelve|longer than twelve\nabcd|abc\n|a\nNULL|x\n");
    et_check(&t, X(EQ, C("s"), C("u")), "false\ntrue\nfalse\ntrue\nfalse\nfalse\nNULL\n");
    et_check(&t, X(LT, C("s"), C("u")), "true\nfalse\ntrue\nfalse\nfalse\ntrue\nNULL\n");
    et_check(&t, X(GE, C("s"), C("u")), "false\ntrue\nfalse\ntrue\ntrue\nfalse\nNULL\n");
    et_check(&t, X(GREATEST, C("s"), C("u")),
             "abd\nabc\nlonger than twelvf\nlonger than twelve\nabcd\na\nNULL\n");
    et_check(&t, X(IN, C("s"), S("abc"), S("longer than twelve")),
             "true\ntrue\ntrue\ntrue\nfalse\nfalse\nNULL\n");
    et_check(&t, X(NULLIF, C("s"), S("longer than twelve")),
             "abc\nabc\nNULL\nNULL\nabcd\n\nNULL\n");
    et_check(&t, X(COALESCE, C("s"), C("u"), S("z")),
             "abc\nabc\nlonger than twelve\nlonger than twelve\nabcd\n\nx\n");
    et_close(&t);
}

MR_TEST(choice, a_guarded_division_does_not_fail)
{
    struct et t;

    et_open(&t, NUMBERS, "10|2\n10|0\n10|NULL\nNULL|5\n");
    et_check(&t, WHEN(X(NE, C("b"), I(0)), X(DIVIDE, C("a"), C("b")), I(-1)), "5\n-1\n-1\nNULL\n");
    et_check(&t, WHEN(X(NE, C("b"), I(0)), X(DIVIDE, C("a"), C("b")), NULL),
             "5\nNULL\nNULL\nNULL\n");
    et_check(&t, X(AND, X(NE, C("b"), I(0)), X(GT, X(DIVIDE, C("a"), C("b")), I(3))),
             "true\nfalse\nNULL\nNULL\n");
    et_check(&t, X(OR, X(EQ, C("b"), I(0)), X(GT, X(DIVIDE, C("a"), C("b")), I(3))),
             "true\ntrue\nNULL\nNULL\n");
    et_check(&t, X(AND, X(GT, X(DIVIDE, C("a"), C("b")), I(3)), X(NE, C("b"), I(0))),
             "true\nFAIL\nNULL\nNULL\n");
    et_check(&t, X(COALESCE, C("b"), X(DIVIDE, I(1), X(SUBTRACT, C("a"), I(10)))),
             "2\n0\nFAIL\n5\n");
    et_check(&t, WHEN(X(EQ, C("b"), I(7)), X(DIVIDE, I(1), I(0)), C("a")), "10\n10\n10\nNULL\n");
    et_check(&t, WHEN(X(EQ, C("b"), I(2)), X(DIVIDE, I(1), I(0)), C("a")), "FAIL\n10\n10\nNULL\n");
    MR_EXPECT_EQ_STR(t.last.text, "division by zero in 1 / 0: 1 / 0");
    et_close(&t);
}

MR_TEST(choice, case_takes_the_first_branch_that_is_true)
{
    struct et t;
    struct mr_expr *when[3], *then[3];

    et_open(&t, "a int32, s utf8", "1|one\n5|a text that is long\n21|NULL\nNULL|x\n50|y\n");
    when[0] = X(LT, C("a"), I(3));
    when[1] = X(LT, C("a"), I(10));
    when[2] = X(LT, C("a"), I(30));
    then[0] = S("small but a long text");
    then[1] = C("s");
    then[2] = X(CONCAT, C("s"), S("!"));
    et_check(&t, mr_expr_case(&et_arena, when, then, 3, X(UPPER, C("s"))),
             "small but a long text\na text that is long\nNULL\nX\nY\n");
    then[0] = I(1);
    then[1] = F(2.5);
    then[2] = C("a");
    et_check(&t, mr_expr_case(&et_arena, when, then, 3, NULL), "1\n2.5\n21\nNULL\nNULL\n");
    et_close(&t);
}

MR_TEST(text, functions_count_code_points)
{
    struct et t;

    et_open(&t, "s utf8, n int64",
            "Grün & weiß|2\n|1\nabc|-2\n  padded to be long  |0\nNULL|1\n日本語テキスト|3\n");
    et_check(&t, X(LENGTH, C("s")), "11\n0\n3\n21\nNULL\n7\n");
    et_check(&t, X(BYTE_LENGTH, C("s")), "13\n0\n3\n21\nNULL\n21\n");
    et_check(&t, X(UPPER, C("s")), "GRüN & WEIß\n\nABC\n  PADDED TO BE LONG  \nNULL\n日本語テキスト\n");
    et_check(&t, X(LOWER, S("@AZ_")), "@az_\n@az_\n@az_\n@az_\n@az_\n@az_\n");
    et_check(&t, X(TRIM, C("s")), "Grün & weiß\n\nabc\npadded to be long\nNULL\n日本語テキスト\n");
    et_check(&t, X(SUBSTRING, C("s"), C("n")),
             "rün & weiß\n\nbc\n  padded to be long  \nNULL\n語テキスト\n");
    et_check(&t, X(SUBSTRING, C("s"), I(0), I(2)), "Gr\n\nab\n  \nNULL\n日本\n");
    et_check(&t, X(SUBSTRING, C("s"), I(3), I(1)), "ü\n\nc\np\nNULL\n語\n");
    et_check(&t, X(SUBSTRING, C("s"), I(-2), I(1)), "i\n\nb\n \nNULL\nス\n");
    et_check(&t, X(SUBSTRING, C("s"), I(1), I(-1)), "NULL\nNULL\nNULL\nNULL\nNULL\nNULL\n");
    et_check(&t, X(SUBSTRING, C("s"), I(INT64_MIN), I(INT64_MAX)), "\n\n\n\nNULL\n\n");
    et_check(&t, X(CONCAT, C("s"), S("-"), C("s")),
             "Grün & weiß-Grün & weiß\n-\nabc-abc\n  padded to be long  -  padded to be long  \n"
             "NULL\n日本語テキスト-日本語テキスト\n");
    et_check(&t, X(REPLACE, C("s"), S("b"), S("<a longer text>")),
             "Grün & weiß\n\na<a longer text>c\n  padded to <a longer text>e long  \nNULL\n"
             "日本語テキスト\n");
    et_check(&t, X(REPLACE, C("s"), S(""), S("x")),
             "Grün & weiß\n\nabc\n  padded to be long  \nNULL\n日本語テキスト\n");
    et_close(&t);
}

/* Eight bytes at a time must change the 26 letters and no other byte, at every place of a word. */
/* Four bytes that end in a character: c itself if it is ASCII, else one of two, three or four
 * bytes. */
static void put_slot(char *out, uint32_t c)
{
    uint32_t point = c < 192 ? c * 8 : (c - 191) * 0x4003;
    uint32_t more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint32_t leads[] = {0, 0xc0, 0xe0, 0xf0};

    memset(out, 'm', 4);
    out[3] = (char)c;
    if (c < 128) return;
    for (uint32_t i = 0; i < more; i++) out[3 - i] = (char)(0x80 | (point >> 6 * i & 0x3f));
    out[3 - more] = (char)(leads[more] | point >> 6 * more);
}

MR_TEST(text, upper_and_lower_change_ascii_letters_only)
{
    struct et t;

    et_open(&t, "s utf8", "x\n");
    for (uint32_t c = 1; c < 256; c++) {
        for (size_t size = 1; size < 30; size += 3) {
            char text[32], upper[34], lower[34];

            memset(text, 'm', sizeof text);
            for (size_t i = 0; i + 4 <= size; i += 4) put_slot(text + i, c);
            for (size_t i = 0; i < size; i++) {
                char at = text[i];

                upper[i] = at >= 'a' && at <= 'z' ? (char)(at - 32) : at;
                lower[i] = at >= 'A' && at <= 'Z' ? (char)(at + 32) : at;
            }
            memcpy(upper + size, "\n", 2);
            memcpy(lower + size, "\n", 2);
            et_check(&t, X(UPPER, mr_expr_utf8(&et_arena, text, size)), upper);
            et_check(&t, X(LOWER, mr_expr_utf8(&et_arena, text, size)), lower);
            mr_arena_reset(&et_arena);
        }
    }
    et_close(&t);
}

MR_TEST(text, like_and_its_kin)
{
    static const struct {
        const char *text, *pattern;
        bool matches;
    } cases[] = {
        {"abc", "abc", true},      {"abc", "a%", true},      {"abc", "%c", true},
        {"abc", "%b%", true},      {"abc", "_b_", true},     {"abc", "__", false},
        {"abc", "", false},        {"", "", true},           {"", "%", true},
        {"", "_", false},          {"aXbXc", "a%X%c", true}, {"mississippi", "m%iss%ip%", true},
        {"mississippi", "m%iss%ix%", false}, {"über", "_ber", true}, {"über", "__ber", false},
        {"aab", "%ab", true},      {"abab", "%ab_", false},  {"日本", "日_", true},
        {"a%b", "a%b", true},      {"abc", "abc%%", true},
    };
    struct et t;

    et_open(&t, "s utf8", "hello world, good morning\nhello\nNULL\n");
    et_check(&t, X(STARTS_WITH, C("s"), S("hello w")), "true\nfalse\nNULL\n");
    et_check(&t, X(ENDS_WITH, C("s"), S("llo")), "false\ntrue\nNULL\n");
    et_check(&t, X(CONTAINS, C("s"), S("good")), "true\nfalse\nNULL\n");
    et_check(&t, X(CONTAINS, C("s"), S("")), "true\ntrue\nNULL\n");
    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        struct mr_expr *text = mr_expr_utf8(&et_arena, cases[i].text, strlen(cases[i].text));
        struct mr_expr *pattern =
            mr_expr_utf8(&et_arena, cases[i].pattern, strlen(cases[i].pattern));

        et_check(&t, X(LIKE, text, pattern),
                 cases[i].matches ? "true\ntrue\ntrue\n" : "false\nfalse\nfalse\n");
    }
    et_close(&t);
}

MR_TEST(text, a_result_that_is_too_long_fails_its_row)
{
    struct et t;
    struct mr_expr *e;

    et_open(&t, "s utf8, n int64", "0123456789abcdef|1\nNULL|2\n");
    e = C("s");
    for (int i = 0; i < 14; i++) e = X(CONCAT, e, e);
    et_check(&t, X(LENGTH, X(CONCAT, e, e)), "FAIL\nNULL\n");
    MR_EXPECT_CONTAINS(t.last.text, "text too long in concat(");
    et_close(&t);
}

/* 2013-01-01 was a Tuesday; 1969-12-31T23:59:59.999999 lies one tick before the epoch. */
MR_TEST(time, fields_round_toward_minus_infinity)
{
    struct et t;

    et_open(&t, "t timestamp, z timestamp_ltz, d date, c time",
            "1357034523123456|1357034523123456|15706|36000000000\n-1|-1|-1|0\n"
            "NULL|NULL|NULL|NULL\n");
    et_check(&t, X(YEAR, C("t")), "2013\n1969\nNULL\n");
    et_check(&t, X(MONTH, C("z")), "1\n12\nNULL\n");
    et_check(&t, X(DAY, C("d")), "1\n31\nNULL\n");
    et_check(&t, X(HOUR, C("t")), "10\n23\nNULL\n");
    et_check(&t, X(MINUTE, C("t")), "2\n59\nNULL\n");
    et_check(&t, X(SECOND, C("z")), "3\n59\nNULL\n");
    et_check(&t, X(HOUR, C("c")), "10\n0\nNULL\n");
    et_check(&t, X(DAY_OF_WEEK, C("d")), "3\n4\nNULL\n");
    et_check(&t, X(TO_DATE, C("z")), "15706\n-1\nNULL\n");
    et_check(&t, X(EPOCH_MILLIS, C("z")), "1357034523123\n-1\nNULL\n");
    et_check(&t, X(FROM_MILLIS, X(EPOCH_MILLIS, C("z"))), "1357034523123000\n-1000\nNULL\n");
    et_check(&t, X(FLOOR_TIME, C("t"), T(MR_INTERVAL, MR_HOUR)),
             "1357034400000000\n-3600000000\nNULL\n");
    et_check(&t, X(FLOOR_TIME, C("t"), T(MR_INTERVAL, 0)), "FAIL\nFAIL\nNULL\n");
    et_check(&t, X(FROM_MILLIS, I(INT64_MAX)), "FAIL\nFAIL\nFAIL\n");
    et_close(&t);
}

MR_TEST(time, arithmetic_keeps_to_the_bounds_of_time)
{
    struct et t;

    et_open(&t, "t timestamp, u timestamp, d date, c time, i interval, n int32",
            "1000000|400000|1|82800000000|7200000000|3\nNULL|0|NULL|NULL|1|1\n"
            "4611686018427387900|0|2147483647|0|100|0\n");
    et_check(&t, X(ADD, C("t"), C("i")), "7201000000\nNULL\nFAIL\n");
    et_check(&t, X(ADD, C("i"), C("t")), "7201000000\nNULL\nFAIL\n");
    et_check(&t, X(SUBTRACT, C("t"), C("u")), "600000\nNULL\n4611686018427387900\n");
    et_check(&t, X(ADD, C("d"), C("i")), "93600000000\nNULL\nFAIL\n");
    et_check(&t, X(ADD, C("c"), C("i")), "3600000000\nNULL\n100\n");
    et_check(&t, X(SUBTRACT, C("c"), C("i")), "75600000000\nNULL\n86399999900\n");
    et_check(&t, X(MULTIPLY, C("i"), C("n")), "21600000000\n1\n0\n");
    et_check(&t, X(DIVIDE, C("i"), C("n")), "2400000000\n1\nFAIL\n");
    et_check(&t, X(NEGATE, C("i")), "-7200000000\n-1\n-100\n");
    et_check(&t, X(LT, C("d"), T(MR_DATE, 5)), "true\nNULL\nfalse\n");
    et_close(&t);
}

MR_TEST(cast, numbers_to_numbers_are_checked)
{
    struct et t;

    et_open(&t, "n int64, x float64, d decimal(6,2), p bool",
            "127|2.9|2.50|true\n-129|-2.9|-0.99|false\n9223372036854775807|1e19|9999.99|true\n"
            "NULL|NULL|NULL|NULL\n0|nan|0.00|false\n");
    et_check(&t, CAST(C("n"), MR_INT8), "127\nFAIL\nFAIL\nNULL\n0\n");
    MR_EXPECT_EQ_STR(t.last.text, "number out of range in CAST(n AS int8): -129");
    et_check(&t, TRY(C("n"), MR_INT8), "127\nNULL\nNULL\nNULL\n0\n");
    et_check(&t, CAST(C("x"), MR_INT64), "2\n-2\nFAIL\nNULL\nFAIL\n");
    et_check(&t, CAST(C("x"), MR_INT8), "2\n-2\nFAIL\nNULL\nFAIL\n");
    et_check(&t, CAST(C("n"), MR_FLOAT64), "127\n-129\n9.223372036854776e+18\nNULL\n0\n");
    et_check(&t, CAST(C("d"), MR_INT32), "2\n0\n9999\nNULL\n0\n");
    et_check(&t, CAST(C("d"), MR_FLOAT64), "2.5\n-0.99\n9999.99\nNULL\n0\n");
    et_check(&t, DECIMAL(C("n"), 5, 1), "127.0\n-129.0\nFAIL\nNULL\n0.0\n");
    et_check(&t, DECIMAL(C("x"), 5, 1), "2.9\n-2.9\nFAIL\nNULL\nFAIL\n");
    et_check(&t, DECIMAL(C("d"), 3, 1), "2.5\n-1.0\nFAIL\nNULL\n0.0\n");
    et_check(&t, CAST(C("p"), MR_INT32), "1\n0\n1\nNULL\n0\n");
    et_check(&t, CAST(C("n"), MR_BOOL), "true\ntrue\ntrue\nNULL\nfalse\n");
    et_check(&t, CAST(C("x"), MR_FLOAT32), "2.9\n-2.9\n1e+19\nNULL\nnan\n");
    et_close(&t);
}

MR_TEST(cast, texts_to_values_and_back)
{
    static const struct {
        const char *text;
        enum mr_type type;
        const char *value; /* of the cast, as text again */
    } cases[] = {
        {"1.5", MR_INT32, "1"},
        {" -42 ", MR_INT64, "-42"},
        {"-.9", MR_INT64, "0"},
        {".", MR_INT64, NULL},
        {"", MR_INT64, NULL},
        {"1e3", MR_INT64, NULL},
        {"300", MR_INT8, NULL},
        {"9223372036854775808", MR_INT64, NULL},
        {"1e3", MR_FLOAT64, "1000"},
        {"0.1", MR_FLOAT32, "0.1"},
        {"abc", MR_FLOAT64, NULL},
        {"yes", MR_BOOL, "TRUE"},
        {"F", MR_BOOL, "FALSE"},
        {"maybe", MR_BOOL, NULL},
        {"\x10", MR_BOOL, NULL}, /* 0x20 away from '0' and '1', and no letter */
        {"\x11", MR_BOOL, NULL},
        {"2013-01-31", MR_DATE, "2013-01-31"},
        {"2013-01-31 23:00:00", MR_DATE, "2013-01-31"},
        {"2013-02-30", MR_DATE, NULL},
        {"10:00:01.5", MR_TIME, "10:00:01.5"},
        {"1h30m", MR_INTERVAL, "1h30m"},
        {"-10s", MR_INTERVAL, "-10s"},
    };
    struct et t;

    et_open(&t, "s utf8", "x\n");
    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        struct mr_expr *text = mr_expr_utf8(&et_arena, cases[i].text, strlen(cases[i].text));
        struct mr_expr *safe = CAST(TRY(text, cases[i].type), MR_UTF8);
        char line[80];

        (void)snprintf(line, sizeof line, "%s\n", cases[i].value != NULL ? cases[i].value : "NULL");
        et_check(&t, X(REPLACE, safe, S(":"), S(";")),
                 strchr(line, ':') == NULL ? line : "10;00;01.5\n");
        if (cases[i].value == NULL) et_check(&t, CAST(text, cases[i].type), "FAIL\n");
    }
    et_check(&t, CAST(C("s"), MR_INT64), "FAIL\n");
    MR_EXPECT_EQ_STR(t.last.text, "text is not a value of the type in CAST(s AS int64): 'x'");
    et_close(&t);
}

MR_TEST(cast, decimals_from_text_round_and_print_their_scale)
{
    struct et t;

    et_open(&t, "s utf8", "1.255\n-1.255\n1e2\n12345678\n1.2.3\nNULL\n1e-400\n");
    et_check(&t, DECIMAL(C("s"), 6, 2), "1.26\n-1.26\n100.00\nFAIL\nFAIL\nNULL\n0.00\n");
    et_check(&t, CAST(DECIMAL(C("s"), 12, 2), MR_UTF8),
             "1.26\n-1.26\n100.00\n12345678.00\nFAIL\nNULL\n0.00\n");
    et_close(&t);
}

MR_TEST(cast, times_to_times_and_texts)
{
    struct et t;

    et_open(&t, "t timestamp, z timestamp_ltz, d date",
            "1357034400000000|1357034400500000|15706\n-1|-1|2147483647\nNULL|NULL|NULL\n");
    et_check(&t, CAST(C("t"), MR_DATE), "15706\n-1\nNULL\n");
    et_check(&t, CAST(C("t"), MR_TIME), "36000000000\n86399999999\nNULL\n");
    et_check(&t, CAST(C("t"), MR_TIMESTAMP_LTZ), "1357034400000000\n-1\nNULL\n");
    et_check(&t, CAST(C("d"), MR_TIMESTAMP), "1356998400000000\nFAIL\nNULL\n");
    et_check(&t, X(REPLACE, CAST(C("z"), MR_UTF8), S(":"), S(";")),
             "2013-01-01T10;00;00.5Z\n1969-12-31T23;59;59.999999Z\nNULL\n");
    et_close(&t);
}

MR_TEST(cast, binary_must_be_utf8_to_become_text)
{
    struct et t;

    et_open(&t, "b binary", "abc\n\\xff\\xfe\nlong enough to be far away\n\\xed\\xa0\\x80\nNULL\n");
    et_check(&t, CAST(C("b"), MR_UTF8), "abc\nFAIL\nlong enough to be far away\nFAIL\nNULL\n");
    et_check(&t, X(EQ, C("b"), S("abc")), "true\nfalse\nfalse\nfalse\nNULL\n");
    et_check(&t, X(SUBSTRING, C("b"), I(2), I(1)), "b\n\xfe\no\n\xa0\nNULL\n");
    et_close(&t);
}

MR_TEST(nested, columns_can_be_passed_on_hashed_and_tested_for_null)
{
    struct et t;
    struct mr_bound *bound;
    struct mr_expr *hash;

    et_open(&t, "l list<int64>, n int64", "[1,2]|1\nNULL|2\n[]|NULL\n");
    et_check(&t, C("l"), "(nested)\nNULL\n(nested)\n");
    et_check(&t, X(IS_NULL, C("l")), "false\ntrue\nfalse\n");
    hash = X(HASH, C("l"), C("n"));
    et_check(&t, X(EQ, hash, hash), "true\ntrue\ntrue\n");
    bound = et_bind(&t, C("l"));
    MR_EXPECT_EQ_INT(mr_bound_field(bound)->child_count, 1);
    mr_bound_destroy(bound);
    et_close(&t);
}

/* The exchange hashes keys with mr_column_hash: the function must give the same. */
MR_TEST(hash, agrees_with_the_hash_of_the_exchange)
{
    struct et t;
    struct et_text p = {NULL, 0, 0};
    uint64_t expected[2];

    et_open(&t, "a int32, s utf8", "5|abc\nNULL|x\n");
    mr_column_hash(&t.batch->columns[0], NULL, 2, expected);
    mr_column_hash_combine(&t.batch->columns[1], NULL, 2, expected);
    for (int i = 0; i < 2; i++) {
        char line[32];

        (void)snprintf(line, sizeof line, "%lld\n", (long long)(int64_t)expected[i]);
        et_put(&p, line, strlen(line));
    }
    et_check(&t, X(HASH, C("a"), C("s")), p.data);
    free(p.data);
    et_close(&t);
}

MR_TEST(hidden, an_absent_time_and_the_lower_bound_are_both_null)
{
    struct et t;
    struct mr_bound *bound;
    struct et_text p = {NULL, 0, 0};
    const int64_t times[] = {5, MR_TIME_MIN, 7};

    et_open(&t, "a int64", "1\n2\n3\n");
    bound = et_bind(&t, mr_expr_event_time(&et_arena));
    et_run(&t, bound, t.batch, 0, 1, &p);
    et_same("absent", &p, "NULL\nNULL\nNULL\n");
    mr_data_hide(t.batch, MR_HIDDEN_EVENT_TIME, times);
    et_run(&t, bound, t.batch, 0, 1, &p);
    et_same("present", &p, "5\nNULL\n7\n");
    mr_bound_destroy(bound);
    MR_EXPECT_EQ_UINT(mr_expr_hidden_mask(X(IS_NULL, mr_expr_window_end(&et_arena))),
                      1u << MR_HIDDEN_WINDOW_END);
    free(p.data);
    et_close(&t);
}
