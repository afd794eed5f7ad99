/* type.h - facts about column types: widths, names, classes.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none.
 * Cost:    constant; one table.
 */
#ifndef MR_DATA_TYPE_H
#define MR_DATA_TYPE_H

#include "base/compiler.h"

/* How values of a type lie in memory. Several logical types share one. */
enum mr_layout {
    MR_LAYOUT_NONE,
    MR_LAYOUT_BIT, /* bool: one bit, least significant first */
    MR_LAYOUT_I8,
    MR_LAYOUT_I16,
    MR_LAYOUT_I32, /* int32, date */
    MR_LAYOUT_I64, /* int64, time, timestamp, timestamp_ltz, interval */
    MR_LAYOUT_F32,
    MR_LAYOUT_F64,
    MR_LAYOUT_I128,  /* decimal */
    MR_LAYOUT_VIEW,  /* utf8, binary: struct mr_view */
    MR_LAYOUT_LIST,  /* list, map: uint32 offsets (row_count + 1) into children */
    MR_LAYOUT_STRUCT /* children only */
};

enum mr_layout mr_type_layout(enum mr_type type);
uint32_t mr_layout_bytes(enum mr_layout layout); /* per value; 0 for BIT, STRUCT; 4 for LIST */
const char *mr_type_name(enum mr_type type);     /* "int64", "timestamp_ltz", ... */
bool mr_type_is_integer(enum mr_type type);      /* int8..int64 */
bool mr_type_is_float(enum mr_type type);
bool mr_type_is_numeric(enum mr_type type); /* integers, floats, decimal */
bool mr_type_is_text(enum mr_type type);    /* utf8, binary */
bool mr_type_is_time(enum mr_type type);    /* timestamp, timestamp_ltz */

#endif
