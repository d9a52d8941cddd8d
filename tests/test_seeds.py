"""Streams of seeds: within one no two agree, and no two streams follow each other."""

from hashlib import blake2b

import pytest
import torch

from kakusan import seeds

COUNT = 200_000


def draws(seed, stream, count=COUNT):
    return [seeds.derive(seed, stream, index) for index in range(count)]


@pytest.mark.parametrize(("seed", "stream"), [(0, "image"), (-7, "step"), (2**70, "")])
def test_no_two_indices_share_a_seed(seed, stream):
    """Hashes of 32 bits would collide about five times among 200,000."""
    assert len(set(draws(seed, stream))) == COUNT


def test_every_seed_belongs_to_exactly_one_index():
    """Each round undone from the last to the first: a shift, an odd factor and a xor can all be inverted."""
    mask, inverse_factor = 2**32 - 1, pow(0x9E3779B1, -1, 2**32)
    keys = [int.from_bytes(blake2b(b"3/image", digest_size=12).digest()[i : i + 4]) for i in (8, 4, 0)]
    for index in (0, 1, 12345, 2**31, mask):
        value = seeds.derive(3, "image", index)
        for key in keys:
            value ^= value >> 15 ^ value >> 30
            value = value * inverse_factor & mask ^ key
        assert value == index


def test_seeds_fit_the_bits_that_a_generator_keeps():
    values = torch.tensor(draws(0, "image"))
    assert values.min() >= 0
    assert values.max() < 2**32
    # Evenly spread: every bit is set in half of them, within five deviations.
    share = torch.stack([(values >> bit & 1).double().mean() for bit in range(32)])
    assert (share - 0.5).abs().max() < 5 * 0.5 / COUNT**0.5


def test_neighbours_differ_in_half_of_their_bits():
    flips = [(seeds.derive(0, "image", i) ^ seeds.derive(0, "image", i + 1)).bit_count() for i in range(5000)]
    assert sum(flips) / len(flips) == pytest.approx(16, abs=0.5)


@pytest.mark.parametrize("other", [(1, "image"), (0, "step"), (-1, "image")])
def test_streams_and_runs_are_independent(other):
    """Side by side they hardly ever agree, and one predicts nothing about the other."""
    one, two = torch.tensor(draws(0, "image", 20_000)), torch.tensor(draws(*other, 20_000))
    assert (one == two).sum() <= 1
    assert torch.corrcoef(torch.stack([one, two]).double())[0, 1].abs() < 5 / 20_000**0.5


def test_a_stream_never_changes():
    """Pictures made with an earlier version can be made again."""
    assert [seeds.derive(0, "image", i) for i in range(3)] == [2959546562, 1013778008, 209518737]
    assert seeds.derive(0, "image") == seeds.derive(0, "image", 0)


def test_a_generator_is_seeded_by_its_place_in_the_stream():
    numbers = torch.randn(3, generator=seeds.generator(5, "step", 2))
    assert torch.equal(numbers, torch.randn(3, generator=seeds.generator(5, "step", 2)))
    assert torch.equal(numbers, torch.randn(3, generator=torch.Generator().manual_seed(seeds.derive(5, "step", 2))))
    assert not torch.equal(numbers, torch.randn(3, generator=seeds.generator(5, "step", 3)))


@pytest.mark.parametrize("index", [-1, 2**32])
def test_an_index_outside_the_stream_is_refused(index):
    with pytest.raises(ValueError, match=f"indices from 0 to 4294967295, not {index}$"):
        seeds.derive(0, "image", index)


def test_the_shares_of_a_step_make_up_its_whole():
    """Each process draws for all and keeps its part, so the number of processes changes nothing."""
    whole = seeds.Draws(seed=0, step=3, count=6)
    shares = [seeds.Draws(0, 3, 6, share) for share in (slice(0, 2), slice(2, 6))]
    assert whole.normal("noise", (1, 4)).shape == (6, 1, 4)
    assert torch.equal(torch.cat([share.normal("noise", (1, 4)) for share in shares]), whole.normal("noise", (1, 4)))
    assert torch.equal(torch.cat([share.chance("drop", 0.5) for share in shares]), whole.chance("drop", 0.5))


@pytest.mark.parametrize("other", [seeds.Draws(0, 4, 1000), seeds.Draws(1, 3, 1000)])
def test_every_step_of_every_run_draws_anew(other):
    draws = seeds.Draws(0, 3, 1000)
    for numbers in (other.normal("noise", ()), draws.normal("flip", ())):
        assert torch.corrcoef(torch.stack([draws.normal("noise", ()), numbers]))[0, 1].abs() < 0.15
    assert torch.equal(draws.normal("noise", ()), seeds.Draws(0, 3, 1000).normal("noise", ()))


@pytest.mark.parametrize("probability", [0.0, 0.1, 1.0])
def test_coins_fall_as_often_as_asked(probability):
    coins = seeds.Draws(0, 0, 10_000).chance("drop", probability)
    assert coins.dtype == torch.bool
    assert coins.double().mean().item() == pytest.approx(probability, abs=0.015)
