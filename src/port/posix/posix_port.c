/* posix_port.c - see posix.h: puts the parts together. */
#include "base/status.h"
#include "port/posix/posix_internal.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN_FROM_BYTES ((size_t)4096)

struct process {
    struct mr_heap heap;
    struct mri_parking *parking;
    bool skip_syncs;
};

static void *raw_alloc(void *self, size_t size_bytes)
{
    void *memory = NULL;

    (void)self;
    if (size_bytes < ALIGN_FROM_BYTES) return malloc(size_bytes); /* 16 by the ABI */
    return posix_memalign(&memory, MR_CACHE_LINE, size_bytes) == 0 ? memory : NULL;
}

static void raw_free(void *self, void *memory, size_t size_bytes)
{
    (void)self;
    (void)size_bytes;
    free(memory);
}

static struct mr_disk *new_disk(void *self, struct mr_heap *heap)
{
    const struct process *process = self;
    struct mr_disk *disk = mri_posix_disk_create(NULL, heap);

    if (disk != NULL && process->skip_syncs) mri_posix_disk_skip_syncs(disk);
    return disk;
}

static void disk_wakes(void *self, struct mr_disk *disk, uint32_t worker)
{
    const struct process *process = self;
    const struct mr_parker parker = {process->parking, mri_parking_park, mri_parking_wake};

    mri_posix_disk_wakes(disk, &parker, worker);
}

enum mr_status mr_posix_port_init(struct mr_port *port, size_t memory_limit, uint32_t workers,
                                  struct mr_error *err)
{
    struct process *process = calloc(1, sizeof *process); /* the heap cannot hold itself */

    if (process == NULL) return mr_error_nomem(err, "the process", sizeof *process);
    if (memory_limit == 0) memory_limit = mr_posix_memory_default();
    mr_heap_init(&process->heap, "process", memory_limit, raw_alloc, raw_free, NULL);
    process->parking = mri_parking_create(&process->heap, workers);
    if (process->parking == NULL) {
        free(process);
        return mr_error_nomem(err, "the worker threads", workers);
    }
    *port = (struct mr_port){
        .clock = {NULL, mri_posix_monotonic, mri_posix_wall},
        .entropy = {NULL, mri_posix_entropy},
        .choose = {NULL, mri_posix_pick},
        .parker = {process->parking, mri_parking_park, mri_parking_wake},
        .heap = &process->heap,
        .disk_create = new_disk,
        .disk_destroy = mri_posix_disk_destroy,
        .disk_wakes = disk_wakes,
        .self = process,
    };
    return MR_OK;
}

void mr_posix_port_skip_syncs(struct mr_port *port)
{
    struct process *process = port->self;

    process->skip_syncs = true;
}

void mr_posix_port_fini(struct mr_port *port)
{
    struct process *process = port->self;

    if (process == NULL) return;
    mri_parking_destroy(process->parking);
    mr_heap_fini(&process->heap);
    free(process);
    memset(port, 0, sizeof *port);
}
