#include "sim_machine.h"

#include "base/assert.h"
#include "base/hash.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

#define SECTORS_PER_PAGE (SIM_PAGE_BYTES / SIM_SECTOR_BYTES)
#define MILLION          1000000u
#define NOT_LATE_US      INT64_C(2)

struct sim_page {
    uint32_t references;
    char data[SIM_PAGE_BYTES];
};

struct flight { /* a request that takes time */
    struct mr_disk_request *request;
    int64_t due_us;
    uint64_t number; /* of the request: writes before it are what a sync means */
};

struct sim_disk {
    struct mr_disk disk;
    struct sim_machine *machine;
    struct sim_owner *owner;
    struct mr_heap *heap;
    struct sim_inode *open[SIM_OPEN_MAX];
    struct flight *flights;
    uint32_t flight_count, flight_room;
    uint32_t idle_polls;
    int64_t polled_us;
    struct sim_disk *next;
};

static void *get(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes);

    mr_assert(memory != NULL);
    return memory;
}

static bool chance(struct sim_machine *machine, uint32_t ppm)
{
    return ppm > 0 && !machine->healed && mr_prng_below(&machine->prng, MILLION) < ppm;
}

static bool coin(struct sim_machine *machine)
{
    return (mr_prng_next(&machine->prng) >> 17 & 1) != 0;
}

/* ---- pages ---- */

static void page_release(struct sim_page *page)
{
    if (page != NULL && --page->references == 0) free(page);
}

static void page_set(struct sim_page **at, struct sim_page *page)
{
    struct sim_page *old = *at;

    if (page != NULL) page->references++;
    *at = page;
    page_release(old);
}

/* The page to write to; invariant (1). */
static struct sim_page *page_own(struct sim_page **at)
{
    struct sim_page *page = *at, *copy;

    if (page != NULL && page->references == 1) return page;
    copy = get(sizeof *copy);
    copy->references = 1;
    if (page != NULL) memcpy(copy->data, page->data, SIM_PAGE_BYTES);
    *at = copy;
    page_release(page);
    return copy;
}

/* ---- inodes ---- */

static struct sim_inode *inode_new(struct sim_machine *machine, bool directory)
{
    struct sim_inode *inode = get(sizeof *inode);

    inode->machine = machine;
    inode->number = ++machine->inode_count;
    inode->directory = directory;
    inode->modified_us = *machine->now_us;
    return inode;
}

static void inode_release(struct sim_inode *inode)
{
    if (inode == NULL || --inode->references > 0) return;
    for (uint32_t p = 0; p < inode->page_room; p++) {
        page_release(inode->now[p]);
        page_release(inode->durable[p]);
    }
    inode->machine->used_bytes -= inode->size_bytes;
    free(inode->now);
    free(inode->durable);
    free(inode->dirty);
    free(inode->written);
    free(inode);
}

static void inode_set(struct sim_inode **at, struct sim_inode *inode)
{
    struct sim_inode *old = *at;

    if (inode != NULL) inode->references++;
    *at = inode;
    inode_release(old);
}

static void *grown(void *old, size_t old_count, size_t count, size_t size)
{
    char *memory = realloc(old, count * size);

    mr_assert(memory != NULL);
    memset(memory + old_count * size, 0, (count - old_count) * size);
    return memory;
}

static void inode_reserve(struct sim_inode *inode, uint64_t size_bytes)
{
    uint32_t pages = (uint32_t)((size_bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES);
    uint32_t old = inode->page_room;

    if (pages <= old) return;
    pages = MR_MAX(pages, 2 * old);
    inode->now = grown(inode->now, old, pages, sizeof(struct sim_page *));
    inode->durable = grown(inode->durable, old, pages, sizeof(struct sim_page *));
    inode->dirty = grown(inode->dirty, old, pages, sizeof *inode->dirty);
    inode->written = grown(inode->written, old, pages, sizeof *inode->written);
    inode->page_room = pages;
}

static void inode_size(struct sim_inode *inode, uint64_t size_bytes)
{
    inode->machine->used_bytes += size_bytes;
    inode->machine->used_bytes -= inode->size_bytes;
    inode->size_bytes = size_bytes;
}

static bool is_zero(const char *data, size_t size_bytes)
{
    return size_bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, size_bytes - 1) == 0);
}

static void inode_write(struct sim_inode *inode, uint64_t offset, const char *data, size_t size)
{
    inode_reserve(inode, offset + size);
    inode->modified_us = *inode->machine->now_us;
    if (offset + size > inode->size_bytes) inode_size(inode, offset + size);
    while (size > 0) {
        uint32_t page = (uint32_t)(offset / SIM_PAGE_BYTES);
        size_t at = offset % SIM_PAGE_BYTES;
        size_t part = MR_MIN(size, SIM_PAGE_BYTES - at);

        if (part == SIM_PAGE_BYTES && is_zero(data, part)) {
            page_set(&inode->now[page], NULL);
        } else if (inode->now[page] != NULL || !is_zero(data, part)) {
            memcpy(page_own(&inode->now[page])->data + at, data, part);
        }
        for (size_t s = at / SIM_SECTOR_BYTES; s * SIM_SECTOR_BYTES < at + part; s++) {
            inode->dirty[page] |= (uint8_t)(1u << s);
        }
        inode->written[page] = inode->machine->requests;
        offset += part;
        data += part;
        size -= part;
    }
}

void sim_inode_read(const struct sim_inode *inode, uint64_t offset, void *out, size_t size)
{
    char *to = out;

    while (size > 0) {
        uint64_t page = offset / SIM_PAGE_BYTES;
        size_t at = offset % SIM_PAGE_BYTES;
        size_t part = MR_MIN(size, SIM_PAGE_BYTES - at);
        const struct sim_page *from = page < inode->page_room ? inode->now[page] : NULL;

        if (from != NULL) {
            memcpy(to, from->data + at, part);
        } else {
            memset(to, 0, part);
        }
        offset += part;
        to += part;
        size -= part;
    }
}

/* What was written before request `number` is durable now. */
static void inode_sync(struct sim_inode *inode, uint64_t number)
{
    for (uint32_t p = 0; p < inode->page_room; p++) {
        if (inode->dirty[p] == 0 || inode->written[p] > number) continue;
        page_set(&inode->durable[p], inode->now[p]);
        inode->dirty[p] = 0;
    }
    inode->durable_bytes = inode->size_bytes;
}

/* The sync failed: pages count as clean, and are not on the device. Sometimes the old ones come
 * back from there at once. */
static void inode_drop(struct sim_inode *inode)
{
    bool evicted = coin(inode->machine);

    for (uint32_t p = 0; p < inode->page_room; p++) {
        if (inode->dirty[p] == 0) continue;
        inode->dirty[p] = 0;
        if (evicted) page_set(&inode->now[p], inode->durable[p]);
    }
}

/* ---- names ---- */

static void normal(const char *path, char out[SIM_PATH_BYTES])
{
    size_t size = 0;

    while (*path != '\0') {
        size_t part;

        path += strspn(path, "/");
        part = strcspn(path, "/");
        if (part == 0) break;
        if (part != 1 || path[0] != '.') {
            mr_assert(size + part + 2 < SIM_PATH_BYTES);
            out[size++] = '/';
            memcpy(out + size, path, part);
            size += part;
        }
        path += part;
    }
    memset(out + size, 0, SIM_PATH_BYTES - size);
    if (size == 0) out[0] = '/';
}

static void parent_of(const char *path, char out[SIM_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - path);

    memcpy(out, path, size);
    memset(out + size, 0, SIM_PATH_BYTES - size);
    if (size == 0) out[0] = '/';
}

static struct sim_name *name_of(struct sim_machine *machine, const char *path, bool make)
{
    struct sim_name *spare = NULL;

    for (uint32_t i = 0; i < machine->name_count; i++) {
        struct sim_name *at = &machine->names[i];

        if (at->now == NULL && at->durable == NULL) {
            if (spare == NULL) spare = at;
        } else if (strcmp(at->path, path) == 0) {
            return at;
        }
    }
    if (!make) return NULL;
    if (spare == NULL) {
        mr_assert(machine->name_count < SIM_NAMES_MAX); /* or files are made and never removed */
        spare = &machine->names[machine->name_count++];
    }
    memcpy(spare->path, path, SIM_PATH_BYTES);
    return spare;
}

struct sim_inode *sim_machine_find(struct sim_machine *machine, const char *path)
{
    char key[SIM_PATH_BYTES];
    struct sim_name *name;

    normal(path, key);
    name = name_of(machine, key, false);
    return name == NULL ? NULL : name->now;
}

static struct sim_step *step_add(struct sim_machine *machine)
{
    if (machine->step_count == machine->step_room) {
        uint32_t room = MR_MAX(2 * machine->step_room, 64u);

        machine->steps =
            grown(machine->steps, machine->step_room, room, sizeof *machine->steps);
        machine->step_room = room;
    }
    memset(&machine->steps[machine->step_count], 0, sizeof *machine->steps);
    return &machine->steps[machine->step_count++];
}

static void tell_gone(struct sim_machine *machine, const char *path, const struct sim_inode *inode)
{
    if (machine->gone != NULL) machine->gone(machine->self, path, inode);
}

static void tell_shown(struct sim_machine *machine, const char *path,
                       const struct sim_inode *inode)
{
    if (machine->shown != NULL) machine->shown(machine->self, path, inode);
}

static void link_name(struct sim_machine *machine, const char *path, struct sim_inode *inode)
{
    struct sim_step *step = step_add(machine);

    memcpy(step->added, path, SIM_PATH_BYTES);
    inode_set(&step->inode, inode);
    inode_set(&name_of(machine, path, true)->now, inode);
    tell_shown(machine, path, inode);
}

static void unlink_name(struct sim_machine *machine, struct sim_name *name)
{
    struct sim_step *step = step_add(machine);

    tell_gone(machine, name->path, name->now);
    memcpy(step->removed, name->path, SIM_PATH_BYTES);
    inode_set(&name->now, NULL);
}

static void rename_name(struct sim_machine *machine, struct sim_name *from, const char *path)
{
    struct sim_step *step = step_add(machine);
    struct sim_name *to = name_of(machine, path, true);

    if (to->now != NULL) tell_gone(machine, path, to->now);
    memcpy(step->removed, from->path, SIM_PATH_BYTES);
    memcpy(step->added, path, SIM_PATH_BYTES);
    inode_set(&step->inode, from->now);
    tell_gone(machine, from->path, from->now);
    inode_set(&to->now, from->now);
    inode_set(&from->now, NULL);
    tell_shown(machine, path, to->now);
}

static void step_apply(struct sim_machine *machine, struct sim_step *step)
{
    if (step->removed[0] != '\0') {
        struct sim_name *name = name_of(machine, step->removed, false);
        if (name != NULL) inode_set(&name->durable, NULL);
    }
    if (step->added[0] != '\0') {
        inode_set(&name_of(machine, step->added, true)->durable, step->inode);
    }
}

static bool step_in(const struct sim_step *step, const char *directory)
{
    char parent[SIM_PATH_BYTES];

    parent_of(step->added[0] != '\0' ? step->added : step->removed, parent);
    return strcmp(parent, directory) == 0;
}

/* The first `count` steps of the directory become durable, the others are forgotten if asked for. */
static void steps_settle(struct sim_machine *machine, const char *directory, uint32_t count,
                         bool forget)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < machine->step_count; i++) {
        struct sim_step step = machine->steps[i];

        if (!step_in(&step, directory) || (count == 0 && !forget)) {
            machine->steps[kept++] = step;
            continue;
        }
        if (count > 0) {
            step_apply(machine, &step);
            count--;
        } else {
            machine->counts.lost_names++;
        }
        inode_release(step.inode);
    }
    machine->step_count = kept;
}

/* ---- the machine ---- */

void sim_machine_init(struct sim_machine *machine, uint64_t seed, const int64_t *now_us)
{
    struct sim_name *root;

    *machine = (struct sim_machine){.now_us = now_us, .space_bytes = UINT64_MAX};
    mr_prng_init(&machine->prng, seed, 77);
    machine->names = get(SIM_NAMES_MAX * sizeof *machine->names);
    root = &machine->names[machine->name_count++];
    memcpy(root->path, "/", 2);
    inode_set(&root->now, inode_new(machine, true));
    inode_set(&root->durable, root->now);
}

void sim_machine_fini(struct sim_machine *machine)
{
    for (uint32_t i = 0; i < machine->step_count; i++) inode_release(machine->steps[i].inode);
    for (uint32_t i = 0; i < machine->name_count; i++) {
        inode_release(machine->names[i].now);
        inode_release(machine->names[i].durable);
    }
    free(machine->names);
    free(machine->steps);
}

static void crash_page(struct sim_machine *machine, struct sim_inode *inode, uint32_t p)
{
    static const char zeros[SIM_PAGE_BYTES];
    const char *now = inode->now[p] != NULL ? inode->now[p]->data : zeros;

    for (uint32_t s = 0; s < SECTORS_PER_PAGE; s++) {
        size_t at = s * SIM_SECTOR_BYTES, kept = SIM_SECTOR_BYTES;

        if ((inode->dirty[p] >> s & 1) == 0) continue;
        if (coin(machine)) {
            kept = 0;
            machine->counts.lost_sectors++;
        } else if (machine->knobs.torn && mr_prng_below(&machine->prng, 4) == 0) {
            kept = (size_t)mr_prng_below(&machine->prng, SIM_SECTOR_BYTES);
            machine->counts.torn_sectors++;
        }
        if (kept > 0) memcpy(page_own(&inode->durable[p])->data + at, now + at, kept);
    }
}

static void crash_inode(struct sim_machine *machine, struct sim_inode *inode)
{
    for (uint32_t p = 0; p < inode->page_room; p++) {
        if (inode->dirty[p] != 0) crash_page(machine, inode, p);
        page_set(&inode->now[p], inode->durable[p]);
        inode->dirty[p] = 0;
    }
    if (inode->size_bytes != inode->durable_bytes && coin(machine)) {
        inode->durable_bytes = inode->size_bytes;
    }
    inode_size(inode, inode->durable_bytes);
    inode->locked_by = NULL;
}

static bool orphan(struct sim_machine *machine, const struct sim_name *name)
{
    char parent[SIM_PATH_BYTES];
    const struct sim_name *above;

    if (strcmp(name->path, "/") == 0) return false;
    parent_of(name->path, parent);
    above = name_of(machine, parent, false);
    return above == NULL || above->durable == NULL;
}

void sim_machine_crash(struct sim_machine *machine)
{
    bool again = true;

    while (machine->step_count > 0) {
        struct sim_step *first = &machine->steps[0];
        char directory[SIM_PATH_BYTES];
        uint32_t in = 0;

        parent_of(first->added[0] != '\0' ? first->added : first->removed, directory);
        for (uint32_t i = 0; i < machine->step_count; i++) {
            in += step_in(&machine->steps[i], directory);
        }
        steps_settle(machine, directory, (uint32_t)mr_prng_below(&machine->prng, in + 1), true);
    }
    while (again) { /* a directory that is gone takes along what is in it */
        again = false;
        for (uint32_t i = 0; i < machine->name_count; i++) {
            struct sim_name *name = &machine->names[i];

            if (name->durable == NULL || !orphan(machine, name)) continue;
            inode_set(&name->durable, NULL);
            again = true;
        }
    }
    for (uint32_t i = 0; i < machine->name_count; i++) {
        struct sim_name *name = &machine->names[i];

        if (name->now != NULL) tell_gone(machine, name->path, name->now);
        inode_set(&name->now, name->durable);
        if (name->now != NULL) crash_inode(machine, name->now);
    }
    for (uint32_t i = 0; i < machine->name_count; i++) { /* all of them have what they have now */
        struct sim_name *name = &machine->names[i];

        if (name->now != NULL) tell_shown(machine, name->path, name->now);
    }
}

void sim_machine_put(struct sim_machine *machine, const char *path, const void *data,
                     size_t size_bytes)
{
    char key[SIM_PATH_BYTES];
    struct sim_name *name;

    normal(path, key);
    name = name_of(machine, key, true);
    inode_set(&name->now, inode_new(machine, false));
    inode_set(&name->durable, name->now);
    inode_write(name->now, 0, data, size_bytes);
    inode_sync(name->now, UINT64_MAX);
}

void sim_machine_put_directory(struct sim_machine *machine, const char *path)
{
    char key[SIM_PATH_BYTES];
    struct sim_name *name;

    normal(path, key);
    name = name_of(machine, key, true);
    inode_set(&name->now, inode_new(machine, true));
    inode_set(&name->durable, name->now);
}

/* ---- requests ---- */

static struct sim_disk *self_of(struct mr_disk *disk)
{
    return MR_CONTAINER(disk, struct sim_disk, disk);
}

static void fail(struct mr_disk_request *request, enum mr_status status, const char *why)
{
    request->status = mr_error_set(&request->error, status, "%s: %s",
                                   request->path != NULL ? request->path : "a file", why);
}

static struct sim_inode *inode_of(const struct sim_disk *disk, uint32_t file)
{
    mr_assert(file < SIM_OPEN_MAX && disk->open[file] != NULL);
    return disk->open[file];
}

static void fill_info(const struct sim_inode *inode, struct mr_file_info *out)
{
    *out = (struct mr_file_info){.kind = inode->directory ? MR_FILE_DIRECTORY : MR_FILE_REGULAR,
                                 .size_bytes = inode->size_bytes,
                                 .identity = inode->number,
                                 .modified_us = inode->modified_us};
}

static void give_file(struct sim_disk *disk, struct mr_disk_request *request,
                      struct sim_inode *inode)
{
    for (uint32_t i = 3; i < SIM_OPEN_MAX; i++) {
        if (disk->open[i] != NULL) continue;
        inode_set(&disk->open[i], inode);
        request->file = i;
        fill_info(inode, &request->info);
        return;
    }
    fail(request, MR_E_LIMIT, "too many open files");
}

/* NULL if the directory for a new name is missing; then the request has failed. */
static bool has_parent(struct sim_disk *disk, struct mr_disk_request *request, const char *path)
{
    char parent[SIM_PATH_BYTES];
    struct sim_name *name;

    parent_of(path, parent);
    name = name_of(disk->machine, parent, false);
    if (name != NULL && name->now != NULL && name->now->directory) return true;
    fail(request, MR_E_NOT_FOUND, "no such directory");
    return false;
}

static bool has_space(struct sim_disk *disk, struct mr_disk_request *request)
{
    struct sim_machine *machine = disk->machine;

    if (machine->used_bytes < machine->space_bytes || coin(machine)) return true;
    machine->counts.no_space++;
    fail(request, MR_E_NO_SPACE, "no space left on the device");
    return false;
}

static void do_create(struct sim_disk *disk, struct mr_disk_request *request, const char *path)
{
    struct sim_name *name = name_of(disk->machine, path, false);

    if (name != NULL && name->now != NULL) {
        fail(request, MR_E_ACCESS, "it exists already");
        return;
    }
    if (!has_parent(disk, request, path) || !has_space(disk, request)) return;
    link_name(disk->machine, path, inode_new(disk->machine, false));
    give_file(disk, request, name_of(disk->machine, path, false)->now);
}

static void do_open(struct sim_disk *disk, struct mr_disk_request *request, const char *path)
{
    struct sim_name *name = name_of(disk->machine, path, false);

    if (name == NULL || name->now == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
    } else if (name->now->directory) {
        fail(request, MR_E_ACCESS, "it is a directory");
    } else {
        give_file(disk, request, name->now);
    }
}

static void do_lock(struct sim_disk *disk, struct mr_disk_request *request, const char *path)
{
    struct sim_name *name = name_of(disk->machine, path, false);
    struct sim_inode *inode = name == NULL ? NULL : name->now;

    if (inode == NULL) {
        if (!has_parent(disk, request, path) || !has_space(disk, request)) return;
        inode = inode_new(disk->machine, false);
        link_name(disk->machine, path, inode);
    }
    if (inode->locked_by != NULL) {
        request->file = MR_FILE_NONE;
        fill_info(inode, &request->info);
        fail(request, MR_E_BUSY, "another process has it");
        return;
    }
    inode->locked_by = disk->owner;
    give_file(disk, request, inode);
}

static void do_info(struct sim_disk *disk, struct mr_disk_request *request)
{
    struct sim_inode *inode;

    if (request->path == NULL) {
        fill_info(inode_of(disk, request->file), &request->info);
        return;
    }
    inode = sim_machine_find(disk->machine, request->path);
    if (inode == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
        return;
    }
    fill_info(inode, &request->info);
}

static size_t cut(struct sim_machine *machine, size_t size)
{
    if (size < 2 || !chance(machine, machine->knobs.short_ppm)) return size;
    machine->counts.shorts++;
    return 1 + (size_t)mr_prng_below(&machine->prng, coin(machine) ? 2 : size);
}

static bool prone(const struct sim_machine *machine, const struct sim_inode *inode)
{
    const char *prefix = machine->knobs.flip_prefix;

    if (prefix == NULL) return false;
    for (uint32_t i = 0; i < machine->name_count; i++) {
        if (machine->names[i].now == inode) {
            return strncmp(machine->names[i].path, prefix, strlen(prefix)) == 0;
        }
    }
    return false;
}

static void do_read(struct sim_disk *disk, struct mr_disk_request *request)
{
    struct sim_machine *machine = disk->machine;
    struct sim_inode *inode = inode_of(disk, request->file);
    uint64_t rest = request->offset < inode->size_bytes ? inode->size_bytes - request->offset : 0;
    size_t size = cut(machine, (size_t)MR_MIN(rest, (uint64_t)request->size_bytes));

    if (chance(machine, machine->knobs.read_error_ppm)) {
        machine->counts.read_errors++;
        fail(request, MR_E_IO, "input/output error");
        return;
    }
    sim_inode_read(inode, request->offset, request->data, size);
    if (size > 0 && chance(machine, machine->knobs.read_flip_ppm) && prone(machine, inode)) {
        uint64_t bit = mr_prng_below(&machine->prng, size * 8);

        machine->counts.flips++;
        ((char *)request->data)[bit / 8] ^= (char)(1 << bit % 8);
    }
    request->done_bytes = size;
}

/* How much of it fits; 0: the request has failed. */
static size_t fit(struct sim_machine *machine, const struct sim_inode *inode,
                  struct mr_disk_request *request, size_t size)
{
    uint64_t end = request->offset + size, rest;

    if (end <= inode->size_bytes || machine->space_bytes == UINT64_MAX) return size;
    rest = machine->space_bytes > machine->used_bytes ? machine->space_bytes - machine->used_bytes : 0;
    if (end - inode->size_bytes <= rest) return size;
    machine->counts.no_space++;
    end = inode->size_bytes + rest;
    if (end > request->offset) return (size_t)(end - request->offset);
    fail(request, MR_E_NO_SPACE, "no space left on the device");
    return 0;
}

static void do_write(struct sim_disk *disk, struct mr_disk_request *request)
{
    struct sim_machine *machine = disk->machine;
    struct sim_inode *inode = inode_of(disk, request->file);
    size_t size = cut(machine, request->size_bytes);

    if (request->offset == MR_OFFSET_APPEND) request->offset = inode->size_bytes;
    if (chance(machine, machine->knobs.write_error_ppm)) {
        machine->counts.write_errors++;
        fail(request, MR_E_IO, "input/output error");
        return;
    }
    if (size > 0) size = fit(machine, inode, request, size);
    if (size == 0) return;
    request->done_bytes = size;
    if (inode->size_bytes > 0 && chance(machine, machine->knobs.misdirect_ppm) &&
        prone(machine, inode)) {
        uint64_t sector = mr_prng_below(&machine->prng, inode->size_bytes / SIM_SECTOR_BYTES + 1);

        machine->counts.misdirects++;
        inode_write(inode, sector * SIM_SECTOR_BYTES, request->data, size);
        return;
    }
    inode_write(inode, request->offset, request->data, size);
    if (chance(machine, machine->knobs.rot_ppm) && prone(machine, inode)) {
        uint64_t bit = mr_prng_below(&machine->prng, inode->size_bytes * 8);
        char byte;

        machine->counts.rots++;
        sim_inode_read(inode, bit / 8, &byte, 1);
        byte ^= (char)(1 << bit % 8);
        inode_write(inode, bit / 8, &byte, 1);
    }
}

static void do_sync(struct sim_disk *disk, struct mr_disk_request *request, uint64_t number)
{
    struct sim_machine *machine = disk->machine;
    struct sim_inode *inode = inode_of(disk, request->file);

    if (chance(machine, machine->knobs.sync_error_ppm)) {
        machine->counts.sync_errors++;
        inode_drop(inode);
        fail(request, MR_E_IO, "input/output error");
        return;
    }
    inode_sync(inode, number);
}

static void do_rename(struct sim_disk *disk, struct mr_disk_request *request, const char *path)
{
    struct sim_name *name = name_of(disk->machine, path, false);
    char to[SIM_PATH_BYTES];

    normal(request->path_to, to);
    if (name == NULL || name->now == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
    } else if (has_parent(disk, request, to) && strcmp(path, to) != 0) {
        rename_name(disk->machine, name, to);
    }
}

static void do_unlink(struct sim_disk *disk, struct mr_disk_request *request, const char *path)
{
    struct sim_name *name = name_of(disk->machine, path, false);

    if (name == NULL || name->now == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
    } else if (name->now->directory) {
        fail(request, MR_E_ACCESS, "it is a directory");
    } else {
        unlink_name(disk->machine, name);
    }
}

static void do_mkdir(struct sim_disk *disk, struct mr_disk_request *request, const char *path)
{
    struct sim_name *name = name_of(disk->machine, path, false);

    if (name != NULL && name->now != NULL) {
        if (!name->now->directory) fail(request, MR_E_ACCESS, "it is a file");
        return;
    }
    if (!has_parent(disk, request, path) || !has_space(disk, request)) return;
    link_name(disk->machine, path, inode_new(disk->machine, true));
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void do_list(struct sim_disk *disk, struct mr_disk_request *request, const char *path)
{
    struct sim_machine *machine = disk->machine;
    const struct sim_name *name = name_of(machine, path, false);
    uint32_t count = 0;

    if (name == NULL || name->now == NULL || !name->now->directory) {
        fail(request, MR_E_NOT_FOUND, "no such directory");
        return;
    }
    request->names = mr_alloc_array(disk->heap, SIM_NAMES_MAX, sizeof *request->names);
    if (request->names == NULL) {
        fail(request, MR_E_NOMEM, "no memory for its names");
        return;
    }
    for (uint32_t i = 0; i < machine->name_count; i++) {
        const struct sim_name *at = &machine->names[i];
        char parent[SIM_PATH_BYTES];

        if (at->now == NULL || strcmp(at->path, "/") == 0) continue;
        parent_of(at->path, parent);
        if (strcmp(parent, path) != 0) continue;
        request->names[count] = mr_strdup(disk->heap, strrchr(at->path, '/') + 1);
        if (request->names[count] != NULL) {
            count++;
            continue;
        }
        request->name_count = count;
        disk->disk.names_free(&disk->disk, request);
        fail(request, MR_E_NOMEM, "no memory for its names");
        return;
    }
    qsort(request->names, count, sizeof *request->names, by_bytes);
    request->name_count = count;
}

static void names_free(struct mr_disk *disk, struct mr_disk_request *request)
{
    struct mr_heap *heap = self_of(disk)->heap;

    if (request->names == NULL) return;
    for (uint32_t i = 0; i < request->name_count; i++) mr_strfree(heap, request->names[i]);
    mr_free(heap, request->names, SIM_NAMES_MAX * sizeof *request->names);
    request->names = NULL;
    request->name_count = 0;
}

static void do_close(struct sim_disk *disk, struct mr_disk_request *request)
{
    struct sim_inode *inode = inode_of(disk, request->file);

    if (inode->locked_by == disk->owner) inode->locked_by = NULL;
    inode_set(&disk->open[request->file], NULL);
}

static void perform(struct sim_disk *disk, struct mr_disk_request *request, uint64_t number)
{
    char path[SIM_PATH_BYTES] = "";

    request->status = MR_OK;
    request->done_bytes = 0;
    if (request->path != NULL) normal(request->path, path);
    if (disk->owner->cut_off) {
        if (request->op == MR_DISK_CLOSE) do_close(disk, request);
        else fail(request, MR_E_IO, "the disk is not there any more");
        return;
    }
    switch (request->op) {
    case MR_DISK_OPEN_READ:
    case MR_DISK_OPEN_OUTPUT: do_open(disk, request, path); break;
    case MR_DISK_CREATE: do_create(disk, request, path); break;
    case MR_DISK_LOCK: do_lock(disk, request, path); break;
    case MR_DISK_INFO: do_info(disk, request); break;
    case MR_DISK_READ: do_read(disk, request); break;
    case MR_DISK_WRITE: do_write(disk, request); break;
    case MR_DISK_SYNC: do_sync(disk, request, number); break;
    case MR_DISK_SYNC_DIRECTORY: steps_settle(disk->machine, path, UINT32_MAX, false); break;
    case MR_DISK_RENAME: do_rename(disk, request, path); break;
    case MR_DISK_UNLINK: do_unlink(disk, request, path); break;
    case MR_DISK_MKDIR: do_mkdir(disk, request, path); break;
    case MR_DISK_LIST: do_list(disk, request, path); break;
    case MR_DISK_CLOSE: do_close(disk, request); break;
    }
}

/* ---- time ---- */

static int64_t mean(const struct sim_machine *machine, enum mr_disk_op op)
{
    switch (op) {
    case MR_DISK_READ: return machine->knobs.read_us;
    case MR_DISK_WRITE: return machine->knobs.write_us;
    case MR_DISK_SYNC:
    case MR_DISK_SYNC_DIRECTORY: return machine->knobs.sync_us;
    case MR_DISK_OPEN_READ:
    case MR_DISK_CREATE:
    case MR_DISK_OPEN_OUTPUT:
    case MR_DISK_INFO:
    case MR_DISK_RENAME:
    case MR_DISK_UNLINK:
    case MR_DISK_MKDIR:
    case MR_DISK_LIST:
    case MR_DISK_CLOSE:
    case MR_DISK_LOCK: return 0;
    }
    return 0;
}

static int64_t takes_us(struct sim_machine *machine, enum mr_disk_op op)
{
    int64_t mean_us = mean(machine, op), us = 0;

    if (mean_us == 0) return 0;
    us = (int64_t)mr_prng_below(&machine->prng, (uint64_t)(2 * mean_us));
    if (chance(machine, machine->knobs.slow_ppm)) {
        machine->counts.slow++;
        us += (int64_t)mr_prng_below(&machine->prng, (uint64_t)machine->knobs.slow_us + 1);
    }
    return us;
}

/* What the request is, for the hash over everything. */
static void note(struct sim_machine *machine, const struct mr_disk_request *request,
                 const struct sim_inode *inode)
{
    /* Who holds a lock writes the number of its process into it: that is not of this world. */
    bool alien = inode != NULL && inode->locked_by != NULL;

    uint64_t hash = (uint64_t)request->op << 32 | (uint64_t)request->status << 8 | 1;

    hash = mr_hash_combine(hash, request->offset);
    if (!alien) hash = mr_hash_combine(hash, request->done_bytes);
    if (request->op == MR_DISK_WRITE && request->data != NULL && !alien) {
        hash = mr_hash_combine(hash, mr_hash_bytes(request->data, request->done_bytes));
    }
    if (request->path != NULL) {
        hash = mr_hash_combine(hash, mr_hash_bytes(request->path, strlen(request->path)));
    }
    machine->trace = mr_hash_combine(machine->trace, hash);
}

/* Whoever asked does not know what happened (museum 16). */
static void lose_reply(struct sim_machine *machine, struct mr_disk_request *request)
{
    if (request->status != MR_OK) return;
    if (request->op != MR_DISK_RENAME && request->op != MR_DISK_UNLINK &&
        request->op != MR_DISK_SYNC_DIRECTORY) {
        return;
    }
    if (!chance(machine, machine->knobs.lost_reply_ppm)) return;
    machine->counts.lost_replies++;
    fail(request, MR_E_IO, "input/output error, of which nobody knows what it did");
}

static void complete(struct sim_disk *disk, struct mr_disk_request *request, uint64_t number)
{
    perform(disk, request, number);
    lose_reply(disk->machine, request);
    note(disk->machine, request,
         request->op == MR_DISK_WRITE && request->file < SIM_OPEN_MAX ? disk->open[request->file] : NULL);
    request->done = true;
}

static void disk_submit(struct mr_disk *base, struct mr_disk_request *request)
{
    struct sim_disk *disk = self_of(base);
    struct sim_machine *machine = disk->machine;
    int64_t us;

    request->done = false;
    request->names = NULL;
    request->error.status = MR_OK;
    if (machine->boundary != NULL && request->op != MR_DISK_CLOSE) machine->boundary(machine->self);
    machine->requests++;
    us = takes_us(machine, request->op);
    if (us < NOT_LATE_US) {
        complete(disk, request, machine->requests);
        return;
    }
    if (disk->flight_count == disk->flight_room) {
        uint32_t room = MR_MAX(2 * disk->flight_room, 16u);

        disk->flights = grown(disk->flights, disk->flight_room, room, sizeof *disk->flights);
        disk->flight_room = room;
    }
    disk->flights[disk->flight_count++] = (struct flight){
        .request = request, .due_us = *machine->now_us + us, .number = machine->requests};
}

/* The pending request that is due first. */
static struct flight *first_due(struct sim_disk *disk)
{
    struct flight *first = NULL;

    for (uint32_t i = 0; i < disk->flight_count; i++) {
        if (first == NULL || disk->flights[i].due_us < first->due_us) first = &disk->flights[i];
    }
    return first;
}

static void flight_remove(struct sim_disk *disk, struct flight *flight)
{
    uint32_t at = (uint32_t)(flight - disk->flights);

    disk->flight_count--;
    memmove(flight, flight + 1, (disk->flight_count - at) * sizeof *flight);
}

static uint32_t disk_poll(struct mr_disk *base)
{
    struct sim_disk *disk = self_of(base);
    struct sim_machine *machine = disk->machine;
    uint32_t count = 0;
    struct flight *first;

    while ((first = first_due(disk)) != NULL && first->due_us <= *machine->now_us) {
        struct flight flight = *first;

        flight_remove(disk, first);
        complete(disk, flight.request, flight.number);
        count++;
    }
    if (count > 0 || first == NULL || *machine->now_us != disk->polled_us) {
        disk->polled_us = *machine->now_us;
        disk->idle_polls = 0;
    } else {
        disk->idle_polls++;
    }
    if (first != NULL && machine->wake_at != NULL) machine->wake_at(machine->self, first->due_us);
    if (disk->idle_polls > 3 && machine->wait != NULL) machine->wait(machine->self, first->due_us);
    return count;
}

static void disk_cancel(struct mr_disk *base, struct mr_disk_request *request)
{
    struct sim_disk *disk = self_of(base);

    for (uint32_t i = 0; i < disk->flight_count; i++) {
        if (disk->flights[i].request != request) continue;
        flight_remove(disk, &disk->flights[i]);
        return;
    }
}

struct mr_disk *sim_disk_create(struct sim_owner *owner, struct mr_heap *heap)
{
    struct sim_disk *disk = get(sizeof *disk);

    disk->disk = (struct mr_disk){.submit = disk_submit,
                                  .poll = disk_poll,
                                  .names_free = names_free,
                                  .cancel = disk_cancel};
    disk->machine = owner->machine;
    disk->owner = owner;
    disk->heap = heap;
    disk->polled_us = -1;
    disk->next = owner->disks;
    owner->disks = disk;
    return &disk->disk;
}

static void disk_free(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < SIM_OPEN_MAX; i++) {
        if (disk->open[i] == NULL) continue;
        if (disk->open[i]->locked_by == disk->owner) disk->open[i]->locked_by = NULL;
        inode_set(&disk->open[i], NULL);
    }
    free(disk->flights);
    free(disk);
}

void sim_disk_destroy(struct mr_disk *base)
{
    struct sim_disk *disk = self_of(base);
    struct sim_disk **at = &disk->owner->disks;

    while (*at != disk) at = &(*at)->next;
    *at = disk->next;
    disk_free(disk);
}

/* A request that its process does not live to see done. */
static void die_with(struct sim_disk *disk, struct flight *flight)
{
    struct mr_disk_request request = *flight->request;

    if (request.op == MR_DISK_READ || coin(disk->machine)) return;
    if (request.op == MR_DISK_WRITE && request.size_bytes > 1 && coin(disk->machine)) {
        request.size_bytes = 1 + (size_t)mr_prng_below(&disk->machine->prng, request.size_bytes);
    }
    complete(disk, &request, flight->number);
}

void sim_owner_die(struct sim_owner *owner)
{
    while (owner->disks != NULL) {
        struct sim_disk *disk = owner->disks;

        owner->disks = disk->next;
        for (uint32_t i = 0; i < disk->flight_count; i++) die_with(disk, &disk->flights[i]);
        disk_free(disk);
    }
}

void sim_owner_cut_off(struct sim_owner *owner)
{
    for (struct sim_disk *disk = owner->disks; disk != NULL; disk = disk->next) {
        for (uint32_t i = 0; i < disk->flight_count; i++) die_with(disk, &disk->flights[i]);
        for (uint32_t i = 0; i < SIM_OPEN_MAX; i++) {
            struct sim_inode *inode = disk->open[i];

            if (inode != NULL && inode->locked_by == owner) inode->locked_by = NULL;
        }
    }
    owner->cut_off = true; /* what was in flight is answered with a failure when it is due */
}
