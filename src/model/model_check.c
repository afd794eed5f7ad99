/* model_check.c - the invariants of a whole model, for any graph. See model.h. */
#include "model/model_internal.h"
#include "base/status.h"

#include <string.h>

/* (1) */
static enum mr_status check_ids(const struct mr_model *model, struct mr_error *err)
{
    for (uint32_t i = 0; i < model->node_count; i++) {
        const char *id = model->nodes[i]->id;

        if (id == NULL || id[0] == '\0') {
            return mr_error_set(err, MR_E_PIPELINE, "operator %u has no id", i);
        }
        for (uint32_t k = 0; k < i; k++) {
            if (strcmp(model->nodes[k]->id, id) != 0) continue;
            return mr_error_set(err, MR_E_PIPELINE,
                                "two operators have the id '%s' (%s and %s): ids must differ, give "
                                "one of them another",
                                id, mr_node_kind_name(model->nodes[k]->kind),
                                mr_node_kind_name(model->nodes[i]->kind));
        }
    }
    return MR_OK;
}

/* (2), the half that does not depend on the order: every input exists. */
static enum mr_status check_inputs_exist(const struct mr_model *model, struct mr_error *err)
{
    for (uint32_t i = 0; i < model->node_count; i++) {
        const struct mr_node *node = model->nodes[i];

        if (node->input_count == 0 && node->kind != MR_NODE_SOURCE) {
            return mr_error_set(err, MR_E_PIPELINE, "%s '%s' has no input",
                                mr_node_kind_name(node->kind), node->id);
        }
        for (uint32_t k = 0; k < node->input_count; k++) {
            struct mr_stream_ref ref = node->inputs[k];

            if (ref.node < model->node_count &&
                ref.output < model->nodes[ref.node]->output_count) {
                continue;
            }
            return mr_error_set(err, MR_E_PIPELINE,
                                "%s '%s': input %u is output %u of operator %u, which does not "
                                "exist",
                                mr_node_kind_name(node->kind), node->id, k + 1, ref.output,
                                ref.node);
        }
    }
    return MR_OK;
}

/* ---- (3) ---- */

enum { WHITE, GREY, BLACK };

struct walk {
    const struct mr_model *model;
    uint8_t colours[MR_NODES_MAX];
    uint16_t path[MR_NODES_MAX]; /* the grey ones, in order */
    uint16_t next_input[MR_NODES_MAX];
    uint32_t depth;
};

static enum mr_status report_cycle(const struct walk *walk, uint32_t closing, struct mr_error *err)
{
    struct mr_text text;
    uint32_t at = 0;

    mr_text_init(&text, walk->model->heap, 400);
    while (walk->path[at] != closing) at++;
    for (; at < walk->depth; at++) {
        mr_text_format(&text, "'%s' <- ", walk->model->nodes[walk->path[at]]->id);
    }
    mr_text_format(&text, "'%s'", walk->model->nodes[closing]->id);
    (void)mr_error_set(err, MR_E_PIPELINE,
                       "the pipeline has a cycle, where rows would go round for ever: %s",
                       mr_text_get(&text));
    mr_text_fini(&text);
    return MR_E_PIPELINE;
}

static void enter(struct walk *walk, uint32_t node)
{
    walk->colours[node] = GREY;
    walk->next_input[node] = 0;
    walk->path[walk->depth++] = (uint16_t)node;
}

/* Depth first from one node along its inputs; grey met again is a cycle. */
static enum mr_status walk_from(struct walk *walk, uint32_t start, struct mr_error *err)
{
    enter(walk, start);
    while (walk->depth > 0) {
        uint32_t at = walk->path[walk->depth - 1];
        const struct mr_node *node = walk->model->nodes[at];
        uint32_t input;

        if (walk->next_input[at] == node->input_count) {
            walk->colours[at] = BLACK;
            walk->depth--;
            continue;
        }
        input = node->inputs[walk->next_input[at]++].node;
        if (walk->colours[input] == GREY) return report_cycle(walk, input, err);
        if (walk->colours[input] == WHITE) enter(walk, input);
    }
    return MR_OK;
}

static enum mr_status check_cycles(const struct mr_model *model, struct mr_error *err)
{
    struct walk *walk = mr_alloc_zero(model->heap, sizeof *walk);
    enum mr_status st = MR_OK;

    if (walk == NULL) return mri_model_nomem(err);
    walk->model = model;
    for (uint32_t i = 0; i < model->node_count && st == MR_OK; i++) {
        if (walk->colours[i] == WHITE) st = walk_from(walk, i, err);
    }
    mr_free(model->heap, walk, sizeof *walk);
    return st;
}

/* (2), the other half. */
static enum mr_status check_order(const struct mr_model *model, struct mr_error *err)
{
    for (uint32_t i = 0; i < model->node_count; i++) {
        const struct mr_node *node = model->nodes[i];

        for (uint32_t k = 0; k < node->input_count; k++) {
            if (node->inputs[k].node < i) continue;
            return mr_error_set(err, MR_E_PIPELINE,
                                "%s '%s' stands before its input '%s' in the list of operators",
                                mr_node_kind_name(node->kind), node->id,
                                model->nodes[node->inputs[k].node]->id);
        }
    }
    return MR_OK;
}

/* (4), (5) and (7) */
static enum mr_status check_kinds(const struct mr_model *model, struct mr_error *err)
{
    for (uint32_t i = 0; i < model->node_count; i++) {
        const struct mr_node *node = model->nodes[i];
        enum mr_status st = MR_OK;

        if (node->kind == MR_NODE_UNION) st = mri_union_check(model, node, err);
        if (node->kind == MR_NODE_AGGREGATE) {
            st = mri_aggregate_check(model, node, model->nodes[node->inputs[0].node],
                                     mr_model_schema(model, node->inputs[0]), err);
        }
        if (st == MR_OK) continue;
        mr_error_context(err, "%s '%s'", mr_node_kind_name(node->kind), node->id);
        return st;
    }
    return MR_OK;
}

/* (6): backwards, since inputs come first. */
static enum mr_status check_reach(const struct mr_model *model, struct mr_error *err)
{
    bool reaches[MR_NODES_MAX] = {false};

    for (uint32_t i = model->node_count; i-- > 0;) {
        const struct mr_node *node = model->nodes[i];

        if (node->kind == MR_NODE_SINK) reaches[i] = true;
        for (uint32_t k = 0; k < node->input_count && reaches[i]; k++) {
            reaches[node->inputs[k].node] = true;
        }
    }
    for (uint32_t i = 0; i < model->node_count; i++) {
        if (reaches[i]) continue;
        return mr_error_set(err, MR_E_PIPELINE,
                            "stream '%s' (%s) is not used: write it to a sink, or leave it out",
                            model->nodes[i]->id, mr_node_kind_name(model->nodes[i]->kind));
    }
    return MR_OK;
}

enum mr_status mr_model_check(const struct mr_model *model, struct mr_error *err)
{
    if (model->node_count == 0) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "the pipeline is empty: it needs a source and a sink");
    }
    MR_RET(check_ids(model, err));
    MR_RET(check_inputs_exist(model, err));
    MR_RET(check_cycles(model, err));
    MR_RET(check_order(model, err));
    MR_RET(check_kinds(model, err));
    return check_reach(model, err);
}
