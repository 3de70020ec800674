// TransMix: Chen et al., "TransMix: Attend to Mix for Vision Transformers", CVPR 2022, arXiv
// 2111.09833. What the class token looks at in the last block says how much of each image it saw:
//
//     w_A = sum_t m_t a_t,   w_B = sum_t (1 - m_t) a_t,   share = (lambda + w_A / (w_A + w_B)) / 2,
//
// m_t the share of the sample's own pixels in patch t, a the class token's attention to the
// patches, mean over heads, no gradient. The distillation head has its own token's row. Where all
// patches have one share (Mixup, unmixed samples) attention tells nothing: the share is lambda. A
// head that pools the patches reads no class token; such a model is refused.
#include "vitrain/label/label.h"

#include <assert.h>

enum { MOST_ROWS = 2 }; // class and distillation token

// (MOST_ROWS,2): w_A and w_B of each token's row, summed over the heads of the layer at hand.
static vt_real *sample_sums(const vt_label *label, int sample)
{
    return label->tokens + (size_t)sample * MOST_ROWS * 2;
}

static void place(vt_label *label, vt_arena *arena, int B)
{
    assert(label->layout.prefix <= MOST_ROWS);
    label->tokens = VT_ARENA_TAKE(arena, vt_real, (size_t)B * MOST_ROWS * 2);
}

// Every layer writes over the one before: the last one stays.
static void on_attention(void *self, const vt_attn_view *view)
{
    const vt_label *label = self;
    const int prefix = label->layout.prefix, N = label->plan->N;
    const vt_real *m = label->plan->share + (size_t)view->sample * (size_t)N;
    vt_real *sums = sample_sums(label, view->sample);
    for (int r = 0; r < prefix; r++, sums += 2) {
        const vt_real *a = view->map + (size_t)r * (size_t)view->ld + prefix;
        vt_real own = 0, all = 0;
#pragma omp simd reduction(+ : own, all)
        for (int t = 0; t < N; t++) {
            own += m[t] * a[t];
            all += a[t];
        }
        if (view->head == 0) sums[0] = sums[1] = 0;
        sums[0] += own;
        sums[1] += all - own;
    }
}

static bool is_uniform(const vt_real *share, int N)
{
    for (int t = 1; t < N; t++)
        if (share[t] != share[0]) return false;
    return true;
}

static vt_real joined(vt_real lambda, const vt_real *sums)
{
    const vt_real all = sums[0] + sums[1];
    if (!(all > 0)) return lambda; // all attention on the prefix tokens
    const vt_real seen = sums[0] / all;
    return (lambda + (seen < 0 ? 0 : seen > 1 ? 1 : seen)) / 2;
}

static void finish(vt_label *label, vt_real *share, vt_real *share_dist)
{
    const vt_mix_plan *plan = label->plan;
    for (int i = 0; i < plan->B; i++) {
        const vt_real *sums = sample_sums(label, i), lambda = plan->lambda[i];
        const bool area = is_uniform(plan->share + (size_t)i * (size_t)plan->N, plan->N);
        share[i] = area ? lambda : joined(lambda, sums);
        if (share_dist) share_dist[i] = area ? lambda : joined(lambda, sums + 2);
    }
}

const vt_label_ops vt_label_transmix = {
    .name = "transmix",
    .class_token = true,
    .place = place,
    .on_attention = on_attention,
    .finish = finish,
};
