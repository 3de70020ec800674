// Starting from the weights of another image size and number of classes.
#include "folder.h"
#include "numcheck.h"

#include "vitrain/model/finetune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// scripts/golden_positions.py, with torch in double. float: sums of 16 products of numbers below 2.
static void interpolates_as_torch(void **state)
{
    (void)state;
    enum { MOST = 24 * 24 };
    vt_real in[MOST], out[MOST];
    int in_h, in_w, out_h, out_w, C, cases = 0;
    FILE *file = fopen("tests/golden/positions.txt", "r");
    assert_non_null(file);
    while (fscanf(file, "%d %d %d %d %d", &in_h, &in_w, &out_h, &out_w, &C) == 5) {
        assert_true(in_h * in_w * C <= MOST && out_h * out_w * C <= MOST);
        for (int i = 0; i < in_h * in_w * C; i++) in[i] = (vt_real)((i * 7919 % 1000) / 500.0 - 1);
        vt_grid_resize(out, in, out_h, out_w, in_h, in_w, C);
        for (int i = 0; i < out_h * out_w * C; i++) {
            double expected;
            assert_int_equal(fscanf(file, "%lf", &expected), 1);
            VT_ASSERT_BELOW(fabs((double)out[i] - expected), 1e-6, "interpolated position");
        }
        cases++;
    }
    fclose(file);
    assert_int_equal(cases, 4);
}

static vt_model *create(int height, int width, int classes)
{
    const vt_model_config config = {.name = "vit",
                                    .family = "vit",
                                    .image_height = height,
                                    .image_width = width,
                                    .patch_size = 4,
                                    .in_chans = 1,
                                    .embed_dim = 8,
                                    .depth = 1,
                                    .num_heads = 2,
                                    .mlp_ratio = 2,
                                    .num_classes = classes,
                                    .qkv_bias = true};
    vt_model *model;
    VT_ASSERT_OK(vt_model_create(&model, &config));
    return model;
}

// DeiT III's shape.
static vt_model *create_deit3(int height, int width)
{
    vt_model *plain = create(height, width, 3), *model;
    vt_model_config config = plain->config;
    vt_model_destroy(plain);
    config.layer_scale = 0.25;
    config.no_embed_class = true;
    VT_ASSERT_OK(vt_model_create(&model, &config));
    return model;
}

// LayerScale under the names of DeiT III's own files.
static void name_as_deit3(char (*names)[VT_ENTRY_NAME_BYTES], int count)
{
    for (int i = 0; i < count; i++) {
        char *ls = strstr(names[i], ".ls");
        if (ls) sprintf(ls, ".gamma_%c", ls[3]);
    }
}

// A file of the model's initial weights, without metadata as timm's.
static vt_st_file *write_weights(const vt_model *model, uint64_t seed)
{
    const vt_params *p = &model->params;
    const char *path = in_folder("weights.safetensors");
    vt_real *slab = calloc(p->slab_count, sizeof *slab);
    vt_st_entry *entries = calloc((size_t)p->count, sizeof *entries);
    char(*names)[VT_ENTRY_NAME_BYTES] = calloc((size_t)p->count, sizeof *names);
    vt_st_file *file;
    vt_params_init(p, slab, seed);
    vt_params_entries(p, slab, "", entries, names);
    name_as_deit3(names, p->count);
    VT_ASSERT_OK(vt_st_write(path, entries, (size_t)p->count, NULL, 0));
    VT_ASSERT_OK(vt_st_open(&file, path));
    free(slab);
    free(entries);
    free(names);
    return file;
}

// Grids that cannot be: the patches are then taken for a square.
static void survives_wrong_metadata(void **state)
{
    (void)state;
    vt_model *old = create(16, 16, 3), *new = create(12, 20, 3);
    const vt_params *p = &old->params;
    vt_real *slab = calloc(new->params.slab_count, sizeof *slab);
    vt_real *weights = calloc(p->slab_count, sizeof *weights);
    vt_st_entry *entries = calloc((size_t)p->count, sizeof *entries);
    char(*names)[VT_ENTRY_NAME_BYTES] = calloc((size_t)p->count, sizeof *names);
    vt_params_entries(p, weights, "", entries, names);
    old->config.patch_size = 0;
    char *text = vt_model_config_text(&old->config);
    const char *const said[] = {text, "{", "{}"}, *path = in_folder("said.safetensors");
    for (int i = 0; i < 3; i++) {
        const vt_st_meta meta = {VT_MODEL_METADATA, said[i]};
        vt_st_file *file;
        VT_ASSERT_OK(vt_st_write(path, entries, (size_t)p->count, &meta, 1));
        VT_ASSERT_OK(vt_st_open(&file, path));
        VT_ASSERT_OK(vt_finetune_load(new, slab, file));
        vt_st_close(file);
    }
    vt_model_config told;
    assert_int_equal(vt_model_config_parse(&told, "{", "w.safetensors"), VT_ERR_FORMAT);
    assert_non_null(strstr(vt_error_message(), "w.safetensors: vitrain.model:1:2: "));
    free(text);
    free(slab);
    free(weights);
    free(entries);
    free(names);
    vt_model_destroy(old);
    vt_model_destroy(new);
}

static void fits_grid_and_head(void **state)
{
    (void)state;
    vt_model *old = create(16, 16, 5), *new = create(12, 20, 3);
    vt_st_file *file = write_weights(old, 1);
    const vt_params *p = &new->params;
    vt_real *slab = calloc(p->slab_count, sizeof *slab);
    vt_real *fresh = calloc(p->slab_count, sizeof *slab);
    vt_params_init(p, slab, 2);
    vt_params_init(p, fresh, 2);
    VT_ASSERT_OK(vt_finetune_load(new, slab, file));
    for (int i = 0; i < p->count; i++) {
        const vt_param *row = &p->rows[i];
        vt_real expected[512];
        assert_true(row->count <= 512);
        if (!strncmp(row->name, "head.", 5)) {
            memcpy(expected, fresh + row->offset, row->count * sizeof *expected);
        } else if (!strcmp(row->name, "pos_embed")) {
            vt_real positions[17 * 8];
            VT_ASSERT_OK(vt_st_get_real(file, "pos_embed", 3, (int64_t[]){1, 17, 8}, positions));
            memcpy(expected, positions, 8 * sizeof *expected);
            vt_grid_resize(expected + 8, positions + 8, 3, 5, 4, 4, 8);
        } else {
            VT_ASSERT_OK(vt_st_get_real(file, row->name, row->ndim, row->shape, expected));
        }
        if (memcmp(slab + row->offset, expected, row->count * sizeof *expected) != 0)
            fail_msg("%s: other numbers than expected", row->name);
    }
    vt_st_close(file);
    free(slab);
    free(fresh);
    vt_model_destroy(old);
    vt_model_destroy(new);
}

// Every position belongs to a patch, and LayerScale is found under its older names.
static void reads_deit3(void **state)
{
    (void)state;
    vt_model *old = create_deit3(16, 16), *new = create_deit3(12, 20);
    vt_st_file *file = write_weights(old, 1);
    const vt_params *p = &new->params;
    vt_real *slab = calloc(p->slab_count, sizeof *slab);
    assert_non_null(vt_st_find(file, "blocks.0.gamma_2"));
    VT_ASSERT_OK(vt_finetune_load(new, slab, file));
    const char *const gammas[] = {"blocks.0.ls1.gamma", "blocks.0.ls2.gamma"};
    for (int i = 0; i < 2; i++) {
        const vt_param *row = &p->rows[vt_params_find(p, gammas[i])];
        assert_int_equal(row->count, 8);
        assert_false(row->decays);
        for (size_t k = 0; k < row->count; k++) assert_true(slab[row->offset + k] == (vt_real)0.25);
    }
    vt_real positions[16 * 8], expected[15 * 8];
    VT_ASSERT_OK(vt_st_get_real(file, "pos_embed", 3, (int64_t[]){1, 16, 8}, positions));
    vt_grid_resize(expected, positions, 3, 5, 4, 4, 8);
    const vt_param *row = &p->rows[vt_params_find(p, "pos_embed")];
    assert_memory_equal(slab + row->offset, expected, sizeof expected);
    vt_model *plain = create(16, 16, 3); // has neither
    free(slab);
    slab = calloc(plain->params.slab_count, sizeof *slab);
    assert_int_equal(vt_params_load(&plain->params, slab, file, ""), VT_ERR_SHAPE);
    assert_non_null(strstr(vt_error_message(), "blocks.0.gamma_1: the model has no such tensor"));
    vt_st_close(file);
    free(slab);
    vt_model_destroy(plain);
    vt_model_destroy(old);
    vt_model_destroy(new);
}

// A tensor under its name and under an older one.
static void refuses_what_is_there_twice(void **state)
{
    (void)state;
    vt_model *model = create_deit3(16, 16);
    const vt_params *p = &model->params;
    const size_t count = (size_t)p->count;
    vt_real *slab = calloc(p->slab_count, sizeof *slab);
    vt_st_entry *entries = calloc(count + 1, sizeof *entries);
    char(*names)[VT_ENTRY_NAME_BYTES] = calloc(count, sizeof *names);
    vt_st_file *file;
    vt_params_entries(p, slab, "", entries, names);
    entries[count] = entries[vt_params_find(p, "blocks.0.ls2.gamma")];
    entries[count].name = "blocks.0.gamma_2";
    VT_ASSERT_OK(vt_st_write(in_folder("twice.safetensors"), entries, count + 1, NULL, 0));
    VT_ASSERT_OK(vt_st_open(&file, in_folder("twice.safetensors")));
    assert_int_equal(vt_params_load(p, slab, file, ""), VT_ERR_SHAPE);
    assert_non_null(strstr(vt_error_message(), "blocks.0.ls2.gamma: is there as blocks.0.gamma_2"));
    vt_st_close(file);
    free(slab);
    free(entries);
    free(names);
    vt_model_destroy(model);
}

// Loading as it is names every tensor that does not fit.
static void reports_all_that_does_not_fit(void **state)
{
    (void)state;
    vt_model *old = create(16, 16, 5), *new = create(12, 20, 3);
    vt_st_file *file = write_weights(old, 1);
    vt_real *slab = calloc(new->params.slab_count, sizeof *slab);
    assert_int_equal(vt_params_load(&new->params, slab, file, ""), VT_ERR_SHAPE);
    const char *const parts[] = {"tensor pos_embed: expected F32 [1, 16, 8], got F32 [1, 17, 8]",
                                 "tensor head.weight: expected F32 [3, 8], got F32 [5, 8]",
                                 "tensor head.bias: expected F32 [3], got F32 [5]"};
    for (int i = 0; i < 3; i++)
        if (!strstr(vt_error_message(), parts[i]))
            fail_msg("expected %s in: %s", parts[i], vt_error_message());
    strcpy(new->params.rows[new->params.count - 1].name, "other"); // now missing, and one too many
    assert_int_equal(vt_params_load(&new->params, slab, file, ""), VT_ERR_SHAPE);
    assert_non_null(strstr(vt_error_message(), "tensor other: expected F32 [3], got none"));
    assert_non_null(strstr(vt_error_message(), "tensor head.bias: the model has no such tensor"));
    vt_st_close(file);
    free(slab);
    vt_model_destroy(old);
    vt_model_destroy(new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interpolates_as_torch), cmocka_unit_test(survives_wrong_metadata),
        cmocka_unit_test(fits_grid_and_head),    cmocka_unit_test(refuses_what_is_there_twice),
        cmocka_unit_test(reads_deit3),           cmocka_unit_test(reports_all_that_does_not_fit),
    };
    return cmocka_run_group_tests(tests, folder_make, folder_remove);
}
