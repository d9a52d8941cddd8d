"""ControlNets: what they see, how much they count, and which fit."""

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image

from kakusan import stable_diffusion
from kakusan.errors import KakusanError
from kakusan.stable_diffusion import Extras, Request, control_of, edit_of
from kakusan.stable_diffusion.control import edges
from tests.networks.randomised import randomised
from tests.pipelines import pipeline, saved

pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    place = tmp_path_factory.mktemp("control")
    for family in ("sd15", "sdxl"):
        saved(family, place / family)
        net = ControlNetModel.from_unet(pipeline(family).unet, conditioning_embedding_out_channels=(8, 16))
        net.save_pretrained(place / f"{family}-new")
        randomised(net).save_pretrained(place / f"{family}-net")
    other = ControlNetModel.from_unet(pipeline("sd15").unet, conditioning_embedding_out_channels=(8, 16, 16))
    other.save_pretrained(place / "other-scale")
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[4:12, 6:18] = (255, 40, 0)
    Image.fromarray(pixels).save(place / "square.png")
    Image.fromarray(pixels[:8]).save(place / "half.png")
    Image.fromarray(pixels[:, :16]).save(place / "init.png")
    return place


def drawn(places, family="sd15", nets=(), images=(), edit=None, **how):
    model = stable_diffusion.opened(str(places / family), "cpu")
    model = stable_diffusion.fitted(model, Extras(controls=[(str(places / net), weight) for net, weight in nets]))
    controls = tuple(control_of(it) for it in images)
    how = {"n": 2, "steps": 2, "seed": 3, "guidance": 3.0, **how}
    return stable_diffusion.generated(
        stable_diffusion.asked(model, Request(("a red circle",), edit=edit, controls=controls, **how))
    )


def test_edges_are_where_colours_meet():
    picture = torch.zeros(3, 16, 16)
    picture[0, 4:12, 4:12] = 1.0
    found = edges(picture)
    assert found.shape == (3, 16, 16)
    assert set(found.unique().tolist()) == {0.0, 1.0}
    assert found[:, 6:10, 6:10].sum() == 0  # inside
    assert found[:, :3].sum() == found[:, :, 13:].sum() == 0  # outside
    assert all(found[0, row].sum() > 0 for row in range(5, 11))


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_new_controlnet_leads_nowhere_and_one_of_weight_0_neither(places, family):
    """Its convolutions begin at zero, as those of ControlNet's paper."""
    square = str(places / "square.png")
    plain = drawn(places, family, height=16, width=24)
    assert plain.shape == (2, 3, 16, 24)
    assert torch.equal(drawn(places, family, [(f"{family}-new", 1.0)], [square]), plain)
    assert torch.equal(drawn(places, family, [(f"{family}-net", 0.0)], [square]), plain)
    assert not torch.allclose(drawn(places, family, [(f"{family}-net", 1.0)], [square]), plain, atol=1e-3)


def test_it_sees_the_edges_of_a_picture_that_is_named_so(places):
    square, net = str(places / "square.png"), [("sd15-net", 1.0)]
    seen = drawn(places, "sd15", net, [f"canny:{square}"])
    assert not torch.equal(seen, drawn(places, "sd15", net, [square]))
    Image.fromarray((control_of(f"canny:{square}").pixels * 255).byte().permute(1, 2, 0).numpy()).save(
        places / "edges.png"
    )
    assert torch.equal(seen, drawn(places, "sd15", net, [str(places / "edges.png")]))


def test_several_lead_together_each_with_its_weight(places):
    square = str(places / "square.png")
    two = [("sd15-net", 0.7), ("sd15-new", 1.0)]
    assert torch.equal(
        drawn(places, "sd15", two, [square, f"canny:{square}"]), drawn(places, "sd15", two[:1], [square])
    )


def test_pictures_that_begin_from_another_are_led_too(places):
    edit, init = edit_of(places / "init.png", None, 0.9), str(places / "init.png")
    plain = drawn(places, edit=edit)
    assert torch.equal(drawn(places, nets=[("sd15-new", 1.0)], images=[init], edit=edit), plain)
    assert not torch.equal(drawn(places, nets=[("sd15-net", 1.0)], images=[init], edit=edit), plain)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"nets": [("nowhere", 1.0)], "images": ["square.png"]}, "there is no ControlNet .*nowhere"),
        ({"nets": [("sd15", 1.0)], "images": ["square.png"]}, "cannot be loaded|no ControlNet"),
        ({"nets": [("sdxl-net", 1.0)], "images": ["square.png"]}, "made for another architecture: its cross_attention"),
        ({"nets": [("other-scale", 1.0)], "images": ["square.png"]}, "makes one value of 4×4 pixels, and .* of 2×2"),
        ({"nets": [("sd15-net", 1.0)]}, "is led by 1 ControlNets, and 0 pictures are given"),
        ({"nets": [("sd15-net", 1.0)], "images": ["square.png"], "height": 16, "width": 16}, "the width of .*square"),
        ({"nets": [("sd15-net", 1.0)], "images": ["square.png"], "width": 16}, "the width of .*square.png is 24 "),
        ({"nets": [("sd15-net", 1.0)] * 2, "images": ["square.png", "half.png"]}, "the height of .*half.png is 8 "),
        ({"nets": [("sd15-net", 1.0)], "images": ["none.png"]}, "cannot read the picture"),
    ],
)
def test_what_does_not_fit_is_refused(places, how, message):
    images = [str(places / it) for it in how.get("images", ())]
    with pytest.raises(KakusanError, match=message):
        drawn(places, **{**how, "images": images})


def test_a_refiner_is_refused_where_the_walk_cannot_be_left_to_it(places):
    saved("refiner", places / "refiner")
    model = stable_diffusion.opened(str(places / "sdxl"), "cpu")
    extras = Extras(controls=[(str(places / "sdxl-net"), 1.0)], refiner=str(places / "refiner"))
    init = str(places / "init.png")
    request = Request(("x",), n=1, steps=6, edit=edit_of(init), controls=(control_of(init),))
    with pytest.raises(KakusanError, match="walks to the end, and leaves nothing to a refiner"):
        stable_diffusion.asked(stable_diffusion.fitted(model, extras), request)
