/* model_print.c - the logical pipeline in words. See model.h. */
#include "model/model_internal.h"

#include <string.h>

static void print_duration(int64_t us, struct mr_text *out)
{
    char buffer[MR_TIME_TEXT_BYTES];

    mr_text_add_bytes(out, buffer, mr_format_duration(buffer, us));
}

/* "delay + 1 as late_by", or only the name when that says it all. */
static void print_named(const struct mr_expr *expr, const char *name, struct mr_text *out)
{
    const char *column;

    if (!mr_expr_is_column(expr, &column) || strcmp(column, name) != 0) {
        mr_expr_print(expr, out);
        mr_text_add(out, " as ");
    }
    mr_text_add(out, name);
}

static void print_event_time(const struct mr_node *node, struct mr_text *out)
{
    mr_expr_print(node->u.event_time.time, out);
    mr_text_add(out, ", delay ");
    print_duration(node->u.event_time.delay_us, out);
    if (node->u.event_time.idle_us == 0) return;
    mr_text_add(out, ", idle after ");
    print_duration(node->u.event_time.idle_us, out);
}

static void print_function(const struct mr_node *node, struct mr_text *out)
{
    static const char *const texts[] = {"rows", "batches", "filter"};

    mr_text_add(out, texts[node->u.function.kind]);
    if (node->output_count > 1) {
        mr_text_format(out, ", %u side output%s", node->output_count - 1,
                       node->output_count > 2 ? "s" : "");
    }
}

static void print_window(const struct mr_window_spec *window, struct mr_text *out)
{
    static const char *const names[] = {"", "tumbling ", "hopping ", "session gap "};

    if (window->kind == MR_WINDOW_GLOBAL) return;
    mr_text_add(out, names[window->kind]);
    print_duration(window->size_us, out);
    if (window->kind == MR_WINDOW_HOPPING) {
        mr_text_add(out, " every ");
        print_duration(window->slide_us, out);
    }
    if (window->offset_us != 0) {
        mr_text_add(out, " offset ");
        print_duration(window->offset_us, out);
    }
    if (window->allowed_lateness_us != 0) {
        mr_text_add(out, ", late rows for ");
        print_duration(window->allowed_lateness_us, out);
    }
    mr_text_add(out, "; ");
}

static void print_aggregates(const struct mr_node *node, struct mr_text *out)
{
    for (uint32_t i = 0; i < node->u.aggregate.aggregate_count; i++) {
        const struct mr_aggregate_spec *spec = &node->u.aggregate.aggregates[i];

        if (i > 0) mr_text_add(out, ", ");
        mr_text_format(out, "%s(%s", mr_aggregate_name(spec->kind),
                       spec->kind == MR_AGG_COUNT_ALL ? "*" : "");
        for (uint32_t k = 0; k < spec->argument_count; k++) {
            if (k > 0) mr_text_add(out, ", ");
            mr_expr_print(spec->arguments[k], out);
        }
        mr_text_format(out, ") as %s", spec->name);
    }
    if (node->u.aggregate.aggregate_count == 0) mr_text_add(out, "distinct");
}

static void print_aggregate(const struct mr_node *node, struct mr_text *out)
{
    if (node->u.aggregate.key_count > 0) mr_text_add(out, "key ");
    for (uint32_t i = 0; i < node->u.aggregate.key_count; i++) {
        if (i > 0) mr_text_add(out, ", ");
        print_named(node->u.aggregate.keys[i], node->u.aggregate.key_names[i], out);
    }
    if (node->u.aggregate.key_count > 0) mr_text_add(out, "; ");
    print_window(&node->u.aggregate.window, out);
    print_aggregates(node, out);
}

static void print_top(const struct mr_node *node, struct mr_text *out)
{
    if (node->u.top.limit == UINT64_MAX) mr_text_add(out, "all rows by ");
    else mr_text_format(out, "first %llu by ", (unsigned long long)node->u.top.limit);
    for (uint32_t i = 0; i < node->u.top.order_count; i++) {
        if (i > 0) mr_text_add(out, ", ");
        mr_expr_print(node->u.top.orders[i].expr, out);
        if (node->u.top.orders[i].descending) mr_text_add(out, " desc");
    }
}

static void print_process(const struct mr_node *node, struct mr_text *out)
{
    mr_text_add(out, "key ");
    for (uint32_t i = 0; i < node->u.process.key_count; i++) {
        if (i > 0) mr_text_add(out, ", ");
        print_named(node->u.process.keys[i], node->u.process.key_names[i], out);
    }
    mr_text_format(out, "; per %s", node->u.process.batch != NULL ? "batch" : "row");
    for (uint32_t i = 0; i < node->u.process.state_count; i++) {
        mr_text_format(out, "%s %s", i == 0 ? "; state" : ",", node->u.process.states[i].name);
    }
    if (node->u.process.timer != NULL) mr_text_add(out, "; timers");
    if (node->input_count == 2) mr_text_add(out, "; broadcast");
    if (node->output_count > 1) {
        mr_text_format(out, ", %u side output%s", node->output_count - 1,
                       node->output_count == 2 ? "" : "s");
    }
}

void mr_node_print(const struct mr_node *node, struct mr_text *out)
{
    switch (node->kind) {
    case MR_NODE_SOURCE: mr_schema_print(node->outputs[0], out); return;
    case MR_NODE_EVENT_TIME: print_event_time(node, out); return;
    case MR_NODE_FILTER: mr_expr_print(node->u.filter.condition, out); return;
    case MR_NODE_PROJECT:
        for (uint32_t i = 0; i < node->u.project.count; i++) {
            if (i > 0) mr_text_add(out, ", ");
            print_named(node->u.project.exprs[i], node->u.project.names[i], out);
        }
        return;
    case MR_NODE_FUNCTION: print_function(node, out); return;
    case MR_NODE_UNION: mr_text_format(out, "%u inputs", node->input_count); return;
    case MR_NODE_AGGREGATE: print_aggregate(node, out); return;
    case MR_NODE_TOP: print_top(node, out); return;
    case MR_NODE_PROCESS: print_process(node, out); return;
    case MR_NODE_SINK:
        mr_text_add(out, node->u.sink.one_writer ? "one writer" : "a writer per instance");
        return;
    }
}

void mr_model_print(const struct mr_model *model, struct mr_text *out)
{
    for (uint32_t i = 0; i < model->node_count; i++) {
        const struct mr_node *node = model->nodes[i];

        mr_text_format(out, "%s %s: ", mr_node_kind_name(node->kind), node->id);
        mr_node_print(node, out);
        mr_text_add_char(out, '\n');
    }
}
