// safetensors.c: files written by us and by hand, read back; everything that must be refused.
#include "vitrain/io/safetensors.h"

#include "vitrain/base/bytes.h"
#include "vitrain/io/file.h"

#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// Writes a file of this header and `n` bytes of data (0, 1, 2 ...) and opens it.
static vt_status open_text(vt_st_file **file, const char *header, size_t n)
{
    unsigned char content[4096];
    size_t length = strlen(header);
    vt_put_le64(content, length);
    memcpy(content + 8, header, length);
    for (size_t i = 0; i < n; i++) content[8 + length + i] = (unsigned char)i;
    const char *path = in_folder("text.safetensors");
    put_file(path, content, 8 + length + n);
    *file = NULL;
    return vt_st_open(file, path);
}

static void test_foreign_file(void **state)
{
    (void)state;
    vt_st_file *file;
    // Odd header length, entries not in the order of offsets, an empty tensor, a scalar, spaces.
    assert_int_equal(
        open_text(&file,
                  "{\"b\": {\"dtype\":\"F32\",\"shape\":[2, 1],\"data_offsets\":[3,11]},\n"
                  "\"__metadata__\":{\"format\":\"pt\"},"
                  "\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3],\"x\":1},"
                  "\"e\":{\"dtype\":\"I64\",\"shape\":[4,0],\"data_offsets\":[3,3]},"
                  "\"s\":{\"dtype\":\"BF16\",\"shape\":[],\"data_offsets\":[11,13]}}   ",
                  13),
        VT_OK);
    assert_int_equal(vt_st_count(file), 4);
    static const char *const order[] = {"a", "e", "b", "s"};
    for (size_t i = 0; i < 4; i++) assert_string_equal(vt_st_at(file, i)->name, order[i]);
    assert_string_equal(vt_st_metadata(file, "format"), "pt");
    assert_null(vt_st_metadata(file, "none"));
    assert_null(vt_st_find(file, "__metadata__"));
    const vt_st_tensor *s = vt_st_find(file, "s");
    assert_int_equal(s->ndim, 0);
    assert_int_equal(s->count, 1);
    assert_int_equal(s->bytes, 2);
    assert_int_equal(vt_st_find(file, "e")->count, 0);
    vt_real got[2];
    float expected[2];
    unsigned char raw[8] = {3, 4, 5, 6, 7, 8, 9, 10};
    memcpy(expected, raw, 8);
    assert_int_equal(vt_st_get_real(file, "b", 2, (int64_t[]){2, 1}, got), VT_OK);
    for (int i = 0; i < 2; i++) assert_true((float)got[i] == expected[i]);
    vt_st_close(file);
    vt_st_close(NULL);
    assert_int_equal(open_text(&file, "{}", 0), VT_OK);
    assert_int_equal(vt_st_count(file), 0);
    assert_null(vt_st_find(file, "a"));
    vt_st_close(file);
}

#define T(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *header, *message; // with 8 bytes of data
    } cases[] = {
        {"", "header:1:1: "},
        {"[]", "expected an object"},
        {"{" T("a", "F32", "[2]", "[0,8]"), "header:1:54: "},
        {"{}", "8 bytes of data, expected 0"},
        {"{\"a\":3}", "tensor a: expected an object, got a number"},
        {"{" T("a", "F31", "[2]", "[0,8]") "}", "tensor a: dtype F31"},
        {"{\"a\":{\"dtype\":5,\"shape\":[2],\"data_offsets\":[0,8]}}", "tensor a: dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "tensor a: shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "tensor a: data_offsets"},
        {"{" T("a", "F32", "[-2]", "[0,8]") "}", "tensor a: shape"},
        {"{" T("a", "F32", "[2.5]", "[0,8]") "}", "tensor a: shape"},
        {"{" T("a", "F32", "[1e30]", "[0,8]") "}", "tensor a: shape"},
        {"{" T("a", "F32", "[\"2\"]", "[0,8]") "}", "tensor a: shape"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]") "}", "tensor a: shape"},
        {"{" T("a", "F32", "[4294967296,4294967296]", "[0,8]") "}", "tensor a: its shape exceeds"},
        {"{" T("a", "F64", "[1048576,1048576,2097152]", "[0,8]") "}", "tensor a: its shape"},
        {"{" T("a", "F32", "[3]", "[0,8]") "}", "tensor a: its shape and dtype take 12 bytes"},
        {"{" T("a", "F32", "[3]", "[0,12]") "}", "tensor a: ends at byte 12 of 8"},
        {"{" T("a", "F32", "[2]", "[8,0]") "}", "tensor a: data_offsets"},
        {"{" T("a", "F32", "[2]", "[0,8,9]") "}", "tensor a: data_offsets"},
        {"{" T("a", "F32", "[1]", "[4,8]") "}", "tensor a: begins at byte 4, expected 0"},
        {"{" T("a", "F32", "[1]", "[0,4]") "}", "8 bytes of data, expected 4"},
        {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[1]", "[4,8]") "}",
         "tensor b: begins at byte 4, expected 8"},
        {"{" T("a", "F32", "[2]", "[0,8]") "," T("b", "F32", "[2]", "[0,8]") "}",
         "tensor b: begins at byte 0, expected 8"},
        {"{" T("a", "U8", "[1]", "[0,1]") "," T("b", "U8", "[6]", "[2,8]") "}",
         "tensor b: begins at byte 2, expected 1"},
        {"{" T("a", "U8", "[0]", "[9,9]") "}", "tensor a: ends at byte 9 of 8"},
        {"{" T("a", "F32", "[2]", "[-8,0]") "}", "tensor a: data_offsets"},
        {"{" T("a", "F32", "[2]", "[9007199254740984,9007199254740992]") "}", "tensor a: ends at"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}",
         "this key was given before: \"a\""},
        {"{\"__metadata__\":{\"a\":1}," T("a", "F32", "[2]", "[0,8]") "}", "__metadata__: a"},
        {"{\"__metadata__\":1," T("a", "F32", "[2]", "[0,8]") "}", "__metadata__"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_st_file *file;
        assert_int_equal(open_text(&file, cases[i].header, 8), VT_ERR_FORMAT);
        assert_null(file);
        const char *got = vt_error_message();
        if (!strstr(got, cases[i].message) || !strstr(got, "text.safetensors: ")) {
            fail_msg("%s: expected %s, got %s", cases[i].header, cases[i].message, got);
        }
    }
    vt_st_file *file = NULL;
    const char *path = in_folder("bad");
    assert_int_equal(vt_st_open(&file, path), VT_ERR_IO);
    assert_int_equal(vt_st_open(&file, in_folder("")), VT_ERR_IO);
    put_file(path, "", 0);
    assert_int_equal(vt_st_open(&file, path), VT_ERR_FORMAT);
    put_file(path, "\0\0\0\0\0\0\0\x80{}", 10);
    assert_int_equal(vt_st_open(&file, path), VT_ERR_FORMAT);
    put_file(path, "\0\0\0\x80\0\0\0\0{}", 10); // a header of 2 GB: nothing is allocated for it
    assert_int_equal(vt_st_open(&file, path), VT_ERR_FORMAT);
    assert_non_null(strstr(vt_error_message(), "header of 2147483648 bytes, expected at most"));
    put_file(path, "\4\0\0\0\0\0\0\0{}", 10);
    assert_int_equal(vt_st_open(&file, path), VT_ERR_FORMAT);
    assert_null(file);
}

static const vt_real reals[6] = {1, -2.5f, 0, 1e-30f, 3e38f, 7};
static const int64_t integers[3] = {-1, INT64_MAX, 5};
static const vt_st_entry entries[] = {
    {"blocks.0.w", VT_F32, 2, {2, 3}, reals}, {"scalar", VT_F32, 0, {0}, reals + 1},
    {"empty", VT_F32, 2, {0, 7}, NULL},       {"odd \"name\"", VT_U8, 1, {3}, "abc"},
    {"labels", VT_I64, 1, {3}, integers},
};
static const vt_st_meta metadata[] = {
    {"format", "pt"}, {"config", "{\"a\": [1]}\n"}, {"latin", "caf\xE9"}};
enum { N_ENTRIES = sizeof entries / sizeof *entries };

static const char *write_example(void)
{
    const char *path = in_folder("example.safetensors");
    assert_int_equal(vt_st_write(path, entries, N_ENTRIES, metadata, 3), VT_OK);
    return path;
}

static void test_write(void **state)
{
    (void)state;
    const char *path = write_example();
    vt_st_file *file;
    assert_int_equal(vt_st_open(&file, path), VT_OK);
    assert_string_equal(vt_st_path(file), path);
    assert_int_equal(vt_st_count(file), N_ENTRIES);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(vt_st_metadata(file, metadata[i].key), metadata[i].value);
    }
    assert_string_equal(vt_st_metadata(file, "latin"), "caf\xEF\xBF\xBD"); // U+FFFD
    const vt_st_tensor *first = vt_st_find(file, "blocks.0.w");
    assert_int_equal((uintptr_t)first->data % 8, 0); // the header is padded
    vt_real got[6];
    assert_int_equal(vt_st_get_real(file, "blocks.0.w", 2, (int64_t[]){2, 3}, got), VT_OK);
    for (int i = 0; i < 6; i++) assert_true((float)got[i] == (float)reals[i]);
    assert_int_equal(vt_st_get_real(file, "scalar", 0, NULL, got), VT_OK);
    assert_true(got[0] == reals[1]);
    const vt_st_tensor *labels;
    int64_t shape[1] = {-1};
    assert_int_equal(vt_st_get(file, "labels", VT_I64, 1, shape, &labels), VT_OK);
    assert_int_equal(shape[0], 3);
    assert_memory_equal(labels->data, integers, sizeof integers);
    assert_memory_equal(vt_st_find(file, "odd \"name\"")->data, "abc", 3);
    vt_st_close(file);
    assert_int_equal(vt_st_write(in_folder("none/x"), entries, 1, NULL, 0), VT_ERR_IO);
    assert_int_equal(vt_st_write(path, NULL, 0, NULL, 0), VT_OK);
    assert_int_equal(vt_st_open(&file, path), VT_OK);
    vt_st_close(file);
}

static void test_shape_errors(void **state)
{
    (void)state;
    vt_st_file *file;
    assert_int_equal(vt_st_open(&file, write_example()), VT_OK);
    const vt_st_tensor *t;
    assert_int_equal(vt_st_get(file, "blocks.0.w", VT_F32, 2, (int64_t[]){-1, 4}, &t),
                     VT_ERR_SHAPE);
    assert_non_null(strstr(vt_error_message(), "example.safetensors: tensor blocks.0.w: "
                                               "expected F32 [*, 4], got F32 [2, 3]"));
    assert_int_equal(vt_st_get(file, "labels", VT_F32, 1, (int64_t[]){3}, &t), VT_ERR_SHAPE);
    assert_non_null(strstr(vt_error_message(), "expected F32 [3], got I64 [3]"));
    assert_int_equal(vt_st_get(file, "w", VT_F32, 0, NULL, &t), VT_ERR_SHAPE);
    assert_non_null(strstr(vt_error_message(), "tensor w: expected F32 [], got none"));
    vt_real got[6];
    assert_int_equal(vt_st_get_real(file, "labels", 1, (int64_t[]){3}, got), VT_ERR_SHAPE);
    vt_st_close(file);
}

// A file cut short is refused at every length; one with a changed byte is refused or read in
// bounds.
static void test_damage(void **state)
{
    (void)state;
    unsigned char *data;
    size_t bytes;
    vt_st_file *file;
    assert_int_equal(vt_file_read(&data, &bytes, write_example(), 10000), VT_OK);
    const char *path = in_folder("damaged");
    for (size_t n = 0; n < bytes; n++) {
        put_file(path, data, n);
        assert_int_equal(vt_st_open(&file, path), VT_ERR_FORMAT);
    }
    for (size_t at = 0; at < bytes; at++) {
        for (int flip = 1; flip < 256; flip <<= 1) {
            data[at] ^= (unsigned char)flip;
            put_file(path, data, bytes);
            vt_status status = vt_st_open(&file, path);
            data[at] ^= (unsigned char)flip;
            if (status != VT_OK) continue;
            unsigned sum = 0;
            for (size_t i = 0; i < vt_st_count(file); i++) {
                const vt_st_tensor *t = vt_st_at(file, i);
                assert_ptr_equal(vt_st_find(file, t->name), t);
                for (size_t k = 0; k < t->bytes; k++) sum += t->data[k];
            }
            assert_true(sum < 1000000);
            vt_st_close(file);
        }
    }
    free(data);
}

static void test_published_weights(void **state)
{
    (void)state;
    const char *path = shared_data("deit_tiny_patch16_224.safetensors");
    if (!path) {
        print_message("skipped: no DeiT-Tiny weights in $VT_SHARED_DATA or ../shared/data\n");
        skip();
    }
    vt_st_file *file;
    assert_int_equal(vt_st_open(&file, path), VT_OK);
    assert_int_equal(vt_st_count(file), 152);
    size_t parameters = 0;
    for (size_t i = 0; i < 152; i++) parameters += vt_st_at(file, i)->count;
    assert_int_equal(parameters, 5717416);
    const vt_st_tensor *t;
    assert_int_equal(vt_st_get(file, "pos_embed", VT_F32, 3, (int64_t[]){1, 197, 192}, &t), VT_OK);
    vt_st_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_foreign_file), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_write),        cmocka_unit_test(test_shape_errors),
        cmocka_unit_test(test_damage),       cmocka_unit_test(test_published_weights),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
