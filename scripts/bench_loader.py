#!/usr/bin/env python3
"""`vitrain bench loader` beside the same pipeline on Pillow and PyTorch (Debian: python3-pil, python3-torch).

    scripts/bench_loader.py --config C [--vitrain PROGRAM] [--rounds N] [--seconds S] [--cpu N] [--set K=V]
                            [--cpu-time]

Both on one core, in turn, N times; prints a table in Markdown of median images per second, the range, and
the median ratio, each round against its neighbour in time. --cpu-time counts processor time on both
sides, for machines that are not idle. C's data.train is an image folder; both
programs go through its files in a shuffled order. The pipelines are those of timm 0.4.12: random resized
crop and flip for training, with DeiT's augmentation between (RandAugment m9-mstd0.5-inc1) and behind (a
quarter of the pictures erased with noise) or without, and resize and centre crop for evaluation, to
normalised float tensors. The input's size, filter, mean, deviation and crop_pct are C's.
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
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


class Settings:
    """What the configuration says of the input, as vitrain resolves it (`bench loader --json`)."""

    def __init__(self, answer):
        data = answer["data"]
        self.side = answer["image_size"]
        self.crop_pct = data["crop_pct"]
        if isinstance(self.side, list) or len(data["mean"]) != 3:
            sys.exit("expected a square input of three channels")
        self.mean, self.std = (torch.tensor(data[key])[:, None, None] for key in ("mean", "std"))
        self.filter = FILTERS[data["interpolation"]]
        self.train_filter = FILTERS.get(data["augment"]["interpolation"], self.filter)


def decode(path):
    with open(path, "rb") as f:
        return Image.open(f).convert("RGB")


def to_input(image, s):
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
    return pixels.to(torch.float32).div_(255).sub_(s.mean).div_(s.std)


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


def crop_and_flip(path, s):
    image = decode(path)
    image = image.crop(draw_box(*image.size)).resize((s.side, s.side), s.train_filter)
    return image.transpose(Image.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def train(path, s):
    return to_input(crop_and_flip(path, s), s)


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
    side = pixels.shape[-1]
    for _ in range(10):
        area = side * side * random.uniform(0.02, 1 / 3)
        aspect = math.exp(random.uniform(math.log(0.3), math.log(1 / 0.3)))
        h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if h < side and w < side:
            top, left = random.randint(0, side - h), random.randint(0, side - w)
            pixels[:, top:top + h, left:left + w] = torch.empty(3, h, w).normal_()
            return


def train_deit(path, s):
    image = crop_and_flip(path, s)
    for name in random.choices(list(golden_augment.ARGUMENTS), k=2):
        if random.random() < 0.5:
            level = min(10, max(0, random.gauss(9, 0.5))) / 10
            image = golden_augment.apply(name, image, strength(name, level))
    pixels = to_input(image, s)
    if random.random() < 0.25:
        erase(pixels)
    return pixels


def evaluate(path, s):
    image = decode(path)
    w, h = image.size
    short = math.floor(s.side / s.crop_pct)
    size = (short, int(short * h / w)) if w <= h else (int(short * w / h), short)
    left, top = round((size[0] - s.side) / 2), round((size[1] - s.side) / 2)
    image = image.resize(size, s.filter).crop((left, top, left + s.side, top + s.side))
    return to_input(image, s)


def rate(make, files, settings, seconds, clock=time.monotonic):
    """Images per second, whole passes only: files differ in size."""
    for path in files[:8]:
        make(path, settings)
    done, start = 0, clock()
    while clock() - start < seconds:
        random.shuffle(files)
        for path in files:
            make(path, settings)
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


def pictures(folder):
    """All of them below a folder. None, or a file (a pack, say), is an error."""
    files = sorted(str(p) for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
    return files or sys.exit(f"{folder}: expected a folder with pictures ({', '.join(sorted(SUFFIXES))}) in it")


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
            theirs = rate(make, pictures(answer["data"]["train"]), Settings(answer), args.seconds, clock)
            rows[name].append((answer[part][unit], theirs))
    print("| pipeline | vitrain, images/s | Pillow, images/s | ratio |\n|---|---|---|---|")
    for name, pairs in rows.items():
        ours, theirs = zip(*pairs)
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"| {name} | {spread(ours)} | {spread(theirs)} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
