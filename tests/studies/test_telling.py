"""Whatever state a run is in, its report tells what there is to tell, and what is missing."""

import json
import re
import shutil

import pytest
import torch

from kakusan import api
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.pictures import save
from kakusan.reporting.anatomy import Network
from kakusan.runs import Run
from kakusan.studies.telling import tell, write_report
from tests import tiny

TINY = {
    "network.channels": "8,16",
    "network.attention_resolutions": "",
    "schedule.steps": 20,
    "sampling.steps": 2,
    "training.samples_every": 0,
    "training.log_every": 1,
}


def trained(path, data="digits", steps=2, **more):
    """Trains hardly at all, with a checkpoint after every step of 8 images."""
    given = {**TINY, "training.checkpoint_every": 8, "training.batch_size": 8, "training.images": None, **more}
    return api.train("digits", run=path, data=data, steps=steps, device="cpu", overrides=given, show=False)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture
def run(digits, tmp_path):
    return Run.open(shutil.copytree(digits.path, tmp_path / "mine"))


def read(run, lang="en"):
    write_report(run, lang, device="cpu", show=False)
    return (run.path / "report.html").read_text("utf-8").replace("\N{NO-BREAK SPACE}", " ")


def test_a_finished_run_is_told_whole(digits):
    story = tell(digits, device="cpu", show=False)
    assert (story.images, story.total_images, story.drawn_after, story.undrawn) == (16, 16, 16, "")
    assert story.samples.shape == (10, 10, 1, 8, 8)
    assert torch.equal(
        story.samples[3, 0],
        api.sample(api.load(digits, device="cpu"), n=100, labels=[label for label in range(10) for _ in range(10)])[30],
    )
    assert story.walk
    assert len(story.neighbours.distances) == 100
    assert story.guided is None, "no scale was measured"
    assert [stack.channels for stack in story.network.shape.down] == [8, 16]
    assert story.measured.machine == "", "no time was measured"
    assert "Trained on 16 images" in read(digits)


def test_what_is_planted_in_the_file_is_what_the_page_says(run):
    """Even where an evaluation in the books seems to say more."""
    planted = {
        **{"frechet_distance": 3.4567, "frechet_distance_spread": 0.1234, "noise_floor": 0.4321},
        **{"noise_floor_spread": 0.0987, "class_accuracy": 0.6173, "classifier_accuracy": 0.9341, "seconds": 7.0},
    }
    run.record({"evaluation": {**planted, "frechet_distance": 9.8765, "protocol": {"n": 898, "images_seen": 16}}})
    protocol = {"n": 877, "images_seen": 16}
    other = {"train_seconds": 71.5, "total_seconds": 143.0, "machine": "an abacus", "protocol": protocol}
    (run.path / "metrics.json").write_text(json.dumps({**planted, **other}))
    page = read(run)
    assert "8.00 times as far" in page
    for shown in ("3.46", "0.432", "61.7 %", "93.4 %", "71.5 s", "2 min 23 s", "an abacus", "877"):
        assert shown in page
    assert "9.88" not in page
    run.record({"evaluation": {**planted, "frechet_distance": 9.8765, "protocol": {"images_seen": 24}}})
    assert "9.88" in read(run), "later weights were judged"


def test_the_same_run_is_told_in_the_same_words(digits):
    assert read(digits, "ja") == read(digits, "ja")


def test_a_run_that_has_just_begun_has_a_report(tmp_path, digits):
    begun = Run.create(tmp_path / "begun")
    begun.write_config(digits.config_path.read_text())
    page = read(begun)
    assert "No image has been seen yet." in page
    assert "No checkpoint has been saved yet" in page
    begun.record({"step": 1, "images": 8, "loss": 0.5})
    assert "8 of 16 images seen." in read(begun)
    assert "延べ16枚のうち8枚まで学習した。" in read(begun, "ja")


def test_a_run_under_way_says_how_far_it_has_come_and_which_weights_drew(run):
    run.record({"step": 1, "images": 8, "loss": 0.5})
    state = run.checkpoint(8).state()
    shutil.rmtree(run.checkpoint().path)
    (run.checkpoint(8).path / "state.json").write_text(json.dumps(state | {"total_images": 4000}))
    page = read(run)
    assert "16 of 4,000 images seen." in page
    assert "The samples are drawn from the weights after 8 images." in page


def test_a_judged_run_under_way_says_so_beside_the_finding(run):
    state = run.checkpoint().state()
    (run.checkpoint().path / "state.json").write_text(json.dumps(state | {"total_images": 4000}))
    run.record({"evaluation": judged(3.0)})
    page = read(run)
    assert "2.00 times as far" in page
    assert '<p class="note">16 of 4,000 images seen.</p>' in page


@pytest.mark.parametrize("name", ["ema.safetensors", "state.json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_is_told_of(run, capsys, name):
    (run.checkpoint().path / name).write_bytes(b"\x10\0\0")
    story = tell(run, device="cpu", show=False)
    assert (story.images, story.drawn_after) == (16, 8)
    said = capsys.readouterr().err
    assert said.startswith("no pictures from checkpoint 16: ")
    assert said.count("\n") == 1


def test_where_no_checkpoint_can_be_read_the_rest_is_told(run, capsys):
    for checkpoint in run.checkpoints():
        (checkpoint.path / "ema.safetensors").unlink()
    page = read(run)
    assert "No checkpoint can be read" in page
    assert 'id="loss"' in page
    assert 'id="samples"' not in page
    assert capsys.readouterr().err.count("\n") == 2


def test_a_network_of_ones_own_is_told_without_pictures(tmp_path):
    run = api.train(
        network=tiny.PlainNetwork(), data=tiny.pictures(), run=tmp_path / "own", steps=2, device="cpu", show=False
    )
    page = read(run)
    assert "a network of its own" in page
    told = tell(run, device="cpu", show=False).network
    assert told == Network("PlainNetwork", sum(weight.numel() for weight in tiny.PlainNetwork().parameters()))
    assert "Trained on 256 images" in page
    assert 'id="loss"' in page


@pytest.mark.parametrize("labelled", [True, False])
def test_colours_of_a_folder_that_is_gone_are_told(tmp_path, labelled):
    folder = tmp_path / "photos"
    for i, image in enumerate(tiny.pictures(12, (3, 8, 8)).images):
        save(folder / (("三毛猫", "a & <b>")[i % 2] if labelled else "") / f"{i}.png", image)
    run = trained(tmp_path / "run", str(folder), **{"data.size": 8, "network.class_conditional": labelled})
    rows = 2 if labelled else 4
    assert tell(run, device="cpu", show=False).samples.shape == (rows, 10, 3, 8, 8)
    assert ("三毛猫" in read(run)) is labelled
    assert 'id="forward"' in read(run)
    shutil.rmtree(folder)
    assert not {'id="forward"', 'id="neighbours"'} & set(re.findall(r'id="\w+"', read(run)))
    assert 'id="samples"' in read(run)


def test_large_pictures_are_shrunk_and_that_is_said(tmp_path):
    noise = torch.randint(0, 256, (8, 3, 256, 256), dtype=torch.uint8)
    data = ImageSet(noise, torch.arange(8) % 2, ("a", "b"), "noise")
    small = {"network.channels": "8,8,8,8,8,8", "sampling.batch": 8, "training.batch_size": 2}
    page = read(trained(tmp_path / "run", data, steps=1, **small))
    assert "The pictures have 256 × 256 pixels and are shown at 64 × 64." in page
    assert len(page.encode()) < 4_000_000


def judged(distance, **protocol):
    """Returns a judgement as it stands in a file."""
    spreads = {"frechet_distance_spread": 0.1, "noise_floor": 1.5, "noise_floor_spread": 0.2, "seconds": 1.0}
    found = {"frechet_distance": distance, "class_accuracy": None, "classifier_accuracy": 0.9}
    how = {"sampler": "ddim", "steps": 2, "eta": 0.0, "variance": "posterior", "guidance": 1.0, "threshold": "clip"}
    return {**found, **spreads, "protocol": {"n": 100, "nfe": 2, "images_seen": 16, **how, **protocol}}


def test_numbers_that_a_study_measured_are_told(run):
    run.record({"evaluation": judged(1.0)})
    (run.path / "metrics.json").write_text(json.dumps({"parameters": 12_345, "machine": "an abacus"}))
    story = tell(run, device="cpu", show=False)
    assert story.judgement.frechet_distance == 1.0
    assert (story.parameters, story.measured.machine) == (12_345, "an abacus")


@pytest.mark.parametrize(
    ("protocol", "told"),
    [
        ({}, 1.0),
        ({"n": 101}, 2.0),
        ({"images_seen": 24, "n": 10}, 2.0),
        ({"n": 1000, "guidance": 7.5}, 1.0),
        ({"images_seen": 8, "n": 1000}, 1.0),
        ({"n": 20}, 1.0),
        ({"nfe": 1}, 1.0),
        ({"images_seen": None}, 1.0),
    ],
    ids=[
        "equal",
        "more images",
        "trained on",
        "another guidance",
        "earlier weights",
        "few images",
        "few steps",
        "unknown weights",
    ],
)
def test_of_several_judgements_the_one_that_says_most_is_told(run, protocol, told):
    run.record({"evaluation": judged(2.0, **protocol)})
    run.record({"evaluation": judged(1.0)})
    assert tell(run, device="cpu", show=False).judgement.frechet_distance == told


@pytest.mark.parametrize(
    ("protocol", "said"),
    [({}, True), ({"guidance": 0.0}, False), ({"steps": 50}, False), ({"weights_hash": "0"}, False)],
)
def test_samples_are_called_recognised_only_where_such_samples_were_judged(run, protocol, said):
    model = api.load(run, device="cpu")
    of_these = {"weights_hash": model.weights_hash, "grid": "trailing", **protocol}
    run.record({"evaluation": {**judged(1.0, **of_these), "class_accuracy": 0.987}})
    assert tell(run, device="cpu", show=False).recognised == (0.987 if said else None)


def test_a_judgement_that_is_not_whole_is_left_out(run):
    run.record({"evaluation": {"frechet_distance": 1.0}})
    assert tell(run, device="cpu", show=False).judgement is None


def test_what_cannot_be_had_is_refused_and_nothing_written(run):
    (run.path / "report.html").unlink(missing_ok=True)
    for lang, device, sentence in (("fr", "cpu", "unknown language 'fr'"), ("en", "tpu", "tpu")):
        with pytest.raises(KakusanError, match=sentence):
            write_report(run, lang, device=device, show=False)
    for damaged, sentence in (
        ("{", "line 1 column 2"),
        ('{"frechet_distance": null}', "frechet_distance: .*, not None"),
    ):
        (run.path / "metrics.json").write_text(damaged)
        with pytest.raises(KakusanError, match=rf"metrics\.json cannot be read: .*{sentence}"):
            write_report(run, "en", show=False)
    assert not (run.path / "report.html").exists()
