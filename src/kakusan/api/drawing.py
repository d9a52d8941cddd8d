"""Samples from a notebook: a model from its run, images from the model, and every step on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote

import torch
from torch import Tensor, nn

from kakusan import build, config, latents, sampling, seeds, texts
from kakusan.codec import Codec
from kakusan.condition import Labels
from kakusan.config.models import Sampling
from kakusan.config.names import CLIP_SCALE
from kakusan.denoiser import Denoise, Denoiser
from kakusan.devices import resolve
from kakusan.errors import KakusanError
from kakusan.matcher import Matcher
from kakusan.model import Model
from kakusan.progress import Bar
from kakusan.runs import Run, WeightsFrom
from kakusan.samplers.step import Step


def load(
    run: str | Path | Run,
    *,
    network: nn.Module | None = None,
    checkpoint: int | None = None,
    weights_from: WeightsFrom = "ema",
    device: str = "auto",
) -> Model:
    """Returns the model of a run, in evaluation mode; its ``source`` says which weights these are.

    Args:
        run: The run directory.
        network: The network, where the run trained one of your own; its weights are replaced.
        checkpoint: Images seen when it was saved; the last one by default.
        weights_from: ``"ema"``, the running average, or ``"raw"``, the weights as trained.
        device: Where to put it.

    Raises:
        KakusanError: There is no such run or checkpoint, it trained what draws nothing, or its weights are damaged or
            do not fit.
    """
    run = Run.open(run)
    where = resolve(device)
    codec = latents.kept(run, config.load(run.config_path).data, device)
    learned = build.restored(run, network, checkpoint, weights_from, codec)
    if isinstance(learned, Codec):
        raise KakusanError(
            f"{run.path} trained an autoencoder, which kakusan.load_autoencoder returns in Python: what draws is a "
            f"denoiser in its latents (kakusan train PRESET --data.latent {quote(str(run.path))})"
        )
    if isinstance(learned, Matcher):
        raise KakusanError(
            f"{run.path} trained a CLIP, which kakusan.load_clip returns in Python: it draws nothing, and says how "
            "well pictures and captions agree"
        )
    learned.denoiser.to(where)
    return learned


def load_autoencoder(
    run: str | Path | Run,
    *,
    checkpoint: int | None = None,
    weights_from: WeightsFrom = "ema",
    device: str = "auto",
    tile: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Codec:
    """Returns the autoencoder of a run, in evaluation mode.

    Args:
        run: The run directory.
        checkpoint, weights_from, device: As in :func:`load`.
        tile: Side, in pixels, of the tiles into which larger pictures are cut.
        dtype: In which numbers it computes.

    Raises:
        KakusanError: There is no such run or checkpoint, it trained something else, or its weights are damaged.
    """
    run = Run.open(run)
    where = resolve(device)
    found = build.restored_as(Codec, run, checkpoint, weights_from)
    found.network.to(where)
    return replace(found, tile=tile, dtype=dtype)


def load_clip(
    run: str | Path | Run,
    *,
    checkpoint: int | None = None,
    weights_from: WeightsFrom = "ema",
    device: str = "auto",
) -> Matcher:
    """Returns a CLIP, in evaluation mode.

    Args:
        run: The run directory of one, ``mini``, the directory of transformers' ``CLIPModel``, or ``"hub:OWNER/NAME"``.
        checkpoint, weights_from, device: As in :func:`load`.

    Raises:
        KakusanError: There is no such run or checkpoint, it trained something else, or its weights are damaged.
    """
    where = resolve(device)
    found = texts.matcher(run, checkpoint, weights_from)
    found.network.to(where).requires_grad_(False)
    return found


def sample(
    model: Model | Codec | Denoiser | Denoise,
    n: int = 1,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    variance: str | None = None,
    grid: str | None = None,
    guidance_scale: float | None = None,
    threshold: str | None = None,
    labels: Labels | None = None,
    prompt: str | Sequence[str] | None = None,
    negative: str | Sequence[str] | None = None,
    clip: Matcher | None = None,
    clip_scale: float = CLIP_SCALE,
    seed: int = 0,
    shape: Sequence[int] | None = None,
    batch: int | None = None,
    show: bool = False,
) -> Tensor:
    """Draws ``n`` images, float32 of shape (n, C, H, W), on the model's device; a model's lie in [−1, 1].

    What is left out is as the model's run was configured; for a bare denoiser it is DDIM, 50 steps,
    guidance 1 and no threshold.

    Args:
        model: What :func:`load` returns; or, with ``shape``, a denoiser, or any object with ``.schedule`` and
            ``__call__(x, t)``. The values of those are left as they come: they may be latents. Of an autoencoder
            latents are drawn from the standard normal distribution, as a VAE is meant, and nothing else is asked.
        n: How many images.
        sampler: ``"ddim"``, ``"ddpm"`` or ``"heun"``.
        steps: Steps of the walk.
        eta: DDIM's randomness, 0 to 1.
        variance: DDPM's, ``"posterior"`` or ``"beta"``.
        grid: ``"trailing"``, ``"leading"``, ``"uniform_log_snr"`` or ``"karras"``.
        guidance_scale: w in ε_∅ + w·(ε_c − ε_∅): 0 unconditional, 1 plainly conditional.
        threshold: ``"none"``, ``"clip"`` or ``"dynamic"``.
        labels: One class an image, by number or name, or one for all; −1 is no class. By default each class in turn.
        prompt: What each image is to show, or all, in words, for a model that reads them. By default captions that it
            learned from, in turn.
        negative: What guidance leads away from, in words, likewise.
        clip: What leads a model that reads no text to what ``prompt`` says, by the gradient of their agreement.
        clip_scale: How much that agreement, a cosine, counts.
        seed: Image i's noise follows from this and i, whatever the batch.
        shape: (C, H, W), for a bare denoiser.
        batch: Images drawn at a time.
        show: Whether to show progress.

    Raises:
        KakusanError: Something asked for cannot be had.
    """
    given = {"sampler": sampler, "steps": steps, "eta": eta, "variance": variance, "grid": grid}
    given |= {"guidance": guidance_scale, "threshold": threshold, "batch": batch}
    if isinstance(model, Codec):
        for name, value in {
            **given,
            "batch": None,
            "labels": labels,
            "prompt": prompt,
            "negative": negative,
            "clip": clip,
            "shape": shape,
        }.items():
            if value is not None:
                raise KakusanError(f"an autoencoder draws from its latents at once: leave out {name}")
        return _from_prior(model, n, seed, batch or Sampling().batch)
    led = None
    if clip is not None:
        if prompt is None:
            raise KakusanError("a CLIP leads to what a prompt says: give prompt")
        led, prompt = sampling.Led(clip, prompt, clip_scale), None
    plan = _plan(model, n, seed, labels, prompt, negative, shape, led, **given)
    with Bar("sampling", 1, show=show) as bar:
        images = sampling.sample(plan, bar.report)
    return images.clamp(-1, 1) if isinstance(model, Model) else images


def _from_prior(codec: Codec, n: int, seed: int, batch: int) -> Tensor:
    """Returns images of latents from the standard normal distribution; image i's follow from the seed and i."""
    sampling.require_count(n, seed)
    drawn = []
    for start in range(0, n, batch):
        images = range(start, min(start + batch, n))
        noise = seeds.ImageNoise(seed, images)(torch.empty(len(images), *codec.latent_shape, device=codec.device))
        drawn.append(codec.decode(noise))
    return torch.cat(drawn)


def walk(
    model: Model | Denoiser | Denoise,
    n: int = 1,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    variance: str | None = None,
    grid: str | None = None,
    guidance_scale: float | None = None,
    threshold: str | None = None,
    labels: Labels | None = None,
    prompt: str | Sequence[str] | None = None,
    negative: str | Sequence[str] | None = None,
    seed: int = 0,
    shape: Sequence[int] | None = None,
) -> Iterator[Step]:
    """Yields every step on the way to ``n`` images: ``t``, ``x`` and the predicted ``x0``, all images at once.

    Arguments and errors are those of :func:`sample`; whoever drives the iterator may stop it.
    """
    plan = _plan(
        model,
        n,
        seed,
        labels,
        prompt,
        negative,
        shape,
        sampler=sampler,
        steps=steps,
        eta=eta,
        variance=variance,
        grid=grid,
        guidance=guidance_scale,
        threshold=threshold,
    )
    return sampling.walk(plan)


def _plan(
    model: object,
    n: int,
    seed: int,
    labels: Labels | None,
    prompts: str | Sequence[str] | None,
    negative: str | Sequence[str] | None,
    shape: Sequence[int] | None,
    led: sampling.Led | None = None,
    **given: object,
) -> sampling.Plan:
    if isinstance(model, (str, Path, Run)):
        raise KakusanError(
            f"a run is loaded first, and once: model = kakusan.load({str(getattr(model, 'path', model))!r})"
        )
    if not (isinstance(model, Model) or (hasattr(model, "schedule") and callable(model))):
        raise KakusanError(
            f"a {type(model).__name__} is no model: give what kakusan.load returns, a Denoiser, or any object with "
            ".schedule and __call__(x, t)"
        )
    return sampling.plan(
        model,
        n=n,
        settings=settings_of(model, **given),
        seed=seed,
        labels=labels,
        prompts=prompts,
        negative=negative,
        led=led,
        shape=shape,
    )


def settings_of(model: object, **given: object) -> Sampling:
    """Returns how a model is drawn from, with what was ``given``, that is not None, in place of its own."""
    # A bare denoiser's values may be latents, which know no limits.
    defaults = model.sampling if isinstance(model, Model) else Sampling(threshold="none")
    return sampling.settings(defaults, **given)
