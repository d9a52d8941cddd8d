"""Samples stand in rows by class, however many classes there are and whatever they are called."""

import re

import pytest
import torch

from kakusan.reporting.html import LARGEST_PAGE
from kakusan.reporting.language import language
from kakusan.reporting.sections import samples

SAY = language("en")


def drawn(rows, columns=10, shape=(1, 8, 8)):
    return torch.rand(rows, columns, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def section(images, names=(), accuracy=None):
    return samples.section(SAY, images, names, accuracy)


def labels(shown):
    return re.findall(r"<span>([^<]*)</span>", shown.figure.content)


def test_a_row_is_a_class():
    shown = section(drawn(2, 3), ("cat", "dog"))
    assert labels(shown) == ["cat", "dog"]
    assert re.findall(r'alt="([^"]*)"', shown.figure.content) == ["3 samples: cat", "3 samples: dog"]
    assert shown.figure.title == "3 samples of every class"
    assert section(drawn(2, 3), ("cat", "dog"), 0.987).figure.title.startswith("98.7\N{NO-BREAK SPACE}% of such")


def test_a_model_without_classes_has_rows_without_names():
    shown = section(drawn(4))
    assert labels(shown) == [""] * 4
    assert shown.heading == "Samples"
    assert shown.figure.title == "40 samples, none of them picked"
    assert "class" not in re.sub('class="', "", shown.figure.content + shown.figure.caption + shown.figure.alt)


def test_of_many_classes_the_first_are_shown_and_that_is_said():
    names = tuple(f"class {i}" for i in range(1000))
    shown = section(drawn(20), names)
    assert labels(shown) == list(names[:20])
    assert shown.figure.title == "10 samples of each of the first 20 classes"
    assert shown.figure.caption.endswith("of the 1,000 classes these are the first 20.")


@pytest.mark.parametrize("name", ["三毛猫", 'a"onload="x', "<i>two</i>", "a name " * 20])
def test_a_class_may_have_any_name(name):
    shown = section(drawn(1), (name,))
    assert labels(shown) == [name.replace("<", "&lt;").replace(">", "&gt;").replace('"', "&#34;")]
    assert "<i>" not in shown.figure.content


@pytest.mark.parametrize("classes", [0, 1, 1000])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 256, 256), (3, 1024, 768)])
def test_the_page_has_room_for_them(classes, shape):
    rows, columns = samples.layout(classes, shape)
    assert rows == (min(classes, 20) or 4)
    assert 1 <= columns <= 10
    assert len(section(drawn(rows, columns, shape), [str(i) for i in range(classes)]).figure.content) < LARGEST_PAGE / 2
    assert samples.layout(10, (3, 32, 32)) == (10, 10)


def test_without_any_there_is_no_section():
    assert section(None) is None


def test_samples_of_prompts_are_a_row_a_prompt():
    prompts = ["a red circle", "a <blue> star"]
    shown = samples.section(SAY, torch.zeros(2, 3, 3, 8, 8), (), None, prompts)
    assert shown.heading == "Samples by prompt"
    assert shown.figure.title == "3 samples of every prompt"
    assert "<span>a red circle</span>" in shown.figure.content
    assert "a &lt;blue&gt; star" in shown.figure.content
