/* plan_memory.c - how much memory rows on the move may take. See plan_internal.h.
 *
 * Every channel (pair of instances) reserves its quota, so that an empty pool is back-pressure and
 * never a deadlock. All of them together may take a quarter of the job's memory; more instances
 * mean more channels and smaller quotas, down to two batches of one small block each.
 */
#include "plan/plan_internal.h"
#include "base/status.h"

#define QUOTA_DEFAULT_BYTES ((size_t)512 * 1024)
#define QUOTA_MIN_BYTES ((size_t)64 * 1024)
#define QUOTA_STEP_BYTES ((size_t)32 * 1024)
#define RING_SLOTS_DEFAULT 8u
#define OPERATORS_LEAST_BYTES ((size_t)512 * 1024) /* per task: buffers, empty tables */

uint64_t mri_edge_channels(const struct mr_plan *plan, const struct mr_plan_edge *edge)
{
    uint64_t from = plan->stages[edge->from_stage].parallelism;
    uint64_t to = plan->stages[edge->to_stage].parallelism;

    switch (edge->exchange) {
    case MR_EXCHANGE_FORWARD:
    case MR_EXCHANGE_ONE: return from;
    case MR_EXCHANGE_KEY:
    case MR_EXCHANGE_ROUND_ROBIN:
    case MR_EXCHANGE_BROADCAST: break;
    }
    return from * to;
}

/* A quarter for channels, a quarter at the most for tasks' batches beyond their minimum, and
 * something for operators to begin with. */
size_t mr_plan_memory_least(const struct mr_plan *plan)
{
    uint64_t channels = 0, tasks = 0, least, mib = 1024 * 1024;

    for (uint32_t i = 0; i < plan->edge_count; i++) {
        channels += mri_edge_channels(plan, &plan->edges[i]);
    }
    for (uint32_t i = 0; i < plan->stage_count; i++) tasks += plan->stages[i].parallelism;
    least = tasks * (MR_TASK_QUOTA_BYTES_MIN * 4 / 3 + OPERATORS_LEAST_BYTES);
    least = MR_MAX(least, channels * QUOTA_MIN_BYTES * 4);
    return (least + mib - 1) / mib * mib;
}

static enum mr_status too_little(struct mri_planner *planner, uint64_t channels)
{
    const struct mr_plan_options *options = &planner->plan->options;
    size_t least = mr_plan_memory_least(planner->plan) >> 20;

    return mr_error_set(planner->err, MR_E_NOMEM,
                        "this pipeline has %llu channels between %u stages and needs about %zu MiB "
                        "of memory for rows on the move, but may use %zu MiB: allow more "
                        "(--memory %zuMiB), or use fewer workers (--workers, now %u)",
                        (unsigned long long)channels, planner->plan->stage_count, least,
                        options->memory_bytes >> 20, least, options->workers);
}

/* A given quota (tests) may take half of the memory, the default a quarter. */
static enum mr_status choose_quota(struct mri_planner *planner, uint64_t channels, size_t *out)
{
    const struct mr_plan_options *options = &planner->plan->options;
    uint64_t parts = options->quota_bytes != 0 ? 2 : 4;
    uint64_t quota = options->quota_bytes != 0 ? options->quota_bytes : QUOTA_DEFAULT_BYTES;

    if (options->memory_bytes != 0 && channels > 0) {
        uint64_t most = options->memory_bytes / parts / channels;
        uint64_t least = options->quota_bytes != 0 ? quota : QUOTA_MIN_BYTES;

        if (most < least) return too_little(planner, channels);
        if (most < quota) quota = most / QUOTA_STEP_BYTES * QUOTA_STEP_BYTES;
    }
    *out = quota;
    return MR_OK;
}

enum mr_status mri_plan_memory(struct mri_planner *planner)
{
    struct mr_plan *plan = planner->plan;
    uint64_t channels = 0;
    size_t quota = 0;

    for (uint32_t i = 0; i < plan->edge_count; i++) {
        channels += mri_edge_channels(plan, &plan->edges[i]);
    }
    MR_RET(choose_quota(planner, channels, &quota));
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        plan->edges[i].quota_bytes = quota;
        plan->edges[i].ring_slots =
            plan->options.ring_slots != 0 ? plan->options.ring_slots : RING_SLOTS_DEFAULT;
    }
    plan->channel_bytes = channels * quota;
    plan->operator_bytes = plan->options.memory_bytes == 0
                               ? SIZE_MAX
                               : plan->options.memory_bytes - plan->channel_bytes;
    return MR_OK;
}
