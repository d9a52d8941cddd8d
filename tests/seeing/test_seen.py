"""Rows of what was seen."""

import torch

from kakusan.seeing import seen


def test_many_rows_are_the_same_as_few_and_lie_in_the_cache_without_a_name(monkeypatch, tmp_path):
    monkeypatch.setattr(seen, "user_cache_path", lambda name: tmp_path / name)
    features = torch.randn(5_000, 3, generator=torch.Generator().manual_seed(0))
    which = torch.randperm(5_000, generator=torch.Generator().manual_seed(1))[:3_000]
    few = seen.rows(features, which)
    monkeypatch.setattr(seen, "_MANY", 100)
    many = seen.rows(features, which)
    assert torch.equal(many, few)
    assert not list((tmp_path / "kakusan").iterdir())
    assert torch.equal(many, features[which]), "though its file has no name any more"
