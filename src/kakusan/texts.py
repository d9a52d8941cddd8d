"""A text encoder that is there already, with the words that it reads: of a run's CLIP, or of transformers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from kakusan import build, config
from kakusan.config.models import Text
from kakusan.config.names import HUB, MODELS, presets
from kakusan.errors import KakusanError
from kakusan.files import at_home, sha256_of
from kakusan.interop.beside import Beside
from kakusan.interop.hub import snapshot
from kakusan.interop.pipelines import place_of
from kakusan.interop.text import CLIP_FOLDER, read_clip, read_text_encoder
from kakusan.matcher import Matcher
from kakusan.networks import TextEncoder
from kakusan.runs import Run, WeightsFrom
from kakusan.words import Words

_CLIP = ("*.json", "merges.txt", "model*.safetensors")
"""Files of a CLIP on the hub, whose other weights are pickles, or for other libraries."""


@dataclass(frozen=True)
class Reader:
    """What reads captions.

    Attributes:
        text: The encoder.
        words: Its vocabulary.
    """

    text: TextEncoder
    words: Words


def opened(settings: Text) -> Reader | None:
    """Returns the text encoder that a network begins with; None where its own is drawn.

    Args:
        settings: They name a run that trained a CLIP, or a ``CLIPTextModel`` of transformers with its tokenizer: its
            directory, that of a Stable Diffusion, or ``"hub:OWNER/NAME"``.

    Raises:
        KakusanError: There is none, it is damaged, or of other sizes than the settings say.
    """
    if settings.init is None:
        return None
    name, path = settings.init, at_home(settings.init)
    if Run.is_at(path):
        clip = build.restored_as(Matcher, Run.open(path))
        found = Reader(clip.network.text, clip.words)
    elif path.is_dir() or name.startswith(HUB):
        found = Reader(*read_text_encoder(name.removeprefix(HUB) if name.startswith(HUB) else path))
    elif path.name in presets():
        raise KakusanError(
            f"there is no {name} yet, whose text encoder it begins with (train it: kakusan train {path.name} --run "
            f"{quote(name)}; or begin with none: --text.init null)"
        )
    else:
        raise KakusanError(
            f"there is no text encoder {name} (give the run of a CLIP, or the directory of a CLIPTextModel; one of the "
            f"hub is {HUB}OWNER/NAME)"
        )
    there = {field: getattr(found.text, field) for field in ("width", "layers", "heads", "length", "vocabulary")}
    apart = {field: size for field, size in there.items() if getattr(settings, field) != size}
    if len(found.words) <= settings.vocabulary:  # which is the most that there may be
        apart.pop("vocabulary", None)
    if apart:
        field, size = next(iter(apart.items()))
        raise KakusanError(
            f"text.{field} is {getattr(settings, field)}, and the text encoder {name} has {size} (set "
            f"{' '.join(f'--text.{field} {size}' for field, size in apart.items())})"
        )
    return found


def words_to_begin_with(settings: config.Config, reader: Reader | None) -> Words | None:
    """Returns the vocabulary of whatever a network begins with, whose weights mean its words; None where these are
    found in the captions.

    Args:
        settings: They may name a run that it starts from.
        reader: A text encoder that it begins with.

    Raises:
        KakusanError: The run's captions were of another length, or its words are damaged.
    """
    if reader is not None:
        return reader.words
    init = settings.network.init
    if init is None or not settings.reads_text or not (run := Run.open(init)).words_path.exists():
        return None
    words = Words.read(run.words_path)
    if words.length != settings.text.length:
        raise KakusanError(
            f"text.length is {settings.text.length}, and {init}, from which the network starts, reads {words.length} "
            f"(set --text.length {words.length})"
        )
    return words


def matcher(name: str | Path | Run, checkpoint: int | None = None, weights_from: WeightsFrom = "ema") -> Matcher:
    """Returns a CLIP: that a run trained, that ships with this package, or that transformers has written.

    Args:
        name: The run, ``mini``, the directory of a ``CLIPModel``, or of a pipeline of ours that has one beside it, or
            ``"hub:OWNER/NAME"``.
        checkpoint, weights_from: Which weights of a run.

    Raises:
        KakusanError: There is none, it is of another kind, or cannot be fetched.
    """
    if isinstance(name, Run) or (str(name) not in MODELS and Run.is_at(name)):
        return build.restored_as(Matcher, Run.open(name), checkpoint, weights_from)
    on_hub = str(name).startswith(HUB)
    place = snapshot(str(name).removeprefix(HUB), _CLIP) if on_hub else Path(place_of(str(name)) or name)
    if not place.is_dir() or (place / "study.json").exists():
        return build.restored_as(Matcher, Run.open(place))  # which says what is wrong
    clip, words = read_clip(place)
    beside = Beside.read(place)
    words = words if beside is None else beside.seen_by(words)
    image = clip.image
    files = place / CLIP_FOLDER if (place / CLIP_FOLDER).is_dir() else place
    return Matcher(
        clip.eval(),
        (image.in_channels, image.size, image.size),
        words,
        source=str(name),
        weights_hash=sha256_of(sorted(files.glob("*.safetensors"))),
    )
