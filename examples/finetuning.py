"""Section 4.6.2: LoRA, DreamBooth, textual inversion of a few pictures: `python examples/finetuning.py FOLDER STEPS`"""

import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

import kakusan
from kakusan import pictures, stable_diffusion

place = Path(tempfile.mkdtemp())
folder, steps = sys.argv[1:] or (place / "rhombi", 5)  # five steps teach nothing: 500 to 2,000 do
if not sys.argv[1:]:  # pictures of what mini does not know
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    for i in range(6):
        inside = (rows - 12 - i).abs() + (columns - 19 + i).abs() < 8
        pictures.save(folder / f"{i}.png", torch.where(inside, 0.5, -1.0).expand(3, -1, -1))

model = stable_diffusion.opened("mini")
whole = sum(
    it.numel() for part in (model.pipe.unet, model.pipe.vae, model.pipe.text_encoder) for it in part.parameters()
)
files = {"lora": "pytorch_lora_weights", "dreambooth": "pipeline/unet/diffusion_pytorch_model"}
for method, file in (files | {"textual-inversion": "learned_embeds"}).items():
    told = {"objective.instance_prompts": ["a <new>" if file == "learned_embeds" else "a grey rhombus"]}
    if method == "dreambooth":  # pictures of its kind beside, so that not all of them become this one
        told |= {"objective.class_prompts": ["a grey star"], "objective.prior_images": 6}
    run = kakusan.train(method, data=folder, run=place / method, steps=int(steps), overrides=told, show=False)
    learned = sum(it.numel() for it in load_file(run.path / f"{file}.safetensors").values())
    print(f"{method}: {learned:,} of {whole:,} numbers learned, {learned / whole:.3%}, in {file}.safetensors")
