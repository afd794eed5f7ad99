/* topic_rig.h - for tests: a job without an engine that writes a topic, with readers beside it.
 *
 * The input is the numbers 0, 1, 2, ...; row r goes to writer r % writers. An epoch is complete when
 * all writers have prepared it: from then on its rows are promised, and the oracle knows where they
 * must come out. A follower per partition checks after every step that it sees a prefix of that,
 * each row once.
 *
 * Owns:    disk, heap, sink, readers.
 * Thread:  one.
 * Fails:   as the disk does: steps answer a status; broken promises fail the test.
 * Cost:    none that matters.
 */
#ifndef MR_CONNECT_LOG_RIG_H
#define MR_CONNECT_LOG_RIG_H

#include "fault_disk.h"
#include "base/arena.h"
#include "connect/connect.h"
#include "connect/log/topic.h"
#include "data/builder.h"
#include "mr_test.h"

#define RIG_PARTITIONS 3u
#define RIG_ROWS_MAX   4096u

struct log_rig_follower {
    void *reader;
    struct mr_buffer position; /* empty: from the start */
    uint32_t seen;
    uint32_t position_seen; /* rows before the position */
};

struct log_rig {
    struct fault_disk disk;
    struct mr_heap heap;
    struct mr_heap outer; /* of what is not under test */
    struct mr_pool *pool;
    struct mr_quota quota;
    struct mr_schema *schema;
    const char *url;
    struct mr_ptime now;
    /* the job */
    struct mr_sink sink;
    void *writers[RIG_PARTITIONS];
    uint32_t writer_count;
    uint64_t fence;
    uint64_t next;   /* row of the input that is written next */
    uint64_t epoch;  /* the last complete one */
    bool finished;   /* and it held all */
    uint64_t complete;
    struct mr_buffer states[RIG_PARTITIONS];
    uint32_t state_count;
    /* the oracle */
    uint32_t expected[RIG_PARTITIONS][RIG_ROWS_MAX];
    uint32_t expected_count[RIG_PARTITIONS];
    /* readers */
    struct mr_source source;
    struct mr_arena arena;
    struct mr_split_list splits;
    struct log_rig_follower followers[RIG_PARTITIONS];
    bool no_follow;
    struct mr_error err;
};

void log_rig_init(struct log_rig *rig, uint64_t seed);
void log_rig_fini(struct log_rig *rig);
/* A new attempt: recovers and opens writers. */
enum mr_status log_rig_start(struct log_rig *rig, uint32_t writers);
enum mr_status log_rig_write(struct log_rig *rig, uint32_t rows);
enum mr_status log_rig_prepare(struct log_rig *rig, uint64_t epoch,
                               struct mr_buffer states[RIG_PARTITIONS]);
enum mr_status log_rig_commit(struct log_rig *rig, uint64_t epoch);
/* Writes, prepares, decides, commits. */
enum mr_status log_rig_epoch(struct log_rig *rig, uint32_t rows);
enum mr_status log_rig_finish(struct log_rig *rig);
/* The process goes: what was open is closed. */
void log_rig_stop(struct log_rig *rig);
/* The followers read what they can. */
void log_rig_follow(struct log_rig *rig);
/* A reader of its own finds all that is promised. */
void log_rig_check(struct log_rig *rig);
/* The same over another heap; an error is answered. Rows that come are the promised ones. `cut`: after
 * so many batches the reader is closed and another goes on from its position (0: never). */
enum mr_status log_rig_read(struct log_rig *rig, struct mr_heap *heap, uint32_t cut,
                            uint32_t *out_seen);

#endif
