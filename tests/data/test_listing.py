"""Captions: beside an image, or in metadata of a folder that it lies in."""

import pytest
from PIL import Image

from kakusan.data import load
from kakusan.errors import KakusanError


def put(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(root / name)


def test_a_caption_lies_beside_its_image(tmp_path):
    put(tmp_path, "a.png", "b.1.jpg", "c.png")
    (tmp_path / "a.txt").write_text(" 青い花\n", "utf-8")
    (tmp_path / "b.1.txt").write_text("bee")
    (tmp_path / "notes.txt").write_text("of nobody")
    assert load(tmp_path).captions == ("青い花", "bee", "")


def test_or_in_metadata_relative_to_it_which_goes_first(tmp_path):
    put(tmp_path, "cat/1.png", "cat/2.png", "dog/deep/3.png")
    (tmp_path / "cat/metadata.jsonl").write_text('{"file_name": "1.png", "text": "one"}\n\n{"file_name": "2.png"}\n')
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "dog/deep/3.png", "text": "three", "more": [1]}\n')
    (tmp_path / "cat/1.txt").write_text("not this")
    assert load(tmp_path).captions == ("one", "", "three")


def test_no_caption_at_all_is_none(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "a.txt").touch()
    assert load(tmp_path).captions == ()


@pytest.mark.parametrize("line", ["nope", "[]", '{"text": "of what?"}', '{"file_name": 3}', "3"])
def test_a_line_of_metadata_that_is_none_is_named(tmp_path, line):
    put(tmp_path, "a.png")
    (tmp_path / "metadata.jsonl").write_text(f'{{"file_name": "a.png", "text": "a"}}\n{line}\n')
    with pytest.raises(KakusanError, match=r"metadata\.jsonl:2: not a line such as"):
        load(tmp_path)


def test_captions_stay_with_their_images_where_others_are_broken(tmp_path):
    put(tmp_path, *(f"{index}.png" for index in range(30)))
    for index in range(30):
        (tmp_path / f"{index}.txt").write_text(str(index))
    (tmp_path / "4.png").write_bytes(b"")
    assert load(tmp_path).captions == tuple(str(index) for index in range(30) if index != 4)
