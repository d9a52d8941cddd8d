"""The CLIP score is torchmetrics' own, on a CLIP as small as one can be, in the files of a real one."""

import json

import pytest
import torch

import kakusan
from kakusan import weights
from kakusan.commands import main
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.evaluation import captions
from kakusan.pictures import save

transformers = pytest.importorskip("transformers")
multimodal = pytest.importorskip("torchmetrics.functional.multimodal")

pytestmark = pytest.mark.usefixtures("cache")
CAPTIONS = ("a cat", "a dog", "an owl", "a cat and a dog", "a bad hat")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a CLIP of random weights, named as the published one."""
    folder = tmp_path_factory.mktemp("weights") / weights.CLIP.file
    folder.mkdir()
    letters = [chr(code) for code in range(97, 123)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**size, "vocab_size": len(words), "eos_token_id": len(words) - 1, "bos_token_id": len(words) - 2}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**size, "image_size": 32, "patch_size": 16}, projection_dim=8
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.CLIPModel(config).save_pretrained(folder, safe_serialization=True)
    images = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder.parent


def pictures(captions=CAPTIONS, channels=3):
    pixels = torch.randint(0, 256, (5, channels, 20, 20), generator=torch.Generator().manual_seed(1))
    return ImageSet(pixels.to(torch.uint8), name="pets", captions=captions)


def score(images, place, **how):
    (found,) = kakusan.measure(images, "clip", weights=place, offline=True, device="cpu", show=False, **how)
    return found


def test_it_is_that_of_torchmetrics(place):
    def clip():
        from kakusan.evaluation.captions import _Embeds

        folder = place / weights.CLIP.file
        model = _Embeds(transformers.CLIPModel.from_pretrained(folder))
        return model, transformers.CLIPProcessor.from_pretrained(folder)

    images = pictures()
    theirs = [
        multimodal.clip_score(image, caption, clip)
        for image, caption in zip(images.images, images.captions, strict=True)
    ]
    ours = score(images, place)
    # torchmetrics cuts a single negative one off at zero, and the mean of many only as a whole.
    if min(theirs) > 0:
        assert ours.value == pytest.approx(torch.stack(theirs).mean().item(), rel=1e-5)
    together = multimodal.clip_score(list(images.images), list(images.captions), clip)
    assert ours.value == pytest.approx(together.item(), rel=1e-5)
    assert ours.interval[0] < ours.value or ours.value == 0


def test_grey_images_are_seen_as_colour(place):
    grey = pictures(channels=1)
    colour = ImageSet(grey.images.expand(-1, 3, -1, -1), name="pets", captions=CAPTIONS)
    assert score(grey, place).value == pytest.approx(score(colour, place).value)


def test_the_stamp_says_which_clip(place):
    told = score(pictures(), place).protocol
    assert told["features"].startswith("clip ")
    assert (told["n"], told["images"]) == (5, "pets")
    assert {"images_hash", "resize", "kakusan", "torch"} <= told.keys()
    assert all(name in told["library"] for name in ("torchmetrics", "transformers"))


def test_captions_lie_beside_the_images(place, tmp_path, capsys):
    images = pictures()
    (tmp_path / "pets").mkdir()
    for index, (image, caption) in enumerate(zip(images.images, CAPTIONS, strict=True)):
        save(tmp_path / "pets" / f"{index}.png", image)
        (tmp_path / "pets" / f"{index}.txt").write_text(caption)
    assert main(["evaluate", str(tmp_path / "pets"), "--metrics", "clip", "--weights", str(place), "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["measurements"]
    assert told["value"] == pytest.approx(score(images, place).value)


def test_who_was_interrupted_goes_on_and_sees_no_image_twice(place, monkeypatch):
    many = ImageSet(pictures().images.repeat(14, 1, 1, 1), name="pets", captions=CAPTIONS * 14)
    whole, seen = score(many, place).value, []

    def interrupted(self, images, texts, real=captions._Clip.__call__):
        if len(seen) == 1:
            seen.append(0)
            raise KeyboardInterrupt
        seen.append(len(images))
        return real(self, images, texts)

    monkeypatch.setattr(captions._Clip, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score(many, place)
    assert score(many, place).value == whole
    assert seen == [32, 0, 32, 6]


def test_other_captions_are_another_score(place):
    turned = ImageSet(pictures().images, name="pets", captions=CAPTIONS[::-1])
    ours, theirs = score(pictures(), place), score(turned, place)
    assert ours.protocol["captions"] != theirs.protocol["captions"]


def test_images_without_captions_are_refused(place):
    with pytest.raises(KakusanError, match=r"those of pets have none \(put a \.txt beside each image"):
        score(pictures(()), place)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(weights.Repository, "find", lambda wanted, directory: None)
    with pytest.raises(KakusanError) as told:
        score(pictures(), None)
    for part in ("CLIP ViT-L/14", "huggingface.co/openai/clip-vit-large-patch14", "1711 MB", "--weights DIR"):
        assert part in str(told.value)


def test_another_hash_in_the_cache_is_refused(place, monkeypatch):
    monkeypatch.setattr(weights.Repository, "find", lambda wanted, directory: place / wanted.file)
    with pytest.raises(KakusanError, match=r"has the hash .*…, and the published file a2bf730a…"):
        weights.obtain_repository(weights.CLIP, offline=True)


def test_a_folder_that_is_cut_short_is_told_of(place, tmp_path):
    folder = tmp_path / weights.CLIP.file
    folder.mkdir()
    for file in (place / weights.CLIP.file).iterdir():
        content = file.read_bytes()
        (folder / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".safetensors" else content)
    with pytest.raises(KakusanError, match="holds no whole CLIP"):
        score(pictures(), tmp_path)


def test_the_list_of_weights_knows_it(place, capsys):
    assert main(["weights", "--weights", str(place), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["weights"]["clip"]
    assert told["path"] == str(place / weights.CLIP.file)
