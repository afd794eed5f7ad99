/* posix_process.c - who we are, and ending another process for good.
 *
 * A process is known by its number and its start: numbers are given again. The file descriptor of a
 * process (pidfd) means that process and no later one.
 */
#include "base/status.h"
#include "base/time.h"
#include "port/posix/posix_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Start of a process since the machine started, from field 22 of its stat; -1: there is none. */
static int64_t started_us(uint64_t pid)
{
    char path[64], text[1024];
    const char *at;
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    ssize_t size;
    int file;

    (void)snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return -1;
    size = read(file, text, sizeof text - 1);
    (void)close(file);
    if (size <= 0) return -1;
    text[size] = '\0';
    at = strrchr(text, ')'); /* the name in field 2 may hold anything */
    for (int field = 2; at != NULL && field < 22; field++) at = strchr(at + 1, ' ');
    if (at == NULL || ticks_per_s <= 0) return -1;
    return (int64_t)(strtoull(at, NULL, 10) * (uint64_t)MR_SECOND / (uint64_t)ticks_per_s);
}

uint64_t mr_posix_pid(void)
{
    return (uint64_t)getpid();
}

int64_t mr_posix_started_us(void)
{
    return started_us((uint64_t)getpid());
}

/* Signals to this process (Ctrl-C) do not end the wait. */
static bool wait_for_end(int process, int64_t wait_us)
{
    struct pollfd event = {.fd = process, .events = POLLIN};
    int64_t until_us = mri_posix_monotonic(NULL).us + wait_us;

    for (;;) {
        int64_t left_us = MR_MAX(until_us - mri_posix_monotonic(NULL).us, 0);
        int seen = poll(&event, 1, (int)((left_us + 999) / 1000));

        if (seen > 0) return true;
        if (seen == 0 || errno != EINTR) return false;
    }
}

enum mr_status mr_posix_end_process(uint64_t pid, int64_t since_us, int64_t wait_us,
                                    struct mr_error *err)
{
    int process;
    bool same, ended;

    if (pid == mr_posix_pid()) {
        return mr_error_set(err, MR_E_BUSY, "process %llu is this one: it is not ended",
                            (unsigned long long)pid);
    }
    if (pid == 0 || pid > INT32_MAX) {
        return mr_error_set(err, MR_E_INVALID, "%llu is not the number of a process",
                            (unsigned long long)pid);
    }
    process = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    same = process >= 0 && started_us(pid) == since_us;
    if (process < 0 && errno != ESRCH) {
        return mr_error_set(err, MR_E_ACCESS, "process %llu cannot be ended: %s",
                            (unsigned long long)pid, strerror(errno));
    }
    if (!same) { /* it has ended; its number may be somebody else's now */
        if (process >= 0) (void)close(process);
        return MR_OK;
    }
    if (syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) != 0 && errno != ESRCH) {
        int code = errno;

        (void)close(process);
        return mr_error_set(err, MR_E_ACCESS, "process %llu cannot be ended: %s",
                            (unsigned long long)pid, strerror(code));
    }
    ended = wait_for_end(process, wait_us);
    (void)close(process);
    if (ended) return MR_OK;
    return mr_error_set(err, MR_E_BUSY, "process %llu was killed but has not ended yet; try again",
                        (unsigned long long)pid);
}
