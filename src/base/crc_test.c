/* crc_test.c - known sums from RFC 3720 (iSCSI), appendix B.4. */
#include "base/crc.h"
#include "base/prng.h"
#include "mr_test.h"

MR_TEST(crc, known_sums_are_met)
{
    unsigned char bytes[32] = {0};

    MR_EXPECT_EQ_UINT(mr_crc32c(0, "", 0), 0);
    MR_EXPECT_EQ_UINT(mr_crc32c(0, "123456789", 9), 0xe3069283);
    MR_EXPECT_EQ_UINT(mr_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    MR_EXPECT_EQ_UINT(mr_crc32c(0, bytes, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++) bytes[i] = (unsigned char)i;
    MR_EXPECT_EQ_UINT(mr_crc32c(0, bytes, 32), 0x46dd794e);
    MR_EXPECT_EQ_UINT(mr_crc32c_portable(0, bytes, 32), 0x46dd794e);
}

/* A log record may be summed in parts, and read on another machine. */
MR_TEST(crc, both_ways_agree_for_any_length_and_any_cut)
{
    unsigned char bytes[300];
    struct mr_prng prng;

    mr_prng_init(&prng, 1, 0);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)mr_prng_next(&prng);
    for (uint32_t round = 0; round < 5000; round++) {
        size_t from = (size_t)mr_prng_below(&prng, 20);
        size_t size = (size_t)mr_prng_below(&prng, sizeof bytes - 20);
        size_t cut = (size_t)mr_prng_below(&prng, size + 1);
        uint32_t whole = mr_crc32c(0, bytes + from, size);

        MR_EXPECT_EQ_UINT(whole, mr_crc32c_portable(0, bytes + from, size));
        MR_EXPECT_EQ_UINT(
            whole, mr_crc32c(mr_crc32c(0, bytes + from, cut), bytes + from + cut, size - cut));
    }
}
