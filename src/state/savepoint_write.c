/* savepoint_write.c - making a savepoint; see savepoint.h. */
#include "base/assert.h"
#include "base/crc.h"
#include "base/fault.h"
#include "base/status.h"
#include "state/entry_set.h"
#include "state/savepoint_internal.h"

#include <string.h>

#define PART_BYTES   (UINT64_C(256) << 20)
#define RECORD_BYTES (32u << 10)
#define WRITE_BYTES  (256u << 10)

struct mr_savepoint_writer {
    struct mr_heap *heap;
    char *dir;
    struct mr_savepoint_options options;
    char *job;
    struct mri_queue queue;
    struct mri_entry_set set; /* what waits to be sorted */
    struct mr_buffer key;
    struct mr_buffer last_key;
    struct mri_savepoint_head head;
    struct mr_buffer parts;
    struct mr_buffer states; /* those that are over */
    struct mr_savepoint_state state;
    char operator_id[MR_ENTRY_NAME_BYTES_MAX + 1]; /* of `state` */
    char state_name[MR_ENTRY_NAME_BYTES_MAX + 1];
    bool in_state;
    /* the part being written */
    struct mri_file file;
    struct mri_savepoint_part part;
    struct mr_entry_writer entries;
    struct mr_buffer payload;
    struct mr_buffer block;
    uint64_t block_offset;
    bool in_part;
    bool owns_dir; /* it was empty */
    bool finished;
};

static enum mr_status nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "writing a savepoint", 4096);
}

/* ---- the directory ---- */

static enum mr_status do_path(const struct mr_savepoint_writer *writer, enum mr_disk_op op,
                              const char *path, struct mr_error *err)
{
    struct mr_disk_request request = {.op = op, .path = path};

    return mr_disk_do(writer->options.disk, &request, err);
}

static enum mr_status check_empty(const struct mr_savepoint_writer *writer, struct mr_error *err)
{
    struct mr_disk *disk = writer->options.disk;
    struct mr_disk_request request = {.op = MR_DISK_LIST, .path = writer->dir};
    enum mr_status st;

    MR_RET(mr_disk_do(disk, &request, err));
    st = MR_OK;
    if (request.name_count > 0) {
        st = mr_error_set(err, MR_E_INVALID,
                          "%s: a savepoint needs a directory of its own, and this one has '%s' in "
                          "it; name a new one",
                          writer->dir, request.names[0]);
    }
    disk->names_free(disk, &request);
    return st;
}

static enum mr_status sync_parent(const struct mr_savepoint_writer *writer, struct mr_error *err)
{
    size_t size = strlen(writer->dir) + 1;
    char *parent = mr_strdup(writer->heap, writer->dir);
    enum mr_status st;
    char *slash;

    if (parent == NULL) return nomem(err);
    slash = strrchr(parent, '/');
    if (slash != NULL) slash[slash == parent ? 1 : 0] = 0;
    st = do_path(writer, MR_DISK_SYNC_DIRECTORY, slash != NULL ? parent : ".", err);
    mr_free(writer->heap, parent, size);
    return st;
}

/* `a/b/` is `a/b`: the name of the parent is asked for. */
static char *copy_dir(struct mr_heap *heap, const char *dir)
{
    size_t size = strlen(dir);
    char *copy;

    while (size > 1 && dir[size - 1] == '/') size--;
    copy = mr_alloc(heap, size + 1);
    if (copy == NULL) return NULL;
    memcpy(copy, dir, size);
    copy[size] = 0;
    return copy;
}

enum mr_status mr_savepoint_begin(struct mr_heap *heap, const struct mr_savepoint_options *options,
                                  struct mr_savepoint_writer **out, struct mr_error *err)
{
    struct mr_savepoint_writer *writer = mr_alloc_zero(heap, sizeof *writer);
    enum mr_status st;

    if (writer == NULL) return nomem(err);
    writer->heap = heap;
    writer->options = *options;
    if (writer->options.part_bytes == 0) writer->options.part_bytes = PART_BYTES;
    writer->head = (struct mri_savepoint_head){.job_hash = options->job_hash,
                                               .epoch = options->epoch,
                                               .key_group_count = options->key_group_count,
                                               .job_bytes = options->job.size_bytes};
    mri_queue_init(&writer->queue, heap, options->disk);
    mri_entry_set_init(&writer->set, heap, 0);
    mr_buffer_init(&writer->key, heap);
    mr_buffer_init(&writer->last_key, heap);
    mr_buffer_init(&writer->parts, heap);
    mr_buffer_init(&writer->states, heap);
    mr_buffer_init(&writer->payload, heap);
    mr_buffer_init(&writer->block, heap);
    writer->dir = copy_dir(heap, options->dir);
    writer->job = mr_alloc(heap, options->job.size_bytes);
    if (writer->dir == NULL || writer->job == NULL) {
        st = nomem(err);
        goto done;
    }
    if (options->job.size_bytes > 0)
        memcpy(writer->job, options->job.data, options->job.size_bytes);
    MR_GOTO(do_path(writer, MR_DISK_MKDIR, writer->dir, err));
    MR_GOTO(check_empty(writer, err));
    writer->owns_dir = true;
    *out = writer;
    writer = NULL;
done:
    mr_savepoint_end(writer);
    return st;
}

/* ---- parts ---- */

static enum mr_status drive(struct mr_savepoint_writer *writer, bool enqueued, struct mr_error *err)
{
    if (!enqueued) return nomem(err);
    return mri_queue_drive(&writer->queue, err);
}

static bool put_block(struct mr_savepoint_writer *writer)
{
    struct mri_op op = {.kind = MRI_OP_WRITE,
                        .file = &writer->file,
                        .offset = writer->block_offset,
                        .data = writer->block};

    if (writer->block.size_bytes == 0) return true;
    writer->block_offset += writer->block.size_bytes;
    mr_buffer_init(&writer->block, writer->heap);
    return mri_queue_put(&writer->queue, &op);
}

static bool put_record(struct mr_savepoint_writer *writer, enum mri_record_kind kind,
                       const void *data, size_t size)
{
    struct mri_savepoint_part *part = &writer->part;
    size_t before = writer->block.size_bytes;
    uint32_t crc;

    if (!mri_record_put(&writer->block, kind, mri_file_id(0, writer->head.part_count),
                        part->size_bytes, (struct mr_bytes){data, size}, &crc)) {
        return false;
    }
    if (kind != MRI_FOOTER) part->crc = mr_crc32c((uint32_t)part->crc, &crc, sizeof crc);
    part->size_bytes += writer->block.size_bytes - before;
    return true;
}

static enum mr_status begin_part(struct mr_savepoint_writer *writer, struct mr_error *err)
{
    const struct mri_base_head head = {writer->head.job_hash, writer->head.epoch};
    struct mri_op create = {.kind = MRI_OP_CREATE, .file = &writer->file};

    if (writer->head.part_count == MRI_BASES_MAX) {
        return mr_error_set(err, MR_E_LIMIT, "%s: more than %u parts; make them larger",
                            writer->dir, MRI_BASES_MAX);
    }
    create.path =
        mri_file_path(writer->heap, writer->dir, MRI_FILE_BASE, 0, writer->head.part_count + 1);
    MR_RET(drive(writer, mri_queue_put(&writer->queue, &create), err));
    writer->head.part_count++; /* from here on it is ours to remove */
    writer->part = (struct mri_savepoint_part){.size_bytes = 0};
    writer->block_offset = 0;
    writer->in_part = true;
    writer->entries.begun = false;
    return put_record(writer, MRI_BASE, &head, sizeof head) ? MR_OK : nomem(err);
}

static enum mr_status flush_record(struct mr_savepoint_writer *writer, struct mr_error *err)
{
    if (writer->payload.size_bytes > 0) {
        if (!put_record(writer, MRI_ENTRIES, writer->payload.data, writer->payload.size_bytes)) {
            return nomem(err);
        }
        mr_buffer_clear(&writer->payload);
        writer->entries.begun = false;
    }
    if (writer->block.size_bytes < WRITE_BYTES) return MR_OK;
    return drive(writer, put_block(writer), err);
}

static enum mr_status end_part(struct mr_savepoint_writer *writer, struct mr_error *err)
{
    struct mri_op sync = {.kind = MRI_OP_SYNC, .file = &writer->file};
    struct mri_op close = {.kind = MRI_OP_CLOSE, .file = &writer->file};
    struct mri_footer footer;

    MR_RET(flush_record(writer, err));
    footer = (struct mri_footer){writer->part.entry_count, writer->part.crc};
    if (!put_record(writer, MRI_FOOTER, &footer, sizeof footer) || !put_block(writer) ||
        !mri_queue_put(&writer->queue, &sync) || !mri_queue_put(&writer->queue, &close) ||
        !mr_buffer_put(&writer->parts, &writer->part, sizeof writer->part)) {
        return nomem(err);
    }
    MR_RET(drive(writer, true, err));
    writer->in_part = false;
    MR_CRASH("C35");
    return MR_OK;
}

/* ---- entries ---- */

static bool end_state(struct mr_savepoint_writer *writer)
{
    const struct mr_savepoint_state *state = &writer->state;
    const uint64_t counts[] = {state->keys, state->timers, state->values, state->key_bytes,
                               state->value_bytes};

    if (!writer->in_state) return true;
    writer->in_state = false;
    writer->head.state_count++;
    if (!mri_name_put(&writer->states, writer->operator_id) ||
        !mri_name_put(&writer->states, writer->state_name)) {
        return false;
    }
    for (size_t i = 0; i < MR_COUNT(counts); i++) {
        if (!mr_buffer_put_varint(&writer->states, counts[i])) return false;
    }
    return true;
}

static bool count_entry(struct mr_savepoint_writer *writer, const char *operator_id,
                        const struct mr_entry *entry)
{
    struct mr_savepoint_state *state = &writer->state;

    if (!writer->in_state || strcmp(writer->operator_id, operator_id) != 0 ||
        strcmp(writer->state_name, entry->state_name) != 0) {
        if (!end_state(writer)) return false;
        memcpy(writer->operator_id, operator_id, strlen(operator_id) + 1);
        memcpy(writer->state_name, entry->state_name, strlen(entry->state_name) + 1);
        *state = (struct mr_savepoint_state){.operator_id = NULL};
        writer->in_state = true;
    }
    if (entry->kind == MR_ENTRY_PUT)
        state->keys++;
    else if (entry->kind == MR_ENTRY_VALUE)
        state->values++;
    else
        state->timers++;
    state->key_bytes += entry->key.size_bytes;
    state->value_bytes += entry->value.size_bytes;
    writer->head.entry_count++;
    return true;
}

static enum mr_status check_order(struct mr_savepoint_writer *writer, const char *operator_id,
                                  const struct mr_entry *entry, struct mr_error *err)
{
    struct mr_buffer swap = writer->last_key;

    writer->last_key = writer->key;
    writer->key = swap;
    mr_buffer_clear(&writer->key);
    if (!mri_sort_key_put(&writer->key, operator_id, entry)) return nomem(err);
    if (writer->last_key.size_bytes == 0 ||
        mri_sort_key_compare(writer->last_key.data, writer->last_key.size_bytes, writer->key.data,
                             writer->key.size_bytes) < 0) {
        return MR_OK;
    }
    return mr_error_set(err, MR_E_INVALID,
                        "savepoint %s: entries of operator '%s' are not in order", writer->dir,
                        operator_id);
}

static enum mr_status write_entry(struct mr_savepoint_writer *writer, const char *operator_id,
                                  const struct mr_entry *given, struct mr_error *err)
{
    struct mr_entry entry = *given;

    if (!mri_entry_is_of_instance(&entry)) entry.group_first = entry.group_end = 0;
    if (!writer->in_part) MR_RET(begin_part(writer, err));
    if (!count_entry(writer, operator_id, &entry) ||
        !mri_entry_put(&writer->entries, &writer->payload, operator_id, &entry)) {
        return nomem(err);
    }
    writer->part.entry_count++;
    if (writer->payload.size_bytes >= RECORD_BYTES) MR_RET(flush_record(writer, err));
    if (writer->part.size_bytes + writer->payload.size_bytes < writer->options.part_bytes) {
        return MR_OK;
    }
    return end_part(writer, err);
}

enum mr_status mr_savepoint_add(void *self, const char *operator_id, const struct mr_entry *entry,
                                struct mr_error *err)
{
    struct mr_savepoint_writer *writer = self;

    mr_assert(!writer->finished);
    if (strlen(operator_id) > MR_ENTRY_NAME_BYTES_MAX ||
        strlen(entry->state_name) > MR_ENTRY_NAME_BYTES_MAX) {
        return mr_error_set(err, MR_E_LIMIT,
                            "savepoint %s: a name of operator or state is longer than %u bytes",
                            writer->dir, MR_ENTRY_NAME_BYTES_MAX);
    }
    if (!writer->options.sorted) {
        return mri_entry_set_add(&writer->set, operator_id, entry) ? MR_OK : nomem(err);
    }
    if (entry->kind != MR_ENTRY_PUT && entry->kind != MR_ENTRY_TIMER_SET &&
        entry->kind != MR_ENTRY_VALUE) {
        return mr_error_set(err, MR_E_INVALID, "savepoint %s: a removal among sorted entries",
                            writer->dir);
    }
    MR_RET(check_order(writer, operator_id, entry, err));
    return write_entry(writer, operator_id, entry, err);
}

/* ---- the end ---- */

static enum mr_status write_set(struct mr_savepoint_writer *writer, struct mr_error *err)
{
    const struct mri_entry_set *set = &writer->set;

    mri_entry_set_sort(&writer->set);
    for (const struct mri_item *item = set->first; item != NULL; item = item->next) {
        const struct mr_entry *entry = &item->entry;

        if (entry->kind == MR_ENTRY_REMOVE || entry->kind == MR_ENTRY_TIMER_CLEAR) continue;
        if (mri_drops_cover(&set->drops, item->sort_key, entry, item->moment)) continue;
        MR_RET(write_entry(writer, item->sort_key, entry, err));
    }
    return MR_OK;
}

static bool encode_head(const struct mr_savepoint_writer *writer, struct mr_buffer *out)
{
    struct mr_buffer payload;
    bool ok;

    mr_buffer_init(&payload, writer->heap);
    ok = mr_buffer_put(&payload, &writer->head, sizeof writer->head) &&
         (writer->parts.size_bytes == 0 ||
          mr_buffer_put(&payload, writer->parts.data, writer->parts.size_bytes)) &&
         (writer->states.size_bytes == 0 ||
          mr_buffer_put(&payload, writer->states.data, writer->states.size_bytes)) &&
         (writer->head.job_bytes == 0 ||
          mr_buffer_put(&payload, writer->job, (size_t)writer->head.job_bytes)) &&
         payload.size_bytes <= MRI_PAYLOAD_BYTES_MAX &&
         mri_record_put(out, MRI_SAVEPOINT, MRI_ID_SAVEPOINT, 0,
                        (struct mr_bytes){payload.data, payload.size_bytes}, NULL);
    mr_buffer_fini(&payload);
    return ok;
}

/* SAVEPOINT comes last, whole, and under its name only when everything it speaks of is durable. */
static enum mr_status write_head(struct mr_savepoint_writer *writer, struct mr_error *err)
{
    struct mri_op rename = {.kind = MRI_OP_RENAME};
    struct mri_op sync = {.kind = MRI_OP_SYNC_DIRECTORY};
    struct mr_buffer data;
    bool ok;

    mr_buffer_init(&data, writer->heap);
    ok = encode_head(writer, &data) &&
         mri_put_file(&writer->queue, &writer->file, writer->dir,
                      mri_path_join(writer->heap, writer->dir, MRI_SAVEPOINT_NEW), &data);
    mr_buffer_fini(&data);
    MR_RET(drive(writer, ok, err));
    MR_CRASH("C35");
    rename.path = mri_path_join(writer->heap, writer->dir, MRI_SAVEPOINT_NEW);
    rename.path_to = mri_path_join(writer->heap, writer->dir, MRI_SAVEPOINT_NAME);
    sync.path = mr_strdup(writer->heap, writer->dir);
    ok = mri_queue_put(&writer->queue, &rename);
    if (!ok) mr_strfree(writer->heap, sync.path);
    return drive(writer, ok && mri_queue_put(&writer->queue, &sync), err);
}

enum mr_status mr_savepoint_finish(struct mr_savepoint_writer *writer, struct mr_error *err)
{
    mr_assert(!writer->finished);
    if (!writer->options.sorted) MR_RET(write_set(writer, err));
    if (writer->in_part) MR_RET(end_part(writer, err));
    if (!end_state(writer)) return nomem(err);
    MR_RET(sync_parent(writer, err));
    MR_RET(write_head(writer, err));
    writer->finished = true;
    return MR_OK;
}

/* The space is given back; whatever cannot be removed is an unfinished savepoint, and refused. */
static void remove_files(struct mr_savepoint_writer *writer)
{
    const char *const names[] = {MRI_SAVEPOINT_NAME, MRI_SAVEPOINT_NEW};

    for (size_t i = 0; i < MR_COUNT(names); i++) {
        char *path = mri_path_join(writer->heap, writer->dir, names[i]);

        if (path != NULL) (void)!do_path(writer, MR_DISK_UNLINK, path, NULL);
        mr_strfree(writer->heap, path);
    }
    for (uint64_t n = 1; n <= writer->head.part_count; n++) {
        char *path = mri_file_path(writer->heap, writer->dir, MRI_FILE_BASE, 0, n);

        if (path != NULL) (void)!do_path(writer, MR_DISK_UNLINK, path, NULL);
        mr_strfree(writer->heap, path);
    }
}

void mr_savepoint_end(struct mr_savepoint_writer *writer)
{
    struct mr_heap *heap;

    if (writer == NULL) return;
    heap = writer->heap;
    mri_queue_clear(&writer->queue);
    if (writer->file.open) {
        struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = writer->file.number};

        (void)!mr_disk_do(writer->options.disk, &request, NULL);
    }
    if (writer->owns_dir && !writer->finished) remove_files(writer);
    mri_queue_fini(&writer->queue);
    mri_entry_set_fini(&writer->set);
    mr_buffer_fini(&writer->key);
    mr_buffer_fini(&writer->last_key);
    mr_buffer_fini(&writer->parts);
    mr_buffer_fini(&writer->states);
    mr_buffer_fini(&writer->payload);
    mr_buffer_fini(&writer->block);
    mr_strfree(heap, writer->dir);
    mr_free(heap, writer->job, writer->options.job.size_bytes);
    mr_free(heap, writer, sizeof *writer);
}
