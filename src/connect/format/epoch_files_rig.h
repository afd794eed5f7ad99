/* epoch_files_rig.h - the file sink with epochs over a disk that fails, for its tests.
 *
 * Plays the engine: attempts with fences, epochs that are complete when all writers have prepared,
 * a log that remembers their states. Row `id` belongs to epoch id / 100; which writer gets it
 * changes with the number of writers. After every request of the disk a reader looks at all final
 * names: whole rows, of complete epochs, none twice, and no file that it has seen ever changes. The
 * oracle is that list of ids.
 *
 * Owns:    copies of states and of seen files, from malloc.
 * Thread:  confined.
 * Fails:   `complaint` keeps the first thing that was not as it should be.
 * Cost:    all visible bytes per request.
 */
#ifndef MR_CONNECT_EPOCH_FILES_RIG_H
#define MR_CONNECT_EPOCH_FILES_RIG_H

#include "connect/connect.h"
#include "fault_disk.h"
#include "mr_test.h"

#define RIG_WRITERS_MAX 3u
#define RIG_EPOCHS      5u
#define RIG_ROWS        6u /* per epoch; epoch 3 has none */
#define RIG_IDS         ((RIG_EPOCHS + 2) * 100)
#define RIG_SEEN_MAX    64u
#define RIG_STATE_BYTES 2048u

struct rig_state {
    char bytes[RIG_STATE_BYTES];
    size_t size_bytes;
};

struct rig_seen {
    char name[128];
    char *data;
    size_t size_bytes;
};

struct rig {
    struct fault_disk disk;
    struct mr_heap *heap;
    struct mr_schema *schema;
    struct mr_pool *pool;
    struct mr_quota quota;
    const char *path; /* "out/" or "out/all.csv" */
    enum mr_text_format format;
    uint64_t roll_bytes;
    /* the log: */
    struct rig_state states[RIG_WRITERS_MAX];
    uint32_t state_count;
    uint64_t complete;
    bool finished;
    uint64_t fence;
    /* the reader: */
    struct rig_seen seen[RIG_SEEN_MAX];
    uint32_t seen_count;
    char complaint[256];
};

/* One attempt: its sink and writers. */
struct rig_attempt {
    struct rig *rig;
    struct mr_sink sink;
    void *writers[RIG_WRITERS_MAX];
    uint32_t count;
    uint64_t fence;
    struct mr_ptime now;
    struct rig_state prepared[RIG_WRITERS_MAX];
    uint32_t blocked; /* answers so far */
    struct mr_error err;
};

void rig_init(struct rig *rig, const char *path, uint64_t seed);
void rig_fini(struct rig *rig);
/* Recovers and opens `writers` of them; nothing more is opened for a finished job. */
enum mr_status rig_begin(struct rig *rig, struct rig_attempt *attempt, uint32_t writers);
void rig_end(struct rig_attempt *attempt); /* after rig_begin, whatever it answered */
/* The rows of one epoch, over all writers. */
enum mr_status rig_write(struct rig_attempt *attempt, uint64_t epoch);
/* All writers prepare; the states are in `prepared`. */
enum mr_status rig_prepare(struct rig_attempt *attempt, uint64_t epoch);
void rig_complete(struct rig_attempt *attempt, uint64_t epoch); /* the log has it for good */
enum mr_status rig_commit_epoch(struct rig_attempt *attempt, uint64_t epoch);
enum mr_status rig_finish(struct rig_attempt *attempt);
enum mr_status rig_commit(struct rig_attempt *attempt);
/* From where the log stands to the end of the job. `lag`: an epoch is committed when the next one
 * is prepared. */
enum mr_status rig_run(struct rig_attempt *attempt, bool lag);
/* rig_begin, rig_run, rig_end. */
enum mr_status rig_live(struct rig *rig, uint32_t writers, bool lag, struct mr_error *err);
/* What must be true when the job is over. */
void rig_check_end(struct rig *rig);
void rig_look(void *self); /* the reader */
void rig_complain(struct rig *rig, const char *format, ...) MR_PRINTF(2, 3);

#endif
