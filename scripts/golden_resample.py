#!/usr/bin/env python3
"""Writes tests/golden/resample.txt: what Pillow and torchvision make of pictures given by a formula.

    resample CHANNELS WIDTH HEIGHT FILTER LEFT TOP RIGHT BOTTOM NEW_WIDTH NEW_HEIGHT CRC32
    eval     CHANNELS WIDTH HEIGHT FILTER SIDE CROP_PCT CRC32

CRC32 is that of the result's bytes, rows of pixels (eval: before normalisation). Needs python3-pil,
python3-numpy and python3-torchvision; run from the repository's root.
"""

import math
import random
import zlib

import numpy as np
import torchvision.transforms as T
from PIL import Image

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
MODES = {"bilinear": T.InterpolationMode.BILINEAR, "bicubic": T.InterpolationMode.BICUBIC}


def picture(channels, width, height):
    """The same bytes as picture() in tests/unit/pictures.c."""
    y, x, c = np.meshgrid(range(height), range(width), range(channels), indexing="ij")
    y, x, c = (a.astype(np.uint32) for a in (y, x, c))
    h = x * np.uint32(73856093) ^ y * np.uint32(19349663) ^ c * np.uint32(83492791)
    pixels = (h * np.uint32(2654435761) >> np.uint32(24)).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def resample_lines(rng):
    sizes = [(1, 1), (1, 7), (13, 1), (28, 28), (40, 31), (97, 64), (200, 150), (333, 500)]
    for width, height in sizes:
        for new in [(1, 1), (28, 28), (width, 17), (19, height), (224, 131), (width, height)]:
            for name in FILTERS:
                channels = rng.choice([1, 3])
                box = (0.0, 0.0, float(width), float(height))
                if rng.random() < 0.5:
                    left, top = rng.uniform(0, width - 0.5), rng.uniform(0, height - 0.5)
                    box = (left, top, rng.uniform(left + 0.25, width), rng.uniform(top + 0.25, height))
                image = picture(channels, width, height).resize(new, FILTERS[name], box=box)
                corners = " ".join(repr(v) for v in box)
                yield (f"resample {channels} {width} {height} {name} {corners} "
                       f"{new[0]} {new[1]} {zlib.crc32(image.tobytes()):08x}")


def eval_lines(rng):
    for width, height in [(500, 375), (333, 500), (256, 256), (300, 40), (37, 61), (5, 4), (1, 9)]:
        for side, pct in [(224, 0.875), (224, 0.9), (96, 1.0), (27, 0.95), (64, 1.25)]:
            channels, name = rng.choice([1, 3]), rng.choice(sorted(FILTERS))
            transform = T.Compose([T.Resize(math.floor(side / pct), MODES[name]), T.CenterCrop(side)])
            image = transform(picture(channels, width, height)).convert("RGB")
            yield f"eval {channels} {width} {height} {name} {side} {pct} {zlib.crc32(image.tobytes()):08x}"


def main():
    rng = random.Random(1)
    with open("tests/golden/resample.txt", "w") as f:
        for line in [*resample_lines(rng), *eval_lines(rng)]:
            print(line, file=f)


if __name__ == "__main__":
    main()
