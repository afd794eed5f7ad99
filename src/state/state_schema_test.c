/* state_schema_test.c - schemas of a snapshot: what is written is read, and nothing else. */
#include "base/prng.h"
#include "mr_test.h"
#include "state/state_schema.h"

#include <stdlib.h>

static enum mr_status take(struct mri_state_schemas *schemas, const char *name,
                           struct mr_bytes value)
{
    const struct mr_entry entry = {
        .kind = MR_ENTRY_VALUE, .state_name = "", .key = {name, strlen(name)}, .value = value};
    struct mr_error err;

    return mri_state_schemas_take(schemas, "op", &entry, &err);
}

static const struct mr_field fields[] = {
    {.name = "origin", .type = MR_UTF8, .not_null = true},
    {.name = "price", .type = MR_DECIMAL, .precision = 12, .scale = 2},
    {.name = "", .type = MR_DATE},
};

MR_TEST(state_schema, key_columns_come_back)
{
    struct mri_state_schemas schemas;
    const struct mri_state_schema *found;
    struct mr_buffer bytes;
    struct mr_text text;

    mr_buffer_init(&bytes, mr_test_heap());
    mr_text_init(&text, mr_test_heap(), 0);
    mri_state_schemas_init(&schemas, mr_test_heap());
    MR_EXPECT(mr_key_schema_encode(&bytes, fields, 3));
    MR_EXPECT_EQ_INT(take(&schemas, "schema:", (struct mr_bytes){bytes.data, bytes.size_bytes}),
                     MR_OK);
    MR_EXPECT_EQ_INT(take(&schemas, "other", (struct mr_bytes){bytes.data, bytes.size_bytes}),
                     MR_OK);
    found = mri_state_schema_find(&schemas, "op", "");
    MR_EXPECT(found != NULL && found->key_count == 3 && found->field_count == 0);
    MR_EXPECT(mri_state_schema_find(&schemas, "op", "other") == NULL);
    MR_EXPECT(mri_state_schema_find(&schemas, "op2", "") == NULL);
    mri_state_fields_print(found->keys, found->key_count, &text);
    MR_EXPECT_EQ_STR(mr_text_get(&text), "origin utf8 not null, price decimal(12,2),  date");
    mr_text_fini(&text);
    mri_state_schemas_fini(&schemas);
    mr_buffer_fini(&bytes);
}

MR_TEST(state_schema, what_is_cut_changed_or_of_another_version_is_not_there)
{
    struct mr_buffer bytes;

    mr_buffer_init(&bytes, mr_test_heap());
    MR_EXPECT(mr_key_schema_encode(&bytes, fields, 3));
    for (size_t size = 0; size < bytes.size_bytes; size++) {
        struct mri_state_schemas schemas;
        char *cut = malloc(size + (size == 0));

        MR_EXPECT(cut != NULL);
        memcpy(cut, bytes.data, size);
        mri_state_schemas_init(&schemas, mr_test_heap());
        MR_EXPECT_EQ_INT(take(&schemas, "schema:", (struct mr_bytes){cut, size}), MR_OK);
        MR_EXPECT(mri_state_schema_find(&schemas, "op", "") == NULL);
        mri_state_schemas_fini(&schemas);
        free(cut);
    }
    for (uint32_t value = 0; value < 256; value++) { /* another version; another type */
        struct mri_state_schemas schemas;
        bool lists = value == MR_LIST || value == MR_STRUCT || value == MR_MAP;

        mri_state_schemas_init(&schemas, mr_test_heap());
        bytes.data[0] = (char)(value == 1 ? 2 : value);
        MR_EXPECT_EQ_INT(take(&schemas, "schema:", (struct mr_bytes){bytes.data, bytes.size_bytes}),
                         MR_OK);
        bytes.data[0] = 1;
        bytes.data[4] = (char)value;
        MR_EXPECT(mri_state_schema_find(&schemas, "op", "") == NULL);
        MR_EXPECT_EQ_INT(take(&schemas, "schema:", (struct mr_bytes){bytes.data, bytes.size_bytes}),
                         MR_OK);
        bytes.data[4] = MR_UTF8;
        MR_EXPECT((mri_state_schema_find(&schemas, "op", "") != NULL) ==
                  (value != 0 && value <= MR_MAP && !lists));
        mri_state_schemas_fini(&schemas);
    }
    mr_buffer_fini(&bytes);
}

MR_TEST(state_schema, when_memory_runs_out_then_that_is_said)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mri_state_schemas schemas;
        struct mr_buffer bytes;
        enum mr_status st = MR_E_NOMEM;

        mri_state_schemas_init(&schemas, heap);
        mr_buffer_init(&bytes, heap);
        if (mr_key_schema_encode(&bytes, fields, 3)) {
            st = take(&schemas, "schema:", (struct mr_bytes){bytes.data, bytes.size_bytes});
        }
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        mr_buffer_fini(&bytes);
        mri_state_schemas_fini(&schemas);
    }
}
