"""The page of a study shows its numbers once, in the order in which they were found."""

import pytest
import torch

from kakusan.reporting.curves import Curve, chart
from kakusan.reporting.experiment import render, spoken, table
from kakusan.reporting.language import Language, language, languages
from kakusan.reporting.quantities import better, doubt, in_words
from kakusan.results import Value
from kakusan.trials import Experiment, Part, Sentence, Trial, as_csv
from tests.reporting.pages import Page

SAY = language("en")


def trial(name, **values):
    return Trial(
        name=name, values={key: it if isinstance(it, Value) else Value(value=it) for key, it in values.items()}
    )


def experiment(*parts):
    first = Sentence("study.schedules.cost", {"low": 1, "high": 2, "score_low": 3, "score_high": 4})
    return Experiment(
        "schedules", "digits", "quick", (first, first), parts, remarks=("few",), seconds=3.0, machine="CPU × 2"
    )


def part(*trials, **more):
    found = Sentence("study.schedules.cost", {"low": 1, "high": 2, "score_low": 3, "score_high": 4})
    return Part("compared", found, trials, **more)


def test_what_real_images_score_is_said_once_where_it_is_one():
    alike = table(SAY, part(*(trial(name, distance=Value(value=2.0, real=0.5)) for name in "ab")))
    assert Page(alike).words.count("0.500") == 1
    assert "tfoot" in alike
    apart = table(
        SAY, part(*(trial(name, distance=Value(value=2.0, real=real)) for name, real in zip("ab", (1, 3), strict=True)))
    )
    assert "(real 1.00)" in Page(apart).words
    assert "(real 3.00)" in Page(apart).words
    assert "tfoot" not in apart


def test_a_trial_without_a_quantity_has_an_empty_place():
    drawn = table(SAY, part(trial("a", distance=1.0, score=2.0), trial("b", distance=3.0)))
    assert drawn.count("<td>") == 4


def test_what_trials_are_drawn_against_is_in_their_names():
    drawn = table(SAY, part(trial("w = 1", guidance=1.0, distance=5.0), across="guidance"))
    assert "guidance scale" not in drawn


@pytest.mark.parametrize("code", languages())
def test_names_of_trials_are_translated_and_others_stay(code):
    words = Page(
        render(language(code), experiment(part(trial("cosine", distance=1.0), trial("mine", distance=2.0))))
    ).words
    assert "mine" in words
    assert language(code)("trial.cosine") in words


def test_a_page_has_a_chart_of_each_quantity_that_two_trials_have():
    trials = [trial(str(n), n=n, distance=Value(value=1.0 / n, real=2.0 / n), score=1.0) for n in (1, 2)]
    drawn = render(SAY, experiment(part(*trials, charts=("distance", "accuracy"), across="n", growing=True)))
    assert drawn.count("<svg") == 1
    assert "real images" in Page(drawn).words


def test_pictures_have_a_row_a_trial():
    rows = {"cosine": torch.zeros(3, 1, 8, 8), "linear": torch.ones(3, 1, 8, 8)}
    assert render(SAY, experiment(part(trial("cosine", distance=1.0), pictures=rows))).count("<img") == 2


def test_sentences_inside_sentences_are_said_first():
    say = Language("en", {"outer": "the best is {best}", "inner": "cosine"})
    assert spoken(say, Sentence("outer", {"best": Sentence("inner")})) == "the best is cosine"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("accuracy", 0.5, "50.0 %"), ("distance", 0.5, "0.500"), ("seconds", 0.002, "2.00 ms"), ("nfe", 1000, "1,000")],
)
def test_quantities_are_written_as_people_write_them(name, value, words):
    assert in_words(SAY, name, value).replace("\N{NO-BREAK SPACE}", " ") == words
    assert doubt(SAY, name, Value(value=value)) == ""
    told = doubt(SAY, name, Value(value=value, interval=(value, value))).replace("\N{NO-BREAK SPACE}", " ")
    assert told == f"{words} to {words}"


def test_which_is_better():
    assert better("accuracy") is max
    assert better("fid") is better("held_out_loss") is min


def test_two_numbers_differ_beyond_doubt_where_their_ranges_do_not_meet():
    one, other = Value(value=1, interval=(0.5, 1.5)), Value(value=2, interval=(1.4, 2.6))
    assert not one.beyond(other)
    assert not other.beyond(one)
    assert one.beyond(Value(value=2, interval=(1.6, 2.4)))
    assert not one.beyond(Value(value=9))  # of which nobody knows how sure it is


def test_more_lines_than_styles_are_drawn():
    many = [Curve(str(i), [1, 2], [Value(value=i), Value(value=i + 1)]) for i in range(8)]
    assert chart("many", many, x="x", y="y").count("<svg") == 1


def test_a_table_has_no_empty_numbers():
    text = as_csv(
        experiment(part(trial("a", distance=Value(value=1.5, interval=(1, 2), real=0.5)), trial("b", score=2)))
    )
    assert text.splitlines() == [
        "part,trial,quantity,value,low,high,real,protocol",
        "compared,a,distance,1.5,1.0,2.0,0.5,",
        "compared,b,score,2.0,,,,",
    ]


def test_a_page_says_how_every_trial_was_measured():
    """What those that were judged share once, the rest by trial; one that was not judged takes nothing away."""
    alike = {"features": "classifier", "n": 10, "sampler": "ddim"}
    rows = [
        trial("ten", distance=1.0).model_copy(update={"protocol": {**alike, "steps": 10}}),
        trial("fifty", distance=1.0).model_copy(update={"protocol": {**alike, "steps": 50}}),
        trial("timed", seconds=1.0).model_copy(update={"protocol": {"seconds": {"rounds": 3}}}),
    ]
    words = Page(render(SAY, experiment(part(*rows)))).words
    assert words.count("classifier") == 1
    for told in ("steps 10", "steps 50", "seconds rounds 3"):
        assert told in words
