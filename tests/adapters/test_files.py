"""Files of LoRAs: what is written is what is read, by us and by plain diffusers."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from kakusan import adapters
from kakusan.errors import KakusanError
from kakusan.runs import LORA

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.adapters.pipelines import adapter, apart, changed, outputs, pipeline

FAMILIES = ["sd", "sdxl"]
MIXED = {"ranks": (4, 2, 3), "alphas": (8.0, 1.0, 2.5, 4.0)}
DOWN, UP = ".lora_A.weight", ".lora_B.weight"


def same(one, other):
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(weight, other.weights[name]) for name, weight in one.weights.items())
    assert one.alphas == other.alphas


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_is_read(tmp_path, family, layout):
    made = adapter(pipeline(family), **MIXED)
    adapters.write(made, tmp_path / "it.safetensors", layout, family)
    found = adapters.read(tmp_path / "it.safetensors")
    same(made, found)
    assert found.layout == layout


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_diffusers_draws_what_a_file_of_its_layout_says_whatever_the_alphas(tmp_path, family):
    made = adapter(pipeline(family), **MIXED)
    adapters.write(made, tmp_path / "it.safetensors")
    plain = pipeline(family)
    before = outputs(plain)
    plain.load_lora_weights(tmp_path / "it.safetensors")
    after, wanted = outputs(plain), outputs(changed(family, (made, 1)))
    assert all((new - old).abs().max() > 0.01 for new, old in zip(after, before, strict=True))
    assert apart(after, wanted) <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_diffusers_draws_what_a_file_of_kohyas_layout_says(tmp_path, family):
    """Of one alpha: of several, diffusers takes the commonest for all of them."""
    made = adapter(pipeline(family), ranks=(4, 2), alphas=(3.0,))
    adapters.write(made, tmp_path / "it.safetensors", "kohya", family)
    plain = pipeline(family)
    plain.load_lora_weights(tmp_path / "it.safetensors")
    assert apart(outputs(plain), outputs(changed(family, (made, 1)))) <= 1e-5


def test_only_some_layers_of_a_text_encoder_are_read_by_plain_diffusers(tmp_path):
    made = adapter(pipeline("sd"), ends={"text_encoder": ("fc1",)}, alphas=(2.0,))
    adapters.write(made, tmp_path / "it.safetensors")
    plain = pipeline("sd")
    plain.load_lora_weights(tmp_path / "it.safetensors")
    assert apart(outputs(plain), outputs(changed("sd", (made, 1)))) <= 1e-5


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_diffusers_writes_is_read_and_alpha_is_the_rank_where_it_does_not_say(tmp_path, family, told):
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    pipe, layers, facts = pipeline(family), {}, {}
    torch.manual_seed(3)
    for part in ("unet", "text_encoder"):
        config = LoraConfig(
            r=4,
            lora_alpha=6,
            rank_pattern={"to_k": 2, "fc2": 2},
            alpha_pattern={"to_v": 3, "fc1": 1},
            target_modules=["to_q", "to_k", "to_v", "to_out.0", "proj_in", "q_proj", "fc1", "fc2"],
            init_lora_weights=False,
        )
        module = getattr(pipe, part)
        module.add_adapter(config)
        layers[f"{part}_lora_layers"] = convert_state_dict_to_diffusers(get_peft_model_state_dict(module))
        facts[f"{part}_lora_adapter_metadata"] = {**config.to_dict(), "target_modules": list(config.target_modules)}
    wanted = outputs(pipe)
    type(pipe).save_lora_weights(tmp_path, **layers, **(facts if told else {}))
    found = adapters.read(tmp_path)
    if told:
        assert set(found.alphas.values()) == {6.0, 3.0, 1.0}
        assert apart(outputs(changed(family, (found, 1))), wanted) <= 1e-5
    else:
        assert found.alphas == found.ranks
    assert set(found.ranks.values()) == {4, 2}


def test_alpha_of_a_rank_stabilised_adapter_is_that_of_a_plain_one(tmp_path):
    made = adapter(pipeline("sd"), alphas=(6.0,))
    adapters.write(made, tmp_path / "it.safetensors")
    told = {"unet.r": 4, "unet.lora_alpha": 6, "unet.use_rslora": True}
    save_file(
        load_file(tmp_path / "it.safetensors"), tmp_path / "it.safetensors", {"lora_adapter_metadata": json.dumps(told)}
    )
    found = adapters.read(tmp_path / "it.safetensors")
    assert {found.alphas[layer] for layer in found.parts["unet"]} == {12.0}  # 6 / √4 = 12 / 4
    assert {found.alphas[layer] for layer in found.parts["text_encoder"]} == {4.0}


@pytest.mark.parametrize(
    ("family", "layer", "theirs"),
    [
        (
            "sd",
            "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_out.0",
            "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn1_to_out_0",
        ),
        (
            "sd",
            "text_encoder.text_model.encoder.layers.11.self_attn.q_proj",
            "lora_te_text_model_encoder_layers_11_self_attn_q_proj",
        ),
        (
            "sdxl",
            "unet.down_blocks.1.attentions.0.transformer_blocks.1.attn2.to_k",
            "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k",
        ),
        (
            "sdxl",
            "unet.up_blocks.1.attentions.2.transformer_blocks.0.ff.net.0.proj",
            "lora_unet_output_blocks_5_1_transformer_blocks_0_ff_net_0_proj",
        ),
        ("sdxl", "unet.mid_block.attentions.0.proj_in", "lora_unet_middle_block_1_proj_in"),
        ("sdxl", "unet.mid_block.resnets.1.conv1", "lora_unet_middle_block_2_in_layers_2"),
        ("sdxl", "unet.down_blocks.0.downsamplers.0.conv", "lora_unet_input_blocks_3_0_op"),
        ("sdxl", "unet.up_blocks.0.upsamplers.0.conv", "lora_unet_output_blocks_2_2_conv"),
        ("sdxl", "unet.down_blocks.2.resnets.0.conv_shortcut", "lora_unet_input_blocks_7_0_skip_connection"),
        ("sdxl", "unet.conv_in", "lora_unet_input_blocks_0_0"),
        ("sdxl", "unet.time_embedding.linear_2", "lora_unet_time_embed_2"),
        (
            "sdxl",
            "text_encoder.text_model.encoder.layers.0.mlp.fc1",
            "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        ),
        (
            "sdxl",
            "text_encoder_2.text_model.encoder.layers.31.self_attn.out_proj",
            "lora_te2_text_model_encoder_layers_31_self_attn_out_proj",
        ),
    ],
)
def test_kohyas_layout_has_the_names_of_its_family_and_an_alpha_for_each(tmp_path, family, layer, theirs):
    made = adapters.Adapter({layer + DOWN: torch.ones(2, 3), layer + UP: torch.ones(5, 2)}, {layer: 0.5})
    adapters.write(made, tmp_path / "it.safetensors", "kohya", family)
    found = load_file(tmp_path / "it.safetensors")
    assert set(found) == {f"{theirs}.lora_down.weight", f"{theirs}.lora_up.weight", f"{theirs}.alpha"}
    assert found[f"{theirs}.alpha"].item() == 0.5
    same(made, adapters.read(tmp_path / "it.safetensors"))


def test_what_a_file_says_besides_stays_and_what_it_holds_can_be_told(tmp_path):
    made = adapter(pipeline("sd"), **MIXED)
    made = adapters.Adapter(made.weights, made.alphas, {"prompts": "a photo of sks dog"})
    for layout in ("diffusers", "kohya"):
        adapters.write(made, tmp_path / "it.safetensors", layout)
        assert adapters.read(tmp_path / "it.safetensors").about == made.about
    assert set(made.parts) == {"unet", "text_encoder"}
    assert made.parameters == sum(weight.numel() for weight in made.weights.values())
    assert made.cross_width == 32


def test_layers_of_newer_transformers_have_the_names_of_files():
    layer = "encoder.layers.0.self_attn.q_proj"
    weights = {f"text_encoder.{layer}{DOWN}": torch.ones(2, 3), f"text_encoder.{layer}{UP}": torch.ones(5, 2)}
    made = adapters.Adapter(weights, {f"text_encoder.{layer}": 7.0})
    assert made.alphas == {f"text_encoder.text_model.{layer}": 7.0}


TO_Q = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({}, "holds no tensor"),
        ({"lora_unet_mid_block.dora_scale": (1,)}, "holds DoRA"),
        ({f"{TO_Q}.lora_magnitude_vector": (1,)}, "holds DoRA"),
        ({"lora_unet_mid_block_attentions_0_proj_in.hada_w1_a": (2, 2)}, "holds LoHa"),
        ({"lora_unet_mid_block_attentions_0_proj_in.lokr_w1": (2, 2)}, "holds LoKr"),
        ({"down_blocks.0.weight": (2, 2)}, "is no LoRA of Stable Diffusion: it holds down_blocks.0.weight"),
        ({"transformer.blocks.0.to_q.lora_A.weight": (2, 2)}, "is no LoRA of Stable Diffusion"),
        ({TO_Q + DOWN: (2, 3)}, "has no other half"),
        ({TO_Q + DOWN: (2, 3), TO_Q + UP: (5, 4)}, "has rank 2, and its other half 4"),
        ({"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight": (2, 3)}, "is no LoRA of Stable Diffusion"),
    ],
)
def test_a_file_that_holds_no_lora_is_refused(tmp_path, tensors, reason):
    save_file({name: torch.ones(shape) for name, shape in tensors.items()}, tmp_path / "it.safetensors")
    with pytest.raises(KakusanError, match=reason) as refused:
        adapters.read(tmp_path / "it.safetensors")
    assert "\n" not in str(refused.value)


def test_what_is_no_safetensors_file_is_refused(tmp_path):
    with pytest.raises(KakusanError, match=r"there is no file .*nowhere"):
        adapters.read(tmp_path / "nowhere.safetensors")
    with pytest.raises(KakusanError, match=f"holds no {LORA}"):
        adapters.read(tmp_path)
    (tmp_path / "half.safetensors").write_bytes(b"\x10")
    with pytest.raises(KakusanError, match=r"half.safetensors cannot be read"):
        adapters.read(tmp_path / "half.safetensors")
    torch.save({}, tmp_path / "it.bin")
    with pytest.raises(KakusanError, match=r"is a pickle.*save_file\(torch.load\('it.bin', weights_only=True\)"):
        adapters.read(tmp_path / "it.bin")


def test_a_layer_of_another_family_is_not_written_in_kohyas_layout(tmp_path):
    layer = "text_encoder_2.text_model.encoder.layers.0.mlp.fc1"
    made = adapters.Adapter({layer + DOWN: torch.ones(2, 3), layer + UP: torch.ones(5, 2)})
    with pytest.raises(KakusanError, match="is of SDXL"):
        adapters.write(made, tmp_path / "it.safetensors", "kohya", "sd")
    assert not list(tmp_path.iterdir())
