"""A U-Net of diffusers under our samplers draws what its own scheduler draws."""

import pytest
import torch

import kakusan
from kakusan.condition import Condition
from kakusan.errors import KakusanError
from kakusan.guidance import ClassifierFree
from kakusan.interop.wrapped import wrap
from tests.networks.randomised import randomised

diffusers = pytest.importorskip("diffusers")

TEXT = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "norm_num_groups": 4,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 6,
    "attention_head_dim": 4,
}
SHAPE = (4, 8, 8)
TOKENS = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))
NULL = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(2))
STABLE = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
ALIKE = {"set_alpha_to_one": True, "timestep_spacing": "trailing"}


def texts(**more):
    return randomised(diffusers.UNet2DConditionModel(**{**TEXT, **more})).eval()


@torch.no_grad()
def theirs(unet, scheduler, x, tokens, guidance, steps=10, **bound):
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        both = unet(torch.cat([x, x]), t, torch.cat([NULL.expand_as(tokens), tokens]), **bound).sample
        without, given = both.chunk(2)
        x = scheduler.step(without + guidance * (given - without), t, x).prev_sample
    return x


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_our_ddim_draws_what_theirs_draws(prediction):
    unet, scheduler = texts(), diffusers.DDIMScheduler(prediction_type=prediction, **STABLE, **ALIKE)
    denoiser = wrap(unet, scheduler, tokens=TOKENS, null_tokens=NULL)
    how = {"n": 2, "shape": SHAPE, "labels": [0, 2], "steps": 10, "grid": "trailing", "threshold": "none"}
    ours = kakusan.sample(denoiser, guidance_scale=3.0, seed=4, **how)
    noise = kakusan.seeds.ImageNoise(4, range(2))(torch.empty(2, *SHAPE))
    start = noise * denoiser.schedule(torch.tensor(1.0, dtype=torch.float64))[1].float()
    expected = theirs(unet, scheduler, start, TOKENS[[0, 2]], 3.0)
    assert (ours - expected).abs().max() < 1e-4 * expected.abs().max()


def test_a_scheduler_of_any_sampler_tells_its_table():
    euler = diffusers.EulerDiscreteScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    chain = wrap(texts(), euler, tokens=TOKENS, null_tokens=NULL).schedule
    torch.testing.assert_close(chain.alphas_cumprod.float(), euler.alphas_cumprod, atol=1e-6, rtol=0)


def test_a_table_in_other_numbers_is_read():
    scheduler = diffusers.DDIMScheduler(**STABLE)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(torch.float64)
    assert wrap(texts(), scheduler, tokens=TOKENS, null_tokens=NULL).schedule.steps == 1000


def test_a_table_on_another_device_is_fetched_from_there():
    class Elsewhere:
        """As a tensor of a GPU: nothing but a copy of it can be compared with what lies here."""

        def __init__(self, held):
            self.held = held

        def detach(self):
            return self

        def cpu(self):
            return self.held

    scheduler = diffusers.DDIMScheduler(**STABLE)
    scheduler.alphas_cumprod = Elsewhere(scheduler.alphas_cumprod)
    assert wrap(texts(), scheduler, tokens=TOKENS, null_tokens=NULL).schedule.steps == 1000


def test_what_is_bound_reaches_the_network_in_both_halves():
    more = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 2,
        "projection_class_embeddings_input_dim": 16,
    }
    unet, scheduler = texts(**more), diffusers.DDIMScheduler(**STABLE, **ALIKE)
    added = {"text_embeds": torch.randn(2, 4), "time_ids": torch.arange(12.0).reshape(2, 6)}
    denoiser = wrap(unet, scheduler, tokens=TOKENS, null_tokens=NULL, added_cond_kwargs=added)
    x, t = torch.randn(2, *SHAPE), torch.tensor(0.5, dtype=torch.float64)
    condition = Condition(torch.tensor([1, 0]))
    guided = ClassifierFree(denoiser, condition, 2.0)(x, t).epsilon
    halves = [denoiser(x, t, it).epsilon for it in (condition.null(), condition)]
    torch.testing.assert_close(guided, halves[0] + 2 * (halves[1] - halves[0]), atol=1e-4, rtol=1e-4)
    other = {name: it.flip(0) for name, it in added.items()}
    another = wrap(unet, scheduler, tokens=TOKENS, null_tokens=NULL, added_cond_kwargs=other)
    assert not torch.allclose(another(x, t, condition).epsilon, halves[1])


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_entries_of_all_images_are_never_bound_to_some(guidance):
    unet = texts(addition_embed_type="text_time", addition_time_embed_dim=2, projection_class_embeddings_input_dim=16)
    added = {"text_embeds": torch.randn(4, 4), "time_ids": torch.arange(24.0).reshape(4, 6)}
    denoiser = wrap(unet, diffusers.DDIMScheduler(**STABLE), tokens=TOKENS, null_tokens=NULL, added_cond_kwargs=added)
    how = {"n": 4, "shape": SHAPE, "labels": [0, 1, 2, 0], "guidance_scale": guidance, "steps": 2}
    assert kakusan.sample(denoiser, batch=4, **how).isfinite().all()
    for batch in (1, 2, 3):
        with pytest.raises(KakusanError, match=f"4 bound entries do not fit {batch} images drawn at a time"):
            kakusan.sample(denoiser, batch=batch, **how)


def test_a_network_of_pixels_is_wrapped_with_its_classes():
    unet = randomised(
        diffusers.UNet2DModel(
            sample_size=8,
            block_out_channels=(8,),
            norm_num_groups=4,
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
            num_class_embeds=4,
        )
    ).eval()
    denoiser = wrap(unet, diffusers.DDPMScheduler(prediction_type="sample"))
    images = kakusan.sample(denoiser, n=2, shape=(3, 8, 8), labels=[0, 2], guidance_scale=2.0, steps=3, sampler="heun")
    assert images.isfinite().all()


def test_what_cannot_be_wrapped_is_refused():
    scheduler = diffusers.DDIMScheduler()
    with pytest.raises(KakusanError, match=r"give tokens, \(K, L, D\)"):
        wrap(texts(), scheduler)
    with pytest.raises(KakusanError, match=r"not \(3, 5, 6\) and \(1, 4, 6\)"):
        wrap(texts(), scheduler, tokens=TOKENS, null_tokens=NULL[:, :4])
    for other, why in (
        (diffusers.DDIMScheduler(rescale_betas_zero_snr=True), "rescale_betas_zero_snr ends in a β of 1"),
        (diffusers.DPMSolverMultistepScheduler(use_flow_sigmas=True), "use_flow_sigmas walks no chain"),
        (diffusers.CogVideoXDDIMScheduler(), "snr_shift_scale walks no chain"),
        (diffusers.IPNDMScheduler(), "has no betas"),
    ):
        with pytest.raises(KakusanError, match=why):
            wrap(texts(), other, tokens=TOKENS, null_tokens=NULL)
    with pytest.raises(KakusanError, match="a FlowMatchEulerDiscreteScheduler has no betas"):
        wrap(texts(), diffusers.FlowMatchEulerDiscreteScheduler(), tokens=TOKENS, null_tokens=NULL)
