"""Images of what a pipeline is told: those that its run draws, each from its own noise, whatever the batch."""

import pytest
import torch

import kakusan
from kakusan import stable_diffusion
from kakusan.api.exchange import export
from kakusan.errors import KakusanError
from kakusan.seeing import seen
from kakusan.stable_diffusion import Request
from tests.tiny_prompted import run

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

PROMPTS = ["a red circle", "a hairy dog", "a blue star"]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    place = tmp_path_factory.mktemp("generation")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "user_cache_path", lambda name: place / "cache" / name)
        made = run(place / "run")
        export(made, place / "out")
    return made, place / "out"


@pytest.fixture(scope="module")
def model(places):
    return stable_diffusion.opened(str(places[1]), "cpu")


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_pipeline_draws_what_its_run_draws(places, model, eta):
    """Noise of the walk, too, is of the image's own seed."""
    ours = kakusan.sample(
        kakusan.load(places[0], device="cpu"),
        n=3,
        prompt=PROMPTS,
        negative="two cats",
        steps=10,
        guidance_scale=3.0,
        seed=4,
        eta=eta,
    )
    how = {"n": 3, "negative": "two cats", "steps": 10, "guidance_scale": 3.0, "seed": 4}
    theirs = kakusan.generate(PROMPTS, model=model, eta=eta, show=False, **how)
    assert theirs.shape == (3, 3, 16, 16)
    assert (theirs - ours).abs().max() <= 1e-3
    assert ours.std() > 0.05


def test_an_image_follows_from_its_number_whatever_the_batch(model):
    how = {"model": model, "steps": 2, "seed": 1, "show": False}
    whole = kakusan.generate(PROMPTS, n=5, **how)
    torch.testing.assert_close(kakusan.generate(PROMPTS, n=5, batch=2, **how), whole, atol=1e-4, rtol=0)
    torch.testing.assert_close(kakusan.generate(PROMPTS, n=2, **how), whole[:2], atol=1e-4, rtol=0)
    assert not torch.allclose(whole[0], whole[3])  # of the same prompt, and of other noise


def test_it_draws_as_its_run_was_configured_unless_told_otherwise(model):
    asked = stable_diffusion.asked(model, Request(("a red circle",), n=1))
    assert (asked.steps, asked.guidance) == (10, 3.0)


def test_words_that_no_caption_held_and_long_prompts_are_named(model):
    remarks = stable_diffusion.asked(
        model, Request(("a red zebra " + "and a circle " * 9,), n=1, negative="snow")
    ).remarks()
    assert any("no caption that was learned from says zebra" in it and "snow" in it for it in remarks)
    assert any("longer than the text encoder reads at once, and read in" in it for it in remarks)


def test_an_empty_prompt_is_drawn_and_named(model):
    (remark,) = stable_diffusion.asked(model, Request((" ", "a red circle"), n=2)).remarks()
    assert remark == "a prompt is empty: pictures of it are of anything"


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"steps": 101}, "steps must be at most 100 for .*, not 101"),
        ({"guidance": 0.5}, "guidance must be 1, which is plainly conditional, or more, not 0.5"),
        ({"guidance": 1.0, "negative": "snow"}, "at 1 there is none"),
        ({"eta": 1.5}, "eta must lie between 0, which is no noise on the way, and 1, which is DDPM's, not 1.5"),
        ({"batch": 0}, "batch must be at least 1 image"),
        ({"n": 0}, "n must be at least 1 image"),
        ({"prompts": ()}, "nothing is asked for"),
    ],
)
def test_what_cannot_be_drawn_is_refused(model, how, message):
    with pytest.raises(KakusanError, match=message):
        stable_diffusion.asked(model, Request(**{"prompts": ("a red circle",), "n": 1, **how}))


def test_what_is_no_such_pipeline_is_refused(places, tmp_path):
    with pytest.raises(KakusanError, match="there is no model nowhere"):
        stable_diffusion.opened("nowhere")
    with pytest.raises(KakusanError, match="is a run of ours"):
        stable_diffusion.opened(str(places[0].path))
    with pytest.raises(KakusanError, match="is no pipeline of diffusers"):
        stable_diffusion.opened(str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "DDIMPipeline"}')
    with pytest.raises(KakusanError, match="is a DDIMPipeline, and what draws here is a StableDiffusionPipeline or"):
        stable_diffusion.opened(str(tmp_path))
