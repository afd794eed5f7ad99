#include "runtime/lanes.h"

#include "base/prng.h"
#include "base/status.h"
#include "base/time.h"
#include "mr_test.h"

#include <stdlib.h>

#define SPLITS_MAX    24u
#define LANES_MAX     6u
#define INSTANCES_MAX 7u
#define BATCHES_MAX   64u

/* An input: how many rows each split has, and how many rows each batch takes from a lane. */
struct input {
    struct mr_split splits[SPLITS_MAX];
    struct mr_split_list list;
    uint32_t rows[SPLITS_MAX];
    uint32_t lane_count;
    uint64_t batch_rows[BATCHES_MAX];
};

/* What has been read: a split is read in order, so a number says which of its rows. */
struct progress {
    uint32_t at[SPLITS_MAX];
    bool begun[SPLITS_MAX];
    bool done[SPLITS_MAX];
};

static struct input random_input(struct mr_prng *prng)
{
    struct input in = {.list = {.bounded = true}};

    in.list.count = (uint32_t)mr_prng_below(prng, SPLITS_MAX + 1);
    in.lane_count = 1 + (uint32_t)mr_prng_below(prng, LANES_MAX);
    for (uint32_t i = 0; i < in.list.count; i++) {
        in.splits[i].ordinal = i;
        in.splits[i].lower_bound_us = (int64_t)mr_prng_below(prng, 100);
        in.rows[i] = (uint32_t)mr_prng_below(prng, mr_prng_below(prng, 3) == 0 ? 3 : 40);
    }
    for (uint32_t k = 0; k < BATCHES_MAX; k++) {
        in.batch_rows[k] = 1 + mr_prng_below(prng, mr_prng_below(prng, 4) == 0 ? 200 : 20);
    }
    return in;
}

/* ---- the oracle: a lane is its splits one behind the other, cut into pieces of N ---- */

static void oracle_batch(const struct input *in, struct progress *at, uint64_t batch_rows)
{
    for (uint32_t lane = 0; lane < in->lane_count; lane++) {
        uint64_t left = batch_rows;

        for (uint32_t s = lane; s < in->list.count; s += in->lane_count) {
            uint64_t more = MR_MIN(left, (uint64_t)(in->rows[s] - at->at[s]));

            at->at[s] += (uint32_t)more;
            left -= more;
        }
    }
}

/* ---- a scan that does what lanes say ---- */

struct reading {
    const struct input *in;
    struct mr_lanes lanes;
    bool *claimed;
    struct progress *at;
    uint32_t open[LANES_MAX * 2]; /* split of each own lane, SPLITS_MAX: none */
    bool waits[SPLITS_MAX];       /* begun in an earlier attempt, to be opened again */
};

static void reading_start(struct reading *r, const struct input *in, struct progress *at,
                          bool *claimed, uint32_t instance, uint32_t instance_count)
{
    struct mr_error err;

    *r = (struct reading){.in = in, .at = at, .claimed = claimed};
    MR_EXPECT_OK(mr_lanes_init(&r->lanes, mr_test_heap(), &in->list, in->lane_count, instance,
                               instance_count, &err),
                 &err);
    for (uint32_t i = 0; i < MR_COUNT(r->open); i++) r->open[i] = SPLITS_MAX;
    for (uint32_t s = 0; s < in->list.count; s++) {
        if (!at->begun[s] || at->done[s]) continue;
        if (mr_split_owner(&in->list, in->lane_count, s, instance_count) != instance) continue;
        r->waits[s] = true;
        mr_lanes_begun(&r->lanes, s);
    }
}

static bool open_waiting(struct reading *r)
{
    for (uint32_t s = 0; s < r->in->list.count; s++) {
        uint32_t lane;

        if (!r->waits[s] || !mr_lanes_free(&r->lanes, s)) continue;
        lane = mr_lane_of(&r->lanes, s);
        mr_lanes_opened(&r->lanes, lane, s);
        r->waits[s] = false;
        r->open[lane] = s;
        return true;
    }
    return false;
}

static bool open_next(struct reading *r)
{
    uint32_t lane = mr_lanes_to_open(&r->lanes, r->claimed);
    uint32_t split;

    if (lane == MR_LANE_NONE) return false;
    split = r->lanes.own[lane].next;
    MR_EXPECT(split < r->in->list.count);
    MR_EXPECT(!r->claimed[split] && !r->at->begun[split]);
    MR_EXPECT_EQ_UINT(mr_lane_of(&r->lanes, split), lane);
    mr_lanes_opened(&r->lanes, lane, split);
    r->at->begun[split] = true;
    r->open[lane] = split;
    return true;
}

/* Reads some rows of one open split, or finds its end: that takes a read as well. */
static void read_some(struct reading *r, struct mr_prng *prng, uint32_t lane)
{
    uint32_t split = r->open[lane];
    uint32_t wanted = 1 + (uint32_t)mr_prng_below(prng, 15);
    uint32_t room = mr_lanes_room(&r->lanes, lane, wanted);
    uint32_t rows;

    MR_EXPECT(room <= wanted);
    if (split == SPLITS_MAX || room == 0) return;
    rows = MR_MIN(room, r->in->rows[split] - r->at->at[split]);
    if (rows > 1 && mr_prng_below(prng, 2) == 0) rows = 1; /* a source may give less */
    if (rows == 0) {
        r->at->done[split] = true;
        r->open[lane] = SPLITS_MAX;
        mr_lanes_closed(&r->lanes, lane);
        return;
    }
    r->at->at[split] += rows;
    mr_lanes_took(&r->lanes, lane, rows);
}

static void reading_step(struct reading *r, struct mr_prng *prng)
{
    if (mr_prng_below(prng, 2) == 0 && (open_waiting(r) || open_next(r))) return;
    if (r->lanes.own_count > 0)
        read_some(r, prng, (uint32_t)mr_prng_below(prng, r->lanes.own_count));
}

static void expect_same_rows(const struct input *in, const struct progress *got,
                             const struct progress *expected, uint32_t batch)
{
    for (uint32_t s = 0; s < in->list.count; s++) {
        if (got->at[s] == expected->at[s]) continue;
        MR_FAIL("after batch %u split %u is at row %u, expected %u (lanes %u)", batch, s,
                got->at[s], expected->at[s], in->lane_count);
    }
}

static bool all_read(const struct input *in, const struct progress *at)
{
    for (uint32_t s = 0; s < in->list.count; s++) {
        if (at->at[s] < in->rows[s]) return false;
    }
    return true;
}

/* One attempt from a batch border on; instances in any order. Returns the next batch. */
static uint32_t run_attempt(const struct input *in, struct progress *got, struct progress *expected,
                            uint32_t batch, uint32_t batches, uint32_t instances,
                            struct mr_prng *prng)
{
    struct reading readings[INSTANCES_MAX];
    bool claimed[SPLITS_MAX + 1] = {false};

    for (uint32_t s = 0; s < in->list.count; s++) claimed[s] = got->begun[s] || got->done[s];
    for (uint32_t i = 0; i < instances; i++) {
        reading_start(&readings[i], in, got, claimed, i, instances);
    }
    for (; batch < batches && !all_read(in, got); batch++) {
        uint32_t over = 0;

        for (uint32_t i = 0; i < instances; i++) {
            mr_lanes_begin(&readings[i].lanes, in->batch_rows[batch]);
        }
        for (uint32_t steps = 0; over < instances; steps++) {
            MR_EXPECT(steps < 1000000);
            reading_step(&readings[mr_prng_below(prng, instances)], prng);
            over = 0;
            for (uint32_t i = 0; i < instances; i++) {
                over += mr_lanes_batch_over(&readings[i].lanes, claimed);
            }
        }
        oracle_batch(in, expected, in->batch_rows[batch]);
        expect_same_rows(in, got, expected, batch);
    }
    for (uint32_t i = 0; i < instances; i++) mr_lanes_fini(&readings[i].lanes);
    return batch;
}

MR_TEST(lanes, batch_k_has_the_same_rows_for_any_number_of_instances_and_any_order)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 3, 1);
    for (uint32_t round = 0; round < 300; round++) {
        struct input in = random_input(&prng);

        in.list.splits = in.splits;
        for (uint32_t instances = 1; instances <= INSTANCES_MAX; instances++) {
            struct progress got = {.at = {0}}, expected = {.at = {0}};

            run_attempt(&in, &got, &expected, 0, BATCHES_MAX, instances, &prng);
        }
    }
}

/* After each restart another number of instances goes on; a split may be half read, or read to the
 * last row without anybody having seen its end. */
MR_TEST(lanes, also_when_attempts_with_other_instances_go_on_at_a_border)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 4, 1);
    for (uint32_t round = 0; round < 1000; round++) {
        struct input in = random_input(&prng);
        struct progress got = {.at = {0}}, expected = {.at = {0}};
        uint32_t batch = 0;

        in.list.splits = in.splits;
        while (batch < BATCHES_MAX && !all_read(&in, &got)) {
            uint32_t until = MR_MIN(batch + 1 + (uint32_t)mr_prng_below(&prng, 5), BATCHES_MAX);

            batch = run_attempt(&in, &got, &expected, batch, until,
                                1 + (uint32_t)mr_prng_below(&prng, INSTANCES_MAX), &prng);
        }
    }
}

MR_TEST(lanes, each_split_has_one_owner_and_lanes_agree_with_it)
{
    for (uint32_t lane_count = 1; lane_count <= LANES_MAX; lane_count++) {
        for (uint32_t instances = 1; instances <= INSTANCES_MAX; instances++) {
            struct mr_split splits[SPLITS_MAX] = {{.ordinal = 0}};
            struct mr_split_list list = {.splits = splits, .count = SPLITS_MAX, .bounded = true};
            uint32_t lanes_seen = 0;

            for (uint32_t i = 0; i < instances; i++) {
                struct mr_lanes lanes;
                struct mr_error err;

                MR_EXPECT_OK(
                    mr_lanes_init(&lanes, mr_test_heap(), &list, lane_count, i, instances, &err),
                    &err);
                lanes_seen += lanes.own_count;
                for (uint32_t s = 0; s < SPLITS_MAX; s++) {
                    if (mr_split_owner(&list, lane_count, s, instances) != i) continue;
                    MR_EXPECT(mr_lane_of(&lanes, s) < lanes.own_count);
                }
                mr_lanes_fini(&lanes);
            }
            MR_EXPECT_EQ_UINT(lanes_seen, lane_count);
        }
    }
}

MR_TEST(lanes, without_lanes_splits_are_dealt_out_one_by_one)
{
    struct mr_split_list list = {.count = 10, .bounded = true};

    for (uint32_t s = 0; s < 10; s++) {
        MR_EXPECT_EQ_UINT(mr_split_owner(&list, 0, s, 3), s % 3);
        MR_EXPECT_EQ_UINT(mr_split_owner(&list, 0, s, 1), 0);
    }
}

/* ---- input that does not end ---- */

static struct mr_lanes open_endless(struct mr_split_list *list, struct mr_split *splits,
                                    uint32_t count, const bool *claimed)
{
    struct mr_lanes lanes;
    struct mr_error err;

    *list = (struct mr_split_list){.splits = splits, .count = count, .bounded = false};
    /* A lane per partition, whatever the job's number of lanes is. */
    MR_EXPECT_OK(mr_lanes_init(&lanes, mr_test_heap(), list, 1, 0, 1, &err), &err);
    MR_EXPECT_EQ_UINT(lanes.own_count, count);
    for (uint32_t lane; (lane = mr_lanes_to_open(&lanes, claimed)) != MR_LANE_NONE;) {
        mr_lanes_opened(&lanes, lane, lanes.own[lane].next);
    }
    return lanes;
}

MR_TEST(lanes, a_quiet_partition_does_not_hold_the_batch_and_is_asked_again_for_the_next)
{
    struct mr_split splits[2] = {{.ordinal = 0}, {.ordinal = 1}};
    struct mr_split_list list;
    const bool claimed[3] = {false};
    struct mr_lanes lanes = open_endless(&list, splits, 2, claimed);

    mr_lanes_begin(&lanes, 5);
    mr_lanes_took(&lanes, 0, 5);
    MR_EXPECT(!mr_lanes_batch_over(&lanes, claimed));
    mr_lanes_quiet(&lanes, 1);
    MR_EXPECT(mr_lanes_batch_over(&lanes, claimed));
    MR_EXPECT_EQ_UINT(mr_lanes_room(&lanes, 1, 10), 0); /* what comes now is for the next batch */
    mr_lanes_begin(&lanes, 5);
    MR_EXPECT_EQ_UINT(mr_lanes_room(&lanes, 1, 10), 5);
    MR_EXPECT(!mr_lanes_batch_over(&lanes, claimed));
    mr_lanes_fini(&lanes);
}

MR_TEST(lanes, only_a_source_that_does_not_end_may_be_quiet)
{
    struct mr_split splits[1] = {{.ordinal = 0}};
    struct mr_split_list list = {.splits = splits, .count = 1, .bounded = true};
    struct mr_lanes lanes;
    struct mr_error err;

    MR_EXPECT_OK(mr_lanes_init(&lanes, mr_test_heap(), &list, 1, 0, 1, &err), &err);
    mr_lanes_begin(&lanes, 5);
    MR_EXPECT_PANIC(mr_lanes_quiet(&lanes, 0));
    mr_lanes_fini(&lanes);
}

/* ---- room ---- */

MR_TEST(lanes, no_lane_is_asked_for_more_than_the_batch_takes)
{
    struct mr_split splits[1] = {{.ordinal = 0}};
    struct mr_split_list list;
    const bool claimed[2] = {false};
    struct mr_lanes lanes = open_endless(&list, splits, 1, claimed);

    mr_lanes_begin(&lanes, UINT64_C(1) << 40); /* more than 32 bits */
    MR_EXPECT_EQ_UINT(mr_lanes_room(&lanes, 0, UINT32_MAX), UINT32_MAX);
    mr_lanes_begin(&lanes, 10);
    MR_EXPECT_EQ_UINT(mr_lanes_room(&lanes, 0, 4), 4);
    mr_lanes_took(&lanes, 0, 4);
    MR_EXPECT_EQ_UINT(mr_lanes_room(&lanes, 0, 100), 6);
    mr_lanes_took(&lanes, 0, 9); /* the user's source gave more than it was asked for */
    MR_EXPECT_EQ_UINT(mr_lanes_room(&lanes, 0, 100), 0);
    MR_EXPECT(mr_lanes_batch_over(&lanes, claimed));
    mr_lanes_fini(&lanes);
}

MR_TEST(lanes, an_instance_beyond_the_lanes_has_none_and_its_batches_are_over)
{
    struct mr_split splits[3] = {{.ordinal = 0}, {.ordinal = 1}, {.ordinal = 2}};
    struct mr_split_list list = {.splits = splits, .count = 3, .bounded = true};
    const bool claimed[4] = {false};
    struct mr_lanes lanes;
    struct mr_error err;

    MR_EXPECT_OK(mr_lanes_init(&lanes, mr_test_heap(), &list, 2, 2, 3, &err), &err);
    MR_EXPECT_EQ_UINT(lanes.own_count, 0);
    MR_EXPECT_EQ_UINT(mr_lanes_to_open(&lanes, claimed), MR_LANE_NONE);
    MR_EXPECT_EQ_INT(mr_lanes_bound(&lanes, claimed), MR_TIME_MAX);
    mr_lanes_begin(&lanes, 5);
    MR_EXPECT(mr_lanes_batch_over(&lanes, claimed));
    mr_lanes_fini(&lanes);
    lanes = (struct mr_lanes){.heap = NULL};
    mr_lanes_fini(&lanes); /* a zeroed one is allowed */
}

/* ---- bounds ---- */

MR_TEST(lanes, the_bound_is_the_least_of_the_splits_of_its_lanes_that_were_not_opened)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 6, 1);
    for (uint32_t round = 0; round < 300; round++) {
        struct input in = random_input(&prng);
        uint32_t instances = 1 + (uint32_t)mr_prng_below(&prng, INSTANCES_MAX);
        uint32_t instance = (uint32_t)mr_prng_below(&prng, instances);
        bool claimed[SPLITS_MAX + 1] = {false};
        struct mr_lanes lanes;
        struct mr_error err;
        uint32_t lane;

        in.list.splits = in.splits;
        for (uint32_t s = 0; s < in.list.count; s++) claimed[s] = mr_prng_below(&prng, 4) == 0;
        MR_EXPECT_OK(mr_lanes_init(&lanes, mr_test_heap(), &in.list, in.lane_count, instance,
                                   instances, &err),
                     &err);
        bool opened[SPLITS_MAX] = {false};
        do {
            int64_t least = MR_TIME_MAX;

            for (uint32_t s = 0; s < in.list.count; s++) {
                if (claimed[s] || opened[s]) continue;
                if (mr_split_owner(&in.list, in.lane_count, s, instances) != instance) continue;
                least = MR_MIN(least, in.splits[s].lower_bound_us);
            }
            MR_EXPECT_EQ_INT(mr_lanes_bound(&lanes, claimed), least);
            lane = mr_lanes_to_open(&lanes, claimed);
            if (lane == MR_LANE_NONE) break;
            opened[lanes.own[lane].next] = true;
            mr_lanes_opened(&lanes, lane, lanes.own[lane].next);
            MR_EXPECT_EQ_INT(mr_lanes_bound(&lanes, claimed), mr_lanes_bound(&lanes, claimed));
            mr_lanes_closed(&lanes, lane);
        } while (true);
        MR_EXPECT_EQ_INT(mr_lanes_bound(&lanes, claimed), MR_TIME_MAX);
        mr_lanes_fini(&lanes);
    }
}

MR_TEST(lanes, a_split_begun_earlier_comes_before_the_others_of_its_lane)
{
    struct mr_split splits[6] = {{.ordinal = 0}, {.ordinal = 1}, {.ordinal = 2},
                                 {.ordinal = 3}, {.ordinal = 4}, {.ordinal = 5}};
    struct mr_split_list list = {.splits = splits, .count = 6, .bounded = true};
    bool claimed[7] = {false};
    struct mr_lanes lanes;
    struct mr_error err;

    claimed[0] = claimed[1] = true;
    MR_EXPECT_OK(mr_lanes_init(&lanes, mr_test_heap(), &list, 2, 0, 1, &err), &err);
    mr_lanes_begun(&lanes, 1);
    mr_lanes_begin(&lanes, 5);
    MR_EXPECT(mr_lanes_free(&lanes, 1));
    MR_EXPECT_EQ_UINT(mr_lanes_to_open(&lanes, claimed), 0); /* lane 1 has its own to open first */
    mr_lanes_opened(&lanes, 0, 2);
    MR_EXPECT_EQ_UINT(mr_lanes_to_open(&lanes, claimed), MR_LANE_NONE);
    mr_lanes_took(&lanes, 0, 5);
    MR_EXPECT(!mr_lanes_batch_over(&lanes, claimed)); /* lane 1 still owes its rows */
    mr_lanes_opened(&lanes, 1, 1);
    MR_EXPECT(!mr_lanes_free(&lanes, 1));
    mr_lanes_closed(&lanes, 1);
    MR_EXPECT_EQ_UINT(mr_lanes_to_open(&lanes, claimed), 1);
    MR_EXPECT_EQ_UINT(lanes.own[1].next, 3);
    mr_lanes_fini(&lanes);
}

/* The last split of a lane that was begun is all that is left: the batch is not over before it is
 * read. */
MR_TEST(lanes, with_only_a_begun_split_left_the_batch_is_not_over_before_it_was_read)
{
    struct mr_split splits[1] = {{.ordinal = 0}};
    struct mr_split_list list = {.splits = splits, .count = 1, .bounded = true};
    const bool claimed[2] = {true};
    struct mr_lanes lanes;
    struct mr_error err;

    MR_EXPECT_OK(mr_lanes_init(&lanes, mr_test_heap(), &list, 1, 0, 1, &err), &err);
    mr_lanes_begun(&lanes, 0);
    mr_lanes_begin(&lanes, 5);
    MR_EXPECT(!mr_lanes_batch_over(&lanes, claimed));
    mr_lanes_opened(&lanes, 0, 0);
    MR_EXPECT(!mr_lanes_batch_over(&lanes, claimed));
    mr_lanes_closed(&lanes, 0);
    MR_EXPECT(mr_lanes_batch_over(&lanes, claimed));
    mr_lanes_fini(&lanes);
}

MR_TEST(lanes, init_without_memory_leaves_nothing_behind)
{
    struct mr_split splits[1] = {{.ordinal = 0}};
    struct mr_split_list list = {.splits = splits, .count = 1, .bounded = true};
    struct mr_lanes lanes;
    struct mr_error err;

    MR_TORTURE(mr_test_heap()) {
        enum mr_status st = mr_lanes_init(&lanes, mr_test_heap(), &list, 4, 0, 1, &err);

        MR_EXPECT_EQ_INT(st, mr_test_refused(mr_test_heap()) ? MR_E_NOMEM : MR_OK);
        mr_lanes_fini(&lanes); /* as whoever owns it does in any case */
    }
}
