"""What every report is made of: pictures inside the page, figures, sections, and a page that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from io import BytesIO

import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from kakusan import pictures
from kakusan.errors import KakusanError
from kakusan.reporting import thumbnails
from kakusan.reporting.language import Language

LARGEST_PAGE = 4_000_000
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {script}; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class Figure:
    """One figure of a report.

    Attributes:
        title: The finding, as a sentence without its full stop.
        content: What is shown.
        caption: One sentence below.
        alt: What it shows, for who does not see it.
    """

    title: str
    content: Markup
    caption: str
    alt: str


def png_uri(images: Tensor, columns: int = 1, largest: int = thumbnails.LARGEST) -> str:
    """Returns images as one PNG inside a ``data:`` address, a pixel a pixel: the page enlarges it.

    Args:
        images: Values in [-1, 1], shape (N, C, H, W) or (C, H, W), C = 1 or 3.
        columns: Images in a row. One transparent pixel is left between neighbours, so that the page shows through.
        largest: What has more pixels either way is shrunk to that.
    """
    images = thumbnails.shrunk(images.detach().cpu().reshape(-1, *images.shape[-3:]), largest)
    sheet = pictures.grid(pictures.to_uint8(images), columns)
    # The grid's white gaps, found with black images in place of these.
    gaps = pictures.grid(torch.zeros(len(images), 1, *images.shape[-2:], dtype=torch.uint8), columns)
    return data_uri(torch.cat([sheet, 255 - gaps]).movedim(0, -1))


def data_uri(pixels: Tensor) -> str:
    """Returns bytes, shape (H, W, channels), as a PNG inside a ``data:`` address: grey, or with alpha."""
    file = BytesIO()
    Image.fromarray(pixels.squeeze(-1).numpy()).save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@dataclass(frozen=True)
class Section:
    """One section of a report.

    Attributes:
        anchor: Its name in addresses.
        heading: A few words, for the table of contents too.
        figure: What it shows.
        more: What follows the figure; escaped unless it is markup.
    """

    anchor: str
    heading: str
    figure: Figure
    more: str = ""


def fragment(template: str, say: Language, **values: object) -> Markup:
    """Returns a piece of a page from a file in ``templates``; text among the ``values`` is escaped.

    Args:
        template: Name of the file.
        say: The language, called so in the templates too.
        **values: What else the template names.
    """
    return Markup(_environment().get_template(template).render(values, say=say))


def page(say: Language, *, name: str, title: str, answer: Markup, sections: Sequence[Section]) -> str:
    """Returns a page that is whole in one file.

    It may load nothing, and run nothing but its own script: a Content-Security-Policy says so to the browser.

    Args:
        say: The language of the page.
        name: What the report is about.
        title: What was found, as a sentence without its full stop.
        answer: The numbers that answer the reader's question, before how they came about.
        sections: The rest.

    Raises:
        KakusanError: The page is larger than 4 MB.
    """
    script = _file("film.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = fragment(
        "page.html.jinja",
        say,
        policy=_POLICY.format(script=f"'sha256-{digest}'"),
        style=Markup(_file("page.css")),
        script=Markup(script),
        version=metadata.version("kakusan"),
        name=name,
        title=title,
        answer=answer,
        sections=sections,
    )
    size = len(text.encode())
    if size > LARGEST_PAGE:
        raise KakusanError(
            f"the report takes {size:,} bytes, more than {LARGEST_PAGE:,} (show fewer or smaller pictures)"
        )
    return str(text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kakusan.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["png_uri"] = png_uri
    return environment


def _file(name: str) -> str:
    return (resources.files("kakusan.reporting") / "templates" / name).read_text("utf-8")
