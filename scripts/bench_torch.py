#!/usr/bin/env python3
"""The training step of `vitrain bench step` in plain PyTorch, to measure against (Debian: python3-torch and
python3-torchvision).

    scripts/bench_torch.py --config C [--batch N] [--precision fp32|bf16] [--rule area|tl-align]
                           [--classes N] [--steps N] [--threads N]    one JSON line
    scripts/bench_torch.py --against VITRAIN [--rounds N] [--model NAME] [--precision P]
                           both in turn, N times, and a table of medians in Markdown

A ViT as timm 0.4.12 computes it, or torchvision's Swin-T, CutMix on whole patches, soft-target
cross-entropy, AdamW; bf16 is autocast on the CPU. TL-Align, of ViTs only, as its paper writes it (arXiv
2210.06455, section 3.3) and its authors compute it: a vector of K labels for every token, (B,T,K), moved
by the head-mean of every attention map.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

WIDTHS = {"tiny": (192, 3), "small": (384, 6), "base": (768, 12)}  # embed_dim, heads
SWIN = "swin_tiny_patch4_window7_224"
PRECISIONS, RULES = ("fp32", "bf16"), ("area", "tl-align")
MODELS = {  # the README's table: configuration, batch, classes, label rules
    "DeiT-S, 224 px": ("configs/deit_s.json", 32, 1000, RULES),
    "Swin-T, 224 px": ("configs/swin_t.json", 32, 1000, RULES[:1]),
    "small ViT, 64 px": ("configs/imagenette64_vit.json", 64, 10, RULES),
    "tiny ViT, 28 px": ("configs/quickstart.json", 128, 10, RULES),
}
LEAST_STEPS, DURATION_S, WARM_UP = 5, 5, 2
SMOOTHING = 0.1


def model_shape(path, classes):
    """The model section, a preset's shape filled in."""
    model = json.loads(Path(path).read_text())["model"]
    shape = dict(in_chans=3, mlp_ratio=4, num_classes=1000)
    size = next((s for s in WIDTHS if f"_{s}_" in model["name"]), None)
    if model["name"] == SWIN:
        shape.update(image_size=224, patch_size=4)
    elif size:
        dim, heads = WIDTHS[size]
        shape.update(image_size=224, patch_size=16, embed_dim=dim, depth=12, num_heads=heads)
    shape.update(model)
    if classes:
        shape["num_classes"] = classes
    return shape


def build_swin(shape):
    from torchvision.models import SwinTransformer

    class Swin(SwinTransformer):
        def forward(self, images, labels=None):
            return super().forward(images), labels

    return Swin([4, 4], 96, [2, 2, 6, 2], [3, 6, 12, 24], [7, 7], stochastic_depth_prob=0.0,
                num_classes=shape["num_classes"])


def build(torch, shape):
    if shape["name"] == SWIN:
        return build_swin(shape)
    nn = torch.nn
    C, H = shape["embed_dim"], shape["num_heads"]
    grid = shape["image_size"] // shape["patch_size"]

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            hidden = int(C * shape["mlp_ratio"])
            self.norm1, self.norm2 = nn.LayerNorm(C, eps=1e-6), nn.LayerNorm(C, eps=1e-6)
            self.qkv, self.proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
            self.fc1, self.fc2 = nn.Linear(C, hidden), nn.Linear(hidden, C)
            self.gelu = nn.GELU()

        def forward(self, x, labels):
            B, T, _ = x.shape
            q, k, v = self.qkv(self.norm1(x)).reshape(B, T, 3, H, C // H).permute(2, 0, 3, 1, 4)
            maps = (q @ k.transpose(-2, -1) * (C // H) ** -0.5).softmax(dim=-1)
            if labels is not None:
                with torch.no_grad():
                    labels = (labels + maps.mean(dim=1).to(labels.dtype) @ labels) / 2
            x = x + self.proj((maps @ v).transpose(1, 2).reshape(B, T, C))
            return x + self.fc2(self.gelu(self.fc1(self.norm2(x)))), labels

    class Vit(nn.Module):
        def __init__(self):
            super().__init__()
            side = shape["patch_size"]
            self.embed = nn.Conv2d(shape["in_chans"], C, kernel_size=side, stride=side)
            self.token = nn.Parameter(torch.zeros(1, 1, C))
            self.position = nn.Parameter(torch.randn(1, grid * grid + 1, C) * 0.02)
            self.blocks = nn.ModuleList(Block() for _ in range(shape["depth"]))
            self.norm = nn.LayerNorm(C, eps=1e-6)
            self.head = nn.Linear(C, shape["num_classes"])

        def forward(self, images, labels=None):
            x = self.embed(images).flatten(2).transpose(1, 2)
            x = torch.cat((self.token.expand(len(x), -1, -1), x), dim=1) + self.position
            for block in self.blocks:
                x, labels = block(x, labels)
            return self.head(self.norm(x)[:, 0]), None if labels is None else labels[:, 0]

    return Vit()


def mixed(torch, images, onehots, shape, dense):
    """CutMix of the reversed batch. Returns images, the targets by area, labels of all tokens (or None)."""
    side, size = shape["patch_size"], shape["image_size"]
    grid = size // side
    ratio = float(torch.distributions.Beta(1.0, 1.0).sample())
    length = int(grid * (1 - ratio) ** 0.5)
    cy, cx = (int(torch.randint(grid, ())) for _ in range(2))
    (y0, y1), (x0, x1) = ((max(c - length // 2, 0), min(c + length // 2, grid)) for c in (cy, cx))
    box = (..., slice(y0 * side, y1 * side), slice(x0 * side, x1 * side))
    images[box] = images.flip(0)[box]
    own = torch.ones(grid, grid)
    own[y0:y1, x0:x1] = 0
    other = onehots.flip(0)
    area = own.mean()
    targets = onehots * area + other * (1 - area)
    if not dense:
        return images, targets, None
    own = own.reshape(1, -1, 1)
    patches = own * onehots[:, None] + (1 - own) * other[:, None]
    return images, targets, torch.cat((patches.mean(dim=1, keepdim=True), patches), dim=1)


def bench(args):
    import torch

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    shape = model_shape(args.config, args.classes)
    if shape["name"] == SWIN and args.rule != "area":
        sys.exit(f"{args.config}: {args.rule} in PyTorch is for ViTs only")
    K, B = shape["num_classes"], args.batch
    model = build(torch, shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4, weight_decay=0.05)
    images = torch.rand(B, shape["in_chans"], shape["image_size"], shape["image_size"]) * 4 - 2
    onehots = torch.full((B, K), SMOOTHING / K)
    onehots[torch.arange(B), torch.arange(B) % K] += 1 - SMOOTHING

    def step():
        inputs, targets, labels = mixed(torch, images, onehots, shape, args.rule == "tl-align")
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16"):
            logits, moved = model(inputs, labels)
        targets = targets if moved is None else moved / moved.sum(dim=-1, keepdim=True)
        loss = -(targets * torch.log_softmax(logits.float(), dim=-1)).sum(dim=-1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    for _ in range(WARM_UP):
        step()
    times, start = [], time.monotonic()
    while (len(times) < args.steps if args.steps
           else len(times) < LEAST_STEPS or time.monotonic() - start < DURATION_S):
        before = time.monotonic()
        step()
        times.append(time.monotonic() - before)
    median = statistics.median(times)
    return {"images_per_s": B / median,
            "step_ms": {"median": 1e3 * median, "low": 1e3 * min(times), "high": 1e3 * max(times)},
            "steps": len(times),
            "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "precision": args.precision, "rule": args.rule, "threads": args.threads, "batch": B,
            "torch": torch.__version__}


def answer(command):
    """The JSON that a command prints; None if it cannot do what is asked of it."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(" ".join(command), "\n   ", done.stderr.strip().split("\n")[-1], file=sys.stderr)
        return None
    return json.loads(done.stdout)


def rates(runs):
    return [run["images_per_s"] for run in runs]


def spread(runs):
    return (f"{statistics.median(rates(runs)):.4g} ({min(rates(runs)):.4g}-{max(rates(runs)):.4g})"
            if runs else "-")


def ratio(ours, theirs):
    """Median over the rounds, each against its neighbour in time."""
    if not ours or not theirs:
        return "-"
    return f"{statistics.median(x / y for x, y in zip(rates(ours), rates(theirs))):.2f}"


def gib(runs):
    return f"{max(run['peak_rss_bytes'] for run in runs) / 2 ** 30:.2f}" if runs else "-"


def measure(args, name, rule):
    """Runs of both programs in both precisions, in turn, so that whatever slows the machine down slows
    all; a program that cannot do a precision has no runs. {(program, precision): runs}"""
    config, batch, classes, _ = MODELS[name]
    options = ["--config", config, "--batch", str(batch), "--rule", rule]
    if args.steps:
        options += ["--steps", str(args.steps)]
    programs = {
        "vitrain": [args.against, "bench", "step", "--json", "--quiet", "--set", "mix.prob=1", "--set",
                    f"model.num_classes={classes}", "--set", f"train.threads={args.threads}"],
        "torch": [sys.executable, __file__, "--threads", str(args.threads), "--classes", str(classes)],
    }
    runs = {(program, precision): [] for precision in args.precisions for program in programs}
    refused = set()
    for _ in range(args.rounds):
        for case in runs:
            if case in refused:
                continue
            result = answer(programs[case[0]] + options + ["--precision", case[1]])
            if result:
                runs[case].append(result)
            else:
                refused.add(case)
    return runs


def compare(args):
    print("| model | rule | precision | vitrain, images/s | PyTorch, images/s | ratio | to PyTorch's faster "
          "precision | nominal share of peak | memory, GiB |\n|---|---|---|---|---|---|---|---|---|")
    for name, rule in ((n, r) for n in MODELS for r in MODELS[n][3] if (args.model or "") in n):
        runs = measure(args, name, rule)
        faster = max((runs["torch", p] for p in args.precisions),
                     key=lambda r: statistics.median(rates(r) or [0]))
        for precision in args.precisions:
            ours, theirs = runs["vitrain", precision], runs["torch", precision]
            share = (f"{100 * statistics.median(r['nominal_fraction'] for r in ours):.0f}%"
                     if ours else "-")
            print(f"| {name}, batch {MODELS[name][1]} | {rule} | {precision} | {spread(ours)} "
                  f"| {spread(theirs)} | {ratio(ours, theirs)} | {ratio(ours, faster)} | {share} "
                  f"| {gib(ours)} / {gib(theirs)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--precision", choices=PRECISIONS, help="fp32; of the comparison: both")
    parser.add_argument("--rule", choices=RULES, default="tl-align")
    parser.add_argument("--classes", type=int, help="instead of the configuration's")
    parser.add_argument("--steps", type=int, default=0, help="0: five seconds' worth")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--against", metavar="VITRAIN", help="compare with this program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", help="of the comparison: part of a name")
    args = parser.parse_args()
    args.precisions = (args.precision,) if args.precision else PRECISIONS
    args.precision = args.precision or "fp32"
    if args.against:
        compare(args)
    elif args.config:
        print(json.dumps(bench(args)))
    else:
        parser.error("--config or --against is needed")


if __name__ == "__main__":
    main()
