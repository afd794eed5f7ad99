/* sim_seeds_test.c - a few seeds in every build, and that the simulator can fail at all. The many seeds
 * are run by the program. */
#include "mr_test.h"
#include "sim_workload.h"
#include "sim_world.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sim_result result;

static void expect_good(const struct sim_options *options)
{
    sim_run(options, &result);
    if (result.failure[0] == '\0') return;
    MR_FAIL("make sim SEED=%llu WORKLOAD=%s: %s", (unsigned long long)options->seed, result.workload,
            result.failure);
}

MR_TEST(sim_seeds, every_workload_without_faults_gives_what_its_oracle_says)
{
    for (uint32_t w = 0; w < sim_workload_count; w++) {
        if (!sim_workloads[w].there()) continue;
        for (uint64_t seed = 1; seed <= 2; seed++) {
            expect_good(&(struct sim_options){
                .seed = seed, .workload = sim_workloads[w].name, .calm = true});
            MR_EXPECT_EQ_UINT(result.stats.attempts, 2); /* the second finds nothing to do */
        }
    }
}

MR_TEST(sim_seeds, every_workload_survives_faults)
{
    for (uint32_t w = 0; w < sim_workload_count; w++) {
        if (!sim_workloads[w].there()) continue;
        for (uint64_t seed = 1; seed <= 3; seed++) {
            expect_good(&(struct sim_options){.seed = seed, .workload = sim_workloads[w].name});
            MR_EXPECT(result.stats.attempts > 2);
        }
    }
}

/* Otherwise a failing seed could not be looked into. */
MR_TEST(sim_seeds, the_same_seed_gives_the_same_trace_and_another_one_another)
{
    uint64_t first;

    expect_good(&(struct sim_options){.seed = 11});
    first = result.trace;
    expect_good(&(struct sim_options){.seed = 11});
    MR_EXPECT_EQ_UINT(result.trace, first);
    expect_good(&(struct sim_options){.seed = 12});
    MR_EXPECT(result.trace != first);
}

/* A simulator that never fails proves nothing: what is planted has to be found. */
struct planted {
    const char *id;
    uint64_t seed; /* found it once; others behind it are tried as well */
};

static void expect_found(const struct planted *planted)
{
    enum { SEEDS = 200 };

    for (uint64_t i = 0; i < SEEDS; i++) {
        sim_run(&(struct sim_options){.seed = planted->seed + i, .planted = planted->id}, &result);
        if (result.failure[0] != '\0') return;
    }
    MR_FAIL("%s is planted, and %u seeds from %llu on did not find it", planted->id, (unsigned)SEEDS,
            (unsigned long long)planted->seed);
}

MR_TEST(sim_seeds, canaries_go_red)
{
    static const struct planted canaries[] = {
        {"canary-skip", 1}, {"canary-repeat", 1}, {"canary-commit", 1}};

    for (uint32_t i = 0; i < MR_COUNT(canaries); i++) expect_found(&canaries[i]);
}

/* Rows of the failure museum: what went wrong in others goes wrong here, and is seen. */
MR_TEST(sim_seeds, the_museum_is_found_row_by_row)
{
    static const struct planted museum[] = {
        {"museum-3", 11},  {"museum-4", 2},   {"museum-5", 2},   {"museum-6", 1},
        {"museum-7", 2},   {"museum-10", 1},  {"museum-12", 1},  {"museum-13", 4},
        {"museum-15", 1},  {"museum-17", 2},  {"museum-18", 2},  {"museum-19", 3},
        {"museum-23", 156}, {"museum-24", 2},  {"museum-25", 1},  {"museum-27", 1},
        {"museum-29", 4},  {"museum-35", 49},
    };

    for (uint32_t i = 0; i < MR_COUNT(museum); i++) expect_found(&museum[i]);
}

/* Seeds that once failed, one file each. */
MR_TEST(sim_seeds, seeds_that_were_kept_pass)
{
    const char *root = getenv("MR_SOURCE_ROOT");
    char path[512];
    DIR *folder;
    struct dirent *entry;

    snprintf(path, sizeof path, "%s/sim/seeds", root != NULL ? root : ".");
    folder = opendir(path);
    if (folder == NULL) return;
    while ((entry = readdir(folder)) != NULL) {
        char *end;
        uint64_t seed = strtoull(entry->d_name, &end, 10);

        if (end != entry->d_name && *end == '\0') expect_good(&(struct sim_options){.seed = seed});
    }
    closedir(folder);
}
