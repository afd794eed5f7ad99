/* user_state_elements.c - collections: elements of a key in a chain; see user_state.h. */
#include "base/assert.h"
#include "base/status.h"
#include "state/user_state_internal.h"

#include <string.h>

#define KIND(name) (1u << MR_STATE_##name)
#define COLLECTIONS                                                                  \
    (KIND(LIST) | KIND(MAP) | KIND(SET) | KIND(ORDERED_LIST) | KIND(OPERATOR_LIST) | \
     KIND(BROADCAST))

static struct mri_link *link_of(const struct mr_table *table, uint32_t slot)
{
    return (struct mri_link *)(void *)mri_record(table, slot);
}

/* The time of an element of an ordered list: it is part of its key. */
static int64_t time_of(const struct mri_user_state *state, const struct mr_table *table,
                       uint32_t slot)
{
    return (int64_t)mri_image(table, slot)[state->store->shape.columns[state->prefix].word];
}

/* ---- chains ---- */

/* The chain of the key at hand: NULL if there is none. *out_owner is its slot. */
static struct mri_chain *find_chain(struct mri_user_state *state, uint32_t *out_owner)
{
    struct mr_user_states *all = state->all;

    *out_owner = MR_SLOT_NONE;
    if (!state->keyed) return &state->lone;
    if (state->at != all->generation) {
        mri_user_image(all);
        state->table = mr_store_find(all->chains, state->chain_number, all->ns);
        state->slot = state->table == NULL ? MR_SLOT_NONE
                                           : mri_table_find(state->table, all->image, &all->texts);
        state->at = all->generation;
    }
    *out_owner = state->slot;
    if (state->slot == MR_SLOT_NONE) return NULL;
    return (struct mri_chain *)(void *)mri_record(state->table, state->slot);
}

static void drop_chain_if_empty(struct mri_user_state *state, struct mr_table *chains,
                                uint32_t owner)
{
    struct mri_chain *chain = (struct mri_chain *)(void *)mri_record(chains, owner);

    if (chain->count > 0) return;
    mr_table_remove(chains, owner);
    (void)mri_user_drop_empty(state->all->chains, chains);
    state->all->generation++;
}

static struct mri_chain *make_chain(struct mri_user_state *state, uint32_t *out_owner)
{
    struct mr_user_states *all = state->all;
    struct mri_chain *chain = find_chain(state, out_owner);
    bool is_new;

    if (chain != NULL) return chain;
    state->table = mr_store_table(all->chains, state->chain_number, all->ns);
    if (state->table == NULL) {
        all->generation++;
        return NULL;
    }
    state->slot = mri_table_resolve(state->table, all->image, &all->texts, &is_new);
    *out_owner = state->slot;
    if (state->slot == MR_SLOT_NONE) {
        (void)mri_user_drop_empty(all->chains, state->table);
        all->generation++;
        return NULL;
    }
    chain = (struct mri_chain *)(void *)mri_record(state->table, state->slot);
    chain->first = chain->last = MR_SLOT_NONE;
    return chain;
}

/* The chain of an element, whatever key is at hand. */
static struct mri_chain *chain_of(struct mri_user_state *state, const struct mr_table *table,
                                  uint32_t slot, struct mr_table **out_chains)
{
    uint32_t owner = link_of(table, slot)->owner;

    *out_chains = NULL;
    if (!state->keyed) return &state->lone;
    *out_chains = mr_store_find(state->all->chains, state->chain_number, table->ns);
    mr_assert(*out_chains != NULL && mr_table_live(*out_chains, owner)); /* (1) */
    return (struct mri_chain *)(void *)mri_record(*out_chains, owner);
}

/* Puts an element behind `after` (MR_SLOT_NONE: in front). */
static void link_behind(struct mr_table *table, struct mri_chain *chain, uint32_t slot,
                        uint32_t after)
{
    struct mri_link *link = link_of(table, slot);

    link->prev = after;
    link->next = after == MR_SLOT_NONE ? chain->first : link_of(table, after)->next;
    if (link->next == MR_SLOT_NONE) {
        chain->last = slot;
    } else {
        link_of(table, link->next)->prev = slot;
    }
    if (after == MR_SLOT_NONE) {
        chain->first = slot;
    } else {
        link_of(table, after)->next = slot;
    }
    chain->count++;
}

static void unlink_element(struct mr_table *table, struct mri_chain *chain, uint32_t slot)
{
    const struct mri_link *link = link_of(table, slot);

    if (link->prev == MR_SLOT_NONE) {
        chain->first = link->next;
    } else {
        link_of(table, link->prev)->next = link->next;
    }
    if (link->next == MR_SLOT_NONE) {
        chain->last = link->prev;
    } else {
        link_of(table, link->next)->prev = link->prev;
    }
    chain->count--;
}

void mri_element_remove(struct mri_user_state *state, struct mr_table *table, uint32_t slot)
{
    struct mr_table *chains;
    uint32_t owner = link_of(table, slot)->owner;

    unlink_element(table, chain_of(state, table, slot, &chains), slot);
    mr_table_remove(table, slot);
    (void)mri_user_drop_empty(state->store, table);
    if (chains != NULL) drop_chain_if_empty(state, chains, owner);
    state->structure++;
}

/* ---- keys of elements ---- */

/* Begins the image of an element of the key at hand. */
static void begin_image(struct mri_user_state *state)
{
    struct mr_user_states *all = state->all;
    uint32_t words = 1;

    memset(all->element, 0, state->store->shape.words * sizeof *all->element);
    if (state->prefix == 0) return;
    mri_user_image(all);
    words = all->main->shape.words;
    memcpy(all->element + 1, all->image + 1, (words - 1) * sizeof *all->element);
    all->element[0] = all->image[0] & ~(uint64_t)UINT32_MAX;
    memcpy(all->element_texts.buffers, all->texts.buffers,
           state->prefix * sizeof *all->element_texts.buffers);
}

static void put_int(struct mri_user_state *state, uint32_t at, int64_t value)
{
    const struct mri_key_column *column = &state->store->shape.columns[state->prefix + at];

    state->all->element[column->word] = (uint64_t)value;
    state->all->element_texts.buffers[state->prefix + at] = NULL;
}

static void close_image(struct mri_user_state *state)
{
    struct mr_user_states *all = state->all;
    uint64_t hash =
        mri_image_hash_rest(&state->store->shape, state->prefix, state->prefix > 0 ? all->hash : 0,
                            all->element, &all->element_texts);

    all->element[0] |= (uint32_t)hash;
}

static bool int_cell_fits(enum mr_layout layout, int64_t value)
{
    uint32_t bytes = mr_layout_bytes(layout);
    uint32_t unused = 64 - 8 * bytes;

    if (layout == MR_LAYOUT_BIT) return value == 0 || value == 1;
    return bytes == 8 || (int64_t)((uint64_t)value << unused) >> unused == value;
}

/* One datum of a user's key; false after remembering why not. */
static bool put_datum(struct mri_user_state *state, uint32_t at, const struct mr_datum *datum)
{
    struct mr_user_states *all = state->all;
    uint32_t index = state->prefix + at;
    const struct mri_key_column *column = &state->store->shape.columns[index];
    enum mr_layout layout = (enum mr_layout)column->layout;
    uint64_t *cell = all->element + column->word;
    struct mr_view view;

    all->element_texts.buffers[index] = &all->element_data[index];
    if (datum->kind == MR_DATUM_NULL) {
        all->element[0] |= UINT64_C(1) << (32 + index);
        return true;
    }
    if (datum->kind == MR_DATUM_BYTES && layout == MR_LAYOUT_VIEW) {
        if (datum->u.bytes.size_bytes > 1024 * 1024) {
            mri_user_fail(all, MR_E_LIMIT, "state '%s': a key of %zu bytes; at most 1 MiB",
                          state->spec->name, datum->u.bytes.size_bytes);
            return false;
        }
        all->element_data[index] = datum->u.bytes.data;
        view = mr_view_make(datum->u.bytes.size_bytes == 0 ? "" : datum->u.bytes.data,
                            (uint32_t)datum->u.bytes.size_bytes, 0, 0);
        memcpy(cell, &view, sizeof view);
        return true;
    }
    if (datum->kind == MR_DATUM_DECIMAL && layout == MR_LAYOUT_I128) {
        memcpy(cell, &datum->u.decimal, 16);
        return true;
    }
    if (datum->kind == MR_DATUM_INT64 && layout != MR_LAYOUT_VIEW && layout != MR_LAYOUT_I128) {
        if (int_cell_fits(layout, datum->u.int64)) {
            *cell = (uint64_t)datum->u.int64;
            return true;
        }
        mri_user_fail(all, MR_E_OVERFLOW, "state '%s', key '%s': %lld is out of the range of %s",
                      state->spec->name, state->spec->keys[at].name, (long long)datum->u.int64,
                      mr_type_name(state->spec->keys[at].type));
        return false;
    }
    mr_user_states_misuse(all, "state '%s', key '%s' is %s: a value of another kind was given",
                          state->spec->name, state->spec->keys[at].name,
                          mr_type_name(state->spec->keys[at].type));
    return false;
}

static bool user_image(struct mri_user_state *state, const struct mr_datum *key)
{
    begin_image(state);
    for (uint32_t i = 0; i < state->spec->key_count; i++) {
        if (!put_datum(state, i, &key[i])) return false;
    }
    close_image(state);
    return true;
}

static int64_t namespace_of(const struct mri_user_state *state)
{
    return state->keyed ? state->all->ns : 0;
}

static uint32_t find_element(struct mri_user_state *state, struct mr_table **out_table)
{
    *out_table = mr_store_find(state->store, 0, namespace_of(state));
    if (*out_table == NULL) return MR_SLOT_NONE;
    return mri_table_find(*out_table, state->all->element, &state->all->element_texts);
}

/* ---- making elements ---- */

/* Behind which element one that comes now stands. */
static uint32_t place_for(const struct mri_user_state *state, const struct mr_table *table,
                          const struct mri_chain *chain, int64_t time_us)
{
    uint32_t at = chain->last;

    if (state->spec->kind != MR_STATE_ORDERED_LIST) return at;
    while (at != MR_SLOT_NONE && time_of(state, table, at) > time_us) at = link_of(table, at)->prev;
    return at;
}

/* Makes the element whose image is ready, in the chain that was made for it. */
static struct mr_record make_element(struct mri_user_state *state, struct mri_chain *chain,
                                     uint32_t owner, int64_t time_us)
{
    struct mr_user_states *all = state->all;
    struct mr_table *table = mr_store_table(state->store, 0, namespace_of(state));
    uint32_t slot = MR_SLOT_NONE;
    bool is_new = false;
    struct mri_link *link;

    if (table != NULL) {
        slot = mri_table_resolve(table, all->element, &all->element_texts, &is_new);
    }
    if (slot == MR_SLOT_NONE) {
        if (table != NULL) (void)mri_user_drop_empty(state->store, table);
        if (state->keyed) drop_chain_if_empty(state, state->table, owner);
        mri_user_nomem(all);
        return (struct mr_record){.data = NULL};
    }
    mr_assert(is_new);
    link = link_of(table, slot);
    link->owner = owner;
    link->seq = chain->next_seq++;
    link_behind(table, chain, slot, place_for(state, table, chain, time_us));
    *mri_head(state, link) = MRI_RECORD_SET;
    mri_record_written(state, link);
    mr_table_touch(table, slot);
    return mri_record_of(state, table, slot);
}

static struct mr_record no_chain(struct mri_user_state *state)
{
    mri_user_nomem(state->all);
    return (struct mr_record){.data = NULL};
}

struct mr_record mr_user_append(struct mr_user_states *states, uint32_t number)
{
    struct mri_user_state *state =
        mri_user_at(states, number, KIND(LIST) | KIND(OPERATOR_LIST), "mr_list_append");
    const struct mr_user_states_options *options = &states->options;
    struct mri_chain *chain;
    uint32_t owner;

    if (state == NULL) return (struct mr_record){.data = NULL};
    chain = make_chain(state, &owner);
    if (chain == NULL) return no_chain(state);
    begin_image(state);
    if (state->keyed) {
        put_int(state, 0, (int64_t)chain->next_seq);
    } else { /* spread over the groups of this instance, so that a rescale spreads them */
        uint32_t groups = options->group_end - options->group_first;

        put_int(state, 0, options->group_first + (int64_t)(chain->next_seq % groups));
        put_int(state, 1, (int64_t)chain->next_seq);
    }
    close_image(state);
    return make_element(state, chain, owner, 0);
}

struct mr_record mr_user_add_at(struct mr_user_states *states, uint32_t number, int64_t time_us)
{
    struct mri_user_state *state =
        mri_user_at(states, number, KIND(ORDERED_LIST), "mr_ordered_add");
    struct mri_chain *chain;
    uint32_t owner;

    if (state == NULL) return (struct mr_record){.data = NULL};
    chain = make_chain(state, &owner);
    if (chain == NULL) return no_chain(state);
    begin_image(state);
    put_int(state, 0, time_us);
    put_int(state, 1, (int64_t)chain->next_seq);
    close_image(state);
    return make_element(state, chain, owner, time_us);
}

static struct mri_user_state *map_at(struct mr_user_states *states, uint32_t number, bool set,
                                     bool writes, const char *call)
{
    struct mri_user_state *state =
        mri_user_at(states, number, set ? KIND(SET) : KIND(MAP) | KIND(BROADCAST), call);

    if (state == NULL || !writes || state->spec->kind != MR_STATE_BROADCAST ||
        states->broadcast_allowed) {
        return state;
    }
    mr_user_states_misuse(states,
                          "%s: broadcast state '%s' may be changed by on_broadcast only, so that "
                          "all instances have it alike",
                          call, state->spec->name);
    return NULL;
}

/* An expired element is as good as none: it goes to the end, with nothing in it. */
static void begin_anew(struct mri_user_state *state, struct mr_table *table, uint32_t slot)
{
    struct mr_table *chains;
    struct mri_chain *chain = chain_of(state, table, slot, &chains);
    struct mri_link *link = link_of(table, slot);

    unlink_element(table, chain, slot);
    link->seq = chain->next_seq++;
    link_behind(table, chain, slot, chain->last);
    mri_record_reset(state, link);
    *mri_head(state, link) = MRI_RECORD_SET;
}

struct mr_record mr_user_element(struct mr_user_states *states, uint32_t number, bool set,
                                 const struct mr_datum *key, enum mr_user_entry what, bool *out_new)
{
    bool make = what == MR_USER_MAKE;
    struct mri_user_state *state = map_at(states, number, set, make,
                                          set    ? make ? "mr_set_add" : "mr_set_has"
                                          : make ? "mr_map_make"
                                                 : "mr_map_find");
    const struct mr_record none = {.data = NULL};
    struct mr_table *table;
    struct mri_chain *chain;
    uint32_t slot, owner;
    bool gone;

    *out_new = false;
    if (state == NULL || !user_image(state, key)) return none;
    slot = find_element(state, &table);
    gone = slot != MR_SLOT_NONE && mri_record_expired(state, mri_record(table, slot));
    if (slot == MR_SLOT_NONE || gone) {
        if (!make) return none;
        *out_new = true;
    }
    if (slot == MR_SLOT_NONE) {
        chain = make_chain(state, &owner);
        return chain == NULL ? no_chain(state) : make_element(state, chain, owner, 0);
    }
    if (gone) begin_anew(state, table, slot);
    if (make) {
        mri_record_written(state, mri_record(table, slot));
        mr_table_touch(table, slot);
    }
    return mri_record_of(state, table, slot);
}

bool mr_user_remove(struct mr_user_states *states, uint32_t number, bool set,
                    const struct mr_datum *key)
{
    struct mri_user_state *state =
        map_at(states, number, set, true, set ? "mr_set_remove" : "mr_map_remove");
    struct mr_table *table;
    uint32_t slot;
    bool was_there;

    if (state == NULL || !user_image(state, key)) return false;
    slot = find_element(state, &table);
    if (slot == MR_SLOT_NONE) return false;
    was_there = !mri_record_expired(state, mri_record(table, slot));
    mri_element_remove(state, table, slot);
    return was_there;
}

/* ---- going through ---- */

static struct mr_table *element_table(const struct mri_user_state *state)
{
    return mr_store_find(state->store, 0, namespace_of(state));
}

void mri_elements_clear(struct mri_user_state *state)
{
    struct mr_table *table = element_table(state);
    uint32_t owner;
    struct mri_chain *chain;

    if (state->spec->kind == MR_STATE_BROADCAST && !state->all->broadcast_allowed) {
        (void)map_at(state->all, (uint32_t)(state - state->all->states), false, true,
                     "mr_state_clear");
        return;
    }
    chain = find_chain(state, &owner);
    if (chain == NULL) return;
    for (uint32_t left = chain->count, slot = chain->first; left > 0; left--) {
        uint32_t next = link_of(table, slot)->next;

        mri_element_remove(state, table, slot);
        slot = next;
    }
}

uint64_t mri_elements_count(struct mri_user_state *state)
{
    struct mr_table *table = element_table(state);
    uint32_t owner;
    struct mri_chain *chain = find_chain(state, &owner);
    uint64_t count = 0;

    if (chain == NULL) return 0;
    if (!state->stamped) return chain->count;
    for (uint32_t slot = chain->first; slot != MR_SLOT_NONE; slot = link_of(table, slot)->next) {
        count += !mri_record_expired(state, mri_record(table, slot));
    }
    return count;
}

static struct mr_iterator iterate(struct mri_user_state *state, int64_t first_us, int64_t end_us)
{
    struct mr_iterator it = {.state = (uint32_t)(state - state->all->states),
                             .structure = state->structure,
                             .first_us = first_us,
                             .end_us = end_us,
                             .slot = MR_SLOT_NONE};
    struct mri_chain *chain = find_chain(state, &it.owner);

    if (chain == NULL) return it;
    it.table = element_table(state);
    it.limit = chain->next_seq;
    return it;
}

struct mr_iterator mr_user_iterate(struct mr_user_states *states, uint32_t number)
{
    struct mri_user_state *state = mri_user_at(states, number, COLLECTIONS, "mr_state_iterate");

    if (state == NULL) return (struct mr_iterator){.slot = MR_SLOT_NONE};
    return iterate(state, INT64_MIN, INT64_MAX);
}

struct mr_iterator mr_user_iterate_range(struct mr_user_states *states, uint32_t number,
                                         int64_t first_us, int64_t end_us)
{
    struct mri_user_state *state =
        mri_user_at(states, number, KIND(ORDERED_LIST), "mr_ordered_iterate");

    if (state == NULL) return (struct mr_iterator){.slot = MR_SLOT_NONE};
    return iterate(state, first_us, end_us);
}

/* Is this one to be given? Those that were added meanwhile are not, and those that are given do not
 * change their place. */
static bool wanted(const struct mri_user_state *state, const struct mr_iterator *it, uint32_t slot)
{
    if (link_of(it->table, slot)->seq >= it->limit) return false;
    if (state->spec->kind == MR_STATE_ORDERED_LIST &&
        time_of(state, it->table, slot) < it->first_us) {
        return false;
    }
    return !mri_record_expired(state, mri_record(it->table, slot));
}

static uint32_t first_of(struct mri_user_state *state, const struct mr_iterator *it)
{
    const struct mr_table *table = it->table;
    struct mr_table *chains;

    if (!state->keyed) return state->lone.first;
    chains = mr_store_find(state->all->chains, state->chain_number, table->ns);
    if (chains == NULL || !mr_table_live(chains, it->owner)) return MR_SLOT_NONE;
    return ((const struct mri_chain *)(void *)mri_record(chains, it->owner))->first;
}

bool mr_user_next(struct mr_user_states *states, struct mr_iterator *it, struct mr_record *out)
{
    struct mri_user_state *state;
    struct mr_table *table = it->table;
    uint32_t slot;

    it->given = false;
    if (table == NULL) return false;
    state = &states->states[it->state];
    if (it->structure != state->structure) {
        mr_user_states_misuse(states,
                              "mr_iterator_next: elements of state '%s' were removed in another "
                              "way than by mr_iterator_remove",
                              state->spec->name);
        it->table = NULL;
        return false;
    }
    slot = it->slot == MR_SLOT_NONE ? first_of(state, it) : link_of(table, it->slot)->next;
    while (slot != MR_SLOT_NONE && !wanted(state, it, slot)) slot = link_of(table, slot)->next;
    if (slot == MR_SLOT_NONE ||
        (state->spec->kind == MR_STATE_ORDERED_LIST && it->end_us != INT64_MAX &&
         time_of(state, table, slot) >= it->end_us)) {
        it->table = NULL;
        return false;
    }
    it->slot = slot;
    it->given = true;
    *out = mri_record_of(state, table, slot);
    return true;
}

void mr_user_iterator_remove(struct mr_user_states *states, struct mr_iterator *it)
{
    struct mri_user_state *state;
    struct mr_table *table = it->table;
    struct mr_table *chains;
    uint32_t slot = it->slot;

    if (table == NULL || !it->given || it->structure != states->states[it->state].structure) {
        mr_user_states_misuse(states, "mr_iterator_remove: the iterator is at no element");
        return;
    }
    state = &states->states[it->state];
    if (state->spec->kind == MR_STATE_BROADCAST &&
        map_at(states, it->state, false, true, "mr_iterator_remove") == NULL) {
        return;
    }
    do {
        it->slot = link_of(table, it->slot)->prev;
    } while (it->slot != MR_SLOT_NONE && !wanted(state, it, it->slot));
    it->given = false;
    /* The last one: what is added later is in a new chain. */
    if (chain_of(state, table, slot, &chains)->count == 1) it->table = NULL;
    mri_element_remove(state, table, slot);
    it->structure = state->structure;
}

uint64_t mr_user_remove_range(struct mr_user_states *states, uint32_t number, int64_t first_us,
                              int64_t end_us)
{
    struct mri_user_state *state =
        mri_user_at(states, number, KIND(ORDERED_LIST), "mr_ordered_remove");
    struct mr_iterator it;
    struct mr_record record;
    uint64_t count = 0;

    if (state == NULL) return 0;
    it = iterate(state, first_us, end_us);
    while (mr_user_next(states, &it, &record)) {
        mr_user_iterator_remove(states, &it);
        count++;
    }
    return count;
}

/* ---- what an element is called ---- */

struct mr_datum mr_user_key(const struct mr_user_states *states, const struct mr_record *record,
                            uint32_t key)
{
    struct mr_datum out = {.kind = MR_DATUM_NULL};
    const struct mri_user_state *state;
    struct mr_table *table = record->table;
    struct mr_column column;

    if (record->data == NULL) return out;
    state = &states->states[record->state];
    if (key >= state->spec->key_count) return out;
    mri_image_column(&state->store->shape, mri_image(table, record->slot), mri_chunks(table),
                     table->texts.chunk_count, state->prefix + key, &column);
    if (!mr_column_valid(&column, 0)) return out;
    switch (mr_type_layout((enum mr_type)column.type)) {
    case MR_LAYOUT_VIEW:
        out.kind = MR_DATUM_BYTES;
        out.u.bytes = mr_column_bytes(&column, 0);
        break;
    case MR_LAYOUT_I128:
        out.kind = MR_DATUM_DECIMAL;
        memcpy(&out.u, column.values, 16);
        break;
    case MR_LAYOUT_BIT:
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64: out = mr_datum_int64(mr_column_int64(&column, 0)); break;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
    return out;
}

int64_t mr_user_time(const struct mr_user_states *states, const struct mr_record *record)
{
    const struct mri_user_state *state;

    if (record->data == NULL) return MR_TIME_MIN;
    state = &states->states[record->state];
    if (state->spec->kind != MR_STATE_ORDERED_LIST) return MR_TIME_MIN;
    return time_of(state, record->table, record->slot);
}

/* ---- chains from elements, after a restore ---- */

struct place {
    uint32_t owner;
    uint32_t slot;
    int64_t first;
    uint64_t second;
};

static bool before(const struct place *left, const struct place *right)
{
    if (left->owner != right->owner) return left->owner < right->owner;
    if (left->first != right->first) return left->first < right->first;
    return left->second < right->second;
}

static void sift(struct place *places, size_t at, size_t count)
{
    struct place moving = places[at];

    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && before(&places[child], &places[child + 1])) child++;
        if (!before(&moving, &places[child])) break;
        places[at] = places[child];
    }
    places[at] = moving;
}

/* Heap sort: in place, no recursion. */
static void sort(struct place *places, size_t count)
{
    for (size_t at = count / 2; at-- > 0;) sift(places, at, count);
    for (size_t left = count; left-- > 1;) {
        struct place last = places[left];

        places[left] = places[0];
        places[0] = last;
        sift(places, 0, left);
    }
}

/* The chain of a restored element: found by the part of its key that is the stream's. */
static bool find_owner(struct mri_user_state *state, struct mr_table *table, uint32_t slot,
                       struct mr_table *chains, uint32_t *out_owner)
{
    const struct mri_key_shape *shape = &state->all->main->shape;
    const uint64_t *element = mri_image(table, slot);
    uint64_t image[MRI_KEY_WORDS_MAX];
    struct mri_key_texts texts;
    struct mri_chain *chain;
    bool is_new;

    *out_owner = MR_SLOT_NONE;
    if (!state->keyed) return true;
    memcpy(image, element, shape->words * sizeof *image);
    image[0] = element[0] >> 32 & ((UINT64_C(1) << shape->column_count) - 1);
    image[0] = image[0] << 32 | (uint32_t)mri_image_hash_first(shape, shape->column_count, element,
                                                               mri_chunks(table));
    mri_texts_of_chunks(shape, mri_chunks(table), &texts);
    *out_owner = mri_table_resolve(chains, image, &texts, &is_new);
    if (*out_owner == MR_SLOT_NONE) return false;
    chain = (struct mri_chain *)(void *)mri_record(chains, *out_owner);
    if (is_new) chain->first = chain->last = MR_SLOT_NONE;
    return true;
}

static struct place place_of(const struct mri_user_state *state, struct mr_table *table,
                             uint32_t slot)
{
    const struct mri_key_shape *shape = &state->store->shape;
    const uint64_t *image = mri_image(table, slot);
    struct mri_link *link = link_of(table, slot);
    struct place place = {.slot = slot};

    switch (state->spec->kind) {
    case MR_STATE_LIST: link->seq = image[shape->columns[state->prefix].word]; break;
    case MR_STATE_ORDERED_LIST:
        link->seq = image[shape->columns[state->prefix + 1].word];
        place.first = time_of(state, table, slot);
        place.second = link->seq;
        return place;
    case MR_STATE_OPERATOR_LIST:
        link->seq = image[shape->columns[1].word];
        place.second = image[shape->columns[0].word];
        break;
    case MR_STATE_MAP:
    case MR_STATE_SET:
    case MR_STATE_BROADCAST:
    case MR_STATE_VALUE:
    case MR_STATE_AGGREGATING: break;
    }
    place.first = (int64_t)link->seq;
    return place;
}

static void link_places(struct mri_user_state *state, struct mr_table *table,
                        struct mr_table *chains, const struct place *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct mri_link *link = link_of(table, places[i].slot);
        struct mri_chain *chain = &state->lone;

        if (state->keyed) {
            chain = (struct mri_chain *)(void *)mri_record(chains, places[i].owner);
        }
        link->owner = places[i].owner;
        link_behind(table, chain, places[i].slot, chain->last);
        chain->next_seq = MR_MAX(chain->next_seq, link->seq + 1);
    }
}

static enum mr_status chain_table(struct mri_user_state *state, struct mr_table *table,
                                  struct mr_error *err)
{
    struct mr_heap *heap = state->all->heap;
    size_t count = table->count, filled = 0;
    struct mr_table *chains = NULL;
    struct place *places;

    if (count == 0) return MR_OK;
    places = mr_alloc_array(heap, count, sizeof *places);
    if (places == NULL) return mr_error_nomem(err, "restoring state", count * sizeof *places);
    if (state->keyed) chains = mr_store_table(state->all->chains, state->chain_number, table->ns);
    for (uint32_t slot = 0; slot < table->end; slot++) {
        if (!mr_table_live(table, slot)) continue;
        places[filled] = place_of(state, table, slot);
        if ((state->keyed && chains == NULL) ||
            !find_owner(state, table, slot, chains, &places[filled].owner)) {
            mr_free(heap, places, count * sizeof *places);
            return mr_error_nomem(err, "restoring state", count * sizeof *places);
        }
        filled++;
    }
    mr_assert(filled == count);
    sort(places, count);
    link_places(state, table, chains, places, count);
    mr_free(heap, places, count * sizeof *places);
    return MR_OK;
}

enum mr_status mri_elements_chain(struct mri_user_state *state, struct mr_error *err)
{
    int64_t from = INT64_MIN;

    for (;;) {
        struct mr_table *table = mr_store_next(state->store, 0, from);

        if (table == NULL) return MR_OK;
        MR_RET(chain_table(state, table, err));
        if (table->ns == INT64_MAX) return MR_OK;
        from = table->ns + 1;
    }
}

/* ---- check ---- */

static uint32_t check_chain(const struct mri_user_state *state, const struct mr_table *table,
                            const struct mri_chain *chain, uint32_t owner)
{
    uint32_t count = 0, last = MR_SLOT_NONE;

    for (uint32_t slot = chain->first; slot != MR_SLOT_NONE; slot = link_of(table, slot)->next) {
        const struct mri_link *link = link_of(table, slot);

        mr_assert(mr_table_live(table, slot) && link->owner == owner && link->prev == last);
        mr_assert(link->seq < chain->next_seq);
        mr_assert((*mri_head(state, mri_record(table, slot)) & MRI_RECORD_SET) != 0);
        if (last != MR_SLOT_NONE && state->spec->kind == MR_STATE_ORDERED_LIST) {
            mr_assert(time_of(state, table, last) <= time_of(state, table, slot));
        } else if (last != MR_SLOT_NONE && state->spec->kind != MR_STATE_OPERATOR_LIST) {
            mr_assert(link_of(table, last)->seq < link->seq);
        }
        last = slot;
        count++;
    }
    mr_assert(chain->last == last && chain->count == count);
    return count;
}

void mri_elements_check(struct mri_user_state *state)
{
    int64_t from = INT64_MIN;

    for (;;) {
        struct mr_table *table = mr_store_next(state->store, 0, from);
        struct mr_table *chains = NULL;
        uint32_t count = 0;

        if (table == NULL) return;
        mri_table_check(table);
        if (state->keyed)
            chains = mr_store_find(state->all->chains, state->chain_number, table->ns);
        mr_assert(!state->keyed || chains != NULL || table->count == 0);
        for (uint32_t owner = 0; chains != NULL && owner < chains->end; owner++) {
            const struct mri_chain *chain;

            if (!mr_table_live(chains, owner)) continue;
            chain = (const struct mri_chain *)(void *)mri_record(chains, owner);
            mr_assert(chain->count > 0); /* (2) */
            count += check_chain(state, table, chain, owner);
        }
        if (!state->keyed) count = check_chain(state, table, &state->lone, MR_SLOT_NONE);
        mr_assert(count == table->count); /* (1) */
        if (table->ns == INT64_MAX) return;
        from = table->ns + 1;
    }
}
