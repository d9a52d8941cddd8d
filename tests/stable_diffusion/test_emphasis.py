"""Brackets of prompts: what counts more, and by how much."""

import pytest

from kakusan.errors import KakusanError
from kakusan.stable_diffusion.emphasis import MORE, fragments, plain


def told(prompt):
    return [(it.text, round(it.weight, 6)) for it in fragments(prompt)]


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a red circle", [("a red circle", 1)]),
        ("", [("", 1)]),
        ("a (red:1.3) circle", [("a ", 1), ("red", 1.3), (" circle", 1)]),
        ("a (red) circle", [("a ", 1), ("red", MORE), (" circle", 1)]),
        ("a [red] circle", [("a ", 1), ("red", round(1 / MORE, 6)), (" circle", 1)]),
        ("((red))", [("red", round(MORE**2, 6))]),
        ("(a (red:2) circle:0.5)", [("a ", 0.5), ("red", 1), (" circle", 0.5)]),
        ("(red: 1.5 )", [("red", 1.5)]),
        ("(red: a colour)", [("red: a colour", MORE)]),
        ("(red:1)", [("red", 1)]),
        ("(a:0) b", [("a", 0), (" b", 1)]),
        (r"a \(red\) circle\\", [("a (red) circle\\", 1)]),
        ("a\\b", [("a\\b", 1)]),
        ("()x", [("x", 1)]),
        ("a [ ] cat", [("a   cat", 1)]),
        ("( :0.5)cat", [(" cat", 1)]),
        ("[ ]", [(" ", 1)]),
    ],
)
def test_fragments_are_what_the_brackets_say(prompt, parts):
    assert told(prompt) == parts
    assert plain(prompt) == "".join(text for text, _ in parts)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("a (red circle", r"bracket \( at position 3 of 'a \(red circle' is without its other one \(close it"),
        ("a red) circle", r"bracket \) at position 6"),
        ("a (red] circle", r"bracket \] at position 7"),
        ("((red)", r"bracket \( at position 1"),
        ("(red:-1)", "the weight before position 8 of .* must be 0 or more, not -1"),
        ("(red:1e999)", "must be 0 or more, not 1e999"),
    ],
)
def test_a_bracket_without_its_other_one_is_named_by_its_position(prompt, message):
    with pytest.raises(KakusanError, match=message):
        fragments(prompt)
