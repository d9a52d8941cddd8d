"""Images are checked and prepared; a run learns from what was prepared, and goes on from another directory."""

import json

import numpy as np
import pytest
from PIL import Image

from kakusan import config
from tests.commands.conftest import TINY, files


@pytest.fixture
def photos(tmp_path):
    random = np.random.default_rng(0)
    for index in range(12):
        path = tmp_path / "photos" / ("cat" if index % 2 else "[dog], 犬") / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(256, size=(10, 12 + index, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos" / "cat" / "x.png").touch()
    return tmp_path / "photos"


def test_check_tells_a_person(kakusan, photos):
    answer = kakusan("data", "check", photos, "--size=11", "-o", "sheet.png")
    assert answer.status == 1  # one is broken
    lines = [line.split() for line in answer.out.splitlines()]
    assert ["can", "be", "read", "12", "from", "12×10", "to", "23×10"] in lines
    assert ["broken", "1", "cat/x.png", "(empty", "file)"] in lines
    assert "[dog], 犬/0.png" in answer.out
    assert "and 9 more" in answer.out
    with Image.open("sheet.png") as sheet:
        assert sheet.width == 4 * 68 - 4


def test_check_tells_a_program(kakusan, photos):
    found = json.loads(kakusan("data", "check", photos, "--json").out)
    assert found["broken"] == [["cat/x.png", "empty file"]]
    assert found["classes"] == {"cat": 6, "[dog], 犬": 6}
    assert found["too_small"] is None


def test_what_is_there_is_not_overwritten_unasked(kakusan, photos, tmp_path):
    (tmp_path / "sheet.png").write_text("mine")
    assert "is there already" in kakusan("data", "check", photos, "-o", "sheet.png").check_refused()
    assert "is a PNG" in kakusan("data", "check", photos, "-o", "sheet.jpg").check_refused()
    assert (tmp_path / "sheet.png").read_text() == "mine"


def test_a_run_learns_from_what_was_prepared_and_goes_on_from_elsewhere(kakusan, photos, tmp_path, monkeypatch):
    answer = kakusan("data", "prepare", "photos", "-o", "photos.safetensors", "--size=8", "--max-broken=0.1")
    assert answer.status == 0
    assert answer.out.startswith("photos.safetensors: 12 images of 3×8×8 in 2 classes, 0.0 MiB\n")
    assert "skipped 1 file that cannot be read: cat/x.png (empty file)" in answer.err
    options = ("--data.source=photos.safetensors", "--steps=1", "--network.class_conditional=true")
    answer = kakusan("train", "digits", "--run=a", *options, *TINY)
    assert answer.status == 0, answer.err
    assert config.load("a/config.yaml").data.source == str(tmp_path / "photos.safetensors")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert kakusan("train", "--resume", tmp_path / "a", "--steps=2").status == 0
    assert files(tmp_path / "a" / "checkpoints") == ["0000008", "0000016"]


def test_prepare_tells_a_program(kakusan, photos):
    facts = json.loads(
        kakusan("data", "prepare", photos, "-o", "a.safetensors", "--size=8", "--max-broken=1", "--json").out
    )
    assert (facts["images"], facts["shape"], facts["skipped"]) == (12, [3, 8, 8], 1)
    facts = json.loads(kakusan("info", "a.safetensors", "--json").out)
    assert (facts["images"], facts["shape"], facts["made_from"]["size"]) == (12, [3, 8, 8], 8)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("prepare", "photos"), "missing option '-o'"),
        (("prepare", "photos", "-o", "a.safetensors", "--max-broken=1"), "images differ in size"),
        (("prepare", "photos", "-o", "a.safetensors", "--size=8"), "1 of 13 images in photos cannot be read"),
        (("prepare", "photos", "-o", "a.npz"), "ends in .safetensors"),
        (("prepare", "fotos", "-o", "a.safetensors"), "unknown data source 'fotos'"),
        (("check", "digts"), "did you mean 'digits'"),
        (("check", "someone/pets"), "hub:someone/pets"),
        (("chekc", "photos"), "did you mean 'check'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_nothing_is_left(kakusan, photos, tmp_path, arguments, sentence):
    assert sentence in kakusan("data", *arguments).check_refused()
    assert files(tmp_path) == ["photos"]


def test_one_image_and_a_batch_larger_than_all_train_with_a_warning(kakusan, photos, tmp_path):
    (tmp_path / "one").mkdir()
    (photos / "cat" / "1.png").rename(tmp_path / "one" / "1.png")
    options = ("--steps=1", "--data.size=8", "--network.class_conditional=false", "--data.max_broken=0.1", *TINY)
    answer = kakusan("train", "digits", "--run=a", "--data.source=one", *options)
    assert answer.status == 0
    assert "there is one image, so the model will know nothing but that one" in answer.err
    answer = kakusan("train", "digits", "--run=b", "--data.source=photos", *options, "--training.batch_size=32")
    assert answer.status == 0
    assert "a batch of 32 is more than all 11 images" in answer.err
