"""The demo keeps its promises from end to end, and replaces what it wrote itself but nothing that is anybody else's."""

import json
import re
from pathlib import Path

import pytest

from kakusan import api
from kakusan.errors import KakusanError
from kakusan.evaluation import judge
from kakusan.results import Judgement
from kakusan.runs import Run
from kakusan.studies.demo import PLACE, demo

TINY = {
    "network.channels": [8],
    "training.steps": 2,
    "training.samples_every": 0,
    "training.device": "cpu",
    "evaluation.n": 20,
}
TIMES = {"train_seconds", "total_seconds", "machine"}
STUDIES = {"parameters", "samplers", "guidance", "mixture"}  # beside the judgement of the samples
SAMPLER = {
    "name",
    "steps",
    "nfe",
    "seconds",
    "images",
    "class_accuracy",
    "frechet_distance",
    "frechet_distance_interval",
}


def check_metrics(metrics):
    """Holds that every number that is promised is there, and nothing else."""
    assert metrics.keys() == TIMES | STUDIES | Judgement.model_fields.keys()
    assert all(row.keys() == SAMPLER for row in metrics["samplers"])
    walks = [(row["name"], row["steps"], row["nfe"]) for row in metrics["samplers"]]
    assert walks == [("ddpm", 1000, 1000), ("ddim", 50, 50), ("ddim", 10, 10), ("heun", 10, 19)]
    assert [row["frechet_distance"] is None for row in metrics["samplers"]] == [True, False, False, False]
    assert [row["images"] for row in metrics["samplers"]] == [100, 20, 20, 20]
    shares = [row["class_accuracy"] for row in (metrics, *metrics["samplers"])]
    assert all(0 <= share <= 1 for share in (*shares, metrics["classifier_accuracy"]))
    assert metrics["frechet_distance"] == metrics["samplers"][1]["frechet_distance"] > metrics["noise_floor"] > 0
    assert 0 < metrics["train_seconds"] <= metrics["total_seconds"]


@pytest.mark.slow
def test_the_whole_story_ends_in_a_run_with_its_numbers_and_one_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(judge, "_train", lambda network, images, device, show: network)  # quick, and as good here
    told = demo(show=False, overrides=TINY)
    metrics = json.loads((PLACE / "metrics.json").read_text())
    assert metrics == json.loads(json.dumps(told))
    check_metrics(metrics)

    report = (PLACE / "report.html").read_text()
    assert len(report) < 4_000_000
    assert not re.search(r"https?:|url\((?!#)|@import", report)

    model = api.load(PLACE, device="cpu")
    assert metrics["parameters"] == sum(parameter.numel() for parameter in model.denoiser.parameters())
    assert api.sample(model, n=2, steps=2).shape == (2, 1, 8, 8)

    told = demo(show=False, overrides={**TINY, "training.steps": 3})
    assert json.loads((PLACE / "metrics.json").read_text()) == json.loads(json.dumps(told))
    run = Run.open(PLACE)
    assert [checkpoint.images for checkpoint in run.checkpoints()] == [3 * 128]
    assert len([line for line in run.metrics() if "evaluation" in line]) == 1


def test_a_run_of_somebody_else_is_refused(tmp_path):
    mine = Run.create(tmp_path / "mine")
    mine.write_config("precious")
    with pytest.raises(KakusanError, match="already holds files"):
        demo(mine.path, show=False)
    assert mine.config_path.read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "overwrite", "replaces"), [("runs/demo", False, True), ("mine", True, True), ("mine", False, False)]
)
def test_only_its_own_place_gives_way_unasked(monkeypatch, path, overwrite, replaces):
    def train(preset, run, overwrite, **others):
        assert (run, overwrite) == (Path(path), replaces)
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "train", train)
    with pytest.raises(KeyboardInterrupt):
        demo(Path(path), overwrite)


def test_a_demo_without_classes_is_refused_before_it_trains(tmp_path):
    with pytest.raises(KakusanError, match=r"leave network\.class_conditional true"):
        demo(tmp_path / "demo", overrides={"network.class_conditional": False}, show=False)
    assert not (tmp_path / "demo").exists()
