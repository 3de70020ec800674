// Matrix products: the only caller of BLAS.
//
// OpenBLAS comes in a pthread and in an OpenMP build, and either may be the one found at run time.
// Nearly all our products are called from inside parallel regions and are to stay on their thread.
// In the pthread build that takes openblas_set_num_threads(1), once. In the OpenMP build that call
// would set the whole program's OpenMP threads to 1; there the library sees that it is inside a
// parallel region by itself.
#include "vitrain/ops/ops.h"

#include <cblas.h>
#include <stdio.h>

// Only OpenBLAS has these; with another BLAS they are absent.
extern int openblas_get_parallel(void) __attribute__((weak));
extern void openblas_set_num_threads(int) __attribute__((weak));
extern char *openblas_get_config(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));

enum { PARALLEL_PTHREAD = 1, PARALLEL_OPENMP = 2 };

void vt_gemm_setup(void)
{
    if (openblas_get_parallel && openblas_get_parallel() == PARALLEL_PTHREAD)
        openblas_set_num_threads(1);
}

const char *vt_gemm_describe(void)
{
    static char text[256];
    if (!openblas_get_config) return "a BLAS that is not OpenBLAS";
    int parallel = openblas_get_parallel();
    snprintf(text, sizeof text, "%s, %s build, %s kernels", openblas_get_config(),
             parallel == PARALLEL_OPENMP    ? "OpenMP"
             : parallel == PARALLEL_PTHREAD ? "pthread"
                                            : "sequential",
             openblas_get_corename());
    return text;
}

void vt_gemm(vt_real *c, int ldc, const vt_real *a, int lda, vt_trans ta, const vt_real *b, int ldb,
             vt_trans tb, vt_real alpha, vt_real beta, int m, int n, int k)
{
    if (m == 0 || n == 0) return;
#ifdef VT_DOUBLE
    cblas_dgemm
#else
    cblas_sgemm
#endif
        (CblasRowMajor, ta == VT_T ? CblasTrans : CblasNoTrans,
         tb == VT_T ? CblasTrans : CblasNoTrans, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
