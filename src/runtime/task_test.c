#include "runtime/task.h"

#include "mr_test.h"

/* A task whose only operator waits: it asks for memory that is not there (or is content). */
struct task_test {
    struct mr_heap heap; /* the job's */
    struct mr_task task;
    struct mr_plan_stage stage;
    struct mr_plan_op plan;
    struct mr_node node;
    struct mr_operator op;
    struct mr_operator *ops[1];
    struct mr_counters counters;
    struct mr_ptime now;
    bool asks;
};

static struct task_test *test_of(struct mr_operator *op)
{
    return (struct task_test *)(void *)((char *)op - offsetof(struct task_test, op));
}

static enum mr_status wait_for_room(struct mr_operator *op, struct mr_item *out,
                                    enum mr_flow *out_flow, struct mr_error *err)
{
    struct task_test *t = test_of(op);

    (void)out;
    (void)err;
    if (t->asks) MR_EXPECT(mr_alloc(&t->heap, t->heap.limit_bytes + 1) == NULL);
    *out_flow = MR_FLOW_BLOCKED;
    return MR_OK;
}

static const struct mr_operator_ops waiting_ops = {
    .size = sizeof waiting_ops, .name = "waiting", .next = wait_for_room};

static void start(struct task_test *t)
{
    struct mr_error err;

    memset(t, 0, sizeof *t);
    mr_heap_init_child(&t->heap, "job", 65536, mr_test_heap());
    mr_heap_init_child(&t->task.heap, "task", SIZE_MAX, &t->heap);
    t->node.id = "greedy";
    t->plan = (struct mr_plan_op){.kind = MR_PLAN_SCAN, .node = &t->node, .output_count = 1};
    t->stage.ops = &t->plan;
    t->stage.op_count = 1;
    t->op = (struct mr_operator){.ops = &waiting_ops, .plan = &t->plan};
    t->ops[0] = &t->op;
    t->task.stage = &t->stage;
    t->task.counters = &t->counters;
    t->task.now = &t->now;
    t->now.us = 5 * MR_SECOND;
    MR_EXPECT_OK(mr_chain_create(mr_test_heap(), t->ops, 1, &t->task.chain, &err), &err);
}

static void stop(struct task_test *t)
{
    mr_chain_destroy(t->task.chain);
    mr_heap_fini(&t->task.heap);
    mr_heap_fini(&t->heap);
}

static enum mr_status step(struct task_test *t, int64_t later_us, bool asks, struct mr_error *err)
{
    enum mr_progress progress = MR_PROGRESS_MADE;
    enum mr_status st;

    t->now.us += later_us;
    t->asks = asks;
    st = mr_task_step(&t->task, &progress, err);
    if (st == MR_OK) MR_EXPECT_EQ_INT(progress, MR_PROGRESS_NONE);
    return st;
}

/* State keeps what it has until the end: waiting for it would be waiting for ever. */
MR_TEST(task, when_memory_is_refused_for_long_then_it_fails_and_names_the_operator)
{
    struct task_test t;
    struct mr_error err;

    start(&t);
    MR_EXPECT_OK(step(&t, 0, true, &err), &err);
    MR_EXPECT_OK(step(&t, MR_HUNGRY_US - 1, true, &err), &err);
    MR_EXPECT_STATUS(step(&t, 1, true, &err), MR_E_NOMEM);
    MR_EXPECT_CONTAINS(err.text, "'greedy'");
    MR_EXPECT_CONTAINS(err.text, "--memory");
    stop(&t);
}

/* Others gave something back in between: that is back-pressure, and may go on. */
MR_TEST(task, when_memory_comes_back_in_between_then_the_patience_begins_anew)
{
    struct task_test t;
    struct mr_error err;

    start(&t);
    MR_EXPECT_OK(step(&t, 0, true, &err), &err);
    MR_EXPECT_OK(step(&t, MR_HUNGRY_US - 1, false, &err), &err);
    MR_EXPECT_OK(step(&t, 1, true, &err), &err);
    MR_EXPECT_OK(step(&t, MR_HUNGRY_US - 1, true, &err), &err);
    MR_EXPECT_STATUS(step(&t, 1, true, &err), MR_E_NOMEM);
    stop(&t);
}

MR_TEST(task, when_it_waits_for_room_or_input_only_then_it_waits_without_end)
{
    struct task_test t;
    struct mr_error err;

    start(&t);
    for (int i = 0; i < 10; i++) MR_EXPECT_OK(step(&t, MR_HUNGRY_US, false, &err), &err);
    stop(&t);
}
