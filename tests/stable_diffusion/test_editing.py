"""From a picture instead of noise: what is masked stays, what is not is redrawn, and each image has its own seed."""

import pytest
import torch

import kakusan
from kakusan import pictures, stable_diffusion
from kakusan.errors import KakusanError
from kakusan.evaluation.prompts import asked_for
from kakusan.shapes import draw
from kakusan.stable_diffusion import Request, edit_of

pytest.importorskip("diffusers")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def model():
    return stable_diffusion.opened("mini", "cpu")


@pytest.fixture
def files(tmp_path):
    """A scene, and a mask whose right half is white."""
    (scene,), _ = asked_for(0, 1, seed=3)
    mask = torch.zeros(1, 32, 32, dtype=torch.uint8)
    mask[..., 16:] = 255
    pictures.save(tmp_path / "init.png", draw(scene, 32))
    pictures.save(tmp_path / "mask.png", mask)
    return tmp_path


def test_a_little_strength_changes_little_and_each_image_follows_from_its_seed(model, files):
    init = pictures.from_uint8(draw(asked_for(0, 1, seed=3)[0][0], 32))
    how = {"model": model, "init": files / "init.png", "n": 2, "steps": 10, "show": False}
    little = kakusan.generate("a red circle", strength=0.1, **how)
    much = kakusan.generate("a red circle", strength=1.0, **how)
    assert (little - init).abs().mean() < (much - init).abs().mean() / 2
    torch.testing.assert_close(
        kakusan.generate("a red circle", strength=0.1, batch=1, **how), little, atol=1e-4, rtol=0
    )
    assert not torch.equal(much[0], much[1])


@pytest.mark.parametrize("scheduler", [None, "euler-a"])
def test_what_is_not_white_stays_as_it_is(model, files, scheduler):
    init = pictures.from_uint8(draw(asked_for(0, 1, seed=3)[0][0], 32))
    how = {"model": model, "init": files / "init.png", "mask": files / "mask.png", "n": 2, "steps": 10, "show": False}
    drawn = kakusan.generate("a purple circle left of a blue star", scheduler=scheduler, **how)
    torch.testing.assert_close(drawn[..., :16], init[..., :16].expand(2, -1, -1, -1), atol=1e-6, rtol=0)
    assert (drawn[..., 16:] - init[..., 16:]).abs().mean() > 0.02
    torch.testing.assert_close(
        kakusan.generate("a purple circle left of a blue star", scheduler=scheduler, batch=1, **how),
        drawn,
        atol=1e-4,
        rtol=0,
    )


def test_a_thin_line_of_a_mask_is_redrawn(files):
    mask = torch.zeros(1, 32, 32, dtype=torch.uint8)
    mask[0, 5, 6] = 255
    pictures.save(files / "mask.png", mask)
    redrawn = edit_of(files / "init.png", files / "mask.png").redrawn(4)
    assert redrawn.sum() == 16
    assert redrawn[..., 4:8, 4:8].all()


@pytest.mark.parametrize("strength", [0.0, -1.0, 1.5, float("nan")])
def test_a_strength_out_of_its_range_is_refused(files, strength):
    with pytest.raises(
        KakusanError, match="strength must lie above 0, where the picture stays as it is, and be at most"
    ):
        edit_of(files / "init.png", strength=strength)


def test_what_cannot_be_edited_is_refused(model, files):
    pictures.save(files / "odd.png", torch.zeros(3, 30, 32))
    pictures.save(files / "black.png", torch.zeros(1, 32, 32, dtype=torch.uint8))
    (files / "text.png").write_text("no picture")
    for init, mask, message in [
        ("odd.png", None, r"the height of .*odd.png must be a multiple of 8 pixels, not 30 \(24 or 32\)"),
        ("none.png", None, "cannot read the picture .*none.png: No such file"),
        ("text.png", None, "cannot read the picture .*text.png: not an image"),
        ("init.png", "odd.png", "the mask .*odd.png has 32×30 pixels, and .*init.png has 32×32"),
        ("init.png", "black.png", "no pixel of the mask .*black.png is white"),
    ]:
        with pytest.raises(KakusanError, match=message):
            edit_of(files / init, mask and files / mask)
    with pytest.raises(KakusanError, match="there is none"):
        edit_of(None, files / "mask.png")
    edit = edit_of(files / "init.png", strength=0.01)
    with pytest.raises(KakusanError, match=r"strength 0\.01 leaves none of 20 steps to walk"):
        stable_diffusion.asked(model, Request(("a red circle",), n=1, steps=20, edit=edit))
    with pytest.raises(KakusanError, match=r"height 64 is not asked for beside .*init\.png"):
        Request(("a red circle",), n=1, height=64, edit=edit)
