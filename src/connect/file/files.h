/* files.h - which files a source reads: names, globs and directories become a fixed list.
 *
 * The list is made once, when the job is planned, together with size, identity and compression of
 * every file. Readers compare what they open with it, so that a file that was exchanged in between
 * is refused by name instead of giving half of one and half of the other.
 *
 * Owns:    the list, in its arena.
 * Thread:  planned by one thread; immutable afterwards.
 * Fails:   NOT_FOUND with the path or pattern; UNSUPPORTED for formats that are no text, by name.
 * Cost:    two system calls and one small read per file.
 */
#ifndef MR_CONNECT_FILE_FILES_H
#define MR_CONNECT_FILE_FILES_H

#include "base/arena.h"
#include "port/disk.h"

enum mri_compression {
    MRI_PLAIN,
    MRI_GZIP,
    MRI_ZSTD,
    MRI_UNKNOWN /* a stream: decided from its first bytes */
};

struct mri_file {
    const char *path;
    bool standard_input;
    bool stream; /* pipe, terminal, standard input: read once, in order, end unknown */
    enum mri_compression compression;
    uint64_t size_bytes; /* UINT64_MAX: unknown */
    uint64_t identity;
    int64_t modified_us;
};

struct mri_files {
    struct mr_arena arena;
    struct mri_file *files;
    uint32_t count;
    uint32_t room;
};

void mri_files_init(struct mri_files *files, struct mr_heap *heap);
void mri_files_fini(struct mri_files *files);
/* Expands `path` (file, glob, directory or "-"). Files that begin like a known binary format are
 * refused. */
enum mr_status mri_files_plan(struct mri_files *files, struct mr_disk *disk, const char *path,
                              struct mr_error *err) MR_MUST_USE;

/* Closes a file that was only read, or whose contents are given up: nothing can be lost. */
void mri_close_quietly(struct mr_disk *disk, uint32_t number);

/* `*`, `?` and `[a-z]`, `[!a-z]`, `\x`; a leading dot is matched by a dot only. */
bool mri_glob_match(const char *pattern, const char *name);
bool mri_glob_has_magic(const char *path);

/* What the first bytes of an input say. `final`: there will not be more than these. MRI_UNKNOWN:
 * too few bytes to tell. */
enum mri_compression mri_sniff(const char *data, size_t size_bytes, bool final);
/* The name of a binary format that begins like this, with what to do about it; NULL: none. `tail`
 * are the last 4 bytes of the file, or NULL when they are not known. */
const char *mri_sniff_binary(const char *data, size_t size_bytes, const char *tail);

#endif
