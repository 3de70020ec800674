// The label room. TL-Align in shares is held against the dense form of the paper, in which every
// token carries a vector over all classes.
#include "dense.h"
#include "vitrain/label/label.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { GRID = 4, N = GRID * GRID, MAX_T = N + 2, H = 3, LAYERS = 4, B = 5, K = 7 };
#define SMOOTHING 0.1

// The dense form is computed in double from the maps as they are, whose rows sum to 1 within the
// rounding of vt_real: 1e-6 is what the design promises for float.
#define TOLERANCE (sizeof(vt_real) == 4 ? 1e-6 : 1e-13)

static const vt_mix_shape shape = {1, 4 * GRID, 4 * GRID, 4};

// ---- a batch to work on ----

typedef struct batch {
    vt_arena arena;
    vt_mix_plan plan;
    vt_label label;
    vt_token_layout layout;
} batch;

static vt_token_layout layout_of(vt_pool pool, bool distilled)
{
    int prefix = distilled ? 2 : 1;
    return (vt_token_layout){.tokens = N + prefix,
                             .last_tokens = N + prefix,
                             .prefix = prefix,
                             .grid_h = GRID,
                             .grid_w = GRID,
                             .pool = pool,
                             .distilled = distilled};
}

static void setup(batch *b, const char *rule, vt_token_layout layout)
{
    *b = (batch){.layout = layout};
    assert_int_equal(vt_label_init(&b->label, rule, &layout), VT_OK);
    for (int pass = 0; pass < 2; pass++) {
        vt_mix_plan_place(&b->plan, &b->arena, B, layout.grid_h * layout.grid_w);
        vt_label_place(&b->label, &b->arena, B);
        if (pass == 0) assert_int_equal(vt_arena_reserve(&b->arena), VT_OK);
    }
}

// A plan written by hand: every sample but the middle one is mixed.
static void set_plan(batch *b, const double *share, double lambda)
{
    vt_mix_plan *plan = &b->plan;
    plan->mixed = true;
    for (int i = 0; i < B; i++) {
        plan->partner[i] = B - 1 - i;
        plan->lambda[i] = (vt_real)(i == B / 2 ? 1 : lambda);
        for (int t = 0; t < plan->N; t++)
            plan->share[i * plan->N + t] = (vt_real)(i == B / 2 ? 1 : share[t]);
    }
}

// (heads,T,T) softmaxes of normal scores.
static void random_maps(vt_real *maps, int heads, int T, double spread, vt_rng *rng)
{
    for (int row = 0; row < heads * T; row++, maps += T) {
        double e[256], sum = 0;
        for (int j = 0; j < T; j++) sum += e[j] = exp(spread * vt_rng_normal(rng));
        for (int j = 0; j < T; j++) maps[j] = (vt_real)(e[j] / sum);
    }
}

static vt_real all_maps[LAYERS][B][H * MAX_T * MAX_T];

static void fill_maps(int T, double spread, vt_rng *rng)
{
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i < B; i++) random_maps(all_maps[l][i], H, T, spread, rng);
}

// The batch's shares after all layers. Returns whether the rule looked at the maps.
static bool run(batch *b, vt_real *share, vt_real *share_dist)
{
    vt_attn_hook hook = {0};
    size_t allocations = vt_alloc_count();
    bool looks = vt_label_begin(&b->label, &b->plan, &hook);
    for (int l = 0; looks && l < LAYERS; l++)
        for (int i = B - 1; i >= 0; i--) {
            const vt_attn_view view = {.layer = l, .sample = i, .H = H, .T = b->layout.tokens};
            vt_dense_hear(&hook, view, all_maps[l][i]);
        }
    vt_label_finish(&b->label, share, share_dist);
    assert_int_equal(vt_alloc_count(), allocations);
    return looks;
}

// ---- the dense oracle: labels (T,K) per sample ----

static void one_hot(double *y, int label)
{
    for (int k = 0; k < K; k++) y[k] = SMOOTHING / K + (k == label ? 1 - SMOOTHING : 0);
}

static void dense_start(double (*y)[K], const batch *b, int i, const int32_t *labels)
{
    double own[K], other[K];
    int prefix = b->layout.prefix;
    one_hot(own, labels[i]);
    one_hot(other, labels[b->plan.partner[i]]);
    memset(y, 0, sizeof *y * (size_t)prefix);
    for (int t = 0; t < N; t++)
        for (int k = 0; k < K; k++) {
            double s = b->plan.share[i * N + t];
            y[prefix + t][k] = s * own[k] + (1 - s) * other[k];
            for (int p = 0; p < prefix; p++) y[p][k] += y[prefix + t][k] / N;
        }
}

static void dense_layer(double (*y)[K], const vt_real *maps, int T)
{
    double moved[MAX_T][K] = {{0}};
    for (int i = 0; i < T; i++)
        for (int j = 0; j < T; j++) {
            double mean = 0;
            for (int h = 0; h < H; h++) mean += (double)maps[(h * T + i) * T + j] / H;
            for (int k = 0; k < K; k++) moved[i][k] += mean * y[j][k];
        }
    for (int i = 0; i < T; i++)
        for (int k = 0; k < K; k++) y[i][k] = (y[i][k] + moved[i][k]) / 2;
}

static void dense_targets(double *head, double *head_dist, const batch *b, int i,
                          const int32_t *labels)
{
    static double y[MAX_T][K];
    int T = b->layout.tokens, prefix = b->layout.prefix;
    dense_start(y, b, i, labels);
    for (int l = 0; l < LAYERS; l++) dense_layer(y, all_maps[l][i], T);
    for (int k = 0; k < K; k++) {
        double mean = 0;
        for (int t = prefix; t < T; t++) mean += y[t][k] / N;
        head[k] = b->layout.pool == VT_POOL_AVG ? mean : y[0][k];
        head_dist[k] = y[1][k];
    }
}

static void check_targets(const batch *b, const vt_real *share, const vt_real *share_dist,
                          const int32_t *labels)
{
    vt_real target[B * K], target_dist[B * K];
    vt_label_target(target, labels, b->plan.partner, share, SMOOTHING, B, K);
    vt_label_target(target_dist, labels, b->plan.partner, share_dist, SMOOTHING, B, K);
    for (int i = 0; i < B; i++) {
        double head[K], head_dist[K];
        dense_targets(head, head_dist, b, i, labels);
        assert_true(share[i] >= 0 && share[i] <= 1);
        for (int k = 0; k < K; k++) {
            assert_true(fabs((double)target[i * K + k] - head[k]) <= TOLERANCE);
            if (b->layout.distilled)
                assert_true(fabs((double)target_dist[i * K + k] - head_dist[k]) <= TOLERANCE);
        }
    }
}

// ---- TL-Align ----

static void agrees_with_dense_labels(void **state)
{
    (void)state;
    static const double alphas[3][2] = {{1, 0}, {0, 0.8}, {1, 0.8}};
    static const vt_token_layout heads[3] = {
        {.pool = VT_POOL_TOKEN}, {.pool = VT_POOL_AVG}, {.pool = VT_POOL_TOKEN, .distilled = true}};
    static const int32_t labels[B] = {0, 3, 6, 3, 5}; // samples 1 and 3: partners of one class
    vt_rng rng = vt_rng_at(23, VT_STREAM_SYNTHETIC, 0, 0);
    for (uint32_t code = 0; code < 3 * 3 * 3 * 8; code++) {
        uint32_t c = code;
        vt_mix_config config = {.prob = 0.9, .switch_prob = 0.5};
        config.cutmix = alphas[c % 3][0];
        config.mixup = alphas[c % 3][1];
        config.mode = (vt_mix_mode)(c / 3 % 3);
        const vt_token_layout *head = &heads[c / 9 % 3];
        c /= 27;
        config.grid = c & 1 ? VT_MIX_TOKEN : VT_MIX_PIXEL;
        config.box = c & 2 ? VT_BOX_OFFICIAL : VT_BOX_EXACT;
        config.correct_lam = c & 4;
        batch b;
        setup(&b, "tl-align", layout_of(head->pool, head->distilled));
        vt_rng draws = vt_rng_at(29, VT_STREAM_MIX, 0, code);
        vt_mix_draw(&b.plan, B, &config, &shape, &draws);
        fill_maps(b.layout.tokens, 2, &rng);
        vt_real share[B], share_dist[B] = {0};
        assert_int_equal(run(&b, share, head->distilled ? share_dist : NULL), b.plan.mixed);
        check_targets(&b, share, share_dist, labels);
        vt_arena_release(&b.arena);
    }
}

// Two patches of shares 1 and 0; the class token starts with 1/2. One head, one layer:
//     class:  (1/2 + (1/4 1/2 + 1/2 1 + 1/4 0)) / 2 = 9/16
//     first:  (1   + (1/2 1/2 + 1/4 1 + 1/4 0)) / 2 = 3/4
//     second: (0   + (0   1/2 + 1/2 1 + 1/2 0)) / 2 = 1/4
static void moves_a_share_by_hand(void **state)
{
    (void)state;
    static const vt_real maps[9] = {0.25, 0.5, 0.25, 0.5, 0.25, 0.25, 0, 0.5, 0.5};
    static const double shares[2] = {1, 0};
    vt_token_layout layout = {.tokens = 3, .last_tokens = 3, .prefix = 1, .grid_h = 1, .grid_w = 2};
    for (int avg = 0; avg < 2; avg++) {
        layout.pool = avg ? VT_POOL_AVG : VT_POOL_TOKEN;
        batch b;
        setup(&b, "tl-align", layout);
        set_plan(&b, shares, 0.5);
        vt_attn_hook hook;
        assert_true(vt_label_begin(&b.label, &b.plan, &hook));
        for (int i = 0; i < B; i++)
            vt_dense_hear(&hook, (vt_attn_view){.sample = i, .H = 1, .T = 3}, maps);
        vt_real share[B];
        vt_label_finish(&b.label, share, NULL);
        for (int i = 0; i < B; i++)
            assert_true(share[i] == (vt_real)(i == B / 2 ? 1 : avg ? 0.5 : 9.0 / 16));
        vt_arena_release(&b.arena);
    }
}

// Sharp attention from a class token to one patch carries that patch's share over: after L layers
// 1 - 2^-L of the way.
static void class_token_takes_what_it_looks_at(void **state)
{
    (void)state;
    static const double shares[N] = {[5] = 1};
    batch b;
    setup(&b, "tl-align", layout_of(VT_POOL_TOKEN, true));
    set_plan(&b, shares, 1.0 / N);
    int T = b.layout.tokens;
    memset(all_maps, 0, sizeof all_maps);
    for (int l = 0; l < LAYERS; l++)
        for (int i = 0; i < B; i++)
            for (int h = 0; h < H; h++)
                for (int t = 0; t < T; t++) {
                    int seen = t == 0 ? 2 + 5 : t == 1 ? 2 + 6 : t; // patches see themselves
                    all_maps[l][i][(h * T + t) * T + seen] = 1;
                }
    vt_real share[B], share_dist[B];
    run(&b, share, share_dist);
    double left = pow(0.5, LAYERS);
    assert_true(fabs((double)share[0] - (left / N + 1 - left)) <= TOLERANCE);
    assert_true(fabs((double)share_dist[0] - left / N) <= TOLERANCE);
    vt_arena_release(&b.arena);
}

static void uniform_stays_uniform(void **state)
{
    (void)state;
    vt_rng rng = vt_rng_at(31, VT_STREAM_SYNTHETIC, 0, 0);
    for (int n = 0; n < 50; n++) {
        batch b;
        setup(&b, "tl-align",
              n % 2 ? layout_of(VT_POOL_AVG, false) : layout_of(VT_POOL_TOKEN, true));
        double lambda = n == 0 ? 0 : n == 1 ? 1 : vt_rng_uniform(&rng), shares[N];
        for (int t = 0; t < N; t++) shares[t] = lambda;
        set_plan(&b, shares, lambda);
        fill_maps(b.layout.tokens, 3, &rng);
        vt_real share[B], share_dist[B];
        run(&b, share, share_dist);
        for (int i = 0; i < B; i++) {
            assert_true(share[i] == b.plan.lambda[i]);
            if (b.layout.distilled) assert_true(share_dist[i] == b.plan.lambda[i]);
        }
        vt_arena_release(&b.arena);
    }
}

// Maps whose rows sum to a little more than 1, as rounding may have it.
static void shares_stay_within_bounds(void **state)
{
    (void)state;
    vt_rng rng = vt_rng_at(37, VT_STREAM_SYNTHETIC, 0, 0);
    double shares[N];
    for (int first = 0; first < 2; first++) {
        for (int t = 0; t < N; t++) shares[t] = t ? !first : first;
        batch b;
        setup(&b, "tl-align", layout_of(VT_POOL_TOKEN, false));
        set_plan(&b, shares, 0.5);
        fill_maps(b.layout.tokens, 0.1, &rng);
        int T = b.layout.tokens;
        for (int l = 0; l < LAYERS; l++)
            for (int i = 0; i < B; i++)
                for (int h = 0; h < H; h++) {
                    vt_real *row = all_maps[l][i] + (size_t)h * T * T;
                    memset(row, 0, sizeof *row * (size_t)T);
                    row[2] = (vt_real)1.01; // the class token looks at the second patch alone
                    for (int t = 1; t < T; t++) row[t * T + 2] += 1;
                }
        vt_real share[B];
        run(&b, share, NULL);
        for (int i = 0; i < B; i++) assert_true(share[i] >= 0 && share[i] <= 1);
        vt_arena_release(&b.arena);
    }
}

// ---- windows ----

#define WINDOW 5 // tokens of a window; ROWS - N rows are padding
#define WINDOWS 4
#define ROWS (WINDOWS * WINDOW)

// The same move without windows: A (N,N) is zero between windows, and rows lose their padding and
// are scaled back to 1.
static void windowed_layer_dense(double *s, const vt_real *maps, const int32_t *order)
{
    double moved[N];
    for (int w = 0; w < WINDOWS; w++)
        for (int i = 0; i < WINDOW; i++) {
            double sum = 0, mass = 0;
            for (int j = 0; j < WINDOW; j++) {
                double mean = 0;
                for (int h = 0; h < H; h++)
                    mean += (double)maps[((w * H + h) * WINDOW + i) * WINDOW + j] / H;
                int token = order[w * WINDOW + j];
                if (token < 0) continue;
                sum += mean * s[token];
                mass += mean;
            }
            int own = order[w * WINDOW + i];
            if (own >= 0) moved[own] = sum / mass;
        }
    for (int t = 0; t < N; t++) s[t] = (s[t] + moved[t]) / 2;
}

static void windows_move_their_own_tokens(void **state)
{
    (void)state;
    vt_rng rng = vt_rng_at(41, VT_STREAM_SYNTHETIC, 0, 0);
    vt_token_layout layout = {
        .tokens = N, .last_tokens = N, .grid_h = GRID, .grid_w = GRID, .pool = VT_POOL_AVG};
    batch b;
    setup(&b, "tl-align", layout);
    double shares[N], expected[N], mean = 0;
    for (int t = 0; t < N; t++) expected[t] = shares[t] = vt_rng_uniform(&rng);
    set_plan(&b, shares, 0.5);
    vt_attn_hook hook;
    assert_true(vt_label_begin(&b.label, &b.plan, &hook));
    for (int l = 0; l < LAYERS; l++) {
        static vt_real maps[WINDOWS * H * WINDOW * WINDOW];
        uint32_t order[ROWS];
        int32_t tokens[ROWS];
        vt_rng_permutation(&rng, ROWS, order);
        for (int r = 0; r < ROWS; r++) tokens[r] = order[r] < N ? (int32_t)order[r] : -1;
        random_maps(maps, WINDOWS * H, WINDOW, 2, &rng);
        windowed_layer_dense(expected, maps, tokens);
        for (int w = 0; w < WINDOWS; w++)
            for (int i = 0; i < B; i++)
                vt_dense_hear(&hook,
                              (vt_attn_view){.layer = l,
                                             .sample = i,
                                             .window = w,
                                             .H = H,
                                             .T = WINDOW,
                                             .tokens = tokens + w * WINDOW},
                              maps + w * H * WINDOW * WINDOW);
    }
    vt_real share[B];
    vt_label_finish(&b.label, share, NULL);
    for (int t = 0; t < N; t++) mean += expected[t] / N;
    for (int i = 0; i < B; i++) {
        if (i == B / 2)
            assert_true(share[i] == 1); // unmixed: uniform, padding or not
        else
            assert_true(fabs((double)share[i] - mean) <= TOLERANCE);
    }
    vt_arena_release(&b.arena);
}

// A real token that sees nothing but padding keeps its share.
static void a_window_of_padding_changes_nothing(void **state)
{
    (void)state;
    static const vt_real maps[4] = {0, 1, 0, 1};
    static const int32_t tokens[2] = {1, -1}, padding[2] = {-1, -1};
    static const double shares[2] = {1, 0.25};
    vt_token_layout layout = {
        .tokens = 2, .last_tokens = 2, .grid_h = 1, .grid_w = 2, .pool = VT_POOL_AVG};
    batch b;
    setup(&b, "tl-align", layout);
    set_plan(&b, shares, 0.5);
    vt_attn_hook hook;
    assert_true(vt_label_begin(&b.label, &b.plan, &hook));
    vt_dense_hear(&hook, (vt_attn_view){.H = 1, .T = 2, .tokens = tokens}, maps);
    vt_dense_hear(&hook, (vt_attn_view){.H = 1, .T = 2, .tokens = padding}, maps);
    vt_real share[B];
    vt_label_finish(&b.label, share, NULL);
    assert_true(share[0] == (vt_real)0.625);
    vt_arena_release(&b.arena);
}

// ---- TransMix ----

// The formula as it is written, in double, from the last layer's maps. row: of the head's token.
static double naive_transmix(const batch *b, int i, int row)
{
    const int T = b->layout.tokens, prefix = b->layout.prefix;
    double own = 0, other = 0;
    for (int t = 0; t < N; t++) {
        double a = 0, m = b->plan.share[i * N + t];
        for (int h = 0; h < H; h++)
            a += (double)all_maps[LAYERS - 1][i][(h * T + row) * T + prefix + t] / H;
        own += m * a;
        other += (1 - m) * a;
    }
    return 1 - ((1 - (double)b->plan.lambda[i]) + other / (own + other)) / 2;
}

static void transmix_is_its_formula(void **state)
{
    (void)state;
    vt_rng rng = vt_rng_at(43, VT_STREAM_SYNTHETIC, 0, 0);
    int cut = 0;
    for (uint32_t n = 0; n < 60; n++) {
        const bool distilled = n % 2;
        const vt_mix_config config = {.cutmix = 1,
                                      .mixup = 0.8,
                                      .prob = 1,
                                      .switch_prob = 0.5,
                                      .mode = (vt_mix_mode)(n % 3),
                                      .grid = n % 4 < 2 ? VT_MIX_TOKEN : VT_MIX_PIXEL,
                                      .correct_lam = true};
        batch b;
        setup(&b, "transmix", layout_of(VT_POOL_TOKEN, distilled));
        vt_rng draws = vt_rng_at(47, VT_STREAM_MIX, 0, n);
        vt_mix_draw(&b.plan, B, &config, &shape, &draws);
        fill_maps(b.layout.tokens, 2, &rng);
        vt_real share[B], share_dist[B];
        assert_int_equal(run(&b, share, distilled ? share_dist : NULL), b.plan.mixed);
        for (int i = 0; b.plan.mixed && i < B; i++) {
            const vt_mixer *mixer = b.plan.cuts[i].mixer;
            if (!mixer || !mixer->cuts) { // Mixup, and the middle of an odd batch
                assert_true(share[i] == b.plan.lambda[i]);
                if (distilled) assert_true(share_dist[i] == b.plan.lambda[i]);
                continue;
            }
            cut++;
            assert_true(fabs((double)share[i] - naive_transmix(&b, i, 0)) <= TOLERANCE);
            if (distilled)
                assert_true(fabs((double)share_dist[i] - naive_transmix(&b, i, 1)) <= TOLERANCE);
        }
        vt_arena_release(&b.arena);
    }
    assert_true(cut > 50);
}

static void transmix_wants_a_class_token(void **state)
{
    (void)state;
    vt_label label;
    vt_token_layout layout = layout_of(VT_POOL_AVG, false);
    assert_int_equal(vt_label_init(&label, "transmix", &layout), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "model.pool"));
}

// ---- the rest of the room ----

static void area_is_lambda(void **state)
{
    (void)state;
    static const double shares[N] = {0};
    batch b;
    setup(&b, "area", layout_of(VT_POOL_TOKEN, true));
    set_plan(&b, shares, 0.3);
    vt_real share[B], share_dist[B];
    assert_false(run(&b, share, share_dist));
    for (int i = 0; i < B; i++) {
        assert_true(share[i] == b.plan.lambda[i]);
        assert_true(share_dist[i] == b.plan.lambda[i]);
    }
    vt_label_finish(&b.label, share, NULL);
    vt_arena_release(&b.arena);
}

static void unmixed_batches_need_no_attention(void **state)
{
    (void)state;
    for (int r = 0; vt_label_rules[r]; r++) {
        batch b;
        setup(&b, vt_label_rules[r]->name, layout_of(VT_POOL_TOKEN, true));
        vt_rng rng = vt_rng_at(1, VT_STREAM_MIX, 0, 0);
        vt_mix_draw(&b.plan, B, NULL, &shape, &rng);
        vt_real share[B] = {0}, share_dist[B] = {0};
        assert_false(run(&b, share, share_dist));
        for (int i = 0; i < B; i++) assert_true(share[i] == 1 && share_dist[i] == 1);
        vt_arena_release(&b.arena);
    }
}

static void target_by_hand(void **state)
{
    (void)state;
    static const int32_t labels[4] = {0, 2, 2, 1}, partner[4] = {3, 2, 1, 3};
    static const vt_real share[4] = {0.75, 0.5, 0.25, 1};
    // off = 0.3 / 3 = 0.1, on = 0.8
    static const double expected[4][3] = {{0.1 + 0.7 * 0.75, 0.1 + 0.7 * 0.25, 0.1},
                                          {0.1, 0.1, 0.8},
                                          {0.1, 0.1, 0.8},
                                          {0.1, 0.8, 0.1}};
    vt_real target[12];
    vt_label_target(target, labels, partner, share, 0.3, 4, 3);
    for (int i = 0; i < 12; i++) // a rounding of vt_real
        assert_true(fabs((double)target[i] - expected[i / 3][i % 3]) <= TOLERANCE / 10);
    vt_label_target(target, labels, partner, share, 0, 4, 3);
    assert_true(target[0] == (vt_real)0.75 && target[1] == (vt_real)0.25 && target[2] == 0);
    vt_label_target(target, labels, NULL, NULL, 0, 4, 3);
    for (int i = 0; i < 12; i++) assert_true(target[i] == (i % 3 == labels[i / 3]));
}

static void unknown_rules_are_named(void **state)
{
    (void)state;
    vt_label label;
    vt_token_layout layout = layout_of(VT_POOL_TOKEN, false);
    assert_int_equal(vt_label_init(&label, "tlalign", &layout), VT_ERR_CONFIG);
    assert_non_null(strstr(vt_error_message(), "\"tlalign\""));
    assert_non_null(strstr(vt_error_message(), "did you mean \"tl-align\""));
    assert_int_equal(vt_label_init(&label, "something else", &layout), VT_ERR_CONFIG);
    for (int r = 0; vt_label_rules[r]; r++)
        assert_non_null(strstr(vt_error_message(), vt_label_rules[r]->name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_dense_labels),
        cmocka_unit_test(moves_a_share_by_hand),
        cmocka_unit_test(class_token_takes_what_it_looks_at),
        cmocka_unit_test(uniform_stays_uniform),
        cmocka_unit_test(shares_stay_within_bounds),
        cmocka_unit_test(windows_move_their_own_tokens),
        cmocka_unit_test(a_window_of_padding_changes_nothing),
        cmocka_unit_test(transmix_is_its_formula),
        cmocka_unit_test(transmix_wants_a_class_token),
        cmocka_unit_test(area_is_lambda),
        cmocka_unit_test(unmixed_batches_need_no_attention),
        cmocka_unit_test(target_by_hand),
        cmocka_unit_test(unknown_rules_are_named),
    };
    return cmocka_run_group_tests_name("label", tests, NULL, NULL);
}
