/* parts.c - the writer of parts.h; parts_recover.c is what happens before it. */
#include "connect/file/parts.h"

#include "base/assert.h"
#include "base/fault.h"
#include "base/status.h"
#include "connect/file/files.h"

#include <string.h>

/* ---- places ---- */

enum mr_status mri_place_init(struct mri_place *place, struct mr_heap *heap, const char *path,
                              struct mr_error *err)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;
    size_t size = (size_t)(file - path);

    memset(place, 0, sizeof *place);
    place->heap = heap;
    place->directory = mr_alloc(heap, size + 1);
    if (*file != '\0') place->file = mr_strdup(heap, file);
    if (place->directory == NULL || (*file != '\0' && place->file == NULL)) {
        if (place->directory != NULL) mr_free(heap, place->directory, size + 1);
        mr_strfree(heap, place->file);
        memset(place, 0, sizeof *place);
        return mr_error_nomem(err, path, strlen(path));
    }
    memcpy(place->directory, path, size);
    place->directory[size] = '\0';
    return MR_OK;
}

void mri_place_forget(struct mri_place *place)
{
    for (uint32_t i = 0; i < place->resume_count; i++) {
        mr_strfree(place->heap, place->resume[i].name);
    }
    if (place->resume != NULL) {
        mr_free(place->heap, place->resume, place->resume_count * sizeof *place->resume);
    }
    place->resume = NULL;
    place->resume_count = 0;
    mri_part_list_fini(&place->adopted);
    place->first_number = 0;
}

void mri_place_fini(struct mri_place *place)
{
    if (place->heap == NULL) return;
    mri_place_forget(place);
    mr_strfree(place->heap, place->directory);
    mr_strfree(place->heap, place->file);
    memset(place, 0, sizeof *place);
}

void mri_place_directory(const struct mri_place *place, struct mr_text *out)
{
    size_t size = strlen(place->directory);

    if (size == 0) {
        mr_text_add(out, ".");
    } else {
        mr_text_add_bytes(out, place->directory, size == 1 ? 1 : size - 1);
    }
}

enum mr_status mri_place_success(const struct mri_place *place, struct mr_disk *disk,
                                 struct mr_error *err)
{
    struct mr_disk_request create = {.op = MR_DISK_CREATE};
    struct mr_disk_request info = {.op = MR_DISK_INFO, .file = MR_FILE_NONE};
    struct mr_disk_request sync = {.op = MR_DISK_SYNC_DIRECTORY};
    struct mr_text name, directory;
    enum mr_status st = MR_E_NOMEM;

    mr_text_init(&name, place->heap, 0);
    mr_text_init(&directory, place->heap, 0);
    mr_text_format(&name, "%s_SUCCESS", place->directory);
    mri_place_directory(place, &directory);
    if (mr_text_status(&name) != MR_OK || mr_text_status(&directory) != MR_OK) {
        st = mr_error_nomem(err, place->directory, strlen(place->directory));
        goto done;
    }
    create.path = info.path = mr_text_get(&name);
    sync.path = mr_text_get(&directory);
    st = mr_disk_do(disk, &create, err);
    if (st == MR_OK) {
        mri_close_quietly(disk, create.file);
    } else if (mr_disk_do(disk, &info, NULL) != MR_OK) {
        goto done; /* it is not there, and cannot be made */
    }
    MR_GOTO(mr_disk_do(disk, &sync, err));
done:
    mr_text_fini(&name);
    mr_text_fini(&directory);
    return st;
}

/* ---- life ---- */

static enum mr_status nomem(const struct mri_parts *parts, struct mr_error *err)
{
    return mr_error_nomem(err, parts->place->directory, MRI_OUTPUT_BYTES);
}

static bool take_resumed(struct mri_parts *parts)
{
    const struct mri_place *place = parts->place;

    for (uint32_t i = 0; i < place->adopted.count && parts->instance == 0; i++) {
        if (!mri_part_list_add(&parts->rolled, &place->adopted.parts[i])) return false;
    }
    if (parts->instance >= place->resume_count) return true;
    if (place->resume[parts->instance].name == NULL) return true;
    parts->current = place->resume[parts->instance];
    parts->current.name = mr_strdup(parts->heap, place->resume[parts->instance].name);
    parts->resumed = true;
    parts->copied_bytes = parts->current.size_bytes;
    return parts->current.name != NULL;
}

enum mr_status mri_parts_init(struct mri_parts *parts, const struct mri_place *place,
                              const struct mr_writer_context *context, struct mr_error *err)
{
    memset(parts, 0, sizeof *parts);
    parts->place = place;
    parts->heap = context->heap;
    parts->disk = context->disk;
    parts->now = context->now;
    parts->fence = context->fence;
    parts->instance = context->instance;
    parts->next_number = place->first_number;
    if (parts->now != NULL) parts->started_us = parts->now->us;
    mr_text_init(&parts->temporary, parts->heap, 0);
    mr_text_init(&parts->directory, parts->heap, 0);
    mr_text_init(&parts->commit_from, parts->heap, 0);
    mr_text_init(&parts->commit_to, parts->heap, 0);
    mri_part_list_init(&parts->rolled, parts->heap);
    mri_place_directory(place, &parts->directory);
    MR_RET(mri_output_init_kept(&parts->output, parts->heap, parts->disk,
                                place->file != NULL ? place->file : place->directory, err));
    if (mr_text_status(&parts->directory) != MR_OK || !take_resumed(parts)) {
        return nomem(parts, err);
    }
    return MR_OK;
}

static void cancel(struct mri_parts *parts, struct mri_step *step)
{
    if (step->pending) parts->disk->cancel(parts->disk, &step->request);
    step->pending = false;
}

void mri_parts_close(struct mri_parts *parts)
{
    if (parts->heap == NULL) return;
    cancel(parts, &parts->step);
    cancel(parts, &parts->commit_step);
    mri_output_close(&parts->output);
    mr_strfree(parts->heap, parts->current.name);
    mri_part_list_fini(&parts->rolled);
    mr_text_fini(&parts->temporary);
    mr_text_fini(&parts->directory);
    mr_text_fini(&parts->commit_from);
    mr_text_fini(&parts->commit_to);
    memset(parts, 0, sizeof *parts);
}

uint64_t mri_parts_bytes(const struct mri_parts *parts)
{
    if (parts->open != MRI_PARTS_OPEN) return parts->earlier_bytes;
    return parts->earlier_bytes + parts->output.written_bytes - parts->copied_bytes;
}

/* ---- steps ---- */

/* Starts a request or looks after it. *out_done: it is over; its status is the answer. */
static enum mr_status drive(struct mri_parts *parts, struct mri_step *step, bool *out_done,
                            struct mr_error *err)
{
    if (!step->pending) {
        step->pending = true;
        parts->disk->submit(parts->disk, &step->request);
    } else if (!step->request.done) {
        (void)parts->disk->poll(parts->disk);
    }
    *out_done = step->request.done;
    if (!step->request.done) return MR_OK;
    step->pending = false;
    if (step->request.status != MR_OK && err != NULL) *err = step->request.error;
    return step->request.status;
}

/* What failed once is not tried again: a second sync may succeed without the bytes being there. */
static enum mr_status keep_failure(struct mri_parts *parts, enum mr_status st)
{
    if (st != MR_OK && parts->failed == MR_OK) parts->failed = st;
    return st;
}

static enum mr_status check_failed(const struct mri_parts *parts, struct mr_error *err)
{
    if (parts->failed == MR_OK || MR_PLANT("museum-18")) return MR_OK;
    return mr_error_set(err, parts->failed, "%s: an earlier write or sync has failed (%s)",
                        parts->output.path, mr_status_text(parts->failed));
}

/* ---- the current part ---- */

static bool name_part(struct mri_parts *parts)
{
    const struct mri_place *place = parts->place;
    struct mr_text name;
    bool ok;

    mr_text_init(&name, parts->heap, 0);
    if (place->file != NULL) {
        mr_text_add(&name, place->file);
    } else {
        mr_text_format(&name, "part-%05u-%05llu.%s", parts->instance,
                       (unsigned long long)parts->next_number, place->extension);
    }
    ok = mr_text_status(&name) == MR_OK;
    parts->current = (struct mri_part){.fence = parts->fence, .instance = parts->instance};
    if (ok) parts->current.name = mr_strdup(parts->heap, mr_text_get(&name));
    mr_text_fini(&name);
    parts->next_number++;
    if (parts->now != NULL) parts->started_us = parts->now->us;
    return parts->current.name != NULL;
}

/* Names for the requests and for errors. */
static enum mr_status begin_open(struct mri_parts *parts, struct mr_error *err)
{
    const struct mri_place *place = parts->place;
    struct mr_text path;

    if (parts->current.name == NULL && !name_part(parts)) return nomem(parts, err);
    mr_text_clear(&parts->temporary);
    mri_part_temporary(&parts->temporary, place->directory, parts->current.name,
                       parts->current.fence, place->sink, parts->current.instance);
    mr_text_init(&path, parts->heap, 0);
    mr_text_format(&path, "%s%s", place->directory, parts->current.name);
    mr_strfree(parts->heap, parts->output.path);
    parts->output.path =
        mr_text_status(&path) == MR_OK ? mr_strdup(parts->heap, mr_text_get(&path)) : NULL;
    mr_text_fini(&path);
    if (parts->output.path == NULL || mr_text_status(&parts->temporary) != MR_OK) {
        return nomem(parts, err);
    }
    parts->open = parts->resumed ? MRI_PARTS_OPENING : MRI_PARTS_REMOVING;
    return MR_OK;
}

static void take_file(struct mri_parts *parts)
{
    parts->output.number = parts->step.request.file;
    parts->output.written_bytes = parts->output.synced_bytes = parts->current.size_bytes;
    parts->output.sum = parts->current.sum;
    parts->current.identity = parts->step.request.info.identity;
    parts->name_unsafe = !parts->resumed; /* recover has synced the directory */
    parts->open = MRI_PARTS_OPEN;
    MR_CRASH("C24");
}

static enum mr_status open_part(struct mri_parts *parts, bool *out_blocked, struct mr_error *err)
{
    const char *path;
    bool done;

    *out_blocked = false;
    if (parts->open == MRI_PARTS_CLOSED) MR_RET(begin_open(parts, err));
    path = mr_text_get(&parts->temporary);
    if (parts->open == MRI_PARTS_REMOVING) {
        enum mr_status ignored; /* there is none, as a rule; what is wrong shows in the next step */

        if (!parts->step.pending) {
            parts->step.request = (struct mr_disk_request){.op = MR_DISK_UNLINK, .path = path};
        }
        ignored = drive(parts, &parts->step, &done, NULL);
        (void)ignored;
        *out_blocked = !done;
        if (!done) return MR_OK;
        parts->open = MRI_PARTS_OPENING;
    }
    if (!parts->step.pending) {
        parts->step.request = (struct mr_disk_request){
            .op = parts->resumed ? MR_DISK_OPEN_OUTPUT : MR_DISK_CREATE, .path = path};
    }
    MR_RET(drive(parts, &parts->step, &done, err));
    *out_blocked = !done;
    if (done) take_file(parts);
    return MR_OK;
}

enum mr_status mri_parts_ready(struct mri_parts *parts, bool *out_blocked, bool *out_head,
                               struct mr_error *err)
{
    *out_blocked = *out_head = false;
    MR_RET(check_failed(parts, err));
    if (parts->open == MRI_PARTS_OPEN) return MR_OK;
    MR_RET(keep_failure(parts, open_part(parts, out_blocked, err)));
    *out_head = !*out_blocked && !parts->resumed;
    return MR_OK;
}

enum mr_status mri_parts_push(struct mri_parts *parts, bool all, bool *out_blocked,
                              struct mr_error *err)
{
    *out_blocked = false;
    MR_RET(check_failed(parts, err));
    if (parts->open != MRI_PARTS_OPEN) return MR_OK;
    return keep_failure(parts, mri_output_push(&parts->output, all, out_blocked, err));
}

/* ---- prepare ---- */

static bool should_roll(const struct mri_parts *parts)
{
    const struct mri_place *place = parts->place;
    const struct mri_output *output = &parts->output;
    uint64_t size = parts->current.size_bytes;

    if (parts->current.name == NULL) return false;
    if (parts->ended) return true;
    if (place->file != NULL) return false;
    if (parts->open == MRI_PARTS_OPEN) {
        size = output->written_bytes + output->busy.size_bytes - output->busy_done +
               output->fill.size_bytes;
    }
    return size >= place->roll_bytes ||
           (parts->now != NULL && parts->now->us - parts->started_us >= place->roll_us);
}

static enum mr_status sync_name(struct mri_parts *parts, bool *out_blocked, struct mr_error *err)
{
    bool done;

    if (!parts->name_unsafe) return MR_OK;
    if (!parts->step.pending) {
        parts->step.request = (struct mr_disk_request){.op = MR_DISK_SYNC_DIRECTORY,
                                                       .path = mr_text_get(&parts->directory)};
    }
    MR_RET(drive(parts, &parts->step, &done, err));
    *out_blocked = !done;
    if (done) parts->name_unsafe = false;
    return MR_OK;
}

/* From here on the file waits for its name. It is closed, so that a process that sleeps for long
 * and wakes up late has no way to write to it. */
static enum mr_status roll(struct mri_parts *parts, bool *out_blocked, struct mr_error *err)
{
    struct mri_output *output = &parts->output;
    bool done;

    if (!parts->step.pending) {
        parts->step.request = (struct mr_disk_request){.op = MR_DISK_CLOSE, .file = output->number};
    }
    MR_RET(drive(parts, &parts->step, &done, err));
    *out_blocked = !done;
    if (!done) return MR_OK;
    output->number = MR_FILE_NONE;
    parts->earlier_bytes += output->written_bytes - parts->copied_bytes;
    parts->open = MRI_PARTS_CLOSED;
    if (!mri_part_list_add(&parts->rolled, &parts->current)) return nomem(parts, err);
    mr_strfree(parts->heap, parts->current.name);
    parts->current = (struct mri_part){.name = NULL};
    parts->resumed = false;
    parts->copied_bytes = 0;
    output->written_bytes = output->synced_bytes = 0;
    output->sum = (struct mri_sum){{0}};
    return MR_OK;
}

/* All of the current part is made safe; with `rolling` it is complete then. */
static enum mr_status settle(struct mri_parts *parts, bool *out_blocked, struct mr_error *err)
{
    struct mri_output *output = &parts->output;

    *out_blocked = false;
    if (parts->settle == MRI_SETTLE_NO) {
        parts->rolling = should_roll(parts);
        parts->settle = MRI_SETTLE_BYTES;
    }
    if (parts->rolling && parts->open != MRI_PARTS_OPEN) {
        MR_RET(open_part(parts, out_blocked, err)); /* copied by recover, and no row came */
        if (*out_blocked) return MR_OK;
    }
    if (parts->settle == MRI_SETTLE_BYTES && parts->open == MRI_PARTS_OPEN) {
        MR_RET(mri_output_sync(output, out_blocked, err));
        if (*out_blocked) return MR_OK;
        parts->current.size_bytes = output->written_bytes;
        parts->current.sum = output->sum;
    }
    if (parts->settle == MRI_SETTLE_BYTES) parts->settle = MRI_SETTLE_NAME;
    if (parts->settle == MRI_SETTLE_NAME) {
        MR_RET(sync_name(parts, out_blocked, err));
        if (*out_blocked) return MR_OK;
        MR_CRASH("C25");
        parts->settle = parts->rolling ? MRI_SETTLE_CLOSE : MRI_SETTLE_NO;
    }
    if (parts->settle == MRI_SETTLE_CLOSE) {
        MR_RET(roll(parts, out_blocked, err));
        if (!*out_blocked) parts->settle = MRI_SETTLE_NO;
    }
    return MR_OK;
}

bool mri_parts_needs_file(const struct mri_parts *parts)
{
    if (parts->ended || parts->current.name != NULL || parts->next_number > 0) return false;
    return parts->place->file != NULL || parts->instance == 0;
}

enum mr_status mri_parts_finish(struct mri_parts *parts, bool *out_blocked, struct mr_error *err)
{
    *out_blocked = false;
    MR_RET(check_failed(parts, err));
    parts->ended = true;
    if (parts->current.name == NULL) return MR_OK;
    return keep_failure(parts, settle(parts, out_blocked, err));
}

static bool put_state(const struct mri_parts *parts, struct mr_buffer *out)
{
    const struct mri_writer_state state = {
        .instance = parts->instance,
        .format = parts->place->format,
        .layout = parts->place->layout,
        .next_number = parts->next_number,
        .rolled = parts->rolled,
        .current = parts->current,
    };

    return mri_writer_state_put(out, &state);
}

enum mr_status mri_parts_prepare(struct mri_parts *parts, uint64_t epoch, struct mr_buffer *out,
                                 bool *out_blocked, struct mr_error *err)
{
    *out_blocked = false;
    MR_RET(check_failed(parts, err));
    if (parts->current.name != NULL) {
        MR_RET(keep_failure(parts, settle(parts, out_blocked, err)));
        if (*out_blocked) return MR_OK;
    }
    for (uint32_t i = 0; i < parts->rolled.count; i++) {
        if (parts->rolled.parts[i].epoch == 0) parts->rolled.parts[i].epoch = epoch;
    }
    if (!put_state(parts, out)) return nomem(parts, err);
    MR_CRASH("C26");
    return MR_OK;
}

/* ---- commit ---- */

/* The first part that is due, or the number of parts. */
static uint32_t find_due(const struct mri_parts *parts, uint64_t epoch)
{
    uint32_t i = 0;

    for (; i < parts->rolled.count; i++) {
        const struct mri_part *part = &parts->rolled.parts[i];

        if (!part->renamed && part->epoch != 0 && part->epoch <= epoch) break;
    }
    return i;
}

static void drop_renamed(struct mri_parts *parts)
{
    for (uint32_t i = parts->rolled.count; i > 0; i--) {
        if (parts->rolled.parts[i - 1].renamed) mri_part_list_remove(&parts->rolled, i - 1);
    }
}

static enum mr_status begin_commit(struct mri_parts *parts, uint64_t epoch, struct mr_error *err)
{
    const struct mri_place *place = parts->place;
    uint32_t due = find_due(parts, epoch);
    bool any = false;

    for (uint32_t i = 0; i < parts->rolled.count; i++) any = any || parts->rolled.parts[i].renamed;
    if (due == parts->rolled.count) {
        if (any) parts->commit = MRI_COMMIT_DIRECTORY;
        return MR_OK;
    }
    mr_text_clear(&parts->commit_from);
    mr_text_clear(&parts->commit_to);
    mri_part_temporary(&parts->commit_from, place->directory, parts->rolled.parts[due].name,
                       parts->rolled.parts[due].fence, place->sink,
                       parts->rolled.parts[due].instance);
    mr_text_format(&parts->commit_to, "%s%s", place->directory, parts->rolled.parts[due].name);
    if (mr_text_status(&parts->commit_from) != MR_OK ||
        mr_text_status(&parts->commit_to) != MR_OK) {
        return nomem(parts, err);
    }
    parts->commit = MRI_COMMIT_OURS;
    return MR_OK;
}

static struct mr_disk_request commit_request(struct mri_parts *parts)
{
    const char *from = mr_text_get(&parts->commit_from);
    const char *to = mr_text_get(&parts->commit_to);

    switch (parts->commit) {
    case MRI_COMMIT_OURS:
        return (struct mr_disk_request){.op = MR_DISK_INFO, .file = MR_FILE_NONE, .path = from};
    case MRI_COMMIT_FREE:
        return (struct mr_disk_request){.op = MR_DISK_INFO, .file = MR_FILE_NONE, .path = to};
    case MRI_COMMIT_RENAME:
        return (struct mr_disk_request){.op = MR_DISK_RENAME, .path = from, .path_to = to};
    case MRI_COMMIT_NO:
    case MRI_COMMIT_DIRECTORY: break;
    }
    return (struct mr_disk_request){.op = MR_DISK_SYNC_DIRECTORY,
                                    .path = mr_text_get(&parts->directory)};
}

/* The answer of the disk decides what is next. */
static enum mr_status commit_answer(struct mri_parts *parts, uint64_t epoch, enum mr_status st,
                                    struct mr_error *err)
{
    struct mri_part *part = &parts->rolled.parts[find_due(parts, epoch)];
    const struct mr_disk_request *request = &parts->commit_step.request;
    const char *to = mr_text_get(&parts->commit_to);

    switch (parts->commit) {
    case MRI_COMMIT_OURS:
        if (st == MR_E_NOT_FOUND || (st == MR_OK && request->info.identity != part->identity)) {
            return mr_error_set(err, MR_E_FENCED,
                                "%s: another attempt or job has taken over this output; nothing "
                                "more of this one is put in place",
                                to);
        }
        parts->commit = MRI_COMMIT_FREE;
        return st;
    case MRI_COMMIT_FREE:
        if (st == MR_OK) {
            return mr_error_set(err, MR_E_CHANGED,
                                "%s was made by somebody else while the job ran; it is left alone, "
                                "and the rows of this job stay in %s: remove one of them and run "
                                "again",
                                to, mr_text_get(&parts->commit_from));
        }
        if (st != MR_E_NOT_FOUND) return st;
        parts->commit = MRI_COMMIT_RENAME;
        MR_CRASH("C12");
        return MR_OK;
    case MRI_COMMIT_RENAME:
        if (st != MR_OK) return st;
        part->renamed = true;
        parts->commit = MRI_COMMIT_NO;
        MR_CRASH("C13");
        return MR_OK;
    case MRI_COMMIT_NO:
    case MRI_COMMIT_DIRECTORY: break;
    }
    if (st != MR_OK) return st;
    drop_renamed(parts);
    parts->commit = MRI_COMMIT_NO;
    MR_CRASH("C28");
    return MR_OK;
}

static enum mr_status commit_due(struct mri_parts *parts, uint64_t epoch, bool *out_blocked,
                                 struct mr_error *err)
{
    *out_blocked = false;
    for (;;) {
        enum mr_status st;
        bool done;

        if (parts->commit == MRI_COMMIT_NO) MR_RET(begin_commit(parts, epoch, err));
        if (parts->commit == MRI_COMMIT_NO) return MR_OK;
        if (parts->commit == MRI_COMMIT_DIRECTORY && MR_PLANT("museum-17")) {
            drop_renamed(parts);
            parts->commit = MRI_COMMIT_NO;
            continue;
        }
        if (!parts->commit_step.pending) parts->commit_step.request = commit_request(parts);
        st = drive(parts, &parts->commit_step, &done, err);
        *out_blocked = !done;
        if (!done) return MR_OK;
        MR_RET(commit_answer(parts, epoch, st, err));
    }
}

enum mr_status mri_parts_commit_epoch(struct mri_parts *parts, uint64_t epoch, bool *out_blocked,
                                      struct mr_error *err)
{
    *out_blocked = false;
    MR_RET(check_failed(parts, err));
    return keep_failure(parts, commit_due(parts, epoch, out_blocked, err));
}

enum mr_status mri_parts_commit(struct mri_parts *parts, struct mr_error *err)
{
    mr_assert(parts->rolled.count == 0 && parts->current.name == NULL);
    if (parts->place->file != NULL || parts->instance != 0) return MR_OK;
    return mri_place_success(parts->place, parts->disk, err);
}
