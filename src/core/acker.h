/* acker.h - which rows of a source have been worked on to the end, and which must be sent again?
 *
 * Every row that a source hands on is the root of a tree: rows are made from it, and rows from
 * those. Each row on its way has an edge, a random 64-bit number. An operator that is done with a
 * row says so in one message that carries, XORed, the edge of that row and those of the rows it
 * made from it (A1). So every edge comes twice, when it is made and when it is used up, and the
 * XOR of all that was said about a root is 0 when nothing of it is on its way any more: about 2^-64
 * per message that it is so by chance. This machine keeps that XOR, 32 bytes per root, whatever
 * the size of the tree.
 *
 * One acker per instance of a source: roots begin here, so that no message comes before its root.
 * The number of roots is bounded; when none is free the source waits (A5). A row that is sent again
 * begins as a new root, and words about the old one find nothing (A3): the id of a root is its
 * place in the table and how often that place was used. The highest bits say whose root it is.
 *
 * XOR is not idempotent: a message counted twice would complete a tree that is not complete.
 * Senders number their messages, and what is not newer than the last one of that sender is dropped
 * (A2). A message that is lost, or overtaken and so dropped, leaves its roots open: they time out.
 *
 * A root times out when nothing was heard of it for `timeout_us` longer than the slowest of the
 * roots that were completed lately took as a whole: behind a slow operator rows wait as long as
 * those before them did, and that is no reason to send them again, which would only add to the
 * load. For the same reason time does not count while the flow stands still by back-pressure
 * (`stopped`), unless acknowledgements come in.
 *
 * At-least-once is all this gives (A6): a row that is sent again may have had effects already.
 *
 * Owns:    the table, in memory of the arena given at init; nothing is allocated later.
 * Thread:  confined.
 * Fails:   init: MR_E_NOMEM, MR_E_INVALID for a configuration that makes no sense. Steps never
 *          fail.
 * Cost:    a root: a few ns to begin, a few ns per acknowledgement, one cache line of the table. A
 *          tick looks at MR_ACKER_SWEEP roots.
 * Units:   microseconds of processing time; inside beats of 16.4 ms, so that a root fits 32 bytes.
 *
 * Invariants:
 *  (1) A place is pending iff its value is not 0. What the list of free places names is free, and
 *      it has as many entries as there are free places.
 *  (2) The low bits of a root's id are its place, the highest ones the owner; ids of a place count
 *      upwards and come again only after 2^52 / root_count uses.
 *  (3) A root ends once, as COMPLETED, FAILED or TIMED_OUT: begun = the three + pending.
 *  (4) The sequence numbers counted for a sender strictly increase.
 *  (5) No root was begun, or heard of, after now.
 */
#ifndef MR_CORE_ACKER_H
#define MR_CORE_ACKER_H

#include "base/arena.h"
#include "base/time.h"

#define MR_ACKER_BATCH      512u  /* acknowledgements per message */
#define MR_ACKER_SWEEP      4096u /* places that a tick looks at */
#define MR_ACKER_BEAT_US    ((int64_t)16384)
#define MR_ACKER_ROOTS_MAX  (1u << 24)
#define MR_ACKER_OWNERS_MAX (1u << 12)

/* Which acker keeps a root: where words about it go. */
MR_INLINE uint32_t mr_acker_owner(uint64_t root)
{
    return (uint32_t)(root >> 52);
}

/* root, and what happened in the tree below it: the edges that were made or used up, XORed. */
struct mr_ack {
    uint64_t root;
    uint64_t edges;
};

enum mr_acker_event_kind {
    MR_ACKER_ON_ACKS,  /* sender, attempt, sequence, acks */
    MR_ACKER_ON_FAILS, /* the same; `edges` mean nothing, `status` says why */
    MR_ACKER_ON_TICK   /* stopped */
};
#define MR_ACKER_EVENTS 3

struct mr_acker_event {
    enum mr_acker_event_kind kind;
    struct mr_ptime now; /* TICK; an older one than before counts as the newest so far */
    uint32_t sender;
    uint32_t count; /* of acks; at most MR_ACKER_BATCH */
    uint64_t attempt;
    uint64_t sequence; /* from 1, of acks and fails together */
    const struct mr_ack *acks;
    enum mr_status status; /* not MR_OK */
    bool stopped;          /* since the tick before rows could not move for lack of room */
};

enum mr_acker_action_kind {
    MR_ACKER_COMPLETED, /* every row made from it has been worked on */
    MR_ACKER_FAILED,    /* status: an operator gave it up; send it again */
    MR_ACKER_TIMED_OUT  /* status MR_E_TIMED_OUT: nothing was heard of it; send it again */
};
struct mr_acker_action {
    enum mr_acker_action_kind kind;
    enum mr_status status;
    uint64_t row; /* what begin was told */
    uint64_t root;
};
/* A root ends once, so a message ends at most as many as it names; a tick stops at the bound. */
#define MR_ACKER_ACTIONS_MAX MR_ACKER_BATCH
struct mr_acker_actions {
    uint32_t count;
    struct mr_acker_action items[MR_ACKER_ACTIONS_MAX];
};

struct mr_acker_config {
    uint32_t root_count;   /* 1 to MR_ACKER_ROOTS_MAX; rounded up to a power of two */
    uint32_t sender_count; /* senders are 0 .. sender_count - 1; at least 1 */
    uint32_t owner;        /* number of this acker, below MR_ACKER_OWNERS_MAX */
    uint64_t attempt;      /* messages of another one are dropped */
    uint64_t salt;         /* random: ids of different attempts differ */
    int64_t timeout_us;    /* at least 1 */
    struct mr_ptime start;
};

struct mr_acker_root { /* two to a cache line */
    uint64_t id;       /* of a free place: that its next root will have */
    uint64_t value;    /* XOR of all edges heard of; 0: free */
    uint64_t row;
    uint32_t begun; /* low half of the beat */
    uint32_t heard;
};

struct mr_acker {
    struct mr_acker_config config;
    struct mr_acker_root *roots;
    uint32_t *free;      /* the first free_count are free places; the last one is used next */
    uint64_t *sequences; /* last one counted, per sender */
    uint32_t root_count;
    uint32_t free_count;
    uint32_t used_end;  /* places from here on were never used */
    uint32_t swept;     /* next place that a tick looks at */
    int64_t now_us;     /* newest time heard */
    int64_t counted_us; /* time that counted so far */
    bool heard;         /* an acknowledgement was counted since the last tick */
    uint64_t beat;      /* counted_us in beats, from 0; roots hold the low half */
    uint32_t timeout;   /* in beats */
    uint64_t window;    /* beat at which `slowest` becomes `slowest_before` */
    uint32_t slowest;   /* longest time that a root of this window took to be completed; beats */
    uint32_t slowest_before;
    uint64_t begun, completed, failed, timed_out;
    uint64_t dead;      /* acknowledgements of roots that are over (A3) */
    uint64_t discarded; /* messages repeated or of another attempt (A2) */
    uint64_t lost;      /* gaps between sequence numbers: messages that did not come */
};

enum mr_status mr_acker_init(struct mr_acker *acker, struct mr_arena *arena,
                             const struct mr_acker_config *config,
                             struct mr_error *err) MR_MUST_USE;
/* How many roots may begin now. */
MR_INLINE uint32_t mr_acker_room(const struct mr_acker *acker)
{
    return acker->free_count;
}
/* A row goes out with `edge`, which is not 0; `row` names it to the source. There must be room.
 * Answers the root's id. */
uint64_t mr_acker_begin(struct mr_acker *acker, uint64_t row, uint64_t edge);
void mr_acker_step(struct mr_acker *acker, const struct mr_acker_event *event,
                   struct mr_acker_actions *out);
/* Every root that is pending now, one at a time, in no particular order: *cursor begins as 0.
 * False:
 * there are no more. For the end of an attempt. */
bool mr_acker_pending(const struct mr_acker *acker, uint32_t *cursor, uint64_t *out_row);
void mr_acker_check(const struct mr_acker *acker); /* looks at every place */

#endif
