// Tensors that are not trained (train.freeze): which ones, that nothing moves them, and that the
// backward pass, which stops above them, computes what it computes for the others unchanged.
#include "numcheck.h"

#include "staged.h"

#include "vitrain/base/threads.h"
#include "vitrain/train/optim.h"

#include <math.h>
#include <string.h>

enum { B = 3, STEPS = 2 };

static const vt_model_config shape = {.name = "vit",
                                      .family = "vit",
                                      .image_height = 8,
                                      .image_width = 8,
                                      .patch_size = 4,
                                      .in_chans = 1,
                                      .embed_dim = 8,
                                      .depth = 3,
                                      .num_heads = 2,
                                      .mlp_ratio = 2,
                                      .num_classes = 4,
                                      .qkv_bias = true};

static vt_rig *create(const vt_model_config *config, vt_recompute recompute)
{
    vt_rig *rig = vt_rig_create_as(config, 0.1, "area", B, VT_REAL, recompute);
    vt_fill_normal(rig->images, B * rig->pixels, 1, 1);
    vt_params_init(&rig->model->params, rig->weights, 1);
    for (int i = 0; i < B; i++) rig->labels[i] = i;
    return rig;
}

static vt_status freeze(vt_rig *rig, const char *a, const char *b)
{
    const char *const patterns[] = {a, b};
    return vt_params_freeze(&rig->model->params, patterns, b ? 2 : 1);
}

static bool is_frozen(const vt_rig *rig, const char *name)
{
    const int row = vt_params_find(&rig->model->params, name);
    assert_true(row >= 0);
    return rig->model->params.rows[row].frozen;
}

static void patterns_name_tensors(void **state)
{
    (void)state;
    vt_rig *rig = create(&shape, VT_RECOMPUTE_GELU);
    VT_ASSERT_OK(freeze(rig, "patch_embed.*", "blocks.[0-1].*"));
    assert_true(is_frozen(rig, "patch_embed.proj.weight"));
    assert_true(is_frozen(rig, "patch_embed.proj.bias"));
    assert_true(is_frozen(rig, "blocks.0.attn.qkv.weight"));
    assert_true(is_frozen(rig, "blocks.1.norm2.bias"));
    assert_false(is_frozen(rig, "blocks.2.attn.qkv.weight"));
    assert_false(is_frozen(rig, "cls_token"));
    assert_false(is_frozen(rig, "head.weight"));
    VT_ASSERT_OK(freeze(rig, "*.bias", NULL)); // adds
    assert_true(is_frozen(rig, "head.bias") && is_frozen(rig, "blocks.0.attn.qkv.weight"));
    vt_rig_destroy(rig);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    vt_rig *rig = create(&shape, VT_RECOMPUTE_GELU);
    assert_int_equal(freeze(rig, "cls_token", "blocks.7.*"), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "train.freeze: no tensor's name matches"));
    assert_non_null(strstr(vt_error_message(), "\"blocks.7.*\""));
    assert_int_equal(freeze(rig, "patch_embed", NULL), VT_ERR_CONFIG); // a whole name, not a part
    assert_int_equal(freeze(rig, "blocks.[0", NULL), VT_ERR_CONFIG);
    assert_int_equal(freeze(rig, "*", NULL), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "something to train"));
    vt_rig_destroy(rig);
}

// Gradients of what is trained are those of the whole model to the bit; a step moves it alone; the
// norm is of it alone. below: a tensor that the backward pass does not come to, or NULL.
static void check_frozen(const vt_model_config *model, const char *a, const char *b,
                         const char *below, vt_recompute recompute)
{
    const vt_optim_config config = {
        .betas = {0.9, 0.999}, .eps = 1e-8, .momentum = 0.9, .weight_decay = 0.5};
    vt_rig *whole = create(model, recompute), *part = create(model, recompute);
    const vt_params *params = &part->model->params;
    VT_ASSERT_OK(freeze(part, a, b));
    vt_rig_compute(whole, false, (vt_step_key){0});
    vt_rig_compute(part, false, (vt_step_key){0});
    if (below) {
        assert_true(is_frozen(part, below));
        const vt_param *row = &params->rows[vt_params_find(params, below)];
        for (size_t k = 0; k < row->count; k++) assert_true(part->grads[row->offset + k] == 0);
    }
    vt_params_clear_frozen(params, part->grads);
    double sum = 0, partials[256];
    assert_true(vt_optim_partials(params) <= 256);
    for (int i = 0; i < params->count; i++) {
        const vt_param *row = &params->rows[i];
        for (size_t k = row->offset; k < row->offset + row->count; k++) {
            assert_true(part->grads[k] == (row->frozen ? 0 : whole->grads[k]));
            sum += (double)part->grads[k] * (double)part->grads[k];
        }
    }
    const double norm = vt_grad_norm(params, part->grads, partials);
    VT_ASSERT_BELOW(fabs(norm * norm - sum), 1e-12 * sum, "norm of the trained gradients");
    memcpy(part->other, part->weights, params->slab_count * sizeof(vt_real));
    const vt_optim_work work = {vt_optim_find("adamw"), &config,     params,  part->weights,
                                whole->grads,           part->slabs, partials};
    for (int step = 1; step <= STEPS; step++) vt_optim_step(&work, 0.01, 1, step);
    for (int i = 0; i < params->count; i++) {
        const vt_param *row = &params->rows[i];
        const size_t bytes = row->count * sizeof(vt_real);
        const bool same = !memcmp(part->weights + row->offset, part->other + row->offset, bytes);
        if (same != row->frozen) fail_msg("%s: same %d, frozen %d", row->name, same, row->frozen);
    }
    vt_rig_destroy(whole);
    vt_rig_destroy(part);
}

static void nothing_moves_what_is_frozen(void **state)
{
    (void)state;
    check_frozen(&shape, "head.bias", NULL, NULL, VT_RECOMPUTE_GELU);
    check_frozen(&shape, "blocks.1.*", "cls_token", NULL, VT_RECOMPUTE_GELU);
}

static void backward_stops_above(void **state)
{
    (void)state;
    const vt_model_config stages = vt_staged_shape(9, 8, 3, 3);
    const struct {
        const vt_model_config *model;
        const char *a, *b, *below;
    } cases[] = {
        // Down to the last block; to a part of the first one; norm and head.
        {&shape, "[!bnh]*", "blocks.[01].*", "blocks.1.mlp.fc2.weight"},
        {&shape, "[!bnh]*", "blocks.0.norm?.*", "cls_token"},
        {&shape, "[!bnh]*", "blocks.*", "blocks.2.mlp.fc2.weight"},
        // Norm and head; down to a stage without its merging, and with it; to a block, to a part of
        // the
        // first one; to the embedding's norm.
        {&stages, "[pl]*", NULL, "layers.2.blocks.1.mlp.fc2.weight"},
        {&stages, "[pl]*d*", "layers.[01].*", "layers.2.downsample.reduction.weight"},
        {&stages, "p*", "layers.[01].*", "layers.1.blocks.1.mlp.fc2.weight"},
        {&stages, "p*", "layers.0.blocks.0.*", "layers.0.blocks.0.mlp.fc2.weight"},
        {&stages, "p*", "layers.0.blocks.0.norm?.*", "patch_embed.norm.weight"},
        {&stages, "patch_embed.proj.*", "layers.1.*", NULL},
    };
    const vt_recompute ways[] = {VT_RECOMPUTE_NONE, VT_RECOMPUTE_GELU, VT_RECOMPUTE_BLOCK};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 3; k++)
            check_frozen(cases[i].model, cases[i].a, cases[i].b, cases[i].below, ways[k]);
}

int main(void)
{
    vt_gemm_setup();
    vt_threads_set(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_name_tensors),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(nothing_moves_what_is_frozen),
        cmocka_unit_test(backward_stops_above),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
