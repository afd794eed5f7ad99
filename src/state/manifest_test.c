/* manifest_test.c - META, LOCK, manifests and names come back as they were, or are refused. */
#include "mr_test.h"
#include "state/manifest.h"

static struct mr_bytes bytes_of(const struct mr_buffer *buffer)
{
    return (struct mr_bytes){buffer->data, buffer->size_bytes};
}

MR_TEST(manifest, meta_comes_back_and_any_flipped_bit_is_refused)
{
    const struct mri_meta meta = {3, 3, 77, 3, 12};
    struct mri_meta back;
    struct mr_buffer out;
    struct mr_error err;

    mr_buffer_init(&out, mr_test_heap());
    MR_EXPECT(mri_meta_encode(&out, &meta));
    MR_EXPECT_OK(mri_meta_decode(bytes_of(&out), "d/META", &back, &err), &err);
    MR_EXPECT_EQ_BYTES(&back, &meta, sizeof meta);
    for (size_t bit = 0; bit < out.size_bytes * 8; bit++) {
        out.data[bit / 8] ^= (char)(1 << bit % 8);
        MR_EXPECT_STATUS(mri_meta_decode(bytes_of(&out), "d/META", &back, &err), MR_E_CORRUPT);
        out.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    MR_EXPECT_CONTAINS(err.text, "d/META: offset 0: damaged");
    out.size_bytes--;
    MR_EXPECT_STATUS(mri_meta_decode(bytes_of(&out), "d/META", &back, &err), MR_E_CORRUPT);
    mr_buffer_fini(&out);
}

MR_TEST(manifest, a_lock_comes_back)
{
    const struct mri_lock lock = {4711, 1000000, 3};
    struct mri_lock back;
    struct mr_buffer out;
    struct mr_error err;

    mr_buffer_init(&out, mr_test_heap());
    MR_EXPECT(mri_lock_encode(&out, &lock));
    MR_EXPECT_OK(mri_lock_decode(bytes_of(&out), "LOCK", &back, &err), &err);
    MR_EXPECT_EQ_BYTES(&back, &lock, sizeof lock);
    MR_EXPECT_STATUS(mri_meta_decode(bytes_of(&out), "LOCK", &(struct mri_meta){0}, &err),
                     MR_E_CORRUPT);
    mr_buffer_fini(&out);
}

static bool fill(struct mri_manifest *manifest)
{
    const struct mri_base_file base = {2, 1, 4096, 10, 5};
    const struct mri_chain closed = {2, 4, 512, 5, 20}, open = {3, 1, 512, 0, 0};

    *manifest = (struct mri_manifest){
        .heap = mr_test_heap(), .fence = 3, .number = 1, .job_hash = 77, .base_epoch = 9};
    return mri_manifest_add_base(manifest, &base) && mri_manifest_add_chain(manifest, &closed) &&
           mri_manifest_add_chain(manifest, &open);
}

MR_TEST(manifest, a_manifest_comes_back_without_leaks_when_memory_runs_out)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mri_manifest manifest, back = {0};
        struct mr_buffer out;
        struct mr_error err;
        bool ok;

        mr_buffer_init(&out, heap);
        ok = fill(&manifest) && mri_manifest_encode(&out, &manifest) &&
             mri_manifest_decode(heap, bytes_of(&out), "m", 3, 1, &back, &err) == MR_OK;
        MR_EXPECT_EQ_INT(ok, !mr_test_refused(heap));
        if (ok) {
            MR_EXPECT_EQ_UINT(back.base_epoch, 9);
            MR_EXPECT_EQ_UINT(back.base_count, 1);
            MR_EXPECT_EQ_UINT(back.chain_count, 2);
            MR_EXPECT_EQ_BYTES(back.bases, manifest.bases, sizeof *back.bases);
            MR_EXPECT_EQ_BYTES(back.chains, manifest.chains, 2 * sizeof *back.chains);
        }
        mri_manifest_fini(&manifest);
        mri_manifest_fini(&back);
        mr_buffer_fini(&out);
    }
}

static void expect_refused(struct mri_manifest *manifest)
{
    struct mri_manifest back = {0};
    struct mr_buffer out;
    struct mr_error err;

    mr_buffer_init(&out, mr_test_heap());
    MR_EXPECT(mri_manifest_encode(&out, manifest));
    MR_EXPECT_STATUS(mri_manifest_decode(mr_test_heap(), bytes_of(&out), "m", 3, 1, &back, &err),
                     MR_E_CORRUPT);
    mr_buffer_fini(&out);
    mri_manifest_fini(manifest);
}

MR_TEST(manifest, when_lists_do_not_fit_together_then_it_is_refused)
{
    struct mri_manifest manifest;

    MR_EXPECT(fill(&manifest));
    manifest.number = 2; /* not the one that META names */
    expect_refused(&manifest);
    MR_EXPECT(fill(&manifest));
    manifest.chains[1].last_epoch = 30; /* the last one must be open */
    expect_refused(&manifest);
    MR_EXPECT(fill(&manifest));
    manifest.chains[0].last_epoch = 9; /* nothing beyond the base */
    expect_refused(&manifest);
    MR_EXPECT(fill(&manifest));
    manifest.chains[0].fence = 3; /* two chains of one attempt */
    expect_refused(&manifest);
    MR_EXPECT(fill(&manifest));
    manifest.chains[1].fence = 4; /* from the future */
    expect_refused(&manifest);
}

static void expect_name(const char *name, enum mri_file_type type, uint64_t fence, uint64_t number)
{
    uint64_t got_fence, got_number;

    MR_EXPECT_EQ_INT(mri_file_parse(name, &got_fence, &got_number), type);
    if (type == MRI_FILE_OTHER) return;
    MR_EXPECT_EQ_UINT(got_fence, fence);
    MR_EXPECT_EQ_UINT(got_number, number);
}

MR_TEST(manifest, names_are_parsed_exactly)
{
    char *path = mri_file_path(mr_test_heap(), "a/b", MRI_FILE_SEGMENT, 12, 345);

    MR_EXPECT_EQ_STR(path, "a/b/seg-12-345.log");
    mr_strfree(mr_test_heap(), path);
    expect_name("seg-12-345.log", MRI_FILE_SEGMENT, 12, 345);
    expect_name("base-1-2", MRI_FILE_BASE, 1, 2);
    expect_name("run-1-2", MRI_FILE_RUN, 1, 2);
    expect_name("manifest-7-1", MRI_FILE_MANIFEST, 7, 1);
    expect_name("META", MRI_FILE_META, 0, 0);
    expect_name("META.new", MRI_FILE_META_NEW, 0, 0);
    expect_name("LOCK", MRI_FILE_LOCK, 0, 0);
    expect_name("seg-012-345.log", MRI_FILE_OTHER, 0, 0);
    expect_name("seg-12-345.log.bak", MRI_FILE_OTHER, 0, 0);
    expect_name("seg-12-.log", MRI_FILE_OTHER, 0, 0);
    expect_name("seg--1-2.log", MRI_FILE_OTHER, 0, 0);
    expect_name("base-1-99999999999999999999999", MRI_FILE_OTHER, 0, 0);
    expect_name("META2", MRI_FILE_OTHER, 0, 0);
    expect_name("", MRI_FILE_OTHER, 0, 0);
}
