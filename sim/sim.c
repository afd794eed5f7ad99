#include "sim.h"

#include "base/assert.h"
#include "base/status.h"

/* Streams of the seed. */
enum { STREAM_CHOICES = 1, STREAM_WORKERS, STREAM_ENTROPY, STREAM_TIME };

static struct mr_ptime sim_now(void *self)
{
    const struct mr_sim *sim = self;

    return (struct mr_ptime){sim->now_us};
}

static uint64_t sim_entropy(void *self)
{
    struct mr_sim *sim = self;

    return mr_prng_next(&sim->entropy);
}

static uint64_t sim_pick(void *self, enum mr_choice what, uint64_t bound, uint64_t preferred)
{
    struct mr_sim *sim = self;

    if (bound <= 1) return 0;
    if (what == MR_CHOOSE_BATCH_ROWS) {
        if (sim->cut == MR_SIM_CUT_ONE) return 0; /* the caller adds one */
        if (sim->cut == MR_SIM_CUT_FULL) return preferred;
        /* Small cuts are where the bugs are: half of the draws are below 8. */
        if (mr_prng_below(&sim->choices, 2) == 0) bound = MR_MIN(bound, UINT64_C(8));
    }
    return mr_prng_below(&sim->choices, bound);
}

/* Nobody sleeps here: idle workers are simply not what makes progress. */
static void sim_park(void *self, uint32_t worker, int64_t us)
{
    (void)self;
    (void)worker;
    (void)us;
}

static void sim_wake(void *self, uint32_t worker)
{
    (void)self;
    (void)worker;
}

static struct mr_disk *sim_disk_create(void *self, struct mr_heap *heap)
{
    struct mr_sim *sim = self;

    return sim->world->disk_create(sim->world->self, heap);
}

static void sim_disk_destroy(void *self, struct mr_disk *disk)
{
    struct mr_sim *sim = self;

    sim->world->disk_destroy(sim->world->self, disk);
}

void mr_sim_init(struct mr_sim *sim, uint64_t seed, enum mr_sim_cut cut,
                 const struct mr_port *world)
{
    *sim = (struct mr_sim){.world = world, .seed = seed, .cut = cut};
    mr_prng_init(&sim->choices, seed, STREAM_CHOICES);
    mr_prng_init(&sim->workers, seed, STREAM_WORKERS);
    mr_prng_init(&sim->entropy, seed, STREAM_ENTROPY);
    mr_prng_init(&sim->time, seed, STREAM_TIME);
    sim->port = (struct mr_port){
        .clock = {.self = sim, .monotonic = sim_now, .wall = sim_now},
        .entropy = {.self = sim, .next = sim_entropy},
        .choose = {.self = sim, .pick = sim_pick},
        .parker = {.self = sim, .park = sim_park, .wake = sim_wake},
        .heap = world->heap,
        .disk_create = sim_disk_create,
        .disk_destroy = sim_disk_destroy,
        .self = sim,
    };
}

static void end_run(struct mr_runner *runner, enum mr_status status, const char *what,
                    const struct mr_sim *sim)
{
    struct mr_error err;

    mr_error_set(&err, status, "%s at turn %llu (seed %llu)", what, (unsigned long long)sim->turns,
                 (unsigned long long)sim->seed);
    mr_runner_fail(runner, &err);
}

/* Number `worker_count` is the coordinator. */
static enum mr_progress take_turn(struct mr_runner *runner, uint32_t worker)
{
    if (worker < runner->worker_count) return mr_worker_turn(runner, worker);
    return mr_runner_coordinator_turn(runner);
}

void mr_sim_drive(void *self, struct mr_runner *runner)
{
    struct mr_sim *sim = self;
    uint32_t count = runner->worker_count + (runner->checkpoint != NULL ? 1 : 0);
    uint32_t over = 0;
    uint32_t idle = 0;
    uint64_t finished = 0; /* bit per worker; plans of tests have at most 63 workers */

    mr_assert(count <= 64);
    while (over < count && !atomic_load(&runner->failed)) {
        uint32_t worker = (uint32_t)mr_prng_below(&sim->workers, count);
        enum mr_progress progress;

        if ((finished >> worker) & 1) continue;
        sim->turns++;
        sim->now_us += 1 + (int64_t)mr_prng_below(&sim->time, 20);
        if (sim->turns == sim->kill_at) {
            sim->killed = true;
            end_run(runner, MR_E_IO, "killed", sim);
            return;
        }
        progress = take_turn(runner, worker);
        if (progress == MR_PROGRESS_OVER) {
            finished |= UINT64_C(1) << worker;
            over++;
        }
        idle = progress == MR_PROGRESS_NONE ? idle + 1 : 0;
        if (idle > 4 * count) sim->now_us += MR_MILLISECOND;
        if (idle == MR_SIM_IDLE_TURNS) end_run(runner, MR_E_LIMIT, "nobody made progress", sim);
    }
}
