#!/usr/bin/env python3
"""Writes tests/golden/augment.txt: what Pillow makes of pictures given by formulas.

    OPERATION PICTURE CHANNELS WIDTH HEIGHT FILTER ARGUMENT CRC32

PICTURE is noise or scene; CRC32 is that of the result's bytes. The operations are those that timm
0.4.12's RandAugment calls, with its fill colour for ImageNet's mean, DeiT III's blur, and the turn of
the hue that torchvision's colour jitter makes. Needs python3-pil and
python3-numpy; run from the repository's root.
"""

import random
import zlib

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
FILL = (124, 116, 104)


def noise(channels, width, height):
    """The same bytes as picture() in tests/unit/pictures.c."""
    y, x, c = np.meshgrid(range(height), range(width), range(channels), indexing="ij")
    y, x, c = (a.astype(np.uint32) for a in (y, x, c))
    h = x * np.uint32(73856093) ^ y * np.uint32(19349663) ^ c * np.uint32(83492791)
    return (h * np.uint32(2654435761) >> np.uint32(24)).astype(np.uint8)


def scene(channels, width, height):
    """The same bytes as scene() in tests/unit/pictures.c."""
    y, x, c = np.meshgrid(range(height), range(width), range(channels), indexing="ij")
    slope = (x * (5 + c) + y * (7 - 2 * c)) // 16 % 97
    grain = noise(channels, width, height) >> 5
    return (40 + 30 * c + slope + grain).astype(np.uint8)


PICTURES = {"noise": noise, "scene": scene}


def picture(kind, channels, width, height):
    pixels = PICTURES[kind](channels, width, height)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


def affine(image, matrix, resample, fill):
    return image.transform(image.size, Image.AFFINE, matrix, resample=resample, fillcolor=fill)


def turn_hue(image, turns):
    """torchvision's adjust_hue."""
    if image.mode == "L":
        return image
    pixels = np.array(image.convert("HSV"))
    pixels[:, :, 0] += np.uint8(int(turns * 255) % 256)
    return Image.fromarray(pixels, "HSV").convert("RGB")


def apply(name, image, argument, resample=Image.BICUBIC):
    """The operation as timm calls Pillow."""
    fill = FILL if image.mode == "RGB" else FILL[0]
    width, height = image.size
    if name == "AutoContrast":
        return ImageOps.autocontrast(image)
    if name == "Equalize":
        return ImageOps.equalize(image)
    if name == "Invert":
        return ImageOps.invert(image)
    if name == "Rotate":
        return image.rotate(argument, resample=resample, fillcolor=fill)
    if name == "Posterize":
        return ImageOps.posterize(image, int(argument))
    if name == "Solarize":
        return ImageOps.solarize(image, int(argument))
    if name == "SolarizeAdd":
        table = [min(255, v + int(argument)) if v < 128 else v for v in range(256)]
        return image.point(table * len(image.getbands()))
    if name in ("Color", "Contrast", "Brightness", "Sharpness"):
        return getattr(ImageEnhance, name)(image).enhance(argument)
    if name == "ShearX":
        return affine(image, (1, argument, 0, 0, 1, 0), resample, fill)
    if name == "ShearY":
        return affine(image, (1, 0, 0, argument, 1, 0), resample, fill)
    if name == "TranslateX":
        return affine(image, (1, 0, argument * width, 0, 1, 0), resample, fill)
    if name == "TranslateY":
        return affine(image, (1, 0, 0, 0, 1, argument * height), resample, fill)
    if name == "GaussianBlur":
        return image.filter(ImageFilter.GaussianBlur(argument))
    if name == "Hue":
        return turn_hue(image, argument)
    raise ValueError(name)


# Arguments at the ends of their ranges, at magnitude 9 and between; None: drawn from the range too.
FACTORS = ([0.0, 0.1, 0.19, 0.5, 1.0, 1.81, 1.9, 2.5], (0.1, 1.9))
MOVES = ([0.0, 0.27, -0.27, 0.3, 0.405, -0.45, 0.25, 0.5], (-0.45, 0.45))
ARGUMENTS = {
    "AutoContrast": ([0.0], None),
    "Equalize": ([0.0], None),
    "Invert": ([0.0], None),
    "Rotate": ([0.0, 27.0, -27.0, 30.0, -30.0, 180.0, 1e-9, 90.0], (-30, 30)),
    "Posterize": (list(range(9)), None),
    "Solarize": ([0, 1, 26, 128, 255, 256], None),
    "SolarizeAdd": ([0, 1, 99, 110, 255], None),
    "Color": FACTORS,
    "Contrast": FACTORS,
    "Brightness": FACTORS,
    "Sharpness": FACTORS,
    "ShearX": MOVES,
    "ShearY": MOVES,
    "TranslateX": MOVES,
    "TranslateY": MOVES,
}
OTHERS = {  # not RandAugment's
    "GaussianBlur": ([0.0, 0.1, 2.0, 1.0, 0.5, 1.4142, 3.7, 25.0], (0.1, 2.0)),
    "Hue": ([0.0, 0.1, -0.1, 0.5, -0.5, 1 / 3], (-0.5, 0.5)),
}
WARPS = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
SIZES = [(1, 1), (2, 5), (3, 3), (17, 1), (37, 23), (64, 64), (96, 128), (224, 224)]


def lines(rng):
    for name, (fixed, span) in {**ARGUMENTS, **OTHERS}.items():
        drawn = [rng.uniform(*span) for _ in range(8)] if span else []
        for i, argument in enumerate(fixed + drawn):
            sizes = SIZES if i == 1 or not span and len(fixed) == 1 else rng.sample(SIZES[:-1], 1) + [SIZES[-1]]
            for width, height in sizes:
                for kind in PICTURES:
                    for resample in FILTERS if name in WARPS else ["bicubic"]:
                        channels = 1 if rng.random() < 0.25 else 3
                        before = picture(kind, channels, width, height)
                        after = apply(name, before, argument, FILTERS[resample])
                        assert after.size == before.size and after.mode == before.mode
                        crc = zlib.crc32(after.tobytes())
                        yield (f"{name} {kind} {channels} {width} {height} {resample} "
                               f"{float(argument)!r} {crc:08x}")


def main():
    rng = random.Random(0)
    with open("tests/golden/augment.txt", "w", encoding="utf-8") as f:
        for line in lines(rng):
            print(line, file=f)


if __name__ == "__main__":
    main()
