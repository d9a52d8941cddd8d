"""Learning from captions: what a run keeps of them, what it obeys, going on as if never stopped, what is refused."""

import json

import pytest
import torch
from torch.utils.data import DataLoader

import kakusan
from kakusan import sampling
from kakusan.commands import main
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.guidance import ClassifierFree
from kakusan.pictures import read_metadata
from kakusan.runs import Run
from kakusan.shapes import draw, scene
from kakusan.words import Words
from tests.tiny import assert_same, everything

SHADES = {"black": 20, "white": 235}
TEXT = {
    "network": {
        "kind": "unet",
        "channels": (16, 16),
        "blocks": 1,
        "dropout": 0.0,
        "text_conditional": True,
    },
    "text": {"width": 16, "layers": 1, "heads": 2, "length": 8, "vocabulary": 520},
    "optimizer": {"learning_rate": 5e-3, "warmup_images": 100, "decay": "none"},
    "ema": {"half_life": 200},
    "training": {"batch_size": 16, "images": 64, "samples_every": 0, "log_every": 1},
    "sampling": {"steps": 5},
}


def shades(count=32, **more):
    """Flat grey pictures, and captions that say which."""
    names = [("black", "white")[i % 2] for i in range(count)]
    noise = torch.randint(-10, 10, (count, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    images = (torch.tensor([SHADES[name] for name in names])[:, None, None, None] + noise).to(torch.uint8)
    return ImageSet(images, captions=tuple(f"a {name} picture" for name in names), name="shades", **more)


def train(path, data=None, **training):
    overrides = {**TEXT, "training": {**TEXT["training"], **training}}
    return kakusan.train(data=data or shades(), run=path, show=False, overrides=overrides)


def test_a_run_keeps_the_words_that_it_learned(tmp_path):
    run = train(tmp_path / "run")
    words = Words.read(run.words_path)
    assert words.known == {"black", "white", "picture"}
    model = kakusan.load(run)
    assert len(model.words) == len(words)
    assert model.network.text.vocabulary == len(words)
    assert kakusan.sample(model, n=3, prompt="a black picture").shape == (3, 1, 8, 8)
    told = run.config_path.read_text()
    assert "text_conditional: true" in told
    assert "vocabulary: 520" in told


def test_it_draws_what_it_is_told(tmp_path):
    overrides = {**TEXT, "training": {**TEXT["training"], "images": 8_000}, "objective.condition_dropout": 0.3}
    run = kakusan.train(data=shades(), run=tmp_path / "run", show=False, overrides=overrides)
    model = kakusan.load(run)
    for name, shade in SHADES.items():
        drawn = kakusan.sample(model, n=4, prompt=f"a {name} picture", guidance_scale=1.5, steps=10)
        assert (drawn.mean() + 1) * 127.5 == pytest.approx(shade, abs=40)
    both = kakusan.sample(model, n=2, prompt=["a black picture", "a white picture"], steps=10)
    assert both[0].mean() < -0.5
    assert both[1].mean() > 0.5
    how = {"n": 8, "prompt": "", "steps": 10}
    plain = kakusan.sample(model, **how).mean((1, 2, 3))
    away = kakusan.sample(model, negative="a black picture", guidance_scale=3.0, **how).mean((1, 2, 3))
    assert (away > plain - 0.05).all()  # away from black is lighter, for every noise
    assert away.mean() > plain.mean() + 0.5


def test_going_on_equals_never_having_stopped(tmp_path):
    train(tmp_path / "whole", images=96)
    train(tmp_path / "cut", images=48)
    kakusan.train(data=shades(), resume=tmp_path / "cut", images=96, show=False)
    assert_same(Run.open(tmp_path / "whole"), Run.open(tmp_path / "cut"))
    weights, _ = everything(Run.open(tmp_path / "whole"))
    assert any("text.words" in name for name in weights)  # the text encoder learns, too


def test_other_captions_are_no_longer_the_same_run(tmp_path):
    train(tmp_path / "run")
    other = shades()
    swapped = ImageSet(other.images, captions=other.captions[::-1], name="shades")
    with pytest.raises(KakusanError, match="learned from other captions"):
        kakusan.train(data=swapped, resume=tmp_path / "run", images=96, show=False)


def test_a_negative_takes_the_place_of_no_caption(tmp_path):
    model = kakusan.load(train(tmp_path / "run"))
    how = sampling.settings(model.sampling, guidance=2.0)
    plan = sampling.plan(model, n=2, settings=how, prompts="a black picture", negative="a white picture")
    x, t = torch.randn(2, 1, 8, 8), torch.tensor(0.5, dtype=torch.float64)
    white = model.condition(None, 2, "a white picture")
    ours = ClassifierFree(model.denoiser, plan.condition, 2.0, plan.unconditional)(x, t)
    told, away = (model.denoiser(x, t, it) for it in (plan.condition, white))
    assert torch.allclose(ours.x0, away.towards(told, 2.0).x0, atol=1e-5)


def test_prompts_left_out_are_captions_that_it_learned_from(tmp_path):
    model = kakusan.load(train(tmp_path / "run"))
    told = model.condition(None, 4)
    assert torch.equal(told.words, model.words([*model.words.examples] * 2))


def test_captions_that_say_nothing_are_the_null_caption(tmp_path):
    some = shades()
    captions = tuple("" if i % 4 == 3 else caption for i, caption in enumerate(some.captions))
    names = tuple(f"{i}.png" for i in range(32))
    run = train(tmp_path / "run", ImageSet(some.images, captions=captions, names=names, name="shades"))
    assert (
        "8 images without a caption: learned as such that say nothing: 3.png, 7.png"
        in (run.path / "log.txt").read_text()
    )


def test_what_is_odd_about_captions_is_said(tmp_path):
    some = shades()
    long = tuple(f"{caption} on the left {'of it ' * 9}" for caption in some.captions)
    run = kakusan.train(
        data=ImageSet(some.images, captions=long),
        run=tmp_path / "long",
        show=False,
        overrides={**TEXT, "data.flip": True},
    )
    log = (run.path / "log.txt").read_text()
    assert "32 captions longer than 6 pieces of words and cut, such as 'a black picture on the left" in log
    assert "captions say left or right, and half of the images are mirrored" in log
    same = train(tmp_path / "same", ImageSet(some.images, captions=("grey",) * 32))
    assert "all captions are the same, 'grey'" in (same.path / "log.txt").read_text()


def test_images_without_captions_are_refused(tmp_path):
    bare = ImageSet(shades().images, name="bare")
    for data in (bare, DataLoader(torch.zeros(8, 1, 8, 8), batch_size=4)):
        with pytest.raises(KakusanError, match=r"network.text_conditional needs captions, and python:.* has none"):
            train(tmp_path / "run", data)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"network.text_conditional": False}, "text is read by a network with text_conditional"),
        ({"network.middle_attention": False}, "text_conditional needs network.middle_attention"),
        ({"text.heads": 3}, "text.heads must divide text.width, but 3 does not divide 16"),
        ({"text.vocabulary": 100}, "text.vocabulary must be a whole number of at least 514"),
        ({"network": {"kind": "autoencoder"}}, "text is read by a network"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(tmp_path, overrides, said):
    flat = {f"{section}.{name}": value for section, fields in TEXT.items() for name, value in fields.items()}
    if "network" in overrides:
        flat = {name: value for name, value in flat.items() if not name.startswith(("network.", "sampling."))}
    with pytest.raises(KakusanError, match=said):
        kakusan.train(data=shades(), run=tmp_path / "run", show=False, overrides={**flat, **overrides})


def test_a_model_without_text_takes_no_prompt(tmp_path):
    overrides = {**TEXT, "network": {**TEXT["network"], "text_conditional": False}}
    del overrides["text"]
    model = kakusan.load(kakusan.train(data=shades(), run=tmp_path / "run", show=False, overrides=overrides))
    with pytest.raises(KakusanError, match="this model reads no text"):
        kakusan.sample(model, prompt="a black picture")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"n": 3, "prompt": ["a", "b"]}, "3 images are told by as many prompts, or by one for all, not by 2"),
        ({"prompt": "a", "negative": "b"}, "guidance leads away from a negative, and at 1 there is none"),
        ({"labels": [0]}, "this model has no classes"),
    ],
)
def test_prompts_that_cannot_be_are_refused(run, how, said):
    with pytest.raises(KakusanError, match=said):
        kakusan.sample(kakusan.load(run), **how)


def test_the_command_line_draws_by_prompts_and_again(run, tmp_path, capsys):
    how = ["--prompt", "a black dog", "--prompt", "a white picture", "--negative", "grey", "--guidance", "2"]
    assert main(["sample", str(run.path), "-n", "3", *how, "-o", str(tmp_path / "out")]) == 0
    assert "no caption that was learned from says dog, grey" in capsys.readouterr().err
    told = read_metadata(tmp_path / "out" / "0001.png")
    assert told["prompts"] == ["a black dog", "a white picture"]
    assert told["negative"] == "grey"
    assert main(["sample", str(run.path), "--like", str(tmp_path / "out" / "0001.png"), "-o", str(tmp_path / "b")]) == 0
    ours, again = ((tmp_path / place / "0001.png").read_bytes() for place in ("out", "b"))
    assert ours == again


def test_pictures_of_captions_that_were_learned_from_say_which(run, tmp_path):
    assert main(["sample", str(run.path), "-n", "2", "-o", str(tmp_path / "out")]) == 0
    told = read_metadata(tmp_path / "out" / "0001.png")
    assert told["prompts"] == list(kakusan.load(run).words.examples[:2])


def test_the_command_line_says_where_a_model_reads_no_text(tmp_path, capsys):
    bare = ImageSet(shades().images, name="bare")
    overrides = {**TEXT, "network": {**TEXT["network"], "text_conditional": False}}
    del overrides["text"]
    plain = kakusan.train(data=bare, run=tmp_path / "run", show=False, overrides=overrides)
    assert main(["sample", str(plain.path), "--prompt", "a cat"]) == 2
    assert "this model reads no text" in capsys.readouterr().err


def test_a_run_that_lost_its_words_says_so(tmp_path):
    run = train(tmp_path / "run")
    run.words_path.unlink()
    with pytest.raises(KakusanError, match=r"words.json holds no vocabulary"):
        kakusan.load(run)


def test_held_out_captions_are_judged(tmp_path):
    run = kakusan.train(data=shades(), run=tmp_path / "run", show=False, overrides={**TEXT, "data.held_out": 8})
    lines = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert any("held_out" in "".join(line) for line in lines)


def test_a_run_that_reads_is_told_of_like_any_other(run, tmp_path, capsys):
    assert main(["info", str(run.path)]) == 0
    assert main(["report", str(run.path), "-o", str(tmp_path / "report.html")]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(run.path), "--metrics", "prompts", "-n", "2"]) == 2  # grey pictures are no scenes
    assert "prompts are judged in square colour pictures" in capsys.readouterr().err


def test_prompts_are_measured_of_a_run(tmp_path, capsys):
    some = ImageSet(torch.stack([draw(scene(0, i), 16) for i in range(8)]), captions=("a red circle", "a ring") * 4)
    overrides = {**TEXT, "training": {**TEXT["training"], "images": 16}, "sampling": {"steps": 2}}
    made = kakusan.train(data=some, run=tmp_path / "run", show=False, overrides=overrides)
    assert main(["evaluate", str(made.path), "--metrics", "prompts", "-n", "2", "--guidance", "2"]) == 0
    told = capsys.readouterr().out
    assert "prompts-trained-1" in told
    assert "prompts-untrained-relation-2" in told
    assert any("measurements" in line for line in made.metrics())
