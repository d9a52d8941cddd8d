"""A mistake is told in one sentence."""

import pytest

from kakusan.errors import KakusanError, counted, some, unknown


def test_a_mistake_is_a_value_error():
    """Who does not know this library catches it all the same."""
    with pytest.raises(ValueError, match=r"^T is 0$"):
        raise KakusanError("T is 0")


def test_an_unknown_name_is_answered_with_the_nearest():
    error = unknown("sampler", "dimm", ["heun", "ddpm", "ddim"])
    assert isinstance(error, KakusanError)
    assert str(error) == "unknown sampler 'dimm': did you mean 'ddim'? known are ddim, ddpm, heun"


@pytest.mark.parametrize("name", ["ddmi", "didm", "dimd"])
def test_letters_that_changed_places_are_the_likeliest_mistake(name):
    assert "did you mean 'ddim'?" in str(unknown("sampler", name, ["ddim", "ddpm", "heun"]))


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [("DDIM", ["ddim", "heun"], "ddim"), ("digits", ["Digits"], "Digits"), ("--setps", ["--steps", "--n"], "--steps")],
)
def test_capitals_do_not_hide_the_nearest(name, known, nearest):
    assert f"did you mean {nearest!r}?" in str(unknown("thing", name, known))


def test_the_dashes_of_options_make_them_no_nearer():
    assert str(unknown("option", "--gpu", ["--run"])) == "unknown option '--gpu': known are --run"


def test_a_name_like_no_other_is_answered_with_all():
    names = (name for name in ["b", "a"])
    assert str(unknown("sampler", "euler", names)) == "unknown sampler 'euler': known are a, b"


def test_one_is_singular():
    assert [counted(count, "step") for count in (0, 1, 2, 1797)] == ["0 steps", "1 step", "2 steps", "1,797 steps"]


def test_some_names_are_told_and_the_rest_counted():
    assert some(["a", "b"], 2) == "a, b"
    assert some(["a", "b", "c"], 2, "; ") == "a; b and 1 more"
    assert some([str(i) for i in range(2000)], 1) == "0 and 1,999 more"
