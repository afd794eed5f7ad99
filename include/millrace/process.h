/* process.h - functions with a memory: keyed state, timers, side outputs.
 *
 * A process function runs behind mr_key_by. For every row it may read and change the *state* of the
 * row's key, set *timers* that call it back later, and emit rows. State and timers are part of each
 * snapshot: after a failure the function goes on as if nothing had happened.
 *
 *     static const struct mr_field count_fields[] = {{"count", MR_INT64}};
 *     static const struct mr_state states[] = {{"visits", MR_STATE_VALUE, count_fields, 1}};
 *
 *     static enum mr_status visit(void *user, struct mr_process_context *context,
 *                                 const struct mr_row *row, struct mr_emitter *out)
 *     {
 *         struct mr_record visits = mr_value_make(context, 0);
 *         mr_record_set_int64(&visits, 0, mr_record_int64(&visits, 0) + 1);
 *         ...
 *
 * For one key everything is serial: rows in the order of arrival, then the timers that are due.
 * Keys are independent of each other. The whole reference is docs/reference/process.md.
 *
 * Owns:    nothing that is handed out: contexts and rows are borrowed for the call, records and
 *          bytes until their state is next changed by more than setting fields.
 * Thread:  one instance of a function runs on one thread at a time, but several instances run side
 *          by side: shared `user` data must be immutable or synchronised by its owner.
 * Fails:   functions answer a status; a row whose row function fails goes to the job's policy for
 *          bad records, and what it had changed and emitted before stays. A failing batch function
 *          or timer ends the job, and so do wrong use of this interface and lack of memory: these
 *          are remembered and reported when the function returns, so that calls on state need no
 *          checks.
 * Cost:    a look at state is one probe of a hash table; nothing allocates per row but new keys,
 *          elements and texts. mr_state_prepare resolves a whole batch at once.
 * Units:   all times are microseconds since 1970-01-01T00:00:00Z.
 */
#ifndef MILLRACE_PROCESS_H
#define MILLRACE_PROCESS_H

#include <millrace/function.h>

#ifdef __cplusplus
extern "C" {
#endif

struct mr_job;
struct mr_stream;
struct mr_process_context;

/* ---- what a function remembers ---- */

#define MR_PROCESS_STATES_MAX 32u
#define MR_STATE_FIELDS_MAX   31u

/* The numbers are part of stored formats. */
enum mr_state_kind {
    MR_STATE_VALUE = 1,         /* one record per key */
    MR_STATE_LIST = 2,          /* records in the order of appending */
    MR_STATE_MAP = 3,           /* records by `keys`, in the order in which these came first */
    MR_STATE_SET = 4,           /* `keys` alone */
    MR_STATE_ORDERED_LIST = 5,  /* records by time; equal times in the order of adding */
    MR_STATE_AGGREGATING = 6,   /* the accumulator of an aggregate */
    MR_STATE_OPERATOR_LIST = 7, /* not keyed: records of this instance; spread on rescale */
    MR_STATE_BROADCAST = 8      /* not keyed: a map that all instances have alike */
};

/* Clocks: when it happened (the watermark), and when we see it (the clock of the machine). */
enum mr_ttl { MR_TTL_NONE, MR_TTL_PROCESSING_TIME, MR_TTL_EVENT_TIME };

/* State that was not written for `ttl_us` is gone: from one moment to the next it is not seen any
 * more; its memory comes back later. Each element of a collection has a time of its own. In event
 * time a write counts for the time of the row or timer at hand, and the watermark is now. */
struct mr_state {
    const char *name; /* stable: it names the state in snapshots */
    enum mr_state_kind kind;
    /* Of a record; all types but list, struct and map. SET: none. AGGREGATING: one, the result. */
    const struct mr_field *fields;
    uint32_t field_count;
    const struct mr_field *keys; /* MAP, SET, BROADCAST; neither floats nor nested types */
    uint32_t key_count;
    enum mr_ttl ttl; /* not for OPERATOR_LIST and BROADCAST */
    int64_t ttl_us;
    const struct mr_aggregate_functions *aggregate; /* AGGREGATING; must live as long as the job */
    void *aggregate_user;
};

/* ---- functions ---- */

typedef enum mr_status (*mr_process_row_fn)(void *user, struct mr_process_context *context,
                                            const struct mr_row *row, struct mr_emitter *out);
/* The rows of `batch` have many keys: mr_state_prepare gives the state of all rows at once, and
 * mr_context_at chooses the row whose key the other calls are about. */
typedef enum mr_status (*mr_process_batch_fn)(void *user, struct mr_process_context *context,
                                              const struct mr_batch *batch, struct mr_emitter *out);

enum mr_timer_clock { MR_TIMER_EVENT_TIME, MR_TIMER_PROCESSING_TIME };
struct mr_fired_timer {
    enum mr_timer_clock clock;
    int64_t time_us;    /* for which it was set */
    int64_t name_space; /* in which it was set; it is the current one */
    uint32_t tag;
};
/* A timer is due; key and namespace are those for which it was set. A row that is emitted gets the
 * timer's output time, else the time of an event-time timer, else the watermark. */
typedef enum mr_status (*mr_process_timer_fn)(void *user, struct mr_process_context *context,
                                              const struct mr_fired_timer *timer,
                                              struct mr_emitter *out);

struct mr_process_options {
    size_t size;
    const char *id; /* give one: state is found again by it */
    /* what is emitted; NULL: the input's columns */
    const struct mr_field *fields;
    uint32_t field_count;
    /* side outputs 1..side_count, see mr_side_output */
    const struct mr_field *const *side_fields;
    const uint32_t *side_field_counts;
    uint32_t side_count;
    const struct mr_state *states; /* called by number: 0, 1, ... */
    uint32_t state_count;
    mr_process_timer_fn on_timer; /* needed where timers are set */
    /* Rows that every instance gets, in an order of its own for each pair of instances: only here
     * broadcast state may be changed. Both or none. There is no key. */
    struct mr_stream *broadcast;
    mr_process_row_fn on_broadcast;
};
MR_API struct mr_stream *mr_process_rows(struct mr_stream *keyed, mr_process_row_fn function,
                                         void *user, const struct mr_process_options *options);
MR_API struct mr_stream *mr_process_batches(struct mr_stream *keyed, mr_process_batch_fn function,
                                            void *user, const struct mr_process_options *options);

/* ---- where we are ---- */

/* No row with an earlier event time comes any more, unless late. MR_TIME_MIN: nothing is known;
 * MR_TIME_MAX: the input has ended, and only timers are left. */
MR_API int64_t mr_context_watermark(struct mr_process_context *context);
/* Processing time. It stands still during a call, never goes back while the job runs, and is the
 * only clock whose reading keeps a function testable. */
MR_API int64_t mr_context_now(struct mr_process_context *context);
/* The key as a row: columns 0, 1, ... as in mr_key_by. Valid until the function returns or chooses
 * another row. NULL where there is no key. */
MR_API const struct mr_row *mr_context_key(struct mr_process_context *context);
/* Batch form: what follows is about the key (and the time) of this row of the batch. */
MR_API void mr_context_at(struct mr_process_context *context, uint32_t row);
/* State and timers of one key, apart by a number (a window, a session); 0 until the function says
 * otherwise, again in every call. */
MR_API void mr_context_set_namespace(struct mr_process_context *context, int64_t name_space);
/* Number of this instance and how many there are. */
MR_API uint32_t mr_context_instance(struct mr_process_context *context, uint32_t *out_count);

/* ---- records ---- */

/* A record of a state. It exists if `data` is not NULL; of others all fields are null, and setting
 * them does nothing. */
struct mr_record {
    struct mr_process_context *context;
    void *table; /* from here on: ours */
    void *data;
    uint32_t state;
    uint32_t slot;
};

static inline bool mr_record_exists(const struct mr_record *record)
{
    return record->data != NULL;
}

/* Fields by number. As with rows, null and another type read as 0. */
MR_API bool mr_record_is_null(const struct mr_record *record, uint32_t field);
MR_API int64_t mr_record_int64(const struct mr_record *record, uint32_t field);
MR_API double mr_record_float64(const struct mr_record *record, uint32_t field);
MR_API struct mr_int128 mr_record_decimal(const struct mr_record *record, uint32_t field);
MR_API struct mr_bytes mr_record_bytes(const struct mr_record *record, uint32_t field);
/* int64 sets all integers (the range is checked), bool, dates, times and intervals; float64 both
 * floats. Texts are copied, at most 16 MiB. */
MR_API void mr_record_set_null(struct mr_record *record, uint32_t field);
MR_API void mr_record_set_int64(struct mr_record *record, uint32_t field, int64_t value);
MR_API void mr_record_set_float64(struct mr_record *record, uint32_t field, double value);
MR_API void mr_record_set_decimal(struct mr_record *record, uint32_t field, struct mr_int128 value);
MR_API void mr_record_set_bytes(struct mr_record *record, uint32_t field, const char *data,
                                size_t size_bytes);
/* Of an ordered list: the time it was added for. */
MR_API int64_t mr_record_time(const struct mr_record *record);

/* One value, for keys of maps and sets and for results. */
enum mr_datum_kind {
    MR_DATUM_NULL,
    MR_DATUM_INT64,
    MR_DATUM_FLOAT64,
    MR_DATUM_DECIMAL,
    MR_DATUM_BYTES
};
struct mr_datum {
    enum mr_datum_kind kind;
    union {
        int64_t int64;
        double float64;
        struct mr_int128 decimal;
        struct mr_bytes bytes;
    } u;
};
static inline struct mr_datum mr_datum_int64(int64_t value)
{
    struct mr_datum datum;

    datum.kind = MR_DATUM_INT64;
    datum.u.int64 = value;
    return datum;
}
static inline struct mr_datum mr_datum_bytes(const char *data, size_t size_bytes)
{
    struct mr_datum datum;

    datum.kind = MR_DATUM_BYTES;
    datum.u.bytes.data = data;
    datum.u.bytes.size_bytes = size_bytes;
    return datum;
}
/* Of a map, a set or broadcast state: key `key` of the element. */
MR_API struct mr_datum mr_record_key(const struct mr_record *record, uint32_t key);

/* ---- states, by their number in mr_process_options.states ---- */

/* Forgets all of it, of the key and namespace at hand. Any kind. */
MR_API void mr_state_clear(struct mr_process_context *context, uint32_t state);
/* Elements of a collection; 1 or 0 for VALUE and AGGREGATING. */
MR_API uint64_t mr_state_count(struct mr_process_context *context, uint32_t state);

/* VALUE: looks; or makes it, with all fields null, if there is none. */
MR_API struct mr_record mr_value_find(struct mr_process_context *context, uint32_t state);
MR_API struct mr_record mr_value_make(struct mr_process_context *context, uint32_t state);

/* LIST, OPERATOR_LIST: a new last element with all fields null. */
MR_API struct mr_record mr_list_append(struct mr_process_context *context, uint32_t state);

/* MAP, BROADCAST: `key` has one datum per key. */
MR_API struct mr_record mr_map_find(struct mr_process_context *context, uint32_t state,
                                    const struct mr_datum *key);
MR_API struct mr_record mr_map_make(struct mr_process_context *context, uint32_t state,
                                    const struct mr_datum *key);
MR_API bool mr_map_remove(struct mr_process_context *context, uint32_t state,
                          const struct mr_datum *key); /* true: it was there */

/* SET. add and remove answer whether that changed anything. */
MR_API bool mr_set_has(struct mr_process_context *context, uint32_t state,
                       const struct mr_datum *key);
MR_API bool mr_set_add(struct mr_process_context *context, uint32_t state,
                       const struct mr_datum *key);
MR_API bool mr_set_remove(struct mr_process_context *context, uint32_t state,
                          const struct mr_datum *key);

/* ORDERED_LIST: a new element at a time (cost: the elements with later times are walked over). */
MR_API struct mr_record mr_ordered_add(struct mr_process_context *context, uint32_t state,
                                       int64_t time_us);
/* Removes the elements with first_us <= time < end_us and says how many. */
MR_API uint64_t mr_ordered_remove(struct mr_process_context *context, uint32_t state,
                                  int64_t first_us, int64_t end_us);

/* Elements of a collection, in its order. While it goes on, elements may be added, and the one it
 * gave last may be removed by mr_iterator_remove, no others.
 *
 *     struct mr_iterator it = mr_state_iterate(context, 1);
 *     for (struct mr_record record; mr_iterator_next(&it, &record);) ...
 */
struct mr_iterator {
    struct mr_process_context *context;
    void *table; /* from here on: ours */
    uint64_t structure;
    uint64_t limit;
    int64_t first_us;
    int64_t end_us;
    uint32_t state;
    uint32_t slot;
    uint32_t owner;
    bool given;
};
MR_API struct mr_iterator mr_state_iterate(struct mr_process_context *context, uint32_t state);
/* ORDERED_LIST: those with first_us <= time < end_us. */
MR_API struct mr_iterator mr_ordered_iterate(struct mr_process_context *context, uint32_t state,
                                             int64_t first_us, int64_t end_us);
MR_API bool mr_iterator_next(struct mr_iterator *iterator, struct mr_record *out);
MR_API void mr_iterator_remove(struct mr_iterator *iterator);

/* AGGREGATING: adds a row whose columns 0, 1, ... are the aggregate's arguments. A status that its
 * functions answer is for the caller to pass on. */
MR_API enum mr_status mr_aggregating_add(struct mr_process_context *context, uint32_t state,
                                         const struct mr_row *row) MR_MUST_USE;
/* The result so far; null if nothing was added. Bytes are valid until the next call. */
MR_API enum mr_status mr_aggregating_result(struct mr_process_context *context, uint32_t state,
                                            struct mr_datum *out) MR_MUST_USE;

/* ---- state of a whole batch ---- */

/* The records of a VALUE state (namespace 0) for every row of the batch; rows with equal keys share
 * one. Writing goes straight into them: they count as changed. Valid until the function returns, or
 * makes or removes records of this state in another way. */
struct mr_state_array {
    char *const *pages;
    const uint32_t *slots;
    const uint16_t *cells; /* per field: bytes from the record's head to its value */
    bool *unset;
    uint32_t stride_bytes;
    uint32_t head_bytes;
};
#define MR_STATE_PAGE_SHIFT 10u
#define MR_STATE_SET_BIT    63u /* of a head; the others: field is not null */

/* MR_OK, or why not: to be returned. */
MR_API enum mr_status mr_state_prepare(struct mr_process_context *context, uint32_t state,
                                       struct mr_state_array *out) MR_MUST_USE;

static inline char *mr_array_head(const struct mr_state_array *array, uint32_t row)
{
    uint32_t slot = array->slots[row];

    return array->pages[slot >> MR_STATE_PAGE_SHIFT] +
           (size_t)(slot & ((1u << MR_STATE_PAGE_SHIFT) - 1)) * array->stride_bytes +
           array->head_bytes;
}

/* Was it there before this batch (or written by an earlier row of it)? */
static inline bool mr_array_exists(const struct mr_state_array *array, uint32_t row)
{
    uint64_t head;

    memcpy(&head, mr_array_head(array, row), sizeof head);
    return (head >> MR_STATE_SET_BIT) != 0;
}

static inline char *mr_array_touch(const struct mr_state_array *array, uint32_t row, uint32_t field)
{
    char *at = mr_array_head(array, row);
    uint64_t head;

    memcpy(&head, at, sizeof head);
    if ((head >> field & 1) == 0) {
        memset(at + array->cells[field], 0, sizeof head); /* what stands there is of the past */
        head |= UINT64_C(1) << MR_STATE_SET_BIT | UINT64_C(1) << field;
        memcpy(at, &head, sizeof head);
    }
    return at + array->cells[field];
}

/* The field's value, to read and write; 0 in a new record. It is not null afterwards. Integers,
 * bool, dates, times and intervals are int64 here, both floats double. */
static inline int64_t *mr_array_int64(const struct mr_state_array *array, uint32_t row,
                                      uint32_t field)
{
    return (int64_t *)(void *)mr_array_touch(array, row, field);
}
static inline double *mr_array_float64(const struct mr_state_array *array, uint32_t row,
                                       uint32_t field)
{
    return (double *)(void *)mr_array_touch(array, row, field);
}
/* Forgets the record of this row's key when the function returns, unless it is written again. */
static inline void mr_array_clear(const struct mr_state_array *array, uint32_t row)
{
    memset(mr_array_head(array, row), 0, sizeof(uint64_t));
    *array->unset = true;
}

/* ---- timers: one per key, namespace, clock and tag ---- */

/* Setting again replaces. An event-time timer fires when the watermark reaches its time, before
 * later input, at once if it has already; a processing-time timer when the clock does. When the
 * input ends, all event-time timers fire, then those in processing time, which cannot be set any
 * more. */
MR_API void mr_timer_set(struct mr_process_context *context, enum mr_timer_clock clock,
                         int64_t time_us, uint32_t tag);
/* With an output time, at most the timer's own (in event time): until it fires or is cleared the
 * watermark behind this function stays at or below it, so that a row of that time is not late. */
MR_API void mr_timer_set_holding(struct mr_process_context *context, enum mr_timer_clock clock,
                                 int64_t time_us, uint32_t tag, int64_t output_time_us);
MR_API void mr_timer_clear(struct mr_process_context *context, enum mr_timer_clock clock,
                           uint32_t tag);

#ifdef __cplusplus
}
#endif
#endif
