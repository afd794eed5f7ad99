/* sim_timers.c - a process function that counts by hand what tumbling windows count: state by key and
 * bucket, a timer at the end of each bucket. Its results depend on the input alone as long as no
 * row is late. */
#include "sim_timers.h"

#include "sim_world.h"
#include <millrace/process.h>

enum { STATE_SUMS, STATE_VALUES, STATES };
enum { SUMS_N, SUMS_SUM };

static const struct mr_field sums_fields[] = {{.name = "n", .type = MR_INT64},
                                              {.name = "sum", .type = MR_INT64}};
static const struct mr_field value_key[] = {{.name = "value", .type = MR_INT64}};
static const struct mr_state states[STATES] = {
    [STATE_SUMS] = {.name = "sums", .kind = MR_STATE_VALUE, .fields = sums_fields, .field_count = 2},
    [STATE_VALUES] = {.name = "values", .kind = MR_STATE_SET, .keys = value_key, .key_count = 1},
};
static const struct mr_field out_fields[] = {{.name = "start", .type = MR_INT64},
                                             {.name = "key", .type = MR_INT64},
                                             {.name = "n", .type = MR_INT64},
                                             {.name = "sum", .type = MR_INT64},
                                             {.name = "values", .type = MR_INT64}};

static enum mr_status count_row(void *user, struct mr_process_context *context,
                                const struct mr_row *row, struct mr_emitter *out)
{
    const struct sim_world *world = user;
    int64_t ts = mr_row_int64(row, SIM_COLUMN_TS), value = mr_row_int64(row, SIM_COLUMN_VALUE);
    int64_t start = ts - ts % world->knobs.window_us;
    struct mr_datum datum = mr_datum_int64(value);
    struct mr_record sums;

    (void)out;
    mr_context_set_namespace(context, start);
    sums = mr_value_make(context, STATE_SUMS);
    mr_record_set_int64(&sums, SUMS_N, mr_record_int64(&sums, SUMS_N) + 1);
    mr_record_set_int64(&sums, SUMS_SUM, mr_record_int64(&sums, SUMS_SUM) + value);
    (void)mr_set_add(context, STATE_VALUES, &datum);
    mr_timer_set(context, MR_TIMER_EVENT_TIME, start + world->knobs.window_us, 0);
    return MR_OK;
}

static enum mr_status bucket_ends(void *user, struct mr_process_context *context,
                                  const struct mr_fired_timer *timer, struct mr_emitter *out)
{
    struct mr_record sums = mr_value_find(context, STATE_SUMS);

    (void)user;
    mr_emit_int64(out, 0, timer->name_space);
    mr_emit_int64(out, 1, mr_row_int64(mr_context_key(context), 0));
    mr_emit_int64(out, 2, mr_record_int64(&sums, SUMS_N));
    mr_emit_int64(out, 3, mr_record_int64(&sums, SUMS_SUM));
    mr_emit_int64(out, 4, (int64_t)mr_state_count(context, STATE_VALUES));
    mr_state_clear(context, STATE_SUMS);
    mr_state_clear(context, STATE_VALUES);
    return mr_emit_row(out);
}

struct mr_stream *sim_timers(struct sim_world *world, struct mr_stream *keyed)
{
    const struct mr_process_options options = {.size = sizeof options,
                                               .id = "buckets",
                                               .fields = out_fields,
                                               .field_count = MR_COUNT(out_fields),
                                               .states = states,
                                               .state_count = STATES,
                                               .on_timer = bucket_ends};

    return mr_process_rows(keyed, count_row, world, &options);
}
