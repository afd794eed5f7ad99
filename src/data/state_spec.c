/* state_spec.c - see state_spec.h. */
#include "data/state_spec.h"
#include "base/status.h"
#include "data/type.h"

#include <string.h>

const char *mr_state_kind_name(enum mr_state_kind kind)
{
    static const char *const names[] = {"unknown",     "value",         "list",
                                        "map",         "set",           "ordered list",
                                        "aggregating", "operator list", "broadcast"};

    return (size_t)kind < MR_COUNT(names) ? names[kind] : names[0];
}

/* ---- declarations ---- */

static bool has_keys(enum mr_state_kind kind)
{
    return kind == MR_STATE_MAP || kind == MR_STATE_SET || kind == MR_STATE_BROADCAST;
}

static enum mr_status check_field(const struct mr_state *state, const struct mr_field *field,
                                  bool key, struct mr_error *err)
{
    enum mr_layout layout = mr_type_layout(field->type);

    if (field->name == NULL || field->name[0] == '\0') {
        return mr_error_set(err, MR_E_SCHEMA, "state '%s': a field has no name", state->name);
    }
    if (layout == MR_LAYOUT_NONE || layout == MR_LAYOUT_LIST || layout == MR_LAYOUT_STRUCT) {
        return mr_error_set(err, MR_E_SCHEMA,
                            "state '%s', field '%s': a %s cannot be kept; use a field or a state "
                            "per member",
                            state->name, field->name, mr_type_name(field->type));
    }
    if (key && (layout == MR_LAYOUT_F32 || layout == MR_LAYOUT_F64)) {
        return mr_error_set(err, MR_E_SCHEMA,
                            "state '%s', key '%s': a %s cannot be a key: equal numbers may differ "
                            "by rounding",
                            state->name, field->name, mr_type_name(field->type));
    }
    return MR_OK;
}

static enum mr_status check_fields(const struct mr_state *state, struct mr_error *err)
{
    if (state->field_count > MR_STATE_FIELDS_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "state '%s' has %u fields; at most %u", state->name,
                            state->field_count, MR_STATE_FIELDS_MAX);
    }
    if (state->kind == MR_STATE_SET ? state->field_count > 0 : state->field_count == 0) {
        return mr_error_set(err, MR_E_INVALID,
                            state->kind == MR_STATE_SET ? "state '%s': a set has keys, not fields"
                                                        : "state '%s' has no fields",
                            state->name);
    }
    for (uint32_t i = 0; i < state->field_count; i++) {
        MR_RET(check_field(state, &state->fields[i], false, err));
    }
    return MR_OK;
}

static enum mr_status check_keys(const struct mr_state *state, uint32_t stream_keys,
                                 struct mr_error *err)
{
    uint32_t others = state->kind == MR_STATE_BROADCAST ? 0 : stream_keys;

    if (has_keys(state->kind) != (state->key_count > 0)) {
        return mr_error_set(err, MR_E_INVALID,
                            has_keys(state->kind) ? "state '%s': a %s needs keys"
                                                  : "state '%s': a %s has no keys",
                            state->name, mr_state_kind_name(state->kind));
    }
    if (state->key_count + others > MR_STATE_KEYS_MAX) {
        return mr_error_set(err, MR_E_LIMIT,
                            "state '%s': %u keys beside the %u of the stream; at most %u together",
                            state->name, state->key_count, others, MR_STATE_KEYS_MAX);
    }
    for (uint32_t i = 0; i < state->key_count; i++) {
        MR_RET(check_field(state, &state->keys[i], true, err));
    }
    return MR_OK;
}

static enum mr_status check_aggregate(const struct mr_state *state, struct mr_error *err)
{
    const struct mr_aggregate_functions *functions = state->aggregate;

    if (state->kind != MR_STATE_AGGREGATING) {
        if (functions == NULL) return MR_OK;
        return mr_error_set(err, MR_E_INVALID, "state '%s': a %s has no aggregate", state->name,
                            mr_state_kind_name(state->kind));
    }
    if (functions == NULL || functions->create == NULL || functions->add == NULL ||
        functions->result == NULL) {
        return mr_error_set(err, MR_E_INVALID,
                            "state '%s': an aggregating state needs the functions create, add and "
                            "result",
                            state->name);
    }
    if (functions->state_bytes == 0 || functions->state_bytes > 1024) {
        return mr_error_set(err, MR_E_LIMIT, "state '%s': an accumulator of %zu bytes; 1 to 1024",
                            state->name, functions->state_bytes);
    }
    if (state->field_count != 1) {
        return mr_error_set(err, MR_E_INVALID,
                            "state '%s': an aggregating state has one field, its result",
                            state->name);
    }
    return MR_OK;
}

static enum mr_status check_ttl(const struct mr_state *state, bool has_event_time,
                                struct mr_error *err)
{
    if (state->ttl == MR_TTL_NONE) return MR_OK;
    if (state->kind == MR_STATE_OPERATOR_LIST || state->kind == MR_STATE_BROADCAST) {
        return mr_error_set(err, MR_E_UNSUPPORTED, "state '%s': a %s state has no time to live",
                            state->name, mr_state_kind_name(state->kind));
    }
    if (state->ttl_us <= 0 || state->ttl_us > MR_TIME_MAX / 2) {
        return mr_error_set(err, MR_E_INVALID, "state '%s': a time to live of %lld us", state->name,
                            (long long)state->ttl_us);
    }
    if (state->ttl == MR_TTL_EVENT_TIME && !has_event_time) {
        return mr_error_set(err, MR_E_PIPELINE,
                            "state '%s' lives in event time, but the rows have none: assign event "
                            "times before",
                            state->name);
    }
    return MR_OK;
}

enum mr_status mr_state_check(const struct mr_state *state, uint32_t keys, bool has_event_time,
                              struct mr_error *err)
{
    if (state->name == NULL || state->name[0] == '\0' || strlen(state->name) > 200) {
        return mr_error_set(err, MR_E_INVALID, "a state needs a name of at most 200 bytes");
    }
    if (state->kind < MR_STATE_VALUE || state->kind > MR_STATE_BROADCAST) {
        return mr_error_set(err, MR_E_INVALID, "state '%s' is of the unknown kind %d", state->name,
                            (int)state->kind);
    }
    MR_RET(check_fields(state, err));
    MR_RET(check_keys(state, keys, err));
    MR_RET(check_aggregate(state, err));
    return check_ttl(state, has_event_time, err);
}
