// Lines on stderr, and one line of progress below them.
#include "vitrain/base/log.h"

#include "vitrain/base/text.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static vt_log_level most_shown = VT_LOG_INFO;
static bool progress_shown;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void vt_log_set_level(vt_log_level most)
{
    most_shown = most;
}

bool vt_log_is_terminal(void)
{
    return isatty(STDERR_FILENO);
}

static void clear_progress(void)
{
    if (progress_shown) fputs("\r\033[K", stderr);
    progress_shown = false;
}

void vt_log(vt_log_level level, const char *format, ...)
{
    static const char *const prefix[] = {"error: ", "warning: ", "", ""};
    if (level > most_shown) return;
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    vt_text_one_line(text);
    pthread_mutex_lock(&lock);
    clear_progress();
    fprintf(stderr, "%s%s\n", prefix[level], text);
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}

void vt_log_progress(const char *text)
{
    if (most_shown < VT_LOG_INFO || !vt_log_is_terminal()) return;
    pthread_mutex_lock(&lock);
    clear_progress();
    if (text) {
        fputs(text, stderr);
        progress_shown = true;
    }
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}
