/* savepoint_rig.h - what the tests of savepoints share: a state directory with a random life, and two
 * ways to make a savepoint of it.
 *
 * Owns:    one rig (log_rig.h).
 * Thread:  confined.
 * Fails:   expectations.
 * Cost:    none that matters.
 */
#ifndef MR_STATE_SAVEPOINT_RIG_H
#define MR_STATE_SAVEPOINT_RIG_H

#include "log_rig.h"
#include "state/entry_order.h"
#include "state/log_read.h"
#include "state/savepoint.h"

static struct rig rig;

#define JOB_TEXT "job flights\n"

/* ---- making ---- */

MR_UNUSED static struct mr_savepoint_options options_of(struct mr_disk *disk, const char *dir,
                                                        bool sorted)
{
    return (struct mr_savepoint_options){.disk = disk,
                                         .dir = dir,
                                         .job_hash = 77,
                                         .epoch = rig.reported,
                                         .key_group_count = RIG_GROUPS,
                                         .job = {JOB_TEXT, strlen(JOB_TEXT)},
                                         .part_bytes = 1500,
                                         .sorted = sorted};
}

/* From the rig's state directory, by way of the offline reader. */
MR_UNUSED static enum mr_status copy_log(struct mr_disk *disk, const char *dir,
                                         struct mr_error *err)
{
    const struct mr_savepoint_options options = options_of(disk, dir, true);
    const struct mr_log_read_options from = {.disk = &rig.disk.disk, .dir = "run/state"};
    struct mr_savepoint_writer *writer = NULL;
    struct mr_log_reader *reader = NULL;
    enum mr_status st;

    MR_GOTO(mr_log_reader_open(mr_test_heap(), &from, &reader, err));
    MR_GOTO(mr_savepoint_begin(mr_test_heap(), &options, &writer, err));
    for (;;) {
        const char *operator_id;
        struct mr_entry entry;

        MR_GOTO(mr_log_reader_next(reader, &operator_id, &entry, err));
        if (operator_id == NULL) break;
        MR_GOTO(mr_savepoint_add(writer, operator_id, &entry, err));
    }
    MR_GOTO(mr_savepoint_finish(writer, err));
done:
    mr_savepoint_end(writer);
    mr_log_reader_close(reader);
    return st;
}

/* What a seal of everything yields, in an order of its own. */
MR_UNUSED static enum mr_status add_all(struct mr_savepoint_writer *writer, struct mr_error *err)
{
    for (uint32_t i = RIG_OPERATORS * RIG_SPACES * RIG_KEYS; i-- > 0;) {
        uint32_t op = i % RIG_OPERATORS, space = i / RIG_OPERATORS % RIG_SPACES;
        uint32_t key = i / (RIG_OPERATORS * RIG_SPACES) % RIG_KEYS;
        uint64_t number = rig.state.cells[op][space][key];
        char key_bytes[8], value[256];
        struct mr_entry entry;

        rig_entry(&entry, MR_ENTRY_PUT, key, key_bytes, rig_ns(space));
        entry.value = (struct mr_bytes){value, rig_value(number + 1, value)};
        MR_RET(mr_savepoint_add(writer, rig_operator(op), &entry, err)); /* replaced below */
        if (number == 0) entry.kind = MR_ENTRY_REMOVE;
        entry.value = (struct mr_bytes){value, number == 0 ? 0 : rig_value(number, value)};
        MR_RET(mr_savepoint_add(writer, rig_operator(op), &entry, err));
    }
    for (uint32_t i = 0; i < RIG_OPERATORS * RIG_TIMERS; i++) {
        uint64_t time = rig.state.timers[i / RIG_TIMERS][i % RIG_TIMERS];
        char key_bytes[8], value[21] = {1};
        struct mr_entry entry;

        rig_entry(&entry, time == 0 ? MR_ENTRY_TIMER_CLEAR : MR_ENTRY_TIMER_SET, i % RIG_TIMERS,
                  key_bytes, 0);
        entry.state_name = "";
        memcpy(value + 5, &time, 8);
        entry.value = (struct mr_bytes){value, sizeof value};
        MR_RET(mr_savepoint_add(writer, rig_operator(i / RIG_TIMERS), &entry, err));
    }
    for (uint32_t i = 0; i < RIG_OPERATORS * 2; i++) {
        uint64_t number = rig.state.values[i / 2][i % 2];
        char key_bytes[8];
        struct mr_entry entry;

        if (number == 0) continue;
        rig_entry(&entry, MR_ENTRY_VALUE, i % 2 * (RIG_KEYS - 1), key_bytes, 0);
        entry.state_name = "";
        entry.key_group = 0;
        entry.key = (struct mr_bytes){"watermark", 9};
        entry.value = (struct mr_bytes){(const char *)&number, 8};
        MR_RET(mr_savepoint_add(writer, rig_operator(i / 2), &entry, err));
    }
    return MR_OK;
}

MR_UNUSED static enum mr_status copy_seals(struct mr_disk *disk, const char *dir,
                                           struct mr_error *err)
{
    const struct mr_savepoint_options options = options_of(disk, dir, false);
    struct mr_savepoint_writer *writer = NULL;
    enum mr_status st;

    MR_GOTO(mr_savepoint_begin(mr_test_heap(), &options, &writer, err));
    MR_GOTO(add_all(writer, err));
    MR_GOTO(mr_savepoint_finish(writer, err));
done:
    mr_savepoint_end(writer);
    return st;
}

/* ---- reading ---- */

MR_UNUSED static enum mr_status read_back(struct mr_disk *disk, const char *dir,
                                          struct rig_state *out, struct mr_error *err)
{
    struct mr_savepoint_reader *reader = NULL;
    enum mr_status st;

    memset(out, 0, sizeof *out);
    st = mr_savepoint_open(mr_test_heap(), disk, dir, &reader, err);
    if (st == MR_OK) st = mr_savepoint_visit(reader, rig_visit, out, err);
    mr_savepoint_close(reader);
    return st;
}

MR_UNUSED static void expect_state(struct mr_disk *disk, const char *dir)
{
    struct rig_state found;
    struct mr_error err;

    MR_EXPECT_OK(read_back(disk, dir, &found, &err), &err);
    MR_EXPECT(memcmp(&found, &rig.state, sizeof found) == 0);
}

MR_UNUSED static void live(uint64_t seed)
{
    rig_init(&rig, seed);
    rig.compacts = true;
    MR_EXPECT_OK(rig_run(&rig, 8 + seed % 9), &rig.err);
    rig_stop(&rig);
}

MR_UNUSED static uint32_t files_in(struct fault_disk *disk, const char *dir)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        count += disk->names[i].now != NULL &&
                 strncmp(disk->names[i].name, dir, strlen(dir)) == 0 &&
                 disk->names[i].name[strlen(dir)] == '/';
    }
    return count;
}

#endif
