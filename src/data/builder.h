/* builder.h - making a batch by appending: row by row, or selected rows of another batch.
 *
 * Used by the exchange (scatter), by user functions, by operators that emit and by readers of
 * state. A builder fills one batch of up to `row_capacity` rows; texts are copied into blocks of
 * the batch. Every append either takes effect whole or answers that there is no room, in which case
 * the caller publishes what it has (mr_builder_take) and tries again on a new batch.
 *
 * Owns:    the batch being built.
 * Thread:  confined.
 * Fails:   MR_BUILD_FULL: the batch has its rows, or no more memory while it has rows: take it.
 *          MR_BUILD_BLOCKED: the quota is used up and the batch is empty: try again later.
 *          MR_BUILD_TOO_LARGE: one row alone does not fit a batch (a single text longer than
 *          MR_TEXT_BYTES_MAX): an error for the user.
 * Cost:    fixed-width columns: one copy; no allocation per row. The first batch starts small and
 *          grows; the next ones start with what the last one needed.
 */
#ifndef MR_DATA_BUILDER_H
#define MR_DATA_BUILDER_H

#include "data/batch.h"

#define MR_TEXT_BYTES_MAX (MR_BLOCK_BYTES_MAX - 256) /* longest single value */

enum mr_build { MR_BUILD_OK, MR_BUILD_FULL, MR_BUILD_BLOCKED, MR_BUILD_TOO_LARGE };

struct mr_builder; /* opaque */

/* `hidden_mask`: bit per enum mr_hidden column to carry. */
enum mr_status mr_builder_create(struct mr_heap *heap, const struct mr_schema *schema,
                                 uint32_t hidden_mask, uint32_t row_capacity,
                                 struct mr_quota *quota, struct mr_builder **out,
                                 struct mr_error *err) MR_MUST_USE;
void mr_builder_destroy(struct mr_builder *builder); /* drops an unpublished batch */
uint32_t mr_builder_rows(const struct mr_builder *builder);

/* Appends logical rows rows[0..count) (any order; NULL: the first `count`) of `batch` (same column
 * types); *out_done says how many went in before the answer was not OK. Encodings are resolved;
 * missing hidden columns get defaults. */
enum mr_build mr_builder_append(struct mr_builder *builder, const struct mr_batch *batch,
                                const uint32_t *rows, uint32_t count, uint32_t *out_done);

/* Row form: begin, set every column once (unset ones are null, unset hidden ones have their
 * default), commit. `begin` may answer FULL, BLOCKED or (no row fits the quota) TOO_LARGE: then no
 * row was begun. `set_bytes` and `set_from` may answer them too: then abandon the row, begin again.
 * Children of nested columns are set by `set_from` only. */
enum mr_build mr_builder_begin_row(struct mr_builder *builder);
void mr_builder_set_int64(struct mr_builder *builder, uint32_t column,
                          int64_t value); /* I8..I64, bool */
void mr_builder_set_float64(struct mr_builder *builder, uint32_t column,
                            double value); /* F32, F64 */
void mr_builder_set_int128(struct mr_builder *builder, uint32_t column, mr_i128 value);
enum mr_build mr_builder_set_bytes(struct mr_builder *builder, uint32_t column, const char *data,
                                   size_t size_bytes);
/* Copies one element of any column of the same type, null or not. */
enum mr_build mr_builder_set_from(struct mr_builder *builder, uint32_t column,
                                  const struct mr_column *source, uint32_t element);
void mr_builder_set_null(struct mr_builder *builder, uint32_t column);
void mr_builder_set_hidden(struct mr_builder *builder, enum mr_hidden tag, int64_t value);
void mr_builder_commit_row(struct mr_builder *builder);
void mr_builder_abandon_row(struct mr_builder *builder);

/* The batch so far, published; NULL when there are no rows. The builder starts anew. Never fails:
 * all memory was taken while rows went in. */
struct mr_batch *mr_builder_take(struct mr_builder *builder) MR_MUST_USE;

#endif
