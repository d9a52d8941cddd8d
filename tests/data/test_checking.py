"""What is wrong with images is found, each thing under its name, and a set that is whole has nothing wrong."""

import numpy as np
import pytest
from PIL import Image

from kakusan.data import check
from kakusan.data.contact_sheet import contact_sheet
from kakusan.data.sources import open_source
from kakusan.errors import KakusanError

RANDOM = np.random.default_rng(0)


def put(path, shape=(16, 16, 3), mode=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(RANDOM.integers(256, size=shape, dtype=np.uint8))
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def test_a_set_that_is_whole():
    found = check("digits", size=8)
    assert found.count == 1797
    assert (found.broken, found.duplicates, found.mislabelled, found.odd_aspect, found.too_small) == ((), (), 0, (), ())
    assert (found.kinds, found.off_kind) == ({"grey": 1797}, {})
    assert found.smallest == found.largest == (8, 8)
    assert sum(found.classes.values()) == 1797
    assert (found.captions, found.uncaptioned) == (0, ())


def test_every_fault_is_found_by_name(tmp_path):
    for index in range(10):
        put(tmp_path / "cat" / f"{index}.png")
    copy = (tmp_path / "cat" / "0.png").read_bytes()
    put(tmp_path / "dog" / "long.png", (16, 33, 3))
    put(tmp_path / "dog" / "just.png", (16, 32, 3))
    put(tmp_path / "dog" / "small.png", (30, 15, 3))
    put(tmp_path / "dog" / "grey.png", (16, 16))
    put(tmp_path / "dog" / "palette.gif", mode="P")
    put(tmp_path / "dog" / "ink.jpg", mode="CMYK")
    put(tmp_path / "dog" / "clear.png", (16, 16, 4))
    Image.fromarray(RANDOM.integers(65536, size=(16, 16)).astype(np.uint16)).save(tmp_path / "dog" / "deep.png")
    (tmp_path / "dog" / "copy.png").write_bytes(copy)
    (tmp_path / "cat" / "copy.png").write_bytes(copy)
    Image.open(tmp_path / "cat" / "1.png").save(tmp_path / "cat" / "same pixels.bmp")
    (tmp_path / "dog" / "broken.png").write_bytes(b"no image")
    (tmp_path / "dog" / "empty.png").touch()
    found = check(tmp_path, size=16)
    assert found.count == 23
    assert dict(found.broken) == {"dog/broken.png": "not an image", "dog/empty.png": "empty file"}
    assert set(map(frozenset, found.duplicates)) == {
        frozenset({"cat/0.png", "cat/copy.png", "dog/copy.png"}),
        frozenset({"cat/1.png", "cat/same pixels.bmp"}),
    }
    assert found.mislabelled == 1
    assert found.too_small == ("dog/small.png",)
    assert found.odd_aspect == ("dog/long.png",)
    assert found.off_kind == {
        "grey": ("dog/deep.png", "dog/grey.png"),
        "16-bit": ("dog/deep.png",),
        "palette": ("dog/palette.gif",),
        "CMYK": ("dog/ink.jpg",),
        "transparent": ("dog/clear.png",),
    }
    assert found.kinds["colour"] == 19
    assert found.smallest == (16, 16)
    assert found.largest == (33, 16)
    assert found.classes == {"cat": 12, "dog": 9}


def test_sizes_are_not_judged_unasked_and_a_silly_one_is_refused(tmp_path):
    put(tmp_path / "a.png")
    assert check(tmp_path).too_small is None
    with pytest.raises(KakusanError, match="at least 1 pixel, not 0"):
        check(tmp_path, size=0)


def test_nothing_but_broken_files(tmp_path):
    (tmp_path / "a.png").touch()
    found = check(tmp_path, size=8)
    assert (found.count, len(found.broken), found.smallest, found.kinds) == (1, 1, None, {})
    with pytest.raises(KakusanError, match=r"none of 1 images in .* can be read"):
        contact_sheet(open_source(tmp_path))


def test_missing_captions_are_counted_where_there_are_some(tmp_path):
    for name in "abc":
        put(tmp_path / f"{name}.png")
    (tmp_path / "b.txt").write_text("bee")
    found = check(tmp_path)
    assert (found.captions, found.uncaptioned) == (1, ("a.png", "c.png"))


@pytest.mark.parametrize(("count", "tiles"), [(1, 1), (5, 3), (100, 10)])
def test_a_contact_sheet_shows_images_from_all_over_the_source(count, tiles):
    sheet = contact_sheet(open_source("digits"), count)
    assert sheet.shape == (3, (64 + 4) * -(-count // tiles) - 4, (64 + 4) * tiles - 4)


def test_a_contact_sheet_keeps_proportions_and_leaves_out_what_is_broken(tmp_path):
    Image.new("RGB", (200, 100), "black").save(tmp_path / "wide.png")
    (tmp_path / "broken.png").touch()
    sheet = contact_sheet(open_source(tmp_path))
    assert sheet.shape == (3, 64, 64)
    assert (sheet[:, 17:47] == 0).all()
    assert (sheet[:, :15] == 255).all()
