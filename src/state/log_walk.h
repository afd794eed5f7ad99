/* log_walk.h - the epochs of a state directory in order, each record checked, without blocking.
 *
 * A walk goes through the chains of a manifest. It yields the records of an epoch as they come and
 * COMPLETE when the trailer fits them; whoever must not see parts of an incomplete epoch walks
 * twice: first to find the last complete epoch, then up to it.
 *
 * What comes behind the last complete epoch of the open chain is the tail: an append that never
 * finished. A tail is told from damage by what was written later: the next epoch begins, and a
 * marker is put, only after an epoch was reported as complete, and both say so (`known`).
 *
 * Owns:    its reader. Borrows the manifest.
 * Thread:  confined.
 * Fails:   MR_E_CORRUPT, MR_E_UNSUPPORTED with file and offset; MR_E_NOMEM, MR_E_IO.
 * Cost:    each byte is read once and summed once.
 */
#ifndef MR_STATE_LOG_WALK_H
#define MR_STATE_LOG_WALK_H

#include "state/log_io.h"
#include "state/manifest.h"

struct mri_place {
    uint64_t segment; /* number, in the chain's fence */
    uint64_t offset;
};

struct mri_walk {
    struct mr_heap *heap;
    struct mr_disk *disk;
    const char *dir;
    const struct mri_manifest *manifest;
    uint64_t stop_epoch;  /* ends behind it; 0: at the tail */
    bool count_entries;   /* also check the trailer's number of entries */
    uint32_t chain;       /* index */
    uint64_t segment;     /* number */
    uint64_t align_bytes; /* of the segment */
    uint64_t capacity_bytes;
    struct mri_reader reader;
    bool reading;   /* the reader is open */
    bool have_head; /* and the segment's head was read */
    bool in_epoch;
    struct mri_begin begin; /* of the epoch being read or read last */
    uint32_t crc;
    uint64_t entry_count;
    uint64_t byte_count;
    uint64_t known;         /* last complete epoch */
    struct mri_place end;   /* behind it, in chain `chain` */
    struct mri_place start; /* where the epoch being read or read last began */
    uint32_t start_chain;
};

enum mri_walk_event {
    MRI_WALK_BEGIN,    /* walk->begin */
    MRI_WALK_ENTRIES,  /* *out: an ENTRIES record of it, borrowed until the next call */
    MRI_WALK_COMPLETE, /* walk->known is this epoch now */
    MRI_WALK_END,
    MRI_WALK_TAIL, /* what follows is not a complete epoch: see mri_walk_check_tail */
    MRI_WALK_WAIT,
    MRI_WALK_FAILED
};

void mri_walk_init(struct mri_walk *walk, struct mr_heap *heap, struct mr_disk *disk,
                   const char *dir, const struct mri_manifest *manifest, uint64_t stop_epoch);
void mri_walk_fini(struct mri_walk *walk); /* a zeroed one is allowed */
enum mri_walk_event mri_walk_next(struct mri_walk *walk, struct mri_record *out,
                                  struct mr_error *err);
enum mri_walk_event mri_walk_wait(struct mri_walk *walk, struct mri_record *out,
                                  struct mr_error *err);
/* After TAIL: refuses if something behind proves that more was complete, or if the segment is
 * shorter than it was made. Blocks. */
enum mr_status mri_walk_check_tail(struct mri_walk *walk, struct mr_error *err) MR_MUST_USE;

/* ---- base files and runs ---- */

/* All base files of a manifest as one sequence of ENTRIES records, or one run. */
struct mri_base_walk {
    struct mr_heap *heap;
    struct mr_disk *disk;
    const char *dir;
    enum mri_file_type type;
    const struct mri_base_file *files;
    uint32_t file_count;
    uint64_t epoch; /* that their heads must name */
    size_t window_bytes;
    uint32_t file; /* index */
    struct mri_reader reader;
    bool reading;
    bool have_head;
    bool have_footer;
    uint32_t crc;
};
void mri_base_walk_fini(struct mri_base_walk *walk);
/* Opens the first file now, so that it can be read after its name is gone. Blocks. */
enum mr_status mri_base_walk_open(struct mri_base_walk *walk, struct mr_error *err) MR_MUST_USE;
/* MRI_READ_RECORD: an ENTRIES record. MRI_READ_END: all was read and fits. Never BAD. */
enum mri_read mri_base_walk_next(struct mri_base_walk *walk, struct mri_record *out,
                                 struct mr_error *err);

#define MRI_WINDOW_BYTES (256u << 10)

#endif
