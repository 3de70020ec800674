// Swin's windows and merging as hooks see them, by hand; TL-Align through a whole model against
// labels that are moved densely.
#include "numcheck.h"

#include "staged.h"
#include "vitrain/label/label.h"

#include <math.h>
#include <string.h>

enum { B = VT_STAGED_B, K = VT_STAGED_K, MAX_TOKENS = 64, MAX_LAYERS = 8 };

static const vt_step_key KEY = {0};

// ---- what hooks see ----

typedef struct seen {
    int32_t tokens[MAX_LAYERS][MAX_TOKENS * 4]; // of all windows, one after the other
    int T[MAX_LAYERS];
    vt_real between; // the most that tokens see of one another in the shifted layer's last window
    int32_t children[MAX_TOKENS];
    int merged, merge_layer, merges;
} seen;

static void see_attention(void *self, const vt_attn_view *view)
{
    seen *s = self;
    if (view->sample != 1 || view->head != 0) return;
    memcpy(s->tokens[view->layer] + view->window * view->T, view->tokens,
           (size_t)view->T * sizeof *view->tokens);
    s->T[view->layer] = view->T;
    if (view->layer != 1 || view->window != 3) return;
    for (int i = 0; i < view->T; i++)
        for (int j = 0; j < view->T; j++) {
            const vt_real p = view->map[i * view->ld + j];
            if (i != j && p > s->between) s->between = p;
        }
}

static void see_merge(void *self, const vt_merge_view *view)
{
    seen *s = self;
    if (view->sample != 1) return;
    memcpy(s->children, view->children, (size_t)view->count * 4 * sizeof *view->children);
    s->merged = view->count;
    s->merge_layer = view->layer;
    s->merges++;
}

static void look(seen *s, const vt_model_config *c)
{
    vt_rig *rig = vt_staged_rig(c, "area");
    const vt_attn_hook hook = {s, see_attention, see_merge, true};
    *s = (seen){.between = 0};
    vt_step_compute(&rig->step, rig->weights, rig->grads, rig->images, rig->labels, B, &hook, 1,
                    false, KEY);
    vt_rig_destroy(rig);
}

#define ASSERT_LIST(got, ...)                                    \
    do {                                                         \
        static const int32_t expected_[] = {__VA_ARGS__};        \
        assert_memory_equal((got), expected_, sizeof expected_); \
    } while (0)

// A 4 x 4 map in windows of 2 x 2, then rolled by one up and left: the last window holds the four
// corners, which see nothing of each other.
static void windows_and_shift_by_hand(void **state)
{
    (void)state;
    static seen s;
    const vt_model_config c = vt_staged_shape(4, 4, 2, 2);
    look(&s, &c);
    assert_int_equal(s.T[0], 4);
    ASSERT_LIST(s.tokens[0], 0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15);
    ASSERT_LIST(s.tokens[1], 5, 6, 9, 10, 7, 4, 11, 8, 13, 14, 1, 2, 15, 12, 3, 0);
    assert_true(s.between < (vt_real)1e-30);
    // Column by column; then one window is the whole map, and nothing is shifted.
    assert_true(s.merged == 4 && s.merge_layer == 2 && s.merges == 1);
    ASSERT_LIST(s.children, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    ASSERT_LIST(s.tokens[2], 0, 1, 2, 3);
    ASSERT_LIST(s.tokens[3], 0, 1, 2, 3);
}

// 3 x 4 tokens in windows of 2 x 2: the map is rolled, then zeros come below. Merged to 2 x 2,
// while timm takes the side of 3 for 1 after halving: windows of 1 x 2.
static void padding_by_hand(void **state)
{
    (void)state;
    static seen s;
    const vt_model_config c = vt_staged_shape(3, 4, 2, 2);
    look(&s, &c);
    ASSERT_LIST(s.tokens[0], 0, 1, 4, 5, 2, 3, 6, 7, 8, 9, -1, -1, 10, 11, -1, -1);
    ASSERT_LIST(s.tokens[1], 5, 6, 9, 10, 7, 4, 11, 8, 1, 2, -1, -1, 3, 0, -1, -1);
    assert_int_equal(s.merged, 4);
    ASSERT_LIST(s.children, 0, 4, 1, 5, 2, 6, 3, 7, 8, -1, 9, -1, 10, -1, 11, -1);
    assert_int_equal(s.T[2], 2);
    ASSERT_LIST(s.tokens[2], 0, 1, 2, 3);
}

// ---- TL-Align ----

static void mix(vt_rig *rig, const vt_real *shares)
{
    vt_mix_plan *plan = &rig->step.plan;
    plan->mixed = true;
    for (int i = 0; i < B; i++) plan->partner[i] = B - 1 - i, plan->lambda[i] = (vt_real)0.5;
    memcpy(plan->share, shares, (size_t)(B * plan->N) * sizeof *shares);
}

// Everybody looks at a window's first token only. 4 x 4 map, windows of 2 shifted by 1 in the
// second layer, then merged. Patch 0 alone is all of the other image, so:
//
//     layer 0: the window (0,1,4,5) looks at 0: s0 = 0, s1 = s4 = s5 = 1/2, the others stay 1
//     layer 1: (5,6,9,10) looks at 5: 1/2, 3/4, 3/4, 3/4; (7,4,11,8) at 7: 1, 3/4, 1, 1;
//              (13,14,1,2) at 13: 1, 1, 3/4, 1; (15,12,3,0) at 15: 1, 1, 1, 1/2
//     merged: (0,4,1,5) -> 5/8, (2,6,3,7) -> 15/16, (8,12,9,13) -> 15/16, (10,14,11,15) -> 15/16
//     and layers 2 and 3 look at the first: 5/8, 25/32 x 3, then 5/8, 45/64 x 3; mean 175/256.
static void shares_by_hand(void **state)
{
    (void)state;
    enum { T = 4, LD = 16 };
    static const int32_t windows[4][16] = {{0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15},
                                           {5, 6, 9, 10, 7, 4, 11, 8, 13, 14, 1, 2, 15, 12, 3, 0},
                                           {0, 1, 2, 3},
                                           {0, 1, 2, 3}};
    static const int32_t children[16] = {0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15};
    const vt_model_config c = vt_staged_shape(4, 4, 2, 2);
    vt_rig *rig = vt_staged_rig(&c, "tl-align");
    vt_real shares[B * 16], map[T * LD] = {0}, share[B];
    for (int i = 0; i < B * 16; i++) shares[i] = i % 16 != 0;
    for (int i = 0; i < T; i++) map[i * LD] = 1;
    mix(rig, shares);
    vt_attn_hook hook;
    vt_label *label = &rig->step.label;
    assert_true(vt_label_begin(label, &rig->step.plan, &hook));
    for (int layer = 0; layer < 4; layer++) {
        const vt_merge_view merge = {layer, 1, 4, children};
        if (layer == 2) hook.on_merge(hook.self, &merge);
        for (int w = 0; w < (layer < 2 ? 4 : 1); w++) {
            const vt_attn_view view = {.layer = layer,
                                       .sample = 1,
                                       .window = w,
                                       .H = 1,
                                       .R = T,
                                       .T = T,
                                       .ld = LD,
                                       .map = map,
                                       .tokens = windows[layer] + w * T};
            hook.on_attention(hook.self, &view);
        }
    }
    vt_label_finish(label, share, NULL);
    assert_true(share[1] == (vt_real)(175.0 / 256));
    vt_rig_destroy(rig);
}

// A token's label: K numbers.
typedef struct label_map {
    int h, w;
    double at[MAX_TOKENS][K];
} label_map;

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

// One layer of dense labels: what row and column (y, x) of the rolled and padded map holds is
// worked out anew for each pair of tokens. maps: (windows,H,T,T) of this image.
static void attend_densely(label_map *m, const vt_real *maps, int H, int wh, int ww, int sh, int sw)
{
    static label_map next;
    const int across = (m->w + ww - 1) / ww, T = wh * ww;
    next = *m;
    for (int token = 0; token < m->h * m->w; token++) {
        const int y = (token / m->w - sh + m->h) % m->h, x = (token % m->w - sw + m->w) % m->w;
        const int window = y / wh * across + x / ww, row = y % wh * ww + x % ww;
        double sum[K] = {0}, mass = 0;
        for (int j = 0; j < T; j++) {
            const int ky = y / wh * wh + j / ww, kx = x / ww * ww + j % ww;
            if (ky >= m->h || kx >= m->w) continue; // padding
            const double *label = m->at[(ky + sh) % m->h * m->w + (kx + sw) % m->w];
            double a = 0;
            for (int h = 0; h < H; h++) a += (double)maps[((window * H + h) * T + row) * T + j] / H;
            for (int k = 0; k < K; k++) sum[k] += a * label[k];
            mass += a;
        }
        for (int k = 0; k < K; k++) next.at[token][k] = (m->at[token][k] + sum[k] / mass) / 2;
    }
    *m = next;
}

static void merge_densely(label_map *m)
{
    static label_map next;
    next = (label_map){.h = (m->h + 1) / 2, .w = (m->w + 1) / 2};
    for (int y = 0; y < next.h; y++)
        for (int x = 0; x < next.w; x++) {
            int n = 0;
            double *to = next.at[y * next.w + x];
            for (int i = 0; i < 4; i++) {
                const int cy = 2 * y + i / 2, cx = 2 * x + i % 2;
                if (cy >= m->h || cx >= m->w) continue;
                for (int k = 0; k < K; k++) to[k] += m->at[cy * m->w + cx][k];
                n++;
            }
            for (int k = 0; k < K; k++) to[k] /= n;
        }
    *m = next;
}

// The whole label that arrives at the head of one image, as the paper writes it.
static void align_densely(double *target, const vt_rig *rig, int image)
{
    static label_map m;
    const vt_model_config *c = &rig->model->config;
    const vt_mix_plan *plan = &rig->step.plan;
    const int grid_h = c->image_height / 4, grid_w = c->image_width / 4, window = c->window_size;
    m = (label_map){.h = grid_h, .w = grid_w};
    for (int t = 0; t < plan->N; t++) {
        const double own = (double)plan->share[image * plan->N + t];
        for (int k = 0; k < K; k++) m.at[t][k] = 0.1 / K;
        m.at[t][rig->labels[image]] += 0.9 * own;
        m.at[t][rig->labels[plan->partner[image]]] += 0.9 * (1 - own);
    }
    for (int stage = 0, layer = 0; stage < c->depths.count; stage++) {
        const int side_h = grid_h >> stage, side_w = grid_w >> stage;
        if (stage > 0) merge_densely(&m);
        for (int j = 0; j < c->depths.at[stage]; j++, layer++) {
            const vt_attn_shape *s = &rig->recorder.shapes[layer];
            const vt_real *maps =
                rig->recorder.maps[layer] + (size_t)(image * s->windows * s->H * s->T * s->T);
            attend_densely(&m, maps, s->H, smaller(side_h, window), smaller(side_w, window),
                           j % 2 && side_h > window ? window / 2 : 0,
                           j % 2 && side_w > window ? window / 2 : 0);
        }
    }
    for (int k = 0; k < K; k++) target[k] = 0;
    for (int t = 0; t < m.h * m.w; t++)
        for (int k = 0; k < K; k++) target[k] += m.at[t][k] / (m.h * m.w);
}

// Whole, padded and shifted windows, odd sides to merge, a stage that one window covers.
static void shares_are_dense_labels(void **state)
{
    (void)state;
    static const int shapes[][4] = {
        {8, 4, 2, 2}, {8, 8, 2, 4}, {7, 5, 2, 3}, {5, 6, 2, 4}, {6, 7, 2, 3}};
    for (size_t n = 0; n < sizeof shapes / sizeof *shapes; n++) {
        const int *s = shapes[n];
        const vt_model_config c = vt_staged_shape(s[0], s[1], s[2], s[3]);
        vt_rig *rig = vt_staged_rig(&c, "tl-align");
        vt_real shares[B * MAX_TOKENS];
        for (int i = 0; i < B * rig->step.plan.N; i++) shares[i] = (vt_real)(i * 37 % 65) / 64;
        mix(rig, shares);
        vt_rig_compute(rig, false, KEY);
        for (int i = 0; i < B; i++) {
            double target[K];
            align_densely(target, rig, i);
            assert_true(rig->step.share[i] > 0 && rig->step.share[i] < 1);
            for (int k = 0; k < K; k++)
                VT_ASSERT_BELOW(fabs((double)rig->step.target[i * K + k] - target[k]), 1e-6,
                                "target");
        }
        vt_rig_destroy(rig);
    }
}

// Whatever the attention, a share stays within those it is made of, and a uniform one stays as it
// is, to the bit.
static void shares_stay_within(void **state)
{
    (void)state;
    const vt_model_config c = vt_staged_shape(7, 5, 2, 3);
    vt_rig *rig = vt_staged_rig(&c, "tl-align");
    const int N = rig->step.plan.N;
    vt_real shares[B * MAX_TOKENS];
    for (int trial = 0; trial < 8; trial++) {
        vt_fill_normal(rig->weights, rig->model->params.slab_count, 2, 10 + (uint32_t)trial);
        for (int i = 0; i < B * N; i++) {
            const vt_real part = (vt_real)(i * 29 % 32) / 31;
            shares[i] = i < N ? (vt_real)0.3 : i < 2 * N ? part : (vt_real)0.25 + part / 4;
        }
        mix(rig, shares);
        vt_rig_compute(rig, false, KEY);
        const vt_real *share = rig->step.share;
        assert_true(share[0] == (vt_real)0.3);
        assert_true(share[1] >= 0 && share[1] <= 1);
        assert_true(share[2] >= (vt_real)0.25 && share[2] <= (vt_real)0.5);
    }
    vt_rig_destroy(rig);
}

// A map that merging has brought down to one token, and further stages on it.
static void more_stages_than_halvings(void **state)
{
    (void)state;
    const vt_model_config c = vt_staged_shape(2, 2, 4, 4);
    vt_rig *rig = vt_staged_rig(&c, "tl-align");
    vt_real shares[B * 4];
    for (int i = 0; i < B * 4; i++) shares[i] = i % 4 < 2;
    mix(rig, shares);
    assert_true(isfinite(vt_rig_compute(rig, false, KEY)));
    VT_ASSERT_BELOW(fabs((double)rig->step.share[0] - 0.5), 0.5, "share");
    vt_rig_destroy(rig);
}

int main(void)
{
    vt_gemm_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_and_shift_by_hand),
        cmocka_unit_test(padding_by_hand),
        cmocka_unit_test(shares_by_hand),
        cmocka_unit_test(shares_are_dense_labels),
        cmocka_unit_test(shares_stay_within),
        cmocka_unit_test(more_stages_than_halvings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
