#!/usr/bin/env python3
"""`vitrain bench loader` beside the same pipeline on Pillow and PyTorch (Debian: python3-pil, python3-torch).

    scripts/bench_loader.py --config C [--vitrain PROGRAM] [--rounds N] [--seconds S] [--cpu N] [--set K=V]
                            [--cpu-time]

Both on one core, in turn, N times; prints a table in Markdown of median images per second, the range, and
the median ratio, each round against its neighbour in time. --cpu-time counts processor time on both
sides, for machines that are not idle. C's data.train is an image folder; both
programs go through its files in a shuffled order. The pipelines are those of timm 0.4.12: random resized
crop (bicubic) and flip for training, with DeiT's augmentation between (RandAugment m9-mstd0.5-inc1) and
behind (a quarter of the pictures erased with noise) or without, and resize and centre crop for evaluation,
to normalised float tensors.
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import golden_augment

SUFFIXES = {".jpg", ".jpeg", ".png"}
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
SIDE, CROP_PCT = 224, 0.875


def decode(path):
    with open(path, "rb") as f:
        return Image.open(f).convert("RGB")


def to_input(image):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div_(255).sub_(MEAN).div_(STD)


def draw_box(width, height, scale=(0.08, 1), ratio=(3 / 4, 4 / 3)):
    for _ in range(10):
        area = width * height * random.uniform(*scale)
        aspect = math.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    w, h = min(width, round(height * ratio[1])), min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def crop_and_flip(path):
    image = decode(path)
    image = image.crop(draw_box(*image.size)).resize((SIDE, SIDE), Image.BICUBIC)
    return image.transpose(Image.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def train(path):
    return to_input(crop_and_flip(path))


def strength(name, level):
    """An operation's argument, of the increasing kind; level: 0 to 1."""
    sign = random.choice((-1, 1))
    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return 1 + sign * 0.9 * level
    spans = {"Rotate": 30, "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 0.45, "TranslateY": 0.45}
    if name in spans:
        return sign * spans[name] * level
    return {"Posterize": 4 - int(4 * level), "Solarize": 256 - int(256 * level),
            "SolarizeAdd": int(110 * level)}.get(name, 0)


def erase(pixels):
    """A box of 2% to a third of the pixels becomes noise."""
    for _ in range(10):
        area = SIDE * SIDE * random.uniform(0.02, 1 / 3)
        aspect = math.exp(random.uniform(math.log(0.3), math.log(1 / 0.3)))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h < SIDE and w < SIDE:
            top, left = random.randint(0, SIDE - h), random.randint(0, SIDE - w)
            pixels[:, top:top + h, left:left + w] = torch.empty(3, h, w).normal_()
            return


def train_deit(path):
    image = crop_and_flip(path)
    for name in random.choices(list(golden_augment.ARGUMENTS), k=2):
        if random.random() < 0.5:
            level = min(10, max(0, random.gauss(9, 0.5))) / 10
            image = golden_augment.apply(name, image, strength(name, level))
    pixels = to_input(image)
    if random.random() < 0.25:
        erase(pixels)
    return pixels


def evaluate(path):
    image = decode(path)
    w, h = image.size
    short = math.floor(SIDE / CROP_PCT)
    size = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    left, top = round((size[0] - SIDE) / 2), round((size[1] - SIDE) / 2)
    image = image.resize(size, Image.BICUBIC).crop((left, top, left + SIDE, top + SIDE))
    return to_input(image)


def rate(make, files, seconds, clock=time.monotonic):
    """Images per second, whole passes only: files differ in size."""
    for path in files[:8]:
        make(path)
    done, start = 0, clock()
    while clock() - start < seconds:
        random.shuffle(files)
        for path in files:
            make(path)
        done += len(files)
    return done / (clock() - start)


def vitrain(args, *options):
    command = [args.vitrain, "bench", "loader", "--config", args.config, "--json", "--quiet"]
    for option in [*args.set, *options]:
        command += ["--set", option]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")
    return json.loads(done.stdout)


def training_files(args):
    path = json.loads(Path(args.config).read_text()).get("data", {}).get("train")
    for option in args.set:
        path = option.partition("=")[2] if option.startswith("data.train=") else path
    root = Path(args.config).parent / path if path else sys.exit("data.train: missing")
    return sorted(str(p) for p in root.rglob("*") if p.suffix.lower() in SUFFIXES)


def spread(values):
    return f"{statistics.median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--config", required=True)
    parser.add_argument("--vitrain", default="build/release/vitrain")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="for each of Pillow's measurements")
    parser.add_argument("--cpu", type=int, help="the core; the last one")
    parser.add_argument("--cpu-time", action="store_true", help="per second of processor time")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    cpu = max(os.sched_getaffinity(0)) if args.cpu is None else args.cpu
    os.sched_setaffinity(0, {cpu})  # the children's too
    torch.set_num_threads(1)
    random.seed(0)
    files = training_files(args)
    pipelines = (  # row, ours, theirs
        ("crop + flip", ("train", "light", "exact"), train),
        ("DeiT's augmentation", ("train", "deit", "exact"), train_deit),
        ("crop + flip, data.decode=fast", ("train", "light", "fast"), train),
        ("DeiT's augmentation, data.decode=fast", ("train", "deit", "fast"), train_deit),
        ("evaluation", ("eval", "light", "exact"), evaluate),
    )
    unit, clock = ("images_per_cpu_s", time.process_time) if args.cpu_time else ("images_per_s", time.monotonic)
    rows = {name: [] for name, _, _ in pipelines}
    for _ in range(args.rounds):
        for name, (part, augment, how), make in pipelines:
            answer = vitrain(args, "data.val=null", f"data.augment={augment}", f"data.decode={how}")
            rows[name].append((answer[part][unit], rate(make, files, args.seconds, clock)))
    print("| pipeline | vitrain, images/s | Pillow, images/s | ratio |\n|---|---|---|---|")
    for name, pairs in rows.items():
        ours, theirs = zip(*pairs)
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"| {name} | {spread(ours)} | {spread(theirs)} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
