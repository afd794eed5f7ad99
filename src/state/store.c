/* store.c - states, their tables by namespace, blobs, operator values; see store.h. */
#include "base/assert.h"
#include "base/status.h"
#include "state/store_internal.h"

#include <string.h>

/* ---- life ---- */

static enum mr_status nomem(const struct mr_store *store, size_t wanted_bytes, struct mr_error *err)
{
    enum mr_status st = mr_error_nomem(err, "keyed state", wanted_bytes);

    mr_error_context(err, "operator '%s'", store->operator_id != NULL ? store->operator_id : "");
    return st;
}

/* Field names belong to a schema that may go: the shape gets copies. */
static enum mr_status copy_names(struct mr_store *store, struct mr_error *err)
{
    for (uint32_t i = 0; i < store->shape.column_count; i++) {
        const char *name = store->shape.columns[i].name;

        store->key_names[i] = mr_strdup(&store->heap, name != NULL ? name : "");
        if (store->key_names[i] == NULL) return nomem(store, 64, err);
        store->shape.columns[i].name = store->key_names[i];
    }
    return MR_OK;
}

static enum mr_status fill(struct mr_store *store, const struct mr_store_options *options,
                           struct mr_error *err)
{
    store->operator_id = mr_strdup(&store->heap, options->operator_id);
    if (store->operator_id == NULL) return nomem(store, 64, err);
    MR_RET(mri_shape_init(&store->shape, options->keys, options->key_count, err));
    MR_RET(copy_names(store, err));
    store->timers = mri_timers_create(&store->heap, &store->bytes, store->tracks);
    if (store->timers == NULL) return nomem(store, 256, err);
    return MR_OK;
}

enum mr_status mr_store_create(struct mr_heap *heap, const struct mr_store_options *options,
                               struct mr_store **out, struct mr_error *err)
{
    struct mr_store *store = mr_alloc_zero(heap, sizeof *store);
    bool all = options->group_first == 0 && options->group_end == 0;
    enum mr_status st;

    mr_assert(options->operator_id != NULL);
    mr_assert(options->key_group_count > 0);
    mr_assert(all || options->group_first < options->group_end);
    mr_assert(options->group_end <= options->key_group_count);
    if (store == NULL) return mr_error_nomem(err, "keyed state", sizeof *store);
    store->parent = heap;
    mr_heap_init_child(&store->heap, "keyed state", SIZE_MAX / 2, heap);
    mri_pool_init(&store->bytes, &store->heap);
    store->key_group_count = options->key_group_count;
    store->group_first = options->group_first;
    store->group_end = all ? options->key_group_count : options->group_end;
    store->tracks = options->track_changes;
    store->group_columns = options->group_columns != 0 ? options->group_columns : options->key_count;
    store->group_given = options->group_given;
    mr_assert(store->group_columns <= options->key_count);
    mr_assert(!store->group_given || options->keys[0].type == MR_INT64);
    MR_GOTO(fill(store, options, err));
    *out = store;
    store = NULL; /* the caller owns it now */
done:
    mr_store_destroy(store);
    return st;
}

static void free_state(struct mr_store *store, struct mri_state *state)
{
    for (uint32_t i = 0; i < state->table_count; i++) {
        struct mr_table *table = state->tables[state->first_table + i];

        mri_table_empty(table);
        mr_free(&store->heap, table, sizeof *table);
    }
    mr_free(&store->heap, state->tables, state->table_room * sizeof *state->tables);
    mr_strfree(&store->heap, state->name);
}

static void free_values(struct mr_store *store)
{
    for (uint32_t i = 0; i < store->value_count; i++) {
        mr_strfree(&store->heap, store->values[i].name);
        mr_free(&store->heap, store->values[i].data, store->values[i].size_bytes);
    }
    mr_free(&store->heap, store->values, store->value_room * sizeof *store->values);
}

void mr_store_destroy(struct mr_store *store)
{
    if (store == NULL) return;
    for (uint32_t i = 0; i < MR_STATES_MAX; i++) free_state(store, &store->states[i]);
    while (store->dropped != NULL) {
        struct mr_table *table = store->dropped;

        store->dropped = table->next;
        mr_free(&store->heap, table, sizeof *table);
    }
    free_values(store);
    mri_timers_destroy(store->timers);
    mri_pool_fini(&store->bytes);
    for (uint32_t i = 0; i < MR_KEY_COLUMNS_MAX; i++) {
        mr_strfree(&store->heap, store->key_names[i]);
    }
    mr_strfree(&store->heap, store->operator_id);
    mr_heap_fini(&store->heap); /* a blob that nobody released would show here */
    mr_free(store->parent, store, sizeof *store);
}

enum mr_status mr_store_declare(struct mr_store *store, uint32_t state, const char *name,
                                const struct mr_slot_ops *ops, struct mr_error *err)
{
    struct mri_state *target;

    mr_assert(state < MR_STATES_MAX);
    mr_assert(ops->slot_bytes % 8 == 0 && ops->slot_bytes <= 4096);
    mr_assert((ops->encode == NULL) == (ops->decode == NULL));
    target = &store->states[state];
    mr_assert(target->name == NULL);
    for (uint32_t i = 0; i < MR_STATES_MAX; i++) {
        if (store->states[i].name == NULL || strcmp(store->states[i].name, name) != 0) continue;
        return mr_error_set(err, MR_E_PIPELINE, "operator '%s': two states are named '%s'",
                            store->operator_id, name);
    }
    target->name = mr_strdup(&store->heap, name);
    if (target->name == NULL) return nomem(store, strlen(name), err);
    target->ops = *ops;
    return MR_OK;
}

uint32_t mri_store_group(const struct mr_store *store, const uint64_t *image,
                         const char *const *chunks)
{
    uint64_t hash;

    if (store->group_given) return (uint32_t)MR_MIN(image[1], (uint64_t)UINT32_MAX);
    hash = mri_image_hash_first(&store->shape, store->group_columns, image, chunks);
    return mr_key_group(hash, store->key_group_count);
}

uint64_t mr_store_key_count(const struct mr_store *store)
{
    return store->key_count;
}

uint64_t mr_store_bytes(const struct mr_store *store)
{
    return sizeof *store + atomic_load_explicit(&store->heap.used_bytes, memory_order_relaxed);
}

struct mr_timers *mr_store_timers(struct mr_store *store)
{
    return store->timers;
}

/* ---- tables by namespace ---- */

/* Position among the state's tables of the first with namespace >= ns. */
static uint32_t position_of(const struct mri_state *state, int64_t ns)
{
    struct mr_table *const *tables = state->tables + state->first_table;
    uint32_t low = 0;
    uint32_t high = state->table_count;

    /* Rows are mostly for the newest slice. */
    if (high > 0 && tables[high - 1]->ns < ns) return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (tables[middle]->ns < ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static const struct mri_state *declared(const struct mr_store *store, uint32_t state)
{
    mr_assert(state < MR_STATES_MAX && store->states[state].name != NULL);
    return &store->states[state];
}

struct mr_table *mr_store_next(const struct mr_store *store, uint32_t state, int64_t from)
{
    const struct mri_state *of = declared(store, state);
    uint32_t at = position_of(of, from);

    return at < of->table_count ? of->tables[of->first_table + at] : NULL;
}

struct mr_table *mr_store_find(const struct mr_store *store, uint32_t state, int64_t ns)
{
    struct mr_table *table = mr_store_next(store, state, ns);

    return table != NULL && table->ns == ns ? table : NULL;
}

/* Tables go mostly at the front and come at the back: when the back is reached, move to the front
 * while half is free there, else double. */
static bool reserve_table(struct mr_store *store, struct mri_state *state)
{
    uint32_t room = state->table_room == 0 ? 4 : state->table_room * 2;
    struct mr_table **tables;

    if (state->first_table + state->table_count < state->table_room) return true;
    if (state->first_table > state->table_room / 2) {
        memmove(state->tables, state->tables + state->first_table,
                state->table_count * sizeof *tables);
        state->first_table = 0;
        return true;
    }
    tables = mr_alloc_array(&store->heap, room, sizeof *tables);
    if (tables == NULL) return false;
    if (state->table_count > 0) {
        memcpy(tables, state->tables + state->first_table, state->table_count * sizeof *tables);
    }
    mr_free(&store->heap, state->tables, state->table_room * sizeof *tables);
    state->tables = tables;
    state->table_room = room;
    state->first_table = 0;
    return true;
}

struct mr_table *mr_store_table(struct mr_store *store, uint32_t state, int64_t ns)
{
    struct mr_table *table = mr_store_find(store, state, ns);
    struct mri_state *of = &store->states[state];
    struct mr_table **place;
    uint32_t at;

    if (table != NULL) return table;
    if (!reserve_table(store, of)) return NULL;
    table = mri_table_create(store, state, ns);
    if (table == NULL) return NULL;
    at = position_of(of, ns);
    place = of->tables + of->first_table + at;
    memmove(place + 1, place, (of->table_count - at) * sizeof *place);
    *place = table;
    of->table_count++;
    return table;
}

static void unlink_table(struct mri_state *state, const struct mr_table *table)
{
    uint32_t at = position_of(state, table->ns);
    struct mr_table **place = state->tables + state->first_table + at;

    mr_assert(at < state->table_count && *place == table);
    state->table_count--;
    if (at == 0) {
        state->first_table++;
    } else {
        memmove(place, place + 1, (state->table_count - at) * sizeof *place);
    }
    if (state->table_count == 0) state->first_table = 0;
}

void mri_store_forget(struct mr_store *store, struct mr_table *table)
{
    unlink_table(mri_state_of(table), table);
    store->key_count -= table->count;
    mri_table_empty(table);
    mr_free(&store->heap, table, sizeof *table);
}

void mr_store_drop(struct mr_store *store, struct mr_table *table)
{
    if (table->sealed_count == 0) { /* no seal knows any of its keys */
        mri_store_forget(store, table);
        return;
    }
    /* The empty table itself is the note for the next seal: dropping needs no memory. */
    unlink_table(mri_state_of(table), table);
    store->key_count -= table->count;
    mri_table_empty(table);
    table->sealed_count = 0;
    table->next = NULL;
    if (store->last_dropped != NULL) {
        store->last_dropped->next = table;
    } else {
        store->dropped = table;
    }
    store->last_dropped = table;
}

/* ---- blobs ---- */

/* Pieces up to MRI_PIECE_BYTES_MAX come from the pool, larger ones from the heap. */
static char *blob_take(struct mr_store *store, uint32_t capacity_bytes)
{
    struct mri_piece piece;

    if (capacity_bytes > MRI_PIECE_BYTES_MAX) return mr_alloc(&store->heap, capacity_bytes);
    return mri_pool_take(&store->bytes, capacity_bytes, &piece) ? piece.data : NULL;
}

static void blob_give(struct mr_store *store, char *data, uint32_t capacity_bytes)
{
    if (capacity_bytes > MRI_PIECE_BYTES_MAX) {
        mr_free(&store->heap, data, capacity_bytes);
    } else {
        mri_pool_give(&store->bytes, (struct mri_piece){.data = data}, capacity_bytes);
    }
}

/* Half as much again where it grows, so that appending is amortised. */
static uint32_t capacity_for(const struct mr_blob *blob, uint32_t size_bytes)
{
    uint64_t wanted = size_bytes;

    if (blob->capacity_bytes > 0 && size_bytes > blob->capacity_bytes) {
        wanted = MR_MAX(wanted, (uint64_t)blob->capacity_bytes + blob->capacity_bytes / 2);
    }
    wanted = mri_piece_bytes((size_t)wanted);
    return wanted > UINT32_MAX ? size_bytes : (uint32_t)wanted;
}

bool mr_store_blob_resize(struct mr_store *store, struct mr_blob *blob, uint32_t size_bytes)
{
    bool fits = size_bytes <= blob->capacity_bytes;
    uint32_t capacity;
    char *data;

    if (fits && (size_bytes >= blob->capacity_bytes / 4 || blob->capacity_bytes <= 64)) {
        blob->size_bytes = size_bytes;
        return true;
    }
    capacity = capacity_for(blob, size_bytes);
    data = blob_take(store, capacity);
    if (data == NULL) { /* shrinking may always stay where it is */
        if (fits) blob->size_bytes = size_bytes;
        return fits;
    }
    if (blob->data != NULL) {
        memcpy(data, blob->data, MR_MIN(blob->size_bytes, size_bytes));
        blob_give(store, blob->data, blob->capacity_bytes);
    }
    *blob = (struct mr_blob){data, size_bytes, capacity};
    return true;
}

void mr_store_blob_free(struct mr_store *store, struct mr_blob *blob)
{
    if (blob->data != NULL) blob_give(store, blob->data, blob->capacity_bytes);
    *blob = (struct mr_blob){NULL, 0, 0};
}

/* ---- operator values ---- */

struct mri_value *mri_value_find(const struct mr_store *store, const char *name, size_t size_bytes)
{
    for (uint32_t i = 0; i < store->value_count; i++) {
        struct mri_value *value = &store->values[i];

        if (strlen(value->name) == size_bytes && memcmp(value->name, name, size_bytes) == 0) {
            return value;
        }
    }
    return NULL;
}

static char *copy_bytes(struct mr_heap *heap, const void *data, size_t size_bytes, bool terminate)
{
    char *copy = mr_alloc(heap, size_bytes + terminate);

    if (copy == NULL) return NULL;
    if (size_bytes > 0) memcpy(copy, data, size_bytes);
    if (terminate) copy[size_bytes] = '\0';
    return copy;
}

static struct mri_value *add_value(struct mr_store *store, const char *name, size_t name_bytes)
{
    char *copy;

    if (store->value_count == store->value_room) {
        uint32_t room = store->value_room == 0 ? 4 : store->value_room * 2;
        struct mri_value *values = mr_realloc(
            &store->heap, store->values, store->value_room * sizeof *values, room * sizeof *values);

        if (values == NULL) return NULL;
        store->values = values;
        store->value_room = room;
    }
    copy = copy_bytes(&store->heap, name, name_bytes, true);
    if (copy == NULL) return NULL;
    store->values[store->value_count] = (struct mri_value){.name = copy};
    return &store->values[store->value_count++];
}

enum mr_status mri_value_put(struct mr_store *store, const char *name, size_t name_bytes,
                             const void *data, size_t size_bytes, bool dirty, struct mr_error *err)
{
    struct mri_value *value = mri_value_find(store, name, name_bytes);
    char *copy = copy_bytes(&store->heap, data, size_bytes, false);

    if (copy == NULL) return nomem(store, size_bytes, err);
    if (value == NULL) value = add_value(store, name, name_bytes);
    if (value == NULL) {
        mr_free(&store->heap, copy, size_bytes);
        return nomem(store, name_bytes, err);
    }
    mr_free(&store->heap, value->data, value->size_bytes);
    value->data = copy;
    value->size_bytes = size_bytes;
    value->dirty = dirty;
    return MR_OK;
}

enum mr_status mr_store_value_set(struct mr_store *store, const char *name, const void *data,
                                  size_t size_bytes, struct mr_error *err)
{
    return mri_value_put(store, name, strlen(name), data, size_bytes, true, err);
}

bool mr_store_value_get(const struct mr_store *store, const char *name, struct mr_bytes *out)
{
    const struct mri_value *value = mri_value_find(store, name, strlen(name));

    if (value == NULL) return false;
    *out = (struct mr_bytes){value->data, value->size_bytes};
    return true;
}
