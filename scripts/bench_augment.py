#!/usr/bin/env python3
"""Times each operation of RandAugment at 224 x 224, ours beside Pillow's, in turn in the same run.

    scripts/bench_augment.py [--tool build/release/tests/augment_speed] [--rounds 5]

One thread each; the fastest of the rounds counts. Needs python3-pil and python3-numpy; build the tool
with `make build-tests` first.
"""

import argparse
import subprocess
import time

import numpy as np
from PIL import Image

import golden_augment

# At magnitude 9, as tests/cli/augment_speed.c has them.
ARGUMENTS = {
    "AutoContrast": 0, "Equalize": 0, "Invert": 0, "Rotate": 27, "Posterize": 1, "Solarize": 26,
    "SolarizeAdd": 99, "Color": 1.81, "Contrast": 1.81, "Brightness": 1.81, "Sharpness": 1.81,
    "ShearX": 0.27, "ShearY": 0.27, "TranslateX": 0.405, "TranslateY": 0.405,
    "GaussianBlur": 1, "Hue": 0.1,
}
CALLS = 20


def pillow_us(name, image):
    start = time.perf_counter()
    for _ in range(CALLS):
        golden_augment.apply(name, image, ARGUMENTS[name])
    return (time.perf_counter() - start) / CALLS * 1e6


def ours_us(tool):
    text = subprocess.run([tool, "1"], check=True, capture_output=True, text=True).stdout
    return {name: float(us) for name, us in (line.split() for line in text.splitlines())}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tool", default="build/release/tests/augment_speed")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    image = Image.fromarray(golden_augment.scene(3, 224, 224))
    ours, pillow = dict.fromkeys(ARGUMENTS, np.inf), dict.fromkeys(ARGUMENTS, np.inf)
    for _ in range(args.rounds):
        for name, us in ours_us(args.tool).items():
            ours[name] = min(ours[name], us)
        for name in ARGUMENTS:
            pillow[name] = min(pillow[name], pillow_us(name, image))
    print("| operation | Pillow, us | ours, us | times as fast |\n|---|---|---|---|")
    for name in ARGUMENTS:
        print(f"| {name} | {pillow[name]:.0f} | {ours[name]:.0f} | {pillow[name] / ours[name]:.1f} |")
    mean = [sum(table.values()) / len(table) for table in (pillow, ours)]
    print(f"| mean | {mean[0]:.0f} | {mean[1]:.0f} | {mean[0] / mean[1]:.1f} |")


if __name__ == "__main__":
    main()
