/* manifest.c - see manifest.h. */
#include "state/manifest.h"

#include "base/assert.h"
#include "base/status.h"

#include <stdio.h>
#include <string.h>

/* A file that is one record, exactly. */
static enum mr_status only_record(struct mr_bytes data, uint64_t file_id, enum mri_record_kind kind,
                                  const char *path, struct mri_record *out, struct mr_error *err)
{
    size_t need;

    switch (mri_record_parse(data, file_id, 0, out, &need)) {
    case MRI_PARSE_OK:
        if (out->kind == kind && out->size_bytes == data.size_bytes) return MR_OK;
        break;
    case MRI_PARSE_NEWER:
        return mr_error_set(err, MR_E_UNSUPPORTED,
                            "%s: offset 0: written by a newer version of the program; start that "
                            "version, or take another state directory",
                            path);
    case MRI_PARSE_SHORT:
    case MRI_PARSE_BAD: break;
    }
    return mr_error_set(err, MR_E_CORRUPT,
                        "%s: offset 0: damaged, cut short or not a file of a state directory; "
                        "nothing was changed. Bring back a copy of the directory, or start from a "
                        "savepoint in a new one",
                        path);
}

static enum mr_status words_of_file(struct mr_bytes data, uint64_t file_id,
                                    enum mri_record_kind kind, const char *path, void *words,
                                    size_t count, struct mr_error *err)
{
    struct mri_record record;

    MR_RET(only_record(data, file_id, kind, path, &record, err));
    if (mri_words_get(&record, words, count)) return MR_OK;
    return mr_error_set(err, MR_E_CORRUPT, "%s: offset 32: wrong length", path);
}

bool mri_meta_encode(struct mr_buffer *out, const struct mri_meta *meta)
{
    return mri_words_put(out, MRI_META, MRI_ID_META, 0, meta, MRI_WORDS(*meta), NULL);
}

enum mr_status mri_meta_decode(struct mr_bytes data, const char *path, struct mri_meta *out,
                               struct mr_error *err)
{
    return words_of_file(data, MRI_ID_META, MRI_META, path, out, MRI_WORDS(*out), err);
}

bool mri_lock_encode(struct mr_buffer *out, const struct mri_lock *lock)
{
    return mri_words_put(out, MRI_LOCK, MRI_ID_LOCK, 0, lock, MRI_WORDS(*lock), NULL);
}

enum mr_status mri_lock_decode(struct mr_bytes data, const char *path, struct mri_lock *out,
                               struct mr_error *err)
{
    return words_of_file(data, MRI_ID_LOCK, MRI_LOCK, path, out, MRI_WORDS(*out), err);
}

/* ---- manifest ---- */

bool mri_manifest_encode(struct mr_buffer *out, const struct mri_manifest *manifest)
{
    const uint64_t head[6] = {manifest->fence,      manifest->number,     manifest->job_hash,
                              manifest->base_epoch, manifest->base_count, manifest->chain_count};
    struct mr_buffer payload;
    bool ok;

    mr_buffer_init(&payload, out->heap);
    ok = mr_buffer_put(&payload, head, sizeof head) &&
         (manifest->base_count == 0 ||
          mr_buffer_put(&payload, manifest->bases,
                        manifest->base_count * sizeof *manifest->bases)) &&
         (manifest->chain_count == 0 ||
          mr_buffer_put(&payload, manifest->chains,
                        manifest->chain_count * sizeof *manifest->chains)) &&
         mri_record_put(out, MRI_MANIFEST, mri_file_id(manifest->fence, manifest->number), 0,
                        (struct mr_bytes){payload.data, payload.size_bytes}, NULL);
    mr_buffer_fini(&payload);
    return ok;
}

/* Chains in the order of their fences, closed but for the last. */
static bool chains_fit(const struct mri_manifest *manifest)
{
    for (uint32_t i = 0; i < manifest->chain_count; i++) {
        const struct mri_chain *chain = &manifest->chains[i];
        bool open = i + 1 == manifest->chain_count;

        if (chain->fence == 0 || chain->fence > manifest->fence || chain->first == 0) return false;
        if (i > 0 && chain->fence <= chain[-1].fence) return false;
        if (open != (chain->last_epoch == 0) || open != (chain->last == 0)) return false;
        if (!open && (chain->last < chain->first || chain->last_epoch <= manifest->base_epoch)) {
            return false;
        }
        if (i > 0 && !open && chain->last_epoch <= chain[-1].last_epoch) return false;
    }
    return manifest->chain_count > 0;
}

static enum mr_status fill(struct mri_manifest *manifest, struct mr_cursor *in, uint32_t base_count,
                           uint32_t chain_count, const char *path, struct mr_error *err)
{
    struct mri_base_file base;
    struct mri_chain chain;
    const char *bytes;

    for (uint32_t i = 0; i < base_count; i++) {
        if (!mr_cursor_take(in, sizeof base, &bytes)) goto cut;
        memcpy(&base, bytes, sizeof base);
        if (!mri_manifest_add_base(manifest, &base)) goto nomem;
    }
    for (uint32_t i = 0; i < chain_count; i++) {
        if (!mr_cursor_take(in, sizeof chain, &bytes)) goto cut;
        memcpy(&chain, bytes, sizeof chain);
        if (!mri_manifest_add_chain(manifest, &chain)) goto nomem;
    }
    if (in->at == in->end && chains_fit(manifest)) return MR_OK;
cut:
    return mr_error_set(err, MR_E_CORRUPT, "%s: offset 80: its lists do not fit together", path);
nomem:
    return mr_error_nomem(err, "a manifest", sizeof chain);
}

enum mr_status mri_manifest_decode(struct mr_heap *heap, struct mr_bytes data, const char *path,
                                   uint64_t fence, uint64_t number, struct mri_manifest *out,
                                   struct mr_error *err)
{
    struct mri_manifest manifest = {.heap = heap};
    struct mri_record record;
    struct mr_cursor in;
    const char *bytes;
    uint64_t head[6];
    enum mr_status st;

    MR_GOTO(only_record(data, mri_file_id(fence, number), MRI_MANIFEST, path, &record, err));
    in = (struct mr_cursor){record.payload.data, record.payload.data + record.payload.size_bytes};
    if (!mr_cursor_take(&in, sizeof head, &bytes)) bytes = NULL;
    if (bytes != NULL) memcpy(head, bytes, sizeof head);
    if (bytes == NULL || head[0] != fence || head[1] != number || head[4] > MRI_BASES_MAX ||
        head[5] > MRI_CHAINS_MAX) {
        st = mr_error_set(err, MR_E_CORRUPT, "%s: offset 32: not the manifest that META names",
                          path);
        goto done;
    }
    manifest.fence = fence;
    manifest.number = number;
    manifest.job_hash = head[2];
    manifest.base_epoch = head[3];
    MR_GOTO(fill(&manifest, &in, (uint32_t)head[4], (uint32_t)head[5], path, err));
    *out = manifest;
    manifest = (struct mri_manifest){.heap = heap};
done:
    mri_manifest_fini(&manifest);
    return st;
}

void mri_manifest_fini(struct mri_manifest *manifest)
{
    if (manifest->heap == NULL) return;
    mr_free(manifest->heap, manifest->bases, manifest->base_count * sizeof *manifest->bases);
    mr_free(manifest->heap, manifest->chains, manifest->chain_count * sizeof *manifest->chains);
    manifest->bases = NULL;
    manifest->chains = NULL;
    manifest->base_count = manifest->chain_count = 0;
}

/* The lists are short and change rarely: they grow by one. */
static bool add_one(struct mr_heap *heap, void *list, uint32_t *count, const void *item,
                    size_t size_bytes)
{
    void **array = list;
    void *grown = mr_realloc(heap, *array, *count * size_bytes, (*count + 1) * size_bytes);

    if (grown == NULL) return false;
    memcpy((char *)grown + *count * size_bytes, item, size_bytes);
    *array = grown;
    ++*count;
    return true;
}

bool mri_manifest_add_base(struct mri_manifest *manifest, const struct mri_base_file *base)
{
    mr_assert(manifest->base_count < MRI_BASES_MAX);
    return add_one(manifest->heap, &manifest->bases, &manifest->base_count, base, sizeof *base);
}

bool mri_manifest_add_chain(struct mri_manifest *manifest, const struct mri_chain *chain)
{
    mr_assert(manifest->chain_count < MRI_CHAINS_MAX);
    return add_one(manifest->heap, &manifest->chains, &manifest->chain_count, chain, sizeof *chain);
}

/* ---- names ---- */

static const struct name_form {
    const char *before;
    const char *after;
    bool numbered;
} forms[] = {
    [MRI_FILE_SEGMENT] = {"seg-", ".log", true}, [MRI_FILE_BASE] = {"base-", "", true},
    [MRI_FILE_RUN] = {"run-", "", true},         [MRI_FILE_MANIFEST] = {"manifest-", "", true},
    [MRI_FILE_META] = {"META", "", false},       [MRI_FILE_META_NEW] = {"META.new", "", false},
    [MRI_FILE_LOCK] = {"LOCK", "", false},
};

#define NAME_BYTES 64u
static void file_name(char out[NAME_BYTES], enum mri_file_type type, uint64_t fence,
                      uint64_t number)
{
    const struct name_form *form = &forms[type];

    if (form->numbered) {
        (void)snprintf(out, NAME_BYTES, "%s%llu-%llu%s", form->before, (unsigned long long)fence,
                       (unsigned long long)number, form->after);
    } else {
        (void)snprintf(out, NAME_BYTES, "%s", form->before);
    }
}

char *mri_path_join(struct mr_heap *heap, const char *dir, const char *name)
{
    size_t dir_size = strlen(dir), size = strlen(name) + 1;
    char *path = mr_alloc(heap, dir_size + 1 + size);

    if (path == NULL) return NULL;
    memcpy(path, dir, dir_size);
    path[dir_size] = '/';
    memcpy(path + dir_size + 1, name, size);
    return path;
}

char *mri_file_path(struct mr_heap *heap, const char *dir, enum mri_file_type type, uint64_t fence,
                    uint64_t number)
{
    char name[NAME_BYTES];

    mr_assert(type < MRI_FILE_OTHER);
    file_name(name, type, fence, number);
    return mri_path_join(heap, dir, name);
}

static bool get_decimal(const char **at, uint64_t *out)
{
    uint64_t value = 0;
    const char *c = *at;

    if (*c < '0' || *c > '9') return false;
    for (; *c >= '0' && *c <= '9'; c++) {
        if (value > MRI_NUMBER_MAX) return false;
        value = value * 10 + (uint64_t)(*c - '0');
    }
    *at = c;
    *out = value;
    return true;
}

enum mri_file_type mri_file_parse(const char *name, uint64_t *out_fence, uint64_t *out_number)
{
    char canonical[NAME_BYTES];

    for (uint32_t i = 0; i < MRI_FILE_OTHER; i++) {
        const char *at = name + strlen(forms[i].before);

        *out_fence = *out_number = 0;
        if (strncmp(name, forms[i].before, strlen(forms[i].before)) != 0) continue;
        if (forms[i].numbered &&
            (!get_decimal(&at, out_fence) || *at++ != '-' || !get_decimal(&at, out_number))) {
            continue;
        }
        file_name(canonical, (enum mri_file_type)i, *out_fence, *out_number);
        if (strcmp(canonical, name) == 0) return (enum mri_file_type)i;
    }
    return MRI_FILE_OTHER;
}
