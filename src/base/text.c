/* text.c - see text.h. */
#include "base/text.h"
#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_ROOM_BYTES ((size_t)256)

void mr_text_init(struct mr_text *text, struct mr_heap *heap, size_t limit_bytes)
{
    *text = (struct mr_text){.heap = heap, .limit_bytes = limit_bytes};
}

void mr_text_fini(struct mr_text *text)
{
    if (text->data != NULL) mr_free(text->heap, text->data, text->room_bytes);
    *text = (struct mr_text){.heap = text->heap, .limit_bytes = text->limit_bytes};
}

void mr_text_clear(struct mr_text *text)
{
    text->size_bytes = 0;
    text->status = MR_OK;
    if (text->data != NULL) text->data[0] = '\0';
}

/* Room for `more` bytes and the terminator. */
static bool reserve(struct mr_text *text, size_t more)
{
    size_t need;
    size_t room;
    char *data;

    if (__builtin_add_overflow(text->size_bytes, more, &need) ||
        __builtin_add_overflow(need, (size_t)1, &need) || need > SIZE_MAX / 4) {
        return false;
    }
    if (need <= text->room_bytes) return true;
    room = MR_MAX(need, MR_MAX(FIRST_ROOM_BYTES, 2 * text->room_bytes));
    data = mr_realloc(text->heap, text->data, text->room_bytes, room);
    if (data == NULL) return false;
    text->data = data;
    text->room_bytes = room;
    return true;
}

void mr_text_add_bytes(struct mr_text *text, const void *data, size_t size_bytes)
{
    size_t limit = text->limit_bytes == 0 ? SIZE_MAX : text->limit_bytes;

    if (text->status != MR_OK || size_bytes == 0) return;
    if (size_bytes > limit - text->size_bytes) {
        size_bytes = limit - text->size_bytes;
        text->status = MR_E_LIMIT;
    }
    if (!reserve(text, size_bytes)) {
        text->status = MR_E_NOMEM;
        return;
    }
    memcpy(text->data + text->size_bytes, data, size_bytes);
    text->size_bytes += size_bytes;
    text->data[text->size_bytes] = '\0';
}

void mr_text_add(struct mr_text *text, const char *string)
{
    mr_text_add_bytes(text, string, strlen(string));
}

void mr_text_add_char(struct mr_text *text, char c)
{
    mr_text_add_bytes(text, &c, 1);
}

void mr_text_add_repeat(struct mr_text *text, char c, size_t count)
{
    for (size_t i = 0; i < count; i++) mr_text_add_char(text, c);
}

void mr_text_add_uint(struct mr_text *text, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    mr_text_add_bytes(text, digits + at, sizeof digits - at);
}

void mr_text_add_int(struct mr_text *text, int64_t value)
{
    if (value < 0) mr_text_add_char(text, '-');
    mr_text_add_uint(text, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void mr_text_format(struct mr_text *text, const char *format, ...)
{
    char small[256];
    va_list args;
    int wanted;
    size_t size;
    char *large;

    va_start(args, format);
    wanted = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (wanted < 0) return;
    size = (size_t)wanted;
    if (size < sizeof small) {
        mr_text_add_bytes(text, small, size);
        return;
    }
    if (text->status != MR_OK) return;
    large = mr_alloc(text->heap, size + 1);
    if (large == NULL) {
        text->status = MR_E_NOMEM;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(large, size + 1, format, args);
    va_end(args);
    mr_text_add_bytes(text, large, size);
    mr_free(text->heap, large, size + 1);
}

static void add_escaped(struct mr_text *text, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    switch (c) {
    case '"': mr_text_add(text, "\\\""); break;
    case '\\': mr_text_add(text, "\\\\"); break;
    case '\n': mr_text_add(text, "\\n"); break;
    case '\r': mr_text_add(text, "\\r"); break;
    case '\t': mr_text_add(text, "\\t"); break;
    default:
        mr_text_add(text, "\\u00");
        mr_text_add_char(text, hex[c >> 4]);
        mr_text_add_char(text, hex[c & 15]);
        break;
    }
}

void mr_text_add_quoted(struct mr_text *text, const char *string, size_t size_bytes)
{
    size_t plain = 0; /* start of the stretch that needs no escape */

    mr_text_add_char(text, '"');
    for (size_t i = 0; i < size_bytes; i++) {
        unsigned char c = (unsigned char)string[i];

        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f) continue;
        mr_text_add_bytes(text, string + plain, i - plain);
        add_escaped(text, c);
        plain = i + 1;
    }
    mr_text_add_bytes(text, string + plain, size_bytes - plain);
    mr_text_add_char(text, '"');
}

const char *mr_text_get(const struct mr_text *text)
{
    return text->data == NULL ? "" : text->data;
}

enum mr_status mr_text_status(const struct mr_text *text)
{
    return text->status;
}
