/* sim_knobs.c - what a seed draws: each seed has its own mixture of sizes, times and faults. */
#include "sim_knobs.h"

#include "sim_workload.h"
#include "sim_world.h"

#include <string.h>

/* Streams of the seed. */
enum { STREAM_KNOBS = 1, STREAM_FAULTS, STREAM_EVENTS, STREAM_DRAWS, STREAM_PLANS };

static uint64_t below(struct mr_prng *prng, uint64_t bound)
{
    return mr_prng_below(prng, bound);
}

static int64_t one_of(struct mr_prng *prng, const int64_t *values, uint32_t count)
{
    return values[below(prng, count)];
}
#define ONE_OF(prng, ...)                        \
    one_of((prng), (const int64_t[]){__VA_ARGS__}, \
           (uint32_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

/* A fault kind is on in some of the seeds only, so that one does not hide the others. */
static uint32_t maybe(struct mr_prng *prng, uint32_t most)
{
    return below(prng, 3) != 0 ? 0 : 1 + (uint32_t)below(prng, most);
}

static void draw_rows(struct sim_world *world, struct mr_prng *prng)
{
    struct sim_rows *rows = &world->rows;
    int64_t seconds = 19 + (int64_t)below(prng, 6);
    int64_t per_second = 2000 + (int64_t)below(prng, 600);

    rows->seed = world->seed;
    rows->splits = 1 + (uint32_t)below(prng, 5);
    rows->bounded = below(prng, 2) == 0;
    rows->per_split = (uint64_t)(seconds * per_second / rows->splits);
    rows->every_us = MR_SECOND * rows->splits / per_second;
    rows->keys = (uint64_t)ONE_OF(prng, 1, 7, 60, 500);
    rows->skewed = below(prng, 4) == 0;
    rows->pause_at = below(prng, 3) == 0 ? (int64_t)below(prng, rows->per_split) : -1;
    rows->pause_us = (int64_t)below(prng, 3 * MR_SECOND);
    rows->base_us = INT64_C(1700000000000000) + (int64_t)below(prng, MR_SECOND);
    rows->step_us = rows->every_us;
    rows->delay_us = ONE_OF(prng, 0, 2000, 50000, 400000);
    rows->late_ppm = maybe(prng, 20000);
    rows->late_us = MR_SECOND + (int64_t)below(prng, 5 * MR_SECOND);
}

static void draw_sizes(struct sim_world *world, struct mr_prng *prng)
{
    struct sim_knobs *knobs = &world->knobs;

    knobs->workload = (uint32_t)below(prng, sim_workload_count);
    while (!sim_workloads[knobs->workload].there()) {
        knobs->workload = (uint32_t)below(prng, sim_workload_count);
    }
    knobs->workers_max = 1 + (uint32_t)below(prng, 4);
    knobs->rescale = below(prng, 2) == 0;
    knobs->replan = below(prng, 3) == 0;
    knobs->no_fusion = below(prng, 4) == 0;
    knobs->no_two_stage = below(prng, 4) == 0;
    knobs->micro_batch = below(prng, 3) == 0;
    knobs->epoch_us = ONE_OF(prng, 5000, 10000, 20000, 30000, 40000);
    knobs->window_us = ONE_OF(prng, 120, 240, 720) * MR_MILLISECOND;
    knobs->slide_us = knobs->window_us / ONE_OF(prng, 1, 2, 3);
    knobs->segment_bytes = (uint64_t)ONE_OF(prng, 0, 64, 128, 1024) * 1024;
    knobs->roll_bytes = UINT64_C(1) << (12 + below(prng, 8));
    knobs->roll_us = ONE_OF(prng, 50, 100, 400, 2000) * MR_MILLISECOND;
    knobs->cut = (enum sim_cut)below(prng, 3);
    knobs->memory_bytes = (size_t)256 << 20;
    knobs->turn_us = 1 + (int64_t)below(prng, 60);
    knobs->sink_us = ONE_OF(prng, 1, 300, 2000, 12000);
    if (below(prng, 3) != 0) return;
    knobs->ring_slots = 1;
    knobs->batch_rows = 1 + (uint32_t)below(prng, 64);
}

/* A job that takes its rows one by one needs turns that are shorter than the rows are apart. */
static void keep_pace(struct sim_world *world)
{
    struct sim_knobs *knobs = &world->knobs;

    /* A micro-batch is made smaller until it takes the time of an epoch: it has to be able to. */
    if (knobs->micro_batch) {
        knobs->epoch_us = MR_MAX(knobs->epoch_us, 3 * (world->machine.knobs.sync_us + knobs->sink_us));
    }
    if (knobs->cut == SIM_CUT_FULL && (knobs->batch_rows == 0 || knobs->batch_rows > 16)) return;
    knobs->turn_us = MR_MIN(knobs->turn_us, INT64_C(8));
}

static void draw_disk(struct sim_world *world, struct mr_prng *prng)
{
    struct sim_disk_knobs *disk = &world->machine.knobs;

    disk->read_us = ONE_OF(prng, 0, 20, 200);
    disk->write_us = ONE_OF(prng, 0, 20, 200);
    disk->sync_us = ONE_OF(prng, 0, 100, 1000, 8000);
    disk->torn = below(prng, 2) == 0;
    disk->flip_prefix = "/state";
}

static void draw_faults(struct sim_world *world, struct mr_prng *prng)
{
    struct sim_knobs *knobs = &world->knobs;
    struct sim_disk_knobs *disk = &world->machine.knobs;

    knobs->heal_us = world->rows.start_us + 17 * MR_SECOND + (int64_t)below(prng, 12 * MR_SECOND);
    knobs->event_us = ONE_OF(prng, 300, 1000, 3000) * MR_MILLISECOND;
    for (uint32_t e = 0; e < SIM_EVENT_COUNT; e++) knobs->event_weight[e] = maybe(prng, 4);
    knobs->event_weight[SIM_EVENT_KILL_AT] += 2; /* no seed without any */
    for (uint32_t f = 0; f < SIM_FAULT_COUNT; f++) knobs->fault_ppm[f] = maybe(prng, 100000);
    knobs->fault_ppm[SIM_FAULT_SOURCE] /= 1000; /* it ends the attempt */
    knobs->buggify_ppm = below(prng, 3) == 0 ? 0 : (uint32_t)below(prng, 250000);
    disk->short_ppm = maybe(prng, 300000);
    disk->read_error_ppm = maybe(prng, 2000);
    disk->write_error_ppm = maybe(prng, 2000);
    disk->sync_error_ppm = maybe(prng, 4000);
    disk->lost_reply_ppm = maybe(prng, 30000);
    disk->read_flip_ppm = maybe(prng, 2000);
    disk->slow_ppm = maybe(prng, 50000);
    disk->slow_us = 1000 + (int64_t)below(prng, 300000);
    if (below(prng, 16) != 0) return;
    knobs->unrecoverable = true;
    disk->rot_ppm = maybe(prng, 3000);
    disk->misdirect_ppm = maybe(prng, 3000);
}

void sim_draw(struct sim_world *world, bool calm)
{
    struct mr_prng prng;

    mr_prng_init(&prng, world->seed, STREAM_KNOBS);
    mr_prng_init(&world->faults, world->seed, STREAM_FAULTS);
    mr_prng_init(&world->events, world->seed, STREAM_EVENTS);
    mr_prng_init(&world->draws, world->seed, STREAM_DRAWS);
    mr_prng_init(&world->plans, world->seed, STREAM_PLANS);
    draw_rows(world, &prng);
    draw_sizes(world, &prng);
    draw_disk(world, &prng);
    keep_pace(world);
    if (!calm) draw_faults(world, &prng);
    if (calm) world->healed = world->machine.healed = true;
}
