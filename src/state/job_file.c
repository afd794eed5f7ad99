#include "state/job_file.h"

#include "base/crc.h"
#include "base/status.h"
#include "data/rowcodec.h"

#include <string.h>

#define END_LINE "end "

/* ---- the file ---- */

static char *path_of(struct mr_heap *heap, const char *dir, const char *name)
{
    struct mr_text text;
    char *path = NULL;

    mr_text_init(&text, heap, 0);
    mr_text_format(&text, "%s/%s", dir, name);
    if (mr_text_status(&text) == MR_OK) path = mr_strdup(heap, mr_text_get(&text));
    mr_text_fini(&text);
    return path;
}

static enum mr_status read_all(struct mr_disk *disk, uint32_t file, struct mr_buffer *out,
                               struct mr_error *err)
{
    for (;;) {
        struct mr_disk_request request = {
            .op = MR_DISK_READ, .file = file, .offset = out->size_bytes, .size_bytes = 65536};

        if (!mr_buffer_reserve(out, request.size_bytes)) return mr_error_nomem(err, "JOB", 65536);
        request.data = out->data + out->size_bytes;
        MR_RET(mr_disk_do(disk, &request, err));
        if (request.done_bytes == 0) return MR_OK;
        out->size_bytes += request.done_bytes;
    }
}

static enum mr_status read_file(struct mr_disk *disk, const char *path, struct mr_buffer *out,
                                struct mr_error *err)
{
    struct mr_disk_request open = {.op = MR_DISK_OPEN_READ, .path = path};
    struct mr_disk_request close = {.op = MR_DISK_CLOSE};
    struct mr_error ignored;
    enum mr_status st;

    MR_RET(mr_disk_do(disk, &open, err));
    st = read_all(disk, open.file, out, err);
    close.file = open.file;
    (void)!mr_disk_do(disk, &close, &ignored);
    return st;
}

static bool hex8(const char *text, uint32_t *out)
{
    *out = 0;
    for (uint32_t i = 0; i < 8; i++) {
        char c = text[i];
        uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10 : 16;

        if (digit == 16) return false;
        *out = *out << 4 | digit;
    }
    return true;
}

/* Cuts the end line off; what stays is terminated. */
static enum mr_status check_whole(const char *path, struct mr_buffer *data, struct mr_error *err)
{
    size_t tail = sizeof END_LINE - 1 + 9;
    size_t size = data->size_bytes;
    uint32_t crc;

    if (size >= tail + sizeof MR_JOB_FILE_HEAD - 1 && data->data[size - 1] == '\n' &&
        memcmp(data->data + size - tail, END_LINE, sizeof END_LINE - 1) == 0 &&
        hex8(data->data + size - 9, &crc) && crc == mr_crc32c(0, data->data, size - tail)) {
        data->data[size - tail] = '\0';
        data->size_bytes = size - tail;
        if (memcmp(data->data, MR_JOB_FILE_HEAD, sizeof MR_JOB_FILE_HEAD - 1) == 0) return MR_OK;
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "%s: not of a version that this program knows; use a newer one", path);
    }
    return mr_error_set(err, MR_E_CORRUPT,
                        "%s: damaged or cut; nothing was changed. Bring back a copy of the "
                        "directory, or start anew in an empty one", path);
}

/* ---- comparing ---- */

static size_t line_size(const char *line)
{
    return strcspn(line, "\n");
}

static const char *next_line(const char *line)
{
    line += line_size(line);
    return *line == '\n' ? line + 1 : line;
}

static bool has_line(const char *text, const char *line)
{
    size_t size = line_size(line);

    for (; *text != '\0'; text = next_line(text)) {
        if (line_size(text) == size && memcmp(text, line, size) == 0) return true;
    }
    return false;
}

static bool is_about(const char *line, const char *word)
{
    size_t size = strlen(word);

    return strncmp(line, word, size) == 0 && line[size] == ' ';
}

/* The first line of `from` about `word` that `other` does not have; NULL: none. */
static const char *missing(const char *from, const char *other, const char *word)
{
    for (; *from != '\0'; from = next_line(from)) {
        if (is_about(from, word) && !has_line(other, from)) return from;
    }
    return NULL;
}

/* An error has room for so much: what differs comes first, and both sides get their share. */
#define LIST_BYTES      230
#define LIST_LINE_BYTES 100

static void list(struct mr_text *out, const char *title, const char *lines, const char *word,
                 const char *other)
{
    uint32_t same = 0, left_out = 0;
    size_t room = 0;

    mr_text_format(out, "\n  %s", title);
    for (; *lines != '\0'; lines = next_line(lines)) {
        int size;

        if (!is_about(lines, word)) continue;
        if (has_line(other, lines)) {
            same++;
            continue;
        }
        size = MR_MIN((int)(line_size(lines) - strlen(word) - 1), LIST_LINE_BYTES);
        room += (size_t)size + 7;
        if (room > LIST_BYTES) {
            left_out++;
        } else {
            mr_text_format(out, "\n    ! %.*s", size, lines + strlen(word) + 1);
        }
    }
    if (left_out > 0) mr_text_format(out, "\n    ! and %u more", left_out);
    if (same > 0) mr_text_format(out, "\n    and %u that both have", same);
}

static enum mr_status another_pipeline(struct mr_heap *heap, const char *path, const char *stored,
                                       const char *now, struct mr_error *err)
{
    struct mr_text text;
    enum mr_status st;

    mr_text_init(&text, heap, MR_ERROR_TEXT_BYTES);
    mr_text_format(&text, "%s: the state is that of another pipeline; name another directory, or "
                          "start from a savepoint", path);
    list(&text, "stored:", stored, "operator", now);
    list(&text, "this pipeline:", now, "operator", stored);
    st = mr_error_set(err, MR_E_CHANGED, "%s", mr_text_get(&text));
    mr_text_fini(&text);
    return st;
}

static enum mr_status another_input(const char *path, const char *line, const char *how,
                                    struct mr_error *err)
{
    return mr_error_set(err, MR_E_CHANGED,
                        "%s: the input is not the one that this job began with: %.*s %s; bring it "
                        "back as it was, or start anew in another state directory",
                        path, (int)(line_size(line) - 6), line + 6, how);
}

static enum mr_status compare(struct mr_heap *heap, const char *path, const char *stored,
                              const struct mr_job_file_options *options, struct mr_error *err)
{
    const char *now = options->lines;
    const char *line;

    line = missing(now, stored, "groups");
    if (line != NULL) {
        return mr_error_set(err, MR_E_CHANGED,
                            "%s: the number of key groups is fixed for the life of a job, and was "
                            "another one (now %.*s)", path, (int)line_size(line), line);
    }
    if (!options->allow_dropped && (missing(now, stored, "operator") != NULL ||
                                    missing(stored, now, "operator") != NULL)) {
        return another_pipeline(heap, path, stored, now, err);
    }
    line = missing(stored, now, "input");
    if (line != NULL) return another_input(path, line, "is missing or has another size", err);
    line = missing(now, stored, "input");
    if (line != NULL) return another_input(path, line, "is new", err);
    return MR_OK;
}

enum mr_status mr_job_file_check(struct mr_heap *heap, struct mr_disk *disk,
                                 const struct mr_job_file_options *options, bool *out_new,
                                 struct mr_error *err)
{
    char *path = path_of(heap, options->dir, "JOB");
    struct mr_buffer data;
    enum mr_status st;

    *out_new = false;
    if (path == NULL) return mr_error_nomem(err, "JOB", 256);
    mr_buffer_init(&data, heap);
    st = read_file(disk, path, &data, err);
    if (st == MR_E_NOT_FOUND) {
        *out_new = true;
        st = MR_OK;
    } else if (st == MR_OK) {
        st = check_whole(path, &data, err);
        if (st == MR_OK) st = compare(heap, path, data.data, options, err);
    }
    mr_buffer_fini(&data);
    mr_strfree(heap, path);
    return st;
}

/* ---- writing ---- */

static enum mr_status do_path(struct mr_disk *disk, enum mr_disk_op op, const char *path,
                              const char *path_to, uint32_t *out_file, struct mr_error *err)
{
    struct mr_disk_request request = {.op = op, .path = path, .path_to = path_to};

    MR_RET(mr_disk_do(disk, &request, err));
    if (out_file != NULL) *out_file = request.file;
    return MR_OK;
}

static enum mr_status write_all(struct mr_disk *disk, uint32_t file, const struct mr_text *text,
                                struct mr_error *err)
{
    size_t size = strlen(mr_text_get(text));

    for (size_t done = 0; done < size;) {
        char *from = (char *)(uintptr_t)mr_text_get(text); /* the disk only reads it */
        struct mr_disk_request request = {.op = MR_DISK_WRITE,
                                          .file = file,
                                          .offset = done,
                                          .data = from + done,
                                          .size_bytes = size - done};

        MR_RET(mr_disk_do(disk, &request, err));
        done += request.done_bytes;
    }
    return MR_OK;
}

static enum mr_status write_beside(struct mr_disk *disk, const char *dir, const char *path,
                                   const char *beside, const struct mr_text *text,
                                   struct mr_error *err)
{
    struct mr_disk_request sync = {.op = MR_DISK_SYNC};
    struct mr_disk_request close = {.op = MR_DISK_CLOSE};
    struct mr_error ignored;
    enum mr_status st;
    uint32_t file;

    (void)!do_path(disk, MR_DISK_UNLINK, beside, NULL, NULL, &ignored);
    MR_RET(do_path(disk, MR_DISK_CREATE, beside, NULL, &file, err));
    sync.file = close.file = file;
    st = write_all(disk, file, text, err);
    if (st == MR_OK) st = mr_disk_do(disk, &sync, err);
    (void)!mr_disk_do(disk, &close, &ignored);
    if (st == MR_OK) st = do_path(disk, MR_DISK_RENAME, beside, path, NULL, err);
    if (st == MR_OK) st = do_path(disk, MR_DISK_SYNC_DIRECTORY, dir, NULL, NULL, err);
    return st;
}

enum mr_status mr_job_file_write(struct mr_heap *heap, struct mr_disk *disk,
                                 const struct mr_job_file_options *options, struct mr_error *err)
{
    char *path = path_of(heap, options->dir, "JOB");
    char *beside = path_of(heap, options->dir, "JOB.new");
    struct mr_text text;
    enum mr_status st;

    mr_text_init(&text, heap, 0);
    mr_text_add(&text, options->lines);
    mr_text_format(&text, END_LINE "%08x\n",
                   mr_crc32c(0, options->lines, strlen(options->lines)));
    st = mr_text_status(&text);
    if (path == NULL || beside == NULL || st != MR_OK) {
        st = mr_error_nomem(err, "JOB", strlen(options->lines));
    } else {
        st = write_beside(disk, options->dir, path, beside, &text, err);
    }
    mr_text_fini(&text);
    mr_strfree(heap, path);
    mr_strfree(heap, beside);
    return st;
}
