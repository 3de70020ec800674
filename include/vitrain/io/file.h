// Whole files: read within a bound, written so that a crash leaves the old one or the new one.
#ifndef VITRAIN_IO_FILE_H
#define VITRAIN_IO_FILE_H

#include "vitrain/base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

// The content of a regular file, with a NUL behind it (not counted in *bytes); free() it. VT_ERR_IO
// with the reason; VT_ERR_FORMAT if it is larger than max_bytes; VT_ERR_MEMORY.
vt_status vt_file_read(unsigned char **out, size_t *bytes, const char *path, size_t max_bytes);

// The same into memory that is kept from file to file, and to be released after an error too. data:
// (capacity) malloc'd.
typedef struct vt_file_buffer {
    unsigned char *data;
    size_t bytes, capacity;
} vt_file_buffer;

vt_status vt_file_load(vt_file_buffer *buffer, const char *path, size_t max_bytes);
void vt_file_buffer_free(vt_file_buffer *buffer); // takes a zeroed one

// Maps a regular file for reading. VT_ERR_IO, whose message does not name it. An empty file is NULL
// and 0 bytes.
vt_status vt_file_map(unsigned char **map, size_t *bytes, const char *path);
void vt_file_unmap(unsigned char *map, size_t bytes); // takes NULL

// Writing through a temporary file beside `path`, PATH.tmp: begin, write to the stream, then commit
// (flush, fsync, rename, fsync of the folder) or abandon. The old file is there until then, so both
// need their space; two writers of one path would spoil each other's. begin: VT_ERR_IO (also where
// `path` is there and no regular file), VT_ERR_MEMORY. commit reports any write error of the stream
// (VT_ERR_IO), and leaves the old file in place then. After an error of either there is nothing to
// abandon.
typedef struct vt_atomic_file {
    FILE *stream;
    char *path, *temporary;
} vt_atomic_file;

vt_status vt_atomic_begin(vt_atomic_file *file, const char *path);
vt_status vt_atomic_commit(vt_atomic_file *file);
void vt_atomic_abandon(vt_atomic_file *file); // takes a zeroed or committed one too
vt_status vt_file_write(const char *path, const void *data, size_t bytes); // all in one

// One process at a time: makes the folder and takes FOLDER/.lock. *fd: close() it to let go (it is
// also inherited by children), -1 if another process has it.
vt_status vt_folder_lock(int *fd, const char *folder);

bool vt_file_exists(const char *path);
bool vt_is_directory(const char *path);
vt_status vt_make_directories(const char *path); // as mkdir -p; VT_ERR_IO, VT_ERR_MEMORY

// Of these each is NULL when out of memory. malloc'd: `name` itself if absolute or `folder` is "",
// else folder/name.
char *vt_path_join(const char *folder, const char *name);
// malloc'd: the folder that holds path ("." if it has none).
char *vt_path_folder(const char *path);
// malloc'd: path made absolute against the working directory and freed of ".", ".." and needless
// slashes, by its text alone (no links resolved); NULL also where the working directory is gone.
char *vt_path_absolute(const char *path);

#endif
