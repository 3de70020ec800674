#!/usr/bin/env python3
"""Writes tests/golden/{vit,distilled,avg,deit3,training}.safetensors, the numbers that test_golden.c and
test_training.c hold the C code to. Run by hand (Debian: python3-torch); never at build or test time.

    python3 scripts/golden_models.py [FOLDER]

A Vision Transformer under timm's names, in float64; everything stored as float32. The labels of
TL-Align (arXiv 2210.06455, section 3.3) are moved densely here, a K-vector per token, as the paper
writes them; the C code carries one share per token instead, so that agreement proves the shortcut.
Weights and inputs are rounded to float32 first, so both sides start from the same numbers.
"""

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

SMOOTHING = 0.1
ADAMW = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05)
SGD = dict(lr=0.05, momentum=0.9, weight_decay=0.01)
LAMB = dict(lr=0.01, betas=(0.9, 0.999), eps=1e-6, weight_decay=0.02)
OPTIM_STEPS = 10
TRAINING_STEPS = 20

CONFIGS = {  # heads of width 8, 5 and 6: not all multiples of a vector
    "vit": dict(image_height=16, image_width=24, patch_size=4, in_chans=3, embed_dim=24, depth=3,
                num_heads=3, mlp_ratio=4, num_classes=5, qkv_bias=1, avg=0, distilled=0),
    "distilled": dict(image_height=20, image_width=20, patch_size=5, in_chans=3, embed_dim=20,
                      depth=3, num_heads=4, mlp_ratio=2, num_classes=7, qkv_bias=1, avg=0,
                      distilled=1),
    "avg": dict(image_height=16, image_width=12, patch_size=4, in_chans=1, embed_dim=18, depth=2,
                num_heads=3, mlp_ratio=3, num_classes=4, qkv_bias=0, avg=1, distilled=0),
    "deit3": dict(image_height=12, image_width=16, patch_size=4, in_chans=3, embed_dim=16, depth=2,
                  num_heads=2, mlp_ratio=2, num_classes=5, qkv_bias=1, avg=0, distilled=0,
                  init_values=1, no_embed_class=1),
}


def write_safetensors(path, tensors, metadata):
    tensors = sorted(((k, np.ascontiguousarray(v)) for k, v in tensors.items()),
                     key=lambda item: -item[1].itemsize)  # wide elements first: all stay aligned
    names = {"float32": "F32", "int64": "I64"}
    header, offset = {"__metadata__": {k: str(v) for k, v in metadata.items()}}, 0
    for name, array in tensors:
        header[name] = {"dtype": names[str(array.dtype)], "shape": list(array.shape),
                        "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, array in tensors:
            file.write(array.tobytes())


def single(tensor):
    return tensor.detach().numpy().astype(np.float32)


def rounded(tensor):
    return tensor.float().double()


def grid(c):
    return c["image_height"] // c["patch_size"], c["image_width"] // c["patch_size"]


def drawing(w, rng):
    """-> functions that put random tensors, and layers' weights and biases, into w."""
    def normal(name, shape, std, mean=0.0):
        w[name] = rounded(mean + std * torch.randn(shape, generator=rng, dtype=torch.float64))

    def linear(name, out, inp, bias=True, gain=1.0):
        normal(name + ".weight", (out, inp), gain * inp ** -0.5)
        if bias:
            normal(name + ".bias", (out,), 0.1)

    return normal, linear


def make_weights(c, rng):
    """Random weights, large enough for attention that is far from uniform and for gradients in
    every tensor; biases and norms are random too."""
    C, P, K = c["embed_dim"], c["patch_size"], c["num_classes"]
    hidden, prefix = C * c["mlp_ratio"], 1 + c["distilled"]
    w = {}

    normal, linear = drawing(w, rng)

    def norm(name):
        normal(name + ".weight", (C,), 0.1, 1.0)
        normal(name + ".bias", (C,), 0.1)

    normal("cls_token", (1, 1, C), 0.5)
    if c["distilled"]:
        normal("dist_token", (1, 1, C), 0.5)
    placed = 0 if c.get("no_embed_class") else prefix
    normal("pos_embed", (1, placed + grid(c)[0] * grid(c)[1], C), 0.5)
    normal("patch_embed.proj.weight", (C, c["in_chans"], P, P), (c["in_chans"] * P * P) ** -0.5)
    normal("patch_embed.proj.bias", (C,), 0.1)
    for i in range(c["depth"]):
        block = f"blocks.{i}."
        norm(block + "norm1")
        linear(block + "attn.qkv", 3 * C, C, bias=c["qkv_bias"], gain=1.4)
        linear(block + "attn.proj", C, C)
        norm(block + "norm2")
        linear(block + "mlp.fc1", hidden, C)
        linear(block + "mlp.fc2", C, hidden)
        if c.get("init_values"):
            normal(block + "ls1.gamma", (C,), 0.5, 0.5)
            normal(block + "ls2.gamma", (C,), 0.5, 0.5)
    norm("fc_norm" if c["avg"] else "norm")
    linear("head", K, C)
    if c["distilled"]:
        linear("head_dist", K, C)
    return {name: tensor.requires_grad_() for name, tensor in w.items()}


def forward(c, w, images):
    """-> logits of each head, input (B,T,C) and attention maps (B,H,T,T) of each layer."""
    C, H = c["embed_dim"], c["num_heads"]

    def norm(x, name):
        return F.layer_norm(x, (C,), w[name + ".weight"], w[name + ".bias"], 1e-6)

    def linear(x, name):
        return F.linear(x, w[name + ".weight"], w.get(name + ".bias"))

    x = F.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"],
                 stride=c["patch_size"]).flatten(2).transpose(1, 2)
    B = len(x)
    prefix = [w[name].expand(B, 1, C) for name in ("cls_token", "dist_token") if name in w]
    if c.get("no_embed_class"):
        x = torch.cat(prefix + [x + w["pos_embed"]], 1)
    else:
        x = torch.cat(prefix + [x], 1) + w["pos_embed"]
    inputs, maps = [], []
    for i in range(c["depth"]):
        block = f"blocks.{i}."
        inputs.append(x)
        qkv = linear(norm(x, block + "norm1"), block + "attn.qkv")
        q, k, v = qkv.reshape(B, -1, 3, H, C // H).permute(2, 0, 3, 1, 4)
        maps.append((q @ k.transpose(-2, -1) * (C // H) ** -0.5).softmax(-1))
        branch = linear((maps[-1] @ v).transpose(1, 2).reshape(B, -1, C), block + "attn.proj")
        x = x + w.get(block + "ls1.gamma", 1) * branch
        hidden = F.gelu(linear(norm(x, block + "norm2"), block + "mlp.fc1"))
        x = x + w.get(block + "ls2.gamma", 1) * linear(hidden, block + "mlp.fc2")
    if c["avg"]:
        return [linear(norm(x[:, 1:].mean(1), "fc_norm"), "head")], inputs, maps
    x = norm(x, "norm")
    logits = [linear(x[:, 0], "head")]
    if c["distilled"]:
        logits.append(linear(x[:, 1], "head_dist"))
    return logits, inputs, maps


def align(c, labels, partner, mask, maps):
    """TL-Align, densely: labels (B,K) of unmixed samples -> those that arrive at each head."""
    other = mask[:, :, None]
    patches = (1 - other) * labels[:, None] + other * labels[partner][:, None]
    prefix = 1 + c["distilled"]
    tokens = torch.cat([patches.mean(1, keepdim=True)] * prefix + [patches], 1)  # (B,T,K)
    for layer in maps:
        tokens = (tokens + layer.detach().mean(1) @ tokens) / 2
    return [tokens[:, 1:].mean(1)] if c["avg"] else list(tokens[:, :prefix].unbind(1))


def smoothed(labels, K):
    return F.one_hot(labels, K).double() * (1 - SMOOTHING) + SMOOTHING / K


def loss_of(c, w, batch):
    logits, inputs, maps = forward(c, w, batch["images"])
    where = (batch["partner"], batch["mask"], maps)
    targets = align(c, smoothed(batch["labels"], c["num_classes"]), *where)
    losses = [-(t * l.log_softmax(-1)).sum(-1).mean() for t, l in zip(targets, logits)]
    # The share of a sample itself: the same with a label that names the sample.
    shares = [own.diagonal() for own in align(c, torch.eye(len(batch["labels"])).double(), *where)]
    return sum(losses) / len(losses), logits, inputs, maps, targets, shares


def mix(c, images, partner, mask):
    own = 1 - mask.reshape(-1, 1, *grid(c))
    own = own.repeat_interleave(c["patch_size"], 2).repeat_interleave(c["patch_size"], 3)
    return own * images + (1 - own) * images[partner]


def random_images(c, B, rng):
    shape = (B, c["in_chans"], c["image_height"], c["image_width"])
    return rounded(torch.randn(shape, generator=rng, dtype=torch.float64))


def make_batch(c, rng):
    """Five samples: a box of whole patches, shares within patches, unmixed, Mixup, a box."""
    h, w = grid(c)
    mask = torch.zeros(5, h, w, dtype=torch.float64)
    mask[0, 1:3, 0:2] = 1
    mask[1] = torch.rand(h, w, generator=rng, dtype=torch.float64).mul(256).floor() / 256
    mask[3] = 0.375
    mask[4, :, 1:3] = 1
    mask = mask.reshape(5, h * w)
    partner = torch.arange(4, -1, -1)
    lam = 1 - mask.mean(1)
    lam[0] = 0.125  # as with correct_lam off: TL-Align must not look at it
    return dict(images=rounded(mix(c, random_images(c, 5, rng), partner, mask)), partner=partner,
                labels=torch.arange(5) * 2 % c["num_classes"], mask=mask, lam=lam)


def decays(name, tensor):
    return tensor.ndim > 1 and name not in ("cls_token", "dist_token", "pos_embed")


def optimizer(kind, w, **options):
    plain = [t for n, t in w.items() if not decays(n, t)]
    return kind([dict(params=[t for n, t in w.items() if decays(n, t)]),
                 dict(params=plain, weight_decay=0)], **options)


class Lamb(torch.optim.Optimizer):
    """arXiv 1904.00962, the gradient of all tensors clipped to norm 1 before."""

    def __init__(self, groups, **options):
        super().__init__(groups, options)
        self.t = 0

    @torch.no_grad()
    def step(self):
        self.t += 1
        norm = sum(p.grad.square().sum() for g in self.param_groups for p in g["params"]).sqrt()
        for group in self.param_groups:
            for p in group["params"]:
                self.move(p, p.grad / max(1.0, norm.item()), group)

    def move(self, p, grad, group):
        (b1, b2), decay = group["betas"], group["weight_decay"]
        state = self.state[p]
        state["m"] = b1 * state.get("m", 0) + (1 - b1) * grad
        state["v"] = b2 * state.get("v", 0) + (1 - b2) * grad * grad
        m, v = state["m"] / (1 - b1 ** self.t), state["v"] / (1 - b2 ** self.t)
        direction = m / (v.sqrt() + group["eps"]) + decay * p
        sizes = p.norm().item(), direction.norm().item()
        ratio = sizes[0] / sizes[1] if decay and min(sizes) > 0 else 1.0
        p -= group["lr"] * ratio * direction


def train(c, w, optim, batches):
    """-> the loss of each step; w is changed."""
    losses = []
    for batch in batches:
        optim.zero_grad()
        loss = loss_of(c, w, batch)[0]
        loss.backward()
        optim.step()
        losses.append(loss.item())
    return losses


def copy(w):
    return {name: t.detach().clone().requires_grad_() for name, t in w.items()}


def settings(c):
    numbers = dict(c, smoothing=SMOOTHING, optim_steps=OPTIM_STEPS, sgd_lr=SGD["lr"],
                   sgd_momentum=SGD["momentum"], sgd_weight_decay=SGD["weight_decay"])
    for kind, options in [("adamw", ADAMW)] + [("lamb", LAMB)] * c.get("avg", 0):
        for key in ("lr", "eps", "weight_decay"):
            numbers[f"{kind}_{key}"] = options[key]
        numbers[kind + "_beta1"], numbers[kind + "_beta2"] = options["betas"]
    return numbers


def write_model(folder, name, c, seed):
    rng = torch.Generator().manual_seed(seed)
    w, batch = make_weights(c, rng), make_batch(c, rng)
    loss, logits, inputs, maps, targets, shares = loss_of(c, w, batch)
    loss.backward()
    out = {key: batch[key].numpy() for key in ("labels", "partner")}
    out.update({key: single(batch[key]) for key in ("images", "mask", "lam")})
    out["loss"] = single(loss.reshape(1))
    for suffix, l, t, s in zip(("", "_dist"), logits, targets, shares):
        out["logits" + suffix], out["target" + suffix], out["share" + suffix] = map(
            single, (l, t, s))
    for i, (x, layer) in enumerate(zip(inputs, maps)):
        out[f"x.{i}"], out[f"maps.{i}"] = single(x), single(layer)
    runs = {"weight.": w, "grad.": {n: t.grad for n, t in w.items()}}
    kinds = [("adamw.", torch.optim.AdamW, ADAMW)]
    kinds += [("sgd.", torch.optim.SGD, SGD)] if name == "vit" else []
    kinds += [("lamb.", Lamb, LAMB)] if name == "avg" else []
    for prefix, kind, options in kinds:
        runs[prefix] = copy(w)
        train(c, runs[prefix], optimizer(kind, runs[prefix], **options), [batch] * OPTIM_STEPS)
    for prefix, tensors in runs.items():
        out.update({prefix + n: single(t) for n, t in tensors.items()})
    write_safetensors(folder / f"{name}.safetensors", out, settings(c))
    return w


def write_training(folder, c, w, seed):
    """Twenty AdamW steps of the `vit` model on eight images, every step mixed anew."""
    rng = torch.Generator().manual_seed(seed)
    images, partner = random_images(c, 8, rng), torch.arange(7, -1, -1)
    h, wd = grid(c)
    masks, batches = [], []
    for step in range(TRAINING_STEPS):
        mask = torch.zeros(8, h, wd, dtype=torch.float64)
        for i in range(8):
            y, x = (int(torch.randint(n - 1, (), generator=rng)) for n in (h, wd))
            mask[i, y : y + 2, x : x + 3] = 1 if step % 4 else 0.25  # every fourth: parts
        masks.append(mask.reshape(8, h * wd))
        batches.append(dict(images=mix(c, images, partner, masks[-1]), partner=partner,
                            labels=torch.arange(8) % c["num_classes"], mask=masks[-1]))
    w = copy(w)
    losses = train(c, w, optimizer(torch.optim.AdamW, w, **ADAMW), batches)
    out = dict(images=single(images), labels=batches[0]["labels"].numpy(), partner=partner.numpy(),
               mask=single(torch.stack(masks)), losses=np.array(losses, dtype=np.float32))
    write_safetensors(folder / "training.safetensors", out, {})
    print("training losses:", " ".join(f"{loss:.3f}" for loss in losses))


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden")
    torch.set_num_threads(1)
    weights = {name: write_model(folder, name, c, seed)
               for seed, (name, c) in enumerate(CONFIGS.items(), 1)}
    write_training(folder, CONFIGS["vit"], weights["vit"], 11)


if __name__ == "__main__":
    main()
