// SIGINT and SIGTERM, for commands that end in good order.
#include "commands.h"

static volatile sig_atomic_t interrupted;

// The first signal asks for an end; the next one ends at once.
static void on_signal(int number)
{
    interrupted = number;
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
}

const volatile sig_atomic_t *vt_catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &interrupted;
}
