/* tracker_internal.h - what tracker.c (tasks) and track_source.c (sources) share.
 *
 * Owns:    see tracker.h.
 * Thread:  see tracker.h.
 * Fails:   see tracker.h.
 * Cost:    see tracker.h.
 */
#ifndef MR_RUNTIME_TRACKER_INTERNAL_H
#define MR_RUNTIME_TRACKER_INTERNAL_H

#include "base/assert.h"
#include "base/ring.h"
#include "base/status.h"
#include "core/edge_ids.h"
#include "runtime/tracker.h"

#define MRI_MESSAGE_ACKS 126u /* a message is 2 KiB */
/* Messages per ring: what a batch says should fit, or its task waits for the source. With many
 * tasks rings are smaller, so that all together stay small. */
#define MRI_MESSAGE_SLOTS_MAX 64u
#define MRI_MESSAGE_SLOTS_MIN 4u
#define MRI_RINGS_BYTES       ((size_t)64 * 1024 * 1024)

struct mri_track_message {
    uint64_t sequence;
    uint32_t count;
    enum mr_status status; /* MR_OK: acknowledgements; else the roots have failed */
    struct mr_ack acks[MRI_MESSAGE_ACKS];
};

struct mri_acks { /* a growing list; the first `at` are dealt with */
    struct mr_ack *items;
    uint32_t count, room, at;
};

struct mri_track_failed {
    uint64_t root;
    enum mr_status why;
};

/* A batch whose rows may have to be sent again, or the ids by which its reader knows them. */
struct mri_kept {
    struct mr_batch *batch; /* NULL: the source keeps its rows itself */
    size_t bytes;           /* of the quota */
    void *reader;           /* without a batch: whom to tell */
    uint64_t *ids;
    uint32_t rows;
    uint32_t open;   /* rows not completed, failed or given up; 0: the place is free */
    uint32_t failed; /* of these: to be sent again */
    uint8_t *tries;  /* per row: failures so far, and MRI_AGAIN; NULL: none failed */
};
#define MRI_AGAIN     0x80u
#define MRI_TRIES_MAX 0x7fu
#define MRI_KEPT_MAX  4096u

struct mri_track_source {
    uint32_t ordinal; /* among the sources: the owner in root ids */
    struct mr_arena arena;
    struct mr_acker acker;
    struct mr_acker_actions actions;
    struct mr_track_calls calls;
    struct mr_ptime ticked;
    struct mr_wakeup *wakeup; /* NULL: its worker never sleeps */
    struct mri_kept *kept;    /* MRI_KEPT_MAX */
    uint32_t kept_count;      /* in use */
    uint32_t kept_next;       /* where to look for a free place */
    uint32_t kept_failed;     /* rows to be sent again, of all */
    size_t kept_bytes;
    uint64_t given_up;
    struct mr_error error; /* of give_up; status MR_OK: none */
};

struct mr_track_task {
    struct mr_tracker *tracker;
    uint32_t ordinal;
    struct mr_edge_ids ids;
    bool holds;
    /* The input at hand: what is outstanding for each of its rows. */
    bool at_hand;
    uint32_t row_count;
    struct mri_acks entries;
    uint32_t *first; /* row -> its first entry, row_count + 1; not used if `single` */
    uint32_t first_room;
    bool single;           /* row i has entry i only */
    uint32_t *origin_rows; /* ascending numbers that rows made from row i are known by */
    uint32_t origin_room;
    bool renumbered; /* false: row i is known by i */
    /* What is to be said. */
    struct mri_acks held; /* until the writer has passed its rows on */
    struct mri_acks due;
    struct mri_track_failed *failed;
    uint32_t failed_count, failed_room, failed_at;
    struct mri_track_message *open;  /* per source: being filled */
    uint64_t *sequences;             /* per source */
    struct mri_track_source *source; /* NULL: the task has none */
};

struct mr_tracker {
    struct mr_heap *heap;
    struct mr_tracker_options options;
    struct mr_track_task *tasks;
    struct mri_track_source *sources;
    char *ring_memory;
    size_t ring_bytes;
    struct mr_ring *rings; /* [task * source_count + source] */
    uint32_t rings_made;
};

/* Makes room for `more` items behind `count`. */
bool mri_acks_reserve(struct mr_heap *heap, struct mri_acks *acks, uint32_t more);
void mri_acks_free(struct mr_heap *heap, struct mri_acks *acks);
bool mri_grow(struct mr_heap *heap, void **memory, uint32_t *room, uint32_t wanted, size_t size);
/* The input at hand is this batch; its entries are the caller's to fill. */
enum mr_status mri_track_take(struct mr_track_task *task, const struct mr_batch *batch,
                              uint32_t entry_count, struct mr_error *err);

enum mr_status mri_source_init(struct mr_tracker *tracker, struct mri_track_source *source,
                               uint32_t ordinal, struct mr_error *err);
void mri_source_fini(struct mr_tracker *tracker, struct mri_track_source *source);
/* A message of task number `sender` has come. */
void mri_source_hear(struct mr_tracker *tracker, struct mri_track_source *source, uint32_t sender,
                     const struct mri_track_message *message);

#endif
