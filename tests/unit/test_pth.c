// torch.save's checkpoints (scripts/golden_pth.py) and damaged copies of one; sharded safetensors.
#include "folder.h"
#include "numcheck.h"

#include "vitrain/io/file.h"
#include "vitrain/io/pickle.h"
#include "vitrain/io/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN "tests/golden/weights.pth"

static void expect(const vt_st_file *file, const char *name, int ndim, const int64_t *shape,
                   const vt_real *values)
{
    vt_real got[8];
    VT_ASSERT_OK(vt_st_get_real(file, name, ndim, shape, got));
    const size_t count = vt_st_find(file, name)->count;
    for (size_t i = 0; i < count; i++)
        if (got[i] != values[i])
            fail_msg("%s[%zu]: expected %g, got %g", name, i, (double)values[i], (double)got[i]);
}

#define DIMS(...)                                                   \
    (sizeof(int64_t[]){__VA_ARGS__} / sizeof(int64_t)), (int64_t[]) \
    {                                                               \
        __VA_ARGS__                                                 \
    }
#define VALUES(...) \
    (vt_real[])     \
    {               \
        __VA_ARGS__ \
    }
static void reads_every_kind_of_tensor(void **state)
{
    (void)state;
    vt_st_file *file;
    VT_ASSERT_OK(vt_weights_open(&file, GOLDEN));
    assert_int_equal(vt_st_count(file), 10);
    expect(file, "float", DIMS(2, 3), VALUES(0, 0.5, 1, 1.5, 2, 2.5));
    expect(file, "half", DIMS(3), VALUES(1, 1.5, 2));
    expect(file, "bfloat", DIMS(3), VALUES(2, 2.5, 3));
    expect(file, "double", DIMS(3), VALUES(3, 3.5, 4));
    expect(file, "transposed", DIMS(2, 3), VALUES(4, 5, 6, 4.5, 5.5, 6.5));
    expect(file, "parameter", DIMS(2), VALUES(5, 5.5));
    expect(file, "columns", DIMS(2, 2), VALUES(6.5, 7, 8.5, 9));
    expect(file, "second", DIMS(4), VALUES(8, 8.5, 9, 9.5));
    expect(file, "scalar", 0, NULL, VALUES(7));
    const vt_st_tensor *numbers;
    VT_ASSERT_OK(vt_st_get(file, "long", VT_I64, DIMS(3), &numbers));
    assert_memory_equal(numbers->data, ((int64_t[]){0, 1, 2}), 24);
    vt_st_close(file);
}

// Every byte of the archive is covered by a checksum or checked itself; whatever is accepted must
// be readable.
static void survives_damage(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t count;
    const char *path = in_folder("damaged.pth");
    VT_ASSERT_OK(vt_file_read(&bytes, &count, GOLDEN, 1 << 20));
    vt_st_file *file;
    for (size_t n = 0; n < count; n++) {
        put_file(path, bytes, n);
        assert_int_not_equal(vt_pth_open(&file, path), VT_OK);
    }
    for (size_t i = 0; i < count; i++) {
        bytes[i] ^= (unsigned char)(1 << i % 8);
        put_file(path, bytes, count);
        if (vt_pth_open(&file, path) == VT_OK) vt_st_close(file);
        bytes[i] ^= (unsigned char)(1 << i % 8);
    }
    free(bytes);
}

// The same of the pickle alone, which no checksum protects here.
static void survives_damaged_pickles(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t count;
    VT_ASSERT_OK(vt_file_read(&bytes, &count, GOLDEN, 1 << 20));
    unsigned char *start = memmem(bytes, count, "\x80\x02}", 3);
    assert_non_null(start);
    unsigned char *end = memmem(start, count - (size_t)(start - bytes), "u.PK", 4);
    if (!end) end = memmem(start, count - (size_t)(start - bytes), "u.", 2);
    assert_non_null(end);
    const size_t length = (size_t)(end + 2 - start);
    unsigned char *copy = malloc(length); // exact, so that reading beyond is seen
    vt_pickle *pickle;
    memcpy(copy, start, length);
    VT_ASSERT_OK(vt_pickle_read(&pickle, copy, length));
    assert_non_null(vt_pickle_get(vt_pickle_root(pickle), "model"));
    assert_null(vt_pickle_get(vt_pickle_root(pickle), "optimizer"));
    vt_pickle_destroy(pickle);
    for (size_t n = 1; n < length; n++) {
        unsigned char *part = malloc(n);
        memcpy(part, start, n);
        assert_int_not_equal(vt_pickle_read(&pickle, part, n), VT_OK);
        free(part);
    }
    for (size_t i = 0; i < length; i++) {
        for (int flip = 1; flip < 256; flip += 3) {
            copy[i] = start[i] ^ (unsigned char)flip;
            if (vt_pickle_read(&pickle, copy, length) == VT_OK) vt_pickle_destroy(pickle);
        }
        copy[i] = start[i];
    }
    free(copy);
    free(bytes);
}

static void refuses_what_is_not_data(void **state)
{
    (void)state;
    static const struct {
        const char *pickle, *message;
        vt_status status;
    } cases[] = {
        {"\x80\x02"
         "cos\nsystem\n.",
         "holds a os.system; only tensors and plain data are read: in Python, torch.save",
         VT_ERR_UNSUPPORTED},
        {"\x80\x04\x8c\5posix\x8c\6system\x93.", "posix.system", VT_ERR_UNSUPPORTED},
        {"cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar", VT_ERR_UNSUPPORTED},
        {"\x80\x02"
         "ios\nsystem\n.",
         "opcode 0x69", VT_ERR_UNSUPPORTED},
        {"K\1K\2.", "one value", VT_ERR_FORMAT},
        {".", "one value", VT_ERR_FORMAT},
        {"K\1", "truncated", VT_ERR_FORMAT},
        {"h\5.", "memo", VT_ERR_FORMAT},
        {"}(K\1u.", "a key without a value", VT_ERR_FORMAT},
        {"K\1K\1a.", "container", VT_ERR_FORMAT},
        {"K\1)R.", "cannot be called", VT_ERR_FORMAT},
        {"t.", "no mark", VT_ERR_FORMAT},
        {"X\377\377\377\377a.", "truncated", VT_ERR_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_pickle *pickle;
        const char *text = cases[i].pickle;
        assert_int_equal(vt_pickle_read(&pickle, (const unsigned char *)text, strlen(text)),
                         cases[i].status);
        if (!strstr(vt_error_message(), cases[i].message))
            fail_msg("expected %s, got %s", cases[i].message, vt_error_message());
    }
}

static void write_part(const char *name, const char *tensor, const vt_real *values)
{
    const vt_st_entry entry = {tensor, VT_F32, 1, {2}, values};
    const vt_st_meta meta = {"from", name};
    VT_ASSERT_OK(vt_st_write(in_folder(name), &entry, 1, &meta, 1));
}

static void expect_refusal(const char *index, const char *message)
{
    vt_st_file *file;
    const char *path = in_folder("model.safetensors.index.json");
    VT_ASSERT_OK(vt_file_write(path, index, strlen(index)));
    assert_int_not_equal(vt_weights_open(&file, path), VT_OK);
    if (!strstr(vt_error_message(), message))
        fail_msg("expected %s, got %s", message, vt_error_message());
}

static void joins_shards(void **state)
{
    (void)state;
    const char *index = "{\"metadata\": {}, \"weight_map\": {\"b\": \"2.st\", \"a\": \"1.st\"}}";
    const char *path = in_folder("model.safetensors.index.json");
    write_part("1.st", "a", VALUES(1, 2));
    write_part("2.st", "b", VALUES(3, 4));
    VT_ASSERT_OK(vt_file_write(path, index, strlen(index)));
    vt_st_file *file;
    VT_ASSERT_OK(vt_weights_open(&file, path));
    assert_int_equal(vt_st_count(file), 2);
    expect(file, "a", DIMS(2), VALUES(1, 2));
    expect(file, "b", DIMS(2), VALUES(3, 4));
    assert_string_equal(vt_st_metadata(file, "from"), "2.st"); // of the shard that is met first
    vt_st_close(file);
    expect_refusal("{\"weight_map\": {\"c\": \"1.st\"}}", "tensor c: is not in");
    expect_refusal("{\"weight_map\": {\"a\": \"9.st\"}}", "9.st: cannot open");
    expect_refusal("{\"weight_map\": {\"a\": \"../1.st\"}}", "without a folder");
    expect_refusal("{\"weight_map\": {\"a\": \"..\"}}", "..: ");
    expect_refusal("{\"weight_map\": {\"a\": \"/etc/1.st\"}}", "without a folder");
    expect_refusal("{\"weight_map\": {\"a\": \"\"}}", "index.json: ");
    expect_refusal("{\"weight_map\": {\"a\": 1}}", "weight_map: a: expected a file's name");
    expect_refusal("{\"weight_map\": {\"a\": \"model.safetensors.index.json\"}}", "header");
    expect_refusal("{\"weight_map\": {\"a\": \"1.st\", \"a\": \"1.st\"}}",
                   "this key was given before: \"a\"");
    expect_refusal("{\"a\": {}}", "weight_map: expected an object");
    expect_refusal("{\"weight_map\": {\"a\": \"1.st\"", "index.json:1:");
    // Two shards that both have a tensor, and one that has more than the index says
    const vt_st_entry both[] = {{"b", VT_F32, 1, {2}, VALUES(5, 6)},
                                {"c", VT_F32, 1, {2}, VALUES(7, 8)}};
    VT_ASSERT_OK(vt_st_write(in_folder("3.st"), both, 2, NULL, 0));
    expect_refusal("{\"weight_map\": {\"b\": \"2.st\", \"c\": \"3.st\"}}",
                   "tensor b: is in shard 3.st, and in the one that weight_map says");
    expect_refusal("{\"weight_map\": {\"c\": \"3.st\"}}",
                   "tensor b: is in shard 3.st, but not in weight_map");
    expect_refusal("{\"weight_map\": 3}", "weight_map: expected an object");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_kind_of_tensor),
        cmocka_unit_test(survives_damage),
        cmocka_unit_test(survives_damaged_pickles),
        cmocka_unit_test(refuses_what_is_not_data),
        cmocka_unit_test(joins_shards),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
