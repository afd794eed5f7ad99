/* arena_test.c */
#include "base/arena.h"
#include "mr_test.h"

MR_TEST(arena, pieces_are_aligned_and_do_not_overlap)
{
    struct mr_arena arena;
    unsigned char *pieces[400];

    mr_arena_init(&arena, mr_test_heap());
    for (size_t i = 0; i < MR_COUNT(pieces); i++) {
        pieces[i] = mr_arena_alloc(&arena, i);
        MR_EXPECT(pieces[i] != NULL);
        MR_EXPECT_EQ_UINT((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < MR_COUNT(pieces); i++) {
        for (size_t k = 0; k < i; k++) MR_EXPECT_EQ_INT(pieces[i][k], i & 0xff);
    }
    mr_arena_fini(&arena);
    MR_EXPECT_EQ_UINT(arena.used_bytes, 0);
}

/* A request larger than any chunk must not make the arena give up or forget its other chunks. */
MR_TEST(arena, a_large_piece_gets_a_chunk_of_its_own)
{
    struct mr_arena arena;
    char *small;
    char *large;

    mr_arena_init(&arena, mr_test_heap());
    small = mr_arena_strdup(&arena, "stays");
    large = mr_arena_zero(&arena, 1000000);
    MR_EXPECT(large != NULL);
    MR_EXPECT_EQ_INT(large[0] | large[999999], 0);
    MR_EXPECT_EQ_STR(small, "stays");
    mr_arena_fini(&arena);
}

/* The batch arena is emptied for each batch: it must reach a size and stay there. */
MR_TEST(arena, after_reset_the_same_work_allocates_nothing)
{
    struct mr_arena arena;
    uint64_t before;

    mr_arena_init(&arena, mr_test_heap());
    for (uint32_t i = 0; i < 64; i++) MR_EXPECT(mr_arena_alloc(&arena, 500) != NULL);
    mr_arena_reset(&arena);
    for (uint32_t i = 0; i < 30; i++) MR_EXPECT(mr_arena_alloc(&arena, 500) != NULL);
    mr_arena_reset(&arena);
    before = mr_test_heap()->alloc_count;
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < 30; i++) MR_EXPECT(mr_arena_alloc(&arena, 500) != NULL);
        mr_arena_reset(&arena);
    }
    MR_EXPECT_EQ_UINT(mr_test_heap()->alloc_count, before);
    mr_arena_fini(&arena);
}

MR_TEST(arena, sizes_that_would_overflow_are_refused)
{
    struct mr_arena arena;

    mr_arena_init(&arena, mr_test_heap());
    MR_EXPECT(mr_arena_alloc(&arena, SIZE_MAX) == NULL);
    MR_EXPECT(mr_arena_alloc(&arena, SIZE_MAX - 15) == NULL);
    MR_EXPECT(mr_arena_alloc(&arena, SIZE_MAX / 2) == NULL);
    mr_arena_fini(&arena);
}

MR_TEST(arena, a_refused_piece_leaves_the_others_alone)
{
    MR_TORTURE(mr_test_heap()) {
        struct mr_arena arena;
        char *first;

        mr_arena_init(&arena, mr_test_heap());
        first = mr_arena_strdup(&arena, "first");
        for (uint32_t i = 0; i < 40; i++) {
            char *piece = mr_arena_alloc(&arena, 300);

            if (piece != NULL) memset(piece, 'x', 300);
        }
        if (first != NULL) MR_EXPECT_EQ_STR(first, "first");
        mr_arena_fini(&arena);
    }
}

MR_TEST(arena, a_zeroed_arena_may_be_ended)
{
    struct mr_arena arena = {0};

    mr_arena_fini(&arena);
    mr_arena_fini(&arena);
    MR_EXPECT(arena.top == NULL);
}
