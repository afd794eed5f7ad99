/* sim_machine_test.c - the simulated disk keeps what was synced, and loses the rest. */
#include "base/heap.h"
#include "mr_test.h"
#include "sim_machine.h"

#include <stdlib.h>
#include <string.h>

struct rig {
    struct sim_machine machine;
    struct sim_owner owner;
    struct mr_disk *disk;
    struct mr_heap heap;
    int64_t now_us;
};

static void *raw_alloc(void *self, size_t size_bytes)
{
    (void)self;
    return malloc(size_bytes);
}

static void raw_free(void *self, void *memory, size_t size_bytes)
{
    (void)self;
    (void)size_bytes;
    free(memory);
}

static void rig_boot(struct rig *rig)
{
    rig->owner = (struct sim_owner){.machine = &rig->machine};
    rig->disk = sim_disk_create(&rig->owner, &rig->heap);
}

static void rig_init(struct rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof *rig);
    mr_heap_init(&rig->heap, "test", SIZE_MAX, raw_alloc, raw_free, NULL);
    sim_machine_init(&rig->machine, seed, &rig->now_us);
    rig_boot(rig);
}

static void rig_fini(struct rig *rig)
{
    sim_owner_die(&rig->owner);
    sim_machine_fini(&rig->machine);
    mr_heap_fini(&rig->heap);
}

static void power_loss(struct rig *rig)
{
    sim_owner_die(&rig->owner);
    sim_machine_crash(&rig->machine);
    rig_boot(rig);
}

static enum mr_status ask(struct rig *rig, struct mr_disk_request *request)
{
    return mr_disk_do(rig->disk, request, NULL);
}

static uint32_t create(struct rig *rig, const char *path)
{
    struct mr_disk_request request = {.op = MR_DISK_CREATE, .path = path};

    MR_EXPECT(ask(rig, &request) == MR_OK);
    return request.file;
}

static void put(struct rig *rig, uint32_t file, uint64_t offset, const char *text)
{
    char data[64];
    struct mr_disk_request request = {
        .op = MR_DISK_WRITE, .file = file, .offset = offset, .data = data};

    request.size_bytes = strlen(text);
    memcpy(data, text, request.size_bytes);
    MR_EXPECT(ask(rig, &request) == MR_OK);
    MR_EXPECT_EQ_UINT(request.done_bytes, strlen(text));
}

static enum mr_status verb(struct rig *rig, enum mr_disk_op op, uint32_t file, const char *path,
                           const char *path_to)
{
    struct mr_disk_request request = {.op = op, .file = file, .path = path, .path_to = path_to};

    return ask(rig, &request);
}

static bool holds(struct rig *rig, const char *path, const char *text)
{
    const struct sim_inode *inode = sim_machine_find(&rig->machine, path);
    char data[64] = "";

    if (inode == NULL || inode->size_bytes != strlen(text)) return false;
    sim_inode_read(inode, 0, data, inode->size_bytes);
    return memcmp(data, text, inode->size_bytes) == 0;
}

/* What every durable format relies on. */
MR_TEST(sim_machine, what_was_synced_survives_a_loss_of_power_and_what_was_not_may_not)
{
    uint32_t old = 0, new = 0;

    for (uint64_t seed = 0; seed < 64; seed++) {
        struct rig rig;
        uint32_t file;

        rig_init(&rig, seed);
        file = create(&rig, "/a");
        put(&rig, file, 0, "first");
        MR_EXPECT(verb(&rig, MR_DISK_SYNC, file, NULL, NULL) == MR_OK);
        MR_EXPECT(verb(&rig, MR_DISK_SYNC_DIRECTORY, 0, "/", NULL) == MR_OK);
        put(&rig, file, 0, "other");
        MR_EXPECT(holds(&rig, "/a", "other"));
        power_loss(&rig);
        old += holds(&rig, "/a", "first");
        new += holds(&rig, "/a", "other");
        rig_fini(&rig);
    }
    MR_EXPECT(old > 10 && new > 10);
    MR_EXPECT_EQ_UINT(old + new, 64);
}

/* A process that is killed loses nothing that it had written. */
MR_TEST(sim_machine, a_kill_keeps_what_was_written)
{
    struct rig rig;

    rig_init(&rig, 1);
    put(&rig, create(&rig, "/a"), 0, "text");
    sim_owner_die(&rig.owner);
    rig_boot(&rig);
    MR_EXPECT(holds(&rig, "/a", "text"));
    rig_fini(&rig);
}

/* Without a sync of the directory a rename may be undone, but is never half done. */
MR_TEST(sim_machine, a_rename_is_whole_or_not_at_all)
{
    uint32_t before = 0, after = 0;

    for (uint64_t seed = 0; seed < 64; seed++) {
        struct rig rig;
        uint32_t file;
        bool a, b;

        rig_init(&rig, seed);
        file = create(&rig, "/a");
        put(&rig, file, 0, "x");
        MR_EXPECT(verb(&rig, MR_DISK_SYNC, file, NULL, NULL) == MR_OK);
        MR_EXPECT(verb(&rig, MR_DISK_SYNC_DIRECTORY, 0, "/", NULL) == MR_OK);
        MR_EXPECT(verb(&rig, MR_DISK_RENAME, 0, "/a", "/b") == MR_OK);
        power_loss(&rig);
        a = holds(&rig, "/a", "x");
        b = holds(&rig, "/b", "x");
        MR_EXPECT(a != b);
        before += a;
        after += b;
        rig_fini(&rig);
    }
    MR_EXPECT(before > 10 && after > 10);
}

/* Linux marks pages as clean when their sync fails: the next sync succeeds and means nothing. */
MR_TEST(sim_machine, after_a_failed_sync_the_next_one_does_not_bring_the_pages_back)
{
    struct rig rig;
    uint32_t file;

    rig_init(&rig, 3);
    file = create(&rig, "/a");
    MR_EXPECT(verb(&rig, MR_DISK_SYNC_DIRECTORY, 0, "/", NULL) == MR_OK);
    put(&rig, file, 0, "lost");
    rig.machine.knobs.sync_error_ppm = 1000000;
    MR_EXPECT(verb(&rig, MR_DISK_SYNC, file, NULL, NULL) == MR_E_IO);
    rig.machine.knobs.sync_error_ppm = 0;
    MR_EXPECT(verb(&rig, MR_DISK_SYNC, file, NULL, NULL) == MR_OK);
    power_loss(&rig);
    MR_EXPECT(!holds(&rig, "/a", "lost"));
    rig_fini(&rig);
}

/* The lock of a stopped process holds; that of a dead one falls. */
MR_TEST(sim_machine, a_lock_lives_as_long_as_its_process)
{
    struct rig rig;
    struct sim_owner other;
    struct mr_disk *disk;
    struct mr_disk_request request = {.op = MR_DISK_LOCK, .path = "/LOCK"};

    rig_init(&rig, 4);
    other = (struct sim_owner){.machine = &rig.machine};
    disk = sim_disk_create(&other, &rig.heap);
    MR_EXPECT(ask(&rig, &request) == MR_OK);
    rig.owner.stopped = true;
    MR_EXPECT(mr_disk_do(disk, &request, NULL) == MR_E_BUSY);
    sim_owner_die(&rig.owner);
    MR_EXPECT(mr_disk_do(disk, &request, NULL) == MR_OK);
    sim_owner_die(&other);
    rig_fini(&rig);
}

/* A full disk takes what fits, then nothing; overwriting needs no space. */
MR_TEST(sim_machine, a_full_disk_refuses_growth_only)
{
    struct rig rig;
    uint32_t file;
    char data[8] = "12345678";
    struct mr_disk_request request = {.op = MR_DISK_WRITE, .data = data, .size_bytes = 8};

    rig_init(&rig, 5);
    file = create(&rig, "/a");
    put(&rig, file, 0, "1234");
    rig.machine.space_bytes = 6;
    request.file = file;
    MR_EXPECT(ask(&rig, &request) == MR_OK);
    MR_EXPECT_EQ_UINT(request.done_bytes, 6);
    request.offset = 6;
    MR_EXPECT(ask(&rig, &request) == MR_E_NO_SPACE);
    put(&rig, file, 0, "abc");
    rig_fini(&rig);
}
