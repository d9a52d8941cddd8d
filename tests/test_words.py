"""Captions as numbers: as CLIP's tokenizer has them, the same for the same captions, and kept in a file."""

import json

import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.words import END, START, Words, found_in

CAPTIONS = [f"a {size} {colour} circle" for size in ("small", "large") for colour in ("red", "green", "blue")] * 5
ODD = ["a red circle", "", "it's  UPPER,  42!", "日本 größer", "<|endoftext|>", "a " * 40]


@pytest.fixture(scope="module")
def words():
    return found_in(CAPTIONS, 700, 12)


def test_a_caption_is_a_number_a_word_between_two_ends(words):
    (row,) = words(["a small red circle"]).tolist()
    assert [words.pieces[number] for number in row[:6]] == [START, "a</w>", "small</w>", "red</w>", "circle</w>", END]
    assert row[5:] == [len(words) - 1] * 7
    assert len(row) == words.length


def test_nothing_is_unknown_to_it(words):
    for row in words(ODD).tolist():
        assert row[0] == len(words) - 2
        assert len(words) - 1 in row or len(row) == words.length
    assert (
        len({tuple(row) for row in words(ODD).tolist()}) == len(ODD) - 1
    )  # the end of a caption says nothing, spelt out


def test_it_is_the_same_for_the_same_captions(words):
    again = found_in(CAPTIONS, 700, 12)
    assert (again.pieces, again.merges, again.examples) == (words.pieces, words.merges, words.examples)


def test_it_keeps_to_its_size():
    assert len(found_in(CAPTIONS, 520, 12)) == 520
    assert len(found_in(CAPTIONS, 700, 12)) < 700  # there is no more to be joined


def test_a_file_brings_it_back(words, tmp_path):
    words.write(tmp_path / "words.json")
    back = Words.read(tmp_path / "words.json")
    assert torch.equal(back(ODD), words(ODD))
    assert (back.known, back.examples, len(back)) == (words.known, words.examples, len(words))


def test_transformers_reads_captions_in_the_same_way(words, tmp_path):
    transformers = pytest.importorskip("transformers")
    numbers = {piece: number for number, piece in enumerate(words.pieces)}
    (tmp_path / "vocab.json").write_text(json.dumps(numbers))
    merges = "\n".join(" ".join(pair) for pair in words.merges)
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    theirs = transformers.CLIPTokenizer(str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=12)
    read = theirs(ODD, padding="max_length", max_length=12, truncation=True, return_tensors="pt").input_ids
    assert torch.equal(read, words(ODD))


def test_it_names_what_it_never_heard_of(words):
    assert words.unknown("A hairy red Dog, a hairy circle") == ["hairy", "dog"]
    assert words.unknown("a small red circle") == []
    assert words.remarks_on("a red dog", "a blue dog") == ["no caption that was learned from says dog"]


def test_it_says_once_what_is_cut(words):
    assert words.too_long(["a red circle", "red " * 30]) == [1]
    assert words.remarks_on("red " * 30, "blue " * 30) == [
        f"longer than 10 pieces of words, and cut: {'red ' * 20!r}",
    ]


def test_its_examples_are_different_captions(words):
    assert set(words.examples) == set(CAPTIONS)
    assert len(found_in([f"number {i}" for i in range(1000)], 700, 12).examples) == 16


@pytest.mark.parametrize(("most", "length"), [(513, 12), (700, 2)])
def test_a_vocabulary_that_cannot_be_is_refused(most, length):
    with pytest.raises(KakusanError, match="at least 514 pieces"):
        found_in(CAPTIONS, most, length)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"format": "else"}', '{"format": "kakusan words 1", "length": 3}'])
def test_a_damaged_file_is_named(text, tmp_path):
    path = tmp_path / "words.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(KakusanError, match=r"words.json holds no vocabulary that can be read"):
        Words.read(path)


def test_pieces_of_equal_worth_have_an_order():
    """Many pairs that occur equally often: whichever way captions come, the same are joined."""
    captions = [f"w{chr(97 + i)}{chr(97 + j)}x" for i in range(12) for j in range(12)]
    first = found_in(captions, 600, 12)
    for other in (captions[::-1], sorted(captions, key=lambda it: it[::-1])):
        again = found_in(other, 600, 12)
        assert (again.pieces, again.merges) == (first.pieces, first.merges)


def test_the_most_frequent_pair_is_joined_first():
    words = found_in(["abab abab abab", "cd cd"], 600, 12)
    assert words.merges[0] == ("a", "b") or words.merges[0] == ("a", "b</w>")
    assert ("c", "d</w>") in words.merges
    assert "abab</w>" in words.pieces
    assert words.merges.index(("c", "d</w>")) > 0
