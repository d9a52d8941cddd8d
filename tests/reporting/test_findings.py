"""A title says what the numbers say: change the numbers and the title changes."""

import math

import pytest
import torch

from kakusan import schedules
from kakusan.reporting import comparison, figures, findings
from kakusan.reporting.comparison import Row


def row(name="ddim", steps=10, seconds=1.0, images=898, accuracy=0.98, nfe=None):
    return Row(name, steps, nfe or steps, seconds, images, accuracy, None)


LONG = row("ddpm", 1000, seconds=50.0, images=100, accuracy=0.98)


def test_distance_is_told_in_units_of_the_noise_floor():
    assert "1.25 times as far" in findings.distance(25.0, 20.0)
    assert "no farther" in findings.distance(20.0, 20.0)


def test_the_quickest_sampler_that_is_as_accurate_wins():
    rows = [LONG, row(steps=50, seconds=44.9), row(steps=10, seconds=8.98), row(steps=2, seconds=1.8, accuracy=0.5)]
    assert comparison.finding(rows) == (
        "DDIM with 10 steps is as accurate as DDPM with 1,000 steps, and 50.0 times faster"
    )


def test_no_sampler_is_called_as_accurate_when_none_is():
    finding = comparison.finding([LONG, row(seconds=8.98, accuracy=0.5)])
    assert finding.startswith("No quicker sampler is as accurate as DDPM with 1,000 steps: DDIM with 10 steps")
    assert "50.0\N{NO-BREAK SPACE}% of the classes right, not 98.0\N{NO-BREAK SPACE}%" in finding


def test_a_sampler_alone_is_told_by_its_time():
    assert comparison.finding([row(seconds=8.98)]) == "DDIM with 10 steps takes 10.0\N{NO-BREAK SPACE}ms an image"


def test_speed_is_measured_an_image_and_not_a_batch():
    slower = row(steps=10, seconds=9.0, images=10)
    assert comparison.finding([LONG, slower]) == "DDPM with 1,000 steps takes 500\N{NO-BREAK SPACE}ms an image"


@pytest.mark.parametrize("share", [0.0, 0.3, 0.98, 1.0])
@pytest.mark.parametrize("images", [1, 100, 10_000])
def test_the_interval_is_wilsons(share, images):
    """Its ends are the shares p from which the measured one lies 1.96 of p's own standard errors away."""
    low, high = row(images=images, accuracy=share).interval
    assert 0 <= low < high <= 1
    for end in (low, high):
        away = 1.96 * math.sqrt(end * (1 - end) / images)
        assert abs(end - share) == pytest.approx(away, abs=1e-7)


@pytest.mark.parametrize(("images", "same"), [(100, True), (100_000, False)])
def test_more_images_tell_smaller_differences_apart(images, same):
    assert comparison.as_accurate(row(images=images, accuracy=0.97), row(images=images, accuracy=0.98)) is same
    assert comparison.as_accurate(row(images=images, accuracy=0.98), row(images=images, accuracy=0.97))


def test_the_picture_is_told_from_where_the_guess_stays_right():
    final = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    guesses = [final, -final, 2 * final + 1, final]
    frames = [(t, final, guess) for t, guess in zip((1.0, 0.7, 0.4, 0.0), guesses, strict=True)]
    assert "From t = 0.40 on" in findings.emergence(frames)
    assert findings.emergence([(0.0, final * 0, final * 0)]) == "A picture takes shape in 1 step"


def test_the_loss_is_told_from_end_to_end():
    images, losses = [100, 200, 300, 400], [1.0, 0.6, 0.55, 0.2]
    assert findings.loss(images, losses) == "The loss fell from 1.00 to 0.200 in 400 images"
    assert findings.half_of_the_fall(images, losses).endswith("half of the fall was over after 200 images.")
    assert "rose from 0.200 to 1.00" in findings.loss(images, losses[::-1])
    assert "fall" not in findings.half_of_the_fall(images, losses[::-1])
    assert findings.loss(images[:1], losses[:1]) == "The loss was 1.00 after 100 images"


@pytest.mark.parametrize("name", figures.SCHEDULES)
def test_half_of_the_signal_is_gone_where_it_is(name):
    bars = getattr(schedules, name)(1000).alphas_cumprod
    assert (bars[figures.half_signal(name) - 1] - 0.5).abs() == (bars - 0.5).abs().min()


def test_schedules_are_told_in_the_order_of_their_haste():
    title = findings.schedules({"slow": 500, "hasty": 200})
    assert title == "Half of the signal is gone after 200 of 1,000 steps of the hasty schedule, the slow one after 500"
