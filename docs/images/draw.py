"""Draws the README's two pictures from a run of the demo, every pixel enlarged to a square.

python docs/images/draw.py runs/demo
"""

import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

import kakusan
from kakusan.pictures import enlarge, grid, to_uint8

COLUMNS, ROWS, FACTOR, GAP = 10, 6, 9, 5


def main() -> None:
    """Writes ``samples.png``, a column a class, and ``emerging.png``, one digit from noise to data."""
    model = kakusan.load(sys.argv[1], device="cpu")
    write("samples.png", kakusan.sample(model, n=COLUMNS * ROWS, sampler="ddim", steps=50, seed=0))

    steps = list(kakusan.walk(model, n=1, sampler="ddim", steps=50, labels=[5], seed=7))
    shown = [steps[round(i * (len(steps) - 1) / (COLUMNS - 1))] for i in range(COLUMNS)]
    write("emerging.png", torch.cat([*(step.x for step in shown), *(step.x0 for step in shown)]))


def write(name: str, images: Tensor) -> None:
    """Writes grey images in rows, with transparent gaps, so that they suit pages light and dark."""
    pixels = to_uint8(images)
    opaque = 255 - grid(enlarge(torch.zeros_like(pixels), FACTOR), COLUMNS, GAP)  # a grid surrounds images with 255
    grey = grid(enlarge(pixels, FACTOR), COLUMNS, GAP)
    picture = Image.merge("LA", [Image.fromarray(layer[0].numpy()) for layer in (grey, opaque)])
    picture.save(Path(__file__).with_name(name), optimize=True)


if __name__ == "__main__":
    main()
