"""Section 4.5.3: the parts of a Stable Diffusion, and what it draws: `python examples/text_to_image.py drawn.png`"""

import sys

import kakusan
from kakusan import pictures, stable_diffusion
from kakusan.shapes import verify

model = stable_diffusion.opened("mini")  # "runs/sd21", say, is the directory of one that was downloaded
for name in ("text_encoder", "unet", "vae"):
    weights = sum(parameter.numel() for parameter in getattr(model.pipe, name).parameters())
    print(f"{name}: {weights:,} parameters")
print(f"tokenizer: {len(model.pipe.tokenizer):,} tokens, at most {model.pipe.tokenizer.model_max_length} a prompt")
print(f"scheduler: {type(model.pipe.scheduler).__name__}; safety checker: {model.pipe.safety_checker}")

prompt = "a red circle above a blue square"
how = {"model": model, "n": 8, "steps": 20, "seed": 0, "show": False}


def obeyed(images):
    return sum(verify(pictures.to_uint8(image), prompt).accepted for image in images)


for scale in (1, 2, 7.5):  # 1 is the plain conditional model; the chapter's 7.5 is for a larger one
    print(f"guidance {scale:g}: {obeyed(kakusan.generate(prompt, guidance_scale=scale, **how))} of 8 as asked")
images = kakusan.generate(prompt, negative="a white background", **how)
again = kakusan.generate(prompt, negative="a white background", **how)
print(f"the same seed again: largest difference {(images - again).abs().max():g}")
if len(sys.argv) > 1:
    pictures.save(sys.argv[1], pictures.enlarge(pictures.grid(images), 4))
