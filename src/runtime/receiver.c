#include "runtime/receiver.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"

enum mr_status mr_receiver_init(struct mr_receiver *receiver, struct mr_arena *arena,
                                uint32_t channel_count, uint64_t last_epoch,
                                const struct mr_choose *choose, struct mr_error *err)
{
    *receiver = (struct mr_receiver){.channel_count = channel_count, .open_count = channel_count};
    receiver->choose = choose;
    if (channel_count == 0) return MR_OK;
    receiver->channels = mr_arena_zero(arena, channel_count * sizeof *receiver->channels);
    receiver->inputs = mr_arena_zero(arena, channel_count * sizeof *receiver->inputs);
    receiver->ended = mr_arena_zero(arena, channel_count * sizeof *receiver->ended);
    if (receiver->channels == NULL || receiver->inputs == NULL || receiver->ended == NULL) {
        return mr_error_nomem(err, "the inputs of a task", channel_count * sizeof(void *));
    }
    MR_RET(mr_align_init(&receiver->align, arena, channel_count, last_epoch, err));
    return mr_watermark_init(&receiver->watermark, arena, channel_count, err);
}

/* Turns the merged result into the item that goes on, if any. */
static bool merged(struct mr_receiver *receiver, const struct mr_watermark_event *event,
                   struct mr_item *out)
{
    struct mr_watermark_action action;

    mr_watermark_step(&receiver->watermark, event, &action);
    if (action.finished) {
        *out = (struct mr_item){.tag = MR_ITEM_END, .time_us = MR_TIME_MAX};
        return true;
    }
    /* A stage that was told of our idleness must hear that rows come again, moved or not. */
    if (action.advanced || action.became_active) {
        *out = (struct mr_item){.tag = MR_ITEM_WATERMARK, .time_us = action.time.us};
        if (action.became_idle) receiver->held[0] = (struct mr_item){.tag = MR_ITEM_IDLE};
        return true;
    }
    if (action.became_idle) {
        *out = (struct mr_item){.tag = MR_ITEM_IDLE};
        return true;
    }
    return false;
}

/* The barrier that goes on now, if the event was what its alignment waited for. BLOCK and UNBLOCK
 * need no action: who reads asks. Nobody cancels: an epoch that failed is overtaken by the next. */
static bool aligned(struct mr_receiver *receiver, const struct mr_align_event *event,
                    struct mr_item *out)
{
    struct mr_align_actions actions;

    mr_align_step(&receiver->align, event, &actions);
    if (event->kind == MR_ALIGN_BARRIER) MR_CRASH("C6");
    for (uint32_t i = 0; i < actions.count; i++) {
        if (actions.items[i].kind != MR_ALIGN_SNAPSHOT) continue;
        *out = (struct mr_item){.tag = MR_ITEM_BARRIER, .epoch = actions.items[i].epoch};
        return true;
    }
    return false;
}

/* An input that ended has delivered every later barrier; the snapshot comes before what its end
 * releases. */
static bool ended(struct mr_receiver *receiver, uint32_t channel, struct mr_item *item)
{
    const struct mr_watermark_event finish = {.kind = MR_WM_FINISH, .input = channel};
    const struct mr_align_event closed = {.kind = MR_ALIGN_CLOSED, .input = channel};
    struct mr_item barrier;
    bool goes_on = aligned(receiver, &closed, &barrier);
    bool found = merged(receiver, &finish, item); /* may hold an IDLE */

    receiver->ended[channel] = true; /* (1) */
    receiver->open_count--;
    if (!goes_on) return found;
    if (found) {
        receiver->held[1] = receiver->held[0];
        receiver->held[0] = *item;
    }
    *item = barrier; /* (3) */
    return true;
}

static enum mr_status take(struct mr_receiver *receiver, uint32_t channel, struct mr_item *item,
                           bool *out_found, struct mr_error *err)
{
    struct mr_watermark_event event = {.input = channel};

    *out_found = false;
    switch ((int)item->tag) {
    case MR_ITEM_BATCH:
        item->input = receiver->inputs[channel];
        *out_found = true;
        return MR_OK;
    case MR_ITEM_WATERMARK:
        event.kind = MR_WM_ADVANCE;
        event.time.us = item->time_us;
        break;
    case MR_ITEM_IDLE: event.kind = MR_WM_IDLE; break;
    case MR_ITEM_BARRIER: {
        const struct mr_align_event barrier = {
            .kind = MR_ALIGN_BARRIER, .input = channel, .epoch = item->epoch};

        *out_found = aligned(receiver, &barrier, item);
        return MR_OK;
    }
    case MR_ITEM_END: *out_found = ended(receiver, channel, item); return MR_OK;
    default:
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "an item with tag %d came over a channel; this version knows batch, "
                            "watermark, idle, barrier and end",
                            (int)item->tag);
    }
    *out_found = merged(receiver, &event, item);
    return MR_OK;
}

static bool readable(const struct mr_receiver *receiver, uint32_t channel)
{
    return !receiver->ended[channel] && !mr_align_blocked(&receiver->align, channel);
}

enum mr_status mr_receiver_next(struct mr_receiver *receiver, struct mr_item *out,
                                bool *out_found, struct mr_error *err)
{
    *out_found = false;
    if (receiver->held[0].tag != 0) {
        *out = receiver->held[0];
        receiver->held[0] = receiver->held[1];
        receiver->held[1].tag = (enum mr_item_tag)0;
        *out_found = true;
        return MR_OK;
    }
    if (receiver->open_count == 0) return MR_OK;
    uint32_t first = (uint32_t)receiver->choose->pick(receiver->choose->self, MR_CHOOSE_INPUT,
                                                      receiver->channel_count, receiver->at);
    for (uint32_t i = 0; i < receiver->channel_count; i++) {
        uint32_t channel = (first + i) % receiver->channel_count;

        while (readable(receiver, channel) && mr_channel_get(receiver->channels[channel], out)) {
            receiver->at = (channel + 1) % receiver->channel_count;
            MR_RET(take(receiver, channel, out, out_found, err));
            if (*out_found) return MR_OK;
        }
    }
    return MR_OK;
}
