#!/usr/bin/env python3
"""Writes files of torch.save's to tests/golden. Needs python3-torch; run from the repository's root.

weights.pth     a tensor of every kind that is read: number k holds k + 0, 0.5, 1, 1.5 ...
checkpoint.pth  a small ViT in all that DeiT's script saves in training: optimizer, schedule, arguments
legacy.pth      the format before PyTorch 1.6
"""

import argparse
from collections import OrderedDict

import torch


def ramp(k, *shape, dtype=torch.float32):
    count = torch.Size(shape).numel()
    return (k + 0.5 * torch.arange(count)).reshape(shape).to(dtype)



def every_kind():
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
    return model


def small_vit(width=8, hidden=16, patch=8, tokens=5, classes=3):
    """Shapes of a ViT of one block, filled with waves."""
    shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, patch, patch), "patch_embed.proj.bias": (width,),
        "blocks.0.norm1.weight": (width,), "blocks.0.norm1.bias": (width,),
        "blocks.0.attn.qkv.weight": (3 * width, width), "blocks.0.attn.qkv.bias": (3 * width,),
        "blocks.0.attn.proj.weight": (width, width), "blocks.0.attn.proj.bias": (width,),
        "blocks.0.norm2.weight": (width,), "blocks.0.norm2.bias": (width,),
        "blocks.0.mlp.fc1.weight": (hidden, width), "blocks.0.mlp.fc1.bias": (hidden,),
        "blocks.0.mlp.fc2.weight": (width, hidden), "blocks.0.mlp.fc2.bias": (width,),
        "norm.weight": (width,), "norm.bias": (width,),
        "head.weight": (classes, width), "head.bias": (classes,),
    }
    waves = {name: 0.3 * torch.sin(1 + k + torch.arange(torch.Size(shape).numel())).reshape(shape)
             for k, (name, shape) in enumerate(shapes.items())}
    return {name: value + 1 if "norm" in name and "weight" in name else value
            for name, value in waves.items()}


def in_training(model):
    """What a script keeps beside the weights, of which nothing is to matter."""
    head = torch.nn.Parameter(model["head.weight"].clone())
    optimizer = torch.optim.AdamW([head], lr=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    head.sum().backward()
    optimizer.step()
    schedule.step()
    return {"optimizer": optimizer.state_dict(), "lr_scheduler": schedule.state_dict(),
            "scaler": torch.cuda.amp.GradScaler(enabled=False).state_dict(), "epoch": 299}


args = argparse.Namespace(lr=5e-4, model="deit", layers=[1, -70000, 2**40], resume=None)
torch.save({"model": every_kind(), "epoch": 299, "args": args, "done": True},
           "tests/golden/weights.pth")
vit = small_vit()
torch.save({"model": OrderedDict(vit), **in_training(vit), "args": args},
           "tests/golden/checkpoint.pth")
torch.save({"model": {"head.bias": vit["head.bias"]}}, "tests/golden/legacy.pth",
           _use_new_zipfile_serialization=False)
