/* fault_disk.h - a disk in memory that forgets what was not synced, and fails where a test asks.
 *
 * Contents are kept twice: as a program sees them and as they would survive a loss of power, in
 * sectors of 512 bytes; names likewise. A crash picks for each sector and each name that was not
 * synced, from a seed, whether the old or the new one survived (or, if asked for, that the sector
 * is garbage). Both names of a rename go together. A failed sync marks its sectors as clean without
 * making them durable, as Linux does. Directories are there by having names below them.
 *
 * Owns:    its files, from malloc: it must not fail when the heap under test does.
 * Thread:  confined.
 * Fails:   as port/disk.h, and where a test asks for it.
 * Cost:    none that matters.
 */
#ifndef MR_FAULT_DISK_H
#define MR_FAULT_DISK_H

#include "base/prng.h"
#include "port/disk.h"

#define FAULT_SECTOR_BYTES 512u
#define FAULT_NAMES_MAX    256u

struct fault_inode {
    char *data;
    char *durable;
    bool *dirty; /* per sector */
    size_t size_bytes;
    size_t durable_bytes;
    size_t room_bytes;
    uint32_t links; /* names and open files */
    uint64_t identity;
};

struct fault_name {
    char name[128];              /* "" : free */
    struct fault_inode *now;     /* NULL: no such name */
    struct fault_inode *durable; /* NULL: no such name after a crash */
    uint64_t rename;             /* not 0: a crash treats all names with this number alike */
};

struct fault_disk {
    struct mr_disk disk;
    struct fault_name names[FAULT_NAMES_MAX];
    struct fault_inode *open[64];
    struct mr_prng prng;
    uint64_t requests; /* so far */
    uint64_t crash_at; /* from this request on nothing is done any more; 0: never */
    bool crashed;
    uint64_t fail_at; /* this request fails; 0: none */
    enum mr_status fail_status;
    bool fail_sticky;     /* and all later ones of its kind that write or sync */
    size_t space_bytes;   /* all files together; SIZE_MAX: no limit */
    bool short_transfers; /* random ones */
    bool late;            /* half of the reads and writes are done by a poll only */
    bool late_names;      /* and of the syncs, renames, removals and questions */
    uint32_t stall;       /* syncs are done by this many polls at the earliest */
    uint32_t stalled;     /* polls since the last sync */
    uint64_t renames;
    uint64_t identities;
    /* Called when a request has been answered: what does a reader see now? */
    void (*watch)(void *self);
    void *watch_self;
    bool torn;    /* a crash may leave the new bytes of a sector up to some place, then old ones */
    bool garbage; /* a crash may leave garbage in sectors that were not synced */
    struct mr_disk_request *pending;
};

void fault_disk_init(struct fault_disk *disk, uint64_t seed);
void fault_disk_fini(struct fault_disk *disk);
/* Power is lost and comes back: what was not synced is old, new or garbage, by the seed. */
void fault_disk_crash(struct fault_disk *disk, uint64_t seed);
/* The process dies: files are closed, the page cache lives on. */
void fault_disk_kill(struct fault_disk *disk);
void fault_disk_copy(struct fault_disk *into, const struct fault_disk *from); /* as after a kill */
struct fault_inode *fault_disk_find(struct fault_disk *disk, const char *name); /* or NULL */
void fault_disk_put(struct fault_disk *disk, const char *name, const void *data, size_t size_bytes);
void fault_disk_remove(struct fault_disk *disk, const char *name);

#endif
