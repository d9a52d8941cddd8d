"""A film keeps its ends, and is as long as a page has room for."""

import re
from itertools import pairwise

import pytest
import torch

from kakusan.reporting.film import Frame, evenly, film
from kakusan.reporting.language import language


def shown(count, shape):
    frames = [Frame(f"t = {i}", (torch.zeros(shape), torch.zeros(shape))) for i in range(count)]
    return film(language("en"), frames, ["x", "guess"])


@pytest.mark.parametrize(("count", "most"), [(1, 12), (12, 12), (13, 12), (1000, 60), (7, 2)])
def test_frames_are_evenly_spaced_and_the_ends_among_them(count, most):
    chosen = evenly(range(count), most)
    assert len(chosen) == min(count, most)
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    gaps = {b - a for a, b in pairwise(chosen)}
    assert max(gaps, default=0) - min(gaps, default=0) <= 1


@pytest.mark.parametrize(
    ("count", "shape", "frames"), [(1000, (1, 8, 8), 60), (1000, (3, 256, 256), 24), (3, (1, 8, 8), 3)]
)
def test_of_large_pictures_fewer_frames_are_shown(count, shape, frames):
    page = shown(count, shape)
    assert page.count("<li") == frames
    assert page.count("<li>") == min(12, frames), "the strip"
    assert f'max="{frames - 1}"' in page


def test_every_picture_says_what_it_is_and_when():
    assert re.findall(r'<img [^>]*alt="([^"]*)"', shown(2, (1, 8, 8))) == [
        "x, t = 0",
        "guess, t = 0",
        "x, t = 1",
        "guess, t = 1",
    ]


def test_the_slider_can_be_used_with_keys_and_says_what_and_when_it_shows():
    page = shown(2, (1, 8, 8))
    assert re.search(r'<input type="range" min="0" max="1" value="0" aria-label="[^"]+" aria-valuetext="t = 0">', page)
    assert '<button type="button">' in page
