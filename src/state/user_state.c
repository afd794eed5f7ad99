/* user_state.c - declared states, the key at hand, values, timers; see user_state.h. */
#include "base/assert.h"
#include "base/status.h"
#include "base/text.h"
#include "state/user_state_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define KIND(name)   (1u << MR_STATE_##name)

#define FETCH_INDEX  12u /* rows ahead */
#define FETCH_RECORD 6u
#define FETCH_SLOTS  1024u

static bool has_keys(enum mr_state_kind kind)
{
    return kind == MR_STATE_MAP || kind == MR_STATE_SET || kind == MR_STATE_BROADCAST;
}

/* ---- life ---- */

static struct mr_store_options store_options(const struct mr_user_states *states)
{
    const struct mr_user_states_options *options = &states->options;

    return (struct mr_store_options){.operator_id = options->operator_id,
                                     .key_group_count = options->key_group_count,
                                     .keys = options->keys,
                                     .key_count = options->key_count,
                                     .group_first = options->group_first,
                                     .group_end = options->group_end,
                                     .track_changes = options->track_changes};
}

/* What tells the elements of one key apart. */
static uint32_t element_keys(const struct mr_state *spec, struct mr_field *out)
{
    const struct mr_field number = {.name = "number", .type = MR_INT64, .not_null = true};

    if (has_keys(spec->kind)) {
        memcpy(out, spec->keys, spec->key_count * sizeof *out);
        return spec->key_count;
    }
    out[0] = out[1] = number;
    if (spec->kind == MR_STATE_ORDERED_LIST) out[0].name = "time";
    if (spec->kind == MR_STATE_OPERATOR_LIST) out[0].name = "group";
    return spec->kind == MR_STATE_LIST ? 1 : 2;
}

static enum mr_status make_own_store(struct mri_user_state *state, struct mr_error *err)
{
    struct mr_user_states *all = state->all;
    struct mr_store_options options = store_options(all);
    struct mr_field keys[MR_KEY_COLUMNS_MAX];

    state->prefix = state->keyed ? options.key_count : 0;
    memcpy(keys, options.keys, state->prefix * sizeof *keys);
    options.keys = keys;
    options.key_count = state->prefix + element_keys(state->spec, keys + state->prefix);
    options.group_columns = state->prefix;
    options.group_given = state->spec->kind == MR_STATE_OPERATOR_LIST;
    if (state->spec->kind == MR_STATE_BROADCAST) { /* one instance speaks for all */
        options.track_changes = options.track_changes && options.group_first == 0;
        options.key_group_count = 1;
        options.group_first = options.group_end = 0;
    }
    return mr_store_create(all->heap, &options, &state->store, err);
}

static enum mr_status make_state(struct mri_user_state *state, struct mr_error *err)
{
    struct mr_user_states *all = state->all;
    const struct mr_slot_ops chain = {.slot_bytes = sizeof(struct mri_chain)};
    enum mr_state_kind kind = state->spec->kind;
    uint32_t number = (uint32_t)(state - all->states);
    struct mr_slot_ops ops;
    struct mr_text text;

    state->collection = kind != MR_STATE_VALUE && kind != MR_STATE_AGGREGATING;
    state->keyed = kind != MR_STATE_OPERATOR_LIST && kind != MR_STATE_BROADCAST;
    state->lone = (struct mri_chain){.first = MR_SLOT_NONE, .last = MR_SLOT_NONE};
    state->store = all->main;
    state->number = number;
    state->chain_number = number;
    if (!mri_record_init(state)) return mr_error_nomem(err, "state", 64);
    if (state->collection) {
        state->store = NULL;
        state->number = 0;
        MR_RET(make_own_store(state, err));
    }
    if (state->collection && state->keyed) {
        MR_RET(mr_store_declare(all->chains, number, state->spec->name, &chain, err));
    }
    mr_text_init(&text, all->heap, 0);
    mr_text_format(&text, "schema:%s", state->spec->name);
    if (mr_text_status(&text) == MR_OK)
        state->schema_key = mr_strdup(all->heap, mr_text_get(&text));
    mr_text_fini(&text);
    if (state->schema_key == NULL) return mr_error_nomem(err, "state", 64);
    ops = mri_record_ops(state);
    return mr_store_declare(state->store, state->number, state->spec->name, &ops, err);
}

static enum mr_status fill(struct mr_user_states *states, struct mr_error *err)
{
    struct mr_store_options options = store_options(states);

    MR_RET(mr_store_create(states->heap, &options, &states->main, err));
    options.track_changes = false;
    MR_RET(mr_store_create(states->heap, &options, &states->chains, err));
    states->states = mr_alloc_array(states->heap, MR_MAX(states->options.state_count, 1u),
                                    sizeof *states->states);
    if (states->states == NULL) return mr_error_nomem(err, "state", sizeof *states->states);
    states->state_count = states->options.state_count;
    for (uint32_t i = 0; i < states->state_count; i++) {
        states->states[i] = (struct mri_user_state){
            .all = states, .spec = &states->options.states[i], .reclaim_ns = INT64_MIN};
    }
    for (uint32_t i = 0; i < states->state_count; i++) {
        MR_RET(make_state(&states->states[i], err));
    }
    return MR_OK;
}

enum mr_status mr_user_states_create(struct mr_heap *heap,
                                     const struct mr_user_states_options *options,
                                     struct mr_user_states **out, struct mr_error *err)
{
    struct mr_user_states *states = mr_alloc_zero(heap, sizeof *states);
    enum mr_status st;

    mr_assert(options->key_count > 0);
    if (states == NULL) return mr_error_nomem(err, "the state of a function", sizeof *states);
    states->heap = heap;
    states->options = *options;
    states->generation = 1;
    states->row_us = states->event_now_us = MR_TIME_MIN;
    mr_buffer_init(&states->scratch, heap);
    mr_buffer_init(&states->form, heap);
    MR_GOTO(fill(states, err));
    *out = states;
    states = NULL;
done:
    mr_user_states_destroy(states);
    return st;
}

void mr_user_states_destroy(struct mr_user_states *states)
{
    if (states == NULL) return;
    for (uint32_t i = 0; i < states->state_count; i++) {
        struct mri_user_state *state = &states->states[i];

        if (state->store != states->main) mr_store_destroy(state->store);
        mr_free(states->heap, state->slots, state->slot_room * sizeof *state->slots);
        mr_strfree(states->heap, state->schema_key);
    }
    mr_store_destroy(states->main);
    mr_store_destroy(states->chains);
    mr_free(states->heap, states->states,
            MR_MAX(states->options.state_count, 1u) * sizeof *states->states);
    mr_buffer_fini(&states->scratch);
    mr_buffer_fini(&states->form);
    mr_free(states->heap, states, sizeof *states);
}

/* ---- failures ---- */

MR_PRINTF(3, 0)
static void fail(struct mr_user_states *states, enum mr_status status, const char *format,
                 va_list arguments)
{
    char text[MR_ERROR_TEXT_BYTES / 2];

    if (states->failure != MR_OK) return; /* the first one counts */
    if (vsnprintf(text, sizeof text, format, arguments) < 0) text[0] = '\0';
    states->failure = status;
    (void)mr_error_set(&states->error, status, "%s", text);
}

void mri_user_fail(struct mr_user_states *states, enum mr_status status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fail(states, status, format, arguments);
    va_end(arguments);
}

void mr_user_states_misuse(struct mr_user_states *states, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fail(states, MR_E_INVALID, format, arguments);
    va_end(arguments);
}

void mri_user_nomem(struct mr_user_states *states)
{
    mri_user_fail(states, MR_E_NOMEM,
                  "its state has %llu records and elements, and memory for more is missing; raise "
                  "--memory, use more workers, or let state expire",
                  (unsigned long long)mr_user_states_key_count(states));
}

enum mr_status mr_user_states_failure(struct mr_user_states *states, struct mr_error *err)
{
    enum mr_status st = states->failure;

    if (MR_LIKELY(st == MR_OK)) return st;
    states->failure = MR_OK;
    return mr_error_set(err, st, "%s", states->error.text);
}

struct mri_user_state *mri_user_at(struct mr_user_states *states, uint32_t state, uint32_t kinds,
                                   const char *call)
{
    struct mri_user_state *found;

    if (state >= states->state_count) {
        mr_user_states_misuse(states, "%s: there is no state number %u: %u are declared", call,
                              state, states->state_count);
        return NULL;
    }
    found = &states->states[state];
    if ((kinds >> found->spec->kind & 1) == 0) {
        mr_user_states_misuse(states, "%s: state '%s' is a %s", call, found->spec->name,
                              mr_state_kind_name(found->spec->kind));
        return NULL;
    }
    if (found->keyed && !states->has_key) {
        mr_user_states_misuse(states, "%s: state '%s' belongs to a key, and there is none at hand",
                              call, found->spec->name);
        return NULL;
    }
    return found;
}

/* ---- the key at hand ---- */

static void forget_key(struct mr_user_states *states)
{
    states->generation++;
    states->has_key = states->has_image = states->has_form = false;
    states->ns = 0;
}

/* Rows come one by one: what a later one needs is fetched while this one is at work. First the
 * index word, then, when that has come, the record that it names. Inline: a call that only fetches
 * would be taken for one without effect, and removed. */
MR_INLINE void fetch_ahead(const struct mr_user_states *states, uint32_t row)
{
    const uint64_t *hashes = states->keys.hashes;
    uint32_t left = states->keys.count - row;

    for (uint32_t i = 0; i < states->ahead_count; i++) {
        const struct mr_table *table = states->ahead[i];
        const struct mri_index *index = &table->index;
        uint64_t word;

        if (left > FETCH_INDEX) {
            MR_PREFETCH(&index->words[(uint32_t)hashes[row + FETCH_INDEX] & index->mask]);
        }
        if (left <= FETCH_RECORD) continue;
        word = index->words[(uint32_t)hashes[row + FETCH_RECORD] & index->mask];
        if (word != 0) MR_PREFETCH(mri_record(table, (uint32_t)word - 1));
    }
}

/* The tables of namespace 0 that are too large for the first caches; they never go. */
static void choose_ahead(struct mr_user_states *states)
{
    states->ahead_count = 0;
    for (uint32_t i = 0; i < states->state_count; i++) {
        const struct mri_user_state *state = &states->states[i];
        const struct mr_table *table;

        if (!state->keyed || states->ahead_count == MR_COUNT(states->ahead)) continue;
        table = state->collection ? mr_store_find(states->chains, state->chain_number, 0)
                                  : mr_store_find(states->main, state->number, 0);
        if (table == NULL || table->count < FETCH_SLOTS) continue;
        states->ahead[states->ahead_count++] = table;
    }
}

void mr_user_states_batch(struct mr_user_states *states, const struct mr_keys *keys)
{
    forget_key(states);
    states->keys = *keys;
    choose_ahead(states);
    mri_texts_of_columns(&states->main->shape, keys->columns, &states->batch_texts);
}

void mr_user_states_at_row(struct mr_user_states *states, uint32_t row)
{
    mr_assert_slow(row < states->keys.count);
    forget_key(states);
    if (states->ahead_count > 0) fetch_ahead(states, row);
    states->row = row;
    states->has_key = true;
}

void mri_user_image(struct mr_user_states *states)
{
    uint32_t tag;

    mr_assert_slow(states->has_key);
    if (states->has_image) return;
    states->hash = states->keys.hashes[states->row];
    tag = (uint32_t)states->hash;
    mri_images_load(&states->main->shape, states->keys.columns, &states->row, &tag, 1,
                    states->image);
    states->texts = states->batch_texts;
    states->has_image = true;
}

enum mr_status mr_user_states_at_timer(struct mr_user_states *states, const struct mr_timer *timer,
                                       struct mr_error *err)
{
    forget_key(states);
    mr_buffer_clear(&states->form);
    if (!mr_buffer_put(&states->form, timer->key.data, timer->key.size_bytes)) {
        return mr_error_nomem(err, "the key of a timer", timer->key.size_bytes);
    }
    MR_RET(mri_image_decode(&states->main->shape, timer->key, &states->scratch, states->image,
                            &states->hash, err));
    states->scratch_data = states->scratch.data;
    mri_texts_of_chunks(&states->main->shape, &states->scratch_data, &states->texts);
    states->ns = timer->ns;
    states->has_key = states->has_image = states->has_form = true;
    return MR_OK;
}

void mr_user_states_at_none(struct mr_user_states *states)
{
    forget_key(states);
}

bool mr_user_states_has_key(const struct mr_user_states *states)
{
    return states->has_key;
}

void mr_user_states_key(struct mr_user_states *states, struct mr_column *out)
{
    const struct mri_key_shape *shape = &states->main->shape;

    mri_user_image(states);
    for (uint32_t i = 0; i < shape->column_count; i++) {
        mri_image_column(shape, states->image, states->texts.buffers[i], 0, i, &out[i]);
    }
}

uint32_t mr_user_states_group(struct mr_user_states *states)
{
    mri_user_image(states);
    return mr_key_group(states->hash, states->options.key_group_count);
}

void mr_user_states_set_namespace(struct mr_user_states *states, int64_t ns)
{
    if (ns == states->ns) return;
    states->ns = ns;
    states->generation++;
}

void mr_user_states_set_event_time(struct mr_user_states *states, int64_t row_us, int64_t now_us)
{
    states->row_us = row_us;
    states->event_now_us = now_us;
}

void mr_user_states_new_call(struct mr_user_states *states)
{
    states->now_known = false;
}

int64_t mr_user_states_now(struct mr_user_states *states)
{
    int64_t now;

    if (states->now_known) return states->now_us;
    now = states->options.now(states->options.now_self);
    states->now_us = MR_MAX(states->now_us, now); /* the clock of the machine may be set back */
    states->now_known = true;
    return states->now_us;
}

void mr_user_states_allow_broadcast(struct mr_user_states *states, bool allowed)
{
    states->broadcast_allowed = allowed;
}

uint64_t mr_user_states_key_count(const struct mr_user_states *states)
{
    uint64_t count = mr_store_key_count(states->main);

    for (uint32_t i = 0; i < states->state_count; i++) {
        const struct mri_user_state *state = &states->states[i];

        if (state->collection) count += mr_store_key_count(state->store);
    }
    return count;
}

bool mri_user_drop_empty(struct mr_store *store, struct mr_table *table)
{
    if (table->count > 0 || table->ns == 0) return false;
    mr_store_drop(store, table);
    return true;
}

/* ---- values ---- */

static uint32_t find_value(struct mri_user_state *state)
{
    struct mr_user_states *all = state->all;

    if (state->at == all->generation) return state->slot;
    mri_user_image(all);
    state->table = mr_store_find(state->store, state->number, all->ns);
    state->slot =
        state->table == NULL ? MR_SLOT_NONE : mri_table_find(state->table, all->image, &all->texts);
    state->at = all->generation;
    return state->slot;
}

static bool is_set(struct mri_user_state *state)
{
    void *slot;

    if (find_value(state) == MR_SLOT_NONE) return false;
    slot = mri_record(state->table, state->slot);
    return (*mri_head(state, slot) & MRI_RECORD_SET) != 0 && !mri_record_expired(state, slot);
}

static void remove_value(struct mri_user_state *state)
{
    struct mr_table *table = state->table;

    /* A batch may still hold on to its slots: they go when it is over. */
    if (state->prepared != NULL && table == state->prepared) {
        mri_record_reset(state, mri_record(table, state->slot));
        mr_table_touch(table, state->slot);
        state->unset = true;
        return;
    }
    mr_table_remove(table, state->slot);
    (void)mri_user_drop_empty(state->store, table);
    state->all->generation++;
}

/* A record that is there and unset becomes set, with all fields null. False: no memory. */
static bool make_value(struct mri_user_state *state)
{
    struct mr_user_states *all = state->all;
    bool is_new = false;
    void *slot;

    if (find_value(state) == MR_SLOT_NONE) {
        state->table = mr_store_table(state->store, state->number, all->ns);
        if (state->table != NULL) {
            state->slot = mri_table_resolve(state->table, all->image, &all->texts, &is_new);
        }
        if (state->slot == MR_SLOT_NONE) {
            if (state->table != NULL) (void)mri_user_drop_empty(state->store, state->table);
            all->generation++;
            mri_user_nomem(all);
            return false;
        }
    }
    slot = mri_record(state->table, state->slot);
    if (!is_new) mri_record_reset(state, slot);
    *mri_head(state, slot) = MRI_RECORD_SET;
    if (state->spec->kind == MR_STATE_AGGREGATING) {
        state->spec->aggregate->create(state->spec->aggregate_user, (char *)slot + 16);
    }
    return true;
}

struct mr_record mr_user_value(struct mr_user_states *states, uint32_t number, bool make)
{
    struct mri_user_state *state =
        mri_user_at(states, number, KIND(VALUE), make ? "mr_value_make" : "mr_value_find");
    struct mr_record none = {.state = number};

    if (state == NULL) return none;
    if (!is_set(state)) {
        if (!make || !make_value(state)) return none;
    }
    if (make) {
        mri_record_written(state, mri_record(state->table, state->slot));
        mr_table_touch(state->table, state->slot);
    }
    return mri_record_of(state, state->table, state->slot);
}

void *mr_user_accumulator(struct mr_user_states *states, uint32_t number, bool make)
{
    struct mri_user_state *state = mri_user_at(
        states, number, KIND(AGGREGATING), make ? "mr_aggregating_add" : "mr_aggregating_result");
    char *slot;

    if (state == NULL) return NULL;
    if (!is_set(state) && (!make || !make_value(state))) return NULL;
    slot = mri_record(state->table, state->slot);
    if (make) {
        mri_record_written(state, slot);
        mr_table_touch(state->table, state->slot);
    }
    return slot + 16;
}

void mr_user_clear(struct mr_user_states *states, uint32_t number)
{
    struct mri_user_state *state = mri_user_at(states, number, UINT32_MAX, "mr_state_clear");

    if (state == NULL) return;
    if (state->collection) {
        mri_elements_clear(state);
    } else if (find_value(state) != MR_SLOT_NONE) {
        remove_value(state);
    }
}

uint64_t mr_user_count(struct mr_user_states *states, uint32_t number)
{
    struct mri_user_state *state = mri_user_at(states, number, UINT32_MAX, "mr_state_count");

    if (state == NULL) return 0;
    return state->collection ? mri_elements_count(state) : is_set(state);
}

/* ---- a whole batch ---- */

static bool slot_room(struct mri_user_state *state, uint32_t count)
{
    struct mr_heap *heap = state->all->heap;

    if (count <= state->slot_room) return true;
    mr_free(heap, state->slots, state->slot_room * sizeof *state->slots);
    state->slot_room = 0;
    state->slots = mr_alloc_array(heap, count, sizeof *state->slots);
    if (state->slots == NULL) return false;
    state->slot_room = count;
    return true;
}

/* All records of the batch count as written now; what has expired begins anew. */
static void stamp_rows(struct mri_user_state *state, struct mr_table *table, const int64_t *times)
{
    for (uint32_t i = 0; i < state->all->keys.count; i++) {
        void *slot = mri_record(table, state->slots[i]);

        state->all->row_us = times != NULL ? times[i] : MR_TIME_MIN;
        if (mri_record_expired(state, slot)) {
            mri_record_reset(state, slot);
            state->made = true;
        }
        mri_record_written(state, slot);
    }
}

/* Removes the records of rows [0, count) that are not set. */
static void forget_unset(struct mri_user_state *state, struct mr_table *table, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = state->slots[i];

        if (!mr_table_live(table, slot)) continue; /* another row of the same key */
        if ((*mri_head(state, mri_record(table, slot)) & MRI_RECORD_SET) != 0) continue;
        mr_table_remove(table, slot);
    }
}

static bool resolve_rows(struct mri_user_state *state, struct mr_table *table, const int64_t *times)
{
    struct mr_user_states *all = state->all;
    uint32_t before = table->count;
    uint32_t done = 0;
    enum mr_prepare answer;

    if (!slot_room(state, all->keys.count)) return false;
    answer = mr_table_prepare(table, &all->keys, NULL, all->keys.count, state->slots, &done);
    mr_assert(answer != MR_PREPARE_PENDING); /* all slots are in memory */
    state->made |= table->count > before;
    if (answer != MR_PREPARE_READY) {
        forget_unset(state, table, done);
        return false;
    }
    if (state->stamped) stamp_rows(state, table, times);
    return true;
}

bool mr_user_prepare(struct mr_user_states *states, uint32_t number, const int64_t *times,
                     struct mr_state_array *out)
{
    struct mri_user_state *state;
    struct mr_table *table;
    bool had_key = states->has_key;

    _Static_assert(MR_STATE_PAGE_SHIFT == MR_TABLE_PAGE_SHIFT, "the public header says the same");
    states->has_key = true; /* all of them */
    state = mri_user_at(states, number, KIND(VALUE), "mr_state_prepare");
    states->has_key = had_key;
    if (state == NULL) return false;
    table = mr_store_table(state->store, state->number, 0);
    if (table == NULL || !resolve_rows(state, table, times)) {
        mri_user_nomem(states);
        return false;
    }
    state->prepared = table;
    states->generation++;
    *out = (struct mr_state_array){.pages = table->pages,
                                   .slots = state->slots,
                                   .cells = state->cells,
                                   .unset = &state->unset,
                                   .stride_bytes = table->stride_bytes,
                                   .head_bytes = state->head_bytes};
    return true;
}

void mr_user_prepared_over(struct mr_user_states *states)
{
    for (uint32_t i = 0; i < states->state_count; i++) {
        struct mri_user_state *state = &states->states[i];

        if (state->prepared == NULL) continue;
        if (state->made || state->unset) {
            forget_unset(state, state->prepared, states->keys.count);
        }
        state->prepared = NULL;
        state->made = state->unset = false;
    }
    states->generation++;
}

/* ---- timers ---- */

static bool key_form(struct mr_user_states *states)
{
    const struct mri_key_shape *shape = &states->main->shape;

    if (states->has_form) return true;
    mri_user_image(states);
    mr_buffer_clear(&states->form);
    for (uint32_t i = 0; i < shape->column_count; i++) {
        struct mr_column column;

        mri_image_column(shape, states->image, states->texts.buffers[i], 0, i, &column);
        if (!mr_key_encode(&states->form, &column, 0, false)) return false;
    }
    states->has_form = true;
    return true;
}

static bool timer_at(struct mr_user_states *states, const char *call, enum mr_time_domain domain,
                     uint32_t tag, struct mr_timer *out)
{
    if (!states->has_key) {
        mr_user_states_misuse(states, "%s: a timer belongs to a key, and there is none at hand",
                              call);
        return false;
    }
    if (domain != MR_EVENT_TIME && domain != MR_PROCESSING_TIME) {
        mr_user_states_misuse(states, "%s: there is no clock number %d", call, (int)domain);
        return false;
    }
    if (!key_form(states)) {
        mri_user_nomem(states);
        return false;
    }
    *out =
        (struct mr_timer){.domain = domain,
                          .hold_us = MR_TIME_MAX,
                          .ns = states->ns,
                          .tag = tag,
                          .key_group = mr_key_group(states->hash, states->options.key_group_count),
                          .key = {states->form.data, states->form.size_bytes}};
    return true;
}

void mr_user_timer_set(struct mr_user_states *states, enum mr_time_domain domain, int64_t time_us,
                       uint32_t tag, int64_t hold_us)
{
    struct mr_timer timer;

    if (!timer_at(states, "mr_timer_set", domain, tag, &timer)) return;
    if (time_us <= MR_TIME_MIN || time_us >= MR_TIME_MAX) {
        mri_user_fail(states, MR_E_RECORD, "a timer's time, %lld, is out of range",
                      (long long)time_us);
        return;
    }
    if (hold_us != MR_TIME_MAX &&
        (hold_us <= MR_TIME_MIN || (domain == MR_EVENT_TIME && hold_us > time_us))) {
        mri_user_fail(states, MR_E_RECORD,
                      "a timer's output time, %lld, must not be after the timer itself, %lld",
                      (long long)hold_us, (long long)time_us);
        return;
    }
    timer.time_us = time_us;
    timer.hold_us = hold_us;
    if (!mr_timers_set(mr_store_timers(states->main), &timer)) mri_user_nomem(states);
}

void mr_user_timer_clear(struct mr_user_states *states, enum mr_time_domain domain, uint32_t tag)
{
    struct mr_timer timer;

    if (!timer_at(states, "mr_timer_clear", domain, tag, &timer)) return;
    mr_timers_clear(mr_store_timers(states->main), &timer);
}

struct mr_timers *mr_user_states_timers(struct mr_user_states *states)
{
    return mr_store_timers(states->main);
}

/* ---- reclaiming ---- */

static void reclaim_slot(struct mri_user_state *state, struct mr_table *table, uint32_t slot)
{
    if (!mr_table_live(table, slot)) return;
    if (!mri_record_expired(state, mri_record(table, slot))) return;
    if (state->collection) {
        mri_element_remove(state, table, slot);
    } else {
        mr_table_remove(table, slot);
        (void)mri_user_drop_empty(state->store, table);
    }
}

static void reclaim(struct mri_user_state *state, uint32_t slots)
{
    bool again = false; /* one time round is enough */

    while (slots > 0) {
        struct mr_table *table = mr_store_next(state->store, state->number, state->reclaim_ns);

        if (table == NULL || table->ns != state->reclaim_ns) state->reclaim_slot = 0;
        if (table == NULL) {
            if (again) return;
            again = true;
            state->reclaim_ns = INT64_MIN;
            continue;
        }
        state->reclaim_ns = table->ns;
        if (state->reclaim_slot >= table->end) {
            if (table->ns == INT64_MAX) {
                state->reclaim_ns = INT64_MIN;
                return;
            }
            state->reclaim_ns++;
            continue;
        }
        slots--;
        reclaim_slot(state, table, state->reclaim_slot++); /* the table may be gone now */
    }
}

void mr_user_states_reclaim(struct mr_user_states *states, uint32_t slots)
{
    for (uint32_t i = 0; i < states->state_count; i++) {
        if (states->states[i].stamped) reclaim(&states->states[i], slots);
    }
    states->generation++;
}

void mr_user_states_check(struct mr_user_states *states)
{
    for (uint32_t i = 0; i < states->state_count; i++) {
        struct mri_user_state *state = &states->states[i];
        int64_t from = INT64_MIN;

        if (state->collection) {
            mri_elements_check(state);
            continue;
        }
        for (struct mr_table *table;
             (table = mr_store_next(state->store, state->number, from)) != NULL;) {
            for (uint32_t slot = 0; slot < table->end; slot++) { /* (3) */
                if (!mr_table_live(table, slot)) continue;
                mr_assert((*mri_head(state, mri_record(table, slot)) & MRI_RECORD_SET) != 0);
            }
            mri_table_check(table);
            if (table->ns == INT64_MAX) break;
            from = table->ns + 1;
        }
    }
    mr_timers_check(mr_store_timers(states->main));
}
