/* mr_test_frame_test.c - a frame that lets everything pass would make every other test worthless. */
#include "base/assert.h"
#include "mr_test.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t ran;

MR_TEST(frame, tests_run_in_the_order_of_their_lines)
{
    MR_EXPECT_EQ_UINT(ran++, 0);
}

MR_TEST(frame, the_second_test_runs_second)
{
    MR_EXPECT_EQ_UINT(ran++, 1);
}

MR_TEST(frame, a_broken_assertion_is_seen_and_a_whole_one_is_not)
{
    MR_EXPECT_PANIC(mr_assert(1 + 1 == 3));
    if (mr_test_child_begin()) mr_test_child_end();
    MR_EXPECT(!mr_test_child_panicked());
}

MR_TEST(frame, torture_refuses_each_allocation_once)
{
    struct mr_heap *heap = mr_test_heap();
    uint32_t rounds = 0;
    uint32_t refused_at[3] = {0};

    MR_TORTURE(heap) {
        void *blocks[3];

        rounds++;
        for (size_t i = 0; i < 3; i++) {
            blocks[i] = mr_alloc(heap, 8);
            refused_at[i] += blocks[i] == NULL;
        }
        MR_EXPECT_EQ_INT(mr_test_refused(heap), rounds <= 3);
        for (size_t i = 0; i < 3; i++) mr_free(heap, blocks[i], 8);
    }
    MR_EXPECT_EQ_UINT(rounds, 4);
    for (size_t i = 0; i < 3; i++) MR_EXPECT_EQ_UINT(refused_at[i], 1);
    MR_EXPECT_EQ_UINT(heap->fail_at, 0);
}

/* What is not given back must be noticed: the bytes, not only the blocks. */
MR_TEST(frame, fresh_memory_is_never_zero_by_chance)
{
    unsigned char *memory = mr_alloc(mr_test_heap(), 16);

    for (size_t i = 0; i < 16; i++) MR_EXPECT_EQ_INT(memory[i], 0xa5);
    mr_free(mr_test_heap(), memory, 16);
}

MR_TEST(frame, the_test_folder_is_there_and_empty)
{
    struct stat info;
    char path[600];
    FILE *file;

    MR_EXPECT(stat(mr_test_dir(), &info) == 0 && S_ISDIR(info.st_mode));
    (void)snprintf(path, sizeof path, "%s/left_behind", mr_test_dir());
    file = fopen(path, "w");
    MR_EXPECT(file != NULL);
    (void)fclose(file);
}

MR_TEST(frame, the_folder_of_the_last_test_is_gone)
{
    char path[600];

    (void)snprintf(path, sizeof path, "%s/left_behind", mr_test_dir());
    MR_EXPECT(access(path, F_OK) != 0);
}
