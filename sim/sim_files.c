#include "sim_files.h"

#include "base/assert.h"
#include "base/hash.h"
#include "sim_check.h"
#include "sim_world.h"

#include <stdlib.h>
#include <string.h>

#define FILES_MAX 4096u

struct seen_file {
    uint64_t path_hash; /* 0: free */
    uint64_t hash, size_bytes;
    const struct sim_inode *inode;
};

struct sim_files {
    struct seen_file *seen;
    uint32_t count;
};

struct sim_files *sim_files_create(void)
{
    struct sim_files *files = calloc(1, sizeof *files);

    mr_assert(files != NULL);
    files->seen = calloc(FILES_MAX, sizeof *files->seen);
    mr_assert(files->seen != NULL);
    return files;
}

void sim_files_destroy(struct sim_files *files)
{
    if (files == NULL) return;
    free(files->seen);
    free(files);
}

/* A final name of the output: below the folder, and no part of the path begins with a dot. */
static bool is_output(const char *path)
{
    size_t size = strlen(SIM_OUTPUT_DIR);

    return strncmp(path, SIM_OUTPUT_DIR "/", size + 1) == 0 && strstr(path, "/.") == NULL &&
           strstr(path, "/_SUCCESS") == NULL;
}

static char *content(const struct sim_inode *inode)
{
    char *data = calloc(1, inode->size_bytes + 1);

    mr_assert(data != NULL);
    sim_inode_read(inode, 0, data, inode->size_bytes);
    return data;
}

/* One line of numbers; false: it is something else. */
static bool parse_row(const char *line, const char *end, struct sim_record *out)
{
    memset(out, 0, sizeof *out);
    while (line < end) {
        char *behind;

        if (out->count == SIM_VALUES_MAX) return false;
        out->v[out->count++] = strtoll(line, &behind, 10);
        if (behind == line || behind > end || (behind < end && *behind != ',')) return false;
        line = behind + (behind < end);
    }
    return out->count > 0;
}

/* Tells the checker of every row; false: not whole rows. */
static bool each_row(struct sim_world *world, const char *data, size_t size, bool seen)
{
    const char *at = data, *end = data + size;
    bool first = true;

    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        struct sim_record record;

        if (line_end == NULL) return false;
        if (!(first && strncmp(at, "split,", 6) == 0)) { /* the header, once */
            if (!parse_row(at, line_end, &record)) return false;
            if (seen) sim_check_seen(world->check, world, &record);
            else sim_check_unseen(world->check, &record);
        }
        first = false;
        at = line_end + 1;
    }
    return true;
}

static struct seen_file *find(const struct sim_files *files, uint64_t path_hash)
{
    for (uint32_t i = 0; i < files->count; i++) {
        if (files->seen[i].path_hash == path_hash) return &files->seen[i];
    }
    return NULL;
}

void sim_files_shown(struct sim_files *files, struct sim_world *world, const char *path,
                     const struct sim_inode *inode)
{
    struct seen_file *file;
    char *data;

    if (inode->directory || !is_output(path)) return;
    data = content(inode);
    if (!each_row(world, data, inode->size_bytes, true)) {
        sim_world_fail(world, "%s appears with half a row in it", path);
    }
    mr_assert(files->count < FILES_MAX);
    file = &files->seen[files->count++];
    *file = (struct seen_file){.path_hash = mr_hash_bytes(path, strlen(path)) | 1,
                               .hash = mr_hash_bytes(data, inode->size_bytes),
                               .size_bytes = inode->size_bytes,
                               .inode = inode};
    free(data);
}

static void check_same(const struct seen_file *file, struct sim_world *world, const char *data,
                       const struct sim_inode *inode)
{
    if (file->size_bytes == inode->size_bytes &&
        file->hash == mr_hash_bytes(data, inode->size_bytes)) {
        return;
    }
    sim_world_fail(world, "a file of output changed behind its back: %llu bytes, then %llu",
                   (unsigned long long)file->size_bytes, (unsigned long long)inode->size_bytes);
}

void sim_files_gone(struct sim_files *files, struct sim_world *world, const char *path,
                    const struct sim_inode *inode)
{
    struct seen_file *file;
    char *data;

    if (inode->directory || !is_output(path)) return;
    file = find(files, mr_hash_bytes(path, strlen(path)) | 1);
    if (file == NULL) return;
    data = content(inode);
    check_same(file, world, data, inode);
    if (world->running != NULL) sim_world_fail(world, "%s was visible and is removed", path);
    (void)each_row(world, data, inode->size_bytes, false);
    *file = files->seen[--files->count];
    free(data);
}

void sim_files_end(const struct sim_files *files, struct sim_world *world)
{
    for (uint32_t i = 0; i < files->count; i++) {
        char *data = content(files->seen[i].inode);

        check_same(&files->seen[i], world, data, files->seen[i].inode);
        free(data);
    }
    for (uint32_t i = 0; i < world->machine.name_count; i++) {
        const char *path = world->machine.names[i].path;

        if (world->machine.names[i].now == NULL || strstr(path, SIM_OUTPUT_DIR "/.") == NULL) continue;
        sim_world_fail(world, "the job is over, and %s is still there", path);
    }
}
