/* block_test.c - the pool under limits, refusals and threads. */
#include "data/block.h"
#include "mr_test.h"

#include <pthread.h>

static struct mr_pool *pool_with(struct mr_heap *heap, size_t limit_bytes)
{
    struct mr_pool *pool;
    struct mr_error err;

    MR_EXPECT_OK(mr_pool_create(heap, limit_bytes, &pool, &err), &err);
    return pool;
}

MR_TEST(block, gives_the_smallest_class_that_fits)
{
    static const struct {
        size_t bytes, class_bytes;
    } rows[] = {
        {0, 4096},        {1, 4096},
        {4032, 4096},     {4033, 8192},
        {8128, 8192},     {8129, 16384},
        {60000, 65536},   {131072 - 64, 131072},
        {131072, 262144}, {262144 - 64, 262144},
    };
    struct mr_pool *pool = pool_with(mr_test_heap(), SIZE_MAX);
    struct mr_quota quota;

    mr_quota_init(&quota, pool, "test", SIZE_MAX);
    for (size_t i = 0; i < MR_COUNT(rows); i++) {
        struct mr_block *block = mr_block_new(&quota, rows[i].bytes);

        MR_EXPECT(block != NULL);
        MR_EXPECT_EQ_UINT(quota.used_bytes, rows[i].class_bytes);
        MR_EXPECT_EQ_UINT(block->capacity_bytes, rows[i].class_bytes - 64);
        MR_EXPECT_EQ_UINT((uintptr_t)block->data % 64, 0);
        memset(block->data, 0xab, block->capacity_bytes); /* under ASan: all of it is ours */
        mr_block_release(block);
        MR_EXPECT_EQ_UINT(quota.used_bytes, 0);
    }
    mr_pool_destroy(pool);
}

/* Back-pressure: a used-up quota refuses, and a released block makes room for exactly one. */
MR_TEST(block, a_quota_never_exceeds_its_limit)
{
    struct mr_pool *pool = pool_with(mr_test_heap(), SIZE_MAX);
    struct mr_quota quota, other;
    struct mr_block *first, *second;

    mr_quota_init(&quota, pool, "test", 3 * 4096);
    mr_quota_init(&other, pool, "other", 4096);
    MR_EXPECT(mr_quota_has(&quota, 8000));
    MR_EXPECT(!mr_quota_has(&quota, 9000)); /* 16 KiB */
    MR_EXPECT(!mr_quota_has(&quota, MR_BLOCK_BYTES_MAX));
    first = mr_block_new(&quota, 8000);
    MR_EXPECT(!mr_quota_has(&quota, 8000));
    MR_EXPECT(mr_block_new(&quota, 8000) == NULL);
    MR_EXPECT_EQ_UINT(quota.used_bytes, 8192);
    second = mr_block_new(&quota, 1);
    MR_EXPECT(second != NULL);
    MR_EXPECT(mr_block_new(&quota, 1) == NULL);
    MR_EXPECT(mr_quota_has(&other, 1)); /* quotas do not see each other */
    mr_block_release(first);
    first = mr_block_new(&quota, 8000);
    MR_EXPECT(first != NULL);
    mr_block_release(first);
    mr_block_release(second);
    mr_pool_destroy(pool);
}

MR_TEST(block, comes_back_with_its_last_reference_and_is_used_again)
{
    struct mr_pool *pool = pool_with(mr_test_heap(), SIZE_MAX);
    struct mr_quota quota;
    struct mr_block *block, *again;
    uint64_t allocs;

    mr_quota_init(&quota, pool, "test", SIZE_MAX);
    block = mr_block_new(&quota, 100);
    MR_EXPECT(mr_block_ref(block) == block);
    mr_block_release(block);
    MR_EXPECT_EQ_UINT(mr_pool_used_bytes(pool), 4096);
    mr_block_release(block);
    MR_EXPECT_EQ_UINT(mr_pool_used_bytes(pool), 0);
    MR_EXPECT_EQ_UINT(mr_pool_held_bytes(pool), 4096);
    allocs = mr_test_heap()->alloc_count;
    again = mr_block_new(&quota, 100);
    MR_EXPECT(again == block);
    MR_EXPECT_EQ_UINT(mr_test_heap()->alloc_count, allocs);
    mr_block_release(again);
    mr_block_release(NULL);
    mr_pool_destroy(pool);
}

/* Blocks kept for reuse in one class must not starve another one. */
MR_TEST(block, kept_blocks_of_other_classes_make_room)
{
    struct mr_pool *pool = pool_with(mr_test_heap(), 64 * 1024);
    struct mr_quota quota;
    struct mr_block *small[16], *large;

    mr_quota_init(&quota, pool, "test", SIZE_MAX);
    for (int i = 0; i < 16; i++) MR_EXPECT((small[i] = mr_block_new(&quota, 1)) != NULL);
    MR_EXPECT(mr_block_new(&quota, 1) == NULL); /* the pool's own limit */
    for (int i = 0; i < 16; i++) mr_block_release(small[i]);
    MR_EXPECT_EQ_UINT(mr_pool_held_bytes(pool), 65536);
    large = mr_block_new(&quota, 60000);
    MR_EXPECT(large != NULL);
    MR_EXPECT_EQ_UINT(mr_pool_held_bytes(pool), 65536);
    mr_block_release(large);
    for (int i = 0; i < 16; i++) MR_EXPECT((small[i] = mr_block_new(&quota, 1)) != NULL);
    for (int i = 0; i < 16; i++) mr_block_release(small[i]);
    mr_pool_destroy(pool);
}

/* The heap may be fuller than the pool thinks: then too, what is kept goes first. */
MR_TEST(block, when_the_heap_refuses_then_kept_blocks_are_freed)
{
    struct mr_heap heap;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_block *small, *large;

    mr_heap_init_child(&heap, "small", 90 * 1024, mr_test_heap());
    pool = pool_with(&heap, SIZE_MAX);
    mr_quota_init(&quota, pool, "test", SIZE_MAX);
    large = mr_block_new(&quota, 60000);
    MR_EXPECT(large != NULL);
    MR_EXPECT(mr_block_new(&quota, 30000) == NULL);
    MR_EXPECT_EQ_UINT(quota.used_bytes, 65536);
    MR_EXPECT(mr_quota_has(&quota, 30000)); /* so it was the heap */
    mr_block_release(large);
    small = mr_block_new(&quota, 30000);
    MR_EXPECT(small != NULL);
    mr_block_release(small);
    mr_pool_destroy(pool);
    mr_heap_fini(&heap);
}

MR_TEST(block, the_table_of_blocks_grows)
{
    static struct mr_block *blocks[3000];
    struct mr_pool *pool = pool_with(mr_test_heap(), SIZE_MAX);
    struct mr_quota quota;

    mr_quota_init(&quota, pool, "test", SIZE_MAX);
    for (uint32_t i = 0; i < MR_COUNT(blocks); i++) {
        blocks[i] = mr_block_new(&quota, 1);
        MR_EXPECT_EQ_UINT(blocks[i]->id, i);
    }
    for (uint32_t i = 0; i < MR_COUNT(blocks); i++) mr_block_release(blocks[i]);
    mr_pool_destroy(pool);
}

MR_TEST(block, misuse_stops_the_process)
{
    struct mr_pool *pool = pool_with(mr_test_heap(), SIZE_MAX);
    struct mr_quota quota;
    struct mr_block *block;

    mr_quota_init(&quota, pool, "test", SIZE_MAX);
    block = mr_block_new(&quota, 1);
    MR_EXPECT_PANIC(mr_pool_destroy(pool));
    MR_EXPECT_PANIC(mr_block_release(mr_block_new(&quota, MR_BLOCK_BYTES_MAX)));
    mr_block_release(block);
    MR_EXPECT_PANIC(mr_block_release(block));
    mr_pool_destroy(pool);
}

MR_TEST(block, when_memory_runs_out_then_nothing_is_left)
{
    MR_TORTURE(mr_test_heap()) {
        struct mr_pool *pool = NULL;
        struct mr_error err;
        enum mr_status st = mr_pool_create(mr_test_heap(), SIZE_MAX, &pool, &err);

        if (st == MR_OK) {
            struct mr_quota quota;
            struct mr_block *one, *two;

            mr_quota_init(&quota, pool, "test", SIZE_MAX);
            one = mr_block_new(&quota, 1);
            two = mr_block_new(&quota, 100000);
            MR_EXPECT_EQ_INT(one == NULL || two == NULL, mr_test_refused(mr_test_heap()));
            MR_EXPECT_EQ_UINT(quota.used_bytes, (one ? 4096u : 0u) + (two ? 131072u : 0u));
            mr_block_release(one);
            mr_block_release(two);
            MR_EXPECT_EQ_UINT(quota.used_bytes, 0);
        } else {
            MR_EXPECT_EQ_INT(st, MR_E_NOMEM);
        }
        mr_pool_destroy(pool);
    }
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS  20000

struct worker {
    struct mr_quota *quota;
    struct mr_block *_Atomic *mailbox; /* blocks travel from thread to thread */
    uint32_t number;
    uint64_t served;
    bool broken;
};

static void *work(void *argument)
{
    struct worker *w = argument;
    uint64_t random = w->number * 77 + 1;

    for (int i = 0; i < ROUNDS; i++) {
        struct mr_block *mine, *other;
        size_t bytes;

        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        bytes = (size_t)(random >> 33) % 20000;
        mine = mr_block_new(w->quota, bytes);
        if (mine == NULL) {
            other = atomic_exchange(w->mailbox, NULL);
        } else {
            w->served++;
            /* Nobody else may have this block: the mark must stand. */
            memcpy(mine->data, &random, sizeof random);
            memcpy(mine->data + bytes % 4000, &random, sizeof random);
            w->broken |= memcmp(mine->data, &random, bytes % 4000 < 8 ? bytes % 4000 : 8) != 0;
            other = atomic_exchange(w->mailbox, mr_block_ref(mine));
            mr_block_release(mine);
        }
        mr_block_release(other);
    }
    return NULL;
}

/* The limit of 256 KiB is hit all the time; the tag in the list heads is what this is about. */
MR_TEST(block, threads_share_a_pool_and_lose_nothing)
{
    struct mr_pool *pool = pool_with(mr_test_heap(), 192 * 1024);
    struct mr_quota quota;
    struct mr_block *_Atomic mailbox = NULL;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t served = 0;

    mr_quota_init(&quota, pool, "shared", 256 * 1024);
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){&quota, &mailbox, i, 0, false};
        MR_EXPECT_EQ_INT(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) MR_EXPECT_EQ_INT(pthread_join(threads[i], NULL), 0);
    for (uint32_t i = 0; i < THREADS; i++) {
        MR_EXPECT(!workers[i].broken);
        served += workers[i].served;
    }
    mr_block_release(mailbox);
    MR_EXPECT_EQ_UINT(quota.used_bytes, 0);
    MR_EXPECT_EQ_UINT(mr_pool_used_bytes(pool), 0);
    MR_EXPECT(served > ROUNDS);
    mr_pool_destroy(pool);
}
