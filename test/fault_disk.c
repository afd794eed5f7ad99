/* fault_disk.c - see fault_disk.h. */
#include "fault_disk.h"

#include "base/assert.h"
#include "base/status.h"

#include <stdlib.h>
#include <string.h>

static struct fault_disk *self_of(struct mr_disk *disk)
{
    return MR_CONTAINER(disk, struct fault_disk, disk);
}

static void *get(size_t size_bytes)
{
    void *memory = calloc(1, size_bytes + 1);

    mr_assert(memory != NULL);
    return memory;
}

/* ---- files ---- */

static void unlink_inode(struct fault_inode *inode)
{
    if (inode == NULL || --inode->links > 0) return;
    free(inode->data);
    free(inode->durable);
    free(inode->dirty);
    free(inode);
}

static struct fault_inode *hold(struct fault_inode *inode)
{
    if (inode != NULL) inode->links++;
    return inode;
}

static void set(struct fault_inode **at, struct fault_inode *inode)
{
    struct fault_inode *old = *at;

    *at = hold(inode);
    unlink_inode(old);
}

static void grow(struct fault_inode *inode, size_t size_bytes)
{
    size_t room = (size_bytes + FAULT_SECTOR_BYTES - 1) / FAULT_SECTOR_BYTES * FAULT_SECTOR_BYTES;
    char *data, *durable;
    bool *dirty;

    if (room <= inode->room_bytes) return;
    room = MR_MAX(room, inode->room_bytes * 2);
    data = get(room);
    durable = get(room);
    dirty = get(room / FAULT_SECTOR_BYTES);
    if (inode->room_bytes > 0) {
        memcpy(data, inode->data, inode->room_bytes);
        memcpy(durable, inode->durable, inode->room_bytes);
        memcpy(dirty, inode->dirty, inode->room_bytes / FAULT_SECTOR_BYTES);
    }
    free(inode->data);
    free(inode->durable);
    free(inode->dirty);
    inode->data = data;
    inode->durable = durable;
    inode->dirty = dirty;
    inode->room_bytes = room;
}

static struct fault_name *name_of(struct fault_disk *disk, const char *name, bool make)
{
    struct fault_name *spare = NULL;

    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_name *at = &disk->names[i];

        if (strcmp(at->name, name) == 0) return at;
        if (spare == NULL && at->now == NULL && at->durable == NULL) spare = at;
    }
    if (!make) return NULL;
    mr_assert(spare != NULL && strlen(name) < sizeof spare->name);
    memcpy(spare->name, name, strlen(name) + 1);
    spare->rename = 0;
    return spare;
}

struct fault_inode *fault_disk_find(struct fault_disk *disk, const char *name)
{
    struct fault_name *at = name_of(disk, name, false);

    return at != NULL ? at->now : NULL;
}

static struct fault_inode *make_inode(struct fault_disk *disk)
{
    struct fault_inode *inode = get(sizeof *inode);

    inode->identity = ++disk->identities;
    return inode;
}

void fault_disk_put(struct fault_disk *disk, const char *name, const void *data, size_t size_bytes)
{
    struct fault_name *at = name_of(disk, name, true);
    struct fault_inode *inode = make_inode(disk);

    grow(inode, size_bytes);
    if (size_bytes > 0) {
        memcpy(inode->data, data, size_bytes);
        memcpy(inode->durable, data, size_bytes);
    }
    inode->size_bytes = inode->durable_bytes = size_bytes;
    set(&at->now, inode);
    set(&at->durable, inode);
}

void fault_disk_remove(struct fault_disk *disk, const char *name)
{
    struct fault_name *at = name_of(disk, name, false);

    if (at == NULL) return;
    set(&at->now, NULL);
    set(&at->durable, NULL);
}

/* ---- requests ---- */

static void fail(struct mr_disk_request *request, enum mr_status status, const char *why)
{
    request->status = mr_error_set(&request->error, status, "%s: %s",
                                   request->path != NULL ? request->path : "a file", why);
}

static void fill_info(const struct fault_inode *inode, struct mr_file_info *out)
{
    *out = (struct mr_file_info){
        .kind = MR_FILE_REGULAR, .size_bytes = inode->size_bytes, .identity = inode->identity};
}

static void do_open(struct fault_disk *disk, struct mr_disk_request *request)
{
    struct fault_name *at = name_of(disk, request->path, request->op == MR_DISK_CREATE);

    if (request->op == MR_DISK_CREATE) {
        if (at->now != NULL) {
            fail(request, MR_E_ACCESS, "it exists already");
            return;
        }
        set(&at->now, make_inode(disk));
    } else if (at == NULL || at->now == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
        return;
    }
    for (uint32_t i = 3; i < MR_COUNT(disk->open); i++) {
        if (disk->open[i] != NULL) continue;
        disk->open[i] = hold(at->now);
        request->file = i;
        fill_info(at->now, &request->info);
        return;
    }
    fail(request, MR_E_IO, "too many open files");
}

static size_t cut(struct fault_disk *disk, size_t size)
{
    if (!disk->short_transfers || size < 2) return size;
    return 1 + (size_t)mr_prng_below(&disk->prng, size);
}

static void do_read(struct fault_disk *disk, struct mr_disk_request *request)
{
    struct fault_inode *inode = disk->open[request->file];
    size_t offset = (size_t)request->offset, size;

    mr_assert(inode != NULL);
    size = offset < inode->size_bytes ? inode->size_bytes - offset : 0;
    size = cut(disk, MR_MIN(size, request->size_bytes));
    if (size > 0) memcpy(request->data, inode->data + offset, size);
    request->done_bytes = size;
}

static size_t used_bytes(const struct fault_disk *disk)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        if (disk->names[i].now != NULL) sum += disk->names[i].now->size_bytes;
    }
    return sum;
}

static void do_write(struct fault_disk *disk, struct mr_disk_request *request)
{
    struct fault_inode *inode = disk->open[request->file];
    size_t offset = (size_t)request->offset, size = cut(disk, request->size_bytes);

    mr_assert(inode != NULL && request->offset != MR_OFFSET_APPEND);
    if (offset + size > inode->size_bytes && disk->space_bytes != SIZE_MAX) {
        size_t used = used_bytes(disk), more = offset + size - inode->size_bytes;
        size_t rest = used < disk->space_bytes ? disk->space_bytes - used : 0;

        if (more > rest) size = size > more - rest ? size - (more - rest) : 0;
        if (size == 0) {
            fail(request, MR_E_NO_SPACE, "no space left on the device");
            return;
        }
    }
    grow(inode, offset + size);
    memcpy(inode->data + offset, request->data, size);
    inode->size_bytes = MR_MAX(inode->size_bytes, offset + size);
    for (size_t s = offset / FAULT_SECTOR_BYTES; s * FAULT_SECTOR_BYTES < offset + size; s++) {
        inode->dirty[s] = true;
    }
    request->done_bytes = size;
}

static void do_sync(struct fault_inode *inode, bool works)
{
    for (size_t s = 0; s * FAULT_SECTOR_BYTES < inode->room_bytes; s++) {
        size_t at = s * FAULT_SECTOR_BYTES;

        if (inode->dirty[s] && works) {
            memcpy(inode->durable + at, inode->data + at, FAULT_SECTOR_BYTES);
        }
        inode->dirty[s] = false;
    }
    if (works) inode->durable_bytes = inode->size_bytes;
}

static bool is_in(const char *name, const char *directory)
{
    size_t size = strlen(directory);

    if (strcmp(directory, ".") == 0) return name[0] != '\0' && strchr(name, '/') == NULL;
    while (size > 0 && directory[size - 1] == '/') size--;
    return strncmp(name, directory, size) == 0 && name[size] == '/';
}

static void do_sync_directory(struct fault_disk *disk, const char *path)
{
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_name *at = &disk->names[i];

        if (!is_in(at->name, path)) continue;
        set(&at->durable, at->now);
        at->rename = 0;
    }
}

static void do_info(struct fault_disk *disk, struct mr_disk_request *request)
{
    struct fault_inode *inode =
        request->path == NULL ? disk->open[request->file] : fault_disk_find(disk, request->path);

    if (inode != NULL) {
        fill_info(inode, &request->info);
        return;
    }
    for (uint32_t i = 0; i < FAULT_NAMES_MAX && request->path != NULL; i++) {
        if (disk->names[i].now == NULL || !is_in(disk->names[i].name, request->path)) continue;
        request->info = (struct mr_file_info){.kind = MR_FILE_DIRECTORY};
        return;
    }
    fail(request, MR_E_NOT_FOUND, "no such file or directory");
}

/* The two names of a rename, and what was renamed with one of them before. */
static void join(struct fault_disk *disk, struct fault_name *from, struct fault_name *to)
{
    uint64_t number = ++disk->renames;

    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_name *at = &disk->names[i];

        if (at->rename != 0 && (at->rename == from->rename || at->rename == to->rename) &&
            at != from && at != to) {
            at->rename = number;
        }
    }
    from->rename = to->rename = number;
}

static void do_rename(struct fault_disk *disk, struct mr_disk_request *request)
{
    struct fault_name *from = name_of(disk, request->path, false);
    struct fault_name *to;

    if (from == NULL || from->now == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
        return;
    }
    to = name_of(disk, request->path_to, true);
    set(&to->now, from->now);
    set(&from->now, NULL);
    join(disk, from, to);
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void do_list(struct fault_disk *disk, struct mr_disk_request *request)
{
    size_t skip = strlen(request->path);

    while (skip > 0 && request->path[skip - 1] == '/') skip--;
    skip = strcmp(request->path, ".") == 0 ? 0 : skip + 1;
    request->names = get(FAULT_NAMES_MAX * sizeof *request->names);
    request->name_count = 0;
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_name *at = &disk->names[i];
        char *copy;

        if (at->now == NULL || !is_in(at->name, request->path)) continue;
        if (strchr(at->name + skip, '/') != NULL) continue; /* of a directory below */
        copy = get(sizeof at->name);
        memcpy(copy, at->name + skip, strlen(at->name) - skip + 1);
        request->names[request->name_count++] = copy;
    }
    qsort(request->names, request->name_count, sizeof *request->names, compare_names);
}

static void names_free(struct mr_disk *interface, struct mr_disk_request *request)
{
    (void)interface;
    for (uint32_t i = 0; i < request->name_count; i++) free(request->names[i]);
    free(request->names);
    request->names = NULL;
    request->name_count = 0;
}

static void do_unlink(struct fault_disk *disk, struct mr_disk_request *request)
{
    struct fault_name *at = name_of(disk, request->path, false);

    if (at == NULL || at->now == NULL) {
        fail(request, MR_E_NOT_FOUND, "no such file or directory");
    } else {
        set(&at->now, NULL);
    }
}

static bool changes(enum mr_disk_op op)
{
    return op == MR_DISK_WRITE || op == MR_DISK_SYNC || op == MR_DISK_SYNC_DIRECTORY ||
           op == MR_DISK_CREATE || op == MR_DISK_RENAME;
}

/* True when the request is answered with a failure. */
static bool inject(struct fault_disk *disk, struct mr_disk_request *request)
{
    bool hit = disk->fail_at != 0 && disk->requests == disk->fail_at;

    if (disk->fail_at != 0 && disk->fail_sticky && disk->requests > disk->fail_at) {
        hit = changes(request->op);
    }
    if (disk->crash_at != 0 && disk->requests >= disk->crash_at) disk->crashed = true;
    if (disk->crashed && request->op != MR_DISK_CLOSE) {
        fail(request, MR_E_IO, "the power is off");
        return true;
    }
    if (!hit || request->op == MR_DISK_CLOSE) return false;
    if (request->op == MR_DISK_SYNC) do_sync(disk->open[request->file], false);
    fail(request, disk->fail_status, "asked to fail");
    return true;
}

static void perform(struct fault_disk *disk, struct mr_disk_request *request)
{
    request->done = true;
    switch (request->op) {
    case MR_DISK_OPEN_READ:
    case MR_DISK_OPEN_OUTPUT:
    case MR_DISK_CREATE: do_open(disk, request); break;
    case MR_DISK_INFO: do_info(disk, request); break;
    case MR_DISK_READ: do_read(disk, request); break;
    case MR_DISK_WRITE: do_write(disk, request); break;
    case MR_DISK_SYNC: do_sync(disk->open[request->file], true); break;
    case MR_DISK_SYNC_DIRECTORY: do_sync_directory(disk, request->path); break;
    case MR_DISK_RENAME: do_rename(disk, request); break;
    case MR_DISK_UNLINK: do_unlink(disk, request); break;
    case MR_DISK_MKDIR: break;
    case MR_DISK_LIST: do_list(disk, request); break;
    case MR_DISK_CLOSE: set(&disk->open[request->file], NULL); break;
    case MR_DISK_LOCK: fail(request, MR_E_UNSUPPORTED, "not asked for by anybody"); break;
    }
}

static bool is_late(struct fault_disk *disk, const struct mr_disk_request *request)
{
    switch (request->op) {
    case MR_DISK_READ:
    case MR_DISK_WRITE: return disk->late && mr_prng_below(&disk->prng, 2) == 0;
    case MR_DISK_SYNC:
        disk->stalled = 0;
        if (disk->stall > 0) return true;
        break;
    case MR_DISK_SYNC_DIRECTORY:
    case MR_DISK_RENAME:
    case MR_DISK_UNLINK:
    case MR_DISK_INFO: break;
    case MR_DISK_OPEN_READ:
    case MR_DISK_OPEN_OUTPUT:
    case MR_DISK_CREATE:
    case MR_DISK_MKDIR:
    case MR_DISK_LIST:
    case MR_DISK_CLOSE:
    case MR_DISK_LOCK: return false;
    }
    return disk->late_names && mr_prng_below(&disk->prng, 2) == 0;
}

static void submit(struct mr_disk *interface, struct mr_disk_request *request)
{
    struct fault_disk *disk = self_of(interface);

    disk->requests++;
    request->done = false;
    request->status = MR_OK;
    request->done_bytes = 0;
    if (inject(disk, request)) {
        request->done = true;
        return;
    }
    if (is_late(disk, request)) {
        request->next = disk->pending;
        disk->pending = request;
        return;
    }
    perform(disk, request);
    if (disk->watch != NULL) disk->watch(disk->watch_self);
}

static uint32_t poll_all(struct mr_disk *interface)
{
    struct fault_disk *disk = self_of(interface);
    uint32_t count = 0;

    if (disk->stalled++ < disk->stall) return 0;
    while (disk->pending != NULL) {
        struct mr_disk_request *request = disk->pending;

        disk->pending = request->next;
        perform(disk, request);
        if (disk->watch != NULL) disk->watch(disk->watch_self);
        count++;
    }
    return count;
}

static void cancel(struct mr_disk *interface, struct mr_disk_request *request)
{
    struct fault_disk *disk = self_of(interface);

    for (struct mr_disk_request **at = &disk->pending; *at != NULL; at = &(*at)->next) {
        if (*at != request) continue;
        *at = request->next;
        return;
    }
}

/* ---- life ---- */

void fault_disk_init(struct fault_disk *disk, uint64_t seed)
{
    memset(disk, 0, sizeof *disk);
    disk->disk = (struct mr_disk){submit, poll_all, names_free, cancel};
    disk->space_bytes = SIZE_MAX;
    mr_prng_init(&disk->prng, seed, 1);
}

void fault_disk_kill(struct fault_disk *disk)
{
    disk->pending = NULL;
    for (uint32_t i = 0; i < MR_COUNT(disk->open); i++) set(&disk->open[i], NULL);
    disk->crashed = false;
    disk->crash_at = disk->fail_at = 0;
}

void fault_disk_fini(struct fault_disk *disk)
{
    fault_disk_kill(disk);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        set(&disk->names[i].now, NULL);
        set(&disk->names[i].durable, NULL);
    }
}

/* A sector that was not synced. One whose sync failed is not dirty, and old. */
static void crash_sector(struct fault_disk *disk, struct fault_inode *inode, size_t s,
                         struct mr_prng *prng)
{
    char *now = inode->data + s * FAULT_SECTOR_BYTES;
    char *old = inode->durable + s * FAULT_SECTOR_BYTES;
    uint64_t pick = mr_prng_below(prng, disk->garbage || disk->torn ? 3 : 2);

    if (inode->dirty[s] && pick == 1) {
        memcpy(old, now, FAULT_SECTOR_BYTES);
    } else if (inode->dirty[s] && pick == 2 && disk->torn) {
        memcpy(old, now, (size_t)mr_prng_below(prng, FAULT_SECTOR_BYTES));
    } else if (inode->dirty[s] && pick == 2) {
        for (size_t i = 0; i < FAULT_SECTOR_BYTES; i++) old[i] = (char)mr_prng_below(prng, 256);
    }
    memcpy(now, old, FAULT_SECTOR_BYTES);
    inode->dirty[s] = false;
}

static void crash_inode(struct fault_disk *disk, struct fault_inode *inode, struct mr_prng *prng)
{
    if (mr_prng_below(prng, 2) == 0)
        inode->durable_bytes = MR_MAX(inode->size_bytes, inode->durable_bytes);
    inode->size_bytes = inode->durable_bytes;
    for (size_t s = 0; s * FAULT_SECTOR_BYTES < inode->room_bytes; s++) {
        crash_sector(disk, inode, s, prng);
    }
}

void fault_disk_crash(struct fault_disk *disk, uint64_t seed)
{
    bool keep[FAULT_NAMES_MAX];
    struct mr_prng prng;

    mr_prng_init(&prng, seed, 2);
    fault_disk_kill(disk);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_name *at = &disk->names[i];

        keep[i] = mr_prng_below(&prng, 2) == 0;
        for (uint32_t k = 0; k < i && at->rename != 0; k++) {
            if (disk->names[k].rename == at->rename) keep[i] = keep[k];
        }
    }
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        struct fault_name *at = &disk->names[i];

        if (keep[i]) set(&at->durable, at->now);
        set(&at->now, at->durable);
        at->rename = 0;
    }
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        if (disk->names[i].now != NULL) crash_inode(disk, disk->names[i].now, &prng);
    }
}

void fault_disk_copy(struct fault_disk *into, const struct fault_disk *from)
{
    fault_disk_init(into, 1);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        const struct fault_inode *inode = from->names[i].now;

        if (inode != NULL)
            fault_disk_put(into, from->names[i].name, inode->data, inode->size_bytes);
    }
}
