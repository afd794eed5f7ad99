#include "runtime/seal.h"

#include "base/prng.h"
#include "base/status.h"
#include "mr_test.h"
#include "state/segment.h"

#include <stdio.h>
#include <stdlib.h>

#define MODEL_MAX 4096u

/* What was added, as the test remembers it. Keys and values are made from a number. */
struct model {
    struct {
        uint32_t number;
        uint32_t size;
        uint8_t op, state, kind;
    } items[MODEL_MAX];
    uint32_t count;
};

static const char *const operators[] = {"count", "join/left", "a"};
static const char *const states[] = {"agg", "timers", ""};

static char *bytes_of(uint32_t number, uint32_t size)
{
    char *bytes = malloc(size + 1);

    for (uint32_t i = 0; i < size; i++) bytes[i] = (char)(number * 31 + i);
    return bytes;
}

static struct mr_entry entry_of(uint32_t number, uint32_t size, uint8_t state, uint8_t kind,
                                char key[8], char *value)
{
    memcpy(key, &number, 4);
    return (struct mr_entry){.kind = (enum mr_entry_kind)kind,
                             .state_name = states[state],
                             .key_group = kind == MR_ENTRY_PUT ? number % 128 : 0,
                             .ns = (int64_t)(number % 3) - 1,
                             .key = {key, 4},
                             .value = {value, kind == MR_ENTRY_PUT ? size : 0},
                             .group_first = 0,
                             .group_end = 128};
}

static enum mr_status add(struct mr_seal *seal, struct model *model, uint32_t number, uint32_t size,
                          uint8_t op, uint8_t state, uint8_t kind)
{
    char key[8];
    char *value = bytes_of(number, size);
    struct mr_entry entry = entry_of(number, size, state, kind, key, value);
    struct mr_error err;
    enum mr_status st = mr_seal_add(seal, operators[op], &entry, &err);

    free(value); /* the seal has its own copy */
    if (st != MR_OK) return st;
    MR_EXPECT(model->count < MODEL_MAX);
    model->items[model->count].number = number;
    model->items[model->count].size = size;
    model->items[model->count].op = op;
    model->items[model->count].state = state;
    model->items[model->count++].kind = kind;
    return MR_OK;
}

static void expect_entry(const struct model *model, uint32_t at, const char *operator_id,
                         const struct mr_entry *got)
{
    char key[8];
    uint32_t size = model->items[at].size;
    char *value = bytes_of(model->items[at].number, size);
    struct mr_entry entry = entry_of(model->items[at].number, size, model->items[at].state,
                                     model->items[at].kind, key, value);

    MR_EXPECT_EQ_STR(operator_id, operators[model->items[at].op]);
    MR_EXPECT_EQ_STR(got->state_name, entry.state_name);
    MR_EXPECT_EQ_INT(got->kind, entry.kind);
    MR_EXPECT_EQ_INT(got->ns, entry.ns);
    MR_EXPECT_EQ_UINT(got->key_group, entry.key_group);
    MR_EXPECT_EQ_UINT(got->group_first, entry.group_first);
    MR_EXPECT_EQ_UINT(got->group_end, entry.group_end);
    MR_EXPECT_EQ_UINT(got->key.size_bytes, entry.key.size_bytes);
    MR_EXPECT_EQ_BYTES(got->key.data, entry.key.data, entry.key.size_bytes);
    MR_EXPECT_EQ_UINT(got->value.size_bytes, entry.value.size_bytes);
    if (entry.value.size_bytes > 0) {
        MR_EXPECT_EQ_BYTES(got->value.data, entry.value.data, entry.value.size_bytes);
    }
    free(value);
}

/* Each run is read on its own, as a record of the log is. Returns how many there are. */
static uint32_t expect_model(const struct mr_seal *seal, const struct model *model)
{
    const struct mr_seal_run *run = NULL;
    uint32_t at = 0, runs = 0;

    while ((run = mr_seal_next(seal, run)) != NULL) {
        uint64_t count = 0, got = 0;
        struct mri_entry_reader reader;
        struct mr_entry entry;
        enum mri_entry_next next;

        runs++;
        mri_entry_reader_init(&reader, mr_seal_run_bytes(run, &count));
        MR_EXPECT(count > 0);
        while ((next = mri_entry_next(&reader, &entry)) == MRI_ENTRY_GOT) {
            MR_EXPECT(at < model->count);
            expect_entry(model, at++, reader.operator_id, &entry);
            got++;
        }
        MR_EXPECT_EQ_INT(next, MRI_ENTRY_END);
        MR_EXPECT_EQ_UINT(got, count);
    }
    MR_EXPECT_EQ_UINT(at, model->count);
    return runs;
}

MR_TEST(seal, an_empty_one_has_no_runs)
{
    struct mr_seal seal;

    mr_seal_init(&seal, mr_test_heap());
    MR_EXPECT(mr_seal_next(&seal, NULL) == NULL);
    MR_EXPECT_EQ_UINT(seal.bytes, 0);
    mr_seal_clear(&seal);
    MR_EXPECT(mr_seal_next(&seal, NULL) == NULL);
    mr_seal_fini(&seal);
    seal = (struct mr_seal){.heap = NULL};
    mr_seal_fini(&seal); /* a zeroed one is allowed */
}

MR_TEST(seal, entries_come_back_in_the_order_of_adding_with_what_they_held)
{
    struct mr_seal seal;
    struct model *model = calloc(1, sizeof *model);
    struct mr_prng prng;

    mr_prng_init(&prng, 1, 1);
    mr_seal_init(&seal, mr_test_heap());
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t size = (uint32_t)mr_prng_below(&prng, mr_prng_below(&prng, 50) == 0 ? 9000 : 60);
        uint8_t kind = mr_prng_below(&prng, 4) == 0 ? MR_ENTRY_VALUE : MR_ENTRY_PUT;

        if (kind == MR_ENTRY_VALUE) size = 0;
        MR_EXPECT_OK(add(&seal, model, i, size, (uint8_t)mr_prng_below(&prng, 3),
                         (uint8_t)mr_prng_below(&prng, 3), kind),
                     NULL);
    }
    MR_EXPECT(expect_model(&seal, model) > 3);
    mr_seal_fini(&seal);
    free(model);
}

/* Larger than any run, first, last and between small ones. */
MR_TEST(seal, an_entry_of_a_megabyte_has_a_run_of_its_own)
{
    static const uint32_t sizes[] = {1u << 20, 10, 10, 1u << 20, 40000, 10, 1u << 20};
    struct mr_seal seal;
    struct model *model = calloc(1, sizeof *model);

    mr_seal_init(&seal, mr_test_heap());
    for (uint32_t round = 0; round < 3;
         round++) { /* the second time in memory kept from the first */
        model->count = 0;
        for (uint32_t i = 0; i < MR_COUNT(sizes); i++) {
            uint32_t at = round == 1 ? (uint32_t)MR_COUNT(sizes) - 1 - i : i;
            MR_EXPECT_OK(add(&seal, model, i + round, sizes[at], 0, 0, MR_ENTRY_PUT), NULL);
        }
        (void)expect_model(&seal, model);
        mr_seal_clear(&seal);
    }
    mr_seal_fini(&seal);
    free(model);
}

MR_TEST(seal, bytes_counts_keys_and_values)
{
    struct mr_seal seal;
    struct model *model = calloc(1, sizeof *model);

    mr_seal_init(&seal, mr_test_heap());
    MR_EXPECT_OK(add(&seal, model, 1, 10, 0, 0, MR_ENTRY_PUT), NULL);
    MR_EXPECT_OK(add(&seal, model, 2, 70000, 1, 1, MR_ENTRY_PUT), NULL);
    MR_EXPECT_EQ_UINT(seal.bytes, 4 + 10 + 4 + 70000);
    mr_seal_clear(&seal);
    MR_EXPECT_EQ_UINT(seal.bytes, 0);
    mr_seal_fini(&seal);
    free(model);
}

/* What an epoch that was not completed sealed stays in front of the next. */
MR_TEST(seal, what_is_not_cleared_stays_in_front)
{
    struct mr_seal seal;
    struct model *model = calloc(1, sizeof *model);

    mr_seal_init(&seal, mr_test_heap());
    for (uint32_t epoch = 0; epoch < 5; epoch++) {
        for (uint32_t i = 0; i < 100; i++) {
            MR_EXPECT_OK(add(&seal, model, epoch * 100 + i, 700, 0, 0, MR_ENTRY_PUT), NULL);
        }
        (void)expect_model(&seal, model);
    }
    mr_seal_fini(&seal);
    free(model);
}

MR_TEST(seal, clearing_keeps_the_memory_for_the_next_epoch)
{
    struct mr_seal seal;
    struct model *model = calloc(1, sizeof *model);
    uint64_t allocs = 0;

    mr_seal_init(&seal, mr_test_heap());
    for (uint32_t epoch = 0; epoch < 10; epoch++) {
        model->count = 0;
        for (uint32_t i = 0; i < 300; i++) {
            MR_EXPECT_OK(add(&seal, model, i, 500, 0, 0, MR_ENTRY_PUT), NULL);
        }
        (void)expect_model(&seal, model);
        if (epoch == 0) allocs = mr_test_heap()->alloc_count;
        mr_seal_clear(&seal);
        MR_EXPECT(mr_seal_next(&seal, NULL) == NULL);
    }
    MR_EXPECT_ALLOCS_MAX(allocs);
    mr_seal_fini(&seal);
    free(model);
}

/* A run stands alone: it begins with the names, whatever the run before it said last, also where
 * the same pointers come again in an epoch later. */
MR_TEST(seal, after_a_clear_the_first_entry_names_its_operator_again)
{
    struct mr_seal seal;
    struct model *model = calloc(1, sizeof *model);

    mr_seal_init(&seal, mr_test_heap());
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        model->count = 0;
        MR_EXPECT_OK(add(&seal, model, 7, 5, 1, 1, MR_ENTRY_PUT), NULL);
        MR_EXPECT_OK(add(&seal, model, 7, 5, 1, 1, MR_ENTRY_PUT), NULL);
        MR_EXPECT_EQ_UINT(expect_model(&seal, model), 1);
        mr_seal_clear(&seal);
    }
    mr_seal_fini(&seal);
    free(model);
}

static enum mr_status add_names(struct mr_seal *seal, size_t operator_size, size_t state_size,
                                struct mr_error *err)
{
    static char id[1000], name[1000];
    struct mr_entry entry = {.kind = MR_ENTRY_PUT, .state_name = name, .key = {"k", 1}};

    memset(id, 'o', operator_size);
    memset(name, 's', state_size);
    id[operator_size] = name[state_size] = '\0';
    return mr_seal_add(seal, id, &entry, err);
}

MR_TEST(seal, names_of_255_bytes_go_longer_ones_are_refused_by_name)
{
    struct mr_seal seal;
    struct mr_error err;

    mr_seal_init(&seal, mr_test_heap());
    MR_EXPECT_OK(add_names(&seal, 255, 255, &err), &err);
    mr_seal_clear(&seal);
    MR_EXPECT_STATUS(add_names(&seal, 256, 1, &err), MR_E_LIMIT);
    MR_EXPECT_CONTAINS(err.text, "ooooo");
    MR_EXPECT_CONTAINS(err.text, "255");
    MR_EXPECT_STATUS(add_names(&seal, 1, 256, &err), MR_E_LIMIT);
    MR_EXPECT_STATUS(add_names(&seal, 900, 900, &err), MR_E_LIMIT);
    MR_EXPECT(mr_seal_next(&seal, NULL) == NULL); /* nothing of it is there */
    mr_seal_fini(&seal);
}

MR_TEST(seal, when_memory_is_short_then_it_says_so_and_what_was_added_is_still_there)
{
    struct model *model = calloc(1, sizeof *model);

    MR_TORTURE(mr_test_heap()) {
        struct mr_seal seal;
        bool refused = false;

        mr_seal_init(&seal, mr_test_heap());
        model->count = 0;
        for (uint32_t i = 0; i < 60; i++) {
            enum mr_status st =
                add(&seal, model, i, i % 7 == 0 ? 40000 : 3000, (uint8_t)(i % 3), 0, MR_ENTRY_PUT);

            if (st == MR_OK) continue;
            MR_EXPECT_EQ_INT(st, MR_E_NOMEM);
            MR_EXPECT(mr_test_refused(mr_test_heap()));
            refused = true;
        }
        MR_EXPECT(refused || !mr_test_refused(mr_test_heap()));
        (void)expect_model(&seal, model);
        mr_seal_fini(&seal);
    }
    free(model);
}
