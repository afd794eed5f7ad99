/* aggregate_test.c - the aggregate operators against a reference that looks at all rows each time:
 * random rows, windows, watermarks, batch cuts, instances, interruptions, tiny memory. */
#include "exec/aggregate/aggregate_reference.h"

static const struct mr_window_spec global = {.kind = MR_WINDOW_GLOBAL};
static const struct mr_window_spec tumbling = {.kind = MR_WINDOW_TUMBLING, .size_us = 20,
                                               .offset_us = 3};
static const struct mr_window_spec hopping = {.kind = MR_WINDOW_HOPPING, .size_us = 30,
                                              .slide_us = 20, .offset_us = -7};
static const struct mr_window_spec overlapping = {.kind = MR_WINDOW_HOPPING, .size_us = 40,
                                                  .slide_us = 10};
static const struct mr_window_spec gaps = {.kind = MR_WINDOW_HOPPING, .size_us = 10,
                                           .slide_us = 25};
static const struct mr_window_spec session = {.kind = MR_WINDOW_SESSION, .size_us = 12,
                                              .touching_sessions_merge = true};
static const struct mr_window_spec beam_session = {.kind = MR_WINDOW_SESSION, .size_us = 12};

static struct mr_window_spec with_lateness(const struct mr_window_spec *window, int64_t us)
{
    struct mr_window_spec late = *window;

    late.allowed_lateness_us = us;
    return late;
}

static const struct rig_mix ordinary = {.rows = 150, .keys = 7, .speed_us = 2, .spread_us = 30,
                                        .delay_us = 10, .null_keys = true, .watermarks = true};

/* Both are static: the reference is large. */
static struct script script;
static struct ref ref;

/* Runs the script and compares everything with the reference. */
static void compare(struct rig *rig, uint32_t instances, const char *what)
{
    ref_run(&ref, rig, &script);
    rig_run(rig, &script, instances);
    MR_EXPECT_OK(rig->status, &rig->err);
    if (rig->two_stage && rig->whole.window.allowed_lateness_us > 0) {
        lines_keep_last(&rig->lines, rig->keyed ? 3 : 2); /* partials are cut differently */
        lines_keep_last(&ref.lines, rig->keyed ? 3 : 2);
    }
    lines_expect_same(&rig->lines, &ref.lines, what);
    MR_EXPECT_EQ_UINT(rig_counter(rig, MR_COUNTER_ROWS_LATE), ref.late);
    MR_EXPECT_EQ_UINT(rig_counter(rig, MR_COUNTER_ROWS_NO_WINDOW), ref.no_window);
    MR_EXPECT_EQ_UINT(rig_counter(rig, MR_COUNTER_STATE_KEYS), 0);
    lines_free(&ref.lines);
}

/* A window over random scripts, in one stage and in two, with and without memory pressure. */
static void check_window(const struct mr_window_spec *window, bool keyed, bool two_stage,
                         uint64_t seed)
{
    struct mr_prng prng;

    mr_prng_init(&prng, seed, two_stage);
    for (uint32_t round = 0; round < 25; round++) {
        static const uint32_t batch_rows[] = {1, 2, 7, 4096};
        struct rig rig;

        rig_open(&rig, window, keyed);
        rig.two_stage = two_stage;
        rig.batch_rows = batch_rows[round % 4];
        rig.flush_odds = (uint32_t)mr_prng_below(&prng, 4);
        mr_prng_init(&rig.choices, seed, round);
        if (round % 3 == 0) rig.quota_bytes = (size_t)64 * 1024;
        script_make(&script, &prng, &ordinary);
        compare(&rig, keyed ? 1 + round % 3 : 1, "streaming");
        rig_close(&rig);
    }
}

MR_TEST(aggregate, tumbling_windows_agree_with_the_reference)
{
    check_window(&tumbling, true, false, 1);
    check_window(&tumbling, true, true, 2);
    check_window(&tumbling, false, false, 3);
    check_window(&tumbling, false, true, 4);
}

MR_TEST(aggregate, hopping_windows_agree_with_the_reference)
{
    check_window(&hopping, true, false, 5);
    check_window(&hopping, true, true, 6);
    check_window(&overlapping, true, false, 7);
    check_window(&overlapping, true, true, 8);
    check_window(&overlapping, false, true, 9);
}

MR_TEST(aggregate, rows_between_windows_belong_to_none_and_are_counted)
{
    check_window(&gaps, true, false, 10);
    check_window(&gaps, true, true, 11);
}

MR_TEST(aggregate, the_global_window_fires_at_the_end)
{
    check_window(&global, true, false, 12);
    check_window(&global, true, true, 13);
    check_window(&global, false, false, 14);
    check_window(&global, false, true, 15);
}

MR_TEST(aggregate, sessions_merge_in_any_order_as_in_the_reference)
{
    check_window(&session, true, false, 16);
    check_window(&beam_session, true, false, 17);
    check_window(&session, false, false, 18);
}

/* Late rows within the allowed lateness make their keys fire again, once per batch. */
MR_TEST(aggregate, windows_with_allowed_lateness_fire_again_with_the_new_total)
{
    struct mr_window_spec windows[] = {with_lateness(&tumbling, 15), with_lateness(&hopping, 15),
                                       with_lateness(&overlapping, 25), with_lateness(&gaps, 15),
                                       with_lateness(&session, 10)};

    for (uint32_t i = 0; i < MR_COUNT(windows); i++) {
        check_window(&windows[i], true, false, 20 + i);
        if (windows[i].kind != MR_WINDOW_SESSION) check_window(&windows[i], true, true, 30 + i);
    }
}

/* late=by-split: every row is judged by its own split; exact for every window of every row. */
MR_TEST(aggregate, rows_are_judged_by_their_split_window_by_window)
{
    const struct mr_window_spec *windows[] = {&tumbling, &hopping, &overlapping, &gaps, &session};
    struct mr_prng prng;
    uint64_t late = 0;

    mr_prng_init(&prng, 40, 1);
    for (uint32_t round = 0; round < 100; round++) {
        struct rig_mix mix = ordinary;
        struct mr_window_spec window =
            with_lateness(windows[round % 5], round % 2 == 0 ? 0 : (int64_t)(round % 20));
        struct rig rig;

        rig_open(&rig, &window, true);
        rig.late_by_split = true;
        rig.late_output = round % 3 != 0;
        rig.two_stage = window.kind == MR_WINDOW_TUMBLING && round % 4 < 2;
        mix.delay_us = 5;
        /* The operator is behind the splits: watermarks come at the end only. */
        mix.watermarks = round % 7 == 0;
        script_make(&script, &prng, &mix);
        compare(&rig, 1 + round % 3, "by split");
        late += rig_counter(&rig, MR_COUNTER_ROWS_LATE);
        rig_close(&rig);
    }
    MR_EXPECT(late > 1000);
}

MR_TEST(aggregate, late_rows_come_out_of_output_1_whole)
{
    const struct mr_window_spec *windows[] = {&tumbling, &overlapping, &session};
    struct rig_mix mix = ordinary;
    struct mr_prng prng;
    uint64_t late = 0;

    mix.delay_us = 0;
    mr_prng_init(&prng, 50, 1);
    for (uint32_t round = 0; round < 30; round++) {
        struct rig rig;

        rig_open(&rig, windows[round % 3], true);
        rig.late_output = true;
        if (round % 2 == 0) rig.quota_bytes = (size_t)64 * 1024;
        script_make(&script, &prng, &mix);
        compare(&rig, 1 + round % 2, "late output");
        late += rig_counter(&rig, MR_COUNTER_ROWS_LATE);
        rig_close(&rig);
    }
    MR_EXPECT(late > 200);
}

/* Batch mode: no watermark until the end; the result is that of a run in which nothing was late. */
MR_TEST(aggregate, in_batch_mode_everything_fires_at_the_end_in_window_order)
{
    const struct mr_window_spec *windows[] = {&tumbling, &overlapping, &global, &session};
    struct rig_mix mix = ordinary;
    struct mr_prng prng;

    mix.watermarks = false;
    mr_prng_init(&prng, 60, 1);
    for (uint32_t round = 0; round < 24; round++) {
        struct rig rig;
        int64_t last_us = INT64_MIN;

        rig_open(&rig, windows[round % 4], true);
        rig.streaming = false;
        rig.two_stage = round % 8 < 4 && round % 4 != 3;
        script_make(&script, &prng, &mix);
        rig_run(&rig, &script, 1);
        MR_EXPECT_OK(rig.status, &rig.err);
        for (uint32_t i = 0; i < rig.lines.count && windows[round % 4] != &global; i++) {
            int64_t end_us = atoll(strchr(rig.lines.at[i], '|') + 1);

            MR_EXPECT(end_us >= last_us);
            last_us = end_us;
        }
        compare(&rig, 1 + round % 3, "batch");
        MR_EXPECT_EQ_UINT(rig_counter(&rig, MR_COUNTER_ROWS_LATE), 0);
        rig_close(&rig);
    }
}

/* SQL: count(*) of nothing is one row. With keys, or with windows, it is none. */
MR_TEST(aggregate, a_global_aggregate_of_nothing_is_one_row_from_one_instance)
{
    struct rig rig;

    script.row_count = script.step_count = 0;
    script_step(&script, MR_ITEM_END, 0);
    rig_open(&rig, &global, false);
    rig_run(&rig, &script, 1);
    MR_EXPECT_OK(rig.status, &rig.err);
    MR_EXPECT_EQ_UINT(rig.lines.count, 1);
    MR_EXPECT_EQ_STR(rig.lines.at[0], "0|0|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL");
    rig.two_stage = true;
    compare(&rig, 1, "empty");
    rig_close(&rig);
    rig_open(&rig, &global, true);
    rig_run(&rig, &script, 3);
    MR_EXPECT_EQ_UINT(rig.lines.count, 0);
    rig_close(&rig);
    rig_open(&rig, &tumbling, false);
    rig_run(&rig, &script, 1);
    MR_EXPECT_EQ_UINT(rig.lines.count, 0);
    rig_close(&rig);
}

/* The pool holds less than a few batches: every operator must wait and go on. */
MR_TEST(aggregate, with_a_tiny_quota_operators_block_and_lose_nothing)
{
    const struct mr_window_spec *windows[] = {&tumbling, &overlapping, &session, &global};
    struct rig_mix mix = ordinary;
    struct mr_prng prng;
    uint32_t blocked = 0;

    mix.keys = 60;
    mix.rows = 300;
    mr_prng_init(&prng, 70, 1);
    for (uint32_t round = 0; round < 32; round++) {
        struct rig rig;

        rig_open(&rig, windows[round % 4], true);
        rig.two_stage = round % 8 >= 4 && windows[round % 4] != &session;
        rig.batch_rows = round % 3 == 0 ? 4096 : 3;
        rig.quota_bytes = round % 2 == 0 ? (size_t)24 * 1024 : (size_t)40 * 1024;
        script_make(&script, &prng, &mix);
        compare(&rig, 1, "tiny quota");
        blocked += rig.blocked;
        rig_close(&rig);
    }
    MR_EXPECT(blocked > 100);
}

/* ---- snapshots ---- */

/* Runs to `at`, seals (first some increments, perhaps), restores into other instances, runs on. */
static void interrupt(struct rig *rig, uint32_t at, uint32_t before, uint32_t after,
                      uint32_t seal_every)
{
    struct rig_entries entries = {NULL, 0, 0};
    struct rig_run run;

    rig_reset(rig);
    rig_start(&run, rig, before);
    for (uint32_t step = 0; step < at; step++) {
        rig_steps(&run, &script, step, step + 1);
        if (seal_every > 0 && step % seal_every == 0) {
            /* Nothing may be held in the partial when the barrier has passed. */
            struct mr_item barrier = {.tag = MR_ITEM_BARRIER};

            if (run.first.op != NULL) rig_put(&run, &run.first, &barrier);
            rig_seal(&run, false, &entries);
        }
    }
    if (run.first.op != NULL) {
        rig_put(&run, &run.first, &(struct mr_item){.tag = MR_ITEM_BARRIER});
    }
    rig_seal(&run, seal_every == 0, &entries);
    rig_stop(&run);
    memset(&rig->counters.value[MR_COUNTER_STATE_KEYS], 0, sizeof rig->counters.value[0]);
    rig_start(&run, rig, after);
    rig_restore(&run, &entries);
    rig_steps(&run, &script, at, script.step_count);
    rig_stop(&run);
    rig_entries_free(&entries);
}

MR_TEST(aggregate, sealed_in_mid_stream_and_restored_into_any_number_of_instances_nothing_changes)
{
    struct mr_window_spec windows[] = {tumbling, overlapping, session, global,
                                       with_lateness(&tumbling, 20),
                                       with_lateness(&overlapping, 20),
                                       with_lateness(&session, 20), hopping};
    struct mr_prng prng;

    mr_prng_init(&prng, 80, 1);
    for (uint32_t round = 0; round < 96; round++) {
        const struct mr_window_spec *window = &windows[round % 8];
        uint32_t before = 1 + (uint32_t)mr_prng_below(&prng, 3);
        uint32_t after = 1 + (uint32_t)mr_prng_below(&prng, 3);
        struct rig rig;

        rig_open(&rig, window, true);
        rig.track = true;
        rig.two_stage = window->kind != MR_WINDOW_SESSION && mr_prng_below(&prng, 2) == 0;
        rig.late_by_split = window->kind == MR_WINDOW_HOPPING && !rig.two_stage && round % 3 == 0;
        script_make(&script, &prng, &ordinary);
        ref_run(&ref, &rig, &script);
        interrupt(&rig, (uint32_t)mr_prng_below(&prng, script.step_count), before, after,
                  (uint32_t)mr_prng_below(&prng, 4) * 3);
        MR_EXPECT_OK(rig.status, &rig.err);
        if (window->allowed_lateness_us > 0) {
            lines_keep_last(&rig.lines, 3);
            lines_keep_last(&ref.lines, 3);
        }
        lines_expect_same(&rig.lines, &ref.lines, "restored");
        MR_EXPECT_EQ_UINT(rig_counter(&rig, MR_COUNTER_ROWS_LATE), ref.late);
        lines_free(&ref.lines);
        rig_close(&rig);
    }
}

MR_TEST(aggregate, damaged_entries_are_refused_with_the_name_of_the_operator)
{
    const struct mr_window_spec *windows[] = {&tumbling, &session};
    struct mr_prng prng;
    uint32_t refused = 0;

    mr_prng_init(&prng, 81, 1);
    for (uint32_t round = 0; round < 200; round++) {
        struct rig_entries entries = {NULL, 0, 0};
        struct rig_run run;
        struct rig rig;

        rig_open(&rig, windows[round % 2], true);
        rig.track = true;
        script_make(&script, &prng, &(struct rig_mix){.rows = 20, .keys = 3, .speed_us = 3});
        rig_start(&run, &rig, 1);
        rig_steps(&run, &script, 0, script.step_count - 1);
        rig_seal(&run, true, &entries);
        rig_stop(&run);
        for (uint32_t i = 0; i < entries.count; i++) {
            struct mr_bytes *value = &entries.at[i].value;

            if (value->size_bytes == 0) continue;
            if (round % 3 == 0) {
                value->size_bytes = mr_prng_below(&prng, value->size_bytes);
            } else {
                ((char *)(uintptr_t)value->data)[mr_prng_below(&prng, value->size_bytes)] ^=
                    (char)(1u << mr_prng_below(&prng, 8));
            }
        }
        rig_start(&run, &rig, 1);
        rig_restore(&run, &entries);
        if (rig.status != MR_OK) {
            refused++;
            MR_EXPECT_EQ_INT(rig.status, MR_E_CORRUPT);
        }
        rig_stop(&run);
        rig_entries_free(&entries);
        rig_close(&rig);
    }
    MR_EXPECT(refused >= 60);
}

/* One batch, then the end. */
static void few_rows(const struct rig_row *rows, uint32_t count)
{
    script.row_count = count;
    script.step_count = 0;
    memcpy(script.rows, rows, count * sizeof *rows);
    script_step(&script, MR_ITEM_BATCH, 0);
    script.steps[0].end_row = count;
    script_step(&script, MR_ITEM_END, 0);
}

/* Ranges of key groups that stood at different watermarks keep them when they come together: what
 * has fired does not fire again, what was over stays over. */
MR_TEST(aggregate, after_a_change_of_parallelism_each_key_group_keeps_its_watermark)
{
    struct rig_entries entries = {NULL, 0, 0};
    struct rig_row rows[20];
    struct rig_run run;
    struct rig rig;
    uint32_t fired;

    memset(rows, 0, sizeof rows);
    for (int i = 0; i < 20; i++) rows[i] = (struct rig_row){.key = i % 10, .time_us = 5};
    rig_open(&rig, &tumbling, true);
    rig.track = true;
    few_rows(rows, 20);
    rig_start(&run, &rig, 2);
    rig_steps(&run, &script, 0, 1);
    rig_put(&run, &run.last[0], &(struct mr_item){.tag = MR_ITEM_WATERMARK, .time_us = 30});
    fired = rig.lines.count;
    MR_EXPECT(fired > 0 && fired < 10);
    rig_seal(&run, true, &entries);
    rig_stop(&run);
    rig_start(&run, &rig, 1);
    rig_restore(&run, &entries);
    rig_steps(&run, &script, 0, 1); /* again the same rows: late for the keys that had fired */
    MR_EXPECT_EQ_UINT(rig_counter(&rig, MR_COUNTER_ROWS_LATE), 2 * fired);
    rig_entries_free(&entries);
    rig_seal(&run, true, &entries); /* once more, while they still differ */
    rig_stop(&run);
    rig_start(&run, &rig, 1);
    rig_restore(&run, &entries);
    rig_put(&run, &run.last[0], &(struct mr_item){.tag = MR_ITEM_WATERMARK, .time_us = 25});
    rig_put(&run, &run.last[0], &(struct mr_item){.tag = MR_ITEM_END});
    rig_stop(&run);
    MR_EXPECT_OK(rig.status, &rig.err);
    MR_EXPECT_EQ_UINT(rig.lines.count, 10);
    lines_keep_last(&rig.lines, 3);
    MR_EXPECT_EQ_UINT(rig.lines.count, 10); /* no key twice */
    rig_entries_free(&entries);
    rig_close(&rig);
}

/* ---- values that do not fit ---- */

MR_TEST(aggregate, rows_whose_arguments_cannot_be_computed_are_reported_and_left_out)
{
    struct rig_row rows[] = {{.key = 1, .time_us = 5, .n = 10},
                             {.key = 1, .time_us = 6, .n = 0},
                             {.key = 2, .time_us = 6, .n = 0}};

    for (uint32_t way = 0; way < 2; way++) {
        struct mr_expr *division[2];
        struct mr_bound *plain;
        struct mr_error err;
        struct rig rig;

        rig_open(&rig, &tumbling, true);
        rig.two_stage = way == 1;
        plain = rig.exprs[1];
        division[0] = mr_expr_int64(&rig.arena, 1000);
        division[1] = mr_expr_column(&rig.arena, "n");
        MR_EXPECT_OK(mr_bind(mr_test_heap(),
                             mr_expr_call(&rig.arena, MR_OP_DIVIDE, division, 2), rig.input,
                             &rig.exprs[1], &err),
                     &err);
        few_rows(rows, 3);
        rig_run(&rig, &script, 1);
        MR_EXPECT_OK(rig.status, &rig.err);
        MR_EXPECT_EQ_UINT(rig.bad.count, 2);
        MR_EXPECT_EQ_UINT(rig.lines.count, 1);
        MR_EXPECT_CONTAINS(rig.lines.at[0], "3|23|k1|1|1|100|");
        rig.bad_fails = true;
        rig_run(&rig, &script, 1);
        MR_EXPECT_EQ_INT(rig.status, MR_E_EVALUATE);
        mr_bound_destroy(plain);
        rig_close(&rig);
    }
}

MR_TEST(aggregate, a_sum_that_overflows_is_reported_with_key_and_window_and_left_out)
{
    struct rig_row rows[] = {{.key = 1, .time_us = 5, .n = INT64_MAX},
                             {.key = 1, .time_us = 6, .n = 1},
                             {.key = 2, .time_us = 6, .n = INT64_MAX},
                             {.key = 2, .time_us = 6, .n = 5},
                             {.key = 2, .time_us = 6, .n = -9}};

    for (uint32_t two_stage = 0; two_stage < 2; two_stage++) {
        struct rig rig;

        rig_open(&rig, &tumbling, true);
        rig.two_stage = two_stage == 1;
        few_rows(rows, 5);
        rig_run(&rig, &script, 1);
        MR_EXPECT_OK(rig.status, &rig.err);
        MR_EXPECT_EQ_UINT(rig.lines.count, 1); /* key 2 comes back into range */
        MR_EXPECT_CONTAINS(rig.lines.at[0], "3|23|k2|3|3|9223372036854775803|");
        MR_EXPECT_EQ_UINT(rig.bad.count, 1);
        MR_EXPECT_EQ_STR(rig.bad.at[0], "key k=k1, window [1970-01-01T00:00:00.000003Z, "
                                        "1970-01-01T00:00:00.000023Z): "
                                        "sum 'sum_n' overflows int64");
        rig.bad_fails = true;
        rig_run(&rig, &script, 1);
        MR_EXPECT_EQ_INT(rig.status, MR_E_OVERFLOW);
        rig_close(&rig);
    }
}

/* A user's function that refuses a row leaves the row out of every aggregate, and of the key. */
MR_TEST(aggregate, a_row_that_a_users_function_refuses_is_left_out_of_all_aggregates)
{
    int64_t refused = 13;
    struct rig_row rows[] = {{.key = 1, .time_us = 5, .n = 13, .v = 1},
                             {.key = 1, .time_us = 6, .n = 4, .v = 2},
                             {.key = 1, .time_us = 7, .n = 13, .v = 4}};

    for (uint32_t two_stage = 0; two_stage < 2; two_stage++) {
        struct rig rig;

        rig_open(&rig, &tumbling, true);
        rig.two_stage = two_stage == 1;
        rig.specs[RIG_AGGREGATES - 1].user = &refused;
        few_rows(rows, 3);
        rig_run(&rig, &script, 1);
        MR_EXPECT_OK(rig.status, &rig.err);
        MR_EXPECT_EQ_UINT(rig.bad.count, 2);
        MR_EXPECT_EQ_STR(rig.bad.at[0], "aggregate 'user_n' failed for this row");
        MR_EXPECT_EQ_UINT(rig.lines.count, 1);
        MR_EXPECT_EQ_STR(rig.lines.at[0], "3|23|k1|1|1|4|0|text-number-0-of-many|2|0.00|2|"
                                          "text-number-0-of-many|4|16");
        rig_close(&rig);
    }
}

/* ---- memory ---- */

MR_TEST(aggregate, whichever_allocation_fails_the_operator_says_so_and_nothing_leaks)
{
    const struct mr_window_spec *windows[] = {&tumbling, &overlapping, &session};
    struct mr_prng prng;

    mr_prng_init(&prng, 90, 1);
    for (uint32_t round = 0; round < 5; round++) {
        struct mr_window_spec window = with_lateness(windows[round % 3], 20);
        struct rig rig;

        rig_open(&rig, &window, true);
        rig.two_stage = round > 2;
        rig.late_output = round == 0;
        script_make(&script, &prng, &(struct rig_mix){.rows = 40, .keys = 5, .speed_us = 3,
                                                      .spread_us = 40, .watermarks = true});
        ref_run(&ref, &rig, &script);
        lines_keep_last(&ref.lines, 3);
        MR_TORTURE(&rig.heap) {
            rig_run(&rig, &script, 1);
            if (rig.status != MR_OK) {
                MR_EXPECT(mr_test_refused(&rig.heap));
                MR_EXPECT_EQ_INT(rig.status, MR_E_NOMEM);
            } else { /* some memory was not missed, say, for a free list */
                lines_keep_last(&rig.lines, 3);
                lines_expect_same(&rig.lines, &ref.lines, "torture");
            }
        }
        lines_free(&ref.lines);
        rig_close(&rig);
    }
}

MR_TEST(aggregate, beyond_the_memory_limit_the_message_says_how_many_keys_and_what_to_do)
{
    struct mr_prng prng;
    struct rig rig;

    rig_open(&rig, &tumbling, true);
    rig.heap.limit_bytes = 160 * 1024;
    mr_prng_init(&prng, 91, 1);
    script_make(&script, &prng, &(struct rig_mix){.rows = 400, .keys = 400, .speed_us = 30});
    rig_run(&rig, &script, 1);
    MR_EXPECT_EQ_INT(rig.status, MR_E_NOMEM);
    rig.heap.limit_bytes = SIZE_MAX;
    rig_close(&rig);
}
