/* posix_parker.c - parking places of worker threads: a mutex, a condition and a token each.
 *
 * A wake leaves a token; a park that finds one takes it and does not wait. So a wake before a park
 * is not lost, and two wakes are as good as one.
 */
#include "base/assert.h"
#include "port/posix/posix_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

struct place {
    MR_ALIGNED(MR_CACHE_LINE) _Atomic bool token;
    pthread_mutex_t lock; /* guards the wait; rank: leaf */
    pthread_cond_t woken;
};

struct mri_parking {
    struct mr_heap *heap;
    size_t size_bytes;
    uint32_t count;
    struct place *places;
};

static bool place_init(struct place *place)
{
    pthread_condattr_t attributes;
    bool ok;

    atomic_init(&place->token, false);
    if (pthread_mutex_init(&place->lock, NULL) != 0) return false;
    ok = pthread_condattr_init(&attributes) == 0;
    if (ok) {
        ok = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 &&
             pthread_cond_init(&place->woken, &attributes) == 0;
        (void)pthread_condattr_destroy(&attributes);
    }
    if (!ok) (void)pthread_mutex_destroy(&place->lock);
    return ok;
}

struct mri_parking *mri_parking_create(struct mr_heap *heap, uint32_t workers)
{
    /* Room to align the places by hand: the heap promises 16 bytes only. */
    size_t size_bytes = sizeof(struct mri_parking) + (workers + (size_t)1) * sizeof(struct place);
    struct mri_parking *parking = mr_alloc_zero(heap, size_bytes);
    uintptr_t first;

    if (parking == NULL) return NULL;
    first = ((uintptr_t)(parking + 1) + MR_CACHE_LINE - 1) & ~(uintptr_t)(MR_CACHE_LINE - 1);
    parking->heap = heap;
    parking->size_bytes = size_bytes;
    parking->places = (struct place *)first;
    while (parking->count < workers) {
        if (!place_init(&parking->places[parking->count])) {
            mri_parking_destroy(parking);
            return NULL;
        }
        parking->count++;
    }
    return parking;
}

void mri_parking_destroy(struct mri_parking *parking)
{
    if (parking == NULL) return;
    for (uint32_t i = 0; i < parking->count; i++) {
        (void)pthread_cond_destroy(&parking->places[i].woken);
        (void)pthread_mutex_destroy(&parking->places[i].lock);
    }
    mr_free(parking->heap, parking, parking->size_bytes);
}

static struct timespec deadline_after(int64_t us)
{
    struct timespec at;
    int64_t ns;

    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    ns = at.tv_nsec + us % MR_SECOND * 1000;
    at.tv_sec += (time_t)(us / MR_SECOND + ns / 1000000000);
    at.tv_nsec = (long)(ns % 1000000000);
    return at;
}

void mri_parking_park(void *self, uint32_t worker, int64_t us)
{
    struct mri_parking *parking = self;
    struct place *place;
    struct timespec until;

    mr_assert(worker < parking->count);
    place = &parking->places[worker];
    /* acquire: what the waker did before it woke us must be visible behind */
    if (atomic_exchange_explicit(&place->token, false, memory_order_acquire) || us <= 0) return;
    until = deadline_after(us);
    (void)pthread_mutex_lock(&place->lock);
    while (!atomic_exchange_explicit(&place->token, false, memory_order_acquire)) {
        if (pthread_cond_timedwait(&place->woken, &place->lock, &until) != 0) break;
    }
    (void)pthread_mutex_unlock(&place->lock);
}

void mri_parking_wake(void *self, uint32_t worker)
{
    struct mri_parking *parking = self;
    struct place *place;

    mr_assert(worker < parking->count);
    place = &parking->places[worker];
    /* A token that lies there already will be found: no lock, no system call for a busy worker.
     * The exchange (not a plain load) orders our earlier writes before the parker's next take. */
    if (atomic_exchange_explicit(&place->token, true, memory_order_acq_rel)) return;
    (void)pthread_mutex_lock(&place->lock);
    (void)pthread_cond_signal(&place->woken);
    (void)pthread_mutex_unlock(&place->lock);
}
