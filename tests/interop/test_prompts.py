"""A model that reads leaves as a whole Stable Diffusion, which plain diffusers loads, prompts, and draws the same."""

import json
import re

import pytest
import torch
from safetensors import safe_open

import kakusan
from kakusan import sampling, seeds
from kakusan.api.exchange import export, import_
from kakusan.data.images import ImageSet
from kakusan.errors import KakusanError
from kakusan.seeing import seen
from tests import tiny
from tests.tiny_prompted import CAPTIONS, SHORT, run

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "user_cache_path", lambda name: tmp_path / "cache" / name)


def test_diffusers_draws_the_same_of_a_prompt(tmp_path):
    made = run(tmp_path / "run")
    found = export(made, tmp_path / "out")
    assert found.call <= 1e-5
    assert found.image <= 1e-3
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "out")
    pipe.set_progress_bar_config(disable=True)
    prompts, negative = ["a red circle", "a hairy dog"], "two cats"
    model = kakusan.load(made, device="cpu")
    noise = seeds.ImageNoise(0, range(2))(torch.empty(2, *model.latent_shape))
    theirs = pipe(
        prompts,
        negative_prompt=[negative] * 2,
        num_inference_steps=10,
        guidance_scale=3.0,
        latents=noise,
        output_type="pt",
    ).images
    ours = kakusan.sample(model, n=2, prompt=prompts, negative=negative, steps=10, guidance_scale=3.0)
    assert (theirs * 2 - 1 - ours).abs().max() <= 1e-3
    assert ours.std() > 0.05


def test_the_words_are_the_same_there(tmp_path):
    made = run(tmp_path / "run")
    export(made, tmp_path / "out")
    tokenizer = transformers.CLIPTokenizer.from_pretrained(tmp_path / "out" / "tokenizer")
    assert tokenizer.model_max_length == 12
    texts = ["a red circle", "", "größer, 42!", "long " * 30]
    theirs = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
    assert torch.equal(theirs, kakusan.load(made).words(texts))


def test_the_files_have_the_names_that_all_versions_read(tmp_path):
    export(run(tmp_path / "run"), tmp_path / "out")
    with safe_open(tmp_path / "out" / "text_encoder" / "model.safetensors", framework="pt") as file:
        assert all(name.startswith("text_model.") for name in file.keys())  # noqa: SIM118 (no mapping)
        assert file.metadata() == {"format": "pt"}
    modes = {file.stat().st_mode for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert len(modes) == 1  # weights too are read by whoever reads the rest
    index = json.loads((tmp_path / "out" / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusionPipeline"
    config = json.loads((tmp_path / "out" / "text_encoder" / "config.json").read_text())
    assert config["architectures"] == ["CLIPTextModel"]
    assert config["max_position_embeddings"] == 12


@pytest.mark.parametrize("latent", [True, False])
def test_the_code_on_the_card_draws_without_kakusan(tmp_path, latent, monkeypatch):
    """As its run is configured to draw, with noise on the way; a prompt that is too long is cut."""
    export(run(tmp_path / "run", latent=latent, sampling={"steps": 10, "guidance": 3.0, "eta": 1.0}), tmp_path / "out")
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    assert "a small blue star" in code
    assert "kakusan" not in code
    assert "eta=1" in code
    monkeypatch.chdir(tmp_path / "out")
    place = {}
    exec(code.replace("two cats", "two cats " * 9), place)
    assert len(place["images"]) == 3


def test_text_and_classes_together_are_refused(tmp_path):
    first = tiny.pictures(24, (3, 16, 16))
    both = ImageSet(first.images, first.labels, first.class_names, captions=CAPTIONS, name="pictures")
    network = {**SHORT["network"], "class_conditional": True}
    made = kakusan.train(data=both, run=tmp_path / "run", show=False, overrides={**SHORT, "network": network})
    drawn = kakusan.sample(kakusan.load(made), n=2, prompt="a red circle", labels=["cat", "owl"], steps=2)
    assert drawn.shape == (2, 3, 16, 16)
    with pytest.raises(KakusanError, match="no pipeline of both classes and text"):
        export(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("latent", [True, False])
def test_what_reads_comes_back_the_same_with_its_words(tmp_path, latent):
    made = run(tmp_path / "run", latent=latent)
    export(made, tmp_path / "out")
    back = import_(tmp_path / "out", tmp_path / "back")
    ours, theirs = (kakusan.load(it, device="cpu") for it in (made, back))
    assert (theirs.sampling.steps, theirs.sampling.guidance) == (ours.sampling.steps, ours.sampling.guidance)
    assert (theirs.words.pieces, theirs.words.known) == (ours.words.pieces, ours.words.known)
    assert theirs.words.remarks_on("a hairy dog") == ours.words.remarks_on("a hairy dog") != []
    state = theirs.network.state_dict()
    assert all(torch.equal(weight, state[name]) for name, weight in ours.network.state_dict().items())
    how = {"n": 2, "steps": 5, "guidance_scale": 2.0, "threshold": "none", "negative": "two cats"}
    torch.testing.assert_close(kakusan.sample(theirs, **how), kakusan.sample(ours, **how), atol=1e-4, rtol=0)


def test_a_text_pipeline_of_others_comes_without_captions_and_says_so(tmp_path):
    export(run(tmp_path / "run"), tmp_path / "out")
    (tmp_path / "out" / "kakusan.json").unlink()
    theirs = kakusan.load(import_(tmp_path / "out", tmp_path / "back"), device="cpu")
    assert kakusan.sample(theirs, n=1, prompt="a hairy dog", steps=2).shape == (1, 3, 16, 16)
    with pytest.raises(KakusanError, match="keeps no captions to draw from"):
        kakusan.sample(theirs, n=1, steps=2)
    assert export(tmp_path / "back", tmp_path / "again").call <= 1e-5


@pytest.mark.parametrize("damage", ["{", '{"format": "kakusan model 2"}', '{"sampling": {"steps": -1}}'])
def test_a_damaged_file_beside_is_named(tmp_path, damage):
    export(run(tmp_path / "run"), tmp_path / "out")
    (tmp_path / "out" / "kakusan.json").write_text(damage)
    with pytest.raises(KakusanError, match=r"kakusan\.json cannot be read: .*remove it"):
        import_(tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_walk_reads_its_prompts_once(tmp_path, monkeypatch):
    model = kakusan.load(run(tmp_path / "run"), device="cpu")
    counted = []
    whole = model.network.text.forward
    monkeypatch.setattr(model.network.text, "forward", lambda words: counted.append(len(words)) or whole(words))
    plan = sampling.plan(model, n=3, settings=sampling.settings(model.sampling, batch=2), prompts="a red circle")
    sampling.sample(plan)
    assert counted == [2, 2, 1, 1]  # each chunk's prompts, and what stands for none
