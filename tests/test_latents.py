"""Learning in latents: a data set is encoded once, noise is drawn afresh, and pictures come out at the end."""

import pytest
import torch

import kakusan
from kakusan import latents
from kakusan.codec import Codec
from kakusan.config.models import Data
from kakusan.data.latents import LatentBatches
from kakusan.errors import KakusanError
from kakusan.networks import Autoencoder
from kakusan.networks.autoencoder import Posterior
from kakusan.runs import Run
from kakusan.seeds import Draws
from kakusan.seeing import seen
from tests import tiny
from tests.networks.randomised import randomised

CPU = torch.device("cpu")
DATA = tiny.pictures(64, (1, 8, 8))
UNET = {"network.channels": "8,16", "network.blocks": 1, "network.attention_resolutions": "[]"}
SHORT = {"training.batch_size": 16, "training.images": 64, "training.log_every": 1, "sampling.steps": 3}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache"


def codec(channels=1, latent_channels=2):
    network = Autoencoder(channels, channels=(8, 16), latent_channels=latent_channels, middle_attention=False)
    return Codec(randomised(network).eval(), (channels, 8, 8), source="an autoencoder")


@pytest.fixture
def file(tmp_path):
    latents.write(codec(), tmp_path / "a.safetensors")
    return tmp_path / "a.safetensors"


def train(path, file, **more):
    overrides = {**UNET, **SHORT, "data.latent": str(file), "network.class_conditional": True, **more}
    return kakusan.train(data=DATA, run=path, show=False, overrides=overrides)


def test_an_autoencoder_survives_its_file(file):
    again, first = latents.read(file), codec()
    assert (again.shape, again.source) == (first.shape, first.source)
    state = first.network.state_dict()
    assert all(torch.equal(weight, state[name]) for name, weight in again.network.state_dict().items())


def batches(flip=False, among=None, spread=1.0):
    """Of an autoencoder whose latents of an image are its number, and of a mirrored one its negative."""
    numbers = torch.arange(64.0)[:, None].expand(-1, 8)
    variance = torch.full((64, 8), spread**2).log()
    views = [Posterior(numbers, variance), Posterior(-numbers, variance)]
    return LatentBatches(DATA, views[: 1 + flip], (2, 2, 2), among)


def test_latents_are_drawn_afresh_and_stay_with_their_labels():
    step = batches(spread=1e-3)(Draws(0, 0, 64), CPU)
    numbers = step.images.mean((1, 2, 3)).round().long()
    assert sorted(numbers.tolist()) == list(range(64))
    assert torch.equal(step.labels, DATA.labels[numbers])
    first, later = (batches()(Draws(0, it, 64), CPU).images for it in (0, 1))
    deviation = torch.cat([it - it.mean((1, 2, 3), keepdim=True) for it in (first, later)]).std()
    assert deviation.item() == pytest.approx(1, abs=0.1)
    assert torch.equal(batches()(Draws(0, 1, 64), CPU).images, later), "they follow from the seed and the step"


def test_half_of_them_are_mirrored_and_held_out_ones_are_as_they_are():
    step = batches(flip=True, spread=1e-3)(Draws(0, 0, 64), CPU).images.mean((1, 2, 3)).round()
    assert 16 < (step < 0).sum() < 48
    kept = batches(flip=True).at(torch.tensor([3, 5]), CPU).images
    assert kept[:, 0, 0, 0].tolist() == [3, 5]


def test_shares_and_parts_are_those_of_images():
    whole = batches()(Draws(0, 3, 16), CPU).images
    parts = [batches()(Draws(0, 3, 16, slice(i, i + 8)), CPU).images for i in (0, 8)]
    assert torch.equal(torch.cat(parts), whole)
    only = batches(spread=1e-3).only(torch.tensor([7, 9]))
    assert only.epoch == 2
    assert set(only(Draws(0, 0, 4), CPU).images.mean((1, 2, 3)).round().tolist()) == {7.0, 9.0}


def test_a_run_in_latents_draws_pictures_and_knows_its_autoencoder(tmp_path, file):
    run = train(tmp_path / "run", file)
    file.unlink()
    model = kakusan.load(run)
    assert (model.shape, model.latent_shape) == ((1, 8, 8), (2, 4, 4))
    drawn = kakusan.sample(model, n=3, steps=3)
    assert drawn.shape == (3, 1, 8, 8)
    assert drawn.abs().max() <= 1
    *_, last = kakusan.walk(model, n=3, steps=3)
    torch.testing.assert_close(last.x, drawn, atol=1e-5, rtol=0)
    assert (run.samples_path / "0000064.png").exists()
    assert "learns 64 images of 1×8×8 in latents of 2×4×4" in (run.path / "log.txt").read_text()


def test_a_run_in_latents_goes_on_exactly(tmp_path, file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = {"data.held_out": 8, "data.flip": True}
    run = train("run", file.name, **more, **{"training.images": 32})
    kakusan.train(resume=run, data=DATA, images=64, show=False)
    whole = train(tmp_path / "whole", file, **more)
    ours, theirs = (kakusan.load(it).network.state_dict() for it in (run, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    losses = [[line["held_out_loss"] for line in it.metrics() if "held_out_loss" in line][-1] for it in (run, whole)]
    assert losses[0] == losses[1]


def test_a_run_in_latents_knows_its_own_autoencoder(tmp_path, file):
    run = train(tmp_path / "run", file)
    latents.write(codec(latent_channels=2), tmp_path / "other.safetensors")
    other = latents.read(tmp_path / "other.safetensors")
    with torch.no_grad():
        other.network.dequantize.bias += 1
    latents.write(other.__class__(other.network, other.shape), run.autoencoder_path)
    with pytest.raises(KakusanError, match="learned in the latents of another autoencoder"):
        kakusan.train(resume=run, data=DATA, images=96, show=False)
    run.autoencoder_path.unlink()
    with pytest.raises(KakusanError, match=r"autoencoder.safetensors is missing, in whose latents"):
        kakusan.load(run)


def test_images_are_encoded_once(tmp_path, file, monkeypatch):
    encode, seen_images = Codec.encode, []

    def counted(self, images):
        seen_images.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(Codec, "encode", counted)
    train(tmp_path / "a", file)
    assert sum(seen_images) == 64
    train(tmp_path / "b", file, **{"training.seed": 1})
    assert sum(seen_images) == 64
    train(tmp_path / "c", file, **{"data.flip": True})
    assert sum(seen_images) == 128, "their mirror images too"
    latents.write(codec(latent_channels=1), file)
    train(tmp_path / "d", file)
    assert sum(seen_images) == 192, "another autoencoder sees other latents"


def test_encoding_that_was_interrupted_goes_on(tmp_path, file, monkeypatch):
    encode, seen_images = Codec.encode, []
    data = tiny.pictures(600, (1, 8, 8))

    def interrupted(self, images):
        seen_images.append(len(images))
        if len(seen_images) == 2:
            raise KeyboardInterrupt
        return encode(self, images)

    monkeypatch.setattr(Codec, "encode", interrupted)
    overrides = {**UNET, **SHORT, "data.latent": str(file)}
    with pytest.raises(KeyboardInterrupt):
        kakusan.train(data=data, run=tmp_path / "run", show=False, overrides=overrides)
    kakusan.train(data=data, run=tmp_path / "run", show=False, overrides=overrides)
    assert seen_images[0] + sum(seen_images[2:]) == 600


def test_latents_that_are_no_numbers_are_told_of(tmp_path, file):
    broken = codec()
    with torch.no_grad():
        broken.network.quantize.bias[:] = torch.inf
    latents.write(broken, file)
    with pytest.raises(KakusanError, match="the autoencoder gives NaN or infinite values"):
        train(tmp_path / "run", file)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("made", "more", "answer"),
    [
        ({"channels": 3}, {}, r"images of 3 channels, and these have 1 \(--data.channels 3, or another"),
        ({}, {"sampling.threshold": "clip"}, "clip keeps pixels in their range, and latents have none"),
        ({}, {"data.latent": "someone/autoencoder"}, r"there is no autoencoder someone/autoencoder \(check the path"),
        (
            {},
            {"data.latent": "nowhere/digits-autoencoder"},
            r"train it: kakusan train digits-autoencoder --run nowhere/",
        ),
        ({}, {"data.latent": __file__}, "is damaged or cut short"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, file, made, more, answer):
    latents.write(codec(**made), file)
    with pytest.raises(KakusanError, match=answer):
        train(tmp_path / "run", file, **more)
    assert not (tmp_path / "run").exists()


def test_larger_pictures_may_go_through_it_in_tiles(tmp_path, file):
    run = train(tmp_path / "run", file, **{"data.latent_tile": 8})
    assert kakusan.load(run).codec.tile == 8
    assert latents.opened(Data(source="digits", latent=str(file), latent_tile=8), (1, 16, 16), "cpu").tile == 8
    with pytest.raises(KakusanError, match="tile must be a multiple of 2, of 8 pixels or more, not 6"):
        train(tmp_path / "other", file, **{"data.latent_tile": 6})


def test_images_that_it_does_not_divide_are_refused(tmp_path, file):
    with pytest.raises(KakusanError, match=r"does not take images of 9×8: a height of 9 does not fit"):
        kakusan.train(
            data=tiny.pictures(8, (1, 9, 8)), run=tmp_path / "run", show=False, overrides={"data.latent": str(file)}
        )


def test_a_run_that_trained_an_autoencoder_is_one_and_others_are_none(tmp_path):
    tiny_autoencoder = {"network.channels": "8,16", "network.latent_channels": 1, "data.held_out": 0}
    how = {**tiny_autoencoder, "training.images": 32, "training.batch_size": 16}
    first = kakusan.train("digits-autoencoder", data=DATA, run=tmp_path / "first", show=False, overrides=how)
    run = train(tmp_path / "run", first.path)
    assert kakusan.load(run).codec.source.startswith("first, ema weights after 32 images")
    with pytest.raises(KakusanError, match="trained no autoencoder"):
        train(tmp_path / "other", run.path)
    assert Run.open(run.path).checkpoints()
