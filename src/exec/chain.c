/* chain.c - see chain.h. */
#include "exec/chain.h"

#include "base/assert.h"
#include "base/status.h"

struct link { /* an operator in its place */
    struct mr_operator *op;
    uint32_t output_count; /* 0: a sink */
    bool active;           /* has something to do: has not said NEED_INPUT since the last put */
    bool ended;            /* END has come out of output 0 */
    bool done;
    int64_t watermark_us; /* last one of output 0 */
};

struct mr_chain {
    struct mr_heap *heap;
    mr_chain_seal_fn seal; /* NULL: no barriers come, or nobody cares */
    void *seal_self;
    uint32_t count;
    struct link links[];
};

static size_t chain_bytes(uint32_t count)
{
    return sizeof(struct mr_chain) + count * sizeof(struct link);
}

enum mr_status mr_chain_create(struct mr_heap *heap, struct mr_operator *const *operators,
                               uint32_t count, struct mr_chain **out, struct mr_error *err)
{
    struct mr_chain *chain = mr_alloc_zero(heap, chain_bytes(count));

    mr_assert(count > 0);
    if (chain == NULL) return mr_error_nomem(err, "a stage", chain_bytes(count));
    chain->heap = heap;
    chain->count = count;
    for (uint32_t i = 0; i < count; i++) {
        const struct mr_plan_op *plan = operators[i]->plan;

        mr_assert(i == 0 || plan->kind != MR_PLAN_SCAN);
        chain->links[i] = (struct link){.op = operators[i],
                                        .output_count = plan->output_count,
                                        .active = plan->kind == MR_PLAN_SCAN,
                                        .watermark_us = INT64_MIN};
    }
    *out = chain;
    return MR_OK;
}

void mr_chain_destroy(struct mr_chain *chain)
{
    if (chain != NULL) mr_free(chain->heap, chain, chain_bytes(chain->count));
}

void mr_chain_on_barrier(struct mr_chain *chain, mr_chain_seal_fn seal, void *self)
{
    chain->seal = seal;
    chain->seal_self = self;
}

/* The last operator with something to do, or the number of operators. */
static uint32_t last_active(const struct mr_chain *chain)
{
    for (uint32_t i = chain->count; i-- > 0;) {
        if (chain->links[i].active) return i;
    }
    return chain->count;
}

static bool all_done(const struct mr_chain *chain)
{
    for (uint32_t i = 0; i < chain->count; i++) {
        if (!chain->links[i].done) return false;
    }
    return true;
}

/* The first operator that takes items from outside. */
static uint32_t first_taker(const struct mr_chain *chain)
{
    return chain->links[0].op->plan->kind == MR_PLAN_SCAN ? 1 : 0;
}

static enum mr_status put_to(struct link *link, const struct mr_item *item, struct mr_error *err)
{
    mr_assert(!link->active); /* (1) */
    mr_assert(!link->done);   /* (3) */
    link->active = true;
    return link->op->ops->put(link->op, item, err);
}

bool mr_chain_ready(const struct mr_chain *chain)
{
    return last_active(chain) == chain->count && first_taker(chain) == 0 && !chain->links[0].done;
}

enum mr_status mr_chain_put(struct mr_chain *chain, const struct mr_item *item,
                            struct mr_error *err)
{
    mr_assert(mr_chain_ready(chain)); /* (1) */
    return put_to(&chain->links[0], item, err);
}

enum mr_status mr_chain_tick(struct mr_chain *chain, int64_t now_us, bool *out_told,
                             struct mr_error *err)
{
    struct mr_item tick = {.tag = MR_ITEM_TICK, .time_us = now_us};
    uint32_t head = first_taker(chain);
    uint32_t active = last_active(chain);

    *out_told = false;
    if (head >= chain->count || chain->links[head].done) return MR_OK;
    if (active != chain->count && active >= head) return MR_OK;
    *out_told = true;
    return put_to(&chain->links[head], &tick, err);
}

/* (2) and (3) for what comes out of output 0. */
static void check_output(struct link *from, const struct mr_item *item)
{
    mr_assert(!from->ended); /* (3) */
    if (item->tag == MR_ITEM_END) from->ended = true;
    if (item->tag != MR_ITEM_WATERMARK) return;
    mr_assert(item->time_us >= from->watermark_us); /* (2) */
    from->watermark_us = item->time_us;
}

static bool stays_inside(const struct mr_item *item)
{
    return item->tag >= MR_ITEM_SPLITS_PENDING;
}

/* An item that operator `at` gave: to the next operator, or out of the chain. */
static enum mr_status route(struct mr_chain *chain, uint32_t at, const struct mr_item *item,
                            bool *out_leaves, struct mr_error *err)
{
    struct link *from = &chain->links[at];

    /* A sink has no output for rows, but lets control items out: side outputs need them. */
    mr_assert(item->tag != MR_ITEM_BATCH || item->input < from->output_count);
    mr_assert(item->tag != MR_ITEM_BATCH || item->batch != NULL);
    *out_leaves = false;
    if (item->input > 0) {
        mr_assert(!from->ended);               /* (3) */
        mr_assert(item->tag == MR_ITEM_BATCH); /* control items go through output 0 */
        *out_leaves = true;
        return MR_OK;
    }
    check_output(from, item);
    if (item->tag == MR_ITEM_BARRIER && chain->seal != NULL) {
        MR_RET(chain->seal(chain->seal_self, at, item->epoch, err));
    }
    if (at + 1 < chain->count) return put_to(&chain->links[at + 1], item, err);
    *out_leaves = !stays_inside(item);
    return MR_OK;
}

/* Asks one operator to work. */
static enum mr_status drive(struct mr_chain *chain, uint32_t at, struct mr_item *out,
                            bool *out_leaves, enum mr_flow *out_flow, struct mr_error *err)
{
    struct link *link = &chain->links[at];

    *out = (struct mr_item){.batch = NULL};
    *out_flow = MR_FLOW_NEED_INPUT;
    MR_RET(link->op->ops->next(link->op, out, out_flow, err));
    switch (*out_flow) {
    case MR_FLOW_NEED_INPUT: link->active = false; break;
    case MR_FLOW_HAVE_OUTPUT: return route(chain, at, out, out_leaves, err);
    case MR_FLOW_BLOCKED: break;
    case MR_FLOW_DONE:
        mr_assert(link->ended || link->output_count == 0);
        link->active = false;
        link->done = true;
        break;
    }
    return MR_OK;
}

enum mr_status mr_chain_next(struct mr_chain *chain, struct mr_item *out, uint32_t *out_op,
                             enum mr_flow *out_flow, struct mr_error *err)
{
    for (uint32_t moves = 0; moves < MR_CHAIN_MOVES; moves++) {
        uint32_t at = last_active(chain);
        bool leaves = false;

        if (at == chain->count) {
            *out_flow = all_done(chain) ? MR_FLOW_DONE : MR_FLOW_NEED_INPUT;
            return MR_OK;
        }
        MR_RET(drive(chain, at, out, &leaves, out_flow, err));
        if (*out_flow == MR_FLOW_BLOCKED) return MR_OK;
        if (leaves) {
            *out_op = at;
            return MR_OK;
        }
    }
    *out = (struct mr_item){.batch = NULL}; /* (4): enough for now */
    *out_op = 0;
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}
