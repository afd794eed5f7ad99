/* part.c - see part.h. */
#include "connect/file/part.h"

#include "base/assert.h"
#include "base/crc.h"
#include "base/status.h"

#include <string.h>

#define VERSION        1u
#define KIND           ((uint32_t)'F')
#define CRC_BYTES      ((size_t)4)
#define NAME_BYTES_MAX ((uint32_t)4096)

/* ---- lists ---- */

void mri_part_list_init(struct mri_part_list *list, struct mr_heap *heap)
{
    *list = (struct mri_part_list){.heap = heap};
}

void mri_part_list_fini(struct mri_part_list *list)
{
    if (list->heap == NULL) return;
    for (uint32_t i = 0; i < list->count; i++) mr_strfree(list->heap, list->parts[i].name);
    if (list->parts != NULL) mr_free(list->heap, list->parts, list->room * sizeof *list->parts);
    *list = (struct mri_part_list){.heap = list->heap};
}

bool mri_part_list_add(struct mri_part_list *list, const struct mri_part *part)
{
    char *name = mr_strdup(list->heap, part->name);

    if (name == NULL) return false;
    if (list->count == list->room) {
        uint32_t room = MR_MAX(list->room * 2, 4u);
        struct mri_part *parts =
            mr_realloc(list->heap, list->parts, list->room * sizeof *parts, room * sizeof *parts);

        if (parts == NULL) {
            mr_strfree(list->heap, name);
            return false;
        }
        list->parts = parts;
        list->room = room;
    }
    list->parts[list->count] = *part;
    list->parts[list->count++].name = name;
    return true;
}

void mri_part_list_remove(struct mri_part_list *list, uint32_t at)
{
    mr_assert(at < list->count);
    mr_strfree(list->heap, list->parts[at].name);
    list->count--;
    memmove(&list->parts[at], &list->parts[at + 1], (list->count - at) * sizeof *list->parts);
}

/* ---- names ---- */

#define MARK ".mr-"

void mri_part_temporary(struct mr_text *out, const char *directory, const char *name,
                        uint64_t fence, uint32_t sink, uint32_t instance)
{
    mr_text_format(out, "%s.%s" MARK "%llu-%u-%u", directory, name, (unsigned long long)fence, sink,
                   instance);
}

/* Digits without leading zeros, and then `after`. */
static bool take_number(const char **at, uint64_t max, char after, uint64_t *out)
{
    const char *digit = *at;
    uint64_t value = 0;

    if (*digit == '0' && digit[1] != after) return false;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        uint64_t next = (uint64_t)(*digit - '0');

        if (value > (max - next) / 10) return false;
        value = value * 10 + next;
    }
    if (digit == *at || *digit != after) return false;
    *at = digit + (after != '\0');
    *out = value;
    return true;
}

bool mri_part_parse(const char *temporary, uint32_t sink, size_t *out_name_bytes,
                    uint64_t *out_fence, uint32_t *out_instance)
{
    const char *mark = NULL;
    uint64_t of, instance;

    if (temporary[0] != '.') return false;
    for (const char *at = temporary + 1; (at = strstr(at, MARK)) != NULL; at++) mark = at;
    if (mark == NULL || mark == temporary + 1) return false;
    *out_name_bytes = (size_t)(mark - temporary - 1);
    mark += strlen(MARK);
    if (!take_number(&mark, UINT64_MAX, '-', out_fence) ||
        !take_number(&mark, UINT32_MAX, '-', &of) ||
        !take_number(&mark, UINT32_MAX, '\0', &instance)) {
        return false;
    }
    *out_instance = (uint32_t)instance;
    return of == sink;
}

/* ---- state ---- */

static bool put_part(struct mr_buffer *out, const struct mri_part *part)
{
    uint32_t size = (uint32_t)strlen(part->name);
    bool ok = mr_buffer_put_u64(out, part->fence) && mr_buffer_put_u32(out, part->instance) &&
              mr_buffer_put_u64(out, part->size_bytes);

    for (uint32_t i = 0; i < MRI_SUM_LANES; i++) {
        ok = ok && mr_buffer_put_u32(out, part->sum.lanes[i]);
    }
    return ok && mr_buffer_put_u32(out, size) && mr_buffer_put(out, part->name, size);
}

bool mri_writer_state_put(struct mr_buffer *out, const struct mri_writer_state *state)
{
    size_t start = out->size_bytes;
    uint32_t has_current = state->current.name != NULL ? 1 : 0;
    bool ok = mr_buffer_put_u32(out, VERSION | KIND << 8 | state->format << 16) &&
              mr_buffer_put_u32(out, state->instance) &&
              mr_buffer_put_u64(out, state->next_number) && mr_buffer_put_u64(out, state->layout) &&
              mr_buffer_put_u32(out, state->rolled.count);

    for (uint32_t i = 0; i < state->rolled.count && ok; i++) {
        ok = put_part(out, &state->rolled.parts[i]);
    }
    ok = ok && mr_buffer_put_u32(out, has_current) &&
         (has_current == 0 || put_part(out, &state->current)) &&
         mr_buffer_put_u32(out, mr_crc32c(0, out->data + start, out->size_bytes - start));
    if (!ok) out->size_bytes = start;
    return ok;
}

static enum mr_status corrupt(const char *name, const char *what, struct mr_error *err)
{
    return mr_error_set(
        err, MR_E_CORRUPT,
        "%s: what the job remembers of this output is damaged (%s), so it cannot go "
        "on; start from a savepoint, or anew with --fresh",
        name, what);
}

/* A name that leads out of the directory would let a damaged state write anywhere. */
static bool is_name(const char *text, uint32_t size_bytes)
{
    if (size_bytes == 0 || (size_bytes <= 2 && text[0] == '.' && text[size_bytes - 1] == '.')) {
        return false;
    }
    return memchr(text, '\0', size_bytes) == NULL && memchr(text, '/', size_bytes) == NULL;
}

static enum mr_status take_part(struct mr_cursor *in, struct mr_heap *heap, const char *output,
                                struct mri_part *out, struct mr_error *err)
{
    uint32_t size;
    const char *name;
    bool ok = mr_cursor_u64(in, &out->fence) && mr_cursor_u32(in, &out->instance) &&
              mr_cursor_u64(in, &out->size_bytes);

    for (uint32_t i = 0; i < MRI_SUM_LANES; i++) ok = ok && mr_cursor_u32(in, &out->sum.lanes[i]);
    if (!ok || !mr_cursor_u32(in, &size) || size > NAME_BYTES_MAX ||
        !mr_cursor_take(in, size, &name) || !is_name(name, size)) {
        return corrupt(output, "a file in it makes no sense", err);
    }
    out->name = mr_alloc(heap, (size_t)size + 1);
    if (out->name == NULL) return mr_error_nomem(err, output, size);
    memcpy(out->name, name, size);
    out->name[size] = '\0';
    return MR_OK;
}

static enum mr_status take_body(struct mr_cursor *in, struct mr_heap *heap, const char *name,
                                struct mri_writer_state *out, struct mr_error *err)
{
    uint32_t count, has_current;

    if (!mr_cursor_u32(in, &out->instance) || !mr_cursor_u64(in, &out->next_number) ||
        !mr_cursor_u64(in, &out->layout) || !mr_cursor_u32(in, &count)) {
        return corrupt(name, "too short", err);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct mri_part part = {.name = NULL};
        bool added;

        MR_RET(take_part(in, heap, name, &part, err));
        added = mri_part_list_add(&out->rolled, &part);
        mr_strfree(heap, part.name);
        if (!added) return mr_error_nomem(err, name, sizeof part);
    }
    if (!mr_cursor_u32(in, &has_current) || has_current > 1) {
        return corrupt(name, "too short", err);
    }
    if (has_current == 1) MR_RET(take_part(in, heap, name, &out->current, err));
    return in->at == in->end ? MR_OK : corrupt(name, "it has another size", err);
}

enum mr_status mri_writer_state_take(struct mr_bytes bytes, struct mr_heap *heap, const char *name,
                                     struct mri_writer_state *out, struct mr_error *err)
{
    struct mr_cursor in = {bytes.data, bytes.data + bytes.size_bytes};
    struct mr_cursor tail;
    uint32_t head, sum;

    memset(out, 0, sizeof *out);
    mri_part_list_init(&out->rolled, heap);
    if (bytes.size_bytes < 2 * CRC_BYTES || !mr_cursor_u32(&in, &head)) {
        return corrupt(name, "too short", err);
    }
    if ((head & 0xff) > VERSION && (head >> 8 & 0xff) == KIND) {
        return mr_error_set(
            err, MR_E_UNSUPPORTED,
            "%s: what the job remembers of this output has version %u, this program "
            "reads up to version %u; use the program that wrote it or a newer one",
            name, head & 0xff, VERSION);
    }
    in.end -= CRC_BYTES;
    tail = (struct mr_cursor){in.end, in.end + CRC_BYTES};
    if ((head & 0xffff) != (VERSION | KIND << 8)) return corrupt(name, "it is no file's", err);
    if (!mr_cursor_u32(&tail, &sum) ||
        sum != mr_crc32c(0, bytes.data, bytes.size_bytes - CRC_BYTES)) {
        return corrupt(name, "its checksum does not match", err);
    }
    out->format = head >> 16;
    return take_body(&in, heap, name, out, err);
}

void mri_writer_state_fini(struct mri_writer_state *state)
{
    if (state->rolled.heap == NULL) return;
    mr_strfree(state->rolled.heap, state->current.name);
    mri_part_list_fini(&state->rolled);
    memset(state, 0, sizeof *state);
}
