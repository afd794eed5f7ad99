/* sim_machine.h - the disk of one simulated machine: what programs see, what power loss leaves.
 *
 * Contents and names are kept twice, as a program sees them and as they would survive a loss of power.
 * Pages of 4 KiB are shared between both until written; sectors of 512 bytes are lost, kept or torn
 * one by one. Names change in order within a directory and become durable by a sync of it. Requests take
 * virtual time; what a process that dies had in flight happens wholly, partly or not at all.
 *
 * Faults are drawn per request from the knobs. Those of `knobs.flip_prefix` go to files that carry sums
 * only: a flipped bit anywhere else cannot be noticed by anybody.
 *
 * Owns:    files, names and handles, from malloc: a killed process leaves nothing behind.
 * Thread:  confined.
 * Fails:   as port/disk.h, and as the knobs say.
 * Cost:    a page copy per first write to a page; a request is a few hundred ns.
 * Units:   ppm are chances per million requests.
 *
 * Invariants: (1) a durable page is never written in place. (2) a name leads to an inode with a reference.
 */
#ifndef MR_SIM_MACHINE_H
#define MR_SIM_MACHINE_H

#include "base/prng.h"
#include "port/disk.h"

#define SIM_PAGE_BYTES   4096u
#define SIM_SECTOR_BYTES 512u
#define SIM_PATH_BYTES   192u
#define SIM_NAMES_MAX    4096u
#define SIM_OPEN_MAX     512u

struct sim_disk_knobs {
    uint32_t short_ppm;       /* reads and writes of fewer bytes */
    uint32_t read_error_ppm;  /* EIO */
    uint32_t write_error_ppm;
    uint32_t sync_error_ppm;  /* and the pages are dropped */
    uint32_t lost_reply_ppm;  /* a change of names is done, and answered with EIO */
    uint32_t read_flip_ppm;   /* one bit of what is read; the disk is fine */
    uint32_t rot_ppm;         /* one bit on the disk, for good: safety only */
    uint32_t misdirect_ppm;   /* a write goes elsewhere in its file: safety only */
    int64_t read_us, write_us, sync_us; /* mean */
    uint32_t slow_ppm;        /* a request takes slow_us more */
    int64_t slow_us;
    bool torn;                /* power loss may leave half a sector */
    const char *flip_prefix;  /* paths that flips, rot and misdirection may hit */
};

struct sim_fault_counts {
    uint64_t lost_replies;
    uint64_t shorts, read_errors, write_errors, sync_errors, flips, rots, misdirects, no_space;
    uint64_t lost_sectors, torn_sectors, lost_names, slow;
};

struct sim_page;
struct sim_inode {
    uint64_t number;
    uint32_t references; /* names, durable names, steps and handles */
    bool directory;
    struct sim_page **now;     /* NULL entries are zeros */
    struct sim_page **durable;
    uint8_t *dirty;            /* per page: bit per sector */
    uint64_t *written;         /* per page: number of the request that wrote it last */
    uint32_t page_room;
    uint64_t size_bytes;
    uint64_t durable_bytes;
    int64_t modified_us;
    struct sim_owner *locked_by;
    struct sim_machine *machine;
};

struct sim_name {
    char path[SIM_PATH_BYTES]; /* "": free */
    struct sim_inode *now;
    struct sim_inode *durable;
};

/* A change of names that no sync has made durable. */
struct sim_step {
    char removed[SIM_PATH_BYTES]; /* "": none */
    char added[SIM_PATH_BYTES];
    struct sim_inode *inode; /* what `added` leads to */
};

struct sim_machine {
    struct sim_disk_knobs knobs;
    struct mr_prng prng;
    const int64_t *now_us;
    uint64_t space_bytes; /* of all files together; UINT64_MAX: no limit */
    uint64_t used_bytes;
    struct sim_name *names; /* SIM_NAMES_MAX */
    uint32_t name_count;    /* used ones are among the first of them */
    struct sim_step *steps;
    uint32_t step_count, step_room;
    uint64_t inode_count;
    uint64_t requests;
    uint64_t trace; /* of all requests */
    bool healed;    /* no faults any more */
    struct sim_fault_counts counts;
    /* A caller spins on poll: time has to pass until `until_us` at least. */
    void (*wait)(void *self, int64_t until_us);
    /* A request is done at that time: whoever has nothing to do may sleep until then. */
    void (*wake_at)(void *self, int64_t at_us);
    /* Before a request with an effect: a place to die. */
    void (*boundary)(void *self);
    /* A name that programs could see goes away, before it does: for checkers. */
    void (*gone)(void *self, const char *path, const struct sim_inode *inode);
    void (*shown)(void *self, const char *path, const struct sim_inode *inode); /* a new one, after */
    void *self;
};

/* A process as the disk knows it. */
struct sim_owner {
    struct sim_machine *machine;
    struct sim_disk *disks;
    bool stopped; /* it holds its locks, as a stopped process does */
    bool cut_off; /* nothing it asks for is done any more */
};

void sim_machine_init(struct sim_machine *machine, uint64_t seed, const int64_t *now_us);
void sim_machine_fini(struct sim_machine *machine);
/* Power is lost and comes back. No owner may be alive. */
void sim_machine_crash(struct sim_machine *machine);

struct mr_disk *sim_disk_create(struct sim_owner *owner, struct mr_heap *heap);
void sim_disk_destroy(struct mr_disk *disk);
/* The process is gone: what is in flight happens or not, files are closed, locks fall. */
void sim_owner_die(struct sim_owner *owner);

/* It lives on, but the disk does not know it any more: as after a kill, and what it asks for fails. */
void sim_owner_cut_off(struct sim_owner *owner);

/* ---- for workloads and checkers ---- */
void sim_machine_put(struct sim_machine *machine, const char *path, const void *data,
                     size_t size_bytes);
void sim_machine_put_directory(struct sim_machine *machine, const char *path);
struct sim_inode *sim_machine_find(struct sim_machine *machine, const char *path);
void sim_inode_read(const struct sim_inode *inode, uint64_t offset, void *out, size_t size_bytes);

#endif
