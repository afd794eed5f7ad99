/* type.c - see type.h. */
#include "data/type.h"

static const struct {
    const char *name;
    enum mr_layout layout;
} facts[] = {
    [MR_TYPE_NONE] = {"none", MR_LAYOUT_NONE},
    [MR_BOOL] = {"bool", MR_LAYOUT_BIT},
    [MR_INT8] = {"int8", MR_LAYOUT_I8},
    [MR_INT16] = {"int16", MR_LAYOUT_I16},
    [MR_INT32] = {"int32", MR_LAYOUT_I32},
    [MR_INT64] = {"int64", MR_LAYOUT_I64},
    [MR_FLOAT32] = {"float32", MR_LAYOUT_F32},
    [MR_FLOAT64] = {"float64", MR_LAYOUT_F64},
    [MR_DECIMAL] = {"decimal", MR_LAYOUT_I128},
    [MR_UTF8] = {"utf8", MR_LAYOUT_VIEW},
    [MR_BINARY] = {"binary", MR_LAYOUT_VIEW},
    [MR_DATE] = {"date", MR_LAYOUT_I32},
    [MR_TIME] = {"time", MR_LAYOUT_I64},
    [MR_TIMESTAMP] = {"timestamp", MR_LAYOUT_I64},
    [MR_TIMESTAMP_LTZ] = {"timestamp_ltz", MR_LAYOUT_I64},
    [MR_INTERVAL] = {"interval", MR_LAYOUT_I64},
    [MR_LIST] = {"list", MR_LAYOUT_LIST},
    [MR_STRUCT] = {"struct", MR_LAYOUT_STRUCT},
    [MR_MAP] = {"map", MR_LAYOUT_LIST},
};

static const uint8_t layout_bytes[] = {
    [MR_LAYOUT_NONE] = 0,  [MR_LAYOUT_BIT] = 0,   [MR_LAYOUT_I8] = 1,   [MR_LAYOUT_I16] = 2,
    [MR_LAYOUT_I32] = 4,   [MR_LAYOUT_I64] = 8,   [MR_LAYOUT_F32] = 4,  [MR_LAYOUT_F64] = 8,
    [MR_LAYOUT_I128] = 16, [MR_LAYOUT_VIEW] = 16, [MR_LAYOUT_LIST] = 4, [MR_LAYOUT_STRUCT] = 0,
};

/* Any number may come in: from a caller of the public interface or from a stored plan. */
enum mr_layout mr_type_layout(enum mr_type type)
{
    return (size_t)type < MR_COUNT(facts) ? facts[type].layout : MR_LAYOUT_NONE;
}

uint32_t mr_layout_bytes(enum mr_layout layout)
{
    return (size_t)layout < MR_COUNT(layout_bytes) ? layout_bytes[layout] : 0;
}

const char *mr_type_name(enum mr_type type)
{
    return (size_t)type < MR_COUNT(facts) ? facts[type].name : "unknown";
}

bool mr_type_is_integer(enum mr_type type)
{
    return type >= MR_INT8 && type <= MR_INT64;
}

bool mr_type_is_float(enum mr_type type)
{
    return type == MR_FLOAT32 || type == MR_FLOAT64;
}

bool mr_type_is_numeric(enum mr_type type)
{
    return type >= MR_INT8 && type <= MR_DECIMAL;
}

bool mr_type_is_text(enum mr_type type)
{
    return type == MR_UTF8 || type == MR_BINARY;
}

bool mr_type_is_time(enum mr_type type)
{
    return type == MR_TIMESTAMP || type == MR_TIMESTAMP_LTZ;
}
