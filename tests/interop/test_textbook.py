"""A model from a textbook walks here as it walks there, and its checkpoints load."""

import pytest
import torch

import kakusan
from kakusan import grids, schedules
from kakusan.condition import Condition
from kakusan.config.names import SAMPLERS
from kakusan.denoiser import Bind, Denoiser
from kakusan.errors import KakusanError
from kakusan.guidance import ClassifierFree, Clip
from kakusan.interop.textbook import classifier_free_guidance, denoiser_from_textbook
from kakusan.networks import SimpleUNet
from kakusan.objective import TimeSampling, denoising_loss
from kakusan.parametrization import Epsilon
from kakusan.samplers import ddim, ddpm, heun
from tests import textbook
from tests.oracles import last, seeded_noise

STEPS = 50
CHAIN = schedules.linear(STEPS, 0.002, 0.4)
X = torch.randn(3, 2, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return textbook.Table(STEPS, 2).double()


@pytest.mark.parametrize("scale", [0.0, 1.0, 7.5])
def test_guidance_of_one_step_is_that_of_the_walk(scale):
    """The textbook's function, beside the denoiser."""
    rows = torch.randn(4, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def model(x, t, told):
        return x * (t + 1)[:, None, None, None] + rows[told]

    class Network(torch.nn.Module):
        def forward(self, x, clock, condition):
            return model(x, clock.round().long(), condition.labels % 4)  # -1, no class, is the last row

    t, labels = torch.full((3,), 20), torch.tensor([0, 1, 2])
    theirs = classifier_free_guidance(model, X, t, labels, torch.full((3,), 3), scale)
    denoiser = Denoiser(Network(), CHAIN, Epsilon())
    ours = ClassifierFree(denoiser, Condition(labels=labels), scale)(X, CHAIN.index_to_time(t.double()))
    torch.testing.assert_close(ours.epsilon, theirs, rtol=1e-9, atol=1e-9)


def test_ddpm_is_the_textbooks_loop(model):
    """Same noise, same pictures, over the whole chain."""
    theirs = textbook.DDPM(CHAIN.betas).p_sample_loop(model, X, seeded_noise(1))
    denoiser = denoiser_from_textbook(model, CHAIN.betas)
    ours = last(ddpm(denoiser, X, grids.trailing(denoiser.schedule, STEPS), noise=seeded_noise(1)))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_long_chain_of_single_precision_is_walked_alike():
    """A thousand steps with tables in float32, as a textbook has them."""
    torch.manual_seed(0)
    model, betas = textbook.Table(1000, 2), torch.linspace(1e-4, 0.02, 1000)
    theirs = textbook.DDPM(betas).p_sample_loop(model, X.float(), seeded_noise(1))
    denoiser = denoiser_from_textbook(model, betas)
    ours = last(ddpm(denoiser, X.float(), grids.trailing(denoiser.schedule, 1000), noise=seeded_noise(1)))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampler", [ddpm, ddim, heun])
@pytest.mark.parametrize("grid", [grids.trailing, grids.leading])
@pytest.mark.parametrize("steps", [1, 7, STEPS])
def test_every_sampler_visits_steps_that_the_model_knows(model, sampler, grid, steps):
    denoiser = denoiser_from_textbook(model, CHAIN.betas)
    assert last(sampler(denoiser, X, grid(denoiser.schedule, steps), noise=seeded_noise(1))).isfinite().all()


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("wrapped", [lambda denoiser: denoiser, Clip, lambda denoiser: Clip(Bind(denoiser))])
def test_every_sampler_walks_unless_told_otherwise_by_whole_steps(model, sampler, wrapped):
    denoiser = denoiser_from_textbook(model, CHAIN.betas)
    times = [float(step.t) * STEPS for step in kakusan.walk(wrapped(denoiser), sampler=sampler, shape=(2, 8, 8))]
    assert times == pytest.approx([round(time) for time in times])
    with pytest.raises(KakusanError, match="use the grid trailing or leading"):
        kakusan.sample(wrapped(denoiser), sampler=sampler, grid="karras", steps=5, shape=(2, 8, 8))


def test_times_between_two_steps_are_refused(model):
    denoiser = denoiser_from_textbook(model, CHAIN.betas)
    sentence = r"knows whole steps of its chain only, not \d+\.\d+ \(use the grid trailing or leading\)"
    with pytest.raises(KakusanError, match=sentence):
        last(heun(denoiser, X, grids.karras(denoiser.schedule, 5)))


def test_a_gradient_reaches_every_step_that_training_visits(model):
    """Its times are whole steps, too, and over a pass of all of them none of the table's rows is left out."""
    denoiser = denoiser_from_textbook(model, CHAIN.betas)
    t = TimeSampling()(denoiser.schedule, (torch.arange(STEPS, dtype=torch.float64) + 0.5) / STEPS)
    x0, epsilon = torch.randn(2, STEPS, 2, 8, 8, dtype=torch.float64)
    denoising_loss(denoiser, x0, t, epsilon).sum().backward()
    assert (model.time.weight.grad.abs().max(dim=1).values > 1e-3).all()


def test_a_checkpoint_of_the_textbooks_unet_loads_and_gives_the_same_output():
    torch.manual_seed(0)
    theirs, ours = textbook.UNet(3, 16, 16), SimpleUNet(3, 3, 16, 16)
    ours.load_state_dict(theirs.state_dict())
    x, t = torch.randn(2, 3, 16, 8), torch.tensor([0, 700])
    torch.testing.assert_close(ours(x, t), theirs(x, t), rtol=1e-5, atol=1e-5)
