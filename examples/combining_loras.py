"""Section 4.6.2: two LoRAs worn together, merged and fused, by one sum: `python examples/combining_loras.py`"""

import tempfile
from pathlib import Path

import torch

import kakusan
from kakusan import adapters, stable_diffusion

place, model = Path(tempfile.mkdtemp()), stable_diffusion.opened("mini")
layers = {name: it for name, it in model.pipe.unet.named_modules() if name.endswith(("to_q", "to_v"))}
for seed, file in enumerate(("subject.safetensors", "style.safetensors")):  # drawn by lot, in place of two trainings
    draw, weights = torch.Generator().manual_seed(seed), {}
    for name, layer in layers.items():
        out, into = layer.weight.shape
        weights[f"unet.{name}.lora_A.weight"] = torch.randn(4, into, generator=draw) / into**0.5
        weights[f"unet.{name}.lora_B.weight"] = torch.randn(out, 4, generator=draw) / 8
    adapters.write(adapters.Adapter(weights), place / file)

both = [f"{place / 'subject.safetensors'}:0.7", f"{place / 'style.safetensors'}:0.5"]
how = {"model": model, "n": 4, "steps": 10, "show": False}
plain = kakusan.generate("a red circle", **how)
worn = kakusan.generate("a red circle", loras=both, **how)  # W + 0.7·B₁A₁ + 0.5·B₂A₂ at every call
read = [(adapters.read(file), weight) for file, weight in map(adapters.weighted, both)]
adapters.write(adapters.merged(read), place / "both.safetensors")  # one file of rank 4 + 4
merged = kakusan.generate("a red circle", loras=[str(place / "both.safetensors")], **how)
adapters.fused(model.pipe, read)  # and no adapter at all: the weights themselves have changed
fused = kakusan.generate("a red circle", **how)
print(f"two LoRAs change pictures by up to {(worn - plain).abs().max():.2f}")
for name, images in {"merged into one": merged, "fused into the weights": fused}.items():
    print(f"{name} they draw the same, to {(images - worn).abs().max():.1e}")
