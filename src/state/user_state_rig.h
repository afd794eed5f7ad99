/* user_state_rig.h - random lives of a function's state beside plain arrays.
 *
 * A world has one to three instances of all kinds of state, and the same state as arrays without
 * any cleverness. A step does something to both; expect_world compares all of it.
 *
 * Owns:    a world: instances and saved entries, given back by close_world.
 * Thread:  confined.
 * Fails:   fails the test.
 * Cost:    none that matters.
 */
#ifndef MR_STATE_USER_STATE_RIG_H
#define MR_STATE_USER_STATE_RIG_H

#include "base/prng.h"
#include "state/state_rig.h"
#include "state/user_state_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define IDS       14u
#define SPACES    2u
#define ELEMENTS  96u
#define INSTANCES 3u

enum { VALUE, LIST, MAP, SET, ORDERED, SUM, OPERATOR, SHARED, STATES };

MR_UNUSED static const struct mr_field pair[] = {{.name = "number", .type = MR_INT64},
                                                 {.name = "text", .type = MR_UTF8}};
MR_UNUSED static const struct mr_field word[] = {{.name = "word", .type = MR_UTF8},
                                                 {.name = "tiny", .type = MR_INT8}};

MR_UNUSED static void sum_create(void *user, void *state)
{
    int64_t first = 1000;

    (void)user;
    memcpy(state, &first, sizeof first);
}

MR_UNUSED static enum mr_status sum_add(void *user, void *state, const struct mr_row *row)
{
    (void)user, (void)state, (void)row;
    return MR_OK;
}

MR_UNUSED static enum mr_status sum_result(void *user, const void *state, struct mr_emitter *out)
{
    (void)user, (void)state, (void)out;
    return MR_OK;
}

MR_UNUSED static const struct mr_aggregate_functions sum_functions = {.size = sizeof sum_functions,
                                                                      .state_bytes = 24,
                                                                      .create = sum_create,
                                                                      .add = sum_add,
                                                                      .result = sum_result};

MR_UNUSED static const struct mr_state declared[STATES] = {
    [VALUE] = {"value", MR_STATE_VALUE, pair, 2, NULL, 0, MR_TTL_PROCESSING_TIME, 50, NULL, NULL},
    [LIST] = {"list", MR_STATE_LIST, pair, 2, NULL, 0, MR_TTL_PROCESSING_TIME, 90, NULL, NULL},
    [MAP] = {"map", MR_STATE_MAP, pair, 2, word, 2, MR_TTL_EVENT_TIME, 70, NULL, NULL},
    [SET] = {"set", MR_STATE_SET, NULL, 0, word, 2, MR_TTL_NONE, 0, NULL, NULL},
    [ORDERED] = {"ordered", MR_STATE_ORDERED_LIST, pair, 2, NULL, 0, MR_TTL_NONE, 0, NULL, NULL},
    [SUM] = {"sum", MR_STATE_AGGREGATING, pair, 1, NULL, 0, MR_TTL_NONE, 0, &sum_functions, NULL},
    [OPERATOR] = {"operator", MR_STATE_OPERATOR_LIST, pair, 2, NULL, 0, MR_TTL_NONE, 0, NULL, NULL},
    [SHARED] = {"shared", MR_STATE_BROADCAST, pair, 2, word, 2, MR_TTL_NONE, 0, NULL, NULL}};

/* ---- the model ---- */

struct element {
    uint32_t key;
    int64_t time, number, stamp;
};
struct collection {
    struct element all[ELEMENTS];
    uint32_t count;
};
struct model { /* of one key and namespace */
    bool has_value, has_sum;
    struct element value;
    int64_t sum;
    struct collection list, map, set, ordered;
};

struct saved {
    struct mr_entry entry;
    char *key, *value;
    char name[32];
};

struct world {
    struct rig rig;
    struct mr_prng prng;
    struct model models[IDS][SPACES];
    struct collection shared;
    int64_t operator_sum;
    uint32_t operator_count;
    struct mr_user_states *instances[INSTANCES];
    uint32_t instance_count;
    uint32_t group[IDS];
    int64_t now, event_now;
    struct saved *saved;
    uint32_t saved_count, saved_room;
    const struct mr_state *states;
};

MR_UNUSED static uint32_t dice(struct world *world, uint32_t bound)
{
    return (uint32_t)mr_prng_below(&world->prng, bound);
}

MR_UNUSED static void drop_at(struct collection *collection, uint32_t at)
{
    collection->count--;
    memmove(&collection->all[at], &collection->all[at + 1],
            (collection->count - at) * sizeof collection->all[0]);
}

MR_UNUSED static void expire(struct collection *collection, int64_t until)
{
    for (uint32_t i = collection->count; i-- > 0;) {
        if (collection->all[i].stamp <= until) drop_at(collection, i);
    }
}

MR_UNUSED static void expire_all(struct world *world)
{
    for (uint32_t id = 0; id < IDS; id++) {
        for (uint32_t ns = 0; ns < SPACES; ns++) {
            struct model *model = &world->models[id][ns];

            if (model->value.stamp + 50 <= world->now) model->has_value = false;
            expire(&model->list, world->now - 90);
            expire(&model->map, world->event_now - 70);
        }
    }
}

MR_UNUSED static uint32_t find_key(const struct collection *collection, uint32_t key)
{
    for (uint32_t i = 0; i < collection->count; i++) {
        if (collection->all[i].key == key) return i;
    }
    return UINT32_MAX;
}

/* ---- texts and keys from numbers ---- */

MR_UNUSED static struct mr_bytes text_of(int64_t number, char *out)
{
    int size = number % 7 == 0 ? 0 : sprintf(out, "text %lld", (long long)number);

    if (number % 5 == 1) {
        memset(out + size, 'z', 40);
        size += 40;
    }
    return (struct mr_bytes){out, (size_t)size};
}

MR_UNUSED static void datum_key(uint32_t key, char *room, struct mr_datum out[2])
{
    int size = sprintf(room, key % 3 == 0 ? "k%u" : "a rather long key number %u", key);

    out[0] = mr_datum_bytes(room, (size_t)size);
    out[1] = mr_datum_int64((int64_t)key - 4);
    if (key == 5) out[0].kind = MR_DATUM_NULL;
}

/* Writes what the model's element says: null where the number is divisible by 11. */
MR_UNUSED static void fill(struct mr_user_states *states, struct mr_record *record, int64_t number)
{
    struct mr_datum value = mr_datum_int64(number);
    char room[100];

    if (number % 11 == 0) value.kind = MR_DATUM_NULL;
    mr_user_set(states, record, 0, &value);
    value.kind = MR_DATUM_BYTES;
    value.u.bytes = text_of(number, room);
    mr_user_set(states, record, 1, &value);
}

MR_UNUSED static void expect_record(struct mr_user_states *states, const struct mr_record *record,
                                    int64_t number)
{
    struct mr_datum value = mr_user_get(states, record, 0);
    char room[100];
    struct mr_bytes text = text_of(number, room);

    MR_EXPECT(record->data != NULL);
    if (number % 11 == 0) {
        MR_EXPECT_EQ_INT(value.kind, MR_DATUM_NULL);
    } else {
        MR_EXPECT_EQ_INT(value.u.int64, number);
    }
    value = mr_user_get(states, record, 1);
    MR_EXPECT_EQ_INT(value.kind, MR_DATUM_BYTES);
    MR_EXPECT_EQ_UINT(value.u.bytes.size_bytes, text.size_bytes);
    MR_EXPECT(text.size_bytes == 0 || memcmp(value.u.bytes.data, text.data, text.size_bytes) == 0);
}

/* ---- instances ---- */

MR_UNUSED static int64_t world_now(void *self)
{
    return ((struct world *)self)->now;
}

MR_UNUSED static enum mr_status open_instance(struct world *world, struct mr_heap *heap,
                                              uint32_t instance, uint32_t count,
                                              struct mr_user_states **out, struct mr_error *err)
{
    uint32_t key_count;
    const struct mr_field *keys = rig_fields(world->rig.shape, &key_count);
    struct mr_user_states_options options = {
        .operator_id = "it",
        .key_group_count = RIG_GROUPS,
        .group_first = (RIG_GROUPS * instance + count - 1) / count,
        .group_end = (RIG_GROUPS * (instance + 1) + count - 1) / count,
        .keys = keys,
        .key_count = key_count,
        .states = world->states,
        .state_count = STATES,
        .track_changes = true,
        .now = world_now,
        .now_self = world};

    return mr_user_states_create(heap, &options, out, err);
}

MR_UNUSED static void open_world(struct world *world, enum rig_shape shape, uint64_t seed)
{
    struct mr_error err;

    memset(world, 0, sizeof *world);
    world->rig.shape = shape;
    world->states = declared;
    world->now = 1000;
    world->event_now = 500;
    mr_prng_init(&world->prng, seed, 7);
    for (uint32_t id = 0; id < IDS; id++) {
        rig_keys(&world->rig, &id, 1);
        world->group[id] = mr_key_group(world->rig.hashes[0], RIG_GROUPS);
    }
    world->instance_count = 1;
    MR_EXPECT_OK(open_instance(world, mr_test_heap(), 0, 1, &world->instances[0], &err), &err);
}

MR_UNUSED static void forget_saved(struct world *world)
{
    for (uint32_t i = 0; i < world->saved_count; i++) {
        free(world->saved[i].key);
        free(world->saved[i].value);
    }
    world->saved_count = 0;
}

MR_UNUSED static void close_world(struct world *world)
{
    for (uint32_t i = 0; i < world->instance_count; i++) {
        mr_user_states_destroy(world->instances[i]);
    }
    forget_saved(world);
    free(world->saved);
}

MR_UNUSED static struct mr_user_states *at_key(struct world *world, uint32_t id, uint32_t ns)
{
    uint32_t instance = mr_group_instance(world->group[id], RIG_GROUPS, world->instance_count);
    struct mr_user_states *states = world->instances[instance];
    uint32_t ids[3] = {(id + 3) % IDS, id, (id + 1) % IDS};

    rig_keys(&world->rig, ids, 3);
    mr_user_states_batch(states, &world->rig.keys);
    mr_user_states_new_call(states);
    mr_user_states_at_row(states, 1);
    mr_user_states_set_namespace(states, ns == 0 ? 0 : -77);
    mr_user_states_set_event_time(states, world->event_now - 10, world->event_now);
    return states;
}

/* ---- comparing ---- */

MR_UNUSED static void expect_collection(struct mr_user_states *states, uint32_t state,
                                        const struct collection *expected)
{
    struct mr_iterator it = mr_user_iterate(states, state);
    struct mr_record record;
    uint32_t at = 0;

    MR_EXPECT_EQ_UINT(mr_user_count(states, state), expected->count);
    while (mr_user_next(states, &it, &record)) {
        const struct element *element = &expected->all[at];

        MR_EXPECT(at < expected->count);
        if (state != SET) expect_record(states, &record, element->number);
        if (state == ORDERED) MR_EXPECT_EQ_INT(mr_user_time(states, &record), element->time);
        if (state == MAP || state == SET || state == SHARED) {
            MR_EXPECT_EQ_INT(mr_user_key(states, &record, 1).u.int64, (int64_t)element->key - 4);
        }
        at++;
    }
    MR_EXPECT_EQ_UINT(at, expected->count);
}

MR_UNUSED static void expect_key(struct world *world, uint32_t id, uint32_t ns)
{
    struct model *model = &world->models[id][ns];
    struct mr_user_states *states = at_key(world, id, ns);
    struct mr_record record = mr_user_value(states, VALUE, false);
    int64_t *sum = mr_user_accumulator(states, SUM, false);

    MR_EXPECT_EQ_INT(record.data != NULL, model->has_value);
    if (model->has_value) expect_record(states, &record, model->value.number);
    MR_EXPECT_EQ_INT(sum != NULL, model->has_sum);
    if (sum != NULL) MR_EXPECT_EQ_INT(*sum, model->sum);
    expect_collection(states, LIST, &model->list);
    expect_collection(states, MAP, &model->map);
    expect_collection(states, SET, &model->set);
    expect_collection(states, ORDERED, &model->ordered);
}

MR_UNUSED static void expect_world(struct world *world)
{
    struct mr_error err = {MR_OK, ""};
    int64_t sum = 0;
    uint64_t count = 0;

    expire_all(world);
    for (uint32_t id = 0; id < IDS; id++) {
        for (uint32_t ns = 0; ns < SPACES; ns++) expect_key(world, id, ns);
    }
    for (uint32_t i = 0; i < world->instance_count; i++) {
        struct mr_user_states *states = world->instances[i];
        struct mr_iterator it;
        struct mr_record record;

        mr_user_states_at_none(states);
        expect_collection(states, SHARED, &world->shared);
        it = mr_user_iterate(states, OPERATOR);
        while (mr_user_next(states, &it, &record)) sum += mr_user_get(states, &record, 0).u.int64;
        count += mr_user_count(states, OPERATOR);
        mr_user_states_check(states);
        MR_EXPECT_OK(mr_user_states_failure(states, &err), &err);
    }
    MR_EXPECT_EQ_UINT(count, world->operator_count);
    MR_EXPECT_EQ_INT(sum, world->operator_sum);
}

/* ---- steps ---- */

MR_UNUSED static int64_t number_of(struct world *world)
{
    return (int64_t)dice(world, 10000) + 1;
}

MR_UNUSED static void step_value(struct world *world, struct mr_user_states *states,
                                 struct model *model)
{
    struct mr_record record;
    int64_t *sum;

    switch (dice(world, 5)) {
    case 0:
        mr_user_clear(states, VALUE);
        model->has_value = false;
        return;
    case 1:
        sum = mr_user_accumulator(states, SUM, true);
        if (!model->has_sum) model->sum = 1000;
        model->has_sum = true;
        *sum += 3;
        model->sum += 3;
        return;
    case 2:
        mr_user_clear(states, SUM);
        model->has_sum = false;
        return;
    default:
        record = mr_user_value(states, VALUE, true);
        model->has_value = true;
        model->value = (struct element){.number = number_of(world), .stamp = world->now};
        fill(states, &record, model->value.number);
    }
}

MR_UNUSED static void append_one(struct world *world, struct mr_user_states *states,
                                 struct model *model)
{
    struct element element = {.number = number_of(world), .stamp = world->now};
    struct mr_record record = mr_user_append(states, LIST);

    fill(states, &record, element.number);
    model->list.all[model->list.count++] = element;
}

MR_UNUSED static void step_list(struct world *world, struct mr_user_states *states,
                                struct model *model)
{
    if (dice(world, 9) == 0) {
        mr_user_clear(states, LIST);
        model->list.count = 0;
    } else if (model->list.count < ELEMENTS) {
        append_one(world, states, model);
    }
}

MR_UNUSED static void step_map(struct world *world, struct mr_user_states *states,
                               struct model *model)
{
    struct element element = {
        .key = dice(world, 9), .number = number_of(world), .stamp = world->event_now - 10};
    uint32_t at = find_key(&model->map, element.key);
    struct mr_record record;
    struct mr_datum key[2];
    char room[64];
    bool is_new;

    datum_key(element.key, room, key);
    if (dice(world, 3) == 0) {
        MR_EXPECT_EQ_INT(mr_user_remove(states, MAP, false, key), at != UINT32_MAX);
        if (at != UINT32_MAX) drop_at(&model->map, at);
        return;
    }
    record = mr_user_element(states, MAP, false, key, MR_USER_FIND, &is_new);
    MR_EXPECT_EQ_INT(record.data != NULL, at != UINT32_MAX);
    record = mr_user_element(states, MAP, false, key, MR_USER_MAKE, &is_new);
    MR_EXPECT_EQ_INT(is_new, at == UINT32_MAX);
    if (is_new) MR_EXPECT(mr_user_is_null(states, &record, 0));
    fill(states, &record, element.number);
    if (at == UINT32_MAX) at = model->map.count++;
    model->map.all[at] = element;
}

MR_UNUSED static void step_set(struct world *world, struct mr_user_states *states,
                               struct model *model)
{
    struct element element = {.key = dice(world, 9)};
    uint32_t at = find_key(&model->set, element.key);
    struct mr_datum key[2];
    char room[64];
    bool is_new;

    datum_key(element.key, room, key);
    if (dice(world, 3) == 0) {
        MR_EXPECT_EQ_INT(mr_user_remove(states, SET, true, key), at != UINT32_MAX);
        if (at != UINT32_MAX) drop_at(&model->set, at);
        return;
    }
    (void)mr_user_element(states, SET, true, key, MR_USER_MAKE, &is_new);
    MR_EXPECT_EQ_INT(is_new, at == UINT32_MAX);
    if (at == UINT32_MAX) model->set.all[model->set.count++] = element;
}

MR_UNUSED static void step_ordered(struct world *world, struct mr_user_states *states,
                                   struct model *model)
{
    struct collection *list = &model->ordered;
    struct element element = {.time = (int64_t)dice(world, 50) - 20, .number = number_of(world)};
    struct mr_record record;
    uint32_t at = 0, removed = 0;

    if (dice(world, 5) == 0) {
        for (uint32_t i = list->count; i-- > 0;) {
            if (list->all[i].time < element.time || list->all[i].time >= element.time + 9) continue;
            drop_at(list, i);
            removed++;
        }
        MR_EXPECT_EQ_UINT(mr_user_remove_range(states, ORDERED, element.time, element.time + 9),
                          removed);
        return;
    }
    if (list->count == ELEMENTS) return;
    while (at < list->count && list->all[at].time <= element.time) at++;
    memmove(&list->all[at + 1], &list->all[at], (list->count - at) * sizeof list->all[0]);
    list->all[at] = element;
    list->count++;
    record = mr_user_add_at(states, ORDERED, element.time);
    fill(states, &record, element.number);
}

/* Removes some of what it goes through, and adds meanwhile. */
MR_UNUSED static void step_iterate(struct world *world, struct mr_user_states *states,
                                   struct model *model)
{
    struct mr_iterator it = mr_user_iterate(states, LIST);
    uint32_t count = model->list.count, at = 0;
    struct mr_record record;

    for (uint32_t seen = 0; mr_user_next(states, &it, &record); seen++) {
        MR_EXPECT(seen < count);
        expect_record(states, &record, model->list.all[at].number);
        if (dice(world, 2) == 0) {
            mr_user_iterator_remove(states, &it);
            drop_at(&model->list, at);
        } else {
            at++;
        }
        if (dice(world, 8) == 0) append_one(world, states, model);
    }
}

MR_UNUSED static void step_common(struct world *world)
{
    struct element element = {.key = dice(world, 9), .number = number_of(world)};
    uint32_t at = find_key(&world->shared, element.key);
    bool remove = dice(world, 3) == 0;
    uint32_t chosen = dice(world, world->instance_count);
    struct mr_user_states *one = world->instances[chosen];
    struct mr_record record;
    struct mr_datum key[2];
    char room[64];
    bool is_new;

    datum_key(element.key, room, key);
    for (uint32_t i = 0; i < world->instance_count; i++) {
        struct mr_user_states *states = world->instances[i];

        mr_user_states_at_none(states);
        mr_user_states_allow_broadcast(states, true);
        if (remove) {
            (void)mr_user_remove(states, SHARED, false, key);
        } else {
            record = mr_user_element(states, SHARED, false, key, MR_USER_MAKE, &is_new);
            fill(states, &record, element.number);
        }
        mr_user_states_allow_broadcast(states, false);
    }
    if (remove && at != UINT32_MAX) drop_at(&world->shared, at);
    if (!remove) world->shared.all[at == UINT32_MAX ? world->shared.count++ : at] = element;
    if (world->operator_count < 60) {
        record = mr_user_append(one, OPERATOR);
        fill(one, &record, element.number);
        world->operator_count++;
        if (element.number % 11 != 0) world->operator_sum += element.number;
    }
}

MR_UNUSED static void step(struct world *world)
{
    uint32_t id = dice(world, IDS), ns = dice(world, SPACES);
    struct model *model = &world->models[id][ns];
    struct mr_user_states *states;

    if (dice(world, 4) == 0) world->now += dice(world, 30);
    if (dice(world, 4) == 0) world->event_now += dice(world, 30);
    expire_all(world);
    states = at_key(world, id, ns);
    switch (dice(world, 9)) {
    case 0:
    case 1: step_value(world, states, model); return;
    case 2: step_list(world, states, model); return;
    case 3: step_map(world, states, model); return;
    case 4: step_set(world, states, model); return;
    case 5: step_ordered(world, states, model); return;
    case 6:
        if (model->list.count + 20 < ELEMENTS) step_iterate(world, states, model);
        return;
    case 7: step_common(world); return;
    default: mr_user_states_reclaim(states, dice(world, 40)); return;
    }
}

/* ---- seals ---- */

MR_UNUSED static char *copy_of(struct mr_bytes bytes)
{
    char *copy = malloc(bytes.size_bytes + 1);

    if (bytes.size_bytes > 0) memcpy(copy, bytes.data, bytes.size_bytes);
    return copy;
}

MR_UNUSED static enum mr_status save(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    struct world *world = self;
    struct saved *saved;

    (void)err;
    if (world->saved_count == world->saved_room) {
        world->saved_room = world->saved_room * 2 + 64;
        world->saved = realloc(world->saved, world->saved_room * sizeof *world->saved);
    }
    saved = &world->saved[world->saved_count++];
    saved->entry = *entry;
    saved->key = copy_of(entry->key);
    saved->value = copy_of(entry->value);
    (void)snprintf(saved->name, sizeof saved->name, "%s", entry->state_name);
    return MR_OK;
}

MR_UNUSED static void seal(struct world *world, bool full)
{
    struct mr_error err;

    if (full) forget_saved(world);
    for (uint32_t i = 0; i < world->instance_count; i++) {
        MR_EXPECT_OK(mr_user_states_seal(world->instances[i], full, save, world, &err), &err);
    }
}

MR_UNUSED static bool for_all(const struct mr_entry *entry)
{
    return entry->kind == MR_ENTRY_VALUE || entry->kind == MR_ENTRY_DROP;
}

MR_UNUSED static enum mr_status restore_into(struct world *world, struct mr_user_states *states,
                                             struct mr_error *err)
{
    for (uint32_t i = 0; i < world->saved_count; i++) {
        struct saved *saved = &world->saved[i];

        saved->entry.state_name = saved->name;
        saved->entry.key.data = saved->key;
        saved->entry.value.data = saved->value;
        if (!for_all(&saved->entry) && (saved->entry.key_group < states->options.group_first ||
                                        saved->entry.key_group >= states->options.group_end)) {
            continue;
        }
        MR_RET(mr_user_states_restore(states, &saved->entry, err));
    }
    return mr_user_states_restored(states, err);
}

MR_UNUSED static void restart(struct world *world, uint32_t instances)
{
    struct mr_error err;
    bool other = instances != world->instance_count;

    for (uint32_t i = 0; i < world->instance_count; i++) {
        mr_user_states_destroy(world->instances[i]);
    }
    world->instance_count = instances;
    for (uint32_t i = 0; i < instances; i++) {
        MR_EXPECT_OK(open_instance(world, mr_test_heap(), i, instances, &world->instances[i], &err),
                     &err);
        MR_EXPECT_OK(restore_into(world, world->instances[i], &err), &err);
    }
    expect_world(world);
    if (other) seal(world, true);
}

MR_UNUSED static void live(enum rig_shape shape, uint64_t seed, uint32_t steps)
{
    struct world *world = malloc(sizeof *world);

    open_world(world, shape, seed);
    for (uint32_t i = 0; i < steps; i++) {
        step(world);
        if (i % 23 == 0) expect_world(world);
        if (dice(world, 40) == 0) seal(world, dice(world, 10) == 0);
        if (dice(world, 120) != 0) continue;
        seal(world, false);
        restart(world, 1 + dice(world, INSTANCES));
    }
    expect_world(world);
    close_world(world);
    free(world);
}

MR_UNUSED static void sealed_world(struct world *world)
{
    open_world(world, RIG_INT, 3);
    for (uint32_t i = 0; i < 80; i++) step(world);
    seal(world, true);
}

#endif
