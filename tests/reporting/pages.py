"""A page as a test reads it, and a run of which there is everything to tell."""

from html.parser import HTMLParser
from typing import Any

import torch

from kakusan import config, schedules
from kakusan.closed_form import GaussianMixture
from kakusan.networks import UNet
from kakusan.reporting.anatomy import read
from kakusan.reporting.shown import Mixture, Moment, Neighbours
from kakusan.reporting.story import Story
from kakusan.results import Measured

_VOID = {"meta", "img", "input", "br", "link", "hr"}
METRICS: dict[str, Any] = {
    "frechet_distance": 19.137,
    "frechet_distance_spread": 0.83,
    "noise_floor": 17.04,
    "noise_floor_spread": 0.91,
    "class_accuracy": 0.9889,
    "classifier_accuracy": 0.9861,
    "seconds": 14.27,
    "train_seconds": 74.6,
    "total_seconds": 163.2,
    "parameters": 437_322,
    "machine": "2 cores & torch",
    "protocol": {
        "n": 898,
        "reference": "digits",
        "splits": 11,
        "features": "classifier-7 (0aca587d)",
        "sampler": "ddim",
        "steps": 51,
        "grid": "trailing",
        "nfe": 53,
        "eta": 0.125,
        "variance": "posterior",
        "guidance": 1.75,
        "threshold": None,
        "seed": 77,
        "weights": "demo, ema weights after 4001 images",
        "weights_hash": "9f" * 32,
        "of tomorrow": "an entry that nobody has named",
    },
    "guidance": {
        **{"sampler": "ddim", "steps": 21, "threshold": "clip", "seed": 1234, "images": 103},
        **{"real_accuracy": 0.9812, "real_saturated": 0.4321},
        "scales": [
            {"guidance": scale, "class_accuracy": accuracy, "saturated": share}
            for scale, accuracy, share in ((0.0, 0.115, 0.123), (1.0, 0.951, 0.345), (7.5, 0.962, 0.567))
        ],
    },
    "mixture": {
        process: [
            {"share": share, "mean": -mean, "deviation": 0.317},
            {"share": 1 - share, "mean": mean, "deviation": 0.713},
        ]
        for process, share, mean in (("forward", 0.511, 2.17), ("exact", 0.522, 2.27), ("learned", 0.533, 2.37))
    },
    "samplers": [
        {"name": "ddpm", "steps": 1000, "nfe": 1000, "seconds": 38.2, "images": 100}
        | {"class_accuracy": 0.97, "frechet_distance": None, "frechet_distance_interval": None},
        {"name": "heun", "steps": 10, "nfe": 19, "seconds": 6.511, "images": 899}
        | {"class_accuracy": 0.9655, "frechet_distance": 23.47, "frechet_distance_interval": [21.6, 25.3]},
    ],
}
MEASURED = Measured.read(METRICS)


class Page(HTMLParser):
    """Collects elements, and refuses a tag that closes another than the last one opened.

    Attributes:
        elements: Every tag with its attributes.
        words: What is read on the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, Any]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text.replace("\N{NO-BREAK SPACE}", " "))
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words += data if "script" not in self._open and "style" not in self._open else ""

    def all(self, *tags: str) -> list[dict[str, Any]]:
        """Returns the attributes of all elements of these tags."""
        return [attributes for tag, attributes in self.elements if tag in tags]

    def having(self, **wanted: str) -> list[dict[str, Any]]:
        """Returns the attributes of all elements that have these."""
        return [attributes for _, attributes in self.elements if wanted.items() <= attributes.items()]


def two_modes() -> Mixture:
    """Returns points on a line of which no walk lost one."""
    means = torch.tensor([[-2.0], [2.0]], dtype=torch.float64)
    truth = GaussianMixture(means, 0.5, torch.ones(2, dtype=torch.float64), schedules.linear(50, 0.002, 0.4))
    points = truth.sample(1000, torch.Generator().manual_seed(0)).squeeze(1).expand(51, 1000)
    return Mixture(truth, forward=points, exact=points, learned=points)


def story(**changes: Any) -> Story:
    """Returns all there is to tell of a run, with changes."""
    generator = torch.Generator().manual_seed(0)
    final = torch.rand(1, 8, 8, generator=generator) * 2 - 1
    noise = torch.randn(1, 8, 8, generator=generator)
    times = [1 - step / 80 for step in range(81)]
    samples = torch.rand(2, 3, 1, 8, 8, generator=generator) * 2 - 1
    six = samples.flatten(0, 1)
    told: dict[str, Any] = {
        "images": 4000,
        "total_images": 4000,
        "parameters": METRICS["parameters"],
        "class_names": ('a"onload="x', "<i>two</i>"),
        "judgement": MEASURED.judgement,
        "measured": MEASURED,
        "lines": [
            {"step": 1, "images": 1000, "loss": 0.8},
            {"step": 2, "images": 2000, "loss": float("nan")},
            {"step": 2, "images": 2000, "epoch": 1, "epoch_loss": 0.8},
            {"step": 3, "images": 3000, "epoch": 2, "epoch_loss": 0.2},
            {"step": 4, "images": 4000, "evaluation": {"frechet_distance": 1.0}},
        ],
        "original": final,
        "drawn_after": 4000,
        "samples": samples,
        "recognised": METRICS["class_accuracy"],
        "network": read(UNet(1, channels=(8, 16), classes=2), (1, 8, 8)),
        "guided": torch.rand(3, 2, 1, 8, 8, generator=generator) * 2 - 1,
        "neighbours": Neighbours(six, six.flip(0), torch.linspace(2, 3, 6), torch.linspace(2, 3, 9)),
        "mixture": two_modes(),
        "walk": [Moment(t, (1 - t) * final + t * noise, (1 - t) * final) for t in times],
    }
    return Story("runs & <b>digits</b>", config.load("digits"), **{**told, **changes})
