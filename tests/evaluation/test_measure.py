"""Published metrics beside torch-fidelity's own, with the real architectures and seeded random weights."""

import json
import os
import time
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import kakusan
from kakusan import pictures, sampling
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation import features, statistics
from kakusan.evaluation import measure as measuring
from kakusan.evaluation.measure import measure
from kakusan.evaluation.moments import Moments
from kakusan.files import claimed
from kakusan.seeing import seen as seeing
from kakusan.seeing.seen import seen
from kakusan.seeing.sources import Drawn, Stored
from kakusan.weights import PRETRAINED
from tests import tiny

fidelity = pytest.importorskip("torch_fidelity")
CPU = torch.device("cpu")


def images(count, seed=0, side=32, channels=3):
    """Smooth random pictures: blobs, so that a network sees something of them."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, channels, 4, 4, generator=generator)
    large = nn.functional.interpolate(small, size=(side, side), mode="bicubic").clamp(0, 1)
    return ImageSet((255 * large).round().to(torch.uint8), name=f"images {seed}")


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """A file in the format of the real one, of the real Inception; its random weights keep the size of what it sees."""
    from torch_fidelity import feature_extractor_inceptionv3 as real

    place = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        torch.manual_seed(0)
        patch.setattr(real, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(real.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = real.FeatureExtractorInceptionV3("inception", ["2048"])
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), place / PRETRAINED["inception"].file)
    return place


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(seeing, "user_cache_path", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache"


class Pixels:
    """A network that is none: the features of an image are averages of its pixels."""

    name, resize, device = "pixels 0", "not at all", torch.device("cpu")
    library = "none"

    def __init__(self):
        self.layers = {"2048": 12, "logits_unbiased": 3}
        self.seen = 0

    def __call__(self, images, labels=None):
        self.seen += len(images)
        means = nn.functional.adaptive_avg_pool2d(images.float().expand(-1, 3, -1, -1), 2).flatten(1)
        return {"2048": means / 64, "logits_unbiased": means[:, ::4] / 64}


@pytest.fixture
def pixels(monkeypatch):
    made = Pixels()
    monkeypatch.setattr(measuring, "extractor", lambda *args, **kwargs: made)
    return made


def measured(a, b, *metrics, **given):
    return {it.metric: it for it in measure(Stored(a), Stored(b), metrics, device=CPU, show=False, **given)}


FIDELITY = {"cuda": False, "cache": False, "save_cpu_ram": True, "verbose": False}


def kept_as_files(place, **sets):
    """Writes each set of images into a folder of its name."""
    for name, images_of in sets.items():
        for index, image in enumerate(images_of.images):
            pictures.save(place / name / f"{index:02}.png", pictures.from_uint8(image))


def test_numbers_are_torch_fidelitys_own_on_the_same_folders(weights, tmp_path):
    kept_as_files(tmp_path, a=images(20), b=images(24, 1))
    how = {"device": "cpu", "show": False, "weights": weights}
    ours = {it.metric: it for it in kakusan.measure(tmp_path / "a", "fid,is,kid", against=tmp_path / "b", **how)}
    theirs = fidelity.calculate_metrics(
        input1=str(tmp_path / "a"),
        input2=str(tmp_path / "b"),
        **FIDELITY,
        **dict.fromkeys(("fid", "isc", "kid"), True),
        kid_subset_size=20,
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(weights / PRETRAINED["inception"].file),
    )
    for name, key in (
        ("fid", "frechet_inception_distance"),
        ("is", "inception_score_mean"),
        ("kid", "kernel_inception_distance_mean"),
    ):
        assert ours[name].value == pytest.approx(theirs[key], rel=1e-3)


def test_a_grey_image_is_seen_as_the_same_in_colour(weights):
    grey = images(2, channels=1).images
    seen = features.extractor("inception", weights, device=CPU)
    torch.testing.assert_close(seen(grey)["2048"], seen(grey.repeat(1, 3, 1, 1))["2048"])


def test_of_a_set_with_itself_the_distance_is_nothing(pixels):
    same = images(100)
    assert measured(same, same, "fid")["fid"].value == pytest.approx(0, abs=1e-3)


def spoilt(real, spoil, much):
    """Returns images with more noise the more, or blurred the more."""
    x = real.images.float()
    if spoil == "noise":
        x = x + much * 60 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).abs()
    else:
        x = torch.lerp(x, nn.functional.avg_pool2d(x, 17, 1, 8, count_include_pad=False), much / 3)
    return replace(real, images=x.clamp(0, 255).to(torch.uint8), name=f"{spoil} {much}")


def assert_worse_and_worse(each):
    for name in ("fid", "kid"):
        values = [it[name].value for it in each]
        assert values == sorted(values)
        assert values[3] > values[1]


@pytest.mark.parametrize("spoil", ["noise", "blur"])
def test_the_worse_the_images_the_greater_the_distance(pixels, spoil):
    real = images(200)
    assert_worse_and_worse([measured(spoilt(real, spoil, much), real, "fid", "kid") for much in range(4)])


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["noise", "blur"])
def test_what_the_real_inception_sees_gets_worse_as_well(weights, spoil):
    real = images(24)
    spoil_much = [spoilt(real, spoil, much) for much in range(4)]
    assert_worse_and_worse([measured(it, real, "fid", "kid", weights=weights) for it in spoil_much])


def test_every_number_has_its_doubt_and_its_floor(pixels):
    found = measured(images(400), images(300, 1), "fid", "kid", "is")
    assert found["is"].interval is None  # of so few
    for it in (found["fid"], found["kid"]):
        low, high = it.interval
        assert low <= it.value <= high
    assert {it.noise_floor_n for it in found.values()} == {150, 300}
    assert (found["fid"].noise_floor_against, found["is"].noise_floor_against) == (150, None)
    assert 0 < found["fid"].noise_floor < 10 * found["fid"].value


def test_the_protocol_says_all_that_decides(pixels):
    found = measured(images(40), images(50, 1), "fid")["fid"]
    assert found.protocol == {
        "metric": "fid",
        "n": 40,
        "images": "images 0",
        "images_n": 40,
        "images_hash": found.protocol["images_hash"],
        "reference": "images 1",
        "reference_n": 50,
        "reference_hash": found.protocol["reference_hash"],
        "rounding": "to bytes",
        "resize": "not at all",
        "features": "pixels 0",
        "seen_on": "cpu",
        "layer": "2048",
        "library": "none",
        "kakusan": version("kakusan"),
        "torch": torch.__version__,
    }
    assert len(found.protocol["images_hash"]) == 16


def test_real_images_are_seen_once_and_changed_ones_anew(pixels):
    a, b = images(30), images(40, 1)
    measured(a, b, "fid")
    assert pixels.seen == 70
    measured(a, b, "fid")
    assert pixels.seen == 100  # the samples' features were thrown away
    changed = b.images.clone()
    changed[0, 0, 0, 0] ^= 1
    measured(a, replace(b, images=changed), "fid")
    assert pixels.seen == 170


def test_what_was_interrupted_goes_on(pixels, cache, monkeypatch):
    a, b = images(600), images(40, 1)
    whole = measured(a, b, "fid")["fid"].value
    before, calls = pixels.seen, []

    def interrupted(seen, real=pixels.__class__.__call__):
        calls.append(len(seen))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(pixels, seen)

    monkeypatch.setattr(measuring, "extractor", lambda *args, **kwargs: _Calling(interrupted))
    with pytest.raises(KeyboardInterrupt):
        measured(a, b, "fid")
    assert measured(a, b, "fid")["fid"].value == pytest.approx(whole, rel=1e-12)
    assert sum(calls[:2]) + sum(calls[3:]) == 600
    assert pixels.seen - before == 600


class _Calling(Pixels):
    def __init__(self, call):
        super().__init__()
        self._call = call

    def __call__(self, images, labels=None):
        return self._call(images)


@pytest.mark.parametrize(
    ("a", "b", "metric", "answer"),
    [
        (images(4), images(4, side=16), "fid", r"holds images of shape \(3, 32, 32\), .* of \(3, 16, 16\)"),
        (images(4), images(4, channels=1), "kid", r"compare like with like"),
        (images(1), images(4), "fid", "fid needs at least 2 images, and images 0 has 1"),
        (images(4), images(1, 5), "kid", "kid needs at least 2 images, and images 5 has 1"),
    ],
)
def test_what_cannot_be_compared_is_refused(pixels, a, b, metric, answer):
    with pytest.raises(KakusanError, match=answer):
        measured(a, b, metric)
    assert pixels.seen == 0


def test_a_distance_needs_something_to_compare_with(pixels):
    with pytest.raises(KakusanError, match="fid compares with real images: say which"):
        measure(Stored(images(4)), None, ["fid"], device=CPU)
    (score,) = measure(Stored(images(40)), None, ["is"], device=CPU, show=False)
    assert score.noise_floor is None


def test_fewer_images_than_features_are_remarked_on(pixels):
    (remark,) = measured(images(12), images(40, 1), "fid")["fid"].remarks
    assert "12 images are too few for 12 features" in remark
    assert measured(images(13), images(40, 1), "fid")["fid"].remarks == []


def test_missing_weights_are_told_of_before_anything_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(KakusanError, match=r"weights-inception.*--weights DIR"):
        measured(images(4), images(4, 1), "fid", offline=True)


def test_torch_fidelity_is_asked_for_where_it_is_missing(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(features, "import_module", missing)
    with pytest.raises(KakusanError, match=r"pip install 'kakusan\[metrics\]'"):
        measured(images(4), images(4, 1), "fid")


def test_measurements_are_plain_json(pixels):
    (found,) = measured(images(40), images(40, 1), "fid").values()
    assert json.loads(json.dumps(found.as_dict()))["metric"] == "fid"


def test_statistics_take_the_place_of_images(pixels, tmp_path):
    a, b = images(60), images(50, 1)
    whole = measured(a, b, "fid")["fid"]
    measured(b, a, "fid", keep=tmp_path / "b.npz")
    kept = statistics.read(tmp_path / "b.npz")
    (found,) = measure(Stored(a), kept, ["fid"], device=CPU, show=False)
    assert found.value == pytest.approx(whole.value, rel=1e-6)
    assert found.interval == pytest.approx(whole.interval, rel=1e-6)
    assert found.noise_floor is None
    assert found.protocol["reference"] == "b.npz"
    assert found.protocol["reference_n"] == 50
    with pytest.raises(KakusanError, match=r"kid needs the images themselves, and b.npz holds statistics"):
        measure(Stored(a), kept, ["kid"], device=CPU, show=False)
    pixels.name = "other pixels"
    with pytest.raises(KakusanError, match="compare like with like"):
        measure(Stored(a), kept, ["fid"], device=CPU, show=False)


@pytest.fixture(scope="session")
def vgg16(tmp_path_factory):
    """A file in the format of the real one, of the real VGG16, with random weights."""
    from torchvision.models import vgg16

    place = tmp_path_factory.mktemp("vgg16")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(vgg16().state_dict(), place / PRETRAINED["vgg16"].file)
    return place


@pytest.mark.slow
def test_precision_and_recall_are_torch_fidelitys_own_on_the_same_folders(vgg16, tmp_path):
    kept_as_files(tmp_path, a=images(24), b=images(30, 1))
    ours = {it.metric: it.value for it in kakusan.measure(tmp_path / "a", "prc", against=tmp_path / "b", weights=vgg16)}
    theirs = fidelity.calculate_metrics(
        input1=str(tmp_path / "a"),
        input2=str(tmp_path / "b"),
        **FIDELITY,
        prc=True,
        feature_extractor="vgg16",
        feature_extractor_weights_path=str(vgg16 / PRETRAINED["vgg16"].file),
    )
    assert 0 < ours["precision"] < 1
    for name in ("precision", "recall"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("spoil", ["noise", "blur"])
def test_precision_never_rises_as_images_get_worse(vgg16, spoil):
    real = images(12)
    each = [measured(spoilt(real, spoil, much), real, "prc", weights=vgg16)["precision"].value for much in (0, 1, 3)]
    assert each == sorted(each, reverse=True)
    assert each[0] == 1 > each[-1]


def test_copies_are_counted_and_the_nearest_drawn(pixels, tmp_path):
    real = images(300)
    samples = replace(images(60, 1), images=torch.cat([real.images[40:46], images(54, 1).images]), name="samples")
    found = measured(samples, real, "copies", draw_nearest=tmp_path / "nearest.png")["copies"]
    assert 6 / 60 <= found.value < 0.2
    assert found.noise_floor == pytest.approx(0.01, abs=0.06)
    with Image.open(tmp_path / "nearest.png") as picture:
        pixels_drawn = torch.from_numpy(np.asarray(picture).copy())
    height = (len(pixels_drawn) - 1) // 2
    above, below = pixels_drawn[:height], pixels_drawn[-height:]
    six = 6 * (height + 1)
    assert torch.equal(above[:, : six - 1], below[:, : six - 1])
    assert not torch.equal(above, below)


def test_copies_are_looked_for_in_pixels_too():
    """Without any network; what is larger than 32 pixels is compared smaller."""
    real = images(300, side=48)
    samples = replace(images(60, 1, side=48), images=torch.cat([real.images[40:46], images(54, 1, side=48).images]))
    found = measured(samples, real, "copies-pixels")["copies-pixels"]
    assert 6 / 60 <= found.value < 0.2
    assert found.protocol["features"] == "pixels-1"
    small = images(20)
    flat = small.images.flatten(1).float() / 255
    seen = features.Pixels()(small.images)["pixels"]
    torch.testing.assert_close(torch.cdist(seen, seen), torch.cdist(flat, flat))


def test_copies_are_those_of_images_that_were_learned_from():
    """Beside them the images that were held out, of which none can be one."""
    real, held_out = images(300), torch.arange(0, 300, 10)
    learned, kept = real.images[1::10], real.images[held_out]
    found = [
        measure(Stored(ImageSet(part)), Stored(real, held_out), ["copies-pixels"], device=CPU, show=False)[0]
        for part in (learned, kept)
    ]
    assert found[0].value == 1
    assert found[1].value == found[1].noise_floor < 0.2
    assert found[0].noise_floor_n == found[0].protocol["held_out"] == 30


def test_mirrored_copies_count_where_a_model_saw_images_mirrored(tmp_path):
    real = images(300)
    copied = Stored(ImageSet(real.images[:50].flip(-1)))
    how = {"device": CPU, "show": False, "draw_nearest": tmp_path / "nearest.png"}
    (plain,) = measure(copied, Stored(real), ["copies-pixels"], **how)
    (found,) = measure(copied, Stored(real, mirrored=True), ["copies-pixels"], **how)
    assert (plain.protocol["mirrored"], found.protocol["mirrored"]) == (False, True)
    assert plain.value < 0.2
    assert found.value == 1
    with Image.open(tmp_path / "nearest.png") as picture:
        drawn = torch.from_numpy(np.asarray(picture).copy())
    half = (len(drawn) - 1) // 2
    assert torch.equal(drawn[:half], drawn[-half:])


def test_the_nearest_that_is_drawn_was_learned_from(tmp_path):
    real, held_out = images(300), torch.arange(0, 300, 10)
    how = {"device": CPU, "show": False, "draw_nearest": tmp_path / "nearest.png"}
    measure(Stored(ImageSet(real.images[held_out])), Stored(real, held_out), ["copies-pixels"], **how)
    with Image.open(tmp_path / "nearest.png") as picture:
        drawn = torch.from_numpy(np.asarray(picture).copy())
    half = (len(drawn) - 1) // 2
    assert not torch.equal(drawn[:half], drawn[-half:])


def test_against_a_model_the_noise_is_another(pixels, tmp_path):
    settings = {"network.channels": [8], "network.attention_resolutions": [], "sampling.steps": 2}
    run = kakusan.train("digits", run=tmp_path / "run", steps=1, batch_size=4, overrides=settings, show=False)
    for seed in (0, 1):
        (found,) = kakusan.measure(run, "fid", against=run, n=8, seed=seed, device="cpu", show=False)
        assert found.value > 0
        assert found.protocol["seed"] != found.protocol["reference_seed"]
        assert found.protocol["reference_images_seen"] == 4


def test_a_run_knows_what_it_held_out(tmp_path):
    settings = {"network.channels": [8], "network.attention_resolutions": [], "data.held_out": 20, "sampling.steps": 2}
    run = kakusan.train("digits", run=tmp_path / "run", steps=1, batch_size=4, overrides=settings, show=False)
    (found,) = kakusan.measure(run, "copies-pixels", n=8, device="cpu", show=False)
    assert (found.protocol["held_out"], found.noise_floor_n, found.protocol["reference_n"]) == (20, 20, 1797)


def test_of_weights_that_were_never_saved_nothing_is_gone_on_with(pixels, cache):
    """Two of them have no hash that would tell them apart."""
    for seed in (0, 1):
        plan = sampling.plan(tiny.model(tiny.network(seed=seed)), n=8, settings=tiny.SAMPLING)
        with pytest.raises(KeyboardInterrupt), seen(Drawn(tiny.model(), plan), [pixels], show=False):
            raise KeyboardInterrupt
    assert pixels.seen == 16
    assert list(cache.rglob("*.float32")) == []


def test_where_there_is_no_place_for_a_cache_one_is_made_for_this_process(pixels, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(seeing, "user_cache_path", lambda name: tmp_path / "file" / name)
    assert measured(images(30), images(40, 1), "fid")["fid"].value > 0


def test_the_images_of_a_model_are_drawn_once_more_where_they_are_asked_for():
    model = tiny.model(tiny.network(classes=3))
    plan = sampling.plan(model, n=10, settings=tiny.SAMPLING.model_copy(update={"batch": 4}))
    drawn = Drawn(model, plan)
    everything = torch.cat([chunk for chunk, _ in drawn.chunks(0)])
    torch.testing.assert_close(drawn.at(torch.tensor([9, 0, 5])), everything[[9, 0, 5]], rtol=0, atol=0)
    later = torch.cat([chunk for chunk, _ in drawn.chunks(4)])
    torch.testing.assert_close(later, everything[4:], rtol=0, atol=0)


def test_two_may_use_the_same_real_images_at_a_time(pixels, cache):
    a, b = images(30), images(40, 1)
    measured(a, b, "fid")
    (seen,) = (cache / "kakusan" / "measured").iterdir()
    with claimed(seen):
        assert measured(a, b, "fid")["fid"].value > 0


def test_what_nobody_asked_for_in_half_a_year_is_removed(pixels, cache):
    a, b, c = images(30), images(40, 1), images(40, 2)
    measured(a, b, "fid")
    (seen,) = (cache / "kakusan" / "measured").iterdir()
    for days, kept in ((170, True), (190, False)):
        ago = time.time() - days * 86_400
        os.utime(seen, (ago, ago))
        measured(a, c, "fid")
        assert seen.exists() is kept
    measured(a, b, "fid")
    ago = time.time() - 170 * 86_400
    os.utime(seen, (ago, ago))
    measured(a, b, "fid")
    assert seen.stat().st_mtime > ago + 86_400, "asked for again"


def test_other_labels_are_other_images(pixels):
    a = images(30)
    first = Stored(replace(a, labels=torch.zeros(30, dtype=torch.int64), class_names=("x", "y")))
    second = Stored(replace(a, labels=torch.arange(30) % 2, class_names=("x", "y")))
    assert len({str(it.provenance) for it in (Stored(a), first, second)}) == 3


def test_statistics_that_do_not_say_whose_they_are_are_remarked_on(pixels, tmp_path):
    a = images(60)
    seen = Moments.of(pixels(a.images)["2048"])
    np.savez(tmp_path / "theirs.npz", mu=seen.mean.numpy(), sigma=seen.covariance.numpy())
    (found,) = measure(Stored(a), statistics.read(tmp_path / "theirs.npz"), ["fid"], device=CPU, show=False)
    assert "does not say which network saw its images" in found.remarks[0]


def test_what_says_little_is_remarked_on(pixels):
    found = measured(images(400), images(300, 1), "fid", "is", "copies")
    floor = "the noise floor is of 150 images against 150, and samples are 400 against 300: as many real ones would "
    assert f"{floor}score less" in found["fid"].remarks
    assert found["is"].remarks[0].startswith("an Inception score of 400 images says little")
    assert found["is"].interval is None
    assert found["is"].protocol["splits"] == 10
    assert found["copies"].remarks == []  # no model is known to have learned from them
    learned = Stored(images(300, 1), learned=True)
    (copies,) = measure(Stored(images(400)), learned, ["copies"], device=CPU, show=False)
    assert copies.remarks[0].startswith("nothing was held out")
