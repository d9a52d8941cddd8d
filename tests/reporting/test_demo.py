"""The report is one file that asks nobody for anything, says every number, and claims nothing that these do not."""

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser

import matplotlib
import pytest
import torch

from kakusan.errors import KakusanError
from kakusan.reporting.demo import Story, render

VOID = {"meta", "img", "input", "br", "link", "hr"}
PROTOCOL = {"n": 898, "reference": "digits", "features": "judge", "sampler": "ddim", "steps": 50, "nfe": 50}
METRICS = {
    "frechet_distance": 19.137,
    "frechet_distance_spread": 0.83,
    "noise_floor": 17.04,
    "noise_floor_spread": 0.91,
    "class_accuracy": 0.9889,
    "classifier_accuracy": 0.9861,
    "train_seconds": 74.6,
    "total_seconds": 163.2,
    "parameters": 437_322,
    "protocol": {**PROTOCOL, "guidance": 1.5, "seed": 7, "weights_hash": "9f" * 32},
    "samplers": [
        {"name": "ddpm", "steps": 1000, "nfe": 1000, "seconds": 38.2, "images": 100}
        | {"class_accuracy": 0.97, "frechet_distance": None},
        {"name": "heun", "steps": 10, "nfe": 19, "seconds": 6.511, "images": 899}
        | {"class_accuracy": 0.9655, "frechet_distance": 23.47},
    ],
}


class Page(HTMLParser):
    """Collects elements, and refuses a tag that closes another than the last one opened."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.words = [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data if "script" not in self.open and "style" not in self.open else ""

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def story():
    generator = torch.Generator().manual_seed(0)
    final = torch.rand(1, 8, 8, generator=generator) * 2 - 1
    noise = torch.randn(1, 8, 8, generator=generator)
    times = [1 - step / 80 for step in range(81)]
    return Story(
        name="runs & <b>digits</b>",
        metrics=METRICS,
        lines=[
            {"step": 1, "images": 1000, "loss": 0.8},
            {"step": 2, "images": 2000, "loss": float("nan")},
            {"step": 2, "images": 2000, "epoch": 1, "epoch_loss": 0.8},
            {"step": 3, "images": 3000, "epoch": 2, "epoch_loss": 0.2},
            {"step": 4, "images": 4000, "evaluation": {"frechet_distance": 1.0}},
        ],
        samples=torch.rand(6, 1, 8, 8, generator=generator) * 2 - 1,
        columns=3,
        class_names=('a"onload="x', "<i>two</i>"),
        frames=[(t, (1 - t) * final + t * noise, (1 - t) * final) for t in times],
        machine="2 cores & torch",
        schedule="cosine",
    )


@pytest.fixture(scope="module")
def page(story):
    return Page(render(story))


def changed(story, **metrics):
    return dataclasses.replace(story, metrics={**story.metrics, **metrics})


def test_no_request_can_leave_the_page(story, page):
    text = render(story)
    assert not re.search(r"https?:|url\((?!#)|@import", text)
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    policies = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:;")
    assert "script-src 'sha256-" in policies[0]


def test_only_the_script_that_the_policy_names_is_there(story):
    text = render(story)
    (script,) = re.findall(r"(?s)<script[^>]*>(.*?)</script>", text)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in text


def test_anchors_lead_somewhere_and_no_identifier_occurs_twice(page):
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    links = [link["href"] for link in page.all("a")]
    assert len(links) == 5
    drawn = [attributes["xlink:href"] for attributes in page.all("use")]
    clipped = re.findall(r"url\((#[^)]*)\)", str(page.elements))
    assert drawn
    assert clipped
    assert {link.removeprefix("#") for link in links + drawn + clipped} <= set(identifiers)


def test_who_does_not_see_the_page_is_told_what_it_shows(page):
    images = page.all("img")
    assert len(images) == 2 + 2 * 60
    assert all(image["alt"] for image in images)
    assert all(group["aria-label"] for group in page.all("div") if group.get("role") == "group")
    assert all(drawing["aria-hidden"] == "true" for drawing in page.all("svg"))


def test_every_number_is_on_the_page(page):
    said = page.words.replace("\N{NO-BREAK SPACE}", " ")
    for number in (
        *("19.1 ± 0.8", "17.0 ± 0.9", "98.9 %", "98.6 %", "74.6 s", "2 min 43 s", "437,322"),
        *("898", "digits", "judge", "1.5", "9f" * 32, "2 cores & torch"),
        *("1,000 steps", "382 ms", "100 images in 38.2 s", "97.0 %"),
        *("Heun with 10 steps", "7.24 ms", "899 images in 6.51 s", "96.5 %", "23.5"),
        *("from 0.800 to 0.200", "3,000 images"),
    ):
        assert number in said


def test_a_distance_that_was_not_taken_says_why(page):
    assert "not measured" in page.words
    assert "No distance for DDPM with 1,000 steps: a distance takes 898 images, and 100 were drawn." in page.words


def test_names_are_shown_as_they_are(story, page):
    assert "runs & <b>digits</b>" in page.words
    assert "<i>two</i>" in page.words
    assert {image["alt"] for image in page.all("img")} >= {'3 samples of class a"onload="x'}
    assert not [attributes for _, attributes in page.elements if "onload" in attributes]
    assert page.all("b", "i") == []


def test_the_same_story_is_told_in_the_same_words(story, monkeypatch):
    text = render(story)
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 20)
    assert render(story) == text
    assert len(text.encode()) < 500_000


def test_a_page_that_nobody_could_mail_is_refused(story):
    large = dataclasses.replace(story, samples=torch.rand(6, 3, 700, 700) * 2 - 1)
    with pytest.raises(KakusanError, match=r"more than 4,000,000 \(show fewer or smaller pictures"):
        render(large)


def test_samples_that_leave_a_row_short_are_refused(story):
    with pytest.raises(KakusanError, match="2 classes by 3 columns take 6 samples, not 5"):
        render(dataclasses.replace(story, samples=story.samples[:5]))


def test_what_there_is_nothing_to_show_of_is_left_out(story):
    bare = Page(render(dataclasses.replace(changed(story, samplers=[]), lines=[], frames=[], schedule="")))
    assert [section["id"] for section in bare.all("section")] == ["samples", "schedules"]


def test_a_model_without_measured_accuracy_has_a_report(story):
    rows = [{**row, "class_accuracy": None} for row in METRICS["samplers"]]
    unmeasured = Page(render(changed(story, class_accuracy=None, samplers=rows)))
    assert "3 samples of every class." in unmeasured.words
    assert "how accurate the two are was not measured" in unmeasured.words


def test_colour_pictures_are_shown(story):
    frames = [(0.0, torch.ones(3, 8, 8), torch.ones(3, 8, 8))]
    colour = dataclasses.replace(story, samples=torch.rand(6, 3, 8, 8), frames=frames)
    assert "takes shape in 1 step." in Page(render(colour)).words
