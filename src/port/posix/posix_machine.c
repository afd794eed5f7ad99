/* posix_machine.c - what the machine and the control group allow: memory, processors. */
#include "base/compiler.h"
#include "port/posix/posix.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The beginning of a small file as terminated text; false when it cannot be read. */
static bool read_small(const char *path, char *out, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size;

    if (fd < 0) return false;
    size = read(fd, out, room - 1);
    (void)close(fd);
    if (size < 0) return false;
    out[size] = '\0';
    return true;
}

/* The path of this process's group below the mount of one controller, from /proc/self/cgroup:
 * lines `hierarchy:controllers:path`; v2 has hierarchy 0 and no controllers. */
static bool group_path(const char *controller, char *out, size_t room)
{
    char text[8192];
    bool v2 = controller[0] == '\0';

    if (!read_small("/proc/self/cgroup", text, sizeof text)) return false;
    for (char *line = text; line != NULL && *line != '\0';) {
        char *end = strchr(line, '\n');
        char *first = strchr(line, ':');
        char *second = first != NULL ? strchr(first + 1, ':') : NULL;

        if (end != NULL) *end = '\0';
        if (second != NULL) {
            size_t width = (size_t)(second - first - 1);
            bool match = v2 ? width == 0
                            : width >= strlen(controller) &&
                                  strstr(first + 1, controller) != NULL &&
                                  strstr(first + 1, controller) < second;

            if (match) {
                (void)snprintf(out, room, "%s", second + 1);
                return true;
            }
        }
        line = end != NULL ? end + 1 : NULL;
    }
    return false;
}

/* Calls `look` with every directory from the group up to the root of the mount: a limit of any
 * ancestor holds too. Inside containers the path may not exist below the mount; the root does. */
static void walk_groups(const char *mount, const char *controller,
                        void (*look)(const char *directory, void *self), void *self)
{
    char group[2048];
    char path[4096];

    if (!group_path(controller, group, sizeof group)) group[0] = '\0';
    for (;;) {
        char *slash;

        (void)snprintf(path, sizeof path, "%s%s", mount, group);
        look(path, self);
        slash = strrchr(group, '/');
        if (slash == NULL) return;
        *slash = '\0';
    }
}

static bool read_number(const char *directory, const char *name, uint64_t *out)
{
    char path[4352];
    char text[64];
    char *end;

    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    if (!read_small(path, text, sizeof text)) return false;
    *out = strtoull(text, &end, 10);
    return end != text; /* "max" is no number */
}

static void look_memory_v2(const char *directory, void *self)
{
    uint64_t *limit = self;
    uint64_t value;

    if (read_number(directory, "memory.max", &value)) *limit = MR_MIN(*limit, value);
}

static void look_memory_v1(const char *directory, void *self)
{
    uint64_t *limit = self;
    uint64_t value;

    if (read_number(directory, "memory.limit_in_bytes", &value)) *limit = MR_MIN(*limit, value);
}

size_t mr_posix_memory_default(void)
{
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t limit = UINT64_C(2) << 30; /* when the system does not say */

    if (pages > 0 && page_bytes > 0) limit = (uint64_t)pages * (uint64_t)page_bytes;
    walk_groups("/sys/fs/cgroup", "", look_memory_v2, &limit);
    walk_groups("/sys/fs/cgroup/memory", "memory", look_memory_v1, &limit);
    return (size_t)(limit / 2);
}

/* Not getrusage: its figure covers what ran in this process before exec, such as a large shell. */
size_t mr_posix_peak_rss(void)
{
    static const char key[] = "VmHWM:";
    struct rusage usage;
    char text[4096];
    const char *found = NULL;

    if (read_small("/proc/self/status", text, sizeof text)) found = strstr(text, key);
    if (found != NULL) return (size_t)strtoull(found + sizeof key - 1, NULL, 10) * 1024;
    if (getrusage(RUSAGE_SELF, &usage) != 0) return 0;
    return (size_t)usage.ru_maxrss * 1024;
}

/* Smallest quota in processors, rounded up. */
static void look_cpu_v2(const char *directory, void *self)
{
    uint32_t *cores = self;
    char path[4352];
    char text[64];
    char *end;
    uint64_t quota, period;

    (void)snprintf(path, sizeof path, "%s/cpu.max", directory);
    if (!read_small(path, text, sizeof text)) return;
    quota = strtoull(text, &end, 10);
    if (end == text) return;
    period = strtoull(end, NULL, 10);
    if (period == 0) return;
    *cores = (uint32_t)MR_MIN((uint64_t)*cores, (quota + period - 1) / period);
}

static void look_cpu_v1(const char *directory, void *self)
{
    uint32_t *cores = self;
    uint64_t quota, period;

    if (!read_number(directory, "cpu.cfs_quota_us", &quota)) return;
    if (!read_number(directory, "cpu.cfs_period_us", &period) || period == 0) return;
    if (quota > INT64_MAX) return; /* -1: none */
    *cores = (uint32_t)MR_MIN((uint64_t)*cores, (quota + period - 1) / period);
}

uint32_t mr_posix_cores(void)
{
    cpu_set_t set;
    uint32_t cores;
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    cores = online > 0 ? (uint32_t)online : 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0) cores = (uint32_t)CPU_COUNT(&set);
    walk_groups("/sys/fs/cgroup", "", look_cpu_v2, &cores);
    walk_groups("/sys/fs/cgroup/cpu", "cpu", look_cpu_v1, &cores);
    return cores > 0 ? cores : 1;
}
