// The large products: every form of them against plain loops.
#include "dense.h"
#include "numcheck.h"

#include "vitrain/base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Sizes about the edges of tiles, panels, groups and blocks, whatever the processor's are.
static const int edges[] = {1, 2, 3, 5, 8, 23, 49, 97};
static const int long_edges[] = {1, 2, 105, 211, 770, 1601};
enum { EDGES = sizeof edges / sizeof *edges, LONG = sizeof long_edges / sizeof *long_edges };
enum { MOST = 1601 * 97 };

static vt_real a[MOST], b[MOST], bias[1601], y[MOST];

typedef struct product_case {
    int m, n, k;
    vt_trans ta, tb;
    vt_elem type, type_y;
    bool biased;
    vt_into into;
} product_case;

static double stored(const product_case *c, vt_real x)
{
    return (double)(c->type == VT_BFLOAT ? vt_rounded(x) : x);
}

static double element(const product_case *c, int i, int j)
{
    double sum = c->biased ? (double)bias[j] : 0;
    for (int p = 0; p < c->k; p++)
        sum += stored(c, a[c->ta == VT_T ? p * c->m + i : i * c->k + p]) *
               stored(c, b[c->tb == VT_T ? j * c->k + p : p * c->n + j]);
    return sum;
}

static vt_real value_of(const void *x, vt_elem type, size_t i)
{
    if (type == VT_REAL) return ((const vt_real *)x)[i];
    const uint32_t bits = (uint32_t)((const vt_bf16 *)x)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (vt_real)value;
}

// The sum of k products of normal numbers is some sqrt(k); an order of adding up loses a few
// roundings of its largest part. What is stored as bf16 is off by half a unit in the last of 8
// bits.
static void check(const product_case *c)
{
    const int ldy = c->n + (c->into == VT_SET_PADDED ? 64 : 3);
    const vt_real before = c->into == VT_ADD ? (vt_real)0.75 : NAN;
    for (int i = 0; i < c->m * ldy; i++) {
        const vt_real outside = 7;
        vt_scale(vt_at(y, c->type_y, (size_t)i), c->type_y, 1, i % ldy < c->n ? &before : &outside,
                 1);
    }
    vt_dense_product(y, c->type_y, ldy, c->into, a, c->ta, b, c->tb, c->biased ? bias : NULL,
                     c->type, c->m, c->n, c->k);
    for (int i = 0; i < c->m; i++) {
        for (int j = 0; j < c->n; j++) {
            const double exact = element(c, i, j) + (c->into == VT_ADD ? 0.75 : 0);
            const double got = (double)value_of(y, c->type_y, (size_t)(i * ldy + j));
            const double bound = 16 * vt_epsilon() * (sqrt(c->k) + fabs(exact)) * 2 +
                                 (c->type_y == VT_BFLOAT ? fabs(exact) / 250 : 0);
            if (!(fabs(got - exact) <= bound))
                fail_msg("(%d,%d,%d) t%d%d type %d to %d into %d: [%d,%d] %.9g, expected %.9g",
                         c->m, c->n, c->k, c->ta, c->tb, c->type, c->type_y, c->into, i, j, got,
                         exact);
        }
        for (int j = c->n; j < ldy && c->into != VT_SET_PADDED; j++)
            assert_true(value_of(y, c->type_y, (size_t)(i * ldy + j)) == 7);
    }
}

static void fill(void)
{
    vt_fill_normal(a, MOST, 1, 1);
    vt_fill_normal(b, MOST, 1, 2);
    vt_fill_normal(bias, 1601, 1, 3);
}

// Every kind of product of one size.
static void check_all(int m, int n, int k)
{
    for (int kind = 0; kind < 64; kind++) {
        const product_case c = {.m = m,
                                .n = n,
                                .k = k,
                                .ta = kind & 1 ? VT_T : VT_N,
                                .tb = kind & 2 ? VT_T : VT_N,
                                .type = kind & 4 ? VT_BFLOAT : VT_REAL,
                                .type_y = kind & 8 ? VT_BFLOAT : VT_REAL,
                                .biased = kind & 16 && !(kind & 32),
                                .into = kind & 32   ? VT_ADD
                                        : kind & 16 ? VT_SET
                                                    : VT_SET_PADDED};
        if ((kind & 16) && (kind & 32)) continue;
        if (c.into == VT_SET_PADDED && c.type_y == VT_BFLOAT) continue;
        if (c.type == VT_BFLOAT && c.ta == VT_N && k % 2) continue; // rows of bf16 are even
#ifdef VT_DOUBLE
        if (c.type == VT_BFLOAT || c.type_y == VT_BFLOAT) continue;
#endif
        check(&c);
    }
}

static void small_products(void **state)
{
    (void)state;
    fill();
    for (int m = 0; m < EDGES; m++)
        for (int n = 0; n < EDGES; n++)
            for (int k = 0; k < EDGES; k++) check_all(edges[m], edges[n], edges[k]);
}

static void long_products(void **state)
{
    (void)state;
    fill();
    for (int i = 0; i < LONG; i++) {
        check_all(long_edges[i], 17, 26);
        check_all(9, long_edges[i], 26);
        check_all(9, 17, long_edges[i]);
    }
    check_all(9, 17, 1602); // of even rows, in several slices, the last one not whole
}

// Rows packed bit by bit are the rows packed at once.
static void panels_in_parts(void **state)
{
    (void)state;
    enum { K = 45, N = 53 };
    fill();
    for (int left = 0; left < 2; left++)
        for (int type = VT_REAL; type <= VT_BFLOAT; type++) {
#ifdef VT_DOUBLE
            if (type == VT_BFLOAT) continue;
#endif
            const size_t bytes = vt_panels_bytes(type, K, N, left);
            void *once = vt_alloc(bytes, 1), *parts = vt_alloc(bytes, 1);
            const vt_panels p = vt_panels_at(once, type, K, N, left);
            vt_panels q = vt_panels_at(parts, type, K, N, left);
            vt_panels_pack_all(&p, 0, a, VT_REAL, N, VT_N, K);
            for (int at = 0; at < K; at += 10)
                vt_panels_pack_all(&q, at, a + at * N, VT_REAL, N, VT_N, K - at < 10 ? K - at : 10);
            assert_memory_equal(once, parts, bytes);
            vt_panels_pack_all(&q, 0, b, VT_REAL, K, VT_T, K); // another way to lie
            for (int i = 0; i < K; i++)
                for (int j = 0; j < N; j++) b[j * K + i] = a[i * N + j];
            vt_panels_pack_all(&q, 0, b, VT_REAL, K, VT_T, K);
            assert_memory_equal(once, parts, bytes);
            q.far = true;
            for (int rows = 8; rows <= 40; rows += 8) {
                memset(parts, 0xa5, bytes);
                for (int at = 0; at < K; at += rows)
                    vt_panels_pack_all(&q, at, a + at * N, VT_REAL, N, VT_N,
                                       K - at < rows ? K - at : rows);
                assert_memory_equal(once, parts, bytes);
            }
            vt_real sums[N] = {0};
            const int first = vt_panel_width(type, left);
            vt_panels_column_sums(sums, &p, first, N - first - 1);
            for (int j = 0; j < N; j++) {
                double sum = 0;
                for (int i = 0; i < K && j >= first && j < N - 1; i++)
                    sum += (double)(type == VT_BFLOAT ? vt_rounded(a[i * N + j]) : a[i * N + j]);
                VT_ASSERT_BELOW(fabs((double)sums[j] - sum), 100 * vt_epsilon(), "column sum");
            }
            free(once);
            free(parts);
        }
}

// A product whose rows come in several parts is the sum of the parts' products.
static void products_in_parts(void **state)
{
    (void)state;
    enum { K = 21, M = 43, N = 101, PARTS = 3 };
    fill();
    for (int type = VT_REAL; type <= VT_BFLOAT; type++) {
#ifdef VT_DOUBLE
        if (type == VT_BFLOAT) continue;
#endif
        const size_t bytes[] = {vt_panels_bytes(type, K, N, false),
                                vt_panels_bytes(type, K, M, true)};
        char *right = vt_alloc(PARTS, bytes[0]), *left = vt_alloc(PARTS, bytes[1]);
        vt_real *sums = vt_alloc(M * N + M, sizeof *sums), *columns = sums + M * N;
        for (int i = 0; i < M * N; i++) y[i] = sums[i] = 1;
        for (int i = PARTS - 1; i >= 0; i--) { // the first remain
            const size_t at = (size_t)i;
            const vt_panels r = vt_panels_at(right + at * bytes[0], type, K, N, false),
                            l = vt_panels_at(left + at * bytes[1], type, K, M, true);
            vt_panels_pack_all(&r, 0, b + i * K * N, VT_REAL, N, VT_N, K);
            vt_panels_pack_all(&l, 0, a + i * K * M, VT_REAL, M, VT_N, K);
            const vt_left x = vt_left_panels(&l, 0);
            vt_product((vt_rows){sums, VT_REAL, N}, &x, &r, NULL, VT_ADD, M);
            vt_panels_column_sums(columns, &l, 0, M);
        }
        vt_panels r = vt_panels_at(right, type, K, N, false),
                  l = vt_panels_at(left, type, K, M, true);
        r.parts = l.parts = PARTS;
        r.part_bytes = bytes[0], l.part_bytes = bytes[1];
        const vt_left x = vt_left_panels(&l, 0);
        vt_product((vt_rows){y, VT_REAL, N}, &x, &r, NULL, VT_ADD, M);
        for (int i = 0; i < M * N; i++)
            VT_ASSERT_BELOW(fabs((double)(y[i] - sums[i])), 400 * vt_epsilon(), "in parts");
        for (int i = 0; i < M; i++) y[i] = 0;
        vt_panels_column_sums(y, &l, 0, M);
        for (int i = 0; i < M; i++)
            VT_ASSERT_BELOW(fabs((double)(y[i] - columns[i])), 400 * vt_epsilon(), "their sums");
        free(right);
        free(left);
        free(sums);
    }
}

#ifndef VT_DOUBLE
static void rounding(void **state)
{
    (void)state;
    const struct {
        float x, rounded;
    } cases[] = {{1, 1},
                 {1.00390625f, 1},         // half a unit: to even
                 {1.01171875f, 1.015625f}, // likewise, upwards
                 {1.0039064f, 1.0078125f}, // above half
                 {-3.1415927f, -3.140625f},
                 {0, 0},
                 {1e-39f, 0},         // a denormal stays one: see below
                 {3.4e38f, INFINITY}, // above the largest
                 {-INFINITY, -INFINITY}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const float got = vt_rounded(cases[i].x);
        if (cases[i].x == 1e-39f)
            assert_true(fabsf(got - 1e-39f) < 5e-41f);
        else
            assert_true(got == cases[i].rounded);
    }
    uint32_t bits = 0x7f800001; // a NaN with nothing in its upper half
    float nan;
    memcpy(&nan, &bits, 4);
    assert_true(isnan(vt_rounded(nan)) && isnan(vt_rounded(-nan)));
}
#endif

static void shares(void **state)
{
    (void)state;
    for (int n = 0; n < 40; n++)
        for (int multiple = 1; multiple < 9; multiple++)
            for (int parts = 1; parts < 7; parts++) {
                assert_int_equal(vt_share(n, multiple, 0, parts), 0);
                assert_int_equal(vt_share(n, multiple, parts, parts), n);
                for (int i = 0; i < parts; i++) {
                    const int at = vt_share(n, multiple, i, parts);
                    assert_true(at <= vt_share(n, multiple, i + 1, parts));
                    assert_true(at == n || at % multiple == 0);
                }
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_products),  cmocka_unit_test(long_products),
        cmocka_unit_test(panels_in_parts), cmocka_unit_test(products_in_parts),
#ifndef VT_DOUBLE
        cmocka_unit_test(rounding),
#endif
        cmocka_unit_test(shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
