"""A text encoder that is there already: begun with, learned on with or left as it is, with the words that it reads."""

import pytest
import torch

import kakusan
from kakusan import texts
from kakusan.condition import Condition
from kakusan.config.models import Text
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.interop.text import write_text_encoder, write_words
from kakusan.networks import Captioned, TextEncoder, UNet
from kakusan.runs import Run
from kakusan.words import of_clip
from tests.networks.randomised import randomised
from tests.tiny import assert_same, everything
from tests.training.test_text import TEXT, shades

SIZES = TEXT["text"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A run that trained a CLIP on the same captions."""
    overrides = {
        "network": {"kind": "clip", "width": 8, "image_width": 16, "image_layers": 1, "image_heads": 2},
        "text": SIZES,
        "training": {"batch_size": 16, "images": 64, "samples_every": 0},
    }
    return kakusan.train(data=shades(), run=tmp_path_factory.mktemp("runs") / "clip", show=False, overrides=overrides)


def train(path, init, **more):
    overrides = {**TEXT, "text": {**SIZES, "init": str(init), **more.pop("text", {})}, **more}
    return kakusan.train(data=shades(), run=path, show=False, overrides=overrides)


def text_of(run, which="ema"):
    return kakusan.load(run, weights_from=which, device="cpu").network.text.state_dict()


def same(a, b):
    return all(torch.equal(weight, b[name]) for name, weight in a.items())


def test_a_clip_is_left_as_it_is_or_learned_on_with(clip, tmp_path):
    theirs = kakusan.load_clip(clip, device="cpu").network.text.state_dict()
    frozen = train(tmp_path / "frozen", clip.path, text={"frozen": True})
    for which in ("ema", "raw"):
        assert same(text_of(frozen, which), theirs)
    assert not same(text_of(train(tmp_path / "on", clip.path), "raw"), theirs)
    assert "reads captions by the text encoder of" in (frozen.path / "log.txt").read_text()
    _, state = everything(frozen)
    assert state["images"] == 64


def test_one_that_is_frozen_goes_on_as_if_never_stopped(clip, tmp_path, monkeypatch):
    monkeypatch.chdir(clip.path.parent)
    for name, images in (("whole", 96), ("cut", 48)):
        train(tmp_path / name, clip.name, text={"frozen": True}, **{"training.images": images})
    monkeypatch.chdir(tmp_path)  # where that name means nothing
    kakusan.train(data=shades(), resume=tmp_path / "cut", images=96, show=False)
    assert_same(Run.open(tmp_path / "whole"), Run.open(tmp_path / "cut"))


def test_it_brings_its_words(clip, tmp_path):
    model = kakusan.load(train(tmp_path / "run", clip.path))
    assert model.words.pieces == kakusan.load_clip(clip).words.pieces
    assert model.words.unknown("a black dog") == ["dog"]


def test_its_examples_are_those_of_what_is_learned_from(clip, tmp_path):
    some = shades()
    told = ImageSet(some.images, captions=tuple(f"eine {caption}" for caption in some.captions), name="shades")
    overrides = {**TEXT, "text": {**SIZES, "init": str(clip.path)}}
    model = kakusan.load(kakusan.train(data=told, run=tmp_path / "run", show=False, overrides=overrides))
    assert model.words.examples == ("eine a black picture", "eine a white picture")
    assert model.words.unknown("eine katze") == ["katze"]


def test_a_run_that_starts_from_another_has_its_words(tmp_path):
    first = kakusan.train(data=shades(), run=tmp_path / "first", show=False, overrides=TEXT)
    some = shades()
    told = ImageSet(some.images, captions=tuple("xyzzy plugh" if i % 2 else "foo" for i in range(32)), name="shades")
    second = kakusan.train(
        data=told, run=tmp_path / "second", show=False, overrides={**TEXT, "network.init": str(first.path)}
    )
    ours, theirs = (kakusan.load(it).words for it in (first, second))
    assert (theirs.pieces, theirs.known) == (ours.pieces, {"xyzzy", "plugh", "foo"})
    overrides = {**TEXT, "text": {**SIZES, "length": 9}, "network.init": str(first.path)}
    with pytest.raises(KakusanError, match=r"text.length is 9, and .* reads 8"):
        kakusan.train(data=shades(), run=tmp_path / "third", show=False, overrides=overrides)


def test_a_text_encoder_goes_before_what_the_network_starts_from(clip, tmp_path):
    first = train(tmp_path / "first", clip.path)
    more = {"network.init": str(first.path), "text": {"frozen": True}}
    second = train(tmp_path / "second", clip.path, **more)
    assert same(text_of(second), kakusan.load_clip(clip, device="cpu").network.text.state_dict())


def test_one_of_transformers_is_read(clip, tmp_path):
    pytest.importorskip("transformers")
    matcher = kakusan.load_clip(clip, device="cpu")
    write_text_encoder(matcher.network.text, tmp_path / "pipeline" / "text_encoder")
    write_words(matcher.words, tmp_path / "pipeline" / "tokenizer")
    found = texts.opened(Text(init=str(tmp_path / "pipeline"), **SIZES))
    assert same(found.text.state_dict(), matcher.network.text.state_dict())
    captions = ["a black picture", "größer, 42!", ""]
    assert torch.equal(found.words(captions), matcher.words(captions))
    model = kakusan.load(train(tmp_path / "run", tmp_path / "pipeline", text={"frozen": True}), device="cpu")
    assert same(model.network.text.state_dict(), matcher.network.text.state_dict())
    assert model.words.known == {"black", "white", "picture"}  # of the captions that it learns from


def test_a_frozen_encoder_reads_a_caption_once(monkeypatch):
    unet, text = UNet(1, channels=(8,), text_width=12), TextEncoder(20, length=4, width=12, layers=1, heads=2)
    network = Captioned(unet, randomised(text)).train()
    network.text.requires_grad_(False)
    words = torch.tensor([[18, 3, 19, 19], [18, 4, 19, 19], [18, 3, 19, 19]])
    expected, counted = text(words), []
    whole = text.forward
    monkeypatch.setattr(text, "forward", lambda given: counted.append(len(given)) or whole(given))
    for _ in range(3):
        found = network.read(Condition(words=words))
        assert torch.allclose(found.tokens, expected, atol=1e-6)
    assert counted == [2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ({"width": 32}, "text.width is 32, and the text encoder .* has 16 .set --text.width 16"),
        ({"layers": 2, "length": 9}, "has 1 .set --text.layers 1 --text.length 8"),
    ],
)
def test_another_size_is_refused(clip, tmp_path, text, said):
    with pytest.raises(KakusanError, match=said):
        train(tmp_path / "run", clip.path, text=text)
    assert not (tmp_path / "run").exists()


def test_what_is_no_text_encoder_is_refused(clip, tmp_path):
    with pytest.raises(KakusanError, match="there is no text encoder nowhere"):
        train(tmp_path / "run", "nowhere")
    other = kakusan.train(data=shades(), run=tmp_path / "other", show=False, overrides=TEXT)
    with pytest.raises(KakusanError, match="trained no CLIP"):
        train(tmp_path / "run", other.path)
    with pytest.raises(KakusanError, match=r"kakusan train shapes-clip --run runs/shapes-clip; or .*init null"):
        train(tmp_path / "run", "runs/shapes-clip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(KakusanError, match=r"there is no text encoder .*empty"):
        train(tmp_path / "run", tmp_path / "empty")
    with pytest.raises(KakusanError, match=r"text.frozen keeps a text encoder that has learned nothing"):
        kakusan.train(data=shades(), run=tmp_path / "run", show=False, overrides={**TEXT, "text.frozen": True})


def test_a_tokenizer_of_another_layout_is_refused():
    with pytest.raises(KakusanError, match="not in the layout of CLIP"):
        of_clip({"a": 0, "b": 1, "c": 2}, [], 8)
