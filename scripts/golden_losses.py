#!/usr/bin/env python3
"""Writes tests/golden/losses.safetensors: losses of a head and their gradients, for test_loss.c. Run by
hand (needs PyTorch); never at build or test time.

    python3 scripts/golden_losses.py [FOLDER]

Everything in float64 from inputs rounded to float32, stored as float32.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F

from golden_models import rounded, single, write_safetensors

B, K = 6, 9


def mixed_targets(rng):
    """Two classes in shares, as a label rule leaves them; the first image has one class."""
    share = torch.rand(B, 1, generator=rng, dtype=torch.float64)
    share[0] = 1
    own, other = (F.one_hot(torch.randint(K, (B,), generator=rng), K) for _ in range(2))
    return rounded(share * own + (1 - share) * other)


def with_gradient(out, name, logits, loss_of_rows):
    """loss_of_rows: logits -> (B) losses; their mean is differentiated."""
    z = logits.clone().requires_grad_()
    losses = loss_of_rows(z)
    losses.mean().backward()
    out[name], out[name + ".grad"] = single(losses), single(z.grad)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden")
    rng = torch.Generator().manual_seed(1)
    logits = rounded(3 * torch.randn(B, K, generator=rng, dtype=torch.float64))
    target = mixed_targets(rng)
    out = {"logits": single(logits), "target": single(target)}
    bce = F.binary_cross_entropy_with_logits
    with_gradient(out, "bce.soft", logits, lambda z: bce(z, target, reduction="none").mean(1))
    binary = target.gt(0.0).double()
    with_gradient(out, "bce.binary", logits, lambda z: bce(z, binary, reduction="none").mean(1))
    with_gradient(out, "cross-entropy", logits, lambda z: -(target * z.log_softmax(1)).sum(1))
    teacher = rounded(3 * torch.randn(B, K, generator=rng, dtype=torch.float64))
    out["teacher"] = single(teacher)
    for tau in (1.0, 3.0):
        def soft(z, tau=tau):
            return F.kl_div((z / tau).log_softmax(1), (teacher / tau).log_softmax(1),
                            reduction="none", log_target=True).sum(1) * tau * tau / K
        with_gradient(out, f"distill.soft.{tau:.0f}", logits, soft)
    with_gradient(out, "distill.hard", logits,
                  lambda z: F.cross_entropy(z, teacher.argmax(1), reduction="none"))
    write_safetensors(folder / "losses.safetensors", out, {})


if __name__ == "__main__":
    main()
