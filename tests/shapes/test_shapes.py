"""Scenes, their pictures and captions, and the verifier that reads them: closed forms, round trips, shares."""

import math
from dataclasses import replace
from random import Random

import numpy as np
import pytest
import torch

from kakusan.data import load
from kakusan.errors import KakusanError
from kakusan.shapes import KINDS, Scene, Thing, Wanted, caption, draw, parse, read, scene, verify
from kakusan.shapes.drawing import area, coverage
from kakusan.shapes.scenes import (
    BACKGROUNDS,
    COLOURS,
    INVERSE,
    RELATIONS,
    SHAPES,
    UNTRAINED_COLOURS,
    UNTRAINED_RELATIONS,
)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_covers_its_area(shape):
    found = coverage(shape, 40, 63.7, 64.2, 128).sum()
    assert found == pytest.approx(area(shape) * 40**2, rel=0.01)


def test_a_disc_covers_what_its_formula_says():
    assert area("circle") == pytest.approx(math.pi)
    assert coverage("circle", 3, 8, 8, 16)[8, 8] == 1
    assert coverage("circle", 3, 8, 8, 16)[0, 0] == 0


def test_a_smaller_picture_is_the_mean_of_a_larger_one():
    drawn = scene(0, 5)
    small, large = draw(drawn, 32).float(), draw(drawn, 128).float()
    apart = (small - torch.nn.functional.avg_pool2d(large, 4)).abs()
    assert apart.mean() < 1
    assert apart.max() < 50  # corners are rounded a little


def test_a_scene_follows_from_seed_and_index():
    assert scene(3, 7) == scene(3, 7)
    assert len({scene(3, index) for index in range(50)}) == 50
    assert scene(3, 7) != scene(4, 7)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_learned_from_is_kept_apart(kind):
    found = [scene(0, index, kind=kind) for index in range(300)]
    assert {it.kind for it in found} == {kind}
    shown = {(thing.colour, thing.shape) for it in found for thing in it.things}
    assert bool(shown & UNTRAINED_COLOURS) == (kind == "untrained-colour")
    # In the scenes to learn from every word is there all the same.
    if kind == "trained":
        assert {colour for colour, _ in shown} == set(COLOURS)
        assert {shape for _, shape in shown} == set(SHAPES)


def test_a_relation_is_kept_out_whichever_way_it_is_said():
    for first, relation, second in UNTRAINED_RELATIONS:
        things = Thing(first, "cyan", "small"), Thing(second, "cyan", "small")
        assert Scene(things, "white", relation).kind == "untrained-relation"
        assert Scene(things[::-1], "white", INVERSE[relation]).kind == "untrained-relation"


def test_two_things_stand_as_their_relation_says():
    for index in range(200):
        found = scene(1, index, things=2)
        (dx, dy), (first, second) = RELATIONS[found.relation], found.things
        apart = dx * (first.x - second.x) + dy * (first.y - second.y)
        across = abs(dy * (first.x - second.x)) + abs(dx * (first.y - second.y))
        assert apart > across


def test_a_single_thing_stands_anywhere_or_in_the_middle():
    anywhere, middle = ([scene(1, index, things=1, middle=middle) for index in range(50)] for middle in (False, True))
    places = [abs(place - 0.5) for it in middle for place in (it.things[0].x, it.things[0].y)]
    assert 0 < max(places) <= 0.02
    assert max(abs(it.things[0].x - 0.5) for it in anywhere) > 0.3
    # Nothing else is another one.
    for one, other in zip(anywhere, middle, strict=True):
        assert replace(one.things[0], x=0.5, y=0.5) == replace(other.things[0], x=0.5, y=0.5)


@pytest.mark.parametrize("size", [24, 32, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_the_verifier_takes_pictures_with_their_own_captions_and_hardly_any_with_others(kind, size):
    scenes = [scene(0, index, kind=kind) for index in range(200)]
    captions = [caption(it, Random(index)) for index, it in enumerate(scenes)]
    pictures = [draw(it, size) for it in scenes]
    assert sum(verify(*it).accepted for it in zip(pictures, captions, strict=True)) >= 198
    others = captions[1:] + captions[:1]
    assert sum(verify(*it).accepted for it in zip(pictures, others, strict=True)) <= 10


def test_the_verifier_reads_a_scene_back():
    for index in range(100):
        drawn = scene(2, index)
        found = read(draw(drawn, 32))
        assert found.background == drawn.background
        key = lambda it: (it.x, it.y)  # noqa: E731
        for ours, theirs in zip(sorted(found.things, key=key), sorted(drawn.things, key=key), strict=True):
            assert (ours.shape, ours.colour, ours.size) == (theirs.shape, theirs.colour, theirs.size)
            assert math.hypot(ours.x - theirs.x, ours.y - theirs.y) < 0.03


ABOVE = Scene((Thing("circle", "red", "small", 0.5, 0.2), Thing("square", "blue", "large", 0.5, 0.7)), "white", "above")


@pytest.mark.parametrize(
    ("asked", "pieces"),
    [
        ("a small red circle above a large blue square on a white background", (True, True, True, True, True)),
        ("a blue square under a red circle", (True, True, True, True, None)),
        ("a red circle below a blue square", (True, True, True, False, None)),
        ("a red circle to the left of a blue square", (True, True, False, None, None)),
        ("a blue circle above a red square", (True, False, None, None, None)),
        ("a large red circle above a small blue square", (True, False, None, None, None)),
        ("a red circle above a green square", (False, None, None, None, None)),
        ("a red circle", (False, None, None, None, None)),
        ("a red circle at the top and a blue square at the bottom", (True, True, True, True, None)),
        ("a red circle at the bottom and a blue square at the top", (True, True, True, False, None)),
        (
            "a red circle on the left and a blue square on the right on a white background",
            (True, True, False, None, True),
        ),
        ("there is a red circle above a blue square on a black background", (True, True, True, True, False)),
    ],
)
def test_a_verdict_says_which_piece_is_missing(asked, pieces):
    verdict = verify(draw(ABOVE, 32), asked)
    assert (verdict.parts, verdict.binding, verdict.axis, verdict.direction, verdict.background) == pieces
    assert verdict.accepted == (False not in pieces)


def test_two_alike_stand_either_way_around():
    twins = Thing("ring", "cyan", "small", 0.5, 0.2), Thing("ring", "cyan", "small", 0.5, 0.8)
    picture = draw(Scene(twins, "black", "above"), 32)
    assert verify(picture, "a cyan ring above a cyan ring").accepted
    assert verify(picture, "a cyan ring below a cyan ring").accepted
    assert not verify(picture, "a cyan ring left of a cyan ring").accepted


def test_what_is_no_scene_is_none():
    noise = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert not verify(noise, "a red circle").accepted
    flat = torch.full((3, 32, 32), 250, dtype=torch.uint8)
    assert read(flat) == Scene((), "white")
    assert not verify(flat, "a red circle").accepted


def test_a_blurred_or_noisy_picture_is_still_read():
    drawn = scene(0, 11)
    noise = 8 * torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    noisy = (draw(drawn, 32) + noise).clamp(0, 255).to(torch.uint8)
    assert verify(noisy, caption(drawn, Random(0))).accepted


def test_captions_say_what_the_scene_is_and_no_more():
    for index in range(300):
        drawn = scene(5, index)
        wanted = parse(caption(drawn, Random(index)))
        assert wanted.background in (None, drawn.background)
        named = {(it.size, it.colour, it.shape) for it in drawn.things}
        unsized = {(None, it.colour, it.shape) for it in drawn.things}
        assert set(wanted.things) in (named, unsized)


def test_a_third_of_the_captions_of_two_things_say_where_each_stands():
    told = [caption(scene(0, index, things=2), Random(index)) for index in range(600)]
    placed = [text for text in told if " at the " in text or " on the left" in text or " on the right" in text]
    assert 150 < len(placed) < 250
    assert not any(" and " in caption(scene(0, i, things=2), Random(i), leaning=False) for i in range(200))


def test_captions_of_one_scene_are_worded_in_many_ways():
    assert len({caption(scene(0, 3, things=2), Random(index)) for index in range(200)}) > 20


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a red circle", Wanted(((None, "red", "circle"),))),
        ("There is  an orange star.", Wanted(((None, "orange", "star"),))),
        (
            "a small green triangle to the left of a red star on a grey background",
            Wanted((("small", "green", "triangle"), (None, "red", "star")), "left of", "grey"),
        ),
    ],
)
def test_what_a_caption_asks_for(text, wanted):
    assert parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "a dog", "a red", "two red circles", "a red circle near a blue square"),
        "a red circle at the top and a blue square on the left",
        "a red circle at the top and a blue square",
        "a red circle above a blue square at the bottom",
        "a red circle at the top",
    ],
)
def test_what_no_caption_says_is_named(text):
    with pytest.raises(KakusanError, match=r"does not understand .* such as 'a small red circle above"):
        parse(text)


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 32, 30), (3, 8, 8), (4, 3, 32, 32)])
def test_what_the_verifier_cannot_read_is_refused(shape):
    with pytest.raises(KakusanError, match="reads colour pictures"):
        read(torch.zeros(shape, dtype=torch.uint8))


def test_a_picture_in_another_range_is_refused():
    with pytest.raises(KakusanError, match="pixels from 0 to 255, uint8"):
        read(torch.zeros(3, 32, 32))


@pytest.mark.parametrize(("kind", "things"), [("unseen", None), ("trained", 3), ("untrained-relation", 1)])
def test_scenes_that_are_not_there_are_refused(kind, things):
    with pytest.raises(KakusanError, match="no scene of kind"):
        scene(0, 0, kind=kind, things=things)


def test_the_source_holds_what_is_drawn(monkeypatch):
    monkeypatch.setattr("kakusan.data.sources.shapes.COUNT", 20)
    small, large = load("shapes", show=False), load("shapes", size=48, show=False)
    assert small.shape == (3, 32, 32)
    assert large.shape == (3, 48, 48)
    assert small.captions == large.captions
    assert torch.equal(large.images[7], draw(scene(0, 7), 48))  # drawn in that size, not resized
    for image, text in zip(small.images, small.captions, strict=True):
        assert verify(image, text).accepted


def test_single_things_stand_in_the_middle_of_their_pictures(monkeypatch):
    monkeypatch.setattr("kakusan.data.sources.shapes.COUNT", 20)
    found = load("shapes-single", show=False)
    for image, text in zip(found.images, found.captions, strict=True):
        assert verify(image, text).accepted
        (thing,) = read(image).things
        assert abs(thing.x - 0.5) < 0.05
        assert abs(thing.y - 0.5) < 0.05


def test_backgrounds_and_colours_are_far_apart():
    colours = [np.asarray(it) for it in (*COLOURS.values(), *BACKGROUNDS.values())]
    assert min(np.linalg.norm(a - b) for i, a in enumerate(colours) for b in colours[:i]) > 80
