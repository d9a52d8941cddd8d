"""Statistics in a file: written, read back, and refused where they are of something else."""

import numpy as np
import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.evaluation import statistics
from kakusan.evaluation.moments import Moments, frechet_distance


def moments(seed=0, count=50, dimensions=6):
    generator = torch.Generator().manual_seed(seed)
    return Moments.of(torch.randn(count, dimensions, generator=generator) * torch.arange(1, dimensions + 1))


def test_what_is_kept_is_what_was_there(tmp_path):
    path = tmp_path / "real.npz"
    statistics.save(path, moments(), "inception 12345678")
    found = statistics.read(path)
    assert (found.name, found.n, found.features) == ("real.npz", 50, "inception 12345678")
    assert frechet_distance(found.moments, moments()) == pytest.approx(0, abs=1e-9)
    expected = frechet_distance(moments(1), moments())
    assert frechet_distance(moments(1), found.moments) == pytest.approx(expected, rel=1e-9)


def test_those_of_another_program_are_read_though_they_say_less(tmp_path):
    mine = moments()
    np.savez(tmp_path / "theirs.npz", mu=mine.mean.numpy(), sigma=mine.covariance.numpy())
    found = statistics.read(tmp_path / "theirs.npz")
    assert (found.n, found.features, found.provenance["images_n"]) == (None, None, None)
    assert frechet_distance(found.moments, mine) == pytest.approx(0, abs=1e-9)
    found.require("inception 12345678", 6)


@pytest.mark.parametrize(("features", "dimensions"), [("inception 87654321", 6), ("inception 12345678", 7)])
def test_those_of_another_network_are_refused(tmp_path, features, dimensions):
    statistics.save(tmp_path / "real.npz", moments(), "inception 12345678")
    with pytest.raises(KakusanError, match=r"holds statistics of 6 features of inception 12345678, and samples"):
        statistics.read(tmp_path / "real.npz").require(features, dimensions)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was run",))


@pytest.mark.parametrize(
    ("arrays", "answer"),
    [
        ({"mu": np.zeros(3)}, "holds no statistics: arrays mu and sigma"),
        ({"mu": np.zeros(3), "sigma": np.zeros((2, 2))}, r"mu of shape \(3,\) and sigma of \(2, 2\)"),
        ({"mu": np.zeros(2), "sigma": np.full((2, 2), np.nan)}, "holds no statistics"),
        ({"mu": np.full(2, np.nan), "sigma": np.eye(2)}, "holds no statistics"),
        ({"mu": np.array([Bomb()], dtype=object), "sigma": np.zeros((1, 1))}, "holds no statistics"),
    ],
)
def test_what_is_none_is_refused(tmp_path, arrays, answer):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(KakusanError, match=answer):
        statistics.read(tmp_path / "a.npz")


def test_what_is_no_archive_of_arrays_is_told(tmp_path):
    (tmp_path / "empty.npz").write_bytes(b"")
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    np.savez(tmp_path / "many.npz", mu=np.zeros(2), sigma=np.eye(2), n=np.arange(3))
    for name in ("empty", "one", "many"):
        with pytest.raises(KakusanError, match=rf"{name}\.npz is cut short, or holds no statistics"):
            statistics.read(tmp_path / f"{name}.npz")


def test_a_file_cut_short_or_missing_is_told(tmp_path):
    statistics.save(tmp_path / "a.npz", moments(), "x")
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-100])
    with pytest.raises(KakusanError, match="is cut short"):
        statistics.read(tmp_path / "a.npz")
    with pytest.raises(KakusanError, match="there is no file"):
        statistics.read(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("name", "metrics", "answer"),
    [("a.npy", ["fid"], "ends in .npz, unlike"), ("a.npz", ["kid"], "those of the Fréchet distance")],
)
def test_what_cannot_be_kept_is_refused_first(tmp_path, name, metrics, answer):
    with pytest.raises(KakusanError, match=answer):
        statistics.require_file(tmp_path / name, metrics)
