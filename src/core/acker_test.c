/* acker_test.c - traces of every rule of tracking, and random trees with late, doubled and lost
 * messages against an oracle that knows every row. */
#include "base/prng.h"
#include "core/acker.h"
#include "core/edge_ids.h"
#include "mr_test.h"

#include <stdio.h>

#define SECOND ((int64_t)1000000)

struct rig {
    struct mr_arena arena;
    struct mr_acker acker;
    uint64_t sequences[4];
    struct mr_acker_actions out;
    char trace[4096];
    size_t at;
};

static void rig_init(struct rig *rig, uint32_t roots)
{
    struct mr_acker_config config = {.root_count = roots,
                                     .sender_count = 4,
                                     .owner = 5,
                                     .attempt = 7,
                                     .salt = UINT64_C(0xfeedfacecafebeef),
                                     .timeout_us = 10 * SECOND,
                                     .start = {1000}};

    memset(rig, 0, sizeof *rig);
    mr_arena_init(&rig->arena, mr_test_heap());
    MR_EXPECT_OK(mr_acker_init(&rig->acker, &rig->arena, &config, NULL), NULL);
}

static void rig_fini(struct rig *rig)
{
    mr_acker_check(&rig->acker);
    mr_arena_fini(&rig->arena);
}

static void step(struct rig *rig, const struct mr_acker_event *event)
{
    static const char *const names[] = {"completed", "failed", "timed out"};

    mr_acker_step(&rig->acker, event, &rig->out);
    mr_acker_check(&rig->acker);
    for (uint32_t i = 0; i < rig->out.count; i++) {
        const struct mr_acker_action *action = &rig->out.items[i];
        rig->at += (size_t)snprintf(rig->trace + rig->at, sizeof rig->trace - rig->at, "%s %llu; ",
                                    names[action->kind], (unsigned long long)action->row);
        MR_EXPECT(rig->at < sizeof rig->trace);
    }
}

static void expect_trace(struct rig *rig, const char *trace)
{
    MR_EXPECT_EQ_STR(rig->trace, trace);
    rig->trace[0] = '\0';
    rig->at = 0;
}

static void say(struct rig *rig, enum mr_acker_event_kind kind, uint32_t sender, uint64_t sequence,
                uint64_t root, uint64_t edges)
{
    struct mr_ack ack = {root, edges};
    struct mr_acker_event event = {.kind = kind,
                                   .sender = sender,
                                   .attempt = 7,
                                   .sequence = sequence,
                                   .acks = &ack,
                                   .count = 1,
                                   .status = MR_E_USER_FUNCTION};

    step(rig, &event);
}

static void ack(struct rig *rig, uint32_t sender, uint64_t root, uint64_t edges)
{
    say(rig, MR_ACKER_ON_ACKS, sender, ++rig->sequences[sender], root, edges);
}

static void fail(struct rig *rig, uint32_t sender, uint64_t root)
{
    say(rig, MR_ACKER_ON_FAILS, sender, ++rig->sequences[sender], root, 0);
}

static void tick(struct rig *rig, int64_t at_us, bool stopped)
{
    struct mr_acker_event event = {
        .kind = MR_ACKER_ON_TICK, .now = {1000 + at_us}, .stopped = stopped};

    step(rig, &event);
}

/* ---- trees ---- */

MR_TEST(acker, when_the_only_row_is_acknowledged_then_the_root_is_complete)
{
    struct rig rig;

    rig_init(&rig, 4);
    uint64_t root = mr_acker_begin(&rig.acker, 41, 0xa);
    expect_trace(&rig, "");
    ack(&rig, 0, root, 0xa);
    expect_trace(&rig, "completed 41; ");
    MR_EXPECT_EQ_UINT(mr_acker_room(&rig.acker), 4);
    rig_fini(&rig);
}

/* A1: the message that uses up a row names its children, so they may be heard of in any order. */
MR_TEST(acker, when_a_child_is_heard_of_before_its_parent_then_the_tree_is_not_complete)
{
    struct rig rig;

    rig_init(&rig, 4);
    uint64_t root = mr_acker_begin(&rig.acker, 1, 0xa);
    ack(&rig, 1, root, 0xb); /* the child is done with: its edge is heard of for the first time */
    ack(&rig, 2, root, 0xc);
    expect_trace(&rig, "");
    ack(&rig, 0, root, 0xa ^ 0xb ^ 0xc);
    expect_trace(&rig, "completed 1; ");
    rig_fini(&rig);
}

MR_TEST(acker, when_a_row_has_two_anchors_then_both_roots_wait_for_it)
{
    struct rig rig;

    rig_init(&rig, 4);
    uint64_t left = mr_acker_begin(&rig.acker, 1, 0xa);
    uint64_t right = mr_acker_begin(&rig.acker, 2, 0xb);
    ack(&rig, 0, left, 0xa ^ 0xc);
    ack(&rig, 0, right, 0xb ^ 0xc);
    expect_trace(&rig, "");
    ack(&rig, 1, right, 0xc);
    expect_trace(&rig, "completed 2; ");
    ack(&rig, 1, left, 0xc);
    expect_trace(&rig, "completed 1; ");
    rig_fini(&rig);
}

/* ---- messages ---- */

/* A2: counted twice, the child's edge would vanish, and its loss go unnoticed (or the other way).
 * */
MR_TEST(acker, when_a_message_comes_twice_then_it_counts_once)
{
    struct rig rig;

    rig_init(&rig, 4);
    uint64_t root = mr_acker_begin(&rig.acker, 1, 0xa);
    say(&rig, MR_ACKER_ON_ACKS, 0, 1, root, 0xa ^ 0xb);
    say(&rig, MR_ACKER_ON_ACKS, 0, 1, root, 0xa ^ 0xb);
    say(&rig, MR_ACKER_ON_ACKS, 1, 1, root, 0xb); /* another sender has numbers of its own */
    expect_trace(&rig, "completed 1; ");
    MR_EXPECT_EQ_UINT(rig.acker.discarded, 1);
    rig_fini(&rig);
}

MR_TEST(acker, when_a_message_of_another_attempt_comes_then_it_does_not_count)
{
    struct rig rig;
    struct mr_ack ack_of = {0, 0xa};
    struct mr_acker_event event = {
        .kind = MR_ACKER_ON_ACKS, .attempt = 6, .sequence = 1, .acks = &ack_of, .count = 1};

    rig_init(&rig, 4);
    ack_of.root = mr_acker_begin(&rig.acker, 1, 0xa);
    step(&rig, &event);
    expect_trace(&rig, "");
    event.attempt = 7;
    step(&rig, &event);
    expect_trace(&rig, "completed 1; ");
    rig_fini(&rig);
}

/* What was lost is not complete: the root times out, and later messages of the sender count. */
MR_TEST(acker, when_a_message_is_lost_then_the_root_stays_open_and_the_gap_is_counted)
{
    struct rig rig;

    rig_init(&rig, 4);
    uint64_t lost = mr_acker_begin(&rig.acker, 1, 0xa);
    uint64_t next = mr_acker_begin(&rig.acker, 2, 0xb);
    say(&rig, MR_ACKER_ON_ACKS, 0, 2, next, 0xb);
    expect_trace(&rig, "completed 2; ");
    say(&rig, MR_ACKER_ON_ACKS, 0, 1, lost, 0xa); /* too late */
    expect_trace(&rig, "");
    MR_EXPECT_EQ_UINT(rig.acker.lost, 1);
    rig_fini(&rig);
}

/* ---- failure and replay ---- */

/* A3: the row goes out again under a new id; words about the old one find nothing. */
MR_TEST(acker, when_a_row_is_sent_again_then_words_about_the_first_try_are_ignored)
{
    struct rig rig;

    rig_init(&rig, 1);
    uint64_t first = mr_acker_begin(&rig.acker, 1, 0xa);
    fail(&rig, 0, first);
    fail(&rig, 1, first);
    expect_trace(&rig, "failed 1; ");
    uint64_t second = mr_acker_begin(&rig.acker, 1, 0xb);
    MR_EXPECT(first != second);
    ack(&rig, 2, first, 0xb);
    fail(&rig, 2, first);
    expect_trace(&rig, "");
    ack(&rig, 2, second, 0xb);
    expect_trace(&rig, "completed 1; ");
    MR_EXPECT_EQ_UINT(rig.acker.dead, 3);
    rig_fini(&rig);
}

/* Words about a root find their way by its id alone, however often its place was used. */
MR_TEST(acker, the_owner_stays_in_the_id_when_the_counter_comes_round)
{
    struct rig rig;

    rig_init(&rig, 1);
    rig.acker.roots[0].id |= (UINT64_C(1) << 52) - 1; /* the last use before it comes round */
    for (uint64_t i = 0; i < 3; i++) {
        uint64_t root = mr_acker_begin(&rig.acker, i, 0xa);
        MR_EXPECT_EQ_UINT(mr_acker_owner(root), 5);
        ack(&rig, 0, root, 0xa);
    }
    expect_trace(&rig, "completed 0; completed 1; completed 2; ");
    rig_fini(&rig);
}

/* The id of a free place is that of its next root: hearing it early must not do harm. */
MR_TEST(acker, when_an_id_that_was_never_given_is_named_then_nothing_happens)
{
    struct rig rig;

    rig_init(&rig, 2);
    uint64_t root = mr_acker_begin(&rig.acker, 1, 0xa);
    ack(&rig, 0, root + 2, 0xa);
    ack(&rig, 0, root ^ 1, 0xa);
    expect_trace(&rig, "");
    MR_EXPECT_EQ_UINT(mr_acker_room(&rig.acker), 1);
    rig_fini(&rig);
}

/* A5: the source is told to wait, by room; beginning all the same is a bug. */
MR_TEST(acker, when_the_table_is_full_then_there_is_no_room)
{
    struct rig rig;

    rig_init(&rig, 3); /* rounded up */
    for (uint64_t i = 0; i < 4; i++) (void)mr_acker_begin(&rig.acker, i, 1);
    MR_EXPECT_EQ_UINT(mr_acker_room(&rig.acker), 0);
    MR_EXPECT_PANIC((void)mr_acker_begin(&rig.acker, 9, 1));
    rig_fini(&rig);
}

/* ---- time ---- */

MR_TEST(acker, when_nothing_is_heard_of_a_root_then_it_times_out)
{
    struct rig rig;

    rig_init(&rig, 4);
    (void)mr_acker_begin(&rig.acker, 1, 0xa);
    tick(&rig, 10 * SECOND, false);
    expect_trace(&rig, "");
    tick(&rig, 10 * SECOND + 3 * MR_ACKER_BEAT_US, false);
    expect_trace(&rig, "timed out 1; ");
    rig_fini(&rig);
}

/* A tree that moves on is slow, not lost. */
MR_TEST(acker, when_a_root_makes_progress_then_its_time_begins_anew)
{
    struct rig rig;

    rig_init(&rig, 4);
    uint64_t moving = mr_acker_begin(&rig.acker, 1, 0xa);
    (void)mr_acker_begin(&rig.acker, 2, 0xb);
    tick(&rig, 9 * SECOND, false);
    ack(&rig, 0, moving, 0xa ^ 0xc);
    tick(&rig, 12 * SECOND, false);
    expect_trace(&rig, "timed out 2; ");
    tick(&rig, 20 * SECOND, false);
    expect_trace(&rig, "timed out 1; ");
    rig_fini(&rig);
}

/* Sending rows again because the sink stands still would only make it worse. */
MR_TEST(acker, while_the_flow_is_stopped_by_back_pressure_time_does_not_count)
{
    struct rig rig;

    rig_init(&rig, 4);
    (void)mr_acker_begin(&rig.acker, 1, 0xa);
    for (int64_t s = 1; s <= 600; s++) tick(&rig, s * SECOND, true);
    expect_trace(&rig, "");
    tick(&rig, 609 * SECOND, false);
    expect_trace(&rig, "");
    tick(&rig, 611 * SECOND, false);
    expect_trace(&rig, "timed out 1; ");
    rig_fini(&rig);
}

/* ... unless rows do get through: then the one that does not is worth a look. */
MR_TEST(acker, when_others_are_acknowledged_then_time_counts_under_back_pressure)
{
    struct rig rig;

    rig_init(&rig, 4);
    (void)mr_acker_begin(&rig.acker, 1, 0xa);
    for (int64_t s = 1; s <= 12; s++) {
        uint64_t other = mr_acker_begin(&rig.acker, 2, 0xb);
        ack(&rig, 0, other, 0xb);
        tick(&rig, s * SECOND, true);
    }
    MR_EXPECT_CONTAINS(rig.trace, "timed out 1; ");
    rig_fini(&rig);
}

/* Rows in front of it took 40 s each to get through a queue: so may this one. */
MR_TEST(acker, when_others_took_long_then_a_root_may_take_as_long_and_the_time_out)
{
    struct rig rig;
    uint64_t slow[5];

    rig_init(&rig, 8);
    for (uint64_t i = 0; i < 5; i++) slow[i] = mr_acker_begin(&rig.acker, i, 0xa);
    for (int64_t s = 1; s <= 40; s++) { /* something of each moves now and then */
        tick(&rig, s * SECOND, false);
        for (uint64_t i = 0; i < 5; i++) ack(&rig, 0, slow[i], 0xb);
    }
    ack(&rig, 0, slow[0], 0xa); /* 40 s */
    expect_trace(&rig, "completed 0; ");
    (void)mr_acker_begin(&rig.acker, 9, 0xa);
    tick(&rig, 52 * SECOND, false);
    expect_trace(&rig, "");
    tick(&rig, 65 * SECOND, false); /* forgotten after two windows of nothing like it */
    MR_EXPECT_CONTAINS(rig.trace, "timed out 9; ");
    rig_fini(&rig);
}

MR_TEST(acker, when_the_clock_goes_back_then_nothing_happens)
{
    struct rig rig;

    rig_init(&rig, 4);
    (void)mr_acker_begin(&rig.acker, 1, 0xa);
    tick(&rig, 5 * SECOND, false);
    tick(&rig, -3600 * SECOND, false);
    tick(&rig, 9 * SECOND, false);
    expect_trace(&rig, "");
    rig_fini(&rig);
}

/* A tick is bounded; the next ones find the rest. */
MR_TEST(acker, when_more_roots_time_out_than_a_tick_may_tell_then_the_next_ticks_tell_them)
{
    struct rig rig;
    uint32_t rounds = 0;

    rig_init(&rig, 2 * MR_ACKER_ACTIONS_MAX);
    for (uint64_t i = 0; i < 2 * MR_ACKER_ACTIONS_MAX; i++) (void)mr_acker_begin(&rig.acker, i, 1);
    for (; rig.acker.timed_out < 2 * MR_ACKER_ACTIONS_MAX && rounds < 10; rounds++) {
        struct mr_acker_event event = {.kind = MR_ACKER_ON_TICK, .now = {60 * SECOND}};
        mr_acker_step(&rig.acker, &event, &rig.out);
        mr_acker_check(&rig.acker);
    }
    MR_EXPECT_EQ_UINT(rounds, 2);
    rig_fini(&rig);
}

/* ---- configuration, memory ---- */

MR_TEST(acker, refuses_a_configuration_that_makes_no_sense)
{
    struct mr_arena arena;
    struct mr_acker acker;
    struct mr_acker_config good = {.root_count = 1, .sender_count = 1, .timeout_us = 1};
    struct mr_acker_config bad = good;

    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT_OK(mr_acker_init(&acker, &arena, &good, NULL), NULL);
    bad.root_count = 0;
    MR_EXPECT_STATUS(mr_acker_init(&acker, &arena, &bad, NULL), MR_E_INVALID);
    bad.root_count = MR_ACKER_ROOTS_MAX + 1;
    MR_EXPECT_STATUS(mr_acker_init(&acker, &arena, &bad, NULL), MR_E_INVALID);
    bad = good;
    bad.sender_count = 0;
    MR_EXPECT_STATUS(mr_acker_init(&acker, &arena, &bad, NULL), MR_E_INVALID);
    bad = good;
    bad.timeout_us = 0;
    MR_EXPECT_STATUS(mr_acker_init(&acker, &arena, &bad, NULL), MR_E_INVALID);
    mr_arena_fini(&arena);
}

MR_TEST(acker, when_memory_is_refused_then_init_says_so)
{
    struct mr_acker_config config = {.root_count = 5000, .sender_count = 3, .timeout_us = 1};
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_arena arena;
        struct mr_acker acker;
        mr_arena_init(&arena, heap);
        enum mr_status st = mr_acker_init(&acker, &arena, &config, NULL);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_arena_fini(&arena);
    }
}

/* ---- random trees ----
 * Rows are worked on in any order by any of four operators; what they say travels in one queue per
 * operator to the acker, and queues move in any order. The oracle counts, per try of a source row,
 * the rows made from it that nobody has worked on: it knows nothing of edges or XOR. */

#define TRIES   400u
#define ROWS    4096u
#define QUEUE   64u
#define SENDERS 4u

enum try_state { TRY_OPEN, TRY_COMPLETED, TRY_FAILED, TRY_TIMED_OUT };

struct
try {
    uint64_t root;
    uint32_t rows;  /* on their way */
    uint32_t words; /* messages about it on their way */
    bool damaged;   /* a message about it was lost: it must not be completed, or */
    bool failing;   /* an operator has given it up */
    enum try_state state;
};

struct row {
    uint32_t tries[2];
    uint32_t count;
    uint64_t edges[2];
};

struct message {
    uint64_t sequence;
    bool fails;
    uint32_t count;
    uint32_t tries[2];
    struct mr_ack acks[2];
};

struct world {
    struct mr_prng prng;
    struct mr_edge_ids ids;
    struct mr_arena arena;
    struct mr_acker acker;
    struct try tries[TRIES];
    uint32_t try_count;
    struct row rows[ROWS];
    uint32_t row_count;
    struct message queues[SENDERS][QUEUE];
    uint32_t queued[SENDERS];
    uint64_t sequences[SENDERS];
    int64_t now_us;
    bool faults; /* messages are doubled and lost */
    uint64_t completed, failed, timed_out;
};

static bool chance(struct world *world, uint32_t percent)
{
    return mr_prng_below(&world->prng, 100) < percent;
}

static void world_begin(struct world *world)
{
    struct try *try = &world->tries[world->try_count];
    uint64_t edge = mr_edge_ids_next(&world->ids);

    if (world->try_count == TRIES || world->row_count == ROWS) return;
    if (mr_acker_room(&world->acker) == 0) return;
    *try = (struct try){.root = mr_acker_begin(&world->acker, world->try_count, edge), .rows = 1};
    world->rows[world->row_count++] =
        (struct row){.tries = {world->try_count}, .count = 1, .edges = {edge}};
    world->try_count++;
}

/* Makes up to three children of the row at hand; a child may have the second row's anchors too. */
static void make_children(struct world *world, const struct row *row, uint64_t * xor)
{
    uint32_t count = (uint32_t)mr_prng_below(&world->prng, 3);

    if (world->try_count >= TRIES || world->row_count > 40) count = MR_MIN(count, 1u);
    for (uint32_t i = 0; i < count && world->row_count < ROWS; i++) {
        struct row child = *row;
        for (uint32_t a = 0; a < child.count; a++) {
            child.edges[a] = mr_edge_ids_next(&world->ids);
            xor[a] ^= child.edges[a];
            world->tries[child.tries[a]].rows++;
        }
        world->rows[world->row_count++] = child;
    }
}

static struct row take_row(struct world *world)
{
    uint32_t at = (uint32_t)mr_prng_below(&world->prng, world->row_count);
    struct row row = world->rows[at];

    world->rows[at] = world->rows[--world->row_count];
    return row;
}

/* An operator works on a row, or on two at once as a join does. */
static void world_work(struct world *world)
{
    uint32_t sender = (uint32_t)mr_prng_below(&world->prng, SENDERS);
    struct message *message = &world->queues[sender][world->queued[sender]];
    struct row row;
    uint64_t xor [2] = {0, 0};

    if (world->row_count == 0 || world->queued[sender] == QUEUE) return;
    row = take_row(world);
    if (row.count == 1 && world->row_count > 0 && chance(world, 20)) {
        struct row other = take_row(world);
        if (other.count == 1 && other.tries[0] != row.tries[0]) {
            row.tries[1] = other.tries[0];
            row.edges[1] = other.edges[0];
            row.count = 2;
        } else {
            world->rows[world->row_count++] = other;
        }
    }
    *message = (struct message){.sequence = ++world->sequences[sender], .count = row.count};
    message->fails = chance(world, 3);
    for (uint32_t a = 0; a < row.count; a++) xor[a] = row.edges[a];
    if (!message->fails) make_children(world, &row, xor);
    for (uint32_t a = 0; a < row.count; a++) {
        struct try *try = &world->tries[row.tries[a]];
        try->rows--;
        try->words++;
        try->failing |= message->fails;
        message->tries[a] = row.tries[a];
        message->acks[a] = (struct mr_ack){try->root, xor[a]};
    }
    world->queued[sender]++;
}

static void world_hear(struct world *world, const struct mr_acker_actions *out)
{
    for (uint32_t i = 0; i < out->count; i++) {
        const struct mr_acker_action *action = &out->items[i];
        struct try *try = &world->tries[action->row];

        MR_EXPECT(action->root == try->root);
        MR_EXPECT(try->state == TRY_OPEN); /* once */
        if (action->kind == MR_ACKER_COMPLETED) {
            MR_EXPECT_EQ_UINT(try->rows, 0);
            MR_EXPECT_EQ_UINT(try->words, 0);
            MR_EXPECT(!try->damaged && !try->failing);
            try->state = TRY_COMPLETED;
            world->completed++;
        } else if (action->kind == MR_ACKER_FAILED) {
            MR_EXPECT(try->failing);
            MR_EXPECT_EQ_INT(action->status, MR_E_EVALUATE);
            try->state = TRY_FAILED;
            world->failed++;
        } else {
            try->state = TRY_TIMED_OUT;
            world->timed_out++;
        }
    }
}

static void give(struct world *world, uint32_t sender, const struct message *message)
{
    struct mr_acker_event event = {.kind = message->fails ? MR_ACKER_ON_FAILS : MR_ACKER_ON_ACKS,
                                   .sender = sender,
                                   .attempt = 1,
                                   .sequence = message->sequence,
                                   .acks = message->acks,
                                   .count = message->count,
                                   .status = MR_E_EVALUATE};
    struct mr_acker_actions out;

    mr_acker_step(&world->acker, &event, &out);
    mr_acker_check(&world->acker);
    world_hear(world, &out);
}

/* The first message of a queue arrives, perhaps twice, or is lost. */
static void world_deliver(struct world *world, uint32_t sender)
{
    struct message message;
    bool lost = world->faults && chance(world, 2);

    if (world->queued[sender] == 0) return;
    message = world->queues[sender][0];
    memmove(&world->queues[sender][0], &world->queues[sender][1],
            --world->queued[sender] * sizeof message);
    for (uint32_t a = 0; a < message.count; a++) {
        struct try *try = &world->tries[message.tries[a]];
        try->words--;
        try->damaged |= lost;
    }
    if (lost) return;
    give(world, sender, &message);
    if (world->faults && chance(world, 10)) give(world, sender, &message);
}

static void world_tick(struct world *world, int64_t by_us)
{
    struct mr_acker_event event = {.kind = MR_ACKER_ON_TICK};
    struct mr_acker_actions out;

    world->now_us += by_us;
    event.now.us = world->now_us;
    mr_acker_step(&world->acker, &event, &out);
    mr_acker_check(&world->acker);
    world_hear(world, &out);
}

static void world_run(struct world *world, uint64_t seed, bool faults)
{
    uint64_t key[4] = {seed, 1, 2, 3};
    struct mr_acker_config config = {.root_count = 1u << (seed % 6),
                                     .sender_count = SENDERS,
                                     .attempt = 1,
                                     .salt = seed * UINT64_C(0x9e3779b97f4a7c15),
                                     .timeout_us = SECOND};

    memset(world, 0, sizeof *world);
    world->faults = faults;
    mr_prng_init(&world->prng, seed, 0);
    mr_edge_ids_init(&world->ids, key, 0);
    mr_arena_init(&world->arena, mr_test_heap());
    MR_EXPECT_OK(mr_acker_init(&world->acker, &world->arena, &config, NULL), NULL);
    for (uint32_t turn = 0; turn < 3000; turn++) {
        switch (mr_prng_below(&world->prng, 4)) {
        case 0: world_begin(world); break;
        case 1: world_work(world); break;
        case 2: world_deliver(world, (uint32_t)mr_prng_below(&world->prng, SENDERS)); break;
        default: world_tick(world, (int64_t)mr_prng_below(&world->prng, 2000)); break;
        }
    }
    while (world->row_count > 0) { /* heal: everything that is on its way arrives */
        world_work(world);
        for (uint32_t sender = 0; sender < SENDERS; sender++) world_deliver(world, sender);
    }
    for (uint32_t sender = 0; sender < SENDERS; sender++) {
        while (world->queued[sender] > 0) world_deliver(world, sender);
    }
}

static void world_fini(struct world *world)
{
    MR_EXPECT_EQ_UINT(world->acker.completed, world->completed);
    MR_EXPECT_EQ_UINT(world->acker.failed, world->failed);
    mr_arena_fini(&world->arena);
}

/* Never early, never twice; and once all has arrived, nothing is left open. */
MR_TEST(acker, in_random_trees_a_root_is_complete_exactly_when_nothing_of_it_is_left)
{
    static struct world world;
    uint64_t completed = 0;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        world_run(&world, seed, false);
        for (uint32_t i = 0; i < world.try_count; i++) {
            MR_EXPECT(world.tries[i].state != TRY_OPEN);
        }
        MR_EXPECT_EQ_UINT(mr_acker_room(&world.acker), world.acker.root_count);
        completed += world.completed;
        world_fini(&world);
    }
    MR_EXPECT(completed > 10000); /* the test reached what it is about */
}

/* Lost messages leave roots open, and only those; they time out, and nothing is completed
 * wrongly. */
MR_TEST(acker, when_messages_are_lost_and_doubled_then_what_they_damaged_times_out)
{
    static struct world world;
    uint64_t timed_out = 0;

    for (uint64_t seed = 1; seed <= 300; seed++) {
        world_run(&world, seed, true);
        for (uint32_t i = 0; i < world.try_count; i++) {
            if (world.tries[i].state == TRY_OPEN) MR_EXPECT(world.tries[i].damaged);
        }
        for (uint32_t i = 0; i < 8; i++) world_tick(&world, 60 * SECOND);
        MR_EXPECT_EQ_UINT(mr_acker_room(&world.acker), world.acker.root_count);
        timed_out += world.timed_out;
        world_fini(&world);
    }
    MR_EXPECT(timed_out > 100);
}
