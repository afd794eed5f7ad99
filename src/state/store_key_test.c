/* store_key_test.c - keys as cells: equality, key form there and back, hashes, order. */
#include "state_rig.h"

#define IDS 100u

static void images_of(struct rig *rig, struct mri_key_shape *shape, uint64_t *images)
{
    uint32_t ids[IDS], rows[IDS], tags[IDS], count;
    const struct mr_field *fields = rig_fields(rig->shape, &count);

    for (uint32_t i = 0; i < IDS; i++) ids[i] = rows[i] = i;
    rig_keys(rig, ids, IDS);
    for (uint32_t i = 0; i < IDS; i++) tags[i] = (uint32_t)rig->hashes[i];
    MR_EXPECT_OK(mri_shape_init(shape, fields, count, NULL), NULL);
    for (uint32_t i = 0; i < IDS; i += 50) {
        mri_images_load(shape, rig->flat, rows + i, tags + i, 50,
                        images + (size_t)i * shape->words);
    }
}

/* All rows' far texts as buffers of one column: in the rig buffer number = row. */
static const char *const *buffers_of(const struct rig *rig)
{
    return rig->columns[0].buffers;
}

/* A seal writes key form, a restore reads it: what comes back must be the same key with the same
 * canonical hash, for every type, null or not. */
MR_TEST(store_key, key_form_there_and_back_gives_the_same_key_and_hash)
{
    static struct rig rig;
    static uint64_t images[IDS * MRI_KEY_WORDS_MAX];

    for (rig.shape = RIG_INT; rig.shape < RIG_SHAPES; rig.shape++) {
        struct mri_key_shape shape;
        struct mri_key_texts texts;
        struct mr_buffer bytes, scratch;

        images_of(&rig, &shape, images);
        mr_buffer_init(&bytes, mr_test_heap());
        mr_buffer_init(&scratch, mr_test_heap());
        mri_texts_of_columns(&shape, rig.flat, &texts);
        for (uint32_t i = 0; i < IDS; i++) {
            const uint64_t *image = images + (size_t)i * shape.words;
            uint64_t back[MRI_KEY_WORDS_MAX], hash;
            const char *chunk;
            struct mr_error err = {MR_OK, ""};

            bytes.size_bytes = 0;
            for (uint32_t c = 0; c < shape.column_count; c++) {
                MR_EXPECT(mr_key_encode(&bytes, &rig.flat[c], i, false));
            }
            MR_EXPECT_OK(mri_image_decode(&shape, (struct mr_bytes){bytes.data, bytes.size_bytes},
                                          &scratch, back, &hash, &err),
                         &err);
            chunk = scratch.data;
            MR_EXPECT(mri_images_equal(&shape, MRI_KEY_ANY, image, &texts, back, &chunk));
            MR_EXPECT_EQ_UINT(hash, rig.hashes[i]);
        }
        mr_buffer_fini(&bytes);
        mr_buffer_fini(&scratch);
    }
}

MR_TEST(store_key, keys_are_equal_iff_their_numbers_are)
{
    static struct rig rig;
    static uint64_t images[IDS * MRI_KEY_WORDS_MAX];

    for (rig.shape = RIG_INT; rig.shape < RIG_SHAPES; rig.shape++) {
        struct mri_key_shape shape;
        struct mri_key_texts texts;

        if (rig.shape == RIG_NONE) continue;
        images_of(&rig, &shape, images);
        mri_texts_of_columns(&shape, rig.flat, &texts);
        for (uint32_t i = 0; i < IDS; i++) {
            for (uint32_t k = 0; k < IDS && rig.shape != RIG_MIXED; k++) {
                uint64_t left[3];
                const uint64_t *right = images + (size_t)k * shape.words;

                memcpy(left, images + (size_t)i * shape.words, shape.words * 8);
                memcpy(left, right, 4); /* the same tag: the cells must decide */
                MR_EXPECT_EQ_INT(
                    mri_images_equal(&shape, shape.kind, left, &texts, right, buffers_of(&rig)),
                    i == k);
            }
        }
    }
}

/* Key form is made for memcmp, so it is the judge of the three-way comparison. */
MR_TEST(store_key, the_order_of_keys_is_the_order_of_their_key_forms)
{
    static struct rig rig;
    static uint64_t images[IDS * MRI_KEY_WORDS_MAX];
    static struct mr_buffer forms[IDS];

    for (rig.shape = RIG_INT; rig.shape < RIG_SHAPES; rig.shape++) {
        struct mri_key_shape shape;

        if (rig.shape == RIG_MIXED) continue; /* several texts: their buffers are not one array */
        images_of(&rig, &shape, images);
        for (uint32_t i = 0; i < IDS; i++) {
            mr_buffer_init(&forms[i], mr_test_heap());
            MR_EXPECT(mri_image_encode(&shape, images + (size_t)i * shape.words, buffers_of(&rig),
                                       &forms[i]));
        }
        for (uint32_t i = 0; i < IDS; i++) {
            for (uint32_t k = 0; k < IDS; k++) {
                size_t common = MR_MIN(forms[i].size_bytes, forms[k].size_bytes);
                int expected = common == 0 ? 0 : memcmp(forms[i].data, forms[k].data, common);
                int order =
                    mri_image_compare(&shape, images + (size_t)i * shape.words, buffers_of(&rig),
                                      images + (size_t)k * shape.words, buffers_of(&rig));

                MR_EXPECT_EQ_INT((order > 0) - (order < 0), (expected > 0) - (expected < 0));
            }
        }
        for (uint32_t i = 0; i < IDS; i++) mr_buffer_fini(&forms[i]);
    }
}

/* Damaged snapshots must be refused, never read beyond their end or taken for another key. */
MR_TEST(store_key, every_cut_and_every_flipped_flag_of_a_key_form_is_refused)
{
    static struct rig rig = {.shape = RIG_MIXED};
    static uint64_t images[IDS * MRI_KEY_WORDS_MAX];
    struct mri_key_shape shape;
    struct mr_buffer bytes, scratch;
    uint64_t back[MRI_KEY_WORDS_MAX], hash;
    struct mr_error err;

    images_of(&rig, &shape, images);
    mr_buffer_init(&bytes, mr_test_heap());
    mr_buffer_init(&scratch, mr_test_heap());
    for (uint32_t c = 0; c < shape.column_count; c++) {
        MR_EXPECT(mr_key_encode(&bytes, &rig.flat[c], 3, false));
    }
    for (size_t size = 0; size < bytes.size_bytes; size++) {
        char *copy = mr_alloc(mr_test_heap(), size); /* of its own: sanitizers see its end */

        memcpy(copy, bytes.data, size);
        MR_EXPECT_STATUS(
            mri_image_decode(&shape, (struct mr_bytes){copy, size}, &scratch, back, &hash, &err),
            MR_E_CORRUPT);
        MR_EXPECT_CONTAINS(err.text, "key column");
        mr_free(mr_test_heap(), copy, size);
    }
    MR_EXPECT(mr_buffer_put(&bytes, "x", 1));
    MR_EXPECT_STATUS(mri_image_decode(&shape, (struct mr_bytes){bytes.data, bytes.size_bytes},
                                      &scratch, back, &hash, &err),
                     MR_E_CORRUPT);
    bytes.data[0] = 2;
    MR_EXPECT_STATUS(mri_image_decode(&shape, (struct mr_bytes){bytes.data, bytes.size_bytes},
                                      &scratch, back, &hash, &err),
                     MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(err.text, "'day' (date)");
    mr_buffer_fini(&bytes);
    mr_buffer_fini(&scratch);
}

MR_TEST(store_key, nested_types_and_too_many_columns_are_refused_by_name)
{
    struct mr_field member = {.name = "m", .type = MR_INT64};
    struct mr_field list = {.name = "tags", .type = MR_LIST, .child_count = 1, .children = &member};
    struct mr_field many[MR_KEY_COLUMNS_MAX + 1];
    struct mri_key_shape shape;
    struct mr_error err;

    MR_EXPECT_STATUS(mri_shape_init(&shape, &list, 1, &err), MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(err.text, "'tags'");
    for (size_t i = 0; i < MR_COUNT(many); i++) many[i] = member;
    MR_EXPECT_OK(mri_shape_init(&shape, many, MR_KEY_COLUMNS_MAX, &err), &err);
    MR_EXPECT_STATUS(mri_shape_init(&shape, many, MR_KEY_COLUMNS_MAX + 1, &err), MR_E_LIMIT);
}
