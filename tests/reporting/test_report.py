"""The report is one file that asks nobody for anything, says every number, and claims nothing that these do not."""

import base64
import hashlib
import re

import matplotlib
import pytest
import torch

from kakusan import config
from kakusan.errors import KakusanError
from kakusan.reporting import html
from kakusan.reporting.language import language, languages
from kakusan.reporting.report import render
from kakusan.reporting.story import Story
from kakusan.results import Measured
from tests.reporting.pages import MEASURED, METRICS, Page, story

TEXTS = {code: render(language(code), story()) for code in languages()}
PAGES = {code: Page(text) for code, text in TEXTS.items()}
BARE = Story("begun", config.load("digits"), images=0)

in_every_language = pytest.mark.parametrize("code", languages())


def told(code="en", **changes):
    return Page(render(language(code), story(**changes)))


@in_every_language
def test_no_request_can_leave_the_page(code):
    assert not re.search(r"https?:|url\((?!#)|@import", TEXTS[code])
    for _, attributes in PAGES[code].elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data", "poster"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    (policy,) = PAGES[code].having(**{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    assert "script-src 'sha256-" in policy["content"]


@in_every_language
def test_only_the_script_that_the_policy_names_is_there(code):
    (script,) = re.findall(r"(?s)<script[^>]*>(.*?)</script>", TEXTS[code])
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in TEXTS[code]
    handlers = [name for _, attributes in PAGES[code].elements for name in attributes if name.startswith("on")]
    assert handlers == []


@in_every_language
def test_anchors_lead_somewhere_and_no_identifier_occurs_twice(code):
    page = PAGES[code]
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    links = [link["href"] for link in page.all("a")]
    drawn = [attributes["xlink:href"] for attributes in page.all("use")]
    clipped = re.findall(r"url\((#[^)]*)\)", str(page.elements))
    assert len(links) == len(page.all("section")) > 5
    assert drawn
    assert clipped
    assert {link.removeprefix("#") for link in links + drawn + clipped} <= set(identifiers)


@in_every_language
def test_every_figure_has_a_title_a_caption_and_words_for_who_does_not_see_it(code):
    text, stop = TEXTS[code], language(code)("page.stop")
    sections = re.findall(r"(?s)<section.*?</section>", text)
    for section in sections:
        (title,) = re.findall(r'<p class="finding">(.*?)</p>', section)
        (caption,) = re.findall(r"(?s)<figcaption>(.*?)</figcaption>", section)
        (alt,) = re.findall(r'<div class="content" role="group" aria-label="([^"]+)">', section)
        for sentence in (title, caption, alt):
            assert sentence.endswith(stop)
            assert not sentence.endswith(2 * stop)
        assert re.findall(r"<h2>(.+?)</h2>", section)
    assert len(PAGES[code].all("figure")) == len(sections)
    assert all(image["alt"] for image in PAGES[code].all("img"))
    # A drawing is hidden from who does not see it, for its figure says what it shows.
    assert all(drawing["aria-hidden"] == "true" for drawing in PAGES[code].all("svg"))


@in_every_language
def test_every_number_that_was_measured_is_on_the_page(code):
    say, words = language(code), PAGES[code].words
    protocol, (ddpm, heun) = METRICS["protocol"], METRICS["samplers"]
    for value in (
        say.spread(METRICS["frechet_distance"], METRICS["frechet_distance_spread"]),
        say.spread(METRICS["noise_floor"], METRICS["noise_floor_spread"]),
        *(say.percent(METRICS[name]) for name in ("class_accuracy", "classifier_accuracy")),
        *(say.duration(METRICS[name]) for name in ("seconds", "train_seconds", "total_seconds")),
        *(say.count(METRICS["parameters"]), METRICS["machine"]),
        *(say("protocol.none") if value is None else str(value) for value in protocol.values()),
        *(say.count(ddpm[name]) for name in ("steps", "nfe", "images")),
        *(say.duration(ddpm["seconds"]), say.duration(ddpm["seconds"] / 100), say.percent(ddpm["class_accuracy"])),
        *("Heun", say.count(heun["steps"]), say.count(heun["nfe"]), say.count(heun["images"])),
        *(say.duration(heun["seconds"]), say.duration(heun["seconds"] / 899), say.percent(heun["class_accuracy"])),
        *(say.percent(row[name]) for row in METRICS["guidance"]["scales"] for name in ("class_accuracy", "saturated")),
        *(say.percent(METRICS["guidance"][name]) for name in ("real_accuracy", "real_saturated")),
        *("103", "21", "1234"),
        *(say.percent(mode["share"]) for modes in METRICS["mixture"].values() for mode in modes),
        *(say.spread(mode["mean"], mode["deviation"]) for modes in METRICS["mixture"].values() for mode in modes),
        *(say.number(number) for number in (heun["frechet_distance"], *heun["frechet_distance_interval"])),
        *("DDPM", say("unit.unknown"), say.number(0.8), say.number(0.2), say.count(3000)),
    ):
        assert value.replace("\N{NO-BREAK SPACE}", " ") in words, value


def test_a_distance_is_told_in_units_of_the_noise_floor():
    def finding(distance):
        judgement = MEASURED.judgement.model_copy(update={"frechet_distance": distance, "noise_floor": 20.0})
        return re.findall(r"<h1>(.*)</h1>", render(language("en"), story(judgement=judgement)))[0]

    assert "1.25 times as far" in finding(25.0)
    assert "no farther" in finding(20.0)


@in_every_language
def test_names_are_shown_as_they_are(code):
    page = PAGES[code]
    assert "runs & <b>digits</b>" in page.words
    assert "<i>two</i>" in page.words
    assert any('a"onload="x' in image["alt"] for image in page.all("img"))
    assert not [attributes for _, attributes in page.elements if "onload" in attributes]
    assert page.all("b", "i") == []


@in_every_language
def test_the_page_says_its_language_and_can_be_mailed(code, monkeypatch):
    assert PAGES[code].all("html") == [{"lang": code}]
    assert len(TEXTS[code].encode()) < 1_000_000
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")
    assert render(language(code), story()) == TEXTS[code], "the same story is told in the same words"


@in_every_language
def test_a_run_that_has_just_begun_has_a_page(code):
    page = Page(render(language(code), BARE))
    assert language(code)("answer.begun") in page.words
    assert [section["id"] for section in page.all("section")] == ["schedules", "embedding"]
    assert page.all("details", "img", "dl") == []


@pytest.mark.parametrize(
    ("images", "total", "said"),
    [
        (0, 4000, "No image has been seen yet."),
        (1000, 4000, "1,000 of 4,000 images seen."),
        (1000, 0, "1,000 images seen so far."),
        (4000, 4000, "Trained on 4,000 images."),
    ],
)
def test_how_far_a_run_has_come_is_said(images, total, said):
    assert said in told(judgement=None, images=images, total_images=total).words


def test_beside_a_finding_only_a_run_under_way_says_so():
    assert '<p class="note">1,000 of 4,000 images seen.</p>' in render(
        language("en"), story(images=1000, drawn_after=1000)
    )
    assert 'class="note">4,000' not in TEXTS["en"]


@pytest.mark.parametrize("why", ["no_checkpoint", "damaged", "own_network"])
def test_why_there_are_no_samples_is_said(why):
    page = told(samples=None, walk=(), undrawn=why)
    assert language("en")(f"answer.{why}") in page.words
    assert page.having(id="samples") == page.having(id="emergence") == []


def test_older_weights_are_told_of():
    assert "drawn from the weights after 3,000 images" in told(drawn_after=3000).words
    assert "drawn from the weights" not in PAGES["en"].words


@pytest.mark.parametrize(("seen", "told_of"), [(3000, True), (4000, False), (0, False)])
def test_a_judgement_of_older_weights_is_told_of(seen, told_of):
    judgement = MEASURED.judgement.model_copy(update={"protocol": {"n": 2, "images_seen": seen}})
    assert ("those of the weights after 3,000 images" in told(judgement=judgement).words) is told_of


def test_pictures_that_are_shrunk_are_told_of():
    assert "256 × 128 pixels and are shown at 64 × 32" in told(samples=torch.zeros(2, 1, 3, 128, 256)).words
    assert "are shown at" not in PAGES["en"].words


def test_what_there_is_nothing_to_show_of_is_left_out():
    shown = told(
        measured=Measured(),
        **dict.fromkeys(("original", "mixture", "network", "guided", "neighbours")),
        lines=[],
        walk=(),
    )
    assert [section["id"] for section in shown.all("section")] == ["samples", "schedules", "embedding"]


def test_a_model_without_measured_accuracy_has_a_report():
    rows = [{**row, "class_accuracy": None} for row in METRICS["samplers"]]
    measured = Measured.read({**METRICS, "class_accuracy": None, "samplers": rows})
    unmeasured = told(judgement=measured.judgement, measured=measured, recognised=None)
    assert "3 samples of every class." in unmeasured.words
    assert "how accurate the two are was not measured" in unmeasured.words


def test_times_are_told_only_where_they_were_measured():
    assert "wall-clock time on 2 cores & torch" in PAGES["en"].words
    assert "Times are" not in told(measured=MEASURED.model_copy(update={"machine": ""})).words


def test_a_page_that_nobody_could_mail_is_refused(monkeypatch):
    monkeypatch.setattr(html, "LARGEST_PAGE", 1000)
    with pytest.raises(KakusanError, match=r"more than 1,000 \(show fewer or smaller pictures"):
        told()
