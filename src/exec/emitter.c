/* emitter.c - see emitter.h: groups of outputs, the row form, the queue. The array form is in
 * emitter_array.c. */
#include "exec/emitter_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define COPY_ROWS 256u /* per call, when overflow batches are copied */

/* ---- life ---- */

static enum mr_status init_output(struct mr_emitter *emitter, struct mri_emitter_group *group,
                                  uint32_t output, struct mr_error *err)
{
    struct mr_heap *heap = group->options.heap;
    uint32_t columns = group->options.schemas[output]->column_count;

    emitter->group = group;
    emitter->output = output;
    emitter->schema = group->options.schemas[output];
    mr_buffer_init(&emitter->text, heap);
    emitter->cells = mr_alloc_array(heap, columns, sizeof *emitter->cells);
    if (emitter->cells == NULL) {
        return mr_error_nomem(err, group->options.operator_id, columns * sizeof *emitter->cells);
    }
    return MR_OK;
}

enum mr_status mr_emitter_create(const struct mr_emitter_options *options, struct mr_emitter **out,
                                 struct mr_error *err)
{
    enum mr_status st = MR_OK;
    size_t bytes =
        sizeof(struct mri_emitter_group) + options->output_count * sizeof(struct mr_emitter);
    struct mri_emitter_group *group = mr_alloc_zero(options->heap, bytes);

    mr_assert(options->output_count > 0 && options->batch_rows > 0);
    mr_assert(options->batch_rows <= MR_BATCH_ROWS_MAX);
    if (group == NULL) return mr_error_nomem(err, options->operator_id, bytes);
    group->options = *options;
    group->default_time_us = MR_TIME_MIN;
    group->options.hidden_mask &= ~(1u << MR_HIDDEN_TRACKING);
    for (uint32_t i = 0; i < options->output_count; i++) {
        group->created = i + 1;
        MR_GOTO(init_output(&group->outputs[i], group, i, err));
    }
    *out = &group->outputs[0];
done:
    if (st != MR_OK) mr_emitter_destroy(&group->outputs[0]);
    return st;
}

static void fini_output(struct mr_emitter *emitter)
{
    struct mr_heap *heap = emitter->group->options.heap;
    uint32_t columns = emitter->schema->column_count;

    mri_array_drop(emitter);
    if (emitter->builder != NULL) mr_builder_destroy(emitter->builder);
    if (emitter->overflow != NULL) mr_builder_destroy(emitter->overflow);
    if (emitter->leaving != NULL) mr_builder_destroy(emitter->leaving);
    mr_free(heap, emitter->origin_rows,
            emitter->group->options.batch_rows * sizeof *emitter->origin_rows);
    mr_free(heap, emitter->sources, columns * sizeof *emitter->sources);
    mr_free(heap, emitter->dummy, emitter->dummy_bytes);
    mr_buffer_fini(&emitter->text);
    mr_free(heap, emitter->cells, columns * sizeof *emitter->cells);
}

void mr_emitter_destroy(struct mr_emitter *emitter)
{
    struct mri_emitter_group *group;
    struct mr_heap *heap;

    if (emitter == NULL) return;
    group = emitter->group;
    heap = group->options.heap;
    while (group->first != NULL) {
        struct mri_emitted *next = group->first->next;

        mr_batch_release(group->first->batch);
        mr_free(heap, group->first, sizeof *group->first);
        group->first = next;
    }
    for (uint32_t i = 0; i < group->created; i++) fini_output(&group->outputs[i]);
    if (group->overflow_pool != NULL) mr_pool_destroy(group->overflow_pool);
    mr_free(heap, group, sizeof *group + group->options.output_count * sizeof(struct mr_emitter));
}

void mr_emitter_begin(struct mr_emitter *emitter, struct mr_batch *input, uint32_t row)
{
    struct mri_emitter_group *group = emitter->group;

    mr_assert(input != NULL || row == MR_EMITTER_NO_ROW);
    group->input = input;
    group->row = row;
    group->default_time_us = MR_TIME_MIN;
}

void mr_emitter_set_time(struct mr_emitter *emitter, int64_t time_us)
{
    emitter->group->default_time_us = time_us;
}

struct mr_emitter *mr_emitter_side(struct mr_emitter *out, uint32_t output)
{
    struct mri_emitter_group *group = out->group;

    if (output >= group->options.output_count) {
        mri_misuse(out, "there is no output number %u: the operator has %u, counted from 0", output,
                   group->options.output_count);
        return &group->outputs[0];
    }
    return &group->outputs[output];
}

/* ---- failures ---- */

enum mr_status mri_fail(struct mr_emitter *emitter, enum mr_status status, const char *text)
{
    struct mri_emitter_group *group = emitter->group;

    if (group->failure == MR_OK) {
        group->failure = status;
        (void)mr_error_set(&group->error, status, "%s", text);
    }
    return group->failure;
}

enum mr_status mri_misuse(struct mr_emitter *emitter, const char *format, ...)
{
    char text[MR_ERROR_TEXT_BYTES / 2];
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0) text[0] = '\0';
    va_end(args);
    return mri_fail(emitter, MR_E_INVALID, text);
}

/* A value that the function could not know to be wrong: the row's fault, not the program's. */
void mri_unfit(struct mr_emitter *emitter, enum mr_status status, const char *format, ...)
{
    char text[MR_ERROR_TEXT_BYTES / 2];
    va_list args;

    va_start(args, format);
    if (vsnprintf(text, sizeof text, format, args) < 0) text[0] = '\0';
    va_end(args);
    (void)mri_fail(emitter, status, text);
}

static enum mr_status no_memory(struct mr_emitter *emitter)
{
    return mri_fail(emitter, MR_E_NOMEM,
                    "what the function emits needs more memory than there is; raise --memory, or "
                    "emit less per call");
}

/* Says it for whoever may have been refused: the heap, or the overflow pool over it. */
enum mr_status mri_no_memory(struct mr_emitter *emitter)
{
    return no_memory(emitter);
}

enum mr_status mr_emitter_fail(struct mr_emitter *out, const char *format, ...)
{
    struct mri_emitter_group *group = out->group;
    va_list args;

    va_start(args, format);
    if (vsnprintf(group->story, sizeof group->story, format, args) < 0) group->story[0] = '\0';
    va_end(args);
    group->failed = true;
    return MR_E_USER_FUNCTION;
}

static void forget_cells(struct mr_emitter *emitter)
{
    if (emitter->cells_set) {
        memset(emitter->cells, 0, emitter->schema->column_count * sizeof *emitter->cells);
    }
    emitter->cells_set = false;
    emitter->time_set = false;
    emitter->text.size_bytes = 0;
}

/* Misuse, lack of memory, or a value that does not fit. */
static enum mr_status tell_failure(const struct mri_emitter_group *group, bool fatal,
                                   struct mr_error *err)
{
    const struct mr_emitter_options *options = &group->options;

    if (options->of_source) {
        return mr_error_set(err, group->failure, "source '%s', partition %u: %s",
                            options->operator_id, options->partition, group->error.text);
    }
    if (!fatal) return mr_error_set(err, group->failure, "%s", group->error.text);
    return mr_error_set(err, group->failure, "operator '%s': %s", options->operator_id,
                        group->error.text);
}

/* What the function itself reports. */
static enum mr_status tell_answer(const struct mri_emitter_group *group, enum mr_status answer,
                                  struct mr_error *err)
{
    const struct mr_emitter_options *options = &group->options;
    const char *why = group->story[0] != '\0' ? group->story : mr_status_text(answer);

    if (options->of_source) {
        return mr_error_set(err, answer, "source '%s': read of partition %u failed: %s",
                            options->operator_id, options->partition, why);
    }
    return mr_error_set(err, answer, "the function failed: %s", why);
}

enum mr_status mr_emitter_judge(struct mr_emitter *emitter, enum mr_status answer, bool *out_fatal,
                                struct mr_error *err)
{
    struct mri_emitter_group *group = emitter->group;
    enum mr_status st = MR_OK;

    if (answer == MR_OK && group->failed) answer = MR_E_USER_FUNCTION; /* said, not returned */
    for (uint32_t i = 0; i < group->options.output_count; i++) {
        struct mr_emitter *output = &group->outputs[i];

        if (output->open_rows > 0 && answer == MR_OK) {
            mri_misuse(output, "mr_emit_open without mr_emit_close");
        }
        output->open_rows = 0;
        forget_cells(output);
    }
    *out_fatal = group->failure == MR_E_INVALID || group->failure == MR_E_NOMEM;
    if (group->failure != MR_OK) {
        st = tell_failure(group, *out_fatal, err);
    } else if (answer != MR_OK) {
        st = tell_answer(group, answer, err);
    }
    group->failure = MR_OK;
    group->failed = false;
    group->story[0] = '\0';
    return st;
}

/* ---- the queue ---- */

/* Takes the batch over, also on failure. */
enum mr_status mri_enqueue(struct mr_emitter *emitter, struct mr_batch *batch, bool overflow)
{
    struct mri_emitter_group *group = emitter->group;
    struct mri_emitted *node;

    if (batch == NULL) return MR_OK;
    node = mr_alloc(group->options.heap, sizeof *node);
    if (node == NULL) {
        mr_batch_release(batch);
        return no_memory(emitter);
    }
    *node = (struct mri_emitted){.batch = batch, .output = emitter->output, .overflow = overflow};
    emitter->overflow_queued += overflow;
    if (group->last != NULL) {
        group->last->next = node;
    } else {
        group->first = node;
    }
    group->last = node;
    return MR_OK;
}

static void dequeue(struct mri_emitter_group *group, struct mri_emitted *node)
{
    struct mri_emitted **link = &group->first;

    while (*link != node) link = &(*link)->next;
    *link = node->next;
    if (group->last == node) {
        group->last = group->first;
        while (group->last != NULL && group->last->next != NULL) group->last = group->last->next;
    }
    group->outputs[node->output].overflow_queued -= node->overflow;
    mr_batch_release(node->batch);
    mr_free(group->options.heap, node, sizeof *node);
}

/* A batch that can leave although the first one of the queue cannot: it is in the quota already,
 * and nothing for the same output waits before it (1). */
static struct mri_emitted *find_overtaker(const struct mri_emitter_group *group)
{
    uint64_t seen = 0;

    for (struct mri_emitted *node = group->first; node != NULL; node = node->next) {
        if (!node->overflow && (seen >> node->output & 1) == 0) return node;
        seen |= UINT64_C(1) << node->output;
    }
    return NULL;
}

uint64_t mr_emitter_rows(const struct mr_emitter *emitter)
{
    return emitter->group->emitted_rows;
}

bool mr_emitter_pending(const struct mr_emitter *emitter)
{
    return emitter->group->first != NULL;
}

/* Rows from `first` on of `from` became the rows of `to`. */
static void copy_origin(struct mr_batch *to, const struct mr_batch *from, uint32_t first)
{
    size_t bytes = to->row_count * sizeof(uint32_t);
    uint32_t *rows;

    to->origin.split = from->origin.split;
    if (!from->origin.known) return;
    rows = mr_batch_memory(to, bytes);
    if (rows == NULL) return; /* unknown: only messages get shorter */
    for (uint32_t i = 0; i < to->row_count; i++) {
        rows[i] = from->origin_rows != NULL ? from->origin_rows[first + i] : first + i;
    }
    to->origin = from->origin;
    to->origin_rows = rows;
}

/* Copies rows of an overflow batch into a batch of the quota, as many as it takes. */
static enum mr_status copy_out(struct mr_emitter *emitter, struct mr_batch *from,
                               struct mr_batch **out, struct mr_error *err)
{
    struct mri_emitter_group *group = emitter->group;
    const struct mr_emitter_options *options = &group->options;
    uint32_t first = group->leaving_at;
    enum mr_build build = MR_BUILD_OK;

    *out = NULL;
    if (emitter->leaving == NULL) {
        MR_RET(mr_builder_create(options->heap, emitter->schema, options->hidden_mask,
                                 options->batch_rows, options->quota, &emitter->leaving, err));
    }
    while (group->leaving_at < from->row_count && build == MR_BUILD_OK) {
        uint32_t rows[COPY_ROWS];
        uint32_t count = MR_MIN(from->row_count - group->leaving_at, COPY_ROWS);
        uint32_t done = 0;

        for (uint32_t i = 0; i < count; i++) rows[i] = group->leaving_at + i;
        build = mr_builder_append(emitter->leaving, from, rows, count, &done);
        group->leaving_at += done;
    }
    if (build == MR_BUILD_TOO_LARGE) {
        return mr_error_set(err, MR_E_LIMIT, "operator '%s': an emitted row is too large",
                            options->operator_id);
    }
    *out = mr_builder_take(emitter->leaving);
    if (*out != NULL) copy_origin(*out, from, first);
    return MR_OK;
}

static enum mr_status blocked(struct mr_emitter *emitter, enum mr_flow *out_flow,
                              struct mr_error *err)
{
    const struct mri_emitter_group *group = emitter->group;
    size_t wanted = mri_array_bytes(emitter, group->options.batch_rows);

    if (mri_can_wait(group->options.quota, group->input, wanted)) {
        *out_flow = MR_FLOW_BLOCKED;
        return MR_OK;
    }
    return mr_error_set(err, MR_E_NOMEM,
                        "operator '%s': no memory for a batch of emitted rows (room for batches: "
                        "%zu bytes); raise --memory or lower --workers",
                        group->options.operator_id, group->options.quota->limit_bytes);
}

static enum mr_status publish_all(struct mri_emitter_group *group)
{
    for (uint32_t i = 0; i < group->options.output_count; i++) {
        (void)mri_builder_publish(&group->outputs[i]);
        (void)mri_array_publish(&group->outputs[i]);
    }
    return group->failure;
}

/* The first batch of the queue lies in overflow memory: a part of it, or something else that may go
 * first, because what this emitter itself holds of the quota would be waited for in vain. */
static enum mr_status take_overflow(struct mri_emitter_group *group, struct mri_emitted **out_node,
                                    struct mr_batch **out, struct mr_error *err)
{
    struct mri_emitted *node = group->first;

    *out_node = node;
    MR_RET(copy_out(&group->outputs[node->output], node->batch, out, err));
    if (*out != NULL) {
        if (group->leaving_at < node->batch->row_count) return MR_OK;
        group->leaving_at = 0;
        dequeue(group, node);
        return MR_OK;
    }
    mr_builder_destroy(group->outputs[node->output].leaving);
    group->outputs[node->output].leaving = NULL;
    if (publish_all(group) != MR_OK) {
        return mr_error_nomem(err, group->options.operator_id, sizeof *node);
    }
    *out_node = find_overtaker(group);
    return MR_OK;
}

enum mr_status mr_emitter_take(struct mr_emitter *emitter, uint32_t *out_output,
                               struct mr_batch **out, enum mr_flow *out_flow, struct mr_error *err)
{
    struct mri_emitter_group *group = emitter->group;
    struct mri_emitted *node = group->first;
    uint32_t output;

    *out_flow = MR_FLOW_NEED_INPUT;
    *out = NULL;
    if (node == NULL) return MR_OK;
    output = node->output;
    if (node->overflow) MR_RET(take_overflow(group, &node, out, err));
    if (*out == NULL) {
        if (node == NULL) return blocked(&group->outputs[output], out_flow, err);
        output = node->output;
        *out = node->batch;
        node->batch = NULL;
        dequeue(group, node);
    }
    *out_output = output;
    *out_flow = MR_FLOW_HAVE_OUTPUT;
    return MR_OK;
}

/* ---- batches made row by row ---- */

struct mr_quota *mri_overflow_quota(struct mr_emitter *emitter)
{
    struct mri_emitter_group *group = emitter->group;
    size_t limit = SIZE_MAX / 4; /* the heap is the limit */

    if (group->overflow_pool != NULL) return &group->overflow_quota;
    if (mr_pool_create(group->options.heap, limit, &group->overflow_pool, NULL) != MR_OK) {
        return NULL;
    }
    mr_quota_init(&group->overflow_quota, group->overflow_pool, group->options.operator_id, limit);
    return &group->overflow_quota;
}

/* Writes down that row number `at` of the batch being built came from the row at hand. */
bool mri_note_origin(struct mr_emitter *emitter, uint32_t at, uint32_t count)
{
    struct mri_emitter_group *group = emitter->group;
    const struct mr_batch *input = group->input;
    uint32_t source;

    if (input == NULL || group->row == MR_EMITTER_NO_ROW || !input->origin.known) return true;
    if (emitter->origin_rows == NULL) {
        emitter->origin_rows = mr_alloc_array(group->options.heap, group->options.batch_rows,
                                              sizeof *emitter->origin_rows);
        if (emitter->origin_rows == NULL) return false;
    }
    source = input->origin_rows != NULL ? input->origin_rows[group->row] : group->row;
    for (uint32_t i = 0; i < count; i++) emitter->origin_rows[at + i] = source;
    return true;
}

/* Gives a finished batch the origin that was written down. */
void mri_set_origin(struct mr_emitter *emitter, struct mr_batch *batch)
{
    const struct mri_emitter_group *group = emitter->group;
    size_t bytes = batch->row_count * sizeof(uint32_t);
    uint32_t *rows;

    if (group->input == NULL) return;
    batch->origin.split = group->input->origin.split; /* its watermark counts, mapped or not */
    if (group->row == MR_EMITTER_NO_ROW) return;
    if (!group->input->origin.known || emitter->origin_rows == NULL) return;
    rows = mr_batch_memory(batch, bytes);
    if (rows == NULL) return; /* unknown: only messages get shorter */
    memcpy(rows, emitter->origin_rows, bytes);
    batch->origin = group->input->origin;
    batch->origin_rows = rows;
}

static struct mr_builder **current_builder(struct mr_emitter *emitter)
{
    return emitter->in_overflow ? &emitter->overflow : &emitter->builder;
}

/* Where the next batch is made. Nothing in the quota may wait behind an overflow batch of the same
 * output: that one would wait for its memory. */
static void choose_builder(struct mr_emitter *emitter, bool quota_refused)
{
    struct mr_builder *builder = *current_builder(emitter);

    if (builder != NULL && mr_builder_rows(builder) > 0) return;
    emitter->in_overflow = quota_refused || emitter->overflow_queued > 0;
}

/* What the builder has becomes a batch of the queue. */
enum mr_status mri_builder_publish(struct mr_emitter *emitter)
{
    struct mr_builder *builder = *current_builder(emitter);
    bool overflow = emitter->in_overflow;
    struct mr_batch *batch;

    if (builder == NULL || mr_builder_rows(builder) == 0) return MR_OK;
    batch = mr_builder_take(builder);
    mri_set_origin(emitter, batch);
    return mri_enqueue(emitter, batch, overflow);
}

static enum mr_status builder_open(struct mr_emitter *emitter, struct mr_builder **out)
{
    const struct mr_emitter_options *options = &emitter->group->options;
    struct mr_builder **builder = current_builder(emitter);
    struct mr_quota *quota = emitter->in_overflow ? mri_overflow_quota(emitter) : options->quota;

    if (*builder == NULL) {
        if (quota == NULL) return no_memory(emitter);
        if (mr_builder_create(options->heap, emitter->schema, options->hidden_mask,
                              options->batch_rows, quota, builder, NULL) != MR_OK) {
            return no_memory(emitter);
        }
    }
    *out = *builder;
    return MR_OK;
}

static enum mr_build set_cell(struct mr_builder *builder, uint32_t column,
                              const struct mri_cell *cell, const char *text)
{
    switch (cell->kind) {
    case MRI_CELL_UNSET: mr_builder_set_null(builder, column); break;
    case MRI_CELL_INT64: mr_builder_set_int64(builder, column, cell->u.int64); break;
    case MRI_CELL_FLOAT64: mr_builder_set_float64(builder, column, cell->u.float64); break;
    case MRI_CELL_INT128: mr_builder_set_int128(builder, column, cell->u.int128); break;
    case MRI_CELL_BYTES:
        return mr_builder_set_bytes(builder, column, text + cell->u.bytes.at,
                                    cell->u.bytes.size_bytes);
    }
    return MR_BUILD_OK;
}

int64_t mri_emitted_hidden(const struct mr_emitter *emitter, enum mr_hidden tag)
{
    const struct mri_emitter_group *group = emitter->group;

    if (tag == MR_HIDDEN_EVENT_TIME && emitter->time_set) return emitter->time_us;
    if (tag == MR_HIDDEN_EVENT_TIME && group->default_time_us != MR_TIME_MIN) {
        return group->default_time_us;
    }
    if (group->input == NULL || group->row == MR_EMITTER_NO_ROW) return mr_hidden_default(tag);
    return mri_hidden_value(group->input, tag, group->row);
}

/* Tries to add the cells as a row. */
static enum mr_build write_row(struct mr_emitter *emitter, struct mr_builder *builder)
{
    uint32_t mask = emitter->group->options.hidden_mask;
    enum mr_build build = mr_builder_begin_row(builder);

    if (build != MR_BUILD_OK) return build;
    for (uint32_t c = 0; c < emitter->schema->column_count; c++) {
        build = set_cell(builder, c, &emitter->cells[c], emitter->text.data);
        if (build != MR_BUILD_OK) {
            mr_builder_abandon_row(builder);
            return build;
        }
    }
    for (uint32_t tag = 0; tag < MR_HIDDEN_COUNT; tag++) {
        if ((mask >> tag & 1) == 0) continue;
        mr_builder_set_hidden(builder, (enum mr_hidden)tag,
                              mri_emitted_hidden(emitter, (enum mr_hidden)tag));
    }
    mr_builder_commit_row(builder);
    return MR_BUILD_OK;
}

static enum mr_status emit_cells(struct mr_emitter *emitter)
{
    uint32_t batch_rows = emitter->group->options.batch_rows;
    bool quota_refused = false;

    for (;;) {
        struct mr_builder *builder = NULL;
        enum mr_build build;

        choose_builder(emitter, quota_refused);
        MR_RET(builder_open(emitter, &builder));
        if (!mri_note_origin(emitter, mr_builder_rows(builder), 1)) return no_memory(emitter);
        build = write_row(emitter, builder);
        switch (build) {
        case MR_BUILD_OK:
            emitter->group->emitted_rows++;
            if (mr_builder_rows(builder) < batch_rows) return MR_OK;
            return mri_builder_publish(emitter);
        case MR_BUILD_FULL: MR_RET(mri_builder_publish(emitter)); break;
        case MR_BUILD_BLOCKED:
            if (emitter->in_overflow) return no_memory(emitter);
            quota_refused = true;
            break;
        case MR_BUILD_TOO_LARGE:
            return mri_fail(emitter, MR_E_LIMIT,
                            "an emitted row does not fit a batch; raise --memory, or emit shorter "
                            "values");
        }
    }
}

enum mr_status mr_emitter_flush(struct mr_emitter *emitter, struct mr_error *err)
{
    struct mri_emitter_group *group = emitter->group;
    bool fatal;

    (void)publish_all(group);
    group->input = NULL;
    group->row = MR_EMITTER_NO_ROW;
    return mr_emitter_judge(emitter, MR_OK, &fatal, err);
}

/* ---- row form ---- */

/* The cell for a value of one of `layouts`, or NULL after remembering the misuse. */
static struct mri_cell *cell_for(struct mr_emitter *emitter, uint32_t column, uint32_t layouts,
                                 const char *what)
{
    const struct mr_field *field;

    if (column >= emitter->schema->column_count) {
        mri_misuse(emitter, "there is no column number %u: the output has %u, counted from 0",
                   column, emitter->schema->column_count);
        return NULL;
    }
    field = &emitter->schema->fields[column];
    if ((layouts >> mr_type_layout(field->type) & 1) == 0) {
        mri_misuse(emitter, "column %u ('%s') is %s: %s cannot set it", column, field->name,
                   mr_type_name(field->type), what);
        return NULL;
    }
    emitter->cells_set = true;
    return &emitter->cells[column];
}

#define BIT(layout) (1u << MR_LAYOUT_##layout)

void mr_emit_null(struct mr_emitter *out, uint32_t column)
{
    struct mri_cell *cell = cell_for(out, column, UINT32_MAX, "");

    if (cell != NULL) cell->kind = MRI_CELL_UNSET;
}

/* Bits of the narrower integer layouts; 64 for the others. */
static uint32_t integer_bits(enum mr_type type)
{
    switch ((int)mr_type_layout(type)) {
    case MR_LAYOUT_BIT: return 1;
    case MR_LAYOUT_I8: return 8;
    case MR_LAYOUT_I16: return 16;
    case MR_LAYOUT_I32: return 32;
    default: return 64;
    }
}

static bool fits_bits(int64_t value, uint32_t bits)
{
    if (bits == 1) return value == 0 || value == 1;
    if (bits == 64) return true;
    return value >= -(INT64_C(1) << (bits - 1)) && value < INT64_C(1) << (bits - 1);
}

void mr_emit_int64(struct mr_emitter *out, uint32_t column, int64_t value)
{
    struct mri_cell *cell =
        cell_for(out, column, BIT(BIT) | BIT(I8) | BIT(I16) | BIT(I32) | BIT(I64), "mr_emit_int64");
    const struct mr_field *field;

    if (cell == NULL) return;
    field = &out->schema->fields[column];
    if (!fits_bits(value, integer_bits(field->type))) {
        mri_unfit(out, MR_E_OVERFLOW, "column %u ('%s') is %s: %lld does not fit", column,
                  field->name, mr_type_name(field->type), (long long)value);
        return;
    }
    cell->kind = MRI_CELL_INT64;
    cell->u.int64 = value;
}

void mr_emit_float64(struct mr_emitter *out, uint32_t column, double value)
{
    struct mri_cell *cell = cell_for(out, column, BIT(F32) | BIT(F64), "mr_emit_float64");

    if (cell == NULL) return;
    cell->kind = MRI_CELL_FLOAT64;
    cell->u.float64 = value;
}

static bool fits_digits(mr_i128 value, uint32_t digits)
{
    mr_u128 magnitude = value < 0 ? -(mr_u128)value : (mr_u128)value;
    mr_u128 limit = 1;

    for (mr_u128 power = 10; digits > 0; digits >>= 1, power *= power) {
        if ((digits & 1) != 0) limit *= power;
    }
    return magnitude < limit;
}

void mr_emit_decimal(struct mr_emitter *out, uint32_t column, struct mr_int128 value)
{
    struct mri_cell *cell = cell_for(out, column, BIT(I128), "mr_emit_decimal");
    mr_i128 number = (mr_i128)((mr_u128)(uint64_t)value.high << 64 | value.low);
    const struct mr_field *field;

    if (cell == NULL) return;
    field = &out->schema->fields[column];
    if (!fits_digits(number, field->precision)) {
        mri_unfit(out, MR_E_OVERFLOW,
                  "column %u ('%s') is decimal(%u,%u): the value has more than %u digits", column,
                  field->name, field->precision, field->scale, field->precision);
        return;
    }
    cell->kind = MRI_CELL_INT128;
    cell->u.int128 = number;
}

void mr_emit_bytes(struct mr_emitter *out, uint32_t column, const char *data, size_t size_bytes)
{
    struct mri_cell *cell = cell_for(out, column, BIT(VIEW), "mr_emit_bytes");
    size_t at = out->text.size_bytes;

    if (cell == NULL) return;
    if (size_bytes > MR_TEXT_BYTES_MAX) {
        mri_unfit(out, MR_E_LIMIT,
                  "column %u ('%s'): a value of %zu bytes is too long: %zu bytes is the most",
                  column, out->schema->fields[column].name, size_bytes, (size_t)MR_TEXT_BYTES_MAX);
        return;
    }
    if (out->schema->fields[column].type == MR_UTF8 && !mri_is_utf8(data, size_bytes)) {
        mri_unfit(out, MR_E_RECORD,
                  "column %u ('%s') is utf8, the bytes given are not; declare it "
                  "binary",
                  column, out->schema->fields[column].name);
        return;
    }
    if (size_bytes > 0 && !mr_buffer_put(&out->text, data, size_bytes)) {
        (void)no_memory(out);
        return;
    }
    cell->kind = MRI_CELL_BYTES;
    cell->u.bytes.at = at;
    cell->u.bytes.size_bytes = size_bytes;
}

void mr_emit_time(struct mr_emitter *out, int64_t event_time_us)
{
    if (event_time_us <= MR_TIME_MIN || event_time_us >= MR_TIME_MAX) {
        mri_unfit(out, MR_E_RECORD, "event time %lld is out of range", (long long)event_time_us);
        return;
    }
    out->time_us = event_time_us;
    out->time_set = true;
}

static void check_not_null(struct mr_emitter *emitter)
{
    for (uint32_t c = 0; c < emitter->schema->column_count; c++) {
        const struct mr_field *field = &emitter->schema->fields[c];

        if (field->not_null && emitter->cells[c].kind == MRI_CELL_UNSET) {
            mri_misuse(emitter, "column %u ('%s') is declared not null and was not set", c,
                       field->name);
        }
    }
}

/* Only while one row is worked on there is a time to go by. */
static void check_time(struct mr_emitter *emitter)
{
    const struct mri_emitter_group *group = emitter->group;

    if ((group->options.hidden_mask >> MR_HIDDEN_EVENT_TIME & 1) == 0 || emitter->time_set) return;
    if (group->input != NULL && group->row != MR_EMITTER_NO_ROW) return;
    if (group->default_time_us != MR_TIME_MIN) return;
    mri_misuse(emitter, "the stream has event times: call mr_emit_time before mr_emit_row");
}

enum mr_status mr_emit_row(struct mr_emitter *out)
{
    struct mri_emitter_group *group = out->group;
    enum mr_status st;

    if (out->open_rows > 0) mri_misuse(out, "mr_emit_row between mr_emit_open and mr_emit_close");
    if (group->options.quota == NULL)
        mri_misuse(out, "mr_emit_row is not for results of aggregates");
    check_not_null(out);
    check_time(out);
    st = group->failure;
    if (st == MR_OK) st = mri_array_publish(out); /* (1): rows keep their order */
    if (st == MR_OK) st = emit_cells(out);
    forget_cells(out);
    return st;
}

enum mr_build mr_emitter_cell_to_row(struct mr_emitter *emitter, uint32_t column,
                                     struct mr_builder *builder, uint32_t builder_column)
{
    enum mr_build build =
        set_cell(builder, builder_column, &emitter->cells[column], emitter->text.data);

    if (build == MR_BUILD_OK) emitter->cells[column].kind = MRI_CELL_UNSET;
    return build;
}
