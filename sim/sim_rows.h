/* sim_rows.h - the input of a simulated job: rows made from numbers, and a source that reads them.
 *
 * Row (split, seq) is a function of the seed, so that the source and the oracles need not share
 * anything but this header. Rows come into being at a virtual time of their own; a split is read by
 * position, as often as one likes. Event times are out of order within `delay_us`, but for a few that
 * are far behind: these may be late.
 *
 * Owns:    none; the spec refers to the world.
 * Thread:  confined.
 * Fails:   now and then with MR_E_IO, if the knobs say so; a position of another input: MR_E_CHANGED.
 * Cost:    a few ns per row.
 */
#ifndef MR_SIM_ROWS_H
#define MR_SIM_ROWS_H

#include "connect/connect.h"

struct sim_world;

struct sim_rows {
    uint64_t seed;
    uint32_t splits;
    uint64_t per_split;   /* rows of each */
    uint64_t keys;
    bool skewed;          /* half of the rows have key 0 */
    bool bounded;         /* splits are known to end */
    int64_t start_us;     /* virtual time of the first row */
    int64_t every_us;     /* between two rows of a split */
    int64_t pause_at;     /* a split is silent for a while behind this row; -1: never */
    int64_t pause_us;
    int64_t base_us;      /* event time of row 0 */
    int64_t step_us;      /* event time between rows */
    int64_t delay_us;     /* of the watermark */
    uint32_t late_ppm;    /* rows that are far behind */
    int64_t late_us;
};

enum { SIM_COLUMN_SPLIT, SIM_COLUMN_SEQ, SIM_COLUMN_KEY, SIM_COLUMN_VALUE, SIM_COLUMN_TS, SIM_COLUMNS };

struct sim_row {
    int64_t v[SIM_COLUMNS];
};

struct sim_row sim_row(const struct sim_rows *rows, uint32_t split, uint64_t seq);
int64_t sim_row_born_us(const struct sim_rows *rows, uint32_t split, uint64_t seq);

enum mr_status sim_source(struct mr_heap *heap, struct sim_world *world, struct mr_source *out,
                          struct mr_error *err) MR_MUST_USE;

#endif
