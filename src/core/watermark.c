/* watermark.c - see watermark.h. */
#include "core/watermark.h"
#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"

/* ---- merging inputs ---- */

enum mr_status mr_watermark_init(struct mr_watermark *wm, struct mr_arena *arena,
                                 uint32_t input_count, struct mr_error *err)
{
    size_t bytes = input_count * sizeof(struct mr_watermark_input);

    mr_assert(input_count > 0);
    *wm = (struct mr_watermark){.start_us = MR_TIME_MIN, .output_us = MR_TIME_MIN};
    wm->inputs = mr_arena_zero(arena, bytes);
    if (wm->inputs == NULL) return mr_error_nomem(err, "the watermark of an operator", bytes);
    wm->input_count = input_count;
    wm->state_counts[MR_INPUT_WAITING] = input_count;
    for (uint32_t i = 0; i < input_count; i++) wm->inputs[i].time_us = MR_TIME_MIN;
    return MR_OK;
}

void mr_watermark_restore(struct mr_watermark *wm, int64_t output_us)
{
    mr_assert(wm->state_counts[MR_INPUT_WAITING] == wm->input_count);
    mr_assert(output_us >= wm->output_us);
    wm->start_us = output_us;
    wm->output_us = output_us;
    mr_watermark_check(wm);
}

static void move_to(struct mr_watermark *wm, struct mr_watermark_input *input,
                    enum mr_input_state state)
{
    wm->state_counts[input->state]--;
    wm->state_counts[state]++;
    input->state = state;
}

static int64_t least_active(const struct mr_watermark *wm)
{
    int64_t least = MR_TIME_MAX;

    for (uint32_t i = 0; i < wm->input_count; i++) {
        const struct mr_watermark_input *input = &wm->inputs[i];

        if (input->state == MR_INPUT_ACTIVE) least = MR_MIN(least, input->time_us);
    }
    return least;
}

static int64_t greatest_idle(const struct mr_watermark *wm)
{
    int64_t greatest = MR_TIME_MIN;

    for (uint32_t i = 0; i < wm->input_count; i++) {
        const struct mr_watermark_input *input = &wm->inputs[i];

        if (input->state == MR_INPUT_IDLE) greatest = MR_MAX(greatest, input->time_us);
    }
    return greatest;
}

/* What the inputs together allow, before the rule that the output never goes back. */
static int64_t allowed(const struct mr_watermark *wm)
{
    if (wm->state_counts[MR_INPUT_WAITING] > 0 && !MR_PLANT("museum-25")) return MR_TIME_MIN;
    if (wm->state_counts[MR_INPUT_ACTIVE] > 0) return least_active(wm);
    if (wm->state_counts[MR_INPUT_IDLE] > 0) return greatest_idle(wm);
    return MR_TIME_MAX;
}

static void merge(struct mr_watermark *wm, struct mr_watermark_action *out)
{
    int64_t time = allowed(wm);
    bool finished = wm->state_counts[MR_INPUT_FINISHED] == wm->input_count;
    bool idle = !finished && wm->state_counts[MR_INPUT_WAITING] == 0 &&
                wm->state_counts[MR_INPUT_ACTIVE] == 0;

    out->advanced = time > wm->output_us;
    if (out->advanced) wm->output_us = time;
    out->became_idle = idle && !wm->idle;
    out->became_active = !idle && wm->idle && !finished;
    out->finished = finished && !wm->finished;
    wm->idle = idle;
    wm->finished = finished;
}

/* False when the step cannot change the output: most of them, so most cost nothing. */
static bool advance(struct mr_watermark *wm, struct mr_watermark_input *input, int64_t time_us)
{
    bool holds = input->state != MR_INPUT_ACTIVE || input->time_us <= wm->output_us;

    if (input->state == MR_INPUT_ACTIVE) {
        input->time_us = MR_MAX(input->time_us, time_us);
    } else {
        input->time_us = time_us; /* an idle one may come back behind its last word */
        move_to(wm, input, MR_INPUT_ACTIVE);
    }
    return holds;
}

void mr_watermark_step(struct mr_watermark *wm, const struct mr_watermark_event *event,
                       struct mr_watermark_action *out)
{
    struct mr_watermark_input *input;
    int64_t before = wm->output_us;
    bool merges = true;

    mr_assert(event->input < wm->input_count);
    input = &wm->inputs[event->input];
    mr_assert(input->state != MR_INPUT_FINISHED); /* (3) a finished input says nothing more */
    *out = (struct mr_watermark_action){.advanced = false};
    switch (event->kind) {
    case MR_WM_ADVANCE: merges = advance(wm, input, event->time.us); break;
    case MR_WM_IDLE: move_to(wm, input, MR_INPUT_IDLE); break;
    case MR_WM_FINISH: move_to(wm, input, MR_INPUT_FINISHED); break;
    }
    if (merges) merge(wm, out);
    out->time.us = wm->output_us;
    mr_assert(wm->output_us >= before); /* (1) */
    mr_watermark_check(wm);
}

/* True between any two steps; (1) and (4) are about two moments and asserted where they happen. */
void mr_watermark_check(const struct mr_watermark *wm)
{
    const uint32_t *counts = wm->state_counts;
    uint32_t sum = counts[MR_INPUT_WAITING] + counts[MR_INPUT_ACTIVE] + counts[MR_INPUT_IDLE] +
                   counts[MR_INPUT_FINISHED];
    bool open = counts[MR_INPUT_WAITING] + counts[MR_INPUT_ACTIVE] > 0;

    mr_assert(sum == wm->input_count);
    mr_assert(counts[MR_INPUT_WAITING] == 0 || wm->output_us == wm->start_us ||
              MR_PLANT("museum-25")); /* (2) */
    mr_assert(wm->finished == (counts[MR_INPUT_FINISHED] == wm->input_count)); /* (3) */
    mr_assert(!wm->finished || wm->output_us == MR_TIME_MAX);                  /* (3) */
    mr_assert(wm->idle == (!open && counts[MR_INPUT_IDLE] > 0));               /* (5) */
    mr_assert_slow(counts[MR_INPUT_WAITING] > 0 || counts[MR_INPUT_ACTIVE] == 0 ||
                   wm->output_us >= least_active(wm)); /* (6) */
}

/* ---- the splits of one reader ---- */

void mr_split_clock_init(struct mr_split_clock *clock, int64_t delay_us)
{
    mr_assert(delay_us >= 0);
    *clock = (struct mr_split_clock){
        .pending_bound_us = MR_TIME_MAX, .delay_us = delay_us, .output_us = MR_TIME_MIN};
}

void mr_split_clock_pending(struct mr_split_clock *clock, int64_t bound_us)
{
    clock->pending_bound_us = bound_us;
}

static struct mr_split_clock_entry *find(struct mr_split_clock *clock, uint32_t split)
{
    for (uint32_t i = 0; i < clock->open_count; i++) {
        if (clock->open[i].split == split) return &clock->open[i];
    }
    return NULL;
}

void mr_split_clock_open(struct mr_split_clock *clock, uint32_t split, int64_t lower_bound_us)
{
    mr_assert(clock->open_count < MR_OPEN_SPLITS_MAX);
    mr_assert(find(clock, split) == NULL);
    clock->open[clock->open_count++] =
        (struct mr_split_clock_entry){.split = split,
                                      .max_seen_us = MR_TIME_MIN,
                                      .lower_bound_us = lower_bound_us};
}

void mr_split_clock_close(struct mr_split_clock *clock, uint32_t split)
{
    struct mr_split_clock_entry *entry = find(clock, split);

    mr_assert(entry != NULL);
    *entry = clock->open[--clock->open_count]; /* order does not matter: only the minimum counts */
}

/* The promise after a greatest time: nothing below time - delay, within the ends of time. */
static int64_t promise(int64_t max_seen_us, int64_t delay_us, int64_t lower_bound_us)
{
    int64_t time = MR_MIN(max_seen_us, MR_TIME_MAX);

    /* Both sides are at most 2^62 in size where it matters, so their difference fits. */
    time = time <= MR_TIME_MIN + MR_MIN(delay_us, MR_TIME_MAX) ? MR_TIME_MIN : time - delay_us;
    return MR_MAX(time, lower_bound_us);
}

void mr_split_clock_rows(struct mr_split_clock *clock, uint32_t split, const int64_t *times_us,
                         uint32_t count, int64_t *out_watermarks)
{
    struct mr_split_clock_entry *entry = find(clock, split);
    int64_t max_seen;

    mr_assert(entry != NULL);
    max_seen = entry->max_seen_us;
    for (uint32_t i = 0; i < count; i++) {
        if (out_watermarks != NULL) {
            out_watermarks[i] = promise(max_seen, clock->delay_us, entry->lower_bound_us);
        }
        max_seen = MR_MAX(max_seen, times_us[i]);
    }
    entry->max_seen_us = max_seen;
    if (count > 0) {
        entry->rows_since_tick = true;
        entry->idle = false;
    }
}

void mr_split_clock_tick(struct mr_split_clock *clock, struct mr_ptime now, int64_t idle_us)
{
    for (uint32_t i = 0; i < clock->open_count; i++) {
        struct mr_split_clock_entry *entry = &clock->open[i];

        if (entry->rows_since_tick || !entry->ticked) {
            entry->active = now;
            entry->ticked = true;
            entry->rows_since_tick = false;
        } else if (idle_us > 0 && now.us - entry->active.us >= idle_us) {
            entry->idle = true;
        }
    }
}

bool mr_split_clock_idle(const struct mr_split_clock *clock)
{
    if (clock->open_count == 0 || clock->pending_bound_us != MR_TIME_MAX) return false;
    for (uint32_t i = 0; i < clock->open_count; i++) {
        if (!clock->open[i].idle) return false;
    }
    return true;
}

int64_t mr_split_clock_now(struct mr_split_clock *clock)
{
    int64_t least = clock->pending_bound_us;
    int64_t greatest_idle = MR_TIME_MIN;

    for (uint32_t i = 0; i < clock->open_count; i++) {
        const struct mr_split_clock_entry *entry = &clock->open[i];
        int64_t time = promise(entry->max_seen_us, clock->delay_us, entry->lower_bound_us);

        if (entry->idle) {
            greatest_idle = MR_MAX(greatest_idle, time);
        } else {
            least = MR_MIN(least, time);
        }
    }
    if (mr_split_clock_idle(clock)) least = greatest_idle;
    clock->output_us = MR_MAX(clock->output_us, least);
    return clock->output_us;
}
