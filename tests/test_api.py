"""What a notebook calls: train, load, sample, walk, evaluate."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import kakusan
from kakusan import build, config, feeding, pictures, schedules
from kakusan.config.names import SAMPLERS
from kakusan.data import prepare
from kakusan.errors import KakusanError
from kakusan.evaluation import judge as judging
from kakusan.parametrization import Epsilon, Flow, V
from kakusan.runs import Run
from kakusan.schedules import Chain
from kakusan.training import start
from tests import tiny
from tests.oracles import SCHEDULES, Gaussian
from tests.test_parametrization import PAIRS, PARAMETRIZATIONS, REFUSED
from tests.tiny import assert_same, metrics

SMALL = {
    "network.channels": "8",
    "network.attention_resolutions": "[]",
    "network.blocks": 1,
    "training.log_every": 1,
    "training.samples_every": 0,
    "sampling.steps": 2,
}


@pytest.fixture
def train(tmp_path):
    """Trains two steps in a new run below the test's own directory, unless told otherwise."""

    def call(preset=None, *, run="run", overrides=(), **given):
        if "resume" not in given:
            given |= {"run": tmp_path / run, "batch_size": given.get("batch_size", 4)}
        given = {"steps": 2, "show": False, **given}
        return kakusan.train(
            preset, overrides={**SMALL, **dict(overrides)} if "resume" not in given else overrides, **given
        )

    return call


def own(network=None, **given):
    """Trains a network of one's own."""
    overrides = {"training.log_every": 1, "training.samples_every": 0, **given.pop("overrides", {})}
    given = {"data": tiny.pictures(), "steps": 2, "show": False, "batch_size": 4, **given}
    return kakusan.train(network=network or tiny.network(), overrides=overrides, **given)


def settings_of(run):
    return config.load(run.config_path)


def test_a_preset_trains_into_a_run_that_describes_itself(train):
    run = train("digits")
    assert {path.name for path in run.path.iterdir()} == {"config.yaml", "metrics.jsonl", "checkpoints", "log.txt"}
    settings = settings_of(run)
    assert settings.data.source == "digits"
    assert settings.network.channels == (8,)
    assert (settings.training.steps, settings.training.images) == (2, None)
    assert [line["step"] for line in run.metrics()] == [1, 2]
    state = run.checkpoint().state()
    assert state["shape"] == [1, 8, 8]
    assert state["class_names"] == list("0123456789")
    assert "finished after 8 images" in (run.path / "log.txt").read_text()


def test_the_written_configuration_trains_the_same_run(train):
    first = train("digits", overrides={"network.dropout": 0.2, "data.flip": True})
    again = kakusan.train(first.config_path, run=first.path.parent / "again", show=False)
    assert_same(first, again)
    assert metrics(first) == metrics(again)
    as_object = kakusan.train(settings_of(first), run=first.path.parent / "object", show=False)
    assert_same(first, as_object)


def test_resuming_equals_going_on(train):
    """Class-conditional U-Net, dropout, hidden conditions, mirrored images, stopped in mid-epoch and extended."""
    overrides = {
        "network.dropout": 0.3,
        "data.flip": True,
        "optimizer.decay": "none",
        "objective.condition_dropout": 0.5,
    }
    whole = train("digits", steps=6, run="whole", overrides=overrides)
    parts = train("digits", steps=4, run="parts", overrides=overrides)
    assert train(resume=parts.path, steps=6) == parts
    assert settings_of(parts).training.steps == 6
    assert_same(whole, parts)
    assert metrics(whole) == metrics(parts)


def test_a_finished_run_has_nothing_to_resume(train):
    run = train("digits")
    assert train(resume=run, steps=None) == run
    with pytest.raises(KakusanError, match="is longer already: it has seen 8 images in 2 steps, not 4"):
        train(resume=run, steps=1)
    assert settings_of(run).training.steps == 2


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"seed": 1}, r"training\.seed cannot change in a run that goes on"),
        ({"batch_size": 2}, r"training\.batch_size cannot change"),
        ({"schedule": "linear"}, r"schedule\.kind cannot change"),
        ({"overrides": {"optimizer.learning_rate": 1.0}}, r"optimizer\.learning_rate cannot change"),
        ({"preset": "digits"}, "leave out preset and run"),
        ({"run": "elsewhere"}, "leave out preset and run"),
    ],
)
def test_what_makes_another_run_cannot_change_in_one(train, given, answer):
    run = train("digits")
    with pytest.raises(KakusanError, match=answer):
        kakusan.train(given.pop("preset", None), resume=run, steps=9, show=False, **given)


def test_how_a_run_is_watched_may_change(train):
    run = train("digits")
    again = train(resume=run, steps=3, overrides={"sampling.steps": 3, "evaluation.splits": 2})
    assert (settings_of(again).sampling.steps, settings_of(again).evaluation.splits) == (3, 2)


def test_a_run_does_not_go_on_with_images_that_have_become_more(tmp_path):
    """Their order would be another, and what was held out would be learned from."""
    for index in range(6):
        (tmp_path / "photos").mkdir(exist_ok=True)
        pictures.save(tmp_path / "photos" / f"{index}.png", torch.full((1, 8, 8), index / 10))
    settings = {"network.channels": "8", "training.batch_size": 2, "training.samples_every": 0}
    run = kakusan.train(data=tmp_path / "photos", run=tmp_path / "run", steps=2, overrides=settings, show=False)
    pictures.save(tmp_path / "photos" / "7.png", torch.zeros(1, 8, 8))
    with pytest.raises(KakusanError, match=r"learned from 6 images, and there are 7 in .*photos now"):
        kakusan.train(resume=run, steps=4, show=False)
    (tmp_path / "photos" / "7.png").unlink()
    assert kakusan.train(resume=run, steps=4, show=False).checkpoint().images == 8


def test_images_may_move_in_a_run_that_goes_on_and_may_not_change(tmp_path):
    for index in range(6):
        pictures.save(tmp_path / "photos" / f"{index}.png", torch.full((1, 8, 8), index / 10))
    settings = {"network.channels": "8", "training.batch_size": 2, "training.samples_every": 0}
    run = kakusan.train(data=tmp_path / "photos", run=tmp_path / "run", steps=2, overrides=settings, show=False)
    prepare(tmp_path / "photos", tmp_path / "cache.safetensors", show=False)
    (tmp_path / "photos").rename(tmp_path / "moved")
    for steps, place in ((4, "moved"), (6, "cache.safetensors")):
        kakusan.train(resume=run, steps=steps, overrides={"data.source": str(tmp_path / place)}, show=False)
        assert settings_of(run).data.source == str(tmp_path / place)
    pictures.save(tmp_path / "moved" / "3.png", torch.zeros(1, 8, 8))
    with pytest.raises(KakusanError, match=r"learned from other images, or other labels, than those in .*moved now"):
        kakusan.train(resume=run, steps=8, data=tmp_path / "moved", show=False)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("parametrization:\n  kind: v", "parametrization:\n  kind: x0", r"parametrization\.kind was v .* says x0 now"),
        ("  seed: 0", "  seed: 1", r"training\.seed was 0 .* says 1 now"),
        ("  groups: null", "  groups: 4", r"network\.groups was None .* says 4 now"),
    ],
)
def test_a_run_whose_file_somebody_changed_does_not_go_on(train, old, new, field):
    """Tensors would fit all the same, and be another run's under its name."""
    run = train("digits")
    text = run.config_path.read_text()
    assert text.count(old) == 1
    run.config_path.write_text(text.replace(old, new))
    with pytest.raises(KakusanError, match=field):
        kakusan.train(resume=run, steps=4, show=False)
    run.config_path.write_text(text.replace("  n: null", "  n: 7"))  # of an evaluation, which training does not ask
    assert kakusan.train(resume=run, steps=4, show=False).checkpoint().images == 16


def test_a_folder_called_as_a_source_is_one_where_a_path_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index in range(3):
        pictures.save(Path("digits") / f"{index}.png", torch.zeros(1, 8, 8))
    settings = {"network.channels": "8", "training.samples_every": 0}
    run = kakusan.train(data=Path("digits"), run="run", steps=1, batch_size=3, overrides=settings, show=False)
    assert run.checkpoint().state()["epoch"] == 3


def test_a_weight_that_no_loss_reaches_is_no_hindrance_to_going_on(tmp_path):
    class Spare(tiny.TinyNetwork):
        def __init__(self):
            super().__init__(width=8)
            self.spare = nn.Linear(2, 2)

    run = own(Spare(), run=tmp_path / "run")
    assert (
        kakusan.train(resume=run, network=Spare(), data=tiny.pictures(), steps=4, show=False).checkpoint().images == 16
    )


def test_a_loader_without_a_length_has_no_epochs(tmp_path):
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(torch.zeros(10, 1, 4, 4))

    loader = DataLoader(Stream(), batch_size=4)
    with pytest.raises(KakusanError, match=r"training\.epochs needs data whose length is known"):
        own(tiny.PlainNetwork(), data=loader, run=tmp_path / "none", steps=None, epochs=3)
    run = own(tiny.PlainNetwork(), data=loader, run=tmp_path / "run", steps=6)
    assert not any("epoch" in line for line in run.metrics())
    assert "learns images of 1×4×4" in (run.path / "log.txt").read_text()


def test_nothing_is_shown_of_images_that_are_read_unseen(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("kakusan.feeding.load", lambda source, show, **wishes: seen.append(show) or tiny.pictures())
    own(tiny.PlainNetwork(), data="photos", run=tmp_path / "run")
    assert seen == [False]


def test_an_accelerator_of_the_users_own_stays_as_it_is(tmp_path):
    accelerator = Accelerator(mixed_precision="bf16", cpu=True)
    own(run=tmp_path / "run")
    assert accelerator.mixed_precision == "bf16"
    assert Accelerator(cpu=True).mixed_precision == "bf16"


def test_images_given_in_python_are_given_again(tmp_path):
    """They may be some of a set that has a name: what is called digits need not be all of them."""
    run = kakusan.train(
        "digits", data=tiny.pictures(shape=(1, 8, 8)), run=tmp_path / "run", steps=1, overrides=SMALL, show=False
    )
    assert settings_of(run).data.source == "python:pets"
    for call in (lambda: kakusan.train(resume=run, steps=2), lambda: kakusan.evaluate(run)):
        with pytest.raises(KakusanError, match=r"given in Python, as pets: give them again \(data="):
            call()


def test_what_is_no_run_cannot_be_resumed(tmp_path):
    with pytest.raises(KakusanError, match="is not a run directory"):
        kakusan.train(resume=tmp_path)
    with pytest.raises(KakusanError, match="there is no run directory"):
        kakusan.train(resume=tmp_path / "nowhere")


def test_overrides_and_shortcuts_arrive(train):
    run = train(
        "digits",
        seed=7,
        batch_size=6,
        device="cpu",
        schedule="linear",
        parametrization="epsilon",
        overrides={"optimizer.learning_rate": 0.5, "ema.half_life": "77"},
    )
    settings = settings_of(run)
    assert (settings.training.seed, settings.training.batch_size, settings.training.device) == (7, 6, "cpu")
    assert (settings.schedule.kind, settings.parametrization.kind) == ("linear", "epsilon")
    assert (settings.optimizer.learning_rate, settings.ema.half_life) == (0.5, 77)
    assert train("digits", run="epochs", steps=None, epochs=1, batch_size=900).checkpoint().images == 1800


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"preset": "digts"}, "unknown preset 'digts': did you mean 'digits'"),
        ({"data": "nowhere"}, "unknown data source 'nowhere'"),
        ({"steps": 2, "images": 3}, "takes one of steps, images and epochs"),
        ({"overrides": {"network.chanels": 3}}, "chanels"),
        ({"device": "cuda:99"}, "there is no device cuda:99"),
        ({"overrides": {"network.channels": "8,16,32,64,128"}}, "does not fit this network"),
        ({"overrides": {"sampling.steps": 2000}}, "steps must be between 1 and 1000 for this chain, not 2000"),
        ({"schedule": "rectified_flow", "parametrization": "epsilon"}, "epsilon cannot be predicted"),
        ({"data": 3}, "data must be a source, an ImageSet or a data loader, not int"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(tmp_path, given, answer):
    with pytest.raises(KakusanError, match=answer):
        kakusan.train(given.pop("preset", "digits"), run=tmp_path / "run", show=False, **given)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_files_is_left_alone_unless_asked(train):
    run = train("digits")
    (run.path / "mine.txt").write_text("precious")
    old = (run.path / "config.yaml").read_text()
    with pytest.raises(KakusanError, match="already holds files"):
        train("digits", steps=3)
    assert (run.path / "config.yaml").read_text() == old
    train("digits", steps=1, overwrite=True)
    assert (run.path / "mine.txt").read_text() == "precious"
    assert [checkpoint.images for checkpoint in run.checkpoints()] == [4]
    assert len(run.metrics()) == 1


def test_without_a_directory_a_run_is_named_by_what_and_when(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = own()
    assert run.path.parts[0] == "runs"
    assert run.path.name.startswith("own-20")
    assert kakusan.load(run, network=tiny.network()).shape == (1, 4, 4)


def test_progress_is_told_where_wanted(train, capsys):
    train("digits", run="quiet")
    assert capsys.readouterr() == ("", "")
    train("digits", run="told", show=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "parameters learns 1,797 images of 1×8×8 from digits, by 10 classes" in err
    assert "training from 0 to 8 images" in err


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_ones_own_network_and_loader_train_and_come_back(tmp_path, labelled, dtype):
    data = tiny.pictures()
    images = data.images if dtype == torch.uint8 else data.images.float() / 127.5 - 1
    dataset = TensorDataset(images, data.labels) if labelled else TensorDataset(images)
    network = tiny.network() if labelled else tiny.PlainNetwork()
    names = {"class_names": tiny.CLASSES} if labelled else {}
    loader = DataLoader(dataset, batch_size=5, shuffle=True)
    run = kakusan.train(network=network, data=loader, run=tmp_path / "run", steps=7, show=False, **names)
    settings = settings_of(run)
    assert (settings.network.kind, settings.network.name) == ("own", type(network).__name__)
    assert settings.training.batch_size == 5

    fresh = tiny.network(seed=5) if labelled else tiny.PlainNetwork()
    model = kakusan.load(run, network=fresh, weights_from="raw")
    assert model.denoiser.network is fresh
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), fresh.parameters(), strict=True))
    assert model.class_names == (tiny.CLASSES if labelled else ())
    assert kakusan.sample(model, n=3, steps=2).shape == (3, 1, 4, 4)


def test_a_loader_of_anything_that_has_a_batch_size_of_its_own(tmp_path):
    """The step's size may be another than the loader's."""
    loader = DataLoader(TensorDataset(tiny.pictures().images), batch_size=5)
    run = own(tiny.PlainNetwork(), data=loader, batch_size=8, run=tmp_path / "run")
    assert run.checkpoint().images == 16


def test_four_channels_are_no_picture_but_train(tmp_path):
    loader = [torch.randn(4, 4, 6, 6)]
    run = own(tiny.PlainNetwork(4), data=loader, run=tmp_path / "run", overrides={"training.samples_every": 4})
    assert not run.samples_path.exists()
    assert kakusan.sample(kakusan.load(run, network=tiny.PlainNetwork(4)), n=2, steps=2).shape == (2, 4, 6, 6)


def test_without_ones_own_network_a_sentence_asks_for_it(tmp_path):
    run = own(run=tmp_path / "run")
    load, resume = r"kakusan\.load\(run, network=TinyNetwork", r"kakusan\.train\(resume=run, network=TinyNetwork"
    for call in (lambda: kakusan.load(run), lambda: kakusan.train(resume=run, steps=9), lambda: kakusan.evaluate(run)):
        with pytest.raises(KakusanError, match=f"of your own, TinyNetwork: hand it over in Python .*{load}.*{resume}"):
            call()
    with pytest.raises(KakusanError, match="of another architecture"):
        kakusan.load(run, network=tiny.TinyNetwork(1, 3, width=16))


def test_a_run_of_ones_own_goes_on_with_network_and_data_given_again(tmp_path):
    steady = {"optimizer.decay": "none"}
    whole = own(steps=5, run=tmp_path / "whole", overrides=steady)
    parts = own(steps=3, run=tmp_path / "parts", overrides=steady)
    kakusan.train(resume=parts, steps=5, network=tiny.network(seed=4), data=tiny.pictures(), show=False)
    assert_same(whole, parts)


def loader():
    """Batches of pictures whose classes have no names."""
    images = pictures.from_uint8(tiny.pictures().images)
    return DataLoader(TensorDataset(images, tiny.pictures().labels), batch_size=4)


def test_a_run_fed_by_a_loader_goes_on_with_the_loader_alone(tmp_path):
    """It names no classes; the run knows them."""
    run = own(steps=2, run=tmp_path / "run", data=loader(), class_names=["a", "b", "c"])
    assert settings_of(run).data.source == "python:DataLoader"
    with pytest.raises(KakusanError, match=r"given in Python, as DataLoader: give them again \(data=…\)"):
        kakusan.train(resume=run, steps=3, network=tiny.network(), show=False)
    kakusan.train(resume=run, steps=3, network=tiny.network(), data=loader(), show=False)
    assert run.checkpoint().state()["class_names"] == ["a", "b", "c"]


def test_a_text_is_no_list_of_names(tmp_path):
    with pytest.raises(KakusanError, match=r"class_names must be a list of names, not the text 'abc'"):
        own(run=tmp_path / "run", data=loader(), class_names="abc")


class _Stopping(tiny.TinyNetwork):
    """In whose first call somebody sends a signal."""

    number = signal.SIGINT

    def forward(self, *given):
        os.kill(os.getpid(), self.number)
        return super().forward(*given)


def test_a_script_is_told_that_its_training_was_interrupted(tmp_path, capsys):
    run = own(_Stopping(1, 3), steps=9, run=tmp_path / "run", show=True)
    assert run.checkpoint().images == 4
    told = f"interrupted after 4 images, which are saved (go on: kakusan train --resume {run.path})"
    assert told in capsys.readouterr().err


def test_a_polite_kill_ends_a_script_once_all_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(_Stopping, "number", signal.SIGTERM)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    try:
        with pytest.raises(SystemExit, match="ended"):
            own(_Stopping(1, 3), steps=9, run=tmp_path / "run")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert Run.open(tmp_path / "run").checkpoint().images == 4


@pytest.mark.parametrize(("schedule", "parametrization"), PAIRS)
def test_every_pair_that_makes_sense_trains_and_samples_with_every_sampler(tmp_path, schedule, parametrization):
    """Given as objects, read back from config.yaml."""
    run = own(
        schedule=SCHEDULES[schedule],
        parametrization=PARAMETRIZATIONS[parametrization],
        run=tmp_path / "run",
    )
    assert all(line["loss"] < 1e3 for line in run.metrics() if "loss" in line)
    model = kakusan.load(run, network=tiny.network(seed=3))
    assert model.denoiser.parametrization == PARAMETRIZATIONS[parametrization]
    t = torch.linspace(0.1, 1, 5, dtype=torch.float64)
    assert torch.equal(model.denoiser.schedule(t)[1], SCHEDULES[schedule](t)[1])
    for sampler in SAMPLERS:
        assert kakusan.sample(model, n=3, sampler=sampler, steps=3, guidance_scale=2.0).isfinite().all()


@pytest.mark.parametrize(("schedule", "parametrization"), sorted(REFUSED))
def test_pairs_that_make_no_sense_are_refused(tmp_path, schedule, parametrization):
    with pytest.raises(KakusanError, match="cannot be predicted under"):
        own(schedule=SCHEDULES[schedule], parametrization=parametrization, run=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_betas_of_ones_own_survive_the_run(train):
    chain = Chain(torch.linspace(0.001, 0.3, 37, dtype=torch.float64).sqrt())
    run = train("digits", schedule=chain, parametrization=Epsilon())
    model = kakusan.load(run)
    assert torch.equal(model.denoiser.schedule.betas, chain.betas)
    assert model.denoiser.parametrization == Epsilon()


def test_a_schedule_given_as_an_object_is_that_schedule_whatever_the_preset_says(train):
    first = train("digits", run="first", overrides={"schedule.s": 0.3})
    again = kakusan.train(first.config_path, schedule=schedules.cosine(), run=first.path.parent / "again", show=False)
    assert settings_of(again).schedule == config.models.CosineChain()


def test_the_chapters_unet_fits_the_digits(tmp_path):
    overrides = {"network": "simple_unet", "network.base_channels": 8, "network.time_emb_dim": 16, "sampling.steps": 2}
    run = kakusan.train(data="digits", run=tmp_path / "run", steps=2, batch_size=4, overrides=overrides, show=False)
    images = kakusan.sample(kakusan.load(run), n=2)
    assert images.shape == (2, 1, 8, 8)
    assert images.isfinite().all()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with three checkpoints."""
    path = tmp_path_factory.mktemp("runs") / "pets"
    overrides = {**SMALL, "network.class_conditional": True, "training.checkpoint_every": 8}
    return kakusan.train(data=tiny.pictures(), run=path, steps=6, batch_size=4, overrides=overrides, show=False)


def test_what_is_loaded_says_what_it_is(trained):
    model = kakusan.load(trained)
    assert model.source == "pets, ema weights after 24 images"
    assert (model.shape, model.class_names) == ((1, 4, 4), tiny.CLASSES)
    assert model.sampling.steps == 2
    assert len(model.weights_hash) == 64
    assert not model.denoiser.training
    assert kakusan.load(str(trained.path)).weights_hash == model.weights_hash


def test_weights_are_chosen(trained):
    hashes = set()
    for which in ("ema", "raw"):
        for images in (8, 16, 24):
            model = kakusan.load(trained, checkpoint=images, weights_from=which)
            assert model.source == f"pets, {which} weights after {images} images"
            hashes.add(model.weights_hash)
    assert len(hashes) == 6


def test_a_checkpoint_that_is_not_there_is_refused(trained):
    with pytest.raises(KakusanError, match=r"no checkpoint at 12 images \(there are 8, 16, 24\)"):
        kakusan.load(trained, checkpoint=12)


@pytest.mark.parametrize("content", ["", ', "shape": null', ', "shape": [1, 4, 4]'])
def test_a_state_that_says_too_little_is_told(trained, tmp_path, content):
    (tmp_path / "config.yaml").write_text(trained.config_path.read_text())
    checkpoint = tmp_path / "checkpoints" / "0000008"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.json").write_text(f'{{"step": 1, "images": 8{content}}}')
    with pytest.raises(KakusanError, match="does not say what its pictures are like"):
        kakusan.load(tmp_path)


def test_a_models_pictures_lie_in_range_and_repeat(trained):
    model = kakusan.load(trained)
    images = kakusan.sample(model, n=6, threshold="none", seed=3)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert torch.equal(kakusan.sample(model, n=6, threshold="none", seed=3), images)
    assert torch.equal(kakusan.sample(kakusan.load(trained), n=6, threshold="none", seed=3), images)


def test_what_is_left_out_is_as_the_run_was_configured(trained):
    model = kakusan.load(trained)
    assert torch.equal(
        kakusan.sample(model, n=2), kakusan.sample(model, n=2, sampler="ddim", steps=2, threshold="clip")
    )
    assert len(list(kakusan.walk(model))) == 2
    assert len(list(kakusan.walk(model, sampler="heun"))) == 18  # the steps of another sampler are not taken over


def test_a_walk_shows_every_step_and_ends_in_the_sample(trained):
    model = kakusan.load(trained)
    asked = {"n": 3, "sampler": "ddpm", "steps": 5, "labels": ["owl", 0, -1], "guidance_scale": 2.0, "seed": 4}
    *_, last = kakusan.walk(model, **asked)
    torch.testing.assert_close(last.x, kakusan.sample(model, **asked), rtol=0, atol=1e-6)
    assert last.index == 4


@pytest.mark.parametrize("call", [kakusan.sample, kakusan.walk])
def test_mistakes_are_told_at_the_call(trained, call):
    """A generator's too, and not when it is first driven."""
    for asked, answer in [
        ({"n": 0}, "n must be at least 1 image"),
        ({"steps": 1001}, "steps must be between 1 and 1000"),
        ({"sampler": "dimm"}, "did you mean 'ddim'"),
        ({"labels": [3]}, "labels must lie between 0 and 2"),
        ({"n": 2, "labels": [1]}, "2 images need 2 labels, not 1"),
        ({"labels": ["cow"]}, "unknown class 'cow'"),
    ]:
        with pytest.raises(KakusanError, match=answer):
            call(kakusan.load(trained), **asked)


def test_a_bare_denoisers_values_are_left_as_they_come():
    """They may be latents, far outside the range of pixels."""
    oracle = Gaussian(schedules.cosine(), mean=torch.tensor([9.0, -9.0], dtype=torch.float64))
    values = kakusan.sample(oracle, n=50, shape=(2,))
    assert values.mean(0).tolist() == pytest.approx([9, -9], abs=0.5)
    assert len(list(kakusan.walk(oracle, n=1, shape=(2,)))) == 50
    with pytest.raises(KakusanError, match=r"give shape=\(C, H, W\)"):
        kakusan.sample(oracle)


def test_sampling_leaves_training_mode_as_it_was(trained):
    model = kakusan.load(trained)
    model.denoiser.train()
    kakusan.sample(model)
    assert all(module.training for module in model.denoiser.modules())


def test_a_model_made_by_hand_samples():
    model = build.model(config.from_mapping({"data": {"source": "digits"}, "network": {"channels": [8]}}), (1, 8, 8))
    assert kakusan.sample(model, n=2, steps=2).shape == (2, 1, 8, 8)


def test_parametrizations_are_given_by_name_or_as_objects(tmp_path):
    for name, given in [("flow", Flow()), ("v", V()), ("x0", "x0")]:
        run = own(parametrization=given, run=tmp_path / name)
        assert settings_of(run).parametrization.kind == name


def test_a_run_is_found_again_by_its_parts(trained):
    assert Run.open(trained.path).checkpoint(16).state()["step"] == 4
    assert json.loads((trained.path / "checkpoints" / "0000016" / "state.json").read_text())["images"] == 16


def test_a_model_in_hand_is_judged_as_it_is(trained):
    model = kakusan.load(trained)
    with pytest.raises(KakusanError, match="a model has its weights and its device"):
        kakusan.evaluate(model, against="digits", weights_from="raw")


def test_a_run_is_compared_with_images_made_as_its_own_were(trained, monkeypatch):
    """Another folder is resized and converted as the run's data were, or its images would have another shape."""
    asked = []

    def images(settings, show):
        asked.append(settings)
        raise KakusanError("enough")

    monkeypatch.setattr("kakusan.feeding.images", images)
    with pytest.raises(KakusanError, match="enough"):
        kakusan.evaluate(trained, against="photos")
    own = config.load(trained.config_path).data
    assert asked == [own.model_copy(update={"source": "photos", "size": 4, "channels": 1})]


def test_images_of_any_size_and_colour_are_made_like_the_models(trained, tmp_path, monkeypatch, capsys):
    """Of the run, whose own images needed no resizing, and of the model alone, which knows no data; and it is said."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(judging, "_train", lambda network, images, device, show: network)
    for i in range(30):
        pixels = torch.randint(0, 256, (3, 5 + i % 3, 6), dtype=torch.uint8)
        pictures.save(tmp_path / "pets" / tiny.CLASSES[i % 3] / f"{i}.png", pixels)
    judged = [
        kakusan.evaluate(model, against=tmp_path / "pets", n=6, device=device)
        for model, device in ((trained, "cpu"), (kakusan.load(trained, device="cpu"), None))
    ]
    assert judged[0].protocol == judged[1].protocol
    assert judged[0].frechet_distance == judged[1].frechet_distance
    assert capsys.readouterr().err.count("30 off-size images became 4×4") == 2


def test_what_cannot_be_resized_is_told_with_a_mend_that_there_is(tmp_path):
    """Pictures that are not square are taken as they are."""
    model = tiny.model(shape=(1, 4, 6))
    for name, width in (("a", 6), ("b", 7)):
        pictures.save(tmp_path / name / "1.png", torch.zeros(1, 4, width))
    with pytest.raises(KakusanError, match=r"images differ in size: .*; or make them one size\)$"):
        kakusan.evaluate(model, against=tmp_path)


class Broken(torch.nn.Module):
    """A network of one's own that fails in its first step."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, clock):
        raise RuntimeError("this network does not work")


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError, match="does not work"):
        own(Broken(), run=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_before_its_first_checkpoint_replaces_none(tmp_path):
    run = own(run=tmp_path / "run")
    (run.path / "mine.txt").write_text("precious")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with pytest.raises(RuntimeError, match="does not work"):
        own(Broken(), run=run.path, overwrite=True)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_a_run_that_fails_before_its_first_checkpoint_keeps_what_its_books_say(tmp_path):
    nothing = [(torch.full((4, 1, 4, 4), value), torch.zeros(4)) for value in (-0.5, torch.nan)]
    given = {"data": nothing, "class_names": tiny.CLASSES, "overrides": {"guard.patience": 1}}
    with pytest.raises(KakusanError, match=r"no checkpoint was saved before \(start another run with a lower"):
        own(tiny.network(classes=3), run=tmp_path / "run", **given)
    assert Run.open(tmp_path / "run").metrics()[0]["step"] == 1
    assert "ended by an error: the loss became nan" in (tmp_path / "run" / "log.txt").read_text()


def test_images_that_are_no_numbers_are_refused():
    with pytest.raises(KakusanError, match="holds values from nan to nan: no images"):
        own(tiny.PlainNetwork(), data=[torch.full((4, 1, 4, 4), torch.nan)])


def test_a_run_that_fails_later_keeps_its_checkpoints(tmp_path):
    network = tiny.network()
    run = own(network, run=tmp_path / "run", overrides={"guard.patience": 1})
    nothing = [(torch.full((4, 1, 4, 4), value), torch.zeros(4)) for value in (-0.5, torch.nan)]
    with pytest.raises(KakusanError, match="became nan"):
        kakusan.train(resume=run, network=network, data=nothing, class_names=tiny.CLASSES, steps=4, show=False)
    assert [checkpoint.images for checkpoint in run.checkpoints()] == [8]


class Nosy(tiny.TinyNetwork):
    """A network in whose first step something else happens, once."""

    def __init__(self, what):
        super().__init__(classes=3)
        self.what = [what]

    def forward(self, x, clock, condition=None):
        while self.what:
            self.what.pop()()
        return super().forward(x, clock, condition)


@pytest.mark.parametrize("going_on", [False, True])
def test_a_directory_has_one_training_at_a_time(tmp_path, going_on):
    """Even where it may overwrite; and neither a run nor what it goes on with is harmed."""
    refused = []

    def another():
        given = {"data": tiny.pictures(), "show": False, "steps": 9}
        for where in ({"run": tmp_path / "run", "overwrite": True}, *[{"resume": tmp_path / "run"}] * going_on):
            with pytest.raises(KakusanError, match=r"another process is writing into .*run \(wait until") as caught:
                kakusan.train(network=tiny.network(), **where, **given)
            refused.append(caught)

    if going_on:
        own(run=tmp_path / "run")
        run = kakusan.train(resume=tmp_path / "run", network=Nosy(another), data=tiny.pictures(), steps=5, show=False)
    else:
        run = own(Nosy(another), run=tmp_path / "run", steps=5)
    assert len(refused) == 1 + going_on
    assert run.checkpoint().images == 20
    assert [line["step"] for line in run.metrics()][-1] == 5


def test_a_training_that_was_overtaken_is_refused(tmp_path, monkeypatch):
    """Both found the directory free, and the other was the first to write into it."""
    engine, overtaken = start.engine_of, []

    def slowly(*given):
        if not overtaken:
            overtaken.append(True)
            own(run=tmp_path / "run", steps=3)
        return engine(*given)

    monkeypatch.setattr(start, "engine_of", slowly)
    with pytest.raises(KakusanError, match="already holds files"):
        own(run=tmp_path / "run", steps=7)
    assert Run.open(tmp_path / "run").checkpoint().images == 12


def test_a_directory_is_refused_before_any_image_is_read(tmp_path, monkeypatch):
    (tmp_path / "mine.txt").touch()
    monkeypatch.setattr(feeding, "feed", lambda *given: pytest.fail("the images were read first"))
    with pytest.raises(KakusanError, match="already holds files"):
        own(run=tmp_path)


def test_fields_may_be_given_by_section(train):
    settings = settings_of(train("digits", overrides={"optimizer": {"learning_rate": 0.25, "eps": "1e-3"}}))
    assert (settings.optimizer.learning_rate, settings.optimizer.eps) == (0.25, 1e-3)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"network": torch.nn.Identity}, "a torch module, made already, not the class Identity"),
        ({"network": len}, "a torch module, made already, not a builtin_function_or_method"),
        ({"network": torch.nn.Identity(), "data": torch.zeros(4, 1, 8, 8)}, r"a tensor of shape \(4, 1, 8, 8\) is no"),
    ],
    ids=["a class", "a function", "a tensor"],
)
def test_what_is_neither_network_nor_loader_is_refused(tmp_path, given, sentence):
    with pytest.raises(KakusanError, match=sentence):
        kakusan.train(run=tmp_path / "run", **given)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda model: kakusan.load(3), "a int is no run: give the path of its directory"),
        (lambda model: kakusan.evaluate(3), "a int cannot be evaluated: give what kakusan.load returns, or a run"),
        (lambda model: kakusan.evaluate(model.denoiser, against="digits"), "a Denoiser cannot be evaluated"),
        (lambda model: kakusan.sample(model, n="4"), "n must be a whole number, not '4'"),
        (lambda model: kakusan.sample(model, labels=3.5), "labels are whole numbers or names of classes"),
        (lambda model: kakusan.sample(model, shape=8), "shape must be that of one image"),
        (lambda model: kakusan.train(3), "preset must be a name or a path, not a int"),
        (lambda model: kakusan.train("digits", run=3), "run must be a name or a path, not a int"),
        (lambda model: kakusan.train(resume=3), "resume must be a name or a path, not a int"),
    ],
)
def test_what_is_of_another_kind_is_refused_in_one_sentence(trained, call, sentence):
    with pytest.raises(KakusanError, match=sentence):
        call(kakusan.load(trained))


def test_weights_are_the_averaged_or_the_plain_ones(trained):
    with pytest.raises(KakusanError, match="unknown weights 'eam': did you mean 'ema'"):
        kakusan.load(trained, weights_from="eam")


@pytest.mark.parametrize("draw", [kakusan.sample, kakusan.walk])
def test_what_is_no_model_is_refused_with_the_way_to_one(draw):
    with pytest.raises(KakusanError, match=r"model = kakusan.load\('runs/x'\)"):
        draw("runs/x")
    with pytest.raises(KakusanError, match="a Linear is no model"):
        draw(torch.nn.Linear(1, 1), shape=(1, 8, 8))


def test_a_run_goes_on_with_its_own_images_only(train):
    run = train("digits", overrides={"network.class_conditional": True})
    with pytest.raises(
        KakusanError, match=r"learned images of shape \[1, 8, 8\].*give the images that it was trained on"
    ):
        kakusan.train(resume=run, steps=4, data=tiny.pictures(shape=(1, 8, 8)), show=False)
