// Signals, for commands that end in good order.
#include "commands.h"

#include <errno.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

// Asks for an end. Whoever presses Ctrl-C again wants it at once; SIGTERM may come twice by itself,
// from who ends a whole group and from a parent in it.
static void on_signal(int number)
{
    interrupted = number;
    if (number != SIGINT) return;
    static const char said[] = "\nending in good order; Ctrl-C again ends at once\n";
    const int error = errno;
    const ssize_t written = write(STDERR_FILENO, said, sizeof said - 1);
    (void)written; // there may be nobody to tell
    errno = error;
    signal(SIGINT, SIG_DFL);
}

const volatile sig_atomic_t *vt_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, hangup;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    // A terminal that goes away, but for a program that is to outlive it (nohup).
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
    return &interrupted;
}
