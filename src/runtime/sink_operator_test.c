#include "runtime/sink_operator.h"

#include "base/status.h"
#include "base/time.h"
#include "runtime/runtime_test_helper.h"

/* ---- a sink that notes what it is asked ---- */

struct notes {
    char text[2048]; /* calls, in order, since the last look */
    size_t size;
    uint32_t blocks;         /* so many calls answer BLOCKED from now on */
    const char *fails;       /* the call with this name fails */
    const char *transaction; /* what `prepare` gives */
    bool plain;              /* `transactional` says no */
    uint64_t bytes;
};

static void note(struct notes *notes, const char *call, uint64_t number)
{
    notes->size += (size_t)snprintf(notes->text + notes->size, sizeof notes->text - notes->size,
                                    "%s %llu\n", call, (unsigned long long)number);
    MR_EXPECT(notes->size < sizeof notes->text);
}

static const char *look(struct notes *notes)
{
    static char seen[sizeof notes->text];

    memcpy(seen, notes->text, sizeof seen);
    notes->size = 0;
    notes->text[0] = '\0';
    return seen;
}

static enum mr_status answer(struct notes *notes, const char *call, enum mr_sink_flow *out_flow,
                             struct mr_error *err)
{
    *out_flow = notes->blocks > 0 ? MR_SINK_BLOCKED : MR_SINK_READY;
    if (notes->blocks > 0) notes->blocks--;
    if (notes->fails == NULL || strcmp(notes->fails, call) != 0) return MR_OK;
    return mr_error_set(err, MR_E_CLOSED, "%s went wrong", call);
}

static enum mr_status notes_open(void *spec, const struct mr_writer_context *context, void **out,
                                 struct mr_error *err)
{
    struct notes *notes = spec;
    enum mr_sink_flow flow;

    note(notes, "open", context->instance);
    note(notes, "fence", context->fence);
    *out = notes;
    return answer(notes, "open", &flow, err);
}

static enum mr_status notes_write(void *writer, const struct mr_batch *batch,
                                  enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct notes *notes = writer;

    note(notes, "write", batch->row_count);
    if (notes->blocks == 0) notes->bytes += 10;
    return answer(notes, "write", out_flow, err);
}

static enum mr_status notes_flush(void *writer, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    note(writer, "flush", 0);
    return answer(writer, "flush", out_flow, err);
}

static enum mr_status notes_finish(void *writer, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    note(writer, "finish", 0);
    return answer(writer, "finish", out_flow, err);
}

static enum mr_status notes_commit(void *writer, struct mr_error *err)
{
    enum mr_sink_flow flow;

    note(writer, "commit", 0);
    return answer(writer, "commit", &flow, err);
}

static void notes_abort(void *writer)
{
    note(writer, "abort", 0);
}

static bool notes_transactional(const void *spec)
{
    return !((const struct notes *)spec)->plain;
}

static enum mr_status notes_prepare(void *writer, uint64_t epoch, struct mr_buffer *out,
                                    enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct notes *notes = writer;

    note(notes, "prepare", epoch);
    MR_EXPECT_EQ_UINT(out->size_bytes, 0);
    MR_RET(answer(notes, "prepare", out_flow, err));
    if (*out_flow == MR_SINK_BLOCKED) return MR_OK;
    if (mr_buffer_put(out, notes->transaction, strlen(notes->transaction))) return MR_OK;
    return mr_error_nomem(err, "a transaction", 1);
}

static enum mr_status notes_commit_epoch(void *writer, uint64_t epoch, enum mr_sink_flow *out_flow,
                                         struct mr_error *err)
{
    note(writer, "commit_epoch", epoch);
    return answer(writer, "commit_epoch", out_flow, err);
}

static uint64_t notes_bytes(const void *writer)
{
    return ((const struct notes *)writer)->bytes;
}

static void notes_close(void *writer)
{
    note(writer, "close", 0);
}

static const struct mr_sink_ops notes_ops = {.size = sizeof notes_ops,
                                             .name = "notes",
                                             .open = notes_open,
                                             .write = notes_write,
                                             .flush = notes_flush,
                                             .finish = notes_finish,
                                             .commit = notes_commit,
                                             .abort = notes_abort,
                                             .transactional = notes_transactional,
                                             .prepare = notes_prepare,
                                             .commit_epoch = notes_commit_epoch,
                                             .bytes = notes_bytes,
                                             .close = notes_close};

/* ---- an operator and its surroundings ---- */

struct sink_test {
    struct mr_data_test data;
    struct notes notes;
    struct mr_node node;
    struct mr_plan_op plan;
    struct mr_counters counters;
    struct mr_task_context task;
    struct mr_ptime now;
    _Atomic int64_t first_us;
    uint64_t fence;
    struct mr_operator *op;
    struct mr_error err;
};

static void sink_open(struct sink_test *t, bool epochs, bool plain)
{
    struct mr_sink_options options = {.ops = &notes_ops,
                                      .spec = &t->notes,
                                      .now = &t->now,
                                      .first_result_us = &t->first_us,
                                      .epochs = epochs,
                                      .fence = &t->fence};

    memset(t, 0, sizeof *t);
    mr_data_test_open(&t->data);
    t->notes.plain = plain;
    t->notes.transaction = "txn";
    t->node.id = "out";
    t->plan = (struct mr_plan_op){.kind = MR_PLAN_SINK, .node = &t->node};
    t->plan.input = mr_data_schema("a int32");
    t->task = (struct mr_task_context){.heap = mr_test_heap(),
                                       .counters = &t->counters,
                                       .instance = 258, /* two bytes of the key */
                                       .instance_count = 300};
    atomic_init(&t->first_us, INT64_MAX);
    MR_EXPECT_OK(mr_sink_operator_create(&t->task, &t->plan, &options, &t->op, &t->err), &t->err);
    MR_EXPECT(mr_is_sink_operator(t->op));
    t->fence = 42; /* known later */
    if (epochs) MR_EXPECT_EQ_STR(look(&t->notes), "");
    if (epochs) MR_EXPECT_OK(t->op->ops->restored(t->op, &t->err), &t->err);
}

static const char *sink_close(struct sink_test *t)
{
    mr_operator_close(t->op);
    mr_schema_release(t->plan.input);
    mr_data_test_close(&t->data);
    return look(&t->notes);
}

static void put_rows(struct sink_test *t, const char *rows)
{
    struct mr_item item = {.tag = MR_ITEM_BATCH};

    item.batch = mr_data_batch(&t->data.quota, t->plan.input, rows);
    MR_EXPECT_OK(t->op->ops->put(t->op, &item, &t->err), &t->err);
}

static void put_control(struct sink_test *t, enum mr_item_tag tag, uint64_t epoch)
{
    struct mr_item item = {.tag = tag, .epoch = epoch, .time_us = 5};

    MR_EXPECT_OK(t->op->ops->put(t->op, &item, &t->err), &t->err);
}

/* The tag that came out; 0: none. */
static uint32_t next(struct sink_test *t, enum mr_flow expected)
{
    struct mr_item item = {.tag = (enum mr_item_tag)0};
    enum mr_flow flow = MR_FLOW_DONE;

    MR_EXPECT_OK(t->op->ops->next(t->op, &item, &flow, &t->err), &t->err);
    MR_EXPECT_EQ_INT(flow, expected);
    return (uint32_t)item.tag;
}

struct sealed {
    uint32_t count;
    char value[64];
    size_t size;
};

static enum mr_status take_sealed(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    struct sealed *sealed = self;

    (void)err;
    MR_EXPECT_EQ_INT(entry->kind, MR_ENTRY_PUT);
    MR_EXPECT_EQ_UINT(entry->key.size_bytes, 4);
    MR_EXPECT_EQ_BYTES(entry->key.data, "\2\1\0\0", 4); /* the instance */
    sealed->count++;
    sealed->size = entry->value.size_bytes;
    MR_EXPECT(sealed->size <= sizeof sealed->value);
    if (sealed->size > 0) memcpy(sealed->value, entry->value.data, sealed->size);
    return MR_OK;
}

static void expect_seal(struct sink_test *t, uint64_t epoch, const char *expected)
{
    struct sealed sealed = {.count = 0};

    t->task.epoch = epoch;
    MR_EXPECT_OK(t->op->ops->seal(t->op, false, take_sealed, &sealed, &t->err), &t->err);
    MR_EXPECT_EQ_UINT(sealed.count, expected == NULL ? 0 : 1);
    if (expected != NULL) MR_EXPECT_EQ_TEXT(sealed.value, sealed.size, expected);
}

static bool commit_epoch(struct sink_test *t, uint64_t epoch)
{
    bool blocked = false;

    MR_EXPECT_OK(mr_sink_operator_commit_epoch(t->op, epoch, &blocked, &t->err), &t->err);
    return !blocked;
}

/* ---- with epochs ---- */

MR_TEST(sink_operator, with_epochs_the_writer_is_opened_when_the_fence_is_known)
{
    struct sink_test t;

    sink_open(&t, true, false);
    MR_EXPECT_EQ_STR(look(&t.notes), "open 258\nfence 42\n");
    MR_EXPECT_OK(t.op->ops->restored(t.op, &t.err), &t.err);
    MR_EXPECT_EQ_STR(look(&t.notes), "");
    MR_EXPECT_EQ_STR(sink_close(&t), "close 0\n");
}

MR_TEST(sink_operator, a_barrier_goes_on_when_all_before_it_is_safe)
{
    struct sink_test t;

    sink_open(&t, true, false);
    (void)look(&t.notes);
    put_rows(&t, "1\n2\n");
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_NEED_INPUT), 0);
    put_control(&t, MR_ITEM_BARRIER, 7);
    t.notes.blocks = 3;
    for (uint32_t i = 0; i < 3; i++) MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_BLOCKED), 0);
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_HAVE_OUTPUT), MR_ITEM_BARRIER);
    MR_EXPECT_EQ_STR(look(&t.notes), "write 2\nprepare 7\nprepare 7\nprepare 7\nprepare 7\n");
    expect_seal(&t, 7, "txn");
    MR_EXPECT_EQ_STR(look(&t.notes), ""); /* it was prepared on the way */
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_NEED_INPUT), 0);
    MR_EXPECT_EQ_STR(sink_close(&t), "close 0\n");
}

MR_TEST(sink_operator, each_epoch_seals_its_own_transaction_and_an_empty_one_too)
{
    static const char *const transactions[] = {"first", "", "a longer third one"};
    struct sink_test t;

    sink_open(&t, true, false);
    for (uint64_t epoch = 1; epoch <= 3; epoch++) {
        t.notes.transaction = transactions[epoch - 1];
        put_control(&t, MR_ITEM_BARRIER, epoch);
        MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_HAVE_OUTPUT), MR_ITEM_BARRIER);
        expect_seal(&t, epoch, transactions[epoch - 1]);
    }
    (void)sink_close(&t);
}

MR_TEST(sink_operator, an_epoch_is_committed_when_asked_and_repeated_while_blocked)
{
    struct sink_test t;

    sink_open(&t, true, false);
    put_control(&t, MR_ITEM_BARRIER, 1);
    (void)next(&t, MR_FLOW_HAVE_OUTPUT);
    expect_seal(&t, 1, "txn");
    put_rows(&t, "1\n");
    (void)next(&t, MR_FLOW_NEED_INPUT); /* of epoch 2: comes before the commit */
    (void)look(&t.notes);
    t.notes.blocks = 1;
    MR_EXPECT(!commit_epoch(&t, 1));
    MR_EXPECT(commit_epoch(&t, 1));
    MR_EXPECT_EQ_STR(look(&t.notes), "commit_epoch 1\ncommit_epoch 1\n");
    (void)sink_close(&t);
}

MR_TEST(sink_operator, at_the_end_it_finishes_and_later_epochs_are_prepared_by_their_seal)
{
    struct sink_test t;

    sink_open(&t, true, false);
    (void)look(&t.notes);
    put_rows(&t, "1\n");
    (void)next(&t, MR_FLOW_NEED_INPUT);
    put_control(&t, MR_ITEM_END, 0);
    t.notes.blocks = 1;
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_BLOCKED), 0);
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_HAVE_OUTPUT), MR_ITEM_END);
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_DONE), 0);
    MR_EXPECT_EQ_STR(look(&t.notes), "write 1\nfinish 0\nfinish 0\n");
    t.notes.transaction = "last";
    expect_seal(&t, 4, "last");
    expect_seal(&t, 5, "last"); /* 4 was not completed */
    MR_EXPECT_EQ_STR(look(&t.notes), "prepare 4\nprepare 5\n");
    MR_EXPECT(commit_epoch(&t, 5));
    MR_EXPECT_OK(mr_sink_operator_commit(t.op, &t.err), &t.err);
    MR_EXPECT_EQ_STR(look(&t.notes), "commit_epoch 5\ncommit 0\n");
    MR_EXPECT_EQ_STR(sink_close(&t), "close 0\n");
}

/* What was prepared belongs to the snapshot: the next attempt decides. */
MR_TEST(sink_operator, an_attempt_that_ends_early_aborts_nothing)
{
    struct sink_test t;

    sink_open(&t, true, false);
    put_control(&t, MR_ITEM_BARRIER, 1);
    (void)next(&t, MR_FLOW_HAVE_OUTPUT);
    put_rows(&t, "1\n");
    (void)look(&t.notes);
    MR_EXPECT_EQ_STR(sink_close(&t), "close 0\n"); /* and the batch is given back */
}

/* ---- sinks that take no part ---- */

MR_TEST(sink_operator, a_sink_without_two_phases_is_flushed_at_barriers_and_has_no_state)
{
    struct sink_test t;

    sink_open(&t, true, true);
    MR_EXPECT_EQ_STR(look(&t.notes), "open 258\nfence 0\n");
    put_control(&t, MR_ITEM_BARRIER, 1);
    t.notes.blocks = 1;
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_BLOCKED), 0);
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_HAVE_OUTPUT), MR_ITEM_BARRIER);
    expect_seal(&t, 1, NULL);
    MR_EXPECT(commit_epoch(&t, 1));
    MR_EXPECT_EQ_STR(look(&t.notes), "flush 0\nflush 0\n");
    put_control(&t, MR_ITEM_END, 0);
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_HAVE_OUTPUT), MR_ITEM_END);
    expect_seal(&t, 2, NULL);
    MR_EXPECT_EQ_STR(look(&t.notes), "finish 0\n");
    MR_EXPECT_EQ_STR(sink_close(&t), "abort 0\nclose 0\n");
}

MR_TEST(sink_operator, a_sink_takes_part_if_it_can_and_says_so)
{
    struct mr_sink_ops ops = notes_ops;
    struct notes notes = {.plain = false};

    MR_EXPECT(mr_sink_has_epochs(&ops, &notes));
    notes.plain = true;
    MR_EXPECT(!mr_sink_has_epochs(&ops, &notes));
    ops.transactional = NULL;
    MR_EXPECT(mr_sink_has_epochs(&ops, &notes));
    ops.prepare = NULL;
    MR_EXPECT(!mr_sink_has_epochs(&ops, &notes));
}

MR_TEST(sink_operator, without_epochs_output_is_committed_at_the_end_or_aborted)
{
    struct sink_test t;

    sink_open(&t, false, false);
    MR_EXPECT_EQ_STR(look(&t.notes), "open 258\nfence 0\n");
    put_rows(&t, "1\n");
    (void)next(&t, MR_FLOW_NEED_INPUT);
    MR_EXPECT_EQ_STR(sink_close(&t), "write 1\nabort 0\nclose 0\n");
    sink_open(&t, false, false);
    put_control(&t, MR_ITEM_END, 0);
    (void)next(&t, MR_FLOW_HAVE_OUTPUT);
    MR_EXPECT_OK(mr_sink_operator_commit(t.op, &t.err), &t.err);
    (void)look(&t.notes);
    MR_EXPECT_EQ_STR(sink_close(&t), "close 0\n");
}

/* ---- rows ---- */

MR_TEST(sink_operator, a_batch_is_offered_until_it_is_taken_and_counted_once)
{
    struct sink_test t;

    sink_open(&t, true, false);
    (void)look(&t.notes);
    t.now.us = 77;
    put_rows(&t, "1\n2\n3\n");
    t.notes.blocks = 2;
    (void)next(&t, MR_FLOW_BLOCKED);
    (void)next(&t, MR_FLOW_BLOCKED);
    MR_EXPECT_EQ_INT(atomic_load(&t.first_us), INT64_MAX);
    MR_EXPECT_EQ_UINT(next(&t, MR_FLOW_NEED_INPUT), 0);
    MR_EXPECT_EQ_STR(look(&t.notes), "write 3\nwrite 3\nwrite 3\n");
    MR_EXPECT_EQ_INT(atomic_load(&t.first_us), 77);
    MR_EXPECT_EQ_UINT(atomic_load(&t.counters.value[MR_COUNTER_ROWS_OUT]), 3);
    MR_EXPECT_EQ_UINT(atomic_load(&t.counters.value[MR_COUNTER_BYTES_OUT]), 10);
    t.now.us = 99;
    put_rows(&t, "4\n");
    (void)next(&t, MR_FLOW_NEED_INPUT);
    MR_EXPECT_EQ_INT(atomic_load(&t.first_us), 77); /* the first one stays */
    (void)sink_close(&t);
}

/* ---- failures ---- */

static void expect_failure(const char *call)
{
    struct sink_test t;
    struct mr_item item;
    enum mr_flow flow;
    struct sealed sealed = {.count = 0};
    enum mr_status st = MR_OK;
    bool blocked;

    sink_open(&t, true, false);
    t.notes.fails = call;
    if (strcmp(call, "write") == 0) put_rows(&t, "1\n");
    if (strcmp(call, "prepare") == 0) put_control(&t, MR_ITEM_BARRIER, 1);
    if (strcmp(call, "flush") == 0) put_control(&t, MR_ITEM_WATERMARK, 0);
    if (strcmp(call, "finish") == 0) put_control(&t, MR_ITEM_END, 0);
    st = t.op->ops->next(t.op, &item, &flow, &t.err);
    if (strcmp(call, "commit_epoch") == 0) {
        st = mr_sink_operator_commit_epoch(t.op, 1, &blocked, &t.err);
    } else if (strcmp(call, "commit") == 0) {
        put_control(&t, MR_ITEM_END, 0);
        (void)next(&t, MR_FLOW_HAVE_OUTPUT);
        st = mr_sink_operator_commit(t.op, &t.err);
    } else if (strcmp(call, "prepare at the end") == 0) {
        put_control(&t, MR_ITEM_END, 0);
        (void)next(&t, MR_FLOW_HAVE_OUTPUT);
        t.notes.fails = "prepare";
        t.task.epoch = 3;
        st = t.op->ops->seal(t.op, false, take_sealed, &sealed, &t.err);
        MR_EXPECT_EQ_UINT(sealed.count, 0);
    }
    MR_EXPECT_EQ_INT(st, MR_E_CLOSED);
    MR_EXPECT_CONTAINS(t.err.text, "went wrong");
    (void)sink_close(&t);
}

MR_TEST(sink_operator, what_the_sink_reports_is_reported)
{
    static const char *const calls[] = {
        "write", "prepare", "flush", "finish", "commit", "commit_epoch", "prepare at the end"};

    for (uint32_t i = 0; i < MR_COUNT(calls); i++) expect_failure(calls[i]);
}

MR_TEST(sink_operator, committing_output_that_was_not_finished_is_a_bug)
{
    struct sink_test t;

    sink_open(&t, false, false);
    MR_EXPECT_PANIC((void)!mr_sink_operator_commit(t.op, &t.err));
    (void)sink_close(&t);
}
