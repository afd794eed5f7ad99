/* user_state_seal.c - what changed in all stores of a function, and back; see user_state.h.
 *
 * First come the schemas (values of the operator named "schema:" and the state's name; without a
 * name: the key), in the first seal of an attempt and in every full one, so that whoever restores
 * knows them before the entries. Broadcast state is the same in all instances: that of the first
 * key group seals it, as values (state name, key) that every instance is given: 1 and the value, or
 * 0 where the key was removed.
 */
#include "base/assert.h"
#include "base/status.h"
#include "state/user_state_internal.h"

#include <string.h>

#define SCHEMA       "schema:"
#define SCHEMA_BYTES (sizeof SCHEMA - 1)

/* ---- seal ---- */

static enum mr_status seal_schema(struct mr_user_states *states, struct mri_user_state *state,
                                  mr_entry_fn yield, void *self, struct mr_error *err)
{
    const char *name = state != NULL ? state->schema_key : SCHEMA;
    struct mr_entry entry = {.kind = MR_ENTRY_VALUE,
                             .state_name = "",
                             .key = {name, strlen(name)},
                             .group_first = states->options.group_first,
                             .group_end = states->options.group_end};
    struct mr_buffer value;
    enum mr_status st;

    mr_buffer_init(&value, states->heap);
    if (mri_schema_encode(states, state, &value)) {
        entry.value = (struct mr_bytes){value.data, value.size_bytes};
        st = yield(self, &entry, err);
    } else {
        st = mr_error_nomem(err, "sealing state", 256);
    }
    mr_buffer_fini(&value);
    return st;
}

struct broadcast {
    struct mr_user_states *states;
    mr_entry_fn yield;
    void *self;
    struct mr_buffer value;
};

static enum mr_status yield_broadcast(void *self, const struct mr_entry *from, struct mr_error *err)
{
    struct broadcast *broadcast = self;
    struct mr_entry entry = {.kind = MR_ENTRY_VALUE,
                             .state_name = from->state_name,
                             .key = from->key,
                             .group_first = broadcast->states->options.group_first,
                             .group_end = broadcast->states->options.group_end};
    char there = from->kind == MR_ENTRY_PUT ? 1 : 0;

    mr_assert(from->kind == MR_ENTRY_PUT || from->kind == MR_ENTRY_REMOVE);
    mr_buffer_clear(&broadcast->value);
    if (!mr_buffer_put(&broadcast->value, &there, 1) ||
        !mr_buffer_put(&broadcast->value, from->value.data, from->value.size_bytes)) {
        return mr_error_nomem(err, "sealing state", from->value.size_bytes);
    }
    entry.value = (struct mr_bytes){broadcast->value.data, broadcast->value.size_bytes};
    return broadcast->yield(broadcast->self, &entry, err);
}

static enum mr_status seal_broadcast(struct mri_user_state *state, bool full, mr_entry_fn yield,
                                     void *self, struct mr_error *err)
{
    struct broadcast broadcast = {.states = state->all, .yield = yield, .self = self};
    enum mr_status st;

    if (state->all->options.group_first != 0) return MR_OK;
    mr_buffer_init(&broadcast.value, state->all->heap);
    st = mr_store_seal(state->store, full, yield_broadcast, &broadcast, err);
    mr_buffer_fini(&broadcast.value);
    return st;
}

enum mr_status mr_user_states_seal(struct mr_user_states *states, bool full, mr_entry_fn yield,
                                   void *self, struct mr_error *err)
{
    if (full || !states->schemas_sealed) {
        MR_RET(seal_schema(states, NULL, yield, self, err));
        for (uint32_t i = 0; i < states->state_count; i++) {
            MR_RET(seal_schema(states, &states->states[i], yield, self, err));
        }
    }
    MR_RET(mr_store_seal(states->main, full, yield, self, err));
    for (uint32_t i = 0; i < states->state_count; i++) {
        struct mri_user_state *state = &states->states[i];

        if (!state->collection) continue;
        if (state->spec->kind == MR_STATE_BROADCAST) {
            MR_RET(seal_broadcast(state, full, yield, self, err));
        } else {
            MR_RET(mr_store_seal(state->store, full, yield, self, err));
        }
    }
    states->schemas_sealed = true;
    return MR_OK;
}

/* ---- restore ---- */

static struct mri_user_state *find_state(struct mr_user_states *states, const char *name,
                                         size_t size_bytes)
{
    for (uint32_t i = 0; i < states->state_count; i++) {
        const char *known = states->states[i].spec->name;

        if (strlen(known) == size_bytes && memcmp(known, name, size_bytes) == 0) {
            return &states->states[i];
        }
    }
    return NULL;
}

static enum mr_status unknown(const struct mr_user_states *states, const char *name,
                              size_t size_bytes, struct mr_error *err)
{
    return mr_error_set(err, MR_E_NOT_FOUND,
                        "operator '%s': the snapshot holds a state named '%.*s' that this program "
                        "does not declare; was it renamed or removed?",
                        states->options.operator_id, (int)MR_MIN(size_bytes, (size_t)200), name);
}

static enum mr_status restore_schema(struct mr_user_states *states, const struct mr_entry *entry,
                                     struct mr_error *err)
{
    const char *name = entry->key.data + SCHEMA_BYTES;
    size_t size = entry->key.size_bytes - SCHEMA_BYTES;
    struct mri_user_state *state = NULL;

    if (size > 0) {
        state = find_state(states, name, size);
        if (state == NULL) return unknown(states, name, size, err);
    }
    return mri_schema_compare(states, state, entry->value, err);
}

static enum mr_status restore_broadcast(struct mr_user_states *states, const struct mr_entry *from,
                                        struct mr_error *err)
{
    struct mri_user_state *state = find_state(states, from->state_name, strlen(from->state_name));
    struct mr_entry entry = {
        .kind = MR_ENTRY_REMOVE, .state_name = from->state_name, .key = from->key};

    if (state == NULL) return unknown(states, from->state_name, strlen(from->state_name), err);
    if (state->spec->kind != MR_STATE_BROADCAST || from->value.size_bytes == 0 ||
        (unsigned char)from->value.data[0] > 1) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "operator '%s': the broadcast state '%s' is not what was written",
                            states->options.operator_id, from->state_name);
    }
    if (from->value.data[0] == 1) {
        entry.kind = MR_ENTRY_PUT;
        entry.value = (struct mr_bytes){from->value.data + 1, from->value.size_bytes - 1};
    }
    return mr_store_restore(state->store, &entry, 0, 1, err);
}

enum mr_status mr_user_states_restore(struct mr_user_states *states, const struct mr_entry *entry,
                                      struct mr_error *err)
{
    const struct mr_user_states_options *options = &states->options;
    bool keyed = entry->kind == MR_ENTRY_PUT || entry->kind == MR_ENTRY_REMOVE ||
                 entry->kind == MR_ENTRY_DROP;
    struct mr_store *store = states->main;

    if (entry->kind == MR_ENTRY_VALUE && entry->state_name[0] != '\0') {
        return restore_broadcast(states, entry, err);
    }
    if (entry->kind == MR_ENTRY_VALUE && entry->key.size_bytes >= SCHEMA_BYTES &&
        memcmp(entry->key.data, SCHEMA, SCHEMA_BYTES) == 0) {
        return restore_schema(states, entry, err);
    }
    if (keyed) {
        struct mri_user_state *state =
            find_state(states, entry->state_name, strlen(entry->state_name));

        if (state != NULL && state->spec->kind != MR_STATE_BROADCAST) store = state->store;
    }
    return mr_store_restore(store, entry, options->group_first, options->group_end, err);
}

enum mr_status mr_user_states_restored(struct mr_user_states *states, struct mr_error *err)
{
    for (uint32_t i = 0; i < states->state_count; i++) {
        if (!states->states[i].collection) continue;
        MR_RET(mri_elements_chain(&states->states[i], err));
    }
    states->generation++;
    return MR_OK;
}
