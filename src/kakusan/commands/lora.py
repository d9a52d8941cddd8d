"""``kakusan lora``: several LoRAs become one, or part of a model; and what a file of one holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kakusan.commands.options import Debug, Json
from kakusan.commands.output import show_facts, show_json
from kakusan.config.names import HUB, MODELS
from kakusan.config.wording import either
from kakusan.errors import KakusanError, counted
from kakusan.files import require_free, require_free_file, require_suffix, sha256_of

if TYPE_CHECKING:
    from kakusan.adapters import Adapter

_SUFFIX = ".safetensors"
_SHOWN = 100  # characters of what a file says besides


def merge(
    loras: Annotated[
        list[str],
        typer.Argument(
            metavar="LORA[:WEIGHT]...",
            help="a safetensors file, or a run that trained one, and how much it counts: 1 as it was trained",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--out", metavar="FILE|DIR", help="where it goes: FILE.safetensors, or with --into a DIR"),
    ],
    into: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|DIR",
            help=f"write a model that has them in its weights: {either(MODELS)}, a DIR, or {HUB}NAME",
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(metavar="R", help="keep the largest changes of this rank  [default: the sum of ranks, exact]"),
    ] = None,
    layout: Annotated[
        Literal["diffusers", "kohya"] | None,
        typer.Option(metavar="diffusers|kohya", help="whose names the file has  [default: diffusers]"),
    ] = None,
    family: Annotated[
        Literal["sd", "sdxl"] | None,
        typer.Option(metavar="sd|sdxl", help="for which model kohya's names are  [default: as the shapes tell]"),
    ] = None,
    dtype: Annotated[
        Literal["float32", "float16"] | None,
        typer.Option(metavar="float32|float16", help="of a model; float16: half as large  [default: float32]"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace what is there")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Makes one LoRA of several, or a model that needs none; of a single one, another layout or a lower rank."""
    _require_together(into, {"--rank": rank, "--layout": layout, "--family": family}, dtype, out)
    require_free_file(out, overwrite) if into is None else require_free(out, overwrite)

    from kakusan import adapters
    from kakusan.progress import say

    wanted = [adapters.weighted(text) for text in loras]
    if into is not None:
        from kakusan.api.fusing import fuse

        fuse(wanted, into, out, dtype=dtype or "float32", overwrite=overwrite)
        if json:
            show_json(
                {
                    "directory": str(out),
                    "model": into,
                    "loras": [{"file": it, "weight": weight} for it, weight in wanted],
                }
            )
        else:
            typer.echo(f"{out}: {into} with {counted(len(wanted), 'LoRA')} in its weights")
            typer.echo(f'draw from it: kakusan generate "…" --model {quote(str(out))}')
        return
    one = adapters.merged([(adapters.read(place), weight) for place, weight in wanted], rank)
    adapters.write(one, out, layout or "diffusers", family or _family(one))
    if rank is not None:
        say(f"rank {rank} leaves out {float(one.about[adapters.LOST]):.1%} of the change")
    if json:
        show_json({"file": str(out), **_facts(one)})
    else:
        typer.echo(f"{out}: {one.name}; {counted(len(one.ranks), 'layer')}, rank {_counts(one.ranks)}")


def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="a safetensors file, or a run that trained a LoRA")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Says what a file of a LoRA holds, and for which model it was made."""
    from kakusan.adapters import read, weights_file

    adapter, path = read(file), weights_file(file)
    facts = {"file": str(path), "sha256": sha256_of([path]), **_facts(adapter)}
    if json:
        show_json(facts)
        return
    told = {
        name: text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… (--json shows all)"
        for name, text in adapter.about.items()
    }
    show_facts(
        {
            **facts,
            "parts": {part: counted(count, "layer") for part, count in facts["parts"].items()},
            "rank": _counts(adapter.ranks),
            "alpha": _counts(adapter.alphas),
            "parameters": f"{adapter.parameters:,}",
            "metadata": None,
            **told,
        }
    )


def _facts(adapter: Adapter) -> dict[str, Any]:
    """Returns what there is to say of an adapter."""
    return {
        "layout": adapter.layout,
        "made_for": adapter.family,
        "parts": {part: len(layers) for part, layers in adapter.parts.items()},
        "rank": _by_value(adapter.ranks),
        "alpha": _by_value(adapter.alphas),
        "parameters": adapter.parameters,
        "dtypes": sorted({str(weight.dtype).removeprefix("torch.") for weight in adapter.weights.values()}),
        "metadata": dict(adapter.about),
    }


def _by_value(values: Mapping[str, float]) -> dict[str, int]:
    """Returns how many layers have each value, the smallest first."""
    return {f"{value:g}": count for value, count in sorted(Counter(values.values()).items())}


def _counts(values: Mapping[str, float]) -> str:
    """Returns the values of all layers, and of several how many have each: "4 (12 layers), 8 (4 layers)"."""
    found = _by_value(values)
    return ", ".join(found if len(found) == 1 else (f"{it} ({counted(count, 'layer')})" for it, count in found.items()))


def _family(adapter: Adapter) -> Literal["sd", "sdxl"]:
    """Returns whose names an adapter has in kohya's layout, as far as it tells."""
    return "sdxl" if adapter.cross_width == 2048 or "text_encoder_2" in adapter.parts else "sd"


def _require_together(into: str | None, of_a_file: Mapping[str, object], dtype: str | None, out: Path) -> None:
    """Refuses options that do not go together."""
    if into is None:
        if dtype is not None:
            raise KakusanError("--dtype is of a model: say of which (--into MODEL), or leave it out")
        require_suffix(out, _SUFFIX)
        return
    for option, value in of_a_file.items():
        if value is not None:
            raise KakusanError(f"{option} is of a file, and --into writes a model: leave one of them out")
    if out.suffix.lower() == _SUFFIX:
        raise KakusanError(f"--into writes a model, which is a directory, unlike {out} (-o {out.stem})")
