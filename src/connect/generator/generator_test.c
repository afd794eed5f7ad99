/* generator_test.c - made-up rows are the same for every cutting, and what they promise to be. */
#include "connect/source_test_helper.h"
#include "memory_disk.h"

static struct mr_source make_source(uint64_t rows, uint64_t keys)
{
    const struct mr_generator_options options = {
        .rows = rows, .start_us = 100, .step_us = 10, .keys = keys, .seed = 5};
    struct mr_source source;
    struct mr_error err;

    MR_EXPECT_OK(mr_generator_source(mr_test_heap(), &options, &source, &err), &err);
    return source;
}

MR_TEST(generator, rows_are_numbered_and_timed_in_order)
{
    struct mr_source source = make_source(5, 3);
    struct memory_disk disk;
    struct source_result result, again;

    memory_disk_init(&disk, mr_test_heap());
    result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){0});
    MR_EXPECT_EQ_UINT(result.row_count, 5);
    MR_EXPECT_EQ_TEXT(result.rows, 6, "0|100|");
    MR_EXPECT_CONTAINS(result.rows, "\n1|110|");
    MR_EXPECT_CONTAINS(result.rows, "\n4|140|");
    MR_EXPECT(result.bounded);
    again = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){.row_limit = 2});
    MR_EXPECT_EQ_STR(again.rows, result.rows);
    free_result(&result);
    free_result(&again);
    end_source(&source);
    memory_disk_fini(&disk);
}

MR_TEST(generator, keys_and_values_are_spread_over_their_ranges)
{
    struct mr_source source = make_source(20000, 7);
    struct memory_disk disk;
    struct source_result result;
    uint32_t keys[7] = {0}, values[1000] = {0};
    const char *at;

    memory_disk_init(&disk, mr_test_heap());
    result = run_source(&source, mr_test_heap(), &disk.disk, (struct source_run){0});
    at = result.rows;
    for (uint32_t i = 0; i < 20000; i++) {
        long long n, ts, key, value;
        int size;

        MR_EXPECT_EQ_INT(sscanf(at, "%lld|%lld|%lld|%lld\n%n", &n, &ts, &key, &value, &size), 4);
        MR_EXPECT(n == i && key >= 0 && key < 7 && value >= 0 && value < 1000);
        keys[key]++;
        values[value]++;
        at += size;
    }
    for (uint32_t i = 0; i < 7; i++) MR_EXPECT(keys[i] > 2000 && keys[i] < 4000);
    for (uint32_t i = 0; i < 1000; i++) MR_EXPECT(values[i] > 0);
    free_result(&result);
    end_source(&source);
    memory_disk_fini(&disk);
}

MR_TEST(generator, without_an_end_there_is_one_split_and_no_bound)
{
    struct mr_source source = make_source(UINT64_MAX, 7);
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    struct mr_plan_context plan = {.heap = mr_test_heap()};
    struct mr_error err;

    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(source.ops->plan(source.spec, &plan, &list, &err), &err);
    MR_EXPECT_EQ_UINT(list.count, 1);
    MR_EXPECT(!list.bounded);
    mr_arena_fini(&arena);
    end_source(&source);
}

MR_TEST(generator, splits_cover_all_rows_and_know_their_first_time)
{
    struct mr_source source = make_source(UINT64_C(3000000), 7);
    struct mr_arena arena;
    struct mr_split_list list = {.arena = &arena};
    struct mr_plan_context plan = {.heap = mr_test_heap()};
    struct mr_error err;
    uint64_t rows = 0;

    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(source.ops->plan(source.spec, &plan, &list, &err), &err);
    MR_EXPECT(list.count > 1);
    for (uint32_t i = 0; i < list.count; i++) {
        MR_EXPECT_EQ_UINT(list.splits[i].offset_bytes, rows);
        MR_EXPECT_EQ_INT(list.splits[i].lower_bound_us, 100 + 10 * (int64_t)rows);
        rows += list.splits[i].detail;
    }
    MR_EXPECT_EQ_UINT(rows, 3000000);
    mr_arena_fini(&arena);
    end_source(&source);
}

MR_TEST(generator, options_that_make_no_sense_are_refused)
{
    struct mr_generator_options options = {.rows = 10, .keys = 0, .step_us = 1};
    struct mr_source source;
    struct mr_error err;

    MR_EXPECT_STATUS(mr_generator_source(mr_test_heap(), &options, &source, &err), MR_E_INVALID);
    options.keys = 1;
    options.step_us = -1;
    MR_EXPECT_STATUS(mr_generator_source(mr_test_heap(), &options, &source, &err), MR_E_INVALID);
    options.step_us = INT64_MAX;
    MR_EXPECT_STATUS(mr_generator_source(mr_test_heap(), &options, &source, &err), MR_E_INVALID);
}

MR_TEST(generator, when_any_allocation_fails_then_nothing_is_lost)
{
    struct mr_heap *heap = mr_test_heap();
    struct memory_disk disk;

    memory_disk_init(&disk, heap);
    MR_TORTURE(heap) {
        const struct mr_generator_options options = {.rows = 3, .step_us = 1, .keys = 1};
        struct mr_source source;
        struct mr_error err;
        enum mr_status st = mr_generator_source(heap, &options, &source, &err);

        if (st == MR_OK) {
            struct source_result result;

            result = run_source(&source, heap, &disk.disk, (struct source_run){0});
            st = result.status;
            if (st == MR_OK) MR_EXPECT_EQ_UINT(result.row_count, 3);
            free_result(&result);
            end_source(&source);
        }
        MR_EXPECT(st == MR_OK || (st == MR_E_NOMEM && mr_test_refused(heap)));
    }
    memory_disk_fini(&disk);
}
