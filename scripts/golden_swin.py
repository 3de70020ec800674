#!/usr/bin/env python3
"""Writes tests/golden/swin.safetensors and swin_odd.safetensors: what golden_models.py does for ViT, for
Swin Transformer (arXiv 2103.14030) under timm's current names. Run by hand (Debian: python3-torch); never
at build or test time.

    python3 scripts/golden_swin.py [FOLDER]

`swin`: shifted windows, some of them padded, then a stage that one window covers. `swin_odd`: maps of odd
sides, so that patch merging and windows have padding too. Labels are moved densely, a K-vector per token,
through the same roll, padding and partition as the tokens.
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from golden_models import (ADAMW, OPTIM_STEPS, copy, drawing, grid, make_batch, optimizer, rounded,
                           settings, single, smoothed, write_safetensors)

EPS = 1e-5  # of every norm
FAR_APART = -100.0  # between tokens that the roll has brought together

CONFIGS = {
    "swin": dict(image_height=32, image_width=24, patch_size=4, in_chans=3, embed_dim=8, depths=[2, 2],
                 num_heads=[2, 4], window_size=4, mlp_ratio=2, num_classes=5, qkv_bias=1),
    "swin_odd": dict(image_height=20, image_width=28, patch_size=4, in_chans=1, embed_dim=6,
                     depths=[2, 2, 1], num_heads=[2, 3, 4], window_size=3, mlp_ratio=3, num_classes=4,
                     qkv_bias=0),
}


def window_of(c, stage):
    """-> window and its largest shift, (height, width): as in timm, of the first map's side halved and
    rounded down."""
    sides = [side >> stage for side in grid(c)]
    window = [max(min(side, c["window_size"]), 1) for side in sides]
    shift = [c["window_size"] // 2 if side > c["window_size"] else 0 for side in sides]
    return window, shift


def partition(x, window, shift):
    """(B,h,w,C) -> (B x windows, tokens, C): rolled up and left, zeros below and to the right."""
    B, h, w, C = x.shape
    x = torch.roll(x, (-shift[0], -shift[1]), (1, 2))
    x = F.pad(x, (0, 0, 0, -w % window[1], 0, -h % window[0]))
    rows, columns = x.shape[1] // window[0], x.shape[2] // window[1]
    x = x.reshape(B, rows, window[0], columns, window[1], C).transpose(2, 3)
    return x.reshape(B * rows * columns, window[0] * window[1], C)


def assemble(x, window, shift, size):
    """The way back to (B,h,w,C)."""
    h, w = size
    rows, columns = -(-h // window[0]), -(-w // window[1])
    x = x.reshape(-1, rows, columns, window[0], window[1], x.shape[-1]).transpose(2, 3)
    x = x.reshape(-1, rows * window[0], columns * window[1], x.shape[-1])[:, :h, :w]
    return torch.roll(x, tuple(shift), (1, 2))


def mask_of(window, shift, size):
    """(windows, tokens, tokens): 0 where two tokens of a window are of one part of the map."""
    def parts(side, window, shift):
        padded = side + -side % window
        at = torch.arange(padded)
        return (at >= padded - window).long() + (at >= padded - shift).long() if shift else 0 * at

    parts = (3 * parts(size[0], window[0], shift[0])[:, None]
             + parts(size[1], window[1], shift[1])[None])
    parts = partition(parts[None, :, :, None].double(), window, (0, 0))[:, :, 0]
    return torch.where(parts[:, :, None] == parts[:, None], 0.0, FAR_APART)


def position_bias(table, window):
    """(heads, tokens, tokens) from the table's row for each offset between two tokens."""
    y, x = (t.flatten() for t in torch.meshgrid(*map(torch.arange, window), indexing="ij"))
    rows = ((y[:, None] - y[None] + window[0] - 1) * (2 * window[1] - 1)
            + x[:, None] - x[None] + window[1] - 1)
    return table[rows].permute(2, 0, 1)


def merge(x):
    """(B,h,w,C) -> (B,h/2,w/2,4,C): column by column, zeros where a side is odd."""
    B, h, w, C = x.shape
    x = F.pad(x, (0, 0, 0, w % 2, 0, h % 2))
    return torch.stack([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], 3)


def blocks_of(c):
    """-> stage, block in it, name, window, shift of each block."""
    for stage, depth in enumerate(c["depths"]):
        window, shift = window_of(c, stage)
        for j in range(depth):
            yield stage, j, f"layers.{stage}.blocks.{j}.", window, shift if j % 2 else (0, 0)


def make_weights(c, rng):
    w, C, P = {}, c["embed_dim"], c["patch_size"]

    normal, linear = drawing(w, rng)

    def norm(name, width):
        normal(name + ".weight", (width,), 0.1, 1.0)
        normal(name + ".bias", (width,), 0.1)

    normal("patch_embed.proj.weight", (C, c["in_chans"], P, P), (c["in_chans"] * P * P) ** -0.5)
    normal("patch_embed.proj.bias", (C,), 0.1)
    norm("patch_embed.norm", C)
    for stage, j, block, window, _ in blocks_of(c):
        width = C << stage
        if stage > 0 and j == 0:
            norm(f"layers.{stage}.downsample.norm", 2 * width)
            linear(f"layers.{stage}.downsample.reduction", width, 2 * width, bias=False)
        norm(block + "norm1", width)
        offsets = (2 * window[0] - 1) * (2 * window[1] - 1)
        normal(block + "attn.relative_position_bias_table", (offsets, c["num_heads"][stage]), 0.5)
        linear(block + "attn.qkv", 3 * width, width, bias=c["qkv_bias"], gain=1.4)
        linear(block + "attn.proj", width, width)
        norm(block + "norm2", width)
        linear(block + "mlp.fc1", width * c["mlp_ratio"], width)
        linear(block + "mlp.fc2", width, width * c["mlp_ratio"])
    norm("norm", width)
    linear("head.fc", c["num_classes"], width)
    return {name: tensor.requires_grad_() for name, tensor in w.items()}


def forward(c, w, images):
    """-> logits and the attention maps (B x windows, H, T, T) of each layer."""
    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], EPS)

    def linear(x, name):
        return F.linear(x, w[name + ".weight"], w.get(name + ".bias"))

    x = F.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"],
                 stride=c["patch_size"])
    x, maps = norm(x.permute(0, 2, 3, 1), "patch_embed.norm"), []
    for stage, j, block, window, shift in blocks_of(c):
        if stage > 0 and j == 0:
            name = f"layers.{stage}.downsample."
            x = linear(norm(merge(x).flatten(3), name + "norm"), name + "reduction")
        H, (B, h, wide, C) = c["num_heads"][stage], x.shape
        tokens = partition(norm(x, block + "norm1"), window, shift)
        qkv = linear(tokens, block + "attn.qkv").reshape(*tokens.shape[:2], 3, H, C // H)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * (C // H) ** -0.5
        scores = scores + position_bias(w[block + "attn.relative_position_bias_table"], window)
        scores = scores + mask_of(window, shift, (h, wide)).repeat(B, 1, 1)[:, None]
        maps.append(scores.softmax(-1))
        y = linear((maps[-1] @ v).transpose(1, 2).flatten(2), block + "attn.proj")
        x = x + assemble(y, window, shift, (h, wide))
        x = x + linear(F.gelu(linear(norm(x, block + "norm2"), block + "mlp.fc1")), block + "mlp.fc2")
    return linear(norm(x, "norm").mean((1, 2)), "head.fc"), maps


def align(c, labels, partner, mask, maps):
    """TL-Align, densely: labels (B,K) of unmixed samples -> those that the pooled head is trained with.
    The last of the numbers of a token says whether it is real."""
    other = mask.reshape(len(mask), *grid(c), 1)
    x = (1 - other) * labels[:, None, None] + other * labels[partner][:, None, None]
    for layer, (stage, j, _, window, shift) in zip(maps, blocks_of(c)):
        if stage > 0 and j == 0:
            children, real = merge(x), merge(torch.ones_like(x[..., :1]))
            x = children.sum(3) / real.sum(3)
        tokens = partition(x, window, shift)
        real = partition(torch.ones_like(x[..., :1]), window, shift)
        A = layer.detach().mean(1) * real.transpose(1, 2)
        moved = (tokens + A / A.sum(-1, keepdim=True) @ tokens) / 2
        x = assemble(moved, window, shift, x.shape[1:3])
    return x.mean((1, 2))


def loss_of(c, w, batch):
    logits, maps = forward(c, w, batch["images"])
    where = (batch["partner"], batch["mask"], maps)
    target = align(c, smoothed(batch["labels"], c["num_classes"]), *where)
    loss = -(target * logits.log_softmax(-1)).sum(-1).mean()
    share = align(c, torch.eye(len(batch["labels"])).double(), *where).diagonal()
    return loss, logits, maps, target, share


def decays_not(name):
    return name.endswith("relative_position_bias_table")


def train(c, w, batch):
    tables = [t for n, t in w.items() if decays_not(n)]
    optim = optimizer(torch.optim.AdamW, {n: t for n, t in w.items() if not decays_not(n)}, **ADAMW)
    optim.add_param_group(dict(params=tables, weight_decay=0))
    for _ in range(OPTIM_STEPS):
        optim.zero_grad()
        loss_of(c, w, batch)[0].backward()
        optim.step()


def numbers(c):
    lists = {key: " ".join(map(str, c[key])) for key in ("depths", "num_heads")}
    return dict(settings({k: v for k, v in c.items() if k not in lists}), family="swin", avg=1,
                distilled=0, **lists)


def write_model(folder, name, c, seed):
    rng = torch.Generator().manual_seed(seed)
    w, batch = make_weights(c, rng), make_batch(c, rng)
    loss, logits, maps, target, share = loss_of(c, w, batch)
    loss.backward()
    out = {key: batch[key].numpy() for key in ("labels", "partner")}
    out.update({key: single(batch[key]) for key in ("images", "mask", "lam")})
    out.update(loss=single(loss.reshape(1)), logits=single(logits), target=single(target),
               share=single(share))
    out.update({f"maps.{i}": single(layer) for i, layer in enumerate(maps)})
    runs = {"weight.": w, "grad.": {n: t.grad for n, t in w.items()}}
    if name == "swin":
        runs["adamw."] = copy(w)
        train(c, runs["adamw."], batch)
    for prefix, tensors in runs.items():
        out.update({prefix + n: single(t) for n, t in tensors.items()})
    write_safetensors(folder / f"{name}.safetensors", out, numbers(c))


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden")
    torch.set_num_threads(1)
    for seed, (name, c) in enumerate(CONFIGS.items(), 21):
        write_model(folder, name, c, seed)


if __name__ == "__main__":
    main()
