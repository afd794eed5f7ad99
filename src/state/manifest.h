/* manifest.h - the small files of a state directory: META, LOCK, manifests; and names of files.
 *
 * META is the one thing that changes: it names the fence and the manifest in force. A manifest is
 * written once and never changed. It lists the base files (state at the end of an epoch) and the
 * chains of segments whose epochs come on top, in order. A chain is what one attempt wrote; all but
 * the last are closed: they end with an epoch that must be there.
 *
 * Owns:    a manifest owns its arrays, taken from a heap.
 * Thread:  confined.
 * Fails:   decode: MR_E_CORRUPT or MR_E_UNSUPPORTED; texts name the file.
 * Cost:    linear.
 */
#ifndef MR_STATE_MANIFEST_H
#define MR_STATE_MANIFEST_H

#include "state/segment.h"

struct mri_meta {
    uint64_t fence; /* of the last attempt that opened the directory; 0: none yet */
    uint64_t attempt;
    uint64_t job_hash;
    uint64_t manifest_fence; /* 0: there is no manifest yet */
    uint64_t manifest_number;
};

/* Who holds the directory. Exclusive opening of LOCK is the port's work; this is what it says. */
struct mri_lock {
    uint64_t pid;
    uint64_t started_us; /* since the machine started: tells a holder from a later process with its pid */
    uint64_t fence;
};

struct mri_base_file {
    uint64_t fence;
    uint64_t number;
    uint64_t size_bytes;
    uint64_t entry_count;
    uint64_t crc; /* as in its footer */
};

struct mri_chain {
    uint64_t fence;
    uint64_t first;        /* number of its first segment */
    uint64_t first_offset; /* where its first epoch begins there */
    uint64_t last;         /* closed chains: its last segment; open ones: 0 */
    uint64_t last_epoch;   /* closed chains: its last epoch; open ones: 0 */
};

struct mri_manifest {
    struct mr_heap *heap;
    uint64_t fence;
    uint64_t number;
    uint64_t job_hash;
    uint64_t base_epoch; /* the base files are the state at its end; 0: no state */
    struct mri_base_file *bases;
    struct mri_chain *chains;
    uint32_t base_count;
    uint32_t chain_count;
};
#define MRI_CHAINS_MAX 1024u
#define MRI_BASES_MAX  65536u

bool mri_meta_encode(struct mr_buffer *out, const struct mri_meta *meta) MR_MUST_USE;
enum mr_status mri_meta_decode(struct mr_bytes data, const char *path, struct mri_meta *out,
                               struct mr_error *err) MR_MUST_USE;
bool mri_lock_encode(struct mr_buffer *out, const struct mri_lock *lock) MR_MUST_USE;
enum mr_status mri_lock_decode(struct mr_bytes data, const char *path, struct mri_lock *out,
                               struct mr_error *err) MR_MUST_USE;

bool mri_manifest_encode(struct mr_buffer *out, const struct mri_manifest *manifest) MR_MUST_USE;
enum mr_status mri_manifest_decode(struct mr_heap *heap, struct mr_bytes data, const char *path,
                                   uint64_t fence, uint64_t number, struct mri_manifest *out,
                                   struct mr_error *err) MR_MUST_USE;
void mri_manifest_fini(struct mri_manifest *manifest); /* a zeroed one is allowed */
bool mri_manifest_add_base(struct mri_manifest *manifest,
                           const struct mri_base_file *base) MR_MUST_USE;
bool mri_manifest_add_chain(struct mri_manifest *manifest,
                            const struct mri_chain *chain) MR_MUST_USE;

/* ---- names ---- */

enum mri_file_type {
    MRI_FILE_SEGMENT,  /* seg-<fence>-<number>.log */
    MRI_FILE_BASE,     /* base-<fence>-<number> */
    MRI_FILE_RUN,      /* run-<fence>-<number>: of a compaction, worthless after it */
    MRI_FILE_MANIFEST, /* manifest-<fence>-<number> */
    MRI_FILE_META,     /* META */
    MRI_FILE_META_NEW, /* META.new */
    MRI_FILE_LOCK,     /* LOCK */
    MRI_FILE_OTHER
};
/* DIR/NAME from the heap (mr_strfree), or NULL. */
char *mri_file_path(struct mr_heap *heap, const char *dir, enum mri_file_type type, uint64_t fence,
                    uint64_t number) MR_MUST_USE;
char *mri_path_join(struct mr_heap *heap, const char *dir, const char *name) MR_MUST_USE;
/* What a name in the directory is; canonical decimals only. */
enum mri_file_type mri_file_parse(const char *name, uint64_t *out_fence, uint64_t *out_number);

#endif
