/* eval.c - the walk over a program: frames, operands, results, and the way into a batch. */
#include "expr/expr_internal.h"

#include "base/time.h"

enum mr_status mri_nomem(struct mri_run *run, size_t size_bytes)
{
    return mr_error_nomem(run->err, "the evaluation of an expression", size_bytes);
}

size_t mri_value_bytes(uint8_t type, uint32_t count)
{
    enum mr_layout layout = mr_type_layout((enum mr_type)type);

    if (layout == MR_LAYOUT_BIT) return mr_bits_words(count) * 8;
    return (size_t)mr_layout_bytes(layout) * count;
}

uint64_t *mri_bitmap(struct mri_run *run, uint32_t count)
{
    size_t size = mr_bits_words(count) * 8;
    uint64_t *words = mri_stack_alloc(&run->eval->work, size);

    if (words != NULL) memset(words, 0, size);
    return words;
}

void *mri_values(struct mri_run *run, uint8_t type, uint32_t count)
{
    if (type == MR_BOOL) return mri_bitmap(run, count);
    return mri_stack_alloc(&run->eval->work, mri_value_bytes(type, count));
}

/* ---- frames and columns ---- */

enum mr_status mri_frame_narrow(struct mri_run *run, const struct mri_frame *parent,
                                const uint32_t *positions, uint32_t count, struct mri_frame *out)
{
    uint32_t *elements = mri_stack_alloc(&run->eval->work, (size_t)count * sizeof(uint32_t));
    uint32_t *logical = elements;

    if (elements == NULL) return mri_nomem(run, (size_t)count * sizeof(uint32_t));
    for (uint32_t i = 0; i < count; i++) {
        elements[i] = parent->elements == NULL ? positions[i] : parent->elements[positions[i]];
    }
    if (parent->elements != parent->logical) {
        logical = mri_stack_alloc(&run->eval->work, (size_t)count * sizeof(uint32_t));
        if (logical == NULL) return mri_nomem(run, (size_t)count * sizeof(uint32_t));
        for (uint32_t i = 0; i < count; i++) {
            logical[i] = parent->logical == NULL ? positions[i] : parent->logical[positions[i]];
        }
    }
    *out = (struct mri_frame){.count = count, .elements = elements, .logical = logical};
    return MR_OK;
}

/* Where the elements lie in the dictionary. An index under a null may be anything; it is brought
 * into range here. */
static const uint32_t *dictionary_places(struct mri_run *run, const struct mr_column *column,
                                         const uint32_t *elements, uint32_t count)
{
    const uint32_t *indices = column->values;
    uint32_t *places = mri_stack_alloc(&run->eval->held, (size_t)count * sizeof(uint32_t));

    if (places == NULL) return NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = indices[elements == NULL ? i : elements[i]];

        places[i] = index < column->child_rows ? index : 0;
    }
    return places;
}

#define GATHER(type)                                                               \
    do {                                                                           \
        const type *from = values;                                                 \
        type *to = out;                                                            \
        for (uint32_t i = 0; i < count; i++) to[i] = from[places[i]];              \
    } while (0)

static void gather_values(enum mr_layout layout, const void *values, const uint32_t *places,
                          uint32_t count, void *out)
{
    switch (layout) {
    case MR_LAYOUT_BIT:
        for (uint32_t i = 0; i < count; i++) mr_bit_assign(out, i, mr_bit_get(values, places[i]));
        break;
    case MR_LAYOUT_I8: GATHER(uint8_t); break;
    case MR_LAYOUT_I16: GATHER(uint16_t); break;
    case MR_LAYOUT_I32:
    case MR_LAYOUT_F32: GATHER(uint32_t); break;
    case MR_LAYOUT_I64:
    case MR_LAYOUT_F64: GATHER(uint64_t); break;
    case MR_LAYOUT_I128: GATHER(mr_i128); break;
    case MR_LAYOUT_VIEW: GATHER(struct mr_view); break;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break; /* only their validity is ever looked at */
    }
}

static enum mr_status gather_validity(struct mri_run *run, const uint64_t *validity,
                                      const uint32_t *places, uint32_t count, uint64_t **inout)
{
    uint64_t *words = *inout;
    size_t size = mr_bits_words(count) * 8;

    if (validity == NULL) return MR_OK;
    if (words == NULL) {
        words = mri_stack_alloc(&run->eval->held, size);
        if (words == NULL) return mri_nomem(run, size);
        mr_bits_fill(words, count, true);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = places == NULL ? i : places[i];

        words[i / 64] &= ~((uint64_t)!mr_bit_get(validity, at) << (i % 64));
    }
    *inout = words;
    return MR_OK;
}

/* The elements of a column that a frame asks for, FLAT, in held scratch. */
static enum mr_status gather_column(struct mri_run *run, const struct mr_column *column,
                                    const uint32_t *elements, uint32_t count,
                                    struct mri_value *out)
{
    const struct mr_column *source = column;
    const uint32_t *places = elements;
    enum mr_layout layout = mr_type_layout((enum mr_type)column->type);
    size_t size = layout == MR_LAYOUT_LIST ? 0 : mri_value_bytes(column->type, count);
    void *values = mri_stack_alloc(&run->eval->held, size);
    uint64_t *validity = NULL;

    if (values == NULL) return mri_nomem(run, size);
    if (layout == MR_LAYOUT_BIT) memset(values, 0, size);
    MR_RET(gather_validity(run, column->validity, elements, count, &validity));
    if (column->encoding == MR_DICT) {
        source = &column->children[0];
        places = dictionary_places(run, column, elements, count);
        if (places == NULL) return mri_nomem(run, (size_t)count * sizeof(uint32_t));
        if (column->child_rows > 0) {
            MR_RET(gather_validity(run, source->validity, places, count, &validity));
        }
    }
    if (column->encoding == MR_DICT && column->child_rows == 0) memset(values, 0, size);
    else gather_values(layout, source->values, places, count, values);
    out->column = *source;
    out->column.encoding = MR_FLAT;
    out->column.precision = column->precision;
    out->column.scale = column->scale;
    out->column.values = values;
    out->column.validity = validity;
    out->borrowed = false;
    out->texts_borrowed = true;
    return MR_OK;
}

static enum mr_status eval_column(struct mri_run *run, const struct mr_expr *node,
                                  struct mri_frame *frame, struct mri_value *out)
{
    const struct mr_column *column = &run->batch->columns[node->index];
    size_t size = run->bound->slot_count * sizeof *frame->cache;

    mr_assert(node->index < run->batch->column_count);
    mr_assert(column->type == node->type);
    if (column->encoding == MR_CONST || (column->encoding == MR_FLAT && frame->elements == NULL)) {
        *out = (struct mri_value){.column = *column, .borrowed = true, .texts_borrowed = true};
        return MR_OK;
    }
    if (frame->cache == NULL) {
        frame->cache = mri_stack_alloc(&run->eval->held, size);
        if (frame->cache == NULL) return mri_nomem(run, size);
        memset(frame->cache, 0, size);
    }
    if (frame->cache[node->slot].column.type == MR_TYPE_NONE) {
        MR_RET(gather_column(run, column, frame->elements, frame->count,
                             &frame->cache[node->slot]));
    }
    *out = frame->cache[node->slot];
    return MR_OK;
}

static void const_null(struct mri_value *out, const struct mr_expr *node)
{
    static const uint64_t zero[16] MR_ALIGNED(64) = {0};

    *out = (struct mri_value){.column = {.type = node->type,
                                         .encoding = MR_CONST,
                                         .precision = node->precision,
                                         .scale = node->scale,
                                         .validity = zero,
                                         .values = zero}};
}

/* Rows without a time (the lower bound) have NULL here, whether the hidden column is absent or
 * filled with its default: how batches were cut must not show. */
static enum mr_status eval_hidden(struct mri_run *run, const struct mr_expr *node,
                                  struct mri_frame *frame, struct mri_value *out)
{
    const struct mr_column *column = run->batch->hidden[node->index];
    const int64_t *values;
    uint64_t *validity = NULL;

    const_null(out, node);
    if (column == NULL) return MR_OK;
    if (column->encoding == MR_CONST) {
        if (!mr_column_valid(column, 0) || mr_column_int64(column, 0) == MR_TIME_MIN) return MR_OK;
        *out = (struct mri_value){.column = *column, .borrowed = true};
    } else if (column->encoding == MR_FLAT && frame->elements == NULL) {
        *out = (struct mri_value){.column = *column, .borrowed = true};
    } else {
        MR_RET(gather_column(run, column, frame->elements, frame->count, out));
    }
    out->column.type = MR_TIMESTAMP_LTZ;
    if (column->encoding == MR_CONST) return MR_OK;
    values = out->column.values;
    for (uint32_t i = 0; i < frame->count; i++) {
        if (MR_LIKELY(values[i] != MR_TIME_MIN)) continue;
        if (validity == NULL) {
            MR_RET(gather_validity(run, out->column.validity, NULL, frame->count, &validity));
        }
        if (validity == NULL) {
            validity = mri_stack_alloc(&run->eval->held, mr_bits_words(frame->count) * 8);
            if (validity == NULL) return mri_nomem(run, frame->count / 8);
            mr_bits_fill(validity, frame->count, true);
        }
        mr_bit_clear(validity, i);
    }
    if (validity == NULL) return MR_OK;
    out->column.validity = validity;
    out->borrowed = false;
    return MR_OK;
}

/* ---- failures ---- */

static void mark_failed(struct mri_run *run, const struct mri_frame *frame, uint32_t at,
                        uint32_t *first)
{
    uint32_t row = frame->logical == NULL ? at : frame->logical[at];
    struct mr_eval_failures *failures = run->failures;

    if (mr_bit_get(failures->rows, row)) return;
    mr_bit_set(failures->rows, row);
    failures->count++;
    *first = MR_MIN(*first, row);
}

struct line { /* a text of bounded size */
    char data[400];
    size_t size;
};

static void put(struct line *line, const char *data, size_t size_bytes)
{
    size_t room = sizeof line->data - 1 - line->size;

    if (size_bytes > room) size_bytes = room;
    memcpy(line->data + line->size, data, size_bytes);
    line->size += size_bytes;
    line->data[line->size] = '\0';
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

static void put_bytes(struct line *line, struct mr_bytes bytes)
{
    size_t shown = MR_MIN(bytes.size_bytes, (size_t)60);

    put_text(line, "'");
    for (size_t i = 0; i < shown; i++) {
        char c = bytes.data[i];

        if ((unsigned char)c < 0x20 || c == 0x7f) c = '?';
        put(line, &c, 1);
    }
    put_text(line, shown < bytes.size_bytes ? "...'" : "'");
}

static void put_value(struct line *line, const struct mr_column *column, uint32_t at)
{
    char buffer[MR_NUM_TEXT_BYTES];
    int64_t number;

    if (!mr_column_valid(column, at)) {
        put_text(line, "NULL");
        return;
    }
    switch ((enum mr_type)column->type) {
    case MR_UTF8:
    case MR_BINARY: put_bytes(line, mr_column_bytes(column, at)); return;
    case MR_FLOAT32:
        put(line, buffer, mr_num_format_float32(buffer, (float)mr_column_float64(column, at)));
        return;
    case MR_FLOAT64:
        put(line, buffer, mr_num_format_float64(buffer, mr_column_float64(column, at)));
        return;
    case MR_DECIMAL: {
        mr_i128 value = mr_column_int128(column, at);
        struct mr_int128 words = {(uint64_t)value, (int64_t)(value >> 64)};

        put(line, buffer, mr_num_format_decimal(buffer, words, column->scale));
        return;
    }
    case MR_BOOL: put_text(line, mr_column_bool(column, at) ? "TRUE" : "FALSE"); return;
    case MR_TYPE_NONE:
    case MR_LIST:
    case MR_STRUCT:
    case MR_MAP: return;
    case MR_INT8:
    case MR_INT16:
    case MR_INT32:
    case MR_INT64:
    case MR_DATE:
    case MR_TIME:
    case MR_TIMESTAMP:
    case MR_TIMESTAMP_LTZ:
    case MR_INTERVAL: break;
    }
    number = mr_column_int64(column, at);
    if (column->type == MR_DATE) {
        put(line, buffer, mr_format_date(buffer, (int32_t)number));
    } else if (column->type == MR_TIME && number >= 0 && number < MR_DAY) {
        put(line, buffer, mr_format_time(buffer, number));
    } else if (mr_type_is_time((enum mr_type)column->type) && number > MR_TIME_MIN &&
               number < MR_TIME_MAX) {
        put(line, buffer,
            mr_format_timestamp(buffer, number, column->type == MR_TIMESTAMP_LTZ));
    } else {
        put(line, buffer, mr_num_format_int64(buffer, number));
        if (column->type == MR_INTERVAL) put_text(line, " microseconds");
    }
}

/* "integer overflow in a * b: 5000000000 * 5000000000" */
static void tell(struct mri_call *call, uint32_t at, const char *reason)
{
    struct line line = {.size = 0};
    bool infix = call->node->kind == MRI_CALL && call->node->op <= MR_OP_MODULO;

    put_text(&line, reason);
    put_text(&line, " in ");
    put_text(&line, call->node->story != NULL ? call->node->story : "an expression");
    put_text(&line, ": ");
    for (uint32_t i = 0; i < call->arg_count; i++) {
        if (i > 0 && infix) {
            put_text(&line, " ");
            put_text(&line, mri_op_text((enum mr_op)call->node->op));
            put_text(&line, " ");
        } else if (i > 0) {
            put_text(&line, ", ");
        }
        put_value(&line, &call->args[i].column, at);
    }
    (void)mr_error_set(&call->run->failures->error, MR_E_EVALUATE, "%s", line.data);
}

void mri_call_null(struct mri_call *call, uint32_t at)
{
    if (call->status != MR_OK) return;
    if (call->validity == NULL) {
        call->validity = mri_bitmap(call->run, call->count);
        if (call->validity == NULL) {
            call->status = mri_nomem(call->run, call->count / 8);
            return;
        }
        mr_bits_fill(call->validity, call->count, true);
    }
    mr_bit_clear(call->validity, at);
}

void mri_call_fail(struct mri_call *call, uint32_t at, const char *reason)
{
    struct mr_eval_failures *failures = call->run->failures;
    uint32_t known = failures->count;
    uint32_t first = UINT32_MAX;

    mri_call_null(call, at);
    if (call->node->kind == MRI_CAST && call->node->try_cast) return;
    if (call->frame->whole == NULL) {
        mark_failed(call->run, call->frame, at, &first);
    } else {
        for (uint32_t i = 0; i < call->frame->whole->count; i++) {
            mark_failed(call->run, call->frame->whole, i, &first);
        }
    }
    if (first == UINT32_MAX) return;
    if (known > 0 && failures->first_row <= first) return;
    failures->first_row = first;
    tell(call, at, reason);
}

/* ---- calls ---- */

static void run_kernel(struct mri_call *call)
{
    uint8_t op = call->node->op;

    if (call->node->kind == MRI_CAST) mri_kernel_cast(call);
    else if (op <= MR_OP_ABS) mri_kernel_arith(call);
    else if (op <= MR_OP_GE) mri_kernel_compare(call);
    else if (op == MR_OP_LEAST || op == MR_OP_GREATEST) mri_kernel_extreme(call);
    else if (op >= MR_OP_FLOOR && op <= MR_OP_POWER) mri_kernel_math(call);
    else if (op >= MR_OP_LENGTH && op <= MR_OP_REPLACE) mri_kernel_text(call);
    else mri_kernel_time(call);
}

/* Valid where every operand is. Shares nothing: kernels clear bits in it. */
static enum mr_status merge_validity(struct mri_call *call)
{
    uint32_t words = (uint32_t)mr_bits_words(call->count);

    for (uint32_t i = 0; i < call->arg_count; i++) {
        const struct mr_column *column = &call->args[i].column;

        if (column->validity == NULL) continue;
        if (column->encoding == MR_CONST && call->count != 1 && mr_bit_get(column->validity, 0)) {
            continue;
        }
        if (call->validity == NULL) {
            call->validity = mri_bitmap(call->run, call->count);
            if (call->validity == NULL) return mri_nomem(call->run, words * 8u);
            mr_bits_fill(call->validity, call->count, true);
        }
        for (uint32_t w = 0; w < words; w++) call->validity[w] &= column->validity[w];
    }
    return MR_OK;
}

/* Operands are all constant: one element is computed and stands for every row. */
static bool all_constant(const struct mri_value *args, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (args[i].column.encoding != MR_CONST) return false;
    }
    return true;
}

static bool any_null_constant(const struct mri_value *args, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mr_column *column = &args[i].column;

        if (column->encoding == MR_CONST && !mr_column_valid(column, 0)) return true;
    }
    return false;
}

static void finish_call(struct mri_call *call, const struct mr_expr *node, bool constant,
                        struct mri_value *out)
{
    *out = (struct mri_value){.column = {.type = node->type,
                                         .encoding = constant ? MR_CONST : MR_FLAT,
                                         .precision = node->precision,
                                         .scale = node->scale,
                                         .buffer_count = call->buffer_count,
                                         .buffers = call->buffers,
                                         .validity = call->validity,
                                         .values = call->values},
                              .texts_borrowed = call->texts_borrowed};
}

/* The operands' scratch goes when the result is there; the validity is made in front of it. */
static enum mr_status eval_call(struct mri_run *run, const struct mr_expr *node,
                                struct mri_frame *frame, void *dest, struct mri_value *out)
{
    bool is_view = mr_type_is_text((enum mr_type)node->type);
    uint64_t *validity = mri_bitmap(run, frame->count);
    void *values = dest != NULL && !is_view && node->type != MR_BOOL
                       ? dest
                       : mri_values(run, node->type, frame->count);
    struct mri_mark mark = mri_stack_mark(&run->eval->work);
    struct mri_value args[16];
    struct mri_frame single = {.count = 1, .whole = frame->whole != NULL ? frame->whole : frame};
    struct mri_call call = {.run = run, .node = node, .frame = frame, .args = args,
                            .arg_count = node->count, .count = frame->count, .values = values};
    bool constant;

    mr_assert(node->count <= MR_COUNT(args));
    if (validity == NULL || values == NULL) return mri_nomem(run, frame->count);
    for (uint32_t i = 0; i < node->count; i++) {
        MR_RET(mri_eval(run, node->args[i], frame, NULL, &args[i]));
    }
    constant = all_constant(args, node->count);
    if (any_null_constant(args, node->count)) {
        const_null(out, node);
        mri_stack_release(&run->eval->work, mark);
        return MR_OK;
    }
    if (constant) {
        call.frame = &single;
        call.count = 1;
    }
    MR_RET(merge_validity(&call));
    run_kernel(&call);
    MR_RET(call.status);
    if (call.validity != NULL) {
        memcpy(validity, call.validity, mr_bits_words(call.count) * 8);
        call.validity = validity;
    }
    mri_stack_release(&run->eval->work, mark);
    finish_call(&call, node, constant, out);
    return MR_OK;
}

static enum mr_status eval_hash(struct mri_run *run, const struct mr_expr *node,
                                struct mri_frame *frame, void *dest, struct mri_value *out)
{
    uint64_t *hashes = dest != NULL ? dest : mri_values(run, MR_INT64, frame->count);
    struct mri_mark mark = mri_stack_mark(&run->eval->work);

    if (hashes == NULL) return mri_nomem(run, frame->count * sizeof(uint64_t));
    for (uint32_t i = 0; i < node->count; i++) {
        const struct mr_expr *arg = node->args[i];
        struct mri_value value;
        const struct mr_column *column = &value.column;
        const uint32_t *elements = NULL;

        if (arg->kind == MRI_COLUMN) { /* also nested ones, which cannot be gathered here */
            column = &run->batch->columns[arg->index];
            elements = frame->elements;
        } else {
            MR_RET(mri_eval(run, arg, frame, NULL, &value));
        }
        if (i == 0) mr_column_hash(column, elements, frame->count, hashes);
        else mr_column_hash_combine(column, elements, frame->count, hashes);
    }
    mri_stack_release(&run->eval->work, mark);
    *out = (struct mri_value){
        .column = {.type = MR_INT64, .encoding = MR_FLAT, .values = hashes}};
    return MR_OK;
}

/* A cast that changes the name of the type only. */
static bool is_relabel(uint8_t from, uint8_t to)
{
    if (from == MR_UTF8 && to == MR_BINARY) return true;
    return mr_type_is_time((enum mr_type)from) && mr_type_is_time((enum mr_type)to);
}

enum mr_status mri_eval(struct mri_run *run, const struct mr_expr *node, struct mri_frame *frame,
                        void *dest, struct mri_value *out)
{
    switch ((enum mri_kind)node->kind) {
    case MRI_COLUMN: return eval_column(run, node, frame, out);
    case MRI_HIDDEN: return eval_hidden(run, node, frame, out);
    case MRI_LITERAL: *out = (struct mri_value){.column = node->constant}; return MR_OK;
    case MRI_CASE: return mri_eval_choice(run, node, frame, dest, out);
    case MRI_CAST:
        if (!is_relabel(node->args[0]->type, node->type)) break;
        MR_RET(mri_eval(run, node->args[0], frame, dest, out));
        out->column.type = node->type;
        return MR_OK;
    case MRI_CALL: break;
    case MRI_TOO_LARGE: MR_UNREACHABLE();
    }
    if (node->kind == MRI_CAST) return eval_call(run, node, frame, dest, out);
    switch (node->op) {
    case MR_OP_AND:
    case MR_OP_OR:
    case MR_OP_NOT: return mri_eval_connective(run, node, frame, out);
    case MR_OP_IS_NULL:
    case MR_OP_IS_NOT_NULL: return mri_eval_null_test(run, node, frame, out);
    case MR_OP_COALESCE: return mri_eval_choice(run, node, frame, dest, out);
    case MR_OP_IN:
    case MR_OP_NULLIF:
    case MR_OP_IS_DISTINCT: return mri_eval_matching(run, node, frame, dest, out);
    case MR_OP_HASH: return eval_hash(run, node, frame, dest, out);
    default: return eval_call(run, node, frame, dest, out);
    }
}

/* ---- from outside ---- */

enum mr_status mr_eval_create(struct mr_heap *heap, struct mr_eval **out, struct mr_error *err)
{
    struct mr_eval *eval = mr_alloc_zero(heap, sizeof *eval);

    if (eval == NULL) return mr_error_nomem(err, "the evaluation of expressions", sizeof *eval);
    eval->heap = heap;
    eval->work.heap = heap;
    eval->held.heap = heap;
    *out = eval;
    return MR_OK;
}

void mr_eval_destroy(struct mr_eval *eval)
{
    if (eval == NULL) return;
    mri_stack_fini(&eval->work);
    mri_stack_fini(&eval->held);
    mr_free(eval->heap, eval, sizeof *eval);
}

static struct mri_frame root_frame(const struct mr_batch *batch)
{
    return (struct mri_frame){.count = batch->row_count, .elements = batch->selection};
}

/* A row that failed somewhere below is NULL here, also where it came to a value after all: FALSE
 * behind a failure in AND, or COALESCE over one. */
static enum mr_status drop_failed(struct mri_run *run, struct mri_value *value, uint32_t count)
{
    uint64_t *validity;

    if (run->failures->count == 0) return MR_OK;
    MR_RET(mri_flatten(run, value, count));
    validity = mri_bitmap(run, count);
    if (validity == NULL) return mri_nomem(run, count / 8);
    for (uint32_t w = 0; w < mr_bits_words(count); w++) {
        validity[w] = mri_valid_word(value, w) & ~run->failures->rows[w];
    }
    value->column.validity = validity;
    value->texts_borrowed = value->texts_borrowed || value->borrowed;
    value->borrowed = false;
    return MR_OK;
}

enum mr_status mr_eval_filter(struct mr_eval *eval, const struct mr_bound *bound,
                              struct mr_batch *batch, uint32_t *out_rows, uint32_t *out_count,
                              struct mr_eval_failures *failures, struct mr_error *err)
{
    struct mri_run run = {
        .eval = eval, .bound = bound, .batch = batch, .failures = failures, .err = err};
    struct mri_frame frame = root_frame(batch);
    struct mri_value value;
    uint64_t *is_true;

    mr_assert(bound->root->type == MR_BOOL);
    mri_stack_reset(&eval->work);
    mri_stack_reset(&eval->held);
    *out_count = 0;
    if (batch->row_count == 0) return MR_OK;
    is_true = mri_bitmap(&run, frame.count);
    if (is_true == NULL) return mri_nomem(&run, frame.count / 8);
    MR_RET(mri_eval(&run, bound->root, &frame, NULL, &value));
    MR_RET(drop_failed(&run, &value, frame.count));
    mri_truth(&value, frame.count, is_true, NULL);
    *out_count = mri_bits_expand(is_true, frame.count, out_rows);
    return MR_OK;
}

enum mr_status mr_eval_run(struct mr_eval *eval, const struct mr_bound *bound,
                           struct mr_batch *batch, struct mr_batch *target,
                           struct mr_column *out, struct mr_eval_failures *failures,
                           bool *out_blocked, struct mr_error *err)
{
    struct mri_run run = {
        .eval = eval, .bound = bound, .batch = batch, .failures = failures, .err = err};
    struct mri_frame frame = root_frame(batch);
    struct mri_export export = {.run = &run, .target = target, .out_blocked = out_blocked};
    struct mri_value value;
    void *dest = NULL;

    *out_blocked = false;
    mri_stack_reset(&eval->work);
    mri_stack_reset(&eval->held);
    if (bound->root->kind == MRI_COLUMN) return mri_export_column(&export, bound->root->index, out);
    MR_RET(mri_export_reserve(&export, bound->root, frame.count, &dest));
    if (*out_blocked) return MR_OK;
    MR_RET(mri_eval(&run, bound->root, &frame, dest, &value));
    MR_RET(drop_failed(&run, &value, frame.count));
    return mri_export_value(&export, &value, frame.count, dest, out);
}
