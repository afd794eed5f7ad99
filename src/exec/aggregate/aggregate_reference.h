/* aggregate_reference.h - for tests: what aggregates should give, from a list of rows that is
 * looked at as a whole each time; and random scripts.
 *
 * Owns:    lines, until lines_free.
 * Thread:  confined.
 * Fails:   fails the test.
 * Cost:    quadratic and worse.
 */
#ifndef MR_EXEC_AGGREGATE_REFERENCE_H
#define MR_EXEC_AGGREGATE_REFERENCE_H

#include "exec/aggregate/aggregate_rig.h"

/* ---- the reference ---- */

struct ref_session {
    int key;
    int64_t start_us, end_us;
    bool fired;
    uint32_t rows[RIG_ROWS_MAX];
    uint32_t row_count;
};

struct ref {
    const struct script *script;
    const struct mr_window_spec *window;
    bool keyed, by_split;
    struct lines lines;
    uint64_t late, no_window;
    int64_t watermark_us;
    /* aligned: which windows each row is in */
    int64_t windows[RIG_ROWS_MAX][RIG_WINDOWS_MAX];
    uint32_t window_counts[RIG_ROWS_MAX];
    uint32_t seen; /* rows so far */
    struct ref_session sessions[RIG_ROWS_MAX];
    uint32_t session_count;
    bool late_lines;
};

MR_UNUSED static void ref_add(struct mr_data_printer *p, const char *text)
{
    mr_data_put(p, "|", 1);
    mr_data_put(p, text, strlen(text));
}

MR_UNUSED static void ref_add_int(struct mr_data_printer *p, bool null, int64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    ref_add(p, null ? "NULL" : text);
}

MR_UNUSED static void ref_add_float(struct mr_data_printer *p, bool null, double value)
{
    if (null) {
        ref_add(p, "NULL");
        return;
    }
    mr_data_put(p, "|", 1);
    mr_data_put_float(p, value, false);
}

/* All aggregates over a list of rows, as one line. */
MR_UNUSED static void ref_line(struct ref *ref, int64_t start_us, int64_t end_us, int key,
                               const uint32_t *rows, uint32_t count)
{
    struct mr_data_printer p = {NULL, 0, 0};
    uint32_t valid = 0;
    mr_i128 sum_n = 0, sum_d = 0;
    int64_t sum_s = 0, squares = 0;
    double sum_v = 0, max_v = 0;
    char min_t[64] = "", first_t[64] = "";
    int64_t first_time = 0, last_time = 0, last_n = 0;
    char text[64];

    for (uint32_t i = 0; i < count; i++) {
        const struct rig_row *row = &ref->script->rows[rows[i]];

        if (row->null) continue;
        strcpy(text, rig_text(row->t));
        if (valid == 0 || strcmp(text, min_t) < 0) strcpy(min_t, text);
        if (valid == 0 || row->v > max_v) max_v = row->v;
        if (valid == 0 || row->time_us < first_time ||
            (row->time_us == first_time && strcmp(text, first_t) < 0)) {
            strcpy(first_t, text);
            first_time = row->time_us;
        }
        if (valid == 0 || row->time_us > last_time ||
            (row->time_us == last_time && row->n > last_n)) {
            last_n = row->n;
            last_time = row->time_us;
        }
        sum_n += row->n;
        sum_s += row->s;
        sum_v += row->v;
        sum_d += row->d;
        squares += (row->n % 1000) * (row->n % 1000);
        valid++;
    }
    if (ref->window->kind != MR_WINDOW_GLOBAL) {
        (void)snprintf(text, sizeof text, "%lld", (long long)start_us);
        mr_data_put(&p, text, strlen(text));
        ref_add_int(&p, false, end_us);
    }
    if (ref->keyed) ref_add(&p, rig_key(key));
    ref_add_int(&p, false, count);
    ref_add_int(&p, false, valid);
    ref_add_int(&p, valid == 0, (int64_t)sum_n);
    ref_add_float(&p, valid == 0, (double)sum_s / (double)valid);
    ref_add(&p, valid == 0 ? "NULL" : min_t);
    ref_add_float(&p, valid == 0, max_v);
    if (valid == 0) {
        ref_add(&p, "NULL");
    } else {
        mr_data_put(&p, "|", 1);
        mr_data_put_decimal(&p, sum_d, 2);
    }
    ref_add_float(&p, valid == 0, sum_v);
    ref_add(&p, valid == 0 ? "NULL" : first_t);
    ref_add_int(&p, valid == 0, last_n);
    ref_add_int(&p, valid == 0, squares);
    lines_add(&ref->lines, p.data[0] == '|' ? p.data + 1 : p.data);
    free(p.data);
}

MR_UNUSED static int64_t ref_key(const struct ref *ref, uint32_t row)
{
    return ref->keyed ? ref->script->rows[row].key : 0;
}

/* Puts out one key of one window. */
MR_UNUSED static void ref_fire(struct ref *ref, int64_t start_us, int64_t end_us, int key)
{
    uint32_t rows[RIG_ROWS_MAX];
    uint32_t count = 0;

    for (uint32_t i = 0; i < ref->seen; i++) {
        if (ref_key(ref, i) != key) continue;
        for (uint32_t w = 0; w < ref->window_counts[i]; w++) {
            if (ref->windows[i][w] == start_us) rows[count++] = i;
        }
    }
    ref_line(ref, start_us, end_us, key, rows, count);
}

/* Every (window, key) that rows [first, end) are in and that ends in (after, until], once. */
MR_UNUSED static void ref_fire_of(struct ref *ref, uint32_t first, uint32_t end, int64_t after_us,
                                  int64_t until_us)
{
    for (uint32_t i = first; i < end; i++) {
        for (uint32_t w = 0; w < ref->window_counts[i]; w++) {
            int64_t start_us = ref->windows[i][w];
            int64_t end_us = ref->window->kind == MR_WINDOW_GLOBAL
                                 ? MR_GLOBAL_WINDOW_END
                                 : start_us + ref->window->size_us;
            bool before = false;

            if (end_us <= after_us || end_us > until_us) continue;
            for (uint32_t j = first; j < i && !before; j++) {
                for (uint32_t x = 0; x < ref->window_counts[j] && !before; x++) {
                    before = ref->windows[j][x] == start_us && ref_key(ref, j) == ref_key(ref, i);
                }
            }
            if (!before) ref_fire(ref, start_us, end_us, (int)ref_key(ref, i));
        }
    }
}

MR_UNUSED static void ref_late(struct ref *ref, uint32_t row)
{
    const struct rig_row *r = &ref->script->rows[row];
    struct mr_data_printer p = {NULL, 0, 0};

    ref->late++;
    if (!ref->late_lines) return;
    mr_data_put(&p, "late", 4);
    ref_add(&p, rig_key(r->key));
    ref_add_int(&p, r->null, r->n);
    ref_add_int(&p, r->null, r->s);
    ref_add_float(&p, r->null, r->v);
    if (r->null) {
        ref_add(&p, "NULL");
    } else {
        mr_data_put(&p, "|", 1);
        mr_data_put_decimal(&p, r->d, 2);
    }
    ref_add(&p, r->null ? "NULL" : rig_text(r->t));
    lines_add(&ref->lines, p.data);
    free(p.data);
}

MR_UNUSED static void ref_row_aligned(struct ref *ref, uint32_t row)
{
    const struct rig_row *r = &ref->script->rows[row];
    int64_t slide_us =
        ref->window->kind == MR_WINDOW_HOPPING ? ref->window->slide_us : ref->window->size_us;
    int64_t now_us = ref->watermark_us;
    uint32_t all = 0;
    int64_t start_us;

    if (ref->by_split) now_us = MR_MAX(now_us, r->split_us);
    ref->window_counts[row] = 0;
    if (ref->window->kind == MR_WINDOW_GLOBAL) {
        ref->windows[row][ref->window_counts[row]++] = 0;
        return;
    }
    start_us = ref->window->offset_us;
    while (start_us > r->time_us) start_us -= slide_us;
    while (start_us + slide_us <= r->time_us) start_us += slide_us;
    for (; start_us + ref->window->size_us > r->time_us; start_us -= slide_us) {
        all++;
        if (now_us >= start_us + ref->window->size_us + ref->window->allowed_lateness_us) continue;
        ref->windows[row][ref->window_counts[row]++] = start_us;
    }
    if (all == 0) ref->no_window++;
    else if (ref->window_counts[row] == 0) ref_late(ref, row);
}

MR_UNUSED static bool ref_meets(const struct ref *ref, const struct ref_session *session,
                                int64_t start_us, int64_t end_us)
{
    if (ref->window->touching_sessions_merge) {
        return session->start_us <= end_us && start_us <= session->end_us;
    }
    return session->start_us < end_us && start_us < session->end_us;
}

MR_UNUSED static void ref_row_session(struct ref *ref, uint32_t row)
{
    const struct rig_row *r = &ref->script->rows[row];
    struct ref_session *made = &ref->sessions[ref->session_count];
    int64_t start_us = r->time_us;
    int64_t end_us = r->time_us + ref->window->size_us;
    int64_t latest_us = end_us;

    if (ref->by_split && r->split_us >= end_us + ref->window->allowed_lateness_us) {
        ref_late(ref, row);
        return;
    }
    for (uint32_t i = 0; i < ref->session_count; i++) {
        const struct ref_session *s = &ref->sessions[i];

        if (s->key != ref_key(ref, row) || !ref_meets(ref, s, start_us, end_us)) continue;
        latest_us = MR_MAX(latest_us, s->end_us);
    }
    if (ref->watermark_us >= latest_us + ref->window->allowed_lateness_us) {
        ref_late(ref, row);
        return;
    }
    *made = (struct ref_session){.key = (int)ref_key(ref, row), .start_us = start_us,
                                 .end_us = latest_us, .row_count = 1};
    made->rows[0] = row;
    for (uint32_t i = 0; i < ref->session_count;) {
        struct ref_session *s = &ref->sessions[i];

        if (s->key != made->key || !ref_meets(ref, s, start_us, end_us)) {
            i++;
            continue;
        }
        made->start_us = MR_MIN(made->start_us, s->start_us);
        for (uint32_t k = 0; k < s->row_count; k++) made->rows[made->row_count++] = s->rows[k];
        *s = ref->sessions[ref->session_count - 1];
        ref->sessions[--ref->session_count] = *made;
        made = &ref->sessions[ref->session_count];
    }
    ref->session_count++;
}

MR_UNUSED static void ref_sessions_now(struct ref *ref)
{
    for (uint32_t i = 0; i < ref->session_count;) {
        struct ref_session *s = &ref->sessions[i];

        if (!s->fired && s->end_us <= ref->watermark_us) {
            ref_line(ref, s->start_us, s->end_us, s->key, s->rows, s->row_count);
            s->fired = true;
        }
        if (s->end_us + ref->window->allowed_lateness_us <= ref->watermark_us) {
            *s = ref->sessions[--ref->session_count];
        } else {
            i++;
        }
    }
}

MR_UNUSED static void ref_run(struct ref *ref, const struct rig *rig, const struct script *script)
{
    memset(ref, 0, sizeof *ref);
    ref->script = script;
    ref->window = &rig->whole.window;
    ref->keyed = rig->keyed;
    ref->by_split = rig->late_by_split;
    ref->late_lines = rig->late_output;
    ref->watermark_us = MR_TIME_MIN;
    for (uint32_t i = 0; i < script->step_count; i++) {
        const struct rig_step *step = &script->steps[i];
        int64_t before_us = ref->watermark_us;
        bool session = ref->window->kind == MR_WINDOW_SESSION;

        if (step->tag == MR_ITEM_BATCH) {
            for (uint32_t r = step->first_row; r < step->end_row; r++) {
                if (session) ref_row_session(ref, r);
                else ref_row_aligned(ref, r);
                ref->seen = r + 1;
            }
            if (!session) ref_fire_of(ref, step->first_row, step->end_row, INT64_MIN, before_us);
        } else if (step->tag == MR_ITEM_WATERMARK || step->tag == MR_ITEM_END) {
            ref->watermark_us = step->tag == MR_ITEM_END ? MR_TIME_MAX
                                                         : MR_MAX(before_us, step->time_us);
            if (!session) ref_fire_of(ref, 0, ref->seen, before_us, ref->watermark_us);
        }
        if (session) ref_sessions_now(ref);
    }
    if (ref->window->kind == MR_WINDOW_GLOBAL && !ref->keyed && ref->seen == 0) {
        ref_line(ref, 0, 0, 0, NULL, 0);
    }
}

/* ---- random scripts ---- */

struct rig_mix {
    uint32_t rows, keys;
    int64_t speed_us;  /* event time per row */
    int64_t spread_us; /* rows are this much out of order */
    int64_t delay_us;  /* of watermarks behind the newest row */
    bool null_keys;
    bool watermarks;
};

MR_UNUSED static void script_step(struct script *script, enum mr_item_tag tag, int64_t time_us)
{
    if (script->step_count == RIG_STEPS_MAX) MR_FAIL("the script is too long");
    script->steps[script->step_count++] = (struct rig_step){.tag = tag, .time_us = time_us};
}

MR_UNUSED static void script_make(struct script *script, struct mr_prng *prng,
                                  const struct rig_mix *mix)
{
    int64_t now_us = -50; /* windows before 1970 too */
    int64_t seen_us = MR_TIME_MIN;

    script->row_count = script->step_count = 0;
    while (script->row_count < mix->rows) {
        uint32_t first = script->row_count;
        uint32_t count = 1 + (uint32_t)mr_prng_below(prng, 8);
        struct rig_step *step;

        for (uint32_t i = 0; i < count && script->row_count < mix->rows; i++) {
            struct rig_row *row = &script->rows[script->row_count++];

            now_us += (int64_t)mr_prng_below(prng, 2 * (uint64_t)mix->speed_us + 1);
            *row = (struct rig_row){
                .key = (int)mr_prng_below(prng, mix->keys) - (mix->null_keys ? 1 : 0),
                .time_us = now_us - (int64_t)mr_prng_below(prng, (uint64_t)mix->spread_us + 1),
                .split_us = seen_us == MR_TIME_MIN ? MR_TIME_MIN : seen_us - mix->delay_us,
                .null = mr_prng_below(prng, 5) == 0,
                .n = (int64_t)mr_prng_below(prng, 2001) - 1000,
                .s = (int16_t)((int)mr_prng_below(prng, 200) - 100),
                .v = ((double)mr_prng_below(prng, 4096) - 2048) / 16,
                .d = (int64_t)mr_prng_below(prng, 100000) - 50000,
                .t = (int)mr_prng_below(prng, 9),
            };
            seen_us = MR_MAX(seen_us, row->time_us);
        }
        script_step(script, MR_ITEM_BATCH, 0);
        step = &script->steps[script->step_count - 1];
        step->first_row = first;
        step->end_row = script->row_count;
        if (!mix->watermarks) continue;
        switch (mr_prng_below(prng, 6)) {
        case 0: script_step(script, MR_ITEM_IDLE, 0); break;
        case 1: script_step(script, MR_ITEM_TICK, 0); break;
        case 2: script_step(script, MR_ITEM_BARRIER, 0); break;
        case 3:
        case 4:
            script_step(script, MR_ITEM_WATERMARK, MR_MAX(seen_us - mix->delay_us, MR_TIME_MIN));
            break;
        default: break;
        }
    }
    script_step(script, MR_ITEM_END, 0);
}

#endif
