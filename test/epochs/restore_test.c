#include "runtime/restore.h"

#include "base/status.h"
#include "epochs_test_helper.h"

#define INSTANCES_MAX 5u
#define SEEN_MAX      64u
#define GROUPS        1024u
#define STATEFUL      "aggregate-1"

/* An operator's instances that note what they are given, in place of the pipeline's own. */
static struct spy {
    struct mr_operator_ops ops;
    struct {
        uint32_t instance;
        enum mr_entry_kind kind;
        uint32_t group;
        char value[16];
    } seen[SEEN_MAX];
    uint32_t count;
    uint32_t restored[INSTANCES_MAX];
    bool fails;
} spy;

static enum mr_status spy_restore(struct mr_operator *op, const struct mr_entry *entry,
                                  struct mr_error *err)
{
    if (spy.fails) return mr_error_set(err, MR_E_CORRUPT, "asked to fail");
    MR_EXPECT(spy.count < SEEN_MAX && entry->value.size_bytes < 16);
    spy.seen[spy.count].instance = op->task->instance;
    spy.seen[spy.count].kind = entry->kind;
    spy.seen[spy.count].group = entry->key_group;
    memset(spy.seen[spy.count].value, 0, 16);
    if (entry->value.size_bytes > 0) {
        memcpy(spy.seen[spy.count].value, entry->value.data, entry->value.size_bytes);
    }
    spy.count++;
    return MR_OK;
}

static enum mr_status spy_restored(struct mr_operator *op, struct mr_error *err)
{
    (void)err;
    spy.restored[op->task->instance]++;
    return MR_OK;
}

static void set_spies(struct mr_runner *runner)
{
    spy = (struct spy){.count = 0};
    for (uint32_t t = 0; t < runner->task_count; t++) {
        struct mr_task *task = &runner->tasks[t];

        for (uint32_t i = 0; i < task->op_count; i++) {
            struct mr_operator *op = task->ops[i];

            if (strcmp(op->plan->node->id, STATEFUL) != 0 || op->ops->restore == NULL) continue;
            if (spy.ops.size == 0) {
                spy.ops = *op->ops;
                spy.ops.restore = spy_restore;
                spy.ops.restored = spy_restored;
            }
            op->ops = &spy.ops;
        }
    }
    MR_EXPECT(spy.ops.size > 0);
}

struct restore_test {
    struct rig *rig;
    struct rig_parts parts;
    struct mr_restore *restore;
    struct mr_error err;
};

static void start(struct restore_test *t, uint32_t workers, bool allow_dropped)
{
    struct mr_restore_options options = {.allow_dropped_state = allow_dropped};

    *t = (struct restore_test){.rig = rig_new(1)};
    t->rig->workers = workers;
    MR_EXPECT_OK(rig_make(t->rig, &t->parts, &t->err), &t->err);
    set_spies(t->rig->runner);
    MR_EXPECT_OK(mr_restore_begin(t->rig->runner, &options, &t->restore, &t->err), &t->err);
}

static void stop(struct restore_test *t)
{
    mr_restore_end(t->restore);
    rig_unmake(t->rig, &t->parts);
    rig_free(t->rig);
}

static enum mr_status give(struct restore_test *t, const char *id, enum mr_entry_kind kind,
                           uint32_t group, const char *key, const char *value)
{
    struct mr_entry entry = {.kind = kind,
                             .state_name = "s",
                             .key_group = group,
                             .key = {key, strlen(key)},
                             .value = {value, strlen(value)}};

    return mr_restore_entry(t->restore, id, &entry, &t->err);
}

/* ---- who gets what ---- */

MR_TEST(restore, an_entry_of_a_key_goes_to_the_instance_that_has_its_key_group)
{
    static const uint32_t groups[] = {0,   1,   203, 204, 205, 255, 256, 341, 342, 511,
                                      512, 513, 614, 682, 683, 767, 768, 819, 820, 1023};
    static const enum mr_entry_kind kinds[] = {MR_ENTRY_PUT, MR_ENTRY_REMOVE, MR_ENTRY_TIMER_SET,
                                               MR_ENTRY_TIMER_CLEAR};

    for (uint32_t instances = 1; instances <= INSTANCES_MAX; instances++) {
        struct restore_test t;

        start(&t, instances, false);
        for (uint32_t i = 0; i < MR_COUNT(groups); i++) {
            enum mr_entry_kind kind = kinds[i % MR_COUNT(kinds)];

            MR_EXPECT_OK(give(&t, STATEFUL, kind, groups[i], "k", "v"), &t.err);
            MR_EXPECT_EQ_UINT(spy.count, i + 1); /* one instance only */
            MR_EXPECT_EQ_UINT(spy.seen[i].instance, groups[i] * instances / GROUPS);
            MR_EXPECT_EQ_INT(spy.seen[i].kind, kind);
            MR_EXPECT_EQ_UINT(spy.seen[i].group, groups[i]);
        }
        stop(&t);
    }
}

/* The instance that gets the entry thinks so too. */
MR_TEST(restore, the_instance_has_the_group_among_its_own)
{
    for (uint32_t instances = 1; instances <= INSTANCES_MAX; instances++) {
        struct restore_test t;

        start(&t, instances, false);
        for (uint32_t group = 0; group < GROUPS; group += 31) {
            spy.count = 0;
            MR_EXPECT_OK(give(&t, STATEFUL, MR_ENTRY_PUT, group, "k", "v"), &t.err);
            MR_EXPECT_EQ_UINT(spy.count, 1);
            for (uint32_t i = 0; i < t.rig->runner->task_count; i++) {
                const struct mr_task *task = &t.rig->runner->tasks[i];

                if (task->ops[0]->ops != &spy.ops) continue;
                bool has = group >= task->context.group_first && group < task->context.group_end;
                MR_EXPECT_EQ_INT(has, task->context.instance == spy.seen[0].instance);
            }
        }
        stop(&t);
    }
}

MR_TEST(restore, values_and_dropped_namespaces_go_to_all_instances)
{
    static const enum mr_entry_kind kinds[] = {MR_ENTRY_VALUE, MR_ENTRY_DROP};

    for (uint32_t instances = 1; instances <= INSTANCES_MAX; instances++) {
        struct restore_test t;

        start(&t, instances, false);
        for (uint32_t k = 0; k < MR_COUNT(kinds); k++) {
            bool seen[INSTANCES_MAX] = {false};

            spy.count = 0;
            MR_EXPECT_OK(give(&t, STATEFUL, kinds[k], 0, "name", "v"), &t.err);
            MR_EXPECT_EQ_UINT(spy.count, instances);
            for (uint32_t i = 0; i < instances; i++) seen[spy.seen[i].instance] = true;
            for (uint32_t i = 0; i < instances; i++) MR_EXPECT(seen[i]);
        }
        stop(&t);
    }
}

MR_TEST(restore, entries_come_in_the_order_in_which_they_were_given)
{
    struct restore_test t;
    char value[8];

    start(&t, 1, false);
    for (uint32_t i = 0; i < 20; i++) {
        (void)snprintf(value, sizeof value, "%u", i);
        MR_EXPECT_OK(give(&t, STATEFUL, MR_ENTRY_PUT, 5, "k", value), &t.err);
    }
    for (uint32_t i = 0; i < 20; i++) {
        (void)snprintf(value, sizeof value, "%u", i);
        MR_EXPECT_EQ_STR(spy.seen[i].value, value);
    }
    stop(&t);
}

MR_TEST(restore, at_the_end_each_instance_is_told_once)
{
    struct restore_test t;

    start(&t, 3, false);
    t.rig->runner->fence = 9;
    MR_EXPECT_OK(mr_restore_finish(t.restore, 0, &t.err), &t.err);
    for (uint32_t i = 0; i < 3; i++) MR_EXPECT_EQ_UINT(spy.restored[i], 1);
    stop(&t);
}

/* ---- what does not fit ---- */

MR_TEST(restore, an_operator_that_is_gone_is_refused_by_name_and_with_what_to_do)
{
    struct restore_test t;

    start(&t, 2, false);
    MR_EXPECT_STATUS(give(&t, "sessions", MR_ENTRY_PUT, 5, "k", "v"), MR_E_CHANGED);
    MR_EXPECT_CONTAINS(t.err.text, "sessions");
    MR_EXPECT_CONTAINS(t.err.text, "--allow-dropped-state");
    stop(&t);
}

MR_TEST(restore, with_dropped_state_allowed_it_is_counted_and_the_rest_is_restored)
{
    struct restore_test t;
    const char *names;

    start(&t, 2, true);
    MR_EXPECT_OK(give(&t, "sessions", MR_ENTRY_PUT, 5, "k", "v"), &t.err);
    MR_EXPECT_OK(give(&t, STATEFUL, MR_ENTRY_PUT, 5, "k", "v"), &t.err);
    MR_EXPECT_OK(give(&t, "sessions", MR_ENTRY_VALUE, 0, "k", "v"), &t.err);
    MR_EXPECT_OK(give(&t, "", MR_ENTRY_VALUE, 0, "k", "v"), &t.err);
    MR_EXPECT_EQ_UINT(mr_restore_dropped(t.restore, &names), 3);
    MR_EXPECT_EQ_STR(names, "'sessions', ''");
    MR_EXPECT_EQ_UINT(spy.count, 1);
    stop(&t);
}

MR_TEST(restore, many_ids_that_are_dropped_do_not_overflow_their_list)
{
    struct restore_test t;
    const char *names;
    char id[201];

    start(&t, 2, true);
    for (uint32_t i = 0; i < 40; i++) {
        memset(id, 'a', 5 * i);
        (void)snprintf(id + 5 * i, 6, "%u", i);
        MR_EXPECT_OK(give(&t, id, MR_ENTRY_PUT, 5, "k", "v"), &t.err);
    }
    MR_EXPECT_EQ_UINT(mr_restore_dropped(t.restore, &names), 40);
    MR_EXPECT_CONTAINS(names, "'0', 'aaaaa1'");
    MR_EXPECT_EQ_STR(names + strlen(names) - 3, "...");
    MR_EXPECT(strlen(names) < 256);
    stop(&t);
}

MR_TEST(restore, a_key_group_that_does_not_exist_is_corrupt_and_names_the_operator)
{
    struct restore_test t;

    start(&t, 2, true);
    MR_EXPECT_STATUS(give(&t, STATEFUL, MR_ENTRY_PUT, GROUPS, "k", "v"), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(t.err.text, STATEFUL);
    MR_EXPECT_STATUS(give(&t, STATEFUL, MR_ENTRY_REMOVE, UINT32_MAX, "k", ""), MR_E_CORRUPT);
    MR_EXPECT_STATUS(give(&t, STATEFUL, MR_ENTRY_TIMER_SET, GROUPS, "k", ""), MR_E_CORRUPT);
    MR_EXPECT_EQ_UINT(spy.count, 0);
    stop(&t);
}

MR_TEST(restore, what_an_operator_reports_is_reported)
{
    struct restore_test t;

    start(&t, 2, true);
    spy.fails = true;
    MR_EXPECT_STATUS(give(&t, STATEFUL, MR_ENTRY_PUT, 0, "k", "v"), MR_E_CORRUPT);
    MR_EXPECT_STATUS(give(&t, STATEFUL, MR_ENTRY_VALUE, 0, "k", "v"), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(t.err.text, "asked to fail");
    stop(&t);
}

/* ---- sinks ---- */

/* What a writer of the ledger leaves: its instance, an epoch, how many rows, the rows. */
static enum mr_status give_writer(struct restore_test *t, uint32_t key, size_t key_size,
                                  uint64_t epoch, const char *row)
{
    char bytes[64] = {(char)key}, name[8];
    struct mr_entry entry = {.kind = MR_ENTRY_PUT, .state_name = "writer"};
    size_t size = 4;

    for (uint32_t i = 0; i < 8; i++) name[i] = (char)((uint64_t)key >> (i < 4 ? 8 * i : 32));
    if (row != NULL) {
        bytes[4] = (char)epoch;
        bytes[12] = 1;
        memcpy(bytes + 20, row, strlen(row) + 1);
        size = 20 + strlen(row) + 1;
    }
    entry.key = (struct mr_bytes){name, key_size};
    entry.value = (struct mr_bytes){bytes, size};
    return mr_restore_entry(t->restore, "rows", &entry, &t->err);
}

MR_TEST(restore, a_sink_recovers_once_with_the_last_state_of_each_writer_whatever_runs_now)
{
    for (uint32_t instances = 1; instances <= 3; instances++) {
        struct restore_test t;

        start(&t, instances, false);
        t.rig->runner->fence = 9;
        MR_EXPECT_OK(give_writer(&t, 0, 4, 3, "old"), &t.err);
        MR_EXPECT_OK(give_writer(&t, 1, 4, 3, "one"), &t.err);
        MR_EXPECT_OK(give_writer(&t, 12, 4, 4, "twelve"), &t.err);
        MR_EXPECT_OK(give_writer(&t, 0, 4, 4, "zero"), &t.err);
        MR_EXPECT_EQ_UINT(t.rig->rows_sink.committed.count, 0); /* not before all have come */
        MR_EXPECT_OK(mr_restore_finish(t.restore, 4, &t.err), &t.err);
        rig_lines_sort(&t.rig->rows_sink.committed);
        MR_EXPECT_EQ_UINT(t.rig->rows_sink.committed.count, 3);
        MR_EXPECT_EQ_STR(t.rig->rows_sink.committed.line[0], "one");
        MR_EXPECT_EQ_STR(t.rig->rows_sink.committed.line[1], "twelve");
        MR_EXPECT_EQ_STR(t.rig->rows_sink.committed.line[2], "zero");
        MR_EXPECT_EQ_UINT(t.rig->counts_sink.committed.count, 0);
        stop(&t);
    }
}

MR_TEST(restore, a_writer_state_that_is_not_what_was_written_is_refused)
{
    struct restore_test t;

    start(&t, 1, true);
    for (size_t size = 0; size < 4; size++) {
        MR_EXPECT_STATUS(give_writer(&t, 0, size, 1, "x"), MR_E_CORRUPT);
    }
    MR_EXPECT_STATUS(give_writer(&t, 0, 5, 1, "x"), MR_E_CORRUPT);
    MR_EXPECT_STATUS(give(&t, "rows", MR_ENTRY_VALUE, 0, "\1\1\1\1", "x"), MR_E_CORRUPT);
    MR_EXPECT_STATUS(give(&t, "rows", MR_ENTRY_REMOVE, 0, "\1\1\1\1", ""), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(t.err.text, "rows");
    stop(&t);
}

/* ---- the job's own ---- */

struct kept {
    struct mr_entry entry;
    char value[64];
};

static enum mr_status keep(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    struct kept *kept = self;

    (void)err;
    MR_EXPECT(entry->value.size_bytes <= sizeof kept->value);
    kept->entry = *entry;
    memcpy(kept->value, entry->value.data, entry->value.size_bytes);
    kept->entry.value.data = kept->value;
    return MR_OK;
}

MR_TEST(restore, what_the_job_says_of_itself_comes_back)
{
    static const struct mr_job_state states[] = {
        {.fence = 1, .layout = 2, .batch_rows = 3, .lane_count = 4, .finished = false},
        {.fence = UINT64_MAX - 1,
         .layout = UINT64_MAX - 2,
         .batch_rows = UINT64_C(1) << 40,
         .lane_count = UINT32_MAX,
         .finished = true},
        {.fence = 0},
    };

    for (uint32_t i = 0; i < MR_COUNT(states); i++) {
        struct restore_test t;
        struct mr_job_state got;
        struct kept kept;

        start(&t, 1, false);
        MR_EXPECT_OK(mr_job_state_yield(&states[i], keep, &kept, &t.err), &t.err);
        MR_EXPECT(mr_job_state_read(MR_JOB_STATE, &kept.entry, &got));
        MR_EXPECT(!mr_job_state_read("job", &kept.entry, &got));
        MR_EXPECT_OK(mr_restore_entry(t.restore, MR_JOB_STATE, &kept.entry, &t.err), &t.err);
        got = mr_restore_job(t.restore);
        MR_EXPECT_EQ_UINT(got.fence, states[i].fence);
        MR_EXPECT_EQ_UINT(got.layout, states[i].layout);
        MR_EXPECT_EQ_UINT(got.batch_rows, states[i].batch_rows);
        MR_EXPECT_EQ_UINT(got.lane_count, states[i].lane_count);
        MR_EXPECT_EQ_INT(got.finished, states[i].finished);
        stop(&t);
    }
}

MR_TEST(restore, a_job_entry_cut_short_is_corrupt_whatever_is_allowed)
{
    struct mr_job_state state = {.fence = 1, .layout = 2};
    struct restore_test t;
    struct kept kept;
    size_t whole;

    start(&t, 1, true);
    MR_EXPECT_OK(mr_job_state_yield(&state, keep, &kept, &t.err), &t.err);
    whole = kept.entry.value.size_bytes;
    for (size_t size = 0; size < whole; size++) {
        kept.entry.value.size_bytes = size;
        MR_EXPECT_STATUS(mr_restore_entry(t.restore, MR_JOB_STATE, &kept.entry, &t.err),
                         MR_E_CORRUPT);
    }
    MR_EXPECT_EQ_UINT(mr_restore_job(t.restore).layout, 0); /* nothing was restored */
    stop(&t);
}

MR_TEST(restore, without_a_job_entry_nothing_is_known)
{
    struct restore_test t;

    start(&t, 1, false);
    MR_EXPECT_EQ_UINT(mr_restore_job(t.restore).layout, 0);
    MR_EXPECT(!mr_restore_job(t.restore).finished);
    mr_restore_end(t.restore);
    t.restore = NULL; /* NULL allowed */
    stop(&t);
}

MR_TEST(restore, the_layout_changes_with_the_number_of_instances_and_with_nothing_else)
{
    uint64_t layouts[INSTANCES_MAX];

    for (uint32_t instances = 1; instances <= INSTANCES_MAX; instances++) {
        struct restore_test t;

        start(&t, instances, false);
        layouts[instances - 1] = mr_runner_layout(t.rig->runner);
        MR_EXPECT(layouts[instances - 1] != 0);
        for (uint32_t i = 0; i + 1 < instances; i++) {
            MR_EXPECT(layouts[i] != layouts[instances - 1]);
        }
        stop(&t);
        start(&t, instances, true);
        MR_EXPECT_EQ_UINT(mr_runner_layout(t.rig->runner), layouts[instances - 1]);
        stop(&t);
    }
}

/* ---- memory ---- */

MR_TEST(restore, each_allocation_may_fail)
{
    struct mr_heap inside;
    bool refused = true;

    mr_heap_init_child(&inside, "inside", SIZE_MAX, mr_test_heap());
    for (uint64_t n = 1; refused; n++) {
        struct mr_restore_options options = {.allow_dropped_state = true};
        struct restore_test t = {.rig = rig_new(1)};
        enum mr_status st;

        t.rig->heap = &inside;
        MR_EXPECT_OK(rig_make(t.rig, &t.parts, &t.err), &t.err);
        set_spies(t.rig->runner);
        t.rig->runner->fence = 9;
        inside.failed_count = 0;
        inside.fail_at = inside.alloc_count + n;
        st = mr_restore_begin(t.rig->runner, &options, &t.restore, &t.err);
        for (uint32_t i = 0; i < 20 && st == MR_OK; i++) st = give_writer(&t, i % 12, 4, 1, "row");
        if (st == MR_OK) st = mr_restore_finish(t.restore, 1, &t.err);
        refused = inside.failed_count > 0;
        inside.fail_at = 0;
        MR_EXPECT_EQ_INT(st, refused ? MR_E_NOMEM : MR_OK);
        stop(&t);
        MR_EXPECT_EQ_UINT(inside.used_bytes, 0);
    }
    mr_heap_fini(&inside);
}
