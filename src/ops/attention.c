// Multi-head attention of one image: S_h = scale q_h k_ht + bias_h + mask, P_h = softmax(S_h),
// y_h = dropout(P_h) v_h. Equals timm's Attention between its qkv and proj layers.
//
// Backward, a head at a time: with P' = dropout(P),
//     dv = P't dy,   dP = dropout(dy vt),   dS = P (dP - rowsum(dP P)),
//     dq = scale dS k,   dk = scale dSt q,   dbias += dS.
//
// A head's map fits the second-level cache, and everything that looks at it does so before the next
// head's: the softmax, whoever follows the maps (on_map), the product with v. (Writing the kept map
// past the cache was tried: no difference beyond the noise.)
#include "bf16.h"
#include "nearly.h"

#include "vitrain/base/arena.h"
#include "vitrain/base/vmath.h"

#include <assert.h>
#include <math.h>

enum { MAP_MULTIPLE = 16 }; // whole vectors, of any processor

int vt_map_ld(int T)
{
    return (T + MAP_MULTIPLE - 1) / MAP_MULTIPLE * MAP_MULTIPLE;
}

// A thread's memory for one head.
typedef struct head_scratch {
    vt_real *map, *dropped; // (R,ld): scores and what becomes of them
    void *small;            // (R,ld) of the stored type
    void *queries;          // panels of (R,D): q or dy
    void *keys, *values;    // panels of (D,T) or (T,D)
    void *left;             // panels of a map, to be read by column, where it is bf16
} head_scratch;

static head_scratch place(vt_arena *arena, const vt_attention *at)
{
    const size_t map = (size_t)at->R * (size_t)vt_map_ld(at->T);
    const bool bf16 = at->type == VT_BFLOAT;
    const size_t across = vt_panels_bytes(at->type, at->D, at->T, false),
                 along = vt_panels_bytes(at->type, at->T, at->D, false),
                 larger = across > along ? across : along;
    head_scratch s = {0};
    s.map = VT_ARENA_TAKE(arena, vt_real, map);
    s.dropped = VT_ARENA_TAKE(arena, vt_real, at->drop ? map : 0);
    s.small = bf16 ? vt_arena_take(arena, map, sizeof(vt_bf16)) : s.map;
    s.queries = vt_arena_take(arena, vt_panels_bytes(at->type, at->R, at->D, false), 1);
    s.keys = vt_arena_take(arena, larger, 1);
    s.values = vt_arena_take(arena, larger, 1);
    s.left = bf16
                 ? vt_arena_take(arena, vt_panels_bytes(at->type, at->R, vt_map_ld(at->T), true), 1)
                 : NULL;
    return s;
}

size_t vt_attention_scratch_bytes(const vt_attention *at)
{
    vt_arena arena = {0};
    place(&arena, at);
    return arena.used;
}

static head_scratch placed(void *memory, const vt_attention *at)
{
    vt_arena arena = {.base = memory, .capacity = SIZE_MAX};
    return place(&arena, at);
}

static void pack(const vt_panels *to, const void *x, int ld, vt_trans trans)
{
    vt_panels_pack_all(to, 0, x, to->type, ld, trans, to->k);
}

// Loops go over the padding too: numbers left over from whole vectors would be taken one by one.
// (As a vector: one that was written number by number cannot be read until it has left the core.)
VT_INLINE void fill_padding(vt_real *row, vt_real value, int T, int ld)
{
    vt_real *last = row + ld - MAP_MULTIPLE;
    const int numbers = T - (ld - MAP_MULTIPLE);
#pragma omp simd
    for (int j = 0; j < MAP_MULTIPLE; j++) last[j] = j < numbers ? last[j] : value;
}

// x -> exp((x - most) factor), x <= most; their sum. ld is a multiple of every vector.
VT_INLINE vt_real exponentials(vt_real *row, vt_real most, vt_real factor, int ld, vt_elem type)
{
#ifndef VT_DOUBLE
    if (type == VT_BFLOAT) {
        const float factor2 = factor * 1.44269504f; // 1 / ln 2
        vt_vec sums = {0};
        for (int j = 0; j < ld; j += VT_LANES) {
            const vt_vec x = (vt_vec_at(row + j) - most) * factor2;
            const vt_vec e = vt_nearly_exp2(vt_vec_larger((vt_vec){0} - 127, x));
            *(vt_vec_loose *)(row + j) = e;
            sums += e;
        }
        return vt_lanes_sum(sums);
    }
#endif
    (void)type;
#pragma omp simd
    for (int j = 0; j < ld; j++) row[j] = vt_exp_falling((row[j] - most) * factor);
    return vt_row_sum(row, (size_t)ld);
}

// Scores become probabilities, in the stored type in `to`, which may be the map; in the map too if
// it is `heard`. map: (R,ld), the columns beyond T become 0.
VT_INLINE void softmax(void *to, vt_real *map, bool heard, const vt_attention *at, int head,
                       vt_elem type)
{
    const int T = at->T, ld = vt_map_ld(T);
    for (int i = 0; i < at->R; i++) {
        const size_t line = (size_t)i * (size_t)ld;
        vt_real *row = map + line, factor = at->scale;
        if (at->bias || at->mask) {
            const size_t RT = (size_t)at->R * (size_t)T, from = (size_t)i * (size_t)T;
            for (int j = 0; j < T; j++) row[j] *= at->scale;
            if (at->bias) vt_add(row, at->bias + (size_t)head * RT + from, (size_t)T);
            if (at->mask) vt_add(row, at->mask + from, (size_t)T);
            factor = 1;
        }
        fill_padding(row, -INFINITY, T, ld);
        const vt_real most = vt_row_max(row, (size_t)ld);
        const vt_real share = 1 / exponentials(row, most, factor, ld, type);
        for (int j = 0; j < ld; j += VT_LANES) {
            const vt_vec p = vt_vec_at(row + j) * share;
            if (heard && type != VT_REAL) *(vt_vec_loose *)(row + j) = p;
            vt_put_vec(vt_at(to, type, line), type, (size_t)j, p);
        }
    }
}

// In its image's mask every head has T rows of T, however many ask.
static void drop_map(void *to, const void *from, vt_elem type, const vt_attention *at, int head)
{
    const size_t T = (size_t)at->T, ld = (size_t)vt_map_ld(at->T), R = (size_t)at->R;
    for (size_t i = 0; i < R; i++) {
        vt_dropout_apply(vt_at(to, type, i * ld), vt_at(from, type, i * ld), type, at->drop,
                         ((size_t)head * T + i) * T, T);
        for (size_t j = T; j < ld; j++) vt_put(vt_at(to, type, i * ld), type, j, 0);
    }
}

void vt_attention_forward(void *y, void *maps, const void *q, const void *k, const void *v,
                          void *scratch, const vt_attention *at)
{
    const head_scratch s = placed(scratch, at);
    const int T = at->T, R = at->R, D = at->D, ld = vt_map_ld(T);
    const size_t size = (size_t)R * (size_t)ld;
    const vt_panels keys = vt_panels_at(s.keys, at->type, D, T, false),
                    values = vt_panels_at(s.values, at->type, T, D, false);
    for (int h = 0; h < at->H; h++) {
        const size_t head = (size_t)h * (size_t)D;
        pack(&keys, vt_at(k, at->type, head), at->ldkv, VT_T);
        void *kept = maps ? vt_at(maps, at->type, (size_t)h * size) : s.small;
        vt_real *map = at->type == VT_REAL ? kept : s.map; // of scores
        const vt_left queries = vt_left_rows(vt_at(q, at->type, head), at->type, at->ldq);
        vt_product((vt_rows){map, VT_REAL, ld}, &queries, &keys, NULL, VT_SET_PADDED, R);
        VT_FOR_TYPE(softmax, at->type, kept, map, at->on_map, at, h);
        if (at->on_map) at->on_map(at->self, h, map);
        const void *used = kept;
        if (at->drop) {
            drop_map(s.dropped, used, at->type, at, h);
            used = s.dropped;
        }
        pack(&values, vt_at(v, at->type, head), at->ldkv, VT_N);
        const vt_left shares = vt_left_rows(used, at->type, ld);
        vt_product((vt_rows){vt_at(y, at->type, head), at->type, at->H * D}, &shares, &values, NULL,
                   VT_SET, R);
    }
}

// Maps come from afar: so much of them is fetched while others are used.
enum { AHEAD_BYTES = 2048 };

// scale dS, in the stored type, of dP, which it may replace; dS for dbias.
VT_INLINE void softmax_backward(void *ds, vt_real *dp, vt_real *dbias, const void *p,
                                const vt_attention *at, vt_elem type)
{
    const int T = at->T, ld = vt_map_ld(T);
    for (int i = 0; i < at->R; i++) {
        const size_t line = (size_t)i * (size_t)ld;
        vt_real *row = dp + line;
        vt_vec products = {0};
        const void *prob = vt_at(p, type, line);
        fill_padding(row, 0, T, ld);
        for (int j = 0; j < ld; j += VT_LANES) {
            __builtin_prefetch((const char *)vt_at(prob, type, (size_t)j) + AHEAD_BYTES);
            products += vt_vec_at(row + j) * vt_get_vec(prob, type, (size_t)j);
        }
        const vt_real dot = vt_lanes_sum(products);
        if (dbias) {
            vt_real *bias = dbias + (size_t)i * (size_t)T;
            for (int j = 0; j < T; j++) bias[j] += vt_get(prob, type, (size_t)j) * (row[j] - dot);
        }
        for (int j = 0; j < ld; j += VT_LANES)
            vt_put_vec(vt_at(ds, type, line), type, (size_t)j,
                       at->scale * vt_get_vec(prob, type, (size_t)j) * (vt_vec_at(row + j) - dot));
    }
}

// The transpose of a map as a left operand.
static vt_left by_column(void *to, const void *map, const vt_attention *at)
{
    const int ld = vt_map_ld(at->T);
    if (at->type == VT_REAL) return vt_left_columns(map, ld);
    const vt_panels p = vt_panels_at(to, at->type, at->R, ld, true); // whole vectors again
    vt_panels_pack_all(&p, 0, map, at->type, ld, VT_N, at->R);
    return vt_left_panels(&p, 0);
}

void vt_attention_backward(void *dq, void *dk, void *dv, vt_real *dbias, const void *dy,
                           const void *q, const void *k, const void *v, const void *maps,
                           void *scratch, const vt_attention *at)
{
    const head_scratch s = placed(scratch, at);
    const bool same = k == v;
    assert(!same || dk == dv);
    const vt_elem type = at->type, type_kv = same ? VT_REAL : type;
    const int T = at->T, R = at->R, D = at->D, C = at->H * D, ld = vt_map_ld(T);
    const vt_panels values = vt_panels_at(s.values, type, D, T, false),
                    keys = vt_panels_at(s.keys, type, T, D, false),
                    queries = vt_panels_at(s.queries, type, R, D, false);
    for (int h = 0; h < at->H; h++) {
        const size_t head = (size_t)h * (size_t)D;
        const void *map = vt_at(maps, type, (size_t)h * (size_t)R * (size_t)ld), *used = map;
        if (at->drop) {
            drop_map(s.dropped, map, type, at, h);
            used = s.dropped;
        }
        const vt_rows out_v = {vt_at(dv, type_kv, head), type_kv, at->ldkv};
        const vt_rows out_q = {vt_at(dq, type, head), type, at->ldq};
        const vt_rows out_k = {vt_at(dk, type_kv, head), type_kv, at->ldkv};
        pack(&values, vt_at(v, type, head), at->ldkv, VT_T);
        const vt_left dout = vt_left_rows(vt_at(dy, type, head), type, C);
        vt_product((vt_rows){s.map, VT_REAL, ld}, &dout, &values, NULL, VT_SET_PADDED, R);
        if (at->drop) drop_map(s.map, s.map, VT_REAL, at, h);
        vt_real *bias = dbias ? dbias + (size_t)h * (size_t)R * (size_t)T : NULL;
        const void *ds = s.small;
        VT_FOR_TYPE(softmax_backward, type, s.small, s.map, bias, map, at);

        // By now the map has been read along its rows and is near, so it can be read by columns.
        pack(&queries, vt_at(dy, type, head), C, VT_N);
        const vt_left p_t = by_column(s.left, used, at);
        vt_product(out_v, &p_t, &queries, NULL, VT_SET, T);
        pack(&keys, vt_at(k, type, head), at->ldkv, VT_N);
        const vt_left ds_rows = vt_left_rows(ds, type, ld);
        vt_product(out_q, &ds_rows, &keys, NULL, VT_SET, R);
        pack(&queries, vt_at(q, type, head), at->ldq, VT_N);
        const vt_left ds_t = by_column(s.left, ds, at);
        vt_product(out_k, &ds_t, &queries, NULL, same ? VT_ADD : VT_SET, T);
    }
}
