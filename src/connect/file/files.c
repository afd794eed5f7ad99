/* files.c - see files.h. */
#include "connect/file/files.h"

#include "base/status.h"

#include <string.h>

#define FILES_MAX      (1u << 20)
#define PATH_BYTES_MAX ((size_t)4096)

void mri_files_init(struct mri_files *files, struct mr_heap *heap)
{
    memset(files, 0, sizeof *files);
    mr_arena_init(&files->arena, heap);
}

void mri_files_fini(struct mri_files *files)
{
    mr_arena_fini(&files->arena);
    memset(files, 0, sizeof *files);
}

/* ---- globs ---- */

bool mri_glob_has_magic(const char *path)
{
    return strpbrk(path, "*?[") != NULL;
}

/* Matches one `[...]` at *pattern against c and moves *pattern behind it. Without a closing bracket
 * the '[' stands for itself. */
static bool match_bracket(const char **pattern, char c)
{
    const char *at = *pattern + 1;
    bool negated = *at == '!' || *at == '^';
    bool found = false;
    const char *first;

    if (negated) at++;
    for (first = at; *at != '\0' && (*at != ']' || at == first); at++) {
        unsigned char low = (unsigned char)*at;
        unsigned char high = low;

        if (at[1] == '-' && at[2] != '\0' && at[2] != ']') {
            high = (unsigned char)at[2];
            at += 2;
        }
        found |= low <= (unsigned char)c && (unsigned char)c <= high;
    }
    if (*at != ']') {
        ++*pattern;
        return c == '[';
    }
    *pattern = at + 1;
    return found != negated;
}

/* One step of the pattern that is not a star; false: no match. */
static bool match_one(const char **pattern, char c)
{
    switch (**pattern) {
    case '\0': return false;
    case '?': ++*pattern; return true;
    case '[': return match_bracket(pattern, c);
    case '\\':
        if ((*pattern)[1] != '\0') ++*pattern;
        break;
    default: break;
    }
    return *(*pattern)++ == c;
}

bool mri_glob_match(const char *pattern, const char *name)
{
    const char *star = NULL; /* behind the last star, and the name where it was tried last */
    const char *retry = NULL;

    if (name[0] == '.' && pattern[0] != '.') return false;
    while (*name != '\0') {
        if (*pattern == '*') {
            star = ++pattern;
            retry = name;
            continue;
        }
        if (match_one(&pattern, *name)) {
            name++;
            continue;
        }
        if (star == NULL) return false;
        pattern = star;
        name = ++retry;
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

/* ---- the list ---- */

static enum mr_status nomem(struct mr_error *err)
{
    return mr_error_nomem(err, "the list of input files", 0);
}

static struct mri_file *add_file(struct mri_files *files, const char *path,
                                 const struct mr_file_info *info)
{
    struct mri_file *file;

    if (files->count == files->room) {
        uint32_t room = files->room == 0 ? 8 : files->room * 2;
        struct mri_file *grown = mr_arena_alloc(&files->arena, room * sizeof *grown);

        if (grown == NULL) return NULL;
        if (files->count > 0) memcpy(grown, files->files, files->count * sizeof *grown);
        files->files = grown;
        files->room = room;
    }
    file = &files->files[files->count];
    memset(file, 0, sizeof *file);
    file->path = mr_arena_strdup(&files->arena, path);
    if (file->path == NULL) return NULL;
    file->stream = info->kind != MR_FILE_REGULAR;
    file->compression = MRI_UNKNOWN;
    file->size_bytes = file->stream ? UINT64_MAX : info->size_bytes;
    file->identity = info->identity;
    file->modified_us = info->modified_us;
    files->count++;
    return file;
}

static enum mr_status add_standard_input(struct mri_files *files, struct mr_error *err)
{
    const struct mr_file_info info = {.kind = MR_FILE_STREAM};
    struct mri_file *file = add_file(files, "stdin", &info);

    if (file == NULL) return nomem(err);
    file->standard_input = true;
    return MR_OK;
}

static enum mr_status look_at(struct mr_disk *disk, const char *path, struct mr_file_info *out,
                              struct mr_error *err)
{
    struct mr_disk_request request = {.op = MR_DISK_INFO, .path = path};

    MR_RET(mr_disk_do(disk, &request, err));
    *out = request.info;
    return MR_OK;
}

static enum mr_status too_many(const char *path, struct mr_error *err)
{
    return mr_error_set(err, MR_E_LIMIT, "%s: more than %u files; read them in several jobs", path,
                        FILES_MAX);
}

/* Puts directory and name together in `out`; false when that is longer than a path may be. */
static bool join(char *out, const char *directory, size_t directory_bytes, const char *name)
{
    size_t name_bytes = strlen(name);
    bool slash = directory_bytes > 0 && directory[directory_bytes - 1] != '/';

    if (directory_bytes + slash + name_bytes >= PATH_BYTES_MAX) return false;
    memmove(out, directory, directory_bytes);
    if (slash) out[directory_bytes++] = '/';
    memcpy(out + directory_bytes, name, name_bytes + 1);
    return true;
}

/* ---- directories and patterns ---- */

static enum mr_status add_directory(struct mri_files *files, struct mr_disk *disk, const char *path,
                                    struct mr_error *err)
{
    enum mr_status st;
    struct mr_disk_request list = {.op = MR_DISK_LIST, .path = path};
    char full[PATH_BYTES_MAX];
    uint32_t before = files->count;

    MR_GOTO(mr_disk_do(disk, &list, err));
    for (uint32_t i = 0; i < list.name_count; i++) {
        struct mr_file_info info;

        if (list.names[i][0] == '.') continue;
        if (!join(full, path, strlen(path), list.names[i])) {
            st = mr_error_set(err, MR_E_LIMIT, "%s: a path in it is too long", path);
            goto done;
        }
        MR_GOTO(look_at(disk, full, &info, err));
        if (info.kind != MR_FILE_REGULAR) continue; /* not into sub-directories */
        if (files->count >= FILES_MAX) {
            st = too_many(path, err);
            goto done;
        }
        if (add_file(files, full, &info) == NULL) {
            st = nomem(err);
            goto done;
        }
    }
    if (files->count == before) {
        st = mr_error_set(err, MR_E_NOT_FOUND,
                          "the directory %s has no files to read (hidden ones and those in "
                          "sub-directories do not count; `%s/*/*` reads the latter)",
                          path, path);
    }
done:
    disk->names_free(disk, &list);
    return st;
}

/* Expands the part of `pattern` that begins at `at`; `prefix` holds what is already decided. */
static enum mr_status expand(struct mri_files *files, struct mr_disk *disk, const char *prefix,
                             const char *at, struct mr_error *err);

static enum mr_status add_match(struct mri_files *files, struct mr_disk *disk, const char *path,
                                struct mr_error *err)
{
    struct mr_file_info info;
    struct mr_error ignored;

    if (look_at(disk, path, &info, &ignored) != MR_OK) return MR_OK; /* gone, or a dangling link */
    if (info.kind == MR_FILE_DIRECTORY) return MR_OK;
    if (files->count >= FILES_MAX) return too_many(path, err);
    return add_file(files, path, &info) == NULL ? nomem(err) : MR_OK;
}

static enum mr_status expand_name(struct mri_files *files, struct mr_disk *disk, const char *prefix,
                                  const char *name, const char *rest, struct mr_error *err)
{
    char path[PATH_BYTES_MAX];

    if (!join(path, prefix, strlen(prefix), name)) {
        return mr_error_set(err, MR_E_LIMIT, "%s: a path below it is too long", prefix);
    }
    if (rest == NULL) return add_match(files, disk, path, err);
    return expand(files, disk, path, rest, err);
}

static enum mr_status expand(struct mri_files *files, struct mr_disk *disk, const char *prefix,
                             const char *at, struct mr_error *err)
{
    enum mr_status st = MR_OK;
    const char *slash = strchr(at, '/');
    const char *rest = slash;
    struct mr_disk_request list = {.op = MR_DISK_LIST, .path = prefix[0] != '\0' ? prefix : "."};
    struct mr_error ignored;
    char part[PATH_BYTES_MAX];
    size_t part_bytes = slash != NULL ? (size_t)(slash - at) : strlen(at);

    if (part_bytes >= sizeof part) {
        return mr_error_set(err, MR_E_LIMIT, "a part of the pattern is too long");
    }
    while (rest != NULL && *rest == '/') rest++;
    memcpy(part, at, part_bytes);
    part[part_bytes] = '\0';
    if (!mri_glob_has_magic(part)) return expand_name(files, disk, prefix, part, rest, err);
    /* What cannot be listed (a file in the middle of a path, say) matches nothing. */
    if (mr_disk_do(disk, &list, &ignored) != MR_OK) return MR_OK;
    for (uint32_t i = 0; i < list.name_count; i++) {
        if (!mri_glob_match(part, list.names[i])) continue;
        MR_GOTO(expand_name(files, disk, prefix, list.names[i], rest, err));
    }
done:
    disk->names_free(disk, &list);
    return st;
}

static enum mr_status add_pattern(struct mri_files *files, struct mr_disk *disk, const char *path,
                                  struct mr_error *err)
{
    const char *at = path;

    while (*at == '/') at++;
    MR_RET(expand(files, disk, at != path ? "/" : "", at, err));
    if (files->count > 0) return MR_OK;
    return mr_error_set(err, MR_E_NOT_FOUND, "no file matches %s", path);
}

/* ---- looking inside ---- */

void mri_close_quietly(struct mr_disk *disk, uint32_t number)
{
    struct mr_disk_request request = {.op = MR_DISK_CLOSE, .file = number};
    enum mr_status ignored = mr_disk_do(disk, &request, NULL);

    (void)ignored;
}

static enum mr_status read_at(struct mr_disk *disk, uint32_t number, const char *path,
                              uint64_t offset, char *data, size_t size_bytes, size_t *out_bytes,
                              struct mr_error *err)
{
    *out_bytes = 0;
    while (*out_bytes < size_bytes) {
        struct mr_disk_request request = {.op = MR_DISK_READ,
                                          .file = number,
                                          .path = path,
                                          .offset = offset + *out_bytes,
                                          .data = data + *out_bytes,
                                          .size_bytes = size_bytes - *out_bytes};

        MR_RET(mr_disk_do(disk, &request, err));
        if (request.done_bytes == 0) break;
        *out_bytes += request.done_bytes;
    }
    return MR_OK;
}

static enum mr_status sniff_open(struct mri_file *file, struct mr_disk *disk, uint32_t number,
                                 struct mr_error *err)
{
    char head[16];
    char tail[4];
    size_t head_bytes, tail_bytes;
    const char *binary;

    MR_RET(read_at(disk, number, file->path, 0, head, sizeof head, &head_bytes, err));
    tail_bytes = 0;
    if (file->size_bytes >= sizeof tail) {
        MR_RET(read_at(disk, number, file->path, file->size_bytes - sizeof tail, tail, sizeof tail,
                       &tail_bytes, err));
    }
    /* The planned size is what is read: to take it for an empty file would lose all of it. */
    if (file->size_bytes == 0 && head_bytes > 0) {
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "%s has bytes but does not say how many (a device, a file of /proc, or "
                            "one that is being written); read it through a pipe: cat ... | ... "
                            "--input -",
                            file->path);
    }
    binary = mri_sniff_binary(head, head_bytes, tail_bytes == sizeof tail ? tail : NULL);
    if (binary != NULL) {
        return mr_error_set(err, MR_E_UNSUPPORTED, "%s is %s", file->path, binary);
    }
    file->compression = mri_sniff(head, head_bytes, true);
    return MR_OK;
}

static enum mr_status sniff_file(struct mri_file *file, struct mr_disk *disk, struct mr_error *err)
{
    struct mr_disk_request open = {.op = MR_DISK_OPEN_READ, .path = file->path};
    enum mr_status st;

    MR_RET(mr_disk_do(disk, &open, err));
    st = sniff_open(file, disk, open.file, err);
    mri_close_quietly(disk, open.file);
    return st;
}

static enum mr_status list_files(struct mri_files *files, struct mr_disk *disk, const char *path,
                                 struct mr_error *err)
{
    struct mr_file_info info;
    enum mr_status st;

    if (strcmp(path, "-") == 0) return add_standard_input(files, err);
    st = look_at(disk, path, &info, err);
    /* A file that really has such a name goes before the pattern. */
    if (st == MR_E_NOT_FOUND && mri_glob_has_magic(path))
        return add_pattern(files, disk, path, err);
    if (st != MR_OK) return st;
    if (info.kind == MR_FILE_DIRECTORY) return add_directory(files, disk, path, err);
    return add_file(files, path, &info) == NULL ? nomem(err) : MR_OK;
}

enum mr_status mri_files_plan(struct mri_files *files, struct mr_disk *disk, const char *path,
                              struct mr_error *err)
{
    MR_RET(list_files(files, disk, path, err));
    for (uint32_t i = 0; i < files->count; i++) {
        if (!files->files[i].stream) MR_RET(sniff_file(&files->files[i], disk, err));
    }
    return MR_OK;
}
