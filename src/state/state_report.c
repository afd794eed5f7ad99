/* state_report.c - see state_report.h. */
#include "state/state_report.h"

#include "base/assert.h"
#include "base/status.h"
#include "state/entry_order.h"
#include "state/state_text.h"
#include <millrace/process.h>

#include <string.h>

#define FLUSH_BYTES     (64u << 10)
#define GROUPS_MAX      (1u << 20)
#define NAME_WIDTH      24
#define SHOWN_BYTES_MAX 2000u /* of one key or value in a list for people */

/* ---- output ---- */

struct out {
    const struct mr_report *report;
    struct mr_text text; /* not yet written */
};

static enum mr_status flush(struct out *out, bool all, struct mr_error *err)
{
    enum mr_status st = mr_text_status(&out->text);

    if (st != MR_OK) return mr_error_nomem(err, "a report", out->text.size_bytes);
    if (out->text.size_bytes == 0 || (!all && out->text.size_bytes < FLUSH_BYTES)) return MR_OK;
    st = out->report->write(out->report->self, mr_text_get(&out->text), out->text.size_bytes, err);
    mr_text_clear(&out->text);
    return st;
}

/* ---- the first pass: schemas and sizes ---- */

struct state_size {
    struct state_size *next;
    const char *operator_id;
    const char *state_name;
    uint64_t keys, timers, values;
    uint64_t key_bytes, value_bytes;
};

struct survey {
    struct mr_heap *heap;
    struct mri_state_schemas schemas;
    struct mr_arena arena;
    struct state_size *first;
    struct state_size **end;
    struct state_size *current;
    uint64_t entries;
};

static void survey_init(struct survey *survey, struct mr_heap *heap)
{
    *survey = (struct survey){.heap = heap};
    survey->end = &survey->first;
    mri_state_schemas_init(&survey->schemas, heap);
    mr_arena_init(&survey->arena, heap);
}

static void survey_fini(struct survey *survey)
{
    mri_state_schemas_fini(&survey->schemas);
    mr_arena_fini(&survey->arena);
}

static bool is_of(const struct state_size *size, const char *operator_id, const char *state_name)
{
    return size != NULL && strcmp(size->operator_id, operator_id) == 0 &&
           strcmp(size->state_name, state_name) == 0;
}

static enum mr_status count_entry(struct survey *survey, const char *operator_id,
                                  const struct mr_entry *entry, struct mr_error *err)
{
    struct state_size *size = survey->current;

    if (!is_of(size, operator_id, entry->state_name)) {
        size = mr_arena_zero(&survey->arena, sizeof *size);
        if (size == NULL) return mr_error_nomem(err, "a report", sizeof *size);
        size->operator_id = mr_arena_strdup(&survey->arena, operator_id);
        size->state_name = mr_arena_strdup(&survey->arena, entry->state_name);
        if (size->operator_id == NULL || size->state_name == NULL) {
            return mr_error_nomem(err, "a report", 256);
        }
        *survey->end = survey->current = size;
        survey->end = &size->next;
    }
    if (mri_entry_is_timer(entry))
        size->timers++;
    else if (entry->kind == MR_ENTRY_VALUE)
        size->values++;
    else
        size->keys++;
    size->key_bytes += entry->key.size_bytes;
    size->value_bytes += entry->value.size_bytes;
    survey->entries++;
    return MR_OK;
}

static enum mr_status survey_snapshot(struct survey *survey, struct mr_snapshot *snapshot,
                                      struct mr_error *err)
{
    const char *operator_id;
    struct mr_entry entry;

    for (;;) {
        MR_RET(mr_snapshot_next(snapshot, &operator_id, &entry, err));
        if (operator_id == NULL) return MR_OK;
        MR_RET(mri_state_schemas_take(&survey->schemas, operator_id, &entry, err));
        MR_RET(count_entry(survey, operator_id, &entry, err));
    }
}

static enum mr_status survey_dir(const struct mr_report *report, const char *dir,
                                 struct survey *survey, struct mr_error *err)
{
    struct mr_snapshot *snapshot = NULL;
    enum mr_status st;

    MR_GOTO(mr_snapshot_open(report->heap, report->disk, dir, report->epoch, &snapshot, err));
    MR_GOTO(survey_snapshot(survey, snapshot, err));
done:
    mr_snapshot_close(snapshot);
    return st;
}

/* ---- list ---- */

static void add_cell(struct mr_text *text, const char *string, size_t width)
{
    size_t size = strlen(string);

    mr_text_add(text, string);
    mr_text_add_repeat(text, ' ', size < width ? width - size : 0);
    mr_text_add_char(text, ' ');
}

static void list_log(const struct mr_log_info *log, const char *dir, struct mr_text *text)
{
    mr_text_format(text, "state directory %s of job %016llx\n", dir,
                   (unsigned long long)log->job_hash);
    mr_text_format(text, "attempts: %llu (fence %llu)\n", (unsigned long long)log->attempt,
                   (unsigned long long)log->fence);
    if (log->epoch == 0) {
        mr_text_add(text, "epochs:   none is complete yet\n");
        return;
    }
    mr_text_format(text, "epoch:    %llu", (unsigned long long)log->epoch);
    if (log->epoch != log->last_epoch) {
        mr_text_format(text, " (the last complete one is %llu)",
                       (unsigned long long)log->last_epoch);
    }
    mr_text_format(text, "\nbase:     %u files, %llu bytes, %llu entries, epoch %llu\n",
                   log->base_files, (unsigned long long)log->base_bytes,
                   (unsigned long long)log->base_entries, (unsigned long long)log->base_epoch);
    for (uint32_t i = 0; i < log->attempt_count; i++) {
        const struct mr_log_attempt *attempt = &log->attempts[i];

        if (attempt->epoch_count == 0) continue;
        mr_text_format(text, "log:      %llu epochs, %llu to %llu, %llu bytes, fence %llu\n",
                       (unsigned long long)attempt->epoch_count,
                       (unsigned long long)attempt->first_epoch,
                       (unsigned long long)attempt->last_epoch, (unsigned long long)attempt->bytes,
                       (unsigned long long)attempt->fence);
    }
}

static void list_savepoint(const struct mr_savepoint_info *info, const char *dir,
                           struct mr_text *text)
{
    mr_text_format(text, "savepoint %s of job %016llx\n", dir, (unsigned long long)info->job_hash);
    mr_text_format(text, "epoch:    %llu\n", (unsigned long long)info->epoch);
    mr_text_format(text, "parts:    %u files, %llu bytes, %llu entries\n", info->part_count,
                   (unsigned long long)info->bytes, (unsigned long long)info->entry_count);
    if (info->key_group_count != 0) mr_text_format(text, "groups:   %u\n", info->key_group_count);
}

static void list_size(const struct state_size *size, struct mr_text *text)
{
    add_cell(text, size->operator_id, NAME_WIDTH);
    add_cell(text, size->state_name[0] != 0 ? size->state_name : "-", 16);
    mr_text_format(text, "%12llu %9llu %7llu %13llu %13llu\n", (unsigned long long)size->keys,
                   (unsigned long long)size->timers, (unsigned long long)size->values,
                   (unsigned long long)size->key_bytes, (unsigned long long)size->value_bytes);
}

static void list_sizes(const struct survey *survey, struct mr_text *text)
{
    struct state_size sum = {.operator_id = "all", .state_name = ""};

    mr_text_add_char(text, '\n');
    add_cell(text, "operator", NAME_WIDTH);
    add_cell(text, "state", 16);
    mr_text_format(text, "%12s %9s %7s %13s %13s\n", "keys", "timers", "values", "key bytes",
                   "value bytes");
    for (const struct state_size *size = survey->first; size != NULL; size = size->next) {
        list_size(size, text);
        sum.keys += size->keys;
        sum.timers += size->timers;
        sum.values += size->values;
        sum.key_bytes += size->key_bytes;
        sum.value_bytes += size->value_bytes;
    }
    list_size(&sum, text);
}

enum mr_status mr_report_list(const struct mr_report *report, const char *dir, struct mr_error *err)
{
    struct out out = {.report = report};
    struct mr_snapshot *snapshot = NULL;
    const struct mr_snapshot_info *info;
    struct survey survey;
    enum mr_status st;

    mr_text_init(&out.text, report->heap, 0);
    survey_init(&survey, report->heap);
    MR_GOTO(mr_snapshot_open(report->heap, report->disk, dir, report->epoch, &snapshot, err));
    MR_GOTO(survey_snapshot(&survey, snapshot, err));
    info = mr_snapshot_info(snapshot);
    if (info->log != NULL)
        list_log(info->log, dir, &out.text);
    else
        list_savepoint(info->savepoint, dir, &out.text);
    if (survey.entries > 0) list_sizes(&survey, &out.text);
    if (info->job.size_bytes > 0) {
        mr_text_add_char(&out.text, '\n');
        mr_text_add_bytes(&out.text, info->job.data, info->job.size_bytes);
    }
    MR_GOTO(flush(&out, true, err));
done:
    mr_snapshot_close(snapshot);
    survey_fini(&survey);
    mr_text_fini(&out.text);
    return st;
}

/* ---- filters ---- */

static bool is_named(const struct mr_report_filter *filter, const char *operator_id,
                     const char *state_name)
{
    return (filter->operator_id == NULL || strcmp(filter->operator_id, operator_id) == 0) &&
           (filter->state_name == NULL || strcmp(filter->state_name, state_name) == 0);
}

static enum mr_status check_named(const struct survey *survey,
                                  const struct mr_report_filter *filter, const char *dir,
                                  struct mr_error *err)
{
    struct mr_text names;
    const char *last = "";

    if (filter->operator_id == NULL && filter->state_name == NULL) return MR_OK;
    for (const struct state_size *size = survey->first; size != NULL; size = size->next) {
        if (is_named(filter, size->operator_id, size->state_name)) return MR_OK;
    }
    mr_text_init(&names, survey->heap, 200);
    for (const struct state_size *size = survey->first; size != NULL; size = size->next) {
        bool whole = filter->operator_id != NULL && filter->state_name != NULL &&
                     strcmp(size->operator_id, filter->operator_id) == 0;

        if (whole) {
            mr_text_format(&names, " '%s'", size->state_name);
        } else if (strcmp(size->operator_id, last) != 0) {
            mr_text_format(&names, " '%s'", size->operator_id);
        }
        last = size->operator_id;
    }
    (void)mr_error_set(err, MR_E_NOT_FOUND, "%s: nothing of operator '%s'%s%s%s; there is:%s", dir,
                       filter->operator_id != NULL ? filter->operator_id : "*",
                       filter->state_name != NULL ? ", state '" : "",
                       filter->state_name != NULL ? filter->state_name : "",
                       filter->state_name != NULL ? "'" : "", mr_text_get(&names));
    mr_text_fini(&names);
    return MR_E_NOT_FOUND;
}

/* `wanted` is the text, or the text without its quotes. */
static bool matches(const char *wanted, const struct mr_text *shown)
{
    const char *text = mr_text_get(shown);
    size_t size = shown->size_bytes;

    if (wanted == NULL || strcmp(wanted, text) == 0) return true;
    return size >= 2 && text[0] == '"' && strlen(wanted) == size - 2 &&
           memcmp(wanted, text + 1, size - 2) == 0;
}

/* Key and value of the entry at hand as texts. */
struct rendered {
    struct mr_text key;
    struct mr_text value;
};

static enum mr_status render(struct rendered *rendered, struct survey *survey,
                             const char *operator_id, const struct mr_entry *entry,
                             struct mr_error *err)
{
    mr_text_clear(&rendered->key);
    mr_text_clear(&rendered->value);
    mri_state_key_text(&survey->schemas, operator_id, entry, &rendered->key);
    mri_state_value_text(&survey->schemas, operator_id, entry, &rendered->value);
    if (mr_text_status(&rendered->key) == MR_OK && mr_text_status(&rendered->value) == MR_OK) {
        return MR_OK;
    }
    return mr_error_nomem(err, "a report", entry->value.size_bytes);
}

static void add_shown(struct mr_text *out, const struct mr_text *shown)
{
    size_t size = shown->size_bytes;

    mr_text_add_bytes(out, mr_text_get(shown), MR_MIN(size, (size_t)SHOWN_BYTES_MAX));
    if (size > SHOWN_BYTES_MAX) {
        mr_text_format(out, "... (%llu more)", (unsigned long long)(size - SHOWN_BYTES_MAX));
    }
}

/* ---- show ---- */

struct show {
    struct out out;
    struct survey survey;
    const struct mr_report_filter *filter;
    struct rendered rendered;
    char operator_id[256]; /* of the state being shown */
    char state_name[256];
    bool in_state;
    uint64_t shown, hidden; /* of this state; export: of all */
    uint64_t *groups;       /* keys per key group, of this state */
    uint32_t group_room;
    uint32_t group_count; /* of the snapshot; 0: not known */
    uint64_t keys;
};

static void show_schema(struct show *show)
{
    struct mr_text *text = &show->out.text;
    const struct mri_state_schema *own =
        mri_state_schema_find(&show->survey.schemas, show->operator_id, "");
    const struct mri_state_schema *state =
        mri_state_schema_find(&show->survey.schemas, show->operator_id, show->state_name);

    if (own != NULL && own->key_count > 0) {
        mr_text_add(text, "  by ");
        mri_state_fields_print(own->keys, own->key_count, text);
        mr_text_add_char(text, '\n');
    }
    if (state == NULL || state == own) return;
    if (state->key_count > 0) {
        mr_text_add(text, "  elements by ");
        mri_state_fields_print(state->keys, state->key_count, text);
        mr_text_add_char(text, '\n');
    }
    if (state->field_count > 0) {
        mr_text_add(text, "  of ");
        mri_state_fields_print(state->fields, state->field_count, text);
        mr_text_add_char(text, '\n');
    }
}

static enum mr_status begin_state(struct show *show, const char *operator_id,
                                  const char *state_name, struct mr_error *err)
{
    mr_assert(strlen(operator_id) < sizeof show->operator_id);
    mr_assert(strlen(state_name) < sizeof show->state_name);
    memcpy(show->operator_id, operator_id, strlen(operator_id) + 1);
    memcpy(show->state_name, state_name, strlen(state_name) + 1);
    show->in_state = true;
    show->shown = show->hidden = show->keys = 0;
    if (show->groups != NULL) memset(show->groups, 0, show->group_room * sizeof *show->groups);
    mr_text_format(&show->out.text, "operator '%s'", operator_id);
    if (state_name[0] != 0) mr_text_format(&show->out.text, ", state '%s'", state_name);
    mr_text_add_char(&show->out.text, '\n');
    show_schema(show);
    return flush(&show->out, false, err);
}

/* How evenly keys lie over the groups that have any: a full group is what one worker cannot share. */
static void show_skew(struct show *show)
{
    struct mr_text *text = &show->out.text;
    uint32_t fullest = 0, used = 0;

    for (uint32_t g = 0; g < show->group_room; g++) {
        used += show->groups[g] > 0;
        if (show->groups[g] > show->groups[fullest]) fullest = g;
    }
    mr_text_format(text, "  %llu keys in %u key groups", (unsigned long long)show->keys, used);
    if (show->group_count != 0) mr_text_format(text, " of %u", show->group_count);
    mr_text_format(text, "; the fullest is %u with %llu, %.1f times the mean of these\n", fullest,
                   (unsigned long long)show->groups[fullest],
                   (double)show->groups[fullest] * used / (double)show->keys);
}

static void end_state(struct show *show)
{
    if (!show->in_state) return;
    show->in_state = false;
    if (show->hidden > 0) {
        mr_text_format(&show->out.text, "  ... and %llu more; --limit 0 shows all\n",
                       (unsigned long long)show->hidden);
    }
    if (show->keys > 0) show_skew(show);
    mr_text_add_char(&show->out.text, '\n');
}

static enum mr_status count_group(struct show *show, uint32_t group, struct mr_error *err)
{
    if (group >= GROUPS_MAX) return MR_OK;
    if (group >= show->group_room) {
        uint32_t room = MR_MAX(1024, show->group_room);
        uint64_t *grown;

        while (room <= group) room *= 2;
        grown = mr_realloc(show->out.report->heap, show->groups, show->group_room * sizeof *grown,
                           room * sizeof *grown);
        if (grown == NULL) return mr_error_nomem(err, "a report", room * sizeof *grown);
        memset(grown + show->group_room, 0, (room - show->group_room) * sizeof *grown);
        show->groups = grown;
        show->group_room = room;
    }
    show->groups[group]++;
    show->keys++;
    return MR_OK;
}

static void show_line(struct show *show, const char *word, const struct mr_entry *entry)
{
    struct mr_text *text = &show->out.text;

    mr_text_format(text, "  %-6s ", word);
    if (!mri_entry_is_of_instance(entry)) {
        mr_text_format(text, "group %-5u ", entry->key_group);
    } else if (entry->group_end != 0) {
        mr_text_format(text, "groups %u-%u ", entry->group_first, entry->group_end - 1);
    }
    if (entry->ns != 0) {
        mri_state_namespace_text(entry->ns, text);
        mr_text_add_char(text, ' ');
    }
    add_shown(text, &show->rendered.key);
    mr_text_add(text, " = ");
    add_shown(text, &show->rendered.value);
    mr_text_add_char(text, '\n');
}

static enum mr_status show_entry(struct show *show, const char *operator_id,
                                 const struct mr_entry *entry, struct mr_error *err)
{
    const char *word = mri_state_entry_word(operator_id, entry);
    bool full;

    if (!is_named(show->filter, operator_id, entry->state_name)) return MR_OK;
    if (!show->in_state || strcmp(show->operator_id, operator_id) != 0 ||
        strcmp(show->state_name, entry->state_name) != 0) {
        end_state(show);
        MR_RET(begin_state(show, operator_id, entry->state_name, err));
    }
    full = show->filter->limit != 0 && show->shown >= show->filter->limit;
    if (strcmp(word, "key") == 0) MR_RET(count_group(show, entry->key_group, err));
    if (full && show->filter->key == NULL) {
        show->hidden++;
        return MR_OK;
    }
    MR_RET(render(&show->rendered, &show->survey, operator_id, entry, err));
    if (!matches(show->filter->key, &show->rendered.key)) return MR_OK;
    if (full) {
        show->hidden++;
        return MR_OK;
    }
    show->shown++;
    show_line(show, word, entry);
    return flush(&show->out, false, err);
}

static void show_fini(struct show *show)
{
    survey_fini(&show->survey);
    mr_text_fini(&show->out.text);
    mr_text_fini(&show->rendered.key);
    mr_text_fini(&show->rendered.value);
    mr_free(show->out.report->heap, show->groups, show->group_room * sizeof *show->groups);
}

enum mr_status mr_report_show(const struct mr_report *report, const char *dir,
                              const struct mr_report_filter *filter, struct mr_error *err)
{
    struct show show = {.out = {.report = report}, .filter = filter};
    struct mr_snapshot *snapshot = NULL;
    enum mr_status st;

    survey_init(&show.survey, report->heap);
    mr_text_init(&show.out.text, report->heap, 0);
    mr_text_init(&show.rendered.key, report->heap, 0);
    mr_text_init(&show.rendered.value, report->heap, 0);
    MR_GOTO(survey_dir(report, dir, &show.survey, err));
    MR_GOTO(check_named(&show.survey, filter, dir, err));
    MR_GOTO(mr_snapshot_open(report->heap, report->disk, dir, report->epoch, &snapshot, err));
    show.group_count = mr_snapshot_info(snapshot)->key_group_count;
    for (;;) {
        const char *operator_id;
        struct mr_entry entry;

        MR_GOTO(mr_snapshot_next(snapshot, &operator_id, &entry, err));
        if (operator_id == NULL) break;
        MR_GOTO(show_entry(&show, operator_id, &entry, err));
    }
    end_state(&show);
    st = flush(&show.out, true, err);
done:
    mr_snapshot_close(snapshot);
    show_fini(&show);
    return st;
}

/* ---- diff ---- */

/* One of the two, with its next entry. */
struct side {
    struct mr_snapshot *snapshot;
    struct survey survey;
    const char *operator_id; /* NULL: over */
    struct mr_entry entry;
    struct mr_buffer sort_key;
    struct rendered rendered;
};

struct diff {
    struct out out;
    const struct mr_report_filter *filter;
    struct side sides[2];
    uint64_t added, removed, changed, same;
    uint64_t shown;
};

static enum mr_status side_open(struct side *side, const struct mr_report *report, const char *dir,
                                struct mr_error *err)
{
    MR_RET(survey_dir(report, dir, &side->survey, err));
    return mr_snapshot_open(report->heap, report->disk, dir, report->epoch, &side->snapshot, err);
}

static enum mr_status side_next(struct side *side, const struct mr_report_filter *filter,
                                struct mr_error *err)
{
    do {
        MR_RET(mr_snapshot_next(side->snapshot, &side->operator_id, &side->entry, err));
    } while (side->operator_id != NULL &&
             !is_named(filter, side->operator_id, side->entry.state_name));
    if (side->operator_id == NULL) return MR_OK;
    mr_buffer_clear(&side->sort_key);
    if (mri_sort_key_put(&side->sort_key, side->operator_id, &side->entry)) return MR_OK;
    return mr_error_nomem(err, "a report", side->entry.key.size_bytes);
}

static int compare_sides(const struct diff *diff)
{
    const struct side *left = &diff->sides[0], *right = &diff->sides[1];

    if (left->operator_id == NULL) return 1;
    if (right->operator_id == NULL) return -1;
    return mri_sort_key_compare(left->sort_key.data, left->sort_key.size_bytes,
                                right->sort_key.data, right->sort_key.size_bytes);
}

static bool same_value(const struct diff *diff)
{
    const struct mr_bytes *left = &diff->sides[0].entry.value, *right = &diff->sides[1].entry.value;

    return left->size_bytes == right->size_bytes &&
           (left->size_bytes == 0 || memcmp(left->data, right->data, left->size_bytes) == 0);
}

static enum mr_status diff_line(struct diff *diff, char sign, struct mr_error *err)
{
    struct side *side = &diff->sides[sign == '+' ? 1 : 0], *other = &diff->sides[1];
    struct mr_text *text = &diff->out.text;

    MR_RET(render(&side->rendered, &side->survey, side->operator_id, &side->entry, err));
    if (sign == '~') {
        MR_RET(render(&other->rendered, &other->survey, other->operator_id, &other->entry, err));
    }
    if (!matches(diff->filter->key, &side->rendered.key)) return MR_OK;
    if (sign == '+') diff->added++;
    if (sign == '-') diff->removed++;
    if (sign == '~') diff->changed++;
    if (diff->filter->limit != 0 && diff->shown >= diff->filter->limit) return MR_OK;
    diff->shown++;
    mr_text_format(text, "%c %s %s %s ", sign, side->operator_id,
                   side->entry.state_name[0] != 0 ? side->entry.state_name : "-",
                   mri_state_entry_word(side->operator_id, &side->entry));
    if (side->entry.ns != 0) {
        mri_state_namespace_text(side->entry.ns, text);
        mr_text_add_char(text, ' ');
    }
    add_shown(text, &side->rendered.key);
    mr_text_add(text, " = ");
    add_shown(text, &side->rendered.value);
    if (sign == '~') {
        mr_text_add(text, " -> ");
        add_shown(text, &other->rendered.value);
    }
    mr_text_add_char(text, '\n');
    return flush(&diff->out, false, err);
}

static enum mr_status diff_all(struct diff *diff, struct mr_error *err)
{
    MR_RET(side_next(&diff->sides[0], diff->filter, err));
    MR_RET(side_next(&diff->sides[1], diff->filter, err));
    while (diff->sides[0].operator_id != NULL || diff->sides[1].operator_id != NULL) {
        int order = compare_sides(diff);

        if (order < 0)
            MR_RET(diff_line(diff, '-', err));
        else if (order > 0)
            MR_RET(diff_line(diff, '+', err));
        else if (!same_value(diff))
            MR_RET(diff_line(diff, '~', err));
        else
            diff->same++;
        if (order <= 0) MR_RET(side_next(&diff->sides[0], diff->filter, err));
        if (order >= 0) MR_RET(side_next(&diff->sides[1], diff->filter, err));
    }
    return MR_OK;
}

static void diff_init(struct diff *diff, const struct mr_report *report)
{
    mr_text_init(&diff->out.text, report->heap, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &diff->sides[i];

        survey_init(&side->survey, report->heap);
        mr_buffer_init(&side->sort_key, report->heap);
        mr_text_init(&side->rendered.key, report->heap, 0);
        mr_text_init(&side->rendered.value, report->heap, 0);
    }
}

static void diff_fini(struct diff *diff)
{
    for (uint32_t i = 0; i < 2; i++) {
        struct side *side = &diff->sides[i];

        mr_snapshot_close(side->snapshot);
        survey_fini(&side->survey);
        mr_buffer_fini(&side->sort_key);
        mr_text_fini(&side->rendered.key);
        mr_text_fini(&side->rendered.value);
    }
    mr_text_fini(&diff->out.text);
}

enum mr_status mr_report_diff(const struct mr_report *report, const char *from, const char *to,
                              const struct mr_report_filter *filter, uint64_t *out_differences,
                              struct mr_error *err)
{
    struct diff diff = {.out = {.report = report}, .filter = filter};
    enum mr_status st;
    uint64_t differences;

    diff_init(&diff, report);
    MR_GOTO(side_open(&diff.sides[0], report, from, err));
    MR_GOTO(side_open(&diff.sides[1], report, to, err));
    MR_GOTO(diff_all(&diff, err));
    differences = diff.added + diff.removed + diff.changed;
    if (diff.shown < differences) {
        mr_text_format(&diff.out.text, "... and %llu more; --limit 0 shows all\n",
                       (unsigned long long)(differences - diff.shown));
    }
    mr_text_format(&diff.out.text, "%llu added, %llu removed, %llu changed, %llu the same\n",
                   (unsigned long long)diff.added, (unsigned long long)diff.removed,
                   (unsigned long long)diff.changed, (unsigned long long)diff.same);
    MR_GOTO(flush(&diff.out, true, err));
    *out_differences = differences;
done:
    diff_fini(&diff);
    return st;
}

/* ---- export ---- */

/* RFC 4180: quotes doubled. */
static void csv_field(struct mr_text *text, const char *data, size_t size)
{
    bool plain = size > 0;

    for (size_t i = 0; i < size && plain; i++) {
        plain = data[i] != '"' && data[i] != ',' && data[i] != '\n' && data[i] != '\r';
    }
    if (plain) {
        mr_text_add_bytes(text, data, size);
        return;
    }
    mr_text_add_char(text, '"');
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '"') mr_text_add_char(text, '"');
        mr_text_add_char(text, data[i]);
    }
    mr_text_add_char(text, '"');
}

static void csv_text(struct mr_text *text, const struct mr_text *field)
{
    mr_text_add_char(text, ',');
    csv_field(text, mr_text_get(field), field->size_bytes);
}

static void csv_row(struct mr_text *text, const char *operator_id, const struct mr_entry *entry,
                    const struct rendered *rendered)
{
    csv_field(text, operator_id, strlen(operator_id));
    mr_text_add_char(text, ',');
    csv_field(text, entry->state_name, strlen(entry->state_name));
    mr_text_format(text, ",%s,%u,%lld", mri_state_entry_word(operator_id, entry), entry->key_group,
                   (long long)entry->ns);
    csv_text(text, &rendered->key);
    csv_text(text, &rendered->value);
    mr_text_add_char(text, '\n');
}

static void json_row(struct mr_text *text, const char *operator_id, const struct mr_entry *entry,
                     const struct rendered *rendered)
{
    mr_text_add(text, "{\"operator\":");
    mr_text_add_quoted(text, operator_id, strlen(operator_id));
    mr_text_add(text, ",\"state\":");
    mr_text_add_quoted(text, entry->state_name, strlen(entry->state_name));
    mr_text_format(text, ",\"kind\":\"%s\",\"group\":%u,\"namespace\":%lld,\"key\":",
                   mri_state_entry_word(operator_id, entry), entry->key_group,
                   (long long)entry->ns);
    mr_text_add_bytes(text, mr_text_get(&rendered->key), rendered->key.size_bytes);
    mr_text_add(text, ",\"value\":");
    mr_text_add_bytes(text, mr_text_get(&rendered->value), rendered->value.size_bytes);
    mr_text_add(text, "}\n");
}

static enum mr_status export_entry(struct show *show, enum mr_report_format format,
                                   const char *operator_id, const struct mr_entry *entry,
                                   struct mr_error *err)
{
    const struct mr_report_filter *filter = show->filter;

    if (!is_named(filter, operator_id, entry->state_name)) return MR_OK;
    MR_RET(render(&show->rendered, &show->survey, operator_id, entry, err));
    if (!matches(filter->key, &show->rendered.key)) return MR_OK;
    show->shown++;
    if (format == MR_REPORT_CSV)
        csv_row(&show->out.text, operator_id, entry, &show->rendered);
    else
        json_row(&show->out.text, operator_id, entry, &show->rendered);
    return flush(&show->out, false, err);
}

enum mr_status mr_report_export(const struct mr_report *report, const char *dir,
                                const struct mr_report_filter *filter, enum mr_report_format format,
                                struct mr_error *err)
{
    struct show show = {.out = {.report = report}, .filter = filter};
    struct mr_snapshot *snapshot = NULL;
    enum mr_status st;

    survey_init(&show.survey, report->heap);
    mr_text_init(&show.out.text, report->heap, 0);
    mr_text_init(&show.rendered.key, report->heap, 0);
    mr_text_init(&show.rendered.value, report->heap, 0);
    MR_GOTO(survey_dir(report, dir, &show.survey, err));
    MR_GOTO(check_named(&show.survey, filter, dir, err));
    MR_GOTO(mr_snapshot_open(report->heap, report->disk, dir, report->epoch, &snapshot, err));
    if (format == MR_REPORT_CSV) {
        mr_text_add(&show.out.text, "operator,state,kind,key_group,namespace,key,value\n");
    }
    while (filter->limit == 0 || show.shown < filter->limit) {
        const char *operator_id;
        struct mr_entry entry;

        MR_GOTO(mr_snapshot_next(snapshot, &operator_id, &entry, err));
        if (operator_id == NULL) break;
        MR_GOTO(export_entry(&show, format, operator_id, &entry, err));
    }
    st = flush(&show.out, true, err);
done:
    mr_snapshot_close(snapshot);
    show_fini(&show);
    return st;
}

/* ---- savepoint ---- */

static enum mr_status copy_entries(struct mr_snapshot *snapshot, struct mr_savepoint_writer *writer,
                                   uint64_t *out_count, struct mr_error *err)
{
    const char *operator_id;
    struct mr_entry entry;

    for (*out_count = 0;; ++*out_count) {
        MR_RET(mr_snapshot_next(snapshot, &operator_id, &entry, err));
        if (operator_id == NULL) return MR_OK;
        MR_RET(mr_savepoint_add(writer, operator_id, &entry, err));
    }
}

enum mr_status mr_report_savepoint(const struct mr_report *report, const char *dir, const char *to,
                                   struct mr_error *err)
{
    struct mr_savepoint_options options = {.disk = report->disk, .dir = to, .sorted = true};
    struct out out = {.report = report};
    struct mr_savepoint_writer *writer = NULL;
    struct mr_snapshot *snapshot = NULL;
    uint64_t entries;
    enum mr_status st;

    mr_text_init(&out.text, report->heap, 0);
    MR_GOTO(mr_snapshot_open(report->heap, report->disk, dir, report->epoch, &snapshot, err));
    options.job_hash = mr_snapshot_info(snapshot)->job_hash;
    options.epoch = mr_snapshot_info(snapshot)->epoch;
    options.key_group_count = mr_snapshot_info(snapshot)->key_group_count;
    options.job = mr_snapshot_info(snapshot)->job;
    MR_GOTO(mr_savepoint_begin(report->heap, &options, &writer, err));
    MR_GOTO(copy_entries(snapshot, writer, &entries, err));
    MR_GOTO(mr_savepoint_finish(writer, err));
    mr_text_format(&out.text, "savepoint %s: %llu entries, the state at the end of epoch %llu\n",
                   to, (unsigned long long)entries, (unsigned long long)options.epoch);
    MR_GOTO(flush(&out, true, err));
done:
    mr_savepoint_end(writer);
    mr_snapshot_close(snapshot);
    mr_text_fini(&out.text);
    return st;
}
