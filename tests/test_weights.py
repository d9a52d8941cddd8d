"""Pretrained weights: found where they are said to be, whole, and never run."""

import pickle
from dataclasses import replace
from hashlib import sha256
from urllib.error import URLError

import pytest
import torch

from kakusan import weights
from kakusan.errors import KakusanError

STATE = {"fc.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A registry of one small file, published as ``published.pth``; nothing is in the cache yet."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    published = tmp_path / "published.pth"
    torch.save(STATE, published)
    wanted = weights.Pretrained(
        "tiny.pth",
        published.as_uri(),
        sha256(published.read_bytes()).hexdigest()[:8],
        2_000_000,
        {"fc.weight": (2, 3)},
        "a tiny network",
    )
    monkeypatch.setattr(weights, "PRETRAINED", {"tiny": wanted})
    monkeypatch.setattr(weights, "PUBLISHED", {"tiny": wanted})
    return wanted


def put(path, state=STATE):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def test_missing_ones_are_downloaded_into_torch_hubs_cache(tiny):
    assert weights.find("tiny") is None
    found = weights.obtain("tiny", show=False)
    assert found.path == tiny.cached == weights.find("tiny")
    assert found.sha256 == sha256(tiny.cached.read_bytes()).hexdigest()
    assert found.state.keys() == STATE.keys()
    assert [path.name for path in tiny.cached.parent.iterdir()] == ["tiny.pth"]


def test_offline_says_which_where_from_and_where_to(tiny):
    with pytest.raises(KakusanError) as told:
        weights.obtain("tiny", offline=True)
    for part in ("a tiny network", tiny.url, "2 MB", str(tiny.cached.parent), "--weights DIR"):
        assert part in str(told.value)


def test_a_network_that_is_not_there_is_told_of(tiny, monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(KakusanError, match=r"cannot be downloaded .no route to host.*--weights DIR"):
        weights.obtain("tiny", show=False)


def test_a_download_of_another_hash_leaves_nothing(tiny, monkeypatch):
    monkeypatch.setattr(weights, "PRETRAINED", {"tiny": replace(tiny, sha256="00000000")})
    with pytest.raises(KakusanError, match="another hash than 00000000"):
        weights.obtain("tiny", show=False)
    assert not list(tiny.cached.parent.iterdir())


def test_cached_ones_must_have_the_published_hash(tiny):
    put(tiny.cached, {"fc.weight": torch.zeros(2, 3)})
    with pytest.raises(KakusanError, match=r"has the hash .*, and the published file .*remove it"):
        weights.obtain("tiny")


def test_those_of_a_user_go_first_and_may_differ(tiny, tmp_path):
    put(tiny.cached)
    own = put(tmp_path / "own" / "tiny.pth", {"fc.weight": torch.full((2, 3), 7.0)})
    found = weights.obtain("tiny", own.parent, offline=True)
    assert found.path == own
    assert not found.sha256.startswith(tiny.sha256)
    assert found.state["fc.weight"].eq(7).all()


def test_a_place_without_them_falls_back_on_the_cache(tiny, tmp_path):
    put(tiny.cached)
    assert weights.find("tiny", tmp_path / "elsewhere") == tiny.cached


def test_a_place_that_was_named_must_hold_some_of_them(tiny, tmp_path):
    put(tmp_path / "mine" / "tiny.pth")
    weights.require_some(["tiny"], tmp_path / "mine")
    weights.require_some(["tiny"], None)
    with pytest.raises(KakusanError, match=r"holds none of tiny\.pth \(put them there, or leave out --weights\)"):
        weights.require_some(["tiny"], tmp_path)
    with pytest.raises(KakusanError, match=r"there is no directory .*nowhere"):
        weights.require_some([], tmp_path / "nowhere")


def test_cached_ones_that_are_cut_short_are_known_as_such(tiny, tmp_path):
    weights.obtain("tiny", show=False)
    known = replace(tiny, size=tiny.cached.stat().st_size)
    assert not weights.damaged(known, tiny.cached)
    tiny.cached.write_bytes(tiny.cached.read_bytes()[:-100])
    assert weights.damaged(known, tiny.cached)
    assert not weights.damaged(known, put(tmp_path / "mine" / "tiny.pth", {}))  # which may be any


@pytest.mark.parametrize(
    "state", [{"fc.weight": torch.zeros(3, 3)}, {"other": torch.zeros(1)}, [1, 2], {"fc.weight": 3, "state": {}}]
)
def test_another_network_is_refused(tiny, tmp_path, state):
    put(tmp_path / "tiny.pth", state)
    with pytest.raises(KakusanError, match=r"is not a tiny network: fc.weight should have the shape \(2, 3\)"):
        weights.obtain("tiny", tmp_path)


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("it was run",))


@pytest.mark.parametrize("content", [b"", b"not weights", pickle.dumps(Bomb(), protocol=2)])
def test_what_could_run_or_is_cut_short_is_not_opened(tiny, tmp_path, content):
    (tmp_path / "tiny.pth").write_bytes(content)
    with pytest.raises(KakusanError, match="cut short, or holds more than weights, and was not opened"):
        weights.obtain("tiny", tmp_path)


def test_half_a_file_is_not_opened(tiny, tmp_path):
    whole = put(tmp_path / "tiny.pth")
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(KakusanError, match="cut short"):
        weights.obtain("tiny", tmp_path)


def test_an_older_file_that_is_cut_anywhere_is_not_opened(tiny, tmp_path):
    path = put(tmp_path / "tiny.pth")
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(KakusanError, match="cut short"):
            weights.obtain("tiny", tmp_path)


def test_the_real_ones_have_names_that_begin_their_hash():
    """As torch hub's convention is: so the published hash is the one that the file is known by."""
    for wanted in weights.PRETRAINED.values():
        assert wanted.sha256 in wanted.file
        assert wanted.url.endswith(wanted.file)
