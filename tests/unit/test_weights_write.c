// Weights written in other types and in shards, and read back.
#include "folder.h"
#include "numcheck.h"

#include "vitrain/io/file.h"
#include "vitrain/io/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static vt_st_file *opened(const char *path)
{
    vt_st_file *file;
    VT_ASSERT_OK(vt_weights_open(&file, path));
    return file;
}

// Two tensors of four numbers and whole numbers, which keep their type.
static vt_st_file *example(const vt_real a[4], const vt_real b[4])
{
    static const int64_t whole[] = {1, -1};
    const vt_st_entry entries[] = {
        {"a", VT_F32, 1, {4}, a}, {"b", VT_F32, 2, {2, 2}, b}, {"n", VT_I64, 1, {2}, whole}};
    const vt_st_meta meta = {"vitrain.model", "{}"};
    const char *path = in_folder("in.safetensors");
    VT_ASSERT_OK(vt_st_write(path, entries, 3, &meta, 1));
    return opened(path);
}

// A length of the header whose bytes look like the beginning of an index.
static void is_no_index(void **state)
{
    (void)state;
    enum { LENGTH = '{' + ('\n' << 8) };
    unsigned char bytes[8 + LENGTH] = {'{', '\n'};
    memset(bytes + 8, ' ', LENGTH);
    bytes[8] = '{', bytes[9] = '}';
    const char *path = in_folder("length.safetensors");
    put_file(path, bytes, sizeof bytes);
    vt_st_close(opened(path));
}

static void check_bits(vt_dtype dtype, const vt_real values[4], const uint16_t expected[4])
{
    vt_st_file *in = example(values, values);
    const char *path = in_folder("out.safetensors");
    VT_ASSERT_OK(vt_weights_write(path, in, &dtype, 0, NULL));
    vt_st_file *out = opened(path);
    const vt_st_tensor *t = vt_st_find(out, "b");
    assert_int_equal(t->dtype, dtype);
    assert_memory_equal(t->data, expected, 8);
    assert_int_equal(vt_st_find(out, "n")->dtype, VT_I64);
    assert_memory_equal(vt_st_find(out, "n")->data, ((int64_t[]){1, -1}), 16);
    assert_string_equal(vt_st_metadata(out, "vitrain.model"), "{}");
    vt_st_close(in);
    vt_st_close(out);
}

// The bits are those that numpy (half) and torch (bfloat16) give.
static void rounds_to_the_nearest(void **state)
{
    (void)state;
    check_bits(VT_F16, (vt_real[]){1, 65504, 2049, (vt_real)-0.1},
               (uint16_t[]){0x3c00, 0x7bff, 0x6800, 0xae66});
    check_bits(VT_F16, (vt_real[]){0x1p-24f, 0x1.8p-24f, 2047.75, -0.0f},
               (uint16_t[]){0x0001, 0x0002, 0x6800, 0x8000});
    check_bits(VT_BF16, (vt_real[]){1, 1 + 0x1p-8f, 1 + 0x3p-8f, (vt_real)-0.1},
               (uint16_t[]){0x3f80, 0x3f80, 0x3f82, 0xbdcd});
}

static void every_half_survives(void **state)
{
    (void)state;
    const vt_dtype half = VT_F16;
    const vt_real values[] = {0x1p-14f, 0x1.ff8p-15f, (vt_real)-1.5, 0x3p-24f};
    vt_st_file *in = example(values, values);
    const char *path = in_folder("out.safetensors");
    VT_ASSERT_OK(vt_weights_write(path, in, &half, 0, NULL));
    vt_st_file *out = opened(path);
    vt_real got[4];
    VT_ASSERT_OK(vt_st_get_real(out, "a", 1, (int64_t[]){4}, got));
    assert_memory_equal(got, values, sizeof got);
    vt_st_close(in);
    vt_st_close(out);
}

static void refuses_what_has_no_room(void **state)
{
    (void)state;
    const vt_dtype half = VT_F16;
    vt_st_file *in = example((vt_real[]){1, 2, 3, 4}, (vt_real[]){1, 65520, 3, 4});
    const char *path = in_folder("none.safetensors");
    assert_int_equal(vt_weights_write(path, in, &half, 0, NULL), VT_ERR_NUMERIC);
    assert_non_null(strstr(vt_error_message(), "tensor b: 65520 is beyond the range of F16"));
    assert_false(vt_file_exists(path));
    assert_int_equal(vt_weights_write(in_folder("none"), in, NULL, 16, NULL), VT_ERR_USAGE);
    vt_st_close(in);
}

// A shard holds a tensor at least.
static void refuses_too_many_shards(void **state)
{
    (void)state;
    enum { MANY = 100000, NAME_BYTES = 8 };
    const vt_real one = 1;
    char(*names)[NAME_BYTES] = malloc(MANY * sizeof *names);
    vt_st_tensor *tensors = calloc(MANY, sizeof *tensors);
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], NAME_BYTES, "%d", i);
        tensors[i] = (vt_st_tensor){.name = names[i],
                                    .dtype = VT_F32,
                                    .ndim = 1,
                                    .shape = {1},
                                    .count = 1,
                                    .data = (const unsigned char *)&one,
                                    .bytes = 4};
    }
    vt_st_file *in;
    VT_ASSERT_OK(vt_st_assemble(&in, "in", tensors, MANY, names, free));
    const char *path = in_folder("thin.safetensors");
    assert_int_equal(vt_weights_write(path, in, NULL, 1, NULL), VT_ERR_USAGE);
    assert_non_null(strstr(vt_error_message(), "more than 99999; expected a larger --shard-size"));
    assert_false(vt_file_exists(in_folder("thin-00001-of-100000.safetensors")));
    free(tensors);
    vt_st_close(in);
}

static void leaves_state_out(void **state)
{
    (void)state;
    const vt_real values[] = {1, 2, 3, 4};
    const char *names[] = {"a", "ema.a", "optim.exp_avg.a", "optimum", "b"};
    vt_st_entry entries[5];
    for (int i = 0; i < 5; i++) entries[i] = (vt_st_entry){names[i], VT_F32, 1, {4}, values};
    const vt_st_meta meta = {"told", "kept"};
    const char *path = in_folder("state.safetensors");
    VT_ASSERT_OK(vt_st_write(path, entries, 5, &meta, 1));
    vt_st_file *weights;
    size_t left_out;
    VT_ASSERT_OK(vt_weights_without_state(&weights, opened(path), &left_out));
    assert_int_equal(left_out, 2);
    assert_int_equal(vt_st_count(weights), 3);
    assert_non_null(vt_st_find(weights, "optimum"));
    assert_null(vt_st_find(weights, "ema.a"));
    vt_weights_result result;
    VT_ASSERT_OK(vt_weights_write(in_folder("weights.safetensors"), weights, NULL, 0, &result));
    assert_true(result.tensors == 3 && result.bytes == 48 && result.shards == 1);
    vt_st_close(weights);
    weights = opened(in_folder("weights.safetensors"));
    assert_int_equal(vt_st_count(weights), 3);
    assert_string_equal(vt_st_metadata(weights, "told"), "kept");
    vt_st_close(weights);
}

static void refuses_what_is_not_finite(void **state)
{
    (void)state;
    static const vt_dtype types[] = {VT_F32, VT_F16, VT_BF16};
    vt_st_file *in = example((vt_real[]){1, 2, 3, 4}, (vt_real[]){1, 2, NAN, 4});
    const char *path = in_folder("none.safetensors");
    for (int i = -1; i < 3; i++) {
        assert_int_equal(vt_weights_write(path, in, i < 0 ? NULL : &types[i], 0, NULL),
                         VT_ERR_NUMERIC);
        assert_non_null(strstr(vt_error_message(), "tensor b: expected finite numbers, got nan"));
        assert_false(vt_file_exists(path));
    }
    // Nor is the shard before it written.
    assert_int_equal(vt_weights_write(path, in, NULL, 16, NULL), VT_ERR_NUMERIC);
    assert_false(vt_file_exists(in_folder("none-00001-of-00003.safetensors")));
    assert_false(vt_file_exists(in_folder("none.safetensors.index.json")));
    vt_st_close(in);
}

// Doubles: rounded once to half, and refused where a float has no room for them.
static void takes_doubles(void **state)
{
    (void)state;
    const double values[] = {1 + 0x1p-11 + 0x1p-40, 1e300};
    const vt_dtype types[] = {VT_F16, VT_F32};
    for (int64_t n = 1; n <= 2; n++) {
        const vt_st_entry entry = {"d", VT_F64, 1, {n}, values};
        const char *path = in_folder("doubles.safetensors"), *made = in_folder("made.safetensors");
        VT_ASSERT_OK(vt_st_write(path, &entry, 1, NULL, 0));
        vt_st_file *in = opened(path);
        VT_ASSERT_OK(vt_weights_write(made, in, NULL, 0, NULL)); // as they are
        vt_st_file *same = opened(made);
        assert_memory_equal(vt_st_find(same, "d")->data, values, (size_t)n * sizeof *values);
        vt_st_close(same);
        if (n == 1) {
            VT_ASSERT_OK(vt_weights_write(made, in, &types[0], 0, NULL));
            vt_st_file *out = opened(made);
            assert_memory_equal(vt_st_find(out, "d")->data, ((uint16_t[]){0x3c01}), 2);
            vt_st_close(out);
        } else {
            assert_int_equal(vt_weights_write(made, in, &types[1], 0, NULL), VT_ERR_NUMERIC);
            assert_non_null(
                strstr(vt_error_message(), "tensor d: 1e+300 is beyond the range of F32"));
        }
        vt_st_close(in);
    }
}

static void keeps_all_metadata(void **state)
{
    (void)state;
    enum { MEMBERS = 100 };
    char keys[MEMBERS][16];
    vt_st_meta metadata[MEMBERS];
    const vt_st_entry entry = {"a", VT_F32, 1, {2}, (vt_real[]){1, 2}};
    const char *path = in_folder("told.safetensors"), *made = in_folder("made.safetensors");
    for (int i = 0; i < MEMBERS; i++) {
        snprintf(keys[i], sizeof keys[i], "key%d", i);
        metadata[i] = (vt_st_meta){keys[i], keys[MEMBERS - 1 - i]};
    }
    VT_ASSERT_OK(vt_st_write(path, &entry, 1, metadata, MEMBERS));
    vt_st_file *in = opened(path);
    VT_ASSERT_OK(vt_weights_write(made, in, NULL, 0, NULL));
    vt_st_file *out = opened(made);
    for (int i = 0; i < MEMBERS; i++)
        assert_string_equal(vt_st_metadata(out, keys[i]), keys[MEMBERS - 1 - i]);
    vt_st_close(in);
    vt_st_close(out);
}

static void splits_into_shards(void **state)
{
    (void)state;
    const vt_real a[] = {1, 2, 3, 4}, b[] = {5, 6, 7, 8};
    vt_st_file *in = example(a, b);
    vt_real got[4];
    VT_ASSERT_OK(vt_weights_write(in_folder("many.safetensors"), in, NULL, 32, NULL));
    assert_true(vt_file_exists(in_folder("many-00002-of-00002.safetensors")));
    assert_false(vt_file_exists(in_folder("many.safetensors")));
    vt_st_file *out = opened(in_folder("many.safetensors.index.json"));
    assert_int_equal(vt_st_count(out), 3);
    VT_ASSERT_OK(vt_st_get_real(out, "a", 1, (int64_t[]){4}, got));
    assert_memory_equal(got, a, sizeof a);
    VT_ASSERT_OK(vt_st_get_real(out, "b", 2, (int64_t[]){2, 2}, got));
    assert_memory_equal(got, b, sizeof b);
    assert_string_equal(vt_st_metadata(out, "vitrain.model"), "{}");
    vt_st_close(out);
    VT_ASSERT_OK(vt_weights_write(in_folder("one.safetensors"), in, NULL, 48, NULL)); // all of it
    assert_true(vt_file_exists(in_folder("one.safetensors")));
    assert_false(vt_file_exists(in_folder("one.safetensors.index.json")));
    vt_st_close(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_no_index),
        cmocka_unit_test(rounds_to_the_nearest),
        cmocka_unit_test(every_half_survives),
        cmocka_unit_test(refuses_what_has_no_room),
        cmocka_unit_test(refuses_too_many_shards),
        cmocka_unit_test(leaves_state_out),
        cmocka_unit_test(refuses_what_is_not_finite),
        cmocka_unit_test(takes_doubles),
        cmocka_unit_test(keeps_all_metadata),
        cmocka_unit_test(splits_into_shards),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
