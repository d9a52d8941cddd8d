"""What images are said to show, and how often each counts."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from kakusan.config import models as config
from kakusan.customising.images import SHOWN
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError, counted, some

TEMPLATES = ("a photo of {}", "a picture of {}", "a close-up of {}", "a bright photo of {}", "a rendering of {}", "{}")
"""What images of a new word are said to show, where nobody says more."""


def prompts_of(settings: config.Config, images: ImageSet) -> tuple[tuple[str, ...], Tensor]:
    """Returns the distinct prompts of images, and which go with which: (image, prompt) pairs, int64, shape (N, 2).

    Raises:
        KakusanError: Nobody says what an image shows.
    """
    how, network = settings.objective, settings.network
    assert isinstance(how, config.Customising), "asked for by whoever knows"
    wanted = how.instance_prompts
    if isinstance(network, config.Embedding) and not wanted and not any(images.captions):
        wanted = tuple(it.format(network.token) for it in TEMPLATES)
    if wanted:
        prompts = tuple(dict.fromkeys(wanted))
        if settings.data.held_out and len(prompts) > 1:
            raise KakusanError(
                f"data.held_out {settings.data.held_out:g} keeps images out, and with {len(prompts)} prompts each is "
                "learned by another one all the same (say one: --instance-prompt; or keep none out)"
            )
        pairs = [(image, number) for image in range(len(images)) for number in range(len(prompts))]
        return prompts, torch.tensor(pairs)
    silent = [place for place in range(len(images)) if not images.captions or not images.captions[place].strip()]
    if silent:
        named = some([images.names[place] if images.names else f"image {place}" for place in silent], SHOWN)
        raise KakusanError(
            f"nobody says what {counted(len(silent), 'image')} of {settings.data.source} show: {named} (put a .txt "
            "beside each, or say it of all: --instance-prompt 'a photo of sks dog')"
        )
    if isinstance(network, config.Embedding) and (without := [it for it in images.captions if network.token not in it]):
        raise KakusanError(
            f"the caption {without[0]!r} does not use the word {network.token!r} that is learned (write it there, or "
            f"say --instance-prompt 'a photo of {network.token}')"
        )
    prompts = tuple(dict.fromkeys(images.captions))
    return prompts, torch.tensor([(place, prompts.index(it)) for place, it in enumerate(images.captions)])


def repeated(settings: config.Config, images: ImageSet, pairs: Tensor) -> tuple[Tensor, list[str]]:
    """Returns pairs as often as the folders of their images say, N of one called N_NAME, and what is to be said of it.

    Raises:
        KakusanError: That is asked for, and no folder says anything.
    """
    if not getattr(settings.objective, "folder_repeats", False):
        return pairs, []
    told = {place: re.match(r"([1-9]\d*)_", name) for place, name in enumerate(images.class_names)}
    times = torch.tensor([int(found[1]) if found else 1 for found in told.values()])
    if images.labels is None or not any(told.values()):
        raise KakusanError(
            f"objective.folder_repeats needs sub-folders of {settings.data.source} called N_NAME, such as 3_portrait, "
            "and there is none (rename them, or leave it out)"
        )
    counts = [f"{name} {count}×" for name, count in zip(images.class_names, times.tolist(), strict=True)]
    return pairs.repeat_interleave(times[images.labels][pairs[:, 0]], 0), [f"images count: {some(counts, SHOWN)}"]
