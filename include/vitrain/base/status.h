// Errors. Every fallible function returns a vt_status; the sentence that goes with it (file, key or
// tensor; expected; got) is kept per thread and read with vt_error_message(). The library never
// prints to stdout and never exits.
#ifndef VITRAIN_BASE_STATUS_H
#define VITRAIN_BASE_STATUS_H

// code, exit status of the program, name
#define VT_STATUS_TABLE(X)                                                                        \
    X(VT_OK, 0, "ok")                                                                             \
    X(VT_ERR_USAGE, 2, "usage")             /* wrong command line */                              \
    X(VT_ERR_CONFIG, 2, "config")           /* wrong configuration: syntax, key, type, range */   \
    X(VT_ERR_IO, 1, "io")                   /* a file cannot be opened, read or written */        \
    X(VT_ERR_FORMAT, 1, "format")           /* a file's content is not what its format demands */ \
    X(VT_ERR_SHAPE, 1, "shape")             /* a tensor has another shape or type than needed */  \
    X(VT_ERR_MEMORY, 1, "memory")           /* out of memory, or a size that overflows */         \
    X(VT_ERR_UNSUPPORTED, 1, "unsupported") /* right, but not to be had in this build */          \
    X(VT_ERR_NUMERIC, 1, "numeric")         /* a loss or gradient that is not finite */           \
    X(VT_ERR_DATA, 1, "data")               /* too many unreadable samples, empty data */         \
    X(VT_INTERRUPTED, 130, "interrupted")   /* SIGINT or SIGTERM, after a checkpoint */

typedef enum vt_status {
#define VT_STATUS_ENUM(code, exit_status, name) code,
    VT_STATUS_TABLE(VT_STATUS_ENUM)
#undef VT_STATUS_ENUM
} vt_status;

const char *vt_status_name(vt_status status);
int vt_status_exit(vt_status status); // the program's exit status for it

// Records the message of this thread and returns `code`. It is one line, whatever a file's name or
// content puts into it: control characters become '?'.
vt_status vt_fail(vt_status code, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Puts "prefix: " in front of the recorded message (a caller that knows which file it was).
vt_status vt_fail_within(vt_status code, const char *prefix);

// The message recorded last in this thread; "" if none. Valid until the next vt_fail here.
const char *vt_error_message(void);

// Forwards an error to the caller.
#define VT_TRY(call)                                        \
    do {                                                    \
        vt_status vt_try_status_ = (call);                  \
        if (vt_try_status_ != VT_OK) return vt_try_status_; \
    } while (0)

// The same in a function that has something to release: sets `status`, goes to `fail`.
#define VT_TRY_OR_FAIL(status, call)      \
    do {                                  \
        (status) = (call);                \
        if ((status) != VT_OK) goto fail; \
    } while (0)

#define VT_REQUIRE(condition, code, ...)                       \
    do {                                                       \
        if (!(condition)) return vt_fail((code), __VA_ARGS__); \
    } while (0)

#endif
