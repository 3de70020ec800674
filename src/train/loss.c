// Cross-entropy as the paper of TL-Align has it, and DeiT III's binary cross-entropy.
#include "vitrain/train/loss.h"

#include "vitrain/ops/ops.h"

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
