"""Grids: what a file says is what is tried, and a file that cannot be tried is refused in a sentence."""

import math
import textwrap

import pytest

from kakusan.errors import KakusanError
from kakusan.studies.grid import Grid

WHOLE = """
prompts: ["{detail} circle{place}", "{place} {detail} star"]
phrases:
  detail: [a red, a small blue]
  place: ["", " on the left"]
negatives: [null, blurry]
guidance: [1, 7.5]
steps: [5, 10]
schedulers: [ddim, euler]
models: [mini, elsewhere]
loras: [[], [a.safetensors, b:0.5]]
n: 3
"""


@pytest.fixture
def grid(tmp_path):
    def read(text):
        file = tmp_path / "grid.yaml"
        file.write_text(textwrap.dedent(text), "utf-8")
        return Grid.read(file)

    return read


def test_every_value_meets_every_other_once(grid):
    whole = grid(WHOLE)
    settings = list(whole.settings)
    points = {tuple(it.values.items()) for it in settings}
    assert len(points) == len(settings) == math.prod(map(len, whole.axes.values())) == 512
    for name, values in whole.axes.items():
        assert {it.values[name] for it in settings} == set(values)


def test_phrases_stand_where_the_prompt_has_their_names(grid):
    told = {(it.values["prompts"], it.values["detail"], it.values["place"]): it.prompt for it in grid(WHOLE).settings}
    first, second = grid(WHOLE).prompts
    assert told[first, "a red", ""] == "a red circle"
    assert told[first, "a small blue", " on the left"] == "a small blue circle on the left"
    assert told[second, "a red", " on the left"] == "on the left a red star"


def test_a_phrase_that_looks_like_another_stays_as_it_is(grid):
    told = grid('{prompts: ["{a} {b}"], phrases: {a: ["{b}"], b: ["{a}"]}}')
    assert [it.prompt for it in told.settings] == ["{b} {a}"]


def test_models_and_their_adapters_come_one_after_another(grid):
    """So that each is loaded once."""
    drawers = [it.drawer for it in grid(WHOLE).settings]
    changes = [now for before, now in zip([None, *drawers], drawers, strict=False) if now != before]
    assert len(changes) == len(set(drawers)) == 4
    assert [model for model, _ in changes] == ["mini", "mini", "elsewhere", "elsewhere"]


def test_at_guidance_1_nothing_leads_away(grid):
    for it in grid(WHOLE).settings:
        assert it.negative == (None if it.values["guidance"] == 1 else it.values["negatives"])


def test_the_sheet_has_the_axes_that_were_chosen_and_then_the_first_that_vary(grid):
    assert grid("prompts: [a]").sheet == ("", "")
    assert grid("{prompts: [a, b]}").sheet == ("prompts", "")
    assert grid("{prompts: [a], steps: [1, 2], guidance: [1, 2]}").sheet == ("guidance", "steps")
    assert grid("{prompts: [a], steps: [1, 2], guidance: [1, 2], rows: steps}").sheet == ("steps", "guidance")
    assert grid("{prompts: [a, b], steps: [1, 2], columns: prompts}").sheet == ("steps", "prompts")


def test_how_large_it_is_is_said(grid):
    assert grid("{prompts: [a, b], guidance: [1, 2, 3], n: 2}").in_words() == (
        "12 pictures: 2 prompts × 3 guidance × 2 of each"
    )
    assert grid("{prompts: [a], n: 1}").in_words() == "1 picture: 1 of each"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- a", "grid.yaml: a configuration is a mapping of sections, such as prompts: [a red circle]"),
        ("prompts: [a", "grid.yaml:"),
        ("guidance: [3]", "grid.yaml: prompts is missing: what to draw"),
        ("prompts: []", "grid.yaml:1: prompts must be a list of one or more texts, not []"),
        ("prompts: a red circle", "prompts must be a list of one or more texts, not 'a red circle'"),
        ("prompts: [3]", "prompts must be a list of one or more texts, not 3"),
        ("prompts: [a, ' ']", "grid.yaml:1: prompts, number 2: it is empty"),
        ("prompts: [a, a]", "prompts says 'a' twice (remove one)"),
        ("prompts: [a]\nguidence: [3]", "grid.yaml:2: unknown field 'guidence': did you mean 'guidance'?"),
        ("prompts: [a]\nguidance: [0.5]", "grid.yaml:2: guidance must be a list of numbers from 1"),
        ("prompts: [a]\nguidance: [.inf]", "guidance must be a list of numbers from 1"),
        ("prompts: [a]\nguidance: 3", "guidance must be a list of numbers from 1"),
        ("prompts: [a]\nguidance: []", "guidance must be a list of numbers from 1"),
        ("prompts: [a]\nsteps: [0]", "grid.yaml:2: steps must be a list of"),
        ("prompts: [a]\nsteps: [5, true]", "steps must be a list of"),
        ("prompts: [a]\nschedulers: [dim]", "schedulers, number 1: unknown scheduler 'dim': did you mean 'ddim'?"),
        ("prompts: [a]\nnegatives: [null, null]", "negatives says null twice"),
        ("prompts: [a]\nloras: [a.safetensors]", "loras must be a list of lists of FILE or FILE:WEIGHT"),
        ("prompts: [a]\nn: 0", "n must be a whole number of at least 1, not 0"),
        ("prompts: [a]\nseed: true", "seed must be a whole number of at least 0, not True"),
        ("prompts: [a]\nseed: -1", "seed must be a whole number of at least 0, not -1"),
        ("prompts: [a]\nphrases: {style: []}", "phrases.style has no values"),
        ("prompts: [a]\nphrases: {style: [b]}", "the prompt 'a' has no place for phrases.style (put {style} into it)"),
        ("prompts: ['{style} a']", "the prompt '{style} a' has {style}, and there is no phrases.style (give it)"),
        ("prompts: ['{steps} a']\nphrases: {steps: [b]}", "phrases.steps: a phrase needs a name of its own"),
        ("prompts: ['{style}']\nphrases: {style: ['']}", "the prompt '{style}' is empty with these phrases"),
        ("prompts: [a]\nphrases: [b]", "phrases must be lists of texts, each with a name"),
        ("prompts: [a]\nrows: prompt", "grid.yaml: rows: unknown axis 'prompt': did you mean 'prompts'?"),
        ("prompts: [a]\nrows: steps\ncolumns: steps", "rows and columns are both steps"),
    ],
)
def test_what_cannot_be_tried_is_refused(grid, text, sentence):
    with pytest.raises(KakusanError) as refused:
        grid(text)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(KakusanError, match=r"none\.yaml cannot be read: No such file"):
        Grid.read(tmp_path / "none.yaml")
    (tmp_path / "image.yaml").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(KakusanError, match=r"image\.yaml cannot be read"):
        Grid.read(tmp_path / "image.yaml")
