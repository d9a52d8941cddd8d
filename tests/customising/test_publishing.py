"""What was learned, as files: plain diffusers draws with them what the run draws."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import kakusan
from kakusan import adapters, customising, stable_diffusion
from kakusan.customising import publishing
from kakusan.customising.publishing import publish
from kakusan.errors import KakusanError
from kakusan.runs import EMBEDS, LORA, Run, worn_by
from kakusan.stable_diffusion import Extras
from kakusan.stable_diffusion import plain as plain_text
from kakusan.training import start
from tests.customising.scenes import diamonds, settings

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.pipelines import FAMILIES, saved

MUCH = {"optimizer__learning_rate": 0.05, "ema__half_life": 1.0}  # so that two steps are seen


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    layers = {"layers_per_block": 2} if request.param == "sdxl" else {}  # which its names in kohya's layout count
    return saved(request.param, tmp_path_factory.mktemp("models") / request.param, **layers)


@pytest.fixture
def taught(model, tmp_path):
    """Trains the model for two steps by a method."""

    def run(preset, **changes) -> Run:
        source = diamonds(tmp_path / "images")
        told = settings(preset, source, network__model=str(model), **{**MUCH, **changes})
        return start.begin(told, tmp_path / "run", show=False)

    return run


def kind_of(model):
    import diffusers

    return getattr(diffusers, json.loads((model / "model_index.json").read_text())["_class_name"])


def plain(model):
    """Returns the pipeline as anybody opens it."""
    return kind_of(model).from_pretrained(model, safety_checker=None)


@torch.no_grad()
def picture(pipe, prompt):
    pipe.set_progress_bar_config(disable=True)
    draw = torch.Generator().manual_seed(3)
    return pipe(prompt, num_inference_steps=3, guidance_scale=3.0, generator=draw, output_type="pt").images


def assert_drawn_alike(one, other, prompt, least):
    """Holds that two pipelines draw the same, and the untrained one something else."""
    torch.testing.assert_close(picture(one, prompt), picture(other, prompt), atol=1e-4, rtol=0)
    assert (picture(one, prompt) - picture(least, prompt)).abs().max() > 1e-3


def test_a_lora_draws_in_plain_diffusers_what_was_trained(taught, model):
    run = taught("lora", network__rank=3, network__alpha=7.5, network__text_encoder=model.name != "sd15")
    said = publish(run, "cpu")
    ours = customising.restored(run, device="cpu").base.pipe
    for name, line in zip(("pytorch_lora_weights.safetensors", "lora-kohya.safetensors"), said, strict=True):
        assert f"{name}: plain diffusers draws with it what was trained" in line
        theirs = plain(model)
        theirs.load_lora_weights(run.path, weight_name=name)
        assert_drawn_alike(ours, theirs, "a red rhombus", plain(model))
    with safe_open(run.path / "pytorch_lora_weights.safetensors", "pt") as file:
        about = json.loads(file.metadata()["lora_adapter_metadata"])
        dtypes = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    assert (about["unet.lora_alpha"], about["unet.r"]) == (7.5, 3)
    assert dtypes == {torch.float32}


def test_a_whole_pipeline_draws_in_plain_diffusers_what_was_trained(taught, model):
    run = taught("dreambooth", network__text_encoder=model.name != "sd15")
    publish(run, "cpu")
    ours = customising.restored(run, device="cpu").base.pipe
    assert_drawn_alike(ours, plain(run.path / "pipeline"), "a red rhombus", plain(model))
    assert type(plain(run.path / "pipeline")) is kind_of(model)


def test_a_new_word_is_one_for_plain_diffusers(taught, model):
    run = taught("textual-inversion", network__token="<sks>", network__vectors=1 if model.name == "sd15" else 3)
    publish(run, "cpu")
    ours, theirs = customising.restored(run, device="cpu").base.pipe, plain(model)
    path = run.path / "learned_embeds.safetensors"
    if model.name == "sdxl":
        with safe_open(path, "pt") as file:
            for name, number in (("clip_l", ""), ("clip_g", "_2")):
                reader = {it: getattr(theirs, it + number) for it in ("tokenizer", "text_encoder")}
                theirs.load_textual_inversion(file.get_tensor(name), token="<sks>", **reader)
    else:
        theirs.load_textual_inversion(path)
    assert_drawn_alike(ours, theirs, "a photo of <sks>", plain(model))


def test_an_sdxl_of_other_blocks_has_no_names_in_kohyas_layout(tmp_path):
    model = saved("sdxl", tmp_path / "model")
    told = settings("lora", diamonds(tmp_path / "images"), network__model=str(model))
    assert len(publish(start.begin(told, tmp_path / "run", show=False), "cpu")) == 1
    assert not (tmp_path / "run" / "lora-kohya.safetensors").exists()


@pytest.mark.parametrize("model", ["sd15"], indirect=True)
def test_what_draws_something_else_is_an_error(taught, monkeypatch):
    run = taught("lora")
    publish(run, "cpu")
    write = publishing.adapters.write

    def other(adapter, *given, **told):
        for name, weight in adapter.weights.items():
            adapter.weights[name] = weight + 0.5
        write(adapter, *given, **told)

    monkeypatch.setattr(publishing.adapters, "write", other)
    before = load_file(run.path / LORA)
    with pytest.raises(KakusanError, match=r"loaded back, and draws pictures that differ by .* of a pixel from those"):
        publish(run, "cpu")
    after = load_file(run.path / LORA)  # what was there stays
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


@pytest.mark.parametrize("model", ["sd15"], indirect=True)
def test_a_lora_half_as_strong_is_an_error(taught, monkeypatch):
    run = taught("lora", optimizer__learning_rate=0.3)
    write = publishing.adapters.write

    def half(adapter, *given, **told):
        halved = {it: weight / 2 if ".lora_B." in it else weight for it, weight in adapter.weights.items()}
        write(replace(adapter, weights=halved), *given, **told)

    monkeypatch.setattr(publishing.adapters, "write", half)
    with pytest.raises(KakusanError, match="loaded back"):
        publish(run, "cpu")


@pytest.mark.parametrize("model", ["sd15"], indirect=True)
@pytest.mark.parametrize("preset", ["lora", "dreambooth", "textual-inversion"])
def test_what_was_trained_in_half_precision_is_drawn_and_written(taught, preset):
    run = taught(preset, training__dtype="bfloat16", training__samples_every=3)
    assert len(list(run.samples_path.glob("*.png"))) == 2  # of the two steps
    assert all("what was trained, to" in it for it in publish(run, "cpu"))


@pytest.mark.parametrize("model", ["sd15"], indirect=True)
def test_brackets_of_captions_weigh_nothing(taught):
    for prompt in ("a rhombus :)", "saber (fate)"):
        run = taught("lora", objective__instance_prompts=(prompt,))
        assert publish(run, "cpu")
        shown = customising.Showing.of(customising.restored(run, device="cpu"))
        assert shown.prompts == (prompt,)
        assert plain_text(*shown.told) == prompt
        shutil.rmtree(run.path)


def test_a_second_run_leaves_nothing_of_the_first(tmp_path):
    source = diamonds(tmp_path / "images")
    run = start.begin(settings("lora", source), tmp_path / "run", show=False)
    publish(run, "cpu")
    told = settings("textual-inversion", source)
    publish(start.begin(told, tmp_path / "run", overwrite=True, show=False), "cpu")
    assert not (run.path / LORA).exists()
    assert (run.path / EMBEDS).exists()


def test_what_a_run_has_taught_is_asked_for_by_its_own_option(tmp_path):
    """Wherever else it is named."""
    runs = {}
    for preset, option in (("lora", "--lora"), ("textual-inversion", "--embedding"), ("dreambooth", "--model")):
        runs[option] = start.begin(settings(preset, diamonds(tmp_path / "images")), tmp_path / preset, show=False)
        publish(runs[option], "cpu")
        assert worn_by(runs[option].path) == f"{option} {runs[option].path}"
    lora, word, whole = (str(it.path) for it in runs.values())
    with pytest.raises(KakusanError, match=f"draw with it by --lora {lora}"):
        stable_diffusion.opened(lora, "cpu")
    with pytest.raises(KakusanError, match=f"worn by --embedding {word}"):
        adapters.read(word)
    with pytest.raises(KakusanError, match=f"worn by --model {whole}"):
        stable_diffusion.fitted(stable_diffusion.opened("mini", "cpu"), Extras(embeddings=[whole]))
    with pytest.raises(KakusanError, match=f"kakusan generate draws with it by --lora {lora}"):
        kakusan.load(lora)
    assert worn_by(tmp_path) is None


def test_captions_that_are_not_used_are_told_of(tmp_path):
    source = diamonds(tmp_path / "images")
    (source / "1.txt").write_text("a rhombus")
    made = customising.prepared(settings("lora", source), torch.device("cpu"), None, show=False)
    assert any(it.startswith("1 caption not used") for it in made.feed.remarks)
