#!/usr/bin/env python3
"""Makes tests/golden/pictures/*, small pictures of every kind, and tests/golden/pictures.txt: what Pillow
and torchvision make of them, and of the pictures in the tar files given.

    made NAME WIDTH HEIGHT PIXELS EVAL
    TAR NAME WIDTH HEIGHT PIXELS EVAL

PIXELS is the CRC-32 of Image.open(f).convert("RGB"), rows of pixels; EVAL that of the float32 tensor of
Resize(256, bicubic), CenterCrop(224), ToTensor, Normalize. Needs python3-pil, python3-numpy and
python3-torchvision; run from the repository's root:

    scripts/golden_pictures.py DIR/imagenet-originals.tar DIR/jpeg-oddities.tar
"""

import io
import itertools
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import numpy as np
import torchvision.transforms as T
from PIL import Image, ImageFile

FOLDER = Path("tests/golden/pictures")
WIDTH, HEIGHT = 45, 35
EVAL = T.Compose([T.Resize(256, interpolation=T.InterpolationMode.BICUBIC), T.CenterCrop(224), T.ToTensor(),
                  T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


def picture(channels, width=WIDTH, height=HEIGHT):
    """Slopes and noise; (height, width, channels)."""
    rng = np.random.default_rng(channels)
    y, x, c = np.meshgrid(range(height), range(width), range(channels), indexing="ij")
    return ((4 * x + 3 * y + 50 * c + rng.integers(0, 60, x.shape)) % 256).astype(np.uint8)


def waves(width, height):
    """Smooth, so that a large file is small."""
    y, x, c = np.meshgrid(range(height), range(width), range(3), indexing="ij")
    return (128 + 100 * np.sin((x * (1 + c) + 2 * y) / 60)).astype(np.uint8)


# ---- JPEG ----


def jpeg(pixels, **options):
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[pixels.shape[2]]
    out = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels, mode).save(out, "JPEG", quality=90, **options)
    return out.getvalue()


def segment(data, marker):
    """Where the segment of this marker begins."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return at


def scan_of(data):
    """The entropy-coded bytes of a file of one scan."""
    at = segment(data, 0xDA)
    return data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:-2]


def with_restarts(pixels, **options):
    """A restart marker after each row of MCUs: the rows are encoded one by one and joined."""
    rows = 16 if options.get("subsampling") == "4:2:0" else 8
    whole = jpeg(pixels, **options)
    strips = [scan_of(jpeg(pixels[y:y + rows], **options)) for y in range(0, len(pixels), rows)]
    mcus = -(-pixels.shape[1] // rows)
    scan = strips[0] + b"".join(bytes([0xFF, 0xD0 + i % 8]) + s for i, s in enumerate(strips[1:]))
    at = segment(whole, 0xDA)
    head = whole[:at] + struct.pack(">BBHH", 0xFF, 0xDD, 4, mcus) + whole[at:]
    return head[:-2 - len(scan_of(whole))] + scan + b"\xff\xd9"


def standing(data):
    """4:4:0 from 4:2:2: the sampling factors and the sides change places, the blocks stay."""
    at = segment(data, 0xC0)
    height, width = struct.unpack(">HH", data[at + 5:at + 9])
    assert data[at + 11] == 0x21
    return data[:at + 5] + struct.pack(">HH", width, height) + data[at + 9:at + 11] + b"\x12" + data[at + 12:]


def ycck(data):
    """Adobe's mark says that CMYK is stored as YCCK."""
    at = segment(data, 0xEE)
    return data[:at + 15] + b"\x02" + data[at + 16:]


def jpegs():
    rgb, grey, cmyk = picture(3), picture(1), picture(4)
    for sampling, progressive in itertools.product(["4:4:4", "4:2:2", "4:2:0"], [False, True]):
        name = sampling.replace(":", "") + ("_progressive" if progressive else "")
        yield name, jpeg(rgb, subsampling=sampling, progressive=progressive)
    yield "440", standing(jpeg(rgb, subsampling="4:2:2"))
    yield "444_restarts", with_restarts(rgb, subsampling="4:4:4")
    yield "420_restarts", with_restarts(rgb, subsampling="4:2:0")
    yield "grey", jpeg(grey)
    yield "grey_progressive", jpeg(grey, progressive=True)
    yield "cmyk", jpeg(cmyk)
    yield "ycck", ycck(jpeg(cmyk))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation
    yield "orientation", jpeg(rgb, exif=exif)
    yield "no_end", jpeg(rgb)[:-2]
    yield "garbage_behind", jpeg(rgb) + b"\xff\xff garbage \xff"
    yield "one_pixel", jpeg(picture(3, 1, 1))
    yield "thin", jpeg(picture(3, 3, 90))
    yield "large", jpeg(waves(640, 480), subsampling="4:2:0")


# ---- PNG ----

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def pack_rows(samples, depth):
    """Rows of a pass, filter 0; samples: (height, width, channels)."""
    for row in samples:
        values = row.reshape(-1)
        if depth == 16:
            packed = values.astype(">u2").tobytes()
        elif depth == 8:
            packed = values.astype(np.uint8).tobytes()
        else:
            bits = (values[:, None] >> np.arange(depth - 1, -1, -1)) & 1
            packed = np.packbits(bits.reshape(-1).astype(np.uint8)).tobytes()
        yield b"\0" + packed


def png(color, depth, interlaced=False, transparent=False):
    channels = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}[color]
    samples = picture(channels, 21, 17).astype(np.uint16)
    samples = samples * 257 if depth == 16 else samples >> (8 - depth)
    if depth == 16:
        samples[::2] >>= 7  # around a byte's end
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, color, 0, 0, interlaced)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    if color == PALETTE:
        entries = (np.arange(3 << depth) * 37 % 256).astype(np.uint8)
        out += chunk(b"PLTE", entries.tobytes())
    if transparent:
        value = {PALETTE: b"\x00\x80", GREY: b"\0\1", RGB: b"\0\1\0\1\0\1"}[color]
        out += chunk(b"tRNS", value)
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in PASSES] if interlaced else [samples]
    rows = b"".join(row for part in passes if part.size for row in pack_rows(part, depth))
    return out + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def pngs():
    kinds = [("grey", GREY, (1, 2, 4, 8, 16)), ("rgb", RGB, (8, 16)), ("palette", PALETTE, (1, 2, 4, 8)),
             ("grey_alpha", GREY_ALPHA, (8, 16)), ("rgb_alpha", RGB_ALPHA, (8, 16))]
    for name, color, depths in kinds:
        for depth in depths:
            yield f"{name}{depth}", png(color, depth)
        yield f"{name}{depth}_interlaced", png(color, depth, interlaced=True)
        if not color & 4:
            yield f"{name}{depth}_transparent", png(color, depth, transparent=True)


# ---- both ----


def facts(data):
    image = Image.open(io.BytesIO(data)).convert("RGB")
    tensor = EVAL(image).numpy().astype("<f4")
    return (f"{image.size[0]} {image.size[1]} {zlib.crc32(image.tobytes()):08x} "
            f"{zlib.crc32(tensor.tobytes()):08x}")


def lines(tars):
    for suffix, pictures in ((".jpg", jpegs()), (".png", pngs())):
        for name, data in pictures:
            (FOLDER / (name + suffix)).write_bytes(data)
            ImageFile.LOAD_TRUNCATED_IMAGES = name == "no_end"
            yield f"made {name}{suffix} {facts(data)}"
    for path in tars:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile():
                    yield f"{Path(path).name} {member.name} {facts(tar.extractfile(member).read())}"


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    with open("tests/golden/pictures.txt", "w") as f:
        for line in lines(sys.argv[1:]):
            print(line, file=f)


if __name__ == "__main__":
    main()
