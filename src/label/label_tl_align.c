// TL-Align: Xiao et al., "Token-Label Alignment for Vision Transformers", ICCV 2023, arXiv
// 2210.06455, section 3.3. Labels move with the tokens through every attention layer:
//
//     s <- (s + A s) / 2,    A = mean over heads of the softmax maps,
//
// s_t being the share of the sample's own label in token t (see label.h for why a number is
// enough). Patches start with the plan's share, prefix tokens with the mean of the patches'. The
// head's target is the share of the token that it reads, or the mean of the patches' shares where
// it pools. A token that others are merged into has the mean of their shares.
//
// What is carried is d = s - r, r the share of the image's first patch: rows of A sum to 1, so d
// moves by the same equation, and a uniform share (d = 0) stays uniform to the bit although the
// rows of a computed softmax only nearly sum to 1. For the same reason the result is clamped to
// [0,1].
#include "vitrain/label/label.h"

#include <assert.h>

// (3,T) of a sample: d, and the room to compute A d.
static vt_real *sample_tokens(const vt_label *label, int sample)
{
    return label->tokens + (size_t)sample * 3 * (size_t)label->layout.tokens;
}

static vt_real reference(const vt_label *label, int sample)
{
    return label->plan->share[(size_t)sample * label->plan->N];
}

static vt_real mean_of(const vt_real *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return (vt_real)(sum / n);
}

static void place(vt_label *label, vt_arena *arena, int B)
{
    label->tokens = VT_ARENA_TAKE(arena, vt_real, (size_t)B * 3 * (size_t)label->layout.tokens);
}

static void begin(vt_label *label)
{
    const vt_mix_plan *plan = label->plan;
    int prefix = label->layout.prefix;
    assert(prefix + plan->N == label->layout.tokens);
    for (int i = 0; i < plan->B; i++) {
        const vt_real *share = plan->share + (size_t)i * plan->N;
        vt_real *d = sample_tokens(label, i);
        for (int t = 0; t < plan->N; t++) d[prefix + t] = share[t] - share[0];
        for (int t = 0; t < prefix; t++) d[t] = mean_of(d + prefix, plan->N);
    }
}

// Global attention: what each query's row of this head's map gathers. Row by row, while it is in
// the first-level cache.
static void gather(vt_real *restrict moved, const vt_real *restrict d, const vt_attn_view *view)
{
    const int T = view->T;
    for (int i = 0; i < view->R; i++) {
        const vt_real *row = view->map + (size_t)i * (size_t)view->ld;
        vt_real sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < T; j++) sum += row[j] * d[j];
        moved[i] += sum;
    }
}

enum { KEYS = 64 }; // at a time

// Attention within a window: the tokens listed move. Padding has no share, so rows of A are
// restricted to real keys and renormalised: mass is the part of a row, all heads, that is real.
//
// A window's tokens are this thread's, the image's other tokens are not.
static void gather_listed(vt_real *restrict moved, vt_real *restrict mass,
                          const vt_real *restrict d, const vt_attn_view *view)
{
    const int32_t *tokens = view->tokens;
    for (int first = 0; first < view->T; first += KEYS) {
        const int left = view->T - first, n = left < KEYS ? left : KEYS;
        vt_real share[KEYS], real[KEYS];
        for (int j = 0; j < n; j++) {
            const int32_t t = tokens[first + j];
            share[j] = t < 0 ? 0 : d[t];
            real[j] = t < 0 ? 0 : 1;
        }
        for (int i = 0; i < view->R; i++) {
            if (tokens[i] < 0) continue;
            const vt_real *row = view->map + (size_t)i * (size_t)view->ld + first;
            vt_real sum = 0, seen = 0;
#pragma omp simd reduction(+ : sum, seen)
            for (int j = 0; j < n; j++) {
                sum += row[j] * share[j];
                seen += row[j] * real[j];
            }
            moved[tokens[i]] += sum;
            mass[tokens[i]] += seen;
        }
    }
}

static void clear_listed(vt_real *restrict moved, vt_real *restrict mass, const vt_attn_view *view)
{
    for (int i = 0; i < view->T; i++) {
        const int32_t t = view->tokens[i];
        if (t >= 0) moved[t] = mass[t] = 0;
    }
}

static void move_listed(vt_real *restrict d, const vt_real *restrict moved,
                        const vt_real *restrict mass, const vt_attn_view *view)
{
    for (int i = 0; i < view->R; i++) {
        const int32_t t = view->tokens[i];
        if (t >= 0 && mass[t] > 0)
            d[t] = (d[t] + moved[t] / mass[t]) / 2; // nothing real seen: stays
    }
}

static void on_attention(void *self, const vt_attn_view *view)
{
    const vt_label *label = self;
    const int T = label->layout.tokens, H = view->H;
    vt_real *d = sample_tokens(label, view->sample), *moved = d + T, *mass = moved + T;
    if (view->tokens) {
        if (view->head == 0) clear_listed(moved, mass, view);
        gather_listed(moved, mass, d, view);
        if (view->head == H - 1) move_listed(d, moved, mass, view);
        return;
    }
    if (view->head == 0)
        for (int i = 0; i < T; i++) moved[i] = 0;
    gather(moved, d, view);
    for (int i = 0; view->head == H - 1 && i < view->R; i++) // the rest is not read any more
        d[i] = (d[i] + moved[i] / (vt_real)H) / 2;
}

// In place: no token is made of one that comes before it.
static void on_merge(void *self, const vt_merge_view *view)
{
    vt_real *d = sample_tokens(self, view->sample);
    const int32_t *children = view->children;
    for (int t = 0; t < view->count; t++, children += 4) {
        vt_real sum = 0;
        int n = 0;
        for (int i = 0; i < 4; i++) {
            if (children[i] < 0) continue;
            sum += d[children[i]];
            n++;
        }
        d[t] = sum / (vt_real)n;
    }
}

static vt_real clamp_share(vt_real share)
{
    return share < 0 ? 0 : share > 1 ? 1 : share;
}

static void finish(vt_label *label, vt_real *share, vt_real *share_dist)
{
    const vt_token_layout *layout = &label->layout;
    for (int i = 0; i < label->plan->B; i++) {
        const vt_real *d = sample_tokens(label, i);
        vt_real r = reference(label, i);
        const int pooled = layout->last_tokens - layout->prefix;
        vt_real head = layout->pool == VT_POOL_AVG ? mean_of(d + layout->prefix, pooled) : d[0];
        share[i] = clamp_share(r + head);
        if (share_dist) share_dist[i] = clamp_share(r + d[1]);
    }
}

static vt_real token_share(const vt_label *label, int sample, int token)
{
    return clamp_share(reference(label, sample) + sample_tokens(label, sample)[token]);
}

const vt_label_ops vt_label_tl_align = {
    .name = "tl-align",
    .place = place,
    .begin = begin,
    .on_attention = on_attention,
    .on_merge = on_merge,
    .finish = finish,
    .token_share = token_share,
};
