/* state_report_test.c - what `millrace state` prints, word for word, over a directory that a log wrote
 * and a savepoint made from it. */
#include "fault_disk.h"
#include "mr_test.h"
#include "state/epoch_log.h"
#include "state/state_report.h"
#include "state/state_schema.h"

#include <stdio.h>

static struct fault_disk disk;
static struct mr_text written;

#define BYTES(literal) (literal), sizeof(literal) - 1
#define JOB            "millrace job 1\nname flights\ngroups 64\nend 00000000\n"

static enum mr_status take(void *self, const char *data, size_t size_bytes, struct mr_error *err)
{
    (void)self;
    (void)err;
    mr_text_add_bytes(&written, data, size_bytes);
    return mr_text_status(&written);
}

static struct mr_report report_of(void)
{
    return (struct mr_report){.heap = mr_test_heap(), .disk = &disk.disk, .write = take};
}

/* ---- a directory ---- */

static void add(struct mr_epoch_log *log, const char *operator_id, struct mr_entry entry)
{
    struct mr_error err;

    entry.group_end = entry.group_first + 32;
    MR_EXPECT_OK(mr_epoch_log_add(log, operator_id, &entry, &err), &err);
}

static void put(struct mr_epoch_log *log, const char *airport, uint32_t group, uint64_t number)
{
    char key[16];
    int size = snprintf(key, sizeof key, "\x01%s%c%c", airport, 0, 0);
    struct mr_entry entry = {.kind = number == 0 ? MR_ENTRY_REMOVE : MR_ENTRY_PUT,
                             .state_name = "agg",
                             .key_group = group,
                             .ns = INT64_C(1358906400000000),
                             .key = {key, (size_t)size},
                             .value = {(const char *)&number, number == 0 ? 0 : sizeof number}};

    add(log, "counts", entry);
}

static void describe(struct mr_epoch_log *log)
{
    static const struct mr_field origin = {.name = "origin", .type = MR_UTF8};
    struct mr_entry entry = {.kind = MR_ENTRY_VALUE, .state_name = "", .key = {BYTES("schema:")}};
    struct mr_buffer schema;

    mr_buffer_init(&schema, mr_test_heap());
    MR_EXPECT(mr_key_schema_encode(&schema, &origin, 1));
    entry.value = (struct mr_bytes){schema.data, schema.size_bytes};
    add(log, "counts", entry);
    mr_buffer_fini(&schema);
}

static void commit(struct mr_epoch_log *log)
{
    struct mr_error err;
    enum mr_log_state state;

    MR_EXPECT_OK(mr_epoch_log_commit(log, &err), &err);
    while ((state = mr_epoch_log_poll(log, &err)) == MR_LOG_BUSY) {
    }
    MR_EXPECT_EQ_INT(state, MR_LOG_IDLE);
}

static void begin(void)
{
    static const char end[] = "\x01";
    const struct mr_epoch_log_options options = {
        .disk = &disk.disk, .dir = "st", .job_hash = 77, .segment_bytes = 8192, .align_bytes = 512};
    struct mr_epoch_log *log;
    struct mr_error err;

    fault_disk_init(&disk, 1);
    mr_text_init(&written, mr_test_heap(), 0);
    MR_EXPECT_OK(mr_epoch_log_open(mr_test_heap(), &options, NULL, NULL, &log, &err), &err);
    MR_EXPECT_OK(mr_epoch_log_begin(log, 1, false, &err), &err);
    describe(log);
    put(log, "JFK", 3, 1);
    put(log, "LGA", 3, 2);
    put(log, "EWR", 7, 3);
    commit(log);
    MR_EXPECT_OK(mr_epoch_log_begin(log, 2, false, &err), &err);
    put(log, "JFK", 3, 9);
    put(log, "LGA", 3, 0);
    put(log, "ORD", 9, 4);
    add(log, "source",
        (struct mr_entry){.kind = MR_ENTRY_PUT,
                          .state_name = "splits",
                          .key = {BYTES("\x02\0\0\0")},
                          .value = {end, 1}});
    commit(log);
    mr_epoch_log_close(log);
    fault_disk_put(&disk, "st/JOB", JOB, strlen(JOB));
}

static void end(void)
{
    mr_text_fini(&written);
    fault_disk_fini(&disk);
}

/* ---- what is printed ---- */

#define WHEN "2013-01-23T02:00:00Z "

MR_TEST(state_report, list_says_where_it_stands_and_how_large_it_is)
{
    struct mr_report report;
    struct mr_error err;

    begin();
    report = report_of();
    MR_EXPECT_OK(mr_report_list(&report, "st", &err), &err);
    MR_EXPECT_CONTAINS(mr_text_get(&written), "state directory st of job 000000000000004d\n"
                                              "attempts: 1 (fence 1)\n"
                                              "epoch:    2\n");
    MR_EXPECT_CONTAINS(mr_text_get(&written), "log:      2 epochs, 1 to 2, ");
    MR_EXPECT_CONTAINS(mr_text_get(&written),
                       "counts                   agg                         3         0       0 "
                       "           18            24\n");
    MR_EXPECT_CONTAINS(mr_text_get(&written), "name flights\n");
    end();
}

MR_TEST(state_report, show_has_keys_and_values_and_the_skew)
{
    struct mr_report_filter filter = {.limit = 100};
    struct mr_report report;
    struct mr_error err;

    begin();
    report = report_of();
    MR_EXPECT_OK(mr_report_show(&report, "st", &filter, &err), &err);
    MR_EXPECT_EQ_STR(mr_text_get(&written),
                     "operator 'counts'\n"
                     "  by origin utf8\n"
                     "  value  groups 0-31 \"schema:\" = \"by origin utf8\"\n"
                     "\n"
                     "operator 'counts', state 'agg'\n"
                     "  by origin utf8\n"
                     "  key    group 3     " WHEN "\"JFK\" = \"0x0900000000000000\"\n"
                     "  key    group 7     " WHEN "\"EWR\" = \"0x0300000000000000\"\n"
                     "  key    group 9     " WHEN "\"ORD\" = \"0x0400000000000000\"\n"
                     "  3 keys in 3 key groups of 64; the fullest is 3 with 1, 1.0 times the mean "
                     "of these\n"
                     "\n"
                     "operator 'source', state 'splits'\n"
                     "  split  group 0     2 = \"done\"\n"
                     "\n");
    end();
}

MR_TEST(state_report, show_finds_a_key_a_limit_and_an_earlier_epoch)
{
    struct mr_report_filter filter = {.operator_id = "counts", .state_name = "agg", .limit = 1};
    struct mr_report report;
    struct mr_error err;

    begin();
    report = report_of();
    report.epoch = 1;
    MR_EXPECT_OK(mr_report_show(&report, "st", &filter, &err), &err);
    MR_EXPECT_CONTAINS(mr_text_get(&written), "\"JFK\" = \"0x0100000000000000\"\n"
                                              "  ... and 2 more; --limit 0 shows all\n"
                                              "  3 keys in 2 key groups of 64; the fullest is 3 "
                                              "with 2, 1.3 times the mean of these\n");
    mr_text_clear(&written);
    filter = (struct mr_report_filter){.operator_id = "counts", .key = "LGA"};
    MR_EXPECT_OK(mr_report_show(&report, "st", &filter, &err), &err);
    MR_EXPECT_CONTAINS(mr_text_get(&written), "\"LGA\" = \"0x0200000000000000\"\n");
    MR_EXPECT(strstr(mr_text_get(&written), "JFK") == NULL);
    end();
}

MR_TEST(state_report, what_is_not_there_is_said_with_what_is)
{
    struct mr_report_filter filter = {.operator_id = "count"};
    struct mr_report report;
    struct mr_error err;

    begin();
    report = report_of();
    MR_EXPECT_STATUS(mr_report_show(&report, "st", &filter, &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "operator 'count'; there is: 'counts' 'source'");
    filter = (struct mr_report_filter){.operator_id = "counts", .state_name = "x"};
    MR_EXPECT_STATUS(mr_report_show(&report, "st", &filter, &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "state 'x'; there is: '' 'agg'");
    MR_EXPECT_STATUS(mr_report_list(&report, "nowhere", &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "nowhere: no state directory");
    end();
}

MR_TEST(state_report, a_savepoint_says_the_same_as_the_directory_it_came_from)
{
    struct mr_report_filter filter = {.limit = 0};
    struct mr_report report;
    uint64_t differences = 99;
    struct mr_error err;
    char *shown;

    begin();
    report = report_of();
    MR_EXPECT_OK(mr_report_show(&report, "st", &filter, &err), &err);
    shown = mr_strdup(mr_test_heap(), mr_text_get(&written));
    MR_EXPECT_OK(mr_report_savepoint(&report, "st", "sp", &err), &err);
    mr_text_clear(&written);
    MR_EXPECT_OK(mr_report_show(&report, "sp", &filter, &err), &err);
    MR_EXPECT_EQ_STR(mr_text_get(&written), shown);
    mr_strfree(mr_test_heap(), shown);
    mr_text_clear(&written);
    MR_EXPECT_OK(mr_report_diff(&report, "st", "sp", &filter, &differences, &err), &err);
    MR_EXPECT_EQ_UINT(differences, 0);
    MR_EXPECT_EQ_STR(mr_text_get(&written), "0 added, 0 removed, 0 changed, 5 the same\n");
    mr_text_clear(&written);
    MR_EXPECT_OK(mr_report_list(&report, "sp", &err), &err);
    MR_EXPECT_CONTAINS(mr_text_get(&written), "savepoint sp of job 000000000000004d\n"
                                              "epoch:    2\n");
    MR_EXPECT_CONTAINS(mr_text_get(&written), "groups:   64\n");
    report.epoch = 1;
    MR_EXPECT_STATUS(mr_report_list(&report, "sp", &err), MR_E_NOT_FOUND);
    end();
}

MR_TEST(state_report, diff_tells_added_removed_and_changed)
{
    struct mr_report_filter filter = {.limit = 0};
    struct mr_report report;
    uint64_t differences;
    struct mr_error err;

    begin();
    report = report_of();
    report.epoch = 1;
    MR_EXPECT_OK(mr_report_savepoint(&report, "st", "one", &err), &err);
    report.epoch = 0;
    mr_text_clear(&written);
    MR_EXPECT_OK(mr_report_diff(&report, "one", "st", &filter, &differences, &err), &err);
    MR_EXPECT_EQ_UINT(differences, 4);
    MR_EXPECT_EQ_STR(mr_text_get(&written),
                     "~ counts agg key " WHEN
                     "\"JFK\" = \"0x0100000000000000\" -> \"0x0900000000000000\"\n"
                     "- counts agg key " WHEN "\"LGA\" = \"0x0200000000000000\"\n"
                     "+ counts agg key " WHEN "\"ORD\" = \"0x0400000000000000\"\n"
                     "+ source splits split 2 = \"done\"\n"
                     "2 added, 1 removed, 1 changed, 2 the same\n");
    mr_text_clear(&written);
    filter.limit = 1;
    MR_EXPECT_OK(mr_report_diff(&report, "st", "one", &filter, &differences, &err), &err);
    MR_EXPECT_CONTAINS(mr_text_get(&written), "... and 3 more; --limit 0 shows all\n"
                                              "1 added, 2 removed, 1 changed, 2 the same\n");
    end();
}

MR_TEST(state_report, export_gives_rows_that_programs_read)
{
    struct mr_report_filter filter = {.operator_id = "counts", .state_name = "agg"};
    struct mr_report report;
    struct mr_error err;

    begin();
    report = report_of();
    MR_EXPECT_OK(mr_report_export(&report, "st", &filter, MR_REPORT_CSV, &err), &err);
    MR_EXPECT_EQ_STR(
        mr_text_get(&written),
        "operator,state,kind,key_group,namespace,key,value\n"
        "counts,agg,key,3,1358906400000000,\"\"\"JFK\"\"\",\"\"\"0x0900000000000000\"\"\"\n"
        "counts,agg,key,7,1358906400000000,\"\"\"EWR\"\"\",\"\"\"0x0300000000000000\"\"\"\n"
        "counts,agg,key,9,1358906400000000,\"\"\"ORD\"\"\",\"\"\"0x0400000000000000\"\"\"\n");
    mr_text_clear(&written);
    filter.limit = 1;
    MR_EXPECT_OK(mr_report_export(&report, "st", &filter, MR_REPORT_NDJSON, &err), &err);
    MR_EXPECT_EQ_STR(mr_text_get(&written),
                     "{\"operator\":\"counts\",\"state\":\"agg\",\"kind\":\"key\",\"group\":3,"
                     "\"namespace\":1358906400000000,\"key\":\"JFK\","
                     "\"value\":\"0x0900000000000000\"}\n");
    end();
}

MR_TEST(state_report, when_memory_runs_out_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();

    begin();
    MR_EXPECT(disk.requests > 0);
    {
        struct mr_report report = report_of();
        struct mr_error err;

        MR_EXPECT_OK(mr_report_savepoint(&report, "st", "sp", &err), &err);
    }
    mr_text_fini(&written);
    MR_TORTURE(heap) {
        const struct mr_report_filter filter = {.limit = 1};
        struct mr_report report = report_of();
        uint64_t differences;
        struct mr_error err;
        enum mr_status st;

        mr_text_init(&written, heap, 0);
        st = mr_report_list(&report, "st", &err);
        if (st == MR_OK) st = mr_report_show(&report, "sp", &filter, &err);
        if (st == MR_OK) st = mr_report_diff(&report, "st", "sp", &filter, &differences, &err);
        if (st == MR_OK) st = mr_report_export(&report, "st", &filter, MR_REPORT_NDJSON, &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_text_fini(&written);
    }
    mr_text_init(&written, heap, 0);
    end();
}
