/* log_walk_test.c - damage of any kind is refused, or leaves what was found the same: never another
 * state, never an older one. */
#include "log_rig.h"

static struct rig rig;
static struct fault_disk good; /* what a life left behind */
static uint64_t good_last;
static struct rig_state good_state;

/* A short life with base files, a closed chain and an open one. */
static void live(uint64_t seed, bool compacts)
{
    rig_init(&rig, seed);
    rig.options.segment_bytes = 4096;
    rig.small = true;
    MR_EXPECT_OK(rig_run(&rig, 4), &rig.err);
    rig_stop(&rig);
    if (compacts) {
        MR_EXPECT_OK(rig_start(&rig), &rig.err);
        MR_EXPECT_OK(rig_compact(&rig, 100000), &rig.err);
        MR_EXPECT_OK(rig_run(&rig, 6), &rig.err);
        rig_stop(&rig);
    }
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    MR_EXPECT_OK(rig_run(&rig, 7), &rig.err);
    good_last = mr_epoch_log_last(rig.log);
    good_state = rig.at_end[good_last];
    rig_stop(&rig);
    fault_disk_copy(&good, &rig.disk);
    rig_fini(&rig);
}

/* Opens a copy; true: refused, false: the same as before. Anything else fails the test. */
static bool refused(struct fault_disk *disk, struct mr_error *err)
{
    struct mr_epoch_log_options options = rig.options;
    struct rig_state found = {0};
    struct mr_epoch_log *log = NULL;
    enum mr_status st;

    options.disk = &disk->disk;
    st = mr_epoch_log_open(mr_test_heap(), &options, rig_visit, &found, &log, err);
    if (st != MR_OK) {
        MR_EXPECT_EQ_INT(err->status, st);
        MR_EXPECT(st == MR_E_CORRUPT || st == MR_E_UNSUPPORTED);
        return true;
    }
    MR_EXPECT_EQ_UINT(mr_epoch_log_last(log), good_last);
    MR_EXPECT_EQ_BYTES(&found, &good_state, sizeof found);
    mr_epoch_log_close(log);
    return false;
}

static bool is_file(uint32_t i, const char *part)
{
    return good.names[i].now != NULL && strstr(good.names[i].name, part) != NULL;
}

/* The last epoch included: it must not look like an append that never finished. */
static void flip_everywhere(const char *part, uint32_t *out_refused)
{
    struct fault_disk copy;
    struct mr_error err;

    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        if (!is_file(i, part)) continue;
        for (size_t at = 0; at < good.names[i].now->size_bytes; at++) {
            if (good.names[i].now->data[at] == 0 && at % 16 != 0) continue; /* mostly unused */
            fault_disk_copy(&copy, &good);
            fault_disk_find(&copy, good.names[i].name)->data[at] ^= (char)(1 << (at * 5 + i) % 8);
            if (refused(&copy, &err)) {
                ++*out_refused;
                MR_EXPECT_CONTAINS(err.text, "run/state/");
                MR_EXPECT_CONTAINS(err.text, "offset");
            }
            fault_disk_fini(&copy);
        }
    }
}

MR_TEST(log_walk, when_any_byte_is_flipped_then_it_is_refused_or_makes_no_difference)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        uint32_t count = 0;

        live(seed, seed == 2);
        flip_everywhere("", &count);
        MR_EXPECT(count > 500);
        fault_disk_fini(&good);
    }
}

MR_TEST(log_walk, when_a_file_is_cut_short_anywhere_then_it_is_refused_or_makes_no_difference)
{
    struct fault_disk copy;
    struct mr_error err;

    live(3, true);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        if (good.names[i].now == NULL) continue;
        for (size_t size = 0; size < good.names[i].now->size_bytes; size += size < 100 ? 1 : 61) {
            struct fault_inode *inode;

            fault_disk_copy(&copy, &good);
            inode = fault_disk_find(&copy, good.names[i].name);
            inode->size_bytes = size;
            (void)refused(&copy, &err);
            fault_disk_fini(&copy);
        }
    }
    fault_disk_fini(&good);
}

MR_TEST(log_walk, when_a_file_is_missing_then_it_is_refused_or_makes_no_difference)
{
    struct fault_disk copy;
    struct mr_error err;
    uint32_t count = 0;

    live(4, true);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        if (good.names[i].now == NULL) continue;
        fault_disk_copy(&copy, &good);
        fault_disk_remove(&copy, good.names[i].name);
        count += refused(&copy, &err);
        fault_disk_fini(&copy);
    }
    MR_EXPECT(count >= 3); /* META, manifest, a segment */
    fault_disk_fini(&good);
}

/* A write that went to the wrong sector, or files that changed places. */
MR_TEST(log_walk, when_sectors_or_files_change_places_then_it_is_refused_or_makes_no_difference)
{
    struct fault_disk copy;
    struct mr_error err;
    struct mr_prng prng;

    live(5, true);
    mr_prng_init(&prng, 5, 1);
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t i = (uint32_t)mr_prng_below(&prng, FAULT_NAMES_MAX);
        uint32_t k = (uint32_t)mr_prng_below(&prng, FAULT_NAMES_MAX);
        struct fault_inode *from, *to;
        size_t at, into;

        do i = (i + 1) % FAULT_NAMES_MAX;
        while (good.names[i].now == NULL);
        do k = (k + 1) % FAULT_NAMES_MAX;
        while (good.names[k].now == NULL);
        fault_disk_copy(&copy, &good);
        from = fault_disk_find(&copy, good.names[i].name);
        to = fault_disk_find(&copy, good.names[k].name);
        at = (size_t)mr_prng_below(&prng, from->size_bytes) / 512 * 512;
        into = (size_t)mr_prng_below(&prng, to->size_bytes) / 512 * 512;
        memcpy(to->data + into, from->data + at,
               MR_MIN(512, MR_MIN(from->size_bytes - at, to->size_bytes - into)));
        (void)refused(&copy, &err);
        fault_disk_fini(&copy);
    }
    fault_disk_fini(&good);
}

/* What a program wrote before it knew that it had been replaced. */
MR_TEST(log_walk, when_an_old_attempt_still_writes_then_nobody_sees_it)
{
    struct mr_epoch_log *old;

    rig_init(&rig, 6);
    MR_EXPECT_OK(rig_run(&rig, 3), &rig.err);
    if (rig.log == NULL) MR_EXPECT_OK(rig_start(&rig), &rig.err);
    old = rig.log;
    rig.log = NULL;
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    MR_EXPECT(mr_epoch_log_fence(rig.log) > mr_epoch_log_fence(old));
    MR_EXPECT_OK(mr_epoch_log_begin(old, 50, false, &rig.err), &rig.err);
    MR_EXPECT_OK(mr_epoch_log_commit(old, &rig.err), &rig.err);
    while (mr_epoch_log_poll(old, NULL) == MR_LOG_BUSY) {
    }
    MR_EXPECT_EQ_UINT(mr_epoch_log_last(old), 50);
    MR_EXPECT_OK(rig_run(&rig, rig.reported + 2), &rig.err);
    rig_stop(&rig);
    MR_EXPECT_OK(rig_start(&rig), &rig.err);
    mr_epoch_log_close(old);
    rig_fini(&rig);
}
