/* topic_index.c - which rows of a topic count: attempt files, runs, and what segments hold. */
#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "connect/log/topic_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCAN_WINDOW ((size_t)256 * 1024)

/* ---- memory ---- */

void mri_topic_index_fini(struct mri_topic_index *index)
{
    if (index->heap == NULL || index->parts == NULL) return;
    for (uint32_t p = 0; p < index->part_count; p++) {
        mr_free(index->heap, index->parts[p].runs,
                index->parts[p].run_count * sizeof *index->parts[p].runs);
    }
    mr_free(index->heap, index->parts, index->part_count * sizeof *index->parts);
    *index = (struct mri_topic_index){.heap = NULL};
}

static bool make_parts(struct mri_topic_index *index, struct mr_heap *heap, uint32_t count)
{
    index->heap = heap;
    index->parts = mr_alloc_array(heap, count, sizeof *index->parts);
    index->part_count = index->parts == NULL ? 0 : count;
    return index->parts != NULL;
}

const struct mri_topic_run *mri_topic_find_run(const struct mri_topic_part *part,
                                               uint64_t generation)
{
    for (uint64_t i = part->run_count; i > 0; i--) {
        if (part->runs[i - 1].generation == generation) return &part->runs[i - 1];
    }
    return NULL;
}

bool mri_topic_add_run(struct mri_topic_index *index, uint32_t part,
                       const struct mri_topic_run *run)
{
    struct mri_topic_part *at = &index->parts[part];
    struct mri_topic_run *runs = mr_realloc(index->heap, at->runs, at->run_count * sizeof *runs,
                                            (at->run_count + 1) * sizeof *runs);

    if (runs == NULL) return false;
    mr_assert(run->row_first == at->next_row && run->row_end > run->row_first); /* (1) */
    runs[at->run_count] = *run;
    at->runs = runs;
    at->run_count++;
    at->next_row = run->row_end;
    return true;
}

/* ---- attempt files ---- */

static bool put_index(struct mr_buffer *out, const struct mri_topic *topic,
                      const struct mri_topic_index *index)
{
    const uint64_t words[] = {index->generation,     index->fence,      index->owner,
                              index->instance_count, index->part_count, topic->schema_hash};
    size_t start = 0;
    bool ok = mri_topic_begin(out, &start);

    for (size_t i = 0; i < MR_COUNT(words) && ok; i++) ok = mr_buffer_put_u64(out, words[i]);
    for (uint32_t p = 0; p < index->part_count && ok; p++) {
        const struct mri_topic_part *part = &index->parts[p];

        ok = mr_buffer_put_u64(out, part->next_row) && mr_buffer_put_u64(out, part->run_count);
        for (uint64_t i = 0; i < part->run_count && ok; i++) {
            const struct mri_topic_run *run = &part->runs[i];

            ok = mr_buffer_put_u64(out, run->generation) &&
                 mr_buffer_put_u64(out, run->segment_last) &&
                 mr_buffer_put_u64(out, run->row_first) && mr_buffer_put_u64(out, run->row_end);
        }
    }
    if (!ok || out->size_bytes - start > MRI_TOPIC_PAYLOAD_MAX) return false;
    mri_topic_end(out, start, MRI_TOPIC_ATTEMPT, MRI_TOPIC_ID_ATTEMPT(index->generation), 0);
    return true;
}

static enum mr_status damaged(const char *name, const char *what, struct mr_error *err)
{
    return mr_error_set(err, MR_E_CORRUPT,
                        "%s is damaged (%s), so nobody knows which rows of the topic count; restore "
                        "it from a copy",
                        name, what);
}

static enum mr_status get_runs(struct mr_cursor *in, struct mri_topic_index *index, uint32_t p,
                               const char *name, struct mr_error *err)
{
    struct mri_topic_part *part = &index->parts[p];
    uint64_t next_row = 0, count = 0, generation = 0;

    if (!mr_cursor_u64(in, &next_row) || !mr_cursor_u64(in, &count) ||
        count > (uint64_t)(in->end - in->at) / 32) {
        return damaged(name, "too short", err);
    }
    for (uint64_t i = 0; i < count; i++) {
        struct mri_topic_run run;

        if (!mr_cursor_u64(in, &run.generation) || !mr_cursor_u64(in, &run.segment_last) ||
            !mr_cursor_u64(in, &run.row_first) || !mr_cursor_u64(in, &run.row_end)) {
            return damaged(name, "too short", err);
        }
        if (i == 0) part->next_row = run.row_first; /* rows before it were removed */
        if (run.row_first != part->next_row || run.row_end <= run.row_first ||
            run.generation <= generation || run.generation >= index->generation ||
            run.segment_last >= MRI_TOPIC_SEGMENTS_MAX) {
            return damaged(name, "its runs do not follow each other", err);
        }
        generation = run.generation;
        if (!mri_topic_add_run(index, p, &run)) return mri_topic_nomem(err);
    }
    if (count > 0 && part->next_row != next_row) {
        return damaged(name, "its runs do not follow each other", err);
    }
    part->next_row = next_row;
    return MR_OK;
}

static enum mr_status get_index(struct mr_cursor *in, uint64_t generation,
                                const struct mri_topic *topic, struct mr_heap *heap,
                                const char *name, struct mri_topic_index *out,
                                struct mr_error *err)
{
    uint64_t parts = 0, hash = 0;

    if (!mr_cursor_u64(in, &out->generation) || !mr_cursor_u64(in, &out->fence) ||
        !mr_cursor_u64(in, &out->owner) || !mr_cursor_u64(in, &out->instance_count) ||
        !mr_cursor_u64(in, &parts) || !mr_cursor_u64(in, &hash)) {
        return damaged(name, "too short", err);
    }
    if (out->generation != generation || out->owner > generation || parts == 0 ||
        parts > MRI_TOPIC_PARTITIONS ||
        (topic != NULL && (hash != topic->schema_hash || parts != topic->options.partitions))) {
        return damaged(name, "it is that of another topic", err);
    }
    if (!make_parts(out, heap, (uint32_t)parts)) return mri_topic_nomem(err);
    for (uint32_t p = 0; p < out->part_count; p++) MR_RET(get_runs(in, out, p, name, err));
    return in->at == in->end ? MR_OK : damaged(name, "too long", err);
}

static enum mr_status parse_index(struct mr_heap *heap, const struct mri_topic *topic,
                                  struct mr_bytes bytes, uint64_t generation, const char *name,
                                  struct mri_topic_index *out, struct mr_error *err)
{
    struct mri_topic_record record;
    struct mr_cursor in;
    enum mri_topic_parse outcome =
        mri_topic_parse(bytes, MRI_TOPIC_ID_ATTEMPT(generation), 0, &record);
    enum mr_status st;

    memset(out, 0, sizeof *out);
    if (outcome == MRI_TOPIC_NEWER) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "%s was made by a newer version of Millrace; use that version", name);
    }
    if (outcome != MRI_TOPIC_GOOD || record.kind != MRI_TOPIC_ATTEMPT ||
        record.size_bytes != bytes.size_bytes) {
        return damaged(name, "its checksum does not match at byte 0", err);
    }
    in = (struct mr_cursor){record.payload.data, record.payload.data + record.payload.size_bytes};
    st = get_index(&in, generation, topic, heap, name, out, err);
    if (st != MR_OK) mri_topic_index_fini(out);
    return st;
}

enum mr_status mri_topic_index_parse(struct mr_heap *heap, struct mr_bytes bytes,
                                     uint64_t generation, const char *name,
                                     struct mri_topic_index *out, struct mr_error *err)
{
    return parse_index(heap, NULL, bytes, generation, name, out, err);
}

/* The highest attempt there is, and the highest number that anybody took. */
static enum mr_status newest(const struct mri_topic *topic, struct mr_disk *disk,
                             uint64_t *out_published, uint64_t *out_taken, struct mr_error *err)
{
    struct mr_disk_request list = {.op = MR_DISK_LIST, .path = topic->path};

    *out_published = *out_taken = 0;
    MR_RET(mr_disk_do(disk, &list, err));
    for (uint32_t i = 0; i < list.name_count; i++) {
        bool published = false;
        uint64_t generation = mri_topic_attempt_name(list.names[i], &published);

        if (generation > *out_taken) *out_taken = generation;
        if (published && generation > *out_published) *out_published = generation;
    }
    disk->names_free(disk, &list);
    return MR_OK;
}

static enum mr_status load_attempt(const struct mri_topic *topic, struct mr_disk *disk,
                                   uint64_t generation, struct mri_topic_index *out,
                                   struct mr_error *err)
{
    char *path = mri_topic_path(topic->heap, topic->path, "attempt-%llu",
                                (unsigned long long)generation);
    struct mr_buffer bytes;
    enum mr_status st;

    if (path == NULL) return mri_topic_nomem(err);
    mr_buffer_init(&bytes, topic->heap);
    st = mri_topic_read_file(disk, path, &bytes, err);
    if (st == MR_OK) {
        st = parse_index(topic->heap, topic, (struct mr_bytes){bytes.data, bytes.size_bytes},
                         generation, path, out, err);
    }
    mr_buffer_fini(&bytes);
    mr_strfree(topic->heap, path);
    return st;
}

enum mr_status mri_topic_index_load(const struct mri_topic *topic, struct mr_disk *disk,
                                    struct mri_topic_index *out, struct mr_error *err)
{
    enum mr_status st = MR_E_NOT_FOUND;

    /* A listing and a reading are two steps: in between, a newer attempt may remove the file. */
    for (uint32_t tries = 0; tries < 16 && st == MR_E_NOT_FOUND; tries++) {
        uint64_t published, taken;

        memset(out, 0, sizeof *out);
        MR_RET(newest(topic, disk, &published, &taken, err));
        if (published == 0) {
            return make_parts(out, topic->heap, (uint32_t)topic->options.partitions)
                       ? MR_OK
                       : mri_topic_nomem(err);
        }
        st = load_attempt(topic, disk, published, out, err);
    }
    return st;
}

/* The number is ours once this file, which nobody else has, was made. */
static enum mr_status take_number(const struct mri_topic *topic, struct mr_disk *disk,
                                  uint64_t *out_generation, char **out_beside, uint32_t *out_file,
                                  struct mr_error *err)
{
    for (uint32_t tries = 0;; tries++) {
        struct mr_disk_request create = {.op = MR_DISK_CREATE};
        uint64_t published, taken;
        enum mr_status st;

        MR_RET(newest(topic, disk, &published, &taken, err));
        *out_generation = taken + 1;
        if (*out_generation > UINT32_MAX) {
            return mr_error_set(err, MR_E_LIMIT, "topic %s was begun too often", topic->path);
        }
        *out_beside = mri_topic_path(topic->heap, topic->path, "attempt-%llu.new",
                                     (unsigned long long)*out_generation);
        if (*out_beside == NULL) return mri_topic_nomem(err);
        create.path = *out_beside;
        st = mr_disk_do(disk, &create, err);
        *out_file = create.file;
        if (st == MR_OK) return MR_OK;
        mr_strfree(topic->heap, *out_beside);
        *out_beside = NULL;
        if (st != MR_E_ACCESS || tries == 16) return st; /* else another was faster */
    }
}

enum mr_status mri_topic_publish(const struct mri_topic *topic, struct mr_disk *disk,
                                 struct mri_topic_index *index, bool own, struct mr_error *err)
{
    char *beside = NULL, *path = NULL;
    struct mr_buffer bytes;
    uint32_t file = MR_FILE_NONE;
    enum mr_status st;

    mr_buffer_init(&bytes, topic->heap);
    MR_GOTO(take_number(topic, disk, &index->generation, &beside, &file, err));
    if (own) index->owner = index->generation;
    path = mri_topic_path(topic->heap, topic->path, "attempt-%llu",
                          (unsigned long long)index->generation);
    if (path == NULL || !put_index(&bytes, topic, index)) {
        struct mr_disk_request close = {.op = MR_DISK_CLOSE, .file = file};

        st = mr_disk_do(disk, &close, NULL);
        st = mri_topic_nomem(err);
        goto done;
    }
    MR_GOTO(mri_topic_fill_and_rename(disk, file, topic->path, beside, path, &bytes, err));
done:
    mr_buffer_fini(&bytes);
    mr_strfree(topic->heap, beside);
    mr_strfree(topic->heap, path);
    return st;
}

/* ---- segments ---- */

static int compare_segments(const void *left, const void *right)
{
    const struct mri_topic_segment *a = left, *b = right;

    if (a->generation != b->generation) return a->generation < b->generation ? -1 : 1;
    return a->segment == b->segment ? 0 : a->segment < b->segment ? -1 : 1;
}

void mri_topic_sort_segments(struct mri_topic_segment *segments, uint32_t count)
{
    if (count > 1) qsort(segments, count, sizeof *segments, compare_segments);
}

enum mr_status mri_topic_segments(const struct mri_topic *topic, struct mr_disk *disk,
                                  uint32_t partition, struct mri_topic_segment **out,
                                  uint32_t *out_count, struct mr_error *err)
{
    char *path = mri_topic_path(topic->heap, topic->path, "p%u", partition);
    struct mr_disk_request list = {.op = MR_DISK_LIST, .path = path};
    struct mri_topic_segment *segments = NULL;
    struct mri_topic_segment one;
    uint32_t count = 0, at = 0;
    enum mr_status st;

    if (path == NULL) return mri_topic_nomem(err);
    MR_GOTO(mr_disk_do(disk, &list, err));
    for (uint32_t i = 0; i < list.name_count; i++) {
        count += mri_topic_segment_name(list.names[i], &one.generation, &one.segment);
    }
    segments = mr_alloc_array(topic->heap, count, sizeof *segments);
    if (segments == NULL) {
        st = mri_topic_nomem(err);
    } else {
        for (uint32_t i = 0; i < list.name_count; i++) {
            if (!mri_topic_segment_name(list.names[i], &one.generation, &one.segment)) continue;
            segments[at++] = one;
        }
        mri_topic_sort_segments(segments, count);
        *out = segments;
        *out_count = count;
    }
    disk->names_free(disk, &list);
done:
    mr_strfree(topic->heap, path);
    return st;
}

struct scan {
    struct mri_topic_file file;
    uint64_t rows_end; /* behind the last good row */
    uint64_t row_end;  /* committed */
    bool any;
};

enum mr_status mri_topic_head_parse(const struct mri_topic *topic,
                                    const struct mri_topic_record *record, uint32_t partition,
                                    uint64_t generation, uint64_t segment, const char *path,
                                    struct mri_topic_head *out, struct mr_error *err)
{
    if (record->kind != MRI_TOPIC_HEAD ||
        !mri_topic_words(record, (uint64_t *)out, MRI_TOPIC_WORDS(*out)) ||
        out->schema_hash != topic->schema_hash || out->partition != partition ||
        out->generation != generation || out->segment != segment) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "%s: at byte 0 is not the head of this segment of the topic", path);
    }
    return MR_OK;
}

/* The records of one segment. Damage is told from an end by what lies behind. */
static enum mr_status scan_records(struct scan *scan, uint64_t offset, struct mr_error *err)
{
    struct mri_topic_record record;
    enum mri_topic_see see;

    for (;;) {
        see = mri_topic_file_wait(&scan->file, offset, &record, err);
        if (see != MRI_SEE_RECORD) break;
        if (record.kind == MRI_TOPIC_ROWS && record.payload.size_bytes >= MRI_TOPIC_ROWS_BYTES) {
            struct mr_cursor in = {record.payload.data, record.payload.data + 16};
            uint64_t first = 0, count = 0;

            if (mr_cursor_u64(&in, &first) && mr_cursor_u64(&in, &count)) {
                scan->rows_end = first + count;
            }
        } else if (record.kind == MRI_TOPIC_COMMIT) {
            struct mri_topic_commit commit;

            if (mri_topic_words(&record, (uint64_t *)&commit, MRI_TOPIC_WORDS(commit))) {
                scan->row_end = MR_MAX(scan->row_end, commit.row_end);
                scan->any = true;
            }
        }
        offset += record.size_bytes;
    }
    if (see == MRI_SEE_FAILED) return err != NULL && err->status != MR_OK ? err->status : MR_E_IO;
    if (see != MRI_SEE_BAD) return MR_OK;
    if (mri_topic_file_probe(&scan->file, offset + 1, scan->rows_end, err) == MRI_SEE_RECORD) {
        return mr_error_set(err, MR_E_CORRUPT,
                            "%s is damaged at byte %llu: committed rows follow, but what lies here "
                            "is no record; restore the file from a copy",
                            scan->file.path, (unsigned long long)offset);
    }
    return MR_OK;
}

static enum mr_status scan_segment(const struct mri_topic *topic, struct scan *scan,
                                   uint32_t partition, uint64_t generation, uint64_t segment,
                                   bool *out_there, struct mr_error *err)
{
    struct mri_topic_record record;
    struct mri_topic_head head;
    enum mri_topic_see see;

    *out_there = false;
    if (!mri_topic_file_set(&scan->file,
                            mri_topic_segment_path(topic, partition, generation, segment),
                            mri_topic_segment_id(generation, partition, (uint32_t)segment))) {
        return mri_topic_nomem(err);
    }
    see = mri_topic_file_wait(&scan->file, 0, &record, err);
    if (see == MRI_SEE_MISSING || see == MRI_SEE_END) return MR_OK;
    if (see == MRI_SEE_FAILED) return err != NULL && err->status != MR_OK ? err->status : MR_E_IO;
    if (see == MRI_SEE_BAD) {
        if (mri_topic_file_probe(&scan->file, 1, 0, err) != MRI_SEE_RECORD) return MR_OK;
        return mr_error_set(err, MR_E_CORRUPT,
                            "%s is damaged at byte 0: committed rows follow; restore the file from "
                            "a copy",
                            scan->file.path);
    }
    MR_RET(mri_topic_head_parse(topic, &record, partition, generation, segment, scan->file.path,
                                &head, err));
    *out_there = true;
    scan->rows_end = head.first_row;
    return scan_records(scan, record.size_bytes, err);
}

enum mr_status mri_topic_scan(const struct mri_topic *topic, struct mr_disk *disk,
                              uint32_t partition, uint64_t generation, uint64_t row_first,
                              struct mri_topic_run *out, bool *out_any, struct mr_error *err)
{
    struct mri_topic_segment *segments = NULL;
    struct scan scan = {.row_end = row_first};
    uint32_t count = 0;
    enum mr_status st;

    *out_any = false;
    *out = (struct mri_topic_run){.generation = generation, .row_first = row_first};
    MR_RET(mri_topic_segments(topic, disk, partition, &segments, &count, err));
    mri_topic_file_init(&scan.file, topic->heap, disk, SCAN_WINDOW);
    st = MR_OK;
    for (uint32_t i = count; i > 0 && !scan.any && st == MR_OK; i--) {
        bool there;

        if (segments[i - 1].generation != generation) continue;
        st = scan_segment(topic, &scan, partition, generation, segments[i - 1].segment, &there,
                          err);
        out->segment_last = segments[i - 1].segment;
    }
    out->row_end = scan.row_end;
    *out_any = scan.any && scan.row_end > row_first;
    mri_topic_file_fini(&scan.file);
    mr_free(topic->heap, segments, count * sizeof *segments);
    return st;
}

enum mr_status mri_topic_verify(const struct mri_topic *topic, struct mr_disk *disk,
                                uint32_t partition, const struct mri_topic_run *run,
                                struct mr_error *err)
{
    struct scan scan = {.any = false};
    bool there;
    enum mr_status st;

    mri_topic_file_init(&scan.file, topic->heap, disk, SCAN_WINDOW);
    st = scan_segment(topic, &scan, partition, run->generation, run->segment_last, &there, err);
    if (st == MR_OK && (!there || scan.rows_end < run->row_end)) {
        st = mr_error_set(err, MR_E_LOST,
                          "%s/p%u: rows up to %llu of a complete epoch are missing in segment %llu "
                          "of generation %llu (there are rows up to %llu); output that was promised "
                          "is lost: restore the topic from a copy, or start anew with --fresh and "
                          "another topic",
                          topic->path, partition, (unsigned long long)run->row_end,
                          (unsigned long long)run->segment_last,
                          (unsigned long long)run->generation,
                          (unsigned long long)(there ? scan.rows_end : 0));
    }
    mri_topic_file_fini(&scan.file);
    return st;
}
