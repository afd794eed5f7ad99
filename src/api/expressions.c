#include "job_internal.h"

#include "base/time.h"
#include <string.h>

static struct mr_arena *arena_of(struct mr_job *job)
{
    return mri_job_ok(job) ? &job->model->arena : NULL;
}

/* Out of memory while building shows here: the expression is missing. */
static struct mr_expr *kept(struct mr_job *job, struct mr_expr *expr)
{
    struct mr_error err;

    if (expr == NULL && mri_job_ok(job)) {
        mr_error_nomem(&err, "an expression", 0);
        mri_job_fail(job, &err);
    }
    return expr;
}

struct mr_expr *mr_col(struct mr_job *job, const char *name)
{
    struct mr_arena *arena = arena_of(job);

    if (arena == NULL) return NULL;
    if (name == NULL) {
        mri_job_invalid(job, "mr_col: the column name is NULL");
        return NULL;
    }
    return kept(job, mr_expr_column(arena, name));
}

struct mr_expr *mr_int(struct mr_job *job, int64_t value)
{
    struct mr_arena *arena = arena_of(job);

    return arena == NULL ? NULL : kept(job, mr_expr_int64(arena, value));
}

struct mr_expr *mr_float(struct mr_job *job, double value)
{
    struct mr_arena *arena = arena_of(job);

    return arena == NULL ? NULL : kept(job, mr_expr_float64(arena, value));
}

struct mr_expr *mr_text(struct mr_job *job, const char *value)
{
    struct mr_arena *arena = arena_of(job);

    if (arena == NULL) return NULL;
    if (value == NULL) return kept(job, mr_expr_null(arena, MR_UTF8));
    return kept(job, mr_expr_utf8(arena, value, strlen(value)));
}

struct mr_expr *mr_bool(struct mr_job *job, bool value)
{
    struct mr_arena *arena = arena_of(job);

    return arena == NULL ? NULL : kept(job, mr_expr_bool(arena, value));
}

struct mr_expr *mr_null(struct mr_job *job, enum mr_type type)
{
    struct mr_arena *arena = arena_of(job);

    return arena == NULL ? NULL : kept(job, mr_expr_null(arena, type));
}

struct mr_expr *mr_interval(struct mr_job *job, int64_t us)
{
    struct mr_arena *arena = arena_of(job);

    return arena == NULL ? NULL : kept(job, mr_expr_time(arena, MR_INTERVAL, us));
}

static bool parse_time(enum mr_type type, const char *text, int64_t *out)
{
    size_t size = strlen(text);
    int32_t days;

    switch ((int)type) {
    case MR_DATE:
        if (!mr_parse_date(text, size, &days)) return false;
        *out = days;
        return true;
    case MR_TIME: return mr_parse_time(text, size, out);
    case MR_TIMESTAMP: return mr_parse_timestamp(text, size, false, out);
    case MR_TIMESTAMP_LTZ: return mr_parse_timestamp(text, size, true, out);
    default: return false;
    }
}

struct mr_expr *mr_time_literal(struct mr_job *job, enum mr_type type, const char *text)
{
    struct mr_arena *arena = arena_of(job);
    int64_t value = 0;

    if (arena == NULL) return NULL;
    if (type != MR_DATE && type != MR_TIME && type != MR_TIMESTAMP && type != MR_TIMESTAMP_LTZ) {
        mri_job_invalid(job, "mr_time_literal: %s is no type of a time; there are MR_DATE, MR_TIME, "
                             "MR_TIMESTAMP and MR_TIMESTAMP_LTZ",
                        mr_type_name(type));
        return NULL;
    }
    if (text == NULL || !parse_time(type, text, &value)) {
        mri_job_invalid(job,
                        "mr_time_literal: '%s' is not a %s; write 2013-01-01, 10:00:00 or "
                        "2013-01-01T10:00:00Z",
                        text == NULL ? "(null)" : text, mr_type_name(type));
        return NULL;
    }
    return kept(job, mr_expr_time(arena, type, value));
}

struct mr_expr *mr_event_time(struct mr_job *job)
{
    struct mr_arena *arena = arena_of(job);

    return arena == NULL ? NULL : kept(job, mr_expr_event_time(arena));
}

struct mr_expr *mr_window_start(struct mr_job *job)
{
    struct mr_arena *arena = arena_of(job);

    return arena == NULL ? NULL : kept(job, mr_expr_window_start(arena));
}

struct mr_expr *mr_window_end(struct mr_job *job)
{
    struct mr_arena *arena = arena_of(job);

    return arena == NULL ? NULL : kept(job, mr_expr_window_end(arena));
}

struct call_name {
    const char *text;
    uint32_t least, most;
};

static const struct call_name call_names[MR_OP_COUNT] = {
#define CALL_NAME(id, text, least, most) {text, least, most},
    MR_OP_MAP(CALL_NAME)
#undef CALL_NAME
};

static bool arguments_ok(struct mr_job *job, const char *name, struct mr_expr *const *arguments,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!mri_expr_ok(job, arguments[i], "argument %u of '%s'", i + 1, name)) return false;
    }
    return true;
}

static void wrong_count(struct mr_job *job, const struct call_name *known, uint32_t count)
{
    if (known->least == known->most) {
        mri_job_invalid(job, "mr_call: '%s' takes %u argument%s, not %u", known->text, known->least,
                        known->least == 1 ? "" : "s", count);
    } else {
        mri_job_invalid(job, "mr_call: '%s' takes %u to %u arguments, not %u", known->text,
                        known->least, known->most, count);
    }
}

struct mr_expr *mr_call_array(struct mr_job *job, const char *name,
                              struct mr_expr *const *arguments, uint32_t count)
{
    struct mr_arena *arena = arena_of(job);

    if (arena == NULL) return NULL;
    for (uint32_t op = 0; name != NULL && op < MR_OP_COUNT; op++) {
        const struct call_name *known = &call_names[op];

        if (strcmp(known->text, name) != 0) continue;
        if (count < known->least || count > known->most) {
            wrong_count(job, known, count);
            return NULL;
        }
        if (!arguments_ok(job, name, arguments, count)) return NULL;
        return kept(job, mr_expr_call(arena, (enum mr_op)op, arguments, count));
    }
    mri_job_invalid(job, "mr_call: there is no operator or function '%s'; they are listed in "
                         "docs/reference/expressions.md",
                    name == NULL ? "(null)" : name);
    return NULL;
}

struct mr_expr *mr_call1(struct mr_job *job, const char *name, struct mr_expr *a)
{
    return mr_call_array(job, name, (struct mr_expr *const[]){a}, 1);
}

struct mr_expr *mr_call2(struct mr_job *job, const char *name, struct mr_expr *a,
                         struct mr_expr *b)
{
    return mr_call_array(job, name, (struct mr_expr *const[]){a, b}, 2);
}

struct mr_expr *mr_call3(struct mr_job *job, const char *name, struct mr_expr *a,
                         struct mr_expr *b, struct mr_expr *c)
{
    return mr_call_array(job, name, (struct mr_expr *const[]){a, b, c}, 3);
}

struct mr_expr *mr_case(struct mr_job *job, struct mr_expr *const *when,
                        struct mr_expr *const *then, uint32_t count, struct mr_expr *otherwise)
{
    struct mr_arena *arena = arena_of(job);

    if (arena == NULL) return NULL;
    if (count == 0) {
        mri_job_invalid(job, "mr_case: at least one WHEN is needed");
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!mri_expr_ok(job, when[i], "mr_case: WHEN %u", i + 1)) return NULL;
        if (!mri_expr_ok(job, then[i], "mr_case: THEN %u", i + 1)) return NULL;
    }
    if (otherwise != NULL && !mri_expr_ok(job, otherwise, "mr_case: ELSE")) return NULL;
    return kept(job, mr_expr_case(arena, when, then, count, otherwise));
}

static struct mr_expr *cast(struct mr_job *job, struct mr_expr *a, enum mr_type type,
                            uint8_t precision, uint8_t scale, bool try_cast)
{
    struct mr_arena *arena = arena_of(job);

    if (arena == NULL || !mri_expr_ok(job, a, "mr_cast")) return NULL;
    if (type == MR_DECIMAL && precision == 0) {
        mri_job_invalid(job, "mr_cast: a decimal has a precision and a scale; use "
                             "mr_cast_decimal or mr_try_cast_decimal");
        return NULL;
    }
    return kept(job, mr_expr_cast(arena, a, type, precision, scale, try_cast));
}

struct mr_expr *mr_cast(struct mr_job *job, struct mr_expr *a, enum mr_type type)
{
    return cast(job, a, type, 0, 0, false);
}

struct mr_expr *mr_cast_decimal(struct mr_job *job, struct mr_expr *a, uint8_t precision,
                                uint8_t scale)
{
    return cast(job, a, MR_DECIMAL, precision, scale, false);
}

struct mr_expr *mr_try_cast_decimal(struct mr_job *job, struct mr_expr *a, uint8_t precision,
                                    uint8_t scale)
{
    return cast(job, a, MR_DECIMAL, precision, scale, true);
}

struct mr_expr *mr_try_cast(struct mr_job *job, struct mr_expr *a, enum mr_type type)
{
    return cast(job, a, type, 0, 0, true);
}
