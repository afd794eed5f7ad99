/* plan_print.c - plans for people (--explain) and for graphviz (--explain=dot). See plan.h. */
#include "plan/plan_internal.h"
#include "base/bitset.h"

#include <string.h>

struct printer {
    const struct mr_plan *plan;
    mr_describe_fn describe;
    void *self;
    struct mr_text *out;
    bool measuring; /* first pass: only how wide the labels are */
    size_t width;
    bool seen[MR_NODES_MAX];
};

static void print_bytes(size_t bytes, struct mr_text *out)
{
    size_t kib = bytes / 1024;

    if (kib >= 10 * 1024 || kib % 1024 == 0) mr_text_format(out, "%zuMiB", kib / 1024);
    else mr_text_format(out, "%zuKiB", kib);
}

static bool connects(const struct mr_node *node)
{
    return node->kind == MR_NODE_SOURCE || node->kind == MR_NODE_SINK;
}

/* ---- logical plan: a tree below each sink ---- */

static void print_label(const struct printer *printer, struct mr_stream_ref ref, uint32_t depth,
                        struct mr_text *out)
{
    const struct mr_node *node = printer->plan->model->nodes[ref.node];

    mr_text_add_repeat(out, ' ', 2 * ((size_t)depth + 1));
    mr_text_add(out, node->id);
    if (ref.output == 0) return;
    if (node->kind == MR_NODE_AGGREGATE) mr_text_add(out, " (late rows)");
    else mr_text_format(out, " (output %u)", ref.output);
}

static void print_description(const struct printer *printer, const struct mr_node *node,
                              struct mr_text *out)
{
    if (connects(node) && printer->describe != NULL) {
        printer->describe(printer->self, node, out);
        return;
    }
    mr_text_format(out, "%s ", mr_node_kind_name(node->kind));
    mr_node_print(node, out);
}

static void print_tree(struct printer *printer, struct mr_stream_ref ref, uint32_t depth)
{
    const struct mr_node *node = printer->plan->model->nodes[ref.node];
    bool again = printer->seen[ref.node];
    struct mr_text *out = printer->out;
    struct mr_text label;

    mr_text_init(&label, printer->plan->heap, 0);
    print_label(printer, ref, depth, &label);
    if (printer->measuring) {
        printer->width = MR_MAX(printer->width, label.size_bytes);
    } else {
        mr_text_add(out, mr_text_get(&label));
        mr_text_add_repeat(out, ' ', printer->width + 2 - MR_MIN(label.size_bytes, printer->width));
        if (again) mr_text_add(out, "see above");
        else print_description(printer, node, out);
        mr_text_add_char(out, '\n');
    }
    if (mr_text_status(&label) != MR_OK) out->status = MR_E_NOMEM;
    mr_text_fini(&label);
    printer->seen[ref.node] = true;
    for (uint32_t i = 0; i < node->input_count && !again; i++) {
        print_tree(printer, node->inputs[i], depth + 1);
    }
}

static void print_trees(struct printer *printer, bool measuring)
{
    const struct mr_model *model = printer->plan->model;

    printer->measuring = measuring;
    memset(printer->seen, 0, sizeof printer->seen);
    for (uint32_t i = 0; i < model->node_count; i++) {
        if (model->nodes[i]->kind != MR_NODE_SINK) continue;
        print_tree(printer, (struct mr_stream_ref){i, 0}, 0);
    }
}

/* ---- physical plan: stages and what joins them ---- */

static uint32_t columns_read(const struct mr_plan_op *op)
{
    return (uint32_t)mr_bits_count(op->projection, op->outputs[0]->column_count);
}

static void print_op(const struct printer *printer, const struct mr_plan_op *op,
                     struct mr_text *out)
{
    if (op->inserted) {
        mr_text_format(out, "project for %s (%u column%s)", op->node->id, op->expr_count,
                       op->expr_count == 1 ? "" : "s");
        return;
    }
    mr_text_format(out, "%s %s", mr_plan_op_name(op->kind), op->node->id);
    if (op->kind != MR_PLAN_SCAN) return;
    mr_text_add(out, " (");
    if (printer->describe != NULL) {
        printer->describe(printer->self, op->node, out);
        mr_text_add(out, "; ");
    }
    mr_text_format(out, "%u of %u columns)", columns_read(op), op->outputs[0]->column_count);
}

/* Keys by the names that the user gave: the columns of the edge may have others. */
static void print_exchange(const struct mr_plan *plan, const struct mr_plan_edge *edge,
                           struct mr_text *out)
{
    static const char *const texts[] = {"forward", "by key", "round robin", "to all", "to one"};
    const struct mr_plan_op *op = &plan->stages[edge->to_stage].ops[0];

    mr_text_add(out, texts[edge->exchange]);
    for (uint32_t i = 0; i < edge->key_count; i++) {
        mr_text_add(out, i == 0 ? " " : ", ");
        mr_text_add(out, op->key_fields[i].name);
    }
}

static void print_edge(const struct mr_plan *plan, const struct mr_plan_edge *edge,
                       struct mr_text *out)
{
    const struct mr_plan_op *op = &plan->stages[edge->from_stage].ops[edge->from_op];
    uint64_t channels = mri_edge_channels(plan, edge);

    mr_text_add(out, "    | ");
    if (edge->from_output > 0 && op->node->kind == MR_NODE_AGGREGATE) {
        mr_text_format(out, "late rows of %s, ", op->node->id);
    } else if (edge->from_output > 0) {
        mr_text_format(out, "output %u of %s, ", edge->from_output, op->node->id);
    }
    print_exchange(plan, edge, out);
    mr_text_format(out, " -> stage %u, %llu channel%s of ", edge->to_stage,
                   (unsigned long long)channels, channels == 1 ? "" : "s");
    print_bytes(edge->quota_bytes, out);
    mr_text_add_char(out, '\n');
}

static void print_stage(const struct printer *printer, const struct mr_plan_stage *stage)
{
    struct mr_text *out = printer->out;

    mr_text_format(out, "  stage %u x%u  ", stage->ordinal, stage->parallelism);
    for (uint32_t i = 0; i < stage->op_count; i++) {
        if (i > 0) mr_text_add(out, " > ");
        print_op(printer, &stage->ops[i], out);
    }
    mr_text_add_char(out, '\n');
    for (uint32_t i = 0; i < stage->output_count; i++) {
        print_edge(printer->plan, stage->outputs[i], out);
    }
}

static void print_physical(const struct printer *printer)
{
    const struct mr_plan *plan = printer->plan;
    struct mr_text *out = printer->out;

    mr_text_format(out, "physical plan (%u worker%s, %s)\n", plan->options.workers,
                   plan->options.workers == 1 ? "" : "s",
                   plan->options.streaming ? "streaming" : "batch");
    for (uint32_t i = 0; i < plan->stage_count; i++) print_stage(printer, &plan->stages[i]);
    mr_text_add(out, "  memory: ");
    print_bytes(plan->channel_bytes, out);
    mr_text_add(out, " for channels");
    if (plan->operator_bytes != SIZE_MAX) {
        mr_text_add(out, ", ");
        print_bytes(plan->operator_bytes, out);
        mr_text_add(out, " for operators");
    }
    mr_text_add_char(out, '\n');
}

/* ---- notes: what a reader of the plan may not expect ---- */

static void note_aggregate(const struct mr_plan *plan, const struct mr_node *node,
                           struct mr_text *out)
{
    const struct mr_window_spec *window = &node->u.aggregate.window;

    if (window->kind == MR_WINDOW_GLOBAL && !node->bounded) {
        mr_text_format(out,
                       "note: '%s' has no window and its input never ends: there will be no result "
                       "to see\n",
                       node->id);
    }
    if (window->kind != MR_WINDOW_GLOBAL && window->allowed_lateness_us > 0 &&
        plan->options.streaming) {
        mr_text_format(out,
                       "note: '%s' brings a window up to date when late rows come: an append-only "
                       "sink receives updated totals as further rows\n",
                       node->id);
    }
}

/* Event times that are not assigned in the chain of a scan. */
static void note_event_times(const struct mr_plan *plan, struct mr_text *out)
{
    for (uint32_t i = 0; i < plan->stage_count; i++) {
        const struct mr_plan_stage *stage = &plan->stages[i];

        if (stage->ops[0].kind == MR_PLAN_SCAN) continue;
        for (uint32_t k = 0; k < stage->op_count; k++) {
            if (stage->ops[k].kind != MR_PLAN_EVENT_TIME) continue;
            mr_text_format(out,
                           "note: '%s' stands behind an exchange: its watermark follows the order "
                           "in which rows arrive there, not that of single files\n",
                           stage->ops[k].node->id);
        }
    }
}

/* Bounded sources above windows: their unopened splits hold the watermark. */
static void note_splits(const struct mr_plan *plan, struct mr_text *out)
{
    const struct mr_model *model = plan->model;
    bool above[MR_NODES_MAX] = {false};

    for (uint32_t i = model->node_count; i-- > 0;) {
        const struct mr_node *node = model->nodes[i];

        if (node->kind == MR_NODE_AGGREGATE &&
            node->u.aggregate.window.kind != MR_WINDOW_GLOBAL) {
            above[i] = true;
        }
        for (uint32_t k = 0; k < node->input_count && above[i]; k++) {
            above[node->inputs[k].node] = true;
        }
    }
    for (uint32_t i = 0; i < model->node_count; i++) {
        if (!above[i] || model->nodes[i]->kind != MR_NODE_SOURCE || !model->nodes[i]->bounded) {
            continue;
        }
        mr_text_format(out,
                       "note: nothing can fire before the last split of '%s' opens, if it has "
                       "several and does not know the earliest time in each\n",
                       model->nodes[i]->id);
    }
}

static void print_notes(const struct mr_plan *plan, struct mr_text *out)
{
    for (uint32_t i = 0; i < plan->model->node_count; i++) {
        const struct mr_node *node = plan->model->nodes[i];

        if (node->kind == MR_NODE_AGGREGATE) note_aggregate(plan, node, out);
    }
    if (!plan->options.streaming) return;
    note_splits(plan, out);
    note_event_times(plan, out);
}

void mr_plan_print(const struct mr_plan *plan, mr_describe_fn describe, void *self,
                   struct mr_text *out)
{
    struct printer printer = {.plan = plan, .describe = describe, .self = self, .out = out};

    mr_text_add(out, "logical plan\n");
    print_trees(&printer, true);
    print_trees(&printer, false);
    print_physical(&printer);
    print_notes(plan, out);
}

/* ---- graphviz ---- */

static void add_quoted(struct mr_text *out, const struct mr_text *label)
{
    if (mr_text_status(label) != MR_OK) out->status = MR_E_NOMEM;
    mr_text_add_quoted(out, mr_text_get(label), strlen(mr_text_get(label)));
}

static void print_cluster(const struct printer *printer, const struct mr_plan_stage *stage)
{
    struct mr_text *out = printer->out;
    struct mr_text label;

    mr_text_format(out, "  subgraph cluster_%u {\n    label=\"stage %u x%u\";\n", stage->ordinal,
                   stage->ordinal, stage->parallelism);
    mr_text_init(&label, printer->plan->heap, 0);
    for (uint32_t i = 0; i < stage->op_count; i++) {
        mr_text_clear(&label);
        print_op(printer, &stage->ops[i], &label);
        mr_text_format(out, "    s%uo%u [label=", stage->ordinal, i);
        add_quoted(out, &label);
        mr_text_add(out, "];\n");
    }
    for (uint32_t i = 1; i < stage->op_count; i++) {
        mr_text_format(out, "    s%uo%u -> s%uo%u;\n", stage->ordinal, i - 1, stage->ordinal, i);
    }
    mr_text_fini(&label);
    mr_text_add(out, "  }\n");
}

void mr_plan_print_dot(const struct mr_plan *plan, mr_describe_fn describe, void *self,
                       struct mr_text *out)
{
    struct printer printer = {.plan = plan, .describe = describe, .self = self, .out = out};
    struct mr_text label;

    mr_text_add(out, "digraph millrace {\n  rankdir=LR;\n  node [shape=box];\n");
    for (uint32_t i = 0; i < plan->stage_count; i++) print_cluster(&printer, &plan->stages[i]);
    mr_text_init(&label, plan->heap, 0);
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        const struct mr_plan_edge *edge = &plan->edges[i];

        mr_text_clear(&label);
        print_exchange(plan, edge, &label);
        mr_text_format(out, "  s%uo%u -> s%uo0 [label=", edge->from_stage, edge->from_op,
                       edge->to_stage);
        add_quoted(out, &label);
        mr_text_add(out, "];\n");
    }
    mr_text_fini(&label);
    mr_text_add(out, "}\n");
}
