/* model_test_helper.h - building models in tests in few words. For tests of model and plan only.
 *
 * Columns are written as text: "origin:u delay:f t:t" with one letter per type: i int64, f float64,
 * u utf8, t timestamp_ltz, b bool, d decimal(10,2), n int32, l list of int64.
 *
 * Owns:    none.
 * Thread:  confined.
 * Fails:   a failed call fails the test, but for try_*.
 * Cost:    none that matters.
 */
#ifndef MR_MODEL_MODEL_TEST_HELPER_H
#define MR_MODEL_MODEL_TEST_HELPER_H

#include "model/model.h"
#include "mr_test.h"

static inline enum mr_type type_of_letter(char letter)
{
    switch (letter) {
    case 'i': return MR_INT64;
    case 'n': return MR_INT32;
    case 'f': return MR_FLOAT64;
    case 'u': return MR_UTF8;
    case 't': return MR_TIMESTAMP_LTZ;
    case 'b': return MR_BOOL;
    case 'd': return MR_DECIMAL;
    case 'l': return MR_LIST;
    default: MR_FAIL("no type '%c'", letter);
    }
}

MR_UNUSED static enum mr_status try_schema(struct mr_heap *heap, const char *text,
                                           struct mr_schema **out, struct mr_error *err)
{
    static const struct mr_field item = {.name = "item", .type = MR_INT64};
    struct mr_field fields[16] = {{0}};
    char names[16][32];
    uint32_t count = 0;

    while (*text != '\0') {
        size_t size = strcspn(text, ":");

        memcpy(names[count], text, size);
        names[count][size] = '\0';
        fields[count].name = names[count];
        fields[count].type = type_of_letter(text[size + 1]);
        if (fields[count].type == MR_DECIMAL) {
            fields[count].precision = 10;
            fields[count].scale = 2;
        }
        if (fields[count].type == MR_LIST) {
            fields[count].child_count = 1;
            fields[count].children = &item;
        }
        text += size + 2;
        text += *text == ' ';
        count++;
    }
    return mr_schema_create(heap, fields, count, out, err);
}

MR_UNUSED static struct mr_model *model_new(void)
{
    struct mr_error err = {0};
    struct mr_model *model = NULL;

    MR_EXPECT_OK(mr_model_create(mr_test_heap(), &model, &err), &err);
    return model;
}

/* ---- expressions ---- */

MR_UNUSED static struct mr_expr *col(struct mr_model *model, const char *name)
{
    return mr_expr_column(&model->arena, name);
}

MR_UNUSED static struct mr_expr *num(struct mr_model *model, int64_t value)
{
    return mr_expr_int64(&model->arena, value);
}

MR_UNUSED static struct mr_expr *call2(struct mr_model *model, enum mr_op op, struct mr_expr *left,
                                       struct mr_expr *right)
{
    struct mr_expr *arguments[2] = {left, right};

    return mr_expr_call(&model->arena, op, arguments, 2);
}

/* ---- nodes: descriptions ---- */

/* A stream is a node and an output: OUT(n) is output 0 of n. */
#define OUT(n) ((struct mr_stream_ref){(n), 0})
#define OUT1(n) ((struct mr_stream_ref){(n), 1})

MR_UNUSED static enum mr_status user_row(void *user, const struct mr_row *row,
                                         struct mr_emitter *out)
{
    (void)user;
    (void)row;
    (void)out;
    return MR_OK;
}

/* Adds a node with one input; `id` NULL: made up. */
MR_UNUSED static enum mr_status try_add(struct mr_model *model, struct mr_node node,
                                        struct mr_stream_ref input, const char *id,
                                        uint32_t *out, struct mr_error *err)
{
    node.id = id;
    if (node.kind != MR_NODE_SOURCE && node.kind != MR_NODE_UNION) {
        node.input_count = 1;
        node.inputs = &input;
    }
    return mr_model_add(model, &node, out, err);
}

MR_UNUSED static uint32_t add(struct mr_model *model, struct mr_node node,
                              struct mr_stream_ref input, const char *id)
{
    struct mr_error err = {0};
    uint32_t out = 0;

    MR_EXPECT_OK(try_add(model, node, input, id, &out, &err), &err);
    return out;
}

MR_UNUSED static enum mr_status try_source(struct mr_model *model, const char *id,
                                           const char *columns, bool bounded, uint32_t *out,
                                           struct mr_error *err)
{
    struct mr_node node = {.kind = MR_NODE_SOURCE, .output_count = 1};
    struct mr_schema *schema = NULL;
    enum mr_status st = try_schema(model->heap, columns, &schema, err);

    if (st != MR_OK) return st;
    node.outputs[0] = schema;
    node.u.source.bounded_hint = bounded;
    st = try_add(model, node, (struct mr_stream_ref){0, 0}, id, out, err);
    mr_schema_release(schema);
    return st;
}

MR_UNUSED static uint32_t source(struct mr_model *model, const char *id, const char *columns)
{
    struct mr_error err = {0};
    uint32_t out = 0;

    MR_EXPECT_OK(try_source(model, id, columns, true, &out, &err), &err);
    return out;
}

MR_UNUSED static struct mr_node event_time_node(struct mr_expr *time, int64_t delay_us)
{
    return (struct mr_node){.kind = MR_NODE_EVENT_TIME,
                            .u.event_time = {.time = time, .delay_us = delay_us}};
}

MR_UNUSED static struct mr_node filter_node(struct mr_expr *condition)
{
    return (struct mr_node){.kind = MR_NODE_FILTER, .u.filter = {.condition = condition}};
}

MR_UNUSED static struct mr_node sink_node(bool one_writer)
{
    return (struct mr_node){.kind = MR_NODE_SINK, .u.sink = {.one_writer = one_writer}};
}

/* The arrays must live until the node is added. */
MR_UNUSED static struct mr_node project_node(struct mr_expr **exprs, const char **names,
                                             uint32_t count)
{
    return (struct mr_node){.kind = MR_NODE_PROJECT,
                            .u.project = {.count = count, .exprs = exprs, .names = names}};
}

MR_UNUSED static struct mr_node aggregate_node(struct mr_window_spec window, struct mr_expr **keys,
                                               const char **key_names, uint32_t key_count,
                                               struct mr_aggregate_spec *specs, uint32_t count)
{
    return (struct mr_node){.kind = MR_NODE_AGGREGATE,
                            .u.aggregate = {.key_count = key_count,
                                            .keys = keys,
                                            .key_names = key_names,
                                            .window = window,
                                            .emit_window = true,
                                            .aggregate_count = count,
                                            .aggregates = specs}};
}

MR_UNUSED static struct mr_node top_node(struct mr_order *orders, uint32_t count, uint64_t limit)
{
    return (struct mr_node){.kind = MR_NODE_TOP,
                            .u.top = {.order_count = count, .orders = orders, .limit = limit}};
}

MR_UNUSED static enum mr_status try_union(struct mr_model *model, struct mr_stream_ref *inputs,
                                          uint32_t count, uint32_t *out, struct mr_error *err)
{
    struct mr_node node = {.kind = MR_NODE_UNION, .input_count = count, .inputs = inputs};

    return mr_model_add(model, &node, out, err);
}

#define GLOBAL ((struct mr_window_spec){.kind = MR_WINDOW_GLOBAL})
#define HOURLY ((struct mr_window_spec){.kind = MR_WINDOW_TUMBLING, .size_us = MR_HOUR})

#endif
