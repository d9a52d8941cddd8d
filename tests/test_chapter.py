"""What the companion to the chapter says is there is there, what it says is not yet there is not, in both languages."""

import re

import pytest
import yaml

from kakusan import schedules
from kakusan.networks import SimpleUNet
from tests.documents import ROOT, cells, prose, quoted, resolve, understand

PAGES = {"en": ROOT / "docs" / "chapter.md", "ja": ROOT / "docs" / "chapter.ja.md"}
NOT_YET = {"en": "not yet", "ja": "未対応"}
IN_THE_REPORT = {"en": r"report, \*([^*]+)\*", "ja": r"報告「([^」]+)」"}
SUBSECTIONS = {"4.1": 0, "4.2": 3, "4.3": 3, "4.4": 2, "4.5": 4, "4.6": 2, "4.7": 0}

in_every_language = pytest.mark.parametrize("lang", PAGES)


def there(lang: str) -> list[str]:
    """Returns what is quoted as being there: all but what follows "not yet" in a cell of a table."""
    text = prose(PAGES[lang])
    for cell in cells(PAGES[lang]):
        text = text.replace(cell, cell.partition(NOT_YET[lang])[0])
    return quoted(text)


def not_yet(lang: str) -> list[str]:
    """Returns the commands that are promised."""
    return [name for cell in cells(PAGES[lang]) for name in quoted(cell.partition(NOT_YET[lang])[2])]


def calls(names: list[str]) -> list[str]:
    """Returns those that call kakusan."""
    return [name for name in names if name.startswith("kakusan ")]


@in_every_language
def test_every_name_can_be_imported(lang):
    names = [name for name in quoted(prose(PAGES[lang])) if name.startswith("kakusan.")]
    assert len(names) > 40
    for name in names:
        resolve(name)


@in_every_language
def test_every_file_exists(lang):
    files = [name.removeprefix("python ") for name in quoted(prose(PAGES[lang])) if name.endswith(".py")]
    assert set(files) == {str(path.relative_to(ROOT)) for path in (ROOT / "examples").glob("*.py")}


@in_every_language
def test_every_command_is_understood(lang):
    assert len(calls(there(lang))) > 20
    for line in calls(there(lang)):
        understand(line)


@in_every_language
def test_what_is_promised_is_not_there_yet(lang):
    """So that whoever builds it moves it to what is there."""
    assert calls(not_yet(lang)) == not_yet(lang)
    for line in not_yet(lang):
        with pytest.raises(Exception, match=r"unknown|No such|no such|unexpected"):
            understand(line)


@in_every_language
def test_every_section_of_the_report_has_that_heading(lang):
    catalogue = ROOT / "src" / "kakusan" / "reporting" / "languages" / f"{lang}.yaml"
    blocks = yaml.safe_load(catalogue.read_text("utf-8")).values()
    headings = {text for block in blocks for key, text in block.items() if key.startswith("heading")}
    named = re.findall(IN_THE_REPORT[lang], PAGES[lang].read_text("utf-8"))
    assert len(named) > 10
    assert set(named) <= headings


@in_every_language
def test_every_section_and_exercise_has_a_row(lang):
    text = PAGES[lang].read_text("utf-8")
    assert re.findall(r"^## (4\.\d) ", text, re.MULTILINE) == list(SUBSECTIONS)
    rows = {f"{section}.{i}" for section, count in SUBSECTIONS.items() for i in range(1, count + 1)}
    assert set(re.findall(r"^\| (4\.\d\.\d) ", text, re.MULTILINE)) == rows
    exercises = {"en": "## Exercises", "ja": "## 演習問題"}[lang]
    assert re.findall(r"^\| (4\.\d) ", text.partition(exercises)[2], re.MULTILINE) == [f"4.{i}" for i in range(1, 7)]


@in_every_language
def test_the_errata_give_the_numbers_of_the_library(lang):
    text = " ".join(PAGES[lang].read_text("utf-8").split())
    linear, cosine, quadratic = schedules.linear(), schedules.cosine(), schedules.quadratic()
    bars = [f"{linear.alphas_cumprod[index]:.3g}" for index in (100, 300, 500, 700, 999)]
    assert f"{linear.alphas_cumprod[0]:.4g}" == "0.9999"
    for number in (
        *("0.9999", *bars),
        f"{cosine.betas.min():.3g}",
        f"{quadratic.alphas_cumprod[-1]:.3g}",
        f"{schedules.linear(50).alphas_cumprod[-1]:.2f}",
        f"{schedules.linear(50, 0.002, 0.4).alphas_cumprod[-1]:.3g}",
        f"{sum(parameter.numel() for parameter in SimpleUNet().parameters()):,}",
        f"{sum(parameter.numel() for parameter in SimpleUNet(base_channels=128).parameters()):,}",
    ):
        assert number in text, number
