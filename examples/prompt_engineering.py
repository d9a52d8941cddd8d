"""Section 4.6.2, exercise 4.5: what detail, guidance and negatives do: `python examples/prompt_engineering.py`"""

import kakusan
from kakusan import pictures, stable_diffusion
from kakusan.shapes import parse, verify

model = stable_diffusion.opened("mini")
wanted = parse("a large red circle left of a small blue star on a white background")
prompts = {
    "two things": "a circle and a star",
    "colours": "a red circle and a blue star",
    "where": "a red circle left of a blue star",
    "sizes": "a large red circle left of a small blue star",
    "background": "a large red circle left of a small blue star on a white background",
}


def obeyed(prompt, **how):
    images = kakusan.generate(prompt, model=model, n=16, steps=20, seed=0, show=False, **how)
    return sum(verify(pictures.to_uint8(image), wanted).accepted for image in images)


for what, prompt in prompts.items():  # the more is said, the more is as it is wanted
    print(f"{what + ':':12} {obeyed(prompt)} of 16")
for scale in (1, 3, 15):  # 1 is the plain conditional model
    print(f"guidance {scale}: {obeyed(prompt, guidance_scale=scale)} of 16")
for negative in ("a black background", "a small circle"):  # of the prompt that leaves the background open
    print(f"not {negative}: {obeyed(prompts['sizes'], negative=negative)} of 16")
