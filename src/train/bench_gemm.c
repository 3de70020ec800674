// Each matrix product of a training step alone, every thread on operands of its own as large as the
// engine's, and the same product by BLAS, which packs its operands at each call.
#include "vitrain/train/bench.h"

#include "vitrain/base/threads.h"
#include "vitrain/ops/ops.h"

#include <stdlib.h>

enum { REPEATS = 5 };
static const double REPEAT_S = 0.04;

// Operands of one thread.
typedef struct operands {
    const vt_product_info *info;
    vt_elem type;
    vt_real *c;
    void *left, *panels;             // of vt_product
    vt_real *blas_left, *blas_right; // of vt_gemm
} operands;

static void place(operands *o, vt_arena *arena)
{
    const vt_product_info *p = o->info;
    const size_t m = (size_t)p->m, n = (size_t)p->n, k = (size_t)p->k;
    const int ld = p->ta == VT_T ? p->m : p->k;
    o->c = VT_ARENA_TAKE(arena, vt_real, m * (size_t)vt_map_ld(p->n));
    o->blas_left = VT_ARENA_TAKE(arena, vt_real, m * k);
    o->blas_right = VT_ARENA_TAKE(arena, vt_real, n * k);
    o->panels = vt_arena_take(arena, vt_panels_bytes(o->type, p->k, p->n, false), 1);
    o->left = p->kind == VT_PRODUCT_GRADIENT || (p->ta == VT_T && o->type == VT_BFLOAT)
                  ? vt_arena_take(arena, vt_panels_bytes(o->type, p->k, p->m, true), 1)
                  : vt_arena_take(arena, (size_t)(ld + 1) * (p->ta == VT_T ? k : m),
                                  vt_elem_size(o->type));
}

static void ours(const operands *o)
{
    const vt_product_info *p = o->info;
    const vt_panels b = vt_panels_at(o->panels, o->type, p->k, p->n, false),
                    a = vt_panels_at(o->left, o->type, p->k, p->m, true);
    const bool gradient = p->kind == VT_PRODUCT_GRADIENT;
    const vt_left left = gradient || (p->ta == VT_T && o->type == VT_BFLOAT) ? vt_left_panels(&a, 0)
                         : p->ta == VT_T ? vt_left_columns(o->left, p->m)
                                         : vt_left_rows(o->left, o->type, (p->k + 1) / 2 * 2);
    vt_product((vt_rows){o->c, VT_REAL, vt_map_ld(p->n)}, &left, &b, NULL,
               gradient ? VT_ADD : VT_SET_PADDED, p->m);
}

static void blas(const operands *o)
{
    const vt_product_info *p = o->info;
    vt_gemm(o->c, p->n, o->blas_left, p->ta == VT_T ? p->m : p->k, p->ta, o->blas_right,
            p->tb == VT_T ? p->k : p->n, p->tb, 1, p->kind == VT_PRODUCT_GRADIENT ? 1 : 0, p->m,
            p->n, p->k);
}

// GFLOP/s of all threads at once: the median of a few repeats, each so many calls that it can be
// timed.
static double gflops_of(const operands *threads, void (*call)(const operands *o))
{
    const vt_product_info *p = threads->info;
    double rates[REPEATS];
    int calls = 1;
    for (int r = -1; r < REPEATS;) { // -1: finds the number of calls, and warms
        const double start = vt_now_s();
#pragma omp parallel
        for (int i = 0; i < calls; i++) call(&threads[vt_thread_index()]);
        const double s = vt_now_s() - start;
        if (r < 0 && s < REPEAT_S) {
            calls *= 2;
            continue;
        }
        if (r >= 0) rates[r] = 2e-9 * p->m * p->n * p->k * calls * vt_threads() / s;
        r++;
    }
    return vt_spread_of(rates, REPEATS).median;
}

static vt_status measure(vt_bench_gemm_row *row, vt_elem type)
{
    const int threads = vt_threads();
    vt_arena arena = {0};
    operands *all = vt_alloc((size_t)threads, sizeof *all);
    if (!all) return VT_ERR_MEMORY;
    vt_status status = VT_OK;
    for (int pass = 0; pass < 2 && status == VT_OK; pass++) {
        for (int i = 0; i < threads; i++) {
            all[i] = (operands){.info = &row->product, .type = type};
            place(&all[i], &arena);
        }
        if (pass == 0) status = vt_arena_reserve(&arena);
    }
    if (status == VT_OK) {
        row->blas_gflops = gflops_of(all, blas);
        row->gflops = row->product.kind == VT_PRODUCT_SMALL ? 0 : gflops_of(all, ours);
    }
    vt_arena_release(&arena);
    free(all);
    return status;
}

vt_status vt_bench_gemm(vt_config *config, vt_bench_gemm_row *rows, int *count, double *peak_gflops)
{
    vt_product_info products[VT_PRODUCTS_MAX];
    vt_model *model = NULL;
    vt_arena plan = {0}; // the shapes depend on where activations go; none is taken
    vt_status status;
    double sum = 0;
    VT_TRY(vt_precision_settle(config));
    const vt_placement placement = {config->train.batch_size, true,
                                    vt_precision_type(config->train.precision),
                                    config->train.recompute};
    VT_TRY_OR_FAIL(status, vt_model_create(&model, &config->model));
    VT_TRY_OR_FAIL(status, model->ops->place(model, &plan, &placement));
    *count = model->ops->products(model, products, placement.max_batch);
    *peak_gflops = vt_bench_peak(config);
    for (int i = 0; i < *count; i++) sum += products[i].flops;
    for (int i = 0; i < *count; i++) {
        rows[i] = (vt_bench_gemm_row){.product = products[i], .share = products[i].flops / sum};
        VT_TRY_OR_FAIL(status, measure(&rows[i], placement.type));
    }
fail:
    vt_model_destroy(model);
    return status;
}
