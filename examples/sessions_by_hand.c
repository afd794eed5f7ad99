/* sessions_by_hand.c - the rotations of rotations.c without session windows: a process function.
 *
 * Flights leave late and so come out of order. The function keeps the departures of each aircraft
 * in an ordered list. A timer looks at them when the watermark has passed the earliest time at
 * which a rotation can be over, shows the rotations that are, and forgets them. The result is that of
 * rotations.c, byte for byte.
 */
#include <millrace/millrace.h>

enum column { TAILNUM, ORIGIN, DEST, TIME_HOUR, MINUTE, DEP_DELAY, AIR_TIME, DISTANCE, COLUMNS };

static const struct mr_field columns[COLUMNS] = {
    {.name = "tailnum", .type = MR_UTF8},
    {.name = "origin", .type = MR_UTF8},
    {.name = "dest", .type = MR_UTF8},
    {.name = "time_hour", .type = MR_TIMESTAMP_LTZ}, /* scheduled hour */
    {.name = "minute", .type = MR_INT64},            /* scheduled minute */
    {.name = "dep_delay", .type = MR_INT64},         /* minutes; null: cancelled */
    {.name = "air_time", .type = MR_INT64},          /* minutes */
    {.name = "distance", .type = MR_INT64},          /* miles */
};

/* ---- what is remembered of an aircraft ---- */

enum state { DEPARTURES, NEXT_LOOK, STATES };

enum departure_field { ABOUT_ORIGIN, ABOUT_DEST, ABOUT_AIR_TIME, ABOUT_DISTANCE };
static const struct mr_field departure_fields[] = {
    {.name = "origin", .type = MR_UTF8},
    {.name = "dest", .type = MR_UTF8},
    {.name = "air_time", .type = MR_INT64},
    {.name = "distance", .type = MR_INT64},
};
static const struct mr_field look_fields[] = {{.name = "at", .type = MR_TIMESTAMP_LTZ}};

static const struct mr_state states[STATES] = {
    [DEPARTURES] = {.name = "departures",
                    .kind = MR_STATE_ORDERED_LIST,
                    .fields = departure_fields,
                    .field_count = 4},
    [NEXT_LOOK] = {.name = "next-look",
                   .kind = MR_STATE_VALUE,
                   .fields = look_fields,
                   .field_count = 1},
};

/* ---- what is shown of a rotation ---- */

enum shown {
    SHOWN_TAILNUM,
    SHOWN_DEPARTURES,
    SHOWN_FIRST,
    SHOWN_LAST,
    SHOWN_AIR_MINUTES,
    SHOWN_MILES,
    SHOWN_ORIGIN,
    SHOWN_DEST,
    SHOWN
};
static const struct mr_field shown_fields[SHOWN] = {
    {.name = "tailnum", .type = MR_UTF8},
    {.name = "departures", .type = MR_INT64},
    {.name = "first_departure", .type = MR_TIMESTAMP_LTZ},
    {.name = "last_departure", .type = MR_TIMESTAMP_LTZ},
    {.name = "air_minutes", .type = MR_INT64},
    {.name = "miles", .type = MR_INT64},
    {.name = "first_origin", .type = MR_UTF8},
    {.name = "last_dest", .type = MR_UTF8},
};

struct settings {
    int64_t gap_us;
};

/* The next look, unless an earlier one is planned. */
static void look_at(struct mr_process_context *context, int64_t time_us)
{
    struct mr_record next = mr_value_make(context, NEXT_LOOK);

    if (!mr_record_is_null(&next, 0) && mr_record_int64(&next, 0) <= time_us) return;
    mr_record_set_int64(&next, 0, time_us);
    mr_timer_set(context, MR_TIMER_EVENT_TIME, time_us, 0);
}

static enum mr_status departs(void *user, struct mr_process_context *context,
                              const struct mr_row *row, struct mr_emitter *out)
{
    const struct settings *settings = user;
    struct mr_record departure = mr_ordered_add(context, DEPARTURES, mr_row_time(row));
    struct mr_bytes origin = mr_row_bytes(row, ORIGIN);
    struct mr_bytes dest = mr_row_bytes(row, DEST);

    (void)out;
    mr_record_set_bytes(&departure, ABOUT_ORIGIN, origin.data, origin.size_bytes);
    mr_record_set_bytes(&departure, ABOUT_DEST, dest.data, dest.size_bytes);
    if (!mr_row_is_null(row, AIR_TIME)) {
        mr_record_set_int64(&departure, ABOUT_AIR_TIME, mr_row_int64(row, AIR_TIME));
    }
    mr_record_set_int64(&departure, ABOUT_DISTANCE, mr_row_int64(row, DISTANCE));
    look_at(context, mr_row_time(row) + settings->gap_us);
    return MR_OK;
}

struct rotation {
    int64_t count, first_us, last_us, air_minutes, miles;
    bool any_air_minutes; /* the sum of nothing is null */
};

/* The first rotation of the list: departures less than a gap apart. False: there is none. */
static bool first_rotation(struct mr_process_context *context, int64_t gap_us, struct rotation *out)
{
    struct mr_iterator it = mr_state_iterate(context, DEPARTURES);
    struct mr_record departure;

    *out = (struct rotation){.count = 0};
    while (mr_iterator_next(&it, &departure)) {
        int64_t time = mr_record_time(&departure);

        if (out->count > 0 && time - out->last_us >= gap_us) break;
        if (out->count++ == 0) out->first_us = time;
        out->last_us = time;
        out->any_air_minutes |= !mr_record_is_null(&departure, ABOUT_AIR_TIME);
        out->air_minutes += mr_record_int64(&departure, ABOUT_AIR_TIME);
        out->miles += mr_record_int64(&departure, ABOUT_DISTANCE);
    }
    return out->count > 0;
}

static void emit_end(struct mr_process_context *context, int64_t time_us, bool first, int field,
                     struct mr_emitter *out, uint32_t column)
{
    struct mr_iterator it = mr_ordered_iterate(context, DEPARTURES, time_us, time_us + 1);
    struct mr_record departure, chosen;
    struct mr_bytes text;
    bool found = false;

    while (mr_iterator_next(&it, &departure)) {
        if (found && first) continue;
        chosen = departure;
        found = true;
    }
    if (!found) return;
    text = mr_record_bytes(&chosen, (uint32_t)field);
    mr_emit_bytes(out, column, text.data, text.size_bytes);
}

static enum mr_status show_rotation(struct mr_process_context *context,
                                    const struct rotation *rotation, struct mr_emitter *out)
{
    struct mr_bytes tailnum = mr_row_bytes(mr_context_key(context), 0);

    mr_emit_bytes(out, SHOWN_TAILNUM, tailnum.data, tailnum.size_bytes);
    mr_emit_int64(out, SHOWN_DEPARTURES, rotation->count);
    mr_emit_int64(out, SHOWN_FIRST, rotation->first_us);
    mr_emit_int64(out, SHOWN_LAST, rotation->last_us);
    if (rotation->any_air_minutes) mr_emit_int64(out, SHOWN_AIR_MINUTES, rotation->air_minutes);
    mr_emit_int64(out, SHOWN_MILES, rotation->miles);
    emit_end(context, rotation->first_us, true, ABOUT_ORIGIN, out, SHOWN_ORIGIN);
    emit_end(context, rotation->last_us, false, ABOUT_DEST, out, SHOWN_DEST);
    return mr_emit_row(out);
}

/* Shows the rotations that are over: no departure that belongs to them can still come. */
static enum mr_status look(void *user, struct mr_process_context *context,
                           const struct mr_fired_timer *timer, struct mr_emitter *out)
{
    const struct settings *settings = user;
    struct rotation rotation;

    (void)timer;
    mr_state_clear(context, NEXT_LOOK);
    while (first_rotation(context, settings->gap_us, &rotation)) {
        enum mr_status st;

        if (rotation.last_us + settings->gap_us > mr_context_watermark(context)) {
            look_at(context, rotation.last_us + settings->gap_us);
            return MR_OK;
        }
        st = show_rotation(context, &rotation, out);
        if (st != MR_OK) return st;
        (void)mr_ordered_remove(context, DEPARTURES, rotation.first_us, rotation.last_us + 1);
    }
    return MR_OK;
}

/* ---- the job ---- */

static struct mr_stream *read_flights(struct mr_job *job, const struct mr_arguments *arguments)
{
    static const char *const nulls[] = {"NA"};
    struct mr_read_csv_options options = {
        .size = sizeof options,
        .path = mr_input_path(arguments),
        .fields = columns,
        .field_count = COLUMNS,
        .null_literals = nulls,
        .null_literal_count = 1,
        .rate = mr_input_rate(arguments),
    };

    return mr_read_csv(job, &options);
}

/* When it really left: scheduled hour, plus minutes, plus delay. */
static struct mr_expr *departure(struct mr_job *job)
{
    struct mr_expr *minutes = mr_call2(job, "+", mr_col(job, "minute"), mr_col(job, "dep_delay"));

    return mr_call2(job, "+", mr_col(job, "time_hour"),
                    mr_call2(job, "*", minutes, mr_interval(job, MR_MINUTE)));
}

static void build(struct mr_job *job, const struct mr_arguments *arguments)
{
    static struct settings settings; /* read by all instances */
    const struct mr_process_options options = {.size = sizeof options,
                                               .id = "rotations",
                                               .fields = shown_fields,
                                               .field_count = SHOWN,
                                               .states = states,
                                               .state_count = STATES,
                                               .on_timer = look};
    const struct mr_sort_key order[] = {
        {.expr = mr_col(job, "departures"), .descending = true},
        {.expr = mr_col(job, "air_minutes"), .descending = true},
        {.expr = mr_col(job, "tailnum")},
    };
    const char *const keys[] = {"tailnum"};
    struct mr_stream *flown = read_flights(job, arguments);

    settings.gap_us = mr_argument_number(arguments, "gap");
    flown =
        mr_filter(flown, mr_call2(job, "and", mr_call1(job, "is not null", mr_col(job, "tailnum")),
                                  mr_call1(job, "is not null", mr_col(job, "dep_delay"))));
    flown = mr_assign_event_time(flown, departure(job),
                                 mr_argument_number(arguments, "watermark-delay"), 0);
    flown = mr_process_rows(mr_key_by_columns(flown, keys, 1), departs, &settings, &options);
    if (mr_argument_flag(arguments, "all")) {
        mr_write_output(flown, arguments);
    } else {
        mr_write_output(mr_top(flown, order, 3, (uint64_t)mr_argument_number(arguments, "top")),
                        arguments);
    }
}

int main(int argc, char **argv)
{
    static const struct mr_command_option options[] = {
        {.name = "gap",
         .kind = MR_OPTION_DURATION,
         .argument = "DURATION",
         .help = "a pause of so long ends a rotation",
         .default_text = "12h"},
        {.name = "top",
         .kind = MR_OPTION_NUMBER,
         .argument = "N",
         .help = "how many rotations to show",
         .default_text = "20"},
        {.name = "all",
         .kind = MR_OPTION_FLAG,
         .help = "every rotation, as soon as it is over, instead of the longest ones"},
    };
    static const struct mr_command command = {
        .size = sizeof command,
        .name = "sessions_by_hand",
        .summary = "Shows the aircraft that left New York most often without a long pause, like "
                   "rotations, but with a process function: keyed state and timers.",
        .example = "bin/examples/sessions_by_hand --input examples/data/flights-2013-01.csv.gz",
        .needs_input = true,
        .watermark_delay = "24h",
        .options = options,
        .option_count = 3,
    };

    return mr_command_run(&command, build, argc, argv);
}
