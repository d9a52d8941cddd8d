"""Pictures of what a pipeline is told, from the command line."""

import json

import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image
from safetensors.torch import save_file

from kakusan import adapters, pictures
from kakusan.api.exchange import export
from kakusan.commands import stamp
from kakusan.errors import KakusanError
from kakusan.seeing import seen
from tests.adapters.pipelines import adapter
from tests.commands.conftest import files
from tests.pipelines import checked, saved
from tests.pipelines import pipeline as shaped
from tests.tiny_prompted import run


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    place = tmp_path_factory.mktemp("pipeline")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seen, "user_cache_path", lambda name: place / "cache" / name)
        export(run(place / "run"), place / "out")
    return place / "out"


def test_pictures_say_how_they_were_drawn(kakusan, pipeline, tmp_path):
    how = ("--model", str(pipeline), "-n3", "--steps=2", "--seed=5", "--device=cpu", "-o", "out")
    done = kakusan("generate", "a red circle", "a zebra", *how)
    assert done.status == 0, done.err
    assert "3 images in out" in done.out
    assert "no caption that was learned from says zebra" in done.err
    assert files(tmp_path / "out") == ["0000.png", "0001.png", "0002.png", "grid.png"]
    told = pictures.read_metadata(tmp_path / "out" / "0001.png")
    assert (told["prompts"], told["index"], told["seed"]) == (["a red circle", "a zebra"], 1, 5)
    assert (told["steps"], told["guidance"], told["scheduler"]) == (2, 3.0, "DDIMScheduler")
    assert (told["model"], told["eta"]) == ("out", 0.0)  # no path
    assert told["safety_checker"] is False
    assert len(told["weights"]) == 64
    assert Image.open(tmp_path / "out" / "0000.png").size == (16, 16)


def test_that_a_prompt_is_read_in_parts_is_said_once(kakusan, pipeline, tmp_path):
    how = ("--model", str(pipeline), "-n1", "--steps=1", "--device=cpu", "-o", "out")
    done = kakusan("generate", "a red circle " * 9, *how)
    assert done.status == 0
    assert done.err.count("read in") == 1
    assert "Token indices" not in done.err
    assert "truncated" not in done.err


def test_sample_does_not_draw_it_again_and_says_what_does(kakusan, pipeline, tmp_path):
    how = ("--model", str(pipeline), "-n1", "--steps=1", "--seed=5", "--device=cpu", "-o", "out")
    assert kakusan("generate", "a red circle", *how).status == 0
    with pytest.raises(KakusanError, match=r"was drawn from out by kakusan generate: kakusan generate --like"):
        stamp.read(tmp_path / "out" / "0000.png", stamp.Sampled)


def test_a_smaller_set_replaces_a_larger_one(kakusan, pipeline, tmp_path):
    how = ("--model", str(pipeline), "--steps=1", "--device=cpu", "-o", "out")
    assert kakusan("generate", "a red circle", "-n4", *how).status == 0
    assert kakusan("generate", "a red circle", "-n2", *how).status == 2
    done = kakusan("generate", "a red circle", "-n2", "--overwrite", "--json", *how)
    assert json.loads(done.out)["images"] == ["0000.png", "0001.png"]
    assert files(tmp_path / "out") == ["0000.png", "0001.png", "grid.png"]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--scheduler=eulr", "unknown scheduler 'eulr': did you mean 'euler'?"),
        ("--steps=0", "steps must be at least 1, not 0"),
        ("--guidance=0.5", "guidance must be 1, which is plainly conditional, or more, not 0.5"),
        ("--height=30", "height must be a multiple of 8 pixels, not 30 (24 or 32)"),
    ],
)
def test_what_no_model_draws_is_refused_before_one_is_looked_for(kakusan, option, sentence, tmp_path):
    assert sentence in kakusan("generate", "a red circle", "--model=nowhere", option, "-o", "out").check_refused()
    assert not (tmp_path / "out").exists()


def test_a_scheduler_is_named_in_the_picture(kakusan, pipeline, tmp_path):
    how = ("--model", str(pipeline), "-n1", "--steps=2", "--device=cpu", "-o", "out")
    done = kakusan("generate", "a red circle", "--scheduler=euler-a", "--width=24", *how)
    assert done.status == 0, done.err
    told = pictures.read_metadata(tmp_path / "out" / "0000.png")
    assert (told["scheduler"], told["eta"], told["height"], told["width"]) == ("euler-a", None, 16, 24)
    assert Image.open(tmp_path / "out" / "0000.png").size == (24, 16)


def test_prompts_of_a_file_come_after_the_others(kakusan, pipeline, tmp_path):
    (tmp_path / "prompts.txt").write_text("two cats\na small blue star\n")
    how = ("--model", str(pipeline), "-n3", "--steps=1", "--device=cpu", "-o", "out")
    assert kakusan("generate", "a red circle", "--prompts=prompts.txt", *how).status == 0
    told = pictures.read_metadata(tmp_path / "out" / "0000.png")
    assert told["prompts"] == ["a red circle", "two cats", "a small blue star"]
    (tmp_path / "prompts.txt").write_text("two cats\n\na star\n")
    refused = kakusan("generate", "--prompts=prompts.txt", "--model=nowhere").check_refused()
    assert refused == "prompts.txt: line 2 is empty, and each is a prompt (remove it)"
    assert "cannot read the prompts of none.txt" in kakusan("generate", "--prompts=none.txt").check_refused()


@pytest.mark.parametrize("more", [("--scheduler=euler-a",), ("--init=init.png", "--mask=mask.png", "--strength=0.9")])
def test_a_picture_is_drawn_again_as_it_says(kakusan, pipeline, more, tmp_path):
    pictures.save(tmp_path / "init.png", torch.full((3, 16, 16), 90, dtype=torch.uint8))
    mask = torch.zeros(1, 16, 16, dtype=torch.uint8)
    mask[:, :8] = 255
    pictures.save(tmp_path / "mask.png", mask)
    how = ("--model", str(pipeline), "-n3", "--steps=3", "--guidance=2", "--seed=5", "--device=cpu", "-o", "out")
    assert kakusan("generate", "a red circle", "a blue star", "--negative=snow", *how, *more).status == 0
    again = ("generate", "--like", "out/0001.png", "--device=cpu", "-o", "again")
    assert "was drawn from out: say where it lies (--model DIR)" in kakusan(*again).check_refused()
    assert kakusan(*again, "--model", str(pipeline)).status == 0
    assert files(tmp_path / "again") == files(tmp_path / "out")
    for name in files(tmp_path / "out"):
        assert pictures.read_metadata(tmp_path / "again" / name) == pictures.read_metadata(tmp_path / "out" / name)
        assert Image.open(tmp_path / "again" / name).tobytes() == Image.open(tmp_path / "out" / name).tobytes()


def test_what_is_not_as_it_was_is_said(kakusan, pipeline, tmp_path):
    pictures.save(tmp_path / "init.png", torch.full((3, 16, 16), 90, dtype=torch.uint8))
    how = ("--model", str(pipeline), "-n1", "--steps=2", "--init=init.png", "--device=cpu", "-o", "out")
    assert kakusan("generate", "a red circle", *how).status == 0
    again = ("generate", "--like", "out/0000.png", "--model", str(pipeline), "-o", "again")
    assert "leave out --seed" in kakusan(*again, "--seed=3").check_refused()
    assert "leave out what it is to show" in kakusan("generate", "a star", *again[1:]).check_refused()
    assert "was drawn with other weights than those of mini" in kakusan(*again[:3], "--model=mini").check_refused()
    pictures.save(tmp_path / "init.png", torch.full((3, 16, 16), 80, dtype=torch.uint8))
    assert "was drawn from init.png as it was then" in kakusan(*again).check_refused()
    (tmp_path / "init.png").unlink()
    assert "cannot read the picture init.png" in kakusan(*again).check_refused()
    assert not (tmp_path / "again").exists()


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    """SDXL and its refiner, and what Stable Diffusion 1.5 may wear."""
    place = tmp_path_factory.mktemp("family")
    for family in ("sd15", "sdxl", "refiner"):
        saved(family, place / family)
    adapters.write(adapter(shaped("sd15")), place / "lora.safetensors")
    ControlNetModel.from_unet(shaped("sd15").unet, conditioning_embedding_out_channels=(8, 16)).save_pretrained(
        place / "net"
    )
    save_file({"<cat>": torch.ones(1, 32)}, place / "cat.safetensors")
    pictures.save(place / "square.png", torch.full((3, 16, 16), 90, dtype=torch.uint8))
    return place


def test_sdxl_and_its_refiner_draw_and_say_so(kakusan, xl, tmp_path):
    how = ("--model", str(xl / "sdxl"), "-n2", "--steps=6", "--device=cpu", "-o", "out")
    done = kakusan("generate", "a (red:1.2) circle", "--refiner", str(xl / "refiner"), *how)
    assert done.status == 0, done.err
    told = pictures.read_metadata(tmp_path / "out" / "0001.png")
    assert told["refiner"]["path"] == str(xl / "refiner")
    assert (told["prompts"], told["dtype"]) == (["a (red:1.2) circle"], "float32")
    again = kakusan("generate", "--like", "out/0001.png", "--model", str(xl / "sdxl"), "--device=cpu", "-o", "again")
    assert again.status == 0, again.err
    for name in files(tmp_path / "out"):
        assert Image.open(tmp_path / "again" / name).tobytes() == Image.open(tmp_path / "out" / name).tobytes()


def test_what_was_decoded_in_tiles_is_again(kakusan, xl, tmp_path):
    how = ("--model", str(xl / "sd15"), "--device=cpu")
    large = ("-n1", "--steps=1", "--height=40", "--width=40")
    for out, more in {"plain": (*large,), "tiled": (*large, "--tiling"), "again": ("--like", "tiled/0000.png")}.items():
        said = () if out == "again" else ("x",)
        done = kakusan("generate", *said, *how, *more, "-o", out)
        assert done.status == 0, done.err
    plain, tiled, again = (Image.open(tmp_path / it / "0000.png").tobytes() for it in ("plain", "tiled", "again"))
    assert again == tiled != plain


def test_what_was_worn_is_worn_again(kakusan, xl, tmp_path):
    lora, cat = tmp_path / "lora.safetensors", tmp_path / "cat.safetensors"
    for file in (lora, cat):
        file.write_bytes((xl / file.name).read_bytes())
    worn = ("--lora", "lora.safetensors:0.5", "--embedding", "cat.safetensors", "--control", str(xl / "net"))
    how = ("--model", str(xl / "sd15"), "-n1", "--steps=2", "--device=cpu", "-o", "out")
    done = kakusan("generate", "a <cat>", *worn, "--control-image", f"canny:{xl / 'square.png'}", *how)
    assert done.status == 0, done.err
    told = pictures.read_metadata(tmp_path / "out" / "0000.png")
    assert [(it["path"], it["weight"]) for it in told["loras"]] == [("lora.safetensors", 0.5)]
    assert told["embeddings"][0]["path"] == "cat.safetensors"
    assert told["controls"][0]["image"]["path"] == f"canny:{xl / 'square.png'}"
    again = ("generate", "--like", "out/0000.png", "--model", str(xl / "sd15"), "--device=cpu", "-o", "again")
    assert kakusan(*again).status == 0
    ours, theirs = (Image.open(tmp_path / it / "0000.png").tobytes() for it in ("again", "out"))
    assert ours == theirs
    again = (*again, "--overwrite")
    assert "leave out --lora" in kakusan(*again, "--lora", "lora.safetensors").check_refused()
    adapters.write(adapter(shaped("sd15"), seed=5), lora)
    assert "was drawn from lora.safetensors as it was then" in kakusan(*again).check_refused()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("a (red circle",), "the bracket ( at position 3 of 'a (red circle' is without its other one"),
        (("x", "--control=net"), "1 ControlNet and 0 pictures to lead by are given"),
        (("x", "--control-image=none.png", "--control=net"), "cannot read the picture none.png"),
        (("x", "--dtype=int8"), "dtype"),
        (("x", "--offload=model", "--device=cpu"), "offload model frees the memory of a GPU"),
        (("x", "--lora=none"), "none"),
        (("x", "--embedding=none"), "there is no learned word none"),
        (("x", "--refiner=mini"), "a refiner draws the last steps of SDXL, and mini is another"),
    ],
)
def test_what_does_not_go_together_is_refused(kakusan, options, sentence, tmp_path):
    assert sentence in kakusan("generate", *options, "-o", "out").check_refused()
    assert not (tmp_path / "out").exists()


def test_the_safety_checker_looks_unless_told_not_to(kakusan, tmp_path):
    checked(shaped("sd15")).save_pretrained(tmp_path / "model")
    how = ("generate", "a red circle", "--model=model", "-n2", "--steps=1", "--device=cpu", "-o", "out")
    done = kakusan(*how)
    assert done.status == 0, done.err
    assert "the safety checker of model has made 0000.png, 0001.png black" in done.err
    assert not torch.tensor(list(Image.open(tmp_path / "out" / "0000.png").tobytes())).any()
    assert pictures.read_metadata(tmp_path / "out" / "0000.png")["safety_checker"] is True
    done = kakusan(*how, "--no-safety-checker", "--overwrite")
    assert "black" not in done.err
    assert torch.tensor(list(Image.open(tmp_path / "out" / "0000.png").tobytes())).any()
    assert pictures.read_metadata(tmp_path / "out" / "0000.png")["safety_checker"] is False


def test_a_plan_says_what_it_takes_and_draws_nothing(kakusan, xl, tmp_path):
    done = kakusan("generate", "x", "--plan", "--model", str(xl / "sd15"), "--json", "-o", "out")
    assert done.status == 0, done.err
    told = json.loads(done.out)
    assert told["parameters"]["unet"] == sum(it.numel() for it in shaped("sd15").unet.parameters())
    assert (told["download"], told["height"], told["width"]) == (0, 16, 16)
    assert "fits" in kakusan("generate", "x", "--plan", "--model", str(xl / "sdxl")).out
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_had_is_one_line(kakusan, tmp_path):
    done = kakusan("generate", "a red circle", "--model", "nowhere", "-o", "out")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "there is no model nowhere" in done.err
    assert not (tmp_path / "out").exists()
    assert "nothing is asked for" in kakusan("generate").check_refused()
