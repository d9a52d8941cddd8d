"""Any folder of images: converted and said, skipped and listed, or refused in one line."""

import io
import os
import random
import struct
import sys
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from kakusan.data import load as folder
from kakusan.data import prepare
from kakusan.errors import KakusanError

LEVELS = np.arange(0, 256, 16, dtype=np.uint8).reshape(4, 4)


def put(path, image, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


def grey(value=0, size=(4, 4)):
    return Image.new("L", size, value)


def png_of_16_bit_colour(value):
    """One pixel of 16-bit RGB, which Pillow reads and cannot write."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" + struct.pack(">3H", *value))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def cut_short(image, **options):
    whole = io.BytesIO()
    image.save(whole, **options)
    return whole.getvalue()[: whole.tell() // 2]


def noise(size=(64, 64)):
    return Image.frombytes("L", size, random.Random(0).randbytes(size[0] * size[1]))


@pytest.mark.parametrize("suffix", ["bmp", "gif", "png", "tif", "tiff", "webp", "PNG", "jpg", "JPEG"])
def test_every_format_is_read(tmp_path, suffix):
    lossless = {"lossless": True} if suffix == "webp" else {}
    put(tmp_path / f"a.{suffix}", Image.new("RGB", (8, 8), (200, 100, 50)), **lossless)
    images = folder(tmp_path, channels=3).images
    assert (images.float() - torch.tensor([200, 100, 50]).view(3, 1, 1)).abs().max() <= 2


def test_first_level_folders_are_classes_and_order_is_natural(tmp_path):
    names = ["class10/a.png", "class2/b10.png", "class2/b2.png", "class2/deep/er/c.png", "Class3/z.png"]
    for value, name in enumerate(names):
        put(tmp_path / name, grey(value))
    images = folder(tmp_path)
    assert images.class_names == ("class2", "Class3", "class10")
    assert images.images[:, 0, 0, 0].tolist() == [2, 1, 3, 4, 0]
    assert images.labels.tolist() == [0, 0, 0, 1, 2]
    assert images.name == tmp_path.name
    assert images.notes == images.skipped == ()


def test_images_directly_in_the_folder_have_no_labels(tmp_path):
    for value in (10, 2, 1):
        put(tmp_path / f"{value}.png", grey(value))
    images = folder(tmp_path)
    assert images.labels is None
    assert images.images[:, 0, 0, 0].tolist() == [1, 2, 10]


def test_hidden_and_foreign_files_are_left_alone(tmp_path):
    put(tmp_path / "cat" / "a.png", grey())
    for name in (".thumbnails/a.png", "__MACOSX/a.png", "cat/._a.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("not an image")
    (tmp_path / "cat" / "notes.txt").write_text("about cats")
    images = folder(tmp_path)
    assert (len(images), images.class_names, images.skipped) == (1, ("cat",), ())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are text")
def test_names_that_are_no_text_are_written_out(tmp_path):
    folder_name = os.fsdecode(b"caf\xe9")
    put(tmp_path / folder_name / "a.png", grey(1))
    (tmp_path / folder_name / os.fsdecode(b"\xff.png")).touch()
    images = prepare(tmp_path, tmp_path / "a.safetensors", max_broken=0.5)
    assert images.class_names == (r"caf\udce9",)
    assert images.skipped == ((r"caf\udce9/\udcff.png", "empty file"),)


def test_links_are_followed_once(tmp_path):
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    put(elsewhere / "a.png", grey(1))
    put(root / "dog" / "b.png", grey(2))
    (root / "cat").symlink_to(elsewhere, target_is_directory=True)
    (root / "dog" / "loop").symlink_to(root, target_is_directory=True)
    images = folder(root)
    assert images.class_names == ("cat", "dog")
    assert images.images[:, 0, 0, 0].tolist() == [1, 2]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    put(tmp_path / f"a.{suffix}", Image.fromarray(LEVELS.astype(np.uint16) * 257))
    images = folder(tmp_path)
    assert torch.equal(images.images[0, 0], torch.from_numpy(LEVELS))
    assert images.notes == ("1 16-bit image became 8-bit",)


def test_colours_of_16_bits_are_scaled_and_said(tmp_path):
    (tmp_path / "a.png").write_bytes(png_of_16_bit_colour((0, 128 * 257, 65535)))
    images = folder(tmp_path)
    assert images.images.flatten().tolist() == [0, 128, 255]
    assert images.notes == ("1 16-bit image became 8-bit",)


def test_transparency_shows_white(tmp_path):
    half = Image.new("LA", (4, 4), (0, 0))
    half.paste((40, 255), (0, 0, 2, 4))
    put(tmp_path / "a.png", half)
    images = folder(tmp_path)
    assert images.images[0, 0, 0].tolist() == [40, 40, 255, 255]
    put(tmp_path / "b.png", Image.new("RGBA", (4, 4), (255, 0, 0, 51)))
    images = folder(tmp_path)
    assert images.images[1, :, 0, 0].tolist() == [255, 204, 204]
    assert images.notes == ("2 transparent images became opaque, on white", "1 grey image became RGB")


def test_palettes_show_their_colours(tmp_path):
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    put(tmp_path / "a.png", palette)
    put(tmp_path / "b.png", palette, transparency=1)
    images = folder(tmp_path)
    assert images.images[:, :, 0, 0].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert images.notes == ("2 palette images became RGB", "1 transparent image became opaque, on white")


def test_inks_become_colours(tmp_path):
    put(tmp_path / "a.tif", Image.new("CMYK", (4, 4), (0, 255, 255, 0)))
    images = folder(tmp_path)
    assert images.images[0, :, 0, 0].tolist() == [255, 0, 0]
    assert images.notes == ("1 CMYK image became RGB",)


@pytest.mark.parametrize("channels", [None, 3])
def test_grey_among_colour_becomes_colour_and_is_said_once(tmp_path, channels):
    for index in range(3):
        put(tmp_path / f"{index}.png", grey(index))
    put(tmp_path / "9.png", Image.new("RGB", (4, 4), (7, 8, 9)))
    images = folder(tmp_path, channels=channels)
    assert images.images[:, :, 0, 0].tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2], [7, 8, 9]]
    assert images.notes == ("3 grey images became RGB",)


def test_colour_becomes_grey_where_asked(tmp_path):
    put(tmp_path / "a.png", Image.new("RGB", (4, 4), (255, 0, 0)))
    put(tmp_path / "b.png", grey(5))
    images = folder(tmp_path, channels=1)
    assert images.images[:, 0, 0, 0].tolist() == [76, 5]
    assert images.notes == ("1 colour image became grey",)


def test_photographs_stand_upright(tmp_path):
    """Orientation 6: what the camera saved as the left edge is the top."""
    turned = Image.fromarray(LEVELS).copy()
    exif = Image.Exif()
    exif[0x0112] = 6
    put(tmp_path / "a.png", turned, exif=exif)
    assert torch.equal(folder(tmp_path).images[0, 0], torch.from_numpy(LEVELS).rot90(-1))


def test_other_sizes_are_resized_and_their_middle_is_kept(tmp_path):
    wide = Image.new("L", (24, 8), 0)
    wide.paste(200, (4, 0, 20, 8))
    put(tmp_path / "a.png", wide)
    put(tmp_path / "b.png", wide.transpose(Image.Transpose.ROTATE_90))
    put(tmp_path / "c.png", grey(9))
    images = folder(tmp_path, size=4)
    assert images.shape == (1, 4, 4)
    assert (images.images[:2] == 200).all()
    assert images.notes == ("2 off-size images became 4×4 (shorter side resized, middle kept)",)


def test_shrinking_is_antialiased(tmp_path):
    """A fine chessboard becomes even grey, not a moiré of black and white."""
    board = np.indices((64, 64)).sum(0).astype(np.uint8) % 2 * 255
    put(tmp_path / "a.png", Image.fromarray(board))
    assert (folder(tmp_path, size=8).images.float() - 127.5).abs().max() < 3


def test_mixed_sizes_need_a_size(tmp_path):
    put(tmp_path / "a.png", grey(size=(4, 6)))
    put(tmp_path / "b.png", grey(size=(5, 6)))
    with pytest.raises(KakusanError, match=r"b\.png is 5×6, those before it 4×6 \(kakusan data prepare --size N"):
        folder(tmp_path)


def test_a_folder_without_images_is_no_class_and_is_told_of(tmp_path):
    put(tmp_path / "cat" / "1.png", grey(1))
    (tmp_path / "dog").mkdir()
    found = folder(tmp_path)
    assert found.class_names == ("cat",)
    assert found.notes == ("no image lies in dog, and no class is made of it",)


def test_broken_files_are_skipped_and_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64)
    put(tmp_path / "cat" / "1.png", grey(1))
    put(tmp_path / "dog" / "9.png", grey(9))
    (tmp_path / "cat" / "2.png").write_text("not an image")
    (tmp_path / "cat" / "3.jpg").write_bytes(cut_short(noise(), format="JPEG"))
    (tmp_path / "cat" / "4.png").write_bytes(cut_short(noise(), format="PNG"))
    (tmp_path / "cat" / "5.png").touch()
    put(tmp_path / "cat" / "6.png", grey(size=(65, 64)))
    put(tmp_path / "cat" / "7.png", grey(size=(650, 640)))
    put(tmp_path / "cat" / "8.tif", Image.new("F", (4, 4)))
    (tmp_path / "dog" / "9.jpg").symlink_to(tmp_path / "gone.png")
    images = folder(tmp_path, max_broken=0.8)
    assert images.images[:, 0, 0, 0].tolist() == [1, 9]
    assert images.labels.tolist() == [0, 1]
    reasons = dict(images.skipped)
    assert [name.split("/")[1][0] for name in reasons] == list("23456789")
    assert reasons["cat/2.png"] == "not an image"
    assert "truncated" in reasons["cat/3.jpg"]
    assert "truncated" in reasons["cat/4.png"]
    assert reasons["cat/5.png"] == "empty file"
    assert reasons["cat/6.png"] == reasons["cat/7.png"] == "more pixels than can be read safely"
    assert "32-bit" in reasons["cat/8.tif"]
    assert reasons["dog/9.jpg"] == "No such file or directory"


def test_a_broken_file_that_comes_first_costs_no_image(tmp_path):
    (tmp_path / "0.png").touch()
    for index in range(1, 30):
        put(tmp_path / f"{index}.png", grey(index))
    assert folder(tmp_path).images[:, 0, 0, 0].tolist() == list(range(1, 30))


def test_too_many_broken_files_are_refused_with_their_names(tmp_path):
    for index in range(10):
        put(tmp_path / f"{index}.png", grey())
    (tmp_path / "1.png").write_bytes(b"")
    assert len(folder(tmp_path, max_broken=0.1)) == 9
    for index in range(7):
        (tmp_path / f"{index}.png").write_bytes(b"")
    with pytest.raises(KakusanError) as caught:
        folder(tmp_path, max_broken=0.1)
    assert str(caught.value).startswith(
        f"7 of 10 images in {tmp_path.name} cannot be read, where 10% may be: 0.png (empty"
    )
    assert "and 2 more (kakusan data check lists them all; remove them, or raise --data.max_broken," in str(
        caught.value
    )


def test_a_folder_with_nothing_but_broken_files_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(KakusanError, match=r"1 of 1 images .* cannot be read"):
        folder(tmp_path, max_broken=1.0)


def test_folders_that_are_none_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("text")
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.zip").touch()
    for name, sentence in {
        "empty": "holds no image",
        "texts": "holds no image",
        "packed": r"holds no image .* it holds archives such as a\.zip",
        "missing": "there is no .*missing",
        "texts/a.txt": "is a file, not a source of images",
    }.items():
        with pytest.raises(KakusanError, match=sentence) as caught:
            folder(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_classes_that_are_unclear_are_refused(tmp_path):
    put(tmp_path / "a.png", grey())
    put(tmp_path / "cat" / "b.png", grey())
    with pytest.raises(KakusanError, match="1 of its 2 images directly and the others in sub-folders"):
        folder(tmp_path)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_its_range_is_refused(tmp_path, share):
    with pytest.raises(KakusanError, match="lies between 0 and 1"):
        folder(tmp_path, max_broken=share)
