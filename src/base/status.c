/* status.c - see status.h. The only file of the pure modules that formats with the C library. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct status_info {
    const char *name;
    enum mr_status_class class;
    const char *text;
};

static const struct status_info infos[] = {
#define STATUS_INFO(name, cls, text) {#name, MR_CLASS_##cls, text},
    MR_STATUS_MAP(STATUS_INFO)
#undef STATUS_INFO
};

static const struct status_info *info_of(enum mr_status status)
{
    static const struct status_info unknown = {"MR_E_UNKNOWN", MR_CLASS_FATAL, "unknown status"};

    return (size_t)status < MR_COUNT(infos) ? &infos[status] : &unknown;
}

enum mr_status_class mr_status_class(enum mr_status status)
{
    return info_of(status)->class;
}

const char *mr_status_name(enum mr_status status)
{
    return info_of(status)->name;
}

const char *mr_status_text(enum mr_status status)
{
    return info_of(status)->text;
}

/* A cut text must not end inside a UTF-8 character: terminals show the rest of the line wrong. */
static void end_at_character(char *text)
{
    size_t size = strlen(text);
    size_t start = size;

    while (start > 0 && size - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0) return;

    unsigned char lead = (unsigned char)text[start - 1];
    size_t wants = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;

    if (wants > 1 && size - (start - 1) < wants) text[start - 1] = '\0';
}

enum mr_status mr_error_set(struct mr_error *err, enum mr_status status, const char *format, ...)
{
    va_list args;
    int wanted;

    if (err == NULL) return status;
    err->status = status;
    va_start(args, format);
    wanted = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (wanted < 0) {
        (void)snprintf(err->text, sizeof err->text, "%s", mr_status_text(status));
    } else if ((size_t)wanted >= sizeof err->text) {
        end_at_character(err->text);
    }
    return status;
}

void mr_error_context(struct mr_error *err, const char *format, ...)
{
    char head[MR_ERROR_TEXT_BYTES / 2];
    va_list args;
    size_t head_size;
    size_t text_size;

    if (err == NULL) return;
    va_start(args, format);
    if (vsnprintf(head, sizeof head, format, args) < 0) head[0] = '\0';
    va_end(args);
    end_at_character(head);
    head_size = strlen(head);
    text_size = strlen(err->text);
    if (text_size > sizeof err->text - 3 - head_size) text_size = sizeof err->text - 3 - head_size;
    memmove(err->text + head_size + 2, err->text, text_size);
    err->text[head_size + 2 + text_size] = '\0';
    memcpy(err->text, head, head_size);
    memcpy(err->text + head_size, ": ", 2);
    end_at_character(err->text);
}

void mr_error_clear(struct mr_error *err)
{
    if (err == NULL) return;
    err->status = MR_OK;
    err->text[0] = '\0';
}

enum mr_status mr_error_nomem(struct mr_error *err, const char *what, size_t wanted_bytes)
{
    return mr_error_set(err, MR_E_NOMEM,
                        "%s needs %zu more bytes of memory than the limit allows; raise --memory, "
                        "or lower --workers, the number of keys or the size of windows",
                        what, wanted_bytes);
}
