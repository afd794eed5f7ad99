/* pipelines_test.c - the master property: every way to run a pipeline gives its golden result. */
#include "pipelines.h"

#include "api/job_internal.h"
#include "connect/connect.h"
#include "mr_test.h"
#include "../../sim/sim.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- collecting rows as text ---- */

static struct lines {
    pthread_mutex_t mutex;
    char **line;
    size_t count, room;
} got = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void lines_clear(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++) free(lines->line[i]);
    free(lines->line);
    lines->line = NULL;
    lines->count = lines->room = 0;
}

static void lines_add(struct lines *lines, const char *text, size_t size)
{
    if (lines->count == lines->room) {
        lines->room = lines->room == 0 ? 64 : 2 * lines->room;
        lines->line = realloc(lines->line, lines->room * sizeof *lines->line);
    }
    lines->line[lines->count++] = strndup(text, size);
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static enum mr_status collect_open(void *user, uint32_t instance, void **out_writer)
{
    (void)instance;
    *out_writer = user;
    return MR_OK;
}

static enum mr_status collect_write(void *writer, const struct mr_batch *batch)
{
    struct lines *lines = writer;
    struct mr_text text;

    mr_text_init(&text, mr_test_heap(), 0);
    pthread_mutex_lock(&lines->mutex);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        mr_text_clear(&text);
        for (uint32_t c = 0; c < batch->column_count; c++) {
            if (c > 0) mr_text_add_char(&text, ',');
            mr_value_print(&batch->columns[c], mr_batch_at(batch, row), MR_FORMAT_CSV, &text);
        }
        lines_add(lines, mr_text_get(&text), strlen(mr_text_get(&text)));
    }
    pthread_mutex_unlock(&lines->mutex);
    mr_text_fini(&text);
    return MR_OK;
}

void collect(struct mr_stream *in)
{
    static const struct mr_sink_functions functions = {
        .size = sizeof functions,
        .one_instance = true,
        .open = collect_open,
        .write = collect_write,
    };

    mr_write_sink(in, "collect", &functions, &got);
}

const char *pipeline_data(const char *name)
{
    static char path[4096];
    const char *root = getenv("MR_SOURCE_ROOT");

    snprintf(path, sizeof path, "%s/test/pipelines/data/%s", root == NULL ? "." : root, name);
    return path;
}

/* Golden rows without the header line. */
static void read_golden(const struct pipeline *pipeline, struct lines *out)
{
    char path[4096];
    char *line = NULL;
    size_t room = 0;
    const char *root = getenv("MR_SOURCE_ROOT");
    FILE *file;
    ssize_t size;

    snprintf(path, sizeof path, "%s/test/pipelines/golden/%s.csv", root == NULL ? "." : root,
             pipeline->name);
    file = fopen(path, "r");
    if (file == NULL) MR_FAIL("no golden file %s", path);
    if (getline(&line, &room, file) < 0) MR_FAIL("empty golden file %s", path);
    while ((size = getline(&line, &room, file)) >= 0) {
        if (size > 0 && line[size - 1] == '\n') size--;
        lines_add(out, line, (size_t)size);
    }
    free(line);
    fclose(file);
}

/* ---- ways to run ---- */

struct way {
    const char *name;
    enum mr_mode mode;
    uint32_t workers;
    bool simulated;
    uint64_t seed;
    enum mr_sim_cut cut;
    bool tiny; /* one-slot rings, least quotas, batches of two rows */
    bool no_two_stage, no_fusion, no_pruning;
};

static void compare(const struct pipeline *pipeline, const struct way *way,
                    const struct lines *golden)
{
    size_t count = got.count < golden->count ? got.count : golden->count;

    if (!pipeline->ordered && got.count > 1) {
        qsort(got.line, got.count, sizeof *got.line, by_text);
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(got.line[i], golden->line[i]) == 0) continue;
        MR_FAIL("%s, %s: row %zu is\n    %s\n  golden:\n    %s", pipeline->name, way->name, i + 1,
                got.line[i], golden->line[i]);
    }
    if (got.count != golden->count) {
        MR_FAIL("%s, %s: %zu rows, golden has %zu; the first one %s:\n    %s", pipeline->name,
                way->name, got.count, golden->count,
                got.count > golden->count ? "too many" : "missing",
                got.count > golden->count ? got.line[count] : golden->line[count]);
    }
}

static void check_counts(const struct pipeline *pipeline, const struct way *way,
                         const struct mr_summary *summary)
{
    if (pipeline->rows_late != UINT64_MAX && way->mode == MR_MODE_STREAMING &&
        summary->rows_late != pipeline->rows_late) {
        MR_FAIL("%s, %s: %llu late rows, expected %llu", pipeline->name, way->name,
                (unsigned long long)summary->rows_late, (unsigned long long)pipeline->rows_late);
    }
    if (pipeline->rows_rejected != UINT64_MAX &&
        summary->rows_rejected != pipeline->rows_rejected) {
        MR_FAIL("%s, %s: %llu rejected rows, expected %llu", pipeline->name, way->name,
                (unsigned long long)summary->rows_rejected,
                (unsigned long long)pipeline->rows_rejected);
    }
}

/* Runs a pipeline one way and returns the trace hash (0 on threads). */
static uint64_t run_way(const struct pipeline *pipeline, const struct way *way,
                        const struct lines *golden)
{
    struct mr_job_options options = {
        .size = sizeof options,
        .workers = way->workers,
        .mode = way->mode,
        .memory_bytes = (size_t)512 << 20,
        .on_error = pipeline->on_error,
        .late = MR_LATE_BY_SPLIT,
        .no_two_stage = way->no_two_stage,
        .no_fusion = way->no_fusion,
    };
    struct mr_job *job = mr_job_create(pipeline->name, &options);
    struct mri_job_hooks hooks = {.no_pruning = way->no_pruning};
    struct mr_sim sim;
    struct mr_summary summary;
    enum mr_status st;

    if (way->simulated) {
        mr_sim_init(&sim, way->seed, way->cut, &job->port);
        hooks.port = &sim.port;
        hooks.drive = mr_sim_drive;
        hooks.self = &sim;
        hooks.trace = true;
    }
    if (way->cut == MR_SIM_CUT_ONE) hooks.batch_rows = 1;
    if (way->tiny) {
        hooks.ring_slots = 1;
        hooks.batch_rows = 2;
        hooks.quota_bytes = 2 * MR_BLOCK_BYTES_MIN;
        hooks.task_quota_bytes = 4 * MR_BLOCK_BYTES_MAX;
    }
    job->hooks = &hooks;
    lines_clear(&got);
    pipeline->build(job);
    st = mr_job_run(job, &summary);
    if (st != MR_OK) {
        MR_FAIL("%s, %s (seed %llu): %s", pipeline->name, way->name,
                (unsigned long long)way->seed, mr_job_error(job));
    }
    compare(pipeline, way, golden);
    check_counts(pipeline, way, &summary);
    mr_job_destroy(job);
    return hooks.trace_hash;
}

static bool applies(const struct pipeline *pipeline, const struct way *way)
{
    return way->mode == MR_MODE_STREAMING || !pipeline->streaming_only;
}

/* MR_PIPELINE=name runs that one only: for looking into a failure. */
static bool wanted(const struct pipeline *pipeline)
{
    const char *only = getenv("MR_PIPELINE");

    return only == NULL || strcmp(only, pipeline->name) == 0;
}

static void run_ways(const struct way *ways, size_t count)
{
    for (unsigned p = 0; p < pipeline_count; p++) {
        struct lines golden = {.count = 0};

        if (!wanted(&pipelines[p])) continue;
        read_golden(&pipelines[p], &golden);
        if (!pipelines[p].ordered && golden.count > 1) {
            qsort(golden.line, golden.count, sizeof *golden.line, by_text);
        }
        for (size_t w = 0; w < count; w++) {
            if (applies(&pipelines[p], &ways[w])) run_way(&pipelines[p], &ways[w], &golden);
        }
        lines_clear(&golden);
        lines_clear(&got);
    }
}

/* What users run: real threads, whole batches. */
MR_TEST(pipelines, on_threads_with_1_2_and_4_workers)
{
    static const struct way ways[] = {
        {.name = "batch, 1 worker", .mode = MR_MODE_BATCH, .workers = 1},
        {.name = "batch, 2 workers", .mode = MR_MODE_BATCH, .workers = 2},
        {.name = "batch, 4 workers", .mode = MR_MODE_BATCH, .workers = 4},
        {.name = "streaming, 1 worker", .mode = MR_MODE_STREAMING, .workers = 1},
        {.name = "streaming, 2 workers", .mode = MR_MODE_STREAMING, .workers = 2},
        {.name = "streaming, 4 workers", .mode = MR_MODE_STREAMING, .workers = 4},
    };

    run_ways(ways, MR_COUNT(ways));
}

/* Cuts between batches must not show in any result. */
MR_TEST(pipelines, with_one_row_batches_and_random_cuts)
{
    static struct way ways[40];
    static char names[40][64];

    for (uint32_t i = 0; i < MR_COUNT(ways); i++) {
        bool streaming = i % 2 == 1;
        bool one = i < 8;

        snprintf(names[i], sizeof names[i], "%s, %s", streaming ? "streaming" : "batch",
                 one ? "one-row batches" : "random cuts");
        ways[i] = (struct way){.name = names[i],
                               .mode = streaming ? MR_MODE_STREAMING : MR_MODE_BATCH,
                               .workers = 1u << (i / 2 % 3),
                               .simulated = true,
                               .seed = 1000 + i,
                               .cut = one ? MR_SIM_CUT_ONE : MR_SIM_CUT_RANDOM};
    }
    run_ways(ways, MR_COUNT(ways));
}

/* The smallest rings and pools that a plan may have: slow, but never stuck. */
MR_TEST(pipelines, with_one_slot_rings_and_minimal_pools)
{
    static const struct way ways[] = {
        {.name = "tiny, batch", .mode = MR_MODE_BATCH, .workers = 2, .tiny = true},
        {.name = "tiny, streaming", .mode = MR_MODE_STREAMING, .workers = 4, .tiny = true},
        {.name = "tiny, simulated", .mode = MR_MODE_STREAMING, .workers = 2, .tiny = true,
         .simulated = true, .seed = 7, .cut = MR_SIM_CUT_RANDOM},
    };

    run_ways(ways, MR_COUNT(ways));
}

/* The optimiser may change how, never what. */
MR_TEST(pipelines, without_each_optimisation)
{
    static const struct way ways[] = {
        {.name = "no two-stage", .mode = MR_MODE_BATCH, .workers = 2, .no_two_stage = true},
        {.name = "no two-stage, streaming", .mode = MR_MODE_STREAMING, .workers = 2,
         .no_two_stage = true},
        {.name = "no fusion", .mode = MR_MODE_BATCH, .workers = 2, .no_fusion = true},
        {.name = "no fusion, streaming", .mode = MR_MODE_STREAMING, .workers = 2,
         .no_fusion = true},
        {.name = "no pruning", .mode = MR_MODE_BATCH, .workers = 2, .no_pruning = true},
    };

    run_ways(ways, MR_COUNT(ways));
}

/* A failing seed must fail again: everything that happens hangs on the seed alone. */
MR_TEST(pipelines, the_same_seed_gives_the_same_trace_and_another_one_another)
{
    for (unsigned p = 0; p < pipeline_count; p++) {
        struct way way = {.name = "same seed", .mode = MR_MODE_STREAMING, .workers = 3,
                          .simulated = true, .seed = 42, .cut = MR_SIM_CUT_RANDOM};
        struct lines golden = {.count = 0};
        uint64_t first, second, other;

        if (!wanted(&pipelines[p])) continue;
        read_golden(&pipelines[p], &golden);
        if (!pipelines[p].ordered && golden.count > 1) {
            qsort(golden.line, golden.count, sizeof *golden.line, by_text);
        }
        first = run_way(&pipelines[p], &way, &golden);
        second = run_way(&pipelines[p], &way, &golden);
        way.seed = 43;
        other = run_way(&pipelines[p], &way, &golden);
        if (first != second) MR_FAIL("%s: two runs of one seed differ", pipelines[p].name);
        if (first == other) MR_FAIL("%s: another seed changed nothing", pipelines[p].name);
        lines_clear(&golden);
        lines_clear(&got);
    }
}
