"""What leaves is loaded by plain diffusers and is the same model; what comes back is as well."""

import json
import os
import re
from pathlib import Path

import pytest
import torch

import kakusan
from kakusan import latents
from kakusan.api.exchange import export, import_
from kakusan.codec import Codec
from kakusan.commands import main
from kakusan.errors import KakusanError
from kakusan.interop import export as exporting
from kakusan.interop.schedulers import chain_of, ddim_config, parametrization_of, steps_near
from kakusan.networks import Autoencoder
from kakusan.parametrization import Flow, V
from kakusan.schedules import Chain, RectifiedFlow, cosine, linear, quadratic
from kakusan.seeing import seen
from tests import tiny
from tests.networks.randomised import randomised

diffusers = pytest.importorskip("diffusers")

DATA = tiny.pictures(40, (1, 8, 8))
SHORT = {
    "network.channels": "8,16",
    "network.blocks": 1,
    "training.batch_size": 8,
    "training.images": 16,
    "sampling.steps": 3,
    "schedule.steps": 20,
}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "user_cache_path", lambda name: tmp_path / "cache" / name)


def run(path, **more):
    made = kakusan.train(data=DATA, run=path, show=False, overrides={**SHORT, **more})
    # As training leaves them after a while: a new network gives nothing, and would agree with any other.
    for file in ("ema.safetensors", "model.safetensors"):
        network = randomised(kakusan.load(made).network)
        (made.checkpoint().path / file).write_bytes(kakusan.tensors.pack(network.state_dict()))
    return made


KINDS = {
    "unconditional": {},
    "epsilon, linear": {"parametrization": "epsilon", "schedule": "linear", "schedule.steps": 20},
    "x0, quadratic": {"parametrization": "x0", "schedule": "quadratic", "schedule.steps": 20},
    "epsilon, cosine": {"parametrization": "epsilon", "schedule.steps": 1000},
    "diffusers' own network": {"network.freq_shift": 0, "network.downsample_padding": 1},
    "classes": {"network.class_conditional": True, "sampling.guidance": 2.0},
    "scale and shift, heads": {"network.scale_shift": True, "network.head_channels": 8, "network.norm_eps": 1e-5},
}


@pytest.mark.parametrize("more", KINDS.values(), ids=KINDS)
def test_a_run_leaves_and_comes_back_the_same(tmp_path, more):
    first = run(tmp_path / "run", **more)
    found = export(first, tmp_path / "out")
    assert found.call <= 1e-5
    assert found.image <= 1e-3
    back = import_(tmp_path / "out", tmp_path / "back")
    ours, theirs = (kakusan.load(it, device="cpu") for it in (first, back))
    assert theirs.class_names == ours.class_names
    state = theirs.network.state_dict()
    assert all(torch.equal(weight, state[name]) for name, weight in ours.network.state_dict().items())
    how = {"n": 2, "steps": 5, "guidance_scale": 1.0, "threshold": "none"}
    torch.testing.assert_close(kakusan.sample(theirs, **how), kakusan.sample(ours, **how), atol=1e-4, rtol=0)


@pytest.mark.parametrize("more", [{}, KINDS["classes"], {"latent": True}, {"latent": True, **KINDS["classes"]}])
def test_the_code_on_the_card_draws_without_kakusan(tmp_path, more, monkeypatch):
    more = dict(more)
    if more.pop("latent", False):
        network = Autoencoder(1, channels=(8, 16), latent_channels=2, middle_attention=False)
        latents.write(Codec(randomised(network), (1, 8, 8)), tmp_path / "a.safetensors")
        more["data.latent"] = str(tmp_path / "a.safetensors")
    export(run(tmp_path / "run", **more), tmp_path / "out")
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    assert "kakusan" not in code
    assert len(code.splitlines()) <= 24
    monkeypatch.chdir(tmp_path / "out")
    place = {}
    exec(code, place)
    images = place["images"]
    assert len(images) >= 2
    if isinstance(images, torch.Tensor):
        assert images.shape[1:] == (1, 8, 8)
        assert images.isfinite().all()


@pytest.mark.parametrize(
    "schedule", [linear(20), quadratic(1000), cosine(50), linear(30, 1e-3, 0.1), Chain([0.1, 0.5])]
)
def test_a_schedule_survives_its_scheduler(schedule):
    config = diffusers.DDIMScheduler(**ddim_config(schedule, V(), "clip")).config
    assert isinstance(parametrization_of(config), V)
    torch.testing.assert_close(chain_of(config).betas, schedule.betas, rtol=1e-6, atol=0)
    torch.testing.assert_close(
        chain_of(config).alphas_cumprod.float(), diffusers.DDIMScheduler.from_config(config).alphas_cumprod
    )


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"beta_schedule": "sigmoid"}, "beta_schedule='sigmoid'"),
        ({"_class_name": "EDMEulerScheduler", "sigma_data": 0.5}, "EDMEulerScheduler with sigma_data"),
        ({"_class_name": "ScoreSdeVpScheduler", "num_train_timesteps": 2000}, "ScoreSdeVpScheduler has no betas"),
        ({"beta_schedule": "linear", "rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
        (
            {"_class_name": "UniPCMultistepScheduler", "beta_schedule": "linear", "use_flow_sigmas": True},
            "use_flow_sigmas",
        ),
        (
            {"_class_name": "CogVideoXDDIMScheduler", "beta_schedule": "linear", "snr_shift_scale": 3.0},
            "snr_shift_scale",
        ),
        ({"_class_name": "IPNDMScheduler", "trained_betas": None}, "IPNDMScheduler has no betas"),
    ],
)
def test_a_scheduler_that_is_not_known_is_named(config, field):
    with pytest.raises(KakusanError, match=field):
        chain_of(config)
    with pytest.raises(KakusanError, match="prediction_type='flow'"):
        parametrization_of({"prediction_type": "flow"})


def test_what_diffusers_cannot_express_is_refused(tmp_path):
    with pytest.raises(KakusanError, match="walks chains, and RectifiedFlow is none"):
        ddim_config(RectifiedFlow(), Flow(), "none")
    with pytest.raises(KakusanError, match="and not what Flow predicts"):
        ddim_config(linear(), Flow(), "none")
    simple = {"network.kind": "simple_unet", "network.base_channels": 8, "network.time_emb_dim": 8}
    made = kakusan.train(
        data=DATA, run=tmp_path / "run", show=False, overrides={**simple, "training.batch_size": 8, "training.steps": 1}
    )
    with pytest.raises(KakusanError, match="a SimpleUNet is no UNet2DModel"):
        export(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


def test_another_model_is_never_written(tmp_path, monkeypatch):
    """Should a conversion be wrong, the difference says so."""

    def wrong(network, size, real=exporting.unet_to_diffusers):
        model = real(network, size)
        with torch.no_grad():
            model.conv_out.bias += 0.01
        return model

    monkeypatch.setattr(exporting, "unet_to_diffusers", wrong)
    with pytest.raises(KakusanError, match=r"a call of the network differs by 1\.0e-02, and at most 1e-05 is rounding"):
        export(run(tmp_path / "run"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path):
    export(run(tmp_path / "run"), tmp_path / "out")
    (weights,) = (tmp_path / "out" / "unet").glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(KakusanError, match=r"\.bin is a pickle, which could run code.*save_pretrained"):
        import_(tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("spoil", ["gone", "cut", "other"])
def test_what_is_no_pipeline_is_told_of(tmp_path, spoil, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    place = tmp_path / "out"
    if spoil != "gone":
        export(run(tmp_path / "run"), place)
        file = place / "unet" / "config.json"
        file.write_text(
            file.read_text()[:50] if spoil == "cut" else json.dumps({"_class_name": "UNet2DModel", "act_fn": 3})
        )
    with pytest.raises(
        KakusanError, match=r"there is no directory|holds no unet that diffusers loads|does not convert"
    ):
        import_(place, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_what_an_import_could_not_load_again_is_refused(tmp_path):
    export(run(tmp_path / "run"), tmp_path / "out")
    file = tmp_path / "out" / "unet" / "config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "sample_size": None}))
    with pytest.raises(KakusanError, match="does not say how large its pictures are"):
        import_(tmp_path / "out", tmp_path / "back")
    file.write_text(json.dumps(told))
    index = tmp_path / "out" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "vqvae": ["diffusers", "VQModel"]}))
    with pytest.raises(KakusanError, match="holds vqvae, which is not known here"):
        import_(tmp_path / "out", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_model_of_latents_comes_back_in_latents_and_leaves_nothing_of_what_it_replaces(tmp_path):
    network = Autoencoder(1, channels=(8, 16), latent_channels=2, middle_attention=False)
    latents.write(Codec(randomised(network), (1, 8, 8)), tmp_path / "a.safetensors")
    inside = run(tmp_path / "latent", **{"data.latent": str(tmp_path / "a.safetensors")})
    export(inside, tmp_path / "out")
    back = import_(tmp_path / "out", tmp_path / "back")
    ours, theirs = (kakusan.load(it, device="cpu") for it in (inside, back))
    assert theirs.latent_shape == (2, 4, 4)
    images = [kakusan.sample(it, n=2, steps=5) for it in (ours, theirs)]
    torch.testing.assert_close(*images, atol=1e-4, rtol=0)
    export(run(tmp_path / "pixels"), tmp_path / "out", overwrite=True)
    parts = ["README.md", "kakusan.json", "model_index.json", "scheduler", "unet"]
    assert sorted(os.listdir(tmp_path / "out")) == parts
    import_(tmp_path / "out", tmp_path / "back", overwrite=True)
    assert kakusan.load(tmp_path / "back").codec is None
    assert not (tmp_path / "back" / ".earlier").exists()


@pytest.mark.parametrize(
    ("steps", "wanted", "near"), [(1000, 50, 50), (1000, 300, 250), (70, 50, 70), (997, 50, 997), (4, 50, 4)]
)
def test_the_card_draws_by_steps_that_divide_the_chain(steps, wanted, near):
    """By others diffusers' DDIM leaves noise: its trailing times and its strides differ."""
    assert steps_near(cosine(steps), wanted) == near
    assert steps % near == 0


def test_a_chain_that_does_not_end_in_noise_begins_on_the_card_as_it_does_here(tmp_path):
    made = run(tmp_path / "run", schedule="linear", **{"schedule.steps": 100})
    export(made, tmp_path / "out")
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    sigma = float(linear(100)(torch.ones((), dtype=torch.float64))[1])
    assert f"x = {sigma:.6g} * torch.randn(4, 1, 8, 8)" in code
    assert "class_labels" not in code


def test_a_pipeline_made_by_diffusers_own_defaults_becomes_a_run(tmp_path):
    unet = randomised(diffusers.UNet2DModel(sample_size=16, block_out_channels=(8,) * 4, norm_num_groups=4)).eval()
    scheduler = diffusers.DDPMScheduler(prediction_type="v_prediction", clip_sample=False)
    diffusers.DDPMPipeline(unet, scheduler).save_pretrained(tmp_path / "theirs")
    made = import_(tmp_path / "theirs", tmp_path / "run")
    ours = kakusan.load(made, device="cpu").network
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([3.0, 600.0])
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t), unet(x, t).sample, atol=1e-5, rtol=0)
    assert export(made, tmp_path / "back").image <= 1e-3


@pytest.mark.parametrize(
    ("scheduler", "threshold"),
    [
        ({"clip_sample": True}, "clip"),
        ({"clip_sample": True, "clip_sample_range": 3.0}, "none"),
        ({"clip_sample": False}, "none"),
        ({"thresholding": True}, "clip"),
        ({"thresholding": True, "sample_max_value": 100.0}, "dynamic"),
    ],
)
def test_pixels_are_kept_as_the_scheduler_does_or_that_is_said(tmp_path, scheduler, threshold, capsys):
    export(run(tmp_path / "run"), tmp_path / "out")
    diffusers.DDPMScheduler(**scheduler).save_pretrained(tmp_path / "out" / "scheduler")
    made = import_(tmp_path / "out", tmp_path / "back")
    assert kakusan.load(made).sampling.threshold == threshold
    assert ("keeps pixels within ±3" in capsys.readouterr().err) == ("clip_sample_range" in scheduler)


@pytest.mark.parametrize("names", ["a,a", ","])
def test_class_names_must_tell_classes_apart(tmp_path, names):
    export(run(tmp_path / "run", **KINDS["classes"]), tmp_path / "out")
    with pytest.raises(KakusanError, match="class names must differ, and none may be empty"):
        import_(tmp_path / "out", tmp_path / "back", class_names=names.split(","))


def test_an_import_can_be_gone_on_with(tmp_path):
    export(run(tmp_path / "run"), tmp_path / "out")
    back = import_(tmp_path / "out", tmp_path / "back")
    before = kakusan.load(back).network.state_dict()
    kakusan.train(resume=back, data=DATA, overrides={"training.images": 256}, show=False)
    assert back.checkpoint().images == 256
    after = kakusan.load(back).network.state_dict()
    assert all(weight.shape == before[name].shape for name, weight in after.items())
    assert any(not torch.equal(weight, before[name]) for name, weight in after.items())


def test_an_export_that_fails_leaves_the_earlier_one(tmp_path, monkeypatch):
    first = run(tmp_path / "run")
    export(first, tmp_path / "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    rename = Path.rename

    def refuse(path, target):
        if path.name == "scheduler" and path.parent.name.startswith(".out-"):
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(KakusanError, match="No space left"):
        export(first, tmp_path / "out", overwrite=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    assert not (tmp_path / "out" / ".replaced").exists()


def test_commands_say_what_was_found(tmp_path, capsys, monkeypatch):
    run(tmp_path / "run", **KINDS["classes"])
    monkeypatch.chdir(tmp_path)
    assert main(["export", "run", "out", "--to", "diffusers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"]["call"] <= 1e-5
    assert sorted(os.listdir("out")) == ["README.md", "kakusan.json", "scheduler", "unet"]
    assert main(["export", "run", "out"]) == 2
    assert main(["export", "run", "out", "--overwrite"]) == 0
    assert "differs by" in capsys.readouterr().out
    assert main(["import", "out", "--run", "back", "--classes", "a,b"]) == 2
    assert "classes, and 2 names were given" in capsys.readouterr().err
    assert main(["import", "out", "--run", "back"]) == 0
    assert main(["sample", "back", "-n", "2", "--steps", "2", "-o", "drawn"]) == 0
    assert main(["train", "--resume", "back"]) == 2
