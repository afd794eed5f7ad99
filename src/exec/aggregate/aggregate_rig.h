/* aggregate_rig.h - for tests: aggregates of every kind over scripts of rows and control items, run
 * through the operators in several ways. What should come out: aggregate_reference.h.
 *
 * A *script* is rows and control items in order. It can be run through `whole`, through `partial`
 * and `final`, through one or several instances, and interrupted by seal and restore. The result
 * is a list of lines, one per row that came out.
 *
 * Owns:    everything; the heap of the test sees what is left behind.
 * Thread:  confined.
 * Fails:   fails the test.
 * Cost:    none that matters.
 */
#ifndef MR_EXEC_AGGREGATE_RIG_H
#define MR_EXEC_AGGREGATE_RIG_H

#include "base/prng.h"
#include "core/window.h"
#include "data/data_test_helper.h"
#include "exec/operator.h"
#include "expr/expr.h"

#define RIG_AGGREGATES 11u
#define RIG_ROWS_MAX 400u
#define RIG_STEPS_MAX 400u
#define RIG_INSTANCES_MAX 3u
#define RIG_GROUPS 64u
#define RIG_HELD_MAX 16u
#define RIG_WINDOWS_MAX 16u

/* ---- lines ---- */

struct lines {
    char **at;
    uint32_t count, room;
};

MR_UNUSED static void lines_add(struct lines *lines, const char *text)
{
    if (lines->count == lines->room) {
        lines->room = lines->room * 2 + 16;
        lines->at = realloc(lines->at, lines->room * sizeof *lines->at);
    }
    lines->at[lines->count++] = strdup(text);
}

MR_UNUSED static void lines_free(struct lines *lines)
{
    for (uint32_t i = 0; i < lines->count; i++) free(lines->at[i]);
    free(lines->at);
    *lines = (struct lines){NULL, 0, 0};
}

MR_UNUSED static int compare_lines(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

MR_UNUSED static void lines_expect_same(struct lines *actual, struct lines *expected,
                                        const char *what)
{
    qsort(actual->at, actual->count, sizeof *actual->at, compare_lines);
    qsort(expected->at, expected->count, sizeof *expected->at, compare_lines);
    for (uint32_t i = 0; i < MR_MIN(actual->count, expected->count); i++) {
        if (strcmp(actual->at[i], expected->at[i]) != 0) {
            MR_FAIL("%s: line %u of %u (expected %u)\n  is       %s\n  expected %s", what, i,
                    actual->count, expected->count, actual->at[i], expected->at[i]);
        }
    }
    if (actual->count != expected->count) {
        MR_FAIL("%s: %u lines, expected %u; the first one too many or missing: %s", what,
                actual->count, expected->count,
                actual->count > expected->count ? actual->at[expected->count]
                                                : expected->at[actual->count]);
    }
}

/* Of lines with the same first fields only the last stays: what a reader of updates has. */
MR_UNUSED static void lines_keep_last(struct lines *lines, uint32_t fields)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < lines->count; i++) {
        const char *end = lines->at[i];
        bool again = false;

        for (uint32_t f = 0; f < fields; f++) end = strchr(end, '|') + 1;
        for (uint32_t j = i + 1; j < lines->count && !again; j++) {
            again = strncmp(lines->at[i], lines->at[j], (size_t)(end - lines->at[i])) == 0;
        }
        if (again) free(lines->at[i]);
        else lines->at[kept++] = lines->at[i];
    }
    lines->count = kept;
}

/* ---- scripts ---- */

struct rig_row {
    int key; /* -1: null */
    int64_t time_us;
    int64_t split_us; /* the split's watermark before the row */
    bool null;        /* of all arguments */
    int64_t n;
    int16_t s;
    double v;
    int64_t d; /* hundredths */
    int t;
};

struct rig_step {
    enum mr_item_tag tag;
    int64_t time_us;
    uint32_t first_row, end_row; /* BATCH */
};

struct script {
    struct rig_row rows[RIG_ROWS_MAX];
    uint32_t row_count;
    struct rig_step steps[RIG_STEPS_MAX];
    uint32_t step_count;
};

/* ---- operators ---- */

struct rig {
    struct mr_data_test data;
    struct mr_heap heap; /* of the tasks */
    struct mr_arena arena;
    struct mr_node node;
    struct mr_aggregate_spec specs[RIG_AGGREGATES];
    struct mr_field key_field;
    struct mr_plan_aggregate whole_aggregates[RIG_AGGREGATES];
    struct mr_plan_op partial, final, whole;
    struct mr_bound *exprs[8];
    struct mr_schema *input, *middle, *output;
    bool keyed;
    /* how to run; set between open and run */
    bool streaming, late_by_split, two_stage, track;
    bool late_output;
    uint32_t batch_rows;
    size_t quota_bytes;
    uint32_t flush_odds; /* a flush of the partial is chosen once in so many times; 0: never */
    struct mr_prng choices;
    bool bad_fails;
    /* results of a run */
    struct lines lines;
    struct lines bad;
    struct mr_counters counters;
    enum mr_status status;
    struct mr_error err;
    uint32_t blocked;
};

/* sum of squares and count of non-nulls: order does not matter */
struct rig_user {
    int64_t count;
    int64_t squares;
};

MR_UNUSED static void user_create(void *user, void *state)
{
    (void)user;
    *(struct rig_user *)state = (struct rig_user){0, 0};
}

MR_UNUSED static enum mr_status user_add(void *user, void *state, const struct mr_row *row)
{
    struct rig_user *u = state;
    int64_t n = mr_row_int64(row, 0) % 1000;

    if (mr_row_is_null(row, 0)) return MR_OK;
    if (user != NULL && *(const int64_t *)user == mr_row_int64(row, 0)) return MR_E_USER_FUNCTION;
    u->count++;
    u->squares += n * n;
    return MR_OK;
}

MR_UNUSED static enum mr_status user_merge(void *user, void *state, const void *other)
{
    struct rig_user *u = state;
    const struct rig_user *o = other;

    (void)user;
    u->count += o->count;
    u->squares += o->squares;
    return MR_OK;
}

MR_UNUSED static enum mr_status user_result(void *user, const void *state, struct mr_emitter *out)
{
    const struct rig_user *u = state;

    (void)user;
    if (u->count > 0) mr_emit_int64(out, 0, u->squares);
    return MR_OK;
}

static const struct mr_aggregate_functions rig_functions = {
    .size = sizeof(struct mr_aggregate_functions),
    .state_bytes = sizeof(struct rig_user),
    .create = user_create,
    .add = user_add,
    .merge = user_merge,
    .result = user_result,
};

#define RIG_INPUT "k utf8, n int64, s int16, v float64, d decimal(38,2), t utf8"

static const struct {
    enum mr_aggregate_kind kind;
    uint32_t argument; /* column of the input */
    const char *result;
    const char *partial;
} rig_kinds[RIG_AGGREGATES] = {
    {MR_AGG_COUNT_ALL, 0, "rows int64", "a0 int64"},
    {MR_AGG_COUNT, 1, "count_n int64", "b0 int64"},
    {MR_AGG_SUM, 1, "sum_n int64", "c0 decimal(38,0), c1 int64"},
    {MR_AGG_AVG, 2, "avg_s float64", "d0 decimal(38,0), d1 int64"},
    {MR_AGG_MIN, 5, "min_t utf8", "e0 utf8"},
    {MR_AGG_MAX, 3, "max_v float64", "f0 float64"},
    {MR_AGG_SUM, 4, "sum_d decimal(38,2)", "g0 decimal(38,2), g1 int64"},
    {MR_AGG_SUM, 3, "sum_v float64", "h0 binary, h1 int64"},
    {MR_AGG_FIRST, 5, "first_t utf8", "i0 utf8, i1 int64"},
    {MR_AGG_LAST, 1, "last_n int64", "j0 int64, j1 int64"},
    {MR_AGG_USER, 1, "user_n int64", "l0 binary"},
};

MR_UNUSED static void rig_plans(struct rig *rig, const struct mr_window_spec *window)
{
    uint32_t keys = rig->keyed ? 1 : 0;
    uint32_t column = keys;
    struct mr_plan_op *ops[3] = {&rig->partial, &rig->final, &rig->whole};

    for (uint32_t i = 0; i < RIG_AGGREGATES; i++) {
        struct mr_plan_aggregate *a = &rig->whole_aggregates[i];
        struct mr_aggregate_spec *spec = &rig->specs[i];

        spec->kind = a->kind = rig_kinds[i].kind;
        spec->name = rig->output->fields[rig->output->column_count - RIG_AGGREGATES + i].name;
        spec->functions = &rig_functions;
        a->spec = spec;
        a->result = rig->output->fields[rig->output->column_count - RIG_AGGREGATES + i];
        if (a->kind != MR_AGG_COUNT_ALL) {
            spec->argument_count = 1;
            a->argument = rig->input->fields[rig_kinds[i].argument];
            a->argument_columns[0] = keys + rig_kinds[i].argument - 1;
        }
        a->partial_column = column;
        a->partial_columns = strchr(rig_kinds[i].partial, '1') != NULL ? 2 : 1;
        if (a->kind == MR_AGG_MAX || a->kind == MR_AGG_MIN) a->partial_columns = 1;
        column += a->partial_columns;
    }
    for (uint32_t i = 0; i < 3; i++) {
        *ops[i] = (struct mr_plan_op){.node = &rig->node,
                                      .key_count = keys,
                                      .key_fields = &rig->key_field,
                                      .window = *window,
                                      .emit_window = window->kind != MR_WINDOW_GLOBAL,
                                      .aggregate_count = RIG_AGGREGATES,
                                      .aggregates = rig->whole_aggregates,
                                      .rows_column = MR_COLUMN_NONE,
                                      .late_first_column = MR_COLUMN_NONE,
                                      .output_count = 1};
    }
    rig->partial.kind = MR_PLAN_AGGREGATE_PARTIAL;
    rig->final.kind = MR_PLAN_AGGREGATE_FINAL;
    rig->whole.kind = MR_PLAN_AGGREGATE;
    rig->partial.input = rig->whole.input = rig->input;
    rig->partial.outputs[0] = rig->final.input = rig->middle;
    rig->final.outputs[0] = rig->whole.outputs[0] = rig->output;
    rig->partial.rows_column = rig->final.rows_column = column;
    rig->partial.exprs = rig->whole.exprs = rig->exprs + (1 - keys);
    rig->partial.expr_count = rig->whole.expr_count = 5 + keys;
    if (window->kind != MR_WINDOW_GLOBAL) {
        rig->final.output_hidden = rig->whole.output_hidden = 1u << MR_HIDDEN_EVENT_TIME;
    }
}

MR_UNUSED static void rig_open(struct rig *rig, const struct mr_window_spec *window, bool keyed)
{
    static const char *const names[] = {"k", "n", "s", "v", "d", "t"};
    char text[1024] = "";
    struct mr_error err;

    memset(rig, 0, sizeof *rig);
    mr_data_test_open(&rig->data);
    mr_heap_init_child(&rig->heap, "task", SIZE_MAX, mr_test_heap());
    mr_arena_init(&rig->arena, mr_test_heap());
    rig->node.id = "by-k";
    rig->keyed = keyed;
    rig->streaming = true;
    rig->batch_rows = 4096;
    rig->quota_bytes = SIZE_MAX / 2;
    rig->input = mr_data_schema(RIG_INPUT);
    rig->key_field = rig->input->fields[0];
    if (keyed) strcat(text, "k utf8, ");
    for (uint32_t i = 0; i < RIG_AGGREGATES; i++) {
        strcat(text, rig_kinds[i].partial);
        strcat(text, ", ");
    }
    strcat(text, "rows int64");
    rig->middle = mr_data_schema(text);
    strcpy(text, window->kind == MR_WINDOW_GLOBAL
                     ? ""
                     : "window_start timestamp_ltz, window_end timestamp_ltz, ");
    if (keyed) strcat(text, "k utf8, ");
    for (uint32_t i = 0; i < RIG_AGGREGATES; i++) {
        strcat(text, rig_kinds[i].result);
        if (i + 1 < RIG_AGGREGATES) strcat(text, ", ");
    }
    rig->output = mr_data_schema(text);
    for (uint32_t i = 0; i < 6; i++) {
        MR_EXPECT_OK(mr_bind(mr_test_heap(), mr_expr_column(&rig->arena, names[i]), rig->input,
                             &rig->exprs[i], &err),
                     &err);
    }
    rig_plans(rig, window);
}

MR_UNUSED static void rig_close(struct rig *rig)
{
    for (uint32_t i = 0; i < 6; i++) mr_bound_destroy(rig->exprs[i]);
    mr_schema_release(rig->input);
    mr_schema_release(rig->middle);
    mr_schema_release(rig->output);
    mr_arena_fini(&rig->arena);
    mr_heap_fini(&rig->heap);
    mr_data_test_close(&rig->data);
    lines_free(&rig->lines);
    lines_free(&rig->bad);
}

/* One operator instance with a task of its own. */
struct rig_op {
    struct mr_operator *op;
    struct mr_task_context task;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_port port;
    struct mr_batch *held[RIG_HELD_MAX];
    uint32_t held_count;
    int64_t watermark_us;
    bool ended;
};

struct rig_run {
    struct rig *rig;
    struct rig_op first; /* the partial; op NULL: none */
    struct rig_op last[RIG_INSTANCES_MAX];
    uint32_t instances;
};

MR_UNUSED static enum mr_status rig_bad_row(void *self, struct mr_operator *op,
                                            const struct mr_batch *batch, uint32_t row,
                                            const struct mr_error *why, struct mr_error *err)
{
    struct rig *rig = self;

    (void)op;
    if (row >= batch->row_count) MR_FAIL("bad row %u of %u", row, batch->row_count);
    lines_add(&rig->bad, why->text);
    return rig->bad_fails ? mr_error_set(err, why->status, "%s", why->text) : MR_OK;
}

MR_UNUSED static uint64_t rig_pick(void *self, enum mr_choice what, uint64_t bound,
                                   uint64_t preferred)
{
    struct rig *rig = self;

    (void)what;
    (void)bound;
    if (rig->flush_odds == 0) return preferred;
    return mr_prng_below(&rig->choices, rig->flush_odds) == 0;
}

MR_UNUSED static enum mr_status rig_make(struct rig *rig, struct rig_op *at,
                                         const struct mr_plan_op *plan, uint32_t instance,
                                         uint32_t instances)
{
    memset(at, 0, sizeof *at);
    at->watermark_us = MR_TIME_MIN;
    MR_RET(mr_pool_create(&rig->heap, SIZE_MAX / 2, &at->pool, &rig->err));
    mr_quota_init(&at->quota, at->pool, "task", rig->quota_bytes);
    at->port.choose.self = rig;
    at->port.choose.pick = rig_pick;
    at->task = (struct mr_task_context){
        .heap = &rig->heap,
        .quota = &at->quota,
        .pool = at->pool,
        .port = &at->port,
        .counters = &rig->counters,
        .instance = instance,
        .instance_count = instances,
        .key_group_count = RIG_GROUPS,
        .group_first = (RIG_GROUPS * instance + instances - 1) / instances,
        .group_end = (RIG_GROUPS * (instance + 1) + instances - 1) / instances,
        .streaming = rig->streaming,
        .late_by_split = rig->late_by_split,
        .track_changes = rig->track,
        .batch_rows = rig->batch_rows,
        .bad_row = rig_bad_row,
        .bad_row_self = rig,
    };
    switch ((int)plan->kind) {
    case MR_PLAN_AGGREGATE_PARTIAL:
        return mr_partial_aggregate_create(&at->task, plan, &at->op, &rig->err);
    case MR_PLAN_AGGREGATE_FINAL:
        return mr_final_aggregate_create(&at->task, plan, &at->op, &rig->err);
    default: return mr_aggregate_create(&at->task, plan, &at->op, &rig->err);
    }
}

MR_UNUSED static void rig_let_go(struct rig_op *at)
{
    for (uint32_t i = 0; i < at->held_count; i++) mr_batch_release(at->held[i]);
    at->held_count = 0;
}

MR_UNUSED static void rig_unmake(struct rig_op *at)
{
    if (at->op != NULL) at->op->ops->close(at->op);
    rig_let_go(at);
    if (at->pool != NULL) mr_pool_destroy(at->pool);
    at->op = NULL;
    at->pool = NULL;
}

MR_UNUSED static void rig_put(struct rig_run *run, struct rig_op *at, const struct mr_item *item);

/* The rows of a batch for each instance, by key group. */
MR_UNUSED static void rig_scatter(struct rig_run *run, struct mr_batch *batch)
{
    uint32_t rows[RIG_ROWS_MAX];
    uint64_t hash = 0;

    if (run->instances == 1) {
        rig_put(run, &run->last[0], &(struct mr_item){.tag = MR_ITEM_BATCH, .batch = batch});
        return;
    }
    for (uint32_t i = 0; i < run->instances; i++) {
        const struct mr_task_context *task = &run->last[i].task;
        struct mr_batch *part;
        uint32_t count = 0;

        for (uint32_t r = 0; r < batch->row_count; r++) {
            uint32_t element = mr_batch_at(batch, r);
            uint32_t group;

            mr_column_hash(&batch->columns[0], &element, 1, &hash);
            group = mr_key_group(hash, RIG_GROUPS);
            if (group >= task->group_first && group < task->group_end) rows[count++] = r;
        }
        if (count == 0) continue;
        part = mr_batch_select(&run->rig->data.quota, batch, rows, count);
        MR_EXPECT(part != NULL);
        rig_put(run, &run->last[i], &(struct mr_item){.tag = MR_ITEM_BATCH, .batch = part});
    }
    mr_batch_release(batch);
}

MR_UNUSED static void rig_note(struct rig *rig, const struct mr_item *item)
{
    const char *text = mr_data_print_hidden(item->batch, 0);

    if (item->batch->row_count == 0) MR_FAIL("an empty batch came out");
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        char line[1024];

        (void)snprintf(line, sizeof line, "%s%.*s", item->input == 1 ? "late|" : "", (int)size,
                       text);
        lines_add(&rig->lines, line);
        text += size + 1;
    }
}

MR_UNUSED static void rig_check_times(const struct mr_item *item, const struct rig *rig)
{
    if (item->input != 0 || rig->whole.output_hidden == 0) return;
    for (uint32_t i = 0; i < item->batch->row_count; i++) {
        int64_t end_us = mr_column_int64(&item->batch->columns[1], mr_batch_at(item->batch, i));

        MR_EXPECT_EQ_INT(mr_batch_event_time(item->batch, i), end_us - 1);
    }
}

MR_UNUSED static void rig_drain(struct rig_run *run, struct rig_op *at)
{
    struct rig *rig = run->rig;

    while (rig->status == MR_OK) {
        struct mr_item item = {.batch = NULL};
        enum mr_flow flow = MR_FLOW_NEED_INPUT;

        rig->status = at->op->ops->next(at->op, &item, &flow, &rig->err);
        if (rig->status != MR_OK) return;
        if (flow == MR_FLOW_NEED_INPUT || flow == MR_FLOW_DONE) {
            MR_EXPECT_EQ_INT(flow == MR_FLOW_DONE, at->ended);
            return;
        }
        if (flow == MR_FLOW_BLOCKED) {
            if (at->held_count == 0) MR_FAIL("blocked, and nobody holds anything");
            rig->blocked++;
            rig_let_go(at);
            continue;
        }
        MR_EXPECT(!at->ended);
        if (item.tag == MR_ITEM_WATERMARK) {
            MR_EXPECT(item.time_us >= at->watermark_us);
            at->watermark_us = item.time_us;
        }
        if (item.tag == MR_ITEM_END) at->ended = true;
        if (item.tag == MR_ITEM_BATCH && (at != &run->first || item.input == 1)) {
            rig_note(rig, &item);
            rig_check_times(&item, rig);
            if (at->held_count == RIG_HELD_MAX) rig_let_go(at);
            at->held[at->held_count++] = item.batch;
        } else if (at == &run->first && item.tag == MR_ITEM_BATCH) {
            rig_scatter(run, item.batch);
        } else if (at == &run->first) {
            for (uint32_t i = 0; i < run->instances; i++) rig_put(run, &run->last[i], &item);
        }
    }
}

MR_UNUSED static void rig_put(struct rig_run *run, struct rig_op *at, const struct mr_item *item)
{
    if (run->rig->status != MR_OK) {
        mr_batch_release(item->batch);
        return;
    }
    run->rig->status = at->op->ops->put(at->op, item, &run->rig->err);
    rig_drain(run, at);
}

MR_UNUSED static const char *rig_key(int key)
{
    static char text[64];

    if (key < 0) return "NULL";
    (void)snprintf(text, sizeof text, key % 3 == 0 ? "a-key-longer-than-a-view-%d" : "k%d", key);
    return text;
}

MR_UNUSED static const char *rig_text(int t)
{
    static char text[64];

    (void)snprintf(text, sizeof text, t % 2 == 0 ? "text-number-%d-of-many" : "t%d", t);
    return text;
}

MR_UNUSED static struct mr_batch *rig_batch(struct rig *rig, const struct rig_row *rows,
                                            uint32_t count)
{
    struct mr_data_printer p = {NULL, 0, 0};
    int64_t times[RIG_ROWS_MAX];
    int64_t splits[RIG_ROWS_MAX];
    struct mr_batch *batch;

    for (uint32_t i = 0; i < count; i++) {
        char line[256];

        if (rows[i].null) {
            (void)snprintf(line, sizeof line, "%s|NULL|NULL|NULL|NULL|NULL\n",
                           rig_key(rows[i].key));
        } else {
            int at = snprintf(line, sizeof line, "%s|%lld|%d|%.17g|", rig_key(rows[i].key),
                              (long long)rows[i].n, rows[i].s, rows[i].v);
            long long d = rows[i].d;

            (void)snprintf(line + at, sizeof line - (size_t)at, "%s%lld.%02lld|%s\n",
                           d < 0 ? "-" : "", llabs(d) / 100, llabs(d) % 100, rig_text(rows[i].t));
        }
        mr_data_put(&p, line, strlen(line));
        times[i] = rows[i].time_us;
        splits[i] = rows[i].split_us;
    }
    batch = mr_data_batch(&rig->data.quota, rig->input, p.data);
    free(p.data);
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, times);
    if (rig->late_by_split) mr_data_hide(batch, MR_HIDDEN_SPLIT_WATERMARK, splits);
    return batch;
}

MR_UNUSED static void rig_start(struct rig_run *run, struct rig *rig, uint32_t instances)
{
    memset(run, 0, sizeof *run);
    run->rig = rig;
    run->instances = instances;
    rig->partial.late_by_split = rig->whole.late_by_split = rig->late_by_split;
    rig->final.late_by_split = rig->late_by_split;
    rig->whole.output_count = rig->partial.output_count = rig->late_output ? 2 : 1;
    rig->whole.late_first_column = rig->late_output ? 0 : MR_COLUMN_NONE;
    rig->whole.outputs[1] = rig->partial.outputs[1] = rig->input;
    if (rig->two_stage) rig->status = rig_make(rig, &run->first, &rig->partial, 0, 1);
    for (uint32_t i = 0; i < instances && rig->status == MR_OK; i++) {
        rig->status = rig_make(rig, &run->last[i], rig->two_stage ? &rig->final : &rig->whole, i,
                               instances);
    }
}

MR_UNUSED static void rig_stop(struct rig_run *run)
{
    for (uint32_t i = 0; i < run->instances; i++) rig_unmake(&run->last[i]);
    rig_unmake(&run->first); /* last: the others may hold its batches */
}

MR_UNUSED static void rig_steps(struct rig_run *run, const struct script *script, uint32_t first,
                                uint32_t end)
{
    for (uint32_t i = first; i < end && run->rig->status == MR_OK; i++) {
        const struct rig_step *step = &script->steps[i];
        struct mr_item item = {.tag = step->tag, .time_us = step->time_us, .epoch = i};

        if (step->tag == MR_ITEM_BATCH) {
            item.batch = rig_batch(run->rig, &script->rows[step->first_row],
                                   step->end_row - step->first_row);
            if (run->first.op != NULL) rig_put(run, &run->first, &item);
            else rig_scatter(run, item.batch);
        } else if (run->first.op != NULL) {
            rig_put(run, &run->first, &item);
        } else {
            for (uint32_t k = 0; k < run->instances; k++) rig_put(run, &run->last[k], &item);
        }
    }
}

MR_UNUSED static void rig_reset(struct rig *rig)
{
    lines_free(&rig->lines);
    lines_free(&rig->bad);
    memset(&rig->counters, 0, sizeof rig->counters);
    rig->status = MR_OK;
    rig->blocked = 0;
}

MR_UNUSED static void rig_run(struct rig *rig, const struct script *script, uint32_t instances)
{
    struct rig_run run;

    rig_reset(rig);
    rig_start(&run, rig, instances);
    rig_steps(&run, script, 0, script->step_count);
    rig_stop(&run);
}

MR_UNUSED static uint64_t rig_counter(struct rig *rig, enum mr_counter counter)
{
    return rig->counters.value[counter];
}

/* ---- seal and restore ---- */

struct rig_entries {
    struct mr_entry *at;
    uint32_t count, room;
};

MR_UNUSED static char *copy_bytes(struct mr_bytes bytes)
{
    char *copy = malloc(bytes.size_bytes + 1);

    if (bytes.size_bytes > 0) memcpy(copy, bytes.data, bytes.size_bytes);
    return copy;
}

MR_UNUSED static enum mr_status rig_yield(void *self, const struct mr_entry *entry,
                                          struct mr_error *err)
{
    struct rig_entries *entries = self;
    struct mr_entry copy = *entry;

    (void)err;
    copy.state_name = strdup(entry->state_name != NULL ? entry->state_name : "");
    copy.key.data = copy_bytes(entry->key);
    copy.value.data = copy_bytes(entry->value);
    if (entries->count == entries->room) {
        entries->room = entries->room * 2 + 16;
        entries->at = realloc(entries->at, entries->room * sizeof *entries->at);
    }
    entries->at[entries->count++] = copy;
    return MR_OK;
}

MR_UNUSED static void rig_entries_free(struct rig_entries *entries)
{
    for (uint32_t i = 0; i < entries->count; i++) {
        free((void *)(uintptr_t)entries->at[i].state_name);
        free((void *)(uintptr_t)entries->at[i].key.data);
        free((void *)(uintptr_t)entries->at[i].value.data);
    }
    free(entries->at);
    *entries = (struct rig_entries){NULL, 0, 0};
}

MR_UNUSED static void rig_seal(struct rig_run *run, bool full, struct rig_entries *entries)
{
    for (uint32_t i = 0; i < run->instances && run->rig->status == MR_OK; i++) {
        struct mr_operator *op = run->last[i].op;

        run->rig->status = op->ops->seal(op, full, rig_yield, entries, &run->rig->err);
    }
}

MR_UNUSED static void rig_restore(struct rig_run *run, const struct rig_entries *entries)
{
    for (uint32_t i = 0; i < run->instances; i++) {
        struct mr_operator *op = run->last[i].op;

        for (uint32_t k = 0; k < entries->count && run->rig->status == MR_OK; k++) {
            run->rig->status = op->ops->restore(op, &entries->at[k], &run->rig->err);
        }
        if (run->rig->status == MR_OK) {
            run->rig->status = op->ops->restored(op, &run->rig->err);
        }
    }
}

#endif
