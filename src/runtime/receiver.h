/* receiver.h - the inputs of a task: many channels in, one ordered stream of items out.
 *
 * Takes items from the channels in turn, merges their watermarks by the three-state rule, and hands
 * on batches, merged watermarks, idleness and, when all channels have ended, one END.
 *
 * Owns:    nothing but its table; channels belong to the runner.
 * Thread:  confined to the receiving task.
 * Fails:   an unknown item tag is refused.
 * Cost:    a few ns per item.
 *
 * Invariants: (1) a channel that sent END is not read again. (2) what comes out after END: nothing.
 */
#ifndef MR_RUNTIME_RECEIVER_H
#define MR_RUNTIME_RECEIVER_H

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
    struct mr_item held; /* a second item that one channel item gave (END after its watermark) */
    const struct mr_choose *choose;
};

/* Arrays of `channel_count` entries are made in the arena; the caller fills channels and inputs. */
enum mr_status mr_receiver_init(struct mr_receiver *receiver, struct mr_arena *arena,
                                uint32_t channel_count, const struct mr_choose *choose,
                                struct mr_error *err) MR_MUST_USE;
/* The next item; *out_found false: nothing there now. */
enum mr_status mr_receiver_next(struct mr_receiver *receiver, struct mr_item *out,
                                bool *out_found, struct mr_error *err) MR_MUST_USE;

#endif
