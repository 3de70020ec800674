// runlog.c: appending lines and dropping those after a checkpoint.
#include "vitrain/io/runlog.h"

#include "vitrain/io/file.h"

#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void append(const char *path, int epoch)
{
    vt_json *line = vt_json_new_object();
    vt_json_add_number(line, "epoch", epoch);
    vt_json_add_string(line, "s", "a\nb");
    assert_int_equal(vt_runlog_append(path, line), VT_OK);
    vt_json_destroy(line);
}

static void assert_content(const char *path, const char *expected)
{
    unsigned char *data;
    size_t bytes;
    assert_int_equal(vt_file_read(&data, &bytes, path, 10000), VT_OK);
    assert_string_equal(data, expected);
    free(data);
}

#define LINE(epoch) "{\"epoch\": " epoch ", \"s\": \"a\\nb\"}\n"

static void test_append_and_truncate(void **state)
{
    (void)state;
    const char *path = in_folder("log.jsonl");
    assert_int_equal(vt_runlog_truncate(path, "epoch", 3), VT_OK); // no file yet
    assert_false(vt_file_exists(path));
    for (int epoch = 0; epoch < 4; epoch++) append(path, epoch);
    assert_content(path, LINE("0") LINE("1") LINE("2") LINE("3"));
    assert_int_equal(vt_runlog_truncate(path, "epoch", 4), VT_OK);
    assert_content(path, LINE("0") LINE("1") LINE("2") LINE("3"));
    assert_int_equal(vt_runlog_truncate(path, "epoch", 2), VT_OK);
    assert_content(path, LINE("0") LINE("1"));
    append(path, 2);
    assert_content(path, LINE("0") LINE("1") LINE("2"));
    assert_int_equal(vt_runlog_truncate(path, "epoch", 0), VT_OK);
    assert_content(path, "");
}

static void test_half_written_lines(void **state)
{
    (void)state;
    const char *path = in_folder("broken.jsonl");
    static const char text[] = LINE("0") "{\"epo\n{\"other\": 9}\n[1]\n" LINE("1") "{\"epoch\": 2";
    put_file(path, text, sizeof text - 1);
    assert_int_equal(vt_runlog_truncate(path, "epoch", 5), VT_OK);
    assert_content(path, LINE("0") "{\"other\": 9}\n[1]\n" LINE("1"));
    append(path, 2);
    assert_content(path, LINE("0") "{\"other\": 9}\n[1]\n" LINE("1") LINE("2"));
}

static void test_errors(void **state)
{
    (void)state;
    vt_json *line = vt_json_new_object();
    assert_int_equal(vt_runlog_append(in_folder("none/log"), line), VT_ERR_IO);
    assert_non_null(strstr(vt_error_message(), "none/log: cannot write: No such file"));
    assert_int_equal(vt_runlog_append("/dev/full", line), VT_ERR_IO);
    assert_int_equal(vt_runlog_append(in_folder("log"), NULL), VT_ERR_MEMORY);
    assert_int_equal(vt_runlog_truncate(in_folder(""), "epoch", 0), VT_ERR_IO);
    vt_json_destroy(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_and_truncate),
        cmocka_unit_test(test_half_written_lines),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
