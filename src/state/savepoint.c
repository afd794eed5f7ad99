/* savepoint.c - reading a savepoint, and whether a job can start from it; see savepoint.h. */
#include "base/arena.h"
#include "base/assert.h"
#include "base/status.h"
#include "state/entry_order.h"
#include "state/savepoint_internal.h"

#include <string.h>

#define STATES_MAX 1000000u

struct mr_savepoint_reader {
    struct mr_heap *heap;
    struct mr_disk *disk;
    char *dir;
    struct mr_buffer head; /* SAVEPOINT as it was read */
    struct mr_savepoint_info info;
    struct mr_savepoint_state *states;
    struct mri_base_file *parts;
    struct mri_base_walk walk;
    struct mri_entry_reader entries;
    bool have_record;
    uint64_t entry_count; /* given so far */
    struct mr_buffer key;
    struct mr_buffer last_key;
};

static enum mr_status nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "reading a savepoint", 1024);
}

static enum mr_status corrupt(const struct mr_savepoint_reader *reader, const char *what,
                              struct mr_error *err)
{
    return mr_error_set(err, MR_E_CORRUPT,
                        "%s/" MRI_SAVEPOINT_NAME ": %s. Take another copy of the savepoint",
                        reader->dir, what);
}

/* ---- SAVEPOINT ---- */

static enum mr_status take_words(struct mr_cursor *in, void *out, size_t size_bytes)
{
    const char *at;

    if (!mr_cursor_take(in, size_bytes, &at)) return MR_E_CORRUPT;
    memcpy(out, at, size_bytes);
    return MR_OK;
}

static enum mr_status decode_parts(struct mr_savepoint_reader *reader, struct mr_cursor *in,
                                   struct mr_error *err)
{
    for (uint32_t i = 0; i < reader->info.part_count; i++) {
        struct mri_savepoint_part part;

        if (take_words(in, &part, sizeof part) != MR_OK) {
            return corrupt(reader, "its list of parts is cut short", err);
        }
        reader->parts[i] = (struct mri_base_file){.number = i + 1,
                                                  .size_bytes = part.size_bytes,
                                                  .entry_count = part.entry_count,
                                                  .crc = part.crc};
        reader->info.bytes += part.size_bytes;
    }
    return MR_OK;
}

static enum mr_status decode_states(struct mr_savepoint_reader *reader, struct mr_cursor *in,
                                    struct mr_error *err)
{
    for (uint32_t i = 0; i < reader->info.state_count; i++) {
        struct mr_savepoint_state *state = &reader->states[i];

        if (!mri_name_get(in, &state->operator_id) || !mri_name_get(in, &state->state_name) ||
            !mr_cursor_varint(in, &state->keys) || !mr_cursor_varint(in, &state->timers) ||
            !mr_cursor_varint(in, &state->values) || !mr_cursor_varint(in, &state->key_bytes) ||
            !mr_cursor_varint(in, &state->value_bytes)) {
            return corrupt(reader, "its list of states is malformed", err);
        }
    }
    return MR_OK;
}

static enum mr_status decode_payload(struct mr_savepoint_reader *reader, struct mr_bytes payload,
                                     struct mr_error *err)
{
    struct mr_cursor in = {payload.data, payload.data + payload.size_bytes};
    struct mr_savepoint_info *info = &reader->info;
    struct mri_savepoint_head head;

    if (take_words(&in, &head, sizeof head) != MR_OK || head.part_count > MRI_BASES_MAX ||
        head.state_count > MR_MIN(STATES_MAX, payload.size_bytes) ||
        head.key_group_count > UINT32_MAX) {
        return corrupt(reader, "offset 32: it is malformed", err);
    }
    info->job_hash = head.job_hash;
    info->epoch = head.epoch;
    info->key_group_count = (uint32_t)head.key_group_count;
    info->entry_count = head.entry_count;
    info->part_count = (uint32_t)head.part_count;
    reader->parts = mr_alloc_array(reader->heap, info->part_count, sizeof *reader->parts);
    if (reader->parts == NULL) return nomem(err);
    reader->states = mr_alloc_array(reader->heap, (size_t)head.state_count, sizeof *reader->states);
    if (reader->states == NULL) return nomem(err);
    info->state_count = (uint32_t)head.state_count;
    info->states = reader->states;
    MR_RET(decode_parts(reader, &in, err));
    MR_RET(decode_states(reader, &in, err));
    info->job = (struct mr_bytes){in.at, (size_t)(in.end - in.at)};
    if (info->job.size_bytes == head.job_bytes) return MR_OK;
    return corrupt(reader, "its description of the job has another length than it says", err);
}

static enum mr_status decode_head(struct mr_savepoint_reader *reader, struct mr_error *err)
{
    const struct mr_bytes data = {reader->head.data, reader->head.size_bytes};
    struct mri_record record;
    size_t need;

    switch (mri_record_parse(data, MRI_ID_SAVEPOINT, 0, &record, &need)) {
    case MRI_PARSE_OK:
        if (record.kind != MRI_SAVEPOINT || record.size_bytes != data.size_bytes) break;
        return decode_payload(reader, record.payload, err);
    case MRI_PARSE_NEWER:
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "%s/" MRI_SAVEPOINT_NAME ": offset 0: written by a newer version of "
                            "the program; start that version",
                            reader->dir);
    case MRI_PARSE_SHORT:
    case MRI_PARSE_BAD: break;
    }
    return corrupt(reader, "offset 0: damaged, cut short or not of a savepoint", err);
}

/* No SAVEPOINT: was one begun here? */
static enum mr_status no_head(const struct mr_savepoint_reader *reader, struct mr_error *err)
{
    struct mr_disk_request request = {.op = MR_DISK_LIST, .path = reader->dir};
    bool begun = false;
    uint64_t fence, number;

    if (mr_disk_do(reader->disk, &request, NULL) == MR_OK) {
        for (uint32_t i = 0; i < request.name_count; i++) {
            bool is_part = mri_file_parse(request.names[i], &fence, &number) == MRI_FILE_BASE;

            begun |= strcmp(request.names[i], MRI_SAVEPOINT_NEW) == 0 || (is_part && fence == 0);
        }
        reader->disk->names_free(reader->disk, &request);
    }
    if (begun) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "%s: an unfinished savepoint: there is no " MRI_SAVEPOINT_NAME
                            ", so whoever wrote it did not come to the end; remove the directory "
                            "and make another one",
                            reader->dir);
    }
    return mr_error_set(err, MR_E_NOT_FOUND,
                        "%s: no savepoint: there is no " MRI_SAVEPOINT_NAME " in it", reader->dir);
}

static enum mr_status read_head(struct mr_savepoint_reader *reader, struct mr_error *err)
{
    enum mr_status st = mri_file_read_all(
        reader->heap, reader->disk, mri_path_join(reader->heap, reader->dir, MRI_SAVEPOINT_NAME),
        &reader->head, err);

    if (st == MR_E_NOT_FOUND) return no_head(reader, err);
    MR_RET(st);
    return decode_head(reader, err);
}

enum mr_status mr_savepoint_open(struct mr_heap *heap, struct mr_disk *disk, const char *dir,
                                 struct mr_savepoint_reader **out, struct mr_error *err)
{
    struct mr_savepoint_reader *reader = mr_alloc_zero(heap, sizeof *reader);
    enum mr_status st;

    if (reader == NULL) return nomem(err);
    reader->heap = heap;
    reader->disk = disk;
    mr_buffer_init(&reader->head, heap);
    mr_buffer_init(&reader->key, heap);
    mr_buffer_init(&reader->last_key, heap);
    reader->dir = mr_strdup(heap, dir);
    st = reader->dir != NULL ? read_head(reader, err) : nomem(err);
    if (st != MR_OK) {
        mr_savepoint_close(reader);
        return st;
    }
    reader->walk = (struct mri_base_walk){.heap = heap,
                                          .disk = disk,
                                          .dir = reader->dir,
                                          .type = MRI_FILE_BASE,
                                          .files = reader->parts,
                                          .file_count = reader->info.part_count,
                                          .epoch = reader->info.epoch,
                                          .window_bytes = MRI_WINDOW_BYTES};
    *out = reader;
    return MR_OK;
}

void mr_savepoint_close(struct mr_savepoint_reader *reader)
{
    struct mr_heap *heap;

    if (reader == NULL) return;
    heap = reader->heap;
    mri_base_walk_fini(&reader->walk);
    mr_free(heap, reader->parts, reader->info.part_count * sizeof *reader->parts);
    mr_free(heap, reader->states, reader->info.state_count * sizeof *reader->states);
    mr_buffer_fini(&reader->head);
    mr_buffer_fini(&reader->key);
    mr_buffer_fini(&reader->last_key);
    mr_strfree(heap, reader->dir);
    mr_free(heap, reader, sizeof *reader);
}

const struct mr_savepoint_info *mr_savepoint_info(const struct mr_savepoint_reader *reader)
{
    return &reader->info;
}

/* ---- entries ---- */

static enum mr_status check_entry(struct mr_savepoint_reader *reader, const struct mr_entry *entry,
                                  struct mr_error *err)
{
    struct mr_buffer swap = reader->last_key;
    bool lives = entry->kind == MR_ENTRY_PUT || entry->kind == MR_ENTRY_TIMER_SET ||
                 entry->kind == MR_ENTRY_VALUE;

    reader->last_key = reader->key;
    reader->key = swap;
    mr_buffer_clear(&reader->key);
    if (!mri_sort_key_put(&reader->key, reader->entries.operator_id, entry)) return nomem(err);
    if (lives && (reader->last_key.size_bytes == 0 ||
                  mri_sort_key_compare(reader->last_key.data, reader->last_key.size_bytes,
                                       reader->key.data, reader->key.size_bytes) < 0)) {
        return MR_OK;
    }
    return corrupt(reader, "the entries of its parts are not in order", err);
}

static enum mr_status next_record(struct mr_savepoint_reader *reader, bool *out_end,
                                  struct mr_error *err)
{
    struct mri_record record;

    for (*out_end = false;;) {
        switch (mri_base_walk_next(&reader->walk, &record, err)) {
        case MRI_READ_WAIT: reader->disk->poll(reader->disk); break;
        case MRI_READ_BAD:
        case MRI_READ_FAILED: return err->status;
        case MRI_READ_END:
            *out_end = true;
            if (reader->entry_count == reader->info.entry_count) return MR_OK;
            return corrupt(reader, "its parts hold another number of entries than it says", err);
        case MRI_READ_RECORD:
            mri_entry_reader_init(&reader->entries, record.payload);
            reader->have_record = true;
            return MR_OK;
        }
    }
}

enum mr_status mr_savepoint_next(struct mr_savepoint_reader *reader, const char **out_operator,
                                 struct mr_entry *out, struct mr_error *err)
{
    struct mr_error local;
    bool end = false;

    if (err == NULL) err = &local;
    for (*out_operator = NULL; !end;) {
        if (!reader->have_record) {
            MR_RET(next_record(reader, &end, err));
            continue;
        }
        switch (mri_entry_next(&reader->entries, out)) {
        case MRI_ENTRY_END: reader->have_record = false; break;
        case MRI_ENTRY_BAD: return corrupt(reader, "a part holds a malformed entry", err);
        case MRI_ENTRY_GOT:
            MR_RET(check_entry(reader, out, err));
            reader->entry_count++;
            *out_operator = reader->entries.operator_id;
            return MR_OK;
        }
    }
    return MR_OK;
}

enum mr_status mr_savepoint_visit(struct mr_savepoint_reader *reader, mr_log_entry_fn visit,
                                  void *self, struct mr_error *err)
{
    const char *operator_id;
    struct mr_entry entry;

    for (;;) {
        MR_RET(mr_savepoint_next(reader, &operator_id, &entry, err));
        if (operator_id == NULL) return MR_OK;
        MR_RET(visit(self, operator_id, &entry, err));
    }
}
