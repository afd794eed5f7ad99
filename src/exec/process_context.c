/* process_context.c - <millrace/process.h> for functions: contexts, records, states, timers. */
#include "base/assert.h"
#include "exec/emitter_internal.h"
#include "exec/process_internal.h"

/* ---- life ---- */

static int64_t wall_clock(void *self)
{
    const struct mr_task_context *task = self;

    return task->port->clock.wall(task->port->clock.self).us;
}

/* Results of aggregates go through a cell of an emitter that emits nothing. */
static enum mr_status make_result(struct mr_process_context *context, uint32_t state,
                                  struct mr_error *err)
{
    const struct mr_state *spec = &context->plan->node->u.process.states[state];
    struct mr_heap *heap = context->task->heap;
    struct mr_emitter_options options;

    MR_RET(mr_schema_create(heap, spec->fields, 1, &context->result_schemas[state], err));
    options = (struct mr_emitter_options){.operator_id = context->plan->node->id,
                                          .heap = heap,
                                          .output_count = 1,
                                          .schemas = &context->result_schemas[state],
                                          .batch_rows = 1};
    return mr_emitter_create(&options, &context->results[state], err);
}

enum mr_status mri_context_init(struct mr_process_context *context, struct mr_task_context *task,
                                const struct mr_plan_op *plan, struct mr_error *err)
{
    const struct mr_node *node = plan->node;
    struct mr_user_states_options options = {.operator_id = node->id,
                                             .key_group_count = task->key_group_count,
                                             .group_first = task->group_first,
                                             .group_end = task->group_end,
                                             .keys = plan->key_fields,
                                             .key_count = plan->key_count,
                                             .states = node->u.process.states,
                                             .state_count = node->u.process.state_count,
                                             .track_changes = task->track_changes,
                                             .now = wall_clock,
                                             .now_self = task};

    context->task = task;
    context->plan = plan;
    mri_watermarks_init(&context->watermarks, task);
    context->key_batch.row_count = 1;
    context->key_batch.column_count = plan->key_count;
    context->key_batch.columns = context->key_columns;
    context->key_row.batch = &context->key_batch;
    for (uint32_t i = 0; i < node->u.process.state_count; i++) {
        if (node->u.process.states[i].kind == MR_STATE_AGGREGATING) {
            MR_RET(make_result(context, i, err));
        }
    }
    return mr_user_states_create(task->heap, &options, &context->states, err);
}

void mri_context_fini(struct mr_process_context *context)
{
    for (uint32_t i = 0; i < MR_PROCESS_STATES_MAX; i++) {
        mr_emitter_destroy(context->results[i]);
        mr_schema_release(context->result_schemas[i]);
    }
    mri_watermarks_fini(&context->watermarks);
    mr_user_states_destroy(context->states);
}

void mri_context_begin(struct mr_process_context *context)
{
    context->key_known = false;
}

/* ---- where we are ---- */

int64_t mr_context_watermark(struct mr_process_context *context)
{
    const struct mri_group_watermarks *marks = &context->watermarks;

    if (marks->groups == NULL || !mr_user_states_has_key(context->states)) return marks->now_us;
    return mri_watermarks_of(marks, mr_user_states_group(context->states));
}

int64_t mr_context_now(struct mr_process_context *context)
{
    return mr_user_states_now(context->states);
}

const struct mr_row *mr_context_key(struct mr_process_context *context)
{
    if (!mr_user_states_has_key(context->states)) return NULL;
    if (!context->key_known) mr_user_states_key(context->states, context->key_columns);
    context->key_known = true;
    return &context->key_row;
}

void mr_context_at(struct mr_process_context *context, uint32_t row)
{
    int64_t time;

    if (context->rows == NULL || row >= context->rows->row_count) {
        mr_user_states_misuse(context->states,
                              context->rows == NULL
                                  ? "mr_context_at is for batch functions"
                                  : "mr_context_at: there is no row number %u in this batch",
                              row);
        return;
    }
    time = mr_batch_event_time(context->rows, row);
    mr_user_states_at_row(context->states, row);
    mr_user_states_set_event_time(context->states, time, context->watermarks.now_us);
    mr_emitter_set_time(context->emitter, time);
    context->key_known = false;
}

void mr_context_set_namespace(struct mr_process_context *context, int64_t name_space)
{
    mr_user_states_set_namespace(context->states, name_space);
}

uint32_t mr_context_instance(struct mr_process_context *context, uint32_t *out_count)
{
    *out_count = context->task->instance_count;
    return context->task->instance;
}

/* ---- records ---- */

static struct mr_record own(struct mr_process_context *context, struct mr_record record)
{
    record.context = context;
    return record;
}

static struct mr_datum get(const struct mr_record *record, uint32_t field)
{
    if (record->data == NULL) return (struct mr_datum){.kind = MR_DATUM_NULL};
    return mr_user_get(record->context->states, record, field);
}

bool mr_record_is_null(const struct mr_record *record, uint32_t field)
{
    return record->data == NULL || mr_user_is_null(record->context->states, record, field);
}

int64_t mr_record_int64(const struct mr_record *record, uint32_t field)
{
    struct mr_datum datum = get(record, field);

    return datum.kind == MR_DATUM_INT64 ? datum.u.int64 : 0;
}

double mr_record_float64(const struct mr_record *record, uint32_t field)
{
    struct mr_datum datum = get(record, field);

    return datum.kind == MR_DATUM_FLOAT64 ? datum.u.float64 : 0.0;
}

struct mr_int128 mr_record_decimal(const struct mr_record *record, uint32_t field)
{
    struct mr_datum datum = get(record, field);

    return datum.kind == MR_DATUM_DECIMAL ? datum.u.decimal : (struct mr_int128){0, 0};
}

struct mr_bytes mr_record_bytes(const struct mr_record *record, uint32_t field)
{
    struct mr_datum datum = get(record, field);

    return datum.kind == MR_DATUM_BYTES ? datum.u.bytes : (struct mr_bytes){NULL, 0};
}

static void set(struct mr_record *record, uint32_t field, const struct mr_datum *value)
{
    if (record->data != NULL) mr_user_set(record->context->states, record, field, value);
}

void mr_record_set_null(struct mr_record *record, uint32_t field)
{
    set(record, field, &(struct mr_datum){.kind = MR_DATUM_NULL});
}

void mr_record_set_int64(struct mr_record *record, uint32_t field, int64_t value)
{
    set(record, field, &(struct mr_datum){.kind = MR_DATUM_INT64, .u.int64 = value});
}

void mr_record_set_float64(struct mr_record *record, uint32_t field, double value)
{
    set(record, field, &(struct mr_datum){.kind = MR_DATUM_FLOAT64, .u.float64 = value});
}

void mr_record_set_decimal(struct mr_record *record, uint32_t field, struct mr_int128 value)
{
    set(record, field, &(struct mr_datum){.kind = MR_DATUM_DECIMAL, .u.decimal = value});
}

void mr_record_set_bytes(struct mr_record *record, uint32_t field, const char *data,
                         size_t size_bytes)
{
    set(record, field, &(struct mr_datum){.kind = MR_DATUM_BYTES, .u.bytes = {data, size_bytes}});
}

int64_t mr_record_time(const struct mr_record *record)
{
    return record->data == NULL ? MR_TIME_MIN : mr_user_time(record->context->states, record);
}

struct mr_datum mr_record_key(const struct mr_record *record, uint32_t key)
{
    if (record->data == NULL) return (struct mr_datum){.kind = MR_DATUM_NULL};
    return mr_user_key(record->context->states, record, key);
}

/* ---- states ---- */

void mr_state_clear(struct mr_process_context *context, uint32_t state)
{
    mr_user_clear(context->states, state);
}

uint64_t mr_state_count(struct mr_process_context *context, uint32_t state)
{
    return mr_user_count(context->states, state);
}

struct mr_record mr_value_find(struct mr_process_context *context, uint32_t state)
{
    return own(context, mr_user_value(context->states, state, false));
}

struct mr_record mr_value_make(struct mr_process_context *context, uint32_t state)
{
    return own(context, mr_user_value(context->states, state, true));
}

struct mr_record mr_list_append(struct mr_process_context *context, uint32_t state)
{
    return own(context, mr_user_append(context->states, state));
}

struct mr_record mr_map_find(struct mr_process_context *context, uint32_t state,
                             const struct mr_datum *key)
{
    bool is_new;

    return own(context, mr_user_element(context->states, state, false, key, MR_USER_FIND, &is_new));
}

struct mr_record mr_map_make(struct mr_process_context *context, uint32_t state,
                             const struct mr_datum *key)
{
    bool is_new;

    return own(context, mr_user_element(context->states, state, false, key, MR_USER_MAKE, &is_new));
}

bool mr_map_remove(struct mr_process_context *context, uint32_t state, const struct mr_datum *key)
{
    return mr_user_remove(context->states, state, false, key);
}

bool mr_set_has(struct mr_process_context *context, uint32_t state, const struct mr_datum *key)
{
    bool is_new;

    return mr_user_element(context->states, state, true, key, MR_USER_FIND, &is_new).data != NULL;
}

bool mr_set_add(struct mr_process_context *context, uint32_t state, const struct mr_datum *key)
{
    bool is_new;

    (void)mr_user_element(context->states, state, true, key, MR_USER_MAKE, &is_new);
    return is_new;
}

bool mr_set_remove(struct mr_process_context *context, uint32_t state, const struct mr_datum *key)
{
    return mr_user_remove(context->states, state, true, key);
}

struct mr_record mr_ordered_add(struct mr_process_context *context, uint32_t state, int64_t time_us)
{
    return own(context, mr_user_add_at(context->states, state, time_us));
}

uint64_t mr_ordered_remove(struct mr_process_context *context, uint32_t state, int64_t first_us,
                           int64_t end_us)
{
    return mr_user_remove_range(context->states, state, first_us, end_us);
}

struct mr_iterator mr_state_iterate(struct mr_process_context *context, uint32_t state)
{
    struct mr_iterator it = mr_user_iterate(context->states, state);

    it.context = context;
    return it;
}

struct mr_iterator mr_ordered_iterate(struct mr_process_context *context, uint32_t state,
                                      int64_t first_us, int64_t end_us)
{
    struct mr_iterator it = mr_user_iterate_range(context->states, state, first_us, end_us);

    it.context = context;
    return it;
}

bool mr_iterator_next(struct mr_iterator *iterator, struct mr_record *out)
{
    *out = (struct mr_record){.context = iterator->context};
    if (!mr_user_next(iterator->context->states, iterator, out)) return false;
    out->context = iterator->context;
    return true;
}

void mr_iterator_remove(struct mr_iterator *iterator)
{
    mr_user_iterator_remove(iterator->context->states, iterator);
}

enum mr_status mr_state_prepare(struct mr_process_context *context, uint32_t state,
                                struct mr_state_array *out)
{
    memset(out, 0, sizeof *out);
    if (context->rows == NULL) {
        mr_user_states_misuse(context->states, "mr_state_prepare is for batch functions");
        return MR_E_INVALID;
    }
    mr_user_states_set_event_time(context->states, MR_TIME_MIN, context->watermarks.now_us);
    if (mr_user_prepare(context->states, state, mr_batch_times(context->rows), out)) return MR_OK;
    return MR_E_INVALID; /* why is remembered */
}

/* ---- aggregates ---- */

static const struct mr_state *aggregating(struct mr_process_context *context, uint32_t state)
{
    return &context->plan->node->u.process.states[state];
}

enum mr_status mr_aggregating_add(struct mr_process_context *context, uint32_t state,
                                  const struct mr_row *row)
{
    void *accumulator = mr_user_accumulator(context->states, state, true);
    const struct mr_state *spec;

    if (accumulator == NULL) return MR_E_INVALID; /* why is remembered */
    spec = aggregating(context, state);
    return spec->aggregate->add(spec->aggregate_user, accumulator, row);
}

static void cell_to_datum(const struct mr_emitter *result, struct mr_datum *out)
{
    const struct mri_cell *cell = &result->cells[0];

    switch (cell->kind) {
    case MRI_CELL_UNSET: break;
    case MRI_CELL_INT64: *out = mr_datum_int64(cell->u.int64); break;
    case MRI_CELL_FLOAT64:
        out->kind = MR_DATUM_FLOAT64;
        out->u.float64 = cell->u.float64;
        break;
    case MRI_CELL_INT128:
        out->kind = MR_DATUM_DECIMAL;
        out->u.decimal.low = (uint64_t)(mr_u128)cell->u.int128;
        out->u.decimal.high = (int64_t)(uint64_t)((mr_u128)cell->u.int128 >> 64);
        break;
    case MRI_CELL_BYTES: /* the emitter's text keeps its memory until the next result */
        *out = mr_datum_bytes(result->text.data + cell->u.bytes.at, cell->u.bytes.size_bytes);
        break;
    }
}

enum mr_status mr_aggregating_result(struct mr_process_context *context, uint32_t state,
                                     struct mr_datum *out)
{
    const void *accumulator = mr_user_accumulator(context->states, state, false);
    struct mr_emitter *result;
    const struct mr_state *spec;
    enum mr_status st;
    struct mr_error why;
    bool fatal;

    *out = (struct mr_datum){.kind = MR_DATUM_NULL};
    if (accumulator == NULL) return MR_OK;
    spec = aggregating(context, state);
    result = context->results[state];
    st = spec->aggregate->result(spec->aggregate_user, accumulator, result);
    if (st == MR_OK) cell_to_datum(result, out);
    st = mr_emitter_judge(result, st, &fatal, &why);
    if (st == MR_OK) return MR_OK;
    *out = (struct mr_datum){.kind = MR_DATUM_NULL};
    if (fatal) mr_user_states_misuse(context->states, "state '%s': %s", spec->name, why.text);
    return mr_emitter_fail(context->emitter, "state '%s': %s", spec->name, why.text);
}

/* ---- timers ---- */

static bool timers_possible(struct mr_process_context *context)
{
    if (context->plan->node->u.process.timer != NULL) return true;
    mr_user_states_misuse(context->states, "mr_timer_set: there is no on_timer to be called back");
    return false;
}

static enum mr_time_domain domain_of(enum mr_timer_clock clock)
{
    return clock == MR_TIMER_EVENT_TIME ? MR_EVENT_TIME : MR_PROCESSING_TIME;
}

static void set_timer(struct mr_process_context *context, enum mr_timer_clock clock,
                      int64_t time_us, uint32_t tag, int64_t output_us)
{
    if (!timers_possible(context)) return;
    if (context->over && clock == MR_TIMER_PROCESSING_TIME) return; /* it would never come */
    mr_user_timer_set(context->states, domain_of(clock), time_us, tag, output_us);
}

void mr_timer_set(struct mr_process_context *context, enum mr_timer_clock clock, int64_t time_us,
                  uint32_t tag)
{
    set_timer(context, clock, time_us, tag, MR_TIME_MAX);
}

void mr_timer_set_holding(struct mr_process_context *context, enum mr_timer_clock clock,
                          int64_t time_us, uint32_t tag, int64_t output_time_us)
{
    set_timer(context, clock, time_us, tag, output_time_us);
}

void mr_timer_clear(struct mr_process_context *context, enum mr_timer_clock clock, uint32_t tag)
{
    mr_user_timer_clear(context->states, domain_of(clock), tag);
}
