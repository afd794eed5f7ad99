/* log_source.c - committed rows of a topic; see connect.h and topic.h.
 *
 * A reader goes through the runs of its partition and then follows the generation in force. There a
 * second look, ahead of the rows, searches for COMMIT records: only rows below one are read. Before
 * it believes a new one it looks whether a newer attempt has begun, because then only that one's
 * attempt file says what counts.
 *
 * Invariants: (1) Rows come in the order of their numbers, each once. (2) row <= committed. (3) In the
 * generation in force `run_end` is UINT64_MAX.
 */
#include "base/arena.h"
#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "base/text.h"
#include "connect/connect.h"
#include "connect/log/topic_internal.h"
#include "connect/position.h"

#include <string.h>

#define ROWS_WINDOW    ((size_t)256 * 1024)
#define SCAN_WINDOW    ((size_t)4096)
#define SCAN_RECORDS   64u /* looked at in one turn */
#define IDLE_LOOKS     16u /* turns without news between two looks for a newer attempt */
#define NUMBERS        7u  /* of a position */

struct log_spec {
    struct mr_heap *heap;
    struct mri_topic topic;
    bool follow;
    bool event_time;
    bool one_partition;
    uint32_t partition;
    uint64_t from_row;
    uint64_t last_rows;
};

struct place {
    uint64_t generation;
    uint64_t segment;
    uint64_t offset; /* of the record that is next */
};

struct log_reader {
    const struct log_spec *spec;
    struct mr_reader_context context;
    uint32_t split;
    uint32_t partition;
    uint64_t end_row;  /* UINT64_MAX: follow */
    uint64_t from_row; /* the oldest that is wanted */
    struct mri_topic_index index;
    struct place at;
    uint64_t row;       /* number of the next row to give */
    uint64_t run_end;   /* of at.generation */
    uint64_t committed; /* rows below are */
    struct mri_topic_file rows;
    bool reread;          /* the record at `at` was bad once: it may have been written meanwhile */
    uint64_t record_row;  /* number of the row at record_at; UINT64_MAX: not in a record */
    size_t record_at;     /* in the payload at `at` */
    struct mri_topic_file scan;
    struct place scan_at;
    uint64_t seen;     /* committed, as far as looked ahead */
    bool scan_missing; /* that segment was not there, the last time */
    uint32_t idle_turns;
    uint64_t bytes;
    struct mr_builder *builder;
};

/* ---- plan ---- */

/* What is committed now; damage in what was written last shows here. */
static enum mr_status end_of(const struct log_spec *spec, struct mr_disk *disk,
                             const struct mri_topic_index *index, uint32_t partition,
                             uint64_t *out, struct mr_error *err)
{
    struct mri_topic_run run;
    bool any = false;

    *out = index->parts[partition].next_row;
    if (index->generation == 0) return MR_OK;
    MR_RET(mri_topic_scan(&spec->topic, disk, partition, index->generation, *out, &run, &any, err));
    if (any) *out = run.row_end;
    return MR_OK;
}

static enum mr_status plan_split(const struct log_spec *spec, struct mr_disk *disk,
                                 const struct mri_topic_index *index, uint32_t partition,
                                 struct mr_arena *arena, struct mr_split *split,
                                 struct mr_error *err)
{
    struct mr_text name;
    uint64_t end = 0;

    MR_RET(end_of(spec, disk, index, partition, &end, err));
    mr_text_init(&name, spec->heap, 0);
    mr_text_format(&name, "%s/p%u", spec->topic.path, partition);
    split->name = mr_text_status(&name) == MR_OK ? mr_arena_strdup(arena, mr_text_get(&name)) : NULL;
    mr_text_fini(&name);
    split->size_bytes = UINT64_MAX;
    split->lower_bound_us = MR_TIME_MIN;
    split->detail = spec->follow ? UINT64_MAX : end;
    split->offset_bytes = spec->from_row; /* in rows */
    if (spec->last_rows > 0) split->offset_bytes = end - MR_MIN(end, spec->last_rows);
    return split->name == NULL ? mri_topic_nomem(err) : MR_OK;
}

static enum mr_status log_plan(void *self, const struct mr_plan_context *context,
                               struct mr_split_list *out, struct mr_error *err)
{
    const struct log_spec *spec = self;
    uint32_t count = spec->one_partition ? 1 : (uint32_t)spec->topic.options.partitions;
    struct mri_topic_index index;
    enum mr_status st = MR_OK;

    out->bounded = !spec->follow;
    out->total_bytes = UINT64_MAX;
    out->splits = mr_arena_zero(out->arena, count * sizeof *out->splits);
    if (out->splits == NULL) return mr_error_nomem(err, "the list of splits", count);
    MR_RET(mri_topic_index_load(&spec->topic, context->disk, &index, err));
    for (uint32_t i = 0; i < count && st == MR_OK; i++) {
        uint32_t partition = spec->one_partition ? spec->partition : i;

        out->splits[i].ordinal = i;
        st = plan_split(spec, context->disk, &index, partition, out->arena, &out->splits[i], err);
    }
    mri_topic_index_fini(&index);
    out->count = count;
    return st;
}

/* ---- places ---- */

static enum mr_status go_to(struct log_reader *reader, struct place place, struct mr_error *err)
{
    reader->at = place;
    reader->record_row = UINT64_MAX;
    reader->reread = false;
    if (mri_topic_file_set(&reader->rows,
                           mri_topic_segment_path(&reader->spec->topic, reader->partition,
                                                  place.generation, place.segment),
                           mri_topic_segment_id(place.generation, reader->partition,
                                                (uint32_t)place.segment))) {
        return MR_OK;
    }
    return mri_topic_nomem(err);
}

static enum mr_status scan_go_to(struct log_reader *reader, struct place place,
                                 struct mr_error *err)
{
    reader->scan_at = place;
    if (mri_topic_file_set(&reader->scan,
                           mri_topic_segment_path(&reader->spec->topic, reader->partition,
                                                  place.generation, place.segment),
                           mri_topic_segment_id(place.generation, reader->partition,
                                                (uint32_t)place.segment))) {
        return MR_OK;
    }
    return mri_topic_nomem(err);
}

static enum mr_status removed(const struct log_reader *reader, uint64_t row, struct mr_error *err)
{
    return mr_error_set(err, MR_E_LOST,
                        "%s/p%u: row %llu, where this reader goes on, was removed because the topic "
                        "keeps a limited amount; begin at the oldest row that is there, with --fresh, "
                        "and let the topic keep more",
                        reader->spec->topic.path, reader->partition, (unsigned long long)row);
}

static enum mr_status took_back(const struct log_reader *reader, struct mr_error *err)
{
    return mr_error_set(err, MR_E_CHANGED,
                        "%s/p%u: rows up to %llu were read, but attempt %llu counts only rows up to "
                        "%llu: the topic was replaced by another one or by an older copy",
                        reader->spec->topic.path, reader->partition,
                        (unsigned long long)reader->row,
                        (unsigned long long)reader->index.generation,
                        (unsigned long long)reader->index.parts[reader->partition].next_row);
}

/* With a new index: where the next row is. The place within a generation stays. */
static enum mr_status settle(struct log_reader *reader, struct mr_error *err)
{
    const struct mri_topic_part *part = &reader->index.parts[reader->partition];
    uint64_t generation = reader->index.generation, first = part->next_row;

    reader->run_end = UINT64_MAX;
    for (uint64_t i = 0; i < part->run_count; i++) {
        if (reader->row >= part->runs[i].row_end) continue;
        generation = part->runs[i].generation;
        first = part->runs[i].row_first;
        reader->run_end = part->runs[i].row_end;
        break;
    }
    if (reader->row < first) return removed(reader, reader->row, err);
    if (reader->at.generation != generation) {
        if (reader->row != first) return took_back(reader, err);
        MR_RET(go_to(reader, (struct place){.generation = generation}, err));
    }
    reader->committed = MR_MIN(reader->run_end, reader->end_row);
    if (reader->committed == UINT64_MAX) { /* follows the generation in force */
        reader->committed = reader->seen = reader->row;
        return scan_go_to(reader, reader->at, err);
    }
    return MR_OK;
}

/* ---- open ---- */

/* Does a segment hold rows that count, by the index? */
static bool belongs(const struct log_reader *reader, const struct mri_topic_segment *segment)
{
    const struct mri_topic_run *run;

    if (segment->generation == reader->index.generation) return true;
    run = mri_topic_find_run(&reader->index.parts[reader->partition], segment->generation);
    return run != NULL && segment->segment <= run->segment_last;
}

/* The number of the first row of a segment. *out_there false: it has no head yet. */
static enum mr_status first_row(struct log_reader *reader, const struct mri_topic_segment *segment,
                                uint64_t *out, bool *out_there, struct mr_error *err)
{
    const struct place place = {segment->generation, segment->segment, 0};
    struct mri_topic_record record;
    struct mri_topic_head head;
    enum mri_topic_see see;

    MR_RET(go_to(reader, place, err));
    see = mri_topic_file_wait(&reader->rows, 0, &record, err);
    *out_there = see == MRI_SEE_RECORD;
    if (see == MRI_SEE_FAILED) return err != NULL && err->status != MR_OK ? err->status : MR_E_IO;
    if (see == MRI_SEE_BAD && segment->generation != reader->index.generation) {
        return mr_error_set(err, MR_E_CORRUPT, "%s is damaged at byte 0; restore it from a copy",
                            reader->rows.path);
    }
    if (see != MRI_SEE_RECORD) return MR_OK;
    MR_RET(mri_topic_head_parse(&reader->spec->topic, &record, reader->partition,
                                segment->generation, segment->segment, reader->rows.path, &head,
                                err));
    *out = head.first_row;
    return MR_OK;
}

/* The last segment that begins at or before the wanted row, or the oldest one. */
static enum mr_status find_start(struct log_reader *reader, struct mr_error *err)
{
    struct mri_topic_segment *segments = NULL;
    struct place best = {.generation = 0};
    uint64_t oldest = UINT64_MAX;
    uint32_t count = 0;
    enum mr_status st;

    MR_RET(mri_topic_segments(&reader->spec->topic, reader->context.disk, reader->partition,
                              &segments, &count, err));
    st = MR_OK;
    for (uint32_t i = 0; i < count && st == MR_OK; i++) {
        uint64_t row = 0;
        bool there = false;

        if (!belongs(reader, &segments[i])) continue;
        st = first_row(reader, &segments[i], &row, &there, err);
        if (st != MR_OK || !there || (oldest != UINT64_MAX && row > reader->from_row)) continue;
        if (oldest == UINT64_MAX) oldest = row;
        best = (struct place){segments[i].generation, segments[i].segment, 0};
    }
    mr_free(reader->spec->topic.heap, segments, count * sizeof *segments);
    MR_RET(st);
    if (oldest == UINT64_MAX) {
        oldest = reader->index.parts[reader->partition].next_row;
        best.generation = reader->index.generation;
    }
    reader->row = MR_MAX(oldest, reader->from_row);
    if (reader->spec->from_row > 0 && reader->from_row < oldest) {
        return removed(reader, reader->from_row, err);
    }
    if (best.generation != reader->index.generation &&
        reader->row > reader->index.parts[reader->partition].next_row) {
        reader->row = reader->index.parts[reader->partition].next_row;
    }
    return go_to(reader, best, err);
}

static enum mr_status take_position(struct log_reader *reader, struct mr_bytes bytes,
                                    const char *name, struct mr_error *err)
{
    uint64_t numbers[NUMBERS];
    struct mr_cursor body;
    uint16_t flags;

    MR_RET(mri_position_open(bytes, MRI_POSITION_LOG, name, &flags, &body, err));
    for (uint32_t i = 0; i < NUMBERS; i++) {
        if (!mr_cursor_u64(&body, &numbers[i])) return mri_position_corrupt(name, "too short", err);
    }
    if (body.at != body.end || flags != 0) return mri_position_corrupt(name, "too long", err);
    if (numbers[2] > UINT32_MAX || numbers[3] >= MRI_TOPIC_SEGMENTS_MAX ||
        numbers[4] > UINT64_MAX / 2 || numbers[5] > numbers[6]) {
        return mri_position_corrupt(name, "its numbers make no sense", err);
    }
    if (numbers[0] != reader->spec->topic.schema_hash || numbers[1] != reader->partition ||
        numbers[2] > reader->index.generation) {
        return mr_error_set(err, MR_E_CHANGED,
                            "%s is not the topic that the job has read before (another schema, or "
                            "fewer attempts); give the same one, or start anew with --fresh",
                            name);
    }
    reader->row = numbers[5];
    if (!reader->spec->follow && numbers[6] != UINT64_MAX) reader->end_row = numbers[6];
    return go_to(reader, (struct place){numbers[2], numbers[3], numbers[4]}, err);
}

static enum mr_status log_position(void *self, struct mr_buffer *out, struct mr_error *err)
{
    const struct log_reader *reader = self;
    const uint64_t numbers[NUMBERS] = {reader->spec->topic.schema_hash,
                                       reader->partition,
                                       reader->at.generation,
                                       reader->at.segment,
                                       reader->at.offset,
                                       reader->row,
                                       reader->end_row};
    size_t start = out->size_bytes;
    bool ok = mri_position_begin(out, MRI_POSITION_LOG, 0);

    for (uint32_t i = 0; i < NUMBERS && ok; i++) ok = mr_buffer_put_u64(out, numbers[i]);
    if (ok && mri_position_end(out, start)) return MR_OK;
    out->size_bytes = start;
    return mr_error_nomem(err, "the position of a topic", sizeof numbers);
}

static void log_close(void *self)
{
    struct log_reader *reader = self;

    if (reader == NULL) return;
    mr_builder_destroy(reader->builder);
    mri_topic_file_fini(&reader->rows);
    mri_topic_file_fini(&reader->scan);
    mri_topic_index_fini(&reader->index);
    mr_free(reader->context.heap, reader, sizeof *reader);
}

static enum mr_status log_open(void *self, const struct mr_split *split,
                               const struct mr_reader_context *context, void **out,
                               struct mr_error *err)
{
    const struct log_spec *spec = self;
    struct log_reader *reader = mr_alloc_zero(context->heap, sizeof *reader);
    enum mr_status st;

    if (reader == NULL) return mr_error_nomem(err, "a reader of a topic", sizeof *reader);
    reader->spec = spec;
    reader->context = *context;
    reader->split = split->ordinal;
    reader->partition = spec->one_partition ? spec->partition : split->ordinal;
    reader->end_row = split->detail;
    reader->from_row = split->offset_bytes;
    mri_topic_file_init(&reader->rows, context->heap, context->disk, ROWS_WINDOW);
    mri_topic_file_init(&reader->scan, context->heap, context->disk, SCAN_WINDOW);
    /* The topic's heap is the job's; paths come from it, so the files must give them back there. */
    reader->rows.heap = reader->scan.heap = spec->topic.heap;
    MR_GOTO(mri_topic_index_load(&spec->topic, context->disk, &reader->index, err));
    if (context->resume.data != NULL) {
        MR_GOTO(take_position(reader, context->resume, split->name, err));
    } else {
        MR_GOTO(find_start(reader, err));
    }
    if (reader->row < reader->end_row) MR_GOTO(settle(reader, err));
    *out = reader;
    return MR_OK;
done:
    log_close(reader);
    return st;
}

/* ---- what is new ---- */

static enum mr_status newest_attempt(struct log_reader *reader, uint64_t *out, struct mr_error *err)
{
    struct mr_disk *disk = reader->context.disk;
    struct mr_disk_request list = {.op = MR_DISK_LIST, .path = reader->spec->topic.path};

    *out = 0;
    MR_RET(mr_disk_do(disk, &list, err));
    for (uint32_t i = 0; i < list.name_count; i++) {
        bool published = false;
        uint64_t generation = mri_topic_attempt_name(list.names[i], &published);

        if (published && generation > *out) *out = generation;
    }
    disk->names_free(disk, &list);
    return MR_OK;
}

/* Looks for a newer attempt. *out_news: there is one, and all was thought over. */
static enum mr_status look_for_attempt(struct log_reader *reader, bool *out_news,
                                       struct mr_error *err)
{
    struct mri_topic_index index;
    uint64_t newest;

    *out_news = false;
    MR_RET(newest_attempt(reader, &newest, err));
    if (newest < reader->index.generation) {
        return mr_error_set(err, MR_E_CHANGED, "topic %s was removed or replaced while it was read",
                            reader->spec->topic.path);
    }
    if (newest == reader->index.generation) return MR_OK;
    MR_RET(mri_topic_index_load(&reader->spec->topic, reader->context.disk, &index, err));
    mri_topic_index_fini(&reader->index);
    reader->index = index;
    *out_news = true;
    return settle(reader, err);
}

static enum mr_status scan_record(struct log_reader *reader, const struct mri_topic_record *record,
                                  struct mr_error *err)
{
    struct mri_topic_commit commit;
    uint64_t next;

    if (record->kind == MRI_TOPIC_COMMIT &&
        mri_topic_words(record, (uint64_t *)&commit, MRI_TOPIC_WORDS(commit))) {
        reader->seen = MR_MAX(reader->seen, commit.row_end);
    }
    if (record->kind == MRI_TOPIC_NEXT && mri_topic_words(record, &next, 1) &&
        next == reader->scan_at.segment + 1) {
        return scan_go_to(reader, (struct place){reader->scan_at.generation, next, 0}, err);
    }
    reader->scan_at.offset += record->size_bytes;
    return MR_OK;
}

/* Of rows the header is enough: their bytes are checked when they are read. */
static enum mri_topic_see scan_see(struct log_reader *reader, struct mri_topic_record *out,
                                   struct mr_error *err)
{
    enum mri_topic_see see = mri_topic_file_peek(&reader->scan, reader->scan_at.offset, out, err);

    if (see != MRI_SEE_RECORD || out->kind == MRI_TOPIC_ROWS) return see;
    return mri_topic_file_get(&reader->scan, reader->scan_at.offset, out, err);
}

/* Looks ahead for COMMIT records. *out_wait: the disk is busy. */
static enum mr_status scan_ahead(struct log_reader *reader, bool *out_wait, struct mr_error *err)
{
    *out_wait = false;
    for (uint32_t i = 0; i < SCAN_RECORDS; i++) {
        struct mri_topic_record record;
        enum mri_topic_see see = scan_see(reader, &record, err);

        reader->scan_missing = see == MRI_SEE_MISSING;
        switch (see) {
        case MRI_SEE_RECORD: MR_RET(scan_record(reader, &record, err)); break;
        case MRI_SEE_WAIT: *out_wait = true; return MR_OK;
        case MRI_SEE_FAILED: return err != NULL ? err->status : MR_E_IO;
        case MRI_SEE_END:
        case MRI_SEE_BAD:
        case MRI_SEE_MISSING:
            mri_topic_file_forget(&reader->scan); /* it may be there the next time */
            return MR_OK;
        }
    }
    return MR_OK;
}

/* The segment that comes next is not there: not yet, or not any more? */
static enum mr_status judge_missing(struct log_reader *reader, struct mr_error *err)
{
    struct mri_topic_segment *segments = NULL;
    uint32_t count = 0;
    bool here = false, behind = false;

    MR_RET(mri_topic_segments(&reader->spec->topic, reader->context.disk, reader->partition,
                              &segments, &count, err));
    for (uint32_t i = 0; i < count; i++) {
        if (segments[i].generation != reader->scan_at.generation) continue;
        here = here || segments[i].segment == reader->scan_at.segment;
        behind = behind || segments[i].segment > reader->scan_at.segment;
    }
    mr_free(reader->spec->topic.heap, segments, count * sizeof *segments);
    return behind && !here ? removed(reader, reader->row, err) : MR_OK;
}

/* All rows below `committed` were given. *out_more: there are others now. */
static enum mr_status advance(struct log_reader *reader, bool *out_more, struct mr_error *err)
{
    bool wait = false;

    *out_more = false;
    if (reader->row == reader->run_end) {
        *out_more = true;
        return settle(reader, err);
    }
    MR_RET(scan_ahead(reader, &wait, err));
    if (wait) (void)reader->context.disk->poll(reader->context.disk);
    if (reader->seen <= reader->committed && ++reader->idle_turns < IDLE_LOOKS) return MR_OK;
    reader->idle_turns = 0;
    if (!MR_PLANT("museum-6")) MR_RET(look_for_attempt(reader, out_more, err));
    if (*out_more) return MR_OK;
    if (reader->scan_missing) MR_RET(judge_missing(reader, err));
    if (reader->seen <= reader->committed) return MR_OK;
    reader->committed = reader->seen;
    mri_topic_file_forget(&reader->rows); /* may hold zeros where there are rows now */
    *out_more = true;
    return MR_OK;
}

/* ---- rows ---- */

static bool wanted(const struct log_reader *reader, uint32_t column)
{
    return reader->context.projection == NULL || mr_bit_get(reader->context.projection, column);
}

static enum mr_status bad_record(const struct log_reader *reader, const char *what,
                                 struct mr_error *err)
{
    return mr_error_set(err, MR_E_CORRUPT,
                        "%s is damaged at byte %llu (%s), where row %llu of the partition should be; "
                        "restore the file from a copy",
                        reader->rows.path, (unsigned long long)reader->at.offset, what,
                        (unsigned long long)reader->row);
}

static bool skip_row(const struct log_reader *reader, struct mr_cursor *in, bool timed)
{
    const struct mr_schema *schema = reader->spec->topic.schema;
    const char *ignored;

    if (timed && !mr_cursor_take(in, 8, &ignored)) return false;
    for (uint32_t c = 0; c < schema->column_count; c++) {
        if (!mri_topic_skip_value(in, &schema->fields[c])) return false;
    }
    return true;
}

/* One row into the builder. *out_build: why not. */
static enum mr_status take_row(struct log_reader *reader, struct mr_cursor *in, bool timed,
                               enum mr_build *out_build, struct mr_error *err)
{
    const struct mr_schema *schema = reader->spec->topic.schema;
    struct mr_builder *builder = reader->builder;
    struct mr_cursor row = *in;
    uint64_t time = (uint64_t)MR_TIME_MIN;
    enum mr_status st = MR_OK;

    *out_build = mr_builder_begin_row(builder);
    if (*out_build != MR_BUILD_OK) return MR_OK;
    if (timed && !mr_cursor_u64(&row, &time)) st = bad_record(reader, "a row is cut", err);
    for (uint32_t c = 0; c < schema->column_count && st == MR_OK && *out_build == MR_BUILD_OK; c++) {
        if (wanted(reader, c)) {
            st = mr_row_decode(&row, &schema->fields[c], builder, c, out_build, err);
        } else if (!mri_topic_skip_value(&row, &schema->fields[c])) {
            st = bad_record(reader, "a row is cut", err);
        }
    }
    if (st != MR_OK || *out_build != MR_BUILD_OK) {
        mr_builder_abandon_row(builder);
        if (st == MR_E_CORRUPT) {
            mr_error_context(err, "%s at byte %llu", reader->rows.path,
                             (unsigned long long)reader->at.offset);
        }
        return st;
    }
    if (reader->spec->event_time) {
        mr_builder_set_hidden(builder, MR_HIDDEN_EVENT_TIME, (int64_t)time);
    }
    mr_builder_commit_row(builder);
    *in = row;
    return MR_OK;
}

struct rows_record {
    uint64_t first;
    uint64_t count;
    uint64_t flags;
};

static enum mr_status parse_rows(const struct log_reader *reader, struct mr_bytes payload,
                                 struct rows_record *out, struct mr_cursor *in,
                                 struct mr_error *err)
{
    *in = (struct mr_cursor){payload.data, payload.data + payload.size_bytes};
    if (!mr_cursor_u64(in, &out->first) || !mr_cursor_u64(in, &out->count) ||
        !mr_cursor_u64(in, &out->flags) || out->flags > MRI_TOPIC_ROWS_TIMES) {
        return bad_record(reader, "rows without a beginning", err);
    }
    if (out->first > reader->row || out->count > UINT64_MAX - out->first) {
        return bad_record(reader, "rows are missing before it", err);
    }
    if (out->first + out->count > reader->committed && out->first + out->count > reader->row) {
        return bad_record(reader, "rows that are not committed", err);
    }
    if (reader->spec->event_time && !(out->flags & MRI_TOPIC_ROWS_TIMES)) {
        return mr_error_set(err, MR_E_SCHEMA,
                            "%s: rows from number %llu on were written without event times; give "
                            "rows their time from a column instead",
                            reader->rows.path, (unsigned long long)out->first);
    }
    return MR_OK;
}

/* Rows of a ROWS record until the builder is full. *out_over: all of them were taken. */
static enum mr_status take_rows(struct log_reader *reader, const struct mri_topic_record *record,
                                uint32_t row_limit, enum mr_build *out_build, bool *out_over,
                                struct mr_error *err)
{
    struct rows_record rows;
    struct mr_cursor in;
    uint64_t row;
    bool timed;

    MR_RET(parse_rows(reader, record->payload, &rows, &in, err));
    timed = (rows.flags & MRI_TOPIC_ROWS_TIMES) != 0;
    row = rows.first;
    if (reader->record_row != UINT64_MAX && reader->record_row <= reader->row) {
        in.at = record->payload.data + reader->record_at;
        row = reader->record_row;
    }
    *out_over = rows.first + rows.count <= reader->row;
    while (!*out_over && mr_builder_rows(reader->builder) < row_limit) {
        if (row < reader->row) {
            if (!skip_row(reader, &in, timed)) return bad_record(reader, "a row is cut", err);
            row++;
            continue;
        }
        MR_RET(take_row(reader, &in, timed, out_build, err));
        if (*out_build != MR_BUILD_OK) break;
        row++;
        reader->row++;
        *out_over = rows.first + rows.count == reader->row;
    }
    reader->record_row = row;
    reader->record_at = (size_t)(in.at - record->payload.data);
    return MR_OK;
}

static enum mr_status take_record(struct log_reader *reader, const struct mri_topic_record *record,
                                  uint32_t row_limit, enum mr_build *out_build,
                                  struct mr_error *err)
{
    struct mri_topic_head head;
    uint64_t next = 0;
    bool over = true;

    switch (record->kind) {
    case MRI_TOPIC_HEAD:
        MR_RET(mri_topic_head_parse(&reader->spec->topic, record, reader->partition,
                                    reader->at.generation, reader->at.segment, reader->rows.path,
                                    &head, err));
        if (head.first_row > reader->row) return bad_record(reader, "rows are missing", err);
        break;
    case MRI_TOPIC_ROWS:
        MR_RET(take_rows(reader, record, row_limit, out_build, &over, err));
        if (over) reader->record_row = UINT64_MAX;
        break;
    case MRI_TOPIC_NEXT:
        if (!mri_topic_words(record, &next, 1) || next != reader->at.segment + 1) {
            return bad_record(reader, "a wrong successor", err);
        }
        return go_to(reader, (struct place){reader->at.generation, next, 0}, err);
    case MRI_TOPIC_COMMIT:
    case MRI_TOPIC_PAD: break;
    case MRI_TOPIC_TOPIC:
    case MRI_TOPIC_ATTEMPT:
    case MRI_TOPIC_CLOSED: return bad_record(reader, "a record of another kind of file", err);
    }
    if (!over) return MR_OK;
    reader->at.offset += record->size_bytes;
    reader->bytes += record->size_bytes;
    return MR_OK;
}

/* Something is wrong with rows that are committed. What was read early may just be old. */
static enum mr_status judge_bad(struct log_reader *reader, enum mri_topic_see see,
                                struct mr_error *err)
{
    if (!reader->reread) {
        reader->reread = true;
        mri_topic_file_forget(&reader->rows);
        return MR_OK;
    }
    if (see == MRI_SEE_MISSING) return removed(reader, reader->row, err);
    return bad_record(reader, see == MRI_SEE_END ? "it ends here" : "no record", err);
}

/* Goes on until there are rows, or nothing can be done now. */
static enum mr_status fill(struct log_reader *reader, uint32_t row_limit, enum mr_build *out_build,
                           bool *out_wait, struct mr_error *err)
{
    *out_build = MR_BUILD_OK;
    *out_wait = false;
    while (mr_builder_rows(reader->builder) < row_limit && reader->row < reader->end_row) {
        struct mri_topic_record record;
        enum mri_topic_see see;

        if (reader->row >= reader->committed) {
            bool more = false;

            if (mr_builder_rows(reader->builder) > 0) return MR_OK;
            MR_RET(advance(reader, &more, err));
            *out_wait = !more;
            if (!more) return MR_OK;
            continue;
        }
        see = mri_topic_file_get(&reader->rows, reader->at.offset, &record, err);
        if (see == MRI_SEE_WAIT) {
            (void)reader->context.disk->poll(reader->context.disk);
            *out_wait = true;
            return MR_OK;
        }
        if (see == MRI_SEE_FAILED) return err != NULL ? err->status : MR_E_IO;
        if (see != MRI_SEE_RECORD) {
            MR_RET(judge_bad(reader, see, err));
            continue;
        }
        reader->reread = false;
        MR_RET(take_record(reader, &record, row_limit, out_build, err));
        if (*out_build != MR_BUILD_OK) return MR_OK;
    }
    return MR_OK;
}

static enum mr_status make_builder(struct log_reader *reader, struct mr_quota *quota,
                                   struct mr_error *err)
{
    uint32_t hidden = reader->spec->event_time ? 1u << MR_HIDDEN_EVENT_TIME : 0;

    if (reader->builder != NULL) return MR_OK;
    return mr_builder_create(reader->context.heap, reader->spec->topic.schema, hidden,
                             MR_BATCH_ROWS, quota, &reader->builder, err);
}

static enum mr_status log_read(void *self, struct mr_quota *quota, uint32_t row_limit,
                               enum mr_source_flow *out_flow, struct mr_batch **out,
                               struct mr_error *err)
{
    struct log_reader *reader = self;
    uint64_t first = reader->row;
    enum mr_build build;
    bool wait;

    *out = NULL;
    *out_flow = MR_SOURCE_DONE;
    if (reader->row >= reader->end_row) return MR_OK;
    MR_RET(make_builder(reader, quota, err));
    MR_RET(fill(reader, MR_MIN(row_limit, MR_BATCH_ROWS), &build, &wait, err));
    if (build == MR_BUILD_TOO_LARGE) {
        return mr_error_set(err, MR_E_LIMIT, "%s/p%u: row %llu does not fit a batch; give more --memory",
                            reader->spec->topic.path, reader->partition,
                            (unsigned long long)reader->row);
    }
    *out = mr_builder_take(reader->builder);
    if (*out != NULL) {
        (*out)->origin = (struct mr_origin){
            .known = true, .split = reader->split, .offset_bytes = first, .first_row = first};
    }
    *out_flow = *out == NULL && (wait || build == MR_BUILD_BLOCKED) ? MR_SOURCE_BLOCKED
                                                                      : MR_SOURCE_MORE;
    return MR_OK;
}

static uint64_t log_progress(const void *self)
{
    const struct log_reader *reader = self;

    return reader->bytes;
}

/* ---- the spec ---- */

static void log_describe(const void *self, struct mr_text *out)
{
    const struct log_spec *spec = self;

    mr_text_format(out, "log %s, %llu partitions%s", spec->topic.path,
                   (unsigned long long)spec->topic.options.partitions,
                   spec->follow ? ", without end" : "");
}

static void log_destroy(void *self)
{
    struct log_spec *spec = self;

    if (spec == NULL) return;
    mri_topic_fini(&spec->topic);
    mr_free(spec->heap, spec, sizeof *spec);
}

static const struct mr_source_ops log_ops = {
    .size = sizeof(struct mr_source_ops),
    .name = "log",
    .plan = log_plan,
    .open = log_open,
    .read = log_read,
    .progress_bytes = log_progress,
    .position = log_position,
    .close = log_close,
    .describe = log_describe,
    .destroy = log_destroy,
};

static enum mr_status check_partition(const struct log_spec *spec, struct mr_error *err)
{
    if (!spec->one_partition || spec->partition < spec->topic.options.partitions) return MR_OK;
    return mr_error_set(err, MR_E_INVALID, "topic %s has no partition %u; it has 0 to %llu",
                        spec->topic.path, spec->partition,
                        (unsigned long long)spec->topic.options.partitions - 1);
}

enum mr_status mr_log_source(struct mr_heap *heap, struct mr_disk *disk,
                             const struct mr_log_source_options *options, struct mr_source *out,
                             struct mr_error *err)
{
    struct log_spec *spec = mr_alloc_zero(heap, sizeof *spec);
    struct mri_topic_url url;
    enum mr_status st;

    if (spec == NULL) return mri_topic_nomem(err);
    spec->heap = heap;
    spec->event_time = options->event_time;
    spec->one_partition = options->one_partition;
    spec->partition = options->partition;
    spec->from_row = options->from_row;
    spec->last_rows = options->last_rows;
    MR_GOTO(mri_topic_url_parse(heap, options->path, &url, err));
    spec->follow = options->follow || url.follow;
    st = mri_topic_load(heap, disk, url.path, &spec->topic, err);
    mr_strfree(heap, url.path);
    if (st != MR_OK) goto done;
    MR_GOTO(check_partition(spec, err));
    *out = (struct mr_source){&log_ops, spec, mr_schema_ref(spec->topic.schema)};
    return MR_OK;
done:
    log_destroy(spec);
    return st;
}

/* ---- for people ---- */

static enum mr_status partition_info(const struct log_spec *spec, struct mr_disk *disk,
                                     const struct mri_topic_index *index, uint32_t partition,
                                     struct mr_text *out, struct mr_error *err)
{
    struct log_reader reader = {.spec = spec, .partition = partition, .index = *index};
    struct mri_topic_segment *segments = NULL;
    uint64_t end = 0, oldest = UINT64_MAX;
    uint32_t count = 0, used = 0;
    enum mr_status st;

    reader.context.disk = disk;
    mri_topic_file_init(&reader.rows, spec->topic.heap, disk, SCAN_WINDOW);
    MR_RET(end_of(spec, disk, index, partition, &end, err));
    MR_RET(mri_topic_segments(&spec->topic, disk, partition, &segments, &count, err));
    st = MR_OK;
    for (uint32_t i = 0; i < count && st == MR_OK; i++) {
        uint64_t row = 0;
        bool there = false;

        if (!belongs(&reader, &segments[i])) continue;
        used++;
        if (oldest == UINT64_MAX) st = first_row(&reader, &segments[i], &row, &there, err);
        if (there) oldest = MR_MIN(oldest, row);
    }
    mri_topic_file_fini(&reader.rows);
    mr_free(spec->topic.heap, segments, count * sizeof *segments);
    oldest = MR_MIN(oldest, end);
    mr_text_format(out, "partition %-3u  %llu rows (%llu to %llu), %u segments\n", partition,
                   (unsigned long long)(end - oldest), (unsigned long long)oldest,
                   (unsigned long long)end, used);
    return st;
}

static enum mr_status print_info(const struct log_spec *spec, struct mr_disk *disk,
                                 const struct mri_topic_index *index, struct mr_text *out,
                                 struct mr_error *err)
{
    const struct mri_topic_options *options = &spec->topic.options;
    bool closed = false;

    MR_RET(mri_topic_is_closed(&spec->topic, disk, index, &closed, err));
    mr_text_format(out, "topic          %s\ncolumns        ", spec->topic.path);
    mr_schema_print(spec->topic.schema, out);
    mr_text_format(out, "\npartitions     %llu\nsegment        %llu bytes\n",
                   (unsigned long long)options->partitions,
                   (unsigned long long)options->segment_bytes);
    if (options->retain_bytes > 0) {
        mr_text_format(out, "keeps          %llu bytes per partition\n",
                       (unsigned long long)options->retain_bytes);
    }
    if (options->retain_us > 0) {
        mr_text_format(out, "keeps          %llu s\n",
                       (unsigned long long)(options->retain_us / (uint64_t)MR_SECOND));
    }
    mr_text_format(out, "attempt        %llu (%s)\n", (unsigned long long)index->generation,
                   index->generation == 0 ? "nobody has written yet"
                   : closed               ? "ended"
                                          : "writing, or to be gone on with");
    for (uint32_t p = 0; p < index->part_count; p++) {
        MR_RET(partition_info(spec, disk, index, p, out, err));
    }
    return mr_text_status(out) == MR_OK ? MR_OK : mri_topic_nomem(err);
}

enum mr_status mr_log_info(struct mr_heap *heap, struct mr_disk *disk, const char *path,
                           struct mr_text *out, struct mr_error *err)
{
    const struct mr_log_source_options options = {.path = path};
    struct mri_topic_index index;
    struct mr_source source;
    enum mr_status st;

    MR_RET(mr_log_source(heap, disk, &options, &source, err));
    memset(&index, 0, sizeof index);
    st = mri_topic_index_load(&((struct log_spec *)source.spec)->topic, disk, &index, err);
    if (st == MR_OK) st = print_info(source.spec, disk, &index, out, err);
    mri_topic_index_fini(&index);
    log_destroy(source.spec);
    mr_schema_release(source.schema);
    return st;
}
