// Swin's weights: the names that they have had, windows of another size to start from; what a
// configuration may not be.
#include "numcheck.h"

#include "staged.h"
#include "vitrain/io/safetensors.h"
#include "vitrain/model/finetune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- names of weights ----

// Writes the rig's weights under other names; `index`: with a buffer such as older files have.
static void write_as(const vt_rig *rig, const char *path, bool old, bool index, bool odd)
{
    const vt_params *p = &rig->model->params;
    const size_t count = (size_t)p->count;
    vt_st_entry *entries = calloc(count + 1, sizeof *entries);
    char(*names)[VT_ENTRY_NAME_BYTES] = calloc(count, sizeof *names);
    static const vt_real buffer[4];
    assert_non_null(entries);
    assert_non_null(names);
    vt_params_entries(p, rig->weights, "", entries, names);
    for (size_t i = 0; old && i < count; i++) {
        const char *rest = strstr(names[i], ".downsample.");
        char other[VT_ENTRY_NAME_BYTES];
        if (rest)
            snprintf(other, sizeof other, "layers.%d%s", atoi(names[i] + 7) - 1, rest);
        else if (!strncmp(names[i], "head.fc.", 8))
            snprintf(other, sizeof other, "head.%s", names[i] + 8);
        else
            continue;
        memcpy(names[i], other, sizeof other);
    }
    if (odd) strcpy(names[0], "patch_embed.projection");
    entries[count] = (vt_st_entry){.name = "layers.0.blocks.1.attn_mask",
                                   .dtype = VT_F32,
                                   .ndim = 1,
                                   .shape = {4},
                                   .data = buffer};
    VT_ASSERT_OK(vt_st_write(path, entries, count + (index ? 1 : 0), NULL, 0));
    free(entries);
    free(names);
}

static void weights_have_had_other_names(void **state)
{
    (void)state;
    char path[] = "/tmp/vitrain_swin_XXXXXX";
    close(mkstemp(path));
    const vt_model_config c = vt_staged_shape(8, 8, 3, 4);
    vt_rig *rig = vt_staged_rig(&c, "area");
    const vt_params *params = &rig->model->params;
    for (size_t i = 0; i < params->slab_count; i++) // files have floats
        rig->weights[i] = (vt_real)(float)rig->weights[i];
    assert_true(vt_params_find(params, "layers.1.downsample.reduction.weight") > 0);
    assert_true(vt_params_find(params, "head.fc.weight") > 0);
    for (int kind = 0; kind < 4; kind++) {
        vt_st_file *file;
        write_as(rig, path, kind % 2, kind >= 1, kind == 3);
        VT_ASSERT_OK(vt_st_open(&file, path));
        for (int i = 0; i < params->count; i++)
            memset(rig->other + params->rows[i].offset, 0, params->rows[i].count * sizeof(vt_real));
        const vt_status status = vt_params_load(params, rig->other, file, "");
        if (kind < 3) {
            VT_ASSERT_OK(status);
            for (int i = 0; i < params->count; i++) {
                const vt_param *row = &params->rows[i];
                const double rounding =
                    sizeof(vt_real) == sizeof(float) ? 0 : 1e-7; // files are F32
                assert_true(vt_largest_difference(rig->other + row->offset,
                                                  rig->weights + row->offset,
                                                  row->count) <= rounding);
            }
        } else {
            assert_int_equal(status, VT_ERR_SHAPE);
            assert_non_null(strstr(vt_error_message(), "patch_embed.projection"));
        }
        vt_st_close(file);
    }
    unlink(path);
    vt_rig_destroy(rig);
}

// Position biases of windows of another size are interpolated over their offsets, everything else
// is as in the file.
static void other_windows_start_from_these(void **state)
{
    (void)state;
    char path[] = "/tmp/vitrain_swin_XXXXXX";
    close(mkstemp(path));
    const vt_model_config small = vt_staged_shape(8, 8, 1, 3), large = vt_staged_shape(8, 8, 1, 4);
    vt_rig *from = vt_staged_rig(&small, "area"), *to = vt_staged_rig(&large, "area");
    for (size_t i = 0; i < from->model->params.slab_count; i++)
        from->weights[i] = (vt_real)(float)from->weights[i];
    write_as(from, path, false, false, false);
    vt_st_file *file;
    VT_ASSERT_OK(vt_st_open(&file, path));
    VT_ASSERT_OK(vt_finetune_load(to->model, to->weights, file));
    for (int i = 0; i < to->model->params.count; i++) {
        const vt_param *row = &to->model->params.rows[i], *old = &from->model->params.rows[i];
        vt_real expected[49 * 2];
        const bool table = strstr(row->name, "_table") != NULL;
        const vt_real *weights = from->weights + old->offset;
        if (table) vt_grid_resize(expected, weights, 7, 7, 5, 5, 2);
        assert_true(vt_largest_difference(to->weights + row->offset, table ? expected : weights,
                                          row->count) == 0);
    }
    vt_st_close(file);
    unlink(path);
    vt_rig_destroy(from);
    vt_rig_destroy(to);
}

// ---- configurations ----

static void bad_shapes_are_refused(void **state)
{
    (void)state;
    for (int kind = 0; kind < 9; kind++) {
        vt_model_config c = vt_staged_shape(8, 8, 2, 4);
        const char *key = "num_heads";
        if (kind == 0) c.heads.count = 1;
        if (kind == 1) c.heads.at[1] = 3;
        if (kind == 2) c.heads.at[0] = 0;
        if (kind == 3) c.depths.at[1] = 0, key = "depths";
        if (kind == 4) c.depths.at[0] = c.depths.at[1] = 600, key = "depths";
        if (kind == 5) c.window_size = 65, key = "window_size";
        if (kind == 6) c.pool = VT_POOL_TOKEN, key = "pool";
        if (kind == 7) c.embed_dim = 16384, key = "embed_dim";
        if (kind == 8) c.depths.count = c.heads.count = 0, key = "depths";
        vt_model *model;
        assert_int_equal(vt_model_create(&model, &c), VT_ERR_CONFIG);
        assert_null(model);
        assert_non_null(strstr(vt_error_message(), key));
    }
}

// Rows are counted in int.
static void a_batch_beyond_counting_is_refused(void **state)
{
    (void)state;
    vt_model_config c = vt_staged_shape(250, 250, 1, 1);
    vt_model *model;
    vt_arena arena = {0};
    VT_ASSERT_OK(vt_model_create(&model, &c));
    vt_placement placement = {.max_batch = 65536};
    assert_int_equal(model->ops->place(model, &arena, &placement), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "at most 34359"));
    placement.max_batch = 2;
    VT_ASSERT_OK(model->ops->place(model, &arena, &placement));
    vt_model_destroy(model);
}

// The shape goes into a weights file and comes back.
static void metadata_tells_the_stages(void **state)
{
    (void)state;
    const vt_model_config c = vt_staged_shape(8, 6, 3, 4);
    vt_model_config told;
    char *text = vt_model_config_text(&c);
    assert_non_null(text);
    VT_ASSERT_OK(vt_model_config_parse(&told, text, "test"));
    assert_memory_equal(&told.depths, &c.depths, sizeof c.depths);
    assert_memory_equal(&told.heads, &c.heads, sizeof c.heads);
    assert_true(told.window_size == 4 && told.image_width == 24 && told.pool == VT_POOL_AVG);
    free(text);
    static const char *const wrong[] = {"[]", "[1,2,3,4,5,6,7,8,9]", "[1.5]", "[\"a\"]", "3"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char bad[512];
        snprintf(
            bad, sizeof bad,
            "{\"patch_size\":4,\"in_chans\":1,\"embed_dim\":8,\"num_classes\":5,\"depths\":%s}",
            wrong[i]);
        assert_int_equal(vt_model_config_parse(&told, bad, "test"), VT_ERR_FORMAT);
        assert_non_null(strstr(vt_error_message(), "depths"));
    }
}

int main(void)
{
    vt_gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_have_had_other_names),
        cmocka_unit_test(other_windows_start_from_these),
        cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(a_batch_beyond_counting_is_refused),
        cmocka_unit_test(metadata_tells_the_stages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
