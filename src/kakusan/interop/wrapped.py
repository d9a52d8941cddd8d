"""A third party's U-Net as it is, under our denoiser: every sampler and every guidance here drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from kakusan.condition import Condition
from kakusan.denoiser import Denoiser
from kakusan.errors import KakusanError
from kakusan.interop.diffusers import DiffusersNetwork
from kakusan.interop.schedulers import parametrization_of, require_chain
from kakusan.schedules import Chain

_CLOSE = 1e-4  # of products that float32 rounded

if TYPE_CHECKING:
    from diffusers import SchedulerMixin, UNet2DConditionModel, UNet2DModel


def wrap(
    unet: UNet2DModel | UNet2DConditionModel,
    scheduler: SchedulerMixin,
    *,
    tokens: Tensor | None = None,
    null_tokens: Tensor | None = None,
    **bound: Any,
) -> Denoiser:
    """Returns a U-Net of diffusers as a denoiser, on its scheduler's own table of noise and with its prediction type.

    Of a U-Net with text the K prompts given here are its classes: labels 0 … K − 1 choose among them, and −1, which
    guidance asks for, stands for the null prompt.

    Args:
        unet: The U-Net.
        scheduler: Its scheduler, of whatever sampler: of it the betas and the meaning of the output count.
        tokens: Encoded prompts, shape (K, L, D), for a ``UNet2DConditionModel``.
        null_tokens: The encoded null prompt, shape (1, L, D) or (L, D).
        bound: What else its ``forward`` takes, such as ``added_cond_kwargs`` or ``down_block_additional_residuals``; of
            one entry, or of as many as there are images, all drawn at once, in tensors anywhere inside. Guidance gives
            both of its halves the same.

    Raises:
        KakusanError: The scheduler walks no chain or predicts something else, or prompts are wanting.

    Example:
        >>> denoiser = wrap(pipe.unet, pipe.scheduler, tokens=prompts, null_tokens=empty)
        >>> latents = kakusan.sample(denoiser, n=2, shape=(4, 64, 64), labels=[0, 1], guidance_scale=7.5)
    """
    if getattr(unet.config, "cross_attention_dim", None) is None:
        if tokens is not None or bound:
            raise KakusanError(f"a {type(unet).__name__} takes labels and nothing else (leave out tokens and the rest)")
        network: nn.Module = DiffusersNetwork(unet)
    else:
        network = Prompted(unet, tokens, null_tokens, **bound)
    return denoiser_by(scheduler, network).eval()


def denoiser_by(scheduler: SchedulerMixin, network: nn.Module) -> Denoiser:
    """Returns a denoiser on a scheduler's own table of noise and with its prediction type.

    Args:
        scheduler: As in :func:`wrap`.
        network: Called as ``network(x, clock, condition)``, with the scheduler's time step as the clock.

    Raises:
        KakusanError: The scheduler walks no chain, or predicts something else.
    """
    return Denoiser(network, _chain(scheduler), parametrization_of(scheduler.config))


def _chain(scheduler: SchedulerMixin) -> Chain:
    """Returns the chain of a scheduler's own table."""
    name, betas = type(scheduler).__name__, getattr(scheduler, "betas", None)
    if betas is None:
        raise KakusanError(f"a {name} has no betas: it walks no chain that preserves variance")
    require_chain(scheduler.config, f"a {name}")
    chain = Chain(torch.as_tensor(betas, dtype=torch.float64, device="cpu"))
    walked = getattr(scheduler, "alphas_cumprod", None)
    if walked is None:
        return chain
    walked = walked.detach().cpu().double()  # which add_noise has moved to where it trained, and not the betas
    if not torch.allclose(walked, chain.alphas_cumprod, rtol=_CLOSE, atol=_CLOSE):
        raise KakusanError(f"a {name} walks by another table than that of its betas: it is not known here")
    return chain


class Prompted(nn.Module):
    """A ``UNet2DConditionModel``, called as our networks are: ``network(x, clock, condition)``. Prompts are classes.

    Args:
        model: The U-Net; its time step is our clock.
        tokens, null_tokens, bound: As in :func:`wrap`.

    Raises:
        KakusanError: Prompts are wanting, or are not of one shape.
    """

    def __init__(
        self, model: UNet2DConditionModel, tokens: Tensor | None, null_tokens: Tensor | None, **bound: Any
    ) -> None:
        super().__init__()
        if tokens is None or null_tokens is None:
            raise KakusanError(
                "a UNet2DConditionModel is told what to draw by encoded prompts: give tokens, (K, L, D), and "
                "null_tokens, (1, L, D)"
            )
        null = null_tokens if null_tokens.ndim == 3 else null_tokens[None]
        if tokens.ndim != 3 or null.shape != (1, *tokens.shape[1:]):
            raise KakusanError(
                f"tokens are of shape (K, L, D) and null_tokens of (1, L, D), not {tuple(tokens.shape)} and "
                f"{tuple(null_tokens.shape)}"
            )
        self.model, self._bound = model, bound
        self.register_buffer("_tokens", torch.cat([tokens, null.to(tokens)]), persistent=False)
        self._tokens: Tensor

    def forward(self, x: Tensor, clock: Tensor, condition: Condition | None = None) -> Tensor:
        """Returns the model's sample; see :meth:`kakusan.networks.UNet.forward` for the arguments."""
        last = len(self._tokens) - 1
        chosen = torch.full((len(x),), last, device=x.device) if condition is None else condition.labels_or(last)

        images = len(x) // (1 if condition is None else condition.repeats)

        def as_many(given: Tensor) -> Tensor:
            given = given.to(x if given.is_floating_point() else x.device)
            if given.ndim and len(given) not in (1, images):
                raise KakusanError(
                    f"{len(given)} bound entries do not fit {images} images drawn at a time: bind one for all, or one "
                    "an image, and draw all at once (batch)"
                )
            return given.repeat(len(x) // len(given), *[1] * (given.ndim - 1)) if given.ndim else given

        bound = tree_map_only(Tensor, as_many, self._bound)
        sample: Tensor = self.model(x, clock, encoder_hidden_states=self._tokens[chosen].to(x), **bound).sample
        return sample
