"""Section 4.5.3: words that count more or less, prompts that are longer: `python examples/weighted_words.py`"""

import kakusan
from kakusan import pictures, stable_diffusion
from kakusan.shapes import verify
from kakusan.stable_diffusion.emphasis import fragments
from kakusan.stable_diffusion.encoding import parts_of

for part in fragments("a (red:1.3) circle ((above)) a [blue] square"):
    print(f"{part.weight:.2f} × {part.text.strip()!r}")
try:
    fragments("a (red circle")
except kakusan.KakusanError as error:
    print(error)

model = stable_diffusion.opened("mini")
how = {"model": model, "n": 16, "steps": 10, "show": False}


def obeyed(prompt, wanted):
    images = kakusan.generate(prompt, **how)
    return sum(verify(pictures.to_uint8(image), wanted).accepted for image in images)


for weight in (0, 0.25, 0.5, 1):  # 0 is as if the word said nothing, 1 as if there were no brackets
    print(f"red counts {weight}: {obeyed(f'a (red:{weight}) circle', 'a red circle')} of 16 are a red circle")
longer = "a red circle " * 12  # the text encoder reads 22 tokens at once
print(f"read in {parts_of(model.pipe, longer)} parts: {obeyed(longer, 'a red circle')} of 16 are a red circle")
