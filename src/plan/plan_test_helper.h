/* plan_test_helper.h - plans in tests in few words. For tests of plan only.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   a failed call fails the test.
 * Cost:    none that matters.
 */
#ifndef MR_PLAN_PLAN_TEST_HELPER_H
#define MR_PLAN_PLAN_TEST_HELPER_H

#include "model/model_test_helper.h"
#include "plan/plan.h"

#define MIB ((size_t)1024 * 1024)

/* 2 workers, batch, 64 MiB. */
MR_UNUSED static struct mr_plan_options options_of(void)
{
    return (struct mr_plan_options){.workers = 2, .memory_bytes = 64 * MIB};
}

MR_UNUSED static struct mr_plan *plan_of(const struct mr_model *model,
                                         const struct mr_plan_options *options)
{
    struct mr_error err = {0};
    struct mr_plan *plan = NULL;

    MR_EXPECT_OK(mr_plan_create(mr_test_heap(), model, options, &plan, &err), &err);
    return plan;
}

MR_UNUSED static struct mr_aggregate_spec spec_of(enum mr_aggregate_kind kind, const char *name,
                                                  struct mr_expr *argument)
{
    return (struct mr_aggregate_spec){.kind = kind,
                                      .name = name,
                                      .arguments = {argument},
                                      .argument_count = argument != NULL};
}

/* The pipeline of the example: six columns, of which three are read. Returns the aggregate. */
MR_UNUSED static uint32_t add_flights(struct mr_model *model, struct mr_window_spec window)
{
    uint32_t read = source(model, "in", "year:i origin:u dest:u delay:f hour:t tail:u");
    uint32_t time = add(model, event_time_node(col(model, "hour"), MR_DAY), OUT(read), NULL);
    struct mr_expr *keys[] = {col(model, "origin")};
    const char *names[] = {"origin"};
    struct mr_aggregate_spec specs[] = {
        spec_of(MR_AGG_COUNT_ALL, "flights", NULL),
        spec_of(MR_AGG_AVG, "mean_delay", col(model, "delay")),
        spec_of(MR_AGG_MAX, "max_delay", col(model, "delay")),
    };

    return add(model, aggregate_node(window, keys, names, 1, specs, 3), OUT(time), "by-hour");
}

#endif
