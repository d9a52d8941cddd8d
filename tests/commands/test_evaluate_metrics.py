"""Published metrics from the command line, on a network of pixels: in words, as JSON, in the run."""

import json

import pytest
import torch
from torch import nn

from kakusan import pictures
from kakusan.evaluation import measure as measuring
from kakusan.runs import Run
from kakusan.seeing import seen as seeing

pytest.importorskip("torch_fidelity")


class Pixels:
    """A network that is none: the features of an image are averages of its pixels."""

    kind, name, resize, device = "inception", "pixels 0", "not at all", torch.device("cpu")
    library = "none"

    def __init__(self, *arguments, **options):
        self.layers = {"2048": 12, "logits_unbiased": 3}

    def __call__(self, images, labels=None):
        means = nn.functional.adaptive_avg_pool2d(images.float().expand(-1, 3, -1, -1), 2).flatten(1)
        return {"2048": means / 64, "logits_unbiased": means[:, ::4] / 64}


@pytest.fixture(autouse=True)
def pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "extractor", Pixels)
    monkeypatch.setattr(seeing, "user_cache_path", lambda name: tmp_path / "cache")


@pytest.fixture
def folders(tmp_path):
    """Two folders of pictures with the same names."""
    generator = torch.Generator().manual_seed(0)
    for name, shift in (("a", 0.0), ("b", 0.2)):
        for index in range(24):
            picture = (torch.rand(3, 16, 16, generator=generator) - 0.5 + shift).clamp(-1, 1)
            pictures.save(tmp_path / name / f"{index}.png", picture)


ASKED = ("-n", "40", "--steps=2", "--device=cpu")


def test_a_run_is_measured_against_its_own_images_and_keeps_what_was_found(kakusan, run):
    answer = kakusan("evaluate", run, "--metrics=fid,is", "--json", *ASKED)
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    fid, score = document["measurements"]
    assert (fid["metric"], score["metric"]) == ("fid", "is")
    assert fid["protocol"]["n"] == 40
    assert (fid["protocol"]["reference"], fid["protocol"]["reference_n"]) == ("digits", 1797)
    assert (fid["protocol"]["sampler"], fid["protocol"]["nfe"]) == ("ddim", 2)
    assert fid["noise_floor_n"] == 40
    assert Run.open(run).metrics()[-1] == document


def test_people_read_a_row_a_metric_and_one_protocol(kakusan, folders):
    answer = kakusan("evaluate", "a", "--against=b", "--metrics=fid,kid,psnr", "--device=cpu")
    assert answer.status == 0, answer.err
    rows = [line.split()[0] for line in answer.out.splitlines() if line.strip()]
    assert {"fid", "kid", "psnr"} <= set(rows)
    assert "real images (noise floor)" in answer.out
    assert "24 images are too few" not in answer.err


def test_statistics_are_kept_and_compared_with(kakusan, folders, tmp_path):
    assert (
        kakusan("evaluate", "b", "--against=a", "--metrics=fid", "--keep-statistics=b.npz", "--device=cpu").status == 0
    )
    by_images = kakusan("evaluate", "a", "--against=b", "--metrics=fid", "--json", "--device=cpu")
    by_file = kakusan("evaluate", "a", "--against=b.npz", "--metrics=fid", "--json", "--device=cpu")
    values = [json.loads(it.out)["measurements"][0]["value"] for it in (by_images, by_file)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("a --metrics fit", "unknown metric 'fit': did you mean 'fid'"),
        ("a --metrics fid", "fid compares with real images: say which (--against)"),
        ("a --metrics psnr", "psnr compares images in pairs: give a folder or archive of each (--against)"),
        ("a", "a is no run, and images alone are measured by published metrics (--metrics fid)"),
        ("a --metrics is -n 5", "n says how a model draws, and these images are there: leave it out"),
        ("a --metrics is --offline --weights b", "b holds none of weights-inception"),
        ("a --metrics is --weights nowhere", "there is no directory nowhere (check the path of --weights)"),
        ("a --against b --metrics psnr,ssim,lpips --offline", "AlexNet of torchvision is missing, and may not be"),
        ("a --weights b", "--weights belongs to published metrics: say which (--metrics fid)"),
        ("a --metrics is --weights-from raw", "weights_from says how a model draws"),
        ("nowhere --metrics is", "there is nothing called nowhere here"),
        ("a --against b --metrics kid --keep-statistics b.npz", "statistics are those of the Fréchet distance"),
        ("a --against b.npz --metrics fid", "there is no file b.npz"),
        (
            "a --against b --metrics copies --draw-nearest a.jpg",
            "a.jpg does not end in .png, which is what is written (-o a.png)",
        ),
        (
            "a --against b --metrics fid --draw-nearest a.png",
            "are those of the metrics copies and copies-pixels: measure one",
        ),
    ],
)
def test_what_cannot_be_measured_is_told_in_a_line(kakusan, folders, arguments, sentence):
    answer = kakusan("evaluate", *arguments.split())
    assert answer.status == 2
    assert sentence in answer.err
    assert len(answer.err.splitlines()) == 1


def test_weights_are_listed_for_people_and_programs(kakusan, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "vgg16-397923af.pth").write_bytes(b"")
    told = kakusan("weights", "--weights=own").out
    assert "missing: https://github.com/toshas/torch-fidelity" in told
    assert "own/vgg16-397923af.pth" in told
    listed = json.loads(kakusan("weights", "--json").out)["weights"]
    assert listed["vgg16"]["path"] is None
    assert listed["inception"]["place"] == str(tmp_path / "hub" / "checkpoints")
