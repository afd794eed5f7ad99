/* snapshot.c - see snapshot.h. */
#include "state/snapshot.h"

#include "base/status.h"

#include <string.h>

struct mr_snapshot {
    struct mr_heap *heap;
    struct mr_log_reader *log; /* one of the two */
    struct mr_savepoint_reader *savepoint;
    struct mr_bytes job; /* read from JOB; ours */
    struct mr_snapshot_info info;
};

static void describe_savepoint(struct mr_snapshot *snapshot)
{
    const struct mr_savepoint_info *info = mr_savepoint_info(snapshot->savepoint);

    snapshot->info = (struct mr_snapshot_info){.job_hash = info->job_hash,
                                               .epoch = info->epoch,
                                               .key_group_count = info->key_group_count,
                                               .job = info->job,
                                               .savepoint = info};
}

/* "groups 1024" in the lines of JOB; 0: there is no such line. */
static uint32_t groups_of(struct mr_bytes job)
{
    static const char word[] = "\ngroups ";
    const size_t size = sizeof word - 1;
    uint32_t number = 0;

    for (size_t i = 0; i + size < job.size_bytes; i++) {
        if (memcmp(job.data + i, word, size) != 0) continue;
        for (i += size; i < job.size_bytes && job.data[i] >= '0' && job.data[i] <= '9'; i++) {
            if (number > 100000000) return 0;
            number = number * 10 + (uint32_t)(job.data[i] - '0');
        }
        return number;
    }
    return 0;
}

static enum mr_status open_log(struct mr_snapshot *snapshot, struct mr_disk *disk, const char *dir,
                               uint64_t epoch, struct mr_error *err)
{
    const struct mr_log_read_options options = {.disk = disk, .dir = dir, .epoch = epoch};
    const struct mr_log_info *info;

    MR_RET(mr_log_reader_open(snapshot->heap, &options, &snapshot->log, err));
    MR_RET(mr_state_file_read(snapshot->heap, disk, dir, "JOB", &snapshot->job, err));
    info = mr_log_reader_info(snapshot->log);
    snapshot->info = (struct mr_snapshot_info){.job_hash = info->job_hash,
                                               .epoch = info->epoch,
                                               .key_group_count = groups_of(snapshot->job),
                                               .job = snapshot->job,
                                               .log = info};
    return MR_OK;
}

static enum mr_status open_either(struct mr_snapshot *snapshot, struct mr_disk *disk,
                                  const char *dir, uint64_t epoch, struct mr_error *err)
{
    enum mr_status st = mr_savepoint_open(snapshot->heap, disk, dir, &snapshot->savepoint, err);

    if (st == MR_OK && epoch != 0 && epoch != mr_savepoint_info(snapshot->savepoint)->epoch) {
        return mr_error_set(err, MR_E_NOT_FOUND, "%s: a savepoint of epoch %llu, not of %llu", dir,
                            (unsigned long long)mr_savepoint_info(snapshot->savepoint)->epoch,
                            (unsigned long long)epoch);
    }
    if (st == MR_OK) describe_savepoint(snapshot);
    if (st != MR_E_NOT_FOUND) return st;
    mr_error_clear(err);
    return open_log(snapshot, disk, dir, epoch, err);
}

enum mr_status mr_snapshot_open(struct mr_heap *heap, struct mr_disk *disk, const char *dir,
                                uint64_t epoch, struct mr_snapshot **out, struct mr_error *err)
{
    struct mr_snapshot *snapshot = mr_alloc_zero(heap, sizeof *snapshot);
    struct mr_error local;
    enum mr_status st;

    if (err == NULL) err = &local;
    if (snapshot == NULL) return mr_error_nomem(err, "reading a snapshot", sizeof *snapshot);
    snapshot->heap = heap;
    st = open_either(snapshot, disk, dir, epoch, err);
    if (st != MR_OK) {
        mr_snapshot_close(snapshot);
        return st;
    }
    *out = snapshot;
    return MR_OK;
}

void mr_snapshot_close(struct mr_snapshot *snapshot)
{
    struct mr_heap *heap;

    if (snapshot == NULL) return;
    heap = snapshot->heap;
    mr_savepoint_close(snapshot->savepoint);
    mr_log_reader_close(snapshot->log);
    mr_free(heap, (char *)(uintptr_t)snapshot->job.data, snapshot->job.size_bytes);
    mr_free(heap, snapshot, sizeof *snapshot);
}

const struct mr_snapshot_info *mr_snapshot_info(const struct mr_snapshot *snapshot)
{
    return &snapshot->info;
}

enum mr_status mr_snapshot_next(struct mr_snapshot *snapshot, const char **out_operator,
                                struct mr_entry *out, struct mr_error *err)
{
    if (snapshot->savepoint != NULL) {
        return mr_savepoint_next(snapshot->savepoint, out_operator, out, err);
    }
    return mr_log_reader_next(snapshot->log, out_operator, out, err);
}
