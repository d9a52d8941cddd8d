"""What was measured while a run trained is drawn as it is, and called best when it is."""

import pytest

from kakusan.reporting.language import language, languages
from kakusan.reporting.sections import measured
from tests.reporting.pages import Page
from tests.reporting.test_comparison import judgement

SAY = language("en")


def lines(*distances, every=1000):
    told = [{"step": i, "images": every * (i + 1), "loss": 0.5} for i in range(len(distances))]
    return told + [
        {"step": i, "images": every * (i + 1), "evaluation": judgement(distance).as_dict()}
        for i, distance in enumerate(distances)
    ]


def test_nothing_is_shown_of_a_run_that_was_not_measured():
    assert measured.section(SAY, []) is None
    assert measured.section(SAY, lines(2.0)) is None


def test_what_somebody_measured_afterwards_is_no_part_of_the_curve():
    """`kakusan evaluate` writes lines too, without a moment of the training."""
    afterwards = [{"evaluation": judgement(1.0).as_dict()}]
    assert measured.along(lines(3.0, 2.0) + afterwards) == measured.along(lines(3.0, 2.0))


@pytest.mark.parametrize("code", languages())
def test_every_quantity_has_a_panel(code):
    of = measured.section(language(code), lines(3.0, 2.0))
    assert of.figure.content.count("<svg") == 1
    published = [
        {"images": 10 * i, "measurements": [{"metric": name, "value": 3.0 - i} for name in ("fid", "is")]}
        for i in range(2)
    ]
    of = measured.section(language(code), published)
    assert of.figure.content.count("<svg") == 2
    assert "FID" in Page(of.figure.content).words


@pytest.mark.parametrize(
    ("distances", "said"),
    [
        ((3.0, 2.0, 1.0), "went from 3.00 to 1.00 while training, and is best now"),
        ((3.0, 1.0, 2.0), "was best, 1.00, after 2,000 images, and is 2.00 now"),
    ],
)
def test_it_is_said_whether_samples_still_get_better(distances, said):
    assert said in measured.section(SAY, lines(*distances)).figure.title


def test_of_a_score_more_is_better():
    told = [{"images": i, "measurements": [{"metric": "is", "value": float(i)}]} for i in (1, 2)]
    assert "is best now" in measured.section(SAY, told).figure.title


def test_a_damaged_line_is_passed_over():
    broken = [{"images": 5, "evaluation": {"frechet_distance": "far"}}, {"images": 6, "measurements": [{"metric": 5}]}]
    assert measured.along(broken + lines(2.0, 1.0)) == measured.along(lines(2.0, 1.0))
