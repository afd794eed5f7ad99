/* log_rig.h - what the tests of the epoch log share: a small state that is a plain array, epochs
 * that change it at random, and a job that runs until its disk stops it.
 *
 * Owns:    none beyond its structs.
 * Thread:  confined.
 * Fails:   expectations.
 * Cost:    none that matters.
 */
#ifndef MR_STATE_LOG_RIG_H
#define MR_STATE_LOG_RIG_H

#include "fault_disk.h"
#include "mr_test.h"
#include "state/epoch_log_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define RIG_OPERATORS 2u
#define RIG_SPACES    3u
#define RIG_KEYS      12u
#define RIG_TIMERS    5u
#define RIG_EPOCHS    64u
#define RIG_GROUPS    24u /* key k is of group 2k; two instances share the groups */

/* The state: 0 is "not there". Knows nothing of logs. */
struct rig_state {
    uint64_t cells[RIG_OPERATORS][RIG_SPACES][RIG_KEYS];
    uint64_t timers[RIG_OPERATORS][RIG_TIMERS];
    uint64_t values[RIG_OPERATORS][2]; /* one per instance */
};

struct rig {
    struct fault_disk disk;
    struct mr_epoch_log *log;
    struct mr_prng prng;
    struct mr_epoch_log_options options;
    struct rig_state state;              /* while it runs */
    struct rig_state at_end[RIG_EPOCHS]; /* by epoch */
    uint64_t reported;                   /* last epoch known to be complete */
    uint64_t attempted;                  /* commit was called for it; its end is at_end[] */
    struct mr_compaction *compaction;
    bool compacts;
    bool small;         /* epochs have few entries */
    uint32_t compacted; /* compactions that ended well */
    struct mr_error err;
};

static inline uint32_t rig_instance(uint32_t key)
{
    return key < RIG_KEYS / 2 ? 0 : 1;
}

static inline const char *rig_operator(uint32_t op)
{
    return op == 0 ? "count" : "a-longer-name/of-an-operator";
}

/* ---- entries ---- */

/* A value of 8 to about 100 bytes that only its number makes. */
static inline size_t rig_value(uint64_t number, char out[256])
{
    size_t size = 8 + number * 7 % 97;

    memcpy(out, &number, 8);
    for (size_t i = 8; i < size; i++) out[i] = (char)(number + i);
    return size;
}

static inline uint64_t rig_value_back(struct mr_bytes value)
{
    char expected[256];
    uint64_t number;

    MR_EXPECT(value.size_bytes >= 8);
    memcpy(&number, value.data, 8);
    MR_EXPECT_EQ_UINT(value.size_bytes, rig_value(number, expected));
    MR_EXPECT(memcmp(value.data, expected, value.size_bytes) == 0);
    return number;
}

static inline void rig_entry(struct mr_entry *entry, enum mr_entry_kind kind, uint32_t key,
                             char key_bytes[8], int64_t ns)
{
    uint32_t instance = rig_instance(key);

    (void)snprintf(key_bytes, 8, "k%u", key);
    *entry = (struct mr_entry){.kind = kind,
                               .state_name = "agg",
                               .key_group = 2 * key,
                               .ns = ns,
                               .key = {key_bytes, strlen(key_bytes)},
                               .group_first = instance * RIG_GROUPS / 2,
                               .group_end = (instance + 1) * RIG_GROUPS / 2};
}

static inline int64_t rig_ns(uint32_t space)
{
    return ((int64_t)space - 1) * INT64_C(3600000000);
}

/* The key's bytes are not terminated. */
static inline uint32_t rig_key(struct mr_bytes key)
{
    uint32_t number = 0;

    for (size_t i = 1; i < key.size_bytes; i++)
        number = number * 10 + (uint32_t)(key.data[i] - '0');
    MR_EXPECT(number < RIG_KEYS || key.data[1] > '9');
    return number;
}

/* What recovery yields, applied in order. */
static inline enum mr_status rig_visit(void *self, const char *operator_id,
                                       const struct mr_entry *entry, struct mr_error *err)
{
    struct rig_state *state = self;
    uint32_t op = strcmp(operator_id, rig_operator(0)) == 0 ? 0 : 1;
    uint32_t space = (uint32_t)(entry->ns / INT64_C(3600000000) + 1);
    uint32_t key = rig_key(entry->key);

    (void)err;
    MR_EXPECT_EQ_STR(operator_id, rig_operator(op));
    switch (entry->kind) {
    case MR_ENTRY_PUT: state->cells[op][space][key] = rig_value_back(entry->value); break;
    case MR_ENTRY_REMOVE: state->cells[op][space][key] = 0; break;
    case MR_ENTRY_DROP:
        for (uint32_t k = 0; k < RIG_KEYS; k++) {
            if (2 * k >= entry->group_first && 2 * k < entry->group_end) {
                state->cells[op][space][k] = 0;
            }
        }
        break;
    case MR_ENTRY_TIMER_SET: memcpy(&state->timers[op][key], entry->value.data + 5, 8); break;
    case MR_ENTRY_TIMER_CLEAR: state->timers[op][key] = 0; break;
    case MR_ENTRY_VALUE:
        memcpy(&state->values[op][entry->group_first != 0], entry->value.data, 8);
        break;
    }
    return MR_OK;
}

static inline enum mr_status rig_add(struct rig *rig, uint32_t op, const struct mr_entry *entry)
{
    return mr_epoch_log_add(rig->log, rig_operator(op), entry, &rig->err);
}

static inline enum mr_status rig_put(struct rig *rig, uint32_t op, uint32_t space, uint32_t key,
                                     uint64_t number)
{
    struct mr_entry entry;
    char key_bytes[8], value[256];

    rig_entry(&entry, number == 0 ? MR_ENTRY_REMOVE : MR_ENTRY_PUT, key, key_bytes, rig_ns(space));
    if (number != 0) entry.value = (struct mr_bytes){value, rig_value(number, value)};
    rig->state.cells[op][space][key] = number;
    return rig_add(rig, op, &entry);
}

static inline enum mr_status rig_drop(struct rig *rig, uint32_t op, uint32_t space, uint32_t key)
{
    struct mr_entry entry;
    char key_bytes[8];

    rig_entry(&entry, MR_ENTRY_DROP, key, key_bytes, rig_ns(space));
    entry.key = (struct mr_bytes){NULL, 0};
    entry.key_group = 0;
    for (uint32_t k = 0; k < RIG_KEYS; k++) {
        if (rig_instance(k) == rig_instance(key)) rig->state.cells[op][space][k] = 0;
    }
    return rig_add(rig, op, &entry);
}

static inline enum mr_status rig_timer(struct rig *rig, uint32_t op, uint32_t timer, uint64_t time)
{
    struct mr_entry entry;
    char key_bytes[8], value[21] = {1};

    rig_entry(&entry, time == 0 ? MR_ENTRY_TIMER_CLEAR : MR_ENTRY_TIMER_SET, timer, key_bytes, 0);
    entry.state_name = "";
    memcpy(value + 5, &time, 8);
    entry.value = (struct mr_bytes){value, sizeof value};
    rig->state.timers[op][timer] = time;
    return rig_add(rig, op, &entry);
}

static inline enum mr_status rig_set(struct rig *rig, uint32_t op, uint32_t instance,
                                     uint64_t number)
{
    struct mr_entry entry;
    char key_bytes[8];

    rig_entry(&entry, MR_ENTRY_VALUE, instance * (RIG_KEYS - 1), key_bytes, 0);
    entry.state_name = "";
    entry.key_group = 0;
    entry.key = (struct mr_bytes){"watermark", 9};
    entry.value = (struct mr_bytes){(const char *)&number, 8};
    rig->state.values[op][instance] = number;
    return rig_add(rig, op, &entry);
}

static inline enum mr_status rig_random_change(struct rig *rig)
{
    uint32_t op = (uint32_t)mr_prng_below(&rig->prng, RIG_OPERATORS);
    uint32_t space = (uint32_t)mr_prng_below(&rig->prng, RIG_SPACES);
    uint32_t key = (uint32_t)mr_prng_below(&rig->prng, RIG_KEYS);
    uint64_t number = 1 + mr_prng_below(&rig->prng, 1000000);

    switch (mr_prng_below(&rig->prng, 12)) {
    case 0: return rig_drop(rig, op, space, key);
    case 1:
    case 2: return rig_put(rig, op, space, key, 0);
    case 3: return rig_timer(rig, op, key % RIG_TIMERS, number);
    case 4: return rig_timer(rig, op, key % RIG_TIMERS, 0);
    case 5: return rig_set(rig, op, key % 2, number);
    default: return rig_put(rig, op, space, key, number);
    }
}

/* The whole state, as a full seal says it; some of it went before without a word. */
static inline enum mr_status rig_full(struct rig *rig)
{
    uint32_t gone = (uint32_t)mr_prng_below(&rig->prng, RIG_KEYS);

    for (uint32_t i = 0; i < RIG_OPERATORS * RIG_SPACES; i++) {
        rig->state.cells[i / RIG_SPACES][i % RIG_SPACES][gone] = 0;
    }
    rig->state.timers[0][gone % RIG_TIMERS] = 0;
    for (uint32_t op = 0; op < RIG_OPERATORS; op++) {
        for (uint32_t i = 0; i < RIG_SPACES * RIG_KEYS; i++) {
            uint64_t number = rig->state.cells[op][i / RIG_KEYS][i % RIG_KEYS];

            if (number != 0) MR_RET(rig_put(rig, op, i / RIG_KEYS, i % RIG_KEYS, number));
        }
        for (uint32_t i = 0; i < RIG_TIMERS; i++) {
            uint64_t time = rig->state.timers[op][i];

            if (time != 0) MR_RET(rig_timer(rig, op, i, time));
        }
        for (uint32_t i = 0; i < 2; i++) {
            MR_RET(rig_set(rig, op, i, rig->state.values[op][i]));
        }
    }
    return MR_OK;
}

/* ---- a life ---- */

static inline void rig_init(struct rig *rig, uint64_t seed)
{
    memset(rig, 0, sizeof *rig);
    fault_disk_init(&rig->disk, seed);
    mr_prng_init(&rig->prng, seed, 7);
    rig->options = (struct mr_epoch_log_options){.disk = &rig->disk.disk,
                                                 .dir = "run/state",
                                                 .job_hash = 77,
                                                 .segment_bytes = 8192,
                                                 .align_bytes = 512,
                                                 .base_bytes = 2048,
                                                 .sort_bytes = 4096,
                                                 .merge_files = 3};
}

static inline void rig_stop(struct rig *rig)
{
    mr_compaction_destroy(rig->compaction);
    rig->compaction = NULL;
    mr_epoch_log_close(rig->log);
    rig->log = NULL;
}

static inline void rig_fini(struct rig *rig)
{
    rig_stop(rig);
    fault_disk_fini(&rig->disk);
}

/* Opens; what is there must be the end of the last epoch reported, or of the one attempted. */
static inline enum mr_status rig_start(struct rig *rig)
{
    struct rig_state found = {0};
    uint64_t last;

    MR_RET(
        mr_epoch_log_open(mr_test_heap(), &rig->options, rig_visit, &found, &rig->log, &rig->err));
    last = mr_epoch_log_last(rig->log);
    if (last != rig->reported && last != rig->attempted) {
        MR_FAIL("epoch %llu was found, not %llu or %llu", (unsigned long long)last,
                (unsigned long long)rig->reported, (unsigned long long)rig->attempted);
    }
    if (memcmp(&found, &rig->at_end[last], sizeof found) != 0) {
        MR_FAIL("the state is not that at the end of epoch %llu", (unsigned long long)last);
    }
    rig->state = found;
    rig->reported = rig->attempted = last;
    return MR_OK;
}

static inline enum mr_status rig_wait(struct rig *rig)
{
    enum mr_log_state state;

    while ((state = mr_epoch_log_poll(rig->log, &rig->err)) == MR_LOG_BUSY) {
    }
    return state == MR_LOG_IDLE ? MR_OK : rig->err.status;
}

static inline enum mr_status rig_compact(struct rig *rig, uint32_t steps)
{
    enum mr_compaction_state state;

    if (rig->compaction == NULL) {
        MR_RET(mr_compaction_create(rig->log, &rig->compaction, &rig->err));
    }
    while (steps-- > 0) {
        state = mr_compaction_step(rig->compaction, &rig->err);
        if (state == MR_COMPACTION_WAIT) rig->disk.disk.poll(&rig->disk.disk);
        if (state == MR_COMPACTION_MORE || state == MR_COMPACTION_WAIT) continue;
        mr_compaction_destroy(rig->compaction);
        rig->compaction = NULL;
        rig->compacted += state == MR_COMPACTION_DONE;
        return state == MR_COMPACTION_DONE ? MR_OK : rig->err.status;
    }
    return MR_OK;
}

static inline enum mr_status rig_fill(struct rig *rig, uint64_t epoch, uint32_t changes)
{
    bool full = mr_prng_below(&rig->prng, 12) == 0;

    MR_RET(mr_epoch_log_begin(rig->log, epoch, full, &rig->err));
    if (full) return rig_full(rig);
    for (uint32_t i = 0; i < changes; i++) MR_RET(rig_random_change(rig));
    return MR_OK;
}

/* One epoch; sometimes it is given up, sometimes the job is stopped and started. */
static inline enum mr_status rig_epoch(struct rig *rig, uint64_t epoch)
{
    uint32_t changes = rig->small || mr_prng_below(&rig->prng, 4) != 0 ? 20 : 300;
    struct rig_state before = rig->state;

    MR_RET(rig_fill(rig, epoch, (uint32_t)mr_prng_below(&rig->prng, changes)));
    if (mr_prng_below(&rig->prng, 8) == 0) {
        MR_EXPECT(mr_epoch_log_abort(rig->log));
        rig->state = before;
        return MR_OK;
    }
    rig->attempted = epoch;
    rig->at_end[epoch] = rig->state;
    MR_RET(mr_epoch_log_commit(rig->log, &rig->err));
    MR_RET(rig_wait(rig));
    MR_EXPECT_EQ_UINT(mr_epoch_log_last(rig->log), epoch);
    rig->reported = epoch;
    return MR_OK;
}

/* Epochs from the one after the last, until `end` or a failure. */
static inline enum mr_status rig_run(struct rig *rig, uint64_t end)
{
    if (rig->log == NULL) MR_RET(rig_start(rig));
    for (uint64_t epoch = mr_epoch_log_last(rig->log) + 1; epoch <= end; epoch++) {
        MR_RET(rig_epoch(rig, epoch));
        if (rig->compacts && (rig->compaction != NULL || mr_prng_below(&rig->prng, 4) == 0)) {
            MR_RET(rig_compact(rig, 1 + (uint32_t)mr_prng_below(&rig->prng, 40)));
        }
        if (mr_prng_below(&rig->prng, 8) == 0) {
            rig_stop(rig);
            MR_RET(rig_start(rig));
        }
    }
    return MR_OK;
}

#endif
