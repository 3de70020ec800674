#!/usr/bin/env python3
"""Writes tests/golden/schedule.txt: the learning rates of whole runs, from the formula stated below.

DeiT's script makes timm's CosineLRScheduler with t_initial = E epochs, warmup_t = W, cycle_limit = 1
and without a warm-up prefix, and calls its step(epoch) after every epoch, never before the first. So
epoch 0 runs at the value that the scheduler sets when it is made, which is f(0), and epoch e >= 1 at
f(e - 1), where

    f(t) = warmup_lr + t (lr - warmup_lr) / W                         for t < W
    f(t) = min_lr + (lr - min_lr) (1 + cos(pi t / E)) / 2             for W <= t < E

(the cosine runs under the warm-up; of the scheduler's restarts, t >= E, a run sees none).

    case COMPAT EPOCHS WARMUP_EPOCHS LR WARMUP_LR MIN_LR STEPS_PER_EPOCH
    RATE          one line each: of every epoch (deit), of every step (exact: f(step / steps per epoch))
"""

import math

CASES = [
    # epochs, warm-up, lr, warm-up's lr, least lr, steps an epoch
    (300, 5, 1e-3, 1e-6, 1e-5, 4),  # DeiT's recipe at a global batch of 1024
    (300, 5, 5e-4, 1e-6, 1e-5, 3),  # and at 512
    (12, 0, 1e-3, 1e-6, 0.0, 7),  # no warm-up: begins at lr
    (20, 2.5, 2e-3, 0.0, 1e-5, 5),  # a warm-up that ends inside an epoch
    (3, 5, 1e-3, 1e-6, 1e-5, 11),  # a run that ends while it warms up
    (1, 0, 1e-3, 1e-6, 1e-5, 6),
]


def f(t, epochs, warmup, lr, warmup_lr, min_lr):
    if t < warmup:
        return warmup_lr + t * (lr - warmup_lr) / warmup
    return min_lr + (lr - min_lr) * (1 + math.cos(math.pi * t / epochs)) / 2


def main():
    with open("tests/golden/schedule.txt", "w") as out:
        for case in CASES:
            *shape, steps = case
            epochs = case[0]
            for compat in "deit", "exact":
                print("case", compat, *case, file=out)
                if compat == "deit":
                    times = [max(0, epoch - 1) for epoch in range(epochs)]
                else:
                    times = [step / steps for step in range(epochs * steps)]
                for t in times:
                    print(repr(f(t, *shape)), file=out)


main()
