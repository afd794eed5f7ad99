#include "runtime/seal.h"

#include "base/assert.h"
#include "base/status.h"
#include <string.h>

/* A run is closed when it is longer. */
#define RUN_BYTES ((size_t)32 * 1024)

struct mr_seal_run {
    struct mr_seal_run *next;
    uint64_t entry_count;
    size_t room_bytes;
    size_t used_bytes;
    char data[];
};

void mr_seal_init(struct mr_seal *seal, struct mr_heap *heap)
{
    *seal = (struct mr_seal){.heap = heap};
}

void mr_seal_fini(struct mr_seal *seal)
{
    while (seal->first != NULL) {
        struct mr_seal_run *run = seal->first;

        seal->first = run->next;
        mr_free(seal->heap, run, sizeof *run + run->room_bytes);
    }
    seal->last = NULL;
}

void mr_seal_clear(struct mr_seal *seal)
{
    for (struct mr_seal_run *run = seal->first; run != NULL; run = run->next) {
        run->used_bytes = 0;
        run->entry_count = 0;
    }
    seal->last = seal->first;
    seal->writer.begun = false;
    seal->bytes = 0;
}

static bool has_room(const struct mr_seal_run *run, size_t size)
{
    if (run->used_bytes > 0 && run->used_bytes + size > RUN_BYTES) return false;
    return run->room_bytes - run->used_bytes >= size;
}

/* The run being filled if the entry fits, an empty one kept behind it, or a new one. */
static struct mr_seal_run *reserve(struct mr_seal *seal, size_t size)
{
    struct mr_seal_run *run = seal->last;
    size_t room = MR_MAX(size, RUN_BYTES);

    while (run != NULL && !has_room(run, size)) run = run->next;
    if (run == NULL) {
        run = mr_alloc(seal->heap, sizeof *run + room);
        if (run == NULL) return NULL;
        *run = (struct mr_seal_run){.room_bytes = room};
        if (seal->last == NULL) {
            seal->first = run;
        } else {
            run->next = seal->last->next;
            seal->last->next = run;
        }
    }
    if (run != seal->last || run->used_bytes == 0) seal->writer.begun = false;
    seal->last = run;
    return run;
}

static bool names_too_long(const struct mr_seal *seal, const char *operator_id,
                           const char *state_name)
{
    const struct mr_entry_writer *writer = &seal->writer;

    if (writer->begun && writer->operator_at == operator_id && writer->state_at == state_name) {
        return false;
    }
    return strlen(operator_id) > MR_ENTRY_NAME_BYTES_MAX ||
           strlen(state_name) > MR_ENTRY_NAME_BYTES_MAX;
}

enum mr_status mr_seal_add(struct mr_seal *seal, const char *operator_id,
                           const struct mr_entry *entry, struct mr_error *err)
{
    struct mr_seal_run *run = reserve(seal, mr_entry_bytes_max(entry));
    char *end;

    if (run == NULL) {
        return mr_error_set(err, MR_E_NOMEM,
                            "no memory to seal what changed in this epoch (%llu MiB so far); allow "
                            "more (--memory), or make epochs shorter (--epoch)",
                            (unsigned long long)(seal->bytes >> 20));
    }
    if (names_too_long(seal, operator_id, entry->state_name)) {
        return mr_error_set(err, MR_E_LIMIT,
                            "operator '%.40s...': names of operators and states are at most %u "
                            "bytes long", operator_id, MR_ENTRY_NAME_BYTES_MAX);
    }
    end = mr_entry_write(&seal->writer, run->data + run->used_bytes, operator_id, entry);
    run->used_bytes = (size_t)(end - run->data);
    mr_assert(run->used_bytes <= run->room_bytes);
    run->entry_count++;
    seal->bytes += entry->key.size_bytes + entry->value.size_bytes;
    return MR_OK;
}

const struct mr_seal_run *mr_seal_next(const struct mr_seal *seal, const struct mr_seal_run *run)
{
    run = run == NULL ? seal->first : run->next;
    while (run != NULL && run->entry_count == 0) run = run->next;
    return run;
}

struct mr_bytes mr_seal_run_bytes(const struct mr_seal_run *run, uint64_t *out_entry_count)
{
    *out_entry_count = run->entry_count;
    return (struct mr_bytes){run->data, run->used_bytes};
}
