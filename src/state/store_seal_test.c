/* store_seal_test.c - seal, destroy, restore into any number of instances, go on: the state must be
 * that of a plain array that knows nothing of seals. */
#include "state_rig.h"

#include <stdlib.h>

#define STATES        2u
#define SPACES        3u
#define IDS           96u
#define INSTANCES_MAX 5u
#define ENTRIES_MAX   60000u

/* ---- a state with texts behind its slots ---- */

struct note {
    uint64_t count;
    struct mr_blob text;
};

/* What stands in the blob of a slot that was counted so often. */
static uint32_t note_text(uint64_t count, char *out)
{
    uint32_t size = count % 7 == 0 ? 0 : (uint32_t)(count * 5 % 400);

    memset(out, 'a' + (int)(count % 26), size);
    return size;
}

static bool note_encode(void *self, const void *slot, struct mr_buffer *out)
{
    const struct note *note = slot;

    (void)self;
    return mr_buffer_put_u64(out, note->count) && mr_buffer_put_u32(out, note->text.size_bytes) &&
           mr_buffer_put(out, note->text.data, note->text.size_bytes);
}

static enum mr_status note_decode(void *self, struct mr_store *store, void *slot,
                                  struct mr_cursor *in, struct mr_error *err)
{
    struct note *note = slot;
    uint32_t size;
    const char *data;

    (void)self;
    MR_EXPECT(note->count == 0 && note->text.data == NULL); /* as a new one, also the second time */
    if (!mr_cursor_u64(in, &note->count) || !mr_cursor_u32(in, &size) ||
        !mr_cursor_take(in, size, &data)) {
        return mr_error_set(err, MR_E_CORRUPT, "a note cut short");
    }
    if (!mr_store_blob_resize(store, &note->text, size)) return mr_error_nomem(err, "note", size);
    if (size > 0) memcpy(note->text.data, data, size);
    return MR_OK;
}

static void note_release(void *self, struct mr_store *store, void *slot)
{
    (void)self;
    mr_store_blob_free(store, &((struct note *)slot)->text);
}

static const struct mr_slot_ops note_ops = {.slot_bytes = sizeof(struct note),
                                            .encode = note_encode,
                                            .decode = note_decode,
                                            .release = note_release};
static const struct mr_slot_ops plain_ops = {.slot_bytes = 8};

static bool note_count(struct mr_store *store, struct note *note)
{
    char text[400];
    uint32_t size = note_text(note->count + 1, text);

    if (!mr_store_blob_resize(store, &note->text, size)) return false;
    if (size > 0) memcpy(note->text.data, text, size);
    note->count++;
    return true;
}

/* ---- what was sealed ---- */

struct saved {
    struct mr_entry entry;
    char *key;
    char *value;
    char name[8];
};

struct archive {
    struct saved entries[ENTRIES_MAX];
    uint32_t count;
    uint32_t fail_at; /* the yield of this entry fails; UINT32_MAX: none does */
};

static char *copy_of(struct mr_bytes bytes)
{
    char *copy = malloc(bytes.size_bytes == 0 ? 1 : bytes.size_bytes);

    if (bytes.size_bytes > 0) memcpy(copy, bytes.data, bytes.size_bytes);
    return copy;
}

static enum mr_status save(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    struct archive *archive = self;
    struct saved *saved = &archive->entries[archive->count];

    if (archive->count == archive->fail_at) {
        return mr_error_set(err, MR_E_NO_SPACE, "the disk is full");
    }
    MR_EXPECT(archive->count < ENTRIES_MAX);
    saved->entry = *entry;
    saved->key = copy_of(entry->key);
    saved->value = copy_of(entry->value);
    (void)snprintf(saved->name, sizeof saved->name, "%s", entry->state_name);
    saved->entry.state_name = saved->name;
    saved->entry.key.data = saved->key;
    saved->entry.value.data = saved->value;
    archive->count++;
    return MR_OK;
}

static void cut(struct archive *archive, uint32_t count)
{
    while (archive->count > count) {
        archive->count--;
        free(archive->entries[archive->count].key);
        free(archive->entries[archive->count].value);
    }
}

/* ---- the model ---- */

struct model {
    uint64_t counts[STATES][SPACES][IDS]; /* 0: not there */
    int64_t timers[IDS];                  /* MR_TIME_MAX: none */
    uint32_t group[IDS];
};

struct world {
    struct rig rig;
    struct model model;
    struct archive archive;
    struct mr_store *stores[INSTANCES_MAX];
    uint32_t instances;
    struct mr_prng prng;
};

static uint32_t dice(struct world *world, uint32_t below)
{
    return (uint32_t)mr_prng_below(&world->prng, below);
}

static uint32_t group_border(const struct world *world, uint32_t instance)
{
    return instance * RIG_GROUPS / world->instances;
}

static bool owns(const struct world *world, uint32_t instance, uint32_t id)
{
    return world->model.group[id] >= group_border(world, instance) &&
           world->model.group[id] < group_border(world, instance + 1);
}

static uint32_t id_limit(const struct world *world)
{
    return world->rig.shape == RIG_NONE ? 1 : IDS;
}

static void open_stores(struct world *world, uint32_t instances)
{
    world->instances = instances;
    for (uint32_t i = 0; i < instances; i++) {
        world->stores[i] =
            rig_store(world->rig.shape, true, group_border(world, i), group_border(world, i + 1));
        MR_EXPECT_OK(mr_store_declare(world->stores[i], 0, "notes", &note_ops, NULL), NULL);
        MR_EXPECT_OK(mr_store_declare(world->stores[i], 1, "plain", &plain_ops, NULL), NULL);
    }
}

static void close_stores(struct world *world)
{
    for (uint32_t i = 0; i < world->instances; i++) mr_store_destroy(world->stores[i]);
}

static void world_init(struct world *world, enum rig_shape shape, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->rig.shape = shape;
    world->archive.fail_at = UINT32_MAX;
    mr_prng_init(&world->prng, seed, 1);
    for (uint32_t id = 0; id < IDS; id++) {
        rig_keys(&world->rig, &id, 1);
        world->model.group[id] = mr_key_group(world->rig.hashes[0], RIG_GROUPS);
        world->model.timers[id] = MR_TIME_MAX;
    }
}

/* ---- steps ---- */

static void count_rows(struct world *world, uint32_t instance, uint32_t state, uint32_t ns)
{
    struct mr_store *store = world->stores[instance];
    struct mr_table *table = mr_store_table(store, state, ns);
    uint32_t ids[40], slots[40], done, count = 0;

    for (uint32_t n = 0; n < 40; n++) {
        uint32_t id = dice(world, id_limit(world));

        if (owns(world, instance, id)) ids[count++] = id;
    }
    rig_keys(&world->rig, ids, count);
    MR_EXPECT_EQ_INT(mr_table_prepare(table, &world->rig.keys, NULL, count, slots, &done),
                     MR_PREPARE_READY);
    for (uint32_t i = 0; i < count; i++) {
        if (state == 0) {
            MR_EXPECT(note_count(store, mr_table_slot(table, slots[i])));
        } else {
            ++*(uint64_t *)mr_table_slot(table, slots[i]);
        }
        world->model.counts[state][ns][ids[i]]++;
        MR_EXPECT_EQ_UINT(mr_table_group(table, slots[i]), world->model.group[ids[i]]);
    }
}

static void remove_one(struct world *world, uint32_t state, uint32_t ns)
{
    uint32_t id = dice(world, id_limit(world)), slot;

    if (world->model.counts[state][ns][id] == 0) return;
    rig_keys(&world->rig, &id, 1);
    for (uint32_t i = 0; i < world->instances; i++) {
        struct mr_table *table = mr_store_find(world->stores[i], state, ns);

        if (!owns(world, i, id)) continue;
        MR_EXPECT(table != NULL);
        mr_table_lookup(table, &world->rig.keys, NULL, 1, &slot);
        mr_table_remove(table, slot);
    }
    world->model.counts[state][ns][id] = 0;
}

/* One instance drops its part of a namespace: the others keep theirs. */
static void drop_one(struct world *world, uint32_t instance, uint32_t state, uint32_t ns)
{
    struct mr_table *table = mr_store_find(world->stores[instance], state, ns);

    if (table == NULL) return;
    mr_store_drop(world->stores[instance], table);
    for (uint32_t id = 0; id < IDS; id++) {
        if (owns(world, instance, id)) world->model.counts[state][ns][id] = 0;
    }
}

static struct mr_timer timer_of(struct world *world, const uint32_t *id, int64_t time)
{
    return (struct mr_timer){.time_us = time,
                             .hold_us = time - 1,
                             .ns = 4,
                             .key_group = world->model.group[*id],
                             .key = {(const char *)id, sizeof *id}};
}

static void timer_step(struct world *world, uint32_t instance)
{
    struct mr_timers *timers = mr_store_timers(world->stores[instance]);
    uint32_t id = dice(world, id_limit(world));
    struct mr_timer timer = timer_of(world, &id, (int64_t)dice(world, 1000));

    if (!owns(world, instance, id)) return;
    switch (dice(world, 4)) {
    case 0:
        mr_timers_clear(timers, &timer);
        world->model.timers[id] = MR_TIME_MAX;
        break;
    case 1:
        if (!mr_timers_take(timers, MR_EVENT_TIME, MR_TIME_MAX - 1, &timer)) break;
        memcpy(&id, timer.key.data, sizeof id);
        MR_EXPECT_EQ_INT(world->model.timers[id], timer.time_us);
        world->model.timers[id] = MR_TIME_MAX;
        break;
    default: MR_EXPECT(mr_timers_set(timers, &timer)); world->model.timers[id] = timer.time_us;
    }
}

static void random_step(struct world *world)
{
    uint32_t instance = dice(world, world->instances);
    uint32_t state = dice(world, STATES), ns = dice(world, SPACES);

    switch (dice(world, 10)) {
    case 0: drop_one(world, instance, state, ns); break;
    case 1:
    case 2:
    case 3: remove_one(world, state, ns); break;
    case 4:
    case 5:
    case 6: timer_step(world, instance); break;
    default: count_rows(world, instance, state, ns);
    }
}

/* Sometimes the disk is full in the middle: then nothing counts as sealed, and the next try brings
 * everything again. */
static void seal_all(struct world *world)
{
    bool full = dice(world, 5) == 0;
    struct mr_error err;

    if (full) cut(&world->archive, 0);
    for (uint32_t i = 0; i < world->instances; i++) {
        uint32_t before = world->archive.count;

        if (dice(world, 2) == 0) {
            enum mr_status st;

            world->archive.fail_at = before + dice(world, 30);
            st = mr_store_seal(world->stores[i], full, save, &world->archive, &err);
            world->archive.fail_at = UINT32_MAX;
            if (st == MR_OK) continue;
            MR_EXPECT_EQ_INT(st, MR_E_NO_SPACE);
            cut(&world->archive, before);
        }
        MR_EXPECT_OK(mr_store_seal(world->stores[i], full, save, &world->archive, &err), &err);
    }
}

static enum mr_status refuse(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    (void)self;
    return mr_error_set(err, MR_E_CORRUPT, "kind %d, state %s", (int)entry->kind,
                        entry->state_name);
}

static void restore_all(struct world *world)
{
    struct mr_error err;

    close_stores(world);
    open_stores(world, 1 + dice(world, INSTANCES_MAX));
    for (uint32_t n = 0; n < world->archive.count; n++) {
        for (uint32_t i = 0; i < world->instances; i++) {
            MR_EXPECT_OK(mr_store_restore(world->stores[i], &world->archive.entries[n].entry,
                                          group_border(world, i), group_border(world, i + 1), &err),
                         &err);
        }
    }
    /* What was restored is not a change. */
    for (uint32_t i = 0; i < world->instances; i++) {
        MR_EXPECT_OK(mr_store_seal(world->stores[i], false, refuse, NULL, &err), &err);
    }
}

/* ---- comparing ---- */

static void expect_slot(struct world *world, struct mr_table *table, uint32_t state, uint32_t id,
                        uint64_t count)
{
    uint32_t slot = MR_SLOT_NONE;
    char text[400];

    rig_keys(&world->rig, &id, 1);
    if (table != NULL) mr_table_lookup(table, &world->rig.keys, NULL, 1, &slot);
    MR_EXPECT_EQ_INT(slot != MR_SLOT_NONE, count > 0);
    if (count == 0) return;
    MR_EXPECT_EQ_UINT(*(uint64_t *)mr_table_slot(table, slot), count);
    if (state == 0) {
        const struct note *note = mr_table_slot(table, slot);

        MR_EXPECT_EQ_UINT(note->text.size_bytes, note_text(count, text));
        if (note->text.size_bytes > 0) {
            MR_EXPECT_EQ_BYTES(note->text.data, text, note->text.size_bytes);
        }
    }
}

static void expect_model(struct world *world)
{
    for (uint32_t i = 0; i < world->instances; i++) {
        uint64_t keys = 0, timers = 0;
        int64_t next = MR_TIME_MAX;

        for (uint32_t id = 0; id < id_limit(world); id++) {
            if (!owns(world, i, id)) continue;
            for (uint32_t at = 0; at < STATES * SPACES; at++) {
                uint32_t state = at / SPACES, ns = at % SPACES;
                uint64_t count = world->model.counts[state][ns][id];

                expect_slot(world, mr_store_find(world->stores[i], state, ns), state, id, count);
                keys += count > 0;
            }
            timers += world->model.timers[id] != MR_TIME_MAX;
            next = MR_MIN(next, world->model.timers[id]);
        }
        MR_EXPECT_EQ_UINT(mr_store_key_count(world->stores[i]), keys);
        MR_EXPECT_EQ_UINT(mr_timers_count(mr_store_timers(world->stores[i])), timers);
        MR_EXPECT_EQ_INT(mr_timers_next(mr_store_timers(world->stores[i]), MR_EVENT_TIME), next);
        rig_check(world->stores[i]);
    }
}

static void random_life(enum rig_shape shape, uint64_t seed)
{
    static struct world world;

    world_init(&world, shape, seed);
    open_stores(&world, 1 + dice(&world, INSTANCES_MAX));
    for (int epoch = 0; epoch < 25; epoch++) {
        uint32_t steps = dice(&world, 40);

        while (steps-- > 0) random_step(&world);
        seal_all(&world);
        if (dice(&world, 3) == 0) restore_all(&world);
        expect_model(&world);
    }
    close_stores(&world);
    cut(&world.archive, 0);
}

MR_TEST(store_seal, what_is_sealed_and_restored_into_any_number_of_instances_is_the_same_state)
{
    for (enum rig_shape shape = RIG_INT; shape < RIG_SHAPES; shape++) {
        for (uint64_t seed = 1; seed <= 4; seed++) random_life(shape, seed);
    }
}

/* ---- one by one ---- */

static struct world small_world;

static struct mr_table *small_table(void)
{
    world_init(&small_world, RIG_INT, 1);
    open_stores(&small_world, 1);
    return mr_store_table(small_world.stores[0], 1, 0);
}

static void small_end(void)
{
    close_stores(&small_world);
    cut(&small_world.archive, 0);
}

static uint32_t put(struct mr_table *table, uint32_t id)
{
    uint32_t slot, done;

    rig_keys(&small_world.rig, &id, 1);
    MR_EXPECT_EQ_INT(mr_table_prepare(table, &small_world.rig.keys, NULL, 1, &slot, &done),
                     MR_PREPARE_READY);
    return slot;
}

/* The kinds of the entries of the next seal, as text. */
static const char *seal_kinds(bool full)
{
    static char kinds[64];
    static const char letters[] = "PRDSCV";

    cut(&small_world.archive, 0);
    MR_EXPECT_OK(mr_store_seal(small_world.stores[0], full, save, &small_world.archive, NULL),
                 NULL);
    for (uint32_t i = 0; i < small_world.archive.count; i++) {
        kinds[i] = letters[small_world.archive.entries[i].entry.kind];
    }
    kinds[small_world.archive.count] = '\0';
    return kinds;
}

MR_TEST(store_seal, an_incremental_seal_holds_what_changed_and_nothing_else)
{
    struct mr_table *table = small_table();
    uint32_t a = put(table, 1), b = put(table, 2);

    MR_EXPECT_EQ_STR(seal_kinds(false), "PP");
    MR_EXPECT_EQ_STR(seal_kinds(false), "");
    mr_table_touch(table, b);
    MR_EXPECT_EQ_STR(seal_kinds(false), "P");
    MR_EXPECT_EQ_STR(seal_kinds(true), "PP");
    mr_table_remove(table, a);
    mr_table_remove(table, put(table, 3)); /* came and went unseen: nothing to tell */
    MR_EXPECT_EQ_STR(seal_kinds(false), "R");
    MR_EXPECT_EQ_STR(seal_kinds(false), "");
    mr_table_remove(table, b);
    put(table, 2); /* away and back: both are told, in this order */
    mr_table_remove(table, put(table, 2));
    put(table, 2);
    MR_EXPECT_EQ_STR(seal_kinds(false), "RP");
    small_end();
}

MR_TEST(store_seal, entries_come_as_drops_removals_puts_timers_and_values)
{
    struct mr_table *table = small_table();
    struct mr_store *store = small_world.stores[0];
    struct mr_timer timer = {.time_us = 5, .hold_us = MR_TIME_MAX, .key = {"k", 1}};
    uint32_t a = put(table, 1);

    (void)put(mr_store_table(store, 1, 7), 1);
    MR_EXPECT(mr_timers_set(mr_store_timers(store), &timer));
    MR_EXPECT_OK(mr_store_value_set(store, "v", "1", 1, NULL), NULL);
    MR_EXPECT_EQ_STR(seal_kinds(false), "PPSV");
    MR_EXPECT_OK(mr_store_value_set(store, "v", "2", 1, NULL), NULL);
    mr_timers_clear(mr_store_timers(store), &timer);
    timer.tag = 1;
    MR_EXPECT(mr_timers_set(mr_store_timers(store), &timer));
    put(table, 9);
    mr_table_remove(table, a);
    mr_store_drop(store, mr_store_find(store, 1, 7));
    (void)put(mr_store_table(store, 1, 7), 2); /* anew in the same epoch */
    MR_EXPECT_EQ_STR(seal_kinds(false), "DRPPCSV");
    MR_EXPECT_EQ_STR(seal_kinds(false), "");
    mr_store_drop(store, mr_store_find(store, 1, 7));
    MR_EXPECT_EQ_STR(seal_kinds(true), "PSV");
    MR_EXPECT_EQ_STR(seal_kinds(false), "");
    small_end();
}

MR_TEST(store_seal, a_table_that_no_seal_has_seen_is_dropped_without_an_entry)
{
    struct mr_store *store;

    (void)small_table();
    store = small_world.stores[0];
    (void)put(mr_store_table(store, 1, 3), 1);
    mr_store_drop(store, mr_store_find(store, 1, 3));
    MR_EXPECT_EQ_STR(seal_kinds(false), "");
    small_end();
}

/* The file of a seal depends on what happened, not on where memory lies: run twice, compare. */
MR_TEST(store_seal, the_same_steps_give_the_same_entries_byte_for_byte)
{
    static struct world world;
    uint64_t hashes[2];

    for (int run = 0; run < 2; run++) {
        char *shift = malloc((size_t)run * 1000 + 1);

        world_init(&world, RIG_MIXED, 99);
        open_stores(&world, 2);
        for (int n = 0; n < 200; n++) random_step(&world);
        seal_all(&world);
        hashes[run] = world.archive.count;
        for (uint32_t i = 0; i < world.archive.count; i++) {
            const struct mr_entry *entry = &world.archive.entries[i].entry;

            hashes[run] =
                mr_hash_combine(hashes[run], mr_hash_bytes(entry->key.data, entry->key.size_bytes));
            hashes[run] = mr_hash_combine(
                hashes[run], mr_hash_bytes(entry->value.data, entry->value.size_bytes));
        }
        close_stores(&world);
        cut(&world.archive, 0);
        free(shift);
    }
    MR_EXPECT_EQ_UINT(hashes[0], hashes[1]);
}

MR_TEST(store_seal, a_store_that_does_not_track_seals_only_in_full)
{
    struct mr_store *store = rig_store(RIG_INT, false, 0, 0);
    struct mr_error err;

    small_world.archive.count = 0;
    small_world.archive.fail_at = UINT32_MAX;
    small_world.rig.shape = RIG_INT;
    MR_EXPECT_OK(mr_store_declare(store, 0, "plain", &plain_ops, NULL), NULL);
    mr_table_remove(mr_store_table(store, 0, 0), put(mr_store_table(store, 0, 0), 1));
    (void)put(mr_store_table(store, 0, 0), 2);
    MR_EXPECT_STATUS(mr_store_seal(store, false, save, &small_world.archive, &err), MR_E_INVALID);
    MR_EXPECT_CONTAINS(err.text, "full");
    for (int n = 0; n < 2; n++) {
        cut(&small_world.archive, 0);
        MR_EXPECT_OK(mr_store_seal(store, true, save, &small_world.archive, &err), &err);
        MR_EXPECT_EQ_UINT(small_world.archive.count, 1);
    }
    rig_check(store);
    mr_store_destroy(store);
    cut(&small_world.archive, 0);
}

/* A timer of a whole namespace has no key: every instance that takes over a part gets it, and one
 * instance's clearing does not take it from the others. */
MR_TEST(store_seal, timers_without_a_key_go_to_all_and_are_cleared_by_the_whole_only)
{
    struct mr_timer timer = {.time_us = 5, .hold_us = MR_TIME_MAX, .ns = 3};
    struct mr_store *half, *whole;
    struct mr_entry clear;

    (void)small_table();
    MR_EXPECT(mr_timers_set(mr_store_timers(small_world.stores[0]), &timer));
    MR_EXPECT_EQ_STR(seal_kinds(false), "S");
    half = rig_store(RIG_INT, true, 32, 64);
    MR_EXPECT_OK(mr_store_restore(half, &small_world.archive.entries[0].entry, 32, 64, NULL), NULL);
    MR_EXPECT_EQ_UINT(mr_timers_count(mr_store_timers(half)), 1);
    whole = rig_store(RIG_INT, true, 0, 0);
    clear = small_world.archive.entries[0].entry;
    MR_EXPECT_OK(mr_store_restore(whole, &clear, 0, 64, NULL), NULL);
    clear.kind = MR_ENTRY_TIMER_CLEAR;
    clear.group_first = 0;
    clear.group_end = 32;
    MR_EXPECT_OK(mr_store_restore(whole, &clear, 0, 64, NULL), NULL);
    MR_EXPECT_EQ_UINT(mr_timers_count(mr_store_timers(whole)), 1);
    clear.group_end = 64;
    MR_EXPECT_OK(mr_store_restore(whole, &clear, 0, 64, NULL), NULL);
    MR_EXPECT_EQ_UINT(mr_timers_count(mr_store_timers(whole)), 0);
    mr_store_destroy(half);
    mr_store_destroy(whole);
    small_end();
}

MR_TEST(store_seal, damaged_and_unknown_entries_are_refused_with_the_reason)
{
    struct mr_store *store;
    struct mr_entry entry;
    struct mr_error err;

    (void)put(small_table(), 1);
    MR_EXPECT_EQ_STR(seal_kinds(false), "P");
    store = rig_store(RIG_INT, true, 0, 0);
    MR_EXPECT_OK(mr_store_declare(store, 0, "notes", &note_ops, NULL), NULL);
    entry = small_world.archive.entries[0].entry;
    MR_EXPECT_STATUS(mr_store_restore(store, &entry, 0, 64, &err), MR_E_NOT_FOUND);
    MR_EXPECT_CONTAINS(err.text, "'plain'");
    MR_EXPECT_CONTAINS(err.text, "'rig'");
    entry.state_name = "notes"; /* its value is longer */
    MR_EXPECT_STATUS(mr_store_restore(store, &entry, 0, 64, &err), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(err.text, "cut short");
    MR_EXPECT_EQ_UINT(mr_store_key_count(store), 0);
    MR_EXPECT_OK(mr_store_declare(store, 1, "plain", &plain_ops, NULL), NULL);
    entry.state_name = "plain";
    entry.value.size_bytes = 7;
    MR_EXPECT_STATUS(mr_store_restore(store, &entry, 0, 64, &err), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(err.text, "7 bytes");
    MR_EXPECT_EQ_UINT(mr_store_key_count(store), 0);
    entry.value.size_bytes = 8;
    entry.key_group ^= 1;
    MR_EXPECT_STATUS(mr_store_restore(store, &entry, 0, 64, &err), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(err.text, "key groups");
    entry.kind = MR_ENTRY_TIMER_SET;
    MR_EXPECT_STATUS(mr_store_restore(store, &entry, 0, 64, &err), MR_E_CORRUPT);
    MR_EXPECT_CONTAINS(err.text, "timer");
    entry.kind = (enum mr_entry_kind)77;
    MR_EXPECT_STATUS(mr_store_restore(store, &entry, 0, 64, &err), MR_E_CORRUPT);
    rig_check(store);
    mr_store_destroy(store);
    small_end();
}

/* Whatever allocation fails in a seal or a restore: an error, nothing lost, no leak. */
MR_TEST(store_seal, when_memory_is_short_then_seal_and_restore_can_be_repeated)
{
    static struct world world;
    struct mr_heap *heap = mr_test_heap();

    world_init(&world, RIG_MIXED, 5);
    open_stores(&world, 1);
    for (int n = 0; n < 12; n++) random_step(&world);
    MR_EXPECT_OK(mr_store_seal(world.stores[0], true, save, &world.archive, NULL), NULL);
    MR_EXPECT(world.archive.count > 50);
    close_stores(&world);
    MR_TORTURE(heap) {
        static struct archive again;
        struct mr_store *store = rig_store(RIG_MIXED, true, 0, 0);
        bool ok = store != NULL && mr_store_declare(store, 0, "notes", &note_ops, NULL) == MR_OK &&
                  mr_store_declare(store, 1, "plain", &plain_ops, NULL) == MR_OK;
        struct mr_error err = {MR_OK, ""};

        MR_EXPECT(ok || mr_test_refused(heap));
        again.fail_at = UINT32_MAX;
        for (uint32_t i = 0; ok && i < world.archive.count; i++) {
            const struct mr_entry *entry = &world.archive.entries[i].entry;
            enum mr_status st = mr_store_restore(store, entry, 0, RIG_GROUPS, &err);

            if (st == MR_OK) continue;
            MR_EXPECT_EQ_INT(st, MR_E_NOMEM);
            MR_EXPECT(mr_test_refused(heap));
            rig_check(store);
            MR_EXPECT_OK(mr_store_restore(store, entry, 0, RIG_GROUPS, &err), &err);
        }
        if (ok && mr_store_seal(store, true, save, &again, &err) != MR_OK) {
            MR_EXPECT_EQ_INT(err.status, MR_E_NOMEM);
            cut(&again, 0);
            MR_EXPECT_OK(mr_store_seal(store, true, save, &again, &err), &err);
        }
        if (ok) MR_EXPECT_EQ_UINT(again.count, world.archive.count);
        cut(&again, 0);
        mr_store_destroy(store);
    }
    cut(&world.archive, 0);
}
