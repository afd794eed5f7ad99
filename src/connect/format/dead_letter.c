/* dead_letter.c - bad records into a file of JSON lines; see connect.h. */
#include "base/status.h"
#include "base/text.h"
#include "connect/connect.h"
#include "connect/file/output.h"
#include "connect/file/utf8_check.h"
#include "connect/format/format_internal.h"
#include "text/number.h"

#include <pthread.h>
#include <string.h>

/* Letters that may wait for a slow reader of a pipe: a bad record cannot wait itself. */
#define WAITING_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct mr_dead_letter {
    struct mr_heap *heap;
    pthread_mutex_t lock; /* guards output; rank: leaf. Bad records are rare */
    struct mri_output output;
};

enum mr_status mr_dead_letter_open(struct mr_heap *heap, struct mr_disk *disk, const char *path,
                                   struct mr_dead_letter **out, struct mr_error *err)
{
    struct mr_dead_letter *letters = mr_alloc_zero(heap, sizeof *letters);
    enum mr_status st;

    if (letters == NULL) return mr_error_nomem(err, "the dead letters", sizeof *letters);
    letters->heap = heap;
    if (pthread_mutex_init(&letters->lock, NULL) != 0) {
        mr_free(heap, letters, sizeof *letters);
        return mr_error_set(err, MR_E_IO, "no lock could be made for the dead letters");
    }
    st = mri_output_open(&letters->output, heap, disk, path, MRI_OUTPUT_LETTERS, 0, err);
    if (st != MR_OK) {
        mr_dead_letter_close(letters);
        return st;
    }
    *out = letters;
    return MR_OK;
}

static bool put(struct mr_buffer *out, const char *text)
{
    return mr_buffer_put(out, text, strlen(text));
}

static bool put_number(struct mr_buffer *out, const char *key, uint64_t value)
{
    char digits[MR_NUM_TEXT_BYTES];
    size_t size = mr_num_format_int64(digits, (int64_t)MR_MIN(value, (uint64_t)INT64_MAX));

    return put(out, key) && mr_buffer_put(out, digits, size);
}

static bool put_string(struct mr_buffer *out, const char *key, const char *text)
{
    size_t size = strlen(text);

    return put(out, key) && mri_format_json(out, text, mri_utf8_prefix(text, size));
}

static bool put_raw(struct mr_buffer *out, const struct mr_bytes *raw)
{
    if (mri_utf8_valid(raw->data, raw->size_bytes)) {
        return put(out, ",\"raw\":") && mri_format_json(out, raw->data, raw->size_bytes);
    }
    return put(out, ",\"raw_base64\":\"") && mri_format_base64(out, raw->data, raw->size_bytes) &&
           put(out, "\"");
}

static bool put_letter(struct mr_buffer *out, const struct mr_reject *reject)
{
    bool ok = put_string(out, "{\"file\":", reject->split->name);

    if (reject->line != 0) ok = ok && put_number(out, ",\"line\":", reject->line);
    if (reject->column_name != NULL) {
        ok = ok && put_string(out, ",\"column\":", reject->column_name);
    } else if (reject->column != 0) {
        ok = ok && put_number(out, ",\"column\":", reject->column);
    }
    ok = ok && put_number(out, ",\"offset\":", reject->offset_bytes);
    ok = ok && put_string(out, ",\"reason\":", reject->reason != NULL ? reject->reason : "");
    return ok && put_raw(out, &reject->raw) && put(out, "}\n");
}

enum mr_status mr_dead_letter_add(struct mr_dead_letter *letters, const struct mr_reject *reject,
                                  struct mr_error *err)
{
    enum mr_status st = MR_OK;
    struct mr_buffer *out = &letters->output.fill;
    size_t before;
    bool blocked;

    (void)pthread_mutex_lock(&letters->lock);
    before = out->size_bytes;
    if (!put_letter(out, reject)) {
        out->size_bytes = before;
        st = mr_error_nomem(err, "the dead letters", reject->raw.size_bytes);
        goto done;
    }
    MR_GOTO(mri_output_push(&letters->output, false, &blocked, err));
    if (blocked && out->size_bytes > WAITING_BYTES_MAX) {
        st = mr_error_set(err, MR_E_LIMIT,
                          "%zu MiB of dead letters wait for the reader of %s, which does not take "
                          "them",
                          out->size_bytes >> 20, letters->output.path);
    }
done:
    (void)pthread_mutex_unlock(&letters->lock);
    return st;
}

enum mr_status mr_dead_letter_commit(struct mr_dead_letter *letters, bool *out_blocked,
                                     struct mr_error *err)
{
    enum mr_status st = MR_OK;

    *out_blocked = false;
    if (letters == NULL) return MR_OK;
    (void)pthread_mutex_lock(&letters->lock);
    MR_GOTO(mri_output_finish(&letters->output, out_blocked, err));
    if (*out_blocked) goto done;
    MR_GOTO(mri_output_commit(&letters->output, err));
done:
    (void)pthread_mutex_unlock(&letters->lock);
    return st;
}

void mr_dead_letter_close(struct mr_dead_letter *letters)
{
    if (letters == NULL) return;
    mri_output_close(&letters->output);
    (void)pthread_mutex_destroy(&letters->lock);
    mr_free(letters->heap, letters, sizeof *letters);
}
