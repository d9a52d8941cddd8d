"""From a name to the files of a pipeline: shipped with this package, in a directory, in one file, or on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kakusan.config.names import HUB, MODELS
from kakusan.config.wording import either
from kakusan.errors import KakusanError
from kakusan.files import at_home
from kakusan.interop.hub import explained, snapshot, why
from kakusan.interop.pipelines import place_of, refuse_pickles
from kakusan.runs import PIPELINE, Run, worn_by

_PICKLES = (".ckpt", ".bin", ".pt", ".pth")
_NETWORK = ("config.json", "diffusion_pytorch_model.safetensors")
"""Files of a single network."""


@dataclass(frozen=True)
class Files:
    """Where a pipeline lies on this machine.

    Attributes:
        path: Its directory in diffusers' layout, or its one file.
        variant: Which of its weights: ``fp16`` where it brings such; None: those that have no name.
    """

    path: Path
    variant: str | None = None

    @property
    def single(self) -> bool:
        """Whether it is one file."""
        return self.path.is_file()

    def weights_of(self, part: str) -> list[Path]:
        """Returns the files of a part's weights that are loaded."""
        named = sorted((self.path / part).glob(f"*.{self.variant}*.safetensors")) if self.variant else []
        return named or sorted(it for it in (self.path / part).glob("*.safetensors") if ".fp16" not in it.name)


def fetched(name: str, *, offline: bool = False, half: bool = False) -> Files:
    """Returns where a pipeline lies; one of the hub is fetched first, with a bar, and goes on where it was cut off.

    Args:
        name: ``mini``, a directory in diffusers' layout, a ``.safetensors`` file, or ``"hub:OWNER/NAME"``.
        offline: Whether only what was fetched before may be used.
        half: Whether weights in half precision do, if it brings such: half as much to fetch.

    Raises:
        KakusanError: There is no such pipeline, or it cannot be fetched; what to do is said.
    """
    if name.startswith(HUB):
        return _from_hub(name.removeprefix(HUB), offline, half)
    place = at_home(name)
    if place.is_file():
        if place.suffix == ".safetensors":
            return Files(place)
        if place.suffix in _PICKLES:
            raise KakusanError(
                f"{name} is a pickle, which could run code, and is not read (convert it where you trust it: "
                f"StableDiffusionPipeline.from_single_file({name!r}).save_pretrained(DIR) writes safetensors)"
            )
    if (inside := place / PIPELINE / "model_index.json").is_file():  # a run that taught a pipeline
        return Files(inside.parent)
    if name not in MODELS and (told := worn_by(place)):
        raise KakusanError(f"{name} taught something to a pipeline, and is none: draw with it by {told}")
    if name not in MODELS and Run.is_at(place):
        raise KakusanError(
            f"{name} is a run of ours: kakusan sample {name} --prompt … draws from it, and kakusan export {name} DIR "
            "makes a pipeline of it"
        )
    if (found := place_of(name)) is not None:
        return Files(Path(found))
    what = f"{name} is a file, and no model" if place.exists() else f"there is no model {name}"
    raise KakusanError(
        f"{what} (give {either(MODELS)}, the directory of a pipeline of diffusers, a .safetensors file, or "
        f"{HUB}OWNER/NAME)"
    )


def fetched_network(name: str, what: str, *, offline: bool = False) -> Path:
    """Returns the directory of a single network, such as a ControlNet; one of the hub is fetched first.

    Args:
        name: Its directory in diffusers' layout, or ``"hub:OWNER/NAME"``.
        what: What it is, for people.
        offline: Whether only what was fetched before may be used.

    Raises:
        KakusanError: There is none, or it cannot be fetched; what to do is said.
    """
    if name.startswith(HUB):
        return snapshot(name.removeprefix(HUB), _NETWORK, offline=offline)
    if (place := at_home(name)).is_dir():
        return place
    raise KakusanError(f"there is no {what} {name} (give the directory of one, or {HUB}OWNER/NAME)")


def refuse_pickled_parts(files: Files, config: dict[str, Any]) -> None:
    """Refuses a pipeline of which a part has no weights but pickles.

    Raises:
        KakusanError: One has; how to convert it is said.
    """
    for part, it in config.items():
        if isinstance(it, list) and it[0] is not None:
            refuse_pickles(files.path / part, str(it[1]))


def _from_hub(repository: str, offline: bool, half: bool) -> Files:
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging

    logging.enable_progress_bar()
    reasons: list[Exception] = []
    for variant in ("fp16", None) if half else (None,):
        try:
            with explained(repository, offline):
                found = DiffusionPipeline.download(
                    repository, variant=variant, use_safetensors=True, local_files_only=offline
                )
                return Files(Path(found), variant)
        except KakusanError as error:
            if not offline:
                raise
            reasons.append(error)  # the other may be here
        except ValueError as error:  # it has no such variant
            reasons.append(error)
    last = reasons[-1]
    raise last if isinstance(last, KakusanError) else KakusanError(why(repository, last, offline)) from last
