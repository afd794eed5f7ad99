/* heap_test.c */
#include "base/heap.h"
#include "mr_test.h"

#include <pthread.h>

MR_TEST(heap, used_and_peak_follow_what_is_taken_and_given_back)
{
    struct mr_heap *heap = mr_test_heap();
    char *a = mr_alloc(heap, 100);
    char *b = mr_alloc_zero(heap, 50);

    MR_EXPECT(a != NULL && b != NULL);
    MR_EXPECT_EQ_UINT(heap->used_bytes, 150);
    for (size_t i = 0; i < 50; i++) MR_EXPECT_EQ_INT(b[i], 0);
    mr_free(heap, a, 100);
    MR_EXPECT_EQ_UINT(heap->used_bytes, 50);
    mr_free(heap, b, 50);
    mr_free(heap, NULL, 0);
    MR_EXPECT_EQ_UINT(heap->used_bytes, 0);
    MR_EXPECT_EQ_UINT(heap->peak_bytes, 150);
    MR_EXPECT_EQ_UINT(heap->alloc_count, 2);
}

MR_TEST(heap, at_the_limit_allocation_fails_and_nothing_is_counted)
{
    struct mr_heap child;
    void *memory;

    mr_heap_init_child(&child, "operator", 100, mr_test_heap());
    memory = mr_alloc(&child, 60);
    MR_EXPECT(memory != NULL);
    MR_EXPECT(mr_alloc(&child, 41) == NULL);
    MR_EXPECT_EQ_UINT(child.used_bytes, 60);
    MR_EXPECT_EQ_UINT(child.failed_count, 1);
    MR_EXPECT_EQ_UINT(mr_test_heap()->used_bytes, 60);
    mr_free(&child, memory, 60);
    memory = mr_alloc(&child, 100);
    MR_EXPECT(memory != NULL);
    mr_free(&child, memory, 100);
    mr_heap_fini(&child);
}

/* The operator's own budget and the job's: the smaller one decides, and both stay exact. */
MR_TEST(heap, when_the_parent_refuses_then_the_child_gives_its_charge_back)
{
    struct mr_heap job;
    struct mr_heap op;

    mr_heap_init_child(&job, "job", 100, mr_test_heap());
    mr_heap_init_child(&op, "operator", 1000, &job);
    MR_EXPECT(mr_alloc(&op, 101) == NULL);
    MR_EXPECT_EQ_UINT(op.used_bytes, 0);
    MR_EXPECT_EQ_UINT(job.used_bytes, 0);
    MR_EXPECT_EQ_UINT(job.failed_count, 1);
    mr_heap_fini(&op);
    mr_heap_fini(&job);
}

MR_TEST(heap, sizes_that_would_overflow_are_refused)
{
    struct mr_heap *heap = mr_test_heap();

    MR_EXPECT(mr_alloc(heap, SIZE_MAX) == NULL);
    MR_EXPECT(mr_alloc_array(heap, SIZE_MAX / 2, 3) == NULL);
    MR_EXPECT(mr_alloc_array(heap, UINT32_MAX, SIZE_MAX / 16) == NULL);
    MR_EXPECT_EQ_UINT(heap->used_bytes, 0);
}

MR_TEST(heap, exactly_the_allocation_with_the_chosen_number_fails)
{
    struct mr_heap *heap = mr_test_heap();
    char *first = mr_strdup(heap, "first");
    char *third;

    heap->fail_at = 2;
    MR_EXPECT(mr_strdup(heap, "second") == NULL);
    third = mr_strdup(heap, "third");
    MR_EXPECT_EQ_STR(third, "third");
    MR_EXPECT_EQ_UINT(heap->alloc_count, 3);
    MR_EXPECT_EQ_UINT(heap->failed_count, 1);
    mr_strfree(heap, first);
    MR_EXPECT_EQ_UINT(heap->used_bytes, 6);
    mr_strfree(heap, third);
    mr_strfree(heap, NULL);
}

MR_TEST(heap, nothing_can_be_allocated_and_given_back)
{
    struct mr_heap *heap = mr_test_heap();
    void *memory = mr_alloc(heap, 0);

    MR_EXPECT(memory != NULL);
    mr_free(heap, memory, 0);
    MR_EXPECT_EQ_UINT(heap->used_bytes, 0);
}

MR_TEST(heap, realloc_keeps_the_contents_or_leaves_everything_as_it_was)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        size_t size = 6;
        char *text = mr_strdup(heap, "hello");
        char *larger = text == NULL ? NULL : mr_realloc(heap, text, 6, 5000);
        char *smaller;

        if (larger != NULL) {
            text = larger;
            size = 5000;
            smaller = mr_realloc(heap, text, 5000, 6);
            if (smaller != NULL) {
                text = smaller;
                size = 6;
            }
        }
        if (text != NULL) MR_EXPECT_EQ_STR(text, "hello");
        mr_free(heap, text, size);
    }
}

MR_TEST(heap, a_block_given_back_with_a_larger_size_is_a_bug)
{
    struct mr_heap child;
    void *memory;

    mr_heap_init_child(&child, "c", 1000, mr_test_heap());
    memory = mr_alloc(&child, 16);
    MR_EXPECT_PANIC({
        child.used_bytes = 8;
        mr_free(&child, memory, 16);
    });
    mr_free(&child, memory, 16);
}

MR_TEST(heap, a_heap_that_did_not_get_everything_back_is_a_bug)
{
    struct mr_heap child;
    void *memory;

    mr_heap_init_child(&child, "c", 1000, mr_test_heap());
    memory = mr_alloc(&child, 16);
    MR_EXPECT_PANIC(mr_heap_fini(&child));
    mr_free(&child, memory, 16);
    mr_heap_fini(&child);
}

static void *take_and_give(void *arg)
{
    struct mr_heap *heap = arg;

    for (uint32_t i = 0; i < 20000; i++) {
        void *memory = mr_alloc(heap, 1 + i % 64);

        if (memory != NULL) mr_free(heap, memory, 1 + i % 64);
    }
    return NULL;
}

/* Workers share the job's heap: the count must be exact when they are done. */
MR_TEST(heap, threads_at_the_limit_never_exceed_it_and_end_at_zero)
{
    struct mr_heap child;
    pthread_t threads[3];

    mr_heap_init_child(&child, "shared", 100, mr_test_heap());
    for (size_t i = 0; i < MR_COUNT(threads); i++) {
        MR_EXPECT_EQ_INT(pthread_create(&threads[i], NULL, take_and_give, &child), 0);
    }
    for (size_t i = 0; i < MR_COUNT(threads); i++) (void)pthread_join(threads[i], NULL);
    MR_EXPECT_EQ_UINT(child.used_bytes, 0);
    MR_EXPECT(child.peak_bytes <= 100);
    mr_heap_fini(&child);
}
