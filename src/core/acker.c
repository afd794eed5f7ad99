/* acker.c - see acker.h. */
#include "core/acker.h"
#include "base/assert.h"
#include "base/status.h"

#define PREFETCH_AHEAD 8u
#define COUNTER_MASK   ((UINT64_C(1) << 52) - 1) /* the part of an id below its owner */

_Static_assert(sizeof(struct mr_acker_root) == 32, "two roots to a cache line");

static enum mr_status check_config(const struct mr_acker_config *config, struct mr_error *err)
{
    if (config->root_count == 0 || config->root_count > MR_ACKER_ROOTS_MAX) {
        return mr_error_set(err, MR_E_INVALID, "a tracked source has 1 to %u pending rows, not %u",
                            MR_ACKER_ROOTS_MAX, config->root_count);
    }
    mr_assert(config->owner < MR_ACKER_OWNERS_MAX);
    if (config->sender_count == 0 || config->timeout_us <= 0) {
        return mr_error_set(err, MR_E_INVALID,
                            "tracking needs a task that acknowledges rows, and a time-out above 0");
    }
    return MR_OK;
}

/* A place's first id; the salt's low bits give way to the place. */
static uint64_t first_id(const struct mr_acker *acker, uint32_t place)
{
    uint64_t counter = acker->config.salt & COUNTER_MASK & ~(uint64_t)(acker->root_count - 1);

    return (uint64_t)acker->config.owner << 52 | counter | place;
}

enum mr_status mr_acker_init(struct mr_acker *acker, struct mr_arena *arena,
                             const struct mr_acker_config *config, struct mr_error *err)
{
    uint32_t count = 1;
    size_t bytes;
    int64_t beats;

    MR_RET(check_config(config, err));
    while (count < config->root_count) count *= 2;
    beats = 1 + (config->timeout_us - 1) / MR_ACKER_BEAT_US;
    *acker = (struct mr_acker){
        .config = *config,
        .root_count = count,
        .free_count = count,
        .now_us = config->start.us,
        .timeout = (uint32_t)MR_MIN(beats, (int64_t)UINT32_MAX / 4),
    };
    acker->window = acker->timeout;
    bytes = count * (sizeof *acker->roots + sizeof *acker->free) +
            config->sender_count * sizeof *acker->sequences;
    acker->roots = mr_arena_zero(arena, count * sizeof *acker->roots);
    acker->free = mr_arena_alloc(arena, count * sizeof *acker->free);
    acker->sequences = mr_arena_zero(arena, config->sender_count * sizeof *acker->sequences);
    if (acker->roots == NULL || acker->free == NULL || acker->sequences == NULL) {
        return mr_error_nomem(err, "the pending rows of a tracked source", bytes);
    }
    for (uint32_t i = 0; i < count; i++) {
        acker->roots[i].id = first_id(acker, i);
        acker->free[i] = count - 1 - i; /* low places first: what is in use lies close together */
    }
    mr_acker_check(acker);
    return MR_OK;
}

/* What holds between any two steps and costs nothing to look at. */
static void check_counts(const struct mr_acker *acker)
{
    uint32_t pending = acker->root_count - acker->free_count;

    mr_assert(acker->free_count <= acker->root_count); /* (1) */
    mr_assert(pending <= acker->used_end);             /* (1) */
    mr_assert(acker->begun ==
              acker->completed + acker->failed + acker->timed_out + pending); /* (3) */
}

uint64_t mr_acker_begin(struct mr_acker *acker, uint64_t row, uint64_t edge)
{
    uint32_t place;
    struct mr_acker_root *root;

    mr_assert(acker->free_count > 0); /* the source asked for room (A5) */
    mr_assert(edge != 0);             /* 0 is the value of what is over */
    place = acker->free[--acker->free_count];
    root = &acker->roots[place];
    mr_assert(root->value == 0); /* (1) */
    root->value = edge;
    root->row = row;
    root->begun = (uint32_t)acker->beat;
    root->heard = (uint32_t)acker->beat;
    acker->used_end = MR_MAX(acker->used_end, place + 1);
    acker->begun++;
    return root->id;
}

/* Beats since then; right as long as no root is pending for two years. */
static uint32_t since(const struct mr_acker *acker, uint32_t beat)
{
    return (uint32_t)acker->beat - beat;
}

/* A root is over: its place gets the id of the next one. */
static void end_root(struct mr_acker *acker, struct mr_acker_root *root,
                     enum mr_acker_action_kind kind, enum mr_status status,
                     struct mr_acker_actions *out)
{
    mr_assert(out->count < MR_ACKER_ACTIONS_MAX);
    out->items[out->count++] = (struct mr_acker_action){
        .kind = kind, .status = status, .row = root->row, .root = root->id};
    root->value = 0;
    root->id = (root->id & ~COUNTER_MASK) | ((root->id + acker->root_count) & COUNTER_MASK);
    mr_assert(acker->free_count < acker->root_count);
    acker->free[acker->free_count++] = (uint32_t)(root - acker->roots);
}

/* The root with this id, or NULL when it is over (A3). */
static struct mr_acker_root *find(struct mr_acker *acker, uint64_t id)
{
    struct mr_acker_root *root = &acker->roots[id & (acker->root_count - 1)];

    if (MR_LIKELY(root->id == id && root->value != 0)) return root;
    acker->dead++;
    return NULL;
}

static void on_acks(struct mr_acker *acker, const struct mr_acker_event *event,
                    struct mr_acker_actions *out)
{
    for (uint32_t i = 0; i < event->count; i++) {
        struct mr_acker_root *root;

        if (i + PREFETCH_AHEAD < event->count) {
            uint64_t ahead = event->acks[i + PREFETCH_AHEAD].root;
            MR_PREFETCH(&acker->roots[ahead & (acker->root_count - 1)]);
        }
        root = find(acker, event->acks[i].root);
        if (root == NULL) continue;
        root->value ^= event->acks[i].edges;
        root->heard = (uint32_t)acker->beat;
        if (root->value != 0) continue;
        acker->slowest = MR_MAX(acker->slowest, since(acker, root->begun));
        acker->completed++;
        end_root(acker, root, MR_ACKER_COMPLETED, MR_OK, out);
    }
}

static void on_fails(struct mr_acker *acker, const struct mr_acker_event *event,
                     struct mr_acker_actions *out)
{
    mr_assert(event->status != MR_OK);
    for (uint32_t i = 0; i < event->count; i++) {
        struct mr_acker_root *root = find(acker, event->acks[i].root);

        if (root == NULL) continue;
        acker->failed++;
        end_root(acker, root, MR_ACKER_FAILED, event->status, out);
    }
}

/* Is the message new, of this attempt? (A2) */
static bool counts(struct mr_acker *acker, const struct mr_acker_event *event)
{
    uint64_t *last;

    mr_assert(event->count <= MR_ACKER_BATCH && event->sender < acker->config.sender_count);
    last = &acker->sequences[event->sender];
    if (event->attempt != acker->config.attempt || event->sequence <= *last) {
        acker->discarded++;
        return false;
    }
    acker->lost += event->sequence - *last - 1;
    *last = event->sequence; /* (4) */
    acker->heard = true;
    return true;
}

/* Time passes, and counts unless the flow stood still. */
static void pass_time(struct mr_acker *acker, const struct mr_acker_event *event)
{
    int64_t passed = MR_MAX(event->now.us, acker->now_us) - acker->now_us;

    acker->now_us += passed;
    if (!event->stopped || acker->heard) acker->counted_us += passed;
    acker->heard = false;
    acker->beat = (uint64_t)(acker->counted_us / MR_ACKER_BEAT_US);
    if (acker->beat < acker->window) return;
    acker->slowest_before = acker->slowest;
    acker->slowest = 0;
    acker->window = acker->beat + acker->timeout;
}

/* Looks at the next places, as many as a tick may, round and round over those in use. */
static void sweep(struct mr_acker *acker, struct mr_acker_actions *out)
{
    uint32_t end = acker->used_end;
    uint32_t slowest = MR_MAX(acker->slowest, acker->slowest_before);
    uint64_t patience = (uint64_t)acker->timeout + slowest;

    if (acker->free_count == acker->root_count) return;
    for (uint32_t left = MR_MIN(MR_ACKER_SWEEP, end); left > 0; left--) {
        struct mr_acker_root *root;

        if (out->count == MR_ACKER_ACTIONS_MAX) return;
        if (acker->swept >= end) acker->swept = 0;
        root = &acker->roots[acker->swept++];
        if (root->value == 0 || since(acker, root->heard) <= patience) continue;
        acker->timed_out++;
        end_root(acker, root, MR_ACKER_TIMED_OUT, MR_E_TIMED_OUT, out);
    }
}

/* The same events always give the same actions. */
void mr_acker_step(struct mr_acker *acker, const struct mr_acker_event *event,
                   struct mr_acker_actions *out)
{
    out->count = 0;
    switch (event->kind) {
    case MR_ACKER_ON_ACKS:
        if (counts(acker, event)) on_acks(acker, event, out);
        break;
    case MR_ACKER_ON_FAILS:
        if (counts(acker, event)) on_fails(acker, event, out);
        break;
    case MR_ACKER_ON_TICK:
        pass_time(acker, event);
        sweep(acker, out);
        break;
    }
    check_counts(acker);
}

bool mr_acker_pending(const struct mr_acker *acker, uint32_t *cursor, uint64_t *out_row)
{
    while (*cursor < acker->used_end) {
        const struct mr_acker_root *root = &acker->roots[(*cursor)++];

        if (root->value == 0) continue;
        *out_row = root->row;
        return true;
    }
    return false;
}

/* True between any two steps; (2) and (4) are about two moments and asserted where they happen. */
void mr_acker_check(const struct mr_acker *acker)
{
    uint32_t pending = 0;

    check_counts(acker);
    mr_assert((acker->root_count & (acker->root_count - 1)) == 0);
    for (uint32_t i = 0; i < acker->root_count; i++) {
        const struct mr_acker_root *root = &acker->roots[i];

        mr_assert((root->id & (acker->root_count - 1)) == i);       /* (2) */
        mr_assert(mr_acker_owner(root->id) == acker->config.owner); /* (2) */
        pending += root->value != 0;
        if (root->value == 0) continue;
        mr_assert(i < acker->used_end);                                    /* (1) */
        mr_assert(since(acker, root->begun) >= since(acker, root->heard)); /* (5) */
        mr_assert(since(acker, root->heard) < UINT32_MAX / 2);             /* (5) */
    }
    mr_assert(pending == acker->root_count - acker->free_count); /* (1), (3) */
    for (uint32_t i = 0; i < acker->free_count; i++) {
        mr_assert(acker->free[i] < acker->root_count);
        mr_assert(acker->roots[acker->free[i]].value == 0); /* (1): listed, so free */
    }
}
