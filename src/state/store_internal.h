/* store_internal.h - what the files of the state module know about each other.
 *
 * A table's page holds records: the slot, then the key image (store_key.h), so that a row's key and
 * value lie together. A record is free, living, or buried: removed, but its key is still to be told
 * to the next seal.
 *
 * Owns:    see store.h.
 * Thread:  confined.
 * Fails:   see store.h.
 * Cost:    see store.h.
 *
 * Invariants of a table (mri_table_check):
 *  (1) Living records are in the index, others are not. (2) dirty is a subset of live.
 *  (3) Buried = sealed and not live. (4) Neither: in the free list, once.
 */
#ifndef MR_STATE_STORE_INTERNAL_H
#define MR_STATE_STORE_INTERNAL_H

#include "state/byte_pool.h"
#include "state/probe_index.h"
#include "state/store.h"
#include "state/store_key.h"
#include "state/timers.h"

struct mr_table {
    struct mr_store *store;
    struct mr_table *next; /* in the list of dropped tables */
    int64_t ns;
    uint32_t state;
    uint32_t count;     /* living */
    uint32_t end;       /* records ever used */
    uint32_t room;      /* records in memory */
    uint32_t free_head; /* linked through the heads of free records; MR_SLOT_NONE */
    uint32_t slot_bytes;
    uint32_t stride_bytes;
    uint32_t sealed_count;
    uint32_t page_room;
    uint32_t bit_room; /* records that the bit arrays have room for */
    bool tracks;
    bool changed; /* some slot is dirty or buried */
    char **pages;
    uint64_t *live;
    uint64_t *dirty;
    uint64_t *sealed; /* the entries of past seals hold this key */
    struct mri_index index;
    struct mri_pool texts; /* of keys: far views are (chunk, offset) */
};

struct mri_state {
    char *name; /* NULL: not declared */
    struct mr_slot_ops ops;
    struct mr_table **tables; /* by namespace, from first_table on */
    uint32_t first_table;
    uint32_t table_count;
    uint32_t table_room;
};

struct mri_value {
    char *name;
    char *data;
    size_t size_bytes;
    bool dirty;
};

struct mr_store {
    struct mr_heap *parent;
    struct mr_heap heap; /* a child: what this store uses */
    char *operator_id;
    char *key_names[MR_KEY_COLUMNS_MAX];
    struct mri_key_shape shape;
    uint32_t key_group_count;
    uint32_t group_first;
    uint32_t group_end;
    uint32_t group_columns; /* of the key; all of them if nothing else was said */
    bool group_given;
    bool tracks;
    uint64_t key_count;
    struct mri_state states[MR_STATES_MAX];
    struct mr_table *dropped; /* since the last seal, oldest first; they have no memory but this */
    struct mr_table *last_dropped;
    struct mri_value *values;
    uint32_t value_count;
    uint32_t value_room;
    struct mri_pool bytes; /* of blobs and timers */
    struct mr_timers *timers;
};

/* ---- slot_table.c ---- */

struct mr_table *mri_table_create(struct mr_store *store, uint32_t state, int64_t ns) MR_MUST_USE;
/* Gives everything back but the struct. Slots are released. */
void mri_table_empty(struct mr_table *table);
void mri_table_check(const struct mr_table *table);
/* Finds the key of an image, or makes it; MR_SLOT_NONE at the memory limit. */
uint32_t mri_table_resolve(struct mr_table *table, const uint64_t *image,
                           const struct mri_key_texts *texts, bool *out_new) MR_MUST_USE;
uint32_t mri_table_find(const struct mr_table *table, const uint64_t *image,
                        const struct mri_key_texts *texts);
/* Frees a record that is not living; `slot` may be buried. */
void mri_table_free(struct mr_table *table, uint32_t slot);

MR_INLINE char *mri_record(const struct mr_table *table, uint32_t slot)
{
    return table->pages[slot >> MR_TABLE_PAGE_SHIFT] +
           (size_t)(slot & (MR_TABLE_PAGE_SLOTS - 1)) * table->stride_bytes;
}

MR_INLINE uint64_t *mri_image(const struct mr_table *table, uint32_t slot)
{
    return (uint64_t *)(void *)(mri_record(table, slot) + table->slot_bytes);
}

MR_INLINE const char *const *mri_chunks(const struct mr_table *table)
{
    return (const char *const *)table->texts.chunks;
}

MR_INLINE struct mri_state *mri_state_of(const struct mr_table *table)
{
    return &table->store->states[table->state];
}

/* ---- store.c ---- */

/* The key group of an image. */
uint32_t mri_store_group(const struct mr_store *store, const uint64_t *image,
                         const char *const *chunks);
/* Takes the table out of its state and gives everything back. */
void mri_store_forget(struct mr_store *store, struct mr_table *table);
struct mri_value *mri_value_find(const struct mr_store *store, const char *name, size_t size_bytes);
enum mr_status mri_value_put(struct mr_store *store, const char *name, size_t name_bytes,
                             const void *data, size_t size_bytes, bool dirty,
                             struct mr_error *err) MR_MUST_USE;

/* ---- timers.c ---- */

struct mr_timers *mri_timers_create(struct mr_heap *heap, struct mri_pool *pool,
                                    bool tracks) MR_MUST_USE;
void mri_timers_destroy(struct mr_timers *timers);
/* Walks timers for a seal: first the cleared ones (false), then the living (true). */
typedef enum mr_status (*mri_timer_fn)(void *self, const struct mr_timer *timer, bool lives,
                                       struct mr_error *err);
enum mr_status mri_timers_seal(const struct mr_timers *timers, bool full, mri_timer_fn yield,
                               void *self, struct mr_error *err) MR_MUST_USE;
void mri_timers_sealed(struct mr_timers *timers);
/* Like set and clear, but a seal is the origin: nothing is to be told to the next one. */
bool mri_timers_restore(struct mr_timers *timers, const struct mr_timer *timer,
                        bool lives) MR_MUST_USE;

#endif
