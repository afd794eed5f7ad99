/* chain_test.c - operators in a row: order, invariants, waiting. */
#include "exec/chain.h"
#include "exec/exec_test_helper.h"

/* An operator made of a script: for each item put it says what the script says. */
struct fake {
    struct mr_operator op;
    struct mr_plan_op plan;
    struct mr_item item;
    bool has;
    uint32_t copies; /* how often it passes an item on: 1 */
    uint32_t side;   /* batches go to this output */
    uint32_t blocks; /* times it says BLOCKED before it passes an item on */
    uint32_t blocked;
    uint32_t passed;
    bool swallow;
    bool over;
    bool back; /* watermarks come out one less each time */
    int64_t back_us;
    bool fails;
    uint32_t calls;
};

static enum mr_status fake_put(struct mr_operator *op, const struct mr_item *item,
                               struct mr_error *err)
{
    struct fake *fake = (struct fake *)op;

    (void)err;
    fake->item = *item;
    fake->has = true;
    fake->passed = fake->blocked = 0;
    return MR_OK;
}

static enum mr_status fake_next(struct mr_operator *op, struct mr_item *out, enum mr_flow *out_flow,
                                struct mr_error *err)
{
    struct fake *fake = (struct fake *)op;

    fake->calls++;
    if (fake->fails) return mr_error_set(err, MR_E_EVALUATE, "no");
    *out_flow = fake->over ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
    if (!fake->has) return MR_OK;
    if (fake->swallow && fake->item.tag == MR_ITEM_WATERMARK) {
        fake->has = false;
        return MR_OK;
    }
    if (fake->blocked++ < fake->blocks) {
        *out_flow = MR_FLOW_BLOCKED;
        return MR_OK;
    }
    mr_item_forward(out, &fake->item);
    if (out->tag == MR_ITEM_WATERMARK && fake->back) out->time_us = fake->back_us--;
    if (out->tag == MR_ITEM_BATCH) out->input = fake->side;
    if (++fake->passed == MR_MAX(fake->copies, 1u)) fake->has = false;
    if (out->tag == MR_ITEM_END && !fake->has) fake->over = true;
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

static const struct mr_operator_ops fake_ops = {
    .size = sizeof(struct mr_operator_ops), .name = "fake", .put = fake_put, .next = fake_next};

struct rig {
    struct fake fakes[4];
    struct mr_operator *ops[4];
    struct mr_chain *chain;
    char text[1024];
    enum mr_flow flow;
};

static void open_rig(struct rig *rig, uint32_t count)
{
    struct mr_error err;

    memset(rig, 0, sizeof *rig);
    for (uint32_t i = 0; i < count; i++) {
        struct fake *fake = &rig->fakes[i];

        fake->plan.kind = MR_PLAN_FILTER;
        fake->plan.output_count = 2;
        fake->op = (struct mr_operator){.ops = &fake_ops, .plan = &fake->plan};
        rig->ops[i] = &fake->op;
    }
    MR_EXPECT_OK(mr_chain_create(mr_test_heap(), rig->ops, count, &rig->chain, &err), &err);
}

static void note(struct rig *rig, const char *what, int64_t value)
{
    size_t used = strlen(rig->text);

    (void)snprintf(rig->text + used, sizeof rig->text - used, "%s %lld\n", what, (long long)value);
}

/* Takes what comes out; stops at NEED_INPUT, BLOCKED or DONE. */
static enum mr_status run(struct rig *rig)
{
    for (;;) {
        struct mr_error err;
        struct mr_item item;
        uint32_t op;

        MR_RET(mr_chain_next(rig->chain, &item, &op, &rig->flow, &err));
        if (rig->flow != MR_FLOW_HAVE_OUTPUT) return MR_OK;
        if (item.tag == 0) continue;
        if (item.tag == MR_ITEM_WATERMARK) note(rig, "watermark", item.time_us);
        if (item.tag == MR_ITEM_BATCH) note(rig, "batch from", op * 10 + item.input);
        if (item.tag == MR_ITEM_END) note(rig, "end from", op);
        if (item.tag == MR_ITEM_IDLE) note(rig, "idle", 0);
        if (item.tag >= MR_ITEM_SPLITS_PENDING) note(rig, "inside", item.tag);
    }
}

static void put(struct rig *rig, enum mr_item_tag tag, int64_t time_us)
{
    static struct mr_batch nothing; /* fakes only pass it on */
    struct mr_item item = {.tag = tag, .time_us = time_us};

    if (tag == MR_ITEM_BATCH) item.batch = &nothing;
    MR_EXPECT_OK(mr_chain_put(rig->chain, &item, NULL), NULL);
}

static bool tick(struct rig *rig, int64_t now_us)
{
    struct mr_error err;
    bool told = false;

    MR_EXPECT_OK(mr_chain_tick(rig->chain, now_us, &told, &err), &err);
    return told;
}

MR_TEST(chain, items_go_through_all_operators_in_order)
{
    struct rig rig;

    open_rig(&rig, 3);
    rig.fakes[0].copies = 2;
    rig.fakes[2].copies = 2;
    MR_EXPECT(mr_chain_ready(rig.chain));
    put(&rig, MR_ITEM_BATCH, 0);
    MR_EXPECT(!mr_chain_ready(rig.chain));
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_NEED_INPUT);
    MR_EXPECT_EQ_STR(rig.text, "batch from 20\nbatch from 20\nbatch from 20\nbatch from 20\n");
    rig.fakes[0].copies = rig.fakes[2].copies = 1;
    put(&rig, MR_ITEM_WATERMARK, 7);
    MR_EXPECT_OK(run(&rig), NULL);
    put(&rig, MR_ITEM_END, 0);
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_STR(rig.text, "batch from 20\nbatch from 20\nbatch from 20\nbatch from 20\n"
                               "watermark 7\nend from 2\n");
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_DONE);
    MR_EXPECT(!mr_chain_ready(rig.chain));
    mr_chain_destroy(rig.chain);
}

MR_TEST(chain, batches_of_other_outputs_leave_the_stage_where_they_are_made)
{
    struct rig rig;

    open_rig(&rig, 3);
    rig.fakes[1].side = 1;
    put(&rig, MR_ITEM_BATCH, 0);
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_STR(rig.text, "batch from 11\n");
    MR_EXPECT_EQ_UINT(rig.fakes[2].calls, 0);
    mr_chain_destroy(rig.chain);
}

/* What is blocked at the end holds back what is before it: nothing overtakes. */
MR_TEST(chain, when_an_operator_is_blocked_then_those_before_it_are_not_asked)
{
    struct rig rig;
    uint32_t calls;

    open_rig(&rig, 2);
    rig.fakes[0].copies = 2;
    rig.fakes[1].blocks = 2;
    put(&rig, MR_ITEM_BATCH, 0);
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_BLOCKED);
    calls = rig.fakes[0].calls;
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_BLOCKED);
    MR_EXPECT_EQ_UINT(rig.fakes[0].calls, calls);
    MR_EXPECT_OK(run(&rig), NULL); /* the first copy passes, the second is blocked */
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_BLOCKED);
    MR_EXPECT_EQ_STR(rig.text, "batch from 10\n");
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_STR(rig.text, "batch from 10\nbatch from 10\n");
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_NEED_INPUT);
    mr_chain_destroy(rig.chain);
}

MR_TEST(chain, items_of_the_inside_end_at_the_last_operator)
{
    struct rig rig;

    open_rig(&rig, 2);
    put(&rig, MR_ITEM_SPLIT_OPEN, 0);
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT(tick(&rig, 5));
    MR_EXPECT(!tick(&rig, 6)); /* the last one is still under way */
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_STR(rig.text, "");
    MR_EXPECT_EQ_UINT(rig.fakes[1].passed, 1);
    mr_chain_destroy(rig.chain);
}

/* A source has work from the start, takes nothing, and ticks go to those behind it. */
MR_TEST(chain, a_scan_at_the_head_is_asked_without_input)
{
    struct rig rig;

    open_rig(&rig, 2);
    mr_chain_destroy(rig.chain);
    rig.fakes[0].plan.kind = MR_PLAN_SCAN;
    MR_EXPECT_OK(mr_chain_create(mr_test_heap(), rig.ops, 2, &rig.chain, NULL), NULL);
    MR_EXPECT(!mr_chain_ready(rig.chain));
    rig.fakes[0].item.tag = MR_ITEM_WATERMARK;
    rig.fakes[0].has = true;
    rig.fakes[0].blocks = 1;
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_BLOCKED);
    MR_EXPECT(tick(&rig, 5));
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_STR(rig.text, "watermark 0\n");
    MR_EXPECT_EQ_INT(rig.fakes[1].item.tag, MR_ITEM_WATERMARK);
    mr_chain_destroy(rig.chain);
}

/* (4): a stage that swallows everything must not keep its worker for itself. */
MR_TEST(chain, one_call_does_a_bounded_amount_of_work)
{
    struct rig rig;
    struct mr_item item;
    struct mr_error err;
    uint32_t op;

    open_rig(&rig, 1);
    rig.fakes[0].copies = 1000;
    put(&rig, MR_ITEM_TICK, 0); /* 1000 items that end here */
    MR_EXPECT_OK(mr_chain_next(rig.chain, &item, &op, &rig.flow, &err), &err);
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_HAVE_OUTPUT);
    MR_EXPECT_EQ_INT(item.tag, 0);
    MR_EXPECT_EQ_UINT(rig.fakes[0].calls, MR_CHAIN_MOVES);
    MR_EXPECT_OK(run(&rig), NULL);
    MR_EXPECT_EQ_INT(rig.flow, MR_FLOW_NEED_INPUT);
    mr_chain_destroy(rig.chain);
}

MR_TEST(chain, a_failing_operator_fails_the_chain)
{
    struct rig rig;

    open_rig(&rig, 2);
    rig.fakes[1].fails = true;
    put(&rig, MR_ITEM_IDLE, 0);
    MR_EXPECT_STATUS(run(&rig), MR_E_EVALUATE);
    mr_chain_destroy(rig.chain);
}

MR_TEST(chain, broken_promises_of_operators_stop_the_process)
{
    struct rig rig;

    open_rig(&rig, 1); /* (1) */
    put(&rig, MR_ITEM_IDLE, 0);
    MR_EXPECT_PANIC(put(&rig, MR_ITEM_IDLE, 0));
    mr_chain_destroy(rig.chain);
    open_rig(&rig, 1); /* (2) */
    rig.fakes[0].back = true;
    rig.fakes[0].copies = 2;
    put(&rig, MR_ITEM_WATERMARK, 0);
    MR_EXPECT_PANIC((void)!run(&rig));
    mr_chain_destroy(rig.chain);
    open_rig(&rig, 1); /* (3) */
    rig.fakes[0].copies = 2;
    put(&rig, MR_ITEM_END, 0);
    MR_EXPECT_PANIC((void)!run(&rig));
    mr_chain_destroy(rig.chain);
}

MR_TEST(chain, says_when_there_is_no_memory)
{
    struct mr_error err;

    MR_TORTURE(mr_test_heap()) {
        struct fake fake = {.plan.kind = MR_PLAN_FILTER};
        struct mr_operator *op = &fake.op;
        struct mr_chain *chain = NULL;

        fake.op = (struct mr_operator){.ops = &fake_ops, .plan = &fake.plan};
        enum mr_status st = mr_chain_create(mr_test_heap(), &op, 1, &chain, &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(mr_test_heap()) ? MR_E_NOMEM : MR_OK);
        mr_chain_destroy(chain);
    }
}

/* ---- real operators ---- */

/* The parts as they will be used: a filter and a sort, batches cut in any way. */
MR_TEST(chain, filter_and_sort_give_the_same_for_any_cut)
{
    static const char rows[] = "5|e\n1|a\n4|d\n2|b\n3|c\n";

    for (uint32_t cut = 1; cut <= 5; cut++) {
        struct xt filter, top;
        struct mr_operator *ops[2];
        struct mr_chain *chain;
        struct mr_data_printer out = {NULL, 0, 0};
        enum mr_flow flow = MR_FLOW_NEED_INPUT;
        const char *at = rows;
        struct mr_item item;
        uint32_t op;

        xt_open(&filter, MR_PLAN_FILTER, "a int64, b utf8", "a int64, b utf8");
        xt_expr(&filter, xt_call(&filter, MR_OP_GT, xt_column(&filter, "a"), xt_int(&filter, 1)));
        xt_begin(&filter);
        xt_open(&top, MR_PLAN_TOP, "a int64, b utf8", "a int64, b utf8");
        xt_expr(&top, xt_column(&top, "a"));
        xt_begin(&top);
        ops[0] = filter.op;
        ops[1] = top.op;
        MR_EXPECT_OK(mr_chain_create(mr_test_heap(), ops, 2, &chain, NULL), NULL);
        while (flow != MR_FLOW_DONE) {
            MR_EXPECT_OK(mr_chain_next(chain, &item, &op, &flow, NULL), NULL);
            if (flow == MR_FLOW_HAVE_OUTPUT && item.tag == MR_ITEM_BATCH) {
                const char *text = mr_data_print(item.batch);

                mr_data_put(&out, text, strlen(text));
                mr_batch_release(item.batch);
            }
            if (flow != MR_FLOW_NEED_INPUT) continue;
            item = (struct mr_item){.tag = MR_ITEM_END};
            if (*at != '\0') {
                size_t size = MR_MIN(cut * 4, strlen(at));
                char *piece = strndup(at, size);

                item = (struct mr_item){.tag = MR_ITEM_BATCH};
                item.batch = mr_data_batch(&filter.data.quota, filter.plan.input, piece);
                free(piece);
                at += size;
            }
            MR_EXPECT_OK(mr_chain_put(chain, &item, NULL), NULL);
        }
        MR_EXPECT_EQ_STR(out.data, "2|b\n3|c\n4|d\n5|e\n");
        free(out.data);
        mr_chain_destroy(chain);
        xt_end(&top);
        xt_close(&top);
        xt_end(&filter);
        xt_close(&filter);
    }
}
