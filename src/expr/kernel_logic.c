/* kernel_logic.c - AND OR NOT, null tests, CASE and COALESCE, IN NULLIF IS DISTINCT FROM.
 *
 * A condition is two bitmaps here: the rows where it is TRUE and those where it is FALSE; in
 * neither it is NULL. What can fail a row (or costs much) is evaluated only for the rows that need
 * it, in a narrower frame; what cannot is evaluated for all, which is faster than gathering.
 */
#include "expr/expr_internal.h"

void mri_truth(const struct mri_value *value, uint32_t count, uint64_t *is_true,
               uint64_t *is_false)
{
    const uint64_t *bits = value->column.values;
    bool constant = value->column.encoding == MR_CONST;

    for (uint32_t w = 0; w < mr_bits_words(count); w++) {
        uint64_t word = constant ? -(bits[0] & 1) : bits[w];
        uint64_t valid = mri_valid_word(value, w) & mr_bits_low(MR_MIN(count - w * 64, 64u));

        if (is_true != NULL) is_true[w] = word & valid;
        if (is_false != NULL) is_false[w] = ~word & valid;
    }
}

/* A bool result out of its TRUE and FALSE rows; takes both bitmaps over. */
static void bool_result(uint64_t *is_true, uint64_t *is_false, uint32_t count,
                        struct mri_value *out)
{
    for (uint32_t w = 0; w < mr_bits_words(count); w++) is_false[w] |= is_true[w];
    *out = (struct mri_value){.column = {.type = MR_BOOL, .encoding = MR_FLAT, .values = is_true}};
    if (!mr_bits_all(is_false, count)) out->column.validity = is_false;
}

enum mr_status mri_flatten(struct mri_run *run, struct mri_value *value, uint32_t count)
{
    struct mr_column *column = &value->column;
    size_t width = mr_layout_bytes(mr_type_layout((enum mr_type)column->type));
    char *values;
    uint64_t *validity = NULL;

    if (column->encoding != MR_CONST) return MR_OK;
    values = mri_values(run, column->type, count);
    if (values == NULL) return mri_nomem(run, width * count);
    if (column->type == MR_BOOL) {
        mr_bits_fill((uint64_t *)(void *)values, count, mr_bit_get(column->values, 0));
    } else {
        for (uint32_t i = 0; i < count; i++) memcpy(values + i * width, column->values, width);
    }
    if (!mr_column_valid(column, 0)) {
        validity = mri_bitmap(run, count);
        if (validity == NULL) return mri_nomem(run, count / 8);
    }
    column->encoding = MR_FLAT;
    column->values = values;
    column->validity = validity;
    value->borrowed = false;
    return MR_OK;
}

/* ---- a branch: a node for some rows of a frame ---- */

struct branch {
    struct mri_value value;
    bool by_position; /* value row of positions[i] is positions[i], else i */
    struct mri_mark work;
    struct mri_mark held;
    bool narrowed;
};

static enum mr_status branch_eval(struct mri_run *run, const struct mr_expr *node,
                                  struct mri_frame *frame, const uint32_t *positions,
                                  uint32_t count, struct branch *out)
{
    struct mri_frame narrow;

    out->work = mri_stack_mark(&run->eval->work);
    out->held = mri_stack_mark(&run->eval->held);
    out->narrowed = count != frame->count && (node->can_fail || node->costly);
    out->by_position = !out->narrowed;
    if (!out->narrowed) return mri_eval(run, node, frame, NULL, &out->value);
    MR_RET(mri_frame_narrow(run, frame, positions, count, &narrow));
    return mri_eval(run, node, &narrow, NULL, &out->value);
}

/* What a wide frame has gathered stays for others; texts of a result may lie in `held` too. */
static void branch_done(struct mri_run *run, const struct branch *branch, bool keep_held)
{
    mri_stack_release(&run->eval->work, branch->work);
    if (branch->narrowed && !keep_held) mri_stack_release(&run->eval->held, branch->held);
}

/* ---- AND, OR, NOT ---- */

/* AND: false wins. OR is the same with the bitmaps exchanged. */
static void connect(uint64_t *winner, uint64_t *loser, const uint64_t *more_winner,
                    const uint64_t *more_loser, uint32_t words)
{
    for (uint32_t w = 0; w < words; w++) {
        winner[w] |= more_winner[w];
        loser[w] &= more_loser[w];
    }
}

static enum mr_status undecided(struct mri_run *run, const uint64_t *winner, uint32_t count,
                                uint32_t **out_positions, uint32_t *out_count)
{
    uint64_t *open = mri_bitmap(run, count);
    uint32_t *positions = mri_stack_alloc(&run->eval->work, (size_t)count * sizeof(uint32_t));

    if (open == NULL || positions == NULL) return mri_nomem(run, count * sizeof(uint32_t));
    for (uint32_t w = 0; w < mr_bits_words(count); w++) {
        open[w] = ~winner[w] & mr_bits_low(MR_MIN(count - w * 64, 64u));
    }
    *out_positions = positions;
    *out_count = mri_bits_expand(open, count, positions);
    return MR_OK;
}

static void spread(const uint64_t *from, const uint32_t *positions, uint32_t count, uint64_t *to)
{
    for (uint32_t i = 0; i < count; i++) {
        to[positions[i] / 64] |= (uint64_t)mr_bit_get(from, i) << (positions[i] % 64);
    }
}

/* One more argument of AND or OR, for the rows that are not decided. */
static enum mr_status connect_next(struct mri_run *run, const struct mr_expr *node,
                                   struct mri_frame *frame, bool is_and, uint64_t *winner,
                                   uint64_t *loser)
{
    uint32_t count = frame->count, words = (uint32_t)mr_bits_words(count);
    uint64_t *bits = mri_stack_alloc(&run->eval->work, (size_t)words * 8 * 4);
    uint64_t *found_winner = bits, *found_loser = bits + words;
    uint64_t *wide_winner = bits + 2 * words, *wide_loser = bits + 3 * words;
    uint32_t *positions = NULL;
    uint32_t open = 0;
    struct branch branch;

    if (bits == NULL) return mri_nomem(run, (size_t)words * 32);
    MR_RET(undecided(run, winner, count, &positions, &open));
    if (open == 0) return MR_OK;
    MR_RET(branch_eval(run, node, frame, positions, open, &branch));
    mri_truth(&branch.value, branch.by_position ? count : open,
              is_and ? found_loser : found_winner, is_and ? found_winner : found_loser);
    branch_done(run, &branch, false);
    if (branch.by_position) {
        connect(winner, loser, found_winner, found_loser, words);
        return MR_OK;
    }
    memset(wide_winner, 0, (size_t)words * 16);
    spread(found_winner, positions, open, wide_winner);
    spread(found_loser, positions, open, wide_loser);
    connect(winner, loser, wide_winner, wide_loser, words);
    return MR_OK;
}

static enum mr_status eval_not(struct mri_run *run, const struct mr_expr *node,
                               struct mri_frame *frame, uint64_t *is_true, uint64_t *is_false)
{
    struct mri_value value;

    MR_RET(mri_eval(run, node->args[0], frame, NULL, &value));
    mri_truth(&value, frame->count, is_false, is_true);
    return MR_OK;
}

enum mr_status mri_eval_connective(struct mri_run *run, const struct mr_expr *node,
                                   struct mri_frame *frame, struct mri_value *out)
{
    uint64_t *is_true = mri_bitmap(run, frame->count);
    uint64_t *is_false = mri_bitmap(run, frame->count);
    struct mri_mark mark = mri_stack_mark(&run->eval->work);
    bool is_and = node->op == MR_OP_AND;
    struct mri_value first;

    if (is_true == NULL || is_false == NULL) return mri_nomem(run, frame->count / 4);
    if (node->op == MR_OP_NOT) {
        MR_RET(eval_not(run, node, frame, is_true, is_false));
    } else {
        MR_RET(mri_eval(run, node->args[0], frame, NULL, &first));
        mri_truth(&first, frame->count, is_true, is_false);
        for (uint32_t i = 1; i < node->count; i++) {
            mri_stack_release(&run->eval->work, mark);
            MR_RET(connect_next(run, node->args[i], frame, is_and, is_and ? is_false : is_true,
                                is_and ? is_true : is_false));
        }
    }
    mri_stack_release(&run->eval->work, mark);
    bool_result(is_true, is_false, frame->count, out);
    return MR_OK;
}

enum mr_status mri_eval_null_test(struct mri_run *run, const struct mr_expr *node,
                                  struct mri_frame *frame, struct mri_value *out)
{
    uint64_t *bits = mri_bitmap(run, frame->count);
    struct mri_mark mark = mri_stack_mark(&run->eval->work);
    uint64_t flip = node->op == MR_OP_IS_NULL ? UINT64_MAX : 0;
    struct mri_value value;

    if (bits == NULL) return mri_nomem(run, frame->count / 8);
    MR_RET(mri_eval(run, node->args[0], frame, NULL, &value));
    for (uint32_t w = 0; w < mr_bits_words(frame->count); w++) {
        bits[w] = (mri_valid_word(&value, w) ^ flip) &
                  mr_bits_low(MR_MIN(frame->count - w * 64, 64u));
    }
    mri_stack_release(&run->eval->work, mark);
    *out = (struct mri_value){.column = {.type = MR_BOOL, .encoding = MR_FLAT, .values = bits}};
    return MR_OK;
}

/* ---- CASE, COALESCE ---- */

/* A result that is put together from parts. */
struct merge {
    struct mri_run *run;
    const struct mr_expr *node;
    struct mri_frame *frame;
    void *values;
    uint64_t *validity;
    bool again; /* rows may have been put before: COALESCE behind its first argument */
    struct mri_writer writer;
    uint32_t *rest;  /* rows without a result so far */
    uint32_t *taken; /* rows of the current branch */
    uint64_t *bits;
    uint32_t rest_count;
    uint32_t taken_count;
};

#define SCATTER(T)                                                                     \
    do {                                                                               \
        const T *from = value->column.values;                                          \
        T *to = merge->values;                                                         \
        for (uint32_t i = 0; i < count; i++) {                                         \
            to[positions[i]] = from[(by_position ? positions[i] : i) & mask];          \
        }                                                                              \
    } while (0)

static void scatter_texts(struct merge *merge, const struct mri_value *value, bool by_position,
                          const uint32_t *positions, uint32_t count)
{
    const struct mr_view *from = value->column.values;
    struct mr_view *to = merge->values;
    uint32_t mask = mri_mask(value);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = by_position ? positions[i] : i;
        const struct mr_view *view = &from[at & mask];

        to[positions[i]] = (struct mr_view){0};
        if (!mr_column_valid(&value->column, at)) continue;
        to[positions[i]] = view->size_bytes <= MR_VIEW_INLINE
                               ? *view
                               : mri_writer_copy(&merge->writer,
                                                 mr_view_data(&value->column, view),
                                                 view->size_bytes);
    }
}

static void scatter_values(struct merge *merge, const struct mri_value *value, bool by_position,
                           const uint32_t *positions, uint32_t count)
{
    uint32_t mask = mri_mask(value);

    switch (mr_type_layout((enum mr_type)merge->node->type)) {
    case MR_LAYOUT_BIT:
        for (uint32_t i = 0; i < count; i++) {
            uint32_t at = (by_position ? positions[i] : i) & mask;

            mr_bit_assign(merge->values, positions[i], mr_bit_get(value->column.values, at));
        }
        break;
    case MR_LAYOUT_I8: SCATTER(int8_t); break;
    case MR_LAYOUT_I16: SCATTER(int16_t); break;
    case MR_LAYOUT_I32: SCATTER(int32_t); break;
    case MR_LAYOUT_I64: SCATTER(int64_t); break;
    case MR_LAYOUT_F32: SCATTER(float); break;
    case MR_LAYOUT_F64: SCATTER(double); break;
    case MR_LAYOUT_I128: SCATTER(mr_i128); break;
    case MR_LAYOUT_VIEW: scatter_texts(merge, value, by_position, positions, count); break;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: MR_UNREACHABLE();
    }
    if (value->column.validity == NULL && !merge->again) return;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = by_position ? positions[i] : i;

        mr_bit_assign(merge->validity, positions[i], mr_column_valid(&value->column, at));
    }
}

/* The rows `taken` get what `node` says. */
static enum mr_status merge_branch(struct merge *merge, const struct mr_expr *node)
{
    bool texts = mr_type_is_text((enum mr_type)merge->node->type);
    struct branch branch;

    if (merge->taken_count == 0) return MR_OK;
    MR_RET(branch_eval(merge->run, node, merge->frame, merge->taken, merge->taken_count, &branch));
    scatter_values(merge, &branch.value, branch.by_position, merge->taken, merge->taken_count);
    branch_done(merge->run, &branch, texts);
    return merge->writer.failed ? mri_nomem(merge->run, MR_TEXT_BYTES_MAX) : MR_OK;
}

/* Splits `rest` by bits (of rows or of positions in rest): ones are taken. */
static void split_rest(struct merge *merge, const uint64_t *bits, bool by_position)
{
    uint32_t kept = 0, taken = 0;

    for (uint32_t i = 0; i < merge->rest_count; i++) {
        uint32_t row = merge->rest[i];
        bool bit = mr_bit_get(bits, by_position ? row : i);

        merge->taken[taken] = row;
        merge->rest[kept] = row;
        taken += bit;
        kept += !bit;
    }
    merge->rest_count = kept;
    merge->taken_count = taken;
}

static enum mr_status merge_case(struct merge *merge)
{
    const struct mr_expr *node = merge->node;
    uint32_t count = merge->frame->count;

    for (uint32_t i = 0; i + 1 < node->count && merge->rest_count > 0; i += 2) {
        struct branch branch;

        MR_RET(branch_eval(merge->run, node->args[i], merge->frame, merge->rest,
                           merge->rest_count, &branch));
        mri_truth(&branch.value, branch.by_position ? count : merge->rest_count, merge->bits, NULL);
        branch_done(merge->run, &branch, false);
        split_rest(merge, merge->bits, branch.by_position);
        MR_RET(merge_branch(merge, node->args[i + 1]));
    }
    memcpy(merge->taken, merge->rest, merge->rest_count * sizeof(uint32_t));
    merge->taken_count = merge->rest_count;
    return merge_branch(merge, node->args[node->count - 1]);
}

/* Every argument is put over all rows that are still null. */
static enum mr_status merge_coalesce(struct merge *merge)
{
    for (uint32_t i = 0; i < merge->node->count && merge->rest_count > 0; i++) {
        memcpy(merge->taken, merge->rest, merge->rest_count * sizeof(uint32_t));
        merge->taken_count = merge->rest_count;
        MR_RET(merge_branch(merge, merge->node->args[i]));
        merge->again = true;
        for (uint32_t w = 0; w < mr_bits_words(merge->frame->count); w++) {
            merge->bits[w] = merge->validity[w];
        }
        split_rest(merge, merge->bits, true);
    }
    return MR_OK;
}

/* A failed row is null like another one, and COALESCE goes on for it: the row is marked anyway. */
enum mr_status mri_eval_choice(struct mri_run *run, const struct mr_expr *node,
                               struct mri_frame *frame, void *dest, struct mri_value *out)
{
    uint32_t count = frame->count;
    bool own = dest == NULL || node->type == MR_BOOL || mr_type_is_text((enum mr_type)node->type);
    struct merge merge = {.run = run, .node = node, .frame = frame, .rest_count = count};
    struct mri_mark mark;

    mri_writer_init(&merge.writer, run);
    merge.values = own ? mri_values(run, node->type, count) : dest;
    merge.validity = mri_bitmap(run, count);
    mark = mri_stack_mark(&run->eval->work);
    merge.bits = mri_bitmap(run, count);
    merge.rest = mri_stack_alloc(&run->eval->work, (size_t)count * sizeof(uint32_t));
    merge.taken = mri_stack_alloc(&run->eval->work, (size_t)(count + 1) * sizeof(uint32_t));
    if (merge.values == NULL || merge.validity == NULL || merge.bits == NULL ||
        merge.rest == NULL || merge.taken == NULL) {
        return mri_nomem(run, (size_t)count * 16);
    }
    mr_bits_fill(merge.validity, count, true);
    for (uint32_t i = 0; i < count; i++) merge.rest[i] = i;
    MR_RET(node->kind == MRI_CASE ? merge_case(&merge) : merge_coalesce(&merge));
    mri_stack_release(&run->eval->work, mark);
    *out = (struct mri_value){.column = {.type = node->type,
                                         .encoding = MR_FLAT,
                                         .precision = node->precision,
                                         .scale = node->scale,
                                         .buffer_count = merge.writer.buffer_count,
                                         .buffers = merge.writer.buffers,
                                         .values = merge.values}};
    if (!mr_bits_all(merge.validity, count)) out->column.validity = merge.validity;
    return MR_OK;
}

/* ---- IN, IS DISTINCT FROM, NULLIF ---- */

static enum mr_status match_in(struct mri_run *run, const struct mr_expr *node,
                               struct mri_frame *frame, uint64_t *is_true, uint64_t *is_false)
{
    uint32_t count = frame->count, words = (uint32_t)mr_bits_words(count);
    uint64_t *equal = mri_bitmap(run, count);
    uint64_t *unknown = mri_bitmap(run, count);
    struct mri_value value, item;
    struct mri_mark mark;

    if (equal == NULL || unknown == NULL) return mri_nomem(run, count / 4);
    MR_RET(mri_eval(run, node->args[0], frame, NULL, &value));
    mark = mri_stack_mark(&run->eval->work);
    for (uint32_t k = 1; k < node->count; k++) {
        MR_RET(mri_eval(run, node->args[k], frame, NULL, &item));
        mri_equal_bits(&value, &item, count, equal);
        for (uint32_t w = 0; w < words; w++) {
            is_true[w] |= equal[w] & mri_valid_word(&item, w);
            unknown[w] |= ~mri_valid_word(&item, w);
        }
        mri_stack_release(&run->eval->work, mark);
    }
    for (uint32_t w = 0; w < words; w++) {
        uint64_t valid = mri_valid_word(&value, w) & mr_bits_low(MR_MIN(count - w * 64, 64u));

        is_true[w] &= valid;
        is_false[w] = ~is_true[w] & ~unknown[w] & valid;
    }
    return MR_OK;
}

static enum mr_status match_distinct(struct mri_run *run, const struct mr_expr *node,
                                     struct mri_frame *frame, uint64_t *is_true,
                                     uint64_t *is_false)
{
    uint32_t count = frame->count;
    uint64_t *equal = mri_bitmap(run, count);
    struct mri_value left, right;

    if (equal == NULL) return mri_nomem(run, count / 8);
    MR_RET(mri_eval(run, node->args[0], frame, NULL, &left));
    MR_RET(mri_eval(run, node->args[1], frame, NULL, &right));
    mri_equal_bits(&left, &right, count, equal);
    for (uint32_t w = 0; w < mr_bits_words(count); w++) {
        uint64_t a = mri_valid_word(&left, w), b = mri_valid_word(&right, w);
        uint64_t low = mr_bits_low(MR_MIN(count - w * 64, 64u));

        is_true[w] = ((a ^ b) | (a & b & ~equal[w])) & low;
        is_false[w] = ~is_true[w] & low;
    }
    return MR_OK;
}

/* The left value, NULL where it equals the right one. Its scratch stays in front of the result. */
static enum mr_status eval_nullif(struct mri_run *run, const struct mr_expr *node,
                                  struct mri_frame *frame, void *dest, struct mri_value *out)
{
    uint32_t count = frame->count;
    uint64_t *equal = mri_bitmap(run, count);
    uint64_t *validity = mri_bitmap(run, count);
    struct mri_value right;

    if (equal == NULL || validity == NULL) return mri_nomem(run, count / 4);
    MR_RET(mri_eval(run, node->args[0], frame, dest, out));
    MR_RET(mri_flatten(run, out, count));
    MR_RET(mri_eval(run, node->args[1], frame, NULL, &right));
    mri_equal_bits(out, &right, count, equal);
    for (uint32_t w = 0; w < mr_bits_words(count); w++) {
        uint64_t both = equal[w] & mri_valid_word(&right, w);

        validity[w] = mri_valid_word(out, w) & ~both;
    }
    out->column.validity = validity;
    out->borrowed = false;
    return MR_OK;
}

enum mr_status mri_eval_matching(struct mri_run *run, const struct mr_expr *node,
                                 struct mri_frame *frame, void *dest, struct mri_value *out)
{
    uint64_t *is_true, *is_false;
    struct mri_mark mark;

    if (node->op == MR_OP_NULLIF) return eval_nullif(run, node, frame, dest, out);
    is_true = mri_bitmap(run, frame->count);
    is_false = mri_bitmap(run, frame->count);
    if (is_true == NULL || is_false == NULL) return mri_nomem(run, frame->count / 4);
    mark = mri_stack_mark(&run->eval->work);
    MR_RET(node->op == MR_OP_IN ? match_in(run, node, frame, is_true, is_false)
                                : match_distinct(run, node, frame, is_true, is_false));
    mri_stack_release(&run->eval->work, mark);
    bool_result(is_true, is_false, frame->count, out);
    return MR_OK;
}
