/* store_test.c - states, namespaces, blobs, operator values. */
#include "state_rig.h"

static const struct mr_slot_ops plain_ops = {.slot_bytes = 8};

static struct mr_store *store_with_state(void)
{
    struct mr_store *store = rig_store(RIG_INT, true, 0, 0);

    MR_EXPECT_OK(mr_store_declare(store, 0, "a", &plain_ops, NULL), NULL);
    MR_EXPECT_OK(mr_store_declare(store, 3, "b", &plain_ops, NULL), NULL);
    return store;
}

MR_TEST(store, tables_are_found_by_state_and_namespace_and_walked_in_order)
{
    struct mr_store *store = store_with_state();
    bool present[64] = {false};
    struct mr_prng prng;

    mr_prng_init(&prng, 6, 1);
    for (int n = 0; n < 4000; n++) {
        /* A window that moves on, as slices do, with some noise. */
        uint32_t at = (uint32_t)(mr_prng_below(&prng, 20) + (uint64_t)n / 100);
        int64_t ns = (int64_t)at - 30;
        struct mr_table *table = mr_store_find(store, 0, ns);

        MR_EXPECT_EQ_INT(table != NULL, present[at]);
        MR_EXPECT(mr_store_find(store, 3, ns) == NULL);
        if (table != NULL && mr_prng_below(&prng, 2) == 0) {
            mr_store_drop(store, table);
            present[at] = false;
        } else {
            MR_EXPECT(mr_store_table(store, 0, ns) != NULL);
            MR_EXPECT_EQ_INT(mr_table_namespace(mr_store_find(store, 0, ns)), ns);
            present[at] = true;
        }
        if (n % 50 != 0) continue;
        for (uint32_t from = 0; from < 64; from++) {
            struct mr_table *next = mr_store_next(store, 0, (int64_t)from - 30);
            uint32_t expected = from;

            while (expected < 64 && !present[expected]) expected++;
            MR_EXPECT_EQ_INT(next != NULL, expected < 64);
            if (next != NULL) MR_EXPECT_EQ_INT(mr_table_namespace(next), (int64_t)expected - 30);
        }
    }
    MR_EXPECT(mr_store_next(store, 3, INT64_MIN) == NULL);
    mr_store_destroy(store);
}

MR_TEST(store, when_two_states_have_one_name_then_the_second_is_refused)
{
    struct mr_store *store = store_with_state();
    struct mr_error err;

    MR_EXPECT_STATUS(mr_store_declare(store, 1, "b", &plain_ops, &err), MR_E_PIPELINE);
    MR_EXPECT_CONTAINS(err.text, "'b'");
    MR_EXPECT_CONTAINS(err.text, "'rig'");
    mr_store_destroy(store);
}

MR_TEST(store, when_a_state_is_used_undeclared_then_it_is_a_bug)
{
    struct mr_store *store = store_with_state();

    MR_EXPECT_PANIC((void)mr_store_find(store, 2, 0));
    mr_store_destroy(store);
}

/* Blobs grow and shrink at random; a shadow copy in plain memory says what they must hold. */
MR_TEST(store, blobs_keep_their_bytes_through_random_resizes)
{
    enum { BLOBS = 40, MOST = 60000 };
    struct mr_store *store = store_with_state();
    static struct mr_blob blobs[BLOBS];
    static unsigned char shadow[BLOBS][MOST];
    struct mr_prng prng;

    memset(blobs, 0, sizeof blobs);
    mr_prng_init(&prng, 9, 1);
    for (int n = 0; n < 6000; n++) {
        uint32_t at = (uint32_t)mr_prng_below(&prng, BLOBS);
        uint32_t most = mr_prng_below(&prng, 8) == 0 ? MOST : 300;
        uint32_t size = (uint32_t)mr_prng_below(&prng, most + 1);
        uint32_t old = blobs[at].size_bytes;

        if (mr_prng_below(&prng, 10) == 0) {
            mr_store_blob_free(store, &blobs[at]);
            MR_EXPECT(blobs[at].data == NULL && blobs[at].size_bytes == 0);
            continue;
        }
        MR_EXPECT(mr_store_blob_resize(store, &blobs[at], size));
        MR_EXPECT_EQ_UINT(blobs[at].size_bytes, size);
        if (size > 0 && old > 0) {
            MR_EXPECT_EQ_BYTES(blobs[at].data, shadow[at], MR_MIN(old, size));
        }
        for (uint32_t i = old; i < size; i++) {
            shadow[at][i] = (unsigned char)mr_prng_next(&prng);
            blobs[at].data[i] = (char)shadow[at][i];
        }
    }
    for (uint32_t i = 0; i < BLOBS; i++) mr_store_blob_free(store, &blobs[i]);
    mr_store_destroy(store);
}

MR_TEST(store, appending_to_a_blob_moves_it_rarely)
{
    struct mr_store *store = store_with_state();
    struct mr_blob blob = {NULL, 0, 0};
    uint32_t moves = 0;

    for (uint32_t size = 1; size <= 100000; size++) {
        const char *before = blob.data;

        MR_EXPECT(mr_store_blob_resize(store, &blob, size));
        moves += blob.data != before;
    }
    MR_EXPECT(moves < 40);
    MR_EXPECT(mr_store_blob_resize(store, &blob, 10)); /* gives most of it back */
    MR_EXPECT(blob.capacity_bytes <= 64);
    mr_store_blob_free(store, &blob);
    mr_store_destroy(store);
}

MR_TEST(store, when_nobody_releases_a_large_blob_then_destroy_notices)
{
    struct mr_store *store = store_with_state();
    struct mr_blob blob = {NULL, 0, 0};

    MR_EXPECT(mr_store_blob_resize(store, &blob, 100000));
    MR_EXPECT_PANIC(mr_store_destroy(store));
    mr_store_blob_free(store, &blob);
    mr_store_destroy(store);
}

MR_TEST(store, operator_values_are_replaced_by_name)
{
    struct mr_store *store = store_with_state();
    struct mr_bytes got;

    MR_EXPECT(!mr_store_value_get(store, "watermark", &got));
    MR_EXPECT_OK(mr_store_value_set(store, "watermark", "12345", 5, NULL), NULL);
    MR_EXPECT_OK(mr_store_value_set(store, "position", "", 0, NULL), NULL);
    MR_EXPECT_OK(mr_store_value_set(store, "watermark", "678", 3, NULL), NULL);
    MR_EXPECT(mr_store_value_get(store, "watermark", &got));
    MR_EXPECT_EQ_TEXT(got.data, got.size_bytes, "678");
    MR_EXPECT(mr_store_value_get(store, "position", &got));
    MR_EXPECT_EQ_UINT(got.size_bytes, 0);
    MR_EXPECT(!mr_store_value_get(store, "water", &got));
    mr_store_destroy(store);
}

MR_TEST(store, a_store_with_a_nested_key_is_refused_and_leaves_nothing)
{
    struct mr_field member = {.name = "m", .type = MR_INT64};
    struct mr_field key = {.name = "tags", .type = MR_LIST, .child_count = 1, .children = &member};
    struct mr_store_options options = {
        .operator_id = "count", .key_group_count = 8, .keys = &key, .key_count = 1};
    struct mr_store *store = NULL;
    struct mr_error err;

    MR_EXPECT_STATUS(mr_store_create(mr_test_heap(), &options, &store, &err), MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(err.text, "tags");
    MR_EXPECT(store == NULL);
}

MR_TEST(store, when_memory_is_short_then_every_call_fails_cleanly)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_store *store = rig_store(RIG_MIXED, true, 0, 0);
        struct mr_blob blob = {NULL, 0, 0};
        struct mr_bytes got;
        bool ok;

        MR_EXPECT(store != NULL || mr_test_refused(heap));
        if (store == NULL) continue;
        ok = mr_store_declare(store, 0, "a", &plain_ops, NULL) == MR_OK;
        for (int64_t ns = 0; ok && ns < 20; ns++) {
            ok = mr_store_table(store, 0, 20 - ns) != NULL;
            MR_EXPECT_EQ_INT(mr_store_find(store, 0, 20 - ns) != NULL, ok);
        }
        ok = ok && mr_store_blob_resize(store, &blob, 100);
        ok = ok && mr_store_blob_resize(store, &blob, 50000);
        ok = ok && mr_store_blob_resize(store, &blob, 5);
        if (ok) ok = mr_store_value_set(store, "v", "1", 1, NULL) == MR_OK;
        MR_EXPECT_EQ_INT(mr_store_value_get(store, "v", &got), ok);
        if (ok && mr_store_value_set(store, "v", "22", 2, NULL) != MR_OK) {
            MR_EXPECT(mr_store_value_get(store, "v", &got));
            MR_EXPECT_EQ_TEXT(got.data, got.size_bytes, "1");
        }
        mr_store_blob_free(store, &blob);
        mr_store_destroy(store);
    }
}
