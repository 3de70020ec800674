#!/usr/bin/env python3
"""Shows that weights travel: vitrain -> safetensors -> PyTorch -> .pth -> vitrain.

    python3 scripts/check_roundtrip.py runs/NAME/model.safetensors [--program build/release/vitrain]

The weights of a run (a plain, pooled or distilled ViT, a DeiT III, or a Swin; its shape is in the file) are
rewritten by `vitrain convert`, read into PyTorch, and computed there with the model of
golden_models.py or golden_swin.py; then torch.save writes them and vitrain computes with that file.
Both answers of vitrain must be within
1e-4 of PyTorch's. Needs python3-torch.
"""

import argparse
import json
import struct
import subprocess
import tempfile
from pathlib import Path

import golden_models
import golden_swin
import numpy as np
import torch
from golden_models import grid, write_safetensors

BATCH, TOLERANCE = 4, 1e-4


def read_safetensors(path):
    content = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata, tensors = header.pop("__metadata__", {}), {}
    for name, entry in header.items():
        assert entry["dtype"] == "F32", f"{name}: expected F32, got {entry['dtype']}"
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = np.frombuffer(content[begin:end], dtype=np.float32).reshape(entry["shape"])
        tensors[name] = torch.from_numpy(array.copy())
    return tensors, metadata


def shape_of(metadata):
    """The model as golden_models.py describes one."""
    told = json.loads(metadata["vitrain.model"])
    size = told["image_size"]
    height, width = size if isinstance(size, list) else (size, size)
    blocks = ("depths", "window_size") if "depths" in told else ("depth",)
    blocks += tuple(key for key in ("init_values", "no_embed_class") if key in told)
    return dict(image_height=height, image_width=width, avg=told["pool"] == "avg", **{
        key: told[key] for key in ("patch_size", "in_chans", "embed_dim", "num_heads", "num_classes",
                                   "distilled", *blocks)})


def logits_of(c, weights, images):
    """What PyTorch says: the mean of the heads."""
    with torch.no_grad():
        if "depths" in c:
            return golden_swin.forward(c, weights, images)[0]
        heads = golden_models.forward(c, weights, images)[0]
        return sum(heads) / len(heads)


def write_input(path, c, images):
    patches = grid(c)[0] * grid(c)[1]
    write_safetensors(path, dict(
        images=images.numpy(), labels=np.zeros(BATCH, np.int64), partner=np.arange(BATCH),
        mask=np.zeros((BATCH, patches), np.float32), lam=np.ones(BATCH, np.float32)), {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("--program", default="build/release/vitrain")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        converted, pth = folder / "converted.safetensors", folder / "saved.pth"
        subprocess.run([args.program, "convert", args.weights, converted, "--dtype", "f32"],
                       check=True)
        weights, metadata = read_safetensors(converted)
        c = shape_of(metadata)
        config = folder / "config.json"
        model = json.loads(metadata["vitrain.model"])
        model["name"] = model.pop("family")
        config.write_text(json.dumps({"model": model}))
        torch.save({"model": weights}, pth)
        images = torch.randn(BATCH, c["in_chans"], c["image_height"], c["image_width"],
                             generator=torch.Generator().manual_seed(0))
        write_input(folder / "in.safetensors", c, images)
        expected = logits_of(c, {k: v.double() for k, v in weights.items()}, images.double())
        for file in (args.weights, converted, pth):
            subprocess.run([args.program, "probe", "--config", config, "--checkpoint", file,
                            "--input", folder / "in.safetensors", "--output",
                            folder / "out.safetensors", "--quiet"], check=True)
            logits = read_safetensors(folder / "out.safetensors")[0]["logits"]
            error = (logits.double() - expected).abs().max().item()
            print(f"{Path(file).name}: largest difference from PyTorch's logits {error:.2e}")
            assert error < TOLERANCE, f"expected less than {TOLERANCE}"


if __name__ == "__main__":
    main()
