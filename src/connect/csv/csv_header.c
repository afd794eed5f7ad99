/* csv_header.c - the first record of a file: which field is which column. */
#include "connect/csv/csv_internal.h"

#include "base/status.h"

#include <string.h>

#define HEADER_BYTES_MAX ((size_t)MRI_RECORD_BYTES_MAX)
#define NONE             UINT32_MAX

uint32_t mri_csv_bom(const char *data, size_t size_bytes, bool final)
{
    static const char bom[MRI_BOM_BYTES] = {'\xef', '\xbb', '\xbf'};
    size_t size = MR_MIN(size_bytes, sizeof bom);

    if (memcmp(data, bom, size) != 0) return 0;
    if (size == sizeof bom) return MRI_BOM_BYTES;
    return final ? 0 : UINT32_MAX;
}

/* ---- names ---- */

/* The next field of a record: moves *at behind its separator; false: there is none. */
static bool next_field(struct mr_bytes record, char delimiter, size_t *at, struct mr_bytes *out)
{
    enum mri_csv_state state = MRI_CSV_FIELD;
    size_t begin = *at;
    size_t i;

    if (begin > record.size_bytes) return false;
    for (i = begin; i < record.size_bytes; i++) {
        state = mri_csv_step(state, record.data[i], delimiter);
        if (state == MRI_CSV_FIELD) break;
    }
    *out = (struct mr_bytes){record.data + begin, i - begin};
    *at = i + 1;
    return true;
}

static uint32_t count_fields(struct mr_bytes record, char delimiter)
{
    struct mr_bytes field;
    uint32_t count = 0;

    for (size_t at = 0; next_field(record, delimiter, &at, &field);) count++;
    return count;
}

static enum mr_status take_name(const char *path, struct mr_bytes field, uint32_t ordinal,
                                struct mr_arena *arena, struct mr_bytes *out, struct mr_error *err)
{
    const char *fault = mri_csv_quoting_fault(field.data, field.size_bytes);
    char *copy;

    if (fault != NULL) {
        return mr_error_set(err, MR_E_RECORD, "%s:1: column %u of the header: %s", path,
                            ordinal + 1, fault);
    }
    *out = field;
    if (field.size_bytes == 0 || field.data[0] != '"') return MR_OK;
    copy = mr_arena_alloc(arena, field.size_bytes);
    if (copy == NULL) return mr_error_nomem(err, path, field.size_bytes);
    *out = (struct mr_bytes){copy, mri_csv_unquote(field.data, field.size_bytes, copy)};
    return MR_OK;
}

/* "year, month, day" - as much as fits an error text. */
static void list_names(const struct mr_bytes *names, uint32_t count, char *out, size_t room)
{
    size_t used = 0;

    for (uint32_t i = 0; i < count; i++) {
        size_t size = names[i].size_bytes;

        if (used + size + 8 > room) {
            memcpy(out + used, ", ...", 6);
            return;
        }
        if (i > 0) {
            memcpy(out + used, ", ", 2);
            used += 2;
        }
        memcpy(out + used, names[i].data, size);
        used += size;
    }
    out[used] = '\0';
}

static enum mr_status find_column(const char *path, const char *name, const struct mr_bytes *names,
                                  uint32_t count, uint32_t *out, struct mr_error *err)
{
    size_t size = strlen(name);
    char listed[400];

    *out = NONE;
    for (uint32_t i = 0; i < count; i++) {
        if (names[i].size_bytes != size || memcmp(names[i].data, name, size) != 0) continue;
        if (*out != NONE) {
            return mr_error_set(err, MR_E_SCHEMA,
                                "%s: the header has the column '%s' twice (columns %u and %u); "
                                "rename one of them",
                                path, name, *out + 1, i + 1);
        }
        *out = i;
    }
    if (*out != NONE) return MR_OK;
    list_names(names, count, listed, sizeof listed);
    return mr_error_set(err, MR_E_SCHEMA, "%s has no column '%s'; its header is: %s", path, name,
                        listed);
}

enum mr_status mri_csv_header(const struct mri_csv_spec *spec, const char *path,
                              struct mr_bytes record, struct mr_arena *arena,
                              struct mri_csv_layout *out, struct mr_error *err)
{
    uint32_t columns = spec->schema->column_count;
    uint32_t count, i = 0;
    uint32_t *fields;
    struct mr_bytes *names;
    struct mr_bytes field;

    if (record.size_bytes > 0 && record.data[record.size_bytes - 1] == '\r') record.size_bytes--;
    count = count_fields(record, spec->delimiter);
    names = mr_arena_alloc(arena, count * sizeof *names);
    fields = mr_arena_alloc(arena, columns * sizeof *fields);
    if (names == NULL || fields == NULL) return mr_error_nomem(err, path, count * sizeof *names);
    for (size_t at = 0; next_field(record, spec->delimiter, &at, &field); i++) {
        MR_RET(take_name(path, field, i, arena, &names[i], err));
    }
    for (uint32_t c = 0; c < columns; c++) {
        MR_RET(find_column(path, spec->schema->fields[c].name, names, count, &fields[c], err));
    }
    *out = (struct mri_csv_layout){.known = true, .field_count = count, .fields = fields};
    return MR_OK;
}

/* ---- reading it ---- */

/* The first record of what was read so far: its size, or SIZE_MAX when it is not whole yet. */
static size_t record_size(const char *data, size_t size_bytes, char delimiter)
{
    enum mri_csv_state state = MRI_CSV_RECORD;

    for (size_t i = 0; i < size_bytes; i++) {
        state = mri_csv_step(state, data[i], delimiter);
        if (state == MRI_CSV_RECORD) return i;
    }
    return SIZE_MAX;
}

/* Leaves *out alone when there is no byte. */
static enum mr_status read_first_record(struct mri_input *input, char delimiter, char *buffer,
                                        struct mr_bytes *out, struct mr_error *err)
{
    size_t used = 0, got = 1, size = SIZE_MAX;
    uint32_t bom = 0;

    while (size == SIZE_MAX && used < HEADER_BYTES_MAX) {
        enum mri_flow flow;

        MR_RET(mri_input_read(input, buffer + used, HEADER_BYTES_MAX - used, &got, &flow, err));
        if (flow == MRI_BLOCKED) continue;
        used += got;
        bom = mri_csv_bom(buffer, used, flow == MRI_DONE);
        if (flow == MRI_DONE) break;
        if (bom != UINT32_MAX) size = record_size(buffer + bom, used - bom, delimiter);
    }
    if (size == SIZE_MAX && used == HEADER_BYTES_MAX) {
        return mr_error_set(err, MR_E_RECORD,
                            "%s: the header is longer than %zu bytes (is a quote not closed?)",
                            input->file->path, HEADER_BYTES_MAX);
    }
    if (bom == UINT32_MAX) bom = 0;
    if (used > bom) *out = (struct mr_bytes){buffer + bom, size == SIZE_MAX ? used - bom : size};
    return MR_OK;
}

enum mr_status mri_csv_read_header(struct mri_csv_spec *spec, struct mr_disk *disk,
                                   const struct mri_file *file, struct mri_csv_layout *out,
                                   struct mr_error *err)
{
    enum mr_status st;
    struct mri_input input;
    struct mr_bytes record = {NULL, 0};
    char *buffer = mr_alloc(spec->heap, HEADER_BYTES_MAX);

    if (buffer == NULL) return mr_error_nomem(err, file->path, HEADER_BYTES_MAX);
    mri_input_init(&input, spec->heap, disk, file);
    MR_GOTO(read_first_record(&input, spec->delimiter, buffer, &record, err));
    if (record.data != NULL) {
        MR_GOTO(mri_csv_header(spec, file->path, record, &spec->plan, out, err));
    }
done:
    mri_input_fini(&input);
    mr_free(spec->heap, buffer, HEADER_BYTES_MAX);
    return st;
}
