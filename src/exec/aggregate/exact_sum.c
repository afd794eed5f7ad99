/* exact_sum.c - see exact_sum.h. */
#include "exec/aggregate/exact_sum.h"
#include "base/assert.h"

#include <string.h>

#define WIDE_BYTES (MRI_WIDE_LIMBS * 8u)
#define HEADER_BYTES 4u

_Static_assert(sizeof(struct mri_exact) == 40, "slots count on it");

/* Exponent bits all ones: infinity or NaN. */
static bool is_finite(double value)
{
    return __builtin_fabs(value) <= 0x1.fffffffffffffp1023;
}

/* ---- the wide number: bit k of limb i weighs 2^(64 i + k - 1074) ---- */

static void wide_add_at(uint64_t *limbs, uint32_t at, uint64_t low, uint64_t high)
{
    mr_u128 sum = (mr_u128)limbs[at] + low;

    limbs[at++] = (uint64_t)sum;
    sum = (mr_u128)limbs[at] + high + (uint64_t)(sum >> 64);
    limbs[at++] = (uint64_t)sum;
    for (bool carry = (sum >> 64) != 0; carry && at < MRI_WIDE_LIMBS; at++) {
        carry = ++limbs[at] == 0;
    }
}

static void wide_subtract_at(uint64_t *limbs, uint32_t at, uint64_t low, uint64_t high)
{
    mr_u128 difference = (mr_u128)limbs[at] - low;

    limbs[at++] = (uint64_t)difference;
    difference = (mr_u128)limbs[at] - high - ((uint64_t)(difference >> 64) & 1);
    limbs[at++] = (uint64_t)difference;
    for (bool borrow = (difference >> 64) != 0; borrow && at < MRI_WIDE_LIMBS; at++) {
        borrow = limbs[at]-- == 0;
    }
}

static void wide_add_double(uint64_t *limbs, double value)
{
    uint64_t bits;
    uint32_t exponent;
    uint32_t place; /* of the mantissa's lowest bit */
    mr_u128 mantissa;

    memcpy(&bits, &value, sizeof bits);
    exponent = (uint32_t)(bits >> 52) & 0x7ff;
    mr_assert(exponent != 0x7ff);
    mantissa = bits & ((UINT64_C(1) << 52) - 1);
    if (exponent != 0) mantissa |= UINT64_C(1) << 52;
    place = exponent == 0 ? 0 : exponent - 1;
    mantissa <<= place % 64;
    if (bits >> 63) {
        wide_subtract_at(limbs, place / 64, (uint64_t)mantissa, (uint64_t)(mantissa >> 64));
    } else {
        wide_add_at(limbs, place / 64, (uint64_t)mantissa, (uint64_t)(mantissa >> 64));
    }
}

static void wide_add_wide(uint64_t *into, const uint64_t *from)
{
    uint64_t carry = 0;

    for (uint32_t i = 0; i < MRI_WIDE_LIMBS; i++) {
        mr_u128 sum = (mr_u128)into[i] + from[i] + carry;

        into[i] = (uint64_t)sum;
        carry = (uint64_t)(sum >> 64);
    }
}

static void wide_negate(uint64_t *limbs)
{
    bool carry = true;

    for (uint32_t i = 0; i < MRI_WIDE_LIMBS; i++) {
        limbs[i] = ~limbs[i] + carry;
        carry = carry && limbs[i] == 0;
    }
}

/* Makes the number its magnitude; true if it was negative. */
static bool wide_magnitude(uint64_t *limbs)
{
    bool negative = limbs[MRI_WIDE_LIMBS - 1] >> 63;

    if (negative) wide_negate(limbs);
    return negative;
}

static int32_t highest_bit(const uint64_t *limbs)
{
    for (uint32_t i = MRI_WIDE_LIMBS; i-- > 0;) {
        if (limbs[i] != 0) return (int32_t)(64 * i + 63 - (uint32_t)__builtin_clzll(limbs[i]));
    }
    return -1;
}

static uint64_t bits_from(const uint64_t *limbs, uint32_t place)
{
    uint32_t limb = place / 64;
    uint32_t shift = place % 64;
    uint64_t bits = limbs[limb] >> shift;

    if (shift != 0 && limb + 1 < MRI_WIDE_LIMBS) bits |= limbs[limb + 1] << (64 - shift);
    return bits;
}

static bool any_below(const uint64_t *limbs, uint32_t place)
{
    for (uint32_t i = 0; i < place / 64; i++) {
        if (limbs[i] != 0) return true;
    }
    return (limbs[place / 64] & mr_bits_low(place % 64)) != 0;
}

/* Round to nearest, ties to even. The number is overwritten. */
static double wide_round(uint64_t *limbs)
{
    bool negative = wide_magnitude(limbs);
    int32_t top = highest_bit(limbs);
    uint32_t shift = top > 52 ? (uint32_t)top - 52 : 0;
    uint64_t bits = bits_from(limbs, shift) & mr_bits_low(53);
    double result;

    if (shift > 0) {
        bool half = mr_bit_get(limbs, shift - 1);

        if (half && ((bits & 1) || any_below(limbs, shift - 1))) bits++;
    }
    /* The implicit bit raises the exponent by one, and so does a carry out of the mantissa. */
    bits += (uint64_t)shift << 52;
    if (bits >= UINT64_C(0x7ff) << 52) bits = UINT64_C(0x7ff) << 52;
    bits |= (uint64_t)negative << 63;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* ---- the sum ---- */

static uint64_t *widen(struct mri_exact *sum, const struct mri_blobs *blobs)
{
    if (sum->wide.data == NULL) {
        if (!blobs->resize(blobs->self, &sum->wide, WIDE_BYTES)) return NULL;
        memset(sum->wide.data, 0, WIDE_BYTES);
    }
    return (uint64_t *)(void *)sum->wide.data;
}

/* Moves the parts and two more values into the wide number. */
static bool spill(struct mri_exact *sum, const struct mri_blobs *blobs, double value)
{
    uint64_t *limbs = widen(sum, blobs);

    if (limbs == NULL) return false;
    for (uint32_t i = 0; i < 3; i++) {
        wide_add_double(limbs, sum->part[i]);
        sum->part[i] = 0;
    }
    wide_add_double(limbs, value);
    return true;
}

bool mri_exact_add_slow(struct mri_exact *sum, const struct mri_blobs *blobs, double value)
{
    double part[3];
    double error;

    if (!is_finite(sum->part[0]) || !is_finite(value)) {
        sum->part[0] += value;
        return true;
    }
    part[0] = mri_two_sum(sum->part[0], value, &error);
    if (!(__builtin_fabs(part[0]) < 0x1p1000)) return spill(sum, blobs, value);
    part[1] = mri_two_sum(sum->part[1], error, &error);
    part[2] = mri_two_sum(sum->part[2], error, &error);
    if (error != 0) return spill(sum, blobs, value);
    memcpy(sum->part, part, sizeof part);
    return true;
}

bool mri_exact_merge(struct mri_exact *into, const struct mri_blobs *blobs,
                     const struct mri_exact *from)
{
    if (from->wide.data != NULL) {
        uint64_t *limbs = widen(into, blobs);

        if (limbs == NULL) return false;
        wide_add_wide(limbs, (const uint64_t *)(const void *)from->wide.data);
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (!mri_exact_add(into, blobs, from->part[i])) return false;
    }
    return true;
}

/* The exact value in a number of the caller's. */
static void collect(const struct mri_exact *sum, uint64_t *limbs)
{
    memset(limbs, 0, WIDE_BYTES);
    if (sum->wide.data != NULL) memcpy(limbs, sum->wide.data, WIDE_BYTES);
    for (uint32_t i = 0; i < 3; i++) wide_add_double(limbs, sum->part[i]);
}

double mri_exact_result(const struct mri_exact *sum)
{
    uint64_t limbs[MRI_WIDE_LIMBS];
    double error;

    if (sum->part[0] != sum->part[0]) return __builtin_nan("");
    if (!is_finite(sum->part[0])) return sum->part[0];
    if (sum->wide.data == NULL && sum->part[2] == 0) {
        return mri_two_sum(sum->part[0], sum->part[1], &error); /* rounded once: by this addition */
    }
    collect(sum, limbs);
    return wide_round(limbs);
}

/* ---- bytes ---- */

static uint32_t encode_wide(const struct mri_exact *sum, char *out)
{
    uint64_t limbs[MRI_WIDE_LIMBS];
    uint32_t first = 0;
    uint32_t end = MRI_WIDE_LIMBS;
    bool negative;

    collect(sum, limbs);
    negative = wide_magnitude(limbs);
    while (end > 0 && limbs[end - 1] == 0) end--;
    while (first < end && limbs[first] == 0) first++;
    out[0] = (char)negative;
    out[1] = (char)first;
    out[2] = (char)(end - first);
    out[3] = 0;
    memcpy(out + HEADER_BYTES, limbs + first, (size_t)(end - first) * 8);
    return HEADER_BYTES + (end - first) * 8;
}

uint32_t mri_exact_encode(const struct mri_exact *sum, char *out)
{
    uint32_t count = 3;

    if (!is_finite(sum->part[0])) {
        double special = mri_exact_result(sum);

        memcpy(out, &special, sizeof special);
        return sizeof special;
    }
    if (sum->wide.data != NULL) return encode_wide(sum, out);
    while (count > 0 && sum->part[count - 1] == 0) count--;
    memcpy(out, sum->part, count * sizeof(double));
    return count * (uint32_t)sizeof(double);
}

static enum mr_status merge_wide_bytes(struct mri_exact *into, const struct mri_blobs *blobs,
                                       const char *data, size_t size_bytes)
{
    uint64_t limbs[MRI_WIDE_LIMBS] = {0};
    uint8_t header[HEADER_BYTES];
    uint64_t *wide;

    memcpy(header, data, HEADER_BYTES);
    if (header[0] > 1 || header[3] != 0 || header[1] + header[2] > (int)MRI_WIDE_LIMBS ||
        size_bytes != HEADER_BYTES + 8 * (size_t)header[2]) {
        return MR_E_CORRUPT;
    }
    memcpy(limbs + header[1], data + HEADER_BYTES, 8 * (size_t)header[2]);
    if (header[0]) wide_negate(limbs);
    wide = widen(into, blobs);
    if (wide == NULL) return MR_E_NOMEM;
    wide_add_wide(wide, limbs);
    return MR_OK;
}

enum mr_status mri_exact_merge_bytes(struct mri_exact *into, const struct mri_blobs *blobs,
                                     const char *data, size_t size_bytes)
{
    if (size_bytes % 8 == HEADER_BYTES) return merge_wide_bytes(into, blobs, data, size_bytes);
    if (size_bytes % 8 != 0 || size_bytes > 3 * sizeof(double)) return MR_E_CORRUPT;
    for (size_t at = 0; at < size_bytes; at += sizeof(double)) {
        double part;

        memcpy(&part, data + at, sizeof part);
        if (!mri_exact_add(into, blobs, part)) return MR_E_NOMEM;
    }
    return MR_OK;
}
