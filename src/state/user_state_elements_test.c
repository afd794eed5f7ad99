/* Collections of all kinds against plain arrays; see user_state_rig.h. */
#include "state/user_state_rig.h"

MR_TEST(user_state_elements,
        any_life_equals_plain_arrays_across_seals_and_other_numbers_of_instances)
{
    for (uint64_t seed = 1; seed <= 12; seed++) {
        live(RIG_INT, seed, 1500);
        live(RIG_TEXT, seed, 700);
        live(RIG_MIXED, seed, 700);
    }
}

MR_TEST(user_state_elements, appending_seals_the_new_element_and_nothing_else_of_its_list)
{
    struct world *world = malloc(sizeof *world);
    uint32_t puts = 0;
    struct mr_error err;

    open_world(world, RIG_INT, 3);
    for (uint32_t i = 0; i < 50; i++) (void)mr_user_append(at_key(world, 1, 0), LIST);
    seal(world, false);
    forget_saved(world);
    (void)mr_user_append(at_key(world, 1, 0), LIST);
    MR_EXPECT_OK(mr_user_states_seal(world->instances[0], false, save, world, &err), &err);
    for (uint32_t i = 0; i < world->saved_count; i++) {
        puts += world->saved[i].entry.kind == MR_ENTRY_PUT;
    }
    MR_EXPECT_EQ_UINT(puts, 1);
    close_world(world);
    free(world);
}
