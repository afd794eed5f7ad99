/* epoch_files_rig.c - see epoch_files_rig.h. */
#include "connect/format/epoch_files_rig.h"

#include "base/assert.h"
#include "base/status.h"
#include "data/builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct mr_field fields[] = {{.name = "id", .type = MR_INT64},
                                         {.name = "text", .type = MR_UTF8}};
#define HEAD "id,text\n"
#define TEXT "twenty letters, more"
#define TAIL ",\"" TEXT "\"\n" /* it has a comma */

void rig_complain(struct rig *rig, const char *format, ...)
{
    va_list args;

    if (rig->complaint[0] != '\0') return;
    va_start(args, format);
    (void)vsnprintf(rig->complaint, sizeof rig->complaint, format, args);
    va_end(args);
}

/* ---- the reader ---- */

static bool is_visible(const char *name)
{
    return strncmp(name, "out/", 4) == 0 && name[4] != '.' && name[4] != '\0';
}

/* Counts the rows of one file. */
static void read_rows(struct rig *rig, const char *name, const char *data, size_t size,
                      uint32_t *counts)
{
    const char *at = data, *end = data + size;

    if (size < strlen(HEAD) || memcmp(data, HEAD, strlen(HEAD)) != 0) {
        rig_complain(rig, "%s has no head", name);
        return;
    }
    for (at += strlen(HEAD); at < end;) {
        unsigned long id = 0;

        for (; at < end && *at >= '0' && *at <= '9'; at++) id = id * 10 + (unsigned)(*at - '0');
        if ((size_t)(end - at) < strlen(TAIL) || memcmp(at, TAIL, strlen(TAIL)) != 0 ||
            id >= RIG_IDS) {
            rig_complain(rig, "%s has a partial row or a foreign one", name);
            return;
        }
        at += strlen(TAIL);
        counts[id]++;
        if (id / 100 > rig->complete) {
            rig_complain(rig, "%s shows row %lu of an epoch that is not complete", name, id);
        }
    }
}

static void compare_seen(struct rig *rig, const char *name, const char *data, size_t size)
{
    struct rig_seen *seen = NULL;

    for (uint32_t i = 0; i < rig->seen_count; i++) {
        if (strcmp(rig->seen[i].name, name) == 0) seen = &rig->seen[i];
    }
    if (seen != NULL) {
        if (seen->size_bytes != size || (size > 0 && memcmp(seen->data, data, size) != 0)) {
            rig_complain(rig, "%s is not what it was", name);
        }
        return;
    }
    mr_assert(rig->seen_count < RIG_SEEN_MAX);
    seen = &rig->seen[rig->seen_count++];
    (void)snprintf(seen->name, sizeof seen->name, "%s", name);
    seen->data = malloc(size + 1);
    mr_assert(seen->data != NULL);
    if (size > 0) memcpy(seen->data, data, size);
    seen->size_bytes = size;
}

static void read_all(struct rig *rig, uint32_t *counts)
{
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        const struct fault_name *at = &rig->disk.names[i];

        if (at->now == NULL || !is_visible(at->name)) continue;
        compare_seen(rig, at->name, at->now->data, at->now->size_bytes);
        if (strcmp(at->name, "out/_SUCCESS") == 0) {
            if (!rig->finished) rig_complain(rig, "_SUCCESS too early");
            continue;
        }
        read_rows(rig, at->name, at->now->data, at->now->size_bytes, counts);
    }
}

void rig_look(void *self)
{
    struct rig *rig = self;
    uint32_t counts[RIG_IDS] = {0};

    read_all(rig, counts);
    for (uint32_t id = 0; id < RIG_IDS; id++) {
        if (counts[id] > 1) rig_complain(rig, "row %u is there %u times", id, counts[id]);
    }
}

static uint32_t rows_of(uint64_t epoch)
{
    return epoch == 3 ? 0 : RIG_ROWS;
}

void rig_check_end(struct rig *rig)
{
    uint32_t counts[RIG_IDS] = {0};
    bool parts = rig->path[strlen(rig->path) - 1] == '/';

    read_all(rig, counts);
    for (uint64_t epoch = 1; epoch <= RIG_EPOCHS; epoch++) {
        for (uint32_t i = 0; i < rows_of(epoch); i++) {
            uint32_t count = counts[epoch * 100 + i];

            if (count != 1) {
                rig_complain(rig, "row %llu is there %u times at the end",
                             (unsigned long long)epoch * 100 + i, count);
            }
        }
    }
    if (parts != (fault_disk_find(&rig->disk, "out/_SUCCESS") != NULL)) {
        rig_complain(rig, "_SUCCESS is missing, or out of place");
    }
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        const struct fault_name *at = &rig->disk.names[i];

        if (at->now != NULL && !is_visible(at->name)) rig_complain(rig, "%s is left", at->name);
    }
}

/* ---- life ---- */

void rig_init(struct rig *rig, const char *path, uint64_t seed)
{
    struct mr_error err;

    memset(rig, 0, sizeof *rig);
    rig->heap = mr_test_heap();
    rig->path = path;
    rig->format = MR_FORMAT_CSV;
    rig->roll_bytes = 150;
    fault_disk_init(&rig->disk, seed);
    rig->disk.watch = rig_look;
    rig->disk.watch_self = rig;
    MR_EXPECT_OK(mr_schema_create(rig->heap, fields, MR_COUNT(fields), &rig->schema, &err), &err);
    MR_EXPECT_OK(mr_pool_create(rig->heap, (size_t)16 << 20, &rig->pool, &err), &err);
    mr_quota_init(&rig->quota, rig->pool, "test", (size_t)8 << 20);
}

void rig_fini(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->seen_count; i++) free(rig->seen[i].data);
    fault_disk_fini(&rig->disk);
    mr_pool_destroy(rig->pool);
    mr_schema_release(rig->schema);
}

static enum mr_status recover(struct rig *rig, struct rig_attempt *attempt)
{
    struct mr_bytes states[RIG_WRITERS_MAX];
    const struct mr_recover_context context = {.heap = rig->heap,
                                               .disk = &rig->disk.disk,
                                               .schema = rig->schema,
                                               .instance_count = attempt->count,
                                               .fence = attempt->fence,
                                               .epoch = rig->complete,
                                               .finished = rig->finished,
                                               .states = states,
                                               .state_count = rig->state_count};

    for (uint32_t i = 0; i < rig->state_count; i++) {
        states[i] = (struct mr_bytes){rig->states[i].bytes, rig->states[i].size_bytes};
    }
    return attempt->sink.ops->recover(attempt->sink.spec, &context, &attempt->err);
}

enum mr_status rig_begin(struct rig *rig, struct rig_attempt *attempt, uint32_t writers)
{
    const struct mr_format_options options = {.path = rig->path,
                                              .format = rig->format,
                                              .number = 1,
                                              .roll_bytes = rig->roll_bytes,
                                              .roll_us = 1000};

    memset(attempt, 0, sizeof *attempt);
    attempt->rig = rig;
    attempt->fence = ++rig->fence;
    MR_RET(mr_format_sink(rig->heap, &options, &attempt->sink, &attempt->err));
    attempt->count = attempt->sink.ops->one_writer ? 1 : writers;
    MR_RET(recover(rig, attempt));
    for (uint32_t i = 0; i < attempt->count && !rig->finished; i++) {
        const struct mr_writer_context context = {.heap = rig->heap,
                                                  .disk = &rig->disk.disk,
                                                  .instance = i,
                                                  .instance_count = attempt->count,
                                                  .schema = rig->schema,
                                                  .fence = attempt->fence,
                                                  .now = &attempt->now};

        MR_RET(attempt->sink.ops->open(attempt->sink.spec, &context, &attempt->writers[i],
                                       &attempt->err));
    }
    return MR_OK;
}

void rig_end(struct rig_attempt *attempt)
{
    for (uint32_t i = 0; i < attempt->count; i++) {
        if (attempt->writers[i] != NULL) attempt->sink.ops->close(attempt->writers[i]);
    }
    if (attempt->sink.ops != NULL) attempt->sink.ops->destroy(attempt->sink.spec);
    attempt->sink.ops = NULL;
}

/* ---- epochs ---- */

static struct mr_batch *make_batch(struct rig_attempt *attempt, uint64_t epoch, uint32_t writer)
{
    struct rig *rig = attempt->rig;
    struct mr_builder *builder;
    struct mr_error err;
    struct mr_batch *batch;

    MR_EXPECT_OK(
        mr_builder_create(rig->heap, rig->schema, 0, RIG_ROWS, &rig->quota, &builder, &err), &err);
    for (uint32_t i = writer; i < rows_of(epoch); i += attempt->count) {
        MR_EXPECT_EQ_INT(mr_builder_begin_row(builder), MR_BUILD_OK);
        mr_builder_set_int64(builder, 0, (int64_t)(epoch * 100 + i));
        MR_EXPECT_EQ_INT(mr_builder_set_bytes(builder, 1, TEXT, strlen(TEXT)), MR_BUILD_OK);
        mr_builder_commit_row(builder);
    }
    batch = mr_builder_take(builder);
    mr_builder_destroy(builder);
    return batch;
}

static bool again(struct rig_attempt *attempt, enum mr_status st, enum mr_sink_flow flow)
{
    if (st != MR_OK || flow == MR_SINK_READY) return false;
    mr_assert(++attempt->blocked < 1000000);
    return true;
}

enum mr_status rig_write(struct rig_attempt *attempt, uint64_t epoch)
{
    enum mr_status st = MR_OK;

    for (uint32_t i = 0; i < attempt->count && rows_of(epoch) > 0 && st == MR_OK; i++) {
        struct mr_batch *batch = make_batch(attempt, epoch, i);
        enum mr_sink_flow flow = MR_SINK_READY;

        do {
            st = attempt->sink.ops->write(attempt->writers[i], batch, &flow, &attempt->err);
        } while (again(attempt, st, flow));
        if (st == MR_OK && epoch % 2 == 0) { /* now and then bytes are there before the barrier */
            do {
                st = attempt->sink.ops->flush(attempt->writers[i], &flow, &attempt->err);
            } while (again(attempt, st, flow));
        }
        mr_batch_release(batch);
    }
    return st;
}

enum mr_status rig_prepare(struct rig_attempt *attempt, uint64_t epoch)
{
    struct mr_buffer out;
    enum mr_status st = MR_OK;

    mr_buffer_init(&out, mr_test_heap());
    for (uint32_t i = 0; i < attempt->count && st == MR_OK; i++) {
        enum mr_sink_flow flow = MR_SINK_READY;

        mr_buffer_clear(&out);
        do {
            if (out.size_bytes > 0) rig_complain(attempt->rig, "a blocked prepare gave bytes");
            st = attempt->sink.ops->prepare(attempt->writers[i], epoch, &out, &flow, &attempt->err);
        } while (again(attempt, st, flow));
        mr_assert(out.size_bytes <= RIG_STATE_BYTES);
        if (out.size_bytes > 0) memcpy(attempt->prepared[i].bytes, out.data, out.size_bytes);
        attempt->prepared[i].size_bytes = out.size_bytes;
    }
    mr_buffer_fini(&out);
    return st;
}

void rig_complete(struct rig_attempt *attempt, uint64_t epoch)
{
    struct rig *rig = attempt->rig;

    mr_assert(attempt->fence == rig->fence); /* the log is fenced */
    memcpy(rig->states, attempt->prepared, sizeof rig->states);
    rig->state_count = attempt->count;
    rig->complete = epoch;
}

enum mr_status rig_commit_epoch(struct rig_attempt *attempt, uint64_t epoch)
{
    enum mr_status st = MR_OK;

    for (uint32_t i = 0; i < attempt->count && st == MR_OK; i++) {
        enum mr_sink_flow flow = MR_SINK_READY;

        do {
            st = attempt->sink.ops->commit_epoch(attempt->writers[i], epoch, &flow, &attempt->err);
        } while (again(attempt, st, flow));
    }
    return st;
}

enum mr_status rig_finish(struct rig_attempt *attempt)
{
    enum mr_status st = MR_OK;

    for (uint32_t i = 0; i < attempt->count && st == MR_OK; i++) {
        enum mr_sink_flow flow = MR_SINK_READY;

        do {
            st = attempt->sink.ops->finish(attempt->writers[i], &flow, &attempt->err);
        } while (again(attempt, st, flow));
    }
    return st;
}

enum mr_status rig_commit(struct rig_attempt *attempt)
{
    for (uint32_t i = 0; i < attempt->count; i++) {
        MR_RET(attempt->sink.ops->commit(attempt->writers[i], &attempt->err));
    }
    return MR_OK;
}

enum mr_status rig_run(struct rig_attempt *attempt, bool lag)
{
    struct rig *rig = attempt->rig;
    uint64_t committed = rig->complete;

    if (rig->finished) return MR_OK;
    while (rig->complete < RIG_EPOCHS) {
        uint64_t epoch = rig->complete + 1;

        MR_RET(rig_write(attempt, epoch));
        MR_RET(rig_prepare(attempt, epoch));
        if (lag && committed < rig->complete) {
            MR_RET(rig_commit_epoch(attempt, rig->complete));
        }
        rig_complete(attempt, epoch);
        if (!lag) MR_RET(rig_commit_epoch(attempt, epoch));
    }
    MR_RET(rig_finish(attempt));
    MR_RET(rig_prepare(attempt, rig->complete + 1));
    rig_complete(attempt, rig->complete + 1);
    rig->finished = true;
    MR_RET(rig_commit_epoch(attempt, rig->complete));
    MR_RET(rig_commit_epoch(attempt, rig->complete)); /* again is harmless */
    return rig_commit(attempt);
}

enum mr_status rig_live(struct rig *rig, uint32_t writers, bool lag, struct mr_error *err)
{
    struct rig_attempt attempt;
    enum mr_status st = rig_begin(rig, &attempt, writers);

    if (st == MR_OK) st = rig_run(&attempt, lag);
    rig_end(&attempt);
    *err = attempt.err;
    return st;
}
