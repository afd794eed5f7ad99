/* byte_pool_test.c - pieces must not overlap, must come back, and must cost what they say. */
#include "base/prng.h"
#include "mr_test.h"
#include "state/byte_pool.h"

#define PIECES 200

struct held {
    struct mri_piece piece;
    size_t size;
    unsigned char fill;
};

static void expect_intact(const struct mri_pool *pool, const struct held *held)
{
    for (size_t i = 0; i < held->size; i++) {
        MR_EXPECT_EQ_UINT((unsigned char)held->piece.data[i], held->fill);
    }
    MR_EXPECT(pool->chunks[held->piece.chunk] + held->piece.offset == held->piece.data);
    MR_EXPECT_EQ_UINT((uintptr_t)held->piece.data % 16, 0);
}

/* Every piece is filled with its own byte: an overlap shows as a wrong byte. */
MR_TEST(byte_pool, pieces_of_any_size_keep_their_bytes_while_others_come_and_go)
{
    static struct held held[PIECES];
    struct mri_pool pool;
    struct mr_prng prng;

    memset(held, 0, sizeof held);
    mr_prng_init(&prng, 4, 1);
    mri_pool_init(&pool, mr_test_heap());
    for (int n = 0; n < 20000; n++) {
        struct held *one = &held[mr_prng_below(&prng, PIECES)];

        if (one->piece.data != NULL) {
            expect_intact(&pool, one);
            mri_pool_give(&pool, one->piece, one->size);
            one->piece.data = NULL;
            continue;
        }
        one->size =
            mr_prng_below(&prng, 10) == 0 ? mr_prng_below(&prng, 40000) : mr_prng_below(&prng, 200);
        one->fill = (unsigned char)mr_prng_next(&prng);
        MR_EXPECT(mri_pool_take(&pool, one->size, &one->piece));
        memset(one->piece.data, one->fill, one->size);
    }
    mri_pool_fini(&pool);
}

MR_TEST(byte_pool, a_class_wastes_at_most_a_fifth_and_holds_what_was_asked_for)
{
    size_t before = 0;

    for (size_t size = 0; size <= MRI_PIECE_BYTES_MAX + 100; size++) {
        size_t usable = mri_piece_bytes(size);

        MR_EXPECT(usable >= size && usable % 16 == 0 && usable >= before);
        MR_EXPECT(usable - size <= 16 + size / 4);
        before = usable;
    }
    MR_EXPECT_EQ_UINT(mri_piece_bytes(MRI_PIECE_BYTES_MAX), MRI_PIECE_BYTES_MAX);
}

/* Without reuse a state that comes and goes would grow for ever. */
MR_TEST(byte_pool, when_pieces_come_and_go_then_memory_does_not_grow)
{
    struct mr_heap *heap = mr_test_heap();
    struct mri_pool pool;
    size_t used;

    mri_pool_init(&pool, heap);
    for (int round = 0; round < 3; round++) {
        static const size_t sizes[] = {16, 100, 5000, MRI_PIECE_BYTES_MAX + 1};
        struct mri_piece pieces[MR_COUNT(sizes)];

        for (size_t i = 0; i < MR_COUNT(sizes); i++) {
            MR_EXPECT(mri_pool_take(&pool, sizes[i], &pieces[i]));
        }
        if (round == 0) used = heap->used_bytes;
        MR_EXPECT_EQ_UINT(heap->used_bytes, used);
        for (size_t i = 0; i < MR_COUNT(sizes); i++) mri_pool_give(&pool, pieces[i], sizes[i]);
    }
    mri_pool_fini(&pool);
}

MR_TEST(byte_pool, when_memory_is_short_then_take_answers_false_and_the_rest_stays)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mri_pool pool;
        struct held held[12];
        int count = 0;

        mri_pool_init(&pool, heap);
        for (int i = 0; i < 12; i++) {
            struct held one = {.size = (size_t)(i % 3 == 2 ? 20000 : 700),
                               .fill = (unsigned char)i};

            if (!mri_pool_take(&pool, one.size, &one.piece)) {
                MR_EXPECT(mr_test_refused(heap));
                continue;
            }
            memset(one.piece.data, one.fill, one.size);
            held[count++] = one;
        }
        MR_EXPECT(count >= 11);
        for (int i = 0; i < count; i++) expect_intact(&pool, &held[i]);
        mri_pool_fini(&pool);
    }
}
