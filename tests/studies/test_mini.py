"""The study of a small Stable Diffusion: from captioned pictures to a page, and to a directory that diffusers loads."""

import json
from random import Random

import pytest
from PIL import Image

import kakusan
from kakusan import config
from kakusan.reporting.experiment import render, spoken
from kakusan.reporting.language import language, languages
from kakusan.results import Value
from kakusan.runs import Run
from kakusan.seeing import seen
from kakusan.shapes import caption, draw, scene
from kakusan.studies.conduct import conduct
from kakusan.studies.experiments import mini

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

TEXT = {"width": 16, "layers": 1, "heads": 2, "length": 24, "vocabulary": 600}
TINY = {
    "network.channels": [8, 16],
    "network.head_channels": 8,
    **{f"text.{name}": value for name, value in TEXT.items()},
    "training.images": 64,
    "training.batch_size": 16,
    "training.samples_every": 0,
    "evaluation.n": 2,
    "sampling.steps": 2,
}
PARTS = {
    "autoencoder": {"channels": [4, 8, 8]},
    "clip": {"width": 8, "image_width": 16, "image_layers": 1, "image_heads": 2},
}


@pytest.fixture(autouse=True)
def _small(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "user_cache_path", lambda name: tmp_path / "cache")
    for name, value in (
        ("SCALES", (1.0, 3.0)),
        ("LED", {"guidance": 1.0, "steps": 2}),
        ("_AMONG", 8),
        ("_TRIED", 4),
        ("_SHOWN", 2),
    ):
        monkeypatch.setattr(mini, name, value)

    def part_of(shop, kind, source):
        fields = {f"network.{name}": value for name, value in PARTS[kind].items()}
        more = {"training.images": 32, "training.batch_size": 16, "training.samples_every": 0, "data.held_out": 4}
        more |= {f"text.{name}": value for name, value in TEXT.items()} if kind == "clip" else {}
        return config.load(f"shapes-{kind}", {**fields, **more, "data.source": source})

    monkeypatch.setattr(mini, "part_of", part_of)


@pytest.fixture
def scenes(tmp_path):
    """A folder of captioned scenes."""
    place = tmp_path / "scenes"
    place.mkdir()
    for index in range(40):
        it = scene(0, index)
        Image.fromarray(draw(it, 32).permute(1, 2, 0).numpy()).save(place / f"{index}.png")
        (place / f"{index}.txt").write_text(caption(it, Random(index)))
    return place


def test_a_study_trains_every_part_and_leaves_a_pipeline(tmp_path, scenes):
    how = {
        "path": tmp_path / "study",
        "overrides": {
            **TINY,
            "data.source": str(scenes),
            "data.held_out": 4,
            "training.seed": 3,
            "text.init": "runs/none",
        },
        "show": False,
    }
    found, path = conduct("mini", **how)
    assert [part.name for part in found.parts] == [
        *("trained", "reconstructed", "retrieved", "latents", "drawn", "guided", "led", "failures")
    ]
    for code in languages():
        say = language(code)
        text = render(say, found)
        assert all(spoken(say, it).replace("'", "&#39;") in text for it in found.finding)
    assert found.finding[1].key == "study.mini.unguided"  # all scales draw nothing as asked
    pipeline = path / mini.PIPELINE
    card = (pipeline / "README.md").read_text()
    assert "| trained-1 | 0.0%" in card
    assert "`kakusan study mini` trains it again" in card
    assert "40 captioned pictures of 32×32 pixels" in card
    seeds = {config.load(it.config_path).training.seed for it in map(Run.open, (path / "runs").iterdir())}
    assert seeds == {3}
    assert "began as that of a CLIP" in card
    assert config.load(path / "runs" / "denoiser" / "config.yaml").text.init == str((path / "runs" / "clip").resolve())
    drawn = kakusan.generate("a red circle", model=str(pipeline), n=2, show=False)
    assert drawn.shape == (2, 3, 32, 32)
    clip = kakusan.load_clip(pipeline, device="cpu")
    trained = kakusan.load_clip(path / "runs" / "clip", device="cpu")
    assert clip.of_captions(["a red circle"]).allclose(trained.of_captions(["a red circle"]), atol=1e-2)
    best = json.loads((pipeline / "kakusan.json").read_text())["sampling"]["guidance"]
    assert best in mini.SCALES
    again, _ = conduct("mini", **how)
    assert {**again.as_dict(), "seconds": 0} == {**found.as_dict(), "seconds": 0}


def test_what_reads_nothing_is_refused(tmp_path):
    with pytest.raises(kakusan.KakusanError, match="trains a denoiser that reads captions"):
        conduct("mini", preset="digits", path=tmp_path / "study", show=False)


def test_captions_that_cannot_be_judged_are_refused_before_anything_is_trained(tmp_path, scenes):
    (scenes / "0.txt").write_text("my dog on a lawn")
    how = {"path": tmp_path / "study", "overrides": {**TINY, "data.source": str(scenes)}, "show": False}
    with pytest.raises(kakusan.KakusanError, match="the verifier does not understand 'my dog on a lawn'"):
        conduct("mini", **how)
    assert not (tmp_path / "study" / "runs").exists()


def test_a_caption_is_turned_around():
    assert mini._turned("a red star over a blue ring") == "a red star under a blue ring"
    assert mini._turned("a ring to the left of a cross") == "a ring to the right of a cross"


@pytest.mark.parametrize(("after", "key"), [(0.9, "guided"), (0.55, "guided_alike")])
def test_guidance_raises_beyond_doubt_or_not(after, key):
    before, after = (Value(value=x, interval=(x - 0.1, x + 0.1)) for x in (0.5, after))
    said = mini.raised("guided", 3.0, before, after)
    assert said.key == f"study.mini.{key}"
    assert said.values == {"best": "3", "before": 0.5, "after": after.value}
