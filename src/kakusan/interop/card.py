"""The card of an exported model: what it is, and how plain diffusers draws from it."""

from __future__ import annotations

from importlib.metadata import version

import torch

from kakusan.interop.schedulers import steps_near
from kakusan.model import Model
from kakusan.schedules import Chain

_ALL = 0.9999  # of the deviation at the end of a chain, from which on it is noise

_UNCONDITIONAL = """\
from diffusers import DDIMPipeline

draw = DDIMPipeline.from_pretrained(".")
images = draw(batch_size=4, num_inference_steps={steps}{eta}, use_clipped_model_output=True).images
"""

_PROMPTED = """\
from diffusers import StableDiffusionPipeline

draw = StableDiffusionPipeline.from_pretrained(".")
prompts = {prompts}
images = draw(prompts, num_inference_steps={steps}, guidance_scale={guidance:g}{eta}{size}).images
"""

_LOOP = """\
import torch
from diffusers import {imports}
{reads}
unet = {unet}.from_pretrained("unet")
scheduler = DDIMScheduler.from_pretrained("scheduler")
{vae}{labels}scheduler.set_timesteps({steps})
x = {start}torch.randn({n}, {shape})
with torch.no_grad():
    for t in scheduler.timesteps:
{call}
        x = scheduler.step(output, t, x{eta}, use_clipped_model_output=True).prev_sample
    images = {images}.clamp(-1, 1)
"""

_LABELS = """\
labels, w = torch.tensor([{few}]), {guidance:g}  # classes, and how much they count
null = torch.full_like(labels, {classes})  # the last row of the class embedding: no class
"""
_GUIDED = """\
        both = unet(torch.cat([x, x]), t, {told}).sample
        given, without = both.chunk(2)
        output = without + w * (given - without)"""
_WORDS = """\
tokenizer, w = CLIPTokenizer.from_pretrained("tokenizer"), {guidance:g}  # how much the prompts count
prompts = {prompts}
words = tokenizer(prompts + [""] * len(prompts), padding="max_length", truncation=True, return_tensors="pt").input_ids
told = CLIPTextModel.from_pretrained("text_encoder")(words)[0]
"""
_PLAIN = """\
        output = unet(x, t).sample"""


def card(model: Model, name: str) -> str:
    """Returns the card, in Markdown, whose code draws a few images where it lies."""
    about = [
        f"{model.parameters:,} parameters",
        f"images of {'×'.join(map(str, model.shape))}",
        *([f"in latents of {'×'.join(map(str, model.latent_shape))}"] if model.codec is not None else []),
        *([f"after {model.images:,} images"] if model.images else []),
    ]
    classes = "".join(f"{i}. {name}\n" for i, name in enumerate(model.class_names))
    return (
        "---\nlibrary_name: diffusers\ntags: [kakusan, diffusion]\n---\n\n"
        f"# {name}\n\n"
        f"A diffusion model that kakusan {version('kakusan')} trained: {', '.join(about)}; "
        f"{model.source}.\n\n"
        f"Drawn by plain diffusers, in this directory:\n\n```python\n{code(model)}```\n"
        + (f"\n## Classes\n\n{classes}" if classes else "")
    )


def is_stable_diffusion(model: Model) -> bool:
    """Whether a model is one that a ``StableDiffusionPipeline`` draws with: of latents, and sides that 8 divides."""
    return model.words is not None and model.codec is not None and not any(side % 8 for side in model.shape[1:])


def code(model: Model) -> str:
    """Returns Python that draws a few images with diffusers alone."""
    chain = model.denoiser.schedule
    assert isinstance(chain, Chain), "no other process is written"
    steps = steps_near(chain, model.sampling.steps or 50)
    noise = float(chain(torch.ones((), dtype=torch.float64))[1])
    guidance, prompts = model.sampling.guidance, []
    eta = f", eta={model.sampling.eta:g}" if model.sampling.eta else ""
    if model.words is not None:
        prompts = list(model.words.examples[:4]) or ["a photograph"]
    if is_stable_diffusion(model) and noise > _ALL:
        _, height, width = model.shape
        size = "" if height == width else f", height={height}, width={width}"
        return _PROMPTED.format(prompts=prompts, steps=steps, guidance=guidance, eta=eta, size=size)
    if model.codec is None and not model.class_names and not prompts and noise > _ALL:
        return _UNCONDITIONAL.format(steps=steps, eta=eta)
    n = min(4, len(model.class_names or prompts) or 4)
    told, call = "", _PLAIN
    if prompts:
        told = _WORDS.format(prompts=prompts, guidance=guidance)
        call = _GUIDED.format(told="encoder_hidden_states=told")
    elif model.class_names:
        few = ", ".join(map(str, range(n)))
        told = _LABELS.format(few=few, guidance=guidance, classes=len(model.class_names))
        call = _GUIDED.format(told="class_labels=torch.cat([labels, null])")
    vae, unet = model.codec is not None, "UNet2DConditionModel" if prompts else "UNet2DModel"
    return _LOOP.format(
        imports=", ".join([*(["AutoencoderKL"] if vae else []), "DDIMScheduler", unet]),
        reads="from transformers import CLIPTextModel, CLIPTokenizer\n" if prompts else "",
        unet=unet,
        vae='vae = AutoencoderKL.from_pretrained("vae")\n' if vae else "",
        labels=told,
        steps=steps,
        start="" if noise > _ALL else f"{noise:.6g} * ",  # a chain that does not end in noise alone
        n=n,
        shape=", ".join(map(str, model.latent_shape)),
        call=call,
        eta=eta,
        images="vae.decode(x / vae.config.scaling_factor).sample" if vae else "x",
    )
