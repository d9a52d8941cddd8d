"""A source is found by name or path, and means the same from another directory."""

import pytest
from PIL import Image

from kakusan.data.sources import absolute, open_source
from kakusan.errors import KakusanError


@pytest.mark.parametrize("source", ["digits", "cifar10", "hub:someone/pets", "DataLoader", "nowhere"])
def test_names_stay_as_they_are(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert absolute(source) == source


@pytest.mark.parametrize("source", ["photos", "./digits", "a.zip", "a.zip/train", "photos/../a.zip"])
def test_paths_are_told_in_full(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    for folder in ("digits", "photos"):
        (tmp_path / folder).mkdir()
    (tmp_path / "a.zip").touch()
    assert absolute(source) == str((tmp_path / source).resolve())


def test_a_folder_named_as_a_source_needs_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "digits" / "a.png")
    assert len(open_source("digits")) == 1797
    assert len(open_source("./digits")) == 1
    assert len(open_source(tmp_path / "digits")) == 1


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("cifar", "did you mean 'cifar10'"),
        ("~nobody-is-called-so/photos", "there is no ~nobody-is-called-so/photos"),
        ("gone.zip", r"there is no gone\.zip \(check the path\)"),
        ("/gone/photos", r"there is no /gone/photos \(check the path\)"),
        ("someone/pets", r"there is no someone/pets \(check the path; .* is hub:someone/pets\)"),
        ("notes.txt", r"notes\.txt is a file, not a source .* \.parquet, \.zip, .* or \.txz\)"),
        ("notes.txt/inside", r"notes\.txt is a file, not a source of images"),
    ],
)
def test_what_is_no_source_is_answered_with_what_would_be(tmp_path, monkeypatch, source, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(KakusanError, match=sentence):
        open_source(source)
