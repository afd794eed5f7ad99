#include "sim_world.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/status.h"
#include "runtime/checkpoint.h"
#include "sim_check.h"
#include "sim_files.h"
#include "sim_knobs.h"
#include "sim_workload.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MILLION         1000000u
#define IDLE_US         (10 * MR_MILLISECOND) /* nobody sleeps longer without looking up */
#define HANG_US         (60 * MR_SECOND)      /* without a turn that moved anything */
#define HEALED_BOUND_US (120 * MR_SECOND)     /* from healing to the end of the job */
#define RUN_BOUND_US    (400 * MR_SECOND)
#define NEVER_US        INT64_MAX
#define REFUSALS_MAX    6u /* in a row, where the disk is beyond repair */
#define STATE_DIR       "/state"

/* ---- asked by others ---- */

void sim_world_fail(struct sim_world *world, const char *format, ...)
{
    va_list arguments;
    size_t used;

    if (world->failure[0] != '\0') return;
    used = (size_t)snprintf(world->failure, sizeof world->failure, "at %.6f s, attempt %u: ",
                            (double)world->now_us / 1e6, world->attempts);
    va_start(arguments, format);
    (void)vsnprintf(world->failure + used, sizeof world->failure - used, format, arguments);
    va_end(arguments);
    world->over = true;
}

static void say(const struct sim_world *world, const char *format, ...) MR_PRINTF(2, 3);
static void say(const struct sim_world *world, const char *format, ...)
{
    va_list arguments;

    if (!world->verbose) return;
    printf("%10.6f  ", (double)world->now_us / 1e6);
    va_start(arguments, format);
    (void)vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

bool sim_world_planted(const struct sim_world *world, const char *id)
{
    return world->planted != NULL && strcmp(world->planted, id) == 0;
}

bool sim_world_fault(struct sim_world *world, enum sim_fault fault)
{
    uint32_t ppm = world->knobs.fault_ppm[fault];

    if (ppm == 0 || world->healed || mr_prng_below(&world->faults, MILLION) >= ppm) return false;
    world->stats.faults[fault]++;
    return true;
}

bool sim_world_coin(struct sim_world *world)
{
    return (mr_prng_next(&world->draws) >> 20 & 1) != 0;
}

int64_t sim_world_draw_us(struct sim_world *world, int64_t mean_us)
{
    return (int64_t)mr_prng_below(&world->draws, (uint64_t)(2 * mean_us) + 1);
}

void sim_world_wake_at(struct sim_world *world, int64_t at_us)
{
    if (world->running != NULL) world->running->wake_us = MR_MIN(world->running->wake_us, at_us);
}

void sim_world_committed(struct sim_world *world, const struct sim_record *record, uint64_t fence)
{
    world->trace = mr_hash_combine(world->trace, mr_hash_bytes(record, sizeof *record) + fence);
    sim_check_seen(world->check, world, record);
}

/* ---- places to die ---- */

static struct sim_id_count *count_of(struct sim_world *world, const char *id)
{
    struct sim_stats *stats = &world->stats;

    for (uint32_t i = 0; i < stats->id_count; i++) {
        if (strcmp(stats->ids[i].id, id) == 0) return &stats->ids[i];
    }
    mr_assert(stats->id_count < SIM_IDS_MAX);
    snprintf(stats->ids[stats->id_count].id, sizeof stats->ids[0].id, "%.23s", id);
    return &stats->ids[stats->id_count++];
}

static void place(struct sim_world *world, const char *id)
{
    if (world->running == NULL || world->running != world->alive || world->armed_count == 0) return;
    if (world->armed_id[0] != '\0' && strcmp(world->armed_id, id) != 0) return;
    if (--world->armed_count > 0) return;
    if (id[0] != '\0') count_of(world, id)->struck++;
    say(world, "struck at %s", id[0] != '\0' ? id : "a disk request");
    world->struck = true;
    world->struck_event = world->armed_event;
    sim_process_yield(world->running);
}

static void on_crash(void *self, const char *id)
{
    struct sim_world *world = self;

    count_of(world, id)->seen++;
    place(world, id);
}

static void on_probe(void *self, const char *name)
{
    count_of(self, name)->seen++;
}

static bool on_buggify(void *self, const char *file, int line)
{
    struct sim_world *world = self;

    /* A place is active in a quarter of the seeds, and fires in a part of its passages there. */
    if (world->healed || world->knobs.buggify_ppm == 0) return false;
    if (strrchr(file, '/') != NULL) file = strrchr(file, '/') + 1; /* wherever it was built */
    if (mr_hash_combine(mr_hash_bytes(file, strlen(file)), (uint64_t)line + world->seed) % 4 != 0) {
        return false;
    }
    return mr_prng_below(&world->faults, MILLION) < world->knobs.buggify_ppm;
}

static bool on_plant(void *self, const char *id)
{
    return sim_world_planted(self, id);
}

static void on_request(void *self)
{
    place(self, "");
}

static void on_shown(void *self, const char *path, const struct sim_inode *inode)
{
    struct sim_world *world = self;

    sim_files_shown(world->files, world, path, inode);
}

static void on_gone(void *self, const char *path, const struct sim_inode *inode)
{
    struct sim_world *world = self;

    sim_files_gone(world->files, world, path, inode);

    say(world, "%u: %s (%llu bytes) goes away", world->running == NULL ? 0 : world->running->number,
        path, (unsigned long long)inode->size_bytes);
}

/* ---- time ---- */

/* When the world itself has something to do. */
static int64_t world_due(const struct sim_world *world)
{
    int64_t due = world->healed ? NEVER_US : MR_MIN(world->next_event_us, world->knobs.heal_us);

    if (world->full_until_us != 0) due = MR_MIN(due, world->full_until_us);
    if (world->alive == NULL) due = MR_MIN(due, world->next_start_us);
    if (world->alive != NULL && world->alive->state == SIM_STOPPED) {
        due = MR_MIN(due, world->alive->resume_us);
    }
    if (world->zombie != NULL && world->zombie->state == SIM_STOPPED) {
        due = MR_MIN(due, world->zombie->resume_us);
    }
    return due;
}

static bool others(const struct sim_world *world)
{
    const struct sim_process *other =
        world->running == world->alive ? world->zombie : world->alive;

    return other != NULL && other->state == SIM_READY;
}

/* The running process sleeps until then, and others live on. */
static void sleep_until(struct sim_world *world, int64_t until_us)
{
    struct sim_process *process = world->running;

    while (world->now_us < until_us) {
        if (!others(world) && until_us <= world_due(world)) {
            world->now_us = until_us;
            return;
        }
        process->wake_us = until_us;
        sim_process_yield(process);
    }
}

static void on_wait(void *self, int64_t until_us)
{
    sleep_until(self, until_us);
}

static void on_wake_at(void *self, int64_t at_us)
{
    sim_world_wake_at(self, at_us);
}

static struct sim_world *sleepers_world; /* there is one at a time */

/* Takes the place of the C library's: whoever sleeps in the product sleeps in virtual time. */
int nanosleep(const struct timespec *wanted, struct timespec *rest)
{
    struct sim_world *world = sleepers_world;

    (void)rest;
    if (world == NULL || world->running == NULL) return 0;
    sleep_until(world, world->now_us + (int64_t)wanted->tv_sec * MR_SECOND +
                           (int64_t)wanted->tv_nsec / 1000 + 1);
    return 0;
}

/* ---- a process ---- */

static enum mr_progress turn(struct sim_process *process, struct mr_runner *runner, uint32_t worker)
{
    struct sim_world *world = process->world;

    process->turns_taken++;
    world->now_us += 1 + (int64_t)mr_prng_below(&process->turns, (uint64_t)world->knobs.turn_us);
    if (worker == runner->worker_count) return mr_runner_coordinator_turn(runner);
    return mr_worker_turn(runner, worker);
}

struct drive {
    uint64_t over; /* bit per worker */
    uint32_t count, over_count;
    uint32_t idle;         /* turns in a row that moved nothing */
    int64_t moved_us;      /* the last one that did */
    int64_t watermark_us;
};

static void check_watermark(struct sim_world *world, struct drive *drive,
                            const struct mr_runner *runner)
{
    int64_t now = mr_runner_watermark(runner);

    if (now < drive->watermark_us) sim_world_fail(world, "the watermark of a source went back");
    drive->watermark_us = now;
}

/* I6: what was announced as complete is where the next attempt begins, at least. */
static void check_complete(struct sim_world *world, const struct sim_process *process,
                           const struct mr_runner *runner)
{
    if (process == world->zombie) return;
    world->complete = MR_MAX(world->complete, mr_checkpoint_stats(runner->checkpoint).last_epoch);
}

static void check_restored(struct sim_world *world, const struct mr_runner *runner)
{
    uint64_t restored = mr_checkpoint_restored(runner->checkpoint);

    if (restored < world->complete) {
        sim_world_fail(world, "epoch %llu was complete, and the attempt begins behind epoch %llu",
                       (unsigned long long)world->complete, (unsigned long long)restored);
    }
}

static void drive_one(struct sim_process *process, struct mr_runner *runner, struct drive *drive,
                      uint32_t worker)
{
    enum mr_progress progress;

    if ((drive->over >> worker & 1) != 0) return;
    progress = turn(process, runner, worker);
    if (worker == runner->worker_count) check_complete(process->world, process, runner);
    if (progress == MR_PROGRESS_OVER) {
        drive->over |= UINT64_C(1) << worker;
        drive->over_count++;
    }
    drive->idle = progress == MR_PROGRESS_NONE ? drive->idle + 1 : 0;
    if (progress != MR_PROGRESS_NONE) drive->moved_us = process->world->now_us;
}

/* Everybody is asked once more; if none has anything to do, time passes. */
static void rest(struct sim_process *process, struct mr_runner *runner, struct drive *drive)
{
    struct sim_world *world = process->world;
    int64_t until_us;

    drive->idle = 1;
    process->wake_us = world->now_us + IDLE_US;
    for (uint32_t w = 0; w < drive->count && drive->idle > 0; w++) {
        drive_one(process, runner, drive, w);
    }
    if (drive->idle == 0) return;
    until_us = process->wake_us;
    if (runner->checkpoint != NULL) {
        until_us = MR_MIN(until_us, mr_checkpoint_wake(runner->checkpoint).us);
    }
    if (world->now_us - drive->moved_us > HANG_US) {
        sim_world_fail(world, "no worker made progress for %lld s", (long long)HANG_US / 1000000);
        sim_process_yield(process);
    }
    drive->idle = 0;
    sleep_until(world, MR_MAX(until_us, world->now_us + 1));
}

static void drive(void *self, struct mr_runner *runner)
{
    struct sim_process *process = self;
    struct sim_world *world = process->world;
    struct drive state = {.count = runner->worker_count + (runner->checkpoint != NULL),
                          .moved_us = world->now_us,
                          .watermark_us = MR_TIME_MIN};

    mr_assert(state.count <= 64);
    process->runner = runner;
    if (process == world->alive && runner->checkpoint != NULL) check_restored(world, runner);
    while (state.over_count < state.count && !atomic_load(&runner->failed)) {
        uint32_t worker = (uint32_t)mr_prng_below(&process->turns, state.count);

        if (world->now_us >= world_due(world) || (others(world) && process->turns_taken % 8 == 0)) {
            process->wake_us = world->now_us;
            sim_process_yield(process);
        }
        drive_one(process, runner, &state, worker);
        if (state.idle > 2 * state.count) rest(process, runner, &state);
        if (process->turns_taken % 16 == 0) check_watermark(world, &state, runner);
    }
    process->runner = NULL;
}

void sim_world_process_main(struct sim_process *process)
{
    struct sim_world *world = process->world;
    const struct sim_knobs *knobs = &world->knobs;
    struct mri_job_hooks hooks = {.port = &process->port,
                                  .drive = drive,
                                  .self = process,
                                  .ring_slots = knobs->ring_slots,
                                  .batch_rows = knobs->batch_rows,
                                  .quota_bytes = knobs->quota_bytes,
                                  .segment_bytes = knobs->segment_bytes,
                                  .trace = true};
    struct mr_job_options options = {
        .size = sizeof options,
        .workers = process->workers,
        .late = MR_LATE_BY_SPLIT,
        .state_dir = STATE_DIR,
        .guarantee = MR_EXACTLY_ONCE,
        .commit = knobs->micro_batch ? MR_COMMIT_MICRO_BATCH : MR_COMMIT_CONTINUOUS,
        .epoch_us = knobs->epoch_us,
        .roll_bytes = knobs->roll_bytes,
        .roll_us = knobs->roll_us,
        .no_fusion = knobs->no_fusion,
        .no_two_stage = knobs->no_two_stage,
    };
    struct mr_job *job = sim_job_create(process, "job", &options, &hooks);

    process->status = MR_E_NOMEM;
    if (job == NULL) return;
    process->job = job;
    if (mri_job_ok(job)) world->workload->build(world, job);
    process->status = mr_job_run(job, &process->summary);
    world->trace = mr_hash_combine(world->trace, hooks.trace_hash);
    snprintf(process->text, sizeof process->text, "%s", mr_job_error(job));
    process->job = NULL;
    sim_job_destroy(job);
    process->finished_clean = atomic_load(&process->heap.used_bytes) == 0;
}

/* ---- life and death of attempts ---- */

static void account(struct sim_world *world, struct sim_process *process)
{
    world->stats.process_us += world->now_us - process->started_us;
    world->stats.turns += process->turns_taken;
    if (process->runner != NULL) {
        world->trace = mr_hash_combine(world->trace, process->runner->trace);
        world->stats.rows += mr_runner_counter(process->runner, MR_COUNTER_ROWS_IN);
        if (process->runner->checkpoint != NULL) {
            world->stats.epochs += mr_checkpoint_stats(process->runner->checkpoint).epochs;
        }
    } else {
        world->stats.rows += process->summary.rows_in;
        world->stats.epochs += process->summary.epochs;
    }
}

static void end_process(struct sim_world *world, struct sim_process **at)
{
    struct sim_process *process = *at;

    if (process == NULL) return;
    account(world, process);
    *at = NULL;
    sim_process_destroy(process);
}

static void start_attempt(struct sim_world *world)
{
    struct sim_knobs *knobs = &world->knobs;
    struct sim_process *process;

    if (world->zombie != NULL) sim_owner_cut_off(&world->zombie->owner);
    process = sim_process_create(world, ++world->attempts, world->seed);
    world->stats.attempts++;
    if (world->attempts == 1 || knobs->rescale) {
        knobs->workers_max = 1 + (uint32_t)mr_prng_below(&world->plans, 4);
    }
    if (knobs->replan) {
        knobs->no_fusion = mr_prng_below(&world->plans, 2) == 0;
        knobs->no_two_stage = mr_prng_below(&world->plans, 2) == 0;
    }
    process->workers = knobs->workers_max;
    world->alive = process;
    world->armed_count = world->armed_count > 0 && world->armed_id[0] != '\0' ? world->armed_count : 0;
    say(world, "attempt %u with %u workers", world->attempts, process->workers);
}

/* The next attempt, if there is none. */
static void plan_start(struct sim_world *world)
{
    uint32_t shift = MR_MIN(world->refused_in_a_row, 5u);

    world->next_start_us =
        world->now_us + sim_world_draw_us(world, (10 << shift) * MR_MILLISECOND);
}

static bool excused(const struct sim_world *world, const struct sim_process *process)
{
    const struct sim_fault_counts *disk = &world->machine.counts;

    switch (process->status) {
    case MR_E_CANCELLED: return process->asked_to_stop;
    case MR_E_NOMEM: return atomic_load(&process->heap.failed_count) > 0;
    case MR_E_NO_SPACE: return disk->no_space > 0;
    case MR_E_IO: /* also what follows when META was read with a flipped bit, or not for want of memory */
        if (atomic_load(&process->heap.failed_count) > 0) return true;
        return disk->read_errors + disk->write_errors + disk->sync_errors + disk->lost_replies +
                   disk->flips + disk->rots + disk->misdirects +
                   world->stats.faults[SIM_FAULT_SOURCE] >
               0;
    case MR_E_CORRUPT: return disk->flips + disk->rots + disk->misdirects > 0;
    case MR_E_UNSUPPORTED: /* a flipped bit may look like a newer version, */
    case MR_E_CHANGED:     /* or like another job */
        return disk->flips + disk->rots + disk->misdirects > 0;
    case MR_E_LOST: return disk->rots + disk->misdirects > 0;
    case MR_E_FENCED: /* a META with a flipped bit is not the one that was written */
        return world->stats.zombies + disk->flips + disk->rots + disk->misdirects > 0;
    case MR_OK:
    case MR_E_INVALID:
    case MR_E_SCHEMA:
    case MR_E_PIPELINE:
    case MR_E_RECORD:
    case MR_E_EVALUATE:
    case MR_E_OVERFLOW:
    case MR_E_NOT_FOUND:
    case MR_E_ACCESS:
    case MR_E_LIMIT:
    case MR_E_USER_FUNCTION:
    case MR_E_CLOSED:
    case MR_E_AGAIN:
    case MR_E_TIMED_OUT:
    case MR_E_BUSY: return false;
    }
    return false;
}

static void judge_failure(struct sim_world *world, struct sim_process *process)
{
    world->stats.refused_attempts++;
    world->refused_in_a_row++;
    if (!excused(world, process)) {
        sim_world_fail(world, "an attempt failed for no reason with %s: %s",
                       mr_status_name(process->status), process->text);
    } else if (world->knobs.unrecoverable && world->refused_in_a_row >= REFUSALS_MAX) {
        say(world, "given up: the disk is beyond repair");
        world->over = true;
    } else if (world->healed && !world->knobs.unrecoverable &&
               world->refused_in_a_row >= REFUSALS_MAX) {
        sim_world_fail(world, "the job does not recover though no fault comes any more: %s: %s",
                       mr_status_name(process->status), process->text);
    }
}

static void finish_job(struct sim_world *world, const struct sim_process *process)
{
    if (!world->job_done) { /* and once more: it must say that it is done, and do nothing */
        world->job_done = true;
        sim_files_end(world->files, world);
        sim_check_end(world->check, world);
        if (sim_ledger_open(&world->ledger) > 0) { /* museum 4: readers would wait for them */
            sim_world_fail(world, "the job is over, and %u transactions are still open",
                           sim_ledger_open(&world->ledger));
        }
        return;
    }
    if (!process->summary.was_finished && process->summary.rows_in + process->summary.epochs > 0) {
        sim_world_fail(world, "a finished job was run again by the next attempt");
    }
    world->over = true;
}

/* While the same attempt holds the directory, stopped or not, nobody else may have been let in. */
static void judge_intruder(struct sim_world *world, const struct sim_process *process)
{
    if (process->status == MR_E_BUSY || world->alive != process->intrudes) return;
    if (process->status != MR_OK && excused(world, process)) return;
    sim_world_fail(world, "an attempt was let in beside one that is alive: %s: %s",
                   mr_status_name(process->status), process->text);
}

/* A process has ended by itself. */
static void reap(struct sim_world *world, struct sim_process **at)
{
    struct sim_process *process = *at;

    if (process == NULL || process->state != SIM_ENDED) return;
    say(world, "%s %u ends: %s %s", at == &world->alive ? "attempt" : "zombie", process->number,
        mr_status_name(process->status), process->text);
    world->trace = mr_hash_combine(world->trace, (uint64_t)process->status << 8 | process->number);
    if (!process->finished_clean) {
        sim_world_fail(world, "attempt %u left %zu bytes allocated", process->number,
                       atomic_load(&process->heap.used_bytes));
    }
    if (at == &world->alive) {
        if (process->status == MR_OK) {
            world->refused_in_a_row = 0;
            finish_job(world, process);
        } else {
            judge_failure(world, process);
        }
        plan_start(world);
    }
    if (process->intrudes != NULL) judge_intruder(world, process);
    end_process(world, at);
}

/* ---- events ---- */

static const char *const event_names[SIM_EVENT_COUNT] = {
    "kill",         "kill at a place", "power loss",   "power loss at a place", "stop",
    "stop at a place", "zombie",       "no memory",    "disk full",    "clock jump",
    "interrupt"};

static void kill_attempt(struct sim_world *world)
{
    end_process(world, &world->alive);
    world->refused_in_a_row = 0;
    plan_start(world);
}

static void lose_power(struct sim_world *world)
{
    end_process(world, &world->zombie);
    end_process(world, &world->alive);
    sim_machine_crash(&world->machine);
    world->refused_in_a_row = 0;
    plan_start(world);
}

/* Somebody begins the job once more while an attempt holds its directory: it has to be refused. */
static void intrude(struct sim_world *world)
{
    struct sim_process *process;

    if (world->zombie != NULL || world->alive == NULL || !sim_world_coin(world)) return;
    process = sim_process_create(world, 1000 + world->attempts, world->seed);
    process->workers = 1;
    process->intrudes = world->alive;
    world->zombie = process;
    world->stats.intruders++;
}

static void stop_attempt(struct sim_world *world)
{
    struct sim_process *process = world->alive;

    if (process == NULL || process->state != SIM_READY) return;
    process->state = SIM_STOPPED;
    process->owner.stopped = true;
    process->resume_us = world->now_us + sim_world_draw_us(world, MR_SECOND);
}

/* The attempt seems dead; another one takes its place. Later it goes on where it stopped. */
static void make_zombie(struct sim_world *world)
{
    if (world->alive == NULL || world->zombie != NULL) return;
    stop_attempt(world);
    world->zombie = world->alive;
    world->alive = NULL;
    world->stats.zombies++;
    plan_start(world);
}

static void disk_full(struct sim_world *world)
{
    struct sim_machine *machine = &world->machine;

    machine->space_bytes = machine->used_bytes + mr_prng_below(&world->events, 20000);
    world->full_until_us = world->now_us + sim_world_draw_us(world, MR_SECOND);
}

static void perform(struct sim_world *world, enum sim_event event)
{
    struct sim_process *process = world->alive;

    if (process == NULL && event != SIM_EVENT_DISK_FULL && event != SIM_EVENT_CLOCK) return;
    say(world, "event: %s", event_names[event]);
    world->stats.events[event]++;
    world->trace = mr_hash_combine(world->trace, (uint64_t)event);
    switch (event) {
    case SIM_EVENT_KILL:
    case SIM_EVENT_KILL_AT: kill_attempt(world); break;
    case SIM_EVENT_POWER:
    case SIM_EVENT_POWER_AT: lose_power(world); break;
    case SIM_EVENT_STOP:
    case SIM_EVENT_STOP_AT:
        stop_attempt(world);
        intrude(world);
        break;
    case SIM_EVENT_ZOMBIE: make_zombie(world); break;
    case SIM_EVENT_MEMORY:
        atomic_store(&process->heap.fail_at, atomic_load(&process->heap.alloc_count) + 1 +
                                                 mr_prng_below(&world->events, 300));
        break;
    case SIM_EVENT_DISK_FULL: disk_full(world); break;
    case SIM_EVENT_CLOCK:
        world->wall_offset_us =
            (int64_t)mr_prng_below(&world->events, 2 * (uint64_t)MR_HOUR) - MR_HOUR;
        break;
    case SIM_EVENT_INTERRUPT:
        if (process->runner == NULL || process->runner->checkpoint == NULL) break;
        process->asked_to_stop = true;
        mr_checkpoint_stop(process->runner->checkpoint);
        break;
    case SIM_EVENT_COUNT: break;
    }
}

/* Crash points of the product and of the simulator's own sink. */
static const char *const crash_ids[] = {
#define SIM_CRASH_ID(id) id,
#include "sim_crash_points.h"
#undef SIM_CRASH_ID
};

static void arm(struct sim_world *world, enum sim_event event)
{
    uint64_t shift = mr_prng_below(&world->events, 11);

    world->armed_event = event;
    world->armed_id[0] = '\0';
    world->armed_count = 1 + mr_prng_below(&world->events, UINT64_C(1) << shift);
    if (mr_prng_below(&world->events, 4) == 0) return;
    world->armed_count = 1 + mr_prng_below(&world->events, 3);
    snprintf(world->armed_id, sizeof world->armed_id, "%s",
             crash_ids[mr_prng_below(&world->events, MR_COUNT(crash_ids))]);
}

static void draw_event(struct sim_world *world)
{
    const uint32_t *weight = world->knobs.event_weight;
    uint64_t sum = 0, at;
    uint32_t event = 0;

    world->next_event_us =
        world->now_us + 1 + sim_world_draw_us(world, world->knobs.event_us);
    for (uint32_t e = 0; e < SIM_EVENT_COUNT; e++) sum += weight[e];
    at = mr_prng_below(&world->events, sum);
    while (at >= weight[event]) at -= weight[event++];
    if (event == SIM_EVENT_KILL_AT || event == SIM_EVENT_POWER_AT || event == SIM_EVENT_STOP_AT) {
        arm(world, (enum sim_event)event);
    } else {
        perform(world, (enum sim_event)event);
    }
}

static void heal(struct sim_world *world)
{
    say(world, "no faults from here on");
    world->healed = world->machine.healed = true;
    world->machine.space_bytes = UINT64_MAX;
    world->full_until_us = 0;
    world->armed_count = 0;
    world->refused_in_a_row = 0;
}

static void resume(struct sim_world *world, struct sim_process *process)
{
    if (process == NULL || process->state != SIM_STOPPED || world->now_us < process->resume_us) return;
    say(world, "%u goes on", process->number);
    process->state = SIM_READY;
    process->owner.stopped = false;
    process->wake_us = world->now_us;
}

static void world_turn(struct sim_world *world)
{
    if (!world->healed && world->now_us >= world->knobs.heal_us) heal(world);
    if (!world->healed && world->now_us >= world->next_event_us) draw_event(world);
    if (world->full_until_us != 0 && world->now_us >= world->full_until_us) {
        world->full_until_us = 0;
        world->machine.space_bytes = UINT64_MAX;
    }
    if (world->alive == NULL && world->now_us >= world->next_start_us) start_attempt(world);
    resume(world, world->alive);
    resume(world, world->zombie);
    if (world->now_us > RUN_BOUND_US ||
        (world->healed && world->now_us > world->knobs.heal_us + HEALED_BOUND_US)) {
        sim_world_fail(world, "the job is not over though it had all the time it needs");
    }
}

static bool can_run(const struct sim_world *world, const struct sim_process *process)
{
    return process != NULL && process->state == SIM_READY && process->wake_us <= world->now_us;
}

static int64_t wakes_us(const struct sim_process *process)
{
    return process != NULL && process->state == SIM_READY ? process->wake_us : NEVER_US;
}

static void run_one(struct sim_world *world)
{
    struct sim_process *process = can_run(world, world->alive) ? world->alive : NULL;

    if (can_run(world, world->zombie) && (process == NULL || sim_world_coin(world))) {
        process = world->zombie;
    }
    if (process == NULL) {
        int64_t next_us = MR_MIN(world_due(world), wakes_us(world->alive));

        next_us = MR_MIN(next_us, wakes_us(world->zombie));
        world->now_us = MR_MAX(world->now_us, MR_MIN(next_us, world->now_us + MR_SECOND));
        return;
    }
    sim_process_run(process);
    if (world->struck) {
        world->struck = false;
        perform(world, world->struck_event);
    }
}

/* ---- a whole run ---- */

static void world_init(struct sim_world *world, const struct sim_options *options)
{
    *world = (struct sim_world){.seed = options->seed,
                                .planted = options->planted,
                                .verbose = options->verbose,
                                .trace = options->seed};
    sim_machine_init(&world->machine, options->seed, &world->now_us);
    world->machine.wait = on_wait;
    world->machine.wake_at = on_wake_at;
    world->machine.boundary = on_request;
    world->machine.gone = on_gone;
    world->machine.shown = on_shown;
    world->files = sim_files_create();
    world->machine.self = world;
    sim_draw(world, options->calm);
    for (uint32_t i = 0; i < sim_workload_count && options->workload != NULL; i++) {
        if (strcmp(sim_workloads[i].name, options->workload) == 0) world->knobs.workload = i;
    }
    world->workload = &sim_workloads[world->knobs.workload];
    if (world->workload->in_time) world->rows.late_ppm = 0;
    if (world->workload->folder) sim_machine_put_directory(&world->machine, SIM_OUTPUT_DIR);
    world->check = sim_check_create(world->workload->ordered);
    world->workload->expect(world, world->check);
    world->next_event_us = sim_world_draw_us(world, world->knobs.event_us);
    world->hooks = (struct mr_faults){.self = world,
                                      .crash = on_crash,
                                      .probe = on_probe,
                                      .buggify = on_buggify,
                                      .plant = on_plant};
    mr_faults = &world->hooks;
    sleepers_world = world;
}

static void world_fini(struct sim_world *world)
{
    mr_faults = NULL;
    sleepers_world = NULL;
    world->machine.gone = NULL;
    world->machine.shown = NULL;
    end_process(world, &world->zombie);
    end_process(world, &world->alive);
    sim_check_destroy(world->check);
    sim_files_destroy(world->files);
    sim_ledger_fini(&world->ledger);
    sim_machine_fini(&world->machine);
}

static void tell_knobs(const struct sim_world *world)
{
    const struct sim_knobs *knobs = &world->knobs;
    const struct sim_disk_knobs *disk = &world->machine.knobs;

    say(world,
        "%s: %u splits of %llu rows each %lld us, %s; cut %d, turn %lld us, ring %u, batch %u%s%s%s, "
        "epoch %lld us, segments of %llu KiB, window %lld us / %lld us",
        world->workload->name, world->rows.splits, (unsigned long long)world->rows.per_split,
        (long long)world->rows.every_us, world->rows.bounded ? "bounded" : "without end",
        (int)knobs->cut, (long long)knobs->turn_us, knobs->ring_slots, knobs->batch_rows,
        knobs->micro_batch ? ", micro-batch" : "", knobs->rescale ? ", rescaled" : "",
        knobs->replan ? ", planned anew" : "", (long long)knobs->epoch_us,
        (unsigned long long)knobs->segment_bytes / 1024,
        (long long)knobs->window_us, (long long)knobs->slide_us);
    say(world, "disk: %lld, %lld, %lld us per read, write, sync, slow %lld us; sink %lld us; %s",
        (long long)disk->read_us, (long long)disk->write_us, (long long)disk->sync_us,
        (long long)disk->slow_us, (long long)knobs->sink_us,
        knobs->unrecoverable ? "bits may rot" : "all faults can be survived");
}

void sim_run(const struct sim_options *options, struct sim_result *out)
{
    struct sim_world *world = calloc(1, sizeof *world);

    mr_assert(world != NULL);
    world_init(world, options);
    tell_knobs(world);
    while (!world->over) {
        world_turn(world);
        if (!world->over) run_one(world);
        reap(world, &world->alive);
        reap(world, &world->zombie);
    }
    memset(out, 0, sizeof *out);
    out->workload = world->workload->name;
    snprintf(out->failure, sizeof out->failure, "%s", world->failure);
    out->virtual_us = world->now_us;
    out->refused = world->ledger.refused;
    out->disk = world->machine.counts;
    world_fini(world);
    out->trace = mr_hash_combine(world->trace, world->machine.trace);
    out->stats = world->stats;
    free(world);
}
