// SIGINT and SIGTERM, for commands that end in good order.
#include "commands.h"

static volatile sig_atomic_t interrupted;

// Asks for an end. Whoever presses Ctrl-C again wants it at once; SIGTERM may come twice by itself, from
// who ends a whole group and from a parent in it.
static void on_signal(int number)
{
    interrupted = number;
    if (number == SIGINT) signal(SIGINT, SIG_DFL);
}

const volatile sig_atomic_t *vt_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &interrupted;
}
