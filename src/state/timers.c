/* timers.c - see timers.h. */
#include "base/assert.h"
#include "base/bitset.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/time.h"
#include "state/store_internal.h"

#include <string.h>

#define NONE       UINT32_MAX
#define ROOM_FIRST 16u
#define ARITY      4u

enum heap_name { HEAP_EVENT, HEAP_PROCESSING, HEAP_HOLD, HEAP_COUNT };

/* An entry is free, living (in the index and its heaps), or buried: no longer living, but its
 * identity is still to be told to the next seal. */
struct entry {
    int64_t time_us;
    int64_t hold_us;
    int64_t ns;
    char *key;
    uint32_t key_bytes;
    uint32_t key_group;
    uint32_t tag;
    uint32_t hash;
    uint32_t at_time; /* place in the heap of its domain */
    uint32_t at_hold; /* place in the heap of holds; NONE: has no hold */
    uint32_t next_free;
    uint8_t domain;
};

/* Times lie in the heap itself: most comparisons need no entry. */
struct item {
    int64_t time_us;
    uint32_t entry;
};

struct heap {
    struct item *items;
    uint32_t count;
    uint32_t room;
};

struct mr_timers {
    struct mr_heap *heap;
    struct mri_pool *pool; /* the store's; key bytes */
    struct entry *entries;
    uint64_t *live;
    uint64_t *dirty;
    uint64_t *sealed;
    uint32_t end;
    uint32_t room;
    uint32_t free_head;
    uint32_t taken; /* given out by take: freed by the next call that changes something */
    bool tracks;
    bool changed;
    struct heap heaps[HEAP_COUNT];
    struct mri_index index;
};

/* ---- life ---- */

struct mr_timers *mri_timers_create(struct mr_heap *heap, struct mri_pool *pool, bool tracks)
{
    struct mr_timers *timers = mr_alloc_zero(heap, sizeof *timers);

    if (timers == NULL) return NULL;
    timers->heap = heap;
    timers->pool = pool;
    timers->tracks = tracks;
    timers->free_head = NONE;
    timers->taken = NONE;
    mri_index_init(&timers->index);
    return timers;
}

/* Keys above MRI_PIECE_BYTES_MAX come from the heap: a piece of the pool would be a chunk of its
 * own, whose number nobody keeps. */
static void give_key(struct mr_timers *timers, struct entry *entry)
{
    if (entry->key == NULL) return;
    if (entry->key_bytes > MRI_PIECE_BYTES_MAX) {
        mr_free(timers->heap, entry->key, entry->key_bytes);
    } else {
        mri_pool_give(timers->pool, (struct mri_piece){.data = entry->key}, entry->key_bytes);
    }
}

void mri_timers_destroy(struct mr_timers *timers)
{
    size_t bit_bytes;

    if (timers == NULL) return;
    for (uint32_t i = 0; i < timers->end; i++) give_key(timers, &timers->entries[i]);
    bit_bytes = mr_bits_words(timers->room) * sizeof(uint64_t);
    for (uint32_t i = 0; i < HEAP_COUNT; i++) {
        mr_free(timers->heap, timers->heaps[i].items, timers->heaps[i].room * sizeof(struct item));
    }
    mr_free(timers->heap, timers->entries, timers->room * sizeof *timers->entries);
    mr_free(timers->heap, timers->live, bit_bytes);
    mr_free(timers->heap, timers->dirty, bit_bytes);
    mr_free(timers->heap, timers->sealed, bit_bytes);
    mri_index_fini(&timers->index, timers->heap);
    mr_free(timers->heap, timers, sizeof *timers);
}

/* ---- order ---- */

static int compare_keys(const struct entry *left, const struct entry *right)
{
    uint32_t common = MR_MIN(left->key_bytes, right->key_bytes);
    int order = common == 0 ? 0 : memcmp(left->key, right->key, common);

    if (order != 0) return order;
    return (left->key_bytes > right->key_bytes) - (left->key_bytes < right->key_bytes);
}

/* Among equal times: namespace, key group, key bytes, tag. */
static bool entry_before(const struct entry *left, const struct entry *right)
{
    int order;

    if (left->ns != right->ns) return left->ns < right->ns;
    if (left->key_group != right->key_group) return left->key_group < right->key_group;
    order = compare_keys(left, right);
    return order != 0 ? order < 0 : left->tag < right->tag;
}

static bool before(const struct mr_timers *timers, enum heap_name name, struct item left,
                   struct item right)
{
    if (left.time_us != right.time_us) return left.time_us < right.time_us;
    if (name == HEAP_HOLD) return false; /* only the least hold is ever asked for */
    return entry_before(&timers->entries[left.entry], &timers->entries[right.entry]);
}

/* ---- heaps ---- */

static uint32_t *place_of(struct mr_timers *timers, enum heap_name name, uint32_t entry)
{
    return name == HEAP_HOLD ? &timers->entries[entry].at_hold : &timers->entries[entry].at_time;
}

static void put_item(struct mr_timers *timers, enum heap_name name, uint32_t at, struct item item)
{
    timers->heaps[name].items[at] = item;
    *place_of(timers, name, item.entry) = at;
}

static uint32_t sift_up(struct mr_timers *timers, enum heap_name name, uint32_t at,
                        struct item item)
{
    struct item *items = timers->heaps[name].items;

    while (at > 0) {
        uint32_t parent = (at - 1) / ARITY;

        if (!before(timers, name, item, items[parent])) break;
        put_item(timers, name, at, items[parent]);
        at = parent;
    }
    return at;
}

static uint32_t sift_down(struct mr_timers *timers, enum heap_name name, uint32_t at,
                          struct item item)
{
    const struct heap *heap = &timers->heaps[name];

    for (;;) {
        uint32_t first = at * ARITY + 1;
        uint32_t least = first;

        if (first >= heap->count) break;
        for (uint32_t i = first + 1; i < first + ARITY && i < heap->count; i++) {
            if (before(timers, name, heap->items[i], heap->items[least])) least = i;
        }
        if (!before(timers, name, heap->items[least], item)) break;
        put_item(timers, name, at, heap->items[least]);
        at = least;
    }
    return at;
}

/* Puts an item where it belongs, starting from a place whose old item is gone. */
static void settle(struct mr_timers *timers, enum heap_name name, uint32_t at, struct item item)
{
    uint32_t up = sift_up(timers, name, at, item);

    put_item(timers, name, up == at ? sift_down(timers, name, at, item) : up, item);
}

static bool heap_reserve(struct mr_timers *timers, enum heap_name name)
{
    struct heap *heap = &timers->heaps[name];
    uint32_t room = heap->room == 0 ? ROOM_FIRST : heap->room * 2;
    struct item *items;

    if (heap->count < heap->room) return true;
    items = mr_realloc(timers->heap, heap->items, heap->room * sizeof *items, room * sizeof *items);
    if (items == NULL) return false;
    heap->items = items;
    heap->room = room;
    return true;
}

static void heap_add(struct mr_timers *timers, enum heap_name name, struct item item)
{
    struct heap *heap = &timers->heaps[name];

    mr_assert(heap->count < heap->room);
    settle(timers, name, heap->count++, item);
}

static void heap_remove(struct mr_timers *timers, enum heap_name name, uint32_t at)
{
    struct heap *heap = &timers->heaps[name];
    struct item last = heap->items[--heap->count];

    mr_assert(at <= heap->count);
    if (at < heap->count) settle(timers, name, at, last);
}

static enum heap_name domain_heap(uint8_t domain)
{
    return domain == MR_EVENT_TIME ? HEAP_EVENT : HEAP_PROCESSING;
}

/* ---- entries ---- */

static bool grow_bits(struct mr_timers *timers, uint64_t **bits, size_t old_words, size_t new_words)
{
    uint64_t *grown = mr_alloc_array(timers->heap, new_words, sizeof *grown);

    if (grown == NULL) return false;
    if (old_words > 0) memcpy(grown, *bits, old_words * sizeof *grown);
    *bits = grown;
    return true;
}

/* Entries and their bits have one room: all grow or none. */
static bool grow_entries(struct mr_timers *timers)
{
    uint32_t room = timers->room == 0 ? ROOM_FIRST : timers->room * 2;
    size_t old_words = mr_bits_words(timers->room);
    size_t words = mr_bits_words(room);
    uint64_t *bits[3] = {timers->live, timers->dirty, timers->sealed};
    uint64_t **targets[3] = {&timers->live, &timers->dirty, &timers->sealed};
    struct entry *entries = NULL;
    uint32_t grown = 0;

    if (room > UINT32_MAX / 2) return false;
    while (grown < 3 && grow_bits(timers, &bits[grown], old_words, words)) grown++;
    if (grown == 3) {
        entries = mr_realloc(timers->heap, timers->entries, timers->room * sizeof *entries,
                             room * sizeof *entries);
    }
    if (entries == NULL) {
        while (grown > 0) mr_free(timers->heap, bits[--grown], words * sizeof(uint64_t));
        return false;
    }
    for (uint32_t i = 0; i < 3; i++) {
        mr_free(timers->heap, *targets[i], old_words * sizeof(uint64_t));
        *targets[i] = bits[i];
    }
    timers->entries = entries;
    timers->room = room;
    return true;
}

static uint32_t take_entry(struct mr_timers *timers)
{
    uint32_t number = timers->free_head;

    if (number != NONE) {
        timers->free_head = timers->entries[number].next_free;
        return number;
    }
    if (timers->end == timers->room && !grow_entries(timers)) return NONE;
    return timers->end++;
}

static void free_entry(struct mr_timers *timers, uint32_t number)
{
    struct entry *entry = &timers->entries[number];

    mr_assert(!mr_bit_get(timers->live, number));
    give_key(timers, entry);
    mr_bit_clear(timers->sealed, number);
    *entry = (struct entry){.next_free = timers->free_head};
    timers->free_head = number;
}

/* No longer living: buried when a seal knows it, else to be freed by the caller (true). */
static bool retire(struct mr_timers *timers, uint32_t number)
{
    struct entry *entry = &timers->entries[number];

    heap_remove(timers, domain_heap(entry->domain), entry->at_time);
    if (entry->at_hold != NONE) heap_remove(timers, HEAP_HOLD, entry->at_hold);
    mri_index_remove(&timers->index, entry->hash, number);
    mr_bit_clear(timers->live, number);
    mr_bit_clear(timers->dirty, number);
    timers->changed = true;
    return !mr_bit_get(timers->sealed, number);
}

static void free_taken(struct mr_timers *timers)
{
    if (timers->taken != NONE) free_entry(timers, timers->taken);
    timers->taken = NONE;
}

/* ---- identity ---- */

static uint32_t hash_of(const struct mr_timer *timer)
{
    uint64_t hash = mr_hash_bytes(timer->key.data, timer->key.size_bytes);

    hash = mr_hash_combine(hash, (uint64_t)timer->ns);
    return (uint32_t)mr_hash_combine(hash, (uint64_t)timer->tag << 1 | (uint64_t)timer->domain);
}

static bool is_same(const struct entry *entry, const struct mr_timer *timer)
{
    return entry->ns == timer->ns && entry->tag == timer->tag &&
           entry->domain == (uint8_t)timer->domain && entry->key_bytes == timer->key.size_bytes &&
           (entry->key_bytes == 0 || memcmp(entry->key, timer->key.data, entry->key_bytes) == 0);
}

static uint32_t find(const struct mr_timers *timers, const struct mr_timer *timer, uint32_t hash)
{
    uint32_t at = hash;

    for (;;) {
        uint32_t number = mri_index_at(&timers->index, hash, &at);

        if (number == NONE || is_same(&timers->entries[number], timer)) return number;
    }
}

/* ---- set and clear ---- */

static void set_hold(struct mr_timers *timers, uint32_t number, int64_t hold_us)
{
    struct entry *entry = &timers->entries[number];
    struct item item = {hold_us, number};

    entry->hold_us = hold_us;
    if (entry->at_hold != NONE && hold_us == MR_TIME_MAX) {
        heap_remove(timers, HEAP_HOLD, entry->at_hold);
        entry->at_hold = NONE;
    } else if (entry->at_hold != NONE) {
        settle(timers, HEAP_HOLD, entry->at_hold, item);
    } else if (hold_us != MR_TIME_MAX) {
        heap_add(timers, HEAP_HOLD, item);
    }
}

static bool copy_key(struct mr_timers *timers, const struct mr_timer *timer, char **out)
{
    struct mri_piece piece;

    *out = NULL;
    if (timer->key.size_bytes == 0) return true;
    if (timer->key.size_bytes > MRI_PIECE_BYTES_MAX) {
        *out = mr_alloc(timers->heap, timer->key.size_bytes);
        if (*out != NULL) memcpy(*out, timer->key.data, timer->key.size_bytes);
        return *out != NULL;
    }
    if (!mri_pool_take(timers->pool, timer->key.size_bytes, &piece)) return false;
    memcpy(piece.data, timer->key.data, timer->key.size_bytes);
    *out = piece.data;
    return true;
}

/* A new living entry, in the index but in no heap yet. All heaps have room. */
static uint32_t make(struct mr_timers *timers, const struct mr_timer *timer, uint32_t hash)
{
    uint32_t number;
    char *key;

    if (!mri_index_reserve(&timers->index, timers->heap)) return NONE;
    number = take_entry(timers);
    if (number == NONE) return NONE;
    timers->entries[number] = (struct entry){.next_free = NONE};
    if (!copy_key(timers, timer, &key)) {
        free_entry(timers, number);
        return NONE;
    }
    timers->entries[number] = (struct entry){.time_us = timer->time_us,
                                             .hold_us = MR_TIME_MAX,
                                             .ns = timer->ns,
                                             .key = key,
                                             .key_bytes = (uint32_t)timer->key.size_bytes,
                                             .key_group = timer->key_group,
                                             .tag = timer->tag,
                                             .hash = hash,
                                             .at_hold = NONE,
                                             .next_free = NONE,
                                             .domain = (uint8_t)timer->domain};
    mri_index_add(&timers->index, hash, number);
    mr_bit_set(timers->live, number);
    heap_add(timers, domain_heap(timers->entries[number].domain),
             (struct item){timer->time_us, number});
    return number;
}

/* The number of the timer after setting it; NONE: no memory, and nothing has changed. */
static uint32_t set(struct mr_timers *timers, const struct mr_timer *timer)
{
    uint32_t hash = hash_of(timer);
    uint32_t number = find(timers, timer, hash);
    struct entry *entry;

    if (timer->hold_us != MR_TIME_MAX && !heap_reserve(timers, HEAP_HOLD)) return NONE;
    if (number == NONE) {
        if (!heap_reserve(timers, domain_heap((uint8_t)timer->domain))) return NONE;
        number = make(timers, timer, hash);
        if (number == NONE) return NONE;
    }
    entry = &timers->entries[number];
    if (entry->time_us != timer->time_us) {
        entry->time_us = timer->time_us;
        settle(timers, domain_heap(entry->domain), entry->at_time,
               (struct item){timer->time_us, number});
    }
    set_hold(timers, number, timer->hold_us);
    return number;
}

bool mr_timers_set(struct mr_timers *timers, const struct mr_timer *timer)
{
    uint32_t number;

    mr_assert(timer->domain == MR_EVENT_TIME || timer->domain == MR_PROCESSING_TIME);
    mr_assert(timer->key.size_bytes < UINT32_MAX);
    number = set(timers, timer);
    if (number == NONE) return false;
    if (timers->tracks) mr_bit_set(timers->dirty, number);
    timers->changed = true;
    free_taken(timers); /* only now: *timer may be what take gave out */
    return true;
}

static void clear(struct mr_timers *timers, const struct mr_timer *timer, bool bury)
{
    uint32_t number = find(timers, timer, hash_of(timer));

    if (number != NONE) {
        if (!bury) mr_bit_clear(timers->sealed, number);
        if (retire(timers, number)) free_entry(timers, number);
    }
    free_taken(timers);
}

void mr_timers_clear(struct mr_timers *timers, const struct mr_timer *timer)
{
    clear(timers, timer, true);
}

bool mri_timers_restore(struct mr_timers *timers, const struct mr_timer *timer, bool lives)
{
    uint32_t number;

    if (!lives) {
        clear(timers, timer, false);
        return true;
    }
    number = set(timers, timer);
    if (number == NONE) return false;
    mr_bit_assign(timers->sealed, number, timers->tracks);
    mr_bit_clear(timers->dirty, number);
    free_taken(timers);
    return true;
}

/* ---- ask and take ---- */

static int64_t first_time(const struct heap *heap)
{
    return heap->count > 0 ? heap->items[0].time_us : MR_TIME_MAX;
}

int64_t mr_timers_next(const struct mr_timers *timers, enum mr_time_domain domain)
{
    return first_time(&timers->heaps[domain_heap((uint8_t)domain)]);
}

int64_t mr_timers_hold(const struct mr_timers *timers)
{
    return first_time(&timers->heaps[HEAP_HOLD]);
}

uint64_t mr_timers_count(const struct mr_timers *timers)
{
    return timers->index.count;
}

static struct mr_timer timer_of(const struct entry *entry)
{
    return (struct mr_timer){.domain = (enum mr_time_domain)entry->domain,
                             .time_us = entry->time_us,
                             .hold_us = entry->hold_us,
                             .ns = entry->ns,
                             .tag = entry->tag,
                             .key_group = entry->key_group,
                             .key = {entry->key, entry->key_bytes}};
}

bool mr_timers_take(struct mr_timers *timers, enum mr_time_domain domain, int64_t now_us,
                    struct mr_timer *out)
{
    const struct heap *heap = &timers->heaps[domain_heap((uint8_t)domain)];
    uint32_t number;

    free_taken(timers);
    if (heap->count == 0 || heap->items[0].time_us > now_us) return false;
    number = heap->items[0].entry;
    *out = timer_of(&timers->entries[number]);
    if (retire(timers, number)) timers->taken = number;
    return true;
}

/* ---- seal ---- */

enum mr_status mri_timers_seal(const struct mr_timers *timers, bool full, mri_timer_fn yield,
                               void *self, struct mr_error *err)
{
    if (!full && !timers->changed) return MR_OK;
    for (uint32_t i = 0; i < timers->end && !full; i++) {
        struct mr_timer timer = timer_of(&timers->entries[i]);

        if (!mr_bit_get(timers->sealed, i) || mr_bit_get(timers->live, i)) continue;
        MR_RET(yield(self, &timer, false, err));
    }
    for (uint32_t i = 0; i < timers->end; i++) {
        struct mr_timer timer = timer_of(&timers->entries[i]);

        if (!mr_bit_get(timers->live, i) || (!full && !mr_bit_get(timers->dirty, i))) continue;
        MR_RET(yield(self, &timer, true, err));
    }
    return MR_OK;
}

void mri_timers_sealed(struct mr_timers *timers)
{
    if (!timers->tracks || timers->end == 0) return;
    for (uint32_t i = 0; i < timers->end && timers->changed; i++) {
        if (mr_bit_get(timers->sealed, i) && !mr_bit_get(timers->live, i)) free_entry(timers, i);
    }
    memcpy(timers->sealed, timers->live, mr_bits_words(timers->end) * sizeof(uint64_t));
    memset(timers->dirty, 0, mr_bits_words(timers->end) * sizeof(uint64_t));
    timers->changed = false;
}

/* ---- check ---- */

static void check_heap(const struct mr_timers *timers, enum heap_name name)
{
    const struct heap *heap = &timers->heaps[name];

    for (uint32_t i = 0; i < heap->count; i++) {
        const struct entry *entry = &timers->entries[heap->items[i].entry];
        int64_t time = name == HEAP_HOLD ? entry->hold_us : entry->time_us;

        mr_assert(mr_bit_get(timers->live, heap->items[i].entry));             /* (1) */
        mr_assert(heap->items[i].time_us == time);                             /* (1) */
        mr_assert((name == HEAP_HOLD ? entry->at_hold : entry->at_time) == i); /* (2) */
        mr_assert(i == 0 ||
                  !before(timers, name, heap->items[i], heap->items[(i - 1) / ARITY])); /* (3) */
    }
}

void mr_timers_check(const struct mr_timers *timers)
{
    uint32_t living = 0;
    uint32_t held = 0;

    for (uint32_t i = 0; i < timers->end; i++) {
        if (!mr_bit_get(timers->live, i)) {
            mr_assert(!mr_bit_get(timers->dirty, i));
            continue;
        }
        living++;
        held += timers->entries[i].at_hold != NONE;
        mr_assert((timers->entries[i].at_hold != NONE) ==
                  (timers->entries[i].hold_us != MR_TIME_MAX)); /* (1) */
    }
    for (enum heap_name name = HEAP_EVENT; name < HEAP_COUNT; name++) check_heap(timers, name);
    mr_assert(living == timers->index.count);
    mr_assert(living == timers->heaps[HEAP_EVENT].count + timers->heaps[HEAP_PROCESSING].count);
    mr_assert(held == timers->heaps[HEAP_HOLD].count);
    mri_index_check(&timers->index);
}
