"""What is tried together: a YAML file that gives prompts, and to all that changes a picture of them several values."""

from __future__ import annotations

import math
import re
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from kakusan.config.models import Count, CountOrZero, Number, Section
from kakusan.config.names import HUB, MODELS, SCHEDULERS, lookup
from kakusan.config.reading import read_document
from kakusan.config.wording import allowed, either
from kakusan.errors import KakusanError, counted, reason_alone, unknown
from kakusan.files import at_home

BESIDE = "beside"
"""The CLIP that lies beside the first model, where one does."""
_EXAMPLE = "prompts: [a red circle]"
_PLACE = re.compile(r"\{(\w+)\}")


def _text(value: str) -> str:
    if not value.strip():
        raise KakusanError("it is empty (remove it, or say something)")
    return value


def _scheduler(name: str) -> str:
    lookup("scheduler", name)
    return name


Text = Annotated[str, AfterValidator(_text)]
Guidance = Annotated[Number, Field(ge=1)]


@dataclass(frozen=True)
class Setting:
    """One point of a grid: what a few pictures of one prompt are drawn by.

    Attributes:
        values: The value on every axis, by its name.
        prompt: What to draw, in words.
    """

    values: Mapping[str, Any]
    prompt: str

    @property
    def negative(self) -> str | None:
        """What guidance leads away from; None at guidance 1, which leads nowhere."""
        negative: str | None = self.values["negatives"]
        return None if self.values["guidance"] == 1 else negative

    @property
    def drawer(self) -> tuple[str, tuple[str, ...]]:
        """The model that draws, and which adapters it wears."""
        return self.values["models"], self.values["loras"]


class Grid(Section):
    """The axes of a grid; one that is left out has a single value, the model's own."""

    prompts: tuple[Text, ...] = Field(
        min_length=1,
        examples=["a list of one or more texts"],
        description="what to draw, in words, in which {name} stands for the phrases of that name",
    )
    phrases: dict[str, tuple[str, ...]] = Field(
        default={},
        examples=["lists of texts, each with a name, such as style: [a photo, a sketch]"],
        description="what stands in the prompts in turn: details, styles",
    )
    negatives: tuple[Text | None, ...] = Field(
        default=(None,),
        min_length=1,
        examples=["a list of texts, or null for none"],
        description="what guidance leads away from, in words; null: nothing said",
    )
    guidance: tuple[Guidance, ...] = Field(
        default=(),
        min_length=1,
        examples=["a list of numbers from 1, which is plainly conditional (3 to 7.5 is usual)"],
        description="how much the prompt counts",
    )
    steps: tuple[Count, ...] = Field(default=(), min_length=1, description="steps of the walk")
    schedulers: tuple[Annotated[str, AfterValidator(_scheduler)], ...] = Field(
        default=(), min_length=1, examples=[f"a list of {either(SCHEDULERS)}"], description="what walks"
    )
    models: tuple[Text, ...] = Field(
        default=("mini",),
        min_length=1,
        examples=[f"a list of {either(MODELS)}, or directories of pipelines"],
        description="what draws",
    )
    loras: tuple[tuple[Text, ...], ...] = Field(
        default=((),),
        min_length=1,
        examples=["a list of lists of FILE or FILE:WEIGHT, such as [[], [style.safetensors:0.8]]"],
        description="which adapters the models wear",
    )
    n: Count = Field(default=4, description="pictures of each prompt at each setting, always from the same noise")
    seed: CountOrZero = Field(default=0, description="picture i's noise follows from this and i")
    height: Count | None = Field(default=None, description="of the pictures, in pixels; null: as the model was trained")
    width: Count | None = Field(default=None, description="of the pictures, in pixels; null: as the model was trained")
    clip: str | None = Field(
        default=BESIDE,
        min_length=1,
        description=f"which CLIP scores: {either(MODELS)}, a run, a directory, or {HUB}OWNER/NAME; {BESIDE}: that of "
        "the first model, if it has one; null: none",
    )
    rows: str | None = Field(
        default=None, description="the axis that goes down the contact sheet; null: the first of several values"
    )
    columns: str | None = Field(
        default=None, description="the axis that goes across it; null: the next of several values"
    )

    @classmethod
    def read(cls, file: str | Path) -> Self:
        """Returns the grid of a YAML file.

        Raises:
            KakusanError: It cannot be read, or is no grid; line and field are named.
        """
        try:
            text = at_home(file).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise KakusanError(
                f"{file} cannot be read: {reason_alone(error)} (give a YAML file with {_EXAMPLE}, say)"
            ) from error
        values, places = read_document(text, str(file), _EXAMPLE)
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            sentence, name = _sentence(error)
            place = places.get((name,), places[()])
            raise KakusanError(f"{place}: {sentence}") from error

    @property
    def axes(self) -> dict[str, tuple[Any, ...]]:
        """The values on every axis, by its name; None stands for the model's own."""
        own = (None,)
        return {
            "prompts": self.prompts,
            **self.phrases,
            "negatives": self.negatives,
            "guidance": self.guidance or own,
            "steps": self.steps or own,
            "schedulers": self.schedulers or own,
            "models": self.models,
            "loras": self.loras,
        }

    @property
    def several(self) -> list[str]:
        """The names of the axes with more than one value."""
        return [name for name, values in self.axes.items() if len(values) > 1]

    @property
    def sheet(self) -> tuple[str, str]:
        """Which axes go down and across the contact sheet; empty where there is none left."""
        free = iter(name for name in self.several if name not in (self.rows, self.columns))
        return self.rows or next(free, ""), self.columns or next(free, "")

    @property
    def settings(self) -> Iterator[Setting]:
        """All that is drawn, model after model, each with one choice of adapters after the other."""
        axes = self.axes
        order = sorted(axes, key=lambda name: (name != "models", name != "loras"))
        for values in product(*(axes[name] for name in order)):
            chosen = dict(zip(order, values, strict=True))
            yield Setting({name: chosen[name] for name in axes}, self._filled(chosen))

    def in_words(self) -> str:
        """Returns how large it is: "48 pictures: 3 prompts × 4 guidance × 4 of each"."""
        counts = [f"{len(self.axes[name])} {name}" for name in self.several]
        total = math.prod(map(len, self.axes.values())) * self.n
        return f"{counted(total, 'picture')}: {' × '.join([*counts, f'{self.n} of each'])}"

    def _filled(self, values: Mapping[str, Any]) -> str:
        return " ".join(_PLACE.sub(lambda place: str(values[place[1]]), values["prompts"]).split())

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        for name, phrases in self.phrases.items():
            if not re.fullmatch(r"\w+", name) or name in type(self).model_fields:
                raise KakusanError(f"phrases.{name}: a phrase needs a name of its own, of letters (rename it)")
            if not phrases:
                raise KakusanError(f"phrases.{name} has no values (give one, or remove it)")
        for prompt in self.prompts:
            places = set(_PLACE.findall(prompt))
            if lost := next((name for name in self.phrases if name not in places), None):
                raise KakusanError(f"the prompt {prompt!r} has no place for phrases.{lost} (put {{{lost}}} into it)")
            if void := min(places - self.phrases.keys(), default=None):
                raise KakusanError(f"the prompt {prompt!r} has {{{void}}}, and there is no phrases.{void} (give it)")
        for name, values in self.axes.items():
            if twice := [value for value, count in Counter(values).items() if count > 1]:
                raise KakusanError(f"{name} says {'null' if twice[0] is None else repr(twice[0])} twice (remove one)")
        if silent := next((it for it in self.settings if not it.prompt), None):
            raise KakusanError(f"the prompt {silent.values['prompts']!r} is empty with these phrases (add a word)")
        for side in ("rows", "columns"):
            axis = getattr(self, side)
            if axis is not None and axis not in self.axes:
                raise KakusanError(f"{side}: {unknown('axis', axis, self.axes)}")
        if self.rows is not None and self.rows == self.columns:
            raise KakusanError(f"rows and columns are both {self.rows} (choose another axis for one of them)")
        return self


def _sentence(error: ValidationError) -> tuple[str, str]:
    """Returns the first complaint, and which field it is about."""
    details = error.errors()[0]
    name, *where = map(str, details["loc"] or ("",))
    field = Grid.model_fields.get(name)
    match details["type"]:
        case "value_error":
            reason = str(details["ctx"]["error"])
            return (f"{name}, number {int(where[0]) + 1}: {reason}" if where else reason), name
        case "extra_forbidden":
            return str(unknown("field", name, Grid.model_fields)), name
        case "missing":
            return f"{name} is missing: {Grid.model_fields[name].description}", name
    assert field is not None, "all others are complaints about values"
    return f"{name} must be {allowed(field)}, not {reprlib.repr(details['input'])}", name
