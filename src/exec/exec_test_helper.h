/* exec_test_helper.h - for tests: one operator between a hand that puts and one that holds.
 *
 *     struct xt t;
 *     xt_open(&t, MR_PLAN_FILTER, "a int64", "a int64");
 *     xt_expr(&t, mr_expr_call(...));
 *     xt_begin(&t);
 *     xt_rows(&t, "1\n2\n");
 *     xt_control(&t, MR_ITEM_END, 0);
 *     MR_EXPECT_EQ_STR(xt_text(&t), "2\nend\n");
 *     xt_end(&t);
 *     xt_close(&t);
 *
 * Outputs are collected as text, one line per row or control item; rows of output n > 0 begin with
 * "n> ". Output batches are held, as a consumer would, until the operator is blocked: then all are
 * let go. Blocked with nothing held is a failure: nobody could help.
 *
 * Owns:    everything between open and close; begin and end frame the operator's own life.
 * Thread:  confined.
 * Fails:   fails the test, except that the operator's own status is kept in t.status: later puts do
 *          nothing then.
 * Cost:    none that matters.
 */
#ifndef MR_EXEC_TEST_HELPER_H
#define MR_EXEC_TEST_HELPER_H

#include "data/data_test_helper.h"
#include "exec/operator.h"
#include "expr/expr.h"

#define XT_HELD_MAX 256u

struct xt {
    struct mr_data_test data; /* of input batches */
    struct mr_heap heap;      /* the task's: for torture */
    struct mr_pool *pool;
    struct mr_quota quota;
    size_t quota_bytes; /* set between open and begin */
    struct mr_counters counters;
    struct mr_port port;
    struct mr_arena arena; /* of expressions */
    struct mr_node node;
    struct mr_plan_op plan;
    struct mr_bound *exprs[8];
    bool descending[8];
    struct mr_task_context task;
    struct mr_operator *op;
    enum mr_status status;
    struct mr_error err;
    bool fail_bad; /* bad rows end the job */
    struct mr_data_printer out;
    struct mr_data_printer bad;
    uint32_t print_hidden;
    struct mr_batch *held[XT_HELD_MAX];
    uint32_t held_count;
    uint32_t blocked_count;
    uint32_t batch_count;
    bool done;
};

MR_UNUSED static enum mr_status xt_bad_row(void *self, struct mr_operator *op,
                                           const struct mr_batch *batch, uint32_t row,
                                           const struct mr_error *why, struct mr_error *err)
{
    struct xt *t = self;
    char line[MR_ERROR_TEXT_BYTES + 64];
    int size;

    if (op != t->op) MR_FAIL("another operator's bad row");
    if (row >= batch->row_count) MR_FAIL("bad row %u of %u", row, batch->row_count);
    size = snprintf(line, sizeof line, "%lld: %s: %s\n",
                    batch->origin.known ? (long long)mr_batch_source_row(batch, row) : -1LL,
                    mr_status_name(why->status), why->text);
    mr_data_put(&t->bad, line, (size_t)size);
    return t->fail_bad ? mr_error_set(err, why->status, "%s", why->text) : MR_OK;
}

MR_UNUSED static void xt_open(struct xt *t, enum mr_plan_op_kind kind, const char *input,
                              const char *output)
{
    memset(t, 0, sizeof *t);
    mr_data_test_open(&t->data);
    mr_heap_init_child(&t->heap, "task", SIZE_MAX, mr_test_heap());
    mr_arena_init(&t->arena, mr_test_heap());
    t->quota_bytes = SIZE_MAX / 2;
    t->node.id = "it";
    t->plan.kind = kind;
    t->plan.node = &t->node;
    t->plan.input = mr_data_schema(input);
    t->plan.output_count = 1;
    t->plan.outputs[0] = mr_data_schema(output);
    t->plan.exprs = t->exprs;
    t->plan.descending = t->descending;
    t->plan.limit = UINT64_MAX;
    t->task = (struct mr_task_context){
        .heap = &t->heap,
        .quota = &t->quota,
        .port = &t->port,
        .counters = &t->counters,
        .instance_count = 1,
        .key_group_count = 1024,
        .group_end = 1024,
        .streaming = true,
        .batch_rows = 4096,
        .bad_row = xt_bad_row,
        .bad_row_self = t,
    };
}

MR_UNUSED static void xt_expr(struct xt *t, struct mr_expr *expr)
{
    struct mr_error err;

    MR_EXPECT_OK(mr_bind(mr_test_heap(), expr, t->plan.input, &t->exprs[t->plan.expr_count], &err),
                 &err);
    t->plan.expr_count++;
}

MR_UNUSED static struct mr_expr *xt_column(struct xt *t, const char *name)
{
    return mr_expr_column(&t->arena, name);
}

MR_UNUSED static struct mr_expr *xt_int(struct xt *t, int64_t value)
{
    return mr_expr_int64(&t->arena, value);
}

MR_UNUSED static struct mr_expr *xt_call(struct xt *t, enum mr_op op, struct mr_expr *left,
                                         struct mr_expr *right)
{
    struct mr_expr *arguments[2] = {left, right};

    return mr_expr_call(&t->arena, op, arguments, 2);
}

MR_UNUSED static void xt_clear(struct xt *t)
{
    t->out.size = t->bad.size = 0;
    mr_data_put(&t->out, "", 0);
    mr_data_put(&t->bad, "", 0);
}

MR_UNUSED static const char *xt_text(struct xt *t)
{
    return t->out.data;
}

MR_UNUSED static const char *xt_bad(struct xt *t)
{
    return t->bad.data;
}

/* Makes the operator; in t.status whether it worked. */
MR_UNUSED static void xt_begin(struct xt *t)
{
    t->op = NULL;
    t->pool = NULL;
    t->done = false;
    t->blocked_count = t->batch_count = 0;
    xt_clear(t);
    t->status = mr_pool_create(&t->heap, SIZE_MAX / 2, &t->pool, &t->err);
    if (t->status != MR_OK) return;
    mr_quota_init(&t->quota, t->pool, "task", t->quota_bytes);
    t->task.pool = t->pool;
    t->status = mr_operator_create(&t->task, &t->plan, &t->op, &t->err);
}

MR_UNUSED static void xt_release(struct xt *t)
{
    for (uint32_t i = 0; i < t->held_count; i++) mr_batch_release(t->held[i]);
    t->held_count = 0;
}

MR_UNUSED static void xt_end(struct xt *t)
{
    mr_operator_close(t->op);
    t->op = NULL;
    xt_release(t);
    if (t->pool != NULL) mr_pool_destroy(t->pool);
    t->pool = NULL;
}

MR_UNUSED static void xt_close(struct xt *t)
{
    for (uint32_t i = 0; i < t->plan.expr_count; i++) mr_bound_destroy(t->exprs[i]);
    for (uint32_t i = 0; i < t->plan.output_count; i++) mr_schema_release(t->plan.outputs[i]);
    mr_schema_release(t->plan.input);
    mr_arena_fini(&t->arena);
    mr_heap_fini(&t->heap);
    mr_data_test_close(&t->data);
    free(t->out.data);
    free(t->bad.data);
}

MR_UNUSED static void xt_note(struct xt *t, uint32_t output, const char *line, size_t size_bytes)
{
    char head[16];

    if (output > 0) {
        (void)snprintf(head, sizeof head, "%u> ", output);
        mr_data_put(&t->out, head, strlen(head));
    }
    mr_data_put(&t->out, line, size_bytes);
}

MR_UNUSED static void xt_note_batch(struct xt *t, uint32_t output, struct mr_batch *batch)
{
    const char *text = mr_data_print_hidden(batch, t->print_hidden);

    if (batch->row_count == 0) MR_FAIL("an empty batch came out");
    while (*text != '\0') {
        size_t size = strcspn(text, "\n") + 1;

        xt_note(t, output, text, size);
        text += size;
    }
}

MR_UNUSED static void xt_note_item(struct xt *t, const struct mr_item *item)
{
    static const struct {
        enum mr_item_tag tag;
        const char *name;
    } names[] = {{MR_ITEM_WATERMARK, "watermark"},    {MR_ITEM_IDLE, "idle"},
                 {MR_ITEM_BARRIER, "barrier"},        {MR_ITEM_END, "end"},
                 {MR_ITEM_SPLITS_PENDING, "pending"}, {MR_ITEM_SPLIT_OPEN, "open"},
                 {MR_ITEM_SPLIT_CLOSE, "close"},      {MR_ITEM_TICK, "tick"}};
    char line[64];
    const char *name = "?";

    for (size_t i = 0; i < MR_COUNT(names); i++) {
        if (names[i].tag == item->tag) name = names[i].name;
    }
    if (item->tag == MR_ITEM_WATERMARK && item->time_us == MR_TIME_MIN) {
        (void)snprintf(line, sizeof line, "watermark min\n");
    } else if (item->tag == MR_ITEM_WATERMARK && item->time_us == MR_TIME_MAX) {
        (void)snprintf(line, sizeof line, "watermark max\n");
    } else if (item->tag == MR_ITEM_WATERMARK) {
        (void)snprintf(line, sizeof line, "watermark %lld\n", (long long)item->time_us);
    } else {
        (void)snprintf(line, sizeof line, "%s\n", name);
    }
    xt_note(t, item->input, line, strlen(line));
}

/* Takes what comes out until the operator needs input. */
MR_UNUSED static void xt_drain(struct xt *t)
{
    while (t->status == MR_OK) {
        struct mr_item item = {.batch = NULL};
        enum mr_flow flow = MR_FLOW_NEED_INPUT;

        t->status = t->op->ops->next(t->op, &item, &flow, &t->err);
        if (t->status != MR_OK) return;
        switch (flow) {
        case MR_FLOW_NEED_INPUT: return;
        case MR_FLOW_DONE: t->done = true; return;
        case MR_FLOW_BLOCKED:
            if (t->held_count == 0) MR_FAIL("blocked, and nobody holds anything");
            t->blocked_count++;
            xt_release(t);
            break;
        case MR_FLOW_HAVE_OUTPUT:
            if (item.tag == MR_ITEM_BATCH) {
                xt_note_batch(t, item.input, item.batch);
                if (t->held_count == XT_HELD_MAX) xt_release(t);
                t->held[t->held_count++] = item.batch;
                t->batch_count++;
            } else {
                xt_note_item(t, &item);
            }
        }
    }
}

MR_UNUSED static void xt_put(struct xt *t, const struct mr_item *item)
{
    if (t->status != MR_OK) {
        mr_batch_release(item->batch);
        return;
    }
    t->status = t->op->ops->put(t->op, item, &t->err);
    xt_drain(t);
}

MR_UNUSED static void xt_batch(struct xt *t, struct mr_batch *batch)
{
    xt_put(t, &(struct mr_item){.tag = MR_ITEM_BATCH, .batch = batch});
}

MR_UNUSED static void xt_rows(struct xt *t, const char *rows)
{
    xt_batch(t, mr_data_batch(&t->data.quota, t->plan.input, rows));
}

/* The rows as batches of at most `cut` rows. */
MR_UNUSED static void xt_rows_cut(struct xt *t, const char *rows, uint32_t cut)
{
    while (*rows != '\0') {
        const char *end = rows;
        char *piece;

        for (uint32_t i = 0; i < cut && *end != '\0'; i++) end = strchr(end, '\n') + 1;
        piece = strndup(rows, (size_t)(end - rows));
        xt_rows(t, piece);
        free(piece);
        rows = end;
    }
}

/* Rows with an origin: split, and the number of the first row in it. */
MR_UNUSED static void xt_rows_of(struct xt *t, uint32_t split, uint64_t first_row, const char *rows)
{
    struct mr_batch *batch = mr_data_batch(&t->data.quota, t->plan.input, rows);

    batch->origin = (struct mr_origin){.known = true, .split = split, .first_row = first_row};
    xt_batch(t, batch);
}

MR_UNUSED static void xt_control(struct xt *t, enum mr_item_tag tag, int64_t time_us)
{
    xt_put(t, &(struct mr_item){.tag = tag, .time_us = time_us});
}

MR_UNUSED static void xt_split(struct xt *t, enum mr_item_tag tag, uint32_t split, int64_t time_us)
{
    xt_put(t, &(struct mr_item){.tag = tag, .split = split, .time_us = time_us});
}

/* Every second row of the batch through a selection, for operators that must cope with it. */
MR_UNUSED static struct mr_batch *xt_select(struct xt *t, struct mr_batch *batch,
                                            const uint32_t *rows, uint32_t count)
{
    struct mr_batch *fewer = mr_batch_select(&t->data.quota, batch, rows, count);

    if (fewer == NULL) MR_FAIL("no memory");
    mr_batch_release(batch);
    return fewer;
}

/* ---- seals ---- */

struct xt_entry {
    struct mr_entry entry;
    char *bytes;
};
struct xt_seal {
    struct xt_entry *entries;
    uint32_t count;
};

MR_UNUSED static enum mr_status xt_yield(void *self, const struct mr_entry *entry,
                                         struct mr_error *err)
{
    struct xt_seal *seal = self;
    struct xt_entry *kept;
    size_t size = entry->key.size_bytes + entry->value.size_bytes;

    (void)err;
    seal->entries = realloc(seal->entries, (seal->count + 1) * sizeof *seal->entries);
    kept = &seal->entries[seal->count++];
    kept->entry = *entry;
    kept->bytes = malloc(size + strlen(entry->state_name) + 1);
    memcpy(kept->bytes + size, entry->state_name, strlen(entry->state_name) + 1);
    kept->entry.state_name = kept->bytes + size;
    if (entry->key.size_bytes > 0) memcpy(kept->bytes, entry->key.data, entry->key.size_bytes);
    if (entry->value.size_bytes > 0) {
        memcpy(kept->bytes + entry->key.size_bytes, entry->value.data, entry->value.size_bytes);
    }
    kept->entry.key.data = kept->bytes;
    kept->entry.value.data = kept->bytes + entry->key.size_bytes;
    return MR_OK;
}

/* Adds a seal to what is there. */
MR_UNUSED static void xt_seal(struct xt *t, bool full, struct xt_seal *seal)
{
    MR_EXPECT_OK(t->op->ops->seal(t->op, full, xt_yield, seal, &t->err), &t->err);
}

MR_UNUSED static void xt_restore(struct xt *t, const struct xt_seal *seal)
{
    for (uint32_t i = 0; i < seal->count && t->status == MR_OK; i++) {
        t->status = t->op->ops->restore(t->op, &seal->entries[i].entry, &t->err);
    }
    if (t->status != MR_OK || t->op->ops->restored == NULL) return;
    t->status = t->op->ops->restored(t->op, &t->err);
}

MR_UNUSED static void xt_seal_free(struct xt_seal *seal)
{
    for (uint32_t i = 0; i < seal->count; i++) free(seal->entries[i].bytes);
    free(seal->entries);
    seal->entries = NULL;
    seal->count = 0;
}

#endif
