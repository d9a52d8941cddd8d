"""LoRAs are merged, become part of a model, and say what they hold."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from kakusan import adapters
from kakusan.adapters.spelling import canonical
from kakusan.errors import KakusanError
from kakusan.files import sha256_of
from kakusan.runs import LORA
from tests.commands.conftest import files

diffusers = pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.adapters.pipelines import adapter, pipeline  # noqa: E402
from tests.pipelines import saved  # noqa: E402

ATTENTION = {"unet": ("to_q", "to_k", "to_v"), "text_encoder": ("q_proj",)}


@pytest.fixture(scope="module")
def two():
    """Two LoRAs of the same model, of other layers, ranks and alphas."""
    pipe = pipeline("sd")
    one = adapter(pipe, 1, ranks=(4, 2), alphas=(8.0, 1.0), ends=ATTENTION)
    return one, adapter(pipe, 2, ranks=(3,), alphas=(1.5,), ends={"unet": ("to_k", "to_out.0")})


@pytest.fixture
def written(two, tmp_path):
    adapters.write(two[0], tmp_path / "one.safetensors")
    adapters.write(two[1], tmp_path / "two.safetensors", "kohya")


def changes(*weighted):
    """Returns by how much each layer changes: Σ weight · alpha / rank · B·A."""
    found = {}
    for it, weight in weighted:
        for layer in it.ranks:
            down, up = it.factors(layer)
            found[layer] = found.get(layer, 0) + weight * it.scale(layer) * up.flatten(1) @ down.flatten(1)
    return found


def weights(pipe):
    """Returns the weights of a pipeline under the names that files of LoRAs have for them."""
    parts = ("unet", "text_encoder", "vae")
    return {canonical(f"{part}.{name}"): it for part in parts for name, it in getattr(pipe, part).state_dict().items()}


def alike(found, wanted, most=1e-5):
    assert found.keys() == wanted.keys()
    assert max((found[layer] - it).abs().max().item() for layer, it in wanted.items()) <= most


def test_a_merged_file_changes_what_its_parts_change_each_as_much_as_it_counts(kakusan, two, written):
    answer = kakusan("lora", "merge", "one.safetensors:0.5", "two.safetensors:-1.25", "-o", "both.safetensors")
    assert answer.status == 0, answer.err
    assert answer.out.startswith("both.safetensors: 0.5 · one.safetensors + -1.25 · two.safetensors; ")
    alike(changes((adapters.read("both.safetensors"), 1)), changes((two[0], 0.5), (two[1], -1.25)))


def test_one_that_is_merged_alone_changes_its_layout_only(kakusan, two, written):
    answer = kakusan("lora", "merge", "one.safetensors", "-o", "kohya.safetensors", "--layout=kohya", "--json")
    assert json.loads(answer.out)["parameters"] == two[0].parameters
    found = adapters.read("kohya.safetensors")
    assert found.layout == "kohya"
    alike(changes((found, 1)), changes((two[0], 1)))


def test_a_lower_rank_says_what_it_leaves_out(kakusan, written):
    answer = kakusan("lora", "merge", "one.safetensors", "two.safetensors", "--rank=1", "-o", "low.safetensors")
    assert answer.status == 0, answer.err
    assert set(adapters.read("low.safetensors").ranks.values()) == {1}
    (share,) = [float(line.split()[-4].rstrip("%")) for line in answer.err.splitlines() if "leaves out" in line]
    assert 0 < share < 100
    whole = kakusan("lora", "merge", "two.safetensors", "--rank=3", "-o", "same.safetensors")
    assert "rank 3 leaves out 0.0% of the change" in whole.err


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_model_has_them_in_its_weights_and_plain_diffusers_loads_it(kakusan, tmp_path, dtype):
    saved("sd15", tmp_path / "model")
    plain = diffusers.StableDiffusionPipeline.from_pretrained("model", use_safetensors=True)
    made = adapter(plain, ranks=(4, 2), alphas=(6.0, 1.0), ends=ATTENTION)
    adapters.write(made, "it.safetensors")
    answer = kakusan("lora", "merge", "it.safetensors:0.5", "--into=model", "-o", "fused", f"--dtype={dtype}")
    assert answer.status == 0, answer.err
    fused = diffusers.StableDiffusionPipeline.from_pretrained("fused", use_safetensors=True)
    wanted = {f"{layer}.weight": it for layer, it in changes((made, 0.5)).items()}
    before, after = weights(plain), weights(fused)
    assert before.keys() == after.keys() > wanted.keys()
    for name, it in after.items():
        summed = before[name] + wanted[name] if name in wanted else before[name]
        assert (it - summed).abs().max() <= (1e-5 if dtype == "float32" else 2e-3), name
    assert all(it.abs().max() > 0.01 for it in wanted.values())
    sizes = {it.dtype for it in load_file("fused/unet/diffusion_pytorch_model.safetensors").values()}
    assert sizes == {getattr(torch, dtype)}


def test_mini_keeps_what_it_says_of_itself(kakusan, tmp_path):
    plain = kakusan("export", "mini", "plain")
    assert plain.status == 0
    pipe = diffusers.StableDiffusionPipeline.from_pretrained("plain", use_safetensors=True)
    adapters.write(adapter(pipe, ends={"unet": ("to_v",)}), "it.safetensors")
    answer = kakusan("lora", "merge", "it.safetensors", "--into=mini", "-o", "fused", "--json")
    assert json.loads(answer.out) == {
        "directory": "fused",
        "model": "mini",
        "loras": [{"file": "it.safetensors", "weight": 1}],
    }
    assert (tmp_path / "fused" / "kakusan.json").read_text() == (tmp_path / "plain" / "kakusan.json").read_text()
    assert kakusan("generate", "a red circle", "--model=fused", "-n1", "--steps=1", "-o", "drawn").status == 0


def test_info_tells_a_program_what_a_file_holds(kakusan, two, written, tmp_path):
    found = json.loads(kakusan("lora", "info", "one.safetensors", "--json").out)
    layers = len(two[0].ranks)
    assert found["sha256"] == sha256_of([tmp_path / "one.safetensors"])
    assert found["layout"] == "diffusers"
    assert found["made_for"] == "a model of cross-attention width 32"
    assert found["parts"] == {part: len(names) for part, names in two[0].parts.items()}
    assert sum(found["rank"].values()) == sum(found["alpha"].values()) == layers
    assert (set(found["rank"]), set(found["alpha"])) == ({"2", "4"}, {"1", "8"})
    assert found["parameters"] == sum(it.numel() for it in load_file("one.safetensors").values())
    assert json.loads(kakusan("lora", "info", "two.safetensors", "--json").out)["layout"] == "kohya"


def test_info_tells_a_person(kakusan, two, tmp_path):
    (tmp_path / "run").mkdir()
    said = adapters.Adapter(two[1].weights, two[1].alphas, {"prompts": "a five-armed spiral" * 20})
    adapters.write(said, tmp_path / "run" / LORA)
    lines = dict(line.split(None, 1) for line in kakusan("lora", "info", "run").out.splitlines())
    assert lines["rank"] == "3"
    assert lines["alpha"] == "1.5"
    assert lines["parameters"] == f"{two[1].parameters:,}"
    assert lines["parts"] == f"unet {len(two[1].ranks)} layers"
    assert lines["prompts"].endswith("… (--json shows all)")
    assert len(lines["prompts"]) < 130


@pytest.mark.parametrize(
    ("typed", "place", "weight"),
    [
        ("a.safetensors", "a.safetensors", 1),
        ("a.safetensors:0.7", "a.safetensors", 0.7),
        ("a.safetensors:-1", "a.safetensors", -1),
        ("b:1.safetensors", "b:1.safetensors", 1),
        ("c:2", "c:2", 1),  # which is there
        ("nowhere:3", "nowhere", 3),
        ("C:nowhere.safetensors", "C:nowhere.safetensors", 1),
    ],
)
def test_a_weight_follows_a_colon(tmp_path, monkeypatch, typed, place, weight):
    monkeypatch.chdir(tmp_path)
    for name in ("a.safetensors", "b:1.safetensors", "c:2"):
        (tmp_path / name).touch()
    assert adapters.weighted(typed) == (place, weight)


@pytest.mark.parametrize("weight", ["", "much", "nan", "inf"])
def test_a_weight_that_is_no_number_is_refused(tmp_path, weight):
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(KakusanError, match=f"the weight of .*a.safetensors must be a number, not '{weight}'"):
        adapters.weighted(f"{tmp_path / 'a.safetensors'}:{weight}")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["one.safetensors", "-o", "out.bin"], "does not end in .safetensors"),
        (["one.safetensors", "-o", "two.safetensors"], "is there already"),
        (["one.safetensors", "-o", "out.safetensors", "--dtype=float16"], "--dtype is of a model"),
        (["one.safetensors", "--into=mini", "-o", "out", "--rank=2"], "--rank is of a file"),
        (["one.safetensors", "--into=mini", "-o", "out.safetensors"], r"--into writes a model.*\(-o out\)"),
        (["one.safetensors:much", "-o", "out.safetensors"], "must be a number, not 'much'"),
        (["nowhere.safetensors", "-o", "out.safetensors"], "there is no file nowhere.safetensors"),
        (["one.safetensors", "--rank=9", "-o", "out.safetensors"], "rank must be from 1 to 4"),
        (
            ["one.safetensors", "--into=mini", "-o", "out"],
            "cross-attention width 32, and mini has",
        ),
        (["xl.safetensors", "one.safetensors", "-o", "out.safetensors"], "merge those of one model"),
    ],
)
def test_what_cannot_be_merged_is_refused_and_nothing_is_written(kakusan, written, tmp_path, options, reason):
    adapters.write(adapter(pipeline("sdxl"), ends={"unet": ("to_k",)}), "xl.safetensors")
    before = files(tmp_path)
    refused = kakusan("lora", "merge", *options).check_refused()
    with pytest.raises(KakusanError, match=reason):
        raise KakusanError(refused)
    assert files(tmp_path) == before


def test_what_is_no_lora_is_refused(kakusan, tmp_path):
    save_file({"down_blocks.0.weight": torch.ones(2)}, "unet.safetensors")
    assert "is no LoRA of Stable Diffusion" in kakusan("lora", "info", "unet.safetensors").check_refused()
    assert "holds no pytorch_lora_weights.safetensors" in kakusan("lora", "info", tmp_path).check_refused()
