// Small models against PyTorch's float64 numbers (scripts/golden_models.py, golden_swin.py):
// logits, attention maps, inputs of all blocks, TL-Align's shares, loss, gradients, and the weights
// after ten optimizer steps.
//
// A relative error is max|a - b| / max|b| of a tensor. In float, rounding (6e-8 an operation) grows
// over some twenty layers to 1e-6 in the values and 1e-5 in the gradients. In double, what is left
// is that the golden values are stored as float32.
#include "numcheck.h"

#include "golden.h"

#include "vitrain/base/threads.h"
#include "vitrain/ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef VT_DOUBLE
static const double VALUE = 1e-7, GRADIENT = 1e-7, WEIGHT = 1e-7;
#else
static const double VALUE = 1e-5, GRADIENT = 1e-4, WEIGHT = 2e-5;
#endif

static const vt_step_key KEY = {0};

typedef struct golden_test {
    vt_st_file *file;
    vt_rig *rig;
    vt_real expected[1 << 16];
} golden_test;

// *state: the file's name in, the golden_test out.
static int open_golden(void **state)
{
    static golden_test test;
    test.file = vt_golden_open(*state);
    vt_model_config config = vt_golden_model(test.file);
    const vt_st_tensor *labels = vt_st_find(test.file, "labels");
    assert_non_null(labels);
    vt_rig *rig = vt_rig_create(&config, vt_golden_number(test.file, "smoothing"), "tl-align",
                                (int)labels->count);
    vt_mix_plan *plan = &rig->step.plan;
    vt_golden_reals(test.file, "images", rig->images, rig->pixels * (size_t)rig->B);
    vt_golden_ints(test.file, "labels", rig->labels, (size_t)rig->B);
    vt_golden_reals(test.file, "mask", test.expected, (size_t)rig->B * (size_t)plan->N);
    vt_golden_plan(rig, test.file, test.expected);
    vt_golden_reals(test.file, "lam", plan->lambda, (size_t)rig->B);
    VT_ASSERT_OK(vt_params_load(&rig->model->params, rig->weights, test.file, "weight."));
    test.rig = rig;
    *state = &test;
    return 0;
}

static int close_golden(void **state)
{
    golden_test *test = *state;
    vt_rig_destroy(test->rig);
    vt_st_close(test->file);
    return 0;
}

// Compares n values with tensor `name` + `suffix`.
static void compare(golden_test *test, const char *name, const char *suffix, const vt_real *got,
                    size_t n, double tolerance)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", name, suffix);
    assert_true(n <= sizeof test->expected / sizeof *test->expected);
    vt_golden_reals(test->file, full, test->expected, n);
    VT_ASSERT_BELOW(vt_relative_error(got, test->expected, n), tolerance, full);
}

// A hook that keeps the tokens that enter each block, (depth,B,T,C).
typedef struct block_inputs {
    vt_real *x;
    size_t B, per_image; // T x C
} block_inputs;

static void keep_input(void *self, const vt_attn_view *view)
{
    const block_inputs *kept = self;
    memcpy(kept->x + ((size_t)view->layer * kept->B + (size_t)view->sample) * kept->per_image,
           view->x, kept->per_image * sizeof *kept->x);
}

static void block_inputs_match(void **state)
{
    golden_test *test = *state;
    vt_rig *rig = test->rig;
    const vt_model_config *c = &rig->model->config;
    block_inputs kept = {.B = (size_t)rig->B,
                         .per_image = (size_t)rig->step.layout.tokens * (size_t)c->embed_dim};
    kept.x = vt_alloc((size_t)c->depth * kept.B * kept.per_image, sizeof *kept.x);
    assert_non_null(kept.x);
    vt_attn_hook hook = {.self = &kept, .on_attention = keep_input};
    vt_step_compute(&rig->step, rig->weights, rig->grads, rig->images, rig->labels, rig->B, &hook,
                    1, false, KEY);
    for (int layer = 0; layer < c->depth; layer++) {
        char number[16];
        snprintf(number, sizeof number, "%d", layer);
        compare(test, "x.", number, kept.x + (size_t)layer * kept.B * kept.per_image,
                kept.B * kept.per_image, VALUE);
    }
    free(kept.x);
}

static void forward_pass_matches(void **state)
{
    golden_test *test = *state;
    vt_rig *rig = test->rig;
    const vt_step *step = &rig->step;
    const size_t B = (size_t)rig->B, BK = B * (size_t)rig->model->config.num_classes;
    vt_real loss = (vt_real)vt_rig_compute(rig, false, KEY);
    compare(test, "loss", "", &loss, 1, VALUE);
    compare(test, "logits", "", step->logits, BK, VALUE);
    compare(test, "share", "", step->share, B, VALUE);
    compare(test, "target", "", step->target, BK, VALUE);
    if (rig->model->config.distilled) {
        compare(test, "logits", "_dist", step->logits_dist, BK, VALUE);
        compare(test, "share", "_dist", step->share_dist, B, VALUE);
        compare(test, "target", "_dist", step->target_dist, BK, VALUE);
    }
    for (int layer = 0; layer < rig->model->config.depth; layer++) {
        const vt_recorder *r = &rig->recorder;
        const vt_attn_shape *s = &r->shapes[layer];
        char number[16];
        snprintf(number, sizeof number, "%d", layer);
        const size_t T = (size_t)s->T, maps = B * (size_t)s->windows * (size_t)s->H;
        compare(test, "maps.", number, r->maps[layer], maps * T * T, VALUE);
    }
}

static void gradients_match(void **state)
{
    golden_test *test = *state;
    vt_rig *rig = test->rig;
    vt_rig_compute(rig, false, KEY);
    for (int i = 0; i < rig->model->params.count; i++) {
        const vt_param *row = &rig->model->params.rows[i];
        compare(test, "grad.", row->name, rig->grads + row->offset, row->count, GRADIENT);
    }
}

// A tensor after `kind`'s steps. A bias on the keys adds the same to all scores of a query, which
// softmax takes out again: its gradient is nothing but rounding, which AdamW makes steps of; that
// third of qkv.bias is not compared.
static void compare_stepped(golden_test *test, const char *kind, const vt_param *row)
{
    vt_real *got = test->rig->weights + row->offset;
    char prefix[16];
    snprintf(prefix, sizeof prefix, "%s.", kind);
    if (strstr(row->name, "qkv.bias")) {
        char full[128];
        snprintf(full, sizeof full, "%s%s", prefix, row->name);
        vt_golden_reals(test->file, full, test->expected, row->count);
        memcpy(got + row->count / 3, test->expected + row->count / 3, row->count / 3 * sizeof *got);
    }
    compare(test, prefix, row->name, got, row->count, WEIGHT);
}

// Ten steps on the one batch. accumulate: how often its gradient is added up before each step.
static void check_steps(golden_test *test, const char *kind, int accumulate)
{
    vt_rig *rig = test->rig;
    const vt_params *params = &rig->model->params;
    const vt_optim_ops *ops = vt_optim_find(kind);
    const vt_optim_config config = vt_golden_optim(test->file, kind);
    const int steps = (int)vt_golden_number(test->file, "optim_steps");
    double partials[128];
    assert_non_null(ops);
    assert_true(vt_optim_partials(params) <= 128);
    for (int t = 1; t <= steps; t++) {
        vt_rig_compute(rig, false, KEY);
        for (int i = 1; i < accumulate; i++)
            vt_step_compute(&rig->step, rig->weights, rig->grads, rig->images, rig->labels, rig->B,
                            NULL, 0, false, KEY);
        const double norm = vt_grad_norm(params, rig->grads, partials) / accumulate;
        const vt_optim_work work = {ops,        &config,    params,  rig->weights,
                                    rig->grads, rig->slabs, partials};
        vt_optim_step(&work, config.lr, vt_optim_scale(ops, norm, 0) / accumulate, t);
    }
    for (int i = 0; i < params->count; i++) compare_stepped(test, kind, &params->rows[i]);
}

static void ten_adamw_steps_match(void **state)
{
    check_steps(*state, "adamw", 1);
}

static void ten_lamb_steps_match(void **state)
{
    check_steps(*state, "lamb", 2);
}

static void ten_accumulated_sgd_steps_match(void **state)
{
    check_steps(*state, "sgd", 2);
}

// The comparison notices: a weight off by a thousandth in one element is not let through.
static void a_wrong_weight_is_noticed(void **state)
{
    golden_test *test = *state;
    vt_rig *rig = test->rig;
    const vt_params *params = &rig->model->params;
    const vt_param *head = &params->rows[params->count - 1]; // the classifier's bias
    assert_true(strstr(head->name, ".bias") && head->ndim == 1);
    rig->weights[head->offset] += (vt_real)1e-3;
    vt_rig_compute(rig, false, KEY);
    const size_t n = (size_t)(rig->B * rig->model->config.num_classes);
    vt_golden_reals(test->file, "logits", test->expected, n);
    assert_true(vt_relative_error(rig->step.logits, test->expected, n) > 10 * VALUE);
}

static void a_step_allocates_nothing(void **state)
{
    golden_test *test = *state;
    size_t before = vt_alloc_count();
    vt_rig_compute(test->rig, true, KEY);
    assert_int_equal(vt_alloc_count(), before);
}

// With one number of threads, the same bits every time; with another, the same but for rounding.
static void gradients_do_not_depend_on_threads(void **state)
{
    golden_test *test = *state;
    vt_rig *rig = test->rig;
    const vt_params *params = &rig->model->params;
    const size_t bytes = params->slab_count * sizeof(vt_real);
    vt_rig_compute(rig, false, KEY);
    memcpy(rig->other, rig->grads, bytes);
    vt_rig_compute(rig, false, KEY);
    assert_memory_equal(rig->grads, rig->other, bytes);
    for (int threads = 1; threads <= 7; threads += 3) { // 7: more than there are images
        vt_threads_set(threads);
        vt_rig *again = vt_rig_create(&rig->model->config, rig->step.smoothing, "tl-align", rig->B);
        memcpy(again->images, rig->images, rig->pixels * (size_t)rig->B * sizeof(vt_real));
        memcpy(again->labels, rig->labels, (size_t)rig->B * sizeof *rig->labels);
        memcpy(again->weights, rig->weights, bytes);
        const vt_mix_plan *plan = &rig->step.plan;
        memcpy(again->step.plan.partner, plan->partner, (size_t)rig->B * sizeof *plan->partner);
        memcpy(again->step.plan.share, plan->share,
               (size_t)(rig->B * plan->N) * sizeof *plan->share);
        again->step.plan.mixed = true;
        vt_rig_compute(again, false, KEY);
        VT_ASSERT_BELOW(vt_relative_error(again->grads, rig->grads, params->slab_count),
                        32 * vt_epsilon(), "gradients");
        vt_rig_destroy(again);
    }
    vt_threads_set(3);
}

#define TEST(function, model)                                                  \
    {                                                                          \
#function "(" model ")", function, open_golden, close_golden, (char[]) \
        {                                                                      \
            model                                                              \
        }                                                                      \
    }

int main(void)
{
    vt_gemm_setup();
    vt_threads_set(3); // five images in chunks of two, two and one
    const struct CMUnitTest tests[] = {
        TEST(forward_pass_matches, "vit"),
        TEST(forward_pass_matches, "distilled"),
        TEST(forward_pass_matches, "avg"),
        TEST(forward_pass_matches, "deit3"),
        TEST(block_inputs_match, "vit"),
        TEST(block_inputs_match, "distilled"),
        TEST(block_inputs_match, "avg"),
        TEST(block_inputs_match, "deit3"),
        TEST(gradients_match, "vit"),
        TEST(gradients_match, "distilled"),
        TEST(gradients_match, "avg"),
        TEST(gradients_match, "deit3"),
        TEST(forward_pass_matches, "swin"),
        TEST(forward_pass_matches, "swin_odd"),
        TEST(gradients_match, "swin"),
        TEST(gradients_match, "swin_odd"),
        TEST(ten_adamw_steps_match, "swin"),
        TEST(a_wrong_weight_is_noticed, "swin"),
        TEST(a_step_allocates_nothing, "swin_odd"),
        TEST(gradients_do_not_depend_on_threads, "swin"),
        TEST(ten_adamw_steps_match, "vit"),
        TEST(ten_adamw_steps_match, "distilled"),
        TEST(ten_adamw_steps_match, "avg"),
        TEST(ten_adamw_steps_match, "deit3"),
        TEST(ten_accumulated_sgd_steps_match, "vit"),
        TEST(ten_lamb_steps_match, "avg"),
        TEST(a_wrong_weight_is_noticed, "vit"),
        TEST(a_step_allocates_nothing, "distilled"),
        TEST(gradients_do_not_depend_on_threads, "vit"),
        TEST(gradients_do_not_depend_on_threads, "deit3"),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
