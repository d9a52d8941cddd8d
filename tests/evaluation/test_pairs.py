"""Metrics of images in pairs, where their value is known, and LPIPS with seeded random weights."""

import math

import pytest
import torch
from torch import nn
from torchvision import models

from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation import pairs
from kakusan.evaluation.pairs import measure_pairs, partners
from kakusan.perception import Diversity, Lpips
from kakusan.weights import PRETRAINED

pytest.importorskip("torchmetrics")
pytestmark = pytest.mark.usefixtures("cache")
CPU = torch.device("cpu")


def pictures(count=6, side=32, seed=0, channels=3):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 8, 8, generator=generator)
    return (255 * nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")).to(torch.uint8)


def named(images, names=None, name="images"):
    return ImageSet(images, names=tuple(names or (f"{i}.png" for i in range(len(images)))), name=name)


def measured(a, b, *metrics, **given):
    found = measure_pairs(named(a), named(b), metrics, device=CPU, show=False, **given)
    return {it.metric: it for it in found}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """AlexNet as torchvision has it, with random weights."""
    place = tmp_path_factory.mktemp("weights")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(models.alexnet().state_dict(), place / PRETRAINED["alexnet"].file)
    return place


def test_psnr_of_a_shift_by_so_many_levels():
    a = pictures().clamp(0, 200)
    assert measured(a, a + 5, "psnr")["psnr"].value == pytest.approx(20 * math.log10(255 / 5), rel=1e-5)


def test_identical_pairs_are_left_out_and_counted():
    a = pictures().clamp(0, 200)
    b = a + 5
    b[0] = a[0]
    found = measured(a, b, "psnr")["psnr"]
    assert found.value == pytest.approx(20 * math.log10(255 / 5), rel=1e-5)
    assert found.remarks == ["1 pair of 6 are identical, without a finite psnr, and left out of its mean"]
    with pytest.raises(KakusanError, match=r"all 6 pairs are identical: .* \(measure ssim or lpips\)"):
        measured(a, a, "psnr")
    found = measured(a, a, "psnr", "ssim")
    assert found.keys() == {"ssim"}
    assert found["ssim"].remarks == ["all 6 pairs are identical: their psnr is infinite, and left out"]


def test_of_identical_ones_ssim_is_one_and_lpips_nothing(weights):
    found = measured(pictures(), pictures(), "ssim", "lpips", weights=weights)
    assert found["ssim"].value == pytest.approx(1, abs=1e-6)
    assert found["lpips"].value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("spoil", ["noise", "blur"])
def test_the_worse_the_worse(weights, spoil):
    a = pictures()

    def spoilt(much):
        x = a.float()
        if spoil == "noise":
            x = x + much * 40 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        else:
            x = torch.lerp(x, nn.functional.avg_pool2d(x, 9, 1, 4, count_include_pad=False), much / 3)
        return x.clamp(0, 255).to(torch.uint8)

    found = [measured(spoilt(much), a, "psnr", "ssim", "lpips", weights=weights) for much in (1, 2, 3)]
    for metric, better in (("psnr", True), ("ssim", True), ("lpips", False)):
        values = [it[metric].value for it in found]
        assert values == sorted(values, reverse=better)


@pytest.mark.parametrize(("net", "name"), [("alex", "alexnet"), pytest.param("vgg", "vgg16", marks=pytest.mark.slow)])
def test_lpips_is_that_of_torchmetrics_with_the_same_weights(tmp_path, net, name):
    from torchmetrics.functional.image.lpips import _NoTrainLpips

    with torch.random.fork_rng():
        torch.manual_seed(1)
        backbone = getattr(models, name)()
    torch.save(backbone.state_dict(), tmp_path / PRETRAINED[name].file)
    theirs = _NoTrainLpips(net=net, pnet_rand=True)
    for part in range(1, 6):
        layers = getattr(theirs.net, f"slice{part}")
        for number, layer in layers.named_children():
            layer.load_state_dict(backbone.features[int(number)].state_dict())
    a, b = pictures(side=64), pictures(side=64, seed=1)
    with torch.no_grad():
        expected = theirs(a / 127.5 - 1, b / 127.5 - 1).flatten()
    torch.testing.assert_close(Lpips(f"lpips-{net}", tmp_path, device=CPU)(a, b), expected)


def test_small_and_grey_pictures_are_enlarged_and_said_to_be(weights):
    found = measured(pictures(side=8, channels=1), pictures(side=8, channels=1, seed=1), "lpips", weights=weights)
    assert found["lpips"].value > 0
    assert found["lpips"].protocol["resize"] == "bilinear to 64 pixels"
    large = measured(pictures(side=64), pictures(side=64, seed=1), "lpips", weights=weights)
    assert large["lpips"].protocol["resize"] == "not at all"


def test_pairs_go_by_name_whatever_the_suffix_and_the_order():
    a = named(pictures(3), ["x/1.png", "x/2.png", "y/1.png"])
    b = named(pictures(3), ["y/1.jpg", "z.png", "x/1.webp"])
    ours, theirs = partners(a, b)
    assert (ours.tolist(), theirs.tolist()) == ([0, 2], [2, 0])


@pytest.mark.parametrize(
    ("b", "metric", "answer"),
    [
        (
            named(pictures(), list("abcdef"), "others"),
            "psnr",
            r"no image of images \(0.png, .* of others .*paired by file name",
        ),
        (ImageSet(pictures(), name="cached"), "psnr", "those of cached have none"),
        (named(pictures(side=16)), "psnr", "compare like with like"),
    ],
)
def test_what_makes_no_pairs_is_refused(b, metric, answer):
    with pytest.raises(KakusanError, match=answer):
        measure_pairs(named(pictures()), b, [metric], device=CPU, show=False)


def test_two_of_one_name_are_refused_and_those_without_a_partner_told_of():
    twice = named(pictures(3), ["a.png", "a.jpg", "b.png"])
    with pytest.raises(KakusanError, match="more than one image called a"):
        partners(twice, named(pictures(3)))
    a, b = named(pictures(6)), named(pictures(4, seed=1), name="others")
    (found,) = measure_pairs(a, b, ["psnr"], device=CPU, show=False)
    assert found.remarks == ["2 images of images and others have no partner and were left out"]


def test_who_was_interrupted_goes_on_and_measures_no_pair_twice(monkeypatch):
    a, b = pictures(150), pictures(150, seed=1)
    whole, counted = measured(a, b, "psnr")["psnr"].value, []

    def interrupted(self, a, b, real=pairs._Seer.__call__):
        if len(counted) == 2:
            counted.append(0)
            raise KeyboardInterrupt
        counted.append(len(a))
        return real(self, a, b)

    monkeypatch.setattr(pairs, "_VALUES", 64 * a[0].numel())
    monkeypatch.setattr(pairs._Seer, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measured(a, b, "psnr")
    assert measured(a, b, "psnr")["psnr"].value == whole
    assert counted == [64, 64, 0, 22]


def test_other_pairs_of_the_same_images_are_told_apart():
    a, b = named(pictures()), named(pictures(seed=1))
    turned = named(pictures(seed=1), [f"{i}.png" for i in reversed(range(6))])
    stamps = [measure_pairs(a, it, ["psnr"], device=CPU, show=False)[0].protocol for it in (b, turned)]
    assert [name for name in stamps[0] if stamps[0][name] != stamps[1][name]] == ["pairs"]


def test_ssim_needs_its_window():
    with pytest.raises(KakusanError, match="a window of 11 pixels, and images are 8 wide"):
        measured(pictures(side=8), pictures(side=8), "ssim")


def test_diversity_is_of_pairs_of_one_class_that_share_no_image():
    class Difference:
        name, device = "difference", CPU

        def __call__(self, a, b):
            return (a.float() - b.float()).abs().mean((1, 2, 3))

    images = torch.tensor([0, 10, 1, 30, 7, 3])[:, None, None, None].expand(-1, 3, 4, 4).to(torch.uint8)
    seen = Diversity(Difference())
    by_class = seen(images, torch.tensor([0, 1, 0, 1, 0, 2]))["pairs"]
    assert by_class[:, 0].nan_to_num(-1).tolist() == [-1, -1, 1, 20, -1, -1]
    assert seen(images, None)["pairs"][:, 0].nan_to_num(-1).tolist() == [-1, 10, -1, 29, -1, 4]
