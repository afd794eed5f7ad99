/* Declarations of state: what is possible and what is not. */
#include "data/state_spec.h"
#include "mr_test.h"

static const struct mr_field number[] = {{.name = "n", .type = MR_INT64}};
static const struct mr_field word[] = {{.name = "w", .type = MR_UTF8}};
static const struct mr_field real[] = {{.name = "x", .type = MR_FLOAT32}};
static const struct mr_field map[] = {{.name = "m", .type = MR_MAP}};

static const struct mr_state good = {.name = "s",
                                     .kind = MR_STATE_MAP,
                                     .fields = number,
                                     .field_count = 1,
                                     .keys = word,
                                     .key_count = 1,
                                     .ttl = MR_TTL_EVENT_TIME,
                                     .ttl_us = 5};

static void expect(const struct mr_state *state, bool has_event_time, enum mr_status status,
                   const char *text)
{
    struct mr_error err = {MR_OK, ""};

    MR_EXPECT_EQ_INT(mr_state_check(state, 1, has_event_time, &err), status);
    MR_EXPECT_CONTAINS(err.text, text);
}

MR_TEST(state_spec, a_complete_declaration_is_good)
{
    expect(&good, true, MR_OK, "");
}

MR_TEST(state_spec, what_is_wrong_is_told_with_the_name_of_the_state)
{
    struct mr_state state = good;

    expect(&state, false, MR_E_PIPELINE, "state 's' lives in event time, but the rows have none");
    state.ttl_us = 0;
    expect(&state, true, MR_E_INVALID, "state 's': a time to live of 0 us");
    state = good;
    state.keys = real;
    expect(&state, true, MR_E_SCHEMA, "state 's', key 'x': a float32 cannot be a key");
    state = good;
    state.fields = map;
    expect(&state, true, MR_E_SCHEMA, "state 's', field 'm': a map cannot be kept");
    state = good;
    state.kind = MR_STATE_SET;
    expect(&state, true, MR_E_INVALID, "state 's': a set has keys, not fields");
    state = good;
    state.kind = MR_STATE_BROADCAST;
    expect(&state, true, MR_E_UNSUPPORTED, "state 's': a broadcast state has no time to live");
    state = good;
    state.key_count = 0;
    expect(&state, true, MR_E_INVALID, "state 's': a map needs keys");
    state.kind = MR_STATE_AGGREGATING;
    expect(&state, true, MR_E_INVALID, "needs the functions create, add and result");
    state = good;
    state.kind = (enum mr_state_kind)0;
    expect(&state, true, MR_E_INVALID, "state 's' is of the unknown kind 0");
    state = good;
    state.field_count = 32;
    expect(&state, true, MR_E_LIMIT, "state 's' has 32 fields; at most 31");
}

MR_TEST(state_spec, kinds_have_names_for_people)
{
    MR_EXPECT_EQ_STR(mr_state_kind_name(MR_STATE_ORDERED_LIST), "ordered list");
    MR_EXPECT_EQ_STR(mr_state_kind_name((enum mr_state_kind)77), "unknown");
}
