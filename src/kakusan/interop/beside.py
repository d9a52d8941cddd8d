"""What a model of ours says beside diffusers' files, which have no place for it: ``kakusan.json``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from kakusan.config.models import Sampling
from kakusan.errors import KakusanError
from kakusan.files import atomic_write
from kakusan.model import Model
from kakusan.words import Words

FILE = "kakusan.json"


class Beside(BaseModel):
    """What is said.

    Attributes:
        class_names: Name of every class.
        known: The words of the captions that the model learned from.
        examples: Some of these captions.
        sampling: How its pictures are drawn unless told otherwise.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal["kakusan model 1"] = "kakusan model 1"
    class_names: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    sampling: Sampling = Sampling()

    @classmethod
    def of(cls, model: Model) -> Beside:
        """Returns what there is to say of a model."""
        known = () if model.words is None else tuple(sorted(model.words.known))
        examples = () if model.words is None else model.words.examples
        return cls(class_names=model.class_names, known=known, examples=examples, sampling=model.sampling)

    def seen_by(self, words: Words) -> Words:
        """Returns a vocabulary that knows the words and the captions that the model learned from."""
        return replace(words, known=frozenset(self.known), examples=self.examples)

    def write(self, directory: Path) -> None:
        """Puts it into the directory of a model."""
        atomic_write(directory / FILE, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, directory: Path) -> Beside | None:
        """Returns what the directory of a model says; None where it says nothing, as those of others.

        Raises:
            KakusanError: The file is damaged, or of a later version.
        """
        path = directory / FILE
        if not path.is_file():
            return None
        try:
            return cls.model_validate_json(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise KakusanError(f"{path} cannot be read: {why} (remove it: the model works without)") from error
