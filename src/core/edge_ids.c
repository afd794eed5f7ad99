/* edge_ids.c - see edge_ids.h. Four blocks side by side, one per lane of a vector. */
#include "core/edge_ids.h"

#include <string.h>

#define LANES MR_EDGE_IDS_LANES

typedef uint32_t lanes MR_VECTOR(4 * LANES);

MR_INLINE lanes rotate(lanes value, uint32_t bits)
{
    return value << bits | value >> (32 - bits);
}

MR_INLINE void quarter(lanes *restrict a, lanes *restrict b, lanes *restrict c, lanes *restrict d)
{
    *a += *b;
    *d = rotate(*d ^ *a, 16);
    *c += *d;
    *b = rotate(*b ^ *c, 12);
    *a += *b;
    *d = rotate(*d ^ *a, 8);
    *c += *d;
    *b = rotate(*b ^ *c, 7);
}

/* One column round and one diagonal round. */
MR_INLINE void double_round(lanes *s)
{
    quarter(&s[0], &s[4], &s[8], &s[12]);
    quarter(&s[1], &s[5], &s[9], &s[13]);
    quarter(&s[2], &s[6], &s[10], &s[14]);
    quarter(&s[3], &s[7], &s[11], &s[15]);
    quarter(&s[0], &s[5], &s[10], &s[15]);
    quarter(&s[1], &s[6], &s[11], &s[12]);
    quarter(&s[2], &s[7], &s[8], &s[13]);
    quarter(&s[3], &s[4], &s[9], &s[14]);
}

static void start(const struct mr_edge_ids *ids, lanes *s)
{
    static const uint32_t constants[4] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u};

    for (uint32_t i = 0; i < LANES; i++) {
        uint64_t block = ids->block + i;

        for (uint32_t w = 0; w < 4; w++) s[w][i] = constants[w];
        for (uint32_t w = 0; w < 8; w++) s[4 + w][i] = ids->key[w];
        s[12][i] = (uint32_t)block;
        s[13][i] = (uint32_t)(block >> 32);
        s[14][i] = (uint32_t)ids->stream;
        s[15][i] = (uint32_t)(ids->stream >> 32);
    }
}

void mr_edge_ids_refill(struct mr_edge_ids *ids)
{
    lanes first[16];
    lanes s[16];

    start(ids, first);
    memcpy(s, first, sizeof s);
    for (uint32_t round = 0; round < 4; round++) double_round(s);
    for (uint32_t w = 0; w < 16; w++) s[w] += first[w];
    for (uint32_t i = 0; i < LANES; i++) {
        for (uint32_t w = 0; w < 8; w++) {
            ids->ready[i * 8 + w] = (uint64_t)s[2 * w + 1][i] << 32 | s[2 * w][i];
        }
    }
    ids->block += LANES;
    ids->at = 0;
}

void mr_edge_ids_init(struct mr_edge_ids *ids, const uint64_t key[4], uint64_t stream)
{
    memset(ids, 0, sizeof *ids);
    for (uint32_t w = 0; w < 4; w++) {
        ids->key[2 * w] = (uint32_t)key[w];
        ids->key[2 * w + 1] = (uint32_t)(key[w] >> 32);
    }
    ids->stream = stream;
    ids->at = MR_EDGE_IDS_READY;
}
