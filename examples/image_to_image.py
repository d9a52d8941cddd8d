"""Section 4.5.3: from a picture instead of noise, all of it or within a mask: `python examples/image_to_image.py`"""

import tempfile
from pathlib import Path

import torch

import kakusan
from kakusan import pictures, stable_diffusion
from kakusan.shapes import verify

model = stable_diffusion.opened("mini")
folder = Path(tempfile.mkdtemp())
how = {"model": model, "n": 8, "steps": 20, "seed": 1, "show": False}
first = kakusan.generate("a red circle above a blue square", **{**how, "n": 1, "seed": 0})[0]
pictures.save(folder / "first.png", first)

for strength in (0.1, 0.2, 0.6, 1.0):  # of so many steps of the walk it is redrawn: 1 forgets it
    images = kakusan.generate("a green star", init=folder / "first.png", strength=strength, **how)
    changed = (images - first).square().mean().sqrt()
    obeyed = sum(verify(pictures.to_uint8(image), "a green star").accepted for image in images)
    print(f"strength {strength:g}: changed by {changed:.2f}, {obeyed} of 8 are a green star")

mask = torch.full((1, 32, 32), -1.0)
mask[:, 16:] = 1.0  # white: the lower half is redrawn
pictures.save(folder / "mask.png", mask)
how |= {"init": folder / "first.png", "mask": folder / "mask.png", "strength": 1.0}
images = kakusan.generate("a red circle above a green star", **how)
moved = (images - first).abs().amax((0, 1))
print(f"a mask: changed by at most {moved[:16].max():.3f} outside, {moved[16:].max():.3f} inside")
