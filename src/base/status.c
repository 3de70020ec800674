// Status codes and the per-thread message.
#include "vitrain/base/status.h"

#include "vitrain/base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { VT_MESSAGE_BYTES = 2048 };

static _Thread_local char message[VT_MESSAGE_BYTES];

const char *vt_status_name(vt_status status)
{
    switch (status) {
#define VT_STATUS_CASE(code, exit_status, name) \
    case code: return name;
        VT_STATUS_TABLE(VT_STATUS_CASE)
#undef VT_STATUS_CASE
    }
    return "unknown";
}

int vt_status_exit(vt_status status)
{
    switch (status) {
#define VT_STATUS_CASE(code, exit_status, name) \
    case code: return exit_status;
        VT_STATUS_TABLE(VT_STATUS_CASE)
#undef VT_STATUS_CASE
    }
    return 1;
}

vt_status vt_fail(vt_status code, const char *format, ...)
{
    char text[VT_MESSAGE_BYTES]; // the arguments may point into `message`
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vt_text_one_line(text);
    strcpy(message, text);
    return code;
}

vt_status vt_fail_within(vt_status code, const char *prefix)
{
    return vt_fail(code, "%s: %s", prefix, message);
}

const char *vt_error_message(void)
{
    return message;
}
