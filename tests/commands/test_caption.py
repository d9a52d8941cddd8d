"""Images get captions, by a template or by a BLIP, which our source reads back; all of them or none."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from kakusan import data
from kakusan.api.captioning import caption
from kakusan.data import captioning
from kakusan.data.sources import open_source
from kakusan.errors import KakusanError
from tests.commands.conftest import files


def image(path, seed=0, size=(20, 14)):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    pixels = random.integers(1 + random.integers(256, size=3), size=(*size[::-1], 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def photos(tmp_path):
    """Two classes of two, and one that is broken."""
    for seed, name in enumerate(("red_cat/1.png", "red_cat/2.png", "犬/a b.png", "犬/10.png")):
        image(tmp_path / "photos" / name, seed)
    (tmp_path / "photos" / "犬" / "x.png").write_bytes(b"no picture")
    return tmp_path / "photos"


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    """A BLIP of random weights, small enough to be made at once."""
    transformers = pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("blip")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *letters, *(f"##{it}" for it in letters)]
    (place / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizer(str(place / "vocab.txt"), additional_special_tokens=["[DEC]"])
    size = {"hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 2}
    size["initializer_range"] = 0.5  # by default next to nothing, so that all pictures are alike
    text = {"vocab_size": len(words), "encoder_hidden_size": 32, "max_position_embeddings": 32}
    tokens = {"pad_token_id": 0, "bos_token_id": 5, "eos_token_id": 2, "sep_token_id": 3}
    config = transformers.BlipConfig(
        text_config={**size, **text, **tokens},
        vision_config={**size, "image_size": 16, "patch_size": 8},
        projection_dim=16,
    )
    torch.manual_seed(0)
    model = transformers.BlipForConditionalGeneration(config).eval()
    model.save_pretrained(place)
    transformers.BlipProcessor(
        transformers.BlipImageProcessor(size={"height": 16, "width": 16}), tokenizer
    ).save_pretrained(place)
    return place


def test_a_template_says_the_class_and_the_name_and_our_source_reads_it(kakusan, photos):
    answer = kakusan("data", "caption", photos, "--template=a photo of a {class}, number {name}")
    assert answer.status == 0, answer.err
    assert "skipped 1 file that cannot be read: 犬/x.png (not an image)" in answer.err
    wanted = {
        "red_cat/1.png": "a photo of a red cat, number 1",
        "red_cat/2.png": "a photo of a red cat, number 2",
        "犬/10.png": "a photo of a 犬, number 10",
        "犬/a b.png": "a photo of a 犬, number a b",
        "犬/x.png": "",
    }
    source = open_source(photos)
    assert {source.entry(index): source.captions[index] for index in range(len(source))} == wanted
    assert "犬" in (photos / "metadata.jsonl").read_text("utf-8")  # as a person reads it
    assert data.load(photos, size=8, max_broken=0.5, show=False).captions == tuple(filter(None, wanted.values()))


def test_a_program_is_told_every_caption(kakusan, photos):
    found = json.loads(kakusan("data", "caption", photos, "--template=sks", "--json").out)
    assert set(found["captions"].values()) == {"sks"}
    assert len(found["captions"]) == 4
    assert found["skipped"] == [["犬/x.png", "not an image"]]
    assert found["file"] == str(photos / "metadata.jsonl")


@pytest.mark.parametrize("grey", [False, True])
def test_a_blip_says_what_plain_transformers_says(blip, tmp_path, grey):
    from transformers import BlipForConditionalGeneration, BlipProcessor

    model, processor = BlipForConditionalGeneration.from_pretrained(blip), BlipProcessor.from_pretrained(blip)
    wanted = {}
    for seed in range(11):  # more than are looked at together
        path = tmp_path / "flat" / f"{seed}.png"
        image(path, seed, (14 + seed, 20))
        if grey:
            Image.open(path).convert("L").save(path)
        inputs = processor(images=Image.open(path).convert("RGB"), return_tensors="pt")
        told = model.generate(**inputs, num_beams=3, max_new_tokens=20)
        wanted[path.name] = processor.decode(told[0], skip_special_tokens=True).strip()
    found = caption(tmp_path / "flat", model=str(blip), device="cpu", show=False)
    assert found.texts == wanted
    assert len(set(wanted.values())) > 1
    told = caption(
        tmp_path / "flat", template="sks, {caption}", model=str(blip), device="cpu", overwrite=True, show=False
    )
    assert told.texts == {name: f"sks, {text}".strip() for name, text in wanted.items()}


def test_captions_that_are_there_stay_unless_told_otherwise(kakusan, photos):
    (photos / "red_cat" / "1.txt").write_text("mine")
    before = files(photos)
    refused = kakusan("data", "caption", photos, "--template=sks").check_refused()
    assert refused.startswith("1 of 5 images in ")
    assert "--overwrite" in refused
    assert files(photos) == before
    assert kakusan("data", "caption", photos, "--template=sks", "--overwrite").status == 0
    assert set(open_source(photos).captions) == {"sks", ""}
    assert "4 of 5 images in " in kakusan("data", "caption", photos, "--template=other").check_refused()
    assert kakusan("data", "caption", photos, "--template=other", "--overwrite").status == 0
    assert set(open_source(photos).captions) == {"other", ""}


def test_what_would_say_otherwise_is_named(kakusan, photos):
    (photos / "犬" / "metadata.csv").write_text("file_name,text\n10.png,mine\n")
    refused = kakusan("data", "caption", photos, "--template=sks", "--overwrite").check_refused()
    assert "犬/metadata.csv captions some of the images as well" in refused


def test_what_is_interrupted_leaves_the_folder_as_it_was(photos):
    (photos / "metadata.jsonl").write_text('{"file_name": "red_cat/1.png", "text": "mine"}\n')
    before = {name: (photos / name).stat().st_mtime_ns for name in files(photos)}
    asked = captioning.asked(photos, None, looks=True, overwrite=True)

    def interrupted(pictures):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        captioning.written(asked, interrupted, show=False)
    assert {name: (photos / name).stat().st_mtime_ns for name in files(photos)} == before


def test_pictures_come_as_they_are_in_colour(tmp_path):
    pixels = image(tmp_path / "flat" / "1.png")
    seen = []
    asked = captioning.asked(tmp_path / "flat", None, looks=True)
    captioning.written(asked, lambda them: [seen.append(it) or "it" for it in them], show=False)
    assert np.array_equal(seen[0], pixels.transpose(2, 0, 1))


def test_a_name_that_is_no_text_is_found_again(tmp_path):
    path = tmp_path / "flat" / "1.png"
    image(path)
    try:
        path.rename(path.with_name("caf\udce9_1.png"))
    except OSError:
        pytest.skip("this file system has names of text alone")
    caption(tmp_path / "flat", template="{name}", show=False)
    assert open_source(tmp_path / "flat").captions == ("caf 1",)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "say what the images show"),
        (("--template=",), "the template is empty"),
        (("--template=a {clas}",), "unknown place in a template 'clas': did you mean 'class'"),
        (("--template=a {}",), "unknown place in a template ''"),
        (("--template=a {class",), "has a brace without its other"),
        (("--template=a {caption}",), "say who"),
        (("--template=a {class!r:9}",), "unknown place"),
        (("--template=a cat", "--model=here"), "has no {caption} for it"),
        (("--model=nowhere",), "there is no directory nowhere"),
        (("--model=photos",), "photos captions nothing: "),
    ],
)
def test_what_cannot_be_said_is_refused_and_nothing_is_written(kakusan, photos, options, reason):
    before = files(photos)
    assert reason in kakusan("data", "caption", photos, *options).check_refused()
    assert files(photos) == before


def test_what_is_no_folder_of_images_is_refused(kakusan, tmp_path, photos):
    (tmp_path / "file.zip").touch()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "1.png").touch()
    for place, reason in {
        "nowhere": "there is no folder nowhere",
        "file.zip": "file.zip is a file (captions are written into the folder",
        "broken": "none of the images in broken can be read: 1.png (empty file)",
    }.items():
        assert reason in kakusan("data", "caption", place, "--template=a {name}").check_refused()
    image(photos / "1.png")
    assert "classes are unclear" in kakusan("data", "caption", photos, "--template=a {class}").check_refused()
    image(tmp_path / "flat" / "1.png")
    assert "lie in no sub-folders" in kakusan("data", "caption", "flat", "--template=a {class}").check_refused()


def test_a_model_of_another_kind_or_of_pickles_is_refused(blip, tmp_path):
    import shutil

    image(tmp_path / "flat" / "1.png")
    other = shutil.copytree(blip, tmp_path / "other")
    settings = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**settings, "model_type": "clip"}))
    with pytest.raises(KakusanError, match="captions nothing: it is a model of kind clip"):
        caption(tmp_path / "flat", model=str(other), show=False)
    pickled = shutil.copytree(blip, tmp_path / "pickled")
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(KakusanError, match=r"captions nothing: .*safetensors"):
        caption(tmp_path / "flat", model=str(pickled), show=False)
    assert files(tmp_path / "flat") == ["1.png"]
