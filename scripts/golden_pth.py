#!/usr/bin/env python3
"""Writes tests/golden/weights.pth: a checkpoint as DeiT's script saves one, with a tensor of every
kind that is read. Tensor number k holds k + 0, 0.5, 1, 1.5 ... Needs python3-torch; run from the
repository's root.
"""

import argparse
from collections import OrderedDict

import torch


def ramp(k, *shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    return (k + 0.5 * torch.arange(count)).reshape(shape).to(dtype)


whole = ramp(6, 2, 4)
model = OrderedDict(
    float=ramp(0, 2, 3),
    half=ramp(1, 3, dtype=torch.float16),
    bfloat=ramp(2, 3, dtype=torch.bfloat16),
    double=ramp(3, 3, dtype=torch.float64),
    transposed=ramp(4, 3, 2).t(),
    parameter=torch.nn.Parameter(ramp(5, 2)),
    columns=whole[:, 1:3],
    second=whole[1],
    long=torch.arange(3),
    scalar=torch.tensor(7.0),
)
model._metadata = OrderedDict([("", {"version": 1})])
args = argparse.Namespace(lr=5e-4, model="deit", layers=[1, -70000, 2**40], resume=None)
checkpoint = {"model": model, "epoch": 299, "args": args, "done": True}
torch.save(checkpoint, "tests/golden/weights.pth")
