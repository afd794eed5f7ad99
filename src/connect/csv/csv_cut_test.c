/* csv_cut_test.c - the automaton at 64 bytes a time against the automaton at one byte a time. */
#include "base/prng.h"
#include "connect/csv/csv_cut.h"
#include "mr_test.h"

#define SIZE_MAX_TEST 700u

/* Bytes that make trouble. */
static void random_text(struct mr_prng *prng, char *out, size_t size_bytes, bool many_quotes)
{
    static const char few[] = "abc,,\n\"xyzabcd,efgh\r\nijklmnopqrstuvwx";
    static const char many[] = "a,\n\"\"\"\r";

    for (size_t i = 0; i < size_bytes; i++) {
        out[i] = many_quotes ? many[mr_prng_below(prng, sizeof many - 1)]
                             : few[mr_prng_below(prng, sizeof few - 1)];
    }
    memset(out + size_bytes, 0, MRI_SCAN_PAD);
}

/* Text as people write it: fields, some quoted, quotes doubled. */
static size_t good_text(struct mr_prng *prng, char *out, size_t size_bytes)
{
    size_t at = 0;

    while (at + 16 < size_bytes) {
        bool quoted = mr_prng_below(prng, 3) == 0;
        uint64_t size = mr_prng_below(prng, 6);

        if (quoted) out[at++] = '"';
        for (uint64_t i = 0; i < size; i++) {
            uint64_t what = mr_prng_below(prng, 8);

            if (quoted && what == 0) {
                out[at++] = '"';
                out[at++] = '"';
            } else if (quoted && what == 1) {
                out[at++] = '\n';
            } else if (quoted && what == 2) {
                out[at++] = ',';
            } else {
                out[at++] = (char)('a' + what);
            }
        }
        if (quoted) out[at++] = '"';
        out[at++] = mr_prng_below(prng, 4) == 0 ? '\n' : ',';
    }
    memset(out + at, 0, MRI_SCAN_PAD);
    return at;
}

static void expect_index(const char *data, uint32_t size_bytes, enum mri_csv_state begin,
                         const struct mri_scan_ops *ops, uint32_t step)
{
    struct mri_csv_index index;
    struct mr_error err;
    enum mri_csv_state state = begin;
    uint32_t position = 0, end = 0;

    MR_EXPECT_OK(mri_csv_index_init(&index, mr_test_heap(), ',', SIZE_MAX_TEST, &err), &err);
    index.ops = ops;
    mri_csv_index_reset(&index, 0, begin);
    for (uint32_t upto = 0; upto < size_bytes;) {
        upto = MR_MIN(upto + step, size_bytes);
        mri_csv_index_run(&index, data, upto);
    }
    MR_EXPECT_EQ_UINT(index.scanned, size_bytes);
    for (uint32_t i = 0; i < size_bytes; i++) {
        state = mri_csv_step(state, data[i], ',');
        if (state > MRI_CSV_FIELD) continue;
        MR_EXPECT(position < index.count);
        MR_EXPECT_EQ_UINT(index.positions[position++], i);
        if (state == MRI_CSV_RECORD) MR_EXPECT_EQ_UINT(index.ends[end++], i);
    }
    MR_EXPECT_EQ_UINT(index.count, position);
    MR_EXPECT_EQ_UINT(index.end_count, end);
    MR_EXPECT_EQ_INT(index.state, state);
    mri_csv_index_fini(&index);
}

MR_TEST(csv_cut, all_speeds_of_the_automaton_find_the_same_separators)
{
    struct mr_prng prng;
    char text[SIZE_MAX_TEST + MRI_SCAN_PAD];

    mr_prng_init(&prng, 1, 1);
    for (uint32_t round = 0; round < 600; round++) {
        uint32_t size = (uint32_t)mr_prng_below(&prng, SIZE_MAX_TEST) + 1;
        enum mri_csv_state begin = (enum mri_csv_state)mr_prng_below(&prng, MRI_CSV_STATES);

        if (round % 3 == 2) {
            size = (uint32_t)good_text(&prng, text, SIZE_MAX_TEST);
        } else {
            random_text(&prng, text, size, round % 3 == 1);
        }
        for (size_t i = 0; mri_scan_ops_at(i) != NULL; i++) {
            expect_index(text, size, begin, mri_scan_ops_at(i), SIZE_MAX_TEST);
        }
    }
}

/* A pipe gives bytes as they come; data is scanned once, from wherever it stopped. */
MR_TEST(csv_cut, when_data_comes_in_pieces_then_the_index_is_the_same)
{
    struct mr_prng prng;
    char text[SIZE_MAX_TEST + MRI_SCAN_PAD];

    mr_prng_init(&prng, 2, 1);
    for (uint32_t step = 1; step < 140; step++) {
        size_t size = good_text(&prng, text, SIZE_MAX_TEST);

        /* Zero bytes must follow what was read, so pieces are looked at in a copy. */
        char piece[SIZE_MAX_TEST + MRI_SCAN_PAD];
        struct mri_csv_index index;
        struct mr_error err;
        enum mri_csv_state state = MRI_CSV_RECORD;
        uint32_t count = 0;

        MR_EXPECT_OK(mri_csv_index_init(&index, mr_test_heap(), ',', SIZE_MAX_TEST, &err), &err);
        for (size_t upto = 0; upto < size;) {
            upto = MR_MIN(upto + step, size);
            memcpy(piece, text, upto);
            memset(piece + upto, 0, MRI_SCAN_PAD);
            mri_csv_index_run(&index, piece, (uint32_t)upto);
        }
        for (uint32_t i = 0; i < size; i++) {
            state = mri_csv_step(state, text[i], ',');
            if (state <= MRI_CSV_FIELD) MR_EXPECT_EQ_UINT(index.positions[count++], i);
        }
        MR_EXPECT_EQ_UINT(index.count, count);
        mri_csv_index_fini(&index);
    }
}

MR_TEST(csv_cut, well_formed_text_is_never_suspect)
{
    struct mr_prng prng;
    char text[SIZE_MAX_TEST + MRI_SCAN_PAD];

    mr_prng_init(&prng, 3, 1);
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t size = (uint32_t)good_text(&prng, text, SIZE_MAX_TEST);
        struct mri_csv_index index;
        struct mr_error err;

        MR_EXPECT_OK(mri_csv_index_init(&index, mr_test_heap(), ',', SIZE_MAX_TEST, &err), &err);
        mri_csv_index_run(&index, text, size);
        MR_EXPECT(!index.suspect);
        mri_csv_index_fini(&index);
    }
}

static bool is_suspect(const char *literal)
{
    struct mri_csv_index index;
    struct mr_error err;
    char text[SIZE_MAX_TEST + MRI_SCAN_PAD] = {0};
    bool suspect;

    memcpy(text, literal, strlen(literal));
    MR_EXPECT_OK(mri_csv_index_init(&index, mr_test_heap(), ',', SIZE_MAX_TEST, &err), &err);
    mri_csv_index_run(&index, text, (uint32_t)strlen(literal));
    suspect = index.suspect;
    mri_csv_index_fini(&index);
    return suspect;
}

MR_TEST(csv_cut, misplaced_quotes_are_suspect)
{
    MR_EXPECT(is_suspect("a\"b,c\n"));
    MR_EXPECT(is_suspect("\"a\"b,c\n"));
    MR_EXPECT(is_suspect("\"a\" ,c\n"));
    MR_EXPECT(is_suspect("\"a\"\r,c\n"));
    MR_EXPECT(!is_suspect("\"a\"\r\nb\n"));
    MR_EXPECT(!is_suspect("\"a\"\"\",\"\",\"\n\"\n"));
}

/* The transfer function of a piece must say what the automaton does from every state. */
MR_TEST(csv_cut, transfer_functions_agree_with_the_automaton)
{
    struct mr_prng prng;
    char text[SIZE_MAX_TEST + MRI_SCAN_PAD];

    mr_prng_init(&prng, 4, 1);
    for (uint32_t round = 0; round < 600; round++) {
        size_t size = (size_t)mr_prng_below(&prng, SIZE_MAX_TEST);
        struct mri_csv_transfer transfer;

        if (round % 3 == 2) {
            size = good_text(&prng, text, SIZE_MAX_TEST);
        } else {
            random_text(&prng, text, size, round % 3 == 1);
        }
        mri_csv_transfer_init(&transfer);
        mri_csv_transfer_run(&transfer, mri_scan_ops_at(round % 2), ',', text, size);
        for (int begin = 0; begin < MRI_CSV_STATES; begin++) {
            enum mri_csv_state state = (enum mri_csv_state)begin;

            for (size_t i = 0; i < size; i++) state = mri_csv_step(state, text[i], ',');
            MR_EXPECT_EQ_INT(transfer.behind[begin], state);
        }
    }
}

MR_TEST(csv_cut, when_memory_fails_then_init_says_so)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mri_csv_index index;
        struct mr_error err;
        enum mr_status st = mri_csv_index_init(&index, heap, ',', 4, &err);

        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        if (st == MR_OK) mri_csv_index_fini(&index);
    }
}
