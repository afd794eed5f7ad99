/* user_state_record.c - records: their cells, their bytes, their time to live; see user_state.h. */
#include "base/assert.h"
#include "base/status.h"
#include "state/user_state_internal.h"

#include <string.h>

#define TEXT_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* First byte of a stored value. */
#define FLAG_PROCESSING 1u /* a stamp of this clock follows */
#define FLAG_EVENT      2u
#define FLAG_SEQ        4u /* and the order of being added */
#define FLAG_UNSET      8u

/* ---- layout ---- */

static enum mri_cell_form form_of(enum mr_layout layout)
{
    switch (layout) {
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64: return MRI_FORM_FLOAT;
    case MR_LAYOUT_I128: return MRI_FORM_DECIMAL;
    case MR_LAYOUT_VIEW: return MRI_FORM_TEXT;
    case MR_LAYOUT_BIT:
    case MR_LAYOUT_I8:
    case MR_LAYOUT_I16:
    case MR_LAYOUT_I32:
    case MR_LAYOUT_I64: return MRI_FORM_INT;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
    MR_UNREACHABLE();
}

bool mri_record_init(struct mri_user_state *state)
{
    const struct mr_state *spec = state->spec;
    uint32_t at = sizeof(uint64_t);

    state->stamped = spec->ttl != MR_TTL_NONE;
    state->head_bytes = state->collection ? (uint32_t)sizeof(struct mri_link) : 0;
    if (state->stamped) state->head_bytes += (uint32_t)sizeof(int64_t);
    if (spec->kind == MR_STATE_AGGREGATING) {
        state->slot_bytes = 16 + ((uint32_t)spec->aggregate->state_bytes + 15) / 16 * 16;
        return true;
    }
    for (uint32_t i = 0; i < spec->field_count; i++) {
        struct mri_user_field *field = &state->fields[i];

        field->layout = mr_type_layout(spec->fields[i].type);
        field->form = form_of(field->layout);
        field->precision = spec->fields[i].precision;
        field->single = field->layout == MR_LAYOUT_F32;
        state->has_text |= field->form == MRI_FORM_TEXT;
        state->cells[i] = (uint16_t)at;
        at += field->form == MRI_FORM_DECIMAL || field->form == MRI_FORM_TEXT ? 16 : 8;
    }
    state->slot_bytes = state->head_bytes + at;
    return true;
}

static void *cell_of(const struct mri_user_state *state, const void *head, uint32_t field)
{
    return (char *)(uintptr_t)head + state->cells[field];
}

/* ---- time to live ---- */

static int64_t *stamp_of(const struct mri_user_state *state, const void *slot)
{
    char *at = (char *)(uintptr_t)slot + state->head_bytes - sizeof(int64_t);

    return (int64_t *)(void *)at;
}

void mri_record_written(struct mri_user_state *state, void *slot)
{
    if (!state->stamped) return;
    *stamp_of(state, slot) =
        state->spec->ttl == MR_TTL_EVENT_TIME ? state->all->row_us : mr_user_states_now(state->all);
}

bool mri_record_expired(const struct mri_user_state *state, const void *slot)
{
    struct mr_user_states *all = state->all;
    int64_t stamp, now;

    if (!state->stamped) return false;
    stamp = *stamp_of(state, slot);
    if (stamp > MRI_STAMP_NEVER - state->spec->ttl_us) return false;
    now = state->spec->ttl == MR_TTL_EVENT_TIME ? all->event_now_us : mr_user_states_now(all);
    return now >= stamp + state->spec->ttl_us;
}

/* ---- slots ---- */

static void free_texts(struct mri_user_state *state, struct mr_store *store, void *slot)
{
    for (uint32_t i = 0; i < state->spec->field_count; i++) {
        if (state->fields[i].form != MRI_FORM_TEXT) continue;
        mr_store_blob_free(store, cell_of(state, mri_head(state, slot), i));
    }
}

static void slot_release(void *self, struct mr_store *store, void *slot)
{
    free_texts(self, store, slot);
}

void mri_record_reset(struct mri_user_state *state, void *slot)
{
    size_t size = state->slot_bytes - state->head_bytes;

    if (state->has_text) free_texts(state, state->store, slot);
    memset(mri_head(state, slot), 0, size);
}

static void slot_init(void *self, void *slot)
{
    struct mri_user_state *state = self;

    if (state->stamped) *stamp_of(state, slot) = MRI_STAMP_NEVER;
}

/* ---- bytes ---- */

static bool put_byte(struct mr_buffer *out, uint32_t value)
{
    char byte = (char)value;

    return mr_buffer_put(out, &byte, 1);
}

static bool encode_cell(const struct mri_user_state *state, const void *head, uint32_t field,
                        struct mr_buffer *out)
{
    const void *cell = cell_of(state, head, field);
    const struct mr_blob *blob = cell;

    switch (state->fields[field].form) {
    case MRI_FORM_INT:
    case MRI_FORM_FLOAT: return mr_buffer_put(out, cell, 8);
    case MRI_FORM_DECIMAL: return mr_buffer_put(out, cell, 16);
    case MRI_FORM_TEXT:
        return mr_buffer_put_varint(out, blob->size_bytes) &&
               (blob->size_bytes == 0 || mr_buffer_put(out, blob->data, blob->size_bytes));
    }
    MR_UNREACHABLE();
}

static bool has_seq(const struct mri_user_state *state)
{
    return state->spec->kind == MR_STATE_MAP || state->spec->kind == MR_STATE_SET ||
           state->spec->kind == MR_STATE_BROADCAST;
}

static bool encode_front(const struct mri_user_state *state, const void *slot, uint64_t head,
                         struct mr_buffer *out)
{
    const struct mri_link *link = slot;
    uint32_t flags = (head & MRI_RECORD_SET) == 0 ? FLAG_UNSET : 0;

    if (state->stamped) {
        flags |= state->spec->ttl == MR_TTL_EVENT_TIME ? FLAG_EVENT : FLAG_PROCESSING;
    }
    if (has_seq(state)) flags |= FLAG_SEQ;
    if (!put_byte(out, flags)) return false;
    if (state->stamped && !mr_buffer_put_u64(out, (uint64_t)*stamp_of(state, slot))) return false;
    return !has_seq(state) || mr_buffer_put_varint(out, link->seq);
}

static bool slot_encode(void *self, const void *slot, struct mr_buffer *out)
{
    const struct mri_user_state *state = self;
    const char *at = (const char *)slot + state->head_bytes;
    uint32_t count = state->spec->field_count;
    uint64_t head;

    memcpy(&head, at, sizeof head);
    if (!encode_front(state, slot, head, out)) return false;
    if (state->spec->kind == MR_STATE_AGGREGATING) {
        size_t size = state->spec->aggregate->state_bytes;

        return mr_buffer_put_varint(out, size) && mr_buffer_put(out, (const char *)slot + 16, size);
    }
    if (!put_byte(out, count)) return false;
    for (uint32_t i = 0; i < count; i += 8) {
        if (!put_byte(out,
                      (uint32_t)(head >> i) & (count - i < 8 ? (1u << (count - i)) - 1 : 0xff)))
            return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if ((head >> i & 1) != 0 && !encode_cell(state, at, i, out)) return false;
    }
    return true;
}

static enum mr_status malformed(const struct mri_user_state *state, struct mr_error *err)
{
    return mr_error_set(err, MR_E_CORRUPT, "a value of state '%s' is cut short or malformed",
                        state->spec->name);
}

static enum mr_status decode_text(struct mri_user_state *state, struct mr_store *store,
                                  struct mr_blob *blob, struct mr_cursor *in, struct mr_error *err)
{
    uint64_t size;
    const char *data;

    if (!mr_cursor_varint(in, &size) || size > TEXT_BYTES_MAX ||
        !mr_cursor_take(in, (size_t)size, &data)) {
        return malformed(state, err);
    }
    if (!mr_store_blob_resize(store, blob, (uint32_t)size)) {
        return mr_error_nomem(err, "restoring state", (size_t)size);
    }
    if (size > 0) memcpy(blob->data, data, (size_t)size);
    return MR_OK;
}

static enum mr_status decode_cell(struct mri_user_state *state, struct mr_store *store, void *head,
                                  uint32_t field, struct mr_cursor *in, struct mr_error *err)
{
    void *cell = cell_of(state, head, field);
    enum mri_cell_form form = state->fields[field].form;
    size_t size = form == MRI_FORM_DECIMAL ? 16 : 8;
    const char *data;

    if (form == MRI_FORM_TEXT) return decode_text(state, store, cell, in, err);
    if (!mr_cursor_take(in, size, &data)) return malformed(state, err);
    memcpy(cell, data, size);
    return MR_OK;
}

static bool take_byte(struct mr_cursor *in, uint32_t *out)
{
    const char *data;

    if (!mr_cursor_take(in, 1, &data)) return false;
    *out = (unsigned char)*data;
    return true;
}

/* A stamp of another clock than the one that counts now means nothing here. */
static enum mr_status decode_front(struct mri_user_state *state, void *slot, struct mr_cursor *in,
                                   uint32_t *out_flags, struct mr_error *err)
{
    struct mri_link *link = slot;
    uint32_t mine = state->spec->ttl == MR_TTL_EVENT_TIME ? FLAG_EVENT : FLAG_PROCESSING;
    uint64_t stamp;

    if (!take_byte(in, out_flags) || *out_flags > 15 || (*out_flags & 3) == 3) {
        return malformed(state, err);
    }
    if ((*out_flags & 3) != 0) {
        if (!mr_cursor_u64(in, &stamp)) return malformed(state, err);
        if (state->stamped && (*out_flags & mine) != 0) *stamp_of(state, slot) = (int64_t)stamp;
    }
    if (((*out_flags & FLAG_SEQ) != 0) != has_seq(state)) return malformed(state, err);
    if (has_seq(state) && (!mr_cursor_varint(in, &link->seq) || link->seq == UINT64_MAX)) {
        return malformed(state, err);
    }
    return MR_OK;
}

static enum mr_status decode_accumulator(struct mri_user_state *state, void *slot,
                                         struct mr_cursor *in, struct mr_error *err)
{
    uint64_t size;
    const char *data;

    if (!mr_cursor_varint(in, &size) || size != state->spec->aggregate->state_bytes ||
        !mr_cursor_take(in, (size_t)size, &data)) {
        return malformed(state, err);
    }
    memcpy((char *)slot + 16, data, (size_t)size);
    return MR_OK;
}

static enum mr_status slot_decode(void *self, struct mr_store *store, void *slot,
                                  struct mr_cursor *in, struct mr_error *err)
{
    struct mri_user_state *state = self;
    uint64_t *head = mri_head(state, slot);
    uint32_t flags = 0, count = 0;
    uint64_t bits = 0;

    MR_RET(decode_front(state, slot, in, &flags, err));
    if ((flags & FLAG_UNSET) == 0) *head |= MRI_RECORD_SET;
    if (state->spec->kind == MR_STATE_AGGREGATING) return decode_accumulator(state, slot, in, err);
    if (!take_byte(in, &count) || count > state->spec->field_count) return malformed(state, err);
    for (uint32_t i = 0; i < count; i += 8) {
        uint32_t byte;

        if (!take_byte(in, &byte)) return malformed(state, err);
        bits |= (uint64_t)byte << i;
    }
    if (bits >> count != 0) return malformed(state, err);
    for (uint32_t i = 0; i < count; i++) {
        if ((bits >> i & 1) == 0) continue;
        MR_RET(decode_cell(state, store, head, i, in, err));
        *head |= UINT64_C(1) << i;
    }
    return MR_OK;
}

struct mr_slot_ops mri_record_ops(struct mri_user_state *state)
{
    return (struct mr_slot_ops){.slot_bytes = state->slot_bytes,
                                .self = state,
                                .init = state->stamped ? slot_init : NULL,
                                .encode = slot_encode,
                                .decode = slot_decode,
                                .release = state->has_text ? slot_release : NULL};
}

/* ---- fields, for users ---- */

static const struct mri_user_state *state_of(const struct mr_user_states *states,
                                             const struct mr_record *record)
{
    return record->data == NULL ? NULL : &states->states[record->state];
}

bool mr_user_is_null(const struct mr_user_states *states, const struct mr_record *record,
                     uint32_t field)
{
    const struct mri_user_state *state = state_of(states, record);
    uint64_t head;

    if (state == NULL || field >= state->spec->field_count) return true;
    memcpy(&head, record->data, sizeof head);
    return (head >> field & 1) == 0;
}

struct mr_datum mr_user_get(const struct mr_user_states *states, const struct mr_record *record,
                            uint32_t field)
{
    const struct mri_user_state *state = state_of(states, record);
    struct mr_datum out = {.kind = MR_DATUM_NULL};
    const struct mr_blob *blob;
    const void *cell;

    if (mr_user_is_null(states, record, field)) return out;
    cell = cell_of(state, record->data, field);
    blob = cell;
    switch (state->fields[field].form) {
    case MRI_FORM_INT:
        out.kind = MR_DATUM_INT64;
        memcpy(&out.u, cell, 8);
        break;
    case MRI_FORM_FLOAT:
        out.kind = MR_DATUM_FLOAT64;
        memcpy(&out.u, cell, 8);
        break;
    case MRI_FORM_DECIMAL:
        out.kind = MR_DATUM_DECIMAL;
        memcpy(&out.u, cell, 16);
        break;
    case MRI_FORM_TEXT:
        out.kind = MR_DATUM_BYTES;
        out.u.bytes = (struct mr_bytes){blob->data, blob->size_bytes};
        break;
    }
    return out;
}

static bool int_fits(enum mr_layout layout, int64_t value)
{
    switch (layout) {
    case MR_LAYOUT_BIT: return value == 0 || value == 1;
    case MR_LAYOUT_I8: return value >= INT8_MIN && value <= INT8_MAX;
    case MR_LAYOUT_I16: return value >= INT16_MIN && value <= INT16_MAX;
    case MR_LAYOUT_I32: return value >= INT32_MIN && value <= INT32_MAX;
    case MR_LAYOUT_NONE:
    case MR_LAYOUT_I64:
    case MR_LAYOUT_F32:
    case MR_LAYOUT_F64:
    case MR_LAYOUT_I128:
    case MR_LAYOUT_VIEW:
    case MR_LAYOUT_LIST:
    case MR_LAYOUT_STRUCT: break;
    }
    return true;
}

static bool decimal_fits(uint8_t precision, struct mr_int128 value)
{
    mr_i128 number = (mr_i128)((mr_u128)(uint64_t)value.high << 64 | value.low);
    mr_u128 size = number < 0 ? -(mr_u128)number : (mr_u128)number;
    mr_u128 bound = 1;

    for (uint32_t i = 0; i < precision; i++) bound *= 10;
    return size < bound;
}

static bool set_text(struct mri_user_state *state, struct mr_blob *blob, struct mr_bytes bytes)
{
    struct mr_bytes text = bytes;
    bool inside = blob->data != NULL && text.data >= blob->data &&
                  text.data < blob->data + blob->capacity_bytes;

    if (text.size_bytes > TEXT_BYTES_MAX) {
        mri_user_fail(state->all, MR_E_LIMIT, "state '%s': a text of %zu bytes; at most 16 MiB",
                      state->spec->name, text.size_bytes);
        return false;
    }
    if (inside) { /* a part of itself */
        memmove(blob->data, text.data, text.size_bytes);
        text.data = blob->data;
    }
    if (!mr_store_blob_resize(state->store, blob, (uint32_t)text.size_bytes)) {
        mri_user_nomem(state->all);
        return false;
    }
    if (text.size_bytes > 0 && !inside) memcpy(blob->data, text.data, text.size_bytes);
    return true;
}

static void unfit(struct mri_user_state *state, uint32_t field, enum mr_status status,
                  const char *what)
{
    const struct mr_field *declared = &state->spec->fields[field];

    mri_user_fail(state->all, status, "field %u ('%s') of state '%s' is %s: %s", field,
                  declared->name, state->spec->name, mr_type_name(declared->type), what);
}

static bool set_cell(struct mri_user_state *state, void *cell, uint32_t field,
                     const struct mr_datum *value)
{
    const struct mri_user_field *to = &state->fields[field];
    static const enum mr_datum_kind kinds[] = {MR_DATUM_INT64, MR_DATUM_FLOAT64, MR_DATUM_DECIMAL,
                                               MR_DATUM_BYTES};
    double number;

    if (value->kind != kinds[to->form]) {
        unfit(state, field, MR_E_INVALID, "a value of another kind cannot be put there");
        return false;
    }
    switch (to->form) {
    case MRI_FORM_INT:
        if (!int_fits(to->layout, value->u.int64)) {
            unfit(state, field, MR_E_OVERFLOW, "the number is out of its range");
            return false;
        }
        memcpy(cell, &value->u.int64, 8);
        return true;
    case MRI_FORM_FLOAT:
        number = to->single ? (double)(float)value->u.float64 : value->u.float64;
        memcpy(cell, &number, 8);
        return true;
    case MRI_FORM_DECIMAL:
        if (!decimal_fits(to->precision, value->u.decimal)) {
            unfit(state, field, MR_E_OVERFLOW, "the number has too many digits");
            return false;
        }
        memcpy(cell, &value->u.decimal, 16);
        return true;
    case MRI_FORM_TEXT: return set_text(state, cell, value->u.bytes);
    }
    MR_UNREACHABLE();
}

void mr_user_set(struct mr_user_states *states, struct mr_record *record, uint32_t field,
                 const struct mr_datum *value)
{
    struct mri_user_state *state;
    uint64_t bit;
    uint64_t *head = record->data;

    if (head == NULL) return;
    state = &states->states[record->state];
    if (field >= state->spec->field_count) {
        mri_user_fail(states, MR_E_INVALID, "state '%s' has no field number %u: it has %u",
                      state->spec->name, field, state->spec->field_count);
        return;
    }
    if (mri_user_at(states, record->state, UINT32_MAX, "mr_record_set") == NULL) return;
    bit = UINT64_C(1) << field;
    if (value->kind == MR_DATUM_NULL) {
        *head &= ~bit;
    } else if (set_cell(state, cell_of(state, head, field), field, value)) {
        *head |= bit;
    } else {
        return;
    }
    mri_record_written(state, (char *)record->data - state->head_bytes);
    mr_table_touch(record->table, record->slot);
}
