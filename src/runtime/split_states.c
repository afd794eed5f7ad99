#include "runtime/split_states.h"

#include "base/status.h"
#include <string.h>

#define STATE_NAME "splits"

void mr_split_states_init(struct mr_split_states *states, struct mr_heap *heap)
{
    *states = (struct mr_split_states){.heap = heap};
}

static void forget_position(struct mr_split_states *states, struct mr_split_state *state)
{
    mr_free(states->heap, state->position, state->position_bytes);
    state->position = NULL;
    state->position_bytes = 0;
}

void mr_split_states_fini(struct mr_split_states *states)
{
    if (states->heap == NULL) return;
    for (uint32_t i = 0; i < states->count; i++) forget_position(states, &states->items[i]);
    mr_free(states->heap, states->items, states->room * sizeof *states->items);
    mr_free(states->heap, states->index, states->index_count * sizeof *states->index);
    *states = (struct mr_split_states){.heap = states->heap};
}

static struct mr_split_state *add(struct mr_split_states *states, uint32_t split,
                                  struct mr_error *err)
{
    size_t old_bytes = states->room * sizeof *states->items;
    uint32_t room = states->room == 0 ? 16 : 2 * states->room;
    struct mr_split_state *grown = states->items;

    if (states->count == states->room) {
        grown = mr_realloc(states->heap, states->items, old_bytes, room * sizeof *grown);
        if (grown == NULL) {
            mr_error_nomem(err, "the list of splits", room * sizeof *grown);
            return NULL;
        }
        states->items = grown;
        states->room = room;
    }
    grown[states->count] = (struct mr_split_state){.split = split};
    return &grown[states->count++];
}

static enum mr_status keep_position(struct mr_split_states *states, struct mr_split_state *state,
                                    struct mr_bytes position, struct mr_error *err)
{
    forget_position(states, state);
    if (position.size_bytes == 0) return MR_OK;
    state->position = mr_alloc(states->heap, position.size_bytes);
    if (state->position == NULL) {
        return mr_error_nomem(err, "the position of a split", position.size_bytes);
    }
    memcpy(state->position, position.data, position.size_bytes);
    state->position_bytes = position.size_bytes;
    return MR_OK;
}

enum mr_status mr_split_states_done(struct mr_split_states *states, uint32_t split,
                                    struct mr_error *err)
{
    struct mr_split_state *state = add(states, split, err);

    if (state == NULL) return MR_E_NOMEM;
    state->done = true;
    return MR_OK;
}

enum mr_status mr_split_states_left(struct mr_split_states *states, uint32_t split,
                                    struct mr_bytes position, struct mr_error *err)
{
    struct mr_split_state *state = add(states, split, err);

    if (state == NULL) return MR_E_NOMEM;
    return keep_position(states, state, position, err);
}

/* ---- restore ---- */

static enum mr_status make_index(struct mr_split_states *states, uint32_t splits,
                                 struct mr_error *err)
{
    if (states->index != NULL) return MR_OK;
    states->index = mr_alloc_zero(states->heap, splits * sizeof *states->index);
    if (states->index == NULL) return mr_error_nomem(err, "the list of splits", splits);
    states->index_count = splits;
    return MR_OK;
}

static bool read_entry(const struct mr_entry *entry, uint32_t splits, uint32_t *out_split,
                       bool *out_done, struct mr_bytes *out_position)
{
    struct mr_cursor key = {entry->key.data, entry->key.data + entry->key.size_bytes};
    uint8_t kind;

    if (entry->kind != MR_ENTRY_PUT || strcmp(entry->state_name, STATE_NAME) != 0) return false;
    if (!mr_cursor_u32(&key, out_split) || key.at != key.end || *out_split >= splits) return false;
    if (entry->value.size_bytes == 0) return false;
    kind = (uint8_t)entry->value.data[0];
    *out_done = kind == MR_SPLIT_DONE;
    *out_position = (struct mr_bytes){entry->value.data + 1, entry->value.size_bytes - 1};
    return kind == MR_SPLIT_DONE || kind == MR_SPLIT_AT;
}

/* A split that was read to its end is not opened again: its size must tell that it is the same. For the
 * others their readers look. */
static enum mr_status check_same(const struct mr_split *split, struct mr_bytes about,
                                 struct mr_error *err)
{
    struct mr_cursor in = {about.data, about.data + about.size_bytes};
    uint64_t size;

    if (!mr_cursor_u64(&in, &size) || size == UINT64_MAX || split->size_bytes == UINT64_MAX ||
        size == split->size_bytes) {
        return MR_OK;
    }
    return mr_error_set(err, MR_E_CHANGED,
                        "%s has %llu bytes, but the input in its place had %llu when it was read: the "
                        "input must be the same, in the same order; bring it back, or begin without "
                        "that state",
                        split->name, (unsigned long long)split->size_bytes,
                        (unsigned long long)size);
}

enum mr_status mr_split_states_restore(struct mr_split_states *states,
                                       struct mr_split_queue *queue, const struct mr_entry *entry,
                                       struct mr_error *err)
{
    struct mr_bytes position;
    struct mr_split_state *state;
    uint32_t *slot;
    uint32_t split;
    bool done;

    if (!read_entry(entry, queue->list->count, &split, &done, &position)) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "the stored positions of the input are not what was written, or "
                            "belong to another input");
    }
    if (done) {
        MR_RET(check_same(&queue->list->splits[split], position, err));
        position.size_bytes = 0;
    }
    mr_split_queue_claim(queue, split);
    MR_RET(make_index(states, queue->list->count, err));
    slot = &states->index[split];
    if (*slot == 0) {
        if (add(states, split, err) == NULL) return MR_E_NOMEM;
        *slot = states->count;
    }
    state = &states->items[*slot - 1];
    state->done = done;
    state->resume = !done;
    state->sealed = true;
    return keep_position(states, state, position, err);
}

void mr_split_states_restored(struct mr_split_states *states, const struct mr_split_list *list,
                              uint32_t lane_count, uint32_t instance, uint32_t instance_count)
{
    uint32_t kept = 0;

    mr_free(states->heap, states->index, states->index_count * sizeof *states->index);
    states->index = NULL;
    states->index_count = 0;
    states->resume_count = 0;
    for (uint32_t i = 0; i < states->count; i++) {
        struct mr_split_state *item = &states->items[i];

        if (mr_split_owner(list, lane_count, item->split, instance_count) != instance) {
            forget_position(states, item);
            continue;
        }
        states->resume_count += item->resume;
        states->items[kept++] = *item;
    }
    states->count = kept;
}

bool mr_split_states_resume(struct mr_split_states *states, const struct mr_lanes *lanes,
                            struct mr_split_state *out)
{
    uint32_t best = UINT32_MAX;

    if (states->resume_count == 0) return false;
    for (uint32_t i = 0; i < states->count; i++) {
        const struct mr_split_state *item = &states->items[i];

        if (!item->resume || (lanes != NULL && !mr_lanes_free(lanes, item->split))) continue;
        if (best == UINT32_MAX || item->split < states->items[best].split) best = i;
    }
    if (best == UINT32_MAX) return false;
    *out = states->items[best];
    states->items[best] = states->items[--states->count];
    states->resume_count--;
    return true;
}

int64_t mr_split_states_bound(const struct mr_split_states *states,
                              const struct mr_split_list *list)
{
    int64_t least = MR_TIME_MAX;

    for (uint32_t i = 0; states->resume_count > 0 && i < states->count; i++) {
        const struct mr_split_state *item = &states->items[i];

        if (item->resume) least = MR_MIN(least, list->splits[item->split].lower_bound_us);
    }
    return least;
}

/* ---- seal ---- */

static enum mr_status yield_split(uint32_t split, struct mr_bytes value, mr_entry_fn yield,
                                  void *self, struct mr_error *err)
{
    char key[4];
    struct mr_entry entry = {.kind = MR_ENTRY_PUT,
                             .state_name = STATE_NAME,
                             .key = {key, sizeof key},
                             .value = value};

    for (uint32_t i = 0; i < 4; i++) key[i] = (char)(split >> (8 * i) & 0xff);
    return yield(self, &entry, err);
}

enum mr_status mr_split_position_seal(uint32_t split, struct mr_bytes position,
                                      struct mr_buffer *scratch, mr_entry_fn yield, void *self,
                                      struct mr_error *err)
{
    const char kind = MR_SPLIT_AT;

    mr_buffer_clear(scratch);
    if (!mr_buffer_put(scratch, &kind, 1) ||
        !mr_buffer_put(scratch, position.data, position.size_bytes)) {
        return mr_error_nomem(err, "the position of a split", position.size_bytes);
    }
    return yield_split(split, (struct mr_bytes){scratch->data, scratch->size_bytes}, yield, self,
                       err);
}

static enum mr_status seal_done(const struct mr_split *split, mr_entry_fn yield, void *self,
                                struct mr_error *err)
{
    char value[9] = {MR_SPLIT_DONE};

    for (uint32_t i = 0; i < 8; i++) value[1 + i] = (char)(split->size_bytes >> (8 * i) & 0xff);
    return yield_split(split->ordinal, (struct mr_bytes){value, sizeof value}, yield, self, err);
}

enum mr_status mr_split_states_seal(struct mr_split_states *states,
                                    const struct mr_split_list *list, bool full, mr_entry_fn yield,
                                    void *self, struct mr_error *err)
{
    struct mr_buffer scratch;
    enum mr_status st = MR_OK;

    mr_buffer_init(&scratch, states->heap);
    for (uint32_t i = 0; i < states->count && st == MR_OK; i++) {
        struct mr_split_state *item = &states->items[i];

        if (item->sealed && !full) continue;
        if (item->done) {
            st = seal_done(&list->splits[item->split], yield, self, err);
        } else {
            st = mr_split_position_seal(
                item->split, (struct mr_bytes){item->position, item->position_bytes}, &scratch,
                yield, self, err);
        }
        item->sealed = st == MR_OK;
    }
    mr_buffer_fini(&scratch);
    return st;
}
