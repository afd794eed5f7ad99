/* types.h - the vocabulary that the library and its users share: status, errors, types, time.
 *
 * Everything here is plain data. It is a header of its own so that the inside of the library can
 * use these names without seeing the rest of the public interface.
 *
 * Owns:    none.
 * Thread:  any.
 * Fails:   none.
 * Cost:    none.
 * Units:   all times are microseconds since 1970-01-01T00:00:00Z unless a name says otherwise.
 */
#ifndef MILLRACE_TYPES_H
#define MILLRACE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MR_API __attribute__((visibility("default")))
#define MR_MUST_USE __attribute__((warn_unused_result))
#define MR_PRINTF(format_at, first_at) __attribute__((format(printf, format_at, first_at)))
#else
#define MR_API
#define MR_MUST_USE
#define MR_PRINTF(format_at, first_at)
#endif

/* Every way a call can fail: name, class, text. The class says what the runtime may do next:
 * RETRY (try again later), ABORT (give up the attempt and start again from the last epoch), FATAL
 * (stop the job), USER (the pipeline or its input is wrong: stop, the user has to act). */
#define MR_STATUS_MAP(X)                                                   \
    X(MR_OK, NONE, "success")                                              \
    X(MR_E_NOMEM, RETRY, "memory limit reached")                           \
    X(MR_E_INVALID, USER, "wrong use of the interface")                    \
    X(MR_E_SCHEMA, USER, "columns or types do not fit")                    \
    X(MR_E_PIPELINE, USER, "the pipeline is not well formed")              \
    X(MR_E_RECORD, USER, "a record of the input is malformed")             \
    X(MR_E_EVALUATE, USER, "an expression failed for a row")               \
    X(MR_E_OVERFLOW, USER, "a number does not fit its type")               \
    X(MR_E_NOT_FOUND, USER, "no such file or name")                        \
    X(MR_E_ACCESS, USER, "not permitted")                                  \
    X(MR_E_CHANGED, USER, "the input changed while it was read")           \
    X(MR_E_LIMIT, USER, "a documented limit was reached")                  \
    X(MR_E_UNSUPPORTED, USER, "not supported")                             \
    X(MR_E_USER_FUNCTION, USER, "a user function reported failure")        \
    X(MR_E_CANCELLED, USER, "cancelled")                                   \
    X(MR_E_FENCED, ABORT, "a newer attempt owns this")                     \
    X(MR_E_IO, FATAL, "the operating system reported an input or output failure") \
    X(MR_E_NO_SPACE, FATAL, "no space left on the device")                 \
    X(MR_E_CLOSED, FATAL, "the reader of the output went away")            \
    X(MR_E_CORRUPT, FATAL, "stored bytes are not what was written")       \
    X(MR_E_BUSY, USER, "another process uses this")                        \
    X(MR_E_LOST, FATAL, "committed output is missing")                      \
    X(MR_E_AGAIN, RETRY, "not now: to be tried again")                      \
    X(MR_E_TIMED_OUT, RETRY, "nothing was heard of it in time")

enum mr_status {
#define MR_STATUS_ENUM(name, cls, text) name,
    MR_STATUS_MAP(MR_STATUS_ENUM)
#undef MR_STATUS_ENUM
};

enum mr_status_class { MR_CLASS_NONE, MR_CLASS_RETRY, MR_CLASS_ABORT, MR_CLASS_FATAL, MR_CLASS_USER };

#define MR_ERROR_TEXT_BYTES 768

/* Filled by a call that fails, owned by its caller. `text` is one or more lines for a person: what
 * went wrong, where, why, what to do. It is always terminated. */
struct mr_error {
    enum mr_status status;
    char text[MR_ERROR_TEXT_BYTES];
};

/* Column types. The numbers are part of stored formats: never reuse one. */
enum mr_type {
    MR_TYPE_NONE = 0,
    MR_BOOL = 1,
    MR_INT8 = 2,
    MR_INT16 = 3,
    MR_INT32 = 4,
    MR_INT64 = 5,
    MR_FLOAT32 = 6,
    MR_FLOAT64 = 7,
    MR_DECIMAL = 8,        /* 128 bits; precision 1..38, scale 0..precision */
    MR_UTF8 = 9,
    MR_BINARY = 10,
    MR_DATE = 11,          /* int32 days since 1970-01-01 */
    MR_TIME = 12,          /* int64 microseconds since midnight */
    MR_TIMESTAMP = 13,     /* int64 microseconds, wall clock without a zone */
    MR_TIMESTAMP_LTZ = 14, /* int64 microseconds since 1970-01-01T00:00:00Z: an instant */
    MR_INTERVAL = 15,      /* int64 microseconds */
    MR_LIST = 16,
    MR_STRUCT = 17,
    MR_MAP = 18
};

/* One column of a schema. Children describe list (1), struct (n) and map (2: key, value). */
struct mr_field {
    const char *name;
    enum mr_type type;
    bool not_null;
    uint8_t precision; /* decimals only */
    uint8_t scale;     /* decimals only */
    uint32_t child_count;
    const struct mr_field *children;
};

/* Bytes that somebody else owns; not terminated. `data` may be NULL when `size_bytes` is 0. */
struct mr_bytes {
    const char *data;
    size_t size_bytes;
};

/* 128-bit integer in two words, for decimals. */
struct mr_int128 {
    uint64_t low;
    int64_t high;
};

/* Times and spans in microseconds. */
#define MR_MICROSECOND INT64_C(1)
#define MR_MILLISECOND INT64_C(1000)
#define MR_SECOND INT64_C(1000000)
#define MR_MINUTE (60 * MR_SECOND)
#define MR_HOUR (60 * MR_MINUTE)
#define MR_DAY (24 * MR_HOUR)

/* The ends of event time. They are reserved: data lies strictly between them. The global window
 * ends one day before the maximum so that timers at its end can still fire. */
#define MR_TIME_MIN (INT64_MIN / 2)
#define MR_TIME_MAX (INT64_MAX / 2)
#define MR_GLOBAL_WINDOW_END (MR_TIME_MAX - MR_DAY)

#ifdef __cplusplus
}
#endif
#endif
