#include "sim_check.h"

#include "base/assert.h"
#include "base/hash.h"
#include "sim_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    struct sim_record record;
    uint32_t expected; /* in all; 0: free */
    uint32_t seen;
};

struct sim_check {
    struct slot *slots;
    uint64_t room, count;
    uint64_t left; /* expected and not seen */
    bool ordered;
    int64_t last_seq[64]; /* per split, of sink 0 */
};

struct sim_check *sim_check_create(bool ordered)
{
    struct sim_check *check = calloc(1, sizeof *check);

    mr_assert(check != NULL);
    check->room = 1024;
    check->slots = calloc(check->room, sizeof *check->slots);
    mr_assert(check->slots != NULL);
    check->ordered = ordered;
    for (uint32_t i = 0; i < MR_COUNT(check->last_seq); i++) check->last_seq[i] = -1;
    return check;
}

void sim_check_destroy(struct sim_check *check)
{
    if (check == NULL) return;
    free(check->slots);
    free(check);
}

/* The slot of the record, or the free one where it would be. */
static struct slot *find(const struct sim_check *check, const struct sim_record *record)
{
    uint64_t at = mr_hash_bytes(record, sizeof *record) & (check->room - 1);

    while (check->slots[at].expected != 0 &&
           memcmp(&check->slots[at].record, record, sizeof *record) != 0) {
        at = (at + 1) & (check->room - 1);
    }
    return &check->slots[at];
}

static void grow(struct sim_check *check)
{
    struct slot *old = check->slots;
    uint64_t room = check->room;

    check->room *= 2;
    check->slots = calloc(check->room, sizeof *check->slots);
    mr_assert(check->slots != NULL);
    for (uint64_t i = 0; i < room; i++) {
        if (old[i].expected != 0) *find(check, &old[i].record) = old[i];
    }
    free(old);
}

void sim_check_expect(struct sim_check *check, const struct sim_record *record)
{
    struct slot *slot;

    if (2 * check->count >= check->room) grow(check);
    slot = find(check, record);
    if (slot->expected == 0) {
        slot->record = *record;
        check->count++;
    }
    slot->expected++;
    check->left++;
}

static void print(const struct sim_record *record, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "sink %u (", record->sink);

    for (uint32_t i = 0; i < record->count && used < size; i++) {
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i == 0 ? "" : ", ",
                                 (long long)record->v[i]);
    }
    if (used < size) snprintf(out + used, size - used, ")");
}

static void check_order(struct sim_check *check, struct sim_world *world,
                        const struct sim_record *record)
{
    int64_t split = record->v[SIM_COLUMN_SPLIT], seq = record->v[SIM_COLUMN_SEQ];

    if (!check->ordered || record->sink != 0) return;
    mr_assert(split >= 0 && split < (int64_t)MR_COUNT(check->last_seq));
    if (seq <= check->last_seq[split]) {
        sim_world_fail(world, "row %lld of split %lld is visible behind row %lld", (long long)seq,
                       (long long)split, (long long)check->last_seq[split]);
    }
    check->last_seq[split] = seq;
}

void sim_check_seen(struct sim_check *check, struct sim_world *world,
                    const struct sim_record *record)
{
    struct slot *slot = find(check, record);
    char text[256];

    if (slot->expected == slot->seen) {
        print(record, text, sizeof text);
        sim_world_fail(world, slot->expected == 0 ? "a wrong record is visible: %s"
                                                  : "a record is visible once more: %s",
                       text);
        return;
    }
    slot->seen++;
    check->left--;
    check_order(check, world, record);
}

void sim_check_unseen(struct sim_check *check, const struct sim_record *record)
{
    struct slot *slot = find(check, record);

    if (slot->seen == 0) return; /* it was a wrong one, and that was said */
    slot->seen--;
    check->left++;
}

void sim_check_end(const struct sim_check *check, struct sim_world *world)
{
    char text[256] = "";

    if (check->left == 0) return;
    for (uint64_t i = 0; i < check->room; i++) {
        if (check->slots[i].expected == check->slots[i].seen) continue;
        print(&check->slots[i].record, text, sizeof text);
        break;
    }
    sim_world_fail(world, "%llu records never became visible, one of them: %s",
                   (unsigned long long)check->left, text);
}

uint64_t sim_check_left(const struct sim_check *check)
{
    return check->left;
}
