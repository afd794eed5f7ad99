/* align_test.c - alignment by trace, every pair of state and event, and against a naive oracle. */
#include "base/prng.h"
#include "core/align.h"
#include "mr_test.h"

#include <stdio.h>

struct rig {
    struct mr_arena arena;
    struct mr_align align;
    char trace[4096];
    size_t at;
};

static void rig_init(struct rig *rig, uint32_t inputs, uint64_t last_epoch)
{
    mr_arena_init(&rig->arena, mr_test_heap());
    MR_EXPECT_OK(mr_align_init(&rig->align, &rig->arena, inputs, last_epoch, NULL), NULL);
    rig->trace[0] = '\0';
    rig->at = 0;
}

static void rig_fini(struct rig *rig)
{
    mr_arena_fini(&rig->arena);
}

static void say(struct rig *rig, const struct mr_align_action *action)
{
    static const char *const names[] = {"block", "unblock", "snapshot", "aborted"};
    char *at = rig->trace + rig->at;
    size_t room = sizeof rig->trace - rig->at;
    int size;

    if (action->kind == MR_ALIGN_BLOCK) {
        size = snprintf(at, room, "e%llu block %u; ", (unsigned long long)action->epoch,
                        action->input);
    } else {
        size = snprintf(at, room, "e%llu %s; ", (unsigned long long)action->epoch,
                        names[action->kind]);
    }
    rig->at += (size_t)size;
    MR_EXPECT(rig->at < sizeof rig->trace);
}

static uint32_t step(struct rig *rig, enum mr_align_event_kind kind, uint32_t input, uint64_t epoch)
{
    struct mr_align_event event = {kind, input, epoch};
    struct mr_align_actions out;

    mr_align_step(&rig->align, &event, &out);
    for (uint32_t i = 0; i < out.count; i++) say(rig, &out.items[i]);
    return out.count;
}

static void expect_trace(struct rig *rig, const char *trace)
{
    MR_EXPECT_EQ_STR(rig->trace, trace);
    rig->trace[0] = '\0';
    rig->at = 0;
}

#define BARRIER(rig, input, epoch) step(rig, MR_ALIGN_BARRIER, input, epoch)
#define CLOSED(rig, input)         step(rig, MR_ALIGN_CLOSED, input, 0)
#define CANCEL(rig, epoch)         step(rig, MR_ALIGN_CANCEL, 0, epoch)
#define EPOCH(rig, epoch)          step(rig, MR_ALIGN_EPOCH, 0, epoch)

/* ---- the cut ---- */

/* A slow input must not tear a snapshot: the fast one waits, then all move at once. */
MR_TEST(align, when_one_input_lags_then_the_other_waits)
{
    struct rig rig;

    rig_init(&rig, 2, 0);
    BARRIER(&rig, 0, 1);
    expect_trace(&rig, "e1 block 0; ");
    MR_EXPECT(mr_align_blocked(&rig.align, 0));
    MR_EXPECT(!mr_align_blocked(&rig.align, 1));
    BARRIER(&rig, 1, 1);
    expect_trace(&rig, "e1 block 1; e1 snapshot; e1 unblock; ");
    MR_EXPECT(!mr_align_blocked(&rig.align, 0));
    rig_fini(&rig);
}

MR_TEST(align, when_there_is_one_input_then_its_barrier_is_the_snapshot)
{
    struct rig rig;

    rig_init(&rig, 1, 0);
    for (uint64_t epoch = 1; epoch <= 2; epoch++) BARRIER(&rig, 0, epoch);
    expect_trace(&rig,
                 "e1 block 0; e1 snapshot; e1 unblock; e2 block 0; e2 snapshot; e2 unblock; ");
    rig_fini(&rig);
}

/* Bits beyond the first word are inputs like any other. */
MR_TEST(align, when_there_are_many_inputs_then_the_last_one_decides)
{
    struct rig rig;

    rig_init(&rig, 130, 0);
    for (uint32_t input = 129; input > 0; input--) BARRIER(&rig, input, 1);
    MR_EXPECT_EQ_UINT(rig.align.blocked_count, 129);
    MR_EXPECT(mr_align_blocked(&rig.align, 64));
    rig.at = 0;
    BARRIER(&rig, 0, 1);
    expect_trace(&rig, "e1 block 0; e1 snapshot; e1 unblock; ");
    for (uint32_t input = 0; input < 130; input++) MR_EXPECT(!mr_align_blocked(&rig.align, input));
    rig_fini(&rig);
}

/* ---- end of input ---- */

/* An ended input has delivered every later barrier; the others must not wait for it. */
MR_TEST(align, when_the_lagging_input_ends_then_the_snapshot_is_taken)
{
    struct rig rig;

    rig_init(&rig, 3, 0);
    BARRIER(&rig, 0, 1);
    CLOSED(&rig, 1);
    expect_trace(&rig, "e1 block 0; ");
    CLOSED(&rig, 2);
    expect_trace(&rig, "e1 snapshot; e1 unblock; ");
    BARRIER(&rig, 0, 2);
    expect_trace(&rig, "e2 block 0; e2 snapshot; e2 unblock; ");
    rig_fini(&rig);
}

/* Output after the end commits with a later epoch, so the task must take part in it. */
MR_TEST(align, when_all_inputs_ended_then_the_coordinators_word_is_the_barrier)
{
    struct rig rig;

    rig_init(&rig, 2, 0);
    EPOCH(&rig, 1);
    CLOSED(&rig, 0);
    expect_trace(&rig, "");
    CLOSED(&rig, 1); /* epoch 1 was announced and nobody can bring its barrier any more */
    expect_trace(&rig, "e1 snapshot; ");
    EPOCH(&rig, 1); /* twice */
    expect_trace(&rig, "");
    EPOCH(&rig, 3);
    expect_trace(&rig, "e3 snapshot; ");
    EPOCH(&rig, 2); /* late */
    expect_trace(&rig, "");
    rig_fini(&rig);
}

/* The coordinator's words may come out of order: the newest is the one that counts. */
MR_TEST(align, when_words_of_the_coordinator_swap_then_the_end_seals_the_newest)
{
    struct rig rig;

    rig_init(&rig, 1, 0);
    EPOCH(&rig, 2);
    EPOCH(&rig, 1);
    CLOSED(&rig, 0);
    expect_trace(&rig, "e2 snapshot; ");
    rig_fini(&rig);
}

/* While an input is open its barrier says where the cut lies; the coordinator's word does not. */
MR_TEST(align, when_an_input_is_open_then_the_coordinators_word_waits_for_its_barrier)
{
    struct rig rig;

    rig_init(&rig, 2, 0);
    CLOSED(&rig, 0);
    EPOCH(&rig, 1);
    expect_trace(&rig, "");
    BARRIER(&rig, 1, 1);
    expect_trace(&rig, "e1 block 1; e1 snapshot; e1 unblock; ");
    CLOSED(&rig, 1); /* epoch 1 is not sealed twice */
    expect_trace(&rig, "");
    rig_fini(&rig);
}

MR_TEST(align, when_there_are_no_inputs_then_it_is_a_source_and_follows_the_coordinator)
{
    struct rig rig;

    rig_init(&rig, 0, 4);
    EPOCH(&rig, 4); /* the restored one */
    expect_trace(&rig, "");
    EPOCH(&rig, 5);
    CANCEL(&rig, 6);
    EPOCH(&rig, 6);
    EPOCH(&rig, 7);
    expect_trace(&rig, "e5 snapshot; e6 aborted; e7 snapshot; ");
    rig_fini(&rig);
}

/* ---- overtaking and cancelling ---- */

/* The coordinator gave up epoch 1 and its cancel is slower than the next barrier (museum 7). */
MR_TEST(align, when_a_newer_barrier_comes_then_the_older_alignment_is_aborted)
{
    struct rig rig;

    rig_init(&rig, 3, 0);
    BARRIER(&rig, 0, 1);
    BARRIER(&rig, 1, 2);
    expect_trace(&rig, "e1 block 0; e1 aborted; e1 unblock; e2 block 1; ");
    BARRIER(&rig, 2, 1); /* late */
    expect_trace(&rig, "");
    BARRIER(&rig, 2, 2);
    CANCEL(&rig, 1); /* late */
    BARRIER(&rig, 0, 2);
    expect_trace(&rig, "e2 block 2; e2 block 0; e2 snapshot; e2 unblock; ");
    rig_fini(&rig);
}

MR_TEST(align, when_an_epoch_is_cancelled_during_its_alignment_then_all_inputs_are_read_again)
{
    struct rig rig;

    rig_init(&rig, 2, 0);
    BARRIER(&rig, 0, 1);
    CANCEL(&rig, 1);
    CANCEL(&rig, 1);
    expect_trace(&rig, "e1 block 0; e1 aborted; e1 unblock; ");
    BARRIER(&rig, 1, 1); /* after the cancel */
    expect_trace(&rig, "");
    rig_fini(&rig);
}

MR_TEST(align, when_the_cancel_comes_before_the_barriers_then_these_are_dropped)
{
    struct rig rig;

    rig_init(&rig, 2, 0);
    CANCEL(&rig, 1);
    BARRIER(&rig, 0, 1);
    BARRIER(&rig, 1, 1);
    expect_trace(&rig, "e1 aborted; ");
    BARRIER(&rig, 0, 2);
    BARRIER(&rig, 1, 2);
    expect_trace(&rig, "e2 block 0; e2 block 1; e2 snapshot; e2 unblock; ");
    rig_fini(&rig);
}

/* What is sealed is sealed: whether it counts is the coordinator's business. */
MR_TEST(align, when_the_cancel_comes_after_the_snapshot_then_nothing_happens)
{
    struct rig rig;

    rig_init(&rig, 1, 0);
    BARRIER(&rig, 0, 1);
    rig.at = 0;
    CANCEL(&rig, 1);
    MR_EXPECT_EQ_UINT(rig.at, 0);
    rig_fini(&rig);
}

MR_TEST(align, when_a_newer_epoch_is_cancelled_then_the_older_alignment_is_over_too)
{
    struct rig rig;

    rig_init(&rig, 2, 0);
    BARRIER(&rig, 0, 1);
    CANCEL(&rig, 3);
    expect_trace(&rig, "e1 block 0; e1 aborted; e1 unblock; e3 aborted; ");
    BARRIER(&rig, 1, 2);
    BARRIER(&rig, 1, 3);
    expect_trace(&rig, "");
    BARRIER(&rig, 1, 4);
    expect_trace(&rig, "e4 block 1; ");
    CANCEL(&rig, 2); /* late: epoch 4 goes on */
    expect_trace(&rig, "");
    rig_fini(&rig);
}

/* A cancelled epoch that was announced must not come back when the last input ends. */
MR_TEST(align, when_an_announced_epoch_is_cancelled_then_the_end_does_not_seal_it)
{
    struct rig rig;

    rig_init(&rig, 1, 0);
    EPOCH(&rig, 1);
    CANCEL(&rig, 1);
    CLOSED(&rig, 0);
    expect_trace(&rig, "e1 aborted; ");
    rig_fini(&rig);
}

MR_TEST(align, when_restored_then_barriers_up_to_the_restored_epoch_are_dropped)
{
    struct rig rig;

    rig_init(&rig, 1, 7);
    BARRIER(&rig, 0, 7);
    expect_trace(&rig, "");
    BARRIER(&rig, 0, 8);
    expect_trace(&rig, "e8 block 0; e8 snapshot; e8 unblock; ");
    rig_fini(&rig);
}

/* ---- bugs and memory ---- */

MR_TEST(align, when_a_blocked_or_ended_input_speaks_then_it_is_a_bug)
{
    struct rig rig;

    rig_init(&rig, 3, 0);
    BARRIER(&rig, 0, 1);
    CLOSED(&rig, 2);
    MR_EXPECT_PANIC(BARRIER(&rig, 0, 1));
    MR_EXPECT_PANIC(BARRIER(&rig, 0, 2));
    MR_EXPECT_PANIC(CLOSED(&rig, 0));
    MR_EXPECT_PANIC(BARRIER(&rig, 2, 1));
    MR_EXPECT_PANIC(CLOSED(&rig, 2));
    MR_EXPECT_PANIC(BARRIER(&rig, 3, 1));
    MR_EXPECT_PANIC(BARRIER(&rig, 1, 0));
    rig_fini(&rig);
}

MR_TEST(align, when_memory_is_short_then_init_says_so)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_arena arena;
        struct mr_align align;
        enum mr_status st;

        mr_arena_init(&arena, heap);
        st = mr_align_init(&align, &arena, 100, 0, NULL);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_arena_fini(&arena);
    }
}

/* ---- random events against a naive oracle ---- */

/* The oracle remembers which barriers each input delivered, and the fate of every epoch; what
 * follows is asked anew of this history. Nothing in it is "the epoch being aligned". */
enum { EPOCHS = 200, INPUTS = 9 };
enum fate { FREE, SEALED, GONE };
struct oracle {
    uint32_t inputs;
    bool delivered[EPOCHS][INPUTS];
    bool ended[INPUTS];
    bool announced[EPOCHS];
    enum fate fate[EPOCHS];
    char trace[512];
};

static void oracle_say(struct oracle *oracle, const char *what, int epoch)
{
    size_t at = strlen(oracle->trace);

    (void)snprintf(oracle->trace + at, sizeof oracle->trace - at, "e%d %s; ", epoch, what);
}

static bool anyone_waits(const struct oracle *oracle, int epoch)
{
    for (uint32_t i = 0; i < oracle->inputs; i++) {
        if (oracle->delivered[epoch][i]) return oracle->fate[epoch] == FREE;
    }
    return false;
}

static bool is_blocked(const struct oracle *oracle, uint32_t input)
{
    for (int n = 1; n < EPOCHS; n++) {
        if (oracle->fate[n] == FREE && oracle->delivered[n][input]) return true;
    }
    return false;
}

static bool all_ended(const struct oracle *oracle)
{
    for (uint32_t i = 0; i < oracle->inputs; i++) {
        if (!oracle->ended[i]) return false;
    }
    return true;
}

/* Every epoch before n is over: those in alignment are said to be. */
static void oracle_end_before(struct oracle *oracle, int n)
{
    for (int m = 1; m < n; m++) {
        if (anyone_waits(oracle, m)) {
            oracle_say(oracle, "aborted", m);
            oracle_say(oracle, "unblock", m);
        }
        if (oracle->fate[m] == FREE) oracle->fate[m] = GONE;
    }
}

static void oracle_seal(struct oracle *oracle, int n)
{
    bool waits = anyone_waits(oracle, n);

    for (uint32_t i = 0; i < oracle->inputs; i++) {
        if (!oracle->ended[i] && !oracle->delivered[n][i]) return;
    }
    if (!waits && !(oracle->announced[n] && all_ended(oracle))) return;
    oracle_say(oracle, "snapshot", n);
    if (waits) oracle_say(oracle, "unblock", n);
    oracle->fate[n] = SEALED;
    for (int m = 1; m < n; m++) {
        if (oracle->fate[m] == FREE) oracle->fate[m] = GONE;
    }
}

static void oracle_event(struct oracle *oracle, const struct mr_align_event *event)
{
    int n = (int)event->epoch;
    char text[32];

    oracle->trace[0] = '\0';
    if (event->kind == MR_ALIGN_BARRIER && oracle->fate[n] == FREE) {
        oracle_end_before(oracle, n);
        oracle->delivered[n][event->input] = true;
        (void)snprintf(text, sizeof text, "block %u", event->input);
        oracle_say(oracle, text, n);
    } else if (event->kind == MR_ALIGN_CLOSED) {
        oracle->ended[event->input] = true;
    } else if (event->kind == MR_ALIGN_EPOCH) {
        oracle->announced[n] = true;
    } else if (event->kind == MR_ALIGN_CANCEL && oracle->fate[n] == FREE) {
        bool newer = false;

        for (int m = n + 1; m < EPOCHS; m++) newer = newer || anyone_waits(oracle, m);
        if (newer) return; /* nobody may step back: the newer alignment goes on */
        oracle_end_before(oracle, n);
        oracle_say(oracle, "aborted", n);
        if (anyone_waits(oracle, n)) oracle_say(oracle, "unblock", n);
        oracle->fate[n] = GONE;
    }
    /* The newest one first: what is older is over with it. */
    for (int m = EPOCHS - 1; m > 0; m--) {
        if (oracle->fate[m] == FREE) oracle_seal(oracle, m);
    }
}

/* Mostly epochs near the newest one; sometimes old ones, sometimes a jump. */
static uint64_t draw_epoch(struct mr_prng *prng, uint64_t newest)
{
    uint64_t dice = mr_prng_below(prng, 100);
    uint64_t epoch = newest + (dice < 70 ? 0 : dice < 90 ? 1 : dice < 93 ? 3 : 0);

    if (dice >= 93) epoch -= mr_prng_below(prng, MR_MIN(epoch, 4));
    return MR_MIN(epoch, (uint64_t)EPOCHS - 1);
}

static uint32_t random_run(uint64_t seed)
{
    static struct oracle oracle;
    struct mr_prng prng;
    struct rig rig;
    uint64_t newest = 1;
    uint32_t most = 0;
    uint32_t enders;

    mr_prng_init(&prng, seed, 1);
    memset(&oracle, 0, sizeof oracle);
    oracle.inputs = (uint32_t)mr_prng_below(&prng, INPUTS + 1);
    enders = (uint32_t)mr_prng_below(&prng, 8);
    rig_init(&rig, oracle.inputs, 0);
    for (int n = 0; n < 300; n++) {
        struct mr_align_event event = {.kind = MR_ALIGN_EPOCH};
        uint64_t dice = mr_prng_below(&prng, 100);
        uint32_t count;

        event.epoch = draw_epoch(&prng, newest);
        if (oracle.inputs > 0) event.input = (uint32_t)mr_prng_below(&prng, oracle.inputs);
        if (dice < 80 && oracle.inputs > 0) event.kind = MR_ALIGN_BARRIER;
        if (dice >= 95) event.kind = MR_ALIGN_CANCEL;
        if (dice < enders && oracle.inputs > 0) event.kind = MR_ALIGN_CLOSED;
        if (event.kind == MR_ALIGN_BARRIER || event.kind == MR_ALIGN_CLOSED) {
            if (oracle.ended[event.input] || is_blocked(&oracle, event.input)) continue;
        }
        if (event.kind != MR_ALIGN_CLOSED) newest = MR_MAX(newest, event.epoch);
        oracle_event(&oracle, &event);
        count = step(&rig, event.kind, event.input, event.epoch);
        most = MR_MAX(most, count);
        if (strcmp(rig.trace, oracle.trace) != 0) {
            MR_FAIL("seed %llu event %d (kind %d input %u epoch %llu): \"%s\", expected \"%s\"",
                    (unsigned long long)seed, n, (int)event.kind, event.input,
                    (unsigned long long)event.epoch, rig.trace, oracle.trace);
        }
        expect_trace(&rig, oracle.trace);
        for (uint32_t i = 0; i < oracle.inputs; i++) {
            MR_EXPECT_EQ_INT(mr_align_blocked(&rig.align, i), is_blocked(&oracle, i));
        }
    }
    rig_fini(&rig);
    return most;
}

MR_TEST(align, random_events_give_what_the_naive_rule_gives)
{
    uint32_t most = 0;

    for (uint64_t seed = 1; seed <= 2000; seed++) {
        uint32_t count = random_run(seed);

        most = MR_MAX(most, count);
    }
    MR_EXPECT_EQ_UINT(most,
                      MR_ALIGN_ACTIONS_MAX); /* the bound is reached, so it is the right one */
}
