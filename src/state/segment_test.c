/* segment_test.c - a record that is not exactly what was written is never taken for one. */
#include "base/prng.h"
#include "mr_test.h"
#include "state/segment.h"

static struct mr_bytes bytes_of(const struct mr_buffer *buffer)
{
    return (struct mr_bytes){buffer->data, buffer->size_bytes};
}

/* The bytes are a format: these may never change. */
MR_TEST(segment, the_bytes_of_a_record_are_fixed)
{
    static const unsigned char expected[] = {
        'M', 'R', 'L', '1', 0xf4, 0x5f, 0x7e, 0x1f, /* magic, sum */
        1,   0,   6,   0,   8,    0,    0,    0,    /* version, kind, zero, length */
        7,   0,   0,   0,   3,    0,    0,    0,    /* file: number 7 of fence 3 */
        0,   2,   0,   0,   0,    0,    0,    0,    /* offset 512 */
        5,   0,   0,   0,   0,    0,    0,    0,    /* epoch 5 */
    };
    struct mr_buffer out;
    uint64_t epoch = 5;

    mr_buffer_init(&out, mr_test_heap());
    MR_EXPECT(mri_words_put(&out, MRI_KNOWN, mri_file_id(3, 7), 512, &epoch, 1, NULL));
    MR_EXPECT_EQ_UINT(out.size_bytes, sizeof expected);
    MR_EXPECT_EQ_BYTES(out.data, expected, sizeof expected);
    mr_buffer_fini(&out);
}

MR_TEST(segment, when_any_bit_is_flipped_then_it_is_no_record)
{
    struct mr_buffer out;
    struct mri_record record;
    size_t need;

    mr_buffer_init(&out, mr_test_heap());
    MR_EXPECT(mri_record_put(&out, MRI_ENTRIES, 9, 64, (struct mr_bytes){"some bytes", 10}, NULL));
    MR_EXPECT_EQ_INT(mri_record_parse(bytes_of(&out), 9, 64, &record, &need), MRI_PARSE_OK);
    MR_EXPECT_EQ_TEXT(record.payload.data, record.payload.size_bytes, "some bytes");
    for (size_t bit = 0; bit < out.size_bytes * 8; bit++) {
        out.data[bit / 8] ^= (char)(1 << bit % 8);
        MR_EXPECT(mri_record_parse(bytes_of(&out), 9, 64, &record, &need) != MRI_PARSE_OK);
        MR_EXPECT(mri_record_parse(bytes_of(&out), 9, 64, &record, &need) != MRI_PARSE_NEWER);
        out.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    mr_buffer_fini(&out);
}

MR_TEST(segment, when_a_record_is_cut_or_lies_elsewhere_then_it_is_not_taken)
{
    struct mr_buffer out;
    struct mri_record record;
    size_t need;

    mr_buffer_init(&out, mr_test_heap());
    MR_EXPECT(mri_record_put(&out, MRI_ENTRIES, 9, 64, (struct mr_bytes){"some bytes", 10}, NULL));
    for (size_t size = 0; size < out.size_bytes; size++) {
        struct mr_bytes cut = {out.data, size};

        MR_EXPECT_EQ_INT(mri_record_parse(cut, 9, 64, &record, &need), MRI_PARSE_SHORT);
        MR_EXPECT_EQ_UINT(need, size < 32 ? 32 : 42);
    }
    MR_EXPECT_EQ_INT(mri_record_parse(bytes_of(&out), 8, 64, &record, &need), MRI_PARSE_BAD);
    MR_EXPECT_EQ_INT(mri_record_parse(bytes_of(&out), 9, 128, &record, &need), MRI_PARSE_BAD);
    mr_buffer_fini(&out);
}

/* ---- entries ---- */

#define COUNT 400u

static void random_entry(struct mr_prng *prng, struct mr_entry *entry, const char **op, char *bytes)
{
    static const char *const names[] = {"", "agg", "another state"};

    for (uint32_t i = 0; i < 64; i++) bytes[i] = (char)mr_prng_below(prng, 256);
    *op = names[1 + mr_prng_below(prng, 2)];
    *entry = (struct mr_entry){
        .kind = (enum mr_entry_kind)mr_prng_below(prng, MR_ENTRY_VALUE + 1),
        .state_name = names[mr_prng_below(prng, 3)],
        .key_group = (uint32_t)mr_prng_below(prng, 1024),
        .ns = mr_prng_below(prng, 8) == 0 ? (int64_t)mr_prng_next(prng)
                                          : (int64_t)mr_prng_below(prng, 9),
        .key = {bytes, (size_t)mr_prng_below(prng, 20)},
        .value = {bytes + 20, (size_t)mr_prng_below(prng, 44)},
        .group_first = (uint32_t)mr_prng_below(prng, 2) * 512,
        .group_end = 1024,
    };
}

static void expect_entry(const struct mr_entry *got, const struct mr_entry *expected)
{
    MR_EXPECT_EQ_INT(got->kind, expected->kind);
    MR_EXPECT_EQ_STR(got->state_name, expected->state_name);
    MR_EXPECT_EQ_UINT(got->key_group, expected->key_group);
    MR_EXPECT_EQ_INT(got->ns, expected->ns);
    MR_EXPECT_EQ_UINT(got->group_first, expected->group_first);
    MR_EXPECT_EQ_UINT(got->group_end, expected->group_end);
    MR_EXPECT_EQ_UINT(got->key.size_bytes, expected->key.size_bytes);
    MR_EXPECT_EQ_UINT(got->value.size_bytes, expected->value.size_bytes);
    MR_EXPECT(memcmp(got->key.data, expected->key.data, got->key.size_bytes) == 0);
    MR_EXPECT(memcmp(got->value.data, expected->value.data, got->value.size_bytes) == 0);
}

MR_TEST(segment, entries_come_back_as_they_were)
{
    static struct mr_entry entries[COUNT], got;
    static char bytes[COUNT][64];
    const char *operators[COUNT];
    struct mr_entry_writer writer = {0};
    struct mri_entry_reader reader;
    struct mr_prng prng;
    struct mr_buffer out;

    mr_prng_init(&prng, 1, 1);
    mr_buffer_init(&out, mr_test_heap());
    for (uint32_t i = 0; i < COUNT; i++) {
        random_entry(&prng, &entries[i], &operators[i], bytes[i]);
        MR_EXPECT(mri_entry_put(&writer, &out, operators[i], &entries[i]));
    }
    mri_entry_reader_init(&reader, bytes_of(&out));
    for (uint32_t i = 0; i < COUNT; i++) {
        MR_EXPECT_EQ_INT(mri_entry_next(&reader, &got), MRI_ENTRY_GOT);
        MR_EXPECT_EQ_STR(reader.operator_id, operators[i]);
        expect_entry(&got, &entries[i]);
    }
    MR_EXPECT_EQ_INT(mri_entry_next(&reader, &got), MRI_ENTRY_END);
    mr_buffer_fini(&out);
}

/* Behind a good sum there is what this program wrote; still nothing may be read behind the end. */
MR_TEST(segment, when_entries_are_garbage_then_they_end_as_bad_and_nothing_is_overrun)
{
    struct mr_prng prng;

    mr_prng_init(&prng, 2, 1);
    for (uint32_t round = 0; round < 20000; round++) {
        size_t size = (size_t)mr_prng_below(&prng, 60);
        char *bytes = mr_alloc(mr_test_heap(), size);
        struct mri_entry_reader reader;
        struct mr_entry entry;

        MR_EXPECT(bytes != NULL);
        for (size_t i = 0; i < size; i++) {
            bytes[i] =
                (char)(mr_prng_below(&prng, 3) ? mr_prng_below(&prng, 8) : mr_prng_next(&prng));
        }
        if (size > 0) bytes[0] = 0x40;
        mri_entry_reader_init(&reader, (struct mr_bytes){bytes, size});
        while (mri_entry_next(&reader, &entry) == MRI_ENTRY_GOT) {
            MR_EXPECT(entry.key.data + entry.key.size_bytes <= bytes + size);
            MR_EXPECT(strlen(entry.state_name) <= MR_ENTRY_NAME_BYTES_MAX);
        }
        mr_free(mr_test_heap(), bytes, size);
    }
}
