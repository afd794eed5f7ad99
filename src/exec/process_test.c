/* Process functions between a hand that puts and one that holds: state, timers, snapshots. */
#include "base/hash.h"
#include "base/prng.h"
#include "exec/exec_test_helper.h"

#include <stdlib.h>

/* ---- the bench: columns k (the key) and v ---- */

static const struct mr_field key_field[] = {{.name = "k", .type = MR_INT64}};
static const uint32_t straight[] = {0, 1};
static int64_t wall_us;

static struct mr_ptime wall(void *self)
{
    (void)self;
    return (struct mr_ptime){wall_us};
}

static void open_process(struct xt *t, const char *output, const struct mr_state *states,
                         uint32_t state_count)
{
    xt_open(t, MR_PLAN_PROCESS, "k int64, v int64", output);
    t->node.kind = MR_NODE_PROCESS;
    t->node.u.process.states = states;
    t->node.u.process.state_count = state_count;
    t->plan.key_count = 1;
    t->plan.key_fields = (struct mr_field *)(uintptr_t)key_field;
    t->plan.column_map = straight;
    t->plan.function_columns = 2;
    t->plan.output_hidden = 1u << MR_HIDDEN_EVENT_TIME;
    t->task.track_changes = true;
    t->port.clock.wall = wall;
    t->print_hidden = 1u << MR_HIDDEN_EVENT_TIME;
    wall_us = 1000;
}

/* One row with an event time. */
static void put_row(struct xt *t, int64_t key, int64_t value, int64_t time_us)
{
    char text[64];
    struct mr_batch *batch;

    (void)snprintf(text, sizeof text, "%lld|%lld\n", (long long)key, (long long)value);
    batch = mr_data_batch(&t->data.quota, t->plan.input, text);
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, &time_us);
    xt_batch(t, batch);
}

static void expect(struct xt *t, const char *text)
{
    MR_EXPECT_OK(t->status, &t->err);
    MR_EXPECT_EQ_STR(xt_text(t), text);
    xt_clear(t);
}

/* ---- a running count and sum ---- */

static const struct mr_field totals_fields[] = {{.name = "count", .type = MR_INT64},
                                                {.name = "sum", .type = MR_INT64}};
static const struct mr_state totals[] = {
    {.name = "totals", .kind = MR_STATE_VALUE, .fields = totals_fields, .field_count = 2}};

static enum mr_status count_row(void *user, struct mr_process_context *context,
                                const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_record record = mr_value_make(context, 0);

    (void)user;
    if (mr_row_int64(row, 1) < 0) return mr_emitter_fail(out, "a negative value");
    mr_record_set_int64(&record, 0, mr_record_int64(&record, 0) + 1);
    mr_record_set_int64(&record, 1, mr_record_int64(&record, 1) + mr_row_int64(row, 1));
    mr_emit_int64(out, 0, mr_row_int64(mr_context_key(context), 0));
    mr_emit_int64(out, 1, mr_record_int64(&record, 0));
    mr_emit_int64(out, 2, mr_record_int64(&record, 1));
    return mr_emit_row(out);
}

static enum mr_status count_batch(void *user, struct mr_process_context *context,
                                  const struct mr_batch *batch, struct mr_emitter *out)
{
    const int64_t *keys = mr_batch_int64s(batch, 0);
    const int64_t *values = mr_batch_int64s(batch, 1);
    struct mr_state_array array;
    enum mr_status st = mr_state_prepare(context, 0, &array);

    (void)user;
    if (st != MR_OK) return st;
    for (uint32_t i = 0; i < mr_batch_rows(batch); i++) {
        int64_t *count = mr_array_int64(&array, i, 0);
        int64_t *sum = mr_array_int64(&array, i, 1);

        *count += 1;
        *sum += values[i];
        mr_emit_int64(out, 0, keys[i]);
        mr_emit_int64(out, 1, *count);
        mr_emit_int64(out, 2, *sum);
        mr_emit_time(out, mr_batch_times(batch)[i]);
        st = mr_emit_row(out);
        if (st != MR_OK) return st;
    }
    return MR_OK;
}

MR_TEST(process, every_key_has_a_record_of_its_own_and_a_failing_row_goes_to_the_policy)
{
    struct xt t;

    open_process(&t, "k int64, n int64, s int64", totals, 1);
    t.node.u.process.row = count_row;
    xt_begin(&t);
    put_row(&t, 1, 10, 5);
    put_row(&t, 2, 1, 6);
    put_row(&t, 1, -7, 7);
    put_row(&t, 1, 5, 8);
    MR_EXPECT_CONTAINS(xt_bad(&t), "a negative value");
    expect(&t, "1|1|10|5\n2|1|1|6\n1|2|15|8\n");
    xt_end(&t);
    xt_close(&t);
}

static void random_rows(struct xt *t, uint64_t seed, uint32_t rows)
{
    struct mr_prng prng;
    char *text = malloc((size_t)rows * 48);
    int64_t times[64];
    size_t size = 0;
    struct mr_batch *batch;

    MR_EXPECT(rows <= 64);
    mr_prng_init(&prng, seed, 1);
    for (uint32_t i = 0; i < rows; i++) {
        times[i] = (int64_t)mr_prng_below(&prng, 1000);
        size += (size_t)sprintf(text + size, "%d|%d\n", (int)mr_prng_below(&prng, 9),
                                (int)mr_prng_below(&prng, 100));
    }
    batch = mr_data_batch(&t->data.quota, t->plan.input, text);
    mr_data_hide(batch, MR_HIDDEN_EVENT_TIME, times);
    xt_batch(t, batch);
    free(text);
}

MR_TEST(process, a_batch_function_says_what_the_row_function_says)
{
    struct xt rows, batches;

    open_process(&rows, "k int64, n int64, s int64", totals, 1);
    open_process(&batches, "k int64, n int64, s int64", totals, 1);
    rows.node.u.process.row = count_row;
    batches.node.u.process.batch = count_batch;
    xt_begin(&rows);
    xt_begin(&batches);
    for (uint64_t seed = 1; seed < 40; seed++) {
        random_rows(&rows, seed, 1 + (uint32_t)seed);
        random_rows(&batches, seed, 1 + (uint32_t)seed);
    }
    MR_EXPECT_OK(batches.status, &batches.err);
    MR_EXPECT(strlen(xt_text(&rows)) > 5000);
    MR_EXPECT_EQ_STR(xt_text(&batches), xt_text(&rows));
    xt_end(&rows);
    xt_end(&batches);
    xt_close(&rows);
    xt_close(&batches);
}

/* ---- timers: v says what to do ---- */

enum { SET_AT = 1000, SET_HOLDING = 2000, CLEAR = 3000, SET_PROCESSING = 4000, CHAIN = 50000 };

/* 1000 + t: an event-time timer at t, tag t mod 10. 2000 + t: the same, holding at t - 50.
 * 3000 + n: clears tag n. 4000 + t: processing time t. 50000 + t: tag 7 at t, which sets itself again. */
static enum mr_status timer_row(void *user, struct mr_process_context *context,
                                const struct mr_row *row, struct mr_emitter *out)
{
    int64_t v = mr_row_int64(row, 1);

    (void)user, (void)out;
    if (v >= CHAIN) {
        mr_timer_set(context, MR_TIMER_EVENT_TIME, v - CHAIN, 7);
    } else if (v >= SET_PROCESSING) {
        mr_timer_set(context, MR_TIMER_PROCESSING_TIME, v - SET_PROCESSING, 0);
    } else if (v >= CLEAR) {
        mr_timer_clear(context, MR_TIMER_EVENT_TIME, (uint32_t)(v - CLEAR));
    } else if (v >= SET_HOLDING) {
        v -= SET_HOLDING;
        mr_timer_set_holding(context, MR_TIMER_EVENT_TIME, v, (uint32_t)(v % 10), v - 50);
    } else {
        v -= SET_AT;
        mr_timer_set(context, MR_TIMER_EVENT_TIME, v, (uint32_t)(v % 10));
    }
    return MR_OK;
}

static enum mr_status timer_fires(void *user, struct mr_process_context *context,
                                  const struct mr_fired_timer *timer, struct mr_emitter *out)
{
    (void)user;
    if (timer->time_us == 666) return mr_emitter_fail(out, "the timer does not want to");
    mr_emit_int64(out, 0, mr_row_int64(mr_context_key(context), 0));
    mr_emit_int64(out, 1, timer->time_us);
    mr_emit_int64(out, 2, timer->tag + (timer->clock == MR_TIMER_EVENT_TIME ? 0 : 100));
    if (timer->tag == 7 && timer->time_us < 130) {
        mr_timer_set(context, MR_TIMER_EVENT_TIME, timer->time_us + 10, 7);
    }
    if (timer->clock == MR_TIMER_PROCESSING_TIME) {
        mr_timer_set(context, MR_TIMER_PROCESSING_TIME, timer->time_us + 1, 0);
        if (mr_context_watermark(context) == MR_TIME_MAX) mr_emit_time(out, 1);
    }
    return mr_emit_row(out);
}

static void open_timers(struct xt *t)
{
    open_process(t, "k int64, t int64, tag int64", NULL, 0);
    t->node.u.process.row = timer_row;
    t->node.u.process.timer = timer_fires;
    xt_begin(t);
}

static void close_timers(struct xt *t)
{
    xt_end(t);
    xt_close(t);
}

MR_TEST(process, timers_fire_in_the_order_of_time_before_their_watermark_goes_on)
{
    struct xt t;

    open_timers(&t);
    put_row(&t, 1, SET_AT + 130, 1);
    put_row(&t, 2, SET_AT + 110, 1);
    put_row(&t, 3, SET_AT + 250, 1);
    put_row(&t, 1, SET_AT + 120, 1); /* the same tag: replaces */
    put_row(&t, 4, SET_AT + 115, 1);
    put_row(&t, 4, CLEAR + 5, 1);
    expect(&t, "");
    xt_control(&t, MR_ITEM_WATERMARK, 109);
    expect(&t, "watermark 109\n");
    xt_control(&t, MR_ITEM_WATERMARK, 200);
    expect(&t, "2|110|0|110\n1|120|0|120\nwatermark 200\n");
    xt_control(&t, MR_ITEM_END, 0);
    expect(&t, "3|250|0|250\nend\n");
    close_timers(&t);
}

MR_TEST(process, a_timer_for_the_past_fires_before_the_next_row_and_may_set_others)
{
    struct xt t;

    open_timers(&t);
    xt_control(&t, MR_ITEM_WATERMARK, 125);
    xt_clear(&t);
    put_row(&t, 1, CHAIN + 100, 1);
    expect(&t, "1|100|7|100\n1|110|7|110\n1|120|7|120\n");
    xt_control(&t, MR_ITEM_WATERMARK, 126);
    expect(&t, "watermark 126\n");
    xt_control(&t, MR_ITEM_END, 0);
    expect(&t, "1|130|7|130\nend\n");
    close_timers(&t);
}

MR_TEST(process, an_output_time_holds_watermark_and_idleness_until_its_timer_is_over)
{
    struct xt t;

    open_timers(&t);
    put_row(&t, 1, SET_HOLDING + 200, 1); /* holds at 150 */
    put_row(&t, 2, SET_HOLDING + 301, 1); /* holds at 251 */
    xt_control(&t, MR_ITEM_WATERMARK, 100);
    xt_control(&t, MR_ITEM_WATERMARK, 180);
    xt_control(&t, MR_ITEM_WATERMARK, 190);
    expect(&t, "watermark 100\nwatermark 150\n");
    xt_control(&t, MR_ITEM_IDLE, 0);
    expect(&t, "");
    xt_control(&t, MR_ITEM_WATERMARK, 260);
    expect(&t, "1|200|0|150\nwatermark 251\n");
    xt_control(&t, MR_ITEM_IDLE, 0);
    expect(&t, "");
    put_row(&t, 2, CLEAR + 1, 1);
    expect(&t, "watermark 260\n");
    put_row(&t, 2, SET_HOLDING + 401, 1);
    xt_control(&t, MR_ITEM_IDLE, 0);
    expect(&t, "");
    xt_control(&t, MR_ITEM_TICK, 1);
    expect(&t, "tick\n");
    xt_control(&t, MR_ITEM_END, 0);
    expect(&t, "2|401|1|351\nend\n");
    close_timers(&t);
}

MR_TEST(process, processing_time_comes_from_the_port_and_ends_with_the_input)
{
    struct xt t;

    open_timers(&t);
    xt_control(&t, MR_ITEM_WATERMARK, 3);
    put_row(&t, 1, SET_PROCESSING + 1500, 3);
    put_row(&t, 2, SET_PROCESSING + 2000, 3);
    xt_control(&t, MR_ITEM_TICK, 1499);
    expect(&t, "watermark 3\ntick\n");
    wall_us = 1501;
    xt_control(&t, MR_ITEM_TICK, 7);
    expect(&t, "1|1500|100|3\n1|1501|100|3\ntick\n");
    wall_us = 10; /* set back: time stands still */
    xt_control(&t, MR_ITEM_TICK, 8);
    expect(&t, "tick\n");
    xt_control(&t, MR_ITEM_END, 0);
    expect(&t, "1|1502|100|1\n2|2000|100|1\nend\n");
    MR_EXPECT(t.done);
    close_timers(&t);
}

MR_TEST(process, when_a_timer_fails_the_job_ends_with_its_time)
{
    struct xt t;

    open_timers(&t);
    put_row(&t, 1, SET_AT + 666, 1);
    xt_control(&t, MR_ITEM_WATERMARK, 700);
    MR_EXPECT_EQ_INT(t.status, MR_E_USER_FUNCTION);
    MR_EXPECT_CONTAINS(t.err.text, "operator 'it': the event-time timer of 666 (tag 6): the "
                                   "function failed: the timer does not want to");
    close_timers(&t);
}

static enum mr_status misuse(void *user, struct mr_process_context *context,
                             const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_state_array array;
    enum mr_status st;

    (void)user, (void)out;
    switch (mr_row_int64(row, 1)) {
    case 0: mr_timer_set(context, MR_TIMER_EVENT_TIME, 5, 0); return MR_OK;
    case 1: st = mr_state_prepare(context, 0, &array); return st;
    case 2: mr_context_at(context, 0); return MR_OK;
    default: (void)mr_list_append(context, 0); return MR_OK;
    }
}

MR_TEST(process, wrong_use_ends_the_job_and_says_what_was_wrong)
{
    static const char *const texts[] = {"there is no on_timer", "mr_state_prepare is for batch",
                                        "mr_context_at is for batch",
                                        "mr_list_append: state 'totals' is a value"};

    for (int64_t i = 0; i < 4; i++) {
        struct xt t;

        open_process(&t, "k int64, n int64, s int64", totals, 1);
        t.node.u.process.row = misuse;
        xt_begin(&t);
        put_row(&t, 1, i, 1);
        MR_EXPECT_EQ_INT(t.status, MR_E_INVALID);
        MR_EXPECT_CONTAINS(t.err.text, "operator 'it': ");
        MR_EXPECT_CONTAINS(t.err.text, texts[i]);
        xt_end(&t);
        xt_close(&t);
    }
}

/* ---- broadcast ---- */

static const struct mr_field rule_key[] = {{.name = "rule", .type = MR_INT64}};
static const struct mr_state rules[] = {{.name = "rules",
                                         .kind = MR_STATE_BROADCAST,
                                         .fields = totals_fields,
                                         .field_count = 1,
                                         .keys = rule_key,
                                         .key_count = 1}};

static enum mr_status apply_rules(void *user, struct mr_process_context *context,
                                  const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_datum key = mr_datum_int64(mr_row_int64(row, 0));
    struct mr_record rule = mr_map_find(context, 0, &key);

    (void)user;
    mr_emit_int64(out, 0, key.u.int64);
    mr_emit_int64(out, 1, mr_row_int64(row, 1));
    if (mr_record_exists(&rule)) mr_emit_int64(out, 2, mr_record_int64(&rule, 0));
    return mr_emit_row(out);
}

static enum mr_status take_rule(void *user, struct mr_process_context *context,
                                const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_datum key = mr_datum_int64(mr_row_int64(row, 0));
    struct mr_record rule;

    (void)user, (void)out;
    if (mr_context_key(context) != NULL) return MR_E_INVALID;
    if (mr_row_is_null(row, 1)) {
        (void)mr_map_remove(context, 0, &key);
        return MR_OK;
    }
    rule = mr_map_make(context, 0, &key);
    mr_record_set_int64(&rule, 0, mr_row_int64(row, 1));
    return MR_OK;
}

static void put_rule(struct xt *t, const char *text)
{
    struct mr_batch *batch = mr_data_batch(&t->data.quota, t->plan.input, text);

    xt_put(t, &(struct mr_item){.tag = MR_ITEM_BATCH, .input = 1, .batch = batch});
}

MR_TEST(process, broadcast_rows_change_what_all_keys_see_and_one_instance_seals_it_for_all)
{
    struct xt_seal seal = {0};
    struct xt t, other;

    open_process(&t, "k int64, v int64, rule int64", rules, 1);
    open_process(&other, "k int64, v int64, rule int64", rules, 1);
    t.node.u.process.row = other.node.u.process.row = apply_rules;
    t.node.u.process.broadcast = other.node.u.process.broadcast = take_rule;
    t.plan.output_hidden = other.plan.output_hidden = 0;
    t.task.group_end = 512;
    other.task.group_first = 512;
    xt_begin(&t);
    put_rule(&t, "1|100\n2|200\n");
    xt_rows(&t, "1|5\n3|6\n");
    xt_seal(&t, false, &seal);
    put_rule(&t, "1|NULL\n2|201\n");
    xt_rows(&t, "1|7\n2|8\n");
    xt_seal(&t, false, &seal);
    expect(&t, "1|5|100|-\n3|6|NULL|-\n1|7|NULL|-\n2|8|201|-\n");
    xt_begin(&other);
    xt_restore(&other, &seal);
    xt_rows(&other, "1|9\n2|9\n");
    expect(&other, "1|9|NULL|-\n2|9|201|-\n");
    xt_seal_free(&seal);
    xt_seal(&other, true, &seal);
    for (uint32_t i = 0; i < seal.count; i++) {
        MR_EXPECT_EQ_STR(seal.entries[i].entry.state_name, ""); /* not by this one */
    }
    xt_seal_free(&seal);
    xt_end(&t);
    xt_end(&other);
    xt_close(&t);
    xt_close(&other);
}

/* ---- sessions by hand: all kinds of state at once ---- */

static const struct mr_field number[] = {{.name = "n", .type = MR_INT64}};
static const struct mr_state session_states[] = {
    {.name = "rows", .kind = MR_STATE_LIST, .fields = number, .field_count = 1},
    {.name = "seen", .kind = MR_STATE_SET, .keys = number, .key_count = 1},
    {.name = "last", .kind = MR_STATE_VALUE, .fields = number, .field_count = 1},
    {.name = "by-time", .kind = MR_STATE_ORDERED_LIST, .fields = number, .field_count = 1}};
enum { GAP = 40 };

static enum mr_status session_row(void *user, struct mr_process_context *context,
                                  const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_datum value = mr_datum_int64(mr_row_int64(row, 1));
    struct mr_record last, element;
    int64_t end = mr_row_time(row) + GAP;

    (void)user, (void)out;
    element = mr_list_append(context, 0);
    mr_record_set_int64(&element, 0, value.u.int64);
    (void)mr_set_add(context, 1, &value);
    element = mr_ordered_add(context, 3, mr_row_time(row));
    mr_record_set_int64(&element, 0, value.u.int64);
    last = mr_value_make(context, 2);
    if (mr_record_is_null(&last, 0) || mr_record_int64(&last, 0) < end) {
        mr_record_set_int64(&last, 0, end);
        mr_timer_set(context, MR_TIMER_EVENT_TIME, end, 0);
    }
    return MR_OK;
}

static enum mr_status session_ends(void *user, struct mr_process_context *context,
                                   const struct mr_fired_timer *timer, struct mr_emitter *out)
{
    struct mr_iterator it = mr_state_iterate(context, 0);
    struct mr_record record;
    int64_t digest = 0;

    (void)user;
    while (mr_iterator_next(&it, &record)) {
        digest = (digest * 31 + mr_record_int64(&record, 0)) % 1000003;
    }
    it = mr_state_iterate(context, 3);
    while (mr_iterator_next(&it, &record)) {
        digest = digest * 37 + mr_record_int64(&record, 0) + mr_record_time(&record);
        digest %= 1000003;
    }
    mr_emit_int64(out, 0, mr_row_int64(mr_context_key(context), 0));
    mr_emit_int64(out, 1, digest);
    mr_emit_int64(out, 2, (int64_t)mr_state_count(context, 1));
    for (uint32_t state = 0; state < 4; state++) mr_state_clear(context, state);
    (void)timer;
    return mr_emit_row(out);
}

static void open_sessions(struct xt *t, uint32_t instance, uint32_t count)
{
    open_process(t, "k int64, d int64, n int64", session_states, 4);
    t->node.u.process.row = session_row;
    t->node.u.process.timer = session_ends;
    t->task.instance = instance;
    t->task.instance_count = count;
    t->task.group_first = (1024 * instance + count - 1) / count;
    t->task.group_end = (1024 * (instance + 1) + count - 1) / count;
    xt_begin(t);
}

/* Rows around a moving time, and a watermark behind them. */
static void session_step(struct xt *instances, uint32_t count, struct mr_prng *prng, int64_t *now)
{
    for (uint32_t i = 0; i < 5; i++) {
        int64_t key = (int64_t)mr_prng_below(prng, 12);
        int64_t value = (int64_t)mr_prng_below(prng, 6);
        uint32_t group = mr_key_group(mr_hash_int64(key), 1024);
        int64_t time = *now + (int64_t)mr_prng_below(prng, 30);

        put_row(&instances[mr_group_instance(group, 1024, count)], key, value, time);
    }
    *now += (int64_t)mr_prng_below(prng, 25);
    for (uint32_t i = 0; i < count; i++) xt_control(&instances[i], MR_ITEM_WATERMARK, *now);
}

static int compare_lines(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* The rows of a text in order, without control items. */
static char *sorted_rows(char *text)
{
    char **lines = malloc((strlen(text) + 1) * sizeof *lines);
    char *out = malloc(strlen(text) + 2);
    size_t count = 0, size = 0;

    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (line[0] >= '0' && line[0] <= '9') lines[count++] = line;
    }
    qsort(lines, count, sizeof *lines, compare_lines);
    out[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        size += (size_t)sprintf(out + size, "%s\n", lines[i]);
    }
    free(lines);
    return out;
}

/* Takes the lines of control items out. */
static void strip_control(char *text)
{
    char *out = text;

    while (*text != '\0') {
        size_t size = strcspn(text, "\n") + 1;

        if (*text >= '0' && *text <= '9') {
            memmove(out, text, size);
            out += size;
        }
        text += size;
    }
    *out = '\0';
}

static void collect(struct xt *t, char **text)
{
    size_t old = strlen(*text), more = strlen(xt_text(t));

    MR_EXPECT_OK(t->status, &t->err);
    *text = realloc(*text, old + more + 1);
    memcpy(*text + old, xt_text(t), more + 1);
}

/* `plan`: how many instances there are in each phase; 0 ends it. */
static char *run_sessions(uint64_t seed, const uint32_t *plan)
{
    struct xt instances[3];
    struct xt_seal seal = {0};
    char *text = calloc(1, 1);
    char *sorted;
    struct mr_prng prng;
    int64_t now = 100;

    mr_prng_init(&prng, seed, 3);
    for (; *plan != 0; plan++) {
        struct xt_seal next = {0};

        for (uint32_t i = 0; i < *plan; i++) open_sessions(&instances[i], i, *plan);
        for (uint32_t i = 0; i < *plan; i++) {
            for (uint32_t e = 0; e < seal.count; e++) {
                const struct mr_entry *entry = &seal.entries[e].entry;
                bool all = entry->kind == MR_ENTRY_VALUE || entry->kind == MR_ENTRY_DROP;

                if (!all && (entry->key_group < instances[i].task.group_first ||
                             entry->key_group >= instances[i].task.group_end)) {
                    continue;
                }
                MR_EXPECT_OK(
                    instances[i].op->ops->restore(instances[i].op, entry, &instances[i].err),
                    &instances[i].err);
            }
            MR_EXPECT_OK(instances[i].op->ops->restored(instances[i].op, &instances[i].err),
                         &instances[i].err);
        }
        for (uint32_t step = 0; step < 12; step++) {
            session_step(instances, *plan, &prng, &now);
            if (step % 4 == 3) {
                for (uint32_t i = 0; i < *plan; i++) xt_seal(&instances[i], step == 3, &next);
            }
        }
        for (uint32_t i = 0; i < *plan; i++) {
            if (plan[1] == 0) xt_control(&instances[i], MR_ITEM_END, 0);
            collect(&instances[i], &text);
            xt_end(&instances[i]);
            xt_close(&instances[i]);
        }
        xt_seal_free(&seal);
        seal = next;
    }
    xt_seal_free(&seal);
    sorted = sorted_rows(text);
    free(text);
    return sorted;
}

MR_TEST(process, restarts_and_other_numbers_of_instances_change_no_result)
{
    static const uint32_t unbroken[] = {1, 1, 1, 1, 0};
    static const uint32_t plans[3][5] = {{1, 3, 2, 1, 0}, {2, 2, 3, 3, 0}, {3, 1, 2, 3, 0}};

    /* The unbroken run too is cut in four: so it is compared with one that is not. */
    for (uint64_t seed = 1; seed <= 15; seed++) {
        char *expected = run_sessions(seed, unbroken);

        MR_EXPECT(strlen(expected) > 200);
        for (uint32_t i = 0; i < 3; i++) {
            char *actual = run_sessions(seed, plans[i]);

            MR_EXPECT_EQ_STR(actual, expected);
            free(actual);
        }
        free(expected);
    }
}

MR_TEST(process, a_restart_in_the_middle_gives_the_rows_of_an_unbroken_run)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct xt whole, cut;
        struct xt_seal seal = {0};
        struct mr_prng left, right;
        int64_t left_now = 100, right_now = 100;

        open_sessions(&whole, 0, 1);
        open_sessions(&cut, 0, 1);
        mr_prng_init(&left, seed, 3);
        mr_prng_init(&right, seed, 3);
        for (uint32_t step = 0; step < 30; step++) {
            xt_clear(&whole);
            xt_clear(&cut);
            session_step(&whole, 1, &left, &left_now);
            session_step(&cut, 1, &right, &right_now);
            MR_EXPECT_OK(cut.status, &cut.err);
            strip_control(whole.out.data);
            strip_control(cut.out.data); /* it says its watermark once more */
            MR_EXPECT_EQ_STR(xt_text(&cut), xt_text(&whole));
            if (step % 3 == 0) xt_seal(&cut, false, &seal);
            if (step % 9 != 6) continue;
            xt_end(&cut);
            xt_begin(&cut);
            xt_restore(&cut, &seal);
        }
        xt_seal_free(&seal);
        xt_end(&whole);
        xt_end(&cut);
        xt_close(&whole);
        xt_close(&cut);
    }
}

/* ---- an aggregate as state, a list of the instance, and time to live ---- */

static void most_create(void *user, void *state)
{
    (void)user;
    memset(state, 0, 16);
}

static enum mr_status most_add(void *user, void *state, const struct mr_row *row)
{
    int64_t *most = state;

    (void)user;
    if (mr_row_int64(row, 1) == 13) return MR_E_RECORD;
    most[0] = MR_MAX(most[0], mr_row_int64(row, 1));
    most[1]++;
    return MR_OK;
}

static enum mr_status most_result(void *user, const void *state, struct mr_emitter *out)
{
    const int64_t *most = state;
    char text[40];

    (void)user;
    if (most[0] == 99) return mr_emitter_fail(out, "99 is too much");
    if (most[1] < 2) return MR_OK; /* null */
    (void)snprintf(text, sizeof text, "%lld of %lld", (long long)most[0], (long long)most[1]);
    mr_emit_bytes(out, 0, text, strlen(text));
    return MR_OK;
}

static const struct mr_aggregate_functions most = {.size = sizeof most,
                                                   .state_bytes = 16,
                                                   .create = most_create,
                                                   .add = most_add,
                                                   .result = most_result};
static const struct mr_field most_field[] = {{.name = "most", .type = MR_UTF8}};
static const struct mr_state mixed[] = {
    {.name = "most",
     .kind = MR_STATE_AGGREGATING,
     .fields = most_field,
     .field_count = 1,
     .ttl = MR_TTL_PROCESSING_TIME,
     .ttl_us = 100,
     .aggregate = &most},
    {.name = "all", .kind = MR_STATE_OPERATOR_LIST, .fields = number, .field_count = 1}};

static enum mr_status mixed_row(void *user, struct mr_process_context *context,
                                const struct mr_row *row, struct mr_emitter *out)
{
    struct mr_record element = mr_list_append(context, 1);
    enum mr_status st = mr_aggregating_add(context, 0, row);
    struct mr_datum result;

    (void)user;
    if (st != MR_OK) return st;
    mr_record_set_int64(&element, 0, mr_row_int64(row, 1));
    st = mr_aggregating_result(context, 0, &result);
    if (st != MR_OK) return st;
    mr_emit_int64(out, 0, (int64_t)mr_state_count(context, 1));
    if (result.kind == MR_DATUM_BYTES) {
        mr_emit_bytes(out, 1, result.u.bytes.data, result.u.bytes.size_bytes);
    }
    return mr_emit_row(out);
}

MR_TEST(process, an_aggregate_is_kept_per_key_until_it_expires_and_its_failures_are_the_rows)
{
    struct xt_seal seal = {0};
    struct xt t;

    open_process(&t, "n int64, most utf8", mixed, 2);
    t.node.u.process.row = mixed_row;
    t.print_hidden = 0;
    xt_begin(&t);
    put_row(&t, 1, 5, 1);
    put_row(&t, 2, 7, 1);
    put_row(&t, 1, 3, 1);
    put_row(&t, 1, 13, 1); /* add fails: the row is bad, the element stays */
    wall_us += 60;
    put_row(&t, 1, 6, 1);
    MR_EXPECT_CONTAINS(xt_bad(&t), "MR_E_RECORD");
    expect(&t, "1|NULL\n2|NULL\n3|5 of 2\n5|6 of 3\n");
    put_row(&t, 2, 99, 1);
    MR_EXPECT_CONTAINS(xt_bad(&t), "state 'most': the function failed: 99 is too much");
    expect(&t, "");
    xt_seal(&t, false, &seal);
    xt_end(&t);
    xt_begin(&t);
    xt_restore(&t, &seal);
    wall_us += 99; /* of what was written last */
    put_row(&t, 1, 1, 1);
    wall_us += 100;
    put_row(&t, 1, 1, 1);
    put_row(&t, 1, 2, 1);
    expect(&t, "7|6 of 4\n8|NULL\n9|2 of 2\n");
    xt_seal_free(&seal);
    xt_end(&t);
    xt_close(&t);
}

/* ---- narrow places ---- */

MR_TEST(process, with_room_for_one_batch_only_all_rows_and_timers_come_out_all_the_same)
{
    struct xt t;

    open_process(&t, "k int64, n int64, s int64", totals, 1);
    t.node.u.process.row = count_row;
    t.quota_bytes = 64 * 1024;
    t.task.batch_rows = 3;
    xt_begin(&t);
    for (uint64_t seed = 1; seed < 20; seed++) random_rows(&t, seed, 60);
    MR_EXPECT_OK(t.status, &t.err);
    MR_EXPECT(t.blocked_count > 0);
    MR_EXPECT(t.batch_count >= 19 * 20);
    xt_end(&t);
    xt_close(&t);
}

MR_TEST(process, when_memory_ends_the_operator_says_so_and_leaks_nothing)
{
    struct xt t;

    open_process(&t, "k int64, d int64, n int64", session_states, 4);
    t.node.u.process.row = session_row;
    t.node.u.process.timer = session_ends;
    MR_TORTURE(&t.heap) {
        struct xt_seal seal = {0};
        struct mr_prng prng;
        int64_t now = 100;

        xt_begin(&t);
        mr_prng_init(&prng, 5, 3);
        for (uint32_t i = 0; i < 6; i++) session_step(&t, 1, &prng, &now);
        if (t.status == MR_OK) {
            t.status = t.op->ops->seal(t.op, true, xt_yield, &seal, &t.err);
        }
        xt_control(&t, MR_ITEM_END, 0);
        MR_EXPECT_EQ_INT(t.status, mr_test_refused(&t.heap) ? MR_E_NOMEM : MR_OK);
        xt_seal_free(&seal);
        xt_end(&t);
    }
    xt_close(&t);
}
