"""Every study, from its name to its page: whole, gone on with, and true to what it measured."""

import csv
import json
import signal

import pytest
import torch

from kakusan import api, config
from kakusan.commands import main
from kakusan.config.names import STUDIES
from kakusan.data.batches import ImageBatches
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation import judge as judging
from kakusan.pictures import save
from kakusan.reporting.experiment import render, spoken
from kakusan.reporting.language import language, languages
from kakusan.results import Value
from kakusan.runs import Run
from kakusan.seeing import seen as seeing
from kakusan.studies import gan
from kakusan.studies import workshop as workshops
from kakusan.studies.conduct import conduct, place_of
from kakusan.studies.experiments import class_conditional, ddim_steps, families, latent, metrics, schedules
from kakusan.studies.workshop import Workshop
from kakusan.training.engine import Engine
from kakusan.trials import Trial, as_csv, averaged

TINY = {
    "network.channels": [8, 16],
    "network.blocks": 1,
    "training.images": 640,
    "training.samples_every": 0,
    "evaluation.n": 40,
    "evaluation.splits": 2,
    "sampling.steps": 3,
}
JUDGED = [name for name, study in STUDIES.items() if study.judged]
SMALL = {"network.channels": [8, 16], "training.images": 640, "training.samples_every": 0}


@pytest.fixture(autouse=True)
def _small(tmp_path, monkeypatch):
    """A judge that has learned nothing, and walks of few steps, show as much of how a study is done."""
    for module in (judging, seeing):
        monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path / "cache")
    monkeypatch.setattr(judging, "_train", lambda network, images, recipe, show: network)
    monkeypatch.setattr(ddim_steps, "STEPS", (2, 3))
    monkeypatch.setattr(ddim_steps, "_WHOLE", 6)
    monkeypatch.setattr(ddim_steps, "_IMAGES", 6)
    monkeypatch.setattr(ddim_steps, "_TIMED", 2)
    monkeypatch.setattr(class_conditional, "SCALES", (1.0, 3.0))
    monkeypatch.setattr(metrics, "_MOMENTS", 2)
    monkeypatch.setattr(latent, "autoencoder_of", lambda shop: config.load("digits-autoencoder", SMALL))
    monkeypatch.setattr(families, "_WIDTHS", (8,))
    for module in (latent, families):
        monkeypatch.setattr(module, "_PACE", 0.1)
    for name, value in (("_WIDTH", 8), ("_PACE", 2)):
        monkeypatch.setattr(gan, name, value)


def do(name, path, **more):
    return conduct(name, path=path, overrides=TINY, show=False, **more)


@pytest.mark.parametrize("name", JUDGED)
def test_a_study_ends_in_a_page_and_a_table_of_the_same_numbers(name, tmp_path):
    found, path = do(name, tmp_path / "study")
    page = (path / "report.html").read_text()
    rows = list(csv.DictReader((path / "table.csv").open()))
    for part in found.parts:
        for trial in part.trials:
            for quantity, it in trial.values.items():
                (row,) = [
                    row
                    for row in rows
                    if (row["part"], row["trial"], row["quantity"]) == (part.name, trial.name, quantity)
                ]
                assert float(row["value"]) == pytest.approx(it.value, nan_ok=True)
                if "distance" in trial.values:
                    assert {"features", "reference_hash", "n"} <= json.loads(row["protocol"]).keys()
    for code in languages():
        say = language(code)
        text = render(say, found)
        for sentence in found.finding:
            assert spoken(say, sentence).replace("'", "&#39;") in text
    assert spoken(language("en"), found.finding[0]).replace("'", "&#39;") in page
    assert "ended within the warm-up of 6,400" in page  # so short is all here


@pytest.mark.parametrize("name", JUDGED)
def test_who_was_stopped_goes_on_and_finds_the_same(name, tmp_path, monkeypatch):
    """What was found is not found again: nothing is trained or drawn by the second call but pictures."""
    whole, path = do(name, tmp_path / "study")
    clock = (path / "seconds.txt").read_text()
    monkeypatch.setattr(workshops, "evaluate", None)
    monkeypatch.setattr(workshops.api, "train", lambda *, resume, show: Run.open(resume))
    again, _ = do(name, tmp_path / "study")
    assert {**again.as_dict(), "seconds": 0} == {**whole.as_dict(), "seconds": 0}
    assert (path / "seconds.txt").read_text() == clock  # to read it again takes no time


def test_a_training_that_was_interrupted_is_no_finding(tmp_path, monkeypatch):
    advance = Engine._advance

    def interrupted(self):
        if self.step == 3 and type(self._task).__name__ == "Denoising":
            raise KeyboardInterrupt
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "_advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            do("schedules", tmp_path / "study")
    assert not (tmp_path / "study" / "report.html").exists()
    found, path = do("schedules", tmp_path / "study")
    assert (path / "report.html").exists()
    assert len(found.parts[0].trials) == 3


def test_a_directory_holds_one_study(tmp_path):
    do("schedules", tmp_path / "study")
    with pytest.raises(KakusanError, match="holds another study: study was schedules there, and is metrics here"):
        do("metrics", tmp_path / "study")
    with pytest.raises(KakusanError, match=r"training\.images was 640 there, and is 1280 here"):
        conduct("schedules", path=tmp_path / "study", overrides={**TINY, "training.images": 1280}, show=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter.txt").write_text("dear")
    with pytest.raises(KakusanError, match="holds files, and no study"):
        do("schedules", tmp_path / "other")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("schedule", "unknown study 'schedule': did you mean 'schedules'?"),
        ("schedules --preset digts", "unknown preset 'digts': did you mean 'digits'?"),
        ("schedules --budget huge", "'huge' is not one of 'quick', 'full'"),
        ("schedules --training.image 5", "unknown field of training 'image'"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(arguments, sentence, capsys):
    assert main(["study", *arguments.split()]) == 2
    assert sentence in capsys.readouterr().err


def test_the_command_says_the_finding(tmp_path, capsys):
    fields = [it for name, value in TINY.items() for it in (f"--{name}", str(value).strip("[]"))]
    assert main(["study", "schedules", "--run", str(tmp_path / "a"), "--lang", "en", *fields]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Trained alike, ")
    assert said[-1] == str(tmp_path / "a" / "report.html")
    assert main(["study", "schedules", "--run", str(tmp_path / "a"), "--json", "--lang", "en", *fields]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [f"{sentence}." for sentence in told["finding"]] == said[:2]
    assert [trial["name"] for trial in told["parts"]["compared"]] == ["linear", "cosine", "quadratic"]


def test_a_network_without_classes_has_no_study_of_them(tmp_path):
    with pytest.raises(KakusanError, match="simple_unet knows no classes"):
        conduct("class-conditional", path=tmp_path / "a", overrides={"network.kind": "simple_unet"}, show=False)


def test_studies_have_places_of_their_own():
    places = {
        place_of(name, preset, budget) for name in STUDIES for preset in ("a", "b.yaml") for budget in ("quick", "full")
    }
    assert len(places) == 4 * len(STUDIES)
    assert str(place_of("mini")) == "runs/study-mini-shapes-text"


def trial(name, distance, spread=0.1, **more):
    interval = (distance - spread, distance + spread)
    values = {"distance": Value(value=distance, interval=interval), "score": Value(value=5)}
    return Trial(name=name, values={**values, "train_seconds": Value(value=60), **more})


@pytest.mark.parametrize(
    ("distances", "key"),
    [((1.0, 2.0, 3.0), "best"), ((1.0, 1.1, 3.0), "leads"), ((1.0, 1.1, 1.15), "alike"), ((3.0, 1.0, 1.1), "leads")],
)
def test_nothing_is_best_within_the_doubt(distances, key):
    rows = [trial(name, it) for name, it in zip(schedules.SCHEDULES, distances, strict=True)]
    first, _ = schedules.finding(rows)
    assert first.key == f"study.schedules.{key}"
    assert first.values["distance"] == min(distances)


@pytest.mark.parametrize(("plain", "conditional", "key"), [(2, 1, "nearer"), (1, 2, "farther"), (1, 1.1, "alike")])
def test_knowing_the_class_helps_if_it_does(plain, conditional, key):
    found = class_conditional.finding([trial("unconditional", plain), trial("conditional", conditional)])
    assert found.key == f"study.class-conditional.{key}"


def test_several_seeds_become_a_mean_and_its_spread():
    rows = [trial("linear", it) for it in (1.0, 2.0, 3.0)]
    together = averaged(rows)
    low, high = together.values["distance"].interval
    assert together.values["distance"].value == 2.0
    assert high - 2 == pytest.approx(4.303 / 3**0.5, rel=1e-3)  # Student's, of three
    assert low == 0, "no distance is less"
    assert averaged(rows[:1]) == rows[0]


def test_trainings_that_happen_to_agree_are_no_surer_than_what_was_measured_of_each():
    sure = Value(value=1.0, interval=(0.94, 1.0))
    (found,) = averaged([Trial(name="cat", values={"accuracy": sure})] * 3).values.values()
    assert found.interval == (pytest.approx(1 - 0.03 / 3**0.5), 1.0)


def test_the_whole_budget_trains_three_of_each(tmp_path):
    settings = config.load("digits", TINY)
    full, quick = (
        Workshop(tmp_path / budget, "schedules", "digits", budget, settings, show=False) for budget in ("full", "quick")
    )
    assert (len(full.seeds), len(quick.seeds)) == (3, 1)
    assert full.images_to_see == quick.images_to_see == 640
    long = config.load("digits", {**TINY, "training.images": 900_000})
    assert Workshop(tmp_path / "a", "schedules", "digits", "quick", long, show=False).images_to_see == 80_000


def test_latents_are_nearer_or_farther_only_beyond_doubt():
    def row(name, distance, numbers):
        values = {"distance": Value(value=distance, interval=(distance - 0.1, distance + 0.1))}
        values |= {key: Value(value=numbers) for key in ("numbers", "operations", "seconds", "images")}
        return Trial(name=name, values=values)

    for distance, key in ((0.5, "nearer"), (1.05, "alike"), (2.0, "farther")):
        first, second = latent.finding([row("pixels", 1.0, 64), row("latents", distance, 32)])
        assert first.key == f"study.latent.{key}"
        assert (second.values["numbers"], second.values["images"]) == (2, 0.5)


def test_latents_are_those_of_the_autoencoder_that_the_study_is_given(tmp_path):
    given = api.train(config.load("digits-autoencoder", SMALL), run=tmp_path / "given", show=False)
    found, path = conduct(
        "latent", path=tmp_path / "study", overrides={**TINY, "data.latent": str(given.path)}, show=False
    )
    assert sorted(it.name for it in (path / "runs").iterdir()) == ["latents", "pixels"]
    assert config.load(Run.open(path / "runs" / "pixels").config_path).data.latent is None
    assert found.parts[2].trials[0].protocol["weights_hash"] == api.load_autoencoder(given).weights_hash
    assert "encoding" in found.parts[2].finding.values


def test_an_autoencoder_is_trained_no_longer_than_the_budget(tmp_path):
    settings = config.load("digits", TINY)
    shop = Workshop(tmp_path, "latent", "digits", "quick", settings, show=False)
    assert shop.within_budget(config.load("digits-autoencoder")) == 80_000


def test_a_gan_learns_to_draw_what_it_sees(monkeypatch):
    """Images that are all one grey: what it draws comes nearer to it, step by step, and the same for the same seed."""
    monkeypatch.setattr(gan, "_WIDTH", 16)
    grey = ImageBatches(ImageSet(torch.full((64, 1, 8, 8), 200, dtype=torch.uint8)))
    z = torch.randn(16, gan.LATENT, generator=torch.Generator().manual_seed(0))

    def apart(steps):
        return (gan.train(grey, steps, 0, torch.device("cpu"), show=False)(z) - 200 / 127.5 + 1).abs().mean().item()

    assert apart(200) < 0.6 * apart(1)
    assert apart(3) == apart(3)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (3, 12, 20), (1, 7, 9)])
def test_the_families_fit_images_of_any_size(shape):
    images = gan.Generator(shape)(torch.zeros(2, gan.LATENT))
    assert images.shape == (2, *shape)
    assert gan.Discriminator(shape)(images).shape == (2,)
    settings = families.vae_of(config.load("digits"), shape)
    assert shape[1] % 2 ** (len(settings.network.channels) - 1) == 0


@pytest.mark.parametrize("name", metrics.RESIZING)
def test_a_flat_picture_stays_as_it_is_however_it_is_resized(name):
    flat = torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(metrics.resized(flat, metrics.RESIZING[name]), flat)


def test_a_damaged_finding_is_found_again(tmp_path):
    whole, path = do("schedules", tmp_path / "study")
    (path / "found" / "judged-linear-0.json").write_text("{")
    again, _ = do("schedules", tmp_path / "study")
    ours, theirs = (it.parts[0].trials[0].values["distance"] for it in (again, whole))
    assert ours == theirs


def test_a_table_holds_every_number(tmp_path):
    found, _ = do("class-conditional", tmp_path / "study")
    count = sum(len(trial.values) for part in found.parts for trial in part.trials)
    assert as_csv(found).count("\n") == count + 1


def test_an_extra_checkpoint_of_an_interruption_is_no_moment(tmp_path, monkeypatch):
    whole, _ = do("metrics", tmp_path / "whole")
    advance = Engine._advance

    def interrupted(self):
        norm = advance(self)
        if self.step == 4 and type(self._task).__name__ == "Denoising":
            signal.raise_signal(signal.SIGINT)
        return norm

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "_advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            do("metrics", tmp_path / "cut")
    cut, path = do("metrics", tmp_path / "cut")
    assert len(Run.open(path / "runs" / "model").checkpoints()) > len(whole.parts[0].trials)
    assert [trial.values["distance"] for trial in cut.parts[0].trials] == [
        trial.values["distance"] for trial in whole.parts[0].trials
    ]


def test_what_was_judged_of_other_weights_is_judged_again(tmp_path):
    found, path = do("schedules", tmp_path / "study")
    place = path / "found" / "judged-linear-0.json"
    told = json.loads(place.read_text())
    place.write_text(json.dumps({**told, "frechet_distance": 0.0, "protocol": {"weights_hash": "another"}}))
    again, _ = do("schedules", tmp_path / "study")
    ours, theirs = (it.parts[0].trials[0].values["distance"].value for it in (again, found))
    assert ours == theirs > 0


def test_features_of_another_network_are_not_mixed_in(tmp_path):
    _, path = do("schedules", tmp_path / "study")
    (path / "found" / "reference.json").write_text('{"features": "inception 6726825d", "remarks": []}')
    (path / "found" / "judged-cosine-0.json").unlink()
    with pytest.raises(KakusanError, match="was begun with features of inception 6726825d"):
        do("schedules", tmp_path / "study")


def test_three_of_each_are_trained_from_other_seeds(tmp_path):
    found, path = do("class-conditional", tmp_path / "study", budget="full")
    seeds = {Run.open(run).path.name for run in (path / "runs").iterdir()}
    assert len(seeds) == 6
    assert found.parts[0].trials[0].protocol["seeds"] == 3
    assert [note.key for note in found.notes] == ["study.unlearned"]  # and none of trainings that are alone


def test_a_study_of_classes_asks_for_no_guidance_of_a_model_without(tmp_path):
    """As of a preset that draws with guidance."""
    overrides = {**TINY, "sampling.guidance": 1.5}
    found, _ = conduct("class-conditional", path=tmp_path / "a", overrides=overrides, show=False)
    assert found.parts[0].trials[0].protocol["guidance"] == 1.0


def test_images_that_cannot_be_judged_are_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "plain").mkdir()
    for index in range(30):
        save(tmp_path / "plain" / f"{index}.png", torch.full((1, 8, 8), index, dtype=torch.uint8))
    overrides = {**TINY, "data.source": str(tmp_path / "plain"), "network.class_conditional": False}
    with pytest.raises(KakusanError, match="has no classes to tell apart"):
        conduct("schedules", path=tmp_path / "a", overrides=overrides, show=False)
    assert not (tmp_path / "a" / "runs").exists()


def test_a_chain_too_short_to_be_walked_in_a_thousand_steps_is_refused_before_training(tmp_path):
    with pytest.raises(KakusanError, match="steps must be between 1 and 5 for this chain, not 6"):
        conduct("ddim-steps", path=tmp_path / "study", overrides={**TINY, "schedule.steps": 5}, show=False)
    assert not (tmp_path / "study" / "runs").exists()


def test_along_a_training_that_changes_nothing_no_moment_is_the_best():
    def moment(images, distance):
        doubt = (distance - 5, distance + 5)
        values = {"distance": Value(value=distance, interval=doubt), "score": Value(value=100 - distance)}
        return Trial(name=str(images), values={**values, "images": Value(value=images)})

    assert metrics.finding([moment(80, 76.7), moment(640, 76.6)]).key == "study.metrics.alike"
    assert metrics.finding([moment(80, 76.7), moment(640, 46.6)]).key == "study.metrics.moved"
    settled = metrics.finding([moment(80, 76.7), moment(160, 50), moment(320, 46), moment(640, 46.6)])
    assert settled.values["settled"] == 160, "within the doubt as good as the best"


def test_guidance_within_the_doubt_has_no_best_scale():
    def drawn(scale, distance):
        values = {"distance": Value(value=distance, interval=(distance - 1, distance + 1))}
        values |= {"accuracy": Value(value=0.5), "guidance": Value(value=scale)}
        return Trial(name=f"w = {scale:g}", values=values)

    alike = class_conditional.guiding([drawn(1, 5), drawn(1.5, 4), drawn(5, 9)])
    assert (alike.key, alike.values["near"]) == ("study.class-conditional.guided_alike", "1, 1.5")
    assert class_conditional.guiding([drawn(1, 9), drawn(1.5, 4), drawn(5, 9)]).key == "study.class-conditional.guided"


def test_the_hardest_class_is_named_beside_those_that_may_be_as_hard():
    def of(name, accuracy, half):
        interval = (accuracy - half, accuracy + half)
        return Trial(name=name, values={"accuracy": Value(value=accuracy, interval=interval)})

    alike = class_conditional.hardest([of("cat", 0.3, 0.1), of("dog", 0.35, 0.1), of("ship", 0.9, 0.1)])
    assert (alike.key, alike.values["others"]) == ("study.class-conditional.hardest_alike", "dog")
    alone = class_conditional.hardest([of("cat", 0.3, 0.1), of("ship", 0.9, 0.1)])
    assert alone.key == "study.class-conditional.hardest"
