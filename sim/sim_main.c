/* sim_main.c - the simulator as a program: one seed in detail, or many, each in a process of its own.
 *
 *     sim --seed 17 --verbose          one seed, told as it goes
 *     sim --seeds 300 --from 1000      many; the first line of each failure is the command that repeats it
 */
#include "sim_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct arguments {
    struct sim_options options;
    uint64_t seeds; /* 0: one */
    uint32_t jobs;
    bool twice;
    uint64_t demand;  /* deaths at every crash point, or the run fails */
    const char *keep; /* a folder for failing seeds */
};

static const char *const crash_ids[] = {
#define SIM_CRASH_ID(id) id,
#include "sim_crash_points.h"
#undef SIM_CRASH_ID
};

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim [--seed N] [--seeds N] [--workload NAME] [--plant ID] [--calm]\n"
                    "           [--twice] [--jobs N] [--demand N] [--keep DIR] [--verbose]\n");
    return 2;
}

static bool parse(int argc, char **argv, struct arguments *out)
{
    *out = (struct arguments){.options = {.seed = 1}, .jobs = 1};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(name, "--calm") == 0) {
            out->options.calm = true;
        } else if (strcmp(name, "--verbose") == 0) {
            out->options.verbose = true;
        } else if (strcmp(name, "--twice") == 0) {
            out->twice = true;
        } else if (value == NULL) {
            return false;
        } else {
            i++;
            if (strcmp(name, "--seed") == 0) out->options.seed = strtoull(value, NULL, 0);
            else if (strcmp(name, "--seeds") == 0) out->seeds = strtoull(value, NULL, 0);
            else if (strcmp(name, "--jobs") == 0) out->jobs = (uint32_t)strtoul(value, NULL, 0);
            else if (strcmp(name, "--workload") == 0) out->options.workload = value;
            else if (strcmp(name, "--plant") == 0) out->options.planted = value;
            else if (strcmp(name, "--demand") == 0) out->demand = strtoull(value, NULL, 0);
            else if (strcmp(name, "--keep") == 0) out->keep = value;
            else return false;
        }
    }
    return true;
}

/* ---- one seed ---- */

static void print_result(const struct sim_options *options, const struct sim_result *result)
{
    const struct sim_stats *stats = &result->stats;

    printf("seed %llu %s: %llu attempts in %.1f s of process time, %llu rows, %llu epochs, "
           "%llu turns, trace %016llx\n",
           (unsigned long long)options->seed, result->workload, (unsigned long long)stats->attempts,
           (double)stats->process_us / 1e6, (unsigned long long)stats->rows,
           (unsigned long long)stats->epochs, (unsigned long long)stats->turns,
           (unsigned long long)result->trace);
}

static void print_failure(const struct sim_options *options, const char *text)
{
    printf("FAILED, repeat with: make sim SEED=%llu%s%s%s%s\n  %s\n",
           (unsigned long long)options->seed, options->workload != NULL ? " WORKLOAD=" : "",
           options->workload != NULL ? options->workload : "",
           options->planted != NULL ? " PLANT=" : "",
           options->planted != NULL ? options->planted : "", text);
}

static int run_one_seed(const struct arguments *arguments)
{
    static struct sim_result result, again;

    sim_run(&arguments->options, &result);
    print_result(&arguments->options, &result);
    if (result.failure[0] == '\0' && arguments->twice) {
        sim_run(&arguments->options, &again);
        if (again.trace != result.trace) {
            snprintf(result.failure, sizeof result.failure, "two runs of one seed differ");
        }
    }
    if (result.failure[0] == '\0') return 0;
    print_failure(&arguments->options, result.failure);
    return 1;
}

/* ---- many seeds ---- */

struct child {
    pid_t pid;
    uint64_t seed;
    int pipe;
};

struct total {
    uint64_t seeds, failed;
    struct sim_stats stats;
    struct sim_fault_counts disk;
    uint64_t refused;
    double cpu_s;
};

static void begin(const struct arguments *arguments, struct child *child, uint64_t seed)
{
    int ends[2];

    fflush(stdout);
    if (pipe(ends) != 0) abort();
    child->seed = seed;
    child->pipe = ends[0];
    child->pid = fork();
    if (child->pid < 0) abort();
    if (child->pid == 0) {
        struct sim_options options = arguments->options;
        static struct sim_result result, again;

        close(ends[0]);
        options.seed = seed;
        sim_run(&options, &result);
        if (arguments->twice && result.failure[0] == '\0') {
            sim_run(&options, &again);
            if (again.trace != result.trace) {
                snprintf(result.failure, sizeof result.failure, "two runs of one seed differ");
            }
        }
        result.workload = NULL; /* a pointer of this process */
        for (size_t at = 0; at < sizeof result;) {
            ssize_t size = write(ends[1], (const char *)&result + at, sizeof result - at);
            if (size <= 0) abort();
            at += (size_t)size;
        }
        fflush(stdout);
        exit(0);
    }
    close(ends[1]);
}

static void add_stats(struct sim_stats *into, const struct sim_stats *from)
{
    for (uint32_t i = 0; i < from->id_count; i++) {
        uint32_t at = 0;

        while (at < into->id_count && strcmp(into->ids[at].id, from->ids[i].id) != 0) at++;
        if (at == SIM_IDS_MAX) continue;
        if (at == into->id_count) {
            into->ids[into->id_count++] = from->ids[i];
        } else {
            into->ids[at].seen += from->ids[i].seen;
            into->ids[at].struck += from->ids[i].struck;
        }
    }
    for (uint32_t e = 0; e < SIM_EVENT_COUNT; e++) into->events[e] += from->events[e];
    for (uint32_t f = 0; f < SIM_FAULT_COUNT; f++) into->faults[f] += from->faults[f];
    into->attempts += from->attempts;
    into->refused_attempts += from->refused_attempts;
    into->epochs += from->epochs;
    into->rows += from->rows;
    into->turns += from->turns;
    into->zombies += from->zombies;
    into->intruders += from->intruders;
    into->process_us += from->process_us;
}

static void add_disk(struct sim_fault_counts *into, const struct sim_fault_counts *from)
{
    uint64_t *to = (uint64_t *)into;
    const uint64_t *of = (const uint64_t *)from;

    for (size_t i = 0; i < sizeof *into / sizeof *to; i++) to[i] += of[i];
}

static void keep_seed(const struct arguments *arguments, uint64_t seed, const char *why)
{
    char path[512];
    FILE *file;

    if (arguments->keep == NULL) return;
    snprintf(path, sizeof path, "%s/%llu", arguments->keep, (unsigned long long)seed);
    file = fopen(path, "w");
    if (file == NULL) return;
    fprintf(file, "%s\n", why);
    fclose(file);
}

static void end(const struct arguments *arguments, struct child *child, struct total *total)
{
    static struct sim_result result;
    struct sim_options options = arguments->options;
    size_t got = 0;
    int status = 0;

    while (got < sizeof result) {
        ssize_t size = read(child->pipe, (char *)&result + got, sizeof result - got);
        if (size <= 0) break;
        got += (size_t)size;
    }
    close(child->pipe);
    waitpid(child->pid, &status, 0);
    child->pid = 0;
    options.seed = child->seed;
    total->seeds++;
    if (got < sizeof result) {
        snprintf(result.failure, sizeof result.failure, "the simulator died with status %d: an "
                 "assertion, or a sanitizer's report above", status);
    } else {
        add_stats(&total->stats, &result.stats);
        add_disk(&total->disk, &result.disk);
        total->refused += result.refused;
    }
    if (result.failure[0] == '\0') return;
    total->failed++;
    print_failure(&options, result.failure);
    keep_seed(arguments, child->seed, result.failure);
}

static void print_total(const struct total *total, double seconds)
{
    const struct sim_stats *stats = &total->stats;
    double process_s = (double)stats->process_us / 1e6;

    printf("%llu seeds, %llu failed; %llu attempts, %.0f process-seconds, %.0f rows and %.1f epochs "
           "per process-second, %.0f process-seconds per second\n",
           (unsigned long long)total->seeds, (unsigned long long)total->failed,
           (unsigned long long)stats->attempts, process_s, (double)stats->rows / process_s,
           (double)stats->epochs / process_s, process_s / seconds);
    printf("events:");
    for (uint32_t e = 0; e < SIM_EVENT_COUNT; e++) {
        printf(" %llu", (unsigned long long)stats->events[e]);
    }
    printf(" (kill, kill at, power, power at, stop, stop at, zombie, memory, disk full, clock, "
           "interrupt)\n");
    printf("disk: %llu short, %llu+%llu+%llu errors of read, write, sync, %llu replies lost, %llu flips, %llu rot, "
           "%llu misdirected, %llu no space, %llu+%llu sectors lost and torn, %llu names lost\n",
           (unsigned long long)total->disk.shorts, (unsigned long long)total->disk.read_errors,
           (unsigned long long)total->disk.write_errors, (unsigned long long)total->disk.sync_errors,
           (unsigned long long)total->disk.lost_replies,
           (unsigned long long)total->disk.flips, (unsigned long long)total->disk.rots,
           (unsigned long long)total->disk.misdirects, (unsigned long long)total->disk.no_space,
           (unsigned long long)total->disk.lost_sectors,
           (unsigned long long)total->disk.torn_sectors, (unsigned long long)total->disk.lost_names);
    printf("connectors: %llu source faults, %llu sink busy, %llu calls lost, %llu zombie calls "
           "refused; %llu attempts failed, %llu came beside another one\n",
           (unsigned long long)stats->faults[SIM_FAULT_SOURCE],
           (unsigned long long)stats->faults[SIM_FAULT_SINK_BUSY],
           (unsigned long long)stats->faults[SIM_FAULT_SINK_CALL],
           (unsigned long long)total->refused, (unsigned long long)stats->refused_attempts,
           (unsigned long long)stats->intruders);
    printf("places (passed, died at):");
    for (uint32_t i = 0; i < stats->id_count; i++) {
        printf(" %s %llu/%llu", stats->ids[i].id, (unsigned long long)stats->ids[i].seen,
               (unsigned long long)stats->ids[i].struck);
    }
    printf("\n");
}

/* Every crash point was died at often enough. */
static bool demand_met(const struct sim_stats *stats, uint64_t demand)
{
    bool met = true;

    for (size_t c = 0; c < MR_COUNT(crash_ids) && demand > 0; c++) {
        uint64_t struck = 0;

        for (uint32_t i = 0; i < stats->id_count; i++) {
            if (strcmp(stats->ids[i].id, crash_ids[c]) == 0) struck = stats->ids[i].struck;
        }
        if (struck >= demand) continue;
        printf("FAILED: %llu attempts died at crash point %s, %llu are demanded\n",
               (unsigned long long)struck, crash_ids[c], (unsigned long long)demand);
        met = false;
    }
    return met;
}

/* For tools/test. */
static void tally(const struct total *total)
{
    const char *path = getenv("MR_TEST_TALLY");
    FILE *file = path == NULL ? NULL : fopen(path, "a");

    if (file == NULL) return;
    fprintf(file, "seeds %llu passed %llu failed 0 skipped\n",
            (unsigned long long)(total->seeds - total->failed), (unsigned long long)total->failed);
    fclose(file);
}

static int run_seeds(const struct arguments *arguments)
{
    static struct total total;
    struct child children[64] = {{.pid = 0}};
    uint32_t jobs = arguments->jobs < 1 ? 1 : arguments->jobs > 64 ? 64 : arguments->jobs;
    double started = now_s();

    /* The oldest is waited for; seeds take about the same time. */
    for (uint64_t i = 0; i < arguments->seeds + jobs; i++) {
        struct child *child = &children[i % jobs];

        if (child->pid != 0) end(arguments, child, &total);
        if (i < arguments->seeds) begin(arguments, child, arguments->options.seed + i);
    }
    print_total(&total, now_s() - started);
    tally(&total);
    if (!demand_met(&total.stats, arguments->demand)) return 1;
    return total.failed != 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments;

    if (!parse(argc, argv, &arguments)) return usage();
    if (arguments.seeds == 0) return run_one_seed(&arguments);
    return run_seeds(&arguments);
}
