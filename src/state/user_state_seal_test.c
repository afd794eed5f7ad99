/* Entries that are none, and memory that ends while state is restored. */
#include "state/user_state_rig.h"

MR_TEST(user_state_seal, malformed_entries_are_refused_or_mean_something_and_leave_nothing_broken)
{
    struct world *world = malloc(sizeof *world);
    struct mr_error err;

    sealed_world(world);
    for (uint32_t round = 0; round < 3000; round++) {
        struct saved *saved = &world->saved[dice(world, world->saved_count)];
        struct mr_user_states *states = NULL;
        bool value = dice(world, 3) > 0 && saved->entry.value.size_bytes > 0;
        struct mr_bytes *bytes = value ? &saved->entry.value : &saved->entry.key;
        char *data = value ? saved->value : saved->key;
        size_t size = bytes->size_bytes;
        uint32_t at = size > 0 ? dice(world, (uint32_t)size) : 0;
        char old = data[at];
        enum mr_status st;

        if (dice(world, 4) == 0) {
            bytes->size_bytes = at;
        } else {
            data[at] = (char)dice(world, 256);
        }
        MR_EXPECT_OK(open_instance(world, mr_test_heap(), 0, 1, &states, &err), &err);
        st = restore_into(world, states, &err);
        MR_EXPECT(st == MR_OK || st == MR_E_CORRUPT || st == MR_E_SCHEMA ||
                  st == MR_E_UNSUPPORTED || st == MR_E_NOT_FOUND);
        mr_user_states_destroy(states);
        bytes->size_bytes = size;
        data[at] = old;
    }
    close_world(world);
    free(world);
}

MR_TEST(user_state_seal, when_memory_ends_in_a_seal_or_a_restore_that_is_said)
{
    struct world *world = malloc(sizeof *world);
    struct mr_heap heap;

    sealed_world(world);
    mr_heap_init_child(&heap, "torture", SIZE_MAX / 2, mr_test_heap());
    MR_TORTURE(&heap) {
        struct mr_user_states *states = NULL;
        struct mr_error err;
        enum mr_status st = open_instance(world, &heap, 0, 1, &states, &err);

        if (st == MR_OK) st = restore_into(world, states, &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(&heap) ? MR_E_NOMEM : MR_OK);
        mr_user_states_destroy(states);
    }
    mr_heap_fini(&heap);
    close_world(world);
    free(world);
}
