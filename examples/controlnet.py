"""Section 4.7: a ControlNet, made of a model's own U-Net and led by edges: `python examples/controlnet.py`"""

import tempfile
from pathlib import Path

import torch
from diffusers import ControlNetModel

import kakusan
from kakusan import pictures, stable_diffusion

place, model = Path(tempfile.mkdtemp()), stable_diffusion.opened("mini", "cpu")
net = ControlNetModel.from_unet(model.pipe.unet, conditioning_embedding_out_channels=(16, 32, 96))
net.save_pretrained(place / "new")
sizes = [sum(weight.numel() for weight in it.parameters()) for it in (model.pipe.unet, net)]
print(f"U-Net: {sizes[0]:,} parameters, ControlNet: {sizes[1]:,}")

how = {"model": model, "n": 4, "steps": 10, "show": False}
plain = kakusan.generate("a red circle above a blue square", **how)
pictures.save(place / "first.png", plain[0])
led = {"control_images": [f"canny:{place / 'first.png'}"], **how}  # the edges of a picture, found here
edges = stable_diffusion.control_of(led["control_images"][0]).pixels
print(f"edges: {edges.mean():.0%} of the picture")
images = kakusan.generate("a red circle above a blue square", controls=[str(place / "new")], **led)
print(f"new, it leads nowhere: changed by at most {(images - plain).abs().max():g}")

torch.manual_seed(0)  # in place of a training: the convolutions by which it speaks no longer begin at zero
for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
    torch.nn.init.normal_(layer.weight, std=0.05)
net.save_pretrained(place / "taught")
for weight in (0, 0.5, 1):
    images = kakusan.generate("a red circle above a blue square", controls=[f"{place / 'taught'}:{weight}"], **led)
    print(f"weight {weight}: changed by {(images - plain).square().mean().sqrt():.3f}")
