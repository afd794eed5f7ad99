/* accumulator_update.c - the loops that put rows into accumulators. See accumulator.h.
 *
 * Every loop exists per memory layout of the argument and in two forms: *dense* (all elements in
 * order, no nulls) and general. They are inlined copies of one function with constant arguments.
 */
#include "base/status.h"
#include "exec/aggregate/accumulator_internal.h"

/* One column on its way into one accumulator. */
struct feed {
    char *const *slots;
    const uint32_t *rows;
    uint32_t count;
    uint32_t mask; /* 0 for CONST: every row is element 0 */
    const uint64_t *validity;
    const void *values;
    const struct mr_column *column;
    /* EDGE only */
    const int64_t *times; /* NULL: MR_TIME_MIN */
    uint32_t times_mask;
};

static struct feed feed_of(const struct mri_feed *in, const struct mr_column *column)
{
    mr_assert(column->encoding != MR_DICT);
    return (struct feed){.slots = in->slots,
                         .rows = in->rows,
                         .count = in->count,
                         .mask = column->encoding == MR_CONST ? 0 : UINT32_MAX,
                         .validity = column->validity,
                         .values = column->values,
                         .column = column,
                         .times = in->times,
                         .times_mask = UINT32_MAX};
}

static bool is_dense(const struct feed *feed)
{
    return feed->rows == NULL && feed->validity == NULL && feed->mask != 0;
}

MR_INLINE uint32_t row_at(const struct feed *feed, uint32_t i, bool dense)
{
    return dense || feed->rows == NULL ? i : feed->rows[i];
}

/* The element of entry i; false: null. */
MR_INLINE bool element_at(const struct feed *feed, uint32_t i, bool dense, uint32_t *out)
{
    uint32_t element = row_at(feed, i, dense);

    if (!dense) {
        element &= feed->mask;
        if (feed->validity != NULL && !mr_bit_get(feed->validity, element)) return false;
    }
    *out = element;
    return true;
}

/* Calls one of the copies of a loop by layout and density. */
#define DISPATCH_CASE(layout_name, loop, ...)            \
    case layout_name:                                    \
        if (dense) loop(layout_name, true, __VA_ARGS__); \
        else loop(layout_name, false, __VA_ARGS__);      \
        break

/* ---- counts and sums ---- */

static void count_all(const struct feed *feed, uint32_t offset)
{
    for (uint32_t i = 0; i < feed->count; i++) ++*(uint64_t *)(void *)(feed->slots[i] + offset);
}

static void count_valid(const struct feed *feed, uint32_t offset)
{
    uint32_t element;

    if (feed->validity == NULL) {
        count_all(feed, offset);
        return;
    }
    for (uint32_t i = 0; i < feed->count; i++) {
        *(uint64_t *)(void *)(feed->slots[i] + offset) += element_at(feed, i, false, &element);
    }
}

MR_INLINE void sum_int_loop(enum mr_layout layout, bool dense, const struct feed *feed,
                            uint32_t offset)
{
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, dense, &element)) continue;
        sum_int_add((struct sum_int *)(void *)(feed->slots[i] + offset),
                    load_key(layout, feed->values, element), 1);
    }
}

static void sum_int(enum mr_layout layout, const struct feed *feed, uint32_t offset)
{
    bool dense = is_dense(feed);

    switch ((int)layout) {
        DISPATCH_CASE(MR_LAYOUT_I8, sum_int_loop, feed, offset);
        DISPATCH_CASE(MR_LAYOUT_I16, sum_int_loop, feed, offset);
        DISPATCH_CASE(MR_LAYOUT_I32, sum_int_loop, feed, offset);
        DISPATCH_CASE(MR_LAYOUT_I64, sum_int_loop, feed, offset);
    default: MR_UNREACHABLE();
    }
}

static void sum_decimal(const struct feed *feed, uint32_t offset)
{
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, false, &element)) continue;
        sum_decimal_add((struct sum_decimal *)(void *)(feed->slots[i] + offset),
                        load_i128((const char *)feed->values + (size_t)element * 16), 1);
    }
}

MR_INLINE void sum_float_loop(enum mr_layout layout, bool dense, const struct feed *feed,
                              uint32_t offset, const struct mri_blobs *blobs, bool *out_failed)
{
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, dense, &element)) continue;
        struct sum_float *sum = (struct sum_float *)(void *)(feed->slots[i] + offset);
        double value = layout == MR_LAYOUT_F32 ? (double)((const float *)feed->values)[element]
                                               : ((const double *)feed->values)[element];
        sum->count++;
        if (MR_UNLIKELY(!mri_exact_add(&sum->sum, blobs, value))) {
            *out_failed = true;
            return;
        }
    }
}

static enum mr_status sum_float(enum mr_layout layout, const struct feed *feed, uint32_t offset,
                                const struct mri_blobs *blobs)
{
    bool dense = is_dense(feed);
    bool failed = false;

    switch ((int)layout) {
        DISPATCH_CASE(MR_LAYOUT_F32, sum_float_loop, feed, offset, blobs, &failed);
        DISPATCH_CASE(MR_LAYOUT_F64, sum_float_loop, feed, offset, blobs, &failed);
    default: MR_UNREACHABLE();
    }
    return failed ? MR_E_NOMEM : MR_OK;
}

/* ---- min, max, first, last ---- */

MR_INLINE int64_t rank_of(const struct feed *feed, uint32_t i, int64_t flip)
{
    if (feed->times == NULL) return MR_TIME_MIN ^ flip;
    return feed->times[row_at(feed, i, false) & feed->times_mask] ^ flip;
}

MR_INLINE void best_loop(enum mr_layout layout, bool dense, const struct feed *feed,
                         uint32_t offset, int64_t flip)
{
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, dense, &element)) continue;
        int64_t *slot = (int64_t *)(void *)(feed->slots[i] + offset); /* key, has */
        int64_t key = load_key(layout, feed->values, element) ^ flip;
        if (key < slot[0] || slot[1] == 0) {
            slot[0] = key;
            slot[1] = 1;
        }
    }
}

MR_INLINE void edge_loop(enum mr_layout layout, bool dense, const struct feed *feed,
                         uint32_t offset, int64_t flip)
{
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, dense, &element)) continue;
        int64_t *slot = (int64_t *)(void *)(feed->slots[i] + offset); /* key, has, rank */
        int64_t key = load_key(layout, feed->values, element) ^ flip;
        int64_t rank = rank_of(feed, i, flip);
        if (slot[1] == 0 || rank < slot[2] || (rank == slot[2] && key < slot[0])) {
            slot[0] = key;
            slot[1] = 1;
            slot[2] = rank;
        }
    }
}

#define BEST_LAYOUTS(loop, ...)                      \
    DISPATCH_CASE(MR_LAYOUT_BIT, loop, __VA_ARGS__); \
    DISPATCH_CASE(MR_LAYOUT_I8, loop, __VA_ARGS__);  \
    DISPATCH_CASE(MR_LAYOUT_I16, loop, __VA_ARGS__); \
    DISPATCH_CASE(MR_LAYOUT_I32, loop, __VA_ARGS__); \
    DISPATCH_CASE(MR_LAYOUT_I64, loop, __VA_ARGS__); \
    DISPATCH_CASE(MR_LAYOUT_F32, loop, __VA_ARGS__); \
    DISPATCH_CASE(MR_LAYOUT_F64, loop, __VA_ARGS__)

static void best_key(const struct mri_acc *acc, const struct feed *feed, int64_t flip)
{
    bool dense = is_dense(feed);

    if (acc->form == MRI_ACC_BEST) {
        switch ((int)acc->layout) {
            BEST_LAYOUTS(best_loop, feed, acc->offset, flip);
        default: MR_UNREACHABLE();
        }
        return;
    }
    switch ((int)acc->layout) {
        BEST_LAYOUTS(edge_loop, feed, acc->offset, flip);
    default: MR_UNREACHABLE();
    }
}

static void best_i128(const struct mri_acc *acc, const struct feed *feed, int64_t flip)
{
    bool edge = acc->form == MRI_ACC_EDGE;
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, false, &element)) continue;
        char *slot = feed->slots[i] + acc->offset;
        struct best_tail *tail = (struct best_tail *)(void *)(slot + sizeof(mr_i128));
        mr_i128 key = load_i128((const char *)feed->values + (size_t)element * 16) ^ flip;
        int64_t rank = edge ? rank_of(feed, i, flip) : 0;
        bool better = !tail->has || (edge && rank < tail->rank) ||
                      ((!edge || rank == tail->rank) && key < load_i128(slot));
        if (!better) continue;
        memcpy(slot, &key, sizeof key);
        tail->has = 1;
        if (edge) tail->rank = rank;
    }
}

static int compare_text(struct mr_bytes text, const struct mr_blob *blob)
{
    size_t common = MR_MIN(text.size_bytes, (size_t)blob->size_bytes);
    int order = common > 0 ? memcmp(text.data, blob->data, common) : 0;

    if (order != 0) return order;
    return (text.size_bytes > blob->size_bytes) - (text.size_bytes < blob->size_bytes);
}

static enum mr_status best_text(const struct mri_acc *acc, const struct feed *feed, int64_t flip,
                                const struct mri_blobs *blobs)
{
    bool edge = acc->form == MRI_ACC_EDGE;
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, false, &element)) continue;
        char *slot = feed->slots[i] + acc->offset;
        struct mr_blob *blob = (struct mr_blob *)(void *)slot;
        struct best_tail *tail = (struct best_tail *)(void *)(slot + sizeof *blob);
        struct mr_bytes text =
            mr_view_bytes(feed->column, &((const struct mr_view *)feed->values)[element]);
        int64_t rank = edge ? rank_of(feed, i, flip) : 0;
        if (tail->has) {
            int order = edge ? (rank > tail->rank) - (rank < tail->rank) : 0;
            if (order == 0) order = compare_text(text, blob) * (acc->reversed ? -1 : 1);
            if (order >= 0) continue;
        }
        if (!blobs->resize(blobs->self, blob, (uint32_t)text.size_bytes)) return MR_E_NOMEM;
        if (text.size_bytes > 0) memcpy(blob->data, text.data, text.size_bytes);
        tail->has = 1;
        if (edge) tail->rank = rank;
    }
    return MR_OK;
}

static enum mr_status best(const struct mri_accs *accs, const struct mri_acc *acc,
                           const struct feed *feed)
{
    int64_t flip = acc->reversed ? -1 : 0;

    switch (value_class_of(acc->layout)) {
    case VALUE_KEY: best_key(acc, feed, flip); break;
    case VALUE_I128: best_i128(acc, feed, flip); break;
    case VALUE_TEXT: return best_text(acc, feed, flip, &accs->blobs);
    }
    return MR_OK;
}

/* ---- user-defined ---- */

static enum mr_status refuse(const struct mri_accs *accs, const struct mri_acc *acc,
                             const struct mri_feed *in, uint32_t entry, enum mr_status status,
                             struct mr_error *err)
{
    uint32_t row = in->rows == NULL ? entry : in->rows[entry];
    struct mr_error why;

    mr_error_set(&why, status, "aggregate '%s' failed for this row", acc->plan->spec->name);
    in->slots[entry] = accs->trash;
    if (in->refused == NULL) return mr_error_set(err, status, "%s", why.text);
    return in->refused(in->refused_self, row, &why, err);
}

/* The arguments of a user's function as a batch of their own. */
static enum mr_status add_user(const struct mri_accs *accs, const struct mri_acc *acc,
                               const struct mri_feed *in, struct mr_error *err)
{
    const struct mr_aggregate_spec *spec = acc->plan->spec;
    struct mr_column arguments[4];
    struct mr_column time = {.type = MR_TIMESTAMP_LTZ, .values = in->times};
    struct mr_batch batch;

    memset(&batch, 0, sizeof batch);
    mr_assert(spec->argument_count <= MR_COUNT(arguments));
    for (uint32_t i = 0; i < spec->argument_count; i++) {
        arguments[i] = in->columns[acc->plan->argument_columns[i]];
    }
    batch.row_count = in->column_rows;
    batch.column_count = spec->argument_count;
    batch.columns = arguments;
    if (in->times != NULL) batch.hidden[MR_HIDDEN_EVENT_TIME] = &time;
    for (uint32_t i = 0; i < in->count; i++) {
        struct mr_row row = {&batch, in->rows == NULL ? i : in->rows[i]};
        enum mr_status st = spec->functions->add(spec->user, in->slots[i] + acc->offset, &row);

        if (MR_UNLIKELY(st != MR_OK)) MR_RET(refuse(accs, acc, in, i, st, err));
    }
    return MR_OK;
}

/* ---- all of them ---- */

static enum mr_status update_one(const struct mri_accs *accs, const struct mri_acc *acc,
                                 const struct mri_feed *in)
{
    struct feed feed = {.slots = in->slots, .count = in->count};

    if (!acc->every_row) feed = feed_of(in, &in->columns[acc->plan->argument_columns[0]]);
    switch (acc->form) {
    case MRI_ACC_COUNT:
        if (acc->every_row) count_all(&feed, acc->offset);
        else count_valid(&feed, acc->offset);
        break;
    case MRI_ACC_SUM_INT: sum_int(acc->layout, &feed, acc->offset); break;
    case MRI_ACC_SUM_DECIMAL: sum_decimal(&feed, acc->offset); break;
    case MRI_ACC_SUM_FLOAT: return sum_float(acc->layout, &feed, acc->offset, &accs->blobs);
    case MRI_ACC_BEST:
    case MRI_ACC_EDGE: return best(accs, acc, &feed);
    case MRI_ACC_USER: break;
    }
    return MR_OK;
}

enum mr_status mri_accs_update(const struct mri_accs *accs, const struct mri_feed *in,
                               struct mr_error *err)
{
    for (uint32_t i = 0; accs->has_user && i < accs->count; i++) { /* first: they may refuse rows */
        if (accs->accs[i].form != MRI_ACC_USER) continue;
        MR_RET(add_user(accs, &accs->accs[i], in, err));
    }
    for (uint32_t i = 0; i < accs->count; i++) {
        if (update_one(accs, &accs->accs[i], in) != MR_OK) {
            return mr_error_nomem(err, accs->accs[i].plan->spec->name, 0);
        }
    }
    return MR_OK;
}

/* ---- partials ---- */

MR_INLINE int64_t int64_at(const struct mr_column *column, uint32_t row)
{
    return ((const int64_t *)column->values)[column->encoding == MR_CONST ? 0 : row];
}

static void merge_counts(const struct feed *feed, uint32_t offset)
{
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, false, &element)) continue;
        *(uint64_t *)(void *)(feed->slots[i] + offset) +=
            ((const uint64_t *)feed->values)[element];
    }
}

static void merge_sums(const struct mri_acc *acc, const struct feed *feed,
                       const struct mr_column *counts)
{
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, false, &element)) continue;
        void *slot = feed->slots[i] + acc->offset;
        mr_i128 sum = load_i128((const char *)feed->values + (size_t)element * 16);
        uint64_t count = (uint64_t)int64_at(counts, row_at(feed, i, false));
        if (acc->form == MRI_ACC_SUM_INT) {
            sum_int_add(slot, sum, count);
        } else {
            sum_decimal_add(slot, sum, count);
        }
    }
}

static enum mr_status merge_floats(const struct mri_accs *accs, const struct mri_acc *acc,
                                   const struct feed *feed, const struct mr_column *counts)
{
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, false, &element)) continue;
        struct sum_float *sum = (struct sum_float *)(void *)(feed->slots[i] + acc->offset);
        struct mr_bytes bytes =
            mr_view_bytes(feed->column, &((const struct mr_view *)feed->values)[element]);
        MR_RET(mri_exact_merge_bytes(&sum->sum, &accs->blobs, bytes.data, bytes.size_bytes));
        sum->count += (uint64_t)int64_at(counts, row_at(feed, i, false));
    }
    return MR_OK;
}

static enum mr_status merge_users(const struct mri_acc *acc, const struct feed *feed)
{
    const struct mr_aggregate_spec *spec = acc->plan->spec;
    MR_ALIGNED(16) char other[MRI_USER_STATE_MAX]; /* the bytes in a column are not aligned */
    uint32_t element;

    for (uint32_t i = 0; i < feed->count; i++) {
        if (!element_at(feed, i, false, &element)) continue;
        struct mr_bytes bytes =
            mr_view_bytes(feed->column, &((const struct mr_view *)feed->values)[element]);
        if (bytes.size_bytes != spec->functions->state_bytes) return MR_E_CORRUPT;
        memcpy(other, bytes.data, bytes.size_bytes);
        MR_RET(spec->functions->merge(spec->user, feed->slots[i] + acc->offset, other));
    }
    return MR_OK;
}

static enum mr_status merge_column(const struct mri_accs *accs, const struct mri_acc *acc,
                                   const struct mri_feed *in)
{
    const struct mr_column *columns = &in->columns[acc->plan->partial_column];
    struct feed feed = feed_of(in, &columns[0]);

    switch (acc->form) {
    case MRI_ACC_COUNT: merge_counts(&feed, acc->offset); break;
    case MRI_ACC_SUM_INT:
    case MRI_ACC_SUM_DECIMAL: merge_sums(acc, &feed, &columns[1]); break;
    case MRI_ACC_SUM_FLOAT: return merge_floats(accs, acc, &feed, &columns[1]);
    case MRI_ACC_BEST: return best(accs, acc, &feed);
    case MRI_ACC_EDGE:
        feed.times = columns[1].values;
        feed.times_mask = columns[1].encoding == MR_CONST ? 0 : UINT32_MAX;
        return best(accs, acc, &feed);
    case MRI_ACC_USER: return merge_users(acc, &feed);
    }
    return MR_OK;
}

enum mr_status mri_accs_merge_columns(const struct mri_accs *accs, const struct mri_feed *in,
                                      struct mr_error *err)
{
    for (uint32_t i = 0; i < accs->count; i++) {
        const struct mri_acc *acc = &accs->accs[i];
        enum mr_status st = merge_column(accs, acc, in);

        if (st == MR_OK) continue;
        if (st == MR_E_NOMEM) return mr_error_nomem(err, acc->plan->spec->name, 0);
        return mr_error_set(err, st, "aggregate '%s' failed to merge a partial result",
                            acc->plan->spec->name);
    }
    return MR_OK;
}
