"""A textbook's model as it is: called ``model(x, t)`` with the index of a step, it predicts the noise."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from kakusan.denoiser import Denoiser
from kakusan.errors import KakusanError
from kakusan.parametrization import Epsilon
from kakusan.schedules import Chain

_ROUNDING = 1e-3  # T·t − 1 at a step is whole to within far less


def denoiser_from_textbook(model: nn.Module, betas: Tensor) -> Denoiser:
    """Returns the denoiser of ``model``, with which every sampler walks: on the grid ``trailing``, or ``leading``.

    A model that takes fractions as well, as those with sinusoids do, is as well off in a plain :class:`Denoiser`, which
    walks on every grid.

    Args:
        model: Any module called as ``model(x, t)``, t int64 of shape (B,), index 0 the least noisy; it predicts ε.
        betas: β of every step that it was trained on, shape (T,).

    Raises:
        KakusanError: ``betas`` make no chain: one leaves (0, 1), or there is none.
    """
    return Denoiser(WholeSteps(model), Chain(betas), Epsilon())


def classifier_free_guidance(
    model: Callable[..., Tensor], x: Tensor, t: Tensor, text_emb: Tensor, null_emb: Tensor, guidance_scale: float
) -> Tensor:
    r"""Returns the guided noise, as the chapter's function of this name does: one step's prediction, where
    :class:`kakusan.guidance.ClassifierFree` is a denoiser that any sampler walks with.

    .. math:: \varepsilon_\varnothing + w\,(\varepsilon_c - \varepsilon_\varnothing)

    Args:
        model: Called as ``model(x, t, condition)``; it predicts ε.
        x: Noisy images, shape (B, C, H, W).
        t: Indices of steps, shape (B,).
        text_emb, null_emb: The condition of every image, and that of saying nothing, shape (B, …).
        guidance_scale: w; 0 is unconditional, 1 plainly conditional.

    Source: Ho & Salimans, "Classifier-Free Diffusion Guidance", 2021.
    """
    both = model(torch.cat([x, x]), torch.cat([t, t]), torch.cat([text_emb, null_emb]))
    conditional, unconditional = both.chunk(2)
    return unconditional + guidance_scale * (conditional - unconditional)


class WholeSteps(nn.Module):
    """A network that knows the steps of a chain by number, as one with an ``nn.Embedding`` of them does.

    Args:
        model: Called as ``model(x, t)``, t int64 of shape (B,).

    Raises:
        KakusanError: On calls: a time lies between two steps.
    """

    whole_steps_only = True  # for kakusan.sampling, which then walks by them

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, clock: Tensor) -> Tensor:
        """Returns what the model predicts at a ``clock`` of whole numbers, float32 of shape (B,)."""
        index = clock.round()
        between = (clock - index).abs() > _ROUNDING
        if between.any():
            raise KakusanError(
                f"this model knows whole steps of its chain only, not {clock[between][0]:g} "
                "(use the grid trailing or leading)"
            )
        output: Tensor = self.model(x, index.long())
        return output
