// See the header.
#include "folder.h"

#include "vitrain/io/file.h"

#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/vitrain_test_XXXXXX";

int folder_make(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *ftw)
{
    (void)info, (void)type, (void)ftw;
    return remove(path);
}

int folder_remove(void **state)
{
    (void)state;
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *in_folder(const char *name)
{
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

void put_file(const char *path, const void *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static struct rlimit file_size;
static void (*on_full_disk)(int);

void begin_full_disk(void)
{
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &file_size), 0);
    struct rlimit low = file_size;
    low.rlim_cur = 10000;
    on_full_disk = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
}

void end_full_disk(void)
{
    setrlimit(RLIMIT_FSIZE, &file_size);
    signal(SIGXFSZ, on_full_disk);
}

const char *shared_data(const char *name)
{
    static char path[4096];
    const char *root = getenv("VT_SHARED_DATA");
    snprintf(path, sizeof path, "%s/%s", root ? root : "../shared/data", name);
    return vt_file_exists(path) ? path : NULL;
}
