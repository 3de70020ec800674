// Whole files and paths; see the header.
#include "vitrain/io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static vt_status out_of_memory(const char *path)
{
    return vt_fail(VT_ERR_MEMORY, "%s: out of memory", path);
}

static vt_status fail_errno(const char *path, const char *what)
{
    return vt_fail(VT_ERR_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

// ---- reading ----

static vt_status grow(vt_file_buffer *buffer, size_t bytes, const char *path)
{
    if (bytes <= buffer->capacity) return VT_OK;
    vt_file_buffer_free(buffer); // nothing in it is worth a copy
    buffer->data = malloc(bytes);
    if (!buffer->data) return out_of_memory(path);
    buffer->capacity = bytes;
    return VT_OK;
}

static vt_status read_descriptor(vt_file_buffer *buffer, int fd, const char *path, size_t max_bytes)
{
    struct stat info;
    if (fstat(fd, &info) != 0) return fail_errno(path, "read");
    VT_REQUIRE(!S_ISDIR(info.st_mode), VT_ERR_IO, "%s: is a folder, expected a file", path);
    VT_REQUIRE(S_ISREG(info.st_mode), VT_ERR_IO, "%s: not a regular file", path);
    size_t size = (size_t)info.st_size, used = 0;
    VT_REQUIRE(size <= max_bytes, VT_ERR_FORMAT, "%s: %zu bytes, expected at most %zu", path, size,
               max_bytes);
    VT_TRY(grow(buffer, size + 1, path));
    while (used < size) {
        ssize_t got = read(fd, buffer->data + used, size - used);
        if (got == 0) break; // it has shrunk
        if (got > 0) used += (size_t)got;
        if (got < 0 && errno != EINTR) return fail_errno(path, "read");
    }
    buffer->data[used] = 0;
    buffer->bytes = used;
    return VT_OK;
}

vt_status vt_file_load(vt_file_buffer *buffer, const char *path, size_t max_bytes)
{
    // O_NONBLOCK: a FIFO must be refused, not waited for.
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return fail_errno(path, "open");
    vt_status status = read_descriptor(buffer, fd, path, max_bytes);
    close(fd);
    return status;
}

void vt_file_buffer_free(vt_file_buffer *buffer)
{
    free(buffer->data);
    *buffer = (vt_file_buffer){0};
}

vt_status vt_file_read(unsigned char **out, size_t *bytes, const char *path, size_t max_bytes)
{
    vt_file_buffer buffer = {0};
    vt_status status = vt_file_load(&buffer, path, max_bytes);
    if (status != VT_OK) {
        vt_file_buffer_free(&buffer);
        return status;
    }
    *out = buffer.data;
    *bytes = buffer.bytes;
    return VT_OK;
}

// ---- writing ----

// One name per path, so that what a killed run left behind is overwritten by the next one.
vt_status vt_atomic_begin(vt_atomic_file *file, const char *path)
{
    *file = (vt_atomic_file){0};
    struct stat info;
    VT_REQUIRE(stat(path, &info) != 0 || S_ISREG(info.st_mode), VT_ERR_IO,
               "%s: cannot write: not a regular file", path);
    file->path = strdup(path);
    if (!file->path || asprintf(&file->temporary, "%s.tmp", path) < 0) {
        file->temporary = NULL; // asprintf leaves it undefined
        vt_atomic_abandon(file);
        return out_of_memory(path);
    }
    file->stream = fopen(file->temporary, "wbe");
    if (!file->stream) {
        vt_status status = fail_errno(path, "write");
        vt_atomic_abandon(file);
        return status;
    }
    return VT_OK;
}

static void release(vt_atomic_file *file)
{
    free(file->path);
    free(file->temporary);
    *file = (vt_atomic_file){0};
}

// So that the rename itself survives a power cut. Some file systems cannot: nothing to be done
// then.
static void sync_folder(const char *path)
{
    char *folder = vt_path_folder(path);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

vt_status vt_atomic_commit(vt_atomic_file *file)
{
    errno = 0;
    int failed = fflush(file->stream) != 0 || ferror(file->stream) != 0;
    failed = failed || fsync(fileno(file->stream)) != 0;
    int reason = errno ? errno : EIO; // an earlier write's error is not kept in errno
    if (fclose(file->stream) != 0 && !failed) {
        failed = 1;
        reason = errno;
    }
    file->stream = NULL;
    if (!failed && rename(file->temporary, file->path) != 0) {
        failed = 1;
        reason = errno;
    }
    if (failed) {
        errno = reason;
        vt_status status = fail_errno(file->path, "write");
        vt_atomic_abandon(file);
        return status;
    }
    sync_folder(file->path);
    release(file);
    return VT_OK;
}

void vt_atomic_abandon(vt_atomic_file *file)
{
    if (file->stream) fclose(file->stream);
    if (file->temporary) unlink(file->temporary);
    release(file);
}

vt_status vt_file_write(const char *path, const void *data, size_t bytes)
{
    vt_atomic_file file;
    VT_TRY(vt_atomic_begin(&file, path));
    fwrite(data, 1, bytes, file.stream); // commit reports its error
    return vt_atomic_commit(&file);
}

// ---- folders and paths ----

vt_status vt_file_map(unsigned char **map, size_t *bytes, const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    VT_REQUIRE(fd >= 0, VT_ERR_IO, "cannot open: %s", strerror(errno));
    vt_status status = VT_OK;
    *map = NULL;
    *bytes = 0;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        status = vt_fail(VT_ERR_IO, "not a regular file");
    } else if (info.st_size > 0) {
        void *at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == MAP_FAILED) {
            status = vt_fail(VT_ERR_IO, "cannot map: %s", strerror(errno));
        } else {
            *map = at;
            *bytes = (size_t)info.st_size;
        }
    }
    close(fd);
    return status;
}

void vt_file_unmap(unsigned char *map, size_t bytes)
{
    if (map) munmap(map, bytes);
}

bool vt_file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool vt_is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

vt_status vt_make_directories(const char *path)
{
    char *prefix = strdup(path);
    if (!prefix) return out_of_memory(path);
    vt_status status = VT_OK;
    for (char *p = prefix; *p && status == VT_OK;) {
        p += strspn(p, "/");
        p += strcspn(p, "/");
        char kept = *p;
        *p = 0;
        if (mkdir(prefix, 0777) != 0) {
            const int why = errno; // before another call has its own
            const bool there = vt_is_directory(prefix);
            errno = why;
            if (!there) status = fail_errno(prefix, "make the folder");
        }
        *p = kept;
    }
    free(prefix);
    return status;
}

vt_status vt_folder_lock(int *fd, const char *folder)
{
    VT_TRY(vt_make_directories(folder));
    char *path = vt_path_join(folder, ".lock");
    if (!path) return out_of_memory(folder);
    vt_status status = VT_OK;
    *fd = open(path, O_RDWR | O_CREAT, 0666);
    if (*fd < 0) {
        status = fail_errno(path, "open");
    } else if (flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(*fd); // where there are no locks, one goes without
        *fd = -1;
    }
    free(path);
    return status;
}

char *vt_path_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    if (name[0] == '/' || length == 0) return strdup(name);
    char *path;
    const char *slash = folder[length - 1] == '/' ? "" : "/";
    return asprintf(&path, "%s%s%s", folder, slash, name) < 0 ? NULL : path;
}

char *vt_path_folder(const char *path)
{
    char *copy = strdup(path); // dirname writes into it, and may return a constant
    char *folder = copy ? strdup(dirname(copy)) : NULL;
    free(copy);
    return folder;
}

// Takes ".", "..", doubled and trailing slashes out of an absolute path, by its text alone.
static void fold(char *path)
{
    char *end = path; // of what is kept
    for (char *part = path; *part;) {
        part += strspn(part, "/");
        size_t length = strcspn(part, "/");
        if (length == 2 && memcmp(part, "..", 2) == 0) {
            while (end > path && *--end != '/') {
            }
        } else if (length > 0 && !(length == 1 && *part == '.')) {
            *end++ = '/';
            memmove(end, part, length);
            end += length;
        }
        part += length;
    }
    if (end == path) *end++ = '/';
    *end = '\0';
}

char *vt_path_absolute(const char *path)
{
    char *here = getcwd(NULL, 0);
    char *absolute = here ? vt_path_join(here, path) : NULL;
    free(here);
    if (absolute) fold(absolute);
    return absolute;
}
