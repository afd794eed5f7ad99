/* tracker_test.c - rows through tasks: when are they completed, and what is sent again? */
#include "base/prng.h"
#include "data/data_test_helper.h"
#include "runtime/tracker.h"

#define TASKS 4

struct rig {
    struct mr_data_test data;
    struct mr_schema *schema;
    struct mr_tracker *tracker;
    struct mr_track_task *tasks[TASKS]; /* 0 and, with two sources, 1 begin with a source */
    struct mr_ptime now;
    uint64_t given_up[64];
    uint32_t given_up_count;
    uint64_t completed[256], failed[256];
    uint32_t completed_count, failed_count;
};

static enum mr_status give_up(void *self, const struct mr_batch *batch, uint32_t row,
                              enum mr_status why, struct mr_error *err)
{
    struct rig *rig = self;

    (void)err;
    MR_EXPECT(why != MR_OK);
    MR_EXPECT(rig->given_up_count < 64);
    rig->given_up[rig->given_up_count++] =
        (uint64_t)mr_column_int64(&batch->columns[0], mr_batch_at(batch, row));
    return MR_OK;
}

static void on_completed(void *self, void *reader, uint64_t row)
{
    struct rig *rig = self;

    MR_EXPECT(reader == &rig->now);
    MR_EXPECT(rig->completed_count < 256);
    rig->completed[rig->completed_count++] = row;
}

static void on_failed(void *self, void *reader, uint64_t row, enum mr_status why)
{
    struct rig *rig = self;

    MR_EXPECT(reader == &rig->now && why != MR_OK && rig->failed_count < 256);
    rig->failed[rig->failed_count++] = row;
}

static const uint32_t source_tasks[] = {0, 1};

static struct mr_tracker_options options_of(uint32_t sources)
{
    return (struct mr_tracker_options){.task_count = TASKS,
                                       .sources = source_tasks,
                                       .source_count = sources,
                                       .attempt = 3,
                                       .key = {1, 2, 3, 4},
                                       .timeout_us = 1000000,
                                       .pending_rows = 1024};
}

static void rig_open(struct rig *rig, uint32_t sources, bool ids)
{
    struct mr_tracker_options options = options_of(sources);
    struct mr_track_calls calls = {.self = rig, .give_up = give_up};
    struct mr_error err;

    memset(rig, 0, sizeof *rig);
    if (ids) {
        calls.completed = on_completed;
        calls.failed = on_failed;
    }
    mr_data_test_open(&rig->data);
    rig->schema = mr_data_schema("id int64");
    MR_EXPECT_OK(mr_tracker_create(mr_test_heap(), &options, &rig->tracker, &err), &err);
    for (uint32_t i = 0; i < TASKS; i++) rig->tasks[i] = mr_tracker_task(rig->tracker, i);
    for (uint32_t i = 0; i < sources; i++) mr_track_calls(rig->tasks[i], &calls);
}

static void rig_close(struct rig *rig)
{
    mr_tracker_destroy(rig->tracker);
    mr_schema_release(rig->schema);
    mr_data_test_close(&rig->data);
}

/* As a scan hands it out: the origin is known. */
static struct mr_batch *rows(struct rig *rig, const char *text)
{
    struct mr_batch *batch = mr_data_batch(&rig->data.quota, rig->schema, text);

    batch->origin = (struct mr_origin){.known = true};
    return batch;
}

/* What an operator makes: output row i from row from[i] of its input, repeats allowed. */
static struct mr_batch *made_from(struct rig *rig, struct mr_batch *input, const uint32_t *from,
                                  uint32_t count)
{
    struct mr_batch *out = mr_batch_new(&rig->data.quota, 1, 4096);
    int64_t *values = mr_batch_values(out, MR_LAYOUT_I64, count);
    uint32_t *numbers = mr_batch_memory(out, (count + 1) * sizeof *numbers);

    for (uint32_t i = 0; i < count; i++) {
        values[i] = mr_column_int64(&input->columns[0], mr_batch_at(input, from[i]));
        numbers[i] = input->origin_rows != NULL ? input->origin_rows[from[i]] : from[i];
    }
    out->columns[0] = (struct mr_column){.type = MR_INT64, .values = values};
    out->row_count = count;
    out->origin = input->origin;
    out->origin_rows = numbers;
    return out;
}

static void read_rows(struct rig *rig, uint32_t task, struct mr_batch *batch, const uint64_t *ids)
{
    MR_EXPECT(mr_track_ready(rig->tasks[task]));
    MR_EXPECT_OK(mr_track_read(rig->tasks[task], batch, ids, &rig->now, NULL), NULL);
}

static struct mr_batch *leave(struct rig *rig, uint32_t task, struct mr_batch *batch)
{
    struct mr_batch *out = NULL;

    MR_EXPECT_OK(mr_track_leave(rig->tasks[task], &rig->data.quota, batch, &out, NULL), NULL);
    MR_EXPECT(out != NULL);
    return out;
}

static struct mr_batch *begin(struct rig *rig, uint32_t task, struct mr_batch *batch)
{
    struct mr_batch *out = NULL;

    MR_EXPECT(mr_track_ready(rig->tasks[task]));
    MR_EXPECT_OK(mr_track_begin(rig->tasks[task], &rig->data.quota, batch, &out, NULL), NULL);
    MR_EXPECT(out != NULL);
    return out;
}

static void end(struct rig *rig, uint32_t task)
{
    MR_EXPECT_OK(mr_track_end(rig->tasks[task], NULL), NULL);
}

static void turn(struct rig *rig, uint32_t task)
{
    bool moved;
    struct mr_error err;

    MR_EXPECT_OK(mr_track_turn(rig->tasks[task], rig->now, &moved, &err), &err);
}

static void expect_pending(struct rig *rig, uint32_t pending)
{
    turn(rig, 0);
    MR_EXPECT_EQ_UINT(mr_track_pending(rig->tasks[0]), pending);
}

/* ---- completion ---- */

/* Filters, functions and a sink in one task: nothing is sent, nothing is written per row. */
MR_TEST(tracker, rows_that_do_not_leave_their_task_are_completed_when_the_input_has_ended)
{
    struct rig rig;

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n2\n3\n");
    read_rows(&rig, 0, batch, NULL);
    mr_batch_release(batch);
    expect_pending(&rig, 3);
    end(&rig, 0);
    expect_pending(&rig, 0);
    MR_EXPECT(mr_track_idle(rig.tasks[0]));
    rig_close(&rig);
}

MR_TEST(tracker, rows_that_leave_are_completed_when_the_last_task_has_worked_on_them)
{
    struct rig rig;
    const uint32_t from[] = {0, 2};

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n2\n3\n");
    read_rows(&rig, 0, batch, NULL);
    struct mr_batch *kept = mr_batch_select(&rig.data.quota, batch, from, 2); /* a filter */
    struct mr_batch *sent = leave(&rig, 0, kept);
    end(&rig, 0);
    expect_pending(&rig, 2); /* the row that was filtered out is done */
    struct mr_batch *got = begin(&rig, 2, sent);
    MR_EXPECT_EQ_STR(mr_data_print(got), "1\n3\n");
    expect_pending(&rig, 2);
    end(&rig, 2);
    expect_pending(&rig, 0);
    mr_batch_release(got);
    mr_batch_release(sent);
    mr_batch_release(kept);
    mr_batch_release(batch);
    rig_close(&rig);
}

/* A row that becomes two is done when both are, in whichever order words arrive (A1). */
MR_TEST(tracker, when_a_row_becomes_two_in_two_tasks_then_it_waits_for_both)
{
    struct rig rig;
    const uint32_t twice[] = {0, 0};
    const uint32_t once[] = {0};

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n");
    read_rows(&rig, 0, batch, NULL);
    struct mr_batch *two = made_from(&rig, batch, twice, 2);
    struct mr_batch *one = made_from(&rig, batch, once, 1);
    struct mr_batch *left = leave(&rig, 0, two);
    struct mr_batch *right = leave(&rig, 0, one); /* a side output */
    struct mr_batch *got = begin(&rig, 2, left);
    end(&rig, 2);
    mr_batch_release(got);
    expect_pending(&rig, 1); /* the source has not even said what it made */
    end(&rig, 0);
    expect_pending(&rig, 1);
    got = begin(&rig, 3, right);
    end(&rig, 3);
    mr_batch_release(got);
    expect_pending(&rig, 0);
    mr_batch_release(left);
    mr_batch_release(right);
    mr_batch_release(two);
    mr_batch_release(one);
    mr_batch_release(batch);
    rig_close(&rig);
}

/* Acknowledged, the source may forget the row: then it must not lie in a writer's buffer. */
MR_TEST(tracker, in_a_task_that_writes_rows_are_completed_when_the_writer_has_passed_them_on)
{
    struct rig rig;

    rig_open(&rig, 1, false);
    mr_track_holds(rig.tasks[0]);
    struct mr_batch *batch = rows(&rig, "1\n2\n");
    read_rows(&rig, 0, batch, NULL);
    mr_batch_release(batch);
    end(&rig, 0);
    expect_pending(&rig, 2);
    MR_EXPECT(!mr_track_idle(rig.tasks[0]));
    batch = rows(&rig, "3\n");
    read_rows(&rig, 0, batch, NULL); /* is not flushed with the first ones: it is still at hand */
    mr_batch_release(batch);
    MR_EXPECT_OK(mr_track_flushed(rig.tasks[0], NULL), NULL);
    expect_pending(&rig, 1);
    end(&rig, 0);
    expect_pending(&rig, 1);
    MR_EXPECT_OK(mr_track_flushed(rig.tasks[0], NULL), NULL);
    expect_pending(&rig, 0);
    rig_close(&rig);
}

/* Rejected records leave gaps in the numbers that rows are known by. */
MR_TEST(tracker, rows_of_a_source_are_found_by_their_numbers)
{
    struct rig rig;
    const uint32_t last[] = {2};

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n2\n3\n");
    uint32_t *numbers = mr_batch_memory(batch, 3 * sizeof *numbers);
    numbers[0] = 4, numbers[1] = 7, numbers[2] = 19;
    batch->origin_rows = numbers;
    read_rows(&rig, 0, batch, NULL);
    struct mr_batch *out = made_from(&rig, batch, last, 1);
    struct mr_batch *sent = leave(&rig, 0, out);
    end(&rig, 0);
    expect_pending(&rig, 1);
    struct mr_batch *got = begin(&rig, 2, sent);
    end(&rig, 2);
    expect_pending(&rig, 0);
    mr_batch_release(got);
    mr_batch_release(sent);
    mr_batch_release(out);
    mr_batch_release(batch);
    rig_close(&rig);
}

/* A pair with an anchor each: what a join makes. */
static struct mr_batch *join(struct rig *rig, struct mr_batch *left, struct mr_batch *right)
{
    struct mr_batch *out = mr_batch_new(&rig->data.quota, 1, 4096);
    struct mr_column *list = mr_batch_memory(out, sizeof *list);
    struct mr_column *child = mr_batch_memory(out, sizeof *child);
    uint32_t *offsets = mr_batch_values(out, MR_LAYOUT_LIST, 1);
    int64_t *pairs = mr_batch_values(out, MR_LAYOUT_I64, 4);

    MR_EXPECT(mr_batch_borrow(out, left) && mr_batch_borrow(out, right));
    memcpy(pairs, left->hidden[MR_HIDDEN_TRACKING]->children[0].values, 16);
    memcpy(pairs + 2, right->hidden[MR_HIDDEN_TRACKING]->children[0].values, 16);
    offsets[0] = 0, offsets[1] = 4;
    *child = (struct mr_column){.type = MR_INT64, .values = pairs};
    *list = (struct mr_column){
        .type = MR_LIST, .child_count = 1, .child_rows = 4, .values = offsets, .children = child};
    out->columns[0] = left->columns[0];
    out->row_count = 1;
    out->hidden[MR_HIDDEN_TRACKING] = list;
    return out;
}

MR_TEST(tracker, a_row_with_anchors_at_two_sources_completes_both)
{
    struct rig rig;

    rig_open(&rig, 2, false);
    struct mr_batch *batch = rows(&rig, "1\n");
    struct mr_batch *sent[2], *both, *got, *further, *last;
    for (uint32_t i = 0; i < 2; i++) {
        read_rows(&rig, i, batch, NULL);
        sent[i] = leave(&rig, i, batch);
        end(&rig, i);
    }
    both = join(&rig, sent[0], sent[1]);
    got = begin(&rig, 2, both);
    further = leave(&rig, 2, got);
    end(&rig, 2);
    turn(&rig, 1);
    expect_pending(&rig, 1);
    MR_EXPECT_EQ_UINT(mr_track_pending(rig.tasks[1]), 1);
    last = begin(&rig, 3, further);
    end(&rig, 3);
    turn(&rig, 1);
    expect_pending(&rig, 0);
    MR_EXPECT_EQ_UINT(mr_track_pending(rig.tasks[1]), 0);
    struct mr_batch *all[] = {last, further, got, both, sent[0], sent[1], batch};
    for (uint32_t i = 0; i < MR_COUNT(all); i++) mr_batch_release(all[i]);
    rig_close(&rig);
}

/* ---- failure ---- */

MR_TEST(tracker, a_kept_row_that_fails_is_sent_again_alone)
{
    struct rig rig;
    struct mr_batch *again = NULL;

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n2\n3\n");
    read_rows(&rig, 0, batch, NULL);
    MR_EXPECT_OK(mr_track_fail(rig.tasks[0], batch, 1, MR_E_AGAIN, NULL), NULL);
    mr_batch_release(batch);
    end(&rig, 0);
    expect_pending(&rig, 1);
    MR_EXPECT_OK(mr_track_again(rig.tasks[0], &rig.data.quota, &again, NULL), NULL);
    MR_EXPECT_EQ_STR(mr_data_print(again), "2\n");
    struct mr_batch *sent = leave(&rig, 0, again);
    end(&rig, 0);
    expect_pending(&rig, 1);
    struct mr_batch *got = begin(&rig, 2, sent);
    end(&rig, 2);
    expect_pending(&rig, 0);
    MR_EXPECT_EQ_UINT(mr_track_stats(rig.tasks[0]).failed, 1);
    mr_batch_release(got);
    mr_batch_release(sent);
    mr_batch_release(again);
    MR_EXPECT_OK(mr_track_again(rig.tasks[0], &rig.data.quota, &again, NULL), NULL);
    MR_EXPECT(again == NULL);
    rig_close(&rig);
}

/* What does not fit one batch, or the pending rows, goes out with the next ones. */
MR_TEST(tracker, when_more_rows_failed_than_go_out_at_once_then_the_rest_follows)
{
    struct rig rig;
    char text[700 * 5];
    size_t at = 0;
    uint32_t again_rows = 0;

    rig_open(&rig, 1, false);
    for (uint32_t i = 0; i < 700; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%u\n", i);
    struct mr_batch *batch = rows(&rig, text);
    read_rows(&rig, 0, batch, NULL);
    for (uint32_t i = 0; i < 700; i++) {
        MR_EXPECT_OK(mr_track_fail(rig.tasks[0], batch, i, MR_E_AGAIN, NULL), NULL);
    }
    mr_batch_release(batch);
    end(&rig, 0);
    expect_pending(&rig, 700);
    for (uint32_t i = 0; i < 2; i++) {
        MR_EXPECT_OK(mr_track_again(rig.tasks[0], &rig.data.quota, &batch, NULL), NULL);
        MR_EXPECT(batch != NULL);
        MR_EXPECT_EQ_INT(mr_column_int64(&batch->columns[0], mr_batch_at(batch, 0)), again_rows);
        again_rows += batch->row_count;
        mr_batch_release(batch);
        end(&rig, 0);
    }
    MR_EXPECT_EQ_UINT(again_rows, 700);
    expect_pending(&rig, 0);
    rig_close(&rig);
}

/* Poison: otherwise it would go round for ever. */
MR_TEST(tracker, a_kept_row_that_fails_too_often_goes_to_the_policy_for_bad_records)
{
    struct rig rig;
    struct mr_batch *again;

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n2\n3\n");
    read_rows(&rig, 0, batch, NULL);
    for (uint32_t i = 0; i < MR_TRACK_TRIES_DEFAULT; i++) {
        MR_EXPECT_EQ_UINT(rig.given_up_count, 0);
        MR_EXPECT_OK(mr_track_fail(rig.tasks[0], batch, i == 0 ? 2 : 0, MR_E_AGAIN, NULL), NULL);
        mr_batch_release(batch);
        end(&rig, 0);
        turn(&rig, 0);
        MR_EXPECT_OK(mr_track_again(rig.tasks[0], &rig.data.quota, &again, NULL), NULL);
        batch = again;
    }
    MR_EXPECT(again == NULL);
    MR_EXPECT_EQ_UINT(rig.given_up_count, 1);
    MR_EXPECT_EQ_UINT(rig.given_up[0], 3);
    expect_pending(&rig, 0);
    rig_close(&rig);
}

/* A row of a later task fails the row of the source that it was made from. */
MR_TEST(tracker, a_source_with_ids_is_told_which_rows_are_completed_and_which_failed)
{
    struct rig rig;
    const uint64_t ids[] = {100, 200, 300};

    rig_open(&rig, 1, true);
    struct mr_batch *batch = rows(&rig, "1\n2\n3\n");
    read_rows(&rig, 0, batch, ids);
    struct mr_batch *sent = leave(&rig, 0, batch);
    end(&rig, 0);
    MR_EXPECT(mr_track_awaits(rig.tasks[0], &rig.now));
    MR_EXPECT(!mr_track_awaits(rig.tasks[0], &rig.data));
    struct mr_batch *got = begin(&rig, 2, sent);
    MR_EXPECT_OK(mr_track_fail(rig.tasks[2], got, 1, MR_E_AGAIN, NULL), NULL);
    end(&rig, 2);
    expect_pending(&rig, 0);
    MR_EXPECT_EQ_UINT(rig.failed_count, 1);
    MR_EXPECT_EQ_UINT(rig.failed[0], 200);
    MR_EXPECT(!mr_track_awaits(rig.tasks[0], &rig.now)); /* the failed one is its own again */
    MR_EXPECT_EQ_UINT(rig.completed_count, 2);
    MR_EXPECT_EQ_UINT(rig.completed[0] + rig.completed[1], 400);
    mr_batch_release(got);
    mr_batch_release(sent);
    mr_batch_release(batch);
    rig_close(&rig);
}

/* The batch was dropped on its way: nobody will ever speak of its rows. */
MR_TEST(tracker, rows_of_which_nothing_is_heard_are_sent_again_after_the_time_out)
{
    struct rig rig;
    struct mr_batch *again = NULL;

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n2\n");
    read_rows(&rig, 0, batch, NULL);
    mr_batch_release(leave(&rig, 0, batch));
    mr_batch_release(batch);
    end(&rig, 0);
    for (uint32_t i = 0; i < 80; i++) {
        rig.now.us += 20000;
        turn(&rig, 0);
    }
    MR_EXPECT_EQ_UINT(mr_track_stats(rig.tasks[0]).timed_out, 2);
    MR_EXPECT_OK(mr_track_again(rig.tasks[0], &rig.data.quota, &again, NULL), NULL);
    MR_EXPECT_EQ_STR(mr_data_print(again), "1\n2\n");
    mr_batch_release(again);
    rig_close(&rig);
}

/* Sent on, such a row could be lost without anybody noticing. */
MR_TEST(tracker, a_row_that_leaves_and_is_made_of_no_known_row_is_refused)
{
    struct rig rig;
    struct mr_batch *out = NULL;
    struct mr_error err;

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n");
    read_rows(&rig, 0, batch, NULL);
    batch->origin.known = false;
    MR_EXPECT_STATUS(mr_track_leave(rig.tasks[0], &rig.data.quota, batch, &out, &err),
                     MR_E_UNSUPPORTED);
    MR_EXPECT_CONTAINS(err.text, "--state-dir");
    MR_EXPECT(out == NULL);
    end(&rig, 0);
    batch->origin.known = true; /* but there is no input that its rows could be made from */
    MR_EXPECT_STATUS(mr_track_leave(rig.tasks[0], &rig.data.quota, batch, &out, &err),
                     MR_E_UNSUPPORTED);
    mr_batch_release(batch);
    rig_close(&rig);
}

/* ---- room ---- */

MR_TEST(tracker, when_a_source_does_not_listen_then_tasks_wait_and_nothing_is_lost)
{
    struct rig rig;
    uint32_t sent_count = 0;
    struct mr_batch *sent[200]; /* a message each: more than a ring holds */

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n");
    while (mr_track_room(rig.tasks[0], SIZE_MAX) > 0 && sent_count < 200) {
        read_rows(&rig, 0, batch, NULL);
        sent[sent_count++] = leave(&rig, 0, batch);
        end(&rig, 0);
    }
    uint32_t done = 0;
    for (; done < sent_count && mr_track_ready(rig.tasks[2]); done++) {
        mr_batch_release(begin(&rig, 2, sent[done]));
        end(&rig, 2);
    }
    MR_EXPECT(done > 0 && done < sent_count);
    for (uint32_t guard = 0; done < sent_count && guard < 1000; guard++) {
        turn(&rig, 0);
        if (!mr_track_ready(rig.tasks[2])) continue;
        mr_batch_release(begin(&rig, 2, sent[done++]));
        end(&rig, 2);
    }
    MR_EXPECT_EQ_UINT(done, sent_count);
    while (!mr_track_ready(rig.tasks[2])) turn(&rig, 0);
    for (uint32_t i = 0; i < 10; i++) turn(&rig, 0);
    expect_pending(&rig, 0);
    for (uint32_t i = 0; i < sent_count; i++) mr_batch_release(sent[i]);
    mr_batch_release(batch);
    rig_close(&rig);
}

MR_TEST(tracker, reading_stops_at_the_pending_rows_and_at_what_may_be_kept)
{
    struct rig rig;

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n2\n");
    MR_EXPECT_EQ_UINT(mr_track_room(rig.tasks[0], SIZE_MAX), 1024);
    read_rows(&rig, 0, batch, NULL);
    mr_batch_release(leave(&rig, 0, batch));
    MR_EXPECT_EQ_UINT(mr_track_room(rig.tasks[0], SIZE_MAX), 1022);
    MR_EXPECT_EQ_UINT(mr_track_room(rig.tasks[0], 4096), 0);
    end(&rig, 0);
    mr_batch_release(batch);
    rig_close(&rig);
}

/* ---- memory ---- */

static enum mr_status once_through(struct rig *rig, const struct mr_tracker_options *options,
                                   struct mr_batch *batch)
{
    struct mr_tracker *tracker;
    struct mr_batch *sent = NULL, *got = NULL, *again = NULL;
    struct mr_track_task *first, *last;
    struct mr_track_calls calls = {.self = rig, .give_up = give_up};
    enum mr_status st = mr_tracker_create(mr_test_heap(), options, &tracker, NULL);
    bool moved;

    if (st != MR_OK) tracker = NULL;
    MR_GOTO(st);
    first = mr_tracker_task(tracker, 0);
    last = mr_tracker_task(tracker, 2);
    mr_track_holds(last);
    mr_track_calls(first, &calls);
    MR_GOTO(mr_track_read(first, batch, NULL, NULL, NULL));
    MR_GOTO(mr_track_leave(first, &rig->data.quota, batch, &sent, NULL));
    if (sent == NULL) st = MR_E_NOMEM;
    MR_GOTO(st);
    MR_GOTO(mr_track_end(first, NULL));
    MR_GOTO(mr_track_begin(last, &rig->data.quota, sent, &got, NULL));
    if (got == NULL) st = MR_E_NOMEM;
    MR_GOTO(st);
    MR_GOTO(mr_track_fail(last, got, 0, MR_E_AGAIN, NULL));
    MR_GOTO(mr_track_end(last, NULL));
    MR_GOTO(mr_track_flushed(last, NULL));
    MR_GOTO(mr_track_turn(first, rig->now, &moved, NULL));
    MR_GOTO(mr_track_again(first, &rig->data.quota, &again, NULL));
    if (again == NULL) st = MR_E_NOMEM;
done:
    mr_batch_release(again);
    mr_batch_release(got);
    mr_batch_release(sent);
    mr_tracker_destroy(tracker);
    return st;
}

MR_TEST(tracker, when_memory_is_refused_then_the_call_says_so_and_nothing_leaks)
{
    struct rig rig;
    struct mr_tracker_options options = options_of(1);
    struct mr_heap *heap = mr_test_heap();

    rig_open(&rig, 1, false);
    struct mr_batch *batch = rows(&rig, "1\n2\n3\n");
    options.pending_rows = 64;
    MR_EXPECT_OK(once_through(&rig, &options, batch), NULL); /* the pool keeps the blocks */
    MR_TORTURE(heap) {
        enum mr_status st = once_through(&rig, &options, batch);
        MR_EXPECT_EQ_INT(st, mr_test_refused(heap) ? MR_E_NOMEM : MR_OK);
    }
    mr_batch_release(batch);
    rig_close(&rig);
}

/* ---- random jobs ----
 * Source 0 -> tasks 1 and 2 (rows are dropped, doubled, failed) -> task 3, which writes. Every turn
 * something moves, at random. The oracle is a list of rows: at the end each must have been
 * written as often as the middle wanted it, or more; a row is completed only after that. */

#define IDS   200u
#define QUEUE 32u

struct world {
    struct rig *rig;
    struct mr_prng prng;
    struct mr_batch *queues[TASKS][QUEUE]; /* inputs of each task */
    uint32_t queued[TASKS];
    uint32_t next_id;
    uint32_t written[IDS], unflushed[IDS];
};

/* How many rows the middle makes of one. */
static uint32_t copies(uint64_t id)
{
    return (uint32_t)(id % 3);
}

static void take_from(struct world *world, uint32_t task, struct mr_batch **out)
{
    *out = world->queues[task][0];
    memmove(&world->queues[task][0], &world->queues[task][1],
            --world->queued[task] * sizeof(struct mr_batch *));
}

static struct mr_batch *fresh_rows(struct world *world)
{
    char text[512];
    size_t at = 0;
    uint32_t count = 1 + (uint32_t)mr_prng_below(&world->prng, 20);

    for (uint32_t i = 0; i < count && world->next_id < IDS; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "%u\n", world->next_id++);
    }
    return at == 0 ? NULL : rows(world->rig, text);
}

static void source_moves(struct world *world)
{
    struct mr_track_task *task = world->rig->tasks[0];
    uint32_t to = 1 + (uint32_t)mr_prng_below(&world->prng, 2);
    struct mr_batch *batch = NULL;

    turn(world->rig, 0);
    if (!mr_track_ready(task) || world->queued[to] == QUEUE) return;
    MR_EXPECT_OK(mr_track_again(task, &world->rig->data.quota, &batch, NULL), NULL);
    if (batch == NULL) {
        if (mr_track_room(task, SIZE_MAX) < 20) return;
        batch = fresh_rows(world);
        if (batch == NULL) return;
        MR_EXPECT_OK(mr_track_read(task, batch, NULL, NULL, NULL), NULL);
    }
    world->queues[to][world->queued[to]++] = leave(world->rig, 0, batch);
    end(world->rig, 0);
    mr_batch_release(batch);
}

static void middle_moves(struct world *world, uint32_t task, uint32_t fail_percent)
{
    struct mr_batch *sent, *got;
    uint32_t from[256];
    uint32_t count = 0;

    if (world->queued[task] == 0 || world->queued[3] == QUEUE) return;
    if (!mr_track_ready(world->rig->tasks[task])) return;
    take_from(world, task, &sent);
    got = begin(world->rig, task, sent);
    for (uint32_t i = 0; i < got->row_count; i++) {
        int64_t id = mr_column_int64(&got->columns[0], mr_batch_at(got, i));
        for (uint32_t k = 0; k < copies((uint64_t)id); k++) from[count++] = i;
        if (mr_prng_below(&world->prng, 100) >= fail_percent) continue;
        MR_EXPECT_OK(mr_track_fail(world->rig->tasks[task], got, i, MR_E_AGAIN, NULL), NULL);
    }
    if (count > 0) {
        struct mr_batch *made = made_from(world->rig, got, from, count);
        world->queues[3][world->queued[3]++] = leave(world->rig, task, made);
        mr_batch_release(made);
    }
    end(world->rig, task);
    mr_batch_release(got);
    mr_batch_release(sent);
}

static void writer_moves(struct world *world)
{
    struct mr_batch *sent, *got;

    if (mr_prng_below(&world->prng, 3) == 0) {
        for (uint32_t i = 0; i < IDS; i++) {
            world->written[i] += world->unflushed[i];
            world->unflushed[i] = 0;
        }
        MR_EXPECT_OK(mr_track_flushed(world->rig->tasks[3], NULL), NULL);
    }
    if (world->queued[3] == 0 || !mr_track_ready(world->rig->tasks[3])) return;
    take_from(world, 3, &sent);
    got = begin(world->rig, 3, sent);
    for (uint32_t i = 0; i < got->row_count; i++) {
        world->unflushed[mr_column_int64(&got->columns[0], mr_batch_at(got, i))]++;
    }
    end(world->rig, 3);
    mr_batch_release(got);
    mr_batch_release(sent);
}

static void world_run(struct world *world, struct rig *rig, uint64_t seed)
{
    memset(world, 0, sizeof *world);
    world->rig = rig;
    mr_prng_init(&world->prng, seed, 0);
    mr_track_holds(rig->tasks[3]);
    for (uint32_t move = 0; move < 100000; move++) {
        switch (mr_prng_below(&world->prng, 4)) {
        case 0: source_moves(world); break;
        case 1: middle_moves(world, 1, move < 300 ? 5 : 0); break;
        case 2: middle_moves(world, 2, 0); break;
        default: writer_moves(world); break;
        }
        if (world->next_id == IDS && mr_track_pending(rig->tasks[0]) == 0) break;
    }
}

MR_TEST(tracker, in_random_jobs_every_row_is_written_before_the_source_may_end)
{
    static struct world world;
    uint64_t failed = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct rig rig;

        rig_open(&rig, 1, false);
        world_run(&world, &rig, seed);
        MR_EXPECT_EQ_UINT(world.next_id, IDS);
        MR_EXPECT_EQ_UINT(mr_track_pending(rig.tasks[0]), 0); /* it ends */
        for (uint32_t i = 0; i < IDS; i++) {
            bool given_up = false;
            for (uint32_t k = 0; k < rig.given_up_count; k++) given_up |= rig.given_up[k] == i;
            if (!given_up) MR_EXPECT(world.written[i] >= copies(i));
        }
        failed += mr_track_stats(rig.tasks[0]).failed;
        for (uint32_t t = 0; t < TASKS; t++) {
            while (world.queued[t] > 0) mr_batch_release(world.queues[t][--world.queued[t]]);
        }
        rig_close(&rig);
    }
    MR_EXPECT(failed > 100);
}
