"""Guidance is told by what was measured at every scale, and no further."""

import re

import pytest
import torch

from kakusan.reporting.language import language, languages
from kakusan.reporting.sections import guidance
from kakusan.results import GuidanceResult, GuidanceSweep

ENGLISH = language("en")
SCALES = (0.0, 1.0, 2.0, 7.5, 15.0)


def measured(accuracies=(0.1, 0.9, 0.99, 0.99, 0.98), saturated=(0.2, 0.2, 0.3, 0.4, 0.5), **changes):
    scales = zip(SCALES, accuracies, saturated, strict=True)
    told = {
        **{"sampler": "ddim", "steps": 23, "threshold": "clip", "seed": 0, "images": 400},
        **{"real_accuracy": 0.8762, "real_saturated": 0.6},
        "scales": [GuidanceResult(guidance=w, class_accuracy=right, saturated=share) for w, right, share in scales],
    }
    return GuidanceSweep(**{**told, **changes})


def pictures(columns=3):
    return torch.rand(len(SCALES), columns, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_title_names_the_scale_from_which_accuracy_grows_no_more():
    assert guidance.finding(ENGLISH, measured()) == (
        "From guidance 2 on, class accuracy grows by no more than chance explains; "
        "no scale saturates clearly more pixels than real images have"
    )


def test_a_difference_that_chance_explains_is_no_growth():
    few = measured(accuracies=(0.1, 0.95, 1.0, 1.0, 1.0), images=50)
    assert guidance.finding(ENGLISH, few).startswith("From guidance 1 on")


def test_accuracy_that_still_grows_is_not_said_to_have_stopped():
    growing = measured(accuracies=(0.1, 0.3, 0.5, 0.7, 0.9))
    assert guidance.finding(ENGLISH, growing).startswith("Class accuracy grows up to guidance 15;")


def test_a_hair_above_real_images_is_no_saturation():
    alike = measured(saturated=(0.58, 0.582, 0.581, 0.582, 0.582), real_saturated=0.58)
    assert guidance.finding(ENGLISH, alike).endswith("no scale saturates clearly more pixels than real images have")


@pytest.mark.parametrize(("real", "first"), [(0.1, "0"), (0.3, "7.5"), (0.42, "15")])
def test_the_first_scale_that_saturates_more_than_real_images_is_named(real, first):
    assert f"; {first} is the first scale that saturates clearly more" in guidance.finding(
        ENGLISH, measured(real_saturated=real)
    )


@pytest.mark.parametrize("code", languages())
def test_every_scale_has_its_pictures_and_its_numbers(code):
    planted = measured(
        accuracies=(0.123, 0.456, 0.777, 0.888, 0.999),
        saturated=(0.011, 0.022, 0.033, 0.044, 0.055),
        real_saturated=0.4321,
    )
    figure = guidance.section(language(code), planted, pictures()).figure
    content = figure.content.replace("\N{NO-BREAK SPACE}", " ")
    assert re.findall(r'<th scope="row">([\d.]+)</th>', content) == ["0", "1", "2", "7.5", "15"]
    assert content.count("<img ") == len(SCALES) == len(set(re.findall(r'alt="([^"]+)"', content)))
    for number in (*("12.3", "45.6", "77.7", "88.8", "99.9"), *("1.1", "2.2", "3.3", "4.4", "5.5"), "43.2", "87.6"):
        assert f"<td>{number} %</td>" in content
    assert {"400", "23", "255"} <= set(re.findall(r"\d+", figure.caption))
    assert "DDIM" in figure.caption
    assert figure.title in figure.alt


@pytest.mark.parametrize("threshold", ["none", "clip", "dynamic"])
def test_how_pixels_were_kept_in_range_is_said(threshold):
    caption = guidance.section(ENGLISH, measured(threshold=threshold), pictures()).figure.caption
    assert ENGLISH(f"guidance.threshold_{threshold}") in caption


@pytest.mark.parametrize(
    ("classes", "shape", "columns"), [(2, (1, 8, 8), 2), (1000, (1, 8, 8), 10), (10, (3, 256, 256), 2)]
)
def test_a_class_has_a_column_as_far_as_the_page_has_room(classes, shape, columns):
    assert guidance.columns(7, classes, shape) == columns


def test_where_nothing_was_measured_or_drawn_there_is_no_section():
    assert guidance.section(ENGLISH, None, None) is None
    assert guidance.section(ENGLISH, measured(), None) is None
