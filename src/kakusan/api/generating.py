"""Images of what is said, by a model that is trained already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from kakusan import stable_diffusion
from kakusan.adapters import weighted
from kakusan.errors import counted
from kakusan.progress import Bar, say
from kakusan.stable_diffusion import BATCH, Extras, Memory, TextToImage


def generate(
    prompt: str | Sequence[str],
    *,
    model: str | TextToImage = "mini",
    n: int = 8,
    negative: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    eta: float | None = None,
    scheduler: str | None = None,
    height: int | None = None,
    width: int | None = None,
    init: str | Path | None = None,
    mask: str | Path | None = None,
    strength: float | None = None,
    loras: str | Path | Sequence[str | Path] = (),
    embeddings: str | Path | Sequence[str | Path] = (),
    controls: str | Path | Sequence[str | Path] = (),
    control_images: str | Path | Sequence[str | Path] = (),
    refiner: str | None = None,
    seed: int = 0,
    batch: int = BATCH,
    device: str = "auto",
    dtype: str = "auto",
    show: bool = True,
) -> Tensor:
    """Returns images of what a pipeline is told: (n, 3, H, W), in [−1, 1], on the CPU.

    Args:
        prompt: What to draw, in words, of which ``(word:1.3)`` counts more; several repeat in turn.
        model: ``mini``, the directory of a pipeline of Stable Diffusion 1 or 2 or SDXL, one ``.safetensors`` file of
            it, ``"hub:OWNER/NAME"``, or what :func:`kakusan.stable_diffusion.opened` returned, which need not be loaded
            again, and wears the LoRAs of the last call only.
        n: How many images.
        negative: What guidance leads away from, in words.
        steps, guidance_scale, eta: How; None: as the model says itself, or 50 steps, 7.5, and 0.
        scheduler: What walks, one of :data:`kakusan.config.names.SCHEDULERS`; None: the model's own.
        height, width: Of the images, in pixels, multiples of 8; None: as the model was trained, or as ``init`` or the
            control images are.
        init: A picture that they begin from; None: from noise alone.
        mask: A picture of the same size, white where ``init`` is redrawn; None: everywhere.
        strength: Share of the walk, in (0, 1], that ``init`` is taken back by; None: 0.8.
        loras: Files of LoRAs, or runs that trained one, each with ``:WEIGHT`` behind it if it does not count 1.
        embeddings: Files of learned words, or runs that learned one.
        controls, control_images: ControlNets, as ``loras``, and for each the picture by which it leads; one that begins
            with ``canny:`` is a picture of which the edges are found first.
        refiner: Of SDXL, what draws the last fifth of the steps.
        seed: Image i's noise follows from this and i, whatever the batch.
        batch: Images drawn at a time.
        device, dtype: Where, and by weights of which type, for a model that is opened now.
        show: Whether to say what there is to say of the prompts, and show progress.

    Raises:
        KakusanError: Something asked for cannot be had.
    """
    request = stable_diffusion.Request(
        (prompt,) if isinstance(prompt, str) else tuple(prompt),
        n=n,
        negative=negative,
        steps=steps,
        guidance=guidance_scale,
        eta=eta,
        scheduler=scheduler,
        height=height,
        width=width,
        edit=stable_diffusion.edit_of(init, mask, strength),
        controls=tuple(stable_diffusion.control_of(str(it)) for it in _several(control_images)),
        seed=seed,
        batch=batch,
    )
    opened = stable_diffusion.opened(model, device, Memory(dtype)) if isinstance(model, str) else model
    extras = Extras(
        [weighted(str(it)) for it in _several(loras)],
        [weighted(str(it)) for it in _several(controls)],
        list(map(str, _several(embeddings))),
        refiner,
    )
    asked = stable_diffusion.asked(stable_diffusion.fitted(opened, extras), request)
    if show:
        for remark in asked.remarks():
            say(remark)
    with Bar("drawing", 1, show=show) as bar:
        drawn = stable_diffusion.generated(asked, bar.report)
    if show and asked.blackened:
        say(f"the safety checker of {opened.name} has made {counted(len(asked.blackened), 'image')} black")
    return drawn


def _several(given: str | Path | Sequence[str | Path]) -> Sequence[str | Path]:
    return [given] if isinstance(given, str | Path) else given
