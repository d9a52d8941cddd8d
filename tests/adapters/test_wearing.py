"""Adapters in a pipeline: worn, fused, merged, and refused where they do not fit; the sum W + Σ w·alpha/rank·B·A."""

import pytest
import torch

from kakusan import adapters
from kakusan.errors import KakusanError
from kakusan.files import sha256_of

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.adapters.pipelines import adapter, apart, changed, outputs, pipeline

OTHER = {"unet": ("to_q", "to_v", "conv1", "proj_out"), "text_encoder": ("fc2",)}


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def two(family):
    """Two adapters that share some of their layers."""
    pipe = pipeline(family)
    one = adapter(pipe, 1, ranks=(4, 2), alphas=(8.0, 1.0, 4.0), name="one")
    return one, adapter(pipe, 2, ranks=(3,), alphas=(2.0,), ends=OTHER, name="two")


@pytest.fixture(scope="module")
def files(two, family, tmp_path_factory):
    place = tmp_path_factory.mktemp("adapters")
    adapters.write(two[0], place / "one.safetensors")
    adapters.write(two[1], place / "two.v1.safetensors", "kohya", family)
    return place / "one.safetensors", place / "two.v1.safetensors"


def test_several_are_worn_each_as_much_as_it_counts(family, two, files):
    pipe = pipeline(family)
    before = outputs(pipe)
    found = adapters.load_into(pipe, [(files[0], 0.5), (files[1], -1.5)])
    assert apart(outputs(pipe), outputs(changed(family, (two[0], 0.5), (two[1], -1.5)))) <= 1e-5
    assert [it.name for it in found] == ["one.safetensors", "two.v1.safetensors"]
    assert [it.weight for it in found] == [0.5, -1.5]
    assert [it.sha256 for it in found] == [sha256_of([file]) for file in files]
    adapters.load_into(pipe, [(files[1], 1)])  # in the place of the two
    assert apart(outputs(pipe), outputs(changed(family, (two[1], 1)))) <= 1e-5
    adapters.load_into(pipe, [(files[0], 0)])
    assert apart(outputs(pipe), before) == 0
    adapters.load_into(pipe, [])
    assert apart(outputs(pipe), before) == 0


def test_fused_weights_are_those_of_adapters_that_are_worn(family, two, tmp_path):
    pipe = pipeline(family)
    adapters.fused(pipe, [(two[0], 0.7), (two[1], 1.2)])
    assert apart(outputs(pipe), outputs(changed(family, (two[0], 0.7), (two[1], 1.2)))) <= 1e-5
    assert all("lora" not in name for name, _ in pipe.unet.named_parameters())
    pipe.unet.save_pretrained(tmp_path)
    again = type(pipe.unet).from_pretrained(tmp_path, use_safetensors=True)
    assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in pipe.unet.state_dict().items())


def test_a_merged_adapter_changes_what_all_of_them_change(family, two):
    one = adapters.merged([(two[0], 0.5), (two[1], -1.5)])
    apart_by = apart(outputs(changed(family, (one, 1))), outputs(changed(family, (two[0], 0.5), (two[1], -1.5))))
    assert apart_by <= 1e-5
    shared = two[0].ranks.keys() & two[1].ranks.keys()
    assert shared
    assert all(one.ranks[layer] == two[0].ranks[layer] + two[1].ranks[layer] for layer in shared)


def delta(one, layer):
    down, up = one.factors(layer)
    return (one.alphas[layer] / one.ranks[layer] * up.flatten(1) @ down.flatten(1)).double()


def test_a_lower_rank_keeps_the_largest_changes_and_says_what_it_lost(two):
    """Eckart and Young: nothing of this rank is nearer, and what is lost are the other singular values."""
    whole = adapters.merged([(two[0], 1), (two[1], 1)])
    low = adapters.merged([(two[0], 1), (two[1], 1)], rank=2)
    assert max(low.ranks.values()) == 2
    lost = total = 0.0
    for layer in whole.ranks:
        values = torch.linalg.svdvals(delta(whole, layer))
        error = (delta(whole, layer) - delta(low, layer)).square().sum().item()
        assert error == pytest.approx(values[2:].square().sum().item(), rel=1e-3, abs=1e-9)
        assert low.factors(layer)[0].shape[1:] == whole.factors(layer)[0].shape[1:]
        lost, total = lost + error, total + values.square().sum().item()
    assert float(low.about["kakusan.lost"]) == pytest.approx((lost / total) ** 0.5, rel=0.01)
    assert float(low.about["kakusan.lost"]) > 0.1


def test_the_rank_that_there_is_loses_nothing(family, two):
    most = max(adapters.merged([(two[0], 1), (two[1], 1)]).ranks.values())
    same = adapters.merged([(two[0], 1), (two[1], 1)], rank=most)
    assert float(same.about["kakusan.lost"]) == 0
    assert apart(outputs(changed(family, (same, 1))), outputs(changed(family, (two[0], 1), (two[1], 1)))) <= 1e-5
    for rank in (0, most + 1):
        with pytest.raises(KakusanError, match=f"rank must be from 1 to {most}.* not {rank}"):
            adapters.merged([(two[0], 1), (two[1], 1)], rank=rank)


@pytest.fixture(scope="module")
def foreign():
    return adapter(pipeline("sdxl"), name="theirs"), adapter(pipeline("sd"), name="ours")


def test_an_adapter_of_another_model_is_refused_and_both_are_named(foreign, tmp_path):
    theirs, ours = foreign
    pipe = pipeline("sd")
    before = outputs(pipe)
    adapters.write(theirs, tmp_path / "theirs.safetensors")
    adapters.write(ours, tmp_path / "ours.safetensors")
    with pytest.raises(KakusanError, match=r"theirs.* was made for .*width 64.*, and mini has 32") as refused:
        adapters.load_into(pipe, [(tmp_path / "ours.safetensors", 1), (tmp_path / "theirs.safetensors", 1)], "mini")
    assert "\n" not in str(refused.value)
    assert apart(outputs(pipe), before) == 0
    with pytest.raises(KakusanError, match=r"ours was made for .*width 32.*, and theirs for .*width 64"):
        adapters.merged([(ours, 1), (theirs, 1)])


def test_known_models_are_named():
    layer = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    made = {layer + ".lora_A.weight": torch.ones(2, 2048), layer + ".lora_B.weight": torch.ones(640, 2)}
    with pytest.raises(KakusanError, match=r"was made for SDXL \(cross-attention width 2048\), and mini has 32"):
        adapters.fused(pipeline("sd"), [(adapters.Adapter(made), 1)], "mini")


def test_a_layer_that_does_not_fit_is_refused_by_name():
    narrow = pipeline("sd", channels=(16, 32))
    wide = adapter(pipeline("sd"), ends={"unet": ("proj_in",)}, name="wide")
    with pytest.raises(
        KakusanError, match=r"wide was made for another.*proj_in of 64×64×1×1, and mini has .*32×32×1×1"
    ):
        adapters.fused(narrow, [(wide, 1)], "mini")
    absent = adapters.Adapter({name.replace("down_blocks.1", "down_blocks.7"): it for name, it in wide.weights.items()})
    with pytest.raises(KakusanError, match="has no such layer"):
        adapters.fused(pipeline("sd"), [(absent, 1)], "mini")
    second = adapter(pipeline("sdxl"), ends={"text_encoder": ("fc1",)})
    with pytest.raises(KakusanError, match="changes a text_encoder_2, and mini has none"):
        adapters.fused(pipeline("sd"), [(second, 1)], "mini")
    other = adapters.Adapter(
        {
            name: torch.ones(it.shape[0], *it.shape[1:]).repeat_interleave(2, 0) if name.endswith("B.weight") else it
            for name, it in wide.weights.items()
        },
        name="other",
    )
    with pytest.raises(
        KakusanError, match=r"wide and other were made for different architectures.*64×64.* and of 128×64"
    ):
        adapters.merged([(wide, 1), (other, 1)])


def test_a_weight_is_a_number_and_nothing_is_not_merged(two, family):
    with pytest.raises(KakusanError, match="weight of one must be a number, not nan"):
        adapters.fused(pipeline(family), [(two[0], float("nan"))])
    with pytest.raises(KakusanError, match="nothing to merge"):
        adapters.merged([])
