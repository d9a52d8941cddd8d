"""Whatever scheduler of diffusers walks, an image follows from its own seed; and what it cannot do is refused."""

import pytest
import torch

import kakusan
from kakusan import stable_diffusion
from kakusan.config import names
from kakusan.errors import KakusanError
from kakusan.stable_diffusion import Request
from kakusan.stable_diffusion.schedulers import scheduler_of

pytest.importorskip("diffusers")
pytest.importorskip("transformers")

PROMPTS = ["a red circle", "a blue star", "a green square"]


@pytest.fixture(scope="module")
def model():
    return stable_diffusion.opened("mini", "cpu")


@pytest.mark.parametrize("name", names.SCHEDULERS)
def test_an_image_of_a_batch_is_the_same_alone(model, name):
    how = {"model": model, "scheduler": name, "steps": 4, "seed": 2, "show": False}
    batch = kakusan.generate(PROMPTS, n=3, **how)
    assert batch.isfinite().all()
    torch.testing.assert_close(kakusan.generate(PROMPTS, n=3, batch=1, **how), batch, atol=2e-3, rtol=0)
    assert not torch.allclose(batch[0], batch[1], atol=0.1)


@pytest.mark.parametrize("name", names.SCHEDULERS)
def test_the_chain_and_the_prediction_are_the_models_own(model, name):
    made, own = scheduler_of(model.pipe.scheduler, name, "mini"), model.pipe.scheduler
    assert type(made) is names.load(names.SCHEDULERS[name])
    assert made.config["prediction_type"] == own.config["prediction_type"] == "v_prediction"
    torch.testing.assert_close(made.betas, own.betas)
    assert "\n" not in names.SCHEDULERS[name].description


def test_a_scheduler_leaves_the_models_own_as_it_was(model):
    before = kakusan.generate("a red circle", model=model, n=1, steps=2, show=False)
    kakusan.generate("a red circle", model=model, n=1, steps=2, scheduler="euler", show=False)
    assert torch.equal(kakusan.generate("a red circle", model=model, n=1, steps=2, show=False), before)


def test_a_picture_is_of_the_size_that_is_asked_for(model):
    images = kakusan.generate("a red circle", model=model, n=1, steps=1, height=40, width=24, show=False)
    assert images.shape == (1, 3, 40, 24)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"scheduler": "eulr"}, "unknown scheduler 'eulr': did you mean 'euler'"),
        ({"scheduler": "euler", "eta": 0.5}, "eta 0.5 is not heeded by the scheduler euler"),
        (
            {"scheduler": "ddim", "eta": 2.0},
            "eta must lie between 0, which is no noise on the way, and 1, which is DDPM's, not 2",
        ),
        ({"height": 30}, r"height must be a multiple of 8 pixels, not 30 \(24 or 32\)"),
        ({"width": 0}, r"width must be a multiple of 8 pixels, not 0 \(8, say\)"),
    ],
)
def test_what_cannot_be_walked_is_refused(model, how, message):
    with pytest.raises(KakusanError, match=message):
        stable_diffusion.asked(model, Request(("a red circle",), n=1, **how))


def test_a_scheduler_that_does_not_know_how_a_model_was_trained_is_refused(model):
    own = type(model.pipe.scheduler).from_config(model.pipe.scheduler.config, prediction_type="sample")
    with pytest.raises(KakusanError, match="mini was trained with prediction_type=sample, which the scheduler pndm"):
        scheduler_of(own, "pndm", "mini")
