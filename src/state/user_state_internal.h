/* user_state_internal.h - shared by the files of user_state.
 *
 *   slot of a value:    [stamp] head cells...              stamp only with a time to live
 *   of an aggregate:    [stamp] head, to 16 bytes; state
 *   of an element:      link [stamp] head cells...
 *
 * The head has one bit per field that is not null, and bit 63 in every record that is set. Cells
 * are 8 bytes (integers of all widths as int64, floats as double) or 16 (decimals, blobs of texts);
 * the cell of a null means nothing, but a text's memory stays there.
 *
 * Owns:    see user_state.h.
 * Thread:  confined.
 * Fails:   see user_state.h.
 * Cost:    none.
 */
#ifndef MR_STATE_USER_STATE_INTERNAL_H
#define MR_STATE_USER_STATE_INTERNAL_H

#include "state/store_internal.h"
#include "state/user_state.h"

#define MRI_RECORD_SET  (UINT64_C(1) << MR_STATE_SET_BIT)
#define MRI_STAMP_NEVER MR_TIME_MAX /* does not expire before it is written */

struct mri_link {   /* first in the slot of an element */
    uint32_t owner; /* slot of its chain; MR_SLOT_NONE: of the state's only one */
    uint32_t next;
    uint32_t prev;
    uint32_t unused;
    uint64_t seq; /* order of being added, in its chain */
};

struct mri_chain { /* a slot of the store of chains */
    uint32_t first;
    uint32_t last;
    uint32_t count;
    uint32_t unused;
    uint64_t next_seq;
};

enum mri_cell_form { MRI_FORM_INT, MRI_FORM_FLOAT, MRI_FORM_DECIMAL, MRI_FORM_TEXT };

struct mri_user_field {
    enum mri_cell_form form;
    enum mr_layout layout;
    uint8_t precision;
    bool single; /* float32 */
};

struct mri_user_state {
    struct mr_user_states *all;
    const struct mr_state *spec;
    struct mri_user_field fields[MR_STATE_FIELDS_MAX];
    uint16_t cells[MR_STATE_FIELDS_MAX]; /* from the head */
    uint32_t head_bytes;                 /* from slot to head */
    uint32_t slot_bytes;
    bool stamped;
    bool has_text;
    bool keyed;
    bool collection;
    uint32_t prefix;        /* key columns of `store` that are the key at hand */
    struct mr_store *store; /* the main one, or its own */
    uint32_t number;        /* in `store` */
    uint32_t chain_number;  /* in the store of chains */
    struct mri_chain lone;  /* not keyed */
    uint64_t structure;     /* counts removals of elements */
    /* where the key at hand is, if at == all->generation */
    uint64_t at;
    struct mr_table *table;
    uint32_t slot; /* values: the record; collections: the chain */
    /* the batch */
    struct mr_table *prepared; /* NULL: not asked for */
    uint32_t *slots;
    uint32_t slot_room;
    bool made;
    bool unset;
    /* reclaiming goes on here */
    int64_t reclaim_ns;
    uint32_t reclaim_slot;
    char *schema_key; /* "schema:NAME" */
};

struct mr_user_states {
    struct mr_heap *heap;
    struct mr_user_states_options options;
    uint32_t state_count;
    struct mri_user_state *states;
    struct mr_store *main;
    struct mr_store *chains;         /* never sealed */
    const struct mr_table *ahead[4]; /* fetched from before their rows' turn */
    uint32_t ahead_count;
    /* the key at hand */
    struct mr_keys keys;
    uint32_t row;
    bool has_key;
    bool has_image;
    bool has_form;
    uint64_t hash;
    uint64_t image[MRI_KEY_WORDS_MAX];
    struct mri_key_texts texts;
    struct mri_key_texts batch_texts;
    struct mr_buffer scratch; /* texts of a timer's key */
    const char *scratch_data;
    struct mr_buffer form; /* key form */
    uint64_t generation;
    int64_t ns;
    /* an element's key */
    uint64_t element[MRI_KEY_WORDS_MAX];
    struct mri_key_texts element_texts;
    const char *element_data[MR_KEY_COLUMNS_MAX];
    /* clocks */
    bool now_known;
    int64_t now_us;
    int64_t row_us;
    int64_t event_now_us;
    bool broadcast_allowed;
    bool schemas_sealed;
    enum mr_status failure;
    struct mr_error error;
};

/* The state by its number if it is one of `kinds` (bit per kind) and can be used here; NULL after
 * remembering the misuse. `call`: for the message. */
struct mri_user_state *mri_user_at(struct mr_user_states *states, uint32_t state, uint32_t kinds,
                                   const char *call);
void mri_user_fail(struct mr_user_states *states, enum mr_status status, const char *format, ...)
    MR_PRINTF(3, 4);
void mri_user_nomem(struct mr_user_states *states);
/* The image of the key at hand. */
void mri_user_image(struct mr_user_states *states);
/* A table that lost its last slot goes, if it is not of namespace 0. True: it went. */
bool mri_user_drop_empty(struct mr_store *store, struct mr_table *table);

/* ---- records ---- */
bool mri_record_init(struct mri_user_state *state); /* lays the record out */
struct mr_slot_ops mri_record_ops(struct mri_user_state *state);
void mri_record_reset(struct mri_user_state *state, void *slot); /* nothing is set any more */
void mri_record_written(struct mri_user_state *state, void *slot);
bool mri_record_expired(const struct mri_user_state *state, const void *slot);

MR_INLINE uint64_t *mri_head(const struct mri_user_state *state, void *slot)
{
    return (uint64_t *)(void *)((char *)slot + state->head_bytes);
}

MR_INLINE struct mr_record mri_record_of(struct mri_user_state *state, struct mr_table *table,
                                         uint32_t slot)
{
    return (struct mr_record){.table = table,
                              .data = mri_head(state, mri_record(table, slot)),
                              .state = (uint32_t)(state - state->all->states),
                              .slot = slot};
}

/* ---- elements ---- */
void mri_elements_clear(struct mri_user_state *state);
uint64_t mri_elements_count(struct mri_user_state *state);
void mri_element_remove(struct mri_user_state *state, struct mr_table *table, uint32_t slot);
enum mr_status mri_elements_chain(struct mri_user_state *state, struct mr_error *err) MR_MUST_USE;
void mri_elements_check(struct mri_user_state *state);

/* ---- schemas ---- */
/* `state` NULL: the key of the stream. */
bool mri_schema_encode(const struct mr_user_states *states, const struct mri_user_state *state,
                       struct mr_buffer *out) MR_MUST_USE;
enum mr_status mri_schema_compare(const struct mr_user_states *states,
                                  const struct mri_user_state *state, struct mr_bytes stored,
                                  struct mr_error *err) MR_MUST_USE;

#endif
