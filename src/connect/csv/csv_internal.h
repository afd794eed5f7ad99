/* csv_internal.h - the CSV source: what its files share.
 *
 * csv_source.c plans, csv_header.c finds columns, csv_prepass.c finds out where records begin in
 * the middle of a file, csv_reader.c reads.
 *
 * Owns:    a spec owns copies of its options, the list of files, layouts and cuts.
 * Thread:  a spec is immutable after plan but for the atomics of the cuts and `places`.
 * Fails:   as connect.h.
 * Cost:    as their files say.
 */
#ifndef MR_CONNECT_CSV_CSV_INTERNAL_H
#define MR_CONNECT_CSV_CSV_INTERNAL_H

#include "connect/connect.h"
#include "connect/csv/csv_convert.h"
#include "connect/csv/csv_cut.h"
#include "connect/file/resume.h"
#include "connect/file/splits.h"

/* Which field of a file each column of the schema is. */
struct mri_csv_layout {
    bool known;
    uint32_t field_count;
    const uint32_t *fields; /* per column of the schema */
};

/* What is known about the state at the beginning of a split, and about what the split makes of
 * it. */
struct mri_csv_cut {
    _Atomic uint32_t entry;    /* 0: unknown; else 1 + state */
    _Atomic uint32_t transfer; /* 0: unknown; MRI_CSV_CLAIMED: somebody is at it; else packed */
};
#define MRI_CSV_CLAIMED 1u

struct mri_csv_spec {
    struct mr_heap *heap;
    char *path;
    struct mr_schema *schema;
    char delimiter;
    bool no_header;
    struct mri_csv_nulls nulls;
    struct mr_arena options; /* null literals */
    uint64_t split_bytes;
    struct mri_files files;
    struct mr_arena plan;           /* layouts */
    struct mri_csv_layout *layouts; /* per file */
    struct mri_places places;
    uint32_t cut_count;
    struct mri_csv_cut *cuts; /* per split */
};

/* Files are cut every so many bytes (default: MR_SPLIT_BYTES; at least 4, so that a byte order mark
 * does not fill a split); before plan, for tests. */
void mri_csv_source_split_bytes(struct mr_source *source, uint64_t split_bytes);

/* The ordinal of the first split of the split's file. */
MR_INLINE uint32_t mri_csv_first_split(const struct mri_csv_spec *spec,
                                       const struct mr_split *split)
{
    return split->ordinal - (uint32_t)(split->offset_bytes / spec->split_bytes);
}

/* ---- header ---- */

#define MRI_BOM_BYTES 3u
/* Bytes of a byte order mark at the beginning; UINT32_MAX: too few bytes to tell. */
uint32_t mri_csv_bom(const char *data, size_t size_bytes, bool final);
/* Finds the columns in a header record (without its end of line). Memory comes from `arena`. */
enum mr_status mri_csv_header(const struct mri_csv_spec *spec, const char *path,
                              struct mr_bytes record, struct mr_arena *arena,
                              struct mri_csv_layout *out, struct mr_error *err) MR_MUST_USE;
/* Reads the header of a file. An empty file has no layout (known stays false). */
enum mr_status mri_csv_read_header(struct mri_csv_spec *spec, struct mr_disk *disk,
                                   const struct mri_file *file, struct mri_csv_layout *out,
                                   struct mr_error *err) MR_MUST_USE;

/* ---- pre-pass ---- */

struct mri_csv_prepass {
    struct mri_csv_spec *spec;
    const struct mr_split *split; /* whose entry state is wanted */
    uint32_t first;               /* split of the file */
    uint32_t current;             /* split that is being looked at, UINT32_MAX: none */
    struct mri_csv_transfer transfer;
};

void mri_csv_prepass_init(struct mri_csv_prepass *prepass, struct mri_csv_spec *spec,
                          const struct mr_split *split);
/* Gives up a claim; may be called twice. */
void mri_csv_prepass_fini(struct mri_csv_prepass *prepass);
/* A bounded amount of reading. *out_known: *out_state is the state at the split's first byte. */
enum mr_status mri_csv_prepass_step(struct mri_csv_prepass *prepass, struct mri_input *input,
                                    struct mri_chunk *chunk, struct mr_quota *quota,
                                    bool *out_known, enum mri_csv_state *out_state,
                                    enum mr_source_flow *out_flow,
                                    struct mr_error *err) MR_MUST_USE;
/* A reader came to the end of `split` and knows the state there. */
void mri_csv_note_entry(struct mri_csv_spec *spec, const struct mr_split *split,
                        enum mri_csv_state state);

/* ---- reader ---- */

enum mr_status mri_csv_open(void *spec, const struct mr_split *split,
                            const struct mr_reader_context *context, void **out,
                            struct mr_error *err);
enum mr_status mri_csv_read(void *reader, struct mr_quota *quota, uint32_t row_limit,
                            enum mr_source_flow *out_flow, struct mr_batch **out,
                            struct mr_error *err);
uint64_t mri_csv_progress(const void *reader);
enum mr_status mri_csv_position(void *reader, struct mr_buffer *out, struct mr_error *err);
void mri_csv_close(void *reader);

#endif
