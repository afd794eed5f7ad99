#include "runtime/policy.h"

#include "base/assert.h"
#include "base/status.h"
#include "base/text.h"
#include <string.h>

#define RAW_SHOWN_BYTES 160u

/* The first bytes of a record; what a terminal would not show is escaped. */
static void show_raw(struct mr_bytes raw, struct mr_text *out)
{
    size_t limit = MR_MIN(raw.size_bytes, (size_t)RAW_SHOWN_BYTES);
    struct mr_view view = mr_view_make(raw.data == NULL ? "" : raw.data, (uint32_t)limit, 0, 0);
    struct mr_column text = {.type = MR_BINARY, .values = &view, .buffers = &raw.data, .buffer_count = 1};

    mr_value_print(&text, 0, MR_FORMAT_TABLE, out);
    if (raw.size_bytes > limit) mr_text_add(out, "...");
}

static enum mr_status fail_record(struct mr_heap *heap, const struct mr_reject *reject,
                                  const char *operator_id, enum mr_status status,
                                  struct mr_error *err)
{
    struct mr_text text;

    mr_text_init(&text, heap, MR_ERROR_TEXT_BYTES);
    if (reject->line > 0) {
        mr_text_format(&text, "%s:%llu:", reject->split->name, (unsigned long long)reject->line);
    } else {
        mr_text_format(&text, "%s at byte %llu:", reject->split->name,
                       (unsigned long long)reject->offset_bytes);
    }
    if (operator_id != NULL) mr_text_format(&text, " operator '%s':", operator_id);
    if (reject->column > 0) mr_text_format(&text, " column %u", reject->column);
    if (reject->column_name != NULL) mr_text_format(&text, " (%s)", reject->column_name);
    if (reject->column > 0) mr_text_add_char(&text, ':');
    mr_text_format(&text, " %s\n  record: ", reject->reason);
    show_raw(reject->raw, &text);
    mr_text_add(&text, "\n  to go on without such records: --on-error skip, or "
                       "--on-error dead-letter=PATH to keep them");
    mr_error_set(err, status, "%s", mr_text_get(&text));
    mr_text_fini(&text);
    return status;
}

/* Line and text by reading again; what cannot be found stays as it is. */
static void locate(struct mr_policy *policy, const struct mr_input *input,
                   const struct mr_split *split, uint64_t offset_bytes, uint64_t row,
                   struct mr_arena *arena, struct mr_reject *inout)
{
    struct mr_plan_context context = {.heap = policy->heap};
    struct mr_reject found = {.split = split};
    struct mr_error ignored;

    if (input->ops->locate == NULL) return;
    context.disk = policy->port->disk_create(policy->port->self, policy->heap);
    if (context.disk == NULL) return;
    if (input->ops->locate(input->spec, &context, split, offset_bytes, row, arena, &found,
                           &ignored) == MR_OK) {
        inout->line = found.line;
        inout->offset_bytes = found.offset_bytes;
        inout->raw = found.raw;
    }
    policy->port->disk_destroy(policy->port->self, context.disk);
}

static enum mr_status decide(struct mr_policy *policy, const struct mr_reject *reject,
                             const char *operator_id, enum mr_status status,
                             struct mr_counters *counters, struct mr_error *err)
{
    if (policy->on_error == MR_ON_ERROR_FAIL) {
        return fail_record(policy->heap, reject, operator_id, status, err);
    }
    if (policy->on_error == MR_ON_ERROR_DEAD_LETTER) {
        MR_RET(mr_dead_letter_add(policy->letters, reject, err));
    }
    mr_counter_add(counters, MR_COUNTER_ROWS_REJECTED, 1);
    return MR_OK;
}

enum mr_status mr_policy_reject(void *self, const struct mr_reject *reject, struct mr_error *err)
{
    struct mr_policy_reader *reader = self;
    struct mr_policy *policy = reader->policy;
    struct mr_reject full = *reject;
    struct mr_arena arena;
    enum mr_status st;

    mr_arena_init(&arena, policy->heap);
    if (full.line == 0 && policy->on_error != MR_ON_ERROR_SKIP) {
        struct mr_bytes raw = full.raw;
        locate(policy, reader->input, full.split, full.offset_bytes, 0, &arena, &full);
        full.raw = raw;
    }
    st = decide(policy, &full, NULL, MR_E_RECORD, reader->counters, err);
    /* It was read: rows in = what went on + what was rejected. */
    mr_counter_add(reader->counters, MR_COUNTER_ROWS_IN, 1);
    mr_arena_fini(&arena);
    return st;
}

/* The input that can say where a row of the batch is from; NULL: none. */
static struct mr_input *find_input(struct mr_policy *policy, const struct mr_batch *batch)
{
    if (!batch->origin.known) return NULL;
    for (uint32_t i = 0; i < policy->input_count; i++) {
        struct mr_input *input = &policy->inputs[i];
        if (input->node->ordinal != batch->origin.source_id) continue;
        return input->ops->locate != NULL ? input : NULL;
    }
    return NULL;
}

/* Values of a row for messages: "origin=EWR, delay=12". */
static void print_row(const struct mr_operator *op, const struct mr_batch *batch, uint32_t row,
                      struct mr_text *out)
{
    const struct mr_schema *schema = op->plan->input;
    uint32_t element = mr_batch_at(batch, row);

    for (uint32_t c = 0; c < batch->column_count && c < 16; c++) {
        if (!mr_column_valid(&batch->columns[c], element) && c >= 8) continue;
        if (c > 0) mr_text_add(out, ", ");
        if (schema != NULL && c < schema->column_count) {
            mr_text_add(out, schema->fields[c].name);
            mr_text_add_char(out, '=');
        }
        mr_value_print(&batch->columns[c], element, MR_FORMAT_TABLE, out);
    }
}

enum mr_status mr_policy_bad_row(void *self, struct mr_operator *op, const struct mr_batch *batch,
                                 uint32_t row, const struct mr_error *why, struct mr_error *err)
{
    struct mr_policy *policy = self;
    struct mr_input *input = find_input(policy, batch);
    struct mr_split nowhere = {.name = op->plan->node->id};
    struct mr_reject reject = {.split = &nowhere, .reason = why->text};
    struct mr_arena arena;
    struct mr_text values;
    enum mr_status status = why->status == MR_OK ? MR_E_EVALUATE : why->status;
    enum mr_status st;

    if (policy->on_error == MR_ON_ERROR_SKIP) {
        mr_counter_add(op->task->counters, MR_COUNTER_ROWS_REJECTED, 1);
        return MR_OK;
    }
    mr_arena_init(&arena, policy->heap);
    mr_text_init(&values, policy->heap, 1024);
    print_row(op, batch, row, &values);
    reject.raw = (struct mr_bytes){mr_text_get(&values), strlen(mr_text_get(&values))};
    if (input != NULL && batch->origin.split < input->splits.count) {
        uint64_t k = batch->origin_rows != NULL ? batch->origin_rows[row] : row;
        reject.split = &input->splits.splits[batch->origin.split];
        reject.offset_bytes = batch->origin.offset_bytes;
        locate(policy, input, reject.split, batch->origin.offset_bytes, k, &arena, &reject);
        st = decide(policy, &reject, op->plan->node->id, status, op->task->counters, err);
    } else if (policy->on_error == MR_ON_ERROR_FAIL) {
        st = mr_error_set(err, status,
                          "operator '%s': %s\n  row: %s\n"
                          "  to go on without such rows: --on-error skip",
                          op->plan->node->id, why->text, mr_text_get(&values));
    } else {
        st = decide(policy, &reject, op->plan->node->id, status, op->task->counters, err);
    }
    mr_text_fini(&values);
    mr_arena_fini(&arena);
    return st;
}
