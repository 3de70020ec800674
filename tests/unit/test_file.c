// file.c: bounded reading, atomic writing, folders and paths.
#include "vitrain/io/file.h"

#include "folder.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void assert_content(const char *path, const char *text)
{
    unsigned char *data = NULL;
    size_t bytes = 0;
    assert_int_equal(vt_file_read(&data, &bytes, path, 1000), VT_OK);
    assert_int_equal(bytes, strlen(text));
    assert_string_equal(data, text); // there is a NUL behind it
    free(data);
}

static void test_read(void **state)
{
    (void)state;
    unsigned char *data = NULL;
    size_t bytes;
    const char *path = in_folder("r");
    assert_int_equal(vt_file_read(&data, &bytes, path, 10), VT_ERR_IO);
    assert_non_null(strstr(vt_error_message(), path));
    put_file(path, "", 0);
    assert_content(path, "");
    put_file(path, "12345", 5);
    assert_content(path, "12345");
    assert_int_equal(vt_file_read(&data, &bytes, path, 5), VT_OK);
    free(data);
    assert_int_equal(vt_file_read(&data, &bytes, path, 4), VT_ERR_FORMAT);
    assert_int_equal(vt_file_read(&data, &bytes, in_folder(""), 4), VT_ERR_IO);
    assert_non_null(strstr(vt_error_message(), "is a folder"));
    const char *fifo = in_folder("fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(vt_file_read(&data, &bytes, fifo, 4), VT_ERR_IO); // does not wait
    assert_int_equal(vt_file_write(fifo, "x", 1), VT_ERR_IO);
}

static void test_atomic(void **state)
{
    (void)state;
    const char *path = in_folder("a");
    vt_atomic_file file = {0};
    vt_atomic_abandon(&file);
    assert_int_equal(vt_file_write(path, "old", 3), VT_OK);
    assert_content(path, "old");

    assert_int_equal(vt_atomic_begin(&file, path), VT_OK);
    fputs("new", file.stream);
    assert_content(path, "old"); // until the commit
    char *temporary = strdup(file.temporary);
    assert_true(vt_file_exists(temporary));
    assert_int_equal(vt_atomic_commit(&file), VT_OK);
    assert_content(path, "new");
    assert_false(vt_file_exists(temporary));
    vt_atomic_abandon(&file);
    assert_content(path, "new");

    assert_int_equal(vt_atomic_begin(&file, path), VT_OK);
    fputs("never", file.stream);
    vt_atomic_abandon(&file);
    assert_content(path, "new");
    assert_false(vt_file_exists(temporary));
    free(temporary);

    assert_int_equal(vt_file_write(in_folder("none/x"), "x", 1), VT_ERR_IO);
    assert_int_equal(vt_file_write(in_folder(""), "x", 1), VT_ERR_IO);
    assert_int_equal(vt_atomic_begin(&file, in_folder("none/x")), VT_ERR_IO);
    vt_atomic_abandon(&file);
}

// A write that fails half-way (here by the limit on a file's size) is reported and leaves the old
// file.
static void test_write_error(void **state)
{
    (void)state;
    const char *path = in_folder("w");
    assert_int_equal(vt_file_write(path, "old", 3), VT_OK);
    begin_full_disk();
    char *big = calloc(1, 100000);
    vt_status status = vt_file_write(path, big, 100000);
    end_full_disk();
    free(big);
    assert_int_equal(status, VT_ERR_IO);
    assert_non_null(strstr(vt_error_message(), path));
    assert_content(path, "old");
    char temporary[600];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    assert_false(vt_file_exists(temporary));
}

static void test_folders(void **state)
{
    (void)state;
    const char *deep = in_folder("p/q//r/");
    assert_int_equal(vt_make_directories(deep), VT_OK);
    assert_true(vt_is_directory(deep));
    assert_int_equal(vt_make_directories(deep), VT_OK);
    assert_int_equal(vt_make_directories("/"), VT_OK);
    const char *path = in_folder("p/file");
    put_file(path, "x", 1);
    assert_false(vt_is_directory(path));
    assert_true(vt_file_exists(path));
    assert_false(vt_file_exists(in_folder("p/none")));
    assert_int_equal(vt_make_directories(in_folder("p/file/s")), VT_ERR_IO);
    assert_non_null(strstr(vt_error_message(), "p/file"));
    assert_int_equal(vt_make_directories(path), VT_ERR_IO);
    assert_int_equal(symlink("nowhere", in_folder("p/link")), 0);
    assert_int_equal(vt_make_directories(in_folder("p/link")), VT_ERR_IO);
    assert_non_null(strstr(vt_error_message(), strerror(EEXIST))); // the making, not the looking
}

static void assert_path(char *got, const char *expected)
{
    assert_string_equal(got, expected);
    free(got);
}

static void test_paths(void **state)
{
    (void)state;
    assert_path(vt_path_join("a", "b"), "a/b");
    assert_path(vt_path_join("a/", "b"), "a/b");
    assert_path(vt_path_join("", "b"), "b");
    assert_path(vt_path_join("a", "/b"), "/b");
    assert_path(vt_path_folder("a/b"), "a");
    assert_path(vt_path_folder("/b"), "/");
    assert_path(vt_path_folder("b"), ".");
    assert_path(vt_path_absolute("/x/../y"), "/y");
    assert_path(vt_path_absolute("//x//./y/z/.././/"), "/x/y");
    assert_path(vt_path_absolute("/../.."), "/");
    assert_path(vt_path_absolute("/..x/.y/..."), "/..x/.y/...");
    char here[4096], expected[4200];
    assert_non_null(getcwd(here, sizeof here));
    snprintf(expected, sizeof expected, "%s/x/y", here);
    assert_path(vt_path_absolute("x/y"), expected);
    assert_path(vt_path_absolute(".//./x/y"), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),        cmocka_unit_test(test_atomic),
        cmocka_unit_test(test_write_error), cmocka_unit_test(test_folders),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
