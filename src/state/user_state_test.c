/* What calls on state do, refuse and survive. */
#include "state/user_state_rig.h"

MR_TEST(user_state, expired_state_is_gone_at_once_and_its_memory_comes_back)
{
    struct world *world = malloc(sizeof *world);
    struct mr_user_states *states;
    uint64_t before;

    open_world(world, RIG_INT, 3);
    for (uint32_t id = 0; id < IDS; id++) {
        states = at_key(world, id, id % 2);
        (void)mr_user_value(states, VALUE, true);
        (void)mr_user_append(states, LIST);
    }
    states = at_key(world, 0, 0);
    world->now += 49;
    states = at_key(world, 0, 0);
    MR_EXPECT(mr_user_value(states, VALUE, false).data != NULL);
    world->now += 1;
    states = at_key(world, 0, 0);
    MR_EXPECT(mr_user_value(states, VALUE, false).data == NULL);
    MR_EXPECT_EQ_UINT(mr_user_count(states, LIST), 1);
    world->now += 40;
    states = at_key(world, 0, 0);
    MR_EXPECT_EQ_UINT(mr_user_count(states, LIST), 0);
    before = mr_user_states_key_count(states);
    MR_EXPECT_EQ_UINT(before, 2 * IDS);
    mr_user_states_reclaim(states, 5); /* bounded */
    MR_EXPECT_EQ_UINT(mr_user_states_key_count(states), before - 10);
    mr_user_states_reclaim(states, 100);
    MR_EXPECT_EQ_UINT(mr_user_states_key_count(states), 0);
    mr_user_states_check(states);
    close_world(world);
    free(world);
}

static void expect_failure(struct mr_user_states *states, enum mr_status status, const char *text)
{
    struct mr_error err = {MR_OK, ""};

    MR_EXPECT_EQ_INT(mr_user_states_failure(states, &err), status);
    MR_EXPECT_CONTAINS(err.text, text);
    MR_EXPECT_EQ_INT(mr_user_states_failure(states, &err), MR_OK);
}

MR_TEST(user_state, wrong_use_is_told_by_name_and_harms_nothing)
{
    struct world *world = malloc(sizeof *world);
    struct mr_user_states *states;
    struct mr_datum number = mr_datum_int64(300);
    struct mr_datum key[2];
    struct mr_record record, other;
    struct mr_iterator it;
    char room[64];
    bool is_new;

    open_world(world, RIG_INT, 3);
    states = at_key(world, 1, 0);
    (void)mr_user_append(states, VALUE);
    expect_failure(states, MR_E_INVALID, "mr_list_append: state 'value' is a value");
    (void)mr_user_value(states, 99, true);
    expect_failure(states, MR_E_INVALID, "there is no state number 99: 8 are declared");
    datum_key(1, room, key);
    key[1] = number;
    (void)mr_user_element(states, SET, true, key, MR_USER_MAKE, &is_new);
    expect_failure(states, MR_E_OVERFLOW,
                   "state 'set', key 'tiny': 300 is out of the range of int8");
    datum_key(1, room, key);
    (void)mr_user_element(states, SHARED, false, key, MR_USER_MAKE, &is_new);
    expect_failure(states, MR_E_INVALID, "may be changed by on_broadcast only");
    record = mr_user_value(states, VALUE, true);
    mr_user_set(states, &record, 2, &number);
    expect_failure(states, MR_E_INVALID, "state 'value' has no field number 2: it has 2");
    mr_user_set(states, &record, 1, &number);
    expect_failure(states, MR_E_INVALID, "field 1 ('text') of state 'value' is utf8");
    (void)mr_user_append(states, LIST);
    (void)mr_user_append(states, LIST);
    it = mr_user_iterate(states, LIST);
    MR_EXPECT(mr_user_next(states, &it, &other));
    mr_user_clear(states, LIST);
    MR_EXPECT(!mr_user_next(states, &it, &other));
    expect_failure(states, MR_E_INVALID, "removed in another way");
    mr_user_states_at_none(states);
    (void)mr_user_value(states, VALUE, false);
    expect_failure(states, MR_E_INVALID, "belongs to a key, and there is none at hand");
    mr_user_timer_set(states, MR_EVENT_TIME, 5, 0, MR_TIME_MAX);
    expect_failure(states, MR_E_INVALID, "a timer belongs to a key");
    states = at_key(world, 1, 0);
    mr_user_timer_set(states, MR_EVENT_TIME, 5, 0, 6);
    expect_failure(states, MR_E_RECORD, "must not be after the timer itself, 5");
    mr_user_states_check(states);
    close_world(world);
    free(world);
}

MR_TEST(user_state, a_prepared_batch_gives_equal_keys_one_record_and_forgets_what_is_not_written)
{
    struct world *world = malloc(sizeof *world);
    struct mr_state_array array;
    struct mr_user_states *states;
    const uint32_t ids[6] = {3, 4, 3, 5, 6, 3};

    open_world(world, RIG_INT, 3);
    states = world->instances[0];
    rig_keys(&world->rig, ids, 6);
    mr_user_states_batch(states, &world->rig.keys);
    MR_EXPECT(mr_user_prepare(states, VALUE, NULL, &array));
    MR_EXPECT(!mr_array_exists(&array, 0));
    for (uint32_t row = 0; row < 4; row++) {
        if (row != 3) *mr_array_int64(&array, row, 0) += 10 + row;
    }
    MR_EXPECT(mr_array_exists(&array, 5)); /* key 3 was written by row 0 */
    mr_user_prepared_over(states);
    MR_EXPECT_EQ_UINT(mr_user_states_key_count(states), 2);
    mr_user_states_check(states);
    MR_EXPECT_EQ_INT(mr_user_states_failure(states, NULL), MR_OK);
    mr_user_states_batch(states, &world->rig.keys);
    mr_user_states_at_row(states, 5);
    {
        struct mr_record record = mr_user_value(states, VALUE, false);

        MR_EXPECT_EQ_INT(mr_user_get(states, &record, 0).u.int64, 22);
    }
    MR_EXPECT(mr_user_prepare(states, VALUE, NULL, &array));
    mr_array_clear(&array, 1);
    *mr_array_int64(&array, 3, 0) = 7;
    mr_array_clear(&array, 0);
    *mr_array_int64(&array, 2, 0) += 1; /* begins at nothing */
    mr_user_prepared_over(states);
    MR_EXPECT_EQ_UINT(mr_user_states_key_count(states), 2);
    mr_user_states_at_row(states, 0);
    {
        struct mr_record record = mr_user_value(states, VALUE, false);

        MR_EXPECT_EQ_INT(mr_user_get(states, &record, 0).u.int64, 1);
    }
    mr_user_states_check(states);
    close_world(world);
    free(world);
}

/* One call of each kind. False: something was refused. */
static bool every_call(struct world *world, struct mr_user_states *states)
{
    struct mr_datum key[2];
    struct mr_state_array array;
    struct mr_record record;
    struct mr_error err;
    char room[64];
    bool is_new;

    record = mr_user_value(states, VALUE, true);
    fill(states, &record, 21);
    record = mr_user_append(states, LIST);
    fill(states, &record, 26);
    record = mr_user_add_at(states, ORDERED, 4);
    fill(states, &record, 27);
    datum_key(4, room, key);
    record = mr_user_element(states, MAP, false, key, MR_USER_MAKE, &is_new);
    fill(states, &record, 28);
    (void)mr_user_element(states, SET, true, key, MR_USER_MAKE, &is_new);
    (void)mr_user_accumulator(states, SUM, true);
    record = mr_user_append(states, OPERATOR);
    mr_user_timer_set(states, MR_EVENT_TIME, 5, 0, 4);
    mr_user_states_check(states);
    mr_user_states_batch(states, &world->rig.keys);
    (void)mr_user_prepare(states, VALUE, NULL, &array);
    mr_user_prepared_over(states);
    return mr_user_states_failure(states, &err) == MR_OK;
}

MR_TEST(user_state, when_memory_ends_a_call_is_refused_and_all_that_was_there_stays_whole)
{
    struct world *world = malloc(sizeof *world);
    struct mr_heap heap;

    open_world(world, RIG_TEXT, 3);
    mr_heap_init_child(&heap, "torture", SIZE_MAX / 2, mr_test_heap());
    MR_TORTURE(&heap) {
        struct mr_user_states *states = NULL;
        struct mr_error err;
        enum mr_status st = open_instance(world, &heap, 0, 1, &states, &err);

        MR_EXPECT(st == MR_OK || st == MR_E_NOMEM);
        if (st == MR_OK) {
            bool all = true;

            for (uint32_t id = 0; id < 12; id++) {
                uint32_t ids[2] = {id, id + 1};

                rig_keys(&world->rig, ids, 2);
                mr_user_states_batch(states, &world->rig.keys);
                mr_user_states_at_row(states, 0);
                mr_user_states_set_namespace(states, id % 3);
                all = every_call(world, states) && all;
            }
            MR_EXPECT_EQ_INT(all, !mr_test_refused(&heap));
        }
        mr_user_states_destroy(states);
    }
    mr_heap_fini(&heap);
    close_world(world);
    free(world);
}
