/* topic.h - a topic: what its directory says, and which rows in it count.
 *
 *     DIR/topic/topic          schema, partitions, options; written once
 *     DIR/topic/attempt-G      which rows of all generations before G count; written once
 *     DIR/topic/closed-G-P     generation G writes nothing more to partition P
 *     DIR/topic/pP/seg-G-N.log segment N of generation G in partition P
 *
 * Every attempt of a job that writes is a *generation* of the topic: it takes a number above all
 * before it, and writes files with that number only. The attempt file of the highest generation is
 * in force. It lists per partition the *runs*: which rows of which earlier generation are committed.
 * What an earlier writer adds behind its run is never seen by anybody. Rows of the generation in
 * force count as its COMMIT records say.
 *
 * The *owner* of an attempt is the generation that the job began with: attempts of one job follow
 * each other freely, another job begins only where the one before has ended.
 *
 * Owns:    a topic its schema and path; an index its runs.
 * Thread:  confined; everything here waits for the disk: for planning, opening and recovery.
 * Fails:   NOT_FOUND, CORRUPT, UNSUPPORTED, SCHEMA, BUSY with the file and what to do.
 * Cost:    a listing and a small file.
 *
 * Invariants:
 *  (1) The runs of a partition follow each other without gap: row_end is the row_first of the next,
 *      the last one ends at next_row; generations ascend.
 *  (2) A file of a generation is written by the process that took its number, and no other.
 *  (3) A row number of a partition, once committed, is the same row for ever.
 */
#ifndef MR_CONNECT_LOG_TOPIC_H
#define MR_CONNECT_LOG_TOPIC_H

#include "connect/log/topic_file.h"

#define MRI_TOPIC_SEGMENT_BYTES ((uint64_t)64 << 20)
#define MRI_TOPIC_SEGMENT_MIN   ((uint64_t)4096)
#define MRI_TOPIC_SEGMENT_MAX   ((uint64_t)4 << 30)

/* 0: not given. */
struct mri_topic_options {
    uint64_t partitions;
    uint64_t segment_bytes;
    uint64_t retain_bytes; /* per partition; whole segments */
    uint64_t retain_us;    /* by the last write of a segment */
};

struct mri_topic {
    struct mr_heap *heap;
    char *path;
    struct mr_schema *schema;
    uint64_t schema_hash;
    struct mri_topic_options options; /* complete; retain: 0 is for ever */
};

struct mri_topic_run {
    uint64_t generation;
    uint64_t segment_last; /* its rows end in this segment or before */
    uint64_t row_first;
    uint64_t row_end;
};
struct mri_topic_part {
    uint64_t next_row; /* of the generation in force: the number of its first row */
    uint64_t run_count;
    struct mri_topic_run *runs;
};
#define MRI_TOPIC_NO_OWNER UINT64_C(0) /* a job without epochs */
struct mri_topic_index {
    struct mr_heap *heap;
    uint64_t generation; /* 0: nobody has written yet */
    uint64_t fence;
    uint64_t owner;
    uint64_t instance_count; /* of the attempt: partitions behind are not written by it */
    uint32_t part_count;
    struct mri_topic_part *parts;
};

/* "log://DIR/topic?partitions=4&segment=64MiB&retain=1GiB&retain-time=7d&follow" */
struct mri_topic_url {
    char *path; /* DIR/topic; freed by the caller with mr_strfree */
    struct mri_topic_options options;
    bool follow;
};
enum mr_status mri_topic_url_parse(struct mr_heap *heap, const char *url, struct mri_topic_url *out,
                                   struct mr_error *err) MR_MUST_USE;

enum mr_status mri_topic_load(struct mr_heap *heap, struct mr_disk *disk, const char *path,
                              struct mri_topic *out, struct mr_error *err) MR_MUST_USE;
/* Makes it if it is not there (partitions: the default), and checks that schema and options fit. */
enum mr_status mri_topic_create(struct mr_heap *heap, struct mr_disk *disk, const char *path,
                                const struct mr_schema *schema,
                                const struct mri_topic_options *options, uint64_t partitions,
                                struct mri_topic *out, struct mr_error *err) MR_MUST_USE;
void mri_topic_fini(struct mri_topic *topic); /* a zeroed one is allowed */

enum mr_status mri_topic_index_load(const struct mri_topic *topic, struct mr_disk *disk,
                                    struct mri_topic_index *out, struct mr_error *err) MR_MUST_USE;
/* From a file's bytes: what index_load does with the newest attempt. `name` is for messages. */
enum mr_status mri_topic_index_parse(struct mr_heap *heap, struct mr_bytes bytes,
                                     uint64_t generation, const char *name,
                                     struct mri_topic_index *out, struct mr_error *err) MR_MUST_USE;
void mri_topic_index_fini(struct mri_topic_index *index);
/* The run of a generation; NULL: none of its rows count. */
const struct mri_topic_run *mri_topic_find_run(const struct mri_topic_part *part,
                                               uint64_t generation);
bool mri_topic_add_run(struct mri_topic_index *index, uint32_t part,
                       const struct mri_topic_run *run) MR_MUST_USE;
/* Takes the next number, which is written to index->generation (and to the owner if `own`), and puts
 * the attempt file in its place, for good. */
enum mr_status mri_topic_publish(const struct mri_topic *topic, struct mr_disk *disk,
                                 struct mri_topic_index *index, bool own,
                                 struct mr_error *err) MR_MUST_USE;
/* Closes a partition for a generation; again is fine. `run`: what it committed there, or NULL. */
enum mr_status mri_topic_close(const struct mri_topic *topic, struct mr_disk *disk,
                               uint64_t generation, uint32_t partition,
                               const struct mri_topic_run *run,
                               struct mr_error *err) MR_MUST_USE;
enum mr_status mri_topic_is_closed(const struct mri_topic *topic, struct mr_disk *disk,
                                   const struct mri_topic_index *index, bool *out,
                                   struct mr_error *err) MR_MUST_USE;
/* Removes what no reader can ever need: other attempts, and segments that hold no row that counts. */
void mri_topic_clean(const struct mri_topic *topic, struct mr_disk *disk,
                     const struct mri_topic_index *index);

/* What a generation has committed in a partition by its own COMMIT records; *out_any false: none.
 * Damage before a COMMIT is MR_E_CORRUPT. `row_first` is of the generation. */
enum mr_status mri_topic_scan(const struct mri_topic *topic, struct mr_disk *disk,
                              uint32_t partition, uint64_t generation, uint64_t row_first,
                              struct mri_topic_run *out, bool *out_any,
                              struct mr_error *err) MR_MUST_USE;
/* Are the last rows of a run there? MR_E_LOST names the file if not. */
enum mr_status mri_topic_verify(const struct mri_topic *topic, struct mr_disk *disk,
                                uint32_t partition, const struct mri_topic_run *run,
                                struct mr_error *err) MR_MUST_USE;

/* Names; NULL: no memory. Free with mr_strfree. */
char *mri_topic_path(struct mr_heap *heap, const char *path, const char *format, ...)
    MR_PRINTF(3, 4);
char *mri_topic_segment_path(const struct mri_topic *topic, uint32_t partition,
                             uint64_t generation, uint64_t segment);
/* "seg-3-7.log". False: another name. */
bool mri_topic_segment_name(const char *name, uint64_t *out_generation, uint64_t *out_segment);
/* The generation of "attempt-3" or "attempt-3.new"; 0: another name. */
uint64_t mri_topic_attempt_name(const char *name, bool *out_published);

/* The segments of a partition, ascending by generation and number. */
struct mri_topic_segment {
    uint64_t generation;
    uint64_t segment;
};
void mri_topic_sort_segments(struct mri_topic_segment *segments, uint32_t count);
enum mr_status mri_topic_segments(const struct mri_topic *topic, struct mr_disk *disk,
                                  uint32_t partition, struct mri_topic_segment **out,
                                  uint32_t *out_count, struct mr_error *err) MR_MUST_USE;

#endif
