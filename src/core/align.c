/* align.c - see align.h. */
#include "core/align.h"
#include "base/assert.h"
#include "base/fault.h"
#include "base/bitset.h"
#include "base/status.h"

enum mr_status mr_align_init(struct mr_align *align, struct mr_arena *arena, uint32_t input_count,
                             uint64_t last_epoch, struct mr_error *err)
{
    size_t words = MR_MAX(mr_bits_words(input_count), (size_t)1);
    size_t bytes = 2 * words * sizeof(uint64_t);
    uint64_t *bits = mr_arena_zero(arena, bytes);

    if (bits == NULL) return mr_error_nomem(err, "the barrier alignment of an operator", bytes);
    *align = (struct mr_align){
        .open = bits,
        .blocked = bits + words,
        .input_count = input_count,
        .open_count = input_count,
        .done = last_epoch,
    };
    mr_bits_fill(align->open, input_count, true);
    mr_align_check(align);
    return MR_OK;
}

static void push(struct mr_align_actions *out, enum mr_align_action_kind kind, uint32_t input,
                 uint64_t epoch)
{
    mr_assert(out->count < MR_ALIGN_ACTIONS_MAX);
    out->items[out->count++] = (struct mr_align_action){kind, input, epoch};
}

/* The alignment ends, well or not: every input is read again. */
static void unblock(struct mr_align *align, struct mr_align_actions *out)
{
    mr_assert(align->epoch > align->done); /* (4): an epoch ends once */
    push(out, MR_ALIGN_UNBLOCK, 0, align->epoch);
    mr_bits_fill(align->blocked, align->input_count, false);
    align->blocked_count = 0;
    align->done = align->epoch;
    align->epoch = 0;
}

static void abort_alignment(struct mr_align *align, struct mr_align_actions *out)
{
    push(out, MR_ALIGN_ABORTED, 0, align->epoch);
    unblock(align, out);
}

static void on_barrier(struct mr_align *align, const struct mr_align_event *event,
                       struct mr_align_actions *out)
{
    mr_assert(mr_bit_get(align->open, event->input));     /* an ended input sends nothing */
    mr_assert(!mr_bit_get(align->blocked, event->input)); /* a blocked input is not read */
    if (event->epoch <= align->done) return;              /* late: cancelled or overtaken */
    if (event->epoch < align->epoch) return;              /* overtaken already */
    if (align->epoch != 0 && event->epoch > align->epoch) abort_alignment(align, out);
    align->epoch = event->epoch;
    mr_bit_set(align->blocked, event->input);
    align->blocked_count++;
    push(out, MR_ALIGN_BLOCK, event->input, event->epoch);
}

static void on_closed(struct mr_align *align, uint32_t input)
{
    mr_assert(mr_bit_get(align->open, input));     /* an input ends once */
    mr_assert(!mr_bit_get(align->blocked, input)); /* a blocked input is not read */
    mr_bit_clear(align->open, input);
    align->open_count--;
}

/* Cancelling n ends what is older too: the coordinator has one epoch in flight, so whoever hears
 * of n knows that all before it are over. */
static void on_cancel(struct mr_align *align, uint64_t epoch, struct mr_align_actions *out)
{
    if (epoch <= align->done || epoch < align->epoch) return;
    if (align->epoch != 0) abort_alignment(align, out);
    if (epoch <= align->done) return; /* that was it */
    push(out, MR_ALIGN_ABORTED, 0, epoch);
    align->done = epoch;
}

/* What follows from the inputs together: a full alignment, or an epoch nobody can bring. */
static void settle(struct mr_align *align, struct mr_align_actions *out)
{
    if (align->epoch != 0 &&
        (align->blocked_count == align->open_count || MR_PLANT("museum-7"))) {
        push(out, MR_ALIGN_SNAPSHOT, 0, align->epoch);
        unblock(align, out);
    }
    if (align->open_count == 0 && align->announced > align->done) {
        push(out, MR_ALIGN_SNAPSHOT, 0, align->announced);
        align->done = align->announced;
    }
}

/* The same events always give the same actions. */
void mr_align_step(struct mr_align *align, const struct mr_align_event *event,
                   struct mr_align_actions *out)
{
    uint64_t before = align->done;

    out->count = 0;
    if (event->kind == MR_ALIGN_BARRIER || event->kind == MR_ALIGN_CLOSED) {
        mr_assert(event->input < align->input_count);
    }
    mr_assert(event->kind == MR_ALIGN_CLOSED || event->epoch > 0);
    switch (event->kind) {
    case MR_ALIGN_BARRIER: on_barrier(align, event, out); break;
    case MR_ALIGN_CLOSED: on_closed(align, event->input); break;
    case MR_ALIGN_CANCEL: on_cancel(align, event->epoch, out); break;
    case MR_ALIGN_EPOCH: align->announced = MR_MAX(align->announced, event->epoch); break;
    }
    settle(align, out);
    mr_assert(align->done >= before); /* (4) */
    mr_align_check(align);
}

bool mr_align_blocked(const struct mr_align *align, uint32_t input)
{
    mr_assert(input < align->input_count);
    return mr_bit_get(align->blocked, input);
}

/* True between any two steps; (4) is about two moments and asserted where it happens. */
void mr_align_check(const struct mr_align *align)
{
    size_t words = mr_bits_words(align->input_count);

    for (size_t i = 0; i < words; i++) {
        mr_assert((align->blocked[i] & ~align->open[i]) == 0); /* (1) */
    }
    mr_assert((align->epoch != 0) == (align->blocked_count > 0));             /* (2) */
    mr_assert(align->epoch == 0 || align->epoch > align->done);               /* (2) */
    mr_assert(align->epoch == 0 || align->blocked_count < align->open_count); /* (3) */
    mr_assert(align->open_count > 0 || align->announced <= align->done);      /* (5) */
    mr_assert_slow(mr_bits_count(align->open, align->input_count) == align->open_count);
    mr_assert_slow(mr_bits_count(align->blocked, align->input_count) == align->blocked_count);
}
