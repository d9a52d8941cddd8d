"""Pictures and numbers reach the page as they are."""

import base64
from importlib import resources
from io import BytesIO

import pytest
import torch
from PIL import Image

from kakusan import pictures
from kakusan.reporting import html


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


def test_a_large_picture_is_shrunk():
    assert read(html.png_uri(torch.zeros(3, 256, 128)))[1].shape == (64, 32, 4)


def test_what_the_page_is_made_of_is_part_of_the_package():
    room = resources.files("kakusan.reporting")
    assert (room / "kakusan.mplstyle").is_file()
    names = {file.name for file in (room / "templates").iterdir()}
    assert {"page.html.jinja", "page.css", "film.js"} <= names
