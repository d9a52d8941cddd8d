"""The model that ships: small, whole, and as good at a few prompts as its card says."""

import filecmp
import re
from importlib.resources import files

import pytest
import torch

import kakusan
from kakusan import stable_diffusion
from kakusan.api.exchange import export_shipped, import_
from kakusan.commands import main
from kakusan.errors import KakusanError
from kakusan.evaluation.prompts import asked_for
from kakusan.pictures import from_uint8, to_uint8
from kakusan.shapes import draw, verify

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

MINI = files("kakusan").joinpath("mini")
MOST = 10_000_000  # bytes


@pytest.fixture(scope="module")
def model():
    return stable_diffusion.opened("mini", "cpu")


def test_it_is_small_and_nothing_of_it_is_a_pickle():
    parts = [path for path in MINI.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in parts) <= MOST
    assert {path.suffix for path in parts} == {".json", ".safetensors", ".txt", ".md"}


def test_it_draws_what_it_is_told(model):
    """More than its card says of either kind would be chance; far less, another model."""
    for number, least in ((0, 14), (2, 11)):
        _, captions = asked_for(number, 16, seed=1)
        drawn = to_uint8(kakusan.generate(captions, model=model, n=16, show=False))
        assert sum(verify(*it).accepted for it in zip(drawn, captions, strict=True)) >= least


def test_a_word_that_it_never_read_is_named(model):
    (remark,) = stable_diffusion.asked(model, stable_diffusion.Request(("a red zebra",), n=1)).remarks()
    assert remark == "no caption that was learned from says zebra"


def test_its_card_says_what_was_measured_and_what_it_cannot():
    card = (MINI / "README.md").read_text("utf-8")
    for heading in ("## Data", "## Training", "## Measured", "## Limits"):
        assert heading in card
    assert "kakusan study mini" in card


def test_the_code_on_its_card_draws_without_kakusan(tmp_path, monkeypatch):
    """In float32, although its weights are rounded to half of that."""
    export_shipped("mini", tmp_path / "out")
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path / "out")
    place = {}
    exec(code.replace("num_inference_steps=20", "num_inference_steps=2"), place)
    assert len(place["images"]) == 4
    assert {part.dtype for part in (place["draw"].unet, place["draw"].vae, place["draw"].text_encoder)} == {
        torch.float32
    }


def test_as_a_run_it_draws_the_same(model, tmp_path):
    ours = kakusan.load(import_("mini", tmp_path / "run"), device="cpu")
    prompts = ["a red circle above a blue square", "a small yellow star"]
    images = kakusan.sample(ours, n=2, prompt=prompts, steps=10, seed=3)
    other = kakusan.generate(prompts, model=model, n=2, steps=10, seed=3, show=False)
    assert (images - other).abs().max() <= 1e-3


def test_its_clip_finds_captions_that_are_true():
    clip = kakusan.load_clip("mini", device="cpu")
    scenes, captions = asked_for(0, 32)
    pictures = torch.stack([draw(it, 32) for it in scenes])
    with torch.no_grad():
        nearest = clip.similarity(from_uint8(pictures), captions).argmax(1).tolist()
    right = sum(verify(picture, captions[it]).accepted for picture, it in zip(pictures, nearest, strict=True))
    assert right > 16


def test_it_leaves_as_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "mini", "out", "--to", "diffusers"]) == 0
    assert "README.md there says how to draw" in capsys.readouterr().out
    names = [str(path.relative_to(str(MINI))) for path in MINI.rglob("*") if path.is_file()]
    assert filecmp.cmpfiles(str(MINI), tmp_path / "out", names, shallow=False) == (names, [], [])
    assert main(["export", "mini", "out"]) == 2
    for more in (["--checkpoint", "3"], ["--dtype", "float32"], ["--clip", "runs/clip"]):
        assert main(["export", "mini", "other", *more]) == 2
    assert not (tmp_path / "other").exists()
    with pytest.raises(KakusanError, match="unknown model 'mimi': did you mean 'mini'"):
        export_shipped("mimi", tmp_path / "x")
