/* expr_internal.h - what the files of this folder share: tree nodes, frames, scratch, kernels.
 *
 * One node type serves both trees. Building fills the upper part; binding makes new nodes in the
 * program's arena and fills the lower part too. Evaluation walks the bound nodes; every node yields
 * one column (FLAT or CONST) with one element per row of the current frame.
 *
 * A frame is the set of rows that a node is evaluated for: all logical rows of the batch at the
 * root, fewer below CASE, COALESCE, AND and OR. Two stacks of scratch memory serve a run: `work`
 * for values, released node by node, and `held` for gathered columns and texts, which lives until
 * the run (or a frame without text result) ends.
 *
 * Owns:    nodes: their arena; values: the scratch, the batch or the program.
 * Thread:  bound nodes immutable; everything else confined.
 * Fails:   scratch answers NULL when the heap refuses: MR_E_NOMEM.
 * Cost:    see expr.h.
 */
#ifndef MR_EXPR_EXPR_INTERNAL_H
#define MR_EXPR_EXPR_INTERNAL_H

#include "base/arena.h"
#include "base/assert.h"
#include "base/status.h"
#include "base/text.h"
#include "data/batch.h"
#include "data/builder.h"
#include "expr/expr.h"
#include "text/number.h"

#include <string.h>

#define MRI_DEPTH_MAX 256u      /* levels of a tree: evaluation recurses */
#define MRI_NODES_MAX 100000u   /* parts of a tree; a shared one counts wherever it stands */
#define MRI_STORY_BYTES 160u    /* longest text of an expression inside a message */
#define MRI_DECIMAL_DIGITS 38u

enum mri_kind { MRI_COLUMN, MRI_HIDDEN, MRI_LITERAL, MRI_CALL, MRI_CASE, MRI_CAST, MRI_TOO_LARGE };

struct mr_expr {
    const struct mr_arena *arena; /* where the tree was made: whose it is */
    uint8_t kind;
    uint8_t op;        /* enum mr_op; calls only */
    uint8_t type;      /* enum mr_type: of a literal, a cast, and of every bound node */
    uint8_t precision;
    uint8_t scale;
    bool is_null;      /* literal */
    bool try_cast;
    bool implicit;     /* cast that binding put in */
    uint32_t depth;
    uint32_t nodes;    /* of the tree below, itself included; 0 counts as 1 */
    uint32_t count;
    struct mr_expr **args; /* CASE: when, then, when, then, ..., otherwise */
    const char *name;      /* column */
    mr_i128 number;        /* literal: bool, integers, decimals, times */
    double real;           /* literal: floats */
    const char *text;      /* literal: texts */
    size_t size_bytes;
    /* bound only */
    bool not_null;
    bool can_fail;         /* it or anything below may fail a row */
    bool costly;           /* worth evaluating for few rows only */
    uint32_t index;        /* column: in the batch; hidden: enum mr_hidden */
    uint32_t slot;         /* column: in the frame's cache */
    struct mr_column constant; /* literal: ready to use, texts in the program */
    const char *story;     /* how messages call it */
};

struct mr_bound {
    struct mr_heap *heap;
    struct mr_arena arena;
    const struct mr_expr *root;
    struct mr_field field;
    uint32_t slot_count;
};

MR_INLINE bool mri_is_null_literal(const struct mr_expr *node)
{
    return node->kind == MRI_LITERAL && node->is_null;
}

void mri_print(const struct mr_expr *expr, bool show_implicit, struct mr_text *out);
const char *mri_op_text(enum mr_op op);
void mri_type_print(uint8_t type, uint8_t precision, uint8_t scale, struct mr_text *out);

/* ---- scratch ---- */

struct mri_chunk;

/* A stack of bytes that keeps its chunks when it is emptied. */
struct mri_stack {
    struct mr_heap *heap;
    struct mri_chunk *first;
    struct mri_chunk *current;
    size_t used_bytes;  /* in current */
    size_t total_bytes; /* of all chunks */
};

struct mri_mark {
    struct mri_chunk *chunk;
    size_t used_bytes;
};

void *mri_stack_alloc(struct mri_stack *stack, size_t size_bytes) MR_MUST_USE; /* 64-aligned */
struct mri_mark mri_stack_mark(const struct mri_stack *stack);
void mri_stack_release(struct mri_stack *stack, struct mri_mark mark);
void mri_stack_reset(struct mri_stack *stack); /* gives back what is beyond the usual size */
void mri_stack_fini(struct mri_stack *stack);

struct mr_eval {
    struct mr_heap *heap;
    struct mri_stack work;
    struct mri_stack held;
};

/* ---- evaluation ---- */

struct mri_value {
    struct mr_column column;
    bool borrowed;       /* the whole column lies in the batch, as it is */
    bool texts_borrowed; /* far views point into the batch */
};

struct mri_frame {
    uint32_t count;
    const uint32_t *elements; /* of the batch's columns; NULL: 0..count-1 */
    const uint32_t *logical;  /* rows of the batch; NULL: 0..count-1 */
    const struct mri_frame *whole; /* this frame's one row stands for all of that frame's */
    struct mri_value *cache;  /* gathered columns by slot; type NONE: not yet */
};

struct mri_run {
    struct mr_eval *eval;
    const struct mr_bound *bound;
    struct mr_batch *batch;
    struct mr_eval_failures *failures;
    struct mr_error *err;
};

/* Evaluates a node for the rows of a frame. `dest`, if not NULL, is where a result of fixed width
 * may be put instead of scratch; bits and texts are never put there. */
enum mr_status mri_eval(struct mri_run *run, const struct mr_expr *node, struct mri_frame *frame,
                        void *dest, struct mri_value *out) MR_MUST_USE;
enum mr_status mri_nomem(struct mri_run *run, size_t size_bytes);
/* The frame of rows positions[0..count) of `parent`. */
enum mr_status mri_frame_narrow(struct mri_run *run, const struct mri_frame *parent,
                                const uint32_t *positions, uint32_t count,
                                struct mri_frame *out) MR_MUST_USE;
size_t mri_value_bytes(uint8_t type, uint32_t count);
/* Memory for `count` values of a type, from the work stack; bits zeroed. */
void *mri_values(struct mri_run *run, uint8_t type, uint32_t count) MR_MUST_USE;
uint64_t *mri_bitmap(struct mri_run *run, uint32_t count) MR_MUST_USE; /* zeroed */

/* Positions of the set bits, ascending; room for `count` entries. */
uint32_t mri_bits_expand(const uint64_t *words, uint32_t count, uint32_t *out);
/* TRUE and FALSE rows of a bool value (CONST too), tails zero. Either may be NULL. */
void mri_truth(const struct mri_value *value, uint32_t count, uint64_t *is_true,
               uint64_t *is_false);

/* One kernel call: operands in, values and validity out. */
struct mri_call {
    struct mri_run *run;
    const struct mr_expr *node;
    const struct mri_frame *frame; /* where failures are reported */
    const struct mri_value *args;
    uint32_t arg_count;
    uint32_t count;
    void *values;       /* result, by the node's layout; not for texts: see mri_writer */
    uint64_t *validity; /* writable; NULL: no nulls so far */
    const char *const *buffers; /* result of text kernels */
    uint32_t buffer_count;
    bool texts_borrowed;
    enum mr_status status; /* MR_E_NOMEM when scratch ran out */
};

/* Row `at` of the call has no value: NULL, and marked as failed (NULL only for TRY_CAST). */
MR_COLD void mri_call_fail(struct mri_call *call, uint32_t at, const char *reason);
/* Row `at` becomes NULL without failing. */
void mri_call_null(struct mri_call *call, uint32_t at);

MR_INLINE bool mri_call_valid(const struct mri_call *call, uint32_t at)
{
    return call->validity == NULL || mr_bit_get(call->validity, at);
}

/* Index mask of an operand: row & mask is 0 for CONST. */
MR_INLINE uint32_t mri_mask(const struct mri_value *value)
{
    return value->column.encoding == MR_CONST ? 0 : UINT32_MAX;
}

/* Kernels of calls with NULL in, NULL out. Each handles the operators that binding gives it. */
void mri_kernel_arith(struct mri_call *call);
void mri_kernel_decimal(struct mri_call *call);
void mri_kernel_compare(struct mri_call *call);
void mri_kernel_extreme(struct mri_call *call); /* LEAST, GREATEST */
void mri_kernel_math(struct mri_call *call);    /* FLOOR CEIL ROUND SQRT POWER */
void mri_kernel_text(struct mri_call *call);
void mri_kernel_time(struct mri_call *call);
void mri_kernel_cast(struct mri_call *call);

/* Equality bits of two values of one type for all rows, nulls not looked at. */
void mri_equal_bits(const struct mri_value *left, const struct mri_value *right, uint32_t count,
                    uint64_t *out);

/* The same value with one element per row, in work scratch if it was CONST. */
enum mr_status mri_flatten(struct mri_run *run, struct mri_value *value,
                           uint32_t count) MR_MUST_USE;
/* 64 validity bits of rows 64 * word.. of any value. */
MR_INLINE uint64_t mri_valid_word(const struct mri_value *value, uint32_t word)
{
    if (value->column.validity == NULL) return UINT64_MAX;
    if (value->column.encoding != MR_CONST) return value->column.validity[word];
    return mr_bit_get(value->column.validity, 0) ? UINT64_MAX : 0;
}

/* Nodes with rules of their own for nulls or rows. */
enum mr_status mri_eval_connective(struct mri_run *run, const struct mr_expr *node,
                                   struct mri_frame *frame, struct mri_value *out) MR_MUST_USE;
enum mr_status mri_eval_choice(struct mri_run *run, const struct mr_expr *node,
                               struct mri_frame *frame, void *dest,
                               struct mri_value *out) MR_MUST_USE; /* CASE, COALESCE */
enum mr_status mri_eval_null_test(struct mri_run *run, const struct mr_expr *node,
                                  struct mri_frame *frame, struct mri_value *out) MR_MUST_USE;
enum mr_status mri_eval_matching(struct mri_run *run, const struct mr_expr *node,
                                 struct mri_frame *frame, void *dest,
                                 struct mri_value *out) MR_MUST_USE; /* IN NULLIF IS_DISTINCT */

/* ---- into the target batch ---- */

struct mri_export {
    struct mri_run *run;
    struct mr_batch *target;
    bool *out_blocked;
};

/* Room for the values of the root's result in the target, or NULL where scratch comes first. */
enum mr_status mri_export_reserve(struct mri_export *export, const struct mr_expr *root,
                                  uint32_t count, void **out) MR_MUST_USE;
enum mr_status mri_export_value(struct mri_export *export, const struct mri_value *value,
                                uint32_t count, const void *dest,
                                struct mr_column *out) MR_MUST_USE;
/* A column of the batch as it is: shared, gathered or flattened. */
enum mr_status mri_export_column(struct mri_export *export, uint32_t index,
                                 struct mr_column *out) MR_MUST_USE;

/* ---- texts ---- */

/* Puts new texts into buffers of the held stack. */
struct mri_writer {
    struct mri_stack *stack;
    const char **buffers;
    uint32_t buffer_count;
    uint32_t buffer_room;
    char *start; /* of the last buffer */
    char *at;
    char *end;
    bool failed; /* out of memory */
};

void mri_writer_init(struct mri_writer *writer, struct mri_run *run);
/* Room for a text of size_bytes; NULL: out of memory. Follow with mri_writer_take. */
char *mri_writer_room(struct mri_writer *writer, size_t size_bytes) MR_MUST_USE;
/* The view of the first size_bytes bytes at the last room. */
struct mr_view mri_writer_take(struct mri_writer *writer, size_t size_bytes);
struct mr_view mri_writer_copy(struct mri_writer *writer, const char *data, size_t size_bytes);
size_t mri_utf8_valid_bytes(const char *data, size_t size_bytes); /* length of the valid start */

/* ---- decimals ---- */

mr_i128 mri_power10(uint32_t digits); /* 0..38 */
bool mri_decimal_fits(mr_i128 value, uint32_t precision);
/* value * 10^(to - from), rounded half away from zero; false: does not fit `precision` digits. */
bool mri_decimal_rescale(mr_i128 value, uint32_t from, uint32_t to, uint32_t precision,
                         mr_i128 *out) MR_MUST_USE;
bool mri_decimal_multiply(mr_i128 left, mr_i128 right, uint32_t drop_digits, uint32_t precision,
                          mr_i128 *out) MR_MUST_USE;
/* left * 10^shift / right, rounded half away from zero; right is not 0; shift -38..76. */
bool mri_decimal_divide(mr_i128 left, mr_i128 right, int32_t shift, uint32_t precision,
                        mr_i128 *out) MR_MUST_USE;
int mri_decimal_compare(mr_i128 left, uint32_t left_scale, mr_i128 right, uint32_t right_scale);
double mri_decimal_to_float64(mr_i128 value, uint32_t scale);
/* Any plain or scientific notation, rounded half away from zero to `scale` digits. */
enum mr_num_result mri_decimal_parse(const char *text, size_t size_bytes, uint32_t precision,
                                     uint32_t scale, mr_i128 *out);

#endif
