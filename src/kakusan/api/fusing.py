"""Adapters become part of a pipeline, which leaves as a directory that diffusers loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kakusan import adapters, stable_diffusion
from kakusan.api.exchange import put
from kakusan.errors import unknown
from kakusan.files import require_free
from kakusan.interop.beside import Beside
from kakusan.interop.export import DTYPES, in_half
from kakusan.interop.loading import quietly
from kakusan.interop.pipelines import place_of


def fuse(
    wanted: Sequence[tuple[str | Path, float]],
    model: str,
    directory: str | Path,
    *,
    dtype: str = "float32",
    overwrite: bool = False,
) -> None:
    """Writes a pipeline whose weights have become W + Σ weight · alpha / rank · B·A, and which needs no adapter.

    Args:
        wanted: Where each adapter lies, as for :func:`kakusan.adapters.read`, and how much it counts.
        model: ``mini``, the directory of a pipeline, or ``"hub:OWNER/NAME"``.
        directory: Where to, new or empty.
        dtype: ``float32``, or ``float16``: half as large, its weights rounded after they were summed.
        overwrite: Accept a directory that holds files.

    Raises:
        KakusanError: A file holds no LoRA, or one for another architecture; the directory is as it was.
    """
    place = Path(directory)
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    require_free(place, overwrite)
    read = [(adapters.read(it), weight) for it, weight in wanted]
    opened = stable_diffusion.opened(model, "cpu")  # in float32, in which the sum is rounded least
    with quietly():
        pipe = adapters.fused(opened.pipe, read, opened.name)
    with put(place) as temporary:
        with quietly():
            pipe.save_pretrained(temporary, safe_serialization=True)
        base = place_of(model)
        if base is not None and (beside := Beside.read(Path(base))) is not None:
            beside.write(temporary)
        (temporary / "README.md").write_text(_card(read, model), encoding="utf-8")
        if dtype == "float16":
            in_half(temporary)


def _card(read: Sequence[tuple[adapters.Adapter, float]], model: str) -> str:
    summed = "".join(f"* {weight:g} · {adapter.name}\n" for adapter, weight in read)
    return (
        f"---\nlibrary_name: diffusers\ntags: [kakusan, lora]\n---\n\n# {model}, with LoRA in its weights\n\n{summed}"
    )
