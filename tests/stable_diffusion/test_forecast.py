"""What drawing takes, counted without computing: weights exactly, and no less than lives at a time."""

import re
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from kakusan import stable_diffusion
from kakusan.errors import KakusanError
from kakusan.stable_diffusion import Extras, Memory, Request, forecast
from kakusan.stable_diffusion.counting import counted
from kakusan.stable_diffusion.fetching import Files
from kakusan.stable_diffusion.forecast import _Scene
from tests.documents import ROOT
from tests.pipelines import FAMILIES, pipeline, saved

GIB = 2**30


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    place = tmp_path_factory.mktemp("plans")
    return {it: str(saved(it, place / it)) for it in (*FAMILIES, "refiner")}


def planned(places, family, memory=Memory(), extras=Extras(), **how):  # noqa: B008 (they hold no state)
    return stable_diffusion.planned(places[family], Request(("x",), **{"n": 4, **how}), extras, memory, "cpu")


def test_what_lives_at_a_time_is_counted():
    with counted() as live:
        a = torch.empty(1000, device="meta")  # 4,000 bytes
        b = a * 2  # 8,000 at a time
        del a
        c = b + 1
        del b, c
    assert (live.most, live.now) == (8000, 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_counted_exactly(places, family):
    found = planned(places, family)
    parts = {name: it for name, it in pipeline(family).components.items() if isinstance(it, torch.nn.Module)}
    assert found.parameters == {name: sum(it.numel() for it in part.parameters()) for name, part in parts.items()}
    assert found.weights == 4 * sum(found.parameters.values())
    assert found.memory > found.weights
    half = planned(places, family, Memory("bfloat16"))
    assert 2 * half.weights == found.weights


def test_more_and_larger_pictures_take_more(places):
    def beyond(**how):
        found = planned(places, "sd15", **how)
        return found.memory - found.weights

    one, several, larger = beyond(n=1), beyond(n=8), beyond(n=1, height=32, width=32)
    assert one < several <= 8 * one
    assert one < larger <= 4 * one


def test_offloading_leaves_less_on_the_device(places):
    request = Request(("x",), n=1)
    scene = _Scene({it: getattr(pipeline("sdxl").to("meta"), it) for it in _SDXL}, request, torch.float32, 0)
    whole, parts, layers = (scene.peak(Memory(offload=it)) for it in ("none", "model", "sequential"))
    assert layers < parts < whole


def test_a_sliced_decoder_takes_one_image_at_a_time():
    scenes = [
        _Scene(
            {it: getattr(pipeline("sd15").to("meta"), it) for it in ("unet", "vae")},
            Request(("x",), n=n),
            torch.float32,
            0,
        )
        for n in (1, 4)
    ]
    one, several = (it._decoded(Memory()) for it in scenes)
    assert one < scenes[1]._decoded(Memory(slicing=True)) < several / 2


_SDXL = ("text_encoder", "text_encoder_2", "unet", "vae")


def test_a_refiner_adds_its_weights(places):
    plain = planned(places, "sdxl")
    refined = planned(places, "sdxl", extras=Extras(refiner=places["refiner"]))
    assert refined.weights - plain.weights == 4 * sum(planned(places, "refiner").parameters.values())


def test_what_is_to_be_fetched_is_all_of_which_only_configurations_are_here(places, tmp_path, monkeypatch):
    here, there = (shutil.copytree(places[it], tmp_path / it) for it in ("sdxl", "refiner"))
    for file in there.rglob("*.safetensors"):
        file.unlink()
    known = {"hub:owner/sdxl": here, "hub:owner/refiner": there}
    monkeypatch.setattr(forecast, "fetched", lambda name, **_: Files(known[name]))
    own = stable_diffusion.planned("hub:owner/sdxl", Request(("x",), n=1), Extras(), Memory(), "cpu")
    refined = stable_diffusion.planned(
        "hub:owner/sdxl", Request(("x",), n=1), Extras(refiner="hub:owner/refiner"), Memory(), "cpu"
    )
    assert own.download == 0
    assert refined.download == refined.weights - own.weights > 0


def test_what_does_not_fit_gets_the_first_advice_that_helps(places, monkeypatch):
    needed = planned(places, "sd15", n=4).memory
    monkeypatch.setattr(forecast, "memory_of", lambda device: needed - 1)
    found = planned(places, "sd15", n=4)
    assert found.advice == "--batch 1"
    assert "does not fit" in found.in_words()["memory"]


def test_one_file_needs_a_configuration(places, tmp_path):
    (tmp_path / "one.safetensors").write_bytes(b"")
    with pytest.raises(KakusanError, match=r"does not say how its parts are built: .*--model-config DIR"):
        stable_diffusion.planned(str(tmp_path / "one.safetensors"), Request(("x",), n=1), Extras(), Memory(), "cpu")


def test_stable_diffusion_2_1_in_half_precision_takes_what_the_chapter_says():
    """4 GB of download and 8 GB of memory: 2.4 GiB of weights are fetched in half precision, and a picture of 768×768
    pixels takes less than 8 GB."""
    with torch.device("meta"):
        parts = {
            "unet": UNet2DConditionModel(
                sample_size=96,
                attention_head_dim=(5, 10, 20, 20),
                cross_attention_dim=1024,
                use_linear_projection=True,
            ),
            "vae": AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
            ),
            "text_encoder": CLIPTextModel(
                CLIPTextConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16)
            ),
        }
    counts = {part: sum(it.numel() for it in module.parameters()) for part, module in parts.items()}
    assert counts == {"unet": 865_910_724, "vae": 83_653_863, "text_encoder": 340_387_840}
    scene = _Scene(parts, Request(("x",), n=1), torch.float16, 0)
    assert scene.size == (768, 768)
    peak, offloaded = scene.peak(Memory()), scene.peak(Memory(offload="model"))
    assert 2 * sum(counts.values()) < peak < 8e9
    assert offloaded < peak
    smaller = _Scene(parts, Request(("x",), n=1, height=512, width=512), torch.float16, 0).peak(Memory())
    several = _Scene(parts, Request(("x",), n=8), torch.float16, 0).peak(Memory())
    page = " ".join((ROOT / "docs" / "chapter.md").read_text("utf-8").split())
    told = re.search(r"By `--plan`, .*? not for eight\.", page)
    assert told is not None
    assert f"{sum(counts.values()):,} weights" in told[0]
    for size in (2 * sum(counts.values()), peak, offloaded, smaller, several):
        assert f"{size / GIB:.3g} GiB" in told[0]
