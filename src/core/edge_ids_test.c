/* edge_ids_test.c - the stream is ChaCha8's, and no two streams share numbers. */
#include "core/edge_ids.h"
#include "mr_test.h"

/* Test vector of ChaCha8, 256-bit key, all zero: what is random must not be home-made. */
MR_TEST(edge_ids, with_a_zero_key_they_are_the_published_stream)
{
    static const uint8_t expected[64] = {
        0x3e, 0x00, 0xef, 0x2f, 0x89, 0x5f, 0x40, 0xd6, 0x7f, 0x5b, 0xb8, 0xe8, 0x1f,
        0x09, 0xa5, 0xa1, 0x2c, 0x84, 0x0e, 0xc3, 0xce, 0x9a, 0x7f, 0x3b, 0x18, 0x1b,
        0xe1, 0x88, 0xef, 0x71, 0x1a, 0x1e, 0x98, 0x4c, 0xe1, 0x72, 0xb9, 0x21, 0x6f,
        0x41, 0x9f, 0x44, 0x53, 0x67, 0x45, 0x6d, 0x56, 0x19, 0x31, 0x4a, 0x42, 0xa3,
        0xda, 0x86, 0xb0, 0x01, 0x38, 0x7b, 0xfd, 0xb8, 0x0e, 0x0c, 0xfe, 0x42};
    uint64_t key[4] = {0, 0, 0, 0};
    struct mr_edge_ids ids;

    mr_edge_ids_init(&ids, key, 0);
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t want = 0;
        for (uint32_t b = 0; b < 8; b++) want |= (uint64_t)expected[8 * i + b] << (8 * b);
        MR_EXPECT_EQ_UINT(mr_edge_ids_next(&ids), want);
    }
}

/* Refills go on where the last one ended: block n of one refill is block n of any other. */
MR_TEST(edge_ids, refills_continue_the_stream)
{
    uint64_t key[4] = {1, 2, 3, 4};
    struct mr_edge_ids whole, late;

    mr_edge_ids_init(&whole, key, 7);
    mr_edge_ids_init(&late, key, 7);
    late.block = 1; /* of 8 ids each */
    for (uint32_t i = 0; i < 8; i++) (void)mr_edge_ids_next(&whole);
    for (uint32_t i = 0; i < 100; i++) {
        MR_EXPECT_EQ_UINT(mr_edge_ids_next(&late), mr_edge_ids_next(&whole));
    }
}

/* Two tasks of one attempt with the same numbers would cancel each other's edges (A4). */
MR_TEST(edge_ids, two_streams_of_one_key_share_nothing)
{
    uint64_t key[4] = {9, 9, 9, 9};
    uint64_t seen[2][256];
    struct mr_edge_ids ids;

    for (uint64_t stream = 0; stream < 2; stream++) {
        mr_edge_ids_init(&ids, key, stream);
        for (uint32_t i = 0; i < 256; i++) seen[stream][i] = mr_edge_ids_next(&ids);
    }
    for (uint32_t i = 0; i < 256; i++) {
        MR_EXPECT(seen[0][i] != 0);
        for (uint32_t j = 0; j < 256; j++) MR_EXPECT(seen[0][i] != seen[1][j]);
    }
}
