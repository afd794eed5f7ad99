/* topic.c - directory, description and closing of a topic; see topic.h. */
#include "connect/log/topic.h"

#include "base/assert.h"
#include "base/status.h"
#include "base/text.h"
#include "connect/log/topic_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- names ---- */

char *mri_topic_path(struct mr_heap *heap, const char *path, const char *format, ...)
{
    char name[128];
    struct mr_text text;
    char *copy = NULL;
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    mr_text_init(&text, heap, 0);
    mr_text_add(&text, path);
    mr_text_add(&text, "/");
    mr_text_add(&text, name);
    if (mr_text_status(&text) == MR_OK) copy = mr_strdup(heap, mr_text_get(&text));
    mr_text_fini(&text);
    return copy;
}

char *mri_topic_segment_path(const struct mri_topic *topic, uint32_t partition,
                             uint64_t generation, uint64_t segment)
{
    return mri_topic_path(topic->heap, topic->path, "p%u/seg-%llu-%llu.log", partition,
                          (unsigned long long)generation, (unsigned long long)segment);
}

/* A decimal of at most 32 bits without leading zeros. */
static bool take_number(const char **at, uint64_t *out)
{
    const char *from = *at;
    uint64_t value = 0;

    while (**at >= '0' && **at <= '9' && value <= UINT32_MAX) {
        value = value * 10 + (uint64_t)(*(*at)++ - '0');
    }
    *out = value;
    return *at != from && value <= UINT32_MAX && (from[0] != '0' || *at == from + 1);
}

static bool take_text(const char **at, const char *text)
{
    size_t size = strlen(text);

    if (strncmp(*at, text, size) != 0) return false;
    *at += size;
    return true;
}

bool mri_topic_segment_name(const char *name, uint64_t *out_generation, uint64_t *out_segment)
{
    return take_text(&name, "seg-") && take_number(&name, out_generation) &&
           take_text(&name, "-") && take_number(&name, out_segment) && strcmp(name, ".log") == 0;
}

uint64_t mri_topic_attempt_name(const char *name, bool *out_published)
{
    uint64_t generation;

    if (!take_text(&name, "attempt-") || !take_number(&name, &generation)) return 0;
    *out_published = *name == '\0';
    return *out_published || strcmp(name, ".new") == 0 ? generation : 0;
}

static bool closed_name(const char *name, uint64_t *out_generation)
{
    uint64_t partition;

    return take_text(&name, "closed-") && take_number(&name, out_generation) &&
           take_text(&name, "-") && take_number(&name, &partition) &&
           (*name == '\0' || strcmp(name, ".new") == 0);
}

/* ---- small files ---- */

enum mr_status mri_topic_nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "a topic", 0);
}

/* Removes quietly: what was not there, or stays, does no harm. */
static void unlink_quietly(struct mr_disk *disk, const char *path)
{
    struct mr_disk_request request = {.op = MR_DISK_UNLINK, .path = path};
    enum mr_status ignored = path == NULL ? MR_OK : mr_disk_do(disk, &request, NULL);

    (void)ignored;
}

static void close_quietly(struct mr_disk *disk, uint32_t number)
{
    struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = number};
    enum mr_status ignored = mr_disk_do(disk, &request, NULL);

    (void)ignored;
}

enum mr_status mri_topic_read_file(struct mr_disk *disk, const char *path, struct mr_buffer *out,
                                   struct mr_error *err)
{
    struct mr_disk_request open = {.op = MR_DISK_OPEN_READ, .path = path};
    enum mr_status st;

    mr_buffer_clear(out);
    MR_RET(mr_disk_do(disk, &open, err));
    for (;;) {
        struct mr_disk_request read = {
            .op = MR_DISK_READ, .file = open.file, .offset = out->size_bytes, .size_bytes = 16384};

        if (!mr_buffer_reserve(out, read.size_bytes) || out->size_bytes > MRI_TOPIC_PAYLOAD_MAX) {
            st = mri_topic_nomem(err);
            break;
        }
        read.data = out->data + out->size_bytes;
        st = mr_disk_do(disk, &read, err);
        if (st != MR_OK || read.done_bytes == 0) break;
        out->size_bytes += read.done_bytes;
    }
    close_quietly(disk, open.file);
    return st;
}

static enum mr_status write_all(struct mr_disk *disk, uint32_t file, const struct mr_buffer *bytes,
                                struct mr_error *err)
{
    struct mr_disk_request sync = {.op = MR_DISK_SYNC, .file = file};

    for (size_t at = 0; at < bytes->size_bytes;) {
        struct mr_disk_request write = {.op = MR_DISK_WRITE,
                                        .file = file,
                                        .offset = at,
                                        .data = bytes->data + at,
                                        .size_bytes = bytes->size_bytes - at};

        MR_RET(mr_disk_do(disk, &write, err));
        if (write.done_bytes == 0) {
            return mr_error_set(err, MR_E_IO, "a file of a topic takes no more bytes");
        }
        at += write.done_bytes;
    }
    return mr_disk_do(disk, &sync, err);
}

enum mr_status mri_topic_sync_directory(struct mr_disk *disk, const char *path,
                                        struct mr_error *err)
{
    struct mr_disk_request sync = {.op = MR_DISK_SYNC_DIRECTORY, .path = path};

    return mr_disk_do(disk, &sync, err);
}

enum mr_status mri_topic_fill_and_rename(struct mr_disk *disk, uint32_t file, const char *directory,
                                         const char *beside, const char *path,
                                         const struct mr_buffer *bytes, struct mr_error *err)
{
    struct mr_disk_request rename = {.op = MR_DISK_RENAME, .path = beside, .path_to = path};
    enum mr_status st = write_all(disk, file, bytes, err);

    close_quietly(disk, file);
    MR_RET(st);
    MR_RET(mr_disk_do(disk, &rename, err));
    return mri_topic_sync_directory(disk, directory, err);
}

/* A file that appears whole: written beside and renamed. */
static enum mr_status put_file(const struct mri_topic *topic, struct mr_disk *disk,
                               const char *name, const struct mr_buffer *bytes,
                               struct mr_error *err)
{
    char *path = mri_topic_path(topic->heap, topic->path, "%s", name);
    char *beside = mri_topic_path(topic->heap, topic->path, "%s.new", name);
    struct mr_disk_request create = {.op = MR_DISK_CREATE, .path = beside};
    enum mr_status st = MR_OK;

    if (path == NULL || beside == NULL) {
        st = mri_topic_nomem(err);
        goto done;
    }
    unlink_quietly(disk, beside); /* of a process that died */
    MR_GOTO(mr_disk_do(disk, &create, err));
    MR_GOTO(mri_topic_fill_and_rename(disk, create.file, topic->path, beside, path, bytes, err));
done:
    mr_strfree(topic->heap, path);
    mr_strfree(topic->heap, beside);
    return st;
}

/* ---- the topic file ---- */

static void describe_record(const struct mri_topic *topic, uint64_t words[4])
{
    words[0] = topic->options.partitions;
    words[1] = topic->options.segment_bytes;
    words[2] = topic->options.retain_bytes;
    words[3] = topic->options.retain_us;
}

static enum mr_status parse_topic(struct mri_topic *topic, struct mr_bytes bytes,
                                  const char *name, struct mr_error *err)
{
    struct mri_topic_record record;
    struct mr_cursor in;
    uint64_t words[4];
    enum mri_topic_parse outcome = mri_topic_parse(bytes, MRI_TOPIC_ID_TOPIC, 0, &record);

    if (outcome == MRI_TOPIC_NEWER) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "%s was made by a newer version of Millrace; use that version", name);
    }
    if (outcome != MRI_TOPIC_GOOD || record.kind != MRI_TOPIC_TOPIC ||
        record.size_bytes != bytes.size_bytes) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "%s is damaged at byte 0, or not of a topic; restore it from a copy, "
                            "or write to another topic",
                            name);
    }
    in = (struct mr_cursor){record.payload.data, record.payload.data + record.payload.size_bytes};
    for (uint32_t i = 0; i < 4; i++) {
        if (!mr_cursor_u64(&in, &words[i])) words[i] = 0;
    }
    topic->options = (struct mri_topic_options){words[0], words[1], words[2], words[3]};
    MR_RET(mri_topic_get_schema(&in, topic->heap, name, &topic->schema, err));
    if (in.at != in.end || words[0] == 0 || words[0] > MRI_TOPIC_PARTITIONS ||
        words[1] < MRI_TOPIC_SEGMENT_MIN || words[1] > MRI_TOPIC_SEGMENT_MAX) {
        return mr_error_set(err, MR_E_CORRUPT, "%s: its numbers make no sense", name);
    }
    topic->schema_hash = mri_topic_schema_hash(topic->heap, topic->schema);
    return topic->schema_hash == 0 ? mri_topic_nomem(err) : MR_OK;
}

enum mr_status mri_topic_load(struct mr_heap *heap, struct mr_disk *disk, const char *path,
                              struct mri_topic *out, struct mr_error *err)
{
    struct mri_topic topic = {.heap = heap, .path = mr_strdup(heap, path)};
    char *name = mri_topic_path(heap, path, "topic");
    struct mr_buffer bytes;
    enum mr_status st;

    mr_buffer_init(&bytes, heap);
    if (topic.path == NULL || name == NULL) {
        st = mri_topic_nomem(err);
        goto done;
    }
    st = mri_topic_read_file(disk, name, &bytes, err);
    if (st == MR_E_NOT_FOUND) {
        st = mr_error_set(err, st, "there is no topic %s; it is made by the first job that writes "
                                   "to log://%s", path, path);
    }
    if (st != MR_OK) goto done;
    MR_GOTO(parse_topic(&topic, (struct mr_bytes){bytes.data, bytes.size_bytes}, name, err));
    *out = topic;
    topic = (struct mri_topic){.heap = heap};
done:
    mri_topic_fini(&topic);
    mr_buffer_fini(&bytes);
    mr_strfree(heap, name);
    return st;
}

void mri_topic_fini(struct mri_topic *topic)
{
    if (topic->heap == NULL) return;
    mr_schema_release(topic->schema);
    mr_strfree(topic->heap, topic->path);
    *topic = (struct mri_topic){.heap = NULL};
}

static enum mr_status make_directory(struct mr_disk *disk, const char *path, struct mr_error *err)
{
    struct mr_disk_request make = {.op = MR_DISK_MKDIR, .path = path};

    return mr_disk_do(disk, &make, err);
}

/* The directory that holds the topic, which may be missing too. */
static char *parent_of(struct mr_heap *heap, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    char *parent = mr_alloc(heap, size + 1);

    if (parent == NULL) return NULL;
    memcpy(parent, slash == NULL ? "." : path, size);
    parent[size] = '\0';
    return parent;
}

static enum mr_status make_directories(const struct mri_topic *topic, struct mr_disk *disk,
                                       struct mr_error *err)
{
    char *parent = parent_of(topic->heap, topic->path);
    enum mr_status st = MR_OK;

    if (parent == NULL) return mri_topic_nomem(err);
    if (strcmp(parent, ".") != 0 && strcmp(parent, "/") != 0) {
        MR_GOTO(make_directory(disk, parent, err));
    }
    MR_GOTO(make_directory(disk, topic->path, err));
    for (uint32_t p = 0; p < topic->options.partitions; p++) {
        char *path = mri_topic_path(topic->heap, topic->path, "p%u", p);

        st = path == NULL ? mri_topic_nomem(err) : make_directory(disk, path, err);
        mr_strfree(topic->heap, path);
        if (st != MR_OK) goto done;
    }
    MR_GOTO(mri_topic_sync_directory(disk, parent, err));
done:
    mr_strfree(topic->heap, parent);
    return st;
}

static enum mr_status make_topic(const struct mri_topic *topic, struct mr_disk *disk,
                                 struct mr_error *err)
{
    struct mr_buffer bytes;
    uint64_t words[4];
    size_t start = 0;
    bool ok;
    enum mr_status st;

    mr_buffer_init(&bytes, topic->heap);
    MR_GOTO(make_directories(topic, disk, err));
    describe_record(topic, words);
    ok = mri_topic_begin(&bytes, &start);
    for (uint32_t i = 0; i < 4 && ok; i++) ok = mr_buffer_put_u64(&bytes, words[i]);
    if (!ok || !mri_topic_put_schema(&bytes, topic->schema)) {
        st = mri_topic_nomem(err);
        goto done;
    }
    mri_topic_end(&bytes, start, MRI_TOPIC_TOPIC, MRI_TOPIC_ID_TOPIC, 0);
    MR_GOTO(put_file(topic, disk, "topic", &bytes, err));
done:
    mr_buffer_fini(&bytes);
    return st;
}

static enum mr_status refuse_schema(const struct mri_topic *topic, const struct mr_schema *schema,
                                    struct mr_error *err)
{
    struct mr_text has, wants;

    mr_text_init(&has, topic->heap, 4096);
    mr_text_init(&wants, topic->heap, 4096);
    mr_schema_print(topic->schema, &has);
    mr_schema_print(schema, &wants);
    (void)mr_error_set(err, MR_E_SCHEMA,
                       "topic %s has the columns (%s), but rows to be written have (%s); write to "
                       "another topic, or make the columns the same",
                       topic->path, mr_text_get(&has), mr_text_get(&wants));
    mr_text_fini(&has);
    mr_text_fini(&wants);
    return MR_E_SCHEMA;
}

static enum mr_status check_options(const struct mri_topic *topic,
                                    const struct mri_topic_options *given, struct mr_error *err)
{
    const struct {
        const char *name;
        uint64_t has, given;
    } all[] = {{"partitions", topic->options.partitions, given->partitions},
               {"segment", topic->options.segment_bytes, given->segment_bytes},
               {"retain", topic->options.retain_bytes, given->retain_bytes},
               {"retain-time", topic->options.retain_us, given->retain_us}};

    for (size_t i = 0; i < MR_COUNT(all); i++) {
        if (all[i].given == 0 || all[i].given == all[i].has) continue;
        return mr_error_set(err, MR_E_INVALID,
                            "topic %s was made with %s=%llu%s, not %llu, and keeps that; leave the "
                            "option out, or write to another topic",
                            topic->path, all[i].name, (unsigned long long)all[i].has,
                            i == 3 ? " us" : "", (unsigned long long)all[i].given);
    }
    return MR_OK;
}

enum mr_status mri_topic_create(struct mr_heap *heap, struct mr_disk *disk, const char *path,
                                const struct mr_schema *schema,
                                const struct mri_topic_options *options, uint64_t partitions,
                                struct mri_topic *out, struct mr_error *err)
{
    enum mr_status st = mri_topic_load(heap, disk, path, out, err);

    if (st == MR_E_NOT_FOUND) {
        struct mri_topic topic = {.heap = heap, .options = *options};

        topic.path = (char *)(uintptr_t)path;              /* both are only read */
        topic.schema = (struct mr_schema *)(uintptr_t)schema;
        if (topic.options.partitions == 0) topic.options.partitions = partitions;
        if (topic.options.segment_bytes == 0) topic.options.segment_bytes = MRI_TOPIC_SEGMENT_BYTES;
        mr_error_clear(err);
        MR_RET(make_topic(&topic, disk, err));
        st = mri_topic_load(heap, disk, path, out, err); /* another may have been faster */
    }
    MR_RET(st);
    st = mr_schema_equal(out->schema, schema) ? check_options(out, options, err)
                                              : refuse_schema(out, schema, err);
    if (st != MR_OK) mri_topic_fini(out);
    return st;
}

/* ---- closing and cleaning ---- */

enum mr_status mri_topic_close(const struct mri_topic *topic, struct mr_disk *disk,
                               uint64_t generation, uint32_t partition,
                               const struct mri_topic_run *run, struct mr_error *err)
{
    const uint64_t words[] = {generation, partition, run != NULL, run == NULL ? 0 : run->segment_last,
                              run == NULL ? 0 : run->row_first, run == NULL ? 0 : run->row_end};
    struct mr_buffer bytes;
    char name[64];
    enum mr_status st = MR_OK;

    (void)snprintf(name, sizeof name, "closed-%llu-%u", (unsigned long long)generation, partition);
    mr_buffer_init(&bytes, topic->heap);
    if (!mri_topic_put(&bytes, MRI_TOPIC_CLOSED, MRI_TOPIC_ID_CLOSED(generation, partition), 0,
                       words, MR_COUNT(words))) {
        st = mri_topic_nomem(err);
    }
    if (st == MR_OK) st = put_file(topic, disk, name, &bytes, err);
    mr_buffer_fini(&bytes);
    return st;
}

static enum mr_status one_closed(const struct mri_topic *topic, struct mr_disk *disk,
                                 uint64_t generation, uint32_t partition, bool *out,
                                 struct mr_error *err)
{
    char *path = mri_topic_path(topic->heap, topic->path, "closed-%llu-%u",
                                (unsigned long long)generation, partition);
    struct mri_topic_record record;
    struct mr_buffer bytes;
    enum mr_status st;

    if (path == NULL) return mri_topic_nomem(err);
    mr_buffer_init(&bytes, topic->heap);
    st = mri_topic_read_file(disk, path, &bytes, err);
    *out = st == MR_OK;
    if (st == MR_E_NOT_FOUND) {
        mr_error_clear(err);
        st = MR_OK;
    } else if (st == MR_OK &&
               mri_topic_parse((struct mr_bytes){bytes.data, bytes.size_bytes},
                               MRI_TOPIC_ID_CLOSED(generation, partition), 0,
                               &record) != MRI_TOPIC_GOOD) {
        st = mr_error_set(err, MR_E_CORRUPT, "%s is damaged at byte 0; restore it from a copy", path);
    }
    mr_buffer_fini(&bytes);
    mr_strfree(topic->heap, path);
    return st;
}

enum mr_status mri_topic_is_closed(const struct mri_topic *topic, struct mr_disk *disk,
                                   const struct mri_topic_index *index, bool *out,
                                   struct mr_error *err)
{
    *out = true;
    for (uint32_t p = 0; p < index->part_count && p < index->instance_count && *out; p++) {
        MR_RET(one_closed(topic, disk, index->generation, p, out, err));
    }
    return MR_OK;
}

static bool segment_counts(const struct mri_topic_index *index, uint32_t partition,
                           uint64_t generation, uint64_t segment)
{
    const struct mri_topic_run *run;

    if (generation >= index->generation) return true;
    run = mri_topic_find_run(&index->parts[partition], generation);
    return run != NULL && segment <= run->segment_last;
}

static void clean_partition(const struct mri_topic *topic, struct mr_disk *disk,
                            const struct mri_topic_index *index, uint32_t partition)
{
    struct mri_topic_segment *segments = NULL;
    uint32_t count = 0;
    struct mr_error ignored;

    if (mri_topic_segments(topic, disk, partition, &segments, &count, &ignored) != MR_OK) return;
    for (uint32_t i = 0; i < count; i++) {
        char *path;

        if (segment_counts(index, partition, segments[i].generation, segments[i].segment)) continue;
        path = mri_topic_segment_path(topic, partition, segments[i].generation,
                                      segments[i].segment);
        unlink_quietly(disk, path);
        mr_strfree(topic->heap, path);
    }
    mr_free(topic->heap, segments, count * sizeof *segments);
}

/* What fails here is done by the next attempt. */
void mri_topic_clean(const struct mri_topic *topic, struct mr_disk *disk,
                     const struct mri_topic_index *index)
{
    struct mr_disk_request list = {.op = MR_DISK_LIST, .path = topic->path};

    if (mr_disk_do(disk, &list, NULL) == MR_OK) {
        for (uint32_t i = 0; i < list.name_count; i++) {
            uint64_t generation = 0;
            bool published;
            char *path;

            if (!closed_name(list.names[i], &generation)) {
                generation = mri_topic_attempt_name(list.names[i], &published);
            }
            if (generation == 0 || generation >= index->generation) continue;
            path = mri_topic_path(topic->heap, topic->path, "%s", list.names[i]);
            unlink_quietly(disk, path);
            mr_strfree(topic->heap, path);
        }
        disk->names_free(disk, &list);
    }
    for (uint32_t p = 0; p < index->part_count; p++) clean_partition(topic, disk, index, p);
}
