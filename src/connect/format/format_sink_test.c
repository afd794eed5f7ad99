/* format_sink_test.c - rows as text, and what becomes of the file they go to. */
#include "base/text.h"
#include "connect/connect.h"
#include "connect/format/format_internal.h"
#include "connect/source_test_helper.h"
#include "data/builder.h"
#include "memory_disk.h"

static const struct mr_field fields[] = {{.name = "id", .type = MR_INT64},
                                         {.name = "text", .type = MR_UTF8},
                                         {.name = "x,\"y\"", .type = MR_FLOAT64},
                                         {.name = "at", .type = MR_TIMESTAMP_LTZ}};
#define COLUMNS 4u

struct row {
    int64_t id;
    const char *text; /* NULL: all but the id are null */
    double number;
    int64_t at;
};

static const struct row rows[] = {
    {1, "plain", 1.5, 0},
    {-2, "comma, and \"quotes\"", -0.0, INT64_C(1357034400000000)},
    {3, NULL, 0, 0},
    {4, "", 1e300, 500000},
    {5, "two\nlines\r", 1.0 / 0.0, -1000000},
    {6, "caf\xc3\xa9 \x01\x7f\\ a text that is much longer than forty characters", 0.1, 1},
};

static struct mr_batch *make_batch(struct mr_heap *heap, struct mr_quota *quota,
                                   const struct mr_schema *schema, const struct row *from,
                                   uint32_t count)
{
    struct mr_builder *builder;
    struct mr_error err;
    struct mr_batch *batch;

    MR_EXPECT_OK(mr_builder_create(heap, schema, 0, MR_MAX(count, 1u), quota, &builder, &err),
                 &err);
    for (uint32_t i = 0; i < count; i++) {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        mr_builder_set_int64(builder, 0, from[i].id);
        if (from[i].text != NULL) {
            MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 1, from[i].text, strlen(from[i].text)),
                             MR_BUILD_OK);
            mr_builder_set_float64(builder, 2, from[i].number);
            mr_builder_set_int64(builder, 3, from[i].at);
        }
        mr_builder_commit_row(builder);
    }
    batch = mr_builder_take(builder);
    mr_builder_destroy(builder);
    return batch;
}

/* Everything a writer needs, torn down in one call. */
struct bench {
    struct mr_heap *heap;
    struct memory_disk disk;
    struct mr_schema *schema;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_sink sink;
    void *writer;
};

static enum mr_status begin(struct bench *bench, const char *path, enum mr_text_format format,
                            struct mr_error *err)
{
    const struct mr_format_options options = {.path = path, .format = format, .number = 1};
    const struct mr_writer_context context = {.heap = bench->heap,
                                              .disk = &bench->disk.disk,
                                              .instance = 0,
                                              .instance_count = 1,
                                              .schema = bench->schema};

    bench->writer = NULL;
    bench->sink = (struct mr_sink){NULL, NULL};
    MR_RET(mr_format_sink(bench->heap, &options, &bench->sink, err));
    return bench->sink.ops->open(bench->sink.spec, &context, &bench->writer, err);
}

static void bench_init(struct bench *bench)
{
    struct mr_error err;

    memset(bench, 0, sizeof *bench);
    bench->heap = mr_test_heap();
    memory_disk_init(&bench->disk, bench->heap);
    MR_EXPECT_OK(mr_schema_create(bench->heap, fields, COLUMNS, &bench->schema, &err), &err);
    MR_EXPECT_OK(mr_pool_create(bench->heap, (size_t)16 << 20, &bench->pool, &err), &err);
    mr_quota_init(&bench->quota, bench->pool, "test", (size_t)8 << 20);
}

static void end_writer(struct bench *bench)
{
    if (bench->writer != NULL) bench->sink.ops->close(bench->writer);
    if (bench->sink.ops != NULL) bench->sink.ops->destroy(bench->sink.spec);
    bench->writer = NULL;
    bench->sink.ops = NULL;
}

static void bench_fini(struct bench *bench)
{
    end_writer(bench);
    mr_pool_destroy(bench->pool);
    mr_schema_release(bench->schema);
    memory_disk_fini(&bench->disk);
}

static enum mr_status write_all(struct bench *bench, const struct row *from, uint32_t count,
                                struct mr_error *err)
{
    struct mr_batch *batch = make_batch(bench->heap, &bench->quota, bench->schema, from, count);
    enum mr_sink_flow flow = MR_SINK_BLOCKED;
    enum mr_status st = MR_OK;

    for (int i = 0; i < 100000 && flow == MR_SINK_BLOCKED && st == MR_OK; i++) {
        st = bench->sink.ops->write(bench->writer, batch, &flow, err);
    }
    if (st == MR_OK) MR_EXPECT_EQ_INT(flow, MR_SINK_READY);
    mr_batch_release(batch);
    return st;
}

static enum mr_status finish_all(struct bench *bench, struct mr_error *err)
{
    enum mr_sink_flow flow = MR_SINK_BLOCKED;

    while (flow == MR_SINK_BLOCKED) {
        MR_RET(bench->sink.ops->finish(bench->writer, &flow, err));
    }
    return MR_OK;
}

static void expect_output(enum mr_text_format format, const struct row *from, uint32_t count,
                          const char *expected)
{
    struct bench bench;
    struct mr_error err;
    struct memory_file *out;

    bench_init(&bench);
    MR_EXPECT_OK(begin(&bench, NULL, format, &err), &err);
    if (count > 0) MR_EXPECT_OK(write_all(&bench, from, count, &err), &err);
    MR_EXPECT_OK(finish_all(&bench, &err), &err);
    MR_EXPECT_OK(bench.sink.ops->commit(bench.writer, &err), &err);
    out = memory_disk_find(&bench.disk, "stdout");
    MR_EXPECT(out != NULL);
    MR_EXPECT_EQ_TEXT(out->data, out->size_bytes, expected);
    MR_EXPECT_EQ_UINT(bench.sink.ops->bytes(bench.writer), strlen(expected));
    bench_fini(&bench);
}

MR_TEST(format_sink, csv_is_rfc_4180_with_null_as_the_empty_field)
{
    expect_output(MR_FORMAT_CSV, rows, MR_COUNT(rows),
                  "id,text,\"x,\"\"y\"\"\",at\n"
                  "1,plain,1.5,1970-01-01T00:00:00Z\n"
                  "-2,\"comma, and \"\"quotes\"\"\",-0,2013-01-01T10:00:00Z\n"
                  "3,,,\n"
                  "4,\"\",1e+300,1970-01-01T00:00:00.5Z\n"
                  "5,\"two\nlines\r\",Infinity,1969-12-31T23:59:59Z\n"
                  "6,caf\xc3\xa9 \x01\x7f\\ a text that is much longer than forty characters,0.1,"
                  "1970-01-01T00:00:00.000001Z\n");
}

MR_TEST(format_sink, no_rows_are_a_head_all_the_same)
{
    expect_output(MR_FORMAT_CSV, rows, 0, "id,text,\"x,\"\"y\"\"\",at\n");
    expect_output(MR_FORMAT_TABLE, rows, 0,
                  "┌────┬──────┬───────┬────┐\n"
                  "│ id │ text │ x,\"y\" │ at │\n"
                  "├────┼──────┼───────┼────┤\n"
                  "└────┴──────┴───────┴────┘\n");
}

MR_TEST(format_sink, ndjson_is_valid_json_for_any_value)
{
    expect_output(
        MR_FORMAT_NDJSON, rows, MR_COUNT(rows),
        "{\"id\":1,\"text\":\"plain\",\"x,\\\"y\\\"\":1.5,\"at\":\"1970-01-01T00:00:00Z\"}\n"
        "{\"id\":-2,\"text\":\"comma, and \\\"quotes\\\"\",\"x,\\\"y\\\"\":-0,"
        "\"at\":\"2013-01-01T10:00:00Z\"}\n"
        "{\"id\":3,\"text\":null,\"x,\\\"y\\\"\":null,\"at\":null}\n"
        "{\"id\":4,\"text\":\"\",\"x,\\\"y\\\"\":1e+300,\"at\":\"1970-01-01T00:00:00.5Z\"}\n"
        "{\"id\":5,\"text\":\"two\\nlines\\r\",\"x,\\\"y\\\"\":\"Infinity\","
        "\"at\":\"1969-12-31T23:59:59Z\"}\n"
        "{\"id\":6,\"text\":\"caf\xc3\xa9 \\u0001\\u007f\\\\ a text that is much longer than "
        "forty characters\",\"x,\\\"y\\\"\":0.1,\"at\":\"1970-01-01T00:00:00.000001Z\"}\n");
}

MR_TEST(format_sink, a_table_is_aligned_cut_and_free_of_control_characters)
{
    expect_output(MR_FORMAT_TABLE, rows, MR_COUNT(rows),
                  "┌────┬──────────────────────────────────────────┬──────────┬────────────────────"
                  "─────────┐\n"
                  "│ id │ text                                     │    x,\"y\" │ at               "
                  "           │\n"
                  "├────┼──────────────────────────────────────────┼──────────┼────────────────────"
                  "─────────┤\n"
                  "│  1 │ plain                                    │      1.5 │ "
                  "1970-01-01T00:00:00Z        │\n"
                  "│ -2 │ comma, and \"quotes\"                      │       -0 │ "
                  "2013-01-01T10:00:00Z        │\n"
                  "│  3 │ NULL                                     │     NULL │ NULL               "
                  "         │\n"
                  "│  4 │                                          │   1e+300 │ "
                  "1970-01-01T00:00:00.5Z      │\n"
                  "│  5 │ two\\nlines\\r                             │ Infinity │ "
                  "1969-12-31T23:59:59Z        │\n"
                  "│  6 │ café \\x01\\x7f\\ a text that is much long… │      0.1 │ "
                  "1970-01-01T00:00:00.000001Z │\n"
                  "└────┴──────────────────────────────────────────┴──────────┴────────────────────"
                  "─────────┘\n");
}

/* What is written as CSV reads back as the same rows. */
MR_TEST(format_sink, csv_reads_back_as_the_same_rows)
{
    struct bench bench;
    struct mr_error err;
    struct source_result result;
    struct mr_source source;
    const struct mr_csv_options options = {
        .path = "out.csv", .fields = fields, .field_count = COLUMNS};

    bench_init(&bench);
    MR_EXPECT_OK(begin(&bench, "out.csv", MR_FORMAT_CSV, &err), &err);
    MR_EXPECT_OK(write_all(&bench, rows, MR_COUNT(rows), &err), &err);
    MR_EXPECT_OK(finish_all(&bench, &err), &err);
    MR_EXPECT_OK(bench.sink.ops->commit(bench.writer, &err), &err);
    MR_EXPECT_OK(mr_csv_source(bench.heap, &options, &source, &err), &err);
    result = run_source(&source, bench.heap, &bench.disk.disk, (struct source_run){0});
    MR_EXPECT_OK(result.status, &result.err);
    MR_EXPECT_EQ_STR(result.rejects, "");
    MR_EXPECT_EQ_STR(result.rows,
                     "1|plain|1.5|0\n"
                     "-2|comma, and \"quotes\"|-0|1357034400000000\n"
                     "3|NULL|NULL|NULL\n"
                     "4||1.0000000000000001e+300|500000\n"
                     "5|two\nlines\r|inf|-1000000\n"
                     "6|caf\xc3\xa9 \x01\x7f\\ a text that is much longer than forty characters|"
                     "0.10000000000000001|1\n");
    free_result(&result);
    end_source(&source);
    bench_fini(&bench);
}

/* ---- values of the other types ---- */

static void expect_value(struct mr_column column, enum mr_text_format format, const char *expected)
{
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 0);
    mr_value_print(&column, 0, format, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), expected);
    mr_text_fini(&text);
}

MR_TEST(format_sink, bytes_that_are_no_text_keep_their_value)
{
    static const char raw[] = "\xff\x00\x01";
    struct mr_view view = mr_view_make(raw, 3, 0, 0);
    struct mr_column column = {.type = MR_BINARY, .values = &view};

    expect_value(column, MR_FORMAT_NDJSON, "{\"base64\":\"/wAB\"}");
    expect_value(column, MR_FORMAT_TABLE, "\\xff\\x00\\x01");
    view = mr_view_make("\xff\x01", 2, 0, 0);
    expect_value(column, MR_FORMAT_NDJSON, "{\"base64\":\"/wE=\"}");
    expect_value(column, MR_FORMAT_CSV, "\xff\x01");
    view = mr_view_make("ok", 2, 0, 0);
    expect_value(column, MR_FORMAT_NDJSON, "\"ok\"");
}

MR_TEST(format_sink, encodings_and_nested_values_are_printed)
{
    static const int64_t numbers[] = {7, 8, 9};
    static const uint32_t offsets[] = {0, 3};
    static const uint32_t second[] = {1};
    static const uint64_t none[] = {0};
    const struct mr_column child = {.type = MR_INT64, .values = numbers};
    struct mr_column column = {
        .type = MR_LIST, .values = offsets, .child_count = 1, .child_rows = 3, .children = &child};
    const struct mr_column pair[2] = {child, child};

    expect_value(column, MR_FORMAT_NDJSON, "[7,8,9]");
    expect_value(column, MR_FORMAT_CSV, "\"[7,8,9]\"");
    column = (struct mr_column){.type = MR_STRUCT, .child_count = 2, .children = pair};
    expect_value(column, MR_FORMAT_TABLE, "[7,7]");
    column = (struct mr_column){
        .type = MR_MAP, .values = offsets, .child_count = 2, .child_rows = 3, .children = pair};
    expect_value(column, MR_FORMAT_NDJSON, "[[7,7],[8,8],[9,9]]");
    column = (struct mr_column){.type = MR_INT64,
                                .encoding = MR_DICT,
                                .values = second,
                                .child_count = 1,
                                .child_rows = 3,
                                .children = &child};
    expect_value(column, MR_FORMAT_CSV, "8");
    column = (struct mr_column){.type = MR_INT64, .encoding = MR_CONST, .values = numbers};
    expect_value(column, MR_FORMAT_CSV, "7");
    column.validity = none;
    expect_value(column, MR_FORMAT_CSV, "");
    expect_value(column, MR_FORMAT_NDJSON, "null");
    expect_value(column, MR_FORMAT_TABLE, "NULL");
}

/* ---- files ---- */

MR_TEST(format_sink, a_file_appears_under_its_name_by_commit_only)
{
    struct bench bench;
    struct mr_error err;

    bench_init(&bench);
    memory_disk_put(&bench.disk, "d/out.csv", "old", 3);
    memory_disk_put(&bench.disk, "d/.out.csv.mr-tmp-1-0", "left by a killed job", 20);
    MR_EXPECT_OK(begin(&bench, "d/out.csv", MR_FORMAT_AUTO, &err), &err);
    MR_EXPECT_OK(write_all(&bench, rows, 1, &err), &err);
    MR_EXPECT_OK(finish_all(&bench, &err), &err);
    MR_EXPECT_EQ_UINT(memory_disk_find(&bench.disk, "d/out.csv")->size_bytes, 3);
    MR_EXPECT_EQ_UINT(bench.disk.synced, 1);
    MR_EXPECT_OK(bench.sink.ops->commit(bench.writer, &err), &err);
    MR_EXPECT_OK(bench.sink.ops->commit(bench.writer, &err), &err); /* again is harmless */
    MR_EXPECT_EQ_UINT(bench.disk.synced, 2);
    MR_EXPECT(memory_disk_find(&bench.disk, "d/out.csv")->size_bytes > 3);
    MR_EXPECT(memory_disk_find(&bench.disk, "d/.out.csv.mr-tmp-1-0") == NULL);
    bench_fini(&bench);
}

static void (*plain_submit)(struct mr_disk *disk, struct mr_disk_request *request);

static void submit_links(struct mr_disk *disk, struct mr_disk_request *request)
{
    plain_submit(disk, request);
    request->info.link = request->op == MR_DISK_INFO;
}

/* As /dev/stdout is when standard output is a file: a rename would put a file in its place. */
MR_TEST(format_sink, a_link_to_a_file_is_refused_and_not_replaced)
{
    struct bench bench;
    struct mr_error err;

    bench_init(&bench);
    memory_disk_put(&bench.disk, "out", "old", 3);
    plain_submit = bench.disk.disk.submit;
    bench.disk.disk.submit = submit_links;
    MR_EXPECT_STATUS(begin(&bench, "out", MR_FORMAT_CSV, &err), MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "out is a symbolic link");
    end_writer(&bench);
    MR_EXPECT_STATUS(begin(&bench, "nowhere", MR_FORMAT_CSV, &err), MR_E_INVALID);
    MR_EXPECT(memory_disk_find(&bench.disk, ".out.mr-tmp-1-0") == NULL);
    bench_fini(&bench);
}

MR_TEST(format_sink, two_sinks_with_one_path_do_not_share_a_temporary_file)
{
    const struct mr_format_options second = {.path = "d/out.csv", .number = 2};
    struct bench bench;
    struct mr_sink sink;
    struct mr_error err;
    void *writer;

    bench_init(&bench);
    MR_EXPECT_OK(begin(&bench, "d/out.csv", MR_FORMAT_AUTO, &err), &err);
    MR_EXPECT_OK(mr_format_sink(bench.heap, &second, &sink, &err), &err);
    MR_EXPECT_OK(sink.ops->open(sink.spec,
                                &(struct mr_writer_context){.heap = bench.heap,
                                                            .disk = &bench.disk.disk,
                                                            .instance_count = 1,
                                                            .schema = bench.schema},
                                &writer, &err),
                 &err);
    MR_EXPECT(memory_disk_find(&bench.disk, "d/.out.csv.mr-tmp-1-0") != NULL);
    MR_EXPECT(memory_disk_find(&bench.disk, "d/.out.csv.mr-tmp-2-0") != NULL);
    sink.ops->abort(writer);
    sink.ops->close(writer);
    sink.ops->destroy(sink.spec);
    MR_EXPECT_OK(write_all(&bench, rows, 1, &err), &err);
    MR_EXPECT_OK(finish_all(&bench, &err), &err);
    MR_EXPECT_OK(bench.sink.ops->commit(bench.writer, &err), &err);
    bench_fini(&bench);
}

MR_TEST(format_sink, abort_leaves_nothing_behind)
{
    struct bench bench;
    struct mr_error err;

    for (int finished = 0; finished < 2; finished++) {
        bench_init(&bench);
        MR_EXPECT_OK(begin(&bench, "out.csv", MR_FORMAT_CSV, &err), &err);
        MR_EXPECT_OK(write_all(&bench, rows, 1, &err), &err);
        if (finished) MR_EXPECT_OK(finish_all(&bench, &err), &err);
        bench.sink.ops->abort(bench.writer);
        MR_EXPECT(bench.disk.files == NULL);
        bench_fini(&bench);
    }
}

MR_TEST(format_sink, a_directory_gets_a_part_per_instance)
{
    struct bench bench;
    struct mr_error err;

    bench_init(&bench);
    memory_disk_put(&bench.disk, "full/x", "", 0);
    MR_EXPECT_STATUS(begin(&bench, "full/", MR_FORMAT_CSV, &err), MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "full/ has files already (such as x)");
    end_writer(&bench);
    MR_EXPECT_STATUS(begin(&bench, "full", MR_FORMAT_CSV, &err), MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "full is a directory; write `full/`");
    end_writer(&bench);
    MR_EXPECT_OK(begin(&bench, "parts/", MR_FORMAT_NDJSON, &err), &err);
    MR_EXPECT(!bench.sink.ops->one_writer);
    MR_EXPECT_OK(finish_all(&bench, &err), &err);
    MR_EXPECT_OK(bench.sink.ops->commit(bench.writer, &err), &err);
    MR_EXPECT(memory_disk_find(&bench.disk, "parts/part-00000.ndjson") != NULL);
    bench_fini(&bench);
}

MR_TEST(format_sink, a_full_disk_is_named_with_path_and_size)
{
    struct bench bench;
    struct mr_error err;
    enum mr_status st = MR_OK;

    bench_init(&bench);
    bench.disk.space_bytes = 100000;
    MR_EXPECT_OK(begin(&bench, "out.csv", MR_FORMAT_CSV, &err), &err);
    for (int i = 0; i < 100000 && st == MR_OK; i++) st = write_all(&bench, rows, 6, &err);
    MR_EXPECT_STATUS(st, MR_E_NO_SPACE);
    MR_EXPECT_CONTAINS(err.text, "out.csv, after 100000 bytes: ");
    bench.sink.ops->abort(bench.writer);
    MR_EXPECT(bench.disk.files == NULL);
    bench_fini(&bench);
}

MR_TEST(format_sink, a_reader_that_went_away_is_told)
{
    struct bench bench;
    struct mr_error err;
    enum mr_sink_flow flow;

    bench_init(&bench);
    bench.disk.closed_reader = true;
    MR_EXPECT_OK(begin(&bench, "-", MR_FORMAT_CSV, &err), &err);
    MR_EXPECT_OK(write_all(&bench, rows, 6, &err), &err);
    MR_EXPECT_STATUS(bench.sink.ops->flush(bench.writer, &flow, &err), MR_E_CLOSED);
    bench_fini(&bench);
}

/* A slow pipe: short writes, late ones; nothing is lost or doubled. */
MR_TEST(format_sink, short_and_late_writes_lose_nothing)
{
    struct bench bench;
    struct mr_error err;
    struct memory_file *out;
    uint32_t lines = 0;

    bench_init(&bench);
    bench.disk.write_bytes_max = 4096;
    bench.disk.late_every = 2;
    MR_EXPECT_OK(begin(&bench, NULL, MR_FORMAT_NDJSON, &err), &err);
    for (int i = 0; i < 2000; i++) MR_EXPECT_OK(write_all(&bench, rows, 6, &err), &err);
    MR_EXPECT_OK(finish_all(&bench, &err), &err);
    out = memory_disk_find(&bench.disk, "stdout");
    for (size_t i = 0; i < out->size_bytes; i++) lines += out->data[i] == '\n';
    MR_EXPECT_EQ_UINT(lines, 12000);
    MR_EXPECT_EQ_UINT(out->size_bytes, bench.sink.ops->bytes(bench.writer));
    bench_fini(&bench);
}

/* The first 1000 rows decide; a flush decides at once. */
MR_TEST(format_sink, a_table_does_not_wait_longer_than_it_must)
{
    struct bench bench;
    struct mr_error err;
    enum mr_sink_flow flow;

    bench_init(&bench);
    MR_EXPECT_OK(begin(&bench, NULL, MR_FORMAT_TABLE, &err), &err);
    MR_EXPECT_OK(write_all(&bench, rows, 1, &err), &err);
    MR_EXPECT(memory_disk_find(&bench.disk, "stdout") == NULL);
    MR_EXPECT_OK(bench.sink.ops->flush(bench.writer, &flow, &err), &err);
    MR_EXPECT_CONTAINS(memory_disk_find(&bench.disk, "stdout")->data, "│  1 │ plain │");
    MR_EXPECT_OK(write_all(&bench, rows + 1, 1, &err), &err);
    MR_EXPECT_OK(bench.sink.ops->flush(bench.writer, &flow, &err), &err);
    MR_EXPECT_CONTAINS(memory_disk_find(&bench.disk, "stdout")->data, "│ -2 │ comma");
    bench_fini(&bench);
}

MR_TEST(format_sink, when_any_allocation_fails_then_nothing_is_lost)
{
    static const enum mr_text_format formats[] = {MR_FORMAT_CSV, MR_FORMAT_NDJSON, MR_FORMAT_TABLE};

    for (size_t i = 0; i < MR_COUNT(formats); i++) {
        struct bench bench;
        struct mr_batch *batch;

        bench_init(&bench);
        batch = make_batch(bench.heap, &bench.quota, bench.schema, rows, MR_COUNT(rows));
        MR_TORTURE(bench.heap) {
            struct mr_error err;
            enum mr_sink_flow flow;
            enum mr_status st = begin(&bench, "out.txt", formats[i], &err);

            if (st == MR_OK) st = bench.sink.ops->write(bench.writer, batch, &flow, &err);
            if (st == MR_OK) st = finish_all(&bench, &err);
            MR_EXPECT_EQ_INT(st, mr_test_refused(bench.heap) ? MR_E_NOMEM : MR_OK);
            end_writer(&bench);
            MR_EXPECT(bench.disk.files == NULL);
        }
        mr_batch_release(batch);
        bench_fini(&bench);
    }
}

/* ---- the sink that keeps nothing ---- */

MR_TEST(blackhole, takes_everything_and_keeps_nothing)
{
    struct bench bench;
    struct mr_batch *batch;
    const struct mr_writer_context context = {.heap = mr_test_heap()};
    enum mr_sink_flow flow;
    struct mr_error err;

    bench_init(&bench);
    batch = make_batch(bench.heap, &bench.quota, bench.schema, rows, 1);
    MR_EXPECT_OK(mr_blackhole_sink(bench.heap, &bench.sink, &err), &err);
    MR_EXPECT_OK(bench.sink.ops->open(bench.sink.spec, &context, &bench.writer, &err), &err);
    MR_EXPECT_OK(bench.sink.ops->write(bench.writer, batch, &flow, &err), &err);
    MR_EXPECT_EQ_INT(flow, MR_SINK_READY);
    MR_EXPECT_EQ_UINT(bench.sink.ops->bytes(bench.writer), 0);
    mr_batch_release(batch);
    bench_fini(&bench);
}

/* ---- dead letters ---- */

static const struct mr_split split = {.name = "in.csv"};
static const struct mr_reject rejects[] = {
    {.split = &split,
     .offset_bytes = 7,
     .line = 3,
     .column = 2,
     .column_name = "delay",
     .raw = {"x,\"12x\"", 7},
     .reason = "'12x' is not an int64"},
    {.split = &split,
     .offset_bytes = 99,
     .raw = {"\xff", 1},
     .reason = "expected 2 fields, found 1"},
};

MR_TEST(dead_letter, bad_records_are_kept_with_place_and_reason)
{
    struct mr_dead_letter *letters;
    struct memory_disk disk;
    struct memory_file *file;
    struct mr_error err;
    bool blocked;

    memory_disk_init(&disk, mr_test_heap());
    MR_EXPECT_OK(mr_dead_letter_open(mr_test_heap(), &disk.disk, "bad.ndjson", &letters, &err),
                 &err);
    for (size_t i = 0; i < MR_COUNT(rejects); i++) {
        MR_EXPECT_OK(mr_dead_letter_add(letters, &rejects[i], &err), &err);
    }
    MR_EXPECT(memory_disk_find(&disk, "bad.ndjson") == NULL);
    MR_EXPECT_OK(mr_dead_letter_commit(letters, &blocked, &err), &err);
    MR_EXPECT(!blocked);
    mr_dead_letter_close(letters);
    file = memory_disk_find(&disk, "bad.ndjson");
    MR_EXPECT(file != NULL);
    MR_EXPECT_EQ_TEXT(file->data, file->size_bytes,
                      "{\"file\":\"in.csv\",\"line\":3,\"column\":\"delay\",\"offset\":7,"
                      "\"reason\":\"'12x' is not an int64\",\"raw\":\"x,\\\"12x\\\"\"}\n"
                      "{\"file\":\"in.csv\",\"offset\":99,"
                      "\"reason\":\"expected 2 fields, found 1\",\"raw_base64\":\"/w==\"}\n");
    memory_disk_fini(&disk);
}

MR_TEST(dead_letter, without_commit_no_file_is_left)
{
    struct mr_dead_letter *letters;
    struct memory_disk disk;
    struct mr_error err;

    memory_disk_init(&disk, mr_test_heap());
    MR_EXPECT_OK(mr_dead_letter_open(mr_test_heap(), &disk.disk, "bad.ndjson", &letters, &err),
                 &err);
    MR_EXPECT_OK(mr_dead_letter_add(letters, rejects, &err), &err);
    mr_dead_letter_close(letters);
    MR_EXPECT(disk.files == NULL);
    memory_disk_fini(&disk);
}

MR_TEST(dead_letter, when_any_allocation_fails_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();
    struct memory_disk disk;

    memory_disk_init(&disk, heap);
    MR_TORTURE(heap) {
        struct mr_dead_letter *letters = NULL;
        struct mr_error err;
        enum mr_status st = mr_dead_letter_open(heap, &disk.disk, "bad.ndjson", &letters, &err);

        if (st == MR_OK) st = mr_dead_letter_add(letters, rejects, &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_dead_letter_close(letters);
    }
    memory_disk_fini(&disk);
}
