"""Judges that are trained in a moment, and cached where nobody else looks."""

import pytest

from kakusan.config.models import Training
from kakusan.evaluation import judge as judging
from kakusan.seeing import seen as seeing


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Returns the cache directory of this test."""
    for module in (judging, seeing):
        monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(judging, "Training", lambda **given: Training(**{**given, "images": 2000}))
    return tmp_path / "cache"


@pytest.fixture
def trainings(monkeypatch):
    """Counts how often a judge is trained."""
    done = []

    def train(*arguments, real=judging._train):
        done.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(judging, "_train", train)
    return done
