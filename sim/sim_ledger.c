#include "sim_ledger.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/status.h"
#include "base/text.h"
#include "sim_world.h"

#include <stdlib.h>
#include <string.h>

/* ---- the store ---- */

void sim_ledger_fini(struct sim_ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->txn_count; i++) free(ledger->txns[i].records);
    free(ledger->txns);
    free(ledger->committed);
}

uint32_t sim_ledger_open(const struct sim_ledger *ledger)
{
    uint32_t open = 0;

    for (uint32_t i = 0; i < ledger->txn_count; i++) {
        open += ledger->txns[i].state == SIM_TXN_PREPARED;
    }
    return open;
}

static struct sim_txn *find(struct sim_world *world, const struct sim_txn_name *name)
{
    struct sim_ledger *ledger = &world->ledger;
    bool by_attempt = !sim_world_planted(world, "museum-5");

    for (uint32_t i = ledger->txn_count; i-- > 0;) {
        const struct sim_txn_name *at = &ledger->txns[i].name;

        if (at->sink == name->sink && at->instance == name->instance && at->epoch == name->epoch &&
            (at->fence == name->fence || !by_attempt)) {
            return &ledger->txns[i];
        }
    }
    return NULL;
}

static bool fenced(struct sim_world *world, const struct sim_txn_name *name)
{
    struct sim_ledger *ledger = &world->ledger;

    if (name->fence < ledger->fence[name->sink]) {
        ledger->refused++;
        if (!sim_world_planted(world, "museum-6")) return true;
    }
    /* Judged by who calls, not by numbers. */
    if (world->running == world->zombie && world->recovered > world->zombie->number) {
        sim_world_fail(world, "the store took a call of an attempt that was replaced");
    }
    return false;
}

static uint64_t hash_of(const struct sim_record *records, uint32_t count)
{
    return count == 0 ? 0 : mr_hash_bytes(records, count * sizeof *records);
}

static enum mr_status store_prepare(struct sim_world *world, const struct sim_txn_name *name,
                                    const struct sim_record *records, uint32_t count,
                                    struct mr_error *err)
{
    struct sim_ledger *ledger = &world->ledger;
    struct sim_txn *txn = find(world, name);

    if (fenced(world, name)) return mr_error_set(err, MR_E_FENCED, "the store knows a newer writer");
    if (txn != NULL) { /* the answer to an earlier call was lost; (2) */
        if (txn->count != count || txn->hash != hash_of(records, count)) {
            sim_world_fail(world, "a transaction was prepared twice with different rows");
        }
        return MR_OK;
    }
    if (ledger->txn_count == ledger->txn_room) {
        ledger->txn_room = MR_MAX(2 * ledger->txn_room, 64u);
        ledger->txns = realloc(ledger->txns, ledger->txn_room * sizeof *ledger->txns);
        mr_assert(ledger->txns != NULL);
    }
    txn = &ledger->txns[ledger->txn_count++];
    *txn = (struct sim_txn){.name = *name, .count = count, .hash = hash_of(records, count)};
    if (count == 0) return MR_OK;
    txn->records = malloc(count * sizeof *records);
    mr_assert(txn->records != NULL);
    memcpy(txn->records, records, count * sizeof *records);
    return MR_OK;
}

static void publish(struct sim_world *world, struct sim_txn *txn)
{
    struct sim_ledger *ledger = &world->ledger;

    while (ledger->committed_count + txn->count > ledger->committed_room) {
        ledger->committed_room = MR_MAX(2 * ledger->committed_room, UINT64_C(4096));
        ledger->committed =
            realloc(ledger->committed, ledger->committed_room * sizeof *ledger->committed);
        mr_assert(ledger->committed != NULL);
    }
    for (uint32_t i = 0; i < txn->count; i++) {
        ledger->committed[ledger->committed_count++] = txn->records[i];
        sim_world_committed(world, &txn->records[i], txn->name.fence);
    }
    txn->state = SIM_TXN_COMMITTED;
    free(txn->records);
    txn->records = NULL;
}

static enum mr_status store_commit(struct sim_world *world, const struct sim_txn_name *name,
                                   uint64_t caller_fence, struct mr_error *err)
{
    struct sim_txn_name caller = *name;
    struct sim_txn *txn = find(world, name);

    caller.fence = caller_fence;
    if (fenced(world, &caller)) {
        return mr_error_set(err, MR_E_FENCED, "the store knows a newer writer");
    }
    if (txn == NULL || txn->state == SIM_TXN_ABORTED) {
        return mr_error_set(err, MR_E_LOST, "transaction %llu of instance %u, fence %llu is %s",
                            (unsigned long long)name->epoch, name->instance,
                            (unsigned long long)name->fence, txn == NULL ? "gone" : "aborted");
    }
    if (txn->state == SIM_TXN_PREPARED) publish(world, txn);
    return MR_OK;
}

/* ---- the sink ---- */

struct ledger_spec {
    struct mr_heap *heap;
    struct sim_world *world;
    uint32_t sink;
};

struct pending { /* prepared, and its commit was not confirmed */
    struct sim_txn_name name;
};

#define PENDING_MAX 8u

struct call {
    bool calling, applied;
    int64_t answer_us;
};

struct ledger_writer {
    const struct ledger_spec *spec;
    struct sim_world *world;
    struct mr_heap *heap;
    uint32_t instance;
    uint64_t fence;
    struct sim_record *records;
    uint32_t count, room;
    struct pending pending[PENDING_MAX];
    uint32_t pending_count;
    bool finished;
    struct call prepare, commit; /* under way; one of each at most */
    uint64_t rows;
};

static enum mr_status ledger_open(void *self, const struct mr_writer_context *context, void **out,
                                  struct mr_error *err)
{
    const struct ledger_spec *spec = self;
    struct ledger_writer *writer = mr_alloc_zero(context->heap, sizeof *writer);

    if (writer == NULL) return mr_error_nomem(err, "a writer", sizeof *writer);
    writer->spec = spec;
    writer->world = spec->world;
    writer->heap = context->heap;
    writer->instance = context->instance;
    writer->fence = context->fence;
    MR_CRASH("C24");
    *out = writer;
    return MR_OK;
}

static bool grow(struct ledger_writer *writer, uint32_t more)
{
    uint32_t room = writer->room;
    struct sim_record *records;

    if (writer->count + more <= room) return true;
    while (writer->count + more > room) room = MR_MAX(2 * room, 64u);
    records = mr_realloc(writer->heap, writer->records, writer->room * sizeof *records,
                         room * sizeof *records);
    if (records == NULL) return false;
    writer->records = records;
    writer->room = room;
    return true;
}

static enum mr_status ledger_write(void *self, const struct mr_batch *batch,
                                   enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct ledger_writer *writer = self;
    uint32_t columns = MR_MIN(batch->column_count, SIM_VALUES_MAX);

    *out_flow = MR_SINK_BLOCKED;
    if (sim_world_fault(writer->world, SIM_FAULT_SINK_BUSY)) return MR_OK;
    *out_flow = MR_SINK_READY;
    if (!grow(writer, batch->row_count)) {
        return mr_error_nomem(err, "rows of a transaction", batch->row_count);
    }
    for (uint32_t i = 0; i < batch->row_count; i++) {
        struct sim_record *record = &writer->records[writer->count++];

        memset(record, 0, sizeof *record);
        record->sink = writer->spec->sink;
        record->count = columns;
        for (uint32_t c = 0; c < columns; c++) {
            record->v[c] =
                (int64_t)mr_column_int128(&batch->columns[c], mr_batch_at(batch, i));
        }
    }
    writer->rows += batch->row_count;
    return MR_OK;
}

/* One call of the store; *out_done: it was answered. The caller applies when *out_apply. */
static void step_call(struct sim_world *world, struct call *call, bool *out_apply, bool *out_done)
{
    *out_apply = *out_done = false;
    if (!call->calling) {
        call->calling = true;
        call->answer_us = world->now_us + sim_world_draw_us(world, world->knobs.sink_us);
        /* Half of the calls arrive at once, the others just before their answer. */
        call->applied = *out_apply = sim_world_coin(world);
        if (*out_apply) return;
    }
    if (world->now_us < call->answer_us) {
        sim_world_wake_at(world, call->answer_us);
        return;
    }
    call->calling = false;
    if (sim_world_fault(world, SIM_FAULT_SINK_CALL)) { /* lost, this way or that: again */
        *out_done = sim_world_planted(world, "museum-3");
        return;
    }
    *out_apply = !call->applied;
    *out_done = true;
}

static bool put_pending(const struct ledger_writer *writer, struct mr_buffer *out)
{
    bool ok = mr_buffer_put_u32(out, writer->pending_count);

    for (uint32_t i = 0; i < writer->pending_count && ok; i++) {
        const struct sim_txn_name *name = &writer->pending[i].name;

        ok = mr_buffer_put_u32(out, name->instance) && mr_buffer_put_u64(out, name->fence) &&
             mr_buffer_put_u64(out, name->epoch);
    }
    return ok;
}

static enum mr_status ledger_prepare(void *self, uint64_t epoch, struct mr_buffer *out,
                                     enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct ledger_writer *writer = self;
    struct sim_txn_name name = {.sink = writer->spec->sink,
                                .instance = writer->instance,
                                .fence = writer->fence,
                                .epoch = epoch};
    bool apply = true, done = true;
    size_t before = out->size_bytes;

    *out_flow = MR_SINK_BLOCKED;
    if (writer->count > 0) {
        if (!writer->finished) step_call(writer->world, &writer->prepare, &apply, &done);
        if (apply) {
            MR_CRASH("C25");
            MR_RET(store_prepare(writer->world, &name, writer->records, writer->count, err));
        }
        if (!done) return MR_OK;
        MR_CRASH("C26");
        mr_assert(writer->pending_count < PENDING_MAX);
        writer->pending[writer->pending_count++].name = name;
        writer->count = 0;
    }
    *out_flow = MR_SINK_READY;
    if (put_pending(writer, out)) return MR_OK;
    out->size_bytes = before;
    return mr_error_nomem(err, "the names of transactions", 64);
}

static enum mr_status ledger_commit_epoch(void *self, uint64_t epoch, enum mr_sink_flow *out_flow,
                                          struct mr_error *err)
{
    struct ledger_writer *writer = self;
    bool apply, done;

    *out_flow = MR_SINK_BLOCKED;
    while (writer->pending_count > 0 && writer->pending[0].name.epoch <= epoch) {
        step_call(writer->world, &writer->commit, &apply, &done);
        if (apply) {
            MR_CRASH("C28");
            MR_RET(store_commit(writer->world, &writer->pending[0].name, writer->fence, err));
        }
        if (!done) return MR_OK;
        writer->pending_count--;
        memmove(&writer->pending[0], &writer->pending[1],
                writer->pending_count * sizeof writer->pending[0]);
    }
    *out_flow = MR_SINK_READY;
    return MR_OK;
}

/* One state: what it names is committed. */
static enum mr_status recommit(const struct ledger_spec *spec, uint64_t fence,
                               struct mr_bytes state, struct mr_error *err)
{
    struct mr_cursor cursor = {state.data, state.data + state.size_bytes};
    uint32_t count;

    if (!mr_cursor_u32(&cursor, &count)) return mr_error_set(err, MR_E_CORRUPT, "no transactions");
    for (uint32_t i = 0; i < count; i++) {
        struct sim_txn_name name = {.sink = spec->sink};

        if (!mr_cursor_u32(&cursor, &name.instance) || !mr_cursor_u64(&cursor, &name.fence) ||
            !mr_cursor_u64(&cursor, &name.epoch)) {
            return mr_error_set(err, MR_E_CORRUPT, "a transaction's name is cut short");
        }
        MR_RET(store_commit(spec->world, &name, fence, err));
        MR_CRASH("C29");
    }
    return MR_OK;
}

static enum mr_status ledger_recover(void *self, const struct mr_recover_context *context,
                                     struct mr_error *err)
{
    const struct ledger_spec *spec = self;
    struct sim_world *world = spec->world;
    struct sim_ledger *ledger = &world->ledger;
    struct sim_txn_name name = {.sink = spec->sink, .fence = context->fence};

    if (fenced(world, &name)) return mr_error_set(err, MR_E_FENCED, "the store knows a newer writer");
    ledger->fence[spec->sink] = context->fence; /* S7 comes before S4 */
    if (world->running == world->alive) world->recovered = world->alive->number;
    for (uint32_t i = 0; i < context->state_count; i++) {
        if (sim_world_planted(world, "canary-commit")) break;
        MR_RET(recommit(spec, context->fence, context->states[i], err));
    }
    for (uint32_t i = 0; i < ledger->txn_count; i++) {
        struct sim_txn *txn = &ledger->txns[i];

        if (txn->name.sink != spec->sink || txn->state != SIM_TXN_PREPARED) continue;
        if (sim_world_planted(world, "museum-4")) continue;
        txn->state = SIM_TXN_ABORTED;
        ledger->aborted++;
        MR_CRASH("C31");
    }
    return MR_OK;
}

static enum mr_status ledger_flush(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    (void)self;
    (void)err;
    *out_flow = MR_SINK_READY;
    return MR_OK;
}

static enum mr_status ledger_finish(void *self, enum mr_sink_flow *out_flow, struct mr_error *err)
{
    struct ledger_writer *writer = self;

    (void)err;
    writer->finished = true;
    *out_flow = MR_SINK_READY;
    return MR_OK;
}

static enum mr_status ledger_commit(void *self, struct mr_error *err)
{
    const struct ledger_writer *writer = self;

    (void)err;
    if (writer->pending_count > 0 || writer->count > 0) {
        sim_world_fail(writer->world, "the job ended with rows that were never committed");
    }
    return MR_OK;
}

static void ledger_abort(void *self)
{
    (void)self;
}

static uint64_t ledger_bytes(const void *self)
{
    return ((const struct ledger_writer *)self)->rows * sizeof(struct sim_record);
}

static void ledger_close(void *self)
{
    struct ledger_writer *writer = self;

    mr_free(writer->heap, writer->records, writer->room * sizeof *writer->records);
    mr_free(writer->heap, writer, sizeof *writer);
}

static void ledger_describe(const void *self, struct mr_text *out)
{
    (void)self;
    mr_text_add(out, "ledger");
}

static void ledger_destroy(void *self)
{
    struct ledger_spec *spec = self;

    if (spec != NULL) mr_free(spec->heap, spec, sizeof *spec);
}

static const struct mr_sink_ops ledger_ops = {
    .size = sizeof(struct mr_sink_ops),
    .name = "ledger",
    .open = ledger_open,
    .write = ledger_write,
    .flush = ledger_flush,
    .finish = ledger_finish,
    .commit = ledger_commit,
    .abort = ledger_abort,
    .prepare = ledger_prepare,
    .commit_epoch = ledger_commit_epoch,
    .recover = ledger_recover,
    .bytes = ledger_bytes,
    .close = ledger_close,
    .describe = ledger_describe,
    .destroy = ledger_destroy,
};

enum mr_status sim_ledger_sink(struct mr_heap *heap, struct sim_world *world, uint32_t sink,
                               struct mr_sink *out, struct mr_error *err)
{
    struct ledger_spec *spec = mr_alloc_zero(heap, sizeof *spec);

    mr_assert(sink < SIM_SINKS_MAX);
    if (spec == NULL) return mr_error_nomem(err, "a sink", sizeof *spec);
    *spec = (struct ledger_spec){.heap = heap, .world = world, .sink = sink};
    *out = (struct mr_sink){&ledger_ops, spec};
    return MR_OK;
}
