"""Samplers are compared as far as their numbers go, and no further."""

import re

import pytest

from kakusan.config.names import SAMPLERS
from kakusan.reporting.language import language, languages
from kakusan.reporting.sections import samplers
from kakusan.results import Measured, SamplerResult
from tests.reporting.pages import MEASURED

SAY = language("en")


def row(name="ddim", steps=10, seconds=1.0, images=898, accuracy=0.98, nfe=None, distance=None):
    counts = {"steps": steps, "nfe": nfe or steps, "images": images}
    return SamplerResult(name=name, seconds=seconds, class_accuracy=accuracy, frechet_distance=distance, **counts)


LONG = row("ddpm", 1000, seconds=50.0, images=100, accuracy=0.98)


def finding(rows):
    return samplers.finding(SAY, rows).replace("\N{NO-BREAK SPACE}", " ")


def words(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_the_quickest_sampler_that_is_as_accurate_wins():
    rows = [LONG, row(steps=50, seconds=44.9), row(steps=10, seconds=8.98), row(steps=2, seconds=1.8, accuracy=0.5)]
    assert finding(rows) == "DDIM with 10 steps is as accurate as DDPM with 1,000 steps, and 50.0 times faster"


def test_no_sampler_is_called_as_accurate_when_none_is():
    found = finding([LONG, row(seconds=8.98, accuracy=0.5)])
    assert found.startswith("No quicker sampler is as accurate as DDPM with 1,000 steps: DDIM with 10 steps")
    assert "50.0 % of the classes right, not 98.0 %" in found


def test_without_accuracies_none_is_claimed():
    found = finding([LONG, row(seconds=8.98, accuracy=None)])
    assert found.endswith("50.0 times faster than DDPM with 1,000 steps; how accurate the two are was not measured")


def test_a_sampler_alone_is_told_by_its_time():
    assert finding([row(seconds=8.98)]) == "DDIM with 10 steps takes 10.0 ms an image"


def test_speed_is_measured_an_image_and_not_a_batch():
    slower = row(steps=10, seconds=9.0, images=10)
    assert finding([LONG, slower]) == "DDPM with 1,000 steps takes 500 ms an image"


@pytest.mark.parametrize(("images", "same"), [(100, True), (100_000, False)])
def test_more_images_tell_smaller_differences_apart(images, same):
    assert samplers.as_accurate(row(images=images, accuracy=0.97), row(images=images, accuracy=0.98)) is same
    assert samplers.as_accurate(row(images=images, accuracy=0.98), row(images=images, accuracy=0.97))


def test_a_distance_that_was_not_taken_says_why():
    assert samplers.why_no_distance(SAY, LONG, 898) == (
        "No distance for DDPM with 1,000 steps: a distance takes 898 images, and 100 were drawn."
    )
    assert samplers.why_no_distance(SAY, row(), 898) == "No distance for DDIM with 10 steps: it was left for later."


def test_the_table_says_how_many_times_faster_each_is_and_how_far_a_distance_spreads():
    rows = [LONG, row(seconds=8.98, distance=0.6918).model_copy(update={"frechet_distance_interval": (0.61, 0.78)})]
    floor = {"noise_floor": 0.66, "noise_floor_spread": 0.07, "classifier_accuracy": 1.0, "protocol": {"n": 898}}
    judgement = MEASURED.judgement.model_copy(update=floor)
    measured = Measured(samplers=tuple(rows), judgement=judgement, machine="a machine")
    table = samplers.section(SAY, measured).more.replace("\N{NO-BREAK SPACE}", " ")
    rows = re.findall(r"(?s)<tr>.*?</tr>", table)
    cells = [
        [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in re.findall(r"(?s)<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]
    assert cells[1:] == [
        ["DDPM 1,000 steps", "1,000", "500 ms", "98.0 %", "not measured"],
        ["DDIM 10 steps", "10", "10.0 ms 50.0× as fast", "98.0 %", "0.692 0.610 to 0.780"],
        ["Real images", "", "", "100.0 %", "0.660 ± 0.070"],
    ]


@pytest.mark.parametrize("code", languages())
def test_how_much_faster_ddim_is_than_ddpm_is_said_an_image(code):
    """500 ms an image of the whole chain against 37 of the longer walk of DDIM, whatever else was timed."""
    rows = [row(steps=10, seconds=0.1), row(steps=50, seconds=37.0, images=1000), LONG, row("heun", seconds=0.1)]
    said = samplers.speed_up(language(code), rows).replace("\N{NO-BREAK SPACE}", " ")
    for number in ("1,000", "50", "500", "37.0", "13.5"):
        assert number in re.findall(r"[\d.,]*\d", said)
    assert samplers.speed_up(language(code), rows[1:2]) == samplers.speed_up(language(code), rows[2:]) == ""


def test_a_panel_is_drawn_for_each_quantity_that_was_measured():
    rows = [row(distance=20.0), row("heun", accuracy=None)]
    drawn = samplers.curves(SAY, rows, 17.0, 0.5)
    assert drawn.count("<svg") == 2
    assert "DDIM 10" in words(drawn)
    assert "Heun 10" not in words(drawn)
    assert samplers.curves(SAY, rows[1:], 17.0, 0.5) == ""


def test_names_are_those_of_the_authors_and_unknown_ones_stay():
    names = [samplers.label(SAY, row(name, steps=1)) for name in (*SAMPLERS, "my sampler")]
    assert {"DDPM with 1 step", "DDIM with 1 step", "Heun with 1 step", "my sampler with 1 step"} <= set(names)


def test_nothing_measured_has_no_section():
    assert samplers.section(SAY, Measured()) is None
