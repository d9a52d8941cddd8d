"""Pipelines of the shapes of Stable Diffusion 1.5, 2.1 and SDXL learn by the loss of plain diffusers, as much as their
rank says, and forget nothing for a new word."""

import pytest
import torch
from PIL import Image

from kakusan import customising
from kakusan.condition import Condition
from kakusan.customising.publishing import publish
from kakusan.objective import TimeSampling
from kakusan.seeds import Draws
from kakusan.stable_diffusion import readers
from kakusan.training import start
from kakusan.training.tasks.customising import Customising
from tests.customising.scenes import diamonds, settings

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.pipelines import FAMILIES, saved

CPU = torch.device("cpu")
ATTENTION, READING = ("to_q", "to_k", "to_v", "to_out.0"), ("q_proj", "k_proj", "v_proj", "out_proj")


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, tmp_path_factory):
    return saved(request.param, tmp_path_factory.mktemp("models") / request.param)


@pytest.fixture
def source(tmp_path):
    return diamonds(tmp_path / "images")


def prepared(preset, source, model, **changes):
    return customising.prepared(settings(preset, source, network__model=str(model), **changes), CPU, None, show=False)


def plainly(pipe, prompts, batch, draws):
    """Returns the losses as the training scripts of diffusers have them."""
    from diffusers import DDPMScheduler

    chain = DDPMScheduler.from_config(pipe.scheduler.config)
    steps = chain.config.num_train_timesteps
    quantiles = TimeSampling(stratified=True).quantiles(draws.count, draws.generator("times"))
    times = steps - 1 - (quantiles * steps).long()
    noise = draws.normal("noise", batch.images.shape[1:])
    words = [prompts[label] for label in batch.labels]
    told = pipe.encode_prompt(words, device=CPU, num_images_per_prompt=1, do_classifier_free_guidance=False)
    added = {}
    if len(told) == 4:  # SDXL's: of the whole, and original size, crop and wanted size
        side = batch.images.shape[-1] * pipe.vae_scale_factor
        sizes = torch.tensor([[32, 32, 0, 0, side, side]] * len(times))
        added = {"added_cond_kwargs": {"text_embeds": told[2], "time_ids": sizes}}
    found = pipe.unet(chain.add_noise(batch.images, noise, times), times, encoder_hidden_states=told[0], **added).sample
    velocity = chain.config.prediction_type == "v_prediction"
    target = chain.get_velocity(batch.images, noise, times) if velocity else noise
    return (found - target).square().flatten(1).mean(1)


@pytest.mark.parametrize(
    ("preset", "text_encoder"), [("lora", True), ("dreambooth", True), ("textual-inversion", None)]
)
def test_losses_and_gradients_are_those_of_plain_diffusers(preset, text_encoder, source, model):
    made = prepared(preset, source, model, **({"network__text_encoder": True} if text_encoder else {}))
    network, pipe = made.learned.network, made.learned.base.pipe
    for name, weight in network.named_parameters():
        if "lora_B" in name:  # which is nothing at the beginning, and then has no effect
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(len(name)))
    draws = Draws(0, 0, 3)
    batch = made.feed.batches(draws, CPU)
    ours = Customising(made.learned).losses(batch, draws)
    theirs = plainly(pipe, made.learned.prompts, batch, draws)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
    # Nothing learns that a loss does not reach, which several processes would wait for.
    one, other = (torch.autograd.grad(it.sum(), tuple(network.parameters())) for it in (ours, theirs))
    for ours_in, theirs_in in zip(one, other, strict=True):
        torch.testing.assert_close(ours_in, theirs_in, atol=1e-4, rtol=1e-3)


def test_sdxl_is_told_how_large_images_were_and_where_they_were_cut(source, tmp_path):
    kept = {"objective__class_prompts": ("a red star",), "objective__prior_images": 1}
    for name, side in (("wide", (64, 48)), ("small", (16, 16))):
        Image.new("RGB", side, "red").save(source / f"{name}.png")
    made = prepared("lora", source, saved("sdxl", tmp_path / "sdxl"), **kept)
    prompts, batches = made.learned.prompts, made.feed.batches
    assert prompts == (*["a red rhombus"] * 3, "a red star")
    told = []
    unet = made.learned.base.pipe.unet
    unet.register_forward_pre_hook(lambda _, __, given: told.append(given["added_cond_kwargs"]), with_kwargs=True)
    made.learned.network(torch.randn(4, *batches.shape), torch.tensor(3), Condition(batches.labels[[0, 3, 4, 5]]))
    # As they were, from the top, from the left, as they are learned. Of wide.png, 21 by 16, three columns are off.
    wanted = {(32, 32, 0, 0, 16, 16), (16, 16, 0, 0, 16, 16), (48, 64, 0, 3, 16, 16)}
    sizes = [tuple(it) for it in told[0]["time_ids"].int().tolist()]
    assert set(sizes[:3]) == wanted
    assert sizes[3] == (16, 16, 0, 0, 16, 16)
    made.learned.network(torch.randn(1, *batches.shape), torch.tensor(3), Condition(torch.tensor([-1])))
    assert tuple(told[1]["time_ids"].int()[0].tolist()) == (16, 16, 0, 0, 16, 16)
    assert customising.Showing.of(made.learned).prompts == ("a red rhombus", "a red star")


def test_a_lora_has_as_many_weights_as_its_rank_says(source, model):
    made = prepared("lora", source, model, network__rank=3, network__text_encoder=True)
    pipe = made.learned.base.pipe
    parts = [(pipe.unet, ATTENTION), *((encoder, READING) for _, encoder in readers(pipe))]
    if model.name == "sdxl":  # which reads its first text encoder before the last layer
        parts[1] = (pipe.text_encoder.encoder.layers[:-1], READING)
    layers = [it for part, ends in parts for name, it in part.named_modules() if name.endswith(ends)]
    assert made.learned.parameters == sum(3 * (it.in_features + it.out_features) for it in layers)
    share = made.learned.parameters / made.learned.all_parameters
    assert any(f"trains {made.learned.parameters:,} of" in it and f"({share:.2%})" in it for it in made.feed.remarks)
    assert {it.partition(".")[0] for it, _ in made.learned.network.named_parameters()} == {
        "unet",
        *(f"text_encoder{number}" for number in ("", "_2")[: len(parts) - 1]),
    }


def test_a_new_word_changes_no_weight_that_was_there(source, model, tmp_path):
    """Not a bit of it, after training, averaging and publishing; and its vectors are as many as were asked for."""
    changes = {"network__model": str(model), "network__vectors": 2, "optimizer__learning_rate": 0.05}
    run = start.begin(settings("textual-inversion", source, **changes), tmp_path / "run", show=False)
    publish(run, "cpu")
    before = prepared("textual-inversion", source, model, network__vectors=2)
    after = customising.restored(run, device="cpu")
    new = dict(after.network.named_parameters())
    assert sum(it.numel() for it in new.values()) == sum(2 * e.config.hidden_size for _, e in readers(after.base.pipe))
    for part in ("unet", "vae", *(name for name in after.base.pipe.components if name.startswith("text_encoder"))):
        if getattr(after.base.pipe, part) is None:
            continue
        weights = getattr(after.base.pipe, part).state_dict()
        for name, weight in getattr(before.learned.base.pipe, part).state_dict().items():
            assert torch.equal(weight, weights[name]) != (f"{part}.{name}" in new), name


def test_guidance_sees_zeros_where_sdxl_says_nothing(source, model):
    """What its pipelines draw without a negative prompt with; the others read the empty prompt."""
    made = prepared("lora", source, model)
    pipe, network = made.learned.base.pipe, made.learned.network
    x, clock = torch.randn(2, *made.feed.batches.shape), torch.tensor([100, 700])
    found = network(x, clock, Condition(torch.tensor([0, -1])))
    words = list(made.learned.prompts)
    told = pipe.encode_prompt(words, device=CPU, num_images_per_prompt=1, do_classifier_free_guidance=True)
    added = [{}, {}]
    if len(told) == 4:
        side = x.shape[-1] * pipe.vae_scale_factor
        sizes = [torch.tensor([[it, it, 0, 0, side, side]]) for it in (32, side)]  # of the images, and of nothing
        added = [
            {"added_cond_kwargs": {"text_embeds": it, "time_ids": size}}
            for it, size in zip(told[2:], sizes, strict=True)
        ]
    for place, (tokens, more) in enumerate(zip(told[:2], added, strict=True)):
        plain = pipe.unet(x[place : place + 1], clock[place : place + 1], encoder_hidden_states=tokens, **more).sample
        torch.testing.assert_close(found[place : place + 1], plain, atol=1e-5, rtol=1e-4)
