/* schema_test.c - what a schema refuses, keeps and suggests. */
#include "data/data_test_helper.h"
#include "data/schema.h"

static const struct mr_field point_fields[] = {{.name = "x", .type = MR_INT32},
                                               {.name = "y", .type = MR_INT32, .not_null = true}};

/* All three views of one text: parsed, stored, printed. */
MR_TEST(schema, prints_as_it_was_written)
{
    static const char *const texts[] = {
        "origin utf8, flights int64 not null, price decimal(12,2)",
        MR_DATA_ALL_TYPES,
        "m map<utf8, list<struct<a date, b decimal(38,38) not null>>>",
        "only interval",
    };

    for (size_t i = 0; i < MR_COUNT(texts); i++) {
        struct mr_schema *schema = mr_data_schema(texts[i]);
        struct mr_text out;

        mr_text_init(&out, mr_test_heap(), 0);
        mr_schema_print(schema, &out);
        MR_EXPECT_EQ_STR(mr_text_get(&out), texts[i]);
        mr_text_fini(&out);
        mr_schema_release(schema);
    }
}

/* The caller's fields and names may go as soon as create has returned. */
MR_TEST(schema, is_a_deep_copy)
{
    char name[] = "place";
    struct mr_field children[2] = {point_fields[0], point_fields[1]};
    struct mr_field field = {
        .name = name, .type = MR_STRUCT, .child_count = 2, .children = children};
    struct mr_schema *schema;
    struct mr_error err;

    MR_EXPECT_OK(mr_schema_create(mr_test_heap(), &field, 1, &schema, &err), &err);
    memset(name, '#', sizeof name - 1);
    memset(children, 0, sizeof children);
    memset(&field, 0, sizeof field);
    MR_EXPECT_EQ_STR(schema->fields[0].name, "place");
    MR_EXPECT_EQ_STR(schema->fields[0].children[1].name, "y");
    MR_EXPECT(schema->fields[0].children[1].not_null);
    mr_schema_release(schema);
}

MR_TEST(schema, refuses_by_name_what_is_wrong)
{
    static const struct mr_field item = {.name = "", .type = MR_INT8};
    static const struct mr_field twins[] = {{.name = "t", .type = MR_INT8},
                                            {.name = "t", .type = MR_BOOL}};
    static const struct {
        struct mr_field field;
        const char *part;
    } rows[] = {
        {{.name = "", .type = MR_INT8}, "no name"},
        {{.name = NULL, .type = MR_INT8}, "no name"},
        {{.name = "a", .type = MR_TYPE_NONE}, "'a' has the unknown type 0"},
        {{.name = "a", .type = (enum mr_type)77}, "'a' has the unknown type 77"},
        {{.name = "a", .type = MR_DECIMAL}, "'a' is decimal(0,0)"},
        {{.name = "a", .type = MR_DECIMAL, .precision = 39}, "decimal(39,0)"},
        {{.name = "a", .type = MR_DECIMAL, .precision = 4, .scale = 5}, "decimal(4,5)"},
        {{.name = "a", .type = MR_LIST}, "'a' is a list with 0 children"},
        {{.name = "a", .type = MR_MAP, .child_count = 1, .children = &item}, "'a' is a map"},
        {{.name = "a", .type = MR_STRUCT}, "'a' is a struct"},
        {{.name = "a", .type = MR_INT8, .child_count = 1, .children = &item}, "'a' is a int8"},
        {{.name = "a", .type = MR_LIST, .child_count = 1}, "'a' says it has 1 children"},
        {{.name = "a", .type = MR_STRUCT, .child_count = 1, .children = &item},
         "in column 'a': column 1 has no name"},
        {{.name = "a", .type = MR_STRUCT, .child_count = 2, .children = twins}, "both named 't'"},
    };

    for (size_t i = 0; i < MR_COUNT(rows); i++) {
        struct mr_schema *schema = NULL;
        struct mr_error err;

        MR_EXPECT_STATUS(mr_schema_create(mr_test_heap(), &rows[i].field, 1, &schema, &err),
                         MR_E_SCHEMA);
        MR_EXPECT_CONTAINS(err.text, rows[i].part);
        MR_EXPECT(schema == NULL);
    }
}

MR_TEST(schema, when_two_columns_share_a_name_then_both_are_said)
{
    static const struct mr_field fields[] = {{.name = "a", .type = MR_INT8},
                                             {.name = "b", .type = MR_INT8},
                                             {.name = "a", .type = MR_UTF8}};
    struct mr_schema *schema;
    struct mr_error err;

    MR_EXPECT_STATUS(mr_schema_create(mr_test_heap(), fields, 3, &schema, &err), MR_E_SCHEMA);
    MR_EXPECT_CONTAINS(err.text, "columns 1 and 3 are both named 'a'");
}

MR_TEST(schema, limits_columns_and_nesting)
{
    static struct mr_field levels[MR_NESTING_MAX + 1];
    struct mr_schema *schema;
    struct mr_error err;

    MR_EXPECT_STATUS(mr_schema_create(mr_test_heap(), levels, MR_COLUMNS_MAX + 1, &schema, &err),
                     MR_E_SCHEMA);
    for (uint32_t i = 0; i < MR_COUNT(levels); i++) {
        levels[i] = (struct mr_field){.name = "deep", .type = MR_LIST, .child_count = 1};
        levels[i].children = &levels[i + 1];
    }
    levels[MR_NESTING_MAX] = (struct mr_field){.name = "leaf", .type = MR_INT8};
    MR_EXPECT_STATUS(mr_schema_create(mr_test_heap(), levels, 1, &schema, &err), MR_E_SCHEMA);
    MR_EXPECT_CONTAINS(err.text, "deeper than 32 levels");
    MR_EXPECT_OK(mr_schema_create(mr_test_heap(), levels + 1, 1, &schema, &err), &err);
    mr_schema_release(schema);
}

MR_TEST(schema, equality_is_of_names_and_types_in_order)
{
    static const struct {
        const char *left, *right;
        bool equal;
    } rows[] = {
        {"a int64, b utf8", "a int64, b utf8", true},
        {"a int64, b utf8", "b utf8, a int64", false},
        {"a int64", "a int64 not null", true},
        {"a int64", "a int32", false},
        {"a int64", "A int64", false},
        {"a int64", "a int64, b utf8", false},
        {"a decimal(10,2)", "a decimal(10,3)", false},
        {"a struct<x int8>", "a struct<y int8>", false},
        {"a struct<x int8>", "a struct<x int8, y int8>", false},
        {"a list<int8>", "a list<int16>", false},
        {"a map<utf8, int8>", "a map<utf8, int8 not null>", true},
    };

    for (size_t i = 0; i < MR_COUNT(rows); i++) {
        struct mr_schema *left = mr_data_schema(rows[i].left);
        struct mr_schema *right = mr_data_schema(rows[i].right);

        MR_EXPECT_EQ_INT(mr_schema_equal(left, right), rows[i].equal);
        mr_schema_release(left);
        mr_schema_release(right);
    }
}

MR_TEST(schema, finds_columns_and_suggests_near_names)
{
    static const struct {
        const char *wanted, *suggested;
    } rows[] = {
        {"dep_dleay", "dep_delay"}, {"DEP_DELAY", "dep_delay"},
        {"depdelay", "dep_delay"},  {"origni", "origin"},
        {"rigin", "origin"},        {"x", NULL},
        {"passengers", NULL},       {"", NULL},
        {"tailnumber", "tailnum"},  {"i", "id"},
    };
    struct mr_schema *schema =
        mr_data_schema("dep_delay int64, arr_delay int64, origin utf8, tailnum utf8, id int64");

    MR_EXPECT_EQ_UINT(mr_schema_find(schema, "origin"), 2);
    MR_EXPECT_EQ_UINT(mr_schema_find(schema, "Origin"), MR_COLUMN_NONE);
    for (size_t i = 0; i < MR_COUNT(rows); i++) {
        const char *found = mr_schema_suggest(schema, rows[i].wanted);

        MR_EXPECT_EQ_STR(found != NULL ? found : "(none)",
                         rows[i].suggested != NULL ? rows[i].suggested : "(none)");
    }
    mr_schema_release(schema);
}

MR_TEST(schema, lives_as_long_as_its_last_reference)
{
    struct mr_schema *schema = mr_data_schema("a int64");
    struct mr_schema *other = mr_schema_ref(schema);

    mr_schema_release(schema);
    MR_EXPECT_EQ_STR(other->fields[0].name, "a");
    mr_schema_release(other);
    mr_schema_release(NULL);
}

MR_TEST(schema, when_memory_runs_out_then_nothing_is_left)
{
    static const struct mr_field field = {
        .name = "p", .type = MR_STRUCT, .child_count = 2, .children = point_fields};

    MR_TORTURE(mr_test_heap()) {
        struct mr_schema *schema = NULL;
        struct mr_error err;
        enum mr_status st = mr_schema_create(mr_test_heap(), &field, 1, &schema, &err);

        MR_EXPECT_EQ_INT(st, mr_test_refused(mr_test_heap()) ? MR_E_NOMEM : MR_OK);
        mr_schema_release(schema);
    }
}
