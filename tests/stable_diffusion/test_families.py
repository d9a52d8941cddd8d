"""Pipelines of every family draw what plain diffusers draws with them: from words, pictures and masks."""

import numpy as np
import pytest
import torch
from PIL import Image

from kakusan import stable_diffusion
from kakusan.errors import KakusanError
from kakusan.seeds import ImageNoise
from kakusan.stable_diffusion import Extras, Memory, Request, edit_of
from tests.pipelines import pipeline, saved

PROMPTS = ("a red circle", "a (blue:1.0) square")
KINDS = ("sd15", "sd21", "sdxl")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    place = tmp_path_factory.mktemp("families")
    inpainting = saved("sd15", place / "inpainting", in_channels=9)
    return {it: saved(it, place / it) for it in (*KINDS, "refiner")} | {"inpainting": inpainting}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    place = tmp_path_factory.mktemp("pictures")
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / "init.png")
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 8:] = 255
    Image.fromarray(mask).save(place / "mask.png")
    return place


def opened(places, family):
    return stable_diffusion.opened(str(places[family]), "cpu")


def drawn(model, edit=None, n=2, **how):
    request = Request(PROMPTS, n=n, **{"steps": 3, "guidance": 3.0, "seed": 4, **how}, edit=edit)
    return stable_diffusion.generated(stable_diffusion.asked(model, request))


@torch.no_grad()
def theirs(pipe, **told):
    pipe.set_progress_bar_config(disable=True)
    noise = ImageNoise(4, range(2))
    told |= {"latents": noise(torch.empty(2, 4, 8, 8))} if "image" not in told else {}
    how = {"num_inference_steps": 3, "guidance_scale": 3.0, "generator": noise.generators, "output_type": "pt"}
    return pipe(["a red circle", "a blue square"], **{**how, **told}).images * 2 - 1


@pytest.mark.parametrize("family", KINDS)
def test_what_is_drawn_from_words_is_what_diffusers_draws(places, family):
    ours = drawn(opened(places, family), negative="snow")
    assert ours.shape == (2, 3, 16, 16)
    assert torch.equal(ours, theirs(pipeline(family), negative_prompt=["snow"] * 2))


@pytest.mark.parametrize("family", KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_what_is_drawn_from_a_picture_is_what_diffusers_draws(places, pictures, family, masked):
    edit = edit_of(pictures / "init.png", pictures / "mask.png" if masked else None, 0.7)
    kind = "Inpaint" if masked else "Img2Img"
    pipe = stable_diffusion.kinds.pipeline_class("StableDiffusionXL" if family == "sdxl" else "StableDiffusion", kind)
    made = pipe(**{**opened(places, family).pipe.components, **_flags(family)})
    told = {"image": edit.begun(2), "strength": 0.7}
    if masked:
        told |= {"mask_image": edit.redrawn(2), "height": 16, "width": 16}
    assert torch.equal(drawn(opened(places, family), edit), edit.kept(theirs(made, **told)))


def _flags(family):
    return {} if family == "sdxl" else {"requires_safety_checker": False}


def test_a_picture_alone_is_the_same_as_beside_others(places):
    model = opened(places, "sdxl")
    whole = drawn(model, n=3)
    torch.testing.assert_close(drawn(model, n=3, batch=1), whole, atol=1e-4, rtol=0)


def test_the_refiner_draws_the_last_fifth(places):
    """As diffusers has it: the base stops at 0.8 of the walk and hands over latents."""
    base = opened(places, "sdxl")
    model = stable_diffusion.fitted(base, Extras(refiner=str(places["refiner"])))
    how = {"num_inference_steps": 10, "denoising_end": 0.8, "output_type": "latent"}
    plain, noise = pipeline("sdxl"), ImageNoise(4, range(2))
    refiner, words = pipeline("refiner"), ["a red circle", "a blue square"]
    for it in (plain, refiner):
        it.set_progress_bar_config(disable=True)
    more = {"guidance_scale": 3.0, "generator": noise.generators}
    with torch.no_grad():
        latents = plain(words, latents=noise(torch.empty(2, 4, 8, 8)), **how, **more).images
        how |= {"denoising_end": None, "denoising_start": 0.8, "output_type": "pt"}
        wanted = refiner(words, image=latents, **how, **more).images * 2 - 1
    assert torch.equal(drawn(model, steps=10), wanted)
    assert not torch.equal(wanted, drawn(base, steps=10))


def test_a_unet_for_masks_fills_them_and_nothing_else(places, pictures):
    model = opened(places, "inpainting")
    edit = edit_of(pictures / "init.png", pictures / "mask.png", 1.0)
    ours = drawn(model, edit)
    assert torch.equal(ours[:, :, :, :8], edit.begun(2)[:, :, :, :8] * 2 - 1)
    with pytest.raises(KakusanError, match="was trained to fill what a mask leaves open: its U-Net takes 9 channels"):
        drawn(model)


def test_half_precision_draws_nearly_the_same(places):
    half = stable_diffusion.opened(str(places["sd15"]), "cpu", Memory("bfloat16"))
    assert half.pipe.unet.dtype == half.pipe.vae.dtype == torch.bfloat16
    assert (drawn(half) - drawn(opened(places, "sd15"))).abs().mean() < 0.05


def test_slices_draw_the_same_and_tiles_of_large_pictures_nearly(places):
    plain = opened(places, "sd21")
    sliced, tiled = (stable_diffusion.opened(str(places["sd21"]), "cpu", it) for it in _SPARING)
    torch.testing.assert_close(drawn(sliced), drawn(plain), atol=1e-4, rtol=0)
    large = {"n": 1, "height": 40, "width": 40}
    apart = (drawn(tiled, **large) - drawn(plain, **large)).abs()
    assert 0 < apart.mean() < 0.2


_SPARING = (Memory(slicing=True), Memory(tiling=True))


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (Memory(offload="model"), "offload model frees the memory of a GPU, and here the CPU draws"),
        (Memory("float16"), "a CPU draws with float16 far slower"),
        (Memory("int8"), "dtype must be auto, float32, bfloat16, float16, not int8"),
    ],
)
def test_what_a_cpu_has_no_use_for_is_refused(places, memory, message):
    with pytest.raises(KakusanError, match=message):
        stable_diffusion.opened(str(places["sd15"]), "cpu", memory)


def test_a_refiner_stands_beside_sdxl_only(places):
    with pytest.raises(KakusanError, match=r"a refiner draws the last steps of SDXL, and .*sd15 is another"):
        stable_diffusion.fitted(opened(places, "sd15"), Extras(refiner=str(places["refiner"])))
    with pytest.raises(KakusanError, match=r"sdxl is no refiner of SDXL"):
        stable_diffusion.fitted(opened(places, "sdxl"), Extras(refiner=str(places["sdxl"])))
    with pytest.raises(KakusanError, match="is SDXL's refiner, which draws from a picture"):
        drawn(opened(places, "refiner"))
    model = stable_diffusion.fitted(opened(places, "sdxl"), Extras(refiner=str(places["refiner"])))
    with pytest.raises(KakusanError, match="steps must be at least 5 with a refiner, not 3"):
        drawn(model)


def test_a_refiner_takes_over_from_a_base_that_walked(places, tmp_path):
    model = stable_diffusion.fitted(opened(places, "sdxl"), Extras(refiner=str(places["refiner"])))
    Image.new("RGB", (16, 16), "red").save(tmp_path / "init.png")
    Image.new("L", (16, 16), 255).save(tmp_path / "mask.png")
    init, mask = tmp_path / "init.png", tmp_path / "mask.png"
    drawn(model, steps=10, edit=edit_of(init, strength=0.5))
    with pytest.raises(KakusanError, match=r"strength 0\.25 begins where the refiner takes over"):
        drawn(model, steps=10, edit=edit_of(init, strength=0.25))
    with pytest.raises(KakusanError, match="a refiner redraws all of a picture, and --mask a part"):
        drawn(model, steps=10, edit=edit_of(init, mask))


def test_a_weight_changes_the_picture(places):
    heavy = Request(("a (red:1.5) circle",), n=2, steps=3, guidance=3.0, seed=4)
    model = opened(places, "sdxl")
    weighed = stable_diffusion.generated(stable_diffusion.asked(model, heavy))
    plain = Request(("a red circle",), n=2, steps=3, guidance=3.0, seed=4)
    assert not torch.equal(weighed, stable_diffusion.generated(stable_diffusion.asked(model, plain)))


def test_memory_that_does_not_suffice_is_one_sentence(places, monkeypatch):
    model = opened(places, "sd15")
    generation = stable_diffusion.asked(model, Request(PROMPTS, n=1, steps=1))
    monkeypatch.setattr(model.pipe.unet, "forward", _no_memory)
    with pytest.raises(KakusanError, match=r"does not fit into memory \(draw fewer at a time: --batch 1"):
        stable_diffusion.generated(generation)


def _no_memory(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory")
