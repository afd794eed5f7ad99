/* posix_sync.c - see posix_sync.h. */
#include "port/posix/posix_sync.h"

#include "base/assert.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

struct job {
    struct mri_sync sync; /* request: the worker's; code: the thread's until the job is done */
    struct job *next;
};

struct mri_syncer {
    struct mr_heap *heap;
    struct mr_parker parker;
    uint32_t worker;
    struct job
        *all; /* in the order of put; the worker's: jobs leave it in the order they are done */
    struct job **all_end;
    _Atomic uint64_t done_count; /* release: the codes of so many jobs are there */
    uint64_t taken_count;

    pthread_t thread;
    pthread_mutex_t lock; /* guards what is below; rank: leaf */
    pthread_cond_t asked;
    struct job *next_job; /* not begun */
    bool ending;
};

/* Data and what is needed to read it back, with the size: times of change may be lost. The system
 * leaves a descriptor that it cannot sync (pipe, read-only) with EINVAL or EROFS. */
int mri_sync_now(int fd, bool directory)
{
    int result;

    do {
        result = directory ? fsync(fd) : fdatasync(fd);
    } while (result < 0 && errno == EINTR);
    if (result == 0 || errno == EINVAL || (errno == EROFS && !directory)) return 0;
    return errno;
}

/* NULL: the end. */
static struct job *next_of(struct mri_syncer *syncer)
{
    struct job *job;

    (void)pthread_mutex_lock(&syncer->lock);
    while (syncer->next_job == NULL && !syncer->ending) {
        (void)pthread_cond_wait(&syncer->asked, &syncer->lock);
    }
    job = syncer->next_job;
    (void)pthread_mutex_unlock(&syncer->lock);
    return job;
}

static void *run(void *self)
{
    struct mri_syncer *syncer = self;
    struct job *job;

    while ((job = next_of(syncer)) != NULL) {
        job->sync.code = mri_sync_now(job->sync.fd, job->sync.directory);
        (void)close(job->sync.fd);
        (void)pthread_mutex_lock(&syncer->lock);
        syncer->next_job = job->next;
        (void)pthread_mutex_unlock(&syncer->lock);
        /* From here on the job is the worker's. */
        (void)atomic_fetch_add_explicit(&syncer->done_count, 1, memory_order_release);
        syncer->parker.wake(syncer->parker.self, syncer->worker);
    }
    return NULL;
}

/* Signals are for the threads of the program. */
static bool start_thread(struct mri_syncer *syncer)
{
    sigset_t all, before;
    bool ok;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    ok = pthread_create(&syncer->thread, NULL, run, syncer) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

struct mri_syncer *mri_syncer_create(struct mr_heap *heap, const struct mr_parker *parker,
                                     uint32_t worker)
{
    struct mri_syncer *syncer = mr_alloc_zero(heap, sizeof *syncer);

    if (syncer == NULL) return NULL;
    syncer->heap = heap;
    syncer->parker = *parker;
    syncer->worker = worker;
    syncer->all_end = &syncer->all;
    atomic_init(&syncer->done_count, 0);
    if (pthread_mutex_init(&syncer->lock, NULL) == 0) {
        if (pthread_cond_init(&syncer->asked, NULL) == 0) {
            if (start_thread(syncer)) return syncer;
            (void)pthread_cond_destroy(&syncer->asked);
        }
        (void)pthread_mutex_destroy(&syncer->lock);
    }
    mr_free(heap, syncer, sizeof *syncer);
    return NULL;
}

static void drop_first(struct mri_syncer *syncer)
{
    struct job *job = syncer->all;

    syncer->all = job->next;
    if (syncer->all == NULL) syncer->all_end = &syncer->all;
    mr_free(syncer->heap, job, sizeof *job);
}

void mri_syncer_destroy(struct mri_syncer *syncer)
{
    if (syncer == NULL) return;
    (void)pthread_mutex_lock(&syncer->lock);
    syncer->ending = true;
    (void)pthread_cond_signal(&syncer->asked);
    (void)pthread_mutex_unlock(&syncer->lock);
    (void)pthread_join(syncer->thread, NULL);
    while (syncer->all != NULL) {
        mr_assert(syncer->all->sync.request == NULL);
        drop_first(syncer);
    }
    (void)pthread_cond_destroy(&syncer->asked);
    (void)pthread_mutex_destroy(&syncer->lock);
    mr_free(syncer->heap, syncer, sizeof *syncer);
}

bool mri_syncer_put(struct mri_syncer *syncer, const struct mri_sync *sync)
{
    struct job *job = mr_alloc_zero(syncer->heap, sizeof *job);

    if (job == NULL) return false;
    job->sync = *sync;
    (void)pthread_mutex_lock(&syncer->lock);
    *syncer->all_end = job; /* the thread reads `next` of a job that it ends */
    syncer->all_end = &job->next;
    if (syncer->next_job == NULL) syncer->next_job = job;
    (void)pthread_cond_signal(&syncer->asked);
    (void)pthread_mutex_unlock(&syncer->lock);
    return true;
}

bool mri_syncer_take(struct mri_syncer *syncer, struct mri_sync *out)
{
    uint64_t done = atomic_load_explicit(&syncer->done_count, memory_order_acquire);

    if (done == syncer->taken_count) return false;
    syncer->taken_count++;
    *out = syncer->all->sync;
    drop_first(syncer);
    return true;
}

bool mri_syncer_cancel(struct mri_syncer *syncer, const struct mr_disk_request *request)
{
    for (struct job *job = syncer->all; job != NULL; job = job->next) {
        if (job->sync.request != request) continue;
        job->sync.request = NULL;
        return true;
    }
    return false;
}
