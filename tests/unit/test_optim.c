// Optimizers against torch's figures (float64), and the promise of the same bits with any number of
// threads.
#include "vitrain/base/rng.h"
#include "vitrain/base/threads.h"
#include "vitrain/train/optim.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef VT_DOUBLE
#define REAL_EPSILON DBL_EPSILON
#else
#define REAL_EPSILON FLT_EPSILON
#endif

// A few dozen roundings on numbers of one size.
static void assert_near(double got, double expected)
{
    if (!(fabs(got - expected) <= 32 * REAL_EPSILON * fabs(expected)))
        fail_msg("expected %.17g, got %.17g", expected, got);
}

static const vt_optim_config settings = {
    .betas = {0.9, 0.99}, .eps = 1e-8, .momentum = 0.9, .weight_decay = 0.05};

// Three steps of lr 0.01 with the gradients below.
static void run_three(const vt_optim_ops *ops, vt_real w[4], vt_real moments[2][4], double decay,
                      const vt_optim_config *config)
{
    static const double gradients[3][4] = {
        {0.1, -2.0, 0.003, 0.0}, {-0.4, 1.0, 0.001, 0.0}, {0.7, 0.5, -0.02, 1e-9}};
    static const double start[4] = {0.5, -1.25, 2.0, 0.0};
    vt_real *slabs[2] = {moments[0], moments[1]};
    for (int i = 0; i < 4; i++) w[i] = (vt_real)start[i];
    memset(moments, 0, 2 * sizeof *moments);
    for (int step = 0; step < 3; step++) {
        vt_real g[4];
        for (int i = 0; i < 4; i++) g[i] = (vt_real)(4 * gradients[step][i]);
        ops->update(w, g, slabs, 4, &(vt_optim_rate){0.01, decay, 0.25, step + 1}, config);
    }
}

static void test_adamw(void **state)
{
    (void)state;
    vt_real w[4], moments[2][4];
    run_three(vt_optim_find("adamw"), w, moments, 0.05, &settings);
    static const double expected_w[4] = {0.49154144634755137, -1.234854392502905, 1.983526202701422,
                                         -0.00034876654328323337};
    static const double expected_m[4] = {0.0421, -0.022, -0.001667, 1e-10};
    static const double expected_v[4] = {0.00658201, 0.0516040, 4.098109e-06, 1e-20};
    for (int i = 0; i < 4; i++) {
        assert_near(w[i], expected_w[i]);
        assert_near(moments[0][i], expected_m[i]);
        assert_near(moments[1][i], expected_v[i]);
    }
}

static void test_sgd(void **state)
{
    (void)state;
    vt_real w[4], moments[2][4];
    run_three(vt_optim_find("sgd"), w, moments, 0.05, &settings);
    static const double expected_w[4] = {0.4964879996875, -1.2163282448437502, 1.9944921617424998,
                                         -1e-11};
    static const double expected_buf[4] = {0.48876253124999991, -0.386956765625,
                                           0.25413532574999997, 1e-9};
    for (int i = 0; i < 4; i++) {
        assert_near(w[i], expected_w[i]);
        assert_near(moments[0][i], expected_buf[i]);
    }
}

static void test_nesterov(void **state)
{
    (void)state;
    vt_real w[4], moments[2][4];
    vt_optim_config config = settings;
    config.nesterov = true;
    run_three(vt_optim_find("sgd"), w, moments, 0.05, &config);
    static const double expected_w[4] = {0.4920884153565625, -1.2128786158832812,
                                         1.9922078547538076, -1.9e-11};
    static const double expected_buf[4] = {0.4888301128124999, -0.38570936140624995,
                                           0.25400651295750004, 1e-09};
    for (int i = 0; i < 4; i++) {
        assert_near(w[i], expected_w[i]);
        assert_near(moments[0][i], expected_buf[i]);
    }
}

// A tensor that decays and its twin that does not, whose rate is not scaled. The figures are of the
// class Lamb in scripts/golden_models.py.
static void test_lamb(void **state)
{
    (void)state;
    static const double gradients[3][4] = {
        {0.1, -2.0, 0.003, 0.0}, {-0.4, 1.0, 0.001, 0.0}, {0.7, 0.5, -0.02, 1e-9}};
    static const double start[4] = {0.5, -1.25, 2.0, 0.0};
    static const double expected[2][4] = {
        {0.48432720651959443, -1.242491714386656, 1.9824391775351031, -0.0010515663321951736},
        {0.4927751634338963, -1.2427859066628586, 1.9861568107617968, -0.0002894359595024596}};
    vt_param tensors[2] = {{.name = "a", .count = 4, .decays = true},
                           {.name = "b", .count = 4, .offset = 16}};
    const vt_params params = {.rows = tensors, .count = 2, .slab_count = 32};
    const vt_optim_ops *ops = vt_optim_find("lamb");
    vt_real w[32] = {0}, g[32] = {0}, m[32] = {0}, v[32] = {0}, *slabs[2] = {m, v};
    double partials[4];
    assert_int_equal(vt_optim_partials(&params), 4);
    for (int i = 0; i < 8; i++) w[i / 4 * 16 + i % 4] = (vt_real)start[i % 4];
    for (int step = 0; step < 3; step++) {
        for (int i = 0; i < 8; i++) g[i / 4 * 16 + i % 4] = (vt_real)(2 * gradients[step][i % 4]);
        const double norm = vt_grad_norm(&params, g, partials) / 2;
        const vt_optim_work work = {ops, &settings, &params, w, g, slabs, partials};
        vt_optim_step(&work, 0.01, vt_optim_scale(ops, norm, 0) / 2, step + 1);
    }
    for (int i = 0; i < 8; i++) assert_near(w[i / 4 * 16 + i % 4], expected[i / 4][i % 4]);
}

static void test_trust_ratio(void **state)
{
    (void)state;
    assert_true(vt_trust_ratio((const double[]){16, 4}, 0.1) == 2);
    assert_true(vt_trust_ratio((const double[]){16, 4}, 0) == 1);
    assert_true(vt_trust_ratio((const double[]){0, 4}, 0.1) == 1);
    assert_true(vt_trust_ratio((const double[]){16, 0}, 0.1) == 1);
}

// LAMB clips what clip_norm leaves.
static void test_scale(void **state)
{
    (void)state;
    const vt_optim_ops *lamb = vt_optim_find("lamb"), *adamw = vt_optim_find("adamw");
    assert_true(vt_optim_scale(adamw, 5, 0) == 1);
    assert_true(vt_optim_scale(lamb, 0.5, 0) == 1);
    assert_true(vt_optim_scale(lamb, 5, 0) == 0.2);
    assert_near(vt_optim_scale(lamb, 5, 2), 0.2);
    assert_true(vt_optim_scale(lamb, 5, 0.5) == vt_clip_scale(5, 0.5));
}

static void test_find(void **state)
{
    (void)state;
    assert_string_equal(vt_optim_find("adamw")->name, "adamw");
    assert_null(vt_optim_find("adam"));
}

// A table of one big tensor that decays, a small one that does not, and padding between them.
enum { BIG = 100003, SMALL = 5, SMALL_AT = 100016, SLAB = SMALL_AT + 16 };
static vt_param rows[2] = {
    {.name = "big", .count = BIG, .offset = 0, .decays = true},
    {.name = "small", .count = SMALL, .offset = SMALL_AT, .decays = false},
};
static const vt_params table = {.rows = rows, .count = 2, .slab_count = SLAB};

static vt_real *slab_new(uint32_t stream)
{
    vt_real *slab = calloc(SLAB, sizeof *slab);
    assert_non_null(slab);
    vt_rng rng = vt_rng_at(1, stream, 0, 0);
    for (int row = 0; row < 2; row++)
        for (size_t i = 0; i < rows[row].count; i++)
            slab[rows[row].offset + i] = (vt_real)vt_rng_normal(&rng);
    return slab;
}

typedef struct result {
    vt_real *w, *m, *v;
    double norm;
} result;

static result run_table(const vt_optim_ops *ops, int threads)
{
    vt_threads_set(threads);
    vt_real *g = slab_new(2);
    result r = {slab_new(1), calloc(SLAB, sizeof *g), calloc(SLAB, sizeof *g), 0};
    vt_real *slabs[2] = {r.m, r.v};
    double *partials = calloc(vt_optim_partials(&table), sizeof *partials);
    assert_true(r.m && r.v && partials);
    r.norm = vt_grad_norm(&table, g, partials);
    const vt_optim_work work = {ops, &settings, &table, r.w, g, slabs, partials};
    for (int step = 1; step <= 2; step++) vt_optim_step(&work, 0.01, 0.5, step);
    free(partials);
    free(g);
    return r;
}

static void result_free(result r)
{
    free(r.w);
    free(r.m);
    free(r.v);
}

static void test_threads(void **state)
{
    (void)state;
    for (int i = 0; vt_optims[i]; i++) {
        result one = run_table(vt_optims[i], 1), three = run_table(vt_optims[i], 3);
        assert_memory_equal(one.w, three.w, SLAB * sizeof(vt_real));
        assert_memory_equal(one.m, three.m, SLAB * sizeof(vt_real));
        assert_memory_equal(one.v, three.v, SLAB * sizeof(vt_real));
        assert_true(one.norm == three.norm);
        result_free(one);
        result_free(three);
    }
}

// Every element is updated exactly as the ops' own call on it alone would; padding stays zero.
static void test_step_covers_table(void **state)
{
    (void)state;
    const vt_optim_ops *ops = vt_optim_find("adamw");
    result r = run_table(ops, 2);
    vt_real *w = slab_new(1), *g = slab_new(2);
    for (int row = 0; row < 2; row++) {
        double decay = rows[row].decays ? settings.weight_decay : 0;
        for (size_t i = rows[row].offset; i < rows[row].offset + rows[row].count; i++) {
            vt_real m = 0, v = 0, *slabs[2] = {&m, &v};
            for (int step = 1; step <= 2; step++)
                ops->update(&w[i], &g[i], slabs, 1, &(vt_optim_rate){0.01, decay, 0.5, step},
                            &settings);
        }
    }
    assert_memory_equal(r.w, w, SLAB * sizeof(vt_real));
    result_free(r);
    free(w);
    free(g);
}

static void test_grad_norm(void **state)
{
    (void)state;
    vt_real *g = calloc(SLAB, sizeof *g);
    double partials[16];
    assert_non_null(g);
    assert_true(vt_optim_partials(&table) <= 16);
    g[0] = 3;
    g[SMALL_AT + SMALL - 1] = -4;
    assert_true(vt_grad_norm(&table, g, partials) == 5);
    g[BIG - 1] = (vt_real)NAN;
    assert_false(isfinite(vt_grad_norm(&table, g, partials)));
    free(g);
}

static void test_clip_scale(void **state)
{
    (void)state;
    assert_true(vt_clip_scale(5, 0) == 1);
    assert_true(vt_clip_scale(5, 6) == 1);
    assert_true(vt_clip_scale(5, 1) == 1 / (5 + 1e-6));
}

// Two blocks: embeddings are layer 0, the blocks 1 and 2, norm and head 3. In stages: merging is of
// the block that follows.
static void test_layer_decay(void **state)
{
    (void)state;
    typedef struct layer_case {
        const char *name;
        double scale;
    } layer_case;
    static const layer_case cases[] = {{"cls_token", 0.125},
                                       {"pos_embed", 0.125},
                                       {"patch_embed.proj.weight", 0.125},
                                       {"blocks.0.norm1.bias", 0.25},
                                       {"blocks.1.mlp.fc2.weight", 0.5},
                                       {"norm.weight", 1},
                                       {"head.weight", 1}};
    static const layer_case staged[] = {{"patch_embed.norm.weight", 0.125},
                                        {"layers.0.blocks.0.norm1.bias", 0.25},
                                        {"layers.0.blocks.0.mlp.fc2.bias", 0.25},
                                        {"layers.1.downsample.norm.weight", 0.5},
                                        {"layers.1.blocks.0.norm1.bias", 0.5},
                                        {"norm.weight", 1},
                                        {"head.fc.weight", 1}};
    enum { N = sizeof cases / sizeof *cases };
    vt_params tensors = {0}, stages = {0};
    size_t offset;
    for (int i = 0; i < N; i++) {
        assert_int_equal(vt_params_add(&tensors, &offset, VT_INIT_ONES, true, 1, (int64_t[]){1},
                                       "%s", cases[i].name),
                         VT_OK);
        assert_int_equal(vt_params_add(&stages, &offset, VT_INIT_ONES, true, 1, (int64_t[]){1},
                                       "%s", staged[i].name),
                         VT_OK);
    }
    vt_params_number_layers(&tensors);
    vt_params_number_layers(&stages);
    for (int i = 0; i < N; i++) {
        assert_near(pow(0.5, tensors.rows[i].layers_above), cases[i].scale);
        assert_near(pow(0.5, stages.rows[i].layers_above), staged[i].scale);
    }
    vt_params_free(&stages);
    // SGD without momentum moves each by lr x scale x gradient.
    const vt_optim_config sgd = {.layer_decay = 0.5};
    vt_real *w = calloc(tensors.slab_count, sizeof *w), *g = calloc(tensors.slab_count, sizeof *g);
    vt_real *buffer = calloc(tensors.slab_count, sizeof *buffer), *slabs[2] = {buffer, NULL};
    for (size_t i = 0; i < tensors.slab_count; i++) g[i] = 1;
    const vt_optim_work work = {vt_optim_find("sgd"), &sgd, &tensors, w, g, slabs, NULL};
    vt_optim_step(&work, 0.5, 1, 1);
    for (int i = 0; i < N; i++) assert_near(w[tensors.rows[i].offset], -0.5 * cases[i].scale);
    free(w);
    free(g);
    free(buffer);
    vt_params_free(&tensors);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layer_decay), cmocka_unit_test(test_adamw),
        cmocka_unit_test(test_sgd),         cmocka_unit_test(test_nesterov),
        cmocka_unit_test(test_find),        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_grad_norm),   cmocka_unit_test(test_step_covers_table),
        cmocka_unit_test(test_clip_scale),  cmocka_unit_test(test_lamb),
        cmocka_unit_test(test_trust_ratio), cmocka_unit_test(test_scale),
    };
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
