"""Pixels survive the journey to a file and back, and a picture knows how it was made."""

import pytest
import torch
from PIL import Image

from kakusan import pictures
from kakusan.errors import KakusanError

BYTES = torch.arange(256, dtype=torch.uint8)


def some_bytes(*shape):
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_every_byte_survives_the_round_trip():
    values = pictures.from_uint8(BYTES)
    assert values.dtype == torch.float32
    assert values[[0, -1]].tolist() == [-1, 1]
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(pictures.to_uint8(values.to(dtype)), BYTES)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_costs_no_more_than_its_own_rounding(dtype):
    values = pictures.from_uint8(BYTES).to(dtype)
    difference = pictures.to_uint8(values).float() - (values.double() + 1) * 127.5
    assert difference.abs().max() <= 0.5


def test_values_are_rounded_and_clamped():
    values = torch.tensor([-1.5, -1.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 1.0, 7.0])
    assert pictures.to_uint8(values).tolist() == [0, 0, 0, 1, 255, 255]


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_a_saved_picture_has_the_pixels_that_were_given(tmp_path, channels, mode):
    pixels = some_bytes(channels, 5, 7)
    pictures.save(tmp_path / "bytes.png", pixels)
    pictures.save(tmp_path / "values.png", pictures.from_uint8(pixels))
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", mode, (7, 5))
            read = torch.tensor(list(image.tobytes()), dtype=torch.uint8).view(5, 7, channels)
        assert torch.equal(read.movedim(-1, 0), pixels)


@pytest.mark.parametrize("metadata", [{"sampler": "ddim", "seed": "0"}, {"prompt": "拡散 – \x00\n\"'"}, {}])
def test_metadata_rides_inside_the_file(tmp_path, metadata):
    path = tmp_path / "new" / "picture.png"
    pictures.save(path, torch.zeros(1, 8, 8), metadata)
    assert pictures.read_metadata(path) == metadata


def test_a_picture_that_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    pictures.save(path, torch.zeros(1, 8, 8), {"was": "here"})

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(KakusanError, match=r"cannot write .*picture\.png: No space left on device \(free some space"):
        pictures.save(path, torch.ones(1, 8, 8))
    assert pictures.read_metadata(path) == {"was": "here"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("shape", [(2, 4, 4), (4, 4), (1, 3, 4, 4)])
def test_a_tensor_that_is_no_picture_is_refused(tmp_path, shape):
    with pytest.raises(KakusanError, match=r"a picture has shape \(1, H, W\) or \(3, H, W\), not"):
        pictures.save(tmp_path / "picture.png", torch.zeros(shape))
    assert list(tmp_path.iterdir()) == []


def test_metadata_that_is_not_there_is_told_in_one_line(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "plain.png")
    Image.new("L", (4, 4)).save(tmp_path / "photo.jpg")
    (tmp_path / "text.png").write_text("not a picture")
    whole = tmp_path / "whole.png"
    pictures.save(whole, some_bytes(3, 64, 64), {"seed": "0"})
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:2000])
    reasons = {
        "missing.png": "No such file",
        "plain.png": "holds no settings of kakusan",
        "photo.jpg": "is not a PNG",
        "text.png": "is not a PNG",
        "half.png": "cannot read .*truncated",
        "": "Is a directory",
    }
    for name, reason in reasons.items():
        with pytest.raises(KakusanError, match=reason) as caught:
            pictures.read_metadata(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("count", "columns", "rows", "across"), [(1, None, 1, 1), (5, None, 2, 3), (9, None, 3, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_is_as_square_as_can_be(count, columns, rows, across, channels):
    image = pictures.grid(torch.zeros(count, channels, 4, 6), columns)
    assert image.shape == (channels, rows * 5 - 1, across * 7 - 1)


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("columns", [1, 2, 3, 5, 9])
def test_a_grid_holds_every_image_and_is_white_elsewhere(columns, gap):
    images = some_bytes(5, 3, 4, 6) // 2
    image = pictures.grid(images, columns, gap)
    across = min(columns, 5)
    for index in range(5):
        top, left = index // across * (4 + gap), index % across * (6 + gap)
        cell = image[:, top : top + 4, left : left + 6]
        assert torch.equal(cell, images[index])
        cell.fill_(255)
    assert (image == 255).all()


def test_a_grid_of_values_is_the_grid_of_bytes():
    images = some_bytes(5, 1, 4, 4)
    assert torch.equal(pictures.to_uint8(pictures.grid(pictures.from_uint8(images))), pictures.grid(images))


def test_a_film_strip_has_a_row_an_image_and_a_column_a_step():
    frames = list(some_bytes(4, 2, 1, 3, 3))
    strip = pictures.film_strip(frames, gap=0)
    assert torch.equal(strip.view(1, 2, 3, 4, 3).permute(3, 1, 0, 2, 4), torch.stack(frames))


@pytest.mark.parametrize("factor", [1, 3])
def test_an_enlarged_picture_repeats_its_pixels(factor):
    image = some_bytes(3, 4, 5)
    large = pictures.enlarge(image, factor)
    assert large.shape == (3, 4 * factor, 5 * factor)
    for row in range(factor):
        for column in range(factor):
            assert torch.equal(large[:, row::factor, column::factor], image)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: pictures.grid(torch.zeros(0, 1, 4, 4)), "at least 1 image, not 0"),
        (lambda: pictures.grid(torch.zeros(2, 1, 4, 4), columns=0), "at least 1 column, not 0"),
        (lambda: pictures.film_strip([]), "at least 1 step, not 0"),
        (lambda: pictures.enlarge(torch.zeros(1, 4, 4), 0), "at least 1, not 0"),
    ],
)
def test_what_cannot_be_laid_out_is_refused(call, sentence):
    with pytest.raises(KakusanError, match=sentence):
        call()
