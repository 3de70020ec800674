// Messages for people, on stderr (never stdout). The command line sets the level.
#ifndef VITRAIN_BASE_LOG_H
#define VITRAIN_BASE_LOG_H

#include <stdbool.h>

typedef enum vt_log_level { VT_LOG_ERROR, VT_LOG_WARN, VT_LOG_INFO, VT_LOG_DEBUG } vt_log_level;

void vt_log_set_level(vt_log_level most); // messages above it are dropped; VT_LOG_INFO at start

// One line, whatever a name puts into it: control characters become '?'; a newline is added. Lines
// of different threads do not mix.
void vt_log(vt_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

// A text that overwrites itself (a progress bar): shown only when stderr is a terminal and the
// level is at least INFO; vt_log() clears it first. NULL ends it.
void vt_log_progress(const char *text);
bool vt_log_is_terminal(void);

#endif
