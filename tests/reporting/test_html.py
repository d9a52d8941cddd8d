"""Pictures and numbers reach the page as they are."""

import base64
from importlib import resources
from io import BytesIO

import pytest
import torch
from PIL import Image

from kakusan import pictures
from kakusan.reporting import html, words


def read(uri):
    kind, _, data = uri.partition(",")
    assert kind == "data:image/png;base64"
    image = Image.open(BytesIO(base64.b64decode(data)))
    return image.mode, torch.tensor(list(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, -1)


@pytest.mark.parametrize(("channels", "mode"), [(1, "LA"), (3, "RGBA")])
def test_a_sheet_shows_every_pixel_and_lets_the_page_through_between(channels, mode):
    images = torch.rand(4, channels, 2, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found, pixels = read(html.png_uri(images, columns=2))
    assert found == mode
    assert pixels.shape[:2] == (5, 7)
    cells = [pixels[top : top + 2, left : left + 3] for top in (0, 3) for left in (0, 4)]
    for image, cell in zip(images, cells, strict=True):
        assert torch.equal(cell[..., :-1].movedim(-1, 0), pictures.to_uint8(image))
        assert (cell[..., -1] == 255).all()
    assert (pixels[2, :, -1] == 0).all()
    assert (pixels[:, 3, -1] == 0).all()


def test_one_picture_is_a_sheet_of_one():
    image = torch.rand(1, 4, 4) * 2 - 1
    assert html.png_uri(image) == html.png_uri(image[None])


def test_what_the_page_is_made_of_is_part_of_the_package():
    room = resources.files("kakusan.reporting")
    assert (room / "kakusan.mplstyle").is_file()
    names = {file.name for file in (room / "templates").iterdir()}
    assert {"page.html.jinja", "page.css", "film.js"} <= names


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.number(0), "0"),
        (words.number(0.12345), "0.123"),
        (words.number(9.996), "10.0"),
        (words.number(99.97), "100"),
        (words.number(1234.5), "1,234"),
        (words.number(-19.137), "-19.1"),
        (words.spread(19.137, 0.83), "19.1 ± 0.8"),
        (words.count(437_322), "437,322"),
        (words.several(1, "step"), "1 step"),
        (words.several(2, "class", "classes"), "2 classes"),
        (words.percent(0.98765), "98.8 %"),
        (words.percent(None), "not measured"),
        (words.duration(0), "0 µs"),
        (words.duration(0.00034), "340 µs"),
        (words.duration(0.00125), "1.25 ms"),
        (words.duration(74.6), "74.6 s"),
        (words.duration(119.6), "120 s"),
        (words.duration(175.2), "2 min 55 s"),
        (words.sampler("ddpm"), "DDPM"),
        (words.sampler("my sampler"), "my sampler"),
    ],
)
def test_numbers_are_said_with_three_digits_and_a_unit(said, expected):
    assert said.replace("\N{NO-BREAK SPACE}", " ") == expected
