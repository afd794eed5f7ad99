/* expr.h - typed expressions: trees that are built without types, bound to a schema, and evaluated
 * column at a time.
 *
 * Building makes a tree of `struct mr_expr` in an arena. Binding checks names and types against an
 * input schema, inserts casts, folds constants and gives a `struct mr_bound`: an immutable program
 * that any number of evaluators may share. An evaluator holds the scratch memory of one task.
 *
 * Rules: three-valued logic (NULL AND FALSE = FALSE); NULL in, NULL out for everything else unless
 * said; integer arithmetic is checked: overflow and division by zero fail the row, on floats they
 * give Inf or NaN. Integer division truncates toward zero. Mixed operands widen: int8 < int16 <
 * int32 < int64 < decimal < float64; float32 with any integer or decimal is float64. Comparison of
 * texts is by bytes. CASE and COALESCE evaluate a branch only for the rows that need it, so a
 * guarded division does not fail.
 *
 * Owns:    trees and programs: the arena or heap they were made with; an evaluator its scratch.
 * Thread:  trees confined; programs immutable; evaluators confined to one task.
 * Fails:   building never fails for a wrong expression: the error is kept in the node and reported
 *          by binding, with the text of the expression. NULL (out of memory) is accepted by every
 *          builder and reported by binding as MR_E_NOMEM.
 * Cost:    binding is linear in the tree; evaluation is one kernel call per node and batch.
 */
#ifndef MR_EXPR_EXPR_H
#define MR_EXPR_EXPR_H

#include "base/arena.h"
#include "base/text.h"
#include "data/batch.h"

struct mr_expr; /* unbound tree node */

/* Operators and functions, one table for parser-like callers, printing and documentation:
 * id, text, least and most arguments. */
#define MR_OP_MAP(X)                       \
    X(ADD, "+", 2, 2)                      \
    X(SUBTRACT, "-", 2, 2)                 \
    X(MULTIPLY, "*", 2, 2)                 \
    X(DIVIDE, "/", 2, 2)                   \
    X(MODULO, "%", 2, 2)                   \
    X(NEGATE, "negate", 1, 1)              \
    X(ABS, "abs", 1, 1)                    \
    X(EQ, "=", 2, 2)                       \
    X(NE, "<>", 2, 2)                      \
    X(LT, "<", 2, 2)                       \
    X(LE, "<=", 2, 2)                      \
    X(GT, ">", 2, 2)                       \
    X(GE, ">=", 2, 2)                      \
    X(AND, "and", 2, 16)                   \
    X(OR, "or", 2, 16)                     \
    X(NOT, "not", 1, 1)                    \
    X(IS_NULL, "is null", 1, 1)            \
    X(IS_NOT_NULL, "is not null", 1, 1)    \
    X(IS_DISTINCT, "is distinct from", 2, 2) \
    X(IN, "in", 2, 64)                     \
    X(COALESCE, "coalesce", 1, 16)         \
    X(NULLIF, "nullif", 2, 2)              \
    X(LEAST, "least", 1, 16)               \
    X(GREATEST, "greatest", 1, 16)         \
    X(FLOOR, "floor", 1, 1)                \
    X(CEIL, "ceil", 1, 1)                  \
    X(ROUND, "round", 1, 2)                \
    X(SQRT, "sqrt", 1, 1)                  \
    X(POWER, "power", 2, 2)                \
    X(LENGTH, "char_length", 1, 1)         \
    X(BYTE_LENGTH, "octet_length", 1, 1)   \
    X(UPPER, "upper", 1, 1)                \
    X(LOWER, "lower", 1, 1)                \
    X(TRIM, "trim", 1, 1)                  \
    X(SUBSTRING, "substring", 2, 3)        \
    X(CONCAT, "concat", 1, 16)             \
    X(STARTS_WITH, "starts_with", 2, 2)    \
    X(ENDS_WITH, "ends_with", 2, 2)        \
    X(CONTAINS, "contains", 2, 2)          \
    X(LIKE, "like", 2, 2)                  \
    X(REPLACE, "replace", 3, 3)            \
    X(YEAR, "year", 1, 1)                  \
    X(MONTH, "month", 1, 1)                \
    X(DAY, "day", 1, 1)                    \
    X(HOUR, "hour", 1, 1)                  \
    X(MINUTE, "minute", 1, 1)              \
    X(SECOND, "second", 1, 1)              \
    X(DAY_OF_WEEK, "day_of_week", 1, 1)    \
    X(FLOOR_TIME, "floor_time", 2, 2)      /* (time, interval): start of the interval */ \
    X(TO_DATE, "to_date", 1, 1)            \
    X(EPOCH_MILLIS, "epoch_millis", 1, 1)  /* timestamp to int64 ms, rounding down */ \
    X(FROM_MILLIS, "from_millis", 1, 1)    /* int64 ms to timestamp_ltz */ \
    X(HASH, "hash", 1, 16)                 /* canonical key hash as int64 */

enum mr_op {
#define MR_OP_ENUM(id, text, least, most) MR_OP_##id,
    MR_OP_MAP(MR_OP_ENUM)
#undef MR_OP_ENUM
    MR_OP_COUNT
};

/* Building. Texts are copied into the arena. */
struct mr_expr *mr_expr_column(struct mr_arena *arena, const char *name);
struct mr_expr *mr_expr_event_time(struct mr_arena *arena);   /* hidden: the row's event time */
struct mr_expr *mr_expr_window_start(struct mr_arena *arena); /* hidden */
struct mr_expr *mr_expr_window_end(struct mr_arena *arena);
struct mr_expr *mr_expr_null(struct mr_arena *arena, enum mr_type type);
struct mr_expr *mr_expr_bool(struct mr_arena *arena, bool value);
struct mr_expr *mr_expr_int64(struct mr_arena *arena, int64_t value);
struct mr_expr *mr_expr_float64(struct mr_arena *arena, double value);
struct mr_expr *mr_expr_utf8(struct mr_arena *arena, const char *data, size_t size_bytes);
struct mr_expr *mr_expr_decimal(struct mr_arena *arena, mr_i128 value, uint8_t precision,
                                uint8_t scale);
/* DATE, TIME, TIMESTAMP, TIMESTAMP_LTZ, INTERVAL literals by their number. */
struct mr_expr *mr_expr_time(struct mr_arena *arena, enum mr_type type, int64_t value);
struct mr_expr *mr_expr_call(struct mr_arena *arena, enum mr_op op,
                             struct mr_expr *const *arguments, uint32_t count);
/* when[i] -> then[i], else otherwise (NULL pointer: NULL value; so who builds `otherwise` must look
 * himself whether memory ran out). */
struct mr_expr *mr_expr_case(struct mr_arena *arena, struct mr_expr *const *when,
                             struct mr_expr *const *then, uint32_t count,
                             struct mr_expr *otherwise);
/* try_cast: a value that does not convert becomes NULL instead of failing the row. */
struct mr_expr *mr_expr_cast(struct mr_arena *arena, struct mr_expr *argument, enum mr_type type,
                             uint8_t precision, uint8_t scale, bool try_cast);
/* Text of an unbound tree, as it would be written: "(a + 1) * b". */
void mr_expr_print(const struct mr_expr *expr, struct mr_text *out);
/* True if the tree was made in this arena. A tree has the arena of its root. */
bool mr_expr_made_in(const struct mr_expr *expr, const struct mr_arena *arena);
/* Well-formed UTF-8: texts, and the names of columns. */
bool mr_expr_is_utf8(const char *data, size_t size_bytes);
/* True if the tree is one plain column reference; *out_name then borrows its name. */
bool mr_expr_is_column(const struct mr_expr *expr, const char **out_name);
/* Adds every column index that the tree reads to `mask` (bit per column of schema). */
void mr_expr_columns(const struct mr_expr *expr, const struct mr_schema *schema, uint64_t *mask);
uint32_t mr_expr_hidden_mask(const struct mr_expr *expr); /* bit per enum mr_hidden it reads */

struct mr_bound; /* immutable program */

enum mr_status mr_bind(struct mr_heap *heap, const struct mr_expr *expr,
                       const struct mr_schema *schema, struct mr_bound **out,
                       struct mr_error *err) MR_MUST_USE;
void mr_bound_destroy(struct mr_bound *bound);
/* The result: type, precision, scale, not_null; name NULL. */
const struct mr_field *mr_bound_field(const struct mr_bound *bound);
/* True if the program is one input column as it is (no copy needed); *out_index says which. */
bool mr_bound_is_column(const struct mr_bound *bound, uint32_t *out_index);
/* True if the value is known without input; such programs evaluate to CONST columns. */
bool mr_bound_is_constant(const struct mr_bound *bound);
/* After folding, for explain. */
void mr_bound_print(const struct mr_bound *bound, struct mr_text *out);

/* Rows that could not be evaluated. The first one's story is kept; all are marked. Several programs
 * may be run over the rows of one batch with the same failures: they add up. */
struct mr_eval_failures {
    uint32_t count;
    uint32_t first_row;      /* logical row */
    uint64_t *rows;          /* bit per logical row, whole words; zeroed by the caller */
    struct mr_error error;   /* why, for first_row: "integer overflow in a * b: 50000 * 5000000" */
};

struct mr_eval; /* scratch of one task: opaque */
enum mr_status mr_eval_create(struct mr_heap *heap, struct mr_eval **out,
                              struct mr_error *err) MR_MUST_USE;
void mr_eval_destroy(struct mr_eval *eval);

/* Evaluates over the logical rows of `batch`; the result has one element per logical row (FLAT or
 * CONST) and lies in memory of `target`, which must borrow `batch` if the result may share texts
 * with it (it is borrowed here when needed). Failing rows are NULL in the result and marked.
 * Returns MR_OK, MR_E_NOMEM (heap), or *out_blocked = true when target's quota is used up. */
enum mr_status mr_eval_run(struct mr_eval *eval, const struct mr_bound *bound,
                           struct mr_batch *batch, struct mr_batch *target,
                           struct mr_column *out, struct mr_eval_failures *failures,
                           bool *out_blocked, struct mr_error *err) MR_MUST_USE;

/* Evaluates a condition: writes the logical rows for which it is TRUE (not NULL) to out_rows
 * (row_count entries of room), ascending, and their number to *out_count. */
enum mr_status mr_eval_filter(struct mr_eval *eval, const struct mr_bound *bound,
                              struct mr_batch *batch, uint32_t *out_rows, uint32_t *out_count,
                              struct mr_eval_failures *failures, struct mr_error *err) MR_MUST_USE;

#endif
