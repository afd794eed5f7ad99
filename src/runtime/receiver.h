/* receiver.h - the inputs of a task: many channels in, one ordered stream of items out.
 *
 * Takes items from the channels in turn, merges their watermarks by the three-state rule, aligns
 * their barriers, and hands on batches, merged watermarks, idleness, one barrier per epoch when every
 * open channel has delivered it, and, when all channels have ended, one END. A channel that delivered
 * a barrier is not read until the others did.
 *
 * Owns:    nothing but its table; channels belong to the runner.
 * Thread:  confined to the receiving task.
 * Fails:   an unknown item tag is refused.
 * Cost:    a few ns per item.
 *
 * Invariants: (1) a channel that sent END is not read again. (2) what comes out after END: nothing.
 *  (3) no row behind a barrier comes out before the barrier, none before it comes out behind.
 */
#ifndef MR_RUNTIME_RECEIVER_H
#define MR_RUNTIME_RECEIVER_H

#include "core/align.h"
#include "core/watermark.h"
#include "runtime/channel.h"

struct mr_receiver {
    struct mr_channel **channels;
    uint32_t *inputs; /* which input of the stage each channel feeds */
    bool *ended;
    uint32_t channel_count;
    uint32_t open_count;
    uint32_t at; /* whose turn it is */
    struct mr_watermark watermark;
    struct mr_align align;
    struct mr_item held[2]; /* further items that one channel item gave, in order; tag 0: none */
    const struct mr_choose *choose;
};

/* `last_epoch`: the one that was restored; 0: a fresh start. Arrays of `channel_count` entries are made in the arena; the caller fills channels and inputs. */
enum mr_status mr_receiver_init(struct mr_receiver *receiver, struct mr_arena *arena,
                                uint32_t channel_count, uint64_t last_epoch,
                                const struct mr_choose *choose,
                                struct mr_error *err) MR_MUST_USE;
/* The next item; *out_found false: nothing there now. */
enum mr_status mr_receiver_next(struct mr_receiver *receiver, struct mr_item *out,
                                bool *out_found, struct mr_error *err) MR_MUST_USE;

#endif
