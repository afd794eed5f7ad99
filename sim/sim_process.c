#include "sim_process.h"

#include "base/assert.h"
#include "base/status.h"
#include "sim_world.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif
#ifdef SIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

#define STACK_BYTES ((size_t)1024 * 1024)
#define GUARD_BYTES ((size_t)64 * 1024)

/* ---- memory ---- */

struct sim_region_block {
    struct sim_region_block *previous, *next;
    size_t size_bytes;
    size_t unused; /* keeps what follows aligned */
};

static void *region_alloc(void *self, size_t size_bytes)
{
    struct sim_process *process = self;
    struct sim_region_block *block = malloc(sizeof *block + size_bytes);

    if (block == NULL) return NULL;
    *block = (struct sim_region_block){.next = process->region, .size_bytes = size_bytes};
    if (process->region != NULL) process->region->previous = block;
    process->region = block;
    process->region_bytes += size_bytes;
    /* Whoever reads what was never written shall not find zeros by luck. */
    memset(block + 1, 0xa5, MR_MIN(size_bytes, (size_t)4096));
    return block + 1;
}

static void region_free(void *self, void *memory, size_t size_bytes)
{
    struct sim_process *process = self;
    struct sim_region_block *block = (struct sim_region_block *)memory - 1;

    mr_assert(block->size_bytes == size_bytes);
    if (block->previous != NULL) block->previous->next = block->next;
    if (block->next != NULL) block->next->previous = block->previous;
    if (process->region == block) process->region = block->next;
    process->region_bytes -= size_bytes;
    memset(memory, 0xdd, MR_MIN(size_bytes, (size_t)4096));
    free(block);
}

static void region_drop(struct sim_process *process)
{
    while (process->region != NULL) {
        struct sim_region_block *block = process->region;

        process->region = block->next;
        free(block);
    }
    process->region_bytes = 0;
}

/* ---- the switch ---- */

struct sim_switch {
    ucontext_t process, world;
    char *stack;
    void *fake_process, *fake_world; /* the address sanitizer's */
    const void *world_stack;
    size_t world_stack_bytes;
};

static void into_process(struct sim_switch *here)
{
#ifdef SIM_ASAN
    __sanitizer_start_switch_fiber(&here->fake_world, here->stack + GUARD_BYTES, STACK_BYTES);
#endif
    swapcontext(&here->world, &here->process);
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(here->fake_world, NULL, NULL);
#endif
}

static void into_world(struct sim_switch *here, bool for_good)
{
#ifdef SIM_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &here->fake_process, here->world_stack,
                                   here->world_stack_bytes);
#else
    (void)for_good;
#endif
    swapcontext(&here->process, &here->world);
#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(here->fake_process, &here->world_stack,
                                    &here->world_stack_bytes);
#endif
}

/* A context begins with a function of int arguments: the pointer comes in two halves. */
static void process_main(unsigned high, unsigned low)
{
    struct sim_process *process =
        (struct sim_process *)(uintptr_t)((uint64_t)high << 32 | (uint64_t)low);

#ifdef SIM_ASAN
    __sanitizer_finish_switch_fiber(NULL, &process->here->world_stack,
                                    &process->here->world_stack_bytes);
#endif
    sim_world_process_main(process);
    process->state = SIM_ENDED;
    into_world(process->here, true);
    MR_UNREACHABLE();
}

static struct sim_switch *switch_create(struct sim_process *process)
{
    struct sim_switch *here = calloc(1, sizeof *here);
    uint64_t address = (uint64_t)(uintptr_t)process;

    mr_assert(here != NULL);
    here->stack = mmap(NULL, STACK_BYTES + GUARD_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mr_assert(here->stack != MAP_FAILED);
    mr_assert(mprotect(here->stack, GUARD_BYTES, PROT_NONE) == 0);
    mr_assert(getcontext(&here->process) == 0);
    here->process.uc_stack.ss_sp = here->stack + GUARD_BYTES;
    here->process.uc_stack.ss_size = STACK_BYTES;
    here->process.uc_link = NULL;
    makecontext(&here->process, (void (*)(void))process_main, 2, (unsigned)(address >> 32),
                (unsigned)(address & UINT32_MAX));
    return here;
}

void sim_process_run(struct sim_process *process)
{
    struct sim_world *world = process->world;

    mr_assert(world->running == NULL && process->state == SIM_READY); /* (1) */
    world->running = process;
    into_process(process->here);
    world->running = NULL;
}

void sim_process_yield(struct sim_process *process)
{
    mr_assert(process->world->running == process);
    into_world(process->here, false);
}

/* ---- the process's port ---- */

static struct mr_ptime port_monotonic(void *self)
{
    const struct sim_process *process = self;

    return (struct mr_ptime){process->world->now_us};
}

static struct mr_ptime port_wall(void *self)
{
    const struct sim_process *process = self;

    return (struct mr_ptime){process->world->now_us + process->world->wall_offset_us};
}

static uint64_t port_entropy(void *self)
{
    struct sim_process *process = self;

    return mr_prng_next(&process->entropy);
}

static uint64_t port_pick(void *self, enum mr_choice what, uint64_t bound, uint64_t preferred)
{
    struct sim_process *process = self;

    if (bound <= 1) return 0;
    if (what == MR_CHOOSE_BATCH_ROWS) {
        if (process->world->knobs.cut == SIM_CUT_ONE) return 0; /* the caller adds one */
        if (process->world->knobs.cut == SIM_CUT_FULL) return preferred;
        if (mr_prng_below(&process->choices, 2) == 0) bound = MR_MIN(bound, UINT64_C(8));
    }
    return mr_prng_below(&process->choices, bound);
}

static void port_park(void *self, uint32_t worker, int64_t us)
{
    (void)self;
    (void)worker;
    (void)us;
}

static void port_wake(void *self, uint32_t worker)
{
    (void)self;
    (void)worker;
}

static struct mr_disk *port_disk(void *self, struct mr_heap *heap)
{
    struct sim_process *process = self;

    return sim_disk_create(&process->owner, heap);
}

static void port_disk_destroy(void *self, struct mr_disk *disk)
{
    (void)self;
    sim_disk_destroy(disk);
}

/* ---- life ---- */

struct sim_process *sim_process_create(struct sim_world *world, uint32_t number, uint64_t seed)
{
    struct sim_process *process = calloc(1, sizeof *process);

    mr_assert(process != NULL);
    process->world = world;
    process->number = number;
    process->owner.machine = &world->machine;
    process->started_us = world->now_us;
    mr_prng_init(&process->entropy, seed, 100 + (uint64_t)number * 8);
    mr_prng_init(&process->choices, seed, 101 + (uint64_t)number * 8);
    mr_prng_init(&process->turns, seed, 102 + (uint64_t)number * 8);
    mr_heap_init(&process->heap, "process", world->knobs.memory_bytes, region_alloc, region_free,
                 process);
    process->port = (struct mr_port){
        .clock = {.self = process, .monotonic = port_monotonic, .wall = port_wall},
        .entropy = {.self = process, .next = port_entropy},
        .choose = {.self = process, .pick = port_pick},
        .parker = {.self = process, .park = port_park, .wake = port_wake},
        .heap = &process->heap,
        .disk_create = port_disk,
        .disk_destroy = port_disk_destroy,
        .self = process,
    };
    process->here = switch_create(process);
    return process;
}

void sim_process_destroy(struct sim_process *process)
{
    if (process == NULL) return;
    mr_assert(process->world->running != process);
    sim_owner_die(&process->owner); /* requests in flight have their data in the region */
    region_drop(process);
    munmap(process->here->stack, STACK_BYTES + GUARD_BYTES);
    free(process->here);
    free(process);
}

/* ---- jobs ---- */

/* What mr_job_create does, with the process's heap instead of one over malloc. */
struct mr_job *sim_job_create(struct sim_process *process, const char *name,
                              const struct mr_job_options *options, struct mri_job_hooks *hooks)
{
    struct mr_error err = {.status = MR_OK};
    struct mr_job *job = mr_alloc_zero(&process->heap, sizeof *job);

    if (job == NULL) return NULL;
    job->heap = &process->heap;
    job->options = *options;
    job->options.memory_bytes = process->heap.limit_bytes;
    job->hooks = hooks;
    job->name = mr_strdup(job->heap, name);
    if (options->state_dir != NULL) {
        job->state_dir = mr_strdup(job->heap, options->state_dir);
        job->options.state_dir = job->state_dir;
    }
    if (job->name == NULL || (options->state_dir != NULL && job->state_dir == NULL)) {
        mr_error_nomem(&err, "a job", sizeof *job);
        mri_job_fail(job, &err);
    } else if (mr_model_create(job->heap, &job->model, &err) != MR_OK) {
        mri_job_fail(job, &err);
    }
    return job;
}

void sim_job_destroy(struct mr_job *job)
{
    struct mr_heap *heap = job->heap;

    mr_model_destroy(job->model);
    for (uint32_t i = 0; i < job->source_count; i++) {
        job->sources[i].ops->destroy(job->sources[i].spec);
        mr_schema_release(job->sources[i].schema);
    }
    for (uint32_t i = 0; i < job->sink_count; i++) job->sinks[i].ops->destroy(job->sinks[i].spec);
    mr_strfree(heap, job->name);
    mr_strfree(heap, job->state_dir);
    mr_free(heap, job->metrics, job->metrics_bytes);
    mr_free(heap, job, sizeof *job);
}
