/* state_text_test.c - keys and values as JSON: what is described is decoded, the rest stays bytes. */
#include "base/prng.h"
#include "data/schema.h"
#include "mr_test.h"
#include "state/state_text.h"
#include <millrace/process.h>
#include <stdlib.h>

static struct mri_state_schemas schemas;
static struct mr_text text;

static void begin(void)
{
    mri_state_schemas_init(&schemas, mr_test_heap());
    mr_text_init(&text, mr_test_heap(), 0);
}

static void end(void)
{
    mri_state_schemas_fini(&schemas);
    mr_text_fini(&text);
}

static void describe(const char *name, const void *data, size_t size)
{
    const struct mr_entry entry = {.kind = MR_ENTRY_VALUE,
                                   .state_name = "",
                                   .key = {name, strlen(name)},
                                   .value = {data, size}};
    struct mr_error err;

    MR_EXPECT_OK(mri_state_schemas_take(&schemas, "op", &entry, &err), &err);
}

static void describe_keys(const struct mr_field *fields, uint32_t count)
{
    struct mr_buffer buffer;

    mr_buffer_init(&buffer, mr_test_heap());
    MR_EXPECT(mr_key_schema_encode(&buffer, fields, count));
    describe("schema:", buffer.data, buffer.size_bytes);
    mr_buffer_fini(&buffer);
}

static void expect_key(const struct mr_entry *entry, const char *expected)
{
    mr_text_clear(&text);
    mri_state_key_text(&schemas, "op", entry, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), expected);
}

static void expect_value(const char *operator_id, const struct mr_entry *entry,
                         const char *expected)
{
    mr_text_clear(&text);
    mri_state_value_text(&schemas, operator_id, entry, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), expected);
}

static struct mr_entry put_of(const char *key, size_t size)
{
    return (struct mr_entry){.kind = MR_ENTRY_PUT, .state_name = "agg", .key = {key, size}};
}

#define BYTES(literal) (literal), sizeof(literal) - 1

MR_TEST(state_text, keys_of_all_types_are_shown_as_their_values)
{
    static const struct one {
        struct mr_field field;
        const char *bytes;
        size_t size;
        const char *shown;
    } all[] = {
        {{.type = MR_UTF8}, BYTES("\x01JFK\0\0"), "\"JFK\""},
        {{.type = MR_UTF8},
         BYTES("\x01"
               "a\0\xff\"\0\0"),
         "\"a\\u0000\\\"\""},
        {{.type = MR_UTF8}, BYTES("\x01\0\0"), "\"\""},
        {{.type = MR_UTF8}, BYTES("\0"), "null"},
        {{.type = MR_BINARY}, BYTES("\x01\x7f\0\0"), "\"0x7f\""},
        {{.type = MR_INT64}, BYTES("\x01\x80\0\0\0\0\0\0\x07"), "7"},
        {{.type = MR_INT64}, BYTES("\x01\x7f\xff\xff\xff\xff\xff\xff\xff"), "-1"},
        {{.type = MR_INT32}, BYTES("\x01\x80\0\0\x07"), "7"},
        {{.type = MR_INT16}, BYTES("\x01\x7f\xfe"), "-2"},
        {{.type = MR_INT8}, BYTES("\x01\x00"), "-128"},
        {{.type = MR_BOOL}, BYTES("\x01\x01"), "true"},
        {{.type = MR_FLOAT64}, BYTES("\x01\xbf\xf0\0\0\0\0\0\0"), "1"},
        {{.type = MR_FLOAT64}, BYTES("\x01\x40\x0f\xff\xff\xff\xff\xff\xff"), "-1"},
        {{.type = MR_DATE}, BYTES("\x01\x80\0\0\0"), "\"1970-01-01\""},
        {{.type = MR_TIMESTAMP_LTZ},
         BYTES("\x01\x80\0\0\0\0\x0f\x42\x40"),
         "\"1970-01-01T00:00:01Z\""},
        {{.type = MR_DECIMAL, .precision = 10, .scale = 2},
         BYTES("\x01\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfb"),
         "\"-0.05\""},
        {{.type = MR_DECIMAL, .precision = 10, .scale = 0},
         BYTES("\x01\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0c"),
         "\"12\""},
    };

    for (size_t i = 0; i < MR_COUNT(all); i++) {
        const struct mr_entry entry = put_of(all[i].bytes, all[i].size);

        begin();
        describe_keys(&all[i].field, 1);
        expect_key(&entry, all[i].shown);
        end();
    }
}

/* The bytes come from the codec, what is shown is spelled out. */
MR_TEST(state_text, several_columns_are_a_list_and_bytes_that_do_not_fit_stay_bytes)
{
    static const struct mr_field fields[] = {{.name = "a", .type = MR_UTF8},
                                             {.name = "b", .type = MR_INT32}};
    struct mr_entry entry = put_of(BYTES("\x01x\0\0\x01\x80\0\0\x09"));

    begin();
    describe_keys(fields, 2);
    expect_key(&entry, "[\"x\",9]");
    entry.key.size_bytes--;
    expect_key(&entry, "\"0x01780000018000"
                       "00\"");
    entry = put_of(BYTES("\x02x"));
    expect_key(&entry, "\"0x0278\"");
    entry = put_of(BYTES("\x01x\0\0\0\0"));
    expect_key(&entry, "\"0x017800000000\"");
    end();
    begin();
    entry = put_of(BYTES("\x01x\0\0"));
    expect_key(&entry, "\"0x01780000\""); /* nobody described it */
    end();
}

MR_TEST(state_text, records_of_functions_are_objects)
{
    static const char map[] = "\x01\x03\0"            /* version, map, no accumulator */
                              "\x01\x05\0\0\x01\x01k" /* by k int64 not null */
                              "\x02\x09\0\0\0\x04name\x05\0\0\0\x01n";
    struct mr_entry entry = {.kind = MR_ENTRY_PUT,
                             .state_name = "seen",
                             .key = {BYTES("\x01u\0\0\x01\x80\0\0\0\0\0\0\x03")},
                             .value = {BYTES("\x04\x09" /* order of adding */
                                             "\x02\x03" /* two fields, both set */
                                             "\x02hi\x05\0\0\0\0\0\0\0")}};
    static const struct mr_field key = {.name = "user", .type = MR_UTF8};

    begin();
    describe_keys(&key, 1);
    describe("schema:seen", map, sizeof map - 1);
    expect_key(&entry, "[\"u\",3]");
    expect_value("op", &entry, "{\"name\":\"hi\",\"n\":5}");
    entry.value = (struct mr_bytes){BYTES("\x05\x10\0\0\0\0\0\0\0\x09\x01\0")}; /* stamped */
    expect_value("op", &entry, "{\"name\":null,\"n\":null}");
    entry.value = (struct mr_bytes){BYTES("\x04\x09\x02\x03\x02hi\x05")};
    expect_value("op", &entry,
                 "\"0x04090203026869"
                 "05\"");
    end();
}

MR_TEST(state_text, what_the_engine_keeps_is_told)
{
    struct mr_entry timer = {.kind = MR_ENTRY_TIMER_SET,
                             .state_name = "",
                             .value = {BYTES("\x01\x02\0\0\0\x40\x42\x0f\0\0\0\0\0"
                                             "\xff\xff\xff\xff\xff\xff\xff\x3f")}};
    struct mr_entry split = {.kind = MR_ENTRY_PUT,
                             .state_name = "splits",
                             .key = {BYTES("\x03\0\0\0")},
                             .value = {BYTES("\x01")}};
    static const char at[] = "\0\x01\x02\0\0" /* at; version, CSV, flags */
                             "\0\0\0\0\0\0\0\0\xff\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0"
                             "\x02\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\xff\0\0\0\0\0\0\0"
                             "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    struct mr_entry mark = {.kind = MR_ENTRY_VALUE,
                            .state_name = "",
                            .key = {BYTES("watermark")},
                            .value = {BYTES("\0\0\0\0\0\x04\0\0\x40\x42\x0f\0\0\0\0\0")}};
    struct mr_entry job = {.kind = MR_ENTRY_VALUE,
                           .state_name = "",
                           .key = {BYTES("job")},
                           .value = {BYTES("\x05\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x04\0\0\0\0\0\0"
                                           "\x02\0\0\0\x01\0\0\0")}};

    begin();
    expect_key(&timer, "null");
    expect_value("op", &timer,
                 "{\"domain\":\"processing\",\"tag\":2,\"time\":\"1970-01-01T00:00:01Z\"}");
    expect_key(&split, "3");
    expect_value("op", &split, "\"done\"");
    split.value = (struct mr_bytes){at, sizeof at - 1};
    expect_value("op", &split,
                 "{\"source\":\"csv\",\"offset\":16,\"of\":255,\"row\":2,\"line\":4}");
    expect_key(&mark, "\"watermark\"");
    expect_value("op", &mark, "[{\"groups\":\"0-1023\",\"at\":\"1970-01-01T00:00:01Z\"}]");
    expect_value(":job", &job,
                 "{\"fence\":5,\"layout\":\"0000000000000001\",\"batch_rows\":1024,\"lanes\":2,"
                 "\"finished\":true}");
    expect_value("op", &job,
                 "\"0x05000000000000000100000000000000"
                 "00040000000000000200000001000000\"");
    end();
}

MR_TEST(state_text, namespaces_are_instants_when_they_look_like_one)
{
    begin();
    mri_state_namespace_text(-5, &text);
    mr_text_add_char(&text, ' ');
    mri_state_namespace_text(INT64_C(1358906400000000), &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), "-5 2013-01-23T02:00:00Z");
    end();
}

/* Anything at all: no read behind an end, and what comes out is text. */
MR_TEST(state_text, random_bytes_are_shown_without_harm)
{
    static const struct mr_field fields[] = {{.name = "a", .type = MR_UTF8},
                                             {.name = "b", .type = MR_DECIMAL, .scale = 3}};
    static const char *const names[] = {"agg", "splits", "writer", "", "seen"};
    struct mr_prng prng;

    mr_prng_init(&prng, 1, 1);
    for (uint32_t round = 0; round < 20000; round++) {
        size_t key_size = mr_prng_below(&prng, 24), size = mr_prng_below(&prng, 100);
        char *key = malloc(key_size + 1), *value = malloc(size + 1);
        struct mr_entry entry;

        for (size_t i = 0; i < key_size; i++) key[i] = (char)mr_prng_below(&prng, 3);
        for (size_t i = 0; i < size; i++) {
            value[i] = (char)mr_prng_below(&prng, round % 2 == 0 ? 4 : 256);
        }
        key = realloc(key, MR_MAX(key_size, 1));
        value = realloc(value, MR_MAX(size, 1));
        entry = (struct mr_entry){.kind = (enum mr_entry_kind)mr_prng_below(&prng, 6),
                                  .state_name = names[mr_prng_below(&prng, MR_COUNT(names))],
                                  .key = {key, key_size},
                                  .value = {value, size}};
        begin();
        describe_keys(fields, 2);
        describe("schema:agg", value, size);
        describe("schema:seen", BYTES("\x01\x01\0\0\x01\x09\0\0\0\x01n"));
        mri_state_key_text(&schemas, "op", &entry, &text);
        mri_state_value_text(&schemas, round % 3 == 0 ? ":job" : "op", &entry, &text);
        MR_EXPECT(text.size_bytes > 0);
        end();
        free(key);
        free(value);
    }
}

MR_TEST(state_text, when_memory_runs_out_then_the_text_knows)
{
    static const struct mr_field key = {.name = "user", .type = MR_UTF8};
    const struct mr_entry schema = {.kind = MR_ENTRY_VALUE,
                                    .state_name = "",
                                    .key = {BYTES("schema:")},
                                    .value = {BYTES("\x01\0\0\x01\x09\0\0\0\x01n\0")}};
    const struct mr_entry entry = put_of(BYTES("\x01JFK\0\0"));
    struct mr_heap *heap = mr_test_heap();

    (void)key;
    MR_TORTURE(heap) {
        struct mr_error err;
        enum mr_status st;

        begin();
        st = mri_state_schemas_take(&schemas, "op", &schema, &err);
        if (st == MR_OK) mri_state_key_text(&schemas, "op", &entry, &text);
        if (st == MR_OK) st = mr_text_status(&text);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        if (st == MR_OK) MR_EXPECT_EQ_STR(mr_text_get(&text), "\"JFK\"");
        end();
    }
}
