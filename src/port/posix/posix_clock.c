/* posix_clock.c - time, chance, and free choice. */
#include "base/prng.h"
#include "port/posix/posix_internal.h"

#include <sys/random.h>
#include <time.h>

static struct mr_ptime read_clock(clockid_t which)
{
    struct timespec now;

    (void)clock_gettime(which, &now); /* cannot fail for these two clocks */
    return (struct mr_ptime){(int64_t)now.tv_sec * MR_SECOND + now.tv_nsec / 1000};
}

struct mr_ptime mri_posix_monotonic(void *self)
{
    (void)self;
    return read_clock(CLOCK_MONOTONIC);
}

struct mr_ptime mri_posix_wall(void *self)
{
    (void)self;
    return read_clock(CLOCK_REALTIME);
}

uint64_t mri_posix_entropy(void *self)
{
    uint64_t value = 0;

    (void)self;
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value) {
        struct mr_prng prng; /* a kernel without getrandom: seeds need not be secret */

        mr_prng_init(&prng, (uint64_t)read_clock(CLOCK_REALTIME).us,
                     (uint64_t)read_clock(CLOCK_MONOTONIC).us);
        value = mr_prng_next(&prng);
    }
    return value;
}

uint64_t mri_posix_pick(void *self, enum mr_choice what, uint64_t bound, uint64_t preferred)
{
    (void)self;
    (void)what;
    (void)bound;
    return preferred;
}
