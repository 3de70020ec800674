// The mix room against a pixel-by-pixel reading of its contract, and against figures worked out by
// hand. Comparisons are exact unless a tolerance says otherwise.
#include "vitrain/base/threads.h"
#include "vitrain/mix/mix.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MAX_B 8
#define MAX_N 64 // patches
#define MAX_PIXELS (2 * 32 * 48)
#define MAX_THREADS 4

static const vt_mix_shape square = {2, 32, 32, 4}, wide = {2, 16, 48, 8},
                          odd_patch = {1, 21, 35, 7};

static const vt_mix_config plain = {
    .cutmix = 1, .prob = 1, .switch_prob = 0.5, .grid = VT_MIX_TOKEN, .correct_lam = true};

static int patches(const vt_mix_shape *shape)
{
    return shape->height / shape->patch * (shape->width / shape->patch);
}

static vt_mix_plan place(vt_arena *arena, int B, const vt_mix_shape *shape)
{
    vt_mix_plan plan;
    *arena = (vt_arena){0};
    vt_mix_plan_place(&plan, arena, B, patches(shape));
    assert_int_equal(vt_arena_reserve(arena), VT_OK);
    vt_mix_plan_place(&plan, arena, B, patches(shape));
    return plan;
}

static const vt_mixer *mixer(const char *name)
{
    for (int i = 0; vt_mixers[i]; i++)
        if (strcmp(vt_mixers[i]->name, name) == 0) return vt_mixers[i];
    fail_msg("no mixer %s", name);
    return NULL;
}

static bool is_inside(const vt_mix_cut *cut, int y, int x)
{
    return y >= cut->y0 && y < cut->y1 && x >= cut->x0 && x < cut->x1;
}

// ---- one plan, read pixel by pixel ----

static void check_cut(const vt_mix_plan *plan, int i, const vt_mix_config *config,
                      const vt_mix_shape *shape)
{
    const vt_mix_cut *cut = &plan->cuts[i];
    int N = plan->N, across = shape->width / shape->patch, pasted_all = 0;
    int pasted[MAX_N] = {0};
    if (!cut->mixer) {
        assert_int_equal(plan->partner[i], i);
        assert_true(plan->lambda[i] == 1);
        for (int t = 0; t < N; t++) assert_true(plan->share[i * N + t] == 1);
        return;
    }
    assert_int_equal(plan->partner[i], plan->B - 1 - i);
    assert_true(plan->lambda[i] == (vt_real)cut->lambda);
    assert_true(cut->lambda >= 0 && cut->lambda <= 1);
    if (!cut->mixer->cuts) {
        for (int t = 0; t < N; t++) assert_true(plan->share[i * N + t] == plan->lambda[i]);
        return;
    }
    assert_true(cut->y0 >= 0 && cut->y0 <= cut->y1 && cut->y1 <= shape->height);
    assert_true(cut->x0 >= 0 && cut->x0 <= cut->x1 && cut->x1 <= shape->width);
    for (int y = 0; y < shape->height; y++)
        for (int x = 0; x < shape->width; x++)
            if (is_inside(cut, y, x)) {
                pasted[y / shape->patch * across + x / shape->patch]++;
                pasted_all++;
            }
    int area = shape->patch * shape->patch;
    double sum = 0;
    for (int t = 0; t < N; t++) {
        assert_true(plan->share[i * N + t] == (vt_real)((area - pasted[t]) / (double)area));
        if (config->grid == VT_MIX_TOKEN) assert_true(pasted[t] == 0 || pasted[t] == area);
        sum += plan->share[i * N + t];
    }
    if (!config->correct_lam && !config->has_minmax) return;
    double total = (double)shape->height * shape->width;
    assert_true(plan->lambda[i] == (vt_real)((total - pasted_all) / total));
    // Exact where the shares are: patches of 2^n px, or shares of 0 and 1.
    if (shape->patch != 7 || config->grid == VT_MIX_TOKEN)
        assert_true((vt_real)(sum / N) == plan->lambda[i]);
    else
        assert_true(fabs(sum / N - (double)plan->lambda[i]) < 1e-6);
}

static void check_pixels(const vt_real *mixed, const vt_real *original, const vt_mix_plan *plan,
                         const vt_mix_shape *shape)
{
    size_t plane = (size_t)shape->height * shape->width, n = shape->channels * plane;
    for (int i = 0; i < plan->B; i++) {
        const vt_mix_cut *cut = &plan->cuts[i];
        const vt_real *a = original + i * n, *b = original + (plan->B - 1 - i) * n;
        vt_real lambda = (vt_real)cut->lambda, rest = (vt_real)(1 - cut->lambda);
        for (size_t p = 0; p < n; p++) {
            int y = (int)(p % plane) / shape->width, x = (int)(p % plane) % shape->width;
            vt_real expected = a[p];
            if (cut->mixer && !cut->mixer->cuts)
                expected = a[p] * lambda + b[p] * rest;
            else if (cut->mixer && is_inside(cut, y, x))
                expected = b[p];
            assert_true(mixed[i * n + p] == expected);
        }
    }
}

static bool same_cut(const vt_mix_cut *a, const vt_mix_cut *b)
{
    return a->mixer == b->mixer && a->lambda == b->lambda && a->y0 == b->y0 && a->y1 == b->y1 &&
           a->x0 == b->x0 && a->x1 == b->x1;
}

static void check_modes(const vt_mix_plan *plan, const vt_mix_config *config)
{
    bool mixed = false;
    for (int i = 0; i < plan->B; i++) {
        int j = plan->B - 1 - i;
        mixed |= plan->cuts[i].mixer != NULL;
        if (i == j) {
            assert_null(plan->cuts[i].mixer);
            continue;
        }
        if (config->mode != VT_MIX_ELEM) assert_true(same_cut(&plan->cuts[i], &plan->cuts[j]));
        if (config->mode == VT_MIX_BATCH) assert_true(same_cut(&plan->cuts[i], &plan->cuts[0]));
    }
    assert_int_equal(plan->mixed, mixed);
    if (config->prob == 0) assert_false(mixed);
    if (config->prob == 1 && plan->B > 1) assert_true(mixed);
}

static vt_real original[MAX_B * MAX_PIXELS], images[MAX_B * MAX_PIXELS];
static vt_real scratch[MAX_THREADS * MAX_PIXELS];

static void check_plan(int B, const vt_mix_config *config, const vt_mix_shape *shape,
                       uint32_t batch)
{
    vt_arena arena;
    vt_mix_plan plan = place(&arena, MAX_B, shape);
    vt_rng rng = vt_rng_at(7, VT_STREAM_MIX, 0, batch);
    size_t n = (size_t)B * shape->channels * shape->height * shape->width;
    size_t allocations = vt_alloc_count();
    vt_mix_draw(&plan, B, config, shape, &rng);
    memcpy(images, original, n * sizeof *images);
    vt_mix_apply(images, &plan, shape, scratch);
    assert_int_equal(vt_alloc_count(), allocations);
    assert_int_equal(plan.B, B);
    check_modes(&plan, config);
    for (int i = 0; i < B; i++) check_cut(&plan, i, config, shape);
    check_pixels(images, original, &plan, shape);
    vt_arena_release(&arena);
}

static void every_combination(void **state)
{
    (void)state;
    static const double alphas[3][2] = {{1, 0}, {0, 0.8}, {0.7, 0.4}}, probs[3] = {0, 0.5, 1};
    static const vt_mix_shape *const shapes[3] = {&square, &wide, &odd_patch};
    static const int sizes[4] = {1, 2, 5, 8};
    for (uint32_t code = 0; code < 3 * 3 * 3 * 4 * 3 * 16; code++) {
        uint32_t c = code;
        const double *alpha = alphas[c % 3];
        vt_mix_config config = {.cutmix = alpha[0], .mixup = alpha[1], .switch_prob = 0.5};
        config.prob = probs[(c /= 3) % 3];
        config.mode = (vt_mix_mode)((c /= 3) % 3);
        int B = sizes[(c /= 3) % 4];
        const vt_mix_shape *shape = shapes[(c /= 4) % 3];
        c /= 3;
        config.grid = c & 1 ? VT_MIX_TOKEN : VT_MIX_PIXEL;
        config.box = c & 2 ? VT_BOX_OFFICIAL : VT_BOX_EXACT;
        config.correct_lam = c & 4;
        config.has_minmax = c & 8;
        config.cutmix_minmax[0] = 0.2;
        config.cutmix_minmax[1] = 0.9;
        check_plan(B, &config, shape, code);
    }
}

static void without_a_config_nothing_is_mixed(void **state)
{
    (void)state;
    vt_arena arena;
    vt_mix_plan plan = place(&arena, 3, &square);
    vt_rng rng = vt_rng_at(7, VT_STREAM_MIX, 0, 0);
    vt_mix_draw(&plan, 3, NULL, &square, &rng);
    assert_false(plan.mixed);
    for (int i = 0; i < 3; i++) check_cut(&plan, i, &plain, &square);
    vt_mix_config off = plain;
    off.cutmix = 0;
    vt_mix_draw(&plan, 3, &off, &square, &rng);
    assert_false(plan.mixed);
    vt_arena_release(&arena);
}

// ---- boxes ----

// The box that a given lambda gets for each centre, on a square of 8 patches of 4 px.
static void check_box(vt_mix_box box, double lambda, const int start[8], const int end[8])
{
    vt_mix_config config = plain;
    config.box = box;
    bool seen[8] = {false};
    vt_rng rng = vt_rng_at(3, VT_STREAM_MIX, 0, 0);
    for (int n = 0; n < 400; n++) {
        vt_mix_cut cut = {.lambda = lambda};
        // The box's own draws: first the centre's row, then its column.
        vt_rng ahead = rng;
        int cy = (int)vt_rng_below(&ahead, 8), cx = (int)vt_rng_below(&ahead, 8);
        mixer("token_cutmix")->draw(&cut, &config, &square, &rng);
        assert_int_equal(cut.y0, 4 * start[cy]);
        assert_int_equal(cut.y1, 4 * end[cy]);
        assert_int_equal(cut.x0, 4 * start[cx]);
        assert_int_equal(cut.x1, 4 * end[cx]);
        int area = (end[cy] - start[cy]) * (end[cx] - start[cx]);
        assert_true(cut.lambda == 1 - area / 64.0);
        seen[cy] = true;
    }
    for (int c = 0; c < 8; c++) assert_true(seen[c]);
}

static void boxes_by_hand(void **state)
{
    (void)state;
    // r = 3.2/8: floor 3 and round 3; official loses one.
    static const int low3[8] = {0, 0, 1, 2, 3, 4, 5, 6}, high3[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    check_box(VT_BOX_OFFICIAL, 1 - 0.4 * 0.4, low3, high3);
    static const int high3_exact[8] = {2, 3, 4, 5, 6, 7, 8, 8};
    check_box(VT_BOX_EXACT, 1 - 0.4 * 0.4, low3, high3_exact);
    // r = 3.6/8: floor 3, round 4.
    check_box(VT_BOX_OFFICIAL, 1 - 0.45 * 0.45, low3, high3);
    static const int low4[8] = {0, 0, 0, 1, 2, 3, 4, 5}, high4[8] = {2, 3, 4, 5, 6, 7, 8, 8};
    check_box(VT_BOX_EXACT, 1 - 0.45 * 0.45, low4, high4);
    // r = 1.2/8: length 1: empty, or the centre alone.
    static const int own[8] = {0, 1, 2, 3, 4, 5, 6, 7}, next[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    check_box(VT_BOX_OFFICIAL, 1 - 0.15 * 0.15, own, own);
    check_box(VT_BOX_EXACT, 1 - 0.15 * 0.15, own, next);
    // lambda 0: length 8, but the border clips it around every centre but one.
    static const int low8[8] = {0, 0, 0, 0, 0, 1, 2, 3}, high8[8] = {4, 5, 6, 7, 8, 8, 8, 8};
    check_box(VT_BOX_OFFICIAL, 0, low8, high8);
    check_box(VT_BOX_EXACT, 0, low8, high8);
}

// The share of draws on an 8x8 grid whose box is empty.
static double empty_share(vt_mix_box box, int draws)
{
    vt_mix_config config = plain;
    config.box = box;
    vt_arena arena;
    vt_mix_plan plan = place(&arena, 2, &square);
    vt_rng rng = vt_rng_at(11, VT_STREAM_MIX, 0, 0);
    int empty = 0;
    for (int n = 0; n < draws; n++) {
        vt_mix_draw(&plan, 2, &config, &square, &rng);
        assert_true(plan.mixed); // it was drawn, though nothing came of it
        empty += plan.lambda[0] == 1;
    }
    vt_arena_release(&arena);
    return (double)empty / draws;
}

static void official_boxes_are_often_empty(void **state)
{
    (void)state;
    // Length below 2: 1 - lambda < 1/16; four standard deviations of 40,000 draws are 0.5%.
    assert_true(fabs(empty_share(VT_BOX_OFFICIAL, 40000) - 1.0 / 16) < 0.005);
    // Length rounds to 0: 1 - lambda < 1/256.
    assert_true(fabs(empty_share(VT_BOX_EXACT, 40000) - 1.0 / 256) < 0.00125);
}

static void minmax_draws_lengths_in_cells(void **state)
{
    (void)state;
    vt_mix_config config = plain;
    config.cutmix = 0; // minmax alone turns CutMix on
    config.has_minmax = true;
    config.correct_lam = false;    // has no say
    config.cutmix_minmax[0] = 0.3; // 8 x 0.3: 2 patches
    config.cutmix_minmax[1] = 0.7; // 8 x 0.7: 5 patches, exclusive
    vt_arena arena;
    vt_mix_plan plan = place(&arena, 2, &square);
    vt_rng rng = vt_rng_at(5, VT_STREAM_MIX, 0, 0);
    int lengths[9] = {0}, starts[9] = {0};
    for (int n = 0; n < 2000; n++) {
        vt_mix_draw(&plan, 2, &config, &square, &rng);
        check_cut(&plan, 0, &config, &square);
        const vt_mix_cut *cut = &plan.cuts[0];
        lengths[(cut->y1 - cut->y0) / 4]++;
        if (cut->x1 - cut->x0 == 8) starts[cut->x0 / 4]++;
    }
    for (int l = 0; l < 9; l++) assert_int_equal(lengths[l] > 0, l >= 2 && l <= 4);
    for (int s = 0; s < 9; s++) assert_int_equal(starts[s] > 0, s < 6); // never at the far border
    vt_arena_release(&arena);
}

static void empty_ranges_of_minmax_are_harmless(void **state)
{
    (void)state;
    static const double ends[4][2] = {{0, 0}, {0.3, 0.3}, {0.99, 1}, {1, 1}};
    vt_arena arena;
    vt_mix_plan plan = place(&arena, 2, &square);
    vt_rng rng = vt_rng_at(5, VT_STREAM_MIX, 0, 0);
    for (int e = 0; e < 4; e++) {
        vt_mix_config config = plain;
        config.has_minmax = true;
        memcpy(config.cutmix_minmax, ends[e], sizeof ends[e]);
        vt_mix_draw(&plan, 2, &config, &square, &rng);
        check_cut(&plan, 0, &config, &square);
        int length = (int)(8 * ends[e][0]);
        assert_int_equal(plan.cuts[0].y1 - plan.cuts[0].y0, 4 * length);
        assert_true(plan.lambda[0] == (vt_real)((64 - length * length) / 64.0));
    }
    vt_arena_release(&arena);
}

// ---- distributions ----

static void lambda_is_drawn_from_beta(void **state)
{
    (void)state;
    static const double alphas[3] = {0.2, 1, 2.5};
    enum { N = 20000 };
    vt_arena arena;
    vt_mix_plan plan = place(&arena, 2, &square);
    for (int a = 0; a < 3; a++)
        for (int cuts = 0; cuts < 2; cuts++) {
            vt_mix_config config = plain;
            config.cutmix = cuts ? alphas[a] : 0;
            config.mixup = cuts ? 0 : alphas[a];
            config.correct_lam = false;
            vt_rng rng = vt_rng_at(13, VT_STREAM_MIX, (uint32_t)a, 0);
            double sum = 0, squares = 0;
            for (int n = 0; n < N; n++) {
                vt_mix_draw(&plan, 2, &config, &square, &rng);
                double centred = (double)plan.lambda[0] - 0.5;
                sum += centred, squares += centred * centred;
            }
            // Variance of Beta(a,a); the mean to five standard deviations, the variance to 5%.
            double variance = 1 / (4 * (2 * alphas[a] + 1));
            assert_true(fabs(sum / N) < 5 * sqrt(variance / N));
            assert_true(fabs(squares / N / variance - 1) < 0.05);
        }
    vt_arena_release(&arena);
}

static void prob_and_switch_prob_are_frequencies(void **state)
{
    (void)state;
    enum { N = 10000, B = 4 };
    vt_arena arena;
    vt_mix_plan plan = place(&arena, B, &square);
    for (int mode = VT_MIX_BATCH; mode <= VT_MIX_ELEM; mode++) {
        vt_mix_config config = plain;
        config.mixup = 0.8;
        config.mode = (vt_mix_mode)mode;
        config.prob = 0.5;
        config.switch_prob = 0.3;
        vt_rng rng = vt_rng_at(17, VT_STREAM_MIX, 0, 0);
        int mixed = 0, cut = 0, unlike = 0, unlike_partner = 0;
        for (int n = 0; n < N; n++) {
            vt_mix_draw(&plan, B, &config, &square, &rng);
            const vt_mixer *m = plan.cuts[0].mixer;
            mixed += m != NULL;
            cut += m && m->cuts;
            unlike += (m != NULL) != (plan.cuts[1].mixer != NULL);
            unlike_partner += (m != NULL) != (plan.cuts[B - 1].mixer != NULL);
        }
        // Standard deviations: 0.005 and 0.0065.
        assert_true(fabs((double)mixed / N - 0.5) < 0.02);
        assert_true(fabs((double)cut / mixed - 0.3) < 0.03);
        // Samples 0 and 1 belong to different pairs.
        assert_true(fabs((double)unlike / N - (mode == VT_MIX_BATCH ? 0 : 0.5)) < 0.02);
        assert_true(fabs((double)unlike_partner / N - (mode == VT_MIX_ELEM ? 0.5 : 0)) < 0.02);
    }
    vt_arena_release(&arena);
}

static void one_key_gives_one_plan(void **state)
{
    (void)state;
    vt_mix_config config = plain;
    config.mixup = 0.8;
    config.mode = VT_MIX_ELEM;
    vt_arena arenas[2];
    vt_mix_plan plans[2];
    static vt_real results[2][MAX_B * MAX_PIXELS];
    for (int k = 0; k < 2; k++) {
        plans[k] = place(&arenas[k], MAX_B, &square);
        vt_rng rng = vt_rng_at(19, VT_STREAM_MIX, 2, 3);
        vt_mix_draw(&plans[k], MAX_B, &config, &square, &rng);
        memcpy(results[k], original, sizeof original);
        vt_threads_set(k ? MAX_THREADS : 1);
        vt_mix_apply(results[k], &plans[k], &square, scratch);
    }
    vt_threads_set(2);
    assert_memory_equal(arenas[0].base, arenas[1].base, arenas[0].used);
    assert_memory_equal(results[0], results[1], sizeof results[0]);
    vt_rng other = vt_rng_at(19, VT_STREAM_MIX, 2, 4);
    vt_mix_draw(&plans[1], MAX_B, &config, &square, &other);
    assert_memory_not_equal(plans[0].lambda, plans[1].lambda, MAX_B * sizeof(vt_real));
    for (int k = 0; k < 2; k++) vt_arena_release(&arenas[k]);
}

static int fill_original(void **state)
{
    (void)state;
    vt_threads_set(2);
    vt_rng rng = vt_rng_at(1, VT_STREAM_SYNTHETIC, 0, 0);
    for (size_t i = 0; i < sizeof original / sizeof *original; i++)
        original[i] = (vt_real)vt_rng_normal(&rng);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_combination),
        cmocka_unit_test(without_a_config_nothing_is_mixed),
        cmocka_unit_test(boxes_by_hand),
        cmocka_unit_test(official_boxes_are_often_empty),
        cmocka_unit_test(minmax_draws_lengths_in_cells),
        cmocka_unit_test(empty_ranges_of_minmax_are_harmless),
        cmocka_unit_test(lambda_is_drawn_from_beta),
        cmocka_unit_test(prob_and_switch_prob_are_frequencies),
        cmocka_unit_test(one_key_gives_one_plan),
    };
    return cmocka_run_group_tests_name("mix", tests, fill_original, NULL);
}
