/* Records: every type of field, there and back; what does not fit. */
#include "state/user_state_rig.h"

enum { FLAG, TINY, SMALL, DAY, WHEN, SINGLE, REAL, MONEY, NAME, RAW, FIELDS };

static const struct mr_field all_types[FIELDS] = {
    [FLAG] = {.name = "flag", .type = MR_BOOL},
    [TINY] = {.name = "tiny", .type = MR_INT8},
    [SMALL] = {.name = "small", .type = MR_INT16},
    [DAY] = {.name = "day", .type = MR_DATE},
    [WHEN] = {.name = "when", .type = MR_TIMESTAMP_LTZ},
    [SINGLE] = {.name = "single", .type = MR_FLOAT32},
    [REAL] = {.name = "real", .type = MR_FLOAT64},
    [MONEY] = {.name = "money", .type = MR_DECIMAL, .precision = 5, .scale = 2},
    [NAME] = {.name = "name", .type = MR_UTF8},
    [RAW] = {.name = "raw", .type = MR_BINARY}};

static struct mr_datum real(double value)
{
    return (struct mr_datum){.kind = MR_DATUM_FLOAT64, .u.float64 = value};
}

static struct mr_datum decimal(int64_t value)
{
    struct mr_int128 wide = {(uint64_t)value, value < 0 ? -1 : 0};

    return (struct mr_datum){.kind = MR_DATUM_DECIMAL, .u.decimal = wide};
}

static void open_types(struct world *world, struct mr_state states[STATES])
{
    struct mr_error err;

    memcpy(states, declared, STATES * sizeof *states);
    states[VALUE].fields = all_types;
    states[VALUE].field_count = FIELDS;
    open_world(world, RIG_INT, 1);
    mr_user_states_destroy(world->instances[0]);
    world->states = states;
    MR_EXPECT_OK(open_instance(world, mr_test_heap(), 0, 1, &world->instances[0], &err), &err);
}

static void expect_fields(struct mr_user_states *states, const struct mr_record *record)
{
    struct mr_datum name = mr_user_get(states, record, NAME);

    MR_EXPECT_EQ_INT(mr_user_get(states, record, FLAG).u.int64, 1);
    MR_EXPECT_EQ_INT(mr_user_get(states, record, TINY).u.int64, -128);
    MR_EXPECT_EQ_INT(mr_user_get(states, record, SMALL).u.int64, 32767);
    MR_EXPECT(mr_user_is_null(states, record, DAY));
    MR_EXPECT_EQ_INT(mr_user_get(states, record, WHEN).u.int64, -5000000000);
    MR_EXPECT_EQ_DOUBLE(mr_user_get(states, record, SINGLE).u.float64, (double)0.1f);
    MR_EXPECT_EQ_DOUBLE(mr_user_get(states, record, REAL).u.float64, -0.0);
    MR_EXPECT_EQ_INT(mr_user_get(states, record, MONEY).u.decimal.low, (uint64_t)-99999);
    MR_EXPECT_EQ_INT(mr_user_get(states, record, MONEY).u.decimal.high, -1);
    MR_EXPECT_EQ_TEXT(name.u.bytes.data, name.u.bytes.size_bytes, "llo");
    MR_EXPECT_EQ_INT(mr_user_get(states, record, RAW).kind, MR_DATUM_BYTES);
    MR_EXPECT_EQ_UINT(mr_user_get(states, record, RAW).u.bytes.size_bytes, 0);
}

MR_TEST(user_state_record, every_type_comes_back_as_it_was_set_also_after_a_restore)
{
    struct world *world = malloc(sizeof *world);
    struct mr_state types[STATES];
    struct mr_user_states *states;
    struct mr_record record;
    const struct mr_datum values[FIELDS] = {mr_datum_int64(1),
                                            mr_datum_int64(-128),
                                            mr_datum_int64(32767),
                                            {.kind = MR_DATUM_NULL},
                                            mr_datum_int64(-5000000000),
                                            real(0.1),
                                            real(-0.0),
                                            decimal(-99999),
                                            mr_datum_bytes("hello", 5),
                                            mr_datum_bytes(NULL, 0)};
    struct mr_datum part;

    open_types(world, types);
    states = at_key(world, 3, 0);
    record = mr_user_value(states, VALUE, true);
    for (uint32_t i = 0; i < FIELDS; i++) mr_user_set(states, &record, i, &values[i]);
    part = mr_user_get(states, &record, NAME);
    part = mr_datum_bytes(part.u.bytes.data + 2, 3); /* a part of itself */
    mr_user_set(states, &record, NAME, &part);
    expect_fields(states, &record);
    MR_EXPECT_EQ_INT(mr_user_states_failure(states, NULL), MR_OK);
    seal(world, false);
    mr_user_states_destroy(world->instances[0]);
    {
        struct mr_error err;

        MR_EXPECT_OK(open_instance(world, mr_test_heap(), 0, 1, &world->instances[0], &err), &err);
        MR_EXPECT_OK(restore_into(world, world->instances[0], &err), &err);
    }
    states = at_key(world, 3, 0);
    record = mr_user_value(states, VALUE, false);
    expect_fields(states, &record);
    close_world(world);
    free(world);
}

static void expect_unfit(struct mr_user_states *states, struct mr_record *record, uint32_t field,
                         struct mr_datum value, const char *text)
{
    struct mr_error err = {MR_OK, ""};

    mr_user_set(states, record, field, &value);
    MR_EXPECT_EQ_INT(mr_user_states_failure(states, &err), MR_E_OVERFLOW);
    MR_EXPECT_CONTAINS(err.text, text);
    MR_EXPECT(mr_user_is_null(states, record, field));
}

MR_TEST(user_state_record, what_does_not_fit_its_field_is_told_and_changes_nothing)
{
    struct world *world = malloc(sizeof *world);
    struct mr_state types[STATES];
    struct mr_user_states *states;
    struct mr_record record;
    struct mr_error err;
    struct mr_datum huge = mr_datum_bytes("x", (size_t)17 << 20);

    open_types(world, types);
    states = at_key(world, 3, 0);
    record = mr_user_value(states, VALUE, true);
    expect_unfit(states, &record, FLAG, mr_datum_int64(2),
                 "field 0 ('flag') of state 'value' is bool");
    expect_unfit(states, &record, TINY, mr_datum_int64(128),
                 "is int8: the number is out of its range");
    expect_unfit(states, &record, DAY, mr_datum_int64(INT64_C(1) << 31), "is date");
    expect_unfit(states, &record, MONEY, decimal(100000), "too many digits");
    mr_user_set(states, &record, NAME, &huge);
    MR_EXPECT_EQ_INT(mr_user_states_failure(states, &err), MR_E_LIMIT);
    close_world(world);
    free(world);
}
