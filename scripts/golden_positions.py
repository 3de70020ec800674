#!/usr/bin/env python3
"""Writes tests/golden/positions.txt: grids that torch interpolates (bicubic, align_corners=False).

    IN_H IN_W OUT_H OUT_W C, then the OUT_H x OUT_W x C numbers of the result

Number i of the input, in the order (IN_H, IN_W, C), is (i * 7919 % 1000) / 500 - 1. Needs
python3-torch; run from the repository's root.
"""

import torch

GRIDS = [(4, 4, 6, 5, 3), (7, 7, 3, 4, 2), (1, 2, 3, 3, 1), (14, 14, 24, 24, 1)]

with open("tests/golden/positions.txt", "w") as file:
    for in_h, in_w, out_h, out_w, C in GRIDS:
        i = torch.arange(in_h * in_w * C)
        grid = ((i * 7919 % 1000).double() / 500 - 1).reshape(1, in_h, in_w, C).permute(0, 3, 1, 2)
        out = torch.nn.functional.interpolate(
            grid, size=(out_h, out_w), mode="bicubic", align_corners=False
        )
        numbers = out.permute(0, 2, 3, 1).flatten().tolist()
        print(in_h, in_w, out_h, out_w, C, *(f"{n:.8g}" for n in numbers), file=file)
