"""Where pictures of a grid hang: each drawn once by a model that is there already, scored once, and kept as a file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel
from torch import Tensor
from torch.nn import functional

from kakusan import adapters, api, pictures, stable_diffusion
from kakusan.devices import machine
from kakusan.errors import KakusanError, counted, reason_of
from kakusan.files import atomic_write
from kakusan.interop.pipelines import place_of
from kakusan.interop.text import CLIP_FOLDER
from kakusan.matcher import Matcher
from kakusan.progress import Bar, say
from kakusan.shapes import parse, verify
from kakusan.stable_diffusion import Extras, Generation, Request, TextToImage, plain
from kakusan.studies.grid import BESIDE, Grid, Setting
from kakusan.studies.place import Place
from kakusan.trials import Experiment, Part, Sentence

_SCORED = 64  # pictures at a time


@dataclass(frozen=True, eq=False)
class Wall:
    """The pictures of one setting.

    Attributes:
        setting: It.
        request: What was asked for.
        told: How they are drawn, all that decides what is on them.
        files: Each, in the order of its noise.
        scenes: Whether the verifier of scenes can judge them: it understands the prompt, and the model learned from
            captions.
    """

    setting: Setting
    request: Request
    told: dict[str, Any]
    files: tuple[Path, ...]
    scenes: bool

    @property
    def bare(self) -> bool:
        """Whether any picture is missing."""
        return not all(file.exists() for file in self.files)

    @property
    def pictures(self) -> Tensor:
        """All of them, uint8, shape (n, 3, H, W)."""
        return torch.stack([_read(file) for file in self.files])


class _Scores(BaseModel):
    """What a CLIP said of pictures, by the names of their files."""

    scores: dict[str, float]


class Gallery(Place):
    """The directory of a study of pictures by models that are there already.

    Args:
        path: It; new or empty, or that of the same study, which goes on, with another grid too.
        study, source: What is done in it: ``study`` on the file called ``source``.
        grid: What is tried.
        show: Whether to show progress.

    Raises:
        KakusanError: Another study lies there, or the directory cannot be written.
    """

    def __init__(self, path: Path, study: str, source: str, grid: Grid, show: bool = True) -> None:
        super().__init__(path, {"study": study}, show)
        self.study, self.source, self.grid = study, source, grid
        self.remarks: dict[str, None] = {}
        self._model: TextToImage | None = None

    @cached_property
    def walls(self) -> list[Wall]:
        """The pictures of every setting; those that are missing are drawn now, once all that is asked for can be had.

        Raises:
            KakusanError: A model or an adapter cannot be had, or does not draw so.
            KeyboardInterrupt: Ctrl-C ended it; what is drawn stays drawn.
        """
        _ = self.clip  # whether there is one is known before any picture is drawn
        walls = [self._wall(it) for it in self.grid.settings]
        missing = {file for wall in walls for file in wall.files if not file.exists()}
        self._say(f"{self.grid.in_words()}; {counted(len(missing), 'picture')} to be drawn")
        for remark in self.remarks:
            self._say(remark)
        self._done = self._done and not missing  # what is new takes its time
        total = len(missing)
        with Bar("drawing", total, show=self.show) as bar:
            for drawer, some in groupby([wall for wall in walls if wall.bare], key=lambda it: it.setting.drawer):
                model = self._drawer(*drawer)
                for wall in some:
                    if wall.bare:  # at guidance 1 a picture is the same with any negative
                        self._draw(stable_diffusion.asked(model, wall.request), wall)
                        missing.difference_update(wall.files)
                        bar.update(total - len(missing))
        self._model = None  # its memory is free for the CLIP
        return walls

    @cached_property
    def clip(self) -> Matcher | None:
        """The CLIP that scores; None where none does.

        Raises:
            KakusanError: There is no such CLIP.
        """
        name = self.grid.clip
        if name == BESIDE:
            place = place_of(first := self.grid.models[0])
            name = first if place is not None and (Path(place) / CLIP_FOLDER).is_dir() else None
        return None if name is None else api.load_clip(name)

    def scores(self) -> dict[str, float]:
        """Returns the CLIP score of every picture, by the name of its file: 100 times the cosine with its prompt.

        Source: Hessel et al., "CLIPScore: A Reference-free Evaluation Metric for Image Captioning", 2021.
        """
        clip = self.clip
        if clip is None:
            return {}
        place = self.path / "found" / f"clip-{clip.weights_hash[:12]}.json"
        found = self.found(place.stem, _Scores, lambda: _Scores(scores={})).scores
        prompts = {
            file: plain(wall.setting.prompt) for wall in self.walls for file in wall.files if file.name not in found
        }
        new = list(prompts)
        with Bar("scoring", len(new), show=self.show) as bar:
            for start in range(0, len(new), _SCORED):
                files = new[start : start + _SCORED]
                seen = torch.cat([_as_seen(_read(file), clip) for file in files])
                with torch.no_grad():
                    cosines = clip.agreement(seen, [prompts[file] for file in files]).tolist()
                found |= {file.name: max(0.0, 100 * it) for file, it in zip(files, cosines, strict=True)}
                atomic_write(place, _Scores(scores=found).model_dump_json(indent=2) + "\n")
                bar.update(start + len(files))
        return found

    def verdicts(self) -> dict[str, bool]:
        """Returns whether every picture shows what its prompt asks for, by the name of its file; nothing where the
        verifier of scenes does not understand a prompt, or a model has not learned from captions of scenes."""
        if not all(wall.scenes for wall in self.walls):
            return {}
        return {
            file.name: verify(picture, plain(wall.setting.prompt)).accepted
            for wall in self.walls
            for file, picture in zip(wall.files, wall.pictures, strict=True)
        }

    def experiment(
        self, finding: tuple[Sentence, Sentence], *parts: Part, notes: tuple[Sentence, ...] = ()
    ) -> Experiment:
        """Returns the study, done."""
        return Experiment(
            study=self.study,
            source=self.source,
            budget="grid",
            finding=finding,
            parts=parts,
            notes=notes,
            remarks=tuple(self.remarks),
            seconds=self._spent(),
            machine=machine(),
        )

    def _wall(self, setting: Setting) -> Wall:
        """Returns where the pictures of a setting are, once it is certain that they can be drawn."""
        model = self._drawer(*setting.drawer)
        values, grid = setting.values, self.grid
        request = Request(
            (setting.prompt,),
            n=grid.n,
            negative=setting.negative,
            steps=values["steps"],
            guidance=values["guidance"],
            scheduler=values["schedulers"],
            height=grid.height,
            width=grid.width,
            seed=grid.seed,
        )
        generation = stable_diffusion.asked(model, request)
        self.remarks |= dict.fromkeys(generation.remarks())
        told = _told(generation)
        digest = sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]
        name = re.sub(r"\W+", "-", setting.prompt.lower())[:40].strip("-")
        files = (self.path / "pictures" / f"{name}-{digest}-{index}.png" for index in range(grid.n))
        return Wall(
            setting, request, told, tuple(files), bool(model.words.known) and _understood(plain(setting.prompt))
        )

    def _drawer(self, name: str, loras: Sequence[str]) -> TextToImage:
        """Returns a model that wears adapters; one stays open until another is asked for."""
        if self._model is None or self._model.name != name:
            self._model = None  # before the next one takes as much memory
            self._model = stable_diffusion.opened(name)
        wanted = list(map(adapters.weighted, loras))
        if [(it.place, it.weight) for it in self._model.loras] != wanted:
            self._model = stable_diffusion.fitted(self._model, Extras(loras=wanted))
        return self._model

    def _draw(self, generation: Generation, wall: Wall) -> None:
        for images, drawn in generation.chunks():
            for index, picture in zip(images, drawn, strict=True):
                pictures.save(wall.files[index], picture, {**wall.told, "index": index, "kakusan": version("kakusan")})

    def _say(self, sentence: str) -> None:
        if self.show:
            say(sentence)


def _told(generation: Generation) -> dict[str, Any]:
    """Returns all that decides what is on the pictures of a generation, but for their numbers."""
    model, request = generation.model, generation.request
    return {
        "model": Path(model.name).name,
        "weights": model.weights_hash,
        "dtype": str(model.pipe.unet.dtype),
        "loras": [[it.sha256, it.weight] for it in model.loras],
        "prompt": request.prompts[0],
        "negative": request.negative,
        "steps": generation.steps,
        "guidance": generation.guidance,
        "eta": generation.eta,
        "scheduler": request.scheduler or type(model.pipe.scheduler).__name__,
        "height": generation.height,
        "width": generation.width,
        "seed": request.seed,
    }


def _read(file: Path) -> Tensor:
    """Returns a picture, uint8, shape (3, H, W)."""
    try:
        with Image.open(file) as image:
            return torch.from_numpy(np.asarray(image.convert("RGB")).transpose(2, 0, 1).copy())
    except (OSError, SyntaxError, ValueError) as error:
        raise KakusanError(f"{file} cannot be read: {reason_of(error)} (remove it, and it is drawn again)") from error


def _as_seen(picture: Tensor, clip: Matcher) -> Tensor:
    """Returns the middle of a picture as a CLIP sees it: values in [−1, 1], shape (1, 3, H, H)."""
    side, (_, height, width) = min(picture.shape[1:]), picture.shape
    top, left = (height - side) // 2, (width - side) // 2
    square = pictures.from_uint8(picture[None, :, top : top + side, left : left + side])
    if side == clip.shape[1]:
        return square
    return functional.interpolate(square, clip.shape[1:], mode="bicubic", antialias=True).clamp(-1, 1)


def _understood(prompt: str) -> bool:
    try:
        parse(prompt)
    except KakusanError:
        return False
    return True
