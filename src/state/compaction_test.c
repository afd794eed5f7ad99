/* compaction_test.c - base files say the same as the epochs that they replace, in order, in bounded
 * memory, and nothing is removed that is still named. */
#include "log_rig.h"

static struct rig rig;

static uint32_t count_files(const char *part)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        count += rig.disk.names[i].now != NULL && strstr(rig.disk.names[i].name, part) != NULL;
    }
    return count;
}

static void compact_all(void)
{
    uint32_t before = rig.compacted;

    MR_EXPECT_OK(rig_compact(&rig, 1000000), &rig.err);
    MR_EXPECT_EQ_UINT(rig.compacted, before + 1);
}

/* Segment files that are not waiting to be used again. */
static uint32_t segments_in_force(void)
{
    uint32_t count = count_files("seg-");

    for (uint32_t i = 0; i < MRI_REUSE_MAX; i++) count -= rig.log->reuse[i] != 0;
    return count;
}

MR_TEST(compaction, afterwards_the_state_is_the_same_and_old_files_are_gone)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        rig_init(&rig, seed);
        rig.disk.short_transfers = seed % 2 == 0;
        rig.disk.late = seed % 3 == 0;
        MR_EXPECT_OK(rig_run(&rig, 15), &rig.err);
        compact_all(); /* behind an epoch that stands alone it only cuts off what is before */
        MR_EXPECT(!mr_epoch_log_can_cut(rig.log));
        compact_all();
        MR_EXPECT_EQ_UINT(count_files("/run-"), 0);
        MR_EXPECT_EQ_UINT(count_files("manifest-"), 1);
        MR_EXPECT(segments_in_force() <= 2); /* the current and the next */
        rig_stop(&rig);
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        MR_EXPECT_OK(rig_run(&rig, 25), &rig.err);
        compact_all();
        compact_all(); /* with nothing to do */
        rig_stop(&rig);
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        rig_fini(&rig);
    }
}

/* Recycled segments hold good records of their earlier life. */
MR_TEST(compaction, when_segments_are_used_again_then_their_old_records_are_not_seen)
{
    uint64_t number = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        rig_init(&rig, seed);
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        for (uint64_t epoch = 1; epoch <= 30; epoch++) {
            MR_EXPECT_OK(rig_epoch(&rig, epoch), &rig.err);
            if (epoch % 3 == 0) compact_all();
        }
        number = MR_MAX(number, rig.log->first->number);
        rig_stop(&rig);
        fault_disk_crash(&rig.disk, seed);
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        rig_fini(&rig);
    }
    MR_EXPECT(number > 5); /* there was reuse */
}

struct order {
    char last[512];
    uint32_t count;
};

/* Operator, state, key group, namespace, key. */
static enum mr_status check_order(void *self, const char *operator_id, const struct mr_entry *entry,
                                  struct mr_error *err)
{
    struct order *order = self;
    char text[512];

    (void)err;
    (void)snprintf(text, sizeof text, "%s|%s|%06u|%020lld|%.*s", operator_id, entry->state_name,
                   entry->key_group, (long long)entry->ns + 10000000000LL,
                   (int)entry->key.size_bytes, entry->key.data);
    MR_EXPECT(entry->kind != MR_ENTRY_REMOVE && entry->kind != MR_ENTRY_DROP);
    if (strcmp(entry->state_name, "agg") == 0) {
        MR_EXPECT(strcmp(order->last, text) < 0);
        memcpy(order->last, text, sizeof text);
    }
    order->count++;
    return MR_OK;
}

MR_TEST(compaction, base_files_are_sorted_and_hold_only_what_lives)
{
    struct order order = {{0}, 0};
    uint32_t expected = 0;

    rig_init(&rig, 8);
    rig.options.base_bytes = 700; /* several files */
    MR_EXPECT_OK(rig_run(&rig, 12), &rig.err);
    compact_all();
    MR_EXPECT(count_files("/base-") > 2);
    for (uint32_t i = 0; i < RIG_OPERATORS; i++) {
        for (uint32_t k = 0; k < RIG_SPACES * RIG_KEYS; k++) {
            expected += rig.state.cells[i][k / RIG_KEYS][k % RIG_KEYS] != 0;
        }
        for (uint32_t k = 0; k < RIG_TIMERS; k++) expected += rig.state.timers[i][k] != 0;
        for (uint32_t k = 0; k < 2; k++) expected += rig.state.values[i][k] != 0;
    }
    rig_stop(&rig);
    MR_EXPECT_OK(
        mr_epoch_log_open(mr_test_heap(), &rig.options, check_order, &order, &rig.log, &rig.err),
        &rig.err);
    MR_EXPECT(order.count >= expected && order.count <= expected + 4); /* values may be 0 */
    rig_fini(&rig);
}

/* A log much longer than the memory it is sorted in. */
MR_TEST(compaction, memory_is_bounded_by_the_options)
{
    struct mr_heap *heap = mr_test_heap();
    size_t before, peak;

    rig_init(&rig, 9);
    rig.options.segment_bytes = 64 << 10;
    rig.options.merge_files = 16;
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    for (uint64_t epoch = 1; epoch <= 40; epoch++) {
        MR_EXPECT_OK(mr_epoch_log_begin(rig.log, epoch, false, &rig.err), &rig.err);
        for (uint32_t i = 0; i < 1500; i++) {
            MR_EXPECT_OK(rig_put(&rig, i % 2, 0, i % RIG_KEYS, epoch * 7 + i), &rig.err);
        }
        rig.attempted = epoch;
        rig.at_end[epoch] = rig.state;
        MR_EXPECT_OK(mr_epoch_log_commit(rig.log, &rig.err), &rig.err);
        MR_EXPECT_OK(rig_wait(&rig), &rig.err);
        rig.reported = epoch;
    }
    MR_EXPECT(mr_epoch_log_wants_compaction(rig.log, 2));
    rig.log->options.sort_bytes = 256 << 10;
    before = heap->used_bytes;
    heap->peak_bytes = before;
    compact_all();
    peak = heap->peak_bytes - before;
    MR_EXPECT(peak < (256 << 10) + (4 << 20)); /* sorting, windows of the runs, one block */
    MR_EXPECT(!mr_epoch_log_wants_compaction(rig.log, 2));
    rig_stop(&rig);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    rig_fini(&rig);
}

MR_TEST(compaction, when_it_is_given_up_or_memory_runs_out_then_the_log_goes_on)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        enum mr_status st;
        uint64_t fail_at = heap->fail_at;

        heap->fail_at = 0;
        rig_init(&rig, 10);
        MR_EXPECT_OK(rig_run(&rig, 4), &rig.err);
        heap->fail_at = fail_at;
        st = rig_compact(&rig, 100000);
        MR_EXPECT(st == MR_OK || st == MR_E_NOMEM);
        heap->fail_at = 0;
        if (mr_epoch_log_poll(rig.log, &rig.err) != MR_LOG_BROKEN) {
            MR_EXPECT_OK(rig_epoch(&rig, mr_epoch_log_last(rig.log) + 1), &rig.err);
        }
        rig_stop(&rig);
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        rig_fini(&rig);
    }
}

MR_TEST(compaction, when_another_attempt_took_over_then_nothing_is_removed)
{
    struct mr_epoch_log *old;
    struct mr_compaction *compaction;
    enum mr_compaction_state state;

    rig_init(&rig, 12);
    MR_EXPECT_OK(rig_run(&rig, 6), &rig.err);
    if (rig.log == NULL) MR_EXPECT_OK(rig_start(&rig), &rig.err);
    old = rig.log;
    MR_EXPECT_OK(mr_compaction_create(old, &compaction, &rig.err), &rig.err);
    while ((state = mr_compaction_step(compaction, &rig.err)) == MR_COMPACTION_MORE) {
        if (rig.log == old) {
            rig.log = NULL;
            MR_EXPECT_OK(rig_start(&rig), &rig.err);
        }
    }
    MR_EXPECT_EQ_INT(state, MR_COMPACTION_FAILED);
    MR_EXPECT_EQ_INT(mr_epoch_log_poll(old, &rig.err), MR_LOG_BROKEN);
    mr_compaction_destroy(compaction);
    mr_epoch_log_close(old);
    MR_EXPECT_OK(rig_run(&rig, rig.reported + 2), &rig.err);
    rig_stop(&rig);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    rig_fini(&rig);
}
