"""The same weights give the same output here, in diffusers' U-Net with text and in transformers' CLIP, both ways."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import kakusan
from kakusan.condition import Condition
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.interop.diffusers import unet_from_diffusers, unet_to_diffusers
from kakusan.interop.text import (
    prefixed,
    read_clip,
    read_text_encoder,
    text_from_transformers,
    text_to_transformers,
    write_clip,
    write_text_encoder,
    write_words,
)
from kakusan.matcher import Matcher
from kakusan.networks import CLIP, ImageEncoder, TextEncoder, UNet
from kakusan.pictures import from_uint8
from kakusan.seeing import seen
from kakusan.words import found_in
from tests.networks.randomised import randomised

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

OURS = {
    "plain": {},
    "everywhere": {"attention_levels": (0, 1), "head_channels": 4, "blocks": 2},
    "classes too": {"classes": 3, "attention_levels": (1,)},
    "scale and shift": {"scale_shift": True, "attention_levels": (0,), "groups": 8, "dropout": 0.1},
}
TINY = {
    "sample_size": 8,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 12,
    "attention_head_dim": (1, 2),
}
THEIRS = {
    "as Stable Diffusion 1": {"attention_head_dim": 2, "use_linear_projection": False},
    "as Stable Diffusion 2": {"use_linear_projection": True},
    "sines first": {"flip_sin_to_cos": False, "freq_shift": 1, "downsample_padding": 0, "norm_eps": 1e-6},
    "classes": {"num_class_embeds": 4},
}


def batch(width=12):
    random = torch.Generator().manual_seed(0)
    x, tokens = torch.randn(3, 4, 8, 8, generator=random), torch.randn(3, 5, width, generator=random)
    return x, torch.tensor([0.0, 500.0, 999.0]), tokens


@pytest.mark.parametrize("name", OURS)
def test_our_unet_in_diffusers_gives_the_same(name):
    network = randomised(UNet(4, channels=(8, 16), text_width=12, **{"blocks": 1, **OURS[name]})).eval()
    x, clock, tokens = batch()
    labels = torch.tensor([0, 2, 1]) if network.classes else None
    theirs = unet_to_diffusers(network, 8)
    with torch.no_grad():
        ours = network(x, clock, Condition(labels, tokens=tokens))
        other = theirs(x, clock, encoder_hidden_states=tokens, class_labels=labels).sample
        back = unet_from_diffusers(theirs)(x, clock, Condition(labels, tokens=tokens))
    assert (ours - other).abs().max() <= 1e-5
    assert torch.equal(ours, back)
    assert ours.std() > 0.1


@pytest.mark.parametrize("name", THEIRS)
def test_their_unet_here_gives_the_same(name):
    model = randomised(diffusers.UNet2DConditionModel(**{**TINY, **THEIRS[name]})).eval()
    x, clock, tokens = batch()
    labels = torch.tensor([0, 2, 1]) if model.config["num_class_embeds"] else None
    with torch.no_grad():
        theirs = model(x, clock, encoder_hidden_states=tokens, class_labels=labels).sample
        ours = unet_from_diffusers(model)(x, clock, Condition(labels, tokens=tokens))
    assert (ours - theirs).abs().max() <= 1e-5
    assert ours.std() > 0.1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("transformer_layers_per_block", 2),
        ("addition_embed_type", "text"),
        ("only_cross_attention", True),
        ("mid_block_type", "UNetMidBlock2D"),
        ("conv_in_kernel", 5),
        ("attention_head_dim", (1, 4)),
        ("cross_attention_dim", (12, 12)),
    ],
)
def test_what_our_unet_has_not_is_named(field, value):
    model = diffusers.UNet2DConditionModel(**TINY)
    model.register_to_config(down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2)
    model.register_to_config(**{field: value})
    with pytest.raises(KakusanError, match=f"a UNet2DConditionModel with {field}="):
        unet_from_diffusers(model)


def encoder(**more):
    return randomised(TextEncoder(40, **{"length": 8, "width": 16, "layers": 2, "heads": 2, **more})).eval()


def test_our_text_encoder_in_transformers_gives_the_same():
    text = encoder()
    words = torch.tensor([[38, 3, 4, 39, 39, 39, 39, 39], [38, 39, 39, 39, 39, 39, 39, 39]])
    theirs = text_to_transformers(text)
    with torch.no_grad():
        ours, other = text(words), theirs(words).last_hidden_state
        back = text_from_transformers(theirs)(words)
    assert (ours - other).abs().max() <= 1e-5
    assert torch.equal(ours, back)
    assert ours.std() > 0.1


def test_what_is_written_has_the_names_that_all_versions_read():
    names = prefixed(text_to_transformers(encoder()).state_dict())
    assert all(name.startswith("text_model.") and not name.startswith("text_model.text_model.") for name in names)
    assert "text_model.encoder.layers.1.self_attn.q_proj.weight" in names
    assert "text_model.final_layer_norm.bias" in names


def small_clip():
    words = found_in(["a red circle", "a blue star"] * 3, 560, 8)
    text = TextEncoder(len(words), length=8, width=16, layers=1, heads=2)
    return randomised(CLIP(text, ImageEncoder(3, size=16, patch=8, width=16, layers=1, heads=2), 6)).eval(), words


def test_a_clip_leaves_with_all_that_a_score_needs_and_comes_back(tmp_path, monkeypatch):
    """Also beside a pipeline, whose directory then is a place of weights of one's own."""
    pytest.importorskip("torchmetrics.functional.multimodal")
    monkeypatch.setattr(seen, "user_cache_path", lambda name: tmp_path / "cache")
    clip, words = small_clip()
    write_clip(clip, words, tmp_path / "out" / "clip")
    with safe_open(tmp_path / "out" / "clip" / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    towers = ("text_model.", "vision_model.", "text_projection.weight", "visual_projection.weight", "logit_scale")
    assert all(name.startswith(towers) for name in names)
    assert "vision_model.pre_layrnorm.weight" in names
    back, read = read_clip(tmp_path / "out")
    assert read.pieces == words.pieces
    assert all(torch.equal(weight, back.state_dict()[name]) for name, weight in clip.state_dict().items())
    pixels = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = ImageSet(pixels, captions=("a red circle", "a blue star", "a red star"), name="pictures")
    (found,) = kakusan.measure(images, "clip", weights=tmp_path / "out", offline=True, device="cpu", show=False)
    ours = Matcher(clip, (3, 16, 16), words).agreement(from_uint8(pixels), images.captions)
    assert found.value == pytest.approx(100 * ours.clamp(min=0).mean().item(), abs=0.05)


def test_what_holds_no_clip_is_refused(tmp_path):
    with pytest.raises(KakusanError, match=r"holds no CLIP: .*give the run of one"):
        kakusan.load_clip(tmp_path)


def test_of_what_is_not_whole_nothing_is_drawn_at_random(tmp_path):
    clip, words = small_clip()
    write_clip(clip, words, tmp_path / "clip")
    write_text_encoder(clip.text, tmp_path / "text")
    write_words(words, tmp_path / "text")
    for place, lost in (
        ("clip", "vision_model.encoder.layers.0.mlp.fc1.weight"),
        ("text", "text_model.final_layer_norm"),
    ):
        file = tmp_path / place / "model.safetensors"
        save_file(
            {name: it for name, it in load_file(file).items() if not name.startswith(lost)}, file, {"format": "pt"}
        )
    with pytest.raises(KakusanError, match=r"layers.0.mlp.fc1.weight is missing"):
        read_clip(tmp_path / "clip")
    with pytest.raises(KakusanError, match=r"final_layer_norm.bias is missing"):
        read_text_encoder(tmp_path / "text")


def test_a_clip_sees_pixels_as_its_processor_brings_them(tmp_path):
    clip, words = small_clip()
    write_clip(clip, words, tmp_path)
    file, mean, deviation = tmp_path / "preprocessor_config.json", [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "image_mean": mean, "image_std": deviation}))
    pixels = torch.rand(3, *kakusan.load_clip(tmp_path).shape, generator=torch.Generator().manual_seed(0))
    theirs = transformers.CLIPModel.from_pretrained(tmp_path).eval()
    processor = transformers.CLIPImageProcessor.from_pretrained(tmp_path)
    seen = processor(list(pixels), do_rescale=False, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        vectors = theirs.visual_projection(theirs.vision_model(seen).pooler_output)
        expected = torch.nn.functional.normalize(vectors, dim=1)
        found = kakusan.load_clip(tmp_path).network.of_images(2 * pixels - 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert not torch.allclose(found, clip.eval().of_images(2 * pixels - 1), atol=1e-3)


def test_a_clip_that_does_not_say_how_it_sees_pixels_is_refused(tmp_path):
    write_clip(*small_clip(), tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(KakusanError, match=r"its preprocessor_config.json"):
        kakusan.load_clip(tmp_path)


def test_a_clip_of_the_hub_is_fetched_without_what_is_not_read(monkeypatch, tmp_path):
    write_clip(*small_clip(), tmp_path)
    asked = []

    def fetch(repository, allow_patterns, local_files_only):
        asked.append((repository, "pytorch_model.bin" in allow_patterns, local_files_only))
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    clip = kakusan.load_clip("hub:owner/name")
    assert asked == [("owner/name", False, False)]
    assert clip.source == "hub:owner/name"
    assert clip.weights_hash


def test_a_text_encoder_without_a_tokenizer_says_so(tmp_path):
    write_text_encoder(small_clip()[0].text, tmp_path)
    with pytest.raises(KakusanError, match="has no tokenizer that goes with it"):
        read_text_encoder(tmp_path)


def test_a_tokenizer_that_does_not_belong_to_its_encoder_is_refused(tmp_path):
    clip, words = small_clip()
    write_text_encoder(clip.text, tmp_path)
    write_words(replace(words, length=6), tmp_path)
    with pytest.raises(KakusanError, match="6 at a time: they do not belong together"):
        read_text_encoder(tmp_path)


@pytest.mark.parametrize(("field", "value"), [("hidden_act", "gelu"), ("intermediate_size", 48)])
def test_another_text_encoder_is_refused(field, value):
    model = text_to_transformers(encoder())
    setattr(model.config, field, value)
    with pytest.raises(KakusanError, match=f"CLIPTextModel with {field}="):
        text_from_transformers(model)
