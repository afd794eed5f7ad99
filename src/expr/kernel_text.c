/* kernel_text.c - functions over texts. Characters are code points: a byte that does not continue
 * one begins one, whatever the bytes are. Upper and lower case are ASCII's: other characters stay.
 */
#include "expr/expr_internal.h"

size_t mri_utf8_valid_bytes(const char *data, size_t size_bytes)
{
    const unsigned char *text = (const unsigned char *)data;
    size_t at = 0;

    while (at < size_bytes) {
        unsigned char lead = text[at];
        size_t more = lead < 0x80 ? 0 : lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
        unsigned char low = 0x80, high = 0xbf;

        if (more == 0) {
            at++;
            continue;
        }
        if (lead < 0xc2 || lead > 0xf4 || size_bytes - at <= more) return at;
        if (lead == 0xe0) low = 0xa0; /* no overlong forms, no surrogates, nothing past U+10FFFF */
        if (lead == 0xf0) low = 0x90;
        if (lead == 0xed) high = 0x9f;
        if (lead == 0xf4) high = 0x8f;
        if (text[at + 1] < low || text[at + 1] > high) return at;
        for (size_t i = 2; i <= more; i++) {
            if ((text[at + i] & 0xc0) != 0x80) return at;
        }
        at += more + 1;
    }
    return at;
}

MR_INLINE bool starts_character(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

static int64_t count_characters(const char *data, size_t size_bytes)
{
    int64_t count = 0;

    for (size_t i = 0; i < size_bytes; i++) count += starts_character(data[i]);
    return count;
}

/* Bytes of the character at `at` < size. */
static size_t character_bytes(const char *data, size_t size_bytes, size_t at)
{
    size_t end = at + 1;

    while (end < size_bytes && !starts_character(data[end])) end++;
    return end - at;
}

static struct mr_bytes text_at(const struct mri_value *value, uint32_t at)
{
    const struct mr_view *views = value->column.values;

    return mr_view_bytes(&value->column, &views[at & mri_mask(value)]);
}

static int64_t int_at(const struct mri_value *value, uint32_t at)
{
    const int64_t *values = value->column.values;

    return values[at & mri_mask(value)];
}

/* ---- numbers and conditions out of texts ---- */

static void text_length(struct mri_call *call)
{
    int64_t *out = call->values;
    bool bytes = call->node->op == MR_OP_BYTE_LENGTH;

    for (uint32_t i = 0; i < call->count; i++) {
        struct mr_bytes text;

        out[i] = 0;
        if (!mri_call_valid(call, i)) continue;
        text = text_at(&call->args[0], i);
        out[i] = bytes ? (int64_t)text.size_bytes : count_characters(text.data, text.size_bytes);
    }
}

static const char *find(const char *data, size_t size_bytes, struct mr_bytes part)
{
    const char *end = data + size_bytes;

    if (part.size_bytes == 0) return data;
    while ((size_t)(end - data) >= part.size_bytes) {
        const char *hit = memchr(data, part.data[0], (size_t)(end - data) - part.size_bytes + 1);

        if (hit == NULL) return NULL;
        if (memcmp(hit, part.data, part.size_bytes) == 0) return hit;
        data = hit + 1;
    }
    return NULL;
}

/* Greedy with one way back: the last % takes one character more whenever the rest does not fit. */
static bool like(struct mr_bytes text, struct mr_bytes pattern)
{
    size_t t = 0, p = 0, star = SIZE_MAX, resume = 0;

    while (t < text.size_bytes) {
        if (p < pattern.size_bytes && pattern.data[p] == '%') {
            star = p++;
            resume = t;
        } else if (p < pattern.size_bytes && pattern.data[p] == '_') {
            t += character_bytes(text.data, text.size_bytes, t);
            p++;
        } else if (p < pattern.size_bytes && pattern.data[p] == text.data[t]) {
            t++;
            p++;
        } else if (star != SIZE_MAX) {
            resume += character_bytes(text.data, text.size_bytes, resume);
            t = resume;
            p = star + 1;
        } else {
            return false;
        }
    }
    while (p < pattern.size_bytes && pattern.data[p] == '%') p++;
    return p == pattern.size_bytes;
}

static bool text_condition(uint8_t op, struct mr_bytes text, struct mr_bytes part)
{
    size_t size = part.size_bytes;

    if (op == MR_OP_LIKE) return like(text, part);
    if (size > text.size_bytes) return false;
    if (size == 0) return true;
    if (op == MR_OP_STARTS_WITH) return memcmp(text.data, part.data, size) == 0;
    if (op == MR_OP_ENDS_WITH) {
        return memcmp(text.data + text.size_bytes - size, part.data, size) == 0;
    }
    return find(text.data, text.size_bytes, part) != NULL;
}

/* A constant pattern whose only wildcards are % at its ends asks for less than LIKE can do. */
static uint8_t simplify_like(struct mr_bytes *pattern)
{
    size_t size = pattern->size_bytes;
    bool open = size > 0 && pattern->data[0] == '%';
    bool open_end = size > 1 && pattern->data[size - 1] == '%';
    struct mr_bytes core = {pattern->data + open, size - open - open_end};

    if (!open && !open_end) return MR_OP_LIKE;
    for (size_t i = 0; i < core.size_bytes; i++) {
        if (core.data[i] == '%' || core.data[i] == '_') return MR_OP_LIKE;
    }
    *pattern = core;
    if (open && open_end) return MR_OP_CONTAINS;
    return open ? MR_OP_ENDS_WITH : MR_OP_STARTS_WITH;
}

static void text_test(struct mri_call *call)
{
    uint64_t *out = call->values;
    uint8_t op = call->node->op;
    bool constant = mri_mask(&call->args[1]) == 0;
    struct mr_bytes part = {NULL, 0};

    if (constant) part = text_at(&call->args[1], 0);
    if (constant && op == MR_OP_LIKE) op = simplify_like(&part);
    for (uint32_t i = 0; i < call->count; i++) {
        bool bit;

        if (!mri_call_valid(call, i)) continue;
        if (!constant) part = text_at(&call->args[1], i);
        bit = text_condition(op, text_at(&call->args[0], i), part);
        out[i / 64] |= (uint64_t)bit << (i % 64);
    }
}

/* ---- parts of texts: the bytes are shared ---- */

static struct mr_bytes trim(struct mr_bytes text)
{
    while (text.size_bytes > 0 && text.data[0] == ' ') {
        text.data++;
        text.size_bytes--;
    }
    while (text.size_bytes > 0 && text.data[text.size_bytes - 1] == ' ') text.size_bytes--;
    return text;
}

/* Byte offset of the character with this number (from 0), or size_bytes. */
static size_t character_offset(const char *data, size_t size_bytes, size_t from, int64_t number)
{
    for (; number > 0 && from < size_bytes; number--) {
        from += character_bytes(data, size_bytes, from);
    }
    return from;
}

/* Start counts from 1; 0 is taken as 1; negative ones count from the end, and before the beginning
 * there is nothing. length < 0 has been dealt with. */
static struct mr_bytes substring(struct mr_bytes text, int64_t start, int64_t length, bool bytes)
{
    size_t first, last;

    if (start < 0) {
        int64_t total = bytes ? (int64_t)text.size_bytes
                              : count_characters(text.data, text.size_bytes);

        if (start < -total) return (struct mr_bytes){text.data, 0};
        start = total + start + 1;
    } else if (start == 0) {
        start = 1;
    }
    if (bytes) {
        first = MR_MIN((uint64_t)(start - 1), text.size_bytes);
        last = first + MR_MIN((uint64_t)length, text.size_bytes - first);
    } else {
        first = character_offset(text.data, text.size_bytes, 0, start - 1);
        last = (uint64_t)length >= text.size_bytes - first
                   ? text.size_bytes /* every character has a byte at least */
                   : character_offset(text.data, text.size_bytes, first, length);
    }
    return (struct mr_bytes){text.data + first, last - first};
}

static void text_part(struct mri_call *call)
{
    const struct mri_value *arg = &call->args[0];
    const struct mr_view *views = arg->column.values;
    struct mr_view *out = call->values;
    bool cuts = call->node->op == MR_OP_SUBSTRING, bytes = arg->column.type == MR_BINARY;

    for (uint32_t i = 0; i < call->count; i++) {
        const struct mr_view *view = &views[i & mri_mask(arg)];
        struct mr_bytes text, part;

        out[i] = (struct mr_view){0};
        if (!mri_call_valid(call, i)) continue;
        text = mr_view_bytes(&arg->column, view);
        if (cuts) {
            int64_t length = call->arg_count == 3 ? int_at(&call->args[2], i) : INT64_MAX;

            if (length < 0) {
                mri_call_null(call, i);
                continue;
            }
            part = substring(text, int_at(&call->args[1], i), length, bytes);
        } else {
            part = trim(text);
        }
        out[i] = mr_view_make(part.data, (uint32_t)part.size_bytes,
                              view->size_bytes > MR_VIEW_INLINE ? view->u.far.buffer : 0,
                              view->size_bytes > MR_VIEW_INLINE
                                  ? view->u.far.offset + (uint32_t)(part.data - text.data)
                                  : 0);
    }
    call->buffers = arg->column.buffers;
    call->buffer_count = arg->column.buffer_count;
    call->texts_borrowed = arg->texts_borrowed || arg->borrowed;
}

/* ---- new texts ---- */

#define EIGHT(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight bytes at once. Case differs by bit 5; the sums carry into bit 7 where a byte is at or above
 * `first`, and above `first` + 25; bytes beyond ASCII are left out. */
MR_INLINE uint64_t change_eight(uint64_t bytes, uint8_t first)
{
    uint64_t low = bytes & EIGHT(0x7f);
    uint64_t from = low + EIGHT((uint64_t)(0x80 - first));
    uint64_t past = low + EIGHT((uint64_t)(0x80 - first - 26));
    uint64_t letters = from & ~past & ~bytes & EIGHT(0x80);

    return bytes ^ (letters >> 2);
}

static void change_case(char *to, const char *from, size_t size_bytes, uint8_t first)
{
    uint64_t word = 0;
    size_t at = 0;

    for (; at + 8 <= size_bytes; at += 8) {
        memcpy(&word, from + at, 8);
        word = change_eight(word, first);
        memcpy(to + at, &word, 8);
    }
    if (at == size_bytes) return;
    word = 0;
    memcpy(&word, from + at, size_bytes - at);
    word = change_eight(word, first);
    memcpy(to + at, &word, size_bytes - at);
}

/* A short text changes where it lies: the zeros behind it are no letters. */
static struct mr_view change_inline(struct mr_view view, uint8_t first)
{
    uint64_t words[2];

    _Static_assert(sizeof words == sizeof view, "a view is two words");
    memcpy(words, &view, sizeof words);
    words[0] = (words[0] & UINT32_MAX) | (change_eight(words[0] >> 32, first) << 32);
    words[1] = change_eight(words[1], first);
    memcpy(&view, words, sizeof words);
    return view;
}

static void text_case(struct mri_call *call, struct mri_writer *writer)
{
    const struct mri_value *arg = &call->args[0];
    const struct mr_view *views = arg->column.values;
    struct mr_view *out = call->values;
    uint8_t first = call->node->op == MR_OP_UPPER ? 'a' : 'A';

    for (uint32_t i = 0; i < call->count; i++) {
        const struct mr_view *view = &views[i & mri_mask(arg)];
        char *room;

        out[i] = (struct mr_view){0};
        if (!mri_call_valid(call, i)) continue;
        if (view->size_bytes <= MR_VIEW_INLINE) {
            out[i] = change_inline(*view, first);
            continue;
        }
        room = mri_writer_room(writer, view->size_bytes);
        if (room == NULL) return;
        change_case(room, mr_view_data(&arg->column, view), view->size_bytes, first);
        out[i] = mri_writer_take(writer, view->size_bytes);
    }
}

static void text_concat(struct mri_call *call, struct mri_writer *writer)
{
    struct mr_view *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        size_t total = 0, at = 0;
        char *room;

        out[i] = (struct mr_view){0};
        if (!mri_call_valid(call, i)) continue;
        for (uint32_t k = 0; k < call->arg_count; k++) {
            total += text_at(&call->args[k], i).size_bytes;
        }
        if (total > MR_TEXT_BYTES_MAX) {
            mri_call_fail(call, i, "text too long");
            continue;
        }
        room = mri_writer_room(writer, total);
        if (room == NULL) return;
        for (uint32_t k = 0; k < call->arg_count; k++) {
            struct mr_bytes text = text_at(&call->args[k], i);

            if (text.size_bytes > 0) memcpy(room + at, text.data, text.size_bytes);
            at += text.size_bytes;
        }
        out[i] = mri_writer_take(writer, total);
    }
}

/* Size of the text with every `part` replaced; with `to`, writes it as well. */
static size_t replace(struct mr_bytes text, struct mr_bytes part, struct mr_bytes by, char *to)
{
    const char *at = text.data, *end = text.data + text.size_bytes;
    size_t size = 0;

    while (at < end) {
        const char *hit = part.size_bytes == 0 ? NULL : find(at, (size_t)(end - at), part);
        size_t plain = (size_t)((hit == NULL ? end : hit) - at);

        if (to != NULL) memcpy(to + size, at, plain);
        size += plain;
        if (hit == NULL) break;
        if (to != NULL && by.size_bytes > 0) memcpy(to + size, by.data, by.size_bytes);
        size += by.size_bytes;
        at = hit + part.size_bytes;
    }
    return size;
}

static void text_replace(struct mri_call *call, struct mri_writer *writer)
{
    struct mr_view *out = call->values;

    for (uint32_t i = 0; i < call->count; i++) {
        struct mr_bytes text, part, by;
        size_t size;
        char *room;

        out[i] = (struct mr_view){0};
        if (!mri_call_valid(call, i)) continue;
        text = text_at(&call->args[0], i);
        part = text_at(&call->args[1], i);
        by = text_at(&call->args[2], i);
        size = replace(text, part, by, NULL);
        if (size > MR_TEXT_BYTES_MAX) {
            mri_call_fail(call, i, "text too long");
            continue;
        }
        room = mri_writer_room(writer, size);
        if (room == NULL) return;
        out[i] = mri_writer_take(writer, replace(text, part, by, room));
    }
}

void mri_kernel_text(struct mri_call *call)
{
    struct mri_writer writer;

    mri_writer_init(&writer, call->run);
    switch ((int)call->node->op) {
    case MR_OP_LENGTH:
    case MR_OP_BYTE_LENGTH: text_length(call); return;
    case MR_OP_STARTS_WITH:
    case MR_OP_ENDS_WITH:
    case MR_OP_CONTAINS:
    case MR_OP_LIKE: text_test(call); return;
    case MR_OP_TRIM:
    case MR_OP_SUBSTRING: text_part(call); return;
    case MR_OP_UPPER:
    case MR_OP_LOWER: text_case(call, &writer); break;
    case MR_OP_CONCAT: text_concat(call, &writer); break;
    case MR_OP_REPLACE: text_replace(call, &writer); break;
    default: MR_UNREACHABLE();
    }
    if (writer.failed) call->status = mri_nomem(call->run, MR_TEXT_BYTES_MAX);
    call->buffers = writer.buffers;
    call->buffer_count = writer.buffer_count;
}
