/* scan.c - see scan.h. */
#include "connect/file/scan.h"

#include "base/bitset.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* ---- plain C ---- */

static void masks_plain(const char *data, size_t words, char delimiter, struct mri_masks *out)
{
    out->high = 0;
    out->any_quote = 0;
    for (size_t w = 0; w < words; w++) {
        uint64_t separators = 0, newlines = 0, quotes = 0, high = 0;

        for (size_t i = 0; i < 64; i++) {
            char c = data[w * 64 + i];

            separators |= (uint64_t)(c == delimiter || c == '\n') << i;
            newlines |= (uint64_t)(c == '\n') << i;
            quotes |= (uint64_t)(c == '"') << i;
            high |= (unsigned char)c & 0x80;
        }
        out->separators[w] = separators;
        out->newlines[w] = newlines;
        out->quotes[w] = quotes;
        out->high |= high;
        out->any_quote |= quotes;
    }
}

static void newlines_plain(const char *data, size_t words, struct mri_masks *out)
{
    out->high = 0;
    for (size_t w = 0; w < words; w++) {
        uint64_t newlines = 0, high = 0;

        for (size_t i = 0; i < 64; i++) {
            char c = data[w * 64 + i];

            newlines |= (uint64_t)(c == '\n') << i;
            high |= (unsigned char)c & 0x80;
        }
        out->newlines[w] = newlines;
        out->high |= high;
    }
}

static size_t flatten_plain(const uint64_t *masks, size_t words, uint32_t base, uint32_t *out)
{
    uint32_t *at = out;

    for (size_t w = 0; w < words; w++) {
        for (uint64_t bits = masks[w]; bits != 0; bits &= bits - 1) {
            *at++ = base + (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(bits);
        }
    }
    return (size_t)(at - out);
}

static const struct mri_scan_ops plain_ops = {"plain", masks_plain, newlines_plain, flatten_plain};

#if defined(__x86_64__)

/* ---- SSE2: every x86-64 has it ---- */

static uint64_t equal_sse2(const __m128i v[4], __m128i what)
{
    uint64_t a = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[0], what));
    uint64_t b = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[1], what));
    uint64_t c = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[2], what));
    uint64_t d = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[3], what));

    return a | b << 16 | c << 32 | d << 48;
}

static __m128i load_sse2(const char *data, __m128i v[4])
{
    for (int i = 0; i < 4; i++)
        v[i] = _mm_loadu_si128((const __m128i *)(const void *)(data + 16 * i));
    return _mm_or_si128(_mm_or_si128(v[0], v[1]), _mm_or_si128(v[2], v[3]));
}

static void masks_sse2(const char *data, size_t words, char delimiter, struct mri_masks *out)
{
    __m128i any = _mm_setzero_si128();
    uint64_t any_quote = 0;

    for (size_t w = 0; w < words; w++) {
        __m128i v[4];

        any = _mm_or_si128(any, load_sse2(data + 64 * w, v));
        out->newlines[w] = equal_sse2(v, _mm_set1_epi8('\n'));
        out->separators[w] = out->newlines[w] | equal_sse2(v, _mm_set1_epi8(delimiter));
        out->quotes[w] = equal_sse2(v, _mm_set1_epi8('"'));
        any_quote |= out->quotes[w];
    }
    out->any_quote = any_quote;
    out->high = (uint64_t)_mm_movemask_epi8(any);
}

static void newlines_sse2(const char *data, size_t words, struct mri_masks *out)
{
    __m128i any = _mm_setzero_si128();

    for (size_t w = 0; w < words; w++) {
        __m128i v[4];

        any = _mm_or_si128(any, load_sse2(data + 64 * w, v));
        out->newlines[w] = equal_sse2(v, _mm_set1_epi8('\n'));
    }
    out->high = (uint64_t)_mm_movemask_epi8(any);
}

static const struct mri_scan_ops sse2_ops = {"sse2", masks_sse2, newlines_sse2, flatten_plain};

/* ---- AVX2 ---- */

#define AVX2 __attribute__((target("avx2,bmi,bmi2,popcnt")))

AVX2 static uint64_t equal_avx2(__m256i low, __m256i high, __m256i what)
{
    uint64_t a = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, what));
    uint64_t b = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, what));

    return a | b << 32;
}

AVX2 static void masks_avx2(const char *data, size_t words, char delimiter, struct mri_masks *out)
{
    const __m256i newline = _mm256_set1_epi8('\n');
    const __m256i comma = _mm256_set1_epi8(delimiter);
    const __m256i quote = _mm256_set1_epi8('"');
    __m256i any = _mm256_setzero_si256();
    uint64_t any_quote = 0;

    for (size_t w = 0; w < words; w++) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(data + 64 * w));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(data + 64 * w + 32));

        any = _mm256_or_si256(any, _mm256_or_si256(a, b));
        out->newlines[w] = equal_avx2(a, b, newline);
        out->separators[w] = out->newlines[w] | equal_avx2(a, b, comma);
        out->quotes[w] = equal_avx2(a, b, quote);
        any_quote |= out->quotes[w];
    }
    out->any_quote = any_quote;
    out->high = (uint32_t)_mm256_movemask_epi8(any);
}

AVX2 static void newlines_avx2(const char *data, size_t words, struct mri_masks *out)
{
    const __m256i newline = _mm256_set1_epi8('\n');
    __m256i any = _mm256_setzero_si256();

    for (size_t w = 0; w < words; w++) {
        __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(data + 64 * w));
        __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(data + 64 * w + 32));

        any = _mm256_or_si256(any, _mm256_or_si256(a, b));
        out->newlines[w] = equal_avx2(a, b, newline);
    }
    out->high = (uint32_t)_mm256_movemask_epi8(any);
}

/* Eight at a time without asking whether there are as many: what is too much is overwritten by the
 * next word or is rubbish behind the end (after simdjson). */
AVX2 static size_t flatten_avx2(const uint64_t *masks, size_t words, uint32_t base, uint32_t *out)
{
    uint32_t *at = out;

    for (size_t w = 0; w < words; w++) {
        uint64_t bits = masks[w];
        uint32_t first = base + (uint32_t)(w * 64);
        uint32_t count = (uint32_t)__builtin_popcountll(bits);

        for (uint32_t done = 0; done < count; done += 8) {
            for (uint32_t i = 0; i < 8; i++) {
                at[done + i] = first + (uint32_t)_tzcnt_u64(bits);
                bits = _blsr_u64(bits);
            }
        }
        at += count;
    }
    return (size_t)(at - out);
}

static const struct mri_scan_ops avx2_ops = {"avx2", masks_avx2, newlines_avx2, flatten_avx2};

/* ---- AVX-512 ---- */

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,bmi,bmi2,popcnt")))

AVX512 static void masks_avx512(const char *data, size_t words, char delimiter,
                                struct mri_masks *out)
{
    const __m512i newline = _mm512_set1_epi8('\n');
    const __m512i comma = _mm512_set1_epi8(delimiter);
    const __m512i quote = _mm512_set1_epi8('"');
    __m512i any = _mm512_setzero_si512();
    uint64_t any_quote = 0;

    for (size_t w = 0; w < words; w++) {
        __m512i v = _mm512_loadu_si512(data + 64 * w);

        any = _mm512_or_si512(any, v);
        out->newlines[w] = _mm512_cmpeq_epi8_mask(v, newline);
        out->separators[w] = out->newlines[w] | _mm512_cmpeq_epi8_mask(v, comma);
        out->quotes[w] = _mm512_cmpeq_epi8_mask(v, quote);
        any_quote |= out->quotes[w];
    }
    out->any_quote = any_quote;
    out->high = _mm512_movepi8_mask(any);
}

AVX512 static void newlines_avx512(const char *data, size_t words, struct mri_masks *out)
{
    const __m512i newline = _mm512_set1_epi8('\n');
    __m512i any = _mm512_setzero_si512();

    for (size_t w = 0; w < words; w++) {
        __m512i v = _mm512_loadu_si512(data + 64 * w);

        any = _mm512_or_si512(any, v);
        out->newlines[w] = _mm512_cmpeq_epi8_mask(v, newline);
    }
    out->high = _mm512_movepi8_mask(any);
}

/* One compression of the numbers 0..63 gives all positions of a word as bytes; widen, add,
 * store. */
AVX512 static size_t flatten_avx512(const uint64_t *masks, size_t words, uint32_t base,
                                    uint32_t *out)
{
    static const MR_ALIGNED(64) uint8_t numbers[64] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
        22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
        44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    const __m512i all = _mm512_load_si512(numbers);
    uint32_t *at = out;

    for (size_t w = 0; w < words; w++) {
        uint32_t count = (uint32_t)__builtin_popcountll(masks[w]);
        __m512i packed = _mm512_maskz_compress_epi8(masks[w], all);
        __m512i first = _mm512_set1_epi32((int)(base + (uint32_t)(w * 64)));

        _mm512_storeu_si512(
            at, _mm512_add_epi32(first, _mm512_cvtepu8_epi32(_mm512_castsi512_si128(packed))));
        if (MR_UNLIKELY(count > 16)) {
            _mm512_storeu_si512(
                at + 16, _mm512_add_epi32(
                             first, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(packed, 1))));
            _mm512_storeu_si512(
                at + 32, _mm512_add_epi32(
                             first, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(packed, 2))));
            _mm512_storeu_si512(
                at + 48, _mm512_add_epi32(
                             first, _mm512_cvtepu8_epi32(_mm512_extracti32x4_epi32(packed, 3))));
        }
        at += count;
    }
    return (size_t)(at - out);
}

static const struct mri_scan_ops avx512_ops = {"avx512", masks_avx512, newlines_avx512,
                                               flatten_avx512};

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi2");
}

const struct mri_scan_ops *mri_scan_ops_at(size_t index)
{
    if (has_avx512() && index-- == 0) return &avx512_ops;
    if (has_avx2() && index-- == 0) return &avx2_ops;
    if (index-- == 0) return &sse2_ops;
    return index == 0 ? &plain_ops : NULL;
}

#else

const struct mri_scan_ops *mri_scan_ops_at(size_t index)
{
    return index == 0 ? &plain_ops : NULL;
}

#endif

const struct mri_scan_ops *mri_scan_ops(void)
{
    return mri_scan_ops_at(0);
}

uint64_t mri_count_newlines(const char *data, size_t size_bytes)
{
    const struct mri_scan_ops *ops = mri_scan_ops();
    struct mri_masks masks;
    uint64_t count = 0;
    size_t at = 0;

    while (size_bytes - at >= MRI_SCAN_BYTES) {
        size_t words = MR_MIN((size_bytes - at) / MRI_SCAN_BYTES, MRI_SCAN_WORDS);

        ops->newlines(data + at, words, &masks);
        for (size_t w = 0; w < words; w++) count += mr_bits_count_word(masks.newlines[w]);
        at += words * MRI_SCAN_BYTES;
    }
    for (; at < size_bytes; at++) count += data[at] == '\n';
    return count;
}
