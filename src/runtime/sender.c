#include "runtime/sender.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/hash.h"

/* Rows are scattered in pieces of this many, so that the scratch arrays stay in L1. */
#define SCATTER_ROWS 2048u

struct target {
    struct mr_channel *channel;
    struct mr_builder *builder; /* NULL when batches pass by reference */
    uint32_t first, count;      /* this target's rows of the current piece: scattered[first..] */
    bool control_sent;
};

struct mr_sender {
    struct mr_heap *heap;
    const struct mr_plan_edge *edge;
    struct mr_counters *counters;
    uint32_t key_group_count;
    uint32_t target_count;
    struct target *targets;
    bool by_reference;
    uint32_t turn;       /* ROUND ROBIN: whose turn it is */
    uint32_t idle_turns; /* since rows were put into builders */
    bool rows_waiting;

    struct mr_item item; /* being delivered; tag 0: none */
    uint32_t piece_row;  /* next row of the batch to scatter */
    uint32_t next_target;
    uint64_t *hashes;
    uint32_t *elements;
    uint32_t *scattered;
};

static bool passes_by_reference(const struct mr_plan_edge *edge, uint32_t channel_count)
{
    return channel_count == 1 || edge->exchange != MR_EXCHANGE_KEY;
}

static enum mr_status make_targets(struct mr_sender *sender,
                                   const struct mr_sender_options *options, struct mr_error *err)
{
    for (uint32_t i = 0; i < sender->target_count; i++) {
        sender->targets[i].channel = options->channels[i];
        if (sender->by_reference) continue;
        MR_RET(mr_builder_create(sender->heap, sender->edge->schema, sender->edge->hidden_mask,
                                 options->batch_rows, &options->channels[i]->quota,
                                 &sender->targets[i].builder, err));
    }
    return MR_OK;
}

enum mr_status mr_sender_create(struct mr_heap *heap, const struct mr_sender_options *options,
                                struct mr_sender **out, struct mr_error *err)
{
    enum mr_status st = MR_OK;
    struct mr_sender *sender = mr_alloc_zero(heap, sizeof *sender);

    mr_assert(options->channel_count > 0);
    if (sender == NULL) return mr_error_nomem(err, "an exchange", sizeof *sender);
    sender->heap = heap;
    sender->edge = options->edge;
    sender->counters = options->counters;
    sender->key_group_count = options->key_group_count;
    sender->by_reference = passes_by_reference(options->edge, options->channel_count);
    sender->targets = mr_alloc_array(heap, options->channel_count, sizeof *sender->targets);
    if (sender->targets != NULL) sender->target_count = options->channel_count;
    if (!sender->by_reference) {
        sender->hashes = mr_alloc(heap, SCATTER_ROWS * sizeof *sender->hashes);
        sender->elements = mr_alloc(heap, SCATTER_ROWS * sizeof *sender->elements);
        sender->scattered = mr_alloc(heap, SCATTER_ROWS * sizeof *sender->scattered);
    }
    if (sender->targets == NULL ||
        (!sender->by_reference && (sender->hashes == NULL || sender->elements == NULL ||
                                   sender->scattered == NULL))) {
        st = mr_error_nomem(err, "an exchange", SCATTER_ROWS * sizeof *sender->hashes);
        goto done;
    }
    MR_GOTO(make_targets(sender, options, err));
    *out = sender;
    sender = NULL;
done:
    mr_sender_destroy(sender);
    return st;
}

void mr_sender_destroy(struct mr_sender *sender)
{
    if (sender == NULL) return;
    for (uint32_t i = 0; i < sender->target_count; i++) {
        mr_builder_destroy(sender->targets[i].builder);
    }
    if (sender->item.tag == MR_ITEM_BATCH) mr_batch_release(sender->item.batch);
    mr_free(sender->heap, sender->hashes, SCATTER_ROWS * sizeof *sender->hashes);
    mr_free(sender->heap, sender->elements, SCATTER_ROWS * sizeof *sender->elements);
    mr_free(sender->heap, sender->scattered, SCATTER_ROWS * sizeof *sender->scattered);
    mr_free(sender->heap, sender->targets, sender->target_count * sizeof *sender->targets);
    mr_free(sender->heap, sender, sizeof *sender);
}

enum mr_status mr_sender_put(struct mr_sender *sender, const struct mr_item *item,
                             struct mr_error *err)
{
    (void)err;
    mr_assert(sender->item.tag == 0); /* (1) */
    sender->item = *item;
    if (item->tag == MR_ITEM_BATCH) mr_batch_ref(item->batch);
    sender->item.input = 0;
    sender->piece_row = 0;
    sender->next_target = 0;
    for (uint32_t i = 0; i < sender->target_count; i++) {
        sender->targets[i].count = 0;
        sender->targets[i].control_sent = false;
    }
    return MR_OK;
}

static void count_sent(struct mr_sender *sender, uint32_t rows)
{
    mr_counter_add(sender->counters, MR_COUNTER_BATCHES_SENT, 1);
    mr_counter_add(sender->counters, MR_COUNTER_ROWS_SENT, rows);
}

/* Sends what a target's builder holds; false: the ring is full. */
static bool send_built(struct mr_sender *sender, struct target *target)
{
    struct mr_item item = {.tag = MR_ITEM_BATCH};

    if (target->builder == NULL || mr_builder_rows(target->builder) == 0) return true;
    if (mr_ring_room(&target->channel->ring) < (MR_PLANT("museum-29") ? 2u : 1u)) return false;
    item.batch = mr_builder_take(target->builder);
    count_sent(sender, item.batch->row_count);
    bool sent = mr_channel_put(target->channel, &item);
    mr_assert(sent); /* we are the only producer */
    return true;
}

/* Sends what builders hold, as far as rings have room. */
static bool send_all_built(struct mr_sender *sender)
{
    bool all = true;

    for (uint32_t i = 0; i < sender->target_count; i++) {
        all &= send_built(sender, &sender->targets[i]);
    }
    sender->rows_waiting = !all;
    return all;
}

static void hash_piece(struct mr_sender *sender, const struct mr_batch *batch, uint32_t first,
                       uint32_t count)
{
    const struct mr_column *known = batch->hidden[MR_HIDDEN_KEY_HASH];

    for (uint32_t i = 0; i < count; i++) sender->elements[i] = mr_batch_at(batch, first + i);
    if (known != NULL && known->encoding == MR_FLAT) {
        const uint64_t *hashes = known->values;
        for (uint32_t i = 0; i < count; i++) sender->hashes[i] = hashes[sender->elements[i]];
        return;
    }
    mr_column_hash(&batch->columns[0], sender->elements, count, sender->hashes);
    for (uint32_t c = 1; c < sender->edge->key_count; c++) {
        mr_column_hash_combine(&batch->columns[c], sender->elements, count, sender->hashes);
    }
}

/* Sorts the rows of a piece by target: counting sort, stable, branch-free. */
static void scatter_piece(struct mr_sender *sender)
{
    struct mr_batch *batch = sender->item.batch;
    uint32_t first = sender->piece_row;
    uint32_t count = MR_MIN(batch->row_count - first, SCATTER_ROWS);
    uint32_t groups = sender->key_group_count;
    uint32_t instances = sender->target_count;
    uint32_t *owner = sender->elements; /* elements are not needed once hashed */

    hash_piece(sender, batch, first, count);
    for (uint32_t t = 0; t < instances; t++) sender->targets[t].count = 0;
    for (uint32_t i = 0; i < count; i++) {
        owner[i] = mr_group_instance(mr_key_group(sender->hashes[i], groups), groups, instances);
    }
    for (uint32_t i = 0; i < count; i++) sender->targets[owner[i]].count++;
    for (uint32_t t = 0, at = 0; t < instances; t++) {
        sender->targets[t].first = at;
        at += sender->targets[t].count;
        sender->targets[t].count = 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct target *target = &sender->targets[owner[i]];
        sender->scattered[target->first + target->count++] = first + i;
    }
    sender->piece_row += count;
    sender->next_target = 0;
}

static enum mr_status too_large(struct mr_error *err)
{
    return mr_error_set(err, MR_E_LIMIT,
                        "a row is too large to be sent: its texts take more than %zu bytes; "
                        "leave out or shorten columns before the aggregate, sort or sink",
                        (size_t)MR_TEXT_BYTES_MAX);
}

/* Appends a target's rows of the piece; *out_done false: wait for room. */
static enum mr_status append_to(struct mr_sender *sender, struct target *target, bool *out_done,
                                struct mr_error *err)
{
    *out_done = false;
    while (target->count > 0) {
        uint32_t done = 0;
        enum mr_build built =
            mr_builder_append(target->builder, sender->item.batch,
                              sender->scattered + target->first, target->count, &done);

        target->first += done;
        target->count -= done;
        if (done > 0) sender->rows_waiting = true;
        if (built == MR_BUILD_OK) break;
        if (built == MR_BUILD_TOO_LARGE) return too_large(err);
        if (built == MR_BUILD_BLOCKED) return MR_OK;
        if (!send_built(sender, target)) return MR_OK;
    }
    *out_done = true;
    return MR_OK;
}

static enum mr_status push_scattered(struct mr_sender *sender, bool *out_done,
                                     struct mr_error *err)
{
    *out_done = false;
    for (;;) {
        for (; sender->next_target < sender->target_count; sender->next_target++) {
            struct target *target = &sender->targets[sender->next_target];
            bool done;
            MR_RET(append_to(sender, target, &done, err));
            if (!done) return MR_OK;
        }
        if (sender->piece_row == sender->item.batch->row_count) break;
        scatter_piece(sender);
    }
    *out_done = true;
    return MR_OK;
}

/* Gives the same batch to one or all receivers. */
static bool push_reference(struct mr_sender *sender)
{
    bool one = sender->edge->exchange == MR_EXCHANGE_ROUND_ROBIN;
    uint32_t first = one ? sender->turn % sender->target_count : 0;
    uint32_t end = one ? first + 1 : sender->target_count;

    for (uint32_t i = first; i < end; i++) {
        struct target *target = &sender->targets[i];
        if (target->control_sent) continue;
        mr_batch_ref(sender->item.batch);
        if (!mr_channel_put(target->channel, &sender->item)) {
            mr_batch_release(sender->item.batch);
            return false;
        }
        target->control_sent = true;
        count_sent(sender, sender->item.batch->row_count);
    }
    if (one) sender->turn = (sender->turn + 1) % sender->target_count;
    return true;
}

static bool push_control(struct mr_sender *sender)
{
    if (!send_all_built(sender)) return false; /* (2) rows first */
    for (uint32_t i = 0; i < sender->target_count; i++) {
        struct target *target = &sender->targets[i];
        if (target->control_sent) continue;
        if (!mr_channel_put(target->channel, &sender->item)) return false;
        target->control_sent = true;
    }
    return true;
}

enum mr_status mr_sender_push(struct mr_sender *sender, bool *out_ready, struct mr_error *err)
{
    bool done = true;

    *out_ready = true;
    if (sender->item.tag == 0) return MR_OK;
    if (sender->item.tag != MR_ITEM_BATCH) {
        done = push_control(sender);
    } else if (sender->by_reference) {
        done = push_reference(sender);
    } else {
        if (sender->piece_row == 0) sender->next_target = sender->target_count;
        MR_RET(push_scattered(sender, &done, err));
        sender->idle_turns = 0;
    }
    *out_ready = done;
    if (done) {
        if (sender->item.tag == MR_ITEM_BATCH) mr_batch_release(sender->item.batch);
        sender->item.tag = (enum mr_item_tag)0;
    }
    return MR_OK;
}

bool mr_sender_flush(struct mr_sender *sender)
{
    if (!sender->rows_waiting) return false;
    return send_all_built(sender);
}

bool mr_sender_turn(struct mr_sender *sender)
{
    if (!sender->rows_waiting || ++sender->idle_turns < MR_FLUSH_TURNS) return false;
    sender->idle_turns = 0;
    return mr_sender_flush(sender);
}
