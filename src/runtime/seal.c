#include "runtime/seal.h"

#include "base/assert.h"
#include "base/status.h"
#include <string.h>

#define CHUNK_BYTES ((size_t)256 * 1024)

struct mr_seal_chunk {
    struct mr_seal_chunk *next;
    size_t room_bytes;
    size_t used_bytes;
    char data[];
};

struct piece { /* before the bytes of key and value */
    struct mr_entry entry;
    uint32_t op;
    uint32_t key_bytes;
    uint64_t value_bytes;
};

static size_t piece_bytes(size_t key_bytes, size_t value_bytes)
{
    size_t size = sizeof(struct piece) + key_bytes + value_bytes;

    return (size + 15) & ~(size_t)15;
}

void mr_seal_init(struct mr_seal *seal, struct mr_heap *heap)
{
    *seal = (struct mr_seal){.heap = heap};
}

void mr_seal_fini(struct mr_seal *seal)
{
    while (seal->first != NULL) {
        struct mr_seal_chunk *chunk = seal->first;

        seal->first = chunk->next;
        mr_free(seal->heap, chunk, sizeof *chunk + chunk->room_bytes);
    }
    seal->last = NULL;
}

void mr_seal_clear(struct mr_seal *seal)
{
    for (struct mr_seal_chunk *chunk = seal->first; chunk != NULL; chunk = chunk->next) {
        chunk->used_bytes = 0;
    }
    seal->last = seal->first;
    seal->entry_count = 0;
    seal->bytes = 0;
}

/* Room for `size` bytes in the chunk being filled, a kept one behind it, or a new one. */
static char *reserve(struct mr_seal *seal, size_t size)
{
    struct mr_seal_chunk *chunk = seal->last;
    size_t room = MR_MAX(size, CHUNK_BYTES);

    while (chunk != NULL && chunk->room_bytes - chunk->used_bytes < size) chunk = chunk->next;
    if (chunk == NULL) {
        chunk = mr_alloc(seal->heap, sizeof *chunk + room);
        if (chunk == NULL) return NULL;
        *chunk = (struct mr_seal_chunk){.room_bytes = room};
        if (seal->last == NULL) {
            seal->first = chunk;
        } else {
            chunk->next = seal->last->next;
            seal->last->next = chunk;
        }
    }
    seal->last = chunk;
    chunk->used_bytes += size;
    return chunk->data + chunk->used_bytes - size;
}

enum mr_status mr_seal_add(struct mr_seal *seal, uint32_t op, const struct mr_entry *entry,
                           struct mr_error *err)
{
    size_t size = piece_bytes(entry->key.size_bytes, entry->value.size_bytes);
    struct piece piece = {.entry = *entry,
                          .op = op,
                          .key_bytes = (uint32_t)entry->key.size_bytes,
                          .value_bytes = entry->value.size_bytes};
    char *into = reserve(seal, size);

    if (into == NULL) {
        return mr_error_set(err, MR_E_NOMEM,
                            "no memory to seal what changed in this epoch (%llu MiB so far); allow "
                            "more (--memory), or make epochs shorter (--epoch)",
                            (unsigned long long)(seal->bytes >> 20));
    }
    memcpy(into, &piece, sizeof piece);
    into += sizeof piece;
    if (entry->key.size_bytes > 0) memcpy(into, entry->key.data, entry->key.size_bytes);
    into += entry->key.size_bytes;
    if (entry->value.size_bytes > 0) memcpy(into, entry->value.data, entry->value.size_bytes);
    seal->entry_count++;
    seal->bytes += entry->key.size_bytes + entry->value.size_bytes;
    return MR_OK;
}

void mr_seal_begin(const struct mr_seal *seal, struct mr_seal_cursor *cursor)
{
    *cursor = (struct mr_seal_cursor){.seal = seal, .chunk = seal->first};
}

bool mr_seal_next(struct mr_seal_cursor *cursor, uint32_t *out_op, struct mr_entry *out)
{
    struct piece piece;
    const char *from;

    while (cursor->chunk != NULL && cursor->at == cursor->chunk->used_bytes) {
        cursor->chunk = cursor->chunk->next;
        cursor->at = 0;
    }
    if (cursor->chunk == NULL) return false;
    from = cursor->chunk->data + cursor->at;
    memcpy(&piece, from, sizeof piece);
    *out = piece.entry;
    out->key.data = from + sizeof piece;
    out->value.data = out->key.data + piece.key_bytes;
    *out_op = piece.op;
    cursor->at += piece_bytes(piece.key_bytes, (size_t)piece.value_bytes);
    return true;
}
