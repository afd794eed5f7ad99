/* hash_test.c - the hash is part of stored formats: fixed values guard it. */
#include "base/hash.h"
#include "base/prng.h"
#include "mr_test.h"

#include <math.h>

/* From the xxhash library itself, version 0.8.1: XXH3_64bits with seed 0. */
MR_TEST(hash, values_are_those_of_xxh3)
{
    MR_EXPECT_EQ_UINT(mr_hash_bytes("", 0), UINT64_C(0x2d06800538d394c2));
    MR_EXPECT_EQ_UINT(mr_hash_bytes("a", 1), UINT64_C(0xe6c632b61e964e1f));
    MR_EXPECT_EQ_UINT(mr_hash_bytes("abc", 3), UINT64_C(0x78af5f94892f3950));
}

MR_TEST(hash, numbers_are_hashed_as_their_little_endian_bytes)
{
    static const unsigned char eight[8] = {0x15, 0xcd, 0x5b, 0x07, 0, 0, 0, 0}; /* 123456789 */
    static const unsigned char minus[16] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    MR_EXPECT_EQ_UINT(mr_hash_int64(123456789), mr_hash_bytes(eight, 8));
    MR_EXPECT_EQ_UINT(mr_hash_int64(-2), mr_hash_bytes(minus, 8));
    MR_EXPECT_EQ_UINT(mr_hash_int128(-2), mr_hash_bytes(minus, 16));
}

/* Equal keys must land in one group, however they were computed. */
MR_TEST(hash, zeros_are_equal_and_so_are_all_nans)
{
    uint64_t bits = UINT64_C(0xfff8000000000123);
    double odd_nan;

    memcpy(&odd_nan, &bits, sizeof odd_nan);
    MR_EXPECT_EQ_UINT(mr_hash_float64(-0.0), mr_hash_float64(0.0));
    MR_EXPECT_EQ_UINT(mr_hash_float64(odd_nan), mr_hash_float64((double)NAN));
    MR_EXPECT_EQ_UINT(mr_hash_float64(-(double)NAN), mr_hash_float64((double)NAN));
    MR_EXPECT(mr_hash_float64(1.0) != mr_hash_float64(-1.0));
}

MR_TEST(hash, the_order_of_members_counts)
{
    uint64_t a = mr_hash_int64(1);
    uint64_t b = mr_hash_int64(2);

    MR_EXPECT(mr_hash_combine(a, b) != mr_hash_combine(b, a));
    MR_EXPECT(mr_hash_combine(a, MR_HASH_NULL) != mr_hash_combine(MR_HASH_NULL, a));
}

MR_TEST(hash, every_group_has_one_owner_and_owners_have_about_equal_shares)
{
    for (uint32_t instances = 1; instances <= 40; instances++) {
        uint32_t groups = MR_KEY_GROUPS_DEFAULT;
        uint32_t count[40] = {0};
        uint32_t before = 0;

        for (uint32_t group = 0; group < groups; group++) {
            uint32_t owner = mr_group_instance(group, groups, instances);

            MR_EXPECT(owner < instances && owner >= before);
            before = owner;
            count[owner]++;
        }
        for (uint32_t i = 0; i < instances; i++) {
            MR_EXPECT(count[i] >= groups / instances && count[i] <= groups / instances + 1);
        }
    }
    MR_EXPECT_EQ_UINT(mr_key_group(0, 1024), 0);
    MR_EXPECT_EQ_UINT(mr_key_group(UINT64_MAX, 1024), 1023);
    MR_EXPECT_EQ_UINT(mr_key_group(UINT64_MAX, 1000), 999);
}
