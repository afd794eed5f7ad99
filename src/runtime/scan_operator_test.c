#include "runtime/scan_operator.h"

#include "base/status.h"
#include "runtime/runtime_test_helper.h"
#include "runtime/split_states.h"

#define SPLITS_MAX 6u

/* ---- a source that counts: row n of split s is "s|n" ---- */

struct well {
    struct data_of_well {
        uint32_t rows[SPLITS_MAX];
        bool dry[SPLITS_MAX]; /* BLOCKED for now */
    } data;
    struct mr_data_test *memory;
    struct mr_schema *schema;
    uint32_t open_count;
    uint32_t limit_seen; /* the largest row limit */
    bool no_open;
    struct mr_epoch_signals *inject_at_end; /* epoch 1 is asked for while a split ends */
};

struct bucket {
    struct well *well;
    uint32_t split;
    uint32_t at;
};

static enum mr_status well_open(void *spec, const struct mr_split *split,
                                const struct mr_reader_context *context, void **out,
                                struct mr_error *err)
{
    struct well *well = spec;
    struct bucket *bucket;

    if (well->no_open) return mr_error_set(err, MR_E_CHANGED, "%s is another file", split->name);
    bucket = calloc(1, sizeof *bucket);
    *bucket = (struct bucket){.well = well, .split = split->ordinal};
    if (context->resume.data != NULL) {
        MR_EXPECT_EQ_UINT(context->resume.size_bytes, sizeof bucket->at);
        memcpy(&bucket->at, context->resume.data, sizeof bucket->at);
    }
    well->open_count++;
    *out = bucket;
    return MR_OK;
}

static enum mr_status well_read(void *self, struct mr_quota *quota, uint32_t row_limit,
                                enum mr_source_flow *out_flow, struct mr_batch **out,
                                struct mr_error *err)
{
    struct bucket *bucket = self;
    struct well *well = bucket->well;
    uint32_t left = well->data.rows[bucket->split] - bucket->at;
    char text[4096] = "";
    size_t size = 0;

    (void)err;
    *out = NULL;
    well->limit_seen = MR_MAX(well->limit_seen, row_limit);
    *out_flow = left == 0 ? MR_SOURCE_DONE : MR_SOURCE_MORE;
    if (left == 0 && well->inject_at_end != NULL) atomic_store(&well->inject_at_end->inject, 1);
    if (well->data.dry[bucket->split]) *out_flow = MR_SOURCE_BLOCKED;
    if (*out_flow != MR_SOURCE_MORE) return MR_OK;
    for (uint32_t i = 0; i < MR_MIN(left, row_limit); i++) {
        size += (size_t)snprintf(text + size, sizeof text - size, "%u|%u\n", bucket->split,
                                 bucket->at++);
    }
    *out = mr_data_batch(quota, well->schema, text);
    return MR_OK;
}

static enum mr_status well_position(void *self, struct mr_buffer *out, struct mr_error *err)
{
    const struct bucket *bucket = self;

    if (mr_buffer_put(out, &bucket->at, sizeof bucket->at)) return MR_OK;
    return mr_error_nomem(err, "a position", sizeof bucket->at);
}

static void well_close(void *self)
{
    ((struct bucket *)self)->well->open_count--;
    free(self);
}

static const struct mr_source_ops well_ops = {.size = sizeof well_ops,
                                              .name = "well",
                                              .open = well_open,
                                              .read = well_read,
                                              .position = well_position,
                                              .close = well_close};

/* ---- a scan and its surroundings ---- */

struct scan_test {
    struct mr_data_test data;
    struct well well;
    struct mr_split splits[SPLITS_MAX];
    struct mr_input input;
    struct mr_policy policy;
    struct mr_split_queue queue;
    struct mr_port port;
    struct mr_counters counters;
    struct mr_node node;
    struct mr_plan_op plan;
    struct mr_task_context task;
    struct mr_epoch_signals *signals;
    char signals_memory[sizeof(struct mr_epoch_signals) + 64];
    struct mr_ptime now;
    _Atomic bool stopping;
    bool poison;
    uint32_t lane_count;
    struct mr_operator *op;
    struct mr_error err;
    struct mr_data_printer out;
};

static void scan_open(struct scan_test *t, uint32_t splits, bool bounded, uint32_t instance,
                      uint32_t instances)
{
    memset(t, 0, sizeof *t);
    mr_data_test_open(&t->data);
    t->well.memory = &t->data;
    t->well.schema = mr_data_schema("split int32, n int32");
    for (uint32_t i = 0; i < splits; i++) {
        t->splits[i] = (struct mr_split){.ordinal = i, .name = "part", .lower_bound_us = 10 * i};
        t->well.data.rows[i] = 3;
    }
    t->input = (struct mr_input){.node = &t->node, .ops = &well_ops, .spec = &t->well};
    t->input.splits =
        (struct mr_split_list){.splits = t->splits, .count = splits, .bounded = bounded};
    t->port.choose = choose_preferred;
    t->node.id = "in";
    t->plan = (struct mr_plan_op){.kind = MR_PLAN_SCAN, .node = &t->node, .output_count = 1};
    t->task = (struct mr_task_context){.heap = mr_test_heap(),
                                       .quota = &t->data.quota,
                                       .pool = t->data.pool,
                                       .port = &t->port,
                                       .counters = &t->counters,
                                       .instance = instance,
                                       .instance_count = instances,
                                       .key_group_count = 16,
                                       .streaming = false,
                                       .batch_rows = 2};
    t->signals =
        (struct mr_epoch_signals *)(void *)(t->signals_memory +
                                            ((64 - ((uintptr_t)t->signals_memory & 63)) & 63));
    MR_EXPECT_OK(mr_split_queue_init(&t->queue, mr_test_heap(), &t->input.splits, &t->err),
                 &t->err);
    mr_data_put(&t->out, "", 0);
}

static void scan_make(struct scan_test *t)
{
    struct mr_scan_options options = {.input = &t->input,
                                      .policy = &t->policy,
                                      .queue = &t->queue,
                                      .now = &t->now,
                                      .stopping = &t->stopping,
                                      .signals = t->signals,
                                      .poison = &t->poison,
                                      .lane_count = &t->lane_count};

    MR_EXPECT_OK(mr_scan_create(&t->task, &t->plan, &options, &t->op, &t->err), &t->err);
}

/* As the coordinator leaves it: `epoch` was restored, the next batch may be read. */
static void scan_start(struct scan_test *t, uint64_t epoch, uint32_t lanes, uint64_t batch_rows)
{
    atomic_store(&t->signals->inject, epoch);
    atomic_store(&t->signals->complete, epoch);
    atomic_store(&t->signals->commit, epoch);
    atomic_store(&t->signals->batch_rows, batch_rows);
    atomic_store(&t->signals->gate, lanes == 0 ? 0 : epoch + 1);
    t->lane_count = lanes;
    MR_EXPECT_OK(t->op->ops->restored(t->op, &t->err), &t->err);
}

static void scan_close(struct scan_test *t)
{
    mr_operator_close(t->op);
    MR_EXPECT_EQ_UINT(t->well.open_count, 0);
    mr_split_queue_fini(&t->queue);
    mr_schema_release(t->well.schema);
    free(t->out.data);
    mr_data_test_close(&t->data);
}

static void note_item(struct scan_test *t, const struct mr_item *item)
{
    char line[64] = "";

    switch ((uint32_t)item->tag) {
    case MR_ITEM_BATCH:
        mr_data_put(&t->out, mr_data_print(item->batch), strlen(mr_data_print(item->batch)));
        mr_batch_release(item->batch);
        return;
    case MR_ITEM_BARRIER:
        (void)snprintf(line, sizeof line, "barrier %llu\n", (unsigned long long)item->epoch);
        break;
    case MR_ITEM_SPLIT_OPEN: (void)snprintf(line, sizeof line, "open %u\n", item->split); break;
    case MR_ITEM_SPLIT_CLOSE: (void)snprintf(line, sizeof line, "close %u\n", item->split); break;
    case MR_ITEM_END: (void)snprintf(line, sizeof line, "end\n"); break;
    default: return; /* ticks and what is pending */
    }
    mr_data_put(&t->out, line, strlen(line));
}

/* Takes items until nothing comes, END came, or `limit` were taken; as text since the last call. */
static const char *scan_take(struct scan_test *t, uint32_t limit)
{
    uint32_t blocked = 0;

    t->out.size = 0;
    mr_data_put(&t->out, "", 0);
    for (uint32_t i = 0; i < limit && blocked < 3; i++) {
        struct mr_item item = {.tag = (enum mr_item_tag)0};
        enum mr_flow flow = MR_FLOW_NEED_INPUT;

        MR_EXPECT_OK(t->op->ops->next(t->op, &item, &flow, &t->err), &t->err);
        blocked = flow == MR_FLOW_BLOCKED ? blocked + 1 : 0;
        if (flow == MR_FLOW_DONE) break;
        if (flow == MR_FLOW_HAVE_OUTPUT) note_item(t, &item);
    }
    return t->out.data;
}

/* Takes items up to the first one that holds `text`. */
static void scan_until(struct scan_test *t, const char *text)
{
    for (uint32_t i = 0; i < 1000; i++) {
        if (strstr(scan_take(t, 1), text) != NULL) return;
    }
    MR_FAIL("'%s' did not come", text);
}

static void scan_inject(struct scan_test *t, uint64_t epoch)
{
    atomic_store(&t->signals->inject, epoch);
}

static void scan_let_in(struct scan_test *t, uint64_t gate, uint64_t batch_rows)
{
    atomic_store(&t->signals->batch_rows, batch_rows);
    atomic_store(&t->signals->gate, gate);
}

/* What a seal says of each split: "-" nothing, "d" done, a number: the next row. */
struct sealed {
    char of[SPLITS_MAX];
};

static enum mr_status take_sealed(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    struct sealed *sealed = self;
    uint32_t split = (uint8_t)entry->key.data[0];

    (void)err;
    MR_EXPECT_EQ_STR(entry->state_name, "splits");
    MR_EXPECT(split < SPLITS_MAX);
    sealed->of[split] = 'd';
    if (entry->value.data[0] == MR_SPLIT_AT) sealed->of[split] = (char)('0' + entry->value.data[1]);
    return MR_OK;
}

static void expect_seal(struct scan_test *t, bool full, const char *expected)
{
    struct sealed sealed;

    memset(&sealed, '-', sizeof sealed);
    MR_EXPECT_OK(t->op->ops->seal(t->op, full, take_sealed, &sealed, &t->err), &t->err);
    MR_EXPECT_EQ_TEXT(sealed.of, strlen(expected), expected);
}

static enum mr_status give(struct scan_test *t, uint32_t split, enum mr_split_kind kind,
                           uint32_t at)
{
    char key[4] = {(char)split}, value[5] = {(char)kind, (char)at};
    struct mr_entry entry = {.kind = MR_ENTRY_PUT,
                             .state_name = "splits",
                             .key = {key, 4},
                             .value = {value, kind == MR_SPLIT_AT ? 5 : 1}};

    return t->op->ops->restore(t->op, &entry, &t->err);
}

/* ---- reading and sealing ---- */

MR_TEST(scan_operator, without_epochs_splits_come_in_order_and_then_the_end)
{
    struct scan_test t;

    scan_open(&t, 2, true, 0, 1);
    t.signals = NULL;
    scan_make(&t);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "open 0\n0|0\n0|1\n0|2\nclose 0\n"
                                          "open 1\n1|0\n1|1\n1|2\nclose 1\nend\n");
    scan_close(&t);
}

MR_TEST(scan_operator, the_seal_says_the_first_row_not_handed_out)
{
    struct scan_test t;

    scan_open(&t, 3, true, 0, 1);
    scan_make(&t);
    scan_start(&t, 0, 0, 0);
    scan_until(&t, "0|1");
    scan_inject(&t, 1);
    MR_EXPECT_EQ_STR(scan_take(&t, 1), "barrier 1\n");
    expect_seal(&t, false, "2--");
    scan_until(&t, "open 1");
    scan_inject(&t, 2);
    scan_until(&t, "barrier 2");
    expect_seal(&t, false, "d0-");
    scan_until(&t, "1|1");
    expect_seal(&t, false, "-2-"); /* what is done was said */
    expect_seal(&t, true, "d2-");
    scan_close(&t);
}

MR_TEST(scan_operator, a_barrier_comes_once_and_also_between_splits)
{
    struct scan_test t;

    scan_open(&t, 1, true, 0, 1);
    scan_make(&t);
    scan_start(&t, 7, 0, 0);
    scan_inject(&t, 8);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "barrier 8\nopen 0\n0|0\n0|1\n0|2\nclose 0\nend\n");
    scan_close(&t);
}

/* A snapshot in which a split is read to its end but open for the operators behind would hold their
 * watermark for ever: nobody opens it again. The coordinator asks while the source says DONE. */
MR_TEST(scan_operator, the_end_of_a_split_is_told_before_the_barrier_whose_seal_knows_it)
{
    for (uint32_t lanes = 0; lanes < 2; lanes++) {
        struct scan_test t;

        scan_open(&t, 2, true, 0, 1);
        scan_make(&t);
        scan_start(&t, 0, lanes, 100);
        t.well.inject_at_end = t.signals;
        if (lanes == 0) {
            MR_EXPECT_EQ_STR(scan_take(&t, 1000), "open 0\n0|0\n0|1\n0|2\nclose 0\nbarrier 1\n"
                                                  "open 1\n1|0\n1|1\n1|2\nclose 1\nend\n");
        } else {
            MR_EXPECT_EQ_STR(scan_take(&t, 1000), "open 0\n0|0\n0|1\n0|2\nclose 0\n"
                                                  "open 1\n1|0\n1|1\n1|2\nclose 1\nend\n");
        }
        scan_close(&t);
    }
}

/* ---- after a restart ---- */

MR_TEST(scan_operator, after_a_restart_it_goes_on_where_the_seal_says)
{
    struct scan_test t;

    scan_open(&t, 4, true, 0, 1);
    scan_make(&t);
    MR_EXPECT_OK(give(&t, 0, MR_SPLIT_DONE, 0), &t.err);
    MR_EXPECT_OK(give(&t, 2, MR_SPLIT_AT, 1), &t.err);
    scan_start(&t, 5, 0, 0);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "open 2\n2|1\n2|2\nclose 2\n"
                                          "open 1\n1|0\n1|1\n1|2\nclose 1\n"
                                          "open 3\n3|0\n3|1\n3|2\nclose 3\nend\n");
    scan_close(&t);
}

MR_TEST(scan_operator, a_restored_split_belongs_to_one_instance)
{
    for (uint32_t instances = 1; instances <= 5; instances++) {
        uint32_t read = 0;

        for (uint32_t i = 0; i < instances; i++) {
            struct scan_test t;

            scan_open(&t, 6, true, i, instances);
            scan_make(&t);
            for (uint32_t s = 0; s < 6; s++) MR_EXPECT_OK(give(&t, s, MR_SPLIT_AT, 2), &t.err);
            scan_start(&t, 1, 0, 0);
            for (const char *at = scan_take(&t, 1000); (at = strstr(at, "|2\n")) != NULL; at++)
                read++;
            scan_close(&t);
        }
        MR_EXPECT_EQ_UINT(read, 6);
    }
}

MR_TEST(scan_operator, a_split_that_is_gone_on_with_and_not_opened_yet_is_in_a_full_seal)
{
    struct scan_test t;

    scan_open(&t, 3, true, 0, 1);
    scan_make(&t);
    MR_EXPECT_OK(give(&t, 1, MR_SPLIT_AT, 1), &t.err);
    MR_EXPECT_OK(give(&t, 2, MR_SPLIT_AT, 2), &t.err);
    scan_start(&t, 1, 0, 0);
    expect_seal(&t, true, "-12");
    scan_until(&t, "open 1");
    expect_seal(&t, true, "-12");
    scan_close(&t);
}

MR_TEST(scan_operator, an_input_that_changed_is_refused_and_nothing_leaks)
{
    struct scan_test t;
    struct mr_item item;
    enum mr_flow flow;
    enum mr_status st = MR_OK;

    scan_open(&t, 1, true, 0, 1);
    scan_make(&t);
    MR_EXPECT_OK(give(&t, 0, MR_SPLIT_AT, 2), &t.err);
    scan_start(&t, 1, 0, 0);
    t.well.no_open = true;
    for (uint32_t i = 0; i < 5 && st == MR_OK; i++)
        st = t.op->ops->next(t.op, &item, &flow, &t.err);
    MR_EXPECT_EQ_INT(st, MR_E_CHANGED);
    MR_EXPECT_CONTAINS(t.err.text, "part");
    scan_close(&t);
}

/* ---- draining ---- */

MR_TEST(scan_operator, when_stopping_splits_are_left_and_the_seal_says_how_far)
{
    struct scan_test t;

    scan_open(&t, 2, true, 0, 1);
    scan_make(&t);
    scan_start(&t, 0, 0, 0);
    scan_until(&t, "0|1");
    atomic_store(&t.stopping, true);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "end\n");
    MR_EXPECT_EQ_UINT(t.well.open_count, 0);
    expect_seal(&t, false, "2-"); /* split 1 was not begun: nobody says anything of it */
    scan_close(&t);
}

/* ---- micro-batches ---- */

MR_TEST(scan_operator, a_batch_is_n_rows_of_each_lane_and_the_next_waits_for_the_gate)
{
    struct scan_test t;

    scan_open(&t, 4, true, 0, 1);
    scan_make(&t);
    scan_start(&t, 0, 2, 4); /* lane 0: splits 0 and 2; lane 1: 1 and 3 */
    (void)scan_take(&t, 1000);
    scan_inject(&t, 1);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "barrier 1\n");
    expect_seal(&t, true, "dd11");
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), ""); /* not visible yet: nothing is read */
    scan_let_in(&t, 2, 1);
    MR_EXPECT(strstr(scan_take(&t, 1000), "end") == NULL);
    scan_inject(&t, 2);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "barrier 2\n");
    expect_seal(&t, true, "dd22");
    MR_EXPECT(t.well.limit_seen <= 4);
    scan_close(&t);
}

MR_TEST(scan_operator, a_barrier_that_is_asked_for_early_waits_for_the_rows_of_the_batch)
{
    struct scan_test t;

    scan_open(&t, 1, true, 0, 1);
    scan_make(&t);
    scan_start(&t, 0, 1, 2);
    scan_inject(&t, 1); /* before the first turn */
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "open 0\n0|0\n0|1\nbarrier 1\n");
    scan_close(&t);
}

/* T2: the same batch, also when only a split begun by an earlier attempt is left of a lane. */
MR_TEST(scan_operator, after_a_restart_a_barrier_does_not_overtake_the_rows_of_its_batch)
{
    struct scan_test t;

    scan_open(&t, 1, true, 0, 1);
    scan_make(&t);
    MR_EXPECT_OK(give(&t, 0, MR_SPLIT_AT, 1), &t.err);
    scan_start(&t, 3, 1, 1);
    scan_inject(&t, 4);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "open 0\n0|1\nbarrier 4\n");
    scan_close(&t);
}

/* The end of the input releases output (the last windows): it belongs to the batch that met it,
 * however late or early the barrier is asked for. */
MR_TEST(scan_operator, the_end_is_in_the_batch_that_met_it)
{
    struct scan_test t;

    for (uint32_t early = 0; early < 2; early++) {
        scan_open(&t, 1, true, 0, 1);
        scan_make(&t);
        scan_start(&t, 0, 1, 100);
        if (early) scan_inject(&t, 1);
        MR_EXPECT_EQ_STR(scan_take(&t, 1000), "open 0\n0|0\n0|1\n0|2\nclose 0\nend\n");
        scan_close(&t);
        scan_open(&t, 1, true, 1, 2); /* an instance that has no lane */
        scan_make(&t);
        scan_start(&t, 0, 1, 100);
        if (early) scan_inject(&t, 1);
        MR_EXPECT_EQ_STR(scan_take(&t, 1000), "end\n");
        scan_close(&t);
    }
}

MR_TEST(scan_operator, exactly_n_rows_are_a_batch_and_the_end_is_met_by_the_next)
{
    struct scan_test t;

    scan_open(&t, 1, true, 0, 1);
    scan_make(&t);
    scan_start(&t, 0, 1, 3);
    scan_inject(&t, 1);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "open 0\n0|0\n0|1\n0|2\nbarrier 1\n");
    scan_let_in(&t, 2, 3);
    scan_inject(&t, 2);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "close 0\nend\n");
    scan_close(&t);
}

MR_TEST(scan_operator, a_partition_that_is_dry_does_not_hold_the_barrier)
{
    struct scan_test t;

    scan_open(&t, 2, false, 0, 1);
    t.well.data.dry[1] = true;
    scan_make(&t);
    scan_start(&t, 0, 1, 2);
    MR_EXPECT(strstr(scan_take(&t, 1000), "barrier") == NULL);
    scan_inject(&t, 1);
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "barrier 1\n");
    expect_seal(&t, true, "20");
    t.well.data.dry[1] = false;
    scan_let_in(&t, 2, 2);
    MR_EXPECT_CONTAINS(scan_take(&t, 1000), "1|0\n1|1\n");
    scan_close(&t);
}

/* The epoch of a batch that could not be written is followed by one without rows. */
MR_TEST(scan_operator, an_epoch_whose_batch_was_not_let_in_is_empty)
{
    struct scan_test t;

    scan_open(&t, 1, true, 0, 1);
    scan_make(&t);
    scan_start(&t, 0, 1, 2);
    scan_inject(&t, 1);
    (void)scan_take(&t, 1000);
    scan_inject(&t, 2); /* epoch 1 was aborted: the gate has not moved */
    MR_EXPECT_EQ_STR(scan_take(&t, 1000), "barrier 2\n");
    expect_seal(&t, true, "2");
    scan_close(&t);
}

/* ---- what is not ours, and memory ---- */

MR_TEST(scan_operator, an_entry_that_was_not_written_by_a_scan_is_refused)
{
    struct scan_test t;
    struct mr_entry entry = {
        .kind = MR_ENTRY_PUT, .state_name = "agg", .key = {"k", 1}, .value = {"v", 1}};

    scan_open(&t, 1, true, 0, 1);
    scan_make(&t);
    MR_EXPECT_STATUS(t.op->ops->restore(t.op, &entry, &t.err), MR_E_CORRUPT);
    MR_EXPECT_STATUS(give(&t, 1, MR_SPLIT_AT, 0), MR_E_CORRUPT); /* there is no split 1 */
    scan_close(&t);
}

static enum mr_status make_under_torture(struct scan_test *t, struct mr_heap *heap)
{
    struct mr_scan_options options = {.input = &t->input,
                                      .policy = &t->policy,
                                      .queue = &t->queue,
                                      .now = &t->now,
                                      .stopping = &t->stopping,
                                      .signals = t->signals,
                                      .poison = &t->poison,
                                      .lane_count = &t->lane_count};

    t->task.heap = heap;
    return mr_scan_create(&t->task, &t->plan, &options, &t->op, &t->err);
}

MR_TEST(scan_operator, each_allocation_of_restore_and_seal_may_fail)
{
    struct scan_test t;
    struct mr_heap inside;
    bool refused = true;

    mr_heap_init_child(&inside, "inside", SIZE_MAX, mr_test_heap());
    for (uint64_t n = 1; refused; n++) {
        enum mr_status st;
        struct sealed sealed;

        scan_open(&t, 6, true, 0, 1);
        inside.failed_count = 0;
        inside.fail_at = inside.alloc_count + n;
        t.op = NULL;
        st = make_under_torture(&t, &inside);
        for (uint32_t s = 0; s < 4 && st == MR_OK; s++) st = give(&t, s, s % 2 == 0, 1);
        if (st == MR_OK) {
            t.lane_count = 2;
            atomic_store(&t.signals->gate, 1);
            atomic_store(&t.signals->batch_rows, 9);
            st = t.op->ops->restored(t.op, &t.err);
        }
        for (uint32_t i = 0; i < 12 && st == MR_OK; i++) {
            struct mr_item item = {.tag = (enum mr_item_tag)0};
            enum mr_flow flow;

            st = t.op->ops->next(t.op, &item, &flow, &t.err);
            if (st == MR_OK && item.tag == MR_ITEM_BATCH) mr_batch_release(item.batch);
        }
        if (st == MR_OK) st = t.op->ops->seal(t.op, true, take_sealed, &sealed, &t.err);
        refused = inside.failed_count > 0;
        inside.fail_at = 0;
        MR_EXPECT_EQ_INT(st, refused ? MR_E_NOMEM : MR_OK);
        scan_close(&t);
        MR_EXPECT_EQ_UINT(inside.used_bytes, 0);
    }
    mr_heap_fini(&inside);
}
