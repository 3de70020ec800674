// Cross-entropy as the paper of TL-Align has it, DeiT III's binary cross-entropy, DeiT's
// distillation.
#include "vitrain/train/loss.h"

#include "vitrain/ops/ops.h"

#include <string.h>

static void make_binary(vt_real *target, size_t n)
{
    for (size_t i = 0; i < n; i++) target[i] = target[i] > 0 ? 1 : 0;
}

static double mean(const vt_real *losses, int B)
{
    double sum = 0;
    for (int i = 0; i < B; i++) sum += (double)losses[i];
    return sum / B;
}

double vt_loss_of_head(const vt_loss_config *config, vt_real *losses, vt_real *dlogits,
                       const vt_real *logits, vt_real *target, double weight, int B, int K)
{
    const vt_real scale = (vt_real)(weight / B);
    if (config->kind == VT_LOSS_BCE) {
        if (config->target == VT_BCE_BINARY) make_binary(target, (size_t)B * (size_t)K);
        vt_binary_cross_entropy(losses, dlogits, logits, target, scale, B, K);
    } else {
        vt_cross_entropy(losses, dlogits, logits, target, scale, B, K);
    }
    return mean(losses, B);
}

// The first of the best classes of each row.
static void make_hard(vt_real *target, const vt_real *teacher, int B, int K)
{
    memset(target, 0, (size_t)B * (size_t)K * sizeof *target);
    for (int i = 0; i < B; i++, teacher += K, target += K) {
        int best = 0;
        for (int k = 1; k < K; k++)
            if (teacher[k] > teacher[best]) best = k;
        target[best] = 1;
    }
}

double vt_loss_of_teacher(const vt_loss_config *config, vt_real *losses, vt_real *dlogits,
                          const vt_real *logits, const vt_real *teacher, vt_real *target,
                          double weight, int B, int K)
{
    if (config->distill == VT_DISTILL_HARD) {
        make_hard(target, teacher, B, K);
        vt_cross_entropy(losses, dlogits, logits, target, (vt_real)(weight / B), B, K);
        return mean(losses, B);
    }
    const double factor = config->tau * config->tau / K;
    vt_kl_divergence(losses, dlogits, logits, teacher, (vt_real)config->tau,
                     (vt_real)(weight * factor / B), B, K);
    for (int i = 0; i < B; i++) losses[i] = (vt_real)(factor * (double)losses[i]);
    return mean(losses, B);
}
