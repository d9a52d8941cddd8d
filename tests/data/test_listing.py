"""Captions: beside an image, or in metadata of a folder that it lies in."""

import os

import pytest
from PIL import Image

from kakusan.data import load
from kakusan.data.listing import natural_key
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


def test_metadata_may_be_a_table_and_call_captions_so(tmp_path):
    put(tmp_path, "a.png", "b.png", "c.png", "deep/d.png", "e.png")
    (tmp_path / "metadata.csv").write_text("file_name,caption\na.png,one\nb.png,\n")
    (tmp_path / "deep/metadata.jsonl").write_text('{"file_name": "d.png", "caption": "four"}\n')
    (tmp_path / "e.TXT").write_text("five")
    (tmp_path / "c.txt").write_text("three")
    for name in ("a", "b", "c", "e"):
        (tmp_path / "flat").mkdir(exist_ok=True)
        (tmp_path / f"{name}.png").rename(tmp_path / "flat" / f"{name}.png")
    (tmp_path / "metadata.csv").rename(tmp_path / "flat" / "metadata.csv")
    for name in ("c.txt", "e.TXT"):
        (tmp_path / name).rename(tmp_path / "flat" / name)
    assert load(tmp_path).captions == ("four", "one", "", "three", "five")


def test_numbers_of_any_length_are_names(tmp_path):
    put(tmp_path, "10.png", "9.png", "009.png")
    names = ["9" * 5000 + ".png", "2.png", "10.png", "1" * 5000 + ".png"]
    assert sorted(names, key=natural_key) == ["2.png", "10.png", "1" * 5000 + ".png", "9" * 5000 + ".png"]
    assert load(tmp_path).names == ("009.png", "9.png", "10.png")


def test_what_is_of_another_kind_is_told_of(tmp_path):
    put(tmp_path, "a.png", "b.jfif.png")
    (tmp_path / "b.jfif.png").rename(tmp_path / "b.heic")
    (tmp_path / "notes.md").touch()
    (tmp_path / "c.xyz").touch()
    images = load(tmp_path)
    assert len(images) == 1
    assert images.notes == ("left out, for of .heic, .xyz none is read: 2 files, such as b.heic",)


def test_an_ordinary_jpeg_may_be_called_jfif(tmp_path):
    put(tmp_path, "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "a.JFIF")
    assert load(tmp_path).names == ("a.JFIF",)


def test_a_pipe_that_is_called_an_image_is_a_broken_one(tmp_path):
    put(tmp_path, *(f"{index}.png" for index in range(30)))
    os.mkfifo(tmp_path / "pipe.png")
    assert load(tmp_path).skipped == (("pipe.png", "no regular file"),)


def test_a_table_of_something_else_is_none_of_captions(tmp_path):
    put(tmp_path, "a.png")
    (tmp_path / "metadata.csv").write_text("image_id;dx\nISIC_1;mel\n")
    assert load(tmp_path).captions == ()
    (tmp_path / "metadata.csv").write_text(f"file_name,text\na.png,{'x' * 200_000}\n")
    with pytest.raises(KakusanError, match=r"metadata\.csv:\d+: no line of a table: field larger than field limit"):
        load(tmp_path)
