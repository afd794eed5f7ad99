/* log_switch_test.c - META is the old one or the new one at any moment, and a switch that somebody
 * else got ahead of is noticed. */
#include "log_rig.h"

static struct fault_disk disk;
static const struct mri_meta one = {1, 1, 77, 1, 1}, two = {2, 2, 77, 2, 1}, none = {0};

static enum mr_status do_switch(struct mr_heap *heap, const struct mri_meta *before,
                                const struct mri_meta *after, bool *touched, struct mr_error *err)
{
    struct mri_queue queue;
    struct mri_switch change;
    enum mri_queue_state state;

    mri_queue_init(&queue, heap, &disk.disk);
    mri_switch_init(&change, &queue, "d", before, after);
    while ((state = mri_switch_step(&change, err)) == MRI_QUEUE_WAIT) disk.disk.poll(&disk.disk);
    *touched = change.touched;
    mri_switch_fini(&change);
    mri_queue_fini(&queue);
    return state == MRI_QUEUE_IDLE ? MR_OK : err->status;
}

/* Which one is there: 0 (none), 1, 2. */
static uint64_t look(void)
{
    struct fault_inode *inode = fault_disk_find(&disk, "d/META");
    struct mri_meta meta;
    struct mr_error err;

    if (inode == NULL) return 0;
    MR_EXPECT_OK(
        mri_meta_decode((struct mr_bytes){inode->data, inode->size_bytes}, "META", &meta, &err),
        &err);
    return meta.fence;
}

MR_TEST(log_switch, when_the_power_goes_at_any_request_then_meta_is_old_or_new)
{
    for (uint64_t step = 1; step < 40; step++) {
        for (uint64_t seed = 1; seed < 20; seed++) {
            struct mr_error err;
            enum mr_status st;
            bool touched;

            fault_disk_init(&disk, seed);
            MR_EXPECT_OK(do_switch(mr_test_heap(), &none, &one, &touched, &err), &err);
            disk.crash_at = disk.requests + step;
            st = do_switch(mr_test_heap(), &one, &two, &touched, &err);
            fault_disk_crash(&disk, seed);
            MR_EXPECT(look() == 2 || (look() == 1 && (st != MR_OK)));
            if (!touched && st != MR_OK) MR_EXPECT_EQ_UINT(look(), 1); /* it knew */
            fault_disk_fini(&disk);
        }
    }
}

MR_TEST(log_switch, when_another_process_was_first_then_it_is_fenced)
{
    struct mr_error err;
    bool touched;

    fault_disk_init(&disk, 1);
    MR_EXPECT_OK(do_switch(mr_test_heap(), &none, &one, &touched, &err), &err);
    MR_EXPECT_OK(do_switch(mr_test_heap(), &one, &two, &touched, &err), &err);
    MR_EXPECT(!touched);
    MR_EXPECT_STATUS(do_switch(mr_test_heap(), &one, &two, &touched, &err), MR_E_FENCED);
    MR_EXPECT_STATUS(do_switch(mr_test_heap(), &none, &one, &touched, &err), MR_E_FENCED);
    MR_EXPECT_EQ_UINT(look(), 2);
    fault_disk_fini(&disk);
}

MR_TEST(log_switch, when_memory_runs_out_then_it_fails_and_leaks_nothing)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct mr_error err;
        enum mr_status st;
        bool touched;

        fault_disk_init(&disk, 1);
        st = do_switch(heap, &none, &one, &touched, &err);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
        if (!touched && st != MR_OK) MR_EXPECT_EQ_UINT(look(), 0);
        fault_disk_fini(&disk);
    }
}
