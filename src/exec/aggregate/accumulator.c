/* accumulator.c - see accumulator.h: the layout of a slot, its life, merging, sealing. */
#include "exec/aggregate/accumulator.h"
#include "base/status.h"
#include "exec/aggregate/accumulator_internal.h"

#define SLOT_ALIGN 16u /* of user-defined states */

static uint32_t align_up(uint32_t bytes, uint32_t to)
{
    return (bytes + to - 1) / to * to;
}

static enum mri_acc_form form_of(const struct mr_plan_aggregate *plan)
{
    switch (plan->kind) {
    case MR_AGG_COUNT_ALL:
    case MR_AGG_COUNT: return MRI_ACC_COUNT;
    case MR_AGG_SUM:
    case MR_AGG_AVG:
        if (mr_type_is_float(plan->argument.type)) return MRI_ACC_SUM_FLOAT;
        return plan->argument.type == MR_DECIMAL ? MRI_ACC_SUM_DECIMAL : MRI_ACC_SUM_INT;
    case MR_AGG_MIN:
    case MR_AGG_MAX: return MRI_ACC_BEST;
    case MR_AGG_FIRST:
    case MR_AGG_LAST: return MRI_ACC_EDGE;
    case MR_AGG_USER: return MRI_ACC_USER;
    }
    MR_UNREACHABLE();
}

static uint32_t bytes_of(const struct mri_acc *acc)
{
    switch (acc->form) {
    case MRI_ACC_COUNT: return sizeof(uint64_t);
    case MRI_ACC_SUM_INT: return sizeof(struct sum_int);
    case MRI_ACC_SUM_DECIMAL: return sizeof(struct sum_decimal);
    case MRI_ACC_SUM_FLOAT: return sizeof(struct sum_float);
    case MRI_ACC_BEST: return value_bytes_of(acc->layout) + (uint32_t)sizeof(uint64_t);
    case MRI_ACC_EDGE: return value_bytes_of(acc->layout) + (uint32_t)sizeof(struct best_tail);
    case MRI_ACC_USER: return (uint32_t)acc->plan->spec->functions->state_bytes;
    }
    MR_UNREACHABLE();
}

static bool has_blob(const struct mri_acc *acc)
{
    if (acc->form == MRI_ACC_SUM_FLOAT) return true;
    return (acc->form == MRI_ACC_BEST || acc->form == MRI_ACC_EDGE) &&
           value_class_of(acc->layout) == VALUE_TEXT;
}

static enum mr_status check_user(const struct mr_plan_op *plan,
                                 const struct mr_plan_aggregate *aggregate, struct mr_error *err)
{
    const struct mr_aggregate_functions *functions = aggregate->spec->functions;

    if (functions->state_bytes > MRI_USER_STATE_MAX) {
        return mr_error_set(err, MR_E_LIMIT,
                            "operator '%s': aggregate '%s' has a state of %zu bytes, at most %u "
                            "are possible",
                            plan->node->id, aggregate->spec->name, functions->state_bytes,
                            MRI_USER_STATE_MAX);
    }
    if (functions->add == NULL || functions->merge == NULL || functions->result == NULL) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "operator '%s': aggregate '%s' needs the functions add, merge and "
                            "result",
                            plan->node->id, aggregate->spec->name);
    }
    return MR_OK;
}

static enum mr_status lay_out(struct mri_accs *accs, const struct mr_plan_op *plan,
                              struct mr_error *err)
{
    uint32_t offset = 0;
    uint32_t plain_bytes = 0; /* of accumulators without pointers inside */

    for (uint32_t i = 0; i < accs->count; i++) {
        struct mri_acc *acc = &accs->accs[i];

        acc->plan = &plan->aggregates[i];
        acc->form = form_of(acc->plan);
        acc->layout = mr_type_layout(acc->plan->argument.type);
        acc->every_row = acc->plan->kind == MR_AGG_COUNT_ALL;
        acc->reversed = acc->plan->kind == MR_AGG_MAX || acc->plan->kind == MR_AGG_LAST;
        if (acc->form == MRI_ACC_USER) {
            MR_RET(check_user(plan, acc->plan, err));
            accs->has_user = true;
            accs->needs_init = accs->needs_init || acc->plan->spec->functions->create != NULL;
            offset = align_up(offset, SLOT_ALIGN);
        }
        accs->has_blobs = accs->has_blobs || has_blob(acc);
        accs->has_decimal_sum = accs->has_decimal_sum || acc->form == MRI_ACC_SUM_DECIMAL;
        acc->offset = offset;
        if (acc->form != MRI_ACC_SUM_FLOAT && !has_blob(acc)) plain_bytes += bytes_of(acc);
        offset = align_up(offset + bytes_of(acc), 8);
    }
    accs->slot_bytes = align_up(MR_MAX(offset, 8u), accs->has_user ? SLOT_ALIGN : 8u);
    accs->as_bytes = plain_bytes == accs->slot_bytes;
    if (accs->slot_bytes > MRI_SLOT_BYTES_MAX) {
        return mr_error_set(err, MR_E_LIMIT,
                            "operator '%s': its %u aggregates need %u bytes per key, more than %u; "
                            "split it into two aggregates",
                            plan->node->id, accs->count, accs->slot_bytes, MRI_SLOT_BYTES_MAX);
    }
    return MR_OK;
}

enum mr_status mri_accs_init(struct mri_accs *accs, struct mr_heap *heap,
                             const struct mr_plan_op *plan, struct mr_error *err)
{
    enum mr_status st;

    *accs = (struct mri_accs){.heap = heap, .count = plan->aggregate_count};
    accs->accs = mr_alloc_array(heap, accs->count, sizeof *accs->accs);
    if (accs->accs == NULL) return mr_error_nomem(err, plan->node->id, sizeof *accs->accs);
    MR_GOTO(lay_out(accs, plan, err));
    if (accs->has_user) {
        accs->trash = mr_alloc_zero(heap, accs->slot_bytes);
        if (accs->trash == NULL) {
            MR_GOTO(mr_error_nomem(err, plan->node->id, accs->slot_bytes));
        }
        mri_accs_create(accs, accs->trash);
    }
done:
    if (st != MR_OK) mri_accs_fini(accs);
    return st;
}

void mri_accs_empty_trash(const struct mri_accs *accs)
{
    if (accs->trash == NULL) return;
    mri_accs_release(accs, accs->trash);
    memset(accs->trash, 0, accs->slot_bytes);
    mri_accs_create(accs, accs->trash);
}

void mri_accs_fini(struct mri_accs *accs)
{
    if (accs->trash != NULL) {
        mr_free(accs->heap, accs->trash, accs->slot_bytes);
    }
    if (accs->accs != NULL) mr_free(accs->heap, accs->accs, accs->count * sizeof *accs->accs);
    *accs = (struct mri_accs){.heap = NULL};
}

void mri_accs_create(const struct mri_accs *accs, void *slot)
{
    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];
        const struct mr_aggregate_spec *spec = acc->plan->spec;

        if (acc->form != MRI_ACC_USER || spec->functions->create == NULL) continue;
        spec->functions->create(spec->user, (char *)slot + acc->offset);
    }
}

void mri_accs_release(const struct mri_accs *accs, void *slot)
{
    if (!accs->has_blobs) return;
    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];
        char *at = (char *)slot + acc->offset;

        struct mr_blob *blob = (struct mr_blob *)(void *)at;

        if (!has_blob(acc)) continue;
        if (acc->form == MRI_ACC_SUM_FLOAT) blob = &((struct sum_float *)(void *)at)->sum.wide;
        if (blob->data != NULL) accs->blobs.release(accs->blobs.self, blob);
    }
}

/* ---- merging slots ---- */

static int compare_bytes(const struct mr_blob *left, const struct mr_blob *right)
{
    uint32_t common = MR_MIN(left->size_bytes, right->size_bytes);
    int order = common > 0 ? memcmp(left->data, right->data, common) : 0;

    if (order != 0) return order;
    return (left->size_bytes > right->size_bytes) - (left->size_bytes < right->size_bytes);
}

static int compare_values(const struct mri_acc *acc, const void *left, const void *right)
{
    int order;

    if (value_class_of(acc->layout) == VALUE_TEXT) {
        order = compare_bytes(left, right);
        return acc->reversed ? -order : order;
    }
    if (value_class_of(acc->layout) == VALUE_I128) {
        mr_i128 l = load_i128(left);
        mr_i128 r = load_i128(right);

        return (l > r) - (l < r); /* kept reversed */
    }
    int64_t l = *(const int64_t *)left;
    int64_t r = *(const int64_t *)right;
    return (l > r) - (l < r);
}

static enum mr_status merge_best(const struct mri_accs *accs, const struct mri_acc *acc,
                                 char *into, const char *from)
{
    uint32_t value_bytes = value_bytes_of(acc->layout);
    struct best_tail *tail = (struct best_tail *)(void *)(into + value_bytes);
    const struct best_tail *other = (const struct best_tail *)(const void *)(from + value_bytes);
    bool edge = acc->form == MRI_ACC_EDGE;

    if (!other->has) return MR_OK;
    if (tail->has) {
        int order = 0;

        if (edge) order = (other->rank > tail->rank) - (other->rank < tail->rank);
        if (order == 0) order = compare_values(acc, from, into);
        if (order >= 0) return MR_OK;
    }
    if (value_class_of(acc->layout) == VALUE_TEXT) {
        const struct mr_blob *text = (const struct mr_blob *)(const void *)from;
        struct mr_blob *own = (struct mr_blob *)(void *)into;

        if (!accs->blobs.resize(accs->blobs.self, own, text->size_bytes)) return MR_E_NOMEM;
        if (text->size_bytes > 0) memcpy(own->data, text->data, text->size_bytes);
    } else {
        memcpy(into, from, value_bytes);
    }
    tail->has = 1;
    if (edge) tail->rank = other->rank;
    return MR_OK;
}

static enum mr_status merge_float(const struct mri_accs *accs, struct sum_float *into,
                                  const struct sum_float *from)
{
    if (!mri_exact_merge(&into->sum, &accs->blobs, &from->sum)) return MR_E_NOMEM;
    into->count += from->count;
    return MR_OK;
}

static void merge_decimal(struct sum_decimal *into, const struct sum_decimal *from)
{
    mr_u128 before = ((mr_u128)into->middle << 64) | into->low;
    mr_u128 after = before + (((mr_u128)from->middle << 64) | from->low);

    into->low = (uint64_t)after;
    into->middle = (uint64_t)(after >> 64);
    into->high += from->high + (after < before);
    into->count += from->count;
}

static enum mr_status merge_one(const struct mri_accs *accs, const struct mri_acc *acc, char *into,
                                const char *from)
{
    const struct mr_aggregate_spec *spec = acc->plan->spec;

    switch (acc->form) {
    case MRI_ACC_COUNT: *(uint64_t *)(void *)into += *(const uint64_t *)(const void *)from; break;
    case MRI_ACC_SUM_INT: {
        const struct sum_int *other = (const struct sum_int *)(const void *)from;
        sum_int_add((struct sum_int *)(void *)into, sum_int_get(other), other->count);
        break;
    }
    case MRI_ACC_SUM_DECIMAL:
        merge_decimal((struct sum_decimal *)(void *)into,
                      (const struct sum_decimal *)(const void *)from);
        break;
    case MRI_ACC_SUM_FLOAT:
        return merge_float(accs, (struct sum_float *)(void *)into,
                           (const struct sum_float *)(const void *)from);
    case MRI_ACC_BEST:
    case MRI_ACC_EDGE: return merge_best(accs, acc, into, from);
    case MRI_ACC_USER: return spec->functions->merge(spec->user, into, from);
    }
    return MR_OK;
}

enum mr_status mri_accs_merge_slot(const struct mri_accs *accs, void *into, const void *from,
                                   struct mr_error *err)
{
    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];
        enum mr_status st = merge_one(accs, acc, (char *)into + acc->offset,
                                      (const char *)from + acc->offset);

        if (st == MR_OK) continue;
        if (st == MR_E_NOMEM) return mr_error_nomem(err, acc->plan->spec->name, 0);
        return mr_error_set(err, st, "aggregate '%s' failed to merge", acc->plan->spec->name);
    }
    return MR_OK;
}

/* ---- bytes ---- */

static bool encode_one(const struct mri_acc *acc, const char *at, struct mr_buffer *out)
{
    uint32_t value_bytes = value_bytes_of(acc->layout);

    if (acc->form == MRI_ACC_SUM_FLOAT) {
        const struct sum_float *sum = (const struct sum_float *)(const void *)at;
        char bytes[MRI_EXACT_BYTES_MAX];
        uint32_t size = mri_exact_encode(&sum->sum, bytes);

        return mr_buffer_put_varint(out, size) && mr_buffer_put(out, bytes, size) &&
               mr_buffer_put_u64(out, sum->count);
    }
    if (has_blob(acc)) {
        const struct mr_blob *blob = (const struct mr_blob *)(const void *)at;

        return mr_buffer_put_varint(out, blob->size_bytes) &&
               mr_buffer_put(out, blob->data, blob->size_bytes) &&
               mr_buffer_put(out, at + value_bytes, bytes_of(acc) - value_bytes);
    }
    return mr_buffer_put(out, at, bytes_of(acc));
}

bool mri_accs_encode(const struct mri_accs *accs, const void *slot, struct mr_buffer *out)
{
    if (accs->as_bytes) return mr_buffer_put(out, slot, accs->slot_bytes);
    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];

        if (!encode_one(acc, (const char *)slot + acc->offset, out)) return false;
    }
    return true;
}

static enum mr_status decode_float(const struct mri_accs *accs, struct sum_float *sum,
                                   struct mr_cursor *in)
{
    uint64_t size;
    const char *bytes;

    if (!mr_cursor_varint(in, &size) || size > MRI_EXACT_BYTES_MAX) return MR_E_CORRUPT;
    if (!mr_cursor_take(in, (size_t)size, &bytes)) return MR_E_CORRUPT;
    MR_RET(mri_exact_merge_bytes(&sum->sum, &accs->blobs, bytes, (size_t)size));
    return mr_cursor_u64(in, &sum->count) ? MR_OK : MR_E_CORRUPT;
}

static enum mr_status decode_one(const struct mri_accs *accs, const struct mri_acc *acc, char *at,
                                 struct mr_cursor *in)
{
    uint32_t plain = 0; /* bytes that are no plain bytes */
    const char *bytes;

    if (acc->form == MRI_ACC_SUM_FLOAT) {
        return decode_float(accs, (struct sum_float *)(void *)at, in);
    }
    if (has_blob(acc)) {
        struct mr_blob *blob = (struct mr_blob *)(void *)at;
        uint64_t size;

        plain = value_bytes_of(acc->layout);
        if (!mr_cursor_varint(in, &size) || size > MR_TEXT_BYTES_MAX) return MR_E_CORRUPT;
        if (!mr_cursor_take(in, (size_t)size, &bytes)) return MR_E_CORRUPT;
        if (size > 0) {
            if (!accs->blobs.resize(accs->blobs.self, blob, (uint32_t)size)) return MR_E_NOMEM;
            memcpy(blob->data, bytes, (size_t)size);
        }
    }
    if (!mr_cursor_take(in, bytes_of(acc) - plain, &bytes)) return MR_E_CORRUPT;
    memcpy(at + plain, bytes, bytes_of(acc) - plain);
    return MR_OK;
}

enum mr_status mri_accs_decode(const struct mri_accs *accs, void *slot, struct mr_cursor *in,
                               struct mr_error *err)
{
    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];
        enum mr_status st = decode_one(accs, acc, (char *)slot + acc->offset, in);

        if (st == MR_OK) continue;
        if (st == MR_E_NOMEM) return mr_error_nomem(err, acc->plan->spec->name, 0);
        return mr_error_set(err, st, "the stored state of aggregate '%s' is not what was written",
                            acc->plan->spec->name);
    }
    return MR_OK;
}
