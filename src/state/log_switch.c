/* log_switch.c - how META changes hands; see epoch_log_internal.h. The order of operations is the
 * protocol: nothing is named before it is durable, and an unknown outcome is read back. */
#include "state/epoch_log_internal.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"

#include <string.h>

static char *path_of(struct mri_queue *queue, const char *dir, enum mri_file_type type)
{
    return mri_file_path(queue->heap, dir, type, 0, 0);
}

static bool put_path(struct mri_queue *queue, enum mri_op_kind kind, struct mri_file *file,
                     char *path, bool may_fail)
{
    struct mri_op op = {.kind = kind, .file = file, .path = path, .may_fail = may_fail};

    return mri_queue_put(queue, &op);
}

static bool put_op(struct mri_queue *queue, enum mri_op_kind kind, struct mri_file *file)
{
    struct mri_op op = {.kind = kind, .file = file};

    return mri_queue_put(queue, &op);
}

static bool put_data(struct mri_queue *queue, struct mri_file *file, struct mr_buffer *data)
{
    struct mri_op op = {.kind = MRI_OP_WRITE, .file = file, .data = *data};

    mr_buffer_init(data, data->heap);
    return mri_queue_put(queue, &op);
}

bool mri_put_file(struct mri_queue *queue, struct mri_file *file, const char *dir, char *path,
                  struct mr_buffer *data)
{
    char *old = path != NULL ? mr_strdup(queue->heap, path) : NULL;

    if (old == NULL || !put_path(queue, MRI_OP_UNLINK, NULL, old, true)) {
        mr_strfree(queue->heap, path);
        return false;
    }
    return put_path(queue, MRI_OP_CREATE, file, path, false) && put_data(queue, file, data) &&
           (MR_PLANT("museum-17") || put_op(queue, MRI_OP_SYNC, file)) &&
           put_op(queue, MRI_OP_CLOSE, file) &&
           put_path(queue, MRI_OP_SYNC_DIRECTORY, NULL, mr_strdup(queue->heap, dir), false);
}

/* ---- the switch ---- */

void mri_switch_init(struct mri_switch *change, struct mri_queue *queue, const char *dir,
                     const struct mri_meta *before, const struct mri_meta *after)
{
    *change = (struct mri_switch){.queue = queue, .dir = dir, .before = *before, .after = *after};
    mr_buffer_init(&change->data, queue->heap);
}

void mri_switch_fini(struct mri_switch *change)
{
    if (change->data.heap != NULL) mr_buffer_fini(&change->data);
}

static bool put_read(struct mri_switch *change, bool may_be_missing)
{
    struct mri_op read = {.kind = MRI_OP_READ_ALL,
                          .file = &change->file,
                          .into = &change->data};

    mr_buffer_clear(&change->data);
    return put_path(change->queue, MRI_OP_OPEN_READ, &change->file,
                    path_of(change->queue, change->dir, MRI_FILE_META), may_be_missing) &&
           mri_queue_put(change->queue, &read) &&
           put_op(change->queue, MRI_OP_CLOSE, &change->file);
}

static bool put_replace(struct mri_switch *change)
{
    struct mri_queue *queue = change->queue;
    struct mri_op rename = {.kind = MRI_OP_RENAME};
    struct mr_buffer bytes;

    mr_buffer_init(&bytes, queue->heap);
    if (!mri_meta_encode(&bytes, &change->after) ||
        !mri_put_file(queue, &change->file, change->dir,
                      path_of(queue, change->dir, MRI_FILE_META_NEW), &bytes)) {
        mr_buffer_fini(&bytes);
        return false;
    }
    mr_buffer_fini(&bytes);
    rename.path = path_of(queue, change->dir, MRI_FILE_META_NEW);
    rename.path_to = path_of(queue, change->dir, MRI_FILE_META);
    rename.decides = true;
    return mri_queue_put(queue, &rename) &&
           put_path(queue, MRI_OP_SYNC_DIRECTORY, NULL, mr_strdup(queue->heap, change->dir), false);
}

static bool is_meta(const struct mri_switch *change, const struct mri_meta *meta)
{
    struct mri_meta read;

    if (meta->fence == 0 && change->data.size_bytes == 0) return true; /* there is none yet */
    return mri_meta_decode((struct mr_bytes){change->data.data, change->data.size_bytes}, "META",
                           &read, NULL) == MR_OK &&
           memcmp(&read, meta, sizeof read) == 0;
}

static enum mri_queue_state fail(struct mr_error *err, enum mr_status status)
{
    err->status = status;
    return MRI_QUEUE_FAILED;
}

static enum mri_queue_state fenced(const struct mri_switch *change, struct mr_error *err)
{
    return fail(err, mr_error_set(err, MR_E_FENCED,
                                  "%s/META was changed by another process; this one stops writing",
                                  change->dir));
}

/* What a stage found, and the operations of the next. */
static enum mri_queue_state advance(struct mri_switch *change, struct mr_error *err)
{
    bool ok = true;

    switch (change->stage) {
    case MRI_SWITCH_BEGIN:
        change->stage = MRI_SWITCH_READ;
        ok = put_read(change, change->before.fence == 0);
        break;
    case MRI_SWITCH_READ:
        if (!is_meta(change, &change->before)) return fenced(change, err);
        change->stage = MRI_SWITCH_REPLACE;
        ok = put_replace(change);
        break;
    case MRI_SWITCH_REPLACE:
        change->stage = MRI_SWITCH_BACK;
        ok = put_read(change, false);
        break;
    case MRI_SWITCH_BACK:
        if (!is_meta(change, &change->after)) return fenced(change, err);
        change->stage = MRI_SWITCH_DONE;
        change->touched = false;
        return MRI_QUEUE_IDLE;
    case MRI_SWITCH_DONE: MR_UNREACHABLE();
    }
    return ok ? MRI_QUEUE_WAIT : fail(err, mr_error_nomem(err, "the state directory", 256));
}

/* The rename is the only operation whose failure, or what follows it, leaves META unknown. */
static void note_touch(struct mri_switch *change)
{
    const struct mri_op *head = mri_queue_head(change->queue);

    if (MR_PLANT("museum-16")) return;
    if (change->stage == MRI_SWITCH_BACK) change->touched = true;
    if (change->stage != MRI_SWITCH_REPLACE) return;
    for (const struct mri_op *op = head; op != NULL; op = op->next) {
        if (op->decides) {
            change->touched |= op == head;
            return;
        }
    }
    change->touched = true;
}

enum mri_queue_state mri_switch_step(struct mri_switch *change, struct mr_error *err)
{
    for (;;) {
        enum mri_queue_state state = mri_queue_step(change->queue);

        note_touch(change);
        if (state == MRI_QUEUE_FAILED) {
            *err = change->queue->error;
            return fail(err, change->queue->status);
        }
        if (state == MRI_QUEUE_WAIT) return state;
        state = advance(change, err);
        if (state != MRI_QUEUE_WAIT) return state;
    }
}
