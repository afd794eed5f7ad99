/* splits.h - files into splits, and places in files back into line numbers.
 *
 * Plain regular files are cut at fixed borders in batch mode; everything else is one split. A split
 * owns the records that start in [offset, offset + size).
 *
 * Line numbers are counted again when somebody asks. What was counted is remembered per split, so
 * that a file with many bad records is counted through once and not once per record.
 *
 * Owns:    the memory of places.
 * Thread:  mri_places_*: any (a try-lock around the table); a mri_place is confined.
 * Fails:   as input.h.
 * Cost:    finding a place: reads from the nearest known one at about 1 GB/s.
 */
#ifndef MR_CONNECT_FILE_SPLITS_H
#define MR_CONNECT_FILE_SPLITS_H

#include "connect/file/input.h"
#include "connect/source.h"

/* Fills `out` (its arena is given) for all files; detail is the index of the file. */
enum mr_status mri_splits_make(const struct mri_files *files, uint64_t split_bytes, bool streaming,
                               struct mr_split_list *out, struct mr_error *err) MR_MUST_USE;

struct mri_known_place {
    uint64_t offset;
    uint64_t newlines; /* in [0, offset) of the file; UINT64_MAX: not known */
};
struct mri_places {
    struct mr_heap *heap;
    _Atomic bool taken; /* try-lock of `known` */
    uint32_t count;
    struct mri_known_place *known; /* per split */
};

enum mr_status mri_places_init(struct mri_places *places, struct mr_heap *heap,
                               uint32_t split_count, struct mr_error *err) MR_MUST_USE;
void mri_places_fini(struct mri_places *places);

/* Reads bytes of a file one by one from a place, and knows the line. For cold paths. */
struct mri_place {
    struct mri_input input;
    char *buffer;
    struct mr_bytes rest;
    uint64_t offset; /* of the next byte */
    uint64_t line;   /* from 1: of the next byte */
    bool end;
};

/* At `offset_bytes` of the split's file. `file_split` is the first split's ordinal of that file.
 * Ends with mri_place_close, on failure too. */
enum mr_status mri_place_open(struct mri_place *place, struct mri_places *places,
                              const struct mri_file *file, const struct mr_plan_context *context,
                              const struct mr_split *split, uint32_t file_split,
                              uint64_t offset_bytes, struct mr_error *err) MR_MUST_USE;
/* The next byte, 0..255, or -1 at the end. */
enum mr_status mri_place_byte(struct mri_place *place, int *out, struct mr_error *err) MR_MUST_USE;
void mri_place_close(struct mri_place *place);

#endif
