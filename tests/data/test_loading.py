"""Built-in images, and how a source is named."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from kakusan.data import ImageSet, load, loading
from kakusan.data.sources.held import Held
from kakusan.errors import KakusanError


def test_the_digits_are_those_of_scikit_learn():
    images = load("digits")
    assert (len(images), images.shape) == (1797, (1, 8, 8))
    assert images.class_names == tuple("0123456789")
    source = load_digits()
    assert torch.equal(images.labels, torch.from_numpy(source.target))
    assert torch.equal((images.images.double() * 16 / 255).round()[:, 0], torch.from_numpy(source.images))
    assert (images.images.min(), images.images.max()) == (0, 255)
    assert images.notes == ()


def test_digits_of_another_size_keep_their_mean_and_say_so():
    plain, large = load("digits"), load("digits", size=16, channels=3)
    assert large.shape == (3, 16, 16)
    assert torch.equal(large.images[:, 0], large.images[:, 2])
    assert large.images.float().mean().item() == pytest.approx(plain.images.float().mean().item(), abs=2.0)
    assert large.notes == (
        "1,797 off-size images became 16×16 (shorter side resized, middle kept)",
        "1,797 grey images became RGB",
    )


@pytest.mark.parametrize(
    ("built_in", "channels", "became", "notes"),
    [
        ("RGB", 1, "L", ("5 colour images became grey",)),
        ("RGB", 3, "RGB", ()),
        ("RGB", None, "RGB", ()),
        ("L", 3, "RGB", ("5 grey images became RGB",)),
        ("L", 1, "L", ()),
    ],
)
def test_the_channels_asked_for_are_those_that_come_as_pillow_converts_them(
    monkeypatch, built_in, channels, became, notes
):
    def bytes_of(images, mode):
        arrays = [np.asarray(image.convert(mode)) for image in images]
        return torch.from_numpy(np.stack(arrays)).reshape(5, 6, 7, -1).permute(0, 3, 1, 2)

    noise = np.random.default_rng(0).integers(256, size=(5, 6, 7, 3), dtype=np.uint8)
    pictures = [Image.fromarray(array).convert(built_in) for array in noise]
    monkeypatch.setattr(loading, "open_source", lambda name: Held(ImageSet(bytes_of(pictures, built_in))))
    images = load("photos", channels=channels)
    assert torch.equal(images.images, bytes_of(pictures, became))
    assert images.notes == notes


def test_a_folder_is_a_source(tmp_path):
    Image.new("L", (4, 4), 7).save(tmp_path / "a.png")
    images = load(str(tmp_path), size=2, channels=3)
    assert images.shape == (3, 2, 2)
    assert (images.images == 7).all()


def test_an_unknown_source_is_refused_with_the_nearest_name():
    with pytest.raises(KakusanError, match=r"unknown data source 'digts': did you mean 'digits'.* path of a folder"):
        load("digts")
    with pytest.raises(KakusanError, match="unknown data source"):
        load("x" * 5000)


@pytest.mark.parametrize(
    ("options", "sentence"), [({"size": 0}, "at least 1 pixel, not 0"), ({"channels": 2}, "must be 1 .* not 2")]
)
def test_a_shape_that_makes_no_sense_is_refused(tmp_path, options, sentence):
    for source in ("digits", tmp_path):
        with pytest.raises(KakusanError, match=sentence):
            load(source, **options)
