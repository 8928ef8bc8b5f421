#include "common/error.h"

#include <stdarg.h>

#include "common/slice.h"

#include "common/banned.h"

/* Four bytes more than a message holds show whether a character crosses its end. */
enum { ROOM = sizeof(((struct error *)0)->message), SPARE = 4 };

static void keep(struct error *err, const char *text)
{
    struct slice cut = slice_cut_utf8(slice_of_string(text), ROOM - 1);
    memcpy(err->message, cut.data, cut.len);
    err->message[cut.len] = '\0';
}

int error_set(struct error *err, enum error_kind kind, const char *format, ...)
{
    char text[ROOM + SPARE] = "";
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err->kind = kind;
    keep(err, text);
    return -1;
}

int error_prefix(struct error *err, const char *format, ...)
{
    char text[2 * ROOM + SPARE] = "";
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, ROOM + SPARE, format, args);
    va_end(args);
    size_t len = slice_cut_utf8(slice_of_string(text), ROOM - 1).len;
    (void)snprintf(text + len, sizeof(text) - len, ": %s", err->message);
    keep(err, text);
    return -1;
}
