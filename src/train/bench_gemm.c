// Each matrix product of a training step alone: all its calls shared out to the threads as the engine
// does, on operands as large and as far apart as there.
#include "vitrain/train/bench.h"

#include "vitrain/base/threads.h"
#include "vitrain/ops/ops.h"

#include <stdlib.h>

enum { REPEATS = 5 };
static const double REPEAT_S = 0.05;

// Elements between the first and the last that the calls touch. rows, cols: of the stored matrix.
static size_t extent(const size_t step[2], const vt_product *p, int rows, int cols, int ld)
{
    return (size_t)(p->outer - 1) * step[0] + (size_t)(p->inner - 1) * step[1] +
           (size_t)(rows - 1) * (size_t)ld + (size_t)cols;
}

static void call_all(const vt_product *p, vt_real *c, const vt_real *a, const vt_real *b)
{
    const int calls = p->outer * p->inner;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < calls; i++) {
        const size_t x = (size_t)(i / p->inner), y = (size_t)(i % p->inner);
        vt_gemm(c + x * p->c[0] + y * p->c[1], p->ldc, a + x * p->a[0] + y * p->a[1], p->lda, p->ta,
                b + x * p->b[0] + y * p->b[1], p->ldb, p->tb, 1, p->accumulates ? 1 : 0, p->m, p->n,
                p->k);
    }
}

// Seconds for all calls: the median of a few repeats, each of so many rounds that it can be timed.
static double seconds_of(const vt_product *p, vt_real *c, const vt_real *a, const vt_real *b)
{
    double s[REPEATS];
    call_all(p, c, a, b); // warm
    for (int r = 0; r < REPEATS; r++) {
        const double start = vt_now_s();
        int rounds = 0;
        do {
            call_all(p, c, a, b);
            rounds++;
        } while (vt_now_s() - start < REPEAT_S);
        s[r] = (vt_now_s() - start) / rounds;
        for (int i = r; i > 0 && s[i] < s[i - 1]; i--) { // sorts it in
            const double t = s[i];
            s[i] = s[i - 1];
            s[i - 1] = t;
        }
    }
    return s[REPEATS / 2];
}

static vt_status measure(vt_bench_gemm_row *row)
{
    const vt_product *p = &row->product;
    const bool ta = p->ta == VT_T, tb = p->tb == VT_T;
    const size_t a_size = extent(p->a, p, ta ? p->k : p->m, ta ? p->m : p->k, p->lda);
    const size_t b_size = extent(p->b, p, tb ? p->n : p->k, tb ? p->k : p->n, p->ldb);
    const size_t c_size = extent(p->c, p, p->m, p->n, p->ldc);
    vt_real *a = vt_alloc(a_size, sizeof *a), *b = vt_alloc(b_size, sizeof *b),
            *c = vt_alloc(c_size, sizeof *c);
    const bool fits = a && b && c;
    if (fits) {
        for (size_t i = 0; i < a_size; i++) a[i] = (vt_real)0.5;
        for (size_t i = 0; i < b_size; i++) b[i] = (vt_real)0.5;
        row->gflops = 2e-9 * p->m * p->n * p->k * p->outer * p->inner / seconds_of(p, c, a, b);
    }
    free(a);
    free(b);
    free(c);
    return fits ? VT_OK : VT_ERR_MEMORY;
}

vt_status vt_bench_gemm(const vt_config *config, vt_bench_gemm_row *rows, int *count,
                        double *peak_gflops)
{
    vt_product products[VT_PRODUCTS_MAX];
    vt_model *model = NULL;
    vt_arena plan = {0}; // the shapes depend on where activations go; none is taken
    vt_status status;
    const int B = config->train.batch_size;
    double sum = 0;
    VT_TRY_OR_FAIL(status, vt_model_create(&model, &config->model));
    VT_TRY_OR_FAIL(status, model->ops->place(model, &plan, B, true));
    *count = model->ops->products(model, products, B);
    *peak_gflops = vt_bench_peak(config);
    for (int i = 0; i < *count; i++) sum += products[i].flops;
    for (int i = 0; i < *count; i++) {
        rows[i] = (vt_bench_gemm_row){.product = products[i], .share = products[i].flops / sum};
        VT_TRY_OR_FAIL(status, measure(&rows[i]));
    }
fail:
    vt_model_destroy(model);
    return status;
}
