"""Which pipelines of diffusers draw: by family, by what they begin from, and with a ControlNet or without."""

from __future__ import annotations

import re
from typing import Any, Literal

from kakusan.config.wording import either
from kakusan.errors import KakusanError

Family = Literal["StableDiffusion", "StableDiffusionXL"]
FAMILIES: tuple[Family, ...] = ("StableDiffusion", "StableDiffusionXL")

Beginning = Literal["", "Img2Img", "Inpaint"]
"""From what: noise, a picture, or a picture of which some is to stay."""

_KNOWN = re.compile(r"(StableDiffusion(?:XL)?)(Img2Img|Inpaint)?Pipeline")


def family_of(kind: str, name: str) -> Family:
    """Returns the family of a class of pipelines.

    Args:
        kind: What the class is called.
        name: The pipeline's name, for people.

    Raises:
        KakusanError: It is of none that is known here.
    """
    found = _KNOWN.fullmatch(kind)
    if found is None:
        raise KakusanError(
            f"{name} is a {kind}, and what draws here is a {either(f'{it}Pipeline' for it in FAMILIES)} (give the "
            "directory of one, or mini)"
        )
    return "StableDiffusionXL" if found.group(1) == "StableDiffusionXL" else "StableDiffusion"


def pipeline_class(family: Family, beginning: Beginning = "", controlled: bool = False) -> Any:
    """Returns the class of diffusers that draws so."""
    import diffusers

    return getattr(diffusers, f"{family}{'ControlNet' if controlled else ''}{beginning}Pipeline")
