/* pipelines_test.c - the master property: every way to run a pipeline gives its golden result. */
#include "pipelines.h"

#include "api/job_internal.h"
#include "connect/connect.h"
#include "mr_test.h"
#include "../../sim/sim.h"
#include "base/prng.h"
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

/* ---- a sink that commits ---- */

/* What the writers of a job have committed, and which epochs of which writer: a commit that comes twice
 * must not count twice. Lives on when the job dies, like a database. */
static struct ledger {
    struct committed {
        uint32_t instance;
        uint64_t epoch;
    } *items;
    size_t count, room;
} ledger;

/* Rows of one writer, line by line, of one epoch (0: not prepared yet). */
struct parcel {
    uint64_t epoch;
    struct lines rows;
    struct parcel *next;
};

struct writer {
    uint32_t instance;
    struct parcel *parcels; /* in order; the last one is being filled */
};

static void ledger_clear(void)
{
    free(ledger.items);
    ledger = (struct ledger){.items = NULL};
}

static bool ledger_note(uint32_t instance, uint64_t epoch)
{
    for (size_t i = 0; i < ledger.count; i++) {
        if (ledger.items[i].instance == instance && ledger.items[i].epoch == epoch) return false;
    }
    if (ledger.count == ledger.room) {
        ledger.room = ledger.room == 0 ? 64 : 2 * ledger.room;
        ledger.items = realloc(ledger.items, ledger.room * sizeof *ledger.items);
    }
    ledger.items[ledger.count++] = (struct committed){instance, epoch};
    return true;
}

static struct parcel *parcel_new(void)
{
    struct parcel *parcel = calloc(1, sizeof *parcel);

    if (parcel == NULL) MR_FAIL("out of memory");
    return parcel;
}

static enum mr_status collect_open(void *spec, const struct mr_writer_context *context,
                                   void **out_writer, struct mr_error *err)
{
    struct writer *writer = calloc(1, sizeof *writer);

    (void)spec;
    (void)err;
    if (writer == NULL) MR_FAIL("out of memory");
    writer->instance = context->instance;
    writer->parcels = parcel_new();
    *out_writer = writer;
    return MR_OK;
}

static struct parcel *last_parcel(struct writer *writer)
{
    struct parcel *last = writer->parcels;

    while (last->next != NULL) last = last->next;
    return last;
}

static enum mr_status collect_write(void *self, const struct mr_batch *batch,
                                    enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct parcel *parcel = last_parcel(self);
    struct mr_text text;

    (void)err;
    *out_flow = MR_SINK_READY;
    mr_text_init(&text, mr_test_heap(), 0);
    for (uint32_t row = 0; row < batch->row_count; row++) {
        mr_text_clear(&text);
        for (uint32_t c = 0; c < batch->column_count; c++) {
            if (c > 0) mr_text_add_char(&text, ',');
            mr_value_print(&batch->columns[c], mr_batch_at(batch, row), MR_FORMAT_CSV, &text);
        }
        lines_add(&parcel->rows, mr_text_get(&text), strlen(mr_text_get(&text)));
    }
    mr_text_fini(&text);
    return MR_OK;
}

static enum mr_status collect_finish(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    (void)self;
    (void)err;
    *out_flow = MR_SINK_READY;
    return MR_OK;
}

static void show_rows(const struct lines *rows)
{
    pthread_mutex_lock(&got.mutex);
    for (size_t i = 0; i < rows->count; i++) lines_add(&got, rows->line[i], strlen(rows->line[i]));
    pthread_mutex_unlock(&got.mutex);
}

static void drop_first(struct writer *writer)
{
    struct parcel *first = writer->parcels;

    writer->parcels = first->next;
    lines_clear(&first->rows);
    free(first);
}

/* The state of a writer: every parcel that is prepared and not yet committed. */
static enum mr_status collect_prepare(void *self, uint64_t epoch, struct mr_buffer *out,
                                      enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct writer *writer = self;
    struct parcel *last = last_parcel(writer);
    bool good = mr_buffer_put_u32(out, writer->instance);

    (void)err;
    *out_flow = MR_SINK_READY;
    last->epoch = epoch;
    last->next = parcel_new();
    for (struct parcel *p = writer->parcels; p != last->next; p = p->next) {
        good &= mr_buffer_put_u64(out, p->epoch) && mr_buffer_put_u64(out, p->rows.count);
        for (size_t i = 0; i < p->rows.count; i++) {
            good &= mr_buffer_put(out, p->rows.line[i], strlen(p->rows.line[i]) + 1);
        }
    }
    MR_EXPECT(good);
    return MR_OK;
}

static enum mr_status collect_commit_epoch(void *self, uint64_t epoch, enum mr_sink_flow *out_flow,
                                           struct mr_error *err)
{
    struct writer *writer = self;

    (void)err;
    *out_flow = MR_SINK_READY;
    while (writer->parcels->epoch != 0 && writer->parcels->epoch <= epoch) {
        pthread_mutex_lock(&got.mutex);
        bool fresh = ledger_note(writer->instance, writer->parcels->epoch);
        pthread_mutex_unlock(&got.mutex);
        MR_EXPECT(fresh); /* in one attempt nobody else commits it */
        show_rows(&writer->parcels->rows);
        drop_first(writer);
    }
    return MR_OK;
}

static enum mr_status collect_recover(void *spec, const struct mr_recover_context *context,
                                      struct mr_error *err)
{
    (void)spec;
    (void)err;
    for (uint32_t s = 0; s < context->state_count; s++) {
        const struct mr_bytes *state = &context->states[s];
        struct mr_cursor in = {state->data, state->data + state->size_bytes};
        uint32_t instance = 0;
        uint64_t epoch, count;

        MR_EXPECT(mr_cursor_u32(&in, &instance));
        while (mr_cursor_u64(&in, &epoch) && mr_cursor_u64(&in, &count)) {
            bool fresh = ledger_note(instance, epoch);

            MR_EXPECT(epoch <= context->epoch);
            for (uint64_t i = 0; i < count; i++, in.at += strlen(in.at) + 1) {
                if (fresh) lines_add(&got, in.at, strlen(in.at));
            }
        }
    }
    return MR_OK;
}

static enum mr_status collect_commit(void *self, struct mr_error *err)
{
    struct writer *writer = self;

    (void)err;
    while (writer->parcels != NULL) { /* without epochs: everything at the end */
        show_rows(&writer->parcels->rows);
        drop_first(writer);
    }
    return MR_OK;
}

static void collect_abort(void *self)
{
    (void)self;
}

static void collect_close(void *self)
{
    struct writer *writer = self;

    while (writer->parcels != NULL) drop_first(writer);
    free(writer);
}

static void collect_destroy(void *spec)
{
    (void)spec;
}

void collect(struct mr_stream *in)
{
    static const struct mr_sink_ops ops = {
        .size = sizeof ops,
        .name = "collect",
        .one_writer = true,
        .open = collect_open,
        .write = collect_write,
        .finish = collect_finish,
        .commit = collect_commit,
        .abort = collect_abort,
        .prepare = collect_prepare,
        .commit_epoch = collect_commit_epoch,
        .recover = collect_recover,
        .close = collect_close,
        .destroy = collect_destroy,
    };
    struct mr_sink sink = {.ops = &ops};

    if (in != NULL) mri_add_sink(in, &sink, "collect", NULL);
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
    const char *state_dir; /* NULL: no epochs */
    bool micro_batch;
    uint64_t kill_at;      /* turn at which the process dies; 0: never */
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

/* One attempt of a pipeline; what it commits is in `got`. *out_killed: it died on the way. */
static uint64_t attempt(const struct pipeline *pipeline, const struct way *way,
                        struct mr_summary *out_summary, bool *out_killed)
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
        .state_dir = way->state_dir,
        .epoch_us = way->state_dir == NULL ? 0 : 50 * (1 + (int64_t)(way->seed % 20)),
        .commit = way->micro_batch ? MR_COMMIT_MICRO_BATCH : MR_COMMIT_CONTINUOUS,
    };
    struct mr_job *job = mr_job_create(pipeline->name, &options);
    struct mri_job_hooks hooks = {.no_pruning = way->no_pruning, .segment_bytes = 256 * 1024};
    struct mr_sim sim = {.killed = false};
    enum mr_status st;

    if (way->simulated) {
        mr_sim_init(&sim, way->seed, way->cut, &job->port);
        sim.kill_at = way->kill_at;
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
    pipeline->build(job);
    st = mr_job_run(job, out_summary);
    *out_killed = sim.killed;
    if (st != MR_OK && !sim.killed) {
        MR_FAIL("%s, %s (seed %llu): %s", pipeline->name, way->name,
                (unsigned long long)way->seed, mr_job_error(job));
    }
    mr_job_destroy(job);
    return hooks.trace_hash;
}

/* Runs a pipeline one way and returns the trace hash (0 on threads). */
static uint64_t run_way(const struct pipeline *pipeline, const struct way *way,
                        const struct lines *golden)
{
    struct mr_summary summary;
    uint64_t trace;
    bool killed;

    lines_clear(&got);
    ledger_clear();
    trace = attempt(pipeline, way, &summary, &killed);
    compare(pipeline, way, golden);
    check_counts(pipeline, way, &summary);
    return trace;
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

/* ---- with epochs ---- */

static char *new_directory(void)
{
    static char path[4096];
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    snprintf(path, sizeof path, "%s/millrace-test-XXXXXX", base);
    if (mkdtemp(path) == NULL) MR_FAIL("no directory for state in %s", base);
    return path;
}

static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char name[5000];

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        (void)unlink(name);
    }
    if (directory != NULL) closedir(directory);
    (void)rmdir(path);
}

/* Attempts that die at random turns, each another seed and number of workers, until one comes through:
 * what they committed together is the golden result. */
static void run_dying(const struct pipeline *pipeline, const struct lines *golden, uint64_t seed)
{
    struct mr_prng chance;
    struct mr_summary summary;
    struct way way = {.mode = MR_MODE_STREAMING, .simulated = true, .cut = MR_SIM_CUT_RANDOM};
    uint64_t reach = 0; /* turns that an undisturbed attempt may take, as seen so far */
    uint32_t attempts = 0;
    char name[64];
    bool killed;

    mr_prng_init(&chance, seed, 0);
    lines_clear(&got);
    ledger_clear();
    way.state_dir = new_directory();
    way.micro_batch = seed % 3 == 0;
    way.tiny = seed % 5 == 0;
    do {
        way.name = name;
        way.seed = seed * 1000 + attempts;
        way.workers = 1 + (uint32_t)mr_prng_below(&chance, 4);
        way.no_fusion = mr_prng_below(&chance, 2) == 0;
        way.no_two_stage = mr_prng_below(&chance, 2) == 0;
        way.kill_at = ++attempts > 12 ? 0 : 1 + mr_prng_below(&chance, UINT64_C(1) << (6 + reach));
        if (reach < 8) reach++;
        snprintf(name, sizeof name, "dying, seed %llu, attempt %u", (unsigned long long)seed,
                 attempts);
        (void)attempt(pipeline, &way, &summary, &killed);
    } while (killed);
    compare(pipeline, &way, golden);
    remove_directory(way.state_dir);
}

static void run_all_dying(uint64_t first, uint64_t count)
{
    for (unsigned p = 0; p < pipeline_count; p++) {
        struct lines golden = {.count = 0};

        if (!wanted(&pipelines[p]) || pipelines[p].ordered) continue;
        read_golden(&pipelines[p], &golden);
        if (golden.count > 1) qsort(golden.line, golden.count, sizeof *golden.line, by_text);
        for (uint64_t seed = first; seed < first + count; seed++) {
            run_dying(&pipelines[p], &golden, seed);
        }
        lines_clear(&golden);
        lines_clear(&got);
    }
}

/* Kill the process anywhere: what becomes visible is what a run without failure gives. MR_SEED=n
 * repeats a seed, MR_SEEDS=n tries so many. */
MR_TEST(pipelines, killed_at_random_turns_and_begun_again)
{
    const char *seed = getenv("MR_SEED");
    const char *count = getenv("MR_SEEDS");

    run_all_dying(seed == NULL ? 1 : strtoull(seed, NULL, 10),
                  count != NULL ? strtoull(count, NULL, 10) : seed != NULL ? 1 : 30);
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
