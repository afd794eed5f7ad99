#include "runtime/split_states.h"

#include "base/prng.h"
#include "base/status.h"
#include "base/time.h"
#include "mr_test.h"

#include <stdlib.h>

#define SPLITS    16u
#define INSTANCES 6u

/* Entries as a log would keep them: the last one of a split holds. */
struct stored {
    bool there[SPLITS];
    uint8_t kind[SPLITS];
    char position[SPLITS][64];
    size_t size[SPLITS];
    uint32_t yields; /* so far */
    uint32_t fail_at;
};

static enum mr_status store(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    struct stored *stored = self;
    uint32_t split = 0;

    if (++stored->yields == stored->fail_at) return mr_error_set(err, MR_E_NOMEM, "asked to fail");
    MR_EXPECT_EQ_INT(entry->kind, MR_ENTRY_PUT);
    MR_EXPECT_EQ_STR(entry->state_name, "splits");
    MR_EXPECT_EQ_UINT(entry->key.size_bytes, 4);
    for (uint32_t i = 0; i < 4; i++) split |= (uint32_t)(uint8_t)entry->key.data[i] << (8 * i);
    MR_EXPECT(split < SPLITS);
    MR_EXPECT(entry->value.size_bytes >= 1 && entry->value.size_bytes <= 64);
    stored->there[split] = true;
    stored->kind[split] = (uint8_t)entry->value.data[0];
    stored->size[split] = entry->value.size_bytes - 1;
    memcpy(stored->position[split], entry->value.data + 1, stored->size[split]);
    return MR_OK;
}

static uint64_t split_size(uint32_t split)
{
    return split == 0 ? UINT64_MAX : UINT64_C(0x0102030405060000) + split;
}

/* Little endian, as the format says. */
static void put_size(char out[8], uint64_t size)
{
    for (uint32_t i = 0; i < 8; i++) out[i] = (char)(uint8_t)(size >> (8 * i));
}

static void expect_at(const struct stored *stored, uint32_t split, const char *position)
{
    MR_EXPECT(stored->there[split]);
    MR_EXPECT_EQ_UINT(stored->kind[split], MR_SPLIT_AT);
    MR_EXPECT_EQ_TEXT(stored->position[split], stored->size[split], position);
}

static void expect_done(const struct stored *stored, uint32_t split)
{
    char size[8];

    put_size(size, split_size(split));
    MR_EXPECT(stored->there[split]);
    MR_EXPECT_EQ_UINT(stored->kind[split], MR_SPLIT_DONE);
    MR_EXPECT_EQ_UINT(stored->size[split], 8);
    MR_EXPECT_EQ_BYTES(stored->position[split], size, 8);
}

struct states_test {
    struct mr_split splits[SPLITS];
    struct mr_split_list list;
    struct mr_split_queue queue;
    struct mr_split_states states;
    struct mr_error err;
};

static void start(struct states_test *t)
{
    *t = (struct states_test){.list = {.count = SPLITS, .bounded = true}};
    t->list.splits = t->splits;
    for (uint32_t i = 0; i < SPLITS; i++) {
        t->splits[i].ordinal = i;
        t->splits[i].size_bytes = split_size(i);
        t->splits[i].lower_bound_us = 100 + (int64_t)(i * 7 % SPLITS);
    }
    MR_EXPECT_OK(mr_split_queue_init(&t->queue, mr_test_heap(), &t->list, &t->err), &t->err);
    mr_split_states_init(&t->states, mr_test_heap());
}

static void stop(struct states_test *t)
{
    mr_split_states_fini(&t->states);
    mr_split_queue_fini(&t->queue);
}

static struct mr_bytes text(const char *text)
{
    return (struct mr_bytes){text, strlen(text)};
}

/* An entry built byte by byte, as the header describes it. */
static enum mr_status restore_bytes(struct states_test *t, uint32_t split, uint8_t kind,
                                    const char *more, size_t size)
{
    char key[4], value[64];
    struct mr_entry entry = {
        .kind = MR_ENTRY_PUT, .state_name = "splits", .key = {key, 4}, .value = {value, 1 + size}};

    for (uint32_t i = 0; i < 4; i++) key[i] = (char)(split >> (8 * i));
    value[0] = (char)kind;
    memcpy(value + 1, more, size);
    return mr_split_states_restore(&t->states, &t->queue, &entry, &t->err);
}

/* `position`: of AT; DONE has the split's size. */
static enum mr_status restore(struct states_test *t, uint32_t split, uint8_t kind,
                              const char *position)
{
    char size[8];

    put_size(size, t->splits[split].size_bytes);
    if (kind == MR_SPLIT_DONE) return restore_bytes(t, split, kind, size, 8);
    return restore_bytes(t, split, kind, position, strlen(position));
}

static void expect_resume(struct states_test *t, uint32_t split, const char *position)
{
    struct mr_split_state state;

    MR_EXPECT(mr_split_states_resume(&t->states, NULL, &state));
    MR_EXPECT_EQ_UINT(state.split, split);
    MR_EXPECT_EQ_TEXT(state.position == NULL ? "" : state.position, state.position_bytes, position);
    mr_free(mr_test_heap(), state.position, state.position_bytes);
}

static void expect_no_resume(struct states_test *t)
{
    struct mr_split_state state;

    MR_EXPECT(!mr_split_states_resume(&t->states, NULL, &state));
}

MR_TEST(split_states, done_and_left_splits_are_sealed_once_and_again_when_full)
{
    struct states_test t;
    struct stored first = {.yields = 0}, second = {.yields = 0}, full = {.yields = 0};

    start(&t);
    MR_EXPECT_OK(mr_split_states_done(&t.states, 3, &t.err), &t.err);
    MR_EXPECT_OK(mr_split_states_left(&t.states, 5, text("here"), &t.err), &t.err);
    MR_EXPECT_OK(mr_split_states_seal(&t.states, &t.list, false, store, &first, &t.err), &t.err);
    MR_EXPECT_EQ_UINT(first.yields, 2);
    expect_done(&first, 3);
    expect_at(&first, 5, "here");
    MR_EXPECT_OK(mr_split_states_done(&t.states, 0, &t.err), &t.err);
    MR_EXPECT_OK(mr_split_states_seal(&t.states, &t.list, false, store, &second, &t.err), &t.err);
    MR_EXPECT_EQ_UINT(second.yields, 1); /* what is new */
    expect_done(&second, 0);
    MR_EXPECT_OK(mr_split_states_seal(&t.states, &t.list, true, store, &full, &t.err), &t.err);
    MR_EXPECT_EQ_UINT(full.yields, 3);
    expect_at(&full, 5, "here");
    MR_EXPECT_OK(mr_split_states_seal(&t.states, &t.list, false, store, &second, &t.err), &t.err);
    MR_EXPECT_EQ_UINT(second.yields, 1);
    stop(&t);
}

MR_TEST(split_states, a_seal_that_failed_says_it_again)
{
    struct states_test t;
    struct stored stored = {.fail_at = 2};

    start(&t);
    for (uint32_t i = 0; i < 3; i++) MR_EXPECT_OK(mr_split_states_done(&t.states, i, &t.err), NULL);
    MR_EXPECT_STATUS(mr_split_states_seal(&t.states, &t.list, false, store, &stored, &t.err),
                     MR_E_NOMEM);
    stored.fail_at = 0;
    MR_EXPECT_OK(mr_split_states_seal(&t.states, &t.list, false, store, &stored, &t.err), &t.err);
    for (uint32_t i = 0; i < 3; i++) expect_done(&stored, i);
    stop(&t);
}

MR_TEST(split_states, an_open_reader_is_sealed_with_its_position)
{
    struct stored stored = {.yields = 0};
    struct mr_buffer scratch;
    struct mr_error err;

    mr_buffer_init(&scratch, mr_test_heap());
    MR_EXPECT_OK(mr_split_position_seal(15, text("byte 77"), &scratch, store, &stored, &err), &err);
    expect_at(&stored, 15, "byte 77");
    MR_EXPECT_OK(mr_split_position_seal(2, text(""), &scratch, store, &stored, &err), &err);
    expect_at(&stored, 2, "");
    mr_buffer_fini(&scratch);
}

MR_TEST(split_states, a_restored_position_is_gone_on_with_and_its_split_not_handed_out)
{
    struct states_test t;

    start(&t);
    MR_EXPECT_OK(restore(&t, 4, MR_SPLIT_AT, "abc"), &t.err);
    MR_EXPECT_OK(restore(&t, 0, MR_SPLIT_DONE, ""), &t.err);
    mr_split_states_restored(&t.states, &t.list, 0, 0, 1);
    mr_split_queue_claims_end(&t.queue);
    expect_resume(&t, 4, "abc");
    expect_no_resume(&t);
    MR_EXPECT_EQ_UINT(mr_split_queue_take(&t.queue)->ordinal, 1);
    for (uint32_t i = 0; i < SPLITS - 3; i++) {
        MR_EXPECT(mr_split_queue_take(&t.queue)->ordinal != 4);
    }
    MR_EXPECT(mr_split_queue_take(&t.queue) == NULL);
    stop(&t);
}

MR_TEST(split_states, of_several_entries_for_a_split_the_last_one_holds)
{
    struct states_test t;

    start(&t);
    MR_EXPECT_OK(restore(&t, 1, MR_SPLIT_AT, "first"), &t.err);
    MR_EXPECT_OK(restore(&t, 2, MR_SPLIT_AT, "early"), &t.err);
    MR_EXPECT_OK(restore(&t, 1, MR_SPLIT_AT, "and a longer second"), &t.err);
    MR_EXPECT_OK(restore(&t, 2, MR_SPLIT_DONE, ""), &t.err);
    MR_EXPECT_OK(restore(&t, 1, MR_SPLIT_AT, "3rd"), &t.err);
    MR_EXPECT_OK(restore(&t, 7, MR_SPLIT_DONE, ""), &t.err);
    MR_EXPECT_OK(restore(&t, 7, MR_SPLIT_AT, "back"), &t.err);
    mr_split_states_restored(&t.states, &t.list, 0, 0, 1);
    expect_resume(&t, 1, "3rd");
    expect_resume(&t, 7, "back");
    expect_no_resume(&t);
    stop(&t);
}

MR_TEST(split_states, an_empty_position_is_the_beginning)
{
    struct states_test t;

    start(&t);
    MR_EXPECT_OK(restore(&t, 6, MR_SPLIT_AT, "x"), &t.err);
    MR_EXPECT_OK(restore(&t, 6, MR_SPLIT_AT, ""), &t.err);
    mr_split_states_restored(&t.states, &t.list, 0, 0, 1);
    expect_resume(&t, 6, "");
    expect_no_resume(&t);
    stop(&t);
}

MR_TEST(split_states, splits_are_gone_on_with_in_order_the_least_first)
{
    static const uint32_t order[] = {9, 2, 14, 5, 0};
    static const uint32_t sorted[] = {0, 2, 5, 9, 14};
    struct states_test t;

    start(&t);
    for (uint32_t i = 0; i < MR_COUNT(order); i++) {
        MR_EXPECT_OK(restore(&t, order[i], MR_SPLIT_AT, "p"), &t.err);
    }
    mr_split_states_restored(&t.states, &t.list, 0, 0, 1);
    for (uint32_t i = 0; i < MR_COUNT(sorted); i++) expect_resume(&t, sorted[i], "p");
    expect_no_resume(&t);
    stop(&t);
}

MR_TEST(split_states, with_lanes_a_split_waits_until_its_lane_is_free)
{
    struct states_test t;
    struct mr_lanes lanes;
    struct mr_split_state state;

    start(&t);
    for (uint32_t i = 0; i < 4; i++) MR_EXPECT_OK(restore(&t, i, MR_SPLIT_AT, ""), &t.err);
    mr_split_states_restored(&t.states, &t.list, 2, 0, 1);
    MR_EXPECT_OK(mr_lanes_init(&lanes, mr_test_heap(), &t.list, 2, 0, 1, &t.err), &t.err);
    for (uint32_t i = 0; i < 4; i++) mr_lanes_begun(&lanes, i);
    for (uint32_t i = 0; i < 2; i++) {
        MR_EXPECT(mr_split_states_resume(&t.states, &lanes, &state));
        MR_EXPECT_EQ_UINT(state.split, i);
        mr_lanes_opened(&lanes, mr_lane_of(&lanes, state.split), state.split);
    }
    MR_EXPECT(!mr_split_states_resume(&t.states, &lanes, &state));
    mr_lanes_closed(&lanes, 1);
    MR_EXPECT(mr_split_states_resume(&t.states, &lanes, &state));
    MR_EXPECT_EQ_UINT(state.split, 3);
    mr_lanes_fini(&lanes);
    stop(&t);
}

MR_TEST(split_states, the_bound_is_the_least_of_those_to_be_gone_on_with)
{
    struct states_test t;

    start(&t);
    MR_EXPECT_EQ_INT(mr_split_states_bound(&t.states, &t.list), MR_TIME_MAX);
    t.splits[3].lower_bound_us = 50;
    t.splits[8].lower_bound_us = 20;
    t.splits[9].lower_bound_us = 10;
    MR_EXPECT_OK(restore(&t, 3, MR_SPLIT_AT, ""), &t.err);
    MR_EXPECT_OK(restore(&t, 8, MR_SPLIT_AT, ""), &t.err);
    MR_EXPECT_OK(restore(&t, 9, MR_SPLIT_DONE, ""), &t.err);
    mr_split_states_restored(&t.states, &t.list, 0, 0, 1);
    MR_EXPECT_EQ_INT(mr_split_states_bound(&t.states, &t.list), 20);
    expect_resume(&t, 3, "");
    MR_EXPECT_EQ_INT(mr_split_states_bound(&t.states, &t.list), 20);
    expect_resume(&t, 8, "");
    MR_EXPECT_EQ_INT(mr_split_states_bound(&t.states, &t.list), MR_TIME_MAX);
    stop(&t);
}

/* Whoever had a split before: after a restart with any number of instances each has one owner, who
 * goes on with it, and a full seal of all instances together is what was restored. */
static void expect_owners(uint32_t instances, uint32_t lane_count, struct mr_prng *prng)
{
    struct stored before = {.yields = 0}, after = {.yields = 0};
    uint32_t resumed[SPLITS] = {0};

    for (uint32_t s = 0; s < SPLITS; s++) {
        before.there[s] = mr_prng_below(prng, 4) != 0;
        before.kind[s] = mr_prng_below(prng, 2) == 0 ? MR_SPLIT_AT : MR_SPLIT_DONE;
        before.size[s] = 3;
        memcpy(before.position[s], "pos", 3);
        before.position[s][2] = (char)('a' + s);
        if (before.kind[s] == MR_SPLIT_AT) continue;
        before.size[s] = 8;
        put_size(before.position[s], split_size(s));
    }
    for (uint32_t i = 0; i < instances; i++) {
        struct states_test t;
        struct mr_split_state state;

        start(&t);
        for (uint32_t s = 0; s < SPLITS; s++) {
            if (!before.there[s]) continue;
            MR_EXPECT_OK(restore_bytes(&t, s, before.kind[s], before.position[s], before.size[s]),
                         &t.err);
        }
        mr_split_states_restored(&t.states, &t.list, lane_count, i, instances);
        MR_EXPECT_OK(mr_split_states_seal(&t.states, &t.list, true, store, &after, &t.err), &t.err);
        while (mr_split_states_resume(&t.states, NULL, &state)) {
            MR_EXPECT_EQ_UINT(mr_split_owner(&t.list, lane_count, state.split, instances), i);
            MR_EXPECT_EQ_BYTES(state.position, before.position[state.split], 3);
            resumed[state.split]++;
            mr_free(mr_test_heap(), state.position, state.position_bytes);
        }
        stop(&t);
    }
    for (uint32_t s = 0; s < SPLITS; s++) {
        bool at = before.there[s] && before.kind[s] == MR_SPLIT_AT;

        MR_EXPECT_EQ_UINT(resumed[s], at ? 1 : 0);
        MR_EXPECT_EQ_INT(after.there[s], before.there[s]);
        if (!before.there[s]) continue;
        MR_EXPECT_EQ_UINT(after.kind[s], before.kind[s]);
        MR_EXPECT_EQ_UINT(after.size[s], before.size[s]);
        MR_EXPECT(memcmp(after.position[s], before.position[s], after.size[s]) == 0);
    }
}

MR_TEST(split_states, after_a_restart_with_any_number_of_instances_each_split_has_one_owner)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 8, 1);
    for (uint32_t round = 0; round < 30; round++) {
        for (uint32_t instances = 1; instances <= INSTANCES; instances++) {
            for (uint32_t lanes = 0; lanes <= 4; lanes++) expect_owners(instances, lanes, &prng);
        }
    }
}

MR_TEST(split_states, what_was_restored_need_not_be_said_again_by_a_seal_that_is_not_full)
{
    struct states_test t;
    struct stored stored = {.yields = 0};

    start(&t);
    MR_EXPECT_OK(restore(&t, 1, MR_SPLIT_DONE, ""), &t.err);
    MR_EXPECT_OK(restore(&t, 2, MR_SPLIT_AT, "x"), &t.err);
    mr_split_states_restored(&t.states, &t.list, 0, 0, 1);
    MR_EXPECT_OK(mr_split_states_seal(&t.states, &t.list, false, store, &stored, &t.err), &t.err);
    MR_EXPECT_EQ_UINT(stored.yields, 0);
    stop(&t);
}

/* ---- another input ---- */

MR_TEST(split_states, a_split_read_to_its_end_that_has_another_size_now_is_refused)
{
    struct states_test t;
    char size[8];

    start(&t);
    put_size(size, split_size(3) + 1);
    MR_EXPECT_STATUS(restore_bytes(&t, 3, MR_SPLIT_DONE, size, 8), MR_E_CHANGED);
    MR_EXPECT(t.err.text[0] != '\0');
    stop(&t);
}

MR_TEST(split_states, a_size_that_is_not_known_then_or_now_is_not_compared)
{
    struct states_test t;
    char size[8];

    start(&t);
    put_size(size, 12345);
    MR_EXPECT_OK(restore_bytes(&t, 0, MR_SPLIT_DONE, size, 8), &t.err); /* unknown now */
    put_size(size, UINT64_MAX);
    MR_EXPECT_OK(restore_bytes(&t, 4, MR_SPLIT_DONE, size, 8), &t.err); /* then */
    MR_EXPECT_OK(restore_bytes(&t, 5, MR_SPLIT_DONE, "", 0), &t.err);   /* missing */
    mr_split_states_restored(&t.states, &t.list, 0, 0, 1);
    expect_no_resume(&t);
    stop(&t);
}

/* ---- what was not written by us ---- */

static void expect_corrupt(struct mr_entry entry)
{
    struct states_test t;

    start(&t);
    t.splits[1].size_bytes = UINT64_MAX;
    MR_EXPECT_STATUS(mr_split_states_restore(&t.states, &t.queue, &entry, &t.err), MR_E_CORRUPT);
    MR_EXPECT(t.err.text[0] != '\0');
    for (uint32_t i = 0; i < SPLITS; i++) MR_EXPECT(mr_split_queue_take(&t.queue) != NULL);
    stop(&t);
}

MR_TEST(split_states, entries_that_are_not_what_was_written_are_refused_and_claim_nothing)
{
    const struct mr_entry good = {
        .kind = MR_ENTRY_PUT, .state_name = "splits", .key = {"\1\0\0\0", 4}, .value = {"\0x", 2}};
    struct mr_entry bad;

    for (uint32_t kind = MR_ENTRY_REMOVE; kind <= MR_ENTRY_VALUE; kind++) {
        bad = good;
        bad.kind = (enum mr_entry_kind)kind;
        expect_corrupt(bad);
    }
    bad = good, bad.state_name = "split", expect_corrupt(bad);
    bad = good, bad.state_name = "", expect_corrupt(bad);
    bad = good, bad.value.size_bytes = 0, expect_corrupt(bad);
    bad = good, bad.value.data = "\2x", expect_corrupt(bad);
    bad = good, bad.value.data = "\377x", expect_corrupt(bad);
    for (size_t size = 2; size <= 10; size++) { /* a size has 8 bytes, or is missing */
        if (size != 9)
            bad = good, bad.value = (struct mr_bytes){"\1234567890", size}, expect_corrupt(bad);
    }
    for (size_t size = 0; size < 4; size++)
        bad = good, bad.key.size_bytes = size, expect_corrupt(bad);
    bad = good, bad.key = (struct mr_bytes){"\1\0\0\0\0", 5}, expect_corrupt(bad);
    bad = good, bad.key.data = "\20\0\0\0", expect_corrupt(bad); /* split 16 of 16 */
    bad = good, bad.key.data = "\377\377\377\377", expect_corrupt(bad);
}

/* ---- memory ---- */

MR_TEST(split_states, each_allocation_may_fail_and_nothing_leaks)
{
    MR_TORTURE(mr_test_heap()) {
        struct states_test t = {.list = {.count = SPLITS, .bounded = true}};
        struct stored stored = {.yields = 0};
        struct mr_split_state state;
        enum mr_status st;

        t.list.splits = t.splits;
        mr_split_states_init(&t.states, mr_test_heap());
        st = mr_split_queue_init(&t.queue, mr_test_heap(), &t.list, &t.err);
        for (uint32_t i = 0; i < 10 && st == MR_OK; i++)
            st = restore(&t, i, i % 3 == 0, "position");
        for (uint32_t i = 0; i < 10 && st == MR_OK; i++) st = restore(&t, i, 0, "another one");
        if (st == MR_OK) mr_split_states_restored(&t.states, &t.list, 0, 0, 2);
        if (st == MR_OK && mr_split_states_resume(&t.states, NULL, &state)) {
            mr_free(mr_test_heap(), state.position, state.position_bytes);
        }
        for (uint32_t i = 0; i < 20 && st == MR_OK; i++) {
            st = mr_split_states_left(&t.states, 10, text("left here"), &t.err);
        }
        if (st == MR_OK)
            st = mr_split_states_seal(&t.states, &t.list, true, store, &stored, &t.err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(mr_test_heap()) ? MR_E_NOMEM : MR_OK);
        mr_split_states_fini(&t.states);
        mr_split_queue_fini(&t.queue);
    }
}

MR_TEST(split_states, a_zeroed_one_may_be_ended)
{
    struct mr_split_states states = {.heap = NULL};

    mr_split_states_fini(&states);
    MR_EXPECT(states.items == NULL);
}
