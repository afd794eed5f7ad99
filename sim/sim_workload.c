#include "sim_workload.h"

#include "base/assert.h"
#include "sim_files.h"
#include "sim_timers.h"
#include "sim_world.h"

#include <stdlib.h>
#include <string.h>

enum { SINK_MAIN, SINK_LATE };

/* ---- what jobs are made of ---- */

static struct mr_stream *read_rows(struct sim_world *world, struct mr_job *job)
{
    struct mr_source source;
    struct mr_error err = {.status = MR_OK};

    if (sim_source(job->heap, world, &source, &err) != MR_OK) {
        mri_job_fail(job, &err);
        return NULL;
    }
    return mri_add_source(job, &source, "rows", false, 0);
}

static struct mr_stream *read_timed(struct sim_world *world, struct mr_job *job)
{
    return mr_assign_event_time(read_rows(world, job), mr_col(job, "ts"), world->rows.delay_us, 0);
}

static void write_to(struct sim_world *world, struct mr_stream *in, uint32_t sink, const char *id)
{
    struct mr_sink made;
    struct mr_error err = {.status = MR_OK};

    if (in == NULL) return;
    if (sim_ledger_sink(in->job->heap, world, sink, &made, &err) != MR_OK) {
        mri_job_fail(in->job, &err);
        return;
    }
    mri_add_sink(in, &made, id, NULL);
}

static struct mr_stream *by_key(struct mr_stream *in)
{
    return mr_key_by_columns(in, (const char *const[]){"key"}, 1);
}

/* count(*) and sum(value) of each group. */
static struct mr_stream *totals(struct mr_job *job, struct mr_stream *in, const char *id)
{
    const struct mr_aggregate aggregates[] = {
        {.name = "n", .function = "count"},
        {.name = "sum", .function = "sum", .argument = mr_col(job, "value")}};

    return mr_set_id(mr_aggregate(in, aggregates, 2), id);
}

static void build_windows(struct sim_world *world, struct mr_job *job, struct mr_stream *in)
{
    in = totals(job, in, "totals");
    write_to(world, in, SINK_MAIN, "out");
    write_to(world, in == NULL ? NULL : mr_late_output(in), SINK_LATE, "late");
}

/* ---- what oracles are made of ---- */

struct judged { /* a row and the watermark of its split when it came */
    struct sim_row row;
    int64_t watermark_us;
};

static struct judged *all_rows(const struct sim_world *world, uint64_t *out_count)
{
    const struct sim_rows *rows = &world->rows;
    struct judged *all = malloc(rows->splits * rows->per_split * sizeof *all);
    uint64_t count = 0;

    mr_assert(all != NULL);
    for (uint32_t split = 0; split < rows->splits; split++) {
        int64_t max_us = INT64_MIN / 2;

        for (uint64_t seq = 0; seq < rows->per_split; seq++) {
            struct judged *at = &all[count++];

            at->row = sim_row(rows, split, seq);
            max_us = MR_MAX(max_us, at->row.v[SIM_COLUMN_TS]);
            at->watermark_us = max_us - rows->delay_us;
        }
    }
    *out_count = count;
    return all;
}

static void expect(struct sim_check *check, uint32_t sink, const int64_t *values, uint32_t count)
{
    struct sim_record record;

    memset(&record, 0, sizeof record);
    record.sink = sink;
    record.count = count;
    memcpy(record.v, values, count * sizeof *values);
    sim_check_expect(check, &record);
}

/* A row in a window, to be sorted: equal (key, start) is one group. */
struct member {
    int64_t key, start_us, value;
};

static int by_group(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    if (x->start_us != y->start_us) return x->start_us < y->start_us ? -1 : 1;
    return 0;
}

static int64_t floor_to(int64_t us, int64_t step)
{
    int64_t rest = us % step;

    return us - (rest < 0 ? rest + step : rest);
}

struct members {
    struct member *items;
    uint64_t count, room;
};

static void member_add(struct members *members, struct member member)
{
    if (members->count == members->room) {
        members->room = MR_MAX(2 * members->room, UINT64_C(4096));
        members->items = realloc(members->items, members->room * sizeof member);
        mr_assert(members->items != NULL);
    }
    members->items[members->count++] = member;
}

static void expect_groups(struct members *members, int64_t size_us, struct sim_check *check)
{
    if (members->count > 0) {
        qsort(members->items, members->count, sizeof *members->items, by_group);
    }
    for (uint64_t i = 0, j; i < members->count; i = j) {
        const struct member *first = &members->items[i];
        int64_t sum = 0;

        for (j = i; j < members->count && by_group(first, &members->items[j]) == 0; j++) {
            sum += members->items[j].value;
        }
        if (size_us == 0) { /* no windows */
            expect(check, SINK_MAIN, (int64_t[]){first->key, (int64_t)(j - i), sum}, 3);
        } else {
            expect(check, SINK_MAIN,
                   (int64_t[]){first->start_us, first->start_us + size_us, first->key,
                               (int64_t)(j - i), sum},
                   5);
        }
    }
    free(members->items);
}

/* Every window [start, start + size) that holds the row's time and has not fired for its split. */
static void expect_windows(const struct sim_world *world, int64_t size_us, int64_t slide_us,
                           struct sim_check *check)
{
    struct members members = {.count = 0};
    uint64_t count;
    struct judged *all = all_rows(world, &count);

    for (uint64_t i = 0; i < count; i++) {
        const int64_t *v = all[i].row.v;
        int64_t ts = v[SIM_COLUMN_TS];
        uint32_t windows = 0, in = 0;

        for (int64_t start = floor_to(ts, slide_us); start > ts - size_us; start -= slide_us) {
            windows++;
            if (all[i].watermark_us >= start + size_us) continue;
            in++;
            member_add(&members, (struct member){v[SIM_COLUMN_KEY], start, v[SIM_COLUMN_VALUE]});
        }
        if (in == 0 && windows > 0) expect(check, SINK_LATE, v, SIM_COLUMNS);
    }
    free(all);
    expect_groups(&members, size_us, check);
}

/* ---- rows as they are, some left out ---- */

#define KEPT_BELOW 900

static void build_rows(struct sim_world *world, struct mr_job *job)
{
    struct mr_stream *in = read_rows(world, job);

    in = mr_filter(in, mr_call2(job, "<", mr_col(job, "value"), mr_int(job, KEPT_BELOW)));
    write_to(world, in, SINK_MAIN, "out");
}

static void expect_rows(const struct sim_world *world, struct sim_check *check)
{
    for (uint32_t split = 0; split < world->rows.splits; split++) {
        for (uint64_t seq = 0; seq < world->rows.per_split; seq++) {
            struct sim_row row = sim_row(&world->rows, split, seq);

            if (row.v[SIM_COLUMN_VALUE] >= KEPT_BELOW) continue;
            expect(check, SINK_MAIN, row.v, SIM_COLUMNS);
        }
    }
}

/* ---- counts per key over everything ---- */

static void build_counts(struct sim_world *world, struct mr_job *job)
{
    write_to(world, totals(job, by_key(read_rows(world, job)), "totals"), SINK_MAIN, "out");
}

static void expect_counts(const struct sim_world *world, struct sim_check *check)
{
    struct members members = {.count = 0};
    uint64_t count;
    struct judged *all = all_rows(world, &count);

    for (uint64_t i = 0; i < count; i++) {
        const int64_t *v = all[i].row.v;

        member_add(&members, (struct member){v[SIM_COLUMN_KEY], 0, v[SIM_COLUMN_VALUE]});
    }
    free(all);
    expect_groups(&members, 0, check);
}

/* ---- windows ---- */

static void build_tumbling(struct sim_world *world, struct mr_job *job)
{
    build_windows(world, job,
                  mr_window_tumbling(by_key(read_timed(world, job)), world->knobs.window_us));
}

static void expect_tumbling(const struct sim_world *world, struct sim_check *check)
{
    expect_windows(world, world->knobs.window_us, world->knobs.window_us, check);
}

static void build_hopping(struct sim_world *world, struct mr_job *job)
{
    build_windows(world, job,
                  mr_window_hopping(by_key(read_timed(world, job)), world->knobs.window_us,
                                    world->knobs.slide_us));
}

static void expect_hopping(const struct sim_world *world, struct sim_check *check)
{
    expect_windows(world, world->knobs.window_us, world->knobs.slide_us, check);
}

/* ---- sessions ---- */

static void build_sessions(struct sim_world *world, struct mr_job *job)
{
    build_windows(world, job,
                  mr_window_session(by_key(read_timed(world, job)), world->knobs.window_us, false));
}

/* Rows less than a gap apart; a row that is later than its own gap for its split is late. */
static void expect_sessions(const struct sim_world *world, struct sim_check *check)
{
    int64_t gap_us = world->knobs.window_us;
    struct members members = {.count = 0};
    uint64_t count;
    struct judged *all = all_rows(world, &count);

    for (uint64_t i = 0; i < count; i++) {
        const int64_t *v = all[i].row.v;

        if (all[i].watermark_us >= v[SIM_COLUMN_TS] + gap_us) {
            expect(check, SINK_LATE, v, SIM_COLUMNS);
        } else {
            member_add(&members, (struct member){v[SIM_COLUMN_KEY], v[SIM_COLUMN_TS],
                                                 v[SIM_COLUMN_VALUE]});
        }
    }
    free(all);
    if (members.count > 0) {
        qsort(members.items, members.count, sizeof *members.items, by_group);
    }
    for (uint64_t i = 0, j; i < members.count; i = j) {
        const struct member *first = &members.items[i];
        int64_t sum = first->value, end_us = first->start_us + gap_us;

        for (j = i + 1; j < members.count && members.items[j].key == first->key &&
                        members.items[j].start_us < end_us;
             j++) {
            sum += members.items[j].value;
            end_us = members.items[j].start_us + gap_us;
        }
        expect(check, SINK_MAIN,
               (int64_t[]){first->start_us, end_us, first->key, (int64_t)(j - i), sum}, 5);
    }
    free(members.items);
}

/* ---- timers ---- */

static void build_timers(struct sim_world *world, struct mr_job *job)
{
    struct mr_stream *in = by_key(read_timed(world, job));

    write_to(world, in == NULL ? NULL : sim_timers(world, in), SINK_MAIN, "out");
}

static int by_group_and_value(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = by_group(a, b);

    if (order != 0 || x->value == y->value) return order;
    return x->value < y->value ? -1 : 1;
}

/* Per key and bucket: rows, sum, distinct values. */
static void expect_timers(const struct sim_world *world, struct sim_check *check)
{
    struct members members = {.count = 0};
    uint64_t count;
    struct judged *all = all_rows(world, &count);

    for (uint64_t i = 0; i < count; i++) {
        const int64_t *v = all[i].row.v;

        member_add(&members,
                   (struct member){v[SIM_COLUMN_KEY],
                                   floor_to(v[SIM_COLUMN_TS], world->knobs.window_us),
                                   v[SIM_COLUMN_VALUE]});
    }
    free(all);
    if (members.count > 0) {
        qsort(members.items, members.count, sizeof *members.items, by_group_and_value);
    }
    for (uint64_t i = 0, j; i < members.count; i = j) {
        const struct member *first = &members.items[i];
        int64_t sum = 0, values = 0;

        for (j = i; j < members.count && by_group(first, &members.items[j]) == 0; j++) {
            values += j == i || members.items[j].value != members.items[j - 1].value;
            sum += members.items[j].value;
        }
        expect(check, SINK_MAIN,
               (int64_t[]){first->start_us, first->key, (int64_t)(j - i), sum, values}, 5);
    }
    free(members.items);
}

/* ---- rows into files ---- */

static void *plain_alloc(void *self, size_t size_bytes)
{
    (void)self;
    return malloc(size_bytes);
}

static void plain_free(void *self, void *memory, size_t size_bytes)
{
    (void)self;
    (void)size_bytes;
    free(memory);
}

static bool files_there(void)
{
    struct mr_format_options options = {.path = SIM_OUTPUT_DIR "/", .format = MR_FORMAT_CSV};
    struct mr_heap heap;
    struct mr_sink sink;
    bool there;

    mr_heap_init(&heap, "probe", (size_t)1 << 20, plain_alloc, plain_free, NULL);
    if (mr_format_sink(&heap, &options, &sink, NULL) != MR_OK) return false;
    there = sink.ops->prepare != NULL;
    sink.ops->destroy(sink.spec);
    return there;
}

static void build_files(struct sim_world *world, struct mr_job *job, const char *path)
{
    struct mr_stream *in = read_rows(world, job);
    const struct mr_write_options options = {
        .size = sizeof options, .path = path, .format = MR_OUTPUT_CSV};
    const struct mr_named columns[SIM_COLUMNS] = {
        {"split", mr_col(job, "split")}, {"seq", mr_col(job, "seq")},
        {"key", mr_col(job, "key")},     {"value", mr_col(job, "value")},
        {"ts", mr_col(job, "seq")}}; /* numbers only: times are text in files */

    in = mr_filter(in, mr_call2(job, "<", mr_col(job, "value"), mr_int(job, KEPT_BELOW)));
    mr_write(mr_project(in, columns, SIM_COLUMNS), &options);
}

static void build_folder(struct sim_world *world, struct mr_job *job)
{
    build_files(world, job, SIM_OUTPUT_DIR "/");
}

static void build_file(struct sim_world *world, struct mr_job *job)
{
    build_files(world, job, SIM_OUTPUT_DIR "/rows.csv");
}

static void expect_files(const struct sim_world *world, struct sim_check *check)
{
    for (uint32_t split = 0; split < world->rows.splits; split++) {
        for (uint64_t seq = 0; seq < world->rows.per_split; seq++) {
            struct sim_row row = sim_row(&world->rows, split, seq);

            if (row.v[SIM_COLUMN_VALUE] >= KEPT_BELOW) continue;
            row.v[SIM_COLUMN_TS] = row.v[SIM_COLUMN_SEQ];
            expect(check, SINK_MAIN, row.v, SIM_COLUMNS);
        }
    }
}

static bool always(void)
{
    return true;
}

const struct sim_workload sim_workloads[] = {
    {.name = "rows", .ordered = true, .there = always, .build = build_rows, .expect = expect_rows},
    {.name = "counts", .there = always, .build = build_counts, .expect = expect_counts},
    {.name = "tumbling", .there = always, .build = build_tumbling, .expect = expect_tumbling},
    {.name = "hopping", .there = always, .build = build_hopping, .expect = expect_hopping},
    {.name = "sessions", .there = always, .build = build_sessions, .expect = expect_sessions},
    {.name = "timers", .in_time = true, .there = always, .build = build_timers,
     .expect = expect_timers},
    {.name = "folder", .there = files_there, .build = build_folder, .expect = expect_files},
    {.name = "file", .folder = true, .there = files_there, .build = build_file,
     .expect = expect_files},
};
const uint32_t sim_workload_count = MR_COUNT(sim_workloads);
