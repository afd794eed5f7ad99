/* store_seal.c - what changed as entries, and entries back to state; see store.h. */
#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "state/store_internal.h"

#include <string.h>

/* ---- seal ---- */

struct seal {
    struct mr_store *store;
    bool full;
    mr_entry_fn yield;
    void *self;
    struct mr_buffer key;
    struct mr_buffer value;
};

static enum mr_status nomem(const struct mr_store *store, struct mr_error *err)
{
    enum mr_status st = mr_error_nomem(err, "sealing state", 256);

    mr_error_context(err, "operator '%s'", store->operator_id);
    return st;
}

static enum mr_status yield_entry(struct seal *seal, struct mr_entry *entry, struct mr_error *err)
{
    entry->group_first = seal->store->group_first;
    entry->group_end = seal->store->group_end;
    return seal->yield(seal->self, entry, err);
}

static struct mr_bytes bytes_of(const struct mr_buffer *buffer)
{
    return (struct mr_bytes){buffer->data, buffer->size_bytes};
}

static bool encode_slot(struct seal *seal, struct mr_table *table, uint32_t slot,
                        struct mr_bytes *out)
{
    const struct mr_slot_ops *ops = &mri_state_of(table)->ops;
    const char *record = mri_record(table, slot);

    *out = (struct mr_bytes){record, table->slot_bytes};
    if (ops->encode == NULL) return true;
    if (!ops->encode(ops->self, record, &seal->value)) return false;
    *out = bytes_of(&seal->value);
    return true;
}

static enum mr_status seal_slot(struct seal *seal, struct mr_table *table, uint32_t slot,
                                enum mr_entry_kind kind, struct mr_error *err)
{
    const struct mri_key_shape *shape = &seal->store->shape;
    const uint64_t *image = mri_image(table, slot);
    struct mr_entry entry = {.kind = kind,
                             .state_name = mri_state_of(table)->name,
                             .key_group = mri_store_group(seal->store, image, mri_chunks(table)),
                             .ns = table->ns};

    seal->key.size_bytes = 0;
    seal->value.size_bytes = 0;
    if (!mri_image_encode(shape, image, mri_chunks(table), &seal->key)) {
        return nomem(seal->store, err);
    }
    entry.key = bytes_of(&seal->key);
    if (kind == MR_ENTRY_PUT) {
        if (!encode_slot(seal, table, slot, &entry.value)) return nomem(seal->store, err);
    }
    return yield_entry(seal, &entry, err);
}

static enum mr_status seal_removals(struct seal *seal, struct mr_table *table, struct mr_error *err)
{
    for (size_t word = 0; word < mr_bits_words(table->end); word++) {
        uint64_t buried = table->sealed[word] & ~table->live[word];

        for (; buried != 0; buried &= buried - 1) {
            uint32_t slot = (uint32_t)(word * 64 + (size_t)__builtin_ctzll(buried));

            MR_RET(seal_slot(seal, table, slot, MR_ENTRY_REMOVE, err));
        }
    }
    return MR_OK;
}

#define AHEAD_WORDS 4u

/* Changed slots lie far apart: each is a line that is not in the cache. (Inline: the compiler takes a call
 * that only prefetches for one without effect.) */
MR_INLINE void fetch_word(const struct mr_table *table, const uint64_t *bits, size_t word)
{
    if (word >= mr_bits_words(table->end)) return;
    for (uint64_t left = bits[word]; left != 0; left &= left - 1) {
        uint32_t slot = (uint32_t)(word * 64 + (size_t)__builtin_ctzll(left));
        const char *record = mri_record(table, slot);

        __builtin_prefetch(record);
        __builtin_prefetch(record + table->stride_bytes - 1);
    }
}

static enum mr_status seal_table(struct seal *seal, struct mr_table *table, struct mr_error *err)
{
    const uint64_t *bits = seal->full ? table->live : table->dirty;

    if (!seal->full) {
        if (!table->changed) return MR_OK;
        MR_RET(seal_removals(seal, table, err));
    }
    for (size_t word = 0; word < AHEAD_WORDS; word++) fetch_word(table, bits, word);
    for (size_t word = 0; word < mr_bits_words(table->end); word++) {
        fetch_word(table, bits, word + AHEAD_WORDS);
        for (uint64_t left = bits[word]; left != 0; left &= left - 1) {
            uint32_t slot = (uint32_t)(word * 64 + (size_t)__builtin_ctzll(left));

            MR_RET(seal_slot(seal, table, slot, MR_ENTRY_PUT, err));
        }
    }
    return MR_OK;
}

static enum mr_status seal_drops(struct seal *seal, struct mr_error *err)
{
    if (seal->full) return MR_OK;
    for (const struct mr_table *table = seal->store->dropped; table != NULL; table = table->next) {
        struct mr_entry entry = {
            .kind = MR_ENTRY_DROP, .state_name = mri_state_of(table)->name, .ns = table->ns};

        MR_RET(yield_entry(seal, &entry, err));
    }
    return MR_OK;
}

static enum mr_status seal_tables(struct seal *seal, struct mr_error *err)
{
    for (uint32_t s = 0; s < MR_STATES_MAX; s++) {
        const struct mri_state *state = &seal->store->states[s];

        for (uint32_t i = 0; i < state->table_count; i++) {
            MR_RET(seal_table(seal, state->tables[state->first_table + i], err));
        }
    }
    return MR_OK;
}

/* A timer's value: domain, tag, time, hold. */
#define TIMER_VALUE_BYTES 21u

static bool encode_timer(struct mr_buffer *out, const struct mr_timer *timer)
{
    char domain = (char)timer->domain;

    return mr_buffer_put(out, &domain, 1) && mr_buffer_put_u32(out, timer->tag) &&
           mr_buffer_put_u64(out, (uint64_t)timer->time_us) &&
           mr_buffer_put_u64(out, (uint64_t)timer->hold_us);
}

static enum mr_status seal_timer(void *self, const struct mr_timer *timer, bool lives,
                                 struct mr_error *err)
{
    struct seal *seal = self;
    struct mr_entry entry = {.kind = lives ? MR_ENTRY_TIMER_SET : MR_ENTRY_TIMER_CLEAR,
                             .state_name = "",
                             .key_group = timer->key_group,
                             .ns = timer->ns,
                             .key = timer->key};

    seal->value.size_bytes = 0;
    if (!encode_timer(&seal->value, timer)) return nomem(seal->store, err);
    entry.value = bytes_of(&seal->value);
    return yield_entry(seal, &entry, err);
}

static enum mr_status seal_values(struct seal *seal, struct mr_error *err)
{
    for (uint32_t i = 0; i < seal->store->value_count; i++) {
        const struct mri_value *value = &seal->store->values[i];
        struct mr_entry entry = {.kind = MR_ENTRY_VALUE,
                                 .state_name = "",
                                 .key = {value->name, strlen(value->name)},
                                 .value = {value->data, value->size_bytes}};

        if (!seal->full && !value->dirty) continue;
        MR_RET(yield_entry(seal, &entry, err));
    }
    return MR_OK;
}

static void table_sealed(struct mr_table *table)
{
    size_t bytes = mr_bits_words(table->end) * sizeof(uint64_t);

    if (!table->tracks || !table->changed) return;
    for (size_t word = 0; word < mr_bits_words(table->end); word++) {
        uint64_t buried = table->sealed[word] & ~table->live[word];

        for (; buried != 0; buried &= buried - 1) {
            mri_table_free(table, (uint32_t)(word * 64 + (size_t)__builtin_ctzll(buried)));
        }
    }
    if (bytes > 0) {
        memcpy(table->sealed, table->live, bytes);
        memset(table->dirty, 0, bytes);
    }
    table->sealed_count = table->count;
    table->changed = false;
}

/* All entries are out: from here on changes count anew. */
static void store_sealed(struct mr_store *store)
{
    for (uint32_t s = 0; s < MR_STATES_MAX; s++) {
        struct mri_state *state = &store->states[s];

        for (uint32_t i = 0; i < state->table_count; i++) {
            table_sealed(state->tables[state->first_table + i]);
        }
    }
    while (store->dropped != NULL) {
        struct mr_table *table = store->dropped;

        store->dropped = table->next;
        mr_free(&store->heap, table, sizeof *table);
    }
    store->last_dropped = NULL;
    mri_timers_sealed(store->timers);
    for (uint32_t i = 0; i < store->value_count; i++) store->values[i].dirty = false;
}

enum mr_status mr_store_seal(struct mr_store *store, bool full, mr_entry_fn yield, void *self,
                             struct mr_error *err)
{
    struct seal seal = {.store = store, .full = full, .yield = yield, .self = self};
    enum mr_status st;

    if (!full && !store->tracks) {
        return mr_error_set(err, MR_E_INVALID,
                            "operator '%s': its store does not track changes (batch mode), so only "
                            "a full seal is possible",
                            store->operator_id);
    }
    mr_buffer_init(&seal.key, &store->heap);
    mr_buffer_init(&seal.value, &store->heap);
    MR_GOTO(seal_drops(&seal, err));
    MR_GOTO(seal_tables(&seal, err));
    MR_GOTO(mri_timers_seal(store->timers, full, seal_timer, &seal, err));
    MR_GOTO(seal_values(&seal, err));
    store_sealed(store);
done:
    mr_buffer_fini(&seal.value);
    mr_buffer_fini(&seal.key);
    return st;
}

/* ---- restore ---- */

static enum mr_status no_room(const struct mr_store *store, struct mr_error *err)
{
    enum mr_status st = mr_error_nomem(err, "restoring state", 256);

    mr_error_context(err, "operator '%s'", store->operator_id);
    return st;
}

static enum mr_status state_number(const struct mr_store *store, const struct mr_entry *entry,
                                   uint32_t *out, struct mr_error *err)
{
    for (uint32_t i = 0; i < MR_STATES_MAX; i++) {
        const char *name = store->states[i].name;

        if (name == NULL || strcmp(name, entry->state_name) != 0) continue;
        *out = i;
        return MR_OK;
    }
    return mr_error_set(err, MR_E_NOT_FOUND,
                        "operator '%s': the snapshot holds a state named '%s' that this program "
                        "does not declare; was it renamed or removed?",
                        store->operator_id, entry->state_name);
}

/* Decodes the key and checks that it belongs where the entry says. */
static enum mr_status decode_key(const struct mr_store *store, const struct mr_entry *entry,
                                 struct mr_buffer *scratch, uint64_t *image, struct mr_error *err)
{
    const char *chunk;
    uint64_t hash;
    uint32_t group;

    MR_RET(mri_image_decode(&store->shape, entry->key, scratch, image, &hash, err));
    chunk = scratch->data;
    group = mri_store_group(store, image, &chunk);
    if (group != entry->key_group) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "a key of group %u is stored under group %u; the number of key groups, "
                            "%u here, is fixed for the life of a job",
                            group, entry->key_group, store->key_group_count);
    }
    return MR_OK;
}

static enum mr_status decode_slot(struct mr_store *store, struct mr_table *table, uint32_t slot,
                                  const struct mr_entry *entry, struct mr_error *err)
{
    const struct mr_slot_ops *ops = &mri_state_of(table)->ops;
    struct mr_cursor in = {entry->value.data, entry->value.data};

    if (ops->decode == NULL) {
        if (entry->value.size_bytes != table->slot_bytes) {
            return mr_error_set(err, MR_E_CORRUPT, "a value of %zu bytes where %u are expected",
                                entry->value.size_bytes, table->slot_bytes);
        }
        if (table->slot_bytes > 0) {
            memcpy(mri_record(table, slot), entry->value.data, table->slot_bytes);
        }
        return MR_OK;
    }
    if (entry->value.size_bytes > 0) in.end += entry->value.size_bytes;
    MR_RET(ops->decode(ops->self, store, mri_record(table, slot), &in, err));
    if (in.at != in.end) {
        return mr_error_set(err, MR_E_CORRUPT, "a value with %zu bytes after its end",
                            (size_t)(in.end - in.at));
    }
    return MR_OK;
}

/* The slot as a new one has it: a put replaces the whole value. */
static void reset_slot(struct mr_store *store, struct mr_table *table, uint32_t slot)
{
    const struct mr_slot_ops *ops = &mri_state_of(table)->ops;
    char *record = mri_record(table, slot);

    if (ops->release != NULL) ops->release(ops->self, store, record);
    memset(record, 0, table->slot_bytes);
    if (ops->init != NULL) ops->init(ops->self, record);
}

/* Removes without a note for the next seal: the entry that says so is in a seal already. */
static void forget_slot(struct mr_table *table, uint32_t slot)
{
    if (mr_bit_get(table->sealed, slot)) {
        mr_bit_clear(table->sealed, slot);
        table->sealed_count--;
    }
    mr_table_remove(table, slot);
}

static void set_sealed(struct mr_table *table, uint32_t slot)
{
    mr_bit_clear(table->dirty, slot);
    if (!table->tracks || mr_bit_get(table->sealed, slot)) return;
    mr_bit_set(table->sealed, slot);
    table->sealed_count++;
}

static enum mr_status put(struct mr_store *store, const struct mr_entry *entry, uint32_t state,
                          const uint64_t *image, const struct mri_key_texts *texts,
                          struct mr_error *err)
{
    struct mr_table *table = mr_store_table(store, state, entry->ns);
    enum mr_status st;
    uint32_t slot;
    bool is_new;

    if (table == NULL) return no_room(store, err);
    slot = mri_table_resolve(table, image, texts, &is_new);
    if (slot == MR_SLOT_NONE) return no_room(store, err);
    if (!is_new) reset_slot(store, table, slot);
    st = decode_slot(store, table, slot, entry, err);
    if (st != MR_OK) {
        forget_slot(table, slot);
        return st;
    }
    set_sealed(table, slot);
    return MR_OK;
}

static enum mr_status restore_keyed(struct mr_store *store, const struct mr_entry *entry,
                                    uint32_t state, struct mr_error *err)
{
    uint64_t image[MRI_KEY_WORDS_MAX];
    struct mr_buffer scratch;
    struct mri_key_texts texts;
    const char *chunk;
    struct mr_table *table;
    enum mr_status st;

    mr_buffer_init(&scratch, &store->heap);
    MR_GOTO(decode_key(store, entry, &scratch, image, err));
    chunk = scratch.data;
    mri_texts_of_chunks(&store->shape, &chunk, &texts);
    if (entry->kind == MR_ENTRY_PUT) {
        st = put(store, entry, state, image, &texts, err);
        goto done;
    }
    table = mr_store_find(store, state, entry->ns);
    if (table != NULL) {
        uint32_t slot = mri_table_find(table, image, &texts);

        if (slot != MR_SLOT_NONE) forget_slot(table, slot);
    }
done:
    mr_buffer_fini(&scratch);
    return st;
}

/* A drop speaks for the key groups of the instance that sealed it. */
static void restore_drop(struct mr_store *store, const struct mr_entry *entry, uint32_t state,
                         uint32_t group_first, uint32_t group_end)
{
    struct mr_table *table = mr_store_find(store, state, entry->ns);
    bool whole = entry->group_end == 0 ||
                 (entry->group_first <= group_first && group_end <= entry->group_end);

    if (table == NULL) return;
    for (uint32_t slot = 0; slot < table->end && !whole; slot++) {
        uint32_t group;

        if (!mr_table_live(table, slot)) continue;
        group = mr_table_group(table, slot);
        if (group >= entry->group_first && group < entry->group_end) forget_slot(table, slot);
    }
    if (whole || table->count == 0) mri_store_forget(store, table);
}

static enum mr_status restore_timer(struct mr_store *store, const struct mr_entry *entry,
                                    struct mr_error *err)
{
    struct mr_cursor in = {entry->value.data, entry->value.data};
    struct mr_timer timer = {.ns = entry->ns, .key_group = entry->key_group, .key = entry->key};
    const char *domain;
    uint64_t time, hold;

    if (entry->value.size_bytes > 0) in.end += entry->value.size_bytes;
    if (entry->value.size_bytes != TIMER_VALUE_BYTES || !mr_cursor_take(&in, 1, &domain) ||
        !mr_cursor_u32(&in, &timer.tag) || !mr_cursor_u64(&in, &time) ||
        !mr_cursor_u64(&in, &hold) || (*domain != 0 && *domain != 1)) {
        return mr_error_set(err, MR_E_CORRUPT, "a timer whose bytes are malformed");
    }
    timer.domain = (enum mr_time_domain) * domain;
    timer.time_us = (int64_t)time;
    timer.hold_us = (int64_t)hold;
    if (entry->key.size_bytes >= UINT32_MAX) {
        return mr_error_set(err, MR_E_CORRUPT, "a timer with a key of %zu bytes",
                            entry->key.size_bytes);
    }
    if (MR_PLANT("museum-13")) return MR_OK;
    if (!mri_timers_restore(store->timers, &timer, entry->kind == MR_ENTRY_TIMER_SET)) {
        return no_room(store, err);
    }
    return MR_OK;
}

/* Timers without a key belong to a namespace that every instance may have a part of: all get them.
 * Another instance's clearing is not taken over: a timer too many finds nothing to do. */
static bool skips(const struct mr_entry *entry, uint32_t group_first, uint32_t group_end)
{
    bool keyless_timer = entry->key.size_bytes == 0 &&
                         (entry->kind == MR_ENTRY_TIMER_SET || entry->kind == MR_ENTRY_TIMER_CLEAR);

    if (entry->kind == MR_ENTRY_DROP || entry->kind == MR_ENTRY_VALUE) return false;
    if (!keyless_timer) return entry->key_group < group_first || entry->key_group >= group_end;
    return entry->kind == MR_ENTRY_TIMER_CLEAR && entry->group_end != 0 &&
           (entry->group_first > group_first || entry->group_end < group_end);
}

static enum mr_status restore_entry(struct mr_store *store, const struct mr_entry *entry,
                                    uint32_t group_first, uint32_t group_end, struct mr_error *err)
{
    uint32_t state = 0;

    switch (entry->kind) {
    case MR_ENTRY_PUT:
    case MR_ENTRY_REMOVE:
        MR_RET(state_number(store, entry, &state, err));
        return restore_keyed(store, entry, state, err);
    case MR_ENTRY_DROP:
        MR_RET(state_number(store, entry, &state, err));
        restore_drop(store, entry, state, group_first, group_end);
        return MR_OK;
    case MR_ENTRY_TIMER_SET:
    case MR_ENTRY_TIMER_CLEAR: return restore_timer(store, entry, err);
    case MR_ENTRY_VALUE:
        return mri_value_put(store, entry->key.data, entry->key.size_bytes, entry->value.data,
                             entry->value.size_bytes, false, err);
    }
    return mr_error_set(err, MR_E_CORRUPT, "an entry of the unknown kind %d", (int)entry->kind);
}

enum mr_status mr_store_restore(struct mr_store *store, const struct mr_entry *entry,
                                uint32_t group_first, uint32_t group_end, struct mr_error *err)
{
    enum mr_status st;

    mr_assert(group_first < group_end && group_end <= store->key_group_count);
    if (skips(entry, group_first, group_end)) return MR_OK;
    st = restore_entry(store, entry, group_first, group_end, err);
    if (st == MR_E_CORRUPT) {
        mr_error_context(err, "restoring operator '%s', state '%s'", store->operator_id,
                         entry->state_name != NULL ? entry->state_name : "");
    }
    return st;
}
