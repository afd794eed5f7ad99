/* store.h - the keyed state of one task: tables of slots that know what changed.
 *
 * A store holds everything that one stateful operator instance remembers: tables (one per *state*
 * and *namespace*; a namespace is a window slice or 0), timers, and operator values. A table maps a
 * key (one or more columns) to a fixed-size slot that kernels update in place. Each slot has a
 * dirty bit; sealing an epoch yields the dirty slots and the removals as entries; restoring takes
 * entries back. State is named (state name, key group), never by physical task, so entries of one
 * instance may be restored into any number of instances.
 *
 * A removed slot whose key an earlier seal holds keeps its key until the next seal has said so;
 * after that, and at once for keys never sealed, its number is given to the next new key.
 *
 * Keys are resolved a batch at a time: mr_table_prepare gives slot numbers for all rows. It may
 * answer PENDING when slots are not in memory; the caller then parks the batch. (This store keeps
 * all slots in memory and never answers PENDING.)
 *
 * Variable-size values (texts, growing collections) live behind a `struct mr_blob` inside a slot,
 * in the store's own memory (the byte path).
 *
 * Owns:    all keys, slots and blobs, charged to its heap.
 * Thread:  confined to its task.
 * Fails:   MR_E_NOMEM at the heap's limit: what was prepared before stays valid.
 * Cost:    prepare: one probe per row, block-wise prefetch; slots are reached by number; no
 *          allocation per row (pages of 1024 slots). Dropping a table is O(pages), or O(slots)
 *          when they have to be released.
 *
 * Invariants:
 *  (1) Slot numbers are given in order of insertion, those of removed slots again, last freed
 *      first; iteration is in slot order, never in hash order.
 *  (2) A slot is dirty iff it changed (as told by the caller) since the last seal.
 *  (3) Sum over tables of live slots = mr_store_key_count.
 *  (4) seal; restore of all seals in order = the same live keys and values.
 */
#ifndef MR_STATE_STORE_H
#define MR_STATE_STORE_H

#include "base/hash.h"
#include "data/batch.h"
#include "data/builder.h"
#include "data/rowcodec.h"

#define MR_SLOT_NONE       UINT32_MAX
#define MR_STATES_MAX      64u
#define MR_KEY_COLUMNS_MAX 32u

struct mr_store;
struct mr_table;

/* A piece of memory behind a slot; bytes are the store's. */
struct mr_blob {
    char *data;
    uint32_t size_bytes;
    uint32_t capacity_bytes;
};

/* How the slots of one state look. The store copies it. */
struct mr_slot_ops {
    uint32_t slot_bytes; /* multiple of 8, at most 4096; of 16: slots are aligned to 16 */
    void *self;
    /* A new slot: memory is zeroed before. NULL entry: zero is the initial value. */
    void (*init)(void *self, void *slot);
    /* Value to bytes and back; NULL entries: the slot's bytes as they are. */
    bool (*encode)(void *self, const void *slot, struct mr_buffer *out);
    enum mr_status (*decode)(void *self, struct mr_store *store, void *slot, struct mr_cursor *in,
                             struct mr_error *err);
    /* Gives blobs back (mr_store_blob_free). NULL entry: the slot has none. */
    void (*release)(void *self, struct mr_store *store, void *slot);
};

struct mr_store_options {
    const char *operator_id; /* for messages and entries; copied */
    uint32_t key_group_count;
    const struct mr_field *keys; /* types of the key columns; 0 columns: one global key; copied */
    uint32_t key_count;          /* at most MR_KEY_COLUMNS_MAX; nested types are refused */
    uint32_t group_first;        /* the key groups of this instance: [group_first, group_end); */
    uint32_t group_end;          /* 0 and 0: all */
    bool track_changes;          /* false: nothing is remembered for seals, and only a full seal
                                  * is possible (batch mode) */
    /* What decides the key group. 0: the whole key. Otherwise the first so many key columns: a key
     * and what belongs to it stay together. */
    uint32_t group_columns;
    bool group_given; /* the first key column (int64) is the number of the group itself */
};
enum mr_status mr_store_create(struct mr_heap *heap, const struct mr_store_options *options,
                               struct mr_store **out, struct mr_error *err) MR_MUST_USE;
void mr_store_destroy(struct mr_store *store);

/* Declares state number `state` (0, 1, ...) under a stable name before first use. */
enum mr_status mr_store_declare(struct mr_store *store, uint32_t state, const char *name,
                                const struct mr_slot_ops *ops, struct mr_error *err) MR_MUST_USE;

/* The table of a state and namespace; NULL if it does not exist. */
struct mr_table *mr_store_find(const struct mr_store *store, uint32_t state, int64_t ns);
/* The same, made when missing; NULL: out of memory. */
struct mr_table *mr_store_table(struct mr_store *store, uint32_t state, int64_t ns) MR_MUST_USE;
/* Drops a table whole (a slice that has fired). The removal is one entry in the next seal. */
void mr_store_drop(struct mr_store *store, struct mr_table *table);
/* Tables of a state in ascending namespace order: the first with namespace >= from, or NULL. */
struct mr_table *mr_store_next(const struct mr_store *store, uint32_t state, int64_t from);
uint64_t mr_store_key_count(const struct mr_store *store);
uint64_t mr_store_bytes(const struct mr_store *store);

int64_t mr_table_namespace(const struct mr_table *table);
uint32_t mr_table_count(const struct mr_table *table); /* live slots */
uint32_t mr_table_end(const struct mr_table *table);   /* slot numbers are below this */
bool mr_table_live(const struct mr_table *table, uint32_t slot);

enum mr_prepare { MR_PREPARE_READY, MR_PREPARE_PENDING, MR_PREPARE_NOMEM };

/* Keys of `count` rows: dense FLAT or CONST columns, one per key field, and their canonical hashes
 * (columns folded in key order). Without key columns hashes may be NULL: the global key has hash 0,
 * and so belongs to key group 0. */
struct mr_keys {
    const struct mr_column *columns;
    const uint64_t *hashes;
    uint32_t count;
};

/* Resolves keys rows[0..count) (NULL: 0..count-1) to slots, making the missing ones; equal keys
 * get equal numbers. NULL key values are keys like others. All slots touched become dirty. On NOMEM
 * nothing is lost: out_slots of the rows before *out_done are valid. */
enum mr_prepare mr_table_prepare(struct mr_table *table, const struct mr_keys *keys,
                                 const uint32_t *rows, uint32_t count, uint32_t *out_slots,
                                 uint32_t *out_done) MR_MUST_USE;
/* Only looks: MR_SLOT_NONE where there is none. */
void mr_table_lookup(const struct mr_table *table, const struct mr_keys *keys, const uint32_t *rows,
                     uint32_t count, uint32_t *out_slots);
/* A slot's memory; stable until its table is asked for new slots (prepare, adopt_key, restore), the
 * slot is removed or the table dropped. */
void *mr_table_slot(struct mr_table *table, uint32_t slot);
/* Slots lie in pages of MR_TABLE_PAGE_SLOTS: hot loops compute the address themselves. */
#define MR_TABLE_PAGE_SHIFT 10u
#define MR_TABLE_PAGE_SLOTS (1u << MR_TABLE_PAGE_SHIFT)
struct mr_table_pages {
    char *const *pages;
    uint32_t slot_bytes;
    uint32_t stride_bytes; /* from slot to slot: the key lies between */
};
struct mr_table_pages
mr_table_pages(const struct mr_table *table); /* valid until the next prepare */
MR_INLINE void *mr_pages_slot(const struct mr_table_pages *pages, uint32_t slot)
{
    return pages->pages[slot >> MR_TABLE_PAGE_SHIFT] +
           (size_t)(slot & (MR_TABLE_PAGE_SLOTS - 1)) * pages->stride_bytes;
}
void mr_table_touch(struct mr_table *table, uint32_t slot);  /* marks dirty */
void mr_table_remove(struct mr_table *table, uint32_t slot); /* with its blobs */
uint64_t mr_table_hash(const struct mr_table *table, uint32_t slot);
uint32_t mr_table_group(const struct mr_table *table, uint32_t slot);
/* Copies key columns 0..key_count-1 of a slot into columns first_column.. of the row that
 * `builder` has begun. */
enum mr_build mr_table_key_to_row(const struct mr_table *table, uint32_t slot,
                                  struct mr_builder *builder, uint32_t first_column);
/* Three-way comparison of the keys of two slots (of any tables of this store): by columns, nulls
 * first; to emit in an order that depends on the input alone. */
int mr_table_key_compare(const struct mr_table *left, uint32_t left_slot,
                         const struct mr_table *right, uint32_t right_slot);
/* One row of keys as values for user functions: CONST columns; texts borrow from the table, numbers
 * from the slot (see mr_table_slot). */
void mr_table_key_columns(const struct mr_table *table, uint32_t slot, struct mr_column *out);
/* Resolves the key of a slot of one table in another (merging windows). MR_SLOT_NONE: no memory. */
uint32_t mr_table_adopt_key(struct mr_table *into, const struct mr_table *from,
                            uint32_t slot) MR_MUST_USE;

/* The byte path. Contents are kept up to the smaller of old and new size. */
bool mr_store_blob_resize(struct mr_store *store, struct mr_blob *blob,
                          uint32_t size_bytes) MR_MUST_USE;
void mr_store_blob_free(struct mr_store *store, struct mr_blob *blob);

/* Operator values: small named byte strings that are not keyed (watermark, positions). */
enum mr_status mr_store_value_set(struct mr_store *store, const char *name, const void *data,
                                  size_t size_bytes, struct mr_error *err) MR_MUST_USE;
bool mr_store_value_get(const struct mr_store *store, const char *name, struct mr_bytes *out);

/* Timers, one per (domain, namespace, tag, key): see timers.h. */
struct mr_timers *mr_store_timers(struct mr_store *store);

/* Seal and restore. Entries of one seal come in this order: table drops, then per state and
 * namespace removals and changed slots in slot order, then timers (cleared ones first), then
 * operator values. Applied in the order of their seals they give the state back. */
enum mr_entry_kind {
    MR_ENTRY_PUT,    /* key, value */
    MR_ENTRY_REMOVE, /* key */
    MR_ENTRY_DROP,   /* namespace only */
    MR_ENTRY_TIMER_SET,
    MR_ENTRY_TIMER_CLEAR,
    MR_ENTRY_VALUE /* operator value: name in key, bytes in value */
};
struct mr_entry {
    enum mr_entry_kind kind;
    const char *state_name;
    uint32_t key_group; /* 0 for DROP and VALUE */
    int64_t ns;
    struct mr_bytes key;   /* key form (data/rowcodec.h), key columns in order */
    struct mr_bytes value; /* by slot_ops.encode */
    /* The key groups of the instance that sealed. A DROP speaks for these only: other instances may
     * still have the namespace when both are restored into one. 0 and 0: all. To be stored. */
    uint32_t group_first;
    uint32_t group_end;
};
typedef enum mr_status (*mr_entry_fn)(void *self, const struct mr_entry *entry,
                                      struct mr_error *err);
/* Yields what changed since the last seal (everything when `full`: such a seal stands alone), and
 * clears the dirty bits when the whole succeeded. What an entry points to is valid during the
 * call. */
enum mr_status mr_store_seal(struct mr_store *store, bool full, mr_entry_fn yield, void *self,
                             struct mr_error *err) MR_MUST_USE;
/* Applies one entry; what it brings is not dirty afterwards. Entries of key groups outside
 * [group_first, group_end) are skipped, so that the same seal can be offered to every instance
 * (timers without a key and operator values go to all). Refuses malformed bytes and unknown states
 * by name. */
enum mr_status mr_store_restore(struct mr_store *store, const struct mr_entry *entry,
                                uint32_t group_first, uint32_t group_end,
                                struct mr_error *err) MR_MUST_USE;

#endif
