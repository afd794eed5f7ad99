/* parts_recover.c - what earlier attempts left becomes what the last complete epoch says; see
 * parts.h.
 *
 * May die at any request and is then run again by the next attempt, on the same states. So a part
 * is looked for under its final name first, then in the file that the state names, then in copies
 * that attempts in between have made: sums tell a whole copy from half of one.
 */
#include "base/fault.h"
#include "base/status.h"
#include "connect/file/files.h"
#include "connect/file/parts.h"

#include <string.h>

#define COPY_BYTES ((size_t)256 * 1024)

struct recovery {
    struct mri_place *place;
    const struct mr_recover_context *context;
    struct mr_disk *disk;
    char *room; /* COPY_BYTES */
    struct mri_writer_state *states;
    uint32_t state_count;
    struct mr_disk_request list; /* what lies in the directory, when recover began */
    struct mr_text from;
    struct mr_text to;
    struct mr_text directory;
    uint64_t identity; /* of the last copy */
};

static enum mr_status nomem(const struct mri_place *place, struct mr_error *err)
{
    return mr_error_nomem(err, place->file != NULL ? place->file : place->directory, COPY_BYTES);
}

static enum mr_status check_texts(const struct recovery *recovery, struct mr_error *err)
{
    if (mr_text_status(&recovery->from) == MR_OK && mr_text_status(&recovery->to) == MR_OK &&
        mr_text_status(&recovery->directory) == MR_OK) {
        return MR_OK;
    }
    return nomem(recovery->place, err);
}

static void name_final(struct recovery *recovery, struct mr_text *out, const char *name)
{
    mr_text_clear(out);
    mr_text_format(out, "%s%s", recovery->place->directory, name);
}

static void name_temporary(struct recovery *recovery, struct mr_text *out, const char *name,
                           uint64_t fence, uint32_t instance)
{
    mr_text_clear(out);
    mri_part_temporary(out, recovery->place->directory, name, fence, recovery->place->sink,
                       instance);
}

/* *out_there: something has this name. */
static enum mr_status look(struct recovery *recovery, const char *path, struct mr_file_info *out,
                           bool *out_there, struct mr_error *err)
{
    struct mr_disk_request info = {.op = MR_DISK_INFO, .file = MR_FILE_NONE, .path = path};
    enum mr_status st = mr_disk_do(recovery->disk, &info, err);

    *out = info.info;
    *out_there = st == MR_OK || info.info.link;
    return st == MR_E_NOT_FOUND ? MR_OK : st;
}

static enum mr_status sync_directory(struct recovery *recovery, struct mr_error *err)
{
    struct mr_disk_request sync = {.op = MR_DISK_SYNC_DIRECTORY};

    mr_text_clear(&recovery->directory);
    mri_place_directory(recovery->place, &recovery->directory);
    MR_RET(check_texts(recovery, err));
    sync.path = mr_text_get(&recovery->directory);
    return mr_disk_do(recovery->disk, &sync, err);
}

static void unlink_quietly(struct recovery *recovery, const char *path)
{
    struct mr_disk_request unlink = {.op = MR_DISK_UNLINK, .path = path};
    enum mr_status ignored = mr_disk_do(recovery->disk, &unlink, NULL);

    (void)ignored;
}

/* ---- bytes ---- */

static enum mr_status write_all(struct recovery *recovery, uint32_t number, uint64_t offset,
                                size_t size_bytes, struct mr_error *err)
{
    size_t done = 0;

    while (done < size_bytes) {
        struct mr_disk_request write = {.op = MR_DISK_WRITE,
                                        .file = number,
                                        .offset = offset + done,
                                        .data = recovery->room + done,
                                        .size_bytes = size_bytes - done};

        MR_RET(mr_disk_do(recovery->disk, &write, err));
        if (write.done_bytes == 0) return mr_error_set(err, MR_E_IO, "a copy takes no more bytes");
        done += write.done_bytes;
    }
    return MR_OK;
}

/* Reads the first part->size_bytes of `from`, writes them to `to` unless that is NONE. *out_same:
 * the bytes are there and their sum is the part's. */
static enum mr_status read_part(struct recovery *recovery, uint32_t from, uint32_t to,
                                const struct mri_part *part, bool *out_same, struct mr_error *err)
{
    struct mri_sum sum = {{0}};
    uint64_t at = 0;

    *out_same = false;
    while (at < part->size_bytes) {
        struct mr_disk_request read = {
            .op = MR_DISK_READ,
            .file = from,
            .offset = at,
            .data = recovery->room,
            .size_bytes = (size_t)MR_MIN((uint64_t)COPY_BYTES, part->size_bytes - at)};

        MR_RET(mr_disk_do(recovery->disk, &read, err));
        if (read.done_bytes == 0) return MR_OK; /* too short */
        mri_sum_add(&sum, at, recovery->room, read.done_bytes);
        if (to != MR_FILE_NONE) {
            MR_RET(write_all(recovery, to, at, read.done_bytes, err));
            MR_CRASH("C10");
        }
        at += read.done_bytes;
    }
    *out_same = mri_sum_equal(&sum, &part->sum);
    return MR_OK;
}

/* *out_same: the file at `path` begins with the part's bytes; with `exact` it holds no others. */
static enum mr_status compare(struct recovery *recovery, const char *path,
                              const struct mri_part *part, bool exact, bool *out_same,
                              struct mr_error *err)
{
    struct mr_disk_request open = {.op = MR_DISK_OPEN_READ, .path = path};
    enum mr_status st = mr_disk_do(recovery->disk, &open, err);

    *out_same = false;
    if (st == MR_E_NOT_FOUND) return MR_OK;
    MR_RET(st);
    if (open.info.size_bytes == part->size_bytes ||
        (!exact && open.info.size_bytes > part->size_bytes)) {
        st = read_part(recovery, open.file, MR_FILE_NONE, part, out_same, err);
    }
    mri_close_quietly(recovery->disk, open.file);
    if (st != MR_OK) mr_error_context(err, "%s", path);
    return st;
}

/* A new file of this attempt, safe on the device. */
static enum mr_status copy_to(struct recovery *recovery, uint32_t from, const char *path,
                              const struct mri_part *part, bool *out_same, struct mr_error *err)
{
    struct mr_disk_request create = {.op = MR_DISK_CREATE, .path = path};
    struct mr_disk_request sync = {.op = MR_DISK_SYNC};
    enum mr_status st;

    unlink_quietly(recovery, path);
    st = mr_disk_do(recovery->disk, &create, err);
    if (st != MR_OK) return st;
    recovery->identity = create.info.identity;
    MR_GOTO(read_part(recovery, from, create.file, part, out_same, err));
    MR_CRASH("C11");
    sync.file = create.file;
    MR_GOTO(mr_disk_do(recovery->disk, &sync, err));
done:
    mri_close_quietly(recovery->disk, create.file);
    if (st != MR_OK) mr_error_context(err, "%s", path);
    if (st != MR_OK || !*out_same) unlink_quietly(recovery, path);
    return st;
}

/* *out_same false: `from` is not there or does not have the bytes. */
static enum mr_status copy(struct recovery *recovery, const char *from, const char *to,
                           const struct mri_part *part, bool *out_same, struct mr_error *err)
{
    struct mr_disk_request open = {.op = MR_DISK_OPEN_READ, .path = from};
    enum mr_status st = mr_disk_do(recovery->disk, &open, err);

    *out_same = false;
    if (st == MR_E_NOT_FOUND) return MR_OK;
    MR_RET(st);
    if (open.info.size_bytes >= part->size_bytes) {
        st = copy_to(recovery, open.file, to, part, out_same, err);
    }
    mri_close_quietly(recovery->disk, open.file);
    return st;
}

/* ---- parts ---- */

static enum mr_status lost(struct recovery *recovery, const struct mri_part *part,
                           struct mr_error *err)
{
    name_final(recovery, &recovery->to, part->name);
    name_temporary(recovery, &recovery->from, part->name, part->fence, part->instance);
    MR_RET(check_texts(recovery, err));
    return mr_error_set(err, MR_E_LOST,
                        "%s: %llu bytes of committed output are missing: neither that file nor %s "
                        "has them; put the file back, or start anew with another output",
                        mr_text_get(&recovery->to), (unsigned long long)part->size_bytes,
                        mr_text_get(&recovery->from));
}

static enum mr_status taken(const char *path, struct mr_error *err)
{
    return mr_error_set(
        err, MR_E_CHANGED,
        "%s is not what this job has written or is going to write: somebody changed "
        "or made it; move it away and run again",
        path);
}

/* *out_there: the part has its final name already. Something else there is an error. */
static enum mr_status find_final(struct recovery *recovery, const struct mri_part *part,
                                 bool *out_there, struct mr_error *err)
{
    struct mr_file_info info;
    bool there;

    *out_there = false;
    name_final(recovery, &recovery->to, part->name);
    MR_RET(check_texts(recovery, err));
    MR_RET(look(recovery, mr_text_get(&recovery->to), &info, &there, err));
    if (!there) return MR_OK;
    MR_RET(compare(recovery, mr_text_get(&recovery->to), part, true, out_there, err));
    return *out_there ? MR_OK : taken(mr_text_get(&recovery->to), err);
}

/* A complete part gets its name. It was closed before the epoch was complete: nobody writes to
 * it. */
static enum mr_status finish_rolled(struct recovery *recovery, const struct mri_part *part,
                                    struct mr_error *err)
{
    struct mr_disk_request rename = {.op = MR_DISK_RENAME};
    bool there, same;

    MR_RET(find_final(recovery, part, &there, err));
    if (there) return MR_OK;
    name_temporary(recovery, &recovery->from, part->name, part->fence, part->instance);
    MR_RET(check_texts(recovery, err));
    MR_RET(compare(recovery, mr_text_get(&recovery->from), part, true, &same, err));
    if (!same && MR_PLANT("museum-1")) return MR_OK;
    if (!same) return lost(recovery, part, err);
    rename.path = mr_text_get(&recovery->from);
    rename.path_to = mr_text_get(&recovery->to);
    MR_CRASH("C12");
    MR_RET(mr_disk_do(recovery->disk, &rename, err));
    MR_CRASH("C13");
    return MR_OK;
}

/* Is `name` a file in progress of this part, of this sink? */
static bool is_copy_of(const struct recovery *recovery, const char *name,
                       const struct mri_part *part)
{
    size_t size;
    uint64_t fence;
    uint32_t instance;

    return mri_part_parse(name, recovery->place->sink, &size, &fence, &instance) &&
           fence < recovery->context->fence && size == strlen(part->name) &&
           memcmp(name + 1, part->name, size) == 0;
}

/* Copies the part's bytes to the file of this attempt, whose name stands in `to` then. */
static enum mr_status copy_current(struct recovery *recovery, const struct mri_part *part,
                                   uint32_t instance, struct mr_error *err)
{
    bool same;

    name_temporary(recovery, &recovery->to, part->name, recovery->context->fence, instance);
    name_temporary(recovery, &recovery->from, part->name, part->fence, part->instance);
    MR_RET(check_texts(recovery, err));
    if (MR_PLANT("museum-6")) { /* a file that another process may have open */
        struct mr_disk_request rename = {.op = MR_DISK_RENAME,
                                         .path = mr_text_get(&recovery->from),
                                         .path_to = mr_text_get(&recovery->to)};

        return mr_disk_do(recovery->disk, &rename, err);
    }
    MR_RET(
        copy(recovery, mr_text_get(&recovery->from), mr_text_get(&recovery->to), part, &same, err));
    for (uint32_t i = 0; i < recovery->list.name_count && !same; i++) {
        if (!is_copy_of(recovery, recovery->list.names[i], part)) continue;
        MR_PROBE("file-sink-copy-of-a-copy");
        name_final(recovery, &recovery->from, recovery->list.names[i]);
        MR_RET(check_texts(recovery, err));
        MR_RET(copy(recovery, mr_text_get(&recovery->from), mr_text_get(&recovery->to), part, &same,
                    err));
    }
    return same ? MR_OK : lost(recovery, part, err);
}

/* No writer goes on with it. It is complete as it is, but a reader may see it when an epoch says so
 * only: if the next attempt had more writers, one of them would go on with it after all. */
static enum mr_status adopt(struct recovery *recovery, const struct mri_part *part,
                            struct mr_error *err)
{
    struct mri_part adopted = *part;

    MR_RET(copy_current(recovery, part, part->instance, err));
    adopted.fence = recovery->context->fence;
    adopted.identity = recovery->identity;
    if (!mri_part_list_add(&recovery->place->adopted, &adopted)) {
        return nomem(recovery->place, err);
    }
    return MR_OK;
}

static enum mr_status continue_part(struct recovery *recovery, const struct mri_part *part,
                                    uint32_t instance, struct mr_error *err)
{
    struct mri_place *place = recovery->place;
    struct mri_part *resume = &place->resume[instance];
    char *name = mr_strdup(place->heap, part->name);

    if (name == NULL) return nomem(place, err);
    *resume = *part;
    resume->name = name;
    resume->instance = instance;
    resume->fence = recovery->context->fence;
    return copy_current(recovery, part, instance, err);
}

static enum mr_status finish_current(struct recovery *recovery,
                                     const struct mri_writer_state *state, struct mr_error *err)
{
    const struct mri_place *place = recovery->place;
    struct mr_file_info info;
    bool there;

    if (state->current.name == NULL) return MR_OK;
    name_final(recovery, &recovery->to, state->current.name);
    MR_RET(check_texts(recovery, err));
    MR_RET(look(recovery, mr_text_get(&recovery->to), &info, &there, err));
    if (there) return taken(mr_text_get(&recovery->to), err);
    if (state->instance < place->resume_count && state->layout == place->layout &&
        place->resume[state->instance].name == NULL) {
        return continue_part(recovery, &state->current, state->instance, err);
    }
    return adopt(recovery, &state->current, err);
}

/* ---- the whole ---- */

static enum mr_status check_state(const struct recovery *recovery,
                                  const struct mri_writer_state *state, struct mr_error *err)
{
    const struct mri_place *place = recovery->place;
    const char *name = state->current.name;

    if (name == NULL && state->rolled.count > 0) name = state->rolled.parts[0].name;
    if (place->file != NULL && name != NULL && strcmp(name, place->file) != 0) {
        return mr_error_set(err, MR_E_CHANGED,
                            "this job writes to %s since it began, and cannot go on in %s%s; give "
                            "it the same output again",
                            name, place->directory, place->file);
    }
    if (state->format != place->format ||
        (place->file != NULL && state->current.name != NULL && state->layout != place->layout)) {
        return mr_error_set(
            err, MR_E_CHANGED,
            "%s%s was begun with other columns or in another format, and one output "
            "cannot have both; run the job as it was, or with another output",
            place->directory, name != NULL ? name : "");
    }
    return MR_OK;
}

static enum mr_status take_states(struct recovery *recovery, struct mr_error *err)
{
    const struct mr_recover_context *context = recovery->context;
    struct mri_place *place = recovery->place;
    const char *name = place->file != NULL ? place->file : place->directory;

    if (context->state_count == 0) return MR_OK;
    recovery->states =
        mr_alloc_zero(context->heap, context->state_count * sizeof *recovery->states);
    if (recovery->states == NULL) return nomem(place, err);
    for (uint32_t i = 0; i < context->state_count; i++) {
        struct mri_writer_state *state = &recovery->states[i];

        MR_RET(mri_writer_state_take(context->states[i], context->heap, name, state, err));
        MR_RET(check_state(recovery, state, err));
        if (context->finished && state->current.name != NULL) {
            return mr_error_set(err, MR_E_CORRUPT,
                                "%s%s: the job is finished, and this part of its output is not",
                                place->directory, state->current.name);
        }
        place->first_number = MR_MAX(place->first_number, state->next_number);
    }
    return MR_OK;
}

static enum mr_status make_directory(struct recovery *recovery, struct mr_error *err)
{
    const char *path = recovery->place->directory;
    struct mr_disk_request make = {.op = MR_DISK_MKDIR, .path = path};
    struct mr_disk_request sync = {.op = MR_DISK_SYNC_DIRECTORY};
    size_t size = strlen(path) - 1;

    MR_RET(mr_disk_do(recovery->disk, &make, err));
    while (size > 0 && path[size - 1] != '/') size--;
    mr_text_clear(&recovery->directory);
    if (size == 0) {
        mr_text_add(&recovery->directory, ".");
    } else {
        mr_text_add_bytes(&recovery->directory, path, size == 1 ? 1 : size - 1);
    }
    MR_RET(check_texts(recovery, err));
    sync.path = mr_text_get(&recovery->directory);
    return mr_disk_do(recovery->disk, &sync, err);
}

static enum mr_status list_directory(struct recovery *recovery, struct mr_error *err)
{
    mr_text_clear(&recovery->directory);
    mri_place_directory(recovery->place, &recovery->directory);
    MR_RET(check_texts(recovery, err));
    recovery->list.op = MR_DISK_LIST;
    recovery->list.path = mr_text_get(&recovery->directory);
    return mr_disk_do(recovery->disk, &recovery->list, err);
}

/* What is there already was not made by this job, which has completed nothing. */
static enum mr_status refuse_existing(struct recovery *recovery, struct mr_error *err)
{
    const struct mri_place *place = recovery->place;

    for (uint32_t i = 0; i < recovery->list.name_count && place->file == NULL; i++) {
        if (recovery->list.names[i][0] == '.') continue;
        return mr_error_set(
            err, MR_E_INVALID,
            "%s has files already (such as %s); choose another directory or remove them",
            place->directory, recovery->list.names[i]);
    }
    return MR_OK;
}

/* A name that a rename must not replace, or a thing that cannot be renamed to. */
static enum mr_status check_single(struct recovery *recovery, struct mr_error *err)
{
    const struct mri_place *place = recovery->place;
    struct mr_file_info info;
    const char *path;
    bool there;

    name_final(recovery, &recovery->to, place->file);
    MR_RET(check_texts(recovery, err));
    path = mr_text_get(&recovery->to);
    MR_RET(look(recovery, path, &info, &there, err));
    if (!there) return MR_OK;
    if (info.link) {
        return mr_error_set(err, MR_E_INVALID,
                            "%s is a symbolic link; write the path that it leads to", path);
    }
    switch (info.kind) {
    case MR_FILE_DIRECTORY:
        return mr_error_set(err, MR_E_INVALID,
                            "%s is a directory; write `%s/` to put parts into it", path, path);
    case MR_FILE_STREAM:
    case MR_FILE_TERMINAL:
        return mr_error_set(
            err, MR_E_UNSUPPORTED,
            "%s is a pipe or device, which takes nothing back; write to a file or a "
            "directory, or run without a state directory",
            path);
    case MR_FILE_REGULAR: break;
    }
    if (recovery->state_count > 0) return MR_OK; /* it may be ours: looked at with the parts */
    return mr_error_set(err, MR_E_INVALID,
                        "%s exists already, and a job with a state directory replaces no file; "
                        "remove it or choose another output",
                        path);
}

/* Files in progress of earlier attempts: all that is needed of them has been copied. */
static enum mr_status remove_older(struct recovery *recovery, struct mr_error *err)
{
    const struct mri_place *place = recovery->place;
    static const char prefix[] = "part-";

    for (uint32_t i = 0; i < recovery->list.name_count; i++) {
        const char *name = recovery->list.names[i];
        size_t size;
        uint64_t fence;
        uint32_t instance;

        if (!mri_part_parse(name, place->sink, &size, &fence, &instance)) continue;
        if (fence >= recovery->context->fence || MR_PLANT("museum-4")) continue;
        if (place->file != NULL
                ? size != strlen(place->file) || memcmp(name + 1, place->file, size) != 0
                : size < sizeof prefix || memcmp(name + 1, prefix, sizeof prefix - 1) != 0) {
            continue;
        }
        name_final(recovery, &recovery->from, name);
        MR_RET(check_texts(recovery, err));
        unlink_quietly(recovery, mr_text_get(&recovery->from));
        MR_CRASH("C31");
    }
    return MR_OK;
}

static enum mr_status recover(struct recovery *recovery, struct mr_error *err)
{
    struct mri_place *place = recovery->place;

    MR_RET(take_states(recovery, err));
    if (place->file == NULL) MR_RET(make_directory(recovery, err));
    MR_RET(list_directory(recovery, err));
    if (recovery->state_count == 0) MR_RET(refuse_existing(recovery, err));
    if (place->file != NULL) MR_RET(check_single(recovery, err));
    for (uint32_t i = 0; i < recovery->state_count; i++) {
        for (uint32_t k = 0; k < recovery->states[i].rolled.count; k++) {
            MR_RET(finish_rolled(recovery, &recovery->states[i].rolled.parts[k], err));
        }
    }
    for (uint32_t i = 0; i < recovery->state_count; i++) {
        MR_RET(finish_current(recovery, &recovery->states[i], err));
    }
    MR_RET(sync_directory(recovery, err)); /* names before the files that they replace go */
    MR_RET(remove_older(recovery, err));
    if (place->file != NULL || !recovery->context->finished) return MR_OK;
    return mri_place_success(place, recovery->disk, err);
}

static void fini(struct recovery *recovery)
{
    for (uint32_t i = 0; i < recovery->state_count && recovery->states != NULL; i++) {
        mri_writer_state_fini(&recovery->states[i]);
    }
    if (recovery->states != NULL) {
        mr_free(recovery->context->heap, recovery->states,
                recovery->context->state_count * sizeof *recovery->states);
    }
    if (recovery->list.names != NULL) recovery->disk->names_free(recovery->disk, &recovery->list);
    if (recovery->room != NULL) mr_free(recovery->context->heap, recovery->room, COPY_BYTES);
    mr_text_fini(&recovery->from);
    mr_text_fini(&recovery->to);
    mr_text_fini(&recovery->directory);
}

enum mr_status mri_place_recover(struct mri_place *place, const struct mr_recover_context *context,
                                 uint64_t layout, struct mr_error *err)
{
    struct recovery recovery = {.place = place,
                                .context = context,
                                .disk = context->disk,
                                .state_count = context->state_count};
    enum mr_status st = MR_OK;

    mri_place_forget(place);
    mri_part_list_init(&place->adopted, place->heap);
    place->layout = layout;
    mr_text_init(&recovery.from, context->heap, 0);
    mr_text_init(&recovery.to, context->heap, 0);
    mr_text_init(&recovery.directory, context->heap, 0);
    recovery.room = mr_alloc(context->heap, COPY_BYTES);
    place->resume = mr_alloc_zero(place->heap, context->instance_count * sizeof *place->resume);
    if (place->resume != NULL) place->resume_count = context->instance_count;
    if (recovery.room == NULL || place->resume == NULL) {
        st = nomem(place, err);
        goto done;
    }
    MR_GOTO(recover(&recovery, err));
done:
    fini(&recovery);
    return st;
}
