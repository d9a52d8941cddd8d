"""What a pipeline wears: LoRAs and learned words, read from their files and from the runs that trained them."""

import pytest
import torch
from safetensors.torch import save_file

import kakusan
from kakusan import adapters, stable_diffusion
from kakusan.errors import KakusanError
from kakusan.stable_diffusion import Extras, Request
from tests.adapters.pipelines import adapter
from tests.pipelines import pipeline, saved


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    place = tmp_path_factory.mktemp("extras")
    for family in ("sd15", "sdxl"):
        saved(family, place / family)
    adapters.write(adapter(pipeline("sd15"), alphas=(8.0,)), place / "one.safetensors")
    adapters.write(adapter(pipeline("sd15"), seed=2), place / "two.safetensors")
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(2, 32, generator=draw)
    save_file({"<cat>": rows}, place / "cat.safetensors")
    save_file({"clip_g": rows + 1, "clip_l": rows}, place / "dog.safetensors", {"token": "<dog>"})
    save_file({"<cow>": torch.zeros(1, 24)}, place / "cow.safetensors")
    return place


@pytest.fixture
def model(places):
    return stable_diffusion.opened(str(places / "sd15"), "cpu")


def drawn(model, prompt="a red circle"):
    request = Request((prompt,), n=1, steps=2, seed=3, guidance=3.0)
    return stable_diffusion.generated(stable_diffusion.asked(model, request))


def test_loras_add_up_by_their_weights_and_are_taken_off_again(places, model):
    plain = drawn(model)
    both = [(str(places / "one.safetensors"), 0.5), (str(places / "two.safetensors"), -1.0)]
    worn = stable_diffusion.fitted(model, Extras(loras=both))
    assert [(it.place, it.weight) for it in worn.loras] == both
    ours = drawn(worn)
    pipe = pipeline("sd15")
    read = [(adapters.read(place), weight) for place, weight in both]
    adapters.fused(pipe, read)
    fused = stable_diffusion.opened(str(saved("sd15", places / "again")), "cpu")
    for part in ("unet", "text_encoder"):
        getattr(fused.pipe, part).load_state_dict(getattr(pipe, part).state_dict())
    torch.testing.assert_close(ours, drawn(fused), atol=1e-4, rtol=0)
    assert not torch.allclose(ours, plain, atol=1e-3)
    assert torch.equal(drawn(stable_diffusion.fitted(worn, Extras())), plain)


def test_a_learned_word_is_read_as_its_vectors(places, model):
    worn = stable_diffusion.fitted(model, Extras(embeddings=[str(places / "cat.safetensors")]))
    assert worn.embeddings[0].word == "<cat>"
    tokenizer, encoder = worn.pipe.tokenizer, worn.pipe.text_encoder
    numbers = tokenizer(worn.pipe.maybe_convert_prompt("a <cat>", tokenizer)).input_ids[2:-1]
    rows = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(encoder.get_input_embeddings().weight[numbers], rows)
    assert not torch.equal(drawn(worn, "a <cat>"), drawn(worn, "a"))
    asked = stable_diffusion.asked(worn, Request(("a <cat>",), n=1))
    assert asked.remarks() == []  # the word is known, though no caption held it
    again = stable_diffusion.fitted(worn, Extras(embeddings=[str(places / "cat.safetensors")]))
    assert again.embeddings == worn.embeddings


def test_a_pipeline_wears_what_the_last_call_asks_for_and_no_more(places, model):
    how = {"model": model, "n": 1, "steps": 2, "guidance_scale": 3.0, "show": False}
    plain = kakusan.generate("a red circle", **how)
    worn = kakusan.generate("a red circle", loras=places / "one.safetensors", **how)
    assert not torch.allclose(worn, plain, atol=1e-3)
    assert torch.equal(kakusan.generate("a red circle", **how), plain)
    taught = [kakusan.generate("a <cat>", embeddings=[places / "cat.safetensors"], **how) for _ in range(2)]
    assert torch.equal(*taught)


def test_each_encoder_of_sdxl_gets_its_own_vectors(places):
    model = stable_diffusion.opened(str(places / "sdxl"), "cpu")
    worn = stable_diffusion.fitted(model, Extras(embeddings=[str(places / "dog.safetensors")]))
    first, second = (
        getattr(worn.pipe, it).get_input_embeddings().weight[-2:] for it in ("text_encoder", "text_encoder_2")
    )
    assert torch.equal(first + 1, second)
    assert worn.embeddings[0].word == "<dog>"


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        (Extras(loras=[("nowhere", 1.0)]), "nowhere"),
        (Extras(embeddings=["nowhere"]), "there is no learned word nowhere"),
        (Extras(embeddings=["dog.safetensors"]), "holds vectors for 2 text encoders, and .* has 1"),
        (Extras(embeddings=["cow.safetensors"]), "holds vectors of 24 numbers, and the words of .* have 32"),
        (Extras(embeddings=["damaged.safetensors"]), "cannot be read"),
        (Extras(embeddings=["old.pt"]), "is no .safetensors, and may be a pickle"),
    ],
)
def test_what_does_not_fit_is_refused(places, model, extras, message, monkeypatch):
    monkeypatch.chdir(places)
    for name in ("damaged.safetensors", "old.pt"):
        (places / name).write_bytes(b"nothing")
    with pytest.raises(KakusanError, match=message):
        stable_diffusion.fitted(model, extras)


def test_a_lora_of_sdxl_is_refused_by_another_and_both_are_named(places, model):
    adapters.write(adapter(pipeline("sdxl")), places / "xl.safetensors")
    with pytest.raises(KakusanError, match=r"xl.safetensors was made for .*64.*, and .*sd15 has 32"):
        stable_diffusion.fitted(model, Extras(loras=[(str(places / "xl.safetensors"), 1.0)]))
