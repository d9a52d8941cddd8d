"""Thresholds keep x_0 in range, and ε still makes up x_t with it."""

from functools import partial

import pytest
import torch

from kakusan.condition import Condition
from kakusan.denoiser import Denoiser, Prediction
from kakusan.guidance import ClassifierFree, Clip, DynamicThreshold
from kakusan.parametrization import X0
from tests.oracles import SCHEDULES, Recorder

TIMES = torch.tensor([0.3, 0.6, 0.9], dtype=torch.float64)
# One image within the range, one a little and one far outside.
SIZES = torch.tensor([0.2, 1.0, 10.0], dtype=torch.float64)
PICTURES = SIZES[:, None, None, None] * torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()


class Fixed:
    """Predicts the same images whatever it is shown."""

    def __init__(self, x0, schedule=SCHEDULES["cosine"]):
        self.x0, self.schedule = x0, schedule

    def __call__(self, x_t, t):
        return Prediction.from_x0(x_t, self.x0, *self.schedule(t))


THRESHOLDS = [Clip, DynamicThreshold, partial(DynamicThreshold, quantile=0.8)]


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES.keys())
@pytest.mark.parametrize("t", [TIMES, TIMES[1]], ids=["a time an image", "one time"])
def test_images_are_in_range_and_the_noise_follows(threshold, schedule, t):
    denoise = threshold(Fixed(PICTURES, schedule))
    x_t = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    prediction = denoise(x_t, t)
    assert prediction.x0.abs().max() <= 1
    alpha, sigma = (coefficient.reshape(-1, 1, 1, 1) for coefficient in schedule(t))
    torch.testing.assert_close(alpha * prediction.x0 + sigma * prediction.epsilon, x_t)
    assert denoise.schedule is schedule


@pytest.mark.parametrize("threshold", [Clip, DynamicThreshold])
def test_images_within_the_range_stay_as_they_are(threshold):
    within = PICTURES.clamp(-1, 1)
    assert torch.equal(threshold(Fixed(within))(within, TIMES).x0, within)


def test_clipping_cuts():
    assert torch.equal(Clip(Fixed(PICTURES))(PICTURES, TIMES).x0, PICTURES.clamp(-1, 1))


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.995, 1.0])
def test_the_quantile_of_an_image_becomes_its_largest_pixel(quantile):
    """Images are scaled one by one: a saturated neighbour does not grey them out."""
    result = DynamicThreshold(Fixed(PICTURES), quantile)(PICTURES, TIMES).x0
    for picture, thresholded in zip(PICTURES, result, strict=True):
        limit = max(1.0, picture.abs().quantile(quantile).item())
        torch.testing.assert_close(thresholded, (picture / limit).clamp(-1, 1), rtol=1e-6, atol=1e-6)


def test_dynamic_thresholding_keeps_contrast_where_clipping_saturates():
    clipped, scaled = (threshold(Fixed(PICTURES))(PICTURES, TIMES).x0[2] for threshold in (Clip, DynamicThreshold))
    assert (clipped.abs() == 1).double().mean() > 0.8
    assert (scaled.abs() == 1).double().mean() < 0.05


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_the_dtype_stays(threshold, dtype):
    """Also where torch knows no quantile."""
    assert threshold(Fixed(PICTURES.to(dtype)))(PICTURES.to(dtype), TIMES).x0.dtype == dtype


def test_clipping_stands_outside_guidance():
    """Two predictions within the range are extrapolated out of it: only the outermost wrapper keeps the promise."""
    network = Recorder(lambda x, clock, condition: condition.labels.to(x)[:, None].expand_as(x))
    denoiser = Denoiser(network, SCHEDULES["cosine"], X0())
    x, condition = torch.zeros(2, 2).double(), Condition(torch.tensor([0, 1]))
    guide = ClassifierFree(denoiser, condition, 3.0)
    assert guide(x, TIMES[0]).x0.tolist() == [[2, 2], [5, 5]]
    assert Clip(guide)(x, TIMES[0]).x0.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("quantile", [0.0, -0.1, 1.1, float("nan")])
def test_a_quantile_outside_its_range_is_refused(quantile):
    with pytest.raises(ValueError, match=rf"must lie in \(0, 1\], not {quantile:g}$"):
        DynamicThreshold(Fixed(PICTURES), quantile)
