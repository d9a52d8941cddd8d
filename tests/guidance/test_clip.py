"""Guidance by CLIP: the gradient of a score, against a closed form; and what is refused."""

import pytest
import torch

import kakusan
from kakusan.denoiser import Prediction
from kakusan.errors import KakusanError
from kakusan.guidance import CLIPGuidance
from kakusan.matcher import Matcher
from kakusan.networks import CLIP, ImageEncoder, TextEncoder
from kakusan.schedules import RectifiedFlow, cosine
from kakusan.words import found_in
from tests import oracles, tiny
from tests.networks.randomised import randomised

T = torch.tensor(0.5, dtype=torch.float64)


def test_a_gaussian_led_by_a_linear_score_is_a_gaussian_elsewhere():
    """Data that are N(m, C), times exp(a·x_0), are N(m + C a, C): the prediction that is led is that of these."""
    schedule, slope = cosine(), torch.tensor([0.7, -1.2], dtype=torch.float64)
    plain = oracles.Gaussian(schedule)
    led = CLIPGuidance(plain, lambda x0: x0 @ slope, 1.0)
    elsewhere = oracles.Gaussian(schedule, plain.mean + plain.covariance @ slope)
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for t in (0.1, 0.5, 0.9):
        at = torch.tensor(t, dtype=torch.float64)
        torch.testing.assert_close(led(x, at).x0, elsewhere(x, at).x0, atol=1e-9, rtol=0)


def test_what_it_says_makes_up_the_noisy_image():
    led = CLIPGuidance(oracles.Gaussian(cosine()), lambda x0: x0.square().sum(1), 3.0)
    x = torch.randn(3, 2, dtype=torch.float64)
    found = led(x, T)
    assert torch.allclose(found.alpha * found.x0 + found.sigma * found.epsilon, x)
    assert not found.x0.requires_grad
    assert torch.equal(CLIPGuidance(led.denoise, led.score, 0.0)(x, T).x0, led.denoise(x, T).x0)


@pytest.mark.parametrize("schedule", [cosine(), RectifiedFlow()])
def test_where_all_is_noise_it_leads_only_so_far(schedule):
    class Heeds:  # more than an exact denoiser would: its picture is half of the noise
        def __call__(self, x, t):
            return Prediction.from_x0(x, 0.5 * x, *schedule(t))

    Heeds.schedule = schedule
    led = CLIPGuidance(Heeds(), lambda x0: x0.sum(1), 1.0)
    x = torch.randn(3, 2, dtype=torch.float64)
    found = led(x, torch.tensor(1.0, dtype=torch.float64))
    assert (found.x0 - 0.5 * x).abs().max() <= 5 + 1e-9  # σ²/0.1 of the gradient ½


@pytest.fixture(scope="module")
def matcher():
    words = found_in(["a red circle", "a blue star"], 520, 8)
    text = TextEncoder(len(words), length=8, width=12, layers=1, heads=2)
    image = ImageEncoder(1, size=8, patch=4, width=12, layers=1, heads=2)
    return Matcher(randomised(CLIP(text, image, 6)).eval(), (1, 8, 8), words)


def test_a_walk_goes_where_a_clip_leads_it(matcher):
    model = tiny.model(shape=(1, 8, 8), classes=())
    how = {"n": 3, "steps": 5, "prompt": "a red circle", "seed": 0}
    agreed = []
    for scale in (0.0, 30.0):
        images = kakusan.sample(model, clip=matcher, clip_scale=scale, **how)
        agreed.append(matcher.agreement(images, ["a red circle"] * 3).mean().item())
    assert agreed[1] > agreed[0]
    assert torch.equal(kakusan.sample(model, n=3, steps=5), kakusan.sample(model, clip=matcher, clip_scale=0.0, **how))


def test_each_image_has_its_own_prompt_in_every_chunk(matcher):
    model = tiny.model(shape=(1, 8, 8), classes=())
    prompts, how = ["a red circle", "a blue star", "a red circle"], {"n": 3, "steps": 3, "clip_scale": 100.0}
    whole = kakusan.sample(model, clip=matcher, prompt=prompts, **how)
    parts = kakusan.sample(model, clip=matcher, prompt=prompts, batch=2, **how)
    assert torch.allclose(whole, parts, atol=1e-5)
    other = kakusan.sample(model, clip=matcher, prompt=prompts[::-1], **how)
    assert torch.allclose(whole[0], other[0], atol=1e-5)
    other = kakusan.sample(model, clip=matcher, prompt=["a blue star"] * 3, **how)
    assert not torch.allclose(whole[0], other[0], atol=1e-3)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({}, "a CLIP leads to what a prompt says: give prompt"),
        ({"prompt": ["a"]}, "a CLIP leads 3 images by one caption each, or one for all, not 1"),
    ],
)
def test_a_clip_without_captions_is_refused(matcher, how, said):
    with pytest.raises(KakusanError, match=said):
        kakusan.sample(tiny.model(shape=(1, 8, 8), classes=()), n=3, clip=matcher, **how)


def test_a_clip_of_other_pictures_is_refused(matcher):
    with pytest.raises(KakusanError, match=r"a CLIP of pictures of shape \(1, 8, 8\) does not lead those of shape"):
        kakusan.sample(tiny.model(classes=()), n=1, clip=matcher, prompt="a")
