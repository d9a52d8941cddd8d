"""The page of runs side by side says what is there, and calls nothing better that is not."""

import pytest

from kakusan.commands import main
from kakusan.reporting.comparison import render
from kakusan.reporting.language import language, languages
from kakusan.results import Comparison, Judgement, Measurement, Side
from tests.reporting.pages import Page


def judgement(distance, spread=0.1):
    return Judgement(
        frechet_distance=distance,
        frechet_distance_spread=spread,
        frechet_distance_interval=(distance - spread, distance + spread),
        noise_floor=0.5,
        noise_floor_spread=0.1,
        class_accuracy=None,
        classifier_accuracy=1.0,
        seconds=1.0,
    )


def side(run, distance=None, **more):
    values = {"differs": {"seed": run}, "images": 10, "loss": 0.5, "held_out_loss": None, "measurements": {}}
    judged = None if distance is None else judgement(distance)
    return Side(run=run, judgement=judged, **{**values, **more})


def _words(text):
    return Page(text).words


def page(*sides, books=None, code="en", notes=()):
    return render(language(code), Comparison(sides=sides, notes=notes), books or {it.run: [] for it in sides})


@pytest.mark.parametrize("code", languages())
def test_every_number_is_on_the_page(code):
    fid = Measurement(metric="fid", value=12.3, interval=(11.0, 13.5))
    text = Page(page(side("a", 1.25, measurements={"fid": fid}), side("b", 4.5), code=code)).words
    for told in ("1.25", "4.50", "12.3", "11.0", "13.5"):
        assert told in text


def test_the_best_is_called_so_only_beyond_doubt():
    assert "a is best by Fréchet distance, at 1.00, beyond doubt" in Page(page(side("a", 1.0), side("b", 2.0))).words
    alike = Page(page(side("a", 1.0), side("b", 1.1))).words
    assert "not beyond the doubt" in alike
    assert "2 runs side by side" in Page(page(side("a"), side("b", 1.0))).words


def test_curves_of_all_runs_share_a_chart():
    lines = [{"images": 10 * i, "loss": 1 / (i + 1), "step": i} for i in range(5)]
    drawn = page(side("a"), side("b"), books={"a": lines, "b": lines[:3]})
    assert drawn.count("<svg") == 1
    assert page(side("a"), side("b")).count("<svg") == 0
    told = [{"images": 10 * i, "step": i, "evaluation": judgement(3.0 - i).as_dict()} for i in range(2)]
    assert page(side("a"), side("b"), books={"a": lines + told, "b": []}).count("<svg") == 2


def test_what_is_not_alike_stands_on_the_page():
    assert "fid was not measured alike" in Page(page(side("a"), side("b"), notes=("fid was not measured alike",))).words


def test_options_of_a_page_need_one(capsys):
    assert main(["compare", "a", "b", "--lang", "en"]) == 2
    assert "say where it goes (-o FILE.html)" in capsys.readouterr().err
