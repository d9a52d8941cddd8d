"""A document in Japanese says what the English one says: by section the same code, numbers, links and tables."""

import re
from pathlib import Path

import pytest

from tests.documents import ROOT, blocks, cells, prose, quoted

ENGLISH = [ROOT / "README.md", ROOT / "docs" / "chapter.md"]

every_document = pytest.mark.parametrize("english", ENGLISH, ids=lambda path: path.name)


def japanese(english: Path) -> Path:
    """Returns the translation of a document."""
    return english.with_suffix(".ja.md")


def outline(document: Path) -> list[tuple[str, list[str], list[str]]]:
    """Returns of every section the level of its heading, what is quoted, and its decimals and long numbers.

    In the order of the alphabet, since another language has another order of words.
    """
    parts = re.split(r"^(#+) .*$", prose(document), flags=re.MULTILINE)[1:]
    return [
        (level, sorted(quoted(text)), sorted(re.findall(r"\d+(?:[.,]\d+)+", text)))
        for level, text in zip(parts[::2], parts[1::2], strict=True)
    ]


def code(document: Path) -> list[str]:
    """Returns the fenced blocks, without the words of comments that have a line of their own."""
    return [re.sub(r"^#.*$", "#", block, flags=re.MULTILINE) for block in blocks(document)]


@every_document
def test_sections_quote_the_same_code_and_numbers(english):
    for ours, theirs in zip(outline(english), outline(japanese(english)), strict=True):
        assert ours == theirs


@every_document
def test_code_blocks_are_the_same(english):
    assert code(english) == code(japanese(english))


@every_document
def test_tables_have_the_same_cells(english):
    for ours, theirs in zip(cells(english), cells(japanese(english)), strict=True):
        assert sorted(quoted(ours)) == sorted(quoted(theirs))
        assert bool(ours.strip()) == bool(theirs.strip())


@every_document
def test_each_links_to_the_other_and_to_the_same_pages(english):
    def links(document):
        found = re.findall(r"\]\(([^)]+)\)", prose(document))
        return found[0], [link.replace(".ja.md", ".md") for link in found[1:]]

    assert links(english)[0] == japanese(english).name
    assert links(japanese(english))[0] == english.name
    assert links(english)[1] == links(japanese(english))[1]


@every_document
def test_japanese_lines_break_after_punctuation(english):
    """A browser shows the end of a line as a space, which between two characters would be a gap."""
    for line, following in re.findall(r"^([^\n|#!`].*)\n(?=([^\n|#].*))", prose(japanese(english)), re.MULTILINE):
        new_item = re.match(r"\s*(\*|\d+\.) ", following)
        assert new_item or line.endswith(("。", "、")), line
