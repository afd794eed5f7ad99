/* epoch_log_internal.h - what the log, its opening and its compaction share.
 *
 * Owns:    see epoch_log.h.
 * Thread:  confined.
 * Fails:   as documented per function.
 * Cost:    none of its own.
 */
#ifndef MR_STATE_EPOCH_LOG_INTERNAL_H
#define MR_STATE_EPOCH_LOG_INTERNAL_H

#include "state/epoch_log.h"
#include "state/log_walk.h"

/* Old segments kept to be written again: making one costs as much as filling it. */
#define MRI_REUSE_MAX 32u

/* A segment of this attempt that is written to, or prepared for it. */
struct mri_segment_file {
    uint64_t number;
    struct mri_file file; /* ready: durable, with its head */
    struct mri_segment_file *next;
};

/* All before an epoch that stands alone: the epoch before it, where that one ended, its replay. */
struct mri_cut {
    uint64_t epoch; /* 0: nothing to cut off */
    struct mri_place place;
    uint64_t replay_bytes;
};

enum mri_log_phase { MRI_LOG_REST, MRI_LOG_FILLING, MRI_LOG_COMMITTING, MRI_LOG_BROKEN };

struct mr_epoch_log {
    struct mr_heap *heap;
    struct mr_disk *disk;
    char *dir;
    struct mr_epoch_log_options options;
    struct mri_meta meta;         /* as it is on disk */
    struct mri_manifest manifest; /* in force */

    struct mri_queue append;
    struct mri_queue prepare;
    struct mri_segment_file *first; /* holds `end` */
    struct mri_segment_file *current;
    uint64_t reuse[MRI_REUSE_MAX]; /* numbers of old segments of this fence, in order; 0: none */
    struct mri_place end; /* behind the last complete epoch */
    uint64_t last_epoch;
    uint64_t full_epoch;   /* the last one that stands alone; 0: none in the log */
    uint64_t full_bytes;   /* its size, if this attempt wrote it */
    uint64_t replay_bytes; /* in the chains */
    struct mri_cut cut;    /* what the last epoch that stands alone made superfluous */

    enum mri_log_phase phase;
    bool spoiled; /* an add failed */
    struct mri_begin begin;
    uint64_t at; /* in `current` */
    bool in_epoch;
    uint32_t crc;
    uint64_t entry_count;
    uint64_t byte_count;
    struct mr_buffer block; /* written next, to block_offset */
    uint64_t block_offset;
    struct mr_buffer payload; /* the ENTRIES record being filled */
    struct mr_entry_writer writer;
    struct mr_error broken; /* why */

    bool compacting;
    uint64_t next_number[MRI_FILE_OTHER];
};

/* Usable bytes of a segment: the last block is for a link or a marker. */
MR_INLINE uint64_t mri_segment_usable(const struct mr_epoch_log *log)
{
    return log->options.segment_bytes - log->options.align_bytes;
}

char *mri_log_path(const struct mr_epoch_log *log, enum mri_file_type type, uint64_t fence,
                   uint64_t number) MR_MUST_USE;
/* A segment of this attempt, prepared by the queue `prepare`. */
enum mr_status mri_log_first_segment(struct mr_epoch_log *log, struct mr_error *err) MR_MUST_USE;
/* An ENTRIES record as it is (for the copy of an epoch). */
enum mr_status mri_log_add_record(struct mr_epoch_log *log, struct mr_bytes payload,
                                  uint64_t entry_count, struct mr_error *err) MR_MUST_USE;
void mri_log_break(struct mr_epoch_log *log, const struct mr_error *why);

/* Enqueues: a whole file, durable with its name. */
bool mri_put_file(struct mri_queue *queue, struct mri_file *file, const char *dir, char *path,
                  struct mr_buffer *data) MR_MUST_USE;

/* The switch of META, in steps: compare, replace, read back. */
enum mri_switch_stage {
    MRI_SWITCH_BEGIN,
    MRI_SWITCH_READ,
    MRI_SWITCH_REPLACE,
    MRI_SWITCH_BACK,
    MRI_SWITCH_DONE
};
struct mri_switch {
    struct mri_queue *queue;
    const char *dir;
    struct mri_meta before; /* fence 0: META may be missing */
    struct mri_meta after;
    enum mri_switch_stage stage;
    bool touched; /* META may have changed */
    struct mri_file file;
    struct mr_buffer data;
};
void mri_switch_init(struct mri_switch *change, struct mri_queue *queue, const char *dir,
                     const struct mri_meta *before, const struct mri_meta *after);
void mri_switch_fini(struct mri_switch *change);
/* MRI_QUEUE_IDLE: done. FAILED: *err, and change->touched says whether META may be the new one. */
enum mri_queue_state mri_switch_step(struct mri_switch *change, struct mr_error *err);

#endif
