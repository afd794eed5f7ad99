/* timers_test.c - timers against a list that is searched from end to end. */
#include "base/prng.h"
#include "mr_test.h"
#include "state/store_internal.h"

#define MODEL_MAX 400

struct model_timer {
    struct mr_timer timer;
    char key[8];
    bool used;
};

struct model {
    struct model_timer timers[MODEL_MAX];
};

struct rig {
    struct mri_pool pool;
    struct mr_timers *timers;
};

static bool rig_init(struct rig *rig, bool tracks)
{
    mri_pool_init(&rig->pool, mr_test_heap());
    rig->timers = mri_timers_create(mr_test_heap(), &rig->pool, tracks);
    return rig->timers != NULL;
}

static void rig_fini(struct rig *rig)
{
    mri_timers_destroy(rig->timers);
    mri_pool_fini(&rig->pool);
}

static bool same_identity(const struct mr_timer *a, const struct mr_timer *b)
{
    return a->domain == b->domain && a->ns == b->ns && a->tag == b->tag &&
           a->key.size_bytes == b->key.size_bytes &&
           (a->key.size_bytes == 0 || memcmp(a->key.data, b->key.data, a->key.size_bytes) == 0);
}

static struct model_timer *model_find(struct model *model, const struct mr_timer *timer)
{
    for (int i = 0; i < MODEL_MAX; i++) {
        if (model->timers[i].used && same_identity(&model->timers[i].timer, timer)) {
            return &model->timers[i];
        }
    }
    return NULL;
}

static void model_set(struct model *model, const struct mr_timer *timer)
{
    struct model_timer *slot = model_find(model, timer);

    for (int i = 0; slot == NULL; i++) {
        if (!model->timers[i].used) slot = &model->timers[i];
    }
    slot->used = true;
    slot->timer = *timer;
    memcpy(slot->key, timer->key.data, timer->key.size_bytes);
    slot->timer.key.data = slot->key;
}

/* The documented order: time, namespace, key group, key bytes, tag. */
static int order(const struct mr_timer *a, const struct mr_timer *b)
{
    size_t common = MR_MIN(a->key.size_bytes, b->key.size_bytes);
    int keys = common == 0 ? 0 : memcmp(a->key.data, b->key.data, common);

    if (a->time_us != b->time_us) return a->time_us < b->time_us ? -1 : 1;
    if (a->ns != b->ns) return a->ns < b->ns ? -1 : 1;
    if (a->key_group != b->key_group) return a->key_group < b->key_group ? -1 : 1;
    if (keys != 0) return keys;
    if (a->key.size_bytes != b->key.size_bytes)
        return a->key.size_bytes < b->key.size_bytes ? -1 : 1;
    return a->tag < b->tag ? -1 : a->tag > b->tag;
}

static struct model_timer *model_first(struct model *model, enum mr_time_domain domain)
{
    struct model_timer *first = NULL;

    for (int i = 0; i < MODEL_MAX; i++) {
        struct model_timer *one = &model->timers[i];

        if (!one->used || one->timer.domain != domain) continue;
        if (first == NULL || order(&one->timer, &first->timer) < 0) first = one;
    }
    return first;
}

static void expect_same(const struct mr_timer *actual, const struct mr_timer *expected)
{
    MR_EXPECT(same_identity(actual, expected));
    MR_EXPECT_EQ_INT(actual->time_us, expected->time_us);
    MR_EXPECT_EQ_INT(actual->hold_us, expected->hold_us);
    MR_EXPECT_EQ_UINT(actual->key_group, expected->key_group);
}

static void expect_summary(struct rig *rig, struct model *model)
{
    struct model_timer *event = model_first(model, MR_EVENT_TIME);
    struct model_timer *processing = model_first(model, MR_PROCESSING_TIME);
    int64_t hold = MR_TIME_MAX;
    uint64_t count = 0;

    for (int i = 0; i < MODEL_MAX; i++) {
        if (!model->timers[i].used) continue;
        count++;
        if (model->timers[i].timer.hold_us < hold) hold = model->timers[i].timer.hold_us;
    }
    MR_EXPECT_EQ_INT(mr_timers_next(rig->timers, MR_EVENT_TIME),
                     event != NULL ? event->timer.time_us : MR_TIME_MAX);
    MR_EXPECT_EQ_INT(mr_timers_next(rig->timers, MR_PROCESSING_TIME),
                     processing != NULL ? processing->timer.time_us : MR_TIME_MAX);
    MR_EXPECT_EQ_INT(mr_timers_hold(rig->timers), hold);
    MR_EXPECT_EQ_UINT(mr_timers_count(rig->timers), count);
}

/* Few keys, times and tags, so that equal ones are common. */
static struct mr_timer random_timer(struct mr_prng *prng, char *key)
{
    struct mr_timer timer = {.domain = (enum mr_time_domain)mr_prng_below(prng, 2),
                             .time_us = (int64_t)mr_prng_below(prng, 20) - 10,
                             .hold_us = MR_TIME_MAX,
                             .ns = (int64_t)mr_prng_below(prng, 3) - 1,
                             .tag = (uint32_t)mr_prng_below(prng, 2)};
    uint32_t size = (uint32_t)mr_prng_below(prng, 4);

    for (uint32_t i = 0; i < size; i++) key[i] = (char)('a' + mr_prng_below(prng, 2));
    if (mr_prng_below(prng, 3) == 0)
        timer.hold_us = timer.time_us - (int64_t)mr_prng_below(prng, 5);
    timer.key = (struct mr_bytes){key, size};
    timer.key_group = size == 0 ? 0 : (uint32_t)(key[0] & 1); /* a function of the key */
    return timer;
}

static void random_step(struct rig *rig, struct model *model, struct mr_prng *prng)
{
    char key[8];
    struct mr_timer timer = random_timer(prng, key);
    uint64_t dice = mr_prng_below(prng, 10);

    if (dice < 6) {
        MR_EXPECT(mr_timers_set(rig->timers, &timer));
        model_set(model, &timer);
    } else if (dice < 8) {
        struct model_timer *known = model_find(model, &timer);

        mr_timers_clear(rig->timers, &timer);
        if (known != NULL) known->used = false;
    } else {
        struct model_timer *first = model_first(model, timer.domain);
        struct mr_timer got;
        bool due = first != NULL && first->timer.time_us <= timer.time_us;

        MR_EXPECT_EQ_INT(mr_timers_take(rig->timers, timer.domain, timer.time_us, &got), due);
        if (!due) return;
        expect_same(&got, &first->timer);
        first->used = false;
        if (dice == 9) { /* re-arm with what was borrowed */
            got.time_us += 3;
            MR_EXPECT(mr_timers_set(rig->timers, &got));
            first->timer.time_us += 3;
            first->used = true;
        }
    }
}

MR_TEST(timers, random_sets_clears_and_takes_agree_with_a_list)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;
        static struct model model;
        struct mr_prng prng;

        memset(&model, 0, sizeof model);
        mr_prng_init(&prng, seed, 1);
        MR_EXPECT(rig_init(&rig, seed % 2));
        for (int n = 0; n < 1500; n++) {
            random_step(&rig, &model, &prng);
            expect_summary(&rig, &model);
            if (n % 100 == 0) mr_timers_check(rig.timers);
            if (n % 250 == 249) mri_timers_sealed(rig.timers);
        }
        rig_fini(&rig);
    }
}

/* What fires at one time must not depend on when it was set. */
MR_TEST(timers, equal_times_fire_in_the_order_of_namespace_group_key_and_tag)
{
    static const struct {
        int64_t ns;
        uint32_t group;
        const char *key;
        uint32_t tag;
    } rows[] = {{-1, 9, "z", 9}, {0, 1, "c", 0}, {0, 2, "a", 0}, {0, 2, "ab", 0},
                {0, 2, "ab", 1}, {0, 2, "b", 0}, {5, 0, "", 0}};
    struct mr_prng prng;

    mr_prng_init(&prng, 2, 1);
    for (int round = 0; round < 50; round++) {
        struct rig rig;
        uint32_t left[MR_COUNT(rows)];
        struct mr_timer got;

        MR_EXPECT(rig_init(&rig, false));
        for (uint32_t i = 0; i < MR_COUNT(rows); i++) left[i] = i;
        for (uint32_t n = MR_COUNT(rows); n > 0; n--) {
            uint32_t pick = (uint32_t)mr_prng_below(&prng, n);
            uint32_t i = left[pick];
            struct mr_timer timer = {.time_us = 7,
                                     .hold_us = MR_TIME_MAX,
                                     .ns = rows[i].ns,
                                     .key_group = rows[i].group,
                                     .tag = rows[i].tag,
                                     .key = {rows[i].key, strlen(rows[i].key)}};

            left[pick] = left[n - 1];
            MR_EXPECT(mr_timers_set(rig.timers, &timer));
        }
        MR_EXPECT(!mr_timers_take(rig.timers, MR_EVENT_TIME, 6, &got));
        for (uint32_t i = 0; i < MR_COUNT(rows); i++) {
            MR_EXPECT(mr_timers_take(rig.timers, MR_EVENT_TIME, 7, &got));
            MR_EXPECT_EQ_INT(got.ns, rows[i].ns);
            MR_EXPECT_EQ_UINT(got.tag, rows[i].tag);
            MR_EXPECT_EQ_UINT(got.key.size_bytes, strlen(rows[i].key));
            if (rows[i].key[0] == '\0') continue;
            MR_EXPECT_EQ_TEXT(got.key.data, got.key.size_bytes, rows[i].key);
        }
        MR_EXPECT(!mr_timers_take(rig.timers, MR_EVENT_TIME, MR_TIME_MAX, &got));
        rig_fini(&rig);
    }
}

/* A hold that outlives its timer stalls the job for ever. */
MR_TEST(timers, a_hold_ends_with_its_timer_and_moves_when_it_is_set_again)
{
    struct rig rig;
    struct mr_timer timer = {.time_us = 100, .hold_us = 50, .key = {"k", 1}};
    struct mr_timer got;

    MR_EXPECT(rig_init(&rig, true));
    MR_EXPECT_EQ_INT(mr_timers_hold(rig.timers), MR_TIME_MAX);
    MR_EXPECT(mr_timers_set(rig.timers, &timer));
    MR_EXPECT_EQ_INT(mr_timers_hold(rig.timers), 50);
    timer.hold_us = 80;
    MR_EXPECT(mr_timers_set(rig.timers, &timer));
    MR_EXPECT_EQ_INT(mr_timers_hold(rig.timers), 80);
    timer.hold_us = MR_TIME_MAX;
    MR_EXPECT(mr_timers_set(rig.timers, &timer));
    MR_EXPECT_EQ_INT(mr_timers_hold(rig.timers), MR_TIME_MAX);
    timer.hold_us = 60;
    MR_EXPECT(mr_timers_set(rig.timers, &timer));
    MR_EXPECT(mr_timers_take(rig.timers, MR_EVENT_TIME, 100, &got));
    MR_EXPECT_EQ_INT(got.hold_us, 60);
    MR_EXPECT_EQ_INT(mr_timers_hold(rig.timers), MR_TIME_MAX);
    MR_EXPECT(mr_timers_set(rig.timers, &timer));
    mr_timers_clear(rig.timers, &timer);
    MR_EXPECT_EQ_INT(mr_timers_hold(rig.timers), MR_TIME_MAX);
    MR_EXPECT_EQ_UINT(mr_timers_count(rig.timers), 0);
    rig_fini(&rig);
}

/* Each failing set must leave the timer as it was; no key may leak. */
MR_TEST(timers, keys_of_any_length_come_back_whole_and_are_given_back)
{
    static char key[70000];
    struct rig rig;
    struct mr_timer out;

    MR_EXPECT(rig_init(&rig, false));
    for (uint32_t i = 0; i < 40; i++) {
        struct mr_timer timer = {.time_us = (int64_t)i,
                                 .hold_us = MR_TIME_MAX,
                                 .key = {key, 1 + (size_t)i * 1700}};

        memset(key, 'a' + (int)(i % 26), sizeof key);
        MR_EXPECT(mr_timers_set(rig.timers, &timer));
    }
    for (uint32_t i = 0; i < 20; i++) {
        MR_EXPECT(mr_timers_take(rig.timers, MR_EVENT_TIME, 100, &out));
        MR_EXPECT_EQ_UINT(out.key.size_bytes, 1 + i * 1700);
        MR_EXPECT_EQ_INT(out.key.data[out.key.size_bytes - 1], 'a' + (int)(i % 26));
    }
    mr_timers_check(rig.timers);
    rig_fini(&rig);
}

MR_TEST(timers, when_memory_is_short_then_set_answers_false_and_changes_nothing)
{
    struct mr_heap *heap = mr_test_heap();

    MR_TORTURE(heap) {
        struct rig rig;
        uint64_t set = 0;

        mri_pool_init(&rig.pool, heap);
        rig.timers = mri_timers_create(heap, &rig.pool, true);
        for (uint32_t i = 0; i < 70 && rig.timers != NULL; i++) {
            char key[700];
            struct mr_timer timer = {.time_us = 100 - (int64_t)i,
                                     .hold_us = (int64_t)i,
                                     .tag = i % 50,
                                     .key = {key, 1 + (i % 50) * 13}};

            memset(key, 'a' + (int)(i % 20), sizeof key);
            if (i % 3 == 0) timer.domain = MR_PROCESSING_TIME;
            if (mr_timers_set(rig.timers, &timer)) {
                set += i < 50 ||
                       timer.domain != (i % 50 % 3 == 0 ? MR_PROCESSING_TIME : MR_EVENT_TIME);
            } else {
                MR_EXPECT(mr_test_refused(heap));
            }
            mr_timers_check(rig.timers);
        }
        if (rig.timers != NULL) MR_EXPECT(mr_timers_count(rig.timers) >= set);
        rig_fini(&rig);
    }
}
