/* slot_table_test.c - one table against a list of keys, for every shape of key. */
#include "state_rig.h"

#define IDS 700u

static const struct mr_slot_ops counter_ops = {.slot_bytes = 16};

/* The model: which slot each key has; MR_SLOT_NONE: the key is not there. */
struct model {
    uint32_t slot_of[IDS];
    uint64_t sum_of[IDS];
    uint32_t count;
};

static void model_init(struct model *model)
{
    memset(model, 0, sizeof *model);
    for (uint32_t i = 0; i < IDS; i++) model->slot_of[i] = MR_SLOT_NONE;
}

static uint32_t id_limit(enum rig_shape shape)
{
    return shape == RIG_NONE ? 1 : IDS;
}

/* One batch with repeats, some of its rows picked by a list; every slot counts its rows. */
static void random_batch(struct rig *rig, struct mr_table *table, struct model *model,
                         struct mr_prng *prng)
{
    uint32_t ids[RIG_ROWS] = {0}, rows[RIG_ROWS], slots[RIG_ROWS], done;
    uint32_t count = 1 + (uint32_t)mr_prng_below(prng, RIG_ROWS);
    uint32_t picked = 0;
    bool all = mr_prng_below(prng, 2) == 0;

    for (uint32_t i = 0; i < count; i++) {
        ids[i] = (uint32_t)mr_prng_below(prng, id_limit(rig->shape));
        if (all || mr_prng_below(prng, 3) > 0) rows[picked++] = i;
    }
    rig_keys(rig, ids, count);
    MR_EXPECT_EQ_INT(mr_table_prepare(table, &rig->keys, all ? NULL : rows, picked, slots, &done),
                     MR_PREPARE_READY);
    MR_EXPECT_EQ_UINT(done, picked);
    for (uint32_t i = 0; i < picked; i++) {
        uint32_t id = ids[rows[i]];
        uint64_t *sum = mr_table_slot(table, slots[i]);
        struct mr_table_pages pages = mr_table_pages(table);

        MR_EXPECT(mr_pages_slot(&pages, slots[i]) == (void *)sum);
        MR_EXPECT_EQ_UINT((uintptr_t)sum % 16, 0);
        if (model->slot_of[id] == MR_SLOT_NONE) {
            MR_EXPECT_EQ_UINT(sum[0] | sum[1], 0); /* a new slot is zero, also a reused one */
            model->slot_of[id] = slots[i];
            model->count++;
            model->sum_of[id] = 0;
        }
        MR_EXPECT_EQ_UINT(slots[i], model->slot_of[id]);
        MR_EXPECT_EQ_UINT(mr_table_hash(table, slots[i]), rig->hashes[rows[i]]);
        model->sum_of[id]++;
        sum[0]++;
        sum[1] = UINT64_MAX;
    }
}

static void expect_lookup(struct rig *rig, const struct mr_table *table, const struct model *model,
                          uint32_t first)
{
    uint32_t ids[RIG_ROWS] = {0}, slots[RIG_ROWS];
    uint32_t count = MR_MIN(RIG_ROWS, id_limit(rig->shape) - first);

    for (uint32_t i = 0; i < count; i++) ids[i] = first + i;
    rig_keys(rig, ids, count);
    mr_table_lookup(table, &rig->keys, NULL, count, slots);
    for (uint32_t i = 0; i < count; i++) {
        MR_EXPECT_EQ_UINT(slots[i], model->slot_of[first + i]);
    }
}

static void remove_some(struct mr_table *table, struct model *model, struct mr_prng *prng)
{
    for (uint32_t id = 0; id < IDS; id++) {
        if (model->slot_of[id] == MR_SLOT_NONE || mr_prng_below(prng, 4) != 0) continue;
        MR_EXPECT_EQ_UINT(*(uint64_t *)mr_table_slot(table, model->slot_of[id]), model->sum_of[id]);
        mr_table_remove(table, model->slot_of[id]);
        MR_EXPECT(!mr_table_live(table, model->slot_of[id]));
        model->slot_of[id] = MR_SLOT_NONE;
        model->count--;
    }
}

static void random_table(enum rig_shape shape, uint64_t seed)
{
    static struct rig rig;
    static struct model model;
    struct mr_store *store = rig_store(shape, seed % 2, 0, 0);
    struct mr_table *table;
    struct mr_prng prng;

    rig.shape = shape;
    model_init(&model);
    mr_prng_init(&prng, seed, 1);
    MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
    table = mr_store_table(store, 0, 77);
    for (int n = 0; n < 60; n++) {
        random_batch(&rig, table, &model, &prng);
        MR_EXPECT_EQ_UINT(mr_table_count(table), model.count);
        if (n % 7 == 6) remove_some(table, &model, &prng);
        if (n % 10 == 9) {
            rig_check(store);
            for (uint32_t i = 0; i < id_limit(shape); i += RIG_ROWS) {
                expect_lookup(&rig, table, &model, i);
            }
        }
    }
    mr_store_destroy(store);
}

MR_TEST(slot_table, random_batches_and_removals_agree_with_a_list_for_every_shape_of_key)
{
    for (enum rig_shape shape = RIG_INT; shape < RIG_SHAPES; shape++) {
        for (uint64_t seed = 1; seed <= 4; seed++) random_table(shape, seed);
    }
}

/* Many keys: pages beyond the first, prefetching, an index that has grown often. */
MR_TEST(slot_table, a_hundred_thousand_keys_have_dense_slots_in_order_of_insertion)
{
    enum { BATCH = 1000, KEYS = 100000 };
    static int64_t values[BATCH];
    static uint64_t hashes[BATCH];
    static uint32_t slots[BATCH];
    struct mr_store *store = rig_store(RIG_INT, true, 0, 0);
    struct mr_table *table;

    MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
    table = mr_store_table(store, 0, 0);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t first = 0; first < KEYS; first += BATCH) {
            struct mr_column column = {.type = MR_INT64, .values = values};
            struct mr_keys keys = {&column, hashes, BATCH};
            uint32_t done;

            for (uint32_t i = 0; i < BATCH; i++) {
                values[i] = (int64_t)(first + i) * 64; /* low bits alike */
                hashes[i] = mr_hash_int64(values[i]);
            }
            MR_EXPECT_EQ_INT(mr_table_prepare(table, &keys, NULL, BATCH, slots, &done),
                             MR_PREPARE_READY);
            for (uint32_t i = 0; i < BATCH; i++) MR_EXPECT_EQ_UINT(slots[i], first + i);
        }
    }
    MR_EXPECT_EQ_UINT(mr_table_count(table), KEYS);
    mri_table_check(table);
    mr_store_destroy(store);
}

/* A slice of three keys must be small: there are many such. */
MR_TEST(slot_table, a_table_of_three_keys_takes_less_than_two_kilobytes)
{
    static struct rig rig = {.shape = RIG_TEXT};
    struct mr_store *store = rig_store(RIG_TEXT, true, 0, 0);
    uint32_t ids[3] = {8, 16, 24}, slots[3], done;
    uint64_t before;
    struct mr_table *table;

    MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
    before = mr_store_bytes(store);
    table = mr_store_table(store, 0, 0);
    rig_keys(&rig, ids, 3);
    MR_EXPECT_EQ_INT(mr_table_prepare(table, &rig.keys, NULL, 3, slots, &done), MR_PREPARE_READY);
    MR_EXPECT(mr_store_bytes(store) - before < 2048);
    mr_store_destroy(store);
}

/* Merging windows: the key of one table is found or made in another, texts copied. */
MR_TEST(slot_table, a_key_adopted_by_another_table_is_equal_there_after_the_first_is_dropped)
{
    static struct rig rig;

    for (rig.shape = RIG_INT; rig.shape < RIG_SHAPES; rig.shape++) {
        struct mr_store *store = rig_store(rig.shape, true, 0, 0);
        uint32_t ids[100], slots[100], found[100], done;
        uint32_t count = rig.shape == RIG_NONE ? 1 : 100;
        struct mr_table *from, *into;

        MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
        from = mr_store_table(store, 0, 1);
        into = mr_store_table(store, 0, 2);
        for (uint32_t i = 0; i < count; i++) ids[i] = i;
        rig_keys(&rig, ids, count);
        MR_EXPECT_EQ_INT(mr_table_prepare(from, &rig.keys, NULL, count, slots, &done),
                         MR_PREPARE_READY);
        for (uint32_t i = count; i-- > 0;) {
            uint32_t there = mr_table_adopt_key(into, from, slots[i]);

            MR_EXPECT(there != MR_SLOT_NONE);
            MR_EXPECT_EQ_INT(mr_table_key_compare(from, slots[i], into, there), 0);
            MR_EXPECT_EQ_UINT(mr_table_adopt_key(into, from, slots[i]), there);
        }
        mr_store_drop(store, from);
        mr_table_lookup(into, &rig.keys, NULL, count, found);
        for (uint32_t i = 0; i < count; i++) MR_EXPECT_EQ_UINT(found[i], count - 1 - i);
        rig_check(store);
        mr_store_destroy(store);
    }
}

/* The key of a slot as columns, and as a row of a builder: what operators emit. */
MR_TEST(slot_table, keys_come_out_as_they_went_in)
{
    static struct rig rig = {.shape = RIG_MIXED};
    struct mr_store *store = rig_store(rig.shape, true, 0, 0);
    uint32_t ids[60], slots[60], done;
    struct mr_column out[8];
    struct mr_table *table;

    MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
    table = mr_store_table(store, 0, 1);
    for (uint32_t i = 0; i < 60; i++) ids[i] = i;
    rig_keys(&rig, ids, 60);
    MR_EXPECT_EQ_INT(mr_table_prepare(table, &rig.keys, NULL, 60, slots, &done), MR_PREPARE_READY);
    for (uint32_t i = 0; i < 60; i++) {
        mr_table_key_columns(table, slots[i], out);
        for (uint32_t c = 0; c < 8; c++) {
            bool valid = mr_column_valid(&rig.flat[c], i);

            MR_EXPECT_EQ_INT(mr_column_valid(&out[c], 0), valid);
            if (valid) MR_EXPECT_EQ_INT(mr_column_compare(&out[c], 0, &rig.flat[c], i), 0);
        }
    }
    mr_store_destroy(store);
}

MR_TEST(slot_table, a_key_becomes_a_row_of_a_builder)
{
    static struct rig rig = {.shape = RIG_MIXED};
    struct mr_heap *heap = mr_test_heap();
    struct mr_store *store = rig_store(rig.shape, true, 0, 0);
    uint32_t ids[20], slots[20], done;
    struct mr_schema *schema;
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_builder *builder;
    struct mr_batch *batch;
    struct mr_table *table;

    MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
    table = mr_store_table(store, 0, 1);
    for (uint32_t i = 0; i < 20; i++) ids[i] = i * 3;
    rig_keys(&rig, ids, 20);
    MR_EXPECT_EQ_INT(mr_table_prepare(table, &rig.keys, NULL, 20, slots, &done), MR_PREPARE_READY);
    MR_EXPECT_OK(mr_schema_create(heap, rig_mixed, 8, &schema, NULL), NULL);
    MR_EXPECT_OK(mr_pool_create(heap, 1 << 22, &pool, NULL), NULL);
    mr_quota_init(&quota, pool, "test", 1 << 22);
    MR_EXPECT_OK(mr_builder_create(heap, schema, 0, 100, &quota, &builder, NULL), NULL);
    for (uint32_t i = 0; i < 20; i++) {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        MR_EXPECT_EQ_INT(mr_table_key_to_row(table, slots[i], builder, 0), MR_BUILD_OK);
        mr_builder_commit_row(builder);
    }
    batch = mr_builder_take(builder);
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t c = 0; c < 8; c++) {
            bool valid = mr_column_valid(&rig.flat[c], i);

            MR_EXPECT_EQ_INT(mr_column_valid(&batch->columns[c], i), valid);
            if (valid)
                MR_EXPECT_EQ_INT(mr_column_compare(&batch->columns[c], i, &rig.flat[c], i), 0);
        }
    }
    mr_batch_release(batch);
    mr_builder_destroy(builder);
    mr_pool_destroy(pool);
    mr_schema_release(schema);
    mr_store_destroy(store);
}

MR_TEST(slot_table, a_constant_column_gives_every_row_the_same_slot)
{
    struct mr_store *store = rig_store(RIG_INT, true, 0, 0);
    int64_t value = 42;
    uint64_t hashes[50];
    struct mr_column column = {.type = MR_INT64, .encoding = MR_CONST, .values = &value};
    struct mr_keys keys = {&column, hashes, 50};
    uint32_t slots[50], done;
    struct mr_table *table;

    for (uint32_t i = 0; i < 50; i++) hashes[i] = mr_hash_int64(value);
    MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
    table = mr_store_table(store, 0, 0);
    MR_EXPECT_EQ_INT(mr_table_prepare(table, &keys, NULL, 50, slots, &done), MR_PREPARE_READY);
    for (uint32_t i = 0; i < 50; i++) MR_EXPECT_EQ_UINT(slots[i], 0);
    MR_EXPECT_EQ_UINT(mr_table_count(table), 1);
    mr_store_destroy(store);
}

/* Different keys with equal hashes must stay apart: the hash only finds candidates. */
MR_TEST(slot_table, keys_whose_hashes_collide_have_slots_of_their_own)
{
    static struct rig rig;

    for (rig.shape = RIG_INT; rig.shape < RIG_SHAPES; rig.shape++) {
        struct mr_store *store = rig_store(rig.shape, false, 0, 0);
        uint32_t ids[100], slots[100], again[100], done;
        struct mr_table *table;

        if (rig.shape == RIG_NONE) {
            mr_store_destroy(store);
            continue;
        }
        MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
        table = mr_store_table(store, 0, 0);
        for (uint32_t i = 0; i < 100; i++) ids[i] = i;
        rig_keys(&rig, ids, 100);
        memset(rig.hashes, 0x5a, sizeof rig.hashes);
        MR_EXPECT_EQ_INT(mr_table_prepare(table, &rig.keys, NULL, 100, slots, &done),
                         MR_PREPARE_READY);
        MR_EXPECT_EQ_UINT(mr_table_count(table), 100);
        for (uint32_t i = 0; i < 100; i += 2) mr_table_remove(table, slots[i]);
        mr_table_lookup(table, &rig.keys, NULL, 100, again);
        for (uint32_t i = 0; i < 100; i++) {
            MR_EXPECT_EQ_UINT(again[i], i % 2 == 0 ? MR_SLOT_NONE : slots[i]);
        }
        mri_table_check(table);
        mr_store_destroy(store);
    }
}

/* Whatever allocation fails: rows before *out_done are right, and the rest succeeds later. */
MR_TEST(slot_table, when_memory_is_short_then_prepare_says_how_far_it_came_and_nothing_is_torn)
{
    static struct rig rig;
    struct mr_heap *heap = mr_test_heap();

    for (rig.shape = RIG_INT; rig.shape < RIG_SHAPES; rig.shape++) {
        uint32_t ids[90];

        for (uint32_t i = 0; i < 90; i++) ids[i] = i;
        rig_keys(&rig, ids, rig.shape == RIG_NONE ? 1 : 90);
        MR_TORTURE(heap) {
            uint32_t slots[90], found[90], done = 0, count = rig.keys.count;
            struct mr_store *store = rig_store(rig.shape, true, 0, 0);
            struct mr_table *table = NULL;

            MR_EXPECT(store != NULL || mr_test_refused(heap));
            if (store != NULL && mr_store_declare(store, 0, "sum", &counter_ops, NULL) == MR_OK) {
                table = mr_store_table(store, 0, 0);
            }
            if (table != NULL) {
                enum mr_prepare answer =
                    mr_table_prepare(table, &rig.keys, NULL, count, slots, &done);

                MR_EXPECT_EQ_INT(answer, done == count ? MR_PREPARE_READY : MR_PREPARE_NOMEM);
                MR_EXPECT(done == count || mr_test_refused(heap));
                rig_check(store);
                mr_table_lookup(table, &rig.keys, NULL, count, found);
                for (uint32_t i = 0; i < count; i++) {
                    MR_EXPECT_EQ_UINT(found[i], i < done ? slots[i] : MR_SLOT_NONE);
                }
                if (done < count) { /* only one allocation fails: the second try comes through */
                    MR_EXPECT_EQ_INT(mr_table_prepare(table, &rig.keys, NULL, count, slots, &done),
                                     MR_PREPARE_READY);
                }
                MR_EXPECT_EQ_UINT(mr_table_count(table), count);
                rig_check(store);
            }
            mr_store_destroy(store);
        }
    }
}

/* Keys come and go for ever in a stream; the texts of those that went must be used again. */
MR_TEST(slot_table, when_keys_come_and_go_then_memory_does_not_grow)
{
    static struct rig rig;

    for (rig.shape = RIG_TEXT; rig.shape <= RIG_MIXED; rig.shape++) {
        struct mr_store *store = rig_store(rig.shape, false, 0, 0);
        uint64_t used = 0;
        struct mr_table *table;

        MR_EXPECT_OK(mr_store_declare(store, 0, "sum", &counter_ops, NULL), NULL);
        table = mr_store_table(store, 0, 0);
        for (uint32_t round = 0; round < 50; round++) {
            uint32_t ids[100], slots[100], done;

            for (uint32_t i = 0; i < 100; i++) ids[i] = 1000 + i; /* texts of many sizes */
            rig_keys(&rig, ids, 100);
            MR_EXPECT_EQ_INT(mr_table_prepare(table, &rig.keys, NULL, 100, slots, &done),
                             MR_PREPARE_READY);
            if (round == 0) used = mr_store_bytes(store);
            MR_EXPECT_EQ_UINT(mr_store_bytes(store), used);
            for (uint32_t i = 0; i < 100; i++) mr_table_remove(table, slots[i]);
        }
        mr_store_destroy(store);
    }
}

/* The first text of a key is copied, the second finds no room: the first must go again. */
MR_TEST(slot_table, when_the_second_text_of_a_key_finds_no_room_then_the_first_is_given_back)
{
    static struct rig rig = {.shape = RIG_MIXED};
    struct mr_heap *heap = mr_test_heap();
    uint32_t id = 7; /* 20000 bytes, then a few */

    rig_keys(&rig, &id, 1);
    MR_TORTURE(heap) {
        struct mr_store *store = rig_store(rig.shape, false, 0, 0);
        struct mr_table *table = NULL;
        uint32_t slot, done;

        if (store != NULL && mr_store_declare(store, 0, "sum", &counter_ops, NULL) == MR_OK) {
            table = mr_store_table(store, 0, 0);
        }
        if (table != NULL &&
            mr_table_prepare(table, &rig.keys, NULL, 1, &slot, &done) == MR_PREPARE_NOMEM) {
            for (uint32_t i = 0; i < table->texts.chunk_count; i++) {
                MR_EXPECT(table->texts.chunks[i] == NULL || table->texts.chunk_bytes[i] < 20000);
            }
        }
        mr_store_destroy(store);
    }
}
