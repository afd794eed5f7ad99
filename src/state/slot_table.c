/* slot_table.c - one table of keyed slots; see store.h and store_internal.h. */
#include "base/assert.h"
#include "state/store_internal.h"

#include <string.h>

#define ROOM_FIRST  8u
#define SLOTS_MAX   (UINT32_MAX / 2)
#define BLOCK_ROWS  32u
#define BLOCK_WORDS 256u
/* Up to here a table lies in the first caches and prefetching only costs. */
#define PREFETCH_SLOTS 1024u
#define LINE           ((size_t)MR_CACHE_LINE)

/* ---- life ---- */

static uint32_t stride_of(const struct mr_store *store, uint32_t slot_bytes)
{
    uint32_t align = slot_bytes % 16 == 0 ? 16 : 8; /* slots may hold 128-bit integers */

    return (slot_bytes + store->shape.words * 8 + align - 1) / align * align;
}

struct mr_table *mri_table_create(struct mr_store *store, uint32_t state, int64_t ns)
{
    struct mr_table *table = mr_alloc_zero(&store->heap, sizeof *table);

    if (table == NULL) return NULL;
    table->store = store;
    table->ns = ns;
    table->state = state;
    table->free_head = MR_SLOT_NONE;
    table->slot_bytes = store->states[state].ops.slot_bytes;
    table->stride_bytes = stride_of(store, table->slot_bytes);
    table->tracks = store->tracks;
    mri_index_init(&table->index);
    mri_pool_init(&table->texts, &store->heap);
    return table;
}

static void release_slots(struct mr_table *table)
{
    const struct mr_slot_ops *ops = &mri_state_of(table)->ops;

    if (ops->release == NULL) return;
    for (size_t slot = mr_bits_next(table->live, table->end, 0); slot < table->end;
         slot = mr_bits_next(table->live, table->end, slot + 1)) {
        ops->release(ops->self, table->store, mri_record(table, (uint32_t)slot));
    }
}

static size_t page_bytes(const struct mr_table *table, uint32_t page)
{
    uint32_t slots = MR_MIN(table->room - page * MR_TABLE_PAGE_SLOTS, MR_TABLE_PAGE_SLOTS);

    return (size_t)slots * table->stride_bytes;
}

void mri_table_empty(struct mr_table *table)
{
    struct mr_heap *heap = &table->store->heap;
    size_t bit_bytes = mr_bits_words(table->bit_room) * sizeof(uint64_t);

    release_slots(table);
    for (uint32_t page = 0; page * MR_TABLE_PAGE_SLOTS < table->room; page++) {
        mr_free(heap, table->pages[page], page_bytes(table, page));
    }
    mr_free(heap, table->pages, table->page_room * sizeof *table->pages);
    mr_free(heap, table->live, bit_bytes);
    mr_free(heap, table->dirty, bit_bytes);
    mr_free(heap, table->sealed, bit_bytes);
    table->pages = NULL;
    table->live = table->dirty = table->sealed = NULL;
    table->bit_room = table->page_room = 0;
    table->count = table->end = table->room = 0;
    table->free_head = MR_SLOT_NONE;
    mri_index_fini(&table->index, heap);
    mri_pool_fini(&table->texts);
}

/* ---- room ---- */

/* The three arrays have one size, so either all grow or none. */
static bool grow_bits(struct mr_table *table, uint32_t room)
{
    struct mr_heap *heap = &table->store->heap;
    size_t old_words = mr_bits_words(table->bit_room);
    uint32_t bit_room = table->bit_room == 0 ? 64 : table->bit_room * 2;
    uint64_t *grown[3] = {NULL, NULL, NULL};
    uint64_t **bits[3] = {&table->live, &table->dirty, &table->sealed};
    size_t words = mr_bits_words(bit_room);

    if (room <= table->bit_room) return true;
    for (uint32_t i = 0; i < 3; i++) {
        grown[i] = mr_alloc_array(heap, words, sizeof(uint64_t));
        if (grown[i] == NULL) {
            while (i > 0) mr_free(heap, grown[--i], words * sizeof(uint64_t));
            return false;
        }
    }
    for (uint32_t i = 0; i < 3; i++) {
        if (old_words > 0) memcpy(grown[i], *bits[i], old_words * sizeof(uint64_t));
        mr_free(heap, *bits[i], old_words * sizeof(uint64_t));
        *bits[i] = grown[i];
    }
    table->bit_room = bit_room;
    return true;
}

static bool grow_page_list(struct mr_table *table)
{
    uint32_t room = table->page_room == 0 ? 1 : table->page_room * 2;
    char **pages = mr_realloc(&table->store->heap, table->pages, table->page_room * sizeof *pages,
                              room * sizeof *pages);

    if (pages == NULL) return false;
    table->pages = pages;
    table->page_room = room;
    return true;
}

/* The first page doubles by moving, so that a table of three keys is small; then whole pages. */
static bool grow_pages(struct mr_table *table)
{
    struct mr_heap *heap = &table->store->heap;
    uint32_t room = table->room == 0 ? ROOM_FIRST : table->room * 2;
    uint32_t page = table->room / MR_TABLE_PAGE_SLOTS;
    char *memory;

    if (table->room >= MR_TABLE_PAGE_SLOTS) room = table->room + MR_TABLE_PAGE_SLOTS;
    if (room > SLOTS_MAX || !grow_bits(table, room)) return false;
    if (page == table->page_room && !grow_page_list(table)) return false;
    if (page == 0) {
        memory = mr_realloc(heap, table->room == 0 ? NULL : table->pages[0],
                            (size_t)table->room * table->stride_bytes,
                            (size_t)room * table->stride_bytes);
    } else {
        memory = mr_alloc(heap, (size_t)MR_TABLE_PAGE_SLOTS * table->stride_bytes);
    }
    if (memory == NULL) return false;
    table->pages[page] = memory;
    table->room = room;
    return true;
}

/* A free record: the last freed one, else a new one. */
static uint32_t take_record(struct mr_table *table)
{
    uint32_t slot = table->free_head;

    if (slot != MR_SLOT_NONE) {
        table->free_head = (uint32_t)*mri_image(table, slot);
        return slot;
    }
    if (table->end == table->room && !grow_pages(table)) return MR_SLOT_NONE;
    return table->end++;
}

static void give_record(struct mr_table *table, uint32_t slot)
{
    *mri_image(table, slot) = table->free_head;
    table->free_head = slot;
}

/* ---- key texts ---- */

static struct mri_piece piece_of(const struct mr_table *table, const struct mr_view *view)
{
    uint32_t chunk = view->u.far.buffer;

    return (struct mri_piece){table->texts.chunks[chunk] + view->u.far.offset, chunk,
                              view->u.far.offset};
}

/* Gives the far texts of the first `columns` key columns back. */
static void free_texts(struct mr_table *table, const uint64_t *image, uint32_t columns)
{
    const struct mri_key_shape *shape = &table->store->shape;

    for (uint32_t i = 0; i < columns; i++) {
        const struct mr_view *view = mri_cell_view(image + shape->columns[i].word);

        if (shape->columns[i].layout != MR_LAYOUT_VIEW) continue;
        if (view->size_bytes <= MR_VIEW_INLINE) continue;
        mri_pool_give(&table->texts, piece_of(table, view), view->size_bytes);
    }
}

/* Copies far texts and points the image's views at the copies. */
static bool keep_texts(struct mr_table *table, uint64_t *image, const struct mri_key_texts *texts)
{
    const struct mri_key_shape *shape = &table->store->shape;

    for (uint32_t i = 0; i < shape->column_count; i++) {
        uint64_t *cell = image + shape->columns[i].word;
        struct mr_view view;
        struct mri_piece piece;

        if (shape->columns[i].layout != MR_LAYOUT_VIEW) continue;
        memcpy(&view, cell, sizeof view);
        if (view.size_bytes <= MR_VIEW_INLINE) continue;
        if (!mri_pool_take(&table->texts, view.size_bytes, &piece)) {
            free_texts(table, image, i);
            return false;
        }
        memcpy(piece.data, mri_cell_text(&view, texts->buffers[i]), view.size_bytes);
        view.u.far.buffer = piece.chunk;
        view.u.far.offset = piece.offset;
        memcpy(cell, &view, sizeof view);
    }
    return true;
}

/* ---- find, make ---- */

/* The slot of a key, or MR_SLOT_NONE. */
MR_INLINE uint32_t probe(const struct mr_table *table, enum mri_key_kind kind,
                         const uint64_t *image, const struct mri_key_texts *texts)
{
    uint32_t tag = (uint32_t)image[0];
    uint32_t at = tag;

    for (;;) {
        uint32_t slot = mri_index_at(&table->index, tag, &at);

        if (slot == MR_SLOT_NONE) return slot;
        if (MR_LIKELY(mri_images_equal(&table->store->shape, kind, image, texts,
                                       mri_image(table, slot), mri_chunks(table)))) {
            return slot;
        }
    }
}

MR_INLINE void mark_dirty(struct mr_table *table, uint32_t slot)
{
    uint64_t *word = &table->dirty[slot / 64];
    uint64_t bit = UINT64_C(1) << (slot % 64);

    /* Look first: hot slots are dirty already, and a word that was just stored loads late. */
    if (table->tracks && (*word & bit) == 0) *word |= bit;
}

/* Makes the key of an image that is not there. Either it is there whole afterwards, or nothing has
 * changed. */
static MR_NOINLINE uint32_t make(struct mr_table *table, const uint64_t *image,
                                 const struct mri_key_texts *texts)
{
    const struct mr_slot_ops *ops = &mri_state_of(table)->ops;
    uint32_t slot;
    uint64_t *kept;

    if (!mri_index_reserve(&table->index, &table->store->heap)) return MR_SLOT_NONE;
    slot = take_record(table);
    if (slot == MR_SLOT_NONE) return MR_SLOT_NONE;
    kept = mri_image(table, slot);
    memcpy(kept, image, table->store->shape.words * sizeof *kept);
    if (table->store->shape.has_views && !keep_texts(table, kept, texts)) {
        give_record(table, slot);
        return MR_SLOT_NONE;
    }
    memset(mri_record(table, slot), 0, table->slot_bytes);
    if (ops->init != NULL) ops->init(ops->self, mri_record(table, slot));
    mri_index_add(&table->index, (uint32_t)image[0], slot);
    mr_bit_set(table->live, slot);
    table->count++;
    table->store->key_count++;
    return slot;
}

uint32_t mri_table_find(const struct mr_table *table, const uint64_t *image,
                        const struct mri_key_texts *texts)
{
    return probe(table, MRI_KEY_ANY, image, texts);
}

uint32_t mri_table_resolve(struct mr_table *table, const uint64_t *image,
                           const struct mri_key_texts *texts, bool *out_new)
{
    uint32_t slot = mri_table_find(table, image, texts);

    *out_new = slot == MR_SLOT_NONE;
    return slot == MR_SLOT_NONE ? make(table, image, texts) : slot;
}

/* ---- blocks of rows ---- */

/* Some rows on their way through the table: enough for the memory to answer in the meantime, few
 * enough to stay in the first cache. */
struct block {
    uint32_t count;
    uint32_t rows[BLOCK_ROWS];
    uint32_t tags[BLOCK_ROWS];
    uint64_t images[BLOCK_WORDS];
};
_Static_assert(BLOCK_WORDS >= MRI_KEY_WORDS_MAX, "one key of any shape must fit");

static uint32_t block_rows(const struct mr_table *table)
{
    return MR_MIN(BLOCK_ROWS, BLOCK_WORDS / table->store->shape.words);
}

static void load_block(const struct mr_table *table, const struct mr_keys *keys,
                       const uint32_t *rows, uint32_t first, uint32_t count, struct block *block)
{
    const struct mri_key_shape *shape = &table->store->shape;

    block->count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = rows != NULL ? rows[first + i] : first + i;

        mr_assert_slow(row < keys->count);
        block->rows[i] = row;
        block->tags[i] = shape->column_count == 0 ? 0 : (uint32_t)keys->hashes[row];
    }
    mri_images_load(shape, keys->columns, block->rows, block->tags, count, block->images);
}

/* First the index words, then, when they have come, the records they name. A tag that stands
 * elsewhere than at home is not looked for: it is rare, and only costs a miss. Inline: compilers
 * take a call that only fetches for one without effect, and remove it. */
MR_INLINE void prefetch_block(const struct mr_table *table, const struct block *block)
{
    const struct mri_index *index = &table->index;

    for (uint32_t i = 0; i < block->count; i++) {
        MR_PREFETCH(&index->words[block->tags[i] & index->mask]);
    }
    for (uint32_t i = 0; i < block->count; i++) {
        uint64_t word = index->words[block->tags[i] & index->mask];
        const char *record;

        if (word == 0) continue;
        record = mri_record(table, (uint32_t)word - 1);
        MR_PREFETCH(record);
        if (table->stride_bytes > LINE) MR_PREFETCH(record + table->slot_bytes);
    }
}

/* What the loop over a block needs of a table, in registers: the compiler has to fear that every
 * slot number it writes changes the table. Only making a key really does. */
struct lookup {
    struct mri_index index;
    char *const *pages;
    const char *const *chunks;
    size_t stride_bytes;
    size_t slot_bytes;
};

MR_INLINE struct lookup lookup_of(const struct mr_table *table)
{
    return (struct lookup){table->index, table->pages, mri_chunks(table), table->stride_bytes,
                           table->slot_bytes};
}

MR_INLINE const uint64_t *lookup_image(const struct lookup *lookup, uint32_t slot)
{
    const char *record = lookup->pages[slot >> MR_TABLE_PAGE_SHIFT] +
                         (slot & (MR_TABLE_PAGE_SLOTS - 1)) * lookup->stride_bytes;

    return (const uint64_t *)(const void *)(record + lookup->slot_bytes);
}

MR_INLINE enum mr_prepare prepare_block(struct mr_table *table, enum mri_key_kind kind,
                                        uint32_t words, const struct block *block,
                                        const struct mri_key_texts *texts, uint32_t *out,
                                        uint32_t *out_done)
{
    const struct mri_key_shape *shape = &table->store->shape;
    struct lookup lookup = lookup_of(table);
    uint32_t count = block->count;

    for (uint32_t i = 0; i < count; i++) {
        const uint64_t *image = block->images + (size_t)i * words;
        uint32_t tag = (uint32_t)image[0];
        uint32_t at = tag;
        uint32_t slot;

        do {
            slot = mri_index_at(&lookup.index, tag, &at);
            if (MR_UNLIKELY(slot == MR_SLOT_NONE)) {
                slot = make(table, image, texts);
                if (slot == MR_SLOT_NONE) {
                    *out_done += i;
                    return MR_PREPARE_NOMEM;
                }
                lookup = lookup_of(table);
            }
        } while (MR_UNLIKELY(!mri_images_equal(shape, kind, image, texts,
                                               lookup_image(&lookup, slot), lookup.chunks)));
        mark_dirty(table, slot);
        out[i] = slot;
    }
    *out_done += count;
    return MR_PREPARE_READY;
}

static enum mr_prepare prepare_any(struct mr_table *table, const struct block *block,
                                   const struct mri_key_texts *texts, uint32_t *out,
                                   uint32_t *out_done)
{
    switch (table->store->shape.kind) {
    case MRI_KEY_WORD: return prepare_block(table, MRI_KEY_WORD, 2, block, texts, out, out_done);
    case MRI_KEY_VIEW: return prepare_block(table, MRI_KEY_VIEW, 3, block, texts, out, out_done);
    case MRI_KEY_ANY:
        return prepare_block(table, MRI_KEY_ANY, table->store->shape.words, block, texts, out,
                             out_done);
    }
    MR_UNREACHABLE();
}

enum mr_prepare mr_table_prepare(struct mr_table *table, const struct mr_keys *keys,
                                 const uint32_t *rows, uint32_t count, uint32_t *out_slots,
                                 uint32_t *out_done)
{
    struct mri_key_texts texts;
    struct block block;
    uint32_t step = block_rows(table);

    mri_texts_of_columns(&table->store->shape, keys->columns, &texts);
    table->changed = true;
    *out_done = 0;
    for (uint32_t first = 0; first < count; first += step) {
        enum mr_prepare answer;

        load_block(table, keys, rows, first, MR_MIN(step, count - first), &block);
        if (table->count >= PREFETCH_SLOTS) prefetch_block(table, &block);
        answer = prepare_any(table, &block, &texts, out_slots + first, out_done);
        if (answer != MR_PREPARE_READY) return answer;
    }
    return MR_PREPARE_READY;
}

void mr_table_lookup(const struct mr_table *table, const struct mr_keys *keys, const uint32_t *rows,
                     uint32_t count, uint32_t *out_slots)
{
    struct mri_key_texts texts;
    struct block block;
    uint32_t step = block_rows(table);

    mri_texts_of_columns(&table->store->shape, keys->columns, &texts);
    for (uint32_t first = 0; first < count; first += step) {
        load_block(table, keys, rows, first, MR_MIN(step, count - first), &block);
        if (table->count >= PREFETCH_SLOTS) prefetch_block(table, &block);
        for (uint32_t i = 0; i < block.count; i++) {
            const uint64_t *image = block.images + (size_t)i * table->store->shape.words;

            out_slots[first + i] = mri_table_find(table, image, &texts);
        }
    }
}

uint32_t mr_table_adopt_key(struct mr_table *into, const struct mr_table *from, uint32_t slot)
{
    struct mri_key_texts texts;
    bool is_new;
    uint32_t found;

    mr_assert(into->store == from->store);
    mr_assert(mr_table_live(from, slot));
    if (into == from) return slot;
    mri_texts_of_chunks(&from->store->shape, mri_chunks(from), &texts);
    found = mri_table_resolve(into, mri_image(from, slot), &texts, &is_new);
    if (found != MR_SLOT_NONE) mr_table_touch(into, found);
    return found;
}

/* ---- remove ---- */

void mri_table_free(struct mr_table *table, uint32_t slot)
{
    mr_assert(!mr_bit_get(table->live, slot));
    if (mr_bit_get(table->sealed, slot)) {
        mr_bit_clear(table->sealed, slot);
        table->sealed_count--;
    }
    if (table->store->shape.has_views) {
        free_texts(table, mri_image(table, slot), table->store->shape.column_count);
    }
    give_record(table, slot);
}

void mr_table_remove(struct mr_table *table, uint32_t slot)
{
    const struct mr_slot_ops *ops = &mri_state_of(table)->ops;

    mr_assert(mr_table_live(table, slot));
    if (ops->release != NULL) ops->release(ops->self, table->store, mri_record(table, slot));
    mri_index_remove(&table->index, (uint32_t)*mri_image(table, slot), slot);
    mr_bit_clear(table->live, slot);
    mr_bit_clear(table->dirty, slot);
    table->count--;
    table->store->key_count--;
    table->changed = true;
    /* A key that seals know stays buried here, without any new memory, until the next one. */
    if (!mr_bit_get(table->sealed, slot)) mri_table_free(table, slot);
}

/* ---- look ---- */

int64_t mr_table_namespace(const struct mr_table *table)
{
    return table->ns;
}

uint32_t mr_table_count(const struct mr_table *table)
{
    return table->count;
}

uint32_t mr_table_end(const struct mr_table *table)
{
    return table->end;
}

bool mr_table_live(const struct mr_table *table, uint32_t slot)
{
    return slot < table->end && mr_bit_get(table->live, slot);
}

void *mr_table_slot(struct mr_table *table, uint32_t slot)
{
    mr_assert_slow(mr_table_live(table, slot));
    return mri_record(table, slot);
}

struct mr_table_pages mr_table_pages(const struct mr_table *table)
{
    return (struct mr_table_pages){table->pages, table->slot_bytes, table->stride_bytes};
}

void mr_table_touch(struct mr_table *table, uint32_t slot)
{
    mr_assert_slow(mr_table_live(table, slot));
    table->changed = true;
    mark_dirty(table, slot);
}

uint64_t mr_table_hash(const struct mr_table *table, uint32_t slot)
{
    mr_assert_slow(mr_table_live(table, slot));
    return mri_image_hash(&table->store->shape, mri_image(table, slot), mri_chunks(table));
}

uint32_t mr_table_group(const struct mr_table *table, uint32_t slot)
{
    mr_assert_slow(mr_table_live(table, slot));
    return mri_store_group(table->store, mri_image(table, slot), mri_chunks(table));
}

enum mr_build mr_table_key_to_row(const struct mr_table *table, uint32_t slot,
                                  struct mr_builder *builder, uint32_t first_column)
{
    const struct mri_key_shape *shape = &table->store->shape;

    mr_assert_slow(mr_table_live(table, slot));
    for (uint32_t i = 0; i < shape->column_count; i++) {
        struct mr_column column;
        enum mr_build built;

        mri_image_column(shape, mri_image(table, slot), mri_chunks(table), table->texts.chunk_count,
                         i, &column);
        built = mr_builder_set_from(builder, first_column + i, &column, 0);
        if (built != MR_BUILD_OK) return built;
    }
    return MR_BUILD_OK;
}

void mr_table_key_columns(const struct mr_table *table, uint32_t slot, struct mr_column *out)
{
    const struct mri_key_shape *shape = &table->store->shape;

    mr_assert_slow(mr_table_live(table, slot));
    for (uint32_t i = 0; i < shape->column_count; i++) {
        mri_image_column(shape, mri_image(table, slot), mri_chunks(table), table->texts.chunk_count,
                         i, &out[i]);
    }
}

int mr_table_key_compare(const struct mr_table *left, uint32_t left_slot,
                         const struct mr_table *right, uint32_t right_slot)
{
    mr_assert_slow(left->store == right->store);
    return mri_image_compare(&left->store->shape, mri_image(left, left_slot), mri_chunks(left),
                             mri_image(right, right_slot), mri_chunks(right));
}

/* ---- check ---- */

/* Finds a living record by its own key: (1). */
static void check_record(const struct mr_table *table, uint32_t slot)
{
    struct mri_key_texts texts;

    mri_texts_of_chunks(&table->store->shape, mri_chunks(table), &texts);
    mr_assert(mri_table_find(table, mri_image(table, slot), &texts) == slot);
}

void mri_table_check(const struct mr_table *table)
{
    uint32_t live = 0, sealed = 0, used = 0, freed = 0;

    for (uint32_t slot = 0; slot < table->end; slot++) {
        bool lives = mr_bit_get(table->live, slot);
        bool is_sealed = mr_bit_get(table->sealed, slot);

        live += lives;
        sealed += is_sealed;
        used += lives || is_sealed;
        mr_assert(lives || !mr_bit_get(table->dirty, slot)); /* (2) */
        mr_assert(table->changed || lives || !is_sealed);    /* (3) */
        mr_assert(table->changed || !mr_bit_get(table->dirty, slot));
        if (lives) check_record(table, slot);
    }
    for (uint32_t slot = table->free_head; slot != MR_SLOT_NONE;
         slot = (uint32_t)*mri_image(table, slot)) {
        mr_assert(!mr_bit_get(table->live, slot) && !mr_bit_get(table->sealed, slot)); /* (4) */
        freed++;
        mr_assert(freed <= table->end);
    }
    mr_assert(live == table->count && live == table->index.count); /* (1) */
    mr_assert(sealed == table->sealed_count);
    mr_assert(used + freed == table->end); /* (4) */
    mri_index_check(&table->index);
}
