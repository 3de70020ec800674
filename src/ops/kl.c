// Soft distillation (Hinton et al., arXiv 1503.02531): the divergence of a student's softened
// softmax from its teacher's, sum_k p_k (log p_k - log q_k) with p = softmax(teacher / tau), q =
// softmax(logits / tau); its derivative is (q - p) / tau. Before any factor: PyTorch's kl_div(log
// q, log p, log_target=True).
#include "vitrain/base/vmath.h"
#include "vitrain/ops/ops.h"

#include <math.h>

// The largest of (K) numbers, NaN if one is; *log_sum: log sum exp((z - largest) / tau).
static vt_real soften(double *log_sum, const vt_real *z, vt_real tau, int K)
{
    vt_real most = z[0];
    double sum = 0;
    for (int k = 0; k < K; k++) most = z[k] > most || z[k] != z[k] ? z[k] : most;
    for (int k = 0; k < K; k++) sum += (double)vt_exp((z[k] - most) / tau);
    *log_sum = log(sum);
    return most;
}

void vt_kl_divergence(vt_real *loss, vt_real *dlogits, const vt_real *logits,
                      const vt_real *teacher, vt_real tau, vt_real scale, int B, int K)
{
    for (int i = 0; i < B; i++) {
        const size_t row = (size_t)i * (size_t)K;
        const vt_real *z = logits + row, *t = teacher + row;
        double log_q, log_p, sum = 0;
        const vt_real most_z = soften(&log_q, z, tau, K), most_t = soften(&log_p, t, tau, K);
        for (int k = 0; k < K; k++) {
            const double lq = (double)((z[k] - most_z) / tau) - log_q;
            const double lp = (double)((t[k] - most_t) / tau) - log_p, p = exp(lp);
            sum += p * (lp - lq);
            if (dlogits)
                dlogits[row + (size_t)k] = (vt_real)((double)(scale / tau) * (exp(lq) - p));
        }
        loss[i] = (vt_real)sum;
    }
}
