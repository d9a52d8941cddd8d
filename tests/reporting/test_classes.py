"""The page calls a class less covered only where that is no chance, and never fails to where it is none."""

from kakusan.reporting.language import language
from kakusan.reporting.sections.classes import finding
from kakusan.results import OfClass

SAY = language("en")


def of(name, coverage, real_coverage=0.95, *, n=50, real_n=90):
    rest = {"share": 0.1, "real_share": 0.1, "accuracy": None, "frechet_distance": None, "noise_floor": None}
    return OfClass(name=name, n=n, real_n=real_n, coverage=coverage, real_coverage=real_coverage, **rest)


def test_a_class_that_is_never_drawn_is_covered_least():
    assert "cat" in finding(SAY, [of("dog", 0.94), of("cat", 0.0, n=0)])


def test_a_difference_that_chance_explains_is_none():
    none = SAY("classes.none")
    assert finding(SAY, [of("dog", 0.94), of("cat", 0.9)]) == none
    few, many = of("cat", 0.6, 1.0, real_n=5), of("dog", 0.7, 1.0, real_n=500)
    assert "dog" in finding(SAY, [few, many]), "not hidden by a larger difference that chance explains"


def test_books_that_do_not_say_of_how_many_prove_nothing():
    assert finding(SAY, [of("dog", 0.94, real_n=0), of("cat", 0.0, real_n=0)]) == SAY("classes.uncounted")
