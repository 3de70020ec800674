// A temporary folder for one test program, and files in it.
#ifndef VITRAIN_TESTS_FOLDER_H
#define VITRAIN_TESTS_FOLDER_H

#include <stddef.h>

int folder_make(void **state);   // cmocka group set-up: makes the folder
int folder_remove(void **state); // tear-down: removes it with all that is in it

// The path of `name` in the folder; valid until the fourth call after it.
const char *in_folder(const char *name);

void put_file(const char *path, const void *data, size_t bytes); // fails the test on an error

// Writes beyond 10,000 bytes of a file fail with EFBIG, as on a full disk, until end_full_disk.
void begin_full_disk(void);
void end_full_disk(void);

// $VT_SHARED_DATA/name or ../shared/data/name; NULL if it is not there.
const char *shared_data(const char *name);

#endif
