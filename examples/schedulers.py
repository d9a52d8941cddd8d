"""Sections 4.5.3, 4.6.2: one model walked by other schedulers, by DPM-Solver too: `python examples/schedulers.py`"""

import time

import kakusan
from kakusan import pictures, stable_diffusion
from kakusan.config.names import SCHEDULERS
from kakusan.shapes import verify

model = stable_diffusion.opened("mini")
prompts = ["a red circle above a blue square", "a green star", "a yellow ring left of a purple cross", "a blue square"]
print(f"{'':16}{'of diffusers':32}{'steps':>6}{'as asked':>10}{'seconds':>9}")
for name, steps in (("ddim", 20), ("ddim", 8), ("dpmpp-2m", 8), ("unipc", 8), ("euler", 8)):
    started = time.perf_counter()
    images = kakusan.generate(prompts, model=model, n=16, steps=steps, eta=None, scheduler=name, show=False)
    seconds = time.perf_counter() - started
    obeyed = sum(verify(pictures.to_uint8(image), prompts[i % 4]).accepted for i, image in enumerate(images))
    theirs = SCHEDULERS[name].path.rpartition(":")[2]
    print(f"{name:16}{theirs:32}{steps:6}{obeyed / 16:10.0%}{seconds:9.2f}")
