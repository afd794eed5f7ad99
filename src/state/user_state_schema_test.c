/* State of an earlier program: taken over, or refused with both schemas. */
#include "state/user_state_rig.h"

static enum mr_status reopen(struct world *world, const struct mr_state *states,
                             struct mr_user_states **out, struct mr_error *err)
{
    enum mr_status st;

    world->states = states;
    MR_EXPECT_OK(open_instance(world, mr_test_heap(), 0, 1, out, err), err);
    st = restore_into(world, *out, err);
    return st;
}

MR_TEST(user_state_schema, fields_added_at_the_end_are_null_and_wider_numbers_keep_their_values)
{
    static const struct mr_field narrow[] = {{.name = "number", .type = MR_INT16},
                                             {.name = "text", .type = MR_UTF8}};
    static const struct mr_field wide[] = {{.name = "number", .type = MR_INT64},
                                           {.name = "text", .type = MR_UTF8},
                                           {.name = "more", .type = MR_FLOAT64}};
    struct world *world = malloc(sizeof *world);
    struct mr_user_states *states, *later = NULL;
    struct mr_state before[STATES], after[STATES];
    struct mr_datum value = mr_datum_int64(-1234);
    struct mr_record record;
    struct mr_error err;

    memcpy(before, declared, sizeof before);
    memcpy(after, declared, sizeof after);
    before[VALUE].fields = narrow;
    after[VALUE].fields = wide;
    after[VALUE].field_count = 3;
    open_world(world, RIG_INT, 3);
    mr_user_states_destroy(world->instances[0]);
    world->states = before;
    MR_EXPECT_OK(open_instance(world, mr_test_heap(), 0, 1, &world->instances[0], &err), &err);
    states = at_key(world, 2, 0);
    record = mr_user_value(states, VALUE, true);
    mr_user_set(states, &record, 0, &value);
    seal(world, true);
    MR_EXPECT_OK(reopen(world, after, &later, &err), &err);
    mr_user_states_destroy(world->instances[0]);
    world->instances[0] = later;
    states = at_key(world, 2, 0);
    record = mr_user_value(states, VALUE, false);
    MR_EXPECT_EQ_INT(mr_user_get(states, &record, 0).u.int64, -1234);
    MR_EXPECT(mr_user_is_null(states, &record, 1));
    MR_EXPECT(mr_user_is_null(states, &record, 2));
    close_world(world);
    free(world);
}

static void expect_refused(struct world *world, const struct mr_state *states, const char *stored,
                           const char *now)
{
    struct mr_user_states *later = NULL;
    struct mr_error err = {MR_OK, ""};

    MR_EXPECT_EQ_INT(reopen(world, states, &later, &err), MR_E_SCHEMA);
    MR_EXPECT_CONTAINS(err.text, stored);
    MR_EXPECT_CONTAINS(err.text, now);
    mr_user_states_destroy(later);
}

MR_TEST(user_state_schema, state_that_does_not_fit_is_refused_with_both_schemas)
{
    static const struct mr_field swapped[] = {{.name = "text", .type = MR_UTF8},
                                              {.name = "number", .type = MR_INT64}};
    static const struct mr_field narrower[] = {{.name = "number", .type = MR_INT32},
                                               {.name = "text", .type = MR_UTF8}};
    static const struct mr_field more[] = {{.name = "number", .type = MR_INT64},
                                           {.name = "text", .type = MR_UTF8},
                                           {.name = "x", .type = MR_INT64, .not_null = true}};
    struct world *world = malloc(sizeof *world);
    struct mr_state states[STATES];

    sealed_world(world);
    memcpy(states, declared, sizeof states);
    states[MAP].fields = swapped;
    expect_refused(world, states,
                   "stored:   map by (word utf8, tiny int8) (number int64, text utf8)",
                   "declared: map by (word utf8, tiny int8) (text utf8, number int64)");
    memcpy(states, declared, sizeof states);
    states[VALUE].fields = narrower;
    expect_refused(world, states, "stored:   value (number int64, text utf8)",
                   "declared: value (number int32, text utf8)");
    states[VALUE].fields = more;
    states[VALUE].field_count = 3;
    expect_refused(world, states, "state 'value' does not fit", "x int64 not null");
    memcpy(states, declared, sizeof states);
    states[LIST].kind = MR_STATE_ORDERED_LIST;
    expect_refused(world, states, "stored:   list", "declared: ordered list");
    world->rig.shape = RIG_TEXT;
    expect_refused(world, declared, "stored:   (id int64)", "declared: (word utf8)");
    close_world(world);
    free(world);
}

MR_TEST(user_state_schema, a_state_that_is_no_longer_declared_is_refused_by_name)
{
    struct world *world = malloc(sizeof *world);
    struct mr_state states[STATES];
    struct mr_user_states *later = NULL;
    struct mr_error err = {MR_OK, ""};

    sealed_world(world);
    memcpy(states, declared, sizeof states);
    states[SET].name = "renamed";
    MR_EXPECT_EQ_INT(reopen(world, states, &later, &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "a state named 'set' that this program does not declare");
    mr_user_states_destroy(later);
    close_world(world);
    free(world);
}
