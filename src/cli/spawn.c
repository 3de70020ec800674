// This program as its own child.
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_WORDS = 32 };
static const long MAX_ANSWER = 1 << 24;

// Between fork and exec only what is safe in a signal handler.
static void become_child(pid_t parent, char *const *argv, const int streams[3])
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) _exit(1); // it ended before that
    for (int i = 0; i < 3; i++)
        if (dup2(streams[i], i) < 0) _exit(1);
    execv("/proc/self/exe", argv);
    execvp(argv[0], argv);
    static const char failed[] = "vitrain: cannot start itself again\n";
    _exit(write(2, failed, sizeof failed - 1) < 0 ? 1 : 1);
}

static vt_status start(pid_t *child, const char *const *arguments, int out, int err)
{
    char *argv[MAX_WORDS + 2] = {program_invocation_name};
    int n = 0;
    for (; arguments[n]; n++) {
        VT_REQUIRE(n < MAX_WORDS, VT_ERR_USAGE, "a command of more than %d words", MAX_WORDS);
        argv[n + 1] = (char *)arguments[n]; // execv writes nothing into it
    }
    const int none = open("/dev/null", O_RDONLY | O_CLOEXEC);
    VT_REQUIRE(none >= 0, VT_ERR_IO, "/dev/null: %s", strerror(errno));
    // Threads that spin while they wait take the processors from those that decode pictures: one
    // run with two data workers on two cores was 1.5 times as fast without.
    setenv("OMP_WAIT_POLICY", "passive", 0);
    signal(SIGCHLD,
           SIG_DFL); // whoever started this program may ignore it: nothing could be waited for
    const pid_t parent = getpid();
    *child = fork();
    if (*child == 0) become_child(parent, argv, (const int[]){none, out, err});
    vt_status status =
        *child > 0 ? VT_OK
                   : vt_fail(VT_ERR_IO, "cannot start another process: %s", strerror(errno));
    close(none);
    return status;
}

vt_status vt_spawn(pid_t *child, const char *const *arguments, const char *messages)
{
    const int fd = open(messages, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    VT_REQUIRE(fd >= 0, VT_ERR_IO, "%s: cannot write: %s", messages, strerror(errno));
    vt_status status = start(child, arguments, fd, fd);
    close(fd);
    return status;
}

// The whole of a file that was written through its descriptor; malloc'd.
static char *content(FILE *file)
{
    long bytes = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    char *text = bytes >= 0 && bytes <= MAX_ANSWER ? calloc((size_t)bytes + 1, 1) : NULL;
    if (!text) return NULL;
    rewind(file);
    text[fread(text, 1, (size_t)bytes, file)] = '\0';
    return text;
}

// Records the last line of what a child said, without the program's name.
static vt_status fail_with_last_line(FILE *err)
{
    static const char name[] = "vitrain: ";
    char *text = content(err), *last = text ? text : "out of memory";
    const size_t bytes = strlen(last);
    if (text && bytes > 0 && text[bytes - 1] == '\n') text[bytes - 1] = '\0';
    char *newline = text ? strrchr(text, '\n') : NULL;
    if (newline) last = newline + 1;
    if (strncmp(last, name, sizeof name - 1) == 0) last += sizeof name - 1;
    vt_fail(VT_ERR_IO, "%s", *last ? last : "a process ended without a word");
    free(text);
    return VT_ERR_IO;
}

vt_status vt_spawn_and_read(char **out, const char *const *arguments)
{
    FILE *answer = tmpfile(), *messages = tmpfile();
    pid_t child;
    int code = 0;
    vt_status status = answer && messages
                           ? start(&child, arguments, fileno(answer), fileno(messages))
                           : vt_fail(VT_ERR_IO, "no temporary file: %s", strerror(errno));
    if (status == VT_OK) {
        while (waitpid(child, &code, 0) < 0 && errno == EINTR) {
        }
        if (WIFEXITED(code) && WEXITSTATUS(code) == 0) {
            *out = content(answer);
            if (!*out) status = vt_fail(VT_ERR_MEMORY, "out of memory for a process's answer");
        } else {
            status = fail_with_last_line(messages);
        }
    }
    if (answer) fclose(answer);
    if (messages) fclose(messages);
    return status;
}
