/* user_connectors_test.c - own sources: what goes wrong in them is told by name. */
#include "mr_test.h"
#include <millrace/millrace.h>

enum fault { FAIL_WITH_WORDS, FAIL_WITH_STATUS, NO_RESULT, NO_TIME, NO_SUCH_COLUMN, NOT_UTF8 };

static enum mr_status open_reader(void *user, uint32_t partition, void **out_reader)
{
    (void)partition;
    *out_reader = user;
    return MR_OK;
}

static enum mr_status read_rows(void *reader, uint32_t row_limit, struct mr_emitter *out,
                                enum mr_read_result *out_result)
{
    (void)row_limit;
    *out_result = MR_READ_END;
    switch (*(enum fault *)reader) {
    case FAIL_WITH_WORDS: return mr_emitter_fail(out, "device %d is gone", 5);
    case FAIL_WITH_STATUS: return MR_E_IO;
    case NO_RESULT: *out_result = (enum mr_read_result)99; return MR_OK;
    case NO_TIME: mr_emit_int64(out, 0, 1); break;
    case NO_SUCH_COLUMN: mr_emit_int64(out, 7, 1); break;
    case NOT_UTF8: mr_emit_bytes(out, 1, "\xff", 1); break;
    }
    return mr_emit_row(out);
}

static void expect_told(enum fault fault, bool with_event_time, enum mr_status status,
                        const char *text)
{
    static const struct mr_field fields[] = {{.name = "n", .type = MR_INT64},
                                             {.name = "a", .type = MR_UTF8}};
    struct mr_source_functions functions = {
        .size = sizeof functions, .partitions = 1, .open = open_reader, .read = read_rows};
    struct mr_job *job = mr_job_create("test", NULL);

    mr_discard(mr_read_source(job, "dev", &functions, &fault, fields, 2, with_event_time));
    MR_EXPECT_EQ_INT(mr_job_run(job, NULL), status);
    MR_EXPECT_CONTAINS(mr_job_error(job), text);
    mr_job_destroy(job);
}

MR_TEST(user_connectors, when_an_own_source_fails_then_it_and_its_partition_are_named)
{
    expect_told(FAIL_WITH_WORDS, false, MR_E_USER_FUNCTION,
                "source 'dev': read of partition 0 failed: device 5 is gone");
    expect_told(FAIL_WITH_STATUS, false, MR_E_IO, "source 'dev': read of partition 0 failed: ");
    expect_told(NOT_UTF8, false, MR_E_RECORD, "source 'dev', partition 0: column 1 ('a') is utf8");
}

MR_TEST(user_connectors, when_an_own_source_is_wrong_then_it_is_told_what_to_do)
{
    expect_told(NO_RESULT, false, MR_E_INVALID,
                "source 'dev': read of partition 0 set out_result to 99, which is no enum "
                "mr_read_result");
    expect_told(NO_TIME, true, MR_E_INVALID,
                "source 'dev', partition 0: the stream has event times: call mr_emit_time before "
                "mr_emit_row");
    expect_told(NO_SUCH_COLUMN, false, MR_E_INVALID,
                "source 'dev', partition 0: there is no column number 7");
}
