/* process_watermarks.c - the watermark of an operator as part of its snapshot, by key group. */
#include "exec/process_internal.h"

#define NAME "watermark"

void mri_watermarks_init(struct mri_group_watermarks *marks, const struct mr_task_context *task)
{
    *marks = (struct mri_group_watermarks){.task = task, .now_us = MR_TIME_MIN};
}

static uint32_t group_count(const struct mri_group_watermarks *marks)
{
    return marks->task->group_end - marks->task->group_first;
}

static void forget_groups(struct mri_group_watermarks *marks)
{
    mr_free(marks->task->heap, marks->groups, group_count(marks) * sizeof *marks->groups);
    marks->groups = NULL;
}

void mri_watermarks_fini(struct mri_group_watermarks *marks)
{
    if (marks->task != NULL) forget_groups(marks);
}

void mri_watermarks_advance(struct mri_group_watermarks *marks, int64_t watermark_us)
{
    marks->now_us = MR_MAX(marks->now_us, watermark_us);
    if (marks->groups != NULL && marks->now_us >= marks->most_us) forget_groups(marks);
}

int64_t mri_watermarks_of(const struct mri_group_watermarks *marks, uint32_t group)
{
    if (marks->groups == NULL) return marks->now_us;
    return MR_MAX(marks->now_us, marks->groups[group - marks->task->group_first]);
}

/* A range of key groups with one watermark. */
static bool put_range(struct mr_buffer *out, uint32_t first, uint32_t end, int64_t watermark_us)
{
    return mr_buffer_put_u32(out, first) && mr_buffer_put_u32(out, end) &&
           mr_buffer_put_u64(out, (uint64_t)watermark_us);
}

static bool put_all(const struct mri_group_watermarks *marks, struct mr_buffer *out)
{
    uint32_t first = marks->task->group_first;

    if (marks->groups == NULL) {
        return put_range(out, first, marks->task->group_end, marks->now_us);
    }
    for (uint32_t group = first; group < marks->task->group_end; group++) {
        if (!put_range(out, group, group + 1, mri_watermarks_of(marks, group))) return false;
    }
    return true;
}

enum mr_status mri_watermarks_seal(const struct mri_group_watermarks *marks, mr_entry_fn yield,
                                   void *self, struct mr_error *err)
{
    struct mr_entry entry = {.kind = MR_ENTRY_VALUE,
                             .state_name = "",
                             .key = {NAME, sizeof NAME - 1},
                             .group_first = marks->task->group_first,
                             .group_end = marks->task->group_end};
    struct mr_buffer value;
    enum mr_status st;

    mr_buffer_init(&value, marks->task->heap);
    if (put_all(marks, &value)) {
        entry.value = (struct mr_bytes){value.data, value.size_bytes};
        st = yield(self, &entry, err);
    } else {
        st = mr_error_nomem(err, "sealing the watermark", 64);
    }
    mr_buffer_fini(&value);
    return st;
}

bool mri_watermarks_entry(const struct mr_entry *entry)
{
    return entry->kind == MR_ENTRY_VALUE && entry->state_name[0] == '\0' &&
           entry->key.size_bytes == sizeof NAME - 1 &&
           memcmp(entry->key.data, NAME, sizeof NAME - 1) == 0;
}

static enum mr_status make_groups(struct mri_group_watermarks *marks, struct mr_error *err)
{
    uint32_t count = group_count(marks);

    if (marks->groups != NULL) return MR_OK;
    marks->groups = mr_alloc_array(marks->task->heap, count, sizeof *marks->groups);
    if (marks->groups == NULL) {
        return mr_error_nomem(err, "restoring the watermark", count * sizeof *marks->groups);
    }
    for (uint32_t i = 0; i < count; i++) marks->groups[i] = MR_TIME_MIN;
    return MR_OK;
}

/* One range of the value; of several seals the last one holds. */
static bool take_range(struct mri_group_watermarks *marks, struct mr_cursor *in)
{
    const struct mr_task_context *task = marks->task;
    uint32_t first, end;
    uint64_t bits;
    int64_t watermark;

    if (!mr_cursor_u32(in, &first) || !mr_cursor_u32(in, &end) || !mr_cursor_u64(in, &bits)) {
        return false;
    }
    watermark = (int64_t)bits;
    if (end > task->key_group_count || watermark < MR_TIME_MIN || watermark > MR_TIME_MAX) {
        return false;
    }
    for (uint32_t group = MR_MAX(first, task->group_first); group < MR_MIN(end, task->group_end);
         group++) {
        marks->groups[group - task->group_first] = watermark;
    }
    return true;
}

enum mr_status mri_watermarks_restore(struct mri_group_watermarks *marks, const char *operator_id,
                                      const struct mr_entry *entry, struct mr_error *err)
{
    struct mr_cursor in = {entry->value.data, entry->value.data};

    if (entry->value.size_bytes > 0) in.end += entry->value.size_bytes;
    MR_RET(make_groups(marks, err));
    while (in.at < in.end) {
        if (take_range(marks, &in)) continue;
        return mr_error_set(err, MR_E_CORRUPT,
                            "operator '%s': the watermark in the snapshot is not what was written",
                            operator_id);
    }
    return MR_OK;
}

void mri_watermarks_restored(struct mri_group_watermarks *marks)
{
    int64_t least = MR_TIME_MAX;

    if (marks->groups == NULL) return;
    marks->most_us = MR_TIME_MIN;
    for (uint32_t i = 0; i < group_count(marks); i++) {
        least = MR_MIN(least, marks->groups[i]);
        marks->most_us = MR_MAX(marks->most_us, marks->groups[i]);
    }
    mri_watermarks_advance(marks, least);
}
