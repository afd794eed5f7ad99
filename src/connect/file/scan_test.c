/* scan_test.c - every set of loops against plain loops over bytes. */
#include "base/prng.h"
#include "connect/file/scan.h"
#include "connect/file/utf8_check.h"
#include "mr_test.h"

#define WORDS 64u
#define BYTES (WORDS * 64u)

static void fill(struct mr_prng *prng, char *out, uint32_t density)
{
    static const char special[] = ",\n\"\x80\xff;";

    for (uint32_t i = 0; i < BYTES; i++) {
        out[i] = mr_prng_below(prng, 100) < density
                     ? special[mr_prng_below(prng, sizeof special - 1)]
                     : (char)mr_prng_below(prng, 0x80);
    }
}

MR_TEST(scan, masks_have_the_bits_of_their_bytes)
{
    static char data[BYTES];
    struct mr_prng prng;

    mr_prng_init(&prng, 5, 1);
    for (uint32_t round = 0; round < 40; round++) {
        uint32_t words = (uint32_t)mr_prng_below(&prng, WORDS) + 1;

        fill(&prng, data, round * 2);
        for (size_t set = 0; mri_scan_ops_at(set) != NULL; set++) {
            struct mri_masks masks, lines;
            bool high = false, quote = false;

            mri_scan_ops_at(set)->masks(data, words, ';', &masks);
            mri_scan_ops_at(set)->newlines(data, words, &lines);
            for (uint32_t i = 0; i < words * 64; i++) {
                unsigned char c = (unsigned char)data[i];

                MR_EXPECT_EQ_INT(masks.separators[i / 64] >> (i % 64) & 1, c == ';' || c == '\n');
                MR_EXPECT_EQ_INT(masks.newlines[i / 64] >> (i % 64) & 1, c == '\n');
                MR_EXPECT_EQ_INT(lines.newlines[i / 64] >> (i % 64) & 1, c == '\n');
                MR_EXPECT_EQ_INT(masks.quotes[i / 64] >> (i % 64) & 1, c == '"');
                high |= c >= 0x80;
                quote |= c == '"';
            }
            MR_EXPECT_EQ_INT(masks.high != 0, high);
            MR_EXPECT_EQ_INT(lines.high != 0, high);
            MR_EXPECT_EQ_INT(masks.any_quote != 0, quote);
        }
    }
}

MR_TEST(scan, flatten_lists_every_bit_in_order)
{
    static uint32_t out[BYTES + MRI_SCAN_PAD];
    uint64_t masks[WORDS];
    struct mr_prng prng;

    mr_prng_init(&prng, 6, 1);
    for (uint32_t round = 0; round < 40; round++) {
        for (uint32_t w = 0; w < WORDS; w++) {
            masks[w] = mr_prng_next(&prng);
            if (round % 4 > 0) masks[w] &= mr_prng_next(&prng) & mr_prng_next(&prng);
            if (round % 4 > 1) masks[w] &= mr_prng_next(&prng) & mr_prng_next(&prng);
            if (round == 0) masks[w] = UINT64_MAX;
        }
        for (size_t set = 0; mri_scan_ops_at(set) != NULL; set++) {
            size_t count = mri_scan_ops_at(set)->flatten(masks, WORDS, 1000, out);
            size_t at = 0;

            for (uint32_t i = 0; i < BYTES; i++) {
                if (masks[i / 64] >> (i % 64) & 1) MR_EXPECT_EQ_UINT(out[at++], 1000 + i);
            }
            MR_EXPECT_EQ_UINT(count, at);
        }
    }
}

MR_TEST(scan, newlines_are_counted_at_any_size)
{
    char data[300];

    for (uint32_t size = 0; size < sizeof data; size++) {
        uint64_t expected = 0;

        for (uint32_t i = 0; i < size; i++) {
            data[i] = i % 7 == 3 ? '\n' : 'x';
            expected += i % 7 == 3;
        }
        MR_EXPECT_EQ_UINT(mri_count_newlines(data, size), expected);
    }
}

MR_TEST(utf8_check, the_whole_of_unicode_is_valid_and_nothing_else)
{
    static const struct {
        const char *text;
        size_t prefix;
    } cases[] = {
        {"", 0},
        {"plain", 5},
        {"\xc3\xa9t\xc3\xa9", 5},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\x98\x80!", 5},
        {"\xf4\x8f\xbf\xbf", 4}, /* U+10FFFF */
        {"\xf4\x90\x80\x80", 0}, /* above it */
        {"\xed\x9f\xbf", 3},     /* before the surrogates */
        {"\xed\xa0\x80", 0},     /* a surrogate */
        {"\xee\x80\x80", 3},     /* behind them */
        {"\xc0\x80", 0},         /* overlong */
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xe0\xa0\x80", 3},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf0\x90\x80\x80", 4},
        {"\xf8\x88\x80\x80\x80", 0},
        {"\x80", 0},
        {"abcdefghijklmnop\xff", 16},
        {"abcdefg\xe2\x82", 7}, /* cut */
        {"a\xe2"
         "b",
         1},
    };

    for (size_t i = 0; i < MR_COUNT(cases); i++) {
        size_t size = strlen(cases[i].text);

        MR_EXPECT_EQ_UINT(mri_utf8_prefix(cases[i].text, size), cases[i].prefix);
        MR_EXPECT_EQ_INT(mri_utf8_valid(cases[i].text, size), cases[i].prefix == size);
    }
}
