/* snapshots_test.c - state that earlier versions wrote is read, opened and restored; see README.md.
 *
 * With MR_SNAPSHOT_WRITE=DIR it writes a new folder instead, by today's code. */
#include "fault_disk.h"
#include "mr_test.h"
#include "state/epoch_log_internal.h"
#include "state/savepoint.h"
#include "state/snapshot.h"
#include "state/state_rig.h"
#include "state/timers.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define KEYS       48u
#define OPERATOR   "rig"
#define JOB        "millrace job 1\nname golden\ngroups 64\nend 00000000\n"
#define FILE_BYTES (1u << 20)

static struct fault_disk disk;
static struct rig rig;

/* ---- files of the tree ---- */

static void load(const char *folder, const char *name, const char *as)
{
    static char data[FILE_BYTES];
    char path[1024];
    FILE *file;
    size_t size;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    MR_EXPECT(file != NULL);
    size = fread(data, 1, sizeof data, file);
    MR_EXPECT(size < sizeof data);
    (void)fclose(file);
    (void)snprintf(path, sizeof path, "%s/%s", as, name);
    fault_disk_put(&disk, path, data, size);
}

static void load_all(const char *folder, const char *as)
{
    DIR *dir = opendir(folder);

    MR_EXPECT(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') load(folder, entry->d_name, as);
    }
    (void)closedir(dir);
}

static void save(const char *folder, const char *name, const void *data, size_t size)
{
    char path[1024];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wbx");
    MR_EXPECT(file != NULL && fwrite(data, 1, size, file) == size);
    MR_EXPECT_EQ_INT(fclose(file), 0);
}

static void save_all(const char *from, const char *folder)
{
    size_t size = strlen(from);

    MR_EXPECT_EQ_INT(mkdir(folder, 0777), 0);
    for (uint32_t i = 0; i < FAULT_NAMES_MAX; i++) {
        const struct fault_name *at = &disk.names[i];

        if (at->now == NULL || strncmp(at->name, from, size) != 0 || at->name[size] != '/')
            continue;
        save(folder, at->name + size + 1, at->now->data, at->now->size_bytes);
    }
}

/* ---- content as text ---- */

static void add_hex(struct mr_text *out, struct mr_bytes bytes)
{
    mr_text_add_char(out, ' ');
    if (bytes.size_bytes == 0) mr_text_add_char(out, '-');
    for (size_t i = 0; i < bytes.size_bytes; i++) {
        mr_text_format(out, "%02x", (unsigned)(unsigned char)bytes.data[i]);
    }
}

static enum mr_status add_line(void *self, const char *operator_id, const struct mr_entry *entry,
                               struct mr_error *err)
{
    struct mr_text *out = self;

    (void)err;
    mr_text_format(out, "%s '%s' %d %u %lld %u-%u", operator_id, entry->state_name,
                   (int)entry->kind, entry->key_group, (long long)entry->ns, entry->group_first,
                   entry->group_end);
    add_hex(out, entry->key);
    add_hex(out, entry->value);
    mr_text_add_char(out, '\n');
    return mr_text_status(out);
}

static void print(const char *dir, struct mr_text *out)
{
    struct mr_snapshot *snapshot;
    const char *operator_id;
    struct mr_entry entry;
    struct mr_error err;

    MR_EXPECT_OK(mr_snapshot_open(mr_test_heap(), &disk.disk, dir, 0, &snapshot, &err), &err);
    MR_EXPECT_EQ_UINT(mr_snapshot_info(snapshot)->key_group_count, RIG_GROUPS);
    for (;;) {
        MR_EXPECT_OK(mr_snapshot_next(snapshot, &operator_id, &entry, &err), &err);
        if (operator_id == NULL) break;
        MR_EXPECT_OK(add_line(out, operator_id, &entry, &err), &err);
    }
    mr_snapshot_close(snapshot);
}

/* ---- making ---- */

static const struct mr_slot_ops slots = {.slot_bytes = 8};

static struct mr_store *new_store(void)
{
    struct mr_store *store = rig_store(RIG_MIXED, true, 0, RIG_GROUPS);
    struct mr_error err;

    MR_EXPECT(store != NULL);
    MR_EXPECT_OK(mr_store_declare(store, 0, "agg", &slots, &err), &err);
    MR_EXPECT_OK(mr_store_declare(store, 1, "seen", &slots, &err), &err);
    return store;
}

/* Epoch by epoch other keys, other timers; some are removed, a namespace is dropped. */
static void change(struct mr_store *store, uint32_t epoch)
{
    struct mr_error err;
    uint32_t ids[16], found[16], done;
    struct mr_timer timer = {.domain = (enum mr_time_domain)(epoch % 2),
                             .time_us = (int64_t)epoch * 1000,
                             .hold_us = epoch % 3 == 0 ? (int64_t)epoch : MR_TIME_MAX,
                             .ns = epoch,
                             .tag = epoch};

    for (uint32_t i = 0; i < 16; i++) {
        ids[i] = (epoch * 7 + i * 3) % KEYS;
        if (ids[i] == 7)
            ids[i] = KEYS; /* the very long key of the rig: too long for our segments */
    }
    rig.shape = RIG_MIXED;
    rig_keys(&rig, ids, 16);
    for (uint32_t s = 0; s < 2; s++) {
        struct mr_table *table = mr_store_table(store, s, (int64_t)(epoch % 3) * MR_HOUR);

        MR_EXPECT(table != NULL);
        MR_EXPECT_EQ_INT(mr_table_prepare(table, &rig.keys, NULL, 16, found, &done),
                         MR_PREPARE_READY);
        for (uint32_t i = 0; i < 16; i++) {
            uint64_t *slot = mr_table_slot(table, found[i]);

            *slot = epoch * 1000 + ids[i];
        }
        if (epoch % 2 == 0) mr_table_remove(table, found[s]);
    }
    if (epoch == 4) mr_store_drop(store, mr_store_find(store, 1, MR_HOUR));
    MR_EXPECT(mr_timers_set(mr_store_timers(store), &timer));
    if (epoch == 5) {
        timer.domain = MR_EVENT_TIME;
        timer.ns = timer.tag = 2;
        mr_timers_clear(mr_store_timers(store), &timer);
    }
    MR_EXPECT_OK(mr_store_value_set(store, "watermark", &epoch, sizeof epoch, &err), &err);
}

static enum mr_status add_entry(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    return mr_epoch_log_add(self, OPERATOR, entry, err);
}

static void commit(struct mr_epoch_log *log)
{
    enum mr_log_state state;
    struct mr_error err;

    MR_EXPECT_OK(mr_epoch_log_commit(log, &err), &err);
    while ((state = mr_epoch_log_poll(log, &err)) == MR_LOG_BUSY) {
    }
    MR_EXPECT_EQ_INT(state, MR_LOG_IDLE);
}

static void compact(struct mr_epoch_log *log)
{
    struct mr_compaction *compaction;
    enum mr_compaction_state state;
    struct mr_error err;

    MR_EXPECT_OK(mr_compaction_create(log, &compaction, &err), &err);
    do {
        state = mr_compaction_step(compaction, &err);
        disk.disk.poll(&disk.disk);
    } while (state == MR_COMPACTION_MORE || state == MR_COMPACTION_WAIT);
    MR_EXPECT_EQ_INT(state, MR_COMPACTION_DONE);
    mr_compaction_destroy(compaction);
}

static struct mr_epoch_log_options log_options(void)
{
    return (struct mr_epoch_log_options){.disk = &disk.disk,
                                         .dir = "state",
                                         .job_hash = UINT64_C(0x676f6c64656e),
                                         .segment_bytes = 8192,
                                         .align_bytes = 512,
                                         .base_bytes = 3000};
}

/* What tasks of a source and a sink, and the job itself, seal beside it. */
static void add_others(struct mr_epoch_log *log, uint32_t epoch)
{
    const char key[4] = {(char)epoch, 0, 0, 0};
    struct mr_entry entry = {.kind = MR_ENTRY_PUT,
                             .state_name = "splits",
                             .key = {key, sizeof key},
                             .value = {"\x01", 1}};
    struct mr_error err;

    MR_EXPECT_OK(mr_epoch_log_add(log, "source-1", &entry, &err), &err);
    entry.kind = MR_ENTRY_VALUE;
    entry.state_name = "";
    entry.key = (struct mr_bytes){"job", 3};
    entry.value = (struct mr_bytes){"0123456789abcdefghijklm", 24};
    MR_EXPECT_OK(mr_epoch_log_add(log, ":job", &entry, &err), &err);
}

static void make_state(void)
{
    const struct mr_epoch_log_options options = log_options();
    struct mr_store *store = new_store();
    struct mr_epoch_log *log;
    struct mr_error err;

    MR_EXPECT_OK(mr_epoch_log_open(mr_test_heap(), &options, NULL, NULL, &log, &err), &err);
    for (uint32_t epoch = 1; epoch <= 8; epoch++) {
        if (epoch == 7) { /* a second attempt */
            mr_epoch_log_close(log);
            MR_EXPECT_OK(mr_epoch_log_open(mr_test_heap(), &options, NULL, NULL, &log, &err), &err);
        }
        change(store, epoch);
        MR_EXPECT_OK(mr_epoch_log_begin(log, epoch, false, &err), &err);
        MR_EXPECT_OK(mr_store_seal(store, false, add_entry, log, &err), &err);
        add_others(log, epoch);
        commit(log);
        if (epoch == 3) compact(log);
    }
    mr_epoch_log_close(log);
    mr_store_destroy(store);
    fault_disk_put(&disk, "state/JOB", JOB, strlen(JOB));
}

static void make_savepoint(const char *dir)
{
    struct mr_savepoint_options options = {.disk = &disk.disk, .dir = dir, .sorted = true};
    struct mr_savepoint_writer *writer;
    struct mr_snapshot *snapshot;
    const char *operator_id;
    struct mr_entry entry;
    struct mr_error err;

    MR_EXPECT_OK(mr_snapshot_open(mr_test_heap(), &disk.disk, "state", 0, &snapshot, &err), &err);
    options.job_hash = mr_snapshot_info(snapshot)->job_hash;
    options.epoch = mr_snapshot_info(snapshot)->epoch;
    options.key_group_count = mr_snapshot_info(snapshot)->key_group_count;
    options.job = mr_snapshot_info(snapshot)->job;
    options.part_bytes = 4000;
    MR_EXPECT_OK(mr_savepoint_begin(mr_test_heap(), &options, &writer, &err), &err);
    for (;;) {
        MR_EXPECT_OK(mr_snapshot_next(snapshot, &operator_id, &entry, &err), &err);
        if (operator_id == NULL) break;
        MR_EXPECT_OK(mr_savepoint_add(writer, operator_id, &entry, &err), &err);
    }
    MR_EXPECT_OK(mr_savepoint_finish(writer, &err), &err);
    mr_savepoint_end(writer);
    mr_snapshot_close(snapshot);
}

static void write_folder(const char *folder)
{
    struct mr_text content;
    char path[1024];

    fault_disk_init(&disk, 1);
    mr_text_init(&content, mr_test_heap(), 0);
    make_state();
    make_savepoint("savepoint");
    print("state", &content);
    MR_EXPECT_EQ_INT(mkdir(folder, 0777), 0);
    (void)snprintf(path, sizeof path, "%s/state", folder);
    save_all("state", path);
    (void)snprintf(path, sizeof path, "%s/savepoint", folder);
    save_all("savepoint", path);
    save(folder, "content.txt", mr_text_get(&content), content.size_bytes);
    mr_text_fini(&content);
    fault_disk_fini(&disk);
}

/* ---- reading ---- */

static const char *root(void)
{
    static char path[400];
    const char *source = getenv("MR_SOURCE_ROOT");

    (void)snprintf(path, sizeof path, "%s/test/snapshots", source != NULL ? source : ".");
    return path;
}

static void expect_text(const char *dir, const char *expected)
{
    struct mr_text found;

    mr_text_init(&found, mr_test_heap(), 0);
    print(dir, &found);
    MR_EXPECT_EQ_STR(mr_text_get(&found), expected);
    mr_text_fini(&found);
}

struct restore {
    struct mr_store *store;
    uint64_t entries;
};

static enum mr_status restore_entry(void *self, const char *operator_id,
                                    const struct mr_entry *entry, struct mr_error *err)
{
    struct restore *restore = self;

    if (strcmp(operator_id, OPERATOR) != 0) return MR_OK;
    restore->entries++;
    return mr_store_restore(restore->store, entry, 0, RIG_GROUPS, err);
}

static enum mr_status add_sealed(void *self, const struct mr_entry *entry, struct mr_error *err)
{
    return mr_savepoint_add(self, OPERATOR, entry, err);
}

/* Everything in the store as a savepoint of its own; its text are those lines of `expected`. */
static void expect_store(struct mr_store *store, const char *dir, const char *expected)
{
    const struct mr_savepoint_options options = {
        .disk = &disk.disk, .dir = dir, .key_group_count = RIG_GROUPS};
    struct mr_savepoint_writer *writer;
    struct mr_text found;
    struct mr_error err;
    uint32_t lines = 0;

    mr_text_init(&found, mr_test_heap(), 0);
    MR_EXPECT_OK(mr_savepoint_begin(mr_test_heap(), &options, &writer, &err), &err);
    MR_EXPECT_OK(mr_store_seal(store, true, add_sealed, writer, &err), &err);
    MR_EXPECT_OK(mr_savepoint_finish(writer, &err), &err);
    mr_savepoint_end(writer);
    print(dir, &found);
    MR_EXPECT(strstr(expected, mr_text_get(&found)) != NULL); /* one operator: lines in a row */
    for (const char *at = expected; (at = strstr(at, OPERATOR " '")) != NULL; at++) lines++;
    for (const char *at = mr_text_get(&found); (at = strchr(at, '\n')) != NULL; at++) lines--;
    MR_EXPECT_EQ_UINT(lines, 0);
    mr_text_fini(&found);
}

/* A new attempt begins where the old one ended, and goes on. */
static void go_on(const char *expected)
{
    struct mr_epoch_log_options options = log_options();
    struct restore restore = {.store = new_store()};
    struct mr_epoch_log *log;
    struct mr_error err;
    uint64_t epoch;

    MR_EXPECT_OK(mr_epoch_log_open(mr_test_heap(), &options, restore_entry, &restore, &log, &err),
                 &err);
    MR_EXPECT(restore.entries > 0);
    expect_store(restore.store, "from-state", expected);
    epoch = mr_epoch_log_last(log) + 1;
    MR_EXPECT_OK(mr_epoch_log_begin(log, epoch, false, &err), &err);
    commit(log);
    MR_EXPECT_EQ_UINT(mr_epoch_log_last(log), epoch);
    compact(log);
    mr_epoch_log_close(log);
    mr_store_destroy(restore.store);
    expect_text("state", expected);
}

static void restore_savepoint(const char *expected)
{
    struct restore restore = {.store = new_store()};
    struct mr_savepoint_reader *reader;
    struct mr_error err;

    MR_EXPECT_OK(mr_savepoint_open(mr_test_heap(), &disk.disk, "savepoint", &reader, &err), &err);
    MR_EXPECT_OK(mr_savepoint_visit(reader, restore_entry, &restore, &err), &err);
    mr_savepoint_close(reader);
    expect_store(restore.store, "from-savepoint", expected);
    mr_store_destroy(restore.store);
}

static void check_folder(const char *folder)
{
    const struct fault_inode *content;
    char path[1024];
    char *expected;

    fault_disk_init(&disk, 1);
    load(folder, "content.txt", "golden");
    (void)snprintf(path, sizeof path, "%s/state", folder);
    load_all(path, "state");
    (void)snprintf(path, sizeof path, "%s/savepoint", folder);
    load_all(path, "savepoint");
    content = fault_disk_find(&disk, "golden/content.txt");
    MR_EXPECT(content != NULL && content->size_bytes > 1000);
    expected = calloc(1, content->size_bytes + 1);
    MR_EXPECT(expected != NULL);
    memcpy(expected, content->data, content->size_bytes);
    expect_text("state", expected);
    expect_text("savepoint", expected);
    restore_savepoint(expected);
    go_on(expected);
    free(expected);
    fault_disk_fini(&disk);
}

MR_TEST(snapshots, what_every_earlier_format_wrote_is_read_and_restored)
{
    DIR *dir = opendir(root());
    uint32_t folders = 0;

    if (getenv("MR_SNAPSHOT_WRITE") != NULL) {
        (void)closedir(dir);
        write_folder(getenv("MR_SNAPSHOT_WRITE"));
        return;
    }
    MR_EXPECT(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char folder[700];

        if (strncmp(entry->d_name, "format-", 7) != 0) continue;
        (void)snprintf(folder, sizeof folder, "%s/%s", root(), entry->d_name);
        check_folder(folder);
        folders++;
    }
    (void)closedir(dir);
    MR_EXPECT(folders >= 1);
}

/* So that a change of what is written is noticed: then a folder is added, see README.md. */
MR_TEST(snapshots, what_is_written_today_is_read_today)
{
    struct mr_text content;

    fault_disk_init(&disk, 1);
    mr_text_init(&content, mr_test_heap(), 0);
    make_state();
    make_savepoint("savepoint");
    print("state", &content);
    expect_text("savepoint", mr_text_get(&content));
    restore_savepoint(mr_text_get(&content));
    go_on(mr_text_get(&content));
    mr_text_fini(&content);
    fault_disk_fini(&disk);
}
