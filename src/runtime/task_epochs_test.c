#include "runtime/task_epochs.h"

#include "base/status.h"
#include "mr_test.h"
#include "state/segment.h"

#include <stdio.h>

#define OPS 3u

/* Operators whose state is one value that says which seal it was. */
struct stateful {
    struct mr_operator op;
    struct mr_node node;
    struct mr_plan_op plan;
    uint32_t seals;
    bool fails;
};

struct epochs_test {
    struct mr_epoch_signals *signals;
    char memory[sizeof(struct mr_epoch_signals) + sizeof(struct mr_task_epochs) + 128];
    struct mr_task_epochs *epochs;
    struct stateful items[OPS];
    struct mr_operator *ops[OPS];
    struct mr_task_context task;
    struct mr_parker parker;
    uint32_t wakes;
    struct mr_error err;
};

static enum mr_status seal_one(struct mr_operator *op, bool full, mr_entry_fn yield, void *self,
                               struct mr_error *err)
{
    struct stateful *item = (struct stateful *)(void *)op;
    char value[64];
    struct mr_entry entry = {.kind = MR_ENTRY_VALUE, .state_name = "s", .key = {"k", 1}};
    int size = snprintf(value, sizeof value, "%llu%s", (unsigned long long)op->task->epoch,
                        full ? " full" : "");

    if (item->fails) return mr_error_set(err, MR_E_NOMEM, "asked to fail");
    item->seals++;
    entry.value = (struct mr_bytes){value, (size_t)size};
    return yield(self, &entry, err);
}

static const struct mr_operator_ops stateful_ops = {
    .size = sizeof stateful_ops, .name = "stateful", .seal = seal_one};
static const struct mr_operator_ops stateless_ops = {.size = sizeof stateless_ops,
                                                     .name = "stateless"};

static void wake(void *self, uint32_t worker)
{
    MR_EXPECT_EQ_UINT(worker, 9);
    ((struct epochs_test *)self)->wakes++;
}

static void *aligned(char *at)
{
    return at + ((64 - ((uintptr_t)at & 63)) & 63);
}

static void start(struct epochs_test *t)
{
    static const char *const ids[OPS] = {"in", "map", "out"};

    memset(t, 0, sizeof *t);
    t->signals = aligned(t->memory);
    t->epochs = aligned((char *)(t->signals + 1));
    t->task.heap = mr_test_heap();
    for (uint32_t i = 0; i < OPS; i++) {
        struct stateful *item = &t->items[i];

        item->node.id = ids[i];
        item->plan.node = &item->node;
        item->op = (struct mr_operator){
            .ops = i == 1 ? &stateless_ops : &stateful_ops, .plan = &item->plan, .task = &t->task};
        t->ops[i] = &item->op;
    }
    t->parker = (struct mr_parker){.self = t, .wake = wake};
    t->epochs->signals = t->signals;
    t->epochs->ops = t->ops;
    t->epochs->op_count = OPS;
    t->epochs->parker = &t->parker;
    t->epochs->coordinator = 9;
    mr_seal_init(&t->epochs->seal, mr_test_heap());
}

static void stop(struct epochs_test *t)
{
    mr_seal_fini(&t->epochs->seal);
}

/* What lies in the seal: "operator=value" in order. */
static const char *sealed(const struct epochs_test *t)
{
    static char text[1024];
    const struct mr_seal_run *run = NULL;
    size_t size = 0;

    text[0] = '\0';
    while ((run = mr_seal_next(&t->epochs->seal, run)) != NULL) {
        struct mri_entry_reader reader;
        struct mr_entry entry;
        uint64_t count;

        mri_entry_reader_init(&reader, mr_seal_run_bytes(run, &count));
        while (mri_entry_next(&reader, &entry) == MRI_ENTRY_GOT) {
            size +=
                (size_t)snprintf(text + size, sizeof text - size, "%s=%.*s\n", reader.operator_id,
                                 (int)entry.value.size_bytes, entry.value.data);
        }
    }
    return text;
}

/* The barrier passes through the chain. */
static void pass_barrier(struct epochs_test *t, uint64_t epoch)
{
    for (uint32_t i = 0; i < OPS; i++) {
        MR_EXPECT_OK(mr_task_seal_operator(t->epochs, i, epoch, &t->err), &t->err);
    }
    mr_task_publish_seal(t->epochs, epoch, false);
}

static bool serve(struct epochs_test *t, bool over)
{
    bool any = false;

    MR_EXPECT_OK(mr_task_serve_epochs(t->epochs, over, &any, &t->err), &t->err);
    return any;
}

MR_TEST(task_epochs, operators_are_sealed_in_order_and_then_the_whole_is_published)
{
    struct epochs_test t;

    start(&t);
    MR_EXPECT_OK(mr_task_seal_operator(t.epochs, 0, 1, &t.err), &t.err);
    MR_EXPECT_OK(mr_task_seal_operator(t.epochs, 1, 1, &t.err), &t.err);
    MR_EXPECT_EQ_UINT(mr_signal(&t.epochs->out.sealed), 0); /* nothing before the last one */
    MR_EXPECT_OK(mr_task_seal_operator(t.epochs, 2, 1, &t.err), &t.err);
    mr_task_publish_seal(t.epochs, 1, false);
    MR_EXPECT_EQ_UINT(mr_signal(&t.epochs->out.sealed), 1 << 1);
    MR_EXPECT_EQ_UINT(t.wakes, 1);
    MR_EXPECT_EQ_STR(sealed(&t), "in=1\nout=1\n");
    stop(&t);
}

MR_TEST(task_epochs, what_is_complete_goes_and_what_is_not_stays_in_front)
{
    struct epochs_test t;

    start(&t);
    pass_barrier(&t, 1);
    atomic_store(&t.signals->complete, 1);
    pass_barrier(&t, 2);
    MR_EXPECT_EQ_STR(sealed(&t), "in=2\nout=2\n");
    pass_barrier(&t, 3); /* 2 was aborted */
    MR_EXPECT_EQ_STR(sealed(&t), "in=2\nout=2\nin=3\nout=3\n");
    pass_barrier(&t, 5);
    MR_EXPECT_EQ_STR(sealed(&t), "in=2\nout=2\nin=3\nout=3\nin=5\nout=5\n");
    atomic_store(&t.signals->complete, 5);
    pass_barrier(&t, 6);
    MR_EXPECT_EQ_STR(sealed(&t), "in=6\nout=6\n");
    stop(&t);
}

MR_TEST(task_epochs, an_epoch_is_sealed_once_and_in_order)
{
    struct epochs_test t;

    start(&t);
    pass_barrier(&t, 2);
    MR_EXPECT_PANIC((void)!mr_task_seal_operator(t.epochs, 0, 1, &t.err));
    MR_EXPECT_PANIC(mr_task_publish_seal(t.epochs, 3, false)); /* was not sealed */
    stop(&t);
}

MR_TEST(task_epochs, a_full_seal_is_asked_for_by_number_and_holds_for_one_epoch)
{
    struct epochs_test t;

    start(&t);
    atomic_store(&t.signals->full, 2);
    pass_barrier(&t, 1);
    MR_EXPECT_EQ_STR(sealed(&t), "in=1\nout=1\n");
    atomic_store(&t.signals->complete, 1);
    pass_barrier(&t, 2);
    MR_EXPECT_EQ_STR(sealed(&t), "in=2 full\nout=2 full\n");
    atomic_store(&t.signals->complete, 2);
    pass_barrier(&t, 3);
    MR_EXPECT_EQ_STR(sealed(&t), "in=3\nout=3\n");
    stop(&t);
}

/* A full one that did not become complete is still in front: the next need not be full. */
MR_TEST(task_epochs, a_full_seal_of_an_aborted_epoch_stays_in_front)
{
    struct epochs_test t;

    start(&t);
    atomic_store(&t.signals->full, 1);
    pass_barrier(&t, 1);
    pass_barrier(&t, 2);
    MR_EXPECT_EQ_STR(sealed(&t), "in=1 full\nout=1 full\nin=2\nout=2\n");
    stop(&t);
}

MR_TEST(task_epochs, a_task_that_is_over_seals_when_the_coordinator_asks)
{
    struct epochs_test t;

    start(&t);
    mr_task_say_over(t.epochs);
    MR_EXPECT(atomic_load(&t.epochs->out.over));
    MR_EXPECT(!serve(&t, true)); /* nobody asked */
    atomic_store(&t.signals->inject, 1);
    MR_EXPECT(serve(&t, true));
    MR_EXPECT_EQ_UINT(mr_signal(&t.epochs->out.sealed), 1 << 1 | 1);
    MR_EXPECT_EQ_STR(sealed(&t), "in=1\nout=1\n");
    MR_EXPECT(!serve(&t, true)); /* once */
    MR_EXPECT_EQ_UINT(t.items[0].seals, 1);
    stop(&t);
}

MR_TEST(task_epochs, one_that_is_not_over_waits_for_the_barrier)
{
    struct epochs_test t;

    start(&t);
    atomic_store(&t.signals->inject, 1);
    MR_EXPECT(!serve(&t, false));
    MR_EXPECT_EQ_UINT(mr_signal(&t.epochs->out.sealed), 0);
    stop(&t);
}

/* It sealed 1 as the barrier passed, then END went out: 1 is not sealed again. */
MR_TEST(task_epochs, an_epoch_that_passed_as_a_barrier_is_not_sealed_again_after_the_end)
{
    struct epochs_test t;

    start(&t);
    atomic_store(&t.signals->inject, 1);
    pass_barrier(&t, 1);
    mr_task_say_over(t.epochs);
    MR_EXPECT(!serve(&t, true));
    MR_EXPECT_EQ_UINT(mr_signal(&t.epochs->out.sealed), 1 << 1);
    atomic_store(&t.signals->inject, 2);
    MR_EXPECT(serve(&t, true));
    MR_EXPECT_EQ_UINT(mr_signal(&t.epochs->out.sealed), 2 << 1 | 1);
    stop(&t);
}

MR_TEST(task_epochs, without_sinks_a_commit_is_confirmed_at_once_and_once)
{
    struct epochs_test t;

    start(&t);
    atomic_store(&t.signals->commit, 3);
    MR_EXPECT(serve(&t, false));
    MR_EXPECT_EQ_UINT(mr_signal(&t.epochs->out.committed), 3);
    MR_EXPECT_EQ_UINT(t.wakes, 1);
    MR_EXPECT(!serve(&t, false));
    MR_EXPECT_EQ_UINT(t.wakes, 1);
    stop(&t);
}

MR_TEST(task_epochs, when_an_operator_cannot_seal_then_nothing_is_published)
{
    struct epochs_test t;
    bool any = false;

    start(&t);
    t.items[2].fails = true;
    MR_EXPECT_OK(mr_task_seal_operator(t.epochs, 0, 1, &t.err), &t.err);
    MR_EXPECT_STATUS(mr_task_seal_operator(t.epochs, 2, 1, &t.err), MR_E_NOMEM);
    stop(&t);
    start(&t);
    t.items[2].fails = true;
    atomic_store(&t.signals->inject, 1);
    MR_EXPECT_STATUS(mr_task_serve_epochs(t.epochs, true, &any, &t.err), MR_E_NOMEM);
    MR_EXPECT_EQ_UINT(mr_signal(&t.epochs->out.sealed), 0);
    stop(&t);
}
